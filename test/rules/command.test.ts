/** What is typed behind a command, and what is shown on a terminal. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readArguments, WrongUsage } from '../../src/cli/command.ts'
import { differenceOf, factsOf, lengthOf, named } from '../../src/cli/plc-words.ts'
import { escaped } from '../../src/cli/terminal.ts'

const DECLARED = { key: 'text', mine: 'texts', once: 'flag' } as const

describe('arguments', () => {
  it('are read in any order, and what may come twice comes as a list', () => {
    const args = ['--mine', 'a', 'did:plc:x', '--once', '--key=k', '--mine', 'b']
    expect(readArguments(args, 1, DECLARED)).toEqual({
      plain: ['did:plc:x'],
      options: { key: 'k', mine: ['a', 'b'], once: true },
    })
    expect(readArguments([], 0, DECLARED)).toEqual({ plain: [], options: {} })
    expect(readArguments(['--key', '-', '-'], 1, DECLARED)).toEqual({ plain: ['-'], options: { key: '-' } })
  })

  it.each([
    [['a', 'b']],
    [[]],
    [['a', '--other']],
    [['a', '--yes']],
    [['a', '--key']],
    [['a', '--key', 'k', '--key', 'l']],
    [['a', '--once', '--once']],
    [['a', '--once=1']],
    [['a', '-k', 'k']],
    [['a', '--key', '--once']],
  ])('are refused without being repeated: %j', (args) => {
    expect(() => readArguments(args, 1, DECLARED)).toThrow(WrongUsage)
    try {
      readArguments(args, 1, DECLARED)
    } catch (error) {
      expect(String(error)).not.toMatch(/other|yes|'k'|"k"/)
    }
  })
})

describe('on a terminal', () => {
  it.each([
    ['\u001b[31mred', '\\u{1b}[31mred'],
    ['\u001b]52;c;cm0=\u0007', '\\u{1b}]52;c;cm0=\\u{7}'],
    ['a\nb\rc\td', 'a\\u{a}b\\u{d}c\\u{9}d'],
    ['\u202eabc\u2066', '\\u{202e}abc\\u{2066}'],
    ['\u009b2J', '\\u{9b}2J'],
    ['\u200bx\u00a0', '\\u{200b}x\\u{a0}'],
    ['gr\u00fcn', 'gr\\u{fc}n'],
    ['\u{1f4a9}', '\\u{1f4a9}'],
    ['\ud800', '\\u{d800}'],
    ['did:plc:abc ~!', 'did:plc:abc ~!'],
  ])('%j is written as %s', (text, shown) => {
    expect(escaped(text)).toBe(shown)
  })

  it('nothing but plain characters ever comes out, and what is plain stays', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(escaped(text)).toMatch(/^[ -~]*$/)
        expect(escaped(escaped(text))).toBe(escaped(text))
      }),
    )
  })

  it('what strangers wrote stays in its place, and all of it is there', () => {
    const says = { type: 'plc_operation' as const, rotationKeys: [], verificationMethods: {}, services: {}, prev: null }
    const nothing = { ...says, alsoKnownAs: [] }
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (name) => {
        const lines = differenceOf(nothing, { ...says, alsoKnownAs: [name] }, new Map())
        for (const [at, line] of lines.entries()) {
          expect(line).toMatch(at === 0 ? /^ {2}\+ name: (?:[!#-~]*|"[ -~]*")$/ : /^ {6}\.\.\. "[ -~]*"$/)
          expect(line).not.toMatch(/\S {2,}\S/)
          expect(line.length).toBeLessThan(100)
        }
        const [first = '', ...more] = lines
        const all = [first.slice('  + name: '.length), ...more.map((line) => line.slice('      ... '.length))]
        const text = all.map((piece) => piece.replaceAll('"', '')).join('')
        expect(text).toBe(
          escaped(name)
            .replaceAll('"', '\\u{22}')
            .replaceAll(/^ | $| {2,}/g, (run) => '\\u{20}'.repeat(run.length)),
        )
      }),
    )
    expect(factsOf({ ...says, alsoKnownAs: ['at://a.example'] }, new Map())).toEqual(['name: at://a.example'])
  })

  it('what is no key has the name of none', () => {
    const names = new Map([['did:key:zMine', 'your key']])
    expect(named('did:key:zMine', names)).toBe('did:key:zMine (your key)')
    expect(named('did:key:zMine (your key)', names)).toBe('"did:key:zMine (your key)"')
    expect(named('z'.repeat(100), names)).toBe(`"${'z'.repeat(72)}" and so on`)
  })

  it('time left is never rounded up', () => {
    expect([0, 59_999, 60_000, 3_599_999, 72 * 3_600_000, -5].map(lengthOf)).toEqual([
      '0 h 0 min',
      '0 h 0 min',
      '0 h 1 min',
      '0 h 59 min',
      '72 h 0 min',
      '0 h 0 min',
    ])
  })
})
