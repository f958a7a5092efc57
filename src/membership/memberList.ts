/** `community.reeve.member.list`: the people directly on a roster, for those who may see it. */
import type * as lexicon from '../lexicons/community/reeve/member/list.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideAct } from '../policy/decide.ts'
import { type GovernanceCtx, notFound, required } from './governance.ts'
import { requireSpace } from './input.ts'
import { loadStandingFacts } from './standing-facts.ts'
import { listRoster, loadSpaceState } from './store.ts'

/** Pages in the order of DIDs; the cursor is the last DID. @throws Refusal NotFound for strangers, Forbidden without members.read */
export async function memberList(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const facts = await loadStandingFacts(ctx, ctx.db, space.authority, caller)
  if (!facts || (await loadSpaceState(ctx.db, space.uri)) !== 'live') throw notFound()
  required(decideAct(facts, caller, 'members.read', space.uri))

  const limit = params.limit ?? 100
  const page = await listRoster(ctx.db, space.uri, params.cursor ?? '', limit)
  const members = page.map((entry) => ({
    did: entry.did,
    role: entry.role,
    ...(entry.sinceMs === null ? {} : { since: isoOf(entry.sinceMs) }),
    ...(entry.untilMs === null ? {} : { until: isoOf(entry.untilMs) }),
    addedBy: entry.addedBy,
    addedAt: isoOf(entry.addedAtMs),
  }))
  const last = page.at(-1)
  const cursor = page.length === limit && last ? { cursor: last.did } : {}
  return { members, ...cursor, revision: facts.revision }
}
