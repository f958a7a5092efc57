/** The exchange through the whole house, over real sockets: what it answers, what it never costs, and what it leaves unspent. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { forgetSpent, raiseFloor } from '../../src/platform/once.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import {
  auditRows,
  BINDINGS,
  deleteSpace,
  exchange,
  issuances,
  openScene,
  type Parts,
  readCredential,
  type Scene,
} from '../kit/exchange.ts'
import { stallAt } from '../kit/fake-plc.ts'
import { changeKey, endDid, makeSomebody } from '../kit/people.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import {
  freshJti,
  makeDelegation,
  makeDpopProof,
  makeKey,
  makeServiceJwt,
  makeSpaceSignature,
  thumbprintOf,
} from '../kit/tokens.ts'
import { askedBesides } from '../kit/watched.ts'
import { type Binding, EXCHANGE_PATH, spaceOf } from '../kit/world.ts'

const FOREIGN = 'at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/space/com.atmoboards.forum/main'

interface Row {
  readonly says: string
  readonly answers: readonly [status: number, error: string]
  /** Only in this generation; both when left out. */
  readonly in?: Binding
  /** What is wrong with the request; the rest of it is as it should be. */
  readonly with: (scene: Scene, binding: Binding) => Parts
}

/** A header line of a token that is fine, in another form. */
const authorization = (line: (token: string) => readonly string[]) => (scene: Scene) => {
  const token = makeDelegation({
    key: scene.bob.key,
    iss: scene.bob.did,
    space: spaceOf(scene.forum),
    nowSec: scene.world.clock.nowSec(),
  })
  return { token, authorization: line(token).map((value) => ['authorization', value] as const) }
}

const claims = (payload: Record<string, unknown>) => () => ({ changes: { payload } })
const header = (members: Record<string, unknown>) => () => ({ changes: { header: members } })
const body =
  (text: string | object): Row['with'] =>
  () => ({ body: text })
const space = (change: (uri: string) => string) => (scene: Scene) => ({
  changes: { payload: { sub: change(scene.forum) } },
  body: { space: change(scene.forum) },
})
const proof = (change: Parts['proof'] & object) => () => ({ proof: change })

