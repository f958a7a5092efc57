/** What is undone when a community leaves and what stays, by whose decision; and what the operation may hold. */
import { describe, expect, it } from 'vitest'
import { formerIn, homeKeysOf, withoutTries } from '../../src/community/former-homes.ts'
import {
  asIfYoung,
  type Destination,
  departureOf,
  judgeLog,
  planChange,
  rankedKeys,
  type Undoing,
  withKeyReplaced,
} from '../../src/community/plc-departure.ts'
import { type VerifiedPlcLog, verifyPlcLog } from '../../src/identity/plc-log.ts'
import { Refusal } from '../../src/refusals.ts'
import { HOUR_MS, plcStory, type StoryMove } from '../kit/plc-stories.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'

const mine = makeKey('k256')
const quorum = makeKey('k256')
const ours = makeKey('k256')
const home = makeKey('k256')
const both = [mine, ours]

const move = (by: TestKey, on: number, hours: number, keys: StoryMove['keys']): StoryMove => ({
  ...{ by, on, atMs: hours * HOUR_MS, keys },
})

function played(...moves: StoryMove[]): VerifiedPlcLog & { at(hours: number): number } {
  const { did, rows, startMs } = plcStory(moves)
  const verdict = verifyPlcLog(did, rows)
  if (!verdict.ok) throw new Error(verdict.fault)
  return { ...verdict, at: (hours) => startMs + hours * HOUR_MS }
}

type Log = ReturnType<typeof played>
const judged = (log: Log, hours: number, undoing: Undoing = 'unsaid', known: readonly string[] = []) =>
  judgeLog(log, { signer: mine.didKey, nowMs: log.at(hours), undoing, known: new Set(known) })
const cidAt = (log: Log, nth: number): string => log.ops[nth]?.cid ?? ''

describe('a log is good', () => {
  it('to its end when nothing was done by others that can still be undone', () => {
    const log = played(move(ours, -1, 0, both), move(mine, 0, 1, both), move(ours, 1, 2, both))
    expect(judged(log, 75)).toMatchObject({ kind: 'good-until', lastGood: { cid: cidAt(log, 2) }, undone: [] })
  })

  it('or the person is asked about every one of those, and about none that they knew', () => {
    const log = played(move(ours, -1, 0, both), move(ours, 0, 1, both), move(ours, 1, 2, both))
    expect(judged(log, 3)).toMatchObject({
      kind: 'undecided',
      doubtful: [{ cid: cidAt(log, 1) }, { cid: cidAt(log, 2) }],
    })
    expect(judged(log, 3, 'unsaid', [cidAt(log, 1)])).toMatchObject({ doubtful: [{ cid: cidAt(log, 2) }] })
    expect(judged(log, 3, 'unsaid', [cidAt(log, 1), cidAt(log, 2)])).toMatchObject({ kind: 'good-until', undone: [] })
    // The first is too old by now, the second isn't: what it builds on stays.
    expect(judged(log, 73.5)).toMatchObject({ kind: 'undecided', doubtful: [{ cid: cidAt(log, 2) }] })
  })

  it('as far as the person says', () => {
    const log = played(move(ours, -1, 0, both), move(ours, 0, 1, both), move(ours, 1, 2, both))
    expect(judged(log, 3, 'keep')).toMatchObject({ lastGood: { cid: cidAt(log, 2) }, undone: [] })
    expect(judged(log, 3, { from: cidAt(log, 2) })).toMatchObject({
      lastGood: { cid: cidAt(log, 1) },
      undone: [{ cid: cidAt(log, 2) }],
    })
    for (const from of [cidAt(log, 0), 'bafyelsewhere'])
      expect(() => judged(log, 3, { from })).toThrow(
        new Refusal('InvalidRequest', 'only an operation in force, and not the first, can be undone'),
      )
  })

  it('never behind a seizure or an end, whatever the person says: their key has no place there', () => {
    for (const keys of [[ours], 'tombstone'] as const) {
      const log = played(move(ours, -1, 0, both), move(ours, 0, 1, both), move(ours, 1, 2, keys))
      const known = [cidAt(log, 1)]
      for (const undoing of ['unsaid', 'keep'] as const)
        expect(judged(log, 3, undoing, known)).toMatchObject({
          ...{ kind: 'good-until', lastGood: { cid: cidAt(log, 1) }, undone: [{ cid: cidAt(log, 2) }] },
        })
      // What stands before it is asked about all the same.
      expect(judged(log, 3)).toMatchObject({ kind: 'undecided', doubtful: [{ cid: cidAt(log, 1) }] })
    }
  })

  it('nowhere once it is too late', () => {
    const log = played(move(ours, -1, 0, both), move(ours, 0, 1, [ours]))
    expect(judged(log, 73)).toMatchObject({ kind: 'good-until' })
    expect(judged(log, 73 + 1 / HOUR_MS)).toEqual({ kind: 'no-place' })
  })
})

