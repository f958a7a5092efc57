/**
 * What an import would do, without doing it: its rows are judged as they will be, and the standing of its people is computed with
 * the entries that they would get. It writes nothing and holds nobody up; what it reads is one snapshot.
 */
import type * as lexicon from '../lexicons/community/reeve/member/applyImport.ts'
import type { Did } from '../names.ts'
import { giveWay } from '../platform/clock.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { Refusal, type RefusalCode } from '../refusals.ts'
import { NO_ENTRIES, type PeopleIn } from './facts-store.ts'
import { type ChangeCall, type GovernanceCtx, notFound } from './governance.ts'
import type { AtOneRevision } from './graph.ts'
import { requireState } from './import-access.ts'
import { BATCH_MAX, type Bench, entriesWith, judgeRow, openBench, requireImporter } from './import-batch.ts'
import { countsOf } from './import-counts.ts'
import { countFaults, type Import, type ImportRow, listRows } from './import-store.ts'
import { PEOPLE_MAX, previewOf } from './preview.ts'
import type { AllowedPut } from './put-verdict.ts'
import { type Facts, loadGroundedFacts } from './standing-facts.ts'

/** Rows judged between two moments at which other requests have their turn. */
const ROWS_AT_ONCE = 100

/** @throws Refusal NotFound, Forbidden, StaleRevision, ImportNotOpen */
export async function tryImport(ctx: GovernanceCtx, call: ChangeCall, one: Import): Promise<lexicon.$OutputBody> {
  const read = await withTransaction(ctx.db, (tx) => readAll(ctx, tx, call, one), { isolation: 'repeatable read' })
  const { rows, bench, faults, isComplete, actor } = read
  const refused = new Map(faults)
  const puts: AllowedPut[] = []
  let same = 0
  for (const [at, row] of rows.entries()) {
    if (at % ROWS_AT_ONCE === 0) await giveWay()
    const { put, fault } = judgeRow(ctx, bench, one.space, row)
    if (fault) refused.set(fault.code, (refused.get(fault.code) ?? 0) + 1)
    else if (put.isSame) same += 1
    else puts.push(put)
  }
  const trial = {
    before: bench.people,
    after: withPut(bench.people, one.community, puts),
    people: puts.map(({ after }) => after.from),
    isComplete,
    fromMsOf: beginningsOf(puts),
  }
  return {
    ...countsOf(one),
    outcome: {
      ...{ examined: rows.length + sumOf(faults), isComplete, put: puts.length, same },
      refused: [...refused].map(([code, count]) => ({ code, rows: count })),
    },
    preview: await previewOf(ctx, one.community, actor, trial),
    revision: actor.revision,
  }
}

interface Read {
  readonly actor: Facts
  readonly rows: readonly ImportRow[]
  readonly bench: Bench
  readonly faults: ReadonlyMap<RefusalCode, number>
  readonly isComplete: boolean
}

async function readAll(ctx: GovernanceCtx, tx: Tx, call: ChangeCall, one: Import): Promise<Read> {
  const actor = await loadGroundedFacts(ctx, tx, one.community, call.actor)
  if (!actor) throw notFound()
  if (call.ifRevision !== undefined && call.ifRevision !== actor.revision) {
    throw new Refusal('StaleRevision', `the community stands at revision ${actor.revision}`)
  }
  requireState(one, 'open')
  await requireImporter(tx, actor, one.space)
  const found = await listRows(tx, one.id, one.appliedLine, PEOPLE_MAX + 1)
  const rows = found.slice(0, PEOPLE_MAX)
  const bench = await openBenchInParts(ctx, tx, actor, one, rows)
  const isComplete = rows.length === found.length
  return { actor, rows, bench, faults: await countFaults(tx, one.id), isComplete }
}

/** No statement takes longer than it does for a batch: on the embedded engine everybody waits for it. */
async function openBenchInParts(
  ctx: GovernanceCtx,
  tx: Tx,
  actor: Facts,
  { space, community }: Import,
  rows: readonly ImportRow[],
): Promise<Bench> {
  const bench = await openBench(ctx, tx, actor, space, rows.slice(0, BATCH_MAX))
  const people = new Map(bench.people.rows.get(community)?.people)
  for (let at = BATCH_MAX; at < rows.length; at += BATCH_MAX) {
    const more = await openBench(ctx, tx, actor, space, rows.slice(at, at + BATCH_MAX))
    for (const [did, entries] of more.people.rows.get(community)?.people ?? []) people.set(did, entries)
  }
  return { ...bench, people: withPeople(bench.people, community, people) }
}

function withPut(found: AtOneRevision<PeopleIn>, community: Did, puts: readonly AllowedPut[]): AtOneRevision<PeopleIn> {
  const people = new Map(found.rows.get(community)?.people)
  for (const { after } of puts) {
    const before = people.get(after.from) ?? NO_ENTRIES
    people.set(after.from, { ...before, ...entriesWith(before, after) })
  }
  return withPeople(found, community, people)
}

function withPeople(found: AtOneRevision<PeopleIn>, community: Did, people: PeopleIn['people']) {
  const numbers = found.rows.get(community)
  if (!numbers) throw new TypeError('facts of a community that was not read')
  return { ...found, rows: new Map(found.rows).set(community, { ...numbers, people }) }
}

function beginningsOf(puts: readonly AllowedPut[]): (did: Did) => number | null {
  const sinces = new Map(puts.map(({ after }) => [after.from, after.sinceMs]))
  return (did) => sinces.get(did) ?? null
}

const sumOf = (counts: ReadonlyMap<unknown, number>): number =>
  [...counts.values()].reduce((sum, count) => sum + count, 0)
