/**
 * How big a roll may grow: checked where something is written, and never where it is read. They keep what every process has
 * to hold in memory in bounds; people are not limited, since nobody holds them in memory.
 */
import type { Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { Refusal } from '../refusals.ts'
import { countAppRules } from './app-rule-store.ts'
import { countLiveInvites } from './invite-store.ts'
import { countOpenRequests } from './joining-store.ts'
import { countUpTo, loadSpaceState } from './store.ts'

/** Spaces under one community, those that were deleted too: that they were there stays known. One made anew counts once. */
const SPACES_MAX = 10_000
/** Entries of spaces on rosters of one community. With every space comes one, by which its owners stand in it. */
const SPACE_ENTRIES_MAX = 30_000
/** Offers that one community has made. */
const OFFERS_MAX = 10_000
/** Other communities whose spaces are on rosters of one. A decision reads the numbers of each, and a mint holds them. */
const FEEDERS_MAX = 64

/** Owners of one community. Each of them can give all of it away, so there should be few. */
const OWNERS_MAX = 32
/** Roles of a community's own. */
const ROLES_MAX = 256
/** Rules about apps, of a community and its spaces together. */
const APP_RULES_MAX = 1_000
/** Apps on the list that a space is made with. */
const APPS_OF_NEW_SPACE_MAX = 64
/** Invites of one community that somebody may still join by. */
const INVITES_MAX = 1_000
/** Requests that wait in one community: anybody can make one. */
const REQUESTS_MAX = 10_000
/** Requests of one person that wait, wherever they are. */
const REQUESTS_OF_PERSON_MAX = 50
/** Lines of one import, and imports of one community that are neither applied nor given up. */
const IMPORT_LINES_MAX = 200_000
const IMPORTS_UNDER_WAY_MAX = 5

const exceeded = (says: string): Refusal => new Refusal('LimitExceeded', says)

/** @throws Refusal('LimitExceeded') when a community has as many spaces as it may, and none of this name among them */
export async function requireRoomForSpace(tx: Tx, community: Did, space: SpaceUri): Promise<void> {
  const isFull = (await countUpTo(tx, 'space', community, SPACES_MAX)) >= SPACES_MAX
  if (isFull && (await loadSpaceState(tx, space)) === null) {
    throw exceeded(`a community has ${SPACES_MAX} spaces at most, deleted ones included`)
  }
  await requireRoomForEntry(tx, community)
}

/** @throws Refusal('LimitExceeded') when as many spaces are on a community's rosters as may be */
export async function requireRoomForEntry(tx: Tx, community: Did): Promise<void> {
  if ((await countUpTo(tx, 'space_edge', community, SPACE_ENTRIES_MAX)) >= SPACE_ENTRIES_MAX) {
    throw exceeded(`the rosters of a community hold ${SPACE_ENTRIES_MAX} spaces at most`)
  }
}

/** @throws Refusal('LimitExceeded') when a community has as many owners as it may, besides the one who would become one */
export function requireRoomForOwner(others: number): void {
  if (others >= OWNERS_MAX) throw exceeded(`a community has ${OWNERS_MAX} owners at most`)
}

/** @throws Refusal('LimitExceeded') when a community has named as many roles as it may */
export function requireRoomForRole(named: number): void {
  if (named >= ROLES_MAX) throw exceeded(`a community has ${ROLES_MAX} roles of its own at most`)
}

/** @throws Refusal('LimitExceeded') when a community and its spaces would have more rules about apps than they may */
export async function requireRoomForAppRules(tx: Tx, community: Did, more: number): Promise<void> {
  if ((await countAppRules(tx, community)) + more > APP_RULES_MAX) {
    throw exceeded(`a community and its spaces have ${APP_RULES_MAX} rules about apps at most`)
  }
}

/** @throws Refusal('LimitExceeded') when a space would be made with a longer list of apps than it may */
export function requireShortAppList(apps: number): void {
  if (apps > APPS_OF_NEW_SPACE_MAX)
    throw exceeded(`a space is made with ${APPS_OF_NEW_SPACE_MAX} apps on its list at most`)
}

/** @throws Refusal('LimitExceeded') when a community has made as many offers as it may */
export async function requireRoomForOffer(tx: Tx, community: Did): Promise<void> {
  if ((await countUpTo(tx, 'offer', community, OFFERS_MAX)) >= OFFERS_MAX) {
    throw exceeded(`a community has ${OFFERS_MAX} offers standing at most`)
  }
}

/** @throws Refusal('LimitExceeded') when spaces of as many other communities are on rosters here as may be */
export function requireRoomForFeeder(feeders: readonly Did[], another: Did): void {
  if (!feeders.includes(another) && feeders.length >= FEEDERS_MAX) {
    throw exceeded(`spaces of ${FEEDERS_MAX} other communities at most may be on a community's rosters`)
  }
}

/** @throws Refusal('LimitExceeded') when a community has as many invites standing as it may */
export async function requireRoomForInvite(tx: Tx, community: Did, nowMs: number): Promise<void> {
  if ((await countLiveInvites(tx, community, nowMs, INVITES_MAX)) >= INVITES_MAX) {
    throw exceeded(`a community has ${INVITES_MAX} invites standing at most`)
  }
}

/**
 * A person's own requests in two communities are counted under two locks, and so they may have one or two more for a moment.
 * @throws Refusal('LimitExceeded') when as many requests wait as may
 */
export async function requireRoomForRequest(tx: Tx, community: Did, did: Did): Promise<void> {
  const ofPerson = await countOpenRequests(tx, { column: 'did', is: did }, REQUESTS_OF_PERSON_MAX)
  if (ofPerson >= REQUESTS_OF_PERSON_MAX) {
    throw exceeded(`a person has ${REQUESTS_OF_PERSON_MAX} requests waiting at most`)
  }
  const here = await countOpenRequests(tx, { column: 'community', is: community }, REQUESTS_MAX)
  if (here >= REQUESTS_MAX) throw exceeded(`${REQUESTS_MAX} requests at most wait in a community`)
}

/** @throws Refusal('LimitExceeded') when an import would have more lines than it may */
export function requireRoomForLines(given: number, more: number): void {
  if (given + more > IMPORT_LINES_MAX) throw exceeded(`an import has ${IMPORT_LINES_MAX} lines at most`)
}

/** @throws Refusal('LimitExceeded') when more imports of a community are under way than may be */
export function requireFewImports(underWay: number): void {
  if (underWay > IMPORTS_UNDER_WAY_MAX) {
    throw exceeded(`a community has ${IMPORTS_UNDER_WAY_MAX} imports at most that are not applied or cancelled`)
  }
}
