/** The key-encryption key is not there: it is a file that an operator brings, read at the start, and never again while the process lives. */
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../../test/kit/cli.ts'
import { makeKek } from '../../test/kit/sealed-house.ts'
import { readFinal } from '../final.ts'
import { type Notebook, type Row, recovers, underLoad, warm } from '../row.ts'
import { isEnough, times } from '../settings.ts'
import { type Stage, show, tokenOf } from '../stage.ts'

const keys = { ours: makeKek().hex, another: makeKek().hex }

/** What stands where the key was. Each is made in place of what was there before. */
const BROKEN: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  'is gone': async () => {},
  'is empty': (path) => writeFile(path, '', { mode: 0o400 }),
  'is half': (path) => writeFile(path, keys.ours.slice(0, 32), { mode: 0o400 }),
  'is in capitals': (path) => writeFile(path, `${keys.ours.toUpperCase()}\n`, { mode: 0o400 }),
  'is open to others': async (path) => {
    await writeFile(path, `${keys.ours}\n`)
    await chmod(path, 0o644)
  },
  'is a folder': (path) => mkdir(path),
}

const put = (path: string, hex: string) => writeFile(path, `${hex}\n`, { mode: 0o400 })
const clear = (path: string) => rm(path, { recursive: true, force: true })

export const kek: Row = {
  name: 'kek',
  does: `the file of the key-encryption key vanishes while the process runs; when it is started again the file ${Object.keys(BROKEN).join(', ')}, or has another key; and a replacement is tried with each of these`,
  holds:
    'the process that has the key goes on; a start, or a replacement, without it ends with a line that names it, says nothing of it and changes nothing; with another key nobody gets a credential (503 `KekUnavailable`); with the right one everything goes on',
  engines: ['embedded', 'postgres'],
  run: async (tried) => {
    const folder = await mkdtemp(join(tmpdir(), 'reeve-kek-'))
    const path = join(folder, 'kek')
    await put(path, keys.ours)
    try {
      return await underLoad(tried, { environment: { REEVE_KEK: `file:${path}` } }, async (stage, load, notebook) => {
        const rounds = times(4, 1)
        for (let nth = 0; nth < rounds && !isEnough(); nth++) {
          await rename(path, join(folder, 'elsewhere'))
          // Every key in memory is forgotten, and opened again by the key-encryption key that is in memory.
          process.kill(stage.reeve.pid, 'SIGUSR2')
          await warm(load)
          notebook.expectThat(!stage.reeve.hasEnded(), 'running: it ended when the file went')
          await stage.reeve.stop()
          await expectNoStart(stage, path, notebook)

          await put(path, keys.another)
          await stage.restart()
          const { says } = await show(stage, tokenOf(stage, stage.steady[0] ?? stage.founder, stage.hall))
          notebook.expectThat(says === '503 KekUnavailable', `another key: an exchange was told ${says}`)
          const isTold = stage.reeve.output().includes('"event":"kek.notConfigured"')
          notebook.expectThat(isTold, 'another key: the log does not say that it opens nothing')
          await stage.reeve.stop()
          notebook.times += 1

          await clear(path)
          await put(path, keys.ours)
          await stage.restart()
          await recovers(load, notebook, 'after the key was back')
          tried.says(`${nth + 1} of ${rounds}`)
        }
      })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

/** Starts and replacements with what is no key: each ends by itself, and leaves everything as it was. */
async function expectNoStart(stage: Stage, path: string, notebook: Notebook): Promise<void> {
  const { expectThat } = notebook
  const before = JSON.stringify(await readFinal(stage, stage.community))
  for (const [says, make] of Object.entries(BROKEN)) {
    await clear(path)
    await make(path)
    const said = await stage.restart().then(
      () => 'it started',
      (error: unknown) => String(error),
    )
    expectThat(/ended with 1 before it listened: .*key-encryption key/s.test(said), `start: the file ${says}: ${said}`)
    const settings = { REEVE_KEK: `file:${path}`, REEVE_KEK_PREVIOUS: `file:${path}.before` }
    await put(`${path}.before`, keys.ours)
    const environment = { ...stage.place.environment, ...settings }
    const tried = await runCli({ args: ['kek', 'rotate'], typed: 'yes\n', environment })
    const isNamed = tried.code === 1 && /key-encryption key/.test(tried.err)
    expectThat(isNamed, `replacement: the file ${says}: ${tried.code} ${tried.out}${tried.err}`)
    const isShown = [keys.ours, keys.ours.toUpperCase()].some((key) => `${said}${tried.out}${tried.err}`.includes(key))
    expectThat(!isShown, `start: the file ${says}, and the key was shown`)
    await clear(`${path}.before`)
    notebook.times += 1
  }
  await clear(path)
  const after = JSON.stringify(await readFinal(stage, stage.community))
  expectThat(after === before, 'start: something changed by starts without a key')
}
