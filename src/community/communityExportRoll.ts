/** `community.reeve.community.exportRoll`: everything that is written on the roll of a community, for those who may take it away. */
import type * as lexicon from '../lexicons/community/reeve/community/exportRoll.ts'
import { type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { exportPage, type Position } from './roll-export.ts'

const USE = 'exportRoll'
const LIMIT = 1_000

/** Whoever may is asked for on every page. @throws Refusal InvalidRequest; NotFound for strangers; Forbidden without community.export */
export async function communityExportRoll(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  const at = params.cursor === undefined ? null : positionOf(ctx, community, params.cursor)
  const facts = await loadStandingFacts(ctx, ctx.db, community, caller, { feedersOf: () => [] })
  if (!facts) throw notFound()
  required(decideAct(facts, caller, 'community.export', rosterUri(community)))
  const limit = params.limit ?? LIMIT
  const read = { isolation: 'repeatable read' } as const
  const page = await withTransaction(ctx.db, (tx) => exportPage(ctx, tx, community, { at, limit }), read)
  if (!page) throw notFound()
  const { lines, revision, next } = page
  return { lines, revision, ...(next ? { cursor: cursorOf(ctx, community, next) } : {}) }
}

/** Sealed, so that what the last line says of the first page is what it was. */
const cursorOf = ({ words }: GovernanceCtx, community: Did, position: Position): string =>
  words.seal(USE, JSON.stringify([community, position]))

function positionOf({ words }: GovernanceCtx, community: Did, cursor: string): Position {
  const text = words.open(USE, cursor)
  const [of, position] = text === null ? [] : (JSON.parse(text) as [Did, Position])
  if (of !== community || !position) throw new Refusal('InvalidRequest', 'no such cursor')
  return position
}
