/** What any JWT says about time and about itself, to the second and to the character. */
import { describe, expect, it } from 'vitest'
import {
  bringsOwnKey,
  changesMeaning,
  ERRAND_TIMES,
  judgeTimes,
  keepUntilSec,
  parseAlg,
  parseJti,
  parseSeconds,
  parseTimes,
} from '../../src/platform/jwt-claims.ts'

const NOW = 1_800_000_000

describe('an instant', () => {
  it('is a whole number of seconds that is exact, and not negative', () => {
    for (const value of [0, 1, NOW, Number.MAX_SAFE_INTEGER]) expect(parseSeconds(value)).toBe(value)
    for (const value of [-1, 0.5, Number.MAX_SAFE_INTEGER + 1, Number.POSITIVE_INFINITY, Number.NaN, '1', null, [1]]) {
      expect(parseSeconds(value)).toBe(null)
    }
    expect(parseSeconds(undefined)).toBe(null)
  })

  it('of a payload has to be there for its end, and sound wherever it is there', () => {
    expect(parseTimes({ exp: 3 })).toEqual({ expSec: 3, iatSec: null, nbfSec: null })
    expect(parseTimes({ exp: 3, iat: 0, nbf: 2 })).toEqual({ expSec: 3, iatSec: 0, nbfSec: 2 })
    for (const payload of [
      ...[
        {},
        { iat: 1 },
        { exp: '3' },
        { exp: null },
        { exp: 3, iat: null },
        { exp: 3, iat: 1.5 },
        { exp: 3, nbf: '2' },
      ],
      ...[
        { exp: 3, iat: 1, nbf: -1 },
        { exp: 3, iat: undefined },
        { exp: 3, iat: 'x', nbf: 1 },
      ],
    ]) {
      expect(parseTimes(payload)).toBe(null)
    }
  })
})

describe('a token in time', () => {
  const judged = (
    times: { readonly exp: number; readonly iat?: number | null; readonly nbf?: number | null },
    rules = ERRAND_TIMES,
  ) => judgeTimes({ expSec: times.exp, iatSec: times.iat ?? null, nbfSec: times.nbf ?? null }, NOW, rules)

  it('is one until five seconds after its end', () => {
    expect([-4, -5, -6].map((exp) => judged({ exp: NOW + exp, iat: NOW - 60 }))).toEqual(['inTime', 'late', 'late'])
  })

  it('lives for 300 seconds at the most; without a beginning, from now on, and five more', () => {
    expect([300, 301].map((life) => judged({ exp: NOW + life, iat: NOW }))).toEqual(['inTime', 'unsound'])
    expect([300, 301].map((life) => judged({ exp: NOW + life - 10, iat: NOW - 10 }))).toEqual(['inTime', 'unsound'])
    expect([305, 306].map((life) => judged({ exp: NOW + life }))).toEqual(['inTime', 'unsound'])
    expect([305, 306].map((life) => judged({ exp: NOW + life, iat: NOW + 20 }))).toEqual(['inTime', 'unsound'])
  })

  it('begins before it ends, and 30 seconds from now at the latest', () => {
    expect([29, 30, 31].map((iat) => judged({ exp: NOW + 60, iat: NOW + iat }))).toEqual([
      'inTime',
      'inTime',
      'unsound',
    ])
    expect([29, 30, 31].map((nbf) => judged({ exp: NOW + 60, nbf: NOW + nbf }))).toEqual([
      'inTime',
      'inTime',
      'unsound',
    ])
    expect([9, 10, 11].map((iat) => judged({ exp: NOW + 10, iat: NOW + iat }))).toEqual([
      'inTime',
      'unsound',
      'unsound',
    ])
    expect(judged({ exp: NOW + 10, iat: NOW, nbf: NOW + 31 })).toBe('unsound')
    expect(judged({ exp: NOW + 60, iat: NOW, nbf: NOW })).toBe('inTime')
  })

  it('is called late before it is called anything else', () => {
    expect(judged({ exp: NOW - 100, iat: NOW - 1_000 })).toBe('late')
    expect(judged({ exp: NOW - 100, iat: NOW + 1_000 })).toBe('late')
  })

  it('is remembered for a minute longer than it is taken', () => {
    expect(keepUntilSec(NOW, { skewSec: 5 })).toBe(NOW + 65)
    expect(keepUntilSec(NOW, { skewSec: 0 })).toBe(NOW + 60)
  })
})

describe('a jti', () => {
  it('has 1 to 256 characters, none of which controls anything', () => {
    for (const jti of ['a', '0', ' ', 'ä', '😀', 'j'.repeat(256)]) expect(parseJti(jti)).toBe(jti)
    for (const jti of ['', 'j'.repeat(257), '\n', 'a\0', '\ta', 'a\u007fb', 'a\u0085', 7, null, undefined, ['j']]) {
      expect(parseJti(jti)).toBe(null)
    }
  })
})

describe('an alg', () => {
  it('is a name, and not that of having none', () => {
    for (const alg of ['ES256', 'es256', 'nonesuch', 'x none']) expect(parseAlg(alg)).toBe(alg)
    for (const alg of ['', 'none', 'None', 'NONE', 'nOnE', 7, null, undefined, ['ES256']])
      expect(parseAlg(alg)).toBe(null)
  })
})

describe('a header', () => {
  it.each(['jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256'])('with %s brings its own key, whatever it says', (name) => {
    for (const value of ['x', null, undefined, {}]) {
      expect([bringsOwnKey({ alg: 'ES256', [name]: value }), changesMeaning({ [name]: value })]).toEqual([true, false])
    }
  })

  it.each(['crit', 'b64'])('with %s asks to be read otherwise, whatever it says', (name) => {
    for (const value of [[], false, undefined]) {
      expect([bringsOwnKey({ [name]: value }), changesMeaning({ alg: 'ES256', [name]: value })]).toEqual([false, true])
    }
  })

  it('with nothing of the kind does neither', () => {
    const header = { alg: 'ES256', typ: 'JWT', kid: 'jwk', cty: 'crit' }
    expect([bringsOwnKey(header), changesMeaning(header)]).toEqual([false, false])
  })
})
