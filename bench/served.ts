/**
 * The side that is measured: Reeve in a process of its own, with what it is compared with beside it, so that both meet the same
 * machine. It takes the orders of `served-orders.ts` over the process channel; whoever gives them counts nothing of their own.
 *
 * `BENCH_ES256K=openssl` has it do without libsecp256k1, as where that isn't installed, and `BENCH_COUNTING=1` has it count statements.
 */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { sql } from 'kysely'
import { Agent } from 'undici'
import { type BucketName, RATES, type Rate } from '../src/doors/rate-buckets.ts'
import { makeKeyPair, signCompact } from '../src/keys/private-keys.ts'
import { toBase64Url, utf8 } from '../src/platform/bytes.ts'
import { parseConfig, processEnvironment } from '../src/platform/config.ts'
import { es256kBackend } from '../src/platform/ecdsa.ts'
import { silentLog } from '../src/platform/log.ts'
import { openReeve } from '../src/reeve.ts'
import { countFsyncs } from './counting.ts'
import { fillRoster } from './hook-world.ts'
import { quantile } from './load.ts'
import { sharesOf } from './profile.ts'
import { atprotoOnly, cryptoOnly, verifiesOnly } from './served-crypto.ts'
import { coldDecisions, decisionsOnly } from './served-decisions.ts'
import { bareServer, enrol, issueMany, makeSpaces, selectMany } from './served-house.ts'
import { cpuSec, type Order, type Report } from './served-orders.ts'

export type { Order, Report } from './served-orders.ts'

if (process.env['BENCH_ES256K'] === 'openssl') {
  registerHooks({
    resolve(specifier, context, next) {
      if (specifier.startsWith('secp256k1')) throw new Error('not installed, as far as this run is concerned')
      return next(specifier, context)
    },
  })
}
const fsyncs = countFsyncs()
// Imported only then: it would load both databases into a process that is asked how much memory it takes.
const statements =
  process.env['BENCH_COUNTING'] === '1' ? (await import('./counted-statements.ts')).countStatements() : () => Number.NaN

const PLENTY: Rate = { burst: 1e12, perSec: 1e12 }
const rates = Object.fromEntries(Object.keys(RATES).map((name) => [name, PLENTY])) as Record<BucketName, Rate>
const reeve = await openReeve(parseConfig(processEnvironment()), { log: silentLog, rates })
const { db } = reeve.house

async function carryOut(order: Order): Promise<Report> {
  switch (order.kind) {
    case 'cpu':
      return resources()
    case 'posts':
      return barePosts(order)
    case 'waiting':
      return waiting()
    case 'crypto':
      return cryptoOnly(order)
    case 'atproto':
      return atprotoOnly(order.requests)
    case 'verifies':
      return verifiesOnly(order)
    case 'decisions':
      return decisionsOnly(reeve, order)
    case 'cold':
      return coldDecisions(reeve, order)
    case 'fill':
      await fillRoster(db, order.space, order.people)
      return { kind: 'filled' }
    case 'enrol':
      await enrol(db, order.space, order.dids)
      return { kind: 'filled' }
    case 'spaces':
      await makeSpaces(db, order.community, order.count)
      return { kind: 'filled' }
    case 'issues':
      return issues(order)
    case 'selects':
      return selectMany(reeve, order)
    case 'statements':
      return { kind: 'statements', count: statements() }
    case 'loop':
      return watchLoop()
    case 'looped':
      return loopWatched()
    case 'bare':
      return bareServer()
    case 'profile':
      return startProfile()
    case 'profiled':
      return endProfile()
    case 'end':
      await reeve.close()
      return process.exit(0)
  }
}

process.on('message', async (order: Order) => {
  process.send?.(await carryOut(order))
})
// Whoever measures has gone without a word: nothing is left behind that would be in the way of the next run.
process.on('disconnect', () => process.exit(1))
process.send?.({ kind: 'ready', es256k: es256kBackend() } satisfies Report)

async function resources(): Promise<Extract<Report, { kind: 'cpu' }>> {
  const databaseSec = await databaseCpuSec()
  return { kind: 'cpu', cpuSec: cpuSec(), databaseSec, rssMiB: process.memoryUsage.rss() / 2 ** 20 }
}

/** By process of the server, how far its time was counted; and all that was counted, also of those that have ended. */
const countedNs = new Map<number, number>()
let allCountedNs = 0

