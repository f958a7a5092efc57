/**
 * A ceremony as it comes in a file: what `community.reeve.key.get` answered, or what a keeper wrote who asks without a service. Pure.
 *
 * Whoever made the file may lie in all of it. So nothing is believed that stands beside the statement; the statement is decoded here, and counts
 * only when it is signed by the community's space key as the verified log of its identity names it, or by the key of a keeper who stands
 * in one's own packet.
 */
import * as z from 'zod'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import {
  type CeremonyStatement,
  hexOf,
  isStatementBy,
  isVouched,
  parseStatement,
  type Seat,
  STATEMENT_MAX_BYTES,
  statementHashOf,
  type Transcript,
} from '../keys/ceremony-statements.ts'
import type { SharePacket } from '../keys/share-packet.ts'
import { type Did, type DidKey, parseDid } from '../names.ts'
import { fromBase64Url } from '../platform/bytes.ts'
import { msOf } from '../platform/clock.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { assertPacketLog } from './packet-log.ts'

const did = z.custom<Did>((value) => parseDid(value) !== null)
const didKey = z.custom<DidKey>((value) => parseDidKey(value)?.didKey === value)
const hash = z.string().regex(/^[0-9a-f]{64}$/)

const deed = z.looseObject({
  did,
  act: z.string().max(32),
  at: z.string().max(64),
  sealed: z.string().max(512).optional(),
  sig: z.string().max(128).optional(),
})
const transcript = z.strictObject({
  v: z.literal(1),
  dealtBy: hash,
  pub: didKey,
  xs: z.array(z.int().min(1).max(255)).max(16),
  commitments: z.array(z.string().max(64)).max(16),
  packets: z.array(hash).max(16),
})
/** How far a ceremony can be. What a server writes there is shown, so it is one of these or nothing. */
const STATES = ['proposed', 'approved', 'collecting', 'ready', 'done', 'cancelled', 'expired', 'failed'] as const

const file = z.looseObject({
  ceremony: z.string(),
  kind: z.string(),
  state: z.enum(STATES),
  statement: z.string().max(2 * STATEMENT_MAX_BYTES),
  statementHash: z.string(),
  sig: z.string().max(128),
  deeds: z.array(deed).max(200),
  transcript: transcript.optional(),
  proof: z.string().max(128).optional(),
  packet: z.string().optional(),
})

/** What is in a file of a ceremony. Only `said` and `statementHash` are looked at yet: the one is decoded from the bytes, the other their hash. */
export interface CeremonyFile {
  readonly said: CeremonyStatement
  readonly bytes: Uint8Array
  readonly statementHash: Uint8Array
  readonly hashHex: string
  readonly sig: string
  readonly state: (typeof STATES)[number]
  readonly deeds: readonly z.infer<typeof deed>[]
  readonly transcript: Transcript | null
  readonly proof: string | null
  /** One's own packet, sealed. */
  readonly packet: Uint8Array | null
}

/** More than any answer measures: a packet with a long log in it. */
export const CEREMONY_MAX_BYTES = 16 * 1024 * 1024

/** The ceremony in a file. @throws Error in words: no such file, or it says something else beside the statement than in it */
export function parseCeremony(value: unknown): CeremonyFile {
  const found = file.safeParse(value).data
  if (!found)
    throw new Error('there is no ceremony in the file: it has to hold the whole answer of community.reeve.key.get')
  const bytes = fromBase64Url(found.statement)
  const said = bytes && parseStatement(bytes)
  if (!bytes || !said) throw new Error('the statement in the file is none that this tool can read: nothing was signed')
  const statementHash = statementHashOf(bytes)
  const hashHex = hexOf(statementHash)
  if (found.statementHash !== hashHex || found.ceremony !== said.ceremony || found.kind !== said.kind)
    throw new Error(
      'STOP: the file says something else beside the statement than the statement itself. Somebody changed it',
    )
  const { sig, state, deeds, transcript: dealt = null, proof = null, packet } = found
  const sealed = packet === undefined ? null : new Uint8Array(Buffer.from(packet, 'base64'))
  return { said, bytes, statementHash, hashHex, sig, state, deeds, transcript: dealt, proof, packet: sealed }
}

