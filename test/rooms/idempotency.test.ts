/** Calls with an idempotency key: one effect, one answer. */
import { expect, it } from 'vitest'
import { sha256 } from '../../src/platform/bytes.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { forgetAnswers, type IdempotentCall, remember, remembered } from '../../src/platform/idempotency.ts'
import { Refusal } from '../../src/refusals.ts'
import { describeOnEachEngine } from '../kit/databases.ts'

const NOW_MS = 1_700_000_000_000
const DAY_MS = 24 * 60 * 60 * 1000

const callOf = (change: Partial<IdempotentCall> = {}, body = 'body'): IdempotentCall => ({
  actor: 'did:plc:alice',
  method: 'community.reeve.member.put',
  key: 'a key',
  requestHash: sha256(body),
  ...change,
})

describeOnEachEngine('a call with an idempotency key', (open) => {
  /** An action whose effect can be counted: it spends a number that nobody had. */
  async function act(db: Db, call: IdempotentCall, nowMs = NOW_MS, refusal?: Refusal): Promise<unknown> {
    return await withTransaction(db, async (tx) => {
      const earlier = await remembered(tx, call, nowMs)
      if (earlier) return earlier.answer
      const id = new Uint8Array(32)
      crypto.getRandomValues(id)
      await tx.insertInto('spent').values({ id, keep_until_sec: 1 }).execute()
      if (refusal) throw refusal
      const answer = { revision: 7, effect: Buffer.from(id).toString('hex'), list: [null, 'ü'] }
      await remember(tx, call, answer, nowMs)
      return answer
    })
  }
  const effects = async (db: Db) => (await db.selectFrom('spent').select('id').execute()).length

  it('gets the same answer again, from one effect', async () => {
    const { db } = await open()
    const first = await act(db, callOf())
    expect(await act(db, callOf(), NOW_MS + DAY_MS - 1)).toEqual(first)
    expect(await effects(db)).toBe(1)
  })

  it('is refused with another body', async () => {
    const { db } = await open()
    await act(db, callOf())
    const other = act(db, callOf({}, 'another body'))
    await expect(other).rejects.toMatchObject({ name: 'Refusal', code: 'IdempotencyConflict' })
    expect(await effects(db)).toBe(1)
  })

  it('does not meet the keys of other people and other methods', async () => {
    const { db } = await open()
    await act(db, callOf())
    await act(db, callOf({ actor: 'did:plc:bob' }, 'x'))
    await act(db, callOf({ method: 'community.reeve.member.remove' }, 'y'))
    await act(db, callOf({ key: 'another key' }, 'z'))
    expect(await effects(db)).toBe(4)
  })

  it('has one effect when it comes twenty times at once, and each hears the same answer', async () => {
    const { db } = await open()
    const answers = await Promise.all(Array.from({ length: 20 }, () => act(db, callOf())))
    expect(await effects(db)).toBe(1)
    for (const answer of answers) expect(answer).toEqual(answers[0])
  })

  it('is judged anew after a refusal, since nothing was kept', async () => {
    const { db } = await open()
    await expect(act(db, callOf(), NOW_MS, new Refusal('LastOwner', 'no'))).rejects.toMatchObject({ code: 'LastOwner' })
    expect(await effects(db)).toBe(0)
    await act(db, callOf({}, 'another body'))
    expect(await effects(db)).toBe(1)
  })

  it('is carried out by one that waited, when the first was refused', async () => {
    const { db } = await open()
    const [first, second] = await Promise.allSettled([
      act(db, callOf(), NOW_MS, new Refusal('LastOwner', 'no')),
      act(db, callOf()),
    ])
    expect(first?.status === 'rejected' || second?.status === 'fulfilled').toBe(true)
    expect(second?.status).toBe('fulfilled')
    expect(await effects(db)).toBe(1)
  })

  it('is a new call after a day, whether or not the old answer was swept away', async () => {
    const { db } = await open()
    const first = await act(db, callOf())
    const second = await act(db, callOf({}, 'another body'), NOW_MS + DAY_MS)
    expect(second).not.toEqual(first)
    expect(await effects(db)).toBe(2)
  })

  it('is swept away after a day, a few at a time', async () => {
    const { db } = await open()
    for (const key of ['a', 'b', 'c']) await act(db, callOf({ key }))
    await act(db, callOf({ key: 'later' }), NOW_MS + 1)
    expect(await forgetAnswers(db, NOW_MS + DAY_MS - 1, 10)).toBe(0)
    expect(await forgetAnswers(db, NOW_MS + DAY_MS, 2)).toBe(2)
    expect(await forgetAnswers(db, NOW_MS + DAY_MS, 2)).toBe(1)
    const left = await db.selectFrom('idempotency').select('key').execute()
    expect(left).toEqual([{ key: 'later' }])
  })

  it('that keeps an answer without having taken its key is a mistake of ours, and says so', async () => {
    const { db } = await open()
    await expect(withTransaction(db, (tx) => remember(tx, callOf(), 1, NOW_MS))).rejects.toThrow(/was not taken/)
  })
})
