/** What a keeper keeps: it comes back as it was written, its share is never a text, and what was changed is no packet. */
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { packetText, parsePacket, type SharePacket } from '../../src/keys/share-packet.ts'
import { SHARE_BYTES } from '../../src/keys/shares.ts'
import type { Did } from '../../src/names.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { QUORUM_KEY, statementOf } from '../kit/ceremony-words.ts'
import { kept } from '../kit/kept-off-heap.ts'
import { Dice, mutateBytes, mutateJson, SEED } from '../kit/mutate.ts'

vi.mock('../../src/keys/secret-bytes.ts', async (original) => {
  const { watchedBytes } = await import('../kit/kept-off-heap.ts')
  return watchedBytes(original)
})

const { seats, community, service } = statementOf('drill')
const about: SharePacket = {
  v: 1,
  howTo: ['Keep this file in two places.', 'To act: "age -d"; \u00e9\n'],
  ...{ community, service, key: 'key-1', pub: QUORUM_KEY.didKey, generation: 1, n: 3, k: 2, dealtBy: 'ab'.repeat(32) },
  ...{ keeper: 'did:web:alice.example.com' as Did, x: 7 },
  keepers: seats.map(({ did, signKey, x, commitment }) => ({ did, signKey, x: x ?? 0, commitment: commitment ?? '' })),
  plcLog: [{ did: community, operation: { type: 'plc_operation', prev: null }, nullified: false }],
}
const share = { x: 7, y: systemRandom.bytes(SHARE_BYTES) }
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const HEX = hexOf(share.y)
const textOf = (packet: object = about): string =>
  Buffer.from(packetText(packet as SharePacket, share)).toString('utf8')
const parse = (text: string) => parsePacket(Buffer.from(text, 'utf8'))

describe('a packet', () => {
  it('comes back as it was written, and its share off the heap', () => {
    const text = packetText(about, share)
    const parsed = parsePacket(text)
    expect(parsed).toEqual({ packet: about, share: { x: 7, y: Uint8Array.from(share.y) } })
    for (const { buffer } of [text, parsed?.share.y ?? new Uint8Array(0)])
      expect(buffer.byteLength).toBeGreaterThanOrEqual(4096)
    expect(parsePacket(Buffer.from(text))?.packet).toEqual(about)
  })

  it('is JSON that anybody can read: the share first, in hexadecimal', () => {
    const text = textOf()
    expect(JSON.parse(text)).toEqual({ share: HEX, ...about })
    expect(Object.keys(JSON.parse(text))[0]).toBe('share')
    expect(text.split('\n').length).toBeGreaterThan(20)
  })

  it('is made and read without the share, in any spelling, ever being a text', () => {
    const texts: string[] = []
    const [stringify, parseJson] = [JSON.stringify, JSON.parse]
    const spies = [
      vi.spyOn(JSON, 'stringify').mockImplementation((...given: Parameters<typeof JSON.stringify>) => {
        const text = stringify(...given)
        texts.push(text)
        return text
      }),
      vi.spyOn(JSON, 'parse').mockImplementation((text, ...more) => {
        texts.push(text)
        return parseJson(text, ...more)
      }),
      vi.spyOn(TextDecoder.prototype, 'decode'),
      vi.spyOn(Buffer.prototype, 'toString'),
    ]
    const parsed = parsePacket(packetText(about, share))
    for (const spy of spies) texts.push(...spy.mock.results.map(({ value }) => String(value)))
    vi.restoreAllMocks()
    expect(parsed?.share.y).toEqual(Uint8Array.from(share.y))
    expect(texts.length).toBeGreaterThanOrEqual(2)
    expect(texts.join('\n')).toContain('did:web:alice.example.com')
    const spellings = [HEX, Buffer.from(share.y).toString('base64').slice(0, 42), [...share.y].join(',')]
    for (const spelling of spellings) expect(texts.join('\n').includes(spelling)).toBe(false)
    expect(texts.join('\n')).toContain('0'.repeat(64))
  })

  it('takes capitals in the share, for whoever copies it by hand', () => {
    expect(parse(textOf().replace(HEX, HEX.toUpperCase()))?.share.y).toEqual(Uint8Array.from(share.y))
  })

  it(`comes back whatever is in it (seed ${SEED})`, () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: SHARE_BYTES, maxLength: SHARE_BYTES }),
        fc.integer({ min: 1, max: 255 }),
        fc.array(fc.string({ unit: 'grapheme' })),
        fc.array(fc.jsonValue({ maxDepth: 5 }).map((value) => JSON.parse(JSON.stringify(value)))),
        (y, x, howTo, plcLog) => {
          const said = { ...about, x, howTo, plcLog }
          const parsed = parsePacket(packetText(said, { x, y }))
          // What no strict reader takes, none takes here: a name twice can't be written, `__proto__` can.
          if (!JSON.stringify(plcLog).includes('__proto__')) expect(parsed).toEqual({ packet: said, share: { x, y } })
        },
      ),
      { seed: SEED, numRuns: 300 },
    )
  })
})

