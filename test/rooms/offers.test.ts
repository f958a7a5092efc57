/** `federation.offer`, `withdraw` and `listOffers`: two communities on one Reeve, each keeping its own side. */
import { sql } from 'kysely'
import { beforeAll, expect, it } from 'vitest'
import { mayRead as decide, loadReadFacts } from '../../src/access/may-read.ts'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { federationListOffers } from '../../src/federation/federationListOffers.ts'
import { federationOffer } from '../../src/federation/federationOffer.ts'
import { federationWithdraw } from '../../src/federation/federationWithdraw.ts'
import type * as putLexicon from '../../src/lexicons/community/reeve/member/put.ts'
import type * as removeLexicon from '../../src/lexicons/community/reeve/member/remove.ts'
import { Graphs } from '../../src/membership/graph.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { memberRemove } from '../../src/membership/memberRemove.ts'
import { memberResolve } from '../../src/membership/memberResolve.ts'
import { lockRevisions } from '../../src/membership/store.ts'
import { type Did, parseSpaceUri, type SpaceName, type SpaceUri } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  makeForum,
  makeRoleSpace,
  once,
  openCommunity,
  put,
  type Roll,
  remove,
  rollOn,
} from '../kit/roll.ts'
import { tracelessRefusalOf, type Verdict, verdictOf } from '../kit/verdicts.ts'

/** Graphs that note which communities are asked about. */
class NotedGraphs extends Graphs {
  readonly asked: (readonly Did[])[] = []

  override atOneRevision: Graphs['atOneRevision'] = (db, community, read, options) =>
    super.atOneRevision(
      db,
      community,
      (communities, known) => {
        this.asked.push(communities)
        return read(communities, known)
      },
      options,
    )
}

