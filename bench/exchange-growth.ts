/** What the exchange costs as things grow, one at a time: the roster, the nesting, and the number of processes. */

import type { SpaceUri } from '../src/names.ts'
import { freePort } from '../test/kit/ports.ts'
import { FORUM } from '../test/kit/roll.ts'
import { allUs, askingOf, BASE, type ExchangeRound, exchangeRound } from './exchange-rounds.ts'
import { type Figure, figureOf } from './rows.ts'
import { amounts, type Engine } from './settings.ts'
import { call, openStage, type Stage, startServed } from './stage.ts'
import { inTurns, mediansOf } from './turns.ts'

const PEOPLE = 20
const MEMBERS = amounts('BENCH_GROWTH', '1000,10000,100000,1000000', '1000,10000')
const DEPTHS = [1, 2, 4, 8]
const { generation, inFlight } = BASE

export async function measureGrowth(engine: Engine, says: (line: string) => void): Promise<readonly Figure[]> {
  says(`${engine}: the exchange among ${MEMBERS.join(', ')} people`)
  const figures = [...(await byMembers(engine))]
  says(`${engine}: the exchange through ${DEPTHS.join(', ')} spaces`)
  figures.push(...(await byNesting(engine)))
  if (engine === 'embedded') return figures
  says(`${engine}: the exchange by one process and by two`)
  return [...figures, await byProcesses(engine)]
}

/** Each against the first, of processor time of the process and the server together, over the cryptography of its round. */
function against(
  engine: Engine,
  name: string,
  what: (value: number, first: number) => string,
  values: readonly number[],
  measured: readonly (readonly ExchangeRound[])[],
): readonly Figure[] {
  const [first = Number.NaN] = values
  const cost = (round: ExchangeRound | undefined) => (round ? allUs(round) / round['crypto µs'] : Number.NaN)
  return values.map((value, at) => {
    const rounds = measured[at] ?? []
    const times = rounds.map((round, nth) => cost(round) / cost(measured[0]?.[nth]))
    const about = { row: null, engine, what: what(value, first), unit: 'times', aim: null } as const
    return figureOf(about, times, { [name]: value, ...mediansOf(rounds) })
  })
}

async function byMembers(engine: Engine): Promise<readonly Figure[]> {
  const stages: Stage[] = []
  try {
    for (const members of MEMBERS) {
      const stage = await openStage(engine, 'members', PEOPLE)
      stages.push(stage)
      await stage.served.ask({ kind: 'fill', space: stage.space, people: [1, members - PEOPLE] }, 'filled')
    }
    const measured = await inTurns(
      stages.map((stage) => () => exchangeRound(stage.served, askingOf(stage), { generation, inFlight })),
    )
    const what = (members: number, first: number) => `an exchange among ${members} people / among ${first}`
    return against(engine, 'members', what, MEMBERS, measured)
  } finally {
    for (const stage of stages) await stage.close()
  }
}

async function byNesting(engine: Engine): Promise<readonly Figure[]> {
  const stage = await openStage(engine, 'nesting', PEOPLE)
  try {
    const chain = await chainOf(stage, Math.max(...DEPTHS))
    const measured = await inTurns(
      DEPTHS.map((depth) => {
        const asking = { ...askingOf(stage), space: chain[depth - 1] ?? stage.space }
        return () => exchangeRound(stage.served, asking, { generation, inFlight })
      }),
    )
    const what = (depth: number) => `an exchange through ${depth} spaces / of somebody on the roster itself`
    return against(engine, 'spaces', (depth) => (depth === 1 ? 'an exchange, direct' : what(depth)), DEPTHS, measured)
  } finally {
    await stage.close()
  }
}

/** Spaces of which each has the one before it on its roster; people stand in the first alone. */
async function chainOf({ at, people, community, space }: Stage, length: number): Promise<readonly SpaceUri[]> {
  const [founder] = people
  if (!founder) throw new Error('nobody')
  const chain = [space]
  while (chain.length < length) {
    const input = { community, spaceType: FORUM, skey: `over-${chain.length}` }
    const { uri } = await call(at, founder, 'space.create', input)
    await call(at, founder, 'member.put', { space: uri, memberSpace: chain.at(-1), role: 'reader' })
    chain.push(uri)
  }
  return chain
}

/** On one server. Where there are no more processors than these and the server's, all of them share what is there. */
async function byProcesses(engine: Engine): Promise<Figure> {
  const stage = await openStage(engine, 'processes', PEOPLE)
  const other = await startServed(stage.place, { port: await freePort() })
  try {
    const asking = askingOf(stage)
    const processes = [stage.served, other]
    const [one = [], two = []] = await inTurns([
      () => exchangeRound(stage.served, asking, { generation, inFlight }),
      () => exchangeRound(stage.served, asking, { generation, inFlight, processes }),
    ])
    const times = two.map((round, at) => round['per second'] / (one[at]?.['per second'] ?? Number.NaN))
    const name = (how: string, rounds: readonly ExchangeRound[]) =>
      Object.fromEntries(Object.entries(mediansOf(rounds)).map(([what, value]) => [`${how}: ${what}`, value]))
    const what = `exchanges a second by two processes on one server / by one; the processes, the server and the load share the machine's processors`
    const about = { row: null, engine, what, unit: 'times', aim: null } as const
    return figureOf(about, times, { ...name('one', one), ...name('two', two) })
  } finally {
    await other.close()
    await stage.close()
  }
}
