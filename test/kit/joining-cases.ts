/** The combinations of facts about the ways of joining: who is let in by whom, and what comes with it. */
import {
  decideAccept,
  decideAsking,
  decideInvite,
  decideJoin,
  decideJoining,
  decideTakingOver,
  decideWithdrawal,
} from '../../src/policy/decide-joining.ts'
import { type Action, isManaging } from '../../src/policy/roles.ts'
import type { Edge } from '../../src/policy/roster-graph.ts'
import { ACTOR, COMMUNITY, factsOfLists, type Lists, PERSON } from './graphs.ts'
import {
  askOf,
  BACK,
  BOTH,
  bansThat,
  type Case,
  type Chosen,
  CREW,
  edge,
  entered,
  every,
  GIVEN,
  governing,
  HERE,
  KEPT_OUT,
  LATER,
  LEFT,
  LEFT_AS_OWNER,
  lists,
  NEW_POWER,
  opening,
  ROSTER,
  restsThat,
  rolesOf,
  standingIn,
  TAKEN,
} from './rule-stage.ts'

// --- invites ---

/** Power that the maker can give, where they have any. */
const powerOf = (held: readonly Action[]): Action => held.find(isManaging) ?? 'invite'
const hasPower = (held: readonly Action[]): boolean => held.some(isManaging)

function inviteCases(): Case[] {
  const choices = { held: governing('invite', 'role.assign'), carriesPower: BOTH, givesBeyondActor: BOTH }
  return every(choices).map(({ held, carriesPower, givesBeyondActor: gives }) => {
    const after: readonly Action[] = ['write', ...(carriesPower ? [powerOf(held.held)] : [])]
    const nested = [edge(HERE, GIVEN, gives ? 'power' : 'reading', { holding: 'write' })]
    const actor = lists(rolesOf({ held: held.held, after }), entered(held, HERE), { nested })
    const invited = edge(COMMUNITY, HERE, 'after')
    const isImpossible = carriesPower && !gives && !hasPower(held.held)
    return {
      family: 'decideInvite',
      ask: askOf('invite', { ...standingIn(held), carriesPower, givesBeyondActor: gives }),
      says: { ...held, isOwner: null },
      scenes: isImpossible ? NEW_POWER : [{ actor, decide: () => decideInvite(factsOfLists(actor), ACTOR, invited) }],
    }
  })
}

const ACCEPT = {
  held: governing('invite', 'role.assign'),
  ...{ isBanned: BOTH, isFrozen: BOTH, carriesPower: BOTH },
  ...{ givesBeyondGiver: BOTH, takesFromAbove: BOTH, bringsBackAbove: BOTH },
} as const
type Accept = Chosen<typeof ACCEPT>

/** Here the actor is who made the invite: by their standing it is judged. */
function acceptScenes(chosen: Accept): Case['scenes'] {
  const { held, isBanned, isFrozen, carriesPower } = chosen
  const { givesBeyondGiver: gives, takesFromAbove: takes, bringsBackAbove: brings } = chosen
  const isBeyondAnew = carriesPower && !gives && !hasPower(held.held)
  if (takes && brings) return LEFT
  if (isBeyondAnew && brings) return NEW_POWER
  const carried = carriesPower ? [powerOf(held.held)] : []
  // What the maker couldn't give, the entry before gave already.
  const before: readonly Action[] = [...(takes ? (['read'] as const) : []), ...(isBeyondAnew ? carried : [])]
  const roles = rolesOf({ held: held.held, before, after: [...(gives ? (['write'] as const) : []), ...carried] })
  const nested = [
    ...(gives ? [edge(HERE, GIVEN, 'power', { holding: 'write' })] : []),
    ...(takes ? [edge(HERE, TAKEN, 'reading', { holding: 'read' })] : []),
    ...(brings ? [edge(CREW, HERE, 'reading'), edge(HERE, BACK, 'reading')] : []),
  ]
  const after = edge(PERSON, HERE, 'after')
  const replaced = { before: edge(PERSON, HERE, 'before'), after }
  const changes = [...(takes || isBeyondAnew ? [] : [{ before: null, after }]), ...(brings ? [] : [replaced])]
  const elsewhere = [
    ...(takes ? [edge(PERSON, TAKEN, 'power')] : []),
    ...(brings ? [edge(PERSON, BACK, 'power'), edge(PERSON, CREW, 'reading')] : []),
  ]
  return changes.flatMap((change) =>
    bansThat(isBanned).flatMap((bans) =>
      restsThat(isFrozen).map((rests) => {
        const actor = lists(roles, entered(held, HERE), { nested, ...rests })
        const own = [...elsewhere, ...(change.before ? [change.before] : [])]
        const person = lists(roles, own, { nested, bans, left: brings ? [HERE] : [], ...rests })
        const facts = { maker: factsOfLists(actor), person: factsOfLists(person) }
        return { actor, decide: () => decideAccept(facts, ACTOR, change) }
      }),
    ),
  )
}

