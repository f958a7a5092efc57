/**
 * Several processes that tell hosts from one database: nothing is planned twice, no host gets more than it takes, and no more than one call
 * at a time. The hosts are played without sockets.
 */
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { forgetRevocations } from '../../src/credential/revocation-store.ts'
import { type Asked, endTurn, noteSent, takeTurn, wakeHosts } from '../../src/credential/revocation-turn-store.ts'
import { openHostTelling, type TellingCtx } from '../../src/credential/tell-hosts.ts'
import { keepMoved, noteMoved, takeMoved, wakeMoved } from '../../src/membership/standing-moved-store.ts'
import { authorityOf, type SpaceUri } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase, withTransaction } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase } from '../kit/databases.ts'
import { playedHosts, processOn } from '../kit/played-hosts.ts'
import { freshDid, makeForum, openCommunity, type Roll, rollOn } from '../kit/roll.ts'
import { addTaken, noticesOf, wroteFrom } from '../kit/taken.ts'

describe.runIf(hasPostgres)('two processes that tell hosts', () => {
  it('plan each credential once, and keep to what a host takes together', async () => {
    const database = await openTestDatabase('postgres')
    const more = { dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock }
    const second = await openDatabase({ url: database.url, ...more })
    try {
      const hosts = playedHosts()
      const rolls = [rollOn(database.db), rollOn(second.db)]
      const [roll] = rolls as [Roll, Roll]
      const community = await openCommunity(roll)
      const cap = { live: 30, calls: 12 }
      const tellings = rolls.map((each) => openHostTelling(processOn(each, hosts, new Map([['*', cap]]))))
      const spaces: SpaceUri[] = []
      for (let at = 0; at < 6; at++) {
        const space = await makeForum(roll, community, `s${at}`)
        spaces.push(space)
        for (const host of ['a.example', 'b.example', 'c.example']) {
          const repo = freshDid()
          hosts.homes.set(repo, `https://${host}`)
          await wroteFrom(database, { space, repo, host: `https://${host}` })
        }
      }
      for (let round = 0; round < 6; round++) {
        const nowSec = roll.clock.nowSec()
        const rows = spaces.map((space) => addTaken(database, { space, count: 7, nowSec }))
        await Promise.all([...rows, ...tellings.flatMap((each) => [each.turn(), each.turn()])])
      }
      for (const each of tellings) {
        await each.turn()
        await each.settled()
      }
      for (const space of spaces) {
        const { plans } = await noticesOf(database, space)
        expect([...plans.values()].filter((plan) => plan === null)).toEqual([])
        for (const host of ['a.example', 'b.example', 'c.example']) {
          const jtis = hosts.calls.filter((call) => call.host === host && call.space === space)
          const sent = jtis.flatMap(({ credentials }) => credentials)
          expect(sent.length, 'each once').toBe(new Set(sent).size)
          expect(sent.length).toBeLessThanOrEqual(cap.live)
        }
      }
      for (const host of ['a.example', 'b.example', 'c.example']) {
        const calls = hosts.calls.filter((call) => call.host === host)
        expect(calls.length).toBeLessThanOrEqual(cap.calls)
        expect(calls.length).toBeGreaterThan(0)
      }
      expect(hosts.mostAtOnce()).toBe(1)
    } finally {
      await second.close()
      await database.close()
    }
  })
})

