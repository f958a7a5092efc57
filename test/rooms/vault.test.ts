/** The vault on real databases: what it signs, what it refuses to open, and what it never shows. */
import { inspect } from 'node:util'
import { assureValidCreationOp, assureValidSig } from '@did-plc/lib'
import { jwtVerify } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { genesisOperation } from '../../src/community/plc-builder.ts'
import { didOf, type UnsignedPlcOperation } from '../../src/identity/plc-operation.ts'
import { type KeyPurpose, open, seal } from '../../src/keys/envelope.ts'
import type { GenesisOperation, PublicHalves } from '../../src/keys/founding.ts'
import { type Kek, openKek } from '../../src/keys/kek.ts'
import { makeKeyPair, withScalar } from '../../src/keys/private-keys.ts'
import type { CredentialClaims } from '../../src/keys/space-credential.ts'
import { activateFoundedKeys, saveFoundedKeys } from '../../src/keys/store.ts'
import { LIVE_KEY_MS, LIVE_KEYS_MAX, openVault, type Vault } from '../../src/keys/vault.ts'
import { type Did, type Nsid, spaceUriOf } from '../../src/names.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { verify } from '../../src/platform/ecdsa.ts'
import { openLog } from '../../src/platform/log.ts'
import { parseDidKey } from '../../src/platform/multikey.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { decideRead, type Grant } from '../../src/policy/decide.ts'
import { Refusal, Unavailable } from '../../src/refusals.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { nobodyIn } from '../kit/facts.ts'

const NOW_MS = 1_800_000_000_000
const NOW_SEC = NOW_MS / 1000
const INSTANCE = 'instance-1'
const FORUM = 'com.atmoboards.forum' as Nsid
const founder = `did:plc:${'f'.repeat(24)}` as Did
const JTI = '0123456789abcdef0123456789abcdef'
const JKT = 'A'.repeat(43)

const KEK_HEX = `${'c0ffee'.repeat(10)}c0ff`
const kekOf = (text: string): Kek =>
  openKek('env:KEK', { readEnv: () => text, envIsPermitted: true, random: systemRandom })
const ourKek = kekOf(KEK_HEX)

/** A grant as the door would have it: by a real decision over a public space. */
function grantFor(community: Did): Grant {
  const space = spaceUriOf(community, FORUM, 'main')
  const facts = { space, readPolicy: 'public' as const, ...nobodyIn(community, NOW_MS) }
  const decision = decideRead(facts, { did: founder, clientId: null })
  if (!decision.ok) throw new Error('a public space is open')
  return decision.value
}

const claims = (more: Partial<CredentialClaims> = {}): CredentialClaims => ({
  cnf: { jkt: JKT },
  iatSec: NOW_SEC,
  expSec: NOW_SEC + 600,
  jti: JTI,
  ...more,
})

const recovery = makeKeyPair('k256')
const composeGenesis = (keys: PublicHalves) =>
  genesisOperation({
    recoveryKey: recovery.didKey,
    rotationKey: keys.rotation,
    atprotoKey: keys.atproto,
    spaceKey: keys.space,
    handle: null,
    publicUrl: 'https://reeve.example',
  })

/** A vault on `db` with a clock that stands still until it is moved, and a log that is kept. */
function worldOn(db: Db, more: { kek?: Kek; previousKeks?: readonly Kek[]; instanceId?: string } = {}) {
  const lines: string[] = []
  const clock = { ms: 0, monotonicMs: () => clock.ms }
  const log = openLog('debug', { write: (line) => void lines.push(line) })
  const vault = openVault({ db, kek: ourKek, instanceId: INSTANCE, clock, random: systemRandom, log, ...more })
  return { vault, clock, lines }
}

/** A community whose keys are active. */
async function found(db: Db, vault: Vault) {
  const founded = await vault.prepareFounding(composeGenesis, didOf)
  await withTransaction(db, (tx) => saveFoundedKeys(tx, founded.rows, NOW_MS))
  await withTransaction(db, (tx) => activateFoundedKeys(tx, founded.did, NOW_MS + 1))
  return founded
}

const credentialOf = (vault: Vault, community: Did): Promise<string> =>
  vault.sign({ kind: 'space-credential', grant: grantFor(community), claims: claims() })

/** The code with which a credential was refused; fails when one was signed. */
async function codeOf(vault: Vault, community: Did): Promise<string> {
  const outcome = await credentialOf(vault, community).catch((error: unknown) => error)
  if (!(outcome instanceof Unavailable)) throw new Error(`expected Unavailable, got ${inspect(outcome)}`)
  expect(outcome.what).toBe('vault')
  return outcome.code
}

const rowOf = (db: Db, community: Did, purpose: KeyPurpose) =>
  db
    .selectFrom('key')
    .selectAll()
    .where('community', '=', community)
    .where('purpose', '=', purpose)
    .executeTakeFirstOrThrow()

