/**
 * A space whose records are at the PDS of the community's account: which communities have such spaces, and what whoever relies on one
 * should know of the PDS and of us.
 */
import type * as defs from '../lexicons/community/reeve/defs.ts'
import { loadKind } from '../membership/account-store.ts'
import { type Did, managingAppOf, type SpaceName } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { AppRules } from '../policy/apps.ts'
import type { UserPolicy } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { type BoundAt, loadBoundAt } from './host-store.ts'
import { notEnforced } from './not-enforced.ts'
import { isRecordless } from './settings.ts'

export type HostWord = 'here' | 'pds'

/** PDSes remember documents for as long, and what they decided by them is decided (`docs/deciding-for-a-pds.md`). */
const SETTLING_MS = 24 * 60 * 60 * 1000

/** Where a space shall be, as a caller says it. @throws Refusal('UnsupportedHost') */
export function requireHostWord(text: string | undefined): HostWord {
  if (text === undefined || text === 'here') return 'here'
  if (text === 'pds') return 'pds'
  throw new Refusal(
    'UnsupportedHost',
    'a space is here, or at the PDS of the account that its community is: host is here or pds',
  )
}

/**
 * Requires that a space of this community can be there. Of one kind of community we have the keys and of the other the PDS has them, and
 * whoever has the keys has the spaces. @throws Refusal('UnsupportedHost')
 */
export async function requireHost(tx: Tx, space: SpaceName, host: HostWord): Promise<void> {
  if (isRecordless(space)) {
    if (host === 'here') return
    throw new Refusal('UnsupportedHost', 'a role space has no records that could be anywhere')
  }
  const isAccount = (await loadKind(tx, space.authority)) === 'account'
  if (isAccount === (host === 'pds')) return
  throw new Refusal(
    'UnsupportedHost',
    isAccount
      ? 'the community is an account, and its spaces are at its PDS: say host: pds'
      : 'the community was founded here, and so are its spaces: leave host out',
  )
}

/** What is declared of the space, and when it is asked. */
interface About {
  readonly serviceDid: Did
  readonly readPolicy: UserPolicy
  readonly writePolicy: UserPolicy
  readonly apps: AppRules
  readonly nowMs: number
}

/** What to know of a space that is at a PDS; null: it is here. */
export async function hostOf(db: Db | Tx, space: SpaceName, about: About): Promise<defs.Host | null> {
  const at = await loadBoundAt(db, space.uri)
  return at && render(at, space, about)
}

function render(at: BoundAt, space: SpaceName, { serviceDid, nowMs, ...declared }: About): defs.Host {
  const speaks = generationOf(at)
  return {
    at: 'pds',
    managingApp: managingAppOf(serviceDid),
    boundAt: isoOf(at.boundAtMs),
    settlesAt: isoOf(at.boundAtMs + SETTLING_MS),
    ...(at.askedAtMs === null ? {} : { askedAt: isoOf(at.askedAtMs) }),
    speaks: speaks ?? 'unknown',
    ...(at.keptAs === null ? {} : { keptAs: at.keptAs }),
    ...(at.strangersAtMs === null ? {} : { strangersAt: isoOf(at.strangersAtMs) }),
    ...(at.releasedAtMs === null ? {} : { isReleased: true }),
    notEnforced: [...notEnforced({ space, ...declared }, at.keptAs, speaks)],
    warnings: warningsOf(at, nowMs),
  }
}

/** A PDS that goes by a list asks nobody: of it we know what whoever keeps the list read there. */
function generationOf({ saysAccess, keptSpeaks, askedAtMs }: BoundAt): 'august' | 'october' | null {
  if (saysAccess) return 'october'
  return keptSpeaks ?? (askedAtMs === null ? null : 'august')
}

/** A PDS that goes by a list of its own asks nobody, and is the worse for nothing that happens to us. */
function warningsOf({ keptAs, askedAtMs, boundAtMs }: BoundAt, nowMs: number): defs.Caveat[] {
  if (keptAs === 'projection') return WARNINGS.filter((one) => one.name === 'ownWord')
  const isSettling = nowMs < boundAtMs + SETTLING_MS
  return [...WARNINGS, ...(isSettling ? [SETTLING] : []), ...(askedAtMs === null ? [NEVER_ASKED] : [])]
}

const caveat = (name: string, says: string): defs.Caveat => ({ name, says })

const SETTLING = caveat(
  'settling',
  'This space was bound less than 24 hours ago: until settlesAt its PDS may go by what it remembers of before. That is advice, and nothing waits for it.',
)
const NEVER_ASKED = caveat(
  'neverAsked',
  'The PDS has not asked about this space yet. Until it stores managingApp, it decides by itself.',
)

/** What holds for every space that is at a PDS. */
export const WARNINGS: readonly defs.Caveat[] = [
  caveat(
    'remembers',
    'A PDS remembers documents for up to 24 hours: until then it may look for this service where it was before, and lets nobody in when it does not find it.',
  ),
  caveat(
    'downIsNo',
    'While this service does not answer, the PDS lets nobody in anew, and leaves what is written meanwhile out of the list of writers until its writer writes again.',
  ),
  caveat(
    'ownWord',
    'Whoever holds the account can store another managing app, or none, and is not asked about: the PDS always lets the account itself in.',
  ),
]
