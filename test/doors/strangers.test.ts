/** People at doors that are not theirs, and texts that would like to be more than text. */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DOORS } from '../../src/doors/xrpc.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { enrolmentOf, type KeeperKeys, makeKeeperKeys } from '../kit/keepers.ts'
import { makeKey } from '../kit/tokens.ts'
import { type Answer, recoveryProven } from '../kit/world.ts'
import { anyDeal } from './good-ceremonies.ts'
import { makeProposals } from './good-inputs.ts'
import { holdings, openStage, type Stage } from './stage.ts'

const unknownDid = `did:plc:${'q'.repeat(24)}`
const R = 'community.reeve'

describe('the admin of one community', () => {
  let stage: Stage
  let waiting: string
  let keys: KeeperKeys
  beforeAll(async () => {
    stage = await openStage()
    keys = await makeKeeperKeys()
    waiting = (await makeProposals(stage, 1))[0] ?? ''
  })
  afterAll(() => stage.close())

  const importIn = (community: string) => ({ import: community === stage.community ? stage.openImport : 'none' })

  const acted =
    (given: object) =>
    ({ community }: { community: string }) => ({
      ...{ community, ceremony: 'any', statementHash: '0'.repeat(64), act: { at: 'now', sig: 'none' } },
      ...given,
    })

  /** What of another community, or of one that doesn't exist, each door is asked for. */
  const ASKS: Readonly<Record<string, (of: { community: string; space: string }) => object>> = {
    [`${R}.community.get`]: ({ community }) => ({ community }),
    [`${R}.community.update`]: ({ community }) => ({ community, name: 'Mine' }),
    [`${R}.community.freeze`]: ({ space }) => ({ space, isFrozen: true }),
    [`${R}.community.delete`]: ({ community }) => ({ community }),
    [`${R}.key.list`]: ({ community }) => ({ community }),
    [`${R}.key.rotate`]: ({ community }) => ({ community, purposes: ['atproto'] }),
    [`${R}.key.replaceRecovery`]: ({ community }) => ({
      community,
      ...recoveryProven(stage.world, stage.eve, makeKey('k256')),
    }),
    [`${R}.proposal.approve`]: ({ community }) => ({ proposal: community === unknownDid ? 'none' : waiting }),
    [`${R}.proposal.cancel`]: ({ community }) => ({ proposal: community === unknownDid ? 'none' : waiting }),
    [`${R}.proposal.list`]: ({ community }) => ({ community }),
    [`${R}.community.setHandle`]: ({ community }) => ({ community, remove: true }),
    [`${R}.key.enrolKeeper`]: ({ community }) => enrolmentOf(stage.world, { community, caller: stage.eve.did, keys }),
    [`${R}.key.endKeeper`]: ({ community }) => ({ community, did: stage.alice.did }),
    [`${R}.key.export`]: ({ community }) => ({ community }),
    [`${R}.key.takeExport`]: ({ community }) => ({ community, export: 'any' }),
    [`${R}.key.objectOwnership`]: ({ community }) => ({ community }),
    [`${R}.key.propose`]: ({ community }) => ({ community, kind: 'drill', combineHere: true }),
    [`${R}.key.get`]: ({ community }) => ({ community, ceremony: 'any' }),
    [`${R}.key.approve`]: acted({}),
    [`${R}.key.deal`]: acted(anyDeal()),
    [`${R}.key.acknowledge`]: acted({}),
    [`${R}.key.submitShare`]: acted({ sealed: 'any' }),
    [`${R}.key.conclude`]: acted({ signature: 'any' }),
    [`${R}.key.cancel`]: acted({}),
    [`${R}.key.liftSuspension`]: ({ community }) => ({ community, did: stage.alice.did }),
    [`${R}.space.create`]: ({ community }) => ({ community, spaceType: 'com.atmoboards.forum' }),
    [`${R}.space.update`]: ({ space }) => ({ space, name: 'Mine' }),
    [`${R}.space.delete`]: ({ space }) => ({ space }),
    [`${R}.space.get`]: ({ space }) => ({ space }),
    [`${R}.space.list`]: ({ community }) => ({ community }),
    [`${R}.member.put`]: ({ space }) => ({ space, did: stage.eve.did, role: 'owner' }),
    [`${R}.member.remove`]: ({ space }) => ({ space, did: stage.alice.did }),
    [`${R}.member.leave`]: ({ space }) => ({ space }),
    [`${R}.member.ban`]: ({ space }) => ({ space, did: stage.alice.did }),
    [`${R}.member.unban`]: ({ space }) => ({ space, did: stage.alice.did }),
    [`${R}.member.listBans`]: ({ space }) => ({ space }),
    [`${R}.member.list`]: ({ space }) => ({ space }),
    [`${R}.member.resolve`]: ({ space }) => ({ space }),
    [`${R}.member.reach`]: ({ community }) => ({ community, did: stage.alice.did }),
    [`${R}.member.createInvite`]: ({ space }) => ({ space, role: 'member' }),
    [`${R}.member.listInvites`]: ({ space }) => ({ space }),
    [`${R}.member.revokeInvite`]: ({ space }) => ({ space, invite: 'any' }),
    [`${R}.member.requestJoin`]: ({ space }) => ({ space }),
    [`${R}.member.listRequests`]: ({ space }) => ({ space }),
    [`${R}.member.decideRequest`]: ({ space }) => ({ space, did: stage.eve.did, verdict: 'approve' }),
    [`${R}.member.transferOwnership`]: ({ community }) => ({ community, to: stage.eve.did }),
    [`${R}.member.acceptOwnership`]: ({ community }) => ({ community }),
    [`${R}.member.import`]: ({ space }) => ({ space, lines: '{}' }),
    [`${R}.member.applyImport`]: ({ community }) => importIn(community),
    [`${R}.member.getImport`]: ({ community }) => importIn(community),
    [`${R}.member.cancelImport`]: ({ community }) => importIn(community),
    [`${R}.community.exportRoll`]: ({ community }) => ({ community }),
    [`${R}.role.put`]: ({ community }) => ({ community, name: 'mine', actions: ['read'] }),
    [`${R}.role.delete`]: ({ community }) => ({ community, name: 'member' }),
    [`${R}.role.list`]: ({ community }) => ({ community }),
    [`${R}.app.setAccess`]: ({ space }) => ({ space, mode: 'allowList' }),
    [`${R}.app.putRule`]: ({ community }) => ({ community, host: 'app.example.com', verdict: 'deny' }),
    [`${R}.app.removeRule`]: ({ space }) => ({ space, host: 'app.example.com' }),
    [`${R}.app.list`]: ({ space }) => ({ space }),
    [`${R}.federation.offer`]: ({ space }) => ({ space, to: stage.elsewhere }),
    [`${R}.federation.withdraw`]: ({ space }) => ({ space, to: stage.elsewhere }),
    [`${R}.federation.listOffers`]: ({ community }) => ({ community }),
    [`${R}.member.check`]: ({ space }) => ({ space, did: stage.alice.did, action: 'read' }),
    [`${R}.member.explain`]: ({ space }) => ({ space, did: stage.alice.did, action: 'read' }),
    [`${R}.member.preview`]: ({ community, space }) => ({ community, space, role: 'reader' }),
    [`${R}.audit.list`]: ({ community }) => ({ community }),
    [`${R}.notify.listRegistrations`]: ({ space }) => ({ space }),
    [`${R}.notify.pause`]: ({ space }) => ({ space, service: stage.listener }),
    [`${R}.notify.resume`]: ({ space }) => ({ space, service: stage.listener }),
    [`${R}.notify.replay`]: ({ space }) => ({ space, service: stage.listener }),
    [`${R}.steering.connect`]: ({ community }) => ({ community, anyType: true }),
    [`${R}.steering.disconnect`]: ({ community }) => ({ community }),
    [`${R}.steering.get`]: ({ community }) => ({ community }),
    [`${R}.steering.put`]: ({ space }) => ({ space, mode: 'hook' }),
    [`${R}.steering.remove`]: ({ space }) => ({ space }),
    [`${R}.steering.getSpace`]: ({ space }) => ({ space }),
    [`${R}.steering.look`]: ({ space }) => ({ space }),
    [`${R}.steering.listDifferences`]: ({ space }) => ({ space, look: 'any' }),
    [`${R}.steering.apply`]: ({ space }) => ({ space, look: 'any' }),
    [`${R}.credential.list`]: ({ space }) => ({ space, did: stage.alice.did }),
    [`${R}.credential.revoke`]: ({ space }) => ({ space }),
  }
  /** Doors that name no community of the caller's choosing. */
  const OWN_ONLY = [
    'com.atproto.space.getSpaceCredential',
    'com.atproto.simplespace.getSpace',
    'com.atproto.simplespace.checkUserAccess',
    'com.atproto.space.registerNotify',
    'com.atproto.space.unregisterNotify',
    'com.atproto.space.notifyWrite',
    'com.atproto.space.listRepos',
    `${R}.community.mint`,
    `${R}.community.takeIn`,
    `${R}.community.adopt`,
    `${R}.community.release`,
    `${R}.community.list`,
    // A key that stands in the public log of a community says so; without one, that it is here is no secret.
    `${R}.key.claimOwnership`,
    `${R}.space.describe`,
    `${R}.member.acceptInvite`,
    `${R}.service.describe`,
  ]

  it('is tried at every door', () => {
    expect([...Object.keys(ASKS), ...OWN_ONLY].sort()).toEqual(DOORS.map((door) => door.method.nsid).sort())
  })

  const shown = ({ status, body }: Answer) => ({ status, body })
  const isQuery = (nsid: string) => DOORS.some((door) => door.method.nsid === nsid && door.method.type === 'query')
  const ask = (nsid: string, input: object): Promise<Answer> =>
    isQuery(nsid) ? stage.eve.ask(nsid, input as Record<string, string>) : stage.eve.call(nsid, input)

  it.each(Object.keys(ASKS))(
    'learns nothing at %s: another’s community answers like one that there isn’t',
    async (nsid) => {
      const { community, forum } = stage
      const before = await holdings(stage.world.database.db)
      const foreign = await ask(nsid, ASKS[nsid]?.({ community, space: forum }) ?? {})
      const unknown = await ask(
        nsid,
        ASKS[nsid]?.({ community: unknownDid, space: `at://${unknownDid}/space/com.atmoboards.forum/main` }) ?? {},
      )
      const nowhere = await ask(nsid, ASKS[nsid]?.({ community, space: forum.replace('/main', '/other') }) ?? {})
      expect(shown(foreign)).toEqual({
        status: 404,
        body: { error: 'NotFound', message: 'it does not exist, or not for you to know of' },
      })
      expect(shown(unknown)).toEqual(shown(foreign))
      expect(shown(nowhere)).toEqual(shown(foreign))
      expect(await holdings(stage.world.database.db)).toEqual(before)
    },
  )

  it('finds only their own in lists', async () => {
    const { communities } = (await stage.eve.ask(`${R}.community.list`)).body
    expect(communities.map(({ did }: { did: string }) => did)).toEqual([stage.elsewhere])
  })

  it('may reach no space by naming it under their own community', async () => {
    const disguised = stage.forum.replace(stage.community, stage.elsewhere).replace('/main', '/../main')
    for (const space of [disguised, `${stage.elsewhereForum}/../../../${stage.forum.slice(5)}`]) {
      const answer = await stage.eve.call(`${R}.member.put`, { space, did: stage.eve.did, role: 'member' })
      expect(shown(answer)).toMatchObject({ status: 400, body: { error: 'InvalidRequest' } })
    }
  })

  it('who is a plain member sees who they are among, and governs nothing', async () => {
    const { bob, forum, community } = stage
    const before = await holdings(stage.world.database.db)
    for (const [nsid, input] of [
      [`${R}.member.put`, { space: forum, did: bob.did, role: 'owner' }],
      [`${R}.member.put`, { space: forum, did: bob.did, role: 'admin' }],
      [`${R}.member.remove`, { space: forum, did: stage.eve.did }],
      [`${R}.space.create`, { community, spaceType: 'com.atmoboards.forum' }],
    ] as const) {
      const answer = await bob.call(nsid, input)
      expect([400, 403, 404], `${nsid} ${JSON.stringify(answer.body)}`).toContain(answer.status)
    }
    expect(await holdings(stage.world.database.db)).toEqual(before)
    expect((await bob.ask(`${R}.member.list`, { space: forum })).status).toBe(200)
  })
})

