/** The disk under the database is full for a while: a small file system of its own, and a file that takes what is left of it. */
import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { requestAs } from '../../test/kit/people.ts'
import { type Row, recovers, underLoad, warm } from '../row.ts'
import { isEnough, times } from '../settings.ts'
import { clock, R, type Stage, timeUntil } from '../stage.ts'

const SIZE_MIB = 256
const PIECE_BYTES = 1024 * 1024
const LAST_BYTES = 4096
/** Until the room within files that are there already is used up. */
const UNTIL_FELT_MS = 90_000
const FELT_FOR_MS = 2_000
/** Whoever goes on without being started again does so by then. */
const BY_ITSELF_MS = 15_000

interface SmallDisk {
  readonly folder: string
  /** Takes everything that is left. */
  fill(): void
  free(): void
  close(): void
}

function mountSmall(): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'reeve-small-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MIB}m`, 'reeve-faults', folder], { stdio: 'ignore' })
  // The server runs as an account of its own.
  chmodSync(folder, 0o777)
  const file = join(folder, 'filler')
  return {
    folder,
    fill() {
      const filler = openSync(file, 'a')
      for (const size of [PIECE_BYTES, LAST_BYTES]) while (isWritten(filler, Buffer.alloc(size, 1)));
      closeSync(filler)
    },
    free: () => rmSync(file, { force: true }),
    close() {
      execFileSync('umount', ['-l', folder], { stdio: 'ignore' })
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function isWritten(file: number, bytes: Buffer): boolean {
  try {
    return writeSync(file, bytes) === bytes.length
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') return false
    throw error
  }
}

function cannotMount(): string | null {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root on Linux can mount a small disk'
  try {
    mountSmall().close()
    return null
  } catch {
    return 'this machine lets nobody mount a small disk'
  }
}

const PUT_OFF = '503 NotEnoughResources'
const isPutOff = (stage: Stage, since: number): boolean =>
  stage.recorder.operations.slice(since).some(({ says }) => says === PUT_OFF)

/** What somebody hears who only reads. */
async function readsOf(stage: Stage): Promise<string> {
  const { founder, hall, reeve } = stage
  const raw = requestAs(founder, { ...reeve, nowSec: clock.nowSec() }, `${R}.member.list`, { space: hall }, 'query')
  return (await stage.send(raw, founder.did)).says
}

export const disk: Row = {
  name: 'disk',
  does: `the small disk (${SIZE_MIB} MiB) on which the database is fills up to the last page, and is freed again`,
  holds:
    'changes are put off by 503 with its name; reads go on while the database does; when there is room it goes on, PostgreSQL by itself, the embedded database at the latest when it is started again; no row of the log is torn',
  engines: ['embedded', 'postgres'],
  leftOut: cannotMount,
  run: async (tried) => {
    const small = mountSmall()
    try {
      const where = tried.engine === 'embedded' ? { dataDir: small.folder } : { ownServer: { under: small.folder } }
      return await underLoad(tried, where, async (stage, load, notebook) => {
        const count = times(4, 2)
        let [byItself, started] = [0, 0]
        const reads: Record<string, number> = {}
        for (; notebook.times < count && !isEnough(); notebook.times++) {
          await warm(load)
          const since = stage.recorder.operations.length
          small.fill()
          try {
            const felt = await timeUntil(() => isPutOff(stage, since), UNTIL_FELT_MS)
            notebook.expectThat(felt !== null, 'full: nothing was put off, so nothing was shown')
            await sleep(FELT_FOR_MS)
            const said = await readsOf(stage)
            reads[said] = (reads[said] ?? 0) + 1
            notebook.expectThat(said === 'ok' || said === PUT_OFF, `full: who reads was told ${said}`)
          } finally {
            small.free()
          }
          const before = load.acknowledged.changes
          if ((await timeUntil(() => load.acknowledged.changes > before, BY_ITSELF_MS)) !== null) byItself += 1
          else {
            notebook.expectThat(tried.engine === 'embedded', 'recovery: it did not go on by itself')
            started += 1
            if (!stage.reeve.hasEnded()) await stage.reeve.stop()
            await stage.restart()
          }
          await recovers(load, notebook, 'after the disk was freed')
          tried.says(`${notebook.times + 1} of ${count}`)
        }
        Object.assign(notebook.notes, { 'went on by itself': byItself, 'had to be started again': started })
        for (const [said, often] of Object.entries(reads)) notebook.notes[`reads while full: ${said}`] = often
      })
    } finally {
      small.close()
    }
  },
}
