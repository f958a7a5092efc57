/**
 * `reeve kek rotate` as an operator runs it, a process of its own: killed again and again, two at once, beside a service that signs on and on,
 * back the way it came, and with every setting that must stop it before the first row.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listEntries } from '../../src/audit/store.ts'
import { verifyChains } from '../../src/audit/verify.ts'
import { verifySealed } from '../../src/keys/rewrap.ts'
import { countDeksByKek } from '../../src/keys/rewrap-store.ts'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import { loadInstanceId } from '../../src/platform/instance.ts'
import { silentLog } from '../../src/platform/log.ts'
import { migrate } from '../../src/platform/migrations.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { sealedThings } from '../../src/steering/sealed-session.ts'
import { createOnServer, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { exchangeOf } from '../kit/exchange.ts'
import { callAs, makeSomebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { freePort } from '../kit/ports.ts'
import { type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { foundSealed, makeKek, signCredential, vaultOn, whoOpens } from '../kit/sealed-house.ts'
import { eventually } from '../kit/waiting.ts'
import { sendRaw } from '../kit/world.ts'

const KILLS = Number(process.env['REEVE_TEST_KILLS'] ?? 50)
const COMMUNITIES = 299
const service = 'did:web:reeve.example' as Did
const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))

type Key = ReturnType<typeof makeKek>

/** A folder with key files in it, as an operator keeps them, and the environment of a service that has two of them. */
async function keyFiles(keys: Readonly<Record<string, Key>>) {
  const folder = await mkdtemp(join(tmpdir(), 'reeve-keks-'))
  const pathOf = (name: string) => join(folder, name)
  for (const [name, { hex }] of Object.entries(keys)) await writeFile(pathOf(name), `${hex}\n`, { mode: 0o400 })
  return {
    folder,
    pathOf,
    settings: (current: string, previous: string) => ({
      REEVE_PUBLIC_URL: 'https://reeve.example',
      REEVE_KEK: `file:${pathOf(current)}`,
      REEVE_KEK_PREVIOUS: `file:${pathOf(previous)}`,
    }),
    drop: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Starts the tool and types `typed`, or nothing. */
function start(command: string, environment: Readonly<Record<string, string>>, typed: string) {
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, [CLI, 'kek', command], {
    env: { PATH: process.env['PATH'] ?? '', ...environment },
  })
  const heard: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => heard.push(String(chunk)))
  const ended = new Promise<{ code: number | null; signal: string | null; said: string }>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal, said: heard.join('') })),
  )
  child.stdin.on('error', () => {})
  child.stdin.end(typed)
  return { ended, said: () => heard.join(''), kill: () => child.kill('SIGKILL') }
}

const run = (command: string, environment: Readonly<Record<string, string>>, typed = '') =>
  start(command, environment, typed).ended

/** Nobody may be left who signs: neither who has the key at hand, nor who opens it anew each time. */
async function signOnAndOn(db: Db, keys: { old: Key; fresh: Key }, communities: readonly Did[]) {
  const both = { kek: keys.fresh.kek, previousKeks: [keys.old.kek] }
  const [warm, cold] = [await vaultOn(db, both), await vaultOn(db, both)]
  const state = { isOver: false, signed: 0, failed: 0 }
  const over = (async () => {
    for (let at = 0; !state.isOver; at++) {
      const did = communities[at % communities.length] ?? service
      cold.drop()
      for (const vault of [warm, cold]) {
        const token = await signCredential(vault, did).catch(() => null)
        if (token) state.signed += 1
        else state.failed += 1
      }
      await sleep(2)
    }
  })()
  return {
    signed: () => state.signed,
    async end() {
      state.isOver = true
      await over
      return state
    },
  }
}

