/**
 * Another key in the place of the community's own: announced, approved, stoppable, and then one operation of a key that stands below, which
 * whoever has the old one can undo for as long as the directory lets them.
 */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { carryOutDue } from '../../src/community/acts.ts'
import { lookAtLog, type WatchCtx } from '../../src/community/plc-watcher.ts'
import type { Did } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { honestLog } from '../kit/fake-plc.ts'
import { changeBehindOurBack, inForce } from '../kit/handles.ts'
import { enrol, stepUpOf } from '../kit/keepers.ts'
import { type Community, type KeyWorld, keysInForce, LIST, openKeyWorld } from '../kit/keys-at-work.ts'
import { signed, submitOperation } from '../kit/people.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'
import { type Person, recoveryProven } from '../kit/world.ts'

const REPLACE = 'community.reeve.key.replaceRecovery'
const DAY_SEC = 86_400

describeOnEachEngine('the community’s own key', (open) => {
  let hers: KeyWorld
  let db: Db
  beforeAll(async () => {
    const database = await open()
    db = database.db
    hers = await openKeyWorld(database)
  })
  afterAll(() => hers.close())

  const replace = (community: Did, key: TestKey, by: Person = hers.alice, more: object = {}) =>
    by.call(REPLACE, { community, ...recoveryProven(hers.world, by, key), ...more })
  const due = (ctx = { ...hers.world.reeve.house, db }) => carryOutDue(ctx)
  const rosterOf = (community: Did) => `at://${community}/space/community.reeve.roster/self`
  const owner = (community: Did, did: Did) =>
    hers.alice.call('community.reeve.member.put', { space: rosterOf(community), did, role: 'owner' })
  const tasks = async (community: Did, by: Person = hers.alice) =>
    (await by.ask(LIST, { community })).body.tasks.map(({ name }: { name: string }) => name)

  it('is replaced three days after an owner asked, with the new one proven, and its holder named', async () => {
    const { did, key } = await hers.community()
    const next = makeKey('p256')
    const asked = await replace(did, next)
    expect(asked).toMatchObject({ status: 200, body: { proposal: { act: 'key.replaceRecovery', state: 'approved' } } })
    hers.world.clock.moveSec(3 * DAY_SEC - 1)
    await due()
    expect(await honestLog(hers.plc, did)).toHaveLength(1)
    hers.world.clock.moveSec(2)
    await due()
    expect((await hers.walk(did)).step).toBe('done')
    const { rotationKeys } = await keysInForce(hers, did)
    expect(rotationKeys).toEqual([next.didKey, expect.any(String)])
    expect((await hers.alice.ask(LIST, { community: did })).body).toMatchObject({
      ...{ recoveryKey: next.didKey, recoveryHolder: hers.alice.did, custody: 'memberHeld' },
      document: { differs: [] },
    })
    // Whoever has the old one can undo it: our key stands below. The directory says for how long.
    const [first] = (await honestLog(hers.plc, did)) ?? []
    const { sig: _, ...again } = first?.operation ?? { sig: '' }
    await submitOperation(hers.plc.honestUrl, did, signed(key, { ...again, prev: first?.cid }))
    expect((await inForce(hers.plc, did)).rotationKeys[0]).toBe(key.didKey)
    const listed = await hers.alice.ask(LIST, { community: did })
    expect(listed.body.document.differs).toContain("the community's own key does not stand first")
  })

  it('comes to a community that had none, for good: nobody below it can take it away', async () => {
    const did = await hers.world.found(hers.alice)
    expect(await tasks(did)).toEqual(['noRecoveryKey'])
    const own = makeKey('k256')
    await replace(did, own)
    expect(await tasks(did)).toEqual(['recoveryChange', 'noRecoveryKey'])
    hers.world.clock.moveSec(3 * DAY_SEC + 1)
    await due()
    await hers.walk(did)
    expect((await keysInForce(hers, did)).rotationKeys[0]).toBe(own.didKey)
    expect((await hers.alice.ask('community.reeve.community.get', { community: did })).body).toMatchObject({
      custody: 'memberHeld',
      recoveryKey: own.didKey,
    })
    expect(await tasks(did)).toEqual([])
  })

  it('waits for a second owner where there is one, and any of them stops it', async () => {
    const { did, key } = await hers.community()
    await owner(did, hers.bob.did)
    hers.world.clock.moveSec(3 * DAY_SEC + 1)
    const asked = await replace(did, makeKey('k256'))
    const { id } = asked.body.proposal
    expect(asked.body.proposal).toMatchObject({ state: 'open' })
    expect(await hers.alice.call('community.reeve.proposal.approve', { proposal: id })).toMatchObject({ status: 403 })
    expect(await hers.bob.call('community.reeve.proposal.approve', { proposal: id })).toMatchObject({ status: 200 })
    hers.world.clock.moveSec(3 * DAY_SEC - 10)
    expect(await hers.bob.call('community.reeve.proposal.cancel', { proposal: id })).toMatchObject({ status: 200 })
    hers.world.clock.moveSec(20)
    await due()
    expect((await keysInForce(hers, did)).rotationKeys[0]).toBe(key.didKey)
    expect(await hers.rotation(did)).toBeUndefined()
  })

  it('whose holder left is an open, red task, for whoever lists the keys and whoever looks at the community', async () => {
    const key = makeKey('k256')
    const did = await hers.world.found(hers.alice, {
      custody: { $type: 'community.reeve.community.mint#memberHeld', ...recoveryProven(hers.world, hers.alice, key) },
    })
    await owner(did, hers.bob.did)
    expect(await tasks(did, hers.bob)).toEqual([])
    await hers.alice.call('community.reeve.member.leave', { space: rosterOf(did) })
    expect(await tasks(did, hers.bob)).toEqual(['recoveryHolderGone'])
    const shown = await hers.bob.ask('community.reeve.community.get', { community: did })
    expect(shown.body.alarms).toMatchObject([{ name: 'recoveryHolderGone' }])
    // Handed over: the one who has it now says so, and nothing waits.
    expect(await replace(did, key, hers.bob)).toMatchObject({ status: 200, body: { revision: expect.any(Number) } })
    expect(await tasks(did, hers.bob)).toEqual([])
    expect((await hers.bob.ask(LIST, { community: did })).body.recoveryHolder).toBe(hers.bob.did)
    expect(await honestLog(hers.plc, did)).toHaveLength(1)
  })

  describe('asked for is an alarm to every owner', () => {
    const alarmed = async (community: Did) =>
      (await hers.alice.ask('community.reeve.community.get', { community })).body.alarms ?? []

    it('that says who asked, for which key, when it is done and how it is stopped, and ends with that', async () => {
      const { did } = await hers.community()
      await owner(did, hers.bob.did)
      hers.world.clock.moveSec(3 * DAY_SEC + 1)
      const next = makeKey('k256')
      const { id } = (await replace(did, next)).body.proposal
      const [open] = await alarmed(did)
      expect(open.name).toBe('recoveryChange')
      for (const part of [hers.alice.did, next.didKey, 'waits for another owner', 'proposal.cancel', id])
        expect(open.says).toContain(part)
      const { dueAt } = (await hers.bob.call('community.reeve.proposal.approve', { proposal: id })).body
      expect((await alarmed(did))[0].says).toContain(`It is done at ${dueAt}`)
      await hers.bob.call('community.reeve.proposal.cancel', { proposal: id })
      expect(await alarmed(did)).toEqual([])
    })

    it('until its day has come', async () => {
      const { did } = await hers.community()
      await replace(did, makeKey('k256'))
      expect(await alarmed(did)).toHaveLength(1)
      hers.world.clock.moveSec(3 * DAY_SEC + 1)
      await due()
      expect(await alarmed(did)).toEqual([])
    })
  })

  describe('is not for a stolen session, where its owner has enrolled keys:', () => {
    const REQUIRED = { status: 403, body: { error: 'KeeperSignatureRequired' } }
    const inputOf = (community: Did, key: TestKey) => ({ community, ...recoveryProven(hers.world, hers.alice, key) })
    const proposals = async (community: Did) =>
      (await sql`select id from proposal where community = ${community}`.execute(db)).rows

    it('it takes their signature over this call, and a dry run takes none', async () => {
      const did = await hers.world.found(hers.alice)
      const { signKey: key } = await enrol(hers.world, hers.alice, did)
      hers.world.clock.moveSec(DAY_SEC)
      const input = inputOf(did, makeKey('k256'))
      const sign = (over: object) =>
        stepUpOf(hers.world, { person: hers.alice, key, act: REPLACE, input: over as { community: string } })
      expect(await hers.alice.call(REPLACE, input)).toMatchObject(REQUIRED)
      const other = sign(inputOf(did, makeKey('k256')))
      expect(await hers.alice.call(REPLACE, { ...input, stepUp: other })).toMatchObject(REQUIRED)
      expect(await hers.alice.call(REPLACE, { ...input, dryRun: true })).toMatchObject({ status: 200 })
      expect(await proposals(did)).toEqual([])
      expect(await hers.alice.call(REPLACE, { ...input, stepUp: sign(input) })).toMatchObject({ status: 200 })
      expect(await proposals(did)).toHaveLength(1)
    })

    it('nor for one that ends those keys first, or puts others in their place', async () => {
      const did = await hers.world.found(hers.alice)
      const keys = await enrol(hers.world, hers.alice, did)
      hers.world.clock.moveSec(DAY_SEC)
      const input = inputOf(did, makeKey('k256'))
      const thief = await enrol(hers.world, hers.alice, did)
      const by = (key: TestKey) => ({
        ...input,
        stepUp: stepUpOf(hers.world, { person: hers.alice, key, act: REPLACE, input }),
      })
      expect(await hers.alice.call(REPLACE, by(thief.signKey))).toMatchObject({ body: { error: 'InvalidRequest' } })
      await hers.alice.call('community.reeve.key.endKeeper', { community: did, did: hers.alice.did })
      for (const body of [input, by(thief.signKey), by(keys.signKey)])
        expect(await hers.alice.call(REPLACE, body)).toMatchObject(REQUIRED)
      expect(await proposals(did)).toEqual([])
      // Three days later nobody has objected that the keys are gone: they may just as well be lost.
      hers.world.clock.moveSec(3 * DAY_SEC)
      expect(await hers.alice.call(REPLACE, input)).toMatchObject({ status: 200 })
    })
  })

  describe('is asked for', () => {
    let stage: Community
    beforeAll(async () => {
      stage = await hers.community()
      await hers.alice.call('community.reeve.member.put', {
        ...{ space: rosterOf(stage.did), did: hers.bob.did, role: 'admin' },
      })
    })

    it('by those only who may, with a proof for this person and this service, and never a key of ours', async () => {
      const { did } = stage
      const next = makeKey('k256')
      const eve = await hers.world.person()
      const { proof } = recoveryProven(hers.world, eve, next)
      const elsewhere = recoveryProven({ config: { serviceDid: 'did:web:other.example' as Did } }, hers.alice, next)
      const ours = (await keysInForce(hers, did)).rotationKeys[1] ?? ''
      const ask = (input: object) => hers.alice.call(REPLACE, { community: did, recoveryKey: next.didKey, ...input })
      for (const [answer, code] of [
        [await replace(did, next, eve), 'NotFound'],
        [await replace(did, next, hers.bob), 'Forbidden'],
        [await ask({ proof }), 'BadRecoveryProof'],
        [await ask(elsewhere), 'BadRecoveryProof'],
        [await ask({ proof: 'x'.repeat(86) }), 'BadRecoveryProof'],
        [await ask({ recoveryKey: ours, proof }), 'BadRecoveryProof'],
        [await ask({ recoveryKey: 'did:key:zNothing', proof }), 'InvalidRequest'],
      ] as const) {
        expect(answer.body.error, code).toBe(code)
      }
      expect(await replace(did, next, hers.alice, { dryRun: true })).toMatchObject({ body: { needsApproval: false } })
      const { rows } = await sql`select id from proposal where community = ${did}`.execute(db)
      expect(rows).toEqual([])
    })

    it('while other keys are being replaced: it is refused, or, when its day has come, waits for them', async () => {
      const { did } = await hers.community()
      const next = makeKey('k256')
      await replace(did, next)
      hers.world.clock.moveSec(3 * DAY_SEC + 1)
      await hers.rotate(did, ['space'])
      expect(await replace(did, makeKey('k256'))).toMatchObject({ status: 409, body: { error: 'RotationUnderWay' } })
      await due()
      const { rows } = await sql`select state from proposal where community = ${did}`.execute(db)
      expect(rows).toEqual([{ state: 'approved' }])
      for (const _ of ['aside', 'after', 'settle']) {
        hers.world.clock.moveSec(1_000)
        await hers.walk(did)
      }
      await due()
      expect((await hers.walk(did)).step).toBe('done')
      expect((await keysInForce(hers, did)).rotationKeys[0]).toBe(next.didKey)
    })
  })
})

