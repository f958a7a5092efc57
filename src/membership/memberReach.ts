/** `community.reeve.member.reach`: every space of a community in which a person stands, and what they may do there. */
import type * as lexicon from '../lexicons/community/reeve/member/reach.ts'
import type { Did } from '../names.ts'
import { holds, standingOf } from '../policy/standing.ts'
import { requireAtLeast, wordOf } from './basis.ts'
import { type GovernanceCtx, notFound } from './governance.ts'
import { requireAction, requireDid } from './input.ts'
import { loadStandingFacts } from './standing-facts.ts'

/**
 * By the rosters alone: that a space is open to the public is the same for everybody. About others, a caller sees the spaces
 * whose rosters they may see. Pages in the order of URIs; the cursor is the last URI.
 * @throws Refusal InvalidRequest for an unknown action; NotFound for a caller who stands nowhere in the community
 */
export async function memberReach(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  const person = requireDid(params.did, 'did')
  const action = params.action === undefined ? null : requireAction(params.action)
  const own = await loadStandingFacts(ctx, ctx.db, community, caller)
  const callers = own && standingOf(own)
  if (!own || !callers || callers.size === 0) throw notFound()
  const facts = person === caller ? own : await loadStandingFacts(ctx, ctx.db, community, person)
  if (!facts) throw notFound()
  requireAtLeast(ctx, params.atLeast, facts.basis)

  const standing = person === caller ? callers : standingOf(facts)
  const after = params.cursor ?? ''
  const limit = params.limit ?? 1000
  const reached = [...standing]
    .filter(([uri]) => uri > after && (person === caller || holds(callers, uri, 'members.read')))
    .filter(([, { actions }]) => action === null || actions.has(action))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const spaces = reached.slice(0, limit).map(([uri, { actions }]) => ({ uri, actions: [...actions] }))
  const last = spaces.at(-1)
  const cursor = reached.length > limit && last ? { cursor: last.uri } : {}
  return { spaces, ...cursor, revision: facts.revision, at: wordOf(ctx, facts.basis) }
}
