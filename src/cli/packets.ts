/** A keeper's packet, from the file in which they keep it: sealed, opened for a moment, wiped. */
import type { OpenKeeper } from '../keys/keeper-keys.ts'
import { PACKET_MAX_BYTES, parsePacket, type SharePacket } from '../keys/share-packet.ts'
import { isShareFor, type Share } from '../keys/shares.ts'
import { readBytes } from './files.ts'

/** What encryption and base64 add. */
const SEALED_MAX_BYTES = 2 * PACKET_MAX_BYTES
/** How each age file begins. What comes as base64, as the service answers, is taken as well. */
const AGE_BEGINS = 'age-encryption.org/v1\n'

/** The age file itself, which may have come as base64. */
export function sealedIn(found: Buffer): Uint8Array {
  const isFile = found.subarray(0, AGE_BEGINS.length).toString('latin1') === AGE_BEGINS
  return new Uint8Array(isFile ? found : Buffer.from(found.toString('latin1'), 'base64'))
}

export interface OpenPacket {
  readonly packet: SharePacket
  /** The caller wipes it. */
  readonly share: Share
}

/** Opens a packet; a word for why it can't be: it isn't for these keys, or what is in it is no packet. */
export async function openPacket(
  keeper: Pick<OpenKeeper, 'open'>,
  sealed: Uint8Array,
): Promise<OpenPacket | 'sealed' | 'no-packet'> {
  const text = await keeper.open(sealed)
  if (!text) return 'sealed'
  try {
    return parsePacket(text) ?? 'no-packet'
  } finally {
    text.fill(0)
  }
}

/**
 * The packet in a file, whole in itself: for these keys, of a keeper whom it names, and with the share that stands there by its commitment.
 * The share is lent, and wiped when the work ends. @throws Error in words
 */
export async function withPacket<T>(
  keeper: OpenKeeper,
  path: string,
  work: (opened: OpenPacket) => Promise<T>,
): Promise<T> {
  const opened = await openPacket(keeper, sealedIn(readBytes(path, SEALED_MAX_BYTES)))
  if (opened === 'sealed')
    throw new Error(
      'the packet is not for these keys (it is not sealed to the seal.key in the folder), or it was changed: try your other copy, and the folder that you had when the key was dealt',
    )
  if (opened === 'no-packet') throw new Error('what is in the file is no packet of a keeper')
  const { packet, share } = opened
  try {
    const own = packet.keepers.find(({ did }) => did === packet.keeper)
    if (own?.x !== packet.x) throw new Error('the packet is of another place than that of its keeper')
    if (own.signKey !== keeper.signKey)
      throw new Error(
        'the packet opens with the seal.key in the folder, but it names another sign.key than the one there: no other keeper takes an act of yours by that. Look for the sign.key that you had when the key was dealt; if it is lost, tell an owner. Without the program the share is still good, as the packet says',
      )
    if (!isShareFor(share, own, new Uint8Array(Buffer.from(packet.dealtBy, 'hex'))))
      throw new Error('the share in the packet is not the one that stands there by its commitment: try your other copy')
    return await work(opened)
  } finally {
    share.y.fill(0)
  }
}

/** What is public of a packet in a file; the share is wiped at once. Null when no file is named. @throws Error as `withPacket` */
export const publicPacketIn = async (keeper: OpenKeeper, path: string | undefined): Promise<SharePacket | null> =>
  path === undefined ? null : withPacket(keeper, path, async ({ packet }) => packet)
