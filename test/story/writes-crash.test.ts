/**
 * People write, a reader pages, syncers listen; meanwhile Reeve's process is ended with SIGKILL and the database server is crashed and
 * restarted under it. Everything over real sockets, by the methods that others call.
 *
 * What was answered with 200 is never lost, no space revision is given twice or falls, and in the end every syncer has heard of the newest
 * revision of every repo. Whoever writes does as a repo host does: what was not taken is sent again, with the newest revision.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { SpaceUri } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { exchangeOf } from '../kit/exchange.ts'
import { hasOwnPostgres, type OwnPostgres, startOwnPostgres } from '../kit/own-postgres.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type Held, presentationOf } from '../kit/presentation.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { REGISTER } from '../kit/registering.ts'
import { type Syncer, startSyncer } from '../kit/syncer.ts'
import { makeKey } from '../kit/tokens.ts'
import { historyOf } from '../kit/told-history.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, sendRaw } from '../kit/world.ts'
import { freshRev, writeOf } from '../kit/writers.ts'

const KILLS = Number(process.env['REEVE_TEST_KILLS'] ?? 4)
const SPACES = 3
const WRITERS = 5
const SYNCERS = 3
/** Between one write of somebody and their next. */
const WRITE_PAUSE_MS = 40
/** As many troubles of the database: two crashes for one orderly restart. */
const TROUBLES = ['crash', 'restart', 'crash'] as const

/** A write that was answered with 200. */
interface Taken {
  readonly space: string
  readonly repo: string
  readonly repoRev: string
}

interface Stage {
  reeve: ReeveProcess
  readonly place: ReevePlace
  readonly postgres: OwnPostgres
  readonly people: readonly Somebody[]
  readonly spaces: readonly string[]
  readonly syncers: readonly Syncer[]
  readonly taken: Taken[]
  /** Statuses other than 200 by which writes were answered, and how often; 0: by nothing. */
  readonly refused: Map<number, number>
  /** Nobody begins another write. */
  isOver: boolean
  /** Nor is one under way. */
  isWritten: boolean
  /** The test is over, however it ended. */
  isClosed: boolean
}

const worldOf = ({ reeve }: Pick<Stage, 'reeve'>) => ({ url: reeve.url, clock: systemClock as never })

/** The answer, or null when there was none: the process or its database is away. */
const sent = (stage: Stage, request: Parameters<typeof sendRaw>[1]): Promise<Answer | null> =>
  sendRaw(stage.reeve.url, request).catch(() => null)

/** Writes on and on, in one space after the other, until it is over. */
async function keepWriting(stage: Stage, writer: Somebody, first: number): Promise<void> {
  for (let at = first; !stage.isOver; at++) {
    const space = stage.spaces[at % SPACES] ?? ''
    // Until it is taken: by then the repo has moved on, so it is the newest revision that is sent again.
    for (;;) {
      const repoRev = freshRev(systemClock.nowMs())
      const answer = await sent(stage, writeOf({ clock: systemClock }, { writer, space, rev: repoRev }))
      if (answer?.status === 200) {
        stage.taken.push({ space, repo: writer.did, repoRev })
        break
      }
      const status = answer?.status ?? 0
      stage.refused.set(status, (stage.refused.get(status) ?? 0) + 1)
      if (stage.isOver) return
      await sleep(100)
    }
    await sleep(WRITE_PAUSE_MS)
  }
}

/** A credential for a space, once there is somebody to give one. */
const credentialOf = (stage: Stage, person: Somebody, space: string): Promise<Held> =>
  eventually('a credential is given', async () => {
    const holder = makeKey('p256')
    const scene = { world: worldOf(stage), forum: space, bob: person }
    const answer = await sent(stage, exchangeOf(scene, { space, holder }))
    if (answer?.status !== 200) return null
    return { credential: String(answer.body.credential), holder, binding: 'october', space }
  })

interface Row {
  readonly did: string
  readonly repoRev: string
  readonly spaceRev: string
}

/** Pages through a space from its own checkpoint, until everything is written and nothing more comes. Everything it was ever shown, in order. */
async function keepReading(stage: Stage, space: string): Promise<readonly Row[]> {
  const seen: Row[] = []
  const person = stage.people[0]
  if (!person) throw new Error('nobody')
  let held = await credentialOf(stage, person, space)
  let cursor = ''
  for (;;) {
    const wasWritten = stage.isWritten
    const request = presentationOf(worldOf(stage), held)
    const query = new URLSearchParams({ space, limit: '3', ...(cursor === '' ? {} : { cursor }) })
    const answer = await sent(stage, { ...request, path: `/xrpc/com.atproto.space.listRepos?${query}` })
    if (answer?.status === 401) held = await credentialOf(stage, person, space)
    const page: readonly Row[] = answer?.status === 200 ? answer.body.repos : []
    seen.push(...page)
    if (answer?.body?.cursor) cursor = answer.body.cursor
    if (stage.isClosed || (wasWritten && answer?.status === 200 && page.length === 0)) return seen
    await sleep(30)
  }
}

