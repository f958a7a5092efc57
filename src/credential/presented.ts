/**
 * A credential of ours that is shown to us, in either generation: what makes it ours, what makes it the sender's, and whether it
 * would be given now.
 *
 * It names neither person nor app; the ledger does. So the person behind it is judged again each time, by fresh facts: what was taken
 * away holds at our own endpoints from the end of the call that took it, whatever the credential still has to live.
 */
import { type Holder, spaceNotFound } from '../access/holder.ts'
import { wordKept } from '../access/managing-apps.ts'
import { loadReadFacts, mayRead, type Read } from '../access/may-read.ts'
import { type SignedByDid, signatureHolds } from '../identity/did-signature.ts'
import type { Vault } from '../keys/vault.ts'
import type { Hosted } from '../membership/hosted.ts'
import { type Did, type DidKey, parseSpaceUri, type SpaceName } from '../names.ts'
import { type CompactJws, parseCompactJws } from '../platform/compact-jws.ts'
import { bringsOwnKey, changesMeaning, parseAlg, parseJti, parseTimes } from '../platform/jwt-claims.ts'
import { TOKEN_MAX_CHARS } from '../platform/limits.ts'
import type { Log } from '../platform/log.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { claimId, claimOnce } from '../platform/once.ts'
import { Refusal } from '../refusals.ts'
import { verifyDpopProof } from './dpop.ts'
import { hasSpaceSignature, verifyPresentationSignature } from './http-signature.ts'
import { type Issued, loadIssued } from './ledger-store.ts'
import { CREDENTIAL, proofKeepUntilSec } from './token-classes.ts'

export interface PresentedCtx extends Pick<Parameters<typeof loadReadFacts>[0], 'db' | 'graphs' | 'words' | 'clock'> {
  readonly log: Log
  readonly hosted: Hosted
  readonly vault: Pick<Vault, 'publicKeys'>
  /** Counts a question of this person, whose credential was seen to hold. @throws Refusal('RateLimitExceeded') */
  readonly chargePerson: (did: Did) => void
}

/** The raw header lines that carry credential and proof, and the public address of the method. */
export interface Presentation {
  readonly authorization: readonly string[]
  readonly dpop: readonly string[]
  readonly signatureInput: readonly string[]
  readonly signature: readonly string[]
  readonly audience: readonly string[]
  readonly method: 'GET' | 'POST'
  readonly url: string
}

type Binding = { readonly kind: 'dpop'; readonly jkt: string } | { readonly kind: 'signature'; readonly key: DidKey }

/** A credential whose claims are sound. It is only a claim until the signature was seen to hold. */
interface Credential extends SignedByDid {
  readonly space: SpaceName
  readonly jti: string
  readonly kid: unknown
  readonly binding: Binding
}

/**
 * Requires a credential of ours and its proof. What can be judged without asking anybody is judged first; whose space it is, before a
 * key is looked for.
 *
 * Order of checks: a credential was sent, under the scheme of its generation (MissingJwt); its form and claims (BadJwt, BadJwtType,
 * BadJwtIss, BadJwtSub, BadJwtCnf, JwtExpired); we host the authority (SpaceNotFound); a key that is published signed it (BadJwtIss,
 * BadJwtSignature); the proof of possession (MissingDpopProof and the other names of DPoP, DpopKeyMismatch, or BadSpaceSignature);
 * the request is meant for the authority (BadSpaceAudience); the ledger has it, it wasn't taken back, and it would be given now
 * (CredentialRevoked). @throws Refusal; Unavailable
 */
