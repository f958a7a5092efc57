/**
 * Good things, spoilt with care: edits of bytes, texts, JSON values, JSON spellings and JWTs that keep most of what made the
 * thing good, so that a parser is led deep into itself before something is wrong.
 *
 * Every edit is decided by dice, numbers that fast-check draws from a fixed seed: a failing case can be played again, and
 * shrinks. Nothing here changes what it was given.
 */
import fc from 'fast-check'
import { expect } from 'vitest'
import { Refusal } from '../../src/refusals.ts'
import { base64Url } from './tokens.ts'

/** The seed of every fuzz. Tests carry it in their titles. */
export const SEED = 20_261_120
/** How much longer than usual to look: `FUZZ_RUNS=50` for a night. */
const LONGER = Number(process.env['FUZZ_RUNS'] ?? 1)
const ROLLS = 24

/** Numbers drawn one after the other; 0 once they are used up, so that a short row of dice makes small edits. */
export class Dice {
  readonly #rolls: readonly number[]
  #at = 0

  constructor(rolls: readonly number[]) {
    this.#rolls = rolls
  }

  /** A number from 0 to below `count`. */
  below(count: number): number {
    return count < 1 ? 0 : (this.#rolls[this.#at++] ?? 0) % count
  }

  pick<T>(list: readonly T[]): T {
    const one = list[this.below(list.length)]
    if (one === undefined && list.length === 0) throw new Error('nothing to pick from')
    return one as T
  }

  /** Whether a chance of one in `count` came up. */
  oneIn(count: number): boolean {
    return this.below(count) === count - 1
  }
}

/** Runs the parser under test and takes its time. What a judge does beside it (another library, an oracle) isn't counted. */
export type Ours = <T>(ask: () => T) => T

/**
 * Plays `play` with `runs` rows of dice (times `FUZZ_RUNS`). `judge` gets what the row made; the slowest run of our parser is
 * printed, by size and never by content. Returns what the judge said, each word with how often it was said.
 */
export async function fuzz<T>(
  name: string,
  runs: number,
  play: (dice: Dice) => T,
  judge: (thing: T, ours: Ours) => string | Promise<string>,
): Promise<Map<string, number>> {
  const words = new Map<string, number>()
  let slowest = { ms: 0, chars: 0 }
  const rolls = fc.array(fc.nat(0x7fffffff), { minLength: ROLLS, maxLength: ROLLS, size: 'max' })
  await fc.assert(
    fc.asyncProperty(rolls, async (row) => {
      const thing = play(new Dice(row))
      const word = await judge(thing, (ask) => {
        const ms = timeOf(ask)
        // Once more when it looks slow, for the machine has other things to do as well.
        if (ms > slowest.ms) {
          const again = Math.min(ms, timeOf(ask), timeOf(ask))
          if (again > slowest.ms) slowest = { ms: again, chars: sizeOf(thing) }
        }
        return ask()
      })
      words.set(word, (words.get(word) ?? 0) + 1)
    }),
    { seed: SEED, numRuns: Math.max(1, Math.round(runs * LONGER)) },
  )
  process.stdout.write(`fuzz: ${name}: slowest reading ${slowest.ms.toFixed(2)} ms, of ${slowest.chars} characters\n`)
  return words
}

function timeOf(ask: () => unknown): number {
  const startedMs = performance.now()
  try {
    ask()
  } catch {
    // What comes of it is judged elsewhere.
  }
  return performance.now() - startedMs
}

const sizeOf = (thing: unknown): number =>
  typeof thing === 'string' ? thing.length : (JSON.stringify(thing) ?? '').length

/** What `ask` answers, or the code of its refusal, which must be one of `codes` and must not repeat what was sent. Any other error goes on. */
export function answerOrRefusal<T>(
  ask: () => T,
  codes: RegExp,
): { readonly answer: T; readonly refusal: null } | { readonly answer: null; readonly refusal: Refusal } {
  try {
    return { answer: ask(), refusal: null }
  } catch (error) {
    return { answer: null, refusal: requireRefusal(error, codes) }
  }
}

/** The refusal that an error is. Anything else is a fault of the parser, and is thrown on. */
export function requireRefusal(error: unknown, codes: RegExp): Refusal {
  if (!(error instanceof Refusal)) throw error
  expect(error.code).toMatch(codes)
  expect(error.says.length).toBeLessThan(200)
  expect(error.says).not.toContain(CANARY)
  return error
}

/** Stands in what is sent, and must not come back in a refusal's text. It is no name: made-up names of fields are repeated to their maker. */
export const CANARY = 'canary!'

/** Pieces of text that have meant something to some parser. */
const ODD_TEXT = [
  '',
  ' ',
  '\t',
  '\n',
  '\r\n',
  '\0',
  '\u0085',
  '\u00a0',
  '\u202e',
  '\u2028',
  '\ufeff',
  '\ud800',
  '\udc00',
  'é',
  '😀',
  'K',
  '%',
  '%00',
  '%2F',
  '%2e',
  '%ff',
  '%3A',
  '+',
  '-',
  '_',
  '/',
  '\\',
  '#',
  '?',
  '&',
  '=',
  '==',
  ';',
  ',',
  ':',
  '.',
  '..',
  '@',
  '~',
  '"',
  "'",
  '`',
  '(',
  ')',
  '[',
  ']',
  '{',
  '}',
  '<',
  '*',
  '|',
  '0',
  '00',
  '-0',
  '1e999',
  'null',
  'true',
  'NaN',
  '__proto__',
  'constructor',
  'A',
  'a',
  'z',
  'xn--',
  'localhost',
  '127.0.0.1',
  '[::1]',
  '%3A8080',
  'did:',
  'did:web:',
  'did:plc:',
  'at://',
  'a'.repeat(300),
]

/** One edit of a text: a piece put in, cut out, replaced, doubled, moved, cut off, or in the other case. */
function editText(dice: Dice, text: string, scraps: readonly string[]): string {
  const at = dice.below(text.length + 1)
  const end = Math.min(text.length, at + 1 + (dice.oneIn(3) ? dice.below(40) : 0))
  const [before, piece, after] = [text.slice(0, at), text.slice(at, end), text.slice(end)]
  const scrap = dice.pick(dice.oneIn(2) && scraps.length > 0 ? scraps : ODD_TEXT)
  switch (dice.below(9)) {
    case 0:
      return before + after
    case 1:
      return before + scrap + piece + after
    case 2:
      return before + scrap + after
    case 3:
      return before + piece + piece + after
    case 4:
      return before + otherCase(piece) + after
    case 5:
      return before + String.fromCharCode((piece.charCodeAt(0) || 0) ^ (1 << dice.below(8))) + piece.slice(1) + after
    case 6:
      return dice.oneIn(2) ? before : after
    case 7:
      return dice.oneIn(2) ? text + scrap : scrap + text
    default:
      return before + after.slice(0, 1) + piece + after.slice(1)
  }
}

const otherCase = (text: string): string => (text === text.toLowerCase() ? text.toUpperCase() : text.toLowerCase())

/** A text with one to three edits; `scraps` are pieces that mean something where it is read. */
export function mutateText(dice: Dice, text: string, scraps: readonly string[] = []): string {
  let edited = text
  for (let left = 1 + dice.below(3); left > 0; left--) edited = editText(dice, edited, scraps)
  return edited
}

/** Bytes with one to three edits: a bit turned, a byte of a telling value, bytes put in, cut out, doubled, swapped, cut off. */
export function mutateBytes(dice: Dice, bytes: Uint8Array): Uint8Array {
  let edited = [...bytes]
  for (let left = 1 + dice.below(3); left > 0; left--) {
    const at = dice.below(edited.length)
    const length = 1 + dice.below(8)
    const byte = dice.pick([0, 1, 2, 3, 4, 0x30, 0x7f, 0x80, 0xff, dice.below(256)])
    const change = [
      () => edited.splice(at, 1, (edited[at] ?? 0) ^ (1 << dice.below(8))),
      () => edited.splice(at, 1, byte),
      () => edited.splice(at, 0, byte),
      () => edited.splice(at, length),
      () => edited.splice(at, 0, ...edited.slice(at, at + length)),
      () => edited.push(...edited.splice(at, length)),
      () => edited.splice(at),
      () => {
        edited = [...edited.slice(0, at), ...edited.slice(at, at + 32).fill(byte), ...edited.slice(at + 32)]
      },
    ]
    dice.pick(change)()
  }
  return Uint8Array.from(edited)
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

const ODD_VALUES: readonly Json[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1,
  1.5,
  1e308,
  2 ** 53,
  -(2 ** 53),
  1e21,
  5e-324,
  '',
  '0',
  ' ',
  'null',
  [],
  {},
  [[]],
  [null],
  [''],
  { toString: 1 },
  { constructor: { prototype: {} } },
  { length: 1 },
  { toJSON: 'x' },
  'a'.repeat(600),
  '\ud800',
  '\u202e',
]
const ODD_NAMES = [
  '',
  'x',
  'toJSON',
  'constructor',
  'prototype',
  'hasOwnProperty',
  'length',
  'then',
  '$type',
  'id',
  '0',
  'ID',
  '\u0000',
  'é',
]

/** Puts a member in as JSON does: as the object's own, also under the name `__proto__`. */
const put = (object: object, name: string, value: unknown): void =>
  void Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true })

