/**
 * ES256K by libsecp256k1, where a native build of it is installed: six times faster than OpenSSL on secp256k1.
 *
 * For public data only: it verifies, and never sees a private key. Before it is used it has to prove itself, on vectors
 * and on cases for which OpenSSL is asked as well; a build that is missing, broken or of another mind is not used. The
 * package is entered by its bindings, never by its index, which falls back in silence to slow code with a history of forgeries.
 */
import { createRequire } from 'node:module'
import { sha256, utf8 } from './bytes.ts'

/** Whether 64 bytes r‖s, with either S, over the SHA-256 of `message` are by the key with this SEC1 point. Never throws. */
export type HoldsEs256k = (point: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean

/** What is used of the library. Each function throws on bytes that it can't read. */
export interface Binding {
  /** Low S only. */
  ecdsaVerify(signature: Uint8Array, digest: Uint8Array, point: Uint8Array): boolean
  /** Makes S low in the very bytes that it is given. */
  signatureNormalize(signature: Uint8Array): Uint8Array
  /** The compressed point of the key by which the signature holds. */
  ecdsaRecover(signature: Uint8Array, recovery: 0 | 1, digest: Uint8Array): Uint8Array
}

function loadBinding(): Binding {
  const require = createRequire(import.meta.url)
  return require('secp256k1/bindings.js')
}

/** The native verification, or null where there is none to be trusted. `openssl` is the judge of what it says. */
export function nativeEs256k(openssl: HoldsEs256k, load: () => Binding = loadBinding): HoldsEs256k | null {
  try {
    const binding = load()
    const native = holdsBy(binding)
    return holdsVectors(native) && agreesOnCases(native, openssl, binding) ? native : null
  } catch {
    return null
  }
}

const holdsBy =
  (binding: Binding): HoldsEs256k =>
  (point, message, signature) => {
    try {
      const low = binding.signatureNormalize(new Uint8Array(signature))
      return binding.ecdsaVerify(low, sha256(message), point) === true
    } catch {
      return false
    }
  }

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
const MESSAGE = utf8('what was said')
const POINT = hex('03f3c70e73f359650fb7316f049088c166cbab4f21f4a74863dc5aec753c414a23')
const LONG_POINT = hex(
  '04f3c70e73f359650fb7316f049088c166cbab4f21f4a74863dc5aec753c414a23559df33f6e3a69d541d2334c1643b29e28d6ef721d228897366cd11cec011d2f',
)
const OTHER_POINT = hex('02405f7b8f3b8e696ce8d5b2662caf3750ee937cb3ffec2046c1c4407b76e78449')
const r = hex('87bfe1a6971a34437221fd17540591143a9f31531d04102902244d1b0c0268bf')
const s = hex('4eb0e83ad00d202918d3ae5b4ae1b414d0cf74f6fbed3f02524bb51f29b6694f')
const highS = hex('b14f17c52ff2dfd6e72c51a4b51e4be9e9df67efb35b61396d86a96da67fd7f2')
const N = hex('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141')
const ZERO = new Uint8Array(32)
const ONES = new Uint8Array(32).fill(255)

type Vector = readonly [says: string, holds: boolean, point: Uint8Array, message: Uint8Array, signature: Uint8Array]

const VECTORS: readonly Vector[] = [
  ['a good signature', true, POINT, MESSAGE, join(r, s)],
  ['its high-S twin', true, POINT, MESSAGE, join(r, highS)],
  ['the point in its long form', true, LONG_POINT, MESSAGE, join(r, s)],
  ['r = 0', false, POINT, MESSAGE, join(ZERO, s)],
  ['s = 0', false, POINT, MESSAGE, join(r, ZERO)],
  ['r = n', false, POINT, MESSAGE, join(N, s)],
  ['s = n', false, POINT, MESSAGE, join(r, N)],
  ['r above n', false, POINT, MESSAGE, join(ONES, s)],
  ['s above n', false, POINT, MESSAGE, join(r, ONES)],
  ['r and s the other way round', false, POINT, MESSAGE, join(s, r)],
  ['another key', false, OTHER_POINT, MESSAGE, join(r, s)],
  ['the negative of the key', false, join(Uint8Array.of((POINT[0] ?? 0) ^ 1), POINT.subarray(1)), MESSAGE, join(r, s)],
  ['a point that is none', false, join(Uint8Array.of(2), ONES), MESSAGE, join(r, s)],
  ['another message', false, POINT, utf8('what was not said'), join(r, s)],
  ['no message', false, POINT, new Uint8Array(), join(r, s)],
  ['63 bytes', false, POINT, MESSAGE, join(r, s.subarray(0, 31))],
  ['65 bytes', false, POINT, MESSAGE, join(r, s, Uint8Array.of(0))],
  ['no bytes', false, POINT, MESSAGE, new Uint8Array()],
]

const holdsVectors = (native: HoldsEs256k): boolean =>
  VECTORS.every(([, holds, ...signed]) => native(...signed) === holds)

const CASES = 200
/** About every second r is a point of the curve, so 200 cases are found among about 400 tries. */
const TRIES_MAX = 1_000

/** Whether both libraries hold the even cases good and the odd ones bad. */
function agreesOnCases(native: HoldsEs256k, openssl: HoldsEs256k, binding: Binding): boolean {
  let cases = 0
  for (let tried = 0; tried < TRIES_MAX && cases < CASES; tried++) {
    const signed = signedCase(binding, tried)
    if (signed === null) continue
    const isGood = cases % 2 === 0
    const { point, message, signature } = isGood ? signed : spoilt(signed, cases)
    if (native(point, message, signature) !== isGood || openssl(point, message, signature) !== isGood) return false
    cases += 1
  }
  return cases === CASES
}

interface Signed {
  readonly point: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

/** A case made without a private key: nearly any r, s and message have a key by which they hold, and it can be computed. */
function signedCase(binding: Binding, at: number): Signed | null {
  const message = utf8(`message ${at}`)
  const signature = join(sha256(`r ${at}`), sha256(`s ${at}`))
  try {
    const point = binding.ecdsaRecover(signature, at % 2 === 0 ? 0 : 1, sha256(message))
    return { point, message, signature }
  } catch {
    return null
  }
}

/** The case with one bit changed: of r, s, the message or the key's point, in turn. */
function spoilt({ point, message, signature }: Signed, at: number): Signed {
  const turn = (at >> 1) % 4
  const byte = at >> 3
  const flip = (bytes: Uint8Array, where: number) =>
    bytes.map((value, i) => (i === where ? value ^ (1 << (byte % 8)) : value))
  if (turn === 0) return { point, message, signature: flip(signature, byte) }
  if (turn === 1) return { point, message, signature: flip(signature, 32 + byte) }
  if (turn === 2) return { point, message: flip(message, byte % message.length), signature }
  return { point: flip(point, 1 + byte), message, signature }
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
