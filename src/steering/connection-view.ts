/** The grant of a community's account as its owners see it, and what they have to see to. Pure. */
import type * as reeve from '../lexicons/community/reeve/defs.ts'
import type * as steering from '../lexicons/community/reeve/steering/defs.ts'
import { isoOf } from '../platform/clock.ts'
import type { Connection } from './connection-store.ts'
import { missingOf } from './scopes.ts'

const DAY_MS = 24 * 60 * 60_000
/** The published PDS ends a grant two years after it was given, however often it was renewed. No PDS says so in its answers. */
const GRANT_LIFE_MS = 730 * DAY_MS
/** It is looked after every day: when twice nobody could say, somebody should see to it. */
const UNSEEN_MS = 2 * DAY_MS
const GRANT_AGES_MS = GRANT_LIFE_MS - 30 * DAY_MS

/** The connection as it is shown. */
export function renderConnection(connection: Connection): steering.Connection {
  const { state, because, asked, granted, connectedBy, connectedAtMs, stateSinceMs, community } = connection
  const missing = missingOf(asked, granted, community)
  const isNarrowed = state === 'connected' && missing.length > 0
  return {
    state: isNarrowed ? 'narrowed' : state,
    ...(because === null ? {} : { because }),
    ...{ asked: [...asked], granted: [...granted], missing: [...missing], connectedBy },
    ...{ connectedAt: isoOf(connectedAtMs), stateSince: isoOf(stateSinceMs) },
  }
}

/** What owners have to see to. */
export function alarmsOf(connection: Connection, nowMs: number): reeve.Caveat[] {
  const { state, because, connectedAtMs, renewedAtMs } = connection
  if (state === 'lost') {
    const why = LOST[because ?? ''] ?? 'the PDS takes it no more'
    const says = `The grant of the account is lost: ${why}. Its spaces stay at the PDS as they are, and drift from now on. Have an owner connect the account again.`
    return [{ name: 'GrantLost', says }]
  }
  const { missing } = renderConnection(connection)
  const narrowed = `The PDS granted less than was asked, and spaces that need it are not kept: ${missing.join(' · ').slice(0, 300)}`
  const ages = 'The grant is nearly two years old, and a PDS may end it then: have an owner connect the account again.'
  const unseen = `The PDS could not be asked to renew the grant since ${isoOf(renewedAtMs)}. It may be lost; nobody could say.`
  return [
    ...(nowMs - renewedAtMs > UNSEEN_MS ? [{ name: 'GrantUnseen', says: unseen }] : []),
    ...(missing.length > 0 ? [{ name: 'GrantNarrowed', says: narrowed }] : []),
    ...(nowMs - connectedAtMs > GRANT_AGES_MS ? [{ name: 'GrantAges', says: ages }] : []),
  ]
}

const LOST: Readonly<Record<string, string>> = {
  TokenRefused: 'the PDS does not renew it. It was taken back there, or too old, or its last answer never reached us',
  SessionRevoked: 'the PDS refuses what it has just renewed',
  Moved: 'the account has moved to another PDS, or signs in elsewhere',
  NoRefreshToken: 'the PDS gave nothing to renew it with, and it ran out',
  ClientChanged: 'it was given to a key that this service has no more',
}
