/**
 * A recovery key in a file of its owner's: made, taken in, lent for the three signatures that it is for.
 *
 * Whoever has this file has the community, so it is made readable by its owner alone, and refused when others can read it: a key that
 * lay open may have been copied. What is written is PKCS#8 in PEM, which `openssl pkey -in <file>` reads, so that nobody needs this program for
 * their own key. Three spellings are taken in: that one, 64 hexadecimal characters, and the multibase of other atproto tools.
 */
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { closeSync, fstatSync, readSync } from 'node:fs'
import { isatty } from 'node:tty'
import { encode } from '@ipld/dag-cbor'
import type { DidKey } from '../names.ts'
import { toBase64Url, utf8 } from '../platform/bytes.ts'
import { type Curve, compressedPointOf } from '../platform/ecdsa.ts'
import { makeFile, openToRead, removeFile } from '../platform/kept-files.ts'
import { didKeyOf } from '../platform/multikey.ts'
import { type OwnershipClaim, ownershipWords } from './ceremony-statements.ts'
import { importPrivateKey, type KeyPair, makeKeyPair, signCompact } from './private-keys.ts'
import { type RecoveryClaim, recoveryStatement } from './recovery-proof.ts'
import { secretBytes } from './secret-bytes.ts'
import { decodeBase58, decodeHex, encodeBase64 } from './secret-spellings.ts'

/** A recovery key, open. It says its public half, and signs nothing but these three things. */
export interface RecoveryKey {
  readonly didKey: DidKey
  /** The proof that a founding demands: 64 bytes r‖s in base64url. */
  proofFor(claim: Omit<RecoveryClaim, 'recoveryKey'>): string
  /** The signature of a PLC operation, in base64url. The caller has judged the operation, and shown it to the one whose key this is. */
  signOperation(unsigned: object): string
  /** The signature by which owners are named, in base64url. The caller has shown whom to the one whose key this is. */
  nameOwners(claim: OwnershipClaim): string
}

/** A key file is open to others, or a secret came by a way on which others see it. Nothing of it was used. */
export class OpenSecret extends Error {
  override readonly name = 'OpenSecret'
}

/** What a key file may measure: a PEM with some lines of remarks. */
const FILE_MAX_BYTES = 4_096
const GROUP_AND_OTHERS = 0o077
const STDIN = 0
const LINE_CHARS = 64
const LINE_FEED = 0x0a
const PEM_BEGIN = utf8('-----BEGIN PRIVATE KEY-----\n')
const PEM_END = utf8('-----END PRIVATE KEY-----\n')

/** Varints 0x1306 and 0x1301 of the multicodec table: private keys, as atproto's tools write them behind `z`. */
const PRIVATE_CODEC: Record<Curve, readonly [number, number]> = { p256: [0x86, 0x26], k256: [0x81, 0x26] }
const SCALAR_BYTES = 32

/**
 * Makes a key (secp256k1, which every PLC tool takes) in a new file of mode 0600, opens that file as anybody would, and answers the public
 * half of what is in it.
 * @throws Error when there is a file already (`EEXIST`), or none can be made whole; OpenSecret where the disk can't close it to others.
 * Then no file is left
 */
export function makeRecoveryKeyFile(path: string): DidKey {
  const pair = makeKeyPair('k256')
  const pem = pemOf(pair)
  try {
    makeFile(path, pem, KEY_FILE)
  } finally {
    pem.fill(0)
  }
  assertOpens(path, () => openRecoveryKey(path).didKey === pair.didKey)
  return pair.didKey
}

/** What a key file is, where one is made. */
export const KEY_FILE = { what: 'the key file', mode: 0o600 }

/** That a key file that was just made opens as the key it is for; if not, it is removed. @throws Error, or whatever opening it throws */
export function assertOpens(path: string, isThatKey: () => boolean): void {
  try {
    if (!isThatKey()) throw new Error('the key file that was made is not the key, so it was not kept')
  } catch (error) {
    removeFile(path)
    throw error
  }
}

