/**
 * What a PDS is told while something is wrong: with our database, with the place of the account's document, with its key, with its token,
 * with whoever asks at the same time. Never yes, and never for longer than it lasts; nobody waits behind somebody else's trouble.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { HookTurns } from '../../src/access/hook-memory.ts'
import { parseServiceAuth } from '../../src/identity/service-auth.ts'
import { VerifiedTokens } from '../../src/identity/verified-tokens.ts'
import { ROLE_SPACE_TYPE } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { openLog, silentLog } from '../../src/platform/log.ts'
import { migrate } from '../../src/platform/migrations.ts'
import { openReeve, type Reeve } from '../../src/reeve.ts'
import {
  type Adopted,
  accepted,
  adopt,
  bind,
  keptIn,
  openAdopted,
  putIn,
  R,
  spentIn,
  stateOf,
  takeOut,
} from '../kit/adopted.ts'
import { type Asked, CHECK_USER_ACCESS, saidOf, tokenOf } from '../kit/asking-host.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { stallAt } from '../kit/fake-plc.ts'
import { hasOwnPostgres, startOwnPostgres } from '../kit/own-postgres.ts'
import { changeKey, endDid } from '../kit/people.ts'
import { freePort } from '../kit/ports.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import { base64Url, makeKey, type TestKey, twinOf } from '../kit/tokens.ts'
import { eventually, OPENS_A_WORLD } from '../kit/waiting.ts'
import { type Answer, everyRate, type Person, sendRaw, UNLIMITED } from '../kit/world.ts'

const DOWN = '503 NotEnoughResources'
const PLENTY = { burst: 1e9, perSec: 1e9 }

/** A good question by the account about bob. */
const askIn =
  (scene: Adopted) =>
  (asked: Partial<Asked> = {}): Promise<Answer> =>
    scene.hosts.october.ask({ by: scene.account, space: scene.forum, user: scene.bob.did, access: 'read', ...asked })

/** A token of the account that may be shown again and again. */
const tokenIn = (scene: Adopted, asked: Partial<Asked> = {}): string =>
  tokenOf(
    { managingApp: scene.hosts.october.managingApp, nowSec: scene.world.clock.nowSec() },
    { by: scene.account, ...asked },
  )

const withLife = (scene: Adopted, sec: number): Partial<Asked> => ({
  changes: { payload: { exp: scene.world.clock.nowSec() + sec } },
})

/** A moment that somebody else decides. */
function gate(): { opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: () => resolve() }
}

