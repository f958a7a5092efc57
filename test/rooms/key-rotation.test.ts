/**
 * Keys of a community are replaced while it lives: at every moment what signs is what everybody can verify, a crash at any step is gone on
 * from, and whatever can't be leaves the keys as they were.
 */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { letGoOfKeys, resumeRotations } from '../../src/community/resume-rotations.ts'
import type { RotationCtx } from '../../src/community/rotation-walk.ts'
import { walkRotation } from '../../src/community/rotation-walk.ts'
import type { Db } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Crash, crashAt } from '../kit/crashing.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { honestLog, json } from '../kit/fake-plc.ts'
import { changeBehindOurBack, inForce } from '../kit/handles.ts'
import { type KeyWorld, keysInForce, LIST, openKeyWorld, TURN_SEC } from '../kit/keys-at-work.ts'
import { signed } from '../kit/people.ts'
import { makeKey } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { openWorld } from '../kit/world.ts'

describeOnEachEngine('the keys of a community', (open) => {
  let hers: KeyWorld
  let ctx: RotationCtx
  let db: Db
  beforeAll(async () => {
    const database = await open()
    db = database.db
    hers = await openKeyWorld(database)
    ctx = { ...hers.world.reeve.house, db }
  })
  afterEach(async () => {
    hers.plc.misbehave(null)
    await sql`delete from key_rotation`.execute(db)
    await sql`delete from plc_work where step in ('prepared', 'submitted')`.execute(db)
  })
  afterAll(() => hers.close())

  const pass = (seconds: number) => hers.world.clock.moveSec(seconds)

  describe('a space key', () => {
    it('is replaced in four steps, and the other key signs for it in between', async () => {
      const { did, forum } = await hers.community()
      const before = await keysInForce(hers, did)
      expect(await hers.kid(forum)).toBe('#atproto_space')

      const begun = await hers.rotate(did, ['space'])
      expect(begun).toMatchObject({ status: 200, body: { rotation: { step: 'aside', purposes: ['space'] } } })
      // Whoever has the key alive signs with it for as long as it lives there, and no longer.
      expect(await keysInForce(hers, did)).toEqual(before)
      pass(301)
      expect(await hers.kid(forum)).toBe('#atproto')
      expect((await hers.walk(did)).step).toBe('aside')

      pass(TURN_SEC - 301)
      expect((await hers.walk(did)).step).toBe('after')
      const now = await keysInForce(hers, did)
      expect(now.space).not.toBe(before.space)
      expect({ ...now, space: '' }).toEqual({ ...before, space: '' })
      expect(await hers.keys(did)).toMatchObject({ 'space active': now.space, 'space retiring': before.space })
      expect(await hers.kid(forum)).toBe('#atproto')

      pass(TURN_SEC)
      expect((await hers.walk(did)).step).toBe('settle')
      expect(await hers.kid(forum)).toBe('#atproto_space')
      expect((await hers.walk(did)).step).toBe('settle')
      pass(TURN_SEC)
      expect((await hers.walk(did)).step).toBe('done')
      expect(await honestLog(hers.plc, did)).toHaveLength(2)
      expect(await hers.audited(did, 'key.rotate')).toMatchObject([
        { status: 'begun', purposes: 'space', reason: 'scheduled' },
        { status: 'confirmed', purposes: 'space' },
      ])
    })

    it('is retired when nothing that it signed lives, and its secret half is gone when nobody can bring it back', async () => {
      const { did } = await hers.community()
      const before = await keysInForce(hers, did)
      await hers.rotate(did, ['space'], { reason: 'leak' })
      await letGoOfKeys(ctx)
      expect(await hers.keys(did)).toMatchObject({ 'space retiring': before.space })
      pass(TURN_SEC)
      await letGoOfKeys(ctx)
      expect(await hers.keys(did)).toMatchObject({ 'space retired': before.space })
      pass(72 * 3600)
      await letGoOfKeys(ctx)
      expect(await hers.keys(did)).toMatchObject({ 'space retired': before.space })
      pass(3601)
      await letGoOfKeys(ctx)
      expect(await hers.keys(did)).toMatchObject({ 'space destroyed': before.space })
      const { rows } = await sql`select sealed from key where did_key = ${before.space}`.execute(db)
      expect(rows).toEqual([{ sealed: null }])
      expect(await hers.audited(did, 'key.retire')).toHaveLength(1)
      expect(await hers.audited(did, 'key.destroy')).toHaveLength(1)
    })
  })

  it('the service key is replaced at once, and signs from then on', async () => {
    const { did, forum } = await hers.community()
    const before = await keysInForce(hers, did)
    expect(await hers.rotate(did, ['atproto'])).toMatchObject({ body: { rotation: { step: 'done' } } })
    const now = await keysInForce(hers, did)
    expect({ ...now, atproto: '' }).toEqual({ ...before, atproto: '' })
    expect(await hers.keys(did)).toMatchObject({ 'atproto active': now.atproto, 'atproto retiring': before.atproto })
    expect(await hers.kid(forum)).toBe('#atproto_space')
  })

  it('the rotation key is replaced by one in its place, which can change the identity, as the old one can’t any more', async () => {
    const { did, key } = await hers.community()
    const before = await keysInForce(hers, did)
    expect(await hers.rotate(did, ['rotation'])).toMatchObject({ body: { rotation: { step: 'done' } } })
    const now = await keysInForce(hers, did)
    expect(now.rotationKeys).toEqual([key.didKey, expect.not.stringMatching(before.rotationKeys[1] ?? '')])
    expect(await hers.set(did, { handle: hers.served() })).toMatchObject({ body: { status: 'confirmed' } })
  })

  it('after a leak all are replaced by one operation, and nobody waits; the old ones stay marked', async () => {
    const { did, forum } = await hers.community()
    const before = await keysInForce(hers, did)
    hers.plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
    const begun = await hers.rotate(did, ['space', 'atproto', 'rotation'], { reason: 'leak' })
    expect(begun).toMatchObject({ body: { rotation: { step: 'swap', reason: 'leak' } } })
    const { rows: sealedUnder } = await sql`select distinct state, dek_version from key where community = ${did}
      order by dek_version`.execute(db)
    expect(sealedUnder).toEqual([
      { state: 'active', dek_version: 1 },
      { state: 'pending', dek_version: 2 },
    ])
    const told = await hers.alice.ask(LIST, { community: did })
    expect(told.body.keys).toHaveLength(6)
    for (const { state, flags } of told.body.keys) expect(flags).toEqual(state === 'active' ? ['suspect'] : [])
    hers.plc.misbehave(null)
    expect((await hers.walk(did)).step).toBe('done')
    const now = await keysInForce(hers, did)
    expect(now.rotationKeys[0]).toBe(before.rotationKeys[0])
    for (const [one, other] of [
      [now.space, before.space],
      [now.atproto, before.atproto],
      [now.rotationKeys[1], before.rotationKeys[1]],
    ]) {
      expect(one).not.toBe(other)
    }
    expect(await honestLog(hers.plc, did)).toHaveLength(2)
    expect(await hers.kid(forum)).toBe('#atproto_space')
    const { rows } = await sql`select name from identity_alarm where community = ${did}`.execute(db)
    expect(rows).toEqual([])
  })

  describe.each(['before', 'after'] as const)('in a process that breaks %s a touch', (when) => {
    it('of the database, the directory, the documents or the vault, at every one of them, go on from there', async () => {
      let at = 1
      for (; ; at++) {
        const { did } = await hers.community()
        const before = await keysInForce(hers, did)
        hers.plc.misbehave(({ kind }) => (kind === 'post' || kind === 'log' ? 'cut' : undefined))
        await hers.rotate(did, ['space', 'atproto', 'rotation'], { reason: 'leak' })
        hers.plc.misbehave(null)
        const { wrap, isBroken } = crashAt(at, when)
        const broken: RotationCtx = {
          ...ctx,
          log: silentLog,
          db: wrap<Db>(ctx.db, ['selectFrom', 'updateTable', 'transaction']),
          directory: wrap(ctx.directory, ['submit', 'readLog']),
          documents: wrap(ctx.documents, ['resolve']),
          vault: wrap(ctx.vault, ['signRekeying', 'letGo']),
        }
        await walkRotation(broken, did).catch((error: unknown) => expect(error).toBeInstanceOf(Crash))
        expect((await walkRotation(ctx, did)).step).toBe('done')
        const now = await keysInForce(hers, did)
        expect(now.rotationKeys[1]).not.toBe(before.rotationKeys[1])
        expect(await honestLog(hers.plc, did)).toHaveLength(2)
        expect(await hers.keys(did)).toEqual({
          ...{ 'space active': now.space, 'atproto active': now.atproto, 'rotation active': now.rotationKeys[1] },
          ...{ 'space retiring': before.space, 'atproto retiring': before.atproto },
          'rotation retiring': before.rotationKeys[1],
        })
        if (!isBroken()) break
      }
      expect(at).toBeGreaterThan(12)
    })
  })

  it('are replaced once by any number of workers at once', async () => {
    const { did } = await hers.community()
    hers.plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
    await hers.rotate(did, ['atproto', 'rotation'])
    hers.plc.misbehave(null)
    // As processes: each with a directory of its own, so that they don't share a walk.
    const walks = Array.from({ length: 4 }, () => walkRotation({ ...ctx, directory: { ...ctx.directory } }, did))
    await Promise.allSettled(walks)
    expect((await walkRotation(ctx, did)).step).toBe('done')
    expect(await honestLog(hers.plc, did)).toHaveLength(2)
    expect(await hers.audited(did, 'key.rotate')).toHaveLength(2)
  })

  it('are replaced on top of what the community’s own key did meanwhile', async () => {
    const { did, key } = await hers.community()
    await hers.rotate(did, ['space'])
    pass(TURN_SEC)
    hers.plc.misbehave(async ({ kind }) => {
      if (kind !== 'post') return undefined
      hers.plc.misbehave(null)
      await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs: ['at://elsewhere.example'] })
      return undefined
    })
    expect((await hers.walk(did)).step).toBe('swap')
    expect(await hers.rotation(did)).toMatchObject({ fault: null })
    pass(61)
    expect((await hers.walk(did)).step).toBe('after')
    expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual(['at://elsewhere.example'])
    expect(await honestLog(hers.plc, did)).toHaveLength(3)
  })

  it('stay what they are when our key isn’t the last any more (rows 274, 275): nothing is sent, and nobody signs beside', async () => {
    const { did, key, forum } = await hers.community()
    const { rotationKeys } = await keysInForce(hers, did)
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [...rotationKeys, makeKey('k256').didKey] })
    expect(await hers.rotate(did, ['rotation'])).toMatchObject({ status: 400, body: { error: 'PlcRank' } })
    expect(await honestLog(hers.plc, did)).toHaveLength(2)
    const keys = await hers.keys(did)
    expect(Object.keys(keys).sort()).toEqual([
      'atproto active',
      'rotation active',
      'rotation destroyed',
      'space active',
    ])
    expect(await hers.kid(forum)).toBe('#atproto_space')
    const listed = await hers.alice.ask(LIST, { community: did })
    expect(listed.body.document.differs).toEqual([
      'the rotation key of this service is not the last: a key stands below it',
      'a key that this service does not know may change the identity',
    ])
  })

  it('stay what they are when the directory won’t take the operation at all', async () => {
    const { did } = await hers.community()
    const before = await hers.keys(did)
    hers.plc.misbehave(({ kind }) => (kind === 'post' ? json(400) : undefined))
    expect(await hers.rotate(did, ['atproto'])).toMatchObject({ body: { rotation: { step: 'swap' } } })
    pass(601)
    await expect(hers.walk(did)).resolves.toMatchObject({ step: 'refused', fault: 'PlcRejected' })
    // Not thrown away: the directory may still take what it was sent.
    const { 'atproto retired': _, ...left } = await hers.keys(did)
    expect(left).toEqual(before)
    expect(await hers.rotate(did, ['atproto'])).toMatchObject({ body: { rotation: { step: 'swap' } } })
  })

  it('are left alone while it is quiet after a change of keys by somebody above, but for a leak', async () => {
    const { did } = await hers.community()
    await hers.alice.ask(LIST, { community: did })
    const until = hers.world.clock.nowMs() + 72 * 3600 * 1000
    await sql`update plc_watch set quiet_until_ms = ${until} where community = ${did}`.execute(db)
    expect(await hers.set(did, { handle: hers.served() })).toMatchObject({ status: 409, body: { error: 'PlcQuiet' } })
    expect(await hers.rotate(did, ['rotation'])).toMatchObject({ body: { rotation: { step: 'swap' } } })
    expect(await honestLog(hers.plc, did)).toHaveLength(1)
    pass(72 * 3600 + 1)
    expect((await hers.walk(did)).step).toBe('done')
    const urgent = hers.world.clock.nowMs() + 72 * 3600 * 1000
    await sql`update plc_watch set quiet_until_ms = ${urgent} where community = ${did}`.execute(db)
    expect(await hers.rotate(did, ['rotation'], { reason: 'leak' })).toMatchObject({
      body: { rotation: { step: 'done' } },
    })
  })

  it('are not replaced on a log that has become shorter (row 279)', async () => {
    const { did } = await hers.community()
    const old = await honestLog(hers.plc, did)
    await hers.set(did, { handle: hers.served() })
    hers.plc.misbehave(({ kind }) => (kind === 'log' ? json(200, old) : undefined))
    hers.plc.forget()
    expect(await hers.rotate(did, ['rotation'])).toMatchObject({ status: 502, body: { error: 'UpstreamFailure' } })
    expect(await hers.rotate(did, ['rotation'], { reason: 'leak' })).toMatchObject({
      body: { rotation: { step: 'swap' } },
    })
    expect(hers.plc.count('post')).toBe(0)
    hers.plc.misbehave(null)
    expect((await hers.walk(did)).step).toBe('done')
  })

  describe('are replaced for those only who may, one replacement at a time', () => {
    it('strangers hear of nothing, admins and those who ask for too much are refused, and nothing changes', async () => {
      const { did } = await hers.community()
      const roster = `at://${did}/space/community.reeve.roster/self`
      const eve = await hers.world.person()
      await hers.alice.call('community.reeve.member.put', { space: roster, did: hers.bob.did, role: 'admin' })
      const before = await hers.keys(did)
      const rotate = (by: typeof eve, more: object) =>
        by.call('community.reeve.key.rotate', { community: did, purposes: ['space'], ...more })
      expect(await rotate(eve, {})).toMatchObject({ status: 404, body: { error: 'NotFound' } })
      expect(await rotate(hers.bob, {})).toMatchObject({ status: 403, body: { error: 'Forbidden' } })
      for (const purposes of [[], ['space', 'space'], ['client'], ['space', 'atproto'], 'space']) {
        expect(await rotate(hers.alice, { purposes }), String(purposes)).toMatchObject({
          status: 400,
          body: { error: 'InvalidRequest' },
        })
      }
      expect(await rotate(hers.alice, { dryRun: true })).toMatchObject({ status: 200 })
      expect(await hers.keys(did)).toEqual(before)
      expect(await honestLog(hers.plc, did)).toHaveLength(1)
    })

    it('another one waits, the same is gone on with, and a key of a call is carried out once', async () => {
      const { did } = await hers.community()
      const first = await hers.rotate(did, ['space'], { idempotencyKey: 'one' })
      expect(await hers.rotate(did, ['space'], { idempotencyKey: 'one' })).toMatchObject({ body: first.body })
      expect(await hers.rotate(did, ['space'])).toMatchObject({ body: { rotation: first.body.rotation } })
      expect(await hers.rotate(did, ['rotation'])).toMatchObject({ status: 409, body: { error: 'RotationUnderWay' } })
      expect(await hers.keys(did)).toMatchObject({ 'space pending': expect.any(String) })
    })

    it('a change of handle and a replacement wait for each other, and both are done', async () => {
      const { did } = await hers.community()
      const handle = hers.served()
      hers.plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
      await hers.set(did, { handle })
      await hers.rotate(did, ['rotation'])
      hers.plc.misbehave(null)
      await resumeRotations(ctx)
      await hers.walk(did)
      expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual([`at://${handle}`])
      expect(await honestLog(hers.plc, did)).toHaveLength(3)
    })
  })

  it('are listed with their state, whoever holds the community’s own, and as the document has them', async () => {
    const { did, key } = await hers.community()
    const listed = await hers.alice.ask(LIST, { community: did })
    const { rotationKeys, atproto, space } = await keysInForce(hers, did)
    expect(listed.body).toMatchObject({
      ...{ custody: 'memberHeld', recoveryKey: key.didKey, recoveryHolder: hers.alice.did, recoveryHolderStands: true },
      document: {
        rotationKeys: [
          { didKey: key.didKey, whose: 'community' },
          { didKey: rotationKeys[1], whose: 'service' },
        ],
        operations: 1,
        differs: [],
      },
      tasks: [],
    })
    expect(
      listed.body.keys.map(({ purpose, didKey, inDocument }: never) => [purpose, didKey, inDocument]).sort(),
    ).toEqual([
      ['atproto', atproto, true],
      ['rotation', rotationKeys[1], true],
      ['space', space, true],
    ])
    hers.plc.misbehave(({ kind }) => (kind === 'log' ? 'cut' : undefined))
    const alone = await hers.alice.ask(LIST, { community: did })
    expect(alone.body).toMatchObject({ documentUnavailable: 'UpstreamFailure', custody: 'memberHeld' })
    expect(await hers.bob.ask(LIST, { community: did })).toMatchObject({ status: 404 })
  })

  it('an operation of ours that another key signed is none: what the vault signs is exactly the replacement', async () => {
    const { did, key } = await hers.community()
    const { sig: _, ...first } = await inForce(hers.plc, did)
    const { keys, rows } = await hers.world.reeve.house.vault.prepareSuccessors(did, ['space'], 0, { freshDek: false })
    expect(rows.reveal().keys).toHaveLength(1)
    const operation = {
      ...first,
      prev: 'bafyreib',
      verificationMethods: { ...first.verificationMethods, atproto_space: keys.space ?? '' },
    }
    const use = {
      kind: 'rekeying',
      community: did,
      inForce: first,
      operation,
      successors: keys,
      recovery: null,
      quorum: null,
    } as const
    const sign = (change: object) => hers.world.reeve.house.vault.signRekeying({ ...use, ...change } as never)
    // It isn't kept here yet: a key that nobody has must never get into a document.
    await expect(sign({})).rejects.toThrow('KeyUnavailable')
    await expect(sign({ successors: {} })).rejects.toThrow('PlcRank')
    await expect(sign({ successors: {}, operation: { ...first, prev: null } })).rejects.toThrow('PlcRank')
    await expect(sign({ successors: {}, operation: { ...first, prev: 'a', services: {} } })).rejects.toThrow('PlcRank')
    await expect(
      sign({ successors: {}, operation: { ...first, prev: 'a', rotationKeys: [...first.rotationKeys].reverse() } }),
    ).rejects.toThrow('PlcRank')
    const mine = signed(key, { ...first, prev: 'a' })
    expect(mine.sig).toHaveLength(86)
  })
})

