/** Single use: one winner, whatever the number of those who try. */
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { type Claim, claimId, claimInsert, claimOnce, forgetSpent, raiseFloor } from '../../src/platform/once.ts'
import { describeOnEachEngine } from '../kit/databases.ts'

const claimOf = (jti: string, keepUntilSec = 1_000): Claim => ({
  id: claimId('delegation', 'did:plc:alice', jti),
  keepUntilSec,
})

describe('the id of a claim', () => {
  it('is 32 bytes that depend on kind, holder and jti, and on where one ends and the next begins', () => {
    const ids = [
      claimId('delegation', 'did:plc:alice', 'x'),
      claimId('dpop', 'did:plc:alice', 'x'),
      claimId('delegation', 'did:plc:bob', 'x'),
      claimId('delegation', 'did:plc:alice', 'y'),
      claimId('delegation', 'did:plc:alicex', ''),
      claimId('delegationdid', ':plc:alice', 'x'),
    ].map((id) => Buffer.from(id).toString('hex'))
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of ids) expect(id).toHaveLength(64)
    expect(Buffer.from(claimId('delegation', 'did:plc:alice', 'x')).toString('hex')).toBe(ids[0])
  })
})

describeOnEachEngine('a claim', (open, engine) => {
  it('is new once, and spent from then on, also past its time', async () => {
    const { db } = await open()
    expect(await claimOnce(db, [claimOf('a')])).toEqual([true])
    expect(await claimOnce(db, [claimOf('a')])).toEqual([false])
    expect(await claimOnce(db, [claimOf('a', 9_999_999)])).toEqual([false])
    expect(await claimOnce(db, [])).toEqual([])
  })

  it('is answered in the order asked, and of two equal ones the first counts', async () => {
    const { db } = await open()
    await claimOnce(db, [claimOf('b')])
    const claims = ['d', 'b', 'a', 'd', 'c'].map((jti) => claimOf(jti))
    expect(await claimOnce(db, claims)).toEqual([true, false, true, false, true])
  })

  it('is won by exactly one of fifty who try at once', async () => {
    const { db, url } = await open()
    // On PostgreSQL from two pools, as two processes would.
    const other =
      url && (await openDatabase({ url, dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock }))
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        claimOnce(index % 2 === 0 || !other ? db : other.db, [claimOf('contested')]),
      ),
    )
    expect(results.flat().filter((isNew) => isNew)).toHaveLength(1)
    expect(other === null).toBe(engine === 'embedded')
    await other?.close()
  })

  it('of many overlapping batches in opposite order has one winner each, and nobody waits for ever', async () => {
    const { db } = await open()
    const jtis = Array.from({ length: 40 }, (_, index) => `batch-${index}`)
    const forward = jtis.map((jti) => claimOf(jti))
    const backward = forward.toReversed()
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) => claimOnce(db, index % 2 === 0 ? forward : backward)),
    )
    expect(results.flat().filter((isNew) => isNew)).toHaveLength(jtis.length)
  })

  it('can be part of a statement that writes only when every claim was new', async () => {
    const { db } = await open()
    await sql`create table issued (jti text primary key)`.execute(db)
    const issue = async (jti: string, claims: readonly Claim[]) => {
      const result = await db
        .with('claimed', (query) => claimInsert(query, claims))
        .selectFrom('claimed')
        .select(({ fn }) => fn.countAll<number>().as('fresh'))
        .executeTakeFirstOrThrow()
      if (result.fresh === claims.length) await sql`insert into issued values (${jti})`.execute(db)
      return result.fresh
    }
    expect(await issue('one', [claimOf('token'), claimOf('proof')])).toBe(2)
    expect(await issue('two', [claimOf('token 2'), claimOf('proof')])).toBe(1)
    expect(await issue('none', [])).toBe(0)
    const single = await sql<{ jti: string }>`with claimed as (${claimInsert(db, [claimOf('token 3')])})
      insert into issued select 'three' from claimed returning jti`.execute(db)
    expect(single.rows).toEqual([{ jti: 'three' }])
  })

  it('is undone with the transaction that it was part of', async () => {
    const { db } = await open()
    const undone = db.transaction().execute(async (tx) => {
      expect(await claimOnce(tx, [claimOf('a')])).toEqual([true])
      throw new Error('undo')
    })
    await expect(undone).rejects.toThrow('undo')
    expect(await claimOnce(db, [claimOf('a')])).toEqual([true])
  })

  it('is forgotten only after its time, a few at a time, the oldest first', async () => {
    const { db } = await open()
    await claimOnce(db, [claimOf('a', 100), claimOf('b', 101), claimOf('c', 102), claimOf('d', 103)])
    expect(await forgetSpent(db, 100, 10)).toBe(0)
    expect(await forgetSpent(db, 103, 2)).toBe(2)
    expect(await claimOnce(db, [claimOf('c', 102), claimOf('a', 100)])).toEqual([false, true])
    expect(await forgetSpent(db, 103, 10)).toBe(2)
    expect(await claimOnce(db, [claimOf('d', 103)])).toEqual([false])
  })

  it('leaves a floor: what ends by then counts as spent, whoever’s clock says what', async () => {
    const { db } = await open()
    await claimOnce(db, [claimOf('a', 100), claimOf('b', 200), claimOf('c', 300)])
    expect(await raiseFloor(db, 100)).toBe(0)
    expect(await raiseFloor(db, 201)).toBe(200)
    expect(await forgetSpent(db, 201, 10)).toBe(2)
    // Those that were forgotten, and others that nobody ever showed: who could tell them from each other?
    expect(await claimOnce(db, [claimOf('a', 100), claimOf('b', 200), claimOf('new', 200)])).toEqual([
      false,
      false,
      false,
    ])
    expect(await claimOnce(db, [claimOf('c', 300), claimOf('new', 201)])).toEqual([false, true])
    // By a clock that was set back it isn't lowered, and by one that is years ahead it comes no further than what was claimed.
    expect(await raiseFloor(db, 50)).toBe(200)
    expect(await raiseFloor(db, 9_000_000_000)).toBe(300)
    expect(await claimOnce(db, [claimOf('later', 301)])).toEqual([true])
  })

  it('with an id of another length is refused by the database itself', async () => {
    const { db } = await open()
    await expect(claimOnce(db, [{ id: Uint8Array.of(1), keepUntilSec: 1 }])).rejects.toMatchObject({ code: '23514' })
  })
})