describeOnEachEngine('a turn at a host', (open) => {
  async function scene() {
    const { db } = await open()
    const roll = rollOn(db)
    const community = await openCommunity(roll)
    const space = await makeForum(roll, community, 'main')
    const hosts = playedHosts()
    const repo = freshDid()
    hosts.homes.set(repo, 'https://a.example')
    await wroteFrom({ db }, { space, repo, host: 'https://a.example' })
    const caps: Asked['caps'] = new Map()
    const ctx = processOn(roll, hosts, caps)
    const asked = () => ({ caps, nowMs: roll.clock.nowMs(), isPatient: true })
    return { db, roll, space, hosts, ctx, asked }
  }
  const planOnly = async (ctx: TellingCtx) => {
    const { planDue } = await import('../../src/credential/tell-hosts.ts')
    await planDue(ctx)
  }
  const stateIn = async (db: Db, space: SpaceUri) => (await noticesOf({ db }, space)).notices.map(({ state }) => state)

  it('that was lost is somebody else’s, and whoever lost it neither sends nor notes anything', async () => {
    const { db, roll, space, ctx, asked } = await scene()
    await addTaken({ db }, { space, count: 1, nowSec: roll.clock.nowSec() })
    await planOnly(ctx)
    const first = await takeTurn(db, asked())
    if (!first) throw new Error('no turn')
    expect(await takeTurn(db, asked()), 'it is taken').toBeNull()
    roll.clock.moveMs(15_001)
    const second = await takeTurn(db, asked())
    if (!second) throw new Error('no second turn')
    expect(await noteSent(db, first, asked())).toBe(false)
    await endTurn(db, first, { is: 'heard' }, roll.clock.nowMs())
    expect(await stateIn(db, space)).toEqual(['due'])
    expect(await noteSent(db, second, asked())).toBe(true)
    await endTurn(db, second, { is: 'heard' }, roll.clock.nowMs())
    expect(await stateIn(db, space)).toEqual(['told'])
  })

  it('lets go of what has ended meanwhile', async () => {
    const { db, roll, space, hosts, ctx } = await scene()
    await addTaken({ db }, { space, count: 3, nowSec: roll.clock.nowSec() })
    await planOnly(ctx)
    roll.clock.moveMs(596_000)
    const telling = openHostTelling(ctx)
    await telling.turn()
    await telling.settled()
    expect(hosts.calls).toEqual([])
    expect(await stateIn(db, space)).toEqual(['ended', 'ended', 'ended'])
  })

  it.each(['unsure', 'failed'] as const)(
    'that ended %s by a clock that was ahead is taken soon after it is right',
    async (is) => {
      const { db, roll, space, ctx, asked } = await scene()
      await addTaken({ db }, { space, count: 1, nowSec: roll.clock.nowSec(), livesSec: 3_000 })
      await planOnly(ctx)
      const AHEAD_MS = 1_000_000
      roll.clock.moveMs(AHEAD_MS)
      const first = await takeTurn(db, asked())
      if (!first) throw new Error('no turn')
      expect(await noteSent(db, first, asked())).toBe(true)
      await endTurn(db, first, { is, againAtMs: roll.clock.nowMs() + 5_000 }, roll.clock.nowMs())
      roll.clock.moveMs(-AHEAD_MS)
      expect(await takeTurn(db, asked())).toBeNull()
      await wakeHosts(db, roll.clock.nowMs())
      expect(await takeTurn(db, asked())).toMatchObject({ host: 'a.example', names: first.names })
    },
  )

  it('that rests until a call is free rests on', async () => {
    const { db, roll, space, ctx, asked } = await scene()
    await addTaken({ db }, { space, count: 1, nowSec: roll.clock.nowSec(), livesSec: 3_000 })
    await planOnly(ctx)
    const nowMs = roll.clock.nowMs()
    await sql`insert into revocation_call (host, at_ms, community)
      select 'a.example', ${nowMs}::bigint, ${authorityOf(space)} from generate_series(1, 10)`.execute(db)
    expect(await takeTurn(db, asked())).toBeNull()
    await wakeHosts(db, nowMs)
    const { rows } = await sql<{
      rests: number
    }>`select look_at_ms - ${nowMs}::bigint as rests from revocation_host`.execute(db)
    expect(rows.map(({ rests }) => Number(rests))).toEqual([610_000])
  })

  it('leaves nothing behind once no host keeps what it was told', async () => {
    const { db, roll, space, ctx } = await scene()
    await addTaken({ db }, { space, count: 3, nowSec: roll.clock.nowSec() })
    const telling = openHostTelling(ctx)
    await telling.turn()
    await telling.settled()
    roll.clock.moveMs(3_610_000)
    await forgetRevocations(db, roll.clock.nowMs(), 100)
    expect(await stateIn(db, space), 'while a host keeps it').toEqual(['told', 'told', 'told'])
    roll.clock.moveMs(700_000)
    await forgetRevocations(db, roll.clock.nowMs(), 100)
    const { rows } = await sql`select host from revocation_notice union all select host from revocation_call
      union all select host from revocation_host`.execute(db)
    expect(rows).toEqual([])
  })

  it('that is found page by page takes half of the room, and the next single one is told', async () => {
    const { db, roll, space, hosts, ctx } = await scene()
    const telling = openHostTelling(ctx)
    const tellAfter = async (count: number) => {
      await addTaken({ db }, { space, count, nowSec: roll.clock.nowSec() })
      await telling.turn()
      await telling.settled()
      roll.clock.moveMs(700)
    }
    const sent = () => hosts.calls.flatMap(({ credentials }) => credentials).length
    for (let page = 0; page < 8; page++) await tellAfter(100)
    expect(sent()).toBe(500)
    await tellAfter(1)
    expect(sent()).toBe(501)
  })

  it('goes to the largest taking-back of all without a single notice', async () => {
    const { db, roll, space, hosts, ctx } = await scene()
    await addTaken({ db }, { space, count: 5_200, nowSec: roll.clock.nowSec() })
    const telling = openHostTelling(ctx)
    await telling.turn()
    await telling.settled()
    expect(hosts.calls).toEqual([])
    const { plans, notices } = await noticesOf({ db }, space)
    expect([new Set(plans.values()), plans.size, notices.length]).toEqual([new Set(['wait']), 5_200, 0])
  })
})

describeOnEachEngine('a standing that moved', (open) => {
  it('and was taken up by a clock that was ahead is taken up by others soon, and one that is put off for a reason later', async () => {
    const { db } = await open()
    const roll = rollOn(db)
    const { did: community } = await openCommunity(roll)
    const nowMs = roll.clock.nowMs()
    const people = [freshDid(), freshDid()]
    await withTransaction(db, (tx) => noteMoved(tx, { community, offered: [], people, revision: 1 }))
    const take = () => takeMoved(db, { nowMs, untilMs: nowMs + 3_600_000, max: 10, besides: [] })
    const [ahead, later] = await take()
    if (!ahead || !later) throw new Error('nothing was noted')
    await keepMoved(db, [later.id], nowMs + 600_000)
    expect(await take()).toEqual([])
    await wakeMoved(db, nowMs + 600_000)
    expect(await take()).toEqual([ahead])
  })
})