describe('on PostgreSQL', () => {
  let database: TestDatabase
  let db: Db
  const keys = { old: makeKek(), fresh: makeKek(), third: makeKek() }
  let files: Awaited<ReturnType<typeof keyFiles>>
  let communities: readonly Did[] = []

  beforeAll(async () => {
    if (!hasPostgres) return
    database = await openTestDatabase('postgres')
    db = database.db
    files = await keyFiles(keys)
    const vault = await vaultOn(db, { kek: keys.old.kek })
    communities = await foundSealed(db, vault, COMMUNITIES)
    await vault.clientKey(service, systemClock.nowMs())
  })
  afterAll(async () => {
    await files?.drop()
    await database?.close()
  })

  const settings = (current: keyof typeof keys, previous: keyof typeof keys) => ({
    ...files.settings(current, previous),
    DATABASE_URL: database.url?.reveal() ?? '',
    REEVE_ALLOW_UNSAFE_DATABASE: '1',
  })
  const rotate = (current: keyof typeof keys, previous: keyof typeof keys) =>
    start('rotate', settings(current, previous), `${keys[current].kek.id}\n`)
  const wrappedBy = async (key: Key) => (await countDeksByKek(db)).get(key.kek.id) ?? 0
  const allRows = () => db.selectFrom('dek').selectAll().orderBy('community').execute()
  const done = async () => {
    const instanceId = await loadInstanceId(db, systemRandom, systemClock)
    return (key: Key) => verifySealed({ db, kek: key.kek, instanceId }, sealedThings(db))
  }
  const entries = async (action: string) =>
    listEntries(db, { community: service, beforeId: null, limit: 1_000, action })

  it.runIf(hasPostgres)(
    'nothing is changed by a setting or a word that isn’t right',
    { timeout: 600_000 },
    async () => {
      const was = await allRows()
      const refused = async (environment: Record<string, string>, says: string, typed = `${keys.fresh.kek.id}\n`) => {
        const { code, said } = await run('rotate', environment, typed)
        expect(said).toContain(says)
        expect(code).not.toBe(0)
        for (const { hex } of Object.values(keys)) expect(said).not.toContain(hex.slice(0, 16))
      }
      const right = settings('fresh', 'old')
      const { REEVE_KEK_PREVIOUS: _, ...alone } = right
      await refused(alone, 'REEVE_KEK_PREVIOUS is missing')
      await refused(settings('old', 'old'), 'name the same key')
      // The keys here were wrapped by a key that is neither of the two.
      await refused(settings('fresh', 'third'), `UNKNOWN 300 data keys are wrapped by ${keys.old.kek.id}`)
      await refused(settings('fresh', 'third'), '(REEVE_KEK_PREVIOUS) wraps nothing here: nothing was changed')
      // Two keys, the wrong way round.
      await refused(settings('old', 'fresh'), 'that is not the id of the new key')
      await refused(right, 'that is not the id of the new key: nothing was changed', `${keys.old.kek.id}\n`)
      await refused(right, 'that is not the id of the new key: nothing was changed', 'yes\n')
      await refused(right, 'that is not the id of the new key: nothing was changed', '')
      for (const name of ['fresh', 'old']) {
        await chmod(files.pathOf(name), 0o644)
        await refused(right, 'must be closed to group and others')
        await chmod(files.pathOf(name), 0o400)
      }
      expect(await allRows()).toEqual(was)
      expect(await listEntries(db, { community: service, beforeId: null, limit: 10 })).toEqual([])
    },
  )

  it.runIf(hasPostgres)(
    `300 data keys live through ${KILLS} ends by SIGKILL, there and back, while a service signs`,
    { timeout: 300_000 + KILLS * 60_000 },
    async () => {
      const signing = await signOnAndOn(db, keys, communities)
      let [to, from]: [keyof typeof keys, keyof typeof keys] = ['fresh', 'old']
      let kills = 0
      let inTheMiddle = 0
      let finished = 0
      let begun = 0
      // Where this process comes too late to end it in its middle, more often.
      while (kills < KILLS || inTheMiddle <= KILLS / 2) {
        const before = await wrappedBy(keys[from])
        // Some time after so many more rows: anywhere from before the first to the last, or while everything is looked at.
        const rows = Math.floor(Math.random() * 80)
        const tool = rotate(to, from)
        let hasEnded = false
        tool.ended.then(() => {
          hasEnded = true
        })
        await eventually(
          'it gets so far, or to its end',
          async () =>
            hasEnded || (before - (await wrappedBy(keys[from])) >= rows && tool.said().includes('Type the id')),
          120_000,
        )
        await sleep(Math.random() * 4)
        tool.kill()
        const { signal, code, said } = await tool.ended
        if (signal === 'SIGKILL') kills += 1
        else {
          expect({ code, said }).toMatchObject({ code: 0, said: expect.stringContaining('Done: everything opens') })
          finished += 1
        }
        if (said.includes('wrapped ')) begun += 1
        const { rows: all, opened, wrong } = await whoOpens(db, [keys.old.kek, keys.fresh.kek])
        expect({ all, wrong }).toEqual({ all: COMMUNITIES + 1, wrong: 0 })
        const left = opened.get(keys[from].kek.id) ?? 0
        expect(left + (opened.get(keys[to].kek.id) ?? 0)).toBe(COMMUNITIES + 1)
        if (signal === 'SIGKILL' && left > 0 && left < COMMUNITIES + 1) inTheMiddle += 1
        if (left === 0) [to, from] = [from, to]
      }
      expect(inTheMiddle).toBeGreaterThan(KILLS / 2)
      // And in the end all of it, to the new one.
      if ((await wrappedBy(keys.old)) > 0) expect((await rotate('fresh', 'old').ended).code).toBe(0)
      expect(await wrappedBy(keys.fresh)).toBe(COMMUNITIES + 1)
      expect(await (await done())(keys.fresh)).toEqual({
        ...{ deks: COMMUNITIES + 1, keys: 3 * COMMUNITIES + 1, blobs: 0, unopened: [] },
      })
      const { signed, failed } = await signing.end()
      expect(failed).toBe(0)
      expect(signed).toBeGreaterThan(KILLS)
      expect(begun + finished).toBeGreaterThan(0)
    },
  )

  it.runIf(hasPostgres)(
    'two at once do each row once, and a service that signs meanwhile is never refused',
    { timeout: 300_000 },
    async () => {
      // Back to the old one first: that is a rotation like any other.
      const back = await rotate('old', 'fresh').ended
      expect(back).toMatchObject({ code: 0 })
      expect(back.said).toContain(`wrapped 300 of 300`)
      expect(await (await done())(keys.old)).toMatchObject({ deks: COMMUNITIES + 1, unopened: [] })
      const before = (await entries('kek.rotated')).length

      const signing = await signOnAndOn(db, keys, communities)
      const both = await Promise.all([rotate('fresh', 'old').ended, rotate('fresh', 'old').ended])
      expect(both.map(({ code }) => code)).toEqual([0, 0])
      const { signed, failed } = await signing.end()
      expect(failed).toBe(0)
      expect(signed).toBeGreaterThan(0)
      expect(await wrappedBy(keys.fresh)).toBe(COMMUNITIES + 1)
      const notes = (await entries('kek.rotated')).slice(0, 2)
      expect((await entries('kek.rotated')).length).toBe(before + 2)
      expect(notes.map(({ because }) => (because as { rewrapped: number }).rewrapped).reduce((a, b) => a + b)).toBe(300)
      for (const { because, target } of notes) {
        expect(because).toMatchObject({ from: keys.old.kek.id })
        expect(target).toBe(keys.fresh.kek.id)
      }
      for await (const { community, fault } of verifyChains(db))
        expect({ community, fault }).toEqual({ community: service, fault: null })
    },
  )

  it.runIf(hasPostgres)(
    'it tells what it will do before it asks, and what is still to be known in the end',
    { timeout: 300_000 },
    async () => {
      const { code, said } = await rotate('fresh', 'old').ended
      expect(code).toBe(0)
      const [plan = '', after = ''] = said.split('Type the id of the new key to begin:')
      expect(plan).toContain(
        `0 data keys are wrapped by ${keys.old.kek.id} (REEVE_KEK_PREVIOUS), 300 by ${keys.fresh.kek.id}`,
      )
      expect(plan).toContain('EVERY process of this service must be running with both settings')
      expect(plan).toContain('To undo it, swap the two settings')
      expect(after).toContain(`opened 300 data keys, ${3 * COMMUNITIES + 1} keys, 0 other sealed things`)
      expect(after).toContain(`Backups from before now still need ${keys.old.kek.id}`)
      expect(after).toContain(`If ${keys.old.kek.id} has LEAKED, this does not mend it`)
      expect(after).toContain('reeve key rotate-all --reason kek-leak')
    },
  )

  it.runIf(hasPostgres)(
    'a row that doesn’t open, and one of a third key, are named and left; it ends with 1',
    { timeout: 300_000 },
    async () => {
      const [, spoiled = service] = communities
      const { kek } = keys.third
      const [stranger] = await foundSealed(db, await vaultOn(db, { kek }), 1)
      const { wrapped } = await db
        .selectFrom('dek')
        .select('wrapped')
        .where('community', '=', spoiled)
        .executeTakeFirstOrThrow()
      await db
        .updateTable('dek')
        .set({ wrapped: wrapped.fill(1, 60) })
        .where('community', '=', spoiled)
        .execute()
      const before = (await entries('kek.rotated')).length
      const { code, said } = await rotate('old', 'fresh').ended
      expect(code).toBe(1)
      expect(said).toContain(`UNKNOWN 1 data keys are wrapped by ${kek.id}`)
      expect(said).toContain(`NOT OPENED DEK 1 of ${spoiled}`)
      expect(said).toContain(`LEFT 1 data keys are wrapped by ${keys.fresh.kek.id}`)
      expect(said).toContain(`LEFT 1 data keys are wrapped by ${kek.id}`)
      expect(said).toContain('Not finished. Keep REEVE_KEK_PREVIOUS')
      expect((await entries('kek.rotated')).length).toBe(before)
      expect(await wrappedBy(keys.old)).toBe(COMMUNITIES)

      const status = await run('status', settings('old', 'fresh'))
      expect(status).toMatchObject({ code: 1 })
      expect(status.said.split('\n').toSorted()).toEqual(
        [
          '',
          `${keys.old.kek.id} wraps ${COMMUNITIES}  REEVE_KEK`,
          `${keys.fresh.kek.id} wraps 1  REEVE_KEK_PREVIOUS`,
          `${kek.id} wraps 1  not in these settings`,
        ].toSorted(),
      )
      expect(stranger).toBeDefined()
    },
  )
})

