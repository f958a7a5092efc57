/** A space at its PDS itself: made, adopted, set to what is declared, and deleted. */
import { loadReadersFacts } from '../access/may-read.ts'
import { managingAppOf, type ServiceId, type SpaceName, type SpaceUri } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import { type Declared, type Declaring, declare, declaredAs, nextSettings } from './declared.ts'
import { Halt, requireAnswered } from './halt.ts'
import { dropSteered, type Kept, type Lease, saveKept } from './keeping-store.ts'
import { emptyList } from './outbox-store.ts'
import { forgetBasis, loadBanned } from './plan-store.ts'
import { keptText, type Settings, settingsOfKept, type There } from './settings-there.ts'
import { Simplespace } from './simplespace.ts'
import type { Steered } from './steered-store.ts'
import { factFor, type SteeringCtx } from './steering-ctx.ts'

/** What is declared of a space now, the revision by which that was judged, and when a ban's end may change it. */
export interface Judged {
  readonly declaring: Declaring
  readonly declared: Declared
  readonly revision: number
  readonly dueMs: number | null
}

/** @throws Halt when the space isn't there any more */
export async function judgeSpace(ctx: SteeringCtx, space: SpaceName, mode: Steered['mode']): Promise<Judged> {
  const readers = await loadReadersFacts(ctx, space, [])
  if (readers.space !== 'live') throw new Halt(null)
  const { graph, readPolicy, writePolicy } = readers.factsOf(space.authority)
  const { hasBan, untilMs } = await loadBanned(ctx.db, [space.authority, space.uri], ctx.clock.nowMs())
  const { isFrozen, revision } = readers
  const { serviceDid } = ctx
  const declaring = { mode, space, readPolicy, writePolicy, apps: graph.apps, isFrozen, hasBan, serviceDid }
  return { declaring, declared: declare(declaring), revision, dueMs: untilMs }
}

/** Work on one space within the turn of its community. */
export interface AtWork {
  readonly lease: Lease
  readonly space: SpaceName
  readonly steered: Steered
}

/**
 * Makes the space, or adopts the one that is there, and sees by reading it back of which generation its PDS is. Of one that was just made
 * nobody is on the list; of one that was there nobody knows who is.
 */
export async function makeThere(
  ctx: SteeringCtx,
  { lease, space, steered }: AtWork,
  declared: Declared,
): Promise<There> {
  const at = new Simplespace(ctx.pds, space)
  const how = requireAnswered(await at.create(declared.settings, declared.one))
  const there = requireAnswered(await at.read())
  const { speaks, settings } = there
  const isEmpty = how === 'made'
  const kept: Kept = {
    ...{ state: 'kept', speaks, there: keptText(settings), settings_due: true },
    reconciled_at_ms: isEmpty ? ctx.clock.nowMs() : null,
  }
  await withTransaction(ctx.db, async (tx) => {
    const isOurs = await saveKept(tx, lease, space.uri, kept, factFor(ctx, steered, 'steering.made', { how, speaks }))
    if (!isOurs) throw new Halt(null)
    if (isEmpty) await emptyList(tx, space.uri)
    await forgetBasis(tx, lease, space.uri)
  })
  ctx.log.info('steering.made', { space: space.uri, how, speaks })
  return there
}

/** What the space is set to there, as far as it is known; else it is read. A generation that isn't what it was has the list planned anew. */
export async function knownThere(ctx: SteeringCtx, at: AtWork): Promise<There> {
  const { speaks, there } = at.steered
  if (speaks !== null && there !== null) return { speaks, settings: settingsOfKept(there) }
  return learnThere(ctx, at)
}

export async function learnThere(ctx: SteeringCtx, { lease, space, steered }: AtWork): Promise<There> {
  const there = requireAnswered(await new Simplespace(ctx.pds, space).read())
  await withTransaction(ctx.db, async (tx) => {
    const kept = { speaks: there.speaks, there: keptText(there.settings), settings_due: true }
    if (!(await saveKept(tx, lease, space.uri, kept))) throw new Halt(null)
    if (there.speaks !== steered.speaks) await forgetBasis(tx, lease, space.uri)
  })
  return there
}

