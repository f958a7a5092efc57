/** `community.reeve.role.delete`: a role that nobody has goes; under a shipped name the shipped one comes back. */
import type * as lexicon from '../lexicons/community/reeve/role/delete.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { decideRole, isForForeigners, spacesUsing } from '../policy/decide-roles.ts'
import { SHIPPED_ROLES } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { type Changed, changeCommunity, type GovernanceCtx, required, rosterUri } from './governance.ts'
import { requireDid } from './input.ts'
import { requireForForeigners } from './nesting.ts'
import { deleteRole, isRolePromised, listOwnRoles, loadRolesHeld } from './role-store.ts'
import { requireRoleName } from './rolePut.ts'
import type { Facts } from './standing-facts.ts'

/**
 * Going back to a shipped role changes what people have by it, and is judged as that. Order of checks: the input
 * (InvalidRequest); NotFound; the verdict (Forbidden, EscalationDenied, OpenToAnybody); there is such a role of the community's
 * own (UnknownRole); nobody has it, or is promised it, when nothing is left under its name (RoleInUse).
 */
export async function roleDelete(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const name = requireRoleName(input.name)
  const call = {
    community,
    actor,
    action: 'role.delete',
    target: community,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) => dropRole(tx, actorFacts, name, nowMs))
}

async function dropRole(tx: Tx, actor: Facts, name: string, nowMs: number): Promise<Changed<object>> {
  const community = actor.graph.community
  const before = actor.roles.get(name) ?? null
  const after = SHIPPED_ROLES.get(name) ?? null
  // A look at everybody's entries, with the community held, is not for whoever asks.
  required(decideAct(actor, actor.did, 'role.configure', rosterUri(community)))
  const held = await loadRolesHeld(tx, community)
  const decision = decideRole(actor, actor.did, { name, before, after }, held)
  const permit = required(decision)
  const own = await listOwnRoles(tx, community)
  if (!own.some((role) => role.name === name)) {
    if (after === null) throw new Refusal('UnknownRole', 'the community has no such role')
    return { answer: {}, changed: 'nothing', because: decision.because }
  }
  const users = spacesUsing(name, actor, held)
  if (after === null && (users.size > 0 || (await isRolePromised(tx, community, name, nowMs)))) {
    throw new Refusal('RoleInUse', 'somebody has the role, or it is promised to somebody')
  }
  if (after !== null && isForForeigners(name, actor)) requireForForeigners([...after])
  await deleteRole(tx, permit, community, name)
  const details = { role: name, actionsBefore: before && [...before].join(' ') }
  return { answer: {}, changed: 'graph', because: decision.because, touches: { spaces: [...users] }, details }
}
