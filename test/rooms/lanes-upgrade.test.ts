/** A database in which lanes waited before the schema changed: each is delivered afterwards, and none twice at once. */
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { type Claiming, claimLanes, closeSpaces, finishLanes, listOpenSpaces } from '../../src/notify/lane-store.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { loadMigrations, migrate } from '../../src/platform/migrations.ts'
import { engines, openTestDatabase } from '../kit/databases.ts'

const NOW = 1_795_000_000_000
const COMMUNITY = 'did:web:gardeners.example.com'
const SPACE = `at://${COMMUNITY}/space/com.atmoboards.forum/main`
const BEFORE = 15

/** How a registration stood: what it wanted and had, when it was to be looked at, and whether it was paused or had ended. */
interface Stood {
  readonly wanted: number
  readonly delivered: number
  readonly lookAtMs: number
  readonly pausedAtMs?: number
  readonly endedAtMs?: number
}

const STOOD: Readonly<Record<string, Stood>> = {
  roused: { wanted: 9, delivered: 5, lookAtMs: 0 },
  taken: { wanted: 9, delivered: 6, lookAtMs: NOW + 15_000 },
  failed: { wanted: 9, delivered: 7, lookAtMs: NOW + 60_000 },
  'not roused yet': { wanted: 8, delivered: 8, lookAtMs: NOW - 5_000 },
  paused: { wanted: 9, delivered: 4, lookAtMs: 0, pausedAtMs: NOW },
  ended: { wanted: 9, delivered: 9, lookAtMs: 0, endedAtMs: NOW },
  'told everything': { wanted: 10, delivered: 10, lookAtMs: NOW - 1_000 },
}

async function fill(db: Db): Promise<void> {
  await sql`insert into community_revision (community, revision) values (${COMMUNITY}, 1)`.execute(db)
  await sql`insert into space (uri, community, space_type, skey, state, created_by, created_at_ms)
    values (${SPACE}, ${COMMUNITY}, 'com.atmoboards.forum', 'main', 'live', ${COMMUNITY}, 1)`.execute(db)
  await sql`insert into writer_set (space, community, last_rev, told_rev) values (${SPACE}, ${COMMUNITY}, 10, 9)`.execute(
    db,
  )
  for (const [name, { wanted, delivered, lookAtMs, pausedAtMs = null, endedAtMs = null }] of Object.entries(STOOD)) {
    await sql`insert into registration (space, community, service, host, registered_at_ms, expires_at_ms, proved_at_ms,
        paused_at_ms, ended_at_ms, wanted_rev, delivered_rev, look_at_ms, checked_revision, checked_at_ms)
      values (${SPACE}, ${COMMUNITY}, ${name}, ${`https://${name.replaceAll(' ', '-')}.example.com`}, 1, ${NOW + 86_400_000}, 1,
        ${pausedAtMs}::bigint, ${endedAtMs}::bigint, ${wanted}, ${delivered}, ${lookAtMs}, 1, 1)`.execute(db)
  }
}

describe.each(engines())('lanes that waited before (%s)', (engine) => {
  it('are all delivered afterwards, each at its moment', async () => {
    const { db, close } = await openTestDatabase(engine, { isMigrated: false })
    try {
      const all = loadMigrations()
      await migrate(
        db,
        systemClock,
        all.filter(({ number }) => number < BEFORE),
      )
      await fill(db)
      await migrate(db, systemClock, all)

      const takenAt = async (nowMs: number): Promise<readonly string[]> => {
        const spaces = await listOpenSpaces(db, { left: [], after: '', most: 100 })
        const claiming: Claiming = {
          ...{ pool: 'sound', nowMs, untilMs: nowMs + 15_000, most: 100, share: 100, used: new Map(), ofHost: 100 },
          ...{ usedHosts: new Map(), openHosts: [], closedHosts: [], left: [], underWay: [] },
          spaces: spaces.map(({ space }) => space),
        }
        const lanes = await claimLanes(db, claiming)
        const left = lanes.map((lane) => ({ ...lane, deliveredRev: lane.wantedRev, lookAtMs: null }))
        await finishLanes(db, left)
        await closeSpaces(db, spaces)
        return lanes.map(({ service }) => service).sort()
      }
      // The end of a space is told again and again until it was heard, and the lane is dropped then.
      expect(await takenAt(NOW)).toEqual(['ended', 'not roused yet', 'roused'])
      await sql`delete from registration where ended_at_ms is not null`.execute(db)
      expect(await takenAt(NOW)).toEqual([])
      expect(await listOpenSpaces(db, { left: [], after: '', most: 100 })).toEqual([])
      expect(await takenAt(NOW + 15_000)).toEqual(['taken'])
      expect(await takenAt(NOW + 60_000)).toEqual(['failed'])
      const { rows } = await sql<{
        service: string
      }>`select service from registration where delivered_rev < 10`.execute(db)
      expect(rows).toEqual([{ service: 'paused' }])
    } finally {
      await close()
    }
  })
})
