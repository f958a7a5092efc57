/** `community.reeve.member.listInvites`: the invites into a space and what has become of them, for those who may invite there. */
import type * as lexicon from '../lexicons/community/reeve/member/listInvites.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideAct } from '../policy/decide.ts'
import { type GovernanceCtx, notFound, required } from './governance.ts'
import { requireSpace } from './input.ts'
import { stateOf } from './invite.ts'
import { type Invite, listInvitesInto } from './invite-store.ts'
import { loadStandingFacts } from './standing-facts.ts'
import { loadSpaceState } from './store.ts'

/** Pages in the order of making; the cursor is the last id. @throws Refusal NotFound for strangers, Forbidden without invite */
export async function memberListInvites(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const facts = await loadStandingFacts(ctx, ctx.db, space.authority, caller)
  if (!facts || (await loadSpaceState(ctx.db, space.uri)) !== 'live') throw notFound()
  required(decideAct(facts, caller, 'invite', space.uri))

  const limit = params.limit ?? 100
  const page = await listInvitesInto(ctx.db, space.uri, params.cursor ?? '', limit)
  const invites = page.map((invite) => render(invite, facts.nowMs))
  const last = page.at(-1)
  const cursor = page.length === limit && last ? { cursor: last.id } : {}
  return { invites, ...cursor, revision: facts.revision }
}

const render = (invite: Invite, nowMs: number): lexicon.Invite => ({
  invite: invite.id,
  role: invite.role,
  ...(invite.untilMs === null ? {} : { until: isoOf(invite.untilMs) }),
  ...(invite.note === null ? {} : { note: invite.note }),
  state: stateOf(invite, nowMs),
  uses: invite.usesMax,
  usesLeft: invite.usesLeft,
  madeBy: invite.madeBy,
  madeAt: isoOf(invite.madeAtMs),
  expiresAt: isoOf(invite.expiresAtMs),
  ...(invite.revokedBy === null ? {} : { revokedBy: invite.revokedBy }),
  ...(invite.revokedAtMs === null ? {} : { revokedAt: isoOf(invite.revokedAtMs) }),
})
