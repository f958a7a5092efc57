/**
 * What is tried and how much of it, as the environment says. `FAULTS_QUICK=1` does everything small, so that a stranger sees within minutes
 * what there is.
 */
import { createHash } from 'node:crypto'
import { randomHex, systemRandom } from '../src/platform/random.ts'
import { Dice } from '../test/kit/dice.ts'

export const IS_QUICK = process.env['FAULTS_QUICK'] === '1'

/** Printed, and given again to have the same draws: which moments, which people, in which order. */
export const SEED = process.env['FAULTS_SEED'] ?? randomHex(systemRandom, 4)

/** How often a process is ended by SIGKILL, on each engine. */
export const KILLS = amount('FAULTS_KILLS', 200, 20)

/** A number of the environment, or else what is usual: in full, and in a quick run. @throws Error for one that is no number above zero */
export function amount(name: string, full: number, quick: number): number {
  const value = Number(process.env[name] ?? (IS_QUICK ? quick : full))
  if (!(value > 0)) throw new Error(`${name} is no number above zero`)
  return value
}

export const times = (full: number, quick: number): number => (IS_QUICK ? quick : full)

/** Chance for one thing: its own, so that a row alone draws what it draws among all others. */
export const diceFor = (what: string): Dice =>
  new Dice(createHash('sha256').update(`${SEED} ${what}`).digest().readUInt32BE(0))

/** Those of `known` that a variable names, in their order; all of them without it. @throws Error when it names another */
export function chosen<Name extends string>(variable: string, known: readonly Name[]): readonly Name[] {
  const asked = (process.env[variable] ?? known.join()).split(',')
  const strangers = asked.filter((name) => !known.some((one) => one === name))
  if (strangers.length > 0) throw new Error(`${variable}: there is no ${strangers.join()}; there is ${known.join()}`)
  return known.filter((name) => asked.includes(name))
}

let isAsked = false
process.once('SIGUSR2', () => {
  isAsked = true
})

/** Whether somebody wants an end (SIGUSR2): what is under way is finished and judged, and nothing more is begun. */
export const isEnough = (): boolean => isAsked
