/**
 * Words that we hand out and take back: a cursor, a mark of how far an answer had got. Whoever carries one can neither read it
 * nor make one, so that it may hold what they must not know.
 *
 * Equal texts give equal words: the nonce is drawn from the text (as in RFC 8452, made of HMAC and AES-GCM), so nothing has to be
 * random, and two different texts under one nonce are as likely as two texts with one hash.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import { fromBase64Url, fromUtf8, lengthPrefixed, sha256, toBase64Url, utf8 } from './bytes.ts'

const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Texts are filled up to a multiple of this, so that a word tells little by its length. */
const STEP_CHARS = 128

export class SealedWords {
  readonly #nonceKey: Uint8Array
  readonly #key: Uint8Array

  /** Every process of an instance has the same `secret`, and understands the others' words. */
  constructor(secret: string) {
    this.#nonceKey = sha256(lengthPrefixed('reeve-words-nonce-v1', secret))
    this.#key = sha256(lengthPrefixed('reeve-words-v1', secret))
  }

  /** A word for `text`, good for `use` only. The text ends in no blank. */
  seal(use: string, text: string): string {
    const padded = text.padEnd(Math.ceil(text.length / STEP_CHARS) * STEP_CHARS)
    const nonce = createHmac('sha256', this.#nonceKey)
      .update(lengthPrefixed(use, padded))
      .digest()
      .subarray(0, NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce)
    cipher.setAAD(utf8(use))
    const sealed = Buffer.concat([cipher.update(padded, 'utf8'), cipher.final()])
    return toBase64Url(Buffer.concat([nonce, sealed, cipher.getAuthTag()]))
  }

  /** The text of a word, or null when it is none of ours, or for another use. */
  open(use: string, word: string): string | null {
    const bytes = fromBase64Url(word)
    if (!bytes || bytes.length < NONCE_BYTES + TAG_BYTES) return null
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    })
    decipher.setAAD(utf8(use))
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      const padded = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
      return fromUtf8(padded)?.trimEnd() ?? null
    } catch {
      return null
    }
  }
}
