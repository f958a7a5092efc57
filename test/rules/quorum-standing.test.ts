/** Whether keepers can act, and what their community is told: by who is enrolled, who stands in the roster, and when they last drilled. */
import { describe, expect, it } from 'vitest'
import { countGood, DRILL_EVERY_MS, quorumStanding, seatsNow } from '../../src/community/quorum-standing.ts'
import type { QuorumKey } from '../../src/community/quorum-store.ts'
import type { Did, DidKey } from '../../src/names.ts'

const NOW = 1_800_000_000_000
const didOf = (at: number) => `did:web:keeper${at}.example.com` as Did
const seat = (at: number) => ({
  ...{ did: didOf(at), keeper: `enrolment ${at}`, sealKey: `age1${at}`, signKey: `did:key:z${at}` as DidKey },
  ...{ x: at + 1, commitment: `commitment ${at}` },
})
const keyOf = (n: number, k: number, changed: Partial<QuorumKey> = {}): QuorumKey => ({
  ...{ id: 'key-1', community: 'did:plc:a' as Did, didKey: 'did:key:z' as DidKey, generation: 1, n, k },
  seats: Array.from({ length: n }, (_, at) => seat(at)),
  ...{ dealtBy: '00', wantsStrict: false, isStrict: false, wasCombinedHere: false, state: 'active' },
  ...{ drilledAtMs: NOW, stateSinceMs: NOW, ...changed },
})
const enrolledOf = (n: number) =>
  Array.from({ length: n }, (_, at) => {
    const { did, sealKey, signKey } = seat(at)
    return { did, sealKey, signKey, suspendedAtMs: null }
  })
const namesOf = (key: QuorumKey, enrolled = enrolledOf(key.n), left: readonly Did[] = [], nowMs = NOW) =>
  quorumStanding(key, seatsNow(key, enrolled, new Set(left)), nowMs).map(({ name }) => name)

describe('the keepers of a key', () => {
  it('who are all there and have drilled are nothing to be told of', () => {
    expect(namesOf(keyOf(5, 3))).toEqual([])
  })

  it('each stand as they are: enrolled by the same keys, in the roster, not suspended', () => {
    const key = keyOf(5, 2)
    const [a, b, c, d] = enrolledOf(4)
    if (!a || !b || !c || !d) throw new Error('four are enrolled')
    const now = [a, { ...b, sealKey: 'age1another' }, { ...c, suspendedAtMs: NOW }, d]
    const seats = seatsNow(key, now, new Set([d.did]))
    expect(seats.map(({ state }) => state)).toEqual(['good', 'revoked', 'suspended', 'left', 'revoked'])
    expect(countGood(seats)).toBe(1)
  })

  it('are red when one who kept a share does so no more, whether they ended it or left', () => {
    expect(namesOf(keyOf(5, 3), enrolledOf(4))).toEqual(['keeperRevoked'])
    expect(namesOf(keyOf(5, 3), enrolledOf(5), [didOf(0)])).toEqual(['keeperRevoked'])
  })

  it.each([
    [5, 3, 5, false],
    [5, 3, 4, false],
    [5, 3, 3, true],
    [5, 3, 2, true],
    [2, 2, 2, true],
    [3, 2, 3, false],
  ])('of %i, of whom %i have to act, with %i left are few: %s (row 272)', (n, k, left, isThin) => {
    expect(namesOf(keyOf(n, k), enrolledOf(left)).includes('quorumThin')).toBe(isThin)
  })

  it('are asked to drill every 90 days, and at once when they never did', () => {
    expect(namesOf(keyOf(3, 2, { drilledAtMs: null }))).toEqual(['drillDue'])
    expect(namesOf(keyOf(3, 2), enrolledOf(3), [], NOW + DRILL_EVERY_MS - 1)).toEqual([])
    expect(namesOf(keyOf(3, 2), enrolledOf(3), [], NOW + DRILL_EVERY_MS)).toEqual(['drillDue'])
  })

  it('are told for ever that the service had their key', () => {
    expect(namesOf(keyOf(3, 2, { wasCombinedHere: true }))).toEqual(['keyCombinedHere'])
  })
})