const copyOf = <T>(value: T): T => structuredClone(value)

/** Every object and list in a value, itself first. */
function nodesOf(value: unknown): object[] {
  if (typeof value !== 'object' || value === null) return []
  return [value, ...Object.values(value).flatMap(nodesOf)]
}

/** A JSON value with one to three edits of its members. `names` and `values` are such as mean something where it is read. */
export function mutateJson(
  dice: Dice,
  value: unknown,
  { names = [], values = [] }: { names?: readonly string[]; values?: readonly unknown[] } = {},
): unknown {
  const holder = { root: copyOf(value) }
  for (let left = 1 + dice.below(3); left > 0; left--) {
    const nodes = nodesOf(holder.root)
    if (nodes.length === 0 || dice.oneIn(60)) holder.root = copyOf(dice.pick(ODD_VALUES))
    else editNode(dice, dice.pick(nodes), { root: holder.root, names, values })
  }
  return holder.root
}

function editNode(
  dice: Dice,
  node: object,
  { root, names, values }: { root: unknown; names: readonly string[]; values: readonly unknown[] },
): void {
  const keys = Object.keys(node)
  const key = keys.length > 0 ? dice.pick(keys) : '0'
  const old: unknown = Reflect.get(node, key)
  const name = dice.pick([...names, ...ODD_NAMES, '__proto__', key.toUpperCase(), `${key} `, `${key}s`])
  const fresh = (): unknown =>
    copyOf(
      dice.oneIn(3) ? dice.pick(nodesOf(root)) : dice.pick(dice.oneIn(2) && values.length > 0 ? values : ODD_VALUES),
    )
  const change: (() => unknown)[] = [
    () => put(node, key, fresh()),
    () => put(node, key, neighbourOf(dice, old)),
    () => put(node, key, neighbourOf(dice, old)),
    () => (Array.isArray(node) ? node.splice(Number(key), 1) : Reflect.deleteProperty(node, key)),
    () => (Array.isArray(node) ? node.splice(Number(key), 0, copyOf(old)) : put(node, name, copyOf(old))),
    () => (Array.isArray(node) ? node.reverse() : put(node, name, fresh())),
    () => put(node, key, dice.oneIn(2) ? [old] : { [key]: old }),
    () => {
      const other = dice.pick(keys.length > 0 ? keys : ['0'])
      const [one, two]: unknown[] = [copyOf(old), copyOf(Reflect.get(node, other))]
      put(node, key, two)
      put(node, other, one)
    },
  ]
  dice.pick(change)()
}

