/**
 * Every combination of the facts that the page of rules speaks about, each made true in small communities: what the engine is
 * asked there, and what the page is asked of it.
 *
 * A combination that no community can be in carries the sentence that says why instead.
 */
import type { ClientId, Did, SpaceUri } from '../../src/names.ts'
import type { AppRules } from '../../src/policy/apps.ts'
import {
  type AccessFacts,
  decideAct,
  decideBan,
  decideEnrolment,
  decideFor,
  decideLeave,
  decideListBans,
  decidePerson,
  decidePut,
  decideRead,
  decideRemove,
  decideUnban,
  decideWrite,
  type Word,
} from '../../src/policy/decide.ts'
import { decideRole } from '../../src/policy/decide-roles.ts'
import { decideDelete, decideFreeze, decideNest, decideOpening, decideUnnest } from '../../src/policy/decide-spaces.ts'
import { ACTIONS, type Action, isManaging, OWNER, OWNER_MARK } from '../../src/policy/roles.ts'
import type { Edge } from '../../src/policy/roster-graph.ts'
import type { Decision } from '../../src/policy/verdict.ts'
import { appCases, CLOSED, SILENT, withApp } from './app-cases.ts'
import { type Ask, person as personRef, ref, right, rights } from './cedar.ts'
import { ACTOR, COMMUNITY, factsOfLists, type Lists, PERSON, spaceNamed } from './graphs.ts'
import { joiningCases } from './joining-cases.ts'
import {
  ABROAD,
  askOf,
  BACK,
  BOTH,
  ban,
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
  type Held,
  HOME,
  holdsAllPower,
  KEPT_OUT,
  LATER,
  LEFT,
  LEFT_AS_OWNER,
  lists,
  MARK_IN_ROSTER,
  marked,
  NEW_POWER,
  opening,
  POLICIES,
  policyOf,
  ROSTER,
  restsThat,
  rolesOf,
  SAID,
  type Said,
  standingIn,
  standings,
  TAKEN,
  without,
  wordsThat,
} from './rule-stage.ts'

// --- may this person? ---

interface Reader extends Held {
  readonly isAuthority: boolean
  readonly isBanned: boolean
  readonly isFrozen: boolean
  readonly readPolicy: (typeof POLICIES)[number]
  readonly writePolicy: (typeof POLICIES)[number]
}

/** Where nobody asks for the app, none would come in. `words`: what a managing app may have said. */
function personScenes(
  chosen: Reader,
  ask: (facts: AccessFacts, did: Did, word: Word | null) => Decision<unknown>,
  { apps = CLOSED, words }: { readonly apps?: AppRules; readonly words: readonly (Word | null)[] },
): Case['scenes'] {
  const { isAuthority, isBanned, isFrozen, held, stands } = chosen
  if (isBanned && stands) return KEPT_OUT
  const did = isAuthority ? COMMUNITY : ACTOR
  const roles = rolesOf({ held: isBanned ? ACTIONS : held })
  const own = stands || isBanned ? [edge(did, HERE, 'held')] : []
  const made = bansThat(isBanned).flatMap((bans) =>
    restsThat(isFrozen).map((rests) => {
      const actor = lists(roles, own, { bans, ...rests, apps })
      const policies = {
        readPolicy: policyOf(chosen.readPolicy, 'read'),
        writePolicy: policyOf(chosen.writePolicy, 'write'),
        isAtPds: false,
      }
      return { actor, facts: { ...factsOfLists(actor), space: spaceNamed('here'), ...policies } }
    }),
  )
  return made.flatMap(({ actor, facts }) => words.map((word) => ({ actor, decide: () => ask(facts, did, word) })))
}

