/**
 * The course of a ceremony: who may do what in it, when, and what follows. Pure.
 *
 *   split                proposed → approved → collecting → done          another owner, the dealer, every keeper
 *   drill                collecting → ready → done                        as many keepers as have to act, whoever combines
 *   combine, ownership   proposed → collecting → ready → done             the same, and each of them says yes beforehand
 *
 * Nobody alone can stop what others began, nor can one keeper who gives something wrong: they are told, and the others go on.
 */
import type { CeremonyAct } from '../keys/ceremony-statements.ts'
import type { Did } from '../names.ts'
import type { Deed } from './ceremony-act-store.ts'
import { type Ceremony, type CeremonyState, OPEN_STATES } from './ceremony-store.ts'

const HOUR_MS = 60 * 60 * 1000

/** How long each kind is open. Whoever signs an operation signs on top of a head, and waits for nobody longer than a day. */
export const OPEN_MS: Readonly<Record<Ceremony['kind'], number>> = {
  split: 72 * HOUR_MS,
  drill: 72 * HOUR_MS,
  combine: 24 * HOUR_MS,
  ownership: 24 * HOUR_MS,
}

/** By whose key an act has to be signed: that of the seat, as it stands in the statement, or the one that somebody has enrolled now. */
export type By = 'seat' | 'enrolment'

export interface Who {
  readonly did: Did
  readonly isOwner: boolean
  readonly hasSeat: boolean
}

/** By whose key somebody does an act; null: it isn't theirs. */
export function byWhose(
  act: CeremonyAct,
  { kind, createdBy, statement }: Pick<Ceremony, 'kind' | 'createdBy' | 'statement'>,
  { did, isOwner, hasSeat }: Who,
): By | null {
  const isSplit = kind === 'split'
  const seat = hasSeat ? 'seat' : null
  switch (act) {
    case 'approve':
    case 'reject':
      if (!isSplit) return seat
      return isOwner && did !== createdBy ? 'enrolment' : null
    case 'deal':
      return isSplit && isOwner && did === createdBy ? 'enrolment' : null
    case 'acknowledge':
      return isSplit ? seat : null
    case 'submit':
      return isSplit ? null : seat
    case 'conclude':
      return !isSplit && did === statement.combiner ? 'enrolment' : null
    case 'cancel':
      // About the owners keepers alone decide: those of now must not stop it.
      return (isOwner && kind !== 'ownership') || did === createdBy ? 'enrolment' : null
  }
}

/** Whether an act is one that is done by a seat, and counts as long as that stands. */
export const isBySeat = (act: CeremonyAct, { kind }: Pick<Ceremony, 'kind'>): boolean =>
  act === 'submit' || act === 'acknowledge' || (kind !== 'split' && (act === 'approve' || act === 'reject'))

/** Whether a ceremony is waiting for an act. Where this service combines, nobody else concludes, and what is enough is enough. */
export function isAwaited(
  act: CeremonyAct,
  ceremony: Pick<Ceremony, 'kind' | 'state' | 'signed' | 'statement'>,
): boolean {
  const { kind, state, signed, statement } = ceremony
  if (signed !== null) return false
  const isCombinedHere = statement.combiner === null
  switch (act) {
    case 'approve':
    case 'reject':
      if (kind === 'split') return state === 'proposed'
      if (kind === 'drill')
        return act === 'reject' && (state === 'collecting' || (state === 'ready' && !isCombinedHere))
      return state === 'proposed' || state === 'collecting'
    case 'deal':
      return state === 'approved'
    case 'acknowledge':
      return state === 'collecting'
    case 'submit':
      return state === 'collecting' || (state === 'ready' && !isCombinedHere)
    case 'conclude':
      return !isCombinedHere
    case 'cancel':
      return true
  }
}

/** Who did an act. */
export const whoDid = (deeds: readonly Deed[], act: CeremonyAct): readonly Did[] =>
  deeds.filter((deed) => deed.act === act).map(({ did }) => did)

/** The shares that are given. */
export const sharesIn = (deeds: readonly Deed[]): readonly (Deed & { readonly given: string })[] =>
  deeds.filter((deed): deed is Deed & { readonly given: string } => deed.act === 'submit' && deed.given !== null)

/** How far a ceremony is by what was done in it: what is written with the last of these deeds. */
export function stateAfter(
  { kind, state, statement }: Pick<Ceremony, 'kind' | 'state' | 'statement'>,
  deeds: readonly Deed[],
): CeremonyState {
  const { k, n } = statement.quorum
  if (!OPEN_STATES.includes(state)) return state
  if (kind === 'split') {
    if (state === 'proposed' && whoDid(deeds, 'approve').length > 0) return 'approved'
    return state === 'collecting' && whoDid(deeds, 'acknowledge').length === n ? 'done' : state
  }
  // So many said no that the others are too few.
  if (whoDid(deeds, 'reject').length > n - k) return 'cancelled'
  if (kind !== 'drill' && whoDid(deeds, 'approve').length < k) return 'proposed'
  return sharesIn(deeds).length >= k ? 'ready' : 'collecting'
}

/** Whether everybody who could say yes to a new key said no: every owner but the one who asks. */
export function isRefusedByOwners(
  { kind, createdBy }: Pick<Ceremony, 'kind' | 'createdBy'>,
  deeds: readonly Deed[],
  owners: readonly Did[],
): boolean {
  const others = owners.filter((did) => did !== createdBy)
  const against = whoDid(deeds, 'reject')
  return kind === 'split' && others.length > 0 && others.every((did) => against.includes(did))
}

/** How many have to act still before the next step. */
export function missingIn(
  { kind, state, signed, statement }: Pick<Ceremony, 'kind' | 'state' | 'signed' | 'statement'>,
  deeds: readonly Deed[],
): number {
  const { k, n } = statement.quorum
  const until = (wanted: number, found: number): number => Math.max(0, wanted - found)
  switch (state) {
    case 'proposed':
      return kind === 'split' ? 1 : until(k, whoDid(deeds, 'approve').length)
    case 'approved':
      return 1
    case 'collecting':
      return kind === 'split' ? until(n, whoDid(deeds, 'acknowledge').length) : until(k, sharesIn(deeds).length)
    case 'ready':
      return signed === null ? 1 : 0
    default:
      return 0
  }
}

/**
 * Whether those who want an end of it are enough: whoever began it, or more than half of those who own the community. A drill that a keeper began who
 * owns nothing any one owner ends: a keeper alone must not stand in the way of what owners have to have signed. One about the owners only its
 * beginner ends so; keepers say no to it.
 */
export function isCancelledBy(
  { kind, createdBy }: Pick<Ceremony, 'kind' | 'createdBy'>,
  deeds: readonly Deed[],
  owners: readonly Did[],
): boolean {
  const wanting = whoDid(deeds, 'cancel')
  if (kind === 'ownership') return wanting.includes(createdBy)
  const ofOwners = wanting.filter((did) => owners.includes(did)).length
  const isKeepersDrill = kind === 'drill' && !owners.includes(createdBy)
  return wanting.includes(createdBy) || ofOwners * 2 > owners.length || (isKeepersDrill && ofOwners > 0)
}
