/** `community.reeve.member.import`: a roster is brought in line by line, to be looked at and applied later. */
import type * as lexicon from '../lexicons/community/reeve/member/import.ts'
import type { Did, SpaceName } from '../names.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { type ProcedureCall, remember, remembered } from '../platform/idempotency.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { Refusal } from '../refusals.ts'
import { type GovernanceCtx, keepingRefusals, notFound } from './governance.ts'
import { requireBegunBy, requireState } from './import-access.ts'
import { requireImporter } from './import-batch.ts'
import { linesOf, parseLines, requireNotNamed } from './import-lines.ts'
import {
  countUnderWay,
  type Import,
  type ImportRow,
  insertImport,
  insertRows,
  linesNaming,
  loadImport,
  lockImport,
  type RowFault,
} from './import-store.ts'
import { requireSpace } from './input.ts'
import { requireFewImports, requireRoomForLines } from './limits.ts'
import { type Facts, loadGroundedFacts } from './standing-facts.ts'
import { lockRevisions } from './store.ts'

/** Faults that the answer names; getImport has them all. */
const FAULTS_SHOWN = 100

export interface ImportCtx extends GovernanceCtx {
  readonly random: Random
}

/**
 * A line that is wrong is noted with what is wrong about it, and keeps no other from being taken. Nothing is changed on any
 * roster, so the community is held only to count its imports.
 *
 * Order of checks: the input (InvalidRequest); the caller stands in the space and may put people there (NotFound, Forbidden); the
 * import is one of this space (NotFound), was begun by the caller (Forbidden), takes lines (ImportNotOpen), and these are the
 * next (InvalidRequest); there is room (LimitExceeded).
 */
export async function memberImport(
  ctx: ImportCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const lines = linesOf(input.lines)
  if (lines.length === 0) throw new Refusal('InvalidRequest', 'lines holds no line')
  const call = { community: space.authority, actor, action: 'member.import', target: space.uri, subject: null }
  return keepingRefusals(ctx, call, () =>
    withTransaction(ctx.db, async (tx) => {
      const nowMs = ctx.clock.nowMs()
      const earlier = idempotency && (await remembered(tx, idempotency, nowMs))
      if (earlier) return earlier.answer as lexicon.$OutputBody
      const answer = await take(ctx, tx, actor, { space, lines, id: input.import, firstLine: input.firstLine, nowMs })
      if (idempotency) await remember(tx, idempotency, answer, nowMs)
      return answer
    }),
  )
}

interface Given {
  readonly space: SpaceName
  readonly lines: readonly string[]
  readonly id: string | undefined
  readonly firstLine: number | undefined
  readonly nowMs: number
}

async function take(ctx: ImportCtx, tx: Tx, actor: Did, given: Given): Promise<lexicon.$OutputBody> {
  const { space, lines, nowMs } = given
  const facts = await loadGroundedFacts(ctx, tx, space.authority, actor)
  if (!facts) throw notFound()
  await requireImporter(tx, facts, space.uri)
  const one = given.id === undefined ? await begin(ctx, tx, facts, given) : await goOn(tx, actor, given.id, space)
  const first = one.given + 1
  if (given.firstLine !== undefined && given.firstLine !== first) {
    throw new Refusal('InvalidRequest', `firstLine is not ${first}, which would be the next`)
  }
  requireRoomForLines(one.given, lines.length)

  const { rows, faults } = await withoutThoseNamed(tx, one.id, parseLines(lines, first, facts.roles))
  await insertRows(tx, one.id, { rows, faults, nowMs })
  if (given.id === undefined) {
    // Last, so that nobody waits for the community while the lines are written; whoever else begins one now is counted too.
    await lockRevisions(tx, space.authority)
    requireFewImports(await countUnderWay(tx, space.authority))
  }
  return {
    import: one.id,
    given: one.given + lines.length,
    refused: one.refused + faults.length,
    faults: faults.slice(0, FAULTS_SHOWN).map(renderFault),
  }
}

async function begin(ctx: ImportCtx, tx: Tx, { did: by }: Facts, { space, nowMs }: Given): Promise<Import> {
  const id = randomHex(ctx.random, 16)
  await insertImport(tx, { id, space: space.uri, community: space.authority, by, nowMs })
  const begun = await loadImport(tx, id)
  if (!begun) throw new TypeError('an import that was begun is there')
  return begun
}

async function goOn(tx: Tx, actor: Did, id: string, space: SpaceName): Promise<Import> {
  const one = await lockImport(tx, id)
  if (one?.space !== space.uri) throw notFound()
  requireBegunBy(one, actor)
  requireState(one, 'open')
  return one
}

/** Takes out those whom an earlier call named. */
async function withoutThoseNamed(
  tx: Tx,
  id: string,
  { rows, faults }: { rows: readonly ImportRow[]; faults: readonly RowFault[] },
): Promise<{ rows: readonly ImportRow[]; faults: readonly RowFault[] }> {
  const named = await linesNaming(
    tx,
    id,
    rows.map(({ did }) => did),
  )
  if (named.size === 0) return { rows, faults }
  const twice = rows.flatMap(({ line, did }) => {
    try {
      requireNotNamed(named.get(did))
      return []
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return { line, did, code: error.code, says: error.says }
    }
  })
  const fresh = rows.filter(({ did }) => !named.has(did))
  return { rows: fresh, faults: [...faults, ...twice].sort((a, b) => a.line - b.line) }
}

/** A fault as callers see it. */
export const renderFault = ({ line, did, code, says }: RowFault) => ({
  line,
  ...(did === null ? {} : { did: did as Did }),
  code,
  says,
})
