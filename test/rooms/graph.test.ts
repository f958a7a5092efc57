/**
 * The kept graphs: an answer never rests on edges that aren't there any more, or never were, on any number of processes.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { loadGraph, loadPeople } from '../../src/membership/facts-store.ts'
import { Graphs } from '../../src/membership/graph.ts'
import { loadStandingFacts } from '../../src/membership/standing-facts.ts'
import { lockRevisions, raiseRevisions } from '../../src/membership/store.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase, withTransaction } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { holds, standingOf } from '../../src/policy/standing.ts'
import { Unavailable } from '../../src/refusals.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  insertNested,
  makeForum,
  makeRoleSpace,
  nest,
  openCommunity,
  put,
  type Roll,
  remove,
  rollOn,
  unnest,
} from '../kit/roll.ts'

/** Numbers that look like chance and are the same in every run. */
function chance(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const mayRead = async (roll: Roll, community: Community, did: Did, space: SpaceUri): Promise<boolean> => {
  const facts = await loadStandingFacts(roll, roll.db, community.did, did)
  if (!facts) throw new Error('no such community')
  return holds(standingOf(facts), space, 'read')
}

describeOnEachEngine('the kept graph', (open) => {
  let db: Db
  let roll: Roll

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
  })

  async function scene() {
    const community = await openCommunity(roll)
    const [left, right] = [await makeRoleSpace(roll, community, 'left'), await makeRoleSpace(roll, community, 'right')]
    const forum = await makeForum(roll, community, 'main')
    const [bob, carol] = [freshDid(), freshDid()]
    await put(roll, community.founder, left, bob, 'reader')
    await put(roll, community.founder, right, carol, 'reader')
    return { community, left, right, forum, bob, carol }
  }

  it('is not poisoned by a transaction that is rolled back and whose number another one takes', async () => {
    const { community, left, right, forum, bob, carol } = await scene()
    const undone = new Error('undone')
    const inDraft = withTransaction(db, async (tx) => {
      await lockRevisions(tx, community.did)
      await insertNested(tx, community.did, { into: forum, from: left, role: 'reader' })
      await raiseRevisions(tx, community.did, { graph: true })
      const facts = await loadStandingFacts(roll, tx, community.did, bob)
      // Inside, the draft is what counts; it must be seen, or this test shows nothing.
      expect(facts && holds(standingOf(facts), forum, 'read')).toBe(true)
      throw undone
    })
    await expect(inDraft).rejects.toBe(undone)
    expect(await mayRead(roll, community, bob, forum)).toBe(false)

    await nest(roll, community.did, { into: forum, from: right, role: 'reader' })
    expect(await mayRead(roll, community, bob, forum)).toBe(false)
    expect(await mayRead(roll, community, carol, forum)).toBe(true)
  })

  it('is not poisoned either by a draft whose number is taken before anybody looks', async () => {
    const { community, left, right, forum, bob, carol } = await scene()
    await withTransaction(db, async (tx) => {
      await lockRevisions(tx, community.did)
      await insertNested(tx, community.did, { into: forum, from: left, role: 'reader' })
      await raiseRevisions(tx, community.did, { graph: true })
      await loadStandingFacts(roll, tx, community.did, bob)
      await loadStandingFacts(roll, tx, community.did, carol)
      throw new Error('undone')
    }).catch(() => {})
    await nest(roll, community.did, { into: forum, from: right, role: 'reader' })
    expect(await mayRead(roll, community, bob, forum)).toBe(false)
    expect(await mayRead(roll, community, carol, forum)).toBe(true)
  })

  it('is read once, and again only when edges between spaces moved', async () => {
    const { community, left, forum, bob } = await scene()
    let graphs = 0
    const counting = rollOn(db)
    const loads = counting.graphs.atOneRevision.bind(counting.graphs)
    const ask = () =>
      loads(
        countingDb(db, () => graphs++),
        community.did,
        (communities) => loadPeople(db, communities, [bob], null),
      )
    await ask()
    await ask()
    expect(graphs).toBe(1)
    await put(roll, community.founder, forum, freshDid(), 'reader')
    await ask()
    expect(graphs).toBe(1)
    await nest(roll, community.did, { into: forum, from: left, role: 'reader' })
    await ask()
    await ask()
    expect(graphs).toBe(2)
  })

  it('is never mixed with facts of another moment: they are asked for again until both are of one', async () => {
    const { community, left, forum, bob } = await scene()
    const graphs = new Graphs()
    let asked = 0
    const read = async (communities: readonly Did[]) => {
      const facts = await loadPeople(db, communities, [bob], null)
      // Between the person's edges and the graph somebody nests a space, the first time.
      if (asked++ === 0) await nest(roll, community.did, { into: forum, from: left, role: 'reader' })
      return facts
    }
    const found = await graphs.atOneRevision(db, community.did, read)
    expect(asked).toBe(2)
    const graphRevision = (await loadGraph(db, community.did))?.graphRevision
    expect(found?.rows.get(community.did)?.graphRevision).toBe(graphRevision)
    const graph = found?.graphs.get(community.did)
    expect(graph?.edgesFrom(left).some(({ into }) => into === forum)).toBe(true)
  })

  it('that moves on at every look makes the caller come again', async () => {
    const { community, left, forum, bob } = await scene()
    const edge = { into: forum, from: left, role: 'reader' }
    let asked = 0
    const read = async (communities: readonly Did[]) => {
      asked++
      await nest(roll, community.did, edge)
      const facts = await loadPeople(db, communities, [bob], null)
      await unnest(roll, community.did, edge)
      return facts
    }
    const error = await new Graphs().atOneRevision(db, community.did, read).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Unavailable)
    expect(asked).toBeLessThan(10)
  })

  it('of a community that is not here is none', async () => {
    expect(await loadStandingFacts(roll, db, freshDid(), freshDid())).toBeNull()
  })
})

