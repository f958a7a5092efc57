/**
 * What a run of faults holds against a record and a database: a right one passes, and each kind of wrong one is found. A judge that finds
 * nothing would let every fault pass.
 */
import { describe, expect, it } from 'vitest'
import { Recorder } from '../../faults/record.ts'
import { survivorsOf } from '../../faults/survivors.ts'
import { type Evidence, type Final, judge, PROMISES, type Promised, talliedOf } from '../../faults/verdicts.ts'
import { type Did, type Nsid, spaceUriOf } from '../../src/names.ts'
import { tidOf } from '../../src/platform/tid.ts'

const did = (letter: string) => `did:plc:${letter.repeat(24)}` as Did
const [COMMUNITY, ALICE, BOB] = [did('g'), did('a'), did('b')]
const hall = spaceUriOf(COMMUNITY, 'com.atmoboards.forum' as Nsid, 'hall').uri
const SERVICE = 'did:web:localhost%3A1234#sync'

type Operation = Evidence['operations'][number]

const change = (began: number, ended: number, revision: number, deed: object, more: object = {}): Operation =>
  ({
    ...{
      op: 'change',
      began,
      ended,
      community: COMMUNITY,
      deed,
      key: `key ${revision}`,
      earlier: [],
      says: 'ok',
      revision,
    },
    ...more,
  }) as Operation
const exchange = (began: number, ended: number, token: string, says: string, more: object = {}): Operation => ({
  ...{ op: 'exchange', began, ended, space: hall, did: BOB, token, holder: `key of ${token}`, says },
  issued: says === 'ok' ? `credential by ${token}` : null,
  ...more,
})
const made = { does: 'make', space: hall }
const put = { does: 'put', space: hall, did: BOB, role: 'member' }
const remove = { does: 'remove', space: hall, did: BOB }

/** The hall is made, Bob comes and gets a credential, which is taken back; a second exchange is never answered; he writes, and goes. */
const OPERATIONS: readonly Operation[] = [
  change(1, 2, 2, made),
  exchange(3, 4, 'early', '400 UserNotAuthorized'),
  change(5, 6, 3, put, { earlier: ['503 NotEnoughResources', '0 ECONNRESET'] }),
  exchange(7, 8, 'one', 'ok'),
  exchange(9, 10, 'one', '401 JwtReplayed'),
  exchange(11, 12, 'two', '0 ECONNRESET'),
  {
    ...{ op: 'takeBack', began: 13, ended: 14, community: COMMUNITY, jti: 'credential by one', earlier: [] },
    ...{ says: 'ok', revision: 4, found: 1 },
  },
  { op: 'write', began: 15, ended: 16, space: hall, repo: BOB, repoRev: tidOf(5), says: 'ok' },
  { op: 'register', began: 17, ended: 18, space: hall, service: SERVICE, says: 'ok' },
  change(19, 20, 5, remove),
  exchange(21, 22, 'late', '400 UserNotAuthorized'),
]

const row = (token: string, revision: number, more: object = {}): Final['issuances'][number] => ({
  ...{ jti: `credential by ${token}`, did: BOB, space: hall, holder: `key of ${token}`, revision, isTakenBack: false },
  ...more,
})
const entry = (seq: number, action: string, subject: Did | null, revision: number | null, more: object = {}) => ({
  ...{ seq, actor: ALICE, action, subject, revision, jti: null },
  ...more,
})
const FINAL: Final = {
  revision: 5,
  people: [],
  issuances: [row('one', 3, { isTakenBack: true }), row('two', 3)],
  writers: [{ space: hall, repo: BOB, repoRev: tidOf(5) }],
  services: [{ space: hall, service: SERVICE }],
  unheard: [],
  chains: [{ community: COMMUNITY, fault: null }],
  entries: [
    entry(1, 'community.mint', null, 1),
    entry(2, 'space.create', null, 2),
    entry(3, 'member.put', BOB, 3),
    entry(4, 'credential.issue', BOB, 3, { actor: BOB, jti: 'credential by one' }),
    entry(5, 'credential.issue', BOB, 3, { actor: BOB, jti: 'credential by two' }),
    entry(6, 'credential.revoke', null, 4),
    entry(7, 'member.remove', BOB, 5),
    entry(8, 'credential.revoke', BOB, null, { actor: COMMUNITY }),
  ],
}
const told = (repoRev: number, spaceRev: number, prevSpaceRev: number, repo = BOB) => ({
  method: 'com.atproto.space.notifyWrite',
  body: { space: hall, repo, repoRev: tidOf(repoRev), spaceRev: tidOf(spaceRev), prevSpaceRev: tidOf(prevSpaceRev) },
})
const HEARD = [[told(4, 104, 90), told(5, 105, 104)]]

