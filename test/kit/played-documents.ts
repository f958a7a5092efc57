/**
 * DID documents as repo hosts remember them, from a real directory and by any clock: the reference's cache, and a modest one.
 *
 * The reference serves what it has for an hour, then goes on serving it while it looks again, and stops after a day. A document that nobody
 * asks for grows old all that time, so what it says may be a day behind.
 */
import { formatDidKey, multibaseToBytes, P256_JWT_ALG, parseMultikey, SECP256K1_JWT_ALG } from '@atproto/crypto'

interface Method {
  readonly id: string
  readonly type: string
  readonly publicKeyMultibase?: string
}

export interface PlayedDocument {
  readonly id: string
  readonly verificationMethod?: readonly Method[]
}

/** How long a document is served. `forcePauseMs`: whoever wants it anew gets the one that is there, when that is no older. */
export interface CacheRule {
  readonly freshMs: number
  readonly limitMs: number
  readonly forcePauseMs: number
}

const MINUTE_MS = 60_000
export const CACHE_RULES = {
  reference: { freshMs: 60 * MINUTE_MS, limitMs: 24 * 60 * MINUTE_MS, forcePauseMs: 0 },
  modest: { freshMs: 5 * MINUTE_MS, limitMs: 5 * MINUTE_MS, forcePauseMs: 30_000 },
} as const satisfies Readonly<Record<string, CacheRule>>

interface Entry {
  readonly document: PlayedDocument
  readonly atMs: number
}

export class PlayedDocuments {
  readonly #given: { readonly plcUrl: string; readonly clock: { nowMs(): number }; readonly rule: CacheRule }
  readonly #entries = new Map<string, Entry>()
  #refreshing: Promise<unknown>[] = []
  /** How often the directory was asked. */
  asked = 0

  constructor(given: { plcUrl: string; clock: { nowMs(): number }; rule: CacheRule }) {
    this.#given = given
  }

  /** The document, or null when the directory says that there is none. `forced`: not the one that is remembered. @throws when it can't be had */
  async resolve(did: string, forced = false): Promise<PlayedDocument | null> {
    const { clock, rule } = this.#given
    const entry = this.#entries.get(did)
    const ageMs = entry ? clock.nowMs() - entry.atMs : Number.POSITIVE_INFINITY
    if (entry && (forced ? ageMs < rule.forcePauseMs : ageMs <= rule.limitMs)) {
      if (!forced && ageMs > rule.freshMs) this.#refreshing.push(this.#look(did, entry).catch(() => null))
      return entry.document
    }
    return this.#look(did, forced ? undefined : entry)
  }

  /** Waits for what is being looked at again behind somebody's back. */
  async settled(): Promise<void> {
    const refreshing = this.#refreshing
    this.#refreshing = []
    await Promise.all(refreshing)
  }

  /** What comes back takes the place of `former` only, as long as that is still there. */
  async #look(did: string, former: Entry | undefined): Promise<PlayedDocument | null> {
    const { plcUrl, clock } = this.#given
    this.asked += 1
    const answer = await fetch(`${plcUrl}/${encodeURIComponent(did)}`, { redirect: 'error' })
    if (answer.status === 404) {
      this.#entries.delete(did)
      return null
    }
    if (!answer.ok) throw new Error(`the directory answered ${answer.status}`)
    const document = (await answer.json()) as PlayedDocument
    if (document.id !== did) throw new Error('the document is of another DID')
    if (!former || this.#entries.get(did) === former) this.#entries.set(did, { document, atMs: clock.nowMs() })
    return document
  }
}

/** The key under exactly that name, as a did:key; null when there is none, or none that can be read. */
export function keyNamed({ id, verificationMethod = [] }: PlayedDocument, name: string): string | null {
  const method = verificationMethod.find((one) => one.id === `#${name}` || one.id === `${id}#${name}`)
  if (!method?.publicKeyMultibase) return null
  try {
    if (method.type === 'Multikey') {
      const { jwtAlg, keyBytes } = parseMultikey(method.publicKeyMultibase)
      return formatDidKey(jwtAlg, keyBytes)
    }
    const alg = LEGACY[method.type]
    return alg === undefined ? null : formatDidKey(alg, multibaseToBytes(method.publicKeyMultibase))
  } catch {
    return null
  }
}

const LEGACY: Readonly<Record<string, string>> = {
  EcdsaSecp256r1VerificationKey2019: P256_JWT_ALG,
  EcdsaSecp256k1VerificationKey2019: SECP256K1_JWT_ALG,
}
