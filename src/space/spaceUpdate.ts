/** `community.reeve.space.update`: a space's name, description and policies. What is left out stays as it is. */
import type * as lexicon from '../lexicons/community/reeve/space/update.ts'
import { changeCommunity } from '../membership/governance.ts'
import { requireReason, requireShownName, requireSpace } from '../membership/input.ts'
import { type ActCtx, carryOutOrPropose } from '../membership/proposals.ts'
import type { Did, SpaceName } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { Refusal } from '../refusals.ts'
import { changeSettings, letsPublicIn, OPENING, settingsAfter } from './irreversible.ts'
import { isRecordless, parsePolicy } from './settings.ts'
import type { SpaceSettings } from './store.ts'

/**
 * Letting the public in waits until somebody else approves it, where the community has another owner.
 * Order of checks: the input (InvalidRequest, UnsupportedPolicy); the space is there and the caller stands in it (NotFound); may
 * configure it (Forbidden), and is an owner where the public is let in or put out.
 */
export async function spaceUpdate(
  ctx: ActCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const given = givenSettings(input, space)
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
    const { before, after } = await settingsAfter(tx, space, given)
    if (!letsPublicIn(before, after)) return changeSettings(tx, actorFacts, space, given)
    return carryOutOrPropose(ctx, tx, OPENING, {
      ...{ actor: actorFacts, target: space.uri, nowMs, isDryRun: input.dryRun },
      input: { space: space.uri, given },
    })
  })
}

function givenSettings(input: lexicon.$InputBody, space: SpaceName): Partial<SpaceSettings> {
  const { name, description, readPolicy, writePolicy } = input
  if (isRecordless(space) && (readPolicy !== undefined || writePolicy !== undefined)) {
    throw new Refusal(
      'UnsupportedPolicy',
      'rosters and role spaces are for their own people; nobody keeps records there',
    )
  }
  return {
    ...(name === undefined ? {} : { name: requireShownName(name) }),
    ...(description === undefined ? {} : { description: requireReason(description, 'description') }),
    ...(readPolicy === undefined ? {} : { readPolicy: parsePolicy(readPolicy) }),
    ...(writePolicy === undefined ? {} : { writePolicy: parsePolicy(writePolicy) }),
  }
}
