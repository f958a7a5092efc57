/**
 * A step up: what can't be taken back is begun with a signature by a key that its owner enrolled, over this very call, a moment ago,
 * once; and neither a session alone nor a signature over anything else begins it.
 */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { inputHashOf } from '../../src/keys/keeper-statements.ts'
import { rosterOf } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { holdings } from '../doors/stage.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { EXPORT, enrol, stepUpOf } from '../kit/keepers.ts'
import { cancel, type ExportWorld, exportRows, type Founded, openExportWorld, putOut } from '../kit/key-exports.ts'
import { base64Url, makeKey, twinOf } from '../kit/tokens.ts'
import type { Answer } from '../kit/world.ts'

const refused = (status: number, error: string) => ({ status, body: { error } })
const REQUIRED = refused(403, 'KeeperSignatureRequired')

describeOnEachEngine('a step up', (open) => {
  let hers: ExportWorld
  let of: Founded

  beforeAll(async () => {
    hers = await openExportWorld(await open())
  })
  beforeEach(async () => {
    of = await hers.founded()
  })
  afterAll(() => hers.close())

  const input = () => ({ community: of.did })
  type Changed = Parameters<typeof stepUpOf>[2]
  const sign = (changed: Changed = {}, body: object = input()) =>
    stepUpOf(hers.world, { person: of.person, key: of.keys.signKey, act: EXPORT, input: body }, changed)
  const ask = (stepUp: unknown, body: object = input()) => of.person.call(EXPORT, { ...body, stepUp })
  const expectTraceless = async (work: () => Promise<Answer>, expected: object) => {
    const before = await holdings(hers.database.db)
    expect(await work()).toMatchObject(expected)
    expect(await holdings(hers.database.db)).toEqual(before)
  }

  it('by the enrolled key, over the call, now, is enough', async () => {
    expect(await ask(sign())).toMatchObject({ status: 200, body: { proposal: { act: 'key.export' } } })
  })

  it('is good once: the same again begins nothing, also when the first was cancelled, nor another over the same words', async () => {
    const stepUp = sign()
    const id = (await ask(stepUp)).body.proposal.id
    await cancel(of, id)
    await expectTraceless(() => ask(stepUp), REQUIRED)
    const { at } = stepUp
    const again = sign({ atMs: Date.parse(at) })
    expect(again.at).toBe(at)
    await expectTraceless(() => ask(again), REQUIRED)
    expect(await ask(sign({ atMs: Date.parse(at) + 1 }))).toMatchObject({ status: 200 })
  })

  it('that two calls bring at once begins one', async () => {
    const other = { ...input(), reason: 'twice' }
    const stepUp = sign({}, other)
    const answers = await Promise.all([ask(stepUp, other), ask(stepUp, other)])
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 403])
    expect((await exportRows(hers, of.did)).proposals).toHaveLength(1)
  })

  it('is not spent by a call that is refused', async () => {
    const eve = await hers.world.person()
    const body = { ...input(), recipients: [eve.did] }
    const stepUp = sign({}, body)
    await expectTraceless(() => ask(stepUp, body), refused(400, 'InvalidRequest'))
    await of.person.call('community.reeve.member.put', { space: rosterOf(of.did).uri, did: eve.did, role: 'owner' })
    await expectTraceless(() => ask(stepUp, body), refused(400, 'InvalidRequest'))
    expect(await ask(sign())).toMatchObject({ status: 200 })
  })

  it('under an idempotencyKey may be sent again, and what it began is answered alike', async () => {
    const body = { ...input(), stepUp: sign(), idempotencyKey: 'mine' }
    const first = await of.person.call(EXPORT, body)
    expect(first).toMatchObject({ status: 200 })
    expect(await of.person.call(EXPORT, body)).toMatchObject({ status: 200, body: first.body })
  })

  describe('of another kind is none, and nothing changes', () => {
    it('without one: 403; without a session: 401; with a member’s: 403', async () => {
      await expectTraceless(() => of.person.call(EXPORT, input()), REQUIRED)
      await expectTraceless(
        () =>
          hers.world.send({
            method: 'POST',
            path: `/xrpc/${EXPORT}`,
            headers: [['content-type', 'application/json']],
            body: JSON.stringify({ ...input(), stepUp: sign() }),
          }),
        refused(401, 'MissingJwt'),
      )
      const bob = await hers.world.person()
      await of.person.call('community.reeve.member.put', { space: rosterOf(of.did).uri, did: bob.did, role: 'member' })
      await expectTraceless(
        () => bob.call(EXPORT, { ...input(), stepUp: sign({ caller: bob.did }) }),
        refused(403, 'Forbidden'),
      )
    })

    it('signed for another community, person, service, method or input', async () => {
      const changes: Changed[] = [
        { service: 'did:web:elsewhere.example.com' },
        { community: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' },
        { caller: 'did:web:eve.example.com' },
        { act: 'community.reeve.key.rotate' },
        { input: { ...input(), recipients: [of.person.did] } },
        { input: { ...input(), reason: 'another' } },
        { input: {} },
      ]
      for (const changed of changes) await expectTraceless(() => ask(sign(changed)), REQUIRED)
    })

    it('by another key: a stranger’s, another owner’s, one’s own from before, the community’s own, one’s account’s', async () => {
      const olga = await hers.secondOwner(of)
      const before = of.keys.signKey
      const keys = await enrol(hers.world, of.person, of.did, of.keys)
      hers.world.clock.moveSec(86_400)
      for (const key of [makeKey('p256'), olga.keys.signKey, before, of.recovery, of.person.key]) {
        const stepUp = stepUpOf(hers.world, { person: of.person, key, act: EXPORT, input: input() })
        await expectTraceless(() => ask(stepUp), REQUIRED)
      }
      const stepUp = stepUpOf(hers.world, { person: of.person, key: keys.signKey, act: EXPORT, input: input() })
      expect(await ask(stepUp)).toMatchObject({ status: 200 })
    })

    it('older than five minutes, from the future, or of no instant', async () => {
      const nowMs = () => hers.world.clock.nowMs()
      await expectTraceless(() => ask(sign({ atMs: nowMs() - 300_001 })), REQUIRED)
      await expectTraceless(() => ask(sign({ atMs: nowMs() + 60_000 })), REQUIRED)
      for (const at of ['', 'now', '2026-01-01', isoOf(nowMs()).replace('Z', '+00:00')]) {
        await expectTraceless(() => ask({ ...sign(), at }), REQUIRED)
      }
      expect(await ask(sign({ atMs: nowMs() - 240_000 }))).toMatchObject({ status: 200 })
    })

    it('spelt in another way: a high S, a short one, padding, none', async () => {
      const { at, sig } = sign()
      const high = base64Url(twinOf('p256', Buffer.from(sig, 'base64url')))
      for (const other of [high, sig.slice(0, -1), `${sig}==`, '']) {
        await expectTraceless(() => ask({ at, sig: other }), REQUIRED)
      }
      expect(await ask({ at, sig })).toMatchObject({ status: 200 })
    })

    it('by whoever enrolled nothing, or whose enrolment has ended', async () => {
      await of.person.call('community.reeve.key.endKeeper', { community: of.did, did: of.person.did })
      await expectTraceless(() => ask(sign()), REQUIRED)
    })

    it('by keys that a stolen session enrolled a moment ago, whoever shall receive the file', async () => {
      const olga = await hers.secondOwner(of)
      const keys = await enrol(hers.world, of.person, of.did)
      for (const body of [input(), { ...input(), recipients: [olga.person.did] }]) {
        const stepUp = stepUpOf(hers.world, { person: of.person, key: keys.signKey, act: EXPORT, input: body })
        await expectTraceless(() => ask(stepUp, body), refused(400, 'InvalidRequest'))
      }
    })

    it('by an owner who was put out', async () => {
      const olga = await hers.secondOwner(of)
      await putOut(olga, of.did, of.person.did)
      await expectTraceless(() => ask(sign()), refused(404, 'NotFound'))
    })

    it('and a refusal says since when the keys in force are enrolled, which may not be those that one thinks of', async () => {
      const enrolledAt = isoOf(hers.world.clock.nowMs())
      await enrol(hers.world, of.person, of.did)
      const { body } = await ask(sign())
      expect(body.message).toContain(`enrolled for you at ${enrolledAt.slice(0, 17)}`)
    })

    it('and the refusal is in the audit, for the other owners to see', async () => {
      await of.person.call(EXPORT, input())
      const { entries } = (await of.person.ask('community.reeve.audit.list', { community: of.did, limit: '1' })).body
      expect(JSON.stringify(entries[0])).toContain('KeeperSignatureRequired')
    })
  })
})

describe('the hash of an act’s input', () => {
  it('is that of its DAG-CBOR, whatever the order of the fields, without what is no part of the act', async () => {
    const { encode } = await import('@ipld/dag-cbor')
    const hash = createHash('sha256')
      .update(encode({ community: 'c', recipients: ['a'] }))
      .digest('hex')
    expect(inputHashOf({ recipients: ['a'], community: 'c', reason: undefined })).toBe(hash)
    const more = { stepUp: { at: '', sig: '' }, idempotencyKey: 'k', ifRevision: 3 }
    expect(inputHashOf({ ...more, community: 'c', recipients: ['a'] })).toBe(hash)
    expect(inputHashOf({ community: 'c', recipients: ['b'] })).not.toBe(hash)
  })
})
