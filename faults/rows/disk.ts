/** The disk under the database is full for a while: a small file system of its own, and a file that takes what is left of it. */
import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { requestAs } from '../../test/kit/people.ts'
import { type Found, type Notebook, type Row, recovers, type Tried, together, underLoad, warm } from '../row.ts'
import { isEnough, times } from '../settings.ts'
import { clock, R, type Stage, timeUntil } from '../stage.ts'

const SIZE_MIB = 256
const PIECE_BYTES = 1024 * 1024
const LAST_BYTES = 4096
/** Until the room within files that are there already is used up. */
const UNTIL_FELT_MS = 90_000
const FELT_FOR_MS = 2_000
const PIECES_AT_ONCE = 20
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
  does: `the small disk (${SIZE_MIB} MiB) on which the database is fills up to the last page, and is freed again; then the same with the disk on which the log of a PostgreSQL is (\`pg_wal\`), which has to grow`,
  holds:
    'changes are put off by 503 with its name; reads go on while the database does; when there is room it goes on, PostgreSQL by itself unless it has ended for lack of a log, the embedded database at the latest when it is started again; no row of the log is torn',
  engines: ['embedded', 'postgres'],
  leftOut: cannotMount,
  run: async (tried) => {
    const found = await onSmallDisk((small) => fillTables(tried, small))
    return tried.engine === 'embedded' ? found : together([found, await onSmallDisk((small) => fillLog(tried, small))])
  },
}

async function onSmallDisk<T>(work: (small: SmallDisk) => Promise<T>): Promise<T> {
  const small = mountSmall()
  try {
    return await work(small)
  } finally {
    small.close()
  }
}

function fillTables(tried: Tried, small: SmallDisk): Promise<Found> {
  const where = tried.engine === 'embedded' ? { dataDir: small.folder } : { ownServer: { under: small.folder } }
  return underLoad(tried, where, async (stage, load, notebook) => {
    const count = times(4, 2)
    let [byItself, started] = [0, 0]
    for (; notebook.times < count && !isEnough(); notebook.times++) {
      await warm(load)
      const since = stage.recorder.operations.length
      small.fill()
      try {
        const felt = await timeUntil(() => isPutOff(stage, since), UNTIL_FELT_MS)
        notebook.expectThat(felt !== null, 'full: nothing was put off, so nothing was shown')
        await sleep(FELT_FOR_MS)
        await expectRead(stage, notebook)
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
  })
}

/** A log that can't grow ends every process of the server at once, and it may not come back before there is room. */
function fillLog(tried: Tried, small: SmallDisk): Promise<Found> {
  return underLoad(tried, { ownServer: { logUnder: small.folder } }, async (stage, load, notebook) => {
    const { own } = stage
    if (!own) throw new Error('no server of its own')
    const { pid } = stage.reeve
    const count = times(4, 2)
    let started = 0
    for (; notebook.times < count && !isEnough(); notebook.times++) {
      await warm(load)
      const since = stage.recorder.operations.length
      small.fill()
      try {
        const fell = await timeUntil(() => isGone(stage), UNTIL_FELT_MS)
        notebook.expectThat(fell !== null, 'log: the server went on, so nothing was shown')
        const felt = await timeUntil(() => isPutOff(stage, since), UNTIL_FELT_MS)
        notebook.expectThat(felt !== null, 'log: nothing was put off')
        await sleep(FELT_FOR_MS)
        await expectRead(stage, notebook)
      } finally {
        small.free()
      }
      const before = load.acknowledged.changes
      const isBack = await timeUntil(() => load.acknowledged.changes > before, BY_ITSELF_MS)
      if (isBack === null && !(await own.isRunning())) {
        started += 1
        await own.start()
      }
      await recovers(load, notebook, 'after the disk of the log was freed')
      tried.says(`log, ${notebook.times + 1} of ${count}`)
    }
    const panics = (await own.log()).split('\n').filter((line) => line.includes('PANIC:')).length
    notebook.expectThat(panics > 0, 'log: the server never failed for lack of it')
    notebook.expectThat(!stage.reeve.hasEnded() && stage.reeve.pid === pid, 'recovery: the process ended')
    Object.assign(notebook.notes, { 'servers without a log': panics, 'servers that had ended': started })
  })
}

/** Has the server begin the next piece of its log, and says whether it fell by that. */
async function isGone(stage: Stage): Promise<boolean> {
  const client = new pg.Client({ connectionString: stage.databaseUrl ?? '', connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    for (let nth = 0; nth < PIECES_AT_ONCE; nth++) {
      await client.query(`select pg_logical_emit_message(true, 'faults', 'x')`)
      await client.query('select pg_switch_wal()')
    }
    return false
  } catch {
    return true
  } finally {
    await client.end().catch(() => {})
  }
}

/** Who only reads is answered, or put off. */
async function expectRead(stage: Stage, notebook: Notebook): Promise<void> {
  const said = await readsOf(stage)
  const name = `reads while full: ${said}`
  notebook.notes[name] = Number(notebook.notes[name] ?? 0) + 1
  notebook.expectThat(said === 'ok' || said === PUT_OFF, `full: who reads was told ${said}`)
}
