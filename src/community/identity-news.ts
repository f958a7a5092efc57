/**
 * What a verified PLC log means for a community whose keys are here: whether this is still its home, who wrote to it besides us, and what
 * its owners have to see to. Pure.
 *
 * An operation by somebody else is in force for good after 72 hours. Whoever is told too late, or told of the wrong key, has lost the
 * community; whoever is told without cause learns to look away.
 */
import type { DidDocument, KeyName } from '../identity/document.ts'
import { PLC_RECOVERY_WINDOW_MS, type PlcLogEntry, type VerifiedPlcLog } from '../identity/plc-log.ts'
import { type AnyPlcOperation, rotationKeysOf, type UnsignedPlcOperation } from '../identity/plc-operation.ts'
import type { HeldKey } from '../keys/store.ts'
import type { DidKey } from '../names.ts'
import { didKeyOf, parseDidKey } from '../platform/multikey.ts'
import type { IdentityAlarm, IdentityAlarmName } from './identity-alarm-store.ts'

/** What is ours about an identity. */
export interface Ours {
  /** Where this service answers. */
  readonly publicUrl: string
  /** Every rotation key that we ever had for it. */
  readonly rotationKeys: ReadonlySet<string>
  /** Those that may stand in the list now: active, and the one before and after it. */
  readonly currentRotationKeys: ReadonlySet<string>
  /** Keys that sign for it, now or a moment ago or in a moment. */
  readonly signingKeys: ReadonlySet<string>
  /** Operations that we know as ours. */
  readonly operations: ReadonlySet<string>
  /** The operation with which it came to be here: what is before that is no news. */
  readonly since: string | null
  /** The community's own key, as we know it. */
  readonly recoveryKey: DidKey | null
  /** The key in shares that is in force; null or left out: there is none. */
  readonly inShares?: DidKey | null
  /** Whether its keepers alone decide, so that none of our keys is to stand there. */
  readonly isStrict?: boolean
  /** Every key in shares there ever was: none of them is a member's own. */
  readonly everInShares?: ReadonlySet<string>
  /** Those that were before. */
  readonly formerRecoveryKeys?: readonly string[]
}

/** States in which a key may stand in the document. A key is stored before the operation that names it leaves the house. */
const CURRENT: ReadonlySet<HeldKey['state']> = new Set(['pending', 'active', 'retiring'])

/** What is ours, by the keys as they are stored. */
export function oursOf(
  keys: readonly HeldKey[],
  about: Pick<
    Ours,
    | 'publicUrl'
    | 'operations'
    | 'since'
    | 'recoveryKey'
    | 'formerRecoveryKeys'
    | 'inShares'
    | 'isStrict'
    | 'everInShares'
  >,
): Ours {
  const namesOf = (which: (key: HeldKey) => boolean) => new Set(keys.filter(which).map(({ didKey }) => didKey))
  return {
    ...about,
    rotationKeys: namesOf(({ purpose }) => purpose === 'rotation'),
    currentRotationKeys: namesOf(({ purpose, state }) => purpose === 'rotation' && CURRENT.has(state)),
    signingKeys: namesOf(({ purpose, state }) => (purpose === 'atproto' || purpose === 'space') && CURRENT.has(state)),
  }
}

/** What a document, or the operation behind it, names as the home of a DID. */
interface Named {
  readonly keys: readonly (string | null | undefined)[]
  readonly endpoint: string | null
}

const KEYS: readonly KeyName[] = ['atproto_space', 'atproto']

/**
 * Whether this is the home: one of the two signing keys is ours, and people are led to our address, by the service of a space host, or where
 * there is none by that of a PDS. One key of two is enough, so that an owner who adds a key of their own doesn't shut the community down.
 */
const isHome = ({ keys, endpoint }: Named, ours: Ours): boolean =>
  keys.some((key) => typeof key === 'string' && ours.signingKeys.has(key)) &&
  endpoint?.replace(/\/$/, '') === ours.publicUrl.replace(/\/$/, '')

