/**
 * What is taken away ends at once at our own endpoints, whatever credentials are about, and in the ledger a moment later: over real
 * sockets, in both generations, with Reeve's own worker.
 */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { changeCommunity } from '../../src/membership/governance.ts'
import { type Did, ROLE_SPACE_TYPE } from '../../src/names.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { BINDINGS, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { jtiOf, obtain, present, revocations } from '../kit/presentation.ts'
import { freshJti } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import type { Person } from '../kit/world.ts'

const R = 'community.reeve'

/** One way of losing what one may read. `make` lets bob in, and answers how he loses it. */
interface Loss {
  readonly says: string
  readonly make: (scene: Scene, forum: string, bob: Person) => Promise<() => Promise<unknown>>
  readonly because?: string
  readonly answers?: string
  /** Nobody reads anything there any more. */
  readonly isForAll?: boolean
}

const done = async (answer: Promise<{ status: number; body: unknown }>): Promise<void> => {
  const { status, body } = await answer
  if (status !== 200) throw new Error(JSON.stringify(body))
}

/** As whoever judges apps would write it, by the one way in which anything is changed. */
const onlyApps = ({ world, alice, community }: Scene, forum: string) =>
  changeCommunity(
    world.reeve.house,
    {
      ...{ community, actor: alice.did, action: 'app.setAccess', target: forum as Did, subject: null },
      ...{ ifRevision: undefined, idempotency: null },
    },
    async (tx) => {
      await sql`insert into app_access (scope, community, mode) values (${forum}, ${community}, 'allowList')`.execute(
        tx,
      )
      return { answer: {}, changed: 'graph', because: [] }
    },
  )

const LOSSES: readonly Loss[] = [
  {
    says: 'a removal',
    make: async ({ alice }, space, bob) => {
      await letIn(alice, space, bob.did)
      return () => done(alice.call(`${R}.member.remove`, { space, did: bob.did }))
    },
  },
  {
    says: 'a ban from the space',
    make: async ({ alice }, space, bob) => {
      await letIn(alice, space, bob.did)
      return () => done(alice.call(`${R}.member.ban`, { space, did: bob.did }))
    },
  },
  {
    says: 'a ban from the community',
    make: async ({ alice, community }, space, bob) => {
      await letIn(alice, space, bob.did)
      return () => done(alice.call(`${R}.member.ban`, { community, did: bob.did }))
    },
  },
  {
    says: 'leaving',
    make: async ({ alice }, space, bob) => {
      await letIn(alice, space, bob.did)
      return () => done(bob.call(`${R}.member.leave`, { space }))
    },
  },
  {
    says: 'another role, that doesn’t read',
    make: async ({ alice, community }, space, bob) => {
      await done(alice.call(`${R}.role.put`, { community, name: 'greeter', actions: ['members.read'] }))
      await letIn(alice, space, bob.did)
      return () => done(alice.call(`${R}.member.put`, { space, did: bob.did, role: 'greeter' }))
    },
  },
  {
    says: 'a role that doesn’t read any more',
    make: async ({ alice, community }, space, bob) => {
      const put = (actions: string[]) => done(alice.call(`${R}.role.put`, { community, name: 'visitor', actions }))
      await put(['read'])
      await done(alice.call(`${R}.member.put`, { space, did: bob.did, role: 'visitor' }))
      return () => put(['members.read'])
    },
  },
  {
    says: 'a removal from the space that is nested there',
    make: async (scene, space, bob) => {
      const { alice, community, world } = scene
      const crew = await world.makeSpace(alice, community, { spaceType: ROLE_SPACE_TYPE, skey: freshJti() })
      await letIn(alice, crew, bob.did)
      await done(alice.call(`${R}.member.put`, { space, memberSpace: crew, role: 'member' }))
      return () => done(alice.call(`${R}.member.remove`, { space: crew, did: bob.did }))
    },
  },
  {
    says: 'the space that is nested there being taken out',
    make: async (scene, space, bob) => {
      const { alice, community, world } = scene
      const crew = await world.makeSpace(alice, community, { spaceType: ROLE_SPACE_TYPE, skey: freshJti() })
      await letIn(alice, crew, bob.did)
      await done(alice.call(`${R}.member.put`, { space, memberSpace: crew, role: 'member' }))
      return () => done(alice.call(`${R}.member.remove`, { space, memberSpace: crew }))
    },
  },
  {
    says: 'the public being put out',
    make: async ({ alice }, space) => {
      const set = (name: string) =>
        alice.call(`${R}.space.update`, { space, readPolicy: { $type: `com.atproto.simplespace.defs#${name}` } })
      await done(set('publicPolicy'))
      return () => done(set('memberListPolicy'))
    },
  },
  {
    says: 'a list of apps without this one',
    because: 'AppNotAuthorized',
    make: async (scene, space, bob) => {
      await letIn(scene.alice, space, bob.did)
      return () => onlyApps(scene, space)
    },
  },
  {
    says: 'the space being frozen',
    make: async ({ alice }, space, bob) => {
      await letIn(alice, space, bob.did)
      return () => done(alice.call(`${R}.community.freeze`, { space, isFrozen: true }))
    },
  },
  {
    says: 'the community being frozen',
    isForAll: true,
    make: async ({ alice, community }, space, bob) => {
      await letIn(alice, space, bob.did)
      return () => done(alice.call(`${R}.community.freeze`, { community, isFrozen: true }))
    },
  },
  {
    says: 'the end of the space',
    because: 'SpaceDeleted',
    answers: '400 SpaceNotFound',
    make: async ({ alice }, space, bob) => {
      await letIn(alice, space, bob.did)
      return () => done(alice.call(`${R}.space.delete`, { space }))
    },
  },
]

