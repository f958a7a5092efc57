/** Checkpoints as texts: what is one, to the letter, and when it is time for another. */
import { describe, expect, it } from 'vitest'
import {
  AGE_MAX_MS,
  type Checkpoint,
  ENTRIES_MAX,
  isDue,
  NoCheckpoint,
  parseCheckpoint,
  textOfCheckpoint,
} from '../../src/audit/checkpoint.ts'

const hash = (of: string) => Buffer.from(of.repeat(32).slice(0, 32)).toString('hex')
const CHECKPOINT: Checkpoint = {
  instance: '0123456789abcdef'.repeat(2),
  atMs: 1_790_000_000_000,
  acceptedAtMs: null,
  heads: [
    { community: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', seq: 1, hash: hash('a') },
    { community: 'did:plc:bbbbbbbbbbbbbbbbbbbbbbbb', seq: 4_000, hash: hash('b') },
    { community: 'did:web:reeve.example%3A3400', seq: 2, hash: hash('c') },
  ],
}
const TEXT = textOfCheckpoint(CHECKPOINT)

/** What is said of a text that is none. */
function whyNot(text: string): string {
  try {
    parseCheckpoint(text)
  } catch (error) {
    if (error instanceof NoCheckpoint) return error.why
    throw error
  }
  return 'it is one'
}

describe('a checkpoint', () => {
  it.each([
    ['as it is', CHECKPOINT],
    ['after it was accepted', { ...CHECKPOINT, acceptedAtMs: 1_790_000_000_001 }],
    ['of no chain', { ...CHECKPOINT, heads: [] }],
  ])('is read as it was written: %s', (_name, checkpoint) => {
    expect(parseCheckpoint(textOfCheckpoint(checkpoint))).toEqual(checkpoint)
  })

  it('has a line for each chain, which people can compare', () => {
    expect(TEXT.split('\n')).toHaveLength(CHECKPOINT.heads.length + 3)
    expect(JSON.parse(TEXT)).toMatchObject({ format: 1, instance: CHECKPOINT.instance, heads: { length: 3 } })
  })

  it('is none when it was cut, wherever that was', () => {
    const whys = new Set(Array.from({ length: TEXT.length }, (_, length) => whyNot(TEXT.slice(0, length))))
    expect([...whys].toSorted()).toEqual(['it is not as it was written', 'it is not whole'])
  })

  it('is none when one letter of it was changed, but for one in a name', () => {
    const places = Array.from({ length: TEXT.length }, (_, at) => at)
    for (const at of places.filter((one) => !/[a-z0-9.%]/i.test(TEXT.charAt(one)) || one < 100)) {
      const changed = `${TEXT.slice(0, at)}~${TEXT.slice(at + 1)}`
      expect(whyNot(changed), changed).not.toBe('it is one')
    }
  })

  it.each([
    ['nothing', ''],
    ['bytes', '\u0000\u0001\uffff'],
    ['another JSON', '[1,2,3]'],
    ['null', 'null'],
    ['two of them', TEXT + TEXT],
    ['a line feed more', `${TEXT}\n`],
    ['Windows lines', TEXT.replaceAll('\n', '\r\n')],
    ['a field twice', TEXT.replace('"atMs"', '"atMs":1,"atMs"')],
    ['a field more', TEXT.replace('"atMs"', '"more":1,"atMs"')],
    ['an older format', TEXT.replace('"format":1', '"format":0')],
    ['a newer format', TEXT.replace('"format":1', '"format":2')],
    ['no format', TEXT.replace('"format":1,', '')],
    ['another kind of id', TEXT.replace(CHECKPOINT.instance, 'x')],
    ['a time in words', TEXT.replace(/"atMs":\d+/, '"atMs":"now"')],
    ['a time without end', TEXT.replace(/"atMs":\d+/, '"atMs":1e999')],
    ['a place of zero', TEXT.replace('",4000,"', '",0,"')],
    ['half a place', TEXT.replace('",4000,"', '",1.5,"')],
    ['a place beyond numbers', TEXT.replace('",4000,"', '",9007199254740993,"')],
    ['a short hash', TEXT.replace(hash('b'), hash('b').slice(2))],
    ['a hash in capitals', TEXT.replace(hash('c'), hash('c').toUpperCase().replace('3', 'A'))],
    ['a name that is no DID', TEXT.replace('did:plc:a', 'plc:a')],
    ['a chain twice', TEXT.replace('bbbbbbbbbbbbbbbbbbbbbbbb', 'aaaaaaaaaaaaaaaaaaaaaaaa')],
    ['chains in another order', TEXT.replace('plc:a', 'plc:c')],
    ['no chains', '{"format":1,"instance":"0123456789abcdef0123456789abcdef","atMs":1,"acceptedAtMs":null}'],
  ])('is none: %s', (_name, text) => {
    expect(whyNot(text)).not.toBe('it is one')
  })

  it('of another version says so, and not that it was damaged', () => {
    expect(whyNot(TEXT.replace('"format":1', '"format":2'))).toBe('it is of another version of Reeve')
  })
})

describe('it is time for another one', () => {
  const SMALL = { bytes: 1_000 }
  it.each([
    ['nothing came', { ...SMALL, entries: 0, ageMs: AGE_MAX_MS * 10 }, false],
    ['something came a moment ago', { ...SMALL, entries: 1, ageMs: 0 }, false],
    ['something came, and the last is some seconds old', { ...SMALL, entries: 1, ageMs: 5_000 }, true],
    ['much came at once', { ...SMALL, entries: ENTRIES_MAX, ageMs: 0 }, true],
    ['a little less', { ...SMALL, entries: ENTRIES_MAX - 1, ageMs: 0 }, false],
    ['something came, and it is long', { bytes: 1_200_000, entries: 1, ageMs: 5_000 }, false],
    ['the same, a minute later', { bytes: 1_200_000, entries: 1, ageMs: 60_000 }, true],
    ['it is longer than any', { bytes: 1e9, entries: 1, ageMs: AGE_MAX_MS }, true],
    ['as much, and it is long', { bytes: 1_200_000, entries: ENTRIES_MAX, ageMs: 5_000 }, false],
    ['more, as it is long', { bytes: 1_200_000, entries: 1_200, ageMs: 5_000 }, true],
    ['the clock was set back', { ...SMALL, entries: 1, ageMs: -3_600_000 }, true],
  ])('%s', (_name, since, due) => {
    expect(isDue(since)).toBe(due)
  })
})
