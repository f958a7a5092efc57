import { createPublicKey, verify } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { startPds, type TestPds } from '../kit/pds.ts'
import { makeKey, thumbprintOf } from '../kit/tokens.ts'
import { exchangeRequest, memberHeld, openWorld, type Person, type World } from '../kit/world.ts'

describeOnEachEngine('the first credential', (open) => {
  let world: World
  let alice: Person
  let bob: Person
  let carol: Person

  beforeAll(async () => {
    world = await openWorld({ database: await open() })
    alice = await world.person()
    bob = await world.person()
    carol = await world.person()
  })
  afterAll(() => world.close())

  it('founds a community, lets an app in for a member in both generations, and shuts the door behind them', async () => {
    const recovery = makeKey('p256')
    const community: Did = await world.found(alice, { custody: memberHeld(world, alice, recovery) })
    const log = (await (await fetch(`${world.plcUrl}/${community}/log`)).json()) as { rotationKeys: string[] }[]
    expect(log).toHaveLength(1)
    expect(log[0]?.rotationKeys[0]).toBe(recovery.didKey)
    expect(log[0]?.rotationKeys).toHaveLength(2)

    const forum = await world.makeSpace(alice, community, { skey: 'main', name: 'Allotments' })
    const put = await alice.call('community.reeve.member.put', { space: forum, did: bob.did, role: 'member' })
    expect(put).toMatchObject({ status: 200, body: { revision: 3 } })

    const refused = await carol.exchange(forum)
    expect(refused).toMatchObject({ status: 400, body: { error: 'UserNotAuthorized' } })

    for (const binding of ['october', 'august'] as const) {
      const holder = makeKey('p256')
      const answer = await world.send(exchangeRequest(world, { ...bob, space: forum, binding, holder }))
      expect(answer.status).toBe(200)
      const [header = '', payload = '', signature = ''] = answer.body.credential.split('.')
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
      expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
        typ: 'atproto-space-credential+jwt',
        alg: 'ES256',
        kid: '#atproto_space',
      })
      const cnf = binding === 'october' ? { kid: holder.didKey } : { jkt: thumbprintOf(holder) }
      expect(claims).toMatchObject({ iss: community, sub: forum, cnf })
      expect(claims.exp - claims.iat).toBe(600)
      const document = (await (await fetch(`${world.plcUrl}/${community}`)).json()) as {
        verificationMethod: { id: string; publicKeyMultibase: string }[]
      }
      const key = document.verificationMethod.find((method) => method.id.endsWith('#atproto_space'))
      const { base58btc } = await import('multiformats/bases/base58')
      const point = Buffer.from(base58btc.decode(key?.publicKeyMultibase ?? ''))
      expect(point).toHaveLength(65)
      const jwk = {
        kty: 'EC',
        crv: 'P-256',
        x: point.subarray(1, 33).toString('base64url'),
        y: point.subarray(33).toString('base64url'),
      }
      const publicKey = createPublicKey({ key: jwk, format: 'jwk' })
      const signed = Buffer.from(`${header}.${payload}`)
      const isGood = verify(
        'sha256',
        signed,
        { key: publicKey, dsaEncoding: 'ieee-p1363' },
        Buffer.from(signature, 'base64url'),
      )
      expect(isGood).toBe(true)
    }

    const checked = await bob.ask('community.reeve.member.check', { space: forum, did: bob.did, action: 'read' })
    expect(checked.body).toMatchObject({
      allowed: true,
      because: [{ rule: 'openToApps' }, { rule: 'edge', role: 'member' }],
    })
    await alice.call('community.reeve.member.remove', { space: forum, did: bob.did })
    expect(await bob.exchange(forum)).toMatchObject({ status: 400, body: { error: 'UserNotAuthorized' } })
  })
})

describeOnEachEngine('accounts of a real PDS', (open) => {
  let world: World
  let pds: TestPds

  beforeAll(async () => {
    world = await openWorld({ database: await open() })
    pds = await startPds(world.plcUrl)
  })
  afterAll(async () => {
    await pds.close()
    await world.close()
  })

  it('found a community by the service auth of their PDS, handed over or forwarded', async () => {
    const alice = await pds.createAccount('alice')
    const method = 'community.reeve.community.mint'
    const input = { name: 'Gardeners', custody: { $type: 'community.reeve.community.mint#custodial' } }
    const token = await alice.serviceAuth(`${world.config.serviceDid}#reeve`, method)
    const founded = await world.send({
      method: 'POST',
      path: `/xrpc/${method}`,
      headers: [
        ['authorization', `Bearer ${token}`],
        ['content-type', 'application/json'],
      ],
      body: JSON.stringify(input),
    })
    expect(founded).toMatchObject({ status: 200, body: { status: 'active', revision: 1 } })

    const forwarded = await alice.proxied(`${world.config.serviceDid}#reeve`, method, input)
    expect(forwarded.status).toBe(200)
    expect(await forwarded.json()).toMatchObject({ status: 'active' })
  })
})
