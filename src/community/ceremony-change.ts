/** What is written when an operation that keepers signed together came to its end: keys and custody follow it, and the ceremony is over. */
import { appendChained } from '../audit/store.ts'
import type { PlcLogEntry } from '../identity/plc-log.ts'
import { dropSuccessors, followOperation } from '../keys/successor-store.ts'
import { lockRevisions, raiseRevisions } from '../membership/store.ts'
import type { Clock } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import { endCeremony } from './ceremony-store.ts'
import { type CeremonyWork, listNamed, movePlcWork, type PlcFault } from './plc-work-store.ts'
import { settleKeepers } from './quorum-alarms.ts'
import { followQuorum } from './quorum-follow.ts'
import { hasCommunityEnded } from './store.ts'

interface Ctx {
  readonly clock: Clock
}

/** It is in the log, and nothing undid it. What is known here follows the operation in force now, whoever wrote that. */
export async function confirmCeremony(ctx: Ctx, tx: Tx, work: CeremonyWork, { operation }: PlcLogEntry): Promise<void> {
  const { community, about } = work
  if (!(await lockRevisions(tx, community))) throw new Error('work for a community that was never opened')
  if (!(await movePlcWork(tx, work, 'submitted', { step: 'confirmed' }))) return
  const nowMs = ctx.clock.nowMs()
  if (operation.type === 'plc_operation') {
    await followOperation(tx, community, operation, nowMs)
    await followQuorum(tx, community, operation, nowMs)
  }
  await endCeremony(tx, about.ceremony, { state: 'done' }, nowMs)
  if (await hasCommunityEnded(tx, community)) return
  await settleKeepers(tx, community, nowMs)
  const revision = await raiseRevisions(tx, community, { graph: false })
  await tell(tx, work, { status: 'confirmed', revision }, nowMs)
}

/** It came to nothing: something else came first, or the directory won't take it. Keepers begin again, on what is in force then. */
export async function refuseCeremony(ctx: Ctx, tx: Tx, work: CeremonyWork, fault: PlcFault): Promise<void> {
  const { community, about } = work
  await lockRevisions(tx, community)
  if (!(await movePlcWork(tx, work, 'submitted', { step: 'refused', fault }))) return
  const nowMs = ctx.clock.nowMs()
  // A key of ours that was made for it, and that no operation can bring in any more.
  await dropSuccessors(tx, community, { nowMs, named: await listNamed(tx, community) })
  await endCeremony(tx, about.ceremony, { state: 'failed', fault }, nowMs)
  await tell(tx, work, { refused: fault }, nowMs)
}

/** Each keeper decided it, and the reasons stand with what they did. */
const tell = (tx: Tx, { community, askedBy, about, operationCid }: CeremonyWork, outcome: object, nowMs: number) =>
  appendChained(tx, {
    ...{ community, atMs: nowMs, actor: askedBy, action: 'key.conclude', target: community, subject: null },
    because: { reasons: [], ceremony: about.ceremony, operationCid, ...outcome },
  })
