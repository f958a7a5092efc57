/**
 * A key in shares in the identity of a community: how it comes there, what it does that nobody else can, what it keeps others from, and that what
 * is known here follows the directory, whoever wrote there. Real directory; the ceremonies around it have suites of their own.
 */
import { decode, encode } from '@ipld/dag-cbor'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { walkPlcWork } from '../../src/community/plc-walk.ts'
import { watchLogs } from '../../src/community/plc-watcher.ts'
import {
  beginPlacement,
  composeOperation,
  keepConcluded,
  saveComposed,
  type Wish,
} from '../../src/community/quorum-operations.ts'
import { listQuorumKeys } from '../../src/community/quorum-store.ts'
import { placeDrilled } from '../../src/community/resume-placements.ts'
import { letGoOfKeys } from '../../src/community/resume-rotations.ts'
import { beginRotation } from '../../src/community/rotation-begin.ts'
import type { RotationCtx } from '../../src/community/rotation-walk.ts'
import { signCompact } from '../../src/keys/private-keys.ts'
import { type Did, parseDid } from '../../src/names.ts'
import { withTransaction } from '../../src/platform/database.ts'
import { decideKeeper } from '../../src/policy/decide.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { honestLog } from '../kit/fake-plc.ts'
import { changeBehindOurBack, GET, inForce } from '../kit/handles.ts'
import { type Community, type KeyWorld, LIST, openKeyWorld } from '../kit/keys-at-work.ts'
import { headOf, submitOperation } from '../kit/people.ts'
import { type PlantedQuorum, plantCombine, plantQuorum } from '../kit/quorum.ts'
import { base64Url, makeKey } from '../kit/tokens.ts'
import { watchingOf } from '../kit/watched.ts'
import { recoveryProven } from '../kit/world.ts'

const didOf = (text: string): Did => parseDid(text) ?? (text as Did)

