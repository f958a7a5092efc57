/** `community.reeve.notify.listRegistrations`: who asked to hear of writes in a space, and how far each has got. */
import type * as lexicon from '../lexicons/community/reeve/notify/listRegistrations.ts'
import { type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import { loadSpaceState } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { tidOf } from '../platform/tid.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { type Listed, listRegistrations, listSponsors, type Place, type Sponsor } from './registration-store.ts'

/**
 * In the order in which they were made. By whose access a registration lives tells who reads there with which app, so that is shown to
 * those only who see the members as well.
 * Order of checks: the input (InvalidRequest); the space is there, and the caller stands in it (NotFound); they configure it (Forbidden).
 * @throws Refusal
 */
export async function notifyListRegistrations(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const after = params.cursor === undefined ? null : placeOf(params.cursor)
  const facts = await loadStandingFacts(ctx, ctx.db, space.authority, caller)
  if (!facts || (await loadSpaceState(ctx.db, space.uri)) !== 'live') throw notFound()
  required(decideAct(facts, caller, 'space.configure', space.uri))
  const seesMembers = decideAct(facts, caller, 'members.read', space.uri).ok

  const limit = params.limit ?? 50
  const nowMs = ctx.clock.nowMs()
  const page = await listRegistrations(ctx.db, space.uri, { nowMs, after, limit })
  const ids = page.map(({ id }) => id)
  const sponsors = seesMembers ? await listSponsors(ctx.db, ids) : null
  const registrations = page.map((one) => shown(one, sponsors && (sponsors.get(one.id) ?? []), nowMs))
  const last = page.at(-1)
  const cursor = page.length === limit && last ? { cursor: `${last.registeredAtMs} ${last.service}` } : {}
  return { registrations, ...cursor, revision: facts.revision }
}

/** @throws Refusal('InvalidRequest') */
function placeOf(cursor: string): Place {
  const [msText = '', service = '', ...rest] = cursor.split(' ')
  if (!/^\d{1,15}$/.test(msText) || service === '' || rest.length > 0) {
    throw new Refusal('InvalidRequest', 'cursor is not one that a page ended with')
  }
  return { registeredAtMs: Number(msText), service }
}

function shown(one: Listed, sponsors: readonly Sponsor[] | null, nowMs: number): lexicon.Registration {
  const { service, waiting, gaps, failures, deliveredRev, oldestRev, lookAtMs, pausedBy } = one
  const nextTryMs = failures > 0 && one.pausedAtMs === null ? (lookAtMs ?? 0) : 0
  return {
    service,
    state: stateOf(one),
    ...(sponsors === null ? {} : { sponsors: sponsors.map(sponsorShown) }),
    registeredAt: isoOf(one.registeredAtMs),
    expiresAt: isoOf(one.expiresAtMs),
    ...(one.deliveredAtMs === null ? {} : { lastDeliveredAt: isoOf(one.deliveredAtMs) }),
    ...(deliveredRev === 0 ? {} : { delivered: tidOf(deliveredRev) }),
    waiting,
    ...(oldestRev === null ? {} : { lag: Math.max(0, Math.floor((nowMs - oldestRev / 1000) / 1000)) }),
    gaps,
    failures,
    ...(one.failingSinceMs === null ? {} : { failingSince: isoOf(one.failingSinceMs) }),
    ...(nextTryMs > nowMs ? { nextTryAt: isoOf(nextTryMs) } : {}),
    ...(one.lastError === null ? {} : { lastError: one.lastError }),
    ...(one.pausedAtMs === null ? {} : { pausedAt: isoOf(one.pausedAtMs) }),
    ...(pausedBy === null ? {} : { pausedBy }),
  }
}

function stateOf({ endedAtMs, pausedAtMs, failures }: Listed): 'active' | 'failing' | 'paused' | 'ended' {
  if (endedAtMs !== null) return 'ended'
  if (pausedAtMs !== null) return 'paused'
  return failures > 0 ? 'failing' : 'active'
}

const sponsorShown = ({ did, clientId }: Sponsor) => (clientId === null ? { did } : { did, clientId })
