/**
 * The key-encryption key (KEK): the one secret the operator brings, under which every community's DEK is wrapped.
 *
 * There is exactly one way to write a KEK down: 64 lower-case hexadecimal characters, in an environment variable or in a
 * file (which may end its line). A reader that tried several spellings would one day take a right key for a wrong one.
 * No error here repeats what it read, nor a setting that isn't plainly a name: people paste the key itself into the wrong place.
 */
import { createSecretKey } from 'node:crypto'
import { closeSync, fstatSync, readSync } from 'node:fs'
import { sha256 } from '../platform/bytes.ts'
import { makeFile, NotKept, openToRead } from '../platform/kept-files.ts'
import type { Random } from '../platform/random.ts'
import { type DekPlace, SYMMETRIC_KEY_BYTES, unwrapDek, wrapDek } from './envelope.ts'
import { secretBytes } from './secret-bytes.ts'

/** Something that wraps DEKs: a key in this process, or one day a service that never shows its key. */
export interface Kek {
  /** Names the key, so that a wrong one is told apart by name and never by trying. */
  readonly id: string
  /** The wrapped DEK. Takes what it needs of `dek` before it returns its promise: the caller wipes right after the call. */
  wrap(dek: Uint8Array, place: DekPlace): Promise<Uint8Array>
  /** The DEK (32 bytes, off the heap, for the caller to wipe), or null when this is no DEK wrapped for that place by this key. */
  unwrap(wrapped: Uint8Array, place: DekPlace): Promise<Uint8Array | null>
}

export interface KekDeps {
  readEnv(name: string): string | undefined
  /** Whether `env:` may be used: in development, or when the operator allowed it. */
  readonly envIsPermitted: boolean
  readonly random: Random
  /** Who must own a KEK file. Default: the user of this process. Where there are no such users, files are not judged by it. */
  readonly uid?: number
}

const KEK_CHARS = 2 * SYMMETRIC_KEY_BYTES
const ENV_SETTING = /^env:([A-Z_][A-Z0-9_]{0,62})$/
const FILE_SETTING = /^file:((?:\/|[A-Za-z]:[\\/]).*)$/s
const GROUP_AND_OTHERS = 0o077
const LINE_FEED = 0x0a

/**
 * The KEK of a setting: `env:NAME` or `file:/absolute/path`.
 * A file must be a regular file of this user without any permission for group or others, since whoever can read it can read
 * every community's keys. An environment variable stays readable under /proc even after it is deleted, so it is for
 * development, or for an operator who says so.
 * @throws Error with one clear line, for the start to stop on.
 */
export function openKek(setting: string, deps: KekDeps): Kek {
  const name = ENV_SETTING.exec(setting)?.[1]
  if (name !== undefined) return kekFromEnv(name, deps)
  const path = FILE_SETTING.exec(setting)?.[1]
  if (path !== undefined) return kekFromFile(path, deps)
  throw new Error('the key-encryption key is given as env:NAME (capitals, digits, underscores) or file:/absolute/path')
}

/**
 * Makes a KEK file for development, readable by this user alone, if there is nothing at `path`; says whether it did.
 * Never for a real installation: a key that was made beside the database leaves the house with every copy of it.
 */
export function createDevelopmentKek(path: string, random: Random): boolean {
  const key = random.bytes(SYMMETRIC_KEY_BYTES)
  const line = secretBytes(KEK_CHARS + 1)
  try {
    for (const [at, byte] of key.entries()) {
      line[2 * at] = hexDigit(byte >> 4)
      line[2 * at + 1] = hexDigit(byte & 0x0f)
    }
    line[KEK_CHARS] = LINE_FEED
    makeFile(path, line, { what: 'the development key', mode: 0o600 })
    return true
  } catch (error) {
    if (error instanceof NotKept && error.code === 'EEXIST') return false
    throw error
  } finally {
    key.fill(0)
    line.fill(0)
  }
}

function kekFromEnv(name: string, deps: KekDeps): Kek {
  if (!deps.envIsPermitted)
    throw new Error(
      'a key-encryption key in the environment (env:) is for development; give file:, or allow it expressly',
    )
  const value = deps.readEnv(name)
  if (value === undefined || value === '') throw new Error(`the key-encryption key ${name} is not set`)
  const text = secretBytes(KEK_CHARS + 4)
  try {
    const { read, written } = new TextEncoder().encodeInto(value, text)
    return kekOf(text.subarray(0, read === value.length ? written : 0), name, deps.random)
  } finally {
    text.fill(0)
  }
}

function kekFromFile(path: string, deps: KekDeps): Kek {
  const file = openToRead(path, 'the key-encryption key file')
  const text = secretBytes(KEK_CHARS + 2)
  try {
    // Judged by the open file, not by its path, so that nobody changes the one between the look and the reading.
    assertPrivate(file, deps.uid ?? process.getuid?.())
    const count = readSync(file, text, 0, text.length, 0)
    const endsLine = count === KEK_CHARS + 1 && text[KEK_CHARS] === LINE_FEED
    return kekOf(text.subarray(0, endsLine ? KEK_CHARS : count), 'the file', deps.random)
  } finally {
    closeSync(file)
    text.fill(0)
  }
}

function assertPrivate(file: number, uid: number | undefined): void {
  const status = fstatSync(file)
  if (!status.isFile()) throw new Error('the key-encryption key file is not a regular file')
  if (uid === undefined) return
  if (status.uid !== uid) throw new Error('the key-encryption key file must belong to the user that runs Reeve')
  if ((status.mode & GROUP_AND_OTHERS) !== 0)
    throw new Error('the key-encryption key file must be closed to group and others (mode 0400 or 0600)')
}

/** The KEK of 64 hexadecimal characters, kept as a key object. The caller wipes `text`. */
function kekOf(text: Uint8Array, where: string, random: Random): Kek {
  const bytes = secretBytes(SYMMETRIC_KEY_BYTES)
  try {
    if (!decodeHex(text, bytes))
      throw new Error(
        `the key-encryption key in ${where} must be exactly ${KEK_CHARS} lower-case hexadecimal characters`,
      )
    const id = `kek-${Buffer.from(sha256('reeve-kek-id-v1', bytes)).toString('hex').slice(0, 16)}`
    const key = createSecretKey(bytes)
    return {
      id,
      wrap: async (dek, place) => wrapDek(key, id, dek, place, random),
      unwrap: async (wrapped, place) => unwrapDek(key, id, wrapped, place),
    }
  } finally {
    bytes.fill(0)
  }
}

function decodeHex(text: Uint8Array, into: Uint8Array): boolean {
  if (text.length !== 2 * into.length) return false
  return into.every((_, at) => {
    const high = hexValue(text[2 * at] ?? 0)
    const low = hexValue(text[2 * at + 1] ?? 0)
    into[at] = (high << 4) | low
    return high >= 0 && low >= 0
  })
}

const hexDigit = (value: number): number => (value < 10 ? 0x30 + value : 0x61 + value - 10)

function hexValue(char: number): number {
  if (char >= 0x30 && char <= 0x39) return char - 0x30
  if (char >= 0x61 && char <= 0x66) return char - 0x61 + 10
  return -1
}
