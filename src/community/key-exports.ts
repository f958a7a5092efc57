/**
 * The export of the key by which this service changes a community's identity: asked for by an owner with a step up, approved by
 * another one where there is one, a day in which every owner can stop it, and then one file, for the keys of those who were named.
 *
 * Before its day nothing is opened. Whoever asked and whoever shall receive it have to be owners all the while, with the same keys: an
 * export ends with the first of them who goes.
 */
import { listKeys } from '../keys/store.ts'
import { required, rosterUri } from '../membership/governance.ts'
import type { Keeper } from '../membership/keeper-store.ts'
import { requireOwnersKeeper } from '../membership/keepers.ts'
import type { Proposal } from '../membership/proposal-store.ts'
import type { Act } from '../membership/proposals.ts'
import type { Facts, FactsCtx } from '../membership/standing-facts.ts'
import type { Did, DidKey } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import type { Permit } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { endAlarmAbout, raiseAlarm } from './identity-alarm-store.ts'
import { insertExport, lapseExport, type Recipient } from './key-export-store.ts'

/** As the proposal and the audit name it. */
export const KEY_EXPORT = 'key.export'

/** How long every owner can stop it. */
export const EXPORT_NOTICE_MS = 24 * 60 * 60 * 1000

/** What is asked for, as it is kept while it waits. */
export interface ExportWish {
  readonly community: Did
  /** Of which key: when that is replaced meanwhile, the export comes to nothing. */
  readonly key: DidKey
  readonly recipients: readonly Recipient[]
  readonly reason?: string
}

/** The one key that can be exported: the rotation key in use. Null: there is none here. */
export async function loadExportable(db: Db | Tx, community: Did): Promise<{ id: string; didKey: DidKey } | null> {
  const keys = await listKeys(db, community)
  return keys.find(({ purpose, state }) => purpose === 'rotation' && state === 'active') ?? null
}

/** What an export comes to by those who are owners, and the keys that are enrolled, in this moment. */
interface Judged {
  readonly permit: Permit<'keys.ceremony'>
  readonly keyId: string
  readonly keepers: readonly Keeper[]
}

/**
 * Order of checks: the actor may touch the community's keys (NotFound, Forbidden); the key is in use still; each recipient is an owner,
 * with the keys that were named, enrolled a day ago (InvalidRequest). @throws Refusal
 */
export async function judgeExport(ctx: FactsCtx, tx: Tx, actor: Facts, input: unknown): Promise<Judged> {
  const { key, recipients } = input as ExportWish
  const { community } = actor.graph
  const permit = required(decideAct(actor, actor.did, 'keys.ceremony', rosterUri(community)))
  const inUse = await loadExportable(tx, community)
  if (inUse?.didKey !== key) throw new Refusal('InvalidRequest', 'the key was replaced since')
  const keepers: Keeper[] = []
  for (const { did, keeper } of recipients) {
    const now = await requireOwnersKeeper(ctx, tx, community, did, ctx.clock.nowMs())
    if (now.id !== keeper) throw new Refusal('InvalidRequest', `${did} enrolled other keys since`)
    keepers.push(now)
  }
  return { permit, keyId: inUse.id, keepers }
}

export const EXPORTING: Act = {
  name: KEY_EXPORT,
  graceMs: EXPORT_NOTICE_MS,
  judge: async (ctx, tx, actor, input) => (await judgeExport(ctx, tx, actor, input)).permit,
  async carryOut(ctx, tx, actor, input, nowMs, proposal) {
    if (proposal === null) throw new Error('an export that nobody waited for')
    const { permit, keyId } = await judgeExport(ctx, tx, actor, input)
    const { key, recipients } = input as ExportWish
    const { community } = actor.graph
    // The vault opens nothing here: this is a transaction, and a worker goes on from the row.
    const due = { id: proposal, community, keyId, askedBy: actor.did, recipients, dueAtMs: nowMs }
    await insertExport(tx, permit, due)
    const details = { key, recipients: namesOf(recipients) }
    return { answer: {}, changed: 'roster', because: permit.because, recordedAs: 'key.exportDue', details }
  },
  follow: (tx, proposal, nowMs) =>
    proposal.state === 'cancelled' ? endAlarmAbout(tx, proposal, 'keyExport') : raiseExportAlarm(tx, proposal, nowMs),
  async takeBack(tx, proposal) {
    await endAlarmAbout(tx, proposal, 'keyExport')
    return lapseExport(tx, proposal.id)
  },
}

/** For the audit and for alarms. */
export const namesOf = (recipients: readonly Recipient[]): string => recipients.map(({ did }) => did).join(' ')

/** Says to every owner who asked, for whom, how far it is and how to stop it. `takenUntilMs`: until when the file is there. */
export async function raiseExportAlarm(
  tx: Tx,
  { id, community, proposedBy, input, state, dueAtMs }: Proposal,
  nowMs: number,
  takenUntilMs: number | null = null,
): Promise<void> {
  const { key, recipients } = input as ExportWish
  const about = {
    ...{ proposal: id, key, askedBy: proposedBy, recipients: namesOf(recipients), state },
    dueAt: dueAtMs === null ? null : isoOf(dueAtMs),
    takenUntil: takenUntilMs === null ? null : isoOf(takenUntilMs),
    stopBy: 'community.reeve.proposal.cancel',
  }
  await raiseAlarm(tx, community, 'keyExport', about, nowMs)
}
