/** A share on its way: it opens for one ceremony's key, under one statement and for one place; and others seal and open the same. */
import { createECDH } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { makeKeyPair, withScalar } from '../../src/keys/private-keys.ts'
import { isSealTo, openShare, sealShare, sealToOf } from '../../src/keys/share-seal.ts'
import { SHARE_BYTES } from '../../src/keys/shares.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { hpkeOpen, hpkeSeal } from '../kit/hpke.ts'
import { kept, unwiped } from '../kit/kept-off-heap.ts'
import { base64Url } from '../kit/tokens.ts'
import { spoilt, withBitFlipped } from '../kit/verdicts.ts'

vi.mock('../../src/keys/secret-bytes.ts', async (original) => {
  const { watchedBytes } = await import('../kit/kept-off-heap.ts')
  return watchedBytes(original)
})

/** What the library was given, and what it gave out. */
const lent = vi.hoisted(() => ({ sealed: [] as ArrayBuffer[], opened: [] as ArrayBuffer[] }))
vi.mock('@hpke/core', async (original) => {
  const real = await original<typeof import('@hpke/core')>()
  class Watched extends real.CipherSuite {
    override async seal(...given: Parameters<InstanceType<typeof real.CipherSuite>['seal']>) {
      lent.sealed.push(given[1] as ArrayBuffer)
      return super.seal(...given)
    }
    override async open(...given: Parameters<InstanceType<typeof real.CipherSuite>['open']>) {
      const opened = await super.open(...given)
      lent.opened.push(opened as ArrayBuffer)
      return opened
    }
  }
  return { ...real, CipherSuite: Watched }
})

const pair = makeKeyPair('p256')
const sealTo = sealToOf(pair)
const statementHash = systemRandom.bytes(32)
const share = { x: 7, y: systemRandom.bytes(SHARE_BYTES) }
const about = { statementHash, x: share.x }
const seal = () => sealShare(sealTo, share, statementHash)
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')

