/** What ceremonies say: in one spelling, consistent in itself, and nothing that another kind would say. */
import { decode, encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type CeremonyKind,
  type CeremonyStatement,
  encodeStatement,
  hexOf,
  parseStatement,
  type Seat,
  STATEMENT_MAX_BYTES,
  seatOf,
  statementHashOf,
  statementWords,
} from '../../src/keys/ceremony-statements.ts'
import type { Did } from '../../src/names.ts'
import { utf8 } from '../../src/platform/bytes.ts'
import { OPERATION, QUORUM_KEY, SIGN_KEYS, statementOf } from '../kit/ceremony-words.ts'
import { Dice, mutateBytes, mutateJson, SEED } from '../kit/mutate.ts'
import { makeKey } from '../kit/tokens.ts'

const KINDS = ['split', 'drill', 'combine', 'ownership'] as const satisfies readonly CeremonyKind[]
const [KEY = makeKey('p256')] = SIGN_KEYS
const bytesOf = (kind: CeremonyKind, changed: object = {}): Uint8Array =>
  encode({ ...statementOf(kind), ...changed } as CeremonyStatement)
const hashOf = (kind: CeremonyKind): string => hexOf(statementHashOf(bytesOf(kind)))

describe('a statement', () => {
  it.each(KINDS)('of a %s is read as it was written', (kind) => {
    const bytes = encodeStatement(statementOf(kind))
    expect(parseStatement(bytes)).toEqual(statementOf(kind))
    expect(encodeStatement(parseStatement(bytes) as CeremonyStatement)).toEqual(bytes)
    expect(parseStatement(Buffer.from(bytes))).toEqual(statementOf(kind))
  })

  it('has the hash that it always had: of its tag and its DAG-CBOR, written with another encoder', () => {
    const bytes = bytesOf('combine')
    expect(bytes).toHaveLength(1057)
    expect(hexOf(statementHashOf(bytes))).toBe('444f7857b5684f0cda97d5d977647a2082876c055e3e863d8dfcbb4126a70f51')
    expect(Buffer.from(statementWords(bytes)).toString('latin1')).toMatch(/^reeve-ceremony-v1\n/)
  })

  it('has another hash for each other thing it says', () => {
    const hashes = KINDS.map((kind) => hashOf(kind))
    const others = [
      { nonce: new Uint8Array(32) },
      { ceremony: 'ceremony-2' },
      { expiresAt: '2026-11-30T10:00:00.001Z' },
    ]
    hashes.push(...others.map((changed) => hexOf(statementHashOf(bytesOf('combine', changed)))))
    expect(new Set(hashes).size).toBe(KINDS.length + others.length)
  })

  it('counts in its one spelling only', () => {
    const bytes = Buffer.from(bytesOf('drill'))
    const nothing = Buffer.alloc(0)
    const nonce = Buffer.concat([Buffer.from('5820', 'hex'), Buffer.alloc(32, 9)])
    const at = bytes.indexOf(nonce)
    expect(at).toBeGreaterThan(0)
    const respelled: Record<string, Buffer> = {
      nothing,
      'more behind it': Buffer.concat([bytes, Buffer.from('f6', 'hex')]),
      twice: Buffer.concat([bytes, bytes]),
      'a byte less': bytes.subarray(0, -1),
      // A length in two bytes where one does.
      'a longer length': Buffer.concat([bytes.subarray(0, at), Buffer.from('590020', 'hex'), bytes.subarray(at + 2)]),
      'an endless map': Buffer.concat([Buffer.from('bf', 'hex'), bytes.subarray(1), Buffer.from('ff', 'hex')]),
      'a tag before it': Buffer.concat([Buffer.from('d9d9f7', 'hex'), bytes]),
      // The first member, `v`, behind all others.
      'another order': Buffer.concat([bytes.subarray(0, 1), bytes.subarray(4), bytes.subarray(1, 4)]),
      'a member twice': Buffer.concat([Uint8Array.of((bytes[0] ?? 0) + 1), bytes.subarray(1, 4), bytes.subarray(1)]),
      'a number with a fraction': Buffer.concat([
        bytes.subarray(0, 3),
        Buffer.from('fb3ff0000000000000', 'hex'),
        bytes.subarray(4),
      ]),
      JSON: Buffer.from(JSON.stringify(statementOf('drill'))),
    }
    expect(hexOf(bytes.subarray(1, 4))).toBe('617601')
    for (const [how, other] of Object.entries(respelled)) expect(parseStatement(other), how).toBeNull()
  })

  const seats = (change: (seats: readonly Seat[]) => readonly unknown[], kind: CeremonyKind = 'drill') => ({
    seats: change(statementOf(kind).seats),
  })
  const first = (changed: object) => seats(([one, ...rest]) => [{ ...one, ...changed }, ...rest])
  const second = (changed: object) => seats(([one, two, ...rest]) => [one, { ...two, ...changed }, ...rest])
  const quorum = (changed: object, kind: CeremonyKind = 'drill') => ({
    quorum: { ...statementOf(kind).quorum, ...changed },
  })
  const { operation, owners } = { operation: statementOf('combine').operation, owners: statementOf('ownership').owners }
  const [SEAT] = statementOf('drill').seats as unknown as readonly [Seat]

  it.each<[CeremonyKind, string, object]>([
    ['drill', 'of another version', { v: 2 }],
    ['drill', 'of a kind that is none', { kind: 'export' }],
    ['drill', 'of another kind than it looks like', { kind: 'combine' }],
    ['combine', 'of another kind than it looks like', { kind: 'drill' }],
    ['combine', 'of another kind than it looks like, too', { kind: 'split' }],
    ['drill', 'with more than it may say', { more: true }],
    ['drill', 'without a name', { ceremony: '' }],
    ['drill', 'about no community', { community: 'gardeners' }],
    ['drill', 'about a community in another spelling', { community: `did:plc:${'G'.repeat(24)}` }],
    ['drill', 'before no service', { service: 'https://reeve.example.com' }],
    ['drill', 'with a nonce that is too short', { nonce: new Uint8Array(31) }],
    ['drill', 'with a nonce as text', { nonce: 'n'.repeat(32) }],
    ['drill', 'that ends when it begins', { expiresAt: '2026-11-29T10:00:00.000Z' }],
    ['drill', 'that ends before it begins', { expiresAt: '2026-11-29T09:59:59.999Z' }],
    ['drill', 'with an instant in another spelling', { createdAt: '2026-11-29T10:00:00Z' }],
    ['drill', 'with an instant in another zone', { createdAt: '2026-11-29T10:00:00.000+01:00' }],
    ['drill', 'with an instant that never is', { createdAt: '2026-02-30T10:00:00.000Z' }],
    ['drill', 'of one keeper', { ...quorum({ n: 1, k: 1 }), ...seats(([one]) => [one]) }],
    ['drill', 'with k = 1', quorum({ k: 1 })],
    ['drill', 'with k > n', quorum({ k: 4 })],
    ['drill', 'with fewer seats than n', seats((all) => all.slice(1))],
    ['drill', 'with more seats than n', quorum({ n: 2 })],
    ['drill', 'with seventeen keepers', quorum({ n: 17 })],
    ['drill', 'of a generation before the first', quorum({ generation: 0 })],
    ['drill', 'of half a generation', quorum({ generation: 1.5 })],
    ['drill', 'without the key', quorum({ pub: null })],
    ['drill', 'without where the key was dealt', quorum({ dealtBy: null })],
    ['drill', 'with a hash in capitals', quorum({ dealtBy: 'AB'.repeat(32) })],
    ['drill', 'with a key that is none', quorum({ pub: 'did:key:zNobody' })],
    ['drill', 'with a seat that has no place', first({ x: null })],
    ['drill', 'with a seat that has no commitment', first({ commitment: null })],
    ['drill', 'with a place at zero', first({ x: 0 })],
    ['drill', 'with a place past 255', first({ x: 256 })],
    ['drill', 'with half a place', first({ x: 1.5 })],
    ['drill', 'with one person twice', second({ did: SEAT.did })],
    ['drill', 'with one signing key twice', second({ signKey: SEAT.signKey })],
    ['drill', 'with one place twice', second({ x: SEAT.x })],
    ['drill', 'with a signing key that is none', first({ signKey: 'did:key:zNobody' })],
    ['drill', 'with more in a seat', first({ share: 'mine' })],
    ['drill', 'with an operation', { operation }],
    ['drill', 'with owners', { owners }],
    ['drill', 'without a key to seal to', { sealTo: null }],
    ['drill', 'combined by one person who doesn’t vouch for it', { combiner: SEAT.did }],
    ['drill', 'combined here, with somebody’s word', { voucher: 'a word' }],
    ['drill', 'combined by somebody without a share', { combiner: 'did:web:eve.example.com', voucher: 'a word' }],
    ['drill', 'with words in its name', { ceremony: '42 (drill): only a drill' }],
    ['drill', 'that is strict', { strict: true }],
    ['drill', 'that replaces a key', { replaces: QUORUM_KEY.didKey }],
    ['split', 'of a key that is there already', quorum({ pub: QUORUM_KEY.didKey }, 'split')],
    ['split', 'that was dealt already', quorum({ dealtBy: 'ab'.repeat(32) }, 'split')],
    ['split', 'with places', seats((all) => all.map((one) => ({ ...one, x: 1 })), 'split')],
    ['split', 'with one place', seats(([one, ...rest]) => [{ ...one, x: 1 }, ...rest], 'split')],
    ['split', 'with commitments', seats((all) => all.map((one) => ({ ...one, commitment: 'c' })), 'split')],
    ['split', 'without a dealer', { combiner: null }],
    ['split', 'with a key to seal to', { sealTo: 'seal-to' }],
    ['split', 'with an operation', { operation }],
    ['split', 'with owners', { owners }],
    ['combine', 'without an operation', { operation: null }],
    ['combine', 'with an operation as text', { operation: { ...operation, bytes: 'operation' } }],
    ['combine', 'with an operation of no bytes', { operation: { ...operation, bytes: new Uint8Array(0) } }],
    ['combine', 'with a text as its operation', { operation: { ...operation, bytes: encode('text') } }],
    [
      'combine',
      'with the words of a drill as its operation',
      { operation: { ...operation, bytes: utf8('reeve-drill-v1') } },
    ],
    ['combine', 'with owners', { owners }],
    ['combine', 'that is strict', { strict: true }],
    ['combine', 'that replaces a key', { replaces: QUORUM_KEY.didKey }],
    ['ownership', 'without owners', { owners: null }],
    ['ownership', 'with no owner', { owners: [] }],
    ['ownership', 'with one owner twice', { owners: [...(owners ?? []), owners?.[0]] }],
    ['ownership', 'with an owner that is nobody', { owners: ['dora'] }],
    [
      'ownership',
      'with thirty-three owners',
      { owners: Array.from({ length: 33 }, (_, at) => `did:web:o${at}.example.com`) },
    ],
    ['ownership', 'with an operation', { operation }],
  ])('is none: a %s %s', (kind, _, changed) => {
    expect(parseStatement(bytesOf(kind))).not.toBeNull()
    expect(parseStatement(bytesOf(kind, changed))).toBeNull()
  })

  it.each<[CeremonyKind, string, object]>([
    ['split', 'strict and in the place of another key', { strict: true, replaces: QUORUM_KEY.didKey }],
    ['drill', 'combined by one person', { combiner: SEAT.did, voucher: 'a word' }],
    ['combine', 'combined by one person', { combiner: SEAT.did, voucher: 'a word' }],
    ['drill', 'with two commitments alike', second({ commitment: SEAT.commitment })],
    ['drill', 'where all have to act', quorum({ k: 3 })],
    ['combine', 'for a key over P-256', quorum({ pub: KEY.didKey }, 'combine')],
  ])('is one: a %s %s', (kind, _, changed) => {
    expect(parseStatement(bytesOf(kind, changed))).not.toBeNull()
  })

  it('lacks nothing: without any one of its members it is none', () => {
    for (const kind of KINDS) {
      for (const name of Object.keys(statementOf(kind))) {
        const { [name as 'v']: _, ...rest } = statementOf(kind)
        expect(parseStatement(encode(rest)), `${kind} without ${name}`).toBeNull()
      }
    }
  })

  it('measures at most 32 KiB, which sixteen keepers and the longest operation do not', () => {
    const many = Array.from({ length: 16 }, (_, at) => ({
      ...SEAT,
      ...{ did: `did:web:${'k'.repeat(200)}${at}.example.com` as Did, signKey: makeKey('p256').didKey, x: at + 1 },
      ...{ keeper: 'k'.repeat(64), sealKey: 'a'.repeat(128), commitment: 'c'.repeat(64) },
    }))
    const longest = Uint8Array.from({ length: 7500 }, (_, at) => OPERATION[at] ?? 0)
    const said = { ...quorum({ n: 16 }, 'combine'), seats: many, operation: { bytes: longest, head: 'h'.repeat(128) } }
    const bytes = bytesOf('combine', said)
    expect(bytes.length).toBeLessThan(STATEMENT_MAX_BYTES)
    // Names of DIDs are bounded by what a DID may measure; whether these are ones is not what is asked here.
    const room = STATEMENT_MAX_BYTES - bytesOf('combine').length + OPERATION.length
    const filled = (length: number) => ({
      operation: { bytes: Uint8Array.from({ length }, (_, at) => OPERATION[at] ?? 0), head: 'h' },
    })
    expect(parseStatement(bytesOf('combine', filled(room - 100)))).not.toBeNull()
    expect(parseStatement(bytesOf('combine', filled(room + 100)))).toBeNull()
  })

  it(`never throws, and reads nothing in two ways, whatever the bytes are (seed ${SEED})`, () => {
    const rolls = fc.array(fc.nat(0x7fffffff), { minLength: 24, maxLength: 24, size: 'max' })
    let readable = 0
    fc.assert(
      fc.property(rolls, fc.constantFrom(...KINDS), fc.boolean(), (row, kind, isDeep) => {
        const dice = new Dice(row)
        const good = bytesOf(kind)
        const bytes = isDeep ? encodedOr(good, () => mutateJson(dice, decode(good))) : mutateBytes(dice, good)
        const read = parseStatement(bytes)
        if (read === null) return
        readable += 1
        expect(Buffer.from(encodeStatement(read))).toEqual(Buffer.from(bytes))
      }),
      { seed: SEED, numRuns: 4000 },
    )
    // Edits of names and nonces leave a statement one.
    expect(readable).toBeGreaterThan(50)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(parseStatement(bytes)).toBeNull()
      }),
      { seed: SEED, numRuns: 1000 },
    )
  })

  it('finds the seat of a person', () => {
    const said = statementOf('drill')
    expect(said.seats.map(({ did }) => seatOf(said, did))).toEqual(said.seats)
    expect(seatOf(said, 'did:web:dora.example.com' as Did)).toBeNull()
  })
})

/** The DAG-CBOR of a value, or what there was when it has none, or bytes are edited into what they can't hold. */
function encodedOr(before: Uint8Array, make: () => unknown): Uint8Array {
  try {
    return encode(make())
  } catch {
    return before
  }
}
