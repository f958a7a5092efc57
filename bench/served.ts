/**
 * The side that is measured: Reeve in a process of its own, with the crypto-only loop beside it.
 *
 * It takes orders over the process channel: `crypto` times what one exchange costs in cryptography and JSON alone, with keys
 * never seen before, and `atproto` the same by `@atproto/crypto`; `verifies` what one service JWT costs to read and verify, and
 * `decisions` what a decision costs once its facts are there; `bare` opens a server that says yes to everything; `cpu` says how much processor time this process has used so
 * far; between `profile` and `profiled` it notes where the time goes.
 */

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { Session } from 'node:inspector/promises'
import type { AddressInfo } from 'node:net'
import { sql } from 'kysely'
import { Agent } from 'undici'
import { loadReadFacts } from '../src/access/may-read.ts'
import { delegationSignatureHolds, parseDelegation } from '../src/credential/delegation.ts'
import { verifyDpopProof } from '../src/credential/dpop.ts'
import { verifyExchangeSignature } from '../src/credential/http-signature.ts'
import { signatureHolds } from '../src/identity/did-signature.ts'
import { parseServiceAuth } from '../src/identity/service-auth.ts'
import { makeKeyPair, signCompact } from '../src/keys/private-keys.ts'
import { type Did, parseSpaceUri, type SpaceUri } from '../src/names.ts'
import { toBase64Url, utf8 } from '../src/platform/bytes.ts'
import { systemClock } from '../src/platform/clock.ts'
import { parseConfig, processEnvironment } from '../src/platform/config.ts'
import { type Es256k, es256kBackend, type PublicKey } from '../src/platform/ecdsa.ts'
import { silentLog } from '../src/platform/log.ts'
import { parseDidKey } from '../src/platform/multikey.ts'
import type { AccessFacts } from '../src/policy/decide.ts'
import { judgeHook } from '../src/policy/hook.ts'
import { openReeve } from '../src/reeve.ts'
import { byAtprotoCrypto } from './atproto-crypto.ts'
import { fillRoster } from './hook-world.ts'
import { type Shares, sharesOf } from './profile.ts'
import type { Prepared } from './tokens.ts'

const PLENTY = { burst: 1e12, perSec: 1e12 }
const rates = {
  ...{ public: PLENTY, governance: PLENTY, founding: PLENTY, exchange: PLENTY, resolution: PLENTY },
  ...{ governancePerson: PLENTY, foundingPerson: PLENTY, exchangePerson: PLENTY },
  ...{
    notify: PLENTY,
    writerResolution: PLENTY,
    writer: PLENTY,
    spaceWrites: PLENTY,
    hook: PLENTY,
    authority: PLENTY,
    forged: PLENTY,
    connect: PLENTY,
  },
}
const reeve = await openReeve(parseConfig(processEnvironment()), { log: silentLog, rates })

export type Order =
  | { kind: 'crypto'; requests: readonly Prepared[]; url: string }
  | { kind: 'atproto'; requests: readonly Prepared[] }
  | { kind: 'posts'; urls: readonly string[]; rounds: number; isSigned: boolean }
  | { kind: 'verifies'; tokens: readonly string[]; didKey: string }
  | { kind: 'decisions'; space: SpaceUri; dids: readonly Did[]; rounds: number }
  | { kind: 'fill'; space: SpaceUri; people: readonly [first: number, last: number] }
  | { kind: 'bare' }
  | { kind: 'cpu' | 'waiting' | 'profile' | 'profiled' | 'end' }
export type Report =
  | { kind: 'ready'; es256k: Es256k['backend'] }
  | { kind: 'crypto'; cpuSec: number; count: number }
  | { kind: 'posts'; cpuSec: number; wallSec: number; count: number }
  | { kind: 'cpu'; cpuSec: number; databaseSec: number; rssMiB: number }
  | { kind: 'waiting'; lanes: number; registrations: number }
  | { kind: 'filled' }
  | { kind: 'bare'; port: number }
  | { kind: 'profile' }
  | { kind: 'profiled'; shares: Shares }

const report = (message: Report): void => {
  process.send?.(message)
}

