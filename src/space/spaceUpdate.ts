/** `community.reeve.space.update`: a space's name, description and policies. What is left out stays as it is. */
import type * as lexicon from '../lexicons/community/reeve/space/update.ts'
import { changeCommunity, type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { requireReason, requireShownName, requireSpace } from '../membership/input.ts'
import type { Did, SpaceName } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { decideOpening } from '../policy/decide-spaces.ts'
import { Refusal } from '../refusals.ts'
import { isRecordless, parsePolicy } from './settings.ts'
import { loadSpace, type SpaceSettings, saveSettings } from './store.ts'

/**
 * Order of checks: the input (InvalidRequest, UnsupportedPolicy); the space is there and the caller stands in it (NotFound); may
 * configure it (Forbidden), and is an owner where the public is let in or put out.
 */
export async function spaceUpdate(
  ctx: GovernanceCtx,
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
  return changeCommunity(ctx, call, async (tx, actorFacts) => {
    const before = await loadSpace(tx, space.uri)
    if (!before) throw notFound()
    const after: SpaceSettings = { ...settingsOf(before), ...given }
    const isOpening = after.readPolicy !== before.readPolicy || after.writePolicy !== before.writePolicy
    const decision = isOpening
      ? decideOpening(actorFacts, actor, space.uri)
      : decideAct(actorFacts, actor, 'space.configure', space.uri)
    const permit = required(decision)
    const isSame = JSON.stringify(settingsOf(before)) === JSON.stringify(after)
    if (!isSame) await saveSettings(tx, permit, space.uri, after)
    const { readPolicy, writePolicy } = after
    const details = {
      readPolicy,
      writePolicy,
      readPolicyBefore: before.readPolicy,
      writePolicyBefore: before.writePolicy,
    }
    return { answer: {}, changed: isSame ? 'nothing' : 'roster', because: decision.because, details }
  })
}

const settingsOf = ({ name, description, readPolicy, writePolicy }: SpaceSettings): SpaceSettings => ({
  name,
  description,
  readPolicy,
  writePolicy,
})

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
