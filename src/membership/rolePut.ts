/** `community.reeve.role.put`: a community names a role, or says anew what one allows. */
import type * as lexicon from '../lexicons/community/reeve/role/put.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { decideRole, isForForeigners, spacesUsing } from '../policy/decide-roles.ts'
import { ACTIONS, type Action, OWNER, OWNER_MARK } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { type Changed, changeCommunity, type GovernanceCtx, required, rosterUri } from './governance.ts'
import { requireAction, requireDid, requireReason } from './input.ts'
import { requireRoomForRole } from './limits.ts'
import { requireForForeigners } from './nesting.ts'
import { listOwnRoles, loadRolesHeld, saveRole } from './role-store.ts'
import type { Facts } from './standing-facts.ts'

/** What is written next to people's names, and in addresses of role spaces. */
const ROLE_NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/

/**
 * What a role allows changes for everybody who has it at once, wherever they are. Order of checks: the input, of which `owner`
 * and the owners' mark are nobody's to give (InvalidRequest); NotFound; the verdict (Forbidden, EscalationDenied,
 * OpenToAnybody); a role of people from other communities stays within reading and writing (InvalidRequest); there is room
 * (LimitExceeded).
 */
export async function rolePut(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const name = requireRoleName(input.name)
  const actions = requireActions(input.actions)
  const description = input.description === undefined ? null : requireReason(input.description, 'description')
  const call = {
    community,
    actor,
    action: 'role.put',
    target: community,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) =>
    putRole(tx, actorFacts, { name, actions, description, nowMs }),
  )
}

type NewRole = Parameters<typeof saveRole>[3]

async function putRole(tx: Tx, actor: Facts, role: NewRole): Promise<Changed<object>> {
  const { name, actions, description } = role
  const community = actor.graph.community
  const before = actor.roles.get(name) ?? null
  const after = new Set(actions)
  // A look at everybody's entries, with the community held, is not for whoever asks.
  required(decideAct(actor, actor.did, 'role.configure', rosterUri(community)))
  const held = await loadRolesHeld(tx, community)
  const decision = decideRole(actor, actor.did, { name, before, after }, held)
  const permit = required(decision)
  if (isForForeigners(name, actor)) requireForForeigners(actions)
  const own = await listOwnRoles(tx, community)
  const known = own.find((one) => one.name === name)
  if (!known) requireRoomForRole(own.length)

  const isSame = before !== null && sameActions(before, after) && (known?.description ?? null) === description
  if (!isSame) await saveRole(tx, permit, community, role)
  const details = { role: name, actions: actions.join(' '), actionsBefore: before && [...before].join(' ') }
  const touches = { spaces: [...spacesUsing(name, actor, held)] }
  return { answer: {}, changed: isSame ? 'nothing' : 'graph', because: decision.because, touches, details }
}

const sameActions = (a: ReadonlySet<Action>, b: ReadonlySet<Action>): boolean => a.size === b.size && a.isSubsetOf(b)

/** @throws Refusal('InvalidRequest') for a name that is none, or that is nobody's to change */
export function requireRoleName(text: string): string {
  if (!ROLE_NAME.test(text)) {
    throw new Refusal('InvalidRequest', 'name is not lower-case letters and digits, in parts joined by hyphens')
  }
  if (text === OWNER) throw new Refusal('InvalidRequest', 'what owners may do is the same in every community')
  return text
}

/** @throws Refusal('InvalidRequest') for a word that is no action, and for the one that marks owners */
function requireActions(words: readonly string[]): readonly Action[] {
  const named = new Set(words.map((word) => requireAction(word, 'actions')))
  if (named.has(OWNER_MARK))
    throw new Refusal('InvalidRequest', `${OWNER_MARK} is what makes an owner; no other role has it`)
  return ACTIONS.filter((action) => named.has(action))
}
