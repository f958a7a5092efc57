/** The played repo host judges credentials as the reference was seen and read to, and looks at the directory again when that did. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openCredentialHolder } from '../kit/credential-holder.ts'
import { type FakePlc, json, startFakePlc } from '../kit/fake-plc.ts'
import { type PlayedAuthority, playAuthority } from '../kit/played-authority.ts'
import type { CACHE_RULES } from '../kit/played-documents.ts'
import { type PlayedRepoHost, playRepoHost } from '../kit/played-repo-host.ts'
import { type Held, jtiOf } from '../kit/presentation.ts'
import { makeKey, twinOf } from '../kit/tokens.ts'
import type { Binding } from '../kit/world.ts'

const MINUTE_MS = 60_000
/** Between two turns of somebody who reads on and on. */
const STEP_SEC = 60
const HOUR_MS = 60 * MINUTE_MS
const GENERATIONS = ['october', 'august'] as const
const SOMEBODY = `did:plc:${'s'.repeat(24)}`

let plc: FakePlc
let authority: PlayedAuthority
const clock = { ms: 1_900_000_000_000, nowMs: () => clock.ms, nowSec: () => Math.floor(clock.ms / 1000) }

beforeAll(async () => {
  plc = await startFakePlc()
})
afterAll(() => plc.close())
beforeEach(async () => {
  plc.misbehave(null)
  authority = await playAuthority({ plcUrl: plc.url, clock })
})

const hostOf = (generation: Binding, cache: keyof typeof CACHE_RULES = 'reference') =>
  playRepoHost({ plcUrl: plc.url, clock, generation, cache })

/** The same credential with its signature in the other of its two spellings. */
function withHighS({ credential, ...held }: Held): Held {
  const at = credential.lastIndexOf('.')
  const twin = twinOf('p256', Buffer.from(credential.slice(at + 1), 'base64url'))
  return { ...held, credential: `${credential.slice(0, at)}.${Buffer.from(twin).toString('base64url')}` }
}

