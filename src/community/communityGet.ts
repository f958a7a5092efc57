/** `community.reeve.community.get`: one community, as its people see it. */
import type * as lexicon from '../lexicons/community/reeve/community/get.ts'
import type * as defs from '../lexicons/community/reeve/defs.ts'
import { loadReleasedAt } from '../membership/account-store.ts'
import { type GovernanceCtx, notFound } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { loadWaiting } from '../membership/proposal-store.ts'
import { isExpired, shownProposal } from '../membership/proposals.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import { type Did, rosterOf } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { standingOf } from '../policy/standing.ts'
import { loadRed } from './identity-tasks.ts'
import { COMMUNITY_DELETE } from './irreversible.ts'
import { custodyShown } from './quorum-shown.ts'
import { type Community, loadCommunity } from './store.ts'

interface GetCtx extends GovernanceCtx {
  /** What an account's owners have to see to. That is known on a floor above, which is asked by this. */
  readonly alarmsOf: (community: Did) => Promise<readonly defs.Caveat[]>
}

/** For those who stand anywhere in it, and for its founder while it is being founded. @throws Refusal('NotFound') for others */
export async function communityGet(ctx: GetCtx, caller: Did, params: lexicon.$Params): Promise<lexicon.$OutputBody> {
  const did = requireDid(params.community, 'community')
  const community = await loadCommunity(ctx.db, did)
  if (!community) throw notFound()
  const facts = await loadStandingFacts(ctx, ctx.db, did, caller)
  const stands = facts !== null && standingOf(facts).size > 0
  const isFounding = community.step !== 'opened' && community.step !== 'deleted' && community.founder === caller
  if (!stands && !isFounding) throw notFound()
  const deletion = facts && (await loadWaiting(ctx.db, did, COMMUNITY_DELETE, did))
  const isReleased = community.custody === 'external' && (await loadReleasedAt(ctx.db, did)) !== null
  const inRoster = facts === null ? undefined : standingOf(facts).get(rosterOf(did).uri)
  const configures = inRoster?.actions.has('community.configure') === true
  const alarms = configures ? await alarmsFor(ctx, community) : []
  const isAnnounced = deletion !== null && !isExpired(deletion, ctx.clock.nowMs())
  return {
    did,
    name: community.name,
    ...(community.handle === null ? {} : { handle: community.handle }),
    status: statusOf(community),
    custody: await custodyShown(ctx.db, community),
    ...(community.recoveryKey === null ? {} : { recoveryKey: community.recoveryKey }),
    revision: facts?.revision ?? 0,
    createdAt: isoOf(community.createdAtMs),
    roster: rosterOf(did).uri,
    ...(facts?.graph.isFrozen(rosterOf(did).uri) ? { isFrozen: true } : {}),
    ...(isReleased ? { isReleased } : {}),
    ...(alarms.length === 0 ? {} : { alarms: [...alarms] }),
    ...(isAnnounced ? { deletion: shownProposal(deletion) } : {}),
  }
}

/** What is to be seen to: of an account its grant and its spaces, of a community whose keys are here its identity. */
const alarmsFor = async (ctx: GetCtx, community: Community): Promise<readonly defs.Caveat[]> =>
  community.custody === 'external' ? ctx.alarmsOf(community.did) : loadRed(ctx, community)

/** What people are told of the walk: a community that is open is active, or waits for the first ceremony of its keepers. */
export function statusOf({ step, wantedCustody }: Pick<Community, 'step' | 'wantedCustody'>): string {
  if (step !== 'opened') return step
  return wantedCustody === null ? 'active' : 'pendingQuorum'
}
