/**
 * A key in shares: what brings it back and what doesn't, what fewer shares say about it (nothing), and that a dealing that doesn't work is
 * found before anybody relies on it. The field is computed here once more, the slow way: the library's tables would agree with themselves.
 */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { combine, split } from 'shamir-secret-sharing'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { importPrivateKey, withScalar } from '../../src/keys/private-keys.ts'
import {
  combineShares,
  commitmentOf,
  type DealtKey,
  dealKey,
  isShareFor,
  isThreshold,
  lendCombined,
  SHARE_BYTES,
  type Share,
  wipe,
} from '../../src/keys/shares.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { Dice } from '../kit/dice.ts'
import { kept, unwiped } from '../kit/kept-off-heap.ts'
import { withBitFlipped } from '../kit/verdicts.ts'

/** The library as it is, until a test says how it is to go wrong; and what it made of shares. */
const library = vi.hoisted(() => ({
  spoil: null as ((shares: Uint8Array[]) => Uint8Array[]) | null,
  made: [] as Uint8Array[],
}))
vi.mock('shamir-secret-sharing', async (original) => {
  const real = await original<typeof import('shamir-secret-sharing')>()
  return {
    ...real,
    split: async (...given: Parameters<typeof real.split>) => {
      const shares = await real.split(...given)
      return library.spoil ? library.spoil(shares) : shares
    },
    combine: async (...given: Parameters<typeof real.combine>) => {
      const secret = await real.combine(...given)
      library.made.push(secret)
      return secret
    },
  }
})
afterEach(() => {
  library.spoil = null
})

vi.mock('../../src/keys/secret-bytes.ts', async (original) => {
  const { watchedBytes } = await import('../kit/kept-off-heap.ts')
  return watchedBytes(original)
})

const dice = new Dice(1)
const pick = (below: number) => dice.below(below)
const deal = (k: number, n: number): Promise<DealtKey> => dealKey({ k, n }, pick)

/** Every set of `size` of a list. */
function setsOf<T>(list: readonly T[], size: number): T[][] {
  if (size === 0) return [[]]
  return list.flatMap((one, at) => setsOf(list.slice(at + 1), size - 1).map((rest) => [one, ...rest]))
}

/** GF(2^8) modulo x⁸+x⁴+x³+x+1, by shifting and adding. */
function times(a: number, b: number): number {
  let [product, factor] = [0, a]
  for (let bit = 0; bit < 8; bit += 1) {
    if ((b >> bit) & 1) product ^= factor
    factor = (factor << 1) ^ (factor & 0x80 ? 0x11b : 0)
  }
  return product
}
const FIELD = Array.from({ length: 256 }, (_, at) => at)
const INVERSES = FIELD.map((a) => FIELD.find((b) => times(a, b) === 1) ?? 0)

/** The value at `x` of the one polynomial of least degree through these points. */
const valueAt = (x: number, points: readonly { readonly x: number; readonly y: number }[]): number =>
  points.reduce((sum, { x: xi, y }) => {
    const others = points.filter((other) => other.x !== xi)
    return sum ^ others.reduce((term, other) => times(term, times(x ^ other.x, INVERSES[xi ^ other.x] ?? 0)), y)
  }, 0)

const byteOf = ({ x, y }: Share, at: number) => ({ x, y: y[at] ?? 0 })
const scalarOf = ({ pair }: DealtKey): Buffer => withScalar(pair, (scalar) => Buffer.from(scalar))

describe('five of nine', () => {
  it('make the key, whichever they are and in whatever order; four of them never do', async () => {
    const dealt = await deal(5, 9)
    const { pair, shares } = dealt
    const { didKey } = pair
    const fives = setsOf(shares, 5)
    expect(fives).toHaveLength(126)
    for (const five of fives) {
      const made = await combineShares(five.toReversed(), { k: 5, didKey })
      expect(made?.didKey).toBe(didKey)
      expect(made && withScalar(made, (scalar) => Buffer.from(scalar))).toEqual(scalarOf(dealt))
    }
    const fours = setsOf(shares, 4)
    expect(fours).toHaveLength(126)
    for (const four of fours) {
      expect(await combineShares(four, { k: 5, didKey })).toBeNull()
      // Nor where somebody says that four are enough.
      expect(await combineShares(four, { k: 4, didKey })).toBeNull()
    }
    expect(await combineShares(shares, { k: 5, didKey })).toBeNull()
    expect(await combineShares(shares.slice(0, 6), { k: 5, didKey })).toBeNull()
  })

  it('are interpolated as the books say', async () => {
    const dealt = await deal(5, 9)
    const scalar = scalarOf(dealt)
    for (let at = 0; at < SHARE_BYTES; at += 1) {
      const points = dealt.shares.map((share) => byteOf(share, at))
      expect(valueAt(0, points.slice(0, 5))).toBe(scalar[at])
      // All nine lie on the curve that any five of them make.
      for (const point of points) expect(valueAt(point.x, points.slice(2, 7))).toBe(point.y)
    }
  })
})

