/** What owners have to see to about the identity of their community: each alarm in a sentence, and in the community's log. */
import { appendAllChained } from '../audit/store.ts'
import type * as defs from '../lexicons/community/reeve/defs.ts'
import { lockRevisions } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import type { Log } from '../platform/log.ts'
import { endAlarm, type IdentityAlarm, type IdentityAlarmName, listAlarms, raiseAlarm } from './identity-alarm-store.ts'
import type { Standing } from './identity-news.ts'

/** An alarm that began or ended. */
export interface AlarmTurn {
  readonly name: IdentityAlarmName
  readonly is: 'raised' | 'ended'
}

/**
 * Makes the alarms of some names be those that stand now, and writes into the community's log what is new and what is over. The actor is the
 * community itself: nobody did it. Nobody's standing moves by it, so neither does the revision.
 */
export async function settleAlarms(
  tx: Tx,
  community: Did,
  names: readonly IdentityAlarmName[],
  standing: readonly Standing[],
  nowMs: number,
): Promise<readonly AlarmTurn[]> {
  const numbers = await lockRevisions(tx, community)
  if (!numbers) return []
  const before = await listAlarms(tx, community)
  const turns: (AlarmTurn & { readonly about: IdentityAlarm['about'] })[] = []
  for (const { name, about } of standing) {
    if (await raiseAlarm(tx, community, name, about, nowMs)) turns.push({ name, is: 'raised', about })
  }
  const over = before.filter(({ name }) => names.includes(name) && !standing.some((one) => one.name === name))
  for (const { name, about } of over) {
    if (await endAlarm(tx, community, name)) turns.push({ name, is: 'ended', about })
  }
  const fact = { community, atMs: nowMs, actor: community, target: community, subject: null }
  const facts = turns.map(({ name, is, about }) => ({
    ...fact,
    action: is === 'raised' ? 'identity.alarm' : 'identity.alarmEnd',
    because: { reasons: [], revision: numbers.revision, alarm: name, cid: about['cid'] ?? null },
  }))
  await appendAllChained(tx, community, facts)
  return turns.map(({ name, is }) => ({ name, is }))
}

/** Tells the operator of each, once what was written is written. */
export function tellTurns(log: Pick<Log, 'error' | 'info'>, community: Did, turns: readonly AlarmTurn[]): void {
  for (const { name, is } of turns) {
    if (is === 'raised') log.error('identity.alarm', { did: community, alarm: name })
    else log.info('identity.alarmEnd', { did: community, alarm: name })
  }
}

/** The alarms as people are told of them, in their order. */
export const alarmsShown = (alarms: readonly IdentityAlarm[]): readonly defs.Caveat[] =>
  alarms.map((alarm) => ({ name: alarm.name, says: SAYS[alarm.name](alarm) }))

const textOf = (about: IdentityAlarm['about'], name: string): string => String(about[name] ?? '')
const instantOf = (about: IdentityAlarm['about'], name: string): string | null => {
  const ms = about[name]
  return typeof ms === 'number' ? isoOf(ms) : null
}

/** Who may undo it, and until when. */
function undoing({ about }: IdentityAlarm): string {
  const until = instantOf(about, 'untilMs')
  if (about['isFinal'] === 1) return 'It can’t be undone any more.'
  if (about['mayUndo'] === null || about['mayUndo'] === undefined || until === null)
    return 'No key stands above the one that signed it, so nobody can undo it.'
  return `It can be undone until ${until} by ${textOf(about, 'mayUndo').replaceAll(' ', ' or ')}, and is final then.`
}

/** What is left to do after a key came back. */
const afterFork = ({ about }: IdentityAlarm): string =>
  about['isFinal'] === 1 || typeof about['counter'] !== 'string'
    ? 'It is the community’s mightiest as it stands: whoever holds it can take the identity away, until they hand it over or it is replaced (key.replaceRecovery).'
    : `The operation that does so follows ${textOf(about, 'forkFrom')} and says again what stood before; your operator has it, ready to be signed.`
/** How far something proposed is, and how it is stopped. */
const stopping = (about: IdentityAlarm['about']): string =>
  typeof about['dueAt'] === 'string'
    ? `It is done at ${about['dueAt']}. ${howToStop(about)}`
    : `It waits for another owner to approve it. ${howToStop(about)}`

const howToStop = (about: IdentityAlarm['about']): string =>
  `If they know nothing of it, stop it, as any one owner can: proposal.cancel with the proposal ${textOf(about, 'proposal')}.`

/** What becomes of owners whom a key named, and how it is stopped. */
function objecting(about: IdentityAlarm['about']): string {
  const dueAt = textOf(about, 'dueAt')
  if (about['isConfirmed'] === 1)
    return `${textOf(about, 'objectedBy')} objected, and it was signed once more: it is so from ${dueAt} on, and nobody can object any more.`
  if (about['objectedBy'] !== null)
    return `${textOf(about, 'objectedBy')} objected. It comes to nothing unless such a key signs it once more: then it is so from ${dueAt} on, and nobody can object.`
  return `It is so from ${dueAt} on. If that is wrong, object until then, as any one owner can (key.objectOwnership): it takes such a key once more then.`
}

