/**
 * A small world for tests: a real PLC directory, people whose DIDs stand in it, and Reeve listening on a real socket.
 *
 * People here hold their own keys and sign for themselves what their PDS would sign for them; the story tests and the demo use
 * accounts of a real PDS instead.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { didOf, encodeOperation, type UnsignedPlcOperation } from '../../src/identity/plc-operation.ts'
import { recoveryStatement } from '../../src/keys/recovery-proof.ts'
import type { Did } from '../../src/names.ts'
import { type Clock, systemClock } from '../../src/platform/clock.ts'
import { type Config, parseConfig } from '../../src/platform/config.ts'
import { type Log, silentLog } from '../../src/platform/log.ts'
import { type Given, openReeve, type Reeve } from '../../src/reeve.ts'
import { type EngineName, openTestDatabase, type TestDatabase } from './databases.ts'
import { startPlcServer } from './plc.ts'
import { freePort } from './ports.ts'
import { UNLIMITED } from './rates.ts'
import { type Answer, type RawRequest, sendRaw } from './raw-request.ts'
import {
  base64Url,
  makeDelegation,
  makeDpopProof,
  makeKey,
  makeServiceJwt,
  makeSpaceSignature,
  signBytes,
  type TestKey,
} from './tokens.ts'
import { type Binding, EXCHANGE_PATH, spaceOf } from './wire-requests.ts'

export { everyRate, UNLIMITED } from './rates.ts'
export { type Answer, type RawRequest, sendRaw } from './raw-request.ts'
export { type Binding, EXCHANGE_PATH, spaceOf } from './wire-requests.ts'

export interface Person {
  readonly did: Did
  readonly key: TestKey
  /** A procedure or a query of Reeve, by service auth that the person signs. */
  call(method: string, input?: object): Promise<Answer>
  ask(method: string, params?: Readonly<Record<string, string>>): Promise<Answer>
  /** The exchange with a fresh token, a fresh holder key and the given binding. */
  exchange(space: string, binding?: Binding): Promise<Answer>
}

export interface World {
  readonly plcUrl: string
  readonly url: string
  readonly config: Config
  readonly reeve: Reeve
  readonly database: TestDatabase
  readonly clock: MovableClock
  /** Somebody new; `pds` is where their document says that their repo is. */
  person(about?: { readonly pds?: string }): Promise<Person>
  /** Founds a community, custodial unless a recovery key is given, and answers its DID. */
  found(founder: Person, more?: object): Promise<Did>
  /** Makes a space under a community and answers its URI. */
  makeSpace(maker: Person, community: Did, more?: object): Promise<string>
  send(request: RawRequest): Promise<Answer>
  close(): Promise<void>
}

/** The system clock, moved by as many seconds as a test likes. */
export interface MovableClock extends Clock {
  moveSec(seconds: number): void
}

export function movableClock(): MovableClock {
  let movedMs = 0
  return {
    nowSec: () => Math.floor((systemClock.nowMs() + movedMs) / 1000),
    nowMs: () => systemClock.nowMs() + movedMs,
    monotonicMs: () => systemClock.monotonicMs() + movedMs,
    moveSec: (seconds) => {
      movedMs += Math.round(seconds * 1000)
    },
  }
}

export interface WorldOptions {
  readonly engine?: EngineName
  readonly database?: TestDatabase
  readonly environment?: Readonly<Record<string, string>>
  readonly log?: Log
  readonly plcUrl?: string
  /** Where the world calls it, when that isn't where it listens. */
  readonly publicUrl?: string
  /** The rates of the buckets; without them, nobody is ever held back. */
  readonly rates?: Given['rates']
  /** Name servers for what strangers name. */
  readonly nameServers?: readonly string[]
}

