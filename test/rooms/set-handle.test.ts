/** Handles that change: which can be had, who has to say so, what it does to the DID, and who is refused. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { communitySetHandle } from '../../src/community/communitySetHandle.ts'
import { type Did, rosterOf } from '../../src/names.ts'
import { silentLog } from '../../src/platform/log.ts'
import { openReeve } from '../../src/reeve.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase } from '../kit/databases.ts'
import { honestLog, json } from '../kit/fake-plc.ts'
import {
  changeBehindOurBack,
  expectUnchanged,
  GET,
  type HandleWorld,
  handleRows,
  inForce,
  openHandleWorld,
  SERVED,
} from '../kit/handles.ts'
import { headOf, signed, submitOperation } from '../kit/people.ts'
import { freePort } from '../kit/ports.ts'
import { freshJti, makeKey, type TestKey } from '../kit/tokens.ts'
import { memberHeld } from '../kit/world.ts'

const MONTH_SEC = 30 * 86_400
const ELSEWHERE = `did:plc:${'e'.repeat(24)}`
const refused = (status: number, error: string) => ({ status, body: { error } })

describeOnEachEngine('a community’s handle', (open) => {
  let hers: HandleWorld

  beforeAll(async () => {
    hers = await openHandleWorld(await open())
  })
  afterEach(() => hers.plc.misbehave(null))
  afterAll(() => hers.close())

  const found = (more: object = {}): Promise<Did> => hers.world.found(hers.alice, more)
  const proven = (handle: string, did: string) => hers.say(handle, { txt: [`did=${did}`] })

  /** A community whose own key stands above ours. */
  async function foundWithKey(more: object = {}): Promise<{ did: Did; key: TestKey }> {
    const key = makeKey('k256')
    return { did: await found({ custody: memberHeld(hers.world, hers.alice, key), ...more }), key }
  }

  describe('under a domain of this service', () => {
    it('is given to a community that had none, in its document, by its host name, and shown', async () => {
      const did = await found()
      const handle = hers.served()
      const before = await inForce(hers.plc, did)
      const answer = await hers.set(did, { handle })
      expect(answer).toMatchObject({ status: 200, body: { status: 'confirmed', handle, revision: 3 } })
      expect(await hers.whoIs(handle)).toMatchObject({ status: 200, body: did })
      expect(await hers.shownHandle(did)).toBe(handle)
      const { sig: _, ...after } = await inForce(hers.plc, did)
      const { sig: _sig, ...unsigned } = before
      expect(after).toEqual({ ...unsigned, alsoKnownAs: [`at://${handle}`], prev: expect.any(String) })
      const document = await (await fetch(`${hers.plc.honestUrl}/${did}`)).json()
      expect(document).toMatchObject({ alsoKnownAs: [`at://${handle}`] })
    })

    it('is told twice in the audit: as it was decided, with the reasons, and as it was done', async () => {
      const first = hers.served()
      const did = await found({ handle: first })
      const handle = hers.served()
      const { operationCid } = (await hers.set(did, { handle })).body
      const { audit, revision } = await handleRows(hers.database, did)
      expect(revision).toEqual([{ revision: 3 }])
      expect(audit.map(({ because }) => because)).toMatchObject([
        { status: 'prepared', handle, before: first, operationCid, revision: 2, reasons: [{ role: 'owner' }] },
        { status: 'confirmed', handle, before: first, operationCid, revision: 3 },
      ])
    })

    it('takes the place of the one before, which is free for others after thirty days', async () => {
      const [first, second] = [hers.served(), hers.served()]
      const did = await found({ handle: first })
      expect(await hers.set(did, { handle: second })).toMatchObject({ body: { status: 'confirmed' } })
      expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual([`at://${second}`])
      expect(await hers.whoIs(first)).toMatchObject({ status: 404 })
      hers.world.clock.moveSec(MONTH_SEC)
      const next = await found({ handle: first })
      expect(await hers.whoIs(first)).toMatchObject({ body: next })
    })

    it('is answered for and kept as soon as the change is begun, and the old one until it is done', async () => {
      const [first, second] = [hers.served(), hers.served()]
      const did = await found({ handle: first })
      const other = await found()
      hers.plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
      expect(await hers.set(did, { handle: second })).toMatchObject({ status: 200, body: { status: 'submitted' } })
      for (const handle of [first, second]) {
        expect(await hers.whoIs(handle)).toMatchObject({ body: did })
        expect(await hers.set(other, { handle })).toMatchObject(refused(400, 'HandleNotAvailable'))
        const mint = { name: 'Thieves', handle, custody: { $type: 'community.reeve.community.mint#custodial' } }
        expect(await hers.bob.call('community.reeve.community.mint', mint)).toMatchObject(
          refused(400, 'HandleNotAvailable'),
        )
      }
      expect(await hers.shownHandle(did)).toBe(first)
      hers.plc.misbehave(null)
      expect(await hers.set(did, { handle: second })).toMatchObject({ body: { status: 'confirmed' } })
      expect(await hers.whoIs(first)).toMatchObject({ status: 404 })
    })

    it('that the community has already costs no operation and raises nothing', async () => {
      const handle = hers.served()
      const did = await found({ handle })
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'confirmed', revision: 1 } })
      })
    })
  })

  describe('given up', () => {
    it('is gone from the document, no longer answered for, and not shown', async () => {
      const handle = hers.served()
      const did = await found({ handle })
      const answer = await hers.set(did, { remove: true })
      expect(answer).toMatchObject({ status: 200, body: { status: 'confirmed', revision: 3 } })
      expect(answer.body).not.toHaveProperty('handle')
      expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual([])
      expect(await hers.whoIs(handle)).toMatchObject({ status: 404 })
      expect(await hers.shownHandle(did)).toBeUndefined()
    })

    it('is held for thirty days: nobody else can take it or found with it, also who gave it up, and nobody is told a DID', async () => {
      const handle = hers.served()
      const did = await found({ handle })
      const roster = rosterOf(did).uri
      await hers.alice.call('community.reeve.member.put', { space: roster, did: hers.bob.did, role: 'admin' })
      expect(await hers.set(did, { remove: true }, hers.bob)).toMatchObject({ body: { status: 'confirmed' } })
      const other = await hers.world.found(hers.bob)
      const isRefused = async () => {
        const mint = { name: 'Thieves', handle, custody: { $type: 'community.reeve.community.mint#custodial' } }
        const minted = await hers.bob.call('community.reeve.community.mint', mint)
        expect(minted).toMatchObject(refused(400, 'HandleNotAvailable'))
        for (const more of [{}, { dryRun: true }]) {
          expect(await hers.set(other, { handle, ...more }, hers.bob)).toMatchObject(refused(400, 'HandleNotAvailable'))
        }
        expect(await hers.whoIs(handle)).toMatchObject({ status: 404 })
      }
      await isRefused()
      hers.world.clock.moveSec(MONTH_SEC - 60)
      await isRefused()
      hers.world.clock.moveSec(60)
      expect(await hers.set(other, { handle }, hers.bob)).toMatchObject({ body: { status: 'confirmed' } })
      expect(await hers.whoIs(handle)).toMatchObject({ body: other })
      expect(await hers.set(did, { handle })).toMatchObject(refused(400, 'HandleNotAvailable'))
    })

    it('can be taken again by its community meanwhile, and is held anew when it is given up again', async () => {
      const handle = hers.served()
      const did = await found({ handle })
      await hers.set(did, { remove: true })
      hers.world.clock.moveSec(MONTH_SEC - 60)
      expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'confirmed' } })
      expect(await hers.whoIs(handle)).toMatchObject({ body: did })
      hers.world.clock.moveSec(120)
      const other = await found()
      expect(await hers.set(other, { handle })).toMatchObject(refused(400, 'HandleNotAvailable'))
      await hers.set(did, { remove: true })
      hers.world.clock.moveSec(MONTH_SEC - 60)
      expect(await hers.set(other, { handle })).toMatchObject(refused(400, 'HandleNotAvailable'))
    })

    it('is not held for longer because another is given up after it', async () => {
      const [first, second] = [hers.served(), hers.served()]
      const did = await found({ handle: first })
      await hers.set(did, { handle: second })
      hers.world.clock.moveSec(MONTH_SEC - 60)
      await hers.set(did, { remove: true })
      hers.world.clock.moveSec(60)
      expect(await hers.set(await found(), { handle: first })).toMatchObject({ body: { status: 'confirmed' } })
      expect(await hers.set(await found(), { handle: second })).toMatchObject(refused(400, 'HandleNotAvailable'))
    })

    it('stays held when its community asks for it again and the directory refuses', async () => {
      const handle = hers.served()
      const did = await found({ handle })
      const other = await found()
      await hers.set(did, { remove: true })
      hers.plc.misbehave(({ kind }) => (kind === 'post' ? json(400) : undefined))
      await hers.set(did, { handle })
      hers.world.clock.moveSec(11 * 60)
      expect(await hers.set(did, { handle })).toMatchObject({ body: { error: 'PlcRejected' } })
      hers.plc.misbehave(null)
      expect(await hers.whoIs(handle)).toMatchObject({ status: 404 })
      expect(await hers.set(other, { handle })).toMatchObject(refused(400, 'HandleNotAvailable'))
    })

    it('and free again goes to one of four who ask for it at once', async () => {
      const handle = hers.served()
      await hers.set(await found({ handle }), { remove: true })
      hers.world.clock.moveSec(MONTH_SEC)
      const dids = await Promise.all(Array.from({ length: 4 }, () => found()))
      const answers = await Promise.all(dids.map((did) => hers.set(did, { handle })))
      const ends = answers.map(({ status, body }) => (status === 200 ? body.status : body.error))
      expect(ends.toSorted()).toEqual([...Array(3).fill('HandleNotAvailable'), 'confirmed'])
      expect(await hers.whoIs(handle)).toMatchObject({ body: dids[ends.indexOf('confirmed')] })
    })

    it('leaves no other name that would pass for the handle, and all other names', async () => {
      const { did, key } = await foundWithKey({ handle: hers.served() })
      const alsoKnownAs = ['https://gardeners.org', 'at://old.gardeners.org', 'at://older.gardeners.org']
      await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs })
      expect(await hers.set(did, { remove: true })).toMatchObject({ body: { status: 'confirmed' } })
      expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual(['https://gardeners.org'])
    })

    it('where there is none costs no operation', async () => {
      const did = await found()
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { remove: true })).toMatchObject({ body: { status: 'confirmed' } })
      })
    })
  })

  describe('under a domain of its own', () => {
    it('waits until the domain says so, tells the owner what to write and where, and holds nothing meanwhile', async () => {
      const did = await found()
      const handle = hers.own()
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle, idempotencyKey: handle })).toMatchObject({
          status: 200,
          body: {
            status: 'waitsForDomain',
            handle,
            dns: { name: `_atproto.${handle}`, value: `did=${did}`, found: 'nothing' },
            wellKnown: { url: `https://${handle}/.well-known/atproto-did`, value: did, found: 'nothing' },
            revision: 1,
          },
        })
      })
      proven(handle, did)
      expect(await hers.set(did, { handle, idempotencyKey: handle })).toMatchObject({
        status: 200,
        body: { status: 'confirmed', handle, revision: 3 },
      })
      expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual([`at://${handle}`])
      expect(await hers.shownHandle(did)).toBe(handle)
    })

    it.each([
      ['nothing', { txt: ['v=spf1 -all'] }],
      ['ambiguous', { txt: [`did=${ELSEWHERE}`, 'did=did:web:garden.org'] }],
      ['noAnswer', { rcode: 2 }],
    ] as const)('that says %s in its DNS is told so, and is no proof', async (word, told) => {
      const did = await found()
      const handle = hers.own()
      hers.say(handle, told)
      const { body } = await hers.set(did, { handle })
      expect(body).toMatchObject({ status: 'waitsForDomain', dns: { found: word } })
      expect(await hers.shownHandle(did)).toBeUndefined()
    })

    it('gives up the served one that it had', async () => {
      const first = hers.served()
      const did = await found({ handle: first })
      const handle = hers.own()
      proven(handle, did)
      expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'confirmed' } })
      expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual([`at://${handle}`])
      expect(await hers.whoIs(first)).toMatchObject({ status: 404 })
      expect(await handleRows(hers.database, did)).toMatchObject({ served: [], held: [{ handle: first }] })
    })

    it('passes to another community when the domain does, and is shown for one alone', async () => {
      const [one, other] = [await found(), await found()]
      const handle = hers.own()
      proven(handle, one)
      await hers.set(one, { handle })
      proven(handle, other)
      expect(await hers.set(other, { handle })).toMatchObject({ body: { status: 'confirmed' } })
      expect([await hers.shownHandle(one), await hers.shownHandle(other)]).toEqual([undefined, handle])
    })

    it('whose domain stops saying so when the operation is in force is told, not shown, and shown when it says so again', async () => {
      const did = await found({ handle: hers.served() })
      const handle = hers.own()
      proven(handle, did)
      hers.plc.misbehave(async ({ kind }, forward) => {
        if (kind !== 'post') return undefined
        hers.say(handle, { txt: [`did=${ELSEWHERE}`] })
        return forward()
      })
      const call = { handle, idempotencyKey: freshJti() }
      expect(await hers.set(did, call)).toMatchObject({
        status: 200,
        body: { status: 'domainNoLongerSays', revision: 3 },
      })
      expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual([`at://${handle}`])
      expect(await hers.shownHandle(did)).toBeUndefined()
      expect((await handleRows(hers.database, did)).work).toMatchObject([{ step: 'confirmed' }])
      expect(await hers.set(did, { handle })).toMatchObject(refused(400, 'HandleNotAvailable'))
      proven(handle, did)
      expect(await hers.set(did, call)).toMatchObject({ body: { status: 'domainNoLongerSays', revision: 3 } })
      expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'confirmed', revision: 4 } })
      expect(await hers.shownHandle(did)).toBe(handle)
      expect(await honestLog(hers.plc, did)).toHaveLength(2)
    })

    it('whose domain falls silent when the operation is in force waits for it, though not for ever', async () => {
      const did = await found()
      const handle = hers.own()
      proven(handle, did)
      hers.plc.misbehave(async ({ kind }, forward) => {
        if (kind === 'post') hers.say(handle, { rcode: 2 })
        return forward()
      })
      expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'submitted' } })
      expect(await hers.shownHandle(did)).toBeUndefined()
      hers.world.clock.moveSec(11 * 60)
      expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'domainNoLongerSays' } })
      expect(await hers.shownHandle(did)).toBeUndefined()
    })
  })

  it('stands before the other names of the DID, which stay in their order', async () => {
    const { did, key } = await foundWithKey({ handle: hers.served() })
    const alsoKnownAs = ['https://gardeners.org', 'at://old.gardeners.org', 'at://other.gardeners.org']
    await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs })
    const handle = hers.served()
    expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'confirmed' } })
    const names = [`at://${handle}`, 'https://gardeners.org', 'at://other.gardeners.org']
    expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual(names)
  })

  describe('in a dry run', () => {
    it('is neither taken nor changed, and the names are told that the DID would have', async () => {
      const did = await found({ handle: hers.served() })
      const handle = hers.served()
      await expectUnchanged(hers, did, async () => {
        const call = { handle, dryRun: true, idempotencyKey: freshJti() }
        for (let at = 0; at < 2; at++) {
          expect(await hers.set(did, call)).toMatchObject({
            status: 200,
            body: { status: 'ready', handle, alsoKnownAs: [`at://${handle}`], revision: 1 },
          })
        }
      })
      expect(await hers.whoIs(handle)).toMatchObject({ status: 404 })
    })

    it('of a change that is under way says how far that is, and takes it no further', async () => {
      const did = await found()
      const handle = hers.served()
      hers.plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
      await hers.set(did, { handle })
      hers.plc.misbehave(null)
      expect(await hers.set(did, { handle, dryRun: true })).toMatchObject({ body: { status: 'submitted', handle } })
      expect(await honestLog(hers.plc, did)).toHaveLength(1)
    })
  })

  describe('is refused by name', () => {
    it.each([
      ['neither a handle nor remove', {}],
      ['both', { handle: `x1.${SERVED}`, remove: true }],
      ['remove: false', { remove: false }],
      ['capitals', { handle: `Roses.${SERVED}` }],
      ['no handle', { handle: 'roses' }],
      ['an unknown field', { handle: `x1.${SERVED}`, dryrun: true }],
      ['a community that is no DID', { community: 'gardens.example', remove: true }],
    ])('(InvalidRequest) with %s', async (_says, input) => {
      const did = await found()
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, input)).toMatchObject(refused(400, 'InvalidRequest'))
      })
    })

    it.each([
      ['reserved', `admin.${SERVED}`],
      ['two labels under ours', `red.roses.${SERVED}`],
      ['our domain itself', SERVED],
      ['of a network that only some have', 'roses.internal'],
      ['on this machine', 'roses.localhost'],
    ])('(HandleNotAvailable) when it is %s: %s', async (_says, handle) => {
      const did = await found()
      proven(handle, did)
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle })).toMatchObject(refused(400, 'HandleNotAvailable'))
      })
    })

    it('(HandleNotAvailable) when another community has it, also in a dry run', async () => {
      const handle = hers.served()
      const holder = await found({ handle })
      const did = await found()
      for (const more of [{}, { dryRun: true }]) {
        expect(await hers.set(did, { handle, ...more })).toMatchObject(refused(400, 'HandleNotAvailable'))
      }
      expect(await hers.whoIs(handle)).toMatchObject({ body: holder })
    })

    it('(HandleNotAvailable) when its domain names another DID', async () => {
      const did = await found()
      const handle = hers.own()
      proven(handle, ELSEWHERE)
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle })).toMatchObject(refused(400, 'HandleNotAvailable'))
      })
    })

    it('(NotFound) to strangers and of communities that there aren’t; (Forbidden) to members, which is kept', async () => {
      const did = await found()
      const handle = hers.served()
      expect(await hers.set(did, { handle }, hers.bob)).toMatchObject(refused(404, 'NotFound'))
      expect(await hers.set(ELSEWHERE as Did, { handle })).toMatchObject(refused(404, 'NotFound'))
      const roster = `at://${did}/space/community.reeve.roster/self`
      const put = (role: string) =>
        hers.alice.call('community.reeve.member.put', { space: roster, did: hers.bob.did, role })
      await put('moderator')
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle }, hers.bob)).toMatchObject(refused(403, 'Forbidden'))
      })
      const { audit } = await handleRows(hers.database, did)
      expect(audit).toMatchObject([{ because: { refused: 'Forbidden', reasons: [{ action: 'community.configure' }] } }])
      await put('admin')
      expect(await hers.set(did, { handle }, hers.bob)).toMatchObject({ body: { status: 'confirmed' } })
    })

    it('(NotFound) to somebody who stands in a space and not in the roster', async () => {
      const did = await found()
      const space = await hers.world.makeSpace(hers.alice, did)
      await hers.alice.call('community.reeve.member.put', { space, did: hers.bob.did, role: 'admin' })
      expect(await hers.set(did, { remove: true }, hers.bob)).toMatchObject(refused(404, 'NotFound'))
    })

    it('(StaleRevision) at another revision than the one given', async () => {
      const did = await found()
      const handle = hers.served()
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle, ifRevision: 7 })).toMatchObject(refused(409, 'StaleRevision'))
      })
      expect(await hers.set(did, { handle, ifRevision: 1 })).toMatchObject({ body: { status: 'confirmed' } })
    })

    it('(PlcLimit) when the DID has as many other names as it can have', async () => {
      const { did, key } = await foundWithKey()
      const alsoKnownAs = Array.from({ length: 10 }, (_none, at) => `https://gardeners-${at}.org`)
      await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs })
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle: hers.served() })).toMatchObject(refused(400, 'PlcLimit'))
      })
    })

    it.each<[string, (ours: string, own: string) => string[]]>([
      ['is no longer in the list', (_ours, own) => [own]],
      ['is no longer the last', (ours, own) => [own, ours, makeKey('k256').didKey]],
      ['stands above the community’s', (ours, own) => [ours, own]],
      ['stands alone, where the community’s has to be above', (ours) => [ours]],
    ])('(PlcRank) when our key %s', async (_says, change) => {
      const { did, key } = await foundWithKey()
      const ours = (await inForce(hers.plc, did)).rotationKeys.at(-1) ?? ''
      await changeBehindOurBack(hers.plc, did, key, { rotationKeys: change(ours, key.didKey) })
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle: hers.served() })).toMatchObject(refused(400, 'PlcRank'))
      })
    })

    it('(PlcConflict) when the DID was ended', async () => {
      const { did, key } = await foundWithKey()
      const prev = await headOf(hers.plc.honestUrl, did)
      await submitOperation(hers.plc.honestUrl, did, signed(key, { type: 'plc_tombstone', prev }))
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle: hers.served() })).toMatchObject(refused(409, 'PlcConflict'))
      })
    })

    it('(PlcConflict) while another change is under way, and for the same handle it goes on with that one', async () => {
      const did = await found()
      const [handle, other] = [hers.served(), hers.served()]
      hers.plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
      const begun = await hers.set(did, { handle })
      expect(begun.body.status).toBe('submitted')
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle: other })).toMatchObject(refused(409, 'PlcConflict'))
        expect(await hers.set(did, { remove: true })).toMatchObject(refused(409, 'PlcConflict'))
      })
      hers.plc.misbehave(null)
      const again = await hers.set(did, { handle })
      expect(again.body).toMatchObject({ status: 'confirmed', operationCid: begun.body.operationCid })
      expect(await honestLog(hers.plc, did)).toHaveLength(2)
    })

    it('(502, nothing begun) when the directory can’t be asked what is in force, or knows nothing of it', async () => {
      const did = await found()
      for (const answer of ['cut', json(404, { message: 'not registered' })] as const) {
        hers.plc.misbehave(({ kind }) => (kind === 'log' ? answer : undefined))
        await expectUnchanged(hers, did, async () => {
          expect(await hers.set(did, { handle: hers.served() })).toMatchObject({ status: 502 })
        })
      }
    })
  })

  describe('set under an idempotency key', () => {
    it('is one change however often it is asked for, and answered alike', async () => {
      const did = await found()
      const call = { handle: hers.served(), idempotencyKey: freshJti(), ifRevision: 1 }
      const first = await hers.set(did, call)
      expect(first.body.status).toBe('confirmed')
      expect((await hers.set(did, call)).body).toEqual(first.body)
      expect(await honestLog(hers.plc, did)).toHaveLength(2)
    })

    it('with another body is refused (IdempotencyConflict)', async () => {
      const did = await found()
      const idempotencyKey = freshJti()
      await hers.set(did, { handle: hers.served(), idempotencyKey })
      await expectUnchanged(hers, did, async () => {
        expect(await hers.set(did, { handle: hers.served(), idempotencyKey })).toMatchObject(
          refused(409, 'IdempotencyConflict'),
        )
      })
    })

    it('is not set again when another came after it', async () => {
      const did = await found()
      const first = { handle: hers.served(), idempotencyKey: freshJti() }
      await hers.set(did, first)
      const second = hers.served()
      await hers.set(did, { handle: second })
      expect(await hers.set(did, first)).toMatchObject({ status: 200, body: { status: 'replaced' } })
      expect(await hers.shownHandle(did)).toBe(second)
      expect(await honestLog(hers.plc, did)).toHaveLength(3)
    })

    it('by four at once is one change', async () => {
      const did = await found()
      const call = { handle: hers.served(), idempotencyKey: freshJti() }
      const answers = await Promise.all(Array.from({ length: 4 }, () => hers.set(did, call)))
      expect(answers.map(({ body }) => body.status)).toEqual(Array(4).fill('confirmed'))
      expect(new Set(answers.map(({ body }) => body.operationCid)).size).toBe(1)
      expect(await honestLog(hers.plc, did)).toHaveLength(2)
    })
  })

  it('that the document of the directory doesn’t show, though its log does, is not noted', async () => {
    const { did, key } = await foundWithKey()
    const handle = hers.served()
    await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs: [`at://${handle}`] })
    hers.plc.misbehave(async ({ kind, did: asked }, forward) => {
      if (kind !== 'document' || asked !== did) return undefined
      return json(200, { ...JSON.parse((await forward()).body), alsoKnownAs: [] })
    })
    await expectUnchanged(hers, did, async () => {
      expect(await hers.set(did, { handle })).toMatchObject({ status: 502 })
    })
    hers.plc.misbehave(null)
    expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'confirmed', revision: 2 } })
    expect(await hers.shownHandle(did)).toBe(handle)
  })

  it('that was found in force a moment before another took its place is not noted (PlcConflict)', async () => {
    const first = hers.served()
    const did = await found({ handle: first })
    const second = hers.served()
    const held = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    let isFirst = true
    hers.plc.misbehave(async ({ kind, did: asked }, forward) => {
      if (kind !== 'document' || asked !== did || !isFirst) return undefined
      isFirst = false
      const answer = await forward()
      reached.resolve()
      await held.promise
      return answer
    })
    const slow = hers.set(did, { handle: first })
    await reached.promise
    expect(await hers.set(did, { handle: second })).toMatchObject({ body: { status: 'confirmed' } })
    held.resolve()
    expect(await slow).toMatchObject(refused(409, 'PlcConflict'))
    expect(await hers.shownHandle(did)).toBe(second)
    expect(await hers.whoIs(first)).toMatchObject({ status: 404 })
  })

  it('that four communities ask for at once goes to one of them', async () => {
    const dids = await Promise.all(Array.from({ length: 4 }, () => found()))
    const handle = hers.served()
    const answers = await Promise.all(dids.map((did) => hers.set(did, { handle })))
    const ends = answers.map(({ status, body }) => (status === 200 ? body.status : body.error))
    expect(ends.toSorted()).toEqual([...Array(3).fill('HandleNotAvailable'), 'confirmed'])
    expect(await hers.whoIs(handle)).toMatchObject({ body: dids[ends.indexOf('confirmed')] })
  })

  it('that one community asks for twice at once, and differently, is changed to one of the two', async () => {
    const did = await found()
    const handles = [hers.served(), hers.served()]
    const answers = await Promise.all(handles.map((handle) => hers.set(did, { handle })))
    const done = answers.filter(({ status }) => status === 200)
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      expect(answer).toMatchObject(refused(409, 'PlcConflict'))
    }
    expect(await honestLog(hers.plc, did)).toHaveLength(1 + done.length)
    const { handle: last } = (await hers.alice.ask(GET, { community: did })).body
    expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual([`at://${last}`])
    expect((await handleRows(hers.database, did)).served).toEqual([{ handle: last }])
  })
})

