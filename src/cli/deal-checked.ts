/** What a keeper's tool looks at before it takes a share: everything that whoever dealt could have done wrong, by name. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import {
  type CeremonyStatement,
  hexOf,
  isActBy,
  isTranscriptProven,
  type Seat,
  type Transcript,
  transcriptHashOf,
} from '../keys/ceremony-statements.ts'
import type { SharePacket } from '../keys/share-packet.ts'
import { isShareFor } from '../keys/shares.ts'
import { sha256 } from '../platform/bytes.ts'
import type { CeremonyFile } from './ceremony-file.ts'
import { assertPacketLog, isTooLongForPackets } from './packet-log.ts'
import { packetWords } from './packet-words.ts'
import type { OpenPacket } from './packets.ts'

/** A deal that is one, and the packet that is for a seat, sealed. */
export interface CheckedDeal {
  readonly transcript: Transcript
  readonly sealed: Uint8Array
}

/**
 * Whether what was dealt is whole, before anything of it is opened; or what is wrong. Order of checks: it was dealt under this statement; as many
 * places and commitments as keepers, no two alike; the new key itself signed it; so did the dealer, by the key of their seat: else a service
 * could deal a key of its own; the packet is the one that it names. @throws Error in words where not all of it is there
 */
export function checkedDeal(found: CeremonyFile, seat: Seat): CheckedDeal | string {
  const { said, hashHex, transcript, proof, packet } = found
  if (!transcript || proof === null || !packet)
    throw new Error(
      'there is no deal with a packet of yours in the file. Fetch the ceremony again (community.reeve.key.get), as yourself, once it was dealt; whoever acknowledged it is shown no packet any more',
    )
  const { dealtBy, xs, commitments, packets } = transcript
  if (dealtBy !== hashHex) return 'it was dealt under another statement'
  const { n } = said.quorum
  if ([xs, commitments, packets].some((all) => all.length !== n || new Set<unknown>(all).size !== n))
    return 'there are not as many different shares as keepers'
  if (!isTranscriptProven(transcript, proof))
    return 'the new key did not sign what was dealt: whoever dealt does not have it'
  if (!isByDealer(found, transcript))
    return 'the dealer did not sign this: whoever made it had no key of the one who was to deal'
  if (packets[said.seats.indexOf(seat)] !== hexOf(sha256(packet)))
    return 'the packet in the file is not the one that was dealt to you'
  return { transcript, sealed: packet }
}

/** Whether whoever was to deal says, by the key of their seat, that this is what they dealt. */
function isByDealer({ said, hashHex, deeds }: CeremonyFile, transcript: Transcript): boolean {
  const dealer = said.seats.find(({ did }) => did === said.combiner)
  const subject = transcriptHashOf(transcript)
  return deeds.some(
    ({ did, act, at, sig }) =>
      act === 'deal' &&
      did === dealer?.did &&
      sig !== undefined &&
      isActBy({ statementHash: hashHex, act, subject, at }, dealer.signKey, sig),
  )
}

/**
 * What is wrong with an opened packet; null: nothing is. Order of checks: it is about this split and this key; it is of this keeper; it names all
 * others as the statement and the transcript do; the share is the one of the commitment; its words are those of this tool, since somebody will follow
 * them one day; its log is one that the log now goes on from, and is left out only where it is too long.
 */
export function faultOfPacket(
  { packet, share }: OpenPacket,
  { said, statementHash, hashHex }: Pick<CeremonyFile, 'said' | 'statementHash' | 'hashHex'>,
  transcript: Transcript,
  log: VerifiedPlcLog,
): string | null {
  if (packet.dealtBy !== hashHex || packet.community !== said.community || packet.service !== said.service)
    return 'the packet is of another split'
  const { quorum } = said
  const isThisKey = (['key', 'generation', 'n', 'k'] as const).every((name) => packet[name] === quorum[name])
  if (!isThisKey || packet.pub !== transcript.pub) return 'the packet is about another key'
  const at = said.seats.findIndex(({ did }) => did === packet.keeper)
  const [x = 0, commitment = ''] = [transcript.xs[at], transcript.commitments[at]]
  if (at < 0 || packet.x !== x) return 'the packet is for the place of another keeper'
  if (!areAsDealt(packet, said, transcript))
    return 'the packet names other keepers, places or commitments than were dealt'
  if (!isShareFor(share, { x, commitment }, statementHash))
    return 'THE SHARE IS WRONG: it is not the one of its commitment'
  const isWithoutLog = packet.plcLog.length === 0
  if (!isDeepStrictEqual([...packet.howTo], packetWords({ said, keeper: packet.keeper, isWithoutLog })))
    return 'the packet tells you to do other things than this tool writes into packets: follow none of it. Another version of the program may have dealt it; then all of you need the same one'
  if (isWithoutLog && !isTooLongForPackets(log))
    return 'the packet has no log of the identity in it, although there was room for it'
  return isLogBelieved(packet, log)
    ? null
    : 'the packet has a log of the identity in it from which the log now does not go on'
}

const areAsDealt = ({ keepers }: SharePacket, { seats }: CeremonyStatement, { xs, commitments }: Transcript): boolean =>
  keepers.length === seats.length &&
  keepers.every(({ did, signKey, x, commitment }, at) => {
    const seat = seats[at]
    return did === seat?.did && signKey === seat.signKey && x === xs[at] && commitment === commitments[at]
  })

function isLogBelieved(packet: SharePacket, log: VerifiedPlcLog): boolean {
  try {
    assertPacketLog(packet, log)
    return true
  } catch {
    return false
  }
}
