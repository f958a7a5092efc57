/**
 * A private key in shares: any `threshold` of them bring it back, and fewer say nothing about it. The one place that knows the
 * library (`shamir-secret-sharing` 0.0.4, GF(2^8) byte by byte).
 *
 * The library answers whatever it is given: too few shares, shares of two keys, a share for x = 0 make a secret, only another one. So a
 * share counts here only at the x, and with the commitment, that stand in the signed statement of the ceremony that made it; and what
 * comes out counts only when its public half is the one that is expected. Its look-up tables are indexed by secrets: whoever measures the
 * machine very often learns something, so shares are combined rarely.
 */
import { combine, split } from 'shamir-secret-sharing'
import type { DidKey } from '../names.ts'
import { lengthPrefixed, sha256, toBase64Url, utf8 } from '../platform/bytes.ts'
import { importPrivateKey, type KeyPair, makeKeyPair, withScalar } from './private-keys.ts'
import { secretBytes } from './secret-bytes.ts'

/** One share: its place on the curve, 1 to 255, and its 32 secret bytes, off the heap. Whoever has it wipes `y`. */
export interface Share {
  readonly x: number
  readonly y: Uint8Array
}

/** What a share has to be: at which x, and with which commitment. Neither is secret. */
export interface SharePlace {
  readonly x: number
  /** `commitmentOf` the share, in unpadded base64url. */
  readonly commitment: string
}

export const KEEPERS_MAX = 16
export const THRESHOLD_MIN = 2
export const SHARE_BYTES = 32
/** How many sets of shares the dealer tries before anybody is given one; all, where there are no more. */
const TRIED_SETS = 20

/**
 * Says what a share is without saying it: SHA-256 over a tag, the hash of the statement under which the key was dealt, x, and the share.
 * Shares are 256 random bits, so nobody finds one by trying. Unpadded base64url.
 */
export const commitmentOf = (dealtBy: Uint8Array, { x, y }: Share): string =>
  toBase64Url(sha256(utf8('reeve-share-v1'), lengthPrefixed(dealtBy), Uint8Array.of(x), y))

/** Whether this is the share that belongs at a place: its length, its x from 1 to 255, its commitment. Never throws. */
export const isShareFor = (share: Share, { x, commitment }: SharePlace, dealtBy: Uint8Array): boolean =>
  share.y.length === SHARE_BYTES &&
  Number.isInteger(share.x) &&
  share.x >= 1 &&
  share.x <= 255 &&
  share.x === x &&
  // Both sides are public: the comparison may take as long as it likes.
  commitmentOf(dealtBy, share) === commitment

/** Whether n keepers of whom k have to act are numbers that can be dealt: 2 ≤ k ≤ n ≤ 16. */
export const isThreshold = (k: number, n: number): boolean =>
  Number.isInteger(k) && Number.isInteger(n) && k >= THRESHOLD_MIN && k <= n && n <= KEEPERS_MAX

/** A new key and its shares. The key is gone when nobody holds the pair any more. */
export interface DealtKey {
  readonly pair: KeyPair
  /** As many as there are keepers, in an order that says nothing. The caller wipes each. */
  readonly shares: readonly Share[]
}

/**
 * Makes a secp256k1 key (which every PLC tool takes), splits it, and tries that any k shares bring it back: 20 sets by chance, or all where
 * there are no more. What the library makes is wiped; its chance is the system's.
 * @throws RangeError for numbers that can't be dealt
 */
export async function dealKey(
  { k, n }: { readonly k: number; readonly n: number },
  pick: (below: number) => number,
): Promise<DealtKey> {
  if (!isThreshold(k, n)) throw new RangeError('2 ≤ k ≤ n ≤ 16')
  const pair = makeKeyPair('k256')
  const shares = await sharesOf(pair, k, n)
  for (const set of setsToTry(n, k, pick)) {
    const some = set.map((at) => shares[at]).filter((share) => share !== undefined)
    if ((await combineShares(some, { k, didKey: pair.didKey })) === null) {
      wipe(shares)
      throw new Error('the shares that were made do not bring the key back')
    }
  }
  return { pair, shares }
}

