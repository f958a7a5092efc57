/** `community.reeve.app.removeRule`: what was said of an app, or of every app at a host, is taken back. */
import type * as lexicon from '../lexicons/community/reeve/app/removeRule.ts'
import { deleteAppRule } from '../membership/app-rule-store.ts'
import { changeCommunity, type GovernanceCtx, required } from '../membership/governance.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { accessOf } from '../policy/apps.ts'
import { decideApps } from '../policy/decide-apps.ts'
import { requireAppScope, requireLivingScope, requireNamed } from './scope.ts'
import { answerOf } from './turned-away.ts'

/**
 * A rule that isn't there is taken back without further ado. Order of checks: the input (InvalidRequest); the space is there and
 * the caller stands in it (NotFound); they judge apps there (Forbidden).
 */
export async function appRemoveRule(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const at = requireAppScope(input)
  const { name, isHost } = requireNamed(input)
  const call = {
    community: at.community,
    actor,
    action: 'app.removeRule',
    target: at.scope,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    await requireLivingScope(tx, at)
    const decision = decideApps(actorFacts, actor, at.scope)
    const permit = required(decision)
    const before = accessOf(actorFacts.graph.apps, at.scope).rules.get(name) ?? null
    if (before !== null) await deleteAppRule(tx, permit, at.scope, name)
    const answer = await answerOf(tx, actorFacts, at, { isDryRun: input.dryRun === true, nowMs })
    const details = { [isHost ? 'host' : 'clientId']: name, verdict: null, verdictBefore: before }
    return { answer, changed: before === null ? 'nothing' : 'graph', because: decision.because, details }
  })
}
