/** The key by which this service proves which app it is, and what is sealed that is no key: made once, bound to its place, opened nowhere else. */

import { decodeProtectedHeader, importJWK, jwtVerify } from 'jose'
import { sql } from 'kysely'
import { beforeAll, describe, expect, it } from 'vitest'
import { assertionInput, type ClientAssertionUse } from '../../src/keys/client-assertion.ts'
import { type Kek, openKek } from '../../src/keys/kek.ts'
import { type BlobPlace, openVault } from '../../src/keys/vault.ts'
import type { Did } from '../../src/names.ts'
import { utf8 } from '../../src/platform/bytes.ts'
import type { Db } from '../../src/platform/database.ts'
import { p256Members } from '../../src/platform/jwk.ts'
import { silentLog } from '../../src/platform/log.ts'
import { parseDidKey } from '../../src/platform/multikey.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { describeOnEachEngine } from '../kit/databases.ts'

const NOW_MS = 1_800_000_000_000
const NOW_SEC = NOW_MS / 1000
const SERVICE = 'did:web:reeve.community' as Did
const GARDEN = 'did:plc:gggggggggggggggggggggggg' as Did
const ORCHARD = 'did:plc:oooooooooooooooooooooooo' as Did
const kekOf = (text: string): Kek =>
  openKek('env:KEK', { readEnv: () => text, envIsPermitted: true, random: systemRandom })
const ours = kekOf('ab'.repeat(32))

const vaultOn = (db: Db, { kek = ours, instanceId = 'instance-1' } = {}) =>
  openVault({ db, kek, instanceId, clock: { monotonicMs: () => 0 }, random: systemRandom, log: silentLog })

const placeOf = (more: Partial<BlobPlace> = {}): BlobPlace => ({
  ...{ community: GARDEN, purpose: 'oauth', name: 'connection' },
  ...more,
})
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

const use = (more: Partial<ClientAssertionUse> = {}): ClientAssertionUse => ({
  ...{ kind: 'client-assertion', service: SERVICE, keyId: 'key-1', aud: 'https://pds.example.com' },
  clientId: 'https://reeve.community/oauth/client-metadata.json',
  ...{ jti: 'abcdefghijklmnop', iatSec: NOW_SEC, expSec: NOW_SEC + 60 },
  ...more,
})

