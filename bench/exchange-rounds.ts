/** One round of exchanges beside their cryptography, and what it came to. */
import type { SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import type { Somebody } from '../test/kit/people.ts'
import { exchangeRequest, loadAll, quantile } from './load.ts'
import { IS_QUICK, PER_ROUND } from './settings.ts'
import { type Served, type Stage, spending } from './stage.ts'
import { type Generation, type Prepared, prepare } from './tokens.ts'

export const METHOD = 'com.atproto.space.getSpaceCredential'
/** What everything but the one thing that is varied is kept at; besides, the documents of all who ask are known. */
export const BASE = { generation: 'october', inFlight: 64, members: 1_000 } as const
/** The cryptography alone is timed on so many. */
export const ALONE = IS_QUICK ? 100 : 600

/** Who asks for what. */
export interface Asking {
  readonly people: readonly Somebody[]
  readonly space: SpaceUri
  /** The address that proofs of August are made for. */
  readonly url: string
}

export const askingOf = ({ people, space, at }: Pick<Stage, 'people' | 'space' | 'at'>): Asking => ({
  ...{ people, space, url: `${at.url}/xrpc/${METHOD}` },
})

export const prepared = ({ people, space, url }: Asking, generation: Generation, count: number): Prepared[] =>
  prepare(people, { space, url, generation, count, nowSec: systemClock.nowSec() })

/** Numbers of a round, by name with their unit. */
export type ExchangeRound = Readonly<
  Record<'exchange µs' | 'database µs' | 'crypto µs' | 'per second' | 'p50 ms' | 'p99 ms' | 'memory MiB', number>
>

export interface RoundManner {
  readonly generation: Generation
  readonly inFlight: number
  readonly count?: number
  /** Processes that take turns; by itself the one that is asked for its processor time. */
  readonly processes?: readonly Served[]
}

/** The cryptography of as many fresh requests alone, in microseconds of processor time each. */
export async function cryptoUs(served: Served, asking: Asking, generation: Generation, count = ALONE): Promise<number> {
  const requests = prepared(asking, generation, count)
  const { cpuSec } = await served.ask({ kind: 'crypto', requests, url: asking.url }, 'crypto')
  return (cpuSec / count) * 1e6
}

/** @throws Error when a request is refused */
export async function exchangeRound(served: Served, asking: Asking, manner: RoundManner): Promise<ExchangeRound> {
  const { generation, inFlight, count = PER_ROUND, processes = [served] } = manner
  const crypto = await cryptoUs(served, asking, generation)
  const requests = prepared(asking, generation, count).map((one) => exchangeRequest(asking.space, one))
  const origins = processes.map(({ url }) => url)
  const others = processes.filter((one) => one !== served)
  const before = await Promise.all(others.map((one) => one.ask({ kind: 'cpu' }, 'cpu')))
  const [{ wallSec, latenciesMs }, spent] = await spending(served, () => loadAll(origins, requests, inFlight))
  const after = await Promise.all(others.map((one) => one.ask({ kind: 'cpu' }, 'cpu')))
  const besides = after.reduce((sum, { cpuSec }, at) => sum + cpuSec - (before[at]?.cpuSec ?? 0), 0)
  const { rssMiB } = await served.ask({ kind: 'cpu' }, 'cpu')
  return {
    'exchange µs': ((spent.processSec + besides) / count) * 1e6,
    'database µs': (spent.databaseSec / count) * 1e6,
    'crypto µs': crypto,
    'per second': count / wallSec,
    'p50 ms': quantile(latenciesMs, 0.5),
    'p99 ms': quantile(latenciesMs, 0.99),
    'memory MiB': rssMiB,
  }
}

/** How near it comes to what its cryptography alone costs. */
export const shareOf = (round: ExchangeRound): number => round['crypto µs'] / round['exchange µs']
export const allUs = (round: ExchangeRound): number => round['exchange µs'] + round['database µs']
