/**
 * What a space should be at its PDS, by what is declared here. Pure: settings, people's flags, and what a PDS has no word for.
 *
 * Where a PDS can't say exactly what is declared, it is told something that lets fewer in, and what is lost by it stands among the caveats.
 */
import type * as defs from '../lexicons/community/reeve/defs.ts'
import { type Did, managingAppOf, parseClientId, type ServiceId, type SpaceName } from '../names.ts'
import { type AppRules, accessOf, unattestedIn } from '../policy/apps.ts'
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

/** What is declared and can't be enforced at the PDS, or only by letting fewer in. */
export function notEnforced(about: Declaring, speaks: Generation | null): readonly defs.Caveat[] {
  const { mode, apps, space, readPolicy, writePolicy } = about
  const scopes = [space.authority, space.uri].map((scope) => accessOf(apps, scope))
  const rules = scopes.flatMap(({ rules: said }) => [...said])
  const isOpen = scopes.every(({ mode: how }) => how === 'open')
  const ofHosts = rules.filter(([name]) => parseClientId(name) === null)
  const isAugust = speaks !== 'october'
  const isList = mode === 'projection'
  return [
    ...(isOpen && rules.some(([name, verdict]) => verdict === 'deny' && parseClientId(name) !== null) && isList
      ? [DENIED_APPS]
      : []),
    ...(ofHosts.some(([, verdict]) => verdict === (isOpen ? 'deny' : 'allow')) && (isList || !isOpen)
      ? [APP_HOSTS]
      : []),
    ...(isOpen && scopes.some((access) => unattestedIn(access) === 'refuse') && (isList || isAugust)
      ? [UNPROVEN_APPS]
      : []),
    ...(isList && isAugust ? [WRITING, WRITERS_ONLY] : []),
    ...(isList && isAugust && (readPolicy === 'public') !== (writePolicy === 'public') ? [ONE_POLICY] : []),
    ...(isList ? [TAKING_BACK, LAG] : []),
  ]
}

const caveat = (name: string, says: string): defs.Caveat => ({ name, says })

const DENIED_APPS = caveat(
  'deniedApps',
  'A PDS that is open to all apps has no word for one that is denied: there it is let in.',
)
const APP_HOSTS = caveat(
  'appHosts',
  'A PDS has no word for all apps of a host: what is said of hosts is not kept there, and an app that is allowed by its host alone is turned away.',
)
const UNPROVEN_APPS = caveat('unprovenApps', 'A PDS that is open to all apps lets those in that prove nothing.')
const WRITING = caveat(
  'writing',
  'A PDS of August 2026 has one list for reading and writing: there, whoever may read is taken for a writer.',
)
const WRITERS_ONLY = caveat(
  'writersOnly',
  'A PDS of August 2026 has one list for reading and writing: whoever may only write is not on it.',
)
const ONE_POLICY = caveat(
  'onePolicy',
  'A PDS of August 2026 has one policy for reading and writing: there, the space is for those on its list alone, though one of both is open to everybody.',
)
const TAKING_BACK = caveat(
  'takingBack',
  'Whoever was let in reads on until the credential that the PDS gave them ends: ten minutes, or two hours on a PDS of August 2026.',
)
const LAG = caveat(
  'lag',
  'The list at the PDS follows the roster by calls: what changes here holds there when its call was made, and not while the PDS is away.',
)
