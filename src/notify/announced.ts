/** A token by which somebody's host tells us something about them: its claims are sound, its signature is not verified yet. */
import type { ResolvedDocument } from '../identity/did-documents.ts'
import type { KeyOf } from '../identity/did-signature.ts'
import type { ServiceAuth } from '../identity/service-auth.ts'
import type { Did, SpaceUri } from '../names.ts'

/** The documents of those who announce, at the expense of the address that does. @throws Refusal('RateLimitExceeded') */
export interface WriterKeyOf {
  readonly keyOf: KeyOf
  readonly documentOf: (did: Did) => Promise<ResolvedDocument | null>
}

export interface Announced extends ServiceAuth {
  readonly keyOf: WriterKeyOf
  /** Counts this announcement, once its signature was seen to hold. @throws Refusal('RateLimitExceeded') */
  readonly charge: () => void
  /** Counts it among all that is announced of a space, once it was let in. @throws Refusal('RateLimitExceeded') */
  readonly chargeSpace: (space: SpaceUri) => void
}
