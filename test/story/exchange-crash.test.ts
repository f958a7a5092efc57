/**
 * An exchange whose process is ended with SIGKILL between the claim on its token and the answer, again and again: a token is either
 * spent, with its credential's row and its entry in the log, or it is good. Never half of it, and never an answer without a row.
 *
 * First among many at once, where chance decides which side of the claim each of them is on. Then one by one, where the server's
 * own locks decide it: the process is stopped while its statement waits, so that nothing of it can run once the claim stands.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { type OpenDatabase, openDatabase, type Tx, withTransaction } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { claimId } from '../../src/platform/once.ts'
import { Secret } from '../../src/platform/secret.ts'
import { createOnServer, type EngineName, engines, hasPostgres } from '../kit/databases.ts'
import { BINDINGS, exchangeOf, type Parts } from '../kit/exchange.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { freshJti, makeDelegation, makeKey, type TestKey, thumbprintOf } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, type Binding, type RawRequest, sendRaw, spaceOf } from '../kit/world.ts'

/** How often the process is ended: among many exchanges, and in the middle of one, for each binding. */
const KILLS = 10
/** And before the claim, for each binding and each way. */
const EARLY_KILLS = 5
/** Tokens under way when it is. */
const AT_ONCE = 40

/** A token, the key it is asked with, and what came back before the end, if anything did. */
interface Asked {
  readonly token: string
  readonly holder: TestKey
  readonly binding: Binding
  answer: Answer | 'lost'
}

/** A Reeve that is ended and started again, and alice, who has a forum there. */
interface Home {
  readonly forum: string
  /** The process of now. */
  reeve(): ReeveProcess
  restart(): Promise<void>
  /** An exchange by alice. */
  prepare(parts?: Parts): RawRequest
  send(request: RawRequest): Promise<Answer>
  /** A token of alice's, good for long enough to be asked with again in the next life of the process. */
  makeToken(jti?: string): string
  readonly alice: Somebody
  /** The same database once more. The embedded one has to be left by Reeve first. */
  openDatabase(): Promise<OpenDatabase>
  close(): Promise<void>
}

