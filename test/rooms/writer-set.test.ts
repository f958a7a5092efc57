/**
 * The writer set under many at once: what was stored has one place in the order of its space, which rises as it is seen, on any number of
 * processes; and a change that was kept first is seen by every write after it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadReadFacts } from '../../src/access/may-read.ts'
import { lockRevisions, raiseRevisions } from '../../src/membership/store.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import {
  type AdmittedWrite,
  acceptAgain,
  acceptWrites,
  listWriters,
  openIntake,
} from '../../src/notify/writer-store.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase, withTransaction } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { claimId } from '../../src/platform/once.ts'
import { tidOf } from '../../src/platform/tid.ts'
import { decideWrite } from '../../src/policy/decide.ts'
import { openReeve, type Reeve } from '../../src/reeve.ts'
import { Unavailable } from '../../src/refusals.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { auditRows, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { freePort } from '../kit/ports.ts'
import { freshJti } from '../kit/tokens.ts'
import { type Person, sendRaw, spaceOf, UNLIMITED } from '../kit/world.ts'
import { freshRev, hashOf, writeOf } from '../kit/writers.ts'

let lastMicros = systemClock.nowMs() * 1000
const nextRev = (): string => {
  lastMicros += 1
  return tidOf(lastMicros)
}

/** A decision about a person as the door makes it, ready to be written down. */
async function admitted(
  scene: Scene,
  did: Did,
  more: Partial<AdmittedWrite> = {},
  space = scene.forum,
): Promise<AdmittedWrite> {
  const read = await loadReadFacts(scene.world.reeve.house, spaceOf(space), did)
  if (read.space !== 'live') throw new Error('no space')
  const verdict = decideWrite(read.facts, did)
  if (!verdict.ok) throw new Error('not let in')
  const claim = { id: claimId('service-auth', did, freshJti()), keepUntilSec: scene.world.clock.nowSec() + 100 }
  const about = {
    claim,
    repoRev: nextRev(),
    hash: null,
    host: null,
    basis: read.basis,
    atMs: scene.world.clock.nowMs(),
  }
  return { admission: verdict.value, ...about, ...more }
}

const placesOf = async (db: Db, space: string): Promise<readonly { repo: string; rev: string; place: number }[]> =>
  (await listWriters(db, space as SpaceUri, 0, 10_000)).map(({ repo, repoRev, spaceRev }) => ({
    ...{ repo, rev: repoRev, place: spaceRev },
  }))

const lastOf = async (db: Db, space: string): Promise<number | undefined> =>
  (await db.selectFrom('writer_set').select('last_rev').where('space', '=', space).executeTakeFirst())?.last_rev

const spentOf = async (db: Db, some: readonly AdmittedWrite[]): Promise<readonly boolean[]> => {
  const rows = await db.selectFrom('spent').select('id').execute()
  const ids = new Set(rows.map(({ id }) => Buffer.from(id).toString('hex')))
  return some.map(({ claim }) => ids.has(Buffer.from(claim.id).toString('hex')))
}

async function openPeople(scene: Scene, count: number): Promise<Person[]> {
  const people = await Promise.all(Array.from({ length: count }, () => scene.world.person()))
  for (const { did } of people) await letIn(scene.alice, scene.forum, did)
  return people
}

