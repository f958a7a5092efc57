/**
 * The ledger after something was taken from somebody: which credentials are taken back, by whom, for what, and that no note about it is
 * lost, whoever dies in between. The worker's turns are taken here by hand.
 */
import { sql } from 'kysely'
import { beforeEach, describe, expect, it } from 'vitest'
import { sealDue } from '../../src/audit/sealer.ts'
import { verifyChains } from '../../src/audit/verify.ts'
import { recheckDue } from '../../src/credential/recheck.ts'
import { federationOffer } from '../../src/federation/federationOffer.ts'
import { federationWithdraw } from '../../src/federation/federationWithdraw.ts'
import { Graphs } from '../../src/membership/graph.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberCreateInvite } from '../../src/membership/memberCreateInvite.ts'
import { memberUnban } from '../../src/membership/memberUnban.ts'
import { authorityOf, type ClientId, type Did, type SpaceUri } from '../../src/names.ts'
import { isoOf, systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Unavailable } from '../../src/refusals.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { Crash, dyingAfter } from '../kit/crashing.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase } from '../kit/databases.ts'
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
  remove,
  rollOn,
} from '../kit/roll.ts'
import { freshJti } from '../kit/tokens.ts'

const APP = 'https://app.example/client.json' as ClientId

/** A credential in the ledger, as the exchange writes it. */
async function issueTo(roll: Roll, space: SpaceUri, did: Did, clientId: ClientId | null = null): Promise<string> {
  const jti = freshJti()
  const nowSec = roll.clock.nowSec()
  await sql`insert into issuance (jti, space, community, did, client_id, holder, issued_at_sec, expires_at_sec, revision)
    values (${jti}, ${space}, ${authorityOf(space)}, ${did}, ${clientId}, 'key', ${nowSec}, ${nowSec + 600}, 1)`.execute(
    roll.db,
  )
  return jti
}

/** For each name, why it was taken back; null: it is good. */
async function takenBack(db: Db, jtis: readonly string[]): Promise<readonly (string | null)[]> {
  const { rows } = await sql<{ jti: string; why: string | null }>`select jti, revoked_because as why from issuance
    where jti = any(${jtis}::text[])`.execute(db)
  return jtis.map((jti) => rows.find((row) => row.jti === jti)?.why ?? null)
}

const notes = async (db: Db, community: Did): Promise<readonly (string | null)[]> =>
  (
    await sql<{
      did: string | null
    }>`select did from standing_moved where community = ${community} order by id`.execute(db)
  ).rows.map(({ did }) => did)

const journal = async (db: Db, community: Did) =>
  (
    await sql<{
      actor: string
      target: string
      subject: string
      because: { refused: string; revoked: number }
    }>`select actor, target, subject, because from audit_entry
      where community = ${community} and action = 'credential.revoke' order by id`.execute(db)
  ).rows

const worker = (roll: Roll, db: Db = roll.db) => ({ ...roll, db, log: silentLog })

