/** Which lanes a process may take, how far each has got, and that nobody writes for a lane that is somebody else's by now. */
import { sql } from 'kysely'
import { beforeAll, beforeEach, expect, it } from 'vitest'
import { verifyChains } from '../../src/audit/verify.ts'
import { authorityOf, type Did, type SpaceUri } from '../../src/names.ts'
import {
  type Claiming,
  claimLanes,
  closeSpaces,
  dropLane,
  endLane,
  type Finished,
  finishLanes,
  type Lane,
  listOpenSpaces,
  loadNewest,
  loadNext,
  wakeLanes,
} from '../../src/notify/lane-store.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { auditRows } from '../kit/exchange.ts'
import { addRegistration, noteWrite, type Registering, registrationRow } from '../kit/lanes.ts'
import { type Community, freshDid, makeForum, openCommunity, rollOn } from '../kit/roll.ts'

const NOW = 1_795_000_000_000
const LEASE = 15_000

describeOnEachEngine('the tables of lanes', (open) => {
  let database: TestDatabase
  let here: Community
  let forum: SpaceUri
  let elsewhere: SpaceUri

  beforeAll(async () => {
    database = await open()
    const roll = rollOn(database.db, NOW)
    here = await openCommunity(roll)
    forum = await makeForum(roll, here, 'main')
    elsewhere = await makeForum(roll, await openCommunity(roll), 'main')
  })
  beforeEach(async () => {
    for (const table of ['registration', 'writer', 'writer_set']) {
      await sql`delete from ${sql.table(table)}`.execute(database.db)
    }
    for (const space of [forum, elsewhere]) {
      await sql`insert into writer_set (space, community, last_rev) values (${space}, ${authorityOf(space)}, 1)`.execute(
        database.db,
      )
    }
  })

  const at = { nowMs: NOW }
  let services = 0
  /** A lane that is due, of a host of its own that answered before. */
  const due = (more: Partial<Registering> = {}): Promise<number> => {
    services += 1
    const host = `https://sync-${services}.example.com`
    const syncer = { service: `did:web:sync-${services}.example.com#sync`, url: host }
    return addRegistration(
      { ...at, db: database.db },
      {
        ...{ space: forum, syncer, sponsors: [], isProved: true, after: 0, ...more },
      },
    )
  }
  const change = (id: number, what: string, value: number | string | null) =>
    sql`update registration set ${sql.ref(what)} = ${value} where id = ${id}`.execute(database.db)
  const claim = (more: Partial<Claiming> = {}): Promise<readonly Lane[]> =>
    claimLanes(database.db, {
      ...{ pool: 'sound', nowMs: NOW, untilMs: NOW + LEASE, most: 100, share: 100, used: new Map(), ofHost: 100 },
      ...{
        usedHosts: new Map(),
        openHosts: [],
        closedHosts: [],
        left: [],
        underWay: [],
        spaces: [forum, elsewhere],
        ...more,
      },
    })
  const idsOf = (lanes: readonly Lane[]): readonly number[] => lanes.map(({ id }) => id).sort((a, b) => a - b)
  const claimed = async (more?: Partial<Claiming>): Promise<readonly number[]> => idsOf(await claim(more))
  const one = async (more?: Partial<Claiming>): Promise<Lane> => {
    const [lane, ...others] = await claim(more)
    if (!lane || others.length > 0) throw new Error('not one lane')
    return lane
  }
  const row = (id: number) => registrationRow(database.db, id)

  it('give no lane of a community that has left', async () => {
    const id = await due()
    expect(await claimed({ left: [here.did] })).toEqual([])
    expect(await claimed()).toEqual([id])
  })

  it('give a lane to one who asks, for a while', async () => {
    const id = await due()
    expect(await one()).toMatchObject({ id, turn: 1, space: forum, community: here.did, isAlone: false })
    expect(await claimed()).toEqual([])
    expect(await claimed({ nowMs: NOW + LEASE - 1 })).toEqual([])
    expect(await one({ nowMs: NOW + LEASE })).toMatchObject({ id, turn: 2 })
  })

  it.each([
    ['wants nothing', 'delivered_rev', 1],
    ['is paused', 'paused_at_ms', NOW],
    ['is to be looked at later', 'look_at_ms', NOW + 1],
    ['has expired', 'expires_at_ms', NOW],
  ] as const)('leave a lane where it is that %s', async (_, column, value) => {
    await change(await due(), column, value)
    expect(await claimed()).toEqual([])
  })

  it('are looked at soon after our clock was set back, however long they would rest by the time before', async () => {
    const [before, failed, pausing, resting, soon] = [await due(), await due(), await due(), await due(), await due()]
    await change(before, 'look_at_ms', NOW + 60_001)
    for (const id of [failed, pausing]) await change(id, 'failures', 9)
    await change(failed, 'look_at_ms', NOW + 3_600_000)
    await change(pausing, 'look_at_ms', NOW + 15 * 60_000)
    await change(resting, 'look_at_ms', NOW + 3_600_000)
    await change(resting, 'paused_at_ms', NOW)
    await change(soon, 'look_at_ms', NOW + LEASE)
    expect(await claimed()).toEqual([])
    expect(await wakeLanes(database.db, NOW)).toBe(2)
    expect(await claimed()).toEqual([before])
    expect(await claimed({ pool: 'doubtful' })).toEqual([failed])
  })

  it('give a lane whose space has ended, whatever it wants', async () => {
    const id = await due()
    await change(id, 'delivered_rev', 1)
    await change(id, 'ended_at_ms', NOW)
    await change(id, 'look_at_ms', 0)
    expect(await one()).toMatchObject({ id, endedAtMs: NOW })
  })

  it('keep lanes that failed, that never were heard, or whose host is left alone, in a pool of their own', async () => {
    const [sound, failed, unproved, resting] = [await due(), await due(), await due({ isProved: false }), await due()]
    await change(failed, 'failures', 1)
    const { host: openHost = '' } = (await row(resting)) ?? {}
    expect(await claimed({ openHosts: [openHost] })).toEqual([sound])
    const doubtful = await claim({ pool: 'doubtful', openHosts: [openHost] })
    expect(idsOf(doubtful)).toEqual([failed, unproved, resting])
    expect(
      doubtful
        .filter(({ isAlone }) => isAlone)
        .map(({ id }) => id)
        .sort(),
    ).toEqual([unproved, resting].sort())
  })

  it('give one lane of a host that has to be called by one at a time, and none while somebody does', async () => {
    const host = 'https://new.example.com'
    const [first] = [await due({ isProved: false, host }), await due({ isProved: false, host })]
    expect(await claimed({ pool: 'doubtful', closedHosts: [host] })).toEqual([])
    expect(await claimed({ pool: 'doubtful' })).toEqual([first])
  })

  it('give a community no more than its share, with what it has under way', async () => {
    for (let count = 0; count < 4; count++) await due()
    const other = await due({ space: elsewhere })
    const lanes = await claim({ share: 3, used: new Map([[here.did, 1]]) })
    expect(lanes.filter(({ community }) => community === here.did)).toHaveLength(2)
    expect(idsOf(lanes)).toContain(other)
    expect(await claimed({ share: 3, used: new Map([[here.did, 3]]) })).toEqual([])
  })

  it('give a host no more than so many at once', async () => {
    const host = 'https://busy.example.com'
    for (let count = 0; count < 4; count++) await due({ host })
    expect(await claimed({ ofHost: 3, usedHosts: new Map([[host, 3]]) })).toEqual([])
    expect(await claimed({ ofHost: 3, usedHosts: new Map([[host, 1]]) })).toHaveLength(2)
  })

  it('give those who are due longest, and no more than were asked for', async () => {
    const [later, sooner, latest] = [await due(), await due(), await due()]
    await change(later, 'look_at_ms', 2)
    await change(sooner, 'look_at_ms', 1)
    await change(latest, 'look_at_ms', 3)
    expect(await claimed({ most: 2 })).toEqual([later, sooner])
  })

  it('leave out what the process has under way already, although its time is over', async () => {
    const id = await due()
    expect(await claimed({ underWay: [id] })).toEqual([])
  })

  it('give each lane to one of many who ask at once', async () => {
    const all: number[] = []
    for (let count = 0; count < 40; count++) all.push(await due())
    const claims = await Promise.all(Array.from({ length: 8 }, () => claimed({ most: 10 })))
    const given = claims.flat()
    expect(new Set(given).size).toBe(given.length)
    const rest = await claimed()
    expect([...given, ...rest].sort((a, b) => a - b)).toEqual(all)
  })

  it('write down what became of turns, together, and nothing for a lane that was given to another since', async () => {
    const [kept, lost] = [await due(), await due()]
    const lanes = await claim()
    await claim({ nowMs: NOW + LEASE })
    await change(kept, 'turn', 1)
    const left = lanes.map(
      (lane): Finished => ({
        ...{
          ...lane,
          host: 'https://moved.example.com',
          provedAtMs: null,
          deliveredRev: 1,
          deliveredAtMs: NOW,
          gaps: 2,
        },
        ...{
          checkedRevision: 7,
          checkedAtMs: NOW,
          failures: 3,
          failingSinceMs: NOW,
          lastError: 'timeout',
          lookAtMs: NOW + 5,
        },
      }),
    )
    const before = await row(lost)
    const written = await finishLanes(database.db, left)
    expect(new Map(lanes.map(({ id }, index) => [id, written[index]]))).toEqual(
      new Map([
        [kept, 'done'],
        [lost, 'lost'],
      ]),
    )
    expect(await row(lost)).toEqual(before)
    expect(await row(kept)).toMatchObject({
      ...{ host: 'https://moved.example.com', proved_at_ms: null, delivered_rev: 1, delivered_at_ms: NOW, gaps: 2 },
      ...{ checked_revision: 7, failures: 3, failing_since_ms: NOW, last_error: 'timeout', look_at_ms: NOW + 5 },
    })
  })

  const openSpaces = async (): Promise<readonly SpaceUri[]> =>
    (await listOpenSpaces(database.db, { left: [], after: '', most: 100 })).map(({ space }) => space)
  const close = async (space = forum): Promise<boolean> => {
    const seen = await listOpenSpaces(database.db, { left: [], after: '', most: 100 })
    await closeSpaces(
      database.db,
      seen.filter((one) => one.space === space),
    )
    return !(await openSpaces()).includes(space)
  }
  const finish = (lane: Lane, left: Partial<Finished> = {}) =>
    finishLanes(database.db, [{ ...lane, deliveredRev: lane.wantedRev, lookAtMs: null, ...left }])

  it('are found in the spaces in which something was written, in their order, a page at a time', async () => {
    const both = [forum, elsewhere].sort()
    expect(await openSpaces()).toEqual(both)
    const [first = '', second] = both
    expect(await listOpenSpaces(database.db, { left: [], after: first, most: 1 })).toMatchObject([{ space: second }])
    expect(await listOpenSpaces(database.db, { left: [here.did], after: '', most: 9 })).toMatchObject([
      { space: elsewhere },
    ])
    expect(await close()).toBe(true)
    expect(await openSpaces()).toEqual([elsewhere])
    await noteWrite({ ...at, db: database.db }, forum, freshDid())
    expect(await openSpaces()).toEqual(both)
  })

  it('keep their space open until each of them has heard of it', async () => {
    const [id] = [await due()]
    expect(await close()).toBe(false)
    const lane = await one()
    expect(await close()).toBe(false)
    expect(await finish(lane)).toEqual(['done'])
    expect(await close()).toBe(true)
    expect(await row(id)).toMatchObject({ delivered_rev: 1, look_at_ms: null, taken_until_ms: 0 })
  })

  it('keep it open for what was written after it was looked at', async () => {
    await due()
    await finish(await one())
    const seen = await listOpenSpaces(database.db, { left: [], after: '', most: 100 })
    await noteWrite({ ...at, db: database.db }, forum, freshDid())
    await closeSpaces(database.db, seen)
    expect(await openSpaces()).toContain(forum)
    expect(await claimed()).toHaveLength(1)
  })

  it('do not keep it open while they wait by themselves, are paused or have ended', async () => {
    const [waits, paused, ended] = [await due(), await due(), await due()]
    await change(waits, 'look_at_ms', NOW + 1)
    await change(paused, 'paused_at_ms', NOW)
    await change(ended, 'ended_at_ms', NOW)
    expect(await close()).toBe(true)
    expect(await claimed({ nowMs: NOW + 1, spaces: [] })).toEqual([waits])
  })

  it('wait by themselves until they are not behind any more, since their space may be closed', async () => {
    const id = await due()
    await change(id, 'look_at_ms', NOW)
    const lane = await one()
    await noteWrite({ ...at, db: database.db }, forum, freshDid())
    expect(await finish(lane)).toEqual(['behind'])
    expect(await row(id)).toMatchObject({ look_at_ms: 0 })
    expect(await close()).toBe(true)
    const again = await one({ spaces: [] })
    expect(await finish(again)).toEqual(['done'])
    expect(await row(id)).toMatchObject({ look_at_ms: null })
    expect(await claimed()).toEqual([])
  })

  it('keep a space open in which one that waited by itself has its turn', async () => {
    const id = await due()
    await change(id, 'look_at_ms', NOW)
    const lane = await one({ spaces: [] })
    // The turn ends as not everything is told, in a moment in which the space is looked at.
    expect(await close()).toBe(false)
    expect(await finish(lane)).toEqual(['done'])
    expect(await close()).toBe(true)
  })

  it('lose no call for a lane that is being finished meanwhile', async () => {
    const id = await due()
    const lane = await one()
    const [{ spaceRev }, [isWritten]] = await Promise.all([
      noteWrite({ ...at, db: database.db }, forum, freshDid()),
      finish(lane),
    ])
    expect(['done', 'behind']).toContain(isWritten)
    expect(await close()).toBe(false)
    expect(await one()).toMatchObject({ id, wantedRev: spaceRev })
  })

  it('give a lane whose lease ends later than any does: our clock was ahead, and has been set back', async () => {
    const id = await due()
    await change(id, 'taken_until_ms', NOW + 60_000)
    expect(await claimed()).toEqual([])
    await change(id, 'taken_until_ms', NOW + 60_001)
    expect(await claimed()).toEqual([id])
  })

  it('end a registration with an entry in the log, and not one that was renewed or is another’s by now', async () => {
    const [id, renewed, lost] = [await due(), await due(), await due()]
    const lanes = new Map((await claim()).map((lane) => [lane.id, lane]))
    const end = (which: number) => {
      const lane = lanes.get(which)
      if (!lane) throw new Error('not claimed')
      return endLane(database.db, lane, 'SponsorsGone', NOW)
    }
    await change(renewed, 'expires_at_ms', NOW + 2 * 86_400_000)
    await change(lost, 'turn', 2)
    const before = (await auditRows(database, 'notify.end')).length
    expect([await end(id), await end(renewed), await end(lost), await end(id)]).toEqual([true, false, false, false])
    expect([await row(id), (await row(renewed))?.id, (await row(lost))?.id]).toEqual([null, renewed, lost])
    const entries = (await auditRows(database, 'notify.end')).slice(before)
    const service = lanes.get(id)?.service
    expect(entries).toEqual([{ actor: here.did, target: forum, because: { reason: 'SponsorsGone', service } }])
    for await (const { fault } of verifyChains(database.db)) expect(fault).toBeNull()
  })

  it('forget a lane only when its space has ended', async () => {
    const id = await due()
    const lane = await one()
    await dropLane(database.db, lane)
    expect(await row(id)).not.toBeNull()
    await change(id, 'ended_at_ms', NOW)
    await dropLane(database.db, { ...lane, turn: 0 })
    expect(await row(id)).not.toBeNull()
    await dropLane(database.db, lane)
    expect(await row(id)).toBeNull()
  })

  it('read the newest of several spaces at once, and the oldest of one, in order', async () => {
    const repos: Did[] = [freshDid(), freshDid(), freshDid()]
    const revs: number[] = []
    for (const repo of repos) revs.push((await noteWrite({ ...at, db: database.db }, forum, repo)).spaceRev)
    const { spaceRev } = await noteWrite({ ...at, db: database.db }, elsewhere, freshDid(), { hash: false })
    const newest = await loadNewest(
      database.db,
      new Map([
        [forum, 0],
        [elsewhere, 0],
      ]),
      2,
    )
    expect(newest.get(forum)?.map((found) => found.spaceRev)).toEqual(revs.slice(1))
    expect(newest.get(elsewhere)).toMatchObject([{ spaceRev, hash: null }])
    expect(await loadNewest(database.db, new Map([[forum, revs[2] ?? 0]]), 2)).toEqual(new Map())
    const next = await loadNext(database.db, forum, revs[0] ?? 0, 1)
    expect(next).toMatchObject([{ repo: repos[1], spaceRev: revs[1] }])
    expect(next[0]?.hash).toHaveLength(32)
  })
})