/** Puts a blob in place of the envelope of a community's space key. */
const plant = (db: Db, community: Did, sealed: Uint8Array | null) =>
  db.updateTable('key').set({ sealed }).where('community', '=', community).where('purpose', '=', 'space').execute()

async function sealedOf(db: Db, community: Did, purpose: KeyPurpose): Promise<Uint8Array> {
  const { sealed } = await rowOf(db, community, purpose)
  if (!sealed) throw new Error('no envelope')
  return sealed
}

async function dekOf(db: Db, community: Did): Promise<Uint8Array> {
  const row = await db
    .selectFrom('dek')
    .selectAll()
    .where('community', '=', community)
    .where('version', '=', 1)
    .executeTakeFirstOrThrow()
  const dek = await ourKek.unwrap(row.wrapped, { instanceId: INSTANCE, community, dekVersion: 1 })
  if (!dek) throw new Error('no DEK')
  return dek
}

const keyOf = (didKey: string) => {
  const parsed = parseDidKey(didKey)
  if (!parsed) throw new Error('no did:key')
  return parsed.key
}

describeOnEachEngine('the vault', (openDatabase) => {
  let db: Db
  beforeAll(async () => {
    db = (await openDatabase()).db
  })

  it('founds a community whose first operation an independent library takes', async () => {
    const { vault } = worldOn(db)
    const { did, operation } = await vault.prepareFounding(composeGenesis, didOf)
    const data = await assureValidCreationOp(did, operation)
    expect(data.rotationKeys[0]).toBe(recovery.didKey)
    const [, ours = ''] = data.rotationKeys
    expect(keyOf(ours).curve).toBe('k256')
    const { atproto = '', atproto_space: space = '' } = data.verificationMethods
    expect([keyOf(atproto).curve, keyOf(space).curve]).toEqual(['p256', 'p256'])
    expect(atproto).not.toBe(space)
  })

  it('keeps founded keys as pending until they are activated, and activates them once', async () => {
    const { vault } = worldOn(db)
    const { did, operation, rows } = await vault.prepareFounding(composeGenesis, didOf)
    await withTransaction(db, (tx) => saveFoundedKeys(tx, rows, NOW_MS))
    expect((await vault.publicKeys(did)).map((key) => key.state)).toEqual(['pending', 'pending', 'pending'])
    expect(await codeOf(vault, did)).toBe('KeyUnavailable')

    const activate = (nowMs: number) => withTransaction(db, (tx) => activateFoundedKeys(tx, did, nowMs))
    expect(await activate(NOW_MS + 5)).toBe(3)
    expect(await activate(NOW_MS + 9)).toBe(0)
    const held = await vault.publicKeys(did)
    expect(held.map(({ id: _, ...key }) => key)).toEqual(
      (
        [
          ['atproto', operation.verificationMethods.atproto],
          ['rotation', operation.rotationKeys.at(-1)],
          ['space', operation.verificationMethods.atproto_space],
        ] as const
      ).map(([purpose, didKey]) => ({
        purpose,
        didKey,
        state: 'active',
        flags: [],
        standsAside: false,
        createdAtMs: NOW_MS,
        stateSinceMs: NOW_MS + 5,
      })),
    )
    expect(await credentialOf(vault, did)).toMatch(/^ey/)
  })

  describe('asked for an operation that changes names', () => {
    const named = (alsoKnownAs: string[]) => ({ alsoKnownAs, prev: 'bafyhead' })

    async function inForceOf(vault: Vault) {
      const { did, operation } = await found(db, vault)
      const { sig: _, ...inForce } = operation
      return { did, inForce }
    }

    it('signs it by the rotation key, so that an independent library takes it', async () => {
      const { vault } = worldOn(db)
      const { did, inForce } = await inForceOf(vault)
      const operation = { ...inForce, ...named(['at://town.example.com']) }
      const signed = await vault.signRenaming({ kind: 'renaming', community: did, inForce, operation })
      const { sig, ...unsigned } = signed
      expect(unsigned).toEqual(operation)
      const ours = operation.rotationKeys.at(-1) ?? ''
      expect(await assureValidSig([ours], signed)).toBe(ours)
      expect(sig).toMatch(/^[\w-]{86}$/)
    })

    it.each<[string, (operation: UnsignedPlcOperation) => object]>([
      ['is a first one', (operation) => ({ ...operation, prev: null })],
      ['is a tombstone', (operation) => ({ ...operation, type: 'plc_tombstone' })],
      ['has no keys', (operation) => ({ ...operation, rotationKeys: [] })],
      ['lacks our key', (operation) => ({ ...operation, rotationKeys: operation.rotationKeys.slice(0, 1) })],
      ['has our key first', (operation) => ({ ...operation, rotationKeys: operation.rotationKeys.toReversed() })],
      ['lacks the community’s key', (operation) => ({ ...operation, rotationKeys: operation.rotationKeys.slice(1) })],
      ['has another signing key', (operation) => ({ ...operation, verificationMethods: { atproto: recovery.didKey } })],
      ['has another service', (operation) => ({ ...operation, services: {} })],
      ['has more in it', (operation) => ({ ...operation, handle: 'town.example.com' })],
    ])('refuses one that %s (PlcRank)', async (_says, spoil) => {
      const { vault } = worldOn(db)
      const { did, inForce } = await inForceOf(vault)
      const operation = spoil({ ...inForce, ...named([]) }) as UnsignedPlcOperation
      const asked = vault.signRenaming<UnsignedPlcOperation>({ kind: 'renaming', community: did, inForce, operation })
      await expect(asked).rejects.toMatchObject({ name: 'Refusal', code: 'PlcRank' })
    })

    it('refuses one of a DID that is no longer ours, and one of another community', async () => {
      const { vault } = worldOn(db)
      const { did, inForce } = await inForceOf(vault)
      const other = await inForceOf(vault)
      const away = { ...inForce, rotationKeys: [recovery.didKey] }
      for (const [community, from] of [
        [did, away],
        [other.did, inForce],
      ] as const) {
        const operation = { ...from, ...named([]) }
        const asked = vault.signRenaming({ kind: 'renaming', community, inForce: from, operation })
        await expect(asked).rejects.toMatchObject({ name: 'Refusal', code: 'PlcRank' })
      }
    })

    it('signs none for a community whose keys aren’t in use', async () => {
      const { vault } = worldOn(db)
      const { did, operation, rows } = await vault.prepareFounding(composeGenesis, didOf)
      await withTransaction(db, (tx) => saveFoundedKeys(tx, rows, NOW_MS))
      const { sig: _, ...inForce } = operation
      const next = { ...inForce, ...named([]) }
      const asked = vault.signRenaming({ kind: 'renaming', community: did, inForce, operation: next })
      await expect(asked).rejects.toMatchObject({ name: 'Unavailable', code: 'KeyUnavailable' })
    })
  })

  it('signs a credential with exactly the header and claims of the wire, by the space key', async () => {
    const { vault } = worldOn(db)
    const { did, operation } = await found(db, vault)
    const key = keyOf(operation.verificationMethods.atproto_space ?? '').keyObject
    for (const cnf of [{ jkt: JKT }, { kid: recovery.didKey }]) {
      const token = await vault.sign({ kind: 'space-credential', grant: grantFor(did), claims: claims({ cnf }) })
      const { payload, protectedHeader } = await jwtVerify(token, key, { currentDate: new Date(NOW_MS) })
      expect(protectedHeader).toEqual({ typ: 'atproto-space-credential+jwt', alg: 'ES256', kid: '#atproto_space' })
      expect(payload).toEqual({
        iss: did,
        sub: `at://${did}/space/com.atmoboards.forum/main`,
        cnf,
        iat: NOW_SEC,
        exp: NOW_SEC + 600,
        jti: JTI,
      })
    }
  })

  it('carries nothing into a credential that was hung onto the claims', async () => {
    const { vault } = worldOn(db)
    const { did } = await found(db, vault)
    const cnf = { jkt: JKT, jwk: { kty: 'EC' } }
    const laden = { ...claims({ cnf }), aud: 'did:web:elsewhere.example', iss: founder }
    const token = await vault.sign({ kind: 'space-credential', grant: grantFor(did), claims: laden })
    const payload = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    expect(Object.keys(payload)).toEqual(['iss', 'sub', 'cnf', 'iat', 'exp', 'jti'])
    expect(payload).toMatchObject({ iss: did, cnf: { jkt: JKT } })
    expect(payload.cnf).toEqual({ jkt: JKT })
  })

  it('signs 200 credentials out of 200 with a low S', async () => {
    const { vault } = worldOn(db)
    const { did, operation } = await found(db, vault)
    const key = keyOf(operation.verificationMethods.atproto_space ?? '')
    let good = 0
    for (let i = 0; i < 200; i++) {
      const token = await credentialOf(vault, did)
      const [header, payload, signature = ''] = token.split('.')
      const bytes = Buffer.from(signature, 'base64url')
      if (verify(key, Buffer.from(`${header}.${payload}`), bytes, { lowS: true })) good++
    }
    expect(good).toBe(200)
  })

  it.each<[string, Partial<CredentialClaims>]>([
    ['lives an hour and a second', { expSec: NOW_SEC + 3601 }],
    ['is over when it begins', { expSec: NOW_SEC }],
    ['ends before it begins', { expSec: NOW_SEC - 1 }],
    ['is counted in fractions', { iatSec: NOW_SEC + 0.5 }],
    ['never ends', { expSec: Number.POSITIVE_INFINITY }],
    ['has a jti in capitals', { jti: JTI.toUpperCase() }],
    ['has a short jti', { jti: JTI.slice(1) }],
    ['has a jti that ends its line', { jti: `${JTI}\n` }],
  ])('refuses, as our own mistake, a credential that %s', async (_, more) => {
    const { vault } = worldOn(db)
    const { did } = await found(db, vault)
    const refused = vault.sign({ kind: 'space-credential', grant: grantFor(did), claims: claims(more) })
    await expect(refused).rejects.toThrow('a credential')
    await expect(refused).rejects.not.toBeInstanceOf(Unavailable)
  })

  it('signs for an hour, which is the most', async () => {
    const { vault } = worldOn(db)
    const { did } = await found(db, vault)
    const use = { kind: 'space-credential' as const, grant: grantFor(did), claims: claims({ expSec: NOW_SEC + 3600 }) }
    expect(await vault.sign(use)).toMatch(/^ey/)
  })

  it('signs nothing for a community whose keys it does not have', async () => {
    const { vault } = worldOn(db)
    expect(await codeOf(vault, founder)).toBe('KeyUnavailable')
  })

  it.each(['pending', 'retiring', 'retired'] as const)('signs nothing with a key that is %s', async (state) => {
    const { vault } = worldOn(db)
    const { did } = await found(db, vault)
    await db.updateTable('key').set({ state }).where('community', '=', did).execute()
    expect(await codeOf(vault, did)).toBe('KeyUnavailable')
  })
})

