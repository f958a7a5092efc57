/** The operator's key-encryption key: one spelling, a private file, and errors that never say what they read. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DekPlace } from '../../src/keys/envelope.ts'
import { createDevelopmentKek, type KekDeps, openKek } from '../../src/keys/kek.ts'
import type { Did } from '../../src/names.ts'
import { sha256, utf8 } from '../../src/platform/bytes.ts'
import { systemRandom } from '../../src/platform/random.ts'

/** A key that would be seen anywhere it leaked to. */
const CANARY = `c0ffee${'0123456789abcdef'.repeat(3)}c0ffee9999`
const place: DekPlace = { instanceId: 'instance-1', community: `did:plc:${'a'.repeat(24)}` as Did, dekVersion: 1 }

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reeve-kek-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const deps = (env: Record<string, string> = {}, more: Partial<KekDeps> = {}): KekDeps => ({
  readEnv: (name) => env[name],
  envIsPermitted: true,
  random: systemRandom,
  ...more,
})

function keyFile(content: string, mode = 0o400): string {
  const path = join(folder, 'kek')
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

/** The message of the error that `work` throws; fails when it shows the canary or a good part of it. */
function complaintOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    const everything = inspect(error, { depth: 9, showHidden: true })
    expect(everything.toLowerCase()).not.toContain('c0ffee')
    expect(error).toBeInstanceOf(Error)
    return error instanceof Error ? error.message : ''
  }
  throw new Error('nothing was thrown')
}

describe('a KEK', () => {
  it('comes from a file or from the environment as the same key, named by its own hash', async () => {
    const fromFile = openKek(`file:${keyFile(CANARY)}`, deps())
    const fromEnv = openKek('env:MY_KEK', deps({ MY_KEK: CANARY }))
    const hash = sha256(utf8('reeve-kek-id-v1'), Buffer.from(CANARY, 'hex'))
    expect(fromFile.id).toBe(`kek-${Buffer.from(hash).toString('hex').slice(0, 16)}`)
    expect(fromEnv.id).toBe(fromFile.id)

    const dek = systemRandom.bytes(32)
    const wrapped = await fromFile.wrap(dek, place)
    expect(await fromEnv.unwrap(wrapped, place)).toEqual(dek)
  })

  it('unwraps nothing that another KEK wrapped', async () => {
    const ours = openKek('env:MY_KEK', deps({ MY_KEK: CANARY }))
    const theirs = openKek('env:MY_KEK', deps({ MY_KEK: 'ab'.repeat(32) }))
    expect(theirs.id).not.toBe(ours.id)
    expect(await theirs.unwrap(await ours.wrap(systemRandom.bytes(32), place), place)).toBeNull()
  })

  it('takes in the DEK before it answers, so that the caller may wipe it at once', async () => {
    const kek = openKek('env:MY_KEK', deps({ MY_KEK: CANARY }))
    const dek = systemRandom.bytes(32)
    const copy = Uint8Array.from(dek)
    const wrapping = kek.wrap(dek, place)
    dek.fill(0)
    expect(await kek.unwrap(await wrapping, place)).toEqual(copy)
  })

  it('shows nothing of itself when it is printed', () => {
    const kek = openKek('env:MY_KEK', deps({ MY_KEK: CANARY }))
    const text = `${inspect(kek, { depth: 9, showHidden: true })}${JSON.stringify(kek)}${kek}`
    expect(text).not.toContain('c0ffee')
    expect(text).not.toContain('192, 255, 238')
  })

  it.each([
    ['capitals', CANARY.toUpperCase()],
    ['one character too few', CANARY.slice(1)],
    ['one character too many', `${CANARY}0`],
    ['white space in front', ` ${CANARY}`],
    ['two line ends', `${CANARY}\n\n`],
    ['a Windows line end', `${CANARY}\r\n`],
    ['base64', Buffer.from(CANARY, 'hex').toString('base64')],
    ['a letter past f', `${CANARY.slice(1)}g`],
    ['a character of two bytes', `${CANARY.slice(2)}é`],
    ['raw bytes', Buffer.from(CANARY, 'hex').toString('latin1')],
    ['nothing', ''],
  ])('is refused when it is written with %s', (_, text) => {
    expect(complaintOf(() => openKek(`file:${keyFile(text)}`, deps()))).toContain('64 lower-case hexadecimal')
    expect(complaintOf(() => openKek('env:MY_KEK', deps({ MY_KEK: text })))).toMatch(/64 lower-case|not set/)
  })
})

