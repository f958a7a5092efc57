/**
 * The PDS of an account as it asks about the account's spaces: a fresh token of 60 s for each question, over connections that are kept.
 *
 * For questions by the thousand their tokens are signed by libsecp256k1 where it is installed, since OpenSSL takes longer to sign one than
 * the question takes to be answered. What good and bad tokens are is tested with those of `tokens.ts`.
 */
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import type { Somebody } from './people.ts'
import { base64Url, freshJti, signBytes, type TestKey } from './tokens.ts'

export const CHECK_ACCESS = 'com.atproto.simplespace.checkUserAccess'

export interface Asked {
  readonly space: string
  readonly user: string
  /** What for; left out by a host of August 2026. */
  readonly access?: 'read' | 'write' | undefined
}

/** A question as it goes over the wire. */
export interface Prepared {
  readonly path: string
  readonly authorization: string
}

export const pathOf = ({ space, user, access }: Asked): string =>
  `/xrpc/${CHECK_ACCESS}?${new URLSearchParams({ space, user, ...(access ? { access } : {}) })}`

type Sign = (key: TestKey, message: string) => Uint8Array

interface Binding {
  ecdsaSign(digest: Uint8Array, scalar: Uint8Array): { readonly signature: Uint8Array }
}

const scalars = new WeakMap<TestKey, Uint8Array>()

function scalarOf(key: TestKey): Uint8Array {
  const known = scalars.get(key)
  if (known) return known
  const scalar = Buffer.from(key.privateKey.export({ format: 'jwk' }).d ?? '', 'base64url')
  scalars.set(key, scalar)
  return scalar
}

function signer(): Sign {
  try {
    const binding: Binding = createRequire(import.meta.url)('secp256k1/bindings.js')
    return (key, message) => binding.ecdsaSign(createHash('sha256').update(message).digest(), scalarOf(key)).signature
  } catch {
    return signBytes
  }
}

const sign = signer()
const HEADER = base64Url(JSON.stringify({ typ: 'JWT', alg: 'ES256K' }))

/** The token of one question. `lifetimeSec` longer than a PDS gives it, for questions that are prepared long before they are asked. */
export function tokenFor(account: Somebody, serviceDid: string, nowSec: number, lifetimeSec = 60): string {
  const payload = {
    ...{ iat: nowSec, iss: account.did, aud: `${serviceDid}#reeve`, exp: nowSec + lifetimeSec },
    ...{ lxm: CHECK_ACCESS, jti: freshJti() },
  }
  const input = `${HEADER}.${base64Url(JSON.stringify(payload))}`
  return `${input}.${base64Url(sign(account.key, input))}`
}

/** `undecided`: it was said in time that nothing was decided. `lost`: whatever else came back, or nothing. */
export type Answered = 'yes' | 'no' | 'undecided' | 'lost'

export interface AskingHost {
  /** Asks; what became of a lost question is told to `trouble`. */
  ask(question: Prepared): Promise<Answered>
  close(): Promise<void>
}

/** So many connections to one process, with one question at a time on each; more than that wait for their turn. */
export function openAskingHost(url: string, inFlight: number, trouble: (says: string) => void = () => {}): AskingHost {
  const pool = new Pool(url, { connections: inFlight, pipelining: 1 })
  return {
    async ask({ path, authorization }) {
      try {
        const { statusCode, body } = await pool.request({ path, method: 'GET', headers: { authorization } })
        const text = await body.text()
        const { authorized } = statusCode === 200 ? JSON.parse(text) : { authorized: null }
        if (typeof authorized === 'boolean') return authorized ? 'yes' : 'no'
        if (statusCode === 503 || statusCode === 504) return 'undecided'
        trouble(`${statusCode} ${text.slice(0, 200)}`)
      } catch (error) {
        trouble(String(error))
      }
      return 'lost'
    },
    close: () => pool.close(),
  }
}

/**
 * Has `one` happen so often a second for so long, whether those before have ended or not, unless `most` are under way: then the next begin
 * late. How late the latest began, and how long all of it took.
 */
export async function atRate(
  { perSec, seconds, most }: { readonly perSec: number; readonly seconds: number; readonly most: number },
  one: (at: number) => Promise<void>,
): Promise<{ readonly latestMs: number; readonly wallSec: number }> {
  const begunMs = performance.now()
  const underWay = new Set<Promise<void>>()
  const dueMs = (at: number) => begunMs + (at * 1_000) / perSec
  const all = Math.round(perSec * seconds)
  let latestMs = 0
  for (let at = 0; at < all; ) {
    const nowMs = performance.now()
    for (; at < all && dueMs(at) <= nowMs && underWay.size < most; at++) {
      latestMs = Math.max(latestMs, performance.now() - dueMs(at))
      const going = one(at).finally(() => underWay.delete(going))
      underWay.add(going)
    }
    if (underWay.size >= most) await Promise.race(underWay)
    else await sleep(Math.max(0, dueMs(at) - performance.now()))
  }
  await Promise.all(underWay)
  return { latestMs, wallSec: (performance.now() - begunMs) / 1_000 }
}
