/**
 * What an app publishes about itself, read: its OAuth client metadata and its key set. Pure.
 *
 * Of the metadata only two things matter here: that it is about this very app, and where the keys are. A document that says it twice,
 * or a key set with something private in it, is refused as a whole, for nobody knows what else its writer didn't mean. What a
 * refusal says is for the app's developer, who is often the one who reads it; it repeats nothing of the document.
 */
import { z } from 'zod'
import type { ClientId } from '../names.ts'
import { URL_MAX_CHARS } from '../platform/addresses.ts'
import { importJwk, isSecretJwk, type PublicJwk } from '../platform/jwk.ts'
import { Refusal } from '../refusals.ts'

/** Where the keys of an app are: in its metadata, or at an address that only the outbound door judges. */
export type KeySource = { readonly inline: unknown } | { readonly uri: string }

const KEYS_MAX = 20

const metadataShape = z.object({
  client_id: z.string(),
  jwks: z.unknown().optional(),
  jwks_uri: z.unknown().optional(),
})
const keySetShape = z.object({ keys: z.array(z.record(z.string(), z.unknown())).min(1).max(KEYS_MAX) })

const unfit = (says: string): Refusal => new Refusal('InvalidClientAttestation', says)

/**
 * Where the metadata of `clientId` says that its keys are.
 * @throws Refusal `InvalidClientAttestation`: another `client_id` or none, neither `jwks` nor `jwks_uri`, both
 */
export function keySourceOf(clientId: ClientId, metadata: Readonly<Record<string, unknown>>): KeySource {
  const parsed = metadataShape.safeParse(metadata)
  // Without this, whoever can put a file on somebody's host could speak as an app of theirs.
  if (!parsed.success || parsed.data.client_id !== clientId) {
    throw unfit('client_id in the client metadata must be the address of the client metadata')
  }
  const hasInline = Object.hasOwn(metadata, 'jwks')
  const hasUri = Object.hasOwn(metadata, 'jwks_uri')
  if (hasInline && hasUri) throw unfit('the client metadata must have jwks or jwks_uri, not both')
  if (hasInline) return { inline: parsed.data.jwks }
  if (!hasUri) throw unfit('the client metadata has no keys: it needs jwks or jwks_uri')
  const { jwks_uri: uri } = parsed.data
  if (typeof uri !== 'string' || uri.length > URL_MAX_CHARS) throw unfit('jwks_uri must be a URL')
  return { uri }
}

/**
 * The keys of a set that can verify; others are passed over.
 * @throws Refusal `InvalidClientAttestation`: no list of 1 to 20 keys, a private or symmetric one among them, a `kid` twice, none
 * that can be used
 */
export function keysOfSet(set: unknown): readonly PublicJwk[] {
  const parsed = keySetShape.safeParse(set)
  if (!parsed.success) throw unfit(`the app’s key set must have a list of 1 to ${KEYS_MAX} keys`)
  const { keys } = parsed.data
  // Everybody could sign as this app, with that key; the others are from the same hand.
  if (keys.some(isSecretJwk)) throw unfit('the app’s key set has a private or a symmetric key in it')
  const kids = keys.map(({ kid }) => kid).filter((kid) => typeof kid === 'string')
  if (new Set(kids).size < kids.length) throw unfit('two keys of the app’s key set have the same kid')
  const usable = keys.map(importJwk).filter((key) => key !== null)
  if (usable.length === 0) throw unfit('no key of the app’s key set can verify its signatures')
  return usable
}
