/**
 * A loopback port that nobody listens on now, for servers that must know theirs before they start.
 *
 * Between now and their start, and between two lives of one, nobody else may get it. So it is taken from below the range out of
 * which systems give ports to whoever doesn't name one, and each worker of the tests has ports of its own.
 */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

const FIRST = 20_000
const PER_WORKER = 1_000
const WORKERS = 12

const worker = Number(process.env['VITEST_POOL_ID'] ?? 0) % WORKERS
/** In turn, so that two servers of one file never get the same. Where it begins is chance: other runs may be beside this one. */
let turn = randomInt(PER_WORKER)

export async function freePort(): Promise<number> {
  for (let tried = 0; tried < PER_WORKER; tried++) {
    const port = FIRST + worker * PER_WORKER + (turn++ % PER_WORKER)
    if (await isFree(port)) return port
  }
  throw new Error('no port')
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}
