/** Dry runs on real databases: what a change would do is what it then does, and looking changes nothing. */
import { beforeAll, describe, expect, it } from 'vitest'
import { communityFreeze } from '../../src/community/communityFreeze.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { memberReach } from '../../src/membership/memberReach.ts'
import { memberRemove } from '../../src/membership/memberRemove.ts'
import { memberUnban } from '../../src/membership/memberUnban.ts'
import { rolePut } from '../../src/membership/rolePut.ts'
import { lockRevisions, raiseRevisions } from '../../src/membership/store.ts'
import { type Did, isSpaceUri, type SpaceUri, spaceUriOf } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import type { ProcedureCall } from '../../src/platform/idempotency.ts'
import { Refusal } from '../../src/refusals.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  everythingIn,
  FORUM,
  freshDid,
  keyed,
  makeForum,
  makeRoleSpace,
  once,
  openCommunity,
  put,
  type Roll,
  rollOn,
} from '../kit/roll.ts'
import { tracelessRefusalOf } from '../kit/verdicts.ts'

interface Preview {
  readonly examined: number
  readonly isComplete: boolean
  readonly gaining: number
  readonly losing: number
  readonly changes: readonly { did: string; space: string; gains: string[]; loses: string[] }[]
}
type Method = (
  roll: Roll,
  by: Did,
  input: never,
  call: ProcedureCall,
) => Promise<{ revision: number; preview?: Preview }>

/** The same numbers each time, so that a failure can be looked at. */
function dice(seed: number) {
  let state = seed
  const roll = (sides: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * sides)
  }
  const one = <T>(of: readonly T[]): T => of[roll(of.length)] as T
  return { roll, one }
}

