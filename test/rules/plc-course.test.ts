/**
 * Where an operation may stand and who could undo it: what the course says is what the verifier takes, for stories that nobody wrote; and
 * the choice of a place by which a key that leaves can't come back.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { comparedWith, courseOf, inForceOf, placesOf, rankIn, undoersOf } from '../../src/identity/plc-course.ts'
import { PLC_RECOVERY_WINDOW_MS, type VerifiedPlcLog, verifyPlcLog } from '../../src/identity/plc-log.ts'
import type { PlcOperation } from '../../src/identity/plc-operation.ts'
import { HOUR_MS, type LogRow, plcStory, type StoryMove, withNext } from '../kit/plc-stories.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'

const cold = makeKey('k256')
const quorum = makeKey('p256')
const ours = makeKey('k256')
const fresh = makeKey('p256')

const move = (by: TestKey, on: number, atMs: number, keys: StoryMove['keys']): StoryMove => ({ by, on, atMs, keys })

interface Played extends VerifiedPlcLog {
  readonly rows: readonly LogRow[]
  readonly startMs: number
}

function play(moves: readonly StoryMove[]): Played | null {
  const { did, rows, startMs } = plcStory(moves)
  const verdict = verifyPlcLog(did, rows)
  return verdict.ok ? { ...verdict, rows, startMs } : null
}

function played(...moves: StoryMove[]): Played {
  const log = play(moves)
  if (!log) throw new Error('the story holds')
  return log
}

const steps = fc.array(
  fc.record({
    by: fc.constantFrom(cold, quorum, ours),
    back: fc.integer({ min: 1, max: 3 }),
    waitMs: fc.constantFrom(1, HOUR_MS, 36 * HOUR_MS, 72 * HOUR_MS, 72 * HOUR_MS + 1),
    keys: fc.oneof(
      { weight: 9, arbitrary: fc.shuffledSubarray([cold, quorum, ours], { minLength: 1 }) },
      { weight: 1, arbitrary: fc.constant('tombstone' as const) },
    ),
  }),
  { maxLength: 5 },
)

/** A story of which only those moves are kept that the verifier takes. */
const stories = fc.tuple(fc.shuffledSubarray([cold, quorum, ours], { minLength: 1 }), steps).map(([first, more]) => {
  let moves = [move(first[0] ?? ours, -1, 0, first)]
  let atMs = 0
  for (const step of more) {
    atMs += step.waitMs
    const next = [...moves, move(step.by, Math.max(0, moves.length - step.back), atMs, step.keys)]
    if (play(next)) moves = next
  }
  return { log: played(...moves), lastMs: moves.at(-1)?.atMs ?? 0 }
})

