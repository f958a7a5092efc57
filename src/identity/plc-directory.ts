/**
 * The PLC directory over the network: one operation in, one verified log out.
 *
 * It never guesses what became of an operation. Only the log says that, and only a log that was verified from its first
 * operation: whoever acted on the mere answer to a POST could throw away a key that is in force, or wait for one that never is.
 */
import type { Did } from '../names.ts'
import { fromUtf8 } from '../platform/bytes.ts'
import { sleep } from '../platform/clock.ts'
import { PLC_LOG_MAX_BYTES, PLC_TIMEOUT_MS } from '../platform/limits.ts'
import { type Outbound, type OutboundAsk, OutboundFailure } from '../platform/outbound.ts'
import { Unavailable } from '../refusals.ts'
import { PLC_LOG_MAX_ENTRIES, type PlcLogFault, type VerifiedPlcLog, verifyPlcLogWithRests } from './plc-log.ts'
import type { PlcOperation } from './plc-operation.ts'

/** A refusal may quote the whole operation back to us. Its text is never read. */
const ANSWER_MAX_BYTES = 32 * 1024

/** The directory's own no. It is about this POST only: an operation sent twice is in the log and its second POST refused. */
export type PlcSubmission = 'accepted' | { readonly refused: 'rejected' | 'conflict' }

export interface PlcDirectory {
  /**
   * Sends a signed operation. `rejected` is the directory's 400, `conflict` its 409 (`prev` is no longer the head).
   * Whatever is neither that nor a success throws `Unavailable`: the operation may or may not be in the log. After every
   * outcome the caller reads the log; none of them is proof by itself.
   */
  submit(did: Did, operation: PlcOperation): Promise<PlcSubmission>
  /**
   * The DID's log, verified; null when the directory says that it has no such DID.
   * Throws `UntrustedPlcLog` when there is a log that doesn't hold or is longer than is read here, `Unavailable` when there was no whole
   * answer.
   */
  readLog(did: Did): Promise<VerifiedPlcLog | null>
}

/**
 * The directory served a log that can't be true: it is broken, or it lies. Or one that is longer than is read here (`too-many-entries`,
 * `too-many-bytes`), of which nothing can be said. To a caller who only waits for the world to mend
 * this is one more `Unavailable`; a watcher tells it apart by its class and rings.
 */
export class UntrustedPlcLog extends Unavailable {
  readonly fault: PlcLogFault | 'too-many-bytes'
  /** Index of the entry that shows it. */
  readonly at: number | undefined

  constructor(fault: UntrustedPlcLog['fault'], at?: number) {
    super('UpstreamFailure', 'plc-log')
    this.fault = fault
    this.at = at
  }
}

/** How much of a log is read. */
export interface PlcLogLimits {
  readonly maxBytes: number
  readonly maxEntries: number
  readonly timeoutMs: number
}

const SERVICE_LIMITS: PlcLogLimits = {
  maxBytes: PLC_LOG_MAX_BYTES,
  maxEntries: PLC_LOG_MAX_ENTRIES,
  timeoutMs: PLC_TIMEOUT_MS,
}

/**
 * A client of the directory at `plcUrl` (an origin, with or without a path), which reads as much of a log as a service does, or as it is told.
 * Holds nothing: there is nothing to close.
 */
export function openPlcDirectory(options: { plcUrl: string; outbound: Outbound; limits?: PlcLogLimits }): PlcDirectory {
  const { maxBytes, maxEntries, timeoutMs } = options.limits ?? SERVICE_LIMITS
  const base = options.plcUrl.replace(/\/+$/, '')
  const urlOf = (did: Did) => `${base}/${encodeURIComponent(did)}`
  const send = async (ask: OutboundAsk) => {
    try {
      return await options.outbound.request(ask)
    } catch (error) {
      if (error instanceof OutboundFailure && error.kind === 'too-large' && ask.method === 'GET')
        throw new UntrustedPlcLog('too-many-bytes')
      throw unavailable(error)
    }
  }

  return {
    async submit(did, operation) {
      const { status } = await send({
        method: 'POST',
        url: urlOf(did),
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(operation),
        maxBytes: ANSWER_MAX_BYTES,
        timeoutMs: PLC_TIMEOUT_MS,
        contentTypes: null,
        isOperators: true,
      })
      if (status >= 200 && status < 300) return 'accepted'
      if (status === 400) return { refused: 'rejected' }
      if (status === 409) return { refused: 'conflict' }
      throw new Unavailable('UpstreamFailure', 'plc-directory')
    },

    async readLog(did) {
      const { status, contentType, body } = await send({
        method: 'GET',
        url: `${urlOf(did)}/log/audit`,
        headers: { accept: 'application/json' },
        maxBytes,
        timeoutMs,
        contentTypes: ['application/json'],
        isOperators: true,
      })
      // Only a directory's own 404: a proxy's page for a wrong address must not read as "there is no such DID".
      if (status === 404 && contentType === 'application/json') return null
      if (status !== 200) throw new Unavailable('UpstreamFailure', 'plc-directory')
      const verdict = await verifyPlcLogWithRests(did, parseJson(body), () => sleep(0), maxEntries)
      if (!verdict.ok) throw new UntrustedPlcLog(verdict.fault, verdict.at)
      return verdict
    },
  }
}

/** Any JSON value, or null. Repeated keys are no danger here: what was read is what is hashed, so another reading fails. */
function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(body) ?? '')
  } catch {
    return null
  }
}

function unavailable(cause: unknown): unknown {
  if (!(cause instanceof OutboundFailure)) return cause
  return new Unavailable(cause.kind === 'timeout' ? 'UpstreamTimeout' : 'UpstreamFailure', 'plc-directory', { cause })
}
