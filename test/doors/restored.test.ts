/**
 * Every door of a service whose database is one from the past: what reads goes on, nothing is changed, nobody is let in, and the protocol's own
 * methods say what they say of any trouble of ours.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { checkpointFolder } from '../../src/audit/checkpoint-folder.ts'
import { loadHeads } from '../../src/audit/head-store.ts'
import { appendUnsealed, countUnsealed } from '../../src/audit/store.ts'
import { type Door, isReading } from '../../src/doors/door.ts'
import { DOORS } from '../../src/doors/xrpc.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openLog } from '../../src/platform/log.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { checkpointOf, cut } from '../kit/checkpoints.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { exchange, openScene } from '../kit/exchange.ts'
import { makeSomebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type Community, openCommunity, rollOn } from '../kit/roll.ts'
import { eventually, OPENS_A_WORLD } from '../kit/waiting.ts'
import { openWorld, type Person, personOf, type World } from '../kit/world.ts'
import { holdings } from './stage.ts'

/** Questions of those who govern, and of anybody: all that goes on. */
const READING = [
  ...['app.list', 'audit.list', 'community.exportRoll', 'community.get', 'community.list', 'credential.list'],
  ...['federation.listOffers', 'key.get', 'key.list', 'member.check', 'member.explain', 'member.getImport'],
  ...['member.list', 'member.listBans', 'member.listInvites', 'member.listRequests', 'member.preview', 'member.reach'],
  ...['member.resolve', 'notify.listRegistrations', 'proposal.list', 'role.list', 'service.describe', 'space.describe'],
  ...['space.get', 'space.list', 'steering.get', 'steering.getSpace', 'steering.listDifferences'],
]

describeOnEachEngine('a service whose database is from the past', (open) => {
  let world: World
  let database: TestDatabase
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let alice: Person
  let community: Community
  let path: string
  const lines: string[] = []

  beforeAll(async () => {
    database = await open()
    plc = await startPlcServer()
    const somebody = await makeSomebody(plc.url)
    community = await openCommunity(rollOn(database.db), somebody.did)
    path = mkdtempSync(join(tmpdir(), 'reeve-checkpoints-'))
    const seen = await checkpointOf(database.db, systemClock.nowMs(), (head) => ({ ...head, seq: head.seq + 1 }))
    await checkpointFolder(path, systemRandom).write(seen)
    world = await openWorld({
      ...{ database, plcUrl: plc.url, environment: { REEVE_CHECKPOINT_DIR: path } },
      log: openLog('debug', { write: (line) => void lines.push(line) }),
    })
    alice = personOf(world, somebody.did, somebody.key)
  })
  afterAll(async () => {
    await world?.close()
    await plc?.close()
    rmSync(path, { recursive: true, force: true })
  })

  const call = ({ method }: Door) =>
    method.type === 'query' ? alice.ask(method.nsid) : alice.call(method.nsid, { community: community.did })

  it('is one in which these methods go on, and no others', () => {
    const reading = DOORS.filter(isReading).map(({ method }) => method.nsid.replace('community.reeve.', ''))
    expect(reading.toSorted()).toEqual(READING.toSorted())
  })

  it.each(DOORS.filter((door) => !isReading(door)).map((door) => [door.method.nsid, door] as const))(
    'refuses %s',
    async (nsid, door) => {
      const before = await holdings(database.db)
      const error = nsid.startsWith('com.atproto.') ? 'NotEnoughResources' : 'RestoredFromPast'
      expect(await call(door)).toMatchObject({ status: 503, body: { error } })
      expect(await holdings(database.db)).toEqual(before)
    },
  )

  it.each(DOORS.filter(isReading).map((door) => [door.method.nsid, door] as const))(
    'answers %s',
    async (_nsid, door) => {
      const answer = await call(door)
      expect([200, 400, 403, 404], JSON.stringify(answer.body)).toContain(answer.status)
    },
  )

  it('shows its owners what is there', async () => {
    const listed = await alice.ask('community.reeve.member.list', { space: community.roster })
    expect(listed).toMatchObject({ status: 200, body: { members: [{ did: alice.did }] } })
    const audit = await alice.ask('community.reeve.audit.list', { community: community.did })
    expect(audit).toMatchObject({ status: 200, body: { entries: [{ action: expect.any(String) }] } })
    const asked = { space: community.roster, did: alice.did, action: 'read' }
    expect((await alice.ask('community.reeve.member.explain', asked)).status).toBe(200)
  })

  it('is out of service by name, and says in its log why', async () => {
    expect(await world.send({ path: '/xrpc/_health' })).toMatchObject({
      status: 503,
      body: { error: 'RestoredFromPast', version: expect.any(String) },
    })
    const told = lines.map((line) => JSON.parse(line)).find(({ event }) => event === 'restored.fromPast')
    expect(told).toMatchObject({ level: 50, chains: 1, missing: 1, folder: path })
  })

  it('shows its public documents, and takes no browser that comes to connect an account', async () => {
    expect((await world.send({ path: '/.well-known/did.json' })).status).toBe(200)
    for (const [method, way] of [
      ['GET', '/oauth/callback'],
      ['GET', '/steering/connect'],
      ['POST', '/steering/connect'],
    ] as const)
      expect(await world.send({ method, path: way })).toMatchObject({
        status: 503,
        body: { error: 'RestoredFromPast' },
      })
  })

  it('keeps the form of what it refuses: a wrong verb and a wrong path are told as ever', async () => {
    expect(await world.send({ path: '/xrpc/community.reeve.member.put' })).toMatchObject({ status: 400 })
    expect(await world.send({ path: '/xrpc/community.reeve.member.nothing' })).toMatchObject({ status: 501 })
  })

  it('writes no checkpoint, also not at its end', async () => {
    const before = readdirSync(path)
    await world.reeve.house.checkpoints.turn()
    await world.reeve.house.checkpoints.close()
    expect(readdirSync(path)).toEqual(before)
  })
})

