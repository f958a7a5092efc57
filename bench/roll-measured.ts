/**
 * The side that is measured: the roll's own functions in a process of their own, called as the doors call them.
 *
 * A cost is processor time: this process's, and that of the server's processes for this database. Every answer is compared with
 * what the world says, so that nothing is measured that isn't true. Contenders take turns, round for round.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { loadReadFacts, mayRead } from '../src/access/may-read.ts'
import type * as putLexicon from '../src/lexicons/community/reeve/member/put.ts'
import type * as resolveLexicon from '../src/lexicons/community/reeve/member/resolve.ts'
import { loadGraph } from '../src/membership/facts-store.ts'
import { memberPut } from '../src/membership/memberPut.ts'
import { memberReach } from '../src/membership/memberReach.ts'
import { cursorUse, memberResolve } from '../src/membership/memberResolve.ts'
import { type Did, parseSpaceUri, type SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { type OpenDatabase, openDatabase } from '../src/platform/database.ts'
import { silentLog } from '../src/platform/log.ts'
import { migrate } from '../src/platform/migrations.ts'
import { Secret } from '../src/platform/secret.ts'
import { once } from '../test/kit/roll.ts'
import { quantile } from './load.ts'
import {
  DEPTH,
  fillWorld,
  hubTarget,
  isInHub,
  isLeaf,
  isOnRoster,
  isUnderWide,
  LAYERS,
  nodeOf,
  parentOf,
  personOf,
  powerful,
  TREE,
  type World,
} from './roll-world.ts'

/** What to measure, as the parent says it. */
export interface RollOrder {
  readonly engine: 'postgres' | 'embedded'
  readonly folder: string
  /** One database for each size; the embedded engine has folders of its own instead. */
  readonly urls: readonly string[]
  /** The sizes, the largest first. */
  readonly members: readonly [large: number, small: number]
  readonly rounds: number
}

/** One line of the table. A row without a target tells something; `isMet` is null then. */
export interface RollRow {
  readonly row: string
  readonly definition: string
  readonly measured: string
  readonly target: string
  readonly isMet: boolean | null
}

/** Microseconds of processor time for one operation, and milliseconds until it was answered. */
export interface Cost {
  readonly nodeUs: number
  readonly serverUs: number
  readonly p50Ms: number
  readonly p99Ms: number
}

type Operation = (at: number) => Promise<unknown>

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
const total = ({ nodeUs, serverUs }: Cost): number => nodeUs + serverUs

const order: RollOrder = JSON.parse(process.argv[2] ?? '{}')
const rows: RollRow[] = []
const costs: Record<string, Cost> = {}

function tell(row: string, definition: string, measured: string, target = '', isMet: boolean | null = null): void {
  rows.push({ row, definition, measured, target, isMet })
}

const inUs = (cost: Cost): string =>
  `${total(cost).toFixed(0)} µs (${cost.nodeUs.toFixed(0)}+${cost.serverUs.toFixed(0)})`
const inMs = (ms: number): string => `${ms.toFixed(ms < 1 ? 2 : 1)} ms`
const ratioOf = (value: number): string => value.toFixed(2)

/** Processor time of the server's processes for this database, in microseconds by process. None on the embedded engine. */
async function serverUs({ db, engine }: OpenDatabase): Promise<ReadonlyMap<number, number>> {
  if (engine === 'embedded') return new Map()
  const { rows: found } = await sql<{ pid: number }>`select pid from pg_stat_activity
    where datname = current_database()`.execute(db)
  return new Map(found.map(({ pid }) => [pid, processUs(pid)]))
}

/** The kernel counts nanoseconds for every process. @throws Error when the server is on another machine */
const processUs = (pid: number): number => Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000

