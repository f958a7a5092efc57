/**
 * `reeve restored status` and `reeve restored accept`: after a database was put back to an older state, what is missing from it, and the way on.
 *
 * Accepting takes nothing back and brings nothing back. It has each community that is touched rest until its owners have looked at it, and it
 * waits until no token is good any more whose use this database has forgotten. Stopped at any moment it is run again and goes on.
 */
import { AGE_MAX_MS, type Checkpoint } from '../audit/checkpoint.ts'
import { type CheckpointFolder, checkpointFolder, type KeptCheckpoint } from '../audit/checkpoint-folder.ts'
import { lastEntriesAt, loadHeads } from '../audit/head-store.ts'
import { compareWith, missingFrom, type Parted, unknownOf } from '../audit/past.ts'
import { canBeMarked, checkpointsIn, loadMark, type Mark, markPast, unmark } from '../audit/past-store.ts'
import { appendAllChained, listEntries } from '../audit/store.ts'
import { ACCEPT, type Accepted, acceptRestored } from '../community/restored-community.ts'
import { REUSABLE_MAX_SEC } from '../credential/token-classes.ts'
import { Graphs } from '../membership/graph.ts'
import { openPaces } from '../membership/pace.ts'
import { isoOf, systemClock } from '../platform/clock.ts'
import type { Config } from '../platform/config.ts'
import { type Db, withTransaction } from '../platform/database.ts'
import { loadInstanceId } from '../platform/instance.ts'
import { systemRandom } from '../platform/random.ts'
import { SealedWords } from '../platform/sealed-words.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments } from './command.ts'
import { onDatabase } from './on-database.ts'
import { asked, say } from './terminal.ts'

export const restoredStatus: Command = {
  words: ['restored', 'status'],
  takes: '',
  does: [
    'Compare the database with its checkpoints: which communities lack entries, how many, and since when. Changes nothing.',
  ],
  async run(args) {
    readArguments(args, 0, {})
    return onDatabase(async (db, config) => status(db, await lookAt(db, config)))
  },
}

export const restoredAccept: Command = {
  words: ['restored', 'accept'],
  takes: '',
  does: [
    'Go on with a database that was put back to an older state. Each community that lacks entries rests until its owners wake it.',
    'Says what it will do, and asks.',
  ],
  async run(args) {
    readArguments(args, 0, {})
    return onDatabase(async (db, config) => accept(db, config, await lookAt(db, config)))
  },
}

/** A database beside its checkpoints. */
interface Found {
  readonly instance: string
  readonly folder: CheckpointFolder
  readonly kept: readonly KeptCheckpoint[]
  /** What a process found that has seen more. Null: none has looked yet, or it was accepted. */
  readonly mark: Mark | null
  readonly parted: readonly Parted[]
  /** When the newest checkpoint was made; null where there is none. */
  readonly newestAtMs: number | null
}

async function lookAt(db: Db, config: Config): Promise<Found> {
  const instance = await loadInstanceId(db, systemRandom, systemClock)
  const folder = checkpointFolder(config.checkpointDir, systemRandom)
  const { kept } = await folder.read(instance)
  const mark = (await canBeMarked(db)) ? await loadMark(db) : null
  // Whoever found it may have looked into another folder, on another machine.
  const checkpoints = [...kept.map(({ checkpoint }) => checkpoint), ...(mark ? checkpointsIn(mark, instance) : [])]
  const compared = await compareWith(db, checkpoints)
  const isAccepted = kept.some(({ checkpoint }) => (checkpoint.acceptedAtMs ?? 0) >= (mark?.foundAtMs ?? 0))
  const isUnknown = mark && !isAccepted && compared.parted.length === 0
  const parted = isUnknown ? unknownOf(compared.heads, mark.foundAtMs) : compared.parted
  return { instance, folder, kept, mark, parted, newestAtMs: newestOf(checkpoints, parted) }
}

/**
 * When the newest checkpoint was made that the database is behind, or else the newest of all. One that `accept` wrote before it was stopped in the
 * middle is not among the former; and none was made later than now, whatever clock said so.
 */