function personCases(): Case[] {
  const choices = { isAuthority: BOTH, isBanned: BOTH, isFrozen: BOTH, readPolicy: POLICIES, writePolicy: POLICIES }
  const saysOf = ({ stands, held }: Held) => ({ stands, held, isOwner: null })
  const contextOf = (
    { held, isBanned }: Reader,
    action: 'read' | 'write',
    { said, isAttested = true }: { readonly said: Said; readonly isAttested?: boolean },
  ): Ask['context'] => {
    const context = { held: rights(held), isBanned, word: ref('Word', said) }
    return action === 'read' ? withApp(context, { isAttested, community: SILENT, space: SILENT }) : context
  }
  const spaceOf = ({ isAuthority, isFrozen, readPolicy, writePolicy }: Reader) => ({
    ...{ isFrozen, readPolicy, writePolicy, principal: isAuthority ? COMMUNITY : ACTOR },
  })
  const records = (['read', 'write'] as const).flatMap((action) =>
    every({ ...choices, held: standings([action], without(action)), said: SAID }).map(({ said, ...chosen }) => {
      const reader = { ...chosen, ...chosen.held }
      const words = wordsThat(said, action)
      return {
        family: `decidePerson ${action}`,
        ask: askOf(action, contextOf(reader, action, { said }), spaceOf(reader)),
        says: saysOf(reader),
        scenes: personScenes(reader, (facts, did, word) => decidePerson(facts, did, action, word), { words }),
      }
    }),
  )
  // No managing app gives anybody a right, whatever it says.
  const anyWord = [null, ...wordsThat('yes', 'read'), ...wordsThat('yes', 'write')]
  const asked = without('read', 'write').flatMap((action) =>
    every({ ...choices, held: standings([action], without(action)) }).map((chosen) => {
      const reader = { ...chosen, ...chosen.held }
      return {
        family: 'decidePerson anything else',
        ask: askOf('check', { held: rights(reader.held), asked: right(action) }, spaceOf(reader)),
        says: saysOf(reader),
        scenes: personScenes(reader, (facts, did, word) => decidePerson(facts, did, action, word), { words: anyWord }),
      }
    }),
  )
  const clientIds = [null, 'https://app.example/client.json' as ClientId]
  const readers = { ...choices, held: standings(['read'], without('read')), clientId: clientIds, said: SAID }
  const read = every(readers).map(({ said, clientId, ...chosen }) => {
    const reader = { ...chosen, ...chosen.held }
    const given = { apps: new Map(), words: wordsThat(said, 'read') }
    return {
      family: 'decideRead',
      ask: askOf('read', contextOf(reader, 'read', { said, isAttested: clientId !== null }), spaceOf(reader)),
      says: saysOf(reader),
      scenes: personScenes(reader, (facts, did, word) => decideRead(facts, { did, clientId }, word), given),
    }
  })
  const both = every({
    ...choices,
    held: standings(['read', 'write'], without('read', 'write')),
    action: ['read', 'write'] as const,
  }).map((chosen) => {
    const reader = { ...chosen, ...chosen.held }
    return {
      family: 'decideFor',
      ask: askOf(
        chosen.action,
        contextOf(reader, chosen.action, { said: 'unasked', isAttested: false }),
        spaceOf(reader),
      ),
      says: saysOf(reader),
      scenes: personScenes(reader, (facts, did) => decideFor(facts, { did, clientId: null }, chosen.action), {
        apps: chosen.action === 'read' ? new Map() : CLOSED,
        words: [null],
      }),
    }
  })
  const writers = { ...choices, held: standings(['write'], without('write')), said: SAID }
  const written = every(writers).map(({ said, ...chosen }) => {
    const reader = { ...chosen, ...chosen.held }
    return {
      family: 'decideWrite',
      ask: askOf('announce', contextOf(reader, 'write', { said }), spaceOf(reader)),
      says: saysOf(reader),
      scenes: personScenes(reader, decideWrite, { words: wordsThat(said, 'write') }),
    }
  })
  return [...records, ...asked, ...read, ...both, ...written]
}

// --- acts in a space ---