describeOnEachEngine('what a credential still had to live', (open) => {
  let database: TestDatabase
  let scene: Scene
  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
  })
  afterAll(() => scene.close())

  const verdictOf = ({ status, body }: { status: number; body: { error?: string } }) =>
    status === 200 ? 'in' : `${status} ${body.error}`

  const cases = LOSSES.flatMap((loss) => BINDINGS.map((binding) => [loss.says, binding, loss] as const))
  it.each(cases)('is lost by %s (%s)', async (_says, binding, { make, because, answers, isForAll }) => {
    const { alice, world, community } = scene
    const bob = await world.person()
    const forum = await world.makeSpace(alice, community)
    const lose = await make(scene, forum, bob)
    const held = await obtain(scene, { binding, person: bob, space: forum })
    const elsewhere = await world.makeSpace(alice, community)
    const others = await obtain(scene, { binding, person: alice, space: elsewhere })
    expect(verdictOf(await present(scene, held))).toBe('in')
    await lose()
    expect(verdictOf(await present(scene, held)), 'at once').toBe(answers ?? '401 CredentialRevoked')
    const marked = await eventually('a mark in the ledger', async () => (await revocations(database)).get(jtiOf(held)))
    expect(marked).toEqual({ because: because ?? 'UserNotAuthorized', by: community })
    expect(verdictOf(await present(scene, held)), 'later').toBe(answers ?? '401 CredentialRevoked')
    expect(verdictOf(await present(scene, others)), 'the others’').toBe(isForAll ? '401 CredentialRevoked' : 'in')
    if (isForAll) await done(alice.call(`${R}.community.freeze`, { community, isFrozen: false }))
  })

  describe('is not', () => {
    it.each(BINDINGS.map((binding) => [binding] as const))('lost by what gives more (%s)', async (binding) => {
      const { alice, world, community } = scene
      const bob = await world.person()
      const forum = await world.makeSpace(alice, community)
      await letIn(alice, forum, bob.did)
      const held = await obtain(scene, { binding, person: bob, space: forum })
      await done(alice.call(`${R}.member.put`, { space: forum, did: bob.did, role: 'moderator' }))
      await eventually('an empty list of notes', async () => {
        const { rows } = await sql`select from standing_moved`.execute(database.db)
        return rows.length === 0
      })
      expect(verdictOf(await present(scene, held))).toBe('in')
      expect((await revocations(database)).get(jtiOf(held))).toBeNull()
    })
  })
})