describe.each(GENERATIONS)('a host of %s', (binding) => {
  let host: PlayedRepoHost
  const mint = (more: object = {}) => authority.mint({ binding, ...more })
  beforeEach(() => {
    host = hostOf(binding)
  })

  it('serves by a credential of either key, under its name with or without the mark', async () => {
    for (const name of ['atproto', 'atproto_space'] as const) {
      expect(await host.read(mint({ name }))).toBe('200')
      expect(await host.read(mint({ name, header: { kid: name } }))).toBe('200')
    }
    expect(host.documents.asked).toBe(1)
  })

  it('serves by a key on secp256k1 as well', async () => {
    authority = await playAuthority({ plcUrl: plc.url, clock, keys: { atproto_space: makeKey('k256') } })
    expect(await host.read(mint())).toBe('200')
  })

  it('takes an extra claim, and an audience that nobody asked for', async () => {
    expect(await host.read(mint({ payload: { aud: 'did:web:elsewhere.example', more: 1 } }))).toBe('200')
  })

  it.each<[string, object, string]>([
    ['without a kid', { header: { kid: undefined } }, '401 BadJwt'],
    ['whose kid is another name', { header: { kid: '#atproto_label' } }, '401 BadJwt'],
    ['whose kid is a whole DID URL', { header: { kid: 'did:plc:a#atproto_space' } }, '401 BadJwt'],
    ['without an alg', { header: { alg: '' } }, '401 BadJwt'],
    ['whose alg is not the key’s', { header: { alg: 'ES256K' } }, '401 BadJwtSignature'],
    ['by a key that is not the one of that name', { name: 'atproto', header: { kid: '#atproto_space' } }, '401 BadJwtSignature'], // biome-ignore format: one row
    ['without an end', { payload: { exp: undefined } }, '401 BadJwt'],
    ['that isn’t bound to anybody', { payload: { cnf: undefined } }, '401 BadJwtCnf'],
    ['whose sub is no space', { payload: { sub: 'at://nobody' } }, '401 BadJwtSub'],
    ['by an issuer that is another account', { payload: { sub: `at://${SOMEBODY}/space/com.atmoboards.forum/main` } }, '401 BadJwtIss'], // biome-ignore format: one row
    ['whose issuer has a fragment', { payload: { iss: `${SOMEBODY}#atproto` } }, '401 BadJwtIss'],
    ['by an issuer that doesn’t exist', { payload: { iss: SOMEBODY } }, '401 BadJwtIss'],
  ])('refuses one %s', async (_, change, verdict) => {
    expect(await host.read(mint(change))).toBe(verdict)
  })

  it('says so when the directory can’t be asked', async () => {
    plc.misbehave((ask) => (ask.kind === 'document' ? json(500) : undefined))
    expect(await host.read(mint())).toBe('401 BadJwt')
  })

  it('refuses a signature with a high S, and one whose text was changed', async () => {
    const held = mint()
    expect(await host.read(withHighS(held))).toBe('401 BadJwtSignature')
    const [header = '', , signature = ''] = held.credential.split('.')
    const payload = mint().credential.split('.')[1]
    expect(await host.read({ ...held, credential: `${header}.${payload}.${signature}` })).toBe('401 BadJwtSignature')
    expect(await host.read({ ...held, credential: 'a.b' })).toBe('401 BadJwt')
  })

  it('goes by the end with five seconds’ grace', async () => {
    const held = mint()
    clock.ms += 604_000
    expect(await host.read(held)).toBe('200')
    clock.ms += 1_000
    expect(await host.read(held)).toBe('401 JwtExpired')
  })

  it('refuses another space than the credential’s, and a repo that is elsewhere', async () => {
    const other = `at://${authority.did}/space/com.atmoboards.forum/other`
    expect(await host.read(mint(), { space: other })).toBe('400 InvalidCredential')
    expect(await host.read(mint(), { repo: SOMEBODY })).toBe('400 RepoNotFound')
  })

  it('refuses whoever doesn’t prove that it is theirs', async () => {
    const thief = makeKey('p256')
    const isAugust = binding === 'august'
    expect(await host.read(mint(), { prover: thief })).toBe(isAugust ? '401 DpopKeyMismatch' : '401 BadSpaceSignature')
    expect(await host.read(mint(), { proofLines: [] })).toBe(
      isAugust ? '401 MissingDpopProof' : '401 BadSpaceSignature',
    )
    expect(await host.read(mint(), { authorization: [] })).toBe(isAugust ? '401 AuthMissing' : '401 MissingJwt')
  })

  describe('when the document changes', () => {
    it('takes a new key of the same curve at once, and then the old one no more', async () => {
      const old = mint()
      expect(await host.read(old)).toBe('200')
      await authority.swap({ ...authority.keys(), atproto_space: makeKey('p256') })
      expect(await host.read(old)).toBe('200')
      expect(host.documents.asked).toBe(1)
      expect(await host.read(mint())).toBe('200')
      expect(host.documents.asked).toBe(2)
      expect(await host.read(old)).toBe('401 BadJwtSignature')
    })

    it('takes no key of another curve, and goes on by the old one: it doesn’t look again', async () => {
      const old = mint()
      expect(await host.read(old)).toBe('200')
      await authority.swap({ ...authority.keys(), atproto_space: makeKey('k256') })
      expect(await host.read(old)).toBe('200')
      expect(await host.read(mint())).toBe('401 BadJwtSignature')
      expect(await host.read(old)).toBe('200')
      expect(host.documents.asked).toBe(1)
    })

    it('finds no key that is new there, and doesn’t look again for it', async () => {
      authority = await playAuthority({ plcUrl: plc.url, clock, keys: { atproto: makeKey('p256') } })
      expect(await host.read(mint({ name: 'atproto' }))).toBe('200')
      await authority.swap({ ...authority.keys(), atproto_space: makeKey('p256') })
      expect(await host.read(mint())).toBe('401 BadJwtIss')
      expect(host.documents.asked).toBe(1)
      clock.ms += HOUR_MS + 1
      expect(await host.read(mint())).toBe('401 BadJwtIss')
      await host.documents.settled()
      expect(await host.read(mint())).toBe('200')
    })

    it('doesn’t try a signature twice by a key that is still the same', async () => {
      expect(await host.read(mint({ key: makeKey('p256') }))).toBe('401 BadJwtSignature')
      expect(host.documents.asked).toBe(2)
    })

    it('serves the old document for an hour, once more while it looks again, and then the new one', async () => {
      const { atproto_space: key } = authority.keys()
      const old = () => mint({ ...(key ? { key } : {}) })
      expect(await host.read(old())).toBe('200')
      await authority.swap({ atproto: makeKey('p256') })
      clock.ms += HOUR_MS
      expect(await host.read(old())).toBe('200')
      expect(host.documents.asked).toBe(1)
      clock.ms += 1
      expect(await host.read(old())).toBe('200')
      await host.documents.settled()
      expect(host.documents.asked).toBe(2)
      expect(await host.read(old())).toBe('401 BadJwtIss')
    })

    it('serves a document that nobody asked for meanwhile for up to a day, and no longer', async () => {
      const { atproto_space: key } = authority.keys()
      const old = () => mint({ ...(key ? { key } : {}) })
      const other = hostOf(binding)
      for (const one of [host, other]) expect(await one.read(old())).toBe('200')
      await authority.swap({ atproto: makeKey('p256') })
      clock.ms += 24 * HOUR_MS
      expect(await host.read(old())).toBe('200')
      clock.ms += 1
      expect(await other.read(old())).toBe('401 BadJwtIss')
    })

    it('goes on by what it has while the directory is away, for a day', async () => {
      expect(await host.read(mint())).toBe('200')
      plc.misbehave((ask) => (ask.kind === 'document' ? 'cut' : undefined))
      clock.ms += 23 * HOUR_MS
      expect(await host.read(mint())).toBe('200')
      await host.documents.settled()
      expect(await host.read(mint())).toBe('200')
      await host.documents.settled()
      clock.ms += HOUR_MS + 1
      expect(await host.read(mint())).toBe('401 BadJwt')
    })
  })

  describe('that keeps documents modestly', () => {
    beforeEach(() => {
      host = hostOf(binding, 'modest')
    })

    it('looks again after five minutes, before it answers', async () => {
      const old = mint()
      expect(await host.read(old)).toBe('200')
      await authority.swap({ atproto: makeKey('p256') })
      clock.ms += 5 * MINUTE_MS
      expect(await host.read(old)).toBe('200')
      clock.ms += 1
      expect(await host.read(old)).toBe('401 BadJwtIss')
    })

    it('refuses a new key for half a minute, when it has just looked', async () => {
      expect(await host.read(mint())).toBe('200')
      await authority.swap({ ...authority.keys(), atproto_space: makeKey('p256') })
      clock.ms += 29_999
      expect(await host.read(mint())).toBe('401 BadJwtSignature')
      expect(host.documents.asked).toBe(1)
      clock.ms += 1
      expect(await host.read(mint())).toBe('200')
    })
  })
})

