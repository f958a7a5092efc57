/** What follows the end of a space: who is put down to be told, what is cleared away, in what order, and whoever dies in between. */
import { sql } from 'kysely'
import { beforeEach, expect, it } from 'vitest'
import { isStillHeld } from '../../src/credential/ledger-store.ts'
import { recheckDue } from '../../src/credential/recheck.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberImport } from '../../src/membership/memberImport.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { clearEndedRolls, endRoll } from '../../src/membership/roll-end-store.ts'
import { authorityOf, type Did, type SpaceUri } from '../../src/names.ts'
import { giveWay } from '../../src/platform/clock.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { dyingAfter } from '../kit/crashing.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { addMembers, addWriters, endsOn, lanesOf, noteOf, register, writersIn } from '../kit/ended-spaces.ts'
import {
  type Community,
  freshDid,
  makeForum,
  makeRoleSpace,
  nest,
  once,
  openCommunity,
  put,
  type Roll,
  rollOn,
} from '../kit/roll.ts'
import { freshJti } from '../kit/tokens.ts'

/** Tables and columns that name a space of which something may be left. */
const PLACES = [
  ['person_edge', 'into_space'],
  ['ban', 'scope'],
  ['departure', 'space'],
  ['import', 'space'],
  ['app_rule', 'scope'],
  ['app_access', 'scope'],
  ['space_edge', 'into_space'],
  ['space_edge', 'from_space'],
  ['writer', 'space'],
] as const

/** Where something of a space is left, and how much. */
async function leftOf(db: Db, space: SpaceUri): Promise<Readonly<Record<string, number>>> {
  const left: Record<string, number> = {}
  for (const [table, column] of PLACES) {
    const { rows } = await sql<{ count: number }>`select count(*)::int as count from ${sql.table(table)}
      where ${sql.ref(column)} = ${space}`.execute(db)
    if (rows[0] && rows[0].count > 0) left[`${table}.${column}`] = rows[0].count
  }
  return left
}

