/**
 * What the PDS of an account asks about its spaces, and the consent of the account to be asked about. There is no rule here that isn't one
 * of a space of ours: only which of them a question means.
 */
import type { ClientId, Did } from '../names.ts'
import { type AccessFacts, decideFor, decidePerson, decideRead } from './decide.ts'
import type { Action } from './roles.ts'
import { type Decision, type Permit, permitFor, type Reason } from './verdict.ts'

export interface HookQuestion {
  readonly did: Did
  /** What for, as the host says it; null from one that tells reading and writing not apart. */
  readonly access: 'read' | 'write' | null
  /** The app, as far as the host is to be believed; null: none was proven, or it didn't say. */
  readonly clientId: ClientId | null
}

/**
 * Would this person be let in there? Without `access` it is judged as reading: a host of that kind has one word for both.
 *
 * The app is asked for where the host says that somebody is to read, or names one. A host that says neither may be asking about a write,
 * of which nobody knows the app, and would turn every writer away where an app has to prove itself.
 */
export function judgeHook(facts: AccessFacts, { did, access, clientId }: HookQuestion): Decision<unknown> {
  if (access === 'read' || (access === null && clientId !== null)) return decideRead(facts, { did, clientId })
  return access === null ? decidePerson(facts, did, 'read') : decideFor(facts, { did, clientId }, 'write')
}

/**
 * What a verdict on using a space at a PDS comes to once its account has taken its consent back: a no, whoever it is about, as the PDS is
 * told it.
 */
export function unlessReleased<T>(isReleased: boolean, action: Action | null, decision: Decision<T>): Decision<T> {
  if (!isReleased || (action !== 'read' && action !== 'write')) return decision
  return { ok: false, code: 'UserNotAuthorized', because: [{ rule: 'released', action }] }
}

/**
 * An account's leave to give its consent to be decided about here, and to take it back. Nobody else has it, whatever their role: it is
 * the one thing that those who govern a community can't do for it.
 */
export function consentOf(community: Did, actor: Did): Decision<Permit<'community.configure'>> {
  const because: readonly Reason[] = [{ rule: 'authority' }]
  if (actor !== community) return { ok: false, code: 'NotFound', because: [{ rule: 'noPath' }] }
  return { ok: true, value: permitFor('community.configure', actor, because), because }
}

/**
 * An account's leave to name another owner while whom it named has done nothing yet: a name that was mistyped, or somebody who doesn't
 * want it. Once anybody governs there, what they wrote is theirs.
 */
export function appointmentBy(community: Did, actor: Did, isGoverned: boolean): Decision<Permit<'community.transfer'>> {
  const because: readonly Reason[] = [{ rule: 'authority' }]
  if (actor !== community || isGoverned) return { ok: false, code: 'Forbidden', because: [{ rule: 'noPath' }] }
  return { ok: true, value: permitFor('community.transfer', actor, because), because }
}
