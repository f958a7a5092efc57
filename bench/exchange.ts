/**
 * The first part: how close the exchange comes to what its cryptography alone costs, in the same process and the same round.
 *
 * One thing is varied at a time, from a base: a token of October, 64 in flight, a space of 1,000 people, whose documents are known.
 * Only processor time of the measured process counts in the share, so a busy neighbour blurs latencies and not shares.
 */
import { makeSomebody } from '../test/kit/people.ts'
import { measureGrowth } from './exchange-growth.ts'
import {
  ALONE,
  allUs,
  askingOf,
  BASE,
  cryptoUs,
  type ExchangeRound,
  exchangeRound,
  METHOD,
  prepared,
  shareOf,
} from './exchange-rounds.ts'
import { load } from './load.ts'
import { lineOfShares } from './profile.ts'
import { type Figure, figureOf, median } from './rows.ts'
import { amounts, type Engine, IS_QUICK, PER_ROUND } from './settings.ts'
import { openStage, type Stage } from './stage.ts'
import { AIMS } from './targets.ts'
import type { Generation } from './tokens.ts'
import { figureOfRounds, inTurns } from './turns.ts'

const PEOPLE = IS_QUICK ? 20 : 100
const CLIENTS = amounts('BENCH_CLIENTS', '1,2,4,8,16,32,64', '1,8,64')
const IN_BOTH = [1, 8, 64]
const COLD = IS_QUICK ? 30 : 300

export async function measureExchange(engine: Engine, says: (line: string) => void): Promise<readonly Figure[]> {
  const stage = await openStage(engine, 'exchange', PEOPLE)
  const figures: Figure[] = []
  try {
    await stage.served.ask({ kind: 'fill', space: stage.space, people: [1, BASE.members - PEOPLE] }, 'filled')
    says(`${engine}: ES256K by ${stage.served.es256k}`)
    figures.push(...(await choiceOf(stage)))
    says(`${engine}: the exchange with ${CLIENTS.join(', ')} in flight`)
    figures.push(...(await sharesOf(stage)))
    says(`${engine}: the exchange at rest, and of people whose documents aren't known`)
    figures.push(...(await atRest(stage)), await coldOf(stage))
    says(`${engine}: % of an exchange's time: ${await profileOf(stage)}`)
  } finally {
    await stage.close()
  }
  if (stage.served.es256k === 'native' && engine === 'postgres') {
    says(`${engine}: the exchange without libsecp256k1`)
    figures.push(await withoutNative(engine))
  }
  return [...figures, ...(await measureGrowth(engine, says))]
}

/** Our cryptography by either back end against the same by `@atproto/crypto`, in one process. */
async function choiceOf({ served, ...stage }: Stage): Promise<readonly Figure[]> {
  const asking = askingOf(stage)
  const few = Math.max(20, Math.floor(ALONE / 10))
  const theirs = async () => {
    const requests = prepared(asking, 'august', few)
    const { cpuSec, count } = await served.ask({ kind: 'atproto', requests }, 'crypto')
    return (cpuSec / count) * 1e6
  }
  const byOpenssl = async () => {
    const order = { kind: 'crypto', requests: prepared(asking, 'august', ALONE), url: asking.url } as const
    const { cpuSec, count } = await served.ask({ ...order, es256k: 'openssl' }, 'crypto')
    return (cpuSec / count) * 1e6
  }
  const [ours = [], openssl = [], atproto = []] = await inTurns([
    () => cryptoUs(served, asking, 'august'),
    byOpenssl,
    theirs,
  ])
  const figure = (by: 'libsecp256k1' | 'node:crypto', own: readonly number[]) => {
    const aim = by === 'libsecp256k1' ? AIMS.cryptoNative : AIMS.cryptoOpenssl
    const what = `cryptography of an exchange by @atproto/crypto / with ES256K by ${by}, fresh keys`
    const times = own.map((us, round) => (atproto[round] ?? Number.NaN) / us)
    const beside = { 'crypto µs': median(own), '@atproto/crypto µs': median(atproto) }
    return figureOf({ row: 3, engine: 'neither', what, unit: 'times', aim }, times, beside)
  }
  const withOpenssl = figure('node:crypto', openssl)
  return served.es256k === 'native' ? [figure('libsecp256k1', ours), withOpenssl] : [withOpenssl]
}

async function sharesOf(stage: Stage): Promise<readonly Figure[]> {
  const asking = askingOf(stage)
  const variants: readonly (readonly [Generation, number])[] = [
    ...CLIENTS.map((inFlight) => ['october', inFlight] as const),
    ...CLIENTS.filter((inFlight) => IN_BOTH.includes(inFlight)).map((inFlight) => ['august', inFlight] as const),
  ]
  const measured = await inTurns(
    variants.map(
      ([generation, inFlight]) =>
        () =>
          exchangeRound(stage.served, asking, { generation, inFlight }),
    ),
  )
  return variants.map(([generation, inFlight], at) =>
    shareFigure(stage, { generation, inFlight, rounds: measured[at] ?? [] }),
  )
}