describe('what is no share of a key', () => {
  it('makes none: any bit of any byte, or any other place', async () => {
    const { pair, shares } = await deal(3, 5)
    const { didKey } = pair
    const [one, two, three] = shares as readonly [Share, Share, Share]
    for (let bit = 0; bit < 8 * SHARE_BYTES; bit += 1) {
      const spoilt = { ...two, y: withBitFlipped(two.y, bit) }
      expect(await combineShares([one, spoilt, three], { k: 3, didKey })).toBeNull()
    }
    for (let x = 0; x <= 256; x += 1) {
      const made = await combineShares([one, { ...two, x }, three], { k: 3, didKey })
      expect(made?.didKey ?? null).toBe(x === two.x ? didKey : null)
    }
    // A share at zero would be the key itself, whatever the others are.
    const chosen = scalarOf(await deal(2, 2))
    const wanted = importPrivateKey('k256', chosen)
    if (!wanted) throw new Error('no key')
    expect(await combineShares([one, { x: 0, y: chosen }, three], { k: 3, didKey: wanted.didKey })).toBeNull()
  })

  it.each([
    ['x = −1', (share: Share) => ({ ...share, x: -1 })],
    ['x = 256 and what it was', (share: Share) => ({ ...share, x: share.x + 256 })],
    ['half an x', (share: Share) => ({ ...share, x: share.x + 0.5 })],
    ['an x that is no number', (share: Share) => ({ ...share, x: Number.NaN })],
    ['an endless x', (share: Share) => ({ ...share, x: Number.POSITIVE_INFINITY })],
    ['31 bytes', (share: Share) => ({ ...share, y: share.y.slice(0, 31) })],
    ['33 bytes', (share: Share) => ({ ...share, y: Uint8Array.from([...share.y, 0]) })],
    ['no bytes', (share: Share) => ({ ...share, y: new Uint8Array(0) })],
    ['zeros', (share: Share) => ({ ...share, y: new Uint8Array(SHARE_BYTES) })],
  ])('makes none: %s', async (_, change) => {
    const dealtBy = systemRandom.bytes(32)
    const { pair, shares } = await deal(3, 5)
    const [one, two, three] = shares as readonly [Share, Share, Share]
    expect(await combineShares([one, change(two), three], { k: 3, didKey: pair.didKey })).toBeNull()
    const commitment = commitmentOf(dealtBy, two)
    expect(isShareFor(two, { x: two.x, commitment }, dealtBy)).toBe(true)
    expect(isShareFor(change(two), { x: two.x, commitment }, dealtBy)).toBe(false)
    expect(isShareFor(change(two), { x: change(two).x, commitment }, dealtBy)).toBe(false)
  })

  it('makes none: one share twice, or two that stand in one place', async () => {
    const { pair, shares } = await deal(3, 5)
    const [one, two, three] = shares as readonly [Share, Share, Share]
    const key = { k: 3, didKey: pair.didKey }
    expect(await combineShares([one, two, two], key)).toBeNull()
    expect(await combineShares([one, two, three, three], key)).toBeNull()
    expect(await combineShares([one, two, { ...three, x: two.x }], key)).toBeNull()
    expect(await combineShares([], { ...key, k: 0 })).toBeNull()
    expect(await combineShares([one], { ...key, k: 1 })).toBeNull()
  })

  it('makes none: shares of two keys, or of the same key dealt twice', async () => {
    const [first, second] = [await deal(3, 5), await deal(3, 5)]
    const scalar = Uint8Array.from(scalarOf(first))
    const again = (await split(scalar, 5, 3)).map((bytes) => ({ x: bytes[SHARE_BYTES] ?? 0, y: bytes.slice(0, -1) }))
    const key = { k: 3, didKey: first.pair.didKey }
    expect((await combineShares(again.slice(0, 3), key))?.didKey).toBe(key.didKey)
    for (const others of [second.shares, again]) {
      for (const [a, b] of setsOf(first.shares, 2)) {
        const stranger = others.find(({ x }) => x !== a?.x && x !== b?.x)
        if (!a || !b || !stranger) throw new Error('no such shares')
        expect(await combineShares([a, b, stranger], key)).toBeNull()
      }
    }
  })

  it('a Buffer is one as good as any: the library’s TypeError reaches nobody', async () => {
    const { pair, shares } = await deal(2, 3)
    const buffers = shares.map(({ x, y }) => ({ x, y: Buffer.from(y) }))
    expect((await combineShares(buffers.slice(0, 2), { k: 2, didKey: pair.didKey }))?.didKey).toBe(pair.didKey)
    const dealtBy = Buffer.alloc(32, 7)
    for (const [at, share] of shares.entries()) {
      const commitment = commitmentOf(dealtBy, share)
      expect(isShareFor(buffers[at] ?? share, { x: share.x, commitment }, dealtBy)).toBe(true)
    }
    await expect(combine(buffers.map(({ x, y }) => Buffer.from([...y, x])))).rejects.toThrow(TypeError)
  })

  it('shares that are combined are left as they were, for their owner to wipe', async () => {
    const { pair, shares } = await deal(2, 3)
    const before = shares.map(({ y }) => Buffer.from(y))
    await combineShares(shares.slice(0, 2), { k: 2, didKey: pair.didKey })
    expect(shares.map(({ y }) => Buffer.from(y))).toEqual(before)
    wipe(shares)
    expect(shares.every(({ y }) => y.every((byte) => byte === 0))).toBe(true)
  })
})

