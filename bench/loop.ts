/** How long the event loop is held up while exchanges come at 80 % of what was just seen to be the most, whoever waits for them. */
import { atRate } from '../test/kit/asking-often.ts'
import { askingOf, BASE, exchangeRound, prepared } from './exchange-rounds.ts'
import { exchangeRequest, openSender, quantile } from './load.ts'
import type { Figure } from './rows.ts'
import { type Engine, IS_QUICK } from './settings.ts'
import { openStage } from './stage.ts'
import { AIMS } from './targets.ts'
import { figureOfRounds, inTurns } from './turns.ts'

const PEOPLE = 20
const SECONDS = IS_QUICK ? 1 : 8
const SHARE = 0.8
const CONNECTIONS = 256

export async function measureLoop(engine: Engine): Promise<Figure> {
  const stage = await openStage(engine, 'loop', PEOPLE)
  try {
    const { served, at, space } = stage
    const asking = askingOf(stage)
    const [rounds = []] = await inTurns([
      async () => {
        const saturated = await exchangeRound(served, asking, BASE)
        const perSec = SHARE * saturated['per second']
        // Signed beforehand: the load must not be what is short of a processor.
        const requests = prepared(asking, BASE.generation, Math.ceil(perSec * SECONDS) + 1)
        const ready = requests.map((one) => exchangeRequest(space, one))
        const sender = openSender(CONNECTIONS)
        const latenciesMs: number[] = []
        await served.ask({ kind: 'loop' }, 'loop')
        const { latestMs } = await atRate({ perSec, seconds: SECONDS, most: CONNECTIONS }, async (nth) => {
          const one = ready[nth]
          const begun = performance.now()
          const answer = one && (await sender.send(at.url, one))
          if (answer?.status !== 200) throw new Error(`answered ${answer?.status}: ${answer?.text.slice(0, 200)}`)
          latenciesMs.push(performance.now() - begun)
        })
        const { p99Ms, longestMs } = await served.ask({ kind: 'looped' }, 'looped')
        sender.close()
        const sorted = latenciesMs.toSorted((a, b) => a - b)
        return {
          'delay p99 ms': p99Ms,
          'longest ms': longestMs,
          'over one exchange': (p99Ms * 1_000) / saturated['exchange µs'],
          'asked per second': perSec,
          'saturated per second': saturated['per second'],
          'begun late by at most ms': latestMs,
          'p50 ms': quantile(sorted, 0.5),
          'p99 ms': quantile(sorted, 0.99),
        }
      },
    ])
    const aim = engine === 'postgres' ? AIMS.loopPostgres : AIMS.loopEmbedded
    const what = 'p99 of the loop’s delay, exchanges at 80 % of saturation in an open loop'
    return figureOfRounds({ row: 26, engine, what, unit: 'ms', aim }, rounds, (round) => round['delay p99 ms'])
  } finally {
    await stage.close()
  }
}
