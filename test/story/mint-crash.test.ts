/**
 * A founding whose process is ended with SIGKILL, at every place where the directory can tell that it got there, and at moments
 * that nobody chose. The next process finishes it by itself: the same DID, one operation at the directory, keys that sign, one
 * owner, one entry in the log.
 *
 * Each place is tried `REEVE_TEST_KILLS` times, two when that isn't set.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { exchangeOf } from '../kit/exchange.ts'
import { type FakePlc, honestLog, type PlcAsk, type PlcAskKind, stallAt, startFakePlc } from '../kit/fake-plc.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, sendRaw } from '../kit/world.ts'

const MINT = 'community.reeve.community.mint'
const CUSTODY = { $type: `${MINT}#custodial` }

/** How often the process is ended at each place. */
const KILLS = Number(process.env['REEVE_TEST_KILLS'] ?? 2)
/** A life of the embedded engine begins with seconds of its own, on a busy machine with more of them. */
const timeout = 240_000 + KILLS * 60_000
/** Moments after the call at which nobody knows where the process is. A founding takes less than the last of them. */
const MOMENTS_MS = Array.from({ length: KILLS }, (_none, at) => Math.round((at * 300) / KILLS))

interface Place {
  readonly says: string
  /** Which of the founding's requests to the directory is the last that the process makes. */
  readonly kind: PlcAskKind
  readonly nth: number
  readonly when: 'before' | 'after'
  /** Whether the directory has the operation when the process ends. */
  readonly isThere: boolean
}

const PLACES: readonly Place[] = [
  { says: 'before it asked for the log', kind: 'log', nth: 1, when: 'before', isThere: false },
  { says: 'before the operation arrived', kind: 'post', nth: 1, when: 'before', isThere: false },
  { says: 'after the operation arrived, before it knew', kind: 'post', nth: 1, when: 'after', isThere: true },
  { says: 'before it saw the log', kind: 'log', nth: 2, when: 'after', isThere: true },
  { says: 'before it saw the document', kind: 'document', nth: 1, when: 'after', isThere: true },
]

