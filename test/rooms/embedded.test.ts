/** The embedded database: what it acknowledges is on the disk, and nobody else touches its files. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, fsyncSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { databaseOf } from '../../src/platform/database.ts'
import { DirectoryHeld, lockDirectory } from '../../src/platform/directory-lock.ts'
import { openEmbedded } from '../../src/platform/embedded.ts'
import { silentLog } from '../../src/platform/log.ts'
import { lifeOf, ownMark } from '../../src/platform/process-mark.ts'
import { Unavailable } from '../../src/refusals.ts'

const root = mkdtempSync(join(tmpdir(), 'reeve-embedded-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let made = 0
function newDirectory(): string {
  const directory = join(root, `data-${made++}`)
  mkdirSync(directory)
  return directory
}

/** For a test that starts so many one after the other. */
const FORTY_PROCESSES = { timeout: 900_000 }

interface Child {
  readonly process: ChildProcessByStdio<Writable, Readable, null>
  /** The next line that it prints. */
  line(): Promise<string>
  kill(): Promise<void>
}

const children: Child[] = []
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.kill()))
})

const HOLDER = fileURLToPath(new URL('../kit/directory-holder.ts', import.meta.url))

function start(...args: string[]): Child {
  const process_ = spawn(process.execPath, [HOLDER, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines: string[] = []
  const waiting: ((line: string) => void)[] = []
  process_.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.trimEnd().split('\n')) {
      const next = waiting.shift()
      if (next) next(line)
      else lines.push(line)
    }
  })
  process_.stdin.on('error', () => {})
  const child: Child = {
    process: process_,
    line: () => new Promise((resolve) => (lines.length > 0 ? resolve(lines.shift() ?? '') : waiting.push(resolve))),
    async kill() {
      if (process_.exitCode !== null || process_.signalCode !== null) return
      const ended = once(process_, 'exit')
      process_.kill('SIGKILL')
      await ended
    },
  }
  children.push(child)
  return child
}

/** Everything about the files of a directory that a write would change. */
function footprint(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { size, mtimeMs, ino } = statSync(join(directory, name))
      return `${name} ${size} ${mtimeMs} ${ino}`
    })
}

