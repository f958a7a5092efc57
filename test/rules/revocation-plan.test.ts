/** Which hosts are told, and when a call is free: tables, and that no sequence of plans and calls goes beyond what a host takes. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BATCH_MAX,
  CALLS_WINDOW_MS,
  capOf,
  freeAtMs,
  type HostFacts,
  hostNameOf,
  KEPT_MS,
  mayHaveMore,
  NOTICES_MAX,
  pauseMs,
  planRevocations,
  TOGETHER_MS,
} from '../../src/credential/revocation-plan.ts'

const CAP = { live: 1_000, calls: 10 }
const hostFacts = (more: Partial<HostFacts> = {}): HostFacts => ({
  host: 'a.example',
  cap: CAP,
  held: 0,
  recent: 0,
  isDeaf: false,
  ...more,
})
const planOf = (count: number, hosts: readonly HostFacts[], hasOthers = false) =>
  planRevocations({ count, hosts, hasOthers })

describe('a host', () => {
  it.each([
    ['one of many', 1, {}, 'tell'],
    ['half of its room', 500, {}, 'tell'],
    ['more than half of its room', 501, {}, 'wait'],
    ['half of the room that is left', 250, { held: 500 }, 'tell'],
    ['more than half of the room that is left', 251, { held: 500 }, 'wait'],
    ['a few that are more than half of what is left', 10, { held: 990 }, 'tell'],
    ['a few for which there is no room', 10, { held: 991 }, 'wait'],
    ['the last place', 1, { held: 999 }, 'tell'],
    ['one for which there is no place', 1, { held: 1_000 }, 'wait'],
    ['what comes with others as one', 200, { held: 300, recent: 300 }, 'tell'],
    ['what is too much with the others of a minute', 201, { held: 300, recent: 300 }, 'wait'],
    ['a single one after many', 1, { held: 500, recent: 500 }, 'tell'],
    ['nothing that is worth a call', 0, {}, 'wait'],
    ['any, where it takes no call', 1, { cap: { live: 1_000, calls: 0 } }, 'wait'],
    ['any, where it keeps none', 1, { cap: { live: 0, calls: 10 } }, 'wait'],
    ['one, where the room was made smaller since', 1, { held: 7, cap: { live: 5, calls: 10 } }, 'wait'],
    ['any, where it doesn’t know the method', 1, { isDeaf: true }, 'cannot'],
  ])('is asked to hear %s', (_says, count, more, verdict) => {
    expect(planOf(count, [hostFacts(more)])).toEqual({
      hosts: verdict,
      verdicts: new Map([['a.example', verdict]]),
    })
  })

  it('is told for itself, and the space says what holds for the worst', () => {
    const good = hostFacts()
    const full = hostFacts({ host: 'b.example', held: 1_000 })
    const deaf = hostFacts({ host: 'c.example', isDeaf: true })
    expect(planOf(1, []).hosts).toBe('none')
    expect(planOf(1, [], true).hosts).toBe('wait')
    expect(planOf(1, [good], true)).toEqual({ hosts: 'wait', verdicts: new Map([['a.example', 'tell']]) })
    expect(planOf(1, [good, full]).hosts).toBe('wait')
    expect(planOf(1, [good, full, deaf])).toEqual({
      hosts: 'cannot',
      verdicts: new Map([
        ['a.example', 'tell'],
        ['b.example', 'wait'],
        ['c.example', 'cannot'],
      ]),
    })
  })

  it('waits where there are more of them than one plan may write', () => {
    const hosts = Array.from({ length: 50 }, (_, at) => hostFacts({ host: `${at}.example` }))
    const { hosts: all, verdicts } = planOf(500, hosts)
    expect(all).toBe('wait')
    expect([...verdicts.values()].filter((verdict) => verdict === 'tell')).toHaveLength(NOTICES_MAX / 500)
  })

  it('is known by its name, and takes what was set for it, for all others, or by itself', () => {
    expect(['https://pds.example.com', 'http://localhost:3000', 'pds.example.com'].map(hostNameOf)).toEqual([
      'pds.example.com',
      'localhost:3000',
      'pds.example.com',
    ])
    const set = new Map([
      ['a.example', { live: 5, calls: 6 }],
      ['*', { live: 7, calls: 8 }],
    ])
    expect(capOf(set, 'a.example')).toEqual({ live: 5, calls: 6 })
    expect(capOf(set, 'b.example')).toEqual({ live: 7, calls: 8 })
    expect(capOf(new Map(), 'b.example')).toEqual(CAP)
  })
})

describe('a call', () => {
  it.each([
    ['none before', [], 2, 0],
    ['one before', [-1], 2, 0],
    ['as many as it takes', [-5, -9], 2, CALLS_WINDOW_MS - 9],
    ['more than it takes', [-1, -5, -9], 2, CALLS_WINDOW_MS - 5],
    ['some long ago', [-1, -CALLS_WINDOW_MS], 2, 0],
  ])('is free after %s', (_says, calls, most, freeMs) => {
    expect(freeAtMs(calls, { live: 1, calls: most }, 0)).toBe(freeMs)
  })

  it('is never free where none is taken', () => {
    expect(freeAtMs([], { live: 1, calls: 0 }, 0)).toBeNull()
  })

  it('that failed is made again after one second, doubling to a minute, and never all at once', () => {
    expect([1, 2, 3, 7, 50].map((failures) => pauseMs(failures, 1))).toEqual([1_000, 2_000, 4_000, 60_000, 60_000])
    expect([1, 7].map((failures) => pauseMs(failures, 0))).toEqual([500, 30_000])
  })
})

/** What a host sees who keeps names for 3,610 s and counts calls in 600 s, from a sender who plans and calls as the house does. */
describe('any sequence', () => {
  const step = fc.record({
    count: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 3_000 })),
    pauseMs: fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 4_000_000 })),
  })
  const cap = fc.record({ live: fc.integer({ min: 0, max: 1_500 }), calls: fc.integer({ min: 0, max: 15 }) })

  it('keeps to what the host takes, whenever the host hears it within the time limit', () => {
    fc.assert(
      fc.property(
        cap,
        fc.array(step, { maxLength: 60 }),
        fc.array(fc.integer({ min: 0, max: 5_000 })),
        (taken, steps, delays) => {
          let nowMs = 0
          let queue: { plannedMs: number }[] = []
          const sent: { plannedMs: number; sentMs: number; heardMs: number }[] = []
          const calls: { atMs: number; heardMs: number }[] = []
          for (const { count, pauseMs: pause } of steps) {
            nowMs += pause
            // What waited for a call for longer than it lived is let go.
            queue = queue.filter(({ plannedMs }) => plannedMs > nowMs - 600_000)
            const kept = [...queue, ...sent.filter(({ sentMs }) => sentMs > nowMs - KEPT_MS)]
            const recent = kept.filter(({ plannedMs }) => plannedMs > nowMs - TOGETHER_MS).length
            const { verdicts } = planOf(count, [hostFacts({ cap: taken, held: kept.length, recent })])
            if (verdicts.get('a.example') === 'tell')
              queue.push(...Array.from({ length: count }, () => ({ plannedMs: nowMs })))
            while (
              queue.length > 0 &&
              freeAtMs(
                calls.map(({ atMs }) => atMs),
                taken,
                nowMs,
              ) === nowMs
            ) {
              const heardMs = nowMs + (delays[calls.length % Math.max(1, delays.length)] ?? 0)
              calls.push({ atMs: nowMs, heardMs })
              sent.push(...queue.splice(0, BATCH_MAX).map((one) => ({ ...one, sentMs: nowMs, heardMs })))
            }
          }
          for (const { heardMs } of calls) {
            const counted = calls.filter((call) => call.heardMs <= heardMs && call.heardMs > heardMs - 600_000)
            expect(counted.length).toBeLessThanOrEqual(taken.calls)
            const live = sent.filter((one) => one.heardMs <= heardMs && one.heardMs > heardMs - 3_610_000)
            expect(live.length).toBeLessThanOrEqual(taken.live)
          }
        },
      ),
    )
  })

  it('of large ones leaves room for a single one', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 11, max: 2_000 }), { maxLength: 30 }), (counts) => {
        let held = 0
        for (const count of counts) {
          const { verdicts } = planOf(count, [hostFacts({ held, recent: held })])
          if (verdicts.get('a.example') === 'tell') held += count
        }
        expect(held).toBeLessThanOrEqual(CAP.live / 2)
        expect(planOf(1, [hostFacts({ held, recent: held })]).hosts).toBe('tell')
      }),
    )
  })
})

describe('what several share', () => {
  it('is left in part by whoever takes all that they may, until each of many has had some', () => {
    const takeAll = (used: number): number => {
      let own = 0
      while (mayHaveMore(own, used + own, 10)) own += 1
      return own
    }
    const shares: number[] = []
    for (let used = 0; shares.length < 6; used += shares.at(-1) ?? 0) shares.push(takeAll(used))
    expect(shares).toEqual([5, 3, 1, 1, 0, 0])
  })
})
