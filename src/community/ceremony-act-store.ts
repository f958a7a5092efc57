/**
 * The tables of what people did in ceremonies, each by a signature of their own, and of what they gave with it: sealed shares, and packets for one
 * keeper each. That stays until it was used or the ceremony is over, and no longer.
 */
import type { CeremonyAct } from '../keys/ceremony-statements.ts'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    ceremony_act: {
      ceremony: string
      did: Did
      act: CeremonyAct
      subject: string | null
      at: string
      sig: string
      given: string | null
      made_at_ms: number
    }
    share_packet: { ceremony: string; did: Did; sealed: Uint8Array }
  }
}

/** What somebody did, by their own signature, and what they gave with it. */
export interface Deed {
  readonly did: Did
  readonly act: CeremonyAct
  readonly subject: string | null
  readonly at: string
  readonly sig: string
  /** A sealed share, until the ceremony is over. */
  readonly given: string | null
  readonly madeAtMs: number
}

/** Keeps a packet for each keeper of a split. */
export async function savePackets(
  tx: Tx,
  ceremony: string,
  packets: readonly { readonly did: Did; readonly sealed: Uint8Array }[],
): Promise<void> {
  await tx
    .insertInto('share_packet')
    .values(packets.map((one) => ({ ceremony, ...one })))
    .execute()
}

/** Somebody's packet, as long as they haven't said that it is right. */
export async function loadPacket(db: Db | Tx, ceremony: string, did: Did): Promise<Uint8Array | null> {
  const row = await db
    .selectFrom('share_packet')
    .select('sealed')
    .where('ceremony', '=', ceremony)
    .where('did', '=', did)
    .executeTakeFirst()
  return row?.sealed ?? null
}

export async function deletePacket(tx: Tx, ceremony: string, did: Did): Promise<void> {
  await tx.deleteFrom('share_packet').where('ceremony', '=', ceremony).where('did', '=', did).execute()
}

/** Keeps what somebody did. Done again it takes the place of what it was: a keeper whose share was damaged gives another. */
export async function saveDeed(tx: Tx, _permit: Permit<'keys.ceremony'>, ceremony: string, deed: Deed): Promise<void> {
  const said = { subject: deed.subject, at: deed.at, sig: deed.sig, given: deed.given, made_at_ms: deed.madeAtMs }
  await tx
    .insertInto('ceremony_act')
    .values({ ceremony, did: deed.did, act: deed.act, ...said })
    .onConflict((conflict) => conflict.columns(['ceremony', 'did', 'act']).doUpdateSet(said))
    .execute()
}

/** Takes back what somebody gave that isn't right: it counts no more. */
export async function deleteDeed(tx: Tx, ceremony: string, did: Did, act: CeremonyAct): Promise<void> {
  await tx
    .deleteFrom('ceremony_act')
    .where('ceremony', '=', ceremony)
    .where('did', '=', did)
    .where('act', '=', act)
    .execute()
}

/** What everybody did in a ceremony, in the order in which they did. */
export async function listDeeds(db: Db | Tx, ceremony: string): Promise<readonly Deed[]> {
  const rows = await db
    .selectFrom('ceremony_act')
    .selectAll()
    .where('ceremony', '=', ceremony)
    .orderBy('made_at_ms')
    .orderBy('did')
    .orderBy('act')
    .execute()
  return rows.map(({ did, act, subject, at, sig, given, made_at_ms: madeAtMs }) => ({
    ...{ did, act, subject, at, sig, given, madeAtMs },
  }))
}

/** Throws away everything that was given to a ceremony. What was done in it stays, without. */
export async function wipeGiven(tx: Tx, ceremony: string): Promise<void> {
  await tx.updateTable('ceremony_act').set({ given: null }).where('ceremony', '=', ceremony).execute()
  await tx.deleteFrom('share_packet').where('ceremony', '=', ceremony).execute()
}
