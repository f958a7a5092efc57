/** What a verified log means to the owners of a community: whose operations they hear of, for how long, and what is over. */
import { describe, expect, it } from 'vitest'
import {
  homeOf,
  judgeNews,
  type Ours,
  oursOf,
  quietBy,
  recoveryBy,
  TOLD_MS,
} from '../../src/community/identity-news.ts'
import type { PlcLogEntry, VerifiedPlcLog } from '../../src/identity/plc-log.ts'
import type { AnyPlcOperation } from '../../src/identity/plc-operation.ts'
import type { HeldKey } from '../../src/keys/store.ts'
import type { Did, DidKey } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { makeKey } from '../kit/tokens.ts'

const HOUR = 60 * 60 * 1000
const WINDOW = 72 * HOUR
const DID = `did:plc:${'a'.repeat(24)}` as Did
const URL = 'https://reeve.example'
const [cold, quorum, ours, space, atproto, fresh, stranger] = Array.from(
  { length: 7 },
  () => makeKey('k256').didKey as DidKey,
) as [DidKey, DidKey, DidKey, DidKey, DidKey, DidKey, DidKey]

const held = (purpose: HeldKey['purpose'], didKey: DidKey, state: HeldKey['state'] = 'active'): HeldKey => ({
  ...{ id: didKey, purpose, didKey, state, createdAtMs: 0, stateSinceMs: 0 },
  ...{ flags: [], standsAside: false },
})
const KEYS = [held('rotation', ours), held('space', space), held('atproto', atproto)]
const about = { publicUrl: URL, operations: new Set(['first']), since: 'first', recoveryKey: cold }
const OURS: Ours = oursOf(KEYS, about)

interface Move {
  readonly cid: string
  readonly on?: string
  readonly by: DidKey
  readonly at?: number
  readonly keys?: readonly DidKey[] | 'tombstone'
  readonly names?: readonly string[]
  readonly methods?: Record<string, string>
  readonly at2?: string
}

const operationOf = ({ on = '', keys = [cold, ours], names = [], methods, at2 = URL }: Move): AnyPlcOperation =>
  keys === 'tombstone'
    ? { type: 'plc_tombstone', prev: on, sig: '' }
    : {
        type: 'plc_operation',
        rotationKeys: [...keys],
        verificationMethods: methods ?? { atproto, atproto_space: space },
        alsoKnownAs: [...names],
        services: { atproto_space_host: { type: 'AtprotoSpaceHost', endpoint: at2 } },
        prev: on || null,
        sig: '',
      }

/** A log in which these came one after the other; what a fork undoes is undone. */
function logOf(...moves: readonly Move[]): VerifiedPlcLog {
  let chain: readonly string[] = []
  const entries = moves.map((move) => {
    const operation = operationOf(move)
    chain = [...chain.slice(0, chain.indexOf(move.on ?? '') + 1), move.cid]
    const createdAtMs = move.at ?? 0
    return { cid: move.cid, operation, createdAtMs, createdAt: isoOf(createdAtMs), signer: move.by }
  })
  const ops: PlcLogEntry[] = entries.map((entry) => ({ ...entry, nullified: !chain.includes(entry.cid) }))
  const head = ops.findLast(({ nullified }) => !nullified)
  if (!head) throw new Error('an empty log')
  return { did: DID, head, ops }
}

const FIRST: Move = { cid: 'first', by: ours, keys: [cold, quorum, ours] }
/** Of a world in which whatever a key of ours signed was signed here. */
const newsOf = (log: VerifiedPlcLog, mine: Ours, nowMs: number) => {
  const byUs = log.ops.filter(({ signer }) => mine.rotationKeys.has(signer)).map(({ cid }) => cid)
  return judgeNews(log, { ...mine, operations: new Set([...mine.operations, ...byUs]) }, nowMs)
}
const told = (log: VerifiedPlcLog, nowMs: number, mine: Ours = OURS) =>
  newsOf(log, mine, nowMs).alarms.map(({ name, about: says }) => ({ name, ...says }))

