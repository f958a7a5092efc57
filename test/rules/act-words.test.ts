/** What the tool says before a step up is signed: for every method that takes one, and never more than is known. */
import { describe, expect, it } from 'vitest'
import { communityIn, followsOf, KNOWN_ACTS } from '../../src/cli/act-words.ts'
import type { Did } from '../../src/names.ts'
import { filesUnder, readText } from '../kit/source.ts'

const [caller, other] = ['did:web:a.example.com' as Did, 'did:web:other.example.com' as Did]
const textOf = (act: string, input: object) => followsOf(act, { ...input }, caller).join('\n')

describe('what follows is said', () => {
  it('of every method that takes a step up, and of no other', () => {
    const taking = filesUnder('lexicons')
      .map((path) => JSON.parse(readText(path)))
      .filter(({ defs }) => defs.main?.input?.schema?.properties?.stepUp !== undefined)
      .map(({ id }) => id)
    expect([...KNOWN_ACTS].toSorted()).toEqual(taking.toSorted())
  })

  it.each([...KNOWN_ACTS].filter((act) => act !== 'community.reeve.key.propose'))('of %s, whatever is sent', (act) => {
    for (const input of [{}, { to: 1, did: null, recipients: {}, recoveryKey: [], proposal: 'x\u202ey' }]) {
      expect(textOf(act, input)).not.toContain('does not know')
      expect(textOf(act, input).length).toBeGreaterThan(50)
    }
  })

  it.each([
    ['split', { keepers: [other], threshold: 2 }, `any 2 together can change the identity`],
    ['split', { keepers: [other], threshold: 2, strict: true }, 'STRICT: this service then has no key'],
    ['split', { keepers: [other], threshold: 2 }, 'Not strict: this service keeps a key below theirs'],
    ['drill', { sealTo: 'x' }, `has the whole key for a moment, at their machine:\n  ${caller}`],
    ['drill', { sealTo: 'x', combiner: other }, `at their machine:\n  ${other}`],
    ['drill', { combineHere: true }, 'The service has the whole key for a moment'],
    ['combine', { wish: 'dissolve' }, 'dissolve'],
    ['ownership', { owners: [other] }, other],
  ])('of a ceremony: %s', (kind, input, says) => {
    expect(textOf('community.reeve.key.propose', { kind, ...input })).toContain(says)
  })

  it('with who and what is named', () => {
    expect(textOf('community.reeve.key.export', {})).toContain(`  ${caller}`)
    expect(textOf('community.reeve.key.export', { recipients: [other, 'x y'] })).toContain(`  ${other}\n  "x y"`)
    expect(textOf('community.reeve.key.endKeeper', { did: other })).toContain(other)
    expect(textOf('community.reeve.proposal.approve', { proposal: '3kabc' })).toContain('3kabc')
    expect(textOf('community.reeve.member.transferOwnership', { to: other, roleAfter: 'none' })).toContain('no place')
    expect(textOf('community.reeve.member.transferOwnership', { cancel: true })).toContain('takes no step up')
  })

  it('not to be known of any other, also where its name is one of everything', () => {
    for (const act of ['com.example.give', 'community.reeve.key.list', 'constructor', '__proto__']) {
      expect(textOf(act, {})).toContain('does not know what follows')
    }
    expect(textOf('community.reeve.key.propose', { kind: 'melt' })).toContain('does not know what follows')
  })
})

describe('the community of a call', () => {
  it('is the one that it names, or that of its space, or none', () => {
    expect(communityIn({ community: other })).toBe(other)
    expect(communityIn({ space: `at://${other}/space/com.example.forum/main` })).toBe(other)
    for (const none of [{}, { community: 'x' }, { space: other }, { proposal: other }]) {
      expect(communityIn(none)).toBeNull()
    }
  })
})
