/** What a receiver can tell from what it was told, and that nothing of it goes unnoticed. */
import { describe, expect, it } from 'vitest'
import { tidOf } from '../../src/platform/tid.ts'
import { historyOf, WITHOUT_FAULT } from '../kit/told-history.ts'

const SPACE = 'at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/space/com.atmoboards.forum/main'
const METHOD = 'com.atproto.space.notifyWrite'

/** A message about `repo` at `rev`, after `prev`; 0: nothing before. */
const told = (repo: string, rev: number, prev: number, more: object = {}) => ({
  method: METHOD,
  body: {
    ...{ space: SPACE, repo, repoRev: tidOf(rev), spaceRev: tidOf(rev) },
    ...(prev === 0 ? {} : { prevSpaceRev: tidOf(prev) }),
    ...more,
  },
})
const faultsOf = (messages: readonly ReturnType<typeof told>[]) => {
  const { newest: _, ...faults } = historyOf(messages, SPACE)
  return faults
}

describe('a history', () => {
  it('without fault is one in which each says what came before it', () => {
    const messages = [told('a', 1, 0), told('b', 2, 1), told('a', 5, 2)]
    expect(faultsOf(messages)).toEqual(WITHOUT_FAULT)
    expect(historyOf(messages, SPACE).newest).toEqual(
      new Map([
        ['a', { repoRev: tidOf(5), spaceRev: tidOf(5) }],
        ['b', { repoRev: tidOf(2), spaceRev: tidOf(2) }],
      ]),
    )
  })

  it('has a gap where something came before that was never told', () => {
    expect(faultsOf([told('a', 1, 0), told('b', 3, 2)])).toEqual({ ...WITHOUT_FAULT, gaps: 1 })
    expect(faultsOf([told('b', 3, 2)])).toEqual({ ...WITHOUT_FAULT, gaps: 1 })
  })

  it('has a repeat where the sender begins before what was heard', () => {
    expect(faultsOf([told('a', 1, 0), told('b', 2, 1), told('c', 3, 1)])).toEqual({ ...WITHOUT_FAULT, repeats: 1 })
  })

  it('has doubles, which change nothing', () => {
    expect(faultsOf([told('a', 1, 0), told('b', 2, 1), told('a', 1, 0), told('c', 3, 2)])).toEqual({
      ...WITHOUT_FAULT,
      doubles: 1,
    })
  })

  it('has a fall where a repo is told of as older than it was', () => {
    expect(faultsOf([told('a', 2, 0), told('a', 1, 0)])).toMatchObject({ falls: 1 })
    const older = told('a', 3, 2, { repoRev: tidOf(1) })
    expect(faultsOf([told('a', 2, 0), older])).toEqual({ ...WITHOUT_FAULT, falls: 1 })
  })

  it('is of one space and one method', () => {
    const others = [told('b', 9, 8, { space: `${SPACE}2` }), { ...told('c', 9, 8), method: 'com.atproto.space.other' }]
    expect(faultsOf([told('a', 1, 0), ...others])).toEqual(WITHOUT_FAULT)
  })
})
