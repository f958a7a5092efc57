/** The rows of keys that take over from others, and of those they took over from. Ciphertext only passes through here. */
import { sql } from 'kysely'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Secret } from '../platform/secret.ts'
import type { Permit } from '../policy/verdict.ts'
import type { FoundedPurpose } from './envelope.ts'
import type { FoundedRows, KeyFlag, KeyState } from './store.ts'

/** Keys that are to take over from those in force: sealed, not in the document yet. Made by the vault, opaque on the way here. */
export interface SuccessorRows {
  readonly community: Did
  readonly dekVersion: number
  readonly keys: FoundedRows['keys']
}

/** Keeps keys that are to take over, as `pending`. Must be committed before an operation that names them leaves the house. */
export async function saveSuccessors(
  tx: Tx,
  _permit: Permit<'keys.ceremony'>,
  successors: Secret<SuccessorRows>,
  nowMs: number,
): Promise<void> {
  const { community, dekVersion, keys } = successors.reveal()
  if (keys.length === 0) return
  await tx
    .insertInto('key')
    .values(
      keys.map(({ id, purpose, didKey, sealed }) => ({
        ...{ id, community, purpose, did_key: didKey, state: 'pending' as const, dek_version: dekVersion, sealed },
        ...{ created_at_ms: nowMs, state_since_ms: nowMs },
      })),
    )
    .execute()
}

/** What a document says about keys, as far as it concerns ours. */
export interface NamedKeys {
  readonly rotationKeys: readonly string[]
  readonly verificationMethods: Readonly<Record<string, string>>
}

/** States in which a key of ours comes into force when an operation names it. */
const MAY_COME: readonly KeyState[] = ['pending', 'retiring', 'retired']

/**
 * Lets the states of a community's keys follow the operation in force: of each purpose the key of ours that it names is the active one, and
 * the one before is retiring. Where it names none of ours nothing changes: whoever left has taken that decision, and may take it back.
 * Answers the purposes whose key changed.
 */
export async function followOperation(
  tx: Tx,
  community: Did,
  { rotationKeys, verificationMethods }: NamedKeys,
  nowMs: number,
): Promise<readonly FoundedPurpose[]> {
  const held = await tx
    .selectFrom('key')
    .select(['id', 'purpose', 'did_key', 'state'])
    .where('community', '=', community)
    .where('state', '<>', 'destroyed')
    .where('arrival', 'is', null)
    .forUpdate()
    .execute()
  const changed: FoundedPurpose[] = []
  const named = {
    rotation: rotationKeys.at(-1),
    atproto: verificationMethods['atproto'],
    space: verificationMethods['atproto_space'],
  }
  for (const purpose of ['rotation', 'atproto', 'space'] as const) {
    const next = held.find((key) => key.purpose === purpose && key.did_key === named[purpose])
    if (!next || !MAY_COME.includes(next.state)) continue
    const before = held.find((key) => key.purpose === purpose && key.state === 'active')
    // The active one first: there may be only one at any moment.
    if (before) await moveKey(tx, before.id, 'retiring', nowMs)
    await moveKey(tx, next.id, 'active', nowMs)
    changed.push(purpose)
  }
  return changed
}

async function moveKey(tx: Tx, id: string, state: 'active' | 'retiring', nowMs: number): Promise<void> {
  await tx.updateTable('key').set({ state, state_since_ms: nowMs, stands_aside: false }).where('id', '=', id).execute()
}

/** Has the active space key of a community stand aside, or take its turn again. Other processes see it within the life of a live key. */
export async function standAside(tx: Tx, community: Did, standsAside: boolean): Promise<void> {
  await tx
    .updateTable('key')
    .set({ stands_aside: standsAside })
    .where('community', '=', community)
    .where('purpose', '=', 'space')
    .where('state', '=', 'active')
    .execute()
}

/**
 * Retires the rotation key of ours that an operation in force doesn't name, where keys in shares stand alone. Answers whether none of ours is
 * named. What was retired is destroyed like any other, when no log can bring it back.
 */
export async function retireUnnamed(
  tx: Tx,
  community: Did,
  rotationKeys: readonly string[],
  nowMs: number,
): Promise<boolean> {
  const held = await tx
    .selectFrom('key')
    .select(['id', 'did_key', 'state'])
    .where('community', '=', community)
    .where('purpose', '=', 'rotation')
    .where('state', 'in', ['pending', 'active', 'retiring', 'retired'])
    .where('arrival', 'is', null)
    .execute()
  if (held.some(({ did_key }) => rotationKeys.includes(did_key))) return false
  const over = held.filter(({ state }) => state === 'active').map(({ id }) => id)
  if (over.length > 0) {
    await tx.updateTable('key').set({ state: 'retired', state_since_ms: nowMs }).where('id', 'in', over).execute()
  }
  return true
}