/** The same database, with a word to the test whenever a graph is about to be loaded over it. */
function countingDb(db: Db, onLoad: () => void): Db {
  return new Proxy(db, {
    get(target, name) {
      if (name === 'getExecutor') onLoad()
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

describe.runIf(hasPostgres)('two processes on one PostgreSQL', () => {
  let database: TestDatabase
  let second: Awaited<ReturnType<typeof openDatabase>>

  beforeAll(async () => {
    database = await openTestDatabase('postgres')
    second = await openDatabase({
      ...{ url: database.url, dataDir: '', allowUnsafe: true },
      ...{ log: silentLog, clock: systemClock },
    })
    return async () => {
      await second.close()
      await database.close()
    }
  })

  it('see each other at once: of three hundred changes made here, none is answered stale there', async () => {
    const [here, there] = [rollOn(database.db), rollOn(second.db)]
    const community = await openCommunity(here)
    const spaces = [await makeForum(here, community, 'f0'), await makeForum(here, community, 'f1')]
    for (const name of ['r0', 'r1', 'r2']) spaces.push(await makeRoleSpace(here, community, name))
    const people = [freshDid(), freshDid(), freshDid()]
    const pick = chance(20_261_203)
    const any = <T>(list: readonly T[]): T => list[pick(list.length)] as T
    const nested = new Map<string, { into: SpaceUri; from: SpaceUri; role: string }>()
    const readable = async (roll: Roll, did: Did) => {
      const facts = await loadStandingFacts(roll, roll.db, community.did, did)
      return [facts?.revision, ...spaces.filter((space) => facts && holds(standingOf(facts), space, 'read'))].join(' ')
    }
    let stale = 0
    const answers = { yes: 0, no: 0 }

    for (let change = 0; change < 300; change++) {
      const [into, from, did] = [any(spaces), any(spaces), any(people)]
      const kind = pick(4)
      if (kind === 0) await put(here, community.founder, into, did, 'reader')
      else if (kind === 1) await remove(here, community.founder, into, did)
      else if (into !== from) {
        const edge = { into, from, role: 'reader' }
        const isThere = nested.has(into + from)
        await (isThere ? unnest(here, community.did, edge) : nest(here, community.did, edge))
        if (isThere) nested.delete(into + from)
        else nested.set(into + from, edge)
      }
      const knowsNothing = rollOn(database.db)
      for (const person of people) {
        if ((await readable(there, person)) !== (await readable(knowsNothing, person))) stale++
      }
      const question = { space: any(spaces), did, action: 'read' }
      const [told, truth] = [
        await memberCheck(there, community.founder, question),
        await memberCheck(knowsNothing, community.founder, question),
      ]
      if (told.allowed !== truth.allowed || told.revision !== truth.revision) stale++
      answers[truth.allowed ? 'yes' : 'no']++
    }
    expect(stale).toBe(0)
    // Both answers must have come up often, or the comparison says little.
    expect(Math.min(answers.yes, answers.no)).toBeGreaterThan(50)
  })
})
