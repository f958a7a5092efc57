/**
 * The side that is measured: one Reeve in a process of its own, with everything as in production, its rates too. Only what it remembers is
 * filled to the brim before: caches that fill for a quarter of an hour would look like a leak, and whoever runs it has them full anyway.
 *
 * `SOAK_LEAK`: so many bytes of each request are kept here, beside the house, to show that the run would see a leak of that size.
 */
import { subscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { sql } from 'kysely'
import { RATES } from '../src/doors/rate-buckets.ts'
import { parseServiceAuth, type ServiceAuth } from '../src/identity/service-auth.ts'
import type { Did, SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { parseConfig, processEnvironment } from '../src/platform/config.ts'
import { parseDidKey } from '../src/platform/multikey.ts'
import { openReeve } from '../src/reeve.ts'
import { makeKey, makeServiceJwt } from '../test/kit/tokens.ts'
import type { MeasuredOrder, MeasuredReport, MeasuredSample, TableSize } from './words.ts'

const MIB = 2 ** 20
const LEAK_BYTES = Number(process.env['SOAK_LEAK'] ?? 0)
/** The table of what is kept of each request when a leak is planted: an array of as many small numbers takes eight bytes for each. */
const leaked: number[][] = []
const { gc } = globalThis
if (!gc) throw new Error('start it with --expose-gc')

const config = parseConfig(processEnvironment())
const nameServers = (process.env['SOAK_NAME_SERVER'] ?? '').split(',')
const reeve = await openReeve(config, { nameServers })
const { house } = reeve

const report = (message: MeasuredReport): void => {
  process.send?.(message)
}

let requests = 0
let answers: Record<string, number> = {}
subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage }
  requests += 1
  if (LEAK_BYTES > 0) leaked.push(new Array(Math.ceil(LEAK_BYTES / 8)).fill(request.headersDistinct ? 1 : 0))
})
subscribe('http.server.response.finish', (message) => {
  const { response } = message as { response: ServerResponse }
  answers[response.statusCode] = (answers[response.statusCode] ?? 0) + 1
})

const delay = monitorEventLoopDelay({ resolution: 10 })
delay.enable()

// Whoever gives the orders is gone.
process.on('disconnect', () => process.exit(1))
process.on('message', (order: MeasuredOrder) => {
  if (order.kind === 'fill') void fill(order.account).then(() => report({ kind: 'filled' }))
  if (order.kind === 'sample') void sample(order).then((taken) => report({ kind: 'sample', sample: taken }))
  if (order.kind === 'end') void reeve.close().then(() => process.exit(0))
})
report({ kind: 'ready' })

async function sample(order: Extract<MeasuredOrder, { kind: 'sample' }>): Promise<MeasuredSample> {
  const { isCollected, hasTables } = order
  const loopP99Ms = delay.percentile(99) / 1e6
  const tables = hasTables ? await tableSizes() : []
  const connections = hasTables && process.env['DATABASE_URL'] ? await connectionsOf() : null
  const { lanesWaiting, notesWaiting } = await outboxes()
  if (isCollected) gc?.()
  delay.reset()
  const { heapUsed, rss, external, arrayBuffers } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  const taken: MeasuredSample = {
    ...{ heapMiB: heapUsed / MIB, isCollected, rssMiB: rss / MIB, externalMiB: external / MIB },
    ...{ buffersMiB: arrayBuffers / MIB, loopP99Ms, cpuSec: (user + system) / 1e6, starvedSec: starvedSec() },
    ...{ handles: tallyOf(process.getActiveResourcesInfo()), sizes: house.sizes.list(), requests, answers },
    ...{ tables, connections, lanesWaiting, notesWaiting },
  }
  requests = 0
  answers = {}
  return taken
}

/** How long its thread would have run, had there been a processor; 0 where the system doesn't say. */
function starvedSec(): number {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[1]) / 1e9
  } catch {
    return 0
  }
}