/** By whom a statement is signed: the service, by the community's space key, or a keeper who asks the others without one. */
export type Asker = { readonly kind: 'service' } | { readonly kind: 'keeper'; readonly did: Did }

const HOUR_MS = 60 * 60 * 1000
/** How long keepers may be asked without a service. */
export const ASKED_FOR_MS = 24 * HOUR_MS
/** How long anything is open at most: a split is for 72 hours. */
const OPEN_MAX_MS = 73 * HOUR_MS
/** By how much the clocks of two people may differ. */
const AHEAD_MAX_MS = 5 * 60 * 1000

/**
 * Who signed the statement. Order of checks: it is about this identity; signed by the space key that the log names now, or by a keeper of one's
 * own packet for a day at most; its time began, isn't over, and is no longer than any is: a request with a date to come would still be good when
 * everybody has forgotten it; and the log goes on from that of the packet. @throws Error in words
 */
export function askerOf(found: CeremonyFile, log: VerifiedPlcLog, packet: SharePacket | null, nowMs: number): Asker {
  const { said } = found
  if (said.community !== log.did) throw new Error('the ceremony is about another community')
  const asker = signerOf(found, log, packet)
  if (!asker) throw new Error(unsignedWords(packet))
  const begunMs = msOf(said.createdAt) ?? 0
  const openMs = (msOf(said.expiresAt) ?? 0) - begunMs
  if (asker.kind === 'keeper' && openMs > ASKED_FOR_MS)
    throw new Error('a keeper who asks without a service asks for a day at most: this is not how this tool asks')
  if (begunMs > nowMs + AHEAD_MAX_MS)
    throw new Error(
      `STOP: the statement is of a time to come (${said.createdAt}): sign nothing of it. Is your clock right?`,
    )
  if (openMs > OPEN_MAX_MS) throw new Error('STOP: the statement would be open for longer than any ceremony is')
  assertNotOver(said, nowMs)
  if (packet?.community === said.community) assertPacketLog(packet, log)
  return asker
}

/** Asked again once the person has typed: they may have taken their time. @throws Error in words */
export function assertNotOver({ expiresAt }: Pick<CeremonyStatement, 'expiresAt'>, nowMs: number): void {
  if ((msOf(expiresAt) ?? 0) <= nowMs)
    throw new Error(`the time of this ceremony is over since ${expiresAt}: begin another`)
}

function signerOf(
  { said, bytes, sig }: CeremonyFile,
  { head }: VerifiedPlcLog,
  packet: SharePacket | null,
): Asker | null {
  const { operation } = head
  const spaceKey = operation.type === 'plc_operation' ? operation.verificationMethods['atproto_space'] : undefined
  if (spaceKey !== undefined && isStatementBy(bytes, spaceKey, sig)) return { kind: 'service' }
  const keeper = packet?.keepers.find((one) => one.did === said.createdBy)
  const isTheirs = keeper && said.combiner === keeper.did && isStatementBy(bytes, keeper.signKey, sig)
  return isTheirs ? { kind: 'keeper', did: keeper.did } : null
}

const unsignedWords = (packet: SharePacket | null): string =>
  `STOP: the statement is signed neither by the community's space key, as the log of its identity names it now, ${
    packet
      ? 'nor by a keeper of your packet. Whoever sent it to you is not who they seem'
      : 'nor by anybody whom this tool knows of. A request of another keeper needs your packet: --packet'
  }`

