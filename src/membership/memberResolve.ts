/** `community.reeve.member.resolve`: everybody who stands in a space, through whatever spaces, and what they may do there. */
import type * as lexicon from '../lexicons/community/reeve/member/resolve.ts'
import type { Did, SpaceUri } from '../names.ts'
import { decideAct } from '../policy/decide.ts'
import { ACTIONS, type Action } from '../policy/roles.ts'
import { standingIn } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { type Basis, requireAtLeast, wordOf } from './basis.ts'
import { type GovernanceCtx, notFound, required } from './governance.ts'
import { requireAction, requireSpace } from './input.ts'
import { loadRosterPage } from './roster-pages.ts'
import { loadStandingFacts } from './standing-facts.ts'
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
 * By the rosters alone, as `reach`. Pages in the order of DIDs; the cursor is the last DID that was looked at, sealed, because that
 * person need not stand there. So whoever stands there all the while is met exactly once, whatever changes between two pages. A page
 * may be short, or empty, and have a cursor.
 * @throws Refusal InvalidRequest for an unknown action or a cursor that is none; NotFound for strangers; Forbidden without members.read
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
  requireAtLeast(ctx, params.atLeast, facts.basis)

  const limit = params.limit ?? 100
  const members: Resolved[] = []
  const use = cursorUse(space.uri)
  let after = params.cursor === undefined ? '' : ctx.words.open(use, params.cursor)
  if (after === null) throw new Refusal('InvalidRequest', 'cursor is not one of this list')
  let { basis, revision }: { basis: Basis; revision: number } = facts
  for (let look = 0; look < LOOKS_MAX; look++) {
    const wanted = Math.max(limit - members.length, LOOK_MIN)
    const page = await resolvePage(ctx, space.authority, space.uri, { action, after, limit: wanted })
    ;({ basis, revision } = page)
    const met = page.members.slice(0, limit - members.length)
    members.push(...met)
    const next = met.length < page.members.length ? (met.at(-1)?.did ?? null) : page.next
    if (next === null) return { members, revision, at: wordOf(ctx, basis) }
    after = next
    if (members.length === limit) break
  }
  return { members, cursor: ctx.words.seal(use, after), revision, at: wordOf(ctx, basis) }
}

/** A cursor goes on in the list that it is of, and in no other. */
export const cursorUse = (space: SpaceUri): string => `resolve ${space}`

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
  const page = await loadRosterPage(ctx, community, space, { after, limit })
  if (!page) throw notFound()
  const members: Resolved[] = []
  // Most have what one role gives, which is one set for all of them.
  const listed = new Map<ReadonlySet<Action>, Action[]>()
  await page.each((facts) => {
    const has = standingIn(facts, space).get(space)?.actions
    if (!has || (action !== null && !has.has(action))) return
    const actions = listed.get(has) ?? ACTIONS.filter((one) => has.has(one))
    listed.set(has, actions)
    members.push({ did: facts.did, actions })
  })
  return { members, next: page.next, revision: page.numbers.revision, basis: page.numbers.basis }
}
