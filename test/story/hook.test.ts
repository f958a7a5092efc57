/**
 * A community that stays on its PDS: accounts of a real one, which forwards their calls and signs their tokens. The published server has no
 * spaces yet, so its questions are sent for it, as the reference was seen to send them, with the tokens that it really made for them.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { rosterOf } from '../../src/names.ts'
import { CHECK_USER_ACCESS, letsIn } from '../kit/asking-host.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { type Account, startPds, type TestPds } from '../kit/pds.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, openWorld, type World } from '../kit/world.ts'

const R = 'community.reeve'
const FORUM = 'com.atmoboards.forum'

describeOnEachEngine('a community that stays on its PDS', (open) => {
  let world: World
  let pds: TestPds
  let allotments: Account
  let orchard: Account
  let alice: Account
  let bob: Account
  let carol: Account

  beforeAll(async () => {
    world = await openWorld({ database: await open() })
    pds = await startPds(world.plcUrl)
    allotments = await pds.createAccount('allotments')
    orchard = await pds.createAccount('orchard')
    alice = await pds.createAccount('alice')
    bob = await pds.createAccount('bob')
    carol = await pds.createAccount('carol')
  })
  afterAll(async () => {
    await pds.close()
    await world.close()
  })

  const managingApp = () => `${world.config.serviceDid}#reeve`
  /** What an app of theirs sends through their PDS. */
  const call = async (who: Account, method: string, input: object, expected = 200) => {
    const answer = await who.proxied(managingApp(), `${R}.${method}`, input)
    // biome-ignore lint/suspicious/noExplicitAny: the story looks into answers freely, and fails when something isn't there
    const body = (await answer.json()) as any
    expect([method, answer.status, JSON.stringify(body)]).toEqual([method, expected, expect.any(String)])
    return body
  }
  /** The PDS asks in the name of an account, by a token that it made for that. */
  const ask = async (by: Account, params: Readonly<Record<string, string>>, aud = managingApp()): Promise<Answer> => {
    const token = await by.serviceAuth(aud, CHECK_USER_ACCESS)
    return world.send({
      path: `/xrpc/${CHECK_USER_ACCESS}?${new URLSearchParams(params)}`,
      headers: [
        ['authorization', `Bearer ${token}`],
        ['accept', 'application/json'],
      ],
    })
  }

  it('is adopted by its account, governed by somebody else, and decided about question by question', async () => {
    const described = (await world.send({ path: `/xrpc/${R}.service.describe` })).body
    expect(described.managingApp).toBe(managingApp())

    const adopted = await call(allotments, 'community.adopt', { name: 'Allotments', owner: alice.did })
    expect(adopted).toMatchObject({ did: allotments.did, status: 'active', managingApp: described.managingApp })
    const community = allotments.did
    const forum = `at://${community}/space/${FORUM}/plots`
    expect((await ask(allotments, { space: forum, user: bob.did })).body, 'nothing is bound').toEqual({
      authorized: false,
    })

    const bind = { community, spaceType: FORUM, skey: 'plots', name: 'Plots', host: 'pds' }
    await call(allotments, 'space.create', bind, 404)
    await call(bob, 'space.create', bind, 404)
    const bound = await call(alice, 'space.create', bind)
    expect(bound).toMatchObject({
      uri: forum,
      host: { at: 'pds', managingApp: adopted.managingApp, speaks: 'unknown' },
    })
    await call(alice, 'member.put', { space: forum, did: bob.did, role: 'member' })

    const verdicts = async (user: string) => {
      const said: boolean[] = []
      const asks: Readonly<Record<string, string>>[] = [
        ...[{}, { access: 'read' }, { access: 'write' }],
        { clientId: 'https://app.example.com/c' },
      ]
      for (const more of asks) {
        said.push(letsIn(await ask(allotments, { space: forum, user, ...more })))
      }
      return said
    }
    const [all, none] = [
      [true, true, true, true],
      [false, false, false, false],
    ]
    expect(await verdicts(bob.did)).toEqual(all)
    expect(await verdicts(alice.did)).toEqual(all)
    expect(await verdicts(carol.did)).toEqual(none)

    // A token of somebody else's PDS account, and one that is meant for our bare DID.
    expect((await ask(orchard, { space: forum, user: bob.did })).body).toEqual({ authorized: false })
    expect((await ask(carol, { space: forum, user: bob.did })).body).toEqual({ authorized: false })
    const bare = await ask(allotments, { space: forum, user: bob.did }, world.config.serviceDid)
    expect([bare.status, bare.body.error]).toEqual([401, 'BadJwtAudience'])

    // The same roll, and the same words for it, as for a space that is here.
    await call(alice, 'member.ban', { space: forum, did: bob.did })
    expect(await verdicts(bob.did)).toEqual(none)
    await call(alice, 'member.unban', { space: forum, did: bob.did })
    await call(alice, 'member.put', { space: forum, did: carol.did, role: 'reader' })
    expect(await verdicts(bob.did)).toEqual(all)
    expect(await verdicts(carol.did), 'a reader').toEqual([true, true, false, true])

    const asOwner = async (method: string, params: Readonly<Record<string, string>>): Promise<Answer['body']> => {
      const nsid = `${R}.${method}`
      const token = await alice.serviceAuth(managingApp(), nsid)
      const answer = await world.send({
        path: `/xrpc/${nsid}?${new URLSearchParams(params)}`,
        headers: [['authorization', `Bearer ${token}`]],
      })
      expect([method, answer.status]).toEqual([method, 200])
      return answer.body
    }
    for (const [did, action, isAllowed] of [
      [bob.did, 'write', true],
      [carol.did, 'read', true],
      [carol.did, 'write', false],
    ] as const) {
      const about = { space: forum, did, action }
      expect((await asOwner('member.check', about)).allowed).toBe(isAllowed)
      expect((await asOwner('member.explain', about)).allowed).toBe(isAllowed)
    }
    expect((await asOwner('space.get', { space: forum })).host).toMatchObject({ at: 'pds', speaks: 'october' })
    await eventually('the log is sealed', async () => {
      const { entries } = await asOwner('audit.list', { community, subject: bob.did, limit: '100' })
      const allowed = entries.filter(({ action }: { action: string }) => action === 'access.allow')
      expect(allowed.length).toBeGreaterThanOrEqual(4)
      for (const { actor, target } of allowed) expect([actor, target]).toEqual([community, forum])
      return allowed.every(({ hash }: { hash?: string }) => hash)
    })

    // The account takes its consent back, and gives it again.
    await call(alice, 'community.release', {}, 404)
    await call(allotments, 'community.release', {})
    expect(await verdicts(bob.did)).toEqual(none)
    await call(allotments, 'community.adopt', { name: 'Allotments', owner: carol.did }, 403)
    expect(await verdicts(bob.did)).toEqual(none)
    await call(allotments, 'community.adopt', { name: 'Allotments', owner: alice.did })
    expect(await verdicts(bob.did)).toEqual(all)

    await call(alice, 'member.remove', { space: forum, did: bob.did })
    expect(await verdicts(bob.did)).toEqual(none)
    await call(alice, 'space.delete', { space: forum })
    expect(await verdicts(alice.did)).toEqual(none)
    const { members } = await asOwner('member.list', { space: rosterOf(community as never).uri })
    expect(members).toMatchObject([{ did: alice.did, role: 'owner' }])
  })

  it('may ask again and again with one token, until it ends', async () => {
    await call(orchard, 'community.adopt', { name: 'Orchard', owner: alice.did })
    const host = { community: orchard.did, spaceType: FORUM, skey: 'trees', host: 'pds' }
    const { uri } = await call(alice, 'space.create', host)
    expect(letsIn(await ask(orchard, { space: uri, user: alice.did }))).toBe(true)
    const token = await orchard.serviceAuth(managingApp(), CHECK_USER_ACCESS)
    const send = () =>
      world.send({
        path: `/xrpc/${CHECK_USER_ACCESS}?${new URLSearchParams({ space: uri, user: alice.did })}`,
        headers: [['authorization', `Bearer ${token}`]],
      })
    expect([letsIn(await send()), letsIn(await send())]).toEqual([true, true])
    world.clock.moveSec(66)
    expect((await send()).body.error).toBe('JwtExpired')
  })
})
