/** What a PDS's answer means, by its status and by names alone. */
import { describe, expect, it } from 'vitest'
import { sortAnswer } from '../../src/platform/xrpc-answer.ts'

const NOW_MS = 1_800_000_000_000
const sorted = (status: number, body: unknown = null, headers: Record<string, string> = {}) =>
  sortAnswer({ status, body, header: (name) => headers[name] ?? null }, NOW_MS)

describe('an answer', () => {
  it('is done, and may say how many more there may be', () => {
    expect(sorted(200)).toEqual({ is: 'done', room: null })
    const later = String(NOW_MS / 1000 + 60)
    const said = { 'ratelimit-remaining': '7', 'ratelimit-reset': later }
    expect(sorted(200, null, said)).toEqual({ is: 'done', room: { callsLeft: 7, resetsInMs: 60_000 } })
    expect(sorted(200, null, { ...said, 'ratelimit-reset': '30' })).toMatchObject({ room: { resetsInMs: 30_000 } })
    for (const broken of ['', '-1', '1e9', 'soon'])
      expect(sorted(200, null, { ...said, 'ratelimit-reset': broken })).toEqual({ is: 'done', room: null })
  })

  it('is a no with its name, as far as it is one', () => {
    expect(sorted(404, { error: 'SpaceNotFound' })).toEqual({ is: 'refused', error: 'SpaceNotFound', status: 404 })
    expect(sorted(501, { error: 'MethodNotImplemented' })).toMatchObject({ error: 'MethodNotImplemented' })
    for (const body of ['text', null, { error: 1 }, { error: 'a sentence with blanks' }, { error: 'x'.repeat(65) }])
      expect(sorted(400, body)).toEqual({ is: 'refused', error: 'Status400', status: 400 })
  })

  it('is about the grant where it says so', () => {
    for (const error of ['ScopeMissingError', 'InsufficientScope', 'insufficient_scope'])
      expect(sorted(403, { error })).toEqual({ is: 'unscoped' })
    expect(sorted(403, null, { 'www-authenticate': 'DPoP error="insufficient_scope"' })).toEqual({ is: 'unscoped' })
    expect(sorted(403, { error: 'AccountTakedown' })).toMatchObject({ is: 'refused' })
  })

  it('is about the token', () => {
    const bad = { 'www-authenticate': 'DPoP error="invalid_token", error_description="x"' }
    expect(sorted(401, null, bad)).toEqual({ is: 'locked-out', isTokenBad: true })
    expect(sorted(401, { error: 'invalid_token' })).toEqual({ is: 'locked-out', isTokenBad: true })
    expect(sorted(401, { error: 'AuthMissing' })).toEqual({ is: 'locked-out', isTokenBad: false })
  })

  it('is for later, and not before it was said, within reason', () => {
    expect(sorted(503)).toEqual({ is: 'later', because: 'status 503', pauseMs: null })
    expect(sorted(503, null, { 'retry-after': '5' })).toMatchObject({ pauseMs: 5_000 })
    expect(sorted(429, null, { 'ratelimit-reset': String(NOW_MS / 1000 + 9) })).toMatchObject({ pauseMs: 9_000 })
    expect(sorted(429, null, { 'retry-after': '999999999' })).toMatchObject({ pauseMs: 3_600_000 })
    expect(sorted(429, null, { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' })).toMatchObject({ pauseMs: null })
  })
})
