/** Where a community goes when it leaves: to a new home by its signed statement, or to itself, with keys and an address of its own. */
import { type Destination, rankedKeys } from '../community/plc-departure.ts'
import { type NewHome, readNewHome } from '../identity/new-home.ts'
import { openRecoveryKey } from '../keys/recovery-key.ts'
import { type Did, type DidKey, parseDid, parseHandle } from '../names.ts'
import { msOf } from '../platform/clock.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { type Options, WrongUsage } from './command.ts'
import { NoJson, readJsonFile } from './files.ts'

export const DESTINATION_OPTIONS = {
  to: 'text',
  for: 'text',
  'to-self': 'flag',
  'new-recovery-key': 'text',
  'rotation-key': 'texts',
  'atproto-key': 'text',
  'space-key': 'text',
  endpoint: 'text',
  handle: 'text',
  'no-handle': 'flag',
  'keep-names': 'flag',
} as const

const STATEMENT_MAX_BYTES = 16 * 1024

/**
 * A destination before the key is known that signs. `before`: the rotation keys that stay where they aren't replaced, in their order. A new
 * recovery key stands where the signer stood.
 */
export interface ChosenDestination {
  readonly home: NewHome | null
  readonly newRecoveryKey: DidKey | null
  with(signer: DidKey, before: readonly string[]): Destination
}

/**
 * @throws WrongUsage; Error in words for a statement that isn't one, is about another community, for another person, or is over; and as
 * `openRecoveryKey` for the new key
 */
export function chosenDestination(
  options: Options<typeof DESTINATION_OPTIONS>,
  did: Did,
  nowMs: number,
): ChosenDestination {
  const { to } = options
  if ((to === undefined) === (options['to-self'] === undefined))
    throw new WrongUsage('one of --to <new-home.json> and --to-self is needed')
  if ((to === undefined) !== (options.for === undefined))
    throw new WrongUsage('--for <your DID> goes with --to: who is to be the first owner at the new home')
  if (to !== undefined && (options['atproto-key'] ?? options['space-key'] ?? options.endpoint) !== undefined)
    throw new WrongUsage('keys and addresses of your own go with --to-self')
  const more = (options['rotation-key'] ?? []).flatMap((text) => keyOf(text) ?? [])
  const home = to === undefined ? null : statementIn(to, did, ownerOf(options.for), nowMs)
  const place = home ?? ownPlace(options)
  const newRecoveryKey = newKeyIn(options['new-recovery-key'])
  return {
    ...{ home, newRecoveryKey },
    with(signer, before) {
      const own = rankedKeys(before, { signer, first: newRecoveryKey ?? signer, more })
      const { verificationMethods, services } = place
      const homeKey = home?.rotationKey ?? null
      return { rotationKeys: homeKey ? [...own, homeKey] : own, homeKey, verificationMethods, services }
    },
  }
}

/** A key that nobody can open would be no way out, so it comes as its file. */
function newKeyIn(source: string | undefined): DidKey | null {
  if (source === undefined) return null
  if (source === '-' || source.startsWith('did:key:'))
    throw new WrongUsage('--new-recovery-key takes the file of the new key, as reeve recovery new makes it')
  return openRecoveryKey(source).didKey
}

function ownerOf(text: string | undefined): Did {
  const owner = parseDid(text)
  if (!owner) throw new WrongUsage('--for must be your DID: did:plc: or did:web:')
  return owner
}

function statementIn(path: string, did: Did, owner: Did, nowMs: number): NewHome {
  const answer = answerIn(path)
  if (isRecord(answer) && answer['status'] === 'active' && !('statement' in answer))
    throw new Error(
      'the new home answered that the community is there already: there is no statement, and nothing to sign',
    )
  const home = readNewHome(isRecord(answer) && 'statement' in answer ? answer['statement'] : answer)
  if (home === 'not-a-statement') throw new Error(NOT_A_STATEMENT)
  if (home === 'wrong-signature') throw new Error(WRONG_SIGNATURE)
  if (home.did !== did) throw new Error('the statement of the new home is about another community')
  if (home.for !== owner)
    throw new Error(
      `STOP: the statement of the new home was made for another person, who would own the community there: ${home.for}. Ask the new home in your own name`,
    )
  if ((msOf(home.expiresAt) ?? 0) <= nowMs)
    throw new Error('the statement of the new home is over: call takeIn there again, for a new one')
  return home
}

const NOT_A_STATEMENT =
  'there is no statement of a new home in the file of --to. It has to hold what community.takeIn answered there: the whole answer, or its field statement alone, as it came. (One of a newer Reeve needs a newer tool.)'
const WRONG_SIGNATURE =
  'the statement of the new home is NOT SIGNED by the key in it: somebody changed it on its way, or it is damaged. Do not use it. Ask again over another network, and compare the key over another way'

/** The answer of takeIn has the statement as one of its fields. */
function answerIn(path: string): unknown {
  try {
    return readJsonFile(path, STATEMENT_MAX_BYTES)
  } catch (error) {
    if (error instanceof NoJson) throw new Error(NOT_A_STATEMENT)
    throw error
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What the identity says without any home: nothing, or the keys and the address that the community keeps itself. */
function ownPlace(options: Options<typeof DESTINATION_OPTIONS>): {
  readonly verificationMethods: Destination['verificationMethods']
  readonly services: Destination['services']
} {
  const { endpoint } = options
  const keys = { atproto: keyOf(options['atproto-key']), atproto_space: keyOf(options['space-key']) }
  const verificationMethods = Object.fromEntries(Object.entries(keys).flatMap(([id, key]) => (key ? [[id, key]] : [])))
  if (endpoint === undefined) return { verificationMethods, services: {} }
  if (!URL.canParse(endpoint) || new URL(endpoint).origin !== endpoint || !endpoint.startsWith('https://'))
    throw new WrongUsage('--endpoint must be an https address without a path: https://spaces.example.org')
  return {
    verificationMethods,
    services: {
      atproto_space_host: { type: 'AtprotoSpaceHost', endpoint },
      atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint },
    },
  }
}

function keyOf(text: string | undefined): DidKey | null {
  if (text === undefined) return null
  const key = parseDidKey(text)
  if (!key) throw new WrongUsage('a key must be a did:key over P-256 or secp256k1')
  return key.didKey
}

/**
 * The names that stay: the handle, which is the first name of that kind, or the one that was given. Any others, which a home could have put
 * there to make the operation too long, stay only when the person says so. @throws WrongUsage
 */
export function chosenNames(
  options: Options<typeof DESTINATION_OPTIONS>,
  before: readonly string[],
): readonly string[] {
  const handle = options.handle === undefined ? null : parseHandle(options.handle)
  if (options.handle !== undefined && !handle)
    throw new WrongUsage('--handle must be a handle in small letters: gardeners.example.org')
  if (handle !== null && options['no-handle']) throw new WrongUsage('either --handle or --no-handle')
  const isHandle = (name: string) => name.startsWith('at://')
  const others = options['keep-names'] ? before.filter((name) => !isHandle(name)) : []
  if (handle) return [`at://${handle}`, ...others]
  if (options['no-handle']) return others
  return options['keep-names'] ? before : before.filter(isHandle).slice(0, 1)
}
