/** `community.reeve.app.list`: how apps are judged in a community or a space, what is said of which, and who asked in vain. */
import type * as lexicon from '../lexicons/community/reeve/app/list.ts'
import { type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { type AppVerdict, accessOf, unattestedIn } from '../policy/apps.ts'
import { decideApps } from '../policy/decide-apps.ts'
import { requireAppScope, requireLivingScope } from './scope.ts'
import { type KnownApp, listKnownApps } from './store.ts'

const STATE_OF: Readonly<Record<AppVerdict, 'allowed' | 'denied' | 'pending'>> = {
  allow: 'allowed',
  deny: 'denied',
  pending: 'pending',
}

/**
 * Pages in the order of names; the cursor is the last name. Apps that were seen are told of the community, not of its spaces.
 * @throws Refusal('InvalidRequest'); NotFound for strangers; Forbidden for those who don't judge apps there
 */
export async function appList(ctx: GovernanceCtx, caller: Did, params: lexicon.$Params): Promise<lexicon.$OutputBody> {
  const at = requireAppScope(params)
  const facts = await loadStandingFacts(ctx, ctx.db, at.community, caller)
  if (!facts) throw notFound()
  await requireLivingScope(ctx.db, at)
  required(decideApps(facts, caller, at.scope))

  const access = accessOf(facts.graph.apps, at.scope)
  const limit = params.limit ?? 100
  const page = await listKnownApps(ctx.db, at.scope, { state: params.state, after: params.cursor ?? '', limit })
  const last = page.at(-1)
  return {
    mode: access.mode,
    unattested: access.unattested ?? 'default',
    unattestedNow: unattestedIn(access),
    ...(at.scope === at.community ? { isSilent: facts.graph.isSilent } : {}),
    apps: page.map(rendered),
    ...(page.length === limit && last ? { cursor: last.name } : {}),
    revision: facts.revision,
  }
}

function rendered({ name, isHost, rule, seen }: KnownApp) {
  return {
    ...(isHost ? { host: name } : { clientId: name }),
    state: rule ? STATE_OF[rule.verdict] : 'pending',
    ...(rule ? { putBy: rule.putBy, putAt: isoOf(rule.putAtMs) } : {}),
    ...(rule?.note == null ? {} : { note: rule.note }),
    ...(seen
      ? {
          seen: {
            firstAt: isoOf(seen.firstAtMs),
            lastAt: isoOf(seen.lastAtMs),
            times: seen.times,
            lastBy: seen.lastDid,
            lastSpace: seen.lastSpace,
          },
        }
      : {}),
  }
}