/** Whether a document names this service. */
export function documentNamesUs(document: Pick<DidDocument, 'key' | 'service'>, ours: Ours): boolean {
  const keys = KEYS.map((name) => document.key(name)).map((key) => key && didKeyOf(key.curve, key.compressed))
  const host = document.service('atproto_space_host')
  const service = host === 'absent' ? document.service('atproto_pds') : host
  return isHome({ keys, endpoint: typeof service === 'object' ? service.endpoint : null }, ours)
}

/** Where the operation in force says that the DID lives. */
export function homeOf({ operation }: PlcLogEntry, ours: Ours): 'here' | 'elsewhere' | 'ended' {
  if (operation.type === 'plc_tombstone') return 'ended'
  if (operation.type === 'create') return 'elsewhere'
  const { verificationMethods, services } = operation
  const keys = KEYS.map((name) => parseDidKey(verificationMethods[name])?.didKey)
  const endpoint = (services['atproto_space_host'] ?? services['atproto_pds'])?.endpoint ?? null
  return isHome({ keys, endpoint }, ours) ? 'here' : 'elsewhere'
}

export interface Standing {
  readonly name: IdentityAlarmName
  readonly about: IdentityAlarm['about']
}

export interface News {
  /** What owners have to see to now, by this log. Whatever isn't among it is over. */
  readonly alarms: readonly Standing[]
  /** Until when nothing is to be signed: somebody else changed who may change the identity. */
  readonly quietUntilMs: number | null
}

/** What was told before this log was read. */
export interface Told {
  /** How many operations of it were judged by then. */
  readonly judged: number
  /** What stands. */
  readonly alarms: readonly IdentityAlarm[]
}

/** For so long is told what nobody could be told in time, and what an enemy did: owners don't look every day. */
export const TOLD_MS = 7 * 24 * 60 * 60 * 1000

/**
 * What a log means now. It is judged anew each time, so that nothing is lost with a process that read it and died: operations by others
 * are told of for 72 hours, as long as a mightier key may undo them; what the one in force says, as long as it says so. What was undone is
 * over. What came since the last judgement is told for a week when it is an enemy's, or when its 72 hours were over before anybody saw it.
 * The caller has made sure that the log goes on from what was seen before.
 */
export function judgeNews(log: VerifiedPlcLog, known: Ours, nowMs: number, before?: Told): News {
  const ours = { ...known, ...recoveryBy(log, known) }
  const foreign = foreignOperations(log, ours).filter(({ entry }) => !entry.nullified)
  const keptBy = before ? keptNews(foreign, nowMs, before) : null
  const isOpen = ({ entry, at }: Foreign) => nowMs <= untilOf(entry) || (keptBy !== null && at >= keptBy.toldFrom)
  const open = foreign.filter(isOpen)
  const forks = open.filter((one) => one.broughtBack !== null)
  // Whoever undoes the first of the hostile ones undoes those after it as well, and its time ends first.
  const plain = open.filter((one) => one.broughtBack === null)
  const told = plain.find(({ isHostile }) => isHostile) ?? plain.at(-1)
  const fork = forks.at(0)
  const kept = ({ name, about }: Standing): Standing => ({ name, about: { ...about, ...keptBy } })
  return {
    alarms: [
      ...(told ? [kept(foreignAlarm(log, ours, told, plain.length))] : []),
      ...(fork ? [kept(forkAlarm(log, fork))] : []),
      ...headAlarms(log, ours),
    ].map((standing) => withEnd(standing, nowMs)),
    quietUntilMs: quietUntil(log, foreign, nowMs),
  }
}

/** Whether a young operation changed who may change the identity, whoever it was by. Where none did, nobody has to wait. */
export const hasYoungTurn = ({ ops }: VerifiedPlcLog, nowMs: number): boolean =>
  ops.some((entry) => entry.operation.prev !== null && nowMs < untilOf(entry) && isTurn(ops, entry))

