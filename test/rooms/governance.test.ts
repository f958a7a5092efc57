/**
 * The one way of changing a community, on real databases: what it answers, in which order it refuses, and that a change is
 * whole or not at all.
 */
import { type AddressInfo, connect, createServer } from 'node:net'
import { sql } from 'kysely'
import { beforeAll, describe, expect, it } from 'vitest'
import { memberPut } from '../../src/membership/memberPut.ts'
import { memberRemove } from '../../src/membership/memberRemove.ts'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Secret } from '../../src/platform/secret.ts'
import { Refusal, Unavailable } from '../../src/refusals.ts'
import { spaceCreate } from '../../src/space/spaceCreate.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import {
  type Community,
  everythingIn,
  FORUM,
  freshDid,
  keyed,
  makeForum,
  once,
  openCommunity,
  put,
  type Roll,
  remove,
  rollOn,
} from '../kit/roll.ts'
import { verdictOf } from '../kit/verdicts.ts'

const revisionOf = async (db: Db, community: Did): Promise<number> =>
  (
    await db
      .selectFrom('community_revision')
      .select('revision')
      .where('community', '=', community)
      .executeTakeFirstOrThrow()
  ).revision
const ownersOf = async (db: Db, { roster }: Community): Promise<string[]> =>
  (
    await db
      .selectFrom('person_edge')
      .select('did')
      .where('into_space', '=', roster)
      .where('role', '=', 'owner')
      .execute()
  ).map(({ did }) => did)
const chainOf = (db: Db, community: Did) =>
  db
    .selectFrom('audit_entry')
    .select(['seq', 'action', 'actor', 'subject', 'because'])
    .where('community', '=', community)
    .where('seq', 'is not', null)
    .orderBy('seq')
    .execute()

