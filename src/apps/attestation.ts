/**
 * The client attestation: an app's word, signed by a key that the app publishes, that it is the app which asks for a credential.
 *
 * `parseAttestation` needs neither network nor database, so that every cheap no is said before anything dear is done. What it
 * returns is only a claim until `verifyAttestation` has passed, which may have to ask the app's own host for its keys. That it
 * works once is for the caller, who spends the claim that comes back: an attestation must not be used up by a request that
 * was never proven. Nothing verified is remembered, for the same reason.
 */
import type { AppKeysOf } from '../identity/app-metadata.ts'
import { type ClientId, type Did, type DidKey, parseClientId } from '../names.ts'
import { type CompactJws, parseCompactJws } from '../platform/compact-jws.ts'
import { isSignatureLength, type JwkAlg, type PublicJwk, parseJwkAlg, parseKid, verifyByJwk } from '../platform/jwk.ts'
import {
  bringsOwnKey,
  changesMeaning,
  ERRAND_TIMES,
  judgeTimes,
  keepUntilSec,
  parseJti,
  parseTimes,
} from '../platform/jwt-claims.ts'
import { TOKEN_MAX_CHARS } from '../platform/limits.ts'
import { claimId } from '../platform/once.ts'
import { Refusal } from '../refusals.ts'

/** What an app signs about itself. */
export const ATTESTATION = { typ: 'atproto-client-attestation+jwt', ...ERRAND_TIMES } as const

/** The key that a proof of possession showed: the thumbprint of a DPoP proof's, or the did:key of an HTTP signature's. */
export type HolderKey = { readonly jkt: string } | { readonly kid: DidKey }

/** An attestation whose claims are sound. Its signature, and whose key it speaks of, are not judged yet. */
export interface Attestation {
  readonly clientId: ClientId
  readonly jti: string
  readonly expSec: number
  readonly alg: JwkAlg
  /** Which of the app's keys it says it is signed by. */
  readonly kid: string | null
  /** The holder's key that it is bound to: one member, or null when it isn't bound. */
  readonly cnf: { readonly name: 'jkt' | 'kid'; readonly value: string } | null
  readonly jws: CompactJws
}

/** An app that is the one it says it is, and what that proof uses up. */
export interface AttestedApp {
  readonly clientId: ClientId
  readonly claim: AttestationClaim
}

/** A claim to be the first to use an attestation. */
export interface AttestationClaim {
  readonly kind: 'attestation'
  readonly id: Uint8Array
  readonly keepUntilSec: number
}

const unfit = (says: string): Refusal => new Refusal('InvalidClientAttestation', says)

/**
 * An attestation taken apart and its claims judged, without a key.
 *
 * In this order: form and size; `typ`; `alg` is one of five; header members that are never taken; `kid`; a signature of a length
 * that the algorithm can make; `iss` is a canonical client id and `sub` the same; `aud` is the space host of `authority`, as
 * one text; `iat` and `exp` are there, in whole seconds; `jti`; not expired; lifetime and beginning in bounds; `cnf`, when it is
 * there, names one key in a way that can be compared.
 *
 * A loopback client id passes here: that only development asks about it is for whoever looks up the keys.
 *
 * @throws Refusal `InvalidClientAttestation`, nothing else.
 */
export function parseAttestation(token: string, about: { authority: Did; nowSec: number }): Attestation {
  const jws = parseCompactJws(token, TOKEN_MAX_CHARS)
  if (!jws) throw unfit('the attestation is not a well-formed compact JWT')
  const { alg, kid } = requireHeader(jws.header)
  if (!isSignatureLength(alg, jws.signature.length)) throw unfit('the signature has not the length of its alg')
  const { payload } = jws
  const clientId = parseClientId(payload.iss)
  if (!clientId) throw unfit('iss must be a client id in its canonical spelling')
  if (payload.sub !== clientId) throw unfit('sub must be the same client id as iss')
  if (payload.aud !== `${about.authority}#atproto_space_host`) {
    throw unfit('aud must be one text, the space host of the space’s authority')
  }
  const expSec = requireInTime(payload, about.nowSec)
  const jti = parseJti(payload.jti)
  if (!jti) throw unfit('jti must be 1 to 256 characters, without control characters')
  return { clientId, jti, expSec, alg, kid, cnf: requireCnf(payload), jws }
}

