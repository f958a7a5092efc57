/** Who may do what about a steered space: owners have it kept, those who configure it see how. */
import { type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { type Facts, loadStandingFacts } from '../membership/standing-facts.ts'
import { loadSpaceState } from '../membership/store.ts'
import type { Did, SpaceName, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { loadConnectionState, loadSteered, type Steered } from './steered-store.ts'

/** Somebody who configures a space that lives. @throws Refusal NotFound, Forbidden */
export async function requireConfigurer(ctx: GovernanceCtx, caller: Did, space: SpaceName): Promise<Facts> {
  const facts = await loadStandingFacts(ctx, ctx.db, space.authority, caller)
  if (!facts || (await loadSpaceState(ctx.db, space.uri)) !== 'live') throw notFound()
  required(decideAct(facts, caller, 'space.configure', space.uri))
  return facts
}

/** How a space is kept. @throws Refusal NotSteered */
export async function requireSteered(db: Db | Tx, space: SpaceUri): Promise<Steered> {
  const steered = await loadSteered(db, space)
  if (!steered) throw new Refusal('NotSteered', 'the space is not kept at its PDS from here')
  return steered
}

/** @throws Refusal NotConnected */
export async function requireConnected(db: Db | Tx, community: Did): Promise<void> {
  if ((await loadConnectionState(db, community)) === 'connected') return
  throw new Refusal('NotConnected', 'the account has given no grant, or it is lost: have an owner connect it')
}
