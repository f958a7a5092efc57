/**
 * `reeve exit watch`: looks at a community's log again and again, and says aloud when somebody changed the identity, while it can still be
 * undone.
 *
 * What was seen is kept in a file, since only that tells a directory that shows less than before. It goes on only when nothing is new, or when
 * somebody says that what is new is right; so an alarm that nobody heard is told again. That holds for a first look as well: what was done in
 * the last 72 hours is not known before somebody said so. And for one's own keys: whoever stole one signs with it.
 */
import { existsSync } from 'node:fs'
import { type PlannedChange, planChange } from '../community/plc-departure.ts'
import { comparedWith, inForceOf, placesOf, undoersOf } from '../identity/plc-course.ts'
import type { PlcDirectory } from '../identity/plc-directory.ts'
import { PLC_RECOVERY_WINDOW_MS, type PlcLogEntry, type VerifiedPlcLog } from '../identity/plc-log.ts'
import { rotationKeysOf } from '../identity/plc-operation.ts'
import { openRecoveryKey, type RecoveryKey } from '../keys/recovery-key.ts'
import type { Did } from '../names.ts'
import { repeat, systemClock } from '../platform/clock.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { Refusal } from '../refusals.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { assertNewFile, replaceFile, writeNewFile } from './files.ts'
import { logText, plcDidOf, readLogAt, readLogFile, withDirectory } from './plc-reach.ts'
import {
  differenceOf,
  instantOf,
  type KeyNames,
  named,
  operationLines,
  operationsOf,
  placeLines,
  undoerLines,
} from './plc-words.ts'
import { confirmed, isAsPlanned, keepOperation, signedBy } from './signing.ts'
import { say } from './terminal.ts'

const OPTIONS = {
  once: 'flag',
  every: 'text',
  seen: 'text',
  mine: 'texts',
  accept: 'flag',
  key: 'text',
  counter: 'text',
  plc: 'text',
} as const
const EVERY = /^([1-9]\d{0,3})([mh])$/
const UNIT_MS = { m: 60_000, h: 3_600_000 }
const HOURS = '6h'

export const exitWatch: Command = {
  words: ['exit', 'watch'],
  takes: '<did> [--once] [--every 6h] [--seen <file>] [--mine <did:key>] [options]',
  does: [
    'Look at the log again and again, and say when somebody changed the identity. Ends with 1 until you say that it was right.',
    '  --seen <file>     what was seen last; a name of its own when left out. It is a log as --known takes it',
    '  --mine <did:key>  a key of yours, to be named so; may be given more than once',
    '  --accept          say what is new, and from now on it counts as seen',
    '  --key <file> --counter <file>   with --once: sign what puts everything back as it was seen, and keep it in a file.',
    '                    Shows it, and asks for the DID before',
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 1, OPTIONS)
    const did = plcDidOf(plain[0])
    const everyMs = everyOf(options.every ?? HOURS)
    const { key: source, counter, once } = options
    if ((source === undefined) !== (counter === undefined) || (source !== undefined && !once))
      throw new WrongUsage(
        '--key, --counter and --once go together: a key does not lie about where something runs for days',
      )
    if (counter !== undefined) assertNewFile(counter)
    const key = source === undefined ? null : openRecoveryKey(source)
    const mine = new Set<string>((options.mine ?? []).map(keyOf))
    if (key) mine.add(key.didKey)
    const seenPath = options.seen ?? `${did.replaceAll(':', '-')}-seen.json`
    return withDirectory(options.plc, async (directory) => {
      const look = () =>
        lookAt(directory, {
          did,
          seenPath,
          mine,
          key,
          keySource: source ?? '',
          counter,
          accept: options.accept === true,
        })
      if (once) return look()
      const turns = repeat(async () => void (await look().catch(toldAndGone)), everyMs)
      await new Promise<void>((resolve) => {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
      })
      await turns.stop()
      return EXIT_FINE
    })
  },
}

