/**
 * Leaving, while somebody works against it at the very place where it is done: on the disk that is full, at the terminal, between the
 * question and the answer, in the words that strangers may write, and with the community's own key.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { newHomeBytes } from '../../src/identity/new-home.ts'
import { openRecoveryKey } from '../../src/keys/recovery-key.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { runCli } from '../kit/cli.ts'
import { type FakePlc, startFakePlc } from '../kit/fake-plc.ts'
import {
  atHome,
  foundLeaver,
  happened,
  type Leaver,
  logAt,
  newHomeFile,
  newHomeFor,
  tombstoneOn,
} from '../kit/leaving.ts'
import { describeOnLinux } from '../kit/linux.ts'
import { base64Url, makeKey, signBytes, type TestKey } from '../kit/tokens.ts'

let plc: FakePlc
beforeAll(async () => {
  plc = await startFakePlc()
})
afterEach(() => plc.misbehave(null))
afterAll(() => plc.close())

async function leaver(listOf?: Parameters<typeof foundLeaver>[1]): Promise<Leaver> {
  const one = await foundLeaver(plc.honestUrl, listOf)
  plc.forget()
  return one
}

/** A disk that takes little at a time, and perhaps is full after so many bytes. */
const disk = (bytes?: number): Record<string, string> => ({
  NODE_OPTIONS: `--import=${new URL('../kit/short-writes.ts', import.meta.url)}`,
  ...(bytes === undefined ? {} : { DISK_BYTES: String(bytes) }),
})

const reeve = (
  who: Leaver,
  args: readonly string[],
  more: { typed?: string; environment?: Record<string, string> } = {},
) => runCli({ args, cwd: who.folder, ...more })
const exit = (who: Leaver, args: readonly string[]) =>
  reeve(who, ['exit', who.did, '--key', who.keyFile, '--plc', plc.url, ...args], { typed: `${who.did}\n` })
const watch = (who: Leaver, args: readonly string[] = [], typed = '') =>
  reeve(who, ['exit', 'watch', who.did, '--once', '--seen', 'seen.json', '--plc', plc.url, ...args], { typed })
const send = (who: Leaver, args: readonly string[], typed = '') =>
  reeve(who, ['exit', 'send', who.did, ...args, '--plc', plc.url], { typed })
const mine = (who: Leaver) => ['--mine', who.recovery.didKey]
const operationsOf = (who: Leaver) => readdirSync(who.folder).filter((name) => name.startsWith('did-plc-'))
const seize = (who: Leaver, hours: number, prev = who.genesisCid) =>
  happened(plc.honestUrl, who.did, hours, who.ours, atHome([who.ours], prev))
const rename = (who: Leaver, hours: number, by: TestKey, handle: string, prev = who.genesisCid) =>
  happened(plc.honestUrl, who.did, hours, by, atHome([who.recovery, who.ours], prev, handle))
const logFile = async (who: Leaver, name: string) =>
  writeFileSync(join(who.folder, name), JSON.stringify(await logAt(plc.honestUrl, who.did)))

/** Once the directory is asked for the log again, something has happened in the meantime. */
function meanwhile(happens: () => Promise<unknown>, at = 2): void {
  let looks = 0
  plc.misbehave(async (ask) => {
    if (ask.kind !== 'log') return undefined
    looks += 1
    if (looks === at) await happens()
    return undefined
  })
}

