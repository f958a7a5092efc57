/** `community.reeve.role.list`: what each role of a community allows, for those who stand in it. */
import type * as lexicon from '../lexicons/community/reeve/role/list.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { ACTIONS, SHIPPED_DESCRIPTIONS, SHIPPED_ROLES } from '../policy/roles.ts'
import { standingOf } from '../policy/standing.ts'
import { type GovernanceCtx, notFound } from './governance.ts'
import { requireDid } from './input.ts'
import { listOwnRoles } from './role-store.ts'
import { loadStandingFacts } from './standing-facts.ts'

/** Pages in the order of names; the cursor is the last name. @throws Refusal('NotFound') for a caller who stands nowhere in it */
export async function roleList(ctx: GovernanceCtx, caller: Did, params: lexicon.$Params): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  const facts = await loadStandingFacts(ctx, ctx.db, community, caller)
  if (!facts || standingOf(facts).size === 0) throw notFound()
  const own = new Map((await listOwnRoles(ctx.db, community)).map((role) => [role.name, role]))
  const after = params.cursor ?? ''
  const limit = params.limit ?? 100
  const names = [...new Set([...SHIPPED_ROLES.keys(), ...own.keys()])].filter((name) => name > after).sort()
  const roles = names.slice(0, limit).map((name) => {
    const changed = own.get(name)
    const description = changed ? changed.description : (SHIPPED_DESCRIPTIONS.get(name) ?? null)
    const shipped = SHIPPED_ROLES.get(name)
    return {
      name,
      actions: changed ? [...changed.actions] : ACTIONS.filter((action) => shipped?.has(action)),
      ...(description === null ? {} : { description }),
      origin: !changed ? 'shipped' : shipped ? 'changed' : 'own',
      ...(changed ? { changedBy: changed.putBy, changedAt: isoOf(changed.putAtMs) } : {}),
    }
  })
  const last = roles.at(-1)
  return { roles, ...(names.length > limit && last ? { cursor: last.name } : {}), revision: facts.revision }
}