describeOnEachEngine('a founding', (openDatabase) => {
  let db: Db
  beforeAll(async () => {
    db = (await openDatabase()).db
  })

  const wrong: [string, (keys: PublicHalves) => GenesisOperation][] = [
    ['our key above theirs', (keys) => ({ ...composeGenesis(keys), rotationKeys: [keys.rotation, recovery.didKey] })],
    [
      'our key twice',
      (keys) => ({ ...composeGenesis(keys), rotationKeys: [keys.rotation, recovery.didKey, keys.rotation] }),
    ],
    ['no key of ours', (keys) => ({ ...composeGenesis(keys), rotationKeys: [recovery.didKey] })],
    ['no rotation key', (keys) => ({ ...composeGenesis(keys), rotationKeys: [] })],
    ['the two signing keys exchanged', (keys) => composeGenesis({ ...keys, atproto: keys.space, space: keys.atproto })],
    ['somebody else’s space key', (keys) => composeGenesis({ ...keys, space: recovery.didKey })],
    ['somebody else’s atproto key', (keys) => composeGenesis({ ...keys, atproto: recovery.didKey })],
    ['no space key', (keys) => ({ ...composeGenesis(keys), verificationMethods: { atproto: keys.atproto } })],
    ['an operation before it', (keys) => ({ ...composeGenesis(keys), prev: 'bafyrei' })],
  ]
  it.each(wrong)('is not signed with %s', async (_, compose) => {
    const { vault } = worldOn(db)
    let named = 0
    const refused = vault.prepareFounding(compose, () => {
      named++
      return founder
    })
    await expect(refused).rejects.toSatisfy((error) => error instanceof Refusal && error.code === 'PlcRank')
    expect(named).toBe(0)
  })

  it('fails as KekUnavailable when the DEK cannot be wrapped', async () => {
    const kek: Kek = { ...ourKek, wrap: async () => Promise.reject(new Error(`denied ${KEK_HEX}`)) }
    const { vault } = worldOn(db, { kek })
    const refused = vault.prepareFounding(composeGenesis, didOf)
    await expect(refused).rejects.toSatisfy((error) => error instanceof Unavailable && error.code === 'KekUnavailable')
    expect(inspect(await refused.catch((error: unknown) => error), { depth: 9 })).not.toContain('c0ffee')
  })

  it('seals a key that opens to the public half in the operation', async () => {
    const { vault } = worldOn(db)
    const { did, operation } = await found(db, vault)
    const row = await rowOf(db, did, 'rotation')
    expect(row.did_key).toBe(operation.rotationKeys.at(-1))
    const place = {
      instanceId: INSTANCE,
      community: did,
      purpose: 'rotation' as const,
      keyId: row.id,
      dekVersion: 1,
      publicKey: row.did_key,
    }
    const scalar = open(await dekOf(db, did), await sealedOf(db, did, 'rotation'), place)
    expect(scalar?.length).toBe(32)
  })

  it('stops a second active key for the same purpose', async () => {
    const { vault } = worldOn(db)
    const { did } = await found(db, vault)
    const row = await rowOf(db, did, 'space')
    const second = { ...row, id: 'key-second', state: 'pending' as const }
    await db.insertInto('key').values(second).execute()
    const activated = withTransaction(db, (tx) => activateFoundedKeys(tx, did, NOW_MS))
    await expect(activated).rejects.toThrow('key_one_active')
    const states = (await vault.publicKeys(did)).filter((key) => key.purpose === 'space').map((key) => key.state)
    expect(states.sort()).toEqual(['active', 'pending'])
  })

  it('keeps no envelope of a destroyed key, and an envelope of every other', async () => {
    const { vault } = worldOn(db)
    const { did } = await found(db, vault)
    const set = (to: object) => db.updateTable('key').set(to).where('community', '=', did).execute()
    await expect(set({ state: 'destroyed' })).rejects.toThrow('check')
    await expect(set({ sealed: null, dek_version: null })).rejects.toThrow('check')
    await set({ state: 'destroyed', sealed: null, dek_version: null })
    expect(await codeOf(vault, did)).toBe('KeyUnavailable')
  })
})

