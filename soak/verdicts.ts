/** What a soak has to show, judged by its figures alone: each verdict with what was measured and the bound it was held against. */
import type { Size } from '../src/platform/sizes.ts'
import type { HonestCount, HostileCount, MeasuredSample, Plan, Refused, Stretch } from './words.ts'

/** One moment of a run, and what everybody counted since the one before. */
export interface Moment extends MeasuredSample {
  readonly atSec: number
  /** Seconds since the moment before. */
  readonly lengthSec: number
  readonly honest: HonestCount
  readonly hostile: HostileCount
}

export interface Verdict {
  readonly name: string
  readonly isOk: boolean
  readonly says: string
}

export interface Run {
  readonly plan: Plan
  /** Before anybody asks for anything. */
  readonly start: Pick<MeasuredSample, 'cpuSec' | 'starvedSec'>
  readonly moments: readonly Moment[]
  /** When all is quiet. */
  readonly last: MeasuredSample
  /** Failures that the measured process logged, each with how often. */
  readonly failures: Readonly<Record<string, number>>
}

// ── the heap ──

export interface Slope {
  readonly perSec: number
  readonly standardError: number
  readonly points: number
}

/** The straight line through points by least squares. NaN with fewer than three. */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const n = points.length
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
  const perSec = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread
  const rest = points.reduce((sum, [x, y]) => sum + (y - meanY - perSec * (x - meanX)) ** 2, 0)
  const standardError = n < 3 ? Number.NaN : Math.sqrt(rest / (n - 2) / spread)
  return { perSec, standardError, points: n }
}

/** How many standard errors either way hold the truth nineteen times of twenty, with so many points. */
export function widthOf({ points }: Slope): number {
  const freedom = points - 2
  return 1.96 + 2.37 / freedom + 2.82 / freedom ** 2 + 2.56 / freedom ** 3
}

/** The share of a run that counts: before that, code is still being compiled and connections opened. */
const JUDGED_SHARE = 0.7
/** A leak of so much in each request has to be seen. */
export const LEAK_BYTES = 100
const MIB = 2 ** 20

/** What is left of the heap after everything was collected that nobody holds, along the last part of the run. */
export function heapVerdict({ plan, moments }: Pick<Run, 'plan' | 'moments'>): Verdict {
  const fromSec = plan.minutes * 60 * (1 - JUDGED_SHARE)
  const judged = moments.filter(({ atSec, isCollected }) => isCollected && atSec >= fromSec)
  const slope = slopeOf(judged.map(({ atSec, heapMiB }) => [atSec / 3_600, heapMiB]))
  const { requests, seconds } = ratesOf(moments)
  const leakPerHour = ((requests / seconds) * 3_600 * LEAK_BYTES) / MIB
  const most = leakPerHour / 2
  const width = widthOf(slope) * slope.standardError
  const bytesOf = (perHour: number) => ((perHour / leakPerHour) * LEAK_BYTES).toFixed(0)
  const says =
    `${bytesOf(slope.perSec)} ± ${bytesOf(width)} bytes a request; ${slope.perSec.toFixed(1)} ± ${width.toFixed(1)} MiB/h (standard error ${slope.standardError.toFixed(1)}, ${slope.points} samples); ` +
    `bound ${most.toFixed(1)}, ${LEAK_BYTES} bytes of each request would be ${leakPerHour.toFixed(1)}`
  const isWithin = slope.perSec - width <= most
  // A line so blurred that the leak would have passed as well shows nothing.
  const isTold = width <= most || !isWithin
  return {
    name: 'heap',
    isOk: isWithin && isTold,
    says: isTold ? says : `${says}: too short or too noisy a run to tell`,
  }
}

const ratesOf = (moments: readonly Moment[]) => ({
  requests: moments.reduce((sum, moment) => sum + moment.requests, 0),
  seconds: moments.reduce((sum, moment) => sum + moment.lengthSec, 0),
})

// ── what is bounded ──

/** After a flood or a stall, until connections that nobody uses are closed. */
const AFTERWARDS_SEC = 20
const HANDLES_MORE = 32

const isIn = (atSec: number, stretches: readonly Stretch[], afterSec = 0): boolean =>
  stretches.some(({ fromSec, toSec }) => atSec >= fromSec && atSec <= toSec + afterSec)

