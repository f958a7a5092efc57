/**
 * What happens at repo hosts when the key of an authority is replaced without any care, while somebody reads on and on: credentials that are
 * good are refused, and the old key is believed for as long as hosts remember the document. The same stage as for a replacement with care, so
 * that nobody can say that it sees nothing.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { engines, openTestDatabase } from '../kit/databases.ts'
import { inForce } from '../kit/handles.ts'
import { headOf, signed, submitOperation } from '../kit/people.ts'
import { CACHE_RULES } from '../kit/played-documents.ts'
import { copyOfKey, openRotationStage, plantKey, type RotationStage } from '../kit/rotation-stage.ts'
import { makeKey } from '../kit/tokens.ts'

/** Between two visits of the thief. */
const THEFT_EVERY_SEC = 300

let stage: RotationStage

beforeAll(async () => {
  stage = await openRotationStage(await openTestDatabase(engines().at(-1) ?? 'embedded'))
})
afterAll(() => stage.close())

it('a key that is swapped at once has good credentials refused, and is believed by hosts for as long as they remember it', {
  timeout: 600_000,
}, async () => {
  const { scene, holder } = stage
  const { world, plc, community } = scene
  await stage.steps(600)
  await stage.steal('space')
  expect(stage.thefts.every(({ verdict }) => verdict === '200')).toBe(true)
  expect(holder.refused).toEqual([])
  expect(await stage.rotation()).toBeNull()

  const rotation = await copyOfKey(world, community, 'rotation')
  const { sig: _, ...operation } = await inForce(plc, community)
  const next = makeKey('p256')
  const verificationMethods = { ...operation.verificationMethods, atproto_space: next.didKey }
  const changed = { ...operation, verificationMethods, prev: await headOf(plc.honestUrl, community) }
  await submitOperation(plc.honestUrl, community, signed(rotation, changed))
  await plantKey(world, community, 'space', next)
  expect((await stage.published()).atproto_space).toBe(next.didKey)
  const swappedMs = world.clock.nowMs()

  await stage.steps(600)
  expect(holder.refused.length).toBeGreaterThan(0)
  expect(new Set(holder.refused.map(({ verdict }) => verdict))).toEqual(new Set(['401 BadJwtSignature']))

  for (let passed = 0; passed < 2 * 3600; passed += THEFT_EVERY_SEC) {
    await stage.steal('space')
    world.clock.moveSec(THEFT_EVERY_SEC)
  }
  const last = (cache: keyof typeof CACHE_RULES, isAlone: boolean) =>
    stage.lastTaken({ purpose: 'space', cache, isAlone }, swappedMs)
  // A host that hears of nobody else looks again when its hour is over, and serves once more while it does.
  expect(last('reference', true)).toBeGreaterThan(CACHE_RULES.reference.freshMs - 900_000)
  expect(last('reference', true)).toBeLessThanOrEqual(CACHE_RULES.reference.freshMs + THEFT_EVERY_SEC * 1000)
  // Whoever was shown a credential by the new key has looked again then. The others had done so before the thief came.
  for (const [cache, isAlone] of [
    ['reference', false],
    ['modest', false],
    ['modest', true],
  ] as const)
    expect(last(cache, isAlone)).toBeNull()
})
