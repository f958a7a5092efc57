/**
 * The page of numbers that Prometheus reads: what was answered and how fast, what waits, how full everything is, how the process does.
 *
 * Every label is a name from our own code, so that the page has a bound and says nothing of anybody: no DID, no address, no URI, no token.
 * The library keeps the counts and writes the page; what the database has to be asked for comes from `house-look.ts`.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { OpenDatabase } from '../platform/database.ts'
import type { LogLevel } from '../platform/log.ts'
import type { Meters, Waiting } from '../platform/meters.ts'
import type { Sizes } from '../platform/sizes.ts'
import type { Looked } from './house-look.ts'

export interface Metrics extends Meters {
  readonly contentType: string
  /** Says of what the page is, beside what is counted. */
  watch(watched: Watched): void
  /** All numbers of this moment. Takes a few seconds at most, and doesn't fail when the database does. */
  page(): Promise<string>
}

export interface Watched {
  readonly version: string
  readonly opened: Pick<OpenDatabase, 'engine' | 'connections'>
  readonly sizes: Sizes
  readonly look: () => Promise<Looked>
}

/** Seconds. An exchange takes some milliseconds; a founding waits for a directory. */
const BUCKETS_SEC = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Events that somebody may be woken by, which are there from the start: the first of them would else not be seen to be one more. */
export const COUNTED_FROM_ZERO: readonly (readonly [LogLevel, string])[] = [
  ['error', 'failed'],
  ['error', 'kek.unknown'],
  ['error', 'kek.unwrapFailed'],
  ['error', 'envelope.mismatch'],
  ['error', 'credential.neverIssued'],
  ['error', 'embedded-database-failed'],
  ['error', 'mint.conflict'],
  ['error', 'plc.documentDiffers'],
  ['error', 'ceremony.keyMismatch'],
  ['error', 'steering.unkept'],
  ['error', 'restored.fromPast'],
  ['warn', 'checkpoint.failed'],
  ['error', 'checkpoint.unreadable'],
]

export function openMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name, help, labelNames, registers: [registry] })
  const gauge = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge<L>({ name, help, labelNames, registers: [registry] })

  const answers = counter('reeve_answers_total', 'Requests answered, by way in and by status or name of the refusal', [
    'method',
    'outcome',
  ])
  const seconds = new Histogram({
    ...{ name: 'reeve_answer_seconds', help: 'How long requests took to be answered, by way in' },
    ...{ labelNames: ['method'], buckets: BUCKETS_SEC, registers: [registry] },
  })
  const events = counter('reeve_log_events_total', 'Events of the log, but those of the level debug', [
    'level',
    'event',
  ])
  const spans = counter('reeve_trace_spans_total', 'Spans of traces that were sent or lost', ['outcome'])
  const failures = counter('reeve_worker_failures_total', 'Turns of background work that failed', ['worker'])
  const build = gauge('reeve_build_info', 'Which Reeve this is', ['version', 'database'])
  const size = gauge('reeve_size', 'How many there are of what has a bound in memory', ['name', 'kind'])
  const sizeMost = gauge('reeve_size_most', 'How many there may be', ['name', 'kind'])
  const connections = gauge('reeve_database_connections', 'Connections in use, and who waits for one', ['state'])
  const connectionsMost = gauge('reeve_database_connections_most', 'Connections that there may be')
  const isUp = gauge('reeve_database_up', 'Whether the database answered at the last look: 1 or 0')
  const spacesToTell = gauge(
    'reeve_spaces_to_tell',
    'Spaces where not everybody was told of every write; 10,000 at most',
  )
  const alarms = gauge('reeve_alarms', 'Communities with an alarm that stands, by its name', ['alarm'])
  const locked = gauge('reeve_locked_data_keys', 'Data keys that no key-encryption key of the settings opens')
  const waiting = (name: string, what: string) => ({
    count: gauge(name, `${what}: how many`),
    oldest: gauge(`${name}_oldest_seconds`, `${what}: for how long the oldest waits`),
  })
  const audit = waiting('reeve_audit_unsealed', 'Entries of the audit without their place in the chain')
  const lanes = waiting('reeve_lanes_due', 'Receivers of notifications that are well and whose moment has come')
  const plcWork = waiting('reeve_plc_work', 'Changes of identities on their way to the directory')
  const foundings = waiting('reeve_foundings', 'Foundings on their way')

  for (const [level, event] of COUNTED_FROM_ZERO) events.inc({ level, event }, 0)
  let watched: Watched | null = null
  let writing: Promise<string> | null = null

  function show({ opened, sizes }: Watched, looked: Looked): void {
    for (const { name, kind, size: now, most } of sizes.list()) {
      size.set({ name, kind }, now)
      sizeMost.set({ name, kind }, most)
    }
    const { most, inUse, waiting: waits } = opened.connections()
    connections.set({ state: 'inUse' }, inUse)
    connections.set({ state: 'waiting' }, waits)
    connectionsMost.set(most)
    isUp.set(looked.isDatabaseUp ? 1 : 0)
    setOrLeaveOut(spacesToTell, looked.spacesToTell)
    setOrLeaveOut(locked, looked.lockedDataKeys)
    alarms.reset()
    for (const [alarm, count] of looked.alarms ?? []) alarms.set({ alarm }, count)
    for (const [gauges, found] of [
      [audit, looked.audit],
      [lanes, looked.lanes],
      [plcWork, looked.plcWork],
      [foundings, looked.foundings],
    ] as const) {
      setOrLeaveOut(gauges.count, found?.count ?? null)
      setOrLeaveOut(gauges.oldest, found && ageSec(found, looked.atMs))
    }
  }

  return {
    contentType: registry.contentType,
    answered(method, outcome, ms) {
      answers.inc({ method, outcome })
      seconds.observe({ method }, ms / 1000)
    },
    happened: (level, event) => events.inc({ level, event }),
    workerFailed: (worker) => failures.inc({ worker }),
    traced: (outcome, count) => spans.inc({ outcome }, count),
    watch(what) {
      watched = what
      build.set({ version: what.version, database: what.opened.engine }, 1)
    },
    page() {
      writing ??= (async () => {
        if (watched) show(watched, await watched.look())
        return registry.metrics()
      })().finally(() => {
        writing = null
      })
      return writing
    },
  }
}

/** What isn't known is left out: nought would say that nothing waits. */
function setOrLeaveOut(gauge: Gauge<never>, value: number | null): void {
  if (value === null) gauge.remove()
  else gauge.set(value)
}

const ageSec = ({ oldestAtMs }: Waiting, nowMs: number): number =>
  oldestAtMs === null ? 0 : Math.max(0, nowMs - oldestAtMs) / 1000
