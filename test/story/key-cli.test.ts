/**
 * `reeve key rotate-all` and `reeve key inventory` as an operator runs them, processes of their own beside a running service: what they ask,
 * what a wrong word changes, that one bad community holds up no other, how a run is gone on with, and that nothing secret is printed.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { runCli } from '../kit/cli.ts'
import { hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { callAs, makeSomebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { freePort } from '../kit/ports.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { makeKek } from '../kit/sealed-house.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'

const COUNT = 3
const EVERYTHING = { timeout: 600_000 }

describe.runIf(hasPostgres)('an operator whose keys may have been seen', () => {
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let database: TestDatabase
  let db: Db
  let folder: string
  let place: ReevePlace
  let service: ReeveProcess
  let communities: readonly Did[] = []
  const said: string[] = []

  beforeAll(async () => {
    plc = await startPlcServer()
    database = await openTestDatabase('postgres')
    db = database.db
    folder = await mkdtemp(join(tmpdir(), 'reeve-key-cli-'))
    place = await reevePlace({ plcUrl: plc.url, dataDir: folder, databaseUrl: database.url?.reveal() ?? '' })
    service = await startReeve(place)
    const alice = await makeSomebody(plc.url)
    const custody = { $type: 'community.reeve.community.mint#custodial' }
    for (let nth = 0; nth < COUNT; nth++) {
      const at = { ...service, nowSec: systemClock.nowSec() }
      const { body } = await callAs(alice, at, 'community.reeve.community.mint', { name: `Garden ${nth}`, custody })
      communities = [...communities, body.did]
    }
  })
  afterAll(async () => {
    await service?.kill()
    await database?.close()
    await plc?.close()
    await rm(folder, { recursive: true, force: true })
  })

  /** Runs the tool with the environment of the service. */
  async function reeve(args: readonly string[], { typed = '', environment = {} } = {}) {
    const run = await runCli({ args: ['key', ...args], typed, environment: { ...place.environment, ...environment } })
    said.push(run.out, run.err)
    return run
  }
  const rotateAll = (more: readonly string[] = [], typed = `${service.serviceDid}\n`) =>
    reeve(['rotate-all', '--reason', 'host-breach', ...more], { typed })
  const everything = async () => ({
    keys: await db.selectFrom('key').selectAll().orderBy('id').execute(),
    deks: await db.selectFrom('dek').selectAll().orderBy('community').orderBy('version').execute(),
    rotations: await db.selectFrom('key_rotation').selectAll().execute(),
  })
  const activeOf = async (did: Did | undefined) =>
    (
      await db
        .selectFrom('key')
        .select(['did_key', 'dek_version'])
        .where('community', '=', did ?? ('did:plc:none' as Did))
        .where('state', '=', 'active')
        .orderBy('purpose')
        .execute()
    ).map(({ did_key, dek_version }) => ({ did_key, dek_version }))

  it(
    'sees the keys that are here, each by its state, and that all is as the directory has it',
    EVERYTHING,
    async () => {
      const { code, out } = await reeve(['inventory'])
      expect({ code, out }).toMatchObject({
        code: 0,
        out: expect.stringContaining('3 communities, 0 not as they should'),
      })
      for (const did of communities) expect(out).toContain(`${did}  custodial`)
      expect(out.match(/^ {2}(rotation|atproto|space) +active +did:key:z/gm)).toHaveLength(3 * COUNT)
      const one = await reeve(['inventory', '--community', communities[0] ?? ''])
      expect(one.out).toContain('1 communities, 0 not as they should be')
      expect(one.out).not.toContain(communities[1])
    },
  )

  it(
    'is told by the exit code what isn’t so: a wrong word, no such community, a directory that is away',
    EVERYTHING,
    async () => {
      expect(await reeve(['inventory', '--community', 'garden'])).toMatchObject({ code: 64 })
      expect(await reeve(['inventory', '--community', 'did:web:nowhere.example.com'])).toMatchObject({
        ...{ code: 1, err: expect.stringContaining('there is no such community') },
      })
      const away = await reeve(['inventory'], {
        environment: { REEVE_PLC_URL: `http://localhost:${await freePort()}` },
      })
      expect(away.code).toBe(1)
      expect(away.out.match(/NOT COMPARED: the directory: Upstream/g)).toHaveLength(COUNT)
      for (const args of [
        [],
        ['--reason', 'Two words'],
        ['--reason', 'a', '--since', 'yesterday'],
        ['--reason', 'a', '--now'],
      ])
        expect(await reeve(['rotate-all', ...args])).toMatchObject({ code: 64 })
    },
  )

  it('is asked first, and nothing is changed by another word, or by none', EVERYTHING, async () => {
    const before = await everything()
    for (const typed of ['', 'yes\n', `${communities[0]}\n`, service.serviceDid.slice(0, -1)]) {
      const { code, out } = await rotateAll([], typed)
      expect(code).toBe(1)
      for (const words of ['3 communities have keys here', 'host-breach', "can't be undone", 'Nothing was changed'])
        expect(out).toContain(words)
    }
    expect(await everything()).toEqual(before)
  })

  it(
    'replaces the keys of all but the one whose data key can’t be opened, and of that one with --since later',
    EVERYTHING,
    async () => {
      const bad = communities[0]
      const keysBefore = await Promise.all(communities.map(activeOf))
      const { rows } = await sql<{ wrapped: Uint8Array }>`select wrapped from dek where community = ${bad}`.execute(db)
      await sql`update dek set wrapped = '\\x00' where community = ${bad}`.execute(db)
      const first = await rotateAll()
      expect(first.code).toBe(1)
      expect(first.out).toContain(`FAILED ${bad}: Unavailable:KekUnavailable`)
      expect(first.out).toContain('2 begun')
      expect(first.out).toContain('replaced 2, refused 0, under way 0')
      const since = /--since (\S+)/.exec(first.out)?.[1] ?? ''
      expect(since).toMatch(/^\d{4}-\d\d-\d\dT/)
      expect(await activeOf(bad)).toEqual(keysBefore[0])
      for (const [nth, did] of communities.entries()) {
        if (did === bad) continue
        const now = await activeOf(did)
        for (const { did_key, dek_version } of now) {
          expect(keysBefore[nth]?.map((key) => key.did_key)).not.toContain(did_key)
          expect(dek_version).toBe(2)
        }
        expect(now).toHaveLength(3)
      }

      await sql`update dek set wrapped = ${rows[0]?.wrapped} where community = ${bad}`.execute(db)
      const second = await rotateAll(['--since', since])
      expect({ code: second.code, out: second.out }).toMatchObject({
        ...{ code: 0, out: expect.stringContaining('replaced 3, refused 0, under way 0') },
      })
      expect(second.out).toMatch(/(1 begun, 2 begun before|2 begun before, 1 begun)/)
      expect((await activeOf(bad)).map(({ dek_version }) => dek_version)).toEqual([2, 2, 2])
      const third = await rotateAll(['--since', since])
      expect(third).toMatchObject({ code: 0, out: expect.stringContaining('3 begun before') })
      const { out, code } = await reeve(['inventory'])
      expect({ code, out }).toMatchObject({
        code: 0,
        out: expect.stringContaining('3 communities, 0 not as they should'),
      })
      expect(out.match(/retiring {3}did:key:z.* {2}suspect$/gm)).toHaveLength(3 * COUNT)
    },
  )

  it('is shown nothing secret by any of that', async () => {
    const hex = (await readFile(join(folder, 'development.kek'), 'utf8')).trim()
    const { kek } = makeKek(hex)
    const secrets: Record<string, ReturnType<typeof spellingsOf>> = { kek: spellingsOf(Buffer.from(hex, 'hex')) }
    const { rows } = await sql<{ id: string }>`select id from instance`.execute(db)
    const instanceId = rows[0]?.id ?? ''
    for (const { community, version, wrapped } of (await everything()).deks) {
      const dek = await kek.unwrap(wrapped, { instanceId, community, dekVersion: version })
      if (!dek) throw new Error('no DEK')
      secrets[`${community} ${version}`] = spellingsOf(dek)
    }
    expect(Object.keys(secrets).length).toBeGreaterThanOrEqual(1 + 2 * COUNT)
    expect(where(secrets, { 'what was printed': Buffer.from(said.join('\n')) })).toEqual([])
    expect(said.join('')).not.toContain(database.url?.reveal())
  })
})

describe.runIf(hasPostgres)('a service that is started', () => {
  it('says aloud which data keys none of its settings opens', EVERYTHING, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'reeve-key-cli-'))
    const database = await openTestDatabase('postgres')
    const plc = await startPlcServer()
    try {
      const place = await reevePlace({ plcUrl: plc.url, dataDir: folder, databaseUrl: database.url?.reveal() ?? '' })
      const first = await startReeve(place)
      await first.stop()
      expect(first.output()).not.toContain('kek.notConfigured')
      const { kek } = makeKek()
      const row = { version: 1, wrapped: Buffer.of(0), kek_id: kek.id, created_at_ms: 0 }
      const dids = ['one', 'two'].map((name) => `did:web:${name}.example.com` as Did)
      await database.db
        .insertInto('dek')
        .values(dids.map((community) => ({ community, ...row })))
        .execute()
      const second = await startReeve(place)
      await second.stop()
      const lines = second
        .output()
        .split('\n')
        .filter((line) => line.includes('kek.notConfigured'))
      expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ level: 50, dataKeys: 2, kekIds: kek.id }])
    } finally {
      await plc.close()
      await database.close()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
