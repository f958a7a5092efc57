/** Words that callers carry: only the instance that made one reads it, and for its own use. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SealedWords } from '../../src/platform/sealed-words.ts'

const words = new SealedWords('an instance')
const SEED = 20_261_121

describe('a sealed word', () => {
  it('is opened by every process of the instance, for the use it was made for', () => {
    const texts = fc.string({ unit: 'grapheme', maxLength: 300 }).map((text) => `${text}.`)
    fc.assert(
      fc.property(texts, fc.string(), (text, use) => {
        const word = words.seal(use, text)
        expect(new SealedWords('an instance').open(use, word)).toBe(text)
        expect(words.open(`${use}x`, word)).toBeNull()
        expect(new SealedWords('another instance').open(use, word)).toBeNull()
      }),
      { seed: SEED, numRuns: 300 },
    )
  })

  it('is one for one text, and shows neither the text nor how long it is', () => {
    const [short, long] = [words.seal('at', 'did:plc:a 1'), words.seal('at', `did:plc:a 1\n${'b'.repeat(100)}`)]
    expect(words.seal('at', 'did:plc:a 1')).toBe(short)
    expect(short).not.toBe(long)
    expect(short).toHaveLength(long.length)
    expect(Buffer.from(short, 'base64url').toString('latin1')).not.toContain('did:plc')
  })

  it('that somebody changed anywhere, or made up, is none', () => {
    const word = words.seal('at', 'did:plc:a 1')
    const bytes = Buffer.from(word, 'base64url')
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(words.open('at', changed.toString('base64url')), `byte ${at}`).toBeNull()
    }
    for (const made of ['', 'x', 'AAAA', `${word}=`, `${word}A`, word.slice(4), 'A'.repeat(24_000)]) {
      expect(words.open('at', made)).toBeNull()
    }
  })
})
