/** What was acknowledged before a process was ended by SIGKILL, and whether it is there afterwards; and two processes on one directory. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import type { Did } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { openDatabase } from '../src/platform/database.ts'
import { silentLog } from '../src/platform/log.ts'
import { Secret } from '../src/platform/secret.ts'
import { makeDelegation, makeKey, makeSpaceSignature } from '../test/kit/tokens.ts'
import { spaceOf } from '../test/kit/world.ts'
import { exchangeRequest, openSender, type Sender } from './load.ts'
import { personOf } from './roll-world.ts'
import { type Figure, figureOf } from './rows.ts'
import { amount, type Engine } from './settings.ts'
import { call, openStage, type Place, type Stage, startServed } from './stage.ts'
import { AIMS } from './targets.ts'

const KILLS = amount('BENCH_KILLS', 20, 2)
const SECONDS = amount('BENCH_SECOND_STARTS', 20, 2)
const PEOPLE = 20
const MINTERS = 8
const CHANGERS = 2
/** A process lives until so much was acknowledged by it, of either kind, and then by chance up to so long. */
const ACKNOWLEDGED_MIN = 3
const LIFE_MORE_MS = 500
const LOOK_MS = 5
/** Between two changes of the same admin: a community that is changed without a pause lets few exchanges through. */
const CHANGE_REST_MS = 20
/** However little was acknowledged, it is ended then. */
const LIFE_MAX_MS = 30_000
const COMMITS = 50

/** What was said to be done: the keys that got a credential, and by person whether they were put on the roster or taken off it last. */
interface Acknowledged {
  readonly holders: string[]
  readonly onRoster: Map<Did, boolean>
}

export async function measureCrashes(engine: Engine): Promise<readonly Figure[]> {
  const stage = await openStage(engine, 'crashes', PEOPLE)
  try {
    const fsyncs = engine === 'embedded' ? [await fsyncsOf(stage)] : []
    await stage.served.close()
    const told: Acknowledged = { holders: [], onRoster: new Map() }
    for (let nth = 0; nth < KILLS; nth++) await liveAndDie(stage, told, nth)
    const lost = await lostOf(stage, told)
    const what = `exchanges and member changes that were acknowledged and lost over ${KILLS} ends by SIGKILL`
    const figure = figureOf({ row: 25, engine, what, unit: 'count', aim: AIMS.lost }, [lost.mints + lost.changes], {
      'exchanges acknowledged': told.holders.length,
      'changes acknowledged': told.onRoster.size,
      'exchanges lost': lost.mints,
      'changes lost': lost.changes,
    })
    return [figure, ...fsyncs]
  } finally {
    await stage.close()
  }
}

/** Counted where the files are written, for statements that are committed one by one. */
async function fsyncsOf({ served, space, people, engine }: Stage): Promise<Figure> {
  const dids = people.map(({ did }) => did)
  const order = { kind: 'issues', space, dids, count: COMMITS, inFlight: 1, isGathered: false } as const
  const { fsyncs } = await served.ask(order, 'issues')
  const about = { row: 25, engine, what: 'fsyncs for each commit', unit: 'count', aim: AIMS.fsyncs } as const
  return figureOf(about, [fsyncs / COMMITS], { commits: COMMITS, fsyncs })
}

async function liveAndDie(stage: Stage, told: Acknowledged, nth: number): Promise<void> {
  const served = await startServed(stage.place)
  let isOver = false
  const sender = openSender(MINTERS)
  const work = [
    ...Array.from({ length: MINTERS }, () => keepMinting(stage, sender, told, () => isOver)),
    ...Array.from({ length: CHANGERS }, (_, who) => keepChanging(stage, told, `${nth}-${who}`, () => isOver)),
  ]
  const enough = [told.holders.length + ACKNOWLEDGED_MIN, told.onRoster.size + ACKNOWLEDGED_MIN] as const
  const isBorn = () => told.holders.length >= enough[0] && told.onRoster.size >= enough[1]
  for (const endMs = performance.now() + LIFE_MAX_MS; !isBorn() && performance.now() < endMs; ) await sleep(LOOK_MS)
  await sleep(Math.random() * LIFE_MORE_MS)
  // Not before it is dead: what is answered until then counts.
  await served.kill()
  isOver = true
  await Promise.all(work)
  sender.close()
}

