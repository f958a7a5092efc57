/**
 * A community as big as they get, filled by a few statements: a plaza with everybody on its roster, a tree of nested spaces in
 * which every second person stands somewhere, a hub on 1,000 rosters, a wide space fed by 1,000, people on 1,000 rosters each.
 *
 * Who is where follows from their number, so that nothing has to be read back.
 */
import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { type Did, ROLE_SPACE_TYPE, type SpaceUri, spaceUriOf } from '../src/names.ts'
import { type OpenDatabase, withTransaction } from '../src/platform/database.ts'
import { inTransactionScope } from '../src/platform/transaction-scope.ts'
import { type Community, didOf, FORUM, openCommunity, type Roll, rollOn } from '../test/kit/roll.ts'

/** Each space of the tree is on the roster of the one above it, which has three such entries, eight levels down. */
const FANOUT = 3
export const DEPTH = 8
export const TREE = (FANOUT ** (DEPTH + 1) - 1) / (FANOUT - 1)
const FIRST_LEAF = (FANOUT ** DEPTH - 1) / (FANOUT - 1)
/** Coprime with the size of the tree: spreads people over it. */
const STRIDE = 7919
const HUB_TARGETS = 1_000
const WIDE_SOURCES = 1_000
const POWERFUL = 10
const POWERFUL_SPACES = 1_000
export const LAYERS = 18
/** Spaces with nothing on their rosters, for nesting something in them. */
const DESKS = 400

export interface World {
  readonly roll: Roll
  readonly community: Community
  readonly people: number
  /** Rows of people on rosters, and of spaces. */
  readonly entries: number
  readonly edges: number
  readonly space: (skey: string) => SpaceUri
  readonly desk: (at: number) => SpaceUri
}

const personText = (key: string): string =>
  `did:plc:${createHash('md5')
    .update(key)
    .digest('hex')
    .slice(0, 24)
    .replace(/[0189]/g, (digit) => 'ghij'['0189'.indexOf(digit)] ?? '')}`

/** The DID of the person with a number, or of one with a name. */
export const personOf = (key: number | string): Did => didOf(personText(String(key)))
/** The same in SQL. */
export const DID_OF_K = sql`'did:plc:' || translate(left(md5(k::text), 24), '0189', 'ghij')`

/** In which space of the tree a person stands; null for every second one, who stands in none. */
export const nodeOf = (person: number): number | null => (person % 2 === 0 ? ((person / 2) * STRIDE) % TREE : null)
export const isLeaf = (node: number): boolean => node >= FIRST_LEAF
export const parentOf = (node: number): number => Math.floor((node - 1) / FANOUT)
export const isInHub = (person: number): boolean => person % 1_000 === 7
export const hubTarget = (at: number): string => `t-${1 + 9 * (at % HUB_TARGETS)}`
/** On the roster of the community itself, from which an edge goes to every space, though only for owners. */
export const isOnRoster = (person: number): boolean => person % 100 === 3
export const isUnderWide = (person: number): boolean => person % 10 === 0
export const powerful = (at: number): Did => personOf(`powerful-${at % POWERFUL}`)

