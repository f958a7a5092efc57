/** People who stand in a space, for work that is about all of them and not about one. */
import type { Did, SpaceName } from '../names.ts'
import type { Action } from '../policy/roles.ts'
import { standingIn } from '../policy/standing.ts'
import { type GovernanceCtx, notFound } from './governance.ts'
import { loadRosterPage } from './roster-pages.ts'

const PAGE = 500

/**
 * Those who may do something in a space by the rosters alone, in the order of their DIDs, and no more than `max` of them.
 * @throws Refusal('NotFound') when the community isn't there
 */
export async function listStanding(
  ctx: GovernanceCtx,
  { authority, uri }: SpaceName,
  action: Action,
  max: number,
): Promise<readonly Did[]> {
  const met: Did[] = []
  for (let after: string | null = ''; after !== null && met.length < max; ) {
    const page = await loadRosterPage(ctx, authority, uri, { after, limit: PAGE })
    if (!page) throw notFound()
    await page.each((facts) => {
      if (standingIn(facts, uri).get(uri)?.actions.has(action)) met.push(facts.did)
    })
    after = page.next
  }
  return met.slice(0, max)
}
