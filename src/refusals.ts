/**
 * Every way Reeve says no, and the two ways the world fails us.
 *
 * Never an HTTP number here: `doors/refusal-to-http.ts` gives each code its status, and a code without one does not compile.
 */

/** The codes, as the lexicons name them. Protocol names first, then those of our own methods. */
export type RefusalCode =
  // shape of a request
  | 'InvalidRequest'
  | 'PayloadTooLarge'
  | 'UnsupportedMediaType'
  | 'XRPCNotSupported'
  | 'MethodNotImplemented'
  | 'RateLimitExceeded'
  // tokens
  | 'InvalidToken'
  | 'MissingJwt'
  | 'BadJwt'
  | 'BadJwtType'
  | 'BadJwtIss'
  | 'BadJwtSub'
  | 'BadJwtAudience'
  | 'BadJwtSignature'
  | 'BadJwtCnf'
  | 'BadJwtLexiconMethod'
  | 'JwtExpired'
  | 'JwtReplayed'
  // proofs of possession
  | 'MissingDpopProof'
  | 'BadDpopProof'
  | 'BadDpopProofSignature'
  | 'DpopProofExpired'
  | 'DpopKeyMismatch'
  | 'BadSpaceSignature'
  | 'BadSpaceAudience'
  // a credential that is shown
  | 'CredentialRevoked'
  | 'InvalidCredential'
  // who is told of writes
  | 'ServiceNotResolvable'
  // the exchange
  | 'InvalidDelegationToken'
  | 'InvalidClientAttestation'
  | 'SpaceNotFound'
  | 'SpaceDeleted'
  | 'AppNotAuthorized'
  | 'UserNotAuthorized'
  | 'NotAuthorized'
  // what was written
  | 'FutureRev'
  // governance
  | 'Forbidden'
  | 'NotFound'
  | 'SpaceAlreadyExists'
  | 'UnsupportedPolicy'
  | 'UnsupportedAppAccess'
  | 'UnsupportedCustody'
  | 'UnsupportedHost'
  | 'UnknownRole'
  | 'UnknownCommunity'
  | 'EscalationDenied'
  | 'LastOwner'
  | 'OpenToAnybody'
  | 'RoleInUse'
  | 'InviteNotValid'
  | 'ProposalNotOpen'
  | 'ProposalWaits'
  | 'ImportNotOpen'
  | 'NotConnected'
  | 'NotSteered'
  | 'SteeringEnds'
  | 'LookNotOpen'
  | 'LookWaits'
  // a browser that comes back from a PDS
  | 'BadLogin'
  | 'LimitExceeded'
  | 'StaleRevision'
  | 'IdempotencyConflict'
  // founding
  | 'BadRecoveryProof'
  | 'HandleNotAvailable'
  | 'PlcLimit'
  | 'PlcRank'
  | 'PlcRejected'
  | 'PlcConflict'
  | 'PlcBudget'
  | 'PlcQuiet'
  // keys
  | 'RotationUnderWay'
  | 'KeeperSignatureRequired'
  | 'QuorumNotMet'
  | 'CoolingDown'
  | 'CeremonyInProgress'
  | 'CeremonyCancelled'
  | 'CeremonyExpired'
  | 'BadCeremony'
  | 'BadShare'
  | 'DuplicateShare'
  | 'KeeperRevoked'
  | 'KeeperSuspended'
  | 'KeyMismatch'

/** An expected no. `says` is for the caller; `because` is for the log and the audit and never leaves the house. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: RefusalCode
  readonly says: string
  readonly because: string | undefined

  constructor(code: RefusalCode, says: string, because?: string) {
    super(`${code}: ${says}`)
    this.code = code
    this.says = says
    this.because = because
  }
}

/** Our own trouble, or somebody else's. Ours is told as 503 so that a sender tries again; theirs as 502 or 504. */
export type UnavailableCode =
  | 'NotEnoughResources'
  | 'KeyUnavailable'
  | 'KekUnavailable'
  // The database is an older one than was here before: only what reads goes on, until its operator has seen to it.
  | 'RestoredFromPast'
  | 'UpstreamTimeout'
  | 'UpstreamFailure'

/** The world failed: nobody was judged, nothing was changed, trying again is right. `what` names the part, never an address. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
  readonly code: UnavailableCode
  readonly what: string

  constructor(code: UnavailableCode, what: string, options?: { cause?: unknown }) {
    super(`${code}: ${what}`, options)
    this.code = code
    this.what = what
  }
}