describe('operations of ours', () => {
  it('are no news, by any rotation key that we ever had', () => {
    const mine = oursOf([...KEYS, held('rotation', fresh, 'retired')], about)
    const log = logOf(
      FIRST,
      { cid: 'second', on: 'first', by: ours, keys: [cold, quorum, ours] },
      { cid: 'third', on: 'second', by: fresh, keys: [cold, quorum, ours] },
    )
    expect(newsOf(log, mine, HOUR)).toEqual({ alarms: [], quietUntilMs: null })
  })

  it('by a copy of our key are told: what counts is what was signed here, not by whose key', () => {
    const log = logOf(FIRST, {
      cid: 'second',
      on: 'first',
      by: ours,
      at: HOUR,
      keys: [cold, quorum, ours],
      names: ['at://x'],
    })
    const { alarms } = judgeNews(log, OURS, 2 * HOUR)
    expect(alarms).toMatchObject([
      { name: 'foreignOperation', about: { isHostile: 1, isCopy: 1, by: ours, mayUndo: `${cold} ${quorum}` } },
    ])
    expect(newsOf(log, OURS, 2 * HOUR).alarms).toEqual([])
  })

  it('nor is what was there before the community came to be here', () => {
    const mine = oursOf(KEYS, { ...about, since: 'arrived', operations: new Set(['arrived']) })
    const log = logOf(
      { cid: 'old', by: stranger, keys: [cold, stranger] },
      { cid: 'arrived', on: 'old', by: cold, keys: [cold, ours] },
    )
    expect(newsOf(log, mine, HOUR).alarms).toEqual([])
  })
})

describe('an operation of somebody else', () => {
  const renamed = { cid: 'second', on: 'first', by: cold, at: HOUR, keys: [cold, quorum, ours], names: ['at://x'] }

  it('by the community’s own key is told for 72 hours, the last instant counts, with what it changed', () => {
    const log = logOf(FIRST, renamed)
    const one = { name: 'foreignOperation', cid: 'second', by: cold, isHostile: 0, changed: 'its names', mayUndo: null }
    expect(told(log, 2 * HOUR)).toMatchObject([{ ...one, atMs: HOUR, untilMs: HOUR + WINDOW }])
    expect(told(log, HOUR + WINDOW)).toHaveLength(1)
    expect(told(log, HOUR + WINDOW + 1)).toEqual([])
  })

  it('by any other key is hostile, and whoever stands above it may undo it (row 280)', () => {
    const log = logOf(FIRST, { ...renamed, by: quorum })
    expect(told(log, 2 * HOUR)).toMatchObject([{ isHostile: 1, by: quorum, mayUndo: cold, untilMs: HOUR + WINDOW }])
  })

  it('is counted from the first hostile one, with which those after it fall', () => {
    const log = logOf(
      FIRST,
      { ...renamed, by: quorum },
      { cid: 'third', on: 'second', by: quorum, at: 3 * HOUR, keys: [quorum, ours] },
    )
    expect(told(log, 4 * HOUR)).toMatchObject([{ cid: 'second', count: 2, isHostile: 1 }])
  })

  it('that was undone is over, and whoever undid it by the mightier key is no forker', () => {
    const log = logOf(
      FIRST,
      { cid: 'seized', on: 'first', by: quorum, at: HOUR, keys: [quorum, ours] },
      { cid: 'back', on: 'first', by: cold, at: 2 * HOUR, keys: [cold, ours], names: ['at://back'] },
    )
    expect(told(log, 3 * HOUR)).toMatchObject([{ name: 'foreignOperation', cid: 'back', isHostile: 0 }])
  })

  it('keeps us from signing for 72 hours when it changed who may sign, and not when it changed a name', () => {
    expect(newsOf(logOf(FIRST, renamed), OURS, 2 * HOUR).quietUntilMs).toBeNull()
    const log = logOf(FIRST, { ...renamed, keys: [cold, ours] })
    expect(newsOf(log, OURS, 2 * HOUR).quietUntilMs).toBe(HOUR + WINDOW)
  })

  it('that ends the DID is told as that, with who may undo it', () => {
    const log = logOf(FIRST, { cid: 'end', on: 'first', by: quorum, at: HOUR, keys: 'tombstone' })
    expect(told(log, 2 * HOUR)).toMatchObject([
      { name: 'foreignOperation', isHostile: 1, changed: 'its end' },
      { name: 'ended', cid: 'end', mayUndo: cold },
    ])
    expect(told(log, 2 * WINDOW)).toMatchObject([{ name: 'ended' }])
    expect(homeOf(log.head, OURS)).toBe('ended')
  })

  it('that ends the DID by our own key is told as well', () => {
    const log = logOf(FIRST, { cid: 'end', on: 'first', by: ours, at: HOUR, keys: 'tombstone' })
    expect(told(log, 2 * HOUR)).toMatchObject([{ name: 'ended', mayUndo: `${cold} ${quorum}` }])
  })
})