describeOnEachEngine('the vault', (openDatabase) => {
  let db: Db
  beforeAll(async () => {
    db = (await openDatabase()).db
  })

  it('makes one client key, whichever process comes first, and signs with it', async () => {
    const vaults = Array.from({ length: 6 }, () => vaultOn(db))
    const made = await Promise.all(vaults.map((vault) => vault.clientKey(SERVICE, NOW_MS)))
    expect(new Set(made.map(({ didKey }) => didKey)).size).toBe(1)
    const [held] = await vaultOn(db).publicKeys(SERVICE)
    expect(held).toMatchObject({ purpose: 'client', state: 'active' })
    const { id = '', didKey } = made[0] ?? {}
    const jwt = await vaultOn(db).signClientAssertion(use({ keyId: id }))
    const key = parseDidKey(didKey)?.key
    if (!key) throw new Error('no key')
    const { payload } = await jwtVerify(jwt, await importJWK({ ...p256Members(key.keyObject), alg: 'ES256' }), {
      currentDate: new Date(NOW_MS),
      algorithms: ['ES256'],
    })
    const { clientId, aud, jti } = use()
    expect(payload).toEqual({ iss: clientId, sub: clientId, aud, jti, iat: NOW_SEC, exp: NOW_SEC + 60 })
    expect(decodeProtectedHeader(jwt)).toEqual({ typ: 'JWT', alg: 'ES256', kid: id })
  })

  it('opens what it sealed, for its place alone', async () => {
    const vault = vaultOn(db)
    const blob = await vault.sealBlob(placeOf(), utf8('tokens'), NOW_MS)
    expect(text(await vault.openBlob(placeOf(), blob))).toBe('tokens')
    await vault.sealBlob(placeOf({ community: ORCHARD }), utf8('others'), NOW_MS)
    const unavailable = { code: 'KeyUnavailable' }
    for (const place of [placeOf({ name: 'attempt 1' }), placeOf({ community: ORCHARD })])
      await expect(vault.openBlob(place, blob)).rejects.toMatchObject(unavailable)
    await expect(vault.openBlob(placeOf(), { ...blob, dekVersion: 2 })).rejects.toMatchObject(unavailable)
    const changed = {
      ...blob,
      sealed: blob.sealed.map((byte, at) => (at === blob.sealed.length - 1 ? byte ^ 1 : byte)),
    }
    await expect(vault.openBlob(placeOf(), changed)).rejects.toMatchObject(unavailable)
    const elsewhere = vaultOn(db, { instanceId: 'instance-2' }).openBlob(placeOf(), blob)
    await expect(elsewhere).rejects.toMatchObject({ code: 'KekUnavailable' })
  })

  it('makes one DEK of a community, however many seal at once', async () => {
    const community = 'did:plc:ssssssssssssssssssssssss' as Did
    const vaults = Array.from({ length: 6 }, () => vaultOn(db))
    const blobs = await Promise.all(
      vaults.map((vault, at) => vault.sealBlob(placeOf({ community }), utf8(`blob ${at}`), NOW_MS)),
    )
    for (const [at, blob] of blobs.entries())
      expect(text(await vaultOn(db).openBlob(placeOf({ community }), blob))).toBe(`blob ${at}`)
    const { rows } = await sql`select version from dek where community = ${community}`.execute(db)
    expect(rows).toEqual([{ version: 1 }])
  })

  it('opens and seals nothing while its KEK is another, and says that it is that', async () => {
    const vault = vaultOn(db)
    const blob = await vault.sealBlob(placeOf(), utf8('tokens'), NOW_MS)
    const other = vaultOn(db, { kek: kekOf('cd'.repeat(32)) })
    const unavailable = { code: 'KekUnavailable' }
    await expect(other.openBlob(placeOf(), blob)).rejects.toMatchObject(unavailable)
    await expect(other.sealBlob(placeOf(), utf8('more'), NOW_MS)).rejects.toMatchObject(unavailable)
    await expect(other.signClientAssertion(use())).rejects.toMatchObject(unavailable)
    const away: Kek = { id: 'away', wrap: () => Promise.reject(new Error('away')), unwrap: async () => null }
    const fresh = 'did:plc:ffffffffffffffffffffffff' as Did
    const sealing = vaultOn(db, { kek: away }).sealBlob(placeOf({ community: fresh }), utf8('x'), NOW_MS)
    await expect(sealing).rejects.toMatchObject(unavailable)
  })
})

describe('an assertion is signed for nothing but', () => {
  it.each([
    ['a client with a public address', { clientId: 'http://localhost?scope=atproto' }],
    ['a client whose address is no fragment', { clientId: 'https://reeve.community/a#b' }],
    ['an issuer', { aud: 'https://pds.example.com/oauth/token' }],
    ['an issuer by https', { aud: 'http://pds.example.com' }],
    ['a minute', { expSec: NOW_SEC + 61 }],
    ['a time to come', { expSec: NOW_SEC }],
    ['whole seconds', { iatSec: NOW_SEC + 0.5 }],
    ['one use', { jti: '' }],
  ] as [string, Partial<ClientAssertionUse>][])('%s', (_, more) => {
    expect(() => assertionInput(use(more), 'ES256')).toThrow(/assertion/)
  })

  it('and signed on loopback for an issuer there', () => {
    expect(assertionInput(use({ aud: 'http://localhost:4000' }), 'ES256')).toMatch(/^[\w-]+\.[\w-]+$/)
  })
})