describeOnEachEngine('spaces of another community', (open, engine) => {
  let db: Db
  let roll: Roll
  let anglers: Community
  let boaters: Community
  let crew: SpaceUri
  let harbour: SpaceUri

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    anglers = await openCommunity(roll)
    boaters = await openCommunity(roll)
    crew = await makeRoleSpace(roll, boaters, 'crew')
    harbour = await makeForum(roll, anglers, 'harbour')
  })

  const offer = (actor: Did, space: string, to: Did) => federationOffer(roll, actor, { space, to }, once())
  const withdraw = (actor: Did, space: string, to: Did) => federationWithdraw(roll, actor, { space, to }, once())
  const nest = (actor: Did, input: object) =>
    memberPut(
      roll,
      actor,
      { space: harbour, memberSpace: crew, role: 'writer', ...input } as putLexicon.$InputBody,
      once(),
    )
  const may = async (did: Did, action = 'read') =>
    (await memberCheck(roll, did, { space: harbour, did, action })).allowed

  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  it('come in after an offer, with reading and writing at most, and go when either side likes', async () => {
    const bob = freshDid()
    await put(roll, boaters.founder, crew, bob, 'moderator')
    expect(await refusalOf(() => nest(anglers.founder, {}))).toBe('NotFound')
    await offer(boaters.founder, crew, anglers.did)
    for (const role of ['member', 'moderator', 'admin']) {
      expect(await refusalOf(() => nest(anglers.founder, { role }))).toBe('InvalidRequest')
    }
    await nest(anglers.founder, {})
    expect([await may(bob), await may(bob, 'write')]).toEqual([true, true])
    for (const action of ['members.read', 'members.ban']) expect(await may(bob, action)).toBe(false)
    const { members } = await memberResolve(roll, anglers.founder, { space: harbour, limit: 100 })
    expect(members.find(({ did }) => did === bob)?.actions).toEqual(['read', 'write'])

    await withdraw(boaters.founder, crew, anglers.did)
    expect(await may(bob)).toBe(false)
    await offer(boaters.founder, crew, anglers.did)
    expect(await may(bob)).toBe(true)
    await remove(roll, boaters.founder, crew, bob)
    expect(await may(bob)).toBe(false)
  })

  it('leave their own community’s affairs out of the reasons, and an early end of theirs ends what rests on it', async () => {
    const bob = freshDid()
    const until = roll.clock.nowMs() + 60_000
    await offer(boaters.founder, crew, anglers.did)
    await nest(anglers.founder, {})
    await put(roll, boaters.founder, crew, bob, 'member', { until: isoOf(until) })
    const { because } = await memberCheck(roll, bob, { space: harbour, did: bob, action: 'read' })
    expect(because).toEqual([{ rule: 'openToApps' }, { rule: 'edge', into: harbour, from: crew, role: 'writer' }])
    const read = await loadReadFacts(roll, parseSpaceUri(harbour) as SpaceName, bob)
    if (read.space !== 'live') throw new Error('not there')
    const decision = decide(read.facts, { did: bob, clientId: null })
    expect(decision.ok && decision.value.untilMs).toBe(until)
    expect(read.basis.map(({ community }) => community).toSorted()).toEqual([anglers.did, boaters.did].toSorted())
  })

  it('are shown to those who run either side', async () => {
    const admin = freshDid()
    await put(roll, anglers.founder, anglers.roster, admin, 'admin')
    await offer(boaters.founder, crew, anglers.did)
    const offeredAt = isoOf(roll.clock.nowMs())
    const entry = { space: crew, from: boaters.did, to: anglers.did, offeredAt }
    const offers = async (actor: Did, community: Did, more: object = {}) =>
      (await federationListOffers(roll, actor, { community, limit: 100, ...more })).offers
    // By whose hand the other community offers it is its own affair.
    expect(await offers(admin, anglers.did)).toEqual([entry])
    expect(await offers(boaters.founder, boaters.did)).toEqual([{ ...entry, offeredBy: boaters.founder }])
    expect(await offers(boaters.founder, boaters.did, { cursor: `${crew} ${anglers.did}` })).toEqual([])
    const member = freshDid()
    await put(roll, anglers.founder, anglers.roster, member, 'member')
    expect(await verdictOf(() => offers(member, anglers.did))).toBe('Forbidden')
    expect(await verdictOf(() => offers(freshDid(), anglers.did))).toBe('NotFound')
  })

  it('are offered only by those who may nest there, and to a community that is here', async () => {
    const moderator = freshDid()
    await put(roll, boaters.founder, crew, moderator, 'moderator')
    const refused: [() => Promise<unknown>, Verdict][] = [
      [() => offer(moderator, crew, anglers.did), 'Forbidden'],
      [() => withdraw(moderator, crew, anglers.did), 'Forbidden'],
      [() => offer(anglers.founder, crew, anglers.did), 'NotFound'],
      [() => withdraw(anglers.founder, crew, anglers.did), 'NotFound'],
      [() => offer(boaters.founder, `${crew}-not`, anglers.did), 'NotFound'],
      [() => offer(boaters.founder, crew, boaters.did), 'InvalidRequest'],
      [() => offer(boaters.founder, crew, freshDid()), 'UnknownCommunity'],
    ]
    for (const [change, verdict] of refused) expect(await refusalOf(change)).toBe(verdict)
  })

  it('are read for nothing but the spaces they lead to, and never for a change', async () => {
    const quay = await makeForum(roll, anglers, 'quay')
    await offer(boaters.founder, crew, anglers.did)
    await nest(anglers.founder, {})
    const graphs = new NotedGraphs()
    const noting = { ...roll, graphs }
    const { founder } = anglers
    const asking = { did: founder, action: 'read' }
    await memberCheck(noting, founder, { space: quay, ...asking })
    await put(noting, founder, harbour, freshDid(), 'reader')
    await remove(noting, founder, harbour, freshDid())
    expect(graphs.asked.flat().filter((did) => did !== anglers.did)).toEqual([])
    await memberCheck(noting, founder, { space: harbour, ...asking })
    expect(graphs.asked.flat()).toContain(boaters.did)
  })

  it('go with them when they are deleted, and so do their entries and offers', async () => {
    const space = await makeRoleSpace(roll, boaters, 'short')
    const pier = await makeForum(roll, boaters, 'pier')
    await offer(boaters.founder, space, anglers.did)
    const local = { space: pier, memberSpace: space, role: 'reader' } as putLexicon.$InputBody
    await memberPut(roll, boaters.founder, local, once())
    await nest(anglers.founder, { memberSpace: space })
    await spaceDelete(roll, boaters.founder, { space }, once())
    const left = async (table: 'space_edge' | 'offer', column: 'from_space' | 'space') =>
      (await db.selectFrom(table).selectAll().where(sql.ref(column), '=', space).execute()).length
    // What stands on the other community's roster is theirs to take off.
    expect([await left('space_edge', 'from_space'), await left('offer', 'space')]).toEqual([1, 0])
    const off = { space: harbour, memberSpace: space } as removeLexicon.$InputBody
    await memberRemove(roll, anglers.founder, off, once())
    expect(await left('space_edge', 'from_space')).toBe(0)
  })

  if (engine === 'postgres') {
    it('are offered also while the other community is being changed', async () => {
      const space = await makeRoleSpace(roll, boaters, 'meanwhile')
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
      const offering = begun.then(() => offer(boaters.founder, space, anglers.did))
      await withTransaction(db, async (tx) => {
        await lockRevisions(tx, anglers.did)
        begin()
        expect((await offering).revision).toBeGreaterThan(0)
      })
    })
  }

  it('offered twice or taken back twice change nothing the second time', async () => {
    const space = await makeRoleSpace(roll, boaters, 'twice')
    const { revision } = await offer(boaters.founder, space, anglers.did)
    expect((await offer(boaters.founder, space, anglers.did)).revision).toBe(revision)
    expect((await withdraw(boaters.founder, space, anglers.did)).revision).toBe(revision + 1)
    expect((await withdraw(boaters.founder, space, anglers.did)).revision).toBe(revision + 1)
  })
})
