/**
 * A repo host as far as it is shown space credentials, played in memory as the reference of August and the one of October 2026 were seen and
 * read to judge them: in which order, by which name they say no, and above all when they look at the authority's DID document again.
 *
 * A key is looked up under the name that the credential gives, and under no other. A signature that doesn't fit has the document fetched anew,
 * once; a key of another algorithm, and a key that isn't there, do not. So the hosts of an authority whose key was replaced may go on for
 * hours by the old one, and this is where a test can watch them do so. The directory is real, the clock is the test's, and signatures are
 * checked by the libraries that PDSes use, not by ours.
 */
import { verifySignature } from '@atproto/crypto'
import { parseSpaceUri } from '../../src/names.ts'
import { CACHE_RULES, keyNamed, type PlayedDocument, PlayedDocuments } from './played-documents.ts'
import { dpopFault, linesOf, signatureFault } from './played-proofs.ts'
import { type Held, presentationOf, type Shown } from './presentation.ts'
import type { Binding, RawRequest } from './world.ts'

export const READ_PATH = '/xrpc/com.atproto.space.listRecords'

/** `200`, or a status and the name of the error. */
export type Verdict = '200' | `${400 | 401} ${string}`

export interface PlayedRepoHost {
  readonly name: string
  readonly url: string
  readonly generation: Binding
  readonly documents: PlayedDocuments
  /** The accounts that live here, one of which is read from when nothing else is said. */
  readonly accounts: Set<string>
  /** Takes a credential back, as the authority may have it done. */
  revoke(space: string, jti: string): void
  /** Judges a request as it comes over the wire. */
  judge(request: RawRequest): Promise<Verdict>
  /** Somebody reads a repo here by what they hold; what is left out is as it should be. */
  read(held: Held, more?: Shown & { readonly repo?: string; readonly space?: string }): Promise<Verdict>
}

class Refused extends Error {
  readonly verdict: Verdict

  constructor(status: 400 | 401, code: string) {
    super(code)
    this.verdict = `${status} ${code}`
  }
}
const no = (code: string) => new Refused(401, code)

const SKEW_SEC = 5
const LIFETIME_MAX_SEC = 3600
const TYP = 'atproto-space-credential+jwt'
const KEY_NAMES = new Set(['atproto', 'atproto_space'])

export function playRepoHost(given: {
  readonly plcUrl: string
  readonly clock: { nowMs(): number }
  readonly generation: Binding
  readonly cache?: keyof typeof CACHE_RULES
  readonly url?: string
  readonly account?: string
}): PlayedRepoHost {
  const { plcUrl, clock, generation, cache = 'reference' } = given
  const { url = 'https://pds.example.com', account = `did:plc:${'w'.repeat(24)}` } = given
  const documents = new PlayedDocuments({ plcUrl, clock, rule: CACHE_RULES[cache] })
  const accounts = new Set([account])
  const revoked = new Set<string>()
  const seenProofs = new Set<string>()
  const nowSec = () => Math.floor(clock.nowMs() / 1000)

  const judgeOrThrow = async (request: RawRequest): Promise<void> => {
    const { space, repo } = askedFor(request)
    const token = credentialIn(request, generation)
    const { header, claims } = partsOf(token)
    checkClaims(header, claims, generation, nowSec())
    await checkSignature(documents, token, header, claims)
    const authority = parseSpaceUri(claims.sub)?.authority
    if (authority === undefined) throw no('BadJwtSub')
    if (claims.iss !== authority) throw no('BadJwtIss')
    const about = { request, token, url: url + READ_PATH, nowSec: nowSec() }
    const fault =
      generation === 'august'
        ? await dpopFault({ ...about, jkt: String(claims.cnf?.jkt), seen: seenProofs })
        : await signatureFault({ ...about, holder: String(claims.cnf?.kid) })
    if (fault !== null) throw no(fault)
    if (generation === 'october') {
      if (revoked.has(`${claims.sub} ${claims.jti}`)) throw no('CredentialRevoked')
      if (audienceIn(request) !== repo) throw no('BadSpaceAudience')
    }
    if (claims.sub !== space) throw new Refused(400, 'InvalidCredential')
    if (!accounts.has(repo)) throw new Refused(400, 'RepoNotFound')
  }

  const judge = async (request: RawRequest): Promise<Verdict> => {
    try {
      await judgeOrThrow(request)
      return '200'
    } catch (error) {
      if (error instanceof Refused) return error.verdict
      throw error
    }
  }

  return {
    name: `${generation}, ${cache}`,
    ...{ url, generation, documents, accounts, judge },
    revoke: (space, jti) => void revoked.add(`${space} ${jti}`),
    read(held, { repo = account, space = held.space, ...shown } = {}) {
      const made = presentationOf({ url, clock: { nowSec } as never }, held, {
        audience: repo,
        ...shown,
        proof: { url: url + READ_PATH, ...shown.proof },
      })
      const query = new URLSearchParams({ space, repo, collection: 'com.atmoboards.post' })
      return judge({ ...made, path: `${READ_PATH}?${query}` })
    },
  }
}