describeOnEachEngine('a token', (open) => {
  let database: TestDatabase
  let scene: Adopted
  const ask = (asked: Partial<Asked> = {}) => askIn(scene)(asked)

  beforeAll(async () => {
    database = await open()
    scene = await openAdopted(database)
  })
  afterAll(() => scene.close())

  it('may bring several questions while it lives, and isn’t spent', async () => {
    const { bob, rita, carol, account, forum } = scene
    const token = tokenIn(scene)
    const [before, spent] = [await stateOf(database), await spentIn(database)]
    expect(saidOf(await ask({ token, user: carol.did }))).toBe('out')
    expect((await stateOf(database)).replace(/\nspace_host .*/, '')).toBe(before.replace(/\nspace_host .*/, ''))
    expect(saidOf(await ask({ token, user: bob.did }))).toBe('in')
    expect(saidOf(await ask({ token, user: bob.did, access: 'write' }))).toBe('in')
    expect(saidOf(await ask({ token, user: rita.did, access: 'write' }))).toBe('out')
    expect(saidOf(await ask({ token, user: account.did }))).toBe('in')
    expect(saidOf(await ask({ token, space: `${forum}2` }))).toBe('out')
    expect(saidOf(await ask({ token, space: forum.replace(account.did, bob.did) })), 'of somebody else').toBe('out')
    expect(saidOf(await ask({ token, user: 'bob' }))).toBe('400 InvalidRequest')
    expect(saidOf(await ask({ token, user: bob.did }))).toBe('in')
    const after = await spentIn(database)
    expect([...after].filter((id) => !spent.has(id))).toEqual([])
  })

  it('doesn’t outlive its end, however often it was seen to hold', async () => {
    onTestFinished(stopClock(scene.world.clock))
    const token = tokenIn(scene)
    expect(saidOf(await ask({ token }))).toBe('in')
    scene.world.clock.moveSec(60)
    expect(saidOf(await ask({ token })), 'clocks differ by seconds').toBe('in')
    scene.world.clock.moveSec(6)
    for (let nth = 0; nth < 2; nth++) expect(saidOf(await ask({ token }))).toBe('401 JwtExpired')
    expect(saidOf(await ask())).toBe('in')
  })

  it('that was seen to hold vouches for no other words', async () => {
    const { account, bob } = scene
    const token = tokenIn(scene)
    expect(saidOf(await ask({ token }))).toBe('in')
    const [head = '', claims = '', signature = ''] = token.split('.')
    const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
    const again = (part: object) => base64Url(JSON.stringify(part))
    const said = async (parts: readonly string[]) => saidOf(await ask({ token: parts.join('.') }))
    const longer = again({ ...read(claims), exp: read(claims).exp + 200 })
    expect(await said([head, longer, signature])).toBe('401 BadJwtSignature')
    expect(await said([head, again({ ...read(claims), jti: 'another' }), signature])).toBe('401 BadJwtSignature')
    expect(await said([again({ ...read(head), kid: '#atproto' }), claims, signature])).toBe('401 BadJwtSignature')
    const twin = base64Url(twinOf('k256', Buffer.from(signature, 'base64url')))
    expect(await said([head, claims, twin])).toBe('401 BadJwtSignature')
    const other = tokenIn(scene).split('.')[2] ?? ''
    expect(await said([head, claims, other])).toBe('401 BadJwtSignature')
    // Nor for the same words by somebody else.
    const theirs = again({ ...read(claims), iss: bob.did })
    expect(await said([head, theirs, signature])).toBe('out')
    expect(saidOf(await ask({ token: [head, theirs, signature].join('.'), by: account }))).toBe('out')
    expect(saidOf(await ask({ token }))).toBe('in')
  })

  it('that was seen to hold here holds nowhere else', async () => {
    const { world, account, forum, bob } = scene
    const token = tokenIn(scene)
    expect(saidOf(await ask({ token }))).toBe('in')
    const headers = [['authorization', `Bearer ${token}`] as const]
    const release = { method: 'POST', path: `/xrpc/${R}.community.release`, body: '{}' }
    const json = ['content-type', 'application/json'] as const
    const { body, status } = await world.send({ ...release, headers: [...headers, json] })
    expect([status, body.error]).toEqual([401, 'BadJwtLexiconMethod'])
    const query = new URLSearchParams({ space: forum, did: bob.did, action: 'read' })
    const check = await world.send({ path: `/xrpc/${R}.member.check?${query}`, headers })
    expect([check.status, check.body.error]).toEqual([401, 'BadJwtLexiconMethod'])
    // And one that holds there doesn't here.
    const theirs = tokenIn(scene, { lxm: `${R}.community.release` })
    expect(saidOf(await ask({ token: theirs }))).toBe('401 BadJwtLexiconMethod')
    expect(saidOf(await ask({ token: tokenIn(scene, { aud: world.config.serviceDid }) }))).toBe('401 BadJwtAudience')
    expect((await account.call(`${R}.community.get`)).status).toBeGreaterThan(399)
  })

  it('that is forged is refused each time, and leaves the account’s own alone', async () => {
    const forged = tokenIn(scene, { by: { did: scene.account.did, key: makeKey('k256') } })
    for (let nth = 0; nth < 3; nth++) expect(saidOf(await ask({ token: forged }))).toBe('401 BadJwtSignature')
    expect(saidOf(await ask())).toBe('in')
  })

  it('of a key that was replaced is refused as soon as the new one is heard of, also when it was seen to hold', async () => {
    const { world, plc } = scene
    const { account, space } = await another()
    const by = { by: account, space }
    const old = tokenIn(scene, { by: account, ...withLife(scene, 300) })
    expect(saidOf(await ask({ ...by, token: old }))).toBe('in')
    const key = makeKey('p256')
    await changeKey(plc.honestUrl, account, key)
    // Nobody was told: the old one goes on until the document is looked at again.
    expect(saidOf(await ask(by))).toBe('in')
    const anew = { ...by, by: { did: account.did, key } }
    expect(saidOf(await ask(anew)), 'the new one is taken at once, also of the other curve').toBe('in')
    expect(saidOf(await ask(by))).toBe('401 BadJwtSignature')
    expect(saidOf(await ask({ ...by, token: old }))).toBe('401 BadJwtSignature')
    expect(saidOf(await ask(anew))).toBe('in')
    world.clock.moveSec(60)
    expect(saidOf(await ask({ ...by, token: old }))).toBe('401 BadJwtSignature')
  })

  it('of a key that was replaced is refused when the document is too old to be believed, also when it was seen to hold', async () => {
    const { world, plc } = scene
    const { account, space } = await another()
    const by = { by: account, space }
    expect(saidOf(await ask(by))).toBe('in')
    world.clock.moveSec(280)
    const old = tokenIn(scene, { by: account, ...withLife(scene, 290) })
    expect(saidOf(await ask({ ...by, token: old }))).toBe('in')
    await changeKey(plc.honestUrl, account, makeKey('k256'))
    world.clock.moveSec(100)
    expect(saidOf(await ask(by))).toBe('401 BadJwtSignature')
    expect(saidOf(await ask({ ...by, token: old }))).toBe('401 BadJwtSignature')
  })

  it('of an account that has ended is refused', async () => {
    const { plc, world } = scene
    const { account, space } = await another()
    await endDid(plc.honestUrl, account)
    world.reeve.house.documents.expire(account.did)
    expect(saidOf(await ask({ by: account, space }))).toBe('401 BadJwtIss')
  })

  /** Another account that was adopted, with a space where bob is. */
  async function another(): Promise<{ account: Person; space: string }> {
    const { world, alice, bob } = scene
    const account = await world.person()
    accepted(await adopt(account, alice))
    const space = await bind(alice, account, 'main')
    await putIn(alice, space, bob.did)
    world.reeve.house.documents.expire(account.did)
    return { account, space }
  }
})

