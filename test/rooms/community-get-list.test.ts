/** `community.get` and `community.list` over HTTP: each sees the communities they stand in, and no sign of any other. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { freshDid } from '../kit/roll.ts'
import { makeKey } from '../kit/tokens.ts'
import { memberHeld, openWorld, type Person, type World } from '../kit/world.ts'

const GET = 'community.reeve.community.get'
const LIST = 'community.reeve.community.list'
const PUT = 'community.reeve.member.put'

describeOnEachEngine('the communities of a person', (open) => {
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

  const listed = async (person: Person, params: Readonly<Record<string, string>> = {}): Promise<string[]> =>
    (await person.ask(LIST, params)).body.communities.map(({ did }: { did: string }) => did)
  const rosterOf = (community: Did): string => `at://${community}/space/community.reeve.roster/self`

  it('are shown with their custody and roster to those who stand in them', async () => {
    const recovery = makeKey('p256')
    const custody = memberHeld(world, alice, recovery)
    const community = await world.found(alice, { name: 'Bell Ringers', custody })
    const answer = await alice.ask(GET, { community })
    expect(answer).toMatchObject({
      status: 200,
      body: {
        ...{ did: community, name: 'Bell Ringers', status: 'active', custody: 'memberHeld' },
        ...{ recoveryKey: recovery.didKey, revision: 1, roster: rosterOf(community) },
      },
    })
    expect(Date.parse(answer.body.createdAt)).toBeLessThanOrEqual(world.clock.nowMs())
    expect(answer.body).not.toHaveProperty('handle')
    expect(await listed(alice)).toContain(community)
  })

  it('are shown to everybody with any standing, and to nobody without', async () => {
    const community = await world.found(alice)
    const forum = await world.makeSpace(alice, community, { skey: 'main' })
    expect((await bob.ask(GET, { community })).status).toBe(404)
    expect(await listed(bob)).not.toContain(community)
    await alice.call(PUT, { space: forum, did: bob.did, role: 'reader' })
    expect(await bob.ask(GET, { community })).toMatchObject({ status: 200, body: { did: community, revision: 3 } })
    expect(await listed(bob)).toContain(community)
    await alice.call('community.reeve.member.remove', { space: forum, did: bob.did })
    expect((await bob.ask(GET, { community })).status).toBe(404)
    expect(await listed(bob)).not.toContain(community)
  })

  it('are hidden in the words that are used of what does not exist', async () => {
    const community = await world.found(alice)
    const hidden = await carol.ask(GET, { community })
    const unknown = await carol.ask(GET, { community: freshDid() })
    expect(hidden).toMatchObject({ status: 404, body: { error: 'NotFound' } })
    expect(unknown.body).toEqual(hidden.body)
    expect(unknown.status).toBe(hidden.status)
    expect(await carol.ask(GET, { community: community.toUpperCase() })).toMatchObject({
      ...{ status: 400, body: { error: 'InvalidRequest' } },
    })
  })

  it('vanish when the time of a person is over', async () => {
    const community = await world.found(alice)
    const until = new Date(world.clock.nowMs() + 60_000).toISOString()
    await alice.call(PUT, { space: rosterOf(community), did: bob.did, role: 'member', until })
    expect(await listed(bob)).toContain(community)
    expect((await bob.ask(GET, { community })).status).toBe(200)
    world.clock.moveSec(60)
    expect(await listed(bob)).not.toContain(community)
    expect((await bob.ask(GET, { community })).status).toBe(404)
  })

  it('come in pages of any size, complete, each once, in order', async () => {
    const dave = await world.person()
    const mine: string[] = []
    for (let at = 0; at < 5; at++) mine.push(await world.found(dave, { name: `Garden ${at}` }))
    mine.sort()
    for (const limit of ['1', '2', '5', '6', '100']) {
      const seen: string[] = []
      for (let cursor: string | undefined; ; ) {
        const page = await dave.ask(LIST, { limit, ...(cursor === undefined ? {} : { cursor }) })
        seen.push(...page.body.communities.map(({ did }: { did: string }) => did))
        cursor = page.body.cursor
        if (cursor === undefined) break
      }
      expect(seen).toEqual(mine)
    }
    expect(await listed(carol)).toEqual([])
  })

  it('refuse a page that is none', async () => {
    for (const limit of ['0', '-1', '101', '1.5', 'all', '9007199254740993']) {
      expect(await alice.ask(LIST, { limit }), limit).toMatchObject({ status: 400, body: { error: 'InvalidRequest' } })
    }
  })
})