/** What a statement says otherwise than one's own packet does; empty where they are one. Whoever changes one of these wants another key's share. */
export function differencesFrom(packet: SharePacket, said: CeremonyStatement): readonly string[] {
  const { quorum, seats } = said
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['the community', said.community, packet.community],
    ["the key's name", quorum.key, packet.key],
    ['the key', quorum.pub, packet.pub],
    ['the generation of the key', quorum.generation, packet.generation],
    ['how many keepers there are', quorum.n, packet.n],
    ['how many keepers have to act', quorum.k, packet.k],
    ['the statement by which it was dealt', quorum.dealtBy, packet.dealtBy],
    ['the number of seats', seats.length, packet.keepers.length],
    ...packet.keepers.flatMap(({ did: keeper, signKey, x, commitment }) => {
      const seat = seats.find((one) => one.did === keeper)
      return [
        [`the place of ${keeper}`, seat?.x, x],
        [`the commitment of ${keeper}`, seat?.commitment, commitment],
        [`the signing key of ${keeper}`, seat?.signKey, signKey],
      ] as const
    }),
  ]
  return pairs.filter(([, there, here]) => there !== here).map(([what]) => what)
}

/** @throws Error in words that name each difference */
export function assertOfPacket(packet: SharePacket, said: CeremonyStatement): void {
  const differences = differencesFrom(packet, said)
  if (differences.length > 0)
    throw new Error(
      `STOP: the statement is not about the key of your packet (${differences.join(', ')}). It may be an older packet, or somebody lies. Give nothing`,
    )
}

/**
 * Whoever combines vouches for the key to which shares are sealed: by the signing key that one's own packet has of them; without a packet, by the
 * one of their seat. A service could put a key of its own there, and have every share. @throws Error in words
 */
export function assertVouched(said: CeremonyStatement, packet: SharePacket | null): void {
  const { combiner, seats } = said
  if (combiner === null) return
  const theirs = (packet?.keepers ?? seats).find((one) => one.did === combiner)
  if (!theirs || !isVouched(said, theirs.signKey))
    throw new Error(
      `STOP: ${combiner}, who is to open the shares, did not sign that the key to which they are sealed is theirs. Whoever made this statement may have put their own key there. Give nothing, and tell ${combiner}`,
    )
}

/** The seat to which keys belong; null: none does. */
export const seatOfKeys = (
  { seats }: CeremonyStatement,
  { signKey, sealKey }: { readonly signKey: string; readonly sealKey: string },
): Seat | null => seats.find((seat) => seat.signKey === signKey && [sealKey, ''].includes(seat.sealKey)) ?? null

/**
 * Why no seat is for the keys in a folder: which of the two is another one, and what can be done with the other.
 * `fallback`: what to say where neither is of any seat.
 */
export function wrongKeysWords(
  { seats }: CeremonyStatement,
  { signKey, sealKey }: { readonly signKey: string; readonly sealKey: string },
  fallback: string,
): string {
  const signs = seats.find((seat) => seat.signKey === signKey)
  if (signs)
    return `the sign.key in the folder is that of the seat of ${signs.did}, and the seal.key is not: your packet does not open with it. Look for the seal.key that you had when the key was dealt; if it is lost, your share is lost: tell an owner`
  const opens = seats.find((seat) => seat.sealKey !== '' && seat.sealKey === sealKey)
  if (opens)
    return `the seal.key in the folder is that of the seat of ${opens.did}, and the sign.key is not: your packet still opens, and nothing that you sign counts. Look for the sign.key that you had when the key was dealt; if it is lost, tell an owner. Without the program the share is still good, as the packet says`
  return fallback
}

/** The words of an act's signature, as the body of a method has them. */
export interface SignedAct {
  readonly at: string
  readonly sig: string
}

/** What each body of a method in a ceremony begins with. */
export const bodyOf = ({ said, hashHex }: CeremonyFile, act: SignedAct) => ({
  ...{ community: said.community, ceremony: said.ceremony, statementHash: hashHex },
  act,
})

/** Whoever has a part in a ceremony and a seat too acts by the keys of that seat. @throws Error in words where those are others */
export function assertOwnSeat(
  { seats }: CeremonyStatement,
  did: Did | null,
  { signKey, sealKey }: { readonly signKey: string; readonly sealKey: string },
): void {
  const own = seats.find((seat) => seat.did === did)
  if (own && (own.signKey !== signKey || ![sealKey, ''].includes(own.sealKey)))
    throw new Error(`STOP: the seat of ${own.did} has other keys than those in the folder`)
}
