/**
 * A credential judged by others: the key from the DID document as the real directory serves it, decoded by hand; the signature by
 * two libraries that have no part in Reeve; and the rules that a host of October holds a credential to, written out.
 */
import { P256Keypair, verifySignature } from '@atproto/crypto'
import { importJWK, jwtVerify } from 'jose'
import { base58btc } from 'multiformats/bases/base58'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeOnEachEngine } from '../kit/databases.ts'
import { BINDINGS, exchange, openScene, type Scene } from '../kit/exchange.ts'
import { freshJti, makeKey, thumbprintOf } from '../kit/tokens.ts'

interface Document {
  readonly id: string
  readonly verificationMethod: readonly { id: string; type: string; controller: string; publicKeyMultibase: string }[]
  readonly service: readonly { id: string; type: string; serviceEndpoint: string }[]
}

/** The uncompressed point of an entry from before `Multikey`: multibase around the bare point. */
function pointOf(document: Document, name: string): Buffer {
  const [entry, ...others] = document.verificationMethod.filter(({ id }) => id.endsWith(`#${name}`))
  if (!entry || others.length > 0) throw new Error(`not one ${name}`)
  expect(entry.type).toBe('EcdsaSecp256r1VerificationKey2019')
  expect(entry.controller).toBe(document.id)
  const point = Buffer.from(base58btc.decode(entry.publicKeyMultibase))
  expect([point.length, point[0]]).toEqual([65, 4])
  return point
}

const jwkOf = (point: Buffer) => ({
  kty: 'EC',
  crv: 'P-256',
  x: point.subarray(1, 33).toString('base64url'),
  y: point.subarray(33).toString('base64url'),
})

/** `did:key` of a P-256 point, by hand: multicodec 0x1200 as a varint, then the compressed point. */
const didKeyOf = (point: Buffer): string => {
  const compressed = Buffer.concat([Buffer.of(((point[64] ?? 0) & 1) === 1 ? 3 : 2), point.subarray(1, 33)])
  return `did:key:${base58btc.encode(Buffer.concat([Buffer.of(0x80, 0x24), compressed]))}`
}

describeOnEachEngine('a credential in other people’s hands', (open) => {
  let scene: Scene
  let document: Document

  beforeAll(async () => {
    scene = await openScene(await open())
    document = (await (await fetch(`${scene.plc.honestUrl}/${scene.community}`)).json()) as Document
  })
  afterAll(() => scene.close())

  it('comes from a DID whose document leads to us for its spaces', () => {
    expect(document.id).toBe(scene.community)
    const host = document.service.find(({ id }) => id.endsWith('#atproto_space_host'))
    expect(host).toMatchObject({ type: 'AtprotoSpaceHost', serviceEndpoint: scene.world.url })
    expect(pointOf(document, 'atproto').equals(pointOf(document, 'atproto_space'))).toBe(false)
  })

  describe.each(BINDINGS)('%s', (binding) => {
    it('verifies with jose, by the key that its kid names in the document', async () => {
      const holder = makeKey('p256')
      const { body } = await exchange(scene, { binding, holder })
      const key = await importJWK(jwkOf(pointOf(document, 'atproto_space')), 'ES256')
      const { payload, protectedHeader } = await jwtVerify(body.credential, key, {
        algorithms: ['ES256'],
        typ: 'atproto-space-credential+jwt',
        issuer: scene.community,
        subject: scene.forum,
        requiredClaims: ['iss', 'sub', 'iat', 'exp', 'jti', 'cnf'],
      })
      expect(protectedHeader.kid).toBe('#atproto_space')
      const cnf = binding === 'october' ? { kid: holder.didKey } : { jkt: thumbprintOf(holder) }
      expect(payload['cnf']).toEqual(cnf)
    })

    it('does not verify by the other key of the document, nor changed in any part', async () => {
      const { credential } = (await exchange(scene, { binding })).body as { credential: string }
      const other = await importJWK(jwkOf(pointOf(document, 'atproto')), 'ES256')
      await expect(jwtVerify(credential, other)).rejects.toMatchObject({
        code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
      })
      const key = await importJWK(jwkOf(pointOf(document, 'atproto_space')), 'ES256')
      const [header = '', payload = '', signature = ''] = credential.split('.')
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
      const longer = Buffer.from(JSON.stringify({ ...claims, exp: claims.exp + 1 })).toString('base64url')
      await expect(jwtVerify(`${header}.${longer}.${signature}`, key)).rejects.toMatchObject({
        code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
      })
    })

    it('verifies with the library of the reference, low S and no other spelling', async () => {
      const didKey = didKeyOf(pointOf(document, 'atproto_space'))
      for (let i = 0; i < 16; i++) {
        const { credential } = (await exchange(scene, { binding })).body as { credential: string }
        const at = credential.lastIndexOf('.')
        const message = Buffer.from(credential.slice(0, at))
        const signature = Buffer.from(credential.slice(at + 1), 'base64url')
        expect(signature).toHaveLength(64)
        expect(await verifySignature(didKey, message, signature)).toBe(true)
        message[0] = (message[0] ?? 0) ^ 1
        expect(await verifySignature(didKey, message, signature)).toBe(false)
      }
    })

    it('keeps every rule of October for a credential', async () => {
      const nowSec = scene.world.clock.nowSec()
      const holder = await P256Keypair.create()
      expect(holder.did()).toMatch(/^did:key:zDn/)
      const key = makeKey('p256')
      const { credential } = (await exchange(scene, { binding, holder: key })).body as { credential: string }
      const parts = credential.split('.')
      expect(parts).toHaveLength(3)
      for (const part of parts) expect(part).toMatch(/^[A-Za-z0-9_-]+$/)
      const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()))
      expect(header).toEqual({ typ: 'atproto-space-credential+jwt', alg: 'ES256', kid: '#atproto_space' })
      // `kid` names a key that the authority publishes, and the authority is the one in the space's name.
      expect(document.verificationMethod.map(({ id }) => id.replace(/^.*#/, '#'))).toContain(header.kid)
      expect(claims.sub.split('/')[2]).toBe(claims.iss)
      expect('aud' in claims).toBe(false)
      for (const instant of [claims.iat, claims.exp]) expect(Number.isSafeInteger(instant)).toBe(true)
      expect(claims.iat).toBeLessThanOrEqual(scene.world.clock.nowSec() + 5)
      expect(claims.iat).toBeGreaterThanOrEqual(nowSec)
      expect(claims.exp).toBeGreaterThan(claims.iat)
      expect(claims.exp - claims.iat).toBeLessThanOrEqual(3600)
      expect(claims.exp - claims.iat).toBe(600)
      expect(claims.jti).toMatch(/^[0-9a-f]{32}$/)
      expect(Object.keys(claims.cnf)).toHaveLength(1)
      expect(claims.cnf).toEqual(binding === 'october' ? { kid: key.didKey } : { jkt: thumbprintOf(key) })
    })

    it('is never the same one twice', async () => {
      const jtis = new Set<string>()
      for (let i = 0; i < 10; i++) {
        const { body } = await exchange(scene, { binding, jti: freshJti() })
        jtis.add(JSON.parse(Buffer.from(body.credential.split('.')[1], 'base64url').toString()).jti)
      }
      expect(jtis.size).toBe(10)
    })
  })
})
