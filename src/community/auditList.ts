/** `community.reeve.audit.list`: what was decided in a community, newest first, for those who may read it. */
import { listEntries } from '../audit/store.ts'
import type * as lexicon from '../lexicons/community/reeve/audit/list.ts'
import { type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'

const CURSOR = /^[1-9][0-9]{0,14}$/

/** Pages backwards; the cursor is the last row's number. @throws Refusal NotFound for strangers, Forbidden without audit.read */
export async function auditList(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  if (params.cursor !== undefined && !CURSOR.test(params.cursor)) throw new Refusal('InvalidRequest', 'no such cursor')
  const facts = await loadStandingFacts(ctx, ctx.db, community, caller)
  if (!facts) throw notFound()
  required(decideAct(facts, caller, 'audit.read', rosterUri(community)))

  const limit = params.limit ?? 50
  const { actor, subject, action } = params
  const beforeId = params.cursor === undefined ? null : Number(params.cursor)
  const page = await listEntries(ctx.db, { community, beforeId, limit, actor, subject, action })
  const entries = page.map((row) => ({
    seq: row.seq,
    at: isoOf(row.atMs),
    actor: row.actor,
    action: row.action,
    target: row.target,
    ...(row.subject === null ? {} : { subject: row.subject }),
    because: row.because,
    hash: row.hash && Buffer.from(row.hash).toString('hex'),
    prev: row.prev && Buffer.from(row.prev).toString('hex'),
  }))
  const last = page.at(-1)
  return { entries, ...(page.length === limit && last ? { cursor: String(last.id) } : {}) } as lexicon.$OutputBody
}
