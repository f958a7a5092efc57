/** What the work on steered spaces is given, and how much of it is done at once. */

import type { AccessCtx } from '../access/may-read.ts'
import type { AuditFact } from '../audit/chain.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { Log } from '../platform/log.ts'
import type { Random } from '../platform/random.ts'
import type { Pds } from './pds.ts'

export interface SteeringCtx extends AccessCtx {
  readonly log: Log
  readonly random: Random
  readonly pds: Pds
  readonly serviceDid: Did
}

export interface SteeringPace {
  /** Calls under way at one PDS. */
  readonly atOnce: number
  /** Calls begun in a second at one PDS, at most. */
  readonly perSec: number
  /** Calls for one space before others of its community have their turn. */
  readonly slice: number
}

/** The reference takes 3,000 calls in five minutes from one address, of all accounts; what it says of its room is obeyed besides. */
export const PACE: SteeringPace = { atOnce: 4, perSec: 20, slice: 200 }

/** Something that was done at a PDS, or can't be, for the log of the community. Names and numbers only. */
export const factFor = (
  { clock, serviceDid }: Pick<SteeringCtx, 'clock' | 'serviceDid'>,
  { space, community }: { readonly space: SpaceUri; readonly community: Did },
  action: string,
  details: Readonly<Record<string, string | number | null>>,
): AuditFact => ({
  ...{ community, atMs: clock.nowMs(), actor: serviceDid, action, target: space, subject: null },
  because: { reasons: [], ...details },
})