function everyOf(text: string): number {
  const [, count, unit] = EVERY.exec(text) ?? []
  if (unit !== 'm' && unit !== 'h') throw new WrongUsage('--every must be like 30m or 6h')
  return Number(count) * UNIT_MS[unit]
}

function keyOf(text: string): string {
  const key = parseDidKey(text)
  if (!key) throw new WrongUsage('--mine must be a did:key')
  return key.didKey
}

/** One look that failed ends nothing: the next one comes. */
function toldAndGone(error: unknown): void {
  say(`ALARM? This look failed: ${error instanceof Error ? error.message : 'nobody knows why'}`)
}

interface Look {
  readonly did: Did
  readonly seenPath: string
  readonly mine: ReadonlySet<string>
  readonly key: RecoveryKey | null
  readonly keySource: string
  readonly counter: string | undefined
  readonly accept: boolean
}

async function lookAt(directory: PlcDirectory, look: Look): Promise<number> {
  const { did, seenPath, mine, accept } = look
  const log = await readLogAt(directory, did)
  const nowMs = systemClock.nowMs()
  say(`${instantOf(nowMs)}  ${did}: ${operationsOf(log.ops.length)}, verified; in force: ${log.head.cid}`)
  const isFirst = !existsSync(seenPath)
  const seen = isFirst ? firstLook(log, seenPath, nowMs) : readLogFile(seenPath, did)
  const how = comparedWith(seen, log)
  if (how !== 'goes-on') {
    say(how === 'shorter' ? 'ALARM: the directory shows less than before.' : 'ALARM: the directory tells another past.')
    say('Ask another directory, or a mirror. What was seen is kept as it was.')
    return EXIT_FAILED
  }
  const names = new Map([...mine].map((key) => [key, 'your key']))
  if (log.ops.length === seen.ops.length) {
    const quiet = isFirst ? 'Nothing was changed in the last 72 hours.' : 'Nothing is new.'
    say(`${quiet} Who may undo the operation in force:`, ...undoerLines(undoersOf(log, nowMs), names, nowMs))
    return EXIT_FINE
  }
  const before = new Map(rotationKeysOf(seen.head.operation).map((one, at) => [one, `rotation key ${at + 1} before`]))
  tellNews(seen, log, mine, new Map([...before, ...names]))
  if (!accept) return alarm(look, seen, log, directory)
  replaceFile(seenPath, logText(log))
  say('', 'From now on all of this counts as seen. Who may undo the operation in force:')
  say(...undoerLines(undoersOf(log, nowMs), names, nowMs))
  return EXIT_FINE
}

/** What counts as seen when nothing was kept: all before the first operation that somebody could have signed unnoticed a moment ago. */
function firstLook(log: VerifiedPlcLog, seenPath: string, nowMs: number): VerifiedPlcLog {
  const young = log.ops.findIndex(({ createdAtMs }, at) => at > 0 && createdAtMs + PLC_RECOVERY_WINDOW_MS >= nowMs)
  const seen = young < 0 ? log : logUntil(log, young)
  writeNewFile(seenPath, logText(seen))
  say(`A first look: kept in ${seenPath}.`)
  if (young >= 0) say('What was done in the last 72 hours is not kept as seen until you say that it was right.')
  return seen
}

/** The log as it was when it had `count` operations: what was undone later wasn't undone then. */
function logUntil({ did, ops }: VerifiedPlcLog, count: number): VerifiedPlcLog {
  const inForce = ops.slice(0, count).reduce<readonly PlcLogEntry[]>((chain, entry) => {
    const { operation } = entry
    const prev = operation.prev
    return [...chain.slice(0, chain.findIndex(({ cid }) => cid === prev) + 1), entry]
  }, [])
  const then = ops.slice(0, count).map((entry) => ({ ...entry, nullified: !inForce.includes(entry) }))
  const head = then.findLast(({ nullified }) => !nullified)
  if (!head) throw new TypeError('a log has a first operation')
  return { did, ops: then, head }
}

