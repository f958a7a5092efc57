/** `community.reeve.app.setAccess`: how apps are judged in a community, or in one of its spaces, which narrows what the community says. */
import type * as lexicon from '../lexicons/community/reeve/app/setAccess.ts'
import { saveAppAccess, saveSilence } from '../membership/app-rule-store.ts'
import { type Changed, changeCommunity, type GovernanceCtx, required } from '../membership/governance.ts'
import type { Facts } from '../membership/standing-facts.ts'
import { type Did, parseClientId } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { type AppAccess, type AppMode, accessOf } from '../policy/apps.ts'
import { decideAppAccess, othersAllowed } from '../policy/decide-apps.ts'
import { Refusal } from '../refusals.ts'
import { type AppScope, requireAppScope, requireLivingScope } from './scope.ts'
import { answerOf } from './turned-away.ts'

/**
 * Order of checks: the input (InvalidRequest); the space is there and the caller stands in it (NotFound); they judge apps there,
 * and are an owner where a list is opened or the community's silence changes (Forbidden); where one app shall be pinned, exactly
 * one is allowed by its client id, and no host (InvalidRequest).
 */
export async function appSetAccess(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const at = requireAppScope(input)
  if (input.isSilent !== undefined && at.scope !== at.community) {
    throw new Refusal('InvalidRequest', 'isSilent is said of the whole community')
  }
  const call = {
    community: at.community,
    actor,
    action: 'app.setAccess',
    target: at.scope,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    await requireLivingScope(tx, at)
    const done = await setAccess(tx, actorFacts, at, input)
    return { ...done, answer: await answerOf(tx, actorFacts, at, { isDryRun: input.dryRun === true, nowMs }) }
  })
}

interface Given {
  readonly mode: AppMode
  readonly unattested?: 'allow' | 'refuse' | 'default' | undefined
  readonly isSilent?: boolean | undefined
}

async function setAccess(tx: Tx, actor: Facts, at: AppScope, given: Given): Promise<Omit<Changed<object>, 'answer'>> {
  const { community, scope } = at
  const { apps, isSilent: wasSilent } = actor.graph
  const before = accessOf(apps, scope)
  const mode = given.mode
  const unattested = given.unattested === undefined ? before.unattested : unattestedOf(given.unattested)
  const isSilent = given.isSilent ?? wasSilent
  const decision = decideAppAccess(actor, actor.did, scope, {
    before: { mode: before.mode, isSilent: wasSilent },
    after: { mode, isSilent },
  })
  const permit = required(decision)
  if (mode === 'pinned') requireOnePinned(before)

  const isSame = mode === before.mode && unattested === before.unattested && isSilent === wasSilent
  if (!isSame) await saveAppAccess(tx, permit, at, { mode, unattested })
  if (isSilent !== wasSilent) await saveSilence(tx, permit, community, isSilent)
  const details = {
    mode,
    modeBefore: before.mode,
    unattested: unattested ?? 'default',
    unattestedBefore: before.unattested ?? 'default',
    ...(scope === community ? { silent: String(isSilent), silentBefore: String(wasSilent) } : {}),
  }
  return { changed: isSame ? 'nothing' : 'graph', because: decision.because, details }
}

const unattestedOf = (word: 'allow' | 'refuse' | 'default'): AppAccess['unattested'] =>
  word === 'default' ? null : word

function requireOnePinned(access: AppAccess): void {
  const allowed = othersAllowed(access, '')
  if (allowed.length !== 1 || parseClientId(allowed[0]) === null) {
    throw new Refusal('InvalidRequest', 'to pin an app, allow it by its client id first, and no other and no host')
  }
}
