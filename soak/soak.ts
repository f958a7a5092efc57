/**
 * `npm run soak`: one Reeve for a long while under everything at once, honest and not, and whether its heap, its handles, what it remembers, its lines
 * and its tables stay within bounds. Exits with 1 when they don't, or when anybody honest was refused or anybody was let in wrongly.
 *
 * `SOAK_MINUTES` (20) and `SOAK_ENGINE` (`postgres`, `embedded`) choose; `SOAK_EXCHANGES` (20), `SOAK_QUESTIONS` (20), `SOAK_WRITES` (10), `SOAK_CHANGES`
 * (2), `SOAK_HOSTILE` (2) are rates in a second, `SOAK_BURST` (500) the rate of floods. `SOAK_LEAK` (0) is how many bytes of each request the measured
 * process keeps beside the house, to see that it would be found; `SOAK_PICTURE` is a file for the picture. Writes `soak/last.json`.
 */
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { commit } from '../bench/machine.ts'
import type { ReceiverOrder, ReceiverReport } from '../bench/receivers.ts'
import { json, startFakePlc } from '../test/kit/fake-plc.ts'
import { startNameServer } from '../test/kit/name-server.ts'
import { freePort } from '../test/kit/ports.ts'
import { drawSoak } from './picture.ts'
import { planOf } from './plan.ts'
import { Side } from './side.ts'
import { tell } from './table.ts'
import { type Moment, type Run, verdictsOf } from './verdicts.ts'
import type {
  HonestReport,
  HostileReport,
  LoadOrder,
  MeasuredOrder,
  MeasuredReport,
  MeasuredSample,
  Place,
  Plan,
} from './words.ts'

const POSTGRES = process.env['REEVE_TEST_POSTGRES'] ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const ENGINE = process.env['SOAK_ENGINE'] ?? 'postgres'
const PICTURE = process.env['SOAK_PICTURE']
const LEAK = process.env['SOAK_LEAK'] ?? '0'
const SAMPLE_SEC = 5
/** Samples from one collection of the heap to the next, before which everything is counted in the database: more of a short run. */
const COLLECTED_EVERY = { long: 6, short: 3 }
const SHORT_MINUTES = 10
/** Until then those who will fail answer well: who never did is soon told no more. */
const WELL_SAMPLES = 3
const SYNCERS = 50
const BLACK_HOLES = [0, 1, 2, 3, 4]
const FAILING = [5, 6, 7]
/** Until lines that still move are empty, and everything that ended was swept. */
const SETTLING_MAX_SEC = 150
/** Of whoever waits for the end of the load. */
const FOR_EVER_MS = 2 ** 31 - 1