/** Notes of keys in force what happened to them. For ever. */
export async function flagActiveKeys(
  tx: Tx,
  community: Did,
  purposes: readonly FoundedPurpose[],
  flag: KeyFlag,
): Promise<void> {
  await tx
    .updateTable('key')
    .set({ flags: sql<KeyFlag[]>`array_append(flags, ${flag}::text)` })
    .where('community', '=', community)
    .where('purpose', 'in', purposes)
    .where('state', '=', 'active')
    .where(sql<boolean>`not (${flag}::text = any(flags))`)
    .execute()
}

/**
 * Gives up keys that were to take over. Those that no operation ever named are thrown away; the others are retired, since an operation that
 * was sent may come into force whatever the directory answered, and with its keys gone the community would be lost. Answers the ids of those
 * that are gone.
 */
export async function dropSuccessors(
  tx: Tx,
  community: Did,
  { nowMs, named }: { readonly nowMs: number; readonly named: ReadonlySet<string> },
): Promise<readonly string[]> {
  const pending = await tx
    .selectFrom('key')
    .select(['id', 'did_key'])
    .where('community', '=', community)
    .where('state', '=', 'pending')
    .where('arrival', 'is', null)
    .forUpdate()
    .execute()
  const isNamed = ({ did_key }: { readonly did_key: string }) => named.has(did_key)
  const kept = pending.filter(isNamed).map(({ id }) => id)
  const gone = pending.filter((key) => !isNamed(key)).map(({ id }) => id)
  if (kept.length > 0) {
    await tx.updateTable('key').set({ state: 'retired', state_since_ms: nowMs }).where('id', 'in', kept).execute()
  }
  await destroy(tx, gone, nowMs)
  return gone
}

async function destroy(tx: Tx, ids: readonly string[], nowMs: number): Promise<void> {
  if (ids.length === 0) return
  await tx
    .updateTable('key')
    .set({ state: 'destroyed', sealed: null, dek_version: null, state_since_ms: nowMs })
    .where('id', 'in', ids)
    .execute()
}

/** Some of the communities with a key that is in a state for so long, others each time. */
export async function listOver(
  db: Db,
  state: 'retiring' | 'retired',
  sinceBeforeMs: number,
  limit: number,
): Promise<readonly Did[]> {
  const over = db
    .selectFrom('key')
    .select('community')
    .distinct()
    .where('state', '=', state)
    .where('state_since_ms', '<=', sinceBeforeMs)
  const rows = await db.selectFrom(over.as('over')).select('community').orderBy(sql`random()`).limit(limit).execute()
  return rows.map(({ community }) => community)
}

/** Retires the keys of a community that are over. Answers their ids. */
export async function retireOver(
  tx: Tx,
  community: Did,
  { retireBeforeMs, nowMs }: { readonly retireBeforeMs: number; readonly nowMs: number },
): Promise<readonly string[]> {
  const retired = await tx
    .updateTable('key')
    .set({ state: 'retired', state_since_ms: nowMs })
    .where('community', '=', community)
    .where('state', '=', 'retiring')
    .where('state_since_ms', '<=', retireBeforeMs)
    .returning('id')
    .execute()
  return retired.map(({ id }) => id)
}

/** Destroys keys that were retired long enough and that nothing names any more: the envelope is gone, the row stays. Answers their ids. */
export async function destroyOver(
  tx: Tx,
  community: Did,
  about: { readonly destroyBeforeMs: number; readonly named: ReadonlySet<string>; readonly nowMs: number },
): Promise<readonly string[]> {
  const over = await tx
    .selectFrom('key')
    .select(['id', 'did_key'])
    .where('community', '=', community)
    .where('state', '=', 'retired')
    .where('state_since_ms', '<=', about.destroyBeforeMs)
    .forUpdate()
    .execute()
  const gone = over.filter(({ did_key }) => !about.named.has(did_key)).map(({ id }) => id)
  await destroy(tx, gone, about.nowMs)
  return gone
}

/** Communities of which a key changed its state since then. */
export async function listChangedSince(db: Db, sinceMs: number): Promise<readonly Did[]> {
  const rows = await db
    .selectFrom('key')
    .select('community')
    .distinct()
    .where('state_since_ms', '>=', sinceMs)
    .execute()
  return rows.map(({ community }) => community)
}
