/** Everything the doors lend to the actions behind them. The roof assembles it once; each action asks only for what it needs. */

import type { HookCtx } from '../access/checkUserAccess.ts'
import type { Checkpoints } from '../audit/checkpoints.ts'
import type { FoundingCtx } from '../community/communityMint.ts'
import type { SetHandleCtx } from '../community/communitySetHandle.ts'
import type { Fence } from '../community/fence.ts'
import type { ExchangeCtx } from '../credential/getSpaceCredential.ts'
import type { AppMetadata } from '../identity/app-metadata.ts'
import type { VerifiedTokens } from '../identity/verified-tokens.ts'
import type { Vault } from '../keys/vault.ts'
import type { Caveat } from '../lexicons/community/reeve/defs.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import type { Did } from '../names.ts'
import type { Dispatcher } from '../notify/dispatcher.ts'
import type { NotifyWriteCtx } from '../notify/notifyWrite.ts'
import type { SponsorWords } from '../notify/sponsor-words.ts'
import type { HostCaps } from '../platform/config.ts'
import type { FairTurns } from '../platform/fair-turns.ts'
import type { Meters } from '../platform/meters.ts'
import type { Outbound } from '../platform/outbound.ts'
import type { Random } from '../platform/random.ts'
import type { Sizes } from '../platform/sizes.ts'
import type { Traces } from '../platform/traces.ts'
import type { PdsSessions } from '../steering/connection.ts'
import type { Grants } from '../steering/grants.ts'
import type { Pds } from '../steering/pds.ts'
import type { Signing } from '../steering/signing.ts'
import type { Leaving } from './leaving.ts'
import type { RateBuckets } from './rate-buckets.ts'

/** What an exchange charges, and whom, is each request's own. */
type OfRequest = 'keyOf' | 'appKeysOf' | 'chargePerson'

export interface House
  extends GovernanceCtx,
    FoundingCtx,
    SetHandleCtx,
    Omit<ExchangeCtx, OfRequest>,
    NotifyWriteCtx,
    HookCtx {
  readonly vault: Vault
  readonly random: Random
  /** Chance for names that are no secret. */
  readonly names: Random
  readonly apps: AppMetadata
  /** Of those who ask on and on with one token, as a PDS may. */
  readonly verifiedTokens: VerifiedTokens
  readonly sponsorWords: SponsorWords
  /** Whoever asked to hear of writes is told by it. */
  readonly dispatcher: Dispatcher
  /** The way out for what is told: slow receivers must not keep anything else waiting. */
  readonly deliveries: Outbound
  /** The OAuth client of this service. */
  readonly grants: Grants
  /** The way to the PDSes of communities' accounts. */
  readonly sessions: PdsSessions
  /** Turns of communities that have people looked up. */
  readonly lookups: FairTurns
  /** Keeps out whoever asks for a community that has left. */
  readonly fence: Fence
  /** Signs in the name of communities, whoever has their keys. */
  readonly accountSigner: Signing
  /** What owners have to see to, of what is kept at PDSes. */
  readonly alarmsOf: (community: Did) => Promise<readonly Caveat[]>
  /** Whether the database is the one that was here before. */
  readonly checkpoints: Checkpoints
  /** Whether this process was told to end. */
  readonly leaving: Leaving
  readonly version: string
  readonly buckets: RateBuckets
  /** How big everything is that is kept in memory and has a bound. */
  readonly sizes: Sizes
  /** What is counted for whoever watches this process. */
  readonly meters: Meters
  /** Where requests and turns spend their time, for whoever follows some. */
  readonly traces: Traces
  /** What repo hosts take of what was taken back. */
  readonly hostCaps: HostCaps
  readonly trustedProxies: readonly string[]
  /** The PDSes of accounts that are communities here, as each has let us in. */
  readonly pds: Pds
}