describe('tokens that were seen to hold', () => {
  const REMEMBERED = 20_000
  const did = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' as Person['did']
  const nowSec = systemClock.nowSec()

  /** One token of a key, and how it is judged while the document says another key, or none. */
  function judged(key = makeKey('k256')) {
    const text = tokenOf({ managingApp: 'did:web:a.example.com#reeve', nowSec }, { by: { did, key } })
    const { jws, ...said } = parseServiceAuth(text, nowSec)
    const tokens = new VerifiedTokens()
    let looks = 0
    const auth = {
      ...said,
      /** Looked at by whoever verifies it. */
      get jws() {
        looks++
        return jws
      },
    }
    const verify = (found: TestKey | null, name = text) =>
      tokens
        .verify(name, auth, async () => found?.publicKey ?? null)
        .then(
          () => 'holds',
          (error) => error.code,
        )
    return { key, text, verify, looks: () => looks }
  }

  it('are remembered only when they held, of these bytes, and under the key that the issuer has now', async () => {
    const { key, text, verify } = judged()
    const other = makeKey('k256')
    expect(await verify(null)).toBe('BadJwtIss')
    for (let nth = 0; nth < 2; nth++) expect(await verify(other)).toBe('BadJwtSignature')
    expect(await verify(key)).toBe('holds')
    expect(await verify(other)).toBe('BadJwtSignature')
    expect(await verify(other, `${text}.`)).toBe('BadJwtSignature')
    expect(await verify(null)).toBe('BadJwtIss')
    expect(await verify(key)).toBe('holds')
  })

  it('aren’t verified again, up to a number of them', async () => {
    const { key, text, verify, looks } = judged()
    const isVerified = async (name: string) => {
      const before = looks()
      expect(await verify(key, name)).toBe('holds')
      return looks() > before
    }
    expect([await isVerified(text), await isVerified(text)]).toEqual([true, false])
    for (let nth = 0; nth < REMEMBERED; nth++) await verify(key, `${nth}`)
    expect([await isVerified(`${REMEMBERED - 1}`), await isVerified(text)]).toEqual([false, true])
    expect(await isVerified(text)).toBe(false)
  })
})

