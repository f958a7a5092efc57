/**
 * The log on real databases: one chained row for every change, in the order of commits; decisions and refusals sealed a moment
 * later; and whatever is done to the rows behind its back is found.
 */
import { createHash } from 'node:crypto'
import { encode } from '@ipld/dag-cbor'
import { sql } from 'kysely'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type AuditFact, CHAIN_START, hashOf } from '../../src/audit/chain.ts'
import { sealDue } from '../../src/audit/sealer.ts'
import { appendUnsealed } from '../../src/audit/store.ts'
import { type ChainReport, verifyChains } from '../../src/audit/verify.ts'
import { auditList } from '../../src/community/auditList.ts'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { type Community, freshDid, makeForum, openCommunity, put, type Roll, remove, rollOn } from '../kit/roll.ts'
import { verdictOf } from '../kit/verdicts.ts'

interface Entry {
  readonly seq: number | null
  readonly at: string
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly subject?: string
  readonly because: Record<string, unknown>
  readonly hash: string | null
  readonly prev: string | null
}

const list = async (roll: Roll, caller: Did, community: Did, more: object = {}) => {
  const page = await auditList(roll, caller, { community, limit: 100, ...more })
  // What a reader gets is JSON, and nothing else may be needed to follow the chain.
  return JSON.parse(JSON.stringify(page)) as { entries: Entry[]; cursor?: string }
}

const reportsOf = async (db: Db): Promise<ChainReport[]> => {
  const reports: ChainReport[] = []
  for await (const report of verifyChains(db)) reports.push(report)
  return reports
}
const reportOf = async (db: Db, { did }: Community): Promise<ChainReport | undefined> =>
  (await reportsOf(db)).find(({ community }) => community === did)

const factAbout = (community: Did, at: number): AuditFact => ({
  ...{ community, atMs: at, actor: 'did:web:reader.example.com', action: 'credential.issue' },
  ...{ target: `at://${community}/space/com.atmoboards.forum/main`, subject: null, because: { at, reasons: [] } },
})

