/**
 * Shares that keepers gave to a ceremony, opened and put together here: for communities that chose so, and said so in the statement that
 * each keeper signed.
 *
 * For the moment of one signature this process has the whole key of a community: whoever reads its memory then has it too. That is why
 * it isn't the way by default, why the key is marked for ever, and why nothing is kept and nothing waited for in between.
 */
import type { Did } from '../names.ts'
import { toBase64Url } from '../platform/bytes.ts'
import { Unavailable } from '../refusals.ts'
import { type CeremonyStatement, hexOf, isSignedBy, wordsToSign } from './ceremony-statements.ts'
import { importPrivateKey, type KeyPair, makeKeyPair, signOnce, withScalar } from './private-keys.ts'
import { secretBytes } from './secret-bytes.ts'
import { openShare, sealToOf } from './share-seal.ts'
import { isShareFor, lendCombined, type Share, type SharedKey, wipe } from './shares.ts'
import type { SealedBlob, Vault } from './vault.ts'

/** A share as its keeper gave it. */
export interface GivenShare {
  readonly did: Did
  readonly sealed: string
}

/** What a ceremony needs to be judged and ended: the statement as it was signed, and its hash. */
export interface OpenCeremony {
  readonly statement: CeremonyStatement
  readonly statementHash: Uint8Array
}

/**
 * What became of it. `signed`: the key's signature over exactly what the statement is for, unpadded base64url. `bad`: whose share isn't the one
 * that belongs at their seat; nothing was combined. `mismatch`: each share is right by its commitment, and they don't make the key.
 */
export type Combined =
  | { readonly kind: 'signed'; readonly signature: string }
  | { readonly kind: 'bad'; readonly dids: readonly Did[] }
  | { readonly kind: 'mismatch' }

/** A P-256 scalar. */
const CEREMONY_KEY_BYTES = 32

/** Makes the key of a ceremony in which shares are combined here, sealed at once. Not to be called inside a transaction. @throws Unavailable */
export async function makeCeremonyKey(
  vault: Pick<Vault, 'sealBlob'>,
  { community, ceremony, nowMs }: { readonly community: Did; readonly ceremony: string; readonly nowMs: number },
): Promise<{ readonly sealTo: string; readonly blob: SealedBlob }> {
  const pair = makeKeyPair('p256')
  const scalar = secretBytes(CEREMONY_KEY_BYTES)
  withScalar(pair, (bytes) => scalar.set(bytes))
  try {
    const blob = await vault.sealBlob({ community, purpose: 'ceremony', name: ceremony }, scalar, nowMs)
    return { blob, sealTo: sealToOf(pair) }
  } finally {
    scalar.fill(0)
  }
}

/** The key of a ceremony, open. Not to be called inside a transaction. @throws Unavailable */
export async function openCeremonyKey(
  vault: Pick<Vault, 'openBlob'>,
  { community, ceremony: name }: Pick<CeremonyStatement, 'community' | 'ceremony'>,
  blob: SealedBlob,
): Promise<KeyPair> {
  const scalar = await vault.openBlob({ community, purpose: 'ceremony', name }, blob)
  try {
    const pair = importPrivateKey('p256', scalar)
    if (!pair) throw new Unavailable('KeyUnavailable', 'vault')
    return pair
  } finally {
    scalar.fill(0)
  }
}

/**
 * Opens one share, and says whether it belongs at its keeper's seat: sealed to this ceremony, at their x, with their commitment. Null when it
 * doesn't. The caller wipes it.
 */
export async function openGiven(
  pair: KeyPair,
  { statement, statementHash }: OpenCeremony,
  { did, sealed }: GivenShare,
): Promise<Share | null> {
  const { dealtBy } = statement.quorum
  const seat = statement.seats.find((one) => one.did === did)
  if (!seat || seat.x === null || seat.commitment === null || dealtBy === null) return null
  const share = await openShare(pair, sealed, { statementHash, x: seat.x })
  const hash = new Uint8Array(Buffer.from(dealtBy, 'hex'))
  if (share && isShareFor(share, { x: seat.x, commitment: seat.commitment }, hash)) return share
  share?.y.fill(0)
  return null
}

/**
 * Combines the shares of k keepers and signs what the ceremony is for. Those beyond the first k aren't opened. Each is wiped whatever happens.
 * @throws Error when there are fewer, or the statement is for nothing that a key signs: the caller has counted, and looked
 */
export async function combineGiven(
  pair: KeyPair,
  ceremony: OpenCeremony,
  given: readonly GivenShare[],
): Promise<Combined> {
  const { statement, statementHash } = ceremony
  const { k, pub } = statement.quorum
  const words = wordsToSign(statement, hexOf(statementHash))
  if (words === null || pub === null || given.length < k) throw new Error('nothing to combine')
  const shares: Share[] = []
  const bad: Did[] = []
  try {
    for (const one of given.slice(0, k)) {
      const share = await openGiven(pair, ceremony, one)
      if (share) shares.push(share)
      else bad.push(one.did)
    }
    if (bad.length > 0) return { kind: 'bad', dids: bad }
    const signature = await signWithShares(shares, { k, didKey: pub }, words)
    return signature === null ? { kind: 'mismatch' } : { kind: 'signed', signature }
  } finally {
    wipe(shares)
  }
}

/**
 * What the key that k shares make signs over `words`, unpadded base64url; null when it isn't the key that is named, or they can't be put
 * together. The key is nowhere any more when this has ended. The caller wipes the shares.
 */
export async function signWithShares(
  shares: readonly Share[],
  { k, didKey }: SharedKey,
  words: Uint8Array,
): Promise<string | null> {
  const signature = await lendCombined(shares, k, (scalar) => signOnce('k256', scalar, words))
  const sig = signature && toBase64Url(signature)
  // The key is known by its signature alone, since anything else that shows its public half would keep it longer. What another key signed is
  // nobody's.
  return sig !== null && isSignedBy(didKey, words, sig) ? sig : null
}
