/** Looking after the grants of many communities, some of which would keep the others from it. The PDSes are played. */
import { expect, it } from 'vitest'
import { endCommunity, insertAdopted } from '../../src/community/store.ts'
import type { Did } from '../../src/names.ts'
import { withTransaction } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Unavailable } from '../../src/refusals.ts'
import { openPdsSessions } from '../../src/steering/connection.ts'
import { listUnwatched, loadConnection, saveConnection, watchTurnOf } from '../../src/steering/connection-store.ts'
import type { Grants } from '../../src/steering/grants.ts'
import { takeTurn } from '../../src/steering/turn-store.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { didOf, openCommunity, rollOn } from '../kit/roll.ts'

describeOnEachEngine('grants that are looked after', (open) => {
  type Scene = Awaited<ReturnType<typeof scene>>

  /** Communities in the order of their DIDs, each connected. */
  async function scene(count: number) {
    const { db } = await open()
    const roll = rollOn(db)
    const communities = Array.from({ length: count }, (_, at) => didOf(`did:plc:${'abcdefgh'.charAt(at).repeat(24)}`))
    for (const did of communities) {
      const { founder } = await openCommunity(roll, undefined, did)
      const blob = { sealed: Buffer.from(JSON.stringify({ tokenSet: { scope: did } })), dekVersion: 1 }
      const grant = { community: did, asked: ['atproto'], granted: ['atproto'], connectedBy: founder, blob }
      await withTransaction(db, (tx) => saveConnection(tx, null as never, grant, roll.clock.nowMs()))
    }
    return { db, roll, communities }
  }

  it('have their turn in the order in which they wait for it', async () => {
    const { db, roll, communities } = await scene(3)
    const waits = [1_000, 60_000, 30_000]
    const nowMs = roll.clock.nowMs()
    for (const [at, community] of communities.entries()) {
      const turn = { name: watchTurnOf(community), holder: 'somebody', nowMs, untilMs: nowMs - (waits[at] ?? 0) }
      await takeTurn(db, turn)
    }
    const [first, second, third] = communities
    expect(await listUnwatched(db, nowMs, 2)).toEqual([second, third])
    expect(await listUnwatched(db, nowMs, 3)).toEqual([second, third, first])
  })

  it('are looked after beside one whose tokens don’t open', async () => {
    const { db, roll, communities } = await scene(8)
    const asked: string[] = []
    const server = {
      async refresh(_asked: unknown, session: { tokenSet: { scope: string } }) {
        asked.push(session.tokenSet.scope)
        throw new Error('away')
      },
      faultOf: () => ({ is: 'later', because: 'away' }),
    }
    const vault = {
      sealBlob: async () => Promise.reject(new Error('nothing is sealed')),
      openBlob: async ({ community }: { community: string }, { sealed }: { sealed: Uint8Array }) => {
        if (community === communities[0]) throw new Unavailable('KeyUnavailable', 'vault')
        return new Uint8Array(sealed)
      },
    }
    const grants = (async () => server) as unknown as Grants
    const sessions = openPdsSessions({ ...roll, db, vault, grants, log: silentLog })
    await sessions.watch(new AbortController().signal)
    expect(asked.sort()).toEqual(communities.slice(1))
  })

  const ENDS = {
    'their community has come to its end, when nobody could disconnect it any more': async (
      { db, roll }: Scene,
      did: Did,
    ) => {
      const about = { name: 'Orchard', founder: did, requestHash: new Uint8Array(32), createdAtMs: roll.clock.nowMs() }
      await withTransaction(db, async (tx) => {
        await insertAdopted(tx, { did, ...about })
        await endCommunity(tx, null as never, did, roll.clock.nowMs())
      })
    },
    'their account consents no longer': async ({ db }: Scene, did: Did) => {
      await db
        .updateTable('community_revision')
        .set({ is_account: true, released_at_ms: 1 })
        .where('community', '=', did)
        .execute()
    },
  }

  it.each(Object.entries(ENDS))('are given back once %s', async (_says, end) => {
    const stage = await scene(2)
    const { db, roll, communities } = stage
    const [ended, other] = communities
    if (!ended || !other) throw new Error('no communities')
    await end(stage, ended)
    const done: string[] = []
    const note = (what: string) => async (_asked: unknown, session: { tokenSet: { scope: string } }) => {
      done.push(`${what} ${session.tokenSet.scope}`)
      if (what === 'refresh') throw new Error('away')
    }
    const server = {
      ...{ refresh: note('refresh'), revoke: note('revoke') },
      faultOf: () => ({ is: 'later', because: 'away' }),
    }
    const vault = {
      sealBlob: async () => Promise.reject(new Error('nothing is sealed')),
      openBlob: async (_place: unknown, { sealed }: { sealed: Uint8Array }) => new Uint8Array(sealed),
    }
    const grants = (async () => server) as unknown as Grants
    await openPdsSessions({ ...roll, db, vault, grants, log: silentLog }).watch(new AbortController().signal)
    expect(done.sort()).toEqual([`refresh ${other}`, `revoke ${ended}`])
    expect(await loadConnection(db, ended)).toBeNull()
  })
})
