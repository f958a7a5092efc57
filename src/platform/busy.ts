/** What can't be done in this moment because somebody else holds it: tried again after short pauses, and given up after seconds. */
import { Unavailable } from '../refusals.ts'
import { sleep } from './clock.ts'

/** Three seconds in all. */
const PAUSES_MS = [2, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 440] as const

/** The first answer that isn't `busy`. @throws Unavailable('NotEnoughResources') naming `what` when it is held for seconds */
export async function whileBusy<T>(what: string, ask: () => Promise<T | 'busy'>): Promise<T> {
  for (const pauseMs of PAUSES_MS) {
    const answer = await ask()
    if (answer !== 'busy') return answer
    await sleep(pauseMs)
  }
  throw new Unavailable('NotEnoughResources', what)
}
