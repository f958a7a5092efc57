/**
 * `reeve audit verify`: follows the audit chain of every community from its first row, and compares each with the checkpoints that were kept of
 * it. Changes nothing.
 *
 * By itself a database can't tell that a whole chain was written anew, or cut together with its recorded end. Whoever kept a checkpoint can.
 */
import type { Checkpoint } from '../audit/checkpoint.ts'
import { checkpointFolder, readCheckpoint } from '../audit/checkpoint-folder.ts'
import { compareWith, type Parted } from '../audit/past.ts'
import { countUnsealed } from '../audit/store.ts'
import { type ChainReport, verifyChains } from '../audit/verify.ts'
import { isoOf, systemClock } from '../platform/clock.ts'
import type { Config } from '../platform/config.ts'
import type { Db } from '../platform/database.ts'
import { loadInstanceId } from '../platform/instance.ts'
import { systemRandom } from '../platform/random.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments } from './command.ts'
import { onDatabase } from './on-database.ts'
import { say } from './terminal.ts'

export const auditVerify: Command = {
  words: ['audit', 'verify'],
  takes: '[--checkpoint <file>]',
  does: [
    'Follow the audit chain of every community from its first row, and say where one is broken, or is another one than the',
    'checkpoints saw: those that this service keeps, and one of your own.',
  ],
  async run(args) {
    const { options } = readArguments(args, 0, { checkpoint: 'text' })
    return onDatabase((db, config) => verify(db, config, options.checkpoint ?? null))
  },
}

async function verify(db: Db, config: Config, file: string | null): Promise<number> {
  const instance = await loadInstanceId(db, systemRandom, systemClock)
  const checkpoints = await checkpointsOf(config, instance, file)
  let chains = 0
  let broken = 0
  for await (const report of verifyChains(db)) {
    chains += 1
    if (report.fault) broken += 1
    say(lineOf(report))
  }
  const { parted } = await compareWith(db, checkpoints)
  say(...parted.map(lineOfParted))
  const newest = checkpoints.toSorted((a, b) => b.atMs - a.atMs)[0]
  if (newest)
    say(`compared with ${checkpoints.length} checkpoints, the newest of ${isoOf(newest.atMs)}: ${parted.length} differ`)
  say(`${chains} chains, ${broken} broken; ${await countUnsealed(db)} rows not chained yet`)
  return broken === 0 && parted.length === 0 ? EXIT_FINE : EXIT_FAILED
}

/** Those of the service's own folder, and the one that was given. @throws Error in one line, also for one of another database */
async function checkpointsOf(config: Config, instance: string, file: string | null): Promise<readonly Checkpoint[]> {
  const { kept } = await checkpointFolder(config.checkpointDir, systemRandom).read(instance)
  const own = kept.map(({ checkpoint }) => checkpoint)
  if (file === null) return own
  const given = await readCheckpoint(file)
  if (!given) throw new Error('there is no such checkpoint')
  if (given.checkpoint.instance !== instance) throw new Error('that is a checkpoint of another database')
  return [...own, given.checkpoint]
}

function lineOf({ community, rows, head, fault }: ChainReport): string {
  if (fault) return `BROKEN ${community} at row ${fault.seq}: ${fault.fault}`
  return `holds  ${community} ${rows} rows, ends in ${Buffer.from(head).toString('hex')}`
}

function lineOfParted({ community, fault, seen, seenAtMs, has }: Parted): string {
  const was = `the checkpoint of ${isoOf(seenAtMs)} saw row ${seen.seq}`
  if (fault === 'rewritten') return `DIFFERS ${community} at row ${seen.seq}: ${was} with another hash`
  return `DIFFERS ${community} ends at row ${has}: ${was}`
}
