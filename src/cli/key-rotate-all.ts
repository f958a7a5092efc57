/**
 * `reeve key rotate-all`: every key that this service keeps for its communities is replaced, since somebody may have them.
 *
 * It begins the replacement of each community and looks on; the running service carries it out. Stopped at any moment, what was begun goes on.
 * One community that can't be begun stops none of the others: whoever has the keys has them of all.
 */

import { listHeld } from '../community/custody-store.ts'
import { countUrgentSince } from '../community/key-rotation-store.ts'
import { type Begun, beginRotateAll } from '../community/rotate-all.ts'
import { CREDENTIAL } from '../credential/token-classes.ts'
import { openVault } from '../keys/vault.ts'
import { isoOf, msOf, sleep, systemClock } from '../platform/clock.ts'
import type { Config } from '../platform/config.ts'
import type { Db } from '../platform/database.ts'
import { loadInstanceId } from '../platform/instance.ts'
import { errorName, silentLog } from '../platform/log.ts'
import { systemRandom } from '../platform/random.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { configuredKeks } from './keks.ts'
import { onDatabase } from './on-database.ts'
import { asked, say } from './terminal.ts'

export const keyRotateAll: Command = {
  words: ['key', 'rotate-all'],
  takes: '--reason <word> [--since <instant>]',
  does: [
    'Replace every key that this service keeps, of every community, since somebody may have them. Says what it will do,',
    'and asks. --since goes on with a run that was stopped: what was begun after that instant is not begun again.',
  ],
  async run(args) {
    const { options } = readArguments(args, 0, { reason: 'text', since: 'text' })
    const { reason } = options
    if (!reason || !/^[a-z0-9-]{1,64}$/.test(reason)) throw new WrongUsage('--reason is one word, such as kek-leak')
    const sinceMs = options.since === undefined ? null : msOf(options.since)
    if (options.since !== undefined && sinceMs === null) throw new WrongUsage('--since is an instant')
    return onDatabase((db, config) => rotateAll(db, config, { reason, sinceMs }))
  },
}

/** Communities between two lines of progress. */
const TOLD_EVERY = 50
const LOOK_PAUSE_MS = 2_000

async function rotateAll(
  db: Db,
  config: Config,
  { reason, sinceMs: asOf }: { readonly reason: string; readonly sinceMs: number | null },
): Promise<number> {
  const communities = await listHeld(db)
  const { serviceDid } = config
  say(...planOf(communities.length, reason).split('\n'))
  if ((await asked(`Type ${serviceDid} to begin: `)) !== serviceDid) {
    say('', 'That is not it. Nothing was changed.')
    return EXIT_FAILED
  }
  const sinceMs = asOf ?? systemClock.nowMs()
  say('', `Begun. If this is stopped, go on with: --since ${isoOf(sinceMs)}`)
  const instanceId = await loadInstanceId(db, systemRandom, systemClock)
  const given = { db, clock: systemClock, random: systemRandom, log: silentLog, instanceId }
  const vault = openVault({ ...given, ...configuredKeks(config) })
  const ctx = { db, clock: systemClock, vault, serviceDid, credentialLifetimeSec: CREDENTIAL.lifetimeDefaultSec }
  const outcomes = new Map<Begun | 'failed', number>()
  const again: string[] = []
  for (const [nth, community] of communities.entries()) {
    const outcome = await begun(ctx, community, { sinceMs, note: reason })
    const name = typeof outcome === 'string' ? outcome : 'failed'
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1)
    if (outcome === 'waits') again.push(`WAITS ${community}: an operation of it is on its way`)
    if (outcome === 'keepers')
      again.push(
        `KEEPERS ${community}: only they can change its identity; they let this service have a key (wish shared)`,
      )
    if (typeof outcome !== 'string') again.push(`FAILED ${community}: ${outcome.fault}`)
    if ((nth + 1) % TOLD_EVERY === 0) say(`gone through ${nth + 1} of ${communities.length}`)
  }
  say([...outcomes].map(([outcome, count]) => `${count} ${SAYS[outcome]}`).join(', ') || 'there is no community')
  say(...again)
  if (again.length > 0)
    say(`${again.length} were not begun. See to it, and run this again with --since ${isoOf(sinceMs)}`)
  if (config.databaseUrl === null) {
    say('Start the service now: it carries on what was begun.')
    return again.length === 0 ? EXIT_FINE : EXIT_FAILED
  }
  return lookOn(db, sinceMs, again.length)
}

/** What it came to, or why it came to nothing. Never throws. */
async function begun(
  ...[ctx, community, about]: Parameters<typeof beginRotateAll>
): Promise<Begun | { fault: string }> {
  try {
    return await beginRotateAll(ctx, community, about)
  } catch (error) {
    return { fault: errorName(error) }
  }
}

const SAYS: Record<Begun | 'failed', string> = {
  begun: 'begun',
  underWay: 'begun before',
  waits: 'wait for another operation',
  keepers: 'are for their keepers to do',
  ended: 'ended meanwhile',
  failed: 'FAILED',
}

/** Until nothing is under way any more. */
async function lookOn(db: Db, sinceMs: number, waiting: number): Promise<number> {
  for (let told = ''; ; ) {
    const counts = await countUrgentSince(db, sinceMs)
    const done = counts.get('done') ?? 0
    const refused = counts.get('refused') ?? 0
    const left = [...counts.values()].reduce((sum, count) => sum + count, 0) - done - refused
    const line = `replaced ${done}, refused ${refused}, under way ${left}`
    if (line !== told) say(line)
    told = line
    if (left === 0) {
      if (refused > 0) say('REFUSED ones keep their keys: reeve key inventory shows why.')
      return refused === 0 && waiting === 0 ? EXIT_FINE : EXIT_FAILED
    }
    await sleep(LOOK_PAUSE_MS)
  }
}

const planOf = (count: number, reason: string): string => `
${count} communities have keys here. Reason given: ${reason}.

What happens now, to each of them, those with the most people first: a new rotation, service and space key is made, and one operation at the
PLC directory puts them in the place of the old ones. The running service sends it; with many communities this takes a while.

Who notices: credentials that are out are refused as soon as whoever checks them has read the new document, and apps ask for others. That is
within the hour at most hosts and a day at the slowest. Until then whoever has the old keys is believed there. Owners are told.

It can't be undone: the old keys are marked, and thrown away after three days. Where a community's own key is in somebody's hands, nothing of
this takes it from them. If a key-encryption key leaked, put another in its place FIRST (reeve kek rotate), or the new keys lie under it too.
`
