/** Waiting for what happens by itself, without guessing how long it takes. */

/**
 * The first answer of `look` that isn't null, undefined or false. Fails after `limitMs` with what was waited for: that it takes less is nobody's
 * promise, and a slow machine on which much else goes on takes many times what an idle one does.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | null | undefined | false>,
  limitMs = 60_000,
): Promise<T> {
  const endMs = performance.now() + limitMs
  for (;;) {
    const found = await look()
    if (found) return found
    if (performance.now() > endMs) throw new Error(`did not happen: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** For a test that opens a world of its own: on a busy machine that alone takes as long as a test may otherwise. */
export const OPENS_A_WORLD = { timeout: 300_000 } as const
