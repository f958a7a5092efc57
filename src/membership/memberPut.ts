/** `community.reeve.member.put`: a person or a space comes onto a roster, or gets another role there. */
import type * as lexicon from '../lexicons/community/reeve/member/put.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { Refusal } from '../refusals.ts'
import { changeCommunity, type GovernanceCtx } from './governance.ts'
import { parseHolding, parseInstant, requireDid, requireSpace } from './input.ts'
import { nest } from './nesting.ts'
import { putPerson } from './person-entry.ts'

/**
 * Order of checks: the input, of which `did` and `memberSpace` name one between them (InvalidRequest); then, for a person, as
 * `putPerson` has it, and for a space, as `nest` has it.
 */
export async function memberPut(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const entry = {
    into: space.uri,
    role: input.role,
    holding: parseHolding(input.holding),
    sinceMs: parseInstant(input.since, 'since'),
    untilMs: parseInstant(input.until, 'until'),
  }
  const { person, memberSpace } = requireOneMember(input)
  const call = {
    community: space.authority,
    actor,
    action: 'member.put',
    target: space.uri,
    subject: person,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) => {
    if (memberSpace !== null) return nest(tx, actorFacts, { ...entry, from: memberSpace }, nowMs)
    if (entry.holding !== null) throw new Refusal('InvalidRequest', 'holding is for entries of spaces')
    return putPerson(ctx, tx, actorFacts, { ...entry, from: person }, nowMs)
  })
}

/** Who a call is about: one person, or one space. @throws Refusal('InvalidRequest') */
export function requireOneMember(input: {
  readonly did?: string | undefined
  readonly memberSpace?: string | undefined
}): { person: Did; memberSpace: null } | { person: null; memberSpace: SpaceUri } {
  const { did, memberSpace } = input
  if (did !== undefined && memberSpace === undefined) return { person: requireDid(did, 'did'), memberSpace: null }
  if (did === undefined && memberSpace !== undefined) {
    return { person: null, memberSpace: requireSpace(memberSpace, 'memberSpace').uri }
  }
  throw new Refusal('InvalidRequest', 'send either did or memberSpace')
}
