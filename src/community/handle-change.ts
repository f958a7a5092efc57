/**
 * What a change of handle means here: who says that the handle is the community's, and what is written when its operation came to its
 * end. A handle counts when both sides say it: the community's document, and the domain.
 */
import { appendChained } from '../audit/store.ts'
import type { DidDocuments } from '../identity/did-documents.ts'
import { type DomainWord, didNamedBy, type HandleProofs, isUncertain } from '../identity/handle-proofs.ts'
import type { PlcLogEntry } from '../identity/plc-log.ts'
import { lockRevisions, raiseRevisions } from '../membership/store.ts'
import type { Did, Handle } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Log } from '../platform/log.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { giveUpServedHandles, loadHolderOfHandle } from './handle-store.ts'
import { isUnderServed } from './handles.ts'
import { namesHandle } from './plc-builder.ts'
import { type HandleWork, movePlcWork, type PlcFault } from './plc-work-store.ts'
import { hasCommunityEnded, saveHandle } from './store.ts'

export interface HandleCtx {
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  readonly documents: DidDocuments
  readonly handleProofs: HandleProofs
  readonly handleDomains: readonly string[]
}

/** How long a domain may be silent before what it said at the beginning counts no more. */
const SILENCE_MAX_MS = 10 * 60 * 1000

/** Whether the operation in force says that this is the community's handle. */
export const headNames = (head: PlcLogEntry, handle: Handle | null): boolean =>
  head.operation.type === 'plc_operation' && namesHandle(head.operation.alsoKnownAs, handle)

/**
 * What the domain of somebody's own says, or null when it says that the handle is this community's.
 * @throws Refusal('HandleNotAvailable') when it names another DID
 */
export async function missingProof(ctx: HandleCtx, community: Did, handle: Handle): Promise<DomainWord | null> {
  const word = await ctx.handleProofs.ask(handle)
  const named = didNamedBy(word)
  if (named === community) return null
  if (named) throw new Refusal('HandleNotAvailable', 'the domain names another DID')
  return word
}

/**
 * Whether the handle leads to the community now that its operation is in force. For a served one we answer ourselves.
 * @throws Unavailable while a domain is silent that spoke a moment ago
 */
export async function isStillSaid(ctx: HandleCtx, { community, about, createdAtMs }: HandleWork): Promise<boolean> {
  const { handle } = about
  if (handle === null) return true
  if (isUnderServed(handle, ctx.handleDomains))
    return (await loadHolderOfHandle(ctx.db, handle, ctx.clock.nowMs())) === community
  const word = await ctx.handleProofs.ask(handle)
  const named = didNamedBy(word)
  if (!named && isUncertain(word) && ctx.clock.nowMs() - createdAtMs <= SILENCE_MAX_MS) {
    throw new Unavailable('UpstreamFailure', 'handle-domain')
  }
  return named === community
}

/**
 * Writes that the operation is in force: the handle, if both sides say it, and that the one before is given up. A community that came to
 * its end meanwhile gave up all of them then, and its numbers stand still.
 */
export async function confirmHandle(ctx: HandleCtx, tx: Tx, work: HandleWork, isVerified: boolean): Promise<void> {
  const { community, about } = work
  const numbers = await lockRevisions(tx, community)
  if (!numbers) throw new Error('work for a community that was never opened')
  const isEnded = await hasCommunityEnded(tx, community)
  const revision = isEnded ? numbers.revision : numbers.revision + 1
  const isMine = await movePlcWork(tx, work, 'submitted', {
    step: 'confirmed',
    about: { ...about, revision, isVerified: isVerified && !isEnded },
  })
  if (!isMine) return
  if (isEnded) return tell(ctx, tx, work, { status: 'communityEnded', revision })
  await saveHandle(tx, community, isVerified ? about.handle : null)
  await giveUpServedHandles(tx, community, about.handle, ctx.clock.nowMs())
  await raiseRevisions(tx, community, { graph: false })
  await tell(ctx, tx, work, { status: isVerified ? 'confirmed' : 'domainNoLongerSays', revision })
}

/**
 * Writes that the operation came to nothing: the handle stays what it was, and the one that was kept for it is given up. It was
 * answered for meanwhile, and may have been in force for a moment, or be one that the community had before.
 */
export async function refuseHandle(ctx: HandleCtx, tx: Tx, work: HandleWork, fault: PlcFault): Promise<void> {
  const { community, about } = work
  await lockRevisions(tx, community)
  if (!(await movePlcWork(tx, work, 'submitted', { step: 'refused', fault }))) return
  await giveUpServedHandles(tx, community, about.before, ctx.clock.nowMs())
  await tell(ctx, tx, work, { refused: fault })
}

/** It was decided when the work was begun, and the reasons stand there. */
const tell = (ctx: HandleCtx, tx: Tx, work: HandleWork, outcome: object): Promise<void> =>
  appendChained(tx, {
    community: work.community,
    atMs: ctx.clock.nowMs(),
    actor: work.askedBy,
    action: 'community.setHandle',
    target: work.community,
    subject: null,
    because: {
      reasons: [],
      handle: work.about.handle,
      before: work.about.before,
      operationCid: work.operationCid,
      ...outcome,
    },
  })
