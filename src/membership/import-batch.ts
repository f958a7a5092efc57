/**
 * What becomes of the rows of an import: each is judged as if its person were put by hand, by the power that who began the import
 * has in this moment, and those who may be put are written down together.
 */
import { authorityOf, type Did, type SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER } from '../policy/roles.ts'
import type { Edge } from '../policy/roster-graph.ts'
import type { Reason } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { deleteDepartures } from './ban-store.ts'
import { loadPeople, type PeopleIn } from './facts-store.ts'
import { type Changed, type Entry, isKeptRefusal, notFound, required, rosterUri } from './governance.ts'
import type { AtOneRevision } from './graph.ts'
import { type Counts, countsOf } from './import-counts.ts'
import { type Import, type ImportRow, listRows, noteApplied, type RowFault } from './import-store.ts'
import { settleRequests } from './joining-store.ts'
import { noteOwnerGone } from './proposal-store.ts'
import { type AllowedPut, judgePut, putDetails } from './put-verdict.ts'
import { type Facts, type FactsCtx, factsAbout } from './standing-facts.ts'
import { listOwners, loadSpaceState, savePersonEdges } from './store.ts'

/** Rows of one transaction. The community is held meanwhile, and whoever wants a credential waits. */
export const BATCH_MAX = 200
/** Rows that lead far through a community take longer to judge: a batch ends when they have taken this long. */
const JUDGING_MAX_MS = 40

/** What became of one row: it may be put, or not. */
export type Judged =
  | { readonly row: ImportRow; readonly put: AllowedPut; readonly fault: null }
  | { readonly row: ImportRow; readonly put: null; readonly fault: RowFault; readonly because: readonly Reason[] }

/** What the rows are judged by. It moves on with every row that is put. */
export interface Bench {
  actor: Facts
  readonly people: AtOneRevision<PeopleIn>
  /** Who owns the community now: nobody takes the last of them away, not even with two rows at once. */
  readonly owners: Set<Did>
}

/** May this person bring people into the space? @throws Refusal NotFound, Forbidden */
export async function requireImporter(tx: Tx, actor: Facts, space: SpaceUri) {
  const decision = decideAct(actor, actor.did, 'members.add', space)
  if ((await loadSpaceState(tx, space)) !== 'live') throw notFound()
  required(decision)
  return decision
}

/** Reads what the rows of one space are judged by. */
export async function openBench(
  ctx: FactsCtx,
  tx: Tx,
  actor: Facts,
  space: SpaceUri,
  rows: readonly ImportRow[],
): Promise<Bench> {
  const community = authorityOf(space)
  const dids = rows.map(({ did }) => did)
  const read = (communities: readonly Did[]) => loadPeople(tx, communities, dids, null)
  const people = await ctx.graphs.atOneRevision(tx, community, read, { feedersOf: () => [] })
  if (!people) throw notFound()
  const roster = rosterUri(community)
  const owners = space === roster ? await listOwners(tx, roster, ctx.clock.nowMs()) : []
  return { actor, people, owners: new Set(owners) }
}

/** Judges one row, as if those before it had been put already. */
export function judgeRow(ctx: FactsCtx, bench: Bench, space: SpaceUri, row: ImportRow): Judged {
  const community = authorityOf(space)
  const { did, role, sinceMs, untilMs } = row
  const after = { into: space, from: did, role, holding: null, sinceMs, untilMs }
  const { actor, owners } = bench
  try {
    const person = did === actor.did ? actor : factsAbout(ctx, community, did, bench.people)
    const otherOwners = owners.size - (owners.has(did) ? 1 : 0)
    const put = judgePut(actor, person, after, otherOwners)
    if (role === OWNER) throw new Refusal('InvalidRequest', 'owners are named one by one, by member.put')
    if (space === rosterUri(community)) owners.delete(did)
    if (did === actor.did) bench.actor = { ...actor, ...entriesWith(actor, after) }
    return { row, put, fault: null }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const fault = { line: row.line, did, code: error.code, says: error.says }
    return { row, put: null, fault, because: JSON.parse(error.because ?? '[]') }
  }
}

/** What somebody's standing comes from once an entry of theirs is put. */
export const entriesWith = <E extends Pick<Facts, 'own' | 'left'>>(before: E, after: Edge) => ({
  own: [...before.own.filter(({ into }) => into !== after.into), after],
  left: before.left.filter((space) => space !== after.into),
})

/**
 * Applies the next rows of an import that is held, for who began it. The chain gets an entry for the batch, and one for each
 * person who was put or refused by a verdict, as if it had been done by hand: whoever asks for a person finds them.
 * @throws Refusal NotFound, Forbidden when who began it may no longer put anybody there
 */
export async function applyBatch(
  ctx: FactsCtx,
  tx: Tx,
  actor: Facts,
  one: Import,
  nowMs: number,
): Promise<Changed<Counts>> {
  const { id, space } = one
  const importer = await requireImporter(tx, actor, space)
  const rows = await listRows(tx, id, one.appliedLine, BATCH_MAX)
  const bench = await openBench(ctx, tx, actor, space, rows)
  const judged: Judged[] = []
  const beganMs = ctx.clock.monotonicMs()
  for (const row of rows) {
    judged.push(judgeRow(ctx, bench, space, row))
    if (ctx.clock.monotonicMs() - beganMs > JUDGING_MAX_MS) break
  }

  const puts = judged.flatMap(({ put }) => (put && !put.isSame ? [put] : []))
  const back = puts.filter(({ hadLeft }) => hadLeft)
  if (puts.length > 0) await savePersonEdges(tx, puts, one.community, nowMs)
  if (back.length > 0) await deleteDepartures(tx, back, space)
  await settleRequests(tx, puts, space, nowMs)
  for (const { permit, before, after } of puts) {
    const isTaken = before?.role === OWNER && after.from !== actor.did
    if (isTaken) await noteOwnerGone(tx, permit, one.community, after.from, nowMs)
  }
  const refused = judged.flatMap(({ fault }) => fault ?? [])
  const same = judged.length - puts.length - refused.length
  const isLast = judged.length === rows.length && rows.length < BATCH_MAX
  const appliedLine = isLast ? one.given : (judged.at(-1)?.row.line ?? one.given)
  const state = isLast ? 'done' : 'running'
  await noteApplied(tx, id, { appliedLine, put: puts.length, same, refused, state, nowMs })
  const counts = { put: one.put + puts.length, same: one.same + same, refused: one.refused + refused.length }
  return {
    answer: countsOf({ ...one, state, ...counts }),
    changed: puts.length > 0 ? 'roster' : 'nothing',
    because: importer.because,
    details: {
      import: id,
      ...{ fromLine: one.appliedLine + 1, toLine: appliedLine, put: puts.length, same, refused: refused.length },
    },
    each: judged.flatMap((each) => entryOf(id, each) ?? []),
  }
}

function entryOf(id: string, judged: Judged): Entry | null {
  const { row, put } = judged
  const of = { action: 'member.put', subject: row.did }
  const details = { import: id, line: row.line }
  if (put) {
    if (put.isSame) return null
    return { ...of, because: put.because, details: { ...putDetails(put.before, put.after), ...details } }
  }
  const { code } = judged.fault
  return isKeptRefusal(code) ? { ...of, because: judged.because, refused: code, details } : null
}