function actCases(): Case[] {
  return ACTIONS.flatMap((action) =>
    standings([action], without(action)).map((held) => {
      const actor = lists(rolesOf({ held: held.held }), entered(held, HERE))
      return {
        family: 'decideAct',
        ask: askOf('act', { stands: held.stands, held: rights(held.held), asked: right(action) }),
        says: { ...held, isOwner: null },
        scenes: [{ actor, decide: () => decideAct(factsOfLists(actor), ACTOR, action, HERE) }],
      }
    }),
  )
}

function openingCases(): Case[] {
  return every({ held: governing('space.configure'), isOwner: BOTH }).map(({ held, isOwner }) => {
    const actor = lists(rolesOf({ held: held.held }), [...entered(held, HERE), ...marked(isOwner)])
    return {
      family: 'decideOpening',
      ask: askOf('openToPublic', { stands: held.stands, held: rights(held.held), isOwner }),
      says: { ...held, isOwner },
      scenes: [{ actor, decide: () => decideOpening(factsOfLists(actor), ACTOR, HERE) }],
    }
  })
}

function deleteCases(): Case[] {
  return every({ held: governing('space.delete'), takesBeyondActor: BOTH }).map(({ held, takesBeyondActor }) => {
    const onward = edge(HERE, TAKEN, takesBeyondActor ? 'power' : 'reading', { holding: 'read' })
    const actor = lists(rolesOf({ held: held.held }), entered(held, HERE), { nested: [onward] })
    return {
      family: 'decideDelete',
      ask: askOf('deleteSpace', { stands: held.stands, held: rights(held.held), takesBeyondActor }),
      says: { ...held, isOwner: null },
      scenes: [{ actor, decide: () => decideDelete(factsOfLists(actor), ACTOR, HERE) }],
    }
  })
}

function freezeCases(): Case[] {
  const choices = { held: governing('space.configure'), isFrozen: BOTH, takesBeyondActor: BOTH }
  return every(choices).map(({ held, isFrozen, takesBeyondActor }) => {
    const onward = edge(HERE, TAKEN, takesBeyondActor ? 'power' : 'reading', { holding: 'read' })
    const scenes = restsThat(isFrozen).map((rests) => {
      const actor = lists(rolesOf({ held: held.held }), entered(held, HERE), { nested: [onward], ...rests })
      return { actor, decide: () => decideFreeze(factsOfLists(actor), ACTOR, HERE) }
    })
    const ask = askOf('freeze', { ...standingIn(held), takesBeyondActor }, { isFrozen })
    return { family: 'decideFreeze', ask, says: { ...held, isOwner: null }, scenes }
  })
}

// --- changes of a roster ---

const PUT = {
  held: governing('members.add', 'role.assign'),
  ...{ isSelf: BOTH, isRoster: BOTH, carriesPower: BOTH, replaces: BOTH, owns: BOTH, staysOwner: BOTH },
  ...{ givesBeyondActor: BOTH, takesFromAbove: BOTH, bringsBackAbove: BOTH, otherOwners: [0, 1] },
} as const
type Put = Chosen<typeof PUT>

const ALL_OF_AN_OWNER = 'an owner holds everything where they are one'
const BELOW_OWNERS = 'what is taken from an owner is taken from above, but for those who hold everything'

/** Why there is no such entry, or nobody to put it. */
function impossiblePut(put: Put): string | null {
  const { held, isSelf, carriesPower, replaces, owns, staysOwner } = put
  const { givesBeyondActor: gives, takesFromAbove: takes, bringsBackAbove: brings } = put
  if (staysOwner && !carriesPower) return 'an ownership carries power'
  if (owns && staysOwner === replaces) return 'an ownership is replaced by anything but an ownership'
  if (owns && gives) return 'an owner is given nothing that they have not'
  if (takes && !replaces) return 'nothing is taken where nothing is replaced'
  if (takes && staysOwner) return 'an owner lacks nothing of what there was before'
  if (brings && (replaces || owns)) return LEFT
  if (brings && isSelf && held.stands) return LEFT_AS_OWNER
  if (owns && isSelf && held.stands && !holdsAllPower(held)) return ALL_OF_AN_OWNER
  if (owns && replaces && !takes && !holdsAllPower(held)) return BELOW_OWNERS
  if (gives || owns) return null
  if (staysOwner && !held.held.includes(OWNER_MARK))
    return 'who makes an owner gives community.transfer, and has to hold it'
  // What was there before gives nothing new; but of oneself one has it, and would hold it as well.
  const isAllNew = (!replaces && staysOwner) || brings || (isSelf && held.stands)
  if (staysOwner && isAllNew && !holdsAllPower(held)) return 'who makes an owner of somebody new has to hold everything'
  if (carriesPower && isAllNew && !held.held.some(isManaging)) return NEW_POWER
  return null
}

