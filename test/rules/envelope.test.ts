/** The envelope: a sealed secret opens in its own place, and in no other. */
import { createDecipheriv, createSecretKey } from 'node:crypto'
import { describe, expect, it, vi } from 'vitest'
import { type DekPlace, open, type Place, seal, unwrapDek, wrapDek } from '../../src/keys/envelope.ts'
import type { Did, DidKey } from '../../src/names.ts'
import { systemRandom } from '../../src/platform/random.ts'

/** What OpenSSL gave out before it vouched for it. */
const unproven = vi.hoisted((): Buffer[] => [])
vi.mock('node:crypto', async (original) => {
  const real = await original<typeof import('node:crypto')>()
  const createDecipheriv = (...given: Parameters<typeof real.createDecipheriv>) => {
    const decipher = real.createDecipheriv(...given)
    const update = decipher.update.bind(decipher)
    return Object.assign(decipher, {
      update: (bytes: Uint8Array) => {
        const made = update(bytes)
        unproven.push(made)
        return made
      },
    })
  }
  return { ...real, createDecipheriv }
})

const did = (letter: string): Did => `did:plc:${letter.repeat(24)}` as Did
const didKey = (text: string): DidKey => `did:key:${text}` as DidKey

const place: Place = {
  instanceId: 'instance-1',
  community: did('a'),
  purpose: 'space',
  keyId: 'key-1',
  dekVersion: 2,
  publicKey: didKey('zOne'),
}
const dek = systemRandom.bytes(32)
const secret = systemRandom.bytes(32)
const sealed = seal(dek, secret, place, systemRandom)

/** Parts behind their lengths, and one of four bytes, as they are written down. */
const behindLengths = (...parts: readonly (string | number)[]): Buffer =>
  Buffer.concat(
    parts.flatMap((part) => {
      const bytes = typeof part === 'string' ? Buffer.from(part) : Buffer.alloc(4)
      if (typeof part === 'number') bytes.writeUInt32BE(part)
      return [Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes]
    }),
  )

/** Opened by `node:crypto` alone, by the form that is written down. */
function openedByTheBook(key: Uint8Array, bytes: Uint8Array, data: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(9, 21), { authTagLength: 16 })
  decipher.setAAD(data)
  decipher.setAuthTag(bytes.subarray(-16))
  return Buffer.concat([decipher.update(bytes.subarray(21, -16)), decipher.final()])
}

const OTHER_PLACES: Record<string, Place> = {
  'instance id': { ...place, instanceId: 'instance-2' },
  community: { ...place, community: did('b') },
  purpose: { ...place, purpose: 'atproto' },
  'key id': { ...place, keyId: 'key-2' },
  'DEK version': { ...place, dekVersion: 1 },
  'public key': { ...place, publicKey: didKey('zTwo') },
  'public key, missing': { ...place, publicKey: null },
}

