/**
 * What a ceremony says, and what people sign about it. Pure.
 *
 * A ceremony is one statement: who, which key, what exactly is to be done, for whom the shares are sealed, until when. Its hash stands in
 * every signature that is given in it, so nothing that was given in one ceremony counts in another; and every keeper's tool decodes the
 * statement itself and shows what it found, not what a server says about it. The service signs it with the community's space key; keepers
 * who act without a service sign their own with the key of the one who asks.
 */
import { decode, encode } from '@ipld/dag-cbor'
import * as z from 'zod'
import { type Did, type DidKey, parseDid } from '../names.ts'
import { fromBase64Url, sha256, utf8 } from '../platform/bytes.ts'
import { verify } from '../platform/ecdsa.ts'
import { parseDidKey } from '../platform/multikey.ts'

/**
 *   split      a key is made in shares
 *   drill      k keepers show that they can act; nothing else follows
 *   combine    k keepers sign one operation of the identity
 *   ownership  k keepers name owners, where those that there were are lost
 */
export type CeremonyKind = 'split' | 'drill' | 'combine' | 'ownership'

/** What somebody does in a ceremony, each by a signature of their own. */
export type CeremonyAct = 'approve' | 'reject' | 'deal' | 'acknowledge' | 'submit' | 'conclude' | 'cancel'

const did = z.custom<Did>((value) => parseDid(value) !== null)
/** In its one spelling. */
const didKey = z.custom<DidKey>((value) => parseDidKey(value)?.didKey === value)
const hash = z.string().regex(/^[0-9a-f]{64}$/)
/** In UTC with milliseconds: of two, the later one is the greater text. */
const instant = z.iso.datetime({ precision: 3 })
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array

const seat = z.strictObject({
  did,
  /** The name of the enrolment. */
  keeper: z.string().max(64),
  /** Their age recipient, and their signing key. */
  sealKey: z.string().max(128),
  signKey: didKey,
  /** Where their share stands, and its commitment; null before it is made. */
  x: z.int().min(1).max(255).nullable(),
  commitment: z.string().max(64).nullable(),
})

const statement = z.strictObject({
  v: z.literal(1),
  /** A plain name: it stands in what people are shown. */
  ceremony: z.string().regex(/^[0-9A-Za-z-]{1,64}$/),
  kind: z.enum(['split', 'drill', 'combine', 'ownership']),
  community: did,
  /** The service's DID; the community's own where keepers act without one. */
  service: did,
  quorum: z.strictObject({
    /** The key's name. */
    key: z.string().max(64),
    /** Null before it is made. */
    pub: didKey.nullable(),
    generation: z.int().min(1).max(1_000_000),
    n: z.int().min(2).max(16),
    k: z.int().min(2).max(16),
    /** The hash of the statement under which it was dealt; null before. */
    dealtBy: hash.nullable(),
  }),
  seats: z.array(seat).min(2).max(16),
  /** Of a split: whether this service is to have no key at all that can change the identity, and whose place the key takes. */
  strict: z.boolean(),
  replaces: didKey.nullable(),
  /** Of a combine: the unsigned operation in DAG-CBOR, byte for byte, and the CID that was in force when it was made. */
  operation: z.strictObject({ bytes: z.custom<Uint8Array>(isBytes), head: z.string().max(128) }).nullable(),
  /** Of an ownership: who is to own the community. */
  owners: z.array(did).min(1).max(32).nullable(),
  /** Who opens the shares: one person's own tool; null: this service, which then has the whole key for a moment. Of a split: the dealer. */
  combiner: did.nullable(),
  /** The key to which shares are sealed: an uncompressed P-256 point in unpadded base64url. Null in a split. */
  sealTo: z.string().max(128).nullable(),
  /** The combiner's word, by the key of their seat, that this is theirs (`openerWords`): a service that puts its own there gets no share. */
  voucher: z.string().max(128).nullable(),
  nonce: z.custom<Uint8Array>(isBytes).refine((bytes) => bytes.length === 32),
  createdBy: did,
  createdAt: instant,
  expiresAt: instant,
})

