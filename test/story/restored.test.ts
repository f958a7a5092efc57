/**
 * Yesterday's backup, as an operator puts it back: somebody who was removed since is on the roster again, and gets nothing by it. Then the way
 * on: what is missing is shown, the operator accepts it, the community rests, its owner looks and wakes it.
 */
import { cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AGE_MAX_MS } from '../../src/audit/checkpoint.ts'
import { readCheckpoint } from '../../src/audit/checkpoint-folder.ts'
import { REUSABLE_MAX_SEC } from '../../src/credential/token-classes.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Secret } from '../../src/platform/secret.ts'
import { foundLongAgo, seenLongAgo } from '../kit/checkpoints.ts'
import { runCli } from '../kit/cli.ts'
import { createOnServer, hasPostgres } from '../kit/databases.ts'
import { exchangeOf } from '../kit/exchange.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { sendRaw } from '../kit/world.ts'

const R = 'community.reeve'

const serviceDidOf = ({ port }: ReevePlace) => `did:web:localhost%3A${port}`

describe('a backup that is put back', () => {
  let folder: string
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let reeve: ReeveProcess | null = null
  let place: ReevePlace
  const dataDir = () => join(folder, 'data')
  const checkpoints = () => join(folder, 'elsewhere')
  const undo: (() => Promise<unknown>)[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reeve-restored-'))
    await mkdir(dataDir())
    plc = await startPlcServer()
  })
  afterEach(async () => {
    await reeve?.kill()
    reeve = null
    await plc.close()
    for (const one of undo.splice(0)) await one()
    await rm(folder, { recursive: true, force: true })
  })

  const at = () => {
    if (!reeve) throw new Error('nothing runs')
    return { url: reeve.url, serviceDid: reeve.serviceDid, nowSec: systemClock.nowSec() }
  }
  const call = (who: Somebody, method: string, input: object) => callAs(who, at(), `${R}.${method}`, input)
  const ask = (who: Somebody, method: string, input: object) => callAs(who, at(), `${R}.${method}`, input, 'query')
  const done = async (who: Somebody, method: string, input: object) => {
    const { status, body } = await call(who, method, input)
    if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(body)}`)
    return body
  }
  const exchange = async (who: Somebody, forum: string) => {
    const world = { url: at().url, clock: systemClock as never }
    const { status, body } = await sendRaw(at().url, exchangeOf({ world, forum, bob: who }))
    return body.credential ? status : [status, body.error]
  }
  const health = async () => {
    const { status, body } = await sendRaw(at().url, { path: '/xrpc/_health' })
    return [status, body.error ?? 'well']
  }
  async function onRestored(work: (db: Db) => Promise<void>): Promise<void> {
    const { DATABASE_URL } = place.environment
    const url = DATABASE_URL === undefined ? null : new Secret(DATABASE_URL)
    const about = { url, dataDir: dataDir(), allowUnsafe: true, log: silentLog, clock: systemClock }
    const { db, close } = await openDatabase(about)
    await work(db).finally(close)
  }
  const tool = (args: readonly string[], typed = '') => runCli({ args, typed, environment: place.environment })
  const stop = async () => {
    expect(await reeve?.stop()).toBe(0)
    reeve = null
  }
  const start = async () => {
    reeve = await startReeve(place)
  }
  const newest = async () => {
    const [name, ...others] = (await readdir(checkpoints())).filter((one) => one.endsWith('.json'))
    if (name === undefined || others.length > 0) throw new Error('not one checkpoint')
    return join(checkpoints(), name)
  }

  /** The whole of it: `keep` makes a backup of what is there now, while nothing runs, and `putBack` puts it in the place of what came since. */
  async function live(about: { databaseUrl?: string; keep: () => Promise<void>; putBack: () => Promise<void> }) {
    place = await reevePlace({
      ...{ plcUrl: plc.url, dataDir: dataDir(), environment: { REEVE_CHECKPOINT_DIR: checkpoints() } },
      ...(about.databaseUrl === undefined ? {} : { databaseUrl: about.databaseUrl }),
    })
    await start()
    const [alice, bob, carol] = [await makeSomebody(plc.url), await makeSomebody(plc.url), await makeSomebody(plc.url)]
    const found = async (name: string) => {
      const custody = { $type: `${R}.community.mint#custodial` }
      const { did } = await done(alice, 'community.mint', { name, custody })
      const input = { community: did, spaceType: 'com.atmoboards.forum', skey: 'main' }
      return { did: did as string, forum: (await done(alice, 'space.create', input)).uri as string }
    }
    const touched = await found('Gardeners')
    const quiet = await found('Fishers')
    for (const { forum } of [touched, quiet])
      for (const { did } of [bob, carol]) await done(alice, 'member.put', { space: forum, did, role: 'member' })
    await stop()
    await about.keep()

    await start()
    await done(alice, 'member.remove', { space: touched.forum, did: bob.did })
    const late = await found('Latecomers')
    await stop()
    // It had the last word in its place apart from the database.
    const checkpoint = await newest()
    await about.putBack()

    await start()
    expect(await health()).toEqual([503, 'RestoredFromPast'])
    for (const who of [bob, carol, alice])
      expect(await exchange(who, touched.forum)).toEqual([503, 'NotEnoughResources'])
    expect(await exchange(carol, quiet.forum)).toEqual([503, 'NotEnoughResources'])
    const putting = { space: touched.forum, did: bob.did, role: 'admin' }
    expect(await call(alice, 'member.put', putting)).toMatchObject({ status: 503, body: { error: 'RestoredFromPast' } })
    const listed = await ask(alice, 'member.list', { space: touched.forum })
    expect(listed.status).toBe(200)
    expect(JSON.stringify(listed.body)).toContain(bob.did)
    expect((await ask(alice, 'audit.list', { community: touched.did })).status).toBe(200)
    const inQuiet = await ask(alice, 'member.explain', { space: quiet.forum, did: carol.did, action: 'read' })
    expect(inQuiet).toMatchObject({ status: 200, body: { allowed: true } })
    await stop()
    // Nor does a machine that has never seen it serve it.
    const environment = { ...place.environment, REEVE_CHECKPOINT_DIR: join(folder, 'empty') }
    reeve = await startReeve({ ...place, environment })
    expect(await health()).toEqual([503, 'RestoredFromPast'])
    expect(await exchange(carol, quiet.forum)).toEqual([503, 'NotEnoughResources'])
    await stop()
    // Not even its end writes another one.
    expect(await newest()).toBe(checkpoint)

    const status = await tool(['restored', 'status'])
    expect(status).toMatchObject({ code: 1, err: '' })
    expect(status.out).toMatch(
      new RegExp(
        `BEHIND    ${touched.did}: \\d+ entries missing; the checkpoint of \\S+ has \\d+ entries, this database \\d+, its last of \\S+Z`,
      ),
    )
    expect(status.out).toMatch(new RegExp(`GONE      ${late.did}: the checkpoint of \\S+ has \\d+ entries`))
    expect(status.out).not.toContain(quiet.did)
    expect((await tool(['audit', 'verify'])).code).toBe(1)

    const early = await tool(['restored', 'accept'], `${serviceDidOf(place)}\n`)
    expect(early).toMatchObject({ code: 1, out: '' })
    expect(early.err).toMatch(/too early: .* Come back at \S+Z; nothing was changed/)
    // As if the time had passed since the last checkpoint: whoever found it knows that the service had gone on.
    const atMs = systemClock.nowMs() - AGE_MAX_MS - REUSABLE_MAX_SEC * 1000
    await seenLongAgo(checkpoints(), atMs)
    const soon = await tool(['restored', 'accept'], `${serviceDidOf(place)}\n`)
    expect(soon).toMatchObject({ code: 1, out: '' })
    expect(soon.err).toMatch(/too early: .* Come back at \S+Z; nothing was changed/)
    await onRestored((db) => foundLongAgo(db, checkpoints()))

    const wrong = await tool(['restored', 'accept'], 'yes\n')
    expect(wrong).toMatchObject({ code: 1, err: '' })
    expect(wrong.out).toContain('Nothing was changed')
    expect(await newest()).toBe(checkpoint)
    const accepted = await tool(['restored', 'accept'], `${serviceDidOf(place)}\n`)
    expect(accepted).toMatchObject({ code: 0, err: '' })
    expect(accepted.out).toContain(`FROZEN           ${touched.did}`)
    expect(accepted.out).toContain('1 of them are GONE')
    expect(accepted.out).not.toContain(quiet.did)
    const aside = join(checkpoints(), 'aside')
    const [old, ...others] = await readdir(aside)
    expect(others).toEqual([])
    expect(await newest()).not.toBe(checkpoint)
    expect((await readCheckpoint(await newest()))?.checkpoint.acceptedAtMs).toBeGreaterThan(atMs)
    expect((await tool(['restored', 'status'])).code).toBe(0)
    expect((await tool(['restored', 'accept'])).out).toContain('there is nothing to accept')

    // Whoever kept the old one still sees what happened.
    const verified = await tool(['audit', 'verify', '--checkpoint', join(aside, old ?? '')])
    expect(verified).toMatchObject({ code: 1, err: '' })
    expect(verified.out).toContain(`DIFFERS ${late.did} ends at row 0`)
    expect(verified.out).toMatch(new RegExp(`DIFFERS ${touched.did} at row \\d+: .* with another hash`))
    expect(await tool(['audit', 'verify'])).toMatchObject({ code: 0, err: '' })

    await start()
    expect(await health()).toEqual([200, 'well'])
    for (const who of [bob, carol]) expect(await exchange(who, touched.forum)).toEqual([400, expect.any(String)])
    expect(await exchange(carol, quiet.forum)).toBe(200)
    const log = await ask(alice, 'audit.list', { community: touched.did, actor: at().serviceDid })
    const actions = log.body.entries.map(({ action }: { action: string }) => action)
    expect(actions).toEqual(['restored.accept', 'community.freeze'])
    expect(log.body.entries[0]).toMatchObject({ actor: at().serviceDid, because: { fault: 'behind' } })

    // The owner looks, and wakes it.
    await done(alice, 'member.remove', { space: touched.forum, did: bob.did })
    await done(alice, 'community.freeze', { community: touched.did, isFrozen: false })
    expect(await exchange(carol, touched.forum)).toBe(200)
    expect(await exchange(bob, touched.forum)).toEqual([400, 'UserNotAuthorized'])
    await stop()
    await start()
    expect(await health()).toEqual([200, 'well'])
    expect((await readCheckpoint(await newest()))?.checkpoint.acceptedAtMs).toBeGreaterThan(atMs)
  }

  it.runIf(hasPostgres)(
    'PostgreSQL, from a copy of the database: nobody comes back by it unseen',
    { timeout: 600_000 },
    async () => {
      const database = await createOnServer()
      undo.push(() => database.drop())
      let backup: Awaited<ReturnType<typeof createOnServer>> | null = null
      await live({
        databaseUrl: database.url.reveal(),
        async keep() {
          const made = await createOnServer(`template ${database.name}`)
          undo.push(() => made.drop())
          backup = made
        },
        async putBack() {
          const DATABASE_URL = backup?.url.reveal() ?? ''
          place = { ...place, environment: { ...place.environment, DATABASE_URL } }
        },
      })
    },
  )

  it('the embedded database, from a copy of its directory: nobody comes back by it unseen', {
    timeout: 600_000,
  }, () => {
    const backup = join(folder, 'backup')
    return live({
      keep: () => cp(dataDir(), backup, { recursive: true }),
      async putBack() {
        await rename(dataDir(), join(folder, 'broken'))
        await cp(backup, dataDir(), { recursive: true })
      },
    })
  })
})
