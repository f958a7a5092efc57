/**
 * A whole life of Reeve with secrets that are known here, and then a search for them in everything it left: what it wrote, what it
 * answered, what lies in its database and its folder. In every spelling that somebody might have made of them.
 *
 * The private keys are learned by opening the envelopes with the key-encryption key, which nobody but an operator could do.
 */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { open, type Purpose } from '../../src/keys/envelope.ts'
import { openKek } from '../../src/keys/kek.ts'
import { type Did, type DidKey, parseDid } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { Secret } from '../../src/platform/secret.ts'
import { type Collector, startCollector } from '../kit/collector.ts'
import { createOnServer, engines, onServer } from '../kit/databases.ts'
import { BINDINGS, exchangeOf } from '../kit/exchange.ts'
import { type FakePlc, startFakePlc } from '../kit/fake-plc.ts'
import { makeSomebody, type Somebody } from '../kit/people.ts'
import { freePort } from '../kit/ports.ts'
import { presentationOf } from '../kit/presentation.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { REGISTER } from '../kit/registering.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { MISBEHAVIOURS, startSyncer } from '../kit/syncer.ts'
import { keyOfScalar, makeKey, makeServiceJwt } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, memberHeld, type RawRequest, sendRaw } from '../kit/world.ts'
import { writeOf } from '../kit/writers.ts'

const MINT = 'community.reeve.community.mint'
const run = promisify(execFile)

