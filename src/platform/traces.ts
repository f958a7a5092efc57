/**
 * Where a single request, or a turn of work, spends its time, for whoever follows some of them. Where nobody does, nothing is done but the work.
 *
 * Every name comes from a list that stands in the code, as for `Meters`. What a caller sends to say that they are being followed is not read,
 * and nobody who is called is told.
 */
import type { Outbound } from './outbound.ts'

/** Something that is done for what is under way. `mark` tells two of one name apart, and is made of no value. */
export interface Step {
  readonly kind: 'statement' | 'fetch'
  readonly name: string
  readonly mark?: string
}

export interface Traces {
  /** Carries out what stands for itself: a request, a turn of background work. */
  begun<T>(kind: 'request' | 'turn', name: string, work: () => Promise<T>): Promise<T>
  /** Carries out a step of what is under way. Only where that is followed somebody asks which step it is. */
  step<T>(step: () => Step, work: () => Promise<T>, outcomeOf?: (answer: T) => string): Promise<T>
  /** The request that is under way came by this way in, and this came of it. */
  answered(method: string, outcome: string): void
  /** Sends what is left, as far as that takes no time worth waiting for. */
  close(): Promise<void>
}

/** Of a service that nobody follows. */
export const NO_TRACES: Traces = {
  begun: (_kind, _name, work) => work(),
  step: (_step, work) => work(),
  answered() {},
  async close() {},
}

/** A way out whose requests are steps: by the name of the way, never by where they lead. */
export const tracedOutbound = (traces: Traces, name: string, outbound: Outbound): Outbound =>
  traces === NO_TRACES
    ? outbound
    : {
        ...outbound,
        request: (ask) =>
          traces.step(
            () => ({ kind: 'fetch', name }),
            () => outbound.request(ask),
            ({ status }) => String(status),
          ),
      }
