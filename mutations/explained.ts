/**
 * The mutants that live on, and why each of them may: it does what the original does, or what it changes can't be seen from outside.
 *
 * An entry is recognised by what it says: the line on which the change begins, what stood there, and what stands there instead. One that matches
 * no survivor any more makes the run fail.
 */
import type { Explanation } from './gate.ts'

export const EXPLAINED: readonly Explanation[] = [
  {
    file: 'src/keys/envelope.ts',
    why:
      'Each keeps out what the other one keeps out as well: text that is too short for its parts ends in a tag of less than 16 bytes, which OpenSSL ' +
      'refuses by the length that it was told; and of text that is long enough the last 16 bytes are the tag. Without both a tag of four bytes would do.',
    mutants: [
      [
        'if (sealed.length < OVERHEAD_BYTES || !startsWith(sealed, headerOf(version))) return null',
        'sealed.length < OVERHEAD_BYTES',
        'false',
      ],
      [
        "const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })",
        '{ authTagLength: TAG_BYTES }',
        '{}',
      ],
    ],
  },
  {
    file: 'src/keys/envelope.ts',
    why: 'OpenSSL makes tags of 16 bytes for AES-GCM when it is told nothing.',
    mutants: [
      [
        "const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })",
        '{ authTagLength: TAG_BYTES }',
        '{}',
      ],
    ],
  },
  {
    file: 'src/platform/strict-json.ts',
    why: 'Behind the last character there is none: it is nothing that opens, closes or ends anything, and the loop is over one step later.',
    mutants: [
      ['for (let at = 0; at < text.length; at++) {', 'at < text.length', 'at <= text.length'],
      [
        "while (at < text.length && text[at] !== '\"') at += text[at] === '\\\\' ? 2 : 1",
        'at < text.length',
        'at <= text.length',
      ],
    ],
  },
  {
    file: 'src/policy/decide-roles.ts',
    why: 'A role that is null is as good as one that isn’t there: whoever asks what it allows is told nothing either way.',
    mutants: [['if (after === null) changed.delete(name)', 'after === null', 'false']],
  },
  {
    file: 'src/policy/decide-roles.ts',
    why: 'No set of actions has null in it. The compiler wants it said.',
    mutants: [
      [
        'const closed = onwardFrom(spaces, actor, (holding) => holding !== null && taken.has(holding))',
        'holding !== null',
        'true',
      ],
    ],
  },
]
