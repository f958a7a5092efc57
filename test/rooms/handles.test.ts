/** Handles of communities: which can be had, whose they are, and who is told so at the well-known place. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { describeOnEachEngine } from '../kit/databases.ts'
import { type FakePlc, startFakePlc } from '../kit/fake-plc.ts'
import { type Answer, openWorld, type Person, type World } from '../kit/world.ts'

const MINT = 'community.reeve.community.mint'
const CUSTODIAL = { $type: `${MINT}#custodial` }

describeOnEachEngine('a handle', (open) => {
  let plc: FakePlc
  let world: World
  let alice: Person
  let bob: Person

  beforeAll(async () => {
    plc = await startFakePlc()
    world = await openWorld({
      database: await open(),
      plcUrl: plc.url,
      environment: { REEVE_HANDLE_DOMAINS: 'gardens.example,club.gardens.example' },
    })
    alice = await world.person()
    bob = await world.person()
    for (const person of [alice, bob]) await person.ask('community.reeve.community.list')
  })
  afterEach(() => plc.misbehave(null))
  afterAll(async () => {
    await world.close()
    await plc.close()
  })

  const mint = (founder: Person, handle: string, more: object = {}): Promise<Answer> =>
    founder.call(MINT, { name: 'Gardeners', custody: CUSTODIAL, handle, ...more })
  const whoIs = (host: string): Promise<Answer> =>
    world.send({ path: '/.well-known/atproto-did', headers: [['host', host]] })

  it('is answered by its host name, with or without a port, as plain text', async () => {
    const { did } = (await mint(alice, 'roses.gardens.example')).body
    for (const host of ['roses.gardens.example', 'roses.gardens.example:3400']) {
      const answer = await whoIs(host)
      expect(answer).toMatchObject({ status: 200, body: did })
      expect(answer.headers['content-type']).toMatch(/^text\/plain/)
    }
    expect((await alice.ask('community.reeve.community.get', { community: did })).body.handle).toBe(
      'roses.gardens.example',
    )
  })

  it.each([
    'tulips.gardens.example',
    'gardens.example',
    'x.roses.gardens.example',
    'roses.gardens.example.evil.example',
    'evilgardens.example',
    'localhost',
    '127.0.0.1',
  ])('is not answered for %s', async (host) => {
    await mint(alice, 'roses.gardens.example', { idempotencyKey: 'roses' })
    expect(await whoIs(host)).toMatchObject({ status: 404 })
  })

  it('directly under any served domain can be had, also where one domain is under another', async () => {
    expect(await mint(alice, 'lilies.club.gardens.example')).toMatchObject({ status: 200 })
    expect(await mint(alice, 'a1.gardens.example')).toMatchObject({ status: 200 })
  })

  describe('can’t be had (HandleNotAvailable)', () => {
    it.each([
      ['under another domain', 'roses.other.example'],
      ['two labels under ours', 'red.roses.gardens.example'],
      ['that is our domain', 'gardens.example'],
      ['whose end only looks like ours', 'roses.evilgardens.example'],
      ['that is reserved', 'admin.gardens.example'],
      ['that mail would take for the owner', 'postmaster.gardens.example'],
      ['that is the first label of a served domain', 'club.gardens.example'],
      ['of one letter', 'a.gardens.example'],
    ])('%s: %s', async (_says, handle) => {
      expect(await mint(alice, handle)).toMatchObject({ status: 400, body: { error: 'HandleNotAvailable' } })
    })

    it('that somebody has, by them or by anybody', async () => {
      await mint(alice, 'taken.gardens.example')
      for (const person of [alice, bob]) {
        expect(await mint(person, 'taken.gardens.example')).toMatchObject({
          status: 400,
          body: { error: 'HandleNotAvailable' },
        })
      }
    })

    it('that twenty ask for at once, but by one of them', async () => {
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_none, at) => mint(at % 2 ? alice : bob, 'wanted.gardens.example')),
      )
      const named = answers.map(({ status, body }) => (status === 200 ? 'had' : body.error)).toSorted()
      expect(named).toEqual([...Array(19).fill('HandleNotAvailable'), 'had'])
      const had = answers.find(({ status }) => status === 200)
      expect(await whoIs('wanted.gardens.example')).toMatchObject({ status: 200, body: had?.body.did })
    })
  })

  it.each(['Roses.gardens.example', 'roses..gardens.example', '-roses.gardens.example', 'roses.gardens.example.'])(
    'in another spelling is none: %s',
    async (handle) => {
      expect(await mint(alice, handle)).toMatchObject({ status: 400, body: { error: 'InvalidRequest' } })
    },
  )

  it('of a founding that the directory refused can be had by the next', async () => {
    plc.misbehave(({ kind }) => (kind === 'post' ? { status: 400, body: '{}' } : undefined))
    const call = { idempotencyKey: 'second' }
    expect((await mint(alice, 'second.gardens.example', call)).body.status).toBe('submitted')
    // A refusal is believed once the directory has had time to show what it may hold all the same.
    world.clock.moveSec(11 * 60)
    expect(await mint(alice, 'second.gardens.example', call)).toMatchObject({ body: { error: 'PlcRejected' } })
    plc.misbehave(null)
    expect(await whoIs('second.gardens.example')).toMatchObject({ status: 404 })
    expect(await mint(bob, 'second.gardens.example')).toMatchObject({ status: 200 })
  })

  it('of a founding that lost against another under the same key is free', async () => {
    const handles = ['rose', 'lily', 'iris', 'aster'].map((name) => `${name}-bed.gardens.example`)
    const answers = await Promise.all(handles.map((handle) => mint(alice, handle, { idempotencyKey: 'bed' })))
    const named = answers.map(({ status, body }) => (status === 200 ? 'had' : body.error))
    expect(named.toSorted()).toEqual([...Array(3).fill('IdempotencyConflict'), 'had'])
    for (const [at, handle] of handles.entries()) {
      const isFree = named[at] !== 'had'
      expect((await mint(bob, handle)).status).toBe(isFree ? 200 : 400)
    }
  })

  it('can’t be piled up by one founder with foundings that stay unfinished', async () => {
    const greedy = await world.person()
    await greedy.ask('community.reeve.community.list')
    plc.misbehave(() => 'cut')
    const answers: Answer[] = []
    for (let at = 0; at < 12; at++) answers.push(await mint(greedy, `pile-${at}.gardens.example`))
    const begun = answers.filter(({ status }) => status === 200)
    expect(begun.length).toBeGreaterThan(0)
    expect(begun.length).toBeLessThanOrEqual(5)
    for (const answer of answers.slice(begun.length)) {
      expect(answer).toMatchObject({ status: 429, body: { error: 'RateLimitExceeded' } })
    }
    // Others still found, and so does the greedy one when theirs are finished.
    plc.misbehave(null)
    expect(await mint(bob, 'pile-11.gardens.example')).toMatchObject({ status: 200, body: { status: 'active' } })
  })
})
