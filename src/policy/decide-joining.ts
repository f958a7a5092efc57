/**
 * The verdicts on the ways of joining: by an invite, by asking, at once where a space takes everybody, and as the owner who takes
 * a community over. Each is bounded by what `member.put` is bounded by.
 */
import { type Did, rosterOf, type SpaceUri } from '../names.ts'
import { firstBroughtBack, firstExcess, firstGivenBeyond, firstWithoutLeave } from './bounds.ts'
import { isManaging } from './roles.ts'
import type { Edge } from './roster-graph.ts'
import { bansInForce, type StandingFacts, standingOf } from './standing.ts'
import {
  beyond,
  type Decision,
  judgeAct,
  openToAnybody,
  type Permit,
  permitFor,
  type Reason,
  type Sealed,
} from './verdict.ts'

/** "This person may ask to be put there, and take it back": made only here, demanded by the store of requests. */
export interface Asking extends Sealed<'asking'> {
  readonly space: SpaceUri
  readonly did: Did
}

const asking = (space: SpaceUri, did: Did): Decision<Asking> => {
  const because: readonly Reason[] = [{ rule: 'self', into: space, from: did }]
  return { ok: true, value: { space, did } as unknown as Asking, because }
}

/**
 * May the actor make an invite that gives this entry to whoever takes it? `invite` there, `role.assign` besides where the role
 * carries power, and every power that the entry leads to, for as long as it is given.
 */
export function decideInvite(actor: StandingFacts, did: Did, entry: Edge): Decision<Permit<'invite'>> {
  const ordinary = judgeInviter(actor, did, entry)
  if (!ordinary.ok) return ordinary
  const over = firstGivenBeyond(actor, actor, entry, null)
  return over ? beyond(over) : ordinary
}

function judgeInviter(actor: StandingFacts, did: Did, { into, role }: Edge): Decision<Permit<'invite'>> {
  const standing = standingOf(actor)
  const ordinary = judgeAct(standing, did, 'invite', into)
  const carriesPower = [...(actor.roles.get(role) ?? [])].some(isManaging)
  if (!ordinary.ok || !carriesPower) return ordinary
  const assigning = judgeAct(standing, did, 'role.assign', into)
  return assigning.ok ? ordinary : assigning
}

/**
 * May a person come in by an invite? UserNotAuthorized when they are kept out, or the space rests. Everything else is a no to its
 * maker: they must be allowed now to put this very person there, with all that comes back with somebody who had left.
 */
export function decideAccept(
  { maker, person }: { readonly maker: StandingFacts; readonly person: StandingFacts },
  makerDid: Did,
  { before, after }: { readonly before: Edge | null; readonly after: Edge },
): Decision<Permit<'members.add'>> {
  const out = keptOut(person, after.into) ?? atRest(person, after.into)
  if (out) return out
  const inviting = judgeInviter(maker, makerDid, after)
  if (!inviting.ok) return inviting
  const standing = standingOf(maker)
  const facts = { actor: maker, person }
  const over =
    firstExcess(facts, standing, { before, after }, false) ??
    firstBroughtBack(facts, standing, { space: after.into, after })
  if (over) return beyond(over)
  const invited: Reason = { rule: 'invite', into: after.into, from: makerDid, role: after.role }
  const because = [invited, ...inviting.because]
  return { ok: true, value: permitFor('members.add', makerDid, because), because }
}

/**
 * May the actor have a space take everybody (`opening` is the entry that they get), or no longer? `space.configure` there; and no
 * power may come to whoever asks by anything that the entry leads to, whoever sets it.
 */
export function decideJoining(
  actor: StandingFacts,
  did: Did,
  space: SpaceUri,
  opening: Edge | null,
): Decision<Permit<'space.configure'>> {
  const ordinary = judgeAct(standingOf(actor), did, 'space.configure', space)
  if (!ordinary.ok || opening === null) return ordinary
  const others = actor.graph.openings.filter(({ into }) => into !== space)
  const free = firstWithoutLeave(actor, { openings: [...others, opening] })
  return free ? openToAnybody(free) : ordinary
}

/**
 * May a person join a space that takes everybody, by themself? Not when they are kept out, or it rests; not when they had left
 * and would get back what somebody else once gave them; and not when power would come to them by it, which is looked at here once
 * more.
 */
export function decideJoin(person: StandingFacts, did: Did, opening: Edge): Decision<Permit<'members.add'>> {
  const { into: space, role } = opening
  const out = keptOut(person, space) ?? atRest(person, space)
  if (out) return out
  const back = firstBroughtBack({ actor: person, person }, standingOf(person), { space, after: opening })
  if (back) return beyond(back)
  const free = firstWithoutLeave(person, { openings: [opening] })
  if (free) return openToAnybody(free)
  const because: readonly Reason[] = [{ rule: 'openJoining', into: space, from: did, role }]
  return { ok: true, value: permitFor('members.add', did, because), because }
}

/** May a person ask to be put in a space? Everybody who isn't kept out, while it doesn't rest. */
export const decideAsking = (person: StandingFacts, did: Did, space: SpaceUri): Decision<Asking> =>
  keptOut(person, space) ?? atRest(person, space) ?? asking(space, did)

/** May a person take back what they asked for? Always. */
export const decideWithdrawal = (did: Did, space: SpaceUri): Decision<Asking> => asking(space, did)

/**
 * May a person take over the community that an owner offers them? UserNotAuthorized when they are kept out; else it must still be
 * the owner's to give. There is nothing more to bound: an owner holds everything, everywhere and without a term.
 */
export function decideTakingOver(
  { owner, person }: { readonly owner: StandingFacts; readonly person: StandingFacts },
  ownerDid: Did,
): Decision<Permit<'community.transfer'>> {
  const roster = rosterOf(owner.graph.community).uri
  return keptOut(person, roster) ?? judgeAct(standingOf(owner), ownerDid, 'community.transfer', roster)
}

/** The no to whoever is banned from a space, or from its community. */
function keptOut(person: StandingFacts, space: SpaceUri): Decision<never> | null {
  const scopes: readonly (SpaceUri | Did)[] = [space, person.graph.community]
  const isBanned = bansInForce(person.bans, person.nowMs).some(({ scope }) => scopes.includes(scope))
  return isBanned ? { ok: false, code: 'UserNotAuthorized', because: [{ rule: 'ban', into: space }] } : null
}

/** The no to whoever comes by themself while the space rests: then only those who govern it change who is there. */
const atRest = (person: StandingFacts, space: SpaceUri): Decision<never> | null =>
  person.graph.isFrozen(space)
    ? { ok: false, code: 'UserNotAuthorized', because: [{ rule: 'frozen', into: space }] }
    : null