describeOnEachEngine('the writer set', (open) => {
  let database: TestDatabase
  let scene: Scene
  let people: readonly Person[]
  let other: { community: Did; forum: string }

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    people = await openPeople(scene, 4)
    const community = await scene.world.found(scene.carol)
    const forum = await scene.world.makeSpace(scene.carol, community)
    for (const { did } of people) await letIn(scene.carol, forum, did)
    other = { community, forum }
  })
  afterAll(() => scene.close())

  const person = (nth: number): Did => people[nth]?.did as Did
  const freshSpace = async (): Promise<string> => {
    const space = await scene.world.makeSpace(scene.alice, scene.community)
    for (const { did } of people) await letIn(scene.alice, space, did)
    return space
  }

  it('takes several of one space in one statement, each with a place after the one before', async () => {
    const space = await freshSpace()
    const some = await Promise.all(people.map(({ did }) => admitted(scene, did, {}, space)))
    expect(await acceptWrites(database.db, some)).toEqual(some.map(() => 'stored'))
    const places = await placesOf(database.db, space)
    const [first] = places
    expect(places.map(({ repo, place }) => [repo, place - (first?.place ?? 0)])).toEqual(
      people.map(({ did }, at) => [did, at]),
    )
    expect(await lastOf(database.db, space)).toBe(places.at(-1)?.place)
    expect(first?.place).toBe(Math.max(...some.map(({ atMs }) => atMs)) * 1000)
  })

  it('judges each by itself: stored, as new as before, told again, moved on', async () => {
    const space = await freshSpace()
    const [known, replayed] = await Promise.all([0, 1].map((nth) => admitted(scene, person(nth), {}, space)))
    if (!known || !replayed) throw new Error('two')
    expect(await acceptWrites(database.db, [known, replayed])).toEqual(['stored', 'stored'])
    const before = await placesOf(database.db, space)
    const same = await admitted(scene, person(0), { repoRev: known.repoRev, hash: hashOf('other') }, space)
    const again = await admitted(scene, person(1), { claim: replayed.claim }, space)
    const good = await admitted(scene, person(2), {}, space)
    const late = await admitted(scene, person(3), {}, space)
    const moved = { ...late, basis: late.basis.map((one) => ({ ...one, revision: one.revision - 1 })) }
    const some = [same, again, good, moved]
    expect(await acceptWrites(database.db, some)).toEqual(['same', 'replayed', 'stored', 'moved'])
    expect(await spentOf(database.db, some)).toEqual([true, true, true, false])
    const after = await placesOf(database.db, space)
    expect(after.slice(0, 2)).toEqual(before)
    expect(after.map(({ repo }) => repo)).toEqual([person(0), person(1), person(2)])
  })

  it('takes an older revision for nothing new, and moves nothing for it', async () => {
    const space = await freshSpace()
    const older = await admitted(scene, person(0), { hash: hashOf('older') }, space)
    const newer = await admitted(scene, person(0), { hash: hashOf('newer') }, space)
    expect(await acceptWrites(database.db, [newer])).toEqual(['stored'])
    const last = await lastOf(database.db, space)
    expect(await acceptWrites(database.db, [older])).toEqual(['same'])
    expect(await lastOf(database.db, space)).toBe(last)
    const [row] = await listWriters(database.db, space as SpaceUri, 0, 10)
    expect([row?.repoRev, Buffer.from(row?.hash ?? []).toString('hex')]).toEqual([
      newer.repoRev,
      hashOf('newer').toString('hex'),
    ])
  })

  it('of two spaces holds each in its own order', async () => {
    const space = await freshSpace()
    const some = [
      await admitted(scene, person(0), {}, space),
      await admitted(scene, person(0), {}, other.forum),
      await admitted(scene, person(1), {}, space),
      await admitted(scene, person(1), {}, other.forum),
    ]
    expect(await acceptWrites(database.db, some)).toEqual(some.map(() => 'stored'))
    for (const uri of [space, other.forum]) {
      expect((await placesOf(database.db, uri)).map(({ repo }) => repo)).toEqual([person(0), person(1)])
    }
  })

  it('never gives a place twice, also when the clock was set back, and when the last one is far ahead', async () => {
    const space = await freshSpace()
    const nowMs = scene.world.clock.nowMs()
    await acceptWrites(database.db, [await admitted(scene, person(0), { atMs: nowMs }, space)])
    await acceptWrites(database.db, [await admitted(scene, person(1), { atMs: nowMs - 86_400_000 }, space)])
    await acceptWrites(database.db, [await admitted(scene, person(2), { atMs: 0 }, space)])
    const places = (await placesOf(database.db, space)).map(({ place }) => place - nowMs * 1000)
    expect(places).toEqual([0, 1, 2])
  })

  it('that shares a repo or a token in one call, or rests on nothing, is our own mistake', async () => {
    const one = await admitted(scene, person(0))
    const sameRepo = await admitted(scene, person(0))
    const sameToken = await admitted(scene, person(1), { claim: one.claim })
    await expect(acceptWrites(database.db, [one, sameRepo])).rejects.toThrow(TypeError)
    await expect(acceptWrites(database.db, [one, sameToken])).rejects.toThrow(TypeError)
    await expect(acceptWrites(database.db, [{ ...one, basis: [] }])).rejects.toThrow(TypeError)
    expect(await spentOf(database.db, [one, sameRepo])).toEqual([false, false])
  })

  it('asked again after a failure takes what is there for its own', async () => {
    const one = await admitted(scene, person(0))
    expect(await acceptWrites(database.db, [one])).toEqual(['stored'])
    expect(await acceptAgain(database.db, one)).toBe('stored')
  })

  it('of many at once keeps the newest of each repo, one place for each, and one first admission', async () => {
    const space = await freshSpace()
    const some: AdmittedWrite[] = []
    for (let round = 0; round < 20; round++) {
      for (const { did } of people) some.push(await admitted(scene, did, {}, space))
    }
    const newest = new Map(some.map(({ admission, repoRev }) => [admission.did, repoRev]))
    const mixed = some.toSorted((one, two) => (one.claim.id[0] ?? 0) - (two.claim.id[0] ?? 0))
    const intake = openIntake(database.db)
    const outcomes = await Promise.all(mixed.map((one) => intake.ask(one)))
    expect(new Set(outcomes)).toEqual(new Set(['stored', 'same']))
    const places = await placesOf(database.db, space)
    expect(new Map(places.map(({ repo, rev }) => [repo, rev]))).toEqual(newest)
    expect(await lastOf(database.db, space)).toBe(places.at(-1)?.place)
    const admissions = (await auditRows(database, 'write.admit')).filter(({ target }) => target === space)
    expect(admissions.map(({ actor }) => actor).sort()).toEqual(people.map(({ did }) => did).sort())
  })
})

