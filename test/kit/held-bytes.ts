/** What this process holds on to, once everything that nobody holds has been collected. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes of objects and buffers that are still held, after a turn of the event loop for what is only just let go. */
export async function heldBytes(): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve))
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** The most that an attack may leave behind. */
export const LEFT_MAX_BYTES = 20 * 1024 * 1024
