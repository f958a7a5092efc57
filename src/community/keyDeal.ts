/** `community.reeve.key.deal`: the dealer of a split gives what they made: the new key, the commitments, and a packet for each keeper. */
import { rotationKeysOf } from '../identity/plc-operation.ts'
import {
  type CeremonyStatement,
  hexOf,
  isTranscriptProven,
  type Transcript,
  transcriptHashOf,
} from '../keys/ceremony-statements.ts'
import { listKeys } from '../keys/store.ts'
import type * as lexicon from '../lexicons/community/reeve/key/deal.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { listKeepers } from '../membership/keeper-store.ts'
import type { Did, DidKey } from '../names.ts'
import { fromBase64Url, sha256 } from '../platform/bytes.ts'
import type { Tx } from '../platform/database.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { Refusal } from '../refusals.ts'
import { requireNoClaim, requireNoRekey, requireNoRotation } from './ceremony-basis.ts'
import { type Ceremony, endCeremony, listOpenCeremonies, saveDealt } from './ceremony-store.ts'
import { actIn, bad, keepDeed, lookAtAct } from './keeper-acts.ts'
import { type PinnedCtx, readPinnedLog } from './pinned-log.ts'
import { isOfSeat } from './quorum-standing.ts'
import { insertQuorumKey, isDealtBefore, loadComingQuorum } from './quorum-store.ts'
import { loadCommunity } from './store.ts'

type DealCtx = GovernanceCtx & PinnedCtx

/** What is dealt: read, and consistent in itself. */
interface Given {
  readonly transcript: Transcript
  readonly packets: readonly Uint8Array[]
}

const COMMITMENT_BYTES = 32

/**
 * The dealer had the whole key for a moment, and is believed nothing that can be looked at: that they had it (the key's own signature), that it is
 * a new one, and that there is one place, one commitment and one packet for each keeper. Whether the shares are what their commitments say each
 * keeper finds out alone, and the drill shows that they make the key.
 *
 * Order of checks: the input (InvalidRequest); those of every act (`keeper-acts.ts`); the transcript is of this ceremony, and proven (BadCeremony);
 * the key is none that stands in the identity or did, and none of ours (BadCeremony); every keeper is one still (BadCeremony); nothing of it is
 * just being replaced (RotationUnderWay, CeremonyInProgress), and no owners were named (CoolingDown). @throws Refusal; Unavailable when the directory can't be asked
 */
export async function keyDeal(ctx: DealCtx, caller: Did, input: lexicon.$InputBody): Promise<lexicon.$OutputBody> {
  const { transcript, packets } = requireGiven(input)
  const subjectOf = () => transcriptHashOf(transcript)
  const call = { caller, action: 'key.deal', act: 'deal', input, subjectOf } as const
  const { ceremony: before } = await lookAtAct(ctx, call)
  if (before.state === 'approved') {
    requireDealOf(before, transcript, input.proof)
    const log = await readPinnedLog(ctx, before.community)
    const named = log.ops.flatMap(({ operation }) => rotationKeysOf(operation) ?? [])
    if (named.includes(transcript.pub)) throw known()
  }
  return actIn(ctx, call, async (tx, acting) => {
    const { ceremony, permit, nowMs } = acting
    const { community, statement, statementHash } = ceremony
    requireDealOf(ceremony, transcript, input.proof)
    await requireUnknown(tx, community, transcript.pub)
    await requireSeats(tx, statement)
    await requireNoRotation(tx, community)
    await requireNoClaim(tx, community)
    await requireNoRekey(tx, community, nowMs)
    await endOthers(tx, community, nowMs)
    await keepDeed(tx, acting)
    const { key: id, generation, n, k } = statement.quorum
    const seats = statement.seats.map(({ did, keeper, sealKey, signKey }, at) => ({
      ...{ did, keeper, sealKey, signKey },
      ...{ x: transcript.xs[at] ?? 0, commitment: transcript.commitments[at] ?? '' },
    }))
    const dealt = { id, community, didKey: transcript.pub, generation, n, k, seats }
    await insertQuorumKey(tx, permit, { ...dealt, dealtBy: statementHash, wantsStrict: statement.strict }, nowMs)
    await saveDealt(tx, permit, ceremony, { transcript, proof: input.proof }, packets)
    return { details: { key: transcript.pub, n, k, generation } }
  })
}

