/** Another key-encryption key: every DEK is wrapped again, whoever is killed on the way, and all of it is opened before the old one may go. */
import { beforeEach, describe, expect, it } from 'vitest'
import type { Kek } from '../../src/keys/kek.ts'
import { makeKeyPair } from '../../src/keys/private-keys.ts'
import { assertKekWorks, type RewrapDeps, rewrapDeks, verifySealed } from '../../src/keys/rewrap.ts'
import { countDeksByKek } from '../../src/keys/rewrap-store.ts'
import { saveSuccessors } from '../../src/keys/successor-store.ts'
import type { Vault } from '../../src/keys/vault.ts'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { loadInstanceId } from '../../src/platform/instance.ts'
import { openLog } from '../../src/platform/log.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { decideOperatorsRotation } from '../../src/policy/decide.ts'
import { sealedThings } from '../../src/steering/sealed-session.ts'
import { dyingAfter } from '../kit/crashing.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { foundSealed, makeKek, signCredential, vaultOn, whoOpens } from '../kit/sealed-house.ts'

const service = 'did:web:reeve.example.com' as Did
const account = `did:plc:${'q'.repeat(24)}` as Did
const nobodyTold = () => {}
async function* nothing() {}

describeOnEachEngine('wrapping again', (open) => {
  let db: Db
  let old: Kek
  let fresh: Kek
  let deps: RewrapDeps
  let before: Vault
  let communities: readonly Did[]

  /** Three communities, the service's own client key, and an adopted account with a grant and an attempt: five DEKs. */
  beforeEach(async () => {
    db = (await open()).db
    old = makeKek().kek
    fresh = makeKek().kek
    before = await vaultOn(db, { kek: old })
    communities = await foundSealed(db, before, 3)
    await before.clientKey(service, systemClock.nowMs())
    await keepGrant(db, before)
    deps = { db, kek: fresh, instanceId: await loadInstanceId(db, systemRandom, systemClock) }
  })

  it('leaves everything open to the new key alone: communities, the service’s own key, grants and attempts', async () => {
    const done: number[] = []
    expect(await rewrapDeks(deps, old, (count) => done.push(count))).toEqual({ rewrapped: 5, unopened: [] })
    expect(done).toEqual([5])
    expect(await countDeksByKek(db)).toEqual(new Map([[fresh.id, 5]]))
    expect(await whoOpens(db, [old, fresh])).toMatchObject({ rows: 5, wrong: 0 })
    expect(await verifySealed(deps, sealedThings(db))).toEqual({ deks: 5, keys: 10, blobs: 2, unopened: [] })
    const after = await vaultOn(db, { kek: fresh })
    for (const did of communities) expect(await signCredential(after, did)).toMatch(/^ey/)
    expect(await rewrapDeks(deps, old, nobodyTold)).toEqual({ rewrapped: 0, unopened: [] })
  })

  it('takes in every DEK of a community that has several, since keys leaked and were replaced', async () => {
    const [did] = communities
    if (!did) throw new Error('no community')
    const { rows } = await before.prepareSuccessors(did, ['space'], systemClock.nowMs(), { freshDek: true })
    const permit = decideOperatorsRotation(service)
    await withTransaction(db, (tx) => saveSuccessors(tx, permit, rows, systemClock.nowMs()))
    expect(await rewrapDeks(deps, old, nobodyTold)).toEqual({ rewrapped: 6, unopened: [] })
    expect(await verifySealed(deps, sealedThings(db))).toEqual({ deks: 6, keys: 11, blobs: 2, unopened: [] })
  })

  it('changes nothing that is sealed under a DEK', async () => {
    const keys = () => db.selectFrom('key').selectAll().orderBy('id').execute()
    const was = await keys()
    await rewrapDeks(deps, old, nobodyTold)
    expect(await keys()).toEqual(was)
  })

  it('goes back by the two keys changed about', async () => {
    await rewrapDeks(deps, old, nobodyTold)
    const back = { ...deps, kek: old }
    expect(await rewrapDeks(back, fresh, nobodyTold)).toEqual({ rewrapped: 5, unopened: [] })
    expect(await verifySealed(back, sealedThings(db))).toEqual({ deks: 5, keys: 10, blobs: 2, unopened: [] })
    expect(await signCredential(await vaultOn(db, { kek: old }), communities[0] ?? account)).toMatch(/^ey/)
  })

  it('may end after any statement: each row is then opened by exactly one of the two, and the next goes on', async () => {
    const ends: number[] = []
    for (let statements = 1; ; statements++) {
      const dying = dyingAfter(db, statements)
      const outcome = await rewrapDeks({ ...deps, db: dying.db }, old, nobodyTold).catch(() => null)
      const { rows, opened, wrong } = await whoOpens(db, [old, fresh])
      expect({ rows, wrong }).toEqual({ rows: 5, wrong: 0 })
      expect((opened.get(old.id) ?? 0) + (opened.get(fresh.id) ?? 0)).toBe(5)
      ends.push(opened.get(fresh.id) ?? 0)
      if (outcome && !dying.hasDied()) break
      if (opened.get(fresh.id) === 5) await rewrapDeks({ ...deps, kek: old }, fresh, nobodyTold)
    }
    for (const count of [0, 1, 3, 5]) expect(ends).toContain(count)
    expect((await verifySealed(deps, sealedThings(db))).unopened).toEqual([])
  })

  it('may be done by several at once: each row is done once', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => rewrapDeks(deps, old, nobodyTold)))
    expect(all.reduce((sum, { rewrapped }) => sum + rewrapped, 0)).toBe(5)
    expect(await whoOpens(db, [old, fresh])).toMatchObject({ opened: new Map([[old.id, 0], [fresh.id, 5]]), wrong: 0 }) // biome-ignore format: read as one
  })

  it('beside a service that has both: a warm key and a cold one sign at every moment, and what is founded is sealed by the new one', async () => {
    const both = { kek: fresh, previousKeks: [old] }
    const [warm, cold] = [await vaultOn(db, both), await vaultOn(db, both)]
    const did = communities[1] ?? account
    const sign = async () => {
      cold.drop()
      for (const vault of [warm, cold]) expect(await signCredential(vault, did)).toMatch(/^ey/)
    }
    await sign()
    await rewrapDeks(deps, old, nobodyTold)
    await sign()
    const [later] = await foundSealed(db, cold, 1)
    expect(later).toBeDefined()
    expect(await countDeksByKek(db)).toEqual(new Map([[fresh.id, 6]]))
  })

  it('takes in what a process that lags behind founds meanwhile', async () => {
    const unwrap: Kek['unwrap'] = async (wrapped, place) => {
      const dek = await old.unwrap(wrapped, place)
      if (founded === null) {
        founded = []
        founded = await foundSealed(db, before, 1)
      }
      return dek
    }
    let founded: readonly Did[] | null = null
    expect((await rewrapDeks(deps, { ...old, unwrap }, nobodyTold)).rewrapped).toBe(6)
    expect(await countDeksByKek(db)).toEqual(new Map([[fresh.id, 6]]))
  })

  it('leaves alone what a third key wrapped, and what the old one doesn’t open', async () => {
    const third = makeKek().kek
    await foundSealed(db, await vaultOn(db, { kek: third }), 2)
    const [spoiled = account] = communities
    await db.updateTable('dek').set({ wrapped: new Uint8Array(69) }).where('community', '=', spoiled).execute() // biome-ignore format: read as one
    expect(await rewrapDeks(deps, old, nobodyTold)).toEqual({
      ...{ rewrapped: 4, unopened: [{ community: spoiled, what: 'DEK 1' }] },
    })
    const counts = new Map([[fresh.id, 4], [old.id, 1], [third.id, 2]]) // biome-ignore format: read as one
    expect(await countDeksByKek(db)).toEqual(counts)
    // Nor is it looked at: who counts by key knows of it.
    expect(await verifySealed(deps, sealedThings(db))).toMatchObject({ deks: 4, keys: 7, blobs: 2, unopened: [] })
  })

  it('stores nothing of a new key that doesn’t give back what it took', async () => {
    const was = await db.selectFrom('dek').selectAll().orderBy('community').execute()
    const wrong: Kek[] = [
      { ...fresh, wrap: (dek, place) => fresh.wrap(Uint8Array.from(dek).fill(7), place) },
      { ...fresh, unwrap: async () => null },
      { ...fresh, wrap: async () => Promise.reject(new Error('denied')) },
      { ...fresh, wrap: (dek, place) => fresh.wrap(dek, { ...place, dekVersion: 2 }) },
    ]
    for (const kek of wrong) {
      await expect(rewrapDeks({ ...deps, kek }, old, nobodyTold)).rejects.toThrow()
      await expect(assertKekWorks(kek, service, deps.instanceId, systemRandom)).rejects.toThrow(
        `the key-encryption key ${kek.id} doesn't open what it wrapped`,
      )
    }
    expect(await db.selectFrom('dek').selectAll().orderBy('community').execute()).toEqual(was)
    await assertKekWorks(fresh, service, deps.instanceId, systemRandom)
  })

  describe('then the look at everything finds', () => {
    beforeEach(async () => {
      await rewrapDeks(deps, old, nobodyTold)
    })

    it('a DEK that doesn’t open, and with it what lies under it', async () => {
      await db.updateTable('dek').set({ wrapped: new Uint8Array(69) }).where('community', '=', account).execute() // biome-ignore format: read as one
      const { deks, keys, blobs, unopened } = await verifySealed(deps, sealedThings(db))
      expect({ deks, keys, blobs }).toEqual({ deks: 4, keys: 10, blobs: 0 })
      expect(unopened.map(({ what }) => what)).toEqual(['DEK 1', 'connection', 'attempt attempt-1'])
    })

    it('a key whose public half is another than its row says, and one whose envelope was changed', async () => {
      const [one, two] = await db.selectFrom('key').select('id').orderBy('id').limit(2).execute()
      if (!one || !two) throw new Error('too few')
      const { didKey } = makeKeyPair('p256')
      await db.updateTable('key').set({ did_key: didKey }).where('id', '=', one.id).execute()
      await db
        .updateTable('key')
        .set({ sealed: new Uint8Array(69) })
        .where('id', '=', two.id)
        .execute()
      const { keys, unopened } = await verifySealed(deps, nothing())
      expect(keys).toBe(8)
      expect(unopened.map(({ what }) => what)).toEqual([one.id, two.id])
    })

    it('a grant that was moved to another place', async () => {
      await db
        .updateTable('pds_connection')
        .set({ sealed: new Uint8Array(80) })
        .execute()
      const { blobs, unopened } = await verifySealed(deps, sealedThings(db))
      expect({ blobs, unopened }).toEqual({ blobs: 1, unopened: [{ community: account, what: 'connection' }] })
    })

    it('a blob of somebody who has no DEK at all', async () => {
      async function* stray() {
        const place = { community: founderless, purpose: 'oauth' as const, name: 'connection' }
        yield { place, blob: { sealed: new Uint8Array(80), dekVersion: 1 } }
      }
      const founderless = 'did:web:nobody.example.com' as Did
      expect((await verifySealed(deps, stray())).unopened).toEqual([{ community: founderless, what: 'connection' }])
    })
  })

  it('without the old key nobody opens what was not wrapped again, and the log names the key that is missing', async () => {
    const lines: string[] = []
    const log = openLog('debug', { write: (line) => void lines.push(line) })
    const vault = await vaultOn(db, { kek: fresh }, log)
    await expect(signCredential(vault, communities[0] ?? account)).rejects.toMatchObject({ code: 'KekUnavailable' })
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ event: 'kek.unknown', kekId: old.id })
  })
})