describe('whatever the course says of an operation, the verifier says of the log with it', () => {
  it('for every place and key, at any time, with the same word', () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(
        stories,
        fc.constantFrom(-1, 0, 1, HOUR_MS, 71 * HOUR_MS, 72 * HOUR_MS, 72 * HOUR_MS + 1),
        ({ log, lastMs }, waitMs) => {
          const nowMs = log.startMs + lastMs + waitMs
          for (const key of [cold, quorum, ours, fresh]) {
            for (const { prev, refusal } of placesOf(log, key.didKey, nowMs)) {
              const verdict = verifyPlcLog(
                log.did,
                withNext(log.rows, { by: key, prev: prev.cid, atMs: nowMs, keys: [fresh] }),
              )
              expect(verdict.ok ? null : verdict.fault).toBe(refusal)
              seen.add(refusal ?? 'allowed')
            }
          }
        },
      ),
      { numRuns: 120 },
    )
    expect([...seen].toSorted()).toEqual(
      ['after-tombstone', 'allowed', 'bad-signature', 'recovery-late', 'recovery-rank', 'time-order'].toSorted(),
    )
  })

  it('for whoever could undo a proposed operation, to the millisecond', () => {
    let undone = 0
    fc.assert(
      fc.property(
        stories,
        fc.constantFrom(cold, quorum, ours),
        fc.integer({ min: 1, max: 80 }),
        ({ log, lastMs }, signer, hours) => {
          const proposedMs = log.startMs + lastMs + hours * HOUR_MS
          for (const place of placesOf(log, signer.didKey, proposedMs)) {
            if (place.refusal) continue
            const undoers = undoersOf(log, proposedMs, { place, signer: signer.didKey })
            const rows = withNext(log.rows, { by: signer, prev: place.prev.cid, atMs: proposedMs, keys: [fresh] })
            const after = verifyPlcLog(log.did, rows)
            if (!after.ok) throw new Error(after.fault)
            for (const key of [cold, quorum, ours]) {
              for (const base of inForceOf(after).slice(0, -1)) {
                const own = undoers.filter((one) => one.key === key.didKey && one.prev === base.cid)
                expect(own.length).toBeLessThanOrEqual(1)
                const untilMs = own[0]?.untilMs
                for (const atMs of untilMs === undefined ? [proposedMs + 1] : [proposedMs + 1, untilMs, untilMs + 1]) {
                  const tried = verifyPlcLog(log.did, withNext(rows, { by: key, prev: base.cid, atMs, keys: [key] }))
                  // An operation that undoes nothing at that instant is too early to be one later than all it undoes.
                  expect(tried.ok).toBe(untilMs !== undefined && atMs > proposedMs && atMs <= untilMs)
                  if (tried.ok) undone += 1
                }
              }
            }
          }
        },
      ),
      { numRuns: 60 },
    )
    expect(undone).toBeGreaterThan(0)
  })

  it('and a course that is safe is one from which no leaving key comes back, however the story went', () => {
    let safe = 0
    let unsafe = 0
    fc.assert(
      fc.property(
        stories,
        fc.constantFrom(cold, quorum, ours),
        fc.subarray([cold, quorum, ours]),
        ({ log, lastMs }, signer, out) => {
          const nowMs = log.startMs + lastMs + 2 * HOUR_MS
          const leaving = out.map(({ didKey }) => didKey)
          const course = courseOf(log, { signer: signer.didKey, leaving, nowMs })
          if (!course.ok && course.because === 'no-place') return
          const rows = withNext(log.rows, { by: signer, prev: course.place.prev.cid, atMs: nowMs, keys: [fresh] })
          const after = verifyPlcLog(log.did, rows)
          if (!after.ok) throw new Error(after.fault)
          const back = out.filter((key) =>
            placesOf(after, key.didKey, nowMs + 1).some(({ refusal }) => refusal === null),
          )
          expect(back.length > 0).toBe(!course.ok)
          if (course.ok) safe += 1
          else unsafe += 1
        },
      ),
      { numRuns: 150 },
    )
    expect(safe).toBeGreaterThan(0)
    expect(unsafe).toBeGreaterThan(0)
  })
})