describeOnEachEngine('a change of governance', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: string
  let owner: Did

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    owner = community.founder
    forum = await makeForum(roll, community, 'main')
  })

  it('answers the revision it made, one more with every change', async () => {
    const [bob, carol] = [freshDid(), freshDid()]
    const before = await revisionOf(db, community.did)
    expect(await put(roll, owner, forum, bob, 'member')).toEqual({ revision: before + 1 })
    expect(await put(roll, owner, forum, carol, 'reader')).toEqual({ revision: before + 2 })
    expect(await remove(roll, owner, forum, bob)).toEqual({ revision: before + 3 })
    expect(await revisionOf(db, community.did)).toBe(before + 3)
  })

  it('that changes nothing is answered alike, and leaves the revision and the log alone', async () => {
    const bob = freshDid()
    const { revision } = await put(roll, owner, forum, bob, 'member', { until: '2999-01-01T00:00:00Z' })
    const before = await everythingIn(db)
    expect(await put(roll, owner, forum, bob, 'member', { until: '2999-01-01T00:00:00.000Z' })).toEqual({ revision })
    expect(await remove(roll, owner, forum, freshDid())).toEqual({ revision })
    expect(await everythingIn(db)).toEqual(before)
  })

  it('is refused at another revision than the caller expects', async () => {
    const bob = freshDid()
    const now = await revisionOf(db, community.did)
    for (const ifRevision of [0, now - 1, now + 1, Number.MAX_SAFE_INTEGER]) {
      expect(await verdictOf(() => put(roll, owner, forum, bob, 'member', { ifRevision }))).toBe('StaleRevision')
      expect(await verdictOf(() => remove(roll, owner, forum, bob, { ifRevision }))).toBe('StaleRevision')
      const input = { community: community.did, spaceType: FORUM, skey: 'stale', ifRevision }
      expect(await verdictOf(() => spaceCreate(roll, owner, input, once()))).toBe('StaleRevision')
    }
    expect(await revisionOf(db, community.did)).toBe(now)
    expect(await put(roll, owner, forum, bob, 'member', { ifRevision: now })).toEqual({ revision: now + 1 })
  })

  it('tells strangers nothing of the revision, nor whether they guessed it', async () => {
    const now = await revisionOf(db, community.did)
    for (const ifRevision of [now, now + 1]) {
      expect(await verdictOf(() => put(roll, freshDid(), forum, freshDid(), 'member', { ifRevision }))).toBe('NotFound')
    }
  })

  it('of a community that nobody opened here is not found', async () => {
    const elsewhere = forum.replace(community.did, freshDid())
    expect(await verdictOf(() => put(roll, owner, elsewhere, freshDid(), 'member'))).toBe('NotFound')
    expect(await verdictOf(() => remove(roll, owner, elsewhere, freshDid()))).toBe('NotFound')
  })

  describe('under an idempotencyKey', () => {
    const method = 'community.reeve.member.put'
    const bodyFor = (did: Did, role = 'member') => ({ space: forum, did, role })
    const putUnder = (key: string, body: ReturnType<typeof bodyFor>, actor = owner) =>
      memberPut(roll, actor, body, keyed(actor, method, key, body))

    it('is carried out once, and answered alike also when the community has moved on', async () => {
      const body = bodyFor(freshDid())
      const first = await putUnder('k1', body)
      await put(roll, owner, forum, freshDid(), 'member')
      const before = await everythingIn(db)
      expect(await putUnder('k1', body)).toEqual(first)
      expect(await putUnder('k1', { role: body.role, did: body.did, space: body.space })).toEqual(first)
      expect(await everythingIn(db)).toEqual(before)
    })

    it('contradicts itself with another body, and changes nothing', async () => {
      const did = freshDid()
      await putUnder('k2', bodyFor(did))
      const before = await everythingIn(db)
      expect(await verdictOf(() => putUnder('k2', bodyFor(did, 'reader')))).toBe('IdempotencyConflict')
      expect(await verdictOf(() => putUnder('k2', bodyFor(freshDid())))).toBe('IdempotencyConflict')
      expect(await everythingIn(db)).toEqual(before)
    })

    it("is one call's own: the same key of another person, or for another method, is another call", async () => {
      const admin = freshDid()
      await put(roll, owner, forum, admin, 'admin')
      const [first, second] = [freshDid(), freshDid()]
      const { revision } = await putUnder('k3', bodyFor(first))
      expect(await putUnder('k3', bodyFor(second), admin)).toEqual({ revision: revision + 1 })
      const gone = { space: forum, did: second }
      const call = keyed(owner, 'community.reeve.member.remove', 'k3', gone)
      expect(await memberRemove(roll, owner, gone, call)).toEqual({ revision: revision + 2 })
    })

    it('is carried out once when it comes many times at once', async () => {
      const body = bodyFor(freshDid())
      const before = await revisionOf(db, community.did)
      const answers = await Promise.all(Array.from({ length: 6 }, () => putUnder('k4', body)))
      expect(answers).toEqual(Array(6).fill({ revision: before + 1 }))
      expect(await revisionOf(db, community.did)).toBe(before + 1)
    })

    it('is judged anew after a refusal, which uses up no key', async () => {
      const [moderator, bob] = [freshDid(), freshDid()]
      await put(roll, owner, forum, moderator, 'member')
      const body = bodyFor(bob)
      expect(await verdictOf(() => putUnder('k5', body, moderator))).toBe('Forbidden')
      await put(roll, owner, forum, moderator, 'moderator')
      expect(await putUnder('k5', body, moderator)).toHaveProperty('revision')
    })

    it('is answered again to somebody who left by it', async () => {
      const bob = freshDid()
      await put(roll, owner, forum, bob, 'member')
      const body = { space: forum, did: bob }
      const leave = () => memberRemove(roll, bob, body, keyed(bob, 'community.reeve.member.remove', 'bye', body))
      const answer = await leave()
      expect(await leave()).toEqual(answer)
      expect(await verdictOf(() => remove(roll, bob, forum, bob))).toBe('NotFound')
    })

    it('keeps also the answer of a call that changed nothing', async () => {
      const bob = freshDid()
      const { revision } = await put(roll, owner, forum, bob, 'member')
      expect(await putUnder('k6', bodyFor(bob))).toEqual({ revision })
      await remove(roll, owner, forum, bob)
      expect(await putUnder('k6', bodyFor(bob))).toEqual({ revision })
    })
  })

  describe('that loses against another one in the database', () => {
    /** The next `times` changes by this actor fail as a deadlock does; a sequence counts, since it is not rolled back. */
    const loseNext = async (actor: Did, times: number) => {
      await sql`create sequence if not exists lost`.execute(db)
      await sql`alter sequence lost restart`.execute(db)
      await sql`create or replace function lose() returns trigger language plpgsql as ${sql.lit(
        `begin if nextval('lost') <= ${times} then raise exception 'lost' using errcode = '40P01'; end if; return new; end`,
      )}`.execute(db)
      await sql`create or replace trigger lose before insert on audit_entry for each row
        when (new.actor = ${sql.lit(actor)}) execute function lose()`.execute(db)
    }

    it('is tried again, and done once', async () => {
      const loser = freshDid()
      await put(roll, owner, forum, loser, 'admin')
      const now = await revisionOf(db, community.did)
      for (const times of [1, 3]) {
        await loseNext(loser, times)
        expect(await put(roll, loser, forum, freshDid(), 'member')).toHaveProperty('revision')
      }
      expect(await revisionOf(db, community.did)).toBe(now + 2)
      expect((await chainOf(db, community.did)).filter(({ actor }) => actor === loser)).toHaveLength(2)
    })

    it('is given up after the fourth time, with nothing changed', async () => {
      const loser = freshDid()
      await put(roll, owner, forum, loser, 'admin')
      await loseNext(loser, 4)
      const before = await everythingIn(db)
      const error = await put(roll, loser, forum, freshDid(), 'member').catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(Unavailable)
      expect(await everythingIn(db)).toEqual(before)
      expect(await put(roll, loser, forum, freshDid(), 'member')).toHaveProperty('revision')
    })
  })

  describe('that the log does not take', () => {
    const failWith = (state: string) =>
      sql`create or replace function refuse_the_log() returns trigger language plpgsql as ${sql.lit(
        `begin raise exception 'the log is full' using errcode = '${state}'; end`,
      )}`.execute(db)

    beforeAll(async () => {
      await failWith('53100')
      await sql`create trigger refuse_the_log before insert on audit_entry for each row
        when (new.actor = 'did:web:unlogged.example.com') execute function refuse_the_log()`.execute(db)
    })

    it('does not happen, and is our own trouble', async () => {
      const unlogged = 'did:web:unlogged.example.com' as Did
      for (const space of [forum, community.roster]) await put(roll, owner, space, unlogged, 'admin')
      const before = await everythingIn(db)
      for (const state of ['53100', 'P0001']) {
        await failWith(state)
        const body = { space: forum, did: freshDid(), role: 'member' }
        const failing = [
          () => put(roll, unlogged, forum, body.did, 'member'),
          () => remove(roll, unlogged, forum, unlogged),
          () => memberPut(roll, unlogged, body, keyed(unlogged, 'community.reeve.member.put', state, body)),
          () => spaceCreate(roll, unlogged, { community: community.did, spaceType: FORUM, skey: 'silent' }, once()),
        ]
        for (const change of failing) {
          const error = await change().then(
            () => null,
            (thrown: unknown) => thrown,
          )
          expect(error).toBeInstanceOf(Error)
          expect(error).not.toBeInstanceOf(Refusal)
          expect(error instanceof Unavailable).toBe(state === '53100')
          expect(await everythingIn(db)).toEqual(before)
        }
      }
    })
  })
})

