/** The table of communities: what they are called, who holds their keys, and how far the founding of each has come. */
import { type ColumnType, sql } from 'kysely'
import type { PlcOperation } from '../identity/plc-operation.ts'
import type { Did, DidKey, Handle } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'
import { freeServedHandles, giveUpServedHandles, takeServedHandle } from './handle-store.ts'

/**
 * How far a founding is known to be. `refused` is an end: the directory will never take this operation. `deleted` is the end of a
 * community that was opened.
 */
export type MintStep = 'prepared' | 'submitted' | 'confirmed' | 'opened' | 'refused' | 'deleted'
export type MintFault = 'PlcRejected' | 'PlcConflict'
/** What a founder asked for beyond that: a key in shares, beside which this service has one or (`quorumStrict`) none. */
export type WantedCustody = 'quorum' | 'quorumStrict'
/** `external`: the DID is an account's on somebody's PDS, and no key of it is here. */
export type CustodyKind = 'memberHeld' | 'custodial' | 'external'

declare module '../platform/database.ts' {
  interface Tables {
    community: {
      did: string
      name: string
      handle: string | null
      custody: CustodyKind
      recovery_key: string | null
      recovery_holder: ColumnType<string | null, string | null | undefined>
      former_recovery_keys: ColumnType<string[], string[] | undefined>
      wanted_custody: ColumnType<WantedCustody | null, WantedCustody | null | undefined>
      founder: string
      step: MintStep
      fault: MintFault | null
      operation: unknown
      operation_cid: string | null
      idempotency_key: string | null
      request_hash: Uint8Array
      created_at_ms: number
    }
  }
}

export interface Community {
  readonly did: Did
  readonly name: string
  readonly handle: Handle | null
  readonly custody: CustodyKind
  readonly recoveryKey: DidKey | null
  /** Who proved to hold it; null where nobody did. */
  readonly recoveryHolder: Did | null
  /** Keys that were the community's own before. */
  readonly formerRecoveryKeys: readonly string[]
  /** Until the first ceremony has ended; null otherwise. */
  readonly wantedCustody: WantedCustody | null
  readonly founder: Did
  readonly step: MintStep
  readonly fault: MintFault | null
  readonly createdAtMs: number
}

/** A founding and what is needed to go on with it: the signed operation, byte for byte, and its CID. */
export interface Founding extends Community {
  readonly operation: PlcOperation
  readonly operationCid: string
  readonly requestHash: Uint8Array
  readonly idempotencyKey: string | null
}

const COLUMNS = [
  'did',
  'name',
  'handle',
  'custody',
  'recovery_key',
  'recovery_holder',
  'former_recovery_keys',
  'wanted_custody',
  'founder',
  'step',
  'fault',
  'operation',
  'operation_cid',
  'idempotency_key',
  'request_hash',
  'created_at_ms',
] as const