describe.runIf(hasPostgres)('the writer set of two processes', () => {
  let database: TestDatabase
  let far: Awaited<ReturnType<typeof openDatabase>>
  let scene: Scene
  let people: readonly Person[]

  beforeAll(async () => {
    database = await openTestDatabase('postgres')
    scene = await openScene(database)
    people = await openPeople(scene, 6)
    far = await openDatabase({ url: database.url, dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock })
  })
  afterAll(async () => {
    await far.close()
    await scene.close()
  })

  const freshSpaces = async (count: number): Promise<string[]> => {
    const spaces: string[] = []
    while (spaces.length < count) {
      const space = await scene.world.makeSpace(scene.alice, scene.community)
      for (const { did } of people) await letIn(scene.alice, space, did)
      spaces.push(space)
    }
    return spaces
  }

  it('that both write first in many spaces at once loses nothing, makes nothing twice, and ends', async () => {
    const spaces = await freshSpaces(8)
    for (let round = 0; round < 5; round++) {
      const batchOf = (nth: number) =>
        Promise.all(spaces.map((space) => admitted(scene, people[nth + round]?.did ?? scene.bob.did, {}, space)))
      const [here, there] = [await batchOf(0), await batchOf(1)]
      const answers = await Promise.all([acceptWrites(database.db, here), acceptWrites(far.db, there.toReversed())])
      // What two hold in the same moment stands beside each other: a shared hold keeps out nobody who shares.
      expect(new Set(answers.flat())).toEqual(new Set(['stored']))
    }
    for (const space of spaces) {
      const places = (await placesOf(database.db, space)).map(({ place }) => place)
      expect(new Set(places).size).toBe(places.length)
      expect(await lastOf(database.db, space)).toBe(Math.max(...places))
    }
  })

  it('gives the same token one effect, also when both are asked in the same moment', async () => {
    const [space = ''] = await freshSpaces(1)
    for (let round = 0; round < 20; round++) {
      const one = await admitted(scene, scene.alice.did, {}, space)
      const two = { ...one, repoRev: nextRev() }
      const answers = (await Promise.all([acceptWrites(database.db, [one]), acceptWrites(far.db, [two])])).flat()
      expect(answers.toSorted()).toEqual(['replayed', 'stored'])
    }
  })

  it('leaves the newer one of two that race, with its hash', async () => {
    const [space = ''] = await freshSpaces(1)
    for (let round = 0; round < 20; round++) {
      const older = await admitted(scene, scene.alice.did, { hash: hashOf(`older ${round}`) }, space)
      const newer = await admitted(scene, scene.alice.did, { hash: hashOf(`newer ${round}`) }, space)
      await Promise.all([acceptWrites(database.db, [newer]), acceptWrites(far.db, [older])])
      const [row] = await listWriters(database.db, space as SpaceUri, 0, 10)
      expect(row?.repoRev).toBe(newer.repoRev)
      expect(Buffer.from(row?.hash ?? [])).toEqual(hashOf(`newer ${round}`))
    }
  })

  it('is passed over nowhere by whoever reads on from where they were, while both write', async () => {
    const [space = ''] = await freshSpaces(1)
    const intakes = [openIntake(database.db), openIntake(far.db)]
    let isWriting = true
    /** The newest revision of each repo that a reader has seen, who asks only for what came after. */
    const seen = new Map<string, string>()
    let reads = 0
    const reading = (async () => {
      let after = 0
      for (let isLast = false; ; ) {
        isLast = !isWriting
        const page = await listWriters(reads % 2 ? database.db : far.db, space as SpaceUri, after, 3)
        reads += 1
        for (const { repo, repoRev, spaceRev } of page) {
          expect(spaceRev).toBeGreaterThan(after)
          after = spaceRev
          seen.set(repo, repoRev)
        }
        if (isLast && page.length === 0) return
      }
    })()
    const newest = new Map<string, string>()
    const writing = people.map(async ({ did }, nth) => {
      for (let round = 0; round < 40; round++) {
        const one = await admitted(scene, did, {}, space)
        // Clocks of two machines differ.
        const outcome = await intakes[(nth + round) % 2]?.ask({ ...one, atMs: one.atMs - (round % 2) * 5_000 })
        expect(outcome).toBe('stored')
        newest.set(did, one.repoRev)
      }
    })
    await Promise.all(writing)
    isWriting = false
    await reading
    expect(seen).toEqual(newest)
    expect(reads).toBeGreaterThan(10)
  })

  it('writes nothing while a community is being changed, says so, and spends nothing', async () => {
    const one = await admitted(scene, scene.bob.did)
    await withTransaction(database.db, async (tx) => {
      await lockRevisions(tx, scene.community)
      await raiseRevisions(tx, scene.community, { graph: false })
      expect(await acceptWrites(far.db, [one])).toEqual(['busy'])
    })
    expect(await spentOf(database.db, [one])).toEqual([false])
    expect(await acceptWrites(far.db, [one])).toEqual(['moved'])
    expect(await spentOf(database.db, [one])).toEqual([false])
  })

  it('gives up after seconds on a community that is held', async () => {
    const one = await admitted(scene, scene.bob.did)
    await withTransaction(database.db, async (tx) => {
      await lockRevisions(tx, scene.community)
      const asked = openIntake(far.db).ask(one)
      await expect(asked).rejects.toThrow(Unavailable)
    })
    expect(await spentOf(database.db, [one])).toEqual([false])
  })

  it('that a removal at the other one was kept before takes no write after it', async () => {
    const { world, alice, forum } = scene
    const [dave] = people
    if (!dave) throw new Error('somebody')
    const second: Reeve = await openReeve(
      { ...world.config, port: await freePort(), databaseUrl: database.url, allowUnsafeDatabase: true },
      { clock: world.clock, log: silentLog, rates: UNLIMITED },
    )
    const urls = [world.url, `http://localhost:${second.port}`]
    const tell = (at: number) => {
      const rev = freshRev(world.clock.nowMs())
      return sendRaw(urls[at % 2] ?? '', writeOf(world, { writer: dave, space: forum, rev })).then((answer) => ({
        rev,
        answer,
      }))
    }
    try {
      for (let round = 0; round < 6; round++) {
        const early = Array.from({ length: 16 }, (_none, at) => tell(at))
        await Promise.race(early.slice(round))
        const removing = alice.call('community.reeve.member.remove', { space: forum, did: dave.did })
        const beside = Array.from({ length: 16 }, (_none, at) => tell(at))
        expect((await removing).status).toBe(200)
        const [kept] = (await placesOf(database.db, forum)).filter(({ repo }) => repo === dave.did)
        const late = await Promise.all(Array.from({ length: 8 }, (_none, at) => tell(at)))
        for (const { answer } of late) expect(answer).toMatchObject({ status: 403, body: { error: 'Forbidden' } })
        const told = await Promise.all([...early, ...beside])
        for (const { answer } of told) expect([200, 403]).toContain(answer.status)
        const [after] = (await placesOf(database.db, forum)).filter(({ repo }) => repo === dave.did)
        expect(after).toEqual(kept)
        const newest = told
          .filter(({ answer }) => answer.status === 200)
          .map(({ rev }) => rev)
          .sort()
          .at(-1)
        if (newest !== undefined) expect(after?.rev).toBe(newest)
        await letIn(alice, forum, dave.did)
      }
    } finally {
      await second.close()
    }
  })
})