describeOnEachEngine('a decision', (open, engine) => {
  let database: TestDatabase
  let scene: Adopted
  const ask = (asked: Partial<Asked> = {}) => askIn(scene)(asked)

  beforeAll(async () => {
    database = await open()
    scene = await openAdopted(database)
  })
  afterAll(() => scene.close())

  /** Has every new row of this action fail as on a full disk, until it is undone. */
  async function failToKeep(action: string): Promise<() => Promise<void>> {
    await sql`create function no_room() returns trigger language plpgsql as $$ begin
      if new.action = ${sql.lit(action)} then raise exception 'no room' using errcode = '53100'; end if;
      return new;
    end $$`.execute(database.db)
    await sql`create trigger no_room before insert on audit_entry for each row execute function no_room()`.execute(
      database.db,
    )
    return async () => {
      await sql`drop trigger no_room on audit_entry`.execute(database.db)
      await sql`drop function no_room`.execute(database.db)
    }
  }

  it('that can’t be put on record isn’t given, and is given when it can', async () => {
    const { bob, rita, carol, forum } = scene
    const undo = await failToKeep('access.allow')
    try {
      for (const access of ['read', 'write']) {
        for (let nth = 0; nth < 2; nth++) expect(saidOf(await ask({ access }))).toBe(DOWN)
      }
      const many = await Promise.all(Array.from({ length: 12 }, () => ask()))
      expect(new Set(many.map(saidOf))).toEqual(new Set([DOWN]))
      expect(saidOf(await ask({ user: rita.did, access: 'write' })), 'a no is another row').toBe('out')
      expect(saidOf(await ask({ user: carol.did })), 'a stranger’s is none').toBe('out')
    } finally {
      await undo()
    }
    expect((await keptIn(database, forum)).filter(({ action }) => action === 'access.allow')).toEqual([])
    for (const access of ['read', 'write']) expect(saidOf(await ask({ access }))).toBe('in')
    const rows = (await keptIn(database, forum)).filter(({ action }) => action === 'access.allow')
    expect(rows.map(({ subject, because }) => [subject, because['access']])).toEqual([
      [bob.did, 'read'],
      [bob.did, 'write'],
    ])
  })

  it('of many at once is on record for each of them, though some can’t be', async () => {
    const { world, alice, forum } = scene
    const people = await Promise.all(Array.from({ length: 12 }, () => world.person()))
    for (const { did } of people) await putIn(alice, forum, did)
    const answers = await Promise.all(people.map(({ did }) => ask({ user: did })))
    expect(answers.map(saidOf)).toEqual(people.map(() => 'in'))
    const kept = new Set((await keptIn(database, forum)).map(({ subject }) => subject))
    for (const { did } of people) expect(kept.has(did)).toBe(true)
  })

  it('about another’s space is put on record later, when it couldn’t be at first', async () => {
    const { carol } = scene
    const rows = async () => (await keptIn(database)).filter(({ action }) => action === 'hook.foreign')
    const undo = await failToKeep('hook.foreign')
    try {
      expect(saidOf(await ask({ by: carol }))).toBe(DOWN)
      expect(await rows()).toEqual([])
    } finally {
      await undo()
    }
    expect(saidOf(await ask({ by: carol }))).toBe('out')
    expect(await rows()).toHaveLength(1)
    expect(saidOf(await ask({ by: carol }))).toBe('out')
    expect(await rows()).toHaveLength(1)
  })

  // On PGlite there is one connection, and nobody who could hold anything.
  if (engine === 'embedded') return

  it.each([
    ['the facts', 'community_revision'],
    ['the roll', 'person_edge'],
    ['the log', 'audit_entry'],
  ])('for which %s can’t be had is none, and is made when it can', async (_what, table) => {
    const { world, alice, forum } = scene
    const dora = await world.person()
    await putIn(alice, forum, dora.did)
    const holder = new pg.Client({ connectionString: database.url?.reveal() })
    await holder.connect()
    onTestFinished(() => holder.end())
    await holder.query('begin')
    await holder.query(`lock table ${table} in access exclusive mode`)
    // They are answered while it is still held.
    const answers = await Promise.all(['read', 'write', 'read'].map((access) => ask({ user: dora.did, access })))
    expect(answers.map(saidOf)).toEqual([DOWN, DOWN, DOWN])
    await holder.query('rollback')
    await eventually('it is made', async () => saidOf(await ask({ user: dora.did })) === 'in')
    expect((await keptIn(database, forum)).some(({ subject }) => subject === dora.did)).toBe(true)
  })

  it('that is on record is given without waiting for the log', async () => {
    expect(saidOf(await ask())).toBe('in')
    const holder = new pg.Client({ connectionString: database.url?.reveal() })
    await holder.connect()
    onTestFinished(() => holder.end())
    await holder.query('begin')
    await holder.query('lock table audit_entry in access exclusive mode')
    expect(saidOf(await ask())).toBe('in')
    expect(saidOf(await ask({ user: scene.carol.did }))).toBe('out')
    await holder.query('rollback')
  })
})

