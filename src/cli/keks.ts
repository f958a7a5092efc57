/** The key-encryption keys of the service's environment, for commands that seal or open. */
import { join } from 'node:path'
import { type Kek, openKek } from '../keys/kek.ts'
import { type Config, readVariable } from '../platform/config.ts'
import { systemRandom } from '../platform/random.ts'

/** The one that seals, and one from before that still opens. @throws Error in one line */
export function configuredKeks(config: Config): { readonly kek: Kek; readonly previousKeks: readonly Kek[] } {
  const deps = { readEnv: readVariable, envIsPermitted: config.allowEnvKek, random: systemRandom }
  const kek = openKek(config.kek ?? `file:${join(config.dataDir, 'development.kek')}`, deps)
  return { kek, previousKeks: config.kekPrevious ? [openKek(config.kekPrevious, deps)] : [] }
}
