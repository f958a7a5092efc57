/** What `reeve exit` says: how things stand, what is asked, what will happen and what comes after. Pure; whoever prints it escapes it. */
import { PLC_OPERATION_MAX_BYTES } from '../community/plc-builder.ts'
import type { PlannedChange } from '../community/plc-departure.ts'
import { fingerprintOfNewHome, type NewHome } from '../identity/new-home.ts'
import { inForceOf, type PlcPlace, placesOf, undoersOf } from '../identity/plc-course.ts'
import { PLC_RECOVERY_WINDOW_MS, type PlcLogEntry, type VerifiedPlcLog } from '../identity/plc-log.ts'
import { rotationKeysOf } from '../identity/plc-operation.ts'
import type { Did, DidKey } from '../names.ts'
import {
  differenceOf,
  instantOf,
  type KeyNames,
  lengthOf,
  named,
  operationLines,
  operationsOf,
  placeLines,
  undoerLines,
} from './plc-words.ts'

/** How the identity stands now, and where the key may sign. */
export function stateLines(log: VerifiedPlcLog, signer: DidKey, names: KeyNames, nowMs: number): readonly string[] {
  const keys = rotationKeysOf(log.head.operation)
  return [
    `The identity ${log.did}: ${operationsOf(log.ops.length)}, verified from the first on.`,
    `In force since ${instantOf(log.head.createdAtMs)}: ${log.head.cid}`,
    `  signed by ${named(log.head.signer, names)}`,
    keys.length === 0
      ? 'It has been ended. Nobody may sign behind the end; a mightier key than the one that ended it may undo it for 72 hours.'
      : 'Who may change it, mightiest first. Each may undo for 72 hours what those below did:',
    ...keys.map((key, at) => `  ${at + 1}. ${named(key, names)}`),
    'Who may undo the operation in force now:',
    ...undoerLines(undoersOf(log, nowMs), names, nowMs),
    'Where your key may sign now:',
    ...placeLines(placesOf(log, signer, nowMs), nowMs),
  ]
}

/** Why the key can do nothing, and what that means: a wrong file and a wrong clock are no lost community. */
export function noPlaceLines(log: VerifiedPlcLog, signer: DidKey, nowMs: number): readonly string[] {
  const places = placesOf(log, signer, nowMs)
  const clock = `By the clock of this computer it is ${instantOf(nowMs)} (UTC). If that is wrong, set it right and run this again.`
  if (!log.ops.some(({ operation }) => rotationKeysOf(operation).includes(signer)))
    return ['', 'This key has never been in the list of this identity. Is it the right file, and the right DID?']
  if (places.some(({ refusal }) => refusal === 'time-order'))
    return ['', 'The log is dated later than now, so nothing can be said about what comes next.', clock]
  const late = places.find(({ refusal }) => refusal === 'recovery-late')
  const [first] = late?.undoes ?? []
  return [
    '',
    'Your key can change nothing here any more.',
    clock,
    ...(first
      ? [
          'The dates are the word of this directory alone: nobody signs them. Ask a second one, by --plc <its https address>.',
          'If you know that the first operation to be undone is younger than 72 hours, sign all the same. It goes into a file, for a',
          'directory that has it dated right:',
          `  the same command with --although-late --undo-from ${first.cid}`,
          'If the dates are true, tell the members by another way, and found the community anew: nobody can help against this.',
        ]
      : [
          'If it is right, tell the members by another way, and found the community anew. Nobody can help against this.',
        ]),
  ]
}

/** What of the new identity would bring a former home along; `isShared`: the key that signs is a home's key itself. */
export function formerLines(
  former: readonly string[],
  { names, isShared, isThere }: { names: KeyNames; isShared: boolean; isThere: boolean },
): readonly string[] {
  if (isThere) return ['', 'The identity names this new home already: there is nothing to sign.']
  return [
    '',
    isShared
      ? 'The old home has a copy of your key: it stands, or stood, where a home has its own key. Whoever keeps it stays within its reach.'
      : 'STOP. The identity would name again what it has named before. That belongs to a home that it had:',
    ...(isShared ? [] : former.map((one) => `  ${named(one, names)}`)),
    ...(isShared
      ? [
          'Make a new recovery key, which nobody else has, and let it take the place of this one:',
          '  reeve recovery new new.key',
          '  the same command with --new-recovery-key new.key',
        ]
      : [
          'Whoever gave you this may be the old home itself. If a key among these is your own, make a new one in its place.',
        ]),
    'Nothing was signed, and nothing was sent.',
  ]
}

