/** `community.reeve.steering.disconnect`: the grant of a community's account is given back. */
import type * as lexicon from '../lexicons/community/reeve/steering/disconnect.ts'
import { changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import type { Log } from '../platform/log.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import type { PdsSessions } from './connection.ts'
import { deleteConnection, loadConnection } from './connection-store.ts'
import type { Grants } from './grants.ts'
import { openSession, type SealingCtx } from './sealed-session.ts'

/**
 * Nothing may keep an owner from it: where the PDS doesn't answer, or the tokens can't be opened, they are forgotten all the same, and the
 * account's own page at its PDS is where the grant still can be ended.
 *
 * Order of checks: the input (InvalidRequest); the caller stands in the community (NotFound), is an owner (Forbidden); there is a
 * connection, lost ones too (NotConnected). @throws Refusal
 */
export async function steeringDisconnect(
  ctx: GovernanceCtx &
    SealingCtx & {
      readonly clock: GovernanceCtx['clock']
      readonly grants: Grants
      readonly sessions: PdsSessions
      readonly log: Pick<Log, 'info'>
    },
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const call = {
    ...{ community, actor, action: 'steering.disconnect', target: community, subject: null },
    ...{ ifRevision: input.ifRevision, idempotency },
  }
  let former: Awaited<ReturnType<typeof loadConnection>> = null
  const { revision } = await changeCommunity(ctx, call, async (tx, facts) => {
    const decision = decideAct(facts, actor, OWNER_MARK, rosterUri(community))
    const permit = required(decision)
    former = await loadConnection(tx, community)
    if (!former) throw new Refusal('NotConnected', 'the account is not connected')
    await deleteConnection(tx, permit, community)
    return { answer: {}, changed: 'roster', because: decision.because, details: { state: former.state } }
  })
  ctx.sessions.forget(community)
  await giveBack(ctx, former)
  return { revision }
}

async function giveBack(
  ctx: SealingCtx & { readonly grants: Grants; readonly log: Pick<Log, 'info'> },
  former: Awaited<ReturnType<typeof loadConnection>>,
): Promise<void> {
  if (!former?.sealed) return
  const { community, asked, sealed } = former
  try {
    const session = await openSession(ctx, community, sealed)
    await (await ctx.grants()).revoke(asked, session)
  } catch {
    ctx.log.info('steering.notGivenBack', { community })
  }
}
