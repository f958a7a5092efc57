/**
 * `reeve exit`: a community leaves its home with its own recovery key, without asking anybody.
 *
 * It is run once, by people who are in a hurry and have reason to trust nobody. So it shows everything before it signs, signs nothing that it
 * didn't show, keeps what it signed before it sends it, and believes the log and not the answer. It needs the key, the directory (or a copy of the
 * log), and nothing of the old home.
 */
import { formerIn, homeKeysOf, namesHome, withoutTries } from '../community/former-homes.ts'
import {
  asIfYoung,
  departureOf,
  judgeLog,
  type PlannedChange,
  planChange,
  type Undoing,
} from '../community/plc-departure.ts'
import type { PlcDirectory } from '../identity/plc-directory.ts'
import type { PlcLogEntry, VerifiedPlcLog } from '../identity/plc-log.ts'
import { rotationKeysOf } from '../identity/plc-operation.ts'
import { openRecoveryKey, type RecoveryKey } from '../keys/recovery-key.ts'
import type { Did, DidKey } from '../names.ts'
import { systemClock } from '../platform/clock.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, type Options, readArguments, WrongUsage } from './command.ts'
import { ASK_HELP, ASK_OPTIONS, type AskedKeepers, askedKeepers } from './exit-asked.ts'
import { type ChosenDestination, chosenDestination, chosenNames, DESTINATION_OPTIONS } from './exit-destination.ts'
import { afterwards, formerLines, noPlaceLines, planLines, stateLines, undecidedLines } from './exit-words.ts'
import { assertNewFile } from './files.ts'
import { assertGoesOn, plcDidOf, readLogAt, readLogFile, withDirectory } from './plc-reach.ts'
import { confirmed, isAsPlanned, keepOperation, sendAndTell, signedBy } from './signing.ts'
import { say } from './terminal.ts'

const OPTIONS = {
  ...DESTINATION_OPTIONS,
  ...ASK_OPTIONS,
  key: 'text',
  plc: 'text',
  log: 'text',
  known: 'text',
  out: 'text',
  'undo-from': 'text',
  keep: 'flag',
  'although-undoable': 'flag',
  'although-late': 'flag',
  'dry-run': 'flag',
  offline: 'flag',
} as const

export const exit: Command = {
  words: ['exit'],
  takes: '<did> --key <file|-> (--to <new-home.json> --for <your DID> | --to-self) [options]',
  does: [
    "Leave: take every key and address of the old home out of the community's identity, with the recovery key.",
    '  --to <new-home.json>         go to a new home, by what its community.takeIn answered',
    '  --for <your DID>             with --to: who is to be the first owner there. The statement must be for you',
    '  --to-self                    go nowhere yet: only your own keys stay. More of your own: --atproto-key <did:key>,',
    '                               --space-key <did:key>, --endpoint <https address>',
    '  --new-recovery-key <file>    put another recovery key in the place of the one that signs. Needed when the old home has',
    '                               that one too (an exported key)',
    '  --rotation-key <did:key>     another rotation key of the community; may be given more than once. Those that are in the',
    '                               list keep their order',
    '  --handle <handle>, --no-handle   the name from now on; left out: the handle stays as it is',
    '  --keep-names                 keep all other names too; left out: only the handle stays',
    '  --undo-from <cid>, --keep    undo what others did, from this operation on; or keep whatever can stay',
    '  --known <file>               a log that you kept: the log now must go on from it, and what it holds is not asked about',
    '  --log <file>                 plan by this copy of the log and not by what the directory says now',
    '  --plc <url>                  the directory; https://plc.directory when left out',
    '  --out <file>                 where the signed operation is kept; a name of its own when left out',
    '  --offline                    ask and send nothing: needs --log, and leaves the signed file',
    '  --although-undoable          sign although a key that leaves could undo it for a while',
    '  --although-late              with --undo-from: sign although the dates of the log say that 72 hours are over, and send nothing',
    '  --dry-run                    show everything, and sign nothing',
    ...ASK_HELP,
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 1, OPTIONS)
    const did = plcDidOf(plain[0])
    if ((options.key === undefined) === (options.packet === undefined))
      throw new WrongUsage('--key <file> is needed: the recovery key; or --packet <packet>: your share of another')
    if (options['undo-from'] !== undefined && options.keep) throw new WrongUsage('either --undo-from or --keep')
    if (options['although-late'] && options.packet !== undefined)
      throw new WrongUsage(
        '--although-late goes with --key: no keeper can see that what they are asked for could be taken',
      )
    if (options['although-late'] && options['undo-from'] === undefined)
      throw new WrongUsage('--although-late goes with --undo-from: what is to be undone has to be said')
    if (options.offline && options.log === undefined) throw new WrongUsage('--offline needs the log as a file: --log')
    if (options.out !== undefined) assertNewFile(options.out)
    const chosen = chosenDestination(options, did, systemClock.nowMs())
    const known = options.known === undefined ? null : readLogFile(options.known, did)
    const key = options.key === undefined ? await askedKeepers(did, options) : openRecoveryKey(options.key)
    const leave = (directory: PlcDirectory | null) =>
      leaveWith({ did, key, chosen, known, options, keySource: options.key ?? '', directory })
    return options.offline ? leave(null) : withDirectory(options.plc, leave)
  },
}

