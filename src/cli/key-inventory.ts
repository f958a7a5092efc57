/** `reeve key inventory`: which keys of which communities are here, set against the PLC directory. Changes nothing, opens nothing. */

import { listHeld } from '../community/custody-store.ts'
import { comparedWith, type Inventory } from '../community/key-inventory.ts'
import { custodyShown } from '../community/quorum-shown.ts'
import { loadActiveQuorum } from '../community/quorum-store.ts'
import { type Community, loadCommunity } from '../community/store.ts'
import { openPlcDirectory, type PlcDirectory } from '../identity/plc-directory.ts'
import { type HeldKey, listKeys } from '../keys/store.ts'
import { type Did, parseDid } from '../names.ts'
import { systemClock } from '../platform/clock.ts'
import type { Config } from '../platform/config.ts'
import type { Db } from '../platform/database.ts'
import { openHostLookup } from '../platform/host-lookup.ts'
import { openOutbound } from '../platform/outbound.ts'
import { Unavailable } from '../refusals.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { onDatabase } from './on-database.ts'
import { say } from './terminal.ts'

export const keyInventory: Command = {
  words: ['key', 'inventory'],
  takes: '[--community <did>]',
  does: ['List the keys that are here, their states and flags, and in what the directory has it otherwise.'],
  async run(args) {
    const { options } = readArguments(args, 0, { community: 'text' })
    const only = options.community === undefined ? null : parseDid(options.community)
    if (options.community !== undefined && only === null) throw new WrongUsage('--community is a DID')
    return onDatabase((db, config) => inventory(db, config, only))
  },
}

async function inventory(db: Db, config: Config, only: Did | null): Promise<number> {
  const { plcUrl, allowLoopback } = config
  const lookup = openHostLookup()
  const outbound = openOutbound({ allowLoopback, ownHosts: [], trustedOrigins: [plcUrl], lookup, clock: systemClock })
  try {
    const directory = openPlcDirectory({ plcUrl, outbound })
    const communities = only ? [only] : await listHeld(db)
    let faults = 0
    for (const did of communities) {
      const community = await loadCommunity(db, did)
      if (!community) throw new Error('there is no such community')
      if (!(await shown(db, config, directory, community))) faults += 1
    }
    say(`${communities.length} communities, ${faults} not as they should be`)
    return faults === 0 ? EXIT_FINE : EXIT_FAILED
  } finally {
    await outbound.close()
  }
}

/** Prints one community. Whether all is as it should be. */
async function shown(db: Db, config: Config, directory: PlcDirectory, community: Community): Promise<boolean> {
  const { did, recoveryKey, recoveryHolder } = community
  const inShares = await loadActiveQuorum(db, did)
  const keys = (await listKeys(db, did)).filter(({ purpose }) => purpose !== 'client')
  say(`${did}  ${await custodyShown(db, community)}  ${community.name}`)
  if (inShares) say(`  in shares    ${inShares.didKey}  ${inShares.k} of ${inShares.n} keepers`)
  if (recoveryKey !== null) say(`  its own key  ${recoveryKey}  held by ${recoveryHolder ?? 'nobody known'}`)
  const about = { keys, recoveryKey, inShares: inShares?.didKey ?? null, publicUrl: config.publicUrl }
  const compared = await compare(directory, did, about)
  for (const key of keys) say(`  ${lineOf(key, typeof compared === 'string' ? null : compared)}`)
  if (typeof compared === 'string') {
    say(`  NOT COMPARED: ${compared}`)
    return false
  }
  for (const [rank, { didKey, whose }] of compared.shown.rotationKeys.entries()) {
    say(`  may change the identity, ${rank + 1}.  ${didKey}  ${whose}`)
  }
  for (const sentence of compared.shown.differs) say(`  DIFFERS: ${sentence}`)
  const isMarked = keys.some(({ state, flags }) => state === 'active' && flags.length > 0)
  if (isMarked) say('  REPLACE: a key in use has been outside, or somebody may have seen it')
  return compared.shown.differs.length === 0 && !isMarked
}

async function compare(
  directory: PlcDirectory,
  did: Did,
  about: Parameters<typeof comparedWith>[1],
): Promise<Inventory | string> {
  try {
    const log = await directory.readLog(did)
    return log ? comparedWith(log, about) : 'the directory knows no such DID'
  } catch (error) {
    if (error instanceof Unavailable) return `the directory: ${error.code}`
    throw error
  }
}

function lineOf({ id, purpose, didKey, state, flags, standsAside }: HeldKey, compared: Inventory | null): string {
  const remarks = [...flags, ...(standsAside ? ['stands aside'] : [])]
  if (compared && state === 'active' && !compared.named.has(didKey)) remarks.push('NOT IN THE DOCUMENT')
  if (compared && state === 'pending')
    remarks.push(compared.named.has(didKey) ? 'in the document already' : 'not sent yet')
  return [purpose.padEnd(8), state.padEnd(9), didKey, id, ...remarks].join('  ')
}