// In a world whose clock is the directory's: what a log tells is told for three days.
describeOnEachEngine('the community’s own key, and what it does by itself,', (open) => {
  let hers: KeyWorld
  let db: Db
  beforeAll(async () => {
    const database = await open()
    db = database.db
    hers = await openKeyWorld(database)
  })
  afterAll(() => hers.close())

  /** What is seen by whoever reads the log next. */
  const look = (community: Did) => lookAtLog({ ...hers.world.reeve.house, db } satisfies WatchCtx, community, 'nothing')

  it('is followed when it hands its place over, and somebody is asked to say who holds the new one', async () => {
    const { did, key } = await hers.community()
    const next = makeKey('k256')
    const [first] = (await honestLog(hers.plc, did)) ?? []
    const { sig: _, ...before } = first?.operation ?? { sig: '', rotationKeys: [] as string[] }
    const rotationKeys = [next.didKey, before.rotationKeys[1]]
    await submitOperation(hers.plc.honestUrl, did, signed(key, { ...before, rotationKeys, prev: first?.cid }))
    await look(did)
    const listed = await hers.alice.ask(LIST, { community: did })
    expect(listed.body).toMatchObject({ recoveryKey: next.didKey, document: { differs: [] } })
    expect(listed.body.recoveryHolder).toBeUndefined()
    const names = listed.body.tasks.map(({ name }: { name: string }) => name)
    expect(names).toEqual(['foreignOperation', 'recoveryHolderUnknown'])
    expect(await hers.audited(did, 'key.follow')).toMatchObject([{ recoveryKey: next.didKey }])
    // It was the community's own key that did it: nobody is told of an enemy, and for three days we sign nothing.
    const { rows } = await sql<{ about: { isHostile: number } }>`select about from identity_alarm
      where community = ${did} and name = 'foreignOperation'`.execute(db)
    expect(rows).toMatchObject([{ about: { isHostile: 0 } }])
    expect(await hers.set(did, { handle: hers.served() })).toMatchObject({ status: 409, body: { error: 'PlcQuiet' } })
  })

  it('is none when it leaves ours alone: that is written once, and the next reading writes nothing (21)', async () => {
    const { did, key } = await hers.community()
    const { rotationKeys } = await keysInForce(hers, did)
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: rotationKeys.slice(-1) })
    for (let at = 0; at < 3; at++) await look(did)
    expect(await hers.audited(did, 'key.follow')).toMatchObject([{ recoveryKey: null, purposes: '' }])
    const listed = await hers.alice.ask(LIST, { community: did })
    expect(listed.body).toMatchObject({ custody: 'custodial' })
    expect(listed.body.recoveryKey).toBeUndefined()
  })

  it('is not followed by a log that is older than what was seen meanwhile, nor while a change of ours is on its way (6)', async () => {
    const { did, key } = await hers.community()
    await look(did)
    const next = makeKey('k256')
    const ours = (await keysInForce(hers, did)).rotationKeys.at(-1)
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [next.didKey, ours] })
    const stale = await hers.world.reeve.house.directory.readLog(did)
    await changeBehindOurBack(hers.plc, did, next, { rotationKeys: [key.didKey, ours] })
    const follows = async () => (await hers.audited(did, 'key.follow')).length
    // What was asked for before is answered after somebody else has seen more.
    const readLog = async () => {
      await hers.alice.ask(LIST, { community: did })
      return stale
    }
    const { house } = hers.world.reeve
    await lookAtLog({ ...house, db, directory: { readLog } } satisfies WatchCtx, did, 'nothing')
    expect(await follows()).toBe(0)
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [next.didKey, ours] })
    await sql`insert into key_rotation (community, purposes, reason, is_urgent, step, step_due_at_ms, asked_by, began_at_ms)
      values (${did}, '{space}', 'scheduled', false, 'after', 9e15, ${hers.alice.did}, 0)`.execute(db)
    await look(did)
    expect(await follows()).toBe(0)
    await sql`update key_rotation set step = 'done' where community = ${did}`.execute(db)
    await look(did)
    expect(await hers.audited(did, 'key.follow')).toMatchObject([{ recoveryKey: next.didKey }])
  })

  it('a key of ours that was replaced and is in force again signs again, since somebody undid the replacement', async () => {
    const { did, key, forum } = await hers.community()
    const before = await keysInForce(hers, did)
    await hers.rotate(did, ['space', 'atproto', 'rotation'], { reason: 'leak' })
    expect((await hers.walk(did)).step).toBe('done')
    const [first] = (await honestLog(hers.plc, did)) ?? []
    const { sig: _, ...again } = first?.operation ?? { sig: '' }
    await submitOperation(hers.plc.honestUrl, did, signed(key, { ...again, alsoKnownAs: [], prev: first?.cid }))
    await look(did)
    expect(await hers.keys(did)).toMatchObject({
      'space active': before.space,
      'atproto active': before.atproto,
      'rotation active': before.rotationKeys[1],
    })
    expect(await hers.kid(forum)).toBe('#atproto_space')
    expect(await hers.audited(did, 'key.follow')).toHaveLength(1)
  })
})