/** Something close to a value: text edited, a number moved a little or far, a number for a text and the reverse. */
function neighbourOf(dice: Dice, value: unknown): unknown {
  if (typeof value === 'string') return dice.oneIn(8) ? Number(value) || 0 : mutateText(dice, value)
  if (typeof value !== 'number') return typeof value === 'boolean' ? !value : value
  return dice.pick([
    value + 1,
    value - 1,
    value + 30,
    value - 66,
    value + 301,
    value + 0.5,
    -value,
    value * 1000,
    String(value),
  ])
}

/** JSON text of a value in another spelling: some mean the same, some mean two things, some are no JSON. */
export function respellJson(dice: Dice, text: string): string {
  const marks = [...text.matchAll(/[{}[\],:]/g)].map(({ index }) => index)
  const at = marks.length > 0 ? dice.pick(marks) : 0
  const insert = (place: number, piece: string) => text.slice(0, place) + piece + text.slice(place)
  const [member] = /"[^"\\]*":("[^"\\]*"|\d+)/.exec(text.slice(at)) ?? []
  const respelled: (() => string)[] = [
    () => insert(at, dice.pick([' ', '\n', '\t', '\r', '\u00a0', '\ufeff', '\v', '/**/', ','])),
    () => insert(at + 1, dice.pick([' ', '\n', '\t', '\r', '\u00a0', '\ufeff', '\v', '/**/', ','])),
    // A member twice: the same again, or first another value.
    () => (member ? text.replace(member, () => `${member},${member}`) : `${text}${text}`),
    () =>
      member
        ? text.replace(
            member,
            () => `${member.slice(0, member.indexOf(':'))}:${dice.pick(['0', '""', 'null'])},${member}`,
          )
        : '',
    () => text.replace(/"([a-zA-Z])/, (_, char: string) => `"\\u00${char.charCodeAt(0).toString(16)}`),
    () =>
      text.replace(
        /"([a-zA-Z])([^"\\]*)":/,
        (whole, char: string, more: string) => `${whole}0,"\\u00${char.charCodeAt(0).toString(16)}${more}":`,
      ),
    () =>
      text.replace(
        /\d+/,
        (digits) => digits + dice.pick(['.0', '.5', 'e0', 'e999', 'E+0', '.', 'n', '_0', '00000000000000000000']),
      ),
    () => text.replace(/\d+/, (digits) => dice.pick(['0', '+', '-', '.', '0x']) + digits),
    () => text.replace(/"/, "'"),
    () => text + dice.pick([' ', '\n', '\0', '{}', '}', ',', '\ufeff', '//']),
    () => dice.pick([' ', '\n', '\ufeff', '\0', '[', ")]}'\n"]) + text,
    () =>
      text.replace(
        /"([^"\\]*)"/,
        (whole) =>
          `${whole.slice(0, -1)}${dice.pick(['\\ud800', '\\/', '\\u0000', '\\x41', '\n', '\\', '\\ud83d\\ude00'])}"`,
      ),
    () =>
      text.replace(/"[^"\\]*":/, (whole) =>
        dice.pick([`"__proto__":0,${whole}`, `"\\u005f_proto__":{},${whole}`, `"":0,"":1,${whole}`]),
      ),
    () => `${'{"a":'.repeat(at % 12)}${text}${'}'.repeat(at % 12)}`,
    () => text.slice(0, at),
  ]
  return dice.pick(respelled)()
}