const EVIDENCE: Evidence = { community: COMMUNITY, founder: ALICE, operations: OPERATIONS, heard: HEARD, final: FINAL }

/** The promises that are broken, each with the kinds of what breaks it. */
function brokenIn(changes: { operations?: readonly Operation[]; heard?: Evidence['heard']; final?: Partial<Final> }) {
  const { operations = OPERATIONS, heard = HEARD, final = {} } = changes
  const verdicts = judge({ ...EVIDENCE, operations, heard, final: { ...FINAL, ...final } })
  const kinds = (name: Promised) => verdicts[name].faults.map((fault) => fault.split(':', 1)[0])
  return Object.fromEntries(
    PROMISES.filter((name) => verdicts[name].faults.length > 0).map((name) => [name, [...new Set(kinds(name))]]),
  )
}
const without = (nth: number) => OPERATIONS.filter((_, at) => at !== nth)
const within = (nth: number, more: object) =>
  OPERATIONS.map((one, at) => (at === nth ? ({ ...one, ...more } as Operation) : one))
const entriesBut = (seq: number) => FINAL.entries.filter((one) => one.seq !== seq)
const entriesWith = (seq: number, more: object) =>
  FINAL.entries.map((one) => (one.seq === seq ? { ...one, ...more } : one))

describe('a record that is as it should be', () => {
  it('breaks nothing, and everything of it was looked at', () => {
    expect(brokenIn({})).toEqual({})
    const { Durable, Fresh, Once, Monotone, Chain, Named } = judge(EVIDENCE)
    const looked = [Durable, Fresh, Once, Monotone, Chain, Named].map((verdict) => verdict.looked)
    expect(looked).toEqual([6, 5, 4, 2, 8, OPERATIONS.length])
  })

  it('is counted by what was said, each time that it was said', () => {
    expect(talliedOf(OPERATIONS)).toEqual({
      ...{ operations: 11, acknowledged: 7, undecided: 2 },
      refused: { '400 UserNotAuthorized': 2, '503 NotEnoughResources': 1, '0 ECONNRESET': 2, '401 JwtReplayed': 1 },
    })
  })

  it('may have what nobody was told of: the credential of an exchange that was not answered, or none', () => {
    const final = { issuances: FINAL.issuances.slice(0, 1), entries: entriesBut(5) }
    expect(brokenIn({ final })).toEqual({})
  })
})

it('a registration may have ended, where the log says that its service never answered', () => {
  const unheard = [{ space: hall, service: SERVICE }]
  expect(brokenIn({ final: { services: [], unheard } })).toEqual({})
  expect(brokenIn({ final: { services: [], unheard: [{ space: hall, service: `${SERVICE}x` }] } })).toEqual({
    Durable: ['lost'],
  })
})