describe('writing for good', () => {
  it('answers a commit only after asking the system to write it down', async () => {
    let synced = 0
    const engine = await openEmbedded({
      dataDir: newDirectory(),
      log: silentLog,
      fsync: (file) => {
        synced++
        fsyncSync(file)
      },
    })
    const { db, close } = databaseOf(engine)
    await sql`create table noted (value integer)`.execute(db)
    for (let value = 0; value < 20; value++) {
      const before = synced
      await sql`insert into noted values (${value})`.execute(db)
      expect(synced).toBeGreaterThan(before)
    }
    const before = synced
    await db.transaction().execute(async (tx) => {
      await sql`insert into noted values (100)`.execute(tx)
      await sql`insert into noted values (101)`.execute(tx)
    })
    expect(synced).toBeGreaterThan(before)
    await close()
  })

  it('runs with the settings that make PostgreSQL ask', async () => {
    const { db, close } = databaseOf(await openEmbedded({ dataDir: newDirectory(), log: silentLog }))
    const { rows } = await sql<{ name: string; setting: string }>`
      select name, setting from pg_settings
      where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'wal_sync_method') order by name`.execute(db)
    expect(rows).toEqual([
      { name: 'fsync', setting: 'on' },
      { name: 'full_page_writes', setting: 'on' },
      { name: 'synchronous_commit', setting: 'on' },
      { name: 'wal_sync_method', setting: 'fsync' },
    ])
    await close()
  })

  it('acknowledges nothing after the disk failed once, says so each time, and opens again afterwards', async () => {
    const dataDir = newDirectory()
    let isBroken = false
    const engine = await openEmbedded({
      dataDir,
      log: silentLog,
      fsync: (file) => {
        if (isBroken) throw Object.assign(new Error('EIO'), { code: 'EIO' })
        fsyncSync(file)
      },
    })
    const { db, close } = databaseOf(engine)
    await sql`create table noted (value integer)`.execute(db)
    await sql`insert into noted values (1)`.execute(db)

    isBroken = true
    const failing = sql`insert into noted values (2)`.execute(db)
    await expect(failing).rejects.toMatchObject({ code: 'NotEnoughResources', what: 'database' })
    isBroken = false
    await expect(sql`insert into noted values (3)`.execute(db)).rejects.toBeInstanceOf(Unavailable)
    await expect(sql`select 1`.execute(db)).rejects.toBeInstanceOf(Unavailable)
    await expect(db.transaction().execute(async () => 'done')).rejects.toBeInstanceOf(Unavailable)
    await close()

    const again = databaseOf(await openEmbedded({ dataDir, log: silentLog }))
    const { rows } = await sql<{ value: number }>`select value from noted order by value`.execute(again.db)
    expect(rows[0]).toEqual({ value: 1 })
    expect(rows.map((row) => row.value)).not.toContain(3)
    await again.close()
  })

  it('refuses to open on a disk that takes no commit', async () => {
    const dataDir = newDirectory()
    await databaseOf(await openEmbedded({ dataDir, log: silentLog })).close()
    const fsync = () => {
      throw Object.assign(new Error('EIO'), { code: 'EIO' })
    }
    await expect(openEmbedded({ dataDir, log: silentLog, fsync })).rejects.toThrow(/does not write|can't be opened/)
    const lock = await lockDirectory(dataDir)
    lock.release()
  })

  it('keeps what was acknowledged when it is closed, and when it was killed', async () => {
    const dataDir = newDirectory()
    const first = databaseOf(await openEmbedded({ dataDir, log: silentLog }))
    await sql`create table noted (value integer)`.execute(first.db)
    await sql`insert into noted values (7)`.execute(first.db)
    await first.close()

    const holder = start('database', dataDir)
    expect(await holder.line()).toBe('held')
    await holder.kill()

    const again = databaseOf(await openEmbedded({ dataDir, log: silentLog }))
    expect((await sql`select value from noted`.execute(again.db)).rows).toEqual([{ value: 7 }])
    await again.close()
  })

  it('begins anew when making the files was interrupted', async () => {
    const dataDir = newDirectory()
    mkdirSync(join(dataDir, 'database.new', 'base'), { recursive: true })
    writeFileSync(join(dataDir, 'database.new', 'PG_VERSION'), '18\n')
    const { db, close } = databaseOf(await openEmbedded({ dataDir, log: silentLog }))
    expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
    expect(existsSync(join(dataDir, 'database.new'))).toBe(false)
    await close()
  })

  it('says where and what the files are when they cannot be opened', async () => {
    const dataDir = newDirectory()
    mkdirSync(join(dataDir, 'database'))
    writeFileSync(join(dataDir, 'database', 'PG_VERSION'), '12\n')
    await expect(openEmbedded({ dataDir, log: silentLog })).rejects.toThrow(
      /database can't be opened \(files of PostgreSQL 12\)/,
    )
  })
})

describe('one process per directory', () => {
  it('refuses a second process, names the first, and leaves every file as it was', async () => {
    const dataDir = newDirectory()
    const first = start('database', dataDir)
    expect(await first.line()).toBe('held')
    const before = footprint(join(dataDir, 'database'))
    const lockBefore = footprint(dataDir).filter((line) => line.startsWith('lock'))

    const second = start('database', dataDir)
    expect(await second.line()).toBe(`refused ${first.process.pid}`)
    await expect(openEmbedded({ dataDir, log: silentLog })).rejects.toMatchObject({
      name: 'DirectoryHeld',
      pid: first.process.pid,
      message: expect.stringContaining(`held by process ${first.process.pid}, which still runs`),
    })

    expect(footprint(join(dataDir, 'database'))).toEqual(before)
    expect(footprint(dataDir).filter((line) => line.startsWith('lock'))).toEqual(lockBefore)
  })

  it('refuses the same process a second time', async () => {
    const directory = newDirectory()
    const lock = await lockDirectory(directory)
    await expect(lockDirectory(directory)).rejects.toBeInstanceOf(DirectoryHeld)
    lock.release()
  })

  it('gives the directory back when it is closed', async () => {
    const directory = newDirectory()
    const first = start('lock', directory)
    expect(await first.line()).toBe('held')
    const ended = once(first.process, 'exit')
    first.process.stdin.end()
    await ended
    expect(readdirSync(directory)).toEqual([])
    const second = start('lock', directory)
    expect(await second.line()).toBe('held')
  })

  it('takes over from a process that was killed, and leaves nothing lying about', async () => {
    const directory = newDirectory()
    const killed = start('lock', directory)
    expect(await killed.line()).toBe('held')
    await killed.kill()
    writeFileSync(
      join(directory, `lock.draft-${killed.process.pid}`),
      JSON.stringify({ ...ownMark(), pid: killed.process.pid, nonce: 'd' }),
    )
    const next = start('lock', directory)
    expect(await next.line()).toBe('held')
    expect(readdirSync(directory)).toEqual(['lock'])
  })

  it('gives a free directory to exactly one of two that race for it, twenty times', FORTY_PROCESSES, async () => {
    const outcomes: string[] = []
    for (let round = 0; round < 20; round++) outcomes.push(await race(newDirectory()))
    expect(outcomes).toEqual(Array.from({ length: 20 }, () => 'one held, the other refused and named it'))
  })

  it(
    "gives a dead holder's directory to exactly one of two that race for it, twenty times",
    FORTY_PROCESSES,
    async () => {
      const killed = start('lock', newDirectory())
      expect(await killed.line()).toBe('held')
      const dead = { ...ownMark(), pid: killed.process.pid, startTicks: null, nonce: 'a-dead-one' }
      await killed.kill()

      const outcomes: string[] = []
      for (let round = 0; round < 20; round++) {
        const directory = newDirectory()
        writeFileSync(join(directory, 'lock'), JSON.stringify(dead))
        outcomes.push(await race(directory))
        expect(readdirSync(directory).filter((name) => name.startsWith('lock.claim'))).toEqual([])
      }
      expect(outcomes).toEqual(Array.from({ length: 20 }, () => 'one held, the other refused and named it'))
    },
  )

  it("gives a dead holder's directory to one of many takers within a process", async () => {
    const directory = newDirectory()
    writeFileSync(join(directory, 'lock'), JSON.stringify({ ...ownMark(), bootId: 'another start', nonce: 'old' }))
    const tries = await Promise.allSettled(Array.from({ length: 12 }, () => lockDirectory(directory)))
    const [held] = tries.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    expect(tries.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
    for (const result of tries) if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(DirectoryHeld)
    held?.release()
    expect(readdirSync(directory)).toEqual([])
  })

  it('keeps its hands off a lock that it cannot read', async () => {
    const directory = newDirectory()
    writeFileSync(join(directory, 'lock'), 'something else')
    await expect(lockDirectory(directory)).rejects.toThrow(/is no lock of ours/)
    expect(readdirSync(directory)).toEqual(['lock'])
  })
})

describe('who is dead', () => {
  const own = ownMark()

  it('is somebody of an earlier start of the machine', () => {
    expect(lifeOf({ ...own, bootId: 'an earlier start' })).toBe(own.bootId === null ? 'living' : 'dead')
  })

  it('is somebody whose number now belongs to another process', () => {
    expect(lifeOf({ ...own, startTicks: '1' })).toBe(own.startTicks === null ? 'living' : 'dead')
  })

  it('is nobody who runs', () => {
    expect(lifeOf(own)).toBe('living')
    expect(lifeOf({ ...own, startTicks: null })).toBe('living')
  })

  it('cannot be told of a process in another container, whose directory is then refused', async () => {
    const elsewhere = { ...own, pidNamespace: 'pid:[1]', nonce: 'n' }
    expect(lifeOf(elsewhere)).toBe('hidden')
    const directory = newDirectory()
    writeFileSync(join(directory, 'lock'), JSON.stringify(elsewhere))
    await expect(lockDirectory(directory)).rejects.toThrow(/in another container/)
  })
})

/** Two processes start at one moment on one directory; tells how it ended, and ends the winner. */
async function race(directory: string): Promise<string> {
  const racers = [start('lock', directory, 'go'), start('lock', directory, 'go')]
  await Promise.all(racers.map((racer) => racer.line()))
  for (const racer of racers) racer.process.stdin.write('go\n')
  const lines = await Promise.all(racers.map((racer) => racer.line()))
  const winner = racers[lines.indexOf('held')]
  const expected = `refused ${winner?.process.pid}`
  await Promise.all(racers.map((racer) => racer.kill()))
  return lines.includes('held') && lines.includes(expected)
    ? 'one held, the other refused and named it'
    : lines.join(', ')
}
