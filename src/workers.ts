/** The work that goes on by itself, in every process: each kind in turns, with a pause in between. One that fails takes nothing else down. */

import { sealDue } from './audit/sealer.ts'
import { carryOutDue } from './community/acts.ts'
import { applyClaims } from './community/apply-claims.ts'
import { endCeremonies } from './community/end-ceremonies.ts'
import { makeExports } from './community/make-exports.ts'
import { resumeMints } from './community/resume-mints.ts'
import { resumePlcWork } from './community/resume-plc-work.ts'
import { forgetReplaced, letGoOfKeys, ROTATIONS_IN_TURN, resumeRotations } from './community/resume-rotations.ts'
import { watchTurns } from './community/watch-turns.ts'
import { isStillHeld } from './credential/ledger-store.ts'
import { recheckDue } from './credential/recheck.ts'
import { forgetRevocations } from './credential/revocation-store.ts'
import { wakeHosts } from './credential/revocation-turn-store.ts'
import { forgetIssued } from './credential/store.ts'
import { openHostTelling } from './credential/tell-hosts.ts'
import { REUSABLE_MAX_SEC } from './credential/token-classes.ts'
import type { House } from './doors/house.ts'
import { forgetImports } from './membership/import-store.ts'
import { resumeImports } from './membership/resume-imports.ts'
import { clearEndedRolls } from './membership/roll-end-store.ts'
import { clearEndedSpaces } from './membership/space-clearing.ts'
import { wakeMoved } from './membership/standing-moved-store.ts'
import type { SpaceUri } from './names.ts'
import { wakeLanes } from './notify/lane-store.ts'
import { forgetExpired } from './notify/registration-store.ts'
import { followSpaceEnds } from './notify/space-ends.ts'
import { repeat } from './platform/clock.ts'
import { type OpenDatabase, tidyTables } from './platform/database.ts'
import { forgetAnswers } from './platform/idempotency.ts'
import { errorName } from './platform/log.ts'
import { databaseNowSec, forgetSpent, raiseFloor } from './platform/once.ts'
import { SteadyTime } from './platform/steady-time.ts'
import { forgetAttempts } from './steering/connection-store.ts'
import { openSteering } from './steering/projector.ts'
import { forgetTurns } from './steering/turn-store.ts'

const SEAL_PAUSE_MS = 1_000
const CHECKPOINT_PAUSE_MS = 5_000
const RESUME_PAUSE_MS = 15_000
/** What is signed in another community's name with a key that was replaced elsewhere is refused until it is forgotten here. */
const FORGET_REPLACED_PAUSE_MS = 1_000
const IMPORT_PAUSE_MS = 500
/** A host elsewhere goes on serving a credential until it is told of what was found in these turns. */
const RECHECK_PAUSE_MS = 500
/** Somebody may be waiting to be told, or to make a space of that name anew. */
const SPACE_ENDS_PAUSE_MS = 500
/** Whoever writes here is told of at once; this is for what other processes took in, and for whoever has to hear again. */
const DELIVERY_PAUSE_MS = 500
const TELL_HOSTS_PAUSE_MS = 500
/** Grants are looked after once a day; here is found whose day has come. */
const WATCH_PAUSE_MS = 60_000
/** Somebody who was removed reads on at a PDS that has a list of its own until the call is made. */
const STEERING_PAUSE_MS = 1_000
const SWEEP_PAUSE_MS = 60_000
const SWEEP_MAX = 5_000
/** How long a credential's row outlives it. That it was issued, to whom and why, stays in the audit. */
const ISSUED_KEPT_SEC = 24 * 60 * 60
/** How long what an import was given stays, after nobody has touched it any more. */
const IMPORTS_KEPT_MS = 7 * 24 * 60 * 60 * 1000
/** How long a turn that is over stays: clocks of two processes are never so far apart. */
const TURNS_KEPT_MS = 60 * 60 * 1000
/** About once an hour. */
const SWEEPS_PER_TIDYING = 60

/** Sweeps batch after batch, so that no amount that a minute brings in is more than a minute takes out. */
async function untilLessThan(full: number, sweep: () => Promise<number>, signal?: AbortSignal): Promise<void> {
  while ((await sweep()) >= full && !signal?.aborted);
}

/**
 * The work that goes on by itself. A turn that fails is told and tried again; it never takes the process down. On a database from the past no
 * turn does anything, but for noting that it is one.
 */
