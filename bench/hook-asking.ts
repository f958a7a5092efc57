/** The PDS of an account and what it asks: a Reeve with one space of that account, its people, and rounds of questions about them. */
import type { Did, SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { type AskingHost, openAskingHost, type Prepared, pathOf, tokenFor } from '../test/kit/asking-often.ts'
import { makeSomebody, type Somebody } from '../test/kit/people.ts'
import { startPlcServer } from '../test/kit/plc.ts'
import { FORUM } from '../test/kit/roll.ts'
import { quantile } from './load.ts'
import { personOf } from './roll-world.ts'
import { type Engine, IS_QUICK, PER_ROUND } from './settings.ts'
import { call, openPlace, type Served, spending, startServed } from './stage.ts'

/** Of how many people in turns it is asked. */
export const ASKED_ABOUT = IS_QUICK ? 200 : 1_000
const VERIFIED = IS_QUICK ? 200 : 2_000
const ASKED = PER_ROUND * 2
/** Of the questions of a round, so many may be left undecided, on a machine on which other work is running. */
const UNDECIDED_MAX = 0.01

/** One Reeve with an account, a space of its PDS, and people on its roster. */
export interface HookStage {
  readonly served: Served
  readonly at: { readonly url: string; readonly serviceDid: string }
  readonly account: Somebody
  readonly owner: Somebody
  readonly space: SpaceUri
  readonly people: number
  close(): Promise<void>
}

export async function openHookStage(engine: Engine, people: number): Promise<HookStage> {
  const plc = await startPlcServer()
  const closing: (() => Promise<unknown>)[] = [() => plc.close()]
  const close = async () => {
    for (const end of closing.splice(0)) await end()
  }
  try {
    const place = await openPlace(engine, 'hook', plc.url)
    closing.unshift(() => place.drop())
    const served = await startServed(place)
    closing.unshift(() => served.close())
    const [account, owner] = [await makeSomebody(plc.url), await makeSomebody(plc.url)]
    const at = { url: place.url, serviceDid: place.serviceDid }
    await call(at, account, 'community.adopt', { name: 'Bench', owner: owner.did })
    const input = { community: account.did, spaceType: FORUM, skey: 'main', host: 'pds' }
    const { uri } = await call(at, owner, 'space.create', input)
    const space = uri as SpaceUri
    await served.ask({ kind: 'fill', space, people: [1, people] }, 'filled')
    return { served, at, account, owner, space, people, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Somebody on the roster. Neighbours in number don't stand beside each other. */
export const memberOf = ({ people }: Pick<HookStage, 'people'>, at: number): Did =>
  personOf(1 + ((at * 104_729) % people))

/** How a question is asked: what for, and with a token of its own or always the same. */
export interface Manner {
  readonly access: 'read' | 'write'
  readonly isReused?: boolean
  /** From which person on; by itself always of the same ones. */
  readonly from?: number
}

export function questions(stage: HookStage, count: number, { access, isReused = false, from }: Manner): Prepared[] {
  const { account, at, space } = stage
  const token = () => `Bearer ${tokenFor(account, at.serviceDid, systemClock.nowSec())}`
  const always = token()
  return Array.from({ length: count }, (_, nth) => {
    const user = memberOf(stage, from === undefined ? nth % ASKED_ABOUT : from + nth)
    return { path: pathOf({ space, user, access }), authorization: isReused ? always : token() }
  })
}

/** Asks everything, so many at a time. @throws Error when an answer is no, or very many are none */
async function askAll(host: AskingHost, all: readonly Prepared[], inFlight: number) {
  const latenciesMs: number[] = []
  let next = 0
  let undecided = 0
  const worker = async () => {
    for (let at = next++; at < all.length; at = next++) {
      const begun = performance.now()
      const question = all[at]
      const answer = question && (await host.ask(question))
      if (answer === 'undecided') undecided += 1
      else if (answer !== 'yes') throw new Error(`a member was told ${answer}`)
      latenciesMs.push(performance.now() - begun)
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: inFlight }, worker))
  if (undecided > all.length * UNDECIDED_MAX) throw new Error(`${undecided} of ${all.length} were left undecided`)
  return { wallSec: (performance.now() - begun) / 1_000, latenciesMs: latenciesMs.toSorted((a, b) => a - b) }
}

export interface Contender extends Manner {
  readonly stage: HookStage
  readonly inFlight: number
  /** Another server of the same process, in place of Reeve. */
  readonly url?: string
}

export type HookRound = Readonly<
  Record<'answer µs' | 'database µs' | 'verify µs' | 'per second' | 'p50 ms' | 'p99 ms' | 'memory MiB', number>
>

/** Microseconds of reading and verifying a token. */
export async function verifyUs(stage: HookStage): Promise<number> {
  const tokens = questions(stage, VERIFIED, { access: 'read' }).map(({ authorization }) => authorization.slice(7))
  const { didKey } = stage.account.key
  const { cpuSec, count } = await stage.served.ask({ kind: 'verifies', tokens, didKey }, 'crypto')
  return (cpuSec / count) * 1e6
}

/** A round of questions beside verifying as many tokens as are enough to tell what one costs. */
export async function hookRound(contender: Contender): Promise<HookRound> {
  const { stage, inFlight, url = stage.at.url, ...manner } = contender
  const host = openAskingHost(url, inFlight, (says) => console.error(says))
  const verify = await verifyUs(stage)
  const all = questions(stage, ASKED, manner)
  const [{ wallSec, latenciesMs }, spent] = await spending(stage.served, () => askAll(host, all, inFlight))
  await host.close()
  const { rssMiB } = await stage.served.ask({ kind: 'cpu' }, 'cpu')
  return {
    'answer µs': (spent.processSec / all.length) * 1e6,
    'database µs': (spent.databaseSec / all.length) * 1e6,
    'verify µs': verify,
    'per second': all.length / wallSec,
    'p50 ms': quantile(latenciesMs, 0.5),
    'p99 ms': quantile(latenciesMs, 0.99),
    'memory MiB': rssMiB,
  }
}

/** As many questions as are in a round: nobody is asked about twice by rounds that begin so far apart. */
export const ASKED_IN_A_ROUND = ASKED
