/**
 * Who is to own a community, said by a key of its own: for when those who owned it are lost, or are somebody else.
 *
 *   waiting   for three days every owner of now is told, and any of them may object
 *   objected  one did: it takes a signature that is younger than that, and then waits for its first day again, or is due
 *   done      an end: the owners are those who were named, and nobody else
 *   refused   an end: the key doesn't stand above ours any more, the community has ended or left, or nobody signed again in a week
 *
 * Whoever has a key above ours can take the whole identity away in any case; this lets them keep the people. It counts by the verified log
 * alone, as it is read then and once more on its day: what this service remembers of keys may be what a thief made it remember.
 */
import { appendChained } from '../audit/store.ts'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import { rotationKeysOf } from '../identity/plc-operation.ts'
import type { HeldKey } from '../keys/store.ts'
import { notFound } from '../membership/governance.ts'
import { requireNotItself } from '../membership/put-verdict.ts'
import { lockRevisions } from '../membership/store.ts'
import type { Did, DidKey } from '../names.ts'
import { isoOf, msOf } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { freshTid, type Random } from '../platform/random.ts'
import { decideOwnKey } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { raiseAlarm } from './identity-alarm-store.ts'
import {
  type Claim,
  type ClaimFault,
  type ClaimState,
  confirmClaim,
  endClaim,
  insertClaim,
  isConfirmed,
  loadLastEndMs,
  loadOpenClaim,
} from './ownership-claim-store.ts'
import { loadPin } from './plc-watch-store.ts'
import { loadCommunity } from './store.ts'

/** How long every owner can object. */
export const CLAIM_NOTICE_MS = 72 * 60 * 60 * 1000

/**
 * The keys by which owners can be named: those of the operation in force that stand above ours, or all where none of ours stands there. One
 * that ever was ours is none of them, nor is any below it: a copy may be with somebody who would be an owner by it.
 */
export function keysAbove({ head }: VerifiedPlcLog, held: readonly HeldKey[]): readonly DidKey[] {
  const ours = new Set(held.map(({ didKey }) => didKey))
  const listed = rotationKeysOf(head.operation).flatMap((key) => parseDidKey(key)?.didKey ?? [])
  const at = listed.findIndex((key) => ours.has(key))
  return at < 0 ? listed : listed.slice(0, at)
}

/** Why owners of a community can't be named here; null: they can. An account's keys are at its PDS. */
export async function whyNotHere(db: Db | Tx, community: Did): Promise<Extract<ClaimFault, 'Ended' | 'Left'> | null> {
  const known = await loadCommunity(db, community)
  if (!known || known.custody === 'external' || known.step !== 'opened') return 'Ended'
  return ((await loadPin(db, community))?.leftAtMs ?? null) === null ? null : 'Left'
}

/** What was signed. The caller has verified the signature. */
export interface Said {
  readonly community: Did
  readonly owners: readonly Did[]
  readonly signedBy: DidKey
  /** An ISO 8601 instant, as it was signed. */
  readonly saidAt: string
  /** Who brought it. */
  readonly askedBy: Did
  readonly nowMs: number
}

/** How far a claim is. */
export interface ClaimStanding {
  readonly id: string
  readonly state: ClaimState
  readonly dueAtMs: number
}

/**
 * Keeps what a key of the community said, tells every owner, and holds the community until the transaction ends. The same owners again while
 * it waits are the same claim. After an objection it counts as the second signature, or names others, if it was said later than that.
 *
 * Order of checks: it isn't to own itself (InvalidRequest); the community is here (NotFound); something else waits, or this was said before an owner objected (CoolingDown); it was
 * said after the last claim came to its end (BadRecoveryProof): what was decided once is not decided again by who kept a copy.
 * @throws Refusal
 */