describe('a commitment', () => {
  it('names the share that is another’s, another generation’s or another key’s', async () => {
    const dealtBy = systemRandom.bytes(32)
    const { shares } = await deal(3, 5)
    const places = shares.map((share) => ({ x: share.x, commitment: commitmentOf(dealtBy, share) }))
    for (const [at, place] of places.entries()) {
      for (const [by, share] of shares.entries()) expect(isShareFor(share, place, dealtBy)).toBe(at === by)
    }
    const [share, other] = shares as readonly [Share, Share]
    const [place] = places
    if (!place) throw new Error('nobody was dealt to')
    // The same bytes, said to stand where the other keeper's do.
    expect(isShareFor({ ...share, x: other.x }, place, dealtBy)).toBe(false)
    expect(isShareFor(share, { ...place, x: other.x }, dealtBy)).toBe(false)
    expect(isShareFor({ ...share, x: other.x }, { ...place, x: other.x }, dealtBy)).toBe(false)
    expect(isShareFor({ ...other, x: share.x }, place, dealtBy)).toBe(false)
    for (let bit = 0; bit < 256; bit += 1) {
      expect(isShareFor({ ...share, y: withBitFlipped(share.y, bit) }, place, dealtBy)).toBe(false)
      // The same seats, another dealing.
      expect(isShareFor(share, place, withBitFlipped(dealtBy, bit))).toBe(false)
    }
    for (const commitment of ['', `${place.commitment}=`, place.commitment.slice(1), place.commitment.toLowerCase()]) {
      expect(isShareFor(share, { ...place, commitment }, dealtBy)).toBe(false)
    }
  })

  it('is what it always was', () => {
    const share = { x: 7, y: Uint8Array.from({ length: 32 }, (_, at) => at) }
    expect(commitmentOf(new Uint8Array(32).fill(1), share)).toBe('F5C9kyaH_Bl65cONEn-BBnZmdasawOgeZhzwjn70TBg')
  })
})

