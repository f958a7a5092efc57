/** What ops/compose.yml has a container run, run here by a shell: it passes an end on, tells a crash from a wrong setting, and waits after the latter. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { startFakePlc } from '../kit/fake-plc.ts'
import { reevePlace } from '../kit/reeve-process.ts'
import { ROOT, readText } from '../kit/source.ts'
import { eventually } from '../kit/waiting.ts'

interface Running {
  readonly shell: ChildProcess
  said(): string
  readonly ended: Promise<number | null>
}

describe('the command of the container', () => {
  let plc: Awaited<ReturnType<typeof startFakePlc>>
  let folder: string
  const started: ChildProcess[] = []

  beforeAll(async () => {
    plc = await startFakePlc()
    folder = await mkdtemp(join(tmpdir(), 'reeve-command-'))
  })
  afterAll(async () => {
    // Each shell leads a group of its own, so that nothing of it is left when a test failed in the middle.
    for (const { pid, exitCode } of started) if (pid && exitCode === null) process.kill(-pid, 'SIGKILL')
    await plc.close()
    await rm(folder, { recursive: true, force: true })
  })

  async function start(more: Readonly<Record<string, string>> = {}): Promise<Running> {
    const { services } = parse(readText('ops/compose.yml'))
    const [program = '', ...args] = services.reeve.command.map((part: string) => part.replaceAll('$$', '$'))
    const { environment } = await reevePlace({ plcUrl: plc.url, dataDir: join(folder, 'data') })
    const path = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`
    const shell = spawn(program, args, { cwd: ROOT, env: { PATH: path, ...environment, ...more }, detached: true })
    started.push(shell)
    const heard: string[] = []
    for (const stream of [shell.stdout, shell.stderr]) stream.on('data', (chunk: Buffer) => heard.push(String(chunk)))
    const ended = new Promise<number | null>((resolve) => shell.once('exit', resolve))
    return { shell, said: () => heard.join(''), ended }
  }

  const childOf = async ({ shell: { pid } }: Running): Promise<number> => {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return Number(children.trim().split(' ')[0])
  }

  it('passes on that it has to end, and ends with the service', async () => {
    const running = await start()
    await eventually('it listens', async () => running.said().includes('"event":"listening"'), 60_000)
    running.shell.kill('SIGTERM')
    expect(await running.ended).toBe(0)
    expect(running.said()).toContain('"event":"closed"')
  })

  it('ends with a code that says so when the service dies', async () => {
    const running = await start()
    await eventually('it listens', async () => running.said().includes('"event":"listening"'), 60_000)
    process.kill(await childOf(running), 'SIGKILL')
    expect(await running.ended).toBe(128 + 9)
  })

  it('waits where a setting is wrong, says what, and ends when it is told to', async () => {
    const running = await start({ REEVE_PUBLIC_URL: 'nonsense' })
    await eventually('it says so', async () => running.said().includes('mend it'), 60_000)
    expect(running.said()).toContain('REEVE_PUBLIC_URL is not an origin')
    expect(running.shell.exitCode).toBeNull()
    running.shell.kill('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})
