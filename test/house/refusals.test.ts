/** Every refusal has a line that says what it means: in the lexicon of its method, or on the page of those that any method may give. */
import { describe, expect, it } from 'vitest'
import { STATUS_OF_REFUSAL, STATUS_OF_UNAVAILABLE } from '../../src/doors/refusal-to-http.ts'
import { filesUnder, readText } from '../kit/source.ts'

const PAGE = readText('docs/refusals.md')
const STATUS: Readonly<Record<string, number>> = {
  ...STATUS_OF_REFUSAL,
  ...STATUS_OF_UNAVAILABLE,
  InternalServerError: 500,
}

/** The rows of the page: name, status, and what is said. */
const rowsOn = (page: string): readonly { name: string; status: number; says: string }[] =>
  [...page.matchAll(/^\| `(\w+)` \| (\d+) \| (.*?) \|/gm)].map(([, name = '', status, says = '']) => ({
    name,
    status: Number(status),
    says,
  }))

/** The names that the lexicons give, each with what is said of it there. */
const inLexicons: readonly { name: string; description?: string; path: string }[] = filesUnder('lexicons').flatMap(
  (path) => (JSON.parse(readText(path)).defs.main?.errors ?? []).map((error: object) => ({ ...error, path })),
)

/** Names that nobody explains, and rows that are wrong. */
function faultsOf(page: string, explained: readonly string[]): readonly string[] {
  const rows = rowsOn(page)
  const names = rows.map(({ name }) => name)
  return [
    ...Object.keys(STATUS)
      .filter((name) => !explained.includes(name) && !names.includes(name))
      .map((name) => `${name} has no line`),
    ...rows.filter(({ name }) => !(name in STATUS)).map(({ name }) => `${name} is no refusal`),
    ...rows
      .filter(({ name, status }) => name in STATUS && STATUS[name] !== status)
      .map(({ name }) => `${name} has ${STATUS[name]}`),
    ...rows.filter(({ says }) => says.length < 10).map(({ name }) => `${name} says nothing`),
    ...names.filter((name, at) => names.indexOf(name) !== at).map((name) => `${name} stands there twice`),
  ]
}

const named = inLexicons.map(({ name }) => name)

describe('every refusal', () => {
  it('has a line in a lexicon or on the page, with its status', () => {
    expect(Object.keys(STATUS).length).toBeGreaterThan(60)
    expect(faultsOf(PAGE, named)).toEqual([])
  })

  it('is explained wherever a lexicon names it', () => {
    expect(named.length).toBeGreaterThan(300)
    const silent = inLexicons.filter(({ description = '' }) => description.length < 10)
    expect(silent.map(({ name, path }) => `${name} in ${path}`)).toEqual([])
  })

  it('that is missing, wrong, empty, or there twice is seen', () => {
    const without = PAGE.replace(/^\| `JwtReplayed`.*\n/m, '')
    expect(faultsOf(without, named)).toEqual(['JwtReplayed has no line'])
    const wrong = PAGE.replace('| `JwtExpired` | 401 |', '| `JwtExpired` | 400 |')
    expect(faultsOf(wrong, named)).toEqual(['JwtExpired has 401'])
    expect(faultsOf(`${PAGE}\n| \`Gone\` | 410 | it is not here any more | no |`, named)).toEqual([
      'Gone is no refusal',
    ])
    expect(faultsOf(`${PAGE}\n| \`BadJwt\` | 401 | bad | no |`, named)).toEqual([
      'BadJwt says nothing',
      'BadJwt stands there twice',
    ])
  })
})
