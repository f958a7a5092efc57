/**
 * What a space should be at its PDS, by what is declared here. Pure: settings, and people's flags.
 *
 * Where a PDS can't say exactly what is declared, it is told something that lets fewer in, and what is lost by it stands among the caveats
 * (`space/not-enforced.ts`).
 */
import { type Did, managingAppOf, type ServiceId, type SpaceName } from '../names.ts'
import type { AppRules } from '../policy/apps.ts'
import { type AccessFacts, decidePerson, type UserPolicy } from '../policy/decide.ts'
import { renderAppAccess } from '../space/settings.ts'
import { isService, type Settings, type Side } from './settings-there.ts'
import type { Flags, Generation, SteeringMode } from './tables.ts'

export interface Declaring {
  readonly mode: SteeringMode
  readonly space: SpaceName
  readonly readPolicy: UserPolicy
  readonly writePolicy: UserPolicy
  readonly apps: AppRules
  /** Whether nobody reads or writes there for now. */
  readonly isFrozen: boolean
  /** Whether anybody is banned now, from the space or from its community. */
  readonly hasBan: boolean
  readonly serviceDid: Did
}

/** What the space shall be set to; `one`: where reading and writing have one policy. */
export interface Declared {
  readonly settings: Settings
  readonly one: Side
}

/**
 * The PDS asks us, or has a list.
 *
 * - While anybody is banned, a side that is open to everybody asks us as well: a PDS has no word for a ban, and whom it lets in it lets in
 *   without us.
 * - A space that is frozen asks us, and we say no to everybody: emptying its list and filling it again would be a call for each of its people.
 * - Where there is one policy for both, it is the narrower: a list, when one of both sides has one.
 */
export function declare(about: Declaring): Declared {
  const { mode, readPolicy, writePolicy, isFrozen, hasBan, serviceDid } = about
  const us = managingAppOf(serviceDid) as ServiceId
  const sideOf = (policy: UserPolicy): Side => {
    if (mode === 'hook' || isFrozen) return us
    if (policy === 'public') return hasBan ? us : 'public'
    return 'memberList'
  }
  const one: UserPolicy = readPolicy === 'public' && writePolicy === 'public' ? 'public' : 'memberList'
  const rendered = renderAppAccess(about.apps, about.space, true)
  const apps = 'allowed' in rendered ? rendered.allowed : null
  return { settings: { read: sideOf(readPolicy), write: sideOf(writePolicy), apps }, one: sideOf(one) }
}

/** The same as a PDS of that generation shows it. */
export const declaredAs = (speaks: Generation, { settings, one }: Declared): Settings =>
  speaks === 'august' ? { ...settings, read: one, write: one } : settings

/**
 * What may be sent now on the way from what is there to what is declared. A side that asks us goes over to its list only when the list is
 * ready: else somebody who was taken off would come back, and everybody who isn't on it yet would stand outside. From what we have no word for it
 * goes over to asking us (`us`) until then: a list that nobody went by may have anybody on it.
 */
export function nextSettings(
  there: Settings,
  declared: Settings,
  isListReady: boolean,
  us: ServiceId | null,
): Settings {
  const next = (from: Side, to: Side): Side => {
    if (isListReady || to !== 'memberList') return to
    if (isService(from)) return from
    return us !== null && from.startsWith('?') ? us : to
  }
  return { ...declared, read: next(there.read, declared.read), write: next(there.write, declared.write) }
}

/**
 * What somebody may do by the list: as the hook would answer about them, but for what everybody may. The account itself is never on
 * it; and where a list has one flag, those are on it who may read.
 */
export function flagsOf(facts: AccessFacts, did: Did, speaks: Generation): Flags {
  if (did === facts.space.authority) return 0
  const listed: AccessFacts = { ...facts, readPolicy: 'memberList', writePolicy: 'memberList' }
  const reads = decidePerson(listed, did, 'read').ok
  if (speaks === 'august') return reads ? 3 : 0
  const writes = decidePerson(listed, did, 'write').ok
  return ((reads ? 1 : 0) | (writes ? 2 : 0)) as Flags
}