describe('a sealed share', () => {
  it('opens for the ceremony it was sealed for, off the heap', async () => {
    const sealed = await seal()
    expect(Buffer.from(sealed, 'base64url')).toHaveLength(65 + 32 + 16)
    const opened = await openShare(pair, sealed, about)
    expect(opened).toEqual({ x: share.x, y: Uint8Array.from(share.y) })
    expect(opened?.y.buffer.byteLength).toBeGreaterThanOrEqual(4096)
  })

  it('leaves nothing behind at the library, whether it was sealed or opened', async () => {
    lent.sealed = []
    lent.opened = []
    const sealed = await seal()
    await expect(sealShare(base64Url(Buffer.alloc(65, 4)), share, statementHash)).rejects.toThrow('no key to seal to')
    kept.bytes = []
    const opened = await openShare(pair, sealed, about)
    expect(lent.sealed.map(({ byteLength }) => byteLength)).toEqual([32])
    expect(lent.opened.map(({ byteLength }) => byteLength)).toEqual([32])
    for (const buffer of [...lent.sealed, ...lent.opened]) expect(Buffer.from(buffer)).toEqual(Buffer.alloc(32))
    expect(unwiped()).toEqual([opened?.y])
  })

  it('is another one each time', async () => {
    const sealed = await Promise.all(Array.from({ length: 20 }, seal))
    expect(new Set(sealed).size).toBe(20)
    expect(new Set(sealed.map((one) => one.slice(0, 80))).size).toBe(20)
  })

  it('is sealed from any kind of bytes, and leaves them as they were', async () => {
    const y = new Uint8Array(new ArrayBuffer(4096), 100, SHARE_BYTES)
    y.set(share.y)
    for (const bytes of [y, Buffer.from(share.y)]) {
      const sealed = await sealShare(sealTo, { x: 255, y: bytes }, statementHash)
      expect((await openShare(pair, sealed, { statementHash, x: 255 }))?.y).toEqual(Uint8Array.from(share.y))
      expect(Buffer.from(bytes)).toEqual(Buffer.from(share.y))
    }
  })

  it('opens for no other ceremony, no other place and nobody else', async () => {
    const sealed = await seal()
    for (let bit = 0; bit < 256; bit += 1) {
      expect(await openShare(pair, sealed, { ...about, statementHash: withBitFlipped(statementHash, bit) })).toBeNull()
    }
    for (const other of [statementHash.slice(1), Uint8Array.from([...statementHash, 7]), new Uint8Array(0)]) {
      expect(await openShare(pair, sealed, { ...about, statementHash: other })).toBeNull()
    }
    for (let x = 0; x <= 256; x += 1) {
      expect((await openShare(pair, sealed, { ...about, x })) === null, String(x)).toBe(x !== share.x)
    }
    // What one byte would say of these is 7.
    for (const x of [7 + 256, 7 - 256, 7.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await openShare(pair, sealed, { ...about, x })).toBeNull()
    }
    expect(await openShare(makeKeyPair('p256'), sealed, about)).toBeNull()
  })

  it('does not open when one bit of it is another', async () => {
    const bytes = Buffer.from(await seal(), 'base64url')
    for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
      expect(await openShare(pair, base64Url(withBitFlipped(bytes, bit)), about), String(bit)).toBeNull()
    }
  })

  it('does not open when it is shorter, longer, or begins with something that is no point', async () => {
    const bytes = Buffer.from(await seal(), 'base64url')
    const [point, rest] = [bytes.subarray(0, 65), bytes.subarray(65)]
    const compressed = Buffer.concat([Uint8Array.of(2 + ((point[64] ?? 0) & 1)), point.subarray(1, 33)])
    const hybrid = Buffer.concat([Uint8Array.of(6 + ((point[64] ?? 0) & 1)), point.subarray(1)])
    const wrong = {
      nothing: Buffer.alloc(0),
      'one byte less': bytes.subarray(0, -1),
      'one byte less before': bytes.subarray(1),
      'one byte more': Buffer.concat([bytes, Buffer.alloc(1)]),
      twice: Buffer.concat([bytes, bytes]),
      'the point alone': point,
      'no point': Buffer.concat([Uint8Array.of(4), Buffer.alloc(64, 1), rest]),
      'the identity': Buffer.concat([Buffer.alloc(65), rest]),
      'the identity in one byte': Buffer.concat([Buffer.alloc(1), rest]),
      'the identity as coordinates': Buffer.concat([Uint8Array.of(4), Buffer.alloc(64), rest]),
      'a point past the field': Buffer.concat([Uint8Array.of(4), Buffer.alloc(64, 255), rest]),
      'the compressed point': Buffer.concat([compressed, rest]),
      'the compressed point, as long as it should be': Buffer.concat([compressed, Buffer.alloc(32), rest]),
      'the point in its hybrid form': Buffer.concat([hybrid, rest]),
      'a point of another curve': Buffer.concat([createECDH('secp256k1').generateKeys(), rest]),
      'the recipient’s point': Buffer.concat([Buffer.from(sealTo, 'base64url'), rest]),
      'no tag': Buffer.concat([bytes.subarray(0, -16), Buffer.alloc(16)]),
    }
    for (const [what, given] of Object.entries(wrong)) {
      expect(await openShare(pair, base64Url(given), about), what).toBeNull()
    }
  })

  it('has one spelling', async () => {
    const sealed = await seal()
    await fc.assert(
      fc.asyncProperty(spoilt(sealed), async (text) => {
        expect((await openShare(pair, text, about)) !== null).toBe(text === sealed)
      }),
      { seed: 20_261_120, numRuns: 200 },
    )
    for (const text of [`${sealed}=`, ` ${sealed}`, `${sealed}\n`, `${sealed}A`]) {
      expect(await openShare(pair, text, about)).toBeNull()
    }
  })

  it('is of 32 bytes for a place from 1 to 255; nothing else is sealed', async () => {
    for (const length of [0, 31, 33, 64]) {
      const y = systemRandom.bytes(length)
      await expect(sealShare(sealTo, { x: 7, y }, statementHash)).rejects.toThrow('no share to seal')
      const sealed = hpkeSeal(Buffer.from(sealTo, 'base64url'), y, Buffer.alloc(32, 5), { info: infoOf(7) })
      expect(await openShare(pair, base64Url(sealed), about)).toBeNull()
    }
    for (const x of [0, 256, -1, 1.5, Number.NaN]) {
      await expect(sealShare(sealTo, { ...share, x }, statementHash)).rejects.toThrow('no share to seal')
    }
  })
})

