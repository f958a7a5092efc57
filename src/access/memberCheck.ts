/** `community.reeve.member.check`: would this person be let do that now, and why? The verdicts are those of the real thing. */
import type * as lexicon from '../lexicons/community/reeve/member/check.ts'
import { requireAtLeast, wordOf } from '../membership/basis.ts'
import { notFound, required } from '../membership/governance.ts'
import { requireAction, requireDid, requireSpace } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { decideAct, decideFor } from '../policy/decide.ts'
import { type AccessCtx, loadReadFacts } from './may-read.ts'

/**
 * Everybody may ask about themself, in any space: the exchange would tell them as much. About others may ask who holds
 * members.read there. `read` is asked of the app and the person together, as at the mint.
 * @throws Refusal InvalidRequest for an unknown action; NotFound for strangers; Forbidden
 * @throws Unavailable when the database has not got as far as `atLeast`
 */
export async function memberCheck(ctx: AccessCtx, caller: Did, params: lexicon.$Params): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const person = requireDid(params.did, 'did')
  const action = requireAction(params.action)
  const read = await loadReadFacts(ctx, space, person)
  if (read.space !== 'live') throw notFound()
  const isSelf = person === caller
  if (!isSelf) {
    const callerFacts = await loadStandingFacts(ctx, ctx.db, space.authority, caller)
    if (!callerFacts) throw notFound()
    required(decideAct(callerFacts, caller, 'members.read', space.uri))
  }
  requireAtLeast(ctx, params.atLeast, read.basis)
  const verdict = decideFor(read.facts, { did: person, clientId: params.clientId ?? null }, action)
  // How somebody else stands in other spaces is for those who may see the rosters there.
  const because = verdict.because.filter(({ into }) => isSelf || into === undefined || into === space.uri)
  return { allowed: verdict.ok, revision: read.revision, because, at: wordOf(ctx, read.basis) }
}
