/** What somebody wants a ceremony for, read from their call. Pure. */
import { isSealTo } from '../keys/share-seal.ts'
import { isThreshold } from '../keys/shares.ts'
import type * as lexicon from '../lexicons/community/reeve/key/propose.ts'
import { requireDid } from '../membership/input.ts'
import type { Did } from '../names.ts'
import { fromBase64Url } from '../platform/bytes.ts'
import { Refusal } from '../refusals.ts'
import type { Wish } from './quorum-operations.ts'

/** Whose tool opens the shares, by a key for which they vouch. `combiner` null: whoever asks. */
export interface Opener {
  readonly sealTo: string
  readonly voucher: string
  readonly combiner: Did | null
}

/** Null: this service opens them. */
interface Combining {
  readonly opener: Opener | null
}

export type CeremonyWish =
  | { readonly kind: 'split'; readonly keepers: readonly Did[]; readonly k: number; readonly strict: boolean }
  | ({ readonly kind: 'drill' } & Combining)
  | ({ readonly kind: 'combine'; readonly asked: { readonly wish: Wish } | { readonly bytes: Uint8Array } } & Combining)
  | ({ readonly kind: 'ownership'; readonly owners: readonly Did[] } & Combining)

const WISHES: readonly string[] = ['rekey', 'strict', 'shared', 'dissolve'] satisfies readonly Wish[]

const COMBINING = ['sealTo', 'voucher', 'combiner', 'combineHere'] as const
type Field = 'keepers' | 'threshold' | 'strict' | 'wish' | 'operation' | 'owners' | (typeof COMBINING)[number]
/** What is said for each kind; of another kind it would be a misunderstanding. */
const FIELDS: Readonly<Record<CeremonyWish['kind'], readonly Field[]>> = {
  split: ['keepers', 'threshold', 'strict'],
  drill: COMBINING,
  combine: ['wish', 'operation', ...COMBINING],
  ownership: ['owners', ...COMBINING],
}
const ALL: readonly Field[] = ['keepers', 'threshold', 'strict', 'wish', 'operation', 'owners', ...COMBINING]

/** @throws Refusal('InvalidRequest') */
export function requireWish(input: lexicon.$InputBody): CeremonyWish {
  const { kind } = input
  if (!isKind(kind)) throw invalid('kind is split, drill, combine or ownership')
  const stray = ALL.find((field) => input[field] !== undefined && !FIELDS[kind].includes(field))
  if (stray) throw invalid(`${stray} has no meaning for a ${kind}`)
  if (kind === 'split') return splitOf(input)
  const opener = openerOf(input)
  if (kind === 'drill') return { kind, opener }
  if (kind === 'ownership') return { kind, opener, owners: ownersOf(input) }
  return { kind, opener, asked: askedOf(input) }
}

const isKind = (text: string): text is CeremonyWish['kind'] => Object.hasOwn(FIELDS, text)

function splitOf({ keepers: texts = [], threshold, strict = false }: lexicon.$InputBody): CeremonyWish {
  const keepers = requireDifferent(texts, 'keepers')
  if (threshold === undefined || !isThreshold(threshold, keepers.length)) {
    throw invalid('of two to sixteen keepers, at least two and at most all have to act together: threshold')
  }
  return { kind: 'split', keepers, k: threshold, strict }
}

function requireDifferent(texts: readonly string[], field: 'keepers' | 'owners'): readonly Did[] {
  const dids = texts.map((text) => requireDid(text, field))
  if (dids.length === 0) throw invalid(`${field} names nobody`)
  if (new Set(dids).size !== dids.length) throw invalid(`${field} names somebody twice`)
  return dids
}

function ownersOf({ owners: texts = [], community }: lexicon.$InputBody): readonly Did[] {
  const owners = requireDifferent(texts, 'owners')
  if (owners.some((did) => did === community)) throw invalid('a community does not own itself')
  return owners
}

/** That this service is to have a whole key for a moment is said, and never guessed. */
function openerOf({ sealTo, voucher, combiner, combineHere = false }: lexicon.$InputBody): Opener | null {
  if (combineHere === (sealTo !== undefined)) throw invalid('name sealTo, or say combineHere')
  if (sealTo !== undefined && !isSealTo(sealTo)) throw invalid('sealTo is no uncompressed point of P-256 in base64url')
  if (sealTo === undefined) {
    if (voucher !== undefined || combiner !== undefined) throw invalid('voucher and combiner go with sealTo')
    return null
  }
  if (voucher === undefined) throw invalid('voucher is needed with sealTo: whoever combines vouches that it is theirs')
  return { sealTo, voucher, combiner: combiner === undefined ? null : requireDid(combiner, 'combiner') }
}

function askedOf({ wish, operation }: lexicon.$InputBody): { wish: Wish } | { bytes: Uint8Array } {
  if ((wish === undefined) === (operation === undefined)) throw invalid('name a wish, or bring an operation')
  if (wish !== undefined && isWish(wish)) return { wish }
  const bytes = operation === undefined ? null : fromBase64Url(operation)
  if (!bytes) throw invalid(wish === undefined ? 'operation is not in unpadded base64url' : 'there is no such wish')
  return { bytes }
}

const isWish = (text: string): text is Wish => WISHES.includes(text)
const invalid = (says: string): Refusal => new Refusal('InvalidRequest', says)