interface Leaving {
  readonly did: Did
  readonly key: RecoveryKey | AskedKeepers
  readonly keySource: string
  readonly chosen: ChosenDestination
  readonly known: VerifiedPlcLog | null
  readonly options: Options<typeof OPTIONS>
  /** Null: nothing is asked, and nothing is sent. */
  readonly directory: PlcDirectory | null
}

async function leaveWith(leaving: Leaving): Promise<number> {
  const { did, key, keySource, options, directory } = leaving
  const log = await logFor(leaving)
  if (leaving.known) assertGoesOn(leaving.known, log)
  if ('ask' in key) key.assertOfPacket(log)
  const names = namesOf(leaving, log)
  const nowMs = systemClock.nowMs()
  say(...stateLines(log, key.didKey, names, nowMs))
  const plan = planned(leaving, log, names, nowMs)
  if (!plan) return EXIT_FAILED
  if (options['dry-run']) {
    say('', 'Nothing was signed: this was a look only.')
    return EXIT_FINE
  }
  const to = 'ask' in key ? 'ask the other keepers for' : 'sign'
  if (!(await confirmed(did, keySource, to))) return EXIT_FAILED
  if (directory && !(await isAsPlanned(directory, log, options.log !== undefined))) return EXIT_FAILED
  if ('ask' in key) return key.ask(log, plan.operation, leaving.chosen.home)
  const isLate = options['although-late'] === true
  const operation = signedBy(key, log, plan.operation, systemClock.nowMs(), isLate ? 'late' : null)
  const path = keepOperation(did, operation, options.out, leaving.chosen.home?.expiresAt)
  if (!directory || isLate) {
    say('Nothing was sent. Send it from anywhere:', `  reeve exit send ${did} ${path}`)
    return EXIT_FINE
  }
  const code = await sendAndTell(directory, did, operation, path)
  if (code === EXIT_FINE)
    say(...afterwards(did, leaving.chosen.newRecoveryKey ?? key.didKey, leaving.chosen.home, options))
  return code
}

async function logFor({ did, options, directory }: Leaving): Promise<VerifiedPlcLog> {
  if (options.log !== undefined) return readLogFile(options.log, did)
  if (!directory) throw new WrongUsage('--offline needs the log as a file: --log')
  return readLogAt(directory, did)
}

/** A key in shares, which no home ever had; null for a key of one's own, of which nobody can be sure. */
const dealtOf = (key: Leaving['key']): DidKey | null => ('ask' in key ? key.didKey : null)

/** A key that was a home's is called so, whatever else it is called. */
function namesOf({ key, chosen }: Leaving, log: VerifiedPlcLog): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  if (chosen.home) names.set(chosen.home.rotationKey, 'the new home')
  if (chosen.newRecoveryKey) names.set(chosen.newRecoveryKey, 'your new key')
  const dealt = dealtOf(key)
  const homes = homeKeysOf(withoutTries(log, chosen.with(key.didKey, []), dealt), dealt)
  for (const home of homes) names.set(home, 'the old home')
  if (dealt) return names.set(dealt, 'the key in shares')
  return names.set(key.didKey, homes.has(key.didKey) ? 'your key, and the old home has it too' : 'your key')
}

/** Everything that is decided, shown; null when it stops here, with the reason shown. */
function planned(
  { key, chosen, known, options }: Leaving,
  told: VerifiedPlcLog,
  names: ReadonlyMap<string, string>,
  nowMs: number,
): PlannedChange | null {
  const signer = key.didKey
  const from = options['undo-from']
  const isLate = options['although-late'] === true
  const log = isLate && from !== undefined ? asIfYoung(told, from, nowMs) : told
  const undoing: Undoing = from === undefined ? (options.keep ? 'keep' : 'unsaid') : { from }
  const knownCids = new Set(known?.ops.map(({ cid }) => cid))
  const judgement = judgeLog(log, { signer, nowMs, undoing, known: knownCids })
  if (judgement.kind === 'no-place') {
    say(...noPlaceLines(log, signer, nowMs))
    return null
  }
  if (judgement.kind === 'undecided') {
    say(...undecidedLines(log, judgement.doubtful, names, nowMs))
    return null
  }
  const { lastGood, undone } = judgement
  const before = rotationKeysOf(lastGood.operation)
  const wanted = chosen.with(signer, before)
  const mine = new Set<string>([signer, ...(chosen.newRecoveryKey ? [chosen.newRecoveryKey] : [])])
  const former = formerIn(log, wanted, { mine, lastGood, dealt: dealtOf(key) })
  if (former.length > 0) {
    const isThere = wanted.homeKey !== null && namesHome(log.head.operation, wanted)
    say(...formerLines(former, { names, isShared: former.includes(signer), isThere }))
    return null
  }
  const next = departureOf(wanted, chosenNames(options, namesIn(lastGood)))
  const plan = planChange(log, next, { signer, lastGood, nowMs, homeKey: wanted.homeKey })
  const homes = homeKeysOf(log, dealtOf(key))
  const going = before.filter((one) => one !== signer && !homes.has(one) && !next.rotationKeys.includes(one))
  say(...planLines(log, plan, { undone, home: chosen.home, names, nowMs, going, isLate }))
  if (plan.course.ok || options['although-undoable']) return plan
  say('', 'So it is not signed. If you must go all the same, add --although-undoable.')
  return null
}

const namesIn = ({ operation }: PlcLogEntry): readonly string[] => {
  if (operation.type === 'create') return [`at://${operation.handle}`]
  return operation.type === 'plc_operation' ? operation.alsoKnownAs : []
}
