/** A world in which keys of communities go out: a directory that can misbehave, and workers whose turns a test takes itself. */
import { sql } from 'kysely'
import { carryOutDue } from '../../src/community/acts.ts'
import { listAlarms } from '../../src/community/identity-alarm-store.ts'
import { type MakeExportsCtx, makeExports } from '../../src/community/make-exports.ts'
import { type Did, rosterOf } from '../../src/names.ts'
import { type Log, silentLog } from '../../src/platform/log.ts'
import type { TestDatabase } from './databases.ts'
import { type FakePlc, startFakePlc } from './fake-plc.ts'
import { holdWorker } from './held-worker.ts'
import { askExport, enrol, type KeeperKeys, stepUpOf, TAKE } from './keepers.ts'
import { makeKey, type TestKey } from './tokens.ts'
import { type Answer, memberHeld, openWorld, type Person, type World } from './world.ts'

export const DAY_SEC = 86_400

export interface ExportWorld {
  readonly world: World
  readonly plc: FakePlc
  readonly database: TestDatabase
  readonly ctx: MakeExportsCtx
  /** How often the vault was asked for a file. */
  sealings(): number
  /** A community of somebody new, with their keys enrolled a day ago. */
  founded(more?: object): Promise<Founded>
  /** Somebody who has been an owner for three days, and enrolled keys. */
  secondOwner(founded: Founded): Promise<Owner>
  /** A turn of each worker. */
  turn(): Promise<void>
  close(): Promise<void>
}

export interface Owner {
  readonly person: Person
  readonly keys: KeeperKeys
}

export interface Founded extends Owner {
  readonly did: Did
  /** The community's own key, which stands above ours. */
  readonly recovery: TestKey
}

export async function openExportWorld(database: TestDatabase, log: Log = silentLog): Promise<ExportWorld> {
  const plc = await startFakePlc()
  const world = await openWorld({ database: holdWorker(database), plcUrl: plc.url, log })
  const { vault } = world.reeve.house
  let sealings = 0
  const counted: MakeExportsCtx['vault'] = {
    sealExport(use) {
      sealings += 1
      return vault.sealExport(use)
    },
  }
  const ctx = { ...world.reeve.house, db: database.db, vault: counted }
  return {
    world,
    plc,
    database,
    ctx,
    sealings: () => sealings,
    async founded(more = {}) {
      const person = await world.person()
      const recovery = makeKey('k256')
      const did = await world.found(person, { custody: memberHeld(world, person, recovery), ...more })
      const keys = await enrol(world, person, did)
      world.clock.moveSec(DAY_SEC)
      return { did, person, keys, recovery }
    },
    async secondOwner({ did, person }) {
      const other = await world.person()
      const space = rosterOf(did).uri
      const put = await person.call('community.reeve.member.put', { space, did: other.did, role: 'owner' })
      if (put.status !== 200) throw new Error(`no owner: ${JSON.stringify(put.body)}`)
      const keys = await enrol(world, other, did)
      world.clock.moveSec(3 * DAY_SEC)
      return { person: other, keys }
    },
    async turn() {
      await carryOutDue(ctx)
      await makeExports(ctx)
    },
    async close() {
      await world.close()
      await plc.close()
    },
  }
}

/** Asks, and answers the proposal's id. */
export async function asked(hers: ExportWorld, { did }: Founded, by: Owner, more: object = {}): Promise<string> {
  const answer = await askExport(hers.world, by.person, by.keys, { community: did, ...more })
  if (answer.status !== 200) throw new Error(`not asked: ${JSON.stringify(answer.body)}`)
  return answer.body.proposal.id
}

export const take = (of: { did: Did }, by: Owner, id: string, more: object = {}): Promise<Answer> =>
  by.person.call(TAKE, { community: of.did, export: id, ...more })

/** Says yes to a proposal, confirmed by their keys. */
export function approve({ world }: ExportWorld, { did }: Pick<Founded, 'did'>, by: Owner, proposal: string) {
  const [act, input] = ['community.reeve.proposal.approve', { proposal }]
  const stepUp = stepUpOf(world, { person: by.person, key: by.keys.signKey, act, input }, { community: did })
  return by.person.call(act, { ...input, stepUp })
}

export const cancel = (by: Pick<Owner, 'person'>, proposal: string): Promise<Answer> =>
  by.person.call('community.reeve.proposal.cancel', { proposal })

export const putOut = (by: Owner, community: Did, did: Did): Promise<Answer> =>
  by.person.call('community.reeve.member.remove', { space: rosterOf(community).uri, did })

/** What stands in the database about the exports of a community. */
export async function exportRows({ database }: ExportWorld, community: Did) {
  const all = async (query: ReturnType<typeof sql<Record<string, unknown>>>) => (await query.execute(database.db)).rows
  return {
    exports: await all(
      sql`select state, sealed is not null as has_file from key_export where community = ${community} order by id`,
    ),
    proposals: await all(sql`select state from proposal where community = ${community} order by id`),
    flags: (await all(sql`select flags from key where community = ${community} and purpose = 'rotation'`))[0]?.[
      'flags'
    ],
    alarms: await listAlarms(database.db, community),
    audit: (await all(sql`select action from audit_entry where community = ${community} order by id`)).map(
      ({ action }) => action,
    ),
  }
}

/** Everything that the database holds, as text. */
export async function databaseText({ database }: ExportWorld): Promise<Record<string, Uint8Array>> {
  const { rows } = await sql<{ name: string }>`select table_name as name from information_schema.tables
    where table_schema = current_schema()`.execute(database.db)
  const found: Record<string, Uint8Array> = {}
  for (const { name } of rows) {
    const held = await sql<{
      text: string | null
    }>`select string_agg(t::text, ' ') as text from ${sql.table(name)} t`.execute(database.db)
    found[`table ${name}`] = Buffer.from(held.rows[0]?.text ?? '')
  }
  return found
}
