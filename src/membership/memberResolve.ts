/** `community.reeve.member.resolve`: everybody who stands in a space, through whatever spaces, and what they may do there. */
import type * as lexicon from '../lexicons/community/reeve/member/resolve.ts'
import type { Did, SpaceUri } from '../names.ts'
import { giveWay } from '../platform/clock.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import { ACTIONS, type Action } from '../policy/roles.ts'
import { standingIn } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { type Basis, requireAtLeast, wordOf } from './basis.ts'
import { listPeopleIn, loadPeople, loadStretch, type PeopleIn, SPACES_SIDE_BY_SIDE_MAX } from './facts-store.ts'
import { type GovernanceCtx, notFound, required } from './governance.ts'
import type { KnownGraphs } from './graph.ts'
import { requireAction, requireSpace } from './input.ts'
import { factsAbout, feedersInto, loadStandingFacts, spacesThatLeadTo, spacesThatMatter } from './standing-facts.ts'
import { loadSpaceState } from './store.ts'

interface Resolved {
  readonly did: Did
  readonly actions: Action[]
}

/** Looks at a page of people at a time; so many looks in one call, when most of those who have entries don't stand after all. */
const LOOKS_MAX = 20
/** Fewer people at a time cost as much to look up. */
const LOOK_MIN = 100
/** Of somebody in a community whose spaces are nested in each other, so many entries are met on the average, or fewer. */
const ENTRIES_EACH = 3
/** In a dense graph one person may take milliseconds; nobody else's request shall wait for a whole page of them. */
const REST_EVERY_MS = 10
/** Where fewer than one in so many leads to the space, it pays to collect them space by space. */
const SPARSE = 50

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
  let met: Met = { dids: [], next: null }
  // One snapshot: somebody who came in between two statements would be left out of an answer that says it knows of them.
  const read = (asked: readonly Did[], known: KnownGraphs) =>
    withTransaction(
      ctx.db,
      async (tx) => {
        const about = { asked, known, after, limit }
        const looked = (await lookAlong(tx, community, space, about)) ?? (await lookInto(tx, community, space, about))
        met = looked
        return looked.rows
      },
      { isolation: 'repeatable read' },
    )
  const found = await ctx.graphs.atOneRevision(ctx.db, community, read, { feedersOf: feedersInto(space) })
  if (!found) throw notFound()
  const members: Resolved[] = []
  let restedMs = ctx.clock.monotonicMs()
  for (const did of met.dids) {
    if (ctx.clock.monotonicMs() - restedMs > REST_EVERY_MS) {
      await giveWay()
      restedMs = ctx.clock.monotonicMs()
    }
    const actions = standingIn(factsAbout(ctx, community, did, found), space).get(space)?.actions
    if (!actions || (action !== null && !actions.has(action))) continue
    members.push({ did, actions: ACTIONS.filter((one) => actions.has(one)) })
  }
  const numbers = factsAbout(ctx, community, community, found)
  return { members, next: met.next, revision: numbers.revision, basis: numbers.basis }
}

/** Who may stand in the space, and after whom to go on; null when there is nobody after them. */
interface Met {
  readonly dids: readonly Did[]
  readonly next: Did | null
}

interface Look {
  readonly asked: readonly Did[]
  readonly known: KnownGraphs
  readonly after: string
  readonly limit: number
}

type Looked = Met & { readonly rows: ReadonlyMap<Did, PeopleIn> }

/**
 * Along the people of the community, whatever rosters they are on, picking those whose entries lead to the space: where many
 * spaces do, so do many people. Null when that is not the way: few spaces, several communities, or hardly anybody was picked.
 */
async function lookAlong(tx: Tx, community: Did, space: SpaceUri, look: Look): Promise<Looked | null> {
  const { asked, known, after, limit } = look
  const ways = spacesThatLeadTo(community, space, known)
  if (asked.length > 1 || ways.size <= SPACES_SIDE_BY_SIDE_MAX) return null
  const stretch = await loadStretch(tx, community, after, limit * ENTRIES_EACH)
  if (!stretch) return { dids: [], next: null, rows: new Map() }
  const everybody = [...stretch.people].filter(([, { own }]) => own.length > 0)
  const [last] = everybody.at(-1) ?? []
  if (last !== undefined && everybody.length === 1 && !stretch.isLast) {
    // One person on as many rosters as a stretch is long.
    const within = spacesThatMatter(community, space, known)
    return { dids: [last], next: last, rows: await loadPeople(tx, asked, [last], within) }
  }
  const whole = stretch.isLast ? everybody : everybody.slice(0, -1)
  const picked = whole.filter(([, { own }]) => own.some(({ into }) => ways.has(into))).map(([did]) => did)
  if (!stretch.isLast && picked.length * SPARSE < whole.length) return null
  const dids = picked.slice(0, limit)
  const end = stretch.isLast ? null : (whole.at(-1)?.[0] ?? null)
  const next = picked.length > limit ? (dids.at(-1) ?? null) : end
  return { dids, next, rows: new Map([[community, stretch]]) }
}

/** Into the spaces that lead to this one. */
async function lookInto(tx: Tx, community: Did, space: SpaceUri, look: Look): Promise<Looked> {
  const { asked, known, after, limit } = look
  const dids = await listPeopleIn(tx, [...spacesThatLeadTo(community, space, known)], after, limit)
  const rows = await loadPeople(tx, asked, dids, spacesThatMatter(community, space, known))
  return { dids, next: dids.length === limit ? (dids.at(-1) ?? null) : null, rows }
}
