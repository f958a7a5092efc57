/**
 * Whether those by whose access a registration lives may still read: judged before anything is sent, by the facts and the verdict of the
 * exchange, for all lanes of a space in one look.
 */
import { type AccessCtx, loadReadersFacts, mayRead, type Readers } from '../access/may-read.ts'
import { type Did, parseSpaceUri, type SpaceUri } from '../names.ts'
import { type Lane, loadSponsors, type Sponsor } from './lane-store.ts'

/**
 * What is to become of a lane. `rests`: nobody reads there for now, or the space has ended and its lanes are not put down to be told of it
 * yet; nobody is to blame, so nothing ends by it.
 */
export type Standing =
  | { readonly is: 'goes'; readonly checkedRevision: number; readonly checkedAtMs: number }
  | { readonly is: 'rests' }
  | { readonly is: 'ends' }

/** A judgement is good while the community stands still, but no longer than this: others whose spaces are nested there move on their own. */
const CHECKED_MS = 60_000
/** People in one look. */
const PEOPLE_MAX = 500

/** Whether a lane has to be judged before it is told anything. What is said to the last time, that a space ended, everybody may hear. */
export function isToBeJudged(lane: Lane, nowMs: number): boolean {
  if (lane.endedAtMs !== null) return false
  const ageMs = nowMs - lane.checkedAtMs
  return lane.revision !== lane.checkedRevision || ageMs > CHECKED_MS || ageMs < 0
}

/** Judges lanes of one space, by their ids. @throws Unavailable */
export async function judgeLanes(
  ctx: AccessCtx,
  space: SpaceUri,
  lanes: readonly Lane[],
): Promise<ReadonlyMap<number, Standing>> {
  const name = parseSpaceUri(space)
  if (!name) throw new TypeError('a lane of what is no space')
  const nowMs = ctx.clock.nowMs()
  const sponsors = await loadSponsors(
    ctx.db,
    lanes.map(({ id }) => id),
  )
  const looks = new Map<Did, Readers>()
  const people = [...new Set([...sponsors.values()].flat().map(({ did }) => did))]
  // One look at least, also where nobody is left: while the space rests nothing ends.
  for (let at = 0; at === 0 || at < people.length; at += PEOPLE_MAX) {
    const some = people.slice(at, at + PEOPLE_MAX)
    const look = await loadReadersFacts(ctx, name, some)
    if (look.space !== 'live' || look.isFrozen) return new Map(lanes.map(({ id }) => [id, { is: 'rests' }]))
    for (const did of some) looks.set(did, look)
  }
  return new Map(lanes.map(({ id }) => [id, standingOf(sponsors.get(id) ?? [], looks, nowMs)]))
}

/** One who may read is enough. */
function standingOf(sponsors: readonly Sponsor[], looks: ReadonlyMap<Did, Readers>, nowMs: number): Standing {
  for (const sponsor of sponsors) {
    const look = looks.get(sponsor.did)
    if (look?.space !== 'live' || !mayRead(look.factsOf(sponsor.did), sponsor).ok) continue
    return { is: 'goes', checkedRevision: look.revision, checkedAtMs: nowMs }
  }
  return { is: 'ends' }
}
