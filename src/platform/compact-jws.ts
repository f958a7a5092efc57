/**
 * A compact JWS taken apart, strictly, before any library or key has seen it.
 *
 * JOSE libraries accept `"exp":1e999`, the same claim twice (the last wins), padded or newline-ended base64url, and headers of
 * megabytes. Each of those is a second spelling of one token, or a way to say two things at once, so none gets past here.
 * Nothing is verified yet when this returns.
 */
import { fromBase64Url, fromUtf8, utf8 } from './bytes.ts'
import { parseStrictJson } from './strict-json.ts'

export interface CompactJws {
  readonly header: Readonly<Record<string, unknown>>
  readonly payload: Readonly<Record<string, unknown>>
  /** 0 or more bytes; its length is the verifier's business. */
  readonly signature: Uint8Array
  /** What the signature is over. */
  readonly signingInput: Uint8Array
}

/** The parts of a compact JWS, or null: three canonical base64url parts, header and payload JSON objects without repeated keys. */
export function parseCompactJws(text: string, maxChars: number): CompactJws | null {
  if (text.length > maxChars) return null
  const parts = text.split('.')
  if (parts.length !== 3) return null
  const [headerText, payloadText, signatureText] = parts as [string, string, string]
  const header = jsonObjectOf(headerText)
  const payload = jsonObjectOf(payloadText)
  const signature = fromBase64Url(signatureText)
  if (!header || !payload || !signature) return null
  return { header, payload, signature, signingInput: utf8(`${headerText}.${payloadText}`) }
}

function jsonObjectOf(part: string): Record<string, unknown> | null {
  const bytes = fromBase64Url(part)
  const text = bytes && fromUtf8(bytes)
  return text === null ? null : parseStrictJson(text, { maxDepth: 8 })
}