describe('on a disk that takes little at a time', () => {
  it('keys and operations are whole', async () => {
    const who = await leaver()
    const made = await reeve(who, ['recovery', 'new', 'fresh.key'], { environment: disk() })
    expect(made.code, made.err).toBe(0)
    expect(made.out.startsWith(`${openRecoveryKey(join(who.folder, 'fresh.key')).didKey}\n`)).toBe(true)
    expect((await reeve(who, ['keeper', 'init', 'keeper'], { environment: disk() })).code).toBe(0)
    expect((await reeve(who, ['keeper', 'show', 'keeper'])).code).toBe(0)
    await logFile(who, 'log.json')
    const args = ['exit', who.did, '--key', who.keyFile, '--to-self', '--offline', '--log', 'log.json']
    const typed = `${who.did}\n`
    const signed = await reeve(who, [...args, '--out', 'signed.json'], { environment: disk(), typed })
    expect(signed.code, signed.err).toBe(0)
    expect((await send(who, ['signed.json'])).code).toBe(0)
  })

  it.each([0, 3, 28, 200])('and is full after %i bytes, no key file is left, and none is told of', async (bytes) => {
    const who = await leaver()
    for (const args of [
      ['recovery', 'new', 'fresh.key'],
      ['keeper', 'init', 'keeper'],
    ]) {
      const run = await reeve(who, args, { environment: disk(bytes) })
      expect([run.code, run.out], args.join(' ')).toEqual([1, ''])
      expect(run.err).toContain('the key file cannot be written whole (ENOSPC)')
    }
    expect(readdirSync(who.folder)).not.toContain('fresh.key')
    expect(readdirSync(join(who.folder, 'keeper'))).toEqual([])
  })

  it('and full, no half of an operation is left, and what was seen stays', async () => {
    const who = await leaver()
    await logFile(who, 'log.json')
    const args = ['exit', who.did, '--key', who.keyFile, '--to-self', '--offline', '--log', 'log.json']
    const run = await reeve(who, [...args, '--out', 'signed.json'], {
      ...{ environment: disk(50), typed: `${who.did}\n` },
    })
    expect([run.code, run.err]).toEqual([1, expect.stringContaining('cannot be written whole')])
    expect(existsSync(join(who.folder, 'signed.json'))).toBe(false)

    await watch(who)
    const before = readFileSync(join(who.folder, 'seen.json'))
    await rename(who, 1, who.ours, 'weeds.example.org')
    const look = ['exit', 'watch', who.did, '--once', '--seen', 'seen.json', '--plc', plc.url, '--accept']
    expect((await reeve(who, look, { environment: disk(50) })).code).toBe(1)
    expect(readFileSync(join(who.folder, 'seen.json'))).toEqual(before)
    expect(readdirSync(who.folder).filter((name) => name.endsWith('.new'))).toEqual([])
  })

  it('what was seen is kept through no link', async () => {
    const who = await leaver()
    await watch(who)
    writeFileSync(join(who.folder, 'theirs'), 'theirs')
    symlinkSync('theirs', join(who.folder, 'seen.json.new'))
    await rename(who, 1, who.ours, 'weeds.example.org')
    expect((await watch(who, ['--accept'])).code).toBe(0)
    expect(readFileSync(join(who.folder, 'theirs'), 'utf8')).toBe('theirs')
    expect(lstatSync(join(who.folder, 'seen.json')).isFile()).toBe(true)
  })
})

describe('between the question and the answer', () => {
  it.each([
    ['exit', (who: Leaver) => ['exit', who.did, '--key', who.keyFile, '--to-self']],
    [
      'recovery replace',
      (who: Leaver) => ['recovery', 'replace', who.did, '--key', who.keyFile, '--new-key', 'next.key'],
    ],
  ])('somebody else signs: %s stops, and has signed nothing', async (_command, argsOf) => {
    const who = await leaver()
    await reeve(who, ['recovery', 'new', 'next.key'])
    meanwhile(() => rename(who, 0, who.ours, 'weeds.example.org'))
    const run = await reeve(who, [...argsOf(who), '--plc', plc.url], { typed: `${who.did}\n` })
    expect(run.code).toBe(1)
    expect(run.out).toContain('and undoes nothing.')
    expect(run.out).toContain('There are operations that you have not seen.')
    expect(plc.count('post')).toBe(0)
    expect(operationsOf(who)).toEqual([])
  })

  it('a directory that shows less than before stops it as well, unless a copy of the log was given', async () => {
    const who = await leaver()
    await rename(who, 100, who.recovery, 'weeds.example.org')
    const whole = await logAt(plc.honestUrl, who.did)
    writeFileSync(join(who.folder, 'log.json'), JSON.stringify(whole))
    const less = { status: 200, contentType: 'application/json', body: JSON.stringify(whole.slice(0, 1)) }
    let looks = 0
    plc.misbehave((ask) => (ask.kind === 'log' && ++looks === 2 ? less : undefined))
    const run = await exit(who, ['--to-self'])
    expect(run.code).toBe(1)
    expect(run.out).toContain('What you have seen is not there any more.')
    expect(operationsOf(who)).toEqual([])
    looks = 1
    expect((await exit(who, ['--to-self', '--log', 'log.json'])).code).toBe(0)
  })

  it('a copy of the log that is older than the directory’s is not gone by', async () => {
    const who = await leaver()
    await logFile(who, 'log.json')
    await rename(who, 1, who.ours, 'weeds.example.org')
    const run = await exit(who, ['--to-self', '--log', 'log.json'])
    expect(run.code).toBe(1)
    expect(run.out).toContain('There are operations that you have not seen.')
    expect(operationsOf(who)).toEqual([])
  })
})