function tallyOf(names: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

/** Tables that grow with what is asked, and which of their rows should have been swept. Times are those of two sweeps ago. */
async function tableSizes(): Promise<readonly TableSize[]> {
  const agoMs = systemClock.nowMs() - 130_000
  const agoSec = Math.floor(agoMs / 1_000)
  const none = sql<boolean>`false`
  const overdueOf = {
    // Noted as over in one turn of the sweep, forgotten in the next.
    spent: sql<boolean>`keep_until_sec < ${agoSec - 60}`,
    idempotency: sql<boolean>`keep_until_ms < ${agoMs}`,
    issuance: sql<boolean>`expires_at_sec < ${agoSec - 24 * 3_600}`,
    revocation_call: sql<boolean>`at_ms < ${agoMs - 24 * 3_600_000}`,
    registration: sql<boolean>`expires_at_ms < ${agoMs} and ended_at_ms is null`,
    ...{ audit_entry: none, revocation_notice: none, standing_moved: none, space_end: none, app_seen: none },
    ...{ writer: none, person_edge: none, space: none, space_edge: none, departure: none, app_rule: none },
  }
  const dead = new Map<string, number>()
  const stats = await sql<{
    relname: string
    n: number
  }>`select relname, n_dead_tup::int as n from pg_stat_user_tables`.execute(house.db)
  for (const { relname, n } of stats.rows) dead.set(relname, n)
  const sizes: TableSize[] = []
  for (const [name, overdue] of Object.entries(overdueOf)) {
    const { rows } = await sql<{ rows: number; overdue: number }>`select count(*)::int as rows,
      (count(*) filter (where ${overdue}))::int as overdue from ${sql.table(name)}`.execute(house.db)
    sizes.push({ name, rows: rows[0]?.rows ?? 0, overdue: rows[0]?.overdue ?? 0, dead: dead.get(name) ?? 0 })
  }
  return sizes
}

async function connectionsOf(): Promise<{ all: number; busy: number }> {
  const { rows } = await sql<{ all: number; busy: number }>`select count(*)::int as all,
    (count(*) filter (where state <> 'idle' and pid <> pg_backend_pid()))::int as busy
    from pg_stat_activity where datname = current_database() and application_name = 'reeve'`.execute(house.db)
  return rows[0] ?? { all: 0, busy: 0 }
}

async function outboxes(): Promise<{ lanesWaiting: number; notesWaiting: number }> {
  const { rows } = await sql<{ lanesWaiting: number; notesWaiting: number }>`select
    (select count(*) from registration join writer_set using (space) where last_rev > delivered_rev and failures = 0 and ended_at_ms is null)::int as "lanesWaiting",
    (select count(*) from standing_moved)::int as "notesWaiting"`.execute(house.db)
  return rows[0] ?? { lanesWaiting: 0, notesWaiting: 0 }
}

// ── filling ──

/** A name of the directory's form that nobody has. */
const nobody = (at: number): Did =>
  `did:plc:zz${[...String(at)]
    .map((digit) => 'abcdefghij'[Number(digit)])
    .join('')
    .padStart(22, 'z')}` as Did
const mostOf = (name: string): number => house.sizes.list().find((one) => one.name === name)?.most ?? 0

/** Names that strangers could have had remembered by now, in everything that remembers some. */
async function fill(account: Did): Promise<void> {
  const nowMs = systemClock.monotonicMs()
  const { hook } = house
  for (const name of Object.keys(RATES) as (keyof typeof RATES)[])
    for (let at = 0; at < mostOf(`buckets: ${name}`); at++) house.buckets.owe(name, nobody(at), 1)
  for (let at = 0; at < mostOf('decisions on record'); at++) await hook.kept.keep([nobody(at)], nowMs, async () => {})
  for (let at = 0; at < mostOf('people by whose apps was asked'); at++) hook.apps.has([nobody(at)], nobody(at), nowMs)
  for (let at = 0; at < mostOf('spaces asked about'); at++) hook.asked.isOver(nobody(at), nowMs)
  for (let at = 0; at < mostOf('strangers asked about'); at++) hook.strangers.take(nobody(at), nobody(at), nowMs)
  for (let at = 0; at < mostOf('refused writes'); at++)
    house.refusedWrites.take(account as string as SpaceUri, nobody(at), nowMs)
  await fillTokens(account)
  await fillDocuments()
}

async function fillTokens(account: Did): Promise<void> {
  const key = makeKey('p256')
  const held = parseDidKey(key.didKey)?.key ?? null
  const about = { key, iss: account, aud: config.serviceDid, lxm: 'com.atproto.simplespace.checkUserAccess' }
  for (let at = 0; at < mostOf('verified tokens'); at++) {
    const text = makeServiceJwt({ ...about, nowSec: systemClock.nowSec() })
    const auth: ServiceAuth = parseServiceAuth(text, systemClock.nowSec())
    await house.verifiedTokens.verify(text, auth, async () => held)
  }
}

const FETCHED_AT_ONCE = 60

async function fillDocuments(): Promise<void> {
  let next = 0
  const isFull = () =>
    house.sizes.list().some(({ name, size, most }) => /^DID documents/.test(name) && size >= 0.999 * most)
  const fetchOn = async () => {
    while (!isFull()) await house.documents.resolve(nobody(next++))
  }
  await Promise.all(Array.from({ length: FETCHED_AT_ONCE }, fetchOn))
}
