/** What an open ceremony keeps others from doing. */
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { Refusal } from '../refusals.ts'
import { hasOpenCombine } from './ceremony-store.ts'

/**
 * That keepers aren't just signing an operation on top of the one in force: whoever changes the identity meanwhile has them begin again, and
 * could do so for ever. @throws Refusal('CeremonyInProgress')
 */
export async function requireNoCombine(db: Db | Tx, community: Did, nowMs: number): Promise<void> {
  if (!(await hasOpenCombine(db, community, nowMs))) return
  throw new Refusal(
    'CeremonyInProgress',
    'keepers are signing a change of the identity; wait for its end, or have it cancelled',
  )
}