describeOnEachEngine('a key in shares', (open) => {
  let database: TestDatabase
  let hers: KeyWorld
  let ctx: RotationCtx
  beforeAll(async () => {
    database = await open()
    hers = await openKeyWorld(database)
    ctx = { ...hers.world.reeve.house, db: database.db }
  })
  afterAll(() => hers.close())

  const now = () => hers.world.clock.nowMs()
  const keysOf = async (did: Did) => (await inForce(hers.plc, did)).rotationKeys
  const custodyOf = async (did: Did) => (await hers.alice.ask(LIST, { community: did })).body
  const statesOf = async (did: Did) => (await listQuorumKeys(database.db, did)).map(({ state }) => state)

  async function place(community: Community, how: { strict?: boolean } = {}): Promise<PlantedQuorum> {
    const planted = await plantQuorum(database, community.did, now(), how)
    const about = { askedBy: hers.alice.did, nowMs: now() }
    await withTransaction(database.db, (tx) => beginPlacement(tx, decideKeeper(hers.alice.did), planted.key, about))
    expect((await hers.walk(community.did)).step).toBe('done')
    return planted
  }

  /** Has keepers do something by its name, as a ceremony would at its end. Answers the operation's CID. */
  async function wish(community: Community, planted: PlantedQuorum, wished: Wish | Uint8Array): Promise<string> {
    const { did } = community
    const composed = await composeOperation(
      ctx,
      did,
      wished instanceof Uint8Array ? { bytes: wished } : { wish: wished },
    )
    const permit = decideKeeper(hers.alice.did)
    await withTransaction(database.db, (tx) => saveComposed(tx, permit, composed, { community: did, nowMs: now() }))
    const made = await plantCombine(database, planted, composed, now())
    const concluded = { ...made, askedBy: hers.alice.did, nowMs: now() }
    const cid = await withTransaction(database.db, (tx) => keepConcluded(tx, permit, concluded))
    await walkPlcWork(ctx, did)
    return cid
  }

  it('comes in above ours and below a member’s own, by our key, when its keepers have drilled', async () => {
    const community = await hers.community()
    const before = await keysOf(community.did)
    const { key } = await place(community)
    expect(await keysOf(community.did)).toEqual([before[0], key.didKey, before[1]])
    expect(await custodyOf(community.did)).toMatchObject({
      custody: 'quorum',
      quorum: [{ didKey: key.didKey, state: 'active', n: 3, k: 2, combinedHere: false }],
      document: {
        rotationKeys: [{ whose: 'community' }, { didKey: key.didKey, whose: 'keepers' }, { whose: 'service' }],
      },
    })
    expect(await hers.audited(community.did, 'key.rotate')).toMatchObject([
      { status: 'confirmed', quorumKey: key.didKey },
    ])
    // What our key does every day it still does.
    expect(await hers.set(community.did, { handle: hers.served() })).toMatchObject({ status: 200 })
  })

  it('keeps an owner from putting another key above it, with and without a member’s own', async () => {
    const community = await hers.community()
    await place(community)
    const held = await keysOf(community.did)
    const proven = recoveryProven(hers.world, hers.alice, makeKey('k256'))
    const answer = await hers.alice.call('community.reeve.key.replaceRecovery', { community: community.did, ...proven })
    expect(answer).toMatchObject({ status: 400, body: { error: 'UnsupportedCustody' } })
    expect(await keysOf(community.did)).toEqual(held)
  })

  describe('that stands alone', () => {
    it('leaves no key of ours that can change the identity, and what needs one is refused by name', async () => {
      const community = await hers.community()
      const { did } = community
      const [own, ours] = await keysOf(did)
      const { key } = await place(community, { strict: true })
      expect(await keysOf(did)).toEqual([own, key.didKey])
      const listed = await custodyOf(did)
      expect(listed.custody).toBe('quorumStrict')
      expect(listed.keys.filter(({ purpose, state }: never) => purpose === 'rotation' && state === 'active')).toEqual(
        [],
      )
      expect(listed.document.rotationKeys.map(({ whose }: never) => whose)).toEqual(['community', 'keepers'])
      expect(listed.document.differs).toEqual([])
      const refused = { status: 400, body: { error: 'UnsupportedCustody' } }
      expect(await hers.set(did, { handle: hers.served() })).toMatchObject(refused)
      expect(await hers.rotate(did, ['rotation'])).toMatchObject(refused)
      expect(await hers.rotate(did, ['space'], { reason: 'leak' })).toMatchObject(refused)
      // Credentials are signed by keys that change nothing of the identity.
      expect(await hers.kid(community.forum)).toBe('#atproto_space')
      expect(await hers.keys(did)).toMatchObject({ 'rotation retired': ours })
    })

    it('lets this service have a key again, another one, when its keepers say so; and takes it away again', async () => {
      const community = await hers.community()
      const { did } = community
      const planted = await place(community, { strict: true })
      const [own, shares] = await keysOf(did)
      await wish(community, planted, 'shared')
      const three = await keysOf(did)
      expect(three).toEqual([own, shares, expect.stringMatching(/^did:key:/)])
      expect(await custodyOf(did)).toMatchObject({ custody: 'quorum' })
      expect(await hers.keys(did)).toMatchObject({ 'rotation active': three[2] })
      expect(await hers.set(did, { handle: hers.served() })).toMatchObject({ status: 200 })
      await wish(community, planted, 'strict')
      expect(await keysOf(did)).toEqual([own, shares])
      expect(await custodyOf(did)).toMatchObject({ custody: 'quorumStrict' })
    })
  })

  it('is replaced by its own keepers alone; the old one is void', async () => {
    const community = await hers.community()
    const { did } = community
    const old = await place(community)
    const next = await plantQuorum(database, did, now(), { n: 5, k: 3 })
    const [own, , ours] = await keysOf(did)
    const cid = await wish(community, old, 'rekey')
    expect(await keysOf(did)).toEqual([own, next.key.didKey, ours])
    expect(await statesOf(did)).toEqual(['retired', 'active'])
    const { rows } = await sql`select state from ceremony where community = ${did}`.execute(database.db)
    expect(rows).toEqual([{ state: 'done' }])
    expect(await hers.audited(did, 'key.conclude')).toMatchObject([{ status: 'confirmed', operationCid: cid }])
    await expect(composeOperation(ctx, did, { wish: 'rekey' })).rejects.toThrow('UnsupportedCustody')
  })

  it('can’t come back over an operation of ours that is younger than three days (case N): the swap stands before it', async () => {
    const community = await hers.community()
    const { did } = community
    const old = await place(community)
    hers.world.clock.moveSec(3600)
    const before = await headOf(hers.plc.honestUrl, did)
    expect(await hers.set(did, { handle: hers.served() })).toMatchObject({ status: 200 })
    const next = await plantQuorum(database, did, now())
    await wish(community, old, 'rekey')
    const swap = await inForce(hers.plc, did)
    expect(swap.prev).toBe(before)
    expect(swap.alsoKnownAs).toHaveLength(1)
    expect(swap.rotationKeys[1]).toBe(next.key.didKey)
    // The old key forks from before our operation, as it could if the swap stood on top of that.
    const { sig: _, ...said } = swap
    const fork = { ...said, rotationKeys: [old.key.didKey], prev: before }
    const signedFork = { ...fork, sig: base64Url(signCompact(old.pair, encode(fork))) }
    await expect(submitOperation(hers.plc.honestUrl, did, signedFork)).rejects.toThrow()
    expect((await inForce(hers.plc, did)).rotationKeys).toEqual(swap.rotationKeys)
  })

  it('leaves beside a member’s own key, and not where ours would be left alone', async () => {
    const community = await hers.community()
    const planted = await place(community)
    const [own, , ours] = await keysOf(community.did)
    await wish(community, planted, 'dissolve')
    expect(await keysOf(community.did)).toEqual([own, ours])
    expect(await custodyOf(community.did)).toMatchObject({ custody: 'memberHeld' })

    const alone = await hers.world.found(hers.alice)
    const theirs = await place({ did: alone, key: community.key, forum: '' })
    await expect(composeOperation(ctx, alone, { wish: 'dissolve' })).rejects.toThrow('PlcRank')
    expect(await keysOf(alone)).toContain(theirs.key.didKey)
  })

  it('signs an operation that somebody brought, when it has a place and its keys stand as they must', async () => {
    const community = await hers.community()
    const { did } = community
    const planted = await place(community)
    const head = await headOf(hers.plc.honestUrl, did)
    const { sig: _, ...said } = await inForce(hers.plc, did)
    const named = { ...said, alsoKnownAs: ['at://garden.example.org'], prev: head }
    await wish(community, planted, encode(named))
    expect(await inForce(hers.plc, did)).toMatchObject({ alsoKnownAs: ['at://garden.example.org'] })
    const compose = (operation: object) => composeOperation(ctx, did, { bytes: encode(operation) })
    const next = { ...named, prev: await headOf(hers.plc.honestUrl, did) }
    await expect(compose({ ...named, prev: 'bafyreib' })).rejects.toThrow('PlcConflict')
    await expect(compose({ ...next, rotationKeys: [] })).rejects.toThrow('PlcRank')
    await expect(compose({ type: 'plc_tombstone', prev: head })).rejects.toThrow('InvalidRequest')
    await expect(compose({ ...next, x: 1 })).rejects.toThrow('InvalidRequest')
    await expect(compose({ ...next, alsoKnownAs: ['a'.repeat(7_000)] })).rejects.toThrow('PlcLimit')
  })

  it('signs for nothing when the identity went another way meanwhile (row 263)', async () => {
    const community = await hers.community()
    const { did, key } = community
    const planted = await place(community)
    const composed = await composeOperation(ctx, did, { wish: 'strict' })
    const made = await plantCombine(database, planted, composed, now())
    await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs: ['at://quicker.example.org'] })
    const held = await keysOf(did)
    await withTransaction(database.db, (tx) =>
      keepConcluded(tx, decideKeeper(hers.alice.did), { ...made, askedBy: hers.alice.did, nowMs: now() }),
    )
    expect(await walkPlcWork(ctx, did)).toMatchObject({ step: 'refused', fault: 'PlcConflict' })
    expect(await keysOf(did)).toEqual(held)
    const { rows } = await sql`select state, fault from ceremony where community = ${did}`.execute(database.db)
    expect(rows).toEqual([{ state: 'failed', fault: 'PlcConflict' }])
    expect(await statesOf(did)).toEqual(['active'])
  })

  it('is followed where its keepers act without this service, and nobody is alarmed as if by an enemy', async () => {
    const community = await hers.community()
    const { did } = community
    const planted = await place(community)
    const next = await plantQuorum(database, did, now())
    const watching = watchingOf(hers.world, database)
    await watching.watch(did)
    await watchLogs(watching.ctx)
    const { sig: _, ...said } = await inForce(hers.plc, did)
    const prev = await headOf(hers.plc.honestUrl, did)
    const keys = said.rotationKeys.map((key) => (key === planted.key.didKey ? next.key.didKey : key))
    const swap = { ...said, rotationKeys: keys, prev }
    await submitOperation(hers.plc.honestUrl, did, { ...swap, sig: base64Url(signCompact(planted.pair, encode(swap))) })
    await watching.due(did)
    await watchLogs(watching.ctx)
    expect(await statesOf(did)).toEqual(['retired', 'active'])
    const [told] = await watching.alarms(did)
    expect(await watching.names(did)).toContain('foreignOperation')
    expect(told?.about['isHostile'] ?? 0).toBe(0)
    expect(await honestLog(hers.plc, did)).toHaveLength(3)
  })

  it('is pending in a community that was founded for one, which says so until it is there', async () => {
    const custody = { $type: 'community.reeve.community.mint#quorum', strict: true }
    const minted = await hers.alice.call('community.reeve.community.mint', { name: 'Gardeners', custody })
    const did = didOf(minted.body.did)
    expect(minted).toMatchObject({ status: 200, body: { status: 'pendingQuorum' } })
    expect((await hers.alice.ask(GET, { community: did })).body).toMatchObject({
      status: 'pendingQuorum',
      custody: 'custodial',
    })
    expect((await custodyOf(did)).tasks).toMatchObject([{ name: 'pendingQuorum' }])
    const { key } = await place({ did, key: makeKey('k256'), forum: '' }, { strict: true })
    expect(await keysOf(did)).toEqual([key.didKey])
    expect((await hers.alice.ask(GET, { community: did })).body).toMatchObject({
      status: 'active',
      custody: 'quorumStrict',
    })
  })

  describe('whose keepers let this service have a key', () => {
    it('can do so again when it came to nothing before', async () => {
      const community = await hers.community()
      const planted = await place(community, { strict: true })
      const [own, shares] = await keysOf(community.did)
      const composed = await composeOperation(ctx, community.did, { wish: 'shared' })
      const permit = decideKeeper(hers.alice.did)
      const at = { community: community.did, nowMs: now() }
      await withTransaction(database.db, (tx) => saveComposed(tx, permit, composed, at))
      // Nobody signed it. The next one has another key, and the first is kept, since somebody may have signed it all the same.
      await wish(community, planted, 'shared')
      const [, , ours] = await keysOf(community.did)
      expect(await keysOf(community.did)).toEqual([own, shares, ours])
      expect(await hers.keys(community.did)).toMatchObject({ 'rotation active': ours })
      const { rows } = await sql`select state from key where community = ${community.did} and purpose = 'rotation'
        order by state`.execute(database.db)
      expect(rows).toEqual([{ state: 'active' }, { state: 'retired' }, { state: 'retired' }])
    })

    it('and who send that themselves, is followed, and no key in force is thrown away', async () => {
      const community = await hers.community()
      const { did } = community
      const planted = await place(community, { strict: true })
      const watching = watchingOf(hers.world, database)
      await watching.watch(did)
      const composed = await composeOperation(ctx, did, { wish: 'shared' })
      const permit = decideKeeper(hers.alice.did)
      await withTransaction(database.db, (tx) => saveComposed(tx, permit, composed, { community: did, nowMs: now() }))
      expect(await watching.names(did)).not.toContain('oursNotLast')
      const sig = base64Url(signCompact(planted.pair, composed.bytes))
      await submitOperation(hers.plc.honestUrl, did, { ...(decode(composed.bytes) as object), sig } as never)
      await watching.due(did)
      await watchLogs(watching.ctx)
      const [, , ours] = await keysOf(did)
      expect(await hers.keys(did)).toMatchObject({ 'rotation active': ours })
      expect(await custodyOf(did)).toMatchObject({ custody: 'quorum' })
      // Somebody else has changed who may change the identity: nothing is signed here for a while.
      const quiet = { status: 409, body: { error: 'PlcQuiet' } }
      expect(await hers.set(did, { handle: hers.served() })).toMatchObject(quiet)
    })
  })

  it('doesn’t leave where this service has no key: nobody here could change anything any more', async () => {
    const community = await hers.community()
    await place(community, { strict: true })
    await expect(composeOperation(ctx, community.did, { wish: 'dissolve' })).rejects.toThrow('UnsupportedCustody')
  })

  it('that was dropped for another is in no operation that is begun or sent here; and where the identity names it, it is in force', async () => {
    const community = await hers.community()
    const { did } = community
    const old = await place(community)
    const dropped = await plantQuorum(database, did, now())
    const composed = await composeOperation(ctx, did, { wish: 'rekey' })
    const made = await plantCombine(database, old, composed, now())
    await plantQuorum(database, did, now())
    const permit = decideKeeper(hers.alice.did)
    const save = withTransaction(database.db, (tx) =>
      saveComposed(tx, permit, composed, { community: did, nowMs: now() }),
    )
    await expect(save).rejects.toThrow('StaleRevision')
    const concluded = { ...made, askedBy: hers.alice.did, nowMs: now() }
    await expect(withTransaction(database.db, (tx) => keepConcluded(tx, permit, concluded))).rejects.toThrow(
      'StaleRevision',
    )
    const watching = watchingOf(hers.world, database)
    await watching.watch(did)
    await submitOperation(hers.plc.honestUrl, did, {
      ...(decode(composed.bytes) as object),
      sig: made.signature,
    } as never)
    await watching.due(did)
    await watchLogs(watching.ctx)
    expect(await custodyOf(did)).toMatchObject({ custody: 'quorum', quorum: [{ didKey: dropped.key.didKey }, {}] })
  })

  it('that was drilled comes in after what could not wait, without anybody’s doing', async () => {
    const community = await hers.community()
    const { did } = community
    const planted = await plantQuorum(database, did, now())
    const about = { askedBy: hers.alice.did, nowMs: now() }
    await withTransaction(database.db, (tx) => beginPlacement(tx, decideKeeper(hers.alice.did), planted.key, about))
    const before = await keysOf(did)
    const { rows } = await hers.world.reeve.house.vault.prepareSuccessors(did, ['rotation'], now(), { freshDek: false })
    const begun = { community: did, purposes: ['rotation'] as const, reason: 'leak' as const, askedBy: hers.alice.did }
    await withTransaction(database.db, (tx) =>
      beginRotation(ctx, tx, decideKeeper(hers.alice.did), { ...begun, successors: rows, nowMs: now() + 1 }),
    )
    await hers.walk(did)
    expect(await keysOf(did)).not.toContain(planted.key.didKey)
    expect(await keysOf(did)).not.toEqual(before)
    await placeDrilled(ctx)
    await hers.walk(did)
    expect((await keysOf(did))[1]).toBe(planted.key.didKey)
    expect(await custodyOf(did)).toMatchObject({ custody: 'quorum' })
  })

  it('is confirmed where it is, when keys of this service are replaced: a session alone must not move the head under its keepers', async () => {
    const community = await hers.community()
    await place(community)
    const held = await keysOf(community.did)
    const answer = await hers.rotate(community.did, ['rotation'], { reason: 'leak' })
    expect(answer).toMatchObject({ status: 403, body: { error: 'KeeperSignatureRequired' } })
    expect(await keysOf(community.did)).toEqual(held)
  })

  // The last one: the directory lives by the real clock.
  it('that stands alone has the key of ours destroyed when nothing can bring it back', async () => {
    const community = await hers.community()
    const { did } = community
    const [, ours] = await keysOf(did)
    await place(community, { strict: true })
    hers.world.clock.moveSec(76 * 3600)
    await letGoOfKeys(ctx)
    expect(await hers.keys(did)).toMatchObject({ 'rotation destroyed': ours })
  })
})