describe('a change of keys', () => {
  const destination = {
    rotationKeys: [mine.didKey, home.didKey],
    homeKey: home.didKey,
    verificationMethods: { atproto: makeKey('p256').didKey },
    services: {},
  }
  const log = played(move(ours, -1, 0, [mine, quorum, ours]), move(ours, 0, 1, [mine, quorum, ours]))
  const at = (hours: number, homeKey: typeof home.didKey | null = home.didKey) => ({
    ...{ signer: mine.didKey, lastGood: log.head, nowMs: log.at(hours), homeKey },
  })

  it('takes every key out that it doesn’t name, and stands where none of them comes back', () => {
    const young = planChange(log, departureOf(destination, ['at://garden.example.com']), at(2))
    expect(young.leaving.toSorted()).toEqual([quorum.didKey, ours.didKey].toSorted())
    expect(young.operation).toMatchObject({ prev: cidAt(log, 0), alsoKnownAs: ['at://garden.example.com'] })
    expect(planChange(log, departureOf(destination, []), at(74)).operation.prev).toBe(cidAt(log, 1))
  })

  it('has the home’s key last and one of the community’s above it, none twice, and fits every directory', () => {
    const wrong =
      (rotationKeys: TestKey[], names: string[] = []) =>
      () =>
        planChange(
          log,
          departureOf({ ...destination, rotationKeys: rotationKeys.map(({ didKey }) => didKey) }, names),
          at(2),
        )
    expect(wrong([home, mine])).toThrow(/PlcRank/)
    expect(wrong([home])).toThrow(/PlcRank/)
    expect(wrong([mine, mine, home])).toThrow(/PlcRank/)
    expect(wrong([])).toThrow(/PlcRank/)
    const many = Array.from({ length: 5 }, () => makeKey('p256'))
    expect(wrong([...many, home])).toThrow(/PlcLimit/)
    expect(
      wrong(
        [mine, home],
        Array.from({ length: 11 }, (_none, nth) => `at://a${nth}.example.com`),
      ),
    ).toThrow(/PlcLimit/)
    expect(wrong([mine, home])).not.toThrow()
  })

  it('may be longer than a service writes, as far as directories read, and says how long it is', () => {
    const names = Array.from({ length: 10 }, (_none, nth) => `at://${nth}${'é'.repeat(240)}`)
    const long = planChange(log, departureOf(destination, names), at(2))
    expect(long.signedBytes).toBeGreaterThan(4_000)
    const methods = Object.fromEntries(Array.from({ length: 10 }, (_none, nth) => [`k${nth}`, 'x'.repeat(300)]))
    expect(() => planChange(log, departureOf({ ...destination, verificationMethods: methods }, names), at(2))).toThrow(
      /PlcLimit/,
    )
  })

  it('has no place by a key that has none', () => {
    expect(() => planChange(log, departureOf(destination, []), { ...at(2), signer: home.didKey })).toThrow(
      /PlcConflict/,
    )
  })
})