/** The rows are about 64 in flight; what fewer come to stands beside them. */
function shareFigure(
  { engine, served }: Pick<Stage, 'engine' | 'served'>,
  about: { generation: Generation; inFlight: number; rounds: readonly ExchangeRound[] },
): Figure {
  const { generation, inFlight, rounds } = about
  const isRow = inFlight === 64
  const onPostgres = served.es256k === 'native' ? AIMS.exchangeNative : AIMS.exchangeOpenssl
  const aim = engine === 'postgres' ? onPostgres : AIMS.exchangeEmbedded
  const by = served.es256k === 'native' ? 'libsecp256k1' : 'node:crypto'
  const what = `exchanges / their cryptography alone, per processor second, ${generation}, ${inFlight} in flight, ES256K by ${by}`
  const row = engine === 'postgres' ? 1 : 2
  return figureOfRounds(
    { row: isRow ? row : null, engine, what, unit: 'times', aim: isRow ? aim : null },
    rounds,
    shareOf,
    { clients: inFlight },
  )
}

async function withoutNative(engine: Engine): Promise<Figure> {
  const stage = await openStage(engine, 'openssl', PEOPLE, { es256k: 'openssl' })
  try {
    if (stage.served.es256k !== 'openssl') throw new Error('another back end than was asked for')
    await stage.served.ask({ kind: 'fill', space: stage.space, people: [1, BASE.members - PEOPLE] }, 'filled')
    const { generation, inFlight } = BASE
    const [rounds = []] = await inTurns([() => exchangeRound(stage.served, askingOf(stage), { generation, inFlight })])
    return shareFigure(stage, { generation, inFlight, rounds })
  } finally {
    await stage.close()
  }
}

/** One after the other: against the cryptography, one select and one claim, each by itself. */
async function atRest(stage: Stage): Promise<readonly Figure[]> {
  const { served, space, engine } = stage
  const asking = askingOf(stage)
  const dids = stage.people.map(({ did }) => did)
  const count = Math.max(50, Math.floor(PER_ROUND / 4))
  const [rounds = []] = await inTurns([
    async () => {
      const select = await served.ask({ kind: 'selects', space, count }, 'selects')
      const order = { kind: 'issues', space, dids, count, inFlight: 1, isGathered: false } as const
      const claim = await served.ask(order, 'issues')
      const round = await exchangeRound(served, asking, { generation: BASE.generation, inFlight: 1 })
      return { ...round, 'select p50 ms': select.p50Ms, 'claim p50 ms': claim.p50Ms }
    },
  ])
  const what = 'p50 of an exchange, one at a time / its cryptography, a select of one row and a claim'
  const parts = (round: (typeof rounds)[number]) =>
    round['crypto µs'] / 1_000 + round['select p50 ms'] + round['claim p50 ms']
  const p99 = { row: 21, engine, what: 'p99 of an exchange, one at a time', unit: 'ms', aim: AIMS.atRestP99 } as const
  return [
    figureOfRounds(
      { row: 21, engine, what, unit: 'times', aim: AIMS.atRest },
      rounds,
      (round) => round['p50 ms'] / parts(round),
    ),
    figureOf(
      p99,
      rounds.map((round) => round['p99 ms']),
    ),
  ]
}

/** Of people who were never heard of: their documents are fetched from a directory on this machine. */
async function coldOf(stage: Stage): Promise<Figure> {
  const { served, engine, plcUrl } = stage
  const { generation, inFlight } = BASE
  const warmAsking = askingOf(stage)
  const [warm = [], cold = []] = await inTurns([
    () => exchangeRound(served, warmAsking, { generation, inFlight, count: COLD }),
    async () => {
      const people = await Promise.all(Array.from({ length: COLD }, () => makeSomebody(plcUrl)))
      await served.ask({ kind: 'enrol', space: stage.space, dids: people.map(({ did }) => did) }, 'filled')
      return exchangeRound(served, { ...warmAsking, people }, { generation, inFlight, count: COLD })
    },
  ])
  const what = 'an exchange whose document has to be fetched from a local directory / one whose document is known'
  const times = cold.map((round, at) => allUs(round) / allUs(warm[at] ?? round))
  const absolutes = {
    'cold µs': median(cold.map((round) => round['exchange µs'])),
    'warm µs': median(warm.map((round) => round['exchange µs'])),
    'cold p50 ms': median(cold.map((round) => round['p50 ms'])),
  }
  return figureOf({ row: null, engine, what, unit: 'times', aim: null }, times, absolutes)
}

/** Where the time of the base case goes, in a round that doesn't count. */
async function profileOf(stage: Stage): Promise<string> {
  const requests = prepared(askingOf(stage), BASE.generation, PER_ROUND)
  await stage.served.ask({ kind: 'profile' }, 'profile')
  await load(`${stage.at.url}/xrpc/${METHOD}`, stage.space, requests, BASE.inFlight)
  const { shares } = await stage.served.ask({ kind: 'profiled' }, 'profiled')
  return lineOfShares(shares)
}
