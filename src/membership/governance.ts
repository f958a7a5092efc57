/**
 * The one way in which anything about a community is changed.
 *
 * In one transaction: hold the community's numbers, find an answer already given under the same idempotencyKey, load where the
 * actor stands, let the action decide and write, raise the revision, note whose standing moved, append to the chain. So whoever
 * decides on the community's facts meanwhile either finished before, or sees the change; and a change without its record cannot be.
 */
import type { AuditFact } from '../audit/chain.ts'
import { appendAllChained, appendUnsealed } from '../audit/store.ts'
import type * as defs from '../lexicons/community/reeve/defs.ts'
import { type Did, rosterOf, type SpaceUri } from '../names.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import { type IdempotentCall, remember, remembered } from '../platform/idempotency.ts'
import { standsSomewhere } from '../policy/standing.ts'
import type { Decision, Reason } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import type { Paces } from './pace.ts'
import { previewOf, type Touched, type Trial, tryOut } from './preview.ts'
import { type Facts, type FactsCtx, loadGroundedFacts, loadStandingFacts } from './standing-facts.ts'
import { noteMoved } from './standing-moved-store.ts'
import { loadRevisions, lockRevisions, raiseRevisions } from './store.ts'

export interface GovernanceCtx extends FactsCtx {
  readonly db: Db
  readonly paces: Paces
}

/** One call for a change. `action` is how the audit names it; `target` is the space or the community it is done to. */
export interface ChangeCall {
  readonly community: Did
  readonly actor: Did
  readonly action: string
  readonly target: SpaceUri | Did
  readonly subject: Did | null
  readonly ifRevision: number | undefined
  readonly idempotency: IdempotentCall | null
  /**
   * Who may call besides those who govern: `guests` stand here by another community's spaces; `anybody` stands nowhere yet. What
   * they may do is about themselves.
   */
  readonly isFor?: 'guests' | 'anybody'
  /** Whether to show what the call would do, and to change nothing. */
  readonly isDryRun?: boolean | undefined
}

/** What an action did: its answer, whether an edge between spaces moved with it, and why it was allowed. */
export interface Changed<T> {
  readonly answer: T
  readonly changed: 'nothing' | 'roster' | 'graph'
  readonly because: readonly Reason[]
  /** Whom it may concern, for the preview. */
  readonly touches?: Touched
  /** How the audit names it, when not as the call. */
  readonly recordedAs?: string
  /** Particulars for the audit: codes, identifiers and numbers, never free text. */
  readonly details?: Details
  /** Entries of their own in the audit, after that of the call, where one call is about many people. */
  readonly each?: readonly Entry[]
}

type Details = Readonly<Record<string, string | number | null>>

/** What became of one of many people: why they were put, or why not. */
export interface Entry {
  readonly action: string
  readonly subject: Did
  readonly because: readonly Reason[]
  readonly refused?: Refusal['code']
  readonly details: Details
}

/** The answer of a change: the community's revision after it, and for a dry run who would gain and who would lose. */
export interface Outcome {
  readonly revision: number
  readonly preview?: defs.Preview
}

/** Carries the answer of a dry run out of its transaction, which is undone. */
class Tried<T> extends Error {
  readonly answer: T
  readonly actor: Facts
  readonly trial: Trial

  constructor(answer: T, actor: Facts, trial: Trial) {
    super('a dry run')
    this.answer = answer
    this.actor = actor
    this.trial = trial
  }
}

/** Refusals of somebody who stands in the community are kept in its log; a stranger's are not, or strangers could fill it. */
const KEPT_REFUSALS: ReadonlySet<string> = new Set([
  'Forbidden',
  'EscalationDenied',
  'OpenToAnybody',
  'LastOwner',
  // Somebody has the session of an owner, and not their keys.
  'KeeperSignatureRequired',
  // Or somebody is not the keeper that they were, or gives what isn't theirs.
  'KeeperRevoked',
  'KeeperSuspended',
  'BadCeremony',
  'BadShare',
])

