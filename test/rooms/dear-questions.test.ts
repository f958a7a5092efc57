/** What takes long to find out about one community is paid by that community, and keeps nobody else waiting. */
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { loadReadFacts } from '../../src/access/may-read.ts'
import type { FactsAsk } from '../../src/access/store.ts'
import { RateBuckets } from '../../src/doors/rate-buckets.ts'
import { type Did, type SpaceUri, spaceUriOf } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { FORUM, freshDid, makeForum, openCommunity, put, type Roll, rollOn } from '../kit/roll.ts'
import { makeServiceJwt } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, everyRate, openWorld, type Person, spaceOf, UNLIMITED, type World } from '../kit/world.ts'

/** Who went together, of the real thing. */
const looks = vi.hoisted(() => ({ asks: [] as (readonly FactsAsk[])[] }))
vi.mock('../../src/access/store.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../src/access/store.ts')>()
  const loadSpaceFacts = (db: Db, asks: readonly FactsAsk[]) => {
    looks.asks.push(asks)
    return original.loadSpaceFacts(db, asks)
  }
  return { ...original, loadSpaceFacts }
})

/** So many spaces on the roster of `target` that nobody names them one by one, and a person in each of them. */
async function crowd(db: Db, community: Did, target: SpaceUri | string, person: Did, most = 300): Promise<void> {
  const uris = Array.from({ length: most }, (_, n) => spaceUriOf(community, FORUM, `n${n}`).uri)
  const list = sql`unnest(${uris}::text[]) as one (uri)`
  await sql`insert into space (uri, community, space_type, skey, state, created_by, created_at_ms)
    select uri, ${community}, ${FORUM}, right(uri, 8), 'live', ${community}, 0 from ${list}`.execute(db)
  await sql`insert into space_edge (into_space, from_space, role, community, is_system, added_by, added_at_ms)
    select ${target}, uri, 'member', ${community}, false, ${community}, 0 from ${list}`.execute(db)
  await sql`insert into person_edge (into_space, did, community, role, added_by, added_at_ms)
    select uri, ${person}, ${community}, 'member', ${community}, 0 from ${list}`.execute(db)
  await sql`update community_revision set revision = revision + 1, graph_revision = graph_revision + 1
    where community = ${community}`.execute(db)
}

describeOnEachEngine('people with very many entries', (open) => {
  let db: Db
  let roll: Roll

  beforeAll(async () => {
    ;({ db } = await open())
    roll = rollOn(db)
  })
  beforeEach(() => {
    looks.asks.length = 0
  })

  it('are looked up each by themself, and others don’t wait for them', async () => {
    const large = await openCommunity(roll)
    const target = spaceOf(await makeForum(roll, large, 'target'))
    const busy = freshDid()
    await crowd(db, large.did, target.uri, busy)
    const small = await openCommunity(roll)
    const forum = spaceOf(await makeForum(roll, small, 'main'))
    const bob = freshDid()
    await put(roll, small.founder, forum.uri, bob, 'member')
    await Promise.all([loadReadFacts(roll, target, busy), loadReadFacts(roll, forum, bob)])
    looks.asks.length = 0

    const dear = Array.from({ length: 12 }, () => loadReadFacts(roll, target, busy))
    const cheap = Array.from({ length: 12 }, () => loadReadFacts(roll, forum, bob))
    expect(await Promise.all([...dear, ...cheap])).toHaveLength(24)
    const whole = looks.asks.filter((asks) => asks.some(({ within }) => within === null))
    expect(whole.map((asks) => asks.length)).toEqual(Array.from({ length: 12 }, () => 1))
    expect(looks.asks.some((asks) => asks.length > 1)).toBe(true)
  })
})

describe('questions of a PDS', () => {
  const METHOD = 'com.atproto.simplespace.checkUserAccess'
  const BURST = 400
  let world: World
  let account: Person
  let space: string
  let bob: Person
  let busy: Person

  beforeAll(async () => {
    world = await openWorld({ rates: { ...UNLIMITED, authority: { burst: BURST, perSec: 1 } } })
    let owner: Person
    ;[account, owner, bob, busy] = await Promise.all([world.person(), world.person(), world.person(), world.person()])
    await account.call('community.reeve.community.adopt', { name: 'Meadow', owner: owner.did })
    space = await world.makeSpace(owner, account.did, { skey: 'main', host: 'pds' })
    await owner.call('community.reeve.member.put', { space, did: bob.did, role: 'member' })
    await crowd(world.database.db, account.did, space, busy.did, 5_000)
  })
  afterAll(() => world.close())

  function question(user: Did): Promise<Answer> {
    const aud = `${world.config.serviceDid}#reeve`
    const about = { key: account.key, iss: account.did, aud, lxm: METHOD, nowSec: world.clock.nowSec() }
    const params = new URLSearchParams({ space, user, access: 'write' })
    const authorization = `Bearer ${makeServiceJwt(about)}`
    return world.send({ path: `/xrpc/${METHOD}?${params}`, headers: [['authorization', authorization]] })
  }

  it('count as many where there is much to look at', async () => {
    // The first of a process take many times as long to judge as those that come after, and that counts too.
    for (const one of [bob, busy, bob, busy, bob]) await question(one.did)
    for (let n = 0; n < 5; n++) {
      world.clock.moveSec(1_000)
      expect(await question(bob.did)).toMatchObject({ status: 200, body: { authorized: true } })
    }
    world.clock.moveSec(1_000)
    const owe = vi.spyOn(world.reeve.house.buckets, 'owe')
    // A slow machine doesn't decide it within a second. It counts all the same.
    const { status, body } = await question(busy.did)
    expect(['200 true', '503 undefined']).toContain(`${status} ${body.authorized}`)
    await eventually('it is counted', async () => owe.mock.calls.some(([, , questions]) => questions > BURST))
    expect(await question(bob.did)).toMatchObject({ status: 429, body: { error: 'RateLimitExceeded' } })
  })
})

describe('a bucket', () => {
  it('may be owed to, no further than what it holds, and is refilled from there', () => {
    let nowMs = 0
    const clock = { nowMs: () => nowMs, nowSec: () => nowMs / 1000, monotonicMs: () => nowMs }
    const buckets = new RateBuckets(clock, everyRate({ burst: 10, perSec: 1 }))
    buckets.owe('authority', 'a', 1_000)
    expect(() => buckets.take('authority', 'a')).toThrow('too many requests')
    buckets.take('authority', 'b')
    nowMs = 10_000
    expect(() => buckets.take('authority', 'a')).toThrow('too many requests')
    nowMs = 11_000
    buckets.take('authority', 'a')
  })
})
