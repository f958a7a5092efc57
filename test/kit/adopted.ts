/**
 * One small scene for everything that a PDS asks: an account that was adopted, an owner of it who is another person, a forum of it that is
 * bound, with bob in it, who writes, rita, who only reads, and carol, who is nobody there; a directory that counts what it is asked.
 */
import { sql } from 'kysely'
import { type AskingHost, type Generation, openAskingHost } from './asking-host.ts'
import type { TestDatabase } from './databases.ts'
import { type FakePlc, startFakePlc } from './fake-plc.ts'
import type { Answer } from './raw-request.ts'
import { openWorld, type Person, type World, type WorldOptions } from './world.ts'

export const R = 'community.reeve'
export const FORUM_TYPE = 'com.atmoboards.forum'
export const PUBLIC = { $type: 'com.atproto.simplespace.defs#publicPolicy' }

export interface Adopted {
  readonly world: World
  readonly plc: FakePlc
  /** The account that the community is. */
  readonly account: Person
  /** Its owner. */
  readonly alice: Person
  readonly bob: Person
  readonly rita: Person
  readonly carol: Person
  readonly forum: string
  readonly hosts: Readonly<Record<Generation, AskingHost>>
  close(): Promise<void>
}

/** The body of a yes; anything else is a fault of the scene. */
export function accepted({ status, body }: Answer): Answer['body'] {
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body
}

export const adopt = (account: Person, owner: Pick<Person, 'did'>, more: object = {}): Promise<Answer> =>
  account.call(`${R}.community.adopt`, { name: 'Allotments', owner: owner.did, ...more })

/** Binds a space of the account and answers its URI. */
export async function bind(owner: Person, account: Person, skey: string, more: object = {}): Promise<string> {
  const input = { community: account.did, spaceType: FORUM_TYPE, skey, host: 'pds', ...more }
  return accepted(await owner.call(`${R}.space.create`, input)).uri
}

export async function putIn(owner: Person, space: string, did: string, role = 'member', more: object = {}) {
  return accepted(await owner.call(`${R}.member.put`, { space, did, role, ...more }))
}

/** Takes somebody off a roster. */
export async function takeOut(owner: Person, space: string, did: string) {
  return accepted(await owner.call(`${R}.member.remove`, { space, did }))
}

export const hostsOf = (world: Pick<World, 'config' | 'clock'>): Adopted['hosts'] => {
  const managingApp = `${world.config.serviceDid}#reeve`
  const open = (generation: Generation) => openAskingHost({ managingApp, generation, clock: world.clock })
  return { august: open('august'), october: open('october') }
}

export async function openAdopted(database: TestDatabase, more: WorldOptions = {}): Promise<Adopted> {
  const plc = await startFakePlc()
  const world = await openWorld({ database, plcUrl: plc.url, ...more })
  const people = Array.from({ length: 5 }, () => world.person())
  const [account, alice, bob, rita, carol] = await Promise.all(people)
  if (!account || !alice || !bob || !rita || !carol) throw new Error('nobody came')
  accepted(await adopt(account, alice))
  const forum = await bind(alice, account, 'main')
  await putIn(alice, forum, bob.did, 'member')
  await putIn(alice, forum, rita.did, 'reader')
  return {
    ...{ world, plc, account, alice, bob, rita, carol, forum, hosts: hostsOf(world) },
    async close() {
      await world.close()
      await plc.close()
    },
  }
}

export interface KeptRow {
  readonly community: string
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly subject: string | null
  readonly because: Readonly<Record<string, unknown>> & { readonly reasons: readonly { readonly rule: string }[] }
}

/** What the log has of questions, in the order in which it came there; of one space, or of all. */
export async function keptIn(database: TestDatabase, space?: string): Promise<KeptRow[]> {
  const { rows } = await sql<KeptRow>`select community, actor, action, target, subject, because from audit_entry
    where (action like 'access.%' or action like 'hook.%') and (${space ?? null}::text is null or target = ${space ?? null})
    order by id`.execute(database.db)
  return rows
}

/** Everything that the database holds but the log and what workers do by themselves meanwhile, as one text; and how long the log is. */
export async function stateOf(database: TestDatabase): Promise<string> {
  const { rows } = await sql<{ name: string }>`select table_name as name from information_schema.tables
    where table_schema = current_schema() and table_name not in ('audit_entry', 'audit_head', 'standing_moved', 'spent', 'spent_floor', 'from_past', 'from_past_seen', 'idempotency', 'plc_watch') order by 1`.execute(
    database.db,
  )
  const lines: string[] = []
  for (const { name } of rows) {
    const held = await sql<{
      print: string | null
    }>`select count(*) || ' ' || md5(string_agg(t::text, ',' order by t::text)) as print
      from ${sql.table(name)} t`.execute(database.db)
    lines.push(`${name} ${held.rows[0]?.print ?? 'empty'}`)
  }
  const { rows: kept } = await sql<{ n: number }>`select count(*)::int as n from audit_entry`.execute(database.db)
  return [...lines, `log ${kept[0]?.n}`].join('\n')
}

/** The tokens that are known to be spent. */
export async function spentIn(database: TestDatabase): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ id: string }>`select encode(id, 'hex') as id from spent`.execute(database.db)
  return new Set(rows.map(({ id }) => id))
}