/** The entry that is put, in place of the one before. */
function entriesOf(put: Put, subject: Did, into: SpaceUri): readonly { before: Edge | null; after: Edge }[] {
  const { held, isSelf, carriesPower, replaces, owns, staysOwner } = put
  const { givesBeyondActor: gives, bringsBackAbove: brings } = put
  const after = edge(subject, into, staysOwner ? OWNER : 'after')
  if (replaces) return [{ before: edge(subject, into, owns ? OWNER : 'before'), after }]
  const isNewPower = carriesPower && !gives && !held.held.some(isManaging)
  const fresh = owns || isNewPower ? [] : [{ before: null, after }]
  // Put again, an entry gives nothing that wasn't there.
  const isAgain = !gives && !brings && (owns || !staysOwner) && !(isSelf && held.stands && isNewPower)
  return isAgain ? [...fresh, { before: after, after }] : fresh
}

function putScenes(put: Put): Case['scenes'] {
  const impossible = impossiblePut(put)
  if (impossible) return impossible
  const { held, isSelf, isRoster, carriesPower, staysOwner, otherOwners } = put
  const { givesBeyondActor: gives, takesFromAbove: takes, bringsBackAbove: brings } = put
  const into = isRoster ? ROSTER : HERE
  const subject = isSelf ? ACTOR : PERSON
  const carried = held.held.find(isManaging) ?? 'invite'
  // What the actor couldn't give, the entry before gave already.
  const isBeyond = carriesPower && !gives && !holdsAllPower(held)
  const carries = staysOwner ? ACTIONS.filter(isManaging) : [carried]
  const kept = isBeyond ? carries.filter((one) => !held.held.includes(one)) : []
  const roles = rolesOf({
    held: held.held,
    before: takes ? ['read', ...kept] : kept.length > 0 ? kept : ['members.read'],
    after: [...(gives ? (['write'] as const) : []), ...(carriesPower ? [carried] : [])],
  })
  const nested = [
    edge(HOME, into, 'held'),
    ...(gives ? [edge(into, GIVEN, 'power', { holding: 'write' })] : []),
    ...(takes ? [edge(into, TAKEN, 'reading', { holding: 'read' })] : []),
    ...(brings ? [edge(CREW, into, 'reading'), edge(into, BACK, 'reading')] : []),
  ]
  // Above the actor is who has what the actor lacks; above themself, who is still to get it.
  const above = (space: SpaceUri) => edge(subject, space, 'power', isSelf ? LATER : {})
  const persons = [...(takes ? [above(TAKEN)] : []), ...(brings ? [above(BACK), edge(subject, CREW, 'reading')] : [])]
  const home = held.stands ? [edge(ACTOR, HOME, 'reading')] : []
  return entriesOf(put, subject, into).map(({ before, after }) => {
    const own = [...persons, ...(before ? [before] : [])]
    const left = brings ? [into] : []
    // Who has an entry and doesn't stand there is kept out.
    const bans = isSelf && !held.stands ? [ban(into)] : []
    const person = lists(roles, isSelf ? [...own, ...home] : own, { nested, left, bans })
    const actor = isSelf ? person : lists(roles, home, { nested })
    const facts = { actor: factsOfLists(actor), person: factsOfLists(person), roster: ROSTER, otherOwners }
    return { actor, decide: () => decidePut(facts, ACTOR, { space: into, person: subject, before, after }) }
  })
}