/** Says every operation that wasn't seen before, by whom it was and what it undid. */
function tellNews(seen: VerifiedPlcLog, log: VerifiedPlcLog, mine: ReadonlySet<string>, names: KeyNames): void {
  for (const [at, entry] of log.ops.entries()) {
    if (at < seen.ops.length) continue
    const then = logUntil(log, at)
    const chain = inForceOf(then)
    const on = chain.findIndex(({ cid }) => cid === entry.operation.prev)
    const isOut = !rotationKeysOf(then.head.operation).includes(entry.signer)
    say('', whatHappened(entry, mine.has(entry.signer), isOut))
    say(...operationLines(entry, chain[on], names))
    const undone = chain.slice(on + 1)
    if (undone.length > 0) say('  It undid:', ...undone.map(({ cid }) => `    ${cid}`))
    if (entry.nullified) say('  It was undone since.')
  }
}

/** Says what can be done about it, and signs what puts it back where a key was given for that and the DID is typed. */
async function alarm(
  { did, mine, key, keySource, counter }: Look,
  seen: VerifiedPlcLog,
  log: VerifiedPlcLog,
  directory: PlcDirectory,
): Promise<number> {
  const nowMs = systemClock.nowMs()
  const names = new Map([...mine].map((one) => [one, 'your key']))
  say('', 'If all of this was right, run the same again with --accept. If not, there is not much time:')
  if (!key || counter === undefined) {
    for (const one of mine) say(`  with ${named(one, names)}:`, ...placesFor(log, one, nowMs))
    say(
      '  reeve exit, with your recovery key; or this command with --once --key <file> --counter <file>, to put it back as it was',
    )
    return EXIT_FAILED
  }
  const plan = planBack(seen, log, key, nowMs)
  if (typeof plan === 'string') {
    say(`Your key cannot put it back: ${plan}.`, ...placesFor(log, key.didKey, nowMs))
    say('  Try reeve exit, with the mightiest key that you have.')
    return EXIT_FAILED
  }
  say('The operation that puts it back (- goes, + comes):', ...differenceOf(log.head.operation, plan.operation, names))
  say('Who could undo that:', ...undoerLines(plan.course.undoers, names, nowMs))
  if (!(await confirmed(did, keySource)) || !(await isAsPlanned(directory, log, false))) return EXIT_FAILED
  const path = keepOperation(did, signedBy(key, log, plan.operation, systemClock.nowMs()), counter)
  say('Nothing was sent. To send it:', `  reeve exit send ${did} ${path}`)
  return EXIT_FAILED
}

/** The operation that says again what was seen, in its place; or why there is none. */
function planBack(seen: VerifiedPlcLog, log: VerifiedPlcLog, key: RecoveryKey, nowMs: number): PlannedChange | string {
  const before = new Set(inForceOf(seen).map(({ cid }) => cid))
  const common = inForceOf(log).findLast(({ cid }) => before.has(cid))
  const { operation } = seen.head
  if (!common || operation.type !== 'plc_operation')
    return 'what was seen is the end of the identity, or its oldest form'
  const { type: _type, prev: _prev, sig: _sig, ...content } = operation
  try {
    return planChange(log, content, { signer: key.didKey, lastGood: common, nowMs, homeKey: null })
  } catch (error) {
    if (error instanceof Refusal) return error.says
    throw error
  }
}

function placesFor(log: VerifiedPlcLog, text: string, nowMs: number): readonly string[] {
  const key = parseDidKey(text)
  return key ? placeLines(placesOf(log, key.didKey, nowMs), nowMs).map((line) => `  ${line}`) : []
}

function whatHappened({ operation }: PlcLogEntry, isMine: boolean, isOut: boolean): string {
  const did = operation.type === 'plc_tombstone' ? 'ended the identity' : 'changed the identity'
  if (isMine) return `NEW: your own key has ${did}. Was this you? If not, somebody has your key.`
  const who = isOut ? 'a key that is not in the list any more' : 'a key of the list'
  if (isOut && operation.type !== 'plc_tombstone') return `ALARM: ${who} came back, over an operation of a lesser key`
  return `ALARM: ${who} has ${did}`
}
