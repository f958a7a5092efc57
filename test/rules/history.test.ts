/**
 * The checker of histories: it lets a right one pass, and finds each kind of wrong one. A checker that finds nothing would make
 * every test that rests on it pass.
 */
import { describe, expect, it } from 'vitest'
import { type Did, type Nsid, rosterOf, type SpaceUri, spaceUriOf } from '../../src/names.ts'
import {
  type Basis,
  type Change,
  checkHistory,
  type Decision,
  type Deed,
  type History,
  hookDecision,
  lineOf,
} from '../kit/history.ts'

const FORUM = 'com.atmoboards.forum' as Nsid
const did = (letter: string) => `did:plc:${letter.repeat(24)}` as Did
const [GARDENERS, READERS, ALICE, BOB] = [did('g'), did('r'), did('a'), did('b')]
const forum: SpaceUri = spaceUriOf(GARDENERS, FORUM, 'main').uri
const club: SpaceUri = spaceUriOf(READERS, FORUM, 'club').uri

/** A change, by the moments between which it was asked for and answered. */
const change = ([began, ended]: readonly [number, number], revision: number, deed: Deed): Change => {
  const community = JSON.stringify(deed).includes(`"space":"${club}"`) ? READERS : GARDENERS
  return { began, ended, community, revision, deed }
}
const put = { does: 'put', space: forum, did: BOB, role: 'reader' } as const
const remove = { does: 'remove', space: forum, did: BOB } as const

/** Bob is put into the forum in 3–4 and taken out in 11–20. In between the readers nest the forum in their club. */
const CHANGES: readonly Change[] = [
  change([1, 2], 2, { does: 'make', space: forum }),
  change([3, 4], 3, put),
  change([5, 6], 4, { does: 'offer', space: forum, to: READERS }),
  change([7, 8], 2, { does: 'make', space: club }),
  change([9, 10], 3, { does: 'nest', space: club, from: forum, role: 'reader', holding: 'read' }),
  change([11, 20], 5, remove),
]
const at = (revision: number, ofReaders?: number): Basis => [
  ...(ofReaders === undefined ? [] : [{ community: READERS, revision: ofReaders }]),
  { community: GARDENERS, revision },
]
type Told = Partial<Decision> & Pick<Decision, 'began' | 'ended' | 'answer'>
const decision = (told: Told): Decision => ({
  question: { asks: 'may', space: forum, did: BOB, action: 'read' },
  basis: at(4),
  isWhole: true,
  atLeast: [],
  issued: null,
  ...told,
})
const inClub = { question: { asks: 'may', space: club, did: BOB, action: 'read' } } as const
const ROW = { jti: 'one', did: BOB, space: forum, revision: 4 }
const minted = (told: Partial<Decision> & { wroteAt: number }) => {
  const { wroteAt, ...rest } = told
  return decision({ began: 12, ended: 14, answer: 'yes', issued: { jti: 'one', wroteAt }, ...rest })
}

const rulesBroken = (more: Partial<History>): readonly string[] => {
  const communities = [GARDENERS, READERS].map((community) => ({ did: community, founder: ALICE }))
  const { faults } = checkHistory({ communities, changes: CHANGES, decisions: [], looks: [], rows: [], ...more })
  return [...new Set(faults.map((fault) => fault.split(':')[0] ?? ''))]
}

/** A question of a PDS about Bob in the forum. */
const hooked = (
  span: readonly [number, number],
  answer: 'yes' | 'no' | 'lost',
  access: 'read' | 'write' | null = null,
) => hookDecision({ asks: 'hook', space: forum, did: BOB, access }, { began: span[0], ended: span[1] }, answer)
/** After the opening, in 21–24 and 25–28, one thing and its opposite. */
const thereAndBack = (there: Deed, back: Deed): readonly Change[] => [
  ...CHANGES.slice(0, -1),
  change([21, 24], 5, there),
  change([25, 28], 6, back),
]
const FROZEN = thereAndBack({ does: 'freeze', space: forum }, { does: 'thaw', space: forum })
const RELEASED = thereAndBack({ does: 'release', community: GARDENERS }, { does: 'consent', community: GARDENERS })