function putCases(): Case[] {
  return every(PUT).map((put) => {
    const { held, isSelf, isRoster, ...facts } = put
    const context = { ...facts, ...standingIn(held), person: personRef(isSelf ? ACTOR : PERSON) }
    return {
      family: 'decidePut',
      ask: askOf('putMember', context, { isRoster }),
      says: { ...held, isOwner: null },
      scenes: putScenes(put),
    }
  })
}

const REMOVE = {
  held: governing('members.remove'),
  ...{ isSelf: BOTH, isRoster: BOTH, owns: BOTH, takesFromAbove: BOTH, otherOwners: [0, 1] },
} as const

function removeScenes(removal: Chosen<typeof REMOVE>): Case['scenes'] {
  const { held, isSelf, isRoster, owns, takesFromAbove: takes, otherOwners } = removal
  if (owns && isSelf && held.stands && !holdsAllPower(held)) return ALL_OF_AN_OWNER
  if (owns && !takes && !holdsAllPower(held)) return BELOW_OWNERS
  const into = isRoster ? ROSTER : HERE
  const subject = isSelf ? ACTOR : PERSON
  const roles = rolesOf({ held: held.held, before: takes ? ['read'] : ['members.read'] })
  const nested = [edge(HOME, into, 'held'), ...(takes ? [edge(into, TAKEN, 'reading', { holding: 'read' })] : [])]
  const before = edge(subject, into, owns ? OWNER : 'before')
  const own = [before, ...(takes ? [edge(subject, TAKEN, 'power', isSelf ? LATER : {})] : [])]
  const home = held.stands ? [edge(ACTOR, HOME, 'reading')] : []
  const bans = isSelf && !held.stands ? [ban(into)] : []
  const person = lists(roles, isSelf ? [...own, ...home] : own, { nested, bans })
  const actor = isSelf ? person : lists(roles, home, { nested })
  const facts = { actor: factsOfLists(actor), person: factsOfLists(person), roster: ROSTER, otherOwners }
  const change = { space: into, person: subject, before, after: null }
  return [{ actor, decide: () => decideRemove(facts, ACTOR, change) }]
}

function removeCases(): Case[] {
  return every(REMOVE).map((removal) => {
    const { held, isSelf, isRoster, ...facts } = removal
    const context = { ...facts, ...standingIn(held), person: personRef(isSelf ? ACTOR : PERSON) }
    return {
      family: 'decideRemove',
      ask: askOf('removeMember', context, { isRoster }),
      says: { ...held, isOwner: null },
      scenes: removeScenes(removal),
    }
  })
}

function enrolmentCases(): Case[] {
  return every({ stands: BOTH }).map(({ stands }) => {
    const own = stands ? [edge(ACTOR, ROSTER, 'reading')] : []
    const actor = lists(rolesOf({}), own, { bans: stands ? [] : [ban(COMMUNITY)] })
    const held: readonly Action[] = stands ? ['read'] : []
    return {
      family: 'decideEnrolment',
      ask: askOf('enrolKeys', { stands }, { isRoster: true }),
      says: { stands, held, isOwner: null },
      scenes: [{ actor, decide: () => decideEnrolment(factsOfLists(actor), ACTOR) }],
    }
  })
}

