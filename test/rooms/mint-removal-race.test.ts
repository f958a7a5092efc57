/**
 * A removal and the credentials that are being issued meanwhile: whoever commits first is seen by the other. So no credential
 * rests on a membership that was taken back, and none is issued to a request that began after the removal was answered.
 */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadReadFacts, mayRead } from '../../src/access/may-read.ts'
import { issue } from '../../src/credential/store.ts'
import { lockRevisions, raiseRevisions } from '../../src/membership/store.ts'
import type { Did } from '../../src/names.ts'
import { sleep } from '../../src/platform/clock.ts'
import { type Db, type Tx, withTransaction } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { claimId } from '../../src/platform/once.ts'
import type { Grant } from '../../src/policy/decide.ts'
import { openReeve, type Reeve } from '../../src/reeve.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { exchange, exchangeOf, issuances, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { freePort } from '../kit/ports.ts'
import { freshJti } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { sendRaw, spaceOf } from '../kit/world.ts'

const ROUNDS = 8
const AT_ONCE = 24
/** Of what binds by the same lock and the same revision as a removal. */
const ROUNDS_BESIDE = 3

/** Something that shuts bob out, what he is told then, and how he is let in again. */
interface Loss {
  readonly lose: (scene: Scene) => ReturnType<Scene['alice']['call']>
  readonly error: string
  readonly undo: (scene: Scene) => Promise<unknown>
}

const R = 'community.reeve'
const REMOVAL: Loss = {
  lose: ({ alice, bob, forum }) => alice.call(`${R}.member.remove`, { space: forum, did: bob.did }),
  error: 'UserNotAuthorized',
  undo: ({ alice, bob, forum }) => letIn(alice, forum, bob.did),
}
const BAN: Loss = {
  lose: ({ alice, bob, forum }) => alice.call(`${R}.member.ban`, { space: forum, did: bob.did }),
  error: 'UserNotAuthorized',
  async undo({ alice, bob, forum }) {
    expect(await alice.call(`${R}.member.unban`, { space: forum, did: bob.did })).toMatchObject({ status: 200 })
    await letIn(alice, forum, bob.did)
  },
}
/** His app doesn't say which one it is. */
const RULE: Loss = {
  lose: ({ alice, forum }) => alice.call(`${R}.app.setAccess`, { space: forum, mode: 'allowList' }),
  error: 'AppNotAuthorized',
  async undo({ alice, forum }) {
    expect(await alice.call(`${R}.app.setAccess`, { space: forum, mode: 'open' })).toMatchObject({ status: 200 })
  },
}

/** Shuts bob out in the middle of many exchanges of his, and holds the answers and the table against that. */
async function race(
  scene: Scene,
  database: TestDatabase,
  urls: readonly string[],
  round: number,
  { lose, error, undo }: Loss = REMOVAL,
): Promise<number> {
  const { bob } = scene
  const before = new Set((await issuances(database)).map(({ jti }) => jti))
  const send = (at: number) =>
    sendRaw(urls[at % urls.length] ?? scene.world.url, exchangeOf(scene, { binding: at % 2 ? 'october' : 'august' }))
  const early = Array.from({ length: AT_ONCE }, (_none, at) => send(at))
  // Somewhere in the middle: each round lets another number of them finish first.
  await Promise.race(early.slice(round))
  const losing = lose(scene)
  const beside = Array.from({ length: AT_ONCE }, (_none, at) => send(at))
  const lost = await losing
  expect(lost.status).toBe(200)
  const late = await Promise.all(Array.from({ length: AT_ONCE }, (_none, at) => send(at)))
  for (const answer of late) expect(answer).toMatchObject({ status: 400, body: { error } })
  const answered = [...(await Promise.all(early)), ...(await Promise.all(beside))]
  for (const { status, body } of answered) {
    expect(['200', error]).toContain(status === 200 ? '200' : body.error)
  }
  const issued = (await issuances(database)).filter(({ jti, did }) => did === bob.did && !before.has(jti))
  expect(issued).toHaveLength(answered.filter(({ status }) => status === 200).length)
  for (const { revision } of issued) expect(revision).toBeLessThan(lost.body.revision)
  await undo(scene)
  return issued.length
}

describeOnEachEngine('a removal among exchanges', (open) => {
  it('is never outlived by a decision', async () => {
    const database = await open()
    const scene = await openScene(database)
    try {
      let issued = 0
      for (let round = 0; round < ROUNDS; round++) issued += await race(scene, database, [scene.world.url], round)
      expect(issued).toBeGreaterThan(0)
    } finally {
      await scene.close()
    }
  })
})

describeOnEachEngine('among exchanges', (open) => {
  it.each([
    ['a ban', BAN],
    ['a rule about apps', RULE],
  ])('%s is never outlived by a decision either', async (_says, loss) => {
    const database = await open()
    const scene = await openScene(database)
    try {
      let issued = 0
      for (let round = 0; round < ROUNDS_BESIDE; round++) {
        issued += await race(scene, database, [scene.world.url], round, loss)
      }
      expect(issued).toBeGreaterThan(0)
    } finally {
      await scene.close()
    }
  })
})

describe.runIf(hasPostgres)('what is taken back at one process among exchanges at two', () => {
  it.each([
    ['a removal', REMOVAL],
    ['a ban', BAN],
    ['a rule about apps', RULE],
  ])('is never outlived by a decision: %s', async (_says, loss) => {
    const database = await openTestDatabase('postgres')
    const scene = await openScene(database)
    const { config, clock, url } = scene.world
    const second: Reeve = await openReeve(
      { ...config, port: await freePort(), databaseUrl: database.url, allowUnsafeDatabase: true },
      { clock, log: silentLog },
    )
    try {
      let issued = 0
      for (let round = 0; round < (loss === REMOVAL ? ROUNDS : ROUNDS_BESIDE); round++) {
        issued += await race(scene, database, [url, `http://localhost:${second.port}`], round, loss)
      }
      expect(issued).toBeGreaterThan(0)
    } finally {
      await second.close()
      await scene.close()
    }
  })
})

