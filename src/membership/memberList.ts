/** `community.reeve.member.list`: the people and the spaces directly on a roster, for those who may see it. */
import type * as lexicon from '../lexicons/community/reeve/member/list.ts'
import { type Did, isSpaceUri } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideAct } from '../policy/decide.ts'
import { type GovernanceCtx, notFound, required } from './governance.ts'
import { requireSpace } from './input.ts'
import { loadStandingFacts } from './standing-facts.ts'
import { listRoster, loadSpaceState, type RosterEntry } from './store.ts'

/**
 * Spaces come first, in the order of their URIs and roles, then people in the order of their DIDs; the cursor is the last entry.
 * @throws Refusal NotFound for strangers, Forbidden without members.read
 */
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
  const [from = '', role = ''] = (params.cursor ?? '').split(' ')
  const page = await listRoster(ctx.db, space.uri, { from, role }, limit)
  const last = page.at(-1)
  const cursor = page.length === limit && last ? { cursor: cursorOf(last) } : {}
  return { members: page.map(render), ...cursor, revision: facts.revision }
}

/** Neither a DID nor a space's URI holds a blank. A person has one entry, and needs no role to be told by. */
const cursorOf = ({ from, role }: RosterEntry): string => (isSpaceUri(from) ? `${from} ${role}` : from)

const render = (entry: RosterEntry): lexicon.Entry => ({
  ...(isSpaceUri(entry.from) ? { memberSpace: entry.from } : { did: entry.from }),
  role: entry.role,
  ...(entry.holding === null ? {} : { holding: entry.holding }),
  ...(entry.sinceMs === null ? {} : { since: isoOf(entry.sinceMs) }),
  ...(entry.untilMs === null ? {} : { until: isoOf(entry.untilMs) }),
  addedBy: entry.addedBy,
  addedAt: isoOf(entry.addedAtMs),
})
