/**
 * Limits, which the mutation testing tool leaves as they are: each number of the code, one more and one less.
 *
 * 0 and 1 are left out where they only say where to begin or how far to go on, since the operators around them are changed by the tool itself; as
 * what a schema allows they count.
 */
import { stripTypeScriptTypes } from 'node:module'
import { sourceOf } from '../test/kit/source.ts'
import type { Mutant } from './gate.ts'

/** One number in a file, and another in its place. */
export interface NumberChange {
  readonly at: number
  readonly from: string
  readonly to: string
}

const NUMBER = /(?<![\w$.])(?:0x[0-9a-f]+|\d[\d_]*)n?(?![\w.])/gi
const BOUND = /\.(?:min|max|length|gt|lt|gte|lte)\($/

/** What is to be tried in a file. A number in a type is none: it is gone before anything runs. */
export function numbersOf(path: string, source: string): readonly NumberChange[] {
  const code = sourceOf(path, stripTypeScriptTypes(source)).code
  return [...code.matchAll(NUMBER)].flatMap(({ 0: from, index: at }) => {
    const isBig = from.endsWith('n')
    const value = BigInt(from.replace('n', '').replaceAll('_', ''))
    if (value < 2n && !BOUND.test(code.slice(0, at))) return []
    const others = value === 0n ? [1n] : [value + 1n, value - 1n]
    return others.map((other) => ({ at, from, to: `${other}${isBig ? 'n' : ''}` }))
  })
}

/**
 * The file with all changes in it, of which none is in force but the one whose place in the list is `globalThis[name]`. What stands at a number is
 * an expression afterwards, in parentheses, on the line where the number was.
 */
export function withAllNumbers(source: string, changes: readonly NumberChange[], name: string): string {
  const places = new Map<number, number[]>()
  for (const [nth, { at }] of changes.entries()) places.set(at, [...(places.get(at) ?? []), nth])
  let changed = ''
  let end = 0
  for (const [at, nths] of places) {
    const from = changes[nths[0] ?? 0]?.from ?? ''
    const tried = nths.map((nth) => `globalThis.${name} === ${nth} ? ${changes[nth]?.to} : `).join('')
    changed += `${source.slice(end, at)}(${tried}${from})`
    end = at + from.length
  }
  return changed + source.slice(end)
}

/** A change as the report of the tool would say it. */
export function mutantOf(source: string, { at, from, to }: NumberChange, status: string): Mutant {
  const before = source.slice(0, at).split('\n')
  const [line, column] = [before.length, (before.at(-1)?.length ?? 0) + 1]
  const end = { line, column: column + from.length }
  return { mutatorName: 'NumberLiteral', replacement: to, status, location: { start: { line, column }, end } }
}
