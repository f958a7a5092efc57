/** The end of a community, over real sockets: announced, stopped or carried out, and what is left of it. */
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { carryOutDue } from '../../src/community/acts.ts'
import { clearEndedRolls } from '../../src/membership/roll-end-store.ts'
import { type Did, rosterOf } from '../../src/names.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { eventually } from '../kit/waiting.ts'
import { openWorld, type Person, type World } from '../kit/world.ts'

const R = 'community.reeve'
const WEEK_SEC = 7 * 86_400

describeOnEachEngine('the end of a community', (open) => {
  let world: World
  let alice: Person
  let olga: Person
  let bob: Person
  let community: Did
  let forum: string

  beforeAll(async () => {
    world = await openWorld({ database: await open(), environment: { REEVE_HANDLE_DOMAINS: 'towns.test' } })
    ;[alice, olga, bob] = await Promise.all([world.person(), world.person(), world.person()])
  })
  afterAll(() => world.close())

  let founded = 0
  const start = async () => {
    founded += 1
    community = await world.found(alice, { handle: `town${founded}.towns.test` })
    forum = await world.makeSpace(alice, community, { skey: 'main' })
    await alice.call(`${R}.member.put`, { space: forum, did: bob.did, role: 'member' })
  }
  const due = () => carryOutDue(world.reeve.house)
  const get = (who: Person) => who.ask(`${R}.community.get`, { community })
  const rowsOf = async (table: 'person_edge' | 'space_edge') =>
    (await world.database.db.selectFrom(table).select('role').where('community', '=', community).execute()).length

  const linesOfImports = async () =>
    (
      await world.database.db
        .selectFrom('import_row')
        .innerJoin('import', 'import.id', 'import_row.import')
        .select('line')
        .where('community', '=', community)
        .execute()
    ).length

  it('is announced for a week, during which everything goes on', async () => {
    await start()
    const lines = `{"did":"${olga.did}","role":"member"}\n{"did":"nobody"}\n`
    await alice.call(`${R}.member.import`, { space: forum, lines })
    const answer = await alice.call(`${R}.community.delete`, { community })
    expect(answer.body.proposal).toMatchObject({ act: 'community.delete', state: 'approved' })
    expect((await get(bob)).body.deletion).toEqual(answer.body.proposal)
    world.clock.moveSec(WEEK_SEC - 60)
    expect(await due()).toBe(0)
    expect((await bob.exchange(forum)).status).toBe(200)
  })

  it('then comes: nobody stands there, nobody is let in, and the rolls are cleared away', async () => {
    expect([await rowsOf('person_edge'), await linesOfImports()]).toEqual([2, 2])
    world.clock.moveSec(61)
    expect(await due()).toBe(1)
    expect((await get(alice)).status).toBe(404)
    expect((await alice.ask(`${R}.community.list`)).body.communities).toEqual([])
    expect(await bob.exchange(forum)).toMatchObject({ status: 400, body: { error: 'SpaceDeleted' } })
    expect((await alice.call(`${R}.member.put`, { space: forum, did: bob.did, role: 'member' })).status).toBe(404)
    await eventually('all of it is gone', async () => {
      while ((await clearEndedRolls(world.database.db, 1)) > 0);
      const ends = await sql`select from space_end where community = ${community}`.execute(world.database.db)
      const left = [await rowsOf('person_edge'), await rowsOf('space_edge'), await linesOfImports(), ends.rows.length]
      return left.every((count) => count === 0)
    })
  })

  it('leaves its handle to nobody for thirty days, and then to whoever takes it', async () => {
    const handle = `town${founded}.towns.test`
    const again = () =>
      alice.call(`${R}.community.mint`, {
        ...{ name: 'Again', handle, custody: { $type: `${R}.community.mint#custodial` } },
      })
    const whoIs = () => world.send({ path: '/.well-known/atproto-did', headers: [['host', handle]] })
    expect(await again()).toMatchObject({ status: 400, body: { error: 'HandleNotAvailable' } })
    expect(await whoIs()).toMatchObject({ status: 404 })
    world.clock.moveSec(30 * 86_400)
    const { body } = await again()
    expect(body.status).toBe('active')
    expect(await whoIs()).toMatchObject({ body: body.did })
  })

  it('is stopped by any owner in time', async () => {
    await start()
    const roster = rosterOf(community).uri
    const { id } = (await alice.call(`${R}.community.delete`, { community })).body.proposal
    await alice.call(`${R}.member.put`, { space: roster, did: olga.did, role: 'owner' })
    expect((await olga.call(`${R}.proposal.cancel`, { proposal: id })).status).toBe(200)
    world.clock.moveSec(WEEK_SEC + 1)
    expect(await due()).toBe(0)
    expect((await get(alice)).body).not.toHaveProperty('deletion')
  })

  it('waits for a second owner first, and then for the week', async () => {
    const answer = await alice.call(`${R}.community.delete`, { community })
    expect(answer.body.proposal.state).toBe('open')
    world.clock.moveSec(3 * 86_400)
    const { id } = answer.body.proposal
    const approved = await olga.call(`${R}.proposal.approve`, { proposal: id })
    expect(approved.status).toBe(200)
    expect(Date.parse(approved.body.dueAt) - world.clock.nowMs()).toBeGreaterThan((WEEK_SEC - 60) * 1000)
  })

  it('comes to nothing when who proposed it is no owner any more on the day', async () => {
    const roster = rosterOf(community).uri
    await olga.call(`${R}.member.put`, { space: roster, did: alice.did, role: 'admin' })
    world.clock.moveSec(WEEK_SEC + 1)
    expect(await due()).toBe(1)
    expect((await get(olga)).body).toMatchObject({ status: 'active' })
    const { proposals } = (await olga.ask(`${R}.proposal.list`, { community })).body
    expect(proposals[0]).toMatchObject({ state: 'cancelled', endedBy: community })
  })

  it('is not an admin’s to announce', async () => {
    expect((await alice.call(`${R}.community.delete`, { community })).body.error).toBe('Forbidden')
    expect((await bob.call(`${R}.community.delete`, { community })).body.error).toBe('NotFound')
  })

  it('does not touch its neighbours', async () => {
    const mine = community
    await start()
    await alice.call(`${R}.community.delete`, { community })
    world.clock.moveSec(WEEK_SEC + 1)
    await due()
    await clearEndedRolls(world.database.db, 1000)
    expect((await olga.ask(`${R}.community.get`, { community: mine })).body).toMatchObject({ status: 'active' })
  })

  it('and its name can be changed before, by those who may', async () => {
    await start()
    expect((await bob.call(`${R}.community.update`, { community, name: 'Mine' })).body.error).toBe('NotFound')
    await alice.call(`${R}.member.put`, { space: rosterOf(community).uri, did: bob.did, role: 'member' })
    expect((await bob.call(`${R}.community.update`, { community, name: 'Mine' })).body.error).toBe('Forbidden')
    const { revision } = (await alice.call(`${R}.community.update`, { community, name: 'Village' })).body
    expect((await get(bob)).body).toMatchObject({ name: 'Village', revision })
    expect((await alice.call(`${R}.community.update`, { community, name: 'Village' })).body.revision).toBe(revision)
    expect((await alice.call(`${R}.community.update`, { community, name: 'Vil\u202elage' })).body.error).toBe(
      'InvalidRequest',
    )
  })

  it('is not kept waiting by any number of others that can’t be carried out', async () => {
    await start()
    const { id } = (await alice.call(`${R}.community.delete`, { community })).body.proposal
    world.clock.moveSec(WEEK_SEC + 1)
    const { db } = world.database
    await sql`insert into proposal (id, community, act, target, input, state, proposed_by, proposed_at_ms, expires_at_ms, due_at_ms)
      select id || '-' || nth, community, 'of another version ' || nth, target, input, state, proposed_by, 0, 0, 0
      from proposal, generate_series(1, 25) nth where id = ${id}`.execute(db)
    let turns = 0
    while ((await get(alice)).status === 200 && turns < 50) {
      await due()
      turns += 1
    }
    await sql`delete from proposal where act like 'of another version %'`.execute(db)
    expect((await get(alice)).status).toBe(404)
  })
})