function newestOf(checkpoints: readonly Checkpoint[], parted: readonly Parted[]): number | null {
  const times = parted.length > 0 ? parted.map(({ seenAtMs }) => seenAtMs) : checkpoints.map(({ atMs }) => atMs)
  return times.length === 0 ? null : Math.min(Math.max(...times), systemClock.nowMs())
}

/** 0 when the database is a later state of every checkpoint. */
async function status(db: Db, { folder, mark, parted, newestAtMs }: Found): Promise<number> {
  if (newestAtMs === null) {
    say(`There is no checkpoint of this database in ${folder.path}: nobody can tell whether it is an old one.`)
    return EXIT_FAILED
  }
  await tell(db, parted)
  if (parted.length === 0 && mark) {
    say(`This database was accepted, and that was stopped before its end: ${AGAIN}`)
    return EXIT_FAILED
  }
  if (parted.length === 0) {
    say(`This database goes on from its newest checkpoint, of ${isoOf(newestAtMs)}.`)
    return EXIT_FINE
  }
  const foundAtMs = mark?.foundAtMs ?? systemClock.nowMs()
  say(
    `${parted.length} chains are not as they were, ${missingFrom(parted)} entries are missing; the newest checkpoint is of ${isoOf(newestAtMs)}.`,
    `To go on with this database as it is: ${AGAIN}, from ${isoOf(earliestMs(newestAtMs, foundAtMs))} on.`,
  )
  return EXIT_FAILED
}

const AGAIN = 'reeve restored accept'

/**
 * From when on no token is good that may have been used up since the backup: the service may have gone on for that long after its last
 * checkpoint, and what was used up in the last moment of it has to be over. Where checkpoints could not be written it went on for longer, nobody
 * knows for how long; but it had ended when its database was found to be this one.
 */
const earliestMs = (newestAtMs: number, foundAtMs: number): number =>
  Math.max(newestAtMs + AGE_MAX_MS, foundAtMs) + REUSABLE_MAX_SEC * 1000

async function tell(db: Db, parted: readonly Parted[]): Promise<void> {
  const lastAt = await lastEntriesAt(
    db,
    parted.map(({ community }) => community),
  )
  for (const { community, fault, seen, seenAtMs, has } of parted) {
    const ms = lastAt.get(community)
    const since = ms === undefined ? '' : `, its last of ${isoOf(ms)}`
    const was = `the checkpoint of ${isoOf(seenAtMs)} has ${seen.seq} entries`
    if (fault === 'gone') say(`GONE      ${community}: ${was}, this database knows nothing of it`)
    if (fault === 'behind')
      say(`BEHIND    ${community}: ${seen.seq - has} entries missing; ${was}, this database ${has}${since}`)
    if (fault === 'unknown') say(`UNKNOWN   ${community}: this database has ${has} entries${since}`)
    if (fault === 'rewritten')
      say(`REWRITTEN ${community}: entry ${seen.seq} is another one; ${was}, this database ${has}${since}`)
  }
}

