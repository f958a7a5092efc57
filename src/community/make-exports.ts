/**
 * Makes the files of exports whose day has come, and throws away those that nobody took.
 *
 * The key is opened outside any transaction, sealed, and forgotten; only then the row is `ready`, in one transaction with the mark on
 * the key, which it has for ever. A process that dies before leaves a row that is due, and another one makes the file anew.
 */
import { appendChained } from '../audit/store.ts'
import type { PlcDirectory } from '../identity/plc-directory.ts'
import { flagKey } from '../keys/store.ts'
import type { Vault } from '../keys/vault.ts'
import { changeCommunity } from '../membership/governance.ts'
import { listExpiredProposals, loadProposal, type Proposal } from '../membership/proposal-store.ts'
import { type ActCtx, endUnattended } from '../membership/proposals.ts'
import { loadGroundedFacts } from '../membership/standing-facts.ts'
import { lockRevisions, raiseRevisions } from '../membership/store.ts'
import { sha256 } from '../platform/bytes.ts'
import { isoOf } from '../platform/clock.ts'
import { withTransaction } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { exportDocument } from './export-document.ts'
import { endAlarmAbout, raiseAlarm } from './identity-alarm-store.ts'
import {
  type KeyExport,
  keepSealed,
  lapseExport,
  listDueExports,
  listExportsOver,
  loadExport,
} from './key-export-store.ts'
import { EXPORTING, type ExportWish, judgeExport, KEY_EXPORT, namesOf, raiseExportAlarm } from './key-exports.ts'
import { loadCommunity } from './store.ts'

export interface MakeExportsCtx extends ActCtx {
  readonly vault: Pick<Vault, 'sealExport'>
  readonly directory: Pick<PlcDirectory, 'readLog'>
  readonly publicUrl: string
  readonly log: Log
}

/** How long a file waits for whoever asked for it. */
export const EXPORT_KEPT_MS = 24 * 60 * 60 * 1000
/** Exports looked at in one turn, of each kind. */
const TURN_MAX = 20

/**
 * One turn. An export that fails doesn't stop the others, and is tried again; one whose people aren't owners with the same keys any
 * more ends. Answers how many files were made.
 */
export async function makeExports(ctx: MakeExportsCtx): Promise<number> {
  const nowMs = ctx.clock.nowMs()
  let made = 0
  for (const due of await listDueExports(ctx.db, nowMs, TURN_MAX)) {
    const isMade = await tried(ctx, due.id, () => makeOne(ctx, due))
    if (isMade) made += 1
  }
  for (const over of await listExportsOver(ctx.db, nowMs, TURN_MAX)) {
    await tried(ctx, over.id, () => lapse(ctx, over))
  }
  for (const expired of await listExpiredProposals(ctx.db, KEY_EXPORT, nowMs, TURN_MAX)) {
    await tried(ctx, expired.id, () => endUnattended(ctx, EXPORTING, expired))
  }
  return made
}

async function tried<T>(ctx: MakeExportsCtx, id: string, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work()
  } catch (error) {
    ctx.log.warn('keyExport.waits', { id, error: errorName(error) })
    return null
  }
}

/** Whether a file was made. */
async function makeOne(ctx: MakeExportsCtx, due: KeyExport): Promise<boolean> {
  const proposal = await loadProposal(ctx.db, due.id)
  if (!proposal) throw new Error('an export that nobody proposed')
  try {
    const recipients = await recipientsNow(ctx, proposal)
    const sealed = await seal(ctx, due, proposal, recipients)
    return await keep(ctx, due, proposal, sealed)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    await lapse(ctx, due)
    return false
  }
}

/** To whom it is sealed, judged before anything is opened. @throws Refusal when somebody isn't an owner with the same keys any more */
const recipientsNow = (ctx: MakeExportsCtx, { community, proposedBy, input }: Proposal): Promise<readonly string[]> =>
  withTransaction(ctx.db, async (tx) => {
    const asker = await loadGroundedFacts(ctx, tx, community, proposedBy)
    if (!asker) throw new Refusal('NotFound', 'the community is not there any more')
    const { keepers } = await judgeExport(ctx, tx, asker, input)
    return keepers.map(({ sealKey }) => sealKey)
  })

async function seal(
  ctx: MakeExportsCtx,
  { community, keyId }: KeyExport,
  { input }: Proposal,
  recipients: readonly string[],
): Promise<Uint8Array> {
  const log = await ctx.directory.readLog(community)
  const about = await loadCommunity(ctx.db, community)
  // We founded it: a directory that doesn't know it is ill, or another one.
  if (!log || !about) throw new Unavailable('UpstreamFailure', 'plc-directory')
  const { name, custody } = about
  const { key: didKey } = input as ExportWish
  const document = exportDocument({
    ...{ community, name, custody, didKey, service: ctx.publicUrl, log },
    nowMs: ctx.clock.nowMs(),
  })
  return ctx.vault.sealExport({ kind: 'key-export', community, keyId, recipients, document })
}

/** Keeps the file, unless another process was quicker, and judges once more: what was sealed to others is thrown away. */
async function keep(ctx: MakeExportsCtx, due: KeyExport, proposal: Proposal, sealed: Uint8Array): Promise<boolean> {
  const { id, community, keyId, askedBy } = due
  const call = { community, actor: askedBy, action: KEY_EXPORT, target: community, subject: null }
  const asked = { ...call, ifRevision: undefined, idempotency: null }
  const { isKept } = await changeCommunity(ctx, asked, async (tx, asker, nowMs) => {
    const now = await loadExport(tx, id)
    if (now?.state !== 'due') return { answer: { isKept: false }, changed: 'nothing', because: [] }
    const { permit } = await judgeExport(ctx, tx, asker, proposal.input)
    const expiresAtMs = nowMs + EXPORT_KEPT_MS
    await keepSealed(tx, permit, id, { sealed, expiresAtMs })
    await flagKey(tx, keyId, 'exported')
    const { key } = proposal.input as ExportWish
    const about = { key, proposal: id, askedBy, recipients: namesOf(due.recipients), at: isoOf(nowMs) }
    await raiseAlarm(tx, community, 'keyExported', about, nowMs)
    await raiseExportAlarm(tx, proposal, nowMs, expiresAtMs)
    const details = { proposal: id, key, recipients: about.recipients, sha256: hexOf(sha256(sealed)), expiresAtMs }
    return { answer: { isKept: true }, changed: 'roster', because: permit.because, details }
  })
  return isKept
}

/** Ends an export that comes to nothing, with what went with it; in the name of the community. */
async function lapse(ctx: MakeExportsCtx, { id, community, askedBy }: KeyExport): Promise<void> {
  await withTransaction(ctx.db, async (tx) => {
    const numbers = await lockRevisions(tx, community)
    if (!(await lapseExport(tx, id))) return
    await endAlarmAbout(tx, { id, community }, 'keyExport')
    if (!numbers) return
    const revision = await raiseRevisions(tx, community, { graph: false })
    const fact = { community, atMs: ctx.clock.nowMs(), actor: community, action: 'key.exportLapse', target: community }
    await appendChained(tx, { ...fact, subject: askedBy, because: { reasons: [], revision, proposal: id } })
  })
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