/** Whether an operation changed who may change the identity. */
const isTurn = (ops: readonly PlcLogEntry[], entry: PlcLogEntry): boolean =>
  entry.operation.type !== 'plc_tombstone' && keysBefore(ops, entry).join() !== rotationKeysOf(entry.operation).join()

/** Until when nothing is to be signed by this log; null: no operation by others asks for it. */
export function quietBy(log: VerifiedPlcLog, known: Ours, nowMs: number): number | null {
  const ours = { ...known, ...recoveryBy(log, known) }
  return quietUntil(
    log,
    foreignOperations(log, ours).filter(({ entry }) => !entry.nullified),
    nowMs,
  )
}

/** From which operation on, and until when, is told what would be over by its own time. It is kept in the alarms themselves. */
function keptNews(
  foreign: readonly Foreign[],
  nowMs: number,
  { judged, alarms }: Told,
): { readonly toldFrom: number; readonly toldUntilMs: number } | null {
  const kept = alarms.flatMap(({ name, about: { toldFrom, toldUntilMs } }) => {
    const isOne = name === 'foreignOperation' || name === 'removedKeyForked'
    if (!isOne || typeof toldFrom !== 'number' || typeof toldUntilMs !== 'number') return []
    return nowMs <= toldUntilMs ? [{ toldFrom, toldUntilMs }] : []
  })
  const fresh = foreign.find(({ at, entry, isHostile }) => at >= judged && (isHostile || nowMs > untilOf(entry)))
  if (fresh) kept.push({ toldFrom: fresh.at, toldUntilMs: nowMs + TOLD_MS })
  if (kept.length === 0) return null
  return {
    toldFrom: Math.min(...kept.map(({ toldFrom }) => toldFrom)),
    toldUntilMs: Math.max(...kept.map(({ toldUntilMs }) => toldUntilMs)),
  }
}

/** With whether the time in which it can be undone is over. */
const withEnd = ({ name, about }: Standing, nowMs: number): Standing =>
  typeof about['untilMs'] === 'number'
    ? { name, about: { ...about, isFinal: nowMs > about['untilMs'] ? 1 : 0 } }
    : { name, about }

/**
 * The community's own key by this log, and those before it. It goes on from the last that is known: each operation in force by which it
 * hands its first place over makes another key the community's own, and what follows is that one's. One of those before it that stands first
 * again is the community's own again, however it came back. Where ours alone may change the identity, there is none. A key of ours never is.
 */
export function recoveryBy(log: VerifiedPlcLog, ours: Ours): Pick<Ours, 'recoveryKey' | 'formerRecoveryKeys'> {
  const { recoveryKey, formerRecoveryKeys = [] } = ours
  const listed = rotationKeysOf(log.head.operation)
  const passed = handedOver(log, ours)
  const known = [...formerRecoveryKeys, ...passed]
  const first = parseDidKey(listed[0])?.didKey ?? null
  const isBack = first !== null && known.includes(first) && !ours.rotationKeys.has(first)
  const areOurs =
    listed.length > 0 && listed.every((key) => ours.rotationKeys.has(key) || ours.everInShares?.has(key) === true)
  const now = areOurs ? null : isBack ? first : (passed.at(-1) ?? recoveryKey)
  const former = new Set([...known, ...(recoveryKey === null ? [] : [recoveryKey])])
  return { recoveryKey: now, formerRecoveryKeys: [...former].filter((key) => key !== now) }
}

/** The keys to which the community's own handed its place over, one after the other. */
function handedOver({ ops }: VerifiedPlcLog, ours: Ours): readonly DidKey[] {
  const { since, recoveryKey } = ours
  const isNobodys = (key: string) => ours.rotationKeys.has(key) || ours.everInShares?.has(key) === true
  const passed: DidKey[] = []
  if (recoveryKey === null) return passed
  let own = recoveryKey
  for (const entry of ops.slice(ops.findIndex(({ cid }) => cid === since) + 1)) {
    const next = parseDidKey(rotationKeysOf(entry.operation)[0])?.didKey
    if (entry.nullified || entry.signer !== own || next === undefined || next === own || isNobodys(next)) continue
    if (keysBefore(ops, entry)[0] !== own) continue
    own = next
    passed.push(own)
  }
  return passed
}