/** 0 when the database was accepted, or there was nothing to accept. @throws Error in one line when it is too early */
async function accept(db: Db, config: Config, found: Found): Promise<number> {
  const { folder, kept, mark, parted, newestAtMs } = found
  if (parted.length === 0 && mark) {
    await unmark(db)
    say('This database had been accepted. Its mark is gone now too: start EVERY process of this service again.')
    return EXIT_FINE
  }
  if (newestAtMs === null || parted.length === 0) {
    say('This database is not behind any checkpoint: there is nothing to accept, and nothing was changed.')
    return EXIT_FINE
  }
  if (!(await canBeMarked(db))) {
    throw new Error(
      'this database is of an older schema: start one process on it, which lets nobody in, and then do this',
    )
  }
  const nowMs = systemClock.nowMs()
  // Where no process has found it, nobody can tell how long ago the service went on elsewhere: it is found now.
  const foundAtMs = mark?.foundAtMs ?? (await markPast(db, parted, nowMs))
  const fromMs = earliestMs(newestAtMs, foundAtMs)
  if (nowMs < fromMs) {
    throw new Error(
      `too early: tokens that were used up since the backup may still be good. Come back at ${isoOf(fromMs)}; nothing was changed`,
    )
  }
  await tell(db, parted)
  say(...planOf(found).split('\n'))
  const { serviceDid } = config
  if ((await asked(`Type ${serviceDid} to accept: `)) !== serviceDid) {
    say('', 'That is not it. Nothing was changed.')
    return EXIT_FAILED
  }
  say('')
  await noteDown(db, config, found)
  const ctx = {
    ...{ db, clock: systemClock, graphs: new Graphs(), paces: openPaces(), serviceDid },
    words: new SealedWords(found.instance),
  }
  for (const one of parted.filter(({ fault, community }) => fault !== 'gone' && community !== serviceDid)) {
    say(`${SAYS[await acceptRestored(ctx, one)]} ${one.community}`)
  }
  const acceptedAtMs = systemClock.nowMs()
  await folder.write({ instance: found.instance, atMs: acceptedAtMs, acceptedAtMs, heads: await loadHeads(db) })
  // The other way about, a process that starts in between would take the database for a good one, and nobody would have looked at it.
  const aside = await folder.setAside(kept.map(({ name }) => name))
  await unmark(db)
  say(...endOf(aside).split('\n'))
  return EXIT_FINE
}

const SAYS: Record<Accepted, string> = {
  frozen: 'FROZEN          ',
  restedAlready: 'RESTED ALREADY  ',
  noted: 'NOTED           ',
  before: 'ACCEPTED BEFORE ',
}

/** In the chain of this service, once for each checkpoint: that it was accepted, and which communities are gone. */
async function noteDown(db: Db, { serviceDid }: Config, { parted, newestAtMs }: Found): Promise<void> {
  const checkpointAt = isoOf(newestAtMs ?? 0)
  const [before] = await listEntries(db, { community: serviceDid, beforeId: null, limit: 1, action: ACCEPT })
  const said: unknown = before?.because
  if (typeof said === 'object' && said !== null && 'checkpointAt' in said && said.checkpointAt === checkpointAt) return
  const gone = parted.filter(({ fault }) => fault === 'gone')
  const about = { community: serviceDid, actor: serviceDid, subject: null, atMs: systemClock.nowMs() }
  const facts = [
    ...gone.map(({ community, seen }) => ({
      ...about,
      action: 'restored.gone',
      target: community,
      because: { seen: seen.seq, seenHash: seen.hash },
    })),
    {
      ...about,
      action: ACCEPT,
      target: serviceDid,
      because: { checkpointAt, chains: parted.length, missing: missingFrom(parted), gone: gone.length },
    },
  ]
  await withTransaction(db, (tx) => appendAllChained(tx, serviceDid, facts))
}

const planOf = ({ parted }: Found): string => `
What happens now: this database is taken for the true one from here on. What is missing from it stays missing: members who were removed or banned
since are back, who came since is out again, and keys that were made since are not in it. Each community above that the database knows is
frozen: nobody reads or writes there, and nobody comes through, until one of its owners has looked at it and wakes it. It stands in the
chain of each, and in that of this service.${goneOf(parted)}

This can't be undone, but by putting back a newer state of the database. If there is one, or a server that has what is missing: use that,
and don't accept. EVERY process of this service must be stopped, or be one that says RestoredFromPast.
`

function goneOf(parted: readonly Parted[]): string {
  const count = parted.filter(({ fault }) => fault === 'gone').length
  return count === 0
    ? ''
    : `\n${count} of them are GONE: their keys are not in this database, and they go on by their own key only.`
}

const endOf = (aside: string): string => `
Done. The old checkpoints are kept in ${aside}.

- Start EVERY process of this service again now: those that run remember what isn't there any more. Where another machine has a folder of
  checkpoints of its own, move the files in it aside first, or it finds the same once more, for all.
- Tell the owners of the communities above. They look at their members, bans, rules about apps, offers and proposals (member.list,
  member.listBans, app.list, federation.listOffers, proposal.list), compare with what they remember, and wake the community:
  community.freeze with isFrozen false.
- Compare the keys of each with its document: reeve key inventory.
`
