/** Claims of ownership as a key's holder would sign them, spelt out here once more. */
import type { Did } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { base64Url, signBytes, type TestKey } from './tokens.ts'
import type { World } from './world.ts'

export const CLAIM = 'community.reeve.key.claimOwnership'
export const OBJECT = 'community.reeve.key.objectOwnership'

export interface Wanted {
  readonly community: Did
  readonly owners: readonly Did[]
  readonly key: TestKey
  /** When it is signed; now, when left out. */
  readonly atMs?: number
}

/** The body of a claim. `signed`: what is said otherwise in the words than in the body. */
export function claimOf(
  { config, clock }: Pick<World, 'config' | 'clock'>,
  { community, owners, key, atMs = clock.nowMs() }: Wanted,
  signed: { tag?: string; service?: string; community?: string; owners?: readonly string[]; at?: string } = {},
): { community: Did; owners: readonly Did[]; at: string; sig: string } {
  const at = isoOf(atMs)
  const said = { tag: 'reeve-ownership-v1', service: config.serviceDid, community, owners, at, ...signed }
  const words = [said.tag, said.service, said.community, said.at, ...[...said.owners].sort()].join('\n')
  return { community, owners, at, sig: base64Url(signBytes(key, words)) }
}
