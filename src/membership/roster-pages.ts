/**
 * Everybody who may stand in a space, a page at a time in the order of DIDs: whoever has an entry in any space that leads there, with the facts
 * about each.
 */
import type { Did, SpaceUri } from '../names.ts'
import { giveWay } from '../platform/clock.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import {
  listPeopleIn,
  loadBetween,
  loadPeople,
  loadStretch,
  type PeopleIn,
  SPACES_SIDE_BY_SIDE_MAX,
} from './facts-store.ts'
import type { KnownGraphs } from './graph.ts'
import {
  type Facts,
  type FactsCtx,
  factsAbout,
  factsOn,
  feedersInto,
  spacesThatLeadTo,
  spacesThatMatter,
} from './standing-facts.ts'

/** Of somebody in a community whose spaces are nested in each other, so many entries are met on the average, or fewer. */
const ENTRIES_EACH = 3
/** In a dense graph one person may take milliseconds; nobody else's request shall wait for a whole page of them. */
const REST_EVERY_MS = 10
/** Where fewer than one in so many leads to the space, it pays to collect them space by space. */
const SPARSE = 50
/** Up to so many people are looked up one by one without asking who is between them. */
const FEW = 32

export interface RosterPage {
  /** Looks at everybody on the page, in order, giving way to others meanwhile. */
  each(look: (facts: Facts) => void): Promise<void>
  /** The DID after which the next page begins; null when this was the last. Everybody up to there was looked at. */
  readonly next: Did | null
  /** What the page rests on: the facts about nobody in particular. */
  readonly numbers: Facts
}

/** Some people with an entry that leads to the space, after `after`, of one snapshot. Null: the community is unknown. */
export async function loadRosterPage(
  ctx: FactsCtx & { readonly db: Db },
  community: Did,
  space: SpaceUri,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<RosterPage | null> {
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
  if (!found) return null
  return {
    async each(look) {
      const factsOf = factsOn(ctx, community, found)
      let restedMs = ctx.clock.monotonicMs()
      for (const did of met.dids) {
        if (ctx.clock.monotonicMs() - restedMs > REST_EVERY_MS) {
          await giveWay()
          restedMs = ctx.clock.monotonicMs()
        }
        look(factsOf(did))
      }
    },
    next: met.next,
    numbers: factsAbout(ctx, community, community, found),
  }
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
  const dids = await listPeopleIn(tx, [...spacesThatLeadTo(community, space, known).keys()], after, limit)
  const last = dids.at(-1)
  const next = dids.length === limit ? (last ?? null) : null
  // Where hardly anybody else is between them, they are read in one go.
  const isOne = asked.length === 1 && last !== undefined && dids.length > FEW
  const between = isOne ? await loadBetween(tx, community, { after, upTo: last }, dids.length * ENTRIES_EACH) : null
  if (between) return { dids, next, rows: new Map([[community, between]]) }
  return { dids, next, rows: await loadPeople(tx, asked, dids, spacesThatMatter(community, space, known)) }
}
