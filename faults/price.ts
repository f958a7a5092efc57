/**
 * `node faults/price.ts`: what it costs that a second node keeps what is acknowledged. One Reeve on the cluster of `npm run test:failover`; exchanges
 * and changes as fast as they are answered, with synchronous replication and without, in turns within one run. Nothing is judged; the ratio is told.
 */

import { rosterOf } from '../src/names.ts'
import { makeSomebody, type Somebody } from '../test/kit/people.ts'
import { freshDid } from '../test/kit/roll.ts'
import { missingPrograms } from './failover/cluster.ts'
import { type House, openHouse } from './failover/house.ts'
import { amount } from './settings.ts'
import { callBy, openStage, type Stage, tokenOf } from './stage.ts'

const ROUNDS = amount('PRICE_ROUNDS', 6, 2)
const SECONDS = amount('PRICE_SECONDS', 8, 3)
/** So many that nobody meets the limits of one person. */
const PEOPLE = 120
const OWNERS = 10
const IN_FLIGHT = { exchanges: 32, changes: 4 } as const
type What = keyof typeof IN_FLIGHT

const missing = missingPrograms()
if (missing !== null) throw new Error(missing)
const opened: House[] = []
const stage = await openStage({
  engine: 'postgres',
  house: async (given) => {
    const house = await openHouse(given, { reeves: 1 })
    opened.push(house)
    return house
  },
})
const median = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0
try {
  const people = await crowd(stage)
  const found = new Map<string, number[]>()
  // The first round doesn't count.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const isTwice of round % 2 === 0 ? [true, false] : [false, true]) {
      await opened[0]?.cluster.keepTwice(isTwice)
      for (const what of ['exchanges', 'changes'] as const) {
        const perSecond = await measure(what, people)
        if (round > 0) found.set(`${what} ${isTwice}`, [...(found.get(`${what} ${isTwice}`) ?? []), perSecond])
        console.log(`round ${round}, ${isTwice ? 'kept twice' : 'kept once'}: ${perSecond.toFixed(0)} ${what} a second`)
      }
    }
  }
  for (const what of ['exchanges', 'changes'] as const) {
    const [twice, once] = [found.get(`${what} true`) ?? [], found.get(`${what} false`) ?? []]
    const ratios = twice.map((value, nth) => value / (once[nth] ?? 1))
    const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`
    const both = `${median(twice).toFixed(0)} and ${median(once).toFixed(0)} a second`
    console.log(`${what}, kept twice / kept once: ${median(ratios).toFixed(2)} (${range}); ${both}`)
  }
} finally {
  await stage.close()
}
process.exit(0)

/** The first are owners, who make the changes; all of them stand in the hall. */
async function crowd(at: Stage): Promise<readonly Somebody[]> {
  const people = await Promise.all(Array.from({ length: PEOPLE }, () => makeSomebody(at.plc.honestUrl)))
  const put = async (space: string, did: string, role: string) => {
    const { says } = await at.send(callBy(at, at.founder, 'member.put', { space, did, role }), at.founder.did)
    if (says !== 'ok') throw new Error(`somebody was not taken: ${says}`)
  }
  for (const [nth, { did }] of people.entries())
    await (nth < OWNERS ? put(rosterOf(at.community).uri, did, 'owner') : put(at.hall, did, 'member'))
  return people
}

async function measure(what: What, people: readonly Somebody[]): Promise<number> {
  let [turn, done, isOver] = [0, 0, false]
  const begunMs = performance.now()
  const one = async () => {
    while (!isOver) {
      const person = people[turn++ % (what === 'exchanges' ? people.length : OWNERS)]
      if (!person) throw new Error('nobody')
      const raw =
        what === 'exchanges'
          ? tokenOf(stage, person, stage.hall).raw
          : callBy(stage, person, 'member.put', { space: stage.yard, did: freshDid(), role: 'member' })
      const { says } = await stage.send(raw, person.did)
      if (says !== 'ok') throw new Error(`${what}: ${says}`)
      done += 1
    }
  }
  const working = Array.from({ length: IN_FLIGHT[what] }, one)
  await Promise.race([Promise.all(working), new Promise((resolve) => setTimeout(resolve, SECONDS * 1_000))])
  const tookMs = performance.now() - begunMs
  isOver = true
  const counted = done
  await Promise.all(working)
  return (counted * 1_000) / tookMs
}