describe('a place for a change that takes a key out', () => {
  const three = [cold, quorum, ours]
  const now = (log: Played, atMs: number) => log.startMs + atMs

  it('is behind the head when no lesser key signed lately', () => {
    const log = played(move(ours, -1, 0, three), move(ours, 0, HOUR_MS, three))
    const nowMs = now(log, 74 * HOUR_MS)
    const course = courseOf(log, { signer: cold.didKey, leaving: [quorum.didKey], nowMs })
    expect(course).toMatchObject({ ok: true, place: { prev: { cid: log.head.cid }, undoes: [], untilMs: null } })
  })

  it('is before every operation by which the leaving key could come back', () => {
    const log = played(move(ours, -1, 0, three), move(ours, 0, HOUR_MS, three), move(ours, 1, 2 * HOUR_MS, three))
    const course = courseOf(log, { signer: cold.didKey, leaving: [quorum.didKey], nowMs: now(log, 3 * HOUR_MS) })
    expect(course).toMatchObject({ ok: true, place: { prev: { cid: log.ops[0]?.cid } } })
    expect(course.ok && course.place.undoes.map(({ cid }) => cid)).toEqual(log.ops.slice(1).map(({ cid }) => cid))
  })

  it('goes no further back than it must: what is older than 72 hours can be undone by nobody', () => {
    const log = played(move(ours, -1, 0, three), move(ours, 0, HOUR_MS, three), move(ours, 1, 70 * HOUR_MS, three))
    const course = courseOf(log, { signer: cold.didKey, leaving: [quorum.didKey], nowMs: now(log, 74 * HOUR_MS) })
    expect(course).toMatchObject({ ok: true, place: { prev: { cid: log.ops[1]?.cid } } })
  })

  it('is refused with the hour at which it becomes safe when the signer may not go back', () => {
    const log = played(move(cold, -1, 0, three), move(ours, 0, HOUR_MS, three))
    // The quorum key signs its own removal and may go back over ours; ours may not, and must wait.
    const nowMs = now(log, 11 * HOUR_MS)
    expect(courseOf(log, { signer: quorum.didKey, leaving: [quorum.didKey], nowMs })).toMatchObject({ ok: true })
    const late = played(move(cold, -1, 0, [cold, quorum, ours]), move(ours, 0, HOUR_MS, [quorum, cold, ours]))
    const course = courseOf(late, { signer: quorum.didKey, leaving: [cold.didKey], nowMs: now(late, 11 * HOUR_MS) })
    // Behind the first operation the leaving key stands above the signer; behind the head it comes back over ours.
    expect(course).toMatchObject({
      ok: false,
      because: 'leaving-keys-may-undo',
      place: { prev: { cid: late.head.cid } },
      safeAtMs: now(late, HOUR_MS + 72 * HOUR_MS + 1),
    })
    const then = now(late, 73 * HOUR_MS + 1)
    expect(courseOf(late, { signer: quorum.didKey, leaving: [cold.didKey], nowMs: then - 1 })).toMatchObject({
      ok: false,
    })
    expect(courseOf(late, { signer: quorum.didKey, leaving: [cold.didKey], nowMs: then })).toMatchObject({ ok: true })
  })

  it('becomes safe at no hour for a key below the one that leaves', () => {
    const log = played(move(ours, -1, 0, three))
    const course = courseOf(log, { signer: ours.didKey, leaving: [cold.didKey], nowMs: now(log, HOUR_MS) })
    expect(course).toMatchObject({ ok: false, because: 'leaving-keys-may-undo', safeAtMs: null })
  })

  it('is nowhere for a key that stands nowhere, and says of each place why', () => {
    const log = played(move(ours, -1, 0, [cold, ours]), move(ours, 0, HOUR_MS, [ours]))
    expect(courseOf(log, { signer: fresh.didKey, leaving: [], nowMs: now(log, 2 * HOUR_MS) })).toMatchObject({
      because: 'no-place',
      places: [{ refusal: 'bad-signature' }, { refusal: 'bad-signature' }],
    })
    expect(courseOf(log, { signer: cold.didKey, leaving: [], nowMs: now(log, 74 * HOUR_MS) })).toMatchObject({
      because: 'no-place',
      places: [{ refusal: 'bad-signature' }, { refusal: 'recovery-late', untilMs: now(log, 73 * HOUR_MS) }],
    })
  })

  it('begins at the last good operation, which has to be in force', () => {
    const log = played(move(ours, -1, 0, three), move(ours, 0, HOUR_MS, three), move(ours, 1, 2 * HOUR_MS, 'tombstone'))
    const nowMs = now(log, 3 * HOUR_MS)
    const lastGood = log.ops[1]?.cid ?? ''
    expect(courseOf(log, { signer: cold.didKey, leaving: [ours.didKey], lastGood, nowMs })).toMatchObject({
      ok: true,
      place: { prev: { cid: lastGood }, untilMs: now(log, 74 * HOUR_MS) },
    })
    expect(() => courseOf(log, { signer: cold.didKey, leaving: [], lastGood: 'bafyno', nowMs })).toThrow(TypeError)
  })
})

describe('a log beside one that was seen before', () => {
  const both = [cold, ours]
  const whole = played(move(ours, -1, 0, both), move(ours, 0, HOUR_MS, both), move(cold, 0, 2 * HOUR_MS, both))
  const part = (count: number) =>
    played(...[move(ours, -1, 0, both), move(ours, 0, HOUR_MS, both), move(cold, 0, 2 * HOUR_MS, both)].slice(0, count))

  it('goes on from it, shows less, or tells another past', () => {
    expect(comparedWith(whole, whole)).toBe('goes-on')
    // What was in force then may be undone now.
    const before = verifyPlcLog(whole.did, [whole.rows[0], { ...whole.rows[1], nullified: false }])
    if (!before.ok) throw new Error(before.fault)
    expect(comparedWith(before, whole)).toBe('goes-on')
    expect(comparedWith(whole, before)).toBe('shorter')
    expect(comparedWith(part(2), whole)).toBe('other-past')
    const dated = { ...whole, ops: whole.ops.map((op) => ({ ...op, createdAt: '2026-01-01T00:00:00.001Z' })) }
    expect(comparedWith(whole, dated)).toBe('other-past')
  })
})

it('a key behind one that nobody can read can’t sign, as the directory has it', () => {
  const operation = (rotationKeys: string[]): { operation: PlcOperation } => ({
    operation: {
      ...{ type: 'plc_operation', rotationKeys, verificationMethods: {}, alsoKnownAs: [], services: {} },
      ...{ prev: null, sig: '' },
    },
  })
  expect(rankIn(operation([cold.didKey, ours.didKey]), ours.didKey)).toBe(1)
  expect(rankIn(operation(['did:key:nobody', ours.didKey]), ours.didKey)).toBe(-1)
  expect(rankIn(operation([ours.didKey, 'did:key:nobody']), ours.didKey)).toBe(0)
  expect(rankIn(operation([cold.didKey]), ours.didKey)).toBe(-1)
  expect(PLC_RECOVERY_WINDOW_MS).toBe(72 * HOUR_MS)
})