const audienceIn = (request: RawRequest): string => linesOf(request, 'atproto-space-audience').join()

function askedFor({ path }: RawRequest): { space: string; repo: string } {
  const query = new URL(path, 'http://localhost').searchParams
  return { space: query.get('space') ?? '', repo: query.get('repo') ?? '' }
}

function credentialIn(request: RawRequest, generation: Binding): string {
  const [line, ...more] = linesOf(request, 'authorization')
  if (generation === 'october' && more.length > 0) throw no('BadSpaceSignature')
  if (line === undefined) throw no(generation === 'august' ? 'AuthMissing' : 'MissingJwt')
  const [scheme = '', token = ''] = line.split(' ')
  if (generation === 'october') {
    if (scheme.toLowerCase() !== 'atproto-space' || token === '') throw no('MissingJwt')
    return token
  }
  if (scheme.toLowerCase() === 'bearer') throw new Refused(400, 'InvalidToken')
  if (scheme.toLowerCase() !== 'dpop' || token === '') throw no('MissingJwt')
  return token
}

interface Header {
  readonly typ?: unknown
  readonly alg?: unknown
  readonly kid?: unknown
}

interface Claims {
  readonly iss: string
  readonly sub: string
  readonly iat?: unknown
  readonly exp?: unknown
  readonly jti?: unknown
  readonly cnf?: { readonly jkt?: unknown; readonly kid?: unknown }
}

function partsOf(token: string): { header: Header; claims: Claims } {
  const parts = token.split('.')
  try {
    if (parts.length !== 3) throw new Error('not three parts')
    const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()))
    return { header, claims }
  } catch {
    throw no('BadJwt')
  }
}

/** Everything that can be said without a key. August looks at neither `iat` nor the whole lifetime, and wants no `jti`. */
function checkClaims({ typ, alg }: Header, claims: Claims, generation: Binding, nowSec: number): void {
  // August takes anything else for an OAuth token of its own, and wants a nonce for it.
  if (typ !== TYP) throw no(generation === 'august' ? 'use_dpop_nonce' : 'BadJwtType')
  if (typeof alg !== 'string' || alg === '') throw no('BadJwt')
  if (typeof claims.iss !== 'string') throw no('BadJwtIss')
  if (typeof claims.sub !== 'string') throw no('BadJwtSub')
  const { iat, exp, jti, cnf } = claims
  if (typeof exp !== 'number') throw no('BadJwt')
  if (generation === 'august') {
    if (nowSec - SKEW_SEC >= exp) throw no('JwtExpired')
    if (typeof cnf?.jkt !== 'string') throw no('BadJwtCnf')
    return
  }
  if (typeof jti !== 'string' || jti === '') throw no('BadJwt')
  if (typeof cnf?.kid !== 'string' || !cnf.kid.startsWith('did:')) throw no('BadJwtCnf')
  if (typeof iat !== 'number' || exp <= iat || exp - iat > LIFETIME_MAX_SEC) throw no('BadJwt')
  if (iat > nowSec + SKEW_SEC) throw no('BadJwt')
  if (nowSec - SKEW_SEC >= exp) throw no('JwtExpired')
}

async function checkSignature(documents: PlayedDocuments, token: string, { alg, kid }: Header, { iss }: Claims) {
  const name = typeof kid === 'string' ? kid.replace(/^#/, '') : ''
  if (!KEY_NAMES.has(name)) throw no('BadJwt')
  if (iss.includes('#')) throw no('BadJwtIss')
  const at = token.lastIndexOf('.')
  const signed = Buffer.from(token.slice(0, at))
  const signature = Buffer.from(token.slice(at + 1), 'base64url')
  const fits = async (key: string): Promise<boolean> => {
    try {
      return await verifySignature(key, signed, signature, { jwtAlg: String(alg) })
    } catch {
      // A key of another algorithm than the header names: thrown before anybody thinks of looking again.
      throw no('BadJwtSignature')
    }
  }
  const key = await keyOf(documents, iss, name, false)
  if (await fits(key)) return
  const anew = await keyOf(documents, iss, name, true)
  if (anew === key || !(await fits(anew))) throw no('BadJwtSignature')
}

async function keyOf(documents: PlayedDocuments, did: string, name: string, forced: boolean): Promise<string> {
  let document: PlayedDocument | null
  try {
    document = await documents.resolve(did, forced)
  } catch {
    throw no('BadJwt')
  }
  const key = document && keyNamed(document, name)
  if (key === null) throw no('BadJwtIss')
  return key
}