/** Refused before anybody is asked for anything: no key is fetched, nothing is spent. */
const BEFORE_THE_KEY: readonly Row[] = [
  // the body
  { says: 'a body that is no JSON', answers: [400, 'InvalidRequest'], with: body('{"space":') },
  { says: 'an empty body', answers: [400, 'InvalidRequest'], with: body('') },
  { says: 'a list as body', answers: [400, 'InvalidRequest'], with: body('[]') },
  { says: 'a body without space', answers: [400, 'InvalidRequest'], with: body({}) },
  {
    says: 'space said twice in the body',
    answers: [400, 'InvalidRequest'],
    with: ({ forum }) => ({ body: `{"space":"${forum}","space":"${FOREIGN}"}` }),
  },
  {
    says: 'a body of 17 KiB',
    answers: [413, 'PayloadTooLarge'],
    with: ({ forum }) => ({ body: { space: forum, more: 'x'.repeat(17 * 1024) } }),
  },
  // how the token is brought (rows 1–5)
  { says: 'no Authorization', answers: [401, 'MissingJwt'], with: () => ({ authorization: [] }) },
  { says: 'Bearer without a token', answers: [400, 'InvalidToken'], with: authorization(() => ['Bearer']) },
  { says: 'two spaces', answers: [400, 'InvalidToken'], with: authorization((token) => [`Bearer  ${token}`]) },
  { says: 'another scheme', answers: [400, 'InvalidToken'], with: authorization((token) => [`Basic ${token}`]) },
  { says: 'the scheme DPoP', answers: [401, 'MissingJwt'], with: authorization((token) => [`DPoP ${token}`]) },
  {
    says: 'two Authorization lines',
    in: 'august',
    answers: [400, 'InvalidToken'],
    with: authorization((token) => [`Bearer ${token}`, `Bearer ${token}`]),
  },
  {
    says: 'two Authorization lines under a signature',
    in: 'october',
    answers: [401, 'BadSpaceSignature'],
    with: authorization((token) => [`Bearer ${token}`, `Bearer ${token}`]),
  },
  {
    says: 'a token of 8193 characters',
    answers: [401, 'BadJwt'],
    with: () => ({ changes: { payload: { filler: 'x'.repeat(8193) } } }),
  },
  // the token itself (rows 26–63)
  { says: 'two parts', answers: [401, 'BadJwt'], with: () => ({ token: 'e30.e30' }) },
  { says: 'a header that is a list', answers: [401, 'BadJwt'], with: () => ({ changes: { header: '[]' } }) },
  { says: 'another typ', answers: [401, 'BadJwtType'], with: header({ typ: 'JWT' }) },
  { says: 'no alg', answers: [401, 'BadJwt'], with: header({ alg: undefined }) },
  { says: 'alg none', answers: [401, 'BadJwt'], with: header({ alg: 'none' }) },
  { says: 'a key in the header', answers: [401, 'BadJwt'], with: header({ jwk: makeKey('p256').jwk }) },
  { says: 'crit', answers: [401, 'BadJwt'], with: header({ crit: ['b64'] }) },
  { says: 'no kid', answers: [401, 'BadJwt'], with: header({ kid: undefined }) },
  { says: 'the kid of a space key', answers: [401, 'BadJwt'], with: header({ kid: '#atproto_space' }) },
  { says: 'no iss', answers: [401, 'BadJwtIss'], with: claims({ iss: undefined }) },
  { says: 'an iss in capitals', answers: [401, 'BadJwtIss'], with: claims({ iss: 'did:web:EVIL.example' }) },
  { says: 'an iss that is an address', answers: [401, 'BadJwtIss'], with: claims({ iss: 'did:web:127.0.0.1' }) },
  { says: 'an iss with a port', answers: [401, 'BadJwtIss'], with: claims({ iss: 'did:web:host.example%3A8443' }) },
  { says: 'no sub', answers: [401, 'BadJwtSub'], with: claims({ sub: undefined }) },
  { says: 'a sub with a slash at the end', answers: [401, 'BadJwtSub'], with: space((uri) => `${uri}/`) },
  { says: 'no aud', answers: [401, 'BadJwtAudience'], with: claims({ aud: undefined }) },
  {
    says: 'the bare DID as aud',
    answers: [401, 'BadJwtAudience'],
    with: ({ community }) => claims({ aud: community })(),
  },
  { says: 'no exp', answers: [401, 'BadJwt'], with: claims({ exp: undefined }) },
  {
    says: 'an endless exp',
    answers: [401, 'BadJwt'],
    with: ({ forum, bob }) => ({
      changes: {
        payload: `{"iss":"${bob.did}","sub":"${forum}","aud":"${spaceOf(forum).authority}#atproto_space_host","exp":1e999,"jti":"x"}`,
      },
    }),
  },
  {
    says: 'a life of 301 s',
    answers: [401, 'BadJwt'],
    with: ({ world }) => claims({ exp: world.clock.nowSec() + 301 })(),
  },
  {
    says: 'a beginning in the future',
    answers: [401, 'BadJwt'],
    with: ({ world }) => claims({ nbf: world.clock.nowSec() + 40 })(),
  },
  {
    says: 'an exp ten seconds ago',
    answers: [401, 'JwtExpired'],
    with: ({ world }) => claims({ iat: world.clock.nowSec() - 70, exp: world.clock.nowSec() - 10 })(),
  },
  { says: 'no jti', answers: [401, 'BadJwt'], with: claims({ jti: undefined }) },
  { says: 'a jti of 257 characters', answers: [401, 'BadJwt'], with: claims({ jti: 'j'.repeat(257) }) },
  // body against token, attestation, authority (rows 71, 72, 115)
  {
    says: 'a body that names another space',
    answers: [400, 'InvalidDelegationToken'],
    with: ({ forum }) => ({ body: { space: `${forum}2` } }),
  },
  {
    says: 'an attestation that is no token',
    answers: [400, 'InvalidClientAttestation'],
    with: ({ forum }) => ({ body: { space: forum, clientAttestation: 'a.b.c' } }),
  },
  {
    says: 'an empty attestation',
    answers: [400, 'InvalidClientAttestation'],
    with: ({ forum }) => ({ body: { space: forum, clientAttestation: '' } }),
  },
  { says: 'an authority that is not ours', answers: [400, 'SpaceNotFound'], with: () => ({ space: FOREIGN }) },
  // the proof (rows 80–113)
  { says: 'no proof at all', answers: [401, 'BadSpaceSignature'], with: () => ({ proofLines: [] }) },
  {
    says: 'a signature by another key than keyid names',
    in: 'october',
    answers: [401, 'BadSpaceSignature'],
    with: (scene) => {
      const parts = authorization((token) => [`Bearer ${token}`])(scene)
      const [, line] = parts.authorization[0] ?? []
      const { signatureInput } = makeSpaceSignature({ key: makeKey('p256'), authorization: line ?? '' })
      const { signature } = makeSpaceSignature({ key: makeKey('p256'), authorization: line ?? '' })
      return {
        ...parts,
        proofLines: [
          ['signature-input', signatureInput],
          ['signature', signature],
        ],
      }
    },
  },
  {
    says: 'a holder key on the other curve',
    in: 'october',
    answers: [401, 'BadSpaceSignature'],
    with: () => ({ holder: makeKey('k256') }),
  },
  {
    says: 'Signature-Input without Signature',
    in: 'october',
    answers: [401, 'BadSpaceSignature'],
    with: () => ({ proofLines: [['signature-input', 'atproto-space=("authorization");keyid="did:key:zDn"']] }),
  },
  {
    says: 'an empty DPoP header',
    in: 'august',
    answers: [401, 'MissingDpopProof'],
    with: () => ({ proofLines: [['dpop', '']] }),
  },
  {
    says: 'two proofs',
    in: 'august',
    answers: [401, 'BadDpopProof'],
    with: ({ world }) => {
      const about = { method: 'POST', url: world.url + EXCHANGE_PATH, nowSec: world.clock.nowSec() }
      const line = () => ['dpop', makeDpopProof({ key: makeKey('p256'), ...about })] as const
      return { proofLines: [line(), line()] }
    },
  },
  {
    says: 'a proof for another address',
    in: 'august',
    answers: [401, 'BadDpopProof'],
    with: proof({ url: `https://evil.example${EXCHANGE_PATH}` }),
  },
  { says: 'a proof for GET', in: 'august', answers: [401, 'BadDpopProof'], with: proof({ payload: { htm: 'GET' } }) },
  { says: 'a proof with ath', in: 'august', answers: [401, 'BadDpopProof'], with: proof({ payload: { ath: 'x' } }) },
  {
    says: 'a proof without jti',
    in: 'august',
    answers: [401, 'BadDpopProof'],
    with: proof({ payload: { jti: undefined } }),
  },
  {
    says: 'a proof of another typ',
    in: 'august',
    answers: [401, 'BadDpopProofSignature'],
    with: proof({ header: { typ: 'JWT' } }),
  },
  {
    says: 'a proof signed by somebody else',
    in: 'august',
    answers: [401, 'BadDpopProofSignature'],
    with: proof({ signature: new Uint8Array(64).fill(1) }),
  },
  {
    says: 'a proof of two minutes ago',
    in: 'august',
    answers: [401, 'DpopProofExpired'],
    with: ({ world }) => ({ proof: { payload: { iat: world.clock.nowSec() - 120 } } }),
  },
]

