/**
 * Another key in the place of the community's own, by the key of this service: for when whoever held it left with it, or it is lost.
 *
 * That key is the community's way out, and whoever holds it outranks us. So it is announced for three days to every owner, a second one
 * has to approve it where there is one, any of them can stop it, and an alarm says so to all of them meanwhile. Our key stands below: for 72 hours the old one can undo it.
 */
import { required, rosterUri } from '../membership/governance.ts'
import type { Proposal } from '../membership/proposal-store.ts'
import type { Act } from '../membership/proposals.ts'
import type { Did, DidKey } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { endAlarmAbout, raiseAlarm } from './identity-alarm-store.ts'
import { insertRotation } from './key-rotation-store.ts'
import { requireNoKeepers } from './quorum-guards.ts'
import { loadCommunity } from './store.ts'

const NOTICE_MS = 3 * 24 * 60 * 60 * 1000

/** The call as it is kept while it waits. */
export interface RecoveryWish {
  readonly recoveryKey: DidKey
  /** Who proved to hold it. */
  readonly holder: Did
}

export const RECOVERY_CHANGE: Act = {
  name: 'key.replaceRecovery',
  graceMs: NOTICE_MS,
  judge: async (_ctx, _tx, actor) =>
    required(decideAct(actor, actor.did, 'keys.ceremony', rosterUri(actor.graph.community))),
  async carryOut(_ctx, tx, actor, input, nowMs, proposal) {
    const { community } = actor.graph
    const decision = decideAct(actor, actor.did, 'keys.ceremony', rosterUri(community))
    const permit = required(decision)
    const { recoveryKey: after, holder } = input as RecoveryWish
    const known = await loadCommunity(tx, community)
    if (!known || known.custody === 'external') throw new Refusal('UnsupportedCustody', 'its keys are not here')
    await requireNoKeepers(tx, community)
    const recovery = { before: known.recoveryKey, after, holder }
    const begun = {
      ...{ community, purposes: [], recovery, quorum: null, reason: 'recovery' as const, isUrgent: false },
      ...{ step: 'swap' as const, stepDueAtMs: nowMs, askedBy: actor.did, beganAtMs: nowMs },
    }
    // Its day has come, and it is not given up because other keys are being replaced in that hour.
    if (!(await insertRotation(tx, permit, begun))) throw new Unavailable('NotEnoughResources', 'rotation')
    if (proposal !== null) await endAlarmAbout(tx, { id: proposal, community }, 'recoveryChange')
    const details = { recoveryKey: after, before: recovery.before, holder }
    return { answer: {}, changed: 'roster', because: decision.because, details }
  },
  follow: (tx, proposal, nowMs) =>
    proposal.state === 'cancelled' ? endAlarmAbout(tx, proposal, 'recoveryChange') : tellOwners(tx, proposal, nowMs),
}

/** Says to every owner who asked, for which key, how far it is and how to stop it. */
async function tellOwners(
  tx: Tx,
  { id, community, proposedBy, input, state, dueAtMs }: Proposal,
  nowMs: number,
): Promise<void> {
  const { recoveryKey: key, holder } = input as RecoveryWish
  const dueAt = dueAtMs === null ? null : isoOf(dueAtMs)
  const about = { proposal: id, key, holder, askedBy: proposedBy, state, dueAt }
  await raiseAlarm(tx, community, 'recoveryChange', about, nowMs)
}
