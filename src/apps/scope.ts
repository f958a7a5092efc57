/** Where something is said about apps, and about which: as it is asked for, and as it stands. */
import type { AppScope } from '../membership/app-rule-store.ts'
import { notFound } from '../membership/governance.ts'
import { requireClientId, requireScope, requireSpace } from '../membership/input.ts'
import { loadSpaceState } from '../membership/store.ts'
import { parseAppHost, type SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { Refusal } from '../refusals.ts'
import { isRecordless } from '../space/settings.ts'

export type { AppScope } from '../membership/app-rule-store.ts'

interface Scoped {
  readonly community?: string | undefined
  readonly space?: string | undefined
}

/** @throws Refusal('InvalidRequest') unless a community is named, or one space of a kind in which records are kept */
export function requireAppScope(input: Scoped): AppScope {
  const found = requireScope(input)
  if (input.space !== undefined && isRecordless(requireSpace(input.space))) {
    throw new Refusal('InvalidRequest', 'a roster or role space holds no records that an app could read')
  }
  return found
}

/** @throws Refusal('NotFound') for a space that isn't there, or not any more */
export async function requireLivingScope(db: Db | Tx, { community, scope }: AppScope): Promise<void> {
  if (scope !== community && (await loadSpaceState(db, scope as SpaceUri)) !== 'live') throw notFound()
}

/** What a rule is about: one app, by its client id, or every app at a host. */
export interface Named {
  readonly name: string
  readonly isHost: boolean
}

/** @throws Refusal('InvalidRequest') unless either a client id or a host is named, in its one spelling */
export function requireNamed(input: {
  readonly clientId?: string | undefined
  readonly host?: string | undefined
}): Named {
  const { clientId, host } = input
  if (clientId !== undefined && host === undefined) return { name: requireClientId(clientId), isHost: false }
  if (clientId !== undefined || host === undefined) throw new Refusal('InvalidRequest', 'send either clientId or host')
  const name = parseAppHost(host)
  if (!name) {
    throw new Refusal('InvalidRequest', 'host is not one host name: no pattern, no address, no port, in lower case')
  }
  return { name, isHost: true }
}
