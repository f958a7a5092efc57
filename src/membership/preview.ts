/**
 * Who gains and who loses by a change: it is carried out in its transaction, looked at, and undone. So what is shown is what the
 * change does, by the same code, and not what somebody believes that it does.
 */
import type * as defs from '../lexicons/community/reeve/defs.ts'
import type { Did, SpaceUri } from '../names.ts'
import { giveWay } from '../platform/clock.ts'
import { type Tx, undone } from '../platform/database.ts'
import { ACTIONS, type Action } from '../policy/roles.ts'
import { holds, standingOf } from '../policy/standing.ts'
import { listPeopleIn, loadPeople, type PeopleIn } from './facts-store.ts'
import type { AtOneRevision, KnownGraphs } from './graph.ts'
import { type Facts, type FactsCtx, factsAbout, spacesThatLeadToAny } from './standing-facts.ts'

/** Whom a change may concern: people, or everybody who may come to stand in some spaces. */
export interface Touched {
  readonly people?: readonly Did[]
  readonly spaces?: readonly SpaceUri[]
  /** When the change begins to count, where that is later than now. */
  readonly fromMs?: number | null
}

/** People looked at for one preview. Beyond that it says that it isn't complete: nobody's requests shall wait for a curious admin. */
export const PEOPLE_MAX = 10_000
/** Changes that are listed one by one; the others are counted. */
const LISTED_MAX = 200
/** As long as other requests may wait for a preview. */
const REST_EVERY_MS = 10
/** Time for comparing. Somebody who stands in thousands of spaces takes milliseconds, and then fewer people are looked at. */
const COMPARING_MAX_MS = 1_000

/** The facts on both sides of a change, read while its transaction held the community. */
export interface Trial {
  readonly before: AtOneRevision<PeopleIn>
  readonly after: AtOneRevision<PeopleIn>
  readonly people: readonly Did[]
  readonly isComplete: boolean
  /** When what is done to a person begins to count, where that is later than now. */
  readonly fromMsOf: (did: Did) => number | null
}

/**
 * Carries `work` out twice, undoing it each time: once to learn whom it may concern, and once to see where they stand after it.
 * Answers what `work` did, and the facts to compare.
 */
export async function tryOut<D extends { readonly touches?: Touched; readonly changed: string }>(
  ctx: FactsCtx,
  tx: Tx,
  community: Did,
  work: () => Promise<D>,
): Promise<{ readonly done: D; readonly trial: Trial }> {
  const first = await undone(tx, async () => {
    const done = await work()
    const moved = done.changed === 'graph'
    return { done, moved, people: await peopleTouched(ctx, tx, community, done.touches ?? {}, moved) }
  })
  const touches = first.done.touches ?? {}
  const all = new Set([...first.people, ...(await peopleTouched(ctx, tx, community, touches, false))])
  const people = [...all].slice(0, PEOPLE_MAX)
  const before = await lookAt(ctx, tx, community, people, false)
  const after = await undone(tx, async () => {
    await work()
    return lookAt(ctx, tx, community, people, first.moved)
  })
  const isComplete = people.length === all.size
  const fromMsOf = () => touches.fromMs ?? null
  return { done: first.done, trial: { before, after, people, isComplete, fromMsOf } }
}

async function peopleTouched(
  ctx: FactsCtx,
  tx: Tx,
  community: Did,
  { people = [], spaces = [] }: Touched,
  isTried: boolean,
): Promise<readonly Did[]> {
  if (spaces.length === 0) return people
  let found: readonly Did[] = []
  const read = async (communities: readonly Did[], known: KnownGraphs) => {
    const ways = spacesThatLeadToAny(community, spaces, known)
    found = await listPeopleIn(tx, [...ways], '', PEOPLE_MAX + 1)
    return loadPeople(tx, communities, [], null)
  }
  await ctx.graphs.atOneRevision(tx, community, read, { isTried })
  return [...people, ...found]
}

async function lookAt(
  ctx: FactsCtx,
  tx: Tx,
  community: Did,
  people: readonly Did[],
  isTried: boolean,
): Promise<AtOneRevision<PeopleIn>> {
  const read = (communities: readonly Did[]) => loadPeople(tx, communities, people, null)
  const found = await ctx.graphs.atOneRevision(tx, community, read, { isTried })
  if (!found) throw new TypeError('a community that was there is there')
  return found
}

/**
 * What the trial shows: what happens to whom in spaces where the caller may see who is there, and to the caller everywhere. Of
 * other spaces not even a number is told, since it would say who is in them.
 */
export async function previewOf(ctx: FactsCtx, community: Did, caller: Facts, trial: Trial): Promise<defs.Preview> {
  const callers = standingOf(caller)
  const changes: defs.PreviewChange[] = []
  let gaining = 0
  let losing = 0
  let examined = 0
  const beganMs = ctx.clock.monotonicMs()
  let restedMs = beganMs
  for (const did of trial.people) {
    const nowMs = ctx.clock.monotonicMs()
    if (nowMs - beganMs > COMPARING_MAX_MS) break
    if (nowMs - restedMs > REST_EVERY_MS) {
      await giveWay()
      restedMs = ctx.clock.monotonicMs()
    }
    examined += 1
    const moved = differences(
      mayAt(ctx, community, did, trial, 'before'),
      mayAt(ctx, community, did, trial, 'after'),
    ).filter(({ space }) => did === caller.did || holds(callers, space, 'members.read'))
    if (moved.some(({ gains }) => gains.length > 0)) gaining += 1
    if (moved.some(({ loses }) => loses.length > 0)) losing += 1
    for (const { space, gains, loses } of moved) {
      if (changes.length < LISTED_MAX) changes.push({ did, space, gains, loses })
    }
  }
  const isComplete = trial.isComplete && examined === trial.people.length
  return { examined, isComplete, gaining, losing, changes }
}

type May = ReadonlyMap<SpaceUri, ReadonlySet<Action>>

/** What somebody may do where, on one side of the trial. In a space that rests nobody reads or writes. */
function mayAt(ctx: FactsCtx, community: Did, did: Did, trial: Trial, side: 'before' | 'after'): May {
  const facts = factsAbout(ctx, community, did, trial[side])
  const standing = standingOf({ ...facts, nowMs: Math.max(facts.nowMs, trial.fromMsOf(did) ?? facts.nowMs) })
  return new Map(
    [...standing].map(([space, { actions }]) => [
      space,
      facts.graph.isFrozen(space) ? actions.difference(AT_REST) : actions,
    ]),
  )
}

const AT_REST: ReadonlySet<Action> = new Set(['read', 'write'])

interface Moved {
  readonly space: SpaceUri
  readonly gains: Action[]
  readonly loses: Action[]
}

function differences(before: May, after: May): readonly Moved[] {
  const moved: Moved[] = []
  for (const space of new Set([...before.keys(), ...after.keys()])) {
    const was = before.get(space) ?? new Set<Action>()
    const is = after.get(space) ?? new Set<Action>()
    const gains = ACTIONS.filter((action) => is.has(action) && !was.has(action))
    const loses = ACTIONS.filter((action) => was.has(action) && !is.has(action))
    if (gains.length + loses.length > 0) moved.push({ space, gains, loses })
  }
  return moved
}
