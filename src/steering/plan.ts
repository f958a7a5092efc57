/**
 * Whom the list of a space should have: the resolved roster, gone through page by page, by the rule of the hook.
 *
 * A page that fails ends the plan, and nobody is taken off by it; nor by one that met nobody at all. What a plan rests on is the snapshot
 * of its first page, so whatever moved while it went on has it made anew.
 */
import { loadReadersFacts } from '../access/may-read.ts'
import { listSubjectsSince } from '../audit/store.ts'
import { loadRosterPage } from '../membership/roster-pages.ts'
import type { Facts } from '../membership/standing-facts.ts'
import { type Did, parseDid, type SpaceName, type SpaceUri } from '../names.ts'
import { giveWay } from '../platform/clock.ts'
import { withTransaction } from '../platform/database.ts'
import type { AccessFacts } from '../policy/decide.ts'
import type { RosterGraph } from '../policy/roster-graph.ts'
import type { PersonIn } from '../policy/standing.ts'
import { flagsOf } from './declared.ts'
import { Halt } from './halt.ts'
import { type Lease, REST_LONGEST_MS } from './keeping-store.ts'
import {
  type BasisRow,
  beginPlan,
  countMet,
  type Looked,
  markUnmet,
  type Rests,
  saveLooked,
  savePlanned,
  saveWanted,
  takeOff,
  takeOffUnmet,
} from './plan-store.ts'
import type { SteeringCtx } from './steering-ctx.ts'
import type { Generation } from './tables.ts'

const PAGE = 500
/** After a plan, so many times as long as it took passes before changes have it made anew: a large community that changes all the time would else be gone through all the time. */
const REST_TIMES = 4
/** Entries of the log that are looked through for whom changes name, and people looked at by name. */
const NEWEST_MAX = 500
const NAMED_MAX = 200

export interface Planning {
  readonly lease: Lease
  readonly space: SpaceName
  readonly speaks: Generation
  /** The community's revision at which the settings were judged: nothing newer may pass for planned. */
  readonly revision: number
  /** When something besides people's time may be otherwise without a change: a ban's end. */
  readonly dueMs: number | null
}

/** Goes through the whole roster. Answers whether anybody is declared. @throws Halt when the turn isn't ours any more */
export async function planAll(ctx: SteeringCtx, about: Planning): Promise<'planned' | 'empty'> {
  const { lease, space, speaks } = about
  const beganMs = ctx.clock.monotonicMs()
  const no = await beginPlan(ctx.db, lease, space.uri)
  if (no === null) throw new Halt(null)
  const due = new Soonest(ctx.clock.nowMs(), about.dueMs)
  let basis: readonly Rests[] | null = null
  for (let after = ''; ; ) {
    const page = await loadRosterPage(ctx, space.authority, space.uri, { after, limit: PAGE })
    // While a space is frozen nobody is let in by anything: whoever is met then looks like somebody to be taken off.
    if (!page || page.numbers.graph.isFrozen(space.uri)) throw new Halt(null)
    basis ??= page.numbers.basis
    const met: Looked[] = []
    await page.each((facts) => {
      const wants = flagsOf(atSpace(facts, space), facts.did, speaks)
      if (wants > 0) met.push({ did: facts.did, wants })
      due.meet(facts, space.uri)
    })
    due.meet(page.numbers, space.uri)
    await saveWanted(ctx.db, lease, space.uri, met)
    await markUnmet(ctx.db, lease, space.uri, { no, after, upTo: page.next, met: met.map(({ did }) => did) })
    if (page.next === null) break
    after = page.next
    await giveWay()
  }
  const isEmpty = (await countMet(ctx.db, space.uri, no)) === 0
  const nowMs = ctx.clock.nowMs()
  const tookMs = ctx.clock.monotonicMs() - beganMs
  const taken = await withTransaction(ctx.db, async (tx) => {
    const off = isEmpty ? 0 : await takeOffUnmet(tx, lease, space.uri, no)
    await savePlanned(tx, lease, space.uri, {
      basis: settled(basis, about),
      nowMs,
      afterMs: nowMs + Math.min(REST_LONGEST_MS, Math.round(tookMs * REST_TIMES)),
      dueMs: due.atMs,
    })
    return off
  })
  ctx.log.debug('steering.planned', { space: space.uri, taken, tookMs: Math.round(tookMs) })
  return isEmpty ? 'empty' : 'planned'
}

const settled = (basis: readonly Rests[], { space, revision }: Planning): readonly Rests[] =>
  basis.map((one) => (one.community === space.authority ? { ...one, revision: Math.min(one.revision, revision) } : one))

/**
 * Looks at those whom the changes since name, at once, whatever the whole plan waits for. That no one else was touched by them is not
 * certain, so the plan is made anew all the same.
 */
export async function planNamed(ctx: SteeringCtx, about: Planning, moved: readonly BasisRow[]): Promise<void> {
  const { lease, space, speaks } = about
  const named = new Set<Did>()
  for (const { community, looked } of moved) {
    for (const text of await listSubjectsSince(ctx.db, community, looked, NEWEST_MAX)) {
      const did = parseDid(text)
      if (did && named.size < NAMED_MAX) named.add(did)
    }
  }
  const due = new Soonest(ctx.clock.nowMs(), null)
  if (named.size > 0) {
    const readers = await loadReadersFacts(ctx, space, [...named])
    if (readers.space !== 'live') throw new Halt(null)
    const wanted = [...named].map((did) => {
      const facts = readers.factsOf(did)
      due.meet(facts, space.uri)
      return { did, wants: flagsOf(facts, did, speaks) }
    })
    const off = wanted.filter(({ wants }) => wants === 0).map(({ did }) => did)
    await saveWanted(
      ctx.db,
      lease,
      space.uri,
      wanted.filter(({ wants }) => wants > 0),
    )
    await takeOff(ctx.db, lease, space.uri, off)
  }
  const looked = moved.map(({ community, now }) => ({ community, revision: now }))
  await withTransaction(ctx.db, (tx) => saveLooked(tx, lease, space.uri, { looked, dueMs: due.atMs }))
}

/** Facts about a person, at the space: what it is open for to everybody doesn't matter to its list. */
const atSpace = (facts: Facts, space: SpaceName): AccessFacts => ({
  ...facts,
  space,
  readPolicy: 'memberList',
  writePolicy: 'memberList',
  isAtPds: true,
})

/** The next instant at which an entry or a ban begins or ends for anybody who was met. */
class Soonest {
  readonly #nowMs: number
  readonly #graphs = new Set<RosterGraph>()
  #atMs: number | null

  constructor(nowMs: number, atMs: number | null) {
    this.#nowMs = nowMs
    this.#atMs = atMs
  }

  get atMs(): number | null {
    return this.#atMs
  }

  meet(facts: PersonIn & { readonly feeding: readonly PersonIn[] }, space: SpaceUri): void {
    for (const person of [facts, ...facts.feeding]) {
      for (const { sinceMs, untilMs } of person.own) this.#note(sinceMs, untilMs)
      for (const { untilMs } of person.bans) this.#note(untilMs)
      if (this.#graphs.has(person.graph)) continue
      this.#graphs.add(person.graph)
      const ways = person === facts ? person.graph.waysInto(space) : null
      for (const { into, sinceMs, untilMs } of person.graph.edges) {
        if (ways === null || ways.has(into)) this.#note(sinceMs, untilMs)
      }
    }
  }

  #note(...instants: readonly (number | null)[]): void {
    for (const ms of instants) {
      if (ms !== null && ms > this.#nowMs && (this.#atMs === null || ms < this.#atMs)) this.#atMs = ms
    }
  }
}
