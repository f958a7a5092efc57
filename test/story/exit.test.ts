/**
 * Leaving, as people do it: the tool in a process of its own, a directory that this test owns, and an old home that is dead, contests, or
 * has struck first. Whatever is refused is refused before anything is signed or sent; and no word of a key gets out.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { fingerprintOfNewHome } from '../../src/identity/new-home.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { type Run, runCli } from '../kit/cli.ts'
import { type FakePlc, json, startFakePlc } from '../kit/fake-plc.ts'
import {
  atHome,
  foundLeaver,
  happened,
  keyFileIn,
  type Leaver,
  logAt,
  NEW_OWNER,
  newHomeFile,
  tombstoneOn,
} from '../kit/leaving.ts'
import { otherSpellings } from '../kit/plc.ts'
import { HOUR_MS, plcStory } from '../kit/plc-stories.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'

/** Another key of a community's own. */
const SECOND = makeKey('k256')

let plc: FakePlc
const runs: Run[] = []
const secrets: TestKey[] = [SECOND]
const folders: string[] = []

beforeAll(async () => {
  plc = await startFakePlc()
})
afterEach(() => plc.misbehave(null))
afterAll(() => plc.close())

async function leaver(listOf?: Parameters<typeof foundLeaver>[1]): Promise<Leaver> {
  const one = await foundLeaver(plc.honestUrl, listOf)
  secrets.push(one.recovery)
  folders.push(one.folder)
  plc.forget()
  return one
}

async function reeve(
  who: Leaver,
  args: readonly string[],
  more: { typed?: string; environment?: Record<string, string> } = {},
) {
  const run = await runCli({ args, cwd: who.folder, ...more })
  runs.push(run)
  return run
}

/** `reeve exit` with the community's key, at the directory, by somebody who types the DID. */
const exit = (who: Leaver, args: readonly string[], typed = `${who.did}\n`) =>
  reeve(who, ['exit', who.did, '--key', who.keyFile, '--plc', plc.url, ...args], { typed })
const watch = (who: Leaver, args: readonly string[] = [], typed = '') =>
  reeve(who, ['exit', 'watch', who.did, '--once', '--plc', plc.url, ...args], { typed })

const headOf = async (who: Leaver) => (await logAt(plc.honestUrl, who.did)).at(-1)
const operationsOf = (who: Leaver) => readdirSync(who.folder).filter((name) => name.startsWith('did-plc-'))

/** That a run did nothing: it said why, signed nothing, and asked nobody to take anything. */
async function changedNothing(who: Leaver, run: Run, code: number): Promise<void> {
  expect(run.code, run.out + run.err).toBe(code)
  expect(plc.count('post')).toBe(0)
  expect(operationsOf(who)).toEqual([])
}

