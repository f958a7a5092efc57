/** A space's settings between the protocol's unions and what Reeve decides by. What can't be kept is refused, never widened. */
import * as defs from '../lexicons/com/atproto/simplespace/defs.ts'
import { requireClientId } from '../membership/input.ts'
import { requireShortAppList } from '../membership/limits.ts'
import {
  type ClientId,
  type Did,
  didOfService,
  parseClientId,
  parsePlainServiceId,
  ROLE_SPACE_TYPE,
  ROSTER_TYPE,
  type ServiceId,
  type SpaceName,
} from '../names.ts'
import { type AppRules, accessOf, judgeApp } from '../policy/apps.ts'
import { isManagingApp, type UserPolicy } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'

interface Typed {
  readonly $type: string
}

/** A map, because a stranger chooses the key: every object has a `constructor`. */
const POLICY_OF: ReadonlyMap<string, UserPolicy> = new Map([
  [defs.publicPolicy.$type, 'public'],
  [defs.memberListPolicy.$type, 'memberList'],
])

/**
 * The policy that a union member names; left out: those on the roster. A managing app is not looked up: whether it answers shows when it
 * is asked (0016 §Managing app). `self`: the DID of this service. @throws Refusal('UnsupportedPolicy')
 */
export function parsePolicy(given: Typed | undefined, self: Did): UserPolicy {
  if (given === undefined) return 'memberList'
  if (given.$type === defs.managingAppPolicy.$type) return requireManagingApp(given, self)
  const policy = POLICY_OF.get(given.$type)
  if (!policy) {
    throw new Refusal(
      'UnsupportedPolicy',
      'a space is open to its roster, to the public, or to whom a managing app lets in',
    )
  }
  return policy
}

/**
 * Of a space at a PDS it is this service that says whom to let in, and within a second: it asks nobody else.
 * @throws Refusal('UnsupportedPolicy')
 */
export function requireOwnWord(...policies: readonly UserPolicy[]): void {
  if (policies.some(isManagingApp)) {
    throw new Refusal('UnsupportedPolicy', 'a space at a PDS is decided about here: this service is its managing app')
  }
}

/** What is not in its one spelling would be another service to whoever reads its tokens; and to ask ourselves would be a circle. */
function requireManagingApp(given: Typed & { readonly managingApp?: unknown }, self: Did): ServiceId {
  const app = parsePlainServiceId(given.managingApp)
  if (!app) throw new Refusal('UnsupportedPolicy', 'managingApp is not a canonical DID with at most one name after #')
  if (didOfService(app) === self) throw new Refusal('UnsupportedPolicy', 'this service is asked by nobody but others')
  return app
}

/**
 * The apps on the list that a union member brings, each once; null: every app is welcome.
 * @throws Refusal('UnsupportedAppAccess') for anything else; InvalidRequest for what is no client id; LimitExceeded
 */
export function parseAppAccess(given: Typed | undefined): readonly ClientId[] | null {
  if (given === undefined || given.$type === defs.open.$type) return null
  if (!isAllowList(given))
    throw new Refusal('UnsupportedAppAccess', 'a space is open to every app, or to those on a list')
  requireShortAppList(given.allowed.length)
  return [...new Set(given.allowed.map((text) => requireClientId(text, 'allowed')))]
}

const isAllowList = (given: Typed): given is Typed & { readonly allowed: readonly string[] } =>
  given.$type === defs.allowList.$type

/** Rosters and role spaces are there for who is in them; no app keeps records in one. */
export const isRecordless = ({ spaceType }: SpaceName): boolean =>
  spaceType === ROSTER_TYPE || spaceType === ROLE_SPACE_TYPE

export function renderPolicy(policy: UserPolicy) {
  if (isManagingApp(policy)) return defs.managingAppPolicy.$build({ managingApp: policy })
  return policy === 'public' ? defs.publicPolicy.$build({}) : defs.memberListPolicy.$build({})
}

/**
 * What apps may read a space, in the protocol's words: the community's and the space's together. Denials have no word there, and
 * hosts none either; `isNamed` says whether the apps on a list are told.
 */
export function renderAppAccess(apps: AppRules, { authority, uri }: SpaceName, isNamed: boolean) {
  const lists = [authority, uri].map((scope) => accessOf(apps, scope)).filter(({ mode }) => mode !== 'open')
  if (lists.length === 0) return defs.open.$build({})
  const named = new Set(lists.flatMap(({ rules }) => [...rules.keys()].filter((name) => parseClientId(name) !== null)))
  const allowed = [...named].filter((name) => judgeApp(apps, authority, uri, parseClientId(name)).ok).sort()
  return defs.allowList.$build({ allowed: isNamed ? allowed : [] })
}
