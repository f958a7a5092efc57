/** What owners have to see to, about the keys of their community: a sentence each, that says what to do. */
import type { Caveat } from '../lexicons/community/reeve/defs.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { listKeepers } from '../membership/keeper-store.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import { type Did, rosterOf } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { standingOf } from '../policy/standing.ts'
import { type IdentityAlarm, listAlarms } from './identity-alarm-store.ts'
import { alarmsShown } from './identity-alarms.ts'
import { loadSeats } from './quorum-shown.ts'
import { quorumStanding } from './quorum-standing.ts'
import { loadActiveQuorum } from './quorum-store.ts'
import type { Community } from './store.ts'

/** Whether somebody is in the community's roster still, by whatever way. */
export async function standsInRoster(ctx: GovernanceCtx, community: Did, person: Did): Promise<boolean> {
  const facts = await loadStandingFacts(ctx, ctx.db, community, person)
  return facts !== null && standingOf(facts).has(rosterOf(community).uri)
}

/** What is red: the alarms that stand, keys that somebody just enrolled, and a key of the community's own that left with whoever holds it. */
export async function loadRed(ctx: GovernanceCtx, community: Community): Promise<readonly Caveat[]> {
  const { did, custody, recoveryHolder } = community
  const stand = await listAlarms(ctx.db, did)
  const ofKeepers = await loadOfKeepers(ctx, did)
  // Of keepers by what is so now, not by what the watcher saw last.
  const others = stand.filter(({ name }) => !ofKeepers.some((one) => one.name === name))
  const alarms = [...alarmsShown([...others, ...ofKeepers]), ...(await loadEnrolled(ctx, did))]
  const isHeld = custody === 'memberHeld' && recoveryHolder !== null
  if (!isHeld || (await standsInRoster(ctx, did, recoveryHolder))) return alarms
  const says = `${recoveryHolder} left, and holds the community’s own key: until it is replaced they can take the identity away. Replace it (key.replaceRecovery), or have them hand it over (reeve recovery replace).`
  return [...alarms, { name: 'recoveryHolderGone', says }]
}

/** What stands about those who keep a share of the key in force. */
async function loadOfKeepers(ctx: GovernanceCtx, did: Did): Promise<readonly IdentityAlarm[]> {
  const active = await loadActiveQuorum(ctx.db, did)
  if (!active) return []
  const nowMs = ctx.clock.nowMs()
  const standing = quorumStanding(active, await loadSeats(ctx, active), nowMs)
  return standing.map((one) => ({ ...one, sinceMs: nowMs }))
}

/** Enrolments that don't count yet: a session is enough for one, and whoever it is about has to see it in time. */
async function loadEnrolled({ db, clock }: GovernanceCtx, community: Did): Promise<readonly Caveat[]> {
  const nowMs = clock.nowMs()
  const fresh = (await listKeepers(db, community)).filter(({ countsFromMs }) => countsFromMs > nowMs)
  return fresh.map(({ did, fingerprint, enrolledAtMs, countsFromMs }) => ({
    name: 'keeperEnrolled',
    says: `Keys were enrolled for ${did} at ${isoOf(enrolledAtMs)}, with the fingerprint ${fingerprint}. They count from ${isoOf(countsFromMs)}. If that wasn’t them, end it now (key.endKeeper): somebody has their session.`,
  }))
}

/** The open tasks of a community whose keys are here, the red ones first. */
export async function loadTasks(ctx: GovernanceCtx, community: Community): Promise<readonly Caveat[]> {
  const red = await loadRed(ctx, community)
  const active = await loadActiveQuorum(ctx.db, community.did)
  if (active) return red
  if (community.wantedCustody !== null) {
    const says =
      'A key in shares was asked for and is not made yet: choose keepers, have them enrol, and begin a split (key.propose).'
    return [...red, { name: 'pendingQuorum', says }]
  }
  if (community.custody === 'custodial') {
    const says = 'This service alone can change the identity: bring a key of your own (key.replaceRecovery).'
    return [...red, { name: 'noRecoveryKey', says }]
  }
  if (community.recoveryHolder !== null) return red
  const says = 'Nobody has said who holds the community’s own key: whoever does, says so with key.replaceRecovery.'
  return [...red, { name: 'recoveryHolderUnknown', says }]
}
