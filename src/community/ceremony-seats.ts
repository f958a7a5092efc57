/**
 * Whose seats in a ceremony stand, and what counts of what was done in it: at each step, and once more at its end. Whoever was put out, or is
 * suspended, has said and given nothing.
 */
import type { Seat } from '../keys/ceremony-statements.ts'
import { type Keeper, listKeepers, loadKeeper } from '../membership/keeper-store.ts'
import { type FactsCtx, loadStandingFacts } from '../membership/standing-facts.ts'
import { type Did, rosterOf } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { standingOf } from '../policy/standing.ts'
import { type Deed, listDeeds } from './ceremony-act-store.ts'
import { isBySeat, stateAfter } from './ceremony-course.ts'
import { type Ceremony, type CeremonyState, endCeremony, listOpenCeremonies, moveCeremony } from './ceremony-store.ts'
import { isOfSeat } from './quorum-standing.ts'
import { listQuorumKeys, type QuorumState } from './quorum-store.ts'

/** What somebody does with keys so young counts in a first split and in drills; nothing else follows so soon. */
const isYoungEnough = ({ kind }: Pick<Ceremony, 'kind'>): boolean => kind === 'split' || kind === 'drill'

/** Whether somebody who has a seat may act by it now. */
const standsIn = (ceremony: Pick<Ceremony, 'kind'>, seat: Seat, enrolled: readonly Keeper[], nowMs: number): boolean =>
  enrolled.some(
    (keeper) =>
      isOfSeat(seat, keeper) &&
      keeper.suspendedAtMs === null &&
      (isYoungEnough(ceremony) || keeper.countsFromMs <= nowMs),
  )

/** What was done in a ceremony by those whose seats stand, and by those who need none. */
export async function listCounted(db: Db | Tx, ceremony: Ceremony, nowMs: number): Promise<readonly Deed[]> {
  const enrolled = await listKeepers(db, ceremony.community)
  const standing = new Set(
    ceremony.statement.seats.filter((seat) => standsIn(ceremony, seat, enrolled, nowMs)).map(({ did }) => did),
  )
  const deeds = await listDeeds(db, ceremony.id)
  return deeds.filter(({ did, act }) => !isBySeat(act, ceremony) || standing.has(did))
}

const ORDER: readonly CeremonyState[] = ['proposed', 'approved', 'collecting', 'ready']

/** How far a ceremony is by what counts now: as it was written, or less far, where somebody was put out since. */
export function stateBy(ceremony: Ceremony, counted: readonly Deed[]): CeremonyState {
  const { kind, state, signed } = ceremony
  if (kind === 'split' || signed !== null) return state
  const now = stateAfter(ceremony, counted)
  return ORDER.includes(now) && ORDER.indexOf(now) < ORDER.indexOf(state) ? now : state
}

/** Writes that a ceremony is less far than it was. The caller holds the community. */
export async function moveBack(tx: Tx, { id, state }: Ceremony, to: CeremonyState): Promise<void> {
  if (to !== state) await moveCeremony(tx, id, [state], to)
}

/**
 * Whether whoever combines may have the shares: their seat stands, and they are in the roster. Of a ceremony about the owners the roster says
 * nothing: it is in the hands of those whom the keepers want to replace. True where this service combines.
 */
export async function mayCombine(ctx: FactsCtx, db: Db | Tx, ceremony: Ceremony): Promise<boolean> {
  const { community, kind, statement } = ceremony
  if (statement.combiner === null) return true
  const seat = statement.seats.find(({ did }) => did === statement.combiner)
  const keeper = seat && (await loadKeeper(db, community, seat.did))
  if (!seat || !keeper || !isOfSeat(seat, keeper) || keeper.suspendedAtMs !== null) return false
  if (kind === 'ownership') return true
  const facts = await loadStandingFacts(ctx, db, community, seat.did, { feedersOf: () => [] })
  return facts !== null && standingOf(facts).has(rosterOf(community).uri)
}

/** Ends what somebody began or combines and isn't signed: their keys are enrolled no more. Answers how many there were. */
export async function endCeremoniesWith(tx: Tx, community: Did, did: Did, nowMs: number): Promise<number> {
  const theirs = (await listOpenCeremonies(tx, community)).filter(
    ({ createdBy, statement, signed }) => signed === null && (createdBy === did || statement.combiner === did),
  )
  for (const { id } of theirs) await endCeremony(tx, id, { state: 'cancelled' }, nowMs)
  return theirs.length
}

const LIVING: readonly QuorumState[] = ['dealt', 'acknowledged', 'drilled', 'active']

/** Whether an enrolment is that of a seat of a key that is in the identity, or on its way there. */
export async function hasLivingSeat(tx: Tx, community: Did, keeper: Keeper): Promise<boolean> {
  const keys = await listQuorumKeys(tx, community)
  return keys.some(({ state, seats }) => LIVING.includes(state) && seats.some((seat) => isOfSeat(seat, keeper)))
}