describe.runIf(hasOwnPostgres)('while the database is stopped', () => {
  it('every question is told to come again, and answered when it is back', OPENS_A_WORLD, async () => {
    const postgres = await startOwnPostgres()
    const { url } = postgres
    const opened = await openDatabase({ url, dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock })
    await migrate(opened.db, systemClock)
    const scene = await openAdopted({ ...opened, url })
    try {
      const ask = askIn(scene)
      const token = tokenIn(scene, withLife(scene, 290))
      const { carol, account, bob, forum } = scene
      const asks: readonly Partial<Asked>[] = [
        {},
        { token },
        { access: 'write' },
        { user: carol.did },
        { user: account.did },
        { space: `${forum}2` },
      ]
      const before = ['in', 'in', 'in', 'out', 'in', 'out']
      for (let round = 0; round < 2; round++) {
        const said: string[] = []
        for (const one of asks) said.push(saidOf(await ask(one)))
        expect(said).toEqual(before)
        await postgres.stop()
        for (const one of [...asks, ...asks]) expect(saidOf(await ask(one))).toBe(DOWN)
        expect(await scene.hosts.august.mint(account, forum, bob.did)).toBe(false)
        await postgres.start()
        await eventually('it is answered again', async () => saidOf(await ask({ token })) === 'in')
      }
      await postgres.crash()
      await eventually('it is answered after a crash', async () => saidOf(await ask({ token })) === 'in')
      await takeOut(scene.alice, forum, bob.did)
      expect(saidOf(await ask({ token }))).toBe('out')
    } finally {
      await scene.close()
      await postgres.drop()
    }
  })
})

describe('while the database is gone (embedded)', () => {
  it('nobody is let in, whatever was decided before', OPENS_A_WORLD, async () => {
    const database = await openTestDatabase('embedded')
    const scene = await openAdopted(database)
    try {
      const token = tokenIn(scene)
      expect(saidOf(await askIn(scene)({ token }))).toBe('in')
      await database.close()
      for (const asked of [{ token }, {}, { access: 'write' }]) expect(saidOf(await askIn(scene)(asked))).toBe(DOWN)
      const { hosts, account, forum, bob } = scene
      expect(await hosts.october.mint(account, forum, bob.did)).toBe(false)
    } finally {
      await scene.close()
    }
  })
})

describe('the account’s document', () => {
  let scene: Adopted
  let other: Person
  let otherForum: string
  const ask = (asked: Partial<Asked> = {}) => askIn(scene)(asked)
  const askOther = () => ask({ by: other, space: otherForum })

  beforeAll(async () => {
    scene = await openAdopted(await openTestDatabase('embedded'))
    other = await scene.world.person()
    accepted(await adopt(other, scene.alice))
    otherForum = await bind(scene.alice, other, 'main')
    await putIn(scene.alice, otherForum, scene.bob.did)
  })
  afterAll(async () => {
    await scene.close()
    await scene.world.database.close()
  })

  const isAccounts = ({ kind, did }: { kind: string; did: string }) => kind === 'document' && did === scene.account.did

  it('that doesn’t come is not waited for without end, and nobody else waits for it', async () => {
    const { world, plc, account } = scene
    world.reeve.house.documents.expire(account.did)
    const stall = stallAt(isAccounts)
    plc.misbehave(stall.how)
    try {
      const waiting = [ask(), ask({ access: 'write' })]
      await stall.reached
      expect(saidOf(await askOther())).toBe('in')
      for (const answer of await Promise.all(waiting)) expect(saidOf(answer)).toBe('504 UpstreamTimeout')
    } finally {
      plc.misbehave(null)
      stall.letGo()
    }
    await eventually('its source is asked again', async () => {
      world.clock.moveSec(6)
      return saidOf(await ask()) === 'in'
    })
  })

  it('that is known and can’t be had anew is believed for some minutes more', async () => {
    const { world, plc, account } = scene
    expect(saidOf(await ask())).toBe('in')
    world.clock.moveSec(301)
    const stall = stallAt(isAccounts)
    plc.misbehave(stall.how)
    try {
      await eventually('the older one is believed', async () => saidOf(await ask()) === 'in')
      expect(plc.count('document', account.did)).toBeGreaterThan(0)
      plc.misbehave((request) => (isAccounts(request) ? 'cut' : undefined))
      world.clock.moveSec(901)
      expect(saidOf(await ask()), 'and no longer').toBe('502 UpstreamFailure')
      expect(saidOf(await askOther())).toBe('in')
    } finally {
      plc.misbehave(null)
      stall.letGo()
    }
    world.clock.moveSec(6)
    expect(saidOf(await ask())).toBe('in')
  })

  it('is asked for once by however many forged tokens, and the good one isn’t kept out', async () => {
    const { world, plc, account } = scene
    world.clock.moveSec(31)
    plc.forget()
    const forger = { did: account.did, key: makeKey('k256') }
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask({ by: forger })))
    expect(new Set(answers.map(saidOf))).toEqual(new Set(['401 BadJwtSignature']))
    expect(plc.count('document', account.did)).toBeLessThanOrEqual(2)
    expect(saidOf(await ask())).toBe('in')
  })
})