/** base64url in another spelling of the same bytes, or of none. */
export function respellBase64Url(dice: Dice, text: string): string {
  const at = dice.below(text.length)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(text.slice(-1))
  const next = alphabet.charAt((last + 1) % 64)
  const respelled: (() => string)[] = [
    () => `${text}=`,
    () => `${text}==`,
    () => text.replaceAll('-', '+').replaceAll('_', '/'),
    () => `${text.slice(0, at)}\n${text.slice(at)}`,
    () => `${text} `,
    () => `${text.slice(0, -1)}${next}`,
    () => `${text}A`,
    () => text.slice(0, -1),
    () => `${text.slice(0, at)}%3D${text.slice(at)}`,
  ]
  return dice.pick(respelled)()
}

export interface JwsParts {
  readonly header: Readonly<Record<string, unknown>>
  readonly payload: Readonly<Record<string, unknown>>
}

/**
 * A compact JWS spoilt at one level: its text, the base64url of a part, the bytes under it, the JSON text, the claims, or its
 * parts in another order. `sign` signs; half of the time what was spoilt is signed after that and so carries a good signature.
 */
export function mutateJws(
  dice: Dice,
  parts: JwsParts,
  sign: (signingInput: string) => Uint8Array,
  pool: { readonly names: readonly string[]; readonly values: readonly unknown[] },
): string {
  const texts = { header: JSON.stringify(parts.header), payload: JSON.stringify(parts.payload) }
  const coded = { header: base64Url(texts.header), payload: base64Url(texts.payload) }
  const joined = ({ header, payload }: typeof coded, signedOver = { header, payload }) =>
    `${header}.${payload}.${base64Url(sign(`${signedOver.header}.${signedOver.payload}`))}`
  const which = dice.pick(['payload', 'header'] as const)
  const withPart = (part: string): string => {
    const spoilt = { ...coded, [which]: part }
    return dice.oneIn(3) ? joined(spoilt, coded) : joined(spoilt)
  }
  const good = joined(coded)
  const [goodHeader = '', goodPayload = '', goodSignature = ''] = good.split('.')
  const claims = (): string => withPart(base64Url(JSON.stringify(mutateJson(dice, parts[which], pool)) ?? ''))
  const levels: (() => string)[] = [
    claims,
    claims,
    claims,
    () => withPart(base64Url(respellJson(dice, texts[which]))),
    () => withPart(base64Url(mutateBytes(dice, Buffer.from(texts[which])))),
    () => withPart(respellBase64Url(dice, coded[which])),
    () => mutateText(dice, good),
    () => `${goodHeader}.${goodPayload}.${respellBase64Url(dice, goodSignature)}`,
    () => `${goodHeader}.${goodPayload}.${base64Url(mutateBytes(dice, Buffer.from(goodSignature, 'base64url')))}`,
    () =>
      dice.pick([goodHeader, goodPayload, goodSignature, '']) + good.slice(good.indexOf('.', dice.below(good.length))),
  ]
  return dice.pick(levels)()
}

/** Whether a value still reads as the text that was taken of it before. */
export const isUntouched = (value: unknown, before: string): boolean => JSON.stringify(value) === before