function leaveCases(): Case[] {
  return every({ stands: BOTH, isRoster: BOTH, owns: BOTH, otherOwners: [0, 1] }).map((chosen) => {
    const { stands, isRoster, owns, otherOwners } = chosen
    const space = isRoster ? ROSTER : HERE
    const entry = stands && !(isRoster && owns) ? [edge(ACTOR, space, 'reading')] : []
    const own = [...entry, ...(owns ? [edge(ACTOR, ROSTER, OWNER)] : [])]
    const actor = lists(rolesOf({}), own, { bans: stands ? [] : [ban(COMMUNITY)] })
    const held: readonly Action[] = stands ? (isRoster && owns ? ACTIONS : ['read']) : []
    const facts = { person: factsOfLists(actor), roster: ROSTER, otherOwners }
    return {
      family: 'decideLeave',
      ask: askOf('leave', { stands, owns, otherOwners }, { isRoster }),
      says: { stands, held, isOwner: null },
      scenes: [{ actor, decide: () => decideLeave(facts, ACTOR, space) }],
    }
  })
}

// --- keeping out, and letting in again ---

/** Somebody in a space, who goes on to where they have power or not; and who owns the community or not. */
function bannedPerson(into: SpaceUri, { owns, isAbove }: { owns: boolean; isAbove: boolean }) {
  const isOwnersEntry = owns && into === ROSTER
  const own = [
    ...(isOwnersEntry ? [] : [edge(PERSON, into, 'before')]),
    ...(owns ? [edge(PERSON, ROSTER, OWNER)] : []),
    ...(isAbove ? [edge(PERSON, TAKEN, 'power')] : []),
  ]
  return { own, nested: [edge(into, TAKEN, 'reading', { holding: 'read' })] }
}

function banCases(): Case[] {
  const choices = { held: governing('members.ban'), isRoster: BOTH, isWholeCommunity: BOTH, owns: BOTH }
  return every({ ...choices, takesFromAbove: BOTH, otherOwners: [0, 1] }).map((chosen) => {
    const { held, isRoster, ...more } = chosen
    return {
      family: 'decideBan',
      ask: askOf('ban', { ...more, ...standingIn(held) }, { isRoster }),
      says: { ...held, isOwner: null },
      scenes: scenesOf(chosen),
    }
  })

  function scenesOf(chosen: Chosen<typeof choices> & { takesFromAbove: boolean; otherOwners: number }): Case['scenes'] {
    const { held, isRoster, isWholeCommunity, owns, takesFromAbove, otherOwners } = chosen
    if (isWholeCommunity && !isRoster) return 'a ban from the whole community is judged in its roster'
    if (isRoster && owns && !takesFromAbove && !holdsAllPower(held)) return BELOW_OWNERS
    const space = isRoster ? ROSTER : HERE
    const roles = rolesOf({ held: held.held, before: ['read'] })
    const { own, nested } = bannedPerson(space, { owns, isAbove: takesFromAbove })
    const actor = lists(roles, entered(held, space), { nested })
    const person = factsOfLists(lists(roles, own, { nested }))
    const facts = { actor: factsOfLists(actor), person, roster: ROSTER, otherOwners }
    return [{ actor, decide: () => decideBan(facts, ACTOR, isWholeCommunity ? COMMUNITY : space) }]
  }
}

function unbanCases(): Case[] {
  const choices = { held: governing('members.ban'), isRoster: BOTH, isOwner: BOTH, bringsBackAbove: BOTH }
  return every(choices).flatMap(({ held, isRoster, isOwner, bringsBackAbove }) => {
    const space = isRoster ? ROSTER : HERE
    const scope = isRoster ? COMMUNITY : HERE
    const isImpossible = isRoster && isOwner !== held.held.includes(OWNER_MARK)
    const roles = rolesOf({ held: held.held, before: ['read'] })
    const { own, nested } = bannedPerson(space, { owns: false, isAbove: bringsBackAbove })
    const mark = isRoster ? [] : marked(isOwner)
    const actor = lists(roles, [...entered(held, space), ...mark], { nested })
    const person = lists(roles, own, { nested, bans: [ban(scope)] })
    const facts = { actor: factsOfLists(actor), person: factsOfLists(person) }
    const says = { ...held, isOwner }
    const unbanning = {
      family: 'decideUnban',
      ask: askOf('unban', { ...standingIn(held), isOwner, bringsBackAbove }, { isRoster }),
      says,
      scenes: isImpossible ? MARK_IN_ROSTER : [{ actor, decide: () => decideUnban(facts, ACTOR, scope) }],
    }
    // Of the person, whoever lists asks nothing.
    if (bringsBackAbove) return [unbanning]
    const listing = {
      family: 'decideListBans',
      ask: askOf('listBans', { ...standingIn(held), isOwner }, { isRoster }),
      says,
      scenes: isImpossible ? MARK_IN_ROSTER : [{ actor, decide: () => decideListBans(facts.actor, ACTOR, scope) }],
    }
    return [unbanning, listing]
  })
}

