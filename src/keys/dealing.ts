/**
 * The one moment in which a key in shares is whole: made, split, sealed to its keepers and gone. Done at the machine of whoever deals, and
 * never at a service.
 *
 * Whoever deals could keep the key, and no arithmetic of this scheme shows that they didn't. So it is done once, by a tool that everybody can
 * read, by a person whom the owners chose; and what they could have done wrong for others is shown to each keeper: the packet, the
 * commitments of all, and the signature of the key itself.
 */
import { sha256, toBase64Url } from '../platform/bytes.ts'
import { isRecipient, sealTo } from './age.ts'
import { type CeremonyStatement, hexOf, type Seat, type Transcript, transcriptWords } from './ceremony-statements.ts'
import { signCompact } from './private-keys.ts'
import { packetText } from './share-packet.ts'
import { commitmentOf, dealKey, type Share, wipe } from './shares.ts'

export interface Dealing {
  readonly said: CeremonyStatement
  readonly statementHash: Uint8Array
  /** What a seat's packet says besides the share. */
  readonly wordsFor: (seat: Seat) => readonly string[]
  readonly plcLog: readonly unknown[]
  /** A number from 0 up to below another one, by chance. */
  readonly pick: (below: number) => number
  /** Told before each seat's packet is sealed. */
  readonly onSeat?: (seat: Seat) => void
}

/** What a deal gives to others. Nothing of it is secret to anybody but the packets, which open for one keeper each. */
export interface Dealt {
  readonly transcript: Transcript
  /** The new key's signature over the transcript, in base64url. */
  readonly proof: string
  /** An age file for each seat. */
  readonly packets: readonly Uint8Array[]
}

/** The first seat whose key nothing can be sealed to; null: there is none. */
export async function unsealableSeat({ seats }: Pick<CeremonyStatement, 'seats'>): Promise<Seat | null> {
  for (const seat of seats) if (!(await isRecipient(seat.sealKey))) return seat
  return null
}

/**
 * Makes the key of an approved split, and forgets it. Each share is wiped once it is sealed, whatever happens. The caller has checked the
 * statement and its seats. @throws Error when the shares don't bring the key back
 */
export async function dealShares({ said, statementHash, pick, onSeat, wordsFor, plcLog }: Dealing): Promise<Dealt> {
  const { k, n } = said.quorum
  const { pair, shares } = await dealKey({ k, n }, pick)
  try {
    const places = shares.map((share) => ({ x: share.x, commitment: commitmentOf(statementHash, share) }))
    const keepers = said.seats.map(({ did, signKey }, at) => ({ did, signKey, ...placeAt(places, at) }))
    const packets: Uint8Array[] = []
    for (const [at, seat] of said.seats.entries()) {
      onSeat?.(seat)
      const share = placeAt(shares, at)
      const about = { howTo: [...wordsFor(seat)], keepers, plcLog: [...plcLog] }
      packets.push(await packetFor(seat, share, { said, statementHash, pub: pair.didKey, about }))
    }
    const transcript: Transcript = {
      ...{ v: 1, dealtBy: hexOf(statementHash), pub: pair.didKey },
      xs: keepers.map(({ x }) => x),
      commitments: keepers.map(({ commitment }) => commitment),
      packets: packets.map((packet) => hexOf(sha256(packet))),
    }
    return { transcript, proof: toBase64Url(signCompact(pair, transcriptWords(transcript))), packets }
  } finally {
    wipe(shares)
  }
}

async function packetFor(
  seat: Seat,
  share: Share,
  { said, statementHash, pub, about }: PacketParts,
): Promise<Uint8Array> {
  const { key, generation, n, k } = said.quorum
  const { community, service } = said
  const dealtBy = hexOf(statementHash)
  const text = packetText(
    { v: 1, ...about, community, service, key, pub, generation, n, k, dealtBy, keeper: seat.did, x: share.x },
    share,
  )
  try {
    return await sealTo([seat.sealKey], text)
  } finally {
    text.fill(0)
    share.y.fill(0)
  }
}

interface PacketParts extends Pick<Dealing, 'said' | 'statementHash'> {
  readonly pub: Transcript['pub']
  readonly about: Pick<Parameters<typeof packetText>[0], 'howTo' | 'keepers' | 'plcLog'>
}

function placeAt<T>(all: readonly T[], at: number): T {
  const found = all[at]
  if (found === undefined) throw new Error('as many shares as keepers were dealt')
  return found
}
