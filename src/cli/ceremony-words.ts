/** What the keepers' commands say: what a ceremony is about, who has a seat in it, what follows. Pure; whoever prints it escapes it. */
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import { rotationKeysOf } from '../identity/plc-operation.ts'
import type { CeremonyStatement, Seat } from '../keys/ceremony-statements.ts'
import { fingerprintOf } from '../keys/keeper-statements.ts'
import type { SharePacket } from '../keys/share-packet.ts'
import type { Did, DidKey } from '../names.ts'
import type { Asker } from './ceremony-file.ts'

const KINDS: Readonly<Record<CeremonyStatement['kind'], string>> = {
  split: 'a key of the community is made in shares',
  drill: 'keepers show that they can act. Nothing else is signed, but whoever combines has the whole key for a moment',
  combine: 'keepers sign one operation of the identity',
  ownership: 'keepers name the owners of the community',
}

/** What to do with a file that is older than the ceremony. */
export const FETCH_AGAIN =
  'If the file is older than that, fetch the ceremony again (community.reeve.key.get), as yourself'

/** Which ceremony it is, of whom, until when. */
export function headLines(said: CeremonyStatement, hashHex: string, asker: Asker): readonly string[] {
  return [
    `CEREMONY ${said.ceremony} (${said.kind}): ${KINDS[said.kind]}.`,
    `Of the community ${said.community}. Begun by ${said.createdBy} at ${said.createdAt}, open until ${said.expiresAt}.`,
    asker.kind === 'service'
      ? `The statement is signed by the community's space key, as the log of its identity names it now. Its service is ${said.service}.`
      : `${said.kind === 'ownership' ? `It is to be said to the service ${said.service}.` : 'NO SERVICE HAS A HAND IN THIS.'} The statement is signed by the keeper ${asker.did}, with the key that your packet names.`,
    `Hash of the statement: ${hashHex}`,
  ]
}

/** A split: who is to keep a share, by keys that have to be compared. */
export function splitLines(said: CeremonyStatement): readonly string[] {
  const { quorum, seats, strict, replaces, combiner } = said
  return [
    '',
    `${quorum.k} of ${quorum.n} keepers will have to act together. Whoever has ${quorum.k} of the shares has the community; if more than ${quorum.n - quorum.k} are lost, so is the key.`,
    `It is dealt by ${combiner ?? 'nobody'}. Generation ${quorum.generation}.`,
    strict
      ? 'STRICT: once it is in force, this service has no key any more by which the identity is changed. Without the keepers nothing of it can be.'
      : 'This service keeps a key of its own, below the key in shares.',
    replaces === null ? 'It takes the place of no other key.' : `It is to take the place of ${replaces}.`,
    'The keepers. Have each of them read their fingerprint to you (reeve keeper show), by a way that the service has no hand in, and compare:',
    ...seats.flatMap((seat) => [`  ${seat.did}`, `    fingerprint ${fingerprintOf(seat)}`]),
  ]
}

/** By whom it has to have been dealt, and what shows that. */
export function dealerLines({ seats, combiner }: CeremonyStatement): readonly string[] {
  const dealer = seats.find(({ did }) => did === combiner)
  if (!dealer) return []
  return [
    `Dealt and signed by ${dealer.did}, with the keys of the fingerprint ${fingerprintOf(dealer)}`,
    'Before you send it: have THE DEALER read this hash and their fingerprint to you, by voice, and compare both. The service could have put keys of',
    'its own in their place, and dealt itself. Where one of them is another, acknowledge nothing, and tell everybody.',
  ]
}

/** Where a key stands in the identity, by the log that was read. */
export function rankLine(pub: string | null, { head }: VerifiedPlcLog): string {
  const keys = rotationKeysOf(head.operation)
  const at = pub === null ? -1 : keys.indexOf(pub)
  return at < 0
    ? 'WARNING: it is NOT in the identity now: not placed yet, or replaced. What it signs counts for nothing there.'
    : `In the identity now it is rotation key ${at + 1} of ${keys.length}${at === 0 ? ', the mightiest' : ''}.`
}

