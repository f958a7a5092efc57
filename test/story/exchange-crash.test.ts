/**
 * An exchange whose process is ended with SIGKILL between the claim on its token and the answer, again and again: a token is either
 * spent, with its credential's row and its entry in the log, or it is good. Never half of it, and never an answer without a row.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Secret } from '../../src/platform/secret.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { BINDINGS, exchangeOf } from '../kit/exchange.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { makeDelegation, makeKey, type TestKey, thumbprintOf } from '../kit/tokens.ts'
import { type Answer, type Binding, sendRaw, spaceOf } from '../kit/world.ts'

/** How often the process is ended. */
const KILLS = 10
/** Tokens under way when it is. */
const AT_ONCE = 40

/** A token, the key it is asked with, and what came back before the end, if anything did. */
interface Asked {
  readonly token: string
  readonly holder: TestKey
  readonly binding: Binding
  answer: Answer | 'lost'
}

describe.each(engines())('exchanges across SIGKILL (%s)', (engine) => {
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let dataDir: string
  let databaseUrl: Secret<string> | null = null
  let dropDatabase: (() => Promise<void>) | null = null
  let place: ReevePlace
  let reeve: ReeveProcess
  let alice: Somebody
  let forum: string

  beforeAll(async () => {
    plc = await startPlcServer()
    dataDir = await mkdtemp(join(tmpdir(), 'reeve-exchange-crash-'))
    const onServer = engine === 'postgres' ? await createOnServer() : null
    dropDatabase = onServer && (() => onServer.drop())
    databaseUrl = onServer && new Secret(onServer.url.reveal())
    place = await reevePlace({
      plcUrl: plc.url,
      dataDir,
      ...(onServer ? { databaseUrl: onServer.url.reveal() } : {}),
    })
    reeve = await startReeve(place)
    alice = await makeSomebody(plc.url)
    const custody = { $type: 'community.reeve.community.mint#custodial' }
    const minted = await call('community.reeve.community.mint', { name: 'Gardeners', custody })
    const made = await call('community.reeve.space.create', {
      community: minted.body.did,
      spaceType: 'com.atmoboards.forum',
    })
    forum = made.body.uri
  })
  afterAll(async () => {
    await reeve.kill()
    await dropDatabase?.()
    await plc.close()
    await rm(dataDir, { recursive: true, force: true })
  })

  const call = (method: string, input: object): Promise<Answer> =>
    callAs(alice, { ...reeve, nowSec: systemClock.nowSec() }, method, input)
  const world = () => ({ url: reeve.url, clock: { ...systemClock, moveSec() {} } })
  const send = ({ token, holder, binding }: Omit<Asked, 'answer'>): Promise<Answer> =>
    sendRaw(reeve.url, exchangeOf({ world: world(), forum, bob: alice }, { token, holder, binding }))

  /** Asks with many tokens at once and ends the process when `answersBefore` of them were answered. */
  async function killAmongExchanges(answersBefore: number): Promise<Asked[]> {
    const reached = Promise.withResolvers<void>()
    let answers = 0
    const asked = Array.from({ length: AT_ONCE }, (_none, at): Asked => {
      const nowSec = systemClock.nowSec()
      const about = { key: alice.key, iss: alice.did, space: spaceOf(forum), nowSec }
      // A life long enough to be asked with again in the next life of the process.
      const token = makeDelegation({ ...about, payload: { exp: nowSec + 300 } })
      return { token, holder: makeKey('p256'), binding: BINDINGS[at % 2] ?? 'october', answer: 'lost' }
    })
    const sent = asked.map(async (one) => {
      const answer = await send(one).catch(() => 'lost' as const)
      one.answer = answer
      if (answer !== 'lost' && ++answers === answersBefore) reached.resolve()
    })
    await reached.promise
    await reeve.kill()
    await Promise.all(sent)
    return asked
  }

  it(`a token is spent with its row, or unspent without one, ${KILLS} times`, { timeout: 400_000 }, async () => {
    const all: (Asked & { readonly wasSpent: boolean })[] = []
    for (let round = 0; round < KILLS; round++) {
      const asked = await killAmongExchanges(1 + round)
      reeve = await startReeve(place)
      for (const one of asked) {
        const again = await send({ ...one, holder: one.holder })
        const wasSpent = again.status === 401
        if (wasSpent) expect(again.body.error).toBe('JwtReplayed')
        else expect(again.status).toBe(200)
        all.push({ ...one, wasSpent })
      }
    }
    await reeve.stop()

    const database = await openDatabase({
      ...{ url: databaseUrl, dataDir, allowUnsafe: true },
      ...{ log: silentLog, clock: systemClock },
    })
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