/**
 * Carries out a change and answers it together with the community's revision; a dry run changes nothing and is not remembered.
 * Order of checks: the community exists and the actor stands somewhere in it, else NotFound; ifRevision, else StaleRevision;
 * then what `work` decides. @throws Refusal
 */
export async function changeCommunity<T extends object>(
  ctx: GovernanceCtx,
  call: ChangeCall,
  work: Work<T>,
): Promise<T & Outcome> {
  const { community } = call
  if (call.isDryRun) return ctx.paces.previews.inTurn(community, () => preview(ctx, call, work))
  return ctx.paces.changes.inTurn(community, () =>
    keepingRefusals(ctx, call, () => withTransaction(ctx.db, (tx) => changeIn(ctx, tx, call, work))),
  )
}

/**
 * Carries a change out and undoes it, in one snapshot and without holding the community: nobody's exchange waits for somebody who
 * is only looking. What it writes meanwhile is seen by nobody.
 */
async function preview<T extends object>(ctx: GovernanceCtx, call: ChangeCall, work: Work<T>): Promise<T & Outcome> {
  const look = () => withTransaction(ctx.db, (tx) => changeIn(ctx, tx, call, work), { isolation: 'repeatable read' })
  try {
    return await keepingRefusals(ctx, call, look)
  } catch (error) {
    if (!(error instanceof Tried)) throw error
    const { answer, actor, trial } = error as Tried<T & { revision: number }>
    return { ...answer, preview: await previewOf(ctx, call.community, actor, trial) }
  }
}

type Work<T extends object> = (tx: Tx, actor: Facts, nowMs: number) => Promise<Changed<T>>

/** Does what may be refused, and keeps a refusal by a verdict in the log of the community. */
export async function keepingRefusals<T>(
  ctx: GovernanceCtx,
  call: Omit<ChangeCall, 'ifRevision' | 'idempotency'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const isKept = error instanceof Refusal && isKeptRefusal(error.code) && call.isFor !== 'anybody'
    if (isKept) await recordRefusal(ctx, call, error)
    throw error
  }
}

/** Whether a refusal of somebody who stands in the community belongs in its log. */
export const isKeptRefusal = (code: Refusal['code']): boolean => KEPT_REFUSALS.has(code)

/** The same within a transaction that has written nothing yet. What else it holds, it held before the community. */
export async function changeIn<T extends object>(
  ctx: GovernanceCtx,
  tx: Tx,
  call: ChangeCall,
  work: Work<T>,
): Promise<T & { revision: number }> {
  const numbers = await (call.isDryRun ? loadRevisions(tx, call.community) : lockRevisions(tx, call.community))
  if (!numbers) throw notFound()
  const nowMs = ctx.clock.nowMs()
  const idempotency = call.isDryRun ? null : call.idempotency
  if (idempotency) {
    const earlier = await remembered(tx, idempotency, nowMs)
    if (earlier) return earlier.answer as T & { revision: number }
  }
  // The community's row is held, or this is a snapshot, and nothing is written yet: what is read here can't be rolled back.
  const load = call.isFor === undefined ? loadGroundedFacts : loadStandingFacts
  const actor = await load(ctx, tx, call.community, call.actor, { isSettled: true })
  if (!actor || (!standsSomewhere(actor) && call.isFor !== 'anybody')) throw notFound()
  if (call.ifRevision !== undefined && call.ifRevision !== numbers.revision) {
    throw new Refusal('StaleRevision', `the community stands at revision ${numbers.revision}`)
  }

  if (call.isDryRun) {
    const { done, trial } = await tryOut(ctx, tx, call.community, () => work(tx, actor, nowMs))
    throw new Tried({ ...done.answer, revision: numbers.revision }, actor, trial)
  }
  const done = await work(tx, actor, nowMs)
  const isChanged = done.changed !== 'nothing'
  const revision = isChanged
    ? await raiseRevisions(tx, call.community, { graph: done.changed === 'graph' })
    : numbers.revision
  if (isChanged && !TAKES_NOTHING.has(done.recordedAs ?? call.action))
    await noteMoved(tx, movedBy(actor, done, revision))
  await appendAllChained(tx, call.community, factsOf(call, done, { isChanged, revision, nowMs }))
  const answer = { ...done.answer, revision }
  if (idempotency) await remember(tx, idempotency, answer, nowMs)
  return answer
}