const untilOf = ({ createdAtMs }: PlcLogEntry): number => createdAtMs + PLC_RECOVERY_WINDOW_MS

interface Foreign {
  readonly entry: PlcLogEntry
  /** Its place in the log. */
  readonly at: number
  /** The operation in force when it came. */
  readonly before: PlcLogEntry
  readonly isHostile: boolean
  /** The operation by which its signer had been taken out, and which it undid. */
  readonly broughtBack: PlcLogEntry | null
}

/** Every operation that is not ours, in the directory's order, with what it came upon. */
function foreignOperations({ ops }: VerifiedPlcLog, ours: Ours): readonly Foreign[] {
  const sinceAt = ops.findIndex(({ cid }) => cid === ours.since)
  let chain: readonly PlcLogEntry[] = []
  const found: Foreign[] = []
  /** Those who came back against what was decided: what they do then is no friend's. */
  const back = new Set<string>()
  for (const [at, entry] of ops.entries()) {
    const place = chain.findIndex(({ cid }) => cid === entry.operation.prev)
    const undone = chain.slice(place + 1)
    const before = chain.at(-1)
    chain = [...chain.slice(0, place + 1), entry]
    if (!before || at <= sinceAt) continue
    const broughtBack = removalUndoneBy(entry, ops, undone, ours)
    if (broughtBack && !entry.nullified) back.add(entry.signer)
    // By what was signed here, not by whose key signed it: there may be a copy of ours.
    if (ours.operations.has(entry.cid) && !broughtBack) continue
    const isHostile =
      back.has(entry.signer) || broughtBack !== null || !isCommunitys(ours, entry, keysBefore(ops, entry))
    found.push({ entry, at, before, broughtBack, isHostile })
  }
  return found
}

/** Whether the community's own key signed it, or one that was that then: one that stood first. */
const isCommunitys = (
  { recoveryKey, everInShares, formerRecoveryKeys = [] }: Ours,
  { signer }: PlcLogEntry,
  keys: readonly string[],
): boolean =>
  signer === recoveryKey ||
  // Also one that was replaced: it signed its own replacement. What it signs after that undoes it, and is told as that.
  everInShares?.has(signer) === true ||
  (keys[0] === signer && formerRecoveryKeys.includes(signer))

/**
 * The operation that had taken out the signer of this one, and is undone by it: by the signer itself or by a key above it, or by us, for
 * those who decide here; else the one who comes back is whom a lesser key tried to lock out.
 */
function removalUndoneBy(
  { signer }: PlcLogEntry,
  ops: readonly PlcLogEntry[],
  undone: readonly PlcLogEntry[],
  ours: Ours,
): PlcLogEntry | null {
  const isRemoval = (one: PlcLogEntry): boolean => {
    const keys = keysBefore(ops, one)
    const [own, by] = [keys.indexOf(signer), keys.indexOf(one.signer)]
    const isRightful = by <= own || ours.operations.has(one.cid)
    return own >= 0 && by >= 0 && isRightful && !rotationKeysOf(one.operation).includes(signer)
  }
  // A tombstone takes everybody out; whoever undoes one of their own brings nobody back.
  return undone.find((one) => one.operation.type !== 'plc_tombstone' && isRemoval(one)) ?? null
}

const prevOf = (ops: readonly PlcLogEntry[], { operation }: PlcLogEntry): PlcLogEntry | undefined =>
  ops.find(({ cid }) => cid === operation.prev)

/** The keys by which an operation had to be signed, mightiest first. */
function keysBefore(ops: readonly PlcLogEntry[], entry: PlcLogEntry): readonly string[] {
  const prev = prevOf(ops, entry)
  return prev ? rotationKeysOf(prev.operation) : []
}

