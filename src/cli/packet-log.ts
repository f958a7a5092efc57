/** The history of the identity that a packet holds: what a directory shows now has to go on from it. Pure. */
import { type VerifiedPlcLog, verifyPlcLog } from '../identity/plc-log.ts'
import { PACKET_MAX_BYTES, type SharePacket } from '../keys/share-packet.ts'
import { assertGoesOn, logText, OWNERS_LOG_LIMITS } from './plc-reach.ts'

/** What a packet has beside the log. */
const REST_MAX_BYTES = 64 * 1024

/** Whether a log is too long to be put into packets. A log only grows: one that isn't now, never was. */
export const isTooLongForPackets = (log: VerifiedPlcLog): boolean =>
  logText(log).length + REST_MAX_BYTES > PACKET_MAX_BYTES

/**
 * A directory that lies to its keepers of a key has to have lied on the day of the deal already. One whose log was too long has none in it, and
 * says so; that this was so was looked at when it was taken. @throws Error in words
 */
export function assertPacketLog({ plcLog }: Pick<SharePacket, 'plcLog'>, log: VerifiedPlcLog): void {
  if (plcLog.length === 0) return
  const seen = verifyPlcLog(log.did, plcLog, OWNERS_LOG_LIMITS.maxEntries)
  if (!seen.ok) throw new Error('STOP: what is in your packet as the log of the identity is none')
  assertGoesOn(seen, log)
}
