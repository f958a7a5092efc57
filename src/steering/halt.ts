/** Why work on a space stops for now: what its PDS answered, as a fault that owners are told of, and a pause. */
import type { Answered, Unanswered } from './simplespace.ts'

/** `GoneAtPds`: it was there, and isn't any more. Other names are the PDS's own, as far as they look like names. */
export type Fault = string

/** Ends a turn for a space. What was done before stays done. */
export class Halt extends Error {
  /** What an owner has to see to; null: nothing, or not yet. */
  readonly fault: Fault | null
  /** At least so long; null: by how often it failed already. */
  readonly pauseMs: number | null
  /** Whether it is the PDS that wants to be left alone, and not this space that is in trouble. */
  readonly isWholePds: boolean
  /** Whether the PDS may be of another generation than was thought. */
  readonly isRelearning: boolean
  /** Whether the PDS doesn't take what was sent, for whatever reason of its own. */
  readonly isRefusal: boolean

  constructor(
    fault: Fault | null,
    more: Partial<Pick<Halt, 'pauseMs' | 'isWholePds' | 'isRelearning' | 'isRefusal'>> = {},
  ) {
    super(fault ?? 'halted')
    this.fault = fault
    this.pauseMs = more.pauseMs ?? null
    this.isWholePds = more.isWholePds ?? false
    this.isRelearning = more.isRelearning ?? false
    this.isRefusal = more.isRefusal ?? false
  }
}

/** Owners may see to it any time, so it is looked again soon; asking costs one call, or none where there is no grant. */
const UNCONNECTED_PAUSE_MS = 15_000

export function haltOf(answer: Unanswered): Halt {
  if (answer.is === 'unscoped') return new Halt('GrantTooNarrow')
  if (answer.is === 'unconnected') return new Halt('NotConnected', { pauseMs: UNCONNECTED_PAUSE_MS })
  if (answer.is === 'broken') return new Halt(answer.because)
  if (answer.is === 'failed') {
    return new Halt(null, { pauseMs: answer.pauseMs, isWholePds: answer.pauseMs !== null })
  }
  if (answer.error === 'SpaceNotFound') return new Halt('GoneAtPds')
  return new Halt(nameOf(answer.error), { isRefusal: answer.error !== 'NotSpaceOwner' })
}

/** The value of an answer. @throws Halt */
export function requireAnswered<T>(answer: Answered<T>): T {
  if (answer.is !== 'answered') throw haltOf(answer)
  return answer.value
}

/** What a PDS calls its refusal, when that is plain. */
export const nameOf = (error: string): string =>
  /^[A-Za-z][\w ]{0,63}$/.test(error) ? error.replaceAll(' ', '') : 'Refused'

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 10 * 60 * 1000
/** So often in a row, and owners are told that the PDS can't be reached. */
const FAILURES_QUIET = 5

/** How long to wait after so many failures in a row. `chance` (0 to 1) keeps those apart that failed together. */
export const backOffMs = (failures: number, chance: number): number =>
  Math.round(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 20)) * (0.75 + chance / 2))

export const isUnreachable = (failures: number): boolean => failures > FAILURES_QUIET
