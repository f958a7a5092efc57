/** Apps that were turned away and are remembered, on real databases: however many are brought, and by whomever. */
import { beforeEach, expect, it } from 'vitest'
import { noteSeenApp } from '../../src/apps/seen-store.ts'
import type { ClientId, Did, SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { type Community, freshDid, makeForum, openCommunity, rollOn } from '../kit/roll.ts'

describeOnEachEngine('apps that were turned away', (open) => {
  let db: Db
  let community: Community
  let space: SpaceUri

  beforeEach(async () => {
    db ??= (await open()).db
    const roll = rollOn(db)
    community = await openCommunity(roll)
    space = await makeForum(roll, community, 'main')
  })

  const note = (did: Did, nth: number | string, atMs: number) =>
    noteSeenApp(
      db,
      { community: community.did, clientId: `https://a${nth}.example/c.json` as ClientId, did, space },
      atMs,
    )
  const seen = async (did?: Did): Promise<number> => {
    const rows = db.selectFrom('app_seen').select('client_id').where('community', '=', community.did)
    return (await (did ? rows.where('last_did', '=', did) : rows).execute()).length
  }

  it('are fifty of one person at most, so that nobody pushes out what others brought', async () => {
    const [honest, busy] = [freshDid(), freshDid()]
    await note(honest, 'honest', 1)
    for (let nth = 0; nth < 70; nth++) await note(busy, nth, 100 + nth)
    expect([await seen(honest), await seen(busy)]).toEqual([1, 50])
  })

  it('are a thousand of a community at most, those asked for longest ago gone first', async () => {
    const rows = Array.from({ length: 1_000 }, (_, nth) => ({
      ...{ community: community.did, client_id: `https://b${nth}.example/c.json`, times: 1, last_space: space },
      ...{ first_at_ms: nth, last_at_ms: nth, last_did: freshDid() },
    }))
    await db.insertInto('app_seen').values(rows).execute()
    await note(freshDid(), 'new', 5_000)
    expect(await seen()).toBe(1_000)
    const oldest = db.selectFrom('app_seen').select('client_id').where('client_id', '=', 'https://b0.example/c.json')
    expect(await oldest.execute()).toEqual([])
  })

  it('are noted by many at once without anybody in anybody’s way', async () => {
    const rows = Array.from({ length: 1_000 }, (_, nth) => ({
      ...{ community: community.did, client_id: `https://b${nth}.example/c.json`, times: 1, last_space: space },
      ...{ first_at_ms: nth, last_at_ms: nth, last_did: freshDid() },
    }))
    await db.insertInto('app_seen').values(rows).execute()
    const all = Array.from({ length: 120 }, (_, nth) => note(freshDid(), nth, 5_000 + nth))
    expect(await Promise.allSettled(all)).toEqual(all.map(() => ({ status: 'fulfilled', value: undefined })))
    await note(freshDid(), 'last', 9_000)
    expect(await seen()).toBeLessThanOrEqual(1_000)
  })
})
