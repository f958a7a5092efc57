/** The operator's tool: `reeve audit verify`, `reeve roll export`. Reads the same environment as the service; changes nothing. */
import { once } from 'node:events'
import { countUnsealed } from './audit/store.ts'
import { type ChainReport, verifyChains } from './audit/verify.ts'
import { type ExportPage, exportPage, type Position } from './community/roll-export.ts'
import { type Did, parseDid } from './names.ts'
import { systemClock } from './platform/clock.ts'
import { ConfigError, parseConfig, processEnvironment } from './platform/config.ts'
import { type Db, openDatabase, withTransaction } from './platform/database.ts'
import { silentLog } from './platform/log.ts'

const USAGE = `usage: reeve audit verify
       reeve roll export <did>

  audit verify        follow the audit chain of every community from its first row, and say where one is broken
  roll export <did>   write everything on the roll of a community to the standard output, as JSON Lines, of one moment

Run it with the environment of the service (DATABASE_URL, or REEVE_DATA_DIR of a service that is stopped).
Exit codes: 0 all is well, 1 a chain is broken, or there is no such community or database, 64 wrong usage, 78 wrong environment.`

/** Lines that are read from the database at once. */
const EXPORT_LINES = 2_000
const EXIT_USAGE = 64
const EXIT_CONFIG = 78

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  const [what, how, did, ...more] = args
  if (what === 'audit' && how === 'verify' && did === undefined) return told(() => onDatabase(auditVerify))
  const community = parseDid(did)
  if (what === 'roll' && how === 'export' && community && more.length === 0) {
    return told(() => onDatabase((db) => rollExport(db, community)))
  }
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

async function onDatabase(work: (db: Db) => Promise<number>): Promise<number> {
  const config = parseConfig(processEnvironment())
  const { databaseUrl: url, dataDir, allowUnsafeDatabase: allowUnsafe } = config
  const opened = await openDatabase({ url, dataDir, allowUnsafe, log: silentLog, clock: systemClock })
  try {
    return await work(opened.db)
  } finally {
    await opened.close()
  }
}

async function auditVerify(db: Db): Promise<number> {
  let chains = 0
  let broken = 0
  for await (const report of verifyChains(db)) {
    chains += 1
    if (report.fault) broken += 1
    console.log(lineOf(report))
  }
  const waiting = await countUnsealed(db)
  console.log(`${chains} chains, ${broken} broken; ${waiting} rows not chained yet`)
  return broken === 0 ? 0 : 1
}

/** All pages of one snapshot. Whoever reads slower than they come holds them up. */
function rollExport(db: Db, community: Did): Promise<number> {
  const read = { isolation: 'repeatable read' } as const
  return withTransaction(
    db,
    async (tx) => {
      for (let at: Position | null = null; ; ) {
        const page: ExportPage | null = await exportPage({ clock: systemClock }, tx, community, {
          at,
          limit: EXPORT_LINES,
        })
        if (!page) throw new Error('there is no such community')
        if (!process.stdout.write(page.lines)) await once(process.stdout, 'drain')
        at = page.next
        if (!at) return 0
      }
    },
    read,
  )
}

function lineOf({ community, rows, head, fault }: ChainReport): string {
  if (fault) return `BROKEN ${community} at row ${fault.seq}: ${fault.fault}`
  return `holds  ${community} ${rows} rows, ends in ${Buffer.from(head).toString('hex')}`
}