describe('a key that had been taken out and forks from before an operation of ours (case N, row 281)', () => {
  const harmless: Move = { cid: 'ours', on: 'first', by: ours, at: HOUR, keys: [cold, quorum, ours], names: ['at://a'] }
  const fork: Move = { cid: 'fork', on: 'first', by: quorum, at: 3 * HOUR, keys: [quorum, ours] }

  it.each([
    ['N1: the removal was signed by a mightier key', cold],
    ['N3: the removal was signed by the key itself', quorum],
  ])('%s', (_says, by) => {
    const removal: Move = { cid: 'removal', on: 'ours', by, at: 2 * HOUR, keys: [cold, fresh, ours] }
    const [alarm, ...others] = told(logOf(FIRST, harmless, removal, fork), 4 * HOUR)
    expect(others).toEqual([])
    expect(alarm).toMatchObject({ name: 'removedKeyForked', cid: 'fork', undone: 'removal', by: quorum, mayUndo: cold })
    const counter = JSON.parse(String(alarm && 'counter' in alarm && alarm.counter))
    expect(counter).toMatchObject({ prev: 'first', rotationKeys: [cold, fresh, ours] })
    expect(counter).not.toHaveProperty('sig')
  })

  it('also when it once was ours', () => {
    const removal: Move = { cid: 'removal', on: 'ours', by: cold, at: 2 * HOUR, keys: [cold, fresh, ours] }
    const mine = oursOf([...KEYS, held('rotation', quorum, 'retired')], about)
    expect(told(logOf(FIRST, harmless, removal, fork), 4 * HOUR, mine)).toMatchObject([{ name: 'removedKeyForked' }])
  })

  it('is over when the fork was undone (N2)', () => {
    const removal: Move = { cid: 'removal', on: 'ours', by: cold, at: 2 * HOUR, keys: [cold, fresh, ours] }
    const counter: Move = { cid: 'counter', on: 'first', by: cold, at: 5 * HOUR, keys: [cold, fresh, ours] }
    expect(told(logOf(FIRST, harmless, removal, fork, counter), 6 * HOUR)).toMatchObject([
      { name: 'foreignOperation', cid: 'counter', isHostile: 0 },
    ])
  })
})

describe('our own key', () => {
  it.each([
    ['not the last', [cold, ours, stranger], 1],
    ['not there at all', [cold, stranger], 0],
    ['one that was replaced', [cold, fresh], 0],
  ] as const)('is told to be %s', (_says, keys, isListed) => {
    const mine = oursOf([...KEYS, held('rotation', fresh, 'retired')], about)
    const log = logOf(FIRST, { cid: 'second', on: 'first', by: ours, keys: [...keys] })
    expect(told(log, HOUR, mine)).toEqual([{ name: 'oursNotLast', cid: 'second', isListed }])
  })

  it('may be the next one, which was made and is not in use yet', () => {
    const mine = oursOf([...KEYS, held('rotation', fresh, 'pending')], about)
    expect(told(logOf(FIRST, { cid: 'second', on: 'first', by: ours, keys: [cold, fresh] }), HOUR, mine)).toEqual([])
  })
})

describe('the home of a DID', () => {
  const at = (change: Partial<Move>, mine = OURS) =>
    homeOf(logOf(FIRST, { cid: 'second', on: 'first', by: cold, ...change }).head, mine)

  it.each<[string, Partial<Move>, 'here' | 'elsewhere']>([
    ['as it was', {}, 'here'],
    ['with one key of two', { methods: { atproto: stranger, atproto_space: space } }, 'here'],
    ['with the other one', { methods: { atproto } }, 'here'],
    ['with neither', { methods: { atproto: stranger, atproto_space: fresh } }, 'elsewhere'],
    ['without keys', { methods: {} }, 'elsewhere'],
    ['with our keys at another address', { at2: 'https://other.example' }, 'elsewhere'],
    ['with a stroke behind our address', { at2: `${URL}/` }, 'here'],
  ])('%s', (_says, change, home) => {
    expect(at(change)).toBe(home)
  })

  it('is here while a key is named that is not in use yet, and not by one that is retired', () => {
    const methods = { atproto: stranger, atproto_space: fresh }
    expect(at({ methods }, oursOf([...KEYS, held('space', fresh, 'pending')], about))).toBe('here')
    expect(at({ methods }, oursOf([...KEYS, held('space', fresh, 'retiring')], about))).toBe('here')
    expect(at({ methods }, oursOf([...KEYS, held('space', fresh, 'retired')], about))).toBe('elsewhere')
  })
})

