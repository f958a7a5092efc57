/** The roll as it is exported, on real databases: all of it, in pages, for those who may take it away. */
import { beforeAll, describe, expect, it } from 'vitest'
import { communityExportRoll } from '../../src/community/communityExportRoll.ts'
import { federationOffer } from '../../src/federation/federationOffer.ts'
import { memberApplyImport } from '../../src/membership/memberApplyImport.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberGetImport } from '../../src/membership/memberGetImport.ts'
import { memberImport } from '../../src/membership/memberImport.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { resumeImports } from '../../src/membership/resume-imports.ts'
import { rolePut } from '../../src/membership/rolePut.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
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
import { tracelessRefusalOf, verdictOf } from '../kit/verdicts.ts'

// biome-ignore lint/suspicious/noExplicitAny: lines of every kind.
type Line = any

describeOnEachEngine('the export of a roll', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let elsewhere: Community
  let forum: SpaceUri
  let crew: SpaceUri
  let gone: SpaceUri
  const [admin, bob, carol, dave] = Array.from({ length: 4 }, freshDid) as [Did, Did, Did, Did]

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    elsewhere = await openCommunity(roll)
    const { founder, did } = community
    forum = await makeForum(roll, community, 'main')
    gone = await makeForum(roll, community, 'gone')
    crew = await makeRoleSpace(roll, community, 'crew')
    await rolePut(roll, founder, { community: did, name: 'greeter', actions: ['read', 'invite'] }, once())
    await put(roll, founder, community.roster, admin, 'admin')
    await put(roll, founder, forum, bob, 'greeter', { until: '2999-01-01T00:00:00Z' })
    await put(roll, founder, forum, carol, 'member')
    await put(roll, founder, gone, carol, 'member')
    await nest(roll, did, { into: forum, from: crew, role: 'member', holding: 'read' })
    await memberBan(roll, founder, { community: did, did: dave, reason: 'Spam.' }, once())
    await put(roll, founder, crew, bob, 'member')
    await memberLeave(roll, bob, { space: crew }, once())
    await federationOffer(roll, founder, { space: forum, to: elsewhere.did }, once())
    await spaceDelete(roll, founder, { space: gone }, once())
    for (const [id, uses] of [
      ['open', 1],
      ['used', 0],
    ] as const) {
      await invite(id, uses)
    }
  })

  /** An invite, past the verdicts. */
  const invite = (id: string, uses_left: number) => {
    const until = roll.clock.nowMs() + 1000
    const row = { id, space: forum, community: community.did, role: 'reader', uses_left, uses_max: 3, made_at_ms: 1 }
    const more = { token_hash: Buffer.alloc(32, id), expires_at_ms: until, made_by: admin }
    return (db as never as { insertInto(table: string): { values(row: object): { execute(): Promise<void> } } })
      .insertInto('invite')
      .values({ ...row, ...more })
      .execute()
  }

  const page = (actor: Did, more: object = {}) =>
    communityExportRoll(roll, actor, { community: community.did, limit: 1000, ...more })
  const linesOf = (text: string): Line[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
  /** All pages of so many lines each, and what happens after the first. */
  async function all(limit: number, between: () => Promise<unknown> = async () => {}): Promise<Line[]> {
    const lines: Line[] = []
    for (let cursor: string | undefined; ; ) {
      const answer = await page(community.founder, { limit, ...(cursor ? { cursor } : {}) })
      if (cursor === undefined) await between()
      lines.push(...linesOf(answer.lines))
      cursor = answer.cursor
      if (cursor === undefined) return lines
    }
  }

  it('is everything that is written, in one order, each line by itself', async () => {
    const lines = await all(1000)
    const nowMs = roll.clock.nowMs()
    const at = new Date(nowMs).toISOString()
    const { did, founder, roster } = community
    const { revision } = await page(founder)
    const added = { addedBy: founder, addedAt: at }
    const system = (space: SpaceUri) => ({
      ...{ kind: 'memberSpace', space, memberSpace: roster, role: 'owner', holding: 'community.transfer' },
      ...{ isSystem: true, ...added },
    })
    const settings = { readPolicy: 'memberList', writePolicy: 'memberList', joining: 'closed' }
    const space = (uri: SpaceUri) => ({
      kind: 'space',
      space: uri,
      state: 'live',
      ...settings,
      createdBy: founder,
      createdAt: at,
    })
    const byPerson = [
      { kind: 'member', space: roster, did: founder, role: 'owner', ...added },
      { kind: 'member', space: roster, did: admin, role: 'admin', ...added },
      { kind: 'member', space: forum, did: bob, role: 'greeter', until: '2999-01-01T00:00:00.000Z', ...added },
      { kind: 'member', space: forum, did: carol, role: 'member', ...added },
    ]
    expect(lines).toEqual([
      { kind: 'roll', format: 'reeve-roll', version: 1, community: did, revision, exportedAt: at },
      { kind: 'role', name: 'greeter', actions: ['read', 'invite'], changedBy: founder, changedAt: at },
      ...[{ ...space(gone), state: 'deleted' }, space(forum), { ...space(crew), name: 'crew' }, space(roster)].sort(
        (a, b) => (a.space < b.space ? -1 : 1),
      ),
      ...[
        { ...system(forum), addedBy: founder },
        { ...system(crew), addedBy: founder },
        {
          ...{ kind: 'memberSpace', space: forum, memberSpace: crew, role: 'member', holding: 'read', isSystem: false },
          ...{ addedBy: did, addedAt: '1970-01-01T00:00:00.000Z' },
        },
      ].sort((a, b) => (`${a.space} ${a.memberSpace}` < `${b.space} ${b.memberSpace}` ? -1 : 1)),
      ...byPerson.sort((a, b) => (a.did < b.did ? -1 : 1)),
      { kind: 'ban', did: dave, scope: did, reason: 'Spam.', bannedBy: founder, bannedAt: at },
      { kind: 'departure', did: bob, space: crew, leftAt: at },
      { kind: 'offer', space: forum, to: elsewhere.did, offeredBy: founder, offeredAt: at },
      {
        ...{ kind: 'invite', id: 'open', space: forum, role: 'reader', usesLeft: 1, usesMax: 3, madeBy: admin },
        ...{ expiresAt: new Date(nowMs + 1000).toISOString(), madeAt: '1970-01-01T00:00:00.001Z' },
      },
      { kind: 'end', firstRevision: revision, lastRevision: revision, lines: lines.length, endedAt: at },
    ])
  })

  it('holds no word of an invite, nor anything of another community', async () => {
    const text = JSON.stringify(await all(1000))
    for (const secret of ['token', Buffer.alloc(32, 'open').toString('hex'), elsewhere.founder]) {
      expect(text).not.toContain(secret)
    }
  })

  it.each([1, 2, 3, 7, 18])('is the same in pages of %i lines', async (limit) => {
    expect(await all(limit)).toEqual(await all(1000))
  })

  it('says in its last line when the roll moved on between its pages', async () => {
    const lines = await all(5, () => put(roll, community.founder, forum, freshDid(), 'reader'))
    const [first, last] = [lines[0], lines.at(-1)]
    expect(last).toMatchObject({ kind: 'end', firstRevision: first.revision, lastRevision: first.revision + 1 })
  })

  it('is for owners alone', async () => {
    expect(await tracelessRefusalOf(db, () => page(admin))).toBe('Forbidden')
    expect(await tracelessRefusalOf(db, () => page(carol))).toBe('NotFound')
    expect(await tracelessRefusalOf(db, () => page(elsewhere.founder))).toBe('NotFound')
    expect(await verdictOf(() => page(community.founder, { community: freshDid() }))).toBe('NotFound')
    const { cursor } = await page(community.founder, { limit: 2 })
    expect(await verdictOf(() => page(admin, { cursor }))).toBe('Forbidden')
  })

  it('goes on from its own cursors, and of this community only', async () => {
    const { cursor } = await page(community.founder, { limit: 2 })
    expect(await verdictOf(() => page(community.founder, { cursor: 'x' }))).toBe('InvalidRequest')
    const other = () => communityExportRoll(roll, elsewhere.founder, { community: elsewhere.did, limit: 2, cursor })
    expect(await verdictOf(other)).toBe('InvalidRequest')
  })

  describe('of one space', () => {
    it('can be imported again, and gives the same people the same', async () => {
      const { founder } = community
      const fresh = await makeForum(roll, community, 'again')
      const rows = (await all(1000)).filter(({ kind, space }) => kind === 'member' && space === forum)
      const lines = rows.map(({ did, role, since, until }) => JSON.stringify({ did, role, since, until })).join('\n')
      const { import: id } = await memberImport(roll, founder, { space: fresh, lines }, once())
      await memberApplyImport(roll, founder, { import: id }, once())
      await resumeImports({ ...roll, log: silentLog })
      expect(await memberGetImport(roll, founder, { import: id, limit: 10 })).toMatchObject({
        ...{ state: 'done', put: rows.length, refused: 0 },
      })
      const copy = (await all(1000)).filter(({ kind, space }) => kind === 'member' && space === fresh)
      const entry = ({ did, role, since, until }: Line) => ({ did, role, since, until })
      expect(copy.map(entry)).toEqual(rows.map(entry))
      expect(rows.length).toBeGreaterThan(1)
    })
  })
})
