/** Operations as bytes: ours and the published library's must be the same ones, and only one spelling of a signature counts. */
import { generateKeyPairSync, sign as opensslSign } from 'node:crypto'
import { type Keypair, P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import * as plc from '@did-plc/lib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  cidOf,
  didOf,
  encodeOperation,
  type PlcOperation,
  parsePlcOperation,
  rotationKeysOf,
  type UnsignedPlcOperation,
  verifyOperationSignature,
} from '../../src/identity/plc-operation.ts'
import { toBase64Url } from '../../src/platform/bytes.ts'
import { type Curve, compactLowS, compressedPointOf } from '../../src/platform/ecdsa.ts'
import { didKeyOf } from '../../src/platform/multikey.ts'
import { otherSpellings } from '../kit/plc.ts'

const unsignedBy = (...rotationKeys: string[]): UnsignedPlcOperation => ({
  type: 'plc_operation',
  rotationKeys,
  verificationMethods: Object.fromEntries(rotationKeys.map((key, i) => [`key${i}`, key])),
  alsoKnownAs: ['at://village.example.com'],
  services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: 'https://reeve.example.com' } },
  prev: null,
})

const theirCid = async (op: plc.CompatibleOpOrTombstone) => (await plc.getLastOpWithCid([op])).cid.toString()

/** A key and a signature made without the library: OpenSSL's, lowered. */
function opensslKey(curve: Curve) {
  const namedCurve = curve === 'p256' ? 'prime256v1' : 'secp256k1'
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
  return {
    didKey: didKeyOf(curve, compressedPointOf(publicKey)),
    sign: (op: UnsignedPlcOperation): PlcOperation => ({
      ...op,
      sig: toBase64Url(compactLowS(curve, new Uint8Array(opensslSign('sha256', encodeOperation(op), privateKey)))),
    }),
  }
}

describe('an operation beside the published library', () => {
  it('has the same DID and the same CID for whatever it says', async () => {
    const name = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => text !== '__proto__')
    const anyOperation = fc.record(
      {
        type: fc.constant('plc_operation' as const),
        rotationKeys: fc.array(name, { maxLength: 5 }),
        verificationMethods: fc.dictionary(name, name, { maxKeys: 5, noNullPrototype: true }),
        alsoKnownAs: fc.array(name, { maxLength: 5 }),
        services: fc.dictionary(name, fc.record({ type: name, endpoint: name }, { noNullPrototype: true }), {
          maxKeys: 5,
          noNullPrototype: true,
        }),
        prev: fc.constant(null),
        sig: name,
      },
      { noNullPrototype: true },
    )
    await fc.assert(
      fc.asyncProperty(anyOperation, async (op) => {
        expect(parsePlcOperation(op)).toEqual(op)
        expect(cidOf(op)).toBe(await theirCid(op))
        expect(didOf(op)).toBe(await plc.didForCreateOp(op))
      }),
    )
  })

  it('has the same CID and DID in the legacy form, and its keys in the order of their might', async () => {
    const key = await Secp256k1Keypair.create()
    const recovery = await P256Keypair.create()
    const op = await plc.deprecatedSignCreate(
      {
        type: 'create',
        signingKey: key.did(),
        recoveryKey: recovery.did(),
        handle: 'old.example.com',
        service: 'https://pds.example.com',
        prev: null,
      },
      key,
    )
    const parsed = parsePlcOperation(JSON.parse(JSON.stringify(op)))
    if (parsed?.type !== 'create') throw new Error('not read as legacy')
    expect(cidOf(parsed)).toBe(await theirCid(op))
    expect(didOf(parsed)).toBe(await plc.didForCreateOp(op))
    expect(rotationKeysOf(parsed)).toEqual([recovery.did(), key.did()])
    expect(verifyOperationSignature(parsed, rotationKeysOf(parsed))).toBe(key.did())
  })

  it('has the same CID as a tombstone, and leaves no key in force', async () => {
    const key = await Secp256k1Keypair.create()
    const { cid } = await plc.getLastOpWithCid([await plc.signOperation(unsignedBy(key.did()), key)])
    const op = await plc.tombstoneOp(cid, key)
    const parsed = parsePlcOperation(op)
    if (!parsed) throw new Error('not read')
    expect(cidOf(parsed)).toBe(await theirCid(op))
    expect(rotationKeysOf(parsed)).toEqual([])
    expect(verifyOperationSignature(parsed, [key.did()])).toBe(key.did())
  })

  for (const [curve, create] of [
    ['p256', () => P256Keypair.create()],
    ['k256', () => Secp256k1Keypair.create()],
  ] as const) {
    it(`has its ${curve} signature believed here when the library made it`, async () => {
      const key: Keypair = await create()
      const op = await plc.signOperation(unsignedBy(key.did()), key)
      expect(verifyOperationSignature(op, [key.did()])).toBe(key.did())
    })

    it(`has its ${curve} signature believed there when it was made here`, async () => {
      const key = opensslKey(curve)
      const op = key.sign(unsignedBy(key.didKey))
      expect(await plc.assureValidSig([key.didKey], op)).toBe(key.didKey)
      await expect(plc.assureValidCreationOp(didOf(op), op)).resolves.toMatchObject({ rotationKeys: [key.didKey] })
    })
  }
})

