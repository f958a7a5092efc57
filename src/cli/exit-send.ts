/**
 * `reeve exit send`: a signed operation goes to a directory. Needs no key: whoever holds the file may send it, from anywhere.
 *
 * The file may have lain for days. What came into the log since is undone by it, and the keys that it names may be gone: so it says what the
 * operation does now, and asks where that is more than was signed.
 */
import { parseNewHome } from '../identity/new-home.ts'
import { inForceOf, placesOf } from '../identity/plc-course.ts'
import type { PlcLogEntry, VerifiedPlcLog } from '../identity/plc-log.ts'
import {
  cidOf,
  type PlcOperation,
  parsePlcOperation,
  rotationKeysOf,
  verifyOperationSignature,
} from '../identity/plc-operation.ts'
import type { Did } from '../names.ts'
import { msOf, systemClock } from '../platform/clock.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments } from './command.ts'
import { readJsonFile } from './files.ts'
import { plcDidOf, readLogAt, withDirectory } from './plc-reach.ts'
import { differenceOf, operationLines, operationsOf, placeLines } from './plc-words.ts'
import { confirmed, isAsPlanned, sendAndTell } from './signing.ts'
import { say } from './terminal.ts'

const OPERATION_MAX_BYTES = 32 * 1024

const STATEMENT_MAX_BYTES = 16 * 1024

export const exitSend: Command = {
  words: ['exit', 'send'],
  takes: '<did> <operation.json> [--to <new-home.json>] [--plc <url>]',
  does: [
    'Send an operation that is signed already, and read the log until it is in force. Asks before it undoes anything.',
    '  --to <new-home.json>   the statement that it was made by: says whether the new home still has these keys',
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 2, { plc: 'text', to: 'text' })
    const [didText, path = ''] = plain
    const did = plcDidOf(didText)
    const operation = parsePlcOperation(readJsonFile(path, OPERATION_MAX_BYTES))
    if (operation?.type !== 'plc_operation') throw new Error('there is no signed PLC operation in the file')
    const late = options.to === undefined ? [] : lateLines(options.to, did, operation)
    return withDirectory(options.plc, async (directory) => {
      const log = await readLogAt(directory, did)
      const there = log.ops.find(({ cid }) => cid === cidOf(operation))
      if (there) return standing(log, there)
      const chain = inForceOf(log)
      const before = chain.find(({ cid }) => cid === operation.prev)
      const signer = before && verifyOperationSignature(operation, rotationKeysOf(before.operation))
      const nowMs = systemClock.nowMs()
      const place = signer && placesOf(log, signer, nowMs).find(({ prev }) => prev === before)
      if (!place) throw new Error('the operation does not belong to this identity, or what it follows was undone')
      if (place.refusal !== null) {
        say('No directory may take it any more:', ...placeLines([place], nowMs))
        return EXIT_FAILED
      }
      const names = new Map([[signer, 'who signed it']])
      say('From now on the identity says (- goes, + comes):', ...differenceOf(log.head.operation, operation, names))
      if (place.undoes.length > 0) {
        say('', `It undoes ${operationsOf(place.undoes.length)}, for good:`)
        for (const entry of place.undoes) say(...operationLines(entry, chain[chain.indexOf(entry) - 1], names))
      }
      say(...late)
      if (place.undoes.length > 0 || late.length > 0) {
        if (!(await confirmed(did, path, 'send'))) return EXIT_FAILED
        if (!(await isAsPlanned(directory, log, false))) return EXIT_FAILED
      }
      return sendAndTell(directory, did, operation, path)
    })
  },
}

/** What became of an operation that is in the log already. */
function standing(log: VerifiedPlcLog, entry: PlcLogEntry): number {
  if (entry.nullified) {
    say('It is in the log, and was undone.')
    return EXIT_FAILED
  }
  if (entry.cid === log.head.cid) {
    say('It is in the log, and in force.')
    return EXIT_FINE
  }
  const chain = inForceOf(log)
  const since = chain.slice(chain.indexOf(entry) + 1)
  say('It is in the log, but it is not what counts now. Since then:')
  for (const later of since) say(...operationLines(later, chain[chain.indexOf(later) - 1], new Map()))
  return EXIT_FAILED
}

/** What there is to say of a statement that is over; nothing, while it holds. @throws Error in words for another one */
function lateLines(path: string, did: Did, { rotationKeys }: PlcOperation): readonly string[] {
  const home = parseNewHome(readJsonFile(path, STATEMENT_MAX_BYTES))
  if (!home || home.did !== did || !rotationKeys.includes(home.rotationKey))
    throw new Error('the operation was not made by this statement of a new home')
  if ((msOf(home.expiresAt) ?? 0) > systemClock.nowMs()) return []
  return [
    '',
    `WARNING: the statement of the new home was over at ${home.expiresAt}. It has thrown away the keys that this operation names.`,
    'Ask it for a new statement, and sign a new operation. If this one is sent, nobody can run the community by it.',
  ]
}