/** Between floods and stalls, what is open at the end of a run is no more than at its beginning. */
export function handlesVerdict({ plan, moments }: Pick<Run, 'plan' | 'moments'>): Verdict {
  const calm = moments.filter(({ atSec }) => !isIn(atSec, [...plan.bursts, ...plan.stalls], AFTERWARDS_SEC))
  const third = (plan.minutes * 60) / 3
  const most = (of: readonly Moment[], type: string) => Math.max(0, ...of.map(({ handles }) => handles[type] ?? 0))
  const [first, last] = [calm.filter(({ atSec }) => atSec <= third), calm.filter(({ atSec }) => atSec >= 2 * third)]
  const types = [...new Set(moments.flatMap(({ handles }) => Object.keys(handles)))].sort()
  const grown = types.filter((type) => most(last, type) > most(first, type) + HANDLES_MORE)
  const says = types.map((type) => `${type} ${most(first, type)} → ${most(last, type)}`).join(', ')
  const isSeen = first.length > 0 && last.length > 0
  return { name: 'handles', isOk: grown.length === 0 && isSeen, says: `most in the first and the last third: ${says}` }
}

/** The most that each thing had in a run. */
export function peaksOf(moments: readonly Pick<MeasuredSample, 'sizes'>[]): readonly Size[] {
  const peaks = new Map<string, Size>()
  for (const size of moments.flatMap(({ sizes }) => sizes)) {
    if (size.size >= (peaks.get(size.name)?.size ?? 0)) peaks.set(size.name, size)
  }
  return [...peaks.values()]
}

export function boundsVerdict({ moments }: Pick<Run, 'moments'>): Verdict {
  const peaks = peaksOf(moments)
  const beyond = peaks.filter(({ size, most }) => size > most)
  const full = peaks.filter(({ kind, size, most }) => kind === 'kept' && size >= most)
  const says = beyond.length === 0 ? `${peaks.length} within their bounds, ${full.length} of them full` : textOf(beyond)
  return { name: 'caches and lines', isOk: beyond.length === 0 && peaks.length > 0, says }
}

const textOf = (sizes: readonly Size[]): string =>
  sizes.map(({ name, size, most }) => `${name} ${size} of ${most}`).join(', ')

export function emptyVerdict({ last }: Pick<Run, 'last'>): Verdict {
  const { lanesWaiting, notesWaiting } = last
  const left = last.sizes.filter(({ kind, size }) => kind === 'waiting' && size > 0)
  const lines = last.sizes.filter(({ kind }) => kind === 'waiting').length
  const isOk = left.length === 0 && lines > 0 && lanesWaiting === 0 && notesWaiting === 0
  const says = `${lines} lines, ${left.length} not empty ${textOf(left)}; syncers that are well still to be told ${lanesWaiting}, notes ${notesWaiting}`
  return { name: 'empty afterwards', isOk, says }
}

/** How long a claim on single use stays: the life of a token, what it may be off, the margin, and two sweeps. */
const SPENT_SEC = 60 + 10 + 60 + 2 * 60
/** Token, proof and attestation. */
const CLAIMS_OF_REQUEST = 3

export function tablesVerdict({ moments, last }: Pick<Run, 'moments' | 'last'>): Verdict {
  const overdue = last.tables.filter((table) => table.overdue > 0)
  const endSec = moments.at(-1)?.atSec ?? 0
  const lately = ratesOf(moments.filter(({ atSec }) => atSec > endSec - SPENT_SEC)).requests
  const spent = last.tables.find(({ name }) => name === 'spent')?.rows ?? Number.NaN
  const most = lately * CLAIMS_OF_REQUEST
  const isOk = overdue.length === 0 && spent <= most
  const says = `overdue: ${overdue.map(({ name, overdue: rows }) => `${name} ${rows}`).join(', ') || 'none'}; spent ${spent} rows, by rate and life at most ${most}`
  return { name: 'tables', isOk, says }
}

// ── the honest ──

/** What was under way when a stall ended is answered soon after. */
const explainedBy = ({ stalls }: Plan, { beganSec, endedSec }: Refused): boolean =>
  stalls.some(({ fromSec, toSec }) => endedSec >= fromSec && beganSec <= toSec + AFTERWARDS_SEC)

/** A process that gets less than its share of a processor is as busy as one that is asked too much: it says so, and is asked again. */
const STARVED_SHARE = 0.25
/** Of one processor, what it got and what it waited for: beyond this it is asked for more than there is. */
const FULL_SHARE = 0.8

/** Times in which there was no processor left for what the measured process was asked, each with what is answered late because of it. */
export function busyIn({ start, moments }: Pick<Run, 'start' | 'moments'>): readonly Stretch[] {
  return moments.flatMap(({ atSec, lengthSec, cpuSec, starvedSec }, nth) => {
    const before = moments[nth - 1] ?? start
    const waitedSec = starvedSec - before.starvedSec
    const isStarved = waitedSec > STARVED_SHARE * lengthSec
    const isFull = waitedSec + cpuSec - before.cpuSec > FULL_SHARE * lengthSec
    return isStarved || isFull ? [{ fromSec: atSec - lengthSec, toSec: atSec }] : []
  })
}

