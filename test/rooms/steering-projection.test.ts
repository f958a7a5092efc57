/** Spaces kept at a played PDS of either generation: made, adopted, set, listed, and put right. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { appPutRule } from '../../src/apps/appPutRule.ts'
import { appSetAccess } from '../../src/apps/appSetAccess.ts'
import { communityFreeze } from '../../src/community/communityFreeze.ts'
import { publicPolicy } from '../../src/lexicons/com/atproto/simplespace/defs.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberUnban } from '../../src/membership/memberUnban.ts'
import { rolePut } from '../../src/membership/rolePut.ts'
import { type Did, managingAppOf, type SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { spaceGet } from '../../src/space/spaceGet.ts'
import { spaceUpdate } from '../../src/space/spaceUpdate.ts'
import { steeringGetSpace } from '../../src/steering/steeringGetSpace.ts'
import { GENERATIONS } from '../kit/asking-host.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { type PlayedSimplespaces, SETTINGS } from '../kit/played-simplespaces.ts'
import { type Community, freshDid, makeRoleSpace, nest, once, put, remove, SERVICE } from '../kit/roll.ts'
import {
  bindForum,
  openAccount,
  otherwise,
  people,
  playedOf,
  playedPds,
  type Steered,
  settle,
  steer,
  steeringOn,
} from '../kit/steered.ts'

const US = SETTINGS.managedBy(managingAppOf(SERVICE))
const PUBLIC = publicPolicy.$build({})

describeOnEachEngine('a space that is kept at its PDS', (open) => {
  let db: Db
  beforeAll(async () => {
    db = (await open()).db
  })

  describe.each(GENERATIONS)('of %s', (generation) => {
    let played: PlayedSimplespaces
    let ctx: Steered
    let community: Community
    let owner: Did

    beforeEach(async () => {
      await db.deleteFrom('steered_space').execute()
      played = playedOf(generation)
      ctx = steeringOn(db, playedPds(played))
      community = await openAccount(ctx)
      owner = community.founder
    })
    const shown = async (space: SpaceUri) => (await steeringGetSpace(ctx, owner, { space })).steered
    const ban = (scope: object, did: Did, more: object = {}) =>
      memberBan(ctx, owner, { ...scope, did, ...more } as Parameters<typeof memberBan>[2], once())
    const unban = (scope: object, did: Did) =>
      memberUnban(ctx, owner, { ...scope, did } as Parameters<typeof memberUnban>[2], once())

    it('is made there with its policies, and asks us when it is to ask', async () => {
      const space = await bindForum(ctx, community)
      expect((await steer(ctx, owner, space, 'hook')).steered).toMatchObject({ state: 'making', speaks: 'unknown' })
      await settle(ctx)
      expect(played.config(space)).toEqual({ readPolicy: US, writePolicy: US, appAccess: SETTINGS.open })
      expect(await shown(space)).toMatchObject({ state: 'kept', speaks: generation, mode: 'hook', alarms: [] })
      const calls = played.count()
      await settle(ctx)
      expect(played.count()).toBe(calls)
    })

    it('has a list like the roster, whatever is changed', async () => {
      const space = await bindForum(ctx, community)
      const [bob, rita, wanda, ...many] = people(130) as [Did, Did, Did, ...Did[]]
      await put(ctx, owner, space, bob, 'member')
      await put(ctx, owner, space, rita, 'reader')
      await rolePut(ctx, owner, { community: community.did, name: 'submitter', actions: ['write'] }, once())
      await put(ctx, owner, space, wanda, 'submitter')
      for (const did of many.slice(0, 60)) await put(ctx, owner, space, did, 'member')
      await steer(ctx, owner, space, 'projection')
      await settle(ctx)
      const everybody = [owner, community.did, bob, rita, ...many]
      expect(await otherwise(ctx, played, space, everybody)).toEqual([])
      expect(await shown(space)).toMatchObject({
        progress: { declared: generation === 'august' ? 63 : 64, waiting: 0 },
      })
      expect(played.members(space).has(wanda)).toBe(generation === 'october')
      await remove(ctx, owner, space, bob)
      await ban({ space }, rita)
      await put(ctx, owner, space, many[70] as Did, 'member')
      await settle(ctx)
      expect(await otherwise(ctx, played, space, everybody)).toEqual([])
      await unban({ space }, rita)
      await settle(ctx)
      expect(await otherwise(ctx, played, space, everybody)).toEqual([])
      expect(played.members(space).has(rita)).toBe(true)
      expect(played.members(space).has(community.did)).toBe(false)
    })

    it('follows spaces that are nested in it, and the clock', async () => {
      const space = await bindForum(ctx, community)
      const team = await makeRoleSpace(ctx, community, 'team')
      const [bob, ada] = people(2) as [Did, Did]
      await put(ctx, owner, team, bob, 'member')
      const until = new Date(ctx.clock.nowMs() + 60_000).toISOString()
      await put(ctx, owner, space, ada, 'member', { until })
      await steer(ctx, owner, space, 'projection')
      await settle(ctx)
      expect([...played.members(space).keys()].sort()).toEqual([owner, ada].sort())
      await nest(ctx, community.did, { into: space, from: team, role: 'member' })
      await settle(ctx)
      expect([...played.members(space).keys()].sort()).toEqual([owner, ada, bob].sort())
      ctx.clock.moveMs(61_000)
      await settle(ctx)
      expect([...played.members(space).keys()].sort()).toEqual([owner, bob].sort())
    })

    it('is set anew when its settings or its apps are', async () => {
      const space = await bindForum(ctx, community)
      await steer(ctx, owner, space, 'projection')
      await settle(ctx)
      expect(played.config(space).readPolicy).toEqual(SETTINGS.memberList)
      const app = 'https://app.example.com/client-metadata.json'
      await appSetAccess(ctx, owner, { space, mode: 'allowList' }, once())
      await appPutRule(ctx, owner, { space, clientId: app, verdict: 'allow' }, once())
      await spaceUpdate(ctx, owner, { space, readPolicy: PUBLIC, writePolicy: PUBLIC }, once())
      await settle(ctx)
      const { readPolicy, writePolicy, appAccess } = played.config(space)
      expect([readPolicy, writePolicy]).toEqual([SETTINGS.public, SETTINGS.public])
      expect(appAccess).toEqual(SETTINGS.allowList([app]))
    })

    it('is shown with its generation and with what holds not there, whoever looks, though it asks nobody', async () => {
      const space = await bindForum(ctx, community)
      const hostNow = async () => (await spaceGet(ctx, owner, { space })).host
      const names = (list: readonly { readonly name: string }[] = []) => list.map(({ name }) => name)
      await steer(ctx, owner, space, 'projection')
      await settle(ctx)
      await appPutRule(ctx, owner, { space, clientId: 'https://bad.example.com/client.json', verdict: 'deny' }, once())
      await appPutRule(ctx, owner, { space, host: 'worse.example.com', verdict: 'deny' }, once())
      await settle(ctx)
      const host = await hostNow()
      expect(host).toMatchObject({ keptAs: 'projection', speaks: generation })
      expect(host).not.toHaveProperty('askedAt')
      expect(names(host?.warnings)).toEqual(['ownWord'])
      const ofPeople = generation === 'august' ? ['writing', 'writersOnly'] : []
      const ofApps = ['deniedApps', 'appHosts', 'unprovenApps', 'writingApps']
      expect(names(host?.notEnforced)).toEqual(['takingBack', 'lag', ...ofPeople, ...ofApps])
      expect(host?.notEnforced).toEqual((await shown(space)).notEnforced)

      await steer(ctx, owner, space, 'hook')
      await settle(ctx)
      const asking = await hostNow()
      expect(asking).toMatchObject({ keptAs: 'hook', speaks: generation })
      expect(names(asking?.notEnforced)).toEqual([
        'takingBack',
        ...(generation === 'august' ? ['writing', 'unprovenApps'] : []),
        'writingApps',
      ])
      expect(asking?.notEnforced).toEqual((await shown(space)).notEnforced)
      expect(names(asking?.warnings)).toEqual(['remembers', 'downIsNo', 'ownWord', 'settling', 'neverAsked'])
    })

    it('that is open to everybody asks us while anybody is banned', async () => {
      const space = await bindForum(ctx, community, 'open', { readPolicy: PUBLIC, writePolicy: PUBLIC })
      const [mallory, carol] = people(2) as [Did, Did]
      await steer(ctx, owner, space, 'projection')
      await settle(ctx)
      expect(played.config(space).readPolicy).toEqual(SETTINGS.public)
      await ban({ community: community.did }, mallory)
      await settle(ctx)
      expect(played.config(space)).toMatchObject({ readPolicy: US, writePolicy: US })
      expect(await otherwise(ctx, played, space, [mallory, carol, owner])).toEqual([])
      await unban({ community: community.did }, mallory)
      await settle(ctx)
      expect(played.config(space).readPolicy).toEqual(SETTINGS.public)
      await ban({ space }, mallory, { until: new Date(ctx.clock.nowMs() + 30_000).toISOString() })
      await settle(ctx)
      expect(played.config(space).readPolicy).toEqual(US)
      ctx.clock.moveMs(31_000)
      await settle(ctx)
      expect(played.config(space).readPolicy).toEqual(SETTINGS.public)
    })

    it('that rests lets nobody in, and goes back to a list that is right', async () => {
      const space = await bindForum(ctx, community)
      const [bob, ada] = people(2) as [Did, Did]
      await put(ctx, owner, space, bob, 'member')
      await steer(ctx, owner, space, 'projection')
      await settle(ctx)
      await communityFreeze(ctx, owner, { community: community.did, isFrozen: true }, once())
      await settle(ctx)
      expect(played.config(space).readPolicy).toEqual(US)
      expect(await otherwise(ctx, played, space, [bob, ada])).toEqual([])
      await remove(ctx, owner, space, bob)
      await settle(ctx)
      expect(played.members(space).has(bob)).toBe(true)
      const calls = played.calls.length
      await communityFreeze(ctx, owner, { community: community.did, isFrozen: false }, once())
      await settle(ctx)
      expect(played.config(space).readPolicy).toEqual(SETTINGS.memberList)
      expect(played.members(space).has(bob)).toBe(false)
      expect(played.calls.slice(calls).map(({ name }) => name)).toEqual(['removeMember', 'updateSpace'])
    })

    it('is adopted when it is there, and nobody is taken off before an owner agrees', async () => {
      const space = await bindForum(ctx, community)
      const [bob, ...strangers] = people(4) as [Did, ...Did[]]
      await put(ctx, owner, space, bob, 'member')
      const pds = playedPds(played)
      const parts = { type: 'com.atmoboards.forum', spaceType: 'com.atmoboards.forum', skey: 'main' }
      const policies = { policy: SETTINGS.public, readPolicy: SETTINGS.public, writePolicy: SETTINGS.public }
      const body = { ...parts, ...policies, appAccess: SETTINGS.open }
      await pds.call(community.did, { nsid: 'com.atproto.simplespace.createSpace', body })
      for (const did of strangers) played.byHand.putMember(space, did)
      await steer(ctx, owner, space, 'projection')
      await settle(ctx)
      expect(played.config(space).readPolicy).toEqual(SETTINGS.memberList)
      expect(await shown(space)).toMatchObject({
        progress: { held: 3, waiting: 0 },
        alarms: [{ name: 'RemovalsWait' }],
      })
      expect(played.count('removeMember')).toBe(0)
      expect(await otherwise(ctx, played, space, [bob, owner, freshDid()])).toEqual([])
    })
  })
})