function acceptCases(): Case[] {
  return every(ACCEPT).map((chosen) => {
    const { held, isFrozen, ...facts } = chosen
    const context = { ...facts, giver: standingIn(held) }
    return {
      family: 'decideAccept',
      ask: askOf('acceptInvite', context, { principal: PERSON, isFrozen }),
      says: { ...held, isOwner: null },
      scenes: acceptScenes(chosen),
    }
  })
}

// --- spaces that take everybody ---

/** What people get who ask, or null for nothing, and where that leads. */
interface Opening {
  readonly entry: Edge | null
  readonly more: Partial<Lists> & { readonly nested: readonly Edge[] }
}

const toWriters = edge(HERE, GIVEN, 'power', { holding: 'write' })
const toOthers = edge(HERE, GIVEN, 'power', { holding: 'members.read' })
/** Another space that takes everybody, from which power comes to them. */
const openElsewhere = { openings: [opening(CREW)], nested: [edge(CREW, GIVEN, 'power')] }

/** Entries that give power to whoever asks, by their role or where they lead; and entries that don't. */
const entriesThat = (open: boolean): readonly Opening[] =>
  open
    ? [
        { entry: opening(HERE, 'power'), more: { nested: [] } },
        { entry: opening(HERE), more: { nested: [toWriters] } },
      ]
    : [
        { entry: opening(HERE), more: { nested: [toOthers] } },
        { entry: opening(HERE), more: { openings: [opening(HERE, 'power')], nested: [] } },
      ]

function settingCases(): Case[] {
  return every({ held: governing('space.configure'), opensPowerToAnybody: BOTH }).map((chosen) => {
    const { held, opensPowerToAnybody: opens } = chosen
    const others: readonly Opening[] = opens
      ? [{ entry: opening(HERE), more: openElsewhere }]
      : [
          { entry: null, more: { nested: [] } },
          { entry: null, more: openElsewhere },
        ]
    const scenes = [...entriesThat(opens), ...others].map(({ entry, more }) => {
      const actor = lists(rolesOf({ held: held.held }), entered(held, HERE), more)
      return { actor, decide: () => decideJoining(factsOfLists(actor), ACTOR, HERE, entry) }
    })
    const ask = askOf('setJoining', { ...standingIn(held), opensPowerToAnybody: opens })
    return { family: 'decideJoining', ask, says: { ...held, isOwner: null }, scenes }
  })
}

const JOIN = {
  ...{ stands: BOTH, isBanned: BOTH, isFrozen: BOTH },
  ...{ bringsBackAbove: BOTH, opensPowerToAnybody: BOTH },
} as const
type Join = Chosen<typeof JOIN>

type Past = Pick<Lists, 'own' | 'nested' | 'left'>

const crew = edge(ACTOR, CREW, 'reading')

/** What somebody had here before they ask, and what of it they left. */
function pastsOf({ stands, isBanned, bringsBackAbove: brings }: Join): readonly Past[] {
  const powerful: Past = { own: [crew], nested: [edge(CREW, HERE, 'power')] }
  if (stands) return [powerful, { own: [edge(ACTOR, HERE, 'power')], nested: [] }]
  const nested = [edge(CREW, HERE, 'reading'), edge(HERE, BACK, 'reading')]
  const gone: Past = { own: [crew], nested, left: [HERE] }
  if (brings) {
    return [
      { ...powerful, left: [HERE] },
      { ...gone, own: [crew, edge(ACTOR, BACK, 'power', LATER)] },
    ]
  }
  // Whoever is kept out may have had anything. What they hold all the same needs nobody to bring it back.
  if (isBanned) return [powerful, gone]
  return [{ own: [], nested: [] }, gone, { ...gone, own: [crew, edge(ACTOR, BACK, 'power')] }]
}

