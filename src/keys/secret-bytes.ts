/**
 * Memory for secrets: outside the garbage collector's heap, so that nothing moves it and leaves a copy, and so that
 * `fill(0)` really is the end of it. Never turn what is in here into a string: a string cannot be wiped.
 */

/**
 * Zeroed bytes for a secret. Whoever asked for them wipes them with `fill(0)`, in a `finally`.
 * The buffer behind them is at least a page: small typed arrays are kept on the heap itself, where they are copied about.
 */
export const secretBytes = (length: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(new ArrayBuffer(Math.max(length, 4096)), 0, length)
