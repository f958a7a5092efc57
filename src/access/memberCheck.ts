/** `community.reeve.member.check`: would this person be let do that now, and why? The verdicts are those of the real thing. */
import type * as lexicon from '../lexicons/community/reeve/member/check.ts'
import { requireAtLeast, wordOf } from '../membership/basis.ts'
import { notFound, required } from '../membership/governance.ts'
import { requireAction, requireClientId, requireDid, requireSpace } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did, SpaceName } from '../names.ts'
import { decideAct, decideFor } from '../policy/decide.ts'
import { type Onlooker, reasonsSeenBy, seesBan, withoutApps } from '../policy/explain.ts'
import { unlessReleased } from '../policy/hook.ts'
import { type AccessCtx, loadReadFacts } from './may-read.ts'
import { onlookerOf, seesAppsIn } from './onlooker.ts'

/**
 * Everybody may ask about themself, in any space: the exchange would tell them as much. About others may ask who holds
 * members.read there; that another is banned is told to those who may see bans there, or the audit, and reads to others as if the person
 * had no entry. `read` is asked of the app and the person together, as at the mint, and so is `write` of a space at a PDS where an app is
 * named, as there; a managing app is not asked, and is named where it would be.
 * @throws Refusal InvalidRequest for an unknown action; NotFound for strangers; Forbidden
 * @throws Unavailable when the database has not got as far as `atLeast`
 */
export async function memberCheck(ctx: AccessCtx, caller: Did, params: lexicon.$Params): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const person = requireDid(params.did, 'did')
  const action = requireAction(params.action)
  const read = await loadReadFacts(ctx, space, person)
  if (read.space !== 'live') throw notFound()
  const onlooker = person === caller ? null : await requireOnlooker(ctx, caller, space, person)
  requireAtLeast(ctx, params.atLeast, read.basis)
  const clientId = params.clientId === undefined ? null : requireClientId(params.clientId)
  const isReleased = read.binding?.isReleased ?? false
  const verdict = unlessReleased(isReleased, action, decideFor(read.facts, { did: person, clientId }, action))
  // How somebody else stands in other spaces is for those who may see the rosters there.
  const because = onlooker
    ? reasonsSeenBy(verdict, read.facts, (scope) => seesBan(onlooker, scope)).filter(
        ({ into }) => into === undefined || into === space.uri,
      )
    : verdict.because
  const told = withoutApps(because, read.facts, onlooker === null && seesAppsIn(read.facts))
  return { allowed: verdict.ok, revision: read.revision, because: [...told], at: wordOf(ctx, read.basis) }
}

/** Whoever asks about another. @throws Refusal NotFound, Forbidden */
async function requireOnlooker(ctx: AccessCtx, caller: Did, space: SpaceName, person: Did): Promise<Onlooker> {
  const facts = await loadStandingFacts(ctx, ctx.db, space.authority, caller)
  if (!facts) throw notFound()
  required(decideAct(facts, caller, 'members.read', space.uri))
  return onlookerOf(facts, person)
}
