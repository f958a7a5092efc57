/** One look for many people says of each what a look at them alone would say, and a lane lives while one of its sponsors may read. */
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { loadReadersFacts, loadReadFacts, mayRead } from '../../src/access/may-read.ts'
import { ROLE_SPACE_TYPE } from '../../src/names.ts'
import { claimLanes, type Lane } from '../../src/notify/lane-store.ts'
import { isToBeJudged, judgeLanes } from '../../src/notify/sponsors.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { deleteSpace, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { addRegistration, type Registering } from '../kit/lanes.ts'
import { freshDid } from '../kit/roll.ts'
import { freshJti } from '../kit/tokens.ts'
import { spaceOf } from '../kit/world.ts'

const R = 'community.reeve'
const FAR_MS = 10 * 24 * 60 * 60 * 1000

describeOnEachEngine('sponsors', (open) => {
  let database: TestDatabase
  let scene: Scene
  let forum: string

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    forum = scene.forum
  })
  afterAll(() => scene.close())

  const house = () => scene.world.reeve.house
  const done = async (answer: Promise<{ status: number; body: unknown }>): Promise<void> => {
    const { status, body } = await answer
    if (status !== 200) throw new Error(JSON.stringify(body))
  }
  /** A lane that the house's own dispatcher doesn't look at. */
  const laneOf = async (space: string, sponsors: Registering['sponsors']): Promise<Lane> => {
    const service = `did:web:${freshJti().slice(0, 12)}.example.com#sync`
    const syncer = { service, url: 'https://sync.example.com' }
    const nowMs = scene.world.clock.nowMs() + FAR_MS
    const id = await addRegistration({ db: database.db, nowMs }, { space, syncer, sponsors, isProved: true })
    await sql`update registration set look_at_ms = ${nowMs} where id = ${id}`.execute(database.db)
    const lanes = await claimLanes(database.db, {
      ...{ pool: 'sound', nowMs, untilMs: nowMs + FAR_MS, most: 100, share: 100, used: new Map(), ofHost: 100 },
      ...{ usedHosts: new Map(), openHosts: [], closedHosts: [], left: [], underWay: [], spaces: [] },
    })
    const lane = lanes.find((one) => one.id === id)
    if (!lane) throw new Error('not claimed')
    return lane
  }
  const judged = async (space: string, sponsors: Registering['sponsors']) => {
    const lane = await laneOf(space, sponsors)
    return (await judgeLanes(house(), lane.space, [lane])).get(lane.id)
  }

  it('are seen together as each is seen alone', async () => {
    const { alice, bob, carol, community, world } = scene
    const crew = await world.makeSpace(alice, community, { spaceType: ROLE_SPACE_TYPE, skey: freshJti() })
    const [nested, banned, left] = [await world.person(), await world.person(), await world.person()]
    await letIn(alice, crew, nested.did)
    await done(alice.call(`${R}.member.put`, { space: forum, memberSpace: crew, role: 'member' }))
    await letIn(alice, forum, banned.did)
    await done(alice.call(`${R}.member.ban`, { space: forum, did: banned.did }))
    await letIn(alice, forum, left.did)
    await done(left.call(`${R}.member.leave`, { space: forum }))
    const people = [alice, bob, carol, nested, banned, left].map(({ did }) => did)
    const space = spaceOf(forum)
    const together = await loadReadersFacts(house(), space, people)
    if (together.space !== 'live') throw new Error('the space is there')
    const verdicts: boolean[] = []
    for (const did of people) {
      const alone = await loadReadFacts(house(), space, did)
      if (alone.space !== 'live') throw new Error('the space is there')
      expect({ ...together.factsOf(did), nowMs: 0 }).toEqual({ ...alone.facts, nowMs: 0 })
      expect(together.revision).toBe(alone.revision)
      const asker = { did, clientId: null }
      const verdict = mayRead(together.factsOf(did), asker)
      expect(verdict.because).toEqual(mayRead(alone.facts, asker).because)
      verdicts.push(verdict.ok)
    }
    expect(verdicts).toEqual([true, true, false, true, false, false])
  })

  it('are looked for in spaces that are not there, or not any more', async () => {
    const { world, alice, bob, community } = scene
    const unknown = spaceOf(`at://${community}/space/com.atmoboards.forum/nowhere`)
    expect(await loadReadersFacts(house(), unknown, [bob.did])).toEqual({ space: 'unknown' })
    const gone = await world.makeSpace(alice, community, { skey: freshJti() })
    await done(alice.call(`${R}.space.delete`, { space: gone }))
    expect(await loadReadersFacts(house(), spaceOf(gone), [bob.did])).toEqual({ space: 'deleted' })
  })

  it('keep a registration while one of them may read', async () => {
    const { bob, carol } = scene
    const revision = (await laneOf(forum, [])).revision
    expect(await judged(forum, [{ did: carol.did }, { did: bob.did }])).toMatchObject({
      is: 'goes',
      checkedRevision: revision,
    })
    expect(await judged(forum, [{ did: carol.did }])).toEqual({ is: 'ends' })
    expect(await judged(forum, [])).toEqual({ is: 'ends' })
  })

  it('are judged in parts when they are many, and the last one counts', async () => {
    const strangers = Array.from({ length: 16 }, () => ({ did: freshDid() }))
    const lanes: Lane[] = []
    for (let count = 0; count < 40; count++) {
      lanes.push(await laneOf(forum, count % 2 ? strangers.map(() => ({ did: freshDid() })) : strangers))
    }
    const lucky = await laneOf(forum, [...strangers.slice(1), { did: scene.bob.did }])
    const found = await judgeLanes(house(), lucky.space, [...lanes, lucky])
    const standings = await Promise.all([...lanes, lucky].map(({ id }) => found.get(id)))
    expect(standings.map((standing) => standing?.is)).toEqual([...lanes.map(() => 'ends'), 'goes'])
  })

  it('end nothing while the space or the community is frozen, or the space is on its way out', async () => {
    const { alice, community, world, carol } = scene
    const space = await world.makeSpace(alice, community, { skey: freshJti() })
    const freeze = (what: object) => done(alice.call(`${R}.community.freeze`, what))
    const sponsors = [{ did: carol.did }]
    await freeze({ space, isFrozen: true })
    expect(await judged(space, sponsors)).toEqual({ is: 'rests' })
    await freeze({ space, isFrozen: false })
    await freeze({ community, isFrozen: true })
    expect(await judged(space, sponsors)).toEqual({ is: 'rests' })
    await freeze({ community, isFrozen: false })
    expect(await judged(space, sponsors)).toEqual({ is: 'ends' })
    const lane = await laneOf(space, sponsors)
    await deleteSpace(database, space)
    expect(await (await judgeLanes(house(), lane.space, [lane])).get(lane.id)).toEqual({ is: 'rests' })
  })

  it('are judged again when the community has moved, or after a minute', async () => {
    const lane = await laneOf(forum, [{ did: scene.bob.did }])
    const nowMs = scene.world.clock.nowMs()
    const checked = { ...lane, checkedRevision: lane.revision, checkedAtMs: nowMs - 60_000 }
    expect(isToBeJudged(checked, nowMs)).toBe(false)
    expect(isToBeJudged(checked, nowMs + 1)).toBe(true)
    expect(isToBeJudged({ ...checked, checkedRevision: lane.revision - 1 }, nowMs)).toBe(true)
    expect(isToBeJudged({ ...checked, checkedAtMs: nowMs + 1 }, nowMs)).toBe(true)
    expect(isToBeJudged({ ...lane, endedAtMs: nowMs }, nowMs + 90_000)).toBe(false)
  })
})