/** What is told of each: who signed it, until when it can be undone, and by whom. */
function particularsOf({ ops }: VerifiedPlcLog, entry: PlcLogEntry) {
  const keys = keysBefore(ops, entry)
  const above = keys.slice(0, Math.max(0, keys.indexOf(entry.signer)))
  return {
    cid: entry.cid,
    by: entry.signer,
    atMs: entry.createdAtMs,
    untilMs: untilOf(entry),
    mayUndo: above.length === 0 ? null : above.join(' '),
  }
}

function foreignAlarm(log: VerifiedPlcLog, ours: Ours, { entry, before, isHostile }: Foreign, count: number): Standing {
  const changed = changesBetween(before.operation, entry.operation).join(', ')
  const isCopy = ours.rotationKeys.has(entry.signer) ? 1 : 0
  const about = { ...particularsOf(log, entry), isHostile: isHostile ? 1 : 0, isCopy, changed, count }
  return { name: 'foreignOperation', about }
}

/** What an operation changed, in words. */
function changesBetween(before: AnyPlcOperation, after: AnyPlcOperation): readonly string[] {
  if (after.type === 'plc_tombstone') return ['its end']
  if (before.type !== 'plc_operation' || after.type !== 'plc_operation') return ['everything']
  const parts = [
    ['who may change it', before.rotationKeys, after.rotationKeys],
    ['its signing keys', inOrder(before.verificationMethods), inOrder(after.verificationMethods)],
    ['where it is served', inOrder(before.services), inOrder(after.services)],
    ['its names', before.alsoKnownAs, after.alsoKnownAs],
  ] as const
  const changed = parts.filter(([, one, other]) => JSON.stringify(one) !== JSON.stringify(other)).map(([what]) => what)
  return changed.length === 0 ? ['nothing'] : changed
}

const inOrder = (members: Readonly<Record<string, unknown>>) =>
  Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1))

function forkAlarm(log: VerifiedPlcLog, { entry, before, broughtBack }: Foreign): Standing {
  const { prev: forkFrom } = entry.operation
  const particulars = particularsOf(log, entry)
  const counter = particulars.mayUndo === null ? null : counterTo(entry, before)
  const about = { ...particulars, undone: broughtBack?.cid ?? null, forkFrom, counter }
  return { name: 'removedKeyForked', about }
}

/**
 * The operation, without its signature, by which a mightier key undoes a fork: it follows what the fork follows, and says what was in force
 * before. As JSON; null when nothing that can be said again was.
 */
function counterTo(fork: PlcLogEntry, { operation }: PlcLogEntry): string | null {
  if (operation.type !== 'plc_operation') return null
  const { sig: _, ...said } = operation
  return JSON.stringify({ ...said, prev: fork.operation.prev } satisfies UnsignedPlcOperation)
}

/** What the operation in force is enough to tell. */
function headAlarms(log: VerifiedPlcLog, ours: Ours): readonly Standing[] {
  const { head } = log
  const home = homeOf(head, ours)
  if (home === 'ended') return [{ name: 'ended', about: particularsOf(log, head) }]
  if (home === 'elsewhere') return []
  const keys = rotationKeysOf(head.operation)
  const last = keys.at(-1)
  if (last !== undefined && ours.currentRotationKeys.has(last)) return []
  const isListed = keys.some((key) => ours.currentRotationKeys.has(key))
  // Where keepers decide alone, none of ours is to stand there.
  if (!isListed && ours.isStrict && keys.some((key) => key === ours.inShares)) return []
  return [{ name: 'oursNotLast', about: { cid: head.cid, isListed: isListed ? 1 : 0 } }]
}

/** A key that was taken out may come back over an operation of a lesser one as long as the log around it is young. */
function quietUntil({ ops }: VerifiedPlcLog, foreign: readonly Foreign[], nowMs: number): number | null {
  const turns = foreign.filter(({ entry }) => isTurn(ops, entry))
  if (turns.length === 0) return null
  // Whatever day an operation bears: 72 hours from now nobody can undo it any more.
  return Math.min(Math.max(...turns.map(({ entry }) => untilOf(entry))), nowMs + PLC_RECOVERY_WINDOW_MS)
}
