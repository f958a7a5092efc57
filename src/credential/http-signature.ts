/**
 * HTTP message signatures (RFC 9421), the newer of the two proofs of possession: the holder's key signs the `Authorization`
 * line itself, and on presentation the audience it is meant for.
 *
 * Neither method, path, body nor a nonce is signed (0016): the proof binds a key to a token, not to one request. Everything
 * here works on the raw header lines, because a merged header hides a second line that somebody else might have read. All
 * failures are `BadSpaceSignature`.
 */
import {
  type BareItem,
  type InnerList,
  isInnerList,
  type Parameters,
  parseDictionary,
  serializeInnerList,
} from 'structured-headers'
import { type Did, type DidKey, parseDid } from '../names.ts'
import { utf8 } from '../platform/bytes.ts'
import { type PublicKey, verify } from '../platform/ecdsa.ts'
import { SIGNATURE_HEADER_MAX_CHARS } from '../platform/limits.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { Refusal } from '../refusals.ts'
import { SPACE_SIGNATURE } from './token-classes.ts'

/** Raw lines of one request. */
export interface SignedHeaders {
  readonly authorization: readonly string[]
  readonly signatureInput: readonly string[]
  readonly signature: readonly string[]
}

/** One covered field: its lower-case name and its value as received. */
export type Covered = readonly [name: string, value: string]

/**
 * Every place where our label stands as a member's name. Structured fields let a later member replace an earlier one of the
 * same name, and the library keeps no trace of it, so the text is searched before it is parsed. The search may find more
 * than there is (inside a quoted string), never less.
 */
const OUR_LABEL = /(?:^|,)[ \t]*atproto-space(?![a-z0-9_\-.*])/g
const LABEL = 'atproto-space'

const bad = (says: string): Refusal => new Refusal('BadSpaceSignature', says)

/**
 * Whether the request speaks the newer generation: `Signature-Input` has a member of our label, sound or not. Such a request is
 * judged by its signature alone, whatever other proofs it carries. Never throws.
 */
export function hasSpaceSignature(signatureInput: readonly string[]): boolean {
  return signatureInput.join(', ').search(OUR_LABEL) >= 0
}

/**
 * The proof of possession on the exchange: covers `authorization` alone, and names the holder's key in `keyid`, a canonical
 * `did:key` over P-256. Returns that key, which the credential will be bound to.
 *
 * @throws Refusal `BadSpaceSignature`, nothing else.
 */
export function verifyExchangeSignature(input: SignedHeaders & { readonly nowSec: number }): { holder: DidKey } {
  const covered: Covered[] = [['authorization', requireOneLine(input.authorization, 'Authorization')]]
  const claim = requireClaim(input, covered)
  const { didKey, key } = requireP256(claim.params.get('keyid'))
  requireSigned(key, covered, claim)
  return { holder: didKey }
}

/**
 * The proof of possession beside a credential: covers `authorization` and `atproto-space-audience`, by `holder`, the key that
 * the credential is bound to; a `keyid`, if sent, must say the same. Returns whom the request is meant for; whether that is
 * us is judged by the caller (`BadSpaceAudience`).
 *
 * @throws Refusal `BadSpaceSignature`, nothing else.
 */
export function verifyPresentationSignature(
  input: SignedHeaders & { readonly audience: readonly string[]; readonly holder: DidKey; readonly nowSec: number },
): { audience: Did } {
  const audienceText = requireOneLine(input.audience, 'Atproto-Space-Audience')
  const audience = parseDid(audienceText)
  if (!audience) throw bad('Atproto-Space-Audience must be one DID, without a fragment')
  const covered: Covered[] = [
    ['authorization', requireOneLine(input.authorization, 'Authorization')],
    ['atproto-space-audience', audienceText],
  ]
  const claim = requireClaim(input, covered)
  const keyid = claim.params.get('keyid')
  if (keyid !== undefined && keyid !== input.holder) throw bad('keyid is not the key that the credential is bound to')
  requireSigned(requireP256(input.holder).key, covered, claim)
  return { audience }
}

/**
 * The text that is signed (RFC 9421 §2.5): one line per covered field, then the parameters as they stand in `Signature-Input`
 * behind the label. No line break at the end.
 */
export function signatureBase(covered: readonly Covered[], signatureParams: string): string {
  return [...covered, ['@signature-params', signatureParams] as const]
    .map(([name, value]) => `"${name}": ${value}`)
    .join('\n')
}

/** What the two headers say under our label. */
interface Claim {
  readonly params: Parameters
  /** The inner list with its parameters, exactly as received. */
  readonly signatureParams: string
  readonly signature: Uint8Array
}

function requireSigned(key: PublicKey, covered: readonly Covered[], claim: Claim): void {
  const message = utf8(signatureBase(covered, claim.signatureParams))
  // High S is fine here: browsers make it half of the time, and nothing is ever keyed by a signature.
  if (!verify(key, message, claim.signature, { lowS: false }))
    throw bad('the signature is not by the key of the holder')
}