/** Processor time of the server's processes that work for this database; 0 where it is in this process, NaN where the system doesn't tell. */
async function databaseCpuSec(): Promise<number> {
  if (!process.env['DATABASE_URL']) return 0
  const { rows } = await sql<{
    pid: number
  }>`select pid from pg_stat_activity where datname = current_database()`.execute(db)
  const read = rows.map(({ pid }) => [pid, runNsOf(pid)] as const)
  if (read.every(([, ns]) => ns === null)) return Number.NaN
  for (const [pid, ns] of read) {
    if (ns === null) continue
    allCountedNs += ns - (countedNs.get(pid) ?? 0)
    countedNs.set(pid, ns)
  }
  return allCountedNs / 1e9
}

/** Null when the process has ended, or is one of another machine. */
function runNsOf(pid: number): number | null {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0])
  } catch {
    return null
  }
}

async function issues(order: Extract<Order, { kind: 'issues' }>): Promise<Report> {
  const write = await issueMany(reeve, order)
  const [before, fsyncsBefore] = [await resources(), fsyncs()]
  const latenciesMs = await write()
  const after = await resources()
  return {
    kind: 'issues',
    cpuSec: after.cpuSec - before.cpuSec,
    databaseSec: after.databaseSec - before.databaseSec,
    fsyncs: fsyncs() - fsyncsBefore,
    p50Ms: quantile(latenciesMs, 0.5),
  }
}

const clientOfPosts = new Agent({ connections: 2, keepAliveMaxTimeout: 60_000 })

/** What a delivery costs without anything around it: a POST over a connection that is open, with a token made for it or always the same. */
async function barePosts({ urls, rounds, isSigned }: Extract<Order, { kind: 'posts' }>): Promise<Report> {
  const signer = makeKeyPair('p256')
  const body = JSON.stringify({ space: 'x'.repeat(90), rev: 'x'.repeat(150) })
  const sign = () => {
    const input = `${toBase64Url('x'.repeat(30))}.${toBase64Url('x'.repeat(220))}`
    return `Bearer ${input}.${toBase64Url(signCompact(signer, utf8(input)))}`
  }
  const always = sign()
  const send = async (origin: string) => {
    const authorization = isSigned ? sign() : always
    const headers = { authorization, 'content-type': 'application/json' }
    const answer = await clientOfPosts.request({ origin, path: '/', method: 'POST', headers, body })
    await answer.body.dump()
  }
  await Promise.all(urls.map(send))
  const before = cpuSec()
  const begunMs = performance.now()
  for (let round = 0; round < rounds; round++) await Promise.all(urls.map(send))
  const wallSec = (performance.now() - begunMs) / 1_000
  return { kind: 'posts', cpuSec: cpuSec() - before, wallSec, count: urls.length * rounds }
}

/** Lanes in which something waits to be told, among all that stand. */
async function waiting(): Promise<Report> {
  const { rows } = await sql<{ lanes: number; registrations: number }>`select count(*)::int as registrations,
    (count(*) filter (where last_rev > delivered_rev))::int as lanes from registration left join writer_set using (space)`.execute(
    db,
  )
  return { kind: 'waiting', ...(rows[0] ?? { lanes: Number.NaN, registrations: Number.NaN }) }
}

/** How often the loop is looked at; what a look waits for by itself is taken off again. */
const LOOP_LOOK_MS = 2
let delays: ReturnType<typeof monitorEventLoopDelay> | undefined

function watchLoop(): Report {
  delays = monitorEventLoopDelay({ resolution: LOOP_LOOK_MS })
  delays.enable()
  return { kind: 'loop' }
}

function loopWatched(): Report {
  if (!delays) throw new Error('the loop was not watched')
  delays.disable()
  const late = (ns: number) => Math.max(0, ns / 1e6 - LOOP_LOOK_MS)
  return { kind: 'looped', p99Ms: late(delays.percentile(99)), longestMs: late(delays.max) }
}

/** Opened when it is needed: a debugger that listens costs time and memory. */
async function openInspector() {
  const { Session } = await import('node:inspector/promises')
  const session = new Session()
  session.connect()
  return session
}

let inspector: Awaited<ReturnType<typeof openInspector>> | undefined

async function startProfile(): Promise<Report> {
  inspector = await openInspector()
  await inspector.post('Profiler.enable')
  await inspector.post('Profiler.setSamplingInterval', { interval: 250 })
  await inspector.post('Profiler.start')
  return { kind: 'profile' }
}

async function endProfile(): Promise<Report> {
  if (!inspector) throw new Error('nothing was profiled')
  const { profile } = await inspector.post('Profiler.stop')
  inspector.disconnect()
  return { kind: 'profiled', shares: sharesOf(profile) }
}
