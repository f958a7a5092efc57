import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Checkpoint } from '../../src/audit/checkpoint.ts'
import { checkpointFolder } from '../../src/audit/checkpoint-folder.ts'
import { sealDue } from '../../src/audit/sealer.ts'
import { isoOf, systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { migrate } from '../../src/platform/migrations.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { checkpointOf } from '../kit/checkpoints.ts'
import { openCommunity, put, rollOn } from '../kit/roll.ts'

/** Runs the tool as an operator does, with an environment of its own. */
function reeve(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<{ code: number; out: string; err: string }> {
  const cli = new URL('../../src/cli.ts', import.meta.url).pathname
  return new Promise((resolve) => {
    const env = { PATH: process.env['PATH'] ?? '', ...environment }
    execFile(process.execPath, [cli, ...args], { env, maxBuffer: 64 * 1024 * 1024 }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err })
    })
  })
}

describe('reeve audit verify', () => {
  let folder: string
  let did: string

  const open = () =>
    openDatabase({ url: null, dataDir: folder, allowUnsafe: false, log: silentLog, clock: systemClock })

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reeve-cli-'))
    const opened = await open()
    await migrate(opened.db, systemClock)
    const roll = rollOn(opened.db)
    const community = await openCommunity(roll)
    did = community.did
    await put(roll, community.founder, community.roster, 'did:web:bob.example.com' as typeof community.did, 'reader')
    await sealDue(opened.db)
    await opened.close()
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('says of each chain how long it is and where it ends', async () => {
    const { code, out } = await reeve(['audit', 'verify'], { REEVE_DATA_DIR: folder })
    expect(code).toBe(0)
    expect(out).toMatch(
      new RegExp(`^holds {2}${did} 2 rows, ends in [0-9a-f]{64}\n1 chains, 0 broken; 0 rows not chained yet\n$`),
    )
  })

  it('names the process that has the embedded database, and touches nothing', async () => {
    const opened = await open()
    try {
      const { code, err } = await reeve(['audit', 'verify'], { REEVE_DATA_DIR: folder })
      expect(code).toBe(1)
      expect(err).toContain(String(process.pid))
    } finally {
      await opened.close()
    }
  })

  it('compares with the checkpoints that the service keeps, and with one that was kept elsewhere', async () => {
    const opened = await open()
    const atMs = systemClock.nowMs()
    const seen = await checkpointOf(opened.db, atMs)
    await opened.close()
    const elsewhere = join(folder, 'elsewhere')
    const keep = async (checkpoint: Checkpoint) =>
      join(elsewhere, (await checkpointFolder(elsewhere, systemRandom).write(checkpoint)).name)
    await checkpointFolder(join(folder, 'checkpoints'), systemRandom).write(seen)
    const own = await reeve(['audit', 'verify'], { REEVE_DATA_DIR: folder })
    expect(own).toMatchObject({ code: 0, err: '' })
    expect(own.out).toContain(`compared with 1 checkpoints, the newest of ${isoOf(atMs)}: 0 differ`)

    const other = await keep({ ...seen, heads: seen.heads.map((head) => ({ ...head, hash: 'ab'.repeat(32) })) })
    const differs = await reeve(['audit', 'verify', '--checkpoint', other], { REEVE_DATA_DIR: folder })
    expect(differs.code).toBe(1)
    expect(differs.out).toContain(
      `DIFFERS ${did} at row 2: the checkpoint of ${isoOf(atMs)} saw row 2 with another hash`,
    )

    const foreign = await keep({ ...seen, instance: 'f'.repeat(32) })
    const refused = await reeve(['audit', 'verify', '--checkpoint', foreign], { REEVE_DATA_DIR: folder })
    expect(refused).toMatchObject({ code: 1, out: '', err: 'reeve: that is a checkpoint of another database\n' })
    const missing = await reeve(['audit', 'verify', '--checkpoint', join(folder, 'none')], { REEVE_DATA_DIR: folder })
    expect(missing).toMatchObject({ code: 1, out: '', err: 'reeve: there is no such checkpoint\n' })
    await rm(join(folder, 'checkpoints'), { recursive: true })
  })

  it('ends with 1 and names the row when one was edited', async () => {
    const opened = await open()
    await sql`alter table audit_entry disable trigger all`.execute(opened.db)
    await sql`update audit_entry set actor = 'did:web:eve.example.com' where seq = 2`.execute(opened.db)
    await opened.close()
    const { code, out } = await reeve(['audit', 'verify'], { REEVE_DATA_DIR: folder })
    expect(code).toBe(1)
    expect(out).toContain(`BROKEN ${did} at row 2: wrong-hash`)
  })

  it('has no roll of a community that is not here, and takes no name that is no DID', async () => {
    const nobody = ['roll', 'export', 'did:web:nobody.example.com']
    expect(await reeve(nobody, { REEVE_DATA_DIR: folder })).toEqual({
      ...{ code: 1, out: '', err: 'reeve: there is no such community\n' },
    })
    expect((await reeve(['roll', 'export', 'gardeners'])).code).toBe(64)
    expect((await reeve(['roll', 'export'])).code).toBe(64)
  })

  it('explains itself, and tells wrong words from a wrong environment', async () => {
    expect(await reeve(['help'])).toMatchObject({ code: 0, err: '' })
    expect((await reeve([])).code).toBe(64)
    expect((await reeve(['audit', 'mend'])).code).toBe(64)
    const misspelt = await reeve(['audit', 'verify'], { REEVE_DATA_DRI: folder })
    expect(misspelt).toMatchObject({ code: 78, err: 'reeve: REEVE_DATA_DRI is not a setting of Reeve\n' })
  })
})

describe('reeve roll export', () => {
  it('writes the whole roll of one community, more than a page of it, as lines of one moment', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'reeve-cli-'))
    const where = { url: null, dataDir: folder, allowUnsafe: false, log: silentLog, clock: systemClock }
    try {
      const opened = await openDatabase(where)
      await migrate(opened.db, systemClock)
      const roll = rollOn(opened.db)
      const { did, roster, founder } = await openCommunity(roll)
      const other = await openCommunity(roll)
      await sql`insert into person_edge (into_space, did, community, role, added_by, added_at_ms)
        select ${roster}, 'did:web:p' || lpad(n::text, 5, '0') || '.example.com', ${did}, 'member', ${founder}, 0
        from generate_series(1, 4500) n`.execute(opened.db)
      await opened.close()
      const { code, out, err } = await reeve(['roll', 'export', did], { REEVE_DATA_DIR: folder })
      expect([code, err]).toEqual([0, ''])
      const lines = out
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line))
      expect(lines[0]).toMatchObject({ kind: 'roll', community: did, revision: 1 })
      expect(lines.at(-1)).toMatchObject({ kind: 'end', firstRevision: 1, lastRevision: 1, lines: lines.length })
      expect(new Set(lines.filter(({ kind }) => kind === 'member').map((line) => line.did)).size).toBe(4501)
      expect(out).not.toContain(other.did)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
