/**
 * Acts that can't be taken back. Where a community has a second owner, one person proposes and an owner approves; some acts wait
 * for a day besides, on which nothing has to happen for them to be carried out, and until which every owner can stop them. So
 * neither a stolen session nor a bad evening is enough to end what others built.
 *
 * Nor is it enough to get rid of the others first, or to bring one's own: whoever became an owner a moment ago approves nothing
 * yet, and where ownership was just taken from somebody, whoever is left waits as well, and the one who was put out can stop it.
 * Whoever has enrolled keys of their own confirms by them what they propose, do or approve; to stop it takes none.
 */
import { appendChained } from '../audit/store.ts'
import type * as defs from '../lexicons/community/reeve/defs.ts'
import type { Did, SpaceUri } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { requestHashOf } from '../platform/idempotency.ts'
import { freshTid, type Random } from '../platform/random.ts'
import type { Permit } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { type Changed, type GovernanceCtx, notFound, rosterUri } from './governance.ts'
import {
  approveProposal,
  endProposal,
  insertProposal,
  listOwnersGone,
  loadProposal,
  loadWaiting,
  ownerSince,
  type Proposal,
} from './proposal-store.ts'
import { type Facts, loadGroundedFacts } from './standing-facts.ts'
import { type Confirmable, confirmIfGuarded } from './step-up.ts'
import { countOtherOwners, lockRevisions, raiseRevisions } from './store.ts'

export type ActCtx = GovernanceCtx & { readonly random: Random; readonly serviceDid: Did }

/** An act that can't be taken back. `input` is the call, as it is kept while it waits. */
export interface Act {
  /** As the audit and the proposal name it. */
  readonly name: string
  /** How long it waits once nobody has to be asked any more. */
  readonly graceMs: number
  /** Whether the actor may do it now. @throws Refusal */
  readonly judge: (ctx: ActCtx, tx: Tx, actor: Facts, input: unknown) => Promise<Permit>
  /** Judges again, and does it. `proposal` names the one that has waited for it; null where none had to. @throws Refusal */
  readonly carryOut: (
    ctx: ActCtx,
    tx: Tx,
    actor: Facts,
    input: unknown,
    nowMs: number,
    proposal: string | null,
  ) => Promise<Changed<object>>
  /** What else changes with a proposal of it: called when it is made, approved, and stopped, with the proposal as it is then. */
  readonly follow?: (tx: Tx, proposal: Proposal, nowMs: number) => Promise<void>
  /** For an act that isn't over when it is carried out: ends what it began. Answers whether there was anything to end still. */
  readonly takeBack?: (tx: Tx, proposal: Proposal) => Promise<boolean>
}

const DAY_MS = 24 * 60 * 60 * 1000
/** How long a proposal may wait for its second person. */
const OPEN_MAX_MS = 7 * DAY_MS
/** How long somebody must have been an owner to approve, and how long one who was put out is still heard. */
export const SEASON_MS = 3 * DAY_MS

export interface Proposed {
  readonly proposal?: ReturnType<typeof shownProposal>
  readonly needsApproval?: boolean
}

interface Asked {
  readonly actor: Facts
  readonly target: SpaceUri | Did
  readonly input: unknown
  readonly nowMs: number
  readonly isDryRun: boolean | undefined
  /** The call; null: the actor has confirmed it already, whether they had to or not. */
  readonly confirmable: Confirmable | null
}

/**
 * Carries an act out at once when nobody else has to be asked and it has no day to wait for; else it is kept as a proposal. A dry
 * run shows what the act will do, and whether it will wait. Asking for what is proposed already changes nothing. Order of checks: the
 * verdict; whoever has enrolled keys confirms by them (KeeperSignatureRequired, InvalidRequest for keys that don't count yet), but for a dry
 * run; nothing else is proposed for the same thing (ProposalWaits). @throws Refusal
 */
