/** Files that are whole or not there: what a disk may do to them, and what may stand in their way. */
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeFile, NotKept, replaceWith, type WriteSome } from '../../src/platform/kept-files.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reeve-kept-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const TEXT = Buffer.from('all of it, to the last letter')
const someAtATime: WriteSome = (file, bytes, at, length) => writeSync(file, bytes, at, Math.min(5, length))
const diskOf = (room: number): WriteSome => {
  let left = room
  return (file, bytes, at, length) => {
    if (left === 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    const count = Math.min(left, length)
    left -= count
    return writeSync(file, bytes, at, count)
  }
}
const how = (write?: WriteSome) => ({ what: 'the thing', mode: 0o600, ...(write ? { write } : {}) })
const place = () => join(folder, 'kept')

describe('a new file', () => {
  it('is whole where the disk takes a little at a time', () => {
    makeFile(place(), TEXT, how(someAtATime))
    expect(readFileSync(place())).toEqual(TEXT)
    expect(statSync(place()).mode & 0o777).toBe(0o600)
  })

  it.each([0, 1, 5, TEXT.length - 1])('is not there where the disk is full after %i bytes', (room) => {
    expect(() => makeFile(place(), TEXT, how(diskOf(room)))).toThrow('the thing cannot be written whole (ENOSPC)')
    expect(readdirSync(folder)).toEqual([])
  })

  it('is not there where the disk takes nothing and says so only in a number', () => {
    expect(() =>
      makeFile(
        place(),
        TEXT,
        how(() => 0),
      ),
    ).toThrow(NotKept)
    expect(readdirSync(folder)).toEqual([])
  })

  it.each<[string, WriteSome]>([
    ['less than it says', (_file, _bytes, _at, length) => length],
    ['something else', (file, bytes, at, length) => writeSync(file, bytes.toReversed(), at, length)],
    [
      'more than it was given',
      (file, bytes, at, length) => writeSync(file, bytes, at, length) && writeSync(file, '!') * length,
    ],
  ])('is not there where the disk keeps %s', (_what, write) => {
    expect(() => makeFile(place(), TEXT, how(write))).toThrow('(CUT)')
    expect(readdirSync(folder)).toEqual([])
  })

  it('takes no other file’s place, and goes through no link', () => {
    writeFileSync(place(), 'mine')
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'link'))
    for (const path of [place(), join(folder, 'link')])
      expect(() => makeFile(path, TEXT, how())).toThrow(expect.objectContaining({ code: 'EEXIST' }))
    expect(readFileSync(place(), 'utf8')).toBe('mine')
    expect(readdirSync(folder).toSorted()).toEqual(['kept', 'link'])
  })
})

describe('a file that is replaced', () => {
  it('is the old one where the new one could not be made whole', () => {
    writeFileSync(place(), 'old')
    expect(() => replaceWith(place(), '.new', TEXT, how(diskOf(3)))).toThrow(NotKept)
    expect(readFileSync(place(), 'utf8')).toBe('old')
    expect(readdirSync(folder)).toEqual(['kept'])
    replaceWith(place(), '.new', TEXT, how(someAtATime))
    expect(readFileSync(place())).toEqual(TEXT)
  })

  it('writes through no link that somebody laid where it is made', () => {
    writeFileSync(place(), 'old')
    writeFileSync(join(folder, 'theirs'), 'theirs')
    symlinkSync(join(folder, 'theirs'), join(folder, 'kept.new'))
    expect(() => replaceWith(place(), '.new', TEXT, how())).toThrow(NotKept)
    expect(readFileSync(join(folder, 'theirs'), 'utf8')).toBe('theirs')
    expect(lstatSync(join(folder, 'kept.new')).isSymbolicLink()).toBe(true)
  })
})