export type CeremonyStatement = Readonly<z.infer<typeof statement>>
export type Seat = Readonly<z.infer<typeof seat>>

/** More than any statement measures: sixteen keepers and the longest operation. */
export const STATEMENT_MAX_BYTES = 32 * 1024
const TAG = 'reeve-ceremony-v1\n'
/** 64 bytes r‖s in unpadded base64url. */
const SIGNATURE_CHARS = 86

export const encodeStatement = (said: CeremonyStatement): Uint8Array => encode(said)

/** A statement in its one spelling, and consistent in itself; null for anything else. Never throws. */
export function parseStatement(bytes: Uint8Array): CeremonyStatement | null {
  if (bytes.length > STATEMENT_MAX_BYTES) return null
  try {
    const parsed = statement.safeParse(decode(bytes))
    if (!parsed.success || !Buffer.from(encode(parsed.data)).equals(bytes)) return null
    return isConsistent(parsed.data) ? parsed.data : null
  } catch {
    return null
  }
}

/** Whether a statement has what its kind needs, and nothing that another kind has. */
function isConsistent(said: CeremonyStatement): boolean {
  const { kind, quorum, seats, operation, owners, combiner, sealTo, voucher, replaces, strict } = said
  const isSplit = kind === 'split'
  const areSeated = seats.every(({ x, commitment }) => (x === null) === isSplit && (commitment === null) === isSplit)
  const xs = seats.map(({ x }) => x).filter((x) => x !== null)
  const areDifferent = [seats.map((one) => one.did), seats.map(({ signKey }) => signKey), xs, owners ?? []].every(
    (all) => new Set<unknown>(all).size === all.length,
  )
  return (
    quorum.k <= quorum.n &&
    seats.length === quorum.n &&
    areSeated &&
    areDifferent &&
    (quorum.pub === null) === isSplit &&
    (quorum.dealtBy === null) === isSplit &&
    (sealTo === null) === isSplit &&
    // Whoever deals or combines keeps a share: by the key of their seat the others know that it is them.
    (combiner === null || seats.some((one) => one.did === combiner)) &&
    (voucher === null) === (isSplit || combiner === null) &&
    (isSplit ? combiner !== null : !strict && replaces === null) &&
    (operation === null) === (kind !== 'combine') &&
    (operation === null || isMap(operation.bytes)) &&
    (owners === null) === (kind !== 'ownership') &&
    said.createdAt < said.expiresAt
  )
}

/** Whether bytes begin a map in DAG-CBOR, as every operation does: the words of a drill or of an ownership can't be had as an operation. */
const isMap = ([first = 0]: Uint8Array): boolean => first >> 5 === 5

/** The words that the community's key signs, and whose SHA-256 is the statement's hash. */
const wordsOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(Buffer.concat([utf8(TAG), bytes]))

/** SHA-256 of the tag and the statement's bytes. */
export const statementHashOf = (bytes: Uint8Array): Uint8Array => sha256(wordsOf(bytes))

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** What the community's key, or the keeper who asks, signs: the tag and the statement. */
export const statementWords = wordsOf

/** Whether a statement is signed by a key. Never throws. */
export const isStatementBy = (bytes: Uint8Array, key: string, sig: string): boolean =>
  isSignedBy(key, wordsOf(bytes), sig)

/** One act of one person. `subject`: SHA-256 of what they give with it, in hexadecimal; null where they give nothing. */
export interface ActClaim {
  readonly statementHash: string
  readonly act: CeremonyAct
  readonly subject: string | null
  /** An ISO 8601 instant, as it was signed. */
  readonly at: string
}

/** SHA-256, in hexadecimal, of what is given with an act, as it is written in the call: a sealed share, or the signature that ends a ceremony. */
export const givenHashOf = (given: string): string => hexOf(sha256(utf8(given)))

/** The words of an act. None of them holds a line feed. */
export const actWords = ({ statementHash, act, subject, at }: ActClaim): Uint8Array =>
  utf8(['reeve-ceremony-act-v1', statementHash, act, subject ?? '-', at].join('\n'))

