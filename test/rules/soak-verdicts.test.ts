/** What a soak holds against its figures: a leak is seen, a bound that is broken, an answer that nobody may get. */
import { describe, expect, it } from 'vitest'
import { drawSoak, niceAbove } from '../../soak/picture.ts'
import { planOf } from '../../soak/plan.ts'
import { faultOf, Stand } from '../../soak/stand.ts'
import {
  boundsVerdict,
  busyIn,
  emptyVerdict,
  handlesVerdict,
  heapVerdict,
  historyVerdict,
  honestVerdicts,
  hostileVerdict,
  LEAK_BYTES,
  type Moment,
  slopeOf,
  tablesVerdict,
} from '../../soak/verdicts.ts'

const PLAN = planOf({})
const SECONDS = PLAN.minutes * 60
const EVERY_SEC = 30
const PER_SEC = 100

/** One moment in which all is well. */
function momentAt(atSec: number, more: Partial<Moment> = {}): Moment {
  return {
    ...{ atSec, lengthSec: EVERY_SEC, heapMiB: 200, isCollected: true, rssMiB: 400, externalMiB: 5, buffersMiB: 1 },
    ...{ loopP99Ms: 12, cpuSec: atSec / 3, starvedSec: 0, handles: { TCPSocketWrap: 100, Timeout: 40 } },
    sizes: [
      { name: 'names', kind: 'kept', size: 7, most: 7 },
      { name: 'line', kind: 'waiting', size: 3, most: 9 },
    ],
    ...{ requests: PER_SEC * EVERY_SEC, answers: {}, tables: [], connections: null, lanesWaiting: 2, notesWaiting: 0 },
    honest: { tookMs: { exchange: [4, 5] }, refused: [], faults: [], judged: { in: 1, out: 1, moving: 1 } },
    hostile: { answers: { forged: { '401 BadJwt': 3 } }, faults: [] },
    ...more,
  }
}

const run = (of: (atSec: number, nth: number) => Partial<Moment> = () => ({})) => {
  const moments = Array.from({ length: SECONDS / EVERY_SEC }, (_, nth) => {
    const atSec = (nth + 1) * EVERY_SEC
    return momentAt(atSec, of(atSec, nth))
  })
  const rest = momentAt(SECONDS, { lanesWaiting: 0, sizes: [{ name: 'line', kind: 'waiting', size: 0, most: 9 }] })
  return { plan: PLAN, start: { cpuSec: 0, starvedSec: 0 }, moments, last: rest, failures: {} }
}

/** As a heap is never measured alike twice. */
const blur = (nth: number, by: number): number => by * Math.sin(nth * 12.9898) * 1.4

describe('the heap', () => {
  it('is a line through its points, with what is left beside it', () => {
    const { perSec, standardError } = slopeOf([
      [0, 1],
      [1, 3],
      [2, 5],
    ])
    expect([perSec, standardError]).toEqual([2, 0])
    // By hand: the mean is (1, 2), the slope 1, the rests 0.333, −0.667, 0.333.
    const bent = slopeOf([
      [0, 1.333],
      [1, 1.333],
      [2, 3.333],
    ])
    expect(bent.perSec).toBeCloseTo(1, 6)
    expect(bent.standardError).toBeCloseTo(0.577, 2)
  })

  it('may stay where it is', () => {
    expect(heapVerdict(run((_, nth) => ({ heapMiB: 200 + blur(nth, 0.3) })))).toMatchObject({ isOk: true })
  })

  it('may grow at first', () => {
    const warming = run((atSec, nth) => ({ heapMiB: 200 + blur(nth, 0.3) - 60 * Math.exp(-atSec / 60) }))
    expect(heapVerdict(warming)).toMatchObject({ isOk: true })
  })

  it('may not keep a hundred bytes of each request', () => {
    const kept = (atSec: number) => (LEAK_BYTES * PER_SEC * atSec) / 2 ** 20
    expect(heapVerdict(run((atSec, nth) => ({ heapMiB: 200 + kept(atSec) + blur(nth, 0.3) })))).toMatchObject({
      isOk: false,
      says: expect.stringMatching(/bound 17\.2, 100 bytes of each request would be 34\.3$/),
    })
  })

  it('tells nothing when it is blurred', () => {
    const { isOk, says } = heapVerdict(run((_, nth) => ({ heapMiB: 200 + blur(nth, 30) })))
    expect([isOk, says]).toEqual([false, expect.stringMatching(/too short or too noisy/)])
  })
})

