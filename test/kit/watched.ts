/** Communities that are watched: turns of the watcher taken by hand, and what stands in the database of what it found. */
import { sql } from 'kysely'
import { type Fence, openFence } from '../../src/community/fence.ts'
import { type IdentityAlarm, listAlarms } from '../../src/community/identity-alarm-store.ts'
import { beginWatching, type WatchCtx } from '../../src/community/plc-watcher.ts'
import type { Did } from '../../src/names.ts'
import { silentLog } from '../../src/platform/log.ts'
import type { TestDatabase } from './databases.ts'
import type { FakePlc, PlcAsk } from './fake-plc.ts'
import type { World } from './world.ts'

export interface Watching {
  readonly ctx: WatchCtx
  /** Shares memory with the world's doors: what it finds, they know. */
  readonly fence: Fence
  /** Begins to watch a community, whose log and document are due now. */
  watch(community: Did): Promise<void>
  /** Has a log, or a document, looked at in the next turn. */
  due(community: Did, what?: 'log' | 'document'): Promise<void>
  alarms(community: Did): Promise<readonly IdentityAlarm[]>
  names(community: Did): Promise<readonly string[]>
}

/** On the world's own database, and not the one that its worker is kept from. */
export function watchingOf(world: World, database: TestDatabase): Watching {
  const ctx: WatchCtx = { ...world.reeve.house, db: database.db, log: silentLog }
  const { hosted, vault } = world.reeve.house
  const due: Watching['due'] = async (community, what = 'log') => {
    const column = sql.ref(what === 'log' ? 'due_at_ms' : 'document_due_at_ms')
    await sql`update plc_watch set ${column} = 0 where community = ${community}`.execute(database.db)
  }
  const alarms = (community: Did) => listAlarms(database.db, community)
  return {
    ctx,
    fence: openFence({ ...ctx, hosted, vault }),
    async watch(community) {
      await beginWatching(ctx)
      await due(community)
      await due(community, 'document')
    },
    due,
    alarms,
    names: async (community) => (await alarms(community)).map(({ name }) => name),
  }
}

/** What a directory was asked, but for the looks that a world takes at its own communities by itself, now and then. */
export async function askedBesides(
  { asked }: Pick<FakePlc, 'asked'>,
  { db }: Pick<TestDatabase, 'db'>,
): Promise<readonly PlcAsk[]> {
  const rows = await db.selectFrom('plc_watch').select('community').execute()
  const watched = new Set<string>(rows.map(({ community }) => community))
  return asked.filter(({ did }) => !watched.has(did))
}

export interface WatchRow {
  readonly head_cid: string
  readonly operations: number
  readonly judged: number
  readonly read_at_ms: number
  readonly due_at_ms: number
  readonly document_at_ms: number | null
  readonly document_due_at_ms: number
  readonly quiet_until_ms: number | null
  readonly left_at_ms: number | null
}

export async function watchRow({ db }: TestDatabase, community: Did): Promise<WatchRow> {
  const { rows } = await sql<WatchRow>`select head_cid, operations, judged, read_at_ms, due_at_ms, document_at_ms,
    document_due_at_ms, quiet_until_ms, left_at_ms from plc_watch where community = ${community}`.execute(db)
  const [row] = rows
  if (!row) throw new Error(`nobody watches ${community}`)
  return row
}

/** What the community's log says of its alarms, in order. */
export async function alarmsInAudit({ db }: TestDatabase, community: Did): Promise<readonly string[]> {
  const { rows } = await sql<{ says: string }>`select action || ' ' || (because ->> 'alarm') as says from audit_entry
    where community = ${community} and action in ('identity.alarm', 'identity.alarmEnd') and actor = community
    order by id`.execute(db)
  return rows.map(({ says }) => says)
}
