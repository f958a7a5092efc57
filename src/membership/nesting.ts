/** A space comes onto another space's roster, and off it again. */
import { authorityOf, isSpaceUri, type SpaceName, type SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import { decideNest, decideUnnest } from '../policy/decide-spaces.ts'
import { type Action, OWNER, type Roles } from '../policy/roles.ts'
import { type Edge, isForeign, sameEntry } from '../policy/roster-graph.ts'
import { holds, standingIn } from '../policy/standing.ts'
import type { Decision, Permit } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { type Changed, notFound, required } from './governance.ts'
import { requireRoomForEntry, requireRoomForFeeder } from './limits.ts'
import { isOfferedTo } from './offer-store.ts'
import type { Facts } from './standing-facts.ts'
import { deleteSpaceEdge, loadSpaceState, saveSpaceEdge } from './store.ts'

/** What people of another community may be given. */
const FOR_FOREIGNERS: ReadonlySet<string> = new Set(['read', 'write'])

/** @throws Refusal('InvalidRequest') for an entry that no roster may hold, whoever asks */
function requireNestable(edge: Edge, roles: Roles): void {
  if (edge.from === edge.into) throw new Refusal('InvalidRequest', 'a space is not on its own roster')
  if (edge.role === OWNER) throw new Refusal('InvalidRequest', 'owners are people; they stand in the roster themselves')
  if (edge.sinceMs !== null && edge.untilMs !== null && edge.sinceMs >= edge.untilMs) {
    throw new Refusal('InvalidRequest', 'since is not before until')
  }
  const gives = roles.get(edge.role)
  if (!gives) throw new Refusal('UnknownRole', 'the community has no such role')
  if (isForeign(edge)) requireForForeigners([...gives])
}

/** @throws Refusal('InvalidRequest') for what people of another community may not be given */
export function requireForForeigners(actions: readonly Action[]): void {
  if (actions.some((action) => !FOR_FOREIGNERS.has(action))) {
    throw new Refusal('InvalidRequest', 'a space of another community comes in with reading and writing at most')
  }
}

/**
 * Order of checks: the space is there and the caller stands in it (NotFound); the entry may be held at all (InvalidRequest,
 * UnknownRole); the verdict (Forbidden, EscalationDenied); the nested space is there, the caller may see its roster, since
 * whoever nests it sees who comes through, and when it is another community's, it is offered to this one (NotFound); there is
 * room (LimitExceeded).
 */
export async function nest(
  tx: Tx,
  actor: Facts,
  edge: Edge & { readonly from: SpaceUri },
  nowMs: number,
): Promise<Changed<object>> {
  const community = actor.graph.community
  await requireStanding(tx, actor, edge.into)
  requireNestable(edge, actor.roles)
  const before = entriesOf(actor, edge.into, edge.from).find(({ role }) => role === edge.role) ?? null
  const decision = decideNest(actor, actor.did, { before, after: edge })
  const permit = required(decision)
  if (isForeign(edge)) {
    if (!(await isOfferedTo(tx, edge.from, community))) throw notFound()
    requireRoomForFeeder(actor.graph.feeders, authorityOf(edge.from))
  } else if ((await loadSpaceState(tx, edge.from)) !== 'live' || !maySee(actor, edge.from)) throw notFound()
  if (!before) await requireRoomForEntry(tx, community)

  const isSame = before !== null && sameEntry(before, edge)
  if (!isSame) await saveSpaceEdge(tx, permit, community, edge, nowMs)
  const { from: memberSpace, role, holding, sinceMs, untilMs } = edge
  const details = { memberSpace, role, holding, sinceMs, untilMs, isReplaced: before ? 1 : 0 }
  const touches = { spaces: whoseSpace(edge), fromMs: sinceMs }
  return { answer: {}, changed: isSame ? 'nothing' : 'graph', because: decision.because, touches, details }
}

/** Whose people an entry concerns: those of the nested space; of another community's, those who come in here. */
const whoseSpace = (edge: Edge): readonly SpaceUri[] =>
  isForeign(edge) || !isSpaceUri(edge.from) ? [edge.into] : [edge.from]

const maySee = (actor: Facts, space: SpaceUri): boolean => holds(standingIn(actor, space), space, 'members.read')

/** The entries of one space on another one's roster, but for the system's own. */
const entriesOf = (facts: Facts, into: SpaceUri, from: SpaceUri): readonly Edge[] =>
  facts.graph.edgesInto(into).filter((edge) => edge.from === from && edge.role !== OWNER)

async function requireStanding(tx: Tx, actor: Facts, space: SpaceUri): Promise<void> {
  const isLive = (await loadSpaceState(tx, space)) === 'live'
  if (!isLive || !standingIn(actor, space).has(space)) throw notFound()
}

/**
 * Takes the entry with one role off a roster, or with null every entry of the nested space. Order of checks: the space is there
 * and the caller stands in it (NotFound); the entry isn't the one by which owners come (InvalidRequest); the verdict for each.
 */
export async function unnest(
  tx: Tx,
  actor: Facts,
  { into, from, role }: { into: SpaceName; from: SpaceUri; role: string | null },
): Promise<Changed<object>> {
  await requireStanding(tx, actor, into.uri)
  if (role === OWNER) throw new Refusal('InvalidRequest', 'the entry by which owners stand in a space stays')
  const entries = entriesOf(actor, into.uri, from).filter((edge) => role === null || edge.role === role)
  const decisions: Decision<Permit<'space.nest'>>[] = []
  for (const edge of entries) {
    const decision = decideUnnest(actor, actor.did, edge)
    await deleteSpaceEdge(tx, required(decision), edge)
    decisions.push(decision)
  }
  const first = decisions[0]
  if (!first) {
    const { because } = required(decideAct(actor, actor.did, 'space.nest', into.uri))
    return { answer: {}, changed: 'nothing', because }
  }
  const touches = { spaces: entries.flatMap(whoseSpace) }
  const details = { memberSpace: from, roles: entries.map((edge) => edge.role).join(' ') }
  return { answer: {}, changed: 'graph', because: first.because, touches, details }
}
