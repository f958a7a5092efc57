/**
 * Who wins at a PLC directory: a community and the service that held its keys, in every case that matters, at the published server, which
 * reads a clock that this test sets. Of each move the directory, our verifier and the course of the log have to say the same.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { courseOf, placesOf, undoersOf } from '../../src/identity/plc-course.ts'
import { type VerifiedPlcLog, verifyPlcLog } from '../../src/identity/plc-log.ts'
import { cidOf, didOf, parsePlcOperation } from '../../src/identity/plc-operation.ts'
import type { Did } from '../../src/names.ts'
import { signed } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { HOUR_MS, plainOperation } from '../kit/plc-stories.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'

const START_MS = Date.UTC(2026, 0, 1)
const MINUTE_MS = 60_000

let plc: Awaited<ReturnType<typeof startPlcServer>>
beforeAll(async () => {
  plc = await startPlcServer()
})
afterAll(() => plc.close())
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** A DID whose story is played at the directory: every move is tried there, and foretold here. */
interface Tale {
  readonly did: Did
  /** Sends an operation by a key on an earlier one (its number), at so many hours; what the directory and we made of it. */
  move(by: TestKey, on: number, hours: number, keys: readonly TestKey[] | 'tombstone'): Promise<'accepted' | 'refused'>
  /** Whether an operation that was taken (its number) is in force. */
  inForce(nth: number): Promise<boolean>
  log(): Promise<VerifiedPlcLog>
}

