/**
 * A community's keys are replaced while somebody reads on and on: no host of any kind refuses a credential that is good at any moment, and a copy
 * of a key from before is believed nowhere for longer than hosts remember the document.
 */
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { hasPostgres, openTestDatabase } from '../kit/databases.ts'
import { CACHE_RULES } from '../kit/played-documents.ts'
import { playRepoHost } from '../kit/played-repo-host.ts'
import { forge, jtiOf } from '../kit/presentation.ts'
import { openRotationStage, type RotationStage } from '../kit/rotation-stage.ts'

const ROTATE = 'community.reeve.key.rotate'
/** Between two visits of the thief. */
const THEFT_EVERY_SEC = 300
const DAY_MS = 24 * 3_600_000
/** Before the swap and after it the other key signs for so long: what hosts remember modestly, and the life of a credential. */
const ASIDE_SEC = 300 + 600
const PATIENCE_SEC = 4 * 3_600

const longEnough = { timeout: 600_000 }

// The steps themselves are shown on both engines; hours of load on one.
describe('replacing keys under load', () => {
  let stage: RotationStage
  const stages: RotationStage[] = []

  beforeEach(async () => {
    stage = await openRotationStage(await openTestDatabase(hasPostgres ? 'postgres' : 'embedded'))
    stages.push(stage)
  })
  afterAll(() => Promise.all(stages.map((one) => one.close())))

  const ask = (more: object) =>
    stage.scene.alice.call(ROTATE, { community: stage.scene.community, reason: 'scheduled', ...more })

  const kidsAlive = () => new Set(stage.holder.living().map(({ credential }) => headerOf(credential).kid as string))

  /** Goes on until the document names another key; answers when, in milliseconds, and with which keys living credentials were signed then. */
  async function untilSwapped(name: 'atproto' | 'atproto_space', since: number, was?: string) {
    const { clock } = stage.scene.world
    const before = was ?? (await stage.published())[name]
    const isLate = () => clock.nowMs() > since + PATIENCE_SEC * 1000
    while ((await stage.published())[name] === before) {
      if (isLate()) throw new Error('nothing was swapped')
      await stage.step()
    }
    return { atMs: clock.nowMs(), alive: kidsAlive() }
  }

  async function untilDone() {
    const { clock } = stage.scene.world
    const since = clock.nowMs()
    for (let row = await stage.rotation(); row?.step !== 'done'; row = await stage.rotation()) {
      if (row?.step === 'refused' || clock.nowMs() > since + PATIENCE_SEC * 1000)
        throw new Error(`it ended: ${row?.fault}`)
      await stage.step()
    }
  }

  it(
    'the space key: nobody who reads is refused, and the other key signs before and after the swap for as long as it has to',
    longEnough,
    async () => {
      const { holder, stolen, scene } = stage
      const { clock } = scene.world
      await stage.steps(900)
      const askedMs = clock.nowMs()
      expect((await ask({ purposes: ['space'] })).status).toBe(200)

      const swap = await untilSwapped('atproto_space', askedMs)
      expect(swap.atMs - askedMs).toBeGreaterThanOrEqual(ASIDE_SEC * 1000)
      // Nothing that the old key signed is alive when the document stops naming it.
      expect(swap.alive).toEqual(new Set(['#atproto']))
      expect((await stage.published()).atproto).toBe(stolen.atproto.didKey)

      await untilDone()
      const firstOfNew = () => holder.living().find(({ credential }) => headerOf(credential).kid === '#atproto_space')
      while (!firstOfNew()) await stage.step()
      const first = firstOfNew()
      if (!first) throw new Error('none')
      const { iat } = claimsOf(first.credential)
      expect(iat * 1000 - swap.atMs).toBeGreaterThanOrEqual((ASIDE_SEC - 120) * 1000)
      await stage.steps(1_800)
      expect(holder.refused).toEqual([])
      for (const kid of ['#atproto', '#atproto_space']) expect(holder.shown().get(kid)).toBeGreaterThan(100)
    },
  )

  it(
    'what a copy of the old space key signs is believed for as long as hosts remember the document, and no longer',
    longEnough,
    async () => {
      const { scene, holder, stolen } = stage
      const { clock } = scene.world
      const hostOf = () =>
        playRepoHost({ plcUrl: scene.plc.honestUrl, clock, generation: 'october', cache: 'reference' })
      const forged = () => forge(scene, stolen.space, { binding: 'october' })
      await stage.steps(300)
      const askedMs = clock.nowMs()
      expect((await ask({ purposes: ['space'] })).status).toBe(200)
      // Hosts that look just before the swap, and then sleep.
      const sleepers = [hostOf(), hostOf()]
      let lookedMs = 0
      const before = (await stage.published()).atproto_space
      while ((await stage.published()).atproto_space === before) {
        if (clock.nowMs() > askedMs + PATIENCE_SEC * 1000) throw new Error('nothing was swapped')
        lookedMs = clock.nowMs()
        for (const one of sleepers) await one.documents.resolve(scene.community, true)
        await stage.steal('space')
        await stage.step()
      }
      const swappedMs = clock.nowMs()
      for (let passed = 0; passed < 2 * 3_600; passed += THEFT_EVERY_SEC) {
        await stage.steal('space')
        await stage.steps(THEFT_EVERY_SEC)
      }
      await untilDone()
      await stage.steal('space')
      for (const isAlone of [true, false]) {
        for (const cache of ['reference', 'modest'] as const) {
          const last = stage.lastTaken({ purpose: 'space', cache, isAlone }, swappedMs) ?? 0
          expect(last, `${cache}, ${isAlone}`).toBeLessThanOrEqual(CACHE_RULES[cache].freshMs + THEFT_EVERY_SEC * 1000)
        }
      }
      expect(stage.thefts.slice(-8).map(({ verdict }) => verdict)).toEqual(Array(8).fill('401 BadJwtSignature'))

      const [early, late] = sleepers
      clock.moveSec(Math.floor((lookedMs + DAY_MS - clock.nowMs()) / 1000))
      // A day is the most: a host that was asked nothing since serves once by what it remembers, and looks again.
      expect(await early?.read(forged())).toBe('200')
      await early?.documents.settled()
      expect(await early?.read(forged())).toBe('401 BadJwtSignature')
      clock.moveSec(1)
      expect(await late?.read(forged())).toBe('401 BadJwtSignature')
      expect(holder.refused).toEqual([])
    },
  )

  it('the atproto key: it is swapped when nothing that it signed is alive any more', longEnough, async () => {
    const { holder, stolen, scene } = stage
    await stage.steps(600)
    expect((await ask({ purposes: ['atproto'] })).status).toBe(200)
    const swap = await untilSwapped('atproto', scene.world.clock.nowMs(), stolen.atproto.didKey)
    expect(swap.alive).toEqual(new Set(['#atproto_space']))
    await untilDone()
    await stage.steps(1_200)
    expect(holder.refused).toEqual([])
    expect((await stage.published()).atproto_space).toBe(stolen.space.didKey)
  })

  it('the rotation key: nobody who reads notices, and the other two stay', longEnough, async () => {
    const { holder, stolen } = stage
    await stage.steps(600)
    expect((await ask({ purposes: ['rotation'] })).status).toBe(200)
    await untilDone()
    await stage.steps(1_200)
    expect(holder.refused).toEqual([])
    expect(await stage.published()).toMatchObject({
      atproto: stolen.atproto.didKey,
      atproto_space: stolen.space.didKey,
    })
  })

  describe('and what doesn’t swap anything', () => {
    it('a dry run leaves everything as it is', longEnough, async () => {
      const before = await stage.published()
      expect((await ask({ purposes: ['space'], dryRun: true })).status).toBe(200)
      await stage.steps(ASIDE_SEC + 1_200)
      expect(await stage.published()).toEqual(before)
      expect(await stage.rotation()).toBeNull()
      expect(stage.holder.refused).toEqual([])
      expect(kidsAlive()).toEqual(new Set(['#atproto_space']))
    })

    it('the same call again is the same replacement', longEnough, async () => {
      const call = { purposes: ['space'], idempotencyKey: 'once' }
      const [one, two] = [await ask(call), await ask(call)]
      expect([one.status, two.status]).toEqual([200, 200])
      expect(two.body).toEqual(one.body)
      await untilSwapped('atproto_space', stage.scene.world.clock.nowMs())
      await untilDone()
      const log = (await (await fetch(`${stage.scene.plc.honestUrl}/${stage.scene.community}/log`)).json()) as unknown[]
      expect(log).toHaveLength(2)
      expect(stage.holder.refused).toEqual([])
    })
  })

  it(
    'after a leak nobody waits: what the old key signed is refused where somebody has looked, and nothing else is',
    longEnough,
    async () => {
      const { holder, scene } = stage
      await stage.steps(600)
      const alive = holder.living().map(jtiOf)
      expect(alive.length).toBeGreaterThan(0)
      const was = (await stage.published()).atproto_space
      expect((await ask({ purposes: ['space'], reason: 'leak' })).status).toBe(200)
      await untilSwapped('atproto_space', scene.world.clock.nowMs(), was)
      await untilDone()
      await stage.steps(1_200)
      expect(holder.refused.length).toBeGreaterThan(0)
      expect(holder.refused.filter(({ jti }) => !alive.includes(jti))).toEqual([])
      // Hosts know the new key by now, and what it signs is good everywhere.
      expect(holder.living().map(jtiOf)).not.toEqual(alive)
    },
  )
})

const partOf = (credential: string, at: 0 | 1) =>
  JSON.parse(Buffer.from(credential.split('.')[at] ?? '', 'base64url').toString())
const headerOf = (credential: string): { kid: string } => partOf(credential, 0)
const claimsOf = (credential: string): { iat: number; exp: number } => partOf(credential, 1)
