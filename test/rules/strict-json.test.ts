import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseStrictJson } from '../../src/platform/strict-json.ts'

const SEED = 20_261_120
const parse = (text: string) => parseStrictJson(text, { maxDepth: 8 })

describe('strict JSON', () => {
  const refused: [says: string, text: string][] = [
    ['nothing', ''],
    ['null', 'null'],
    ['an array', '[]'],
    ['a string', '"x"'],
    ['a number', '1'],
    ['a key twice', '{"exp":1,"exp":9999999999}'],
    ['a key twice, once escaped', '{"exp":1,"\\u0065xp":2}'],
    ['a key twice, far below', '{"a":[{"b":{"c":1,"d":2,"c":3}}]}'],
    ['a key twice with space before the colon', '{"a" \n:1,"a"\t:2}'],
    ['a key twice with every kind of space before the colon', '{"a":1,"a" \t\r\n :2}'],
    ['a key twice that ends with a backslash', '{"a\\\\":1,"a\\\\":2}'],
    ['a key twice with a quote in it', '{"a\\"b":1,"a\\"b":2}'],
    ['a key twice, behind an inner object', '{"a":{"b":1},"a":2}'],
    ['a key twice, behind a list', '{"a":[1,"a"],"a":2}'],
    ['a number beyond all bounds', '{"a":1e999}'],
    ['a number below all bounds, in a list', '{"a":[true,null,-1e999]}'],
    ['a key that is no JSON', '{"\\x":1}'],
    ['an open key', '{"a":1,"b'],
    ['an escape at the end of the text', '{"a":"\\'],
    ['a name without an object', '"a":1'],
    ['nine levels of lists', `{"a":${'['.repeat(8)}${']'.repeat(8)}}`],
    ['nine levels of both, the last closed and opened again', `{"a":${'['.repeat(7)}{"b":[]},{}${']'.repeat(7)}}`],
    ['__proto__', '{"__proto__":{"role":"owner"}}'],
    ['__proto__, escaped', '{"\\u005f_proto__":1}'],
    ['a lone surrogate in a value', '{"a":"\\ud800"}'],
    ['a lone surrogate in a key', '{"\\udc00":1}'],
    ['bytes behind the object', '{"a":1} x'],
    ['two objects', '{}{}'],
    ['a comma too many', '{"a":1,}'],
    ['a comment', '{"a":1/**/}'],
    ['a byte order mark', '\uFEFF{}'],
    ['an open string', '{"a":"'],
    ['a raw line break in a string', '{"a":"\n"}'],
    ['nine levels', `${'{"a":'.repeat(9)}1${'}'.repeat(9)}`],
    ['ten thousand levels', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
    ['ten thousand open brackets', `{"a":${'['.repeat(10_000)}`],
  ]
  it.each(refused)('refuses %s', (_says, text) => {
    expect(parse(text)).toBeNull()
  })

  it('takes equal keys in different objects, and a value that looks like a key', () => {
    expect(parse('{"a":{"a":1},"b":[{"a":1},{"a":2}],"c":"a"}')).toEqual({
      a: { a: 1 },
      b: [{ a: 1 }, { a: 2 }],
      c: 'a',
    })
  })

  it('takes quotes, backslashes and brackets inside of strings for what they are', () => {
    const object = { 'a"}': '{"a\\', 'b\\': '":[[[[[[[[[[' }
    expect(parse(JSON.stringify(object))).toEqual(object)
  })

  it('takes eight levels and surrogate pairs', () => {
    expect(parse(`${'{"a":'.repeat(8)}1${'}'.repeat(8)}`)).not.toBeNull()
    expect(parse(`{"a":${'['.repeat(6)}{},{}${']'.repeat(6)}}`)).not.toBeNull()
    expect(parse('{"a":"\\ud83d\\ude00"}')).toEqual({ a: '😀' })
  })

  it('takes what values there are, and any space around them', () => {
    expect(parse(' {"a" \t\r\n : [true, false, null, -1.5e3, "", {}] }\n')).toEqual({
      a: [true, false, null, -1500, '', {}],
    })
  })

  it('leaves the prototype of objects alone', () => {
    parse('{"constructor":{"prototype":{"role":"owner"}}}')
    expect(Object.hasOwn(Object.prototype, 'role')).toBe(false)
  })

  it(`reads what JSON.parse reads, when nothing is ambiguous (seed ${SEED})`, () => {
    const objects = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue({ maxDepth: 4 }))
    fc.assert(
      fc.property(objects, (object) => {
        fc.pre(!JSON.stringify(object).includes('__proto__'))
        const text = JSON.stringify(object)
        expect(parse(text)).toEqual(JSON.parse(text))
      }),
      { seed: SEED, numRuns: 500 },
    )
  })

  it(`never throws, whatever the text (seed ${SEED})`, () => {
    const scraps = fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '\\', '\\u', 'd800', '1', 'true', ' ', '\0', '😀')
    fc.assert(
      fc.property(fc.array(scraps, { maxLength: 40 }), (pieces) => {
        const value = parse(pieces.join(''))
        expect(value === null || typeof value === 'object').toBe(true)
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })
})
