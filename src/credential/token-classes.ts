/**
 * The kinds of token this room reads or issues, as data: name, life, tolerance, and how long a use is remembered.
 *
 * Memory is derived from the window in which a token is accepted, never typed beside it: a memory shorter than the window
 * would let the same token in twice.
 */
import { ERRAND_TIMES } from '../platform/jwt-claims.ts'
import { SPENT_MARGIN_SEC } from '../platform/limits.ts'

export { keepUntilSec } from '../platform/jwt-claims.ts'

/** What a user's PDS hands an app, so that it may ask us for a credential. `iat` is optional, `exp` and `jti` are not. */
export const DELEGATION = { typ: 'atproto-space-delegation+jwt', ...ERRAND_TIMES } as const

/** A proof has no `exp`: it is young or it is nothing (RFC 9449 §11.1). */
export const DPOP_PROOF = { typ: 'dpop+jwt', ageMaxSec: 60, skewSec: 5 } as const

/** An HTTP signature needs no times; `created`, when sent, may lie this far ahead of our clock. `expires` is taken as it says. */
export const SPACE_SIGNATURE = { createdAheadMaxSec: ERRAND_TIMES.iatAheadMaxSec } as const

/**
 * What we issue. Both generations of the protocol accept 600 s; the newer one refuses more than an hour. A community may
 * choose within the bounds: shorter means that a removal bites sooner, below two minutes an app does little but renew.
 */
export const CREDENTIAL = {
  typ: 'atproto-space-credential+jwt',
  lifetimeDefaultSec: 600,
  lifetimeMinSec: 120,
  lifetimeMaxSec: 3600,
  skewSec: 5,
  iatAheadMaxSec: 5,
} as const

/**
 * How long after its use a token that works once would be taken again at the most, where nobody remembers that use: what a database that was put
 * back to an older state has to wait out.
 */
export const REUSABLE_MAX_SEC =
  SPENT_MARGIN_SEC +
  Math.max(ERRAND_TIMES.lifetimeMaxSec + 2 * ERRAND_TIMES.skewSec, DPOP_PROOF.ageMaxSec + 2 * DPOP_PROOF.skewSec)

/** Until when the use of a DPoP proof is remembered: past the last second at which it would still be taken. */
export const proofKeepUntilSec = (iatSec: number): number =>
  iatSec + DPOP_PROOF.ageMaxSec + DPOP_PROOF.skewSec + SPENT_MARGIN_SEC