/** A private key as PKCS#8 in PEM. The caller wipes it. */
export function pemOf(pair: KeyPair): Uint8Array {
  const der = pair.privateKey.export({ format: 'der', type: 'pkcs8' })
  const text = secretBytes(4 * Math.ceil(der.length / 3))
  const lines = Math.ceil(text.length / LINE_CHARS)
  const pem = secretBytes(PEM_BEGIN.length + text.length + lines + PEM_END.length)
  try {
    encodeBase64(der, text)
    pem.set(PEM_BEGIN)
    for (let line = 0; line < lines; line += 1) {
      const part = text.subarray(line * LINE_CHARS, (line + 1) * LINE_CHARS)
      const place = PEM_BEGIN.length + line * (LINE_CHARS + 1)
      pem.set(part, place)
      pem[place + part.length] = LINE_FEED
    }
    pem.set(PEM_END, pem.length - PEM_END.length)
    return pem
  } finally {
    der.fill(0)
    text.fill(0)
  }
}

/**
 * Opens the key in a file, or on the standard input (`-`).
 * @throws OpenSecret for a file that others may read or that isn't this user's, or a key that somebody would type on the screen; Error when
 * there is no such file, or no key in it. Nothing that is thrown says anything of what was read.
 */
export function openRecoveryKey(source: string): RecoveryKey {
  if (source === '-') {
    if (isatty(STDIN)) throw new OpenSecret('a key is not typed at the screen: put it into a file of mode 0600')
    return keyIn(STDIN)
  }
  const file = openToRead(source, KEY_FILE.what)
  try {
    // Judged by the open file, not by its path, so that nobody changes the one between the look and the reading.
    assertPrivate(file)
    return keyIn(file)
  } finally {
    closeSync(file)
  }
}

/** @throws OpenSecret for an open file that others may read, or that isn't this user's */
export function assertPrivate(file: number): void {
  const status = fstatSync(file)
  if (!status.isFile()) throw new OpenSecret('the key file is not a regular file')
  const uid = process.getuid?.()
  // Where there are no such users, files are not judged by them.
  if (uid === undefined) return
  if (status.uid !== uid) throw new OpenSecret('the key file must belong to the user who runs this')
  if ((status.mode & GROUP_AND_OTHERS) !== 0)
    throw new OpenSecret('the key file is open to others: whoever read it has the key. If nobody did, chmod 600 it')
}

function keyIn(file: number): RecoveryKey {
  const text = secretBytes(FILE_MAX_BYTES + 1)
  try {
    const length = readAll(file, text)
    const pair = length > FILE_MAX_BYTES ? null : keyPairOf(trimmed(text.subarray(0, length)))
    if (!pair)
      throw new Error(
        'there is no private key in the file: PKCS#8 in PEM, 64 hexadecimal characters, or multibase (z…)',
      )
    return lent(pair)
  } finally {
    text.fill(0)
  }
}

const lent = (pair: KeyPair): RecoveryKey => ({
  didKey: pair.didKey,
  proofFor: (claim) => toBase64Url(signCompact(pair, recoveryStatement({ ...claim, recoveryKey: pair.didKey }))),
  signOperation: (unsigned) => toBase64Url(signCompact(pair, encode(unsigned))),
  nameOwners: (claim) => toBase64Url(signCompact(pair, ownershipWords(claim))),
})

/** Fills `into` from an open file, and answers how much there was. */
export function readAll(file: number, into: Uint8Array): number {
  let length = 0
  for (let count = -1; count !== 0 && length < into.length; length += count)
    count = readSync(file, into, length, into.length - length, null)
  return length
}

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

function trimmed(text: Uint8Array): Uint8Array {
  let end = text.length
  while (end > 0 && isSpace(text[end - 1])) end -= 1
  return text.subarray(0, end)
}