describeOnEachEngine('changes at once', (open) => {
  let db: Db
  let roll: Roll

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
  })

  it('of one community happen one after the other, each with its own revision and one row in the log', async () => {
    const community = await openCommunity(roll)
    const forum = await makeForum(roll, community, 'main')
    const before = await revisionOf(db, community.did)
    const people = Array.from({ length: 24 }, freshDid)
    const answers = await Promise.all(people.map((did) => put(roll, community.founder, forum, did, 'member')))
    const revisions = answers.map(({ revision }) => revision).sort((a, b) => a - b)
    expect(revisions).toEqual(people.map((_, at) => before + 1 + at))
    const chain = (await chainOf(db, community.did)).slice(before)
    expect(chain.map(({ seq }) => seq)).toEqual(revisions)
    expect(chain.map(({ because }) => Reflect.get(Object(because), 'revision'))).toEqual(revisions)
    for (const [at, did] of people.entries()) {
      const row = chain.find(({ subject }) => subject === did)
      expect(Reflect.get(Object(row?.because), 'revision')).toBe(answers[at]?.revision)
    }
  })

  it('by which two owners put each other out: one is done, the other stands outside by then', async () => {
    for (let round = 0; round < 5; round++) {
      const community = await openCommunity(roll)
      const [alice, bob] = [community.founder, freshDid()]
      await put(roll, alice, community.roster, bob, 'owner')
      const verdicts = await Promise.all([
        verdictOf(() => remove(roll, alice, community.roster, bob)),
        verdictOf(() => remove(roll, bob, community.roster, alice)),
      ])
      expect(verdicts.sort()).toEqual(['NotFound', 'accepted'])
      expect(await ownersOf(db, community)).toHaveLength(1)
    }
  })

  it('by which owners leave, remove and demote each other never leave a community without one', async () => {
    for (let round = 0; round < 5; round++) {
      const community = await openCommunity(roll)
      const { roster } = community
      const owners = [community.founder, ...Array.from({ length: 3 }, freshDid)]
      for (const did of owners) await put(roll, community.founder, roster, did, 'owner')
      const attacks = owners.flatMap((actor, at) => {
        const next = owners[(at + 1) % owners.length] as Did
        return [
          () => remove(roll, actor, roster, actor),
          () => remove(roll, actor, roster, next),
          () => put(roll, actor, roster, next, 'admin'),
        ]
      })
      const verdicts = await Promise.all(attacks.map((attack) => verdictOf(attack)))
      expect(verdicts).toContain('accepted')
      expect((await ownersOf(db, community)).length).toBeGreaterThan(0)
    }
  })
})