/** Refused with the user's key at hand, still before the verdict: nothing is spent. */
const WITH_THE_KEY: readonly Row[] = [
  {
    says: 'a signature by somebody else',
    answers: [401, 'BadJwtSignature'],
    with: ({ bob }) => ({ person: { did: bob.did, key: makeKey('k256') } }),
  },
  { says: 'a high S', answers: [401, 'BadJwtSignature'], with: () => ({ changes: { s: 'high' } }) },
  {
    says: 'a signature of zeros',
    answers: [401, 'BadJwtSignature'],
    with: () => ({ changes: { signature: new Uint8Array(64) } }),
  },
  {
    says: 'a signature of 63 bytes',
    answers: [401, 'BadJwtSignature'],
    with: () => ({ changes: { signature: new Uint8Array(63).fill(1) } }),
  },
  { says: 'the alg of the other curve', answers: [401, 'BadJwtSignature'], with: header({ alg: 'ES256' }) },
  { says: 'HS256', answers: [401, 'BadJwtSignature'], with: header({ alg: 'HS256' }) },
  {
    says: 'an iss that the directory does not know',
    answers: [401, 'BadJwtIss'],
    with: ({ bob }) => ({ person: { did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' as Did, key: bob.key } }),
  },
  {
    says: 'a space of ours that never was',
    answers: [400, 'SpaceNotFound'],
    with: ({ community }) => ({ space: `at://${community}/space/com.atmoboards.forum/never` }),
  },
  {
    says: 'a space that was deleted',
    answers: [400, 'SpaceDeleted'],
    with: ({ community }) => ({ space: `at://${community}/space/com.atmoboards.forum/gone` }),
  },
]

/** Refused by the verdict: the token is spent with it. */
const BY_THE_VERDICT: readonly Row[] = [
  {
    says: 'a stranger',
    answers: [400, 'UserNotAuthorized'],
    with: ({ carol }) => ({ person: carol }),
  },
  {
    says: 'a member of another space',
    answers: [400, 'UserNotAuthorized'],
    with: ({ community }) => ({ space: `at://${community}/space/com.atmoboards.forum/other` }),
  },
]

describeOnEachEngine('the exchange', (open) => {
  let database: TestDatabase
  let scene: Scene

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    const gone = await scene.world.makeSpace(scene.alice, scene.community, { skey: 'gone' })
    await deleteSpace(database, gone)
    await scene.world.makeSpace(scene.alice, scene.community, { skey: 'other' })
  })
  afterAll(() => scene.close())

  /** Sends the spoilt request and then a good one with the same jti of the same person; null when none can be made. */
  async function refuse(row: Row, binding: Binding) {
    const jti = freshJti()
    const issued = (await issuances(database)).length
    const parts = { jti, binding, ...row.with(scene, binding) }
    scene.plc.forget()
    const refused = await exchange(scene, parts)
    const fetches = (await askedBesides(scene.plc, database)).length
    const issuedMeanwhile = (await issuances(database)).length - issued
    const person = parts.person?.did === scene.carol.did ? scene.carol : scene.bob
    // A good token with the same jti counts as the same token; one that was made by the row itself is sent again as it is.
    const again = await exchange(scene, { jti, binding, person, ...(parts.token?.length ? tokenOf(parts) : {}) })
    return { refused, fetches, issuedMeanwhile, again }
  }
  const tokenOf = ({ token, authorization: lines }: Parts) => (lines && token ? { token } : {})

  const both = (rows: readonly Row[]) =>
    rows.flatMap((row) =>
      BINDINGS.filter((binding) => (row.in ?? binding) === binding).map((binding) => ({ ...row, binding, row })),
    )

  describe('refused before any key is asked for, the token unspent', () => {
    it.each(both(BEFORE_THE_KEY))('$says ($binding): $answers', async ({ row, binding, answers: [status, error] }) => {
      const { refused, fetches, issuedMeanwhile, again } = await refuse(row, binding)
      expect([refused.status, refused.body.error]).toEqual([status, error])
      expect(Object.keys(refused.body).toSorted()).toEqual(['error', 'message'])
      expect(fetches).toBe(0)
      expect(issuedMeanwhile).toBe(0)
      expect(again.status).toBe(200)
    })
  })

  describe('refused before the verdict, the token unspent', () => {
    it.each(both(WITH_THE_KEY))('$says ($binding): $answers', async ({ row, binding, answers: [status, error] }) => {
      const { refused, issuedMeanwhile, again } = await refuse(row, binding)
      expect([refused.status, refused.body.error]).toEqual([status, error])
      expect(issuedMeanwhile).toBe(0)
      expect(again.status).toBe(200)
    })
  })

  describe('refused by the verdict, the token spent', () => {
    it.each(both(BY_THE_VERDICT))('$says ($binding): $answers', async ({ row, binding, answers: [status, error] }) => {
      const { refused, issuedMeanwhile, again } = await refuse(row, binding)
      expect([refused.status, refused.body.error]).toEqual([status, error])
      expect(issuedMeanwhile).toBe(0)
      expect([again.status, again.body.error]).toEqual([401, 'JwtReplayed'])
    })

    it('is kept in the community’s log when it is about somebody of theirs, and not for strangers, who could fill it', async () => {
      const kept = () => auditRows(database, 'credential.refuse')
      const before = (await kept()).length
      const other = `at://${scene.community}/space/com.atmoboards.forum/other`
      expect(await exchange(scene, { space: other })).toMatchObject({ body: { error: 'UserNotAuthorized' } })
      for (let i = 0; i < 5; i++) {
        expect(await exchange(scene, { person: scene.carol })).toMatchObject({ body: { error: 'UserNotAuthorized' } })
      }
      const rows = (await kept()).slice(before)
      expect(rows).toMatchObject([
        { actor: scene.bob.did, target: other, because: { refused: 'UserNotAuthorized', reasons: expect.anything() } },
      ])
    })
  })

  it('answers no refusal with anything of the request or of the house', async () => {
    for (const row of [...BEFORE_THE_KEY, ...WITH_THE_KEY, ...BY_THE_VERDICT]) {
      const binding = row.in ?? 'october'
      const { body: said, headers } = await exchange(scene, { binding, ...row.with(scene, binding) })
      const text = JSON.stringify([said, headers])
      expect(text).not.toMatch(/eyJ|did:plc|did:key:z|at:\/\/did|127\.0\.0\.1|\.ts|node_modules|select |insert /)
      expect(headers['cache-control']).toBe('no-store')
      expect(headers['vary']).toBe('Authorization')
    }
  })

  describe.each(BINDINGS)('the reference’s own cases, %s', (binding) => {
    const other = (): string => `at://${scene.community}/space/com.atmoboards.forum/gone`

    it('59: a token for a host that does not govern the space is SpaceNotFound', async () => {
      expect(await exchange(scene, { binding, space: FOREIGN })).toMatchObject({
        status: 400,
        body: { error: 'SpaceNotFound' },
      })
    })

    it('60: without proof of possession nothing is issued', async () => {
      expect(await exchange(scene, { binding, proofLines: [] })).toMatchObject({ status: 401 })
    })

    it('61: the credential is bound to the key that proved itself', async () => {
      const holder = makeKey('p256')
      const { claims: said } = readCredential(await exchange(scene, { binding, holder }))
      expect(said['cnf']).toEqual(binding === 'october' ? { kid: holder.didKey } : { jkt: thumbprintOf(holder) })
    })

    it('62: the same request again is refused, by its proof where that is used once, else by its token', async () => {
      const parts = { binding, jti: freshJti(), holder: makeKey('p256'), proof: { jti: freshJti() } }
      expect(await exchange(scene, parts)).toMatchObject({ status: 200 })
      const error = binding === 'october' ? 'JwtReplayed' : 'BadDpopProof'
      expect(await exchange(scene, parts)).toMatchObject({ status: 401, body: { error } })
    })

    it('64: a token for another authority is refused by its audience', async () => {
      const aud = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz#atproto_space_host'
      expect(await exchange(scene, { binding, changes: { payload: { aud } } })).toMatchObject({
        status: 401,
        body: { error: 'BadJwtAudience' },
      })
    })

    it('65: a token is used once, also with a fresh proof by a fresh key', async () => {
      const jti = freshJti()
      expect(await exchange(scene, { binding, jti })).toMatchObject({ status: 200 })
      for (const again of BINDINGS) {
        expect(await exchange(scene, { binding: again, jti })).toMatchObject({
          status: 401,
          body: { error: 'JwtReplayed' },
        })
      }
    })

    it('66: a token for another space than the body names is InvalidDelegationToken', async () => {
      expect(await exchange(scene, { binding, body: { space: other() } })).toMatchObject({
        status: 400,
        body: { error: 'InvalidDelegationToken' },
      })
    })
  })

  it('63: a signature over one token does not carry another', async () => {
    const nowSec = scene.world.clock.nowSec()
    const token = () => makeDelegation({ key: scene.bob.key, iss: scene.bob.did, space: spaceOf(scene.forum), nowSec })
    const [signedToken, sentToken] = [token(), token()]
    const holder = makeKey('p256')
    const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization: `Bearer ${signedToken}` })
    const proofLines = [
      ['signature-input', signatureInput],
      ['signature', signature],
    ] as const
    expect(await exchange(scene, { token: sentToken, proofLines })).toMatchObject({
      status: 401,
      body: { error: 'BadSpaceSignature' },
    })
    expect(await exchange(scene, { token: signedToken, proofLines })).toMatchObject({ status: 200 })
    expect(await exchange(scene, { token: sentToken })).toMatchObject({ status: 200 })
  })

  describe('a credential', () => {
    it.each(BINDINGS)('says what its generation wants and nothing of the person or the app (%s)', async (binding) => {
      const holder = makeKey('p256')
      const before = scene.world.clock.nowSec()
      const answer = await exchange(scene, { binding, holder })
      expect(answer.status).toBe(200)
      expect(Object.keys(answer.body)).toEqual(['credential'])
      const { header: head, claims: said } = readCredential(answer)
      expect(head).toEqual({ typ: 'atproto-space-credential+jwt', alg: 'ES256', kid: '#atproto_space' })
      expect(Object.keys(said).toSorted()).toEqual(['cnf', 'exp', 'iat', 'iss', 'jti', 'sub'])
      expect(said).toMatchObject({
        iss: scene.community,
        sub: scene.forum,
        cnf: binding === 'october' ? { kid: holder.didKey } : { jkt: thumbprintOf(holder) },
      })
      expect(said.exp - said.iat).toBe(600)
      expect(said.iat).toBeGreaterThanOrEqual(before)
      expect(said.jti).toMatch(/^[0-9a-f]{32}$/)
      expect(JSON.stringify(said)).not.toContain(scene.bob.did)

      const row = (await issuances(database)).find(({ jti }) => jti === said.jti)
      expect(row).toMatchObject({
        space: scene.forum,
        did: scene.bob.did,
        holder: binding === 'october' ? holder.didKey : thumbprintOf(holder),
        issued_at_sec: said.iat,
        expires_at_sec: said.exp,
      })
      const audit = (await auditRows(database, 'credential.issue')).filter(({ because }) => because['jti'] === said.jti)
      expect(audit).toMatchObject([{ actor: scene.bob.did, target: scene.forum }])
    })

    it('is signed only when its issuance and its audit row are kept', async () => {
      const { vault } = scene.world.reeve.house
      const seen: number[] = []
      const sign = vault.sign
      vault.sign = async (use) => {
        const rows = (await issuances(database)).filter(({ jti }) => jti === use.claims.jti)
        const audit = await auditRows(database, 'credential.issue')
        seen.push(rows.length, audit.filter(({ because }) => because['jti'] === use.claims.jti).length)
        return sign.call(vault, use)
      }
      try {
        expect(await exchange(scene)).toMatchObject({ status: 200 })
        expect(seen).toEqual([1, 1])
      } finally {
        Reflect.deleteProperty(vault, 'sign')
      }
    })

    it('that can’t be signed after all leaves a row and no second chance', async () => {
      const { vault } = scene.world.reeve.house
      const jti = freshJti()
      const issued = (await issuances(database)).length
      vault.sign = () => Promise.reject(new Error('the key broke'))
      try {
        expect(await exchange(scene, { jti })).toMatchObject({ status: 500, body: { error: 'InternalServerError' } })
      } finally {
        Reflect.deleteProperty(vault, 'sign')
      }
      expect(await exchange(scene, { jti })).toMatchObject({ status: 401, body: { error: 'JwtReplayed' } })
      expect(await issuances(database)).toHaveLength(issued + 1)
    })

    it.each(BINDINGS)('whose key can’t be opened is 503, and the token still good afterwards (%s)', async (binding) => {
      const { vault } = scene.world.reeve.house
      const jti = freshJti()
      const issued = (await issuances(database)).length
      const wrapped = await sql<{ wrapped: Uint8Array }>`select wrapped from dek where community = ${scene.community}`
        .execute(database.db)
        .then(({ rows }) => rows[0]?.wrapped ?? new Uint8Array())
      const keep = (bytes: Uint8Array) =>
        sql`update dek set wrapped = ${bytes} where community = ${scene.community}`.execute(database.db)
      vault.drop()
      await keep(wrapped.map((byte) => byte ^ 0x55))
      const failed = await exchange(scene, { binding, jti })
      await keep(wrapped)
      expect(failed).toMatchObject({ status: 503, body: { error: 'KekUnavailable' } })
      expect(await issuances(database)).toHaveLength(issued)
      expect(await exchange(scene, { binding, jti })).toMatchObject({ status: 200 })
    })
  })

  it.each(BINDINGS)('lets a stranger into a space that is open to everybody (%s)', async (binding) => {
    const readPolicy = { $type: 'com.atproto.simplespace.defs#publicPolicy' }
    const space = await scene.world.makeSpace(scene.alice, scene.community, { readPolicy })
    expect(await exchange(scene, { binding, space, person: scene.carol })).toMatchObject({ status: 200 })
  })

  describe('both proofs in one request', () => {
    const dpop = (scene: Scene, changes = {}) =>
      [
        'dpop',
        makeDpopProof({
          key: makeKey('p256'),
          method: 'POST',
          url: scene.world.url + EXCHANGE_PATH,
          nowSec: scene.world.clock.nowSec(),
          ...changes,
        }),
      ] as const

    it('are judged by the signature alone, and bound to its key', async () => {
      const holder = makeKey('p256')
      const spoilt = [dpop(scene, { payload: { htm: 'GET' } })]
      const answer = await exchange(scene, { holder, more: spoilt })
      expect(answer.status).toBe(200)
      expect(readCredential(answer).claims['cnf']).toEqual({ kid: holder.didKey })
    })

    it('leave the DPoP proof unspent, for nobody looked at it', async () => {
      const line = dpop(scene)
      expect(await exchange(scene, { more: [line] })).toMatchObject({ status: 200 })
      expect(await exchange(scene, { proofLines: [line] })).toMatchObject({ status: 200 })
    })

    it('are refused when the signature is bad, however good the DPoP proof is', async () => {
      const { signatureInput, signature } = makeSpaceSignature({ key: makeKey('p256'), authorization: 'Bearer other' })
      const lines = [['signature-input', signatureInput], ['signature', signature], dpop(scene)] as const
      expect(await exchange(scene, { proofLines: lines })).toMatchObject({
        status: 401,
        body: { error: 'BadSpaceSignature' },
      })
    })

    it('are refused when our label stands there in a broken header', async () => {
      const lines = [['signature-input', 'atproto-space=oops('], dpop(scene)] as const
      expect(await exchange(scene, { proofLines: lines })).toMatchObject({
        status: 401,
        body: { error: 'BadSpaceSignature' },
      })
    })
  })

  describe('tokens of other kinds', () => {
    it('are never taken for a delegation token (row 79), nor by our own methods for service auth', async () => {
      const { world, bob, forum } = scene
      const nowSec = world.clock.nowSec()
      const aud = `${spaceOf(forum).authority}#atproto_space_host`
      const service = makeServiceJwt({
        key: bob.key,
        iss: bob.did,
        aud,
        lxm: 'com.atproto.space.getSpaceCredential',
        nowSec,
      })
      const credential = String((await exchange(scene)).body.credential)
      const dpop = makeDpopProof({ key: makeKey('p256'), method: 'POST', url: world.url + EXCHANGE_PATH, nowSec })
      for (const token of [service, credential, dpop]) {
        expect(await exchange(scene, { token })).toMatchObject({ status: 401, body: { error: 'BadJwtType' } })
      }
      const delegation = makeDelegation({
        key: bob.key,
        iss: bob.did,
        space: spaceOf(forum),
        nowSec,
        payload: { aud: `${world.config.serviceDid}#reeve`, lxm: 'community.reeve.community.list' },
      })
      for (const token of [delegation, credential]) {
        const answer = await world.send({
          path: '/xrpc/community.reeve.community.list',
          headers: [['authorization', `Bearer ${token}`]],
        })
        expect(answer).toMatchObject({ status: 401, body: { error: 'BadJwtType' } })
      }
    })

    it('are never taken for a DPoP proof', async () => {
      const { world, bob, forum } = scene
      const token = makeDelegation({ key: bob.key, iss: bob.did, space: spaceOf(forum), nowSec: world.clock.nowSec() })
      expect(await exchange(scene, { token, proofLines: [['dpop', token]] })).toMatchObject({
        status: 401,
        body: { error: 'BadDpopProofSignature' },
      })
    })
  })
})