describe('a key to seal to', () => {
  const ecdh = createECDH('prime256v1')
  ecdh.generateKeys()

  it('is a point of P-256 in one spelling', () => {
    expect(isSealTo(sealTo)).toBe(true)
    expect(isSealTo(base64Url(ecdh.getPublicKey()))).toBe(true)
  })

  it.each([
    ['nothing', ''],
    ['a compressed point', base64Url(ecdh.getPublicKey(null, 'compressed'))],
    ['a hybrid point', base64Url(ecdh.getPublicKey(null, 'hybrid'))],
    ['the identity', 'AA'],
    ['zeros', base64Url(Buffer.alloc(65))],
    ['no point', base64Url(Buffer.concat([Uint8Array.of(4), Buffer.alloc(64, 1)]))],
    ['a point of secp256k1', base64Url(createECDH('secp256k1').generateKeys())],
    ['a byte too many', base64Url(Buffer.concat([ecdh.getPublicKey(), Buffer.alloc(1)]))],
    ['padding', `${sealTo}=`],
    ['the other alphabet', `${sealTo.slice(0, -2)}+/`],
    ['space before it', ` ${sealTo}`],
  ])('is not %s, to which nothing is sealed', async (_, text) => {
    expect(isSealTo(text)).toBe(false)
    await expect(sealShare(text, share, statementHash)).rejects.toThrow('no key to seal to')
  })
})

const infoOf = (x: number): Buffer => Buffer.concat([statementHash, Uint8Array.of(x)])

describe('anybody’s own HPKE', () => {
  /** RFC 9180, appendix A.3.1. There is none for P-256 with AES-256-GCM: the other half of the suite is checked by it all the same. */
  const VECTOR = {
    info: hex('4f6465206f6e2061204772656369616e2055726e'),
    aad: hex('436f756e742d30'),
    sender: hex('4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb'),
    recipient: hex('f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2'),
    recipientPoint: hex(`04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f70
      6a826a779b4cf969b8a0e539c7f62fb3d30ad6aa8f80e30f1d128aafd68a2ce72ea0`),
    plaintext: hex('4265617574792069732074727574682c20747275746820626561757479'),
    sealed: hex(`04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325
      ac98536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4
      5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434`),
  }

  it('does what the RFC says', () => {
    const { info, aad, sender, recipient, recipientPoint, plaintext, sealed } = VECTOR
    expect(hpkeSeal(recipientPoint, plaintext, sender, { info, aad, aead: 1 })).toEqual(sealed)
    expect(hpkeOpen(recipient, sealed, { info, aad, aead: 1 })).toEqual(plaintext)
  })

  it('opens what is sealed here', async () => {
    const scalar = withScalar(pair, (bytes) => Buffer.from(bytes))
    for (let x = 1; x <= 255; x += 1) {
      const y = systemRandom.bytes(SHARE_BYTES)
      const sealed = Buffer.from(await sealShare(sealTo, { x, y }, statementHash), 'base64url')
      expect(hpkeOpen(scalar, sealed, { info: infoOf(x) })).toEqual(Buffer.from(y))
      expect(() => hpkeOpen(scalar, sealed, { info: infoOf(x - 1) })).toThrow()
    }
  })

  it('seals what is opened here', async () => {
    for (let x = 1; x <= 255; x += 1) {
      const y = systemRandom.bytes(SHARE_BYTES)
      const sender = withScalar(makeKeyPair('p256'), (bytes) => Buffer.from(bytes))
      const sealed = base64Url(hpkeSeal(Buffer.from(sealTo, 'base64url'), y, sender, { info: infoOf(x) }))
      expect(await openShare(pair, sealed, { statementHash, x })).toEqual({ x, y: Uint8Array.from(y) })
    }
  })

  it('seals nothing with more said beside it, nor by the smaller cipher', async () => {
    const point = Buffer.from(sealTo, 'base64url')
    const sender = Buffer.alloc(32, 5)
    for (const more of [{ aad: Uint8Array.of(1) }, { aead: 1 as const }]) {
      const sealed = hpkeSeal(point, share.y, sender, { info: infoOf(share.x), ...more })
      expect(await openShare(pair, base64Url(sealed), about)).toBeNull()
    }
  })
})