function requireClaim(input: SignedHeaders & { readonly nowSec: number }, covered: readonly Covered[]): Claim {
  const { signatureParams, params } = requireSignatureInput(input.signatureInput, covered)
  requireParameters(params, input.nowSec)
  return { params, signatureParams, signature: requireSignature(input.signature) }
}

function requireSignatureInput(
  lines: readonly string[],
  covered: readonly Covered[],
): Pick<Claim, 'params' | 'signatureParams'> {
  const { member, rest } = requireOurMember(lines, 'Signature-Input')
  if (!isInnerList(member)) throw bad('Signature-Input must list the covered fields')
  const [items, params] = member
  const isAgreed =
    items.length === covered.length &&
    items.every(([name, itemParams], at) => name === covered[at]?.[0] && itemParams.size === 0)
  if (!isAgreed) throw bad(`the covered fields must be exactly: ${covered.map(([name]) => name).join(', ')}`)
  // The signer signed its own serialisation. Where that and the header differ (white space, a parameter twice, `1.0`), two
  // readers could build two messages from one request, so only the canonical spelling counts (RFC 9421 §2.3, RFC 8941 §4.1).
  const signatureParams = serialised(member)
  if (signatureParams === null || !isWholeValue(rest, signatureParams)) {
    throw bad('Signature-Input must be in its canonical spelling')
  }
  return { params, signatureParams }
}

/** Whether the text behind a label is `=value` and nothing more, up to the next member or the end. */
const isWholeValue = (rest: string, value: string): boolean =>
  rest.startsWith(`=${value}`) && /^[ \t]*(?:,|$)/.test(rest.slice(value.length + 1))

function serialised(list: InnerList): string | null {
  try {
    return serializeInnerList(list)
  } catch {
    return null
  }
}

/** `alg` must be ours; `created` and `expires` are honoured; `nonce`, `tag` and others are signed but mean nothing here. */
function requireParameters(params: Parameters, nowSec: number): void {
  const alg = params.get('alg')
  if (alg !== undefined && alg !== 'ecdsa-p256-sha256') throw bad('alg must be absent or ecdsa-p256-sha256')
  const [created, expires] = [params.get('created'), params.get('expires')]
  if (created !== undefined && (!isInteger(created) || created > nowSec + SPACE_SIGNATURE.createdAheadMaxSec)) {
    throw bad('created must be whole seconds, and not in the future')
  }
  if (expires !== undefined && (!isInteger(expires) || nowSec >= expires)) {
    throw bad('expires must be whole seconds, and not in the past')
  }
}

function requireSignature(lines: readonly string[]): Uint8Array {
  const { member } = requireOurMember(lines, 'Signature')
  const [value, params] = member
  if (!(value instanceof ArrayBuffer) || value.byteLength !== 64) throw bad('Signature must be 64 bytes, as :base64:')
  if (params.size > 0) throw bad('Signature must carry no parameters')
  return new Uint8Array(value)
}

type Member = NonNullable<ReturnType<ReturnType<typeof parseDictionary>['get']>>

/** The one member of our label, parsed, and the text behind the label as received. Other members need only be well-formed. */
function requireOurMember(lines: readonly string[], header: string): { member: Member; rest: string } {
  const text = lines.join(', ')
  requirePlain(text, header)
  const [place, ...others] = text.matchAll(OUR_LABEL)
  if (!place) throw bad(`${header} has no member ${LABEL}`)
  if (others.length > 0) throw bad(`${header} has more than one member ${LABEL}`)
  const member = parsedMember(text)
  if (!member) throw bad(`${header} is not a structured field`)
  return { member, rest: text.slice(place.index + place[0].length) }
}

function parsedMember(text: string): Member | null {
  try {
    return parseDictionary(text).get(LABEL) ?? null
  } catch {
    return null
  }
}

function requireP256(keyid: BareItem | undefined): { didKey: DidKey; key: PublicKey } {
  const holder = parseDidKey(keyid)
  if (holder?.key.curve !== 'p256') throw bad('keyid must be a did:key over P-256')
  return holder
}

/** The value of a field that was sent in exactly one line, without the white space around it. */
function requireOneLine(lines: readonly string[], header: string): string {
  const [line, ...others] = lines
  if (line === undefined || others.length > 0) throw bad(`send one ${header} header`)
  requirePlain(line, header)
  return line.trim()
}

function requirePlain(text: string, header: string): void {
  if (text.length > SIGNATURE_HEADER_MAX_CHARS) throw bad(`${header} is too long`)
  if (!/^[\x20-\x7e\t]*$/.test(text)) throw bad(`${header} must be ASCII`)
}

const isInteger = (value: BareItem): value is number => typeof value === 'number' && Number.isSafeInteger(value)
