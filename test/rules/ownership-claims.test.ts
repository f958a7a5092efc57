/** By which keys owners of a community can be named: by the place of each in the operation in force, and by what ever was ours. */
import { describe, expect, it } from 'vitest'
import { keysAbove } from '../../src/community/ownership-claims.ts'
import { verifyPlcLog } from '../../src/identity/plc-log.ts'
import type { HeldKey } from '../../src/keys/store.ts'
import { HOUR_MS, plcStory, type StoryMove } from '../kit/plc-stories.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'

const cold = makeKey('k256')
const quorum = makeKey('k256')
const ours = makeKey('k256')
const former = makeKey('k256')
const space = makeKey('p256')

const heldOf = (key: TestKey, state: HeldKey['state'], purpose: HeldKey['purpose'] = 'rotation'): HeldKey => ({
  ...{ id: `${purpose} ${state}`, purpose, didKey: key.didKey, state, flags: [] },
  ...{ standsAside: false, createdAtMs: 0, stateSinceMs: 0 },
})
const HELD = [heldOf(former, 'destroyed'), heldOf(ours, 'active'), heldOf(space, 'active', 'space')]

function above(...moves: readonly StoryMove[]): readonly string[] {
  const { did, rows } = plcStory(moves)
  const verdict = verifyPlcLog(did, rows)
  if (!verdict.ok) throw new Error('the story holds')
  return keysAbove(verdict, HELD)
}
const first = (...keys: readonly TestKey[]): StoryMove => ({ by: keys[0] ?? ours, on: -1, atMs: 0, keys: [...keys] })

describe('owners are named', () => {
  it.each([
    ['the member’s key and the one in shares', [cold, quorum, ours], [cold, quorum]],
    ['the member’s key', [cold, ours], [cold]],
    ['both where no key of ours stands below', [cold, quorum], [cold, quorum]],
    ['none where ours is alone', [ours], []],
    ['none below ours', [cold, ours, quorum], [cold]],
    ['none where ours stands first', [ours, cold, quorum], []],
    ['none that was ours, nor those below it', [former, cold, ours], []],
    ['none that signs for us otherwise', [cold, space, quorum, ours], [cold]],
  ])('by %s', (_what, listed, expected) => {
    expect(above(first(...listed))).toEqual(expected.map(({ didKey }) => didKey))
  })

  it('by the operation in force alone: not by a key that was taken out, and by none of an identity that was ended', () => {
    const replaced: StoryMove = { by: cold, on: 0, atMs: HOUR_MS, keys: [quorum, ours] }
    expect(above(first(cold, ours), replaced)).toEqual([quorum.didKey])
    const undone: StoryMove = { by: cold, on: 0, atMs: 2 * HOUR_MS, keys: [cold, ours] }
    expect(above(first(cold, ours), { ...replaced, by: ours }, undone)).toEqual([cold.didKey])
    expect(above(first(cold, ours), { by: cold, on: 0, atMs: HOUR_MS, keys: 'tombstone' })).toEqual([])
  })
})
