/**
 * The key to which shares are sealed for one ceremony, in a file of whoever combines them: made before, named in the statement, of no use
 * for anything after. A P-256 key as PKCS#8 in PEM, readable by its owner alone.
 */
import { closeSync } from 'node:fs'
import { makeFile, openToRead } from '../platform/kept-files.ts'
import { makeKeyPair } from './private-keys.ts'
import { assertOpens, assertPrivate, fromPem, KEY_FILE, pemOf, readAll } from './recovery-key.ts'
import { secretBytes } from './secret-bytes.ts'
import { openShare, sealToOf } from './share-seal.ts'
import type { Share } from './shares.ts'

/** An opener, open. It says its public half, and opens shares that were sealed to it. */
export interface Opener {
  /** An uncompressed P-256 point in unpadded base64url, as a statement names it. */
  readonly sealTo: string
  /** As `openShare`: null for what was sealed to another key, under another statement or for another x. The caller wipes the share. */
  open(sealed: string, at: { readonly statementHash: Uint8Array; readonly x: number }): Promise<Share | null>
}

const FILE_MAX_BYTES = 4_096

/** Makes an opener in a new file, opens that as anybody would, and answers what a statement names. @throws Error as `makeRecoveryKeyFile` */
export function makeOpenerFile(path: string): string {
  const pair = makeKeyPair('p256')
  const pem = pemOf(pair)
  try {
    makeFile(path, pem, KEY_FILE)
  } finally {
    pem.fill(0)
  }
  const sealTo = sealToOf(pair)
  assertOpens(path, () => openOpener(path).sealTo === sealTo)
  return sealTo
}

/**
 * Opens the key in a file. @throws OpenSecret for a file that others may read; Error when there is none, or no such key in it. Nothing that
 * is thrown says anything of what was read.
 */
export function openOpener(path: string): Opener {
  const file = openToRead(path, KEY_FILE.what)
  const text = secretBytes(FILE_MAX_BYTES)
  try {
    assertPrivate(file)
    const pair = fromPem(text.subarray(0, readAll(file, text)))
    if (pair?.curve !== 'p256') throw new Error('there is no opener in the file: reeve keeper opener makes one')
    return { sealTo: sealToOf(pair), open: (sealed, at) => openShare(pair, sealed, at) }
  } finally {
    text.fill(0)
    closeSync(file)
  }
}
