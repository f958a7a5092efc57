/** What a ceremony comes to, with everything that follows from it here: in one transaction, whoever put the shares together. */

import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { Random } from '../platform/random.ts'
import type { Permit } from '../policy/verdict.ts'
import { requireKeyOf, requireNoClaim } from './ceremony-basis.ts'
import { sharesIn } from './ceremony-course.ts'
import { listCounted } from './ceremony-seats.ts'
import {
  type Ceremony,
  type CeremonyState,
  endCeremony,
  moveCeremony,
  OPEN_STATES,
  saveSigned,
} from './ceremony-store.ts'
import { endAlarm, listAlarms } from './identity-alarm-store.ts'
import { settleAlarms } from './identity-alarms.ts'
import { makeClaim } from './ownership-claims.ts'
import { settleKeepers } from './quorum-alarms.ts'
import { beginPlacement, keepConcluded } from './quorum-operations.ts'
import { loadActiveQuorum, moveQuorumKey, noteDrill } from './quorum-store.ts'

export interface EndCtx {
  readonly random: Random
}

/** Moves a ceremony to where its deeds have brought it. */
export async function moveOn(tx: Tx, { id, state: from }: Ceremony, to: CeremonyState, nowMs: number): Promise<void> {
  if (to === from) return
  if (to === 'done' || to === 'cancelled') await endCeremony(tx, id, { state: to }, nowMs)
  else await moveCeremony(tx, id, OPEN_STATES, to)
}

interface About {
  /** Whose act it was that brought it to its end. */
  readonly askedBy: Did
  readonly nowMs: number
}

/**
 * Keeps the signature of the key in shares, which was looked at, and does what the ceremony was for: notes a drill, and has a new key put in its
 * place; has an operation sent; names owners. Answers particulars for the audit.
 * @throws Refusal BadCeremony where the key is not in force any more; PlcConflict, RotationUnderWay, CoolingDown: the same can be given
 * again later; BadRecoveryProof (see `makeClaim`)
 */
export async function conclude(
  ctx: EndCtx,
  tx: Tx,
  permit: Permit<'keys.ceremony'>,
  ceremony: Ceremony,
  signature: string,
  { askedBy, nowMs }: About,
): Promise<Readonly<Record<string, string>>> {
  const { id, community, kind, statement } = ceremony
  const key = await requireKeyOf(tx, ceremony)
  const shares = sharesIn(await listCounted(tx, ceremony, nowMs))
  if (!key || kind === 'split' || !(await saveSigned(tx, id, signature))) throw new Error('nothing to conclude')
  await endAlarmOf(tx, community, 'keyMismatch', key.didKey)
  // Each was needed, so each was right; of more than enough one may have been left out for being wrong.
  const right = shares.length === key.k ? shares : []
  for (const { did } of right) await endShareAlarm(tx, community, did, nowMs)
  if (kind === 'combine') {
    const operationCid = await keepConcluded(tx, permit, { ceremony: id, statement, signature, askedBy, nowMs })
    return { operationCid }
  }
  await endCeremony(tx, id, { state: 'done' }, nowMs)
  if (kind === 'drill') {
    await noteDrill(tx, key.id, nowMs)
    const isNew = await moveQuorumKey(tx, key.id, ['acknowledged'], 'drilled', nowMs)
    const isFirst = isNew && !(await loadActiveQuorum(tx, community))
    if (isFirst) await requireNoClaim(tx, community)
    if (isNew) await beginPlacement(tx, permit, { ...key, state: 'drilled' }, { askedBy, nowMs })
    await settleKeepers(tx, community, nowMs)
    return { key: key.didKey }
  }
  const { owners, createdAt: saidAt } = statement
  const claim = { community, owners: owners ?? [], signedBy: key.didKey, saidAt, askedBy, nowMs }
  const { id: made, state } = await makeClaim(ctx, tx, claim)
  return { claim: made, state }
}

/** Ends an alarm about one key; about another it stands. */
async function endAlarmOf(tx: Tx, community: Did, name: 'keyMismatch', about: string): Promise<void> {
  const stands = (await listAlarms(tx, community)).find((alarm) => alarm.name === name)
  if (stands && Object.values(stands.about).includes(about)) await endAlarm(tx, community, name)
}

/** Tells owners that right shares made another key. The caller holds the community. */
export const raiseMismatch = (
  tx: Tx,
  community: Did,
  about: Readonly<Record<string, string | number>>,
  nowMs: number,
) => settleAlarms(tx, community, ['keyMismatch'], [{ name: 'keyMismatch', about }], nowMs)

/** Tells owners that a keeper gave a share that isn't right, beside others who did. The caller holds the community. */
export async function raiseShareAlarm(tx: Tx, community: Did, keeper: Did, nowMs: number): Promise<void> {
  const others = (await whoGaveBad(tx, community)).filter((did) => did !== keeper)
  await settleBadShares(tx, community, [...others, keeper], nowMs)
}

/** Ends what is said of one keeper; of others it stands. */
export async function endShareAlarm(tx: Tx, community: Did, keeper: Did, nowMs: number): Promise<void> {
  const all = await whoGaveBad(tx, community)
  if (!all.includes(keeper)) return
  const others = all.filter((did) => did !== keeper)
  await settleBadShares(tx, community, others, nowMs)
}

async function whoGaveBad(tx: Tx, community: Did): Promise<readonly string[]> {
  const stands = (await listAlarms(tx, community)).find(({ name }) => name === 'badShare')
  return stands ? String(stands.about['keepers']).split(' ') : []
}

async function settleBadShares(tx: Tx, community: Did, keepers: readonly string[], nowMs: number): Promise<void> {
  const name = 'badShare' as const
  const standing = keepers.length === 0 ? [] : [{ name, about: { keepers: keepers.join(' ') } }]
  await settleAlarms(tx, community, [name], standing, nowMs)
}