async function measure(database: OpenDatabase, run: Operation, count: number, inFlight: number): Promise<Cost> {
  const latenciesMs: number[] = []
  let next = 0
  const worker = async () => {
    for (let at = next++; at < count; at = next++) {
      const begun = performance.now()
      await run(at)
      latenciesMs.push(performance.now() - begun)
    }
  }
  const serverBefore = await serverUs(database)
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: inFlight }, worker))
  const { user, system } = process.cpuUsage(before)
  let server = 0
  for (const [pid, us] of await serverUs(database)) server += us - (serverBefore.get(pid) ?? 0)
  const sorted = latenciesMs.toSorted((a, b) => a - b)
  return {
    nodeUs: (user + system) / count,
    serverUs: server / count,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  }
}

interface Contender {
  readonly database: OpenDatabase
  readonly run: Operation
  readonly count: number
  readonly inFlight: number
}

/** Every contender once without counting, and then in turns. Medians of the rounds. */
async function inTurns<N extends string>(contenders: Readonly<Record<N, Contender>>): Promise<Record<N, Cost>> {
  const names = Object.keys(contenders) as N[]
  const found = Object.fromEntries(names.map((name) => [name, [] as Cost[]])) as Record<N, Cost[]>
  for (let round = -1; round < order.rounds; round++) {
    for (const name of names) {
      const { database, run, count, inFlight } = contenders[name]
      const isWarmUp = round < 0
      const cost = await measure(database, (at) => run(at + round * count + count), count, inFlight)
      if (!isWarmUp) found[name].push(cost)
    }
  }
  const medians = names.map((name) => {
    const of = (what: keyof Cost) => median(found[name].map((cost) => cost[what]))
    const cost = { nodeUs: of('nodeUs'), serverUs: of('serverUs'), p50Ms: of('p50Ms'), p99Ms: of('p99Ms') }
    costs[name] = cost
    return [name, cost] as const
  })
  return Object.fromEntries(medians) as Record<N, Cost>
}

/** Asks whether somebody may read a space, and makes sure of the answer. */
async function check({ roll }: World, did: Did, space: SpaceUri, expected: boolean): Promise<void> {
  const name = parseSpaceUri(space)
  const read = name && (await loadReadFacts(roll, name, did))
  if (read?.space !== 'live') throw new Error(`${space} is not there`)
  const isAllowed = mayRead(read.facts, { did, clientId: null }).ok
  if (isAllowed !== expected) throw new Error(`${did} in ${space}: ${isAllowed}`)
}

/** The kinds of checks, each for as many persons as there are. */
function checksIn(world: World) {
  const { space, people } = world
  const chosen = (isOne: (person: number) => boolean, most = 20_000): number[] => {
    const found: number[] = []
    // Steps over everybody, so that those who are chosen don't all stand on neighbouring pages.
    for (let step = 0; step < people && found.length < most; step++) {
      const person = 1 + ((step * 104_729) % people)
      if (isOne(person)) found.push(person)
    }
    return found
  }
  const one = (persons: readonly number[], at: number): number => persons[at % persons.length] ?? 0
  const inTree = chosen((person) => nodeOf(person) !== null)
  const atLeaves = inTree.filter((person) => isLeaf(nodeOf(person) ?? 0))
  const inHub = chosen(isInHub)
  const underWide = chosen(isUnderWide)
  const onRoster = chosen(isOnRoster)
  const outside = chosen((person) => nodeOf(person) === null && !isInHub(person))
  const deep: Operation = (at) => check(world, personOf(one(atLeaves, at)), space('t-0'), true)
  const hub: Operation = (at) => check(world, personOf(one(inHub, at)), space(hubTarget(at)), true)
  const wide: Operation = (at) => check(world, personOf(one(underWide, at)), space('wide'), true)
  const above: Operation = (at) => {
    const person = one(inTree, at)
    let node = nodeOf(person) ?? 0
    for (let up = at % DEPTH; up > 0 && node > 0; up--) node = parentOf(node)
    return check(world, personOf(person), space(`t-${node}`), true)
  }
  const plaza: Operation = (at) => check(world, personOf(1 + ((at * 104_729) % people)), space('plaza'), true)
  const roster: Operation = (at) => check(world, personOf(one(onRoster, at)), space('plaza'), true)
  const nowhere: Operation = (at) =>
    check(world, personOf(one(outside, at)), space(`t-${TREE - 1 - (at % 9_000)}`), false)
  const kinds = [above, nowhere, plaza, roster, above, hub, wide, nowhere]
  const mixed: Operation = (at) => (kinds[at % kinds.length] ?? above)(at)
  const power: Operation = (at) =>
    check(world, powerful(at), space(`t-${((at % 10) + 9 * ((at * 31) % 1_000)) % TREE}`), true)
  const powerAtRoot: Operation = (at) => check(world, powerful(at), space('t-0'), true)
  const diamonds: Operation = () => check(world, personOf('diamonds'), space(`d-${LAYERS}-0`), true)
  const chain: Operation = () => check(world, personOf('chain'), space(`c-${LAYERS}`), true)
  return { mixed, deep, hub, wide, roster, power, powerAtRoot, diamonds, chain }
}