describeOnEachEngine('what was tampered with', (openDatabase) => {
  let db: Db
  beforeAll(async () => {
    db = (await openDatabase()).db
  })

  /** Two communities, and the vault they were founded in, with nothing warm. */
  async function twoCommunities() {
    const world = worldOn(db)
    const a = await found(db, world.vault)
    const b = await found(db, world.vault)
    return { db, ...world, a: a.did, b: b.did }
  }

  /** The code of the refusal to sign for `community`, after checking that it was told as an alarm and warmed nothing. */
  async function alarmFor(world: { db: Db; vault: Vault; lines: string[] }, community: Did): Promise<string> {
    const code = await codeOf(world.vault, community)
    const { id } = await rowOf(world.db, community, 'space')
    expect(world.lines.map((line) => JSON.parse(line))).toMatchObject([
      { event: 'envelope.mismatch', community, keyId: id },
    ])
    expect(await codeOf(world.vault, community)).toBe(code)
    return code
  }

  it('does not sign with a ciphertext of another key of the same community', async () => {
    const world = await twoCommunities()
    await plant(world.db, world.a, await sealedOf(world.db, world.a, 'atproto'))
    expect(await alarmFor(world, world.a)).toBe('KeyUnavailable')
  })

  it('does not sign with the space key of another community, while that one goes on', async () => {
    const world = await twoCommunities()
    await plant(world.db, world.b, await sealedOf(world.db, world.a, 'space'))
    expect(await alarmFor(world, world.b)).toBe('KeyUnavailable')
    expect(await credentialOf(world.vault, world.a)).toMatch(/^ey/)
  })

  it('does not sign with a whole row of another community, DEK and all', async () => {
    const { db, vault, a, b } = await twoCommunities()
    const theirs = await db.selectFrom('dek').selectAll().where('community', '=', a).executeTakeFirstOrThrow()
    await plant(db, b, await sealedOf(db, a, 'space'))
    await db.updateTable('dek').set({ wrapped: theirs.wrapped }).where('community', '=', b).execute()
    expect(await codeOf(vault, b)).toBe('KekUnavailable')
  })

  it('does not sign with a DEK row of another community', async () => {
    const { db, vault, lines, a, b } = await twoCommunities()
    const theirs = await db.selectFrom('dek').selectAll().where('community', '=', a).executeTakeFirstOrThrow()
    await db.updateTable('dek').set({ wrapped: theirs.wrapped }).where('community', '=', b).execute()
    expect(await codeOf(vault, b)).toBe('KekUnavailable')
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ event: 'kek.unwrapFailed', community: b, kekId: ourKek.id })
  })

  it('does not sign with an envelope from before the DEK was renewed', async () => {
    const world = await twoCommunities()
    const { db, vault, a } = world
    const old = await sealedOf(db, a, 'space')
    const row = await rowOf(db, a, 'space')
    const firstDek = await dekOf(db, a)
    const place = {
      instanceId: INSTANCE,
      community: a,
      purpose: 'space' as const,
      keyId: row.id,
      publicKey: row.did_key,
    }
    const scalar = open(firstDek, old, { ...place, dekVersion: 1 })
    if (!scalar) throw new Error('closed')
    const dek = systemRandom.bytes(32)
    const wrapped = await ourKek.wrap(dek, { instanceId: INSTANCE, community: a, dekVersion: 2 })
    await db
      .insertInto('dek')
      .values({ community: a, version: 2, wrapped, kek_id: ourKek.id, created_at_ms: NOW_MS })
      .execute()
    const renewed = seal(dek, scalar, { ...place, dekVersion: 2 }, systemRandom)
    await db.updateTable('key').set({ sealed: renewed, dek_version: 2 }).where('id', '=', row.id).execute()
    expect(await credentialOf(vault, a)).toMatch(/^ey/)

    vault.drop()
    await plant(db, a, old)
    expect(await alarmFor(world, a)).toBe('KeyUnavailable')
  })

  it.each([12, 8, 4, 0])('does not sign when the tag is cut to %d bytes', async (left) => {
    const world = await twoCommunities()
    const whole = await sealedOf(world.db, world.a, 'space')
    await plant(world.db, world.a, whole.subarray(0, whole.length - 16 + left))
    expect(await alarmFor(world, world.a)).toBe('KeyUnavailable')
  })

  it('does not sign when the row names another public key', async () => {
    const world = await twoCommunities()
    const { didKey } = makeKeyPair('p256')
    await world.db
      .updateTable('key')
      .set({ did_key: didKey })
      .where('community', '=', world.a)
      .where('purpose', '=', 'space')
      .execute()
    expect(await alarmFor(world, world.a)).toBe('KeyUnavailable')
  })

  it.each(['p256', 'k256'] as const)(
    'does not sign with a well-sealed key on %s that is not the one its row names',
    async (curve) => {
      const world = await twoCommunities()
      const { db, a } = world
      const row = await rowOf(db, a, 'space')
      const dek = await dekOf(db, a)
      const place = {
        instanceId: INSTANCE,
        community: a,
        purpose: 'space' as const,
        keyId: row.id,
        dekVersion: 1,
        publicKey: row.did_key,
      }
      const planted = withScalar(makeKeyPair(curve), (scalar) => seal(dek, scalar, place, systemRandom))
      await plant(db, a, planted)
      expect(await alarmFor(world, a)).toBe('KeyUnavailable')
    },
  )

  it('does not sign in another instance', async () => {
    const { db, a } = await twoCommunities()
    const { vault } = worldOn(db, { instanceId: 'instance-2' })
    expect(await codeOf(vault, a)).toBe('KekUnavailable')
  })
})