/** Whether an act is signed by the keeper's key. Never throws. */
export const isActBy = (claim: ActClaim, signKey: string, sig: string): boolean =>
  isSignedBy(signKey, actWords(claim), sig)

/** What a deal publishes: the new key, where each keeper's share stands and its commitment, and the hash of each one's packet; by seat. */
export interface Transcript {
  readonly v: 1
  /** The statement's hash, in hexadecimal. */
  readonly dealtBy: string
  readonly pub: DidKey
  readonly xs: readonly number[]
  readonly commitments: readonly string[]
  /** SHA-256 of each sealed packet, in hexadecimal. */
  readonly packets: readonly string[]
}

export const encodeTranscript = (transcript: Transcript): Uint8Array => encode(transcript)

/** Its hash in hexadecimal: what every keeper acknowledges. */
export const transcriptHashOf = (transcript: Transcript): string => hexOf(sha256(transcriptWords(transcript)))

/** What the new key itself signs: that whoever dealt it had it. */
export const transcriptWords = (transcript: Transcript): Uint8Array =>
  new Uint8Array(Buffer.concat([utf8('reeve-transcript-v1\n'), encode(transcript)]))

export const isTranscriptProven = (transcript: Transcript, proof: string): boolean =>
  isSignedBy(transcript.pub, transcriptWords(transcript), proof)

/** What the quorum's key signs at the end of a ceremony: the operation, or the words of the drill or of the ownership. Null for a split. */
export function wordsToSign(said: CeremonyStatement, statementHash: string): Uint8Array | null {
  if (said.kind === 'drill') return utf8(['reeve-drill-v1', statementHash].join('\n'))
  if (said.kind === 'combine') return said.operation?.bytes ?? null
  if (said.kind === 'ownership') {
    const { service, community, owners, createdAt } = said
    return ownershipWords({ service, community, owners: owners ?? [], at: createdAt })
  }
  return null
}

/** Who is to own a community, said by a key that stands in its document. */
export interface OwnershipClaim {
  readonly service: string
  readonly community: string
  readonly owners: readonly Did[]
  readonly at: string
}

/** The owners in the order of their DIDs, so that the same people are the same words. */
export const ownershipWords = ({ service, community, owners, at }: OwnershipClaim): Uint8Array =>
  utf8(['reeve-ownership-v1', service, community, at, ...owners.toSorted()].join('\n'))

/** Whose a key is to which shares are sealed. */
export interface OpenerClaim {
  readonly community: string
  readonly sealTo: string
}

/** The words by which whoever combines vouches for their opener. */
export const openerWords = ({ community, sealTo }: OpenerClaim): Uint8Array =>
  utf8(['reeve-opener-v1', community, sealTo].join('\n'))

/** Whether the one with this signing key vouches that what shares are sealed to is theirs. Never throws. */
export const isVouched = ({ community, sealTo, voucher }: CeremonyStatement, signKey: string): boolean =>
  sealTo !== null && voucher !== null && isSignedBy(signKey, openerWords({ community, sealTo }), voucher)

/** Whether the quorum's key signed what the ceremony is for. Never throws. */
export function isConcludedBy(said: CeremonyStatement, statementHash: string, signature: string): boolean {
  const words = wordsToSign(said, statementHash)
  return words !== null && said.quorum.pub !== null && isSignedBy(said.quorum.pub, words, signature)
}

/** ECDSA with SHA-256 on either curve, r‖s with a low S, unpadded base64url. Never throws. */
export function isSignedBy(key: string, words: Uint8Array, sig: string): boolean {
  const signer = parseDidKey(key)
  const signature = sig.length === SIGNATURE_CHARS ? fromBase64Url(sig) : null
  return signer !== null && signature !== null && verify(signer.key, words, signature, { lowS: true })
}

/** The seat of a person; null: they have none. */
export const seatOf = ({ seats }: CeremonyStatement, did: Did): Seat | null =>
  seats.find((one) => one.did === did) ?? null
