/** The end of a community: announced to its owners for a week, during which any of them can stop it. */
import { required, rosterUri } from '../membership/governance.ts'
import type { Act } from '../membership/proposals.ts'
import { endRoll } from '../membership/roll-end-store.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { endCeremony, listOpenCeremonies } from './ceremony-store.ts'
import { callOffPlcWork } from './plc-work-store.ts'
import { endCommunity } from './store.ts'

/** As the proposal and the audit name it. */
export const COMMUNITY_DELETE = 'community.delete'

const NOTICE_MS = 7 * 24 * 60 * 60 * 1000

/**
 * Every space comes to its end in one transaction, and with them everybody's standing; the rows of the rosters are cleared away
 * afterwards. The keys stay sealed as they are, and the DID is not touched: whoever holds the recovery key has it still, and a change
 * of handle that was signed and not sent is called off.
 */
export const DELETION: Act = {
  name: COMMUNITY_DELETE,
  graceMs: NOTICE_MS,
  judge: async (_ctx, _tx, actor) =>
    required(decideAct(actor, actor.did, OWNER_MARK, rosterUri(actor.graph.community))),
  async carryOut(_ctx, tx, actor, _input, nowMs) {
    const { community } = actor.graph
    const permit = required(decideAct(actor, actor.did, OWNER_MARK, rosterUri(community)))
    const calledOff = await callOffPlcWork(tx, permit, community)
    for (const { id } of await listOpenCeremonies(tx, community)) await endCeremony(tx, id, { state: 'failed' }, nowMs)
    await endRoll(tx, permit, community, nowMs)
    await endCommunity(tx, permit, community, nowMs)
    const touches = { spaces: [...new Set(actor.graph.edges.map(({ into }) => into)), rosterUri(community)] }
    const details = calledOff === null ? {} : { details: { calledOff } }
    return { answer: {}, changed: 'graph', because: permit.because, touches, ...details }
  },
}