describeOnEachEngine('the key-encryption key', (openDatabase) => {
  let db: Db
  beforeAll(async () => {
    db = (await openDatabase()).db
  })

  it('is unknown when the operator brings another one, and that is what the log says', async () => {
    const { did } = await found(db, worldOn(db).vault)
    const { vault, lines } = worldOn(db, { kek: kekOf('ab'.repeat(32)) })
    expect(await codeOf(vault, did)).toBe('KekUnavailable')
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ event: 'kek.unknown', community: did, kekId: ourKek.id })
  })

  it('leaked: keys that take over are sealed under a DEK that whoever copied the database before does not have', async () => {
    const { vault } = worldOn(db)
    const { did } = await found(db, vault)
    const taken = await dekOf(db, did)
    const after = { kek: kekOf('ab'.repeat(32)), previousKeks: [ourKek] }
    const rotating = worldOn(db, after).vault
    const scheduled = (await rotating.prepareSuccessors(did, ['space'], NOW_MS, { freshDek: false })).rows.reveal()
    const fresh = (await rotating.prepareSuccessors(did, ['space'], NOW_MS, { freshDek: true })).rows.reveal()
    const again = (await rotating.prepareSuccessors(did, ['space'], NOW_MS, { freshDek: true })).rows.reveal()
    expect([scheduled, fresh, again].map(({ dekVersion }) => dekVersion)).toEqual([1, 2, 3])
    // What the thief has opens what was sealed under it, wherever its row says that it lies.
    const opensWithTaken = ({ dekVersion, keys: [key] }: typeof fresh) => {
      if (!key) throw new Error('no key')
      const place = { instanceId: INSTANCE, community: did, purpose: 'space' as const, keyId: key.id }
      return open(taken, key.sealed, { ...place, dekVersion, publicKey: key.didKey }) !== null
    }
    expect([scheduled, fresh, again].map(opensWithTaken)).toEqual([true, false, false])
    const kekIds = await db.selectFrom('dek').select('kek_id').where('community', '=', did).orderBy('version').execute()
    expect(kekIds.map((row) => row.kek_id)).toEqual([ourKek.id, after.kek.id, after.kek.id])
    // The keys that are in use still are opened as before.
    expect(await credentialOf(rotating, did)).toMatch(/^ey/)
  })

  it('leaked: two processes that make a DEK at once both seal under one that is kept', async () => {
    const { did } = await found(db, worldOn(db).vault)
    const made = await Promise.all(
      Array.from({ length: 4 }, () => worldOn(db).vault.prepareSuccessors(did, ['space'], NOW_MS, { freshDek: true })),
    )
    for (const { rows } of made) {
      const { dekVersion, keys } = rows.reveal()
      const row = await db
        .selectFrom('dek')
        .selectAll()
        .where('community', '=', did)
        .where('version', '=', dekVersion)
        .executeTakeFirstOrThrow()
      const dek = await ourKek.unwrap(row.wrapped, { instanceId: INSTANCE, community: did, dekVersion })
      const [key] = keys
      if (!dek || !key) throw new Error('no key')
      const place = { instanceId: INSTANCE, community: did, purpose: 'space' as const, keyId: key.id, dekVersion }
      expect(open(dek, key.sealed, { ...place, publicKey: key.didKey })).not.toBeNull()
    }
  })

  it('does not open what another one wrapped, even under its name', async () => {
    const { did } = await found(db, worldOn(db).vault)
    const { vault } = worldOn(db, { kek: { ...kekOf('ab'.repeat(32)), id: ourKek.id } })
    expect(await codeOf(vault, did)).toBe('KekUnavailable')
  })

  it('may be one from before, which opens and no longer wraps', async () => {
    const { did } = await found(db, worldOn(db).vault)
    const newKek = kekOf('ab'.repeat(32))
    const { vault } = worldOn(db, { kek: newKek, previousKeks: [ourKek] })
    expect(await credentialOf(vault, did)).toMatch(/^ey/)
    const { did: later } = await found(db, vault)
    const ids = await db
      .selectFrom('dek')
      .select(['community', 'kek_id'])
      .where('community', 'in', [did, later])
      .execute()
    expect(new Map(ids.map((row) => [row.community, row.kek_id]))).toEqual(
      new Map([
        [did, ourKek.id],
        [later, newKek.id],
      ]),
    )
  })

  it.each<[string, Kek, string]>([
    ['it doesn’t know', kekOf('ab'.repeat(32)), 'kek.unknown'],
    ['it was given under the wrong name', { ...kekOf('cd'.repeat(32)), id: ourKek.id }, 'kek.unwrapFailed'],
  ])(
    'stops cold keys only when their DEK was wrapped again by one that %s; warm ones go on',
    async (_, other, event) => {
      const { vault, lines } = worldOn(db)
      const warm = await found(db, vault)
      const cold = await found(db, vault)
      await credentialOf(vault, warm.did)
      for (const { did } of [warm, cold]) {
        const wrapped = await other.wrap(await dekOf(db, did), { instanceId: INSTANCE, community: did, dekVersion: 1 })
        await db.updateTable('dek').set({ wrapped, kek_id: other.id }).where('community', '=', did).execute()
      }
      expect(await credentialOf(vault, warm.did)).toMatch(/^ey/)
      expect(lines).toEqual([])
      expect(await codeOf(vault, cold.did)).toBe('KekUnavailable')
      expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ event, community: cold.did })
      vault.drop()
      expect(await codeOf(vault, warm.did)).toBe('KekUnavailable')
    },
  )

  it('stops cold keys only when its service denies; warm ones go on', async () => {
    let denies = false
    const kek: Kek = {
      ...ourKek,
      unwrap: (wrapped, place) =>
        denies ? Promise.reject(new Error(`denied ${KEK_HEX}`)) : ourKek.unwrap(wrapped, place),
    }
    const { vault, lines } = worldOn(db, { kek })
    const warm = await found(db, vault)
    const cold = await found(db, vault)
    await credentialOf(vault, warm.did)
    denies = true
    expect(await credentialOf(vault, warm.did)).toMatch(/^ey/)
    expect(await codeOf(vault, cold.did)).toBe('KekUnavailable')
    expect(lines.join('')).not.toContain('c0ffee')
    denies = false
    expect(await credentialOf(vault, cold.did)).toMatch(/^ey/)
  })
})

