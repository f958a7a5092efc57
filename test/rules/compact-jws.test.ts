import { describe, expect, it } from 'vitest'
import { parseCompactJws } from '../../src/platform/compact-jws.ts'
import { base64Url } from '../kit/tokens.ts'

const MAX = 8_192
const header = base64Url('{"alg":"ES256"}')
const payload = base64Url('{"iss":"somebody"}')
const signature = base64Url(new Uint8Array(64).fill(7))
const good = `${header}.${payload}.${signature}`
/** The same JSON, spelled so that its base64url has bits left over in the last character. */
const spare = base64Url('{"iss":"x"}')
const withStrayBits = `${spare.slice(0, -1)}${String.fromCharCode(spare.charCodeAt(spare.length - 1) + 1)}`

describe('a compact JWS', () => {
  it('is taken apart into header, payload, signature and what was signed', () => {
    const jws = parseCompactJws(good, MAX)
    expect(jws?.header).toEqual({ alg: 'ES256' })
    expect(jws?.payload).toEqual({ iss: 'somebody' })
    expect(jws?.signature).toEqual(new Uint8Array(64).fill(7))
    expect(Buffer.from(jws?.signingInput ?? []).toString()).toBe(`${header}.${payload}`)
  })

  it('may be exactly as long as the limit, and not one character longer', () => {
    expect(parseCompactJws(good, good.length)).not.toBeNull()
    expect(parseCompactJws(good, good.length - 1)).toBeNull()
  })

  const refused: [says: string, text: string][] = [
    ['nothing', ''],
    ['one part', header],
    ['two parts', `${header}.${payload}`],
    ['four parts', `${good}.${signature}`],
    ['five parts', `${good}..`],
    ['an empty header', `.${payload}.${signature}`],
    ['an empty payload', `${header}..${signature}`],
    ['padding', `${header}=.${payload}.${signature}`],
    ['padding on the signature', `${good}==`],
    ['the other alphabet', `${header}.${payload}.${'+/'.repeat(43)}`],
    ['a space', `${header} .${payload}.${signature}`],
    ['a line break at the end', `${good}\n`],
    ['bits to spare', `${header}.${withStrayBits}.${signature}`],
    ['a part of impossible length', `${header}.${payload}.A`],
    ['a header that is an array', `${base64Url('[]')}.${payload}.${signature}`],
    ['a payload that is text', `${header}.${base64Url('"x"')}.${signature}`],
    ['a payload that is null', `${header}.${base64Url('null')}.${signature}`],
    ['bytes behind the JSON', `${header}.${base64Url('{"a":1}x')}.${signature}`],
    ['a claim twice', `${header}.${base64Url('{"a":1,"a":2}')}.${signature}`],
    [
      'a payload that is not UTF-8',
      `${header}.${base64Url(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d))}.${signature}`,
    ],
    ['a byte order mark', `${base64Url('\uFEFF{"alg":"ES256"}')}.${payload}.${signature}`],
  ]
  it.each(refused)('is refused with %s', (_says, text) => {
    expect(parseCompactJws(text, MAX)).toBeNull()
  })

  it('has eight levels at most in its header and in its payload', () => {
    const deep = (levels: number) => base64Url(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`)
    for (const [levels, isTaken] of [
      [8, true],
      [9, false],
    ] as const) {
      expect(parseCompactJws(`${deep(levels)}.${payload}.${signature}`, MAX) !== null).toBe(isTaken)
      expect(parseCompactJws(`${header}.${deep(levels)}.${signature}`, MAX) !== null).toBe(isTaken)
    }
  })

  it('without a signature is still a form; verification refuses it', () => {
    expect(parseCompactJws(`${header}.${payload}.`, MAX)?.signature).toHaveLength(0)
  })
})
