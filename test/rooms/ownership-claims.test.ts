/**
 * Owners whom a key of the community names, because those that there were are lost: three days in which any of them can object, judged by the
 * log twice, carried out once. Every no says why, and changes nothing.
 */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { applyClaim, applyClaims, OBJECTED_MS } from '../../src/community/apply-claims.ts'
import { loadOpenClaim } from '../../src/community/ownership-claim-store.ts'
import { signCompact } from '../../src/keys/private-keys.ts'
import type { Did } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { dyingAfter } from '../kit/crashing.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { json } from '../kit/fake-plc.ts'
import { changeBehindOurBack, inForce } from '../kit/handles.ts'
import { enrol, stepUpOf } from '../kit/keepers.ts'
import { type KeyWorld, LIST, openKeyWorld } from '../kit/keys-at-work.ts'
import { CLAIM, claimOf, OBJECT } from '../kit/ownership.ts'
import { plantQuorum } from '../kit/quorum.ts'
import { copyOfKey } from '../kit/rotation-stage.ts'
import { base64Url, makeKey, signBytes, type TestKey } from '../kit/tokens.ts'
import type { Person } from '../kit/world.ts'

const DAY_SEC = 86_400
const HOUR_SEC = 3_600
const R = 'community.reeve'

const refused = (status: number, error: string) => ({ status, body: { error } })

