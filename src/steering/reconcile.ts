/**
 * Reads what the PDS has of a space and sets it against what is declared. Only a list that was read to its end counts.
 *
 * Asked for, it shows what differs and changes nothing. By itself, once a day, it puts that right; but where more people than a few are on the
 * list whom nobody here declared, it may be us who are wrong, and they stay until an owner agrees. So do all of them the first time that a
 * list is looked at, and whenever nobody is declared at all.
 */
import { sleep } from '../platform/clock.ts'
import { withTransaction } from '../platform/database.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { type Calls, pauseAfter } from './calls.ts'
import { type Declared, declaredAs } from './declared.ts'
import { Halt, haltOf, requireAnswered } from './halt.ts'
import type { AtWork } from './keep-settings.ts'
import { saveKept } from './keeping-store.ts'
import {
  beginReading,
  compareLook,
  endLook,
  type Found,
  failLook,
  insertLook,
  type Look,
  loadLook,
  savePage,
  takeOver,
} from './look-store.ts'
import { differing, keptText, type There } from './settings-there.ts'
import { type Answered, BEGINNING, type Page, Simplespace } from './simplespace.ts'
import { factFor, type SteeringCtx } from './steering-ctx.ts'

/** People on the list whom nobody declared, who are taken off without asking. */
export const REMOVALS_UNASKED = 25

/** A PDS that makes people up without end would fill the database of everybody else here. */
export const LISTED_MAX = 500_000

const DAY_MS = 24 * 60 * 60 * 1000
const HOUR_MS = 60 * 60 * 1000

/** A day from now, an hour at most sooner or later, so that what began together doesn't go on together. `nowMs` in milliseconds. */
export function nextReconcileMs(random: Random, nowMs: number): number {
  const [a = 0, b = 0] = random.bytes(2)
  return nowMs + DAY_MS - HOUR_MS + Math.round(((a * 256 + b) / 65_535) * 2 * HOUR_MS)
}

export const lookName = (random: Random): string => randomHex(random, 12)

export interface Looking extends AtWork {
  readonly calls: Calls
  readonly declared: Declared
  /** Whether nothing was known of the list before. */
  readonly isFirst: boolean
  readonly signal?: AbortSignal | undefined
}

/** Puts down and makes a look that nobody asked for. */
export async function reconcile(ctx: SteeringCtx, about: Looking): Promise<void> {
  const id = lookName(ctx.random)
  const { uri } = about.space
  await insertLook(ctx.db, { id, space: uri, askedBy: null, nowMs: ctx.clock.nowMs() })
  const look = await loadLook(ctx.db, uri, id)
  if (look) await makeLook(ctx, about, look)
}

/** Makes a look that is put down, from its beginning. @throws Halt when it can't be made; it has failed then */
export async function makeLook(ctx: SteeringCtx, about: Looking, look: Look): Promise<void> {
  const { lease, space } = about
  try {
    await beginReading(ctx.db, lease, look)
    const there = requireAnswered(await new Simplespace(ctx.pds, space).read())
    if (about.steered.mode === 'projection') await readList(ctx, about, look, there)
    await finish(ctx, about, look, there)
  } catch (error) {
    const because = error instanceof Halt ? (error.fault ?? 'NotReadToItsEnd') : 'NotReadToItsEnd'
    const nowMs = ctx.clock.nowMs()
    await failLook(ctx.db, lease, look, because, nowMs)
    if (look.askedBy === null) await saveKept(ctx.db, lease, space.uri, { reconcile_due_ms: nowMs + HOUR_MS })
    throw error
  }
}

async function readList(ctx: SteeringCtx, about: Looking, look: Look, { speaks }: There): Promise<void> {
  const at = new Simplespace(ctx.pds, about.space)
  let read = 0
  for (let place = BEGINNING; ; ) {
    if (about.signal?.aborted) throw new Halt(null)
    const page = await pageInTime(about, () => at.page(place, speaks))
    if (page.people.length === 0) return
    read += page.people.length
    if (read > LISTED_MAX) throw new Halt('UnreadableList')
    await withTransaction(ctx.db, (tx) => savePage(tx, about.lease, look, page.people))
    place = page.next
  }
}

/** A reading that has come far isn't given up for a pause that is over soon. */
const PATIENCE_MS = 60_000
const PAUSES_MAX = 5

async function pageInTime({ calls, signal }: Looking, read: () => Promise<Answered<Page>>): Promise<Page> {
  for (let pauses = 0; ; pauses++) {
    const answer = await calls.make(read)
    if (answer.is === 'answered') {
      const pause = pauseAfter(answer, 1)
      if (pause?.pauseMs != null && pause.pauseMs <= PATIENCE_MS) await sleep(pause.pauseMs, signal)
      return answer.value
    }
    const isSoonOver = answer.is === 'failed' && answer.pauseMs !== null && answer.pauseMs <= PATIENCE_MS
    if (!isSoonOver || pauses === PAUSES_MAX || signal?.aborted) throw haltOf(answer)
    await sleep(answer.pauseMs, signal)
  }
}

async function finish(ctx: SteeringCtx, about: Looking, look: Look, there: There): Promise<void> {
  const { lease, space, steered } = about
  const settings = differing(there.speaks, there.settings, declaredAs(there.speaks, about.declared))
  const nowMs = ctx.clock.nowMs()
  await withTransaction(ctx.db, async (tx) => {
    const found = steered.mode === 'projection' ? await compareLook(tx, look) : NOTHING_FOUND
    const isHeld = about.isFirst || found.declared === 0 || found.newExtra > REMOVALS_UNASKED
    if (look.askedBy === null) {
      if (steered.mode === 'projection') await takeOver(tx, look, isHeld)
      await saveKept(tx, lease, space.uri, {
        ...{ speaks: there.speaks, there: keptText(there.settings), settings_due: true },
        ...{ reconciled_at_ms: nowMs, reconcile_due_ms: nextReconcileMs(ctx.random, nowMs) },
      })
    }
    const { missing, extra, differing: other } = found
    const counts = { look: look.id, missing, extra, differing: other, settings: settings.join(' ') }
    const fact = factFor(ctx, steered, 'steering.looked', counts)
    if (!(await endLook(tx, lease, look, { found, settings, nowMs, fact }))) throw new Halt(null)
    ctx.log.info('steering.looked', { space: space.uri, missing, extra, differing: other, isHeld })
  })
}

const NOTHING_FOUND: Found = { missing: 0, extra: 0, differing: 0, newExtra: 0, declared: 0 }