export function startWorkers(house: House, opened: OpenDatabase) {
  const { past } = house.checkpoints
  const turn = (name: string, work: (signal: AbortSignal) => Promise<unknown>) => async (signal: AbortSignal) => {
    if (!past.aborted) await always(name, () => work(AbortSignal.any([signal, past])))
  }
  const always = async (name: string, work: () => Promise<unknown>) => {
    try {
      await house.traces.begun('turn', name, work)
    } catch (error) {
      house.log.warn('worker.failed', { name, error: errorName(error) })
      house.meters.workerFailed(name)
    }
  }
  const { db, clock } = house
  const clearing = { ...house, isStillHeld: (space: SpaceUri) => isStillHeld(db, space, clock.nowSec()) }
  let sweeps = 0
  const steadyTime = new SteadyTime(clock, REUSABLE_MAX_SEC * 1000)
  /** Up to here claims may be forgotten, since the last turn: whatever was being claimed then has ended long since. */
  let overBeforeSec = 0
  /** What would count again, were it forgotten too soon. The clock of a database elsewhere has its say too: another process may be ahead for good. */
  const forgetWhatIsOver = async () => {
    const nowSec = Math.min(clock.nowSec(), await databaseNowSec(db))
    await untilLessThan(SWEEP_MAX, () => forgetSpent(db, overBeforeSec, SWEEP_MAX))
    overBeforeSec = (await raiseFloor(db, nowSec)) + 1
    await untilLessThan(SWEEP_MAX, () => forgetAnswers(db, nowSec * 1000, SWEEP_MAX))
    await untilLessThan(SWEEP_MAX, () => forgetIssued(db, nowSec - ISSUED_KEPT_SEC, SWEEP_MAX))
    await untilLessThan(SWEEP_MAX, () => forgetRevocations(db, nowSec * 1000, SWEEP_MAX))
  }
  const telling = openHostTelling({ ...house, vault: house.accountSigner })
  const tellHosts = repeat(
    turn('tell-hosts', (signal) => telling.turn(signal)),
    TELL_HOSTS_PAUSE_MS,
  )
  const steering = openSteering(house)
  const steer = repeat(
    turn('steering', (signal) => steering.turn(signal)),
    STEERING_PAUSE_MS,
  )
  return [
    repeat(
      turn('seal', () => sealDue(db)),
      SEAL_PAUSE_MS,
    ),
    repeat(async () => {
      const isFound = past.aborted
      await always('checkpoints', async () => {
        await house.checkpoints.turn()
        // Whoever is told already would be told on.
        if (past.aborted && !isFound) await house.dispatcher.stop()
      })
    }, CHECKPOINT_PAUSE_MS),
    repeat(
      turn('resume-mints', () => resumeMints(house)),
      RESUME_PAUSE_MS,
    ),
    repeat(
      turn('proposals', () => carryOutDue(house)),
      RESUME_PAUSE_MS,
    ),
    repeat(
      turn('apply-claims', () => applyClaims(house)),
      RESUME_PAUSE_MS,
    ),
    repeat(
      turn('make-exports', () => makeExports(house)),
      RESUME_PAUSE_MS,
    ),
    repeat(
      turn('ceremonies', () => endCeremonies(house)),
      RESUME_PAUSE_MS,
    ),
    repeat(
      turn('resume-plc-work', () => resumePlcWork(house)),
      RESUME_PAUSE_MS,
    ),
    ...watchTurns(house).map(({ name, work, pauseMs }) => repeat(turn(name, work), pauseMs)),
    repeat(
      turn('resume-rotations', (signal) => untilLessThan(ROTATIONS_IN_TURN, () => resumeRotations(house), signal)),
      RESUME_PAUSE_MS,
    ),
    repeat(
      turn('forget-replaced', () => forgetReplaced(house)),
      FORGET_REPLACED_PAUSE_MS,
    ),
    repeat(
      turn('resume-imports', (signal) => resumeImports(house, signal)),
      IMPORT_PAUSE_MS,
    ),
    repeat(
      turn('recheck', (signal) => recheckDue(house, signal)),
      RECHECK_PAUSE_MS,
    ),
    {
      async stop() {
        await tellHosts.stop()
        await telling.settled()
      },
    },
    {
      async stop() {
        await steer.stop()
        await steering.settled()
      },
    },
    repeat(
      turn('space-ends', (signal) => followSpaceEnds(house, signal)),
      SPACE_ENDS_PAUSE_MS,
    ),
    repeat(
      turn('space-clearing', (signal) => clearEndedSpaces(clearing, signal)),
      SPACE_ENDS_PAUSE_MS,
    ),
    repeat(
      turn('deliveries', async () => house.dispatcher.rouse()),
      DELIVERY_PAUSE_MS,
    ),
    repeat(
      turn('grants', (signal) => house.sessions.watch(signal)),
      WATCH_PAUSE_MS,
    ),
    repeat(
      turn('sweep', async () => {
        const steadiness = steadyTime.look()
        if (steadiness.is === 'stepped') house.log.warn('clock.stepped', { byMs: Math.round(steadiness.byMs) })
        if (steadiness.is === 'steady') await forgetWhatIsOver()
        await untilLessThan(SWEEP_MAX, () => clearEndedRolls(db, SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetImports(db, clock.nowMs() - IMPORTS_KEPT_MS, SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetAttempts(db, clock.nowMs(), SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetTurns(db, clock.nowMs() - TURNS_KEPT_MS, SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetExpired(db, clock.nowMs(), SWEEP_MAX))
        await wakeLanes(db, clock.nowMs())
        await wakeHosts(db, clock.nowMs())
        // A standing is noted to move at the end of a credential at the latest.
        await wakeMoved(db, clock.nowMs() + house.credentialLifetimeSec * 1000)
        house.vault.dropExpired()
        await letGoOfKeys(house)
        sweeps += 1
        if (sweeps % SWEEPS_PER_TIDYING === 0) await tidyTables(opened)
      }),
      SWEEP_PAUSE_MS,
    ),
  ]
}