describe('a sealed secret', () => {
  it('opens in its place', () => {
    expect(open(dek, sealed, place)).toEqual(secret)
  })

  it('has the form that is written down: magic, suite, version, nonce, ciphertext, tag', () => {
    const nonce = Uint8Array.from({ length: 12 }, (_, at) => at)
    const fixed = seal(dek, secret, place, { bytes: () => nonce })
    expect(Buffer.from(fixed.subarray(0, 21)).toString('hex')).toBe('525645310100000002000102030405060708090a0b')
    expect(fixed.length).toBe(4 + 1 + 4 + 12 + 32 + 16)
  })

  it('is sealed for exactly the place that is written down, so that whoever knows the form opens it', () => {
    const named = ['reeve-envelope-v1', 'instance-1', did('a'), 'space', 'key-1', 2] as const
    expect(openedByTheBook(dek, sealed, behindLengths(...named, 'did:key:zOne'))).toEqual(Buffer.from(secret))
    const bare = seal(dek, secret, { ...place, publicKey: null }, systemRandom)
    expect(openedByTheBook(dek, bare, behindLengths(...named, '-'))).toEqual(Buffer.from(secret))
  })

  it('opens for a secret without a public half, and for one of no bytes', () => {
    const bare = { ...place, publicKey: null }
    expect(open(dek, seal(dek, secret, bare, systemRandom), bare)).toEqual(secret)
    expect(open(dek, seal(dek, new Uint8Array(0), place, systemRandom), place)).toEqual(new Uint8Array(0))
  })

  it('takes a fresh nonce each time', () => {
    const seen = new Set<string>()
    for (let i = 0; i < 200; i++)
      seen.add(Buffer.from(seal(dek, secret, place, systemRandom).subarray(9, 21)).toString('hex'))
    expect(seen.size).toBe(200)
  })

  it.each(Object.entries(OTHER_PLACES))('does not open under another %s', (_, other) => {
    expect(open(dek, sealed, other)).toBeNull()
  })

  it('does not open when the version in its header is rewritten to match', () => {
    const moved = Uint8Array.from(sealed)
    moved[8] = 1
    expect(open(dek, moved, { ...place, dekVersion: 1 })).toBeNull()
  })

  it('does not confuse two places whose parts would run together', () => {
    const left = { ...place, instanceId: 'ab', keyId: 'c' }
    const right = { ...place, instanceId: 'a', keyId: 'bc' }
    expect(open(dek, seal(dek, secret, left, systemRandom), right)).toBeNull()
  })

  it('does not open under another DEK, nor under one of another length', () => {
    expect(open(systemRandom.bytes(32), sealed, place)).toBeNull()
    for (const length of [0, 16, 24, 31, 33]) expect(open(systemRandom.bytes(length), sealed, place)).toBeNull()
  })

  it('does not open with any single bit turned', () => {
    let opened = 0
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const turned = Uint8Array.from(sealed)
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      if (open(dek, turned, place)) opened++
    }
    expect(opened).toBe(0)
  })

  it.each([15, 12, 8, 4, 0])('does not open with its tag cut to %d bytes', (left) => {
    expect(open(dek, sealed.subarray(0, sealed.length - 16 + left), place)).toBeNull()
  })

  it('does not open at any other length, and never throws', () => {
    for (let length = 0; length < sealed.length; length++)
      expect(open(dek, sealed.subarray(0, length), place)).toBeNull()
    expect(open(dek, Uint8Array.of(...sealed, 0), place)).toBeNull()
    expect(open(dek, sealed, { ...place, keyId: 'k'.repeat(70_000) })).toBeNull()
    expect(open(dek, sealed, { ...place, dekVersion: -1 })).toBeNull()
    expect(open(dek, sealed, { ...place, dekVersion: 2 ** 32 + 2 })).toBeNull()
  })

  it('is made for every version that is a 32-bit number, and refuses to be made for any other', () => {
    for (const dekVersion of [0, 1, 2 ** 32 - 1]) {
      const there = { ...place, dekVersion }
      expect(open(dek, seal(dek, secret, there, systemRandom), there)).toEqual(secret)
    }
    for (const dekVersion of [-1, 1.5, 2 ** 32, Number.NaN]) {
      expect(() => seal(dek, secret, { ...place, dekVersion }, systemRandom)).toThrow(RangeError)
    }
  })

  it('is opened off the heap, and what was read before the tag was looked at is wiped, whatever the tag says', () => {
    expect(open(dek, sealed, place)?.buffer.byteLength).toBeGreaterThanOrEqual(4096)
    for (const [bytes, isGood] of [
      [sealed, true],
      [Uint8Array.from(sealed).fill(0, -1), sealed.at(-1) === 0],
    ] as const) {
      unproven.length = 0
      expect(open(dek, bytes, place) !== null).toBe(isGood)
      expect(unproven.map((made) => [made.length, made.every((byte) => byte === 0)])).toEqual([[32, true]])
    }
  })
})

describe('a wrapped DEK', () => {
  const kek = createSecretKey(systemRandom.bytes(32))
  const dekPlace: DekPlace = { instanceId: 'instance-1', community: did('a'), dekVersion: 2 }
  const wrapped = wrapDek(kek, 'kek-1', dek, dekPlace, systemRandom)

  it('unwraps in its place', () => {
    expect(unwrapDek(kek, 'kek-1', wrapped, dekPlace)).toEqual(dek)
  })

  it('is wrapped for exactly the place that is written down, with the name of its KEK', () => {
    const data = behindLengths('reeve-dek-v1', 'instance-1', did('a'), 2, 'kek-1')
    expect(openedByTheBook(kek.export(), wrapped, data)).toEqual(Buffer.from(dek))
  })

  it.each([
    ['instance id', 'kek-1', { ...dekPlace, instanceId: 'instance-2' }],
    ['community', 'kek-1', { ...dekPlace, community: did('b') }],
    ['version', 'kek-1', { ...dekPlace, dekVersion: 1 }],
    ['KEK id', 'kek-2', dekPlace],
  ])('does not unwrap under another %s', (_, kekId, other) => {
    expect(unwrapDek(kek, kekId, wrapped, other)).toBeNull()
  })

  it('does not unwrap under another KEK', () => {
    expect(unwrapDek(createSecretKey(systemRandom.bytes(32)), 'kek-1', wrapped, dekPlace)).toBeNull()
  })

  it('is not taken for a sealed key, nor a sealed key for a DEK, even under one key', () => {
    const raw = systemRandom.bytes(32)
    const asKey = seal(raw, secret, place, systemRandom)
    expect(unwrapDek(createSecretKey(raw), 'kek-1', asKey, dekPlace)).toBeNull()
    expect(open(raw, wrapDek(createSecretKey(raw), 'kek-1', dek, dekPlace, systemRandom), place)).toBeNull()
  })

  it('refuses whatever unwraps to something else than 32 bytes', () => {
    const short = wrapDek(kek, 'kek-1', systemRandom.bytes(16), dekPlace, systemRandom)
    expect(unwrapDek(kek, 'kek-1', short, dekPlace)).toBeNull()
  })
})
