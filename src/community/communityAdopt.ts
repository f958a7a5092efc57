/**
 * `community.reeve.community.adopt`: an account on a PDS has its spaces decided about here. Its keys and its records stay where they are:
 * nothing of its document is changed, and nothing is signed in its name.
 *
 * The account speaks for itself, by service auth, which nobody else can have in its name. It names the first owner and has no power
 * here beyond that: whoever may post as the account doesn't thereby see or change who is in its spaces.
 */
import { appendChained, hasActedBesides } from '../audit/store.ts'
import type { DidDocuments } from '../identity/did-documents.ts'
import type * as lexicon from '../lexicons/community/reeve/community/adopt.ts'
import { loadKind, loadReleasedAt, saveReleasedAt } from '../membership/account-store.ts'
import { type Changed, changeCommunity, type GovernanceCtx, required } from '../membership/governance.ts'
import { requireDid, requireShownName } from '../membership/input.ts'
import {
  deletePersonEdge,
  insertSpace,
  listOwners,
  raiseRevisions,
  savePersonEdge,
  startRevisions,
} from '../membership/store.ts'
import { type Did, managingAppOf, rosterOf } from '../names.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { type ProcedureCall, remember, remembered } from '../platform/idempotency.ts'
import { decideFounding } from '../policy/decide.ts'
import { appointmentBy, consentOf } from '../policy/hook.ts'
import { OWNER } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { WARNINGS } from '../space/host.ts'
import { insertSettings } from '../space/store.ts'
import { insertAdopted, loadCommunity } from './store.ts'

export interface AdoptCtx extends GovernanceCtx {
  /** Who may found communities here; null: everybody. */
  readonly founders: ReadonlySet<string> | null
  readonly serviceDid: Did
  readonly documents: Pick<DidDocuments, 'resolve'>
}

/**
 * The operator lets the account in by its own DID: an account that could come in by the name of an owner would come in by anybody's.
 *
 * Order of checks: the account may found (Forbidden); the input, of which the owner is somebody else, whose DID is there and who is no
 * community here (InvalidRequest; Unavailable when nobody can say); an answer under the same idempotencyKey (IdempotencyConflict); a
 * community that is there already is this account's, hasn't ended, and is owned by whom it names, or nobody has governed there yet
 * (Forbidden). @throws Refusal; Unavailable
 */
export async function communityAdopt(
  ctx: AdoptCtx,
  account: Did,
  input: lexicon.$InputBody,
  call: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  if (ctx.founders && !ctx.founders.has(account))
    throw new Refusal('Forbidden', 'this account may not be a community here')
  const name = requireShownName(input.name)
  const owner = requireDid(input.owner, 'owner')
  if (owner === account) throw new Refusal('InvalidRequest', 'owner is a person, and not the account itself')
  await requirePerson(ctx, owner)
  const revision = (await open(ctx, { account, owner, name }, call)) ?? (await renew(ctx, { account, owner }, call))
  return {
    did: account,
    status: 'active',
    revision,
    managingApp: managingAppOf(ctx.serviceDid),
    warnings: [...WARNINGS],
  }
}

/** Whom nobody can be would own it for ever. @throws Refusal('InvalidRequest'); Unavailable */
async function requirePerson({ db, documents }: AdoptCtx, owner: Did): Promise<void> {
  if ((await loadKind(db, owner)) !== null)
    throw new Refusal('InvalidRequest', 'owner is a community here, and no person')
  if (!(await documents.resolve(owner))?.key('atproto')) {
    throw new Refusal('InvalidRequest', 'owner is a DID that nobody can act as: it is not there, or has no key')
  }
}

interface Adoption {
  readonly account: Did
  readonly owner: Did
  readonly name: string
}