describe('a signed file that has lain', () => {
  async function signedEarlier(who: Leaver, to: readonly string[] = ['--to-self']): Promise<string> {
    await logFile(who, 'log.json')
    const args = ['exit', who.did, '--key', who.keyFile, ...to, '--offline', '--log', 'log.json']
    const run = await reeve(who, [...args, '--out', 'signed.json'], { typed: `${who.did}\n` })
    expect(run.code, run.err).toBe(0)
    return run.out
  }

  it('is sent only by somebody who has read what it undoes', async () => {
    const who = await leaver()
    await signedEarlier(who)
    const renamed = await rename(who, 1, who.ours, 'weeds.example.org')
    for (const typed of ['', 'yes\n']) {
      const asked = await send(who, ['signed.json'], typed)
      expect(asked.code).toBe(1)
      expect(asked.out).toContain('It undoes 1 operation, for good:')
      expect(asked.out).toContain(renamed)
      expect(asked.out).toContain('To send this, type the whole DID')
    }
    expect(plc.count('post')).toBe(0)
    const sent = await send(who, ['signed.json'], `${who.did}\n`)
    expect(sent.code, sent.out).toBe(0)
    expect((await logAt(plc.honestUrl, who.did)).map(({ nullified }) => nullified)).toEqual([false, true, false])
  })

  it('is told not to be what counts, when another operation came behind it', async () => {
    const who = await leaver()
    await signedEarlier(who)
    expect((await send(who, ['signed.json'])).code).toBe(0)
    const [, ours] = await logAt(plc.honestUrl, who.did)
    const later = await happened(plc.honestUrl, who.did, 0, who.recovery, tombstoneOn(ours?.cid ?? ''))
    const again = await send(who, ['signed.json'])
    expect(again.code).toBe(1)
    expect(again.out).toContain('It is in the log, but it is not what counts now.')
    expect(again.out).toContain(later)
    expect(again.out).not.toContain('in force')
  })

  it('says until when it may be sent, and warns where the statement is over', async () => {
    const who = await leaver()
    const { key, statement } = newHomeFor(who.did)
    writeFileSync(join(who.folder, 'home.json'), JSON.stringify(statement))
    const told = await signedEarlier(who, ['--to', 'home.json', '--for', statement.for])
    expect(told).toContain(`Send it before ${statement.expiresAt}`)
    const other = newHomeFile(who).path
    expect((await send(who, ['signed.json', '--to', other])).err).toContain('not made by this statement')
    // The same statement, read when it is over.
    const { sig: _sig, ...said } = { ...statement, expiresAt: isoOf(Date.now() - 1) }
    const over = { ...said, sig: base64Url(signBytes(key, newHomeBytes(said))) }
    writeFileSync(join(who.folder, 'over.json'), JSON.stringify(over))
    const late = await send(who, ['signed.json', '--to', 'over.json'])
    expect(late.code).toBe(1)
    expect(late.out).toContain(`WARNING: the statement of the new home was over at ${over.expiresAt}`)
    expect(plc.count('post')).toBe(0)
    expect((await send(who, ['signed.json', '--to', 'home.json'])).code).toBe(0)
  })
})

