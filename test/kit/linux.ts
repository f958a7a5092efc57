/** Suites about what only Linux shows (`/proc`, a whole network of loopback addresses). Elsewhere their absence is said aloud. */
import { describe, expect, it } from 'vitest'

export function describeOnLinux(name: string, body: () => void): void {
  if (process.platform === 'linux') return void describe(name, body)
  process.stderr.write(`${name}: can be seen on Linux only, and is left out here.\n`)
  it(`${name}: can be seen on Linux only`, () => expect(process.platform).not.toBe('linux'))
}
