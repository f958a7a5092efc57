/** A community that is an account: whom it may name as its owner, what its people may do, and what they are told once it is released. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { describeOnEachEngine } from '../kit/databases.ts'
import { type Answer, openWorld, type Person, type World } from '../kit/world.ts'

const R = 'community.reeve'

describeOnEachEngine('a community that is an account', (open) => {
  let world: World
  let account: Person
  let owner: Person
  let bob: Person

  beforeAll(async () => {
    world = await openWorld({ database: await open() })
  })
  afterAll(() => world.close())
  beforeEach(async () => {
    ;[account, owner, bob] = await Promise.all([world.person(), world.person(), world.person()])
    expect(await adopt(owner.did)).toMatchObject({ status: 200 })
  })

  const adopt = (named: string): Promise<Answer> =>
    account.call(`${R}.community.adopt`, { name: 'Meadow', owner: named })
  const nameOf = async (who: Person): Promise<number> =>
    (await who.ask(`${R}.community.get`, { community: account.did })).status
  const bind = (more = {}) => world.makeSpace(owner, account.did, { skey: 'main', host: 'pds', ...more })

  it('gets another name from those who run it', async () => {
    const named = { community: account.did, name: 'Orchard' }
    expect(await owner.call(`${R}.community.update`, named)).toMatchObject({ status: 200 })
    const shown = await owner.ask(`${R}.community.get`, { community: account.did })
    expect(shown).toMatchObject({ status: 200, body: { name: 'Orchard', custody: 'external' } })
  })

  it('is not owned by whom nobody can be', async () => {
    const community = await world.found(bob)
    account = await world.person()
    for (const nobody of [`did:plc:${'q'.repeat(24)}`, community]) {
      expect(await adopt(nobody)).toMatchObject({ status: 400, body: { error: 'InvalidRequest' } })
    }
    expect(await account.call(`${R}.community.release`)).toMatchObject({ status: 404 })
    expect(await adopt('did:web:localhost%3A1')).toMatchObject({ status: 502, body: { error: 'UpstreamFailure' } })
    expect(await adopt(bob.did)).toMatchObject({ status: 200 })
  })

  it('may name another owner until whom it named has done anything, and the one before is none then', async () => {
    expect(await adopt(bob.did)).toMatchObject({ status: 200, body: { revision: 2 } })
    expect([await nameOf(owner), await nameOf(bob)]).toEqual([404, 200])
    expect(await adopt(owner.did)).toMatchObject({ status: 200, body: { revision: 3 } })
    await bind()
    expect(await adopt(bob.did)).toMatchObject({ status: 403, body: { error: 'Forbidden' } })
    expect([await nameOf(owner), await nameOf(bob)]).toEqual([200, 404])
  })

  it('has no space at its PDS that asks another service, be it made so or set so', async () => {
    const policy = { $type: 'com.atproto.simplespace.defs#managingAppPolicy', managingApp: 'did:web:app.example.com#a' }
    for (const name of ['readPolicy', 'writePolicy']) {
      const about = { community: account.did, spaceType: 'com.atmoboards.forum', skey: 'asks', host: 'pds' }
      const made = await owner.call(`${R}.space.create`, { ...about, [name]: policy })
      expect(made, name).toMatchObject({ status: 400, body: { error: 'UnsupportedPolicy' } })
      const space = await bind({ skey: `set-${name}` })
      const set = await owner.call(`${R}.space.update`, { space, [name]: policy })
      expect(set, name).toMatchObject({ status: 400, body: { error: 'UnsupportedPolicy' } })
      // Somebody of the community who doesn't stand there isn't told that there is such a space.
      const elsewhere = await bind({ skey: `else-${name}` })
      await owner.call(`${R}.member.put`, { space: elsewhere, did: bob.did, role: 'admin' })
      const hidden = await bob.call(`${R}.space.update`, { space, [name]: policy })
      expect(hidden, name).toMatchObject({ status: 404, body: { error: 'NotFound' } })
    }
  })

  describe('that takes its consent back', () => {
    it('is told to those who ask why somebody isn’t let in, and to those who look as somebody else', async () => {
      const space = await bind()
      await owner.call(`${R}.member.put`, { space, did: bob.did, role: 'member' })
      const check = async (action: string) =>
        (await owner.ask(`${R}.member.check`, { space, did: bob.did, action })).body
      const explained = async () =>
        (await owner.ask(`${R}.member.explain`, { space, did: bob.did, action: 'read' })).body
      const seen = async () => {
        const { body } = await owner.ask(`${R}.member.preview`, { community: account.did, did: bob.did })
        return body.spaces.find(({ uri }: { uri: string }) => uri === space)
      }
      expect((await check('read')).allowed).toBe(true)
      expect(await seen()).toMatchObject({ reads: true, writes: true })

      expect(await account.call(`${R}.community.release`)).toMatchObject({ status: 200 })
      for (const action of ['read', 'write']) {
        expect(await check(action)).toMatchObject({ allowed: false, because: [{ rule: 'released', action }] })
      }
      expect((await check('members.read')).allowed, 'whoever governs goes on').toBe(true)
      expect(await explained()).toMatchObject({
        allowed: false,
        because: [{ rule: 'released' }],
        missing: [{ kind: 'released', away: 0, scope: account.did }],
      })
      expect(await seen()).toMatchObject({ reads: false, writes: false })

      expect(await adopt(owner.did)).toMatchObject({ status: 200 })
      expect((await check('read')).allowed).toBe(true)
      expect((await explained()).missing).toEqual([])
    })
  })
})
