/** `member.resolve` of a space to which very many others lead: read along the people of the community, a stretch at a time. */
import { beforeAll, expect, it } from 'vitest'
import type * as resolveLexicon from '../../src/lexicons/community/reeve/member/resolve.ts'
import { memberResolve } from '../../src/membership/memberResolve.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  insertNested,
  makeForum,
  makeRoleSpace,
  openCommunity,
  type Roll,
  rollOn,
} from '../kit/roll.ts'

const SPACES = 70

describeOnEachEngine('everybody in a space that is fed by very many', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let feeding: SpaceUri[]
  let wide: SpaceUri
  let aside: SpaceUri[]

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    wide = await makeForum(roll, community, 'wide')
    feeding = []
    for (let at = 0; at < SPACES; at++) feeding.push(await makeRoleSpace(roll, community, `feeding-${at}`))
    aside = []
    for (let at = 0; at < 2; at++) aside.push(await makeForum(roll, community, `aside-${at}`))
    await change(async (tx) => {
      for (const from of feeding) await insertNested(tx, community.did, { into: wide, from, role: 'reader' })
    }, 'graph')
  })

  /** Writes past the verdicts, with the numbers raised. */
  const change = (work: (tx: Parameters<Parameters<typeof withTransaction>[1]>[0]) => Promise<void>, what = 'roster') =>
    withTransaction(db, async (tx) => {
      await work(tx)
      await tx
        .updateTable('community_revision')
        .set((column) => ({
          revision: column('revision', '+', 1),
          graph_revision: column('graph_revision', '+', what === 'graph' ? 1 : 0),
        }))
        .where('community', '=', community.did)
        .execute()
    })

  const enter = (entries: readonly (readonly [space: SpaceUri | undefined, did: Did])[]) =>
    change(async (tx) => {
      const rows = entries.flatMap(([space, did]) => {
        const entry = { did, community: community.did, role: 'reader', since_ms: null, until_ms: null }
        return space ? [{ ...entry, into_space: space, added_by: community.founder, added_at_ms: 0 }] : []
      })
      for (let at = 0; at < rows.length; at += 500) {
        await tx
          .insertInto('person_edge')
          .values(rows.slice(at, at + 500))
          .execute()
      }
    })

  async function everybodyIn(space: SpaceUri, limit: number): Promise<string[]> {
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const params = { space, limit, ...(cursor ? { cursor } : {}) } as resolveLexicon.$Params
      const answer = await memberResolve(roll, community.founder, params)
      expect(answer.members.length).toBeLessThanOrEqual(limit)
      seen.push(...answer.members.map(({ did }) => did))
      cursor = answer.cursor
    } while (cursor !== undefined)
    return seen
  }

  it('meets each once, whatever else they are on, and nobody who is kept out or has left', async () => {
    const people = Array.from({ length: 400 }, freshDid)
    const inside = people.filter((_, at) => at % 2 === 0)
    // On more rosters than are read at a time, so that one person fills a stretch, and more.
    const everywhere = freshDid()
    const rosters = Array.from({ length: 320 }, (_, at) => `${aside[0]}-${at}` as SpaceUri)
    await change(async (tx) => {
      const skeleton = { community: community.did, space_type: 'com.atmoboards.forum', state: 'live' as const }
      const made = { created_by: community.founder, created_at_ms: 0 }
      const spaces = rosters.map((uri, at) => ({ ...skeleton, ...made, uri, skey: `aside-0-${at}` }))
      await tx.insertInto('space').values(spaces).execute()
    })
    await enter([
      ...people.map((did): [SpaceUri | undefined, Did] => [aside[0], did]),
      ...inside.flatMap((did, at): [SpaceUri | undefined, Did][] => [
        [feeding[at % SPACES], did],
        [feeding[(at * 7 + 1) % SPACES], did],
      ]),
      ...[...rosters, feeding[3]].map((space): [SpaceUri | undefined, Did] => [space, everywhere]),
    ])
    const [banned, gone, ...others] = inside
    if (!banned || !gone) throw new Error('nobody')
    await change(async (tx) => {
      const by = { community: community.did, banned_by: community.founder, banned_at_ms: 0, reason: null }
      await tx
        .insertInto('ban')
        .values({ ...by, scope: wide, did: banned, until_ms: null })
        .execute()
      await tx
        .insertInto('departure')
        .values({ space: wide, did: gone, community: community.did, left_at_ms: 0 })
        .execute()
    })
    const expected = [...others, everywhere, community.founder].toSorted()
    for (const limit of [1_000, 100, 33, expected.length]) expect(await everybodyIn(wide, limit)).toEqual(expected)
  })

  it('meets the few among very many who are somewhere else', async () => {
    const before = await everybodyIn(wide, 1_000)
    const crowd = Array.from({ length: 3_000 }, freshDid)
    await enter(crowd.map((did): [SpaceUri | undefined, Did] => [aside[1], did]))
    const few = crowd.filter((_, at) => at % 300 === 0)
    await enter(few.map((did, at): [SpaceUri | undefined, Did] => [feeding[at], did]))
    const expected = [...before, ...few].toSorted()
    for (const limit of [1_000, 100, 7]) expect(await everybodyIn(wide, limit)).toEqual(expected)
  })
})
