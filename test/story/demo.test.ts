/** The demo as a newcomer runs it: a process, what it prints, its exit code, and what it leaves behind, which is nothing. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../kit/waiting.ts'

const DEMO = fileURLToPath(new URL('../../demo/demo.ts', import.meta.url))

interface Run {
  readonly child: ChildProcessByStdio<null, Readable, Readable>
  stdout(): string
  stderr(): string
  /** The exit code, once all output is in. */
  readonly code: Promise<number | null>
}

function run(temporary: string, ...args: string[]): Run {
  // Older versions of Node 24 warn that running TypeScript is experimental; nothing else may be said beside the story.
  const NODE_OPTIONS = '--disable-warning=ExperimentalWarning'
  const env = { NODE_OPTIONS, PATH: process.env.PATH ?? '', TMPDIR: temporary, TEMP: temporary }
  const child = spawn(process.execPath, [DEMO, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const heard = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (heard.stdout += chunk.toString('utf8')))
  child.stderr.on('data', (chunk: Buffer) => (heard.stderr += chunk.toString('utf8')))
  const code = once(child, 'close').then(([exitCode]) => exitCode as number | null)
  return { child, stdout: () => heard.stdout, stderr: () => heard.stderr, code }
}

/** Whether a process is there; a number that was never one says so too. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const reevePid = (text: string): number => Number(/process ([0-9]+), embedded database/.exec(text)?.[1])

describe('the demo', () => {
  let temporary: string
  let running: Run | null = null

  beforeEach(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'reeve-demo-test-'))
  })
  afterEach(async () => {
    // Asked, not killed: killed, it would leave its Reeve behind.
    running?.child.kill('SIGTERM')
    await running?.code
    running = null
    await rm(temporary, { recursive: true, force: true })
  })

  it('tells the story to its end, without a key or a token in it, and leaves nothing behind', async () => {
    running = run(temporary)
    expect(await running.code, running.stderr()).toBe(0)
    const told = running.stdout()

    expect(told).toMatch(/the community +did:plc:[a-z2-7]{24}\n/)
    expect(told).toMatch(
      /rotation key 1 +did:key:zDnae\w+ {2}\(alice’s\)\n +rotation key 2 +did:key:z\w+ {2}\(Reeve’s\)/,
    )
    expect(told).toMatch(/the space +at:\/\/did:plc:[a-z2-7]{24}\/space\/com\.atmoboards\.forum\/main\n/)
    expect(told.match(/verified without Reeve’s code: key from the PLC directory/g)).toHaveLength(2)
    expect(told).toContain('carol, who is no member → 400 UserNotAuthorized')
    expect(told).toContain('bob’s token a second time → 401 JwtReplayed')
    expect(told).toContain('bob, from this moment → 400 UserNotAuthorized')
    expect(told.match(/[0-9]+ +[0-9a-f]{10}… +credential\.issue by bob\.test\n/g)).toHaveLength(3)
    expect(told).toMatch(/bob\.test wrote; before it nothing\n +(\S+) +alice\.test wrote; before it \S+\n/)
    expect(told).toContain('it has missed something, and knows it')
    expect(told).toMatch(/listRepos from its own checkpoint: 2 repos changed since, carol’s among\s+them/)
    expect(told).toContain('his syncer isn’t told of what alice writes now')
    expect(told).toContain('Nothing is left running.')

    expect(running.stderr()).toBe('')
    expect(told).not.toContain('\u001b')
    expect(told).not.toMatch(/eyJ|PRIVATE/)
    expect(told).not.toMatch(/[0-9a-f]{64}/)
    expect(isAlive(reevePid(told))).toBe(false)
    expect(await readdir(temporary)).toEqual([])
  })

  it('stays when asked to, answers, and ends well by Ctrl-C', async () => {
    running = run(temporary, '--stay')
    const { stdout, child } = running
    await eventually('the demo stays', async () => stdout().includes('It is still running'), 90_000)
    const health = /http:\/\/localhost:[0-9]+\/xrpc\/_health/.exec(stdout())?.[0] ?? ''
    expect((await fetch(health)).status).toBe(200)

    child.kill('SIGINT')
    expect(await running.code).toBe(0)
    expect(isAlive(reevePid(stdout()))).toBe(false)
    expect(await readdir(temporary)).toEqual([])
  })

  it('takes everything down again when it is interrupted while it starts', async () => {
    running = run(temporary)
    const hasFolder = async () => (await readdir(temporary)).some((name) => name.startsWith('reeve-demo-'))
    await eventually('Reeve gets its folder', hasFolder, 90_000)
    running.child.kill('SIGTERM')
    expect(await running.code).toBe(130)
    expect(running.stderr()).toBe('')
    expect(await readdir(temporary)).toEqual([])
  })

  it('says what stopped it, and ends with 1', async () => {
    running = run(join(temporary, 'that', 'is', 'not', 'there'))
    expect(await running.code).toBe(1)
    expect(running.stderr()).toMatch(/^\nThe demo stopped: ENOENT/)
  })

  it('verifies with nothing that Reeve is made of', async () => {
    const verifier = await readFile(new URL('../../demo/independent-verifier.ts', import.meta.url), 'utf8')
    const imported = [...verifier.matchAll(/^import .* from '(.+)'$/gm)].map(([, from]) => from)
    expect(imported).toEqual(['node:crypto', '@did-plc/lib', '@ipld/dag-cbor', 'jose', './network.ts'])
  })
})
