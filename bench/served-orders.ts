/** What the measured process is told to do, and what it reports. Every order is answered by one report. */
import type { Did, SpaceUri } from '../src/names.ts'
import type { Es256k } from '../src/platform/ecdsa.ts'
import type { Shares } from './profile.ts'
import type { Prepared } from './tokens.ts'

export type Order =
  /** The cryptography of exchanges alone, by the back end in use or by OpenSSL. */
  | {
      kind: 'crypto'
      requests: readonly Prepared[]
      url: string
      es256k?: 'openssl'
      /** They are refused for the signature of their token, and nothing is signed. */
      isRefused?: boolean
    }
  /** The same by `@atproto/crypto`. */
  | { kind: 'atproto'; requests: readonly Prepared[] }
  /** Bare POSTs out of this process. */
  | { kind: 'posts'; urls: readonly string[]; rounds: number; isSigned: boolean }
  /** Reading and verifying service JWTs. */
  | { kind: 'verifies'; tokens: readonly string[]; didKey: string }
  /** Verdicts once their facts are there, and the first ones on a graph that was just made. */
  | { kind: 'decisions'; space: SpaceUri; dids: readonly Did[]; rounds: number }
  | { kind: 'cold'; space: SpaceUri; dids: readonly Did[]; nested: number }
  /** People by their numbers onto a roster, people by their DIDs, and edges between new spaces. */
  | { kind: 'fill'; space: SpaceUri; people: readonly [first: number, last: number] }
  | { kind: 'enrol'; space: SpaceUri; dids: readonly Did[] }
  | { kind: 'spaces'; community: Did; count: number }
  /** The statement that writes down what is issued, alone: each for itself, or gathered. */
  | { kind: 'issues'; space: SpaceUri; dids: readonly Did[]; count: number; inFlight: number; isGathered: boolean }
  /** Selects of one row by its key, one after the other. */
  | { kind: 'selects'; space: SpaceUri; count: number }
  /** A server of Node's own HTTP in this process. */
  | { kind: 'bare' }
  /** `cpu` also says what is used; `statements` those that requests have caused; `looped` the delays since `loop`. */
  | { kind: 'cpu' | 'statements' | 'loop' | 'looped' | 'waiting' | 'profile' | 'profiled' | 'end' }

export type Report =
  | { kind: 'ready'; es256k: Es256k['backend'] }
  | { kind: 'crypto'; cpuSec: number; count: number }
  | { kind: 'cold'; verdictSec: number; graphSec: number; count: number }
  | { kind: 'posts'; cpuSec: number; wallSec: number; count: number }
  | { kind: 'cpu'; cpuSec: number; databaseSec: number; rssMiB: number }
  | {
      kind: 'issues'
      cpuSec: number
      databaseSec: number
      fsyncs: number
      p50Ms: number
    }
  | { kind: 'selects'; p50Ms: number }
  | { kind: 'statements'; count: number }
  | { kind: 'looped'; p99Ms: number; longestMs: number }
  | { kind: 'waiting'; lanes: number; registrations: number }
  | { kind: 'bare'; port: number }
  | { kind: 'profiled'; shares: Shares }
  | { kind: 'filled' | 'loop' | 'profile' }

/** Processor time of this process so far. */
export function cpuSec(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
