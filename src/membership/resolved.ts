/** People who stand in a space, for work that is about all of them and not about one. */
import type { Did, SpaceName } from '../names.ts'
import type { Action } from '../policy/roles.ts'
import type { GovernanceCtx } from './governance.ts'
import { resolvePage } from './memberResolve.ts'

const PAGE = 500

/** Those who may do something in a space by the rosters alone, in the order of their DIDs, and no more than `max` of them. */
export async function listStanding(
  ctx: GovernanceCtx,
  space: SpaceName,
  action: Action,
  max: number,
): Promise<readonly Did[]> {
  const met: Did[] = []
  for (let after: string | null = ''; after !== null && met.length < max; ) {
    const page = await resolvePage(ctx, space.authority, space.uri, { action, after, limit: PAGE })
    met.push(...page.members.map(({ did }) => did))
    after = page.next
  }
  return met.slice(0, max)
}
