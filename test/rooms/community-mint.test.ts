/** Founding over the wire: who may, what is refused, what the directory then holds, and how often the same call founds. */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { auditRows } from '../kit/exchange.ts'
import { type FakePlc, honestLog, startFakePlc } from '../kit/fake-plc.ts'
import { foundingRows } from '../kit/foundings.ts'
import { makeSomebody } from '../kit/people.ts'
import { makeKey } from '../kit/tokens.ts'
import { askedBesides } from '../kit/watched.ts'
import { type Answer, memberHeld, openWorld, type Person, personOf, type World } from '../kit/world.ts'

const MINT = 'community.reeve.community.mint'
const CUSTODIAL = { $type: `${MINT}#custodial` }
const DOMAINS = 'gardens.example,allotments.example'

describeOnEachEngine('founding a community', (open) => {
  let database: TestDatabase
  let plc: FakePlc
  let world: World
  let alice: Person
  let bob: Person

  beforeAll(async () => {
    database = await open()
    plc = await startFakePlc()
    world = await openWorld({ database, plcUrl: plc.url, environment: { REEVE_HANDLE_DOMAINS: DOMAINS } })
    alice = await world.person()
    bob = await world.person()
    // Their keys are known from here on, so that every request to the directory below is for a founding.
    for (const person of [alice, bob]) await person.ask('community.reeve.community.list')
  })
  afterEach(() => plc.misbehave(null))
  afterAll(async () => {
    await world.close()
    await plc.close()
  })

  const mint = (founder: Person, input: object = {}): Promise<Answer> =>
    founder.call(MINT, { name: 'Gardeners', custody: CUSTODIAL, ...input })
  const communities = async () =>
    Number((await sql<{ count: number }>`select count(*) from community`.execute(database.db)).rows[0]?.count)

  /** Sends a call that must be refused, and holds that nothing was begun and nothing left the house for it. */
  async function refused(founder: Person, input: object): Promise<[number, string]> {
    const before = await communities()
    plc.forget()
    const answer = await mint(founder, input)
    expect(await communities()).toBe(before)
    expect(await askedBesides(plc, database)).toEqual([])
    return [answer.status, answer.body.error]
  }

  describe('is refused, and leaves nothing behind', () => {
    it.each([
      ['an empty name', { name: '' }],
      ['no name', { name: undefined }],
      ['a name of spaces', { name: '   ' }],
      ['a name with a space at its end', { name: 'Gardeners ' }],
      ['a name of 65 letters', { name: 'x'.repeat(65) }],
      ['a name with a line feed', { name: 'Gar\ndeners' }],
      ['a name that turns its direction', { name: 'Gar\u202edeners' }],
      ['a name with a letter that does not show', { name: 'Gar\u200bdeners' }],
      ['a field nobody knows', { nmae: 'Gardeners' }],
      ['no custody', { custody: undefined }],
      ['a custody without a type', { custody: {} }],
      ['a custody with a field nobody knows', { custody: { ...CUSTODIAL, recoveryKey: 'x' } }],
      ['a handle that is none', { handle: 'not a handle' }],
      ['an idempotencyKey of 129 characters', { idempotencyKey: 'k'.repeat(129) }],
      ['an empty idempotencyKey', { idempotencyKey: '' }],
    ])('%s: InvalidRequest', async (_says, input) => {
      expect(await refused(alice, input)).toEqual([400, 'InvalidRequest'])
    })

    it.each(['quorumStrict', 'somethingElse'])('custody #%s: UnsupportedCustody', async (kind) => {
      const custody = { $type: `${MINT}#${kind}`, threshold: 2, keepers: [alice.did] }
      expect(await refused(alice, { custody })).toEqual([400, 'UnsupportedCustody'])
    })

    it('a caller who signs with nothing: MissingJwt, before the body is looked at', async () => {
      const answer = await world.send({ method: 'POST', path: `/xrpc/${MINT}`, body: '{' })
      expect([answer.status, answer.body.error]).toEqual([401, 'MissingJwt'])
    })
  })

  describe.each([
    ['memberHeld', 'k256'],
    ['memberHeld', 'p256'],
    ['custodial', null],
  ] as const)('%s (%s)', (kind, curve) => {
    it('makes a DID that says exactly what was made here, and everything that belongs to it', async () => {
      const recovery = curve && makeKey(curve)
      const handle = `${kind.toLowerCase()}-${curve ?? 'none'}.gardens.example`
      plc.forget()
      const custody = recovery ? memberHeld(world, alice, recovery) : CUSTODIAL
      const answer = await mint(alice, { name: 'Gärtner 🌱', custody, handle })
      expect(answer).toMatchObject({ status: 200, body: { status: 'active', revision: 1 } })
      expect(Object.keys(answer.body).toSorted()).toEqual(['did', 'revision', 'status'])
      const did: Did = answer.body.did
      expect(plc.count('post')).toBe(1)

      const rows = await foundingRows(database, did)
      const key = (purpose: string) => String(rows.keys.find((row) => row['purpose'] === purpose)?.['did_key'])
      expect(rows.keys.map((row) => [row['purpose'], row['state']])).toEqual([
        ['atproto', 'active'],
        ['rotation', 'active'],
        ['space', 'active'],
      ])
      const log = await honestLog(plc, did)
      expect(log).toHaveLength(1)
      expect(log?.[0]?.operation).toEqual({
        type: 'plc_operation',
        rotationKeys: [...(recovery ? [recovery.didKey] : []), key('rotation')],
        verificationMethods: { atproto: key('atproto'), atproto_space: key('space') },
        alsoKnownAs: [`at://${handle}`],
        services: {
          atproto_space_host: { type: 'AtprotoSpaceHost', endpoint: world.url },
          atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: world.url },
        },
        prev: null,
        sig: expect.stringMatching(/^[A-Za-z0-9_-]{86}$/),
      })
      expect(new Set([key('rotation'), key('atproto'), key('space'), recovery?.didKey ?? '']).size).toBe(4)

      const document = (await (await fetch(`${plc.honestUrl}/${did}`)).json()) as Record<string, { id: string }[]>
      expect(document).toMatchObject({ id: did, alsoKnownAs: [`at://${handle}`] })
      expect(document['verificationMethod']?.map(({ id }) => id)).toEqual(['#atproto', '#atproto_space'])
      expect(document['service']).toHaveLength(2)
      expect(document['service']).toContainEqual({
        id: '#atproto_space_host',
        type: 'AtprotoSpaceHost',
        serviceEndpoint: world.url,
      })
      expect(document['service']).toContainEqual({
        id: '#atproto_pds',
        type: 'AtprotoPersonalDataServer',
        serviceEndpoint: world.url,
      })

      const roster = `at://${did}/space/community.reeve.roster/self`
      expect(rows.owners).toEqual([{ did: alice.did, role: 'owner', into_space: roster }])
      expect(rows.spaces).toEqual([{ uri: roster, state: 'live' }])
      expect(rows.revision).toMatchObject([{ revision: 1 }])
      expect(rows.audit).toMatchObject([{ actor: alice.did, action: 'community.mint', because: { custody: kind } }])
      expect(rows.community).toMatchObject([
        { step: 'opened', fault: null, custody: kind, recovery_key: recovery?.didKey ?? null, handle },
      ])

      const seen = await alice.ask('community.reeve.community.get', { community: did })
      expect(seen.body).toMatchObject({ did, status: 'active', custody: kind, handle, name: 'Gärtner 🌱' })
      expect(await bob.ask('community.reeve.community.get', { community: did })).toMatchObject({ status: 404 })
    })
  })

  it('is answered in the audit once, and to no one as a secret', async () => {
    const answer = await mint(alice)
    const rows = (await auditRows(database, 'community.mint')).filter(({ target }) => target === answer.body.did)
    expect(rows).toHaveLength(1)
    expect(Object.keys(rows[0]?.because ?? {}).toSorted()).toEqual(['custody', 'operationCid', 'reasons', 'revision'])
  })

  describe('under an idempotencyKey', () => {
    it('is one community, however often it is asked for, in whatever order its fields stand', async () => {
      const first = await mint(alice, { idempotencyKey: 'once' })
      expect(first).toMatchObject({ status: 200 })
      plc.forget()
      expect((await mint(alice, { idempotencyKey: 'once' })).body).toEqual(first.body)
      const turned = { idempotencyKey: 'once', custody: CUSTODIAL, name: 'Gardeners' }
      expect((await alice.call(MINT, turned)).body).toEqual(first.body)
      expect(await askedBesides(plc, database)).toEqual([])
    })

    it('is another community for another founder', async () => {
      const mine = await mint(alice, { idempotencyKey: 'ours' })
      const theirs = await mint(bob, { idempotencyKey: 'ours' })
      expect(theirs.status).toBe(200)
      expect(theirs.body.did).not.toBe(mine.body.did)
    })

    it('and without one it is another community each time', async () => {
      const [one, other] = [await mint(alice), await mint(alice)]
      expect(one.body.did).not.toBe(other.body.did)
    })

    it.each([
      ['name', { name: 'Others' }],
      ['handle', { handle: 'others.gardens.example' }],
      ['custody', { custody: { $type: `${MINT}#quorum` } }],
    ])('with another %s is IdempotencyConflict, and the first one stays', async (field, other) => {
      const idempotencyKey = `conflict-${field}`
      const first = await mint(alice, { idempotencyKey })
      expect(await refused(alice, { idempotencyKey, ...other })).toEqual([409, 'IdempotencyConflict'])
      expect((await mint(alice, { idempotencyKey })).body).toEqual(first.body)
    })

    it('is one DID and one POST for twenty calls at once, with a handle', async () => {
      const before = await communities()
      plc.forget()
      const input = { idempotencyKey: 'at-once', handle: 'at-once.gardens.example' }
      const answers = await Promise.all(Array.from({ length: 20 }, () => mint(alice, input)))
      expect(answers.map(({ status, body }) => [status, body.error])).toEqual(Array(20).fill([200, undefined]))
      expect(new Set(answers.map(({ body }) => body.did)).size).toBe(1)
      expect(answers.every(({ body }) => body.status === 'active' && body.revision === 1)).toBe(true)
      expect(await communities()).toBe(before + 1)
      expect(plc.count('post')).toBe(1)
      expect(await honestLog(plc, answers[0]?.body.did)).toHaveLength(1)
      expect((await foundingRows(database, answers[0]?.body.did)).audit).toHaveLength(1)
    })
  })

  describe('while the directory is away', () => {
    it.each([
      ['cuts the line', () => 'cut' as const],
      ['answers 500', () => ({ status: 500, body: '{}' })],
      ['asks for patience (429)', () => ({ status: 429, body: '{}' })],
      ['is a page that is no directory', () => ({ status: 404, contentType: 'text/html', body: '<p>' })],
    ])('which %s: the answer says how far it is, and the same call finishes it', async (says, how) => {
      const input = { idempotencyKey: `away ${says}` }
      plc.misbehave(how)
      const begun = await mint(alice, input)
      expect(begun).toMatchObject({ status: 200, body: { status: 'submitted', revision: 0 } })
      const rows = await foundingRows(database, begun.body.did)
      expect(new Set(rows.keys.map((row) => row['state']))).toEqual(new Set(['pending']))
      expect([rows.owners, rows.spaces, rows.revision, rows.audit]).toEqual([[], [], [], []])
      const seen = await alice.ask('community.reeve.community.get', { community: begun.body.did })
      expect(seen.body).toMatchObject({ status: 'submitted', revision: 0 })
      const listed = await alice.ask('community.reeve.community.list', { limit: '100' })
      expect(listed.body.communities).toContainEqual(
        expect.objectContaining({ did: begun.body.did, status: 'submitted' }),
      )
      expect(await bob.ask('community.reeve.community.get', { community: begun.body.did })).toMatchObject({
        status: 404,
      })
      plc.misbehave(null)
      const done = await mint(alice, input)
      expect(done.body).toEqual({ did: begun.body.did, status: 'active', revision: 1 })
      expect(await honestLog(plc, begun.body.did)).toHaveLength(1)
    })
  })

  describe('that the directory refuses for good', () => {
    it.each([
      [400, 502, 'PlcRejected'],
      [409, 409, 'PlcConflict'],
    ])(
      'with %i is %i %s once it has had time to show what it has, and ever after; its handle is free',
      async (status, ours, error) => {
        const handle = `refused-${status}.gardens.example`
        const input = { idempotencyKey: `refused ${status}`, handle }
        plc.misbehave(({ kind }) => (kind === 'post' ? { status, body: '{"message":"no"}' } : undefined))
        // Its no may be about an operation that another process has just sent, and that it doesn't show yet.
        expect(await mint(alice, input)).toMatchObject({ status: 200, body: { status: 'submitted' } })
        world.clock.moveSec(11 * 60)
        expect(await mint(alice, input)).toMatchObject({ status: ours, body: { error } })
        plc.misbehave(null)
        plc.forget()
        expect(await mint(alice, input)).toMatchObject({ status: ours, body: { error } })
        expect(await askedBesides(plc, database)).toEqual([])
        const again = await mint(alice, { idempotencyKey: `refused ${status} again`, handle })
        expect(again).toMatchObject({ status: 200, body: { status: 'active' } })
        const [refusedOne] = (
          await sql<{ did: Did; step: string }>`select did, step from community
          where idempotency_key = ${input.idempotencyKey}`.execute(database.db)
        ).rows
        expect(refusedOne?.step).toBe('refused')
        expect(await honestLog(plc, refusedOne?.did ?? '')).toBeNull()
        const rows = await foundingRows(database, refusedOne?.did as Did)
        expect(new Set(rows.keys.map((row) => row['state']))).toEqual(new Set(['pending']))
        expect([rows.owners, rows.audit]).toEqual([[], []])
      },
    )
  })
})

describeOnEachEngine('founding where not everybody may', (open) => {
  it('is for those on the list, and Forbidden for others before anything else is said', async () => {
    const database = await open()
    const plc = await startFakePlc()
    const alice = await makeSomebody(plc.honestUrl)
    const world = await openWorld({ database, plcUrl: plc.url, environment: { REEVE_FOUNDERS: alice.did } })
    try {
      const invited = personOf(world, alice.did, alice.key)
      const bob = await world.person()
      expect(await bob.call(MINT, { name: '', custody: { $type: `${MINT}#quorum` } })).toMatchObject({ status: 400 })
      expect(await bob.call(MINT, { name: 'Gardeners', custody: { $type: `${MINT}#quorum` } })).toMatchObject({
        status: 403,
        body: { error: 'Forbidden' },
      })
      const { rows } = await sql`select 1 from community`.execute(database.db)
      expect(rows).toEqual([])
      expect(await invited.call(MINT, { name: 'Gardeners', custody: CUSTODIAL })).toMatchObject({ status: 200 })
    } finally {
      await world.close()
      await plc.close()
    }
  })
})