/** Makes the world in an empty database. It takes a while: a second per 30,000 people or so. */
export async function fillWorld(database: OpenDatabase, people: number): Promise<World> {
  const roll = rollOn(database.db)
  const community = await openCommunity(roll)
  const isForum = (skey: string) => /^(?:plaza|wide|desk-)/.test(skey)
  const space = (skey: string): SpaceUri => spaceUriOf(community.did, isForum(skey) ? FORUM : ROLE_SPACE_TYPE, skey).uri
  const numbers = (count: number) => Array.from({ length: count }, (_, at) => at)

  const skeys = [
    ...['plaza', 'wide', 'hub'],
    ...numbers(TREE).map((node) => `t-${node}`),
    ...numbers(WIDE_SOURCES).map((at) => `w-${at}`),
    ...numbers(LAYERS + 1).flatMap((layer) => [`d-${layer}-0`, `d-${layer}-1`, `c-${layer}`]),
    ...numbers(DESKS).map((at) => `desk-${at}`),
  ]
  const nested: [into: string, from: string][] = [
    ...numbers(TREE - 1).map((at): [string, string] => [`t-${parentOf(at + 1)}`, `t-${at + 1}`]),
    ...numbers(HUB_TARGETS).map((at): [string, string] => [hubTarget(at), 'hub']),
    ...numbers(WIDE_SOURCES).map((at): [string, string] => ['wide', `w-${at}`]),
    ...numbers(LAYERS).flatMap((layer): [string, string][] => [
      ...[0, 1].flatMap((one) => [0, 1].map((two): [string, string] => [`d-${layer + 1}-${one}`, `d-${layer}-${two}`])),
      [`c-${layer + 1}`, `c-${layer}`],
    ]),
  ]
  const few: [into: string, person: Did][] = [
    ...numbers(POWERFUL * POWERFUL_SPACES).map((at): [string, Did] => [
      `t-${((at % POWERFUL) + 9 * Math.floor(at / POWERFUL)) % TREE}`,
      powerful(at),
    ]),
    ['d-0-0', personOf('diamonds')],
    ['c-0', personOf('chain')],
  ]

  const { did, founder, roster } = community
  const nowMs = roll.clock.nowMs()
  await withTransaction(
    database.db,
    async (tx) => {
      await sql`set local statement_timeout = 0`.execute(tx)
      // A million rows are not looked up in the tables they refer to: what is written here is right by making.
      await sql`set local session_replication_role = replica`.execute(tx)
      await sql`insert into space (uri, community, space_type, skey, state, created_by, created_at_ms)
        select uri, ${did}, space_type, skey, 'live', ${founder}, ${nowMs}::bigint from unnest(${skeys.map(space)}::text[],
          ${skeys.map((skey) => (isForum(skey) ? FORUM : ROLE_SPACE_TYPE))}::text[], ${skeys}::text[]) made (uri, space_type, skey)`.execute(
        tx,
      )
      await sql`insert into space_settings (uri, read_policy, write_policy)
        select uri, 'memberList', 'memberList' from space where community = ${did} and uri <> ${roster}`.execute(tx)
      await sql`insert into space_edge (into_space, from_space, role, community, holding, is_system, added_by, added_at_ms)
        select uri, ${roster}, 'owner', ${did}, 'community.transfer', true, ${founder}, ${nowMs}::bigint
          from space where community = ${did} and uri <> ${roster}
        union all select into_space, from_space, 'reader', ${did}, null, false, ${founder}, ${nowMs}::bigint
          from unnest(${nested.map(([into]) => space(into))}::text[], ${nested.map(([, from]) => space(from))}::text[])
            made (into_space, from_space)`.execute(tx)
      const everyone = sql`generate_series(1, ${people}::bigint) k`
      const under = (skey: string) => space(skey).slice(0, -1) // what is before the number
      await sql`insert into person_edge (into_space, did, community, role, added_by, added_at_ms)
        select into_space, did, ${did}, 'member', ${founder}, ${nowMs}::bigint from (
          select ${space('plaza')} as into_space, ${DID_OF_K} as did from ${everyone}
          union all select ${under('t-0')} || (k / 2 * ${STRIDE} % ${TREE}), ${DID_OF_K} from ${everyone} where k % 2 = 0
          union all select ${under('w-0')} || (k / 10 % ${WIDE_SOURCES}), ${DID_OF_K} from ${everyone} where k % 10 = 0
          union all select ${space('hub')}, ${DID_OF_K} from ${everyone} where k % 1000 = 7
          union all select ${roster}, ${DID_OF_K} from ${everyone} where k % 100 = 3
          union all select * from unnest(${few.map(([into]) => space(into))}::text[], ${few.map(([, who]) => who)}::text[])
        ) made`.execute(tx)
      await sql`update community_revision set graph_revision = graph_revision + 1, revision = revision + 1
        where community = ${did}`.execute(tx)
    },
    { isPatient: true },
  )
  await settle(database)
  const { rows } = await sql<{ entries: number; edges: number }>`select
    (select count(*) from person_edge) as entries, (select count(*) from space_edge) as edges`.execute(database.db)
  const [counted] = rows
  if (!counted) throw new Error('nothing was counted')
  return { roll, community, people, ...counted, space, desk: (at) => space(`desk-${at % DESKS}`) }
}

/** What a server does by itself within minutes of such a load: statistics, and pages marked as seen by everybody. */
export async function settle({ db }: Pick<OpenDatabase, 'db'>): Promise<void> {
  await inTransactionScope(true, () =>
    db.connection().execute(async (one) => {
      await sql`set statement_timeout = 0`.execute(one)
      for (const table of ['space', 'space_settings', 'space_edge', 'person_edge', 'community_revision']) {
        await sql`vacuum (analyze) ${sql.table(table)}`.execute(one)
      }
      await sql`checkpoint`.execute(one)
      await sql`reset statement_timeout`.execute(one)
    }),
  )
}