describe('dealing', () => {
  it.each([
    ...[
      [1, 2],
      [0, 2],
      [3, 2],
      [2, 1],
      [2, 17],
      [17, 17],
      [1, 1],
    ],
    ...[
      [2.5, 3],
      [2, 3.5],
      [Number.NaN, 3],
      [2, Number.NaN],
      [2, Number.POSITIVE_INFINITY],
      [-2, 3],
    ],
  ] as const)('%s of %s is no threshold', async (k, n) => {
    expect(isThreshold(k, n)).toBe(false)
    await expect(deal(k, n)).rejects.toThrow(RangeError)
  })

  it('gives as many shares as there are keepers, at places that differ, off the heap', async () => {
    for (const [k, n] of [
      [2, 2],
      [2, 16],
      [16, 16],
      [9, 16],
      [3, 5],
    ] as const) {
      const { pair, shares } = await deal(k, n)
      expect(pair.curve).toBe('k256')
      expect(shares).toHaveLength(n)
      expect(new Set(shares.map(({ x }) => x)).size).toBe(n)
      for (const { x, y } of shares) {
        expect(x).toBeGreaterThanOrEqual(1)
        expect(x).toBeLessThanOrEqual(255)
        expect(y).toHaveLength(SHARE_BYTES)
        expect(y.buffer.byteLength).toBeGreaterThanOrEqual(4096)
      }
    }
  })

  it('makes another key and other shares each time', async () => {
    const dealt = await Promise.all(Array.from({ length: 20 }, () => deal(2, 3)))
    expect(new Set(dealt.map(({ pair }) => pair.didKey)).size).toBe(20)
    expect(new Set(dealt.flatMap(({ shares }) => shares.map(({ y }) => Buffer.from(y).toString('hex')))).size).toBe(60)
  })

  it.each<[string, (one: Uint8Array, other: Uint8Array) => Uint8Array]>([
    ['one bit of one share', (one) => withBitFlipped(one, 77)],
    ['one share at the place of another', (one, other) => Uint8Array.from([...one.slice(0, 32), other[32] ?? 0])],
    ['one share at zero', (one) => Uint8Array.from([...one.slice(0, 32), 0])],
    ['one share of another key', (one) => Uint8Array.from([...systemRandom.bytes(32), one[32] ?? 0])],
    ['one share that is too short', (one) => one.slice(0, 32)],
  ])('finds out before anybody gets a share: %s', async (_, change) => {
    for (const [k, n] of [
      [2, 2],
      [3, 5],
      [2, 16],
      [9, 16],
      [16, 16],
    ] as const) {
      for (let at = 0; at < n; at += 1) {
        library.spoil = (shares) =>
          shares.map((one, nth) => (nth === at ? change(one, shares[(at + 1) % n] ?? one) : one))
        await expect(deal(k, n)).rejects.toThrow('do not bring the key back')
      }
    }
  })

  it('wipes what the library made', async () => {
    const made: Uint8Array[] = []
    library.spoil = (shares) => {
      made.push(...shares)
      return shares
    }
    await deal(3, 5)
    expect(made).toHaveLength(5)
    expect(made.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true)
  })
})

describe('of what was secret', () => {
  const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)

  it('nothing stays of a dealing but the shares', async () => {
    kept.bytes = []
    library.made = []
    const { shares } = await deal(3, 5)
    expect(kept.bytes.length).toBeGreaterThan(shares.length)
    expect(new Set(unwiped())).toEqual(new Set(shares.map(({ y }) => y)))
    expect(library.made).toHaveLength(10)
    expect(library.made.every(isZero)).toBe(true)
  })

  it('nothing at all stays of one that fails', async () => {
    kept.bytes = []
    library.spoil = (shares) => shares.map((one) => withBitFlipped(one, 77))
    await expect(deal(3, 5)).rejects.toThrow('do not bring the key back')
    expect(unwiped()).toEqual([])
    library.spoil = () => {
      throw new Error('the library is out of order')
    }
    await expect(deal(3, 5)).rejects.toThrow('out of order')
    expect(unwiped()).toEqual([])
  })

  it('nothing stays of a key that was put together, and what was lent is wiped, also when whoever has it fails', async () => {
    const { shares } = await deal(2, 3)
    kept.bytes = []
    library.made = []
    const lent: Uint8Array[] = []
    const two = shares.slice(0, 2)
    expect(await lendCombined(two, 2, (scalar) => lent.push(scalar))).toBe(1)
    const failing = lendCombined(two, 2, (scalar) => {
      lent.push(scalar)
      throw new Error('not today')
    })
    await expect(failing).rejects.toThrow('not today')
    expect([lent.length, library.made.length, kept.bytes.length]).toEqual([2, 2, 6])
    expect([...lent, ...library.made, ...kept.bytes].every(isZero)).toBe(true)
    expect(lent.every(({ buffer }) => buffer.byteLength >= 4096)).toBe(true)
  })

  it('nothing is lent where the shares are too few, too many, or of one place', async () => {
    const { shares } = await deal(2, 3)
    const [one, two] = shares as readonly [Share, Share]
    for (const [some, k] of [
      [[one], 2],
      [shares, 2],
      [[one, one], 2],
      [[one], 1],
      [[one, two], 1.5],
    ] as const) {
      expect(await lendCombined(some, k, () => 'lent')).toBeNull()
    }
    expect(await lendCombined([one, two], 2, () => 'lent')).toBe('lent')
  })
})

