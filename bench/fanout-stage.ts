/**
 * What fan-out is measured on: Reeve in a process of its own, a thousand receivers in another, a community with a space for each number of
 * receivers, and everybody registered.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/platform/clock.ts'
import { callAs, makeSomebody, type Somebody } from '../test/kit/people.ts'
import { startPlcServer } from '../test/kit/plc.ts'
import { freePort } from '../test/kit/ports.ts'
import { sendRaw } from '../test/kit/raw-request.ts'
import { makeDelegation, makeKey, makeSpaceSignature } from '../test/kit/tokens.ts'
import { spaceOf } from '../test/kit/world.ts'
import { freshRev, writeOf } from '../test/kit/writers.ts'
import type { Arrival, ReceiverOrder, ReceiverReport } from './receivers.ts'
import type { Order, Report } from './served.ts'

/** Each person may register so many services in one space. */
const PER_PERSON = 3
const WAIT_MS = 120_000

/** A space, and how many receivers hear of it: the first of them. */
export interface Told {
  readonly space: string
  readonly receivers: number
}

export interface Stage {
  readonly url: string
  readonly child: ChildProcess
  readonly receivers: ChildProcess
  readonly ports: readonly number[]
  readonly people: readonly Somebody[]
  /** By the number of receivers. */
  readonly toldOf: (receivers: number) => Told
}

export type CreateDatabase = (what: string) => Promise<{ url: string; drop(): Promise<void> }>

/** Sets it up, has it measured, and clears it away. `counts`: for each, a space with so many receivers; in the largest ones everybody is a member. */
export async function onStage<T>(
  engine: 'postgres' | 'embedded',
  createDatabase: CreateDatabase,
  counts: readonly number[],
  measure: (stage: Stage) => Promise<T>,
): Promise<T> {
  const plc = await startPlcServer()
  const folder = await mkdtemp(join(tmpdir(), 'reeve-bench-'))
  const database = engine === 'postgres' ? await createDatabase('fanout') : null
  const port = await freePort()
  const url = `http://localhost:${port}`
  const many = Math.max(...counts)
  const receivers = fork(new URL('receivers.ts', import.meta.url), [String(many)])
  const child = fork(new URL('served.ts', import.meta.url), {
    env: {
      PATH: process.env['PATH'],
      REEVE_PUBLIC_URL: url,
      REEVE_PORT: String(port),
      REEVE_DATA_DIR: folder,
      REEVE_PLC_URL: plc.url,
      REEVE_ALLOW_LOOPBACK: '1',
      ...(database ? { DATABASE_URL: database.url } : {}),
    },
  })
  try {
    const [{ ports }] = await Promise.all([readyReceivers(receivers), nextReport(child)])
    const people = await Promise.all(
      Array.from({ length: Math.ceil(many / PER_PERSON) + 1 }, () => makeSomebody(plc.url)),
    )
    const told = await furnish({ url, port, people }, counts)
    const toldOf = (count: number): Told => {
      const found = told.find((one) => one.receivers === count)
      if (!found) throw new Error(`no space with ${count} receivers`)
      return found
    }
    const stage: Stage = { url, child, receivers, ports, people, toldOf }
    for (const one of told) await registerAll(stage, one)
    return await measure(stage)
  } finally {
    child.send({ kind: 'end' } satisfies Order)
    receivers.send({ kind: 'end' } satisfies ReceiverOrder)
    await Promise.all([once(child, 'exit'), once(receivers, 'exit')])
    await plc.close()
    await database?.drop()
    await rm(folder, { recursive: true, force: true })
  }
}

type Furnishing = Pick<Stage, 'url' | 'people'> & { readonly port: number }

