/** What the operator's acceptance of an older database does to a community: it rests, once, and its chain says why. */
import { beforeAll, beforeEach, expect, it } from 'vitest'
import type { Parted } from '../../src/audit/past.ts'
import { listEntries } from '../../src/audit/store.ts'
import { verifyChains } from '../../src/audit/verify.ts'
import { communityFreeze } from '../../src/community/communityFreeze.ts'
import { acceptRestored } from '../../src/community/restored-community.ts'
import type { Did } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { type ProcedureCall, requestHashOf } from '../../src/platform/idempotency.ts'
import { HASH } from '../kit/checkpoints.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { type Community, freshDid, makeForum, openCommunity, put, type Roll, rollOn, SERVICE } from '../kit/roll.ts'

const CALL: ProcedureCall = { requestHash: requestHashOf({}), idempotency: null }

describeOnEachEngine('a community whose database was put back', (open) => {
  let db: Db
  let roll: Roll
  let community: Community

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
  })
  beforeEach(async () => {
    community = await openCommunity(roll)
    const forum = await makeForum(roll, community, 'main')
    await put(roll, community.founder, forum, freshDid(), 'member')
  })

  const parted = (did: Did, more: Partial<Parted> = {}): Parted => ({
    ...{ community: did, fault: 'behind', has: 3, seenAtMs: 1_790_000_000_000 },
    seen: { community: did, seq: 9, hash: HASH },
    ...more,
  })
  const log = async (did: Did) =>
    (await listEntries(db, { community: did, beforeId: null, limit: 50, actor: SERVICE })).map(
      ({ action, because }) => [action, because] as const,
    )
  const frozenAt = async () =>
    (
      await db
        .selectFrom('community_revision')
        .select('frozen_at_ms')
        .where('community', '=', community.did)
        .executeTakeFirstOrThrow()
    ).frozen_at_ms
  const isWhole = async (did: Did) => {
    for await (const report of verifyChains(db)) if (report.community === did) return report.fault === null
    return false
  }
  const wake = () => communityFreeze(roll, community.founder, { community: community.did, isFrozen: false }, CALL)

  it('rests in the name of the service, and its chain says what is missing', async () => {
    expect(await acceptRestored(roll, parted(community.did))).toBe('frozen')
    expect(await frozenAt()).not.toBeNull()
    const reasons = [{ rule: 'operator' }]
    const details = { fault: 'behind', seen: 9, had: 3, seenHash: HASH, seenAt: '2026-09-21T14:13:20.000Z' }
    expect(await log(community.did)).toMatchObject([
      ['restored.accept', { reasons, ...details }],
      ['community.freeze', { reasons }],
    ])
    expect(await isWhole(community.did)).toBe(true)
  })

  it('is done with once: whoever was stopped runs it again, and whoever woke it is not put to sleep by that', async () => {
    await acceptRestored(roll, parted(community.did))
    await wake()
    const again = parted(community.did, { fault: 'rewritten', has: 11 })
    expect(await acceptRestored(roll, again)).toBe('before')
    expect(await frozenAt()).toBeNull()
    expect(await log(community.did)).toHaveLength(2)
  })

  it('rests again when it is put back another time', async () => {
    await acceptRestored(roll, parted(community.did))
    await wake()
    expect(await acceptRestored(roll, parted(community.did, { seenAtMs: 1_790_000_000_001 }))).toBe('frozen')
    expect(await frozenAt()).not.toBeNull()
  })

  it('that rests already goes on resting, and its chain says so', async () => {
    await communityFreeze(roll, community.founder, { community: community.did, isFrozen: true }, CALL)
    const before = await frozenAt()
    expect(await acceptRestored(roll, parted(community.did))).toBe('restedAlready')
    expect(await frozenAt()).toBe(before)
    expect((await log(community.did)).map(([action]) => action)).toEqual(['restored.accept'])
  })

  it('that has nobody to be let in is only noted', async () => {
    const nowhere = freshDid()
    expect(await acceptRestored(roll, parted(nowhere))).toBe('noted')
    expect((await log(nowhere)).map(([action]) => action)).toEqual(['restored.accept'])
    expect(await isWhole(nowhere)).toBe(true)
  })
})