describeOnEachEngine('live keys', (openDatabase) => {
  let db: Db
  beforeAll(async () => {
    db = (await openDatabase()).db
  })

  /** A KEK that counts what it unwraps, and can be made to wait. */
  function countingKek() {
    const state = { unwraps: 0, gate: Promise.resolve() }
    const kek: Kek = {
      ...ourKek,
      unwrap: async (wrapped, place) => {
        state.unwraps++
        await state.gate
        return ourKek.unwrap(wrapped, place)
      },
    }
    return { kek, state }
  }

  it('are opened once in five minutes, from a clock that starts at zero', async () => {
    const { kek, state } = countingKek()
    const { vault, clock } = worldOn(db, { kek })
    const { did } = await found(db, vault)
    await credentialOf(vault, did)
    clock.ms = LIVE_KEY_MS
    await credentialOf(vault, did)
    expect(state.unwraps).toBe(1)
    clock.ms = LIVE_KEY_MS + 1
    await credentialOf(vault, did)
    expect(state.unwraps).toBe(2)
    clock.ms = 2 * LIVE_KEY_MS + 1
    await credentialOf(vault, did)
    expect(state.unwraps).toBe(2)
  })

  it('are opened once for all who ask at the same time', async () => {
    const { kek, state } = countingKek()
    const { vault } = worldOn(db, { kek })
    const { did } = await found(db, vault)
    const tokens = await Promise.all(Array.from({ length: 20 }, () => credentialOf(vault, did)))
    expect(new Set(tokens).size).toBe(20)
    expect(state.unwraps).toBe(1)
  })

  it('can be opened ahead of the signature, and fail there as they would fail at it', async () => {
    const { kek, state } = countingKek()
    const { vault } = worldOn(db, { kek })
    const { did } = await found(db, vault)
    await vault.ready(did)
    await credentialOf(vault, did)
    expect(state.unwraps).toBe(1)
    await expect(vault.ready(founder)).rejects.toSatisfy(
      (error) => error instanceof Unavailable && error.code === 'KeyUnavailable',
    )
  })

  it('are tried again after a failure, which nobody remembers', async () => {
    const { vault } = worldOn(db)
    const { did } = await found(db, vault)
    const whole = await sealedOf(db, did, 'space')
    await plant(db, did, whole.subarray(1))
    expect(await codeOf(vault, did)).toBe('KeyUnavailable')
    await plant(db, did, whole)
    expect(await credentialOf(vault, did)).toMatch(/^ey/)
  })

  it('are all forgotten by drop, also the one that is just being opened', async () => {
    const { kek, state } = countingKek()
    const { vault } = worldOn(db, { kek })
    const { did } = await found(db, vault)
    await credentialOf(vault, did)
    vault.drop()
    const gate = Promise.withResolvers<void>()
    state.gate = gate.promise
    const underWay = credentialOf(vault, did)
    vault.drop()
    const after = credentialOf(vault, did)
    vault.drop()
    gate.resolve()
    await Promise.all([underWay, after])
    expect(state.unwraps).toBe(3)
    await credentialOf(vault, did)
    expect(state.unwraps).toBe(4)
    await credentialOf(vault, did)
    expect(state.unwraps).toBe(4)
  })

  it('are never more than the limit: the one unused for longest goes', async () => {
    const { kek, state } = countingKek()
    const { vault } = worldOn(db, { kek })
    const dids: Did[] = []
    for (let i = 0; i < LIVE_KEYS_MAX + 1; i++) dids.push((await found(db, vault)).did)
    for (const did of dids) await credentialOf(vault, did)
    const [first, second] = dids
    const last = dids.at(-1)
    if (!first || !second || !last) throw new Error('too few')
    const before = state.unwraps
    await credentialOf(vault, last)
    expect(state.unwraps).toBe(before)
    await credentialOf(vault, first)
    expect(state.unwraps).toBe(before + 1)
  })
})

