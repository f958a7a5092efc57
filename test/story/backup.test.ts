/**
 * A backup and what it is worth, as docs/operations.md has it done: a community, a dump, a change, and the dump restored beside it. Then the old
 * state is there, the chains hold, every key opens with the key-encryption key and with no other, and a Reeve starts on it.
 */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Secret } from '../../src/platform/secret.ts'
import { runCli } from '../kit/cli.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { postgresProgram } from '../kit/own-postgres.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { freePort } from '../kit/ports.ts'
import { type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { makeKek, signCredential, vaultOn } from '../kit/sealed-house.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { eventually } from '../kit/waiting.ts'
import { sendRaw } from '../kit/world.ts'

const run = promisify(execFile)

const filesUnder = (path: string): readonly string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

describe.each(engines())('a backup (%s)', (engine) => {
  const keys = { ours: makeKek(), another: makeKek() }
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let folder: string
  let port: number
  const databases: { url: Secret<string>; drop(): Promise<void> }[] = []
  const running: ReeveProcess[] = []
  let people: { alice: Somebody; bob: Somebody; carol: Somebody }
  let community: Did
  let forum: string
  /** Where the restored one lives. */
  let restored: { dataDir: string; databaseUrl?: string }

  const environmentOf = (kek: keyof typeof keys) => ({ REEVE_KEK: `file:${join(folder, kek)}` })
  /** The same address each time: what was founded there names it. */
  const placeOf = async (where: { dataDir: string; databaseUrl?: string }, kek: keyof typeof keys) => {
    const environment = {
      ...environmentOf(kek),
      REEVE_PORT: String(port),
      REEVE_PUBLIC_URL: `http://localhost:${port}`,
    }
    return { port, environment: (await reevePlace({ plcUrl: plc.url, ...where, environment })).environment }
  }
  const start = async (where: { dataDir: string; databaseUrl?: string }): Promise<ReeveProcess> => {
    const reeve = await startReeve(await placeOf(where, 'ours'))
    running.push(reeve)
    return reeve
  }
  const call = async (reeve: ReeveProcess, person: Somebody, method: string, input: object, type?: 'query') => {
    const at = { url: reeve.url, serviceDid: reeve.serviceDid, nowSec: systemClock.nowSec() }
    const answer = await callAs(person, at, `community.reeve.${method}`, input, type)
    expect(answer, method).toMatchObject({ status: 200 })
    return answer.body
  }
  const made = async () => {
    const database = await createOnServer()
    databases.push(database)
    return database
  }

  /** The dump, made while the service runs where that can be, as an operator makes it. Answers how it is restored. */
  async function backUp(reeve: ReeveProcess, where: { dataDir: string; databaseUrl?: string }) {
    if (where.databaseUrl === undefined) {
      expect(await reeve.stop()).toBe(0)
      const copy = join(folder, 'copy')
      await cp(where.dataDir, copy, { recursive: true, preserveTimestamps: true })
      return async () => {
        const dataDir = join(folder, 'restored')
        await cp(copy, dataDir, { recursive: true, preserveTimestamps: true })
        return { dataDir }
      }
    }
    const file = join(folder, 'reeve.dump')
    await run(postgresProgram('pg_dump'), ['--format=custom', `--file=${file}`, where.databaseUrl])
    return async () => {
      const { url } = await made()
      const into = url.reveal()
      await run(postgresProgram('pg_restore'), ['--exit-on-error', '--no-owner', `--dbname=${into}`, file])
      return { dataDir: join(folder, 'restored'), databaseUrl: into }
    }
  }

  /** The tool on the restored database, as somebody who looks before anything is started. */
  const tool = async (args: readonly string[], kek: keyof typeof keys = 'ours') => {
    const { environment } = await placeOf(restored, kek)
    return runCli({ args, environment })
  }
  async function onRestored<T>(work: (db: Db) => Promise<T>): Promise<T> {
    const url = restored.databaseUrl === undefined ? null : new Secret(restored.databaseUrl)
    const about = { url, dataDir: restored.dataDir, allowUnsafe: true, log: silentLog, clock: systemClock }
    const database = await openDatabase(about)
    try {
      return await work(database.db)
    } finally {
      await database.close()
    }
  }

  beforeAll(async () => {
    plc = await startPlcServer()
    port = await freePort()
    folder = await mkdtemp(join(tmpdir(), 'reeve-backup-'))
    for (const [name, { hex }] of Object.entries(keys)) await writeFile(join(folder, name), `${hex}\n`, { mode: 0o400 })
    const dataDir = join(folder, 'data')
    await mkdir(dataDir)
    const where = engine === 'postgres' ? { dataDir, databaseUrl: (await made()).url.reveal() } : { dataDir }
    const [alice, bob, carol] = [await makeSomebody(plc.url), await makeSomebody(plc.url), await makeSomebody(plc.url)]
    people = { alice, bob, carol }

    let reeve = await start(where)
    const custody = { $type: 'community.reeve.community.mint#custodial' }
    community = (await call(reeve, alice, 'community.mint', { name: 'Gardeners', custody })).did
    forum = (await call(reeve, alice, 'space.create', { community, spaceType: 'com.atmoboards.forum' })).uri
    await call(reeve, alice, 'member.put', { space: forum, did: bob.did, role: 'member' })
    await eventually('the audit is sealed', async () => {
      const { entries } = await call(reeve, alice, 'audit.list', { community }, 'query')
      return entries.every((entry: { seq?: number }) => typeof entry.seq === 'number')
    })
    const restore = await backUp(reeve, where)
    if (engine === 'embedded') reeve = await start(where)
    await call(reeve, alice, 'member.remove', { space: forum, did: bob.did })
    await call(reeve, alice, 'member.put', { space: forum, did: carol.did, role: 'member' })
    await call(reeve, alice, 'community.mint', { name: 'Founded later', custody })
    expect(await reeve.stop()).toBe(0)
    restored = await restore()
  })
  afterAll(async () => {
    for (const reeve of running) await reeve.kill()
    for (const { drop } of databases) await drop()
    await plc?.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('has the state of its moment, and nothing that came later', async () => {
    await onRestored(async (db) => {
      const communities = await db.selectFrom('community').select(['did', 'name', 'step']).execute()
      expect(communities).toEqual([{ did: community, name: 'Gardeners', step: 'opened' }])
      const inside = await db
        .selectFrom('person_edge')
        .select('did')
        .where('into_space', '=', forum as never)
        .execute()
      expect(inside.map(({ did }) => did)).toContain(people.bob.did)
      expect(inside.map(({ did }) => did)).not.toContain(people.carol.did)
    })
  })

  it('opens with the key-encryption key of its time: every data key, and a signature', async () => {
    const status = await tool(['kek', 'status'])
    expect(status).toMatchObject({ code: 0, err: '' })
    expect(status.out).toContain(keys.ours.kek.id)
    const token = await onRestored(async (db) => signCredential(await vaultOn(db, { kek: keys.ours.kek }), community))
    expect(token.split('.')).toHaveLength(3)
  })

  it('and with no other', async () => {
    const status = await tool(['kek', 'status'], 'another')
    expect(status.code).toBe(1)
    expect(status.out + status.err).toContain('not in these settings')
    await onRestored(async (db) => {
      await expect(signCredential(await vaultOn(db, { kek: keys.another.kek }), community)).rejects.toThrow(
        'KekUnavailable',
      )
    })
  })

  it('has unbroken chains, and keys that the directory knows', async () => {
    const verified = await tool(['audit', 'verify'])
    expect(verified).toMatchObject({ code: 0, err: '' })
    expect(verified.out).toMatch(/^[1-9]\d* chains, 0 broken; 0 rows not chained yet$/m)
    const inventory = await tool(['key', 'inventory'])
    expect(inventory).toMatchObject({ code: 0, err: '' })
    expect(inventory.out).toContain(community)
    expect(inventory.out).not.toMatch(/DIFFERS|NOT COMPARED/)
  })

  it('holds no key in a form that opens without it', async () => {
    const files = engine === 'postgres' ? [join(folder, 'reeve.dump')] : filesUnder(join(folder, 'copy'))
    expect(files.length).toBeGreaterThan(engine === 'postgres' ? 0 : 100)
    const kek = spellingsOf(Buffer.from(keys.ours.hex, 'hex'))
    const found: string[] = []
    // One after the other: together they are hundreds of megabytes.
    for (const file of files) found.push(...where({ kek }, { [file]: await readFile(file) }))
    expect(found).toEqual([])
    expect(existsSync(join(restored.dataDir, 'development.kek'))).toBe(false)
  })

  it('is what a Reeve starts on and ends on in order', async () => {
    const reeve = await start(restored)
    const { body } = await sendRaw(reeve.url, { path: '/xrpc/_health' })
    expect(body.version).toMatch(/^\d/)
    expect(await reeve.stop()).toBe(0)
    expect(reeve.output()).not.toMatch(/"event":"(?:kek\.|envelope\.|failed)/)
  })
})
