/** `community.reeve.member.preview`: what would somebody see and be allowed, and a newcomer who is put somewhere? */
import type * as lexicon from '../lexicons/community/reeve/member/preview.ts'
import { wordOf } from '../membership/basis.ts'
import { loadPeople } from '../membership/facts-store.ts'
import { notFound, required, rosterUri } from '../membership/governance.ts'
import { requireClientId, requireDid, requireSpace } from '../membership/input.ts'
import { type Facts, factsAbout } from '../membership/standing-facts.ts'
import { type Did, parseSpaceUri, type SpaceUri } from '../names.ts'
import { giveWay } from '../platform/clock.ts'
import { withTransaction } from '../platform/database.ts'
import { type AccessFacts, type Asker, appToAsk, decideAct, decideFor } from '../policy/decide.ts'
import { ACTIONS, OWNER } from '../policy/roles.ts'
import { holds, type StandingFacts, standingOf } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import type { AccessCtx } from './may-read.ts'
import { type LivingSpace, listLivingSpaces } from './store.ts'

/** Who is looked at: a person, or a newcomer with one entry. */
type Who =
  | { readonly did: Did; readonly entry: null }
  | { readonly did: null; readonly entry: { readonly into: SpaceUri; readonly role: string } }

/** Spaces looked at for one page. A page may be shorter, and have a cursor. */
const LOOK_MAX = 1_000
/** As long as other requests may wait. */
const REST_EVERY_MS = 10

/** Nobody's: a name that is set aside for examples, so that no policy and no community takes the newcomer for somebody. */
const NEWCOMER = 'did:web:newcomer.invalid' as Did

/**
 * By the verdicts of the real thing, the app's among them. A caller sees the spaces whose rosters they may see, and about themself
 * those in which they stand; spaces where the person would neither stand nor be let in, nor a managing app be asked about them, are left out.
 *
 * Order of checks: the input, of which `did` and `space` with `role` name one between them (InvalidRequest); the caller stands
 * somewhere in the community (NotFound); for a newcomer, the caller may add people to that space or assign roles there (NotFound,
 * Forbidden), the role exists (UnknownRole) and may be held there (InvalidRequest).
 * Pages in the order of URIs; the cursor is the last one that was looked at, sealed, because it need not be for the caller to know.
 */
export async function memberPreview(
  ctx: AccessCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  const who = requireWho(params, community)
  const after = params.cursor === undefined ? '' : ctx.words.open(cursorUse(community), params.cursor)
  if (after === null) throw new Refusal('InvalidRequest', 'cursor is not one of this list')
  const { spaces, callers, persons } = await loadScene(ctx, { community, caller, who, after })
  if (standingOf(callers).size === 0) throw notFound()
  const facts = who.entry ? newcomerIn(callers, who.entry) : persons

  const asker = {
    did: who.did ?? NEWCOMER,
    clientId: params.clientId === undefined ? null : requireClientId(params.clientId),
  }
  const [seen, standing] = [standingOf(callers), standingOf(facts)]
  const isShown = ({ uri }: LivingSpace) =>
    holds(seen, uri, 'members.read') || (who.did === caller && standing.has(uri))
  const limit = params.limit ?? 100
  const found: lexicon.Space[] = []
  let last: SpaceUri | null = spaces.length === LOOK_MAX ? (spaces.at(-1)?.uri ?? null) : null
  let restedMs = ctx.clock.monotonicMs()
  for (const [nth, living] of spaces.entries()) {
    if (ctx.clock.monotonicMs() - restedMs > REST_EVERY_MS) {
      await giveWay()
      restedMs = ctx.clock.monotonicMs()
    }
    const space = parseSpaceUri(living.uri)
    if (!space || !isShown(living)) continue
    const { readPolicy, writePolicy, isAtPds } = living
    const access = { ...facts, space, readPolicy, writePolicy, isAtPds }
    const seenIn = living.isReleased ? { reads: false, writes: false, asks: undefined } : seenThrough(access, asker)
    const held = standing.get(living.uri)?.actions
    if (!held && !seenIn.reads && !seenIn.writes && !seenIn.asks) continue
    found.push({ uri: living.uri, actions: ACTIONS.filter((action) => held?.has(action)), ...seenIn })
    if (found.length < limit) continue
    if (nth < spaces.length - 1) last = living.uri
    break
  }
  const cursor = last === null ? {} : { cursor: ctx.words.seal(cursorUse(community), last) }
  return { spaces: found, ...cursor, revision: facts.revision, at: wordOf(ctx, facts.basis) }
}

