/** Reeve as an operator runs it: `src/main.ts` in a process of its own, which can be ended without being asked. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { freePort } from './ports.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface ReeveProcess {
  readonly url: string
  readonly serviceDid: string
  /** For signals, and for a look at what it uses. */
  readonly pid: number
  /** Everything it wrote, for whoever looks for what must not be there. */
  output(): string
  /** SIGKILL: nothing of it runs any more, nothing is finished or closed. */
  kill(): Promise<void>
  /** SIGTERM, and its exit code. */
  stop(): Promise<number | null>
  /** Whether it ended, by itself or by a signal. */
  hasEnded(): boolean
}

export interface ReevePlace {
  readonly port: number
  readonly environment: Readonly<Record<string, string>>
  /** Options of Node itself. */
  readonly execArgv?: readonly string[]
  /** What is started in place of `src/main.ts`. */
  readonly main?: string
}

/** Where a Reeve lives: the same place may be lived in again after a kill. */
export async function reevePlace(more: {
  plcUrl: string
  dataDir: string
  databaseUrl?: string
  environment?: Readonly<Record<string, string>>
}): Promise<ReevePlace> {
  const port = await freePort()
  const environment = {
    REEVE_PUBLIC_URL: `http://localhost:${port}`,
    REEVE_PORT: String(port),
    REEVE_DATA_DIR: more.dataDir,
    REEVE_PLC_URL: more.plcUrl,
    REEVE_ALLOW_LOOPBACK: '1',
    REEVE_LOG_LEVEL: 'debug',
    ...(more.databaseUrl === undefined ? {} : { DATABASE_URL: more.databaseUrl, REEVE_ALLOW_UNSAFE_DATABASE: '1' }),
    ...more.environment,
  }
  return { port, environment }
}

/** Starts Reeve there and waits until it listens. Fails with what it said when it ends before. */
export async function startReeve({ port, environment, execArgv = [], main = MAIN }: ReevePlace): Promise<ReeveProcess> {
  const child = spawn(process.execPath, [...execArgv, main], {
    env: { PATH: process.env['PATH'] ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const heard: string[] = []
  await listening(child, heard)
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  return {
    url: `http://localhost:${port}`,
    serviceDid: `did:web:localhost%3A${port}`,
    pid: child.pid ?? 0,
    output: () => heard.join(''),
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    stop() {
      child.kill('SIGTERM')
      return ended
    },
  }
}

async function listening(child: ChildProcessByStdio<null, Readable, Readable>, heard: string[]): Promise<void> {
  const ready = new Promise<void>((resolve) => {
    let isReady = false
    child.stdout.on('data', (chunk: Buffer) => {
      heard.push(chunk.toString('utf8'))
      isReady ||= heard.join('').includes('"event":"listening"')
      if (isReady) resolve()
    })
  })
  child.stderr.on('data', (chunk: Buffer) => heard.push(chunk.toString('utf8')))
  const died = once(child, 'exit').then(([code]) => {
    throw new Error(`Reeve ended with ${code} before it listened: ${heard.join('')}`)
  })
  died.catch(() => {})
  await Promise.race([ready, died])
}