function requireHeader(header: CompactJws['header']): { alg: JwkAlg; kid: string | null } {
  if (header.typ !== ATTESTATION.typ) throw unfit(`typ must be ${ATTESTATION.typ}`)
  const alg = parseJwkAlg(header.alg)
  if (!alg) throw unfit('alg must be ES256, ES384, EdDSA, PS256 or RS256')
  if (bringsOwnKey(header) || changesMeaning(header)) throw unfit('the header has members that are not taken')
  const kid = parseKid(header.kid)
  if (Object.hasOwn(header, 'kid') && kid === null) throw unfit('kid must be 1 to 256 characters')
  return { alg, kid }
}

function requireInTime(payload: CompactJws['payload'], nowSec: number): number {
  const times = parseTimes(payload)
  if (times?.iatSec == null) throw unfit('exp and iat must be there, and with nbf be whole seconds')
  const verdict = judgeTimes(times, nowSec, ATTESTATION)
  if (verdict === 'late') throw unfit('the attestation has expired')
  if (verdict === 'unsound') throw unfit('the attestation lives longer than 300 s, or begins in the future')
  return times.expSec
}

/** Whoever binds an attestation to a key means it to be worthless with another, so a binding that can't be compared is refused. */
function requireCnf(payload: CompactJws['payload']): Attestation['cnf'] {
  if (!Object.hasOwn(payload, 'cnf')) return null
  const { cnf } = payload
  const members = typeof cnf === 'object' && cnf !== null && !Array.isArray(cnf) ? Object.entries(cnf) : []
  const [[name, value] = []] = members
  if (members.length !== 1 || (name !== 'jkt' && name !== 'kid') || typeof value !== 'string') {
    throw unfit('cnf must name one key, by jkt or by kid')
  }
  return { name, value }
}

/**
 * Requires that the attestation is for the key that was proven, and signed by the app that it names.
 *
 * In this order: `cnf`, when it is there, is the holder's key; the app's keys, from its own host when they aren't remembered; the
 * one key that `kid` names, or without a `kid` the only one that could have signed with this algorithm; the signature, of which
 * either S is taken. When no key fits, the app may have changed its keys: its host is asked once more, as far as the floor allows.
 *
 * @throws Refusal `InvalidClientAttestation`. What `keysOf` throws passes through.
 */
export async function verifyAttestation(
  attestation: Attestation,
  about: { holder: HolderKey; keysOf: AppKeysOf; nowSec: number },
): Promise<AttestedApp> {
  requireHolder(attestation, about.holder)
  const { clientId, jti, expSec } = attestation
  const keys = await about.keysOf(clientId, { fresh: false })
  let verdict = judgeSignature(attestation, keys, about.nowSec)
  if (verdict !== 'holds') {
    const freshKeys = await about.keysOf(clientId, { fresh: true })
    if (freshKeys !== keys) verdict = judgeSignature(attestation, freshKeys, about.nowSec)
  }
  if (verdict === 'ambiguous') throw unfit('several of the app’s keys could be meant: name one by kid')
  if (verdict !== 'holds') throw unfit('the attestation is not signed by a key that the app publishes')
  const id = claimId('attestation', clientId, jti)
  return { clientId, claim: { kind: 'attestation', id, keepUntilSec: keepUntilSec(expSec, ATTESTATION) } }
}

function requireHolder({ cnf }: Attestation, holder: HolderKey): void {
  if (cnf === null) return
  const proven = 'jkt' in holder ? { name: 'jkt', value: holder.jkt } : { name: 'kid', value: holder.kid }
  if (cnf.name !== proven.name || cnf.value !== proven.value) throw unfit('cnf is not the key that was proven')
}

/** Two keys that could both be meant are none: which one signed would be our guess. */
function judgeSignature(
  { alg, kid, jws }: Attestation,
  keys: readonly PublicJwk[],
  nowSec: number,
): 'holds' | 'doesNotHold' | 'ambiguous' {
  const isMeant = (key: PublicJwk) => (kid === null || key.kid === kid) && key.algs.includes(alg)
  const isGoodNow = ({ fromSec, untilSec }: PublicJwk) => nowSec >= fromSec && nowSec < untilSec
  const [key, ...others] = keys.filter((one) => isMeant(one) && isGoodNow(one))
  if (!key) return 'doesNotHold'
  if (others.length > 0) return 'ambiguous'
  return verifyByJwk(key, alg, jws.signingInput, jws.signature) ? 'holds' : 'doesNotHold'
}