it.runIf(hasPostgres)(
  'two services as they are run go through it as it is written down, and give credentials all the way',
  { timeout: 600_000 },
  async () => {
    const keys = { old: makeKek(), fresh: makeKek() }
    const files = await keyFiles(keys)
    const plc = await startPlcServer()
    const database = await createOnServer()
    const databaseUrl = database.url.reveal()
    const setting = (name: keyof typeof keys) => `file:${files.pathOf(name)}`
    const both = (current: keyof typeof keys, previous: keyof typeof keys) => ({
      REEVE_KEK: setting(current),
      REEVE_KEK_PREVIOUS: setting(previous),
    })
    const base = await reevePlace({ plcUrl: plc.url, dataDir: files.folder, databaseUrl })
    const other = { REEVE_PORT: String(await freePort()) }
    const startWith = async (keks: Record<string, string>) => {
      const environment = { ...base.environment, ...keks }
      const second = { port: Number(other.REEVE_PORT), environment: { ...environment, ...other } }
      return Promise.all([startReeve({ port: base.port, environment }), startReeve(second)])
    }
    let services: readonly ReeveProcess[] = []
    try {
      services = await startWith({ REEVE_KEK: setting('old') })
      const [first] = services
      if (!first) throw new Error('none')
      const alice = await makeSomebody(plc.url)
      const call = async (method: string, input: object) => {
        const { status, body } = await callAs(alice, { ...first, nowSec: systemClock.nowSec() }, method, input)
        if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(body)}`)
        return body
      }
      const found = async () => {
        const custody = { $type: 'community.reeve.community.mint#custodial' }
        const { did } = await call('community.reeve.community.mint', { name: 'Gardeners', custody })
        const input = { community: did, spaceType: 'com.atmoboards.forum', skey: 'main' }
        return (await call('community.reeve.space.create', input)).uri as string
      }
      const spaces = [await found(), await found()]
      /** A credential for each space from each service, every key opened anew for it. */
      const exchangeAll = async (): Promise<number[]> => {
        const statuses: number[] = []
        for (const { pid, url } of services) {
          process.kill(pid, 'SIGUSR2')
          for (const space of spaces) {
            const scene = { world: { url: base.environment['REEVE_PUBLIC_URL'] ?? '', clock: systemClock as never } }
            const request = exchangeOf({ ...scene, forum: space, bob: alice })
            // Both answer for one public address, as behind a proxy.
            statuses.push((await sendRaw(url, request)).status)
          }
        }
        return statuses
      }
      const restart = async (keks: Record<string, string>) => {
        // One after the other, as a service goes on.
        const environment = { ...base.environment, ...keks }
        const places = [
          { port: base.port, environment },
          { port: Number(other.REEVE_PORT), environment: { ...environment, ...other } },
        ]
        for (const [at, place] of places.entries()) {
          expect(await services[at]?.stop()).toBe(0)
          const again = await startReeve(place)
          services = services.map((one, nth) => (nth === at ? again : one))
          if (at === 0) spaces.push(await found())
          expect(await exchangeAll()).toEqual(Array(2 * spaces.length).fill(200))
        }
      }
      expect(await exchangeAll()).toEqual([200, 200, 200, 200])
      await restart(both('old', 'fresh'))
      await restart(both('fresh', 'old'))

      const tool = start('rotate', { ...base.environment, ...both('fresh', 'old') }, `${keys.fresh.kek.id}\n`)
      let hasEnded = false
      tool.ended.then(() => {
        hasEnded = true
      })
      const statuses: number[] = []
      while (!hasEnded) statuses.push(...(await exchangeAll()))
      const { code, said } = await tool.ended
      expect({ code, said }).toMatchObject({ code: 0, said: expect.stringContaining('Done: everything opens') })
      expect(said).toContain('opened 4 data keys, 12 keys')
      expect(statuses.length).toBeGreaterThan(0)
      expect(new Set(statuses)).toEqual(new Set([200]))

      await restart({ REEVE_KEK: setting('fresh') })
      expect((await run('status', { ...base.environment, REEVE_KEK: setting('fresh') })).said).toBe(
        `${keys.fresh.kek.id} wraps 5  REEVE_KEK\n`,
      )
      const output = services.map((one) => one.output()).join('')
      for (const { hex } of Object.values(keys)) expect(output + said).not.toContain(hex.slice(0, 16))
    } finally {
      await Promise.all(services.map((one) => one.kill()))
      await plc.close()
      await database.drop()
      await files.drop()
    }
  },
)

it('on the embedded database, whose service is stopped, it is killed and goes on as well', {
  timeout: 900_000,
}, async () => {
  const keys = { old: makeKek(), fresh: makeKek() }
  const files = await keyFiles(keys)
  const dataDir = join(files.folder, 'data')
  const opening = () => openDatabase({ url: null, dataDir, allowUnsafe: false, log: silentLog, clock: systemClock })
  try {
    let opened = await opening()
    await migrate(opened.db, systemClock)
    await foundSealed(opened.db, await vaultOn(opened.db, { kek: keys.old.kek }), 40)
    const environment = { ...files.settings('fresh', 'old'), REEVE_DATA_DIR: dataDir }
    const held = await run('rotate', environment, `${keys.fresh.kek.id}\n`)
    expect(held.code).toBe(1)
    expect(held.said).toContain(String(process.pid))
    await opened.close()

    let kills = 0
    // On until it was ended before its end at least once: this process may come too late for that.
    for (let turn = 0; turn < 4 || (kills === 0 && turn < 40); turn++) {
      const tool = start('rotate', environment, `${keys.fresh.kek.id}\n`)
      let hasEnded = false
      tool.ended.then(() => {
        hasEnded = true
      })
      await eventually('it asks, or ends', async () => hasEnded || tool.said().includes('Type the id'), 120_000)
      await sleep(Math.random() * 60)
      tool.kill()
      if ((await tool.ended).signal === 'SIGKILL') kills += 1
      opened = await opening()
      const { rows, opened: by, wrong } = await whoOpens(opened.db, [keys.old.kek, keys.fresh.kek])
      expect({ rows, wrong }).toEqual({ rows: 40, wrong: 0 })
      expect([...by.values()].reduce((sum, count) => sum + count, 0)).toBe(40)
      await opened.close()
    }
    expect(kills).toBeGreaterThan(0)
    expect((await run('rotate', environment, `${keys.fresh.kek.id}\n`)).code).toBe(0)
    expect((await run('status', environment)).said).toContain(`${keys.fresh.kek.id} wraps 40  REEVE_KEK\n`)
  } finally {
    await files.drop()
  }
})
