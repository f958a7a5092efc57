/** What the doors are tried on: communities that have nothing to do with each other, and what a knock could change there. */
import { sql } from 'kysely'
import type { Did } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { putRegistrations } from '../kit/registering.ts'
import { openWorld, type Person, type World, type WorldOptions } from '../kit/world.ts'

export interface Stage {
  readonly world: World
  /** Owner of `community`, where `forum` is. */
  readonly alice: Person
  /** Member of `forum`. */
  readonly bob: Person
  /** Owner of `elsewhere`, a stranger to `community`. */
  readonly eve: Person
  readonly community: Did
  readonly forum: string
  /** Imports into `forum`, begun by alice. */
  readonly openImport: string
  readonly cancelledImport: string
  readonly elsewhere: Did
  readonly elsewhereForum: string
  /** A space of alice's own account, which was adopted and is owned by bob: her PDS may ask about it. */
  readonly meadow: string
  /** Registered to hear of writes in `forum`, where nobody writes. */
  readonly listener: string
  close(): Promise<void>
}

/** Opens a world of its own with both communities in it. */
export async function openStage(options: WorldOptions = {}): Promise<Stage> {
  const world = await openWorld(options)
  // Nobody is at the address of the service that is registered below: being told would end it in the middle of some test.
  await world.reeve.house.dispatcher.stop()
  const [alice, bob, eve] = await Promise.all([world.person(), world.person(), world.person()])
  const community = await world.found(alice)
  const forum = await world.makeSpace(alice, community, { skey: 'main' })
  await alice.call('community.reeve.member.put', { space: forum, did: bob.did, role: 'member' })
  const lines = JSON.stringify({ did: bob.did, role: 'member' })
  const [openImport, cancelledImport] = await Promise.all(
    [1, 2].map(async () => (await alice.call('community.reeve.member.import', { space: forum, lines })).body.import),
  )
  await alice.call('community.reeve.member.cancelImport', { import: cancelledImport })
  const elsewhere = await world.found(eve, { name: 'Fishers' })
  const elsewhereForum = await world.makeSpace(eve, elsewhere, { skey: 'main' })
  const listener = 'did:web:sync.example.com#sync'
  const registered = { service: listener, expiresAtMs: world.clock.nowMs() + 24 * 60 * 60 * 1000 }
  await putRegistrations(world.database, [{ space: forum, ...registered, sponsors: [bob.did] }])
  await alice.call('community.reeve.community.adopt', { name: 'Meadow', owner: bob.did })
  const hosted = { community: alice.did, spaceType: 'com.atmoboards.forum', skey: 'meadow', host: 'pds' }
  const meadow = (await bob.call('community.reeve.space.create', hosted)).body.uri
  const close = () => world.close()
  const communities = { community, forum, elsewhere, elsewhereForum, meadow }
  return { world, alice, bob, eve, ...communities, openImport, cancelledImport, listener, close }
}

/** Tables that a refused call may touch: what was used up, what is kept about refusals, and what workers do meanwhile. */
const MAY_MOVE = [
  'spent',
  'spent_floor',
  'from_past',
  'from_past_seen',
  'audit_entry',
  'audit_head',
  'migration',
  'standing_moved',
  'held_turn',
  'plc_watch',
  'steered_basis',
  'steered_member',
  'steered_actual',
]
/** Of what a worker writes all the time: what callers decide. */
const DECIDED: Readonly<Record<string, string>> = {
  arrival: 'id, did, caller, name, statement, state',
  steered_space: 'space, mode, begun_by',
  steered_look: `id, space, asked_by, state = 'applied' as is_applied`,
}

/** Everything that the database holds about communities, people and credentials, as one line per table. */
export async function holdings(db: Db): Promise<readonly string[]> {
  const { rows } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables
    where table_schema = current_schema() order by table_name`.execute(db)
  const lines: string[] = []
  for (const { name } of rows) {
    if (MAY_MOVE.includes(name)) continue
    const held = await sql<{ print: string | null }>`
      select count(*) || ' ' || md5(string_agg(t::text, ',' order by t::text)) as print
      from (select ${sql.raw(DECIDED[name] ?? '*')} from ${sql.table(name)}) t`.execute(db)
    lines.push(`${name} ${held.rows[0]?.print ?? 'empty'}`)
  }
  return lines
}

/** How many credentials were ever issued. */
export async function countIssued(db: Db): Promise<number> {
  const { rows } = await sql<{ n: number }>`select count(*)::int as n from issuance`.execute(db)
  return rows[0]?.n ?? 0
}
