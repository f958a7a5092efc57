/** Whatever `src/keys/secret-bytes.ts` gave out in a test, to look afterwards whether it was wiped. */
type SecretBytes = typeof import('../../src/keys/secret-bytes.ts')

export const kept = { bytes: [] as Uint8Array[] }

/** For `vi.mock`: the module as it is, with each of its bytes remembered in `kept`. */
export async function watchedBytes(original: () => Promise<SecretBytes>): Promise<SecretBytes> {
  const { secretBytes } = await original()
  return {
    secretBytes: (length) => {
      const bytes = secretBytes(length)
      kept.bytes.push(bytes)
      return bytes
    },
  }
}

/** What of it isn't wiped. */
export const unwiped = (): Uint8Array[] => kept.bytes.filter((bytes) => bytes.some((byte) => byte !== 0))
