/**
 * The fence: a community whose document names another home is not answered for here.
 *
 * Two homes that both give out credentials for one community would let in at one whom the other has put out. Nobody can make a former home
 * stop but itself, so it looks: at each document every minute, and before a credential is given when the last look is five minutes
 * old. It stops when the document names neither a key of ours nor our address and the verified log says the same. A directory that is silent
 * is no evidence of leaving, nor is one odd answer.
 */

import type { Vault } from '../keys/vault.ts'
import type { Hosted } from '../membership/hosted.ts'
import type { Did } from '../names.ts'
import { withinMs } from '../platform/clock.ts'
import { DID_FORCED_REFRESH_FLOOR_SEC } from '../platform/limits.ts'
import { errorName } from '../platform/log.ts'
import type { Sizes } from '../platform/sizes.ts'
import { Unavailable } from '../refusals.ts'
import { documentNamesUs } from './identity-news.ts'
import { loadOurs } from './ours.ts'
import {
  type DocumentLook,
  listLeft,
  loadDocumentSeen,
  loadPin,
  noteDocuments,
  takeDueLooks,
} from './plc-watch-store.ts'
import { inAWhile, lookAtLog, type WatchCtx } from './plc-watcher.ts'

export interface FenceCtx extends WatchCtx {
  readonly hosted: Hosted
  readonly vault: Pick<Vault, 'forget' | 'recall' | 'letGo'>
  readonly sizes?: Sizes
}

export interface Fence {
  /**
   * Whether a community is answered for here, as of five minutes ago at the most, where the directory answers. Never throws for the
   * directory's sake, and waits two seconds for it at most: who it knows nothing new of is answered for.
   */
  isNamed(community: Did): Promise<boolean>
  /** Looks at the documents that are due. Answers how many were seen. */
  watch(signal?: AbortSignal): Promise<number>
  /** Learns who has left and who is back, by whichever process found it. */
  follow(): Promise<void>
}

/** Between two looks at one document. With the pause of the worker and the answer's time, a look comes within a minute. */
const LOOK_EVERY_MS = [45_000, 55_000] as const
/** Where the document says one thing, and the log can't be asked. */
const LOOK_AGAIN_MS = [5_000, 10_000] as const
/** Documents that one process asks for at once. */
export const LOOKS_AT_ONCE = 16
/** How long a document is a process's that says nothing. */
const TAKEN_MS = 20_000
/** A document is due within a minute, by whichever process's clock: nobody put it off for longer than this. */
const DUE_MAX_MS = 2 * 60_000
/** A look that is older isn't relied on by whoever gives out a credential. */
const SEEN_MAX_MS = 5 * 60_000
/** Somebody waits for the credential. */
const PATIENCE_MS = 2_000
/** After a look that nobody answered, before anybody has to wait again. */
const UNSEEN_PAUSE_MS = 30_000
/** Communities of which is remembered when they were seen. */
const REMEMBERED_MAX = 100_000