describeOnEachEngine('the log', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: string

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
  })
  beforeEach(async () => {
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
  })

  it('has one chained row for every change, in the order in which they were kept', async () => {
    const [bob, carol] = [freshDid(), freshDid()]
    await put(roll, community.founder, forum, bob, 'admin')
    await put(roll, bob, forum, carol, 'reader')
    await put(roll, bob, forum, carol, 'reader')
    await remove(roll, carol, forum, carol)
    const { entries } = await list(roll, community.founder, community.did)
    const told = entries.map(({ seq, actor, action, subject, because }) => [
      seq,
      actor,
      action,
      subject,
      because.revision,
    ])
    expect(told.reverse()).toEqual([
      [1, community.founder, 'community.mint', community.founder, 1],
      [2, community.founder, 'space.create', undefined, 2],
      [3, community.founder, 'member.put', bob, 3],
      [4, bob, 'member.put', carol, 4],
      [5, carol, 'member.remove', carol, 5],
    ])
  })

  it('says what was changed and why it was allowed, in codes, names and numbers', async () => {
    const [bob, until] = [freshDid(), '2030-01-01T00:00:00.000Z']
    await put(roll, community.founder, forum, bob, 'reader', { until })
    await put(roll, community.founder, forum, bob, 'member')
    await remove(roll, bob, forum, bob)
    const { entries } = await list(roll, community.founder, community.did)
    const owners = [
      { rule: 'edge', into: forum, from: community.roster, role: 'owner' },
      { rule: 'edge', into: community.roster, from: community.founder, role: 'owner' },
    ]
    expect(entries.slice(0, 3).map(({ because }) => because)).toEqual([
      { reasons: [{ rule: 'self', into: forum, from: bob }], revision: 5, roleBefore: 'member' },
      { reasons: owners, revision: 4, role: 'member', roleBefore: 'reader', sinceMs: null, untilMs: null },
      { reasons: owners, revision: 3, role: 'reader', roleBefore: null, sinceMs: null, untilMs: Date.parse(until) },
    ])
  })

  it('can be followed by anybody from what audit.list shows, by SHA-256 and DAG-CBOR alone', async () => {
    for (const role of ['reader', 'member', 'admin']) await put(roll, community.founder, forum, freshDid(), role)
    await verdictOf(() => put(roll, community.founder, community.roster, community.founder, 'admin'))
    await appendUnsealed(db, factAbout(community.did, roll.clock.nowMs()))
    await sealDue(db)
    const { entries } = await list(roll, community.founder, community.did)
    expect(entries).toHaveLength(7)
    let prev = '00'.repeat(32)
    for (const [at, entry] of entries.reverse().entries()) {
      expect(entry.seq).toBe(at + 1)
      expect(entry.prev).toBe(prev)
      const { seq, actor, action, target, because } = entry
      const bytes = encode({
        ...{ v: 1, community: community.did, seq, atMs: Date.parse(entry.at), actor, action, target },
        ...{ subject: entry.subject ?? null, because, prev: new Uint8Array(Buffer.from(prev, 'hex')) },
      })
      prev = createHash('sha256').update('reeve-audit-v1\n').update(bytes).digest('hex')
      expect(entry.hash).toBe(prev)
    }
    expect(Buffer.from((await reportOf(db, community))?.head ?? []).toString('hex')).toBe(prev)
  })

  it('keeps the refusals of those who stand in the community, and not those of strangers', async () => {
    const [member, admin] = [freshDid(), freshDid()]
    await put(roll, community.founder, forum, member, 'member')
    await put(roll, community.founder, community.roster, admin, 'admin')
    const { founder, roster } = community
    const attempts: [() => Promise<unknown>, string][] = [
      [() => put(roll, member, forum, freshDid(), 'reader'), 'Forbidden'],
      [() => put(roll, admin, roster, admin, 'owner'), 'EscalationDenied'],
      [() => remove(roll, founder, roster, founder), 'LastOwner'],
      [() => put(roll, freshDid(), forum, freshDid(), 'reader'), 'NotFound'],
      [() => put(roll, founder, forum, freshDid(), 'ghost'), 'UnknownRole'],
      [() => put(roll, founder, forum, freshDid(), 'reader', { ifRevision: 0 }), 'StaleRevision'],
    ]
    for (const [attempt, code] of attempts) expect(await verdictOf(attempt)).toBe(code)

    const kept = (await list(roll, founder, community.did)).entries.slice(0, 3).reverse()
    expect(kept).toMatchObject([
      { seq: null, hash: null, prev: null, actor: member, action: 'member.put', target: forum },
      { seq: null, actor: admin, action: 'member.put', target: roster, subject: admin },
      { seq: null, actor: founder, action: 'member.remove', target: roster, subject: founder },
    ])
    expect(kept.map(({ because }) => because)).toEqual([
      { refused: 'Forbidden', reasons: [{ rule: 'noPath', into: forum, action: 'members.add' }] },
      { refused: 'EscalationDenied', reasons: [{ rule: 'bound', into: roster, action: 'keys.ceremony' }] },
      { refused: 'LastOwner', reasons: [{ rule: 'lastOwner' }] },
    ])
    expect((await list(roll, founder, community.did)).entries).toHaveLength(7)

    await sealDue(db)
    expect((await list(roll, founder, community.did)).entries.map(({ seq }) => seq)).toEqual([7, 6, 5, 4, 3, 2, 1])
    expect(await reportOf(db, community)).toMatchObject({ rows: 7, fault: null })
  })

  it('seals what waits in the order in which it came, in as many batches as it takes, and then no more', async () => {
    await sealDue(db)
    for (let at = 0; at < 600; at++) await appendUnsealed(db, factAbout(community.did, at))
    await put(roll, community.founder, forum, freshDid(), 'reader')
    expect(await sealDue(db)).toBe(600)
    expect(await sealDue(db)).toBe(0)
    const rows = await db
      .selectFrom('audit_entry')
      .select('because')
      .where('community', '=', community.did)
      .where('seq', '>', 3)
      .orderBy('seq')
      .execute()
    expect(rows.map(({ because }) => Reflect.get(Object(because), 'at'))).toEqual(
      Array.from({ length: 600 }, (_, at) => at),
    )
    expect(await reportOf(db, community)).toMatchObject({ rows: 603, fault: null })
  })

  describe('is listed', () => {
    it('to owners and admins of the roster, and to nobody else', async () => {
      const verdicts: Record<string, string> = {}
      for (const role of ['admin', 'moderator', 'member', 'writer', 'reader']) {
        const did = freshDid()
        await put(roll, community.founder, community.roster, did, role)
        verdicts[role] = await verdictOf(() => list(roll, did, community.did))
      }
      const not = { moderator: 'Forbidden', member: 'Forbidden', writer: 'Forbidden', reader: 'Forbidden' }
      expect(verdicts).toEqual({ admin: 'accepted', ...not })
      const lord = freshDid()
      await put(roll, community.founder, forum, lord, 'admin')
      const other = await openCommunity(roll)
      for (const did of [lord, freshDid(), other.founder, community.did]) {
        expect(await verdictOf(() => list(roll, did, community.did))).toBe('NotFound')
      }
      expect(await verdictOf(() => list(roll, community.founder, freshDid()))).toBe('NotFound')
    })

    it('in pages of any size, complete, each row once, newest first, while more is written', async () => {
      for (let at = 0; at < 9; at++) await put(roll, community.founder, forum, freshDid(), 'reader')
      const pagesOf = async (limit: number, between: () => Promise<unknown> = async () => {}) => {
        const seen: (number | null)[] = []
        for (let cursor: string | undefined; ; ) {
          const page = await list(roll, community.founder, community.did, { limit, ...(cursor ? { cursor } : {}) })
          seen.push(...page.entries.map(({ seq }) => seq))
          cursor = page.cursor
          if (cursor === undefined) return seen
          await between()
        }
      }
      const all = Array.from({ length: 11 }, (_, at) => 11 - at)
      for (const limit of [1, 2, 3, 10, 11, 12, 100]) expect(await pagesOf(limit)).toEqual(all)
      expect(await pagesOf(3, () => put(roll, community.founder, forum, freshDid(), 'reader'))).toEqual(all)
    })

    it('by actor, by action, and by the person or the space concerned', async () => {
      const [admin, bob] = [freshDid(), freshDid()]
      await put(roll, community.founder, forum, admin, 'admin')
      await put(roll, admin, forum, bob, 'reader')
      await remove(roll, bob, forum, bob)
      const seqs = async (filter: object) =>
        (await list(roll, community.founder, community.did, filter)).entries.map(({ seq }) => seq)
      expect(await seqs({ actor: admin })).toEqual([4])
      expect(await seqs({ subject: bob })).toEqual([5, 4])
      expect(await seqs({ subject: forum })).toEqual([5, 4, 3, 2])
      expect(await seqs({ action: 'member.put' })).toEqual([4, 3])
      expect(await seqs({ action: 'member.put', subject: bob, actor: admin })).toEqual([4])
      expect(await seqs({ action: 'member.put', actor: bob })).toEqual([])
      expect(await seqs({ action: "x' or '1'='1" })).toEqual([])
      expect(await seqs({ subject: '%' })).toEqual([])
    })

    it('from a cursor that we gave, and from no other', async () => {
      for (const cursor of ['0', '-1', '01', '1e3', '1.5', ' 1', 'abc', '9'.repeat(16), '1; drop table audit_entry']) {
        expect(await verdictOf(() => list(roll, community.founder, community.did, { cursor }))).toBe('InvalidRequest')
      }
      expect((await list(roll, community.founder, community.did, { cursor: '1' })).entries).toEqual([])
      const all = (await list(roll, community.founder, community.did)).entries
      expect((await list(roll, community.founder, community.did, { cursor: '9'.repeat(15) })).entries).toEqual(all)
    })

    it('without a row of another community, whatever the cursor', async () => {
      const other = await openCommunity(roll)
      const { entries } = await list(roll, other.founder, other.did, { cursor: '9'.repeat(15) })
      expect(entries).toHaveLength(1)
      expect(entries[0]).toMatchObject({ target: other.did, action: 'community.mint' })
    })
  })

  it('takes no change and no removal of a row, but its one sealing', async () => {
    await appendUnsealed(db, factAbout(community.did, 1))
    const of = sql`where community = ${community.did}`
    const attempts = [
      sql`update audit_entry set actor = 'did:web:nobody.example.com' ${of}`,
      sql`update audit_entry set because = '{}' ${of}`,
      sql`update audit_entry set hash = prev ${of} and seq = 2`,
      sql`update audit_entry set seq = null, hash = null, prev = null ${of} and seq = 2`,
      sql`update audit_entry set at_ms = 0, seq = 9, hash = ${CHAIN_START}, prev = ${CHAIN_START} ${of} and seq is null`,
      sql`update audit_entry set community = ${freshDid()} ${of}`,
      sql`delete from audit_entry ${of}`,
      sql`delete from audit_entry ${of} and seq is null`,
      sql`truncate audit_entry`,
      sql`insert into audit_entry (community, at_ms, actor, action, target, because, seq, hash, prev)
        values (${community.did}, 0, 'a', 'b', 'c', '{}', 0, ${CHAIN_START}, ${CHAIN_START})`,
    ]
    for (const attempt of attempts) await expect(attempt.execute(db)).rejects.toThrow()
    expect(await sealDue(db)).toBe(1)
    expect(await reportOf(db, community)).toMatchObject({ rows: 3, fault: null })
  })
})