describe('many at once', () => {
  const OF_ONE = 256
  let scene: Adopted
  let other: Person
  let otherForum: string
  const logged: string[] = []
  const ask = (asked: Partial<Asked> = {}) => askIn(scene)(asked)

  beforeAll(async () => {
    const log = openLog('debug', { write: (line) => void logged.push(line) })
    scene = await openAdopted(await openTestDatabase('embedded'), { log })
    other = await scene.world.person()
    accepted(await adopt(other, scene.alice))
    otherForum = await bind(scene.alice, other, 'main')
    await putIn(scene.alice, otherForum, scene.bob.did)
  })
  afterAll(async () => {
    await scene.close()
    await scene.world.database.close()
  })

  /** Holds the judging of the account's spaces until it is let go. */
  function holdJudging() {
    const { graphs } = scene.world.reeve.house
    const held = gate()
    const atOneRevision = graphs.atOneRevision.bind(graphs)
    let arrived = 0
    const spy = vi.spyOn(graphs, 'atOneRevision').mockImplementation(async (db, community, ...more) => {
      if (community === scene.account.did) {
        arrived++
        await held.opened
      }
      return atOneRevision(db, community, ...more) as never
    })
    return { arrived: () => arrived, letGo: held.open, restore: () => spy.mockRestore() }
  }

  const reasonsLogged = (): Record<string, number> => {
    const lines = logged.map((line) => JSON.parse(line)).filter(({ event }) => event === 'unavailable')
    const by = Map.groupBy(lines, ({ what }) => String(what))
    return Object.fromEntries([...by].map(([what, all]) => [what, all.length]))
  }

  it('of one account are told to come again, without a wait, and other accounts’ are answered', async () => {
    const token = tokenIn(scene, withLife(scene, 290))
    expect(saidOf(await ask({ token }))).toBe('in')
    const held = holdJudging()
    logged.splice(0)
    try {
      const asked = { by: scene.account, space: scene.forum, user: scene.bob.did, access: 'read', token }
      const waiting = Array.from({ length: OF_ONE }, () => scene.hosts.october.askOnce(asked))
      await eventually('all are being judged', async () => held.arrived() === OF_ONE)
      for (let nth = 0; nth < 20; nth++) expect(saidOf(await ask({ token }))).toBe(DOWN)
      expect(held.arrived(), 'nothing was begun for them').toBe(OF_ONE)
      expect(saidOf(await ask({ by: other, space: otherForum }))).toBe('in')
      expect(saidOf(await ask({ by: other }))).toBe('out')
      for (const answer of await Promise.all(waiting)) expect(saidOf(answer)).toBe(DOWN)
      expect(reasonsLogged()).toEqual({ queue: 20, 'answer-time': OF_ONE })
    } finally {
      held.letGo()
      held.restore()
    }
    await eventually('there is room again', async () => saidOf(await ask({ token })) === 'in')
  })

  it('whose askers have gone away leave room for others', async () => {
    const token = tokenIn(scene, withLife(scene, 290))
    const held = holdJudging()
    try {
      const { path, headers = [] } = await scene.hosts.october.request({
        ...{ by: scene.account, space: scene.forum, user: scene.bob.did, token },
      })
      const text = [`GET ${path} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n')
      const { hostname, port } = new URL(scene.world.url)
      const clients = Array.from({ length: OF_ONE }, () => connect(Number(port), hostname))
      for (const client of clients) client.on('error', () => {}).write(text)
      await eventually('all are being judged', async () => held.arrived() === OF_ONE)
      for (const client of clients) client.destroy()
      expect(saidOf(await ask({ by: other, space: otherForum }))).toBe('in')
    } finally {
      held.letGo()
      held.restore()
    }
    await eventually('there is room again', async () => saidOf(await ask({ token })) === 'in')
    const again = holdJudging()
    try {
      const waiting = Array.from({ length: OF_ONE }, () => ask({ token }))
      await eventually('there is room for as many as before', async () => again.arrived() === OF_ONE)
      again.letGo()
      await Promise.all(waiting)
    } finally {
      again.letGo()
      again.restore()
    }
  })

  it('beside one who never ends their sentence are answered', async () => {
    const { hostname, port } = new URL(scene.world.url)
    const hung = connect(Number(port), hostname)
    hung.on('error', () => {})
    await once(hung, 'connect')
    hung.write(`GET /xrpc/${CHECK_USER_ACCESS}?space=x HTTP/1.1\r\nhost: localhost\r\nauthoriz`)
    const slow = connect(Number(port), hostname)
    slow.on('error', () => {})
    await once(slow, 'connect')
    try {
      for (let nth = 0; nth < 5; nth++) expect(saidOf(await ask())).toBe('in')
    } finally {
      hung.destroy()
      slow.destroy()
    }
    expect(saidOf(await ask())).toBe('in')
  })
})

describe('turns', () => {
  it('are 256 of an account and 512 of all, and come back however a question ended', async () => {
    const turns = new HookTurns()
    const [one, other, third] = ['a', 'b', 'c'].map((letter) => `did:plc:${letter.repeat(24)}` as Person['did'])
    if (!one || !other || !third) throw new Error('nobody came')
    const begin = (who: Person['did'], work: () => Promise<void>) =>
      turns.inTurn(who, work).then(
        () => 'done',
        (error) => error.code ?? error.message,
      )
    for (let round = 0; round < 2; round++) {
      const held = gate()
      const waiting = Array.from({ length: 512 }, (_, nth) =>
        begin(nth % 2 === 0 ? one : other, async () => {
          await held.opened
          if (nth % 3 === 0) throw new Error('failed')
        }),
      )
      const begun = vi.fn(async () => {})
      for (const who of [one, other, third]) expect(await begin(who, begun)).toBe('NotEnoughResources')
      expect(begun).not.toHaveBeenCalled()
      held.open()
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(['done', 'failed']))
      expect(await begin(third, begun)).toBe('done')
    }
    const held = gate()
    const waiting = Array.from({ length: 256 }, () => begin(one, () => held.opened))
    expect(await begin(one, async () => {})).toBe('NotEnoughResources')
    expect(await begin(third, async () => {})).toBe('done')
    held.open()
    await Promise.all(waiting)
  })
})

describe('questions beyond what is allowed', () => {
  const SLOW = { burst: 3, perSec: 0.001 }

  it('of one account are told to wait, and of another one answered', OPENS_A_WORLD, async () => {
    const database = await openTestDatabase('embedded')
    const scene = await openAdopted(database, { rates: { ...UNLIMITED, authority: SLOW } })
    try {
      const { world, alice, bob, account } = scene
      const ask = askIn(scene)
      const other = await world.person()
      accepted(await adopt(other, alice))
      const space = await bind(alice, other, 'main')
      await putIn(alice, space, bob.did)
      // Forged ones, and others' about it, leave its allowance to the account.
      const forger = { did: account.did, key: makeKey('k256') }
      for (let nth = 0; nth < 6; nth++) {
        expect(saidOf(await ask({ by: forger }))).toBe('401 BadJwtSignature')
        expect(saidOf(await ask({ by: bob }))).toBe('out')
      }
      const token = tokenIn(scene)
      for (let nth = 0; nth < 3; nth++) expect(saidOf(await ask({ token }))).toBe('in')
      for (const asked of [{ token }, {}, { access: 'write' }, { space: `${scene.forum}2` }]) {
        const answer = await ask(asked)
        expect(saidOf(answer)).toBe('429 RateLimitExceeded')
        expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
      }
      expect(saidOf(await ask({ by: other, space }))).toBe('in')
    } finally {
      await scene.close()
      await database.close()
    }
  })

  it('of one address are told to wait before anything is looked at', OPENS_A_WORLD, async () => {
    const database = await openTestDatabase('embedded')
    const scene = await openAdopted(database, { rates: { ...everyRate(PLENTY), hook: SLOW } })
    try {
      const ask = askIn(scene)
      for (let nth = 0; nth < 3; nth++) expect(saidOf(await ask())).toBe('in')
      for (const asked of [{}, { token: 'x' }, { user: 'x' }]) {
        expect(saidOf(await ask(asked))).toBe('429 RateLimitExceeded')
      }
      expect((await scene.alice.ask(`${R}.community.list`)).status).toBe(200)
    } finally {
      await scene.close()
      await database.close()
    }
  })
})

describe.runIf(hasPostgres)('two processes', () => {
  let database: TestDatabase
  let scene: Adopted
  let second: Reeve
  beforeAll(async () => {
    database = await openTestDatabase('postgres')
    scene = await openAdopted(database)
    const { config, clock } = scene.world
    second = await openReeve(
      { ...config, port: await freePort(), databaseUrl: database.url, allowUnsafeDatabase: true },
      { clock, log: silentLog, rates: UNLIMITED },
    )
  })
  afterAll(async () => {
    await second.close()
    await scene.close()
    await database.close()
  })

  /** One question to both, by one token. */
  const both = async (asked: Partial<Asked> = {}): Promise<string[]> => {
    const { hosts, account, forum, bob } = scene
    const request = await hosts.october.request({ by: account, space: forum, user: bob.did, access: 'read', ...asked })
    const urls = [scene.world.url, `http://localhost:${second.port}`]
    return Promise.all(urls.map(async (url) => saidOf(await sendRaw(url, request))))
  }
  const [IN, OUT] = [
    ['in', 'in'],
    ['out', 'out'],
  ]

  it('answer alike after the end of every change, whichever of them made it', async () => {
    const { world, alice, bob, rita, account, forum } = scene
    const [olga, peer] = [await world.person(), await world.person()]
    const crew = accepted(
      await olga.call(`${R}.space.create`, {
        ...{ community: await world.found(olga), spaceType: ROLE_SPACE_TYPE, skey: 'crew' },
      }),
    ).uri
    await putIn(olga, crew, peer.did)
    const changes: readonly (readonly [Person, string, object, Partial<Asked>, readonly string[]])[] = [
      [alice, 'member.remove', { space: forum, did: bob.did }, {}, OUT],
      [alice, 'member.put', { space: forum, did: bob.did, role: 'reader' }, {}, IN],
      [alice, 'member.put', { space: forum, did: bob.did, role: 'reader' }, { access: 'write' }, OUT],
      [alice, 'member.put', { space: forum, did: bob.did, role: 'member' }, { access: 'write' }, IN],
      [alice, 'member.ban', { community: account.did, did: bob.did }, {}, OUT],
      [alice, 'member.unban', { community: account.did, did: bob.did }, {}, IN],
      [alice, 'community.freeze', { space: forum, isFrozen: true }, {}, OUT],
      [alice, 'community.freeze', { space: forum, isFrozen: false }, {}, IN],
      [olga, 'federation.offer', { space: crew, to: account.did }, { user: peer.did }, OUT],
      [alice, 'member.put', { space: forum, memberSpace: crew, role: 'reader' }, { user: peer.did }, IN],
      [olga, 'member.remove', { space: crew, did: peer.did }, { user: peer.did }, OUT],
      [olga, 'member.put', { space: crew, did: peer.did, role: 'member' }, { user: peer.did }, IN],
      [olga, 'federation.withdraw', { space: crew, to: account.did }, { user: peer.did }, OUT],
      [alice, 'app.setAccess', { space: forum, mode: 'allowList' }, {}, OUT],
      [alice, 'app.setAccess', { space: forum, mode: 'open' }, {}, IN],
      [account, 'community.release', {}, {}, OUT],
      [account, 'community.adopt', { name: 'Allotments', owner: alice.did }, { user: rita.did }, IN],
      [alice, 'space.delete', { space: forum }, {}, OUT],
    ]
    expect(await both()).toEqual(IN)
    for (const [who, method, input, asked, expected] of changes) {
      accepted(await who.call(`${R}.${method}`, input))
      expect([method, ...(await both(asked))]).toEqual([method, ...expected])
    }
  })

  it('say yes to nobody who was taken off before they were asked, while both are asked on and on', async () => {
    const { world, alice, account } = scene
    const space = await bind(alice, account, 'racing')
    const met = new Map<string, number>()
    for (let round = 0; round < 5; round++) {
      const dora = await world.person()
      await putIn(alice, space, dora.did)
      const asks: { begun: number; said: string[] }[] = []
      let [clock, isOver] = [0, false]
      const keepAsking = async () => {
        while (!isOver) {
          const begun = clock++
          asks.push({ begun, said: await both({ space, user: dora.did }) })
        }
      }
      const asking = [keepAsking(), keepAsking(), keepAsking()]
      await eventually('they are being answered', async () => asks.length > 3)
      await takeOut(alice, space, dora.did)
      const gone = clock++
      await eventually('they are asked after it', async () => asks.filter(({ begun }) => begun > gone).length > 3)
      isOver = true
      await Promise.all(asking)
      for (const { begun, said } of asks) {
        if (begun > gone) expect(said).toEqual(OUT)
        for (const one of said) met.set(one, (met.get(one) ?? 0) + 1)
      }
    }
    expect([...met.keys()].sort()).toEqual(['in', 'out'])
  })
})