describeOnEachEngine('time at the exchange', (open) => {
  let scene: Scene

  beforeAll(async () => {
    scene = await openScene(await open())
    stopClock(scene.world.clock)
  })
  afterAll(() => scene.close())

  it.each([
    [4, 200, undefined],
    [5, 401, 'JwtExpired'],
    [6, 401, 'JwtExpired'],
  ])('takes or refuses a token %i s after its exp (%i)', async (sec, status, error) => {
    const nowSec = scene.world.clock.nowSec()
    const changes = { payload: { iat: nowSec - 60 - sec, exp: nowSec - sec } }
    const answer = await exchange(scene, { changes })
    expect([answer.status, answer.body.error]).toEqual([status, error])
  })

  it.each([
    [65, 200, undefined],
    [66, 401, 'DpopProofExpired'],
  ])('takes or refuses a proof %i s after its iat (%i)', async (sec, status, error) => {
    const answer = await exchange(scene, {
      binding: 'august',
      proof: { payload: { iat: scene.world.clock.nowSec() - sec } },
    })
    expect([answer.status, answer.body.error]).toEqual([status, error])
  })

  /** What the house does every minute: forgets what need not be remembered any more. */
  const sweep = () => forgetSpent(scene.world.reeve.house.db, scene.world.clock.nowSec(), 1000)

  it('remembers a proof for as long as it is taken, swept or not', async () => {
    const { clock, url } = scene.world
    const line = makeDpopProof({
      key: makeKey('p256'),
      method: 'POST',
      url: url + EXCHANGE_PATH,
      nowSec: clock.nowSec(),
    })
    const proofLines = [['dpop', line]] as const
    expect(await exchange(scene, { proofLines })).toMatchObject({ status: 200 })
    clock.moveSec(65)
    await sweep()
    expect(await exchange(scene, { proofLines })).toMatchObject({ body: { error: 'BadDpopProof' } })
    clock.moveSec(1)
    expect(await exchange(scene, { proofLines })).toMatchObject({ body: { error: 'DpopProofExpired' } })
  })

  it('remembers a use for longer than the token is taken: at exp − 1, again at exp + 3 (row 67)', async () => {
    const { clock } = scene.world
    const changes = { payload: { iat: clock.nowSec() - 59, exp: clock.nowSec() + 1 } }
    const token = makeDelegation({
      key: scene.bob.key,
      iss: scene.bob.did,
      space: spaceOf(scene.forum),
      nowSec: clock.nowSec(),
      ...changes,
    })
    expect(await exchange(scene, { token })).toMatchObject({ status: 200 })
    clock.moveSec(4)
    await sweep()
    expect(await exchange(scene, { token })).toMatchObject({ status: 401, body: { error: 'JwtReplayed' } })
    clock.moveSec(2)
    expect(await exchange(scene, { token })).toMatchObject({ status: 401, body: { error: 'JwtExpired' } })
  })

  it.each(BINDINGS)(
    'takes no token whose use was forgotten before the clock was set back (%s; row 315)',
    async (binding) => {
      const { clock } = scene.world
      const { db } = scene.world.reeve.house
      const livingLong = () =>
        makeDelegation({
          ...{ key: scene.bob.key, iss: scene.bob.did, space: spaceOf(scene.forum), nowSec: clock.nowSec() },
          payload: { iat: clock.nowSec(), exp: clock.nowSec() + 300 },
        })
      const token = livingLong()
      expect(await exchange(scene, { binding, token })).toMatchObject({ status: 200 })
      clock.moveSec(400)
      await raiseFloor(db, clock.nowSec())
      await sweep()
      clock.moveSec(-110)
      expect(await exchange(scene, { binding, token })).toMatchObject({ status: 401, body: { error: 'JwtReplayed' } })
      expect(await exchange(scene, { binding, token: livingLong() })).toMatchObject({ status: 200 })
      clock.moveSec(110)
    },
  )
})