// --- spaces on rosters ---

/** An entry of a space that gives and takes what is said, in place of the one before. */
function nestings(
  nested: Edge,
  { gives, takes, isNewPower }: { gives: boolean; takes: boolean; isNewPower: boolean },
): readonly { before: Edge | null; after: Edge }[] {
  const [forReaders, forWriters] = (['read', 'write'] as const).map((holding) => ({ ...nested, holding })) as [
    Edge,
    Edge,
  ]
  if (gives && takes) return [{ before: forReaders, after: forWriters }]
  if (gives) {
    return [
      { before: null, after: nested },
      { before: forReaders, after: nested },
    ]
  }
  if (takes) return [{ before: nested, after: forReaders }]
  const again = { before: nested, after: nested }
  return isNewPower ? [again] : [again, { before: null, after: nested }]
}

/** Where a space takes everybody, so that power comes to them, by the entry or without it; and so that none does. */
function openingsThat(opens: boolean, isForeign: boolean): readonly Partial<Lists>[] {
  if (!opens) return [{}, { openings: [opening(HOME)] }]
  const alreadyOpen = { openings: [opening(HOME)], nested: [edge(HOME, BACK, 'power')] }
  // Nobody here says who comes in there.
  return isForeign ? [alreadyOpen] : [alreadyOpen, { openings: [opening(CREW)] }]
}

function nestCases(): Case[] {
  const choices = { held: governing('space.nest'), isOwner: BOTH, isForeign: BOTH, carriesPower: BOTH }
  const bounds = { givesBeyondActor: BOTH, takesBeyondActor: BOTH, opensPowerToAnybody: BOTH }
  return every({ ...choices, ...bounds }).map((chosen) => {
    const { held, ...facts } = chosen
    const { isOwner, isForeign, carriesPower, opensPowerToAnybody: opens } = chosen
    const { givesBeyondActor: gives, takesBeyondActor: takes } = chosen
    const own = held.held.find(isManaging)
    const roles = rolesOf({
      held: held.held,
      nested: ['members.read', ...(carriesPower ? [own ?? 'invite'] : [])],
    })
    const onward = gives || takes || opens ? [edge(HERE, GIVEN, 'power', { holding: 'members.read' })] : []
    // What is given and taken there is beyond the actor who has nothing there.
    const there = gives || takes || !opens ? [] : [edge(ACTOR, GIVEN, 'power')]
    const entry = edge(isForeign ? ABROAD : CREW, HERE, 'nested')
    const isNewPower = carriesPower && own === undefined
    const scenes = nestings(entry, { gives, takes, isNewPower }).flatMap(({ before, after }) =>
      openingsThat(opens, isForeign).map(({ openings = [], nested = [] }) => {
        const edges = [...onward, ...nested, ...(before ? [before] : [])]
        const ones = [...entered(held, HERE), ...marked(isOwner), ...there]
        const actor = lists(roles, ones, { nested: edges, openings })
        return { actor, decide: () => decideNest(factsOfLists(actor), ACTOR, { before, after }) }
      }),
    )
    const ask = askOf('nest', { ...facts, ...standingIn(held) })
    return { family: 'decideNest', ask, says: { ...held, isOwner }, scenes }
  })
}

