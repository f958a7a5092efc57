/**
 * What a service says that is ready to take a community in: the keys that it made for it, and where it answers.
 *
 * The one who moves a DID puts exactly this into its document. A statement with one letter changed on its way would hand the community to
 * somebody else, so it is signed by the rotation key it names: whoever changed it has to have made all of the keys anew, and then the
 * service that was asked doesn't know them. Whose statement it is, the reader learns by comparing it over another way.
 */
import { encode } from '@ipld/dag-cbor'
import { z } from 'zod'
import { type Did, type DidKey, parseDid } from '../names.ts'
import { fromBase64Url, sha256 } from '../platform/bytes.ts'
import { type isoOf, msOf } from '../platform/clock.ts'
import { verify } from '../platform/ecdsa.ts'
import { parseDidKey } from '../platform/multikey.ts'

const did = z.string().transform((text, ctx): Did => parseDid(text) ?? fail(ctx, 'a DID'))
const didKey = z.string().transform((text, ctx): DidKey => parseDidKey(text)?.didKey ?? fail(ctx, 'a did:key'))
const instant = z.custom<ReturnType<typeof isoOf>>(
  (text) => typeof text === 'string' && msOf(text) !== null,
  'must be an instant',
)
const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1'])
/** An origin and nothing behind it, over https; without it on this machine alone. */
const isOrigin = (text: string): boolean => {
  if (!URL.canParse(text)) return false
  const { origin, protocol, hostname } = new URL(text)
  return origin === text && (protocol === 'https:' || (protocol === 'http:' && LOOPBACK_HOSTS.has(hostname)))
}
const endpoint = z.string().max(512).refine(isOrigin, { error: 'must be an origin', abort: true })
const service = <Type extends string>(type: Type) => z.strictObject({ type: z.literal(type), endpoint })

const unsigned = z.strictObject({
  format: z.literal('reeve-new-home'),
  version: z.literal(1),
  /** The community that is taken in. */
  did,
  /** Who asked, and becomes its first owner there. */
  for: did,
  /** The service that takes it in. */
  service: did,
  rotationKey: didKey,
  verificationMethods: z.strictObject({ atproto: didKey, atproto_space: didKey }),
  services: z.strictObject({
    atproto_space_host: service('AtprotoSpaceHost'),
    atproto_pds: service('AtprotoPersonalDataServer'),
  }),
  /** The roll that is to follow: SHA-256, in hexadecimal, of the file that the owner has. */
  rollSha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  issuedAt: instant,
  /** The keys are thrown away then, unless they stand in the document. */
  expiresAt: instant,
})
/** Both services are at one address, and a service that has its name from an address is at that one. */
const isAtItsAddress = ({
  service: did,
  services,
}: Pick<z.infer<typeof unsigned>, 'service' | 'services'>): boolean => {
  const { endpoint } = services.atproto_space_host
  const [, method, host] = did.split(':')
  return (
    services.atproto_pds.endpoint === endpoint &&
    (method !== 'web' || host?.toLowerCase() === encodeURIComponent(new URL(endpoint).host).toLowerCase())
  )
}
const signed = unsigned.extend({ sig: z.string() }).refine(isAtItsAddress, 'must be at its own address')

export type UnsignedNewHome = Readonly<z.infer<typeof unsigned>>
export type NewHome = Readonly<z.infer<typeof signed>>

function fail(ctx: z.core.$RefinementCtx, what: string): never {
  ctx.addIssue({ code: 'custom', message: `must be ${what}` })
  return z.NEVER
}

/** The bytes that the rotation key signs: canonical DAG-CBOR of everything but the signature. */
export const newHomeBytes = (home: UnsignedNewHome): Uint8Array => encode({ purpose: 'reeve-new-home-v1', ...home })

const FINGERPRINT_BYTES = 10
const FINGERPRINT_GROUP = /(.{4})(?=.)/g

/**
 * Short for the whole statement, to be read aloud: five groups of four hexadecimal characters. Its keys alone wouldn't tell a statement that
 * somebody else got from the same home, in their own name.
 */
export function fingerprintOfNewHome(home: NewHome): string {
  const hash = sha256(encode({ purpose: 'reeve-new-home-fingerprint-v1', ...home })).subarray(0, FINGERPRINT_BYTES)
  return Buffer.from(hash).toString('hex').replaceAll(FINGERPRINT_GROUP, '$1 ')
}

/**
 * `not-a-statement`: another shape, of which nothing follows. `wrong-signature`: everything is there, but the rotation key in it didn't sign
 * this, so somebody changed it, or it is broken.
 */
type NewHomeFault = 'not-a-statement' | 'wrong-signature'

/** The statement that a value is exactly, signed by the rotation key in it; or why it is none. */
export function readNewHome(value: unknown): NewHome | NewHomeFault {
  const home = signed.safeParse(value).data
  const key = home && parseDidKey(home.rotationKey)?.key
  if (!home || !key) return 'not-a-statement'
  const { sig, ...said } = home
  const signature = fromBase64Url(sig)
  return signature && verify(key, newHomeBytes(said), signature, { lowS: true }) ? home : 'wrong-signature'
}

/** The same, for whoever only wants to know whether it is one. */
export function parseNewHome(value: unknown): NewHome | null {
  const home = readNewHome(value)
  return typeof home === 'string' ? null : home
}
