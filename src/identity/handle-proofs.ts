/**
 * What a domain says about itself: which DID it is the handle of, by DNS or at its well-known place (handle specification).
 *
 * Both places are written by strangers and read over a network, so there are three answers and not two: a DID, none, and silence.
 * Silence is never taken for a yes, and never for a no either: a handle that was good yesterday is not lost by a name server
 * that is restarted.
 */
import { type Did, type Handle, parseDid } from '../names.ts'
import { fromUtf8 } from '../platform/bytes.ts'
import type { TxtLookup } from '../platform/host-lookup.ts'
import { DID_FETCH_TIMEOUT_MS, HANDLE_DID_MAX_BYTES } from '../platform/limits.ts'
import { type Outbound, OutboundFailure } from '../platform/outbound.ts'

/** `ambiguous`: more than one text names a DID, so none of them counts. `noAnswer`: nobody knows what stands there. */
export type Found = 'nothing' | 'ambiguous' | 'noAnswer'

/** What one of the two places says. */
export type Said = { readonly did: Did } | { readonly found: Found }

export interface DomainWord {
  readonly dns: Said
  readonly wellKnown: Said
}

export interface HandleProofs {
  /** Asks both places at once. Never rejects: whatever went wrong on the way is `noAnswer`. */
  ask(handle: Handle): Promise<DomainWord>
}

/** Where an owner writes which DID their domain is the handle of, and the place is the one that is read here. */
export const dnsNameOf = (handle: Handle): string => `_atproto.${handle}`
export const wellKnownUrlOf = (handle: Handle): string => `https://${handle}/.well-known/atproto-did`
export const dnsValueOf = (did: Did): string => `${DNS_MARK}${did}`

const DNS_MARK = 'did='

/** The DID that a domain names: the one in its DNS, and the well-known one only where DNS names none. */
export function didNamedBy({ dns, wellKnown }: DomainWord): Did | null {
  if ('did' in dns) return dns.did
  return 'did' in wellKnown ? wellKnown.did : null
}

/** Whether either place was silent, so that what is known may not be all. */
export const isUncertain = ({ dns, wellKnown }: DomainWord): boolean =>
  [dns, wellKnown].some((said) => 'found' in said && said.found === 'noAnswer')

/** Opens the way to both places. Nothing is asked before somebody does. */
export function openHandleProofs({ outbound, lookupTxt }: { outbound: Outbound; lookupTxt: TxtLookup }): HandleProofs {
  return {
    async ask(handle) {
      const [dns, wellKnown] = await Promise.all([askDns(lookupTxt, handle), askWellKnown(outbound, handle)])
      return { dns, wellKnown }
    },
  }
}

async function askDns(lookupTxt: TxtLookup, handle: Handle): Promise<Said> {
  try {
    const values = (await lookupTxt(dnsNameOf(handle))).filter((text) => text.startsWith(DNS_MARK))
    if (values.length > 1) return { found: 'ambiguous' }
    return saidOf(values[0]?.slice(DNS_MARK.length))
  } catch {
    return { found: 'noAnswer' }
  }
}

async function askWellKnown(outbound: Outbound, handle: Handle): Promise<Said> {
  try {
    const { status, body } = await outbound.request({
      method: 'GET',
      url: wellKnownUrlOf(handle),
      headers: { accept: 'text/plain' },
      maxBytes: HANDLE_DID_MAX_BYTES,
      timeoutMs: DID_FETCH_TIMEOUT_MS,
      contentTypes: ['text/plain'],
    })
    if (status >= 500) return { found: 'noAnswer' }
    return saidOf(status < 300 ? fromUtf8(body)?.trim() : undefined)
  } catch (error) {
    if (!(error instanceof OutboundFailure)) throw error
    // A page where the DID should be, or no host at all, is an answer: it isn't there. A target that may not be called is told like a
    // silent one, since the difference would map the operator's network.
    const isOtherThing = error.kind === 'wrong-type' || error.kind === 'too-large'
    return { found: isOtherThing || NOT_THERE.has(error.because) ? 'nothing' : 'noAnswer' }
  }
}

/** Why there is no answer from a place that can't say anything else: it has no address, or leads elsewhere. */
const NOT_THERE: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'redirect'])

function saidOf(text: string | undefined): Said {
  const did = parseDid(text)
  return did ? { did } : { found: 'nothing' }
}