/** What others did and the person has to decide about. */
export function undecidedLines(
  log: VerifiedPlcLog,
  doubtful: readonly PlcLogEntry[],
  names: KeyNames,
  nowMs: number,
): readonly string[] {
  const chain = inForceOf(log)
  const [first] = doubtful
  return [
    '',
    'Others have changed the identity lately. You can still undo this; what you undo takes all behind it along:',
    ...doubtful.flatMap((entry) => [
      '',
      ...operationLines(entry, chain[chain.indexOf(entry) - 1], names),
      `  can be undone for another ${lengthOf(entry.createdAtMs + PLC_RECOVERY_WINDOW_MS - nowMs)}`,
    ]),
    '',
    'Say which. Run the same again, with one of:',
    '  --keep                  all of this was right, and its names stay',
    `  --undo-from ${first?.cid}   undo from there on; or another of the names above`,
  ]
}

/** What will happen, to whom, and who could undo it. */
export function planLines(
  log: VerifiedPlcLog,
  { operation, course, leaving, signedBytes }: PlannedChange,
  more: {
    undone: readonly PlcLogEntry[]
    home: NewHome | null
    names: KeyNames
    nowMs: number
    /** Keys of the community that go, besides the one that signs. */
    going: readonly string[]
    /** By the dates of this log it is too late for the change. */
    isLate: boolean
  },
): readonly string[] {
  const { names, nowMs, home, going } = more
  return [
    ...placeOfPlan(log, course.place, more),
    '',
    'From now on the identity says (- goes, + comes):',
    ...differenceOf(log.head.operation, operation, names),
    ...(home
      ? [
          `The new home is ${home.service}, by a statement of ${home.issuedAt}.`,
          `FIRST OWNER THERE: ${home.for}. Is that you?`,
          `Its key: ${home.rotationKey}`,
          `Fingerprint of the statement: ${fingerprintOfNewHome(home)}`,
          'Have it read to you by the new home over another way (community.takeIn shows it there), and compare.',
        ]
      : ['There is no new home: these keys are all there is. Apps find the community again once it has one.']),
    '',
    'Who could undo this, once it is in the log:',
    ...undoerLines(course.undoers, names, nowMs),
    ...(course.ok ? [] : unsafeLines(leaving, names, course.safeAtMs)),
    ...lengthLines(signedBytes),
    '',
    'What stays as it was for a while: credentials that the old home has given hold to their end, ten minutes as a rule and two hours',
    'at most. Until others have looked at the identity again, minutes to an hour at careful hosts and a day at worst, they believe',
    'new ones of the old home as well. Members and roles are not in the identity: bring your copy of the roll.',
    'To take it back: the same key can sign another change behind this one, at any time. What was undone is gone for good.',
    ...(going.length === 0
      ? []
      : [
          '',
          "KEYS OF THE COMMUNITY THAT GO. They are not known as the old home's. Whoever has one can change nothing with it any more:",
          ...going.map((key) => `  ${named(key, names)}`),
          'To keep one that is yours: the same command with --rotation-key <did:key>. It keeps its rank.',
        ]),
  ]
}

/** A warning, where not every directory may take it. */
const lengthLines = (signedBytes: number): readonly string[] =>
  signedBytes <= PLC_OPERATION_MAX_BYTES
    ? []
    : [
        '',
        `This operation is long: ${signedBytes} bytes. Some directories take ${PLC_OPERATION_MAX_BYTES} at most. If it is refused, keep fewer names.`,
      ]

