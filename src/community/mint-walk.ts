/**
 * The walk by which a community is founded: `prepared → submitted → confirmed → opened`, each step recorded before the next.
 *
 *   prepared    keys made and sealed, genesis signed and stored; nothing has left the house
 *   submitted   the operation may have reached the directory; only its log tells
 *   confirmed   the directory's log and document say exactly what we signed
 *   opened      roster, first owner and audit exist; the keys sign
 *   refused     an end: the directory answered no for good, and its log doesn't hold the DID
 *
 * Every step may be taken again after a crash, by any process. What the directory did is never guessed from its answer to a
 * POST: the log is read before an operation is sent and after, whatever came back.
 */
import { appendChained } from '../audit/store.ts'
import type { DidDocuments } from '../identity/did-documents.ts'
import type { PlcDirectory } from '../identity/plc-directory.ts'
import { activateFoundedKeys } from '../keys/store.ts'
import { insertSpace, raiseRevisions, savePersonEdge, startRevisions } from '../membership/store.ts'
import { type Did, rosterOf } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import type { Log } from '../platform/log.ts'
import { decideFounding } from '../policy/decide.ts'
import { OWNER } from '../policy/roles.ts'
import type { Reason } from '../policy/verdict.ts'
import { Unavailable } from '../refusals.ts'
import { insertSettings } from '../space/store.ts'
import { requireShown } from './shown-document.ts'
import { type Founding, loadFounding, lockFounding, type MintFault, moveStep, refuseFounding } from './store.ts'

export interface MintCtx {
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  readonly directory: PlcDirectory
  readonly documents: DidDocuments
}

/**
 * How far behind a directory may show its log. For so long no refusal is believed: another process may have sent the operation a
 * moment before, and it is refused because it is in force already. A founding given up then would leave a DID that nobody runs.
 */
export const DIRECTORY_LAG_MAX_MS = 10 * 60 * 1000

/** Walks under way in this process, per directory: the founder's call, its repetitions and the worker share one. */
const underWay = new WeakMap<PlcDirectory, Map<Did, Promise<Founding>>>()

/**
 * Walks a founding as far as it goes now, and answers where it stands. @throws Unavailable when the directory can't be asked,
 * or contradicts itself: the founding stays where it is and is taken up again later.
 */
export function walkMint(ctx: MintCtx, did: Did): Promise<Founding> {
  const walks = underWay.get(ctx.directory) ?? new Map<Did, Promise<Founding>>()
  underWay.set(ctx.directory, walks)
  const walk = walks.get(did) ?? walkAlone(ctx, did).finally(() => walks.delete(did))
  walks.set(did, walk)
  return walk
}

async function walkAlone(ctx: MintCtx, did: Did): Promise<Founding> {
  for (;;) {
    const founding = await loadFounding(ctx.db, did)
    if (!founding) throw new Error('no such founding')
    if (founding.step === 'opened' || founding.step === 'refused') return founding
    await takeStep(ctx, founding)
  }
}

/** Takes the next step. Safe to repeat, and safe beside another process that takes the same step. */
async function takeStep(ctx: MintCtx, founding: Founding): Promise<void> {
  if (founding.step === 'prepared') await moveStep(ctx.db, founding.did, 'prepared', 'submitted')
  if (founding.step === 'submitted') await submit(ctx, founding)
  if (founding.step === 'confirmed') await withTransaction(ctx.db, (tx) => open(ctx, tx, founding.did))
}

async function submit(ctx: MintCtx, founding: Founding): Promise<void> {
  const giveUp = (why: MintFault) => withTransaction(ctx.db, (tx) => refuseFounding(tx, founding.did, why))
  let known = await isInLog(ctx, founding)
  let fault: MintFault | null = null
  if (known === 'absent') {
    const answer = await ctx.directory.submit(founding.did, founding.operation)
    if (answer !== 'accepted') fault = answer.refused === 'conflict' ? 'PlcConflict' : 'PlcRejected'
    known = await isInLog(ctx, founding)
  }
  if (known === 'other') {
    ctx.log.error('mint.conflict', { did: founding.did })
    await giveUp('PlcConflict')
  } else if (known === 'ours') {
    await requireShown(ctx, founding.did, founding.operation)
    await moveStep(ctx.db, founding.did, 'submitted', 'confirmed')
  } else if (fault && ctx.clock.nowMs() - founding.createdAtMs > DIRECTORY_LAG_MAX_MS) {
    ctx.log.warn('mint.refused', { did: founding.did, fault })
    await giveUp(fault)
  } else {
    // A directory that lags will show it; one that lies must not get a community opened, nor a founding given up.
    throw new Unavailable('UpstreamFailure', 'plc-directory')
  }
}

/** What the directory's verified log says of the operation we signed. */
async function isInLog(ctx: MintCtx, founding: Founding): Promise<'ours' | 'other' | 'absent'> {
  const log = await ctx.directory.readLog(founding.did)
  if (!log) return 'absent'
  return log.ops.length === 1 && log.head.cid === founding.operationCid ? 'ours' : 'other'
}

/** The roster of a community that begins here, with its first owner, and its numbers. Answers why that is allowed. */
export async function startRoll(tx: Tx, did: Did, owner: Did, nowMs: number): Promise<readonly Reason[]> {
  const permit = decideFounding(owner)
  const roster = rosterOf(did)
  await startRevisions(tx, did)
  await insertSpace(tx, permit, roster, null, nowMs)
  await insertSettings(tx, permit, roster.uri, {
    name: null,
    description: null,
    readPolicy: 'memberList',
    writePolicy: 'memberList',
  })
  const entry = { into: roster.uri, from: owner, role: OWNER, holding: null, sinceMs: null, untilMs: null }
  await savePersonEdge(tx, permit, did, entry, nowMs)
  return permit.because
}

/** Everything that makes a founded DID a community, in one transaction. */
async function open(ctx: MintCtx, tx: Tx, did: Did): Promise<void> {
  const founding = await lockFounding(tx, did)
  if (founding?.step !== 'confirmed') return
  const nowMs = ctx.clock.nowMs()
  const reasons = await startRoll(tx, did, founding.founder, nowMs)
  await activateFoundedKeys(tx, did, nowMs)
  const revision = await raiseRevisions(tx, did, { graph: true })
  await appendChained(tx, {
    community: did,
    atMs: nowMs,
    actor: founding.founder,
    action: 'community.mint',
    target: did,
    subject: founding.founder,
    because: { reasons, revision, custody: founding.custody, operationCid: founding.operationCid },
  })
  await moveStep(tx, did, 'confirmed', 'opened')
}
