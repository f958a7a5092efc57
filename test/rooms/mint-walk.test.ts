/**
 * The walk of a founding, with a process that breaks at every step of it and a directory that does everything a directory could:
 * never two DIDs for one founding, never a DID without its keys, and never a community before the directory shows it.
 */
import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type MintCtx, walkMint } from '../../src/community/mint-walk.ts'
import { resumeMints } from '../../src/community/resume-mints.ts'
import type { Did } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { openReeve } from '../../src/reeve.ts'
import { Crash, crashAt } from '../kit/crashing.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import {
  type FakePlc,
  honestLog,
  json,
  type Misbehaviour,
  type PlcAsk,
  stallAt,
  startFakePlc,
} from '../kit/fake-plc.ts'
import { foundingRows } from '../kit/foundings.ts'
import { holdWorker } from '../kit/held-worker.ts'
import { headOf, signed, submitOperation } from '../kit/people.ts'
import { freePort } from '../kit/ports.ts'
import { freshJti, makeKey, type TestKey } from '../kit/tokens.ts'
import { memberHeld, openWorld, type Person, type World } from '../kit/world.ts'

const MINT = 'community.reeve.community.mint'
const CUSTODIAL = { $type: `${MINT}#custodial` }

/** A context that breaks at its `at`th touch of database, directory or documents. */
function contextThatBreaks(
  ctx: MintCtx,
  at: number,
  when: 'before' | 'after',
): { ctx: MintCtx; isBroken: () => boolean } {
  const { wrap, isBroken } = crashAt(at, when)
  const broken: MintCtx = {
    ...ctx,
    log: silentLog,
    db: wrap<Db>(ctx.db, ['selectFrom', 'updateTable', 'transaction']),
    directory: wrap(ctx.directory, ['submit', 'readLog']),
    documents: wrap(ctx.documents, ['resolve']),
  }
  return { ctx: broken, isBroken }
}