describe.each(engines())('secrets in a whole life of Reeve (%s)', (engine) => {
  const kekHex = randomHex(systemRandom, 32)
  const password = `Canary${randomHex(systemRandom, 12)}`
  /** Tokens and proofs that were sent, credentials that came back. */
  const bearers = {
    delegation: [] as string[],
    serviceJwt: [] as string[],
    dpop: [] as string[],
    credential: [] as string[],
    /** What Reeve signed in the name of the community, to those who are told. */
    delivered: [] as string[],
  }
  const answers: { says: string; answer: Answer }[] = []
  const outputs: string[] = []
  /** The page of numbers, before each end of the service. */
  const pages: string[] = []
  let numbersPort: number
  /** Every request and turn of that life is followed. */
  let collector: Collector
  let plc: FakePlc
  let folder: string
  let databaseUrl: string | undefined
  let dropDatabase: () => Promise<void> = async () => {}
  let place: ReevePlace
  let reeve: ReeveProcess
  let people: { alice: Somebody; bob: Somebody; carol: Somebody }
  let keys: Record<string, Buffer>
  let dump: Record<string, Buffer>

  const recovery = keyOfScalar('k256', systemRandom.bytes(32))

  async function send(says: string, request: RawRequest): Promise<Answer> {
    const answer = await sendRaw(reeve.url, request)
    answers.push({ says, answer })
    return answer
  }

  function jwt(person: Somebody, method: string, aud = `${reeve.serviceDid}#reeve`): string {
    const token = makeServiceJwt({ key: person.key, iss: person.did, aud, lxm: method, nowSec: systemClock.nowSec() })
    bearers.serviceJwt.push(token)
    return token
  }

  const call = (person: Somebody, method: string, input: object, token = jwt(person, method)): Promise<Answer> =>
    send(method, {
      method: 'POST',
      path: `/xrpc/${method}`,
      headers: [
        ['authorization', `Bearer ${token}`],
        ['content-type', 'application/json'],
      ],
      body: JSON.stringify(input),
    })

  const ask = (person: Somebody, method: string, params: Record<string, string> = {}): Promise<Answer> =>
    send(method, {
      path: `/xrpc/${method}?${new URLSearchParams(params)}`,
      headers: [['authorization', `Bearer ${jwt(person, method)}`]],
    })

  /** One exchange, with what it carried written down. */
  async function exchange(forum: string, parts: Parameters<typeof exchangeOf>[1] = {}): Promise<Answer> {
    const world = { url: reeve.url, clock: { ...systemClock, moveSec() {} } }
    const request = exchangeOf({ world, forum, bob: people.bob }, parts)
    noteBearers(request)
    const answer = await send('exchange', request)
    if (answer.body.credential) bearers.credential.push(answer.body.credential)
    return answer
  }

  function noteBearers(request: RawRequest): void {
    for (const [name, value] of request.headers ?? []) {
      if (name === 'authorization') bearers.delegation.push(value.replace('Bearer ', ''))
      if (name === 'dpop') bearers.dpop.push(value)
    }
  }

  async function live(): Promise<void> {
    const { alice, bob, carol } = people
    const custody = memberHeld({ config: { serviceDid: parseDid(reeve.serviceDid) ?? alice.did } }, alice, recovery)
    const founded = await call(alice, MINT, { name: 'Gardeners', custody })
    expect(founded.body).toMatchObject({ status: 'active' })
    const community: Did = founded.body.did
    const made = await call(alice, 'community.reeve.space.create', { community, spaceType: 'com.atmoboards.forum' })
    const forum: string = made.body.uri
    expect(
      (await call(alice, 'community.reeve.member.put', { space: forum, did: bob.did, role: 'member' })).status,
    ).toBe(200)

    for (const binding of BINDINGS) {
      expect((await exchange(forum, { binding })).status).toBe(200)
      expect((await exchange(forum, { binding, person: carol })).body.error).toBe('UserNotAuthorized')
      const jti = randomHex(systemRandom, 16)
      await exchange(forum, { binding, jti })
      expect((await exchange(forum, { binding, jti })).body.error).toBe('JwtReplayed')
      await exchange(forum, { binding, person: { did: bob.did, key: makeKey('k256') } })
      await exchange(forum, { binding, changes: { header: { typ: 'JWT' } } })
      await exchange(forum, { binding, changes: { payload: { exp: 1 } } })
      await exchange(forum, { binding, body: '{"space":' })
      await exchange(forum, { binding, body: { space: `${forum}x` } })
      await exchange(forum, { binding, more: [['authorization', 'Bearer of-two']] })
    }
    await exchange(forum, { binding: 'august', proof: { payload: { htm: 'GET' } } })
    await exchange(forum, { binding: 'august', body: 'x'.repeat(70_000) })

    const used = jwt(alice, MINT)
    await call(alice, MINT, { name: '', custody }, used)
    expect((await call(alice, MINT, { name: '', custody }, used)).body.error).toBe('JwtReplayed')
    await call(carol, 'community.reeve.member.put', { space: forum, did: carol.did, role: 'owner' })
    await call(alice, 'community.reeve.member.put', { space: forum, did: bob.did, role: 'emperor' })
    await call(alice, 'community.reeve.member.put', { space: forum }, jwt(alice, MINT))
    await call(alice, MINT, { name: 'Wrong proof', custody: { ...custody, proof: 'AAAA' } })
    for (const method of ['community.get', 'audit.list', 'space.list'])
      await ask(alice, `community.reeve.${method}`, { community })
    await ask(alice, 'community.reeve.member.list', { space: forum })
    await ask(bob, 'community.reeve.audit.list', { community })
    await ask(alice, 'community.reeve.not.there')
    // A token where none belongs: in the address, and in a body.
    const stray = jwt(alice, 'community.reeve.space.list')
    await send('stray', { path: `/xrpc/community.reeve.space.list?community=${stray}` })
    await call(alice, 'community.reeve.space.create', { community, spaceType: stray })

    await hearOfWrites(forum)
    await signal('SIGUSR2')
    expect((await exchange(forum)).status).toBe(200)
    plc.misbehave(() => 'cut')
    await exchange(forum, { person: { did: `did:plc:${'q'.repeat(24)}` as Did, key: makeKey('k256') } })
    plc.misbehave(null)

    await outage()
    await readNumbers()
    await reeve.kill()
    outputs.push(reeve.output())
    reeve = await startReeve(place)
    expect((await exchange(forum, { binding: 'august' })).status).toBe(200)
    await call(alice, 'community.reeve.member.remove', { space: forum, did: bob.did })
    expect((await exchange(forum)).body.error).toBe('UserNotAuthorized')
    await eventually('the audit is sealed', async () => {
      const { body } = await ask(alice, 'community.reeve.audit.list', { community })
      return body.entries.every((entry: { seq?: number }) => typeof entry.seq === 'number')
    })
    await readNumbers()
    await reeve.stop()
    outputs.push(reeve.output())
    await startWrongly()
  }

  /** Somebody registers a syncer and writes; the syncer fails in several ways, and hears. */
  async function hearOfWrites(forum: string): Promise<void> {
    const { bob, carol } = people
    const world = { url: reeve.url, clock: { ...systemClock, moveSec() {} } }
    const syncer = await startSyncer()
    const holder = makeKey('p256')
    const { body } = await exchange(forum, { holder })
    const held = { credential: String(body.credential), holder, binding: 'october', space: forum } as const
    const show = (says: string, request: RawRequest) => {
      for (const [name, value] of request.headers ?? []) if (name === 'signature') bearers.dpop.push(value)
      return send(says, request)
    }
    const register = { nsid: REGISTER, body: { space: forum, service: syncer.service } }
    expect((await show('register', presentationOf(world, held, { procedure: register }))).status).toBe(200)
    await show(
      'register',
      presentationOf(world, held, { procedure: { ...register, body: { space: held.credential } } }),
    )
    const announce = (about: Partial<Parameters<typeof writeOf>[1]> = {}) => {
      const request = writeOf(world, { writer: bob, space: forum, ...about })
      noteBearers(request)
      return send('write', request)
    }
    syncer.misbehave(MISBEHAVIOURS.fails)
    expect((await announce()).status).toBe(200)
    await eventually('the syncer is told, and fails', async () => syncer.told.length > 0)
    syncer.misbehave((outgoing, { token }) => outgoing.writeHead(400).end(JSON.stringify({ error: token })))
    await eventually('the syncer is told, and refuses', async () => syncer.told.length > 1)
    syncer.misbehave(null)
    expect((await announce({ writer: carol })).body.error).toBe('Forbidden')
    await announce({ aud: bob.did })
    await announce({ changes: { payload: { exp: 1 } } })
    await announce({ body: { repo: bearers.credential[0] } })
    expect((await announce()).status).toBe(200)
    await eventually('the syncer hears', async () => syncer.told.length > 2)
    bearers.delivered.push(...syncer.told.map(({ token }) => token))
    await syncer.close()
  }

  /** Starts that must fail, each with a secret where it doesn't belong, or where an error might quote it. */
  async function startWrongly(): Promise<void> {
    const wrong: readonly Readonly<Record<string, string>>[] = [
      { REEVE_KEK: kekHex },
      { REEVE_KEK: `file:/${kekHex}` },
      { REEVE_KEKK: kekHex },
      { REEVE_KEK: `env:${kekHex}` },
      { DATABASE_URL: `postgres://reeve:${password}@127.0.0.1:1/reeve` },
      { DATABASE_URL: `postgres://reeve:${password}@127.0.0.1:port/reeve` },
    ]
    for (const environment of wrong) {
      const started = startReeve({ ...place, environment: { ...place.environment, ...environment } })
      const said = await started.then(
        () => 'it started',
        (error: unknown) => String(error),
      )
      expect(said).toMatch(
        /Reeve ended with (1|78) before it listened: .*\nreeve: .+|Reeve ended with (1|78) before it listened: reeve: .+/s,
      )
      outputs.push(said)
    }
  }

  async function readNumbers(): Promise<void> {
    pages.push(String((await sendRaw(`http://127.0.0.1:${numbersPort}`, { path: '/metrics' })).body))
  }

  async function signal(name: NodeJS.Signals): Promise<void> {
    process.kill(reeve.pid, name)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }

  /** Every connection to the database is cut under a request: the errors of drivers are the ones that carry addresses. */
  async function outage(): Promise<void> {
    if (!databaseUrl) return
    const name = new URL(databaseUrl).pathname.slice(1)
    await onServer(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
    await ask(people.alice, 'community.reeve.community.list')
  }

  /** A database whose role has a password, so that there is one to be betrayed. */
  async function placeDatabase(): Promise<void> {
    if (engine !== 'postgres') return
    const made = await createOnServer()
    const role = `${made.name}_role`
    await onServer(`create role ${role} login password '${password}'`)
    await onServer(`alter database ${made.name} owner to ${role}`)
    const url = new URL(made.url.reveal())
    url.username = role
    url.password = password
    databaseUrl = url.href
    dropDatabase = async () => {
      await made.drop()
      await onServer(`drop role ${role}`)
    }
  }

  beforeAll(async () => {
    plc = await startFakePlc()
    folder = await mkdtemp(join(tmpdir(), 'reeve-secrets-'))
    await placeDatabase()
    await mkdir(join(folder, 'data'))
    await writeFile(join(folder, 'kek'), kekHex, { mode: 0o600 })
    numbersPort = await freePort()
    collector = await startCollector()
    place = await reevePlace({
      plcUrl: plc.url,
      dataDir: join(folder, 'data'),
      ...(databaseUrl ? { databaseUrl } : {}),
      environment: {
        REEVE_KEK: `file:${join(folder, 'kek')}`,
        REEVE_LOG_LEVEL: 'debug',
        REEVE_METRICS_PORT: String(numbersPort),
        REEVE_TRACES_URL: collector.url,
        REEVE_TRACES_SHARE: '1',
      },
    })
    const [alice, bob, carol] = [await makeSomebody(plc.url), await makeSomebody(plc.url), await makeSomebody(plc.url)]
    people = { alice, bob, carol }
    reeve = await startReeve(place)
    await live()
    dump = await dumpOf()
    // All of that life is in here.
  }, 600_000)
  afterAll(async () => {
    await reeve.kill()
    await dropDatabase()
    await collector.close()
    await plc.close()
    await rm(folder, { recursive: true, force: true })
  })

  /** Every table as text, and the files themselves: the directory of the embedded database, or what pg_dump makes. */
  async function dumpOf(): Promise<Record<string, Buffer>> {
    const url = databaseUrl ? new Secret(databaseUrl) : null
    const dataDir = join(folder, 'data')
    const database = await openDatabase({ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock })
    const found: Record<string, Buffer> = {}
    try {
      keys = await openEverything(database.db)
      const { rows } = await sql<{ name: string }>`select table_name as name from information_schema.tables
        where table_schema = current_schema()`.execute(database.db)
      for (const { name } of rows) {
        const text = await sql<{ line: string }>`select t::text as line from ${sql.table(name)} t`.execute(database.db)
        found[`table ${name}`] = Buffer.from(text.rows.map(({ line }) => line).join('\n'))
      }
    } finally {
      await database.close()
    }
    if (databaseUrl) {
      const { stdout } = await run('pg_dump', ['--dbname', databaseUrl], { maxBuffer: 2 ** 28 })
      found['pg_dump'] = Buffer.from(stdout)
    }
    for (const entry of await readdir(dataDir, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = join(entry.parentPath, entry.name)
      found[`file ${path.slice(dataDir.length)}`] = await readFile(path)
    }
    return found
  }

  /** Every DEK and every private scalar, opened as only the operator's key can. */
  async function openEverything(db: Db): Promise<Record<string, Buffer>> {
    const { id: instanceId } = await db.selectFrom('instance').select('id').executeTakeFirstOrThrow()
    const kek = openKek('env:KEK', { readEnv: () => kekHex, envIsPermitted: true, random: systemRandom })
    const found: Record<string, Buffer> = {}
    const rows = await db
      .selectFrom('key')
      .innerJoin('dek', 'dek.community', 'key.community')
      .select(['key.id', 'key.community', 'purpose', 'did_key', 'sealed', 'wrapped', 'version'])
      .execute()
    for (const row of rows) {
      const about = { instanceId, community: row.community, dekVersion: row.version }
      const dek = await kek.unwrap(row.wrapped, about)
      const place = { ...about, purpose: row.purpose as Purpose, keyId: row.id, publicKey: row.did_key as DidKey }
      const scalar = dek && row.sealed && open(dek, row.sealed, place)
      if (!scalar) throw new Error(`the envelope of ${row.purpose} does not open`)
      expect(keyOfScalar(row.purpose === 'rotation' ? 'k256' : 'p256', scalar).didKey).toBe(row.did_key)
      found[`dek ${row.community}`] = Buffer.from(dek)
      found[`${row.purpose} ${row.id}`] = Buffer.from(scalar)
    }
    return found
  }

  const written = () => ({
    ...Object.fromEntries(outputs.map((text, at) => [`output ${at}`, Buffer.from(text)])),
    ...Object.fromEntries(pages.map((text, at) => [`page ${at}`, Buffer.from(text)])),
    traces: Buffer.from(collector.heard.join('\n')),
  })
  const answered = (withCredentials: boolean) =>
    Object.fromEntries(
      answers.map(({ says, answer: { body, ...rest } }, at) => {
        const { credential, ...others } = typeof body === 'object' && body !== null ? body : { credential: undefined }
        const shown = withCredentials || typeof credential !== 'string' ? body : others
        return [`answer ${at} (${says})`, Buffer.from(JSON.stringify({ ...rest, body: shown }))]
      }),
    )
  const everywhere = () => ({ ...written(), ...answered(true), ...dump })

  it('was a life with something in it', () => {
    const codes = new Set(answers.map(({ answer }) => answer.body.error ?? answer.status))
    for (const code of [
      200,
      'BadJwtSignature',
      'JwtReplayed',
      'JwtExpired',
      'BadDpopProof',
      'PayloadTooLarge',
      'UpstreamFailure',
    ])
      expect(codes).toContain(code)
    expect(outputs).toHaveLength(8)
    for (const output of outputs.slice(0, 2)) expect(output).toMatch(/"event":"listening"/)
    expect(outputs.join('')).toMatch(/"level":20/)
    expect(Object.keys(keys)).toHaveLength(4)
    expect(Object.keys(dump).length).toBeGreaterThan(engine === 'embedded' ? 100 : 10)
    expect(bearers).toMatchObject({ dpop: expect.arrayContaining([expect.stringMatching(/^eyJ/)]) })
    expect(bearers.credential.length).toBeGreaterThanOrEqual(4)
    expect(bearers.delegation.length).toBeGreaterThan(20)
    expect(bearers.delivered.length).toBeGreaterThanOrEqual(3)
  })

  it('each request has its line in the log, with way in, outcome and time', () => {
    const lines = outputs.flatMap((text) => text.split('\n')).filter((line) => line.includes('"event":"answered"'))
    const ids = new Set(lines.map((line) => JSON.parse(line).requestId))
    const told = answers.map(({ answer }) => answer.headers['x-request-id']).filter((id) => id !== undefined)
    expect(told.length).toBeGreaterThan(30)
    expect(told.filter((id) => !ids.has(id))).toEqual([])
    for (const line of lines)
      expect(Object.keys(JSON.parse(line)).toSorted()).toEqual([
        'event',
        'level',
        'method',
        'ms',
        'outcome',
        'requestId',
        'time',
      ])
  })

  it('the page of numbers tells of nobody', () => {
    expect(pages).toHaveLength(2)
    for (const page of pages) {
      expect(page).toMatch(/^reeve_answers_total\{method="com.atproto.space.getSpaceCredential",outcome="200"\} [1-9]/m)
      expect(page).not.toMatch(/did:|at:\/\/|eyJ|127\.0\.0\.1|localhost/)
    }
  })

  it('the traces tell of nobody', () => {
    expect(collector.spans.length).toBeGreaterThan(500)
    const names = collector.spans.map(({ name }) => name)
    expect(names).toEqual(expect.arrayContaining(['com.atproto.space.getSpaceCredential', 'insert', 'fetches', 'seal']))
    // What came, without the headers, in which the collector's own address stands.
    const bodies = collector.heard.filter((_text, at) => at % 2 === 1).join('\n')
    expect(bodies).not.toMatch(/did:|at:\/\/|eyJ|127\.0\.0\.1|localhost/)
  })

  it('the key-encryption key is nowhere', () => {
    expect(where({ kek: spellingsOf(Buffer.from(kekHex, 'hex')) }, everywhere())).toEqual([])
  })

  it('no private key of the community, and no key that seals them, is anywhere', () => {
    const spellings = Object.entries(keys).map(([name, bytes]) => [name, spellingsOf(bytes)] as const)
    expect(where(Object.fromEntries(spellings), everywhere())).toEqual([])
  })

  it('no token, proof or credential is in the output or at rest, and none comes back but the credential, to its holder', () => {
    const all = Object.entries(bearers).flatMap(([kind, tokens]) =>
      tokens.flatMap((token, at) => partsOf(token).map((part) => [`${kind} ${at}`, part] as const)),
    )
    expect(where(needlesOf(all), { ...written(), ...dump, ...answered(false) })).toEqual([])
    const exchanged = answers.filter(({ answer }) => answer.body.credential)
    for (const { says, answer } of exchanged) {
      expect(says).toBe('exchange')
      expect(Object.keys(answer.body)).toEqual(['credential'])
    }
  })

  it('the password of the database is nowhere', () => {
    expect(where({ password: spellingsOf(Buffer.from(password)) }, everywhere())).toEqual([])
  })

  it('the search finds what was planted, in every spelling and everywhere', () => {
    const secret = systemRandom.bytes(32)
    for (const [spelling, bytes] of Object.entries(spellingsOf(secret))) {
      for (const [name, place] of Object.entries({ ...written(), ...answered(true), 'table key': dump['table key'] })) {
        const planted = Buffer.concat([
          Buffer.from('}'),
          place ?? Buffer.alloc(0),
          Buffer.from(' "'),
          bytes,
          Buffer.from('"'),
        ])
        expect(where({ canary: spellingsOf(secret) }, { [name]: planted })).toContain(
          `canary as ${spelling} in ${name}`,
        )
      }
    }
    // And what is allowed to be where it is: the wrapped keys, and a credential with its holder.
    const [credential = ''] = bearers.credential
    expect(where({ it: { text: Buffer.from(credential) } }, answered(true))).toHaveLength(1)
    expect(where({ did: { text: Buffer.from(people.bob.did) } }, dump).length).toBeGreaterThan(0)
  })

  /** Whatever of a token would be worth something alone: the whole, and its signature, by which a proof is recognised. */
  const partsOf = (token: string): string[] => [token, token.split('.')[2] ?? token].filter((part) => part.length > 40)

  function needlesOf(pairs: readonly (readonly [string, string])[]): Record<string, Record<string, Buffer>> {
    return Object.fromEntries(
      pairs.map(([name, text], at) => [
        `${name}.${at}`,
        { text: Buffer.from(text), bytes: Buffer.from(text.split('.')[2] ?? text, 'base64url') },
      ]),
    )
  }
})