const RIGHT: readonly (readonly [name: string, history: Partial<History>])[] = [
  [
    'a yes on the revision before a removal that is under way',
    { decisions: [decision({ began: 12, ended: 14, answer: 'yes' })] },
  ],
  ['a no on that after it', { decisions: [decision({ began: 12, ended: 14, answer: 'no', basis: at(5) })] }],
  [
    'a yes and then a no',
    {
      decisions: [
        decision({ began: 12, ended: 13, answer: 'yes' }),
        decision({ began: 14, ended: 15, answer: 'no', basis: at(5) }),
      ],
    },
  ],
  [
    'a no before a yes, when they were asked at once',
    {
      decisions: [
        decision({ began: 12, ended: 14, answer: 'no', basis: at(5) }),
        decision({ began: 13, ended: 15, answer: 'yes' }),
      ],
    },
  ],
  [
    'a yes in the club, by way of the forum',
    { decisions: [decision({ ...inClub, began: 12, ended: 14, answer: 'yes', basis: at(4, 3) })] },
  ],
  [
    'a no in the club once the forum has no bob',
    { decisions: [decision({ ...inClub, began: 12, ended: 14, answer: 'no', basis: at(5, 3) })] },
  ],
  [
    'a no in the club without the gardeners, before anything of theirs was nested',
    {
      decisions: [
        decision({ ...inClub, began: 8.5, ended: 9.5, answer: 'no', basis: [{ community: READERS, revision: 2 }] }),
      ],
    },
  ],
  [
    'everybody in the forum',
    {
      decisions: [
        decision({
          ...{ began: 21, ended: 22, basis: at(5), question: { asks: 'where', community: GARDENERS, did: BOB } },
          answer: '',
        }),
        decision({
          ...{ began: 12, ended: 14, question: { asks: 'where', community: GARDENERS, did: BOB } },
          answer: lineOf(forum, ['read']),
        }),
      ],
    },
  ],
  [
    'an answer that doesn’t say what it rests on, and was due at some time',
    {
      decisions: [
        decision({ began: 12, ended: 14, answer: 'no', basis: [], isWhole: false }),
        decision({ began: 12, ended: 14, answer: 'yes', basis: [], isWhole: false }),
      ],
    },
  ],
  [
    'a space that is not there yet',
    { decisions: [decision({ began: 0, ended: 1.5, answer: 'gone', basis: [], isWhole: false })] },
  ],
  ['a credential and its row', { decisions: [minted({ wroteAt: 13 })], rows: [ROW] }],
  [
    'a row that is not there yet while the removal isn’t answered',
    {
      ...{ decisions: [minted({ wroteAt: 13 })], rows: [ROW] },
      looks: [{ began: 13.5, ended: 13.6, underWay: new Set(['one']), found: new Set() }],
    },
  ],
  [
    'a PDS that is told yes or no while a removal is under way, and no after it',
    { decisions: [hooked([12, 13], 'yes'), hooked([14, 15], 'no', 'read'), hooked([21, 22], 'no')] },
  ],
  [
    'a PDS that is told that a reader doesn’t write',
    { decisions: [hooked([9, 10], 'no', 'write'), hooked([9, 10], 'yes', 'read')] },
  ],
  ['a PDS that asks about a space that isn’t there', { decisions: [hooked([0, 0.5], 'no')] }],
  ...[FROZEN, RELEASED].map((changes): [string, Partial<History>] => [
    changes === FROZEN ? 'a forum that rests and wakes' : 'an account that takes back its consent and gives it anew',
    { changes, decisions: [hooked([20, 20.5], 'yes'), hooked([24.2, 24.4], 'no'), hooked([29, 30], 'yes')] },
  ]),
  [
    'a club to which nobody comes while the forum rests',
    {
      changes: FROZEN,
      decisions: [
        decision({ ...inClub, began: 24.2, ended: 24.4, answer: 'no', basis: at(5, 3) }),
        decision({ ...inClub, began: 29, ended: 30, answer: 'yes', basis: at(6, 3) }),
      ],
    },
  ],
  ['two changes of which the second finds nothing to do', { changes: [...CHANGES, change([11, 21], 5, remove)] }],
]