describe('a community whose home is dead', () => {
  it('goes to a new home, with nothing of the old one left', async () => {
    const who = await leaver()
    const { path, home } = newHomeFile(who)
    const run = await exit(who, ['--to', path, '--for', NEW_OWNER])
    expect(run.code, run.out + run.err).toBe(0)
    expect((await headOf(who))?.operation).toMatchObject({
      rotationKeys: [who.recovery.didKey, home.rotationKey],
      verificationMethods: home.verificationMethods,
      alsoKnownAs: ['at://gardeners.example.org'],
      services: home.services,
      prev: who.genesisCid,
    })
    expect(run.out).toContain('The directory has it, and it is in force.')
    expect(run.out).toContain(`  - rotation key 2: ${who.ours.didKey} (the old home)`)
    expect(run.out).toContain(`  + rotation key 2: ${home.rotationKey} (the new home)`)
    expect(run.out).toContain('Who could undo this, once it is in the log:\n  nobody\n')
    expect(run.out).toContain(`reeve exit watch ${who.did}`)
    const [file = ''] = operationsOf(who)
    expect(JSON.parse(readFileSync(join(who.folder, file), 'utf8'))).toEqual((await headOf(who))?.operation)
  })

  it('takes the whole answer of the new home as well, and says what comes next with the words that were used', async () => {
    const who = await leaver()
    const { home } = newHomeFile(who)
    const answer = { did: who.did, status: 'waiting', revision: 0, statement: home, differences: [] }
    writeFileSync(join(who.folder, 'my answer.json'), JSON.stringify(answer))
    writeFileSync(join(who.folder, 'my log.json'), JSON.stringify(await logAt(plc.honestUrl, who.did)))
    const run = await exit(who, ['--to', 'my answer.json', '--for', NEW_OWNER, '--known', 'my log.json'])
    expect(run.code, run.out + run.err).toBe(0)
    expect((await headOf(who))?.operation).toMatchObject({ rotationKeys: [who.recovery.didKey, home.rotationKey] })
    expect(run.out).toContain(`FIRST OWNER THERE: ${home.for}. Is that you?\n`)
    expect(run.out).toContain(`Its key: ${home.rotationKey}\n`)
    expect(run.out).toContain(`  1. call community.takeIn at ${home.service} once more, as ${home.for},\n`)
    const next = `     reeve exit watch ${who.did} --mine ${who.recovery.didKey} --seen 'my log.json' --plc ${plc.url}\n`
    expect(run.out).toContain(next)
  })

  it('is told what the file has to hold when it holds something else, and warned when a statement was changed', async () => {
    const who = await leaver()
    const { home } = newHomeFile(who)
    const kind = 'there is no statement of a new home in the file of --to'
    const { sig: _, ...unsigned } = home
    for (const [text, says] of [
      ['undefined', kind],
      ['null', kind],
      [JSON.stringify({ error: 'Forbidden', message: 'you may not bring communities here' }), kind],
      [JSON.stringify(unsigned), kind],
      [JSON.stringify({ ...home, more: 1 }), kind],
      [JSON.stringify({ did: who.did, status: 'active', revision: 1 }), 'the community is there already'],
      [JSON.stringify({ ...home, rotationKey: makeKey('k256').didKey }), 'NOT SIGNED by the key in it'],
      [JSON.stringify({ statement: { ...home, for: who.did } }), 'NOT SIGNED by the key in it'],
    ] as const) {
      const path = join(who.folder, 'answer.json')
      writeFileSync(path, text)
      const run = await exit(who, ['--to', path, '--for', NEW_OWNER])
      expect(run.err, text).toContain(says)
      expect(run.err.includes('changed'), text).toBe(says.startsWith('NOT SIGNED'))
      await changedNothing(who, run, 1)
    }
  })

  it('keeps everything to itself when it has nowhere to go', async () => {
    const who = await leaver()
    expect((await exit(who, ['--to-self', '--no-handle'])).code).toBe(0)
    expect((await headOf(who))?.operation).toMatchObject({
      ...{ rotationKeys: [who.recovery.didKey], verificationMethods: {}, services: {}, alsoKnownAs: [] },
    })
  })

  it('brings keys, an address and a name of its own, and another recovery key', async () => {
    const who = await leaver()
    const [next, second, atproto, space] = [makeKey('k256'), makeKey('p256'), makeKey('p256'), makeKey('p256')]
    secrets.push(next)
    const nextFile = keyFileIn(who.folder, 'next.key', next)
    const own = ['--to-self', '--new-recovery-key', nextFile, '--rotation-key', second.didKey]
    const place = [
      '--atproto-key',
      atproto.didKey,
      '--space-key',
      space.didKey,
      '--endpoint',
      'https://own.example.org',
    ]
    const run = await exit(who, [...own, ...place, '--handle', 'gardens.example.org'])
    expect(run.code, run.out).toBe(0)
    const endpoint = 'https://own.example.org'
    expect((await headOf(who))?.operation).toMatchObject({
      rotationKeys: [next.didKey, second.didKey],
      verificationMethods: { atproto: atproto.didKey, atproto_space: space.didKey },
      services: { atproto_space_host: { endpoint }, atproto_pds: { endpoint } },
      alsoKnownAs: ['at://gardens.example.org'],
    })
  })

  it('sees all of it beforehand, and signs nothing', async () => {
    const who = await leaver()
    const run = await exit(who, ['--to-self', '--dry-run'])
    expect(run.out).toContain('Nothing was signed')
    await changedNothing(who, run, 0)
  })

  it('signs on a machine without a network, and somebody else sends it without the key', async () => {
    const who = await leaver()
    writeFileSync(join(who.folder, 'log.json'), JSON.stringify(await logAt(plc.honestUrl, who.did)))
    const offline = await reeve(
      who,
      ['exit', who.did, '--key', who.keyFile, '--to-self', '--offline', '--log', 'log.json', '--out', 'signed.json'],
      { typed: `${who.did}\n` },
    )
    expect(offline.code, offline.out + offline.err).toBe(0)
    expect(plc.asked).toEqual([])
    const send = ['exit', 'send', who.did, 'signed.json', '--plc', plc.url]
    const sent = await reeve(who, send)
    expect(sent.code, sent.out + sent.err).toBe(0)
    expect((await headOf(who))?.operation).toEqual(JSON.parse(readFileSync(join(who.folder, 'signed.json'), 'utf8')))
    plc.forget()
    expect(await reeve(who, send)).toMatchObject({ code: 0, out: 'It is in the log, and in force.\n' })
    expect(plc.count('post')).toBe(0)
  })
})

