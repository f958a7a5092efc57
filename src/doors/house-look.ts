/**
 * What the database has to be asked for the page of numbers: what waits, and for how long.
 *
 * It is asked at most once in a while, however often somebody reads the page, by one reader for all; and nobody waits for a database that
 * doesn't answer. What can't be read is left out of the page, since an old number would say that all is well.
 */
import { unsealed } from '../audit/store.ts'
import { countAlarms, foundingsUnderWay, plcWorkUnderWay } from '../community/under-way-store.ts'
import { countDeksByKek } from '../keys/rewrap-store.ts'
import type { Hosted } from '../membership/hosted.ts'
import { countSpacesToTell, lanesDue } from '../notify/due-store.ts'
import { type Clock, withinMs } from '../platform/clock.ts'
import { type Db, databaseAnswers } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import type { Waiting } from '../platform/meters.ts'

/** How long what was read is believed. */
const LOOK_PAUSE_MS = 15_000
/** How long whoever reads the page waits for it. */
const PATIENCE_MS = 3_000

export interface Looked {
  readonly isDatabaseUp: boolean
  /** Null: it couldn't be read. Ages are of the moment of the look. */
  readonly audit: Waiting | null
  readonly lanes: Waiting | null
  /** Spaces in which something was written and not everybody was told. */
  readonly spacesToTell: number | null
  readonly plcWork: Waiting | null
  readonly foundings: Waiting | null
  /** Alarms that stand, by name. */
  readonly alarms: ReadonlyMap<string, number> | null
  /** Data keys that are wrapped by no key-encryption key of the settings. */
  readonly lockedDataKeys: number | null
  readonly atMs: number
}

export interface LookDeps {
  readonly db: Db
  readonly clock: Clock
  readonly log: Pick<Log, 'warn'>
  readonly kekIds: ReadonlySet<string>
  readonly hosted: Pick<Hosted, 'left'>
}

/** Answers what was found last, when that is young enough, or looks. Never fails. */
export function openLook(deps: LookDeps): () => Promise<Looked> {
  const { clock } = deps
  let last: { readonly found: Looked; readonly atMs: number } | null = null
  let underWay: Promise<Looked> | null = null
  // One that answers, and is slow to count, isn't away.
  let hasAnswered = false
  return async () => {
    if (last && clock.monotonicMs() - last.atMs < LOOK_PAUSE_MS) return last.found
    if (!underWay) hasAnswered = false
    underWay ??= look(deps, () => {
      hasAnswered = true
    })
      .then((found) => {
        last = { found, atMs: clock.monotonicMs() }
        return found
      })
      .finally(() => {
        underWay = null
      })
    const found = await withinMs(PATIENCE_MS, underWay)
    return found === 'late' ? { ...nothing(clock.nowMs()), isDatabaseUp: hasAnswered } : found
  }
}

const nothing = (atMs: number): Looked => ({
  ...{ isDatabaseUp: false, audit: null, lanes: null, spacesToTell: null, plcWork: null, foundings: null },
  ...{ alarms: null, lockedDataKeys: null, atMs },
})

/** One after the other, so that it never has more than one of the connections. */
async function look({ db, clock, log, kekIds, hosted }: LookDeps, answered: () => void): Promise<Looked> {
  const nowMs = clock.nowMs()
  if (!(await databaseAnswers(db))) return nothing(nowMs)
  answered()
  const read = async <T>(name: string, work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work()
    } catch (error) {
      log.warn('metrics.unread', { name, error: errorName(error) })
      return null
    }
  }
  return {
    isDatabaseUp: true,
    audit: await read('audit', () => unsealed(db)),
    lanes: await read('lanes', () => lanesDue(db, hosted.left(), nowMs)),
    spacesToTell: await read('spacesToTell', () => countSpacesToTell(db)),
    plcWork: await read('plcWork', () => plcWorkUnderWay(db)),
    foundings: await read('foundings', () => foundingsUnderWay(db)),
    alarms: await read('alarms', () => countAlarms(db)),
    lockedDataKeys: await read('lockedDataKeys', () => countLocked(db, kekIds)),
    atMs: nowMs,
  }
}

async function countLocked(db: Db, kekIds: ReadonlySet<string>): Promise<number> {
  const locked = [...(await countDeksByKek(db))].filter(([id]) => !kekIds.has(id))
  return locked.reduce((sum, [, count]) => sum + count, 0)
}
