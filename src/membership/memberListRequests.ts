/** `community.reeve.member.listRequests`: who waits to be let into a space, for those who may add people there. */
import type * as lexicon from '../lexicons/community/reeve/member/listRequests.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { type GovernanceCtx, notFound, required } from './governance.ts'
import { requireSpace } from './input.ts'
import { listOpenRequests } from './joining-store.ts'
import { loadStandingFacts } from './standing-facts.ts'
import { loadSpaceState } from './store.ts'

const CURSOR = /^(\d{1,15}) (did:\S+)$/

/**
 * The longest wait comes first; the cursor is the last instant and DID. @throws Refusal InvalidRequest for a cursor that is none,
 * NotFound for strangers, Forbidden without members.add
 */
export async function memberListRequests(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const after = afterOf(params.cursor)
  const facts = await loadStandingFacts(ctx, ctx.db, space.authority, caller)
  if (!facts || (await loadSpaceState(ctx.db, space.uri)) !== 'live') throw notFound()
  required(decideAct(facts, caller, 'members.add', space.uri))

  const limit = params.limit ?? 100
  const page = await listOpenRequests(ctx.db, space.uri, after, limit)
  const requests = page.map(({ did, message, askedAtMs }) => ({
    did,
    ...(message === null ? {} : { message }),
    askedAt: isoOf(askedAtMs),
  }))
  const last = page.at(-1)
  const cursor = page.length === limit && last ? { cursor: `${last.askedAtMs} ${last.did}` } : {}
  return { requests, ...cursor, revision: facts.revision }
}

function afterOf(cursor: string | undefined): { askedAtMs: number; did: string } {
  if (cursor === undefined) return { askedAtMs: 0, did: '' }
  const [, askedAt, did] = CURSOR.exec(cursor) ?? []
  if (askedAt === undefined || did === undefined) throw new Refusal('InvalidRequest', 'no such cursor')
  return { askedAtMs: Number(askedAt), did }
}
