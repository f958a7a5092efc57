/**
 * A request as it came over the wire: raw header lines, query, body. Size and form are judged here, before anybody asks what it
 * means.
 *
 * Header lines are read unmerged, because a merged header hides a second line that a proxy in front of us may have read. The
 * address of the request is never taken from `Host` or from an absolute target: both are the caller's to choose.
 */
import type { IncomingMessage } from 'node:http'
import { fromUtf8 } from '../platform/bytes.ts'
import { JSON_MAX_DEPTH } from '../platform/limits.ts'
import { parseStrictJson } from '../platform/strict-json.ts'
import { Refusal } from '../refusals.ts'

/** Every line of one header, as it came. */
export const headerLines = (incoming: IncomingMessage, name: string): readonly string[] =>
  incoming.headersDistinct[name] ?? []

/** Path and query of the raw target. An absolute target keeps its scheme and so matches no path of ours. */
export function targetOf(incoming: IncomingMessage): { path: string; query: string } {
  const target = incoming.url ?? ''
  const at = target.indexOf('?')
  return at < 0 ? { path: target, query: '' } : { path: target.slice(0, at), query: target.slice(at + 1) }
}

/**
 * The JSON object in the body. Order of checks: encoding and media type, announced size, real size, UTF-8, one strict object.
 * `linesIn` names the one field, if any, whose text has several lines.
 * @throws Refusal UnsupportedMediaType, InvalidRequest, PayloadTooLarge
 */
export async function readJsonBody(
  incoming: IncomingMessage,
  maxBytes: number,
  { linesIn }: { linesIn?: string } = {},
): Promise<Record<string, unknown>> {
  if (headerLines(incoming, 'content-encoding').some((line) => line.trim().toLowerCase() !== 'identity')) {
    throw new Refusal('UnsupportedMediaType', 'send the body without a content encoding')
  }
  const [contentType = '', ...more] = headerLines(incoming, 'content-type')
  const [mediaType = ''] = contentType.split(';', 1)
  const isJson = mediaType.trim().toLowerCase() === 'application/json' && more.length === 0
  if (!isJson) throw new Refusal('InvalidRequest', 'the content type must be application/json')
  const text = fromUtf8(await readBytes(incoming, maxBytes))
  const object = text === null ? null : parseStrictJson(text, { maxDepth: JSON_MAX_DEPTH })
  if (!object) throw new Refusal('InvalidRequest', 'the body is not one JSON object without repeated keys')
  for (const [name, value] of Object.entries(object)) {
    requireShownText(name)
    requireShownText(name === linesIn && typeof value === 'string' ? value.replace(LINE_ENDS, '') : value)
  }
  return object
}

/** The fields of a form in the body, as a browser sends it. @throws Refusal UnsupportedMediaType, InvalidRequest, PayloadTooLarge */
export async function readForm(incoming: IncomingMessage, maxBytes: number): Promise<URLSearchParams> {
  const [contentType = '', ...more] = headerLines(incoming, 'content-type')
  const [mediaType = ''] = contentType.split(';', 1)
  const isForm = mediaType.trim().toLowerCase() === 'application/x-www-form-urlencoded' && more.length === 0
  if (!isForm) throw new Refusal('InvalidRequest', 'the content type must be application/x-www-form-urlencoded')
  const text = fromUtf8(await readBytes(incoming, maxBytes))
  if (text === null) throw new Refusal('InvalidRequest', 'the body is not UTF-8')
  return readQuery(text)
}

async function readBytes(incoming: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = () => new Refusal('PayloadTooLarge', `the body may have ${maxBytes} bytes`)
  if (Number(incoming.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
  const chunks: Buffer[] = []
  let size = 0
  try {
    // A stream that is destroyed on leaving leaves its connection with half a body, good for no other request.
    for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
      size += chunk.length
      if (size > maxBytes) throw tooLarge()
      chunks.push(chunk)
    }
  } catch (error) {
    // A connection that its caller let go is no trouble of ours, whatever its code looks like.
    throw error instanceof Refusal ? error : new Refusal('InvalidRequest', 'the body ended early')
  }
  return Buffer.concat(chunks)
}

/** The query's parameters. @throws Refusal('InvalidRequest') for text that isn't percent-encoded UTF-8, or doesn't show */
export function readQuery(query: string): URLSearchParams {
  try {
    decodeURIComponent(query.replaceAll('+', ' '))
  } catch {
    throw new Refusal('InvalidRequest', 'the query is not percent-encoded UTF-8')
  }
  const params = new URLSearchParams(query)
  for (const [name, value] of params) {
    if (name === '__proto__') throw new Refusal('InvalidRequest', 'no such parameter')
    requireShownText(value)
  }
  return params
}

/** Controls, and marks that turn the direction of text: nothing that we take has a use for them, and a log line would. */
const UNSHOWN = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u

const LINE_ENDS = /[\n\r\t]/g

function requireShownText(value: unknown): void {
  if (typeof value === 'string' && UNSHOWN.test(value)) {
    throw new Refusal('InvalidRequest', 'text holds control characters or direction marks')
  }
  if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      requireShownText(key)
      requireShownText(inner)
    }
  }
}