/** Sends what may be sent now of the settings. Answers what is there then; `isAll`: it is what is declared. @throws Halt */
export async function sendSettings(
  ctx: SteeringCtx,
  { lease, space, steered }: AtWork,
  {
    there,
    declared,
    isListReady,
  }: { readonly there: There; readonly declared: Declared; readonly isListReady: boolean },
): Promise<{ readonly there: There; readonly isAll: boolean }> {
  const { speaks, settings } = there
  const wanted = declaredAs(speaks, declared)
  const next = nextSettings(settings, wanted, isListReady, managingAppOf(ctx.serviceDid) as ServiceId)
  const isAll = keptText(next) === keptText(wanted)
  if (keptText(next) === keptText(settings)) {
    if (isAll && steered.settingsDue) await saveKept(ctx.db, lease, space.uri, { settings_due: false })
    return { there, isAll }
  }
  const one = speaks === 'august' ? next.read : declared.one
  // Nobody knows what is there while the call is under way, nor when its answer is lost. Whoever was banned meanwhile would else come in by
  // a policy of which nothing here knows that it was set.
  if (!(await saveKept(ctx.db, lease, space.uri, { there: null, settings_due: true }))) throw new Halt(null)
  requireAnswered(await new Simplespace(ctx.pds, space).update(next, one))
  const fact = factFor(ctx, steered, 'steering.settings', { ...shown(next), ...shown(settings, 'Before') })
  await withTransaction(ctx.db, (tx) =>
    saveKept(tx, lease, space.uri, { there: keptText(next), settings_due: !isAll }, fact),
  )
  ctx.log.info('steering.settings', { space: space.uri, read: next.read, write: next.write })
  return { there: { speaks, settings: next }, isAll }
}

/** Settings as the log has them: of apps their number alone. */
function shown({ read, write, apps }: Settings, suffix = ''): Record<string, string | number | null> {
  const count = typeof apps === 'string' ? apps : (apps?.length ?? null)
  return { [`read${suffix}`]: read, [`write${suffix}`]: write, [`apps${suffix}`]: count }
}

/** An end that nobody can carry out at the PDS is given up after so long: the grant is gone, and with it whoever could see to it. */
const ENDING_MAX_MS = 7 * 24 * 60 * 60 * 1000

/** Deletes the space at the PDS, whose end here is committed, and forgets it. Of an account that doesn't consent nothing is called. */
export async function endThere(
  ctx: SteeringCtx,
  { lease, space, steered }: AtWork,
  isConnected: boolean,
): Promise<void> {
  const drop = (how: string) => dropped(ctx, { lease, steered }, how)
  if (steered.isReleased) return drop('released')
  // What has that name there by now is what its people go on with.
  if (steered.isBoundAnew) return drop('boundAnew')
  const isBegun = steered.state === 'ending'
  // What was wrong before says nothing of the end: it would be given up before it was tried, and everybody stay let in.
  if (!isBegun) await saveKept(ctx.db, lease, space.uri, { state: 'ending', fault: null, fault_since_ms: null })
  const faultSinceMs = isBegun ? steered.faultSinceMs : null
  if (faultSinceMs !== null && ctx.clock.nowMs() - faultSinceMs > ENDING_MAX_MS) return drop('givenUp')
  if (!isConnected) throw new Halt('NotConnected', { pauseMs: UNCONNECTED_PAUSE_MS })
  // Never made there, as far as is known; a call that got lost may have made it all the same.
  requireAnswered(await new Simplespace(ctx.pds, space).delete())
  await drop('deleted')
}

export const UNCONNECTED_PAUSE_MS = 15_000

async function dropped(
  ctx: SteeringCtx,
  { lease, steered }: Pick<AtWork, 'lease' | 'steered'>,
  how: string,
): Promise<void> {
  const uri: SpaceUri = steered.space
  const fact = factFor(ctx, steered, 'steering.ended', { how })
  await withTransaction(ctx.db, (tx) => dropSteered(tx, lease, uri, fact))
  ctx.log.info('steering.ended', { space: uri, how })
}