describeOnEachEngine('a dry run', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forums: SpaceUri[]
  let circles: SpaceUri[]
  const people = Array.from({ length: 7 }, freshDid)

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    forums = [await makeForum(roll, community, 'one'), await makeForum(roll, community, 'two')]
    circles = [await makeRoleSpace(roll, community, 'inner'), await makeRoleSpace(roll, community, 'outer')]
  })

  const may = async (): Promise<Map<string, string>> => {
    const found = new Map<string, string>()
    for (const did of [...people, community.founder]) {
      const { spaces } = await memberReach(roll, community.founder, { community: community.did, did, limit: 1000 })
      for (const { uri, actions } of spaces) found.set(`${did} ${uri}`, actions.join(' '))
    }
    return found
  }

  const withRest = (actions: string | undefined, isFrozen: boolean) =>
    (actions ?? '').split(' ').filter((one) => one !== '' && !(isFrozen && (one === 'read' || one === 'write')))

  it('says of two hundred changes, one after the other, exactly what each then does', async () => {
    const { roll: pick, one } = dice(20_261_120)
    const owner = community.founder
    const spaces = () => [...forums, ...circles]
    const frozen = new Set<string>()
    const kinds: (() => [Method, object])[] = [
      () => [
        memberPut as Method,
        { space: one(spaces()), did: one(people), role: one(['member', 'reader', 'own', 'moderator']) },
      ],
      () => [memberRemove as Method, { space: one(spaces()), did: one(people) }],
      () => {
        const [space, memberSpace] = [one(spaces()), one(circles)]
        const holding = pick(3) === 0 ? { holding: one(['write', 'members.read']) } : {}
        return [memberPut as Method, { space, memberSpace, role: one(['member', 'own', 'moderator']), ...holding }]
      },
      () => [memberRemove as Method, { space: one(spaces()), memberSpace: one(circles) }],
      () => [
        memberBan as Method,
        { ...(pick(2) === 0 ? { community: community.did } : { space: one(spaces()) }), did: one(people) },
      ],
      () => [
        memberUnban as Method,
        { ...(pick(2) === 0 ? { community: community.did } : { space: one(spaces()) }), did: one(people) },
      ],
      () => [
        rolePut as Method,
        { community: community.did, name: 'own', actions: one([['read'], ['read', 'write'], ['members.read'], []]) },
      ],
      () => [communityFreeze as Method, { space: one(spaces()), isFrozen: pick(2) === 0 }],
    ]
    await rolePut(roll, owner, { community: community.did, name: 'own', actions: ['read'] }, once())
    let carriedOut = 0
    let moved = 0
    for (let nth = 0; nth < 220; nth++) {
      const [method, input] = one(kinds)()
      const before = await may()
      const frozenBefore = new Set(frozen)
      let preview: Preview | undefined
      try {
        ;({ preview } = await method(roll, owner, { ...input, dryRun: true } as never, once()))
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        await expect(method(roll, owner, input as never, once())).rejects.toMatchObject({ code: error.code })
        continue
      }
      expect(await may()).toEqual(before)
      await method(roll, owner, input as never, once())
      if ('isFrozen' in input && 'space' in input) {
        if (input.isFrozen) frozen.add(String(input.space))
        else frozen.delete(String(input.space))
      }
      const after = await may()
      const happened = [...new Set([...before.keys(), ...after.keys()])].flatMap((key) => {
        const [did, space] = key.split(' ') as [string, string]
        const was = withRest(before.get(key), frozenBefore.has(space))
        const is = withRest(after.get(key), frozen.has(space))
        const gains = is.filter((action) => !was.includes(action))
        const loses = was.filter((action) => !is.includes(action))
        return gains.length + loses.length > 0 ? [{ did, space, gains, loses }] : []
      })
      const inOrder = (changes: Preview['changes']) => changes.map((change) => JSON.stringify(change)).sort()
      expect(inOrder(preview?.changes ?? []), `${nth}: ${JSON.stringify(input)}`).toEqual(inOrder(happened))
      const count = (of: 'gains' | 'loses') =>
        new Set(happened.filter((change) => change[of].length > 0).map(({ did }) => did)).size
      expect([preview?.gaining, preview?.losing]).toEqual([count('gains'), count('loses')])
      carriedOut += 1
      moved += happened.length
    }
    expect(carriedOut).toBeGreaterThan(80)
    expect(moved).toBeGreaterThan(50)
  })

  it('changes nothing, and is not remembered under its key', async () => {
    const bob = freshDid()
    const before = await everythingIn(db)
    const body = { space: forums[0] as string, did: bob, role: 'member' }
    const call = keyed(community.founder, 'community.reeve.member.put', 'once', body)
    await memberPut(roll, community.founder, { ...body, dryRun: true } as never, call)
    expect(await everythingIn(db)).toEqual(before)
    await memberPut(roll, community.founder, body as never, call)
    const { people: found } = {
      people: await db.selectFrom('person_edge').select('did').where('did', '=', bob).execute(),
    }
    expect(found).toHaveLength(1)
  })

  it('of an entry that begins tomorrow shows what it will give', async () => {
    const since = isoOf(roll.clock.nowMs() + 86_400_000)
    const own = await openCommunity(roll)
    const forum = await makeForum(roll, own, 'main')
    const answer = await put(roll, own.founder, forum, freshDid(), 'reader', {
      since,
      dryRun: true,
    })
    expect(answer.preview).toMatchObject({ gaining: 1, changes: [{ gains: ['read'], loses: [] }] })
  })

  it('of leaving and of deleting shows who loses what', async () => {
    const own = await openCommunity(roll)
    const forum = await makeForum(roll, own, 'main')
    const bob = freshDid()
    await put(roll, own.founder, forum, bob, 'reader')
    const left = await memberLeave(roll, bob, { space: forum, dryRun: true }, once())
    expect(left.preview).toMatchObject({ losing: 1, changes: [{ did: bob, space: forum, loses: ['read'] }] })
    const gone = await spaceDelete(roll, own.founder, { space: forum, dryRun: true }, once())
    expect(gone.preview).toMatchObject({ losing: 2, gaining: 0, examined: 2 })
  })

  describe('for people who may not see every roster', () => {
    it('counts everybody, and lists only where they may see who is there', async () => {
      const own = await openCommunity(roll)
      const forum = await makeForum(roll, own, 'main')
      const hidden = await makeForum(roll, own, 'hidden')
      const [nester, bob] = [freshDid(), freshDid()]
      const circle = await makeRoleSpace(roll, own, 'circle')
      await put(roll, own.founder, circle, nester, 'admin')
      await put(roll, own.founder, circle, bob, 'member')
      await put(roll, own.founder, forum, nester, 'admin')
      await memberPut(roll, own.founder, { space: hidden, memberSpace: forum, role: 'reader' }, once())
      const { preview } = await memberPut(
        roll,
        nester,
        { space: forum, memberSpace: circle, role: 'reader', dryRun: true },
        once(),
      )
      expect(preview).toMatchObject({ gaining: 1, losing: 0 })
      expect(preview?.changes).toEqual([{ did: bob, space: forum, gains: ['read'], loses: [] }])
    })
  })

  it('looks at ten thousand people and no more, and says so', async () => {
    const own = await openCommunity(roll)
    const forum = await makeForum(roll, own, 'main')
    const circle = await makeRoleSpace(roll, own, 'crowd')
    const rows = Array.from({ length: 10_500 }, () => ({
      ...{ into_space: circle, did: freshDid(), community: own.did, role: 'member' },
      ...{ since_ms: null, until_ms: null, added_by: own.founder, added_at_ms: 1 },
    }))
    for (let at = 0; at < rows.length; at += 1000) {
      await db
        .insertInto('person_edge')
        .values(rows.slice(at, at + 1000))
        .execute()
    }
    const input = { space: forum, memberSpace: circle, role: 'reader', dryRun: true }
    const { preview } = await memberPut(roll, own.founder, input, once())
    expect(preview).toMatchObject({ examined: 10_000, isComplete: false })
    expect(preview?.gaining).toBeGreaterThan(9_990)
    expect(preview?.changes).toHaveLength(200)
    expect(preview?.changes.every(({ space, did }) => space === forum && !isSpaceUri(did as Did))).toBe(true)
  })

  it('of everything at once goes over each edge once, however many spaces lead to each other', async () => {
    const own = await openCommunity(roll)
    const ring = Array.from({ length: 400 }, (_, at) => spaceUriOf(own.did, FORUM, `ring${at}`).uri)
    const of = {
      community: own.did,
      space_type: FORUM,
      state: 'live' as const,
      created_by: own.founder,
      created_at_ms: 0,
    }
    const edge = { role: 'reader', community: own.did, is_system: false, added_by: own.founder, added_at_ms: 0 }
    await withTransaction(db, async (tx) => {
      await lockRevisions(tx, own.did)
      await tx
        .insertInto('space')
        .values(ring.map((uri, at) => ({ ...of, uri, skey: `ring${at}` })))
        .execute()
      const nested = ring.map((uri, at) => ({
        into_space: uri,
        from_space: ring[(at + 1) % ring.length] ?? uri,
        ...edge,
      }))
      await tx.insertInto('space_edge').values(nested).execute()
      await raiseRevisions(tx, own.did, { graph: true })
    })
    const bob = freshDid()
    await db
      .insertInto('person_edge')
      .values({
        into_space: ring[0] ?? '',
        did: bob,
        community: own.did,
        role: 'reader',
        added_by: own.founder,
        added_at_ms: 0,
      })
      .execute()
    const { preview } = await communityFreeze(
      roll,
      own.founder,
      { community: own.did, isFrozen: true, dryRun: true } as never,
      once(),
    )
    expect(preview).toMatchObject({ isComplete: true, losing: 1 })
  })

  it('holds nobody up: a change goes on while one is being looked at', async () => {
    const own = await openCommunity(roll)
    const forum = await makeForum(roll, own, 'main')
    const looked = put(roll, own.founder, forum, freshDid(), 'reader', { dryRun: true })
    const changed = put(roll, own.founder, forum, freshDid(), 'reader')
    expect((await looked).preview).toMatchObject({ gaining: 1 })
    expect((await changed).revision).toBeGreaterThan(0)
  })

  it('is refused as the change is, and leaves the refusal in the audit', async () => {
    const stranger = freshDid()
    const member = freshDid()
    await put(roll, community.founder, forums[0] as string, member, 'reader')
    const asked = (by: Did) => put(roll, by, forums[0] as string, freshDid(), 'reader', { dryRun: true })
    expect(await tracelessRefusalOf(db, () => asked(stranger))).toBe('NotFound')
    const refusals = () => db.selectFrom('audit_entry').selectAll().where('actor', '=', member).execute()
    expect(await refusals()).toHaveLength(0)
    expect(await tracelessRefusalOf(db, () => asked(member))).toBe('Forbidden')
    expect(await refusals()).toHaveLength(1)
  })
})