describe('fewer shares than the threshold', () => {
  it('fit every key there is: for each byte there is one last share that makes it any value', () => {
    const places = fc.uniqueArray(fc.integer({ min: 1, max: 255 }), { minLength: 3, maxLength: 16 })
    return fc.assert(
      fc.asyncProperty(places, fc.nat(), fc.uint8Array({ minLength: 16, maxLength: 16 }), async (xs, by, ys) => {
        const k = 2 + (by % (xs.length - 1))
        const known = xs.slice(0, k - 1).map((x, at) => ({ x, y: ys[at] ?? 0 }))
        const last = xs[k - 1] ?? 0
        // Whatever the claimed byte of the key is: the point at zero and the known shares make one curve, and the last share is on it.
        for (let claimed = 0; claimed < 256; claimed += 1) {
          const y = valueAt(last, [...known, { x: 0, y: claimed }])
          expect(valueAt(0, [...known, { x: last, y }])).toBe(claimed)
        }
        const y = valueAt(last, [...known, { x: 0, y: 77 }])
        const through = await combine([...known, { x: last, y }].map((point) => Uint8Array.of(point.y, point.x)))
        expect(through).toEqual(Uint8Array.of(77))
      }),
      { seed: 20_261_120, numRuns: 40 },
    )
  })

  it('look like chance, whatever the secret is: every value as often as any other, at each place', async () => {
    for (const byte of [0, 0xff]) {
      const counts = new Array<number>(256).fill(0)
      const rounds = 2000
      for (let round = 0; round < rounds; round += 1) {
        const [first] = await split(new Uint8Array(SHARE_BYTES).fill(byte), 3, 2)
        for (const value of first?.subarray(0, SHARE_BYTES) ?? []) counts[value] = (counts[value] ?? 0) + 1
      }
      // 64,000 bytes, so 250 of each value. Chi-squared over 255 degrees: above 420 once in a thousand million.
      expect(chiSquared(counts, (rounds * SHARE_BYTES) / 256)).toBeLessThan(420)
    }
  })
})

const chiSquared = (counts: readonly number[], expected: number): number =>
  counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)

describe('the library', () => {
  it('is 0.0.4 and nothing else: those before it leave out a zero as the first coefficient, which tells something about the key', () => {
    const read = (path: string) => JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'))
    expect(read('package.json').dependencies['shamir-secret-sharing']).toBe('0.0.4')
    expect(read('node_modules/shamir-secret-sharing/package.json').version).toBe('0.0.4')
    expect(read('package-lock.json').packages['node_modules/shamir-secret-sharing'].version).toBe('0.0.4')
  })

  it('draws each coefficient from all 256 values, zero as often as any', async () => {
    const counts = [0, 1, 2].map(() => new Array<number>(256).fill(0))
    const rounds = 2000
    for (let round = 0; round < rounds; round += 1) {
      const secret = new Uint8Array(SHARE_BYTES).fill(round & 0xff)
      const shares = (await split(secret, 3, 3)).map((bytes) => ({ x: bytes[SHARE_BYTES] ?? 0, y: bytes }))
      for (let at = 0; at < SHARE_BYTES; at += 1) {
        for (const [power, value] of coefficientsOf(shares.map((share) => byteOf(share, at))).entries()) {
          const counted = counts[power]
          if (counted) counted[value] = (counted[value] ?? 0) + 1
        }
      }
    }
    const expected = (rounds * SHARE_BYTES) / 256
    // 250 zeros as the leading coefficient are expected; with 0.0.3 there is none. Seven standard deviations either way.
    for (const counted of [counts[1], counts[2]]) {
      expect(counted?.[0]).toBeGreaterThan(expected - 7 * Math.sqrt(expected))
      expect(counted?.[0]).toBeLessThan(expected + 7 * Math.sqrt(expected))
      expect(chiSquared(counted ?? [], expected)).toBeLessThan(420)
    }
  })
})

/** The coefficients of the parabola through three points, that of the power zero first. */
function coefficientsOf(points: readonly { readonly x: number; readonly y: number }[]): readonly number[] {
  return points.reduce(
    ([c0 = 0, c1 = 0, c2 = 0], { x, y }) => {
      const [a = 0, b = 0] = points.filter((other) => other.x !== x).map((other) => other.x)
      const weight = times(y, INVERSES[times(x ^ a, x ^ b)] ?? 0)
      return [c0 ^ times(weight, times(a, b)), c1 ^ times(weight, a ^ b), c2 ^ weight]
    },
    [0, 0, 0],
  )
}
