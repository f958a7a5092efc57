import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { isTid } from '../../src/names.ts'
import { fromBase64Url, fromUtf8, lengthPrefixed, toBase64Url } from '../../src/platform/bytes.ts'
import { repeat, sleep } from '../../src/platform/clock.ts'
import { errorName, openLog } from '../../src/platform/log.ts'
import { drawnAhead, freshTid, systemRandom } from '../../src/platform/random.ts'
import { Secret } from '../../src/platform/secret.ts'

describe('base64url', () => {
  it('has one spelling for a value', () => {
    for (const text of ['', 'AA', '_-8', 'AAAA']) expect(toBase64Url(fromBase64Url(text) ?? 'no bytes')).toBe(text)
    for (const text of ['A', 'AA==', 'AA=', 'AB', '+/8', 'A A', 'AA\n', 'AAA*']) expect(fromBase64Url(text)).toBeNull()
  })
})

it('keeps a byte order mark, and takes no bytes that are not UTF-8', () => {
  expect(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa')
  expect(fromUtf8(Uint8Array.of(0xc3, 0x28))).toBeNull()
})

it('joins parts so that no two lists give the same bytes', () => {
  expect(lengthPrefixed('ab', 'c')).not.toEqual(lengthPrefixed('a', 'bc'))
  expect(lengthPrefixed('', '')).not.toEqual(lengthPrefixed(''))
  expect(() => lengthPrefixed('a'.repeat(65536))).toThrow(RangeError)
})

it('draws chance ahead, and hands out every byte of it once', () => {
  let drawn = 0
  const counting = { bytes: (count: number) => Uint8Array.from({ length: count }, () => drawn++ % 256) }
  const ahead = drawnAhead(counting, 8)
  const taken = [3, 3, 3, 8, 20].map((count) => [...ahead.bytes(count)])
  // Two bytes that were too few for the third are thrown away; what is more than is drawn at once is drawn for itself.
  expect(taken).toEqual([[0, 1, 2], [3, 4, 5], [8, 9, 10], range(16, 8), range(24, 20)])
  expect(ahead.bytes(0)).toEqual(new Uint8Array())
})

const range = (from: number, count: number) => Array.from({ length: count }, (_, at) => from + at)

describe('a TID', () => {
  it('is well formed, and later instants sort later', () => {
    const tids = [1_000, 1_001, 1_700_000_000_000, 1_700_000_000_001].map((ms) => freshTid(ms, systemRandom))
    expect(tids.every(isTid)).toBe(true)
    expect(tids.toSorted()).toEqual(tids)
  })

  it('differs between two made in one millisecond', () => {
    const made = new Set(Array.from({ length: 100 }, () => freshTid(1_700_000_000_000, systemRandom)))
    expect(made.size).toBeGreaterThan(95)
  })
})

it('never prints a secret', () => {
  const secret = new Secret('canary')
  const printed = [`${secret}`, JSON.stringify({ secret }), inspect(secret), inspect({ deep: [secret] }), `${[secret]}`]
  expect(printed.join(' ')).not.toContain('canary')
  expect(secret.reveal()).toBe('canary')
})

describe('the log', () => {
  it('keeps an event on one line, whatever a stranger wrote into a field', () => {
    const lines: string[] = []
    const log = openLog('info', { write: (line) => lines.push(line) })
    log.info('refused', { because: 'a\nb\u202ec\u001b]52;d', long: 'x'.repeat(10_000), count: 3 })
    log.debug('not shown')
    expect(lines).toHaveLength(1)
    const event = JSON.parse(lines[0] ?? '')
    expect(event).toMatchObject({ event: 'refused', because: 'a\ufffdb\ufffdc\ufffd]52;d', count: 3 })
    expect(event.long).toHaveLength(500)
  })

  it('names an error without its message', () => {
    expect(errorName(new TypeError('canary'))).toBe('TypeError')
    expect(errorName(Object.assign(new Error('canary'), { code: 'ECONNREFUSED' }))).toBe('Error:ECONNREFUSED')
    expect(errorName('canary')).toBe('string')
  })
})

describe('work that repeats', () => {
  it('does one turn at a time, and stops after the turn under way', async () => {
    let running = 0
    let most = 0
    let turns = 0
    const worker = repeat(async () => {
      running += 1
      most = Math.max(most, running)
      await sleep(1)
      running -= 1
      turns += 1
    }, 0)
    while (turns < 5) await sleep(1)
    await worker.stop()
    const stoppedAt = turns
    await sleep(20)
    expect({ most, running, turns }).toEqual({ most: 1, running: 0, turns: stoppedAt })
  })

  it('wakes at once from a pause when it is told to stop', async () => {
    const ending = new AbortController()
    const slept = sleep(3_600_000, ending.signal)
    ending.abort()
    await slept
    expect(ending.signal.aborted).toBe(true)
  })
})