async function open(at: number): Promise<OpenDatabase> {
  const url = order.urls[at]
  const database = await openDatabase({
    url: url === undefined ? null : new Secret(url),
    dataDir: join(order.folder, String(at)),
    allowUnsafe: true,
    log: silentLog,
    clock: systemClock,
  })
  await migrate(database.db, systemClock)
  return database
}

/** Bytes in mebibytes, once what is of no use any more is gone. */
function settledMiB(what: 'rss' | 'heapUsed'): number {
  globalThis.gc?.()
  return process.memoryUsage()[what] / 2 ** 20
}

const IN_FLIGHT = 16
const PAGE = 1_000
const [largeSize, smallSize] = order.members
const rssAtStart = settledMiB('rss')
const database = await open(0)
const begun = performance.now()
const world = await fillWorld(database, largeSize)
const fillSec = (performance.now() - begun) / 1000
const { roll, community, space } = world
const checks = checksIn(world)
const contender = (run: Operation, count: number, inFlight: number): Contender => ({ database, run, count, inFlight })
tell('', `people; their entries; entries of spaces`, `${largeSize}; ${world.entries}; ${world.edges}`)
tell('', 'filling all that', `${fillSec.toFixed(0)} s`)

for (const part of [memory, latency, shapes, listing, writes, growth]) await part()

process.send?.({ rows, costs })
await database.close()
process.disconnect?.()

async function memory(): Promise<void> {
  const before = settledMiB('heapUsed')
  const loaded = await loadGraph(database.db, community.did)
  const perThousand = ((settledMiB('heapUsed') - before) / (loaded?.graph.size ?? Number.NaN)) * 1_000
  const loadsMs: number[] = []
  for (let round = 0; round < order.rounds; round++) {
    const loading = performance.now()
    await loadGraph(database.db, community.did)
    loadsMs.push(performance.now() - loading)
  }
  await checks.mixed(0)
  tell(
    '',
    'RSS of this process with the graph known; before anything was opened',
    `${settledMiB('rss').toFixed(0)}; ${rssAtStart.toFixed(0)} MiB`,
  )
  tell('', 'heap of a graph of 10,000 entries', `${(perThousand * 10).toFixed(1)} MiB`)
  tell('', `loading a graph of ${loaded?.graph.size} entries`, inMs(median(loadsMs)))
}

async function latency(): Promise<void> {
  const point: Operation = () =>
    sql`select revision from community_revision where community = ${community.did}`.execute(database.db)
  const found = await inTurns({ point: contender(point, 3_000, 1), deepAlone: contender(checks.deep, 3_000, 1) })
  const { point: bare, deepAlone: deep } = found
  const times = deep.p99Ms / bare.p99Ms
  tell(
    '10',
    `p99 of a check ${DEPTH} deep, one at a time, / of a bare point select`,
    `${ratioOf(times)} (${inMs(deep.p99Ms)} / ${inMs(bare.p99Ms)}; p50 ${inMs(deep.p50Ms)} / ${inMs(bare.p50Ms)})`,
    '≤ 2 and ≤ 1 ms',
    times <= 2 && deep.p99Ms <= 1,
  )
}