describe('an operation that nobody could be told of in time', () => {
  const taken: Move = { cid: 'taken', on: 'first', by: quorum, at: HOUR, keys: [quorum, ours] }
  const late = HOUR + 2 * WINDOW

  it('is told when it is first seen, that it is too late, and for a week from then', () => {
    const log = logOf(FIRST, taken)
    const [alarm, ...others] = judgeNews(log, OURS, late, { judged: 1, alarms: [] }).alarms
    expect(others).toEqual([])
    expect(alarm).toMatchObject({ name: 'foreignOperation', about: { cid: 'taken', isHostile: 1, isFinal: 1 } })
    const alarms = [{ name: 'foreignOperation' as const, sinceMs: late, about: alarm?.about ?? {} }]
    expect(judgeNews(log, OURS, late + TOLD_MS, { judged: 2, alarms }).alarms).toEqual([alarm])
    expect(judgeNews(log, OURS, late + TOLD_MS + 1, { judged: 2, alarms }).alarms).toEqual([])
  })

  it('is no news when it was judged before', () => {
    expect(judgeNews(logOf(FIRST, taken), OURS, late, { judged: 2, alarms: [] }).alarms).toEqual([])
  })
})

describe('the community’s own key', () => {
  const handedOver: Move = { cid: 'over', on: 'first', by: cold, at: HOUR, keys: [fresh, ours] }

  it('goes on from hand-over to hand-over, whoever wrote after them, and what the next ones do is no enemy’s', () => {
    const log = logOf(
      FIRST,
      handedOver,
      { cid: 'renamed', on: 'over', by: fresh, at: 2 * HOUR, keys: [fresh, ours], names: ['at://x'] },
      { cid: 'again', on: 'renamed', by: fresh, at: 3 * HOUR, keys: [quorum, ours] },
      { cid: 'ours', on: 'again', by: ours, at: 4 * HOUR, keys: [quorum, ours], names: ['at://y'] },
    )
    expect(recoveryBy(log, OURS)).toEqual({ recoveryKey: quorum, formerRecoveryKeys: [fresh, cold] })
    expect(told(log, 5 * HOUR)).toMatchObject([{ name: 'foreignOperation', isHostile: 0, count: 3 }])
  })

  it('is no key that another put first, and never one of ours; with ours alone there is none', () => {
    const by = (...moves: readonly Move[]) => recoveryBy(logOf(FIRST, ...moves), OURS).recoveryKey
    expect(by({ cid: 'x', on: 'first', by: quorum, keys: [stranger, ours] })).toBe(cold)
    expect(by({ cid: 'x', on: 'first', by: cold, keys: [ours, cold] })).toBe(cold)
    expect(by({ cid: 'x', on: 'first', by: cold, keys: [ours] })).toBeNull()
  })

  it('that was replaced by those who decide here and undoes it is told as one that came back, and stands first again', () => {
    const log = logOf(
      FIRST,
      { cid: 'replaced', on: 'first', by: ours, at: HOUR, keys: [fresh, ours] },
      { cid: 'back', on: 'first', by: cold, at: 2 * HOUR, keys: [cold, ours] },
      { cid: 'more', on: 'back', by: cold, at: 3 * HOUR, keys: [cold, ours], names: ['at://mine'] },
    )
    const mine = { ...OURS, recoveryKey: fresh, formerRecoveryKeys: [cold] }
    expect(told(log, 4 * HOUR, mine)).toMatchObject([
      { name: 'foreignOperation', cid: 'more', isHostile: 1 },
      { name: 'removedKeyForked', cid: 'back', undone: 'replaced', mayUndo: null, counter: null },
    ])
    expect(recoveryBy(log, { ...mine, operations: new Set(['first', 'replaced']) }).recoveryKey).toBe(cold)
  })

  it('that was demoted acts as an enemy afterwards, and before it as a friend', () => {
    const log = logOf(
      FIRST,
      { cid: 'early', on: 'first', by: cold, at: HOUR, keys: [cold, quorum, ours], names: ['at://x'] },
      { cid: 'over', on: 'early', by: cold, at: 2 * HOUR, keys: [fresh, cold, ours], names: ['at://x'] },
      { cid: 'late', on: 'over', by: cold, at: 3 * HOUR, keys: [fresh, cold, ours], names: ['at://z'] },
    )
    expect(told(log, 4 * HOUR)).toMatchObject([{ cid: 'late', isHostile: 1, mayUndo: fresh }])
  })
})

describe('the quiet', () => {
  it('ends 72 hours from now at the latest, whatever day an operation bears', () => {
    const log = logOf(FIRST, { cid: 'x', on: 'first', by: cold, at: 900 * WINDOW, keys: [cold, ours] })
    expect(quietBy(log, OURS, HOUR)).toBe(HOUR + WINDOW)
  })
})
