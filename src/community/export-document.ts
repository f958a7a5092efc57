/** What an exported key comes with: in plain words what it is, who can undo what by which key, and the log to begin from. Pure. */
import type { PlcLogEntry, VerifiedPlcLog } from '../identity/plc-log.ts'
import { rotationKeysOf } from '../identity/plc-operation.ts'
import type { ExportDocument } from '../keys/exporting.ts'
import type { Did, DidKey } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { CustodyKind } from './store.ts'

interface About {
  readonly community: Did
  readonly name: string
  readonly custody: CustodyKind
  readonly didKey: DidKey
  /** Whose copy stays: the address of this service. */
  readonly service: string
  readonly log: VerifiedPlcLog
  readonly nowMs: number
}

/** The document around the key. Names that people chose are quoted, so that none can pass for a line of ours. */
export function exportDocument(about: About): ExportDocument {
  const { community, name, custody, didKey, service, log, nowMs } = about
  const keys = rotationKeysOf(log.head.operation) ?? []
  const at = keys.indexOf(didKey)
  const head = [
    'A KEY OF YOUR COMMUNITY. Whoever reads this file can change its identity. Keep it closed.',
    '',
    `WE STILL HAVE A COPY. To be alone you must replace this key: as long as it is among the rotation keys, ${service}`,
    'can use it as well as you, and whoever of the two moves first keeps the other from undoing it.',
    '',
    `Community:    ${JSON.stringify(name)}`,
    `DID:          ${community}`,
    `Public half:  ${didKey}`,
    `Custody:      ${custody}`,
    `Exported at:  ${isoOf(nowMs)}`,
    '',
    'The rotation keys in force, the mightiest first:',
    ...keys.map((key, nth) => `  ${nth + 1}. ${key}${nth === at ? '   this one' : ''}`),
    '',
    ...powersOf(at, keys.length),
    '',
    'How to use it: with the offline tool `reeve exit`, which needs nothing of the service. Put the 64 hexadecimal characters below into a',
    'file of their own, exported.key, which nobody but you may read. Then make a key that nobody else has, and go:',
    '',
    '  reeve recovery new new.key',
    `  reeve exit ${community} --key exported.key --new-recovery-key new.key --to new-home.json --for <your DID>`,
    '',
    'new-home.json is what the new home answered to community.takeIn; with --to-self in place of --to and --for you go nowhere yet. Without',
    'the new key you would stay within our reach, and the tool refuses it. Any other tool for did:plc takes one of the three forms.',
  ]
  const tail = [
    `The log of the identity, as it was verified from its first operation at ${isoOf(nowMs)}. A log that you are shown later`,
    'must begin with it.',
    '',
    JSON.stringify(
      log.ops.map((entry) => shown(community, entry)),
      null,
      2,
    ),
    '',
  ]
  return { head: head.join('\n'), tail: tail.join('\n') }
}

/** Who can undo what. PLC gives each key 72 hours to undo what keys below it did. */
function powersOf(at: number, count: number): readonly string[] {
  if (at === -1) return ['This key is not among them any more: nothing can be changed with it.']
  const above =
    at === 0
      ? 'No key stands above it: nobody can undo what is done with it.'
      : 'Whoever has a key above it can undo for 72 hours what is done with it.'
  const below =
    at === count - 1
      ? 'No key stands below it: there is nothing that it could undo.'
      : 'For 72 hours it can undo what is done with a key below it.'
  return [above, below]
}

/** As a directory shows it. */
const shown = (did: Did, { cid, operation, nullified, createdAt }: PlcLogEntry) => ({
  ...{ did, cid, operation, nullified, createdAt },
})