/** Opens it. It doesn't know yet who has left: `follow` before anybody is let in. */
export function openFence(ctx: FenceCtx): Fence {
  const { db, clock, hosted, vault, log } = ctx
  /** Until when a look is good enough, by a clock that is never set back. */
  const goodUntilMs = new Map<Did, number>()
  const underWay = new Map<Did, Promise<void>>()
  ctx.sizes?.kept('communities looked at', REMEMBERED_MAX, () => goodUntilMs.size)
  let lastFollow: Promise<void> = Promise.resolve()

  function remember(community: Did, forMs: number): void {
    if (goodUntilMs.size >= REMEMBERED_MAX) goodUntilMs.clear()
    goodUntilMs.set(community, clock.monotonicMs() + forMs)
  }

  async function followOnce(): Promise<void> {
    const { gone, back } = hosted.setLeft(await listLeft(db))
    for (const did of gone) vault.forget(did)
    for (const did of back) vault.recall(did)
    for (const did of gone) log.warn('community.left', { did })
    for (const did of back) log.info('community.back', { did })
  }

  /** One after the other, so that what was read earlier is never taken down later. */
  function follow(): Promise<void> {
    const next = lastFollow.then(followOnce)
    lastFollow = next.catch(() => {})
    return next
  }

  async function look(community: Did): Promise<DocumentLook & { readonly isSilent: boolean }> {
    const seen = await lookAtDocument(ctx, community)
    if (seen.hasTurned) await follow()
    const { seenAtMs } = seen
    remember(community, seenAtMs === null ? UNSEEN_PAUSE_MS : SEEN_MAX_MS - (clock.nowMs() - seenAtMs))
    const span = seen.isUnsettled ? LOOK_AGAIN_MS : LOOK_EVERY_MS
    return { community, seenAtMs, dueAtMs: inAWhile(ctx, span), isSilent: seen.isSilent }
  }

  /** Whoever gives out a credential first after a while has it looked up by whom, and everybody else waits along. */
  async function lookOnce(community: Did): Promise<void> {
    const seenAtMs = await loadDocumentSeen(db, community)
    const ageMs = seenAtMs === null ? null : clock.nowMs() - seenAtMs
    if (ageMs !== null && ageMs >= 0 && ageMs < SEEN_MAX_MS) return remember(community, SEEN_MAX_MS - ageMs)
    await noteDocuments(db, [await look(community)])
  }

  function lookNow(community: Did): Promise<void> {
    const flight =
      underWay.get(community) ??
      lookOnce(community)
        .catch((error: unknown) => log.warn('fence.waits', { did: community, error: errorName(error) }))
        .finally(() => underWay.delete(community))
    underWay.set(community, flight)
    return flight
  }

  return {
    async isNamed(community) {
      if ((goodUntilMs.get(community) ?? 0) > clock.monotonicMs()) return true
      await withinMs(PATIENCE_MS, lookNow(community))
      return hosted.has(db, community)
    },

    async watch(signal) {
      let seen = 0
      while (!signal?.aborted) {
        const nowMs = clock.nowMs()
        const bounds = { untilMs: nowMs + TAKEN_MS, latestMs: nowMs + DUE_MAX_MS }
        const some = await takeDueLooks(db, 'document', { nowMs, ...bounds, most: LOOKS_AT_ONCE })
        const looks = await Promise.all(some.map((community) => look(community)))
        await noteDocuments(db, looks)
        seen += looks.filter(({ seenAtMs }) => seenAtMs !== null).length
        // Each of the others would wait for a silent directory as long.
        if (some.length < LOOKS_AT_ONCE || looks.some(({ isSilent }) => isSilent)) return seen
      }
      return seen
    },

    follow,
  }
}

interface Seen {
  /** When the document was asked for; null: nobody answered. */
  readonly seenAtMs: number | null
  /** Whether the directory took all the time that it had. */
  readonly isSilent: boolean
  /** Whether it says what isn't settled yet. */
  readonly isUnsettled: boolean
  /** Whether the community may have left by it, or come back. */
  readonly hasTurned: boolean
}

const unseen = (isSilent: boolean): Seen => ({ seenAtMs: null, isSilent, isUnsettled: false, hasTurned: false })

/** One look. Only when the document says other than what is known is the log asked, and both together decide. */
async function lookAtDocument(ctx: FenceCtx, community: Did): Promise<Seen> {
  const seen = await documentOf(ctx, community)
  if ('isSilent' in seen) return seen
  const { seenAtMs, document } = seen
  const settled = { seenAtMs, isSilent: false, isUnsettled: false, hasTurned: false }
  const ours = await loadOurs(ctx, community)
  if (!ours) return settled
  const says = document && documentNamesUs(document, ours) ? 'us' : 'others'
  const isGone = ((await loadPin(ctx.db, community))?.leftAtMs ?? null) !== null
  if ((says === 'others') === isGone) return settled
  const end = await lookAtLog(ctx, community, says)
  if (end === 'settled') return { ...settled, hasTurned: true }
  ctx.log.warn('fence.unsure', { did: community, says, end })
  return { ...settled, isUnsettled: true, isSilent: end === 'UpstreamTimeout' }
}

type Answered = { readonly seenAtMs: number; readonly document: Awaited<ReturnType<FenceCtx['documents']['resolve']>> }

async function documentOf({ documents, clock }: FenceCtx, community: Did): Promise<Seen | Answered> {
  try {
    const document = await documents.resolve(community, { fresh: true })
    const nowMs = clock.nowMs()
    if (!document) return { seenAtMs: nowMs, document }
    // An older one is what was remembered while the directory is away.
    const isFresh = nowMs - document.fetchedAtMs <= DID_FORCED_REFRESH_FLOOR_SEC * 1000
    return isFresh ? { seenAtMs: document.fetchedAtMs, document } : unseen(false)
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    return unseen(error.code === 'UpstreamTimeout')
  }
}
