/** What a community's DID may be made of: the community above us, always, and nothing a directory would turn away. */
import { P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import * as plc from '@did-plc/lib'
import { describe, expect, it } from 'vitest'
import {
  assertPlcLimits,
  assertPlcRank,
  genesisOperation,
  handleOperation,
  namesHandle,
} from '../../src/community/plc-builder.ts'
import { type PlcLogEntry, verifyPlcLog } from '../../src/identity/plc-log.ts'
import {
  cidOf,
  didOf,
  encodeOperation,
  parsePlcOperation,
  type UnsignedPlcOperation,
} from '../../src/identity/plc-operation.ts'
import { type DidKey, type Handle, parseHandle } from '../../src/names.ts'
import { parseDidKey } from '../../src/platform/multikey.ts'
import { Refusal, type RefusalCode } from '../../src/refusals.ts'

function didKey(text: string): DidKey {
  const parsed = parseDidKey(text)
  if (!parsed) throw new Error('not a key')
  return parsed.didKey
}

const pairs = await Promise.all(Array.from({ length: 8 }, () => P256Keypair.create()))
const [recovery, ours, atproto, space, stranger, ...more] = pairs.map((pair) => didKey(pair.did()))
const oursPair = pairs[1]
if (!recovery || !ours || !atproto || !space || !stranger || !oursPair) throw new Error('no keys')
const handle = parseHandle('village.example.com')

const input = {
  recoveryKey: recovery,
  rotationKey: ours,
  atprotoKey: atproto,
  spaceKey: space,
  handle,
  publicUrl: 'https://reeve.example.com',
}
const genesis = genesisOperation(input)

/** The code an action was refused with, or what it did instead. */
function refusalOf(action: () => unknown): RefusalCode | 'accepted' {
  try {
    action()
    return 'accepted'
  } catch (error) {
    if (error instanceof Refusal) return error.code
    throw error
  }
}

describe('the first operation of a community', () => {
  it('puts the community above us and publishes both keys and both services', () => {
    expect(genesis).toEqual({
      type: 'plc_operation',
      rotationKeys: [recovery, ours],
      verificationMethods: { atproto, atproto_space: space },
      alsoKnownAs: ['at://village.example.com'],
      services: {
        atproto_space_host: { type: 'AtprotoSpaceHost', endpoint: 'https://reeve.example.com' },
        atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: 'https://reeve.example.com' },
      },
      prev: null,
    })
  })

  it('has our key alone where custody is ours alone, and no name without a handle', () => {
    const custodial = genesisOperation({ ...input, recoveryKey: null, handle: null })
    expect(custodial.rotationKeys).toEqual([ours])
    expect(custodial.alsoKnownAs).toEqual([])
  })

  it('is believed by the published library and by our own verifier when our lower key has signed it', async () => {
    const op = await plc.signOperation(genesis, oursPair)
    const did = didOf(op)
    await expect(plc.assureValidCreationOp(did, op)).resolves.toMatchObject({ did, rotationKeys: [recovery, ours] })
    const entry = { did, operation: op, cid: cidOf(op), nullified: false, createdAt: '2026-01-01T00:00:00.000Z' }
    expect(verifyPlcLog(did, [entry])).toMatchObject({ ok: true, head: { signer: ours } })
  })

  it('is refused when the recovery key is our own key', () => {
    expect(refusalOf(() => genesisOperation({ ...input, recoveryKey: ours }))).toBe('PlcRank')
  })

  it('takes an address of 512 characters and refuses one of 513', () => {
    const address = (chars: number) => 'https://reeve.example.com/'.padEnd(chars, 'a')
    expect(refusalOf(() => genesisOperation({ ...input, publicUrl: address(512) }))).toBe('accepted')
    expect(refusalOf(() => genesisOperation({ ...input, publicUrl: address(513) }))).toBe('PlcLimit')
  })
})

