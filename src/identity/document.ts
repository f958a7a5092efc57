/**
 * A DID document, read: which keys and services a DID really publishes. Pure.
 *
 * Two readers who understand one document differently are two identities, so whatever is said twice counts as not said, and an
 * entry that is present but broken is never passed over for another one.
 */
import { z } from 'zod'
import type { Did } from '../names.ts'
import { type Curve, type PublicKey, publicKeyFromPoint } from '../platform/ecdsa.ts'
import { fromMultibase, parseMultikey } from '../platform/multikey.ts'

/** `atproto` signs for the DID itself, `atproto_space` signs the credentials of its spaces (0016 §Space credential). */
export type KeyName = 'atproto' | 'atproto_space'

export interface Service {
  readonly type: string
  /** An http or https URL without user info, as the document writes it; whether it may be called is the outbound door's word. */
  readonly endpoint: string
}

export interface DidDocument {
  readonly did: Did
  readonly alsoKnownAs: readonly string[]
  /** The key of that name: null when there is none, more than one, or none that we can use. */
  key(name: KeyName): PublicKey | null
  /** The service of that name, without `#`. `malformed` = it's there, but broken or doubled: an error, never a reason to look elsewhere. */
  service(name: string): Service | 'absent' | 'malformed'
}

/** Entries in each list of a document. */
const ENTRIES_MAX = 50
const ENDPOINT_MAX_CHARS = 2_048

const entries = z.array(z.unknown()).max(ENTRIES_MAX).default([])
const documentShape = z.object({
  id: z.string(),
  alsoKnownAs: z.array(z.string().max(2_048)).max(ENTRIES_MAX).default([]),
  verificationMethod: entries,
  service: entries,
})
const methodShape = z.object({ type: z.string(), controller: z.string(), publicKeyMultibase: z.string() })
const serviceShape = z.object({
  type: z.string().min(1).max(256),
  serviceEndpoint: z.string().max(ENDPOINT_MAX_CHARS).refine(isEndpoint),
})

/**
 * The document of `did`, or null when it isn't one: another `id`, a list that is no list, more than 50 entries in one.
 * A single entry that can't be understood (an unknown type, say) does no harm to the others.
 */
export function parseDidDocument(did: Did, json: unknown): DidDocument | null {
  const parsed = documentShape.safeParse(json)
  if (!parsed.success || parsed.data.id !== did) return null
  const { alsoKnownAs, verificationMethod, service } = parsed.data
  const keys = {
    atproto: keyOf(did, named(did, 'atproto', verificationMethod)),
    atproto_space: keyOf(did, named(did, 'atproto_space', verificationMethod)),
  }
  // Only what was understood is kept. The JSON itself can take many times its length in memory, and a stranger wrote it.
  const services = servicesOf(did, service)
  return { did, alsoKnownAs, key: (name) => keys[name], service: (name) => services.get(name) ?? 'absent' }
}

/** Every entry of that name, whatever its type: a twin of an unknown type still makes the name ambiguous. */
const named = (did: Did, name: string, list: readonly unknown[]): unknown[] =>
  list.filter((entry) => nameOf(did, entry) === name)

function keyOf(did: Did, methods: readonly unknown[]): PublicKey | null {
  const method = methodShape.safeParse(methods[0])
  if (methods.length !== 1 || !method.success || method.data.controller !== did) return null
  const { type, publicKeyMultibase } = method.data
  if (type === 'Multikey') return parseMultikey(publicKeyMultibase)
  const curve = LEGACY_CURVE.get(type)
  const point = curve && fromMultibase(publicKeyMultibase)
  return curve && point ? publicKeyFromPoint(curve, point) : null
}

/** Types from before `Multikey`, which directories still serve: their multibase is the bare point, without a multicodec prefix. */
const LEGACY_CURVE = new Map<string, Curve>([
  ['EcdsaSecp256r1VerificationKey2019', 'p256'],
  ['EcdsaSecp256k1VerificationKey2019', 'k256'],
])

/** Every service by its name. One that is broken, or that stands there twice, is there and malformed. */
function servicesOf(did: Did, list: readonly unknown[]): Map<string, Service | 'malformed'> {
  const services = new Map<string, Service | 'malformed'>()
  for (const entry of list) {
    const name = nameOf(did, entry)
    if (name === null) continue
    const service = serviceShape.safeParse(entry)
    const isSound = service.success && !services.has(name)
    services.set(name, isSound ? { type: service.data.type, endpoint: service.data.serviceEndpoint } : 'malformed')
  }
  return services
}

/** The name in an entry's `id`, which is `#name` or `<did>#name`; null for anything else. */
function nameOf(did: Did, entry: unknown): string | null {
  if (typeof entry !== 'object' || entry === null || !('id' in entry) || typeof entry.id !== 'string') return null
  if (entry.id.startsWith('#')) return entry.id.slice(1)
  return entry.id.startsWith(`${did}#`) ? entry.id.slice(did.length + 1) : null
}

/** White space, control characters and backslashes are mended by URL parsers, each in its own way. */
const PLAIN_URL = /^https?:\/\/[!-[\]-~]+$/

function isEndpoint(text: string): boolean {
  if (!PLAIN_URL.test(text) || !URL.canParse(text)) return false
  const url = new URL(text)
  return url.username === '' && url.password === ''
}
