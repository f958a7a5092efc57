/** Takes up claims of ownership whose day has come: judged once more by the log, and then the owners are those who were named. */
import { appendChained } from '../audit/store.ts'
import { listKeys } from '../keys/store.ts'
import { deleteBansOn } from '../membership/ban-store.ts'
import { powersGivenBy } from '../membership/fallen-makers.ts'
import { type Changed, changeCommunity, type Entry, type GovernanceCtx, rosterUri } from '../membership/governance.ts'
import { listOwnerEntries } from '../membership/ownership-store.ts'
import { enter } from '../membership/person-entry.ts'
import { forgetOwnersGone, listWaitingBy } from '../membership/proposal-store.ts'
import { callOff } from '../membership/proposals.ts'
import { entryIn } from '../membership/put-verdict.ts'
import { type Facts, loadGroundedFacts } from '../membership/standing-facts.ts'
import { deletePersonEdge, lockRevisions } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { errorName } from '../platform/log.ts'
import { decideOwnKey } from '../policy/decide.ts'
import { OWNER } from '../policy/roles.ts'
import type { Permit } from '../policy/verdict.ts'
import { Unavailable } from '../refusals.ts'
import { actNamed } from './acts.ts'
import { endCeremony, listOpenCeremonies, loadDealer } from './ceremony-store.ts'
import { endAlarm } from './identity-alarm-store.ts'
import { giveUpRotation } from './key-change.ts'
import { loadRotation } from './key-rotation-store.ts'
import {
  type Claim,
  type ClaimFault,
  endClaim,
  isConfirmed,
  listDueClaims,
  loadClaim,
} from './ownership-claim-store.ts'
import { keysAbove, whyNotHere } from './ownership-claims.ts'
import { type PinnedCtx, readPinnedLog } from './pinned-log.ts'
import { hasPlcWorkUnderWay } from './plc-work-store.ts'
import { loadComingQuorum, moveQuorumKey, type QuorumState } from './quorum-store.ts'

export type ApplyCtx = GovernanceCtx & PinnedCtx

/** Claims looked at in one turn. */
const TURN_MAX = 20
/** How long one that an owner objected to waits to be signed again. */
export const OBJECTED_MS = 7 * 24 * 60 * 60 * 1000

/**
 * One turn over what is due. One that fails doesn't stop the others, but a directory that doesn't answer at all ends the turn: each of the
 * others would wait for it as long. Answers how many came to their end.
 */
export async function applyClaims(ctx: ApplyCtx): Promise<number> {
  const nowMs = ctx.clock.nowMs()
  let ended = 0
  for (const claim of await listDueClaims(ctx.db, { nowMs, objectedBeforeMs: nowMs - OBJECTED_MS, limit: TURN_MAX })) {
    try {
      await applyClaim(ctx, claim)
      ended += 1
    } catch (error) {
      ctx.log.warn('ownershipClaim.waits', { id: claim.id, error: errorName(error) })
      if (error instanceof Unavailable && error.code === 'UpstreamTimeout') return ended
    }
  }
  return ended
}

/**
 * Carries out a claim that is due, or ends it with what is in its way. It may be called again, at once or after a crash: what is done is one
 * transaction, and whoever comes second finds it done. @throws Unavailable when the directory can't be asked: nothing is changed then
 */
export async function applyClaim(ctx: ApplyCtx, claim: Claim): Promise<void> {
  const fault = await faultOf(ctx, claim)
  return fault ? refuse(ctx, claim, fault) : carryOut(ctx, claim)
}

/** What is in the way of a claim now, by a log that is read now; null: nothing. */
async function faultOf(ctx: ApplyCtx, { community, state, signedBy }: Claim): Promise<ClaimFault | null> {
  if (state === 'objected') return 'Objected'
  const why = await whyNotHere(ctx.db, community)
  if (why) return why
  const log = await readPinnedLog(ctx, community)
  return keysAbove(log, await listKeys(ctx.db, community)).includes(signedBy) ? null : 'KeyGone'
}

/** Whether a claim is as it was when it was judged: nobody objected, signed it again or carried it out meanwhile. */
const isAsJudged = (now: Claim | null, judged: Claim): boolean =>
  now?.state === judged.state && now.signedBy === judged.signedBy && isConfirmed(now) === isConfirmed(judged)

async function refuse({ db, clock }: ApplyCtx, claim: Claim, fault: ClaimFault): Promise<void> {
  await withTransaction(db, async (tx) => {
    const { id, community } = claim
    const numbers = await lockRevisions(tx, community)
    if (!numbers || !isAsJudged(await loadClaim(tx, id), claim)) return
    const nowMs = clock.nowMs()
    await endClaim(tx, decideOwnKey(community), id, fault, nowMs)
    await endAlarm(tx, community, 'ownershipClaimed')
    const fact = { community, atMs: nowMs, actor: community, action: 'key.ownershipRefused', target: community }
    const because = { reasons: [], revision: numbers.revision, claim: id, fault }
    await appendChained(tx, { ...fact, subject: null, because })
  })
}

