/** One Reeve in a process of its own with everything that a row needs around it: a directory, people, a community with two spaces, syncers. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Did, rosterOf, type SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { createOnServer, type EngineName } from '../test/kit/databases.ts'
import { exchangeOf, type Parts } from '../test/kit/exchange.ts'
import { type FakePlc, startFakePlc } from '../test/kit/fake-plc.ts'
import type { Deed } from '../test/kit/history.ts'
import { type OwnPostgres, startOwnPostgres } from '../test/kit/own-postgres.ts'
import { addressOf, makeSomebody, requestAs, type Somebody } from '../test/kit/people.ts'
import type { RawRequest } from '../test/kit/raw-request.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../test/kit/reeve-process.ts'
import { type Syncer, startSyncer } from '../test/kit/syncer.ts'
import { type Changes, freshJti, makeKey, type TestKey, thumbprintOf } from '../test/kit/tokens.ts'
import { type Binding, sendRaw } from '../test/kit/world.ts'
import { isUndecided, Recorder, type Says } from './record.ts'

export const clock = { ...systemClock, moveSec() {} }
export const R = 'community.reeve'
export const FORUM = 'com.atmoboards.forum'
const OWNERS = 3
const STEADY = 6
const MOVERS = 8
const SYNCERS = 2
const TRIES_MAX = 5
/** Longer than anything may take; whoever waits so long was not answered. */
export const PATIENCE_MS = 30_000

export interface Outcome {
  readonly status: number
  readonly says: Says
  // biome-ignore lint/suspicious/noExplicitAny: whoever asked knows what it should be
  readonly body: any
  readonly tookMs: number
}

/** One request over the wire, by the clock that never steps back. */
export interface Sent {
  readonly begunMs: number
  readonly endedMs: number
  readonly says: Says
}

export interface StageOptions {
  readonly engine: EngineName
  /** A server of its own, which may be stopped; its files `under` a folder, when that is given, or its log alone. */
  readonly ownServer?: { readonly under?: string; readonly logUnder?: string }
  /** The folder of the embedded database, in place of one that is made. */
  readonly dataDir?: string
  /** What stands between Reeve and its server. */
  readonly through?: (databaseUrl: string) => Promise<string>
  /** Several processes behind a proxy, in place of one that is started here. */
  readonly house?: (given: HouseGiven) => Promise<HouseOpened>
  readonly place?: Partial<Pick<ReevePlace, 'execArgv' | 'main'>>
  readonly environment?: Readonly<Record<string, string>>
}

export interface HouseGiven {
  readonly plcUrl: string
  readonly dataDir: string
  readonly environment: Readonly<Record<string, string>>
}

export interface HouseOpened {
  readonly databaseUrl: string
  readonly place: ReevePlace
  /** All of them, as those see them who ask: at one address. */
  readonly reeve: ReeveProcess
  close(): Promise<void>
}

export interface Stage {
  readonly engine: EngineName
  readonly place: ReevePlace
  readonly plc: FakePlc
  readonly own: OwnPostgres | null
  /** Where the database really is. Null: in `dataDir`. */
  readonly databaseUrl: string | null
  readonly dataDir: string
  readonly recorder: Recorder
  /** Every request that was sent, in the order in which they ended. */
  readonly sent: readonly Sent[]
  /** The process of now. */
  readonly reeve: ReeveProcess
  readonly community: Did
  readonly founder: Somebody
  readonly owners: readonly Somebody[]
  /** In both spaces from the first moment to the last. */
  readonly steady: readonly Somebody[]
  /** Who come and go. */
  readonly movers: readonly Somebody[]
  readonly hall: SpaceUri
  readonly yard: SpaceUri
  readonly syncers: readonly Syncer[]
  send(raw: RawRequest, from: Did): Promise<Outcome>
  /** Starts it again where it was, with other settings for once, and answers how long that took, in milliseconds. */
  restart(environment?: Readonly<Record<string, string>>): Promise<number>
  /** From its next start on it lives on another database. */
  moveTo(databaseUrl: string): void
  close(): Promise<void>
}

