/** The names of prepared statements: one text for a name, a bounded number of them, and what becomes of one that fails. */
import { describe, expect, it } from 'vitest'
import { StatementNames } from '../../src/platform/statement-names.ts'

const failure = (code: string, routine = 'elsewhere') => Object.assign(new Error(code), { code, routine })
const OUTDATED = failure('0A000', 'RevalidateCachedQuery')

function namesOf(most: number) {
  const told: string[] = []
  return { names: new StatementNames(most, () => told.push('mixed up')), told }
}

describe('a statement', () => {
  it('has the same name each time, and no other statement has it', () => {
    const { names } = namesOf(10)
    const texts = ['select 1', 'select 2', 'select 1 ']
    const given = texts.map((text) => names.nameOf(text))
    expect(new Set(given).size).toBe(3)
    for (const name of given) expect(name).toMatch(/^reeve_\d+_[0-9a-f]{16}$/)
    expect(texts.map((text) => names.nameOf(text))).toEqual(given)
  })

  it('has in no process the name of another one there', () => {
    const [here, there] = [namesOf(10).names, namesOf(10).names]
    expect(here.nameOf('select 1')).toBe(there.nameOf('select 1'))
    expect(here.nameOf('select 2')).not.toBe(there.nameOf('select 3'))
  })

  it('beyond the bound has none, and those within keep theirs', () => {
    const { names } = namesOf(2)
    const kept = ['a', 'b'].map((text) => names.nameOf(text))
    expect(names.nameOf('c')).toBeUndefined()
    expect(['a', 'b'].map((text) => names.nameOf(text))).toEqual(kept)
  })
})

describe('a failure', () => {
  it('of a plan that is outdated gives the text another name, which counts', () => {
    const { names, told } = namesOf(2)
    const before = names.nameOf('a')
    expect(names.isToBlame('a', OUTDATED)).toBe(true)
    const after = names.nameOf('a')
    expect(after).not.toBe(before)
    expect(after).toBeDefined()
    expect(names.isToBlame('a', OUTDATED)).toBe(true)
    expect(names.nameOf('a')).toBeUndefined()
    expect(told).toEqual([])
  })

  it.each(['26000', '42P05'])('with %s ends all names, and is told once', (code) => {
    const { names, told } = namesOf(10)
    names.nameOf('a')
    expect(names.isToBlame('a', failure(code))).toBe(true)
    expect(names.isToBlame('b', failure(code))).toBe(true)
    expect([names.nameOf('a'), names.nameOf('b')]).toEqual([undefined, undefined])
    expect(told).toEqual(['mixed up'])
  })

  it.each([failure('0A000'), failure('23505'), failure('40001'), new Error('Connection terminated'), 'no error'])(
    'of another kind is not of the name (%#)',
    (error) => {
      const { names } = namesOf(10)
      const name = names.nameOf('a')
      expect(names.isToBlame('a', error)).toBe(false)
      expect(names.nameOf('a')).toBe(name)
    },
  )
})
