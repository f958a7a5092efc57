/** Makes the calls by which a list at a PDS becomes what it should be: a few at once, those first that take something from somebody. */
import type { SpaceName } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import { errorName } from '../platform/log.ts'
import { type Calls, pauseAfter } from './calls.ts'
import { Halt, haltOf, nameOf } from './halt.ts'
import type { Lease } from './keeping-store.ts'
import { type Ended, type Errand, saveEnded, takeErrands } from './outbox-store.ts'
import { isUnknownMethod, Simplespace } from './simplespace.ts'
import { factFor, type SteeringCtx } from './steering-ctx.ts'
import type { Generation } from './tables.ts'

export interface Outbox {
  readonly lease: Lease
  readonly space: SpaceName
  readonly speaks: Generation
  readonly calls: Calls
  readonly slice: number
  readonly signal?: AbortSignal | undefined
}

/** Where so many were refused and nobody taken, it isn't about those people. */
const REFUSED_MIN = 5

/**
 * One slice of calls. Answers whether there may be more. Somebody whom the PDS refuses is noted with its name for why, and stops nobody else.
 * @throws Halt what stops everybody; those who had their answer keep it
 */
export async function sendSlice(ctx: SteeringCtx, about: Outbox): Promise<'all' | 'more'> {
  const { lease, space, slice } = about
  const errands = await takeErrands(ctx.db, lease, space.uri, slice)
  if (errands.length === 0) return 'all'
  const { done, refused, halt } = await sendAll(ctx, about, errands)
  const isNobodyTaken = done.length === 0 && refused.length >= REFUSED_MIN
  const ended = { done, refused: isNobodyTaken ? [] : refused }
  const removals = done.filter(({ wants }) => wants === 0).length
  const counts = { put: done.length - removals, removed: removals, refused: ended.refused.length }
  if (done.length + ended.refused.length > 0) {
    const about = { space: space.uri, community: space.authority }
    const fact = factFor(ctx, about, 'steering.projected', counts)
    await withTransaction(ctx.db, (tx) => saveEnded(tx, lease, space.uri, ended, fact))
    ctx.log.info('steering.projected', { space: space.uri, ...counts })
  }
  if (halt) throw halt
  if (isNobodyTaken) throw new Halt(refused[0]?.because ?? 'Refused', { isRelearning: true })
  return errands.length < slice ? 'all' : 'more'
}

type Sent = Ended & { readonly halt: Halt | null }

async function sendAll(ctx: SteeringCtx, about: Outbox, errands: readonly Errand[]): Promise<Sent> {
  const done: Errand[] = []
  const refused: { did: Errand['did']; because: string }[] = []
  let halt: Halt | null = null
  const there = new Simplespace(ctx.pds, about.space)
  const waiting = errands.values()
  // Our own trouble stops everybody as well, but not before those under way have had their answer.
  const ours = (error: unknown) => {
    ctx.log.warn('steering.failed', { space: about.space.uri, error: errorName(error) })
    return { is: 'failed', because: 'ours', pauseMs: null } as const
  }
  const carry = async () => {
    for (const errand of waiting) {
      if (halt || about.signal?.aborted) return
      const answer = await about.calls.make(() => there.put(errand.did, errand.wants, about.speaks)).catch(ours)
      if (answer.is === 'answered') done.push(errand)
      else if (isAboutPerson(answer)) refused.push({ did: errand.did, because: nameOf(answer.error) })
      else halt ??= stopOf(answer)
      halt ??= pauseAfter(answer, about.calls.atOnce)
    }
  }
  await Promise.all(Array.from({ length: about.calls.atOnce }, carry))
  return { done, refused, halt }
}

type NotTaken = Parameters<typeof haltOf>[0]

/** Refusals that are about the space, or about the method, whoever it is for. */
const OF_ALL: ReadonlySet<string> = new Set(['SpaceNotFound', 'NotSpaceOwner'])
const isAboutPerson = (answer: NotTaken): answer is NotTaken & { readonly is: 'refused' } =>
  answer.is === 'refused' && !OF_ALL.has(answer.error) && !isUnknownMethod(answer)

/** A method that isn't known, or isn't in the grant, may be one that the PDS had before it became another generation. */
function stopOf(answer: NotTaken): Halt {
  if (answer.is === 'unscoped') return new Halt('GrantTooNarrow', { isRelearning: true })
  return isUnknownMethod(answer) ? new Halt('MethodNotImplemented', { isRelearning: true }) : haltOf(answer)
}
