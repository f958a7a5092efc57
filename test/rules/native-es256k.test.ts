/** The native library against OpenSSL and a third implementation; and what becomes of one that lies. */
import { createRequire } from 'node:module'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sha256, utf8 } from '../../src/platform/bytes.ts'
import { OPENSSL_ES256K, openNativeEs256k, publicKeyFromPoint, verifyBy } from '../../src/platform/ecdsa.ts'
import { type Binding, type HoldsEs256k, nativeEs256k } from '../../src/platform/native-es256k.ts'
import { keyOfScalar, signBytes, type TestKey } from '../kit/tokens.ts'

const N = secp256k1.Point.Fn.ORDER
const P = secp256k1.Point.Fp.ORDER
const bytesOf = (value: bigint): Uint8Array =>
  new Uint8Array(Buffer.from(value.toString(16).padStart(64, '0').slice(-64), 'hex'))
const keyOf = (name: string): TestKey => keyOfScalar('k256', sha256(name))
const alice = keyOf('alice')
const bob = keyOf('bob')

/** The native library; where there is no build of it, the same by the third implementation, so that the judge is tried. */
const genuine = genuineBinding()
function genuineBinding(): Binding {
  try {
    return createRequire(import.meta.url)('secp256k1/bindings.js')
  } catch {
    return {
      ecdsaVerify: (signature, digest, point) => secp256k1.verify(signature, digest, point, { prehash: false }),
      signatureNormalize(signature) {
        const { s } = secp256k1.Signature.fromBytes(signature, 'compact')
        signature.set(bytesOf(s > N / 2n ? N - s : s), 32)
        return signature
      },
      ecdsaRecover: (signature, recovery, digest) => recoveredPoint(signature, recovery, digest),
    }
  }
}

/** What OpenSSL says, as the native library's judge asks it. */
const openssl: HoldsEs256k = (point, message, signature) => {
  const key = publicKeyFromPoint('k256', point)
  return key !== null && verifyBy(OPENSSL_ES256K, key, message, signature, { lowS: false })
}

