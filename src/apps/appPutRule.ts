/** `community.reeve.app.putRule`: whether an app, or every app at a host, is let in. */
import type * as lexicon from '../lexicons/community/reeve/app/putRule.ts'
import { loadAppNote, type NewAppRule, saveAppRules } from '../membership/app-rule-store.ts'
import { type Changed, changeCommunity, type GovernanceCtx, required } from '../membership/governance.ts'
import { requireReason } from '../membership/input.ts'
import { requireRoomForAppRules } from '../membership/limits.ts'
import type { Facts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { type AppAccess, accessOf } from '../policy/apps.ts'
import { decideAppRule, isOpenToPublishers, othersAllowed } from '../policy/decide-apps.ts'
import { Refusal } from '../refusals.ts'
import { type AppScope, requireAppScope, requireLivingScope, requireNamed } from './scope.ts'
import { forgetSeenApps } from './seen-store.ts'
import { answerOf } from './turned-away.ts'

/**
 * An app that was seen and has a rule now waits for nobody's judgement any more.
 *
 * Order of checks: the input, and that no host is allowed where strangers publish (InvalidRequest); the space is there and the caller
 * stands in it (NotFound); they judge apps there, and are an owner where a whole host is allowed (Forbidden); where one app is
 * pinned, no other is allowed beside it, and no host (InvalidRequest); there is room (LimitExceeded).
 */
export async function appPutRule(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const at = requireAppScope(input)
  const note = input.note === undefined ? null : requireReason(input.note, 'note')
  const rule = { ...requireNamed(input), verdict: input.verdict, note }
  if (rule.isHost && rule.verdict === 'allow' && isOpenToPublishers(rule.name)) {
    throw new Refusal(
      'InvalidRequest',
      'anybody can publish an app at this host: allow single apps by their client ids',
    )
  }
  const call = {
    community: at.community,
    actor,
    action: 'app.putRule',
    target: at.scope,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    await requireLivingScope(tx, at)
    const done = await putRule(tx, actorFacts, at, rule, nowMs)
    return { ...done, answer: await answerOf(tx, actorFacts, at, { isDryRun: input.dryRun === true, nowMs }) }
  })
}

async function putRule(
  tx: Tx,
  actor: Facts,
  at: AppScope,
  rule: NewAppRule,
  nowMs: number,
): Promise<Omit<Changed<object>, 'answer'>> {
  const { name, isHost, verdict, note } = rule
  const decision = decideAppRule(actor, actor.did, at.scope, rule)
  const permit = required(decision)
  const access = accessOf(actor.graph.apps, at.scope)
  if (verdict === 'allow') requirePinnedAlone(access, rule)
  const before = access.rules.get(name) ?? null
  if (before === null) await requireRoomForAppRules(tx, at.community, 1)

  const isSame = before === verdict && (await loadAppNote(tx, at.scope, name)) === note
  if (!isSame) await saveAppRules(tx, permit, at, [rule], nowMs)
  await forgetSeenApps(tx, permit, at.community, rule)
  const details = { [isHost ? 'host' : 'clientId']: name, verdict, verdictBefore: before }
  return { changed: isSame ? 'nothing' : 'graph', because: decision.because, details }
}

function requirePinnedAlone(access: AppAccess, { name, isHost }: NewAppRule): void {
  if (access.mode !== 'pinned') return
  if (isHost || othersAllowed(access, name).length > 0) {
    throw new Refusal('InvalidRequest', 'one app is pinned here: take it back before another one is allowed')
  }
}
