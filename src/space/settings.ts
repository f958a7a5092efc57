/** A space's settings between the protocol's unions and what Reeve decides by. What can't be kept is refused, never widened. */
import * as defs from '../lexicons/com/atproto/simplespace/defs.ts'
import { ROLE_SPACE_TYPE, ROSTER_TYPE, type SpaceName } from '../names.ts'
import type { UserPolicy } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'

interface Typed {
  readonly $type: string
}

/** A map, because a stranger chooses the key: every object has a `constructor`. */
const POLICY_OF: ReadonlyMap<string, UserPolicy> = new Map([
  [defs.publicPolicy.$type, 'public'],
  [defs.memberListPolicy.$type, 'memberList'],
])

/** The policy that a union member names; left out: those on the roster. @throws Refusal('UnsupportedPolicy') */
export function parsePolicy(given: Typed | undefined): UserPolicy {
  if (given === undefined) return 'memberList'
  const policy = POLICY_OF.get(given.$type)
  if (!policy) throw new Refusal('UnsupportedPolicy', 'a space here is open to its roster, or to the public')
  return policy
}

/** Every space is open to every app. @throws Refusal('UnsupportedAppAccess') for anything narrower: it could not be kept yet */
export function requireOpenToApps(given: Typed | undefined): void {
  if (given !== undefined && given.$type !== defs.open.$type) {
    throw new Refusal('UnsupportedAppAccess', 'a space here is open to every app')
  }
}

/** Rosters and role spaces are there for who is in them; no app keeps records in one. */
export const isRecordless = ({ spaceType }: SpaceName): boolean =>
  spaceType === ROSTER_TYPE || spaceType === ROLE_SPACE_TYPE

export const renderPolicy = (policy: UserPolicy) =>
  policy === 'public' ? defs.publicPolicy.$build({}) : defs.memberListPolicy.$build({})

export const renderAppAccess = () => defs.open.$build({})