describe('one key in the place of another', () => {
  const log = played(move(ours, -1, 0, [mine, quorum, ours]))

  it('stands where the other stood, and nothing else changes', () => {
    const next = withKeyReplaced(log.head, quorum.didKey, home.didKey)
    expect(next.rotationKeys).toEqual([mine.didKey, home.didKey, ours.didKey])
    expect({ ...log.head.operation, ...next, rotationKeys: [] }).toEqual({ ...log.head.operation, rotationKeys: [] })
  })

  it('is refused when the one isn’t there, the other is, or the identity was ended', () => {
    expect(() => withKeyReplaced(log.head, home.didKey, makeKey('p256').didKey)).toThrow(/PlcRank/)
    expect(() => withKeyReplaced(log.head, mine.didKey, ours.didKey)).toThrow(/PlcRank/)
    const ended = played(move(ours, -1, 0, both), move(ours, 0, 1, 'tombstone'))
    expect(() => withKeyReplaced(ended.head, mine.didKey, home.didKey)).toThrow(/PlcConflict/)
  })
})

describe('the community’s own keys', () => {
  const [r0, r1, fresh, other] = [mine.didKey, quorum.didKey, home.didKey, ours.didKey]
  const before = [r0, r1, other]

  it('keep their order, whoever signs and in whichever order they are said', () => {
    expect(rankedKeys(before, { signer: r1, first: r1, more: [r0] })).toEqual([r0, r1])
    expect(rankedKeys(before, { signer: r0, first: r0, more: [r1] })).toEqual([r0, r1])
    expect(rankedKeys(before, { signer: r0, first: r0, more: [fresh, r1] })).toEqual([r0, r1, fresh])
  })

  it('and a new one stands where the one stood that it replaces', () => {
    expect(rankedKeys(before, { signer: r1, first: fresh, more: [r0] })).toEqual([r0, fresh])
    expect(rankedKeys(before, { signer: r0, first: fresh, more: [r1] })).toEqual([fresh, r1])
    expect(rankedKeys([], { signer: r0, first: fresh, more: [r1] })).toEqual([fresh, r1])
  })
})

