/**
 * Credentials that the PDS of an account issued for one of its spaces. They are in no ledger here, so whoever wants one taken back says which;
 * and the key that has to sign for it is at that PDS, which lends its signature by the grant of the account (0016 §Credential revocation).
 */

import type { DidDocuments } from '../identity/did-documents.ts'
import { serviceOriginOf } from '../identity/service-endpoint.ts'
import type * as lexicon from '../lexicons/community/reeve/credential/revoke.ts'
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { requireDid, requireScope, requireSpace } from '../membership/input.ts'
import { listStanding } from '../membership/resolved.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import { loadSpaceState } from '../membership/store.ts'
import type { Did, SpaceName, SpaceUri } from '../names.ts'
import { isoOf, patience, withinMs } from '../platform/clock.ts'
import type { HostCaps } from '../platform/config.ts'
import { type FairTurns, openFairTurns } from '../platform/fair-turns.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import type { Outbound } from '../platform/outbound.ts'
import type { Counted } from '../platform/sizes.ts'
import type { UserPolicy } from '../policy/decide.ts'
import { decideRevoke } from '../policy/decide-credentials.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { loadSpace } from '../space/store.ts'
import { HOST_NAME_MAX_CHARS, HOSTS_MAX, hostNameOf } from './revocation-plan.ts'
import { countUnlisted, loadUnlisted, planUnlisted, type WriterHosts } from './revocation-store.ts'

/** Who can have an account's PDS sign in the account's name. */
export interface AccountSigner {
  /** Whether the account has given a grant that covers the notices about its credentials, and it isn't lost. */
  maySignNotices(community: Did): Promise<boolean>
}

export interface ForeignCtx extends GovernanceCtx {
  readonly hostCaps: HostCaps
  readonly accountSigner: AccountSigner
  readonly documents: Pick<DidDocuments, 'resolve'>
  readonly deliveries: Pick<Outbound, 'mayCall'>
  /** For communities that have people looked up. */
  readonly lookups: FairTurns
}

/**
 * Whoever is looked up is looked up by the way by which everybody's tokens are proven, and their documents are where they say. So few
 * communities do it at once, each for one call: or one that named people with slow servers, and asked often, would keep everybody out.
 */
export const openLookups = (counted?: Counted): FairTurns =>
  openFairTurns({ atOnce: 8, ofOne: 1, waitingOfOne: 4, waitingMax: 64 }, counted)
/** As long as a call waits for those before it. */
const PATIENCE_MS = 10_000

/** A PDS lets no credential of its own live longer (0016 §Space credential). */
const FOREIGN_LIFETIME_SEC = 3_600

type Answer = Omit<lexicon.$OutputBody, 'revision' | 'preview'>

/**
 * Has the hosts that may have something of a space at a PDS refuse one credential of it. Order of checks as `credentialRevoke` says; then the
 * jti is said (InvalidRequest), the account lends its signature (NotConnected), and not too many were taken back within the hour (LimitExceeded). @throws Refusal; Unavailable
 */
export async function revokeForeign(
  ctx: ForeignCtx,
  actor: Did,
  input: lexicon.$InputBody,
  idempotency: ProcedureCall['idempotency'],
): Promise<lexicon.$OutputBody> {
  const { community, scope } = requireScope(input)
  const hosts = await lookedUp(ctx, actor, input)
  const { jti } = input
  const did = input.did === undefined ? null : requireDid(input.did, 'did')
  const about = { community, actor, action: 'credential.revoke', target: scope, subject: did }
  const call = { ...about, ifRevision: input.ifRevision, isDryRun: input.dryRun, idempotency }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs): Promise<Changed<Answer>> => {
    const space = scope === community ? null : (scope as SpaceUri)
    if (space !== null && (await loadSpaceState(tx, space)) !== 'live') throw notFound()
    const decision = decideRevoke(actorFacts, actor, scope)
    required(decision)
    if (space === null || jti === undefined) {
      throw new Refusal('InvalidRequest', 'the PDS issued it: say which, by space and jti')
    }
    if (hosts === 'unsigned') {
      throw new Refusal('NotConnected', 'the account lends no signature for this: have an owner connect it')
    }
    const nothing = { changed: 'nothing', because: decision.because, touches: { people: [] } } as const
    const before = await loadUnlisted(tx, space, jti)
    if (before !== null) return { ...nothing, answer: { revoked: 0, pending: before === 'unheard' ? 1 : 0 } }
    if (input.dryRun) return { ...nothing, answer: { revoked: 1, pending: 1 } }
    const nowSec = Math.floor(nowMs / 1000)
    if ((await countUnlisted(tx, space, nowSec, UNLISTED_MAX)) >= UNLISTED_MAX) {
      throw new Refusal(
        'LimitExceeded',
        `${UNLISTED_MAX} of a space in an hour at most: a PDS has others end by themselves`,
      )
    }
    const endsAtSec = nowSec + FOREIGN_LIFETIME_SEC
    const { hosts: told, verdicts } = await planUnlisted(tx, {
      ...{ space, jti, endsAtSec, caps: ctx.hostCaps, nowMs },
      ...(hosts ?? NOBODY),
    })
    const plan = {
      hosts: told === 'cannot' ? 'wait' : told,
      hostCount: verdicts.size,
      toldCount: [...verdicts.values()].filter((verdict) => verdict === 'tell').length,
      latestEnd: isoOf(endsAtSec * 1000),
    }
    const details = { revoked: 1, jti, hosts: plan.toldCount }
    return { ...nothing, answer: { revoked: 1, pending: 1, plan }, changed: 'roster', details }
  })
}

