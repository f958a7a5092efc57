/** `community.reeve.member.explain`: why may this person do that here, or why not, as far as it is for the caller to know? */
import type * as checkLexicon from '../lexicons/community/reeve/member/check.ts'
import type * as lexicon from '../lexicons/community/reeve/member/explain.ts'
import { requireAtLeast, wordOf } from '../membership/basis.ts'
import { notFound, required } from '../membership/governance.ts'
import { requireAction, requireClientId, requireDid, requireSpace } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did, SpaceUri } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideAct } from '../policy/decide.ts'
import {
  explain,
  isTold,
  type Missing,
  reasonsSeenBy,
  type Seen,
  seenBy,
  seesBan,
  withoutApps,
} from '../policy/explain.ts'
import { unlessReleased } from '../policy/hook.ts'
import type { Edge } from '../policy/roster-graph.ts'
import { type AccessCtx, loadReadFacts } from './may-read.ts'
import { onlookerOf, seesAppsIn } from './onlooker.ts'
import { edgeKey, loadBanReasons, loadEdgeMakers, type Maker } from './store.ts'

/**
 * Everybody may ask about themself, in any space, and sees all of this community's edges on their own ways; of what is missing
 * they are not told of spaces where they don't stand. About others may ask who holds members.read there, and sees what is on the
 * rosters that they may see; a ban of another reads to them as if the person had no entry, unless they may see bans there. Who holds
 * audit.read in the roster sees all that is the community's. Of other communities nobody is told more than that a space of theirs let
 * somebody in.
 * @throws Refusal InvalidRequest for an unknown action; NotFound for strangers; Forbidden
 * @throws Unavailable when the database has not got as far as `atLeast`
 */
export async function memberExplain(
  ctx: AccessCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const person = requireDid(params.did, 'did')
  const action = params.action === undefined ? null : requireAction(params.action)
  const read = await loadReadFacts(ctx, space, person)
  if (read.space !== 'live') throw notFound()
  const callerFacts = await loadStandingFacts(ctx, ctx.db, space.authority, caller)
  if (!callerFacts) throw notFound()
  if (person !== caller) required(decideAct(callerFacts, caller, 'members.read', space.uri))
  requireAtLeast(ctx, params.atLeast, read.basis)

  const onlooker = onlookerOf(callerFacts, person)
  const isToldOf = (scope: SpaceUri | Did) => seesBan(onlooker, scope)
  const clientId = params.clientId === undefined ? null : requireClientId(params.clientId)
  const why = explain(read.facts, { did: person, clientId }, action, isToldOf)
  // Besides all else that may be missing: without it, nobody has anything there.
  const decision = unlessReleased(read.binding?.isReleased ?? false, action, why.decision)
  const isReleased = decision !== why.decision
  const { isSelf, seesAll, seesRoster, seesBans } = onlooker
  const seen = seenBy(why, space.authority, ({ into }) => isSelf || seesAll || seesRoster(into))
  const missing = why.missing.filter((one) => isTold(one, onlooker))
  const makers = await loadEdgeMakers(ctx.db, edgesOf(seen))
  const scopes = missing.flatMap(({ obstacle }) => (obstacle.kind === 'ban' ? [obstacle.ban.scope] : []))
  const reasons = await loadBanReasons(ctx.db, person, scopes.filter(seesBans))
  // As `member.check`: how somebody else stands in other spaces is for those who may see the rosters there.
  const told = withoutApps(reasonsSeenBy(decision, read.facts, isToldOf), read.facts, isSelf && seesAppsIn(read.facts))
  const because = told.filter(({ into }) => isSelf || seesAll || into === undefined || into === space.uri)
  return {
    allowed: decision.ok,
    because: because as checkLexicon.Reason[],
    edges: seen.edges.map((one) => (one ? renderEdge(one, makers.get(edgeKey(one.edge))) : { hidden: true })),
    edgesAreAll: why.edgesAreAll,
    paths: seen.paths.map((edges) => ({ edges: [...edges] })),
    pathsAreAll: why.pathsAreAll,
    missing: [
      ...(isReleased ? [{ kind: 'released', away: 0, scope: space.authority }] : []),
      ...missing.map((one) => renderMissing(one, reasons)),
    ],
    revision: read.revision,
    at: wordOf(ctx, read.basis),
  }
}

const edgesOf = ({ edges }: Seen): readonly Edge[] => edges.flatMap((one) => one?.edge ?? [])

const renderTerm = ({ sinceMs, untilMs }: Pick<Edge, 'sinceMs' | 'untilMs'>) => ({
  ...(sinceMs === null ? {} : { since: isoOf(sinceMs) }),
  ...(untilMs === null ? {} : { until: isoOf(untilMs) }),
})

const renderEdge = (
  { edge, gives, restsOn }: NonNullable<Seen['edges'][number]>,
  maker: Maker | undefined,
): lexicon.Edge => ({
  hidden: false,
  into: edge.into,
  from: edge.from,
  role: edge.role,
  gives: [...gives],
  ...(edge.holding === null ? {} : { holding: edge.holding }),
  ...renderTerm(edge),
  restsOn: [...restsOn],
  ...(maker === undefined ? {} : { addedBy: maker.by, addedAt: isoOf(maker.atMs), bySystem: maker.isSystem }),
})

function renderMissing({ obstacle, along }: Missing, reasons: ReadonlyMap<SpaceUri | Did, string>): lexicon.Missing {
  const about = { kind: obstacle.kind, away: along.length - 1 }
  switch (obstacle.kind) {
    case 'ban': {
      const { scope, untilMs } = obstacle.ban
      const reason = reasons.get(scope)
      return { ...about, scope, ...renderTerm({ sinceMs: null, untilMs }), ...(reason === undefined ? {} : { reason }) }
    }
    case 'frozen':
      return { ...about, scope: obstacle.scope }
    case 'spaceEnded':
    case 'left':
      return { ...about, space: obstacle.space }
    case 'managingApp':
      return { ...about, from: obstacle.app }
    case 'entry':
      return { ...about, space: obstacle.into, role: obstacle.role }
    default: {
      const { edge } = obstacle
      const { into, from, role, holding } = edge
      const needed = holding === null ? {} : { holding }
      const lacking = obstacle.kind === 'lacks' ? { action: obstacle.need } : {}
      return { ...about, space: into, from, role, ...needed, ...lacking, ...renderTerm(edge) }
    }
  }
}