describeOnEachEngine('a log that was tampered with', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  const ROWS = 8

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    await sql`drop trigger audit_entry_append_only on audit_entry`.execute(db)
  })
  beforeEach(async () => {
    community = await openCommunity(roll)
    for (let at = 1; at < ROWS; at++) await put(roll, community.founder, community.roster, freshDid(), 'reader')
    expect(await reportOf(db, community)).toMatchObject({ rows: ROWS, fault: null })
  })

  const tamper = async (...statements: ReturnType<typeof sql>[]) => {
    for (const statement of statements) await statement.execute(db)
    return (await reportOf(db, community))?.fault
  }
  const row = (seq: number) => sql`where community = ${community.did} and seq = ${seq}`

  it('is found at the row that was edited, whatever was edited in it', async () => {
    const edits = [
      sql`actor = 'did:web:somebody.example.com'`,
      sql`action = 'member.remove'`,
      sql`target = target || 'x'`,
      sql`subject = null`,
      sql`at_ms = at_ms + 1`,
      sql`because = jsonb_set(because, '{role}', '"owner"')`,
      sql`because = because - 'revision'`,
      sql`because = because || '{"more": 1}'`,
    ]
    for (const edit of edits) {
      await sql`create temporary table kept as select * from audit_entry ${row(3)}`.execute(db)
      expect(await tamper(sql`update audit_entry set ${edit} ${row(3)}`)).toEqual({ seq: 3, fault: 'wrong-hash' })
      await sql`delete from audit_entry ${row(3)}`.execute(db)
      await sql`insert into audit_entry overriding system value select * from kept`.execute(db)
      await sql`drop table kept`.execute(db)
      expect((await reportOf(db, community))?.fault).toBeNull()
    }
    expect(await tamper(sql`update audit_entry set prev = ${CHAIN_START} ${row(3)}`)).toEqual({
      ...{ seq: 3, fault: 'wrong-prev' },
    })
  })

  it('is found where a row is missing, also when those behind it were moved up', async () => {
    expect(await tamper(sql`delete from audit_entry ${row(4)}`)).toEqual({ seq: 4, fault: 'missing-row' })
    const moveUp = Array.from(
      { length: ROWS - 4 },
      (_, at) => sql`update audit_entry set seq = ${at + 4} ${row(at + 5)}`,
    )
    expect(await tamper(...moveUp)).toEqual({ seq: 4, fault: 'wrong-prev' })
  })

  it('is found where the first row is missing, or all of them', async () => {
    expect(await tamper(sql`delete from audit_entry ${row(1)}`)).toEqual({ seq: 1, fault: 'missing-row' })
    expect(await tamper(sql`delete from audit_entry where community = ${community.did}`)).toEqual({
      ...{ seq: 0, fault: 'wrong-head' },
    })
  })

  it('is found behind a row that was put in, even if its own hash is right', async () => {
    const before = await db
      .selectFrom('audit_entry')
      .selectAll()
      .where('community', '=', community.did)
      .where('seq', '=', 4)
      .executeTakeFirstOrThrow()
    for (let seq = ROWS; seq > 4; seq--) await sql`update audit_entry set seq = ${seq + 1} ${row(seq)}`.execute(db)
    const fact = factAbout(community.did, 5)
    const prev = before.hash ?? CHAIN_START
    await db
      .insertInto('audit_entry')
      .values({
        ...{ community: fact.community, at_ms: fact.atMs, actor: fact.actor, action: fact.action, target: fact.target },
        ...{ subject: null, because: JSON.stringify(fact.because), seq: 5, hash: hashOf(fact, 5, prev), prev },
      })
      .execute()
    expect((await reportOf(db, community))?.fault).toEqual({ seq: 6, fault: 'wrong-prev' })
  })

  it('is found where two rows changed places', async () => {
    const swap = [
      sql`update audit_entry set seq = 99 ${row(5)}`,
      sql`update audit_entry set seq = 5 ${row(6)}`,
      sql`update audit_entry set seq = 6 ${row(99)}`,
    ]
    expect(await tamper(...swap)).toEqual({ seq: 5, fault: 'wrong-prev' })
  })

  it('is found where the end was cut off', async () => {
    expect(await tamper(sql`delete from audit_entry ${row(ROWS)}`)).toEqual({ seq: ROWS - 1, fault: 'wrong-head' })
  })

  it('is found where the end was forgotten, or moved', async () => {
    const of = sql`where community = ${community.did}`
    expect(await tamper(sql`update audit_head set seq = seq - 1 ${of}`)).toEqual({ seq: ROWS, fault: 'wrong-head' })
    expect(await tamper(sql`update audit_head set seq = seq + 1, hash = ${CHAIN_START} ${of}`)).toEqual({
      ...{ seq: ROWS, fault: 'wrong-head' },
    })
    expect(await tamper(sql`delete from audit_head ${of}`)).toEqual({ seq: ROWS, fault: 'wrong-head' })
  })

  it('is found where rows were unsealed again', async () => {
    const unseal = sql`set seq = null, hash = null, prev = null`
    expect(await tamper(sql`update audit_entry ${unseal} ${row(4)}`)).toEqual({ seq: 4, fault: 'missing-row' })
    expect(await tamper(sql`update audit_entry ${unseal} where community = ${community.did} and seq >= 4`)).toEqual({
      ...{ seq: 3, fault: 'wrong-head' },
    })
  })

  it('and mended up to its end holds in itself: only a head that was noted elsewhere tells', async () => {
    const noted = await reportOf(db, community)
    const rows = await db
      .selectFrom('audit_entry')
      .selectAll()
      .where('community', '=', community.did)
      .orderBy('seq')
      .execute()
    let prev: Uint8Array = CHAIN_START
    for (const { id, community: did, at_ms, action, target, subject, because, seq } of rows) {
      const fact = {
        community: did,
        atMs: at_ms,
        actor: 'did:web:forger.example.com',
        action,
        target,
        subject,
        because,
      }
      const hash = hashOf(fact, seq ?? 0, prev)
      await db.updateTable('audit_entry').set({ actor: fact.actor, hash, prev }).where('id', '=', id).execute()
      prev = hash
    }
    await db.updateTable('audit_head').set({ hash: prev }).where('community', '=', community.did).execute()
    const report = await reportOf(db, community)
    expect(report).toMatchObject({ rows: ROWS, fault: null })
    expect(noted?.rows).toBe(ROWS)
    expect(report?.head).not.toEqual(noted?.head)
  })

  it('does not make the chains of others doubtful', async () => {
    const other = await openCommunity(roll)
    await tamper(sql`update audit_entry set actor = 'did:web:nobody.example.com' ${row(1)}`)
    expect(await reportOf(db, other)).toMatchObject({ rows: 1, fault: null })
  })
})