describe('handles', () => {
  it('may be more in a flood, and not at the end', () => {
    const inFlood = (atSec: number) => PLAN.bursts.some(({ fromSec, toSec }) => atSec >= fromSec && atSec <= toSec)
    const floods = run((atSec) => ({ handles: { TCPSocketWrap: inFlood(atSec) ? 900 : 100 } }))
    expect(handlesVerdict(floods)).toMatchObject({ isOk: true })
    const left = run((atSec) => ({ handles: { TCPSocketWrap: 100 + atSec / 10 } }))
    expect(handlesVerdict(left)).toMatchObject({ isOk: false })
  })
})

describe('what is bounded', () => {
  it('is within, full or not', () => {
    expect(boundsVerdict(run())).toMatchObject({ isOk: true, says: '2 within their bounds, 1 of them full' })
  })

  it('is beyond when it ever was', () => {
    const beyond = { sizes: [{ name: 'names', kind: 'kept', size: 8, most: 7 }] } as const
    expect(boundsVerdict(run((_, nth) => (nth === 3 ? beyond : {})))).toMatchObject({
      isOk: false,
      says: 'names 8 of 7',
    })
  })

  it.each([
    ['a line', { sizes: [{ name: 'line', kind: 'waiting', size: 1, most: 9 }] }],
    ['lanes', { lanesWaiting: 1 }],
    ['notes', { notesWaiting: 1 }],
  ] as const)('is empty afterwards: %s', (_, more) => {
    const whole = run()
    expect(emptyVerdict(whole)).toMatchObject({ isOk: true })
    expect(emptyVerdict({ last: { ...whole.last, ...more } })).toMatchObject({ isOk: false })
  })

  it.each([
    ['overdue', { name: 'spent', rows: 10, dead: 0, overdue: 1 }],
    ['more than could live', { name: 'spent', rows: 1_000_000, dead: 0, overdue: 0 }],
  ] as const)('is swept: %s', (_, table) => {
    const whole = run()
    const fine = { name: 'spent', rows: 10, dead: 0, overdue: 0 }
    expect(tablesVerdict({ ...whole, last: { ...whole.last, tables: [fine] } })).toMatchObject({ isOk: true })
    expect(tablesVerdict({ ...whole, last: { ...whole.last, tables: [table] } })).toMatchObject({ isOk: false })
    expect(tablesVerdict(whole), 'not looked at').toMatchObject({ isOk: false })
  })
})

describe('the honest', () => {
  const [stall] = PLAN.stalls
  const within = (stall?.fromSec ?? 0) + 5
  const refusedAt = (sec: number, says: string, more: Partial<Moment> = {}) => {
    const refused = [{ what: 'member.put', says, beganSec: sec - 1, endedSec: sec }]
    const honest = { tookMs: { exchange: [1] }, refused, faults: [], judged: { in: 1, out: 1, moving: 0 } }
    return honestVerdicts(run((atSec) => (sec > atSec - EVERY_SEC && sec <= atSec ? { honest, ...more } : {})))
  }
  const failing = (verdicts: readonly { name: string; isOk: boolean }[]) =>
    verdicts.filter(({ isOk }) => !isOk).map(({ name }) => name)

  it.each([
    ['no answer', 20, '0 cut: ECONNRESET', ['nothing is lost']],
    ['a temporary one', 20, '503 NotEnoughResources', ['nobody honest is refused']],
    ['somebody else’s failure', 20, '502 UpstreamFailure', ['nobody honest is refused']],
    ['the directory’s silence', within, '504 UpstreamTimeout', []],
    ['the directory’s failure at the end of its silence', within, '502 UpstreamFailure', []],
    ['another one in a stall', within, '403 Forbidden', ['nobody honest is refused']],
  ])('are refused: %s', (_, sec, says, names) => {
    expect(failing(refusedAt(sec, says))).toEqual(names)
  })

  it('are told so when no processor is left for the process: others have it, or all of it is in use', () => {
    const starved = run((atSec) => ({ starvedSec: atSec < 600 ? 0 : (atSec - 600) / 2 }))
    expect(busyIn(starved)[0]).toEqual({ fromSec: 600, toSec: 630 })
    const full = run((atSec) => ({ cpuSec: atSec / 3 + (atSec < 60 ? 0 : 18) }))
    expect(busyIn(full)).toEqual([{ fromSec: 30, toSec: 60 }])
    expect(busyIn({ ...run(), start: { cpuSec: -20, starvedSec: 0 } })).toEqual([{ fromSec: 0, toSec: 30 }])
    expect(busyIn(run())).toEqual([])
  })

  it.each([
    ['of our own', '503 NotEnoughResources', []],
    ['of somebody else', '504 UpstreamTimeout', ['nobody honest is refused']],
  ])('are not refused for it by trouble %s', (_, says, names) => {
    const refused = [{ what: 'exchange', says, beganSec: 625, endedSec: 626 }]
    const honest = { tookMs: { exchange: [1] }, refused, faults: [], judged: { in: 1, out: 1, moving: 0 } }
    const starved = run((atSec) => ({
      starvedSec: atSec < 600 ? 0 : (atSec - 600) / 2,
      ...(atSec === 630 ? { honest } : {}),
    }))
    expect(failing(honestVerdicts(starved))).toEqual(names)
  })

  it('get their credentials also while the directory is silent', () => {
    const refused = [{ what: 'exchange', says: '504 UpstreamTimeout', beganSec: within, endedSec: within + 3 }]
    const honest = { tookMs: { exchange: [1] }, refused, faults: [], judged: { in: 1, out: 1, moving: 0 } }
    const silent = run((_, nth) => (nth === 4 ? { honest } : {}))
    expect(failing(honestVerdicts(silent))).toEqual(['exchanges during stalls'])
  })

  it('are in or out for certain only between changes', () => {
    const stand = new Stand('out')
    const before = stand.look()
    expect(stand.certain(before)).toBe('out')
    stand.begin()
    expect([stand.certain(before), stand.certain(stand.look())]).toEqual(['moving', 'moving'])
    stand.end('in')
    expect([stand.certain(before), stand.certain(stand.look())]).toEqual(['moving', 'in'])
    stand.begin()
    expect(stand.look().side, 'without an answer').toBe('moving')
  })

  it.each([
    ['out', 'in', false],
    ['in', 'out', false],
    ['in', 'in', true],
    ['out', 'out', true],
    ['moving', 'in', true],
    ['moving', 'out', true],
  ] as const)('who is %s may be told %s: %s', (certain, answer, isRight) => {
    expect(faultOf(certain, answer) === null).toBe(isRight)
  })

  it('break no history, and there is one', () => {
    const honest = { tookMs: {}, refused: [], faults: ['somebody'], judged: { in: 1, out: 1, moving: 0 } }
    expect(historyVerdict(run())).toMatchObject({ isOk: true })
    expect(historyVerdict(run((_, nth) => (nth === 0 ? { honest } : {})))).toMatchObject({ isOk: false })
    const none = { ...honest, faults: [], judged: { in: 5, out: 0, moving: 0 } }
    expect(historyVerdict(run(() => ({ honest: none })))).toMatchObject({ isOk: false })
  })
})

