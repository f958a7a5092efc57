/** `community.reeve.member.resolve`: everybody who stands in a space, through whatever spaces, and what they may do there. */
import type * as lexicon from '../lexicons/community/reeve/member/resolve.ts'
import type { Did, SpaceUri } from '../names.ts'
import { decideAct } from '../policy/decide.ts'
import { ACTIONS, type Action } from '../policy/roles.ts'
import { standingIn } from '../policy/standing.ts'
import { type Basis, requireAtLeast, wordOf } from './basis.ts'
import { listPeopleIn, loadPeople, type PeopleIn } from './facts-store.ts'
import { type GovernanceCtx, notFound, required } from './governance.ts'
import type { AtOneRevision } from './graph.ts'
import { requireAction, requireSpace } from './input.ts'
import { factsAbout, loadStandingFacts, spacesThatLeadTo, spacesThatMatter } from './standing-facts.ts'
import { loadSpaceState } from './store.ts'

interface Resolved {
  readonly did: Did
  readonly actions: Action[]
}

/** Looks at a page of people at a time; so many looks in one call, when most of those who have entries don't stand after all. */
const LOOKS_MAX = 20
/** Fewer people at a time cost as much to look up. */
const LOOK_MIN = 100

/**
 * By the rosters alone, as `reach`. Pages in the order of DIDs; the cursor is the last DID that was looked at, so whoever stands
 * there all the while is met exactly once, whatever changes between two pages. A page may be short, or empty, and have a cursor.
 * @throws Refusal InvalidRequest for an unknown action; NotFound for strangers; Forbidden without members.read
 */
export async function memberResolve(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const action = params.action === undefined ? null : requireAction(params.action)
  const facts = await loadStandingFacts(ctx, ctx.db, space.authority, caller)
  if (!facts || (await loadSpaceState(ctx.db, space.uri)) !== 'live') throw notFound()
  required(decideAct(facts, caller, 'members.read', space.uri))
  requireAtLeast(params.atLeast, facts.basis)

  const limit = params.limit ?? 100
  const members: Resolved[] = []
  let after = params.cursor ?? ''
  let { basis, revision }: { basis: Basis; revision: number } = facts
  for (let look = 0; look < LOOKS_MAX; look++) {
    const page = await resolvePage(ctx, space.authority, space.uri, { action, after, limit: Math.max(limit, LOOK_MIN) })
    ;({ basis, revision } = page)
    for (const member of page.members) {
      if (members.length === limit) return { members, cursor: members[limit - 1]?.did, revision, at: wordOf(basis) }
      members.push(member)
    }
    if (page.next === null) return { members, revision, at: wordOf(basis) }
    after = page.next
  }
  return { members, cursor: after, revision, at: wordOf(basis) }
}

interface Page {
  readonly members: readonly Resolved[]
  /** The DID after which the next page begins; null when this was the last. */
  readonly next: Did | null
  readonly revision: number
  readonly basis: Basis
}

/** Some people with an entry that leads to the space, and which of them stand there. */
async function resolvePage(
  ctx: GovernanceCtx,
  community: Did,
  space: SpaceUri,
  { action, after, limit }: { action: Action | null; after: string; limit: number },
): Promise<Page> {
  let dids: readonly Did[] = []
  const found: AtOneRevision<PeopleIn> | null = await ctx.graphs.atOneRevision(
    ctx.db,
    community,
    async (asked, known) => {
      dids = await listPeopleIn(ctx.db, asked, spacesThatLeadTo(community, space, known), after, limit)
      return loadPeople(ctx.db, asked, dids, spacesThatMatter(community, space, known))
    },
  )
  if (!found) throw notFound()
  const members: Resolved[] = []
  for (const did of dids) {
    const actions = standingIn(factsAbout(ctx, community, did, found), space).get(space)?.actions
    if (!actions || (action !== null && !actions.has(action))) continue
    members.push({ did, actions: ACTIONS.filter((one) => actions.has(one)) })
  }
  const next = dids.length === limit ? (dids.at(-1) ?? null) : null
  const numbers = factsAbout(ctx, community, community, found)
  return { members, next, revision: numbers.revision, basis: numbers.basis }
}