async function openStage(plcUrl: string, postgres: OwnPostgres, dataDir: string): Promise<Stage> {
  const place = await reevePlace({ plcUrl, dataDir, databaseUrl: postgres.url.reveal() })
  const reeve = await startReeve(place)
  const people = await Promise.all(Array.from({ length: WRITERS }, () => makeSomebody(plcUrl)))
  const [alice, ...others] = people
  if (!alice) throw new Error('nobody')
  const call = async (method: string, input: object) => {
    const { status, body } = await callAs(alice, { ...reeve, nowSec: systemClock.nowSec() }, method, input)
    if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(body)}`)
    return body
  }
  const custody = { $type: 'community.reeve.community.mint#custodial' }
  const { did: community } = await call('community.reeve.community.mint', { name: 'Gardeners', custody })
  const spaces: string[] = []
  for (let count = 0; count < SPACES; count++) {
    const input = { community, spaceType: 'com.atmoboards.forum', skey: `forum-${count}` }
    const { uri } = await call('community.reeve.space.create', input)
    for (const { did } of others) await call('community.reeve.member.put', { space: uri, did, role: 'member' })
    spaces.push(uri)
  }
  const syncers = await Promise.all(Array.from({ length: SYNCERS }, () => startSyncer()))
  const stage: Stage = {
    ...{
      reeve,
      place,
      postgres,
      people,
      spaces,
      syncers,
      taken: [],
      refused: new Map(),
      isOver: false,
      isWritten: false,
      isClosed: false,
    },
  }
  for (const [nth, syncer] of syncers.entries()) {
    for (const space of spaces) {
      const person = people[nth]
      if (!person) throw new Error('too few people')
      const held = await credentialOf(stage, person, space)
      const body = { space, service: syncer.service }
      const answer = await sent(stage, presentationOf(worldOf(stage), held, { procedure: { nsid: REGISTER, body } }))
      expect(answer?.status).toBe(200)
    }
  }
  return stage
}

/** One trouble after the other, each once something was written and told since the one before. */
async function troubles(stage: Stage): Promise<void> {
  const told = () => stage.syncers.reduce((sum, syncer) => sum + syncer.told.length, 0)
  const all = [...Array.from({ length: KILLS }, () => 'kill' as const), ...TROUBLES]
  for (const [nth, trouble] of all.toSorted((one, other) => one.length - other.length).entries()) {
    const before = { taken: stage.taken.length, told: told() }
    await eventually(
      `it goes on after trouble ${nth}`,
      async () => stage.taken.length > before.taken + 20 && told() > before.told + 20,
      120_000,
    )
    await sleep(Math.random() * 300)
    if (trouble === 'kill') {
      await stage.reeve.kill()
      stage.reeve = await startReeve(stage.place)
    } else await stage.postgres[trouble]()
  }
}

const longEnough = { timeout: 480_000 + KILLS * 60_000 }

it.runIf(hasOwnPostgres)(
  `writes live through ${KILLS} ends by SIGKILL and ${TROUBLES.length} of the server`,
  longEnough,
  async () => {
    const plc = await startPlcServer()
    const dataDir = await mkdtemp(join(tmpdir(), 'reeve-writes-'))
    const postgres = await startOwnPostgres()
    const stage = await openStage(plc.url, postgres, dataDir)
    try {
      const reading = Promise.all(stage.spaces.map((space) => keepReading(stage, space)))
      const writing = Promise.all(stage.people.map((writer, at) => keepWriting(stage, writer, at)))
      await troubles(stage)
      stage.isOver = true
      await writing
      stage.isWritten = true
      const seenBySpace = await reading
      // What was not taken was never refused for good: after these a repo host sends it again, also when it was told to slow down.
      for (const status of stage.refused.keys()) expect([0, 429, 500, 502, 503, 504]).toContain(status)
      expect(stage.refused.get(500) ?? 0).toBe(0)

      for (const [nth, space] of stage.spaces.entries()) {
        const seen = seenBySpace[nth] ?? []
        const newest = new Map(seen.map(({ did, repoRev, spaceRev }) => [did, { repoRev, spaceRev }]))
        const places = seen.map(({ spaceRev }) => spaceRev)
        expect(places).toEqual([...new Set(places)].toSorted())
        for (const { repo, repoRev } of stage.taken.filter((one) => one.space === space)) {
          expect((newest.get(repo)?.repoRev ?? '') >= repoRev, `${repo} at ${repoRev}`).toBe(true)
        }
        for (const syncer of stage.syncers) {
          await eventually(
            'every syncer has heard of everything',
            async () => {
              const heard = historyOf(syncer.told, space as SpaceUri).newest
              return [...newest].every(([repo, { repoRev }]) => heard.get(repo)?.repoRev === repoRev)
            },
            120_000,
          )
          const { gaps, falls } = historyOf(syncer.told, space)
          expect({ gaps, falls }).toEqual({ gaps: 0, falls: 0 })
        }
        // One place in the order is one write, whoever was told of it, and by whichever process.
        const meanings = new Map(seen.map(({ did, repoRev, spaceRev }) => [spaceRev, `${did} ${repoRev}`]))
        for (const { body } of stage.syncers.flatMap(({ told }) => told)) {
          if (body.space !== space) continue
          const meaning = meanings.get(body.spaceRev) ?? `${body.repo} ${body.repoRev}`
          expect(`${body.repo} ${body.repoRev}`).toBe(meaning)
          meanings.set(body.spaceRev, meaning)
        }
      }
      expect(stage.taken.length).toBeGreaterThan((KILLS + TROUBLES.length) * 20)
      await eventually('it ends when asked', async () => (await stage.reeve.stop()) === 0)
    } finally {
      stage.isOver = true
      stage.isClosed = true
      await stage.reeve.kill()
      await Promise.all(stage.syncers.map((syncer) => syncer.close()))
      await postgres.drop()
      await plc.close()
      await rm(dataDir, { recursive: true, force: true })
    }
  },
)
