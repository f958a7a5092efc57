/** What is declared of a space that is at a PDS and doesn't hold there, or only by letting fewer in. Pure: one list for everybody who shows it. */
import type * as defs from '../lexicons/community/reeve/defs.ts'
import { parseClientId, type SpaceName } from '../names.ts'
import { type AppRules, accessOf, unattestedIn } from '../policy/apps.ts'
import type { UserPolicy } from '../policy/decide.ts'

export interface DeclaredThere {
  readonly space: SpaceName
  readonly readPolicy: UserPolicy
  readonly writePolicy: UserPolicy
  readonly apps: AppRules
}

/** How its PDS is set from here: it asks us, or goes by a list that we keep; null: somebody else set it to ask us. */
export type KeptAs = 'hook' | 'projection' | null

/** `speaks`: the generation of the PDS, of which August can say less. Null: nobody knows, so it is taken for August's. */
export function notEnforced(
  about: DeclaredThere,
  keptAs: KeptAs,
  speaks: 'august' | 'october' | null,
): readonly defs.Caveat[] {
  const isAugust = speaks !== 'october'
  if (keptAs === 'projection')
    return [TAKING_BACK, LAG, ...ofPeopleOnLists(about, isAugust), ...ofApps(about, keptAs, isAugust)]
  return [TAKING_BACK, ...(isAugust ? [WRITING_ASKED] : []), ...ofApps(about, keptAs, isAugust)]
}

function ofPeopleOnLists({ readPolicy, writePolicy }: DeclaredThere, isAugust: boolean): readonly defs.Caveat[] {
  if (!isAugust) return []
  const isOnePublic = (readPolicy === 'public') !== (writePolicy === 'public')
  return [WRITING_LISTED, WRITERS_ONLY, ...(isOnePublic ? [ONE_POLICY] : [])]
}

function ofApps({ apps, space }: DeclaredThere, keptAs: KeptAs, isAugust: boolean): readonly defs.Caveat[] {
  const scopes = [space.authority, space.uri].map((scope) => accessOf(apps, scope))
  const rules = scopes.flatMap(({ rules: said }) => [...said])
  const isOpen = scopes.every(({ mode }) => mode === 'open')
  const turnsAwayUnproven = scopes.some((access) => unattestedIn(access) === 'refuse')
  const says = (verdict: string, isHost: boolean) =>
    rules.some(([name, said]) => said === verdict && (parseClientId(name) === null) === isHost)
  const isList = keptAs === 'projection'
  // Where we keep the space, the PDS has our list of apps, and turns away by itself whoever isn't on it.
  const hasOwnList = keptAs !== null && !isOpen
  const losesHosts = hasOwnList ? says('allow', true) : isList && says('deny', true)
  return [
    ...(isList && isOpen && says('deny', false) ? [DENIED_APPS] : []),
    ...(losesHosts ? [APP_HOSTS] : []),
    ...(turnsAwayUnproven && !hasOwnList && (isList || isAugust) ? [isList ? UNPROVEN_LISTED : UNPROVEN_ASKED] : []),
    ...(!isOpen || turnsAwayUnproven || rules.some(([, said]) => said === 'deny') ? [WRITING_APPS] : []),
  ]
}

const caveat = (name: string, says: string): defs.Caveat => ({ name, says })

const TAKING_BACK = caveat(
  'takingBack',
  'Whoever was let in reads on until the credential that the PDS gave them ends: ten minutes, or two hours on a PDS of August 2026.',
)
const LAG = caveat(
  'lag',
  'The list at the PDS follows the roster by calls: what changes here holds there when its call was made, and not while the PDS is away.',
)
const WRITING_ASKED = caveat(
  'writing',
  'A PDS of August 2026 asks about reading and writing in the same words: there, whoever may read is taken for a writer.',
)
const WRITING_LISTED = caveat(
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
const DENIED_APPS = caveat(
  'deniedApps',
  'A PDS that is open to all apps has no word for one that is denied: there it is let in.',
)
const APP_HOSTS = caveat(
  'appHosts',
  'A PDS has no word for all apps of a host: what is said of hosts is not kept there, and an app that is allowed by its host alone is turned away.',
)
const UNPROVEN_LISTED = caveat('unprovenApps', 'A PDS that is open to all apps lets those in that prove nothing.')
const UNPROVEN_ASKED = caveat(
  'unprovenApps',
  'A PDS of August 2026 does not say when an app proved nothing: there, only its own list of apps keeps such an app out.',
)
const WRITING_APPS = caveat(
  'writingApps',
  'No PDS says with which app somebody wrote: what is said of apps holds for reading, and keeps nothing out that is written with one.',
)