describe('the rank of rotation keys', () => {
  const shared = { ours, communityAbove: true }
  const rankOf = (rotationKeys: string[], rank: { ours: DidKey | null; communityAbove: boolean }) =>
    refusalOf(() => assertPlcRank({ ...genesis, rotationKeys }, rank))

  for (const [what, keys, rank, expected] of [
    ['the community above us', [recovery, ours], shared, 'accepted'],
    ['two keys of the community above us', [recovery, stranger, ours], shared, 'accepted'],
    ['us alone, where nobody else is promised a key', [ours], { ours, communityAbove: false }, 'accepted'],
    ['the community alone, in a strict quorum', [recovery], { ours: null, communityAbove: true }, 'accepted'],
    ['no key at all', [], shared, 'PlcRank'],
    ['no key at all, in a strict quorum', [], { ours: null, communityAbove: true }, 'PlcRank'],
    ['the community twice', [recovery, recovery, ours], shared, 'PlcRank'],
    ['us twice', [ours, recovery, ours], shared, 'PlcRank'],
    ['us alone, where the community has to be above', [ours], shared, 'PlcRank'],
    ['us above the community', [ours, recovery], shared, 'PlcRank'],
    ['a key below ours', [recovery, ours, stranger], shared, 'PlcRank'],
    ['a key below ours, where custody is ours alone', [ours, stranger], { ours, communityAbove: false }, 'PlcRank'],
    ['a list without us', [recovery, stranger], shared, 'PlcRank'],
  ] as const) {
    it(`${expected === 'accepted' ? 'takes' : 'refuses'} ${what}`, () => {
      expect(rankOf([...keys], rank)).toBe(expected)
    })
  }

  for (const [what, key] of [
    ['an Ed25519 key', 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'],
    ['a P-384 key', 'did:key:z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9'],
    ['a key with a letter missing', recovery.slice(0, -1)],
    ['a bare multikey', recovery.slice('did:key:'.length)],
    ['empty text', ''],
  ] as const) {
    it(`refuses ${what} as a rotation key`, () => {
      expect(rankOf([key, ours], shared)).toBe('InvalidRequest')
    })
  }
})

describe('the operation that gives a DID another handle', () => {
  const rank = { ours, communityAbove: true }
  const village = 'village.example.com' as Handle
  const town = 'town.example.com' as Handle

  /** The head of a log, which says `change` besides what a genesis says. */
  function headWith(change: Partial<UnsignedPlcOperation> = {}): PlcLogEntry {
    const operation = { ...genesis, ...change, sig: 'sig' }
    const createdAt = '2026-01-01T00:00:00.000Z'
    return { cid: 'bafyhead', operation, createdAt, createdAtMs: 0, signer: ours as DidKey, nullified: false }
  }
  const namesAfter = (alsoKnownAs: string[], handle: Handle | null) =>
    handleOperation(headWith({ alsoKnownAs }), handle, rank)?.alsoKnownAs

  it('follows the head and says everything else again', () => {
    const services = { other: { type: 'Other', endpoint: 'https://other.example.com' } }
    const verificationMethods = { atproto, other: stranger }
    const head = headWith({ services, verificationMethods, rotationKeys: [recovery, stranger, ours] })
    const { sig: _, ...inForce } = head.operation
    expect(handleOperation(head, town, rank)).toEqual({
      ...inForce,
      alsoKnownAs: ['at://town.example.com'],
      prev: 'bafyhead',
    })
  })

  it.each<[string, string[], Handle | null, string[] | undefined]>([
    ['none before', [], town, ['at://town.example.com']],
    ['another before', ['at://village.example.com'], town, ['at://town.example.com']],
    [
      'other names',
      ['https://a.org', 'at://a.org', 'at://b.org'],
      town,
      ['at://town.example.com', 'https://a.org', 'at://b.org'],
    ],
    ['it further down', ['at://a.org', 'at://town.example.com'], town, ['at://town.example.com']],
    ['it already', ['at://town.example.com', 'https://a.org'], town, undefined],
    ['it already, behind a name of another kind', ['https://a.org', 'at://town.example.com'], town, undefined],
    ['one to give up', ['at://a.org'], null, []],
    ['several to give up', ['at://a.org', 'https://a.org', 'at://b.org'], null, ['https://a.org']],
    ['none to give up', ['https://a.org'], null, undefined],
  ])('has the right names with %s', (_says, before, handle, after) => {
    expect(namesAfter(before, handle)).toEqual(after)
  })

  it('is known by its first name of that kind', () => {
    expect(namesHandle(['https://a.org', 'at://village.example.com', 'at://town.example.com'], village)).toBe(true)
    expect(namesHandle(['at://village.example.com', 'at://town.example.com'], town)).toBe(false)
    expect(namesHandle(['https://a.org'], null)).toBe(true)
    expect(namesHandle(['at://town.example.com'], null)).toBe(false)
  })

  it.each([
    ['no longer has our key', [recovery]],
    ['has a key below ours', [recovery, ours, stranger]],
    ['has ours above the community’s', [ours, recovery]],
    ['has ours alone, where the community’s has to be above', [ours]],
  ])('is refused (PlcRank) when the head %s', (_says, rotationKeys) => {
    expect(refusalOf(() => handleOperation(headWith({ rotationKeys }), town, rank))).toBe('PlcRank')
  })

  it('is refused (PlcLimit) when there is no room for another name', () => {
    const names = (count: number) => Array.from({ length: count }, (_none, at) => `https://${at}.org`)
    expect(refusalOf(() => namesAfter(names(9), town))).toBe('accepted')
    expect(refusalOf(() => namesAfter(names(10), town))).toBe('PlcLimit')
    expect(refusalOf(() => namesAfter(['at://a.org', ...names(9)], town))).toBe('accepted')
  })

  it('is refused (PlcConflict) when the DID was ended', () => {
    const ended = { ...headWith(), operation: { type: 'plc_tombstone' as const, prev: 'bafyhead', sig: 'sig' } }
    for (const handle of [town, null]) {
      expect(refusalOf(() => handleOperation(ended, handle, rank))).toBe('PlcConflict')
    }
  })
})

describe('the limits of an operation', () => {
  const limitsOf = (change: Partial<UnsignedPlcOperation>) =>
    refusalOf(() => assertPlcLimits({ ...genesis, ...change }))
  const counted = (count: number, prefix = 's') => Array.from({ length: count }, (_, i) => `${prefix}${i}`)
  const services = (ids: string[], endpoint = 'https://a.example.com', type = 'T') =>
    Object.fromEntries(ids.map((id) => [id, { type, endpoint }]))
  const methods = (ids: string[]) => Object.fromEntries(ids.map((id) => [id, atproto]))

  for (const [what, fits, tooMuch] of [
    ['rotation keys', { rotationKeys: counted(5, 'did:key:z') }, { rotationKeys: counted(6, 'did:key:z') }],
    ['services', { services: services(counted(10)) }, { services: services(counted(11)) }],
    [
      'verification methods',
      { verificationMethods: methods(counted(10)) },
      { verificationMethods: methods(counted(11)) },
    ],
    ['other names', { alsoKnownAs: counted(10, 'at://') }, { alsoKnownAs: counted(11, 'at://') }],
    ['characters in another name', { alsoKnownAs: ['a'.repeat(258)] }, { alsoKnownAs: ['a'.repeat(259)] }],
    [
      'characters in an address',
      { services: services(['s'], 'a'.repeat(512)) },
      { services: services(['s'], 'a'.repeat(513)) },
    ],
    [
      'characters in a type',
      { services: services(['s'], 'a', 'T'.repeat(256)) },
      { services: services(['s'], 'a', 'T'.repeat(257)) },
    ],
    [
      "characters in a service's identifier",
      { services: services(['i'.repeat(32)]) },
      { services: services(['i'.repeat(33)]) },
    ],
    [
      "characters in a method's identifier",
      { verificationMethods: methods(['i'.repeat(32)]) },
      { verificationMethods: methods(['i'.repeat(33)]) },
    ],
  ] as const) {
    it(`hold for ${what}: the last that fits is taken, one more is refused`, () => {
      expect(limitsOf(fits as Partial<UnsignedPlcOperation>)).toBe('accepted')
      expect(limitsOf(tooMuch as Partial<UnsignedPlcOperation>)).toBe('PlcLimit')
    })
  }

  it('hold for the whole: 4 000 bytes signed are taken, 4 001 are refused', async () => {
    const padded = (chars: number): UnsignedPlcOperation => ({
      ...genesis,
      services: services(counted(8), 'e'.repeat(370)),
      alsoKnownAs: ['a'.repeat(200), 'b'.repeat(chars)],
    })
    const signer = await Secp256k1Keypair.create()
    const sizeOf = async (op: UnsignedPlcOperation) => encodeOperation(await plc.signOperation(op, signer)).length
    const room = 4_000 - (await sizeOf(padded(100)))
    expect(await sizeOf(padded(100 + room))).toBe(4_000)
    expect(limitsOf(padded(100 + room))).toBe('accepted')
    expect(await sizeOf(padded(101 + room))).toBe(4_001)
    expect(limitsOf(padded(101 + room))).toBe('PlcLimit')
  })

  it('are within what a log is read with', async () => {
    const op = await plc.signOperation({ ...genesis, rotationKeys: [recovery, ...more, ours] }, oursPair)
    expect(op.rotationKeys).toHaveLength(5)
    expect(parsePlcOperation(op)).toEqual(op)
  })
})