/** Keeps a founding that has not left the house yet. False: its idempotency key or its handle is taken; nothing was kept. */
export async function insertFounding(tx: Tx, founding: Founding): Promise<boolean> {
  const { did, handle } = founding
  if (handle !== null && !(await takeServedHandle(tx, handle, did, founding.createdAtMs))) return false
  const made = await tx
    .insertInto('community')
    .values({
      did,
      name: founding.name,
      handle,
      custody: founding.custody,
      recovery_key: founding.recoveryKey,
      recovery_holder: founding.recoveryHolder,
      wanted_custody: founding.wantedCustody,
      founder: founding.founder,
      step: founding.step,
      fault: founding.fault,
      operation: JSON.stringify(founding.operation),
      operation_cid: founding.operationCid,
      idempotency_key: founding.idempotencyKey,
      request_hash: founding.requestHash,
      created_at_ms: founding.createdAtMs,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('did')
    .executeTakeFirst()
  if (!made) await freeServedHandles(tx, did)
  return made !== undefined
}

/** Notes that an account is a community here. False: it is one already, or was. */
export async function insertAdopted(
  tx: Tx,
  adopted: Pick<Founding, 'did' | 'name' | 'founder' | 'requestHash' | 'createdAtMs'>,
): Promise<boolean> {
  const { did, name, founder, requestHash, createdAtMs } = adopted
  const nothing = { handle: null, recovery_key: null, fault: null, operation: null, operation_cid: null }
  const made = await tx
    .insertInto('community')
    .values({
      ...{ did, name, founder, ...nothing, custody: 'external', step: 'opened', idempotency_key: null },
      ...{ request_hash: requestHash, created_at_ms: createdAtMs },
    })
    .onConflict((conflict) => conflict.column('did').doNothing())
    .returning('did')
    .executeTakeFirst()
  return made !== undefined
}

/** Notes that a DID from elsewhere is a community here, as the operation in force says. False: it is one already, or was. */
export async function insertArrived(
  tx: Tx,
  arrived: Pick<
    Founding,
    'did' | 'name' | 'founder' | 'operation' | 'operationCid' | 'recoveryHolder' | 'createdAtMs'
  > & {
    readonly recoveryKey: DidKey
    readonly requestHash: Uint8Array
  },
): Promise<boolean> {
  const { did, name, founder, recoveryKey, recoveryHolder, operation, operationCid, requestHash, createdAtMs } = arrived
  const made = await tx
    .insertInto('community')
    .values({
      ...{ did, name, founder, handle: null, fault: null, idempotency_key: null },
      ...{ custody: 'memberHeld', step: 'opened' },
      ...{ recovery_key: recoveryKey, recovery_holder: recoveryHolder },
      ...{ operation: JSON.stringify(operation), operation_cid: operationCid },
      ...{ request_hash: requestHash, created_at_ms: createdAtMs },
    })
    .onConflict((conflict) => conflict.column('did').doNothing())
    .returning('did')
    .executeTakeFirst()
  return made !== undefined
}

/** One community, whether its founding is finished or not. */
export async function loadCommunity(db: Db | Tx, did: Did): Promise<Community | null> {
  const row = await db.selectFrom('community').select(COLUMNS).where('did', '=', did).executeTakeFirst()
  return row ? communityOf(row) : null
}

/** One founding, finished or not. An account that was adopted has none. */
export async function loadFounding(db: Db | Tx, did: Did): Promise<Founding | null> {
  const row = await db.selectFrom('community').select(COLUMNS).where('did', '=', did).executeTakeFirst()
  return row && row.custody !== 'external' ? foundingOf(row) : null
}

/** Whether a community that was opened has come to its end. */
export async function hasCommunityEnded(db: Db | Tx, did: Did): Promise<boolean> {
  const row = await db.selectFrom('community').select('step').where('did', '=', did).executeTakeFirst()
  return row?.step === 'deleted'
}

/** One founding, held until the transaction ends. */
export async function lockFounding(tx: Tx, did: Did): Promise<Founding | null> {
  const row = await tx.selectFrom('community').select(COLUMNS).where('did', '=', did).forUpdate().executeTakeFirst()
  return row ? foundingOf(row) : null
}

/** The founding that a founder began under an idempotency key. */
export async function loadFoundingByKey(db: Db | Tx, founder: Did, key: string): Promise<Founding | null> {
  const row = await db
    .selectFrom('community')
    .select(COLUMNS)
    .where('founder', '=', founder)
    .where('idempotency_key', '=', key)
    .executeTakeFirst()
  return row ? foundingOf(row) : null
}

/** Notes that a founding went from one step to the next. False: somebody else moved it meanwhile. */
export async function moveStep(db: Db | Tx, did: Did, from: MintStep, to: MintStep): Promise<boolean> {
  const result = await db
    .updateTable('community')
    .set({ step: to })
    .where('did', '=', did)
    .where('step', '=', from)
    .executeTakeFirst()
  return result.numUpdatedRows === 1n
}

/** Notes that a submitted founding came to nothing, and why. A handle that never came into use is free again. */
export async function refuseFounding(tx: Tx, did: Did, fault: MintFault): Promise<boolean> {
  const result = await tx
    .updateTable('community')
    .set({ step: 'refused', fault, handle: null })
    .where('did', '=', did)
    .where('step', '=', 'submitted')
    .executeTakeFirst()
  if (result.numUpdatedRows !== 1n) return false
  await freeServedHandles(tx, did)
  return true
}

const UNFINISHED = ['prepared', 'submitted', 'confirmed'] as const

/** Changes what people call a community. */
export async function renameCommunity(
  tx: Tx,
  _permit: Permit<'community.configure'>,
  did: Did,
  name: string,
): Promise<void> {
  await tx.updateTable('community').set({ name }).where('did', '=', did).execute()
}

/** Notes that a community came to its end. Its handle is given up. */
export async function endCommunity(
  tx: Tx,
  _permit: Permit<'community.transfer'>,
  did: Did,
  nowMs: number,
): Promise<void> {
  await tx.updateTable('community').set({ step: 'deleted', handle: null }).where('did', '=', did).execute()
  await giveUpServedHandles(tx, did, null, nowMs)
}

/** Some of the foundings under way, others each time: those that can't go on must not stand before those that can. */
export async function listUnfinished(db: Db, limit: number): Promise<Did[]> {
  const rows = await db
    .selectFrom('community')
    .select('did')
    .where('step', 'in', UNFINISHED)
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map((row) => row.did as Did)
}

/** How many foundings of one person are under way. */
export async function countUnfinishedOf(db: Db, founder: Did): Promise<number> {
  const row = await db
    .selectFrom('community')
    .select((where) => where.fn.countAll<number>().as('count'))
    .where('founder', '=', founder)
    .where('step', 'in', UNFINISHED)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/** Communities on whose rosters a person is now, or which they are founding, in the order of their DIDs, after `after`. */
export async function listCommunitiesOf(
  db: Db,
  person: Did,
  nowMs: number,
  after: string,
  limit: number,
): Promise<Community[]> {
  const rows = await db
    .selectFrom('community')
    .select(COLUMNS)
    .where('did', '>', after)
    .where('step', '<>', 'deleted')
    .where((where) =>
      where.or([
        where.and([where('founder', '=', person), where('step', '<>', 'opened')]),
        where.exists(
          where
            .selectFrom('person_edge')
            .select('person_edge.did')
            .whereRef('person_edge.community', '=', 'community.did')
            .where('person_edge.did', '=', person)
            .where((edge) => edge.or([edge('since_ms', 'is', null), edge('since_ms', '<=', nowMs)]))
            .where((edge) => edge.or([edge('until_ms', 'is', null), edge('until_ms', '>', nowMs)])),
        ),
      ]),
    )
    .orderBy('did')
    .limit(limit)
    .execute()
  return rows.map(communityOf)
}

/** Notes which handle a community has, as both sides have just said. A domain that another community had has passed to it. */
export async function saveHandle(tx: Tx, did: Did, handle: Handle | null): Promise<void> {
  if (handle !== null) {
    await tx
      .updateTable('community')
      .set({ handle: null })
      .where('handle', '=', handle)
      .where('did', '<>', did)
      .execute()
  }
  await tx.updateTable('community').set({ handle }).where('did', '=', did).execute()
}

interface StoredCommunity {
  readonly did: string
  readonly name: string
  readonly handle: string | null
  readonly custody: CustodyKind
  readonly recovery_key: string | null
  readonly recovery_holder: string | null
  readonly former_recovery_keys: readonly string[]
  readonly wanted_custody: WantedCustody | null
  readonly founder: string
  readonly step: MintStep
  readonly fault: MintFault | null
  readonly operation: unknown
  readonly operation_cid: string | null
  readonly idempotency_key: string | null
  readonly request_hash: Uint8Array
  readonly created_at_ms: number
}

/** What is in the table was parsed, or made here, when it was written. */
const communityOf = (row: StoredCommunity): Community => ({
  did: row.did as Did,
  name: row.name,
  handle: row.handle as Handle | null,
  custody: row.custody,
  recoveryKey: row.recovery_key as DidKey | null,
  recoveryHolder: row.recovery_holder as Did | null,
  formerRecoveryKeys: row.former_recovery_keys,
  wantedCustody: row.wanted_custody,
  founder: row.founder as Did,
  step: row.step,
  fault: row.fault,
  createdAtMs: row.created_at_ms,
})

function foundingOf(row: StoredCommunity): Founding {
  if (row.operation_cid === null) throw new TypeError('a founding without its operation')
  return {
    ...communityOf(row),
    operation: row.operation as PlcOperation,
    operationCid: row.operation_cid,
    requestHash: row.request_hash,
    idempotencyKey: row.idempotency_key,
  }
}
