/** What goes wrong at a PDS whose spaces are kept from here, and who is hurt by none of it. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Did, parseDid, type SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import type { Pds, PdsAnswer } from '../../src/steering/pds.ts'
import { steeringApply } from '../../src/steering/steeringApply.ts'
import { steeringGetSpace } from '../../src/steering/steeringGetSpace.ts'
import { steeringListDifferences } from '../../src/steering/steeringListDifferences.ts'
import { steeringLook } from '../../src/steering/steeringLook.ts'
import { steeringRemove } from '../../src/steering/steeringRemove.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { type PlayedSimplespaces, SETTINGS } from '../kit/played-simplespaces.ts'
import { type Community, once, put, remove, wordsOf } from '../kit/roll.ts'
import {
  bindForum,
  changePast,
  connect,
  openAccount,
  otherwise,
  people,
  playedOf,
  playedPds,
  QUICK,
  type Steered,
  settle,
  steer,
  steeringOn,
} from '../kit/steered.ts'

const DAY_MS = 24 * 60 * 60 * 1000

describeOnEachEngine('a PDS with its troubles', (open) => {
  let db: Db
  let played: PlayedSimplespaces
  let ctx: Steered
  let community: Community
  let owner: Did
  let space: SpaceUri
  let folk: Did[]
  let scopes: readonly string[] | null
  /** What the port answers in place of the PDS. */
  let spoil: (nsid: string, params: Readonly<Record<string, string>>) => PdsAnswer | null

  beforeAll(async () => {
    db = (await open()).db
  })
  beforeEach(async () => {
    // What the tests before have left is nothing for the worker of this one.
    await db.deleteFrom('steered_space').execute()
    // The same time there as here: for how long either waits is up to each test.
    played = playedOf('october', { nowMs: () => ctx.clock.nowMs() })
    scopes = null
    spoil = () => null
    const plain = playedPds(
      played,
      () => scopes,
      () => ctx.clock.nowMs(),
    )
    const pds: Pds = {
      call: async (did, call) =>
        spoil(call.nsid.slice('com.atproto.simplespace.'.length), call.params ?? {}) ?? plain.call(did, call),
    }
    ctx = steeringOn(db, pds)
    community = await openAccount(ctx)
    owner = community.founder
    space = await bindForum(ctx, community)
    folk = people(40)
  })
  const shown = async () => (await steeringGetSpace(ctx, owner, { space })).steered
  const alarms = async () => (await shown()).alarms.map(({ name }) => name)
  const enterAll = (some: readonly Did[]) =>
    changePast(ctx, community.did, (tx) =>
      tx
        .insertInto('person_edge')
        .values(
          some.map((did) => ({
            ...{ into_space: space, did, community: community.did, role: 'member' },
            ...{ since_ms: null, until_ms: null, added_by: owner, added_at_ms: 0 },
          })),
        )
        .execute(),
    )
  const kept = async (some: readonly Did[] = folk) => {
    await enterAll(some)
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    expect(await otherwise(ctx, played, space, [owner, ...some])).toEqual([])
  }
  const later = (ms: number) => ctx.clock.moveMs(ms)

  it('obeys a PDS that takes no more, and comes to its end all the same', async () => {
    await enterAll(folk)
    await steer(ctx, owner, space, 'projection')
    played.limitTo({ points: 15, perSec: 2 })
    let over = 0
    for (let round = 0; played.spaces().length === 0 || played.members(space).size < 41; round++) {
      await settle(ctx, QUICK, 1)
      const refused = played.calls.filter(({ answer }) => answer.status === 429).length
      // Those that were under way together may have been too many; nobody goes on after that.
      expect(refused - over).toBeLessThanOrEqual(4)
      over = refused
      // Of fifteen calls that it takes in a window, some look and most let somebody in.
      expect(round).toBeLessThan(15)
      later(2_100)
    }
    played.limitTo(null)
    expect(await otherwise(ctx, played, space, [owner, ...folk])).toEqual([])
  })

  it.each(['hang', 'cut', { status: 500 }] as const)(
    'makes calls again that ended with %j, done or not',
    async (how) => {
      await kept()
      for (const isDone of [false, true]) {
        played.trouble({ how, times: 3, isDone, nsid: 'com.atproto.simplespace.putMember' })
        played.trouble({ how, times: 2, isDone, nsid: 'com.atproto.simplespace.removeMember' })
        const more = people(10)
        await enterAll(more)
        for (const did of folk.splice(0, 3)) {
          await remove(ctx, owner, space, did)
          folk.push(...more.splice(0, 1))
        }
        for (let at = 0; at < 8; at++) {
          await settle(ctx, QUICK, 1)
          later(3_600_000 / 60)
        }
        expect(await otherwise(ctx, played, space, [owner, ...folk, ...more])).toEqual([])
        expect(await alarms()).toEqual([])
      }
    },
  )

  it('puts somebody back who was taken off by a call whose answer was lost', async () => {
    await kept()
    const [bob] = folk as [Did]
    played.trouble({ how: 'cut', isDone: true, nsid: 'com.atproto.simplespace.removeMember' })
    await remove(ctx, owner, space, bob)
    await settle(ctx, QUICK, 1)
    expect(played.members(space).has(bob)).toBe(false)
    await put(ctx, owner, space, bob, 'member')
    later(60_000)
    await settle(ctx)
    expect(played.members(space).has(bob)).toBe(true)
  })

  it('tells of a grant that is lost or too narrow, and goes on when it is whole again', async () => {
    await kept()
    const [bob] = folk as [Did]
    await remove(ctx, owner, space, bob)
    scopes = ['atproto']
    await settle(ctx)
    expect(await alarms()).toEqual(['GrantTooNarrow'])
    scopes = null
    await connect(db, community.did, 'lost')
    later(600_000)
    await settle(ctx)
    expect(await alarms()).toEqual(['NotConnected'])
    const calls = played.count()
    expect(await wordsOf(() => steer(ctx, owner, space, 'hook'))).toMatch(/^NotConnected/)
    await connect(db, community.did)
    later(600_000)
    await settle(ctx)
    expect(played.count()).toBeGreaterThan(calls)
    expect(await alarms()).toEqual([])
    expect(played.members(space).has(bob)).toBe(false)
  })

  it('calls nobody for an account that took its consent back', async () => {
    await kept()
    await changePast(ctx, community.did, (tx) =>
      tx.updateTable('community_revision').set({ released_at_ms: 1 }).where('community', '=', community.did).execute(),
    )
    const calls = played.count()
    await remove(ctx, owner, space, folk[0] as Did)
    await settle(ctx)
    later(2 * DAY_MS)
    await settle(ctx)
    expect(played.count()).toBe(calls)
    expect(await alarms()).toEqual(['Released'])
  })

  it('is not made anew behind anybody’s back where it was deleted by hand', async () => {
    await kept()
    played.byHand.deleteSpace(space)
    await remove(ctx, owner, space, folk[0] as Did)
    await settle(ctx)
    later(2 * DAY_MS)
    await settle(ctx)
    expect(played.has(space)).toBe(false)
    expect(await shown()).toMatchObject({ state: 'missing', alarms: [{ name: 'GoneAtPds' }] })
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    expect(await otherwise(ctx, played, space, [owner, ...folk])).toEqual([])
    expect(await shown()).toMatchObject({ state: 'kept', alarms: [] })
  })

  it('is deleted there after its end here, and left there when it was let go of before', async () => {
    await kept()
    const other = await bindForum(ctx, community, 'other')
    await steer(ctx, owner, other, 'hook')
    await settle(ctx)
    await steeringRemove(ctx, owner, { space: other }, once())
    for (const uri of [space, other]) await spaceDelete(ctx, owner, { space: uri }, once())
    await settle(ctx)
    expect(played.spaces()).toEqual([other])
    expect(
      await db.selectFrom('steered_space').select('space').where('community', '=', community.did).execute(),
    ).toEqual([])
  })

  it('goes on with everybody else when somebody isn’t taken', async () => {
    const odd = folk[3] as Did
    spoil = (nsid) =>
      nsid === 'putMember' && oddCalls.next().value ? { is: 'refused', error: 'InvalidRequest', status: 400 } : null
    const oddCalls = (function* () {
      for (let at = 0; ; at++) yield at === 7
    })()
    await enterAll(folk)
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    expect(played.members(space).size).toBe(40)
    expect(await shown()).toMatchObject({ progress: { refused: 1, waiting: 0 }, alarms: [{ name: 'PeopleRefused' }] })
    later(DAY_MS + 2 * 3_600_000)
    await settle(ctx)
    expect(await otherwise(ctx, played, space, [owner, odd, ...folk])).toEqual([])
    expect(await alarms()).toEqual([])
  })

  it('takes nobody off when the roster was read and nobody was on it', async () => {
    await kept()
    await changePast(ctx, community.did, async (tx) => {
      await tx.deleteFrom('person_edge').where('community', '=', community.did).execute()
    })
    await settle(ctx)
    later(2 * DAY_MS)
    await settle(ctx)
    expect(played.members(space).size).toBe(41)
    expect(played.count('removeMember')).toBe(0)
    const row = await db.selectFrom('steered_space').select('fault').where('space', '=', space).executeTakeFirst()
    expect(row?.fault).toBe('EmptyRoster')
  })

  describe('that was changed by hand', () => {
    const look = async () => {
      const { look: name } = await steeringLook(ctx, owner, { space })
      await settle(ctx)
      return name
    }
    const differencesOf = async (name: string) =>
      (await steeringListDifferences(ctx, owner, { space, look: name, limit: 100 })).differences

    it('is shown first, and put right when an owner says so', async () => {
      await kept()
      const [gone, less, , ...rest] = folk as [Did, Did, Did, ...Did[]]
      const strangers = people(30)
      played.byHand.removeMember(space, gone)
      played.byHand.putMember(space, less, { read: true, write: false })
      for (const did of strangers) played.byHand.putMember(space, did)
      played.byHand.change(space, { readPolicy: SETTINGS.public })
      const before = played.count('putMember') + played.count('removeMember') + played.count('updateSpace')
      const name = await look()
      const { look: newest } = await steeringGetSpace(ctx, owner, { space })
      expect(newest).toMatchObject({ name, state: 'shown', askedBy: owner, read: 70 })
      expect(newest).toMatchObject({ missing: 1, extra: 30, differing: 1, settings: ['readPolicy'] })
      const differences = await differencesOf(name)
      expect(differences).toHaveLength(32)
      expect(differences.find(({ did }) => did === less)).toMatchObject({
        declared: ['read', 'write'],
        actual: ['read'],
      })
      expect(differences.find(({ did }) => did === gone)).toMatchObject({ declared: ['read', 'write'], actual: [] })
      expect(played.count('putMember') + played.count('removeMember') + played.count('updateSpace')).toBe(before)
      const welcome = strangers[0] as Did
      await put(ctx, owner, space, welcome, 'member')
      await steeringApply(ctx, owner, { space, look: name }, once())
      await settle(ctx)
      expect(await otherwise(ctx, played, space, [owner, ...rest, gone, less, ...strangers])).toEqual([])
      expect(played.members(space).has(welcome)).toBe(true)
      expect(played.config(space).readPolicy).toEqual(SETTINGS.memberList)
      expect(await wordsOf(() => steeringApply(ctx, owner, { space, look: name }, once()))).toMatch(/^LookNotOpen/)
    })

    it('is put right once a day by itself, up to a few removals', async () => {
      await kept()
      const strangers = people(25)
      for (const did of strangers) played.byHand.putMember(space, did)
      played.byHand.removeMember(space, folk[0] as Did)
      played.byHand.change(space, { writePolicy: SETTINGS.public, appAccess: SETTINGS.allowList([]) })
      later(DAY_MS + 2 * 3_600_000)
      await settle(ctx)
      expect(await otherwise(ctx, played, space, [owner, ...folk, ...strangers])).toEqual([])
      expect(played.config(space)).toMatchObject({ writePolicy: SETTINGS.memberList, appAccess: SETTINGS.open })
    })

    it('waits for an owner where more would be taken off', async () => {
      await kept()
      const strangers = people(26)
      for (const did of strangers) played.byHand.putMember(space, did)
      later(DAY_MS + 2 * 3_600_000)
      await settle(ctx)
      later(DAY_MS + 2 * 3_600_000)
      await settle(ctx)
      expect(played.count('removeMember')).toBe(0)
      expect(await shown()).toMatchObject({ progress: { held: 26 }, alarms: [{ name: 'RemovalsWait' }] })
      const { look: newest } = await steeringGetSpace(ctx, owner, { space })
      await steeringApply(ctx, owner, { space, look: newest?.name ?? '' }, once())
      await settle(ctx)
      expect(await otherwise(ctx, played, space, [owner, ...folk, ...strangers])).toEqual([])
      expect(await alarms()).toEqual([])
    })

    const broken: readonly [string, (at: number, cursor: string | undefined) => PdsAnswer | null][] = [
      ['fails at its third page', (at) => (at === 3 ? { is: 'failed', because: 'status 500', pauseMs: null } : null)],
      ['stops at its third page with something else', (at) => (at === 3 ? answered({ members: 'none' }) : null)],
      ['says the first page again', (at) => (at === 2 ? page(folk.slice(0, 2)) : null)],
      ['has somebody twice on a page', (at) => (at === 1 ? page([folk[0], folk[0]]) : null)],
      ['has somebody who is no DID', (at) => (at === 1 ? page(['did:plc:short']) : null)],
      ['has a cursor that stands still', (at, cursor) => (at === 2 ? page(folk.slice(20, 22), cursor) : null)],
      ['has no flags', (at) => (at === 1 ? answered({ members: [{ did: folk[0] }], cursor: folk[0] }) : null)],
    ]
    const answered = (body: unknown): PdsAnswer => ({ is: 'answered', body, room: null })
    const page = (dids: readonly (string | undefined)[], cursor: string | undefined = dids.at(-1)) =>
      answered({ members: dids.map((did) => ({ did, read: true, write: true })), cursor })
    /** The PDS as it is, with pages of ten. */
    const inTens = (cursor: string | undefined) =>
      page(
        [...played.members(space).keys()]
          .sort()
          .filter((did) => did > (cursor ?? ''))
          .slice(0, 10),
      )

    it.each(broken)('and whose list %s is taken for nothing', async (_how, spoilt) => {
      await kept()
      for (const did of people(3)) played.byHand.putMember(space, did)
      let at = 0
      spoil = (nsid, params) => {
        if (nsid !== 'listMembers') return null
        at += 1
        return spoilt(at, params['cursor']) ?? inTens(params['cursor'])
      }
      const before = played.count('putMember') + played.count('removeMember')
      const name = await look()
      expect((await steeringGetSpace(ctx, owner, { space })).look).toMatchObject({ name, state: 'failed' })
      expect(await wordsOf(() => differencesOf(name))).toMatch(/^LookNotOpen/)
      expect(await wordsOf(() => steeringApply(ctx, owner, { space, look: name }, once()))).toMatch(/^LookNotOpen/)
      at = 0
      later(DAY_MS + 2 * 3_600_000)
      await settle(ctx, QUICK, 1)
      expect(played.count('putMember') + played.count('removeMember')).toBe(before)
      spoil = (nsid, params) => (nsid === 'listMembers' ? inTens(params['cursor']) : null)
      later(2 * 3_600_000)
      await settle(ctx)
      expect(await otherwise(ctx, played, space, [owner, ...folk])).toEqual([])
      expect(played.members(space).size).toBe(41)
    })

    it('is read anew where another process ended in the middle of it', async () => {
      await kept()
      const { look: name } = await steeringLook(ctx, owner, { space })
      const [stray] = people(1) as [Did]
      await db.insertInto('steered_actual').values({ look: name, did: stray, has: 3, wants: null }).execute()
      await db.updateTable('steered_look').set({ read: 1 }).where('id', '=', name).execute()
      await settle(ctx)
      const { look: newest } = await steeringGetSpace(ctx, owner, { space })
      expect(newest).toMatchObject({ name, state: 'shown', read: 41, missing: 0, extra: 0, differing: 0 })
    })

    it('is looked at by one at a time, and by those who configure it', async () => {
      await kept()
      await steeringLook(ctx, owner, { space })
      expect(await wordsOf(() => steeringLook(ctx, owner, { space }))).toMatch(/^LookWaits/)
      const [bob] = folk as [Did]
      expect(await wordsOf(() => steeringLook(ctx, bob, { space }))).toMatch(/^Forbidden/)
      await put(ctx, owner, community.roster, bob, 'member')
      const nobody = parseDid(`did:plc:${'q'.repeat(24)}`) as Did
      expect(await wordsOf(() => steeringGetSpace(ctx, nobody, { space }))).toMatch(/^NotFound/)
      expect(await wordsOf(() => steeringApply(ctx, bob, { space, look: 'x' }, once()))).toMatch(/^Forbidden/)
      expect(await wordsOf(() => steer(ctx, bob, space, 'hook'))).toMatch(/^Forbidden/)
    })
  })
})