export async function carryOutOrPropose(ctx: ActCtx, tx: Tx, act: Act, asked: Asked): Promise<Changed<Proposed>> {
  const { actor, target, input, nowMs, confirmable } = asked
  const community = actor.graph.community
  const permit = await act.judge(ctx, tx, actor, input)
  const needsApproval = (await countOtherOwners(tx, rosterUri(community), actor.did, nowMs)) > 0
  if (asked.isDryRun) {
    const done = await act.carryOut(ctx, tx, actor, input, nowMs, null)
    return { ...done, answer: { ...done.answer, needsApproval } }
  }
  if (confirmable) await confirm(ctx, tx, actor, confirmable, nowMs)
  const gone = await listOwnersGone(tx, community, nowMs - SEASON_MS)
  const graceMs = gone.some((did) => did !== actor.did) ? Math.max(act.graceMs, SEASON_MS) : act.graceMs
  if (!needsApproval && graceMs === 0) return act.carryOut(ctx, tx, actor, input, nowMs, null)

  const waiting = await loadWaiting(tx, community, act.name, target)
  if (waiting && (await isStillMeant(ctx, tx, act, waiting, nowMs))) {
    if (!isSameInput(waiting.input, input)) throw waits()
    return { answer: { proposal: shownProposal(waiting) }, changed: 'nothing', because: permit.because }
  }
  if (waiting) await callOff(tx, act, waiting, { by: community, nowMs })
  const proposal: Proposal = {
    id: freshTid(nowMs, ctx.random),
    community,
    act: act.name,
    target,
    input,
    state: needsApproval ? 'open' : 'approved',
    proposedBy: actor.did,
    proposedAtMs: nowMs,
    expiresAtMs: nowMs + OPEN_MAX_MS,
    approvedBy: null,
    dueAtMs: needsApproval ? null : nowMs + graceMs,
    endedBy: null,
    endedAtMs: null,
  }
  await insertProposal(tx, permit, proposal)
  await act.follow?.(tx, proposal, nowMs)
  return {
    answer: { proposal: shownProposal(proposal) },
    changed: 'roster',
    because: permit.because,
    recordedAs: 'proposal.make',
    details: { proposal: proposal.id, act: act.name },
  }
}

function confirm(ctx: ActCtx, tx: Tx, actor: Facts, { act, input }: Confirmable, nowMs: number): Promise<void> {
  const about = { service: ctx.serviceDid, community: actor.graph.community, caller: actor.did, act, input }
  return confirmIfGuarded(tx, about, input.stepUp, nowMs)
}

const waits = (): Refusal =>
  new Refusal('ProposalWaits', 'something else is proposed for it already; have that approved or cancelled first')

/** Whether two calls ask for the same. */
const isSameInput = (one: unknown, other: unknown): boolean =>
  Buffer.from(requestHashOf({ of: one })).equals(requestHashOf({ of: other }))

/** Whether a proposal can still come to anything: it hasn't expired, and who made it may do it still. */
async function isStillMeant(ctx: ActCtx, tx: Tx, act: Act, proposal: Proposal, nowMs: number): Promise<boolean> {
  return !isExpired(proposal, nowMs) && (await proposerOf(ctx, tx, act, proposal)) !== null
}

/** A second person's yes to the proposal of that id. */
interface Approval extends Pick<Asked, 'actor' | 'nowMs' | 'isDryRun'> {
  readonly id: string
  readonly confirmable: Confirmable
}

/**
 * A second person approves. Order of checks: they might do it themself (NotFound, Forbidden, EscalationDenied); it is open
 * (ProposalNotOpen); they aren't the one who proposed it, and have been an owner for some days (Forbidden); who did may do it
 * still (ProposalNotOpen); where they have enrolled keys, they confirm it by them, but for a dry run (KeeperSignatureRequired,
 * InvalidRequest for keys that don't count yet).
 */
export async function approve(ctx: ActCtx, tx: Tx, act: Act, about: Approval) {
  const { actor, id, nowMs, isDryRun, confirmable } = about
  const proposal = await loadProposal(tx, id)
  if (!proposal || proposal.act !== act.name) throw notFound()
  const permit = await act.judge(ctx, tx, actor, proposal.input)
  if (proposal.state !== 'open' || isExpired(proposal, nowMs)) throw notOpen()
  if (proposal.proposedBy === actor.did)
    throw new Refusal('Forbidden', 'somebody else has to approve what you proposed')
  await requireSeasonedOwner(tx, actor.graph.community, actor.did, nowMs)
  const proposer = await requireStillAllowed(ctx, tx, act, proposal)
  if (!isDryRun) await confirm(ctx, tx, actor, confirmable, nowMs)
  const details = { proposal: id, act: act.name, proposedBy: proposal.proposedBy }
  if (act.graceMs > 0) {
    await approveProposal(tx, permit, id, nowMs + act.graceMs)
    const approved = { ...proposal, state: 'approved', approvedBy: actor.did, dueAtMs: nowMs + act.graceMs } as const
    await act.follow?.(tx, approved, nowMs)
    const answer = { dueAt: isoOf(nowMs + act.graceMs) }
    return { answer, changed: 'roster' as const, because: permit.because, details }
  }
  // What was proposed is theirs who proposed it: an offer to hand the community over, above all.
  const done = await act.carryOut(ctx, tx, proposer, proposal.input, nowMs, id)
  await endProposal(tx, id, 'done', { by: actor.did, nowMs })
  return { ...done, answer: {}, recordedAs: act.name, details: { ...done.details, ...details } }
}

/** A puppet that was made an owner for this is none yet. @throws Refusal('Forbidden') */
export async function requireSeasonedOwner(tx: Tx, community: Did, did: Did, nowMs: number): Promise<void> {
  const sinceMs = await ownerSince(tx, rosterUri(community), did)
  if (sinceMs === null) throw new Refusal('Forbidden', 'an owner has to approve it')
  if (nowMs - sinceMs < SEASON_MS) {
    throw new Refusal('Forbidden', 'whoever approves must have been an owner for three days')
  }
}

