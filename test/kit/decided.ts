/**
 * Questions that a PDS puts, on a slow machine: Reeve gives each a second, and says when nothing was decided by then. A test that wants to know
 * what would be decided puts such a question again, a few times.
 */

/** Whoever waited for less wasn't told so for want of time. */
const WAITED_MS = 900
const TIMES = 3

/** The first answer that isn't `undecided` for want of time; else the last of a few. */
export async function decidedInTime<T>(ask: () => Promise<T>, isUndecided: (said: T) => boolean): Promise<T> {
  for (let nth = 1; ; nth++) {
    const begunMs = performance.now()
    const said = await ask()
    if (nth === TIMES || !isUndecided(said) || performance.now() - begunMs < WAITED_MS) return said
  }
}
