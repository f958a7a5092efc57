/**
 * Files in the age format, the one place that knows the library: sealed to people's own recipients, so that the ordinary `age`
 * program opens them without any software of ours.
 *
 * Only native X25519 recipients (`age1` and 58 more characters) are taken: each implementation of age reads them. The format has no
 * additional data, so a file says in itself what it is; and it proves nothing about who made it. Whoever opens one has to look into it.
 */
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'

const RECIPIENT = /^age1[02-9ac-hj-np-z]{58}$/

/**
 * Whether this is a recipient to whom a file can be sealed: in its one canonical spelling, with a checksum that holds, and no point
 * for which every sealing would fail on the day.
 */
export async function isRecipient(text: string): Promise<boolean> {
  if (!RECIPIENT.test(text)) return false
  try {
    await sealTo([text], new Uint8Array(1))
    return true
  } catch {
    return false
  }
}

/**
 * A file that each of the recipients can open alone. The caller wipes `plaintext` when this has ended, and not before: the library works on
 * between awaits. It makes one copy of its own, in a buffer of 64 KiB (and of each next 64 KiB over it), together with the key of
 * this file; nobody can wipe those, and they are gone when their memory is used again.
 */
export function sealTo(recipients: readonly string[], plaintext: Uint8Array): Promise<Uint8Array> {
  if (recipients.length === 0) throw new Error('a file for nobody')
  const encrypter = new Encrypter()
  for (const recipient of recipients) encrypter.addRecipient(recipient)
  return encrypter.encrypt(plaintext)
}

/** What is in a file for an identity (`AGE-SECRET-KEY-1…`); null when it is for others, or was changed. The caller wipes it. */
export async function openWith(identity: string, file: Uint8Array): Promise<Uint8Array | null> {
  const decrypter = new Decrypter()
  try {
    decrypter.addIdentity(identity)
    return await decrypter.decrypt(file)
  } catch {
    return null
  }
}

/** A new identity and its recipient. The library's chance is the system's; it hands the identity out as text, which can't be wiped. */
export async function makeIdentity(): Promise<{ readonly identity: string; readonly recipient: string }> {
  const identity = await generateX25519Identity()
  return { identity, recipient: await recipientOf(identity) }
}

/** The recipient of an identity. */
export const recipientOf = (identity: string): Promise<string> => identityToRecipient(identity)
