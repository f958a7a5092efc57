/** The shipped roles, printed as a table for people: a change of power shows as a changed line of `test/golden/roles.txt`. */
import { describe, expect, it } from 'vitest'
import { ACTIONS, isManaging, OWNER, OWNER_MARK, parseAction, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import { expectGolden } from '../kit/golden.ts'

/** One line per action, one column per role. */
function tableOfRoles(): string {
  const roles = [...SHIPPED_ROLES.keys()]
  const lineOf = (cells: readonly string[]) =>
    cells
      .map((cell, at) => cell.padEnd(at === 0 ? 24 : 11))
      .join('')
      .trimEnd()
  const lines = ACTIONS.map((action) =>
    lineOf([
      `${isManaging(action) ? '* ' : '  '}${action}`,
      ...roles.map((role) => (SHIPPED_ROLES.get(role)?.has(action) ? 'may' : '·')),
    ]),
  )
  const head =
    'What each shipped role allows. An action with a star is power over others: whoever gives it must hold it.'
  return `${head}\n\n${lineOf(['', ...roles])}\n${lines.join('\n')}\n`
}

describe('the shipped roles', () => {
  it('allow what the table for people says', () => {
    expectGolden('roles.txt', tableOfRoles())
  })

  it('tell an owner from everybody else by one action that no other role has', () => {
    const holders = [...SHIPPED_ROLES].filter(([, actions]) => actions.has(OWNER_MARK)).map(([name]) => name)
    expect(holders).toEqual([OWNER])
  })

  it('give an owner every action there is', () => {
    expect([...(SHIPPED_ROLES.get(OWNER) ?? [])].sort()).toEqual([...ACTIONS].sort())
  })

  it('hold nothing that a role further up lacks, down to the member', () => {
    for (const [more, less] of [
      ['owner', 'admin'],
      ['admin', 'moderator'],
      ['moderator', 'member'],
      ['member', 'writer'],
      ['writer', 'reader'],
    ] as const) {
      const [above, below] = [SHIPPED_ROLES.get(more), SHIPPED_ROLES.get(less)]
      expect([...(below ?? [])].filter((action) => !above?.has(action))).toEqual([])
      expect(below?.size).toBeGreaterThan(0)
    }
  })

  it('let only owners and admins give power to others', () => {
    const givers = [...SHIPPED_ROLES].filter(([, actions]) => actions.has('role.assign')).map(([name]) => name)
    expect(givers).toEqual(['owner', 'admin'])
  })

  it('have no role of the names that every object answers to', () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'Owner', 'owner ', '']) {
      expect(SHIPPED_ROLES.has(name)).toBe(false)
    }
  })
})

describe('the name of an action', () => {
  it('is one of the list, to the letter', () => {
    for (const action of ACTIONS) expect(parseAction(action)).toBe(action)
    for (const text of ['', 'Read', 'read ', 'reаd', '__proto__', 'constructor', 'length', '0', 'members', 'all']) {
      expect(parseAction(text)).toBeNull()
    }
  })

  it('says that all but reading, writing and seeing the roster is power', () => {
    expect(ACTIONS.filter((action) => !isManaging(action))).toEqual(['read', 'write', 'members.read'])
  })
})