function cpuSec(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

const inspector = new Session()
inspector.connect()

process.on('message', (order: Order) => {
  if (order.kind === 'cpu') void resources().then(report)
  if (order.kind === 'posts') void barePosts(order).then(report)
  if (order.kind === 'waiting') void waiting().then(report)
  if (order.kind === 'crypto') report(cryptoOnly(order.requests, order.url))
  if (order.kind === 'atproto') void atprotoOnly(order.requests).then(report)
  if (order.kind === 'verifies') report(verifiesOnly(order.tokens, order.didKey))
  if (order.kind === 'decisions') void decisionsOnly(order).then(report)
  if (order.kind === 'fill')
    void fillRoster(reeve.house.db, order.space, order.people).then(() => report({ kind: 'filled' }))
  if (order.kind === 'bare') void bareServer().then(report)
  if (order.kind === 'profile') void startProfile().then(report)
  if (order.kind === 'profiled') void endProfile().then(report)
  if (order.kind === 'end') void reeve.close().then(() => process.exit(0))
})
report({ kind: 'ready', es256k: es256kBackend() })

async function resources(): Promise<Report> {
  const databaseSec = await databaseCpuSec()
  return { kind: 'cpu', cpuSec: cpuSec(), databaseSec, rssMiB: process.memoryUsage.rss() / 2 ** 20 }
}

/** By process of the server, how far its time was counted; and all that was counted, also of those that have ended. */
const countedNs = new Map<number, number>()
let allCountedNs = 0

/** Processor time of the server's processes that work for this database; none where it is in this process. */
async function databaseCpuSec(): Promise<number> {
  if (!process.env['DATABASE_URL']) return 0
  const { rows } = await sql<{
    pid: number
  }>`select pid from pg_stat_activity where datname = current_database()`.execute(reeve.house.db)
  for (const { pid } of rows) {
    const ns = Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0])
    allCountedNs += ns - (countedNs.get(pid) ?? 0)
    countedNs.set(pid, ns)
  }
  return allCountedNs / 1e9
}

const clientOfPosts = new Agent({ connections: 2, keepAliveMaxTimeout: 60_000 })

/** What a delivery costs without anything around it: a POST over a connection that is open, with a token made for it or always the same. */
async function barePosts({ urls, rounds, isSigned }: Extract<Order, { kind: 'posts' }>): Promise<Report> {
  const signer = makeKeyPair('p256')
  const body = JSON.stringify({ space: 'x'.repeat(90), rev: 'x'.repeat(150) })
  const sign = () => {
    const input = `${toBase64Url('x'.repeat(30))}.${toBase64Url('x'.repeat(220))}`
    return `Bearer ${input}.${toBase64Url(signCompact(signer, utf8(input)))}`
  }
  const always = sign()
  const send = async (origin: string) => {
    const authorization = isSigned ? sign() : always
    const headers = { authorization, 'content-type': 'application/json' }
    const answer = await clientOfPosts.request({ origin, path: '/', method: 'POST', headers, body })
    await answer.body.dump()
  }
  await Promise.all(urls.map(send))
  const before = cpuSec()
  const begunMs = performance.now()
  for (let round = 0; round < rounds; round++) await Promise.all(urls.map(send))
  const wallSec = (performance.now() - begunMs) / 1_000
  return { kind: 'posts', cpuSec: cpuSec() - before, wallSec, count: urls.length * rounds }
}

/** Lanes in which something waits to be told, among all that stand. */
async function waiting(): Promise<Report> {
  const { rows } = await sql<{ lanes: number; registrations: number }>`select count(*)::int as registrations,
    (count(*) filter (where wanted_rev > delivered_rev))::int as lanes from registration`.execute(reeve.house.db)
  return { kind: 'waiting', ...(rows[0] ?? { lanes: Number.NaN, registrations: Number.NaN }) }
}

async function startProfile(): Promise<Report> {
  await inspector.post('Profiler.enable')
  await inspector.post('Profiler.setSamplingInterval', { interval: 250 })
  await inspector.post('Profiler.start')
  return { kind: 'profile' }
}

