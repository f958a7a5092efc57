/** Files that commands read and write: read whole and bounded, written new and never over another. None of them is a secret. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { utf8 } from '../platform/bytes.ts'
import { makeFile, replaceWith } from '../platform/kept-files.ts'
import { randomHex, systemRandom } from '../platform/random.ts'

const NEW_FILE = { what: 'a file', mode: 0o666 }

/** A file holds no JSON. */
export class NoJson extends Error {
  override readonly name = 'NoJson'
}

/** The JSON of a file. @throws NoJson; Error in words when it can't be read, or is longer than `maxBytes` */
export function readJsonFile(path: string, maxBytes: number): unknown {
  try {
    return JSON.parse(readBytes(path, maxBytes).toString('utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) throw new NoJson('a file that should be JSON is not')
    throw error
  }
}

/** A file's bytes. @throws Error in words when it can't be read, or is longer than `maxBytes` */
export function readBytes(path: string, maxBytes: number): Buffer {
  const file = opened(path)
  try {
    const bytes = Buffer.alloc(maxBytes + 1)
    let length = 0
    for (let count = -1; count !== 0 && length < bytes.length; length += count)
      count = readSync(file, bytes, length, bytes.length - length, null)
    if (length > maxBytes) throw new Error('a file is longer than anything of its kind')
    return bytes.subarray(0, length)
  } finally {
    closeSync(file)
  }
}

/** @throws Error in words when something stands there already: what somebody kept is never written over */
export function assertNewFile(path: string): void {
  if (path === '-' || path === '') throw new Error('a file is needed here')
  if (existsSync(path)) throw new Error('there is a file of that name already, and it stays: choose another name')
}

/** Writes a new file, whole and on the disk, or none. @throws Error in words */
export function writeNewFile(path: string, text: string): void {
  assertNewFile(path)
  makeFile(path, utf8(text), NEW_FILE)
}

/**
 * Puts a new text in the place of one that this tool wrote before; a crash leaves the one or the other. It is made under a name that nobody
 * can have put something under.
 */
export function replaceFile(path: string, text: string): void {
  replaceWith(path, `.${randomHex(systemRandom, 8)}.new`, utf8(text), NEW_FILE)
}

function opened(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new Error(`a file cannot be read (${code})`)
  }
}