interface Question {
  readonly key: TestKey['publicKey']
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

function noble({ key, message, signature }: Question, lowS: boolean): boolean {
  try {
    return secp256k1.verify(signature, message, key.compressed, { lowS })
  } catch {
    return false
  }
}

/** The one verdict of all three, under both rules. Fails when they differ. */
function verdictsOn(question: Question): { lowS: boolean; anyS: boolean } {
  const { key, message, signature } = question
  const [lowS, anyS] = [true, false].map((isLowOnly) => {
    const rule = { lowS: isLowOnly }
    const says = verifyBy(native, key, message, signature, rule)
    expect(verifyBy(OPENSSL_ES256K, key, message, signature, rule)).toBe(says)
    expect(noble(question, isLowOnly)).toBe(says)
    return says
  })
  return { lowS: lowS === true, anyS: anyS === true }
}

/** Where there is no native library, there are two to compare. */
const native = openNativeEs256k() ?? OPENSSL_ES256K

describe('libsecp256k1, OpenSSL and a third implementation say the same', () => {
  it('of good signatures, and of those with r, s, the message or the key changed', () => {
    const counted = { good: 0, high: 0, bad: 0 }
    const part = fc.constantFrom('none', 'r', 's', 'message', 'key', 'twin')
    const spoilt = fc.tuple(part, fc.string(), fc.nat(31), fc.integer({ min: 1, max: 255 }))
    fc.assert(
      fc.property(spoilt, ([what, text, at, bits]) => {
        const message = utf8(text)
        const signature = signBytes(alice, message, what === 'twin' ? 'high' : 'low')
        const where = what === 'r' ? at : 32 + at
        if (what === 'r' || what === 's') signature[where] = (signature[where] ?? 0) ^ bits
        const { publicKey: key } = what === 'key' ? bob : alice
        const said = what === 'message' ? utf8(`${text}.`) : message
        const verdict = verdictsOn({ key, message: said, signature })
        expect(verdict).toEqual({ lowS: what === 'none', anyS: what === 'none' || what === 'twin' })
        counted[what === 'none' ? 'good' : what === 'twin' ? 'high' : 'bad'] += 1
      }),
      { numRuns: 400, seed: 20_261_120 },
    )
    expect(Math.min(...Object.values(counted))).toBeGreaterThan(30)
  })

  it('of every pair of numbers at an edge', () => {
    const good = signBytes(alice, 'edges')
    const edges = [0n, 1n, 2n, N / 2n, N / 2n + 1n, N - 1n, N, N + 1n, P - N, P - N + 1n, P - 1n, P, 2n ** 256n - 1n]
    const numbers = [...edges.map(bytesOf), good.subarray(0, 32), good.subarray(32)]
    const held: boolean[] = []
    for (const r of numbers) {
      for (const s of numbers) {
        const signature = Uint8Array.of(...r, ...s)
        held.push(verdictsOn({ key: alice.publicKey, message: utf8('edges'), signature }).anyS)
      }
    }
    expect(held.filter(Boolean)).toEqual([true])
  })

  it('of signatures that do hold, with a number at an edge', () => {
    // Whatever r and s are, there is a key by which they hold, if only r is a point of the curve.
    const message = utf8('any')
    let held = 0
    for (const r of [1n, 2n, 3n, 4n, N / 2n, N / 2n + 1n, N - 1n, N - 2n, N - 3n, P - N - 1n, P - N - 2n, P - N - 3n]) {
      for (const s of [1n, 2n, N / 2n, N / 2n + 1n, N - 2n, N - 1n]) {
        // 2 and 3: r is the point's number less n, which is the rarest way for a signature to be good.
        for (const recovery of [0, 1, 2, 3]) {
          const key = recoveredKey(Uint8Array.of(...bytesOf(r), ...bytesOf(s)), recovery, message)
          if (!key) continue
          const verdict = verdictsOn({ key, message, signature: Uint8Array.of(...bytesOf(r), ...bytesOf(s)) })
          expect(verdict).toEqual({ lowS: s <= N / 2n, anyS: true })
          held += 1
        }
      }
    }
    expect(held).toBeGreaterThan(100)
  })
})

function recoveredKey(signature: Uint8Array, recovery: number, message: Uint8Array): TestKey['publicKey'] | null {
  try {
    return publicKeyFromPoint('k256', recoveredPoint(signature, recovery, sha256(message)))
  } catch {
    return null
  }
}

function recoveredPoint(signature: Uint8Array, recovery: number, digest: Uint8Array): Uint8Array {
  const whole = secp256k1.Signature.fromBytes(signature, 'compact').addRecoveryBit(recovery)
  return whole.recoverPublicKey(digest).toBytes(true)
}

describe('a native library is taken', () => {
  it('when it says the truth', () => {
    const native = nativeEs256k(openssl, () => genuine)
    const signature = signBytes(alice, 'word')
    expect(native?.(alice.publicKey.compressed, utf8('word'), signature)).toBe(true)
    expect(native?.(bob.publicKey.compressed, utf8('word'), signature)).toBe(false)
  })

  it('and is asked nothing that needs a secret', () => {
    const asked = new Set<string | symbol>()
    const watched = new Proxy(genuine, {
      get(target, name, receiver) {
        asked.add(name)
        return Reflect.get(target, name, receiver)
      },
    })
    expect(nativeEs256k(openssl, () => watched)).not.toBeNull()
    expect([...asked].sort()).toEqual(['ecdsaRecover', 'ecdsaVerify', 'signatureNormalize'])
  })

  it('and leaves the signature as it was', () => {
    const native = nativeEs256k(openssl, () => genuine)
    const high = signBytes(alice, 'word', 'high')
    const before = Uint8Array.from(high)
    expect(native?.(alice.publicKey.compressed, utf8('word'), high)).toBe(true)
    expect(high).toEqual(before)
  })
})

describe('a native library is left alone', () => {
  const verify = genuine.ecdsaVerify
  /** The genuine one, but for some calls. */
  const lying =
    (lie: Partial<Binding>): (() => Binding) =>
    () => ({ ...genuine, ...lie })
  /** Changes the nth verdict on a case, after all vectors. */
  const once = (nth: number, instead: (said: boolean) => boolean): Partial<Binding> => {
    let count = 0
    return {
      ecdsaVerify(signature, digest, point) {
        const said = verify(signature, digest, point)
        count += 1
        return count === nth ? instead(said) : said
      },
    }
  }
  const throws = () => {
    throw new Error('no')
  }

  it.each<[says: string, load: () => Binding]>([
    ['there is none', throws],
    ['it is another thing', () => JSON.parse('{}')],
    ['it is nothing', () => JSON.parse('null')],
    ['it says yes to everything', lying({ ecdsaVerify: () => true, signatureNormalize: (signature) => signature })],
    ['it says yes to whatever it can read', lying({ ecdsaVerify: () => true })],
    ['it says no to everything', lying({ ecdsaVerify: () => false })],
    ['it throws at everything', lying({ ecdsaVerify: throws })],
    ['it says yes with a word', lying({ ecdsaVerify: () => JSON.parse('"yes"') })],
    [
      'it takes any key',
      lying({ ecdsaVerify: (signature, digest) => verify(signature, digest, keyOf('x').publicKey.compressed) }),
    ],
    ['it leaves S high', lying({ signatureNormalize: (signature) => signature })],
    ['it makes no S low', lying({ signatureNormalize: throws })],
    ['it finds no cases', lying({ ecdsaRecover: throws })],
    ['it makes up its cases', lying({ ecdsaRecover: () => alice.publicKey.compressed })],
    ['it is wrong about one case', lying(once(150, (said) => !said))],
    ['it says yes to one case too many', lying(once(151, () => true))],
    ['it throws at one case', lying(once(150, throws))],
  ])('when %s', (_says, load) => {
    expect(nativeEs256k(openssl, load)).toBeNull()
  })

  it('when OpenSSL is of another mind', () => {
    expect(
      nativeEs256k(
        () => false,
        () => genuine,
      ),
    ).toBeNull()
    expect(
      nativeEs256k(
        () => true,
        () => genuine,
      ),
    ).toBeNull()
    expect(nativeEs256k(throws, () => genuine)).toBeNull()
  })
})
