/** `reeve audit verify`: follows the audit chain of every community from its first row. Changes nothing. */
import { countUnsealed } from '../audit/store.ts'
import { type ChainReport, verifyChains } from '../audit/verify.ts'
import type { Db } from '../platform/database.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments } from './command.ts'
import { onDatabase } from './on-database.ts'
import { say } from './terminal.ts'

export const auditVerify: Command = {
  words: ['audit', 'verify'],
  takes: '',
  does: ['Follow the audit chain of every community from its first row, and say where one is broken.'],
  async run(args) {
    readArguments(args, 0, {})
    return onDatabase(verify)
  },
}

async function verify(db: Db): Promise<number> {
  let chains = 0
  let broken = 0
  for await (const report of verifyChains(db)) {
    chains += 1
    if (report.fault) broken += 1
    say(lineOf(report))
  }
  say(`${chains} chains, ${broken} broken; ${await countUnsealed(db)} rows not chained yet`)
  return broken === 0 ? EXIT_FINE : EXIT_FAILED
}

function lineOf({ community, rows, head, fault }: ChainReport): string {
  if (fault) return `BROKEN ${community} at row ${fault.seq}: ${fault.fault}`
  return `holds  ${community} ${rows} rows, ends in ${Buffer.from(head).toString('hex')}`
}
