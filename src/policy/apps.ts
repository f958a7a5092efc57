/**
 * May this app? Judged before anything is said about the person, by what the community and the space each say: a space narrows
 * what its community says, and never widens it.
 *
 * Without an attestation an app is nobody in particular: it can't be on a list, and can't be found on one. So a denial holds only
 * where apps that prove nothing are refused as well, and only an allow list is a wall.
 */
import type { ClientId, Did, SpaceUri } from '../names.ts'
import { hostOf } from '../names.ts'
import type { Reason } from './verdict.ts'

/** `open`: every app that isn't denied. `allowList`: those that are allowed. `pinned`: the one that is allowed. */
export type AppMode = 'open' | 'allowList' | 'pinned'
export type AppVerdict = 'allow' | 'deny' | 'pending'

/** What one scope says about apps: a community, or one of its spaces. */
export interface AppAccess {
  readonly mode: AppMode
  /** What becomes of apps that don't prove which they are. Null: they are refused as soon as an app is denied here. */
  readonly unattested: 'allow' | 'refuse' | null
  /** By client id, or by host. */
  readonly rules: ReadonlyMap<string, AppVerdict>
}

/** Everything that a community says about apps. A scope that says nothing lets every app in. */
export type AppRules = ReadonlyMap<Did | SpaceUri, AppAccess>

/** Why an app was let in or turned away: by the words of which scope. */
export type AppReason = Reason & {
  readonly rule: 'openToApps' | 'appAllowed' | 'appDenied' | 'appUnlisted' | 'appUnattested'
}

/** A no of `appUnlisted` is for lack of a rule: somebody may judge the app and make one. */
export type AppJudgement = { readonly ok: boolean; readonly because: readonly AppReason[] }

const OPEN_TO_ALL: AppAccess = { mode: 'open', unattested: null, rules: new Map() }

/** The judgement of one app (null: none was proven) in one space. The first scope that says no settles it. */
export function judgeApp(apps: AppRules, community: Did, space: SpaceUri, clientId: ClientId | null): AppJudgement {
  const because: AppReason[] = []
  for (const scope of [community, space]) {
    const access = apps.get(scope)
    if (!access) continue
    const rule = clientId === null ? judgeUnattested(access) : judgeAttested(access, clientId)
    const reason: AppReason = { rule, from: scope }
    if (!LETS_IN.has(rule)) return { ok: false, because: [reason] }
    if (rule !== 'openToApps') because.push(reason)
  }
  return { ok: true, because: because.length > 0 ? because : [{ rule: 'openToApps' }] }
}

const LETS_IN: ReadonlySet<string> = new Set(['openToApps', 'appAllowed'])

const judgeUnattested = (access: AppAccess): AppReason['rule'] =>
  unattestedIn(access) === 'allow' ? 'openToApps' : 'appUnattested'

/** What becomes of apps that prove nothing. On a list they can't be found; and a denial would be no more than a request to them. */
export function unattestedIn({ mode, unattested, rules }: AppAccess): 'allow' | 'refuse' {
  if (mode !== 'open') return 'refuse'
  const isDenying = [...rules.values()].includes('deny')
  return unattested ?? (isDenying ? 'refuse' : 'allow')
}

/** A denial wins, whether of the app or of its host; else what is said of the app itself, else of its host. */
function judgeAttested({ mode, rules }: AppAccess, clientId: ClientId): AppReason['rule'] {
  const ofApp = rules.get(clientId)
  const ofHost = rules.get(hostOf(clientId))
  if (ofApp === 'deny' || ofHost === 'deny') return 'appDenied'
  if (mode === 'open') return ofApp === 'allow' ? 'appAllowed' : 'openToApps'
  // What is said of the app itself settles it: one that waits for a judgement doesn't come in by its host meanwhile.
  return (ofApp ?? (mode === 'pinned' ? undefined : ofHost)) === 'allow' ? 'appAllowed' : 'appUnlisted'
}

/** What a scope says; where it says nothing, every app is welcome. */
export const accessOf = (apps: AppRules, scope: Did | SpaceUri): AppAccess => apps.get(scope) ?? OPEN_TO_ALL