describe('watching', () => {
  it('a first look on the day knows nothing of what was done lately, and makes it known to nobody', async () => {
    const who = await leaver()
    const renamed = await rename(who, 80, who.ours, 'old.example.org')
    const seized = await rename(who, 10, who.ours, 'weeds.example.org', renamed)
    for (const _time of [1, 2]) {
      const looked = await watch(who, mine(who))
      expect(looked.code).toBe(1)
      expect(looked.out).toContain('ALARM: a key of the list has changed the identity')
      expect(looked.out).toContain(seized)
      expect(looked.out).not.toContain(`Z  ${renamed}`)
    }
    const asked = await exit(who, ['--to-self', '--known', 'seen.json'])
    expect(asked.code).toBe(1)
    expect(asked.out).toContain(`--undo-from ${seized}`)
    expect(operationsOf(who)).toEqual([])
    expect((await watch(who, ['--accept'])).out).toContain(seized)
    expect((await watch(who)).code).toBe(0)
    expect((await exit(who, ['--to-self', '--known', 'seen.json', '--dry-run'])).code).toBe(0)
  })

  it('a first look keeps a log that holds, also where what was undone is older than what undid it', async () => {
    const who = await leaver()
    const old = await rename(who, 100, who.ours, 'old.example.org')
    await rename(who, 60, who.recovery, 'back.example.org')
    const looked = await watch(who, mine(who))
    expect(looked.code).toBe(1)
    expect(looked.out).toContain(`  It undid:\n    ${old}\n`)
    const kept = JSON.parse(readFileSync(join(who.folder, 'seen.json'), 'utf8')) as { nullified: boolean }[]
    expect(kept.map(({ nullified }) => nullified)).toEqual([false, false])
    expect((await watch(who, mine(who))).code).toBe(1)
    expect((await watch(who, ['--accept'])).code).toBe(0)
    expect(await watch(who)).toMatchObject({ code: 0, out: expect.stringContaining('Nothing is new.') })
  })

  it('asks about an own key too: whoever stole it signs with it', async () => {
    const who = await leaver()
    expect((await watch(who, mine(who))).code).toBe(0)
    const thief = makeKey('k256')
    await happened(plc.honestUrl, who.did, 1, who.recovery, atHome([thief], who.genesisCid))
    for (const _time of [1, 2]) {
      const looked = await watch(who, mine(who))
      expect(looked.code).toBe(1)
      expect(looked.out).toContain('NEW: your own key has changed the identity. Was this you?')
      expect(looked.out).toContain(thief.didKey)
    }
    expect((await watch(who, [...mine(who), '--accept'])).code).toBe(0)
    expect((await watch(who, mine(who))).code).toBe(0)
  })

  it('tells what was undone before anybody looked', async () => {
    const who = await leaver()
    await watch(who)
    const seized = await seize(who, 10)
    await rename(who, 9, who.recovery, 'back.example.org')
    const looked = await watch(who, mine(who))
    expect(looked.code).toBe(1)
    expect(looked.out).toContain(seized)
    expect(looked.out).toContain('It was undone since.')
  })

  it('signs nothing that was not read and answered', async () => {
    const who = await leaver()
    await watch(who)
    await seize(who, 10)
    const args = ['--key', who.keyFile, '--counter', 'back.json']
    for (const typed of ['', 'yes\n']) {
      const looked = await watch(who, args, typed)
      expect(looked.code).toBe(1)
      expect(looked.out).toContain('To sign this, type the whole DID')
      expect(existsSync(join(who.folder, 'back.json'))).toBe(false)
    }
    meanwhile(() => happened(plc.honestUrl, who.did, 0, who.recovery, atHome([who.recovery], who.genesisCid)))
    expect((await watch(who, args, `${who.did}\n`)).out).toContain('There are operations that you have not seen.')
    expect(existsSync(join(who.folder, 'back.json'))).toBe(false)
  })

  it('ends an alarm in words where the key can’t put anything back', async () => {
    const who = await leaver((recovery, ours) => [ours, recovery])
    await watch(who)
    const seized = await seize(who, 1)
    const looked = await watch(who, ['--key', who.keyFile, '--counter', 'back.json'], `${who.did}\n`)
    expect(looked.code).toBe(1)
    expect(looked.err).toBe('')
    expect(looked.out).toContain(seized)
    expect(looked.out).toContain('Your key cannot put it back: the key may not sign at any place of this log.')
    expect(looked.out).toContain('does not stand above the key that signed')
    expect(existsSync(join(who.folder, 'back.json'))).toBe(false)
  })
})

