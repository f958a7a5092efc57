/** The folder of checkpoints: whole files or none, whoever else is there, and whoever dies in the middle. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { textOfCheckpoint } from '../../src/audit/checkpoint.ts'
import { checkpointFolder, readCheckpoint } from '../../src/audit/checkpoint-folder.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { HASH, INSTANCE, madeCheckpoint } from '../kit/checkpoints.ts'

const WRITING = fileURLToPath(new URL('../kit/checkpoint-writing.ts', import.meta.url))
const KILLS = Number(process.env['REEVE_TEST_KILLS'] ?? 12)
const NAME = 'checkpoint-20260101T000000000Z-0123456789abcdef.json'

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'reeve-checkpoints-'))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

const folder = () => checkpointFolder(path, systemRandom)

describe('the folder', () => {
  it('is made where there is none, for its owner alone, and so are the files in it', async () => {
    const inner = checkpointFolder(join(path, 'a', 'b'), systemRandom)
    expect(await inner.read(INSTANCE)).toEqual({ kept: [], strangers: 0 })
    const { name, bytes } = await inner.write(madeCheckpoint({ atMs: 5, chains: 3 }))
    expect(statSync(inner.path).mode & 0o777).toBe(0o700)
    expect(statSync(join(inner.path, name)).mode & 0o777).toBe(0o600)
    expect(statSync(join(inner.path, name)).size).toBe(bytes)
    expect(readdirSync(inner.path)).toEqual([name])
  })

  it('gives back what was written, the oldest first, and only what is of this database', async () => {
    await folder().write(madeCheckpoint({ atMs: 9, chains: 2 }))
    await folder().write(madeCheckpoint({ atMs: 7, chains: 1 }))
    await folder().write(madeCheckpoint({ atMs: 8, chains: 1, instance: 'f'.repeat(32) }))
    const { kept, strangers } = await folder().read(INSTANCE)
    expect(kept.map(({ checkpoint }) => checkpoint.atMs)).toEqual([7, 9])
    expect(strangers).toBe(1)
  })

  it('takes no file for one that has another name', async () => {
    for (const name of ['notes.txt', `.${NAME}.new`, `${NAME}.bak`, 'checkpoint.json'])
      writeFileSync(join(path, name), 'anything')
    expect(await folder().read(INSTANCE)).toEqual({ kept: [], strangers: 0 })
  })

  it.each([
    ['a torn one', (text: string) => text.slice(0, 150), 'it is not whole'],
    ['an empty one', () => '', 'it is not whole'],
    ['one of another version', (text: string) => text.replace('"format":1', '"format":0'), 'another version'],
    ['one that somebody edited', (text: string) => text.replace('",2,"', '", 3,"'), 'it is not as it was written'],
  ])('does not pass over %s, and says which it is and what to do', async (_name, spoil, why) => {
    const text = textOfCheckpoint(madeCheckpoint({ atMs: 5, chains: 3 }))
    writeFileSync(join(path, NAME), spoil(text))
    await folder().write(madeCheckpoint({ atMs: 6, chains: 3 }))
    const reading = folder().read(INSTANCE)
    await expect(reading).rejects.toThrow(`the checkpoint ${join(path, NAME)} can't be read (`)
    await expect(reading).rejects.toThrow(why)
    await expect(reading).rejects.toThrow('move it away')
  })

  it('that is a file says so', async () => {
    const file = join(path, 'file')
    writeFileSync(file, '')
    await expect(checkpointFolder(file, systemRandom).read(INSTANCE)).rejects.toThrow('ENOTDIR')
    await expect(checkpointFolder(file, systemRandom).write(madeCheckpoint({ atMs: 5, chains: 3 }))).rejects.toThrow()
  })

  it('keeps what is moved aside, out of the way', async () => {
    const first = await folder().write(madeCheckpoint({ atMs: 5, chains: 3 }))
    const aside = await folder().setAside([first.name])
    expect((await folder().read(INSTANCE)).kept).toEqual([])
    expect(await readCheckpoint(join(aside, first.name))).toMatchObject({ checkpoint: { atMs: 5 } })
  })

  it('loses the drafts of those who died, once nobody can be writing at them', async () => {
    const [old, young] = [`.${NAME}.new`, `.${NAME.replace('0123', '4567')}.new`]
    for (const name of [old, young]) writeFileSync(join(path, name), 'half of')
    const nowMs = Date.now()
    utimesSync(join(path, old), (nowMs - 7_200_000) / 1000, (nowMs - 7_200_000) / 1000)
    const { name } = await folder().write(madeCheckpoint({ atMs: nowMs, chains: 1 }))
    expect(readdirSync(path).toSorted()).toEqual([young, name].toSorted())
  })

  it('with two who write and remove at once always has what either of them wrote last', async () => {
    const write = async (startMs: number) => {
      for (let atMs = startMs; atMs < startMs + 60; atMs++) {
        const { kept } = await folder().read(INSTANCE)
        const { name } = await folder().write(madeCheckpoint({ atMs, chains: 20 }))
        await folder().remove(kept.map((one) => one.name))
        const { kept: after } = await folder().read(INSTANCE)
        // Mine is there, or somebody who read it has written another.
        expect(after.some((one) => one.name === name) || after.length > 0).toBe(true)
      }
    }
    await Promise.all([write(1_000), write(2_000)])
    const { kept } = await folder().read(INSTANCE)
    expect(kept.length).toBeGreaterThan(0)
    expect(readdirSync(path).filter((name) => name.endsWith('.new'))).toEqual([])
  })
})

it(`what was said to be written is there after kill -9, or something newer, and all of it whole (${KILLS} times)`, {
  timeout: 60_000 + KILLS * 5_000,
}, async () => {
  let atMs = 1
  for (let nth = 0; nth < KILLS; nth++) {
    const child = spawn(process.execPath, [WRITING, path, '3000', String(atMs)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let heard = ''
    const some = new Promise<void>((resolve) =>
      child.stdout.on('data', (chunk: Buffer) => {
        heard += chunk.toString('utf8')
        if (heard.split('\n').length > 3) resolve()
      }),
    )
    await some
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 60))
    child.kill('SIGKILL')
    await once(child, 'close')
    const said = Number(heard.split('\n').at(-2))
    const { kept } = await folder().read(INSTANCE)
    const newest = kept.at(-1)?.checkpoint
    expect(newest?.atMs).toBeGreaterThanOrEqual(said)
    expect(newest?.heads).toHaveLength(3000)
    expect(newest?.heads.every(({ hash }) => hash === HASH)).toBe(true)
    atMs = (newest?.atMs ?? 0) + 1
  }
  const drafts = readdirSync(path).filter((name) => name.endsWith('.new'))
  for (const draft of drafts) expect(readFileSync(join(path, draft)).length).toBeLessThanOrEqual(1e7)
})
