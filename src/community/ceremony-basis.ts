/** What a ceremony stands on when it begins, and goes on standing on: which key in shares, who keeps it, and that nothing else is in its way. */
import type { CeremonyStatement, Seat } from '../keys/ceremony-statements.ts'
import { type Keeper, listKeepers } from '../membership/keeper-store.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import { Refusal } from '../refusals.ts'
import { type Ceremony, isOverdue, listOpenCeremonies } from './ceremony-store.ts'
import type { CeremonyWish } from './ceremony-wish.ts'
import { isOver, loadRotation } from './key-rotation-store.ts'
import { loadOpenClaim } from './ownership-claim-store.ts'
import { bringsKey } from './quorum-operations.ts'
import { listQuorumKeys, loadActiveQuorum, loadComingQuorum, loadQuorumKey, type QuorumKey } from './quorum-store.ts'
import { rotationUnderWay } from './rotation-begin.ts'

/** What goes into the statement, by what is so now. The name of a key that is yet to be made is empty. */
export interface Basis {
  readonly slot: string
  readonly quorum: CeremonyStatement['quorum']
  readonly seats: readonly Seat[]
  readonly replaces: CeremonyStatement['replaces']
}

/** A key in shares for which something can be shown before it is in force. */
const SHOWABLE: readonly QuorumKey['state'][] = ['acknowledged', 'drilled']

/** The key that a drill, an operation or an ownership is about; null: there is none. */
export async function loadKeyFor(db: Db | Tx, community: Did, kind: Ceremony['kind']): Promise<QuorumKey | null> {
  const coming = kind === 'drill' ? await loadComingQuorum(db, community) : null
  return coming && SHOWABLE.includes(coming.state) ? coming : loadActiveQuorum(db, community)
}

/** @throws Refusal InvalidRequest, naming which keeper; UnsupportedCustody where there is no key in shares */
export async function basisOf(tx: Tx, community: Did, wish: CeremonyWish): Promise<Basis> {
  if (wish.kind === 'split') return splitBasis(tx, community, wish)
  const key = await loadKeyFor(tx, community, wish.kind)
  if (!key) throw new Refusal('UnsupportedCustody', 'the community has no key in shares for that')
  const { id, didKey: pub, generation, n, k, dealtBy, seats } = key
  const slot = wish.kind === 'ownership' ? `owners ${id}` : slotOfKey(id)
  return { slot, quorum: { key: id, pub, generation, n, k, dealtBy }, seats, replaces: null }
}

export const SPLIT_SLOT = 'split'
const slotOfKey = (id: string): string => `key ${id}`

async function splitBasis(
  tx: Tx,
  community: Did,
  { keepers, k }: Extract<CeremonyWish, { kind: 'split' }>,
): Promise<Basis> {
  const enrolled = await listKeepers(tx, community)
  const seats = keepers.map((did) => seatFor(enrolled, did))
  if (new Set(seats.map(({ signKey }) => signKey)).size !== seats.length) {
    throw new Refusal('InvalidRequest', 'two keepers have enrolled the same key')
  }
  const keys = await listQuorumKeys(tx, community)
  const active = keys.find(({ state }) => state === 'active') ?? null
  const came = keys.filter(({ state }) => state === 'active' || state === 'retired')
  const generation = 1 + Math.max(0, ...came.map((key) => key.generation))
  const quorum = { key: '', pub: null, generation, n: seats.length, k, dealtBy: null }
  return { slot: SPLIT_SLOT, quorum, seats, replaces: active?.didKey ?? null }
}

function seatFor(enrolled: readonly Keeper[], did: Did): Seat {
  const keeper = enrolled.find((one) => one.did === did)
  if (!keeper) throw new Refusal('InvalidRequest', `${did} has enrolled no keys`)
  if (keeper.suspendedAtMs !== null) throw new Refusal('InvalidRequest', `${did} gave wrong shares and is suspended`)
  return { did, keeper: keeper.id, sealKey: keeper.sealKey, signKey: keeper.signKey, x: null, commitment: null }
}

/** @throws Refusal('RotationUnderWay') */
export async function requireNoRotation(tx: Tx, community: Did): Promise<void> {
  const rotation = await loadRotation(tx, community)
  if (rotation && !isOver(rotation)) throw rotationUnderWay()
}

/** That keepers aren't just putting a key in place that another one would be dealt instead of. @throws Refusal('CeremonyInProgress') */
export async function requireNoRekey(tx: Tx, community: Did, nowMs: number): Promise<void> {
  for (const one of await listOpenCeremonies(tx, community)) {
    const { operation } = one.statement
    if (operation === null || isOverdue(one, nowMs)) continue
    // By what it does, and not by what it is called: somebody may have brought the operation.
    if (await bringsKey(tx, community, operation.bytes)) throw inProgress()
  }
}

/**
 * That nobody named other owners: who owns it now must not put keepers of their own in meanwhile, above or beside the key by which that was said.
 * @throws Refusal('CoolingDown')
 */
export async function requireNoClaim(tx: Tx, community: Did): Promise<void> {
  const claim = await loadOpenClaim(tx, community)
  if (!claim) return
  const says = `a key of the community named other owners, which is decided at ${isoOf(claim.dueAtMs)} at the earliest`
  throw new Refusal('CoolingDown', `${says}: no new key comes in before`)
}

/** That a key which a drill would bring into the identity may come there now. @throws Refusal RotationUnderWay, CoolingDown */
export async function requirePlaceable(tx: Tx, community: Did): Promise<void> {
  if (await loadActiveQuorum(tx, community)) return
  await requireNoRotation(tx, community)
  await requireNoClaim(tx, community)
}

export const inProgress = (): Refusal =>
  new Refusal(
    'CeremonyInProgress',
    'another ceremony about the same key is open; wait for its end, or have it cancelled',
  )

/** States in which a key can be what a ceremony is about. */
const MAY_STAND: Readonly<Record<Exclude<Ceremony['kind'], 'split'>, readonly QuorumKey['state'][]>> = {
  drill: ['acknowledged', 'drilled', 'active'],
  combine: ['active'],
  ownership: ['active'],
}

/** The key that a ceremony is about, which stands as it did; null for a split. @throws Refusal('BadCeremony') when it was replaced since */
export async function requireKeyOf(tx: Tx, { kind, quorumKey }: Ceremony): Promise<QuorumKey | null> {
  if (kind === 'split') return null
  const key = quorumKey === null ? null : await loadQuorumKey(tx, quorumKey)
  if (key && MAY_STAND[kind].includes(key.state)) return key
  throw new Refusal('BadCeremony', 'the key that this ceremony is about was replaced since')
}
