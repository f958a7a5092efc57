/** Who may see an import, who may add to it and apply it, and when. */
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { notFound, required } from './governance.ts'
import type { Import } from './import-store.ts'
import { type FactsCtx, loadStandingFacts } from './standing-facts.ts'

/** Those who may put people into its space see an import, and may cancel it. @throws Refusal NotFound for strangers, Forbidden */
export async function requireSeen(ctx: FactsCtx, db: Db | Tx, caller: Did, one: Import | null): Promise<Import> {
  const facts = one && (await loadStandingFacts(ctx, db, one.community, caller, { feedersOf: () => [] }))
  if (!one || !facts) throw notFound()
  required(decideAct(facts, caller, 'members.add', one.space))
  return one
}

/**
 * It is applied by the power of who began it. If others could add to it, or choose the moment, they would use a power that isn't
 * theirs. @throws Refusal Forbidden
 */
export function requireBegunBy(one: Import, caller: Did): void {
  if (one.begunBy !== caller) throw new Refusal('Forbidden', 'only who began an import adds to it and applies it')
}

/** @throws Refusal('ImportNotOpen') unless an import is in one of some states */
export function requireState(one: Import, ...states: readonly Import['state'][]): void {
  if (!states.includes(one.state)) throw new Refusal('ImportNotOpen', `the import is ${one.state}`)
}
