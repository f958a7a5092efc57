/** Names in the input of our own methods. The lexicon has checked their shape; here they become names, or are refused. */
import {
  type ClientId,
  type Did,
  parseClientId,
  parseDid,
  parseSpaceUri,
  type SpaceName,
  type SpaceUri,
} from '../names.ts'
import { isoOf, msOf } from '../platform/clock.ts'
import { type Action, parseAction } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'

/** @throws Refusal('InvalidRequest') for a DID that isn't in its canonical spelling */
export function requireDid(text: string, field: string): Did {
  const did = parseDid(text)
  if (!did) throw new Refusal('InvalidRequest', `${field} is not a DID in its canonical form`)
  return did
}

/** @throws Refusal('InvalidRequest') for a client id that isn't the canonical address of an app's metadata */
export function requireClientId(text: string, field = 'clientId'): ClientId {
  const clientId = parseClientId(text)
  if (!clientId)
    throw new Refusal('InvalidRequest', `${field} is not the https address of an app, in its canonical form`)
  return clientId
}

/** @throws Refusal('InvalidRequest') */
export function requireSpace(text: string, field = 'space'): SpaceName {
  const space = parseSpaceUri(text)
  if (!space) throw new Refusal('InvalidRequest', `${field} is not at://<authority>/space/<type>/<skey>`)
  return space
}

/** What is governed: a whole community, or one space of it. @throws Refusal('InvalidRequest') unless one of the two is named */
export function requireScope(input: { readonly community?: string | undefined; readonly space?: string | undefined }): {
  readonly community: Did
  readonly scope: SpaceUri | Did
} {
  if (input.community !== undefined && input.space === undefined) {
    const community = requireDid(input.community, 'community')
    return { community, scope: community }
  }
  if (input.community === undefined && input.space !== undefined) {
    const { authority, uri } = requireSpace(input.space)
    return { community: authority, scope: uri }
  }
  throw new Refusal('InvalidRequest', 'send either community or space')
}

/** The action that a person must have to come through, or null when left out. @throws Refusal('InvalidRequest') */
export function parseHolding(text: string | undefined): Action | null {
  if (text === undefined) return null
  return requireAction(text, 'holding')
}

/** @throws Refusal('InvalidRequest') for a word that is no action */
export function requireAction(text: string, field = 'action'): Action {
  const action = parseAction(text)
  if (!action) throw new Refusal('InvalidRequest', `${field} is not an action`)
  return action
}

/** Milliseconds since 1970, or null when left out. @throws Refusal('InvalidRequest') */
export function parseInstant(text: string | undefined, field: string): number | null {
  if (text === undefined) return null
  const ms = msOf(text)
  if (ms === null || !isDay(text.slice(0, 10))) throw new Refusal('InvalidRequest', `${field} is not an instant`)
  return ms
}

const DAY_MS = 24 * 60 * 60 * 1000
const EXPIRY_DAYS = 7
const EXPIRY_MAX_DAYS = 90

/**
 * Until when a word holds that somebody is given: seven days when nothing is said, and ninety at most, since nobody thinks of it
 * any more when it is taken at last. @throws Refusal('InvalidRequest')
 */
export function requireExpiry(text: string | undefined, nowMs: number): number {
  const expiresAtMs = parseInstant(text, 'expiresAt') ?? nowMs + EXPIRY_DAYS * DAY_MS
  if (expiresAtMs <= nowMs || expiresAtMs > nowMs + EXPIRY_MAX_DAYS * DAY_MS) {
    throw new Refusal('InvalidRequest', `expiresAt is not within the next ${EXPIRY_MAX_DAYS} days`)
  }
  return expiresAtMs
}

/** Whether a date is on the calendar. The clock takes the 31st of February for the 3rd of March, and nobody meant that. */
function isDay(date: string): boolean {
  const ms = msOf(date)
  return ms !== null && isoOf(ms).startsWith(date)
}

/** Characters that don't show, or that turn the direction of text. The joiner that emoji are made with is let through. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/u

/** The joiner where it makes one picture of two. Anywhere else it would make two names that look the same. */
const EMOJI_JOINER = /(?<=\p{Extended_Pictographic}\ufe0f?\p{Emoji_Modifier}?)\u200d(?=\p{Extended_Pictographic})/gu

/** What takes up a place and shows nothing: fillers, selectors, joiners, blanks. A name may hold some, and not be made of them. */
const BLANK = /[\p{Default_Ignorable_Code_Point}\p{White_Space}\u2800]/gu

/** A note of a few lines, for people to read. @throws Refusal('InvalidRequest') when it holds what does not show */
export function requireReason(text: string, field = 'reason'): string {
  if (text.trim() === '' || HIDDEN.test(text.replace(/[\n\t]/g, '').replace(EMOJI_JOINER, ''))) {
    throw new Refusal('InvalidRequest', `${field} is empty, or holds characters that do not show`)
  }
  return text
}

/** A name that people will read next to other names. @throws Refusal('InvalidRequest') when it could pass for another one, or for none */
export function requireShownName(text: string): string {
  const isPadded = text.trim() !== text
  const isSound = !isPadded && text.replace(BLANK, '') !== '' && !HIDDEN.test(text.replace(EMOJI_JOINER, ''))
  if (!isSound)
    throw new Refusal('InvalidRequest', 'name is empty, padded with spaces, or holds characters that do not show')
  return text
}