describe('a host of August', () => {
  const host = () => hostOf('august')
  const mint = (more: object = {}) => authority.mint({ binding: 'august', ...more })

  it('looks at no lifetime, no beginning and no jti', async () => {
    const far = { iat: clock.nowSec() + 3_600, exp: clock.nowSec() + 315_360_000 }
    expect(await host().read(mint({ payload: far }))).toBe('200')
    expect(await host().read(mint({ payload: { iat: undefined, jti: undefined } }))).toBe('200')
  })

  it('takes what is no credential for a token of its own, and wants a nonce', async () => {
    expect(await host().read(mint({ header: { typ: 'JWT' } }))).toBe('401 use_dpop_nonce')
    expect(await host().read(mint(), { scheme: 'Bearer' })).toBe('400 InvalidToken')
  })

  it.each<[string, (nowSec: number) => object, string]>([
    ['64 s old', (nowSec) => ({ payload: { iat: nowSec - 64 } }), '200'],
    ['70 s old', (nowSec) => ({ payload: { iat: nowSec - 70 } }), '401 DpopProofExpired'],
    ['4 s ahead', (nowSec) => ({ payload: { iat: nowSec + 4 } }), '200'],
    ['30 s ahead', (nowSec) => ({ payload: { iat: nowSec + 30 } }), '401 BadDpopProofSignature'],
    ['for another address', () => ({ url: 'https://elsewhere.example.com/xrpc/com.atproto.space.listRecords' }), '401 BadDpopProof'], // biome-ignore format: one row
    ['with a query in its address', () => ({ url: 'https://pds.example.com/xrpc/com.atproto.space.listRecords?a=b' }), '401 BadDpopProof'], // biome-ignore format: one row
    ['for another method', () => ({ method: 'POST' }), '401 BadDpopProof'],
    ['without the credential’s hash', () => ({ payload: { ath: undefined } }), '401 BadDpopProof'],
    ['that is of another type', () => ({ header: { typ: 'JWT' } }), '401 BadDpopProofSignature'],
  ])('judges a proof %s', async (_, change, verdict) => {
    expect(await host().read(mint(), { proof: change(clock.nowSec()) })).toBe(verdict)
  })

  it('takes a proof once, and the credential again with another', async () => {
    const one = host()
    const held = mint()
    expect(await one.read(held, { proof: { jti: 'the-same-one' } })).toBe('200')
    expect(await one.read(held, { proof: { jti: 'the-same-one' } })).toBe('401 BadDpopProof')
    expect(await one.read(held)).toBe('200')
  })

  it('has never heard of taking back', async () => {
    const one = host()
    const held = mint()
    one.revoke(held.space, jtiOf(held))
    expect(await one.read(held)).toBe('200')
  })
})