const post = async (did: Did, operation: object): Promise<boolean> => {
  const answer = await fetch(`${plc.url}/${did}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(operation),
  })
  return answer.ok
}

const cidOfSigned = (operation: object): string => {
  const parsed = parsePlcOperation(operation)
  if (!parsed) throw new Error('no operation')
  return cidOf(parsed)
}

async function begun(by: TestKey, keys: readonly TestKey[]): Promise<Tale> {
  vi.setSystemTime(START_MS)
  const genesis = signed(by, plainOperation(keys, null))
  const did = didOf(genesis)
  expect(await post(did, genesis)).toBe(true)
  const cids = [cidOfSigned(genesis)]

  const rows = async () => (await (await fetch(`${plc.url}/${did}/log/audit`)).json()) as Record<string, unknown>[]
  const log = async () => {
    const verdict = verifyPlcLog(did, await rows())
    if (!verdict.ok) throw new Error(verdict.fault)
    return verdict
  }
  return {
    did,
    log,
    async move(signer, on, hours, next) {
      const atMs = START_MS + hours * HOUR_MS
      vi.setSystemTime(atMs)
      const prev = cids[on] ?? ''
      const before = await log()
      const foretold = placesOf(before, signer.didKey, atMs).find((place) => place.prev.cid === prev)
      const operation =
        next === 'tombstone'
          ? signed(signer, { type: 'plc_tombstone' as const, prev })
          : signed(signer, plainOperation(next, prev, `n${cids.length}`))
      const isTaken = await post(did, operation)
      // What stands behind an operation that was undone has no place at all.
      expect(isTaken).toBe(foretold?.refusal === null)
      // The verifier is asked as well, about the log that there would be.
      const undone = new Set(foretold?.undoes.map(({ cid }) => cid))
      const row = {
        ...{ did, operation, cid: cidOfSigned(operation), nullified: false },
        createdAt: new Date(atMs).toISOString(),
      }
      const imagined = before.ops.map((op) => ({ ...op, did, nullified: op.nullified || undone.has(op.cid) }))
      const verdict = verifyPlcLog(did, [...imagined, row])
      expect(verdict.ok).toBe(isTaken)
      if (!verdict.ok && foretold) expect(verdict.fault).toBe(foretold.refusal)
      if (!isTaken) return 'refused'
      cids.push(row.cid)
      expect((await log()).head.cid).toBe(row.cid)
      return 'accepted'
    },
    async inForce(nth) {
      const entry = (await log()).ops.find(({ cid }) => cid === cids[nth])
      if (!entry) throw new Error('it was never taken')
      return !entry.nullified
    },
  }
}

const community = makeKey('k256')
const cold = makeKey('k256')
const quorum = makeKey('p256')
const ours = makeKey('k256')
const fresh = makeKey('k256')
const both = [community, ours]
const three = [cold, quorum, ours]

describe('a community whose key stands above ours', () => {
  it.each([
    ['A', 'a minute before its 72 hours are over', 72 * HOUR_MS - MINUTE_MS, 'accepted'],
    ['A′', 'exactly 72 hours later', 72 * HOUR_MS, 'accepted'],
    ['A″', 'a millisecond after that', 72 * HOUR_MS + 1, 'refused'],
  ] as const)('%s: undoes our seizure %s', async (_case, _when, afterMs, outcome) => {
    const tale = await begun(ours, both)
    expect(await tale.move(ours, 0, 1, [ours])).toBe('accepted')
    const hours = 1 + afterMs / HOUR_MS
    expect(await tale.move(community, 0, hours, [community])).toBe(outcome)
    expect(await tale.inForce(1)).toBe(outcome === 'refused')
    if (outcome === 'accepted') return
    const [head, genesis] = placesOf(await tale.log(), community.didKey, START_MS + HOUR_MS + afterMs)
    expect([head?.refusal, genesis?.refusal]).toEqual(['bad-signature', 'recovery-late'])
  })

  it('E: undoes two of ours within 72 hours of the first', async () => {
    const tale = await begun(ours, both)
    expect(await tale.move(ours, 0, 1, [ours])).toBe('accepted')
    expect(await tale.move(ours, 1, 70, [ours])).toBe('accepted')
    expect(await tale.move(community, 0, 72, [community])).toBe('accepted')
    expect([await tale.inForce(1), await tale.inForce(2)]).toEqual([false, false])
  })

  it('E′: and not two hours later, since the clock runs from the first, however young the second is', async () => {
    const tale = await begun(ours, both)
    await tale.move(ours, 0, 1, [ours])
    await tale.move(ours, 1, 70, [ours])
    expect(await tale.move(community, 0, 74, [community])).toBe('refused')
    const place = placesOf(await tale.log(), community.didKey, START_MS + 74 * HOUR_MS).at(-1)
    expect(place).toMatchObject({ refusal: 'recovery-late', untilMs: START_MS + 73 * HOUR_MS })
  })

  it('F: leaves, and we can’t undo it', async () => {
    const tale = await begun(ours, both)
    expect(undoersOf(await tale.log(), START_MS)).toEqual([])
    const [place] = placesOf(await tale.log(), community.didKey, START_MS + HOUR_MS)
    if (!place) throw new Error('there is a place')
    const proposed = { place, signer: community.didKey }
    expect(undoersOf(await tale.log(), START_MS + HOUR_MS, proposed)).toEqual([])
    expect(await tale.move(community, 0, 1, [community])).toBe('accepted')
    expect(await tale.move(ours, 0, 2, [ours])).toBe('refused')
    expect(await tale.move(ours, 1, 2, [ours])).toBe('refused')
  })

  it('G: undoes the end that we put to it', async () => {
    const tale = await begun(ours, both)
    expect(await tale.move(ours, 0, 1, 'tombstone')).toBe('accepted')
    expect(await tale.move(community, 1, 2, [community])).toBe('refused')
    expect(await tale.move(community, 0, 49, [community])).toBe('accepted')
    expect(await tale.inForce(1)).toBe(false)
  })

  it('M: can’t undo what it signed itself', async () => {
    const tale = await begun(ours, both)
    await tale.move(community, 0, 1, both)
    expect(await tale.move(community, 0, 2, both)).toBe('refused')
    const places = placesOf(await tale.log(), community.didKey, START_MS + 2 * HOUR_MS)
    expect(places.map(({ refusal }) => refusal)).toEqual([null, 'recovery-rank'])
  })
})

describe('a community whose key doesn’t', () => {
  it('B: leaves, and we undo it: we win', async () => {
    const tale = await begun(ours, [ours, community])
    const log = await tale.log()
    const leaving = { signer: community.didKey, leaving: [ours.didKey], nowMs: START_MS + HOUR_MS }
    expect(courseOf(log, leaving)).toMatchObject({ because: 'leaving-keys-may-undo', safeAtMs: null })
    expect(await tale.move(community, 0, 1, [community])).toBe('accepted')
    expect(await tale.move(ours, 0, 11, [ours])).toBe('accepted')
    expect(await tale.inForce(1)).toBe(false)
  })

  it('C: has only a copy of the one key, and is first: whoever moves first wins', async () => {
    const shared = ours
    const tale = await begun(shared, [shared])
    expect(await tale.move(shared, 0, 1, [community])).toBe('accepted')
    expect(await tale.move(shared, 0, 2, [shared])).toBe('refused')
    expect(await tale.move(shared, 1, 2, [shared])).toBe('refused')
  })

  it('D: and the other way round', async () => {
    const shared = ours
    const tale = await begun(shared, [shared])
    expect(await tale.move(shared, 0, 1, [fresh])).toBe('accepted')
    expect(await tale.move(shared, 0, 2, [community])).toBe('refused')
    const course = courseOf(await tale.log(), { signer: shared.didKey, leaving: [], nowMs: START_MS + 2 * HOUR_MS })
    expect(course).toMatchObject({ because: 'no-place' })
  })

  it('J: is put above us by ourselves, and we can’t undo that', async () => {
    const tale = await begun(ours, [ours])
    expect(await tale.move(ours, 0, 1, both)).toBe('accepted')
    expect(await tale.move(ours, 0, 2, [ours])).toBe('refused')
  })
})

describe('a community with a cold key above a quorum’s, above ours', () => {
  it('I: leaves by the quorum: we can’t undo it, the cold key can', async () => {
    const tale = await begun(ours, three)
    expect(await tale.move(quorum, 0, 1, [cold, quorum])).toBe('accepted')
    expect(await tale.move(ours, 0, 2, [ours])).toBe('refused')
    expect(undoersOf(await tale.log(), START_MS + 2 * HOUR_MS)).toEqual([
      {
        key: cold.didKey,
        prev: (await tale.log()).ops[0]?.cid,
        first: (await tale.log()).head.cid,
        untilMs: START_MS + 73 * HOUR_MS,
      },
    ])
    expect(await tale.move(cold, 0, 21, [cold])).toBe('accepted')
  })

  /** We sign something harmless at hour 1; the quorum's key is replaced at hour 2, behind it. */
  async function swapped(by: TestKey): Promise<Tale> {
    const tale = await begun(ours, three)
    await tale.move(ours, 0, 1, three)
    const log = await tale.log()
    const course = courseOf(log, { signer: by.didKey, leaving: [quorum.didKey], nowMs: START_MS + 2 * HOUR_MS })
    // The course would have had it before ours.
    expect(course).toMatchObject({ ok: true, place: { prev: { cid: log.ops[0]?.cid } } })
    await tale.move(by, 1, 2, [cold, fresh, ours])
    return tale
  }

  it('N1: a key that was taken out by the mightiest comes back, over a harmless operation of ours', async () => {
    const tale = await swapped(cold)
    const undoers = undoersOf(await tale.log(), START_MS + 3 * HOUR_MS).map(({ key }) => key)
    expect(undoers).toContain(quorum.didKey)
    expect(await tale.move(quorum, 0, 3, [quorum])).toBe('accepted')
    expect(await tale.inForce(2)).toBe(false)
  })

  it('N2: the mightiest takes it out again, within 72 hours', async () => {
    const tale = await swapped(cold)
    await tale.move(quorum, 0, 3, [quorum])
    expect(await tale.move(cold, 0, 4, [cold, fresh, ours])).toBe('accepted')
    expect(await tale.inForce(3)).toBe(false)
    // And now nothing of ours stands there by which the old key could come back.
    expect(undoersOf(await tale.log(), START_MS + 4 * HOUR_MS).map(({ key }) => key)).toEqual([])
    expect(await tale.move(quorum, 0, 5, [quorum])).toBe('refused')
  })

  it('N3: the same when it signed its own removal', async () => {
    const tale = await swapped(quorum)
    expect(await tale.move(quorum, 0, 3, [quorum])).toBe('accepted')
    expect(await tale.inForce(2)).toBe(false)
  })

  it('N4: not once the operation of ours is older than 72 hours', async () => {
    const tale = await swapped(quorum)
    expect(undoersOf(await tale.log(), START_MS + 73 * HOUR_MS).map(({ key }) => key)).toContain(quorum.didKey)
    expect(undoersOf(await tale.log(), START_MS + 73 * HOUR_MS + 1).map(({ key }) => key)).not.toContain(quorum.didKey)
    expect(await tale.move(quorum, 0, 73 + 1 / HOUR_MS, [quorum])).toBe('refused')
  })

  it('N5: not when the removal stands before it', async () => {
    const tale = await begun(ours, three)
    await tale.move(ours, 0, 1, three)
    expect(await tale.move(cold, 0, 2, [cold, fresh, ours])).toBe('accepted')
    for (const on of [0, 1, 2]) expect(await tale.move(quorum, on, 3, [quorum])).toBe('refused')
    expect(undoersOf(await tale.log(), START_MS + 3 * HOUR_MS)).toEqual([])
  })
})