describe.each(engines())('a founding across SIGKILL (%s)', (engine) => {
  let plc: FakePlc
  let alice: Somebody
  let dataDir: string
  let dropDatabase: (() => Promise<void>) | null = null
  let place: ReevePlace
  let reeve: ReeveProcess
  /** Calls that were made here, each under an idempotency key of its own, and every DID that anybody posted for them. */
  let calls = 0
  const posted = new Set<string>()

  beforeAll(async () => {
    plc = await startFakePlc()
    alice = await makeSomebody(plc.honestUrl)
    dataDir = await mkdtemp(join(tmpdir(), 'reeve-crash-'))
    const onServer = engine === 'postgres' ? await createOnServer() : null
    dropDatabase = onServer && (() => onServer.drop())
    place = await reevePlace({
      plcUrl: plc.url,
      dataDir,
      ...(onServer ? { databaseUrl: onServer.url.reveal() } : {}),
    })
    reeve = await startReeve(place)
  })
  afterEach(() => plc.misbehave(null))
  afterAll(async () => {
    await reeve.kill()
    await dropDatabase?.()
    await plc.close()
    await rm(dataDir, { recursive: true, force: true })
  })

  /**
   * One person asks more here than one person may at once, and waits when told to. The directory runs in this process: on a
   * machine that is busy with other things it may answer too late to know who asks.
   */
  async function patiently(send: () => Promise<Answer>): Promise<Answer> {
    for (;;) {
      const answer = await send()
      if (answer.status !== 429 && answer.status !== 504) return answer
      const waitSec = Number(answer.headers['retry-after'] ?? 1)
      await new Promise((resolve) => setTimeout(resolve, waitSec * 1_000))
    }
  }
  const at = () => ({ ...reeve, nowSec: systemClock.nowSec() })
  const call = (method: string, input: object): Promise<Answer> => patiently(() => callAs(alice, at(), method, input))
  const active = async (): Promise<string[]> => {
    const dids: string[] = []
    for (let cursor: string | undefined; ; ) {
      const { status, body } = await ask('community.reeve.community.list', {
        ...{ limit: '100' },
        ...(cursor ? { cursor } : {}),
      })
      if (status !== 200) throw new Error(`no list: ${status} ${JSON.stringify(body)}`)
      for (const one of body.communities) if (one.status === 'active') dids.push(one.did)
      cursor = body.cursor
      if (cursor === undefined) return dids
    }
  }
  const ask = (method: string, params: Record<string, string>): Promise<Answer> =>
    patiently(() => callAs(alice, at(), method, params, 'query'))

  /** Everything about a founded community that the next process must be able to show. */
  async function expectWhole(did: string) {
    expect(await honestLog(plc, did)).toHaveLength(1)
    const [operation] = (await honestLog(plc, did)) ?? []
    expect(operation?.operation.rotationKeys).toHaveLength(1)
    const seen = await ask('community.reeve.community.get', { community: did })
    expect(seen.body).toMatchObject({ did, status: 'active', revision: 1 })
    const people = await ask('community.reeve.member.list', { space: `at://${did}/space/community.reeve.roster/self` })
    expect(people.body.members).toMatchObject([{ did: alice.did, role: 'owner' }])
    const log = await ask('community.reeve.audit.list', { community: did })
    expect(log.body.entries).toMatchObject([{ seq: 1, action: 'community.mint' }])
    // The keys sign: somebody gets a credential.
    const made = await call('community.reeve.space.create', { community: did, spaceType: 'com.atmoboards.forum' })
    expect(made.status).toBe(200)
    const world = { url: reeve.url, clock: { ...systemClock, moveSec() {} } }
    const credential = await sendRaw(reeve.url, exchangeOf({ world, forum: made.body.uri, bob: alice }))
    expect(credential.status).toBe(200)
  }

  /** Calls, and ends the process when `over` says so. Answers with what the directory was asked meanwhile. */
  async function callAndKill(idempotencyKey: string, over: () => Promise<unknown>): Promise<readonly PlcAsk[]> {
    plc.forget()
    const lost = call(MINT, { name: 'Gardeners', custody: CUSTODY, idempotencyKey }).catch(() => 'lost' as const)
    // A call that is refused never gets to where it should end; that is told, and not waited for.
    const refused = lost.then((answer) => {
      if (answer === 'lost' || answer.status === 200) return new Promise(() => {})
      throw new Error(`refused: ${answer.status} ${JSON.stringify(answer.body)}`)
    })
    await Promise.race([over(), refused])
    await reeve.kill()
    await lost
    return notePosts()
  }
  /** What the directory was asked since the last `forget`; the posts among it are remembered. */
  function notePosts(): readonly PlcAsk[] {
    for (const { kind, did } of plc.asked) if (kind === 'post') posted.add(did)
    return [...plc.asked]
  }

  describe.each(PLACES)('$says', ({ kind, nth, when, isThere, says }) => {
    it(`is finished by the next process, by itself, ${KILLS} times`, { timeout }, async () => {
      for (let round = 0; round < KILLS; round++) {
        calls++
        const before = new Set(await active())
        const idempotencyKey = `${says} ${round}`
        let seen = 0
        const stall = stallAt((asked) => asked.kind === kind && asked.did !== alice.did && ++seen === nth, when)
        plc.misbehave(stall.how)
        const asked = await callAndKill(idempotencyKey, () => stall.reached)
        const did = asked.find((one) => one.kind === 'log')?.did ?? ''
        stall.letGo()
        plc.misbehave(null)
        expect(await honestLog(plc, did)).toEqual(isThere ? [expect.anything()] : null)

        plc.forget()
        reeve = await startReeve(place)
        await eventually('the founding is finished', async () => (await active()).includes(did))
        notePosts()
        expect(plc.count('post')).toBe(isThere ? 0 : 1)
        expect((await active()).filter((one) => !before.has(one))).toEqual([did])
        await expectWhole(did)
        const again = await call(MINT, { name: 'Gardeners', custody: CUSTODY, idempotencyKey })
        expect(again).toMatchObject({ status: 200, body: { did, status: 'active', revision: 1 } })
        expect(await honestLog(plc, did)).toHaveLength(1)
      }
    })
  })

  it(`at ${KILLS} moments that nobody chose: whoever calls again gets one DID, and there is no other`, {
    timeout,
  }, async () => {
    for (const ms of MOMENTS_MS) {
      calls++
      const before = new Set(await active())
      const idempotencyKey = `after ${ms} ms`
      await callAndKill(idempotencyKey, () => new Promise((resolve) => setTimeout(resolve, ms)))
      reeve = await startReeve(place)
      const done = await eventually('the founding is finished', async () => {
        const again = await call(MINT, { name: 'Gardeners', custody: CUSTODY, idempotencyKey })
        return again.body.status === 'active' && again
      })
      notePosts()
      expect((await active()).filter((one) => !before.has(one))).toEqual([done.body.did])
      await expectWhole(done.body.did)
    }
  })

  it('ended again and again at the same place is still one DID', { timeout }, async () => {
    calls++
    const idempotencyKey = 'again and again'
    const dids = new Set<string>()
    for (let round = 0; round < 3; round++) {
      const stall = stallAt((asked) => asked.kind === 'post', round === 2 ? 'after' : 'before')
      plc.misbehave(stall.how)
      const asked = await callAndKill(idempotencyKey, () => stall.reached)
      for (const { kind, did } of asked) if (kind === 'post') dids.add(did)
      stall.letGo()
      plc.misbehave(() => 'cut')
      reeve = await startReeve(place)
    }
    plc.misbehave(null)
    const done = await call(MINT, { name: 'Gardeners', custody: CUSTODY, idempotencyKey })
    expect(done).toMatchObject({ body: { status: 'active' } })
    expect(dids).toEqual(new Set([done.body.did]))
    await expectWhole(done.body.did)
  })

  it('all in all is one DID, one operation, one entry and one owner for each call', async () => {
    const dids = await active()
    const found = { communities: dids.length, posted: posted.size, operations: 0, entries: 0, owners: 0 }
    for (const did of dids) {
      found.operations += (await honestLog(plc, did))?.length ?? 0
      const log = await ask('community.reeve.audit.list', { community: did, limit: '100' })
      found.entries += log.body.entries.filter(({ action }: { action: string }) => action === 'community.mint').length
      const roster = `at://${did}/space/community.reeve.roster/self`
      const people = await ask('community.reeve.member.list', { space: roster })
      found.owners += people.body.members.filter(({ role }: { role: string }) => role === 'owner').length
    }
    expect(found).toEqual({ communities: calls, posted: calls, operations: calls, entries: calls, owners: calls })
    expect(posted).toEqual(new Set(dids))
  })

  it('told nothing of keys, tokens or addresses on the way', () => {
    const output = reeve.output()
    expect(output).toContain('"event":"listening"')
    expect(output).not.toMatch(/eyJ|BEGIN|postgres:|postgresql:/)
  })
})
