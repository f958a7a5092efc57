/** Ceremonies in which several people act at once, at two processes over one database: each thing happens once. */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keyGet } from '../../src/community/keyGet.ts'
import { keyPropose } from '../../src/community/keyPropose.ts'
import { keySubmitShare } from '../../src/community/keySubmitShare.ts'
import { givenHashOf } from '../../src/keys/ceremony-statements.ts'
import { silentLog } from '../../src/platform/log.ts'
import { openReeve, type Reeve } from '../../src/reeve.ts'
import { Refusal } from '../../src/refusals.ts'
import {
  acknowledge,
  type CeremonyWorld,
  type Circle,
  ceremonyRows,
  dealFor,
  didsOf,
  giveDeal,
  type Keeper,
  must,
  openCeremonyWorld,
  PROPOSE,
  proposed,
  proposeSplit,
  type Shown,
  say,
  sealed,
  signedAct,
} from '../kit/ceremonies.ts'
import { hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { honestLog } from '../kit/fake-plc.ts'
import { stepUpOf } from '../kit/keepers.ts'
import { freePort } from '../kit/ports.ts'

describe.runIf(hasPostgres)('a ceremony at two processes', () => {
  let database: TestDatabase
  let hers: CeremonyWorld
  let other: Reeve
  beforeAll(async () => {
    database = await openTestDatabase('postgres')
    hers = await openCeremonyWorld(database)
    const config = { ...hers.world.config, port: await freePort() }
    other = await openReeve(config, { clock: hers.world.clock, log: silentLog, database })
  })
  afterAll(async () => {
    await hers.close()
  })

  const houses = () => [hers.world.reeve.house, other.house]
  const codeOf = (settled: PromiseSettledResult<unknown>): string => {
    if (settled.status === 'fulfilled') return 'done'
    return settled.reason instanceof Refusal ? settled.reason.code : String(settled.reason)
  }
  const callOf = { requestHash: new Uint8Array(32), idempotency: null }

  it('begins once, of two that are proposed at the same time', async () => {
    const circle = await hers.circle(3)
    const input = { community: circle.did, kind: 'split', keepers: [...didsOf(circle.keepers)], threshold: 2 }
    const about = { person: circle.person, key: circle.keys.signKey, act: PROPOSE, input }
    const calls = houses().map((house, at) => {
      const stepUp = stepUpOf(hers.world, about, { atMs: hers.world.clock.nowMs() - 1_000 * at })
      return keyPropose(house, circle.person.did, { ...input, stepUp } as never, callOf)
    })
    const codes = (await Promise.allSettled(calls)).map(codeOf)
    expect(codes.toSorted()).toEqual(['CeremonyInProgress', 'done'])
    expect((await ceremonyRows(circle)).ceremonies).toMatchObject([{ kind: 'split', state: 'approved' }])
  })

  it('begins once with one step up, however often it is shown', async () => {
    const circle = await hers.circle(3)
    const input = { community: circle.did, kind: 'split', keepers: [...didsOf(circle.keepers)], threshold: 2 }
    const stepUp = stepUpOf(hers.world, { person: circle.person, key: circle.keys.signKey, act: PROPOSE, input })
    const calls = [...houses(), ...houses()].map((house) =>
      keyPropose(house, circle.person.did, { ...input, stepUp } as never, callOf),
    )
    const codes = (await Promise.allSettled(calls)).map(codeOf)
    expect(codes.filter((code) => code === 'done')).toHaveLength(1)
    expect(new Set(codes)).toEqual(new Set(['done', 'KeeperSignatureRequired']))
    expect((await ceremonyRows(circle)).ceremonies).toHaveLength(1)
  })

  it('is acknowledged by all at the same time, and done once', async () => {
    const circle = await hers.circle(4)
    const split = await proposeSplit(circle)
    await must(giveDeal(circle, circle, split, await dealFor(split)))
    const answers = await Promise.all(circle.keepers.map((keeper) => acknowledge(circle, keeper, split)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    const { ceremonies, keys, packets } = await ceremonyRows(circle)
    expect(ceremonies).toMatchObject([{ state: 'done' }])
    expect({ keys, packets }).toEqual({ keys: ['acknowledged'], packets: [] })
  })

  it('264: has one operation signed when the k-th and the k+1-th share come at the same time', async () => {
    const circle = await hers.placed({ n: 4, k: 2 })
    const combine = await proposed(circle, circle, { kind: 'combine', wish: 'strict', combineHere: true })
    const [a, b, c] = circle.keepers
    if (!a || !b || !c) throw new Error('nobody')
    for (const keeper of [a, b]) await must(say(circle, keeper, combine, 'approve'))
    const before = (await honestLog(hers.plc, circle.did))?.length ?? 0
    await must(give(circle, hers.world.reeve, a, combine).then((body) => ({ status: 200, body }) as never))
    const both = await Promise.allSettled([give(circle, hers.world.reeve, b, combine), give(circle, other, c, combine)])
    expect(both.map(codeOf).toSorted()).toEqual(['BadCeremony', 'done'])
    const shown = await keyGet(hers.ctx, circle.person.did, { community: circle.did, ceremony: combine.ceremony })
    expect(shown).toMatchObject({ state: 'done', signed: expect.any(String) })
    expect((await honestLog(hers.plc, circle.did))?.length).toBe(before + 1)
    const { rows } = await sql<{ count: number }>`select count(*)::int as count from combine_attempt
      join quorum_key on quorum_key.id = quorum_key where community = ${circle.did}`.execute(database.db)
    expect(rows).toEqual([{ count: 1 }])
    const { audit } = await ceremonyRows(circle)
    expect(audit.filter((action) => action === 'key.combine')).toHaveLength(1)
  })

  /** Gives a share at one of the processes. */
  async function give(circle: Circle, reeve: Reeve, by: Keeper, ceremony: Shown) {
    const text = await sealed(by, ceremony)
    const act = signedAct(circle, by, ceremony, { act: 'submit', subject: givenHashOf(text) })
    const { ceremony: id, statementHash } = ceremony
    const input = { community: circle.did, ceremony: id, statementHash, sealed: text, act }
    return keySubmitShare(reeve.house, by.person.did, input)
  }
})