describeOnEachEngine('owners whom a key of the community names', (open) => {
  let hers: KeyWorld
  let db: Db
  let database: TestDatabase
  let carol: Person
  let dave: Person
  beforeAll(async () => {
    database = await open()
    db = database.db
    hers = await openKeyWorld(database)
    ;[carol, dave] = [await hers.world.person(), await hers.world.person()]
  })
  afterAll(() => hers.close())

  const nowMs = () => hers.world.clock.nowMs()
  const apply = (over: { db?: Db } = {}) => applyClaims({ ...hers.world.reeve.house, db, ...over })
  const said = (community: Did, key: TestKey, owners: readonly Did[] = [carol.did], atMs?: number) =>
    claimOf(hers.world, { community, owners, key, ...(atMs === undefined ? {} : { atMs }) })
  const claim = (community: Did, key: TestKey, owners?: readonly Did[], by: Person = carol) =>
    by.call(CLAIM, said(community, key, owners))
  const object = (community: Did, by: Person = hers.alice, more: object = {}) => by.call(OBJECT, { community, ...more })
  const rosterOf = (community: Did) => `at://${community}/space/${R}.roster/self`
  const put = (community: Did, did: Did, role: string, by: Person = hers.alice) =>
    by.call(`${R}.member.put`, { space: rosterOf(community), did, role })

  const rows = async <T>(query: ReturnType<typeof sql<T>>) => (await query.execute(db)).rows
  const ownersOf = async (community: Did) =>
    (
      await rows(sql<{ did: Did }>`select did from person_edge
        where into_space = ${rosterOf(community)} and role = 'owner' order by did`)
    ).map(({ did }) => did)
  const claimsOf = (community: Did) =>
    rows(sql<{ state: string; fault: string | null }>`select state, fault from ownership_claim
      where community = ${community} order by made_at_ms, id`)
  /** Everything that a claim may change. */
  const holdings = (community: Did) =>
    Promise.all([
      rows(sql`select * from ownership_claim where community = ${community} order by id`),
      rows(sql`select * from person_edge where community = ${community} order by into_space, did`),
      rows(sql`select * from ban where community = ${community} order by did`),
      rows(sql`select * from proposal where community = ${community} order by id`),
      rows(sql`select * from identity_alarm where community = ${community} order by name`),
      rows(sql`select * from community_revision where community = ${community}`),
      rows(sql`select count(*)::int as n from audit_entry where community = ${community} and action like 'key.%ship%'
        and not because ? 'refused'`),
    ])
  const alarmOf = async (community: Did, by: Person = hers.alice): Promise<string | undefined> =>
    (await by.ask(`${R}.community.get`, { community })).body.alarms?.find(
      ({ name }: { name: string }) => name === 'ownershipClaimed',
    )?.says

  it('own it alone after three days, and rule; those of before have nothing by it', async () => {
    const { did, key, forum } = await hers.community()
    await put(did, hers.bob.did, 'owner')
    await hers.alice.call(`${R}.member.ban`, { community: did, did: dave.did })
    const asked = await hers.alice.call(`${R}.community.delete`, { community: did })
    expect(asked.body.proposal).toMatchObject({ state: 'open' })
    // Somebody with a role keeps it: the new owners see to that.
    const admin = await hers.world.person()
    await put(did, admin.did, 'admin')

    const answer = await claim(did, key, [dave.did, carol.did])
    const dueAt = new Date(Date.parse(answer.body.dueAt)).toISOString()
    expect(answer).toMatchObject({ status: 200, body: { state: 'waiting', dueAt } })
    for (const by of [hers.alice, hers.bob]) {
      const says = await alarmOf(did, by)
      for (const part of [key.didKey, carol.did, dave.did, dueAt, 'key.objectOwnership']) expect(says).toContain(part)
    }
    const listed = (await hers.alice.ask(LIST, { community: did })).body
    expect(listed.tasks.map(({ name }: { name: string }) => name)).toContain('ownershipClaimed')
    expect(await hers.audited(did, 'key.claimOwnership')).toMatchObject([
      { signedBy: key.didKey, owners: [carol.did, dave.did].toSorted().join(' '), reasons: [{ rule: 'ownKey' }] },
    ])
    // The same again, by whoever brings it and in another order, is the same.
    expect((await claim(did, key, [carol.did, dave.did], hers.bob)).body).toEqual(answer.body)

    hers.world.clock.moveSec(72 * HOUR_SEC - 60)
    await apply()
    expect(await ownersOf(did)).toEqual([hers.alice.did, hers.bob.did].toSorted())
    expect(await hers.alice.exchange(forum)).toMatchObject({ status: 200 })
    const [{ revision } = { revision: 0 }] = await rows(
      sql<{ revision: number }>`select revision from community_revision where community = ${did}`,
    )
    hers.world.clock.moveSec(120)
    await apply()

    expect(await ownersOf(did)).toEqual([carol.did, dave.did].toSorted())
    expect(await claimsOf(did)).toEqual([{ state: 'done', fault: null }])
    expect(await rows(sql`select did from ban where community = ${did}`)).toEqual([])
    expect(await rows(sql`select state, ended_by from proposal where community = ${did}`)).toEqual([
      { state: 'cancelled', ended_by: did },
    ])
    expect(await hers.audited(did, 'key.ownershipDue')).toMatchObject([
      { reasons: [{ rule: 'ownKey' }], bansLifted: 1, calledOff: 1, revision: revision + 1 },
    ])
    const each = await rows(sql<{ action: string; subject: string }>`select action, subject from audit_entry
      where community = ${did} and actor = ${did} and action like 'member.%' order by id`)
    expect(each.map(({ action, subject }) => `${action} ${subject}`).toSorted()).toEqual(
      [
        ...[carol, dave].map((one) => `member.put ${one.did}`),
        ...[hers.alice, hers.bob].map((one) => `member.remove ${one.did}`),
      ].toSorted(),
    )
    expect(await alarmOf(did, carol)).toBeUndefined()
    expect(await carol.exchange(forum)).toMatchObject({ status: 200 })
    expect(await hers.alice.exchange(forum)).toMatchObject(refused(400, 'UserNotAuthorized'))
    expect(await put(did, hers.alice.did, 'owner')).toMatchObject(refused(404, 'NotFound'))
    expect(await hers.alice.call(`${R}.proposal.cancel`, { proposal: asked.body.proposal.id })).toMatchObject(
      refused(404, 'NotFound'),
    )
    expect(await put(did, hers.bob.did, 'member', carol)).toMatchObject({ status: 200 })
    expect((await admin.ask(`${R}.community.get`, { community: did })).status).toBe(200)
  })

  it('may be some of those that there are: these keep their entry as it was', async () => {
    const { did, key } = await hers.community()
    await put(did, hers.bob.did, 'owner')
    const entry = () => rows(sql`select * from person_edge where community = ${did} and did = ${hers.bob.did}`)
    const before = await entry()
    await claim(did, key, [hers.bob.did])
    hers.world.clock.moveSec(3 * DAY_SEC + 1)
    await apply()
    expect(await ownersOf(did)).toEqual([hers.bob.did])
    expect(await entry()).toEqual(before)
  })

  it('are not stopped by those from whom ownership was taken just before, or whom a ban kept from it', async () => {
    const { did, key } = await hers.community()
    for (const one of [hers.bob, dave]) await put(did, one.did, 'owner')
    await claim(did, key)
    hers.world.clock.moveSec(3 * DAY_SEC - HOUR_SEC)
    await hers.alice.call(`${R}.member.remove`, { space: rosterOf(did), did: hers.bob.did })
    await hers.alice.call(`${R}.member.ban`, { community: did, did: dave.did })
    hers.world.clock.moveSec(2 * HOUR_SEC)
    await apply()
    expect(await ownersOf(did)).toEqual([carol.did])
    const { body } = await carol.call(`${R}.community.delete`, { community: did })
    for (const one of [hers.alice, hers.bob, dave])
      expect(await one.call(`${R}.proposal.cancel`, { proposal: body.proposal.id })).toMatchObject(
        refused(404, 'NotFound'),
      )
    await carol.call(`${R}.member.unban`, { community: did, did: dave.did })
    expect((await dave.ask(`${R}.community.get`, { community: did })).status).toBe(404)
  })

  it('are named by the key in shares as well as by the member’s, and by none below', async () => {
    const { did, key } = await hers.community()
    const { key: shared, pair } = await plantQuorum(database, did, nowMs())
    const { rotationKeys } = await inForce(hers.plc, did)
    const ours = rotationKeys.at(-1) ?? ''
    const body = said(did, key)
    const words = [...['reeve-ownership-v1', hers.world.config.serviceDid, did, body.at], carol.did].join('\n')
    const byKeepers = { ...body, sig: base64Url(signCompact(pair, Buffer.from(words))) }
    expect(await carol.call(CLAIM, byKeepers)).toMatchObject(refused(400, 'BadRecoveryProof'))
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [key.didKey, ours, shared.didKey] })
    expect(await carol.call(CLAIM, byKeepers)).toMatchObject(refused(400, 'BadRecoveryProof'))
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [key.didKey, shared.didKey, ours] })
    expect(await carol.call(CLAIM, byKeepers)).toMatchObject({ status: 200 })
    hers.world.clock.moveSec(3 * DAY_SEC + 1)
    await apply()
    expect(await ownersOf(did)).toEqual([carol.did])
  })

  describe('are refused, and nothing changes,', () => {
    it('where it isn’t a claim of the last day', async () => {
      const { did, key } = await hers.community()
      const before = await holdings(did)
      const at = (ms: number) => said(did, key, [carol.did], nowMs() + ms)
      const good = said(did, key)
      const bodies: readonly (readonly [string, object])[] = [
        ['too old', at(-DAY_SEC * 1000 - 1_000)],
        ['from the future', at(60_000)],
        ['without milliseconds', { ...good, at: good.at.replace(/\.\d{3}Z$/, 'Z') }],
        ['no instant', { ...good, at: 'yesterday' }],
        ['by another clock', { ...good, at: good.at.replace('Z', '+00:00') }],
        ['twice the same', said(did, key, [carol.did, carol.did])],
        ['the community itself', said(did, key, [did])],
        ['nobody', { ...good, owners: [] }],
        ['no DID', { ...good, owners: ['carol'] }],
      ]
      for (const [what, body] of bodies)
        expect(await carol.call(CLAIM, body), what).toMatchObject(refused(400, 'InvalidRequest'))
      expect(await holdings(did)).toEqual(before)
    })

    it('where it is signed by another key, or over other words', async () => {
      const { did, key } = await hers.community()
      const other = await hers.community()
      const before = await holdings(did)
      const wanted = { community: did, owners: [carol.did], key }
      const over = (signed: Parameters<typeof claimOf>[2]) => claimOf(hers.world, wanted, signed)
      const by = (one: TestKey) => claimOf(hers.world, { ...wanted, key: one })
      const good = over({})
      const words = ['reeve-ownership-v1', hers.world.config.serviceDid, did, good.at, carol.did].join('\n')
      const bodies: readonly (readonly [string, object])[] = [
        ['a stranger’s', by(makeKey('k256'))],
        ['our rotation key', by(await copyOfKey(hers.world, did, 'rotation'))],
        ['our space key', by(await copyOfKey(hers.world, did, 'space'))],
        ['another community’s key', by(other.key)],
        ['another community', over({ community: other.did })],
        ['another service', over({ service: 'did:web:other.example' })],
        ['other owners', over({ owners: [carol.did, dave.did] })],
        ['another instant', over({ at: new Date(nowMs() - 1_000).toISOString() })],
        ['another tag', over({ tag: 'reeve-drill-v1' })],
        ['the other S', { ...good, sig: base64Url(signBytes(key, words, 'high')) }],
        ['nothing', { ...good, sig: '' }],
      ]
      for (const [what, body] of bodies)
        expect(await carol.call(CLAIM, body), what).toMatchObject(refused(400, 'BadRecoveryProof'))
      expect(await holdings(did)).toEqual(before)
      const custodial = await hers.world.found(hers.alice)
      const ours = await copyOfKey(hers.world, custodial, 'rotation')
      expect(await claim(custodial, ours)).toMatchObject(refused(400, 'BadRecoveryProof'))
      expect(await claimsOf(custodial)).toEqual([])
    })

    it('in communities that aren’t here, are an account’s, have ended, or have left', async () => {
      const key = makeKey('k256')
      const unknown = `did:plc:${'q'.repeat(24)}` as Did
      const account = await hers.world.person()
      await account.call(`${R}.community.adopt`, { name: 'Hedge', owner: hers.alice.did })
      const ended = await hers.community()
      const left = await hers.community()
      await sql`update community set step = 'deleted' where did = ${ended.did}`.execute(db)
      await hers.alice.ask(LIST, { community: left.did })
      await sql`update plc_watch set left_at_ms = 1 where community = ${left.did}`.execute(db)
      for (const [did, by] of [
        ...([[unknown, key] as const, [account.did, account.key] as const] as const),
        ...([[ended.did, ended.key] as const, [left.did, left.key] as const] as const),
      ]) {
        expect(await claim(did, by)).toMatchObject(refused(404, 'NotFound'))
        expect(await claimsOf(did)).toEqual([])
      }
    })

    it('while the directory is away, or shows less than it did; and it is good afterwards', async () => {
      const { did, key } = await hers.community()
      await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs: [] })
      await hers.alice.ask(LIST, { community: did })
      const body = said(did, key)
      const before = await holdings(did)
      hers.plc.misbehave(({ kind }) => (kind === 'log' ? json(503) : undefined))
      expect(await carol.call(CLAIM, body)).toMatchObject(refused(502, 'UpstreamFailure'))
      hers.plc.misbehave(async ({ kind }, forward) => {
        if (kind !== 'log') return undefined
        const { body: log } = await forward()
        return json(200, JSON.parse(log).slice(0, 1))
      })
      expect(await carol.call(CLAIM, body)).toMatchObject(refused(502, 'UpstreamFailure'))
      hers.plc.misbehave(null)
      expect(await holdings(did)).toEqual(before)
      expect(await carol.call(CLAIM, body)).toMatchObject({ status: 200 })
    })

    it('while others wait', async () => {
      const { did, key } = await hers.community()
      await claim(did, key)
      const before = await holdings(did)
      hers.world.clock.moveSec(HOUR_SEC)
      for (const owners of [[dave.did], [carol.did, dave.did]])
        expect(await claim(did, key, owners)).toMatchObject(refused(409, 'CoolingDown'))
      expect(await holdings(did)).toEqual(before)
    })
  })

  describe('come to nothing on their day', () => {
    it.each([
      ['where their key was replaced in the identity', 'KeyGone'],
      ['where the community has ended', 'Ended'],
      ['where it has left', 'Left'],
    ])('%s', async (_where, fault) => {
      const { did, key } = await hers.community()
      await claim(did, key)
      const { rotationKeys } = await inForce(hers.plc, did)
      const replaced = { rotationKeys: [makeKey('k256').didKey, rotationKeys.at(-1)] }
      if (fault === 'KeyGone') await changeBehindOurBack(hers.plc, did, key, replaced)
      if (fault === 'Ended') await sql`update community set step = 'deleted' where did = ${did}`.execute(db)
      if (fault === 'Left') await sql`update plc_watch set left_at_ms = 1 where community = ${did}`.execute(db)
      hers.world.clock.moveSec(3 * DAY_SEC + 1)
      await apply()
      expect(await claimsOf(did)).toEqual([{ state: 'refused', fault }])
      expect(await ownersOf(did)).toEqual([hers.alice.did])
      expect(
        await rows(sql`select name from identity_alarm where community = ${did} and name = 'ownershipClaimed'`),
      ).toEqual([])
      expect(await hers.audited(did, 'key.ownershipRefused')).toMatchObject([{ fault }])
      await apply()
      expect(await hers.audited(did, 'key.ownershipRefused')).toHaveLength(1)
    })
  })

  describe('are carried out once', () => {
    const due = async () => {
      const { did, key } = await hers.community()
      await claim(did, key, [carol.did, dave.did])
      hers.world.clock.moveSec(3 * DAY_SEC + 1)
      return did
    }

    it('when the directory is back, where it is away on their day', async () => {
      const did = await due()
      const before = await holdings(did)
      hers.plc.misbehave(({ kind }) => (kind === 'log' ? 'cut' : undefined))
      await apply()
      expect(await holdings(did)).toEqual(before)
      hers.plc.misbehave(null)
      await apply()
      expect(await ownersOf(did)).toEqual([carol.did, dave.did].toSorted())
    })

    it('by two processes at once', async () => {
      const did = await due()
      const open = await loadOpenClaim(db, did)
      if (!open) throw new Error('no claim')
      const ctx = { ...hers.world.reeve.house, db }
      await Promise.all([applyClaim(ctx, open), applyClaim({ ...ctx }, open), applyClaim({ ...ctx }, open)])
      expect(await hers.audited(did, 'key.ownershipDue')).toHaveLength(1)
      expect(await claimsOf(did)).toEqual([{ state: 'done', fault: null }])
      expect(await ownersOf(did)).toEqual([carol.did, dave.did].toSorted())
    })

    it('by a process that dies anywhere, and the next', async () => {
      const did = await due()
      const open = await loadOpenClaim(db, did)
      if (!open) throw new Error('no claim')
      const ctx = { ...hers.world.reeve.house, db }
      const before = await holdings(did)
      let deaths = 0
      for (let statements = 1; ; statements += 1) {
        const dying = dyingAfter(db, statements)
        await applyClaim({ ...ctx, db: dying.db }, open).catch(() => {})
        if (!dying.hasDied()) break
        deaths += 1
        expect(await holdings(did)).toEqual(before)
      }
      expect(deaths).toBeGreaterThan(10)
      await applyClaim(ctx, open)
      expect(await hers.audited(did, 'key.ownershipDue')).toHaveLength(1)
      expect(await ownersOf(did)).toEqual([carol.did, dave.did].toSorted())
    })
  })

  describe('can be objected to', () => {
    it('by any owner, with whatever keys they enrolled, and by nobody else', async () => {
      const { did, key } = await hers.community()
      await put(did, hers.bob.did, 'owner')
      const admin = await hers.world.person()
      await put(did, admin.did, 'admin')
      expect(await object(did)).toMatchObject(refused(404, 'NotFound'))
      const { signKey } = await enrol(hers.world, hers.alice, did)
      hers.world.clock.moveSec(DAY_SEC)
      await claim(did, key)
      const before = await holdings(did)
      expect(await object(did, carol)).toMatchObject(refused(404, 'NotFound'))
      expect(await object(did, admin)).toMatchObject(refused(403, 'Forbidden'))
      expect(await object(did, hers.alice, { ifRevision: 0 })).toMatchObject(refused(409, 'StaleRevision'))
      const sign = (by: TestKey) =>
        stepUpOf(hers.world, { person: hers.alice, key: by, act: OBJECT, input: { community: did } })
      for (const more of [{}, { stepUp: sign(makeKey('p256')) }])
        expect(await object(did, hers.alice, more)).toMatchObject(refused(403, 'KeeperSignatureRequired'))
      expect(await holdings(did)).toEqual(before)

      expect(await object(did, hers.alice, { stepUp: sign(signKey) })).toMatchObject({ status: 200 })
      const says = await alarmOf(did, hers.bob)
      for (const part of [`${hers.alice.did} objected`, 'once more']) expect(says).toContain(part)
      const objections = (await hers.audited(did, 'key.objectOwnership')).filter((one) => !('refused' in one))
      expect(objections).toMatchObject([{ signedBy: key.didKey, owners: carol.did }])
      // Objecting again is no other objection.
      const objected = await holdings(did)
      expect(await object(did, hers.bob)).toMatchObject({ status: 200 })
      expect(await holdings(did)).toEqual(objected)
    })

    it('and come to nothing then, if nobody signs again in a week', async () => {
      const { did, key } = await hers.community()
      await claim(did, key)
      await object(did)
      hers.world.clock.moveSec(4 * DAY_SEC)
      await apply()
      expect(await claimsOf(did)).toEqual([{ state: 'objected', fault: null }])
      hers.world.clock.moveSec(OBJECTED_MS / 1000)
      await apply()
      expect(await claimsOf(did)).toEqual([{ state: 'refused', fault: 'Objected' }])
      expect(await ownersOf(did)).toEqual([hers.alice.did])
      expect(await alarmOf(did)).toBeUndefined()
      // From then on it begins anew, with three days for every owner.
      expect(await claim(did, key)).toMatchObject({ status: 200, body: { state: 'waiting' } })
      expect(await object(did)).toMatchObject({ status: 200 })
    })

    it('until it is signed a second time, later than the objection: then on the first day, and nobody can object', async () => {
      const { did, key } = await hers.community()
      const first = said(did, key)
      const { dueAt } = (await carol.call(CLAIM, first)).body
      hers.world.clock.moveSec(HOUR_SEC)
      const meanwhile = said(did, key)
      hers.world.clock.moveSec(HOUR_SEC)
      await object(did)
      const before = await holdings(did)
      for (const body of [first, meanwhile, said(did, key, [dave.did], nowMs() - HOUR_SEC * 1000)])
        expect(await carol.call(CLAIM, body)).toMatchObject(refused(409, 'CoolingDown'))
      expect(await holdings(did)).toEqual(before)
      hers.world.clock.moveSec(HOUR_SEC)
      expect(await claim(did, key)).toMatchObject({ status: 200, body: { state: 'waiting', dueAt } })
      expect(await alarmOf(did)).toContain('nobody can object any more')
      const confirmed = await holdings(did)
      expect(await object(did)).toMatchObject(refused(403, 'Forbidden'))
      expect(await holdings(did)).toEqual(confirmed)
      hers.world.clock.moveSec(2 * DAY_SEC)
      await apply()
      expect(await ownersOf(did)).toEqual([hers.alice.did])
      hers.world.clock.moveSec(DAY_SEC)
      await apply()
      expect(await ownersOf(did)).toEqual([carol.did])
    })

    it('and are so at once when their day is past; of what was done, a copy does nothing again', async () => {
      const { did, key } = await hers.community()
      await claim(did, key)
      await object(did)
      hers.world.clock.moveSec(4 * DAY_SEC)
      const second = said(did, key)
      expect(await carol.call(CLAIM, second)).toMatchObject({ status: 200, body: { state: 'done' } })
      expect(await ownersOf(did)).toEqual([carol.did])
      await put(did, dave.did, 'owner', carol)
      const before = await holdings(did)
      hers.world.clock.moveSec(HOUR_SEC)
      for (const body of [second, said(did, key, [hers.alice.did], nowMs() - 2 * HOUR_SEC * 1000)])
        expect(await hers.alice.call(CLAIM, body)).toMatchObject(refused(400, 'BadRecoveryProof'))
      expect(await holdings(did)).toEqual(before)
      expect(await claim(did, key, [hers.alice.did])).toMatchObject({ status: 200, body: { state: 'waiting' } })
    })

    it('and give way to others that are named then, who wait for three days of their own', async () => {
      const { did, key } = await hers.community()
      await claim(did, key)
      await object(did)
      hers.world.clock.moveSec(2 * DAY_SEC)
      expect(await claim(did, key, [dave.did])).toMatchObject({ status: 200, body: { state: 'waiting' } })
      expect(await claimsOf(did)).toEqual([
        { state: 'refused', fault: 'Replaced' },
        { state: 'waiting', fault: null },
      ])
      hers.world.clock.moveSec(2 * DAY_SEC)
      await apply()
      expect(await ownersOf(did)).toEqual([hers.alice.did])
      expect(await object(did)).toMatchObject({ status: 200 })
    })
  })
})
