/** A secret in all the spellings that a program might have made of it by accident, and a search for them. */

export type Spellings = Readonly<Record<string, Uint8Array>>

/**
 * Base64 of a secret inside something longer depends on where it begins there: for each of the three beginnings, the characters
 * that are the secret's alone.
 */
function base64Cores(bytes: Buffer, encoding: 'base64' | 'base64url'): Spellings {
  const cores: Record<string, Uint8Array> = {}
  for (const shift of [0, 1, 2]) {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString(encoding)
      .replaceAll('=', '')
    cores[`${encoding} ${shift}`] = Buffer.from(text.slice(shift === 0 ? 0 : shift + 1, -1))
  }
  return cores
}

/** Every spelling, by name. Escaped bytes and lists of numbers are how JSON and debuggers show bytes. */
export function spellingsOf(secret: Uint8Array): Spellings {
  const bytes = Buffer.from(secret)
  const backwards = Buffer.from(bytes).reverse()
  const hex = bytes.toString('hex')
  return {
    raw: bytes,
    backwards,
    hex: Buffer.from(hex),
    'hex in capitals': Buffer.from(hex.toUpperCase()),
    'hex backwards': Buffer.from(backwards.toString('hex')),
    'hex, last first': Buffer.from([...hex].reverse().join('')),
    'hex with spaces': Buffer.from(hex.replaceAll(/(..)(?=.)/g, '$1 ')),
    decimal: Buffer.from(BigInt(`0x${hex}`).toString()),
    'list of numbers': Buffer.from([...bytes].join(',')),
    'list of numbers, spaced': Buffer.from([...bytes].join(', ')),
    'UTF-16': Buffer.from(hex, 'utf16le'),
    ...base64Cores(bytes, 'base64'),
    ...base64Cores(bytes, 'base64url'),
  }
}

/** Where any spelling of any secret is, as `<secret> as <spelling> in <place>`: names only, never what was found. */
export function where(
  secrets: Readonly<Record<string, Spellings>>,
  places: Readonly<Record<string, Uint8Array>>,
): readonly string[] {
  const hits: string[] = []
  for (const [place, held] of Object.entries(places)) {
    const haystack = Buffer.from(held.buffer, held.byteOffset, held.length)
    for (const [secret, spellings] of Object.entries(secrets)) {
      for (const [spelling, needle] of Object.entries(spellings)) {
        if (needle.length === 0) throw new Error(`nothing to look for: ${secret} as ${spelling}`)
        if (haystack.includes(Buffer.from(needle))) hits.push(`${secret} as ${spelling} in ${place}`)
      }
    }
  }
  return hits
}
