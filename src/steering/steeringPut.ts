/** `community.reeve.steering.put`: a space is kept at its PDS from here, or in another way than before. */
import type * as lexicon from '../lexicons/community/reeve/steering/put.ts'
import { changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import { loadSpaceState } from '../membership/store.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import type { Random } from '../platform/random.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { loadBoundAt } from '../space/host-store.ts'
import { nextReconcileMs } from './reconcile.ts'
import { requireConnected } from './steered-desk.ts'
import { countSteered, forgetList, loadSteered, saveSteered } from './steered-store.ts'
import { renderSteered } from './steered-view.ts'
import type { SteeringMode } from './tables.ts'

/** Steered spaces of one community. Each of them is looked at when anything in the community changes. */
const STEERED_MAX = 1_000

/**
 * Nothing is done at the PDS yet when it answers. A space that was missing there is made anew by it.
 *
 * Order of checks: the input (InvalidRequest); the caller stands in the community (NotFound) and owns it (Forbidden); the space is there
 * (NotFound), at the PDS of an account that consents to it (UnsupportedHost); the account has given a grant (NotConnected); no earlier space
 * of that name is being deleted there (SteeringEnds); there is room (LimitExceeded). @throws Refusal
 */
export async function steeringPut(
  ctx: GovernanceCtx & { readonly random: Random; readonly serviceDid: Did },
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const { uri, authority: community } = requireSpace(input.space)
  const mode = requireMode(input.mode)
  const { ifRevision } = input
  const call = { community, actor, action: 'steering.put', target: uri, subject: null, ifRevision, idempotency }
  return changeCommunity(ctx, call, async (tx, facts, nowMs) => {
    const decision = decideAct(facts, actor, OWNER_MARK, rosterUri(community))
    const permit = required(decision)
    await requireBound(tx, uri)
    await requireConnected(tx, community)
    const before = await loadSteered(tx, uri)
    if (before?.isEnded || before?.state === 'ending') {
      throw new Refusal('SteeringEnds', 'an earlier space of that name is still being deleted at the PDS')
    }
    if (!before && (await countSteered(tx, community)) >= STEERED_MAX) {
      throw new Refusal('LimitExceeded', `${STEERED_MAX} spaces of a community are kept at its PDS at most`)
    }
    await saveSteered(tx, permit, {
      space: uri,
      community,
      mode,
      nowMs,
      reconcileDueMs: nextReconcileMs(ctx.random, nowMs),
    })
    if (mode === 'hook') await forgetList(tx, uri)
    const after = await loadSteered(tx, uri)
    if (!after) throw new TypeError('a space that is kept from now on has no row')
    const steered = await renderSteered(tx, after, { graph: facts.graph })
    const details = { mode, modeBefore: before?.mode ?? null }
    return { answer: { steered }, changed: 'roster', because: decision.because, touches: { people: [] }, details }
  })
}

/** @throws Refusal('InvalidRequest') */
function requireMode(text: string): SteeringMode {
  if (text === 'hook' || text === 'projection') return text
  throw new Refusal('InvalidRequest', 'mode is hook or projection')
}

async function requireBound(tx: Tx, space: SpaceUri): Promise<void> {
  if ((await loadSpaceState(tx, space)) !== 'live') throw notFound()
  const bound = await loadBoundAt(tx, space)
  if (bound === null)
    throw new Refusal('UnsupportedHost', 'the space is not at the PDS of an account that is a community here')
  if (bound.releasedAtMs !== null) throw new Refusal('UnsupportedHost', 'the account took its consent back')
}
