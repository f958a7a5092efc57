/** A ceremony that one keeper begins without any service: the statement is made of their packet, and signed by their own key. */
import { encodeStatement, hexOf, statementHashOf } from '../keys/ceremony-statements.ts'
import type { OpenKeeper } from '../keys/keeper-keys.ts'
import type { SharePacket } from '../keys/share-packet.ts'
import type { Did } from '../names.ts'
import { toBase64Url } from '../platform/bytes.ts'
import { isoOf } from '../platform/clock.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { ASKED_FOR_MS } from './ceremony-file.ts'

/** What the keepers are asked for: one operation of the identity, a drill, or owners at a service. */
export type Wanted =
  | { readonly kind: 'combine'; readonly bytes: Uint8Array; readonly head: string }
  | { readonly kind: 'drill' }
  | { readonly kind: 'ownership'; readonly owners: readonly Did[]; readonly service: Did }

const NAME_BYTES = 10
const NONCE_BYTES = 32

/** What goes to the other keepers, in the form in which a service tells of a ceremony. */
export function requestOf(
  wanted: Wanted,
  asking: {
    readonly keeper: OpenKeeper
    readonly packet: SharePacket
    readonly sealTo: string
    readonly nowMs: number
    readonly random: Random
  },
): object {
  const { keeper, packet, sealTo, nowMs, random } = asking
  const { community, key, pub, generation, n, k, dealtBy } = packet
  const said = {
    ...{ v: 1 as const, ceremony: randomHex(random, NAME_BYTES), kind: wanted.kind, community },
    // No service knows of it; only owners are named at one.
    service: wanted.kind === 'ownership' ? wanted.service : community,
    quorum: { key, pub, generation, n, k, dealtBy },
    seats: packet.keepers.map(({ did, signKey, x, commitment }) => ({
      ...{ did, signKey, x, commitment },
      // Nobody seals a packet to them here, and there is no enrolment.
      ...{ keeper: '', sealKey: '' },
    })),
    ...{ strict: false, replaces: null },
    operation: wanted.kind === 'combine' ? { bytes: wanted.bytes, head: wanted.head } : null,
    owners: wanted.kind === 'ownership' ? [...wanted.owners] : null,
    ...{ combiner: packet.keeper, sealTo, voucher: keeper.vouch({ community, sealTo }) },
    ...{ nonce: random.bytes(NONCE_BYTES), createdBy: packet.keeper },
    ...{ createdAt: isoOf(nowMs), expiresAt: isoOf(nowMs + ASKED_FOR_MS) },
  }
  const bytes = encodeStatement(said)
  return {
    ...{ ceremony: said.ceremony, kind: said.kind, state: 'collecting' },
    ...{ statement: toBase64Url(bytes), statementHash: hexOf(statementHashOf(bytes)), sig: keeper.begin(bytes) },
    ...{ deeds: [], expiresAt: said.expiresAt, createdBy: said.createdBy },
  }
}

/** What to do with a request. */
export const askedLines = (path: string, { keepers, keeper, k }: SharePacket): readonly string[] => [
  `The request is in ${path}. It holds no secret. Send it to ${k - 1} or more of the others, by any way, within a day:`,
  ...keepers.filter(({ did }) => did !== keeper).map(({ did }) => `  ${did}`),
  'Each of them looks at it and gives their share, sealed to your opener, into a file that they hand to you:',
  `  reeve keeper give <their folder> <their packet> ${path} --out <share.json>`,
  'Then put the shares together: reeve keeper combine <your folder> <request> --opener <opener> --packet <your packet> --share <share.json> ...',
]
