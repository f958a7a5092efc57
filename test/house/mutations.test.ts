/** What is mutated, and what is explained of it, is there: a file that was renamed must not be forgotten in silence. */
import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { EXPLAINED } from '../../mutations/explained.ts'
import { squeezed } from '../../mutations/gate.ts'
import { ROOMS } from '../../mutations/rooms.ts'
import { filesUnder, ROOT, readText } from '../kit/source.ts'

const rooms = Object.values(ROOMS)
const mutated: readonly string[] = rooms.flatMap(({ files }) => files)

describe('what is mutated', () => {
  it('is there, and so are the tests that judge it', () => {
    const named = [...mutated, ...rooms.flatMap(({ judges }) => judges)]
    expect(named.filter((path) => !existsSync(ROOT + path))).toEqual([])
  })

  it('is mutated in one room', () => {
    expect(mutated.filter((file, at) => mutated.indexOf(file) !== at)).toEqual([])
  })

  it('is every verdict that there is', () => {
    expect(filesUnder('src/policy').filter((path) => !mutated.includes(path))).toEqual([])
  })
})

describe('what is explained', () => {
  it('stands in a file that is mutated, as the file still says it', () => {
    const gone = EXPLAINED.flatMap(({ file, mutants }) => {
      if (!mutated.includes(file)) return [file]
      const lines = new Set(readText(file).split('\n').map(squeezed))
      return mutants.filter(([on]) => !lines.has(on)).map(([on]) => `${file}: ${on}`)
    })
    expect(gone).toEqual([])
  })

  it('has a sentence for it', () => {
    expect(EXPLAINED.filter(({ why }) => !/^[A-Z].*\.$/s.test(why)).map(({ file }) => file)).toEqual([])
    expect(EXPLAINED.filter(({ mutants }) => mutants.length === 0).map(({ file }) => file)).toEqual([])
  })
})