function unnestCases(): Case[] {
  const choices = { held: governing('space.nest'), isForeign: BOTH, takesBeyondActor: BOTH }
  return every(choices).map(({ held, isForeign, takesBeyondActor }) => {
    const roles = rolesOf({ held: held.held, nested: ['members.read'] })
    const before = edge(isForeign ? ABROAD : CREW, HERE, 'nested')
    const onward = edge(HERE, GIVEN, takesBeyondActor ? 'power' : 'reading', { holding: 'members.read' })
    const actor = lists(roles, entered(held, HERE), { nested: [onward, before] })
    return {
      family: 'decideUnnest',
      ask: askOf('unnest', { ...standingIn(held), isForeign, takesBeyondActor }),
      says: { ...held, isOwner: null },
      scenes: [{ actor, decide: () => decideUnnest(factsOfLists(actor), ACTOR, before) }],
    }
  })
}

// --- what a role allows ---

/**
 * A change of a role that somebody has in the space: its people read no more, but write, and see who is there. What that gives,
 * takes and opens is for the surroundings to say.
 */
function roleCases(): Case[] {
  const choices = { held: governing('role.configure'), givesBeyondActor: BOTH, takesFromAbove: BOTH }
  return every({ ...choices, opensPowerToAnybody: BOTH }).map(({ held, ...facts }) => {
    const { givesBeyondActor: gives, takesFromAbove: takes, opensPowerToAnybody: opens } = facts
    const nested = [
      edge(HERE, GIVEN, gives ? 'power' : 'reading', { holding: 'write' }),
      edge(HERE, TAKEN, 'reading', { holding: 'read' }),
      edge(CREW, BACK, 'power', { holding: 'members.read' }),
    ]
    const openings = [opening(CREW, opens ? 'changed' : 'guest')]
    // From owners no role takes anything.
    const roleHeld = new Map([
      [HERE, new Set(['changed'])],
      [TAKEN, new Set([takes ? 'power' : 'reading', OWNER])],
    ])
    const scenes = roleChanges({ gives, takes, opens }).map(({ before, after }) => {
      const roles = rolesOf({ held: held.held, ...(before ? { changed: before } : {}) })
      const actor = lists(roles, entered(held, ROSTER), { nested, openings })
      const change = { name: 'changed', before: before && new Set(before), after: after && new Set(after) }
      return { actor, decide: () => decideRole(factsOfLists(actor), ACTOR, change, roleHeld) }
    })
    const ask = askOf('configureRole', { ...facts, ...standingIn(held) }, { isRoster: true })
    return { family: 'decideRole', ask, says: { ...held, isOwner: null }, scenes }
  })
}

interface RoleWords {
  readonly before: readonly Action[] | null
  readonly after: readonly Action[] | null
}

/** Changes, beginnings and ends of a role. By its beginning nothing is taken, and by its end nothing given. */
function roleChanges({ gives, takes, opens }: Record<'gives' | 'takes' | 'opens', boolean>): readonly RoleWords[] {
  const [before, after] = [['read'], ['write', 'members.read']] as const satisfies readonly (readonly Action[])[]
  return [
    { before, after },
    ...(takes ? [] : [{ before: null, after }]),
    ...(gives || opens ? [] : [{ before, after: null }]),
    // Power of the role itself, in the space where somebody has it and the actor has nothing.
    ...(gives ? [{ before, after: [...after, 'audit.read'] as const }] : []),
    ...(takes ? [{ before: [...before, 'audit.read'] as const, after: [...after, 'audit.read'] as const }] : []),
  ]
}

/** Every combination there is. */
export const everyCase = (): readonly Case[] => [
  ...personCases(),
  ...appCases(),
  ...actCases(),
  ...openingCases(),
  ...deleteCases(),
  ...freezeCases(),
  ...putCases(),
  ...removeCases(),
  ...leaveCases(),
  ...enrolmentCases(),
  ...banCases(),
  ...unbanCases(),
  ...nestCases(),
  ...unnestCases(),
  ...roleCases(),
  ...joiningCases(),
]