describe('a community whose home contests', () => {
  it('can’t be followed: what the old home answers with is refused', async () => {
    const who = await leaver()
    expect((await exit(who, ['--to-self'])).code).toBe(0)
    expect((await watch(who, ['--accept'])).code).toBe(0)
    await expect(happened(plc.honestUrl, who.did, 0, who.ours, atHome([who.ours], who.genesisCid))).rejects.toThrow(
      '400',
    )
    const looked = await watch(who)
    expect(looked.code).toBe(0)
    expect(looked.out).toContain('Nothing is new.')
  })

  it('undoes a seizure of ten hours ago, and is told how long it had', async () => {
    const who = await leaver()
    const seizure = await happened(plc.honestUrl, who.did, 10, who.ours, atHome([who.ours], who.genesisCid))
    const run = await exit(who, ['--to-self'])
    expect(run.code, run.out + run.err).toBe(0)
    expect(run.out).toMatch(/You have 61 h 59 min for this, until /)
    expect(run.out).toContain(`Undone for good:\n  `)
    expect(run.out).toContain(seizure)
    const log = await logAt(plc.honestUrl, who.did)
    expect(log.map(({ nullified }) => nullified)).toEqual([false, true, false])
  })

  it('comes back from an end that the old home put to it', async () => {
    const who = await leaver()
    await happened(plc.honestUrl, who.did, 30, who.ours, tombstoneOn(who.genesisCid))
    const run = await exit(who, ['--to-self'])
    expect(run.code, run.out + run.err).toBe(0)
    expect(run.out).toContain('It has been ended.')
    expect((await headOf(who))?.operation).toMatchObject({ type: 'plc_operation', prev: who.genesisCid })
  })

  it('is told that it is too late after 72 hours, and signs nothing', async () => {
    const who = await leaver()
    await happened(plc.honestUrl, who.did, 73, who.ours, atHome([who.ours], who.genesisCid))
    plc.forget()
    const run = await exit(who, ['--to-self'])
    expect(run.out).toContain('older than 72 hours')
    expect(run.out).toContain('Your key can change nothing here any more')
    await changedNothing(who, run, 1)
  })

  it('is not given up for lost because the clock of its computer is behind', async () => {
    const who = await leaver()
    await happened(plc.honestUrl, who.did, -1, who.ours, atHome([who.ours], who.genesisCid))
    plc.forget()
    const run = await exit(who, ['--to-self'])
    expect(run.out).toContain('The log is dated later than now')
    expect(run.out).not.toContain('found the community anew')
    await changedNothing(who, run, 1)
  })

  it('says what it wants of what was done lately, and isn’t helped past it silently', async () => {
    const who = await leaver()
    const both = [who.recovery, who.ours]
    const renamed = await happened(
      plc.honestUrl,
      who.did,
      10,
      who.ours,
      atHome(both, who.genesisCid, 'weeds.example.org'),
    )
    plc.forget()
    const first = await exit(who, ['--to-self'])
    expect(first.out).toContain('at://weeds.example.org')
    expect(first.out).toContain('can be undone for another 61 h 59 min')
    expect(first.out).toContain(`--undo-from ${renamed}`)
    await changedNothing(who, first, 1)

    writeFileSync(join(who.folder, 'known.json'), JSON.stringify(await logAt(plc.honestUrl, who.did)))
    const known = await exit(who, ['--to-self', '--known', 'known.json', '--dry-run'])
    expect(known.code, known.out).toBe(0)
    expect(known.out).toContain('at://weeds.example.org')

    const undone = await exit(who, ['--to-self', '--undo-from', renamed])
    expect(undone.code, undone.out + undone.err).toBe(0)
    expect((await headOf(who))?.operation).toMatchObject({
      prev: who.genesisCid,
      alsoKnownAs: ['at://gardeners.example.org'],
    })
  })

  it('and keeps what was right, by --keep', async () => {
    const who = await leaver()
    const both = [who.recovery, who.ours]
    const renamed = await happened(
      plc.honestUrl,
      who.did,
      10,
      who.ours,
      atHome(both, who.genesisCid, 'weeds.example.org'),
    )
    expect((await exit(who, ['--to-self', '--keep'])).code).toBe(0)
    expect((await headOf(who))?.operation).toMatchObject({ prev: renamed, alsoKnownAs: ['at://weeds.example.org'] })
  })

  it('leaves before operations by which a key that goes could come back, and says again what they said', async () => {
    const quorum = makeKey('k256')
    const who = await leaver((recovery, ours) => [recovery, quorum, ours])
    const three = [who.recovery, quorum, who.ours]
    await happened(plc.honestUrl, who.did, 10, who.ours, atHome(three, who.genesisCid, 'weeds.example.org'))
    const run = await exit(who, ['--to-self', '--keep'])
    expect(run.code, run.out + run.err).toBe(0)
    expect(run.out).toContain('what should stay of it is said again')
    expect((await headOf(who))?.operation).toMatchObject({
      prev: who.genesisCid,
      alsoKnownAs: ['at://weeds.example.org'],
    })
    const seized = happened(plc.honestUrl, who.did, 0, quorum, atHome([quorum], who.genesisCid))
    await expect(seized).rejects.toThrow('400')
  })

  it('is told when the old home stands above it, and by which key it can still win', async () => {
    const cold = makeKey('k256')
    secrets.push(cold)
    const who = await leaver((recovery, ours) => [cold, ours, recovery, makeKey('k256')])
    plc.forget()
    const warned = await exit(who, ['--to-self', '--rotation-key', cold.didKey])
    expect(warned.out).toContain('Waiting does not help')
    await changedNothing(who, warned, 1)

    const gone = await exit(who, ['--to-self', '--rotation-key', cold.didKey, '--although-undoable'])
    expect(gone.code, gone.out + gone.err).toBe(0)
    expect((await watch(who, ['--accept'])).code).toBe(0)
    await happened(plc.honestUrl, who.did, 0, who.ours, atHome([who.ours], who.genesisCid))
    const looked = await watch(who)
    expect(looked.code).toBe(1)
    expect(looked.out).toContain('ALARM: a key that is not in the list any more came back')
    // The same key has lost; the one above all still has its 72 hours.
    const lost = await exit(who, ['--to-self'])
    expect(lost.code).toBe(1)
    expect(lost.out).toContain('does not stand above the key that signed')
    const path = keyFileIn(who.folder, 'cold.key', cold)
    const args = ['exit', who.did, '--key', path, '--plc', plc.url, '--to-self']
    const won = await reeve(who, args, { typed: `${who.did}\n` })
    expect(won.code, won.out + won.err).toBe(0)
    expect((await headOf(who))?.operation).toMatchObject({ rotationKeys: [cold.didKey] })
  })
})