describe('a signature', () => {
  const key = opensslKey('k256')
  const other = opensslKey('p256')
  const op = key.sign(unsignedBy(key.didKey))

  it('names the first key of the list that made it', () => {
    expect(verifyOperationSignature(op, [other.didKey, key.didKey])).toBe(key.didKey)
    expect(verifyOperationSignature(op, [key.didKey, key.didKey])).toBe(key.didKey)
  })

  it('is by nobody when no key made it, or when there is no key', () => {
    expect(verifyOperationSignature(op, [other.didKey])).toBeNull()
    expect(verifyOperationSignature(op, [])).toBeNull()
  })

  it('is by nobody once any member has changed', () => {
    expect(verifyOperationSignature({ ...op, alsoKnownAs: [] }, [key.didKey])).toBeNull()
    expect(verifyOperationSignature({ ...op, prev: cidOf(op) }, [key.didKey])).toBeNull()
  })

  it('is not looked for behind a key that cannot be read, as in the directory', async () => {
    const keys = ['did:key:zNotAKey', key.didKey]
    expect(verifyOperationSignature(op, keys)).toBeNull()
    await expect(plc.assureValidSig(keys, op)).rejects.toThrow()
  })

  for (const curve of ['p256', 'k256'] as const) {
    it(`counts only in its one spelling (${curve})`, () => {
      const signer = opensslKey(curve)
      const good = signer.sign(unsignedBy(signer.didKey))
      expect(verifyOperationSignature(good, [signer.didKey])).toBe(signer.didKey)
      for (const [spelling, sig] of Object.entries(otherSpellings(curve, good.sig))) {
        expect(verifyOperationSignature({ ...good, sig }, [signer.didKey]), spelling).toBeNull()
      }
    })
  }
})

describe('reading an operation', () => {
  const good = opensslKey('p256').sign(unsignedBy('did:key:zA'))

  it('takes it exactly as it stands', () => {
    expect(parsePlcOperation(good)).toEqual(good)
  })

  for (const [what, value] of Object.entries({
    nothing: null,
    text: 'plc_operation',
    'an array': [good],
    'another type': { ...good, type: 'plc_operation ' },
    'a member more': { ...good, note: 'x' },
    'a member more in a service': {
      ...good,
      services: { a: { type: 'T', endpoint: 'https://a.example.com', note: 'x' } },
    },
    'no prev': { ...good, prev: undefined },
    'no signature': { ...good, sig: undefined },
    'a signature that is no text': { ...good, sig: null },
    'rotation keys that are no list': { ...good, rotationKeys: 'did:key:zA' },
    'eleven rotation keys': { ...good, rotationKeys: Array.from({ length: 11 }, (_, i) => `did:key:z${i}`) },
    'a lone surrogate': { ...good, alsoKnownAs: ['at://\ud800'] },
    'a lone surrogate in a key': { ...good, verificationMethods: { '\udc00': 'did:key:zA' } },
    'text beyond the size of any operation': { ...good, alsoKnownAs: ['a'.repeat(7_501)] },
    'a tombstone without prev': { type: 'plc_tombstone', prev: null, sig: good.sig },
    'a tombstone with a member more': { type: 'plc_tombstone', prev: cidOf(good), sig: good.sig, services: {} },
  })) {
    it(`refuses ${what}`, () => {
      expect(parsePlcOperation(value)).toBeNull()
    })
  }
})

describe('an operation with a member named __proto__', () => {
  it('is none, wherever the member stands: it would be read and hashed as the operation without it', () => {
    const key = opensslKey('k256')
    const text = JSON.stringify(key.sign(unsignedBy(key.didKey)))
    expect(parsePlcOperation(JSON.parse(text))).not.toBeNull()
    const openings = ['{"type":"plc_operation"', '"verificationMethods":{', '"services":{', '"atproto_pds":{']
    const hidden = openings.flatMap((opening) =>
      [`"${key.didKey}"`, '{}', '{"type":"T","endpoint":"https://x.example"}'].map((value) => {
        const [before, behind] = opening.endsWith('{') ? ['', ','] : [',', '']
        return text.replace(opening, `${opening}${before}"__proto__":${value}${behind}`)
      }),
    )
    for (const one of hidden) {
      expect(one).not.toBe(text)
      expect(parsePlcOperation(JSON.parse(one)), one).toBeNull()
    }
  })
})
