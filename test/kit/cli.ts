/** The tool as people run it, in a process of its own, with nothing of the service around it; and all that it ever wrote. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))

export interface Run {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Running {
  readonly args: readonly string[]
  /** What somebody types, or what a pipe brings; nothing when left out. */
  readonly typed?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** For a command that goes on: asked to end (SIGTERM) once it has written this. */
  readonly until?: string
}

/** Runs the tool to its end. It has no terminal, so that nobody is asked who isn't there. */
export function runCli({ args, typed = '', environment = {}, cwd, until }: Running): Promise<Run> {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    // A session of its own has no terminal.
    detached: true,
    ...(cwd === undefined ? {} : { cwd }),
  })
  const heard = { out: '', err: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    heard.out += chunk.toString('utf8')
    if (until !== undefined && heard.out.includes(until)) child.kill('SIGTERM')
  })
  child.stderr.on('data', (chunk: Buffer) => {
    heard.err += chunk.toString('utf8')
  })
  // Whoever stops reading early ends the pipe; that is no trouble of the test.
  child.stdin.on('error', () => {})
  child.stdin.end(typed)
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...heard })))
}
