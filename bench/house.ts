/**
 * The third part: the doors and the floor of the house. What a request costs before anything is asked of the database, what refusals cost,
 * what is saved by writing down many issuances at once, what admins' changes and announced writes cost, and how long the loop is held up.
 */
import { makeKey } from '../test/kit/tokens.ts'
import { askingOf, BASE, METHOD, prepared } from './exchange-rounds.ts'
import { measureAdmins, measureIntake, measureResolve } from './house-calls.ts'
import { exchangeRequest, loadAll, openSender, type Ready } from './load.ts'
import { measureLoop } from './loop.ts'
import { type Figure, figureOf, median } from './rows.ts'
import { type Engine, IS_QUICK, PER_ROUND } from './settings.ts'
import { openStage, type Stage, spending } from './stage.ts'
import { AIMS } from './targets.ts'
import type { Prepared } from './tokens.ts'
import { figureOfRounds, inTurns } from './turns.ts'

const PEOPLE = IS_QUICK ? 20 : 100
const REFUSED = IS_QUICK ? 50 : 300

export async function measureHouse(engine: Engine, says: (line: string) => void): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  const stage = await openStage(engine, 'house', PEOPLE)
  try {
    says(`${engine}: the door`)
    figures.push(...(await doorOf(stage)))
    says(`${engine}: writing down issuances alone and together; refusals`)
    figures.push(await groupCommitOf(stage), await refusalsOf(stage))
    says(`${engine}: announced writes, changes by admins, a page of a roster`)
    figures.push(await measureIntake(stage), ...(await measureAdmins(stage)), await measureResolve(stage))
  } finally {
    await stage.close()
  }
  says(`${engine}: statements of refusals`)
  figures.push(await statementsOf(engine))
  says(`${engine}: the loop at 80 % of saturation`)
  return [...figures, await measureLoop(engine)]
}

/** A request that a door answers without the database, beside Node's own HTTP in the same process. */
async function doorOf(stage: Stage): Promise<readonly Figure[]> {
  const { served, engine, space, at } = stage
  const { port } = await served.ask({ kind: 'bare' }, 'bare')
  const headers = { 'content-type': 'application/json' }
  const post = { method: 'POST', path: `/xrpc/${METHOD}`, headers, body: JSON.stringify({ space }) } as const
  const get = { method: 'GET', path: '/xrpc/community.reeve.service.describe', headers: {}, body: '' } as const
  const unknown = { ...post, path: '/xrpc/com.example.nobody.knows' } as const
  const bare = `http://localhost:${port}`
  const costs = (origin: string, ready: Ready) => costOf(stage, origin, ready)
  const [posts = [], unknowns = [], gets = [], barePosts = [], bareGets = []] = await inTurns([
    await costs(at.url, post),
    await costs(at.url, unknown),
    await costs(at.url, get),
    await costs(bare, post),
    await costs(bare, get),
  ])
  const figure = (what: string, ours: readonly number[], theirs: readonly number[], aim: Figure['aim']) =>
    figureOf(
      { row: 5, engine, what, unit: 'times', aim },
      ours.map((us, round) => us / (theirs[round] ?? Number.NaN)),
      { 'ours µs': median(ours), 'bare µs': median(theirs) },
    )
  return [
    figure(
      'a POST to the exchange without a token (no procedure answers yes without the database), body read and judged, refused / a bare POST',
      posts,
      barePosts,
      AIMS.door,
    ),
    figure('a POST to a method that nobody has / a bare POST', unknowns, barePosts, null),
    figure('service.describe, which answers yes / a bare GET', gets, bareGets, null),
  ]
}

/** Microseconds of the process's time for each of a round of the same request, whatever it is answered with. */
async function costOf({ served }: Stage, origin: string, ready: Ready): Promise<() => Promise<number>> {
  const sender = openSender(1)
  const { status } = await sender.send(origin, ready)
  sender.close()
  const requests = Array.from({ length: 2 * PER_ROUND }, () => ready)
  return async () => {
    const [, spent] = await spending(served, () => loadAll([origin], requests, BASE.inFlight, status))
    return (spent.processSec / requests.length) * 1e6
  }
}

