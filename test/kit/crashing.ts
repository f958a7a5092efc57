/** Things that stop working at a given touch, as everything does for a process that dies there. */
import type { KyselyPlugin } from 'kysely'
import type { Db } from '../../src/platform/database.ts'

export class Crash extends Error {}

/** The database as a process sees it that is ended after so many statements: from then on nothing of it is done any more. */
export function dyingAfter(db: Db, statements: number) {
  let left = statements
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      left -= 1
      if (left < 0) throw new Crash('ended')
      return node
    },
    transformResult: async ({ result }) => result,
  }
  return { db: db.withPlugin(plugin), hasDied: () => left < 0 }
}

/** Counts touches over all the things that it wraps, and breaks at one of them: before it was done, or after. */
export function crashAt(at: number, when: 'before' | 'after') {
  let touches = 0
  let isBroken = false
  const touch = (work: () => unknown) => {
    touches += 1
    if (!isBroken && touches !== at) return work()
    const wasBroken = isBroken
    isBroken = true
    if (when === 'before' || wasBroken) throw new Crash('broken')
    const result = work()
    if (!(result instanceof Promise)) throw new Crash('broken')
    return result.then(() => {
      throw new Crash('broken')
    })
  }
  return {
    isBroken: () => isBroken,
    /** The same thing, whose named methods are touches. */
    wrap<T extends object>(target: T, names: readonly string[]): T {
      return new Proxy(target, {
        get(own, name) {
          const value: unknown = Reflect.get(own, name, own)
          if (typeof value !== 'function') return value
          if (!names.includes(String(name))) return value.bind(own)
          return (...given: unknown[]) => touch(() => value.apply(own, given))
        },
      })
    },
  }
}