describe.runIf(hasPostgres)('the statement that issues', () => {
  let database: TestDatabase
  let scene: Scene

  beforeAll(async () => {
    database = await openTestDatabase('postgres')
    scene = await openScene(database)
  })
  afterAll(() => scene.close())

  /** A decision about bob as the exchange makes it, ready to be written down. */
  async function decided() {
    const { house } = scene.world.reeve
    const read = await loadReadFacts(house, spaceOf(scene.forum), scene.bob.did)
    if (read.space !== 'live') throw new Error('no space')
    const verdict = mayRead(read.facts, { did: scene.bob.did, clientId: null })
    if (!verdict.ok) throw new Error('not let in')
    const grant: Grant = verdict.value
    const nowSec = scene.world.clock.nowSec()
    const jti = freshJti()
    const claims = [
      { kind: 'delegation' as const, id: claimId('delegation', scene.bob.did, jti), keepUntilSec: nowSec + 100 },
    ]
    const issuance = {
      jti,
      holder: 'holder',
      issuedAtSec: nowSec,
      expiresAtSec: nowSec + 600,
      basis: [{ community: scene.community, revision: read.revision }],
    }
    const one = { grant, claims, issuance, atMs: nowSec * 1000 }
    return { jti, claims, write: (db: Db) => issue(db, one), ask: () => house.issuing.ask(one) }
  }
  const rowsOf = async (jti: string, id: Uint8Array) => {
    const { rows } = await sql<{ kept: number }>`select
      (select count(*) from issuance where jti = ${jti}) + (select count(*) from spent where id = ${id})
      + (select count(*) from audit_entry where because->>'jti' = ${jti}) as kept`.execute(database.db)
    return Number(rows[0]?.kept)
  }
  /** Returns when some other statement waits for a lock, seen from within the transaction that holds it. */
  const somebodyWaits = (tx: Tx) =>
    eventually('a statement waits for a lock', async () => {
      await sql`select pg_stat_clear_snapshot()`.execute(tx)
      const { rows } = await sql`select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(tx)
      return rows.length > 0
    })
  /** Work that begins on a signal given inside a transaction, but is no part of it. */
  function outside<T>(work: () => Promise<T>): { begin(): void; done: Promise<T>; run(): Promise<T> } {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = promise.then(work)
    const run = () => {
      resolve()
      return done
    }
    return { begin: resolve, done, run }
  }
  const community = (): Did => scene.community

  it('waits for nobody while a change is under way, and says so without writing anything', async () => {
    const { jti, claims, write } = await decided()
    const writing = outside(() => write(database.db))
    await withTransaction(database.db, async (tx) => {
      await lockRevisions(tx, community())
      await raiseRevisions(tx, community(), { graph: false })
      expect(await writing.run()).toBe('busy')
    })
    expect(await rowsOf(jti, claims[0]?.id ?? new Uint8Array())).toBe(0)
    expect(await write(database.db)).toBe('moved')
  })

  it('is tried again by the exchange until the change is over, and writes all three rows when that is undone', async () => {
    const { jti, claims, ask } = await decided()
    const asked = outside(() => ask())
    await withTransaction(database.db, async (tx) => {
      await lockRevisions(tx, community())
      await raiseRevisions(tx, community(), { graph: false })
      asked.begin()
      // Long enough that it has found the community busy several times.
      await sleep(100)
      throw new Error('undone')
    }).catch((error: Error) => expect(error.message).toBe('undone'))
    expect(await asked.done).toBe('issued')
    expect(await rowsOf(jti, claims[0]?.id ?? new Uint8Array())).toBe(3)
  })

  it('of one community is held up by no change of another one, in the same call', async () => {
    const other = await scene.world.found(scene.carol)
    const asked = outside(() => Promise.all(Array.from({ length: 20 }, () => exchange(scene))))
    await withTransaction(database.db, async (tx) => {
      await lockRevisions(tx, other)
      const answers = await asked.run()
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    })
  })

  it('makes a change wait until it is kept, so that the change comes after', async () => {
    const { jti, write } = await decided()
    const { alice, bob, forum } = scene
    const removing = outside(() => alice.call('community.reeve.member.remove', { space: forum, did: bob.did }))
    await withTransaction(database.db, async (tx) => {
      expect(await write(tx)).toBe('issued')
      removing.begin()
      await somebodyWaits(tx)
    })
    const removed = await removing.done
    expect(removed.status).toBe(200)
    const row = (await issuances(database)).find((issued) => issued.jti === jti)
    expect(row?.revision).toBeLessThan(removed.body.revision)
    await letIn(alice, forum, bob.did)
  })

  it('answers moved for a decision of yesterday, and spends nothing', async () => {
    const { jti, claims, write } = await decided()
    await letIn(scene.alice, scene.forum, scene.carol.did)
    expect(await write(database.db)).toBe('moved')
    expect(await rowsOf(jti, claims[0]?.id ?? new Uint8Array())).toBe(0)
  })

  it('is tried again by the exchange with new facts, so that a change of somebody else costs nobody a credential', async () => {
    const { alice, carol, forum } = scene
    const changes = (async () => {
      for (let i = 0; i < 10; i++) await letIn(alice, forum, carol.did)
    })()
    const answers = await Promise.all(Array.from({ length: 30 }, () => exchange(scene)))
    await changes
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  })
})