describe('what belongs to a former home', () => {
  const [space, newSpace] = [makeKey('p256').didKey, makeKey('p256').didKey]
  const at = (endpoint: string, key: string) => ({
    verificationMethods: { atproto_space: key },
    services: { atproto_space_host: { type: 'AtprotoSpaceHost', endpoint } },
  })
  const old = at('https://old.example.org', space)
  const next = at('https://new.example.org', newSpace)
  const moveAt = (by: TestKey, on: number, hours: number, keys: StoryMove['keys'], says: object = old): StoryMove => ({
    ...move(by, on, hours, keys),
    says,
  })
  const founded = moveAt(ours, -1, 0, [mine, quorum, ours])
  const log = played(founded)
  const to = (keys: readonly TestKey[], place = next, homeKey: TestKey | null = home): Destination => ({
    rotationKeys: [...keys, ...(homeKey ? [homeKey] : [])].map(({ didKey }) => didKey),
    homeKey: homeKey?.didKey ?? null,
    ...place,
  })
  const former = (of: Log, wanted: Destination, signer = mine, lastGood = of.head) =>
    formerIn(of, wanted, { mine: new Set([signer.didKey]), lastGood })

  it('is nothing of an honest new home, and of keys that stay', () => {
    expect(former(log, to([mine]))).toEqual([])
    expect(former(log, to([mine, quorum]))).toEqual([])
    expect(former(log, to([makeKey('k256')]))).toEqual([])
  })

  it('is its rotation key, wherever it is put and whoever has a copy; the only key of a list too', () => {
    expect(former(log, to([mine, ours]))).toEqual([ours.didKey])
    expect(former(log, to([mine], next, ours))).toEqual([ours.didKey])
    const alone = played(moveAt(ours, -1, 0, [ours]))
    expect(former(alone, to([ours]), ours)).toEqual([ours.didKey])
    expect(former(alone, to([ours], { verificationMethods: {}, services: {} } as never, null), ours)).toEqual([
      ours.didKey,
    ])
    expect(former(alone, to([makeKey('k256')]), ours)).toEqual([])
  })

  it('is each of its other keys and its address, however the address is spelt, also in what was undone', () => {
    expect(former(log, to([mine], at('https://new.example.org', space)))).toEqual([space])
    expect(former(log, to([mine], at('https://old.example.org', newSpace)))).toEqual(['https://old.example.org'])
    const spelt = played(moveAt(ours, -1, 0, both, at('https://OLD.example.org/', space)))
    expect(former(spelt, to([mine], at('https://old.example.org', newSpace)))).toEqual(['https://old.example.org'])
    const struck = played(founded, moveAt(ours, 0, 1, [home], next), moveAt(mine, 0, 2, [mine, ours]))
    expect(former(struck, to([mine]))).toEqual([home.didKey, newSpace, 'https://new.example.org'])
  })

  it('is a home to which the community went by its own key, once it is there; not one from which it was kept', () => {
    const there = played(founded, moveAt(mine, 0, 1, [mine, home], next))
    expect(former(there, to([mine]))).toContain(home.didKey)
    const kept = played(founded, moveAt(quorum, 0, 1, [quorum, home], next), moveAt(mine, 0, 2, [mine, ours]))
    expect(former(kept, to([mine]))).toEqual([])
    expect(homeKeysOf(withoutTries(kept, to([mine])))).toEqual(new Set([ours.didKey]))
    expect(former(kept, to([mine], at('https://other.example.org', newSpace)))).toContain(newSpace)
  })

  it('is no key that a home puts last to make it look like its own', () => {
    const turned = played(founded, moveAt(ours, 0, 1, [ours, mine]))
    expect(homeKeysOf(turned)).toEqual(new Set([ours.didKey]))
    expect(former(turned, to([mine]))).toEqual([])
  })

  it('is nothing that the community’s own keys alone have put there, where it goes nowhere', () => {
    const alone = played(founded, moveAt(mine, 0, 1, [mine, quorum], next))
    expect(former(alone, to([mine], next, null))).toEqual([])
    expect(former(alone, to([mine], old, null))).toEqual([space, 'https://old.example.org'])
  })
})

describe('an operation that the log dates too old to be undone', () => {
  const log = played(move(ours, -1, 0, both), move(ours, 0, 1, [ours]), move(ours, 1, 2, [ours]))

  it('can be undone as if it were young, from where the person says; the told dates stay as they are', () => {
    expect(judged(log, 100)).toEqual({ kind: 'no-place' })
    const young = asIfYoung(log, cidAt(log, 1), log.at(100))
    expect(
      judgeLog(young, { signer: mine.didKey, nowMs: log.at(100), undoing: 'unsaid', known: new Set() }),
    ).toMatchObject({
      ...{ kind: 'good-until', lastGood: { cid: cidAt(log, 0) } },
      undone: [{ cid: cidAt(log, 1) }, { cid: cidAt(log, 2) }],
    })
    expect(young.ops.map(({ createdAt }) => createdAt)).toEqual(log.ops.map(({ createdAt }) => createdAt))
    expect(young.head.cid).toBe(log.head.cid)
  })

  it('by no key that doesn’t stand above, and never the first', () => {
    const young = asIfYoung(log, cidAt(log, 2), log.at(100))
    expect(judgeLog(young, { signer: mine.didKey, nowMs: log.at(100), undoing: 'keep', known: new Set() })).toEqual({
      kind: 'no-place',
    })
    expect(() => asIfYoung(log, cidAt(log, 0), log.at(100))).toThrow(/InvalidRequest/)
  })
})