describe.runIf(hasPostgres)('a served handle that two communities ask for at once, at two processes', () => {
  it('goes to one of them, and to no founding beside', async () => {
    const database = await openTestDatabase('postgres')
    const hers = await openHandleWorld(database)
    const { world, alice, bob } = hers
    const second = await openReeve(
      { ...world.config, port: await freePort(), databaseUrl: database.url, allowUnsafeDatabase: true },
      { clock: world.clock, log: silentLog },
    )
    try {
      for (let round = 0; round < 8; round++) {
        const dids = [await world.found(alice), await world.found(alice)]
        const handle = hers.served()
        const [one, other] = dids.map((community, at) =>
          communitySetHandle(at ? second.house : world.reeve.house, alice.did, { community, handle } as never, {
            requestHash: new Uint8Array(32),
            idempotency: null,
          }).then(
            ({ status }) => status,
            (error: { code?: string }) => error.code,
          ),
        )
        const mint = { name: 'Third', handle, custody: { $type: 'community.reeve.community.mint#custodial' } }
        const minted = await bob.call('community.reeve.community.mint', mint)
        const ends = [await one, await other, minted.status === 200 ? 'confirmed' : minted.body.error]
        expect(ends.toSorted()).toEqual(['HandleNotAvailable', 'HandleNotAvailable', 'confirmed'])
        const winner = [...dids, minted.body.did][ends.indexOf('confirmed')]
        expect(await hers.whoIs(handle)).toMatchObject({ status: 200, body: winner })
      }
    } finally {
      await second.close()
      await hers.close()
      await database.close()
    }
  })
})