/** Of one space in an hour: names that nobody here can check, each a row for every host. Hosts keep a thousand of a space. */
const UNLISTED_MAX = 200

const NOBODY: WriterHosts = { writers: [], hasOthers: true }

/**
 * Before anything is held: looking up takes seconds, and only who may take back has anybody looked up. Null: it will be refused, or changes
 * nothing. `unsigned`: the account lends no signature.
 */
async function lookedUp(
  ctx: ForeignCtx,
  actor: Did,
  { space: uri, jti, dryRun }: lexicon.$InputBody,
): Promise<WriterHosts | 'unsigned' | null> {
  if (uri === undefined || jti === undefined) return null
  const space = requireSpace(uri)
  const facts = await loadStandingFacts(ctx, ctx.db, space.authority, actor)
  if (!facts || !decideRevoke(facts, actor, space.uri).ok) return null
  if (!(await ctx.accountSigner.maySignNotices(space.authority))) return 'unsigned'
  const row = dryRun ? null : await loadSpace(ctx.db, space.uri)
  return row && inTurn(ctx, space.authority, () => hostsOfBound(ctx, space, row.writePolicy))
}

/** @throws Unavailable('NotEnoughResources') when too many wait, or for too long */
async function inTurn<T>({ lookups }: ForeignCtx, community: Did, work: () => Promise<T>): Promise<T> {
  const end = await lookups.take(community, patience(PATIENCE_MS)).catch((cause: unknown) => {
    throw new Unavailable('NotEnoughResources', 'community', { cause })
  })
  return work().finally(end)
}

/** People whose hosts are looked up. Where more may write, some readers wait for the end. */
const PEOPLE_MAX = 2_000
const LOOKUPS_AT_ONCE = 16
/** An admin is waiting; who isn't found by then counts as somebody whose host nobody knows. */
const LOOKING_MAX_MS = 8_000

/**
 * The hosts that may have something of a space at a PDS: that PDS, and those of everybody who may write there, by the rosters alone. Who wrote,
 * only the PDS knows. @throws Unavailable of the database
 */
async function hostsOfBound(ctx: ForeignCtx, space: SpaceName, writePolicy: UserPolicy): Promise<WriterHosts> {
  const people = await listStanding(ctx, space, 'write', PEOPLE_MAX + 1)
  const repos = [space.authority, ...people.slice(0, PEOPLE_MAX)]
  const byName = new Map<string, string>()
  let known = 0
  const rest = [...repos]
  const lookUp = async () => {
    for (let repo = rest.shift(); repo !== undefined; repo = rest.shift()) {
      const host = await hostOfRepo(ctx, repo)
      if (host === null) continue
      known += 1
      if (!byName.has(host)) byName.set(host, repo)
    }
  }
  await withinMs(LOOKING_MAX_MS, Promise.all(Array.from({ length: LOOKUPS_AT_ONCE }, lookUp)))
  // Whoever is still looking finds nobody left to look up.
  rest.length = 0
  const writers = [...byName].map(([host, repo]) => ({ host, repo })).slice(0, HOSTS_MAX)
  const isEverybody = known === repos.length && people.length <= PEOPLE_MAX && byName.size <= HOSTS_MAX
  return { writers, hasOthers: !isEverybody || writePolicy !== 'memberList' }
}

/** Where somebody's repo is, by name; null: nobody can say, or it may not be called. */
async function hostOfRepo({ documents, deliveries }: ForeignCtx, repo: Did): Promise<string | null> {
  try {
    const document = await documents.resolve(repo)
    const origin = document && serviceOriginOf(document, null)
    if (origin === null || !deliveries.mayCall(origin)) return null
    const host = hostNameOf(origin)
    return host.length > HOST_NAME_MAX_CHARS ? null : host
  } catch (error) {
    if (error instanceof Unavailable) return null
    throw error
  }
}