function joinScenes(chosen: Join): Case['scenes'] {
  const { stands, isBanned, isFrozen, bringsBackAbove, opensPowerToAnybody } = chosen
  if (isBanned && stands) return KEPT_OUT
  if (bringsBackAbove && stands) return LEFT_AS_OWNER
  const entries = [
    ...entriesThat(opensPowerToAnybody),
    ...(opensPowerToAnybody ? [] : [{ entry: opening(HERE), more: openElsewhere }]),
  ]
  return every({ past: pastsOf(chosen), opened: entries, bans: bansThat(isBanned), rests: restsThat(isFrozen) }).map(
    ({ past, opened, bans, rests }) => {
      const nested = [...past.nested, ...opened.more.nested]
      const actor = lists(rolesOf({}), past.own, { ...past, ...opened.more, nested, bans, ...rests })
      const entry = opened.entry as Edge
      return { actor, decide: () => decideJoin(factsOfLists(actor), ACTOR, entry) }
    },
  )
}

function joinCases(): Case[] {
  return every(JOIN).map((chosen) => {
    const { stands, isFrozen, ...facts } = chosen
    return {
      family: 'decideJoin',
      ask: askOf('join', facts, { isFrozen }),
      says: { stands, held: stands ? ['audit.read'] : [], isOwner: null },
      scenes: joinScenes(chosen),
    }
  })
}

function requestCases(): Case[] {
  return every({ stands: BOTH, isBanned: BOTH, isFrozen: BOTH }).flatMap(({ stands, isBanned, isFrozen }) => {
    const own = stands || isBanned ? [edge(ACTOR, HERE, 'reading')] : []
    const all = every({ bans: bansThat(isBanned), rests: restsThat(isFrozen) })
    const actors = all.map(({ bans, rests }) => lists(rolesOf({}), own, { bans, ...rests }))
    const says = { stands, held: stands ? (['read'] as const) : [], isOwner: null }
    const isImpossible = isBanned && stands
    const asking = actors.map((actor) => ({ actor, decide: () => decideAsking(factsOfLists(actor), ACTOR, HERE) }))
    const withdrawal = actors.map((actor) => ({ actor, decide: () => decideWithdrawal(ACTOR, HERE) }))
    return [
      {
        family: 'decideAsking',
        ask: askOf('askToJoin', { isBanned }, { isFrozen }),
        says,
        scenes: isImpossible ? KEPT_OUT : asking,
      },
      {
        family: 'decideWithdrawal',
        ask: askOf('withdrawRequest', {}, { isFrozen }),
        says,
        scenes: isImpossible ? KEPT_OUT : withdrawal,
      },
    ]
  })
}

// --- the community itself ---

/** Here the actor is who offers the community: by their standing it is judged. */
function takingOverCases(): Case[] {
  const choices = { held: governing('community.transfer'), isBanned: BOTH, isFrozen: BOTH }
  return every(choices).map(({ held, isBanned, isFrozen }) => {
    const roles = rolesOf({ held: held.held })
    const scenes = every({ bans: bansThat(isBanned, ROSTER), rests: restsThat(isFrozen, ROSTER) }).map(
      ({ bans, rests }) => {
        const actor = lists(roles, entered(held, ROSTER), rests)
        const person = lists(roles, [edge(PERSON, ROSTER, 'reading')], { bans, ...rests })
        const facts = { owner: factsOfLists(actor), person: factsOfLists(person) }
        return { actor, decide: () => decideTakingOver(facts, ACTOR) }
      },
    )
    const context = { isBanned, giver: standingIn(held) }
    return {
      family: 'decideTakingOver',
      ask: askOf('takeOver', context, { principal: PERSON, isRoster: true, isFrozen }),
      says: { ...held, isOwner: null },
      scenes,
    }
  })
}

export const joiningCases = (): readonly Case[] => [
  ...inviteCases(),
  ...acceptCases(),
  ...settingCases(),
  ...joinCases(),
  ...requestCases(),
  ...takingOverCases(),
]
