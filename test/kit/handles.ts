/** A world in which communities have handles: served domains, a directory that can misbehave, domains that say what a test likes. */
import { sql } from 'kysely'
import { expect } from 'vitest'
import type { Did } from '../../src/names.ts'
import type { TestDatabase } from './databases.ts'
import { type FakePlc, honestLog, type PlcLogRow, startFakePlc } from './fake-plc.ts'
import { holdWorker } from './held-worker.ts'
import { type NameServer, startNameServer, type Told } from './name-server.ts'
import { headOf, signed, submitOperation } from './people.ts'
import type { TestKey } from './tokens.ts'
import { type Answer, openWorld, type Person, type World } from './world.ts'

export const SET = 'community.reeve.community.setHandle'
export const GET = 'community.reeve.community.get'
export const SERVED = 'gardens.example'

export interface HandleWorld {
  readonly world: World
  readonly plc: FakePlc
  readonly names: NameServer
  readonly database: TestDatabase
  readonly alice: Person
  readonly bob: Person
  /** What a domain says in DNS; null: its name server says nothing at all. */
  say(handle: string, told: Told | null): void
  /** A handle that no other test has. */
  served(): string
  own(): string
  set(community: Did, input: object, by?: Person): Promise<Answer>
  whoIs(host: string): Promise<Answer>
  shownHandle(community: Did): Promise<string | undefined>
  close(): Promise<void>
}

export async function openHandleWorld(database: TestDatabase): Promise<HandleWorld> {
  const plc = await startFakePlc()
  const told = new Map<string, Told | null>()
  const names = await startNameServer((host) => {
    const here = told.get(host.replace(/^_atproto\./, ''))
    return here === undefined ? { rcode: 3 } : here
  })
  const world = await openWorld({
    database: holdWorker(database),
    plcUrl: plc.url,
    environment: { REEVE_HANDLE_DOMAINS: SERVED },
    nameServers: [names.address],
  })
  const [alice, bob] = await Promise.all([world.person(), world.person()])
  for (const person of [alice, bob]) await person.ask('community.reeve.community.list')
  let made = 0
  return {
    world,
    plc,
    names,
    database,
    alice,
    bob,
    say: (handle, what) => void told.set(handle, what),
    served: () => `garden-${++made}.${SERVED}`,
    own: () => `garden-${++made}.org`,
    set: (community, input, by = alice) => by.call(SET, { community, ...input }),
    whoIs: (host) => world.send({ path: '/.well-known/atproto-did', headers: [['host', host]] }),
    async shownHandle(community) {
      return (await alice.ask(GET, { community })).body.handle
    },
    async close() {
      await world.close()
      await names.close()
      await plc.close()
    },
  }
}

/** The operation in force at the honest directory. */
export async function inForce(plc: FakePlc, community: Did): Promise<PlcLogRow['operation']> {
  const last = (await honestLog(plc, community))?.at(-1)
  if (!last) throw new Error('no such DID')
  return last.operation
}

/** An operation by a key of the community itself, over what is in force. */
export async function changeBehindOurBack(plc: FakePlc, community: Did, key: TestKey, change: object): Promise<void> {
  const { sig: _sig, ...rest } = await inForce(plc, community)
  const prev = await headOf(plc.honestUrl, community)
  await submitOperation(plc.honestUrl, community, signed(key, { ...rest, ...change, prev }))
}

/** Everything about a change of handle that stands in the database. */
export async function handleRows(database: TestDatabase, community: Did) {
  const all = async (query: ReturnType<typeof sql<Record<string, unknown>>>) => (await query.execute(database.db)).rows
  return {
    community: await all(sql`select handle from community where did = ${community}`),
    work: await all(sql`select step, fault, about from plc_work where community = ${community}`),
    served: await all(
      sql`select handle from served_handle where community = ${community} and held_until_ms is null order by handle`,
    ),
    held: await all(
      sql`select handle from served_handle where community = ${community} and held_until_ms is not null order by handle`,
    ),
    revision: await all(sql`select revision from community_revision where community = ${community}`),
    audit: await all(
      sql`select because from audit_entry where community = ${community} and action = 'community.setHandle' order by id`,
    ),
  }
}

/** That a call left no trace: the same rows, and nothing new at the directory. */
export async function expectUnchanged(hers: HandleWorld, community: Did, work: () => Promise<void>): Promise<void> {
  const { plc, database } = hers
  const look = async () => {
    const { audit: _refusalsAreKept, ...rows } = await handleRows(database, community)
    return { ...rows, log: await honestLog(plc, community) }
  }
  const before = await look()
  await work()
  expect(await look()).toEqual(before)
}
