/**
 * `reeve recovery replace`: another recovery key takes the place of the one before, which signs it away. Nothing else changes.
 *
 * The old key could come back for 72 hours over any younger operation of a lesser key, and take its own removal with it. So the change stands
 * before all of those, and says again what they said.
 */
import { planChange, withKeyReplaced } from '../community/plc-departure.ts'
import type { PlcDirectory } from '../identity/plc-directory.ts'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import { openRecoveryKey, type RecoveryKey } from '../keys/recovery-key.ts'
import type { Did, DidKey } from '../names.ts'
import { systemClock } from '../platform/clock.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, type Options, readArguments, WrongUsage } from './command.ts'
import { replaceLines, stateLines } from './exit-words.ts'
import { assertNewFile } from './files.ts'
import { assertGoesOn, plcDidOf, readLogAt, readLogFile, withDirectory } from './plc-reach.ts'
import { confirmed, isAsPlanned, keepOperation, sendAndTell, signedBy } from './signing.ts'
import { say } from './terminal.ts'

const OPTIONS = {
  key: 'text',
  'new-key': 'text',
  plc: 'text',
  log: 'text',
  known: 'text',
  out: 'text',
  offline: 'flag',
  'dry-run': 'flag',
} as const

export const recoveryReplace: Command = {
  words: ['recovery', 'replace'],
  takes: '<did> --key <file|-> --new-key <file> [options]',
  does: [
    'Put a new recovery key in the place of the one that signs. Both are files: a mistyped key would be no way out.',
    '  --known, --log, --plc, --out, --offline, --dry-run   as with reeve exit',
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 1, OPTIONS)
    const did = plcDidOf(plain[0])
    const { key: source, 'new-key': newSource, out, log, known, offline } = options
    if (source === undefined || newSource === undefined || newSource === '-')
      throw new WrongUsage('--key <file> and --new-key <file> are needed')
    if (offline && log === undefined) throw new WrongUsage('--offline needs the log as a file: --log')
    if (out !== undefined) assertNewFile(out)
    const seen = known === undefined ? null : readLogFile(known, did)
    const given = log === undefined ? null : readLogFile(log, did)
    const key = openRecoveryKey(source)
    const to = openRecoveryKey(newSource).didKey
    const work = async (directory: PlcDirectory | null) => {
      const now = given ?? (directory && (await readLogAt(directory, did)))
      if (!now) throw new WrongUsage('--offline needs the log as a file: --log')
      if (seen) assertGoesOn(seen, now)
      return replaced({ did, key, keySource: source, to, log: now, options, directory })
    }
    return offline ? work(null) : withDirectory(options.plc, work)
  },
}

interface Replacing {
  readonly did: Did
  readonly key: RecoveryKey
  readonly keySource: string
  readonly to: DidKey
  readonly log: VerifiedPlcLog
  readonly options: Options<typeof OPTIONS>
  /** Null: nothing is asked, and nothing is sent. */
  readonly directory: PlcDirectory | null
}

async function replaced({ did, key, keySource, to, log, options, directory }: Replacing): Promise<number> {
  const nowMs = systemClock.nowMs()
  const names = new Map<string, string>([
    [key.didKey, 'your key'],
    [to, 'your new key'],
  ])
  say(...stateLines(log, key.didKey, names, nowMs))
  const { head } = log
  const next = withKeyReplaced(head, key.didKey, to)
  const plan = planChange(log, next, { signer: key.didKey, lastGood: head, nowMs, homeKey: null })
  say(...replaceLines(log, plan, names, nowMs))
  if (!plan.course.ok) return EXIT_FAILED
  if (options['dry-run']) {
    say('', 'Nothing was signed: this was a look only.')
    return EXIT_FINE
  }
  if (!(await confirmed(did, keySource))) return EXIT_FAILED
  if (directory && !(await isAsPlanned(directory, log, options.log !== undefined))) return EXIT_FAILED
  const operation = signedBy(key, log, plan.operation, systemClock.nowMs())
  const path = keepOperation(did, operation, options.out)
  if (directory) return sendAndTell(directory, did, operation, path)
  say('Nothing was sent. Send it from anywhere:', `  reeve exit send ${did} ${path}`)
  return EXIT_FINE
}
