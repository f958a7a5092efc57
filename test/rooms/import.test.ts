/** Imports on real databases: what lines are taken, who may bring whom in, and that every row becomes of it once. */
import { sql } from 'kysely'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { verifyChains } from '../../src/audit/verify.ts'
import { auditList } from '../../src/community/auditList.ts'
import { forgetImports } from '../../src/membership/import-store.ts'
import { memberApplyImport } from '../../src/membership/memberApplyImport.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberCancelImport } from '../../src/membership/memberCancelImport.ts'
import { memberGetImport } from '../../src/membership/memberGetImport.ts'
import { memberImport } from '../../src/membership/memberImport.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberList } from '../../src/membership/memberList.ts'
import { resumeImports } from '../../src/membership/resume-imports.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  keyed,
  makeForum,
  makeRoleSpace,
  nest,
  once,
  openCommunity,
  put,
  type Roll,
  remove,
  rollOn,
  wordsOf,
} from '../kit/roll.ts'
import { tracelessRefusalOf, verdictOf } from '../kit/verdicts.ts'

type Row = { did: string; role: string; since?: string; until?: string }
const textOf = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
const people = (count: number, role = 'member'): Row[] =>
  Array.from({ length: count }, () => ({ did: freshDid(), role }))

describeOnEachEngine('an import', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  const [admin, moderator, helper, member, stranger] = Array.from({ length: 5 }, freshDid) as [Did, Did, Did, Did, Did]

  beforeAll(async () => {
    db = (await open()).db
  })
  beforeEach(async () => {
    roll = rollOn(db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
    for (const [did, role] of [
      ...[[admin, 'admin'] as const, [moderator, 'moderator'] as const],
      ...[[helper, 'moderator'] as const, [member, 'member'] as const],
    ]) {
      await put(roll, community.founder, forum, did, role)
    }
  })

  const bring = (actor: Did, lines: string | readonly object[], more: object = {}, call = once()) => {
    const input = { space: forum, lines: typeof lines === 'string' ? lines : textOf(lines), ...more }
    return memberImport(roll, actor, input, call)
  }
  const begun = async (actor: Did, rows: readonly object[], more: object = {}) =>
    (await bring(actor, rows, more)).import
  const apply = (actor: Did, id: string, more: object = {}, call = once()) =>
    memberApplyImport(roll, actor, { import: id, ...more }, call)
  const cancel = (actor: Did, id: string) => memberCancelImport(roll, actor, { import: id }, once())
  const look = (actor: Did, id: string, more: object = {}) =>
    memberGetImport(roll, actor, { import: id, limit: 1000, ...more })
  const goOn = (process: Roll = roll) => resumeImports({ ...process, log: silentLog })
  /** Everything at once: begun, applied, and brought to its end. */
  const done = async (actor: Did, rows: readonly object[], more: object = {}) => {
    const id = await begun(actor, rows, more)
    await apply(actor, id)
    await goOn()
    return look(actor, id)
  }
  const rosterOf = async (space = forum): Promise<Map<string, string>> => {
    const rows = await db.selectFrom('person_edge').select(['did', 'role']).where('into_space', '=', space).execute()
    return new Map(rows.map(({ did, role }) => [did, role]))
  }
  const entriesAbout = async (subject: string) =>
    (await auditList(roll, community.founder, { community: community.did, subject, limit: 100 })).entries
  const revision = async () =>
    (
      await db
        .selectFrom('community_revision')
        .select('revision')
        .where('community', '=', community.did)
        .executeTakeFirstOrThrow()
    ).revision
  const refusalOf = (work: () => Promise<unknown>) => tracelessRefusalOf(db, work)

  describe('takes lines', () => {
    const bob = freshDid()
    const rows: [string, string, string][] = [
      ['that is no JSON', 'bob', 'InvalidRequest: the line is not one JSON object without repeated keys'],
      ['that is empty', '', 'InvalidRequest: the line is not one JSON object without repeated keys'],
      ['that is a list', '[]', 'InvalidRequest: the line is not one JSON object without repeated keys'],
      [
        'that names a field twice',
        `{"did":"${bob}","role":"member","role":"reader"}`,
        'InvalidRequest: the line is not one JSON object without repeated keys',
      ],
      [
        'with a field that there isn’t',
        `{"did":"${bob}","role":"member","untill":"2030-01-01T00:00:00Z"}`,
        'InvalidRequest: untill is not a field of a line: did, role, since, until',
      ],
      [
        'with a field that is no name',
        `{"did":"${bob}","role":"member","<b>":1}`,
        'InvalidRequest: something in it is not a field of a line: did, role, since, until',
      ],
      ['without a person', '{"role":"member"}', 'InvalidRequest: did is missing'],
      ['with a person who is a number', '{"did":1,"role":"member"}', 'InvalidRequest: did is not a text'],
      [
        'with a DID of another spelling',
        '{"did":"did:web:EXAMPLE.com","role":"member"}',
        'InvalidRequest: did is not a DID in its canonical form',
      ],
      ['without a role', `{"did":"${bob}"}`, 'InvalidRequest: role is missing'],
      ['with a role that is null', `{"did":"${bob}","role":null}`, 'InvalidRequest: role is not a text'],
      [
        'with a role that there isn’t',
        `{"did":"${bob}","role":"king"}`,
        'UnknownRole: role is none that the community has',
      ],
      [
        'with a day for an instant',
        `{"did":"${bob}","role":"member","since":"2030-01-01"}`,
        'InvalidRequest: since is not an instant',
      ],
      [
        'with a day that isn’t on the calendar',
        `{"did":"${bob}","role":"member","until":"2030-02-31T00:00:00Z"}`,
        'InvalidRequest: until is not an instant',
      ],
    ]
    it.each(rows)('and of one %s says so, and takes the others', async (_what, line, says) => {
      const [before, after] = people(2) as [Row, Row]
      const answer = await bring(admin, `${JSON.stringify(before)}\n${line}\n${JSON.stringify(after)}\n`)
      expect(answer).toMatchObject({ given: 3, refused: 1 })
      expect(answer.faults.map(({ line, code, says }) => `${line} ${code}: ${says}`)).toEqual([`2 ${says}`])
      await apply(admin, answer.import)
      const seen = await look(admin, answer.import)
      expect(seen).toMatchObject({ state: 'done', given: 3, put: 2, same: 0, refused: 1, left: 0 })
      expect(seen.faults).toEqual(answer.faults)
      const roster = await rosterOf()
      expect([before.did, after.did, bob].map((did) => roster.get(did))).toEqual(['member', 'member', undefined])
    })

    it('and of a person who is named twice takes the first line, wherever the second is', async () => {
      const [one] = people(1) as [Row]
      const first = await bring(admin, [one, { ...one, role: 'reader' }])
      expect(first.faults).toEqual([
        { line: 2, did: one.did, code: 'InvalidRequest', says: 'did is that of line 1 already' },
      ])
      const second = await bring(admin, [...people(1), { ...one, role: 'reader' }], { import: first.import })
      expect(second).toMatchObject({ given: 4, refused: 2 })
      expect(second.faults).toMatchObject([{ line: 4, says: 'did is that of line 1 already' }])
    })

    it('with either end, and none after the last', async () => {
      const rows = people(3).map((row) => JSON.stringify(row))
      expect(await bring(admin, rows.join('\r\n'))).toMatchObject({ given: 3, refused: 0 })
    })

    it('that go on where the ones before ended, and no others', async () => {
      const id = await begun(admin, people(2), { firstLine: 1 })
      expect(await refusalOf(() => bring(admin, people(1), { import: id, firstLine: 2 }))).toBe('InvalidRequest')
      expect(await refusalOf(() => bring(admin, people(1), { import: id, firstLine: 4 }))).toBe('InvalidRequest')
      expect(await bring(admin, people(1), { import: id, firstLine: 3 })).toMatchObject({ given: 3 })
    })

    it('once only, however often they are sent under one key', async () => {
      const lines = textOf(people(2))
      const call = keyed(admin, 'community.reeve.member.import', 'the first thousand', { lines })
      const first = await bring(admin, lines, {}, call)
      expect(await bring(admin, lines, {}, call)).toEqual(first)
      const more = keyed(admin, 'community.reeve.member.import', 'the second', { lines, import: first.import })
      const added = await bring(admin, people(1), { import: first.import }, more)
      expect(await bring(admin, people(1), { import: first.import }, more)).toEqual(added)
      expect(await look(admin, first.import)).toMatchObject({ given: 3, left: 3 })
    })

    it('but not none, and none of another space', async () => {
      expect(await refusalOf(() => bring(admin, ''))).toBe('InvalidRequest')
      const id = await begun(admin, people(1))
      const other = await makeForum(roll, community, 'other')
      await put(roll, community.founder, other, admin, 'admin')
      expect(await refusalOf(() => bring(admin, people(1), { import: id, space: other }))).toBe('NotFound')
      expect(await refusalOf(() => bring(admin, people(1), { import: 'none' }))).toBe('NotFound')
    })

    it('as many as there may be', async () => {
      const id = await begun(admin, people(1))
      await db.updateTable('import').set({ rows_given: 199_999 }).where('id', '=', id).execute()
      expect(await wordsOf(() => bring(admin, people(2), { import: id }))).toBe(
        'LimitExceeded: an import has 200000 lines at most',
      )
      expect(await bring(admin, people(1), { import: id })).toMatchObject({ given: 200_000 })
    })

    it('into five imports of a community at once', async () => {
      const ids: string[] = []
      while (ids.length < 5) ids.push(await begun(admin, people(1)))
      expect(await refusalOf(() => bring(moderator, people(1)))).toBe('LimitExceeded')
      await cancel(admin, ids[0] ?? '')
      await apply(admin, ids[1] ?? '')
      expect(await verdictOf(() => bring(moderator, people(1)))).toBe('accepted')
      expect(await verdictOf(() => bring(moderator, people(1)))).toBe('accepted')
      expect(await refusalOf(() => bring(moderator, people(1)))).toBe('LimitExceeded')
    })
  })

  describe('is for those who may put people there', () => {
    it('and nobody else begins one', async () => {
      expect(await refusalOf(() => bring(member, people(1)))).toBe('Forbidden')
      expect(await refusalOf(() => bring(stranger, people(1)))).toBe('NotFound')
      const elsewhere = await openCommunity(roll)
      expect(await refusalOf(() => bring(elsewhere.founder, people(1)))).toBe('NotFound')
    })

    it('and nobody else sees or touches it', async () => {
      const id = await begun(moderator, people(1))
      for (const [did, code] of [[member, 'Forbidden'] as const, [stranger, 'NotFound'] as const]) {
        expect(await refusalOf(() => look(did, id))).toBe(code)
        expect(await refusalOf(() => apply(did, id))).toBe(code)
        expect(await refusalOf(() => apply(did, id, { dryRun: true }))).toBe(code)
        expect(await refusalOf(() => cancel(did, id))).toBe(code)
        expect(await refusalOf(() => bring(did, people(1), { import: id }))).toBe(code)
      }
      for (const work of [look, apply, cancel]) expect(await refusalOf(() => work(moderator, 'none'))).toBe('NotFound')
      expect(await refusalOf(() => look(moderator, id, { cursor: '0' }))).toBe('InvalidRequest')
    })

    it('and the power of who began it is not lent to who adds to it or applies it', async () => {
      const id = await begun(admin, people(1))
      const self = [{ did: moderator, role: 'admin' }]
      expect(await refusalOf(() => bring(moderator, self, { import: id }))).toBe('Forbidden')
      expect(await refusalOf(() => apply(moderator, id))).toBe('Forbidden')
      expect(await refusalOf(() => apply(moderator, id, { dryRun: true }))).toBe('Forbidden')
      expect(await look(moderator, id)).toMatchObject({ state: 'open', left: 1 })
      expect(await cancel(moderator, id)).toMatchObject({ state: 'cancelled', left: 1 })
    })
  })

  describe('is applied', () => {
    it('in batches, each with one revision and an entry of its own, and one for each person', async () => {
      const rows = people(450)
      const before = await revision()
      const id = await begun(admin, rows)
      expect(await revision()).toBe(before)
      expect(await apply(admin, id)).toMatchObject({ state: 'running', put: 200, left: 250, revision: before + 1 })
      await goOn()
      expect(await look(admin, id)).toMatchObject({ state: 'done', given: 450, put: 450, left: 0, faults: [] })
      expect(await revision()).toBe(before + 3)
      const roster = await rosterOf()
      expect(rows.every(({ did, role }) => roster.get(did) === role)).toBe(true)

      const list = { community: community.did, action: 'member.applyImport', limit: 10 }
      const { entries } = await auditList(roll, community.founder, list)
      const counts = entries.map(({ actor, target, because }) => ({ actor, target, ...(because as object) }))
      expect(counts).toMatchObject([
        { actor: admin, target: forum, import: id, fromLine: 401, toLine: 450, put: 50, same: 0, refused: 0 },
        { fromLine: 201, toLine: 400, put: 200 },
        { fromLine: 1, toLine: 200, put: 200, reasons: [{ rule: 'edge', into: forum, from: admin, role: 'admin' }] },
      ])
      expect(await entriesAbout(rows[201]?.did ?? '')).toMatchObject([
        {
          ...{ actor: admin, action: 'member.put', target: forum, subject: rows[201]?.did },
          because: { import: id, line: 202, role: 'member', roleBefore: null, revision: before + 2 },
        },
      ])
    })

    it('and the chain holds', async () => {
      await done(admin, people(210))
      for await (const { fault } of verifyChains(db)) expect(fault).toBeNull()
    })

    it('as put would have it: another role is replaced, one that is there stays, who left comes back', async () => {
      const [same, other, left] = people(3) as [Row, Row, Row]
      for (const { did } of [same, other, left])
        await put(roll, admin, forum, did, did === other.did ? 'reader' : 'member')
      await memberLeave(roll, left.did as Did, { space: forum }, once())
      roll.clock.moveMs(1000)
      const seen = await done(admin, [same, other, left])
      expect(seen).toMatchObject({ put: 2, same: 1, refused: 0 })
      const members = (await memberList(roll, admin, { space: forum, limit: 100 })).members
      const [began, now] = [roll.clock.nowMs() - 1000, roll.clock.nowMs()].map((ms) => new Date(ms).toISOString())
      expect(
        [same, other, left]
          .map(({ did }) => members.find((one) => one.did === did))
          .map((one) => [one?.role, one?.addedAt]),
      ).toEqual([
        ['member', began],
        ['member', now],
        ['member', now],
      ])
      const departures = await db.selectFrom('departure').select('did').where('did', '=', left.did).execute()
      expect(departures).toEqual([])
    })

    it('with terms', async () => {
      const [bob] = people(1) as [Row]
      await done(admin, [{ ...bob, since: '2030-01-01T00:00:00Z', until: '2031-01-01T01:00:00+01:00' }])
      const row = await db.selectFrom('person_edge').selectAll().where('did', '=', bob.did).executeTakeFirstOrThrow()
      expect(row).toMatchObject({ since_ms: Date.UTC(2030, 0, 1), until_ms: Date.UTC(2031, 0, 1), added_by: admin })
    })

    it('and whoever may not be put is refused by name, and the others go in', async () => {
      const [plain, boss, backwards] = people(3) as [Row, Row, Row]
      const rows = [
        { ...boss, role: 'admin' },
        { did: admin, role: 'reader' },
        { did: community.did, role: 'reader' },
        { ...backwards, since: '2031-01-01T00:00:00Z', until: '2030-01-01T00:00:00Z' },
        plain,
      ]
      const seen = await done(moderator, rows)
      expect(seen).toMatchObject({ state: 'done', given: 5, put: 1, refused: 4, left: 0 })
      expect(seen.faults.map(({ line, did, code }) => [line, did, code])).toEqual([
        [1, boss.did, 'Forbidden'],
        [2, admin, 'Forbidden'],
        [3, community.did, 'InvalidRequest'],
        [4, backwards.did, 'InvalidRequest'],
      ])
      const roster = await rosterOf()
      expect([plain.did, boss.did, admin].map((did) => roster.get(did))).toEqual(['member', undefined, 'admin'])
      expect(await entriesAbout(boss.did)).toMatchObject([
        { action: 'member.put', because: { refused: 'Forbidden', import: seen.import, line: 1 } },
      ])
    })

    it('and a role that went away meanwhile is refused', async () => {
      const rows = people(1)
      const id = await begun(admin, rows)
      await db.updateTable('import_row').set({ role: 'gone' }).where('import', '=', id).execute()
      expect(await apply(admin, id)).toMatchObject({ state: 'done', put: 0, refused: 1 })
      expect((await look(admin, id)).faults).toMatchObject([{ line: 1, did: rows[0]?.did, code: 'UnknownRole' }])
    })

    it('page by page of what was refused', async () => {
      const id = await begun(admin, [...people(3, 'king'), ...people(2), ...people(2, 'king')])
      const first = await look(admin, id, { limit: 3 })
      expect(first.faults.map(({ line }) => line)).toEqual([1, 2, 3])
      const second = await look(admin, id, { limit: 3, cursor: first.cursor })
      expect([second.faults.map(({ line }) => line), second.cursor]).toEqual([[6, 7], undefined])
    })

    it('once, and answers alike under one key', async () => {
      const id = await begun(admin, people(210))
      const call = keyed(admin, 'community.reeve.member.applyImport', 'go', { import: id })
      const first = await apply(admin, id, {}, call)
      await goOn()
      expect(await apply(admin, id, {}, call)).toEqual(first)
      expect(await refusalOf(() => apply(admin, id))).toBe('ImportNotOpen')
      expect(await refusalOf(() => apply(admin, id, { dryRun: true }))).toBe('ImportNotOpen')
      expect(await refusalOf(() => bring(admin, people(1), { import: id }))).toBe('ImportNotOpen')
      expect(await refusalOf(() => cancel(admin, id))).toBe('ImportNotOpen')
    })

    it('at the revision that was asked for, or not', async () => {
      const id = await begun(admin, people(1))
      const ifRevision = (await revision()) + 1
      expect(await refusalOf(() => apply(admin, id, { ifRevision }))).toBe('StaleRevision')
      expect(await refusalOf(() => apply(admin, id, { ifRevision, dryRun: true }))).toBe('StaleRevision')
      expect(await verdictOf(() => apply(admin, id, { ifRevision: ifRevision - 1 }))).toBe('accepted')
    })
  })

  describe('that carries an owner', () => {
    const intoRoster = () => ({ space: community.roster })

    it('is refused there for whoever is none, by the verdict, and the others go in', async () => {
      await put(roll, community.founder, community.roster, admin, 'admin')
      const [owner, plain] = people(2) as [Row, Row]
      const seen = await done(admin, [{ ...owner, role: 'owner' }, plain], intoRoster())
      expect(seen).toMatchObject({
        put: 1,
        refused: 1,
        faults: [{ line: 1, did: owner.did, code: 'EscalationDenied' }],
      })
    })

    it('is refused there for an owner as well, even of one who is an owner: they are named one by one', async () => {
      const { founder } = community
      const rows = [{ did: freshDid(), role: 'owner' }, { did: founder, role: 'owner' }, ...people(1)]
      const seen = await done(founder, rows, intoRoster())
      expect(seen.faults.map(({ line, code }) => `${line} ${code}`)).toEqual(['1 InvalidRequest', '2 InvalidRequest'])
      expect(seen).toMatchObject({ put: 1, refused: 2 })
    })

    it('for something less leaves the last of them, though each of two would be another', async () => {
      const second = freshDid()
      await put(roll, community.founder, community.roster, second, 'owner')
      const rows = [second, community.founder].map((did) => ({ did, role: 'member' }))
      const seen = await done(community.founder, rows, intoRoster())
      expect(seen).toMatchObject({ put: 1, refused: 1, faults: [{ line: 2, code: 'LastOwner' }] })
      expect([...(await rosterOf(community.roster)).values()].sort()).toEqual(['member', 'owner'])
    })
  })

  describe('whose importer', () => {
    it('falls in the middle puts nobody more, and the others are refused with the code', async () => {
      const rows = [...people(2, 'king'), ...people(448)]
      const id = await begun(moderator, rows)
      await apply(moderator, id)
      await put(roll, community.founder, forum, moderator, 'member')
      await goOn()
      const seen = await look(admin, id)
      expect(seen).toMatchObject({
        state: 'stopped',
        stoppedBy: 'Forbidden',
        given: 450,
        put: 200,
        refused: 250,
        left: 0,
      })
      expect(seen.faults).toHaveLength(250)
      expect(seen.faults[2]).toMatchObject({ line: 203, did: rows[202]?.did, code: 'Forbidden' })
      expect((await look(admin, id, { limit: 10, cursor: '440' })).faults).toHaveLength(10)
      expect((await rosterOf()).size).toBe(4 + 200)
      await put(roll, community.founder, forum, moderator, 'moderator')
      await goOn()
      expect(await refusalOf(() => apply(moderator, id))).toBe('ImportNotOpen')
      expect((await rosterOf()).size).toBe(4 + 200)
    })

    it.each([
      ['is removed', () => remove(roll, community.founder, forum, moderator)],
      ['leaves', () => memberLeave(roll, moderator, { space: forum }, once())],
      [
        'is banned from the community',
        () => memberBan(roll, community.founder, { community: community.did, did: moderator }, once()),
      ],
      ['has no space any more', () => spaceDelete(roll, community.founder, { space: forum }, once())],
    ])('%s in the middle stops it', async (_what, fall) => {
      const id = await begun(moderator, people(450))
      await apply(moderator, id)
      await fall()
      await goOn()
      const row = await db.selectFrom('import').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
      expect(row).toMatchObject({ state: 'stopped', stopped_by: 'NotFound', rows_put: 200 })
    })

    it('falls before it begins is told so, and nothing is changed', async () => {
      const id = await begun(moderator, people(1))
      await put(roll, community.founder, forum, moderator, 'member')
      expect(await refusalOf(() => apply(moderator, id))).toBe('Forbidden')
      expect(await look(admin, id)).toMatchObject({ state: 'open', left: 1 })
    })

    it('takes their own power with a line has it no more in the next', async () => {
      const rows = [...people(1), { did: admin, role: 'reader' }, ...people(2)]
      const id = await begun(admin, rows)
      const { outcome } = await apply(admin, id, { dryRun: true })
      expect(outcome).toMatchObject({ put: 2, refused: [{ code: 'Forbidden', rows: 2 }] })
      await apply(admin, id)
      const seen = await look(community.founder, id)
      expect(seen).toMatchObject({ state: 'done', put: 2, refused: 2 })
      expect(seen.faults.map(({ line, code }) => `${line} ${code}`)).toEqual(['3 Forbidden', '4 Forbidden'])
    })
  })

  describe('that two processes work on', () => {
    it('puts each person once', async () => {
      const rows = people(900)
      const id = await begun(admin, rows)
      await apply(admin, id)
      const others = [rollOn(db), rollOn(db), rollOn(db)]
      const batches = await Promise.all(others.map(goOn))
      expect(batches.reduce((sum, count) => sum + count)).toBe(4)
      expect(await look(admin, id)).toMatchObject({
        state: 'done',
        given: 900,
        put: 900,
        same: 0,
        refused: 0,
        left: 0,
      })
      const entries = await db
        .selectFrom('audit_entry')
        .select('subject')
        .where('community', '=', community.did)
        .where('action', '=', 'member.put')
        .execute()
      const subjects = entries.map(({ subject }) => subject ?? '').filter((did) => rows.some((row) => row.did === did))
      expect(subjects.toSorted()).toEqual(rows.map(({ did }) => did).toSorted())
    })

    it('goes on beside another one', async () => {
      const ids = [await begun(admin, people(450)), await begun(moderator, people(450))]
      await apply(admin, ids[0] ?? '')
      await apply(moderator, ids[1] ?? '')
      await goOn()
      for (const id of ids) expect(await look(admin, id)).toMatchObject({ state: 'done', put: 450 })
    })
  })

  describe('that can’t go on', () => {
    it('waits, and keeps no other from going on', async () => {
      const ids = [await begun(admin, people(210)), await begun(moderator, people(210))]
      await apply(admin, ids[0] ?? '')
      await apply(moderator, ids[1] ?? '')
      await sql`create function refuse_admin() returns trigger language plpgsql as
        $$ begin raise exception 'not now' using errcode = '53100'; end $$`.execute(db)
      await sql`create trigger refuse_admin before insert on person_edge for each row
        when (new.added_by = ${sql.lit(admin)}) execute function refuse_admin()`.execute(db)
      try {
        expect(await goOn()).toBe(1)
        expect(await look(admin, ids[0] ?? '')).toMatchObject({ state: 'running', put: 200, left: 10 })
        expect(await look(admin, ids[1] ?? '')).toMatchObject({ state: 'done', put: 210 })
      } finally {
        await sql`drop trigger refuse_admin on person_edge`.execute(db)
      }
      await goOn()
      expect(await look(admin, ids[0] ?? '')).toMatchObject({ state: 'done', put: 210, left: 0 })
    })
  })

  describe('that is cancelled', () => {
    it('leaves who was put, and puts nobody more', async () => {
      const id = await begun(moderator, people(450))
      await apply(moderator, id)
      expect(await cancel(admin, id)).toEqual({
        state: 'cancelled',
        given: 450,
        put: 200,
        same: 0,
        refused: 0,
        left: 250,
      })
      await goOn()
      expect(await look(admin, id)).toMatchObject({ state: 'cancelled', put: 200, left: 250, faults: [] })
      expect((await rosterOf()).size).toBe(4 + 200)
      expect(await cancel(moderator, id)).toMatchObject({ state: 'cancelled', left: 250 })
      expect(await refusalOf(() => apply(moderator, id))).toBe('ImportNotOpen')
    })
  })

  describe('is shown beforehand', () => {
    const may = async (did: string, action: string, space: SpaceUri) =>
      (await memberCheck(roll, community.founder, { space, did: did as Did, action })).allowed

    it('as it then happens, wherever it leads, and changes nothing', async () => {
      const inner = await makeForum(roll, community, 'inner')
      const crew = await makeRoleSpace(roll, community, 'crew')
      await nest(roll, community.did, { into: inner, from: crew, role: 'reader' })
      const [joins, rises, falls, stays, later, banned] = people(6) as [Row, Row, Row, Row, Row, Row]
      for (const { did } of [rises, falls, stays]) {
        await put(roll, community.founder, crew, did, did === rises.did ? 'reader' : 'member')
      }
      await memberBan(roll, community.founder, { community: community.did, did: banned.did as Did }, once())
      const rows = [
        ...[joins, { ...rises, role: 'moderator' }, { ...falls, role: 'reader' }, stays],
        ...[{ ...later, since: '2999-01-01T00:00:00Z' }, banned, { did: freshDid(), role: 'king' }],
        { did: freshDid(), role: 'owner' },
      ]
      const id = await begun(community.founder, rows, { space: crew })
      const before = await revision()
      const { outcome, preview, state } = await apply(community.founder, id, { dryRun: true })
      expect([await revision(), state]).toEqual([before, 'open'])
      const standingsNow = () =>
        Promise.all(
          rows.flatMap(({ did }) =>
            [crew, inner].flatMap((space) =>
              ['read', 'write', 'members.add'].map(
                async (action) => `${did} ${space} ${action} ${await may(did, action, space)}`,
              ),
            ),
          ),
        )
      const was = new Set(await standingsNow())
      await apply(community.founder, id)
      const moved = (await standingsNow()).filter((line) => !was.has(line))

      const seen = await look(community.founder, id)
      expect(outcome).toMatchObject({ examined: 8, isComplete: true, put: seen.put, same: seen.same })
      expect([seen.put, seen.same, seen.refused]).toEqual([5, 1, 2])
      expect(outcome?.refused.toSorted((a, b) => a.code.localeCompare(b.code))).toEqual([
        { code: 'InvalidRequest', rows: 1 },
        { code: 'UnknownRole', rows: 1 },
      ])
      const told = (preview?.changes ?? []).flatMap(({ did, space, gains, loses }) => [
        ...gains.map((action) => `${did} ${space} ${action} true`),
        ...loses.map((action) => `${did} ${space} ${action} false`),
      ])
      // What begins in a thousand years is told as it will be.
      const ofToday = told.filter((line) => !line.startsWith(later.did) && / (?:read|write|members\.add) /.test(line))
      expect(ofToday.toSorted()).toEqual(moved.toSorted())
      expect(told.some((line) => line.startsWith(later.did))).toBe(true)
      expect(preview).toMatchObject({ examined: 5, isComplete: true, gaining: 3, losing: 1 })
    })

    it('as far as ten thousand people, and says that it isn’t all', async () => {
      const id = await begun(admin, people(10_001))
      const { outcome, preview } = await apply(admin, id, { dryRun: true })
      expect(outcome).toEqual({ examined: 10_000, isComplete: false, put: 10_000, same: 0, refused: [] })
      expect(preview).toMatchObject({ examined: 10_000, isComplete: false, gaining: 10_000, losing: 0 })
      expect(preview?.changes).toHaveLength(200)
    })
  })

  it('is forgotten when nobody has touched it for long, unless it is being applied', async () => {
    const open = await begun(admin, people(3))
    const running = await begun(admin, people(210))
    await apply(admin, running)
    const ended = (await done(moderator, people(2))).import
    const again = await begun(admin, people(201))
    await apply(admin, again)
    const nowMs = roll.clock.nowMs()
    await forgetImports(db, nowMs, 1000)
    expect(await look(admin, open)).toMatchObject({ given: 3 })
    while ((await forgetImports(db, nowMs + 1, 2)) >= 2);
    expect(await verdictOf(() => look(admin, open))).toBe('NotFound')
    expect(await verdictOf(() => look(admin, ended))).toBe('NotFound')
    expect(await look(admin, again)).toMatchObject({ state: 'running', left: 1 })
  })
})