async function shapes(): Promise<void> {
  const { mixed, deep, hub, wide, roster, power, powerAtRoot, diamonds, chain } = await inTurns({
    mixed: contender(checks.mixed, 3_000, IN_FLIGHT),
    deep: contender(checks.deep, 3_000, IN_FLIGHT),
    hub: contender(checks.hub, 3_000, IN_FLIGHT),
    wide: contender(checks.wide, 3_000, IN_FLIGHT),
    roster: contender(checks.roster, 3_000, IN_FLIGHT),
    power: contender(checks.power, 3_000, IN_FLIGHT),
    powerAtRoot: contender(checks.powerAtRoot, 200, IN_FLIGHT),
    diamonds: contender(checks.diamonds, 3_000, IN_FLIGHT),
    chain: contender(checks.chain, 3_000, IN_FLIGHT),
  })
  const worst = Math.max(...[deep, hub, wide].map(total)) / total(mixed)
  tell('', `a mixed check, ${IN_FLIGHT} in flight`, inUs(mixed))
  tell(
    '8',
    'the worst of: 8 deep, a hub on 1,000 rosters, a space fed by 1,000, / mixed',
    `${ratioOf(worst)} (${[deep, hub, wide].map(inUs).join(', ')})`,
    '≤ 1.5',
    worst <= 1.5,
  )
  const powerTimes = total(power) / total(mixed)
  tell('9', 'a person on 1,000 rosters / mixed', `${ratioOf(powerTimes)} (${inUs(power)})`, '≤ 2.5', powerTimes <= 2.5)
  tell('', 'the same person in the space to which all 1,000 lead', inUs(powerAtRoot))
  tell('', 'somebody on the roster of the community, with its edge to every space', inUs(roster))
  tell(
    '',
    `${LAYERS} layers of diamonds / a chain of ${LAYERS}`,
    `${ratioOf(total(diamonds) / total(chain))} (${inUs(diamonds)} / ${inUs(chain)})`,
  )
  const reach: Operation = async (at) => {
    const params = { community: community.did, did: powerful(at), limit: 1_000 }
    const { spaces } = await memberReach(roll, powerful(at), params)
    if (spaces.length !== 1_000) throw new Error(`reached ${spaces.length}`)
  }
  const { reach: reaching } = await inTurns({ reach: contender(reach, 20, 1) })
  tell('', 'reach of a person on 1,000 rosters', `p50 ${inMs(reaching.p50Ms)}, ${inUs(reaching)}`)
}

