/**
 * No key is thrown away that the document names, or may come to name: whatever the directory does, whoever else writes, however many walk the
 * same replacement at once. A community whose last rotation key was destroyed is nobody's for ever.
 */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { lookAtLog } from '../../src/community/plc-watcher.ts'
import { letGoOfKeys, resumeRotations } from '../../src/community/resume-rotations.ts'
import { type RotationCtx, walkRotation } from '../../src/community/rotation-walk.ts'
import type { Did } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { honestLog, json } from '../kit/fake-plc.ts'
import { changeBehindOurBack, inForce } from '../kit/handles.ts'
import { type KeyWorld, keysInForce, openKeyWorld, TURN_SEC } from '../kit/keys-at-work.ts'
import { signed, submitOperation } from '../kit/people.ts'
import { makeKey } from '../kit/tokens.ts'

const ALL = ['rotation', 'atproto', 'space'] as const

describeOnEachEngine('a key that the document names', (open) => {
  let hers: KeyWorld
  let ctx: RotationCtx
  let db: Db
  beforeAll(async () => {
    const database = await open()
    db = database.db
    hers = await openKeyWorld(database)
    ctx = { ...hers.world.reeve.house, db }
  })
  afterEach(() => hers.plc.misbehave(null))
  afterAll(() => hers.close())

  const pass = (seconds: number) => hers.world.clock.moveSec(seconds)
  const stateOf = async (didKey: string | undefined): Promise<string> => {
    const { rows } = await sql<{ state: string }>`select state from key where did_key = ${didKey ?? ''}`.execute(db)
    return rows[0]?.state ?? 'not ours'
  }
  /** The states of the keys that the operation in force names. */
  const named = async (did: Did) => {
    const { rotationKeys, atproto, space } = await keysInForce(hers, did)
    return {
      rotation: await stateOf(rotationKeys.at(-1)),
      atproto: await stateOf(atproto),
      space: await stateOf(space),
    }
  }
  const ACTIVE = { rotation: 'active', atproto: 'active', space: 'active' }
  const look = (did: Did) => lookAtLog({ ...hers.world.reeve.house, db }, did, 'nothing')
  /** A replacement that has begun, and of which nothing has left the house. */
  const begun = async (did: Did, purposes: readonly string[] = ALL) => {
    hers.plc.misbehave(({ kind }) => (kind === 'log' ? 'cut' : undefined))
    await hers.rotate(did, purposes, { reason: 'leak' })
    hers.plc.misbehave(null)
  }

  it.each([false, true])(
    'is there when two processes walk at once and one of them read the log late (the other one was done: %s)',
    async (isDone) => {
      const did = await hers.world.found(hers.alice)
      await begun(did)
      const [asks, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const [readsBack, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const { directory } = ctx
      const slow = { ...ctx, directory: { ...directory } }
      slow.directory.readLog = async (of) => {
        asks.resolve()
        await goOn.promise
        return directory.readLog(of)
      }
      let reads = 0
      const quick = { ...ctx, directory: { ...directory } }
      quick.directory.readLog = async (of) => {
        const log = await directory.readLog(of)
        reads += 1
        if (reads === 3) {
          readsBack.resolve()
          if (!isDone) await mayEnd.promise
        }
        return log
      }
      const late = walkRotation(slow, did)
      await asks.promise
      const other = walkRotation(quick, did)
      await readsBack.promise
      if (isDone) await other
      goOn.resolve()
      await Promise.allSettled([isDone ? late : Promise.race([late, readsBack.promise])])
      mayEnd.resolve()
      await Promise.allSettled([late, other])
      await walkRotation(ctx, did).catch(() => {})
      pass(61)
      await resumeRotations(ctx)
      expect(await named(did)).toEqual(ACTIVE)
      expect(await honestLog(hers.plc, did)).toHaveLength(2)
      expect(await hers.set(did, { handle: hers.served() })).toMatchObject({ body: { status: 'confirmed' } })
    },
  )

  it('is there when a leak is told while a worker signs what was scheduled', async () => {
    const did = await hers.world.found(hers.alice)
    hers.plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
    await hers.rotate(did, ['rotation', 'atproto'])
    // As if it had not been sent yet.
    await sql`delete from plc_work where community = ${did}`.execute(db)
    await sql`delete from plc_signed where community = ${did}`.execute(db)
    hers.plc.misbehave(null)
    const [signs, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const vault = new Proxy(ctx.vault, {
      get(own, name) {
        const value: unknown = Reflect.get(own, name, own)
        if (typeof value !== 'function') return value
        if (name !== 'signRekeying') return value.bind(own)
        return async (use: unknown) => {
          const operation = await value.call(own, use)
          signs.resolve()
          await goOn.promise
          return operation
        }
      },
    })
    const late = walkRotation({ ...ctx, vault, directory: { ...ctx.directory } }, did)
    await signs.promise
    await begun(did)
    goOn.resolve()
    await Promise.allSettled([late])
    pass(61)
    await resumeRotations(ctx)
    expect((await hers.walk(did)).step).toBe('done')
    expect(await named(did)).toEqual(ACTIVE)
    const { rows } = await sql<{ state: string; flags: string[] }>`select state, flags from key
      where community = ${did} and state in ('active', 'pending')`.execute(db)
    expect(rows).toEqual(ALL.map(() => ({ state: 'active', flags: [] })))
    expect(await hers.rotate(did, ['space'], { reason: 'leak' })).toMatchObject({ status: 200 })
  })

  it('is there when the community’s own key writes over our operation before we have read it back', async () => {
    const { did, key, forum } = await hers.community()
    let isPosted = false
    hers.plc.misbehave(async ({ kind }, forward) => {
      if (kind === 'post') {
        await forward()
        isPosted = true
        return 'cut'
      }
      return kind === 'log' && isPosted ? 'cut' : undefined
    })
    await hers.rotate(did, ALL, { reason: 'leak' })
    hers.plc.misbehave(null)
    const { verificationMethods } = await inForce(hers.plc, did)
    const own = makeKey('p256').didKey
    await changeBehindOurBack(hers.plc, did, key, { verificationMethods: { ...verificationMethods, atproto: own } })
    pass(61)
    expect(await hers.walk(did)).toMatchObject({ step: 'refused', fault: 'PlcConflict' })
    expect(await named(did)).toEqual({ rotation: 'active', atproto: 'not ours', space: 'active' })
    expect(await hers.kid(forum)).toBe('#atproto_space')
  })

  it('comes back when a directory refused our operation for ten minutes, and then took it all the same', async () => {
    const { did, forum } = await hers.community()
    let held = ''
    hers.plc.misbehave(({ kind, body }) => {
      if (kind !== 'post') return undefined
      held = body
      return json(400)
    })
    await hers.rotate(did, ALL, { reason: 'leak' })
    pass(601)
    expect(await hers.walk(did)).toMatchObject({ step: 'refused', fault: 'PlcRejected' })
    hers.plc.misbehave(null)
    pass(100 * 3600)
    await letGoOfKeys(ctx)
    await submitOperation(hers.plc.honestUrl, did, JSON.parse(held))
    expect(await named(did)).toEqual({ rotation: 'retired', atproto: 'retired', space: 'retired' })
    await look(did)
    expect(await named(did)).toEqual(ACTIVE)
    expect(await hers.kid(forum)).toBe('#atproto_space')
  })

  it('is not destroyed by the clock alone: the replacement was undone, and nobody had looked', async () => {
    const { did, key } = await hers.community()
    const before = await keysInForce(hers, did)
    await hers.rotate(did, ALL, { reason: 'leak' })
    expect(await hers.walk(did)).toMatchObject({ step: 'done' })
    pass(TURN_SEC)
    await letGoOfKeys(ctx)
    const [first] = (await honestLog(hers.plc, did)) ?? []
    const { sig: _, ...again } = first?.operation ?? { sig: '' }
    await submitOperation(hers.plc.honestUrl, did, signed(key, { ...again, alsoKnownAs: [], prev: first?.cid }))
    pass(80 * 3600)
    await letGoOfKeys(ctx)
    expect(await keysInForce(hers, did)).toEqual(before)
    expect(await named(did)).toEqual({ rotation: 'retired', atproto: 'retired', space: 'retired' })
    // Nor while the directory is away, or shows less than it did.
    for (const answer of ['cut', json(200, [first])] as const) {
      hers.plc.misbehave(({ kind }) => (kind === 'log' ? answer : undefined))
      await letGoOfKeys(ctx)
    }
    hers.plc.misbehave(null)
    await look(did)
    expect(await named(did)).toEqual(ACTIVE)
  })

  it('what its holder undid is not asked for again: that was the last word', async () => {
    const { did, key } = await hers.community()
    let isPosted = false
    hers.plc.misbehave(async ({ kind }, forward) => {
      if (kind === 'post') {
        await forward()
        isPosted = true
        return 'cut'
      }
      return kind === 'log' && isPosted ? 'cut' : undefined
    })
    await hers.rotate(did, ['rotation'])
    const [first] = (await honestLog(hers.plc, did)) ?? []
    const { sig: _, ...again } = first?.operation ?? { sig: '' }
    await submitOperation(hers.plc.honestUrl, did, signed(key, { ...again, alsoKnownAs: [], prev: first?.cid }))
    hers.plc.misbehave(null)
    for (let turn = 0; turn < 3; turn++) {
      pass(61)
      await resumeRotations(ctx)
    }
    expect(await hers.rotation(did)).toMatchObject({ step: 'refused', fault: 'PlcConflict' })
    expect(await honestLog(hers.plc, did)).toHaveLength(3)
    expect(await named(did)).toEqual(ACTIVE)
  })

  describe('of an owner’s own', () => {
    it('is not replaced, and nothing is signed in its place by a key that nobody can verify', async () => {
      const { did, key, forum } = await hers.community()
      const { verificationMethods } = await inForce(hers.plc, did)
      const own = makeKey('p256').didKey
      await changeBehindOurBack(hers.plc, did, key, { verificationMethods: { ...verificationMethods, atproto: own } })
      for (const purpose of ['atproto', 'space']) {
        expect(await hers.rotate(did, [purpose])).toMatchObject({ status: 400, body: { error: 'PlcRank' } })
      }
      pass(301)
      expect(await hers.kid(forum)).toBe('#atproto_space')
      expect((await keysInForce(hers, did)).atproto).toBe(own)
      expect(await hers.rotation(did)).toBeUndefined()
    })
  })

  describe('a leak', () => {
    it('takes along another key of the community’s own that was about to be put in place', async () => {
      const { did, key } = await hers.community()
      const next = makeKey('k256')
      const nowMs = hers.world.clock.nowMs()
      const recovery = JSON.stringify({ before: key.didKey, after: next.didKey, holder: hers.alice.did })
      await sql`insert into key_rotation (community, purposes, recovery, reason, is_urgent, step, step_due_at_ms, asked_by, began_at_ms)
        values (${did}, '{}', ${recovery}, 'recovery', false, 'swap', ${nowMs}, ${hers.alice.did}, ${nowMs})`.execute(
        db,
      )
      pass(1)
      await begun(did)
      expect((await hers.walk(did)).step).toBe('done')
      expect((await keysInForce(hers, did)).rotationKeys[0]).toBe(next.didKey)
      expect(await named(did)).toEqual(ACTIVE)
    })

    it('goes before one that waits for a directory that takes no more, when it names no less', async () => {
      const { did } = await hers.community()
      await begun(did, ['atproto'])
      pass(1)
      expect(await hers.rotate(did, ['rotation'], { reason: 'leak' })).toMatchObject({
        body: { error: 'RotationUnderWay' },
      })
      expect(await hers.rotate(did, ALL, { reason: 'leak' })).toMatchObject({ body: { rotation: { step: 'done' } } })
    })

    it('of a community that has left ends at once', async () => {
      const { did } = await hers.community()
      await begun(did)
      await sql`update plc_watch set left_at_ms = 1 where community = ${did}`.execute(db)
      const { rows } = await sql`select community from plc_watch where community = ${did}`.execute(db)
      if (rows.length === 0) {
        await look(did)
        await sql`update plc_watch set left_at_ms = 1 where community = ${did}`.execute(db)
      }
      expect(await hers.walk(did)).toMatchObject({ step: 'refused', fault: 'PlcConflict' })
      expect(await honestLog(hers.plc, did)).toHaveLength(1)
    })
  })

  it('and whoever was put out hears nothing more by a call that was theirs', async () => {
    const { did } = await hers.community()
    await hers.alice.call('community.reeve.member.put', {
      ...{ space: `at://${did}/space/community.reeve.roster/self`, did: hers.bob.did, role: 'owner' },
    })
    const call = { community: did, purposes: ['space'], idempotencyKey: 'mine' }
    expect(await hers.bob.call('community.reeve.key.rotate', call)).toMatchObject({ status: 200 })
    await hers.alice.call('community.reeve.member.remove', {
      ...{ space: `at://${did}/space/community.reeve.roster/self`, did: hers.bob.did },
    })
    expect(await hers.bob.call('community.reeve.key.rotate', call)).toMatchObject({ status: 404 })
  })
})
