/** `community.reeve.key.list`: the keys of a community, set against what its document says, and what has to be seen to. */
import type { HeldKey } from '../keys/store.ts'
import type { Vault } from '../keys/vault.ts'
import type * as lexicon from '../lexicons/community/reeve/key/list.ts'
import { type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { type Keeper, listKeepers } from '../membership/keeper-store.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideAct } from '../policy/decide.ts'
import { Unavailable } from '../refusals.ts'
import { loadTasks, standsInRoster } from './identity-tasks.ts'
import { comparedWith, type Inventory } from './key-inventory.ts'
import { loadRotation } from './key-rotation-store.ts'
import { type PinnedCtx, readPinnedLog } from './pinned-log.ts'
import { custodyShown, shownQuorum } from './quorum-shown.ts'
import { loadActiveQuorum } from './quorum-store.ts'
import { shownRotation } from './rotation-begin.ts'
import { loadCommunity } from './store.ts'

type ListCtx = GovernanceCtx & PinnedCtx & { readonly vault: Pick<Vault, 'publicKeys'>; readonly publicUrl: string }

/**
 * For those who may see keys. The directory is asked each time; when it doesn't answer, what is known here is told all the same, and that
 * it wasn't compared. @throws Refusal NotFound for strangers; Forbidden without keys.view
 */
export async function keyList(ctx: ListCtx, caller: Did, params: lexicon.$Params): Promise<lexicon.$OutputBody> {
  const did = requireDid(params.community, 'community')
  const facts = await loadStandingFacts(ctx, ctx.db, did, caller, { feedersOf: () => [] })
  const community = facts && (await loadCommunity(ctx.db, did))
  if (!community) throw notFound()
  required(decideAct(facts, caller, 'keys.view', rosterUri(did)))
  const isExternal = community.custody === 'external'
  const keys = isExternal ? [] : await ctx.vault.publicKeys(did)
  const held = keys.filter(({ purpose }) => purpose !== 'client')
  const { recoveryKey, recoveryHolder } = community
  const inShares = (await loadActiveQuorum(ctx.db, did))?.didKey ?? null
  const about = { keys: held, recoveryKey, inShares, publicUrl: ctx.publicUrl }
  const compared = isExternal ? null : await compare(ctx, did, about)
  const inDocument = compared && 'inventory' in compared ? compared.inventory.named : null
  const rotation = await loadRotation(ctx.db, did)
  const quorum = await shownQuorum(ctx, did)
  return {
    custody: await custodyShown(ctx.db, community),
    ...(recoveryKey === null ? {} : { recoveryKey }),
    ...(recoveryHolder === null
      ? {}
      : { recoveryHolder, recoveryHolderStands: await standsInRoster(ctx, did, recoveryHolder) }),
    keys: held.map((key) => shownKey(key, inDocument)),
    ...(compared && 'inventory' in compared ? { document: compared.inventory.shown } : {}),
    ...(compared && 'unavailable' in compared ? { documentUnavailable: compared.unavailable } : {}),
    ...(rotation ? { rotation: shownRotation(rotation) } : {}),
    ...(quorum.length === 0 ? {} : { quorum }),
    keepers: (await listKeepers(ctx.db, did)).map(shownKeeper),
    tasks: isExternal ? [] : [...(await loadTasks(ctx, community))],
    revision: facts.revision,
  }
}

async function compare(
  ctx: ListCtx,
  did: Did,
  about: Parameters<typeof comparedWith>[1],
): Promise<{ inventory: Inventory } | { unavailable: string }> {
  try {
    return { inventory: comparedWith(await readPinnedLog(ctx, did), about) }
  } catch (error) {
    if (error instanceof Unavailable) return { unavailable: error.code }
    throw error
  }
}

const shownKey = (key: HeldKey, named: ReadonlySet<string> | null) => ({
  id: key.id,
  purpose: key.purpose,
  didKey: key.didKey,
  state: key.state,
  flags: [...key.flags],
  ...(key.standsAside ? { standsAside: true } : {}),
  ...(named ? { inDocument: named.has(key.didKey) } : {}),
  since: isoOf(key.stateSinceMs),
  createdAt: isoOf(key.createdAtMs),
})

const shownKeeper = ({ did, sealKey, signKey, fingerprint, enrolledAtMs, countsFromMs }: Keeper) => ({
  ...{ did, sealKey, signKey, fingerprint },
  enrolledAt: isoOf(enrolledAtMs),
  countsFrom: isoOf(countsFromMs),
})