describe('a host of October', () => {
  const host = () => hostOf('october')
  const mint = (more: object = {}) => authority.mint({ binding: 'october', ...more })

  it.each<[string, () => object, string]>([
    ['lives for an hour', () => ({ exp: clock.nowSec() + 3_600 }), '200'],
    ['lives a second longer', () => ({ exp: clock.nowSec() + 3_601 }), '401 BadJwt'],
    ['has no beginning', () => ({ iat: undefined }), '401 BadJwt'],
    ['has no jti', () => ({ jti: undefined }), '401 BadJwt'],
    ['begins in five seconds', () => ({ iat: clock.nowSec() + 5 }), '200'],
    ['begins in six', () => ({ iat: clock.nowSec() + 6 }), '401 BadJwt'],
    ['ends before it begins', () => ({ exp: clock.nowSec() }), '401 BadJwt'],
    ['is bound as in August', () => ({ cnf: { jkt: 'A'.repeat(43) } }), '401 BadJwtCnf'],
  ])('judges one that %s', async (_, payload, verdict) => {
    expect(await host().read(mint({ payload: payload() }))).toBe(verdict)
  })

  it('takes no other scheme, nor type of token', async () => {
    expect(await host().read(mint(), { scheme: 'DPoP' })).toBe('401 MissingJwt')
    expect(await host().read(mint(), { scheme: 'atproto-space' })).toBe('200')
    expect(await host().read(mint({ header: { typ: 'JWT' } }))).toBe('401 BadJwtType')
  })

  it('wants the repo for audience, and says that before it says that the space is another', async () => {
    const one = host()
    one.accounts.add(SOMEBODY)
    expect(await one.read(mint(), { audience: SOMEBODY })).toBe('401 BadSpaceAudience')
    expect(await one.read(mint(), { audience: SOMEBODY, repo: SOMEBODY })).toBe('200')
    const other = `at://${authority.did}/space/com.atmoboards.forum/other`
    expect(await one.read(mint(), { audience: SOMEBODY, space: other })).toBe('401 BadSpaceAudience')
    expect(await one.read(mint(), { audience: `${SOMEBODY}#atproto_pds` })).toBe('401 BadSpaceSignature')
  })

  it.each<[string, string | undefined, string]>([
    ['no parameters', '', '200'],
    ['its algorithm', ';alg="ecdsa-p256-sha256"', '200'],
    ['another algorithm', ';alg="hmac-sha256"', '401 BadSpaceSignature'],
    ['times and a nonce', ';created=1;expires=2;nonce="n"', '200'],
    ['the key of somebody else', ';keyid="did:key:zDnSomebody"', '401 BadSpaceSignature'],
  ])('judges a signature with %s', async (_, params, verdict) => {
    expect(await host().read(mint(), params === undefined ? {} : { params })).toBe(verdict)
  })

  it('takes a signature as often as it comes, and not over lines that were changed', async () => {
    const one = host()
    const held = mint()
    for (let time = 0; time < 2; time++) expect(await one.read(held)).toBe('200')
    expect(await one.read(held, { more: [['atproto-space-audience', SOMEBODY]] })).toBe('401 BadSpaceSignature')
    expect(await one.read(held, { more: [['authorization', 'Bearer x']] })).toBe('401 BadSpaceSignature')
    expect(await one.read(held, { more: [['signature', 'other=:AAAA:']] })).toBe('200')
  })

  it('refuses what was taken back, in that space', async () => {
    const one = host()
    const held = mint()
    expect(await one.read(held)).toBe('200')
    one.revoke('at://did:plc:elsewhere/space/a.b.c/d', jtiOf(held))
    expect(await one.read(held)).toBe('200')
    one.revoke(held.space, jtiOf(held))
    expect(await one.read(held)).toBe('401 CredentialRevoked')
  })
})