/** The answer to a request over a connection of its own: none is ever sent twice behind anybody's back. */
export async function sendTo(url: string, raw: RawRequest, from: Did): Promise<Outcome> {
  const begunMs = performance.now()
  const headers = [...(raw.headers ?? []), ['x-forwarded-for', addressOf(from)] as const]
  const late = AbortSignal.timeout(PATIENCE_MS)
  const waited = new Promise<never>((_, reject) => {
    late.addEventListener('abort', () => reject(Object.assign(new Error('late'), { code: 'LATE' })))
  })
  const answered = await Promise.race([sendRaw(url, { ...raw, headers }), waited]).catch(
    (error: NodeJS.ErrnoException) => ({ status: 0, body: { error: error.code ?? 'CUT' } }),
  )
  const { status, body } = answered
  const isOfProxy = /^the proxy /.test(body?.message ?? '')
  const says = status === 200 ? 'ok' : `${status} ${body?.error ?? ''}${isOfProxy ? ' of the proxy' : ''}`
  return { status, says, body, tookMs: performance.now() - begunMs }
}

export const callBy = (stage: Pick<Stage, 'reeve'>, person: Somebody, method: string, input: object): RawRequest =>
  requestAs(person, { ...stage.reeve, nowSec: clock.nowSec() }, `${R}.${method}`, input)

export const exchangeBy = (stage: Pick<Stage, 'reeve'>, person: Somebody, space: string, parts: Parts = {}) =>
  exchangeOf({ world: { url: stage.reeve.url, clock }, forum: space, bob: person }, parts)

/** One token, the key that it is shown with, and the request; it may be shown again. */
export interface Asked {
  readonly person: Pick<Somebody, 'did'>
  readonly space: SpaceUri
  readonly token: string
  readonly holder: string
  readonly raw: RawRequest
}

export function tokenOf(
  stage: Pick<Stage, 'reeve'>,
  person: Somebody,
  space: SpaceUri,
  { key = makeKey('p256'), binding = 'october', changes = {} }: Given = {},
): Asked {
  const token = freshJti()
  const raw = exchangeBy(stage, person, space, { binding, holder: key, jti: token, changes })
  return { person, space, token, holder: binding === 'august' ? thumbprintOf(key) : key.didKey, raw }
}

interface Given {
  readonly key?: TestKey
  readonly binding?: Binding
  readonly changes?: Changes
}

/** Shows a token, and writes down what came of it. */
export async function show(stage: Pick<Stage, 'recorder' | 'send'>, asked: Asked): Promise<Shown> {
  const { person, space, token, holder, raw } = asked
  const began = stage.recorder.begin()
  const outcome = await stage.send(raw, person.did)
  const issued = outcome.status === 200 ? jtiIn(String(outcome.body.credential)) : null
  stage.recorder.end(began, { op: 'exchange', space, did: person.did, token, holder, says: outcome.says, issued })
  return { ...outcome, issued }
}

export interface Shown extends Outcome {
  /** The name of the credential. */
  readonly issued: string | null
}

function jtiIn(credential: string): string {
  const { jti } = JSON.parse(Buffer.from(credential.split('.')[1] ?? '', 'base64url').toString())
  return String(jti)
}

