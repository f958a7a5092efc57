/**
 * What a verdict is made of: a yes with its permit, a no with its code, and the reasons of both.
 *
 * A permit can be made in this room only, and the stores demand one, so forgetting to ask does not compile.
 */
import { authorityOf, type Did, type SpaceUri } from '../names.ts'
import type { RefusalCode } from '../refusals.ts'
import type { Power } from './bounds.ts'
import { pathTo } from './paths.ts'
import type { Action } from './roles.ts'
import type { Edge } from './roster-graph.ts'
import { holds, type Standing } from './standing.ts'

/**
 * What a verdict is sealed with. It exists for the compiler only, and being private to a class it is left behind by object
 * literals and by copies with `...`, so that no other file can write a verdict or change one.
 */
export declare class Sealed<V> {
  private readonly seal: V
}

/** Why a verdict is what it is, in a form that people and the audit can read. */
export interface Reason {
  readonly rule:
    | 'authority'
    | 'publicPolicy'
    | 'managingApp'
    | 'managingAppRefused'
    | 'managingAppUnasked'
    | 'openToApps'
    | 'appAllowed'
    | 'appDenied'
    | 'appUnlisted'
    | 'appUnattested'
    | 'edge'
    | 'ban'
    | 'noPath'
    | 'bound'
    | 'lastOwner'
    | 'founding'
    | 'self'
    | 'frozen'
    | 'openJoining'
    | 'released'
    | 'invite'
    | 'begun'
    | 'keeper'
    | 'ownKey'
    | 'operator'
  readonly into?: SpaceUri
  readonly from?: Did | SpaceUri
  readonly role?: string
  readonly action?: Action
}

/** "This actor may do A": made only here, demanded by every store function that changes governance. */
export interface Permit<A extends Action = Action> extends Sealed<A> {
  readonly action: A
  readonly actor: Did
  readonly because: readonly Reason[]
}

export type Decision<T> =
  | { readonly ok: true; readonly value: T; readonly because: readonly Reason[] }
  | { readonly ok: false; readonly code: RefusalCode; readonly because: readonly Reason[] }

/** The permit itself. For the verdicts of this room alone. */
export const permitFor = <A extends Action>(action: A, actor: Did, because: readonly Reason[]): Permit<A> =>
  ({ action, actor, because }) as unknown as Permit<A>

/** The edges of a path as far as they are this community's: which spaces another one has, and who is in them, is its own affair. */
export const reasonsOf = (path: readonly Edge[], community: Did): readonly Reason[] =>
  path
    .filter(({ into }) => authorityOf(into) === community)
    .map(({ into, from, role }) => ({ rule: 'edge', into, from, role }))

/** Whether a standing has an action in a space: Forbidden for those who stand there, NotFound for those who don't. */
export function judgeAct<A extends Action>(
  standing: Standing,
  actor: Did,
  action: A,
  space: SpaceUri,
): Decision<Permit<A>> {
  if (holds(standing, space, action)) {
    const because = reasonsOf(pathTo(standing, space, action), authorityOf(space))
    return { ok: true, value: permitFor(action, actor, because), because }
  }
  const code = standing.has(space) ? 'Forbidden' : 'NotFound'
  return { ok: false, code, because: [{ rule: 'noPath', into: space, action }] }
}

/** The no to whoever would give or take a power that they do not hold. */
export const beyond = ({ space, action }: Power): Decision<never> => ({
  ok: false,
  code: 'EscalationDenied',
  because: [{ rule: 'bound', into: space, action }],
})

/** The no to what would give a power to whoever asks for it. */
export const openToAnybody = ({ space, action }: Power): Decision<never> => ({
  ok: false,
  code: 'OpenToAnybody',
  because: [{ rule: 'openJoining', into: space, action }],
})