export async function requireCredential(ctx: PresentedCtx, shown: Presentation): Promise<Holder> {
  const nowSec = ctx.clock.nowSec()
  const { scheme, token } = tokenOf(shown)
  const credential = parseCredential(token, scheme, nowSec)
  const { space, binding } = credential
  if (!(await ctx.hosted.has(ctx.db, space.authority))) throw spaceNotFound()
  await requireOurSignature(ctx, credential)
  const audience = await provePossession(ctx, shown, { token, binding, nowSec })
  // Before anybody is charged: a host that was shown the credential can send it on here, and would use up what its owner may ask for.
  if (audience !== null && audience !== space.authority) {
    throw new Refusal('BadSpaceAudience', 'Atproto-Space-Audience must be the authority of the space')
  }
  const issued = await requireIssued(ctx, credential)
  ctx.chargePerson(issued.did)
  const read = await requireStillGiven(ctx, space, issued)
  const { did, clientId, managedBy } = issued
  return read.space === 'live'
    ? { space, did, clientId, managedBy, facts: read.facts, revision: read.revision, isOnRoll: read.isOnRoll }
    : { space, did, clientId, managedBy, facts: null, revision: 0, isOnRoll: false }
}

type Scheme = 'dpop' | 'atproto-space'

/** The scheme says of which generation the request is. A credential never travels as Bearer: whoever found it could use it. */
function tokenOf({ authorization, signatureInput }: Presentation): { scheme: Scheme; token: string } {
  const [line = '', ...others] = authorization
  if (others.length > 0) {
    const isSigned = hasSpaceSignature(signatureInput)
    throw new Refusal(isSigned ? 'BadSpaceSignature' : 'InvalidToken', 'send one Authorization header')
  }
  const [name = '', token, ...rest] = line.split(' ')
  const scheme = name.toLowerCase()
  if ((scheme !== 'dpop' && scheme !== 'atproto-space') || !token || rest.length > 0) {
    throw new Refusal('MissingJwt', 'send a space credential as Authorization: Atproto-Space, or DPoP')
  }
  return { scheme, token }
}

function parseCredential(token: string, scheme: Scheme, nowSec: number): Credential {
  const jws = parseCompactJws(token, TOKEN_MAX_CHARS)
  if (!jws) throw new Refusal('BadJwt', 'the credential is not a well-formed compact JWT')
  const { header, payload } = jws
  if (header.typ !== CREDENTIAL.typ) throw new Refusal('BadJwtType', `typ must be ${CREDENTIAL.typ}`)
  const alg = parseAlg(header.alg)
  if (!alg) throw new Refusal('BadJwt', 'alg must name an algorithm')
  if (bringsOwnKey(header) || changesMeaning(header)) {
    throw new Refusal('BadJwt', 'the header has members that are not taken')
  }
  if (typeof payload.iss !== 'string') throw new Refusal('BadJwtIss', 'iss is missing')
  if (typeof payload.sub !== 'string') throw new Refusal('BadJwtSub', 'sub is missing')
  const jti = parseJti(payload.jti)
  if (!jti) throw new Refusal('BadJwt', 'jti must be 1 to 256 characters, without control characters')
  const binding = requireBinding(payload.cnf, scheme)
  requireInTime(payload, nowSec)
  const space = parseSpaceUri(payload.sub)
  if (!space) throw new Refusal('BadJwtSub', 'sub must be a space URI')
  if (payload.iss !== space.authority) throw new Refusal('BadJwtIss', 'iss must be the authority of the space')
  return { iss: space.authority, space, jti, kid: header.kid, alg, binding, jws }
}

/** The key that the credential is bound to, in the words of the generation in which it is shown. @throws Refusal('BadJwtCnf') */
function requireBinding(cnf: unknown, scheme: Scheme): Binding {
  const bound: Readonly<Record<string, unknown>> = typeof cnf === 'object' && cnf !== null ? { ...cnf } : {}
  if (scheme === 'dpop' && typeof bound['jkt'] === 'string') return { kind: 'dpop', jkt: bound['jkt'] }
  const holder = scheme === 'atproto-space' ? parseDidKey(bound['kid']) : null
  if (!holder) throw new Refusal('BadJwtCnf', 'cnf must name the key of the holder, as this scheme has it')
  return { kind: 'signature', key: holder.didKey }
}

