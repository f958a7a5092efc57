/**
 * An owner's own two keys, in files of theirs: an age identity, which opens what only they may read, and a P-256 key, by which they
 * confirm what a stolen session must not be able to do.
 *
 * Each file is readable by its owner alone, and refused when others can read it. Both are forms that other programs read: `age -d -i
 * seal.key`, `openssl pkey -in sign.key`. The library takes an identity as text, which can't be wiped: it is gone with the process of
 * the tool, and no service ever reads these files.
 */
import { closeSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { toBase64Url, utf8 } from '../platform/bytes.ts'
import { makeFile, openToRead, removeFile } from '../platform/kept-files.ts'
import { makeIdentity, openWith, recipientOf } from './age.ts'
import { type ActClaim, actWords, type OpenerClaim, openerWords, statementWords } from './ceremony-statements.ts'
import {
  type KeeperClaim,
  type KeeperKeys,
  keeperStatement,
  type StepUpClaim,
  stepUpStatement,
} from './keeper-statements.ts'
import { type KeyPair, makeKeyPair, signCompact } from './private-keys.ts'
import { assertOpens, assertPrivate, fromPem, KEY_FILE, pemOf, readAll } from './recovery-key.ts'
import { secretBytes } from './secret-bytes.ts'

/** An owner's keys, open. They say their public halves, and do these five things. */
export interface OpenKeeper extends KeeperKeys {
  /** The proof that an enrolment demands: 64 bytes r‖s in base64url. */
  proofFor(claim: Omit<KeeperClaim, keyof KeeperKeys>): string
  /** The signature of a step up, in base64url. The caller has shown it to the one whose key this is. */
  confirm(claim: StepUpClaim): string
  /** The signature of an act in a ceremony, in base64url. The caller has shown what it is for. */
  act(claim: ActClaim): string
  /** That an opener is theirs, in base64url. */
  vouch(claim: OpenerClaim): string
  /** The signature under a ceremony's statement, as whoever asks the other keepers without a service. */
  begin(statement: Uint8Array): string
  /** What is in a file for the identity; null when it is for others. The caller wipes it. */
  open(file: Uint8Array): Promise<Uint8Array | null>
}

const SEAL_FILE = 'seal.key'
const SIGN_FILE = 'sign.key'
const FILE_MAX_BYTES = 4_096
const IDENTITY = /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/m

/**
 * Makes both keys in a folder, which is made where there is none, and opens them as anybody would.
 * @throws Error when one of the two files is there already, or they can't be made whole: then neither is left
 */
export async function makeKeeperFiles(folder: string): Promise<KeeperKeys> {
  const [seal, sign] = [join(folder, SEAL_FILE), join(folder, SIGN_FILE)]
  for (const path of [seal, sign])
    if (existsSync(path)) throw new Error('there are keys in that folder already, and they stay')
  makeFolder(folder)
  const { identity, recipient } = await makeIdentity()
  const pair = makeKeyPair('p256')
  newKeyFile(seal, utf8(`# public key: ${recipient}\n${identity}\n`))
  try {
    newKeyFile(sign, pemOf(pair))
    const { sealKey, signKey } = await openKeeper(folder)
    assertOpens(sign, () => sealKey === recipient && signKey === pair.didKey)
  } catch (error) {
    removeFile(seal)
    throw error
  }
  return { sealKey: recipient, signKey: pair.didKey }
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new Error(`the folder of the keys cannot be made (${code})`)
  }
}

/** Wipes the text. */
function newKeyFile(path: string, text: Uint8Array): void {
  try {
    makeFile(path, text, KEY_FILE)
  } finally {
    text.fill(0)
  }
}

/**
 * Opens the keys in a folder. @throws OpenSecret for a file that others may read, before any byte of either was read; Error when there is
 * none, or no key in it. Nothing that is thrown says anything of what was read.
 */
export async function openKeeper(folder: string): Promise<OpenKeeper> {
  const files: number[] = []
  try {
    for (const name of [SEAL_FILE, SIGN_FILE]) files.push(openToRead(join(folder, name), KEY_FILE.what))
    for (const file of files) assertPrivate(file)
    const [seal = -1, sign = -1] = files
    const identity = read(seal, (text) => IDENTITY.exec(Buffer.from(text).toString('latin1'))?.[0] ?? null)
    const pair = read(sign, fromPem)
    return lent(identity, await recipientOf(identity), pair)
  } finally {
    for (const file of files) closeSync(file)
  }
}

function read<T>(file: number, parse: (text: Uint8Array) => T | null): T {
  const text = secretBytes(FILE_MAX_BYTES)
  try {
    const found = parse(text.subarray(0, readAll(file, text)))
    if (found === null) throw new Error(`there is no key of that kind in ${SEAL_FILE} or ${SIGN_FILE}`)
    return found
  } finally {
    text.fill(0)
  }
}

function lent(identity: string, sealKey: string, pair: KeyPair): OpenKeeper {
  const keys = { sealKey, signKey: pair.didKey }
  const sign = (statement: Uint8Array): string => toBase64Url(signCompact(pair, statement))
  return {
    ...keys,
    proofFor: (claim) => sign(keeperStatement({ ...claim, ...keys })),
    confirm: (claim) => sign(stepUpStatement(claim)),
    vouch: (claim) => sign(openerWords(claim)),
    act: (claim) => sign(actWords(claim)),
    begin: (statement) => sign(statementWords(statement)),
    open: (file) => openWith(identity, file),
  }
}
