/**
 * What in a log belongs to the homes that a community had: keys and addresses that must not come along when it leaves. Pure.
 *
 * An old home may hand out the statement of its own successor, or have a copy of the very key that the community leaves with. Whoever
 * took one of these over would have moved nowhere, and would read that nobody can undo it.
 */
import { isDeepStrictEqual } from 'node:util'
import type { PlcLogEntry, VerifiedPlcLog } from '../identity/plc-log.ts'
import { type AnyPlcOperation, rotationKeysOf } from '../identity/plc-operation.ts'
import type { DidKey } from '../names.ts'
import type { Destination } from './plc-departure.ts'

/**
 * Rotation keys of homes: those that came into the log as the last one (or the only one) of an operation that names a service. A key that
 * stood higher first is none, so nobody makes it look like one by putting it last later. `dealt`: a key in shares, by the packet of a keeper; it
 * stands last where no home has a key, and no home ever had it.
 */
export function homeKeysOf({ ops }: Pick<VerifiedPlcLog, 'ops'>, dealt: DidKey | null = null): ReadonlySet<string> {
  const met = new Set<string>()
  const homes = new Set<string>()
  for (const { operation } of ops) {
    const keys = rotationKeysOf(operation)
    const last = keys.at(-1)
    if (last !== undefined && last !== dealt && endpointsOf(operation).length > 0 && !met.has(last)) homes.add(last)
    for (const key of keys) met.add(key)
  }
  return homes
}

/**
 * A log without the earlier tries to go to this same home: undone operations, by no home's key, that name it exactly so. It isn't a former
 * home because somebody kept the community from it once.
 */
export function withoutTries(log: VerifiedPlcLog, wanted: Destination, dealt: DidKey | null = null): VerifiedPlcLog {
  const homes = homeKeysOf(log, dealt)
  const isTry = ({ operation, nullified, signer }: PlcLogEntry): boolean =>
    nullified && !homes.has(signer) && namesHome(operation, wanted)
  return wanted.homeKey === null ? log : { ...log, ops: log.ops.filter((entry) => !isTry(entry)) }
}

/** Whether an operation puts a community at exactly this home. */
export const namesHome = (
  operation: AnyPlcOperation,
  { homeKey, verificationMethods, services }: Destination,
): boolean =>
  operation.type === 'plc_operation' &&
  operation.rotationKeys.at(-1) === homeKey &&
  isDeepStrictEqual(operation.verificationMethods, verificationMethods) &&
  isDeepStrictEqual(operation.services, services)

export interface Leaver {
  /** Keys that the person has opened, from files of their own: the one that signs among them. */
  readonly mine: ReadonlySet<string>
  /** The last operation that stays: its keys may stay too. */
  readonly lastGood: PlcLogEntry
  /** As `homeKeysOf`. */
  readonly dealt?: DidKey | null
}

/**
 * The keys and addresses of a destination that would bring a former home along, undone operations counted. A home's rotation key always does,
 * also one that the person has a copy of. Another rotation key may stay when it is theirs, or stands in the list that stays. Anything else
 * that the log has named does; but without a new home, what the person's own keys alone have put there is their own.
 */
export function formerIn(
  log: VerifiedPlcLog,
  wanted: Destination,
  { mine, lastGood, dealt = null }: Leaver,
): readonly string[] {
  const { rotationKeys, homeKey, verificationMethods, services } = wanted
  const { ops } = withoutTries(log, wanted, dealt)
  const homes = homeKeysOf({ ops }, dealt)
  const stays = new Set(rotationKeysOf(lastGood.operation))
  const isNamed = (value: string, valuesOf: (operation: AnyPlcOperation) => readonly string[]): boolean =>
    ops.some(({ operation, signer }) => valuesOf(operation).includes(value) && (homeKey !== null || !mine.has(signer)))
  const isFormer = (key: DidKey): boolean => {
    if (homes.has(key)) return true
    if (key !== homeKey && (mine.has(key) || stays.has(key))) return false
    return ops.some(({ operation }) => keysOf(operation).includes(key))
  }
  const places = new Set(Object.values(services).map(({ endpoint }) => endpoint))
  return [
    ...new Set([
      ...rotationKeys.filter(isFormer),
      ...Object.values(verificationMethods).filter((key) => homes.has(key) || isNamed(key, keysOf)),
      ...[...places].filter((endpoint) => isNamed(hostOf(endpoint), (one) => endpointsOf(one).map(hostOf))),
    ]),
  ]
}

function keysOf(operation: AnyPlcOperation): readonly string[] {
  const keys = rotationKeysOf(operation)
  return operation.type === 'plc_operation' ? [...keys, ...Object.values(operation.verificationMethods)] : keys
}

function endpointsOf(operation: AnyPlcOperation): readonly string[] {
  if (operation.type === 'create') return [operation.service]
  return operation.type === 'plc_operation' ? Object.values(operation.services).map(({ endpoint }) => endpoint) : []
}

/** Host and port: a slash behind an address, or another scheme, is no other home. */
const hostOf = (endpoint: string): string => (URL.canParse(endpoint) ? new URL(endpoint).host : endpoint)
