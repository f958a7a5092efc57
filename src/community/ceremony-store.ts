/**
 * The table of ceremonies: what each says, and how far it is. Whatever was given to one is gone with the end of it, in the same transaction; what
 * people did in it is in `ceremony-act-store.ts`.
 */
import { sql } from 'kysely'
import {
  type CeremonyKind,
  type CeremonyStatement,
  encodeStatement,
  parseStatement,
  type Transcript,
} from '../keys/ceremony-statements.ts'
import type { SealedBlob } from '../keys/vault.ts'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'
import { savePackets, wipeGiven } from './ceremony-act-store.ts'
import { moveQuorumKey } from './quorum-store.ts'

/**
 * `proposed`: people have to say yes. `approved`: they did, and the dealer has to deal. `collecting`: keepers have to act. `ready`: enough of them
 * did, and whoever combines has to, or what came out is on its way. The others are ends.
 */
export type CeremonyState =
  | 'proposed'
  | 'approved'
  | 'collecting'
  | 'ready'
  | 'done'
  | 'cancelled'
  | 'expired'
  | 'failed'

export const OPEN_STATES: readonly CeremonyState[] = ['proposed', 'approved', 'collecting', 'ready']

declare module '../platform/database.ts' {
  interface Tables {
    ceremony: {
      id: string
      community: Did
      slot: string
      kind: CeremonyKind
      quorum_key: string | null
      state: CeremonyState
      fault: string | null
      statement: Uint8Array
      statement_hash: string
      sig: string
      wish: unknown
      transcript: unknown
      sealing: Uint8Array | null
      sealing_dek: number | null
      signed: string | null
      created_by: Did
      created_at_ms: number
      expires_at_ms: number
      ended_at_ms: number | null
    }
  }
}

/** What a dealer published, with the new key's own signature over it. */
export interface Dealt {
  readonly transcript: Transcript
  readonly proof: string
}

export interface Ceremony {
  readonly id: string
  readonly community: Did
  /** Which others it excludes while it is open. */
  readonly slot: string
  readonly kind: CeremonyKind
  /** The key in shares; null for a split before it is dealt. */
  readonly quorumKey: string | null
  readonly state: CeremonyState
  readonly fault: string | null
  readonly statement: CeremonyStatement
  /** In hexadecimal. */
  readonly statementHash: string
  readonly sig: string
  /** What its operation does, where it has a name. */
  readonly wish: string | null
  readonly dealt: Dealt | null
  /** The key's signature, once there is one. */
  readonly signed: string | null
  readonly createdBy: Did
  readonly createdAtMs: number
  readonly expiresAtMs: number
}

const COLUMNS = [
  ...([
    'id',
    'community',
    'slot',
    'kind',
    'quorum_key',
    'state',
    'fault',
    'statement',
    'statement_hash',
    'sig',
  ] as const),
  ...(['wish', 'transcript', 'signed', 'created_by', 'created_at_ms', 'expires_at_ms'] as const),
] as const

