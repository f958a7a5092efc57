/** Two real processes on one server: whether the second ever answers from before what the first has done, and who gets a token that both are shown. */
import { systemClock } from '../src/platform/clock.ts'
import { callAs, type Somebody } from '../test/kit/people.ts'
import { freePort } from '../test/kit/ports.ts'
import { FORUM } from '../test/kit/roll.ts'
import { askingOf, BASE, prepared } from './exchange-rounds.ts'
import { exchangeRequest, openSender, quantile } from './load.ts'
import { personOf } from './roll-world.ts'
import { type Figure, figureOf } from './rows.ts'
import { amount } from './settings.ts'
import { call, openStage, type Served, type Stage, startServed } from './stage.ts'
import { AIMS } from './targets.ts'

const CHANGES = amount('BENCH_CHANGES', 2_000, 60)
const CLAIMS = amount('BENCH_CLAIMS', 20, 2)
const AT_ONCE = 200
const PEOPLE = 20
const engine = 'postgres'

async function withTwo<T>(what: string, work: (stage: Stage, other: Served) => Promise<T>): Promise<T> {
  const stage = await openStage(engine, what, PEOPLE)
  try {
    const other = await startServed(stage.place, { port: await freePort() })
    try {
      return await work(stage, other)
    } finally {
      await other.close()
    }
  } finally {
    await stage.close()
  }
}

interface Change {
  readonly make: () => Promise<unknown>
  readonly expected: 'allowed' | 'denied'
  readonly did: string
}

/**
 * Through the first process somebody comes onto a roster and off it again, and a space onto another one's roster and off it; after each
 * answer the second is asked at once. Every second change takes something away.
 */
export const measureStale = (): Promise<Figure> =>
  withTwo('stale', async (stage, other) => {
    const { at, people, space, community } = stage
    const [founder] = people
    if (!founder) throw new Error('nobody')
    const { uri: nested } = await call(at, founder, 'space.create', { community, spaceType: FORUM, skey: 'nested' })
    const guest = personOf('guest of the nested space')
    await call(at, founder, 'member.put', { space: nested, did: guest, role: 'member' })
    const changeOf = (nth: number): Change => {
      const isPut = nth % 2 === 0
      const isOfPerson = nth % 4 < 2
      const did = isOfPerson ? personOf(`visitor-${nth >> 2}`) : guest
      const about = isOfPerson ? { space, did } : { space, memberSpace: nested }
      const make = () =>
        isPut
          ? call(at, founder, 'member.put', { ...about, role: 'reader' })
          : call(at, founder, 'member.remove', about)
      return { make, expected: isPut ? 'allowed' : 'denied', did }
    }
    let stale = 0
    const waits: number[] = []
    for (let nth = 0; nth < CHANGES; nth++) {
      const { make, expected, did } = changeOf(nth)
      await make()
      const begun = performance.now()
      const answered = await mayRead(other, founder, stage, did)
      waits.push(performance.now() - begun)
      if (answered !== expected) stale += 1
    }
    const what = `stale decisions of a second process, asked at once after each of ${CHANGES} changes through the first`
    return figureOf({ row: 12, engine, what, unit: 'count', aim: AIMS.stale }, [stale], {
      changes: CHANGES,
      'asking p50 ms': quantile(
        waits.toSorted((a, b) => a - b),
        0.5,
      ),
    })
  })

async function mayRead(other: Served, founder: Somebody, { at, space }: Stage, did: string) {
  const where = { url: other.url, serviceDid: at.serviceDid, nowSec: systemClock.nowSec() }
  const answer = await callAs(founder, where, 'community.reeve.member.check', { space, did, action: 'read' }, 'query')
  if (answer.status !== 200) throw new Error(`member.check: ${JSON.stringify(answer.body)}`)
  return answer.body.allowed === true ? 'allowed' : 'denied'
}

/** One token and one proof, shown to both processes by very many at once. */
export const measureClaims = (): Promise<Figure> =>
  withTwo('claims', async (stage, other) => {
    const urls = [stage.served.url, other.url]
    const sender = openSender(AT_ONCE)
    const winners: number[] = []
    for (let round = 0; round < CLAIMS; round++) {
      const [one] = prepared(askingOf(stage), round % 2 === 0 ? BASE.generation : 'august', 1)
      if (!one) throw new Error('no request')
      const ready = exchangeRequest(stage.space, one)
      const answers = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, nth) => sender.send(urls[nth % 2] ?? stage.served.url, ready)),
      )
      const odd = answers.find(({ status }) => status !== 200 && status !== 401)
      if (odd) throw new Error(`answered ${odd.status}: ${odd.text.slice(0, 200)}`)
      winners.push(answers.filter(({ status }) => status === 200).length)
    }
    sender.close()
    const what = `rounds in which ${AT_ONCE} who showed one token to two processes were not exactly one, of ${CLAIMS}`
    const wrong = winners.filter((count) => count !== 1).length
    return figureOf({ row: 13, engine, what, unit: 'count', aim: AIMS.notOnce }, [wrong], {
      'fewest winners': Math.min(...winners),
      'most winners': Math.max(...winners),
    })
  })
