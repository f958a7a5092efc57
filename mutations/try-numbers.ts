/**
 * Puts each changed number to the tests, in one process: the changes are all in the code at once, and each run of the tests is told which of
 * them is in force.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Plugin } from 'vite'
import type { Report } from './gate.ts'
import { mutantOf, numbersOf, withAllNumbers } from './numbers.ts'
import type { Room } from './rooms.ts'

/** What was found in a file, and from what: its own text, and those of the tests. */
interface Kept {
  readonly of: string
  readonly statuses: readonly string[]
}

const NAME = '__number__'
const NONE = -1

declare module 'vitest' {
  export interface ProvidedContext {
    changedNumber: number
  }
}

/** What the tests make of every number in some files; what was found before, and may be found again, is read from `cache`. */
export async function tryNumbers(
  { judges }: Room,
  files: readonly string[],
  cache: string,
  isAfresh: boolean,
): Promise<Report> {
  const kept: Record<string, Kept> = existsSync(cache) ? JSON.parse(readFileSync(cache, 'utf8')) : {}
  const tests = judges.map((path) => readFileSync(path, 'utf8'))
  const found: Record<string, Report['files'][string]> = {}
  for (const file of files) {
    const source = readFileSync(file, 'utf8')
    const of = createHash('sha256')
      .update([source, ...tests].join('\0'))
      .digest('hex')
    const known = isAfresh ? undefined : kept[file]
    const statuses = known?.of === of ? known.statuses : await judged(file, source)
    kept[file] = { of, statuses }
    writeFileSync(cache, JSON.stringify(kept))
    const mutants = numbersOf(file, source).map((one, nth) => mutantOf(source, one, statuses[nth] ?? 'Pending'))
    found[file] = { source, mutants }
  }
  return { files: found }
}

async function judged(file: string, source: string): Promise<readonly string[]> {
  const changes = numbersOf(file, source)
  if (changes.length === 0) return []
  const path = resolve(file)
  let isChanged = false
  const changing: Plugin = {
    name: 'changed-numbers',
    enforce: 'pre',
    transform(code, id) {
      if (id.split('?')[0] !== path) return
      isChanged = true
      return withAllNumbers(code, changes, NAME)
    },
  }
  const { createVitest } = await import('vitest/node')
  const vitest = await createVitest(
    {
      ...{ config: 'mutations/vitest.config.ts', watch: false, bail: 1, reporters: [{}], related: [path] },
      ...{ setupFiles: ['mutations/number-in-force.ts'], maxWorkers: 1 },
    },
    { plugins: [changing] },
  )
  try {
    const statuses: string[] = []
    const specifications = await vitest.getRelevantTestSpecifications()
    for (const nth of [NONE, ...changes.keys()]) {
      vitest.provide('changedNumber', nth)
      const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications)
      const isNoticed = unhandledErrors.length > 0 || testModules.some((module) => !module.ok())
      if (nth === NONE && isNoticed) throw new Error(`${file}: its tests fail before anything is changed`)
      if (nth === NONE && testModules.length === 0) throw new Error(`${file}: no test reaches it`)
      if (!isChanged) throw new Error(`${file}: the tests read it past what was changed`)
      if (nth !== NONE) statuses.push(isNoticed ? 'Killed' : 'Survived')
      process.stdout.write(nth === NONE ? `\n${file} ` : isNoticed ? '.' : 'S')
    }
    return statuses
  } finally {
    await vitest.close()
  }
}