/** Keeps a ceremony that begins. False: another one is open in its slot; nothing was kept. */
export async function insertCeremony(
  tx: Tx,
  _permit: Permit<'keys.ceremony'>,
  begun: Omit<Ceremony, 'fault' | 'dealt' | 'signed'>,
  sealing: SealedBlob | null,
): Promise<boolean> {
  const made = await tx
    .insertInto('ceremony')
    .values({
      ...{ id: begun.id, community: begun.community, slot: begun.slot, kind: begun.kind, quorum_key: begun.quorumKey },
      ...{ state: begun.state, fault: null, statement: encodeStatement(begun.statement) },
      ...{ statement_hash: begun.statementHash, sig: begun.sig, wish: jsonOf(begun.wish), transcript: null },
      ...{ sealing: sealing?.sealed ?? null, sealing_dek: sealing?.dekVersion ?? null, signed: null },
      ...{ created_by: begun.createdBy, created_at_ms: begun.createdAtMs, expires_at_ms: begun.expiresAtMs },
      ended_at_ms: null,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst()
  return made !== undefined
}

const jsonOf = (value: unknown): string | null => (value === null ? null : JSON.stringify(value))

export async function loadCeremony(db: Db | Tx, id: string): Promise<Ceremony | null> {
  const row = await db.selectFrom('ceremony').select(COLUMNS).where('id', '=', id).executeTakeFirst()
  return row ? ceremonyOf(row) : null
}

/** The ceremony that is open in a slot of a community; its time may have passed. */
export async function loadOpenIn(db: Db | Tx, community: Did, slot: string): Promise<Ceremony | null> {
  const row = await db
    .selectFrom('ceremony')
    .select(COLUMNS)
    .where('community', '=', community)
    .where('slot', '=', slot)
    .where('state', 'in', OPEN_STATES)
    .executeTakeFirst()
  return row ? ceremonyOf(row) : null
}

/** When the last ceremony that somebody began in a slot, and that came to nothing, was over; null: there is none. */
export async function loadLapsedMs(db: Db | Tx, community: Did, slot: string, by: Did): Promise<number | null> {
  const row = await db
    .selectFrom('ceremony')
    .select((at) => at.fn.max('ended_at_ms').as('ended'))
    .where('community', '=', community)
    .where('slot', '=', slot)
    .where('created_by', '=', by)
    .where('state', 'in', ['cancelled', 'expired'])
    .executeTakeFirst()
  return row?.ended === null || row?.ended === undefined ? null : Number(row.ended)
}

/** Every ceremony of a community that is open, the oldest first; the time of some may have passed. */
export async function listOpenCeremonies(db: Db | Tx, community: Did): Promise<readonly Ceremony[]> {
  const rows = await db
    .selectFrom('ceremony')
    .select(COLUMNS)
    .where('community', '=', community)
    .where('state', 'in', OPEN_STATES)
    .orderBy('created_at_ms')
    .orderBy('id')
    .execute()
  return rows.map(ceremonyOf)
}

/** Who dealt a key, and so had all of it; null: that isn't known. */
export async function loadDealer(db: Db | Tx, quorumKey: string): Promise<Did | null> {
  const row = await db
    .selectFrom('ceremony')
    .select('created_by')
    .where('quorum_key', '=', quorumKey)
    .where('kind', '=', 'split')
    .executeTakeFirst()
  return row?.created_by ?? null
}

/** Whether keepers are just signing an operation of the identity, or it is on its way. */
export async function hasOpenCombine(db: Db | Tx, community: Did, nowMs: number): Promise<boolean> {
  const row = await db
    .selectFrom('ceremony')
    .select('id')
    .where('community', '=', community)
    .where('kind', '=', 'combine')
    .where('state', 'in', OPEN_STATES)
    .where((where) => where.or([where('signed', 'is not', null), where('expires_at_ms', '>', nowMs)]))
    .executeTakeFirst()
  return row !== undefined
}

/** Whether the time of a ceremony has passed. What came out of one in time goes on to its end. */
export const isOverdue = ({ state, signed, expiresAtMs }: Ceremony, nowMs: number): boolean =>
  OPEN_STATES.includes(state) && signed === null && expiresAtMs <= nowMs

/** Some of the ceremonies whose time has passed, others each time: one that fails must not stand before those that don't. */
export async function listOverdue(db: Db, nowMs: number, limit: number): Promise<readonly Ceremony[]> {
  const rows = await db
    .selectFrom('ceremony')
    .select(COLUMNS)
    .where('state', 'in', OPEN_STATES)
    .where('signed', 'is', null)
    .where('expires_at_ms', '<=', nowMs)
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map(ceremonyOf)
}

/** Some of the ceremonies in which this service has enough shares since an instant and hasn't come to an end with them. */
export async function listUncombined(db: Db, sinceMs: number, limit: number): Promise<readonly Ceremony[]> {
  const rows = await db
    .selectFrom('ceremony')
    .select(COLUMNS)
    .where('state', '=', 'ready')
    .where('signed', 'is', null)
    .where('sealing', 'is not', null)
    .where((row) =>
      row.not(
        row.exists(
          row
            .selectFrom('ceremony_act')
            .select('did')
            .whereRef('ceremony_act.ceremony', '=', 'ceremony.id')
            .where('act', '=', 'submit')
            .where('made_at_ms', '>', sinceMs),
        ),
      ),
    )
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map(ceremonyOf)
}

/** Notes how far a ceremony is. False: somebody else moved it meanwhile. */
export async function moveCeremony(
  tx: Tx,
  id: string,
  from: readonly CeremonyState[],
  to: CeremonyState,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('ceremony')
    .set({ state: to })
    .where('id', '=', id)
    .where('state', 'in', from)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Keeps what was dealt, with a packet for each seat: keepers have to say that theirs is right. */
export async function saveDealt(
  tx: Tx,
  _permit: Permit<'keys.ceremony'>,
  { id, statement }: Pick<Ceremony, 'id' | 'statement'>,
  dealt: Dealt,
  packets: readonly Uint8Array[],
): Promise<void> {
  await tx
    .updateTable('ceremony')
    .set({ state: 'collecting', transcript: JSON.stringify(dealt), quorum_key: statement.quorum.key })
    .where('id', '=', id)
    .execute()
  await savePackets(
    tx,
    id,
    statement.seats.map(({ did }, at) => ({ did, sealed: packets[at] ?? new Uint8Array(0) })),
  )
}

/** The key that opens the shares of a ceremony, sealed; null where others combine, and when it is over. */
export async function loadSealing(db: Db | Tx, id: string): Promise<SealedBlob | null> {
  const row = await db.selectFrom('ceremony').select(['sealing', 'sealing_dek']).where('id', '=', id).executeTakeFirst()
  if (!row?.sealing || row.sealing_dek === null) return null
  return { sealed: row.sealing, dekVersion: row.sealing_dek }
}

/** Sealed keys of ceremonies, in the order of their names, those after `afterId`. */
export async function listSealings(
  db: Db,
  afterId: string,
  max: number,
): Promise<readonly { readonly id: string; readonly community: Did; readonly blob: SealedBlob }[]> {
  const rows = await db
    .selectFrom('ceremony')
    .select(['id', 'community', 'sealing', 'sealing_dek'])
    .where('sealing', 'is not', null)
    .where('id', '>', afterId)
    .orderBy('id')
    .limit(max)
    .execute()
  return rows.map(({ id, community, sealing, sealing_dek }) => ({
    ...{ id, community },
    blob: { sealed: sealing ?? new Uint8Array(0), dekVersion: sealing_dek ?? 0 },
  }))
}

/** Keeps what came out of a ceremony, and nothing by which it could come out once more. False: something had come out of it before. */
export async function saveSigned(tx: Tx, id: string, signed: string): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('ceremony')
    .set({ signed, state: 'ready', sealing: null, sealing_dek: null })
    .where('id', '=', id)
    .where('state', 'in', OPEN_STATES)
    .where('signed', 'is', null)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows !== 1n) return false
  await wipeGiven(tx, id)
  return true
}

type End = 'done' | 'cancelled' | 'expired' | 'failed'

/**
 * Ends a ceremony that is open, with everything that was given to it; a key that was dealt in it and never acknowledged by all is dropped.
 * False: it was over.
 */
export async function endCeremony(
  tx: Tx,
  id: string,
  to: { readonly state: End; readonly fault?: string },
  nowMs: number,
): Promise<boolean> {
  const ended = await tx
    .updateTable('ceremony')
    .set({ state: to.state, fault: to.fault ?? null, ended_at_ms: nowMs, sealing: null, sealing_dek: null })
    .where('id', '=', id)
    .where('state', 'in', OPEN_STATES)
    .returning(['kind', 'quorum_key'])
    .executeTakeFirst()
  if (!ended) return false
  await wipeGiven(tx, id)
  const isDropped = ended.kind === 'split' && to.state !== 'done'
  if (isDropped && ended.quorum_key !== null) await moveQuorumKey(tx, ended.quorum_key, ['dealt'], 'dropped', nowMs)
  return true
}

/** What is in the table was made here when it was written. @throws Error for a statement that is none */
function ceremonyOf(row: {
  readonly id: string
  readonly community: Did
  readonly slot: string
  readonly kind: CeremonyKind
  readonly quorum_key: string | null
  readonly state: CeremonyState
  readonly fault: string | null
  readonly statement: Uint8Array
  readonly statement_hash: string
  readonly sig: string
  readonly wish: unknown
  readonly transcript: unknown
  readonly signed: string | null
  readonly created_by: Did
  readonly created_at_ms: number
  readonly expires_at_ms: number
}): Ceremony {
  const statement = parseStatement(row.statement)
  if (!statement) throw new Error('a ceremony without a statement')
  return {
    ...{ id: row.id, community: row.community, slot: row.slot, kind: row.kind, quorumKey: row.quorum_key },
    ...{ state: row.state, fault: row.fault, statement, statementHash: row.statement_hash, sig: row.sig },
    ...{ wish: row.wish as string | null, dealt: row.transcript as Dealt | null, signed: row.signed },
    ...{ createdBy: row.created_by, createdAtMs: row.created_at_ms, expiresAtMs: row.expires_at_ms },
  }
}