describe.runIf(hasPostgres)('two processes on one PostgreSQL', () => {
  let database: TestDatabase
  let second: Awaited<ReturnType<typeof openDatabase>>
  let here: Roll
  let there: Roll

  beforeAll(async () => {
    database = await openTestDatabase('postgres')
    second = await openDatabase({
      ...{ url: database.url, dataDir: '', allowUnsafe: true },
      ...{ log: silentLog, clock: systemClock },
    })
    here = rollOn(database.db)
    there = rollOn(second.db)
    return async () => {
      await second.close()
      await database.close()
    }
  })

  it('do not let two owners put each other out', async () => {
    for (let round = 0; round < 10; round++) {
      const community = await openCommunity(here)
      const [alice, bob] = [community.founder, freshDid()]
      await put(here, alice, community.roster, bob, 'owner')
      const verdicts = await Promise.all([
        verdictOf(() => remove(here, alice, community.roster, bob)),
        verdictOf(() => remove(there, bob, community.roster, alice)),
      ])
      expect(verdicts).toContain('accepted')
      expect(verdicts.filter((verdict) => verdict === 'accepted')).toHaveLength(1)
      expect(await ownersOf(database.db, community)).toHaveLength(1)
    }
  })

  it('wait for each other: who comes second is judged by what the first has done', async () => {
    const community = await openCommunity(here)
    const [alice, bob] = [community.founder, freshDid()]
    await put(here, alice, community.roster, bob, 'owner')
    let loser: Promise<string> | null = null
    await database.db.transaction().execute(async (tx) => {
      await tx
        .selectFrom('community_revision')
        .select('revision')
        .where('community', '=', community.did)
        .forUpdate()
        .execute()
      loser = verdictOf(() => remove(there, bob, community.roster, alice))
      await untilSomebodyWaits(tx)
      await tx.deleteFrom('person_edge').where('did', '=', bob).execute()
    })
    expect(await loser).toBe('NotFound')
    expect(await ownersOf(database.db, community)).toEqual([alice])
  })

  it('carry out a call once that reaches both under one key', async () => {
    const community = await openCommunity(here)
    for (let round = 0; round < 10; round++) {
      const { revision } = await put(here, community.founder, community.roster, freshDid(), 'member')
      const body = { space: community.roster, did: freshDid(), role: 'member' }
      const call = keyed(community.founder, 'community.reeve.member.put', `both-${round}`, body)
      const answers = await Promise.all([here, there].map((roll) => memberPut(roll, community.founder, body, call)))
      expect(answers).toEqual([{ revision: revision + 1 }, { revision: revision + 1 }])
    }
  })

  it('find out by the key what became of a change whose answer was lost on the way', async () => {
    const community = await openCommunity(here)
    for (const moment of ['before', 'after'] as const) {
      const wire = await openCuttableWire(database, moment)
      const far = await openDatabase({
        ...{ url: wire.url, dataDir: '', allowUnsafe: true },
        ...{ log: silentLog, clock: systemClock },
      })
      try {
        const body = { space: community.roster, did: freshDid(), role: 'member' }
        const call = keyed(community.founder, 'community.reeve.member.put', `lost-${moment}`, body)
        const { revision } = await put(here, community.founder, community.roster, freshDid(), 'member')
        wire.cutNextCommit()
        const error = await memberPut(rollOn(far.db), community.founder, body, call).catch((thrown: unknown) => thrown)
        expect(error).toBeInstanceOf(Unavailable)
        expect(await revisionOf(database.db, community.did)).toBe(moment === 'after' ? revision + 1 : revision)
        expect(await memberPut(there, community.founder, body, call)).toEqual({ revision: revision + 1 })
        expect(await revisionOf(database.db, community.did)).toBe(revision + 1)
      } finally {
        await far.close()
        wire.close()
      }
    }
  })

  it('make a space of one name once', async () => {
    const community = await openCommunity(here)
    for (let round = 0; round < 10; round++) {
      const input = { community: community.did, spaceType: FORUM, skey: `round-${round}` }
      const verdicts = await Promise.all(
        [here, there].map((roll) => verdictOf(() => spaceCreate(roll, community.founder, input, once()))),
      )
      expect(verdicts.sort()).toEqual(['SpaceAlreadyExists', 'accepted'])
    }
  })
})

/** A wire to the database that can be cut just before a COMMIT goes through, or just before its answer comes back. */
async function openCuttableWire(database: TestDatabase, moment: 'before' | 'after') {
  const target = new URL(database.url?.reveal() ?? '')
  let isArmed = false
  const server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname)
    let isCut = false
    const cut = () => {
      near.destroy()
      far.destroy()
    }
    near.on('data', (chunk) => {
      isCut = isArmed && chunk.includes('commit')
      if (isCut) isArmed = false
      if (isCut && moment === 'before') cut()
      else far.write(chunk)
    })
    far.on('data', (chunk) => (isCut ? cut() : near.write(chunk)))
    for (const end of [near, far]) end.on('error', cut).on('close', cut)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: new Secret(url.href),
    cutNextCommit: () => {
      isArmed = true
    },
    close: () => server.close(),
  }
}

/** Waits until another connection waits for a lock: no time is measured, the server is asked. */
async function untilSomebodyWaits(db: Db): Promise<void> {
  for (;;) {
    const { rows } =
      await sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
        db,
      )
    if (rows.length > 0) return
  }
}