const GONE_BY = 'What was last known is gone by, and nothing is written there meanwhile.'
const NOT_TRUE = `The PLC directory shows a log of this identity that can’t be true. ${GONE_BY}`
const TOO_LONG = `The log of this identity at the PLC directory is longer than this service reads. ${GONE_BY} The offline tool (reeve exit) reads longer ones.`
const UNTRUSTED: ReadonlyMap<string, string> = new Map([
  [
    'time-future',
    `The PLC directory dates an operation of this identity later than now: it is wrong, or this service’s clock is. ${GONE_BY} Ask your operator which of the two.`,
  ],
  ['too-many-entries', TOO_LONG],
  ['too-many-bytes', TOO_LONG],
])

const SAYS: Readonly<Record<IdentityAlarmName, (alarm: IdentityAlarm) => string>> = {
  plcRollback: () =>
    'The PLC directory shows less of this identity’s log than it did, or another past. Nothing is written there until it shows again what it showed. Ask your operator which directory is asked.',
  plcUntrusted: ({ about }) => UNTRUSTED.get(String(about['fault'])) ?? NOT_TRUE,
  foreignOperation: (alarm) => {
    const { about } = alarm
    const what = `changed this identity at ${instantOf(about, 'atMs') ?? 'an unknown time'}: ${textOf(about, 'changed')}`
    if (about['isCopy'] === 1) {
      return `This service’s own key, or a copy of it, ${what}. This service didn’t: somebody else has that key. ${undoing(alarm)}`
    }
    return about['isHostile'] === 1
      ? `A key that this service doesn’t know as the community’s own (${textOf(about, 'by')}) ${what}. ${undoing(alarm)} If that was you, there is nothing to do.`
      : `The community’s own key ${what}. If whoever holds it knows of that, there is nothing to do.`
  },
  removedKeyForked: (alarm) =>
    `A key that had been taken out (${textOf(alarm.about, 'by')}) undid its removal. ${undoing(alarm)} ${afterFork(alarm)}`,
  movedAway: ({ sinceMs }) =>
    `The identity names another home since ${isoOf(sinceMs)}. Nobody is let into its spaces here any more; its people may still read and take away their roll.`,
  ended: (alarm) => `The identity was ended at the PLC directory. ${undoing(alarm)}`,
  oursNotLast: ({ about }) =>
    about['isListed'] === 1
      ? 'This service’s key is not the last of those that may change the identity. It changes nothing there until a key above it puts that right.'
      : 'This service’s key is not among those that may change the identity. It can’t change anything there: no handle, and no keys.',
  budgetHalfSpent: () =>
    'Half of the changes that the PLC directory takes for this identity are used up. Whoever may make the rest of them, by a lesser key, can keep you from any.',
  keyExport: ({ about }) => {
    const what = `${textOf(about, 'askedBy')} asked for a copy of this service’s key of the community, for ${textOf(about, 'recipients').replaceAll(' ', ' and ')}.`
    if (typeof about['takenUntil'] !== 'string') return `${what} ${stopping(about)}`
    return `${what} The file is made, and can be taken until ${about['takenUntil']}. ${howToStop(about)}`
  },
  keyExported: () =>
    'A key of this community has a copy outside. Whoever has the copy can do what we can, until the key is replaced.',
  keySuspect: () => 'A key of this community may have been seen by somebody. Replace it.',
  keeperRevoked: ({ about }) =>
    `${textOf(about, 'keepers')} kept a share and is no keeper any more. The share counts outside until the key was replaced: deal a new one to those who stay, and have it put in its place (rekey), within three days.`,
  quorumThin: ({ about }) =>
    `Only ${textOf(about, 'good')} keepers can act, and ${textOf(about, 'k')} have to: with one more lost the key may be lost. Deal a new key to more keepers.`,
  drillDue: () => 'The keepers have not shown for 90 days that they can act together. Have them drill.',
  keyCombinedHere: () =>
    'The key in shares was put together at this service for a moment. Whoever read its memory then has it: replace it.',
  badShare: ({ about }) =>
    `${textOf(about, 'keepers').replaceAll(' ', ' and ')} gave a share that is not theirs for its ceremony, or is damaged. Ask them by another way; if it is lost, deal a new key.`,
  keyMismatch: () =>
    'Shares that were each as dealt did not make the key. Nothing was signed. Deal a new key, by somebody else.',
  ownershipClaimed: ({ about }) =>
    `A key of the community’s own (${textOf(about, 'signedBy')}) named who is to own it, alone: ${textOf(about, 'owners').replaceAll(' ', ' and ')}. ${objecting(about)}`,
  recoveryChange: ({ about }) =>
    `${textOf(about, 'askedBy')} asked for ${textOf(about, 'key')} as the community’s own key: whoever has that can take the identity away. ${stopping(about)}`,
}
