/**
 * Service auth whose signature was seen to hold, remembered for minutes, so that whoever asks again with the same token isn't verified
 * again.
 *
 * Only that the signature holds is remembered, under a hash of every byte of the token: what it says, whom it is for and whether it has
 * ended is read from the token itself each time. And for no longer than a document is believed: a key that was replaced is
 * refused as soon as it would be without this.
 */
import { LRUCache } from 'lru-cache'
import { sha256, utf8 } from '../platform/bytes.ts'
import { DID_FRESH_SEC } from '../platform/limits.ts'
import type { KeyOf } from './did-signature.ts'
import { type ServiceAuth, verifyServiceAuthSignature } from './service-auth.ts'

/** At about 200 bytes each. Whoever is forgotten is verified again. */
const REMEMBERED_MAX = 20_000

export class VerifiedTokens {
  readonly #seenAtMs = new LRUCache<string, number>({ max: REMEMBERED_MAX })

  /**
   * Requires the signature of a token whose claims were judged just now. `text` is the token as it came, `nowMs` of a clock that never
   * steps back. @throws Refusal as `verifyServiceAuthSignature`
   */
  async verify(text: string, auth: ServiceAuth, keyOf: KeyOf, nowMs: number): Promise<void> {
    const name = Buffer.from(sha256(utf8(text))).toString('base64')
    const seenAtMs = this.#seenAtMs.get(name)
    if (seenAtMs !== undefined && nowMs - seenAtMs < DID_FRESH_SEC * 1000) return
    await verifyServiceAuthSignature(auth, keyOf)
    this.#seenAtMs.set(name, nowMs)
  }
}