async function carryOut(ctx: ApplyCtx, claim: Claim): Promise<void> {
  const { community } = claim
  const call = { community, actor: community, action: 'key.ownershipDue', target: community, subject: null }
  const more = { ifRevision: undefined, idempotency: null, isFor: 'anybody' as const }
  await changeCommunity(ctx, { ...call, ...more }, async (tx, _nobody, nowMs): Promise<Changed<object>> => {
    // Another process was quicker, or an owner objected in the last moment, or ended the community.
    if (!isAsJudged(await loadClaim(tx, claim.id), claim) || (await whyNotHere(tx, community)))
      return { answer: {}, changed: 'nothing', because: [] }
    return handOver(ctx, tx, claim, nowMs)
  })
}

/**
 * The owners are those who were named, at once and alone. No ban keeps them out: it was set by those whom they replace. Whoever owned the
 * community keeps nothing by it: not what they proposed or began, nor a say about what others do. What they had besides, they have.
 */
async function handOver(ctx: ApplyCtx, tx: Tx, { id, community, owners }: Claim, nowMs: number) {
  const permit = decideOwnKey(community)
  const before = await listOwnerEntries(tx, rosterUri(community))
  const former = before.filter((did) => !owners.includes(did))
  const bansLifted = await deleteBansOn(tx, permit, community, owners)
  const each: Entry[] = []
  for (const did of owners.filter((one) => !before.includes(one))) {
    each.push(await putOwner(tx, permit, await personIn(ctx, tx, community, did), nowMs))
  }
  for (const did of former) each.push(await takeOwner(tx, permit, await personIn(ctx, tx, community, did)))
  const proposals = await listWaitingBy(tx, community, former)
  for (const one of proposals) await callOff(tx, actNamed(one.act), one, { by: community, nowMs })
  const ceremoniesEnded = await endCeremoniesOf(ctx, tx, community, former, nowMs)
  await forgetOwnersGone(tx, permit, community)
  await endClaim(tx, permit, id, null, nowMs)
  await endAlarm(tx, community, 'ownershipClaimed')
  const details = { claim: id, owners: owners.join(' '), bansLifted, calledOff: proposals.length, ceremoniesEnded }
  const touches = { people: [...owners, ...former] }
  return { answer: {}, changed: 'roster' as const, because: permit.because, touches, details, each }
}

/**
 * Ends what former owners began with a key in shares, and drops one that they dealt, and had all of, before it comes into the identity. What is
 * signed goes on: k keepers wanted it. Answers how many ceremonies there were.
 */
async function endCeremoniesOf(
  ctx: ApplyCtx,
  tx: Tx,
  community: Did,
  former: readonly Did[],
  nowMs: number,
): Promise<number> {
  const theirs = (await listOpenCeremonies(tx, community)).filter(
    ({ createdBy, signed }) => signed === null && former.includes(createdBy),
  )
  for (const { id } of theirs) await endCeremony(tx, id, { state: 'cancelled' }, nowMs)
  await dropDealt(ctx, tx, community, former, nowMs)
  return theirs.length
}

/** Also one that was drilled, and waits for its place; only an operation that was signed already goes on. */
async function dropDealt(ctx: ApplyCtx, tx: Tx, community: Did, former: readonly Did[], nowMs: number): Promise<void> {
  const coming = await loadComingQuorum(tx, community)
  const dealer = coming && (await loadDealer(tx, coming.id))
  if (!coming || dealer === null || !former.includes(dealer)) return
  const isSigned = await hasPlcWorkUnderWay(tx, community)
  const from: QuorumState[] = isSigned ? ['dealt', 'acknowledged'] : ['dealt', 'acknowledged', 'drilled']
  if (!(await moveQuorumKey(tx, coming.id, from, 'dropped', nowMs))) return
  for (const one of await listOpenCeremonies(tx, community)) {
    if (one.quorumKey === coming.id && one.signed === null) await endCeremony(tx, one.id, { state: 'cancelled' }, nowMs)
  }
  const placing = await loadRotation(tx, community)
  if (placing?.quorum?.pub === coming.didKey && placing.step === 'swap')
    await giveUpRotation(ctx, tx, placing, 'PlcConflict')
}

async function personIn(ctx: ApplyCtx, tx: Tx, community: Did, did: Did): Promise<Facts> {
  const person = await loadGroundedFacts(ctx, tx, community, did)
  if (!person) throw new Error('a community without numbers')
  return person
}

async function putOwner(tx: Tx, permit: Permit<'community.transfer'>, person: Facts, nowMs: number): Promise<Entry> {
  const into = rosterUri(person.graph.community)
  const untimed = { into, holding: null, sinceMs: null, untilMs: null }
  await enter(tx, permit, person, { ...untimed, from: person.did, role: OWNER }, nowMs)
  const details = { role: OWNER, roleBefore: entryIn(person, into)?.role ?? null }
  return { action: 'member.put', subject: person.did, because: permit.because, details }
}

async function takeOwner(tx: Tx, permit: Permit<'community.transfer'>, person: Facts): Promise<Entry> {
  await deletePersonEdge(tx, permit, rosterUri(person.graph.community), person.did)
  const details = { roleBefore: OWNER, ...(await powersGivenBy(tx, person)) }
  return { action: 'member.remove', subject: person.did, because: permit.because, details }
}
