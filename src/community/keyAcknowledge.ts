/** `community.reeve.key.acknowledge`: a keeper says that their packet opens and holds the share that it should. */
import { transcriptHashOf } from '../keys/ceremony-statements.ts'
import type * as lexicon from '../lexicons/community/reeve/key/acknowledge.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import type { Did } from '../names.ts'
import { deletePacket } from './ceremony-act-store.ts'
import { stateAfter } from './ceremony-course.ts'
import { moveOn } from './ceremony-end.ts'
import { endAlarm } from './identity-alarm-store.ts'
import { actIn, keepDeed } from './keeper-acts.ts'
import { moveQuorumKey } from './quorum-store.ts'

/**
 * They have it in two places of their own by then, and this service throws its sealed copy away. All keepers have to: a share that nobody looked
 * at is missed when it is needed.
 *
 * Order of checks: those of every act (`keeper-acts.ts`); the signature is over the transcript as it was dealt. @throws Refusal
 */
export function keyAcknowledge(
  ctx: GovernanceCtx,
  caller: Did,
  input: lexicon.$InputBody,
): Promise<lexicon.$OutputBody> {
  const subjectOf = ({ dealt }: { dealt: { transcript: Parameters<typeof transcriptHashOf>[0] } | null }) =>
    dealt && transcriptHashOf(dealt.transcript)
  const call = { caller, action: 'key.acknowledge', act: 'acknowledge', input, subjectOf } as const
  return actIn(ctx, call, async (tx, acting) => {
    const { ceremony, nowMs } = acting
    const { id, community, quorumKey } = ceremony
    await deletePacket(tx, id, caller)
    const state = stateAfter(ceremony, await keepDeed(tx, acting))
    if (state === 'done' && quorumKey !== null) {
      await moveQuorumKey(tx, quorumKey, ['dealt'], 'acknowledged', nowMs)
      // Everybody has a new share, of a new key: what was wrong with those before is over.
      await endAlarm(tx, community, 'badShare')
      await endAlarm(tx, community, 'keyMismatch')
    }
    await moveOn(tx, ceremony, state, nowMs)
    return { details: { state } }
  })
}