/** A connected account, and an attempt that waits for its browser, both sealed. */
async function keepGrant(db: Db, vault: Vault): Promise<void> {
  const nowMs = systemClock.nowMs()
  const seal = (name: string) =>
    vault.sealBlob({ community: account, purpose: 'oauth', name }, Buffer.from('{"token":"secret"}'), nowMs)
  await db
    .insertInto('community_revision')
    .values({ community: account, revision: 0, graph_revision: 0, is_account: true })
    .execute()
  const { sealed, dekVersion } = await seal('connection')
  await db
    .insertInto('pds_connection')
    .values({
      ...{ community: account, state: 'connected', because: null, asked: 'atproto', granted: 'atproto' },
      ...{ connected_by: service, connected_at_ms: nowMs, state_since_ms: nowMs, version: 1, renewed_at_ms: nowMs },
      ...{ sealed, dek_version: dekVersion },
    })
    .execute()
  const begun = await seal('attempt attempt-1')
  await db
    .insertInto('connect_attempt')
    .values({
      ...{ id: 'attempt-1', community: account, begun_by: service, asked: 'atproto', link_hash: 'link' },
      ...{ browser_hash: null, state: 'state', sealed: begun.sealed, dek_version: begun.dekVersion },
      expires_at_ms: nowMs + 600_000,
    })
    .execute()
}