/** A community with a space for each count. Everybody is a member of it, or as many as its receivers need, and as write there. */
async function furnish({ url, port, people }: Furnishing, counts: readonly number[]): Promise<readonly Told[]> {
  const [founder, ...others] = people
  if (!founder) throw new Error('nobody')
  const call = async (method: string, input: object) => {
    const at = { url, serviceDid: `did:web:localhost%3A${port}`, nowSec: systemClock.nowSec() }
    const answer = await callAs(founder, at, method, input)
    if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  const custody = { $type: 'community.reeve.community.mint#custodial' }
  const { did } = await call('community.reeve.community.mint', { name: 'Bench', custody })
  const told: Told[] = []
  for (const receivers of counts) {
    const skey = `of-${receivers}`
    const made = await call('community.reeve.space.create', { community: did, spaceType: 'com.atmoboards.forum', skey })
    for (const other of others.slice(0, Math.max(WRITERS, Math.ceil(receivers / PER_PERSON))))
      await call('community.reeve.member.put', { space: made.uri, did: other.did, role: 'member' })
    told.push({ space: made.uri, receivers })
  }
  return told
}

/** So many people write in each space, the second of all and those after. */
export const WRITERS = 100

/** Every receiver is registered by somebody, with a credential of theirs. */
async function registerAll({ url, people, ports }: Stage, { space, receivers }: Told): Promise<void> {
  for (let at = 0; at < receivers; at += PER_PERSON) {
    const person = people[at / PER_PERSON + 1]
    if (!person) throw new Error('too few people')
    const holder = makeKey('p256')
    const nowSec = systemClock.nowSec()
    const name = spaceOf(space)
    const bearer = `Bearer ${makeDelegation({ key: person.key, iss: person.did, space: name, nowSec })}`
    const proof = makeSpaceSignature({ key: holder, authorization: bearer })
    const { credential } = await post(url, 'com.atproto.space.getSpaceCredential', { space }, [
      ['authorization', bearer],
      ['signature-input', proof.signatureInput],
      ['signature', proof.signature],
    ])
    const authorization = `Atproto-Space ${credential}`
    const shown = makeSpaceSignature({ key: holder, authorization, audience: name.authority })
    for (const port of ports.slice(at, Math.min(receivers, at + PER_PERSON))) {
      const service = `did:web:localhost%3A${port}#sync`
      await post(url, 'com.atproto.space.registerNotify', { space, service }, [
        ['authorization', authorization],
        ['atproto-space-audience', name.authority],
        ['signature-input', shown.signatureInput],
        ['signature', shown.signature],
      ])
    }
  }
}

async function post(url: string, method: string, body: object, headers: [string, string][]) {
  const answer = await sendRaw(url, {
    method: 'POST',
    path: `/xrpc/${method}`,
    headers: [...headers, ['content-type', 'application/json']],
    body: JSON.stringify(body),
  })
  if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer.body)}`)
  return answer.body
}

/** What the receivers count of a request, too: its body, and by whom it is. */
const bytesOf = ({ headers, body }: ReturnType<typeof writeOf>): number =>
  (body?.length ?? 0) + (headers?.find(([name]) => name === 'authorization')?.[1].length ?? 0)

/** One write, by one of those who may write there; when it was sent, and how long its answer took. */
export async function writeOnce({ url, people }: Stage, space: string, who: number) {
  const writer = people[1 + (who % Math.min(WRITERS, people.length - 1))]
  if (!writer) throw new Error('nobody')
  const rev = freshRev(systemClock.nowMs())
  const request = writeOf({ clock: systemClock }, { writer, space, rev })
  const sentMs = performance.timeOrigin + performance.now()
  const answer = await sendRaw(url, request)
  if (answer.status !== 200) throw new Error(`notifyWrite: ${JSON.stringify(answer.body)}`)
  return {
    rev,
    repo: writer.did,
    sentMs,
    waitedMs: performance.timeOrigin + performance.now() - sentMs,
    bytes: bytesOf(request),
  }
}

/** What came, once `enough` says so. */
export async function arrivals({ receivers }: Stage, enough: (some: readonly Arrival[]) => boolean) {
  const all: Arrival[] = []
  let bytes = 0
  const endMs = performance.now() + WAIT_MS
  for (;;) {
    const report = await askReceivers(receivers, { kind: 'collect' })
    if (report.kind !== 'collected') throw new Error('another report')
    all.push(...report.arrivals)
    bytes += report.bytes
    if (enough(all)) return { all, bytes }
    if (performance.now() > endMs) throw new Error(`${all.length} arrivals, and no more`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** What was heard has been written down as well, which belongs to its cost. */
export async function untilNothingWaits({ child }: Stage): Promise<void> {
  for (;;) {
    const report = await askServed(child, { kind: 'waiting' })
    if (report.kind !== 'waiting') throw new Error('another report')
    if (report.lanes === 0) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** What a POST to each of the receivers takes when there is nothing around it. */
export async function barePosts({ child, ports }: Stage, isSigned: boolean) {
  const urls = ports.map((port) => `http://localhost:${port}`)
  const report = await askServed(child, { kind: 'posts', urls, rounds: 2, isSigned })
  if (report.kind !== 'posts') throw new Error('another report')
  return { perCpuSec: report.count / report.cpuSec, allMs: (report.wallSec / report.count) * 1_000 * ports.length }
}

/** One write, and how long it took to each of those who count, sorted. */
export async function tellAll(
  stage: Stage,
  { space, receivers }: Told,
  who: number,
  counts: (receiver: number) => boolean = () => true,
): Promise<readonly number[]> {
  const { rev, sentMs } = await writeOnce(stage, space, who)
  const isOfIt = (arrival: Arrival) => arrival[2] === rev && counts(arrival[0])
  const most = Array.from({ length: receivers }, (_, at) => at).filter(counts).length
  const { all } = await arrivals(stage, (some) => some.filter(isOfIt).length >= most)
  return all
    .filter(isOfIt)
    .map(([, , , atMs]) => atMs - sentMs)
    .toSorted((a, b) => a - b)
}

/** Processor time so far, in seconds: of the process, and of the database server. */
export async function cpuOf({ child }: Stage): Promise<{ process: number; database: number }> {
  const report = await askServed(child, { kind: 'cpu' })
  if (report.kind !== 'cpu') throw new Error('another report')
  return { process: report.cpuSec, database: report.databaseSec }
}

export async function askServed(child: ChildProcess, order: Order): Promise<Report> {
  const answered = nextReport(child)
  child.send(order)
  return answered
}

export async function askReceivers(child: ChildProcess, order: ReceiverOrder): Promise<ReceiverReport> {
  const answered = once(child, 'message')
  child.send(order)
  const [report] = await answered
  return report
}

async function nextReport(child: ChildProcess): Promise<Report> {
  const [report] = await once(child, 'message')
  return report
}

async function readyReceivers(child: ChildProcess) {
  const [report] = (await once(child, 'message')) as [ReceiverReport]
  if (report.kind !== 'ready') throw new Error('another report')
  return report
}
