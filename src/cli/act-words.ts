/**
 * What follows from each act that is confirmed by a step up, for whoever is about to sign it: an owner who is rushed, or was told what to sign by
 * somebody who has their session. Pure; whoever prints it escapes it.
 */
import { type Did, parseDid, parseSpaceUri } from '../names.ts'

type Input = Readonly<Record<string, unknown>>
type Words = (input: Input, caller: Did) => readonly string[]

const APPROVED = 'Another owner has to approve it, where there is one. Until it is done, any owner can stop it.'
const UNKNOWN: readonly string[] = [
  'This tool does not know what follows from that. Sign it only if you know, and not because somebody asked you to.',
]

/** By the name of the method. One that takes a step up and has no row here fails the tests. */
const FOLLOWS: Readonly<Record<string, Words>> = {
  'community.reeve.space.delete': () => [
    'The space ends for everybody in it, and nobody can bring it back. Another one can have its name.',
    APPROVED,
  ],
  'community.reeve.space.update': () => [
    'Where this lets in the public, or whom another service lets in: they can keep all that they read, and nobody can take it from them again.',
    APPROVED,
  ],
  'community.reeve.member.transferOwnership': transferFollows,
  'community.reeve.community.delete': () => [
    'The community ends, and every space of it, for everybody. When a week has passed, nobody can bring it back.',
    APPROVED,
  ],
  'community.reeve.community.release': () => [
    'From the next question on this service lets nobody into any space of the account, and its spaces are not kept at its PDS any more.',
  ],
  'community.reeve.proposal.approve': (input) => [
    `Somebody else proposed what has this name: ${shown(input['proposal'])}. This tool does not see what that is; some of it is done at once, and nobody can take it back.`,
    'Look it up first in community.reeve.proposal.list, and ask whoever proposed it, by a way that the service has no hand in.',
  ],
  'community.reeve.key.endKeeper': ({ did }) => [
    `The keys of this person confirm and receive nothing any more: ${shown(did)}`,
    'What waits for them comes to nothing. Others that they enrol in their place count three days later.',
  ],
  'community.reeve.key.enrolKeeper': ({ sealKey, signKey }) => [
    'The keys by which you sign this end at once, and a day later these count as yours. What is only for you is sealed to them:',
    `  ${shown(sealKey)}`,
    `  ${shown(signKey)}`,
    'If they are not in a folder of yours (reeve keeper show), whoever has them will confirm in your name.',
  ],
  'community.reeve.key.export': exportFollows,
  'community.reeve.key.replaceRecovery': ({ recoveryKey }) => [
    'Three days later the identity of the community is in the hands of whoever has this key, and they can take it away from here:',
    `  ${shown(recoveryKey)}`,
    'Whoever has the key before it can undo that for 72 hours; after that nobody can.',
    APPROVED,
  ],
  'community.reeve.key.propose': ceremonyFollows,
  'community.reeve.key.rotate': ({ purposes, reason }) => [
    `The service puts new keys in the place of those that it keeps (${shown(purposes)}, ${shown(reason ?? 'scheduled')}), by an operation of its own.`,
    'An operation that keepers are signing just now comes to nothing by that: they begin again.',
  ],
  'community.reeve.key.liftSuspension': ({ did }) => [
    `This person gave wrong shares three times. They act in ceremonies again, as if they had not: ${shown(did)}`,
  ],
  'community.reeve.key.objectOwnership': () => [
    'The owners whom a key of the community named do not come by that, until its keepers sign it a second time. If all the others are lost, you keep them out.',
  ],
}

/** The methods of which this tool knows what follows. */
export const KNOWN_ACTS: ReadonlySet<string> = new Set(Object.keys(FOLLOWS))

/** What follows from a call, or that this isn't known. */
export const followsOf = (act: string, input: Input, caller: Did): readonly string[] =>
  (Object.hasOwn(FOLLOWS, act) ? FOLLOWS[act]?.(input, caller) : undefined) ?? UNKNOWN

/** The community that a call names: by itself, or by the space that it is about. Null: the call names none. */
export const communityIn = ({ community, space }: Input): Did | null =>
  parseDid(community) ?? parseSpaceUri(space)?.authority ?? null

function transferFollows({ to, cancel, roleAfter }: Input): readonly string[] {
  if (cancel === true) return ['Your offer is taken back. That takes no step up.']
  return [
    'This person can take your place as an owner, until the offer ends. Once they have, only an owner can make you one again:',
    `  ${shown(to)}`,
    roleAfter === 'none'
      ? 'You have no place there afterwards.'
      : `Your role afterwards: ${shown(roleAfter ?? 'admin')}`,
    APPROVED,
  ]
}

function exportFollows({ recipients }: Input, caller: Did): readonly string[] {
  return [
    'These people will have the key by which the identity of the community is changed, and nobody can take it from them again:',
    ...people(recipients ?? [caller]),
    'Another owner has to approve it, where there is one. Then a day has to pass, in which any owner can stop it.',
  ]
}

/** Of a kind that there isn't, nothing is known. */
function ceremonyFollows(input: Input, caller: Did): readonly string[] {
  const { kind, keepers, threshold, strict, wish, owners, combineHere, combiner } = input
  const here =
    combineHere === true
      ? ['The service has the whole key for a moment: trust it with that, or name sealTo.']
      : ['This person has the whole key for a moment, at their machine:', ...people(combiner ?? caller)]
  if (kind === 'split') {
    return [
      `A new key is made in shares. Of these people, any ${shown(threshold)} together can change the identity of the community once it stands above all:`,
      ...people(keepers),
      strict === true
        ? 'STRICT: this service then has no key that can change the identity. Every change, also of the handle, takes the keepers; if too many shares are lost, nobody can ever change it again.'
        : 'Not strict: this service keeps a key below theirs, by which it changes the identity in daily life. The keepers can undo that for 72 hours.',
      'Another owner has to approve it, where there is one.',
    ]
  }
  if (kind === 'drill') return ['The keepers show that they can act. Nothing is changed by that.', ...here]
  if (kind === 'combine') {
    const what = wish === undefined ? 'the operation that is given above' : `what this word stands for: ${shown(wish)}`
    return [
      `The keepers are asked to sign a change of the identity of the community: ${what}.`,
      'Whoever has a mightier key can undo it for 72 hours; after that nobody can.',
      ...here,
    ]
  }
  if (kind !== 'ownership') return UNKNOWN
  return [
    'The keepers are asked to name these people as the owners of the community, for when those of now are lost:',
    ...people(owners),
    ...here,
  ]
}

const people = (named: unknown): readonly string[] =>
  (Array.isArray(named) ? named : [named]).map((one) => `  ${shown(one)}`)

/** A name as it is; whatever else stands there, as JSON. */
const shown = (value: unknown): string =>
  typeof value === 'string' && /^[\w:.-]+$/.test(value) ? value : (JSON.stringify(value) ?? 'nobody')