async function sharesOf(pair: KeyPair, k: number, n: number): Promise<readonly Share[]> {
  const secret = secretBytes(SHARE_BYTES)
  withScalar(pair, (scalar) => secret.set(scalar))
  try {
    const raw = await split(secret, n, k)
    return raw.map((bytes) => {
      const y = secretBytes(SHARE_BYTES)
      y.set(bytes.subarray(0, SHARE_BYTES))
      const x = bytes[SHARE_BYTES] ?? 0
      bytes.fill(0)
      return { x, y }
    })
  } finally {
    secret.fill(0)
  }
}

/** How many shares make a key, and which. */
export interface SharedKey {
  readonly k: number
  readonly didKey: DidKey
}

/** The key that k shares make, or null when it isn't the one of `didKey`, or they can't be put together. The caller wipes the shares. */
export async function combineShares(shares: readonly Share[], { k, didKey }: SharedKey): Promise<KeyPair | null> {
  const pair = await lendCombined(shares, k, (scalar) => importPrivateKey('k256', scalar))
  return pair?.didKey === didKey ? pair : null
}

/**
 * Lends what k shares make to `use`, which must neither keep nor await it: it is wiped when this ends. Null when there are not exactly k
 * shares of the right length at different places from 1 to 255; whether it is the key that is meant, nobody can see here. Between putting the shares together and wiping
 * what they make nothing is waited for but the library's own promise, which is kept already: no other work of the process comes in between.
 */
export async function lendCombined<T>(
  shares: readonly Share[],
  k: number,
  use: (scalar: Uint8Array) => T,
): Promise<T | null> {
  const xs = new Set(shares.map(({ x }) => x))
  const areWhole = shares.every(({ x, y }) => y.length === SHARE_BYTES && Number.isInteger(x) && x >= 1 && x <= 255)
  if (shares.length !== k || k < THRESHOLD_MIN || xs.size !== k || !areWhole) return null
  const raw = shares.map(({ x, y }) => {
    // A plain Uint8Array of the size that the library reads: it refuses every kind of Buffer.
    const bytes = secretBytes(SHARE_BYTES + 1)
    bytes.set(y)
    bytes[SHARE_BYTES] = x
    return bytes
  })
  const scalar = secretBytes(SHARE_BYTES)
  try {
    // What the library answers is small, and so on the heap, where it may be moved and leave a copy behind: it stays there for this moment only.
    const made = await combine(raw)
    scalar.set(made)
    made.fill(0)
    return use(scalar)
  } finally {
    scalar.fill(0)
    for (const bytes of raw) bytes.fill(0)
  }
}

export const wipe = (shares: readonly Share[]): void => {
  for (const { y } of shares) y.fill(0)
}

/** Sets of k out of n: all of them where there are at most 20, else as many by chance, of which every share is in one at least. */
function setsToTry(n: number, k: number, pick: (below: number) => number): readonly (readonly number[])[] {
  if (countOfSets(n, k) <= TRIED_SETS) return allSets(n, k)
  return Array.from({ length: TRIED_SETS }, (_, nth) => {
    const places = Array.from({ length: n }, (_none, at) => at)
    // There are fewer keepers than sets.
    const first = places.splice(nth % n, 1)
    return first.concat(Array.from({ length: k - 1 }, () => places.splice(pick(places.length), 1)[0] ?? 0))
  })
}

function countOfSets(n: number, k: number): number {
  let count = 1
  for (let at = 1; at <= k; at += 1) count = (count * (n - k + at)) / at
  return Math.round(count)
}

function allSets(n: number, k: number, from = 0): readonly (readonly number[])[] {
  if (k === 0) return [[]]
  const sets: (readonly number[])[] = []
  for (let first = from; first <= n - k; first += 1)
    for (const rest of allSets(n, k - 1, first + 1)) sets.push([first, ...rest])
  return sets
}
