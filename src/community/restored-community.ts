/**
 * What becomes of a community whose past the operator accepted as it is now: it rests until somebody who governs it wakes it.
 *
 * Whoever was removed or banned since the backup is back, and nobody here can tell who that is; those who did it may remember.
 */
import type { Parted } from '../audit/past.ts'
import { appendChained, listEntries } from '../audit/store.ts'
import { changeCommunity, type GovernanceCtx, rosterUri } from '../membership/governance.ts'
import { freezeCommunity, loadRevisions } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { withTransaction } from '../platform/database.ts'
import { decideOperatorsFreeze } from '../policy/decide-spaces.ts'
import { hasCommunityEnded } from './store.ts'

/** What was done: it rests now; it rested already; it has nobody to be let in, so it is only noted; or all that was done before. */
export type Accepted = 'frozen' | 'restedAlready' | 'noted' | 'before'

export interface RestoredCtx extends GovernanceCtx {
  readonly serviceDid: Did
}

/**
 * Freezes one community in the name of the service, and writes into its chain what is missing from it. Run again for the same checkpoint it
 * does nothing, so whoever is stopped in the middle begins anew.
 */
export async function acceptRestored(ctx: RestoredCtx, parted: Parted): Promise<Accepted> {
  const { db, serviceDid } = ctx
  const community = parted.community as Did
  const details = detailsOf(parted)
  const [before] = await listEntries(db, { community, beforeId: null, limit: 1, action: ACCEPT })
  if (before && isAbout(before.because, details)) return 'before'
  const isThere = await withTransaction(db, async (tx) => {
    return (await loadRevisions(tx, community)) !== null && !(await hasCommunityEnded(tx, community))
  })
  if (!isThere) {
    const fact = { community, actor: serviceDid, action: ACCEPT, target: community, subject: null }
    const atMs = ctx.clock.nowMs()
    await withTransaction(db, (tx) => appendChained(tx, { ...fact, atMs, because: { reasons: [], ...details } }))
    return 'noted'
  }
  const permit = decideOperatorsFreeze(serviceDid)
  const call = { community, actor: serviceDid, action: 'community.freeze', target: community, subject: null }
  const more = { ifRevision: undefined, idempotency: null, isFor: 'anybody' as const }
  const { isMoved } = await changeCommunity(ctx, { ...call, ...more }, async (tx, { graph }, nowMs) => {
    const hasMoved = await freezeCommunity(tx, permit, community, nowMs)
    const spaces = [...new Set([rosterUri(community), ...graph.edges.map(({ into }) => into)])]
    const { because } = permit
    return {
      answer: { isMoved: hasMoved },
      changed: hasMoved ? ('graph' as const) : ('nothing' as const),
      because,
      touches: { spaces },
      each: [{ action: ACCEPT, subject: community, because, details }],
    }
  })
  return isMoved ? 'frozen' : 'restedAlready'
}

/** How the chains name it. */
export const ACCEPT = 'restored.accept'

const detailsOf = ({ fault, seen, seenAtMs, has }: Parted) => ({
  fault,
  seenAt: isoOf(seenAtMs),
  seen: seen.seq,
  seenHash: seen.hash,
  had: has,
})

const isAbout = (because: unknown, { seenAt, seenHash }: ReturnType<typeof detailsOf>): boolean =>
  typeof because === 'object' &&
  because !== null &&
  'seenHash' in because &&
  because.seenHash === seenHash &&
  'seenAt' in because &&
  because.seenAt === seenAt