describeOnEachEngine('the ledger', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  const [bob, carol] = [freshDid(), freshDid()]

  beforeEach(async () => {
    db ??= (await open()).db
    await sql`delete from standing_moved`.execute(db)
    roll = rollOn(db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
    for (const did of [bob, carol]) await put(roll, community.founder, forum, did, 'member')
    await recheckDue(worker(roll))
  })

  const banIn = (did: Did, more: object = { space: forum }) =>
    memberBan(roll, community.founder, { did, ...more } as Parameters<typeof memberBan>[2], once())

  it('takes back what a removed person holds, with every app, and nobody else’s', async () => {
    const elsewhere = await makeForum(roll, community, 'other')
    await put(roll, community.founder, elsewhere, bob, 'member')
    const theirs = [
      await issueTo(roll, forum, bob),
      await issueTo(roll, forum, bob, APP),
      await issueTo(roll, forum, bob),
    ]
    const others = [await issueTo(roll, forum, carol), await issueTo(roll, elsewhere, bob)]
    await remove(roll, community.founder, forum, bob)
    expect(await recheckDue(worker(roll))).toBe(3)
    expect(await takenBack(db, theirs)).toEqual(Array(3).fill('UserNotAuthorized'))
    expect(await takenBack(db, others)).toEqual([null, null])
    expect(await notes(db, community.did)).toEqual([])
  })

  it('says in the log whose, for which space, how many and why, in the name of the community', async () => {
    for (const clientId of [null, APP]) await issueTo(roll, forum, bob, clientId)
    await issueTo(roll, forum, bob)
    await banIn(bob)
    await recheckDue(worker(roll))
    const of = { actor: community.did, target: forum, subject: bob }
    const reasons = [{ rule: 'openToApps' }, { rule: 'ban', into: forum, action: 'read' }]
    const entries = await journal(db, community.did)
    expect(entries.toSorted((one, other) => other.because.revoked - one.because.revoked)).toEqual([
      { ...of, because: { refused: 'UserNotAuthorized', reasons, revoked: 2 } },
      { ...of, because: { refused: 'UserNotAuthorized', reasons, revoked: 1 } },
    ])
    const { rows } = await sql<{ by: string }>`select distinct revoked_by as by from issuance
      where did = ${bob} and community = ${community.did}`.execute(db)
    expect(rows).toEqual([{ by: community.did }])
  })

  it('leaves what was lost and given back before it was looked at', async () => {
    const jti = await issueTo(roll, forum, bob)
    await banIn(bob)
    await memberUnban(roll, community.founder, { space: forum, did: bob }, once())
    expect(await recheckDue(worker(roll))).toBe(0)
    expect(await takenBack(db, [jti])).toEqual([null])
  })

  it('leaves what was given back while it was being judged', async () => {
    const jti = await issueTo(roll, forum, bob)
    await remove(roll, community.founder, forum, bob)
    let isGiven = false
    const graphs = new Graphs()
    const slow: Graphs['atOneRevision'] = async (...args) => {
      const found = await graphs.atOneRevision(...args)
      if (!isGiven) {
        isGiven = true
        await put(roll, community.founder, forum, bob, 'member')
      }
      return found
    }
    const held = Object.assign(new Graphs(), { atOneRevision: slow })
    expect(await recheckDue({ ...worker(roll), graphs: held })).toBe(0)
    expect(isGiven).toBe(true)
    expect(await takenBack(db, [jti])).toEqual([null])
  })

  it('looks at everybody’s when a space ends, and tells that end', async () => {
    const jtis = [await issueTo(roll, forum, bob), await issueTo(roll, forum, carol)]
    await spaceDelete(roll as never, community.founder, { space: forum }, once())
    expect(await notes(db, community.did)).toEqual([null])
    await recheckDue(worker(roll))
    expect(await takenBack(db, jtis)).toEqual(['SpaceDeleted', 'SpaceDeleted'])
  })

  it('goes through more than one page', async () => {
    const jtis: string[] = []
    for (let at = 0; at < 230; at++) jtis.push(await issueTo(roll, forum, freshDid()))
    const good = await issueTo(roll, forum, bob)
    await sql`insert into standing_moved (community, did, revision) values (${community.did}, null, 0)`.execute(db)
    expect(await recheckDue(worker(roll))).toBe(230)
    expect(new Set(await takenBack(db, jtis))).toEqual(new Set(['UserNotAuthorized']))
    expect(await takenBack(db, [good])).toEqual([null])
  })

  it('takes back what outlives a membership that was given an end, when that has come', async () => {
    const jti = await issueTo(roll, forum, bob)
    const until = isoOf(roll.clock.nowMs() + 60_000)
    await put(roll, community.founder, forum, bob, 'member', { until })
    expect(await recheckDue(worker(roll))).toBe(0)
    expect(await notes(db, community.did), 'for later').toEqual([bob])
    await put(roll, community.founder, forum, bob, 'reader', { until })
    roll.clock.moveMs(59_000)
    expect(await recheckDue(worker(roll))).toBe(0)
    expect(await notes(db, community.did), 'once').toEqual([bob])
    roll.clock.moveMs(1_000)
    expect(await recheckDue(worker(roll))).toBe(1)
    expect(await takenBack(db, [jti])).toEqual(['UserNotAuthorized'])
    expect(await notes(db, community.did)).toEqual([])
  })

  it('leaves a community alone to which something was offered that it never took', async () => {
    const [giver, other] = [await openCommunity(roll), await openCommunity(roll)]
    const crew = await makeRoleSpace(roll, giver, 'crew')
    await federationOffer(roll, giver.founder, { space: crew, to: other.did }, once())
    await db.deleteFrom('standing_moved').execute()
    await put(roll, giver.founder, crew, freshDid(), 'reader')
    const noted = await db.selectFrom('standing_moved').select('community').execute()
    expect(noted).toEqual([{ community: giver.did }])
  })

  it('leaves what has ended by itself', async () => {
    const jti = await issueTo(roll, forum, bob)
    roll.clock.moveMs(606_000)
    await remove(roll, community.founder, forum, bob)
    expect(await recheckDue(worker(roll))).toBe(0)
    expect(await takenBack(db, [jti])).toEqual([null])
  })

  it('takes nothing back when it can’t decide, and tries again', async () => {
    const jti = await issueTo(roll, forum, bob)
    await remove(roll, community.founder, forum, bob)
    const broken = Object.assign(new Graphs(), {
      atOneRevision: async () => {
        throw new Unavailable('NotEnoughResources', 'graph')
      },
    })
    expect(await recheckDue({ ...worker(roll), graphs: broken })).toBe(0)
    expect(await takenBack(db, [jti])).toEqual([null])
    expect(await notes(db, community.did)).toEqual([bob])
    expect(await recheckDue(worker(roll)), 'not at once').toBe(0)
    roll.clock.moveMs(2_001)
    expect(await recheckDue(worker(roll))).toBe(1)
    expect(await notes(db, community.did)).toEqual([])
  })

  it('lets go of its notes when it is told to end, so that the next one goes on at once', async () => {
    await issueTo(roll, forum, bob)
    await remove(roll, community.founder, forum, bob)
    expect(await recheckDue(worker(roll), AbortSignal.abort())).toBe(0)
    expect(await recheckDue(worker(roll))).toBe(1)
  })

  it('loses nothing to a worker that dies, wherever it dies', async () => {
    const taken: number[] = []
    for (let at = 1; ; at++) {
      const jtis = [
        await issueTo(roll, forum, bob),
        await issueTo(roll, forum, bob, APP),
        await issueTo(roll, forum, carol),
      ]
      await banIn(bob)
      const before = (await journal(db, community.did)).length
      const dying = dyingAfter(db, at)
      const outcome = await recheckDue(worker(roll, dying.db)).catch((error: unknown) => error)
      const died = dying.hasDied()
      if (died) expect(outcome).toBeInstanceOf(Crash)
      roll.clock.moveMs(10_001)
      await recheckDue(worker(roll))
      expect(await takenBack(db, jtis), `${at}`).toEqual(['UserNotAuthorized', 'UserNotAuthorized', null])
      expect(await notes(db, community.did)).toEqual([])
      const entries = (await journal(db, community.did)).slice(before)
      taken.push(entries.reduce((sum, { because }) => sum + because.revoked, 0))
      await memberUnban(roll, community.founder, { space: forum, did: bob }, once())
      if (!died) break
    }
    expect(taken.length).toBeGreaterThan(5)
    expect(new Set(taken), 'each once').toEqual(new Set([2]))
    await sealDue(db)
    for await (const chain of verifyChains(db)) expect(chain).toMatchObject({ fault: null })
  })

  describe('is told', () => {
    it('of the one who was touched', async () => {
      await remove(roll, community.founder, forum, bob)
      await banIn(carol, { community: community.did })
      expect(await notes(db, community.did)).toEqual([bob, carol])
    })

    it('of everybody when it may concern anybody', async () => {
      const crew = await makeRoleSpace(roll, community, 'crew')
      await spaceDelete(roll as never, community.founder, { space: crew }, once())
      expect(await notes(db, community.did)).toEqual([null])
    })

    it('nothing of what takes nothing', async () => {
      await makeForum(roll, community, 'another')
      await banIn(bob)
      await sql`delete from standing_moved`.execute(db)
      await memberUnban(roll, community.founder, { space: forum, did: bob }, once())
      await memberCreateInvite(roll, community.founder, { space: forum, role: 'member' }, once())
      expect(await notes(db, community.did)).toEqual([])
    })

    it('nothing of a dry run, or of a change that is refused', async () => {
      await remove(roll, community.founder, forum, bob, { dryRun: true })
      await expect(remove(roll, bob, forum, carol)).rejects.toMatchObject({ code: 'Forbidden' })
      expect(await notes(db, community.did)).toEqual([])
    })
  })

  describe('of a community whose guests come from another', () => {
    let crew: SpaceUri
    let harbour: SpaceUri
    let hosts: Community
    const dan = freshDid()

    beforeEach(async () => {
      hosts = await openCommunity(roll)
      harbour = await makeForum(roll, hosts, 'harbour')
      crew = await makeRoleSpace(roll, community, 'crew')
      await put(roll, community.founder, crew, dan, 'member')
      await federationOffer(roll, community.founder, { space: crew, to: hosts.did }, once())
      await nest(roll, hosts.did, { into: harbour, from: crew, role: 'reader' })
      await recheckDue(worker(roll))
    })

    it('takes back what rested on an entry there', async () => {
      const jti = await issueTo(roll, harbour, dan)
      await remove(roll, community.founder, crew, dan)
      expect(await notes(db, hosts.did)).toEqual([dan])
      await recheckDue(worker(roll))
      expect(await takenBack(db, [jti])).toEqual(['UserNotAuthorized'])
    })

    it.each([
      [
        'an offer that was taken back',
        () => federationWithdraw(roll, community.founder, { space: crew, to: hosts.did }, once()),
      ],
      ['a space that was deleted', () => spaceDelete(roll as never, community.founder, { space: crew }, once())],
    ])('takes back what rested on %s', async (_what, end) => {
      const jti = await issueTo(roll, harbour, dan)
      await end()
      expect(await notes(db, hosts.did)).toEqual([null])
      await recheckDue(worker(roll))
      expect(await takenBack(db, [jti])).toEqual(['UserNotAuthorized'])
    })
  })
})

describe.runIf(hasPostgres)('two processes at one ledger', () => {
  it('take each credential back once, and leave nothing', async () => {
    const database = await openTestDatabase('postgres')
    const more = { dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock }
    const second = await openDatabase({ url: database.url, ...more })
    try {
      const rolls = [rollOn(database.db), rollOn(second.db)] as const
      const [roll] = rolls
      const community = await openCommunity(roll)
      const forum = await makeForum(roll, community, 'main')
      await sql`delete from standing_moved`.execute(database.db)
      const people = Array.from({ length: 300 }, freshDid)
      for (const did of people) await issueTo(roll, forum, did)
      for (const did of [null, ...people]) {
        await sql`insert into standing_moved (community, did, revision) values (${community.did}, ${did}, 0)`.execute(
          database.db,
        )
      }
      const counts = await Promise.all(rolls.flatMap((each) => [recheckDue(worker(each)), recheckDue(worker(each))]))
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(people.length)
      const entries = await journal(database.db, community.did)
      expect(entries.map(({ subject }) => subject).sort()).toEqual([...people].sort())
      expect(await notes(database.db, community.did)).toEqual([])
    } finally {
      await second.close()
      await database.close()
    }
  })
})
