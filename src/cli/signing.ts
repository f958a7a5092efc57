/**
 * The last steps of a change that a person signs with their own key: they type the DID, it is signed, it is on the disk before anybody is
 * told, and it counts when the log shows it.
 */
import { comparedWith } from '../identity/plc-course.ts'
import type { PlcDirectory } from '../identity/plc-directory.ts'
import { type VerifiedPlcLog, verifyPlcLog } from '../identity/plc-log.ts'
import { cidOf, type PlcOperation, type UnsignedPlcOperation } from '../identity/plc-operation.ts'
import type { RecoveryKey } from '../keys/recovery-key.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { EXIT_FAILED, EXIT_FINE, WrongUsage } from './command.ts'
import { writeNewFile } from './files.ts'
import { OWNERS_LOG_LIMITS, readLogAt, sendOperation } from './plc-reach.ts'
import { say, typedLine } from './terminal.ts'

/**
 * Whether the person typed the whole DID. When the key came on the standard input, the terminal itself is asked: whatever else a pipe
 * brings is no person. @throws WrongUsage when there is no terminal then
 */
export async function confirmed(did: Did, keySource: string, to = 'sign'): Promise<boolean> {
  const question = `To ${to} this, type the whole DID of the community. Anything else ends here, and nothing has happened.`
  const typed = await typedLine(keySource === '-' ? 'terminal' : 'stdin', () => say('', question))
  if (typed === null && keySource === '-')
    throw new WrongUsage(
      'with the key on the standard input there must be a terminal to type at: give the key as a file',
    )
  if (typed === did) return true
  say('That is not the DID. Nothing was signed, and nothing was sent.')
  return false
}

/**
 * Whether the directory's log still is what the plan was made by; if not, says so. Asked again once the person has typed: they may have taken
 * their time, and an operation on an older place undoes whatever came in the meantime. By a copy of the log, only what the directory knows
 * beyond the copy is news; that it hides something is why somebody goes by a copy.
 * @throws Error in words: no whole answer, or a log that can't be true
 */
export async function isAsPlanned(directory: PlcDirectory, log: VerifiedPlcLog, byCopy: boolean): Promise<boolean> {
  const now = await readLogAt(directory, log.did)
  const how = comparedWith(log, now)
  if (how === 'goes-on' ? now.ops.length === log.ops.length : byCopy) return true
  say('', 'In the meantime the directory shows another log. Nothing was signed, and nothing was sent.')
  say(
    how === 'goes-on'
      ? 'There are operations that you have not seen. Run the same command again, and read what it shows.'
      : 'What you have seen is not there any more. Ask another directory, or a mirror (--plc).',
  )
  return false
}

/**
 * Signs an operation, and looks at the log as it will be: what the verifier doesn't take never leaves this function. `although` `late`: but for
 * the 72 hours, by the dates of this log.
 */
export function signedBy(
  key: Pick<RecoveryKey, 'signOperation'>,
  log: VerifiedPlcLog,
  unsigned: UnsignedPlcOperation,
  nowMs: number,
  although: 'late' | null = null,
): PlcOperation {
  const operation = { ...unsigned, sig: key.signOperation(unsigned) }
  const next = { did: log.did, operation, cid: cidOf(operation), nullified: false, createdAt: isoOf(nowMs) }
  const inForce = log.ops.filter(({ nullified }) => !nullified)
  const undone = new Set(inForce.slice(inForce.findIndex(({ cid }) => cid === unsigned.prev) + 1))
  const rows = log.ops.map((entry) => ({ ...entry, did: log.did, nullified: entry.nullified || undone.has(entry) }))
  const verdict = verifyPlcLog(log.did, [...rows, next], OWNERS_LOG_LIMITS.maxEntries)
  // The last thing that the verifier asks of an operation: nothing else is wrong with it.
  const isLateAlone = !verdict.ok && verdict.fault === 'recovery-late' && verdict.at === rows.length
  if (!verdict.ok && !(isLateAlone && although === 'late'))
    throw new Error(`the operation would not be taken (${verdict.fault}): nothing was sent`)
  return operation
}

const operationFileOf = (did: Did, operation: PlcOperation): string =>
  `${did.replaceAll(':', '-')}-${cidOf(operation).slice(-8)}.json`

/**
 * Keeps a signed operation in a new file of its own. Says where, and until when it may be sent: the new home throws the keys away that it
 * made when its statement is over.
 */
export function keepOperation(
  did: Did,
  operation: PlcOperation,
  out: string | undefined,
  sendBefore: string | null = null,
): string {
  const path = out ?? operationFileOf(did, operation)
  writeNewFile(path, `${JSON.stringify(operation)}\n`)
  say('', `Signed. The operation ${cidOf(operation)} is in the file ${path}.`)
  say('It holds no secret, and whoever has it can send it, from anywhere, without the key.')
  if (sendBefore !== null)
    say(
      `Send it before ${sendBefore}: then the statement of the new home is over, and the home throws these keys away.`,
    )
  return path
}

/** Sends an operation, and says what became of it. The exit code is 0 when it is in force. */
export async function sendAndTell(
  directory: PlcDirectory,
  did: Did,
  operation: PlcOperation,
  path: string,
): Promise<number> {
  switch (await sendOperation(directory, did, operation)) {
    case 'in-force':
      say('The directory has it, and it is in force.')
      return EXIT_FINE
    case 'followed':
      say(
        'The directory has it, but somebody has signed another operation behind it. Look what the identity says now: reeve exit --dry-run.',
      )
      return EXIT_FAILED
    case 'undone':
      say(
        'The directory had it, and somebody has undone it. Look who: run the same command again without sending (--dry-run).',
      )
      return EXIT_FAILED
    case 'refused':
      say(
        'The directory refused it, and it is not in the log. Somebody may have been quicker: run the same command again.',
      )
      say(
        'If it is refused again, the directory may be on the other side. Then publish the file, and send it over other ways.',
      )
      return EXIT_FAILED
    case 'unknown':
      say(
        'Nobody can say whether the directory has it. Nothing is lost: send the same file again, or over another network:',
      )
      say(`  reeve exit send ${did} ${path}`)
      return EXIT_FAILED
  }
}
