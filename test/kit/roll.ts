/**
 * A roll without a network: communities opened straight on a database, by the same store functions under the same permits as
 * the walk that founds them, and the actions called as the doors call them.
 *
 * `nest` writes edges between spaces past the verdicts, with the community's row held and its numbers raised.
 */
import { type Kysely, sql } from 'kysely'
import { appendChained } from '../../src/audit/store.ts'
import { Graphs } from '../../src/membership/graph.ts'
import { Hosted } from '../../src/membership/hosted.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { memberRemove } from '../../src/membership/memberRemove.ts'
import { openPaces, type Paces } from '../../src/membership/pace.ts'
import {
  insertSpace,
  lockRevisions,
  raiseRevisions,
  savePersonEdge,
  startRevisions,
} from '../../src/membership/store.ts'
import { type Did, type Nsid, parseDid, ROLE_SPACE_TYPE, rosterOf, type SpaceUri, spaceUriOf } from '../../src/names.ts'
import { type Clock, systemClock } from '../../src/platform/clock.ts'
import { type Db, type Tables, type Tx, withTransaction } from '../../src/platform/database.ts'
import { type ProcedureCall, requestHashOf } from '../../src/platform/idempotency.ts'
import { type Random, systemRandom } from '../../src/platform/random.ts'
import { SealedWords } from '../../src/platform/sealed-words.ts'
import { decideFounding, type UserPolicy } from '../../src/policy/decide.ts'
import { ownersEdge } from '../../src/policy/decide-spaces.ts'
import { OWNER } from '../../src/policy/roles.ts'
import type { Edge } from '../../src/policy/roster-graph.ts'
import { Refusal } from '../../src/refusals.ts'
import { spaceCreate } from '../../src/space/spaceCreate.ts'
import { insertSettings } from '../../src/space/store.ts'

/** What the actions of the roll are given. The clock stands still until a test moves it. */
export interface Roll {
  readonly db: Db
  readonly clock: Clock & { moveMs(ms: number): void }
  readonly graphs: Graphs
  readonly paces: Paces
  readonly words: SealedWords
  readonly random: Random
  readonly serviceDid: Did
  readonly hosted: Hosted
}

/** All processes of an instance understand each other's words. */
const WORDS = new SealedWords('the same for every roll')

/** What the service itself is called. */
export const SERVICE = 'did:web:reeve.example.com' as Did

/** One process's view of a database: its own graphs, its own clock. */
export const rollOn = (db: Db, startMs = systemClock.nowMs()): Roll => ({
  db,
  clock: settableClock(startMs),
  graphs: new Graphs(),
  paces: openPaces(),
  words: WORDS,
  random: systemRandom,
  serviceDid: SERVICE,
  hosted: new Hosted(),
})

