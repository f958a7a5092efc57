/**
 * The PLC directory as an owner's command reaches it: by its address, or as a file of its log that somebody brought. No setting of the
 * service is read, and nothing but the directory is ever called.
 */

import { comparedWith } from '../identity/plc-course.ts'
import { openPlcDirectory, type PlcDirectory, type PlcLogLimits, UntrustedPlcLog } from '../identity/plc-directory.ts'
import { type VerifiedPlcLog, verifyPlcLog } from '../identity/plc-log.ts'
import { cidOf, type PlcOperation } from '../identity/plc-operation.ts'
import { type Did, parseDid } from '../names.ts'
import { sleep, systemClock } from '../platform/clock.ts'
import { openOutbound } from '../platform/outbound.ts'
import { Unavailable } from '../refusals.ts'
import { WrongUsage } from './command.ts'
import { readJsonFile } from './files.ts'

const PUBLIC_DIRECTORY = 'https://plc.directory'
/**
 * How much of a log an owner's command reads: more than anybody can make one within years. A log that somebody made long must not keep a
 * community from leaving, and here nobody else waits.
 */
export const OWNERS_LOG_LIMITS: PlcLogLimits = {
  maxBytes: 64 * 1024 * 1024,
  maxEntries: Number.POSITIVE_INFINITY,
  timeoutMs: 5 * 60_000,
}
/** How often the log is read back after sending, and how long between. */
const LOOKS = 6
const BETWEEN_LOOKS_MS = 2_000

/** The did:plc of an argument. @throws WrongUsage */
export function plcDidOf(text: string | undefined): Did {
  const did = parseDid(text)
  if (!did?.startsWith('did:plc:'))
    throw new WrongUsage('the DID of the community is needed: did:plc: and 24 characters')
  return did
}

/**
 * Lends the directory at an address for one work, and closes the door behind it. http is taken for this machine alone: over it anybody on
 * the way could keep an operation back. @throws WrongUsage for another address
 */
export async function withDirectory<T>(
  url = PUBLIC_DIRECTORY,
  work: (directory: PlcDirectory) => Promise<T>,
): Promise<T> {
  const { origin, protocol, hostname, search, hash, username } = URL.canParse(url) ? new URL(url) : new URL('none:')
  const isLoopback = hostname === 'localhost' || hostname === '127.0.0.1'
  const isRight = protocol === 'https:' || (protocol === 'http:' && isLoopback)
  if (!isRight || search !== '' || hash !== '' || username !== '')
    throw new WrongUsage('--plc must be the https address of a PLC directory')
  const outbound = openOutbound({
    ...{ allowLoopback: isLoopback, ownHosts: [], trustedOrigins: [origin] },
    clock: systemClock,
  })
  try {
    return await work(openPlcDirectory({ plcUrl: url, outbound, limits: OWNERS_LOG_LIMITS }))
  } finally {
    await outbound.close()
  }
}

/** The log at the directory. @throws Error in words: no such DID, a log that can't be true, or no whole answer */
export async function readLogAt(directory: PlcDirectory, did: Did): Promise<VerifiedPlcLog> {
  try {
    const log = await directory.readLog(did)
    if (log) return log
  } catch (error) {
    if (error instanceof UntrustedPlcLog && error.fault === 'too-many-bytes')
      throw new Error('the log is longer than this tool reads (64 MiB): ask another directory, or a mirror')
    if (error instanceof UntrustedPlcLog) throw new UnbelievableLog(error.fault, error.at)
    if (error instanceof Unavailable)
      throw new Error('the directory gave no whole answer: try again, or over another network')
    throw error
  }
  throw new Error('the directory has no such DID')
}

/** A log was shown that can't be true, wherever it came from. */
export class UnbelievableLog extends Error {
  override readonly name = 'UnbelievableLog'

  constructor(fault: UntrustedPlcLog['fault'], at?: number) {
    const place = at === undefined ? '' : `, at entry ${at + 1}`
    super(
      `this log can't be true (${fault}${place}). Whoever gave it is broken, or lies: ask another directory, or a mirror`,
    )
  }
}

/** A log from a file, verified from its first operation like any other. @throws Error in words */
export function readLogFile(path: string, did: Did): VerifiedPlcLog {
  const verdict = verifyPlcLog(did, readJsonFile(path, OWNERS_LOG_LIMITS.maxBytes), OWNERS_LOG_LIMITS.maxEntries)
  if (!verdict.ok) throw new UnbelievableLog(verdict.fault, verdict.at)
  return verdict
}

/** A log as the directory writes it, for keeping. */
export const logText = ({ did, ops }: VerifiedPlcLog): string =>
  `${JSON.stringify(
    ops.map(({ operation, cid, nullified, createdAt }) => ({ did, operation, cid, nullified, createdAt })),
    null,
    1,
  )}\n`

/** @throws Error in words for a log that doesn't go on from the one that was seen before */
export function assertGoesOn(seen: VerifiedPlcLog, log: VerifiedPlcLog): void {
  const how = comparedWith(seen, log)
  if (how === 'shorter')
    throw new Error(
      'the log is shorter than the one that you know: the directory keeps something back. Ask another one',
    )
  if (how === 'other-past')
    throw new Error(
      'the log tells another past than the one that you know: one of them is false. Ask another directory',
    )
}

/**
 * `in-force`; `followed`: it is in the log, and another one came behind it; `undone`: it is in the log, and somebody undid it; `refused`: the directory said no, and it isn't there; `unknown`: nobody can say.
 */
type Sent = 'in-force' | 'followed' | 'undone' | 'refused' | 'unknown'

/** Sends an operation and reads the log back until it is there. The log alone says what became of it, never the answer. */
export async function sendOperation(directory: PlcDirectory, did: Did, operation: PlcOperation): Promise<Sent> {
  const cid = cidOf(operation)
  const answer = await directory.submit(did, operation).catch(orNothing)
  for (let look = 1; ; look += 1) {
    const log = await directory.readLog(did).catch(orNothing)
    const entry = log?.ops.find((one) => one.cid === cid)
    if (log && entry) return entry.nullified ? 'undone' : log.head.cid === cid ? 'in-force' : 'followed'
    if (log && typeof answer === 'object' && answer !== null) return 'refused'
    if (look === LOOKS) return 'unknown'
    await sleep(BETWEEN_LOOKS_MS)
  }
}

function orNothing(error: unknown): null {
  if (error instanceof Unavailable) return null
  throw error
}