/** Everything that makes an account a community, in one transaction. Null: it is one already, or was. */
function open(ctx: AdoptCtx, { account, owner, name }: Adoption, call: ProcedureCall): Promise<number | null> {
  return withTransaction(ctx.db, async (tx) => {
    const nowMs = ctx.clock.nowMs()
    const earlier = call.idempotency && (await remembered(tx, call.idempotency, nowMs))
    if (earlier) return (earlier.answer as { revision: number }).revision
    const adopted = { did: account, name, founder: account, requestHash: call.requestHash, createdAtMs: nowMs }
    if (!(await insertAdopted(tx, adopted))) throw new AlreadyHere()
    const revision = await makeRoll(tx, { account, owner }, nowMs)
    if (call.idempotency) await remember(tx, call.idempotency, { revision }, nowMs)
    return revision
  }).catch((error) => {
    if (error instanceof AlreadyHere) return null
    throw error
  })
}

/** Undoes what was begun: the key of the call is to be taken by the renewal instead. */
class AlreadyHere extends Error {
  override readonly name = 'AlreadyHere'
}

async function makeRoll(tx: Tx, { account, owner }: Omit<Adoption, 'name'>, nowMs: number): Promise<number> {
  const permit = decideFounding(account)
  const roster = rosterOf(account)
  await startRevisions(tx, account, 'account')
  await insertSpace(tx, permit, roster, null, nowMs)
  const policies = { readPolicy: 'memberList', writePolicy: 'memberList' } as const
  await insertSettings(tx, permit, roster.uri, { name: null, description: null, ...policies })
  const entry = { into: roster.uri, from: owner, role: OWNER, holding: null, sinceMs: null, untilMs: null }
  await savePersonEdge(tx, permit, account, entry, nowMs)
  const revision = await raiseRevisions(tx, account, { graph: true })
  const because = { reasons: permit.because, revision, custody: 'external' }
  const about = { community: account, atMs: nowMs, actor: account, action: 'community.adopt', target: account }
  await appendChained(tx, { ...about, subject: owner, because })
  return revision
}

/**
 * The account consents again, or changes nothing. It can't have somebody else own what its owners have written since; as long as nobody
 * has written anything, it may have named the wrong one.
 */
async function renew(
  ctx: AdoptCtx,
  { account, owner }: Omit<Adoption, 'name'>,
  { idempotency }: ProcedureCall,
): Promise<number> {
  const about = { community: account, actor: account, action: 'community.adopt', target: account, subject: owner }
  const call = { ...about, ifRevision: undefined, idempotency, isFor: 'anybody' } as const
  const { revision } = await changeCommunity(ctx, call, async (tx, _actor, nowMs): Promise<Changed<object>> => {
    const decision = consentOf(account, account)
    const permit = required(decision)
    const community = await loadCommunity(tx, account)
    if (community?.custody !== 'external' || community.step !== 'opened') {
      throw new Refusal('Forbidden', 'this DID was a community here, or is one that was founded here')
    }
    const owners = await listOwners(tx, rosterOf(account).uri, nowMs)
    const isOwner = owners.includes(owner)
    if (!isOwner) await appoint(ctx, tx, { account, owner, owners }, nowMs)
    const isReleased = (await loadReleasedAt(tx, account)) !== null
    if (isReleased) await saveReleasedAt(tx, permit, account, null)
    return { answer: {}, changed: isReleased || !isOwner ? 'roster' : 'nothing', because: decision.because }
  })
  return revision
}

/** Puts another owner in the place of one who has done nothing yet. @throws Refusal('Forbidden') */
async function appoint(
  { serviceDid }: AdoptCtx,
  tx: Tx,
  { account, owner, owners }: { readonly account: Did; readonly owner: Did; readonly owners: readonly Did[] },
  nowMs: number,
): Promise<void> {
  const isGoverned = await hasActedBesides(tx, account, [account, serviceDid])
  const appointment = appointmentBy(account, account, isGoverned)
  if (!appointment.ok) {
    throw new Refusal(
      'Forbidden',
      'its community has other owners, who name any further ones',
      JSON.stringify(appointment.because),
    )
  }
  const roster = rosterOf(account).uri
  for (const former of owners) await deletePersonEdge(tx, appointment.value, roster, former)
  const entry = { into: roster, from: owner, role: OWNER, holding: null, sinceMs: null, untilMs: null }
  await savePersonEdge(tx, appointment.value, account, entry, nowMs)
}