describeOnEachEngine('the user’s key', (open) => {
  let scene: Scene

  beforeAll(async () => {
    scene = await openScene(await open(), { REEVE_ALLOW_LOOPBACK: '1' })
  })
  afterEach(() => scene.plc.misbehave(null))
  afterAll(() => scene.close())

  /** Somebody new, let in, whose document nobody here has seen. */
  async function member() {
    const person = await makeSomebody(scene.plc.honestUrl)
    const put = await scene.alice.call('community.reeve.member.put', {
      space: scene.forum,
      did: person.did,
      role: 'member',
    })
    expect(put.status).toBe(200)
    scene.plc.forget()
    return person
  }
  const fetches = (did: Did) => scene.plc.count('document', did)

  it('is fetched once and then known', async () => {
    const person = await member()
    for (let i = 0; i < 5; i++) expect(await exchange(scene, { person })).toMatchObject({ status: 200 })
    expect(fetches(person.did)).toBe(1)
  })

  it('is fetched once by fifty who ask at the same time', async () => {
    const person = await member()
    const answers = await Promise.all(Array.from({ length: 50 }, () => exchange(scene, { person })))
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200))
    expect(fetches(person.did)).toBe(1)
  })

  it.each(['k256', 'p256'] as const)('is taken after a change to another %s key, by one more fetch', async (curve) => {
    const person = await member()
    expect(await exchange(scene, { person })).toMatchObject({ status: 200 })
    const key = makeKey(curve)
    await changeKey(scene.plc.honestUrl, person, key)
    scene.plc.forget()
    expect(await exchange(scene, { person: { did: person.did, key } })).toMatchObject({ status: 200 })
    expect(fetches(person.did)).toBe(1)
    // The one it was changed from is over, and asking again for its sake has to wait.
    const jti = freshJti()
    expect(await exchange(scene, { person, jti })).toMatchObject({ status: 401, body: { error: 'BadJwtSignature' } })
    expect(fetches(person.did)).toBe(1)
    expect(await exchange(scene, { person: { did: person.did, key }, jti })).toMatchObject({ status: 200 })
  })

  it('is asked for afresh once, however many forged tokens come', async () => {
    const person = await member()
    const forger = { did: person.did, key: makeKey('k256') }
    const forge = () => exchange(scene, { person: forger })
    const answers = await Promise.all(Array.from({ length: 200 }, forge))
    expect(new Set(answers.map(({ body }) => body.error))).toEqual(new Set(['BadJwtSignature']))
    expect(fetches(person.did)).toBeLessThanOrEqual(2)
    expect(await exchange(scene, { person })).toMatchObject({ status: 200 })
    scene.plc.forget()
    scene.world.clock.moveSec(31)
    await Promise.all(Array.from({ length: 50 }, forge))
    expect(fetches(person.did)).toBe(1)
  })

  it('of a DID that was ended, or never was, is BadJwtIss', async () => {
    const person = await member()
    await endDid(scene.plc.honestUrl, person)
    expect(await exchange(scene, { person })).toMatchObject({ status: 401, body: { error: 'BadJwtIss' } })
    scene.plc.misbehave(({ kind }) => (kind === 'document' ? { status: 410, body: '{"message":"gone"}' } : undefined))
    const other = await makeSomebody(scene.plc.honestUrl)
    expect(await exchange(scene, { person: other })).toMatchObject({ status: 401, body: { error: 'BadJwtIss' } })
  })

  it('in a document of somebody else is BadJwtIss (row 286)', async () => {
    const person = await member()
    scene.plc.misbehave(({ kind }) =>
      kind === 'document'
        ? {
            status: 200,
            body: JSON.stringify({
              id: scene.bob.did,
              verificationMethod: [
                {
                  id: '#atproto',
                  type: 'Multikey',
                  controller: scene.bob.did,
                  publicKeyMultibase: person.key.didKey.slice('did:key:'.length),
                },
              ],
            }),
          }
        : undefined,
    )
    expect(await exchange(scene, { person })).toMatchObject({ status: 401, body: { error: 'BadJwtIss' } })
    scene.plc.misbehave(null)
  })

  describe.each(BINDINGS)('while the directory is away (%s)', (binding) => {
    it('and says 500 or cuts the line: 502, the token unspent', async () => {
      for (const fault of [{ status: 500, body: '{}' }, 'cut'] as const) {
        const person = await member()
        const jti = freshJti()
        scene.plc.misbehave(() => fault)
        expect(await exchange(scene, { person, jti, binding })).toMatchObject({
          status: 502,
          body: { error: 'UpstreamFailure' },
        })
        scene.plc.misbehave(null)
        scene.world.clock.moveSec(6)
        expect(await exchange(scene, { person, jti, binding })).toMatchObject({ status: 200 })
      }
    })

    it('and says nothing: 504, the token unspent; those whose key is known go on', async () => {
      expect(await exchange(scene, { binding })).toMatchObject({ status: 200 })
      const person = await member()
      const jti = freshJti()
      const stall = stallAt(() => true)
      scene.plc.misbehave(stall.how)
      expect(await exchange(scene, { person, jti, binding })).toMatchObject({
        status: 504,
        body: { error: 'UpstreamTimeout' },
      })
      expect(await exchange(scene, { binding })).toMatchObject({ status: 200 })
      stall.letGo()
      scene.plc.misbehave(null)
      scene.world.clock.moveSec(6)
      expect(await exchange(scene, { person, jti, binding })).toMatchObject({ status: 200 })
    })
  })

  it('is believed for fifteen minutes at the most when the directory is away', async () => {
    const person = await member()
    expect(await exchange(scene, { person })).toMatchObject({ status: 200 })
    scene.plc.misbehave(() => 'cut')
    scene.world.clock.moveSec(14 * 60)
    expect(await exchange(scene, { person })).toMatchObject({ status: 200 })
    scene.world.clock.moveSec(2 * 60)
    expect(await exchange(scene, { person })).toMatchObject({ status: 502 })
    scene.plc.misbehave(null)
  })
})