describeOnEachEngine('the keys of a community that has changed its identity often', (open) => {
  let hers: KeyWorld
  beforeAll(async () => {
    hers = await openKeyWorld(await open())
  })
  afterAll(() => hers.close())

  it('are not replaced by an eleventh operation in an hour (row 283), but when the hour is over', async () => {
    const { did, key } = await hers.community()
    for (let nth = 1; nth < 10; nth++) {
      await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs: [`at://garden-${nth}.org`] })
    }
    hers.plc.forget()
    const handle = hers.served()
    expect(await hers.set(did, { handle })).toMatchObject({ status: 409, body: { error: 'PlcBudget' } })
    expect(await hers.rotate(did, ['atproto'])).toMatchObject({ body: { rotation: { step: 'swap' } } })
    expect(hers.plc.count('post')).toBe(0)
    const told = await hers.alice.ask(LIST, { community: did })
    expect(told.body.tasks).toContainEqual(expect.objectContaining({ name: 'budgetHalfSpent' }))
    hers.world.clock.moveSec(3601)
    expect((await hers.walk(did)).step).toBe('done')
    expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'confirmed' } })
  })
})

describeOnEachEngine('replacements that are due by the hundred, since keys leaked,', (open) => {
  it('are all gone on with in one go: nobody rests between full turns', { timeout: 600_000 }, async () => {
    const database = await open()
    // Their last step, which needs no directory. By twenties with the pause of the worker in between they would take five minutes.
    await sql`insert into community (did, name, custody, founder, step, request_hash, created_at_ms)
      select 'did:web:town' || nth || '.example.com', 'Town', 'external', 'did:web:reeve.example', 'deleted', '\\x00', 0
      from generate_series(1, 405) nth`.execute(database.db)
    await sql`insert into key_rotation
      (community, purposes, reason, is_urgent, step, step_due_at_ms, asked_by, began_at_ms)
      select 'did:web:town' || nth || '.example.com', array['space'], 'leak', true, 'settle', 0, 'did:web:reeve.example', 0
      from generate_series(1, 405) nth`.execute(database.db)
    const world = await openWorld({ database })
    const left = async () =>
      (await sql`select community from key_rotation where step <> 'done'`.execute(database.db)).rows.length
    await eventually('all of them are done', async () => (await left()) === 0, 240_000)
    await world.close()
  })
})