describe('a community takes nothing of its old home along', () => {
  it('leaves with an exported key only for a key that the old home has no copy of', async () => {
    const who = await leaver((_recovery, ours) => [ours])
    const { path, home } = newHomeFile(who)
    const exported = keyFileIn(who.folder, 'exported.key', who.ours)
    secrets.push(who.ours)
    const leave = (args: readonly string[]) =>
      reeve(who, ['exit', who.did, '--key', exported, '--plc', plc.url, '--to', path, '--for', NEW_OWNER, ...args], {
        typed: `${who.did}\n`,
      })
    const refused = await leave([])
    expect(refused.out).toContain(`${who.ours.didKey} (your key, and the old home has it too)`)
    expect(refused.out).toContain('The old home has a copy of your key')
    expect(refused.out).not.toContain('Who could undo this')
    await changedNothing(who, refused, 1)
    // With a copy of the same key nothing is new.
    await changedNothing(who, await leave(['--new-recovery-key', exported]), 1)
    await changedNothing(who, await leave(['--new-recovery-key', who.keyFile, '--rotation-key', who.ours.didKey]), 1)
    const gone = await leave(['--new-recovery-key', who.keyFile])
    expect(gone.code, gone.out + gone.err).toBe(0)
    expect((await headOf(who))?.operation).toMatchObject({ rotationKeys: [who.recovery.didKey, home.rotationKey] })
    expect(gone.out).toContain(`--mine ${who.recovery.didKey}`)
  })

  it('nor by a statement that names its keys or its address, nor as a key of its own', async () => {
    const who = await leaver()
    const genesis = atHome([who.recovery, who.ours], null)
    const { verificationMethods, services } = genesis
    for (const changes of [
      { verificationMethods },
      { services, service: 'did:web:old.example.org' },
    ] as unknown as Parameters<typeof newHomeFile>[1][]) {
      const run = await exit(who, ['--to', newHomeFile(who, changes).path, '--for', NEW_OWNER])
      expect(run.out).toContain('STOP. The identity would name again what it has named before.')
      await changedNothing(who, run, 1)
    }
    const own = await exit(who, ['--to-self', '--rotation-key', who.ours.didKey])
    expect(own.out).toContain(`  ${who.ours.didKey} (the old home)`)
    await changedNothing(who, own, 1)
  })

  it('and takes a new recovery key as its file alone', async () => {
    const who = await leaver()
    const run = await exit(who, ['--to-self', '--new-recovery-key', makeKey('k256').didKey])
    expect(run.err).toContain('takes the file of the new key')
    await changedNothing(who, run, 64)
    expect(plc.asked).toEqual([])
  })

  it('and says who is to be the first owner there, who must be the one who says it', async () => {
    const who = await leaver()
    const { path, home } = newHomeFile(who)
    await changedNothing(who, await exit(who, ['--to', path]), 64)
    await changedNothing(who, await exit(who, ['--to-self', '--for', NEW_OWNER]), 64)
    const thief = await exit(who, ['--to', path, '--for', `did:plc:${'e'.repeat(24)}`])
    expect(thief.err).toContain(`STOP: the statement of the new home was made for another person`)
    await changedNothing(who, thief, 1)
    const look = await exit(who, ['--to', path, '--for', NEW_OWNER, '--dry-run'])
    expect(look.out).toContain(`FIRST OWNER THERE: ${NEW_OWNER}. Is that you?\n`)
    expect(look.out).toContain(`Fingerprint of the statement: ${fingerprintOfNewHome(home)}\n`)
  })

  it('is told which other keys of the community go, and keeps one in its rank', async () => {
    const who = await leaver((recovery, ours) => [recovery, SECOND, ours])
    const dropped = await exit(who, ['--to-self', '--dry-run'])
    expect(dropped.out).toContain('KEYS OF THE COMMUNITY THAT GO.')
    expect(dropped.out.split('KEYS OF THE COMMUNITY THAT GO.')[1]).toContain(SECOND.didKey)
    const second = keyFileIn(who.folder, 'second.key', SECOND)
    const args = ['exit', who.did, '--key', second, '--plc', plc.url, '--to-self', '--rotation-key']
    const run = await reeve(who, [...args, who.recovery.didKey, '--dry-run'])
    expect(run.out).toContain(`rotation key 1: ${who.recovery.didKey}`)
    expect(run.out).toContain(`rotation key 2: ${SECOND.didKey} (your key)`)
    expect(run.out).not.toContain('KEYS OF THE COMMUNITY THAT GO.')
  })

  it('and is kept back by no names that were made long: the handle stays, the others only when it says so', async () => {
    const who = await leaver()
    const long = Array.from({ length: 9 }, (_none, nth) => `at://${nth}${'é'.repeat(240)}`)
    const fat = { ...atHome([who.recovery, who.ours], who.genesisCid), alsoKnownAs: ['at://a.example.org', ...long] }
    await happened(plc.honestUrl, who.did, 100, who.ours, fat)
    const kept = await exit(who, ['--to-self', '--keep-names', '--dry-run'])
    expect(kept.code, kept.out + kept.err).toBe(0)
    expect(kept.out).toMatch(/This operation is long: \d{4} bytes/)
    const run = await exit(who, ['--to-self'])
    expect(run.code, run.out + run.err).toBe(0)
    expect(run.out).not.toContain('This operation is long')
    expect((await headOf(who))?.operation).toMatchObject({ alsoKnownAs: ['at://a.example.org'] })
  })

  it('and by no log that was made long', async () => {
    const who = await leaver()
    const [a, b] = [who.recovery, makeKey('k256')]
    const more = Array.from({ length: 1_001 }, (_none, nth) => ({
      ...{
        by: b,
        on: nth,
        atMs: nth + 1,
        keys: [a, b],
        says: { services: { x: { type: 'x'.repeat(1_000), endpoint: 'x' } } },
      },
    }))
    const { did, rows } = plcStory([{ by: b, on: -1, atMs: 0, keys: [a, b] }, ...more])
    writeFileSync(join(who.folder, 'long.json'), JSON.stringify(rows))
    expect(statSync(join(who.folder, 'long.json')).size).toBeGreaterThan(1024 * 1024)
    const args = [
      'exit',
      did,
      '--key',
      who.keyFile,
      '--to-self',
      '--offline',
      '--log',
      'long.json',
      '--out',
      'gone.json',
    ]
    const run = await reeve(who, args, { typed: `${did}\n` })
    expect(run.code, run.err).toBe(0)
    expect(run.out).toContain('1002 operations, verified')
    expect(run.out).toContain('more places before that')
    expect(existsSync(join(who.folder, 'gone.json'))).toBe(true)
  })

  it('and by no date: the directory’s word alone is called so, and what is late by it can be signed into a file', async () => {
    const who = await leaver()
    const seized = await happened(plc.honestUrl, who.did, 80, who.ours, atHome([who.ours], who.genesisCid))
    plc.forget()
    const told = await exit(who, ['--to-self'])
    expect(told.out).toContain('The dates are the word of this directory alone')
    expect(told.out).toContain('--plc')
    expect(told.out).toContain(`--although-late --undo-from ${seized}`)
    await changedNothing(who, told, 1)
    await changedNothing(who, await exit(who, ['--to-self', '--although-late']), 64)
    const late = ['--to-self', '--although-late', '--undo-from', seized, '--out', 'late.json']
    const run = await exit(who, late)
    expect(run.code, run.out + run.err).toBe(0)
    expect(run.out).toContain('By the dates of this log it is too late for this.')
    expect(run.out).toContain('Nothing was sent.')
    expect(plc.count('post')).toBe(0)
    expect(JSON.parse(readFileSync(join(who.folder, 'late.json'), 'utf8'))).toMatchObject({ prev: who.genesisCid })
  })
})