describeOnEachEngine('the walk of a founding', (open) => {
  let database: TestDatabase
  let plc: FakePlc
  let world: World
  let alice: Person
  let ctx: MintCtx

  beforeAll(async () => {
    database = await open()
    plc = await startFakePlc()
    world = await openWorld({ database: holdWorker(database), plcUrl: plc.url })
    alice = await world.person()
    await alice.ask('community.reeve.community.list')
    ctx = { ...world.reeve.house, db: database.db }
  })
  afterEach(async () => {
    plc.misbehave(null)
    // What a test leaves unfinished is nobody's business afterwards.
    await sql`update community set step = 'refused' where step <> 'opened'`.execute(database.db)
  })
  afterAll(async () => {
    await world.close()
    await plc.close()
  })

  /** A founding that stands at `submitted`, with nothing of it at the directory; `prepared` on demand. */
  async function begun({ step = 'submitted', recovery }: { step?: 'prepared' | 'submitted'; recovery?: TestKey } = {}) {
    plc.misbehave(() => 'cut')
    const custody = recovery ? memberHeld(world, alice, recovery) : CUSTODIAL
    const idempotencyKey = freshJti()
    const answer = await alice.call(MINT, { name: 'Gardeners', custody, idempotencyKey })
    expect(answer).toMatchObject({ status: 200, body: { status: 'submitted' } })
    plc.misbehave(null)
    plc.forget()
    const did: Did = answer.body.did
    if (step === 'prepared') await sql`update community set step = 'prepared' where did = ${did}`.execute(database.db)
    const again = () => alice.call(MINT, { name: 'Gardeners', custody, idempotencyKey })
    return { did, again }
  }

  async function expectUnopened(did: Did, step = 'submitted') {
    const rows = await foundingRows(database, did)
    expect(rows.community).toMatchObject([{ step }])
    expect(new Set(rows.keys.map((row) => row['state']))).toEqual(new Set(['pending']))
    expect(rows.keys).toHaveLength(3)
    expect([rows.owners, rows.spaces, rows.revision, rows.audit]).toEqual([[], [], [], []])
  }

  async function expectOpened(did: Did) {
    const rows = await foundingRows(database, did)
    expect(rows.community).toMatchObject([{ step: 'opened', fault: null }])
    expect(rows.keys.map((row) => row['state'])).toEqual(['active', 'active', 'active'])
    expect(rows.owners).toMatchObject([{ did: alice.did, role: 'owner' }])
    expect(rows.revision).toMatchObject([{ revision: 1 }])
    expect(rows.audit).toMatchObject([{ action: 'community.mint' }])
    expect(await honestLog(plc, did)).toHaveLength(1)
  }

  describe.each(['before', 'after'] as const)('in a process that breaks %s a touch', (when) => {
    it('of database, directory or documents, at every one of them, goes on from there', async () => {
      let at = 1
      for (; ; at++) {
        const { did } = await begun({ step: 'prepared' })
        const broken = contextThatBreaks(ctx, at, when)
        await walkMint(broken.ctx, did).catch((error: unknown) => expect(error).toBeInstanceOf(Crash))
        if (!broken.isBroken()) {
          await expectOpened(did)
          break
        }
        const { keys, owners, audit, community } = await foundingRows(database, did)
        const isOpened = community[0]?.['step'] === 'opened'
        expect(new Set(keys.map((row) => row['state']))).toEqual(new Set([isOpened ? 'active' : 'pending']))
        expect([owners.length, audit.length]).toEqual(isOpened ? [1, 1] : [0, 0])
        expect((await walkMint(ctx, did)).step).toBe('opened')
        await expectOpened(did)
      }
      // Load, note, read the log, post, read it again, read the document, note, load, open, load: none was left out.
      expect(at).toBeGreaterThanOrEqual(10)
    })
  })

  it.each(['community_revision', 'space', 'space_settings', 'person_edge', 'audit_entry', 'key', 'community'])(
    'opens all or nothing: a fault at table %s undoes the rest',
    async (table) => {
      const { did } = await begun()
      await sql
        .raw(
          `create function fault() returns trigger language plpgsql as $$ begin
             if to_jsonb(new) @> '{"step":"opened"}' or not to_jsonb(new) ? 'step' then raise exception 'disk full'; end if;
             return new; end $$;
           create trigger fault before insert or update on ${table} for each row execute function fault()`,
        )
        .execute(database.db)
      await expect(walkMint(ctx, did)).rejects.toThrow('disk full')
      await sql.raw(`drop trigger fault on ${table}; drop function fault()`).execute(database.db)
      await expectUnopened(did, 'confirmed')
      expect(await alice.ask('community.reeve.community.get', { community: did })).toMatchObject({
        body: { status: 'confirmed', revision: 0 },
      })
      expect((await walkMint(ctx, did)).step).toBe('opened')
      await expectOpened(did)
    },
  )

  describe('with a directory whose answer to the POST', () => {
    it.each([
      ['is lost, the operation kept', 'after'],
      ['never comes, the operation lost', 'before'],
    ] as const)('%s: the log tells, and one operation is there in the end', async (_says, when) => {
      const { did, again } = await begun({ step: 'prepared' })
      plc.misbehave(async ({ kind }, forward) => {
        if (kind !== 'post') return undefined
        if (when === 'after') await forward()
        return 'cut'
      })
      await expect(walkMint(ctx, did)).rejects.toThrow('UpstreamFailure')
      await expectUnopened(did)
      plc.misbehave(null)
      plc.forget()
      expect(await again()).toMatchObject({ body: { did, status: 'active' } })
      expect(plc.count('post')).toBe(when === 'after' ? 0 : 1)
      await expectOpened(did)
    })

    it.each([500, 429, 408, 301, 404])('is %i, though it kept the operation: it goes on by the log', async (status) => {
      const { did, again } = await begun()
      plc.misbehave(async ({ kind }, forward) => {
        if (kind !== 'post') return undefined
        await forward()
        return json(status)
      })
      await again()
      plc.misbehave(null)
      expect(await again()).toMatchObject({ body: { did, status: 'active' } })
      await expectOpened(did)
    })

    it('is 400 or 409, though it kept the operation and shows it: the founding is done', async () => {
      for (const status of [400, 409]) {
        const { did, again } = await begun({ step: 'prepared' })
        plc.misbehave(async ({ kind }, forward) => {
          if (kind !== 'post') return undefined
          await forward()
          return json(status)
        })
        expect(await again()).toMatchObject({ body: { did, status: 'active' } })
        await expectOpened(did)
      }
    })

    it('is 200, and it never shows the operation: submitted, and never active', async () => {
      const { did, again } = await begun({ step: 'prepared' })
      plc.misbehave(({ kind }) => (kind === 'post' ? json(200) : undefined))
      for (let i = 0; i < 3; i++) expect(await again()).toMatchObject({ body: { did, status: 'submitted' } })
      await expectUnopened(did)
    })
  })

  describe('with a directory that shows its log late', () => {
    const hideLog: Misbehaviour = ({ kind }) => (kind === 'log' ? json(404, { message: 'not registered' }) : undefined)

    it('and refuses the operation meanwhile, because it has it: nothing is given up, and the DID gets its community', async () => {
      const { did, again } = await begun({ step: 'prepared' })
      plc.misbehave(hideLog)
      for (let i = 0; i < 3; i++) expect(await again()).toMatchObject({ body: { did, status: 'submitted' } })
      expect(plc.count('post')).toBe(3)
      await expectUnopened(did)
      plc.misbehave(null)
      expect(await again()).toMatchObject({ body: { did, status: 'active' } })
      await expectOpened(did)
    })

    it('and refuses an operation that may have been sent before: believed after an hour, and named', async () => {
      const { did, again } = await begun()
      plc.misbehave(({ kind }) => (kind === 'post' ? json(400) : undefined))
      expect(await again()).toMatchObject({ body: { did, status: 'submitted' } })
      await sql`update community set created_at_ms = created_at_ms - 3700000 where did = ${did}`.execute(database.db)
      expect(await again()).toMatchObject({ status: 502, body: { error: 'PlcRejected' } })
      await expectUnopened(did, 'refused')
    })
  })

  describe('with a directory whose log', () => {
    const answerLog = (change: (rows: Record<string, unknown>[]) => unknown): Misbehaviour => {
      return async ({ kind }, forward) => {
        if (kind !== 'log') return undefined
        const honest = await forward()
        return honest.status === 200 ? json(200, change(JSON.parse(honest.body))) : honest
      }
    }

    it.each<[string, (rows: Record<string, unknown>[], other: unknown[]) => unknown]>([
      ['is of another DID', (_rows, other) => other],
      ['has an operation with another key', (rows) => rows.map((row) => ({ ...row, operation: spoiltKey(row) }))],
      ['has another signature', (rows) => rows.map((row) => ({ ...row, operation: spoiltSig(row) }))],
      ['has the operation twice', (rows) => [...rows, ...rows]],
      ['is empty', () => []],
      ['is no log', () => ({ log: 'yes' })],
      ['calls another CID its own', (rows) => rows.map((row) => ({ ...row, cid: 'bafyreib' }))],
    ])('%s is not believed: submitted, until it is mended', async (_says, change) => {
      const other = await world.found(alice)
      const foreign = (await (await fetch(`${plc.honestUrl}/${other}/log/audit`)).json()) as unknown[]
      const { did, again } = await begun()
      plc.misbehave(answerLog((rows) => change(rows, foreign)))
      expect(await again()).toMatchObject({ body: { did, status: 'submitted' } })
      await expectUnopened(did)
      plc.misbehave(null)
      expect(await again()).toMatchObject({ body: { did, status: 'active' } })
      await expectOpened(did)
    })
    const operationOf = (row: Record<string, unknown>) => row['operation'] as Record<string, unknown>
    const spoiltKey = (row: Record<string, unknown>) => ({
      ...operationOf(row),
      verificationMethods: { atproto: makeKey('p256').didKey, atproto_space: makeKey('p256').didKey },
    })
    const spoiltSig = (row: Record<string, unknown>) => ({
      ...operationOf(row),
      sig: Buffer.alloc(64, 1).toString('base64url'),
    })
  })

  describe('with a directory whose document', () => {
    it.each<[string, (document: Record<string, unknown>) => unknown]>([
      ['has another key', (document) => ({ ...document, verificationMethod: withKey(document, makeKey('p256')) })],
      ['lacks the space key', (document) => ({ ...document, verificationMethod: methods(document).slice(0, 1) })],
      ['has the two keys exchanged', (document) => ({ ...document, verificationMethod: exchanged(document) })],
      ['leads to another host', (document) => ({ ...document, service: elsewhere(document) })],
      ['lacks a service', (document) => ({ ...document, service: [] })],
      ['has another name', (document) => ({ ...document, alsoKnownAs: ['at://somebody.example'] })],
      ['is of another DID', (document) => ({ ...document, id: 'did:plc:ewvi7nxzyoun6zhxrhs64oiz' })],
      ['is no document', () => []],
    ])('%s is not believed: submitted, until it is mended', async (_says, change) => {
      const { did, again } = await begun()
      plc.misbehave(async ({ kind, did: asked }, forward) => {
        if (kind !== 'document' || asked !== did) return undefined
        return json(200, change(JSON.parse((await forward()).body)))
      })
      expect(await again()).toMatchObject({ body: { did, status: 'submitted' } })
      await expectUnopened(did)
      plc.misbehave(null)
      expect(await again()).toMatchObject({ body: { did, status: 'active' } })
      await expectOpened(did)
    })
    const methods = (document: Record<string, unknown>) => document['verificationMethod'] as Record<string, string>[]
    const withKey = (document: Record<string, unknown>, key: TestKey) =>
      methods(document).map((method) => ({
        ...method,
        type: 'Multikey',
        publicKeyMultibase: key.didKey.slice('did:key:'.length),
      }))
    const exchanged = (document: Record<string, unknown>) => {
      const [one, other] = methods(document)
      return [
        { ...one, publicKeyMultibase: other?.['publicKeyMultibase'] },
        { ...other, publicKeyMultibase: one?.['publicKeyMultibase'] },
      ]
    }
    const elsewhere = (document: Record<string, unknown>) =>
      (document['service'] as object[]).map((service) => ({ ...service, serviceEndpoint: 'https://evil.example' }))

    it.each(['cut', 404, 500] as const)('does not come (%s): submitted, then active', async (fault) => {
      const { did, again } = await begun()
      plc.misbehave(({ kind, did: asked }) =>
        kind === 'document' && asked === did ? (fault === 'cut' ? 'cut' : json(fault)) : undefined,
      )
      expect(await again()).toMatchObject({ body: { did, status: 'submitted' } })
      await expectUnopened(did)
      plc.misbehave(null)
      expect(await again()).toMatchObject({ body: { did, status: 'active' } })
    })
  })

  describe('whose DID the community’s own key changed before we could see it', () => {
    it.each(['another operation', 'a tombstone'])(
      '(%s) ends as PlcConflict: no keys of ours come into use',
      async (what) => {
        const recovery = makeKey('k256')
        const { did, again } = await begun({ recovery })
        plc.misbehave(async ({ kind }, forward) => {
          if (kind !== 'post') return undefined
          await forward()
          return 'cut'
        })
        await again()
        const [first] = (await honestLog(plc, did)) ?? []
        const prev = await headOf(plc.honestUrl, did)
        const next =
          what === 'a tombstone'
            ? { type: 'plc_tombstone', prev }
            : { ...withoutSig(first?.operation ?? {}), rotationKeys: [recovery.didKey], prev }
        await submitOperation(plc.honestUrl, did, signed(recovery, next))
        plc.misbehave(null)
        expect(await again()).toMatchObject({ status: 409, body: { error: 'PlcConflict' } })
        await expectUnopened(did, 'refused')
        expect(await alice.ask('community.reeve.community.get', { community: did })).toMatchObject({
          body: { status: 'refused' },
        })
      },
    )
    const withoutSig = (operation: object) => {
      const { sig: _sig, ...rest } = operation as { sig?: string }
      return rest
    }
  })

  describe('in one process', () => {
    it('is one walk for all who ask for it at once', async () => {
      const { did } = await begun()
      const walked = await Promise.all(Array.from({ length: 10 }, () => walkMint(ctx, did)))
      expect(new Set(walked.map(({ step }) => step))).toEqual(new Set(['opened']))
      expect([plc.count('post'), plc.count('document')]).toEqual([1, 1])
      await expectOpened(did)
    })

    it('that failed for all of them can be walked again', async () => {
      const { did } = await begun()
      plc.misbehave(() => 'cut')
      const failed = await Promise.allSettled(Array.from({ length: 5 }, () => walkMint(ctx, did)))
      expect(new Set(failed.map(({ status }) => status))).toEqual(new Set(['rejected']))
      plc.misbehave(null)
      expect((await walkMint(ctx, did)).step).toBe('opened')
    })
  })

  describe('taken up by the worker', () => {
    /** One founding that can go on, and as many that never will: nothing at the directory fits their names. */
    async function stuck(count: number): Promise<Did[]> {
      const { did } = await begun()
      const dids: Did[] = []
      for (let at = 0; at < count; at++) {
        const letters = [...randomBytes(24)].map((byte) => 'abcdefghijklmnopqrstuvwxyz234567'.charAt(byte & 31))
        const copy = `did:plc:${letters.join('')}` as Did
        dids.push(copy)
        await sql`insert into community (did, name, custody, founder, step, operation, operation_cid, request_hash, created_at_ms)
          select ${copy}, name, custody, founder, step, operation, operation_cid, request_hash, 0
          from community where did = ${did}`.execute(database.db)
      }
      return [did, ...dids]
    }

    it('is finished without its founder', async () => {
      const { did } = await begun()
      expect(await resumeMints(ctx)).toBe(1)
      await expectOpened(did)
      expect(await resumeMints(ctx)).toBe(0)
    })

    it('is held in this world until a test takes its turn', async () => {
      const { did } = await begun()
      expect(await resumeMints(world.reeve.house)).toBe(0)
      await expectUnopened(did)
    })

    it('is not kept waiting for ever by others that can’t go on', async () => {
      const [good] = await stuck(30)
      plc.misbehave(({ did }) => (did === good ? undefined : json(500)))
      let turns = 0
      while ((await resumeMints({ ...ctx, log: silentLog })) === 0) expect(++turns).toBeLessThan(200)
      await expectOpened(good as Did)
    })

    it('makes the others wait no longer than for one answer when the directory says nothing', async () => {
      await stuck(3)
      const stall = stallAt(() => true)
      plc.misbehave(stall.how)
      expect(await resumeMints({ ...ctx, log: silentLog })).toBe(0)
      expect(plc.asked).toHaveLength(1)
      stall.letGo()
    })
  })

  it('a directory that says nothing costs the founder one time limit, and the answer is honest', async () => {
    const { did, again } = await begun()
    const stall = stallAt((ask: PlcAsk) => ask.kind === 'log')
    plc.misbehave(stall.how)
    expect(await again()).toMatchObject({ status: 200, body: { did, status: 'submitted' } })
    expect(plc.asked).toHaveLength(1)
    stall.letGo()
  })
})

