/** The shipped roles, printed as a table for people: a change of power shows as a changed line of `test/golden/roles.txt`. */
import { describe, expect, it, vi } from 'vitest'
import {
  ACTIONS,
  ASKED_IN,
  isManaging,
  OWNER,
  OWNER_MARK,
  parseAction,
  SHIPPED_DESCRIPTIONS,
  SHIPPED_ROLES,
  type SpaceKind,
} from '../../src/policy/roles.ts'
import { expectGolden } from '../kit/golden.ts'
import { readSources } from '../kit/source.ts'

const KINDS: Readonly<Record<SpaceKind, string>> = {
  roster: "In the community's roster",
  role: 'In a role space',
  content: 'In a space where records are kept',
}

/** One table per kind of space; in each one line per action that is asked for there, one column per role. */
function tablesOfRoles(): string {
  const roles = [...SHIPPED_ROLES.keys()]
  const lineOf = (cells: readonly string[]) =>
    cells
      .map((cell, at) => cell.padEnd(at === 0 ? 24 : 11))
      .join('')
      .trimEnd()
  const tableOf = (kind: SpaceKind): string => {
    const isAsked = (action: (typeof ACTIONS)[number]) => ASKED_IN[action].includes(kind)
    const lines = ACTIONS.filter(isAsked).map((action) =>
      lineOf([
        `${isManaging(action) ? '* ' : '  '}${action}`,
        ...roles.map((role) => (SHIPPED_ROLES.get(role)?.has(action) ? 'may' : '·')),
      ]),
    )
    const others = ACTIONS.filter((action) => !isAsked(action))
    return `${[KINDS[kind], '', lineOf(['', ...roles]), ...lines].join('\n')}\n\nOpen nothing there: ${others.join(', ')}.\n`
  }
  const head = [
    'What each shipped role allows, in the space in which it is held.',
    'An action with a star is power over others: whoever gives it must hold it.',
  ].join('\n')
  return [head, ...(Object.keys(KINDS) as SpaceKind[]).map(tableOf)].join('\n\n')
}

/** Action → how the code names the spaces in which it asks for it, wherever an act is judged by one action alone. */
function placesAsked(): Map<string, Set<string>> {
  const asked = /decideAct\(\s*[\w.]+,\s*[\w.]+,\s*(?:'([\w.]+)'|OWNER_MARK),\s*([\w.]+(?:\(\w+\))?)/g
  const found = new Map<string, Set<string>>()
  for (const { text } of readSources('src')) {
    for (const [, action = OWNER_MARK, place = ''] of text.matchAll(asked)) {
      found.set(action, (found.get(action) ?? new Set()).add(/^roster/.test(place) ? 'roster' : place))
    }
  }
  return found
}

describe('the shipped roles', () => {
  it('allow what the tables for people say', () => {
    expectGolden('roles.txt', tablesOfRoles())
  })

  it('have their actions asked for where the tables say', () => {
    const places = placesAsked()
    expect(places.size).toBeGreaterThan(5)
    for (const [name, of] of places) {
      const kinds = parseAction(name) ? ASKED_IN[name as keyof typeof ASKED_IN] : []
      const isOfCommunity = of.size === 1 && of.has('roster')
      expect(kinds, `${name} in ${[...of].join(' and ')}`).toEqual(isOfCommunity ? ['roster'] : Object.keys(KINDS))
    }
  })

  it('tell an owner from everybody else by one action that no other role has', () => {
    const holders = [...SHIPPED_ROLES].filter(([, actions]) => actions.has(OWNER_MARK)).map(([name]) => name)
    expect(holders).toEqual([OWNER])
  })

  it('give an owner every action there is', () => {
    expect([...(SHIPPED_ROLES.get(OWNER) ?? [])].sort()).toEqual([...ACTIONS].sort())
  })

  it('say in a sentence what each is for', () => {
    expect([...SHIPPED_DESCRIPTIONS.keys()]).toEqual([...SHIPPED_ROLES.keys()])
    for (const [, description] of SHIPPED_DESCRIPTIONS) expect(description).toMatch(/^[A-Z].*\.$/)
    expect(SHIPPED_DESCRIPTIONS.get('reader')).toBe('Reads.')
  })

  it('stop the start by a word that is no action, so that a typo weakens none unseen', async () => {
    vi.resetModules()
    vi.doMock('../../policies/roles.json', () => ({
      default: { helper: { description: 'Helps.', actions: ['read', 'members.bann'] } },
    }))
    const loading = import('../../src/policy/roles.ts')
    await expect(loading).rejects.toThrow('policies/roles.json: helper: members.bann')
    vi.doUnmock('../../policies/roles.json')
    vi.resetModules()
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
