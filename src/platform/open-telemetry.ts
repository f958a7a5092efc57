/**
 * Traces for a collector that speaks OTLP over HTTP: the library makes spans of what is under way and sends them in batches. Loaded only where
 * the operator has named a collector.
 *
 * Few requests are followed, at random. Spans wait in a line with a bound; when it is full, or the collector doesn't take them, they are lost
 * and counted, and nothing else happens. They go out by a door of their own, which leads to that one origin, and by which no stranger calls.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { type Attributes, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { JsonTraceSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { type Clock, withinMs } from './clock.ts'
import { errorName, type Log } from './log.ts'
import type { Meters } from './meters.ts'
import { type Outbound, OutboundFailure, openOutbound } from './outbound.ts'
import type { Counted } from './sizes.ts'
import type { Traces } from './traces.ts'

/** Spans that have ended and are not sent yet, or are just being sent. */
const WAITING_MAX = 2_048
const BATCH_MAX = 256
const BATCH_PAUSE_MS = 2_000
const SENDING_MAX_MS = 5_000
const ANSWER_MAX_BYTES = 64 * 1024
/** For what is left when the service ends. */
const CLOSING_MAX_MS = 1_000

export interface TracesOptions {
  /** Where spans are sent; the operator's own word. */
  readonly url: string
  /** How many of all requests and turns are followed, from 0 to 1. */
  readonly share: number
  readonly version: string
  readonly clock: Clock
  readonly log: Pick<Log, 'warn' | 'info'>
  readonly meters: Pick<Meters, 'traced'>
  readonly counted: Counted
}

export function openTraces({ url, share, version, clock, log, meters, counted }: TracesOptions): Traces {
  const door = openOutbound({ allowLoopback: false, ownHosts: [], trustedOrigins: [new URL(url).origin], clock })
  const line = new Line(meters)
  const batches = new BatchSpanProcessor({
    exporter: new Sender(url, door, log, line),
    maxQueueSize: WAITING_MAX,
    maxExportBatchSize: BATCH_MAX,
    scheduledDelayMillis: BATCH_PAUSE_MS,
    exportTimeoutMillis: SENDING_MAX_MS + 1_000,
  })
  line.leadsTo(batches)
  counted(WAITING_MAX, () => line.length)
  const provider = new TracerProvider({
    // Made here, since the library's own would tell of the machine.
    resource: resourceFromAttributes({ 'service.name': 'reeve', 'service.version': version }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) }),
    spanProcessors: [line],
  })
  const tracer = provider.getTracer('reeve')
  const underWay = new AsyncLocalStorage<Span>()
  const start = (name: string, kind: SpanKind, attributes: Attributes, parent?: Span): Span =>
    tracer.startSpan(name, { kind, attributes }, parent ? trace.setSpan(ROOT_CONTEXT, parent) : ROOT_CONTEXT)

  async function carryOut<T>(span: Span, work: () => Promise<T>, outcomeOf?: (answer: T) => string): Promise<T> {
    try {
      const answer = await underWay.run(span, work)
      if (outcomeOf) span.setAttribute('reeve.outcome', outcomeOf(answer))
      return answer
    } catch (error) {
      // By its name alone: a message may quote what somebody sent.
      span.setAttribute('reeve.outcome', error instanceof OutboundFailure ? error.kind : errorName(error))
      span.setStatus({ code: SpanStatusCode.ERROR })
      throw error
    } finally {
      span.end()
    }
  }

  return {
    begun: (kind, name, work) =>
      carryOut(start(name, kind === 'request' ? SpanKind.SERVER : SpanKind.INTERNAL, { 'reeve.kind': kind }), work),
    step(step, work, outcomeOf) {
      const parent = underWay.getStore()
      // Also what somebody set going who was answered since: it may go on for hours.
      if (!parent?.isRecording()) return work()
      const { kind, name, mark } = step()
      const attributes = { 'reeve.kind': kind, ...(mark === undefined ? {} : { 'reeve.mark': mark }) }
      return carryOut(start(name, SpanKind.CLIENT, attributes, parent), work, outcomeOf)
    },
    answered(method, outcome) {
      underWay.getStore()?.updateName(method).setAttribute('reeve.outcome', outcome)
    },
    async close() {
      await withinMs(
        CLOSING_MAX_MS,
        provider.shutdown().catch(() => {}),
      )
      await door.close()
    },
  }
}

/** Counts what comes in and what goes out, so that whatever finds no room is counted as well. */
class Line implements SpanProcessor {
  length = 0
  readonly #meters: Pick<Meters, 'traced'>
  #next: SpanProcessor | null = null

  constructor(meters: Pick<Meters, 'traced'>) {
    this.#meters = meters
  }

  leadsTo(next: SpanProcessor): void {
    this.#next = next
  }

  left(outcome: 'sent' | 'lost', spans: number): void {
    this.length -= spans
    this.#meters.traced(outcome, spans)
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#next === null) return
    if (this.length >= WAITING_MAX) this.#meters.traced('lost', 1)
    else {
      this.length += 1
      this.#next.onEnd(span)
    }
  }

  async forceFlush(): Promise<void> {
    await this.#next?.forceFlush()
  }

  /** Whatever ends later is nobody's. */
  async shutdown(): Promise<void> {
    const next = this.#next
    this.#next = null
    await next?.shutdown()
  }
}

const isTaken = (status: number): boolean => String(status).startsWith('2')

/** Sends a batch. Says in the log when the collector begins to take none, and when it takes them again. */
class Sender implements SpanExporter {
  readonly #url: string
  readonly #door: Pick<Outbound, 'request'>
  readonly #log: TracesOptions['log']
  readonly #line: Line
  #isTaken = true

  constructor(url: string, door: Pick<Outbound, 'request'>, log: TracesOptions['log'], line: Line) {
    this.#url = url
    this.#door = door
    this.#log = log
    this.#line = line
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.#send(spans).then((fault) => {
      this.#line.left(fault === null ? 'sent' : 'lost', spans.length)
      if (fault !== null && this.#isTaken) this.#log.warn('traces.lost', { because: fault })
      if (fault === null && !this.#isTaken) this.#log.info('traces.taken')
      this.#isTaken = fault === null
      done({ code: fault === null ? 0 : 1 })
    })
  }

  /** Why they were not taken; null when they were. */
  async #send(spans: ReadableSpan[]): Promise<string | null> {
    try {
      const { status } = await this.#door.request({
        ...{ method: 'POST', url: this.#url, isOperators: true, headers: { 'content-type': 'application/json' } },
        ...{ body: JsonTraceSerializer.serializeRequest(spans) ?? '', maxBytes: ANSWER_MAX_BYTES },
        ...{ timeoutMs: SENDING_MAX_MS, contentTypes: null },
      })
      return isTaken(status) ? null : String(status)
    } catch (error) {
      return error instanceof OutboundFailure ? error.kind : errorName(error)
    }
  }

  async shutdown(): Promise<void> {}
}
