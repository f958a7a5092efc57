/** Counts fsyncs in the measured process, between the house and the system. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

// biome-ignore lint/suspicious/noExplicitAny: other people's methods, handed on as they are
export type Any = any

/** Puts something before a method of somebody else's. */
export function before(target: object, name: string, touch: () => void): void {
  const original: Any = Reflect.get(target, name)
  Reflect.set(target, name, function counted(this: unknown, ...given: Any[]) {
    touch()
    return original.apply(this, given)
  })
}

/** Counts fsyncs from now on. To be called before the database is opened. */
export function countFsyncs(): () => number {
  let count = 0
  before(fs, 'fsyncSync', () => {
    count += 1
  })
  syncBuiltinESMExports()
  return () => count
}