/** Changes by which nobody can lose anything that they may read. */
const TAKES_NOTHING: ReadonlySet<string> = new Set([
  'credential.revoke',
  'community.adopt',
  'community.release',
  'community.setHandle',
  'federation.offer',
  'key.replaceRecovery',
  'key.rotate',
  'key.endKeeper',
  'key.enrolKeeper',
  'key.export',
  'key.exportDue',
  'key.exportLapse',
  'key.liftSuspension',
  'key.propose',
  'key.objectOwnership',
  'key.takeExport',
  'member.createInvite',
  'member.revokeInvite',
  'member.transferOwnership',
  'member.unban',
  'notify.pause',
  'notify.replay',
  'notify.resume',
  'proposal.cancel',
  'proposal.make',
  'space.create',
  'steering.connect',
  'steering.connected',
  'steering.disconnect',
  'steering.apply',
  'steering.put',
  'steering.remove',
])

/**
 * Whose standing the change may have taken from, here and where this community's people are guests. The graph is that of before the
 * change: an offer that it took back is still in it.
 */
function movedBy({ graph }: Facts, { touches }: Changed<object>, revision: number) {
  const isNamed = touches?.people !== undefined && (touches.spaces ?? []).length === 0
  const people = isNamed ? (touches.people ?? null) : null
  return { community: graph.community, offered: graph.offered, people, revision }
}

function factsOf(
  call: ChangeCall,
  { because, details, recordedAs, each = [] }: Changed<object>,
  { isChanged, revision, nowMs }: { isChanged: boolean; revision: number; nowMs: number },
): readonly AuditFact[] {
  const fact = { ...factOf(call), atMs: nowMs }
  const ofCall = { ...fact, action: recordedAs ?? call.action, because: { reasons: because, revision, ...details } }
  const ofEach = each.map((one) => {
    const refused = one.refused === undefined ? {} : { refused: one.refused }
    const { action, subject } = one
    return { ...fact, action, subject, because: { ...refused, reasons: one.because, revision, ...one.details } }
  })
  return isChanged ? [ofCall, ...ofEach] : ofEach
}

const factOf = (call: Omit<ChangeCall, 'ifRevision' | 'idempotency'>) => ({
  community: call.community,
  actor: call.actor,
  action: call.action,
  target: call.target,
  subject: call.subject,
})

async function recordRefusal(ctx: GovernanceCtx, call: Parameters<typeof factOf>[0], refusal: Refusal): Promise<void> {
  // What `required` wrote down; a refusal that came of no verdict has no reasons.
  const because = { refused: refusal.code, reasons: JSON.parse(refusal.because ?? '[]') }
  await appendUnsealed(ctx.db, { ...factOf(call), atMs: ctx.clock.nowMs(), because })
}

/** The value of a verdict. @throws Refusal with the verdict's code */
export function required<T>(decision: Decision<T>): T {
  if (decision.ok) return decision.value
  const says = SAYS[decision.code] ?? 'not allowed'
  throw new Refusal(decision.code, says, JSON.stringify(decision.because))
}

const SAYS: Partial<Record<Refusal['code'], string>> = {
  Forbidden: 'your role there does not allow this',
  NotFound: 'it does not exist, or not for you to know of',
  EscalationDenied: 'it would give or take a power that you do not hold yourself',
  LastOwner: 'the community would be left without an owner',
  OpenToAnybody: 'a power would come to whoever asks, through a space that anybody may join',
  UserNotAuthorized: 'the space does not let this person in',
}

/** The same answer for what does not exist and for what a stranger may not know of. */
export const notFound = (): Refusal => new Refusal('NotFound', 'it does not exist, or not for you to know of')

/** The roster space of a community. */
export const rosterUri = (community: Did): SpaceUri => rosterOf(community).uri
