/**
 * A step up: whoever asks for what can't be taken back confirms it with the signing key that they enrolled, over this very call, a
 * moment ago, once.
 *
 * Without it, a stolen session would be enough to begin what harms every member of a community. An enrolment that is younger than
 * a day confirms nothing either (three, in the place of another): a stolen session could have made it.
 */
import { inputHashOf, stepUpHolds } from '../keys/keeper-statements.ts'
import type { Did } from '../names.ts'
import { isoOf, msOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import { SPENT_MARGIN_SEC } from '../platform/limits.ts'
import { claimId, claimInsert } from '../platform/once.ts'
import { Refusal } from '../refusals.ts'
import { loadKeeper } from './keeper-store.ts'
import { isGuarded, requireSeasoned } from './keepers.ts'

/** How old a signature may be, and how far ahead a clock. */
const AGE_MAX_MS = 5 * 60_000
const AHEAD_MAX_MS = 30_000

/** As the lexicons have it. */
interface StepUp {
  readonly at: string
  readonly sig: string
}

/** A call as its caller confirms it. `input`: its body; `act`: the name of the method. */
export interface Confirmable {
  readonly act: string
  readonly input: Readonly<Record<string, unknown>> & { readonly stepUp?: StepUp | undefined }
}

/** An act to be confirmed. */
interface Act {
  readonly service: Did
  readonly community: Did
  readonly caller: Did
  readonly act: string
  readonly input: Readonly<Record<string, unknown>>
}

/**
 * Spends a step up, in the transaction of the act: where that is refused, the signature can be used again.
 * Order of checks: the caller has enrolled keys, and the signature is there, in time, and theirs over this act
 * (KeeperSignatureRequired); the keys count (InvalidRequest); it wasn't used before (KeeperSignatureRequired).
 * @throws Refusal
 */
export async function requireStepUp(tx: Tx, about: Act, stepUp: StepUp | undefined, nowMs: number): Promise<void> {
  const { service, community, caller, act } = about
  const keeper = await loadKeeper(tx, community, caller)
  if (!keeper) throw missing('enrol keys of your own first, and confirm by them')
  if (!stepUp) throw missing('send stepUp, a fresh signature by the key that you enrolled')
  const { at, sig } = stepUp
  const atMs = msOf(at)
  if (atMs === null || isoOf(atMs) !== at || atMs < nowMs - AGE_MAX_MS || atMs > nowMs + AHEAD_MAX_MS) {
    throw missing('stepUp.at is no instant of the last five minutes')
  }
  const claim = { service, community, caller, act, inputHash: inputHashOf(about.input), at }
  if (!stepUpHolds(claim, keeper.signKey, sig)) {
    // So that whoever is sure of their key sees that it is theirs no more.
    const since = isoOf(keeper.enrolledAtMs)
    throw missing(`stepUp.sig is not by the key that was enrolled for you at ${since}, or not over this call`)
  }
  requireSeasoned(keeper, nowMs)
  // By what was signed and not by the signature: whoever has the key could make any number of those over the same words.
  const id = claimId('step-up', `${community} ${caller} ${keeper.id}`, `${act} ${claim.inputHash} ${at}`)
  const keepUntilSec = Math.ceil((atMs + AGE_MAX_MS) / 1000) + SPENT_MARGIN_SEC
  const spent = await claimInsert(tx, [{ id, keepUntilSec }]).execute()
  if (spent.length === 0) throw missing('stepUp was used before; sign again')
}

/**
 * The same for whoever has enrolled keys, or had some until lately: a thief of their session could have ended those. Whoever never enrolled
 * any has nothing but the session to act by. @throws Refusal
 */
export async function confirmIfGuarded(tx: Tx, about: Act, stepUp: StepUp | undefined, nowMs: number): Promise<void> {
  if (await isGuarded(tx, about.community, about.caller, nowMs)) await requireStepUp(tx, about, stepUp, nowMs)
}

const missing = (says: string): Refusal => new Refusal('KeeperSignatureRequired', says)