describeOnEachEngine('a canary', (openDatabase) => {
  let db: Db
  beforeAll(async () => {
    db = (await openDatabase()).db
  })

  it('is seen in nothing that can be printed, logged or thrown', async () => {
    const world = worldOn(db)
    const { vault, lines } = world
    const founded = await found(db, vault)
    await credentialOf(vault, founded.did)

    // The secrets themselves: KEK, DEK and the three private keys, each in the spellings that a leak would have.
    const dek = await dekOf(db, founded.did)
    const secrets: Uint8Array[] = [Buffer.from(KEK_HEX, 'hex'), dek]
    for (const purpose of ['rotation', 'atproto', 'space'] as const) {
      const row = await rowOf(db, founded.did, purpose)
      const place = {
        instanceId: INSTANCE,
        community: founded.did,
        purpose,
        keyId: row.id,
        dekVersion: 1,
        publicKey: row.did_key,
      }
      const scalar = open(dek, await sealedOf(db, founded.did, purpose), place)
      if (!scalar) throw new Error('closed')
      secrets.push(scalar)
    }

    await plant(db, founded.did, new Uint8Array(70))
    vault.drop()
    const thrown = await credentialOf(vault, founded.did).catch((error: unknown) => error)
    const deep = { depth: 12, showHidden: true, maxArrayLength: null, maxStringLength: null }
    const printed = [
      ...[vault, ourKek, founded, founded.rows, thrown].flatMap((value) => [inspect(value, deep), `${value}`]),
      ...[vault, ourKek, founded, thrown].map((value) => JSON.stringify(value)),
      ...lines,
    ].join('\n')
    for (const secret of secrets)
      for (const spelling of spellingsOf(secret)) expect(printed.includes(spelling)).toBe(false)
    expect(inspect(founded.rows)).toBe('[redacted]')
    expect(`${founded.rows}`).toBe('[redacted]')
    expect(lines.length).toBe(1)
  })

  it('is in none of the tables in the clear', async () => {
    const { vault } = worldOn(db)
    const { did } = await found(db, vault)
    const dek = await dekOf(db, did)
    const wraps = await db.selectFrom('dek').select('wrapped').where('community', '=', did).execute()
    expect(wraps.some((row) => Buffer.from(row.wrapped).includes(Buffer.from(dek)))).toBe(false)
    const row = await rowOf(db, did, 'space')
    const place = {
      instanceId: INSTANCE,
      community: did,
      purpose: 'space' as const,
      keyId: row.id,
      dekVersion: 1,
      publicKey: row.did_key,
    }
    const sealed = await sealedOf(db, did, 'space')
    const scalar = open(dek, sealed, place)
    expect(scalar?.length).toBe(32)
    expect(Buffer.from(sealed).includes(Buffer.from(scalar ?? sealed))).toBe(false)
  })
})

/** How a leaked secret would look: hexadecimal, base64, base64url, and an array of numbers; each by a good part of it. */
function spellingsOf(secret: Uint8Array): string[] {
  const bytes = Buffer.from(secret)
  return [
    bytes.toString('hex').slice(0, 24),
    bytes.toString('base64').slice(0, 16),
    bytes.toString('base64url').slice(0, 16),
    [...bytes.subarray(0, 8)].join(', '),
    [...bytes.subarray(0, 8)].join(','),
    bytes
      .toString('hex')
      .slice(0, 24)
      .replace(/(..)(?=.)/g, '$1 '),
  ]
}
