/** The operator's tool: `reeve audit verify`. Reads the same environment as the service; changes nothing. */
import { countUnsealed } from './audit/store.ts'
import { type ChainReport, verifyChains } from './audit/verify.ts'
import { systemClock } from './platform/clock.ts'
import { ConfigError, parseConfig, processEnvironment } from './platform/config.ts'
import { openDatabase } from './platform/database.ts'
import { silentLog } from './platform/log.ts'

const USAGE = `usage: reeve audit verify

  audit verify   follow the audit chain of every community from its first row, and say where one is broken

Run it with the environment of the service (DATABASE_URL, or REEVE_DATA_DIR of a service that is stopped).
Exit codes: 0 all chains hold, 1 one doesn't or the database can't be opened, 64 wrong usage, 78 wrong environment.`

const EXIT_USAGE = 64
const EXIT_CONFIG = 78

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  if (args.join(' ') === 'audit verify') return told(auditVerify)
  const isHelp = args.length === 1 && ['help', '--help', '-h'].includes(args[0] ?? '')
  process[isHelp ? 'stdout' : 'stderr'].write(`${USAGE}\n`)
  return isHelp ? 0 : EXIT_USAGE
}

/** Runs a command and turns its failure into a line; never a stack, which could quote what is stored. */
async function told(command: () => Promise<number>): Promise<number> {
  try {
    return await command()
  } catch (error) {
    const faults = error instanceof ConfigError ? error.faults : [error instanceof Error ? error.message : 'failed']
    for (const fault of faults) process.stderr.write(`reeve: ${fault.split('\n', 1)[0]}\n`)
    return error instanceof ConfigError ? EXIT_CONFIG : 1
  }
}

async function auditVerify(): Promise<number> {
  const config = parseConfig(processEnvironment())
  const { databaseUrl: url, dataDir, allowUnsafeDatabase: allowUnsafe } = config
  const opened = await openDatabase({ url, dataDir, allowUnsafe, log: silentLog, clock: systemClock })
  try {
    let chains = 0
    let broken = 0
    for await (const report of verifyChains(opened.db)) {
      chains += 1
      if (report.fault) broken += 1
      console.log(lineOf(report))
    }
    const waiting = await countUnsealed(opened.db)
    console.log(`${chains} chains, ${broken} broken; ${waiting} rows not chained yet`)
    return broken === 0 ? 0 : 1
  } finally {
    await opened.close()
  }
}

function lineOf({ community, rows, head, fault }: ChainReport): string {
  if (fault) return `BROKEN ${community} at row ${fault.seq}: ${fault.fault}`
  return `holds  ${community} ${rows} rows, ends in ${Buffer.from(head).toString('hex')}`
}