async function keepMinting(
  { at, people, space }: Stage,
  sender: Sender,
  { holders }: Acknowledged,
  isOver: () => boolean,
): Promise<void> {
  for (let nth = 0; !isOver(); nth++) {
    const person = people[nth % people.length]
    if (!person) throw new Error('nobody')
    const holder = makeKey('p256')
    const nowSec = systemClock.nowSec()
    const token = makeDelegation({ key: person.key, iss: person.did, space: spaceOf(space), nowSec })
    const proof = makeSpaceSignature({ key: holder, authorization: `Bearer ${token}` })
    const ready = exchangeRequest(space, { token, didKey: person.key.didKey, dpop: '', ...proof })
    const answer = await sender.send(at.url, ready).catch(() => null)
    if (answer === null) return
    if (answer.status === 200) holders.push(holder.didKey)
  }
}

/** Puts somebody on the roster, and takes every second of them off again. What had no answer counts for neither. */
async function keepChanging(
  { at, people, space }: Stage,
  { onRoster }: Acknowledged,
  name: string,
  isOver: () => boolean,
): Promise<void> {
  const [founder] = people
  if (!founder) throw new Error('nobody')
  for (let nth = 0; !isOver(); nth++) {
    const did = personOf(`crash-${name}-${nth}`)
    const put = await call(at, founder, 'member.put', { space, did, role: 'member' }).catch(() => null)
    if (put === null) return
    onRoster.set(did, true)
    if (nth % 2 === 0) continue
    onRoster.delete(did)
    const removed = await call(at, founder, 'member.remove', { space, did }).catch(() => null)
    if (removed === null) return
    onRoster.set(did, false)
    await sleep(CHANGE_REST_MS)
  }
}

/** What stands in the database, by a look past everything of ours that could remember. */
async function lostOf({ place, space }: Stage, { holders, onRoster }: Acknowledged) {
  const { databaseUrl, folder: dataDir } = place
  const url = databaseUrl === null ? null : new Secret(databaseUrl)
  const { db, close } = await openDatabase({ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock })
  try {
    const issued = await sql<{ holder: string }>`select holder from issuance`.execute(db)
    const people = await sql<{ did: Did }>`select did from person_edge where into_space = ${space}`.execute(db)
    const there = new Set(issued.rows.map(({ holder }) => holder))
    const standing = new Set(people.rows.map(({ did }) => did))
    if (holders.length === 0 || onRoster.size === 0) throw new Error('nothing was acknowledged before it was ended')
    return {
      mints: holders.filter((holder) => !there.has(holder)).length,
      changes: [...onRoster].filter(([did, isOn]) => standing.has(did) !== isOn).length,
    }
  } finally {
    await close()
  }
}

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const REFUSED_MAX_MS = 10_000

/** Started on a directory that is in use, while exchanges go on: it has to refuse, soon, and nothing may be lost by it. */
export async function measureSecondProcess(): Promise<readonly Figure[]> {
  const engine = 'embedded'
  const stage = await openStage(engine, 'second', PEOPLE)
  try {
    const told: Acknowledged = { holders: [], onRoster: new Map() }
    let isOver = false
    const sender = openSender(2)
    const minting = [keepMinting(stage, sender, told, () => isOver), keepChanging(stage, told, 'second', () => isOver)]
    const waits: number[] = []
    let accepted = 0
    for (let nth = 0; nth < SECONDS; nth++) {
      const begun = performance.now()
      const code = await exitOf(startSecond(stage.place))
      waits.push(performance.now() - begun)
      if (code === 0 || code === null) accepted += 1
    }
    isOver = true
    await Promise.all(minting)
    sender.close()
    await stage.served.close()
    const lost = await lostOf(stage, told)
    const about = { row: 27, engine, unit: 'count', aim: AIMS.lost } as const
    return [
      figureOf(
        {
          row: 27,
          engine,
          what: `a second process on an open directory: the longest until it refused, of ${SECONDS}`,
          unit: 'ms',
          aim: AIMS.secondProcess,
        },
        [Math.max(...waits)],
        { 'shortest ms': Math.min(...waits) },
      ),
      figureOf({ ...about, what: `second processes that did not refuse, of ${SECONDS}` }, [accepted]),
      figureOf({ ...about, what: 'what was acknowledged meanwhile and lost' }, [lost.mints + lost.changes], {
        'exchanges acknowledged': told.holders.length,
        'changes acknowledged': told.onRoster.size,
      }),
    ]
  } finally {
    await stage.close()
  }
}

/** At another port, as after a restart that overlaps. */
const startSecond = ({ environment }: Place): ChildProcess =>
  spawn(process.execPath, [MAIN], {
    env: { ...environment, REEVE_PORT: '0', REEVE_LOG_LEVEL: 'silent' },
    stdio: 'ignore',
  })

/** Null when it had to be ended. */
async function exitOf(child: ChildProcess): Promise<number | null> {
  const patience = setTimeout(() => child.kill('SIGKILL'), REFUSED_MAX_MS)
  const [code] = await once(child, 'exit')
  clearTimeout(patience)
  return code
}