/** The key that is to sign, where it stands, and who keeps it. `mine`: whose packet this is. */
export function keyLines(
  { quorum, seats }: CeremonyStatement,
  mine: Did | null,
  log: VerifiedPlcLog,
): readonly string[] {
  return [
    '',
    `The key in shares: ${quorum.pub} (generation ${quorum.generation}).`,
    rankLine(quorum.pub, log),
    `${quorum.k} of ${quorum.n} keepers act together:`,
    ...seats.map(({ did }) => `  ${did}${did === mine ? ' (you)' : ''}`),
  ]
}

/** Who is to own the community from then on, and at which service. */
export const ownersLines = (owners: readonly Did[], service: Did): readonly string[] => [
  '',
  `From then on, at the service ${service}, the community is owned by these, and by nobody else:`,
  ...owners.map((did) => `  ${did}`),
]

/** Who opens the shares, and what that comes to. */
export function combinerLines(
  { combiner, service, createdBy }: CeremonyStatement,
  { packet, mine }: { readonly packet: SharePacket | null; readonly mine: Did | null },
): readonly string[] {
  if (combiner === null)
    return [
      '',
      `WARNING: THE SERVICE ITSELF OPENS THE SHARES: ${service}. For a moment it then has the whole key, and whoever controls its machine can keep`,
      'it for ever and change the identity without you. If you have a choice, ask for a ceremony in which one of you combines.',
    ]
  if (combiner === mine)
    return [
      '',
      `The shares are opened by YOU (${combiner}), with the key of which you signed that it is yours. For a moment the whole key is then at your machine.`,
    ]
  const who = combiner === createdBy ? 'who began this' : 'who did not begin this'
  return [
    '',
    `The shares are opened by ${combiner}, ${who}. For a moment they then have the whole key, at their machine. Ask them, by another way, whether that is so.`,
    packet
      ? 'They signed that the key to which the shares are sealed is theirs, by the signing key that your packet has of them.'
      : 'They signed that the key to which the shares are sealed is theirs, by the signing key of their seat IN THIS STATEMENT, which whoever made it wrote: your packet was not asked.',
  ]
}

/** What there is to say about a statement that was held against one's own packet. */
export const packetLines = (packet: { readonly keeper: Did; readonly pub: DidKey } | null): readonly string[] =>
  packet
    ? [
        `Your packet is of this key: its name, number, generation, keepers, places and commitments are those of the statement.`,
      ]
    : [
        'It was not held against your packet. With --packet <your packet> this tool sees whether it is about the key that you keep.',
      ]

/** To whom to go with what a keeper found wrong in what was dealt to them. */
export const wrongDealWords = ({ combiner, createdBy }: CeremonyStatement, what: string): readonly string[] => [
  `STOP: ${what}.`,
  'Do not acknowledge it, and keep nothing of it. Tell the owners, by another way than the service, which of these it was:',
  `whoever dealt (${combiner ?? createdBy}) made a mistake or cheats, or somebody changed it on its way. The split has to be begun again.`,
]

/** Who gave what in a combine. */
export interface Gathered {
  readonly good: readonly Did[]
  readonly bad: readonly { readonly did: Did; readonly why: string }[]
  /** In whose name something lies there that they didn't sign. */
  readonly unsigned: readonly Did[]
}

/** What came together: each bad share by the name of its keeper, and nobody for what others did in their name. */
export function gatheredLines({ good, bad, unsigned }: Gathered, seats: readonly Seat[], k: number): readonly string[] {
  const met = new Set<string>([...good, ...bad.map(({ did }) => did)])
  const absent = seats.filter(({ did }) => !met.has(did))
  return [
    ...good.map((did) => `  good     ${did}`),
    ...bad.map(({ did, why }) => `  BAD      ${did}: ${why}`),
    ...unsigned.map(
      (did) =>
        `  UNSIGNED ${did}: what lies here in their name was not signed by them, so it is not theirs. It was left out`,
    ),
    ...absent.map(({ did }) => `  missing  ${did}`),
    good.length >= k
      ? `${good.length} good shares, and ${k} are needed.`
      : `${good.length} good ${good.length === 1 ? 'share' : 'shares'}, and ${k} are needed. Ask those who gave nothing, or a bad one, to give theirs: reeve keeper give.`,
  ]
}