describe('it is found', () => {
  it.each<[string, Partial<Final>]>([
    ['a removal that isn’t there', { people: [{ space: hall, did: BOB, role: 'member' }] }],
    ['a community behind what was answered', { revision: 4 }],
    ['a community beyond what anybody asked for', { revision: 6 }],
    ['a write that is gone', { writers: [] }],
    ['a write that is older', { writers: [{ space: hall, repo: BOB, repoRev: tidOf(4) }] }],
    ['a registration that is gone', { services: [] }],
    ['a credential that is good again', { issuances: [row('one', 3), row('two', 3)] }],
  ])('of what was acknowledged: %s', (_says, final) => {
    expect(brokenIn({ final })).toEqual({ Durable: ['lost'] })
  })

  it('of what was acknowledged: a credential without its row', () => {
    const final = { issuances: FINAL.issuances.slice(1), entries: entriesBut(4) }
    expect(brokenIn({ final })).toEqual({ Durable: ['lost'] })
  })

  it('a change that was lost and whose number was given again', () => {
    expect(brokenIn({ operations: within(9, { revision: 3 }) })).toMatchObject({
      Durable: expect.arrayContaining(['replay']),
    })
  })

  it('a change of which nobody ever learnt whether it was made', () => {
    const operations = within(9, { says: '503 NotEnoughResources', revision: null })
    expect(brokenIn({ operations })).toMatchObject({ Durable: expect.arrayContaining(['undecided']) })
  })

  it('a credential for somebody whose removal had been answered', () => {
    const operations = [...without(10), exchange(21, 22, 'late', 'ok')]
    const entries = [...FINAL.entries, entry(9, 'credential.issue', BOB, 3, { jti: 'credential by late' })]
    const final = { issuances: [...FINAL.issuances, row('late', 3)], entries }
    expect(brokenIn({ operations, final })).toEqual({ Fresh: ['stale', 'written', 'removed'] })
  })

  it('also where its row pretends to be of later', () => {
    const operations = [...without(10), exchange(21, 22, 'late', 'ok')]
    const entries = [...FINAL.entries, entry(9, 'credential.issue', BOB, 5, { jti: 'credential by late' })]
    const final = { issuances: [...FINAL.issuances, row('late', 5)], entries }
    expect(brokenIn({ operations, final })).toEqual({ Fresh: ['answer', 'removed'] })
  })

  it('but not for somebody who was being put back meanwhile', () => {
    const again = [change(20.5, 23, 6, put), exchange(21, 22, 'late', 'ok')]
    const entries = [
      ...FINAL.entries,
      entry(9, 'member.put', BOB, 6),
      entry(10, 'credential.issue', BOB, 6, { jti: 'credential by late' }),
    ]
    const people = [{ space: hall, did: BOB, role: 'member' }]
    const final = { revision: 6, people, issuances: [...FINAL.issuances, row('late', 6)], entries }
    expect(brokenIn({ operations: [...without(10), ...again], final })).toEqual({})
  })

  it('somebody turned away who was in all the time', () => {
    const operations = [...OPERATIONS, exchange(11, 12, 'three', '400 UserNotAuthorized')]
    expect(brokenIn({ operations })).toEqual({ Fresh: ['answer'] })
  })

  it('a token that was good twice', () => {
    const operations = within(4, { says: 'ok', issued: 'credential by one again' })
    const entries = [...FINAL.entries, entry(9, 'credential.issue', BOB, 3, { jti: 'credential by one again' })]
    const issuances = [...FINAL.issuances, row('one', 3, { jti: 'credential by one again' })]
    const broken = brokenIn({ operations, final: { issuances, entries } })
    expect(broken).toEqual({ Once: ['twice'] })
  })

  it('a row for somebody who was refused', () => {
    const entries = [...FINAL.entries, entry(9, 'credential.issue', BOB, 5, { jti: 'credential by late' })]
    const issuances = [...FINAL.issuances, row('late', 5)]
    expect(brokenIn({ final: { issuances, entries } })).toEqual({ Once: ['refused'] })
  })

  it.each([
    ['a revision of a repo that falls', [[told(5, 104, 90), told(4, 105, 104)]], 'fall'],
    ['one place for two writes', [[told(4, 104, 90)], [told(4, 104, 90, ALICE)]], 'shared'],
    ['a write that was never told', [[told(4, 104, 90), told(5, 106, 105)]], 'gap'],
  ])('%s', (_says, heard, kind) => {
    expect(brokenIn({ heard })).toEqual({ Monotone: [kind] })
  })

  it.each<[string, Partial<Final>, string]>([
    ['a chain that is broken', { chains: [{ community: COMMUNITY, fault: 'wrong-hash at row 3' }] }, 'broken'],
    ['a change that isn’t in the log', { entries: entriesBut(3) }, 'missing'],
    ['a change that is in it twice', { entries: [...FINAL.entries, entry(9, 'member.remove', BOB, 5)] }, 'twice'],
    ['one that nobody made', { entries: [...FINAL.entries, entry(9, 'member.put', ALICE, 6)] }, "nobody's"],
    ['one that isn’t chained', { entries: entriesWith(7, { seq: null }) }, 'unchained'],
    ['a credential that isn’t in it', { entries: entriesBut(5) }, 'issue'],
    ['one in it without its row', { issuances: FINAL.issuances.slice(0, 1) }, 'issue'],
  ])('%s', (_says, final, kind) => {
    expect(brokenIn({ final })).toEqual({ Chain: [kind] })
  })

  it('changes in another order than that in which they were made', () => {
    const swapped = entriesWith(6, { action: 'member.remove', subject: BOB, revision: 5 }).map((one) =>
      one.seq === 7 ? { ...one, action: 'credential.revoke', subject: null, revision: 4 } : one,
    )
    expect(brokenIn({ final: { entries: swapped } })).toEqual({ Chain: ['order'] })
  })

  it.each(['500 InternalServerError', '503 '])('that something was answered %s', (says) => {
    const operations = [...OPERATIONS, exchange(23, 24, 'other', says)]
    expect(brokenIn({ operations })).toEqual({ Named: ['unnamed'] })
    expect(brokenIn({ operations: within(2, { earlier: [says] }) })).toEqual({ Named: ['unnamed'] })
  })
})