const isWithin = (stretches: readonly Stretch[], { beganSec, endedSec }: Refused): boolean =>
  stretches.some(({ fromSec, toSec }) => endedSec >= fromSec && beganSec <= toSec)

/** 502 among them: whoever asks the directory while it is silent is cut off at the end of it. */
const isTemporary = ({ says }: Refused): boolean => /^50[234] /.test(says)
/** The process itself had no room or no time; not that somebody elsewhere said nothing. */
const isOurs = ({ says }: Refused): boolean => says === '503 NotEnoughResources'
const isLost = ({ says }: Refused): boolean => says.startsWith('0 ')

/** By what was asked and what was said, how often. */
export function tallyOf(refused: readonly Refused[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { what, says } of refused) counts[`${what}: ${says}`] = (counts[`${what}: ${says}`] ?? 0) + 1
  return counts
}

const tallied = (refused: readonly Refused[]): string =>
  Object.entries(tallyOf(refused))
    .map(([what, count]) => `${count} × ${what}`)
    .join(', ') || 'none'

export function honestVerdicts({ plan, start, moments }: Pick<Run, 'plan' | 'start' | 'moments'>): readonly Verdict[] {
  const refused = moments.flatMap(({ honest }) => honest.refused)
  const all = moments.flatMap(({ honest }) => Object.values(honest.tookMs).map((times) => times.length))
  const sent = all.reduce((sum, count) => sum + count, 0)
  const lost = refused.filter(isLost)
  const others = refused.filter((one) => !isLost(one))
  const busy = busyIn({ start, moments })
  const byMachine = others.filter((one) => isOurs(one) && isWithin(busy, one))
  const explained = others.filter((one) => !byMachine.includes(one) && isTemporary(one) && explainedBy(plan, one))
  const unexplained = others.filter((one) => !explained.includes(one) && !byMachine.includes(one))
  const warm = explained.filter(({ what }) => what.startsWith('exchange'))
  return [
    { name: 'nothing is lost', isOk: lost.length === 0 && sent > 0, says: `of ${sent} requests: ${tallied(lost)}` },
    {
      name: 'nobody honest is refused',
      isOk: unexplained.length === 0,
      says: `${tallied(unexplained)}; by the directory’s silence: ${tallied(explained)}; while no processor was left for it: ${tallied(byMachine)}`,
    },
    { name: 'exchanges during stalls', isOk: warm.length === 0, says: `refused: ${tallied(warm)}` },
  ]
}

export function historyVerdict({ moments }: Pick<Run, 'moments'>): Verdict {
  const faults = moments.flatMap(({ honest }) => honest.faults)
  const sum = (side: 'in' | 'out' | 'moving') => moments.reduce((all, { honest }) => all + honest.judged[side], 0)
  const isOk = faults.length === 0 && sum('in') > 0 && sum('out') > 0
  const says = `${sum('in')} questions about people who were in, ${sum('out')} about people who were out, ${sum('moving')} during a change`
  return { name: 'history', isOk, says: `${says}; faults: ${faults.slice(0, 3).join('; ') || 'none'}` }
}

export function hostileVerdict({ moments }: Pick<Run, 'moments'>): Verdict {
  const faults = moments.flatMap(({ hostile }) => hostile.faults)
  const answers = moments.flatMap(({ hostile }) => Object.values(hostile.answers).flatMap((one) => Object.values(one)))
  const sent = answers.reduce((sum, count) => sum + count, 0)
  const says = `of ${sent}: ${[...new Set(faults)].join('; ') || 'nobody got anything, and nothing broke'}`
  return { name: 'hostile', isOk: faults.length === 0 && sent > 0, says }
}

export function failuresVerdict({ failures }: Pick<Run, 'failures'>): Verdict {
  const says = Object.entries(failures).map(([name, count]) => `${count} × ${name}`)
  return { name: 'failures in the log', isOk: says.length === 0, says: says.join(', ') || 'none' }
}

export const verdictsOf = (run: Run): readonly Verdict[] => [
  heapVerdict(run),
  handlesVerdict(run),
  boundsVerdict(run),
  emptyVerdict(run),
  tablesVerdict(run),
  ...honestVerdicts(run),
  historyVerdict(run),
  hostileVerdict(run),
  failuresVerdict(run),
]