describe.runIf(hasPostgres)('the walk of a founding at two processes', () => {
  it('is walked by both at once to one end', async () => {
    const database = await openTestDatabase('postgres')
    const plc = await startFakePlc()
    const world = await openWorld({ database, plcUrl: plc.url })
    const alice = await world.person()
    await alice.ask('community.reeve.community.list')
    const second = await openReeve(
      { ...world.config, port: await freePort(), databaseUrl: database.url, allowUnsafeDatabase: true },
      { clock: world.clock, log: silentLog },
    )
    try {
      for (let round = 0; round < 10; round++) {
        plc.misbehave(() => 'cut')
        const answer = await alice.call(MINT, { name: 'Gardeners', custody: CUSTODIAL })
        const did: Did = answer.body.did
        plc.misbehave(null)
        const walks = [walkMint(world.reeve.house, did), walkMint(second.house, did)]
        const walked = await Promise.all(walks)
        expect(walked.map(({ step }) => step)).toEqual(['opened', 'opened'])
        const rows = await foundingRows(database, did)
        expect([rows.owners.length, rows.audit.length, rows.spaces.length]).toEqual([1, 1, 1])
        expect(rows.keys.map((row) => row['state'])).toEqual(['active', 'active', 'active'])
        expect(await honestLog(plc, did)).toHaveLength(1)
      }
    } finally {
      await second.close()
      await world.close()
      await plc.close()
    }
  })
})