describeOnEachEngine('verifying while the house is at work', (open) => {
  it('finds no fault in what is written meanwhile', async () => {
    const roll = rollOn((await open()).db)
    const communities = [await openCommunity(roll), await openCommunity(roll), await openCommunity(roll)]
    let looked = 0
    for await (const report of verifyChains(roll.db)) {
      expect(report.fault).toBeNull()
      looked++
      for (const { founder, roster } of communities) await put(roll, founder, roster, freshDid(), 'reader')
    }
    expect(looked).toBe(3)
  })
})

describe.runIf(hasPostgres)('two processes on one PostgreSQL', () => {
  let database: TestDatabase
  let second: Awaited<ReturnType<typeof openDatabase>>

  beforeAll(async () => {
    database = await openTestDatabase('postgres')
    second = await openDatabase({
      ...{ url: database.url, dataDir: '', allowUnsafe: true },
      ...{ log: silentLog, clock: systemClock },
    })
    return async () => {
      await second.close()
      await database.close()
    }
  })

  it('seal, change and verify at the same time, and every row finds one place', async () => {
    const [here, there] = [rollOn(database.db), rollOn(second.db)]
    const communities = [await openCommunity(here), await openCommunity(here)]
    const waiting = communities.flatMap(({ did }) => Array.from({ length: 300 }, (_, at) => factAbout(did, at)))
    await Promise.all(waiting.map((fact) => appendUnsealed(here.db, fact)))
    const work = [here, there].flatMap((roll) => [
      sealDue(roll.db),
      sealDue(roll.db),
      ...communities.flatMap(({ founder, roster }) =>
        Array.from({ length: 10 }, () => put(roll, founder, roster, freshDid(), 'reader')),
      ),
      reportsOf(roll.db).then((reports) => expect(reports.map(({ fault }) => fault)).toEqual([null, null])),
    ])
    await Promise.all(work)
    await sealDue(here.db)
    for (const community of communities) {
      expect(await reportOf(database.db, community)).toMatchObject({ rows: 1 + 300 + 20, fault: null })
    }
  })

  it('verify without a fault at every moment of a busy hour', async () => {
    const [here, there] = [rollOn(database.db), rollOn(second.db)]
    const community = await openCommunity(here)
    let isBusy = true
    const changes = (async () => {
      for (let at = 0; at < 150; at++) await put(here, community.founder, community.roster, freshDid(), 'reader')
      isBusy = false
    })()
    let looked = 0
    for (; isBusy; looked++) expect((await reportOf(there.db, community))?.fault).toBeNull()
    await changes
    expect(looked).toBeGreaterThan(0)
    expect(await reportOf(there.db, community)).toMatchObject({ rows: 151, fault: null })
  })
})