describeOnEachEngine('texts', (open) => {
  let stage: Stage
  beforeAll(async () => {
    stage = await openStage({ database: await open() })
  })
  afterAll(() => stage.close())

  const custody = { $type: `${R}.community.mint#custodial` }
  const mint = (name: unknown) => stage.alice.call(`${R}.community.mint`, { name, custody })

  it.each([
    ['empty', ''],
    ['only spaces', '   '],
    ['padded', ' Gardeners'],
    ['two lines', 'Garde\nners'],
    ['with a bell in it', 'Garde\u0007ners'],
    ['turned around', 'Gardeners\u202e'],
    ['isolated', '\u2066Gardeners\u2069'],
    ['with a soft hyphen in it', 'Garde\u00adners'],
    ['with nothing wide in it', 'Garde\u200bners'],
    ['with a byte order mark', '\ufeffGardeners'],
    ['made of joiners', '\u200d\u200d'],
    ['of 65 letters', 'x'.repeat(65)],
    ['of 10 000 letters', 'x'.repeat(10_000)],
    ['a number', 1],
    ['nothing', null],
    ['a list', ['Gardeners']],
  ])('that shall be names, but are %s, are refused', async (_what, name) => {
    const before = await holdings(stage.world.database.db)
    expect(await mint(name)).toMatchObject({ status: 400, body: { error: 'InvalidRequest' } })
    expect(await holdings(stage.world.database.db)).toEqual(before)
  })

  it('of a megabyte are refused before anybody looks at them', async () => {
    expect(await mint('x'.repeat(1_000_000))).toMatchObject({ status: 413, body: { error: 'PayloadTooLarge' } })
  })

  it.each(['Gärtnerei 🧑‍🌾', '園芸家', 'النحالون', 'a'.repeat(64)])(
    'that are names stay what they are: %s',
    async (name) => {
      const { did } = (await mint(name)).body
      expect((await stage.alice.ask(`${R}.community.get`, { community: did })).body.name).toBe(name)
    },
  )

  const SQL = [
    "'; drop table person_edge; --",
    "' or '1'='1",
    '$1',
    '\\',
    '%_%',
    "x') returning *; --",
    '{"a":1}',
    '??',
  ]

  it('of SQL are text in every field that takes text', async () => {
    const { alice, forum, community, world } = stage
    const tables = async () =>
      (
        await sql<{ n: number }>`
      select count(*)::int as n from information_schema.tables where table_schema = current_schema()`.execute(
          world.database.db,
        )
      ).rows[0]?.n
    const members = async () => (await alice.ask(`${R}.member.list`, { space: forum })).body.members
    const [tablesBefore, membersBefore] = [await tables(), await members()]
    for (const text of SQL) {
      const answers = {
        name: await mint(text),
        key: await alice.call(`${R}.member.put`, {
          space: forum,
          did: stage.bob.did,
          role: 'member',
          idempotencyKey: text,
        }),
        role: await alice.call(`${R}.member.put`, { space: forum, did: stage.eve.did, role: text }),
        did: await alice.call(`${R}.member.put`, { space: forum, did: text, role: 'member' }),
        space: await alice.call(`${R}.member.remove`, { space: text, did: stage.bob.did }),
        skey: await alice.call(`${R}.space.create`, { community, spaceType: 'com.atmoboards.forum', skey: text }),
        spaceName: await alice.call(`${R}.space.create`, { community, spaceType: 'com.atmoboards.forum', name: text }),
        cursor: await alice.ask(`${R}.member.list`, { space: forum, cursor: text }),
        spaces: await alice.ask(`${R}.space.list`, { community, cursor: text }),
        sort: await alice.ask(`${R}.space.list`, { community, sort: `name;${text}` }),
        audited: await alice.ask(`${R}.audit.list`, { community, action: text, subject: text }),
        auditCursor: await alice.ask(`${R}.audit.list`, { community, cursor: text }),
        checked: await alice.ask(`${R}.member.check`, { space: forum, did: alice.did, action: text }),
        clientId: await alice.ask(`${R}.member.check`, {
          space: forum,
          did: alice.did,
          action: 'read',
          clientId: text,
        }),
      }
      const statuses = Object.fromEntries(Object.entries(answers).map(([field, answer]) => [field, answer.status]))
      expect(statuses, text).toEqual({
        ...{ name: 200, key: 200, role: 400, did: 400, space: 400, skey: 400, spaceName: 200 },
        ...{ cursor: 200, spaces: 200, sort: 400, audited: 200, auditCursor: 400, checked: 400, clientId: 400 },
      })
      expect(answers.audited.body.entries).toEqual([])
      const founded = await alice.ask(`${R}.community.get`, { community: answers.name.body.did })
      expect(founded.body.name).toBe(text)
    }
    expect(await tables()).toBe(tablesBefore)
    expect(await members()).toEqual(membersBefore)
  })
})