/** @throws Refusal('InvalidRequest') for what is no transcript, and for packets that are not base64 */
function requireGiven({ transcript: given, packets: texts }: lexicon.$InputBody): Given {
  const { dealtBy, pub, xs, commitments, packets: hashes } = given
  const key = parseDidKey(pub)
  if (key?.didKey !== pub || key.key.curve !== 'k256') throw invalid('pub is no did:key over secp256k1')
  const isPlace = (x: number): boolean => Number.isInteger(x) && x >= 1 && x <= 255
  if (!xs.every(isPlace) || !areDifferent(xs)) throw invalid('xs are not different places from 1 to 255')
  const isCommitment = (text: string): boolean => fromBase64Url(text)?.length === COMMITMENT_BYTES
  if (!commitments.every(isCommitment) || !areDifferent(commitments))
    throw invalid('commitments are not different hashes')
  const packets = texts.map((text) => {
    const bytes = Buffer.from(text, 'base64')
    if (bytes.length === 0 || bytes.toString('base64') !== text) throw invalid('a packet is not in base64')
    return new Uint8Array(bytes)
  })
  const areTheirs = hashes.length === packets.length && packets.every((one, at) => hexOf(sha256(one)) === hashes[at])
  if (!areTheirs) throw invalid('the packets are not those of the transcript')
  const transcript: Transcript = { v: 1, dealtBy, pub: key.didKey, xs, commitments, packets: hashes }
  return { transcript, packets }
}

const areDifferent = (all: readonly unknown[]): boolean => new Set(all).size === all.length
const invalid = (says: string): Refusal => new Refusal('InvalidRequest', says)

/** That something was dealt in this ceremony, to each of its seats, by somebody who had the key. */
function requireDealOf({ statement, statementHash }: Ceremony, transcript: Transcript, proof: string): void {
  const { n } = statement.quorum
  if (transcript.dealtBy !== statementHash) throw bad('the transcript is of another ceremony')
  const areAll = [transcript.xs, transcript.commitments, transcript.packets].every(({ length }) => length === n)
  if (!areAll) throw bad('a place, a commitment and a packet for each keeper are needed')
  if (!isTranscriptProven(transcript, proof)) throw bad('proof is not by the new key over the transcript')
}

/** Whether a key is one that somebody has already is known by what is kept here of keys, also of those that are gone. */
async function requireUnknown(tx: Tx, community: Did, pub: DidKey): Promise<void> {
  const about = await loadCommunity(tx, community)
  const ours = (await listKeys(tx, community)).map(({ didKey }) => didKey)
  const theirs = [about?.recoveryKey, ...(about?.formerRecoveryKeys ?? [])]
  if ([...ours, ...theirs].includes(pub) || (await isDealtBefore(tx, pub))) throw known()
}

const known = (): Refusal => bad('the key is not a new one')

/** A share that nobody could act with would be dealt for nothing. */
async function requireSeats(tx: Tx, { community, seats }: CeremonyStatement): Promise<void> {
  const enrolled = await listKeepers(tx, community)
  const gone = seats.find((seat) => !enrolled.some((keeper) => isOfSeat(seat, keeper)))
  if (gone) throw bad(`the keys of ${gone.did} are enrolled no more: begin again without them, or with their new ones`)
}

/** Ceremonies of a key that was on its way, and is dropped for this one, come to nothing. */
async function endOthers(tx: Tx, community: Did, nowMs: number): Promise<void> {
  const dropped = await loadComingQuorum(tx, community)
  if (!dropped) return
  const others = (await listOpenCeremonies(tx, community)).filter(({ quorumKey }) => quorumKey === dropped.id)
  for (const { id } of others) await endCeremony(tx, id, { state: 'cancelled' }, nowMs)
}
