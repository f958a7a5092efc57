/** How far an import is, in numbers. */
import type { Import } from './import-store.ts'

/** Lines that nothing has become of yet. */
const leftOf = ({ given, put, same, refused }: Import): number => given - put - same - refused

/** Every line that was given is counted once. What one that was stopped had not come to counts as refused. */
export function countsOf(one: Import) {
  const { state, given, put, same, refused } = one
  const left = leftOf(one)
  const isStopped = state === 'stopped'
  return { state, given, put, same, refused: isStopped ? refused + left : refused, left: isStopped ? 0 : left }
}

export type Counts = ReturnType<typeof countsOf>
