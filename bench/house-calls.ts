/** Calls that are no exchange: writes that are announced, changes by admins, and a page of a large roster. */
import { systemClock } from '../src/platform/clock.ts'
import type { Somebody } from '../test/kit/people.ts'
import { FORUM } from '../test/kit/roll.ts'
import { makeServiceJwt } from '../test/kit/tokens.ts'
import { freshRev, NOTIFY_WRITE, writeOf } from '../test/kit/writers.ts'
import { BASE } from './exchange-rounds.ts'
import { loadAll, quantile, type Ready } from './load.ts'
import { personOf } from './roll-world.ts'
import type { Figure } from './rows.ts'
import { IS_QUICK, PER_ROUND } from './settings.ts'
import { type Stage, spending } from './stage.ts'
import { figureOfRounds, inTurns } from './turns.ts'

const CHANGES = IS_QUICK ? 20 : 150
const PAGES = IS_QUICK ? 5 : 30
const PAGE = 1_000
const ON_ROSTER = IS_QUICK ? 2_000 : 10_000

const tokenOf = ({ serviceDid }: Stage['at'], by: Somebody, lxm: string): string =>
  makeServiceJwt({ key: by.key, iss: by.did, aud: `${serviceDid}#reeve`, lxm, nowSec: systemClock.nowSec() })

function founderOf({ people }: Stage): Somebody {
  const [founder] = people
  if (!founder) throw new Error('nobody')
  return founder
}

function procedure(at: Stage['at'], by: Somebody, method: string, input: object): Ready {
  const lxm = `community.reeve.${method}`
  const headers = { authorization: `Bearer ${tokenOf(at, by, lxm)}`, 'content-type': 'application/json' }
  return { method: 'POST', path: `/xrpc/${lxm}`, headers, body: JSON.stringify(input) }
}

/** What a round of requests costs each, and how long they wait. */
async function roundOf({ served, at }: Stage, requests: readonly Ready[], inFlight: number) {
  const [{ wallSec, latenciesMs }, spent] = await spending(served, () => loadAll([at.url], requests, inFlight))
  return {
    'process µs': (spent.processSec / requests.length) * 1e6,
    'database µs': (spent.databaseSec / requests.length) * 1e6,
    'per second': requests.length / wallSec,
    'p50 ms': quantile(latenciesMs, 0.5),
    'p99 ms': quantile(latenciesMs, 0.99),
  }
}

/** Writes as a repo host announces them, each by somebody else than the one before. */
export async function measureIntake(stage: Stage): Promise<Figure> {
  const { served, people, space, engine } = stage
  const founder = founderOf(stage)
  const announced = (nth: number): Ready => {
    const writer = people[nth % people.length] ?? founder
    const {
      path,
      headers = [],
      body = '',
    } = writeOf({ clock: systemClock }, { writer, space, rev: freshRev(systemClock.nowMs()) })
    return { method: 'POST', path, headers: Object.fromEntries(headers), body: String(body) }
  }
  // Two writes of one person at once would overtake each other.
  const inFlight = Math.min(BASE.inFlight, Math.floor(people.length / 2))
  const [rounds = []] = await inTurns([
    async () => {
      const tokens = Array.from({ length: 300 }, () => tokenOf(stage.at, founder, NOTIFY_WRITE))
      const verified = await served.ask({ kind: 'verifies', tokens, didKey: founder.key.didKey }, 'crypto')
      const requests = Array.from({ length: PER_ROUND }, (_, nth) => announced(nth))
      return { ...(await roundOf(stage, requests, inFlight)), 'verify µs': (verified.cpuSec / verified.count) * 1e6 }
    },
  ])
  const what = `announced writes taken / verified tokens, per processor second, ${inFlight} in flight`
  return figureOfRounds({ row: null, engine, what, unit: 'times', aim: null }, rounds, (round) => {
    return round['verify µs'] / round['process µs']
  })
}

/** Changes of one community, over HTTP, one after the other; and of the first kind eight at once, which wait for each other. */
export async function measureAdmins(stage: Stage): Promise<readonly Figure[]> {
  const { at, space, community, engine } = stage
  const founder = founderOf(stage)
  let nth = 0
  const changes: readonly (readonly [what: string, inFlight: number, make: () => Ready])[] = [
    [
      'member.put of somebody new, 1 in flight',
      1,
      () => procedure(at, founder, 'member.put', { space, did: personOf(`put-${nth++}`), role: 'member' }),
    ],
    [
      'member.put of somebody new, 8 in flight',
      8,
      () => procedure(at, founder, 'member.put', { space, did: personOf(`put-${nth++}`), role: 'member' }),
    ],
    [
      'role.put of what a role allows, 1 in flight',
      1,
      () => {
        const actions = nth++ % 2 === 0 ? ['read'] : ['read', 'write']
        return procedure(at, founder, 'role.put', { community, name: 'bench', actions })
      },
    ],
    [
      'space.create, 1 in flight',
      1,
      () => procedure(at, founder, 'space.create', { community, spaceType: FORUM, skey: `made-here-${nth++}` }),
    ],
    [
      'member.ban of somebody who isn’t there, 1 in flight',
      1,
      () => procedure(at, founder, 'member.ban', { space, did: personOf(`ban-${nth++}`) }),
    ],
  ]
  const measured = await inTurns(
    changes.map(
      ([, inFlight, make]) =>
        () =>
          roundOf(stage, Array.from({ length: CHANGES }, make), inFlight),
    ),
  )
  return changes.map(([what], at) =>
    figureOfRounds(
      { row: null, engine, what: `${what}: processor time of process and database`, unit: 'µs', aim: null },
      measured[at] ?? [],
      (round) => round['process µs'] + round['database µs'],
    ),
  )
}

/** The first page of everybody who stands in a space. */
export async function measureResolve(stage: Stage): Promise<Figure> {
  const { served, at, space, engine } = stage
  const founder = founderOf(stage)
  await served.ask({ kind: 'fill', space, people: [1, ON_ROSTER] }, 'filled')
  const lxm = 'community.reeve.member.resolve'
  const query = new URLSearchParams({ space, limit: String(PAGE) })
  const page = (): Ready => ({
    method: 'GET',
    path: `/xrpc/${lxm}?${query}`,
    headers: { authorization: `Bearer ${tokenOf(at, founder, lxm)}` },
    body: '',
  })
  const [rounds = []] = await inTurns([() => roundOf(stage, Array.from({ length: PAGES }, page), 1)])
  const what = `member.resolve, a page of ${PAGE} of ${ON_ROSTER} over HTTP: p50`
  return figureOfRounds({ row: null, engine, what, unit: 'ms', aim: null }, rounds, (round) => round['p50 ms'])
}