/** A web server whose `did:web` is on loopback, with the given key in its document. */
async function startWebDid(key: { didKey: string }) {
  let asked = 0
  const server = createServer((_incoming, outgoing) => {
    asked += 1
    outgoing.setHeader('content-type', 'application/json')
    outgoing.end(
      JSON.stringify({
        id: did,
        verificationMethod: [
          {
            id: '#atproto',
            type: 'Multikey',
            controller: did,
            publicKeyMultibase: key.didKey.slice('did:key:'.length),
          },
        ],
      }),
    )
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const did = `did:web:localhost%3A${(server.address() as AddressInfo).port}` as Did
  return {
    did,
    asked: () => asked,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

describeOnEachEngine('a person under did:web', (open) => {
  it('on loopback is somebody in development', async () => {
    const scene = await openScene(await open())
    const key = makeKey('p256')
    const web = await startWebDid(key)
    try {
      const put = { space: scene.forum, did: web.did, role: 'member' }
      expect((await scene.alice.call('community.reeve.member.put', put)).status).toBe(200)
      for (const binding of BINDINGS) {
        expect(await exchange(scene, { binding, person: { did: web.did, key } })).toMatchObject({ status: 200 })
      }
      expect(web.asked()).toBe(1)
    } finally {
      await web.close()
      await scene.close()
    }
  })

  it('on loopback is nobody elsewhere, and is not asked for anything', async () => {
    const scene = await openScene(await open(), { REEVE_ALLOW_LOOPBACK: '0' })
    const key = makeKey('p256')
    const web = await startWebDid(key)
    try {
      for (const binding of BINDINGS) {
        expect(await exchange(scene, { binding, person: { did: web.did, key } })).toMatchObject({
          status: 401,
          body: { error: 'BadJwtIss' },
        })
      }
      expect(web.asked()).toBe(0)
    } finally {
      await web.close()
      await scene.close()
    }
  })
})