describe('words of strangers', () => {
  it('make no line that looks like one of ours', async () => {
    const who = await leaver()
    const wide = `at://a${' '.repeat(60)}  + rotation key 1: did:key:zMine (your key)`
    const evil = {
      ...atHome([who.recovery, who.ours], who.genesisCid),
      alsoKnownAs: [wide, 'at://one" "two', ' at://led'],
      services: {
        'x at y\u2028': { type: 'T '.repeat(128), endpoint: `https://${'a'.repeat(200)}.example.org` },
      },
    }
    await happened(plc.honestUrl, who.did, 10, who.ours, evil)
    const { out } = await exit(who, ['--to-self'])
    expect(out).not.toMatch(/ {3,}\+ rotation/)
    const shown = out.split('\n').filter((line) => /example|a\\u|T T|at:\/\/|zMine/.test(line))
    expect(shown.length).toBeGreaterThan(8)
    for (const line of shown) expect(line.length).toBeLessThan(170)
    expect(out).not.toContain('zMine (your key)\n')
    expect(out).toContain('name: "at://one\\u{22} \\u{22}two"')
    expect(out).toContain('name: "\\u{20}at://led"')
    expect(out).toMatch(/\n {6}\.\.\. "a+"\n {6}\.\.\. "a+\.example"\n/)
  })
})

describe('a secret in a wrong place', () => {
  it('ends with 77, and is in no word of the answer', async () => {
    const who = await leaver()
    const { d = '' } = who.recovery.privateKey.export({ format: 'jwk' })
    const der = who.recovery.privateKey.export({ format: 'der', type: 'pkcs8' })
    const hex = Buffer.from(d, 'base64url').toString('hex')
    for (const text of [`0x${hex}`, der.toString('base64'), Buffer.from(hex, 'hex').toString('base64')]) {
      const shown = await reeve(who, ['recovery', 'show', text])
      expect([shown.code, shown.out]).toEqual([77, ''])
      const environment = { RECOVERY_KEY: text }
      const lent = await reeve(who, ['recovery', 'show', who.keyFile], { environment })
      expect([lent.code, lent.out]).toEqual([77, ''])
      for (const { err } of [shown, lent]) for (const part of [text, hex, d]) expect(err).not.toContain(part)
    }
  })

  it('and what only might be one is not repeated either', async () => {
    const who = await leaver()
    for (const args of [
      ['recovery', 'show', 'my-secret'],
      ['recovery', 'new', 'none/my-secret'],
      ['keeper', 'show', 'my-secret'],
      ['keeper', 'init', 'recovery.key/my-secret'],
      ['keeper', 'open', 'my-secret', 'x', '--out', 'y'],
      ['exit', who.did, '--key', 'my-secret', '--to-self'],
    ]) {
      const run = await reeve(who, args)
      expect(run.code, run.err).toBe(1)
      expect(run.out + run.err).not.toContain('my-secret')
    }
  })
})

describeOnLinux('at a terminal', () => {
  /** The tool in a terminal of its own. `script` is what Linux has for that; it writes what the screen shows. */
  function atTerminal(who: Leaver, args: readonly string[]): { readonly child: ChildProcess; screen: string } {
    const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))
    const line = [process.execPath, cli, ...args].map((part) => `'${part}'`).join(' ')
    const child = spawn('script', ['-qefc', line, '/dev/null'], {
      ...{ cwd: who.folder, env: { PATH: process.env['PATH'] ?? '' }, stdio: ['pipe', 'pipe', 'pipe'] },
    })
    const at = { child, screen: '' }
    child.stdout?.on('data', (chunk: Buffer) => {
      at.screen += chunk.toString('utf8')
    })
    return at
  }

  it.each([
    ['a whole line', '\n'],
    ['a line without its end', ''],
  ])('%s that was typed before the question is no answer to it', async (_what, end) => {
    const who = await leaver()
    const at = atTerminal(who, ['exit', who.did, '--key', who.keyFile, '--to-self', '--plc', plc.url])
    const ended = new Promise<number | null>((resolve) => at.child.once('close', resolve))
    at.child.stdin?.write(`${who.did}${end}`)
    await expect.poll(() => at.screen).toContain('To sign this, type the whole DID')
    at.child.stdin?.write('\n')
    expect(await ended).toBe(1)
    expect(at.screen).toContain('That is not the DID.')
    expect(operationsOf(who)).toEqual([])
    expect(plc.count('post')).toBe(0)
  })

  it('and what is typed behind it is one', async () => {
    const who = await leaver()
    const at = atTerminal(who, ['exit', who.did, '--key', who.keyFile, '--to-self', '--plc', plc.url])
    const ended = new Promise<number | null>((resolve) => at.child.once('close', resolve))
    await expect.poll(() => at.screen).toContain('To sign this, type the whole DID')
    at.child.stdin?.write(`${who.did}\n`)
    expect(await ended, at.screen).toBe(0)
  })
})