/** Where the operation goes and what it undoes, and why. */
function placeOfPlan(
  log: VerifiedPlcLog,
  place: PlcPlace,
  { undone, names, nowMs, isLate }: { undone: readonly PlcLogEntry[]; names: KeyNames; nowMs: number; isLate: boolean },
): readonly string[] {
  const chain = inForceOf(log)
  const repeated = place.undoes.filter((entry) => !undone.includes(entry))
  const what = (entries: readonly PlcLogEntry[]) =>
    entries.flatMap((entry) => operationLines(entry, chain[chain.indexOf(entry) - 1], names).map((line) => `  ${line}`))
  return [
    '',
    place.undoes.length === 0
      ? 'The new operation goes behind the last one, and undoes nothing.'
      : `The new operation goes behind ${place.prev.cid}, and undoes what stands there.`,
    ...(isLate
      ? [
          'By the dates of this log it is too late for this. It is signed into a file, for a directory that has other dates.',
        ]
      : []),
    ...(place.untilMs === null || isLate
      ? []
      : [`You have ${lengthOf(place.untilMs - nowMs)} for this, until ${instantOf(place.untilMs)}.`]),
    ...(undone.length === 0 ? [] : ['Undone for good:', ...what(undone)]),
    ...(repeated.length === 0
      ? []
      : [
          'Undone, and what should stay of it is said again. A key that leaves stands above the one that signed this, so that it',
          'could come back over it, and take its own removal along:',
          ...what(repeated),
        ]),
  ]
}

/** The same for another recovery key in the place of the one before. */
export const replaceLines = (
  log: VerifiedPlcLog,
  { operation, course, leaving, signedBytes }: PlannedChange,
  names: KeyNames,
  nowMs: number,
): readonly string[] => [
  ...placeOfPlan(log, course.place, { undone: [], names, nowMs, isLate: false }),
  '',
  'From now on the identity says (- goes, + comes):',
  ...differenceOf(log.head.operation, operation, names),
  '',
  'Who could undo this, once it is in the log:',
  ...undoerLines(course.undoers, names, nowMs),
  ...(course.ok ? [] : [...unsafeLines(leaving, names, course.safeAtMs), 'So it is not signed.']),
  ...lengthLines(signedBytes),
  '',
  'If any of the operations above was not right, do not repeat it: leave with reeve exit.',
  'Keep the old key file until the log has shown the new key for 72 hours. Then destroy it, and every copy.',
]

const unsafeLines = (leaving: readonly string[], names: KeyNames, safeAtMs: number | null): readonly string[] => [
  'One of the keys that leave is among them:',
  ...leaving.map((key) => `  ${named(key, names)}`),
  safeAtMs === null
    ? 'Waiting does not help: it stands above your key. Sign with a mightier key of the community, if there is one.'
    : `If nobody signs anything until then, it is safe at ${instantOf(safeAtMs + 999)}.`,
]

/** What the next commands are to be given, as they were given to this one. */
interface Given {
  readonly plc?: string
  readonly known?: string
}

/** What to do next. */
export const afterwards = (did: Did, mine: DidKey, home: NewHome | null, { plc, known }: Given): readonly string[] => [
  '',
  'What to do next:',
  ...(home
    ? [
        `  1. call community.takeIn at ${home.service} once more, as ${home.for},`,
        '     with the same did and name: it answers active, and the community is open there',
        '  2. bring your copy of the roll there: roles, spaces, people, bans (docs/leaving.md)',
      ]
    : [
        '  1. when you have a new home: community.takeIn there, and reeve exit --to with what it answers',
        '  2. keep your copy of the roll safe: it is what a new home will need',
      ]),
  '  3. watch the identity for 72 hours, every 6 hours, then daily:',
  `     reeve exit watch ${did} --mine ${mine}${optionOf('seen', known)}${optionOf('plc', plc)}`,
  '  4. tell those who run apps and hosts that were registered with the old home to register again',
  '  5. if anybody answers with another operation, run reeve exit again: it will say what can be done',
]

const optionOf = (name: string, value: string | undefined): string =>
  value === undefined ? '' : ` --${name} ${quoted(value)}`

/** A word as a shell takes it. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)