describe('what is no packet', () => {
  const changed = (change: (text: string) => string) => change(textOf())

  it.each<[string, string]>([
    ['nothing', ''],
    ['a share alone', HEX],
    ['an object of nothing', '{}'],
    ['one without a share', JSON.stringify(about, null, 1)],
    ['a share of nothing', changed((text) => text.replace(HEX, ''))],
    ['a share that is too short', changed((text) => text.replace(HEX, HEX.slice(2)))],
    ['a share that is too long', changed((text) => text.replace(HEX, `${HEX}00`))],
    ['a share that is half a byte too long', changed((text) => text.replace(HEX, `${HEX}0`))],
    ['a share that is no hexadecimal', changed((text) => text.replace(HEX, `${HEX.slice(1)}g`))],
    ['a share with a space', changed((text) => text.replace(HEX, ` ${HEX.slice(1)}`))],
    ['a share with a sign', changed((text) => text.replace(HEX, `+${HEX.slice(1)}`))],
    ['a share with an escape', changed((text) => text.replace(HEX, `\\u0061${HEX.slice(6)}`))],
    ['a share of digits from elsewhere', changed((text) => text.replace(HEX, `${HEX.slice(2)}\u0661`))],
    ['a share as number', changed((text) => text.replace(`"${HEX}"`, '1'))],
    ['two shares', changed((text) => text.replace('"v": 1', `"share": "${HEX}", "v": 1`))],
    [
      'two shares, the second in disguise',
      changed((text) => text.replace('"v": 1', `"\\u0073hare": "${HEX}", "v": 1`)),
    ],
    [
      'a share that comes later',
      changed((text) => text.replace('"share"', '"other"').replace('"v": 1', `"share": "${HEX}", "v": 1`)),
    ],
    ['a share in the log only', JSON.stringify({ ...about, plcLog: [{ share: HEX }] })],
    ['JSON on one line', JSON.stringify({ share: HEX, ...about })],
    ['a mark before it', `\ufeff${textOf()}`],
    ['space before it', ` ${textOf()}`],
    ['another space in it', changed((text) => text.replace('\n', '\t'))],
    ['text behind it', `${textOf()}x`],
    ['half of it', textOf().slice(0, 400)],
    ['a member twice', changed((text) => text.replace('"v": 1', '"v": 1, "v": 1'))],
  ])('%s', (_, text) => {
    kept.bytes.length = 0
    expect(parse(text)).toBeNull()
    // What was read of a share is wiped.
    for (const bytes of kept.bytes.filter(({ length }) => length === SHARE_BYTES))
      expect(hexOf(bytes)).toBe('0'.repeat(64))
    // A second share is a member like any other.
    const isAlone = text.indexOf(HEX) === text.lastIndexOf(HEX)
    for (const bytes of kept.bytes) expect(isAlone && Buffer.from(bytes.buffer).includes(HEX)).toBe(false)
  })

  it.each<[string, object]>([
    ['of another version', { v: 2 }],
    ['with more', { more: 1 }],
    ['about no community', { community: 'gardeners' }],
    ['about no key', { pub: 'did:key:zNobody' }],
    ['of nobody', { keeper: 'alice' }],
    ['at zero', { x: 0 }],
    ['past 255', { x: 256 }],
    ['at half a place', { x: 1.5 }],
    ['where one acts', { k: 1 }],
    ['with too many keepers', { n: 17 }],
    ['without keepers', { keepers: [] }],
    ['with a keeper at zero', { keepers: about.keepers.map((one) => ({ ...one, x: 0 })) }],
    ['with a keeper of whom there is more', { keepers: about.keepers.map((one) => ({ ...one, more: 1 })) }],
    ['with a hash that is none', { dealtBy: 'xy'.repeat(32) }],
    ['with a hash in capitals', { dealtBy: 'AB'.repeat(32) }],
    ['of generation zero', { generation: 0 }],
    ['with a log that is none', { plcLog: {} }],
    ['with words that are none', { howTo: 'keep it' }],
    ['with a log in a depth that no operation has', { plcLog: [JSON.parse('['.repeat(20) + ']'.repeat(20))] }],
  ])('one %s', (_, change) => {
    kept.bytes.length = 0
    const text = textOf({ ...about, ...change })
    kept.bytes.length = 0
    expect(parse(text)).toBeNull()
    expect(kept.bytes.map(({ length }) => length)).toContain(SHARE_BYTES)
    for (const bytes of kept.bytes) expect(Buffer.from(bytes.buffer).includes(HEX)).toBe(false)
    for (const bytes of kept.bytes.filter(({ length }) => length === SHARE_BYTES))
      expect(hexOf(bytes)).toBe('0'.repeat(64))
  })

  it.each<[string, (value: number) => object, readonly number[], readonly number[]]>([
    ['generation', (generation) => ({ generation }), [1, 1_000], [0, -1]],
    ['k', (k) => ({ k }), [2, 16], [1, 17]],
    ['n', (n) => ({ n }), [2, 16], [1, 17]],
    ['place', (x) => ({ x }), [1, 255], [0, 256]],
    ['place of a keeper', (x) => ({ keepers: about.keepers.map((one) => ({ ...one, x })) }), [1, 255], [0, 256]],
    ['length of a name', (chars) => ({ key: 'k'.repeat(chars) }), [0, 64], [65]],
    [
      'length of a commitment',
      (chars) => ({ keepers: about.keepers.map((one) => ({ ...one, commitment: 'c'.repeat(chars) })) }),
      [0, 64],
      [65],
    ],
    [
      'number of keepers',
      (count) => ({ keepers: Array.from({ length: count }, (_, at) => about.keepers[at % about.keepers.length]) }),
      [2, 16],
      [1, 17],
    ],
    [
      'depth of a log',
      // The packet and its list are two levels more.
      (levels) => ({ plcLog: [JSON.parse('['.repeat(levels) + ']'.repeat(levels))] }),
      [14],
      [15],
    ],
    ['hash', (chars) => ({ dealtBy: 'a'.repeat(chars) }), [64], [63, 65]],
  ])('one of another %s than there can be', (_, change, good, bad) => {
    for (const value of good) expect(parse(textOf({ ...about, ...change(value) })), String(value)).not.toBeNull()
    for (const value of bad) expect(parse(textOf({ ...about, ...change(value) })), String(value)).toBeNull()
  })

  it('one that lacks anything', () => {
    for (const name of Object.keys(about)) {
      const { [name as 'v']: _, ...rest } = about
      expect(parse(textOf(rest)), name).toBeNull()
    }
  })

  it('one that is longer than any', () => {
    const filled = (length: number) => textOf({ ...about, plcLog: ['x'.repeat(length)] })
    const rest = Buffer.byteLength(filled(0))
    expect(parse(filled(8 * 1024 * 1024 - rest))).not.toBeNull()
    expect(parse(filled(8 * 1024 * 1024 - rest + 1))).toBeNull()
  })

  it('bytes that are no UTF-8', () => {
    const bytes = Buffer.from(textOf())
    bytes[bytes.indexOf('Keep')] = 0xff
    expect(parsePacket(bytes)).toBeNull()
  })

  it(`and whatever else there is: it never throws (seed ${SEED})`, () => {
    const rolls = fc.array(fc.nat(0x7fffffff), { minLength: 24, maxLength: 24, size: 'max' })
    const good = packetText(about, share)
    let readable = 0
    fc.assert(
      fc.property(rolls, fc.boolean(), (row, isDeep) => {
        const dice = new Dice(row)
        const json = () => JSON.stringify(mutateJson(dice, { share: HEX, ...about }), null, 1) ?? ''
        const parsed = isDeep ? parse(json()) : parsePacket(mutateBytes(dice, good))
        if (parsed) readable += 1
        expect(parsed?.share.x ?? 1).toBe(parsed?.packet.x ?? 1)
      }),
      { seed: SEED, numRuns: 3000 },
    )
    expect(readable).toBeGreaterThan(50)
  })
})
