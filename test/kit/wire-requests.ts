/**
 * The raw requests of apps: an exchange, and the showing of a credential, with every part open to change. Nothing here sends them anywhere.
 */
import { type Did, parseSpaceUri, type SpaceName } from '../../src/names.ts'
import type { RawRequest } from './raw-request.ts'
import {
  type Changes,
  freshJti,
  makeDelegation,
  makeDpopProof,
  makeKey,
  makeSpaceSignature,
  type TestKey,
} from './tokens.ts'

export type Binding = 'october' | 'august'
export const BINDINGS = ['october', 'august'] as const satisfies readonly Binding[]

export const EXCHANGE_PATH = '/xrpc/com.atproto.space.getSpaceCredential'
export const GET_SPACE = '/xrpc/com.atproto.simplespace.getSpace'

/** Where Reeve is, and what time it is there. */
export interface Place {
  readonly url: string
  readonly clock: { nowSec(): number }
}

export function spaceOf(uri: string): SpaceName {
  const space = parseSpaceUri(uri)
  if (!space) throw new Error(`no space URI: ${uri}`)
  return space
}

type Lines = readonly (readonly [string, string])[]

/** The parts of one exchange; what is left out is as it should be. */
export interface Parts {
  readonly person?: { readonly did: Did; readonly key: TestKey }
  readonly binding?: Binding
  /** The space in the token, and in the body unless that is given. */
  readonly space?: string | SpaceName
  readonly token?: string
  readonly jti?: string
  readonly changes?: Changes
  readonly holder?: TestKey
  readonly proof?: Changes & { readonly jti?: string; readonly url?: string }
  /** Header lines in place of the token's, or of the proof's. */
  readonly authorization?: Lines
  readonly proofLines?: Lines
  readonly more?: Lines
  readonly body?: object | string
}

/** The raw request. */
export function exchangeOf(
  scene: { world: Place; forum: string; bob: { did: Did; key: TestKey } },
  parts: Parts = {},
): RawRequest {
  const { world, forum, bob } = scene
  const { person = bob, binding = 'october', holder = makeKey('p256'), jti = freshJti() } = parts
  const space = typeof parts.space === 'object' ? parts.space : spaceOf(parts.space ?? forum)
  const nowSec = world.clock.nowSec()
  const token =
    parts.token ?? makeDelegation({ key: person.key, iss: person.did, space, nowSec, jti, ...parts.changes })
  const authorization = `Bearer ${token}`
  const ownProof = (): Lines => {
    if (binding === 'august') {
      const url = world.url + EXCHANGE_PATH
      return [['dpop', makeDpopProof({ key: holder, method: 'POST', url, nowSec, ...parts.proof })]]
    }
    const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization })
    return [
      ['signature-input', signatureInput],
      ['signature', signature],
    ]
  }
  const body = parts.body ?? { space: space.uri }
  return {
    method: 'POST',
    path: EXCHANGE_PATH,
    headers: [
      ...(parts.authorization ?? [['authorization', authorization] as const]),
      ['content-type', 'application/json'],
      ...(parts.proofLines ?? ownProof()),
      ...(parts.more ?? []),
    ],
    body: typeof body === 'string' ? body : JSON.stringify(body),
  }
}

/** A credential and the key that it is bound to. */
export interface Held {
  readonly credential: string
  readonly holder: TestKey
  readonly binding: Binding
  readonly space: string
}

export interface Shown {
  readonly scheme?: string
  /** The procedure that is called with it, and the body; without one, the space is asked for. */
  readonly procedure?: { readonly nsid: string; readonly body: string | object }
  /** The space that is asked about. */
  readonly asked?: string
  /** The key that proves possession, when it isn't the holder's. */
  readonly prover?: TestKey
  readonly audience?: string
  readonly proof?: Changes & { readonly jti?: string; readonly url?: string; readonly method?: string }
  /** Lines in place of the proof's. */
  readonly proofLines?: Lines
  readonly authorization?: Lines
  readonly more?: Lines
  /** Parameters of the signature. */
  readonly params?: string
}

/** The request of an app that shows what it holds; what is left out is as it should be. */
export function presentationOf(world: Place, held: Held, shown: Shown = {}): RawRequest {
  const { credential, holder, binding, space } = held
  const { prover: key = holder, audience = spaceOf(space).authority } = shown
  const scheme = shown.scheme ?? (binding === 'august' ? 'DPoP' : 'Atproto-Space')
  const authorization = `${scheme} ${credential}`
  const { procedure } = shown
  const method = procedure ? 'POST' : 'GET'
  const path = procedure ? `/xrpc/${procedure.nsid}` : GET_SPACE
  const ownProof = (): Lines => {
    if (binding === 'august') {
      const about = { key, method, url: world.url + path, nowSec: world.clock.nowSec(), credential }
      return [['dpop', makeDpopProof({ ...about, ...shown.proof })]]
    }
    const made = { key, authorization, audience, ...(shown.params === undefined ? {} : { params: shown.params }) }
    const { signatureInput, signature } = makeSpaceSignature(made)
    return [
      ['atproto-space-audience', audience],
      ['signature-input', signatureInput],
      ['signature', signature],
    ]
  }
  const headers: Lines = [
    ...(shown.authorization ?? [['authorization', authorization] as const]),
    ...(shown.proofLines ?? ownProof()),
    ...(shown.more ?? []),
  ]
  if (!procedure) return { path: `${path}?${new URLSearchParams({ space: shown.asked ?? space })}`, headers }
  const body = typeof procedure.body === 'string' ? procedure.body : JSON.stringify(procedure.body)
  return { method, path, headers: [...headers, ['content-type', 'application/json']], body }
}
