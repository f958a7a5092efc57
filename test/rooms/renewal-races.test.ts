/** Tokens of a grant that are renewed while the database fails, or while the grant is given back and given anew. The PDS is played. */
import { sql } from 'kysely'
import { expect, it } from 'vitest'
import { LIVE_KEY_MS } from '../../src/keys/vault.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { deleteConnection, loadConnection, saveConnection } from '../../src/steering/connection-store.ts'
import type { Grants } from '../../src/steering/grants.ts'
import type { Session } from '../../src/steering/oauth-client.ts'
import { Renewals } from '../../src/steering/renewal.ts'
import { openSession, type SealingCtx, sealSession } from '../../src/steering/sealed-session.ts'
import { takeTurn } from '../../src/steering/turn-store.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { openCommunity, rollOn } from '../kit/roll.ts'

/** Nothing here is about sealing: what is sealed is what it was. */
const vault: SealingCtx['vault'] = {
  sealBlob: async (_place, plaintext) => ({ sealed: new Uint8Array(plaintext), dekVersion: 1 }),
  openBlob: async (_place, { sealed }) => new Uint8Array(sealed),
}

const sessionOf = (word: string): Session =>
  ({ tokenSet: { access_token: `access ${word}`, refresh_token: `refresh ${word}`, scope: 'atproto' } }) as Session

/** A server that takes each refresh token once, and ends the grant of whoever brings one twice. */
function playedServer() {
  const good = new Set<string>()
  const revoked: string[] = []
  let count = 0
  const server = {
    async refresh(_asked: unknown, { tokenSet }: Session) {
      if (!good.delete(`${tokenSet.refresh_token}`)) throw new Error('invalid_grant')
      count += 1
      good.add(`refresh ${tokenSet.refresh_token}${count}`)
      return sessionOf(`${tokenSet.refresh_token}${count}`)
    },
    async revoke(_asked: unknown, { tokenSet }: Session) {
      revoked.push(`${tokenSet.refresh_token}`)
      good.delete(`${tokenSet.refresh_token}`)
    },
    faultOf: (error: Error) =>
      error.message === 'invalid_grant'
        ? { is: 'over', because: 'TokenRefused' }
        : { is: 'later', because: error.message },
  }
  return { good, revoked, grants: (async () => server) as unknown as Grants }
}

/** A database whose next transactions fail: before anything is done, or with the answer to their commit. */
function failing(db: Db) {
  const plan: ('before' | 'answer')[] = []
  const failed = () => Object.assign(new Error('lost'), { code: 'ECONNRESET' })
  const view = new Proxy(db, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (name !== 'transaction') return typeof value === 'function' ? value.bind(target) : value
      return () => ({
        async execute(work: Parameters<ReturnType<Db['transaction']>['execute']>[0]) {
          const how = plan.shift()
          if (how === 'before') throw failed()
          const done = await target.transaction().execute(work)
          if (how === 'answer') throw failed()
          return done
        },
      })
    },
  })
  return { db: view, plan }
}

describeOnEachEngine('tokens that are renewed', (open) => {
  async function scene() {
    const { db } = await open()
    const roll = rollOn(db)
    const { did: community, founder } = await openCommunity(roll)
    const server = playedServer()
    const trouble = failing(db)
    const ctx = { ...roll, db: trouble.db, vault, log: silentLog, grants: server.grants }
    const connect = async (word: string) => {
      const session = sessionOf(word)
      server.good.add(`${session.tokenSet.refresh_token}`)
      const blob = await sealSession(ctx, community, session)
      const grant = { community, asked: ['atproto'], granted: ['atproto'], connectedBy: founder, blob }
      await withTransaction(db, (tx) => saveConnection(tx, null as never, grant, roll.clock.nowMs()))
    }
    const disconnect = () => withTransaction(db, (tx) => deleteConnection(tx, null as never, community))
    const kept = async () => {
      const connection = await loadConnection(db, community)
      const session = connection?.sealed ? await openSession(ctx, community, connection.sealed) : null
      return { state: connection?.state, token: session?.tokenSet.access_token }
    }
    await connect('one')
    return {
      ...{ db, roll, community, server, trouble, ctx, connect, disconnect, kept },
      process: () => new Renewals(ctx),
    }
  }

  it('aren’t those of the grant before, in a process that knew it', async () => {
    const it = await scene()
    const other = it.process()
    const old = await other.current(it.community)
    if (!old) throw new Error('no grant')
    it.roll.clock.moveMs(1_000)
    await it.disconnect()
    await it.connect('two')
    expect((await other.current(it.community))?.session.tokenSet.access_token).toBe('access two')
    await other.lose(old, 'TokenRefused')
    expect(await it.kept()).toEqual({ state: 'connected', token: 'access two' })
  })

  it('aren’t given back when only the answer to their keeping was lost', async () => {
    const it = await scene()
    const renewals = it.process()
    const old = await renewals.current(it.community)
    if (!old) throw new Error('no grant')
    it.trouble.plan.push('answer')
    const renewed = await renewals.renew(old)
    expect(renewed).toMatchObject({ is: 'open' })
    expect(it.server.revoked).toEqual([])
    const { state, token } = await it.kept()
    expect(state).toBe('connected')
    expect(token).toBe(renewed.is === 'open' && renewed.grant.session.tokenSet.access_token)
  })

  it('are kept as soon as the database takes them, however long that is', async () => {
    const it = await scene()
    const renewals = it.process()
    const old = await renewals.current(it.community)
    if (!old) throw new Error('no grant')
    it.trouble.plan.push('before', 'before', 'before', 'before')
    const renewed = await renewals.renew(old)
    const token = renewed.is === 'open' && renewed.grant.session.tokenSet.access_token
    it.roll.clock.moveMs(LIVE_KEY_MS + 1_000)
    expect((await renewals.current(it.community))?.session.tokenSet.access_token).toBe(token)
    expect(await it.kept()).toEqual({ state: 'connected', token })
    const another = await it.process().current(it.community)
    expect(another?.session.tokenSet.access_token).toBe(token)
  })

  it('are left to whoever renewed them, while those can’t be kept', async () => {
    const it = await scene()
    const renewals = it.process()
    const old = await renewals.current(it.community)
    if (!old) throw new Error('no grant')
    it.trouble.plan.push('before', 'before', 'before', 'before')
    await renewals.renew(old)
    const { rows } = await sql`select from held_turn where name = ${`grant ${it.community}`}`.execute(it.db)
    expect(rows, 'a second use of the old tokens would end the grant').toHaveLength(1)
  })

  it('wait for nobody whose clock was ahead and who is gone', async () => {
    const it = await scene()
    const nowMs = it.roll.clock.nowMs()
    const name = `grant ${it.community}`
    const dead = { name, holder: 'dead', nowMs: nowMs + 86_400_000, untilMs: nowMs + 86_460_000 }
    await takeTurn(it.db, dead)
    const renewals = it.process()
    const old = await renewals.current(it.community)
    if (!old) throw new Error('no grant')
    expect(await renewals.renew(old)).toMatchObject({ is: 'open' })
    const alive = { name, holder: 'alive', nowMs: nowMs + 30_000, untilMs: nowMs + 90_000 }
    await takeTurn(it.db, alive)
    expect(
      await takeTurn(it.db, { ...alive, holder: 'other', nowMs, untilMs: nowMs + 60_000, longestMs: 600_000 }),
    ).toBe(false)
  })
})