if (!['postgres', 'embedded'].includes(ENGINE)) throw new Error(`SOAK_ENGINE: there is no ${ENGINE}`)
const plan = planOf(process.env)
const begun = { date: new Date().toISOString(), commit: commit() }
const run = await soak(plan)
const verdicts = verdictsOf(run)
const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}, ${ENGINE}`
const file = new URL('last.json', import.meta.url)
writeFileSync(file, `${JSON.stringify({ ...begun, machine, verdicts, ...run }, null, 1)}\n`)
if (PICTURE) writeFileSync(PICTURE, drawSoak(plan, run.moments, `${plan.minutes} minutes, ${machine}`))
tell(machine, run, verdicts)
process.exit(verdicts.every(({ isOk }) => isOk) ? 0 : 1)

type Measured = Side<MeasuredOrder, MeasuredReport>

async function soak(given: Plan): Promise<Run> {
  const plc = await startFakePlc()
  let silence: Promise<'cut'> | null = null
  // Names that strangers made up aren't asked for behind the door: the directory itself is not what is tried here. They are told by more
  // letters than somebody who is registered ever begins with.
  plc.misbehave(
    (ask) => silence ?? (/^did:plc:z[zx]z{8}/.test(ask.did) ? json(404, { message: 'not registered' }) : undefined),
  )
  const names = await startNameServer(() => ({ rcode: 3 }))
  const folder = await mkdtemp(join(tmpdir(), 'reeve-soak-'))
  const database = ENGINE === 'postgres' ? await createDatabase() : null
  const port = await freePort()
  const url = `http://localhost:${port}`
  const env = {
    ...{ REEVE_PUBLIC_URL: url, REEVE_PORT: String(port), REEVE_DATA_DIR: folder, REEVE_PLC_URL: plc.url },
    // Each who loads it has an address of their own, so that the rates are those of production.
    ...{ REEVE_ALLOW_LOOPBACK: '1', REEVE_LOG_LEVEL: 'warn', REEVE_TRUSTED_PROXIES: '127.0.0.0/8,::1/128' },
    ...{ SOAK_NAME_SERVER: names.address, SOAK_LEAK: LEAK, ...(database ? { DATABASE_URL: database.url } : {}) },
  }
  const measured: Measured = new Side('measured.ts', { env, execArgv: ['--expose-gc'] })
  const honest = new Side<LoadOrder, HonestReport>('honest.ts')
  const hostile = new Side<LoadOrder, HostileReport>('hostile.ts')
  const syncers = new Side<ReceiverOrder, ReceiverReport>('../bench/receivers.ts', { args: [String(SYNCERS)] })
  try {
    await measured.report('ready')
    const { ports } = await syncers.report('ready')
    const place: Place = { url, serviceDid: `did:web:localhost%3A${port}`, plcUrl: plc.honestUrl, syncers: ports }
    const { world } = await honest.ask({ kind: 'furnish', place }, 'furnished')
    await hostile.ask({ kind: 'furnish', place }, 'furnished')
    await measured.ask({ kind: 'fill', account: world.account }, 'filled')
    plc.forget()
    console.log(`everything is furnished and filled; ${given.minutes} minutes begin`)

    const { sample: start } = await measured.ask({ kind: 'sample', isCollected: false, hasTables: false }, 'sample')
    honest.order({ kind: 'go', plan: given, world })
    hostile.order({ kind: 'go', plan: given, world })
    const over = Promise.all([honest.report('over', FOR_EVER_MS), hostile.report('over', FOR_EVER_MS)])
    let isOver = false
    const ended = over.then(() => {
      isOver = true
    })
    // Whoever looks on finds that out by the next sample.
    ended.catch(() => {})
    const begunMs = performance.now()
    const nowSec = () => (performance.now() - begunMs) / 1_000
    const staging = stage(given, {
      nowSec,
      honest,
      fallSilent: (until) => (silence = until),
      speak: () => (silence = null),
    })

    const moments: Moment[] = []
    const every = given.minutes < SHORT_MINUTES ? COLLECTED_EVERY.short : COLLECTED_EVERY.long
    for (let nth = 1, lastSec = 0, dueSec = SAMPLE_SEC; !isOver; nth++) {
      if (nth === WELL_SAMPLES) {
        await syncers.ask({ kind: 'manner', of: BLACK_HOLES, manner: 'never' }, 'done')
        await syncers.ask({ kind: 'manner', of: FAILING, manner: '500' }, 'done')
      }
      await Promise.race([sleep(Math.max(0, dueSec - nowSec()) * 1_000), over])
      const isCollected = nth % every === 0
      const { sample } = await measured.ask({ kind: 'sample', isCollected, hasTables: isCollected }, 'sample')
      const { count } = await honest.ask({ kind: 'collect' }, 'collected')
      const { count: ofHostile } = await hostile.ask({ kind: 'collect' }, 'collected')
      await syncers.ask({ kind: 'collect' }, 'collected')
      plc.forget()
      const atSec = nowSec()
      moments.push({ ...sample, atSec, lengthSec: atSec - lastSec, honest: count, hostile: ofHostile })
      lastSec = atSec
      // After a late one no moment is so short that it says nothing.
      dueSec = Math.max(dueSec + SAMPLE_SEC, atSec + SAMPLE_SEC / 2)
    }
    await staging
    const last = await settled(measured)
    return { plan: given, start, moments, last, failures: failuresIn(measured.output) }
  } finally {
    for (const side of [honest, hostile]) await side.end({ kind: 'end' })
    await measured.end({ kind: 'end' })
    await syncers.end({ kind: 'end' })
    await names.close()
    await plc.close()
    await database?.drop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** What happens on the way: the directory falls silent and speaks again, the key is replaced. */
async function stage(
  { stalls, rotationsAtSec }: Plan,
  {
    nowSec,
    honest,
    fallSilent,
    speak,
  }: {
    nowSec: () => number
    honest: Side<LoadOrder, HonestReport>
    fallSilent: (until: Promise<'cut'>) => void
    speak: () => void
  },
): Promise<void> {
  const until = (sec: number) => sleep(Math.max(0, sec - nowSec()) * 1_000)
  const stalling = async () => {
    for (const { fromSec, toSec } of stalls) {
      await until(fromSec)
      // Who asked within the silence is cut off at its end.
      fallSilent(until(toSec).then(() => 'cut' as const))
      await until(toSec)
      speak()
    }
  }
  const rotating = async () => {
    for (const sec of rotationsAtSec) {
      await until(sec)
      await honest.ask({ kind: 'rotate' }, 'rotated')
    }
  }
  await Promise.all([stalling(), rotating()])
}

/** As it is when everything has come to rest, or when there is no more patience. */
async function settled(measured: Measured): Promise<MeasuredSample> {
  for (let waitedSec = 0; ; waitedSec += SAMPLE_SEC) {
    await sleep(SAMPLE_SEC * 1_000)
    const { sample } = await measured.ask({ kind: 'sample', isCollected: true, hasTables: true }, 'sample')
    const isMoving = sample.sizes.some(({ kind, size }) => kind === 'waiting' && size > 0)
    const isAtRest = !isMoving && sample.lanesWaiting === 0 && sample.notesWaiting === 0
    if ((isAtRest && sample.tables.every(({ overdue }) => overdue === 0)) || waitedSec >= SETTLING_MAX_SEC)
      return sample
  }
}

/** What the measured process said of failures of its own, by their names. */
function failuresIn(output: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const line of output.join('').split('\n')) {
    const event = /"event":"(failed|worker\.failed)"/.exec(line)?.[1]
    if (!event) continue
    const about = /"(?:name|method)":"([\w.-]+)"/.exec(line)?.[1] ?? ''
    const error = /"error":"([^"]+)"/.exec(line)?.[1] ?? ''
    const name = `${event} ${about} ${error}`.trim()
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

async function createDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `reeve_soak_${process.pid}`
  const onServer = async (text: string) => {
    const client = new pg.Client({ connectionString: POSTGRES })
    await client.connect()
    await client.query(text)
    await client.end()
  }
  await onServer(`create database ${name} template template0 encoding 'UTF8'`)
  const url = new URL(POSTGRES)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => onServer(`drop database ${name} with (force)`) }
}