/** The statement that spends a token and a proof and writes issuance and audit entry, called in the measured process. */
async function groupCommitOf({ served, space, people, engine }: Stage): Promise<Figure> {
  const dids = people.map(({ did }) => did)
  const round = async (inFlight: number, count: number) => {
    const order = { kind: 'issues', space, dids, count, inFlight, isGathered: inFlight > 1 } as const
    const { cpuSec, databaseSec } = await served.ask(order, 'issues')
    return { process: (cpuSec / count) * 1e6, database: (databaseSec / count) * 1e6 }
  }
  const [together = [], alone = []] = await inTurns([
    () => round(BASE.inFlight, 2 * PER_ROUND),
    () => round(1, Math.ceil(PER_ROUND / 2)),
  ])
  const all = (one: { process: number; database: number } | undefined) =>
    one ? one.process + one.database : Number.NaN
  const what =
    'two claims, an issuance and its audit entry, 64 in flight / at 1, a statement each; process and database'
  return figureOf(
    { row: 6, engine, what, unit: 'times', aim: AIMS.groupCommit },
    together.map((one, at) => all(one) / all(alone[at])),
    {
      'together µs': median(together.map(all)),
      'of that database µs': median(together.map(({ database }) => database)),
      'alone µs': median(alone.map(all)),
      'alone, of that database µs': median(alone.map(({ database }) => database)),
    },
  )
}

/** Tokens of people who are known, signed by keys that aren't theirs; the proof of possession holds, and is looked at first. */
function forged(stage: Stage, count: number): readonly Prepared[] {
  const strangers = stage.people.map(({ did }) => ({ did, key: makeKey('k256') }))
  const own = new Map(strangers.map(({ key }, at) => [key.didKey as string, stage.people[at]?.key.didKey ?? '']))
  const all = prepared({ ...askingOf(stage), people: strangers }, BASE.generation, count)
  return all.map((one) => ({ ...one, didKey: own.get(one.didKey) ?? '' }))
}

const UNAUTHORIZED = 401

async function refusalsOf(stage: Stage): Promise<Figure> {
  const { served, at, space, engine } = stage
  const [rounds = []] = await inTurns([
    async () => {
      const url = `${at.url}/xrpc/${METHOD}`
      const alone = await served.ask(
        { kind: 'crypto', requests: forged(stage, REFUSED), url, isRefused: true },
        'crypto',
      )
      const requests = forged(stage, REFUSED).map((one) => exchangeRequest(space, one))
      const [, spent] = await spending(served, () => loadAll([at.url], requests, BASE.inFlight, UNAUTHORIZED))
      return {
        'refusal µs': (spent.processSec / REFUSED) * 1e6,
        'verifying alone µs': (alone.cpuSec / REFUSED) * 1e6,
        'database µs': (spent.databaseSec / REFUSED) * 1e6,
      }
    },
  ])
  const what = 'exchanges refused for the signature of their token / reading and verifying token and proof alone'
  const about = { row: 20, engine, what, unit: 'times', aim: AIMS.rejects } as const
  return figureOfRounds(about, rounds, (round) => round['verifying alone µs'] / round['refusal µs'])
}

/** In a process of its own, which counts what its requests send to the driver; exchanges that succeed show that it does count. */
async function statementsOf(engine: Engine): Promise<Figure> {
  const stage = await openStage(engine, 'statements', PEOPLE, { isCounting: true })
  try {
    const { served, at, space } = stage
    const counted = async (requests: readonly Prepared[], status: number) => {
      const before = await served.ask({ kind: 'statements' }, 'statements')
      const ready = requests.map((one) => exchangeRequest(space, one))
      await loadAll([at.url], ready, BASE.inFlight, status)
      const after = await served.ask({ kind: 'statements' }, 'statements')
      return (after.count - before.count) / requests.length
    }
    const good = await counted(prepared(askingOf(stage), BASE.generation, REFUSED), 200)
    if (!(good > 0)) throw new Error('statements are not counted')
    const bad = await counted(forged(stage, REFUSED), UNAUTHORIZED)
    const what = 'statements for each exchange that is refused for a signature'
    const about = { row: 20, engine, what, unit: 'count', aim: AIMS.rejectStatements } as const
    return figureOf(about, [bad], { 'for one that succeeds': good, refused: REFUSED })
  } finally {
    await stage.close()
  }
}
