/**
 * The second part: what it costs to answer the PDS of an account whether somebody may come into one of its spaces.
 *
 * The unit is the same process reading and verifying as many service JWTs, in the same round; a decision alone is held against the
 * cryptography of an exchange. Every question brings a token of its own, as a PDS sends it, but where it says otherwise. Each answer has to
 * be yes, or nothing is measured. The contenders take turns, round for round.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../src/platform/clock.ts'
import { atRate, openAskingHost, pathOf, tokenFor } from '../test/kit/asking-often.ts'
import {
  ASKED_ABOUT,
  ASKED_IN_A_ROUND,
  type Contender,
  type HookRound,
  type HookStage,
  hookRound,
  memberOf,
  openHookStage,
  questions,
  verifyUs,
} from './hook-asking.ts'
import { quantile } from './load.ts'
import { lineOfShares } from './profile.ts'
import { personOf } from './roll-world.ts'
import { type Figure, figureOf } from './rows.ts'
import { type Engine, IS_QUICK, PER_ROUND } from './settings.ts'
import { call, spending } from './stage.ts'
import { AIMS } from './targets.ts'
import { prepare } from './tokens.ts'
import { figureOfRounds, inTurns, mediansOf } from './turns.ts'

/** People on the roster, of the space where most is measured and of the large one. */
const [FEW, MANY] = IS_QUICK ? [1_000, 10_000] : [1_000, 100_000]
/** What a question costs is asked of so many at once. */
const IN_FLIGHT = 64
const STEADY = { perSec: IS_QUICK ? 200 : 1_000, seconds: IS_QUICK ? 3 : 20, most: 200 } as const
const CHANGE_REST_MS = 40
const VERDICTS = IS_QUICK ? 50 : 200
/** Spaces that are nested in the one asked about, where a first decision is measured in a large community. */
const NESTED = 1_000

export async function measureHook(engine: Engine, says: (line: string) => void): Promise<readonly Figure[]> {
  const few = await openHookStage(engine, FEW)
  try {
    const many = await openHookStage(engine, MANY)
    try {
      says(`${engine}: questions of a PDS, among ${FEW} people and ${MANY}`)
      const figures = [...(await questionsOf(engine, few, many))]
      says(`${engine}: % of a question's time: ${await profileOf(few)}`)
      says(`${engine}: decisions alone`)
      figures.push(...(await decisionsOf(engine, few)))
      says(`${engine}: ${STEADY.perSec} questions a second for ${STEADY.seconds} s, while people come and go`)
      return [...figures, await steadily(engine, few)]
    } finally {
      await many.close()
    }
  } finally {
    await few.close()
  }
}

const shareOf = (round: HookRound): number => round['verify µs'] / round['answer µs']
const allUs = (round: HookRound): number => round['answer µs'] + round['database µs']

async function questionsOf(engine: Engine, few: HookStage, many: HookStage): Promise<readonly Figure[]> {
  const { port } = await few.served.ask({ kind: 'bare' }, 'bare')
  const read: Contender = { access: 'read', stage: few, inFlight: IN_FLIGHT }
  let asked = ASKED_ABOUT
  const firstTime = () => {
    const from = asked
    asked += ASKED_IN_A_ROUND
    return hookRound({ ...read, stage: many, from })
  }
  const named: readonly (readonly [what: string, measure: () => Promise<HookRound>])[] = [
    ['read, 64 in flight', () => hookRound(read)],
    ['read, 1 in flight', () => hookRound({ ...read, inFlight: 1 })],
    ['read, 8 in flight', () => hookRound({ ...read, inFlight: 8 })],
    ['write, 64 in flight', () => hookRound({ ...read, access: 'write' })],
    ['read, always with one token, 64 in flight', () => hookRound({ ...read, isReused: true })],
    [`read, among ${MANY}, 64 in flight`, () => hookRound({ ...read, stage: many })],
    [`read, among ${MANY}, asked for the first time, 64 in flight`, firstTime],
    ['an answer of bare HTTP, 64 in flight', () => hookRound({ ...read, url: `http://localhost:${port}` })],
  ]
  const measured = await inTurns(named.map(([, measure]) => measure))
  const [reads = [], , , writes = [], , large = [], , bare = []] = measured
  const shares = named.map(([what], at) => {
    const row = at === 0 ? 4 : null
    const about = {
      row,
      engine,
      what: `answers / verified tokens, per processor second: ${what}`,
      unit: 'times',
    } as const
    // The target was set for a server whose database is another process.
    const aim = at === 0 && engine === 'postgres' ? AIMS.hook : null
    return figureOfRounds({ ...about, aim }, measured[at] ?? [], shareOf)
  })
  const against = (what: string, rounds: readonly HookRound[], cost: (round: HookRound) => number, more: object) =>
    figureOf(
      { row: null, engine, what, unit: 'times', aim: null, ...more },
      rounds.map((round, at) => cost(round) / cost(reads[at] ?? round)),
      { 'read µs': mediansOf(reads)['answer µs'] ?? Number.NaN, µs: mediansOf(rounds)['answer µs'] ?? Number.NaN },
    )
  const ceiling = bare.map((round) => round['verify µs'] / (round['verify µs'] + round['answer µs']))
  return [
    ...shares,
    figureOf(
      { row: null, engine, what: 'the same of nothing but a verified token and bare HTTP', unit: 'times', aim: null },
      ceiling,
    ),
    against('a write / a read, processor time', writes, (round) => round['answer µs'], { aim: AIMS.writeOverRead }),
    against(`a question among ${MANY} people / among ${FEW}, process and database`, large, allUs, {}),
  ]
}