const WRONG: readonly (readonly [rule: string, name: string, history: Partial<History>])[] = [
  [
    'answer',
    'a yes on a revision where it is no',
    { decisions: [decision({ began: 12, ended: 14, answer: 'yes', basis: at(5) })] },
  ],
  ['answer', 'a no on a revision where it is yes', { decisions: [decision({ began: 12, ended: 14, answer: 'no' })] }],
  [
    'answer',
    'a yes in the club after the forum lost bob',
    { decisions: [decision({ ...inClub, began: 12, ended: 14, answer: 'yes', basis: at(5, 3) })] },
  ],
  [
    'answer',
    'a list without somebody',
    { decisions: [decision({ began: 12, ended: 14, question: { asks: 'who', space: forum }, answer: '' })] },
  ],
  [
    'answer',
    'a list with an action too many',
    {
      decisions: [
        decision({
          ...{ began: 12, ended: 14, question: { asks: 'where', community: GARDENERS, did: BOB } },
          answer: lineOf(forum, ['read', 'write']),
        }),
      ],
    },
  ],
  [
    'answer',
    'a yes without a basis, after the removal was answered',
    { decisions: [decision({ began: 21, ended: 22, answer: 'yes', basis: [], isWhole: false })] },
  ],
  [
    'answer',
    'a space that is said to be gone and never was',
    { decisions: [decision({ began: 21, ended: 22, answer: 'gone', basis: [], isWhole: false })] },
  ],
  [
    'stale',
    'a yes that is right on its revision, but began after the removal was answered',
    { decisions: [decision({ began: 21, ended: 22, answer: 'yes' })] },
  ],
  [
    'stale',
    'a yes in the club on forum people of the past',
    { decisions: [decision({ ...inClub, began: 21, ended: 22, answer: 'yes', basis: at(4, 3) })] },
  ],
  ['stale yes', 'a PDS that is told yes after the removal was answered', { decisions: [hooked([21, 22], 'yes')] }],
  ['stale no', 'a PDS that is told no after bob was put into the forum', { decisions: [hooked([9, 10], 'no')] }],
  [
    'stale yes',
    'a PDS that is told yes before anybody put bob into the forum',
    { decisions: [hooked([2.2, 2.5], 'yes')] },
  ],
  ['stale yes', 'a PDS that is told that a reader writes', { decisions: [hooked([9, 10], 'yes', 'write')] }],
  ['stale yes', 'a yes while the forum rests', { changes: FROZEN, decisions: [hooked([24.2, 24.4], 'yes')] }],
  ['stale no', 'a no once it woke', { changes: FROZEN, decisions: [hooked([29, 30], 'no')] }],
  ['stale yes', 'a yes without consent', { changes: RELEASED, decisions: [hooked([24.2, 24.4], 'yes')] }],
  ['stale no', 'a no once the account consents again', { changes: RELEASED, decisions: [hooked([29, 30], 'no')] }],
  ['lost', 'a question that was never answered', { decisions: [hooked([12, 13], 'lost')] }],
  [
    'falling',
    'a yes after a no was told, with the removal unanswered still',
    {
      decisions: [
        decision({ began: 12, ended: 13, answer: 'no', basis: at(5) }),
        decision({ began: 14, ended: 15, answer: 'yes' }),
      ],
    },
  ],
  [
    'early',
    'a basis to which nobody had asked for a change yet',
    { decisions: [decision({ began: 9, ended: 10, answer: 'no', basis: at(5) })] },
  ],
  ['early', 'a basis that never was', { decisions: [decision({ began: 21, ended: 22, answer: 'no', basis: at(6) })] }],
  [
    'whole',
    'a no in the club that looked at the club alone',
    {
      decisions: [
        decision({ ...inClub, began: 12, ended: 14, answer: 'no', basis: [{ community: READERS, revision: 3 }] }),
      ],
    },
  ],
  [
    'atLeast',
    'a basis before the one that was asked for',
    { decisions: [decision({ began: 12, ended: 14, answer: 'yes', atLeast: at(5) })] },
  ],
  [
    'atLeast',
    'a process that has not got that far',
    { decisions: [decision({ began: 12, ended: 14, answer: 'behind', basis: [], isWhole: false, atLeast: at(4) })] },
  ],
  [
    'written',
    'a credential written after the removal was answered',
    { decisions: [minted({ ended: 23, wroteAt: 21 })], rows: [ROW] },
  ],
  [
    'late',
    'a row that comes to stand after the removal was answered',
    {
      ...{ decisions: [minted({ ended: 23, wroteAt: 13 })], rows: [ROW] },
      looks: [{ began: 21, ended: 22, underWay: new Set(['one']), found: new Set() }],
    },
  ],
  ['row', 'a credential without a row', { decisions: [minted({ wroteAt: 13 })] }],
  ['row', 'a row without a credential', { rows: [ROW] }],
  ['row', 'a row about somebody else', { decisions: [minted({ wroteAt: 13 })], rows: [{ ...ROW, did: ALICE }] }],
  ['row', 'a row of another revision', { decisions: [minted({ wroteAt: 13 })], rows: [{ ...ROW, revision: 3 }] }],
  ['replay', 'a change that is missing', { changes: CHANGES.filter(({ deed }) => deed !== put) }],
  [
    'replay',
    'two changes that are both said to have made one revision',
    {
      changes: [...CHANGES, change([11, 20], 5, { ...put, role: 'writer' })],
    },
  ],
  [
    'order',
    'a change that was answered a number of the past',
    { changes: [...CHANGES, change([21, 22], 4, { does: 'unban', scope: forum, did: BOB })] },
  ],
]