async function listing(): Promise<void> {
  const [root, plaza] = [space('t-0'), space('plaza')]
  const everybody = Array.from({ length: world.people }, (_, at) => at + 1)
  const inTree = everybody.filter((person) => nodeOf(person) !== null || isInHub(person)).map(personOf)
  const powerfuls = Array.from({ length: 10 }, (_, at) => powerful(at))
  const underRoot = [...inTree, ...powerfuls, community.founder].toSorted()
  const somewhere = (at: number): string => underRoot[(at * 104_729) % (underRoot.length - PAGE)] ?? ''
  const plain: Operation = async (at) => {
    const { rows: found } = await sql`select did from person_edge where into_space = ${plaza} and did > ${somewhere(at)}
      order by did limit ${PAGE}`.execute(database.db)
    if (found.length !== PAGE) throw new Error(`plain: ${found.length}`)
  }
  const page = async (uri: SpaceUri, after: string, expected: number): Promise<void> => {
    // As the page before would have ended.
    const cursor = after === '' ? {} : { cursor: roll.words.seal(cursorUse(uri), after) }
    const params = { space: uri, limit: PAGE, ...cursor } as resolveLexicon.$Params
    const { members } = await memberResolve(roll, community.founder, params)
    if (members.length !== expected) throw new Error(`a page of ${uri}: ${members.length}`)
  }
  const [rest, beforeLast] = [900, underRoot.at(-901) ?? '']
  const found = await inTurns({
    plain: contender(plain, 20, 1),
    middle: contender((at) => page(root, somewhere(at), PAGE), 10, 1),
    firstPage: contender(() => page(root, '', PAGE), 10, 1),
    lastPage: contender(() => page(root, beforeLast, rest), 10, 1),
    flatPage: contender((at) => page(plaza, somewhere(at), PAGE), 10, 1),
  })
  const times = found.middle.p50Ms / found.plain.p50Ms
  tell(
    '14',
    `resolve: a page of ${PAGE} of ${underRoot.length} in a tree / by a plain index scan`,
    `${ratioOf(times)} (${inMs(found.middle.p50Ms)} / ${inMs(found.plain.p50Ms)}; ${inUs(found.middle)})`,
    '≤ 3 and ≤ 10 ms',
    times <= 3 && found.middle.p50Ms <= 10,
  )
  const last = found.lastPage.p50Ms / found.firstPage.p50Ms
  tell(
    '14',
    'resolve: the last page / the first',
    `${ratioOf(last)} (${inMs(found.lastPage.p50Ms)} / ${inMs(found.firstPage.p50Ms)})`,
    '≤ 1.5',
    last <= 1.5,
  )
  tell(
    '',
    `resolve: a page of ${PAGE} of ${world.people} on one roster`,
    `p50 ${inMs(found.flatPage.p50Ms)}, ${inUs(found.flatPage)}`,
  )
}

async function writes(): Promise<void> {
  const { founder } = community
  const put = (input: object) => memberPut(roll, founder, input as putLexicon.$InputBody, once())
  const add =
    (skey: string): Operation =>
    (at) =>
      put({ space: space(skey), did: personOf(`new-${skey}-${at}`), role: 'member' })
  const nest =
    (skey: string, desk: number): Operation =>
    (at) =>
      put({ space: world.desk(2 * at + desk), memberSpace: space(skey), role: 'reader' })
  const leafKey = `t-${TREE - 1}`
  const found = await inTurns({
    toHub: contender(add('hub'), 20, 1),
    toLeaf: contender(add(leafKey), 20, 1),
    nestTree: contender(nest('t-0', 0), 10, 1),
    nestLeaf: contender(nest(leafKey, 1), 10, 1),
  })
  const adding = total(found.toHub) / total(found.toLeaf)
  const nesting = total(found.nestTree) / total(found.nestLeaf)
  const both = (one: Cost, other: Cost) =>
    `(p50 ${inMs(one.p50Ms)} / ${inMs(other.p50Ms)}; ${inUs(one)} / ${inUs(other)})`
  tell(
    '11',
    'adding a person to the hub / to a leaf',
    `${ratioOf(adding)} ${both(found.toHub, found.toLeaf)}`,
    '≤ 1.5',
    adding <= 1.5,
  )
  tell(
    '11',
    `nesting a tree of ${Math.floor(world.people / 2)} people / a leaf`,
    `${ratioOf(nesting)} ${both(found.nestTree, found.nestLeaf)}`,
    '≤ 1.5',
    nesting <= 1.5,
  )
}

async function growth(): Promise<void> {
  const other = await open(1)
  try {
    const smaller = checksIn(await fillWorld(other, smallSize))
    const { mixedLarge, mixedSmall } = await inTurns({
      mixedLarge: contender(checks.mixed, 3_000, IN_FLIGHT),
      mixedSmall: { ...contender(smaller.mixed, 3_000, IN_FLIGHT), database: other },
    })
    const times = total(mixedLarge) / total(mixedSmall)
    tell(
      '7',
      `a mixed check among ${largeSize} people / among ${smallSize}`,
      `${ratioOf(times)} (${inUs(mixedLarge)} / ${inUs(mixedSmall)})`,
      '≤ 1.25',
      times <= 1.25,
    )
  } finally {
    await other.close()
  }
}