/** What they would be let do, and about what a managing app would have to be asked. Nobody asks it for this. */
function seenThrough(facts: AccessFacts, asker: Asker): Pick<lexicon.Space, 'reads' | 'writes' | 'asks'> {
  const [read, write] = [decideFor(facts, asker, 'read'), decideFor(facts, asker, 'write')]
  const asks = [
    ...(appToAsk(facts.readPolicy, read) ? ['read'] : []),
    ...(appToAsk(facts.writePolicy, write) ? ['write'] : []),
  ]
  return { reads: read.ok, writes: write.ok, ...(asks.length > 0 ? { asks } : {}) }
}

/** A cursor goes on in the list of its community, and in no other. */
const cursorUse = (community: Did): string => `preview ${community}`

/** @throws Refusal('InvalidRequest') unless a person is named, or a space of the community and a role */
function requireWho({ did, space, role }: lexicon.$Params, community: Did): Who {
  if (did !== undefined && space === undefined && role === undefined)
    return { did: requireDid(did, 'did'), entry: null }
  if (did === undefined && space !== undefined && role !== undefined) {
    const { uri, authority } = requireSpace(space)
    if (authority !== community) throw new Refusal('InvalidRequest', 'space is not one of the community')
    return { did: null, entry: { into: uri, role } }
  }
  throw new Refusal('InvalidRequest', 'send either did, or space and role')
}

interface Scene {
  readonly spaces: readonly LivingSpace[]
  readonly callers: Facts
  readonly persons: Facts
}

/** The caller, the person and the spaces of one snapshot. @throws Refusal('NotFound') for a community that isn't here */
async function loadScene(
  ctx: AccessCtx,
  { community, caller, who, after }: { community: Did; caller: Did; who: Who; after: string },
): Promise<Scene> {
  const person = who.did ?? caller
  let spaces: readonly LivingSpace[] = []
  const read = (communities: readonly Did[]) =>
    withTransaction(
      ctx.db,
      async (tx) => {
        spaces = await listLivingSpaces(tx, community, after, LOOK_MAX)
        return loadPeople(tx, communities, [...new Set([caller, person])], null)
      },
      { isolation: 'repeatable read' },
    )
  const found = await ctx.graphs.atOneRevision(ctx.db, community, read)
  if (!found) throw notFound()
  const callers = factsAbout(ctx, community, caller, found)
  return { spaces, callers, persons: person === caller ? callers : factsAbout(ctx, community, person, found) }
}

/** Somebody without a past, who was just put into a space. @throws Refusal NotFound, Forbidden, UnknownRole, InvalidRequest */
function newcomerIn(callers: Facts, { into, role }: { readonly into: SpaceUri; readonly role: string }): Facts {
  const { graph } = callers
  if (graph.isEnded(into)) throw notFound()
  const assigning = decideAct(callers, callers.did, 'role.assign', into)
  if (!assigning.ok) required(decideAct(callers, callers.did, 'members.add', into))
  if (!callers.roles.has(role)) throw new Refusal('UnknownRole', 'the community has no such role')
  if (role === OWNER && into !== rosterUri(graph.community)) {
    throw new Refusal('InvalidRequest', 'owners stand in the roster; their role reaches every space')
  }
  const nothing = { own: [], bans: [], left: [] } satisfies Partial<StandingFacts>
  const entry = { into, from: NEWCOMER, role, holding: null, sinceMs: null, untilMs: null }
  return { ...callers, ...nothing, own: [entry], feeding: callers.feeding.map((one) => ({ ...one, ...nothing })) }
}
