/** `community.reeve.credential.list`: the credentials that have not ended, for those who may take them back, and everybody's own. */
import type * as lexicon from '../lexicons/community/reeve/credential/list.ts'
import { type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { requireClientId, requireDid, requireScope } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import { loadSpaceState } from '../membership/store.ts'
import { type Did, parseDid, type SpaceUri } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideRevoke } from '../policy/decide-credentials.ts'
import { Refusal } from '../refusals.ts'
import { type Issued, listIssued, type Place } from './ledger-store.ts'
import { loadTelling, type Telling } from './revocation-store.ts'

/**
 * Pages in the order of people, then of the ends of credentials. About their own everybody may ask, in any space: the exchange would
 * tell them as much.
 * Order of checks: the input (InvalidRequest); the community, and the space if one is named, is there (NotFound); unless the caller
 * asks for their own, the verdict (NotFound for strangers, Forbidden).
 * @throws Refusal
 */
export async function credentialList(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const { community, scope } = requireScope(params)
  const did = params.did === undefined ? null : requireDid(params.did, 'did')
  const clientId = params.clientId === undefined ? null : requireClientId(params.clientId)
  const after = params.cursor === undefined ? null : placeOf(params.cursor)
  const facts = await loadStandingFacts(ctx, ctx.db, community, caller)
  if (!facts) throw notFound()
  const space = scope === community ? null : (scope as SpaceUri)
  if (space !== null && (await loadSpaceState(ctx.db, space)) !== 'live') throw notFound()
  const decision = decideRevoke(facts, caller, scope)
  if (did !== caller) required(decision)

  const limit = params.limit ?? 100
  const which = { community, space, did, clientId }
  const page = await listIssued(ctx.db, which, { nowSec: ctx.clock.nowSec(), after, limit })
  // A silent community doesn't say here either whether it was the app or the person.
  const isSilent = !decision.ok && facts.graph.isSilent
  const revoked = page.filter(({ revokedAtSec }) => revokedAtSec !== null)
  const telling = await loadTelling(
    ctx.db,
    revoked.map(({ jti }) => jti),
  )
  const credentials = page.map((one) => shown(one, isSilent, telling.get(one.jti)))
  const last = page.at(-1)
  const cursor = page.length === limit && last ? { cursor: `${last.did} ${last.expiresAtSec} ${last.jti}` } : {}
  return { credentials, ...cursor, revision: facts.revision }
}

/** @throws Refusal('InvalidRequest') */
function placeOf(cursor: string): Place {
  const [didText, secText = '', jti = '', ...rest] = cursor.split(' ')
  const did = parseDid(didText)
  if (!did || !/^\d{1,15}$/.test(secText) || rest.length > 0) {
    throw new Refusal('InvalidRequest', 'cursor is not one that a page ended with')
  }
  return { did, expiresAtSec: Number(secText), jti }
}

function shown(one: Issued, isSilent: boolean, hosts: Telling | undefined) {
  const { jti, did, clientId, space, revokedAtSec, revokedBecause } = one
  const isBlurred = isSilent && (revokedBecause === 'AppNotAuthorized' || revokedBecause === 'UserNotAuthorized')
  return {
    jti,
    did,
    ...(clientId === null ? {} : { clientId }),
    space,
    issuedAt: isoOf(one.issuedAtSec * 1000),
    expiresAt: isoOf(one.expiresAtSec * 1000),
    ...(revokedAtSec === null ? {} : { revokedAt: isoOf(revokedAtSec * 1000) }),
    ...(revokedBecause === null ? {} : { revokedBecause: isBlurred ? 'NotAuthorized' : revokedBecause }),
    ...(hosts === undefined ? {} : { hosts }),
  }
}
