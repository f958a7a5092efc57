/** What those who configure a space do about one registration in it, as a change of its community. */
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import { loadSpaceState } from '../membership/store.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import type { Permit } from '../policy/verdict.ts'
import { type Found, holdRegistration } from './registration-store.ts'

/** One call at the desk, and the particulars that the audit keeps of it. */
export interface DeskCall {
  readonly actor: Did
  readonly action: 'notify.pause' | 'notify.resume' | 'notify.replay'
  readonly input: {
    readonly space: string
    readonly service: string
    readonly ifRevision?: number | undefined
  }
  readonly idempotency: ProcedureCall['idempotency']
  readonly details?: Readonly<Record<string, string | null>>
}

/** Does it, and answers what the call answers, and whether anything was changed by it. */
export type DeskWork<T extends object> = (
  tx: Tx,
  permit: Permit<'space.configure'>,
  found: Found,
  nowMs: number,
) => Promise<Pick<Changed<T>, 'answer'> & { readonly isChanged: boolean }>

/**
 * Order of checks: the input (InvalidRequest); the space is there and the caller stands in it (NotFound); they configure it (Forbidden);
 * the service is registered there (NotFound). What ended is told of its end, and no more than that. @throws Refusal
 */
export async function atDesk<T extends object>(
  ctx: GovernanceCtx,
  { actor, action, input, idempotency, details }: DeskCall,
  work: DeskWork<T>,
): Promise<T & { revision: number }> {
  const { uri, authority: community } = requireSpace(input.space)
  const { ifRevision, service } = input
  const call = { community, actor, action, target: uri, subject: null, ifRevision, idempotency }
  return changeCommunity(ctx, call, async (tx, facts, nowMs) => {
    if ((await loadSpaceState(tx, uri)) !== 'live') throw notFound()
    const decision = decideAct(facts, actor, 'space.configure', uri)
    const permit = required(decision)
    const found = await holdRegistration(tx, uri, service, nowMs)
    if (!found) throw notFound()
    const { answer, isChanged } = await work(tx, permit, found, nowMs)
    const changed = isChanged ? ('roster' as const) : ('nothing' as const)
    return { answer, changed, because: decision.because, details: { service, ...details } }
  })
}
