/**
 * The side that is measured: the roll's own functions in a process of their own, called as the doors call them.
 *
 * A cost is processor time: this process's, and that of the server's processes for this database. Every answer is compared with
 * what the world says, so that nothing is measured that isn't true. Contenders take turns, round for round.
 */
import { join } from 'node:path'
import { sql } from 'kysely'
import type * as putLexicon from '../src/lexicons/community/reeve/member/put.ts'
import type * as resolveLexicon from '../src/lexicons/community/reeve/member/resolve.ts'
import { loadGraph } from '../src/membership/facts-store.ts'
import { memberPut } from '../src/membership/memberPut.ts'
import { memberReach } from '../src/membership/memberReach.ts'
import { cursorUse, memberResolve } from '../src/membership/memberResolve.ts'
import type { SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { type OpenDatabase, openDatabase } from '../src/platform/database.ts'
import { silentLog } from '../src/platform/log.ts'
import { migrate } from '../src/platform/migrations.ts'
import { Secret } from '../src/platform/secret.ts'
import { once } from '../test/kit/roll.ts'
import { checksIn } from './roll-checks.ts'
import { type Contender, type Cost, inTurns, type Operation, total } from './roll-costs.ts'
import { DEPTH, fillWorld, isInHub, LAYERS, nodeOf, personOf, powerful, TREE } from './roll-world.ts'
import { type Aim, type Figure, figureOf, median } from './rows.ts'

/** What to measure, as the parent says it. */
export interface RollOrder {
  readonly engine: 'postgres' | 'embedded'
  readonly folder: string
  /** One database for each size; the embedded engine has folders of its own instead. */
  readonly urls: readonly string[]
  /** How many people, the largest first. */
  readonly sizes: readonly number[]
  readonly rounds: number
}

const IN_FLIGHT = 16
const PAGE = 1_000
/** Checks in a round. */
const CHECKS = 2_000
const DEPTHS = [1, 2, 4, DEPTH] as const

const order: RollOrder = JSON.parse(process.argv[2] ?? '{}')
const figures: Figure[] = []

/** What is compared of one cost with another. */
type Part = (cost: Cost) => number
const wallMs: Part = ({ p50Ms }) => p50Ms

/** How often the one is contained in the other, round for round. */
function compare(
  about: { row: number | null; what: string; aim: Aim; of?: Part; unit?: 'µs' | 'ms' },
  top: readonly Cost[],
  bottom: readonly Cost[],
  [topName, bottomName]: readonly [string, string],
): void {
  const { row, what, aim, of = total, unit = 'µs' } = about
  const ratios = top.map((cost, round) => of(cost) / of(bottom[round] ?? cost))
  const middle = (costs: readonly Cost[]) => median(costs.map(of))
  const absolutes = { [`${topName} ${unit}`]: middle(top), [`${bottomName} ${unit}`]: middle(bottom) }
  figures.push(figureOf({ row, engine: order.engine, what, unit: 'times', aim }, ratios, absolutes))
}

/** What one operation costs, by itself. */
function tell(
  what: string,
  costs: readonly Cost[],
  more: { row?: number; of?: Part; unit?: 'µs' | 'ms'; aim?: Aim; x?: Figure['absolutes'] } = {},
): void {
  const { row = null, of = total, unit = 'µs', aim = null, x = {} } = more
  const middle = (part: Part) => median(costs.map(part))
  const absolutes = {
    ...x,
    'process µs': middle(({ nodeUs }) => nodeUs),
    'server µs': middle(({ serverUs }) => serverUs),
  }
  figures.push(figureOf({ row, engine: order.engine, what, unit, aim }, costs.map(of), absolutes))
}

function note(
  what: string,
  unit: Figure['unit'],
  values: readonly number[],
  absolutes: Figure['absolutes'] = {},
): void {
  figures.push(figureOf({ row: null, engine: order.engine, what, unit, aim: null }, values, absolutes))
}

async function open(at: number): Promise<OpenDatabase> {
  const url = order.urls[at]
  const opened = await openDatabase({
    url: url === undefined ? null : new Secret(url),
    dataDir: join(order.folder, String(at)),
    allowUnsafe: true,
    log: silentLog,
    clock: systemClock,
  })
  await migrate(opened.db, systemClock)
  return opened
}

/** Bytes in mebibytes, once what is of no use any more is gone. */
function settledMiB(what: 'rss' | 'heapUsed'): number {
  globalThis.gc?.()
  return process.memoryUsage()[what] / 2 ** 20
}

const people = (count: number): string => `${count.toLocaleString('en')} people`
const [largeSize = 0, ...smallerSizes] = order.sizes
const rssAtStart = settledMiB('rss')
const database = await open(0)
const begun = performance.now()
const world = await fillWorld(database, largeSize)
const fillMs = performance.now() - begun
const { roll, community, space } = world
const checks = checksIn(world)
const contender = (run: Operation, count: number, inFlight: number): Contender => ({ database, run, count, inFlight })
const turns = <N extends string>(contenders: Readonly<Record<N, Contender>>) => inTurns(contenders, order.rounds)
note(`filling a community of ${people(largeSize)}`, 'ms', [fillMs], { entries: world.entries, edges: world.edges })

for (const part of [memory, latency, shapes, listing, writes, growth, depth]) await part()

process.send?.({ figures })
await database.close()
process.disconnect?.()

async function memory(): Promise<void> {
  const before = settledMiB('heapUsed')
  const loaded = await loadGraph(database.db, community.did)
  const size = loaded?.graph.size ?? Number.NaN
  const perTenThousand = ((settledMiB('heapUsed') - before) / size) * 10_000
  const loadsMs: number[] = []
  for (let round = 0; round < order.rounds; round++) {
    const loading = performance.now()
    await loadGraph(database.db, community.did)
    loadsMs.push(performance.now() - loading)
  }
  await checks.mixed(0)
  const rss = { 'before anything was opened MiB': rssAtStart }
  note('RSS of the process that knows the graph', 'MiB', [settledMiB('rss')], rss)
  note('heap of a graph of 10,000 entries', 'MiB', [perTenThousand])
  note(`loading a graph of ${size} entries`, 'ms', loadsMs)
}

async function latency(): Promise<void> {
  const point: Operation = () =>
    sql`select revision from community_revision where community = ${community.did}`.execute(database.db)
  const { bare, deep } = await turns({ bare: contender(point, 2_000, 1), deep: contender(checks.deep, 2_000, 1) })
  const p99: Part = ({ p99Ms }) => p99Ms
  const aim = { atMost: 2, better: 1.2 }
  const what = `p99 of a check ${DEPTH} deep, one at a time, / of a bare point select`
  compare({ row: 10, what, aim, of: p99, unit: 'ms' }, deep, bare, ['check', 'point select'])
  tell(`p99 of a check ${DEPTH} deep, one at a time`, deep, {
    row: 10,
    of: p99,
    unit: 'ms',
    aim: { atMost: 1, better: null },
  })
  const middles = `p50 of a check ${DEPTH} deep, one at a time, / of a bare point select`
  compare({ row: null, what: middles, aim: null, of: wallMs, unit: 'ms' }, deep, bare, ['check', 'point select'])
}

async function shapes(): Promise<void> {
  const { mixed, deep, hub, wide, roster, power, powerAtRoot, diamonds, chain } = await turns({
    mixed: contender(checks.mixed, CHECKS, IN_FLIGHT),
    deep: contender(checks.deep, CHECKS, IN_FLIGHT),
    hub: contender(checks.hub, CHECKS, IN_FLIGHT),
    wide: contender(checks.wide, CHECKS, IN_FLIGHT),
    roster: contender(checks.roster, CHECKS, IN_FLIGHT),
    power: contender(checks.power, CHECKS, IN_FLIGHT),
    powerAtRoot: contender(checks.powerAtRoot, 100, IN_FLIGHT),
    diamonds: contender(checks.diamonds, CHECKS, IN_FLIGHT),
    chain: contender(checks.chain, CHECKS, IN_FLIGHT),
  })
  tell(`a check, all kinds mixed, ${IN_FLIGHT} in flight`, mixed)
  const ofWorst = (round: number) =>
    [deep, hub, wide]
      .flatMap((costs) => costs[round] ?? [])
      .toSorted(byTotal)
      .at(-1)
  const worst = mixed.flatMap((_, round) => ofWorst(round) ?? [])
  const what = `the worst of: ${DEPTH} deep, a hub on 1,000 rosters, a space fed by 1,000, / a mixed check`
  compare({ row: 8, what, aim: { atMost: 1.5, better: 1.2 } }, worst, mixed, ['worst', 'mixed'])
  for (const [name, costs] of [
    [`${DEPTH} deep`, deep],
    ['of a hub', hub],
    ['fed by 1,000', wide],
  ] as const) {
    tell(`a check, ${name}`, costs)
  }
  const ofPower = { row: 9, what: 'a check of a person on 1,000 rosters / mixed', aim: { atMost: 2.5, better: 1.8 } }
  compare(ofPower, power, mixed, ['on 1,000 rosters', 'mixed'])
  tell('the same person in the space to which all 1,000 lead', powerAtRoot)
  tell('somebody on the roster of the community, with its edge to every space', roster)
  const layers = `${LAYERS} layers of diamonds / a chain of ${LAYERS}`
  compare({ row: null, what: layers, aim: null }, diamonds, chain, ['diamonds', 'chain'])
  const reach: Operation = async (at) => {
    const params = { community: community.did, did: powerful(at), limit: 1_000 }
    const { spaces } = await memberReach(roll, powerful(at), params)
    if (spaces.length !== 1_000) throw new Error(`reached ${spaces.length}`)
  }
  const { reaching } = await turns({ reaching: contender(reach, 20, 1) })
  tell('reach of a person on 1,000 rosters', reaching, { of: wallMs, unit: 'ms' })
}

function byTotal(a: Cost, b: Cost): number {
  return total(a) - total(b)
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
  const found = await turns({
    plain: contender(plain, 20, 1),
    middle: contender((at) => page(root, somewhere(at), PAGE), 10, 1),
    firstPage: contender(() => page(root, '', PAGE), 10, 1),
    lastPage: contender(() => page(root, beforeLast, rest), 10, 1),
    flatPage: contender((at) => page(plaza, somewhere(at), PAGE), 10, 1),
  })
  const ofTree = `a page of ${PAGE} of ${people(underRoot.length)} through a tree of spaces`
  const inMs = { of: wallMs, unit: 'ms' } as const
  const scan = { row: 14, what: `resolve: ${ofTree} / a plain index scan`, aim: { atMost: 3, better: 1.5 }, ...inMs }
  compare(scan, found.middle, found.plain, ['page', 'index scan'])
  tell(`resolve: ${ofTree}`, found.middle, { row: 14, ...inMs, aim: { atMost: 10, better: null } })
  const ends = { row: 14, what: 'resolve: the last page / the first', aim: { atMost: 1.5, better: null }, ...inMs }
  compare(ends, found.lastPage, found.firstPage, ['last', 'first'])
  tell(`resolve: a page of ${PAGE} of ${people(world.people)} on one roster`, found.flatPage, inMs)
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
  const found = await turns({
    toHub: contender(add('hub'), 20, 1),
    toLeaf: contender(add(leafKey), 20, 1),
    nestTree: contender(nest('t-0', 0), 6, 1),
    nestLeaf: contender(nest(leafKey, 1), 6, 1),
  })
  const aim = { atMost: 1.5, better: 1.2 }
  compare({ row: 11, what: 'adding a person to the hub / to a leaf', aim }, found.toHub, found.toLeaf, ['hub', 'leaf'])
  const tree = `nesting a tree of ${people(Math.floor(world.people / 2))} / a leaf`
  compare({ row: 11, what: tree, aim }, found.nestTree, found.nestLeaf, ['tree', 'leaf'])
  tell('adding a person to a leaf, until it is answered', found.toLeaf, { of: wallMs, unit: 'ms' })
  tell('nesting a leaf, until it is answered', found.nestLeaf, { of: wallMs, unit: 'ms' })
}

/** The same check, one level deep, among fewer people. */
async function growth(): Promise<void> {
  const others = await Promise.all(smallerSizes.map(async (size, at) => ({ size, database: await open(at + 1) })))
  try {
    const contenders: Record<string, Contender> = { [largeSize]: contender(checks.nested(1), CHECKS, IN_FLIGHT) }
    const mixed: Record<string, Contender> = { [largeSize]: contender(checks.mixed, CHECKS, IN_FLIGHT) }
    for (const { size, database } of others) {
      const smaller = checksIn(await fillWorld(database, size))
      contenders[size] = { ...contender(smaller.nested(1), CHECKS, IN_FLIGHT), database }
      mixed[size] ??= { ...contender(smaller.mixed, CHECKS, IN_FLIGHT), database }
    }
    const nested = await turns(contenders)
    for (const size of order.sizes.toReversed()) {
      tell(`a check among ${people(size)}`, nested[size] ?? [], { x: { 'x people': size } })
    }
    const [smallSize = largeSize] = smallerSizes
    const all = await turns({ large: mixed[largeSize] as Contender, small: mixed[smallSize] as Contender })
    const what = `a check, all kinds mixed, among ${people(largeSize)} / among ${people(smallSize)}`
    compare({ row: 7, what, aim: { atMost: 1.25, better: 1.1 } }, all.large, all.small, ['large', 'small'])
  } finally {
    for (const other of others) await other.database.close()
  }
}

/** The same check among the same people, further up from where they stand. */
async function depth(): Promise<void> {
  const found = await turns(
    Object.fromEntries(DEPTHS.map((deep) => [deep, contender(checks.nested(deep), CHECKS, IN_FLIGHT)])),
  )
  for (const deep of DEPTHS) tell(`a check ${deep} deep`, found[deep] ?? [], { x: { 'x depth': deep } })
}