it('the hostile get nothing, and there are some', () => {
  expect(hostileVerdict(run())).toMatchObject({ isOk: true })
  const got = { answers: { forged: { '200': 1 } }, faults: ['forged: answered 200'] }
  expect(hostileVerdict(run((_, nth) => (nth === 0 ? { hostile: got } : {})))).toMatchObject({ isOk: false })
  expect(hostileVerdict(run(() => ({ hostile: { answers: {}, faults: [] } })))).toMatchObject({ isOk: false })
})

describe('the plan', () => {
  it('has a silence of a minute in every five, and a flood in every two', () => {
    expect(PLAN.stalls.map(({ fromSec, toSec }) => [fromSec, toSec])).toEqual([
      [120, 180],
      [420, 480],
      [720, 780],
      [1_020, 1_080],
    ])
    expect(PLAN.bursts).toHaveLength(10)
  })

  it('replaces the key when the directory speaks, once or each hour', () => {
    expect(PLAN.rotationsAtSec).toEqual([600])
    expect(planOf({ SOAK_MINUTES: '5' }).rotationsAtSec).toEqual([190])
    expect(planOf({ SOAK_MINUTES: '480' }).rotationsAtSec).toHaveLength(7)
  })

  it.each(['0', '-1', 'many', ''])('takes no %j for a rate', (value) => {
    expect(() => planOf({ SOAK_EXCHANGES: value })).toThrow('SOAK_EXCHANGES is no number above zero')
  })
})

describe('the picture', () => {
  it('has a panel for each thing, floods and silences behind, and nothing that isn’t a number', () => {
    const svg = drawSoak(PLAN, run().moments, 'a < b & c')
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/)
    for (const title of ['heap after collection', 'handles', 'requests a second', 'honest requests'])
      expect(svg).toContain(title)
    expect(svg.match(/<polyline/g)).toHaveLength(9)
    expect(svg.match(/fill="#f3c6c0"/g)).toHaveLength(6 * PLAN.bursts.length + 1)
    expect(svg).toContain('a &lt; b &amp; c')
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  })

  it.each([
    [0.7, 1],
    [1, 1],
    [11, 20],
    [23, 25],
    [260, 500],
  ])('an axis for %d ends at %d', (value, end) => {
    expect(niceAbove(value)).toBe(end)
  })
})
