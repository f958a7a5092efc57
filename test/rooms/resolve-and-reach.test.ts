/** `member.resolve` and `member.reach`: the same truth from the side of the space and from the side of the person. */
import { beforeAll, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import type * as reachLexicon from '../../src/lexicons/community/reeve/member/reach.ts'
import type * as resolveLexicon from '../../src/lexicons/community/reeve/member/resolve.ts'
import { wordOf } from '../../src/membership/basis.ts'
import { memberReach } from '../../src/membership/memberReach.ts'
import { memberResolve } from '../../src/membership/memberResolve.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { SealedWords } from '../../src/platform/sealed-words.ts'
import { Unavailable } from '../../src/refusals.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  makeForum,
  makeRoleSpace,
  nest,
  openCommunity,
  put,
  type Roll,
  remove,
  rollOn,
} from '../kit/roll.ts'
import { verdictOf } from '../kit/verdicts.ts'

describeOnEachEngine('who stands in a space, and where somebody stands', (open) => {
  let db: Db
  let roll: Roll
  let community: Community

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
  })

  const resolve = (actor: Did, space: SpaceUri, more: object = {}) =>
    memberResolve(roll, actor, { space, limit: 100, ...more } as resolveLexicon.$Params)
  const reach = (actor: Did, did: Did, more: object = {}) =>
    memberReach(roll, actor, { community: community.did, did, limit: 1000, ...more } as reachLexicon.$Params)

  async function pagesOf(space: SpaceUri, limit: number, between: (page: number) => Promise<unknown> = async () => {}) {
    const seen: Did[] = []
    let cursor: string | undefined
    for (let page = 0; page < 1_000; page++) {
      const answer = await resolve(community.founder, space, { limit, ...(cursor ? { cursor } : {}) })
      expect(answer.members.length).toBeLessThanOrEqual(limit)
      seen.push(...answer.members.map(({ did }) => did as Did))
      cursor = answer.cursor
      if (cursor === undefined) return seen
      await between(page)
    }
    throw new Error('pages without an end')
  }

  it('says of everybody what they may do, whichever way they came', async () => {
    const [forum, crew] = [await makeForum(roll, community, 'a'), await makeRoleSpace(roll, community, 'crew-a')]
    await nest(roll, community.did, { into: forum, from: crew, role: 'writer', holding: 'members.read' })
    const [direct, nested, short] = [freshDid(), freshDid(), freshDid()]
    await put(roll, community.founder, forum, direct, 'reader')
    await put(roll, community.founder, crew, nested, 'member')
    await put(roll, community.founder, crew, short, 'writer')
    const { members } = await resolve(community.founder, forum)
    const of = (did: Did) => members.find((member) => member.did === did)?.actions
    expect(of(direct)).toEqual(['read'])
    expect(of(nested)).toEqual(['read', 'write'])
    expect(of(short)).toBeUndefined()
    expect(of(community.founder)).toContain('community.transfer')
    const writers = await resolve(community.founder, forum, { action: 'write' })
    expect(writers.members.map(({ did }) => did)).toEqual([nested, community.founder].toSorted())
    expect((await reach(nested, nested)).spaces.map(({ uri }) => uri)).toEqual([forum, crew].toSorted())
    expect((await reach(short, short)).spaces.map(({ uri }) => uri)).toEqual([crew])
  })

  it('pages over everybody who stays, each once, whoever comes and goes meanwhile', async () => {
    const forum = await makeForum(roll, community, 'paged')
    const crews = [await makeRoleSpace(roll, community, 'p1'), await makeRoleSpace(roll, community, 'p2')]
    for (const from of crews) await nest(roll, community.did, { into: forum, from, role: 'reader' })
    const people = Array.from({ length: 30 }, freshDid)
    for (const [at, did] of people.entries()) {
      for (const space of [crews[at % 2] ?? forum, ...(at % 3 === 0 ? [forum, ...crews] : [])]) {
        await put(roll, community.founder, space, did, 'reader')
      }
    }
    const everybody = [...people, community.founder].toSorted()
    for (const limit of [1, 7, 31, 100]) expect(await pagesOf(forum, limit)).toEqual(everybody)

    const passing = freshDid()
    const seen = await pagesOf(forum, 4, async (page) =>
      page % 2 === 0
        ? put(roll, community.founder, forum, passing, 'reader')
        : remove(roll, community.founder, forum, passing),
    )
    expect(seen.filter((did) => did !== passing)).toEqual(everybody)
    expect(seen.filter((did) => did === passing).length).toBeLessThanOrEqual(1)
  })

  it('shows by its cursor nobody, and takes none that was made up or is another list’s', async () => {
    const [forum, other] = [await makeForum(roll, community, 'sealed'), await makeForum(roll, community, 'sealed-too')]
    for (const space of [forum, other])
      for (let at = 0; at < 3; at++) await put(roll, community.founder, space, freshDid(), 'reader')
    const [page, elsewhere] = [
      await resolve(community.founder, forum, { limit: 1 }),
      await resolve(community.founder, other, { limit: 1 }),
    ]
    const seen = Buffer.from(page.cursor ?? '', 'base64url').toString('latin1')
    expect(seen).not.toContain('did:')
    for (const cursor of [freshDid(), 'x', elsewhere.cursor]) {
      expect(await verdictOf(() => resolve(community.founder, forum, { cursor }))).toBe('InvalidRequest')
    }
  })

  it('finds the one who stands there among very many whose time is over', async () => {
    const forum = await makeForum(roll, community, 'faded')
    const past = { since: isoOf(roll.clock.nowMs() - 2000), until: isoOf(roll.clock.nowMs() - 1000) }
    const faded = Array.from({ length: 40 }, freshDid)
    for (const did of faded) await put(roll, community.founder, forum, did, 'reader', past)
    expect(await pagesOf(forum, 1)).toEqual([community.founder])
  })

  it('shows others only where the one who asks may see the roster', async () => {
    const [seen, unseen] = [await makeForum(roll, community, 'seen'), await makeForum(roll, community, 'unseen')]
    const [bob, viewer, reader] = [freshDid(), freshDid(), freshDid()]
    for (const space of [seen, unseen]) await put(roll, community.founder, space, bob, 'writer')
    await put(roll, community.founder, seen, viewer, 'member')
    await put(roll, community.founder, seen, reader, 'reader')
    expect((await reach(viewer, bob)).spaces).toEqual([{ uri: seen, actions: ['read', 'write'] }])
    expect((await reach(reader, bob)).spaces).toEqual([])
    expect((await reach(bob, bob, { action: 'write' })).spaces.map(({ uri }) => uri)).toEqual([seen, unseen].toSorted())
    expect(await verdictOf(() => reach(freshDid(), bob))).toBe('NotFound')
    expect(await verdictOf(() => resolve(freshDid(), seen))).toBe('NotFound')
    expect(await verdictOf(() => resolve(reader, seen))).toBe('Forbidden')
    expect(await verdictOf(() => resolve(community.founder, seen, { action: 'magic' }))).toBe('InvalidRequest')
    expect(await verdictOf(() => reach(bob, bob, { action: 'magic' }))).toBe('InvalidRequest')
    expect(await verdictOf(() => resolve(community.founder, `${seen}-not` as SpaceUri))).toBe('NotFound')
  })

  it('pages over the spaces of somebody who stands in many', async () => {
    const bob = freshDid()
    const spaces: string[] = []
    for (let at = 0; at < 9; at++) {
      const space = await makeForum(roll, community, `many-${at}`)
      await put(roll, community.founder, space, bob, 'reader')
      spaces.push(space)
    }
    const seen: string[] = []
    for (let cursor: string | undefined, page = 0; page < 20; page++) {
      const answer = await reach(bob, bob, { limit: 4, ...(cursor ? { cursor } : {}) })
      seen.push(...answer.spaces.map(({ uri }) => uri))
      cursor = answer.cursor
      if (cursor === undefined) break
    }
    expect(seen).toEqual(spaces.toSorted())
  })

  it('answers no older than what was seen before, and says so when the database is', async () => {
    const forum = await makeForum(roll, community, 'seen-before')
    const bob = freshDid()
    await put(roll, community.founder, forum, bob, 'reader')
    const { at, revision } = await resolve(community.founder, forum)
    const asks = (atLeast: string) => [
      () => memberCheck(roll, bob, { space: forum, did: bob, action: 'read', atLeast }),
      () => resolve(community.founder, forum, { atLeast }),
      () => reach(bob, bob, { atLeast }),
    ]
    for (const ask of asks(at)) expect(await ask()).toMatchObject({ revision, at })
    const ahead = wordOf(roll, [{ community: community.did, revision: revision + 1 }])
    for (const ask of asks(ahead)) await expect(ask()).rejects.toThrow(Unavailable)
    await put(roll, community.founder, forum, freshDid(), 'reader')
    for (const ask of asks(ahead)) expect(await ask()).toMatchObject({ revision: revision + 1 })
    const ofAnotherInstance = wordOf({ words: new SealedWords('another') }, [{ community: community.did, revision }])
    const forAnotherUse = roll.words.seal('a cursor', `${community.did} ${revision}`)
    for (const wrong of ['', 'x', '%%', at.slice(0, -2), ofAnotherInstance, forAnotherUse]) {
      for (const ask of asks(wrong)) expect(await verdictOf(ask), wrong).toBe('InvalidRequest')
    }
  })

  it('walks from a community’s people when a space is fed by many, and gives the same', async () => {
    const crowd = await openCommunity(roll)
    const hall = await makeForum(roll, crowd, 'hall')
    const wing = await makeRoleSpace(roll, crowd, 'wing')
    await nest(roll, crowd.did, { into: hall, from: wing, role: 'member' })
    const people = Array.from(
      { length: 21_000 },
      (_none, at) => `did:web:p${String(at).padStart(5, '0')}.example` as Did,
    )
    await withTransaction(
      db,
      async (tx) => {
        for (let at = 0; at < people.length; at += 1_000) {
          const rows = people.slice(at, at + 1_000).map((did) => ({
            ...{ into_space: wing, did, community: crowd.did, role: 'reader', since_ms: null, until_ms: null },
            ...{ added_by: crowd.founder, added_at_ms: 0 },
          }))
          await tx.insertInto('person_edge').values(rows).execute()
        }
      },
      { isPatient: true },
    )
    const first = await memberResolve(roll, crowd.founder, { space: hall, limit: 1000 })
    const second = await memberResolve(roll, crowd.founder, { space: hall, limit: 1000, cursor: first.cursor ?? '' })
    const everybody = [...people, crowd.founder].toSorted()
    expect([...first.members, ...second.members].map(({ did }) => did)).toEqual(everybody.slice(0, 2000))
  })
})