/** The key of one of the three spellings; the caller wipes `text`. */
function keyPairOf(text: Uint8Array): KeyPair | null {
  if (text[0] === 0x2d) return fromPem(text)
  return text[0] === 0x7a ? fromMultibase(text.subarray(1)) : fromHex(text)
}

/** The key of a PKCS#8 in PEM, or null. OpenSSL reads the bytes itself, so no text of them is made; the caller wipes `text`. */
export function fromPem(text: Uint8Array): KeyPair | null {
  try {
    const key = Buffer.from(text.buffer, text.byteOffset, text.length)
    const privateKey = createPrivateKey({ key, format: 'pem' })
    const { namedCurve } = privateKey.asymmetricKeyDetails ?? {}
    const curve = namedCurve === 'secp256k1' ? 'k256' : namedCurve === 'prime256v1' ? 'p256' : null
    if (!curve) return null
    return { curve, didKey: didKeyOf(curve, compressedPointOf(createPublicKey(privateKey))), privateKey }
  } catch {
    return null
  }
}

function fromHex(text: Uint8Array): KeyPair | null {
  const scalar = secretBytes(SCALAR_BYTES)
  try {
    return decodeHex(text, scalar) ? importPrivateKey('k256', scalar) : null
  } finally {
    scalar.fill(0)
  }
}

function fromMultibase(text: Uint8Array): KeyPair | null {
  const bytes = secretBytes(2 + SCALAR_BYTES)
  try {
    if (!decodeBase58(text, bytes)) return null
    const curve = (['p256', 'k256'] as const).find((one) => PRIVATE_CODEC[one].every((byte, at) => bytes[at] === byte))
    return curve ? importPrivateKey(curve, bytes.subarray(2)) : null
  } finally {
    bytes.fill(0)
  }
}

const HEX_KEY = /(?<![0-9a-z])(?:0x)?[0-9a-f]{64}(?![0-9a-z])/i
const MULTIBASE_KEY = /(?<![0-9a-z:])z(?:3vL|42t)[1-9A-HJ-NP-Za-km-z]{40,}/
/** How the DER of a private key begins in base64: a sequence, and its version. A public key has no version. */
const DER_KEY = /(?:M[A-H][AEIMQUYcgkosw048]CAQ(?:Aw|EE)|MIG[\w+/-]AgEAM)[\w+/-]{30,}/
/** 32 bytes in base64: 43 characters, as a JWK writes them, or 44 with the padding. */
const SCALAR = /(?<![\w+/.-])(?:([\w-]{42}[AEIMQUYcgkosw048])(?![\w+/.=-])|[\w+/-]{42}[AEIMQUYcgkosw048]=(?![\w+/=-]))/g

/** Names of 43 characters are not that mixed. */
const isMixed = (text: string): boolean => /[A-Z]/.test(text) && /[a-z]/.test(text) && /\d/.test(text)

/** Variables in which somebody who is used to other tools would put this key. */
const KEY_VARIABLE = /RECOVERY|ROTATION|EXIT|KEEPER/i

/** Whether a text that everybody on the machine may see (an argument, a variable) holds what looks like a private key. */
export const looksLikePrivateKey = (text: string): boolean =>
  text.includes('PRIVATE KEY') ||
  text.includes('AGE-SECRET-KEY-') ||
  [HEX_KEY, MULTIBASE_KEY, DER_KEY].some((key) => key.test(text)) ||
  [...text.matchAll(SCALAR)].some(([found]) => isMixed(found))

/** @throws OpenSecret when a key came as an argument, or in a variable named for one: both can be read by others, and stay in histories */
export function assertNoOpenSecret(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): void {
  if (args.some(looksLikePrivateKey))
    throw new OpenSecret('a private key was given as an argument: others can see it. Take it for lost, and replace it')
  for (const [name, value = ''] of Object.entries(environment))
    if (value.includes('AGE-SECRET-KEY-') || (KEY_VARIABLE.test(name) && looksLikePrivateKey(value)))
      throw new OpenSecret('a private key stands in the environment: others can see it. Give it as a file of mode 0600')
}
