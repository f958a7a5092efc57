/**
 * Service auth whose signature was seen to hold, remembered, so that whoever asks again with the same token isn't verified again.
 *
 * Only that a key signed the token is remembered, under a hash of the key and of every byte of the token: what it says, whom it is for and
 * whether it has ended is read from the token itself each time, and the key is the one that its issuer has now, as far as anybody here knows. So
 * a key that was replaced is refused as soon as it would be without this.
 */

import { LRUCache } from 'lru-cache'
import { hashName, toBase64Url } from '../platform/bytes.ts'
import type { PublicKey } from '../platform/ecdsa.ts'
import type { Sizes } from '../platform/sizes.ts'
import type { KeyOf } from './did-signature.ts'
import { type ServiceAuth, verifyServiceAuthSignature } from './service-auth.ts'

/** At about 200 bytes each. Whoever is forgotten is verified again. */
const REMEMBERED_MAX = 20_000

export class VerifiedTokens {
  readonly #held = new LRUCache<string, true>({ max: REMEMBERED_MAX })

  constructor(sizes?: Sizes) {
    sizes?.kept('verified tokens', REMEMBERED_MAX, () => this.#held.size)
  }

  /**
   * Requires the signature of a token whose claims were judged just now. `text` is the token as it came.
   * @throws Refusal as `verifyServiceAuthSignature`
   */
  async verify(text: string, auth: ServiceAuth, keyOf: KeyOf): Promise<void> {
    const now = await keyOf(auth.iss, { fresh: false })
    if (now && this.#held.get(nameOf(now, text))) return
    let key = now
    await verifyServiceAuthSignature(auth, async (did, ask) => {
      if (ask.fresh) key = await keyOf(did, ask)
      return key
    })
    if (key) this.#held.set(nameOf(key, text), true)
  }
}

/** No blank is in what stands before the token. */
const nameOf = ({ curve, compressed }: PublicKey, text: string): string =>
  hashName(`${curve} ${toBase64Url(compressed)} ${text}`)
