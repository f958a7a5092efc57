/** A database beside its checkpoints: what is found when it starts, what is kept while it runs, and what is found when it was changed behind. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { AGE_MAX_MS, type Head, textOfCheckpoint } from '../../src/audit/checkpoint.ts'
import { checkpointFolder } from '../../src/audit/checkpoint-folder.ts'
import { type Checkpoints, openCheckpoints } from '../../src/audit/checkpoints.ts'
import { loadHeads } from '../../src/audit/head-store.ts'
import { compareWith, missingFrom } from '../../src/audit/past.ts'
import { loadMark, markPast, unmark } from '../../src/audit/past-store.ts'
import { appendAllChained, appendChained } from '../../src/audit/store.ts'
import type { Did } from '../../src/names.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { openLog } from '../../src/platform/log.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { Unavailable } from '../../src/refusals.ts'
import { behindItsBack, checkpointOf, cut, HASH, instanceOf } from '../kit/checkpoints.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { freshDid } from '../kit/roll.ts'
import { movableClock } from '../kit/world.ts'

const factAbout = (community: Did, atMs: number) => ({
  ...{ community, atMs, actor: community, action: 'test.note', target: community, subject: null },
  because: { atMs },
})

const grow = (db: Db, community: Did, entries: number) =>
  withTransaction(db, (tx) =>
    appendAllChained(
      tx,
      community,
      Array.from({ length: entries }, (_, nth) => factAbout(community, 1_000 + nth)),
    ),
  )

describeOnEachEngine('checkpoints', (open) => {
  let db: Db
  let path: string
  let communities: Did[]
  const lines: string[] = []
  const clock = movableClock()
  const log = openLog('debug', { write: (line) => void lines.push(line) })
  const events = () => lines.map((line) => JSON.parse(line).event as string)
  const folder = () => checkpointFolder(path, systemRandom)
  const started = async (): Promise<Checkpoints> =>
    openCheckpoints({ db, clock, log, folder: folder(), instance: await instanceOf(db) })
  const kept = async () => (await folder().read(await instanceOf(db))).kept
  const [first, second, third] = [0, 1, 2].map((nth) => () => communities[nth] as Did) as [
    () => Did,
    () => Did,
    () => Did,
  ]

  beforeAll(async () => {
    db = (await open()).db
  })
  beforeEach(async () => {
    await behindItsBack(db, sql`delete from audit_entry`)
    await sql`delete from audit_head`.execute(db)
    await unmark(db)
    path = mkdtempSync(join(tmpdir(), 'reeve-checkpoints-'))
    communities = [freshDid(), freshDid(), freshDid()].toSorted()
    for (const community of communities) await grow(db, community, 3)
    lines.length = 0
  })
  afterEach(() => rmSync(path, { recursive: true, force: true }))

  /** What a checkpoint saw of the first community. */
  const SEEN: Readonly<Record<string, [(head: Head) => Head | null, 'fine' | 'behind' | 'rewritten' | 'gone']>> = {
    'the same': [(head) => head, 'fine'],
    'nothing yet': [() => null, 'fine'],
    'more than there is': [(head) => ({ ...head, seq: head.seq + 2, hash: HASH }), 'behind'],
    'as much, with another hash': [(head) => ({ ...head, hash: HASH }), 'rewritten'],
    'less, with another hash': [(head) => ({ ...head, seq: head.seq - 1, hash: HASH }), 'rewritten'],
    'a community that is not there': [(head) => ({ ...head, community: `${head.community}x` }), 'gone'],
  }

  it.each(Object.keys(SEEN))('at the start: it saw %s', async (name) => {
    const [see, fault] = SEEN[name] ?? []
    const community = first()
    await folder().write(
      await checkpointOf(db, 5_000, (head) => (head.community === community && see ? see(head) : head)),
    )
    const checkpoints = await started()
    expect(checkpoints.isFromPast).toBe(fault !== 'fine')
    const { parted } = await compareWith(
      db,
      (await kept()).map(({ checkpoint }) => checkpoint),
    )
    expect(parted.map((one) => one.fault)).toEqual(fault === 'fine' ? [] : [fault])
    expect(events().includes('restored.fromPast')).toBe(fault !== 'fine')
    // A database from the past leaves what it is judged by as it is.
    const before = readdirSync(path)
    await grow(db, second(), 300)
    await checkpoints.turn()
    await checkpoints.close()
    if (fault !== 'fine') expect(readdirSync(path)).toEqual(before)
    else expect((await kept())[0]?.checkpoint.heads).toEqual(await loadHeads(db))
  })

  it('at the start: the chain went on, and is whole', async () => {
    await folder().write(await checkpointOf(db, 5_000))
    await grow(db, first(), 5)
    expect((await started()).isFromPast).toBe(false)
  })

  it('at the start: of several checkpoints each is asked, and a chain is told by the one that saw most', async () => {
    const community = first()
    for (const more of [4, 9, 2])
      await folder().write(
        await checkpointOf(db, 5_000 + more, (head) =>
          head.community === community ? { ...head, seq: head.seq + more } : head,
        ),
      )
    expect((await started()).isFromPast).toBe(true)
    const { parted } = await compareWith(
      db,
      (await kept()).map(({ checkpoint }) => checkpoint),
    )
    expect(parted).toMatchObject([{ community, fault: 'behind', seen: { seq: 12 }, seenAtMs: 5_009, has: 3 }])
    expect(missingFrom(parted)).toBe(9)
  })

  it('at the start: without any, service begins and the first is written', async () => {
    const checkpoints = await started()
    expect([checkpoints.isFromPast, events()]).toEqual([false, ['checkpoint.none']])
    await checkpoints.turn()
    expect((await kept()).map(({ checkpoint }) => checkpoint.heads)).toEqual([await loadHeads(db)])
  })

  it('at the start: one of another database is passed over, and told', async () => {
    const foreign = { ...(await checkpointOf(db, 5_000)), instance: 'f'.repeat(32) }
    await folder().write({ ...foreign, heads: foreign.heads.map((head) => ({ ...head, seq: head.seq + 1 })) })
    expect((await started()).isFromPast).toBe(false)
    expect(events()).toContain('checkpoint.foreign')
    await grow(db, first(), 1)
    const again = await started()
    await again.turn()
    expect(readdirSync(path)).toHaveLength(2)
  })

  it('at the start: one that can’t be read stops it, beside good ones too', async () => {
    await folder().write(await checkpointOf(db, 5_000))
    const { name } = await folder().write(await checkpointOf(db, 6_000))
    writeFileSync(join(path, name), readFileSync(join(path, name)).subarray(0, 200))
    await expect(started()).rejects.toThrow(`the checkpoint ${join(path, name)} can't be read (it is not whole)`)
  })

  it('while it runs: one is written when something came, soon, and replaces the one before', async () => {
    const checkpoints = await started()
    await checkpoints.turn()
    const [one] = await kept()
    await checkpoints.turn()
    expect((await kept()).map(({ name }) => name)).toEqual([one?.name])
    await grow(db, first(), 1)
    await checkpoints.turn()
    expect((await kept()).map(({ name }) => name)).toEqual([one?.name])
    clock.moveSec(6)
    await checkpoints.turn()
    const [two, ...others] = await kept()
    expect(two?.name).not.toBe(one?.name)
    expect(others).toEqual([])
    expect(two?.checkpoint.heads).toEqual(await loadHeads(db))
    clock.moveSec(AGE_MAX_MS / 1000)
    await checkpoints.turn()
    expect((await kept()).map(({ name }) => name)).toEqual([two?.name])
  })

  it('while it runs: at once when very much came, and at the end whatever came', async () => {
    const checkpoints = await started()
    await checkpoints.turn()
    await grow(db, first(), 256)
    await checkpoints.turn()
    expect((await kept()).map(({ checkpoint }) => checkpoint.heads)).toEqual([await loadHeads(db)])
    await grow(db, second(), 1)
    await checkpoints.close()
    expect((await kept()).map(({ checkpoint }) => checkpoint.heads)).toEqual([await loadHeads(db)])
  })

  it('while it runs: two processes on one folder write each other’s, and never less than what was there', async () => {
    const both = [await started(), await started()]
    for (let round = 0; round < 12; round++) {
      await grow(db, communities[round % 3] as Did, 1)
      clock.moveSec(6)
      const before = (await kept()).flatMap(({ checkpoint }) => checkpoint.heads)
      await Promise.all(both.map((one) => one.turn()))
      const after = new Map(
        (await kept()).flatMap(({ checkpoint }) => checkpoint.heads.map((head) => [head.community, head.seq])),
      )
      for (const { community, seq } of before) expect(after.get(community)).toBeGreaterThanOrEqual(seq)
      expect((await kept()).length).toBeLessThanOrEqual(2)
    }
    await Promise.all(both.map((one) => one.close()))
    expect((await kept()).some(({ checkpoint }) => missingFromHeads(checkpoint.heads, communities, 21))).toBe(true)
  })

  it('while it runs: a folder that takes nothing is told and counted, tried again, and stops nobody', async () => {
    rmSync(path, { recursive: true })
    writeFileSync(path, 'in the way')
    const ahead = openCheckpoints({ db, clock, log, folder: folder(), instance: await instanceOf(db) })
    await expect(ahead).rejects.toThrow('ENOTDIR')
    rmSync(path)
    const checkpoints = await started()
    writeFileSync(path, 'in the way')
    await checkpoints.turn()
    await checkpoints.turn()
    expect(checkpoints.failures).toBe(1)
    expect(events().filter((event) => event === 'checkpoint.unreadable')).toHaveLength(1)
    clock.moveSec(61)
    await checkpoints.turn()
    expect(checkpoints.failures).toBe(2)
    rmSync(path)
    clock.moveSec(61)
    await checkpoints.turn()
    expect(await kept()).toHaveLength(1)
    expect(checkpoints.isFromPast).toBe(false)
  })

  it('while it runs: after the database was away the next is written at once, since what came first after it is most easily lost', async () => {
    let isAway = false
    const real = folder()
    const read: typeof real.read = async (instance) => {
      if (isAway) throw new Unavailable('NotEnoughResources', 'database')
      return real.read(instance)
    }
    const checkpoints = await openCheckpoints({
      ...{ db, clock, log, folder: { ...real, read } },
      instance: await instanceOf(db),
    })
    await checkpoints.turn()
    await grow(db, first(), 1)
    clock.moveSec(6)
    isAway = true
    await checkpoints.turn()
    expect((await kept())[0]?.checkpoint.heads).not.toEqual(await loadHeads(db))
    isAway = false
    await checkpoints.turn()
    expect((await kept())[0]?.checkpoint.heads).toEqual(await loadHeads(db))
    expect(checkpoints.failures).toBe(0)
  })

  it('while it runs: a database whose last entries are gone is found out, and stays so', async () => {
    const checkpoints = await started()
    await checkpoints.turn()
    await cut(db, third(), 2)
    await checkpoints.turn()
    expect(checkpoints.isFromPast).toBe(true)
    await grow(db, first(), 20)
    await checkpoints.turn()
    await checkpoints.close()
    expect(checkpoints.isFromPast).toBe(true)
    expect((await started()).isFromPast).toBe(true)
  })

  it('while it runs: also when more came since than was lost, before the next one is written', async () => {
    const checkpoints = await started()
    await checkpoints.turn()
    await cut(db, third(), 1)
    await grow(db, first(), 9)
    clock.moveSec(6)
    await checkpoints.turn()
    expect(checkpoints.isFromPast).toBe(true)
    const { parted } = await compareWith(
      db,
      (await kept()).map(({ checkpoint }) => checkpoint),
    )
    expect(parted).toMatchObject([{ community: third(), fault: 'behind' }])
  })

  it('while it runs: also when as much came again, in another way', async () => {
    const checkpoints = await started()
    await checkpoints.turn()
    await cut(db, third(), 2)
    await withTransaction(db, (tx) => appendChained(tx, factAbout(third(), 77_777)))
    await grow(db, third(), 1)
    clock.moveSec(6)
    await checkpoints.turn()
    expect(checkpoints.isFromPast).toBe(true)
  })

  it('while it runs: a file that can’t be read any more is told by its name, since nobody could start with it', async () => {
    const checkpoints = await started()
    await checkpoints.turn()
    const [one] = await kept()
    const name = one?.name ?? ''
    writeFileSync(join(path, name), '{')
    await grow(db, first(), 1)
    clock.moveSec(61)
    await checkpoints.turn()
    const told = lines.map((line) => JSON.parse(line)).find(({ event }) => event === 'checkpoint.unreadable')
    expect(told).toMatchObject({ level: 50, failures: 1, folder: path, says: expect.stringContaining(name) })
    expect([checkpoints.isFromPast, events().includes('checkpoint.failed')]).toEqual([false, false])
    await expect(started()).rejects.toThrow(name)
    rmSync(join(path, name))
    clock.moveSec(61)
    await checkpoints.turn()
    expect((await kept())[0]?.checkpoint.heads).toEqual(await loadHeads(db))
  })

  it('from the past, once: whoever comes with an empty folder hears of it, at the start and while it runs', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'reeve-checkpoints-'))
    const about = { db, clock, log, folder: checkpointFolder(elsewhere, systemRandom), instance: await instanceOf(db) }
    try {
      const running = await openCheckpoints(about)
      await running.turn()
      rmSync(elsewhere, { recursive: true })
      expect(running.isFromPast).toBe(false)
      const community = first()
      await folder().write(
        await checkpointOf(db, 5_000, (head) => (head.community === community ? { ...head, seq: head.seq + 4 } : head)),
      )
      expect((await started()).isFromPast).toBe(true)
      await running.turn()
      expect(running.isFromPast).toBe(true)
      expect((await openCheckpoints(about)).isFromPast).toBe(true)
      const told = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'restored.fromPast')
      expect(told.map(({ chains, missing }) => [chains, missing])).toEqual([
        [1, 4],
        [1, 4],
        [1, 4],
      ])
      await unmark(db)
      expect((await openCheckpoints(about)).isFromPast).toBe(false)
      // Until its process ends it stays what it is, and doesn't mark what was accepted meanwhile.
      await running.turn()
      expect([running.isFromPast, await loadMark(db)]).toEqual([true, null])
    } finally {
      rmSync(elsewhere, { recursive: true, force: true })
    }
  })

  it('from the past: the mark says of each chain what was seen most, and keeps the first moment', async () => {
    const parted = (community: Did, seq: number, seenAtMs: number) => ({
      ...{ community, fault: 'behind' as const, seen: { community, seq, hash: HASH }, seenAtMs, has: 3 },
    })
    expect(await markPast(db, [parted(first(), 7, 70), parted(second(), 8, 80)], 1_000)).toBe(1_000)
    expect(await markPast(db, [parted(first(), 9, 90), parted(second(), 4, 40)], 2_000)).toBe(1_000)
    const mark = await loadMark(db)
    expect(mark?.foundAtMs).toBe(1_000)
    expect(mark?.seen.map(({ head, atMs }) => [head.seq, head.hash, atMs]).toSorted()).toEqual([
      [8, HASH, 80],
      [9, HASH, 90],
    ])
  })

  it('from the past: what can’t be noted in the database is told, and noted later', async () => {
    const checkpoints = await started()
    await checkpoints.turn()
    await cut(db, third(), 2)
    await sql`alter table from_past add constraint never check (found_at_ms is null)`.execute(db)
    try {
      await checkpoints.turn()
      expect([checkpoints.isFromPast, events().includes('restored.notMarked')]).toEqual([true, true])
      expect(await loadMark(db)).toBeNull()
    } finally {
      await sql`alter table from_past drop constraint never`.execute(db)
    }
    await checkpoints.turn()
    expect((await loadMark(db))?.seen.map(({ head }) => [head.community, head.seq])).toEqual([[third(), 3]])
  })

  it('goes on saying when it was accepted', async () => {
    await folder().write({ ...(await checkpointOf(db, 5_000)), acceptedAtMs: 4_999 })
    const checkpoints = await started()
    await grow(db, first(), 1)
    await checkpoints.turn()
    expect((await kept()).map(({ checkpoint }) => checkpoint.acceptedAtMs)).toEqual([4_999])
  })

  it('of 10,000 communities are compared and written in a moment', async () => {
    await sql`insert into audit_head (community, seq, hash)
      select 'did:plc:' || lpad(nth::text, 24, 'a'), 5, decode(${HASH}, 'hex') from generate_series(1, 10000) as nth`.execute(
      db,
    )
    await folder().write(await checkpointOf(db, 5_000))
    const startMs = performance.now()
    const checkpoints = await started()
    const startedMs = performance.now()
    await grow(db, first(), 256)
    const grownMs = performance.now()
    await checkpoints.turn()
    const [one] = await kept()
    process.stdout.write(
      `10,000 chains: ${(startedMs - startMs).toFixed(0)} ms at the start, ${(performance.now() - grownMs).toFixed(0)} ms to write ${one?.bytes} bytes and read them\n`,
    )
    expect(checkpoints.isFromPast).toBe(false)
    expect(one?.checkpoint.heads).toHaveLength(10_003)
    expect(one?.bytes).toBeLessThan(1_500_000)
  })

  it('that another one wrote by hand is read the same', async () => {
    const checkpoint = await checkpointOf(db, 5_000)
    writeFileSync(join(path, 'checkpoint-20260101T000000000Z-0123456789abcdef.json'), textOfCheckpoint(checkpoint))
    expect((await kept()).map((one) => one.checkpoint)).toEqual([checkpoint])
  })
})

/** Whether these heads are of all these chains, with so many entries together. */
const missingFromHeads = (heads: readonly Head[], communities: readonly string[], entries: number): boolean =>
  heads.length === communities.length && heads.reduce((sum, { seq }) => sum + seq, 0) === entries
