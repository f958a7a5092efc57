/**
 * One process per data directory.
 *
 * PGlite does not look: two processes on one directory were both told that their rows were kept, and up to all of them were
 * lost without a word. So nobody opens it without this lock, and a lock is taken over only from a holder that is certainly
 * dead. It guards processes on one machine; a directory shared between machines is not protected.
 */
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { sleep } from './clock.ts'
import { lifeOf, ownMark, type ProcessMark } from './process-mark.ts'
import { randomHex, systemRandom } from './random.ts'

export interface DirectoryLock {
  release(): void
}

/** Another process has the directory, or had it and we can't see whether it still lives. */
export class DirectoryHeld extends Error {
  override readonly name = 'DirectoryHeld'
  readonly pid: number

  constructor(directory: string, holder: Holder, isHidden: boolean) {
    const advice = isHidden
      ? `in another container, where this one can't see it; if it is gone for good, delete ${join(directory, LOCK)}`
      : 'which still runs; stop it first'
    super(`the data directory ${directory} is held by process ${holder.pid}, ${advice}`)
    this.pid = holder.pid
  }
}

interface Holder extends ProcessMark {
  /** Random, so that every taking of the lock differs from every other. */
  readonly nonce: string
}

const LOCK = 'lock'
const DRAFT = 'lock.draft-'
const CLAIM = 'lock.claim-'
/** Together well under a second. */
const PAUSES_MAX = 100
const PAUSE_MS = 8

/**
 * Takes the lock of an existing directory.
 *
 * The lock appears whole and only where there was none (a hard link to a finished file), so there is one winner. A dead
 * holder's lock is replaced, never deleted, by whoever is alone among the living claims; see `replaceDead`.
 *
 * @throws DirectoryHeld naming the process that has it, in less than a second, having touched nothing but its own files.
 * @throws Error when the file that is there is no lock of ours, or another process stopped halfway through taking over.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const own: Holder = { ...ownMark(), nonce: randomHex(systemRandom, 16) }
  const draft = join(directory, DRAFT + own.nonce)
  try {
    writeWhole(draft, JSON.stringify(own))
    await take(directory, draft, own)
  } finally {
    rmSync(draft, { force: true })
  }
  removeDead(directory, DRAFT, own)
  return {
    release() {
      if (readHolder(join(directory, LOCK))?.nonce === own.nonce) rmSync(join(directory, LOCK))
    },
  }
}

async function take(directory: string, draft: string, own: Holder): Promise<void> {
  const lock = join(directory, LOCK)
  let pauses = 0
  const pause = async () => {
    if (++pauses > PAUSES_MAX) {
      throw new Error(`another process is taking over ${directory} and does not finish; its mark there is ${CLAIM}…`)
    }
    await sleep(PAUSE_MS)
  }
  while (!linkIfFree(draft, lock)) {
    const holder = readHolder(lock)
    if (holder === null) continue
    const life = lifeOf(holder, own)
    if (life !== 'dead') throw new DirectoryHeld(directory, holder, life === 'hidden')
    if (await replaceDead(directory, draft, own, pause)) return
    await pause()
  }
}

/**
 * Replaces the lock of a dead holder. Each process that wants to puts up a claim first and only then looks for the claims of
 * others; who sees a living one does not act. Of any two, the one whose claim came second sees the first, so never do both
 * act, and between looking at the lock and replacing it nobody else can have replaced it. The smallest name waits for the
 * others to step back, so somebody always gets on. False: look at the lock again.
 */
async function replaceDead(
  directory: string,
  draft: string,
  own: Holder,
  pause: () => Promise<void>,
): Promise<boolean> {
  const claim = join(directory, CLAIM + own.nonce)
  const lock = join(directory, LOCK)
  try {
    linkSync(draft, claim)
    for (;;) {
      const rivals = livingClaims(directory, own)
      const holder = readHolder(lock)
      if (holder === null || lifeOf(holder, own) !== 'dead') return false
      if (rivals.length === 0) {
        renameSync(draft, lock)
        return true
      }
      if (rivals.some((rival) => rival < own.nonce)) return false
      await pause()
    }
  } finally {
    rmSync(claim, { force: true })
  }
}

/** The nonces of other processes' claims. Claims of the dead are cleared away: their names are never used again. */
function livingClaims(directory: string, own: Holder): string[] {
  removeDead(directory, CLAIM, own)
  return readdirSync(directory)
    .filter((name) => name.startsWith(CLAIM))
    .map((name) => name.slice(CLAIM.length))
    .filter((nonce) => nonce !== own.nonce)
}

function removeDead(directory: string, prefix: string, own: Holder): void {
  for (const name of readdirSync(directory)) {
    if (!name.startsWith(prefix)) continue
    const path = join(directory, name)
    const holder = parseHolder(textOf(path) ?? '')
    if (holder !== null && lifeOf(holder, own) === 'dead') rmSync(path, { force: true })
  }
}

function linkIfFree(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** On disk before anybody can see it as a lock, so that not even a power cut leaves a lock that can't be read. */
function writeWhole(path: string, text: string): void {
  const file = openSync(path, 'wx', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** The holder named in a lock, or null when there is no such file. @throws Error when it is no lock of ours. */
function readHolder(path: string): Holder | null {
  const text = textOf(path)
  if (text === null) return null
  const holder = parseHolder(text)
  if (holder === null) throw new Error(`${path} is no lock of ours; if nothing else uses the directory, delete it`)
  return holder
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

function parseHolder(text: string): Holder | null {
  try {
    const value: unknown = JSON.parse(text)
    return isHolder(value) ? value : null
  } catch {
    return null
  }
}

function isHolder(value: unknown): value is Holder {
  if (typeof value !== 'object' || value === null) return false
  const { pid, nonce, bootId, pidNamespace, startTicks }: Partial<Record<keyof Holder, unknown>> = value
  const isTextOrNull = (field: unknown) => field === null || typeof field === 'string'
  return (
    Number.isSafeInteger(pid) &&
    typeof nonce === 'string' &&
    nonce.length > 0 &&
    [bootId, pidNamespace, startTicks].every(isTextOrNull)
  )
}

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined)