describe('nothing is signed and nothing is sent', () => {
  it.each([
    ['when another DID is typed', 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa\n'],
    ['when only “yes” is typed', 'yes\n'],
    ['when a line without an end is typed', 'did'],
    ['when nobody types anything', ''],
  ])('%s', async (_when, typed) => {
    const who = await leaver()
    const run = await exit(who, ['--to-self'], typed)
    expect(run.out).toContain('Nothing was signed, and nothing was sent.')
    await changedNothing(who, run, 1)
  })

  it('by a key that is not the community’s', async () => {
    const who = await leaver()
    const other = makeKey('k256')
    secrets.push(other)
    const args = ['exit', who.did, '--key', keyFileIn(who.folder, 'other', other), '--plc', plc.url, '--to-self']
    const run = await reeve(who, args, { typed: `${who.did}\n` })
    expect(run.out).toContain('your key is not in the list of rotation keys there')
    expect(run.out).toContain('Is it the right file, and the right DID?')
    expect(run.out).not.toContain('found the community anew')
    await changedNothing(who, run, 1)
  })

  it('by a key file that others can read: it isn’t read, and nobody is asked', async () => {
    const who = await leaver()
    const open = keyFileIn(who.folder, 'open', who.recovery, 0o644)
    for (const args of [
      ['exit', who.did, '--key', open, '--plc', plc.url, '--to-self'],
      ['recovery', 'show', open],
      ['recovery', 'prove', open, '--caller', who.did, '--service', 'did:web:reeve.example'],
      ['recovery', 'replace', who.did, '--key', open, '--new-key', open, '--plc', plc.url],
    ]) {
      const run = await reeve(who, args, { typed: `${who.did}\n` })
      expect(run.out).toBe('')
      expect(run.err).toContain('open to others')
      await changedNothing(who, run, 77)
    }
    expect(plc.asked).toEqual([])
  })

  it('when the key stands in an argument or in the environment', async () => {
    const who = await leaver()
    const { d = '' } = who.recovery.privateKey.export({ format: 'jwk' })
    const hex = Buffer.from(d, 'base64url').toString('hex')
    const args = ['exit', who.did, '--plc', plc.url, '--to-self', '--key']
    const typed = `${who.did}\n`
    await changedNothing(who, await reeve(who, [...args, hex], { typed }), 77)
    const environment = { REEVE_RECOVERY_KEY: hex }
    await changedNothing(who, await reeve(who, [...args, who.keyFile], { typed, environment }), 77)
    expect(plc.asked).toEqual([])
  })

  it('when the key comes by a pipe and there is nobody at a terminal to type the DID', async () => {
    const who = await leaver()
    const typed = `${readFileSync(who.keyFile, 'utf8')}\n${who.did}\n`
    const run = await reeve(who, ['exit', who.did, '--key', '-', '--plc', plc.url, '--to-self'], {
      typed: readFileSync(who.keyFile, 'utf8'),
    })
    expect(run.err).toContain('there must be a terminal')
    await changedNothing(who, run, 64)
    // A key with the DID behind it is no key, and no confirmation.
    await changedNothing(
      who,
      await reeve(who, ['exit', who.did, '--key', '-', '--plc', plc.url, '--to-self'], { typed }),
      64,
    )
  })

  it('by a log that doesn’t hold: whoever serves it, and in whichever way', async () => {
    const who = await leaver()
    await happened(plc.honestUrl, who.did, 10, who.recovery, atHome([who.recovery, who.ours], who.genesisCid))
    const honest = await logAt(plc.honestUrl, who.did)
    const last = honest.at(-1) as { operation: { sig: string } } | undefined
    const spelt = (sig: string) =>
      honest.with(-1, { ...honest.at(-1), operation: { ...last?.operation, sig } } as never)
    const bad: Record<string, unknown> = {
      'of another DID': await logAt(plc.honestUrl, (await leaver()).did),
      'with its first operation changed': honest.with(0, {
        ...honest[0],
        operation: { ...honest[0]?.operation, alsoKnownAs: [] },
      } as never),
      'with a wrong date': honest.with(1, { ...honest[1], createdAt: '2020-01-01T00:00:00.000Z' } as never),
      'of nothing': [],
      ...Object.fromEntries(
        Object.entries(otherSpellings('k256', last?.operation.sig ?? ''))
          .filter(([name]) => ['high S', 'DER', 'padded', 'ended by a newline'].includes(name))
          .map(([name, sig]) => [name, spelt(sig)]),
      ),
    }
    for (const [what, log] of Object.entries(bad)) {
      plc.forget()
      plc.misbehave((ask) => (ask.kind === 'log' ? json(200, log) : undefined))
      const run = await exit(who, ['--to-self'])
      expect(run.err, what).toContain("this log can't be true")
      await changedNothing(who, run, 1)
    }
  })

  it('by a log that holds nowhere: late, behind the end, of another beginning, or by nobody’s key', async () => {
    const who = await leaver()
    const [a, b, c] = [who.recovery, makeKey('k256'), makeKey('p256')]
    const of = (by: TestKey, on: number, hours: number, keys: readonly TestKey[] | 'tombstone') => ({
      ...{ by, on, atMs: hours * HOUR_MS, keys },
    })
    const first = of(b, -1, 0, [a, b])
    const other = plcStory([of(c, -1, 0, [c, b])])
    for (const [fault, moves] of Object.entries({
      'recovery-late, at entry 3': [first, of(b, 0, 1, [b]), of(a, 0, 74, [a])],
      'after-tombstone, at entry 3': [first, of(a, 0, 1, 'tombstone'), of(a, 1, 2, [a])],
      'bad-signature, at entry 2': [first, of(c, 0, 1, [a])],
      'recovery-rank, at entry 3': [first, of(a, 0, 1, [a]), of(b, 0, 2, [b])],
      'did-mismatch, at entry 1': [first],
    })) {
      const { did, rows } = plcStory(moves)
      const told = fault.startsWith('did') ? other.rows.map((row) => ({ ...row, did })) : rows
      writeFileSync(join(who.folder, 'told.json'), JSON.stringify(told))
      const args = ['exit', did, '--key', who.keyFile, '--to-self', '--offline', '--log', 'told.json']
      const run = await reeve(who, args, { typed: `${did}\n` })
      expect(run.err).toContain(`this log can't be true (${fault})`)
      await changedNothing(who, run, 1)
    }
  })

  it('by a log that shows less than the one that was kept, or another past', async () => {
    const who = await leaver()
    const keyOf = [who.recovery, who.ours]
    const one = await happened(
      plc.honestUrl,
      who.did,
      100,
      who.recovery,
      atHome(keyOf, who.genesisCid, 'a.example.org'),
    )
    const kept = await logAt(plc.honestUrl, who.did)
    writeFileSync(join(who.folder, 'kept.json'), JSON.stringify(kept))
    plc.forget()
    plc.misbehave((ask) => (ask.kind === 'log' ? json(200, kept.slice(0, 1)) : undefined))
    const shorter = await exit(who, ['--to-self', '--known', 'kept.json'])
    expect(shorter.err).toContain('shorter than the one that you know')
    await changedNothing(who, shorter, 1)
    plc.misbehave((ask) =>
      ask.kind === 'log'
        ? json(200, kept.with(1, { ...kept[1], createdAt: new Date().toISOString() } as never))
        : undefined,
    )
    const other = await exit(who, ['--to-self', '--known', 'kept.json'])
    expect(other.err).toContain('another past')
    await changedNothing(who, other, 1)
    expect(one).toBe(kept[1]?.cid)
  })

  it('to a home whose statement is over, about others, or changed on its way', async () => {
    const who = await leaver()
    const over = newHomeFile(who, { expiresAt: isoOf(Date.now() - 1) }).path
    const others = newHomeFile(who, { did: (await leaver()).did }).path
    const changed = newHomeFile(who).path
    writeFileSync(changed, readFileSync(changed, 'utf8').replaceAll('new.example.org', 'evil.example.org'))
    plc.forget()
    for (const [path, says] of [
      [over, 'is over'],
      [others, 'about another community'],
      [changed, 'NOT SIGNED by the key in it: somebody changed it on its way'],
    ] as const) {
      const run = await exit(who, ['--to', path, '--for', NEW_OWNER])
      expect(run.err).toContain(says)
      await changedNothing(who, run, 1)
    }
  })

  it('by words that fit no command, and none of them is repeated', async () => {
    const who = await leaver()
    const typed = `${who.did}\n`
    for (const args of [
      ['exit', who.did, '--key', who.keyFile],
      ['exit', who.did, '--key', who.keyFile, '--to-self', '--to', 'x.json'],
      ['exit', who.did, '--key', who.keyFile, '--to-self', '--yes'],
      ['exit', who.did, '--key', who.keyFile, '--to-self', '--offline'],
      ['exit', who.did, '--key', who.keyFile, '--to-self', '--keep', '--undo-from', 'bafy'],
      ['exit', 'did:web:reeve.example', '--key', who.keyFile, '--to-self'],
      ['exit', who.did, '--key', who.keyFile, '--to-self', '--plc', 'http://plc.example.org'],
      ['exit', who.did, '--key', who.keyFile, '--to-self', '--endpoint', 'http://own.example.org'],
    ]) {
      const run = await reeve(who, args, { typed })
      await changedNothing(who, run, 64)
      expect(run.err).not.toContain(who.keyFile)
    }
  })

  it('over a file that is there already', async () => {
    const who = await leaver()
    writeFileSync(join(who.folder, 'kept.txt'), 'mine')
    await changedNothing(who, await exit(who, ['--to-self', '--out', 'kept.txt']), 1)
    expect(readFileSync(join(who.folder, 'kept.txt'), 'utf8')).toBe('mine')
  })
})

describe('a directory on the other side', () => {
  it('that refuses is named, and the signed file is kept for another way', async () => {
    const who = await leaver()
    plc.misbehave((ask) => (ask.kind === 'post' ? json(400) : undefined))
    const run = await exit(who, ['--to-self'])
    expect(run.code).toBe(1)
    expect(run.out).toContain('The directory refused it, and it is not in the log.')
    const [file = ''] = operationsOf(who)
    plc.misbehave(null)
    expect((await reeve(who, ['exit', 'send', who.did, file, '--plc', plc.honestUrl])).code).toBe(0)
    expect((await headOf(who))?.operation).toMatchObject({ services: {} })
  })

  it('that takes it and cuts the line is believed by its log', async () => {
    const who = await leaver()
    plc.misbehave(async (ask, forward) => {
      if (ask.kind !== 'post') return undefined
      await forward()
      return 'cut'
    })
    const run = await exit(who, ['--to-self'])
    expect(run.code, run.out + run.err).toBe(0)
  })

  it('that says it took it and didn’t is not believed, and nothing is lost', async () => {
    const who = await leaver()
    plc.misbehave((ask) => (ask.kind === 'post' ? json(200) : undefined))
    const run = await exit(who, ['--to-self'])
    expect(run.code).toBe(1)
    expect(run.out).toContain('Nobody can say whether the directory has it.')
    const [file = ''] = operationsOf(who)
    expect(run.out).toContain(`reeve exit send ${who.did} ${file}`)
  })

  it('that gives no answer is told in a line', async () => {
    const who = await leaver()
    plc.misbehave(() => 'cut')
    const run = await exit(who, ['--to-self'])
    expect(run.err).toBe('reeve: the directory gave no whole answer: try again, or over another network\n')
    await changedNothing(who, run, 1)
    plc.misbehave((ask) => (ask.kind === 'log' ? json(404) : undefined))
    expect((await exit(who, ['--to-self'])).err).toContain('the directory has no such DID')
  })
})

describe('watching', () => {
  it('says nothing is wrong, and alarms until somebody looked: another key, and an end', async () => {
    const who = await leaver()
    const first = await watch(who)
    expect(first.code).toBe(0)
    expect(first.out).toContain('A first look')
    expect((await watch(who)).out).toContain('Nothing is new.')
    const seized = await happened(plc.honestUrl, who.did, 10, who.ours, atHome([who.ours], who.genesisCid))
    for (const _time of [1, 2]) {
      const looked = await watch(who, ['--mine', who.recovery.didKey])
      expect(looked.code).toBe(1)
      expect(looked.out).toContain('ALARM: a key of the list has changed the identity')
      expect(looked.out).toContain(`signed by ${who.ours.didKey} (rotation key 2 before)`)
      expect(looked.out).toContain(seized)
      expect(looked.out).toContain('for another 61 h 59 min')
    }
    await happened(plc.honestUrl, who.did, 1, who.ours, tombstoneOn(seized))
    const ended = await watch(who)
    expect(ended.code).toBe(1)
    expect(ended.out).toContain('has ended the identity')
    expect((await watch(who, ['--accept'])).code).toBe(0)
    expect((await watch(who)).code).toBe(0)
  })

  it('has the operation ready that puts everything back, and sends nothing', async () => {
    const who = await leaver()
    await watch(who)
    await happened(plc.honestUrl, who.did, 10, who.ours, atHome([who.ours], who.genesisCid, 'weeds.example.org'))
    plc.forget()
    const typed = `${who.did}\n`
    const looked = await watch(who, ['--key', who.keyFile, '--counter', 'back.json'], typed)
    expect(looked.code).toBe(1)
    expect(plc.count('post')).toBe(0)
    const sent = await reeve(who, ['exit', 'send', who.did, 'back.json', '--plc', plc.url], { typed })
    expect(sent.code, sent.out + sent.err).toBe(0)
    expect((await headOf(who))?.operation).toMatchObject(atHome([who.recovery, who.ours], who.genesisCid))
    expect((await watch(who, ['--mine', who.recovery.didKey])).out).toContain('Was this you?')
    expect((await watch(who, ['--accept'])).code).toBe(0)
  })

  it('tells a key that was taken out and comes back over an operation of a lesser one', async () => {
    const quorum = makeKey('k256')
    const who = await leaver((recovery, ours) => [recovery, quorum, ours])
    const three = [who.recovery, quorum, who.ours]
    const harmless = await happened(plc.honestUrl, who.did, 20, who.ours, atHome(three, who.genesisCid))
    await happened(plc.honestUrl, who.did, 10, who.recovery, atHome([who.recovery, who.ours], harmless))
    expect((await watch(who)).code).toBe(1)
    const first = await watch(who, ['--accept'])
    expect(first.out).toContain(`Who may undo the operation in force:\n  ${who.recovery.didKey}`)
    expect(first.out).toContain(quorum.didKey)
    await happened(plc.honestUrl, who.did, 1, quorum, atHome([quorum], who.genesisCid))
    const looked = await watch(who)
    expect(looked.code).toBe(1)
    expect(looked.out).toContain(
      'ALARM: a key that is not in the list any more came back, over an operation of a lesser key',
    )
    const typed = `${who.did}\n`
    const ready = await watch(who, ['--key', who.keyFile, '--counter', 'back.json'], typed)
    expect(ready.out).toContain('Who could undo that:\n  nobody')
    expect((await reeve(who, ['exit', 'send', who.did, 'back.json', '--plc', plc.url], { typed })).code).toBe(0)
  })

  it('looks on by itself, over looks that fail, until it is told to end', async () => {
    const who = await leaver()
    const args = ['exit', 'watch', who.did, '--every', '6h', '--plc', plc.url]
    const looked = await runCli({ args, cwd: who.folder, until: 'Who may undo' })
    expect(looked).toMatchObject({ code: 0, err: '', out: expect.stringContaining('A first look') })
    plc.misbehave(() => 'cut')
    const failed = await runCli({ args, cwd: who.folder, until: 'ALARM?' })
    expect(failed).toMatchObject({
      code: 0,
      out: expect.stringContaining('This look failed: the directory gave no whole'),
    })
    runs.push(looked, failed)
  })

  it('tells a directory that shows less than before, or lies, and keeps what it has seen', async () => {
    const who = await leaver()
    await happened(plc.honestUrl, who.did, 10, who.recovery, atHome([who.recovery, who.ours], who.genesisCid))
    await watch(who, ['--accept'])
    const [seen = ''] = readdirSync(who.folder).filter((name) => name.endsWith('-seen.json'))
    const before = readFileSync(join(who.folder, seen))
    const log = await logAt(plc.honestUrl, who.did)
    plc.misbehave((ask) => (ask.kind === 'log' ? json(200, log.slice(0, 1)) : undefined))
    const less = await watch(who)
    expect(less).toMatchObject({
      code: 1,
      out: expect.stringContaining('ALARM: the directory shows less than before.'),
    })
    expect((await watch(who, ['--accept'])).code).toBe(1)
    plc.misbehave((ask) => (ask.kind === 'log' ? json(200, log.toReversed()) : undefined))
    expect((await watch(who)).err).toContain("this log can't be true")
    expect(readFileSync(join(who.folder, seen))).toEqual(before)
  })
})

describe('a recovery key', () => {
  it('is made for its owner alone, shown, and proves itself', async () => {
    const who = await leaver()
    const made = await reeve(who, ['recovery', 'new', 'fresh.key'])
    expect(made.code).toBe(0)
    const [didKey = ''] = made.out.split('\n')
    expect(statSync(join(who.folder, 'fresh.key')).mode & 0o777).toBe(0o600)
    expect(await reeve(who, ['recovery', 'show', 'fresh.key'])).toEqual({ code: 0, out: `${didKey}\n`, err: '' })
    const typed = readFileSync(join(who.folder, 'fresh.key'), 'utf8')
    expect(await reeve(who, ['recovery', 'show', '-'], { typed })).toEqual({ code: 0, out: `${didKey}\n`, err: '' })
    const proof = await reeve(who, [
      'recovery',
      'prove',
      'fresh.key',
      '--caller',
      who.did,
      '--service',
      'did:web:reeve.example',
    ])
    expect(proof.out).toMatch(/^[A-Za-z0-9_-]{86}\n$/)
    expect(proof.err).toContain(
      `the proof that ${who.did} holds the key ${didKey}, for the service did:web:reeve.example`,
    )
    expect((await reeve(who, ['recovery', 'new', 'fresh.key'])).code).toBe(1)
    expect((await reeve(who, ['recovery', 'new', 'nowhere/fresh.key'])).code).toBe(1)
    expect(existsSync(join(who.folder, 'nowhere'))).toBe(false)
  })

  it('is replaced before what a lesser key signed ten hours ago, so that the old one can’t come back', async () => {
    const who = await leaver()
    const both = [who.recovery, who.ours]
    await happened(plc.honestUrl, who.did, 10, who.ours, atHome(both, who.genesisCid, 'weeds.example.org'))
    const next = makeKey('k256')
    secrets.push(next)
    const newKey = keyFileIn(who.folder, 'next.key', next)
    const args = ['recovery', 'replace', who.did, '--key', who.keyFile, '--new-key', newKey, '--plc', plc.url]
    writeFileSync(join(who.folder, 'log.json'), JSON.stringify(await logAt(plc.honestUrl, who.did)))
    plc.forget()
    const offline = [...args.slice(0, -2), '--offline', '--log', 'log.json', '--out', 'signed.json']
    expect((await reeve(who, offline, { typed: `${who.did}\n` })).code).toBe(0)
    expect(plc.asked).toEqual([])
    const run = await reeve(who, args, { typed: `${who.did}\n` })
    expect(run.code, run.out + run.err).toBe(0)
    expect(run.out).toContain('what should stay of it is said again')
    expect(run.out).toContain('Who could undo this, once it is in the log:\n  nobody')
    expect((await headOf(who))?.operation).toMatchObject(atHome([next, who.ours], who.genesisCid, 'weeds.example.org'))
    const back = happened(plc.honestUrl, who.did, 0, who.recovery, atHome([who.recovery], who.genesisCid))
    await expect(back).rejects.toThrow('400')
  })

  it('that is to leave is waited for, where the one that signs may not go back before what a lesser key signed, and the hour is told', async () => {
    const cold = makeKey('k256')
    const who = await leaver((recovery, ours) => [cold, recovery, ours])
    // The key in the middle wants the cold one out while ours signed ten hours ago: it may not sign before that at all.
    await happened(plc.honestUrl, who.did, 10, who.ours, atHome([who.recovery, cold, who.ours], who.genesisCid))
    plc.forget()
    const run = await exit(who, ['--to-self', '--keep'])
    expect(run.out).toMatch(/If nobody signs anything until then, it is safe at \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\./)
    await changedNothing(who, run, 1)
  })
})

it('what strangers wrote is shown as it is, and moves nothing on the screen', async () => {
  const who = await leaver()
  const both = [who.recovery, who.ours]
  const evil = {
    ...atHome(both, who.genesisCid),
    alsoKnownAs: [
      'at://\u001b[2Jx\u001b]52;c;cm0gLXJm\u0007',
      'at://\u202egro.elpmaxe',
      'at://a\nSigned by everybody',
      'at://\u009b31m',
    ],
    services: { atproto_pds: { type: '\u001b[31mred', endpoint: 'https://old.example.org/\u0000\u200b' } },
  }
  await happened(plc.honestUrl, who.did, 10, who.ours, evil)
  await watch(who)
  const shown = await exit(who, ['--to-self', '--keep', '--dry-run'])
  expect(shown.out).toContain('\\u{1b}]52;c;cm0gLXJm\\u{7}')
  expect(shown.out).toContain('\\u{202e}gro.elpmaxe')
  expect(shown.out).toContain('a\\u{a}Signed by everybody')
  expect((await exit(who, ['--to-self'])).code).toBe(1)
})

it('and nothing that was ever written holds a key, or anything but plain characters', () => {
  expect(runs.length).toBeGreaterThan(50)
  for (const { out, err } of runs) expect(`${out}${err}`).toMatch(/^[\n -~]*$/)
  const scalars = Object.fromEntries(
    secrets.map((key, at) => {
      const { d = '' } = key.privateKey.export({ format: 'jwk' })
      return [`key ${at}`, spellingsOf(Buffer.from(d, 'base64url'))]
    }),
  )
  const written = folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .map((name) => [`${folder}/${name}`, readFileSync(join(folder, name))] as const),
  )
  expect(written.length).toBeGreaterThan(10)
  const told = Buffer.from(runs.map(({ out, err }) => out + err).join('\n'))
  expect(where(scalars, { ...Object.fromEntries(written), 'the screen': told })).toEqual([])
  // The search finds one that is there.
  const [folder = ''] = folders
  const { d = '' } = secrets[0]?.privateKey.export({ format: 'jwk' }) ?? {}
  writeFileSync(join(folder, 'leak.json'), Buffer.from(d, 'base64url').toString('hex'))
  expect(where(scalars, { leak: readFileSync(join(folder, 'leak.json')) })).not.toEqual([])
})
