/** `community.reeve.space.update`: a space's name, description, policies and way of joining. What is left out stays as it is. */
import type * as lexicon from '../lexicons/community/reeve/space/update.ts'
import { $nsid } from '../lexicons/community/reeve/space/update.ts'
import { changeCommunity } from '../membership/governance.ts'
import { requireReason, requireShownName, requireSpace } from '../membership/input.ts'
import { type ActCtx, carryOutOrPropose } from '../membership/proposals.ts'
import type { Did, SpaceName } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { OWNER } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { OPENING } from './irreversible.ts'
import { isRecordless, parsePolicy } from './settings.ts'
import { changeSettings, type Given, letsStrangersIn } from './settings-change.ts'

/**
 * Letting the public in, or whom another service lets in, waits until somebody else approves it, where the community has another owner.
 * Order of checks: the input (InvalidRequest, UnsupportedPolicy); the space is there and the caller stands in it (NotFound); may
 * configure it (Forbidden), and is an owner where the public or a managing app's people are let in or put out; a space at a PDS names no
 * managing app (UnsupportedPolicy); where everybody may join, the role that they
 * get is said (InvalidRequest), exists (UnknownRole), and gives nobody any power (OpenToAnybody); then, where strangers are let in, as
 * `carryOutOrPropose` has it.
 */
export async function spaceUpdate(
  ctx: ActCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const given = givenSettings(input, space, ctx.serviceDid)
  const call = {
    community: space.authority,
    actor,
    action: 'space.update',
    target: space.uri,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    if (!(await letsStrangersIn(tx, space, given))) return changeSettings(tx, actorFacts, space, given)
    return carryOutOrPropose(ctx, tx, OPENING, {
      ...{ actor: actorFacts, target: space.uri, nowMs, isDryRun: input.dryRun },
      input: { space: space.uri, given },
      confirmable: { act: $nsid, input },
    })
  })
}

function givenSettings(input: lexicon.$InputBody, space: SpaceName, self: Did): Given {
  const { name, description, readPolicy, writePolicy, joining, joiningRole } = input
  if (joiningRole === OWNER) throw new Refusal('InvalidRequest', 'nobody becomes an owner by joining')
  if (isRecordless(space) && (readPolicy !== undefined || writePolicy !== undefined)) {
    throw new Refusal(
      'UnsupportedPolicy',
      'rosters and role spaces are for their own people; nobody keeps records there',
    )
  }
  const settings = {
    ...(name === undefined ? {} : { name: requireShownName(name) }),
    ...(description === undefined ? {} : { description: requireReason(description, 'description') }),
    ...(readPolicy === undefined ? {} : { readPolicy: parsePolicy(readPolicy, self) }),
    ...(writePolicy === undefined ? {} : { writePolicy: parsePolicy(writePolicy, self) }),
  }
  return {
    settings,
    joining: { ...(joining === undefined ? {} : { joining }), ...(joiningRole === undefined ? {} : { joiningRole }) },
  }
}