async function openHome(engine: EngineName): Promise<Home> {
  const plc = await startPlcServer()
  const dataDir = await mkdtemp(join(tmpdir(), 'reeve-exchange-crash-'))
  const onServer = engine === 'postgres' ? await createOnServer() : null
  const place: ReevePlace = await reevePlace({
    plcUrl: plc.url,
    dataDir,
    ...(onServer ? { databaseUrl: onServer.url.reveal() } : {}),
  })
  let reeve = await startReeve(place)
  const alice = await makeSomebody(plc.url)
  const call = (method: string, input: object): Promise<Answer> =>
    callAs(alice, { ...reeve, nowSec: systemClock.nowSec() }, method, input)
  const custody = { $type: 'community.reeve.community.mint#custodial' }
  const minted = await call('community.reeve.community.mint', { name: 'Gardeners', custody })
  const community = minted.body.did
  const made = await call('community.reeve.space.create', { community, spaceType: 'com.atmoboards.forum' })
  if (made.status !== 200) throw new Error(`no space: ${JSON.stringify(made.body)}`)
  const forum: string = made.body.uri
  const world = { url: reeve.url, clock: { ...systemClock, moveSec() {} } }
  return {
    forum,
    alice,
    reeve: () => reeve,
    async restart() {
      reeve = await startReeve(place)
    },
    prepare: (parts = {}) => exchangeOf({ world, forum, bob: alice }, parts),
    send: (request) => sendRaw(reeve.url, request),
    makeToken(jti = freshJti()) {
      const nowSec = systemClock.nowSec()
      const about = { key: alice.key, iss: alice.did, space: spaceOf(forum), nowSec, jti }
      return makeDelegation({ ...about, payload: { exp: nowSec + 300 } })
    },
    openDatabase: () =>
      openDatabase({
        ...{ url: onServer && new Secret(onServer.url.reveal()), dataDir, allowUnsafe: true },
        ...{ log: silentLog, clock: systemClock },
      }),
    async close() {
      await reeve.kill()
      await onServer?.drop()
      await plc.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

describe.each(engines())('exchanges across SIGKILL (%s)', (engine) => {
  let home: Home
  beforeAll(async () => {
    home = await openHome(engine)
  })
  afterAll(() => home?.close())

  const send = ({ token, holder, binding }: Omit<Asked, 'answer'>): Promise<Answer> =>
    home.send(home.prepare({ token, holder, binding }))

  /** Asks with many tokens at once and ends the process when `answersBefore` of them were answered. */
  async function killAmongExchanges(answersBefore: number): Promise<Asked[]> {
    const reached = Promise.withResolvers<void>()
    let answers = 0
    const asked = Array.from(
      { length: AT_ONCE },
      (_none, at): Asked => ({
        ...{ token: home.makeToken(), holder: makeKey('p256') },
        ...{ binding: BINDINGS[at % 2] ?? 'october', answer: 'lost' },
      }),
    )
    const sent = asked.map(async (one) => {
      const answer = await send(one).catch(() => 'lost' as const)
      one.answer = answer
      if (answer !== 'lost' && ++answers === answersBefore) reached.resolve()
    })
    await reached.promise
    await home.reeve().kill()
    await Promise.all(sent)
    return asked
  }

  it(`a token is spent with its row, or unspent without one, ${KILLS} times`, { timeout: 900_000 }, async () => {
    const all: (Asked & { readonly wasSpent: boolean })[] = []
    for (let round = 0; round < KILLS; round++) {
      const asked = await killAmongExchanges(1 + round)
      await home.restart()
      for (const one of asked) {
        const again = await send({ ...one, holder: one.holder })
        const wasSpent = again.status === 401
        if (wasSpent) expect(again.body.error).toBe('JwtReplayed')
        else expect(again.status).toBe(200)
        all.push({ ...one, wasSpent })
      }
    }
    await home.reeve().stop()

    const database = await home.openDatabase()
    try {
      const issued = await sql<{ holder: string }>`select holder from issuance`.execute(database.db)
      const rowsOf = new Map<string, number>()
      for (const { holder } of issued.rows) rowsOf.set(holder, (rowsOf.get(holder) ?? 0) + 1)
      // Each token has one row by now: from before the end of the process, or else from the second asking. Spent before without
      // a row would be none; a row without a spent token would be two.
      for (const { holder, binding } of all) {
        expect(rowsOf.get(binding === 'august' ? thumbprintOf(holder) : holder.didKey)).toBe(1)
      }
      const entries = await sql<{ n: number }>`
        select count(*)::int as n from audit_entry where action = 'credential.issue'`.execute(database.db)
      expect(entries.rows[0]?.n).toBe(all.length)
      const spent = await sql<{ n: number }>`select count(*)::int as n from spent`.execute(database.db)
      expect(spent.rows[0]?.n).toBeGreaterThanOrEqual(all.length)
    } finally {
      await database.close()
    }

    // What was answered was kept: nobody holds a credential that the house does not know of.
    for (const { answer, wasSpent } of all)
      if (answer !== 'lost') expect([answer.status, wasSpent]).toEqual([200, true])
    // Both sides of the line were tried, or this showed nothing.
    expect(all.some(({ wasSpent }) => !wasSpent)).toBe(true)
    expect(all.some(({ wasSpent }) => wasSpent)).toBe(true)
  })
})

describe.runIf(hasPostgres)('one exchange across SIGKILL, where the server tells how far it is', () => {
  let home: Home
  let database: OpenDatabase
  beforeAll(async () => {
    home = await openHome('postgres')
    database = await home.openDatabase()
  })
  afterAll(async () => {
    await database?.close()
    await home?.close()
  })

  /** One request, and what of it can stand in the tables. The same bytes may be sent as often as one likes. */
  interface Single {
    readonly binding: Binding
    readonly request: RawRequest
    readonly holder: string
    /** Ids in `spent`: the token's, and the proof's when that is used up as well. */
    readonly spentIds: readonly Uint8Array[]
  }
  function single(binding: Binding): Single {
    const key = makeKey('p256')
    const [jti, proofJti] = [freshJti(), freshJti()]
    const ofToken = claimId('delegation', home.alice.did, jti)
    const ofProof = claimId('dpop', thumbprintOf(key), proofJti)
    return {
      binding,
      request: home.prepare({ token: home.makeToken(jti), holder: key, binding, proof: { jti: proofJti } }),
      holder: binding === 'august' ? thumbprintOf(key) : key.didKey,
      spentIds: binding === 'august' ? [ofToken, ofProof] : [ofToken],
    }
  }

  interface Rows {
    readonly spent: number
    readonly issuances: number
    readonly entries: number
  }
  const NOTHING: Rows = { spent: 0, issuances: 0, entries: 0 }
  const everything = ({ spentIds }: Single): Rows => ({ spent: spentIds.length, issuances: 1, entries: 1 })
  async function rowsOf({ holder, spentIds }: Single): Promise<Rows> {
    const { rows } = await sql<Rows>`select
      (select count(*)::int from spent where id = any(${spentIds}::bytea[])) as spent,
      (select count(*)::int from issuance where holder = ${holder}) as issuances,
      (select count(*)::int from audit_entry where action = 'credential.issue'
        and because->>'jti' in (select jti from issuance where holder = ${holder})) as entries`.execute(database.db)
    return rows[0] ?? NOTHING
  }

  /** The backend whose statement, the one that spends and issues, waits for the table that this transaction holds. */
  const waiting = (tx: Tx): Promise<number> =>
    eventually('the statement waits', async () => {
      await sql`select pg_stat_clear_snapshot()`.execute(tx)
      const { rows } = await sql<{ pid: number }>`select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and pg_backend_pid() = any(pg_blocking_pids(pid))
          and query like 'with%item as materialized%'`.execute(tx)
      return rows[0]?.pid
    })

  /** Asks, and carries out `meanwhile` when the statement waits. After it, the statement may go on. Answers what came back. */
  async function askHeld(
    request: RawRequest,
    meanwhile: (backend: number, tx: Tx) => Promise<void>,
  ): Promise<{ answer: Promise<Answer | 'lost'>; backend: number }> {
    return withTransaction(database.db, async (tx) => {
      await sql`lock table issuance in access exclusive mode`.execute(tx)
      const answer = home.send(request).catch(() => 'lost' as const)
      const backend = await waiting(tx)
      await meanwhile(backend, tx)
      return { answer, backend }
    })
  }

  /** The same token and proof, asked with in the next life of the process, are refused as used. */
  async function expectUsed({ binding, request }: Single): Promise<void> {
    const again = await home.send(request)
    expect(again.status).toBe(401)
    expect(again.body).toMatchObject(
      binding === 'august'
        ? { error: 'BadDpopProof', message: 'DPoP: the proof was used before' }
        : { error: 'JwtReplayed' },
    )
  }

  it(`after the claim and before the answer, the claim stands: nobody got it, and nobody gets it again, ${KILLS} times each`, {
    timeout: 900_000,
  }, async () => {
    for (const binding of BINDINGS.flatMap((each) => Array<Binding>(KILLS).fill(each))) {
      const asked = single(binding)
      // A process that is told to stop carries out nothing more: the statement is the server's alone from here on.
      const { answer } = await askHeld(asked.request, async () => {
        process.kill(home.reeve().pid, 'SIGSTOP')
      })
      await eventually('the claim stands', async () => (await rowsOf(asked)).issuances > 0)
      await home.reeve().kill()
      expect(await answer).toBe('lost')
      expect(await rowsOf(asked)).toEqual(everything(asked))

      await home.restart()
      await expectUsed(asked)
      expect(await rowsOf(asked)).toEqual(everything(asked))
      expect((await home.send(home.prepare({ binding }))).status).toBe(200)
    }
  })

  it.each([
    { says: 'ended with it', isEnded: true },
    { says: 'left to itself', isEnded: false },
  ])(
    `before the claim, its backend $says, all of it stands or nothing does, ${EARLY_KILLS} times each`,
    { timeout: 900_000 },
    async ({ isEnded }) => {
      for (const binding of BINDINGS.flatMap((each) => Array<Binding>(EARLY_KILLS).fill(each))) {
        const asked = single(binding)
        const { answer, backend } = await askHeld(asked.request, async (pid, tx) => {
          await home.reeve().kill()
          if (isEnded) await sql`select pg_terminate_backend(${pid}::int)`.execute(tx)
        })
        expect(await answer).toBe('lost')
        // Nobody listens to it any more; it may go through with what it was asked for all the same.
        await eventually('the backend is gone', async () => {
          const { rows } = await sql`select from pg_stat_activity where pid = ${backend}`.execute(database.db)
          return rows.length === 0
        })
        const left = await rowsOf(asked)
        const wentThrough = left.spent > 0
        expect(left).toEqual(wentThrough ? everything(asked) : NOTHING)
        if (isEnded) expect(wentThrough).toBe(false)

        await home.restart()
        if (wentThrough) await expectUsed(asked)
        else expect((await home.send(asked.request)).status).toBe(200)
        expect(await rowsOf(asked)).toEqual(everything(asked))
        expect((await home.send(home.prepare({ binding }))).status).toBe(200)
      }
    },
  )
})