async function endProfile(): Promise<Report> {
  const { profile } = await inspector.post('Profiler.stop')
  await inspector.post('Profiler.disable')
  return { kind: 'profiled', shares: sharesOf(profile) }
}

async function atprotoOnly(requests: readonly Prepared[]): Promise<Report> {
  const exchange = await byAtprotoCrypto()
  const before = cpuSec()
  for (const request of requests) await exchange(request)
  return { kind: 'crypto', cpuSec: cpuSec() - before, count: requests.length }
}

/** Everything of a question by service auth that is cryptography or JSON, one after the other, with the key at hand. */
function verifiesOnly(tokens: readonly string[], didKey: string): Report {
  const key = parseDidKey(didKey)?.key
  const nowSec = systemClock.nowSec()
  const before = cpuSec()
  for (const token of tokens) {
    if (!key || !signatureHolds(parseServiceAuth(token, nowSec), key)) throw new Error('a token does not hold')
  }
  return { kind: 'crypto', cpuSec: cpuSec() - before, count: tokens.length }
}

/** What an answer costs when there is nothing behind it: Node's own HTTP, and no more. */
async function bareServer(): Promise<Report> {
  const server = createServer((_incoming, outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'application/json' })
    outgoing.end('{"authorized":true}')
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  server.unref()
  return { kind: 'bare', port: (server.address() as AddressInfo).port }
}

/** The verdict on questions of a PDS alone: everything that has to be loaded for them is there. */
async function decisionsOnly({ space, dids, rounds }: Extract<Order, { kind: 'decisions' }>): Promise<Report> {
  const name = parseSpaceUri(space)
  const known: AccessFacts[] = []
  for (const did of name ? dids : []) {
    const read = name && (await loadReadFacts(reeve.house, name, did))
    if (read?.space === 'live') known.push(read.facts)
  }
  let yes = 0
  const decideAll = () => {
    for (const [at, facts] of known.entries()) {
      const access = at % 2 === 0 ? 'read' : 'write'
      if (judgeHook(facts, { did: dids[at] as Did, access, clientId: null }).ok) yes += 1
    }
  }
  decideAll()
  const before = cpuSec()
  for (let round = 0; round < rounds; round++) decideAll()
  const spent = cpuSec() - before
  if (yes !== dids.length * (rounds + 1)) throw new Error('somebody was not let in')
  return { kind: 'crypto', cpuSec: spent, count: dids.length * rounds }
}

/** Everything of an exchange that is cryptography or JSON, one after the other, on one core. */
function cryptoOnly(requests: readonly Prepared[], url: string): Report {
  const signer = makeKeyPair('p256')
  const nowSec = systemClock.nowSec()
  const keys = new Map<string, PublicKey>()
  for (const { didKey } of requests) {
    const key = keys.get(didKey) ?? parseDidKey(didKey)?.key
    if (key) keys.set(didKey, key)
  }
  const before = cpuSec()
  for (const request of requests) {
    const { token, didKey, dpop, signatureInput, signature } = request
    const key = keys.get(didKey)
    const delegation = parseDelegation(token, nowSec)
    if (!key || !delegationSignatureHolds(delegation, key)) throw new Error('a token of the benchmark does not hold')
    const authorization = [`Bearer ${token}`]
    const cnf = dpop
      ? { jkt: verifyDpopProof({ proofs: [dpop], method: 'POST', url, nowSec, ath: 'absent' }).jkt }
      : {
          kid: verifyExchangeSignature({
            authorization,
            signatureInput: [signatureInput],
            signature: [signature],
            nowSec,
          }).holder,
        }
    const header = { typ: 'atproto-space-credential+jwt', alg: 'ES256', kid: '#atproto_space' }
    const payload = {
      iss: delegation.space.authority,
      sub: delegation.space.uri,
      cnf,
      iat: nowSec,
      exp: nowSec + 600,
      jti: delegation.jti,
    }
    const input = `${toBase64Url(JSON.stringify(header))}.${toBase64Url(JSON.stringify(payload))}`
    signCompact(signer, utf8(input))
  }
  return { kind: 'crypto', cpuSec: cpuSec() - before, count: requests.length }
}
