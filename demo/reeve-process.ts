/**
 * Reeve as an operator runs it: the command of `npm start` in a process of its own, on the embedded database, in a folder
 * that is gone afterwards. What it logs goes to a file there, and to the terminal for who asks.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../test/kit/ports.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const STARTING_MAX_MS = 40_000
const STOPPING_MAX_MS = 15_000

export interface ReeveProcess {
  readonly url: string
  readonly did: string
  readonly pid: number
  /** The end of its log, for when something went wrong. */
  lastWords(): Promise<string>
}

/** Starts Reeve and waits until it says that it is well. Whatever happens, `cleanup` ends it and removes its folder. */
export async function startReeve(
  plcUrl: string,
  cleanup: AsyncDisposableStack,
  { isVerbose }: { isVerbose: boolean },
): Promise<ReeveProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'reeve-demo-'))
  cleanup.defer(() => rm(folder, { recursive: true, force: true }))
  const port = await freePort()
  const url = `http://localhost:${port}`
  const log = join(folder, 'reeve.log')
  const child = spawn(process.execPath, ['--disable-sigusr1', '--report-exclude-env', 'src/main.ts'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Only what is named here: a DATABASE_URL of the reader's own must not be written to by a demo.
    env: {
      ...inherited('PATH', 'HOME', 'TMPDIR', 'SystemRoot', 'TEMP'),
      REEVE_PUBLIC_URL: url,
      REEVE_PORT: String(port),
      REEVE_DATA_DIR: join(folder, 'data'),
      REEVE_PLC_URL: plcUrl,
      REEVE_ALLOW_LOOPBACK: '1',
    },
  })
  cleanup.defer(() => stop(child))
  const file = createWriteStream(log)
  for (const stream of [child.stdout, child.stderr]) {
    stream?.pipe(file, { end: false })
    if (isVerbose) stream?.pipe(process.stderr, { end: false })
  }
  const lastWords = async () => (await readFile(log, 'utf8').catch(() => '')).trim().split('\n').slice(-12).join('\n')
  await untilWell(url, child).catch(async (error: unknown) => {
    throw new Error(`${error instanceof Error ? error.message : error}; its log ends:\n${await lastWords()}`)
  })
  return { url, did: `did:web:${encodeURIComponent(new URL(url).host)}`, pid: child.pid ?? 0, lastWords }
}

async function untilWell(url: string, child: ChildProcess): Promise<void> {
  const endMs = performance.now() + STARTING_MAX_MS
  while (performance.now() < endMs) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('Reeve ended before it was up')
    const health = await fetch(`${url}/xrpc/_health`).catch(() => null)
    if (health?.ok) return
    await sleep(50)
  }
  throw new Error('Reeve did not get up in time')
}

/** As an operator ends it; by force only when it does not listen. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), STOPPING_MAX_MS)
  await ended
  clearTimeout(force)
}

const inherited = (...names: string[]): Record<string, string> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
