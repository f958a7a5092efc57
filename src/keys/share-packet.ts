/**
 * What a keeper keeps: their share and everything that is needed to act with it, as one text. Sealed with age to the keeper's own key, so
 * the ordinary `age` program opens it; nothing in it depends on this software or on a service being there.
 *
 * The share stands in it as 64 hexadecimal characters that are written and read as bytes, off the heap: a string of it could not be wiped.
 * All else is public, and whoever opens a packet believes none of it before it was looked at.
 */
import * as z from 'zod'
import { type Did, type DidKey, parseDid } from '../names.ts'
import { fromUtf8, utf8 } from '../platform/bytes.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { parseStrictJson } from '../platform/strict-json.ts'
import { secretBytes } from './secret-bytes.ts'
import { decodeHex, encodeHex } from './secret-spellings.ts'
import { SHARE_BYTES, type Share } from './shares.ts'

const did = z.custom<Did>((value) => parseDid(value) !== null)
const didKey = z.custom<DidKey>((value) => parseDidKey(value)?.didKey === value)
const hash = z.string().regex(/^[0-9a-f]{64}$/)

const packet = z.strictObject({
  v: z.literal(1),
  /** What to do with this file, in sentences. */
  howTo: z.array(z.string()),
  community: did,
  service: did,
  /** The key: its name at the service, its public half, how often it was replaced, how many keepers there are and how many have to act. */
  key: z.string().max(64),
  pub: didKey,
  generation: z.int().min(1),
  n: z.int().min(2).max(16),
  k: z.int().min(2).max(16),
  /** The hash of the statement under which it was dealt: part of each commitment. */
  dealtBy: hash,
  /** Whose share this is, and where it stands. */
  keeper: did,
  x: z.int().min(1).max(255),
  keepers: z
    .array(z.strictObject({ did, signKey: didKey, x: z.int().min(1).max(255), commitment: z.string().max(64) }))
    .min(2)
    .max(16),
  /** The PLC log as the dealer read it, as the directory writes it: a later one has to go on from it. */
  plcLog: z.array(z.unknown()),
})

export type SharePacket = Readonly<z.infer<typeof packet>>

/** A log longer than this has somebody's rubbish in it. */
export const PACKET_MAX_BYTES = 8 * 1024 * 1024
/** How a packet begins and how its share ends. At the beginning, so that no other text in it, of whomever, passes for the share. */
const [HEAD, END] = [utf8('{\n "share": "'), utf8('",')]
const HEX_CHARS = 2 * SHARE_BYTES
/** Operations in a list, and lists in those. */
const MAX_DEPTH = 16

/** The text of a packet. Off the heap; the caller wipes it, and the share. */
export function packetText(about: SharePacket, { y }: Share): Uint8Array {
  const tail = utf8(`${JSON.stringify(about, null, 1).slice(1)}\n`)
  const text = secretBytes(HEAD.length + HEX_CHARS + END.length + tail.length)
  text.set(HEAD)
  encodeHex(y, text.subarray(HEAD.length, HEAD.length + HEX_CHARS))
  text.set(END, HEAD.length + HEX_CHARS)
  text.set(tail, HEAD.length + HEX_CHARS + END.length)
  return text
}

/** What is in the text of a packet, and its share, which the caller wipes; null when it is none. Wipes nothing of `text`. Never throws. */
export function parsePacket(text: Uint8Array): { readonly packet: SharePacket; readonly share: Share } | null {
  const end = HEAD.length + HEX_CHARS
  if (text.length > PACKET_MAX_BYTES || !standsAt(text, HEAD, 0) || !standsAt(text, END, end)) return null
  const y = secretBytes(SHARE_BYTES)
  // Everything but the share, so that the share is never a string.
  const rest = secretBytes(text.length)
  rest.set(text)
  rest.fill(0x30, HEAD.length, end)
  const found = decodeHex(text.subarray(HEAD.length, end), y) ? aboutOf(rest) : null
  if (found) return { packet: found, share: { x: found.x, y } }
  y.fill(0)
  return null
}

const standsAt = (text: Uint8Array, mark: Uint8Array, at: number): boolean =>
  mark.every((byte, nth) => text[at + nth] === byte)

function aboutOf(rest: Uint8Array): SharePacket | null {
  const json = fromUtf8(rest)
  const said = json === null ? null : parseStrictJson(json, { maxDepth: MAX_DEPTH })
  if (!said) return null
  const { share: _, ...about } = said
  return packet.safeParse(about).data ?? null
}
