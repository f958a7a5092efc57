/** `space.create` on real databases: names, policies and powers. */
import { beforeAll, expect, it } from 'vitest'
import type * as lexicon from '../../src/lexicons/community/reeve/space/create.ts'
import { isTid, parseSpaceUri, type SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { spaceCreate } from '../../src/space/spaceCreate.ts'
import { spaceDescribe } from '../../src/space/spaceDescribe.ts'
import { spaceGet } from '../../src/space/spaceGet.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  everythingIn,
  FORUM,
  freshDid,
  keyed,
  once,
  openCommunity,
  put,
  type Roll,
  rollOn,
  SERVICE,
} from '../kit/roll.ts'
import { tracelessRefusalOf, verdictOf } from '../kit/verdicts.ts'

const DEFS = 'com.atproto.simplespace.defs'
const managed = (managingApp: string) => ({ $type: `${DEFS}#managingAppPolicy`, managingApp })
const PUBLIC = { $type: `${DEFS}#publicPolicy` }
const MEMBERS = { $type: `${DEFS}#memberListPolicy` }
const OPEN = { $type: `${DEFS}#open` }

describeOnEachEngine('space.create', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  const [admin, moderator, member] = [freshDid(), freshDid(), freshDid()]

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    await put(roll, community.founder, community.roster, admin, 'admin')
    await put(roll, community.founder, community.roster, moderator, 'moderator')
    await put(roll, community.founder, community.roster, member, 'member')
  })

  const create = (more: object = {}, actor = community.founder) => {
    const input = { community: community.did, spaceType: FORUM, ...more }
    return spaceCreate(roll, actor, input as lexicon.$InputBody, once())
  }

  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  it('makes a space that its owners stand in from the first moment, and nobody else', async () => {
    const { uri } = await create({ skey: 'first', name: 'Allotments' })
    expect(uri).toBe(`at://${community.did}/space/${FORUM}/first`)
    expect(await spaceGet(roll, community.founder, { space: uri })).toMatchObject({
      ...{ uri, community: community.did, spaceType: FORUM, skey: 'first', name: 'Allotments' },
      ...{ readPolicy: MEMBERS, writePolicy: MEMBERS, appAccess: OPEN },
    })
    expect(await verdictOf(() => spaceGet(roll, admin, { space: uri }))).toBe('NotFound')
  })

  it('names a space by a fresh TID when no skey is given', async () => {
    const made = [await create(), await create(), await create()]
    const keys = made.map(({ uri }) => parseSpaceUri(uri)?.skey ?? '')
    expect(keys.every(isTid)).toBe(true)
    expect(new Set(keys).size).toBe(3)
  })

  it('is for owners and admins of the roster', async () => {
    expect(await verdictOf(() => create({}, admin))).toBe('accepted')
    expect(await refusalOf(() => create({}, moderator))).toBe('Forbidden')
    expect(await refusalOf(() => create({}, member))).toBe('Forbidden')
    expect(await refusalOf(() => create({}, freshDid()))).toBe('NotFound')
    expect(await refusalOf(() => create({}, community.did))).toBe('NotFound')
  })

  it('judges by the roster alone: power in a forum makes no other one', async () => {
    const { uri } = await create({ skey: 'fief' })
    const lord = freshDid()
    await put(roll, community.founder, uri, lord, 'admin')
    expect(await refusalOf(() => create({}, lord))).toBe('NotFound')
    await put(roll, community.founder, community.roster, lord, 'reader')
    expect(await refusalOf(() => create({}, lord))).toBe('Forbidden')
  })

  it('of another community, or of none, is not found', async () => {
    const other = await openCommunity(roll)
    expect(await refusalOf(() => create({ community: other.did }))).toBe('NotFound')
    expect(await refusalOf(() => create({ community: freshDid() }))).toBe('NotFound')
    expect(await refusalOf(() => create({ community: community.did.toUpperCase() }))).toBe('InvalidRequest')
  })

  it('opens a space to the public for owners only', async () => {
    for (const policy of [
      { readPolicy: PUBLIC },
      { writePolicy: PUBLIC },
      { readPolicy: PUBLIC, writePolicy: PUBLIC },
    ]) {
      expect(await refusalOf(() => create(policy, admin))).toBe('Forbidden')
      const { uri } = await create(policy)
      expect(await spaceGet(roll, community.founder, { space: uri })).toMatchObject(policy)
    }
    expect(await verdictOf(() => create({ readPolicy: MEMBERS, writePolicy: MEMBERS }, admin))).toBe('accepted')
  })

  it('names a managing app for reading and for writing, each its own, as an owner’s act', async () => {
    const [readPolicy, writePolicy] = [managed('did:web:app.example.com#bouncer'), managed('did:web:app.example.com')]
    for (const policy of [{ readPolicy }, { writePolicy }, { readPolicy, writePolicy }]) {
      expect(await refusalOf(() => create(policy, admin))).toBe('Forbidden')
      const { uri } = await create(policy)
      expect(await spaceGet(roll, community.founder, { space: uri })).toMatchObject(policy)
      expect(await spaceDescribe(roll, { space: uri })).toMatchObject(policy)
    }
  })

  it('refuses a managing app that is not written in its one spelling, or is this service itself', async () => {
    const did = 'did:web:app.example.com'
    for (const app of [
      ...['', 'app.example.com', 'https://app.example.com', `${did}#`, `${did}#a#b`, `${did}#a b`, `${did}#\n`],
      ...['did:web:APP.example.com#a', `${did}/x`, `${did}?x`, 'did:key:z6MkhaXgBZ#a', 'did:plc:short#a', ` ${did}`],
      ...[`${did}#${'a'.repeat(300)}`, SERVICE, `${SERVICE}#reeve`],
    ]) {
      expect(await refusalOf(() => create({ readPolicy: managed(app) })), app).toBe('UnsupportedPolicy')
      expect(await refusalOf(() => create({ writePolicy: managed(app) })), app).toBe('UnsupportedPolicy')
    }
    for (const managingApp of [undefined, null, 7, [did]]) {
      const given = { $type: `${DEFS}#managingAppPolicy`, managingApp }
      expect(await refusalOf(() => create({ readPolicy: given }))).toBe('UnsupportedPolicy')
    }
    const role = { spaceType: 'community.reeve.role', skey: 'keepers', readPolicy: managed(did) }
    expect(await refusalOf(() => create(role))).toBe('UnsupportedPolicy')
  })

  it('refuses policies and app access that it could not keep, whatever they are called', async () => {
    const types = [
      `${DEFS}#managingAppPolicy2`,
      `${DEFS}#publicPolicy2`,
      `${DEFS}#PublicPolicy`,
      '#publicPolicy',
      'publicPolicy',
      'com.example.defs#publicPolicy',
      '__proto__',
      'constructor',
      'toString',
      '',
    ]
    for (const $type of types) {
      const given = { $type, managingApp: 'did:web:app.example.com#bouncer' }
      expect(await refusalOf(() => create({ readPolicy: given }))).toBe('UnsupportedPolicy')
      expect(await refusalOf(() => create({ writePolicy: given }))).toBe('UnsupportedPolicy')
      expect(await refusalOf(() => create({ appAccess: given }))).toBe('UnsupportedAppAccess')
    }
    const appAccess = { $type: `${DEFS}#allowList`, allowed: [] }
    const role = { spaceType: 'community.reeve.role', skey: 'keepers', appAccess }
    expect(await refusalOf(() => create(role))).toBe('UnsupportedAppAccess')
    expect(await verdictOf(() => create({ appAccess: OPEN }))).toBe('accepted')
  })

  it('makes role spaces, under a name and for their roster alone', async () => {
    const spaceType = 'community.reeve.role'
    const { uri } = await create({
      spaceType,
      skey: 'stewards',
      name: 'Stewards',
      description: 'They water\nthe beds.',
    })
    expect(uri).toBe(`at://${community.did}/space/${spaceType}/stewards`)
    expect(await spaceGet(roll, community.founder, { space: uri })).toMatchObject({
      description: 'They water\nthe beds.',
    })
    expect(await refusalOf(() => create({ spaceType }))).toBe('InvalidRequest')
    expect(await refusalOf(() => create({ spaceType, skey: 'stewards' }))).toBe('SpaceAlreadyExists')
    for (const open of [{ readPolicy: PUBLIC }, { writePolicy: PUBLIC }]) {
      expect(await refusalOf(() => create({ spaceType, skey: 'open', ...open }))).toBe('UnsupportedPolicy')
    }
  })

  it("makes none of Reeve's other own types, which come by themselves", async () => {
    for (const spaceType of ['community.reeve.roster', 'community.reeve.anything']) {
      expect(await refusalOf(() => create({ spaceType, skey: 'self' }))).toBe('InvalidRequest')
    }
    for (const spaceType of [
      'Community.reeve.roster',
      'forum',
      'com.atmoboards',
      'com..forum',
      'com.atmoboards.fo rum',
    ]) {
      expect(await refusalOf(() => create({ spaceType }))).toBe('InvalidRequest')
    }
    expect(await verdictOf(() => create({ spaceType: 'community.reeves.roster' }))).toBe('accepted')
  })

  it('takes a skey as a record key is, and no other', async () => {
    for (const skey of ['.', '..', '', 'a/b', 'a b', 'ü', '%41', 'a#b', 'a?b', 'x'.repeat(513)]) {
      expect(await refusalOf(() => create({ skey }))).toBe('InvalidRequest')
    }
    for (const skey of ['~', '...', 'A.b-c_d:e~f', '__proto__', 'constructor', 'x'.repeat(512)]) {
      const { uri } = await create({ skey })
      expect(parseSpaceUri(uri)?.skey).toBe(skey)
      expect(await spaceGet(roll, community.founder, { space: uri })).toMatchObject({ uri, skey })
    }
  })

  it('makes no second space of a name, and tells names apart by every letter', async () => {
    await create({ skey: 'twice' })
    expect(await refusalOf(() => create({ skey: 'twice' }))).toBe('SpaceAlreadyExists')
    expect(await refusalOf(() => create({ skey: 'twice', readPolicy: PUBLIC }))).toBe('SpaceAlreadyExists')
    expect(await verdictOf(() => create({ skey: 'Twice' }))).toBe('accepted')
    expect(await verdictOf(() => create({ skey: 'twice', spaceType: 'com.atmoboards.chat' }))).toBe('accepted')
  })

  it('tells nobody that a name is taken who could not have taken it', async () => {
    await create({ skey: 'taken' })
    expect(await refusalOf(() => create({ skey: 'taken' }, member))).toBe('Forbidden')
    expect(await refusalOf(() => create({ skey: 'taken' }, freshDid()))).toBe('NotFound')
  })

  it('takes a name that shows, and none that could pass for another or for none', async () => {
    const unsound = [
      '',
      ' ',
      ' Allotments',
      'Allotments ',
      '\u00a0',
      '\u3000',
      'a\u0000b',
      'a\u200bb',
      'a\u202eb',
      'a\u2028b',
      'a\ufeffb',
      '\u200d',
      'Garde\u200dners',
      '\u200d\u200d',
      '\u3164',
      '\u115f',
      '\u2800',
      '\ufe0f',
      '\u034f',
      'a\ud800',
    ]
    for (const name of unsound)
      expect(await refusalOf(() => create({ name })), JSON.stringify(name)).toBe('InvalidRequest')
    for (const name of [
      'Allotments',
      'Gärten & Höfe',
      '庭',
      '👩‍🌾 garden',
      'نادي',
      '❤️',
      '🇩🇪',
      "x'; drop table space; --",
    ]) {
      const { uri } = await create({ name })
      expect(await spaceGet(roll, community.founder, { space: uri })).toMatchObject({ name })
    }
  })

  it('makes one space under one idempotencyKey, also when the name was left to us', async () => {
    const input = { community: community.did, spaceType: FORUM }
    const call = keyed(community.founder, 'community.reeve.space.create', 'tid', input)
    const first = await spaceCreate(roll, community.founder, input, call)
    const count = async () => (await everythingIn(db)).space?.length
    const before = await count()
    expect(await spaceCreate(roll, community.founder, input, call)).toEqual(first)
    expect(await count()).toBe(before)
  })

  it('writes down its policies and its edge for owners', async () => {
    const { uri } = await create({ skey: 'noted', readPolicy: PUBLIC })
    const row = await db
      .selectFrom('audit_entry')
      .select(['action', 'actor', 'because'])
      .where('target', '=', uri)
      .executeTakeFirstOrThrow()
    expect(row).toMatchObject({
      ...{ action: 'space.create', actor: community.founder },
      because: { readPolicy: 'public', writePolicy: 'memberList', reasons: [{ rule: 'edge', role: 'owner' }] },
    })
    const edges = await db
      .selectFrom('space_edge')
      .selectAll()
      .where('into_space', '=', uri as SpaceUri)
      .execute()
    expect(edges).toMatchObject([
      { from_space: community.roster, role: 'owner', holding: 'community.transfer', is_system: true },
    ])
  })
})
