/**
 * The same call under the same key is carried out once, and answered alike for a day.
 *
 * For whoever lost the answer on the way: without it, trying again would do the thing twice, and not trying would leave them
 * not knowing. A refusal is not kept, since its transaction is undone: the call is judged anew.
 */
import { Refusal } from '../refusals.ts'
import { sha256 } from './bytes.ts'
import type { Db, Tx } from './database.ts'

declare module './database.ts' {
  interface Tables {
    idempotency: {
      actor: string
      method: string
      key: string
      request_hash: Uint8Array
      answer: string | null
      keep_until_ms: number
    }
  }
}

export interface IdempotentCall {
  /** Whose key it is: two people may use the same one. */
  readonly actor: string
  readonly method: string
  /** 1–128 characters, chosen by the caller. */
  readonly key: string
  /** SHA-256 of the call's body without the key. */
  readonly requestHash: Uint8Array
}

/** One call of a procedure: what tells its body apart, and the key under which it must be done once only, if it has one. */
export interface ProcedureCall {
  readonly requestHash: Uint8Array
  readonly idempotency: IdempotentCall | null
}

/** What tells two bodies apart: SHA-256 over their JSON, with the fields of every object in one order. */
export const requestHashOf = (body: Readonly<Record<string, unknown>>): Uint8Array =>
  sha256(JSON.stringify(inOrder(body)))

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => [key, inOrder(inner)])
}

const KEPT_MS = 24 * 60 * 60 * 1000

/**
 * The answer that was given to this call, or null: then the key is the caller's until the transaction ends, and the effect
 * and `remember` belong into the same transaction. A second call with the same key waits here for the first to end.
 *
 * @throws Refusal('IdempotencyConflict') when the key was used for another body.
 */
export async function remembered(tx: Tx, call: IdempotentCall, nowMs: number): Promise<{ answer: unknown } | null> {
  const mine = { actor: call.actor, method: call.method, key: call.key }
  const fresh = { request_hash: call.requestHash, answer: null, keep_until_ms: nowMs + KEPT_MS }
  const taken = await tx
    .insertInto('idempotency')
    .values({ ...mine, ...fresh })
    .onConflict((conflict) =>
      conflict.columns(['actor', 'method', 'key']).doUpdateSet(fresh).where('idempotency.keep_until_ms', '<=', nowMs),
    )
    .returning('key')
    .executeTakeFirst()
  if (taken) return null
  const earlier = await recall(tx, call, nowMs)
  if (!earlier) throw new Error('an idempotency key that could not be taken is nobody’s')
  return earlier
}

/**
 * The answer that was given to this call, or null; takes nothing. For a call that asks others before it begins its transaction:
 * what they say now is no matter when it was carried out already.
 *
 * @throws Refusal('IdempotencyConflict') when the key was used for another body.
 */
export async function recall(db: Db | Tx, call: IdempotentCall, nowMs: number): Promise<{ answer: unknown } | null> {
  const row = await db
    .selectFrom('idempotency')
    .select(['request_hash', 'answer'])
    .where('actor', '=', call.actor)
    .where('method', '=', call.method)
    .where('key', '=', call.key)
    .where('keep_until_ms', '>', nowMs)
    .executeTakeFirst()
  if (!row) return null
  if (!Buffer.from(row.request_hash).equals(call.requestHash)) {
    throw new Refusal('IdempotencyConflict', 'the idempotencyKey was used for a call with another body')
  }
  if (row.answer === null) throw new Error('a call took an idempotency key and kept no answer')
  return { answer: JSON.parse(row.answer) }
}

/** Keeps the answer of the call whose key `remembered` took in this transaction. `answer` goes through JSON. */
export async function remember(tx: Tx, call: IdempotentCall, answer: unknown, nowMs: number): Promise<void> {
  const { numUpdatedRows } = await tx
    .updateTable('idempotency')
    .set({ answer: JSON.stringify(answer), keep_until_ms: nowMs + KEPT_MS })
    .where('actor', '=', call.actor)
    .where('method', '=', call.method)
    .where('key', '=', call.key)
    .where('answer', 'is', null)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows !== 1n) throw new Error('an answer for an idempotency key that was not taken')
}

/** Deletes at most `max` answers older than a day, and answers how many. */
export async function forgetAnswers(db: Db, nowMs: number, max: number): Promise<number> {
  const over = db
    .selectFrom('idempotency')
    .select(['actor', 'method', 'key'])
    .where('keep_until_ms', '<=', nowMs)
    .orderBy('keep_until_ms')
    .limit(max)
    .forUpdate()
    .skipLocked()
  const { numDeletedRows } = await db
    .deleteFrom('idempotency')
    .where(({ refTuple }) => refTuple('actor', 'method', 'key'), 'in', over.$asTuple('actor', 'method', 'key'))
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}