async function profileOf(stage: HookStage): Promise<string> {
  const host = openAskingHost(stage.at.url, IN_FLIGHT)
  const all = questions(stage, 2 * PER_ROUND, { access: 'read' })
  await stage.served.ask({ kind: 'profile' }, 'profile')
  let next = 0
  const worker = async () => {
    for (let question = all[next++]; question; question = all[next++]) await host.ask(question)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  const { shares } = await stage.served.ask({ kind: 'profiled' }, 'profiled')
  await host.close()
  return lineOfShares(shares)
}

/** What the parts cost by themselves, in the same process: a decision, and the first on a graph of which nothing was asked. */
async function decisionsOf(engine: Engine, stage: HookStage): Promise<readonly Figure[]> {
  const { account, at, space, served } = stage
  const dids = Array.from({ length: VERDICTS }, (_, nth) => memberOf(stage, nth))
  const url = `${at.url}/xrpc/com.atproto.space.getSpaceCredential`
  const coldOf = async (nested: number) => {
    const { verdictSec, graphSec, count } = await served.ask({ kind: 'cold', space, dids, nested }, 'cold')
    return { verdictUs: (verdictSec / count) * 1e6, graphUs: (graphSec / count) * 1e6 }
  }
  const [rounds = []] = await inTurns([
    async () => {
      const mints = prepare([account], { space, url, generation: 'october', count: 300, nowSec: systemClock.nowSec() })
      const decided = await served.ask({ kind: 'decisions', space, dids, rounds: 100 }, 'crypto')
      const minted = await served.ask({ kind: 'crypto', requests: mints, url }, 'crypto')
      const [cold, nested] = [await coldOf(0), await coldOf(NESTED)]
      return {
        'decision µs': (decided.cpuSec / decided.count) * 1e6,
        'crypto µs': (minted.cpuSec / minted.count) * 1e6,
        'verify µs': await verifyUs(stage),
        'cold µs': cold.verdictUs,
        'graph µs': cold.graphUs,
        'cold nested µs': nested.verdictUs,
        'nested graph µs': nested.graphUs,
      }
    },
  ])
  const figure = (what: string, name: keyof (typeof rounds)[number], others: readonly string[], aim: Figure['aim']) => {
    const medians = mediansOf(rounds)
    const absolutes = Object.fromEntries(
      [name, 'crypto µs', ...others].map((each) => [each, medians[each] ?? Number.NaN]),
    )
    const times = rounds.map((round) => round[name] / round['crypto µs'])
    return figureOf({ row: 15, engine, what, unit: 'times', aim }, times, absolutes)
  }
  const beside = 'the cryptography of an exchange'
  return [
    figure(`a decision, warm / ${beside}`, 'decision µs', ['verify µs'], AIMS.decisionWarm),
    figure(`the first decision on a graph / ${beside}`, 'cold µs', ['graph µs'], AIMS.decisionCold),
    figure(
      `the first decision on a graph, ${NESTED} spaces nested / ${beside}`,
      'cold nested µs',
      ['nested graph µs'],
      AIMS.decisionCold,
    ),
  ]
}

/** At a fixed rate, while an owner puts people on the roster and takes them off again: others than those who are asked about. */
async function steadily(engine: Engine, stage: HookStage): Promise<Figure> {
  const { at, owner, account, space, served } = stage
  const host = openAskingHost(at.url, STEADY.most, (says) => console.error(says))
  const counts = { yes: 0, no: 0, undecided: 0, lost: 0 }
  const latenciesMs: number[] = []
  let isOver = false
  let changes = 0
  const changing = async () => {
    for (; !isOver; changes++) {
      const did = personOf(`guest-${changes >> 1}`)
      if (changes % 2 === 0) await call(at, owner, 'member.put', { space, did, role: 'member' })
      else await call(at, owner, 'member.remove', { space, did })
      await sleep(CHANGE_REST_MS)
    }
  }
  const [wallSec, spent] = await spending(served, async () => {
    const changed = changing()
    const asked = await atRate(STEADY, async (nth) => {
      const authorization = `Bearer ${tokenFor(account, at.serviceDid, systemClock.nowSec())}`
      const user = memberOf(stage, nth % ASKED_ABOUT)
      const begun = performance.now()
      const path = pathOf({ space, user, access: nth % 2 === 0 ? 'read' : 'write' })
      // Awaited by itself: what is counted has to be read after it, or others would be lost.
      const answered = await host.ask({ path, authorization })
      counts[answered] += 1
      latenciesMs.push(performance.now() - begun)
    }).finally(() => {
      isOver = true
    })
    await changed
    return asked.wallSec
  })
  await host.close()
  if (counts.no > 0 || counts.lost > 0) throw new Error(`told a member ${JSON.stringify(counts)}`)
  const sorted = latenciesMs.toSorted((a, b) => a - b)
  const what = `questions answered / asked, ${STEADY.perSec} a second for ${STEADY.seconds} s while people come and go`
  const reached = sorted.length / wallSec / STEADY.perSec
  return figureOf({ row: null, engine, what, unit: 'times', aim: null }, [reached], {
    'per second': sorted.length / wallSec,
    'p50 ms': quantile(sorted, 0.5),
    'p99 ms': quantile(sorted, 0.99),
    'longest ms': sorted.at(-1) ?? Number.NaN,
    undecided: counts.undecided,
    changes: changes,
    processors: spent.processSec / wallSec,
  })
}
