/**
 * Telling hosts what was taken back, where somebody would have others go untold: by what their hosts answer, by where their writers say that
 * they are, or by taking back again and again. The hosts are played without sockets.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { sql } from 'kysely'
import { expect, it } from 'vitest'
import { openHostTelling, type TellingCtx } from '../../src/credential/tell-hosts.ts'
import type { Nsid, SpaceUri } from '../../src/names.ts'
import { sleep } from '../../src/platform/clock.ts'
import { spaceCreate } from '../../src/space/spaceCreate.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { openScene } from '../kit/exchange.ts'
import { type Playing, playedHosts, processOn } from '../kit/played-hosts.ts'
import { startRepoHost } from '../kit/repo-host.ts'
import { once as aCall, type Community, freshDid, makeForum, openCommunity, rollOn } from '../kit/roll.ts'
import { addTaken, noticesOf, wroteFrom } from '../kit/taken.ts'
import { eventually } from '../kit/waiting.ts'

const BIG = 'big.example'

describeOnEachEngine('a community that tells hosts beside others', (open) => {
  async function scene(playing: Playing = {}, vault?: TellingCtx['vault']) {
    const database = await open()
    const roll = rollOn(database.db)
    const hosts = playedHosts(playing)
    const telling = openHostTelling({ ...processOn(roll, hosts), ...(vault ? { vault } : {}) })
    const [bad, good] = [await openCommunity(roll), await openCommunity(roll)]
    const forum = (community: Community, name: string) => makeForum(roll, community, name)
    const writes = async (space: SpaceUri, host = BIG, home = `https://${host}`) => {
      const repo = freshDid()
      hosts.homes.set(repo, home)
      await wroteFrom(database, { space, repo, host: `https://${host}` })
      return repo
    }
    const takeBack = (space: SpaceUri, count = 1) =>
      addTaken(database, { space, count, nowSec: roll.clock.nowSec(), livesSec: 3_000 })
    /** Until nothing is left that is due now: who refused one call has the next in another turn. */
    const round = async () => {
      for (let before = -1; before < hosts.calls.length; ) {
        before = hosts.calls.length
        await telling.turn()
        await telling.settled()
      }
    }
    const states = async (space: SpaceUri) => (await noticesOf(database, space)).notices.map(({ state }) => state)
    return { database, roll, hosts, telling, bad, good, forum, writes, takeBack, round, states }
  }

  it.each([400, 404, 410, 501])('takes no other’s words from a host that answers it %d', async (status) => {
    const spaces: SpaceUri[] = []
    const it = await scene({ answer: ({ space }) => (space === spaces[0] ? status : 200) })
    spaces.push(await it.forum(it.bad, 'bad'), await it.forum(it.good, 'good'), await it.forum(it.bad, 'another'))
    for (const space of spaces) {
      await it.writes(space)
      await it.takeBack(space)
    }
    await it.round()
    const [first, ...others] = await Promise.all(spaces.map(it.states))
    expect(first, 'not told, and not asked again').toEqual([expect.stringMatching(/^(?:cannot|deaf)$/)])
    expect(others).toEqual([['told'], ['told']])
    const late = await it.forum(it.good, 'late')
    await it.writes(late)
    await it.takeBack(late)
    await it.round()
    expect(await it.states(late)).toEqual(['told'])
  })

  it('leaves others some of the calls that a host takes', async () => {
    const it = await scene()
    const [mine, theirs] = [await it.forum(it.bad, 'mine'), await it.forum(it.good, 'theirs')]
    await it.writes(mine)
    await it.writes(theirs)
    for (let count = 0; count < 12; count++) {
      await it.takeBack(mine)
      await it.round()
      it.roll.clock.moveMs(1_000)
    }
    await it.takeBack(theirs)
    await it.round()
    expect(await it.states(theirs)).toEqual(['told'])
    expect(it.hosts.calls.length).toBeLessThanOrEqual(10)
    it.roll.clock.moveMs(620_000)
    await it.round()
    expect(new Set(await it.states(mine)), 'the rest when calls are free again').toEqual(new Set(['told']))
  })

  it('leaves others room to call while its own hosts hang, or its writers can’t be looked up', async () => {
    for (const what of ['answer', 'look'] as const) {
      const isSlow = new Set<string>()
      const never = () => new Promise<never>(() => {})
      const it = await scene(
        what === 'answer'
          ? { answer: ({ space }) => (isSlow.has(space) ? never() : 200) }
          : { look: async (did) => (isSlow.has(did) ? never() : undefined) },
      )
      const [mine, theirs] = [await it.forum(it.bad, 'mine'), await it.forum(it.good, 'theirs')]
      isSlow.add(mine)
      for (let at = 0; at < 100; at++) isSlow.add(await it.writes(mine, `h${at}.example`))
      await it.takeBack(mine)
      await it.telling.turn()
      await it.writes(theirs)
      await it.takeBack(theirs)
      await it.telling.turn()
      await eventually('it is told', async () => (await it.states(theirs))[0] === 'told')
    }
  })

  it('keeps no host from others while whoever has its key doesn’t sign', async () => {
    const slow = new Set<string>()
    const signs = async ({ community }: { community: string }) =>
      slow.has(community) ? new Promise<never>(() => {}) : 'a token'
    const it = await scene({}, { signServiceAuth: signs })
    slow.add(it.bad.did)
    for (let at = 0; at < 5; at++) {
      const mine = await it.forum(it.bad, `mine${at}`)
      await it.writes(mine)
      await it.takeBack(mine)
    }
    await it.telling.turn()
    const theirs = await it.forum(it.good, 'theirs')
    await it.writes(theirs)
    await it.takeBack(theirs)
    await eventually('it is told', async () => {
      await it.telling.turn()
      return (await it.states(theirs))[0] === 'told'
    })
    slow.clear()
    it.roll.clock.moveMs(6_000)
    await it.round()
    expect(it.hosts.calls.length, 'it is told as soon as somebody signs').toBe(6)
  })

  it('keeps nobody from being planned by the name of a host that nothing can hold', async () => {
    const it = await scene()
    // So mixed that no index makes it shorter.
    const mixed = (chars: number) =>
      Array.from(randomBytes(chars), (byte) => String.fromCharCode(97 + (byte % 26))).join('')
    const type = `com.${mixed(63)}.${mixed(63)}.${mixed(63)}.forum` as Nsid
    const { did: community, founder } = it.bad
    const made = await spaceCreate(it.roll, founder, { community, spaceType: type, skey: mixed(512) }, aCall())
    const mine = made.uri as SpaceUri
    const theirs = await it.forum(it.good, 'theirs')
    // Each as long as its place with the space may be, or a little shorter: with a credential beside it there is no room for some.
    for (let chars = 2_030; chars > 1_700; chars -= 10) {
      await it.writes(mine, `${mixed(chars)}.example`).catch(() => {})
    }
    await it.writes(theirs)
    await it.takeBack(mine)
    await it.takeBack(theirs)
    await it.round()
    expect(await it.states(theirs)).toEqual(['told'])
    expect([...(await noticesOf(it.database, mine)).plans.values()]).toEqual(['wait'])
  })

  it('begins no call while the house closes, which no host would get and each would count', async () => {
    const database = await open()
    const { world, plc, forum } = await openScene(database)
    const at = await startRepoHost({ plcUrl: plc.url, clock: world.clock })
    const bob = await world.person({ pds: at.url })
    at.accounts.add(bob.did)
    await wroteFrom(database, { space: forum, repo: bob.did, host: at.url })
    // Somebody who never ends their request keeps the door open for as long as the house lets them.
    const line = connect(world.reeve.port, '127.0.0.1').on('error', () => {})
    await once(line, 'connect')
    line.write('POST /xrpc/com.atproto.space.getSpaceCredential HTTP/1.1\r\nhost: x\r\n')
    // The workers have looked around before, and would again.
    await addTaken(database, { space: forum, count: 1, nowSec: world.clock.nowSec() })
    await eventually('the first is told', async () => at.taken().length === 1)
    let noted = -1
    const isClosed = new AbortController()
    const closing = world.reeve.close().finally(() => isClosed.abort())
    await addTaken(database, { space: forum, count: 1, nowSec: world.clock.nowSec() })
    while (!isClosed.signal.aborted) {
      await sql<{ noted: number }>`select count(*)::int as noted from revocation_call`.execute(database.db).then(
        ({ rows }) => {
          noted = rows[0]?.noted ?? -1
        },
        () => {},
      )
      await sleep(50)
    }
    await closing
    expect([noted, at.calls.length]).toEqual([1, 1])
    await at.close()
    await plc.close()
  })
})
