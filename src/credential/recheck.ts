/**
 * Takes back what would not be given any more: after a change that may have taken something from somebody, their live credentials are
 * judged again, by the same facts and the same verdict as at the exchange.
 *
 * Our own endpoints don't wait for it (`presented.ts`); hosts elsewhere can only be told of what is marked here. A note about whose
 * standing moved is dropped when everything it concerns has been looked at, so a process that dies in the middle loses nothing: another
 * one, or the same after its start, begins that look again. Two that look at once mark each credential once.
 */
import { wordKept } from '../access/managing-apps.ts'
import { type AccessCtx, loadReadFacts, mayRead } from '../access/may-read.ts'
import { dropMoved, keepMoved, type MovedNote, noteMovesAt, takeMoved } from '../membership/standing-moved-store.ts'
import { type Did, parseSpaceUri } from '../names.ts'
import { sleep } from '../platform/clock.ts'
import { errorName, type Log } from '../platform/log.ts'
import { Unavailable } from '../refusals.ts'
import { type LiveRead, listLive, type Refused, takeBack } from './ledger-store.ts'

export interface RecheckCtx extends AccessCtx {
  readonly log: Log
}

/** Notes taken at once. */
const NOTES_MAX = 500
/** Reads judged before others have their turn. */
const PAGE_MAX = 100
/** Reads judged beside each other. */
const BESIDE = 4
/** How long a process that says nothing keeps its notes. */
const TAKEN_MS = 5_000
/** After a look that failed. */
const RETRY_MS = 2_000
/** After each page, others have the database for this part of the time that it took, and so many milliseconds at the least. */
const REST_PART = 0.25
const REST_MIN_MS = 5
/** Judgements that the community's moving on may spoil. */
const TRIES_MAX = 4

/** One look at the credentials of some people in a community, or (null) of everybody there. */
interface Sweep {
  readonly community: Did
  readonly people: readonly Did[] | null
  readonly notes: readonly number[]
  /** The last read that was judged. */
  after: LiveRead | null
  /** What went wrong with a read, for the end of the sweep. */
  fault?: unknown
}

/** Goes on until no note is left, or until it is told to end. Answers how many credentials it took back. */
export async function recheckDue(ctx: RecheckCtx, signal?: AbortSignal): Promise<number> {
  let sweeps: readonly Sweep[] = []
  let taken = 0
  for (;;) {
    sweeps = [...sweeps, ...(await newSweeps(ctx, sweeps))]
    if (sweeps.length === 0) return taken
    const going: Sweep[] = []
    // A page of each in turn: who was removed from a small community doesn't wait for a large one.
    for (const sweep of sweeps) {
      if (signal?.aborted) {
        for (const { notes } of sweeps) await keepMoved(ctx.db, notes, ctx.clock.nowMs())
        return taken
      }
      const beganMs = ctx.clock.monotonicMs()
      const page = await followed(ctx, sweep)
      taken += page.taken
      if (!page.isUnfinished) continue
      going.push(sweep)
      await sleep(Math.max(REST_MIN_MS, REST_PART * (ctx.clock.monotonicMs() - beganMs)), signal)
    }
    sweeps = going
  }
}

/** What was noted since. While all of a community is looked at, another look at all of it waits: one will do for many notes. */
async function newSweeps(ctx: RecheckCtx, going: readonly Sweep[]): Promise<readonly Sweep[]> {
  const nowMs = ctx.clock.nowMs()
  const besides = going.filter(({ people }) => people === null).map(({ community }) => community)
  const notes = await takeMoved(ctx.db, { nowMs, untilMs: nowMs + TAKEN_MS, max: NOTES_MAX, besides })
  return [...Map.groupBy(notes, ({ community }) => community)].map(([community, some]) => sweepOf(community, some))
}

function sweepOf(community: Did, notes: readonly MovedNote[]): Sweep {
  const isAll = notes.some(({ did }) => did === null)
  const people = isAll ? null : [...new Set(notes.flatMap(({ did }) => did ?? []))]
  return { community, people, notes: notes.map(({ id }) => id), after: null }
}

interface Page {
  readonly taken: number
  readonly isUnfinished: boolean
}

/** The next page of a sweep, and its end when it was the last one. One that fails is let go of and tried again. */
async function followed(ctx: RecheckCtx, sweep: Sweep): Promise<Page> {
  try {
    return await followPage(ctx, sweep)
  } catch (error) {
    ctx.log.warn('recheck.waits', { community: sweep.community, error: errorName(error) })
    await keepMoved(ctx.db, sweep.notes, ctx.clock.nowMs() + RETRY_MS)
    return { taken: 0, isUnfinished: false }
  }
}

async function followPage(ctx: RecheckCtx, sweep: Sweep): Promise<Page> {
  const { community, people, notes, after } = sweep
  const which = { community, people, nowSec: ctx.clock.nowSec() }
  const page = await listLive(ctx.db, which, { after, limit: PAGE_MAX })
  let taken = 0
  for (let at = 0; at < page.length; at += BESIDE) {
    const looks = await Promise.allSettled(page.slice(at, at + BESIDE).map((read) => judgeAgain(ctx, read)))
    for (const look of looks) {
      if (look.status === 'fulfilled') taken += look.value
      // One that fails doesn't stop the others. All of it is looked at once more for its sake.
      else sweep.fault = look.reason
    }
  }
  if (page.length < PAGE_MAX && sweep.fault !== undefined) throw sweep.fault
  const isUnfinished = page.length === PAGE_MAX
  sweep.after = page.at(-1) ?? null
  if (isUnfinished) await keepMoved(ctx.db, notes, ctx.clock.nowMs() + TAKEN_MS)
  else await dropMoved(ctx.db, notes)
  return { taken, isUnfinished }
}

/** Judges one read as the exchange would, and takes it back if that would say no. Whoever got back what they had lost keeps it. */
async function judgeAgain(ctx: RecheckCtx, read: LiveRead): Promise<number> {
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const refused = await refusedNow(ctx, read)
    if (!refused) return 0
    const outcome = await takeBack(ctx.db, read, refused)
    if (outcome !== 'moved') return outcome
  }
  throw new Unavailable('NotEnoughResources', 'community')
}

/**
 * A membership may have been given an end that comes before that of the credentials: nobody will change anything then, so it is noted
 * now, to be looked at in that moment. No managing app is asked: what it said when the credential was given holds, where it still counts.
 */
async function refusedNow(ctx: RecheckCtx, read: LiveRead): Promise<Refused | null> {
  const { space, did, clientId, managedBy, untilSec } = read
  const name = parseSpaceUri(space)
  if (!name) throw new TypeError('a credential for what is no space')
  const about = { community: name.authority, atMs: ctx.clock.nowMs() }
  const found = await loadReadFacts(ctx, name, did)
  if (found.space !== 'live') return { ...about, code: 'SpaceDeleted', because: [], basis: [] }
  const verdict = mayRead(found.facts, { did, clientId }, wordKept(managedBy))
  if (!verdict.ok) return { ...about, code: verdict.code, because: verdict.because, basis: found.basis }
  const { untilMs } = verdict.value
  if (untilMs !== null && untilMs < untilSec * 1000) {
    await noteMovesAt(ctx.db, { community: name.authority, did, revision: found.revision, atMs: untilMs })
  }
  return null
}