describeOnEachEngine('a service whose database is put back while it runs', (open) => {
  it('lets nobody in from then on, and does nothing by itself', OPENS_A_WORLD, async () => {
    const database = await open()
    const scene = await openScene(database)
    try {
      const { checkpoints } = scene.world.reeve.house
      await checkpoints.turn()
      expect((await exchange(scene)).status).toBe(200)
      // Found out while somebody is being answered.
      const found = vi.spyOn(checkpoints, 'isFromPast', 'get').mockReturnValueOnce(false).mockReturnValue(true)
      expect(await exchange(scene)).toMatchObject({ status: 503, body: { error: 'NotEnoughResources' } })
      expect(found).toHaveBeenCalledTimes(2)
      found.mockRestore()
      expect((await exchange(scene)).status).toBe(200)
      const [head] = (await loadHeads(database.db)).filter(({ community }) => community === scene.community)
      await eventually('what is there is noted', async () => {
        scene.world.clock.moveSec(6)
        await checkpoints.turn()
        return (await countUnsealed(database.db)) === 0
      })
      await cut(database.db, scene.community, (head?.seq ?? 2) - 1)
      await checkpoints.turn()
      expect([checkpoints.isFromPast, checkpoints.past.aborted]).toEqual([true, true])
      expect(await exchange(scene)).toMatchObject({ status: 503, body: { error: 'NotEnoughResources' } })
      const { community, alice } = scene
      const fact = { community, atMs: 1, actor: alice.did, action: 'test.note', target: community, subject: null }
      await appendUnsealed(database.db, { ...fact, because: {} })
      await new Promise((resolve) => setTimeout(resolve, 2_500))
      expect(await countUnsealed(database.db)).toBe(1)
    } finally {
      await scene.close()
    }
  })
})