/**
 * That what is due may be carried out on its day: who proposed it may still, whoever approved it is an owner still, and where nobody
 * did, there is still nobody to be asked. @throws Refusal, of which nobody is told
 */
export async function requireStillDue(
  ctx: ActCtx,
  tx: Tx,
  act: Act,
  proposal: Proposal,
  nowMs: number,
): Promise<Facts> {
  const { community, proposedBy, approvedBy } = proposal
  const roster = rosterUri(community)
  const proposer = await requireStillAllowed(ctx, tx, act, proposal)
  if (approvedBy === null) {
    if ((await countOtherOwners(tx, roster, proposedBy, nowMs)) > 0) throw notOpen()
    return proposer
  }
  const approver = await loadGroundedFacts(ctx, tx, community, approvedBy)
  if (!approver) throw notOpen()
  await act.judge(ctx, tx, approver, proposal.input)
  if ((await ownerSince(tx, roster, approvedBy)) === null) throw notOpen()
  return proposer
}

/** Who proposed it, or null: they may have lost the power to since. */
async function proposerOf(ctx: ActCtx, tx: Tx, act: Act, proposal: Proposal): Promise<Facts | null> {
  const { community, proposedBy, input } = proposal
  const proposer = await loadGroundedFacts(ctx, tx, community, proposedBy)
  if (!proposer) return null
  try {
    await act.judge(ctx, tx, proposer, input)
    return proposer
  } catch (error) {
    if (error instanceof Refusal) return null
    throw error
  }
}

/** The same, and ProposalNotOpen when there is none. */
async function requireStillAllowed(ctx: ActCtx, tx: Tx, act: Act, proposal: Proposal): Promise<Facts> {
  const proposer = await proposerOf(ctx, tx, act, proposal)
  if (!proposer) throw notOpen()
  return proposer
}

/**
 * Ends what was due and nobody could do any more: who proposed it may not, or it is not there any more; or what nobody approved in
 * time.
 */
export async function endUnattended(ctx: ActCtx, act: Act, { id, community, target, proposedBy }: Proposal) {
  await withTransaction(ctx.db, async (tx) => {
    if (!(await lockRevisions(tx, community))) return
    const now = await loadProposal(tx, id)
    const nowMs = ctx.clock.nowMs()
    if (now?.state !== 'approved' && !(now && isExpired(now, nowMs))) return
    await callOff(tx, act, now, { by: community, nowMs })
    const revision = await raiseRevisions(tx, community, { graph: false })
    const fact = { community, atMs: nowMs, actor: community, action: 'proposal.lapse', target, subject: proposedBy }
    await appendChained(tx, { ...fact, because: { reasons: [], revision, proposal: id, act: act.name } })
  })
}

/** Ends a proposal that is not carried out, and what went with it. An act of another version has nothing that does. */
export async function callOff(tx: Tx, act: Act | null, proposal: Proposal, { by, nowMs }: { by: Did; nowMs: number }) {
  await endProposal(tx, proposal.id, 'cancelled', { by, nowMs })
  await act?.follow?.(tx, { ...proposal, state: 'cancelled', endedBy: by, endedAtMs: nowMs }, nowMs)
}

/** Ends what a proposal began that was carried out. Answers false where nothing of it can be taken back any more. */
export async function takeBack(tx: Tx, act: Act | null, proposal: Proposal, { by, nowMs }: { by: Did; nowMs: number }) {
  if (proposal.state !== 'done' || !(await act?.takeBack?.(tx, proposal))) return false
  await endProposal(tx, proposal.id, 'cancelled', { by, nowMs })
  return true
}

/** An approved one waits for its day as long as that takes. */
export const isExpired = ({ state, expiresAtMs }: Proposal, nowMs: number): boolean =>
  state === 'open' && expiresAtMs <= nowMs

export const notOpen = (): Refusal => new Refusal('ProposalNotOpen', 'it does not wait to be approved any more')

/** A proposal as people see it. */
export const shownProposal = (proposal: Proposal) => ({
  id: proposal.id,
  act: proposal.act,
  target: proposal.target,
  // It came in as JSON, and is kept as JSON.
  input: proposal.input as defs.Proposal['input'],
  state: proposal.state,
  proposedBy: proposal.proposedBy,
  proposedAt: isoOf(proposal.proposedAtMs),
  expiresAt: isoOf(proposal.expiresAtMs),
  ...(proposal.approvedBy === null ? {} : { approvedBy: proposal.approvedBy }),
  ...(proposal.dueAtMs === null ? {} : { dueAt: isoOf(proposal.dueAtMs) }),
  ...(proposal.endedBy === null ? {} : { endedBy: proposal.endedBy }),
  ...(proposal.endedAtMs === null ? {} : { endedAt: isoOf(proposal.endedAtMs) }),
})
