/** `space.update`, `space.delete` and `space.describe` on real databases. */
import { sql } from 'kysely'
import { beforeAll, expect, it } from 'vitest'
import { loadReadFacts } from '../../src/access/may-read.ts'
import { memberCheck } from '../../src/access/memberCheck.ts'
import type * as updateLexicon from '../../src/lexicons/community/reeve/space/update.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { parseSpaceUri, type SpaceName } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { renderPolicy } from '../../src/space/settings.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { spaceDescribe } from '../../src/space/spaceDescribe.ts'
import { spaceGet } from '../../src/space/spaceGet.ts'
import { spaceList } from '../../src/space/spaceList.ts'
import { spaceUpdate } from '../../src/space/spaceUpdate.ts'
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
  SERVICE,
} from '../kit/roll.ts'
import { serviceNamed } from '../kit/rule-stage.ts'
import { tracelessRefusalOf, type Verdict, verdictOf } from '../kit/verdicts.ts'

const PUBLIC = renderPolicy('public')
const MANAGED = renderPolicy(serviceNamed('did:web:app.example.com#bouncer'))
const MEMBERS = renderPolicy('memberList')

describeOnEachEngine('changing and ending a space', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  const people = { admin: freshDid(), moderator: freshDid(), member: freshDid() }

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
  })

  async function furnished(skey: string): Promise<SpaceUri> {
    const space = await makeForum(roll, community, skey)
    for (const [role, did] of Object.entries(people)) await put(roll, community.founder, space, did, role)
    return space
  }

  const update = (actor: Did, space: string, more: object) =>
    spaceUpdate(roll, actor, { space, ...more } as updateLexicon.$InputBody, once())
  const end = (actor: Did, space: string) => spaceDelete(roll, actor, { space }, once())
  const mayRead = async (did: Did, space: SpaceUri) =>
    (await memberCheck(roll, did, { space, did, action: 'read' })).allowed

  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  it('an update changes what it names and nothing else', async () => {
    const forum = await furnished('updated')
    await update(people.admin, forum, { name: 'Allotments' })
    await update(people.admin, forum, { description: 'For the beds\nand the sheds.' })
    const settings = { name: 'Allotments', description: 'For the beds\nand the sheds.', readPolicy: MEMBERS }
    const shown = await spaceGet(roll, people.member, { space: forum })
    expect(shown).toMatchObject(settings)
    const { revision } = await update(people.admin, forum, { name: 'Allotments' })
    expect(revision).toBe(shown.revision)
  })

  it('naming a managing app is an owner’s act, and whoever answers beforehand doesn’t ask it', async () => {
    const forum = await furnished('managed')
    const stranger = freshDid()
    expect(await refusalOf(() => update(people.admin, forum, { readPolicy: MANAGED }))).toBe('Forbidden')
    await update(community.founder, forum, { readPolicy: MANAGED })
    expect(await spaceGet(roll, people.member, { space: forum })).toMatchObject({ readPolicy: MANAGED })
    expect(await mayRead(stranger, forum)).toBe(false)
    expect(await mayRead(people.member, forum)).toBe(true)
    expect(await refusalOf(() => update(people.admin, forum, { readPolicy: MEMBERS }))).toBe('Forbidden')
    const { rows } = await sql<{ because: object }>`select because from audit_entry
      where action = 'space.update' and target = ${forum} and because ? 'readPolicyBefore'`.execute(db)
    expect(rows[0]?.because).toMatchObject({
      readPolicy: 'did:web:app.example.com#bouncer',
      readPolicyBefore: 'memberList',
    })
  })

  it('opening a space to the public, and closing it, is an owner’s act, and counts from the next decision on', async () => {
    const forum = await furnished('opened')
    const stranger = freshDid()
    expect(await refusalOf(() => update(people.admin, forum, { readPolicy: PUBLIC }))).toBe('Forbidden')
    await update(community.founder, forum, { readPolicy: PUBLIC })
    expect(await mayRead(stranger, forum)).toBe(true)
    expect((await memberCheck(roll, stranger, { space: forum, did: stranger, action: 'write' })).allowed).toBe(false)
    await update(people.admin, forum, { readPolicy: PUBLIC, name: 'Square' })
    expect(await refusalOf(() => update(people.admin, forum, { readPolicy: MEMBERS }))).toBe('Forbidden')
    await update(community.founder, forum, { readPolicy: MEMBERS })
    expect(await mayRead(stranger, forum)).toBe(false)
  })

  it('an update is refused by name', async () => {
    const forum = await furnished('not-updated')
    const crew = await makeRoleSpace(roll, community, 'crew')
    const refused: [Did, string, object, Verdict][] = [
      [freshDid(), forum, { name: 'x' }, 'NotFound'],
      [people.moderator, forum, { name: 'x' }, 'Forbidden'],
      [people.admin, `${forum}-not`, { name: 'x' }, 'NotFound'],
      [people.admin, forum, { name: ' padded' }, 'InvalidRequest'],
      [people.admin, forum, { description: '\u2066' }, 'InvalidRequest'],
      [community.founder, crew, { readPolicy: PUBLIC }, 'UnsupportedPolicy'],
      [community.founder, community.roster, { writePolicy: PUBLIC }, 'UnsupportedPolicy'],
      [community.founder, crew, { readPolicy: MANAGED }, 'UnsupportedPolicy'],
      [community.founder, community.roster, { writePolicy: MANAGED }, 'UnsupportedPolicy'],
      [people.admin, forum, { writePolicy: MANAGED }, 'Forbidden'],
      [people.member, forum, { writePolicy: MANAGED }, 'Forbidden'],
      [community.founder, forum, { readPolicy: { ...MANAGED, managingApp: SERVICE } }, 'UnsupportedPolicy'],
      [community.founder, forum, { readPolicy: { $type: 'com.atproto.simplespace.defs#other' } }, 'UnsupportedPolicy'],
    ]
    for (const [actor, space, more, verdict] of refused) {
      expect(await refusalOf(() => update(actor, space, more)), JSON.stringify(more)).toBe(verdict)
    }
  })

  it('a deleted space is gone from every list, lets nobody through, and its name is not free at once', async () => {
    const [forum, crew] = [await furnished('kept'), await makeRoleSpace(roll, community, 'gone')]
    await nest(roll, community.did, { into: forum, from: crew, role: 'reader' })
    const bob = freshDid()
    await put(roll, community.founder, crew, bob, 'member')
    expect(await mayRead(bob, forum)).toBe(true)
    await end(community.founder, crew)
    expect(await mayRead(bob, forum)).toBe(false)
    const read = await loadReadFacts(roll, parseSpaceUri(crew) as SpaceName, bob)
    expect(read).toEqual({ space: 'deleted' })
    expect(await verdictOf(() => spaceGet(roll, community.founder, { space: crew }))).toBe('NotFound')
    const listed = await spaceList(roll, community.founder, { community: community.did, limit: 100 })
    expect(listed.spaces.map(({ uri }) => uri)).not.toContain(crew)
    expect(await verdictOf(() => put(roll, community.founder, crew, bob, 'member'))).toBe('NotFound')
    expect(await verdictOf(() => end(community.founder, crew))).toBe('NotFound')
    expect(await verdictOf(() => makeForum(roll, community, 'kept'))).toBe('SpaceAlreadyExists')
    await end(community.founder, forum)
    expect(await verdictOf(() => makeForum(roll, community, 'kept'))).toBe('SpaceAlreadyExists')
  })

  it('deleting is refused by name', async () => {
    const forum = await furnished('stays')
    expect(await refusalOf(() => end(freshDid(), forum))).toBe('NotFound')
    expect(await refusalOf(() => end(people.moderator, forum))).toBe('Forbidden')
    expect(await refusalOf(() => end(community.founder, community.roster))).toBe('InvalidRequest')
    const wardens = await makeRoleSpace(roll, community, 'wardens')
    await put(roll, community.founder, wardens, people.admin, 'admin')
    const above = await makeForum(roll, community, 'above')
    // From tomorrow on its people moderate there; today's admin of theirs does not.
    const sinceMs = roll.clock.nowMs() + 86_400_000
    await nest(roll, community.did, { into: above, from: wardens, role: 'moderator', sinceMs })
    expect(await refusalOf(() => end(people.admin, wardens))).toBe('EscalationDenied')
    await end(people.admin, forum)
  })

  it('anybody is told of a space what the exchange would tell them, and of rosters nothing', async () => {
    const forum = await furnished('described')
    expect(await spaceDescribe(roll, { space: forum })).toEqual({
      ...{ uri: forum, spaceType: 'com.atmoboards.forum', readPolicy: MEMBERS, writePolicy: MEMBERS },
      ...{ appAccess: { $type: 'com.atproto.simplespace.defs#open' }, mustAttest: false, joining: 'closed' },
    })
    const crew = await makeRoleSpace(roll, community, 'secret')
    for (const space of [crew, community.roster, `${forum}-not`]) {
      expect(await verdictOf(() => spaceDescribe(roll, { space }))).toBe('SpaceNotFound')
    }
    await end(community.founder, forum)
    expect(await verdictOf(() => spaceDescribe(roll, { space: forum }))).toBe('SpaceDeleted')
  })
})