export async function makeClaim(ctx: { readonly random: Random }, tx: Tx, said: Said): Promise<ClaimStanding> {
  const { community, nowMs } = said
  for (const owner of said.owners) requireNotItself(owner, community)
  const numbers = await lockRevisions(tx, community)
  if (!numbers || (await whyNotHere(tx, community))) throw notFound()
  const owners = said.owners.toSorted()
  const open = await loadOpenClaim(tx, community)
  const isSame = open?.owners.join() === owners.join()
  if (open?.state === 'waiting' && isSame) return open
  const saidAtMs = msOf(said.saidAt) ?? 0
  if (open) requireLater(open, saidAtMs)
  else await requireNew(tx, community, saidAtMs)
  const claim = open && isSame ? await confirm(tx, open, said) : await begin(ctx, tx, open, { ...said, owners })
  await tellOwners(tx, claim, nowMs)
  const fact = { community, atMs: nowMs, actor: said.askedBy, action: 'key.claimOwnership', target: community }
  const { rule } = OWN_KEY
  const details = { claim: claim.id, signedBy: said.signedBy, saidAt: said.saidAt, owners: owners.join(' ') }
  const more = { dueAt: isoOf(claim.dueAtMs), isConfirmed: isConfirmed(claim) ? 1 : 0 }
  const because = { reasons: [{ rule }], revision: numbers.revision, ...details, ...more }
  await appendChained(tx, { ...fact, subject: null, because })
  return claim
}

const OWN_KEY = { rule: 'ownKey' } as const

/** @throws Refusal('CoolingDown') */
function requireLater({ state, dueAtMs, objectedAtMs }: Claim, saidAtMs: number): void {
  if (state === 'waiting')
    throw new Refusal('CoolingDown', `other owners were named before, and that waits until ${isoOf(dueAtMs)}`)
  if (saidAtMs > (objectedAtMs ?? 0)) return
  const since = isoOf(objectedAtMs ?? 0)
  throw new Refusal('CoolingDown', `an owner objected at ${since}: it takes a signature that is younger than that`)
}

/** @throws Refusal('BadRecoveryProof') */
async function requireNew(tx: Tx, community: Did, saidAtMs: number): Promise<void> {
  const endedAtMs = await loadLastEndMs(tx, community)
  if (endedAtMs === null || saidAtMs > endedAtMs) return
  const says = `what was signed before ${isoOf(endedAtMs)} came to its end then: sign again`
  throw new Refusal('BadRecoveryProof', says)
}

async function confirm(tx: Tx, open: Claim, { community, signedBy, saidAt }: Said): Promise<Claim> {
  await confirmClaim(tx, decideOwnKey(community), open.id, { signedBy, saidAt })
  return { ...open, state: 'waiting', signedBy }
}

async function begin(
  ctx: { readonly random: Random },
  tx: Tx,
  open: Claim | null,
  { community, owners, signedBy, saidAt, nowMs }: Said,
): Promise<Claim> {
  const permit = decideOwnKey(community)
  if (open) await endClaim(tx, permit, open.id, 'Replaced', nowMs)
  const id = freshTid(nowMs, ctx.random)
  const claim = { id, community, owners, signedBy, dueAtMs: nowMs + CLAIM_NOTICE_MS }
  await insertClaim(tx, permit, { ...claim, saidAt }, nowMs)
  return { ...claim, saidAtMs: msOf(saidAt) ?? 0, state: 'waiting', objectedBy: null, objectedAtMs: null }
}

/** Says to every owner which key named whom, until when they may object, and whether somebody did. */
export async function tellOwners(tx: Tx, claim: Claim, nowMs: number): Promise<void> {
  const { id, community, owners, signedBy, dueAtMs, objectedBy } = claim
  const about = {
    ...{ claim: id, signedBy, owners: owners.join(' '), dueAt: isoOf(dueAtMs), objectedBy },
    isConfirmed: isConfirmed(claim) ? 1 : 0,
  }
  await raiseAlarm(tx, community, 'ownershipClaimed', about, nowMs)
}