describeOnEachEngine('the end of a space', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri

  beforeEach(async () => {
    db ??= (await open()).db
    await sql`delete from space_end`.execute(db)
    roll = rollOn(db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
  })

  const end = (space = forum) => spaceDelete(roll, community.founder, { space }, once())

  it('is noted with the call that brings it', async () => {
    const nowMs = roll.clock.nowMs()
    await end()
    expect(await noteOf(db, forum)).toEqual({ told: false, ended_at_ms: nowMs })
  })

  it('puts everybody who is registered down to be told at once, and forgets who was registered no more', async () => {
    const nowMs = roll.clock.nowMs()
    const live = await register(roll, forum)
    const failing = await register(roll, forum, { service: 'did:web:other.example#sync', failures: 4 })
    await register(roll, forum, { service: 'did:web:gone.example#sync', expiresAtMs: nowMs })
    const elsewhere = await makeForum(roll, community, 'other')
    const neighbour = await register(roll, elsewhere)
    await end()
    // Whoever was registered when it ended is told, however late somebody comes to it.
    roll.clock.moveMs(90_000_000)
    const ends = endsOn(roll)
    expect(await ends.follow()).toBe(1)
    const ended = { ended_at_ms: nowMs, look_at_ms: 0, turn: 4 }
    expect(await lanesOf(db, forum)).toEqual([
      { id: live, ...ended },
      { id: failing, ...ended },
    ])
    expect(await lanesOf(db, elsewhere)).toEqual([
      { id: neighbour, ended_at_ms: null, look_at_ms: nowMs + 900_000, turn: 3 },
    ])
    expect(await noteOf(db, forum)).toMatchObject({ told: true })
    expect(ends.roused).toBe(1)
  })

  it('rouses nobody where nobody asked', async () => {
    await end()
    const ends = endsOn(roll)
    expect(await ends.follow()).toBe(1)
    expect(ends.roused).toBe(0)
  })

  it('forgets who wrote there, has nobody roused for it, and gives no revision twice', async () => {
    await addWriters(db, forum, 12)
    const elsewhere = await makeForum(roll, community, 'other')
    await addWriters(db, elsewhere, 3)
    await end()
    await endsOn(roll).finish()
    expect([await writersIn(db, forum), await writersIn(db, elsewhere)]).toEqual([0, 3])
    const sets = await db
      .selectFrom('writer_set')
      .selectAll()
      .where('community', '=', community.did)
      .orderBy('space')
      .execute()
    expect(sets).toMatchObject([
      { space: forum, last_rev: 12, told_rev: 12 },
      { space: elsewhere, last_rev: 3, told_rev: 1 },
    ])
  })

  it('is followed once, however often and by however many', async () => {
    await register(roll, forum)
    await addWriters(db, forum, 50)
    await end()
    const [one, other] = [endsOn(roll), endsOn(rollOn(db))]
    const steps = await Promise.all([one.follow(), other.follow(), one.follow(), other.follow()])
    expect(steps.reduce((sum, each) => sum + each)).toBe(1)
    expect(await lanesOf(db, forum)).toMatchObject([{ turn: 4, look_at_ms: 0 }])
    expect(await one.follow()).toBe(0)
    const cleared = await Promise.all([one.clear(), other.clear()])
    expect(cleared.reduce((sum, each) => sum + each)).toBe(1)
    expect(await noteOf(db, forum)).toBeUndefined()
    expect(await lanesOf(db, forum)).toMatchObject([{ turn: 4 }])
  })

  it('is not cleared away before everybody is put down to be told', async () => {
    await put(roll, community.founder, forum, freshDid(), 'member')
    await end()
    expect(await endsOn(roll).clear()).toBe(0)
    expect(await leftOf(db, forum)).toEqual({ 'person_edge.into_space': 1 })
    expect(await noteOf(db, forum)).toMatchObject({ told: false })
  })

  async function furnish(space: SpaceUri) {
    const [member, guest, banned] = [freshDid(), freshDid(), freshDid()]
    for (const did of [member, guest]) await put(roll, community.founder, space, did, 'member')
    await memberLeave(roll, guest, { space }, once())
    await memberBan(roll, community.founder, { space, did: banned }, once())
    const lines = `${JSON.stringify({ did: freshDid(), role: 'member' })}\n{"did":"nobody"}\n`
    await memberImport(roll, community.founder, { space, lines }, once())
    await sql`insert into app_access (scope, community, mode) values (${space}, ${community.did}, 'allowList')`.execute(
      db,
    )
    await sql`insert into app_rule (scope, name, community, is_host, verdict, put_by, put_at_ms)
      values (${space}, 'app.example', ${community.did}, true, 'allow', ${community.founder}, 0)`.execute(db)
    await register(roll, space)
    await addWriters(db, space, 2)
    return banned
  }

  const FURNISHED = {
    'person_edge.into_space': 1,
    'ban.scope': 1,
    'departure.space': 1,
    'import.space': 1,
    'writer.space': 2,
  }
  const RULED = { 'app_rule.scope': 1, 'app_access.scope': 1, 'space_edge.into_space': 1 }

  it('takes all of it away, and nothing of what is beside it', async () => {
    const beside = await makeForum(roll, community, 'beside')
    const banned = await furnish(forum)
    await furnish(beside)
    await memberBan(roll, community.founder, { community: community.did, did: banned }, once())
    const others = await openCommunity(roll)
    const theirs = await makeForum(roll, others, 'theirs')
    await nest(roll, others.did, { into: theirs, from: forum, role: 'reader' })
    await end()
    await endsOn(roll).finish()
    // What another community wrote on a roster of its own is its own.
    expect(await leftOf(db, forum)).toEqual({ 'space_edge.from_space': 1 })
    expect(await leftOf(db, beside)).toEqual({ ...FURNISHED, ...RULED })
    expect(await leftOf(db, community.did as unknown as SpaceUri)).toEqual({ 'ban.scope': 1 })
    const { rows } = await sql`select from import_row where import not in (select id from import)`.execute(db)
    expect(rows).toEqual([])
    expect(await noteOf(db, forum)).toBeUndefined()
  })

  it('is followed to its end by whoever comes after one that was killed, at whichever statement', async () => {
    let deaths = 0
    for (let at = 0; ; at++) {
      const space = await makeForum(roll, community, `doomed-${at}`)
      await furnish(space)
      await end(space)
      const dying = dyingAfter(db, at)
      await endsOn(roll, { db: dying.db })
        .finish()
        .catch(() => undefined)
      const note = await noteOf(db, space)
      // A name is never free while something is left.
      if (!note) expect(await leftOf(db, space), `${at}`).toEqual({})
      if (note?.told) expect(await writersIn(db, space), `${at}`).toBe(0)
      await endsOn(roll).finish()
      expect(await leftOf(db, space), `${at}`).toEqual({})
      expect(await noteOf(db, space), `${at}`).toBeUndefined()
      expect(await lanesOf(db, space), `${at}`).toMatchObject([{ turn: 4, look_at_ms: 0 }])
      if (!dying.hasDied()) break
      deaths += 1
    }
    expect(deaths).toBeGreaterThan(15)
  })

  it('with tens of thousands of people is cleared away bit by bit, while the community goes on', async () => {
    await addMembers(db, forum, 20_000)
    await addWriters(db, forum, 20_000)
    const elsewhere = await makeForum(roll, community, 'other')
    await end()
    const ends = endsOn(roll)
    let isOver = false
    // A step for which a slow machine took too long is made again.
    const toItsEnd = async () => {
      let steps = 0
      do steps += await ends.finish()
      while (await noteOf(db, forum))
      return steps
    }
    const followed = toItsEnd().finally(() => {
      isOver = true
    })
    let [puts, whileUnderWay] = [0, 0]
    while (!isOver) {
      await put(roll, community.founder, elsewhere, freshDid(), 'member')
      puts += 1
      if (await noteOf(db, forum)) whileUnderWay += 1
      // As between two requests that come over the wire: timers have their turn.
      await giveWay()
    }
    // No step takes more than five thousand rows, so four of each kind are too few.
    expect(await followed).toBeGreaterThanOrEqual(10)
    expect(whileUnderWay).toBeGreaterThan(2)
    expect(await leftOf(db, forum)).toEqual({})
    expect(await leftOf(db, elsewhere)).toEqual({ 'person_edge.into_space': puts, 'space_edge.into_space': 1 })
  })

  it('stops between two steps when it is told to, and goes on later', async () => {
    await addWriters(db, forum, 6_000)
    await end()
    const stopping = new AbortController()
    const ends = endsOn(roll, {
      isStillHeld: async () => {
        stopping.abort()
        return true
      },
    })
    await ends.follow()
    const crew = await makeRoleSpace(roll, community, 'crew')
    await end(crew)
    await endsOn(roll).follow()
    expect(await ends.clear(stopping.signal)).toBe(0)
    expect(await endsOn(roll).clear()).toBe(2)
  })

  it('of one space does not wait for another that can’t be cleared away', async () => {
    const other = await makeForum(roll, community, 'other')
    await end()
    await end(other)
    const told: string[] = []
    const log = { ...silentLog, warn: (event: string) => void told.push(event) }
    const isStillHeld = async (space: SpaceUri) => {
      if (space === forum) throw new Error('broken')
      return false
    }
    await endsOn(roll, { isStillHeld, log }).finish()
    expect(await noteOf(db, other)).toBeUndefined()
    expect(await noteOf(db, forum)).toMatchObject({ told: true })
    expect(new Set(told)).toEqual(new Set(['spaceEnd.waits']))
    await endsOn(roll).finish()
    expect(await noteOf(db, forum)).toBeUndefined()
  })

  /** A credential for the forum that lives for another ten minutes. */
  async function issued(did: Did): Promise<void> {
    const nowSec = roll.clock.nowSec()
    await sql`insert into issuance (jti, space, community, did, client_id, holder, issued_at_sec, expires_at_sec, revision)
      values (${freshJti()}, ${forum}, ${authorityOf(forum)}, ${did}, null, 'key', ${nowSec}, ${nowSec + 600}, 1)`.execute(
      db,
    )
  }

  it('keeps who wrote until it is known which hosts hear that its credentials are dead, and its name until all of them are', async () => {
    const bob = freshDid()
    await put(roll, community.founder, forum, bob, 'member')
    await addWriters(db, forum, 3)
    const lane = await register(roll, forum)
    await issued(bob)
    await end()
    const ends = endsOn(roll, { isStillHeld: (space) => isStillHeld(db, space, roll.clock.nowSec()) })
    await ends.finish()
    expect(await lanesOf(db, forum)).toEqual([expect.objectContaining({ id: lane, look_at_ms: 0 })])
    expect(await writersIn(db, forum)).toBe(3)
    await recheckDue({ ...roll, log: silentLog })
    await ends.finish()
    expect(await writersIn(db, forum)).toBe(3)
    expect(await noteOf(db, forum)).toMatchObject({ told: false })
    await sql`update issuance set hosts_plan = 'wait' where space = ${forum}`.execute(db)
    await ends.finish()
    expect(await leftOf(db, forum)).toEqual({})
    expect(await noteOf(db, forum)).toBeUndefined()
  })

  it('waits no longer than the last of them lives, whatever became of the ledger and of the hosts', async () => {
    await issued(freshDid())
    await addWriters(db, forum, 3)
    await end()
    const ends = endsOn(roll, { isStillHeld: (space) => isStillHeld(db, space, roll.clock.nowSec()) })
    await ends.finish()
    expect(await noteOf(db, forum)).toMatchObject({ told: false })
    // It is taken for some seconds longer than it says.
    roll.clock.moveMs(604_000)
    await ends.finish()
    expect(await writersIn(db, forum)).toBe(0)
    expect(await noteOf(db, forum)).toMatchObject({ told: true })
    roll.clock.moveMs(1_000)
    expect(await ends.clear()).toBe(1)
    expect(await noteOf(db, forum)).toBeUndefined()
  })

  it('comes to every space with the end of their community, beside what clears its roll', async () => {
    const nowMs = roll.clock.nowMs()
    const other = await makeForum(roll, community, 'other')
    const neighbours = await openCommunity(roll)
    const lane = await register(roll, forum)
    await addWriters(db, other, 3)
    await put(roll, community.founder, forum, freshDid(), 'member')
    await withTransaction(db, (tx) => endRoll(tx, { actor: community.founder } as never, community.did, nowMs))
    for (const space of [forum, other, community.roster]) expect(await noteOf(db, space)).toMatchObject({ told: false })
    expect(await noteOf(db, neighbours.roster)).toBeUndefined()
    const ends = endsOn(roll)
    await Promise.all([ends.finish(), clearEndedRolls(db, 2)])
    while ((await clearEndedRolls(db, 2)) > 0);
    await ends.finish()
    for (const space of [forum, other, community.roster]) {
      expect(await leftOf(db, space)).toEqual({})
      expect(await noteOf(db, space)).toBeUndefined()
    }
    expect(await lanesOf(db, forum)).toEqual([{ id: lane, ended_at_ms: nowMs, look_at_ms: 0, turn: 4 }])
    expect(await leftOf(db, neighbours.roster)).toEqual({ 'person_edge.into_space': 1 })
  })
})