function requireInTime(payload: CompactJws['payload'], nowSec: number): void {
  const times = parseTimes(payload)
  if (!times || times.iatSec === null) throw new Refusal('BadJwt', 'exp and iat must be whole seconds')
  const { expSec, iatSec } = times
  const isSound =
    expSec > iatSec &&
    expSec - iatSec <= CREDENTIAL.lifetimeMaxSec &&
    Math.max(iatSec, times.nbfSec ?? 0) <= nowSec + CREDENTIAL.iatAheadMaxSec
  if (!isSound) throw new Refusal('BadJwt', 'the credential lives longer than an hour, or begins in the future')
  if (nowSec - CREDENTIAL.skewSec >= expSec) throw new Refusal('JwtExpired', 'the credential has expired')
}

/** Names under which the keys of a community stand in its document, and what each of them is for. */
const PURPOSE_OF: ReadonlyMap<unknown, 'space' | 'atproto'> = new Map([
  ['#atproto_space', 'space'],
  ['atproto_space', 'space'],
  ['#atproto', 'atproto'],
  ['atproto', 'atproto'],
])

/** Our own keys need no document: those that are published, and those replaced while what they signed still lives. */
async function requireOurSignature(ctx: PresentedCtx, credential: Credential): Promise<void> {
  const purpose = PURPOSE_OF.get(credential.kid)
  const keys = purpose ? await ctx.vault.publicKeys(credential.iss) : []
  const usable = keys
    .filter((key) => key.purpose === purpose && (key.state === 'active' || key.state === 'retiring'))
    .flatMap(({ didKey }) => parseDidKey(didKey)?.key ?? [])
  if (usable.length === 0) throw new Refusal('BadJwtIss', 'kid is not a key that iss publishes')
  if (!usable.some((key) => signatureHolds(credential, key))) {
    throw new Refusal('BadJwtSignature', 'the signature is not by the key of iss')
  }
}

/** Whom the request is meant for; null where the proof names the address of this very method instead. */
async function provePossession(
  ctx: PresentedCtx,
  shown: Presentation,
  about: { readonly token: string; readonly binding: Binding; readonly nowSec: number },
): Promise<Did | null> {
  const { token, binding, nowSec } = about
  if (binding.kind === 'signature') {
    return verifyPresentationSignature({ ...shown, holder: binding.key, nowSec }).audience
  }
  const { url, method, dpop: proofs } = shown
  const proof = verifyDpopProof({ proofs, method, url, nowSec, ath: { credential: token } })
  if (proof.jkt !== binding.jkt) throw new Refusal('DpopKeyMismatch', 'DPoP: the credential is bound to another key')
  const claim = { id: claimId('dpop', proof.jkt, proof.jti), keepUntilSec: proofKeepUntilSec(proof.iatSec) }
  const [isFirst] = await claimOnce(ctx.db, [claim])
  if (!isFirst) throw new Refusal('BadDpopProof', 'DPoP: the proof was used before')
  return null
}

/** Every credential has a row before it is signed. One that has none was signed by somebody else who has our key. */
async function requireIssued(ctx: PresentedCtx, { space, jti, binding }: Credential): Promise<Issued> {
  const issued = await loadIssued(ctx.db, jti)
  const holder = binding.kind === 'dpop' ? binding.jkt : binding.key
  if (issued && issued.space === space.uri && issued.holder === holder) return issued
  ctx.log.error('credential.neverIssued', { community: space.authority, space: space.uri })
  throw revoked()
}

const revoked = (): Refusal => new Refusal('CredentialRevoked', 'the credential was taken back')

/**
 * Whom a managing app let in, it is not asked about again: that would make every read wait for it, and have it learn of each. Its word holds while
 * the credential lives, as long as the space goes by that app.
 * The end of a space is told by its own name, whether the ledger has been gone through since or not. What was taken back for it stays so
 * when a space of that name is made anew: that is another one.
 */
async function requireStillGiven(ctx: PresentedCtx, space: SpaceName, issued: Issued): Promise<Read> {
  const { did, clientId, managedBy, revokedAtSec, revokedBecause } = issued
  if (revokedAtSec !== null && revokedBecause !== 'SpaceDeleted') throw revoked()
  const read = await loadReadFacts(ctx, space, did)
  if (read.space !== 'live') return read
  if (revokedAtSec !== null || !mayRead(read.facts, { did, clientId }, wordKept(managedBy)).ok) throw revoked()
  return read
}