function settableClock(startMs: number): Roll['clock'] {
  let nowMs = startMs
  return {
    nowMs: () => nowMs,
    nowSec: () => Math.floor(nowMs / 1000),
    monotonicMs: () => nowMs,
    moveMs(ms) {
      nowMs += ms
    },
  }
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

/** A DID that nobody had before. */
export function freshDid(): Did {
  const text = [...systemRandom.bytes(24)].map((byte) => BASE32.charAt(byte & 31)).join('')
  return didOf(`did:plc:${text}`)
}

export function didOf(text: string): Did {
  const did = parseDid(text)
  if (!did) throw new Error(`no DID: ${text}`)
  return did
}

export const FORUM = 'com.atmoboards.forum' as Nsid

export interface Community {
  readonly did: Did
  readonly roster: SpaceUri
  readonly founder: Did
}

/** Opens a community as the end of its founding does, with its founder as the only owner. */
export async function openCommunity(roll: Roll, founder: Did = freshDid(), did: Did = freshDid()): Promise<Community> {
  const roster = rosterOf(did)
  const nowMs = roll.clock.nowMs()
  const permit = decideFounding(founder)
  await withTransaction(roll.db, async (tx) => {
    await startRevisions(tx, did)
    await insertSpace(tx, permit, roster, null, nowMs)
    await insertSettings(tx, permit, roster.uri, {
      name: null,
      description: null,
      readPolicy: 'memberList',
      writePolicy: 'memberList',
    })
    const owner = { into: roster.uri, from: founder, role: OWNER, holding: null, sinceMs: null, untilMs: null }
    await savePersonEdge(tx, permit, did, owner, nowMs)
    const revision = await raiseRevisions(tx, did, { graph: true })
    const because = { reasons: permit.because, revision }
    const fact = { community: did, atMs: nowMs, actor: founder, target: did, subject: founder, because }
    await appendChained(tx, { ...fact, action: 'community.mint' })
  })
  return { did, roster: roster.uri, founder }
}

/** A space made by the founder. */
export async function makeForum(roll: Roll, { did, founder }: Community, skey: string): Promise<SpaceUri> {
  const { uri } = await spaceCreate(roll, founder, { community: did, spaceType: FORUM, skey }, once())
  return uri as SpaceUri
}

/** A role space, past the verdicts. */
export async function makeRoleSpace(roll: Roll, { did, founder, roster }: Community, skey: string): Promise<SpaceUri> {
  const space = spaceUriOf(did, ROLE_SPACE_TYPE, skey)
  const settings = { name: skey, description: null, readPolicy: 'memberList', writePolicy: 'memberList' } as const
  await withTransaction(roll.db, async (tx) => {
    await lockRevisions(tx, did)
    const permit = decideFounding(founder)
    await insertSpace(tx, permit, space, ownersEdge(roster, space.uri), roll.clock.nowMs())
    await insertSettings(tx, permit, space.uri, settings)
    await raiseRevisions(tx, did, { graph: true })
  })
  return space.uri
}

type NestedEdge = Pick<Edge, 'into' | 'role'> & { readonly from: SpaceUri } & Partial<Edge>

/** Puts a space on another one's roster. */
export const nest = (roll: Roll, community: Did, edge: NestedEdge): Promise<void> =>
  withTransaction(roll.db, async (tx) => {
    await lockRevisions(tx, community)
    await insertNested(tx, community, edge)
    await raiseRevisions(tx, community, { graph: true })
  })

export async function insertNested(tx: Tx, community: Did, edge: NestedEdge): Promise<void> {
  await tx
    .insertInto('space_edge')
    .values({
      into_space: edge.into,
      from_space: edge.from,
      role: edge.role,
      community,
      holding: edge.holding ?? null,
      since_ms: edge.sinceMs ?? null,
      until_ms: edge.untilMs ?? null,
      is_system: false,
      added_by: community,
      added_at_ms: 0,
    })
    .execute()
}

/** Takes a space off another one's roster. */
export const unnest = (roll: Roll, community: Did, { into, from, role }: NestedEdge): Promise<void> =>
  withTransaction(roll.db, async (tx) => {
    await lockRevisions(tx, community)
    await tx
      .deleteFrom('space_edge')
      .where('into_space', '=', into)
      .where('from_space', '=', from)
      .where('role', '=', role)
      .execute()
    await raiseRevisions(tx, community, { graph: true })
  })

/** Changes who may read a space besides its roster, as no method does yet. */
export const openToPublic = (roll: Roll, space: SpaceUri, policy: 'read_policy' | 'write_policy'): Promise<unknown> =>
  roll.db
    .updateTable('space_settings')
    .set({ [policy]: 'public' satisfies UserPolicy })
    .where('uri', '=', space)
    .execute()

/** A call without a key. */
export const once = (): ProcedureCall => ({ requestHash: requestHashOf({}), idempotency: null })

/** A call of `method` with this body under a key, as the door makes it. */
export function keyed(actor: Did, method: string, key: string, body: Readonly<Record<string, unknown>>): ProcedureCall {
  const requestHash = requestHashOf(body)
  return { requestHash, idempotency: { actor, method, key, requestHash } }
}

type PutInput = Parameters<typeof memberPut>[2]
type RemoveInput = Parameters<typeof memberRemove>[2]

export const put = (roll: Roll, actor: Did, space: string, did: string, role: string, more: object = {}) =>
  memberPut(roll, actor, { space, did, role, ...more } as PutInput, once())

export const remove = (roll: Roll, actor: Did, space: string, did: string, more: object = {}) =>
  memberRemove(roll, actor, { space, did, ...more } as RemoveInput, once())

/** What somebody was told, as one text: the code and the words of a refusal, or `accepted`. */
export async function wordsOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
    return 'accepted'
  } catch (error) {
    if (error instanceof Refusal) return `${error.code}: ${error.says}`
    throw error
  }
}

/** Everything that governance has written down, for comparing before and after. */
export async function everythingIn(db: Db): Promise<Record<string, unknown[]>> {
  const names = [
    'community_revision',
    'space',
    'space_settings',
    'person_edge',
    'space_edge',
    'ban',
    'departure',
    'offer',
    'role',
    'app_access',
    'app_rule',
    'app_seen',
    'invite',
    'join_request',
    'ownership_offer',
    'proposal',
    'owner_gone',
    'import',
    'import_row',
    'idempotency',
  ] as const
  const found: Record<string, unknown[]> = {}
  for (const name of [...names, 'audit_entry', 'audit_head'] as const) found[name] = await rowsOf(db, name)
  return found
}

async function rowsOf(db: Kysely<Tables>, table: string): Promise<unknown[]> {
  const { rows } = await sql<{ row: string }>`select t::text as row from ${sql.table(table)} t order by 1`.execute(db)
  return rows.map(({ row }) => row)
}
