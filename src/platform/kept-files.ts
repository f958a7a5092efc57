/**
 * Files that must be whole: all of it is on the disk and was read back, or there is no such file.
 *
 * The system may take less than it was given, and says so only in a number. A key file that was cut on a full disk looks like a key until
 * the day on which it is the only way out; a cut log that took the place of a good one hides who changed an identity.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync as writeToFile,
} from 'node:fs'
import { dirname } from 'node:path'

/** As Node's `writeSync`: answers how many of the `length` bytes from `at` on were taken. */
export type WriteSome = (file: number, bytes: Uint8Array, at: number, length: number) => number

/** A file couldn't be made whole. `code` is the system's, or `CUT`. The path isn't said: it may be anything that was typed in its place. */
export class NotKept extends Error {
  override readonly name = 'NotKept'
  readonly code: string

  constructor(what: string, code: string) {
    super(`${what} cannot be written whole (${code}), so nothing of it was kept`)
    this.code = code
  }
}

export interface NewFile {
  /** What it is, for the words of an error: `the key file`. */
  readonly what: string
  /** Permissions, of which the umask takes its share. */
  readonly mode: number
  readonly write?: WriteSome
}

/**
 * Makes a new file of these bytes, never over another and never through a link, and waits until it and its name are on the disk.
 * @throws NotKept; `EEXIST` when something stands there, which stays. A file that was begun is removed
 */
export function makeFile(path: string, bytes: Uint8Array, { what, mode, write = writeToFile }: NewFile): void {
  const file = opened(path, mode, what)
  try {
    try {
      writeAll(file, bytes, write)
      fsyncSync(file)
      assertReadsBack(file, bytes)
    } finally {
      closeSync(file)
    }
    syncFolderOf(path)
  } catch (error) {
    removeFile(path)
    throw new NotKept(what, codeOf(error))
  }
}

/** Puts new bytes in the place of a file; a crash leaves the one or the other. `path` with `suffix` is where they are made. @throws NotKept */
export function replaceWith(path: string, suffix: string, bytes: Uint8Array, how: NewFile): void {
  const next = `${path}${suffix}`
  makeFile(next, bytes, how)
  try {
    renameSync(next, path)
    syncFolderOf(path)
  } catch (error) {
    removeFile(next)
    throw new NotKept(how.what, codeOf(error))
  }
}

/** Removes a file of ours that is no good. Whether that works changes nothing about the error that is told. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch {}
}

/**
 * Opens a file to be read, without waiting: a pipe that nobody writes to would hold the opener for ever. The caller looks whether it is a file.
 * @throws Error with the system's code and without the path
 */
export function openToRead(path: string, what: string): number {
  try {
    return openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  } catch (error) {
    throw new Error(`${what} cannot be read (${codeOf(error)})`)
  }
}

function opened(path: string, mode: number, what: string): number {
  try {
    return openSync(path, 'wx+', mode)
  } catch (error) {
    throw new NotKept(what, codeOf(error))
  }
}

function writeAll(file: number, bytes: Uint8Array, write: WriteSome): void {
  for (let at = 0; at < bytes.length; ) {
    const count = write(file, bytes, at, bytes.length - at)
    if (count < 1) throw new Cut()
    at += count
  }
}

class Cut extends Error {
  readonly code = 'CUT'
}

function assertReadsBack(file: number, bytes: Uint8Array): void {
  // Off the heap and wiped: it may be a private key. One byte more than there should be.
  const found = new Uint8Array(new ArrayBuffer(Math.max(bytes.length + 1, 4_096)), 0, bytes.length + 1)
  try {
    let length = 0
    for (let count = -1; count !== 0 && length < found.length; length += count)
      count = readSync(file, found, length, found.length - length, length)
    if (length !== bytes.length || !bytes.every((byte, at) => found[at] === byte)) throw new Cut()
  } finally {
    found.fill(0)
  }
}

/** Systems that know no such thing as a folder on the disk, or let nobody read it, are left alone. */
const NO_FOLDER_SYNC: ReadonlySet<string> = new Set(['EPERM', 'EISDIR', 'EACCES', 'EINVAL', 'ENOTSUP'])

function syncFolderOf(path: string): void {
  try {
    const folder = openSync(dirname(path), 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
  } catch (error) {
    if (!NO_FOLDER_SYNC.has(codeOf(error))) throw error
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