/** Opens a world. Everything in it ends with `close`. */
export async function openWorld(options: WorldOptions = {}): Promise<World> {
  const plc = options.plcUrl ? null : await startPlcServer()
  const plcUrl = options.plcUrl ?? plc?.url ?? ''
  const folder = await mkdtemp(join(tmpdir(), 'reeve-world-'))
  const port = await freePort()
  const database = options.database ?? (await openTestDatabase(options.engine ?? 'embedded'))
  const url = `http://localhost:${port}`
  const parsed = parseConfig({
    REEVE_PUBLIC_URL: url,
    REEVE_PORT: String(port),
    REEVE_DATA_DIR: folder,
    REEVE_PLC_URL: plcUrl,
    REEVE_ALLOW_LOOPBACK: '1',
    REEVE_LOG_LEVEL: 'silent',
    ...options.environment,
  })
  const config = options.publicUrl ? { ...parsed, publicUrl: options.publicUrl } : parsed
  const clock = movableClock()
  const reeve = await openReeve(config, {
    clock,
    log: options.log ?? silentLog,
    database,
    rates: options.rates ?? UNLIMITED,
    ...(options.nameServers ? { nameServers: options.nameServers } : {}),
  })
  const world: World = {
    plcUrl,
    url,
    config,
    reeve,
    database,
    clock,
    person: (about) => registerPerson(world, about),
    async found(founder, more = {}) {
      const custody = { $type: 'community.reeve.community.mint#custodial' }
      const answer = await founder.call('community.reeve.community.mint', { name: 'Gardeners', custody, ...more })
      if (answer.body.status !== 'active') throw new Error(`not founded: ${JSON.stringify(answer.body)}`)
      return answer.body.did
    },
    async makeSpace(maker, community, more = {}) {
      const input = { community, spaceType: 'com.atmoboards.forum', ...more }
      const answer = await maker.call('community.reeve.space.create', input)
      if (answer.status !== 200) throw new Error(`no space: ${JSON.stringify(answer.body)}`)
      return answer.body.uri
    },
    send: (raw) => sendRaw(url, raw),
    async close() {
      await reeve.close()
      await plc?.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
  return world
}

/** A person with a did:plc of their own, as any PDS would have registered it: secp256k1, one rotation key. */
async function registerPerson(world: World, { pds = 'https://pds.example.com' } = {}): Promise<Person> {
  const key = makeKey('k256')
  const unsigned: UnsignedPlcOperation = {
    type: 'plc_operation',
    rotationKeys: [key.didKey],
    verificationMethods: { atproto: key.didKey },
    alsoKnownAs: [],
    services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: pds } },
    prev: null,
  }
  const operation = { ...unsigned, sig: base64Url(signBytes(key, encodeOperation(unsigned))) }
  const did = didOf(operation)
  const registered = await sendRaw(world.plcUrl, {
    method: 'POST',
    path: `/${encodeURIComponent(did)}`,
    headers: [['content-type', 'application/json']],
    body: JSON.stringify(operation),
  })
  if (registered.status !== 200) throw new Error(`the directory answered ${registered.status}`)
  return personOf(world, did, key)
}

export function personOf(world: World, did: Did, key: TestKey): Person {
  const authorize = (lxm: string): [string, string] => {
    const aud = `${world.config.serviceDid}#reeve`
    return ['authorization', `Bearer ${makeServiceJwt({ key, iss: did, aud, lxm, nowSec: world.clock.nowSec() })}`]
  }
  return {
    did,
    key,
    call: (method, input = {}) =>
      world.send({
        method: 'POST',
        path: `/xrpc/${method}`,
        headers: [authorize(method), ['content-type', 'application/json']],
        body: JSON.stringify(input),
      }),
    ask: (method, params = {}) =>
      world.send({ path: `/xrpc/${method}?${new URLSearchParams(params)}`, headers: [authorize(method)] }),
    exchange: (space, binding = 'october') => world.send(exchangeRequest(world, { did, key, space, binding })),
  }
}

/** A whole exchange request, with every part open to change. */
export function exchangeRequest(
  world: Pick<World, 'url' | 'clock'>,
  asked: {
    did: Did
    key: TestKey
    space: string
    binding: Binding
    token?: string
    holder?: TestKey
    proof?: string
    body?: object
  },
): RawRequest {
  const nowSec = world.clock.nowSec()
  const holder = asked.holder ?? makeKey('p256')
  const token = asked.token ?? makeDelegation({ key: asked.key, iss: asked.did, space: spaceOf(asked.space), nowSec })
  const authorization = `Bearer ${token}`
  return {
    method: 'POST',
    path: EXCHANGE_PATH,
    headers: [
      ['authorization', authorization],
      ['content-type', 'application/json'],
      ...proofLines({ ...asked, holder, authorization, url: world.url + EXCHANGE_PATH, nowSec }),
    ],
    body: JSON.stringify(asked.body ?? { space: asked.space }),
  }
}

function proofLines(about: {
  binding: Binding
  holder: TestKey
  authorization: string
  url: string
  nowSec: number
  proof?: string
}): [string, string][] {
  const { binding, holder, authorization, url, nowSec } = about
  if (binding === 'august')
    return [['dpop', about.proof ?? makeDpopProof({ key: holder, method: 'POST', url, nowSec })]]
  const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization })
  return [
    ['signature-input', signatureInput],
    ['signature', signature],
  ]
}

/** The custody in which the community's own key outranks Reeve's, with a proof by that key. */
export function memberHeld(
  world: { readonly config: Pick<Config, 'serviceDid'> },
  founder: Pick<Person, 'did'>,
  recovery: TestKey,
): object {
  return { $type: 'community.reeve.community.mint#memberHeld', ...recoveryProven(world, founder, recovery) }
}

/** A recovery key, and that whoever calls holds it. */
export function recoveryProven(
  world: { readonly config: Pick<Config, 'serviceDid'> },
  caller: Pick<Person, 'did'>,
  recovery: TestKey,
): { readonly recoveryKey: string; readonly proof: string } {
  const claim = { recoveryKey: recovery.didKey, caller: caller.did, service: world.config.serviceDid }
  return { recoveryKey: recovery.didKey, proof: base64Url(signBytes(recovery, recoveryStatement(claim))) }
}