export async function openStage(options: StageOptions): Promise<Stage> {
  const { engine, through = async (url) => url } = options
  const plc = await startFakePlc()
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'reeve-faults-')))
  const own = options.ownServer ? await startOwnPostgres(options.ownServer) : null
  const environment = {
    REEVE_LOG_LEVEL: 'info',
    // Each who loads it has an address of their own, so that the rates are those of production.
    REEVE_TRUSTED_PROXIES: '127.0.0.0/8,::1/128',
    ...options.environment,
  }
  const house = options.house ? await options.house({ plcUrl: plc.url, dataDir, environment }) : null
  const shared = engine === 'postgres' && !own && !house ? await createOnServer() : null
  let databaseUrl = house?.databaseUrl ?? own?.url.reveal() ?? shared?.url.reveal() ?? null
  const reached = databaseUrl === null ? {} : { databaseUrl: await through(databaseUrl) }
  let place: ReevePlace = house?.place ?? {
    ...(await reevePlace({ plcUrl: plc.url, dataDir, environment, ...reached })),
    ...options.place,
  }
  const recorder = new Recorder()
  const sent: Sent[] = []
  const crowd = (count: number) => Promise.all(Array.from({ length: count }, () => makeSomebody(plc.honestUrl)))
  const [owners, steady, movers] = await Promise.all([crowd(OWNERS), crowd(STEADY), crowd(MOVERS)])
  const [founder] = owners
  if (!founder) throw new Error('nobody')
  const syncers = await Promise.all(Array.from({ length: SYNCERS }, () => startSyncer()))
  let reeve = house?.reeve ?? (await startReeve(place))
  const about = {
    ...{ engine, plc, own, dataDir, recorder, sent, founder, owners, steady, movers, syncers },
    get reeve() {
      return reeve
    },
    get place() {
      return place
    },
    get databaseUrl() {
      return databaseUrl
    },
    async send(raw: RawRequest, from: Did) {
      const begunMs = performance.now()
      const outcome = await sendTo(reeve.url, raw, from)
      sent.push({ begunMs, endedMs: performance.now(), says: outcome.says })
      return outcome
    },
    async restart(environment: Readonly<Record<string, string>> = {}) {
      const begunMs = performance.now()
      reeve = await startReeve({ ...place, environment: { ...place.environment, ...environment } })
      return performance.now() - begunMs
    },
    moveTo(url: string) {
      databaseUrl = url
      place = { ...place, environment: { ...place.environment, DATABASE_URL: url } }
    },
    async close() {
      if (!reeve.hasEnded()) await reeve.kill()
      await Promise.all(syncers.map((syncer) => syncer.close()))
      await house?.close()
      await own?.drop()
      await shared?.drop()
      await plc.close()
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
    },
  }
  try {
    return Object.assign(about, await furnish(about))
  } catch (error) {
    await about.close()
    throw error
  }
}

type Bare = Pick<Stage, 'send' | 'reeve' | 'recorder' | 'founder' | 'owners' | 'steady'>

/** A community with its spaces and those who are in them all the time. @throws Error when anything is refused */
async function furnish(stage: Bare): Promise<Pick<Stage, 'community' | 'hall' | 'yard'>> {
  const { founder, owners, steady } = stage
  // On a machine that has too little of everything the first may not be answered in time.
  const must = async (method: string, input: object) => {
    const idempotencyKey = freshJti()
    for (let tries = 1; ; tries++) {
      const outcome = await stage.send(callBy(stage, founder, method, { ...input, idempotencyKey }), founder.did)
      if (outcome.status === 200) return outcome.body
      if (!isUndecided(outcome) || tries === TRIES_MAX)
        throw new Error(`${method}: ${outcome.says} ${JSON.stringify(outcome.body)}`)
    }
  }
  const custody = { $type: `${R}.community.mint#custodial` }
  const { did: community } = await must('community.mint', { name: 'Gardeners', custody })
  const make = async (skey: string): Promise<SpaceUri> => {
    const began = stage.recorder.begin()
    const { uri, revision } = await must('space.create', { community, spaceType: FORUM, skey })
    noteChange(stage.recorder, began, { does: 'make', space: uri }, community, revision)
    return uri
  }
  const put = async (space: SpaceUri, did: Did, role: string) => {
    const began = stage.recorder.begin()
    const { revision } = await must('member.put', { space, did, role })
    noteChange(stage.recorder, began, { does: 'put', space, did, role }, community, revision)
  }
  for (const { did } of owners.slice(1)) await put(rosterOf(community).uri, did, 'owner')
  const [hall, yard] = [await make('hall'), await make('yard')]
  for (const { did } of steady) for (const space of [hall, yard]) await put(space, did, 'member')
  return { community, hall, yard }
}

export function noteChange(recorder: Recorder, began: number, deed: Deed, community: Did, revision: number): void {
  recorder.end(began, { op: 'change', community, deed, key: freshJti(), earlier: [], says: 'ok', revision })
}

/** Waits for what has to happen by itself, and answers how long it took, in milliseconds, or null when it didn't. */
export async function timeUntil(look: () => Promise<boolean> | boolean, limitMs: number): Promise<number | null> {
  const begunMs = performance.now()
  while (!(await look())) {
    if (performance.now() - begunMs > limitMs) return null
    await sleep(10)
  }
  return performance.now() - begunMs
}