/** Hosts of every kind, and somebody who reads at all of them by credentials of a played authority. */
function stageOf(sign: () => { name?: 'atproto' }) {
  const hosts = GENERATIONS.flatMap((generation) => [hostOf(generation), hostOf(generation, 'modest')])
  const mint = (binding: Binding) => authority.mint({ binding, ...sign() })
  const holder = openCredentialHolder({ clock, hosts, everySec: 120, mint })
  const forSec = async (seconds: number) => {
    for (let passed = 0; passed < seconds; passed += STEP_SEC) {
      await holder.turn()
      clock.ms += STEP_SEC * 1000
    }
  }
  return { hosts, holder, forSec }
}

describe('somebody who reads on and on while the space key is replaced', () => {
  const WAIT_SEC = 300 + 600 + 10

  it('is never refused when the other key signs around the swap', async () => {
    let isAside = false
    const { holder, forSec } = stageOf(() => (isAside ? { name: 'atproto' } : {}))
    await forSec(600)
    isAside = true
    await forSec(WAIT_SEC)
    await authority.swap({ ...authority.keys(), atproto_space: makeKey('p256') })
    await forSec(WAIT_SEC)
    isAside = false
    await forSec(900)
    expect(holder.refused).toEqual([])
    for (const kid of ['#atproto', '#atproto_space']) expect(holder.shown().get(kid)).toBeGreaterThan(100)
    expect(holder.living().length).toBe(10)
  })

  it('is refused when nothing is done but the swap, so that this would be seen', async () => {
    const { holder, forSec } = stageOf(() => ({}))
    await forSec(600)
    await authority.swap({ ...authority.keys(), atproto_space: makeKey('p256') })
    await forSec(600)
    expect(new Set(holder.refused.map(({ verdict }) => verdict))).toEqual(new Set(['401 BadJwtSignature']))
    expect(new Set(holder.refused.map(({ host }) => host)).size).toBe(4)
  })

  it('is refused when the other key signs too short a time before the swap', async () => {
    let isAside = false
    const { holder, forSec } = stageOf(() => (isAside ? { name: 'atproto' } : {}))
    await forSec(600)
    isAside = true
    await forSec(120)
    await authority.swap({ ...authority.keys(), atproto_space: makeKey('p256') })
    await forSec(600)
    expect(holder.refused.length).toBeGreaterThan(0)
    expect(holder.refused.every(({ kid, ageSec }) => kid === '#atproto_space' && ageSec >= 120)).toBe(true)
  })
})