describe('a KEK in a file', () => {
  it('may end its line', () => {
    const bare = openKek('env:MY_KEK', deps({ MY_KEK: CANARY }))
    expect(openKek(`file:${keyFile(`${CANARY}\n`, 0o600)}`, deps()).id).toBe(bare.id)
  })

  it.each([0o440, 0o404, 0o420, 0o402, 0o410, 0o401, 0o644, 0o660, 0o777])('is refused with mode %o', (mode) => {
    expect(complaintOf(() => openKek(`file:${keyFile(CANARY, mode)}`, deps()))).toContain('group and others')
  })

  it('is judged by what a link leads to', () => {
    const path = keyFile(CANARY, 0o444)
    symlinkSync(path, join(folder, 'link'))
    expect(complaintOf(() => openKek(`file:${join(folder, 'link')}`, deps()))).toContain('group and others')
    chmodSync(path, 0o400)
    expect(openKek(`file:${join(folder, 'link')}`, deps()).id).toMatch(/^kek-[0-9a-f]{16}$/)
  })

  it('is refused when it belongs to somebody else', () => {
    const path = keyFile(CANARY)
    const somebody = statSync(path).uid + 1
    expect(complaintOf(() => openKek(`file:${path}`, deps({}, { uid: somebody })))).toContain('must belong to the user')
  })

  it('is refused when it is a folder or is not there', () => {
    mkdirSync(join(folder, 'folder'), { mode: 0o700 })
    expect(complaintOf(() => openKek(`file:${join(folder, 'folder')}`, deps()))).toContain('not a regular file')
    expect(complaintOf(() => openKek(`file:${join(folder, 'none')}`, deps()))).toContain('ENOENT')
  })
})

describe('a KEK in the environment', () => {
  it('is refused where it is not permitted, before anything is read', () => {
    const reads: string[] = []
    const readEnv = (name: string) => {
      reads.push(name)
      return CANARY
    }
    const complaint = complaintOf(() => openKek('env:MY_KEK', { readEnv, envIsPermitted: false, random: systemRandom }))
    expect(complaint).toContain('env:')
    expect(reads).toEqual([])
  })

  it('is refused when the variable is not set or empty', () => {
    expect(complaintOf(() => openKek('env:MY_KEK', deps()))).toContain('MY_KEK is not set')
    expect(complaintOf(() => openKek('env:MY_KEK', deps({ MY_KEK: '' })))).toContain('MY_KEK is not set')
  })
})

describe('a setting that is neither', () => {
  it.each([
    CANARY,
    `env:${CANARY}`,
    `file:${CANARY}`,
    `hex:${CANARY}`,
    'file:relative/path',
    'file:',
    'env:',
    'env:lower',
    'awskms:arn:aws:kms:eu-west-1:1:key/2',
    'transit:https://bao.example/v1/transit',
    '',
  ])('is told what may stand there, and is not repeated (%#)', (setting) => {
    const complaint = complaintOf(() => openKek(setting, deps()))
    expect(complaint).toContain('env:NAME')
    expect(complaint).toContain('file:/absolute/path')
  })
})

describe('the development key', () => {
  it('is made once, readable by this user alone, and opens as a KEK', () => {
    const path = join(folder, 'development.kek')
    expect(createDevelopmentKek(path, systemRandom)).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readFileSync(path, 'latin1')).toMatch(/^[0-9a-f]{64}\n$/)
    const first = openKek(`file:${path}`, deps()).id
    expect(createDevelopmentKek(path, systemRandom)).toBe(false)
    expect(openKek(`file:${path}`, deps()).id).toBe(first)
  })

  it('holds the bytes that chance gave', () => {
    const path = join(folder, 'development.kek')
    createDevelopmentKek(path, { bytes: () => Uint8Array.from(Buffer.from(CANARY, 'hex')) })
    expect(readFileSync(path, 'latin1')).toBe(`${CANARY}\n`)
  })

  it('says so when it cannot be made', () => {
    expect(complaintOf(() => createDevelopmentKek(join(folder, 'none', 'kek'), systemRandom))).toContain('ENOENT')
  })
})