describe('a recorder', () => {
  it('gives each thing a span of its own, which ends after what it began before', () => {
    const recorder = new Recorder()
    const [first, second] = [recorder.begin(), recorder.begin()]
    recorder.end(second, { op: 'register', space: hall, service: SERVICE, says: 'ok' })
    recorder.end(first, { op: 'register', space: hall, service: SERVICE, says: 'ok' })
    expect(recorder.operations.map(({ began, ended }) => [began, ended])).toEqual([
      [2, 3],
      [1, 4],
    ])
  })
})

describe('a backup that was put back, and accepted', () => {
  const rest = (began: number, revision: number, isFrozen: boolean): Operation => ({
    ...{ op: 'rest', began, ended: began + 1, community: COMMUNITY, isFrozen, says: 'ok', revision },
  })
  /** Made after the first exchange; put back at 30; woken at 37. */
  const restoring = { backedUp: 9, putBack: 30, woken: 37, restored: { revision: 3, issuances: [row('one', 3)] } }
  const after = [
    exchange(31, 32, 'meanwhile', '503 NotEnoughResources'),
    rest(33, 4, true),
    exchange(34.5, 34.6, 'resting', '400 UserNotAuthorized'),
    rest(35, 5, false),
    exchange(38, 39, 'new', 'ok'),
    change(40, 41, 6, remove),
    exchange(42, 43, 'over', '400 UserNotAuthorized'),
  ]
  const operations = survivorsOf([...OPERATIONS, ...after], restoring)
  const final: Partial<Final> = {
    revision: 6,
    issuances: [row('one', 3), row('new', 5)],
    ...{ writers: [], services: [] },
    entries: [
      ...FINAL.entries.slice(0, 4),
      entry(5, 'community.freeze', null, 4, { actor: SERVICE }),
      entry(6, 'community.unfreeze', null, 5),
      entry(7, 'credential.issue', BOB, 5, { actor: BOB, jti: 'credential by new' }),
      entry(8, 'member.remove', BOB, 6),
    ],
  }

  it('is judged by what it has and by what came later', () => {
    expect(brokenIn({ operations, final })).toEqual({})
    expect(brokenIn({ operations: [...OPERATIONS, ...after], final })).toMatchObject({
      Durable: expect.arrayContaining(['lost']),
    })
  })

  it('has lost something where what was acknowledged before the backup is missing', () => {
    expect(brokenIn({ operations, final: { ...final, issuances: [row('new', 5)] } })).toMatchObject({
      Durable: ['lost'],
    })
  })

  it('is found where somebody who was removed since is let in', () => {
    const late = [...operations, exchange(44, 45, 'late', 'ok')]
    const entries = [...(final.entries ?? []), entry(9, 'credential.issue', BOB, 5, { jti: 'credential by late' })]
    const issuances = [...(final.issuances ?? []), row('late', 5)]
    expect(brokenIn({ operations: late, final: { ...final, issuances, entries } })).toMatchObject({
      Fresh: expect.arrayContaining(['removed']),
    })
  })

  it('is found where it was put to sleep, or woken, and the log doesn’t say so', () => {
    const entries = final.entries?.filter(({ action }) => action !== 'community.unfreeze') ?? []
    expect(brokenIn({ operations, final: { ...final, entries } })).toEqual({ Chain: ['missing'] })
  })
})
