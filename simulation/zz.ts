import { simulate, migratedDump } from './run.ts'
const cpu=()=>{const u=process.cpuUsage();return (u.user+u.system)/1000|0}
await migratedDump()
const [a,b]=(process.env.R??'21-24').split('-').map(Number)
const fs=await import('node:fs')
for (let seed=a!;seed<=b!;seed++) { const c=cpu(); const r=await simulate({seed, lastsMs: Number(process.env.MS??10000), isTraced: process.env.TR==='1'}); console.log(seed,cpu()-c,'ms cpu', r.steps, r.virtualMs, r.faults.length, r.faults.slice(0,4).map(x=>x.slice(0,400)), r.print.slice(0,8))
if (process.env.TR==='1') {fs.writeFileSync(`/tmp/trace-${seed}.txt`, r.lines.join(''));fs.writeFileSync(`/tmp/ops-${seed}.txt`, r.operations.map(o=>JSON.stringify(o)).join('\n')) }}
process.exit(0)