describe('a history', () => {
  it('may leave out a community whose spaces lead nowhere near the question', () => {
    const question = { asks: 'may', space: rosterOf(READERS).uri, did: BOB, action: 'read' } as const
    const told = decision({
      began: 12,
      ended: 14,
      question,
      answer: 'no',
      basis: [{ community: READERS, revision: 3 }],
    })
    expect(rulesBroken({ decisions: [told] })).toEqual([])
  })

  it.each(RIGHT)('may hold %s', (_name, history) => {
    expect(rulesBroken(history)).toEqual([])
  })

  it.each(WRONG)('is caught by the rule “%s”: %s', (rule, _name, history) => {
    expect(rulesBroken(history)).toContain(rule)
  })

  it('is counted: what met what, and what was answered', () => {
    const communities = [GARDENERS, READERS].map((community) => ({ did: community, founder: ALICE }))
    const decisions = [
      decision({ began: 12, ended: 14, answer: 'yes' }),
      decision({ began: 21, ended: 22, answer: 'no', basis: at(5) }),
      decision({ ...inClub, began: 9.5, ended: 12, answer: 'yes', basis: at(4, 3) }),
    ]
    const { counts, faults } = checkHistory({ communities, changes: CHANGES, decisions, looks: [], rows: [] })
    expect(faults).toEqual([])
    expect(counts).toMatchObject({ changes: 6, raised: 6, decisions: 3, yes: 2, no: 1, overlapping: 2, pairs: 3 })
  })

  it('may have a space end while its roster is read', () => {
    const gone = change([21, 23], 6, { does: 'delete', space: forum })
    const read = { began: 22, ended: 24, basis: at(6), question: { asks: 'who', space: forum } } as const
    const changes = [...CHANGES, gone]
    expect(rulesBroken({ changes, decisions: [decision({ ...read, answer: '' })] })).toEqual([])
    const owner = lineOf(ALICE, ['read'])
    expect(rulesBroken({ changes, decisions: [decision({ ...read, answer: owner })] })).toEqual(['answer'])
  })

  it('knows rosters by their name', () => {
    const question = { asks: 'may', space: rosterOf(GARDENERS).uri, did: ALICE, action: 'read' } as const
    expect(rulesBroken({ decisions: [decision({ began: 12, ended: 13, question, answer: 'yes' })] })).toEqual([])
  })
})
