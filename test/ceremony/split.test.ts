/**
 * A key comes into shares: dealt at one person's machine, taken by each keeper with a tool that looks at everything. Whatever whoever dealt, or
 * the service between, could have done wrong is named, and then nothing is kept and nothing is signed.
 */
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packetWords } from '../../src/cli/packet-words.ts'
import { sealTo } from '../../src/keys/age.ts'
import {
  type CeremonyStatement,
  hexOf,
  isActBy,
  isTranscriptProven,
  type Transcript,
  transcriptHashOf,
  transcriptWords,
} from '../../src/keys/ceremony-statements.ts'
import { fingerprintOf } from '../../src/keys/keeper-statements.ts'
import { packetText, parsePacket } from '../../src/keys/share-packet.ts'
import { combineShares, commitmentOf, isShareFor, type Share } from '../../src/keys/shares.ts'
import type { Did } from '../../src/names.ts'
import { sha256 } from '../../src/platform/bytes.ts'
import { isoOf } from '../../src/platform/clock.ts'
import {
  dealDeedOf,
  fileOf,
  jsonIn,
  type KeptBy,
  openTable,
  placeFor,
  plainly,
  splitOf,
  statementIn,
  type Table,
} from '../kit/ceremony-files.ts'
import type { Run } from '../kit/cli.ts'
import { expectGolden } from '../kit/golden.ts'
import { openFile } from '../kit/keepers.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { base64Url, makeKey, signBytes, type TestKey } from '../kit/tokens.ts'

let table: Table
/** The split that all of this is about: dealt by the first of the three. */
let file: Record<string, unknown>
let deal: Deal
let dealing: Run

interface Deal {
  readonly transcript: Transcript
  readonly proof: string
  readonly packets: readonly string[]
  readonly statementHash: string
  readonly act: { readonly at: string; readonly sig: string }
}

beforeAll(async () => {
  table = await openTable()
  file = fileOf(table, splitOf(table), { state: 'approved' })
  const out = join(table.folder, 'deal.json')
  const [ada] = table.keepers
  dealing = await table.atPlc(['keeper', 'deal', ada.folder, table.write('split.json', file), '--out', out])
  expect(dealing.code, dealing.err).toBe(0)
  deal = jsonIn(out) as unknown as Deal
})
afterAll(() => table.close())

const identityOf = ({ folder }: KeptBy): string =>
  /^AGE-SECRET-KEY-1\S+$/m.exec(readFileSync(join(folder, 'seal.key'), 'utf8'))?.[0] ?? ''

/** The share of a keeper, as it was dealt to them. */
async function shareOf(at: number): Promise<Share> {
  const keeper = table.keepers[at] as KeptBy
  const text = Buffer.from(await openFile(identityOf(keeper), deal.packets[at] ?? ''))
  const opened = parsePacket(new Uint8Array(text))
  if (!opened) throw new Error('no packet')
  return opened.share
}

describe('reeve keeper deal', () => {
  it('says who is to keep a share, asks, and tells what it does', () => {
    expect(dealing.out).toBe('')
    expectGolden('keeper-deal.txt', plainly(table, dealing.err, { [deal.transcript.pub]: '<key in shares>' }))
    for (const keeper of table.keepers)
      expect(dealing.err).toContain(`  ${keeper.did}\n    fingerprint ${fingerprintOf(keeper)}\n`)
  })

  it('makes a key whose shares bring it back, seals each to its keeper, and signs what it gives', async () => {
    const { transcript, proof, statementHash, act, packets } = deal
    expect(jsonIn(join(table.folder, 'deal.json'))).toMatchObject({
      community: table.community,
      ceremony: file['ceremony'],
    })
    expect(statementHash).toBe(file['statementHash'])
    expect(transcript.dealtBy).toBe(statementHash)
    expect(isTranscriptProven(transcript, proof)).toBe(true)
    expect(transcript.packets).toEqual(packets.map((packet) => hexOf(sha256(Buffer.from(packet, 'base64')))))
    const [ada] = table.keepers
    const claim = { statementHash, act: 'deal' as const, subject: transcriptHashOf(transcript), at: act.at }
    expect(isActBy(claim, ada.signKey, act.sig)).toBe(true)
    const dealtBy = Buffer.from(statementHash, 'hex')
    const shares = [await shareOf(0), await shareOf(1), await shareOf(2)]
    for (const [at, share] of shares.entries()) {
      const place = { x: transcript.xs[at] ?? 0, commitment: transcript.commitments[at] ?? '' }
      expect(isShareFor(share, place, new Uint8Array(dealtBy))).toBe(true)
    }
    for (const set of [
      [0, 1],
      [0, 2],
      [1, 2],
    ]) {
      const some = set.flatMap((at) => shares[at] ?? [])
      expect(await combineShares(some, { k: 2, didKey: transcript.pub })).not.toBeNull()
    }
    expect(statSync(join(table.folder, 'deal.json')).mode & 0o777).toBe(0o600)
  })

  it('leaves no share where anybody else reads', async () => {
    const shares = Object.fromEntries(
      await Promise.all([0, 1, 2].map(async (at) => [`share ${at}`, spellingsOf(Buffer.from((await shareOf(at)).y))])),
    )
    const told = {
      'the screen': Buffer.from(dealing.out + dealing.err),
      'the deal': readFileSync(join(table.folder, 'deal.json')),
    }
    expect(where(shares, told)).toEqual([])
    // The search finds one that is there.
    const [{ y }] = [await shareOf(0)]
    expect(where(shares, { leak: Buffer.from(hexOf(y)) })).not.toEqual([])
  })

  const approved = (changes: Partial<CeremonyStatement>) => () =>
    fileOf(table, splitOf(table, changes), { state: 'approved' })
  const other = makeKey('p256')

  it.each<[string, () => object, string]>([
    ['of an impostor', () => fileOf(table, splitOf(table), { state: 'approved' }, other), 'signed neither by'],
    ['that nobody approved', () => fileOf(table, splitOf(table), { state: 'proposed' }), 'it is proposed'],
    ['whose time is over', approved({ expiresAt: isoOf(Date.now() - 1000) }), 'is over since'],
    [
      'of another community than the log',
      () => fileOf(table, splitOf(table, { community: `did:plc:${'a'.repeat(24)}` as Did }), { state: 'approved' }),
      'the directory has no such DID',
    ],
    [
      'beside which something else is said',
      () => ({ ...fileOf(table, splitOf(table), { state: 'approved' }), kind: 'drill' }),
      'says something else beside the statement',
    ],
    [
      'with other keys at the seat of whoever deals',
      () => {
        const [ada, bea, cyd] = splitOf(table).seats
        const seats = [{ ...ada, signKey: other.didKey }, bea, cyd] as CeremonyStatement['seats']
        return fileOf(table, splitOf(table, { seats }), { state: 'approved' })
      },
      'has other keys than those in the folder',
    ],
    [
      'with a key that nothing can be sealed to',
      () => {
        const [ada, bea, cyd] = splitOf(table).seats
        const seats = [ada, bea, { ...cyd, sealKey: `age1${'q'.repeat(58)}` }] as CeremonyStatement['seats']
        return fileOf(table, splitOf(table, { seats }), { state: 'approved' })
      },
      'nothing can be sealed to the key of',
    ],
    ['that is no ceremony', () => ({}), 'there is no ceremony in the file'],
  ])('deals no split %s', async (_which, fileFor, says) => {
    const [ada] = table.keepers
    const path = table.write('refused.json', fileFor())
    const out = join(table.folder, 'refused-deal.json')
    const run = await table.atPlc(['keeper', 'deal', ada.folder, path, '--out', out])
    expect([run.code, run.out]).toEqual([1, ''])
    expect(run.err).toContain(says)
    expect(existsSync(out)).toBe(false)
  })

  it('nothing for whoever does not type the DID, and over no other file', async () => {
    const [ada] = table.keepers
    const args = ['keeper', 'deal', ada.folder, table.write('again.json', file), '--out']
    const unsaid = await table.atPlc([...args, join(table.folder, 'never.json')], 'yes\n')
    expect(unsaid.code).toBe(1)
    expect(unsaid.err).toContain('That is not the DID.')
    expect(existsSync(join(table.folder, 'never.json'))).toBe(false)
    const over = await table.atPlc([...args, join(table.folder, 'deal.json')])
    expect(over.code).toBe(1)
    expect(jsonIn(join(table.folder, 'deal.json'))).toEqual(deal)
  })
})

describe('reeve keeper ack', () => {
  /** The file that the service answers to one of the keepers. */
  const dealtTo = (at: number, more: object = {}) => ({
    ...file,
    ...{ state: 'collecting', transcript: deal.transcript, proof: deal.proof, packet: deal.packets[at] },
    deeds: [{ did: table.keepers[0].did, act: 'deal', ...deal.act }],
    ...more,
  })
  let places = 0
  const twoPlaces = (): readonly [string, string] => {
    places += 1
    return [join(placeFor(table, `disk-${places}`), 'share.age'), join(placeFor(table, `stick-${places}`), 'share.age')]
  }
  const ack = (at: number, value: unknown, [one, two] = twoPlaces(), keeper = table.keepers[at] as KeptBy) =>
    table.atPlc(['keeper', 'ack', keeper.folder, table.write('dealt.json', value), '--keep', one, '--keep', two])

  it('looks at everything, keeps the sealed packet in two places, and signs what was dealt', async () => {
    const kept = twoPlaces()
    const run = await ack(1, dealtTo(1), kept)
    expect(run.code, run.err).toBe(0)
    const paths = { [kept[0]]: '<one place>', [kept[1]]: '<the other>', [deal.transcript.pub]: '<key in shares>' }
    expectGolden('keeper-ack.txt', plainly(table, run.err, paths))
    const sealed = Buffer.from(deal.packets[1] ?? '', 'base64')
    for (const path of kept) {
      expect(readFileSync(path).equals(sealed)).toBe(true)
      expect(statSync(path).mode & 0o777).toBe(0o600)
    }
    const { act, ...body } = JSON.parse(run.out)
    expect(body).toEqual({
      community: table.community,
      ceremony: file['ceremony'],
      statementHash: file['statementHash'],
    })
    const subject = transcriptHashOf(deal.transcript)
    const claim = { statementHash: String(file['statementHash']), act: 'acknowledge' as const, subject, at: act.at }
    expect(isActBy(claim, table.keepers[1].signKey, act.sig)).toBe(true)
    // The answer may get lost: the same again, over the files that are there.
    const again = await ack(1, dealtTo(1), kept)
    expect(again.code, again.err).toBe(0)
  })

  it.each<[string, (folder: string) => readonly [string, string]]>([
    ['one path twice', (folder) => [join(folder, 'a'), join(folder, 'a')]],
    ['two files in one folder', (folder) => [join(folder, 'a'), join(folder, 'b')]],
    [
      'a folder and a link to it',
      (folder) => {
        symlinkSync(folder, `${folder}-link`)
        return [join(folder, 'a'), join(`${folder}-link`, 'a')]
      },
    ],
  ])('takes two places that are one for none: %s', async (name, pathsIn) => {
    const [one, two] = pathsIn(placeFor(table, `one place ${name}`))
    const run = await ack(1, dealtTo(1), [one, two])
    expect([run.code, run.out]).toEqual([64, ''])
    expect(run.err).toContain('the two places are one')
    expect([existsSync(one), existsSync(two)]).toEqual([false, false])
  })

  it('keeps nothing where one of the places holds something else', async () => {
    const [one, two] = twoPlaces()
    writeFileSync(two, 'mine')
    const run = await ack(1, dealtTo(1), [one, two])
    expect([run.code, run.out]).toEqual([1, ''])
    expect(existsSync(one)).toBe(false)
    expect(readFileSync(two, 'utf8')).toBe('mine')
  })

  /** The packet of the second keeper with something else in it, as whoever dealt could have sealed it. */
  async function packetWith(
    changes: object,
    changeShare?: (share: Share) => Share,
  ): Promise<{ packet: string; hash: string }> {
    const [, bea] = table.keepers
    const opened = parsePacket(new Uint8Array(Buffer.from(await openFile(identityOf(bea), deal.packets[1] ?? ''))))
    if (!opened) throw new Error('no packet')
    const text = packetText({ ...opened.packet, ...changes }, changeShare?.(opened.share) ?? opened.share)
    const sealed = await sealTo([bea.sealKey], text)
    return { packet: Buffer.from(sealed).toString('base64'), hash: hexOf(sha256(sealed)) }
  }

  /** The key itself, as only whoever dealt could have kept it: for lies that it signed. */
  async function keptKey(): Promise<TestKey> {
    const pair = await combineShares([await shareOf(0), await shareOf(1)], { k: 2, didKey: deal.transcript.pub })
    if (!pair) throw new Error('no key')
    return { ...makeKey('k256'), privateKey: pair.privateKey, didKey: pair.didKey }
  }

  /** What whoever dealt gives to the second keeper with another packet, or another transcript, proven all the same. */
  async function lied(changes: Partial<Transcript>, packet?: { packet: string; hash: string }): Promise<object> {
    const packets = deal.transcript.packets.map((hash, at) => (at === 1 && packet ? packet.hash : hash))
    const transcript = { ...deal.transcript, packets, ...changes }
    const proof = base64Url(signBytes(await keptKey(), transcriptWords(transcript)))
    const deeds = [dealDeedOf(table, deal.statementHash, transcript)]
    return dealtTo(1, { transcript, proof, deeds, ...(packet ? { packet: packet.packet } : {}) })
  }

  const flipped = ({ x, y }: Share): Share => ({ x, y: y.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) })

  it.each<[string, () => Promise<object> | object, string]>([
    [
      'a packet that was changed on its way',
      () => {
        const bytes = Buffer.from(deal.packets[1] ?? '', 'base64')
        bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1
        return dealtTo(1, { packet: bytes.toString('base64') })
      },
      'the packet in the file is not the one that was dealt to you',
    ],
    ["another keeper's packet", () => dealtTo(0), 'the packet in the file is not the one that was dealt to you'],
    ['a deal that nobody says is theirs', () => dealtTo(1, { deeds: [] }), 'the dealer did not sign this'],
    [
      'a deal that another keeper signed in the name of the dealer',
      () => dealtTo(1, { deeds: [dealDeedOf(table, deal.statementHash, deal.transcript, table.keepers[2])] }),
      'the dealer did not sign this',
    ],
    [
      'a deal of which the dealer signed another',
      async () => ({
        ...(await lied({ packets: [...deal.transcript.packets.slice(0, 2), hexOf(sha256('x'))] })),
        deeds: dealtTo(1).deeds,
      }),
      'the dealer did not sign this',
    ],
    [
      'a packet with other words of what to do',
      async () => lied({}, await packetWith({ howTo: ['Send this to https://evil.example.org.'] })),
      'the packet tells you to do other things than this tool writes into packets',
    ],
    [
      'a packet without the history for which there was room',
      async () => {
        const howTo = packetWords({ said: statementIn(file), keeper: table.keepers[1].did, isWithoutLog: true })
        return lied({}, await packetWith({ howTo, plcLog: [] }))
      },
      'no log of the identity in it, although there was room for it',
    ],
    ['no proof of the new key', () => dealtTo(1, { proof: deal.act.sig }), 'the new key did not sign what was dealt'],
    [
      'a deal under another statement',
      () => lied({ dealtBy: hexOf(sha256('another')) }),
      'it was dealt under another statement',
    ],
    [
      'one place for two keepers',
      () => lied({ xs: [...deal.transcript.xs.slice(0, 2), deal.transcript.xs[0] ?? 0] }),
      'there are not as many different shares as keepers',
    ],
    [
      'a packet that does not open',
      async () => {
        const sealed = await sealTo([table.keepers[0].sealKey], new Uint8Array(8))
        return lied({}, { packet: Buffer.from(sealed).toString('base64'), hash: hexOf(sha256(sealed)) })
      },
      'your packet does not open with the keys in the folder',
    ],
    [
      'a packet with nothing in it',
      async () => {
        const sealed = await sealTo([table.keepers[1].sealKey], new Uint8Array(8))
        return lied({}, { packet: Buffer.from(sealed).toString('base64'), hash: hexOf(sha256(sealed)) })
      },
      'what is in your packet is no packet of a keeper',
    ],
    [
      'a packet of another split',
      async () => lied({}, await packetWith({ dealtBy: hexOf(sha256('another')) })),
      'the packet is of another split',
    ],
    [
      'a packet about another key',
      async () => lied({}, await packetWith({ pub: makeKey('k256').didKey })),
      'the packet is about another key',
    ],
    [
      'a packet of another generation',
      async () => lied({}, await packetWith({ generation: 2 })),
      'the packet is about another key',
    ],
    [
      'a packet for another keeper',
      async () => lied({}, await packetWith({ keeper: table.keepers[2].did })),
      'what you were given is the packet of another keeper',
    ],
    [
      'a packet for another place',
      async () => lied({}, await packetWith({ x: deal.transcript.xs[0] })),
      'the packet is for the place of another keeper',
    ],
    [
      'a wrong share',
      async () => lied({}, await packetWith({}, flipped)),
      'THE SHARE IS WRONG: it is not the one of its commitment',
    ],
    [
      'the wrong commitment to one of the others',
      async () => {
        const wrong = commitmentOf(sha256('another'), await shareOf(2))
        return lied({ commitments: [...deal.transcript.commitments.slice(0, 2), wrong] })
      },
      'the packet names other keepers, places or commitments than were dealt',
    ],
    [
      'another history of the identity',
      async () => lied({}, await packetWith({ plcLog: [{ did: table.community }] })),
      'a log of the identity in it from which the log now does not go on',
    ],
  ])('refuses by name %s', async (_what, given, says) => {
    const kept = twoPlaces()
    const run = await ack(1, await given(), kept)
    expect([run.code, run.out]).toEqual([1, ''])
    expect(run.err).toContain(`reeve: STOP: `)
    expect(run.err).toContain(says)
    expect(run.err).toContain('Do not acknowledge it, and keep nothing of it. Tell the owners')
    expect(run.err).toContain(`whoever dealt (${table.keepers[0].did}) made a mistake or cheats`)
    expect(kept.map((path) => existsSync(path))).toEqual([false, false])
  })

  it('refuses keys that nobody named, and a statement that the community did not sign', async () => {
    const [ada, bea, cyd] = splitOf(table).seats
    const seats = [ada, { ...bea, sealKey: cyd?.sealKey }, cyd] as CeremonyStatement['seats']
    const renamed = fileOf(table, { ...statementIn(file), seats })
    const run = await ack(1, { ...dealtTo(1), ...renamed })
    expect(run.err).toContain('and the seal.key is not: your packet does not open with it')
    const impostor = fileOf(table, statementIn(file), {}, makeKey('p256'))
    const forged = await ack(1, dealtTo(1, { sig: impostor['sig'] }))
    expect(forged.err).toContain('signed neither by')
    expect([run.code, forged.code]).toEqual([1, 1])
  })

  it('says which of two keys is another one, and what can still be done', async () => {
    const [ada, bea, cyd] = splitOf(table).seats
    const withBea = (keys: object) =>
      fileOf(table, { ...statementIn(file), seats: [ada, { ...bea, ...keys }, cyd] as CeremonyStatement['seats'] })
    const lostSign = await ack(1, { ...dealtTo(1), ...withBea({ signKey: makeKey('p256').didKey }) })
    expect(lostSign.err).toContain(
      `the seal.key in the folder is that of the seat of ${bea?.did}, and the sign.key is not`,
    )
    const lostSeal = await ack(1, { ...dealtTo(1), ...withBea({ sealKey: `age1${'q'.repeat(58)}` }) })
    expect(lostSeal.err).toContain(
      `the sign.key in the folder is that of the seat of ${bea?.did}, and the seal.key is not`,
    )
    expect([lostSign.code, lostSeal.code]).toEqual([1, 1])
  })

  it('asks for a newer file where the deal is not in it, and blames nobody', async () => {
    for (const stale of [file, { ...dealtTo(1), packet: undefined }]) {
      const run = await ack(1, stale)
      expect([run.code, run.out]).toEqual([1, ''])
      expect(run.err).toContain('Fetch the ceremony again (community.reeve.key.get), as yourself')
      expect(run.err).not.toContain('cheats')
    }
  })

  it('takes no state that there is none of', async () => {
    const run = await ack(1, dealtTo(1, { state: 'all is well' }))
    expect([run.code, run.out]).toEqual([1, ''])
    expect(run.err).toContain('there is no ceremony in the file')
  })
})

it('nothing that was ever written holds a share, or anything but plain characters', async () => {
  const shares = Object.fromEntries(
    await Promise.all([0, 1, 2].map(async (at) => [`share ${at}`, spellingsOf(Buffer.from((await shareOf(at)).y))])),
  )
  const told = table.runs.map(({ out, err }) => out + err).join('\n')
  expect(told).toMatch(/^[\n -~]*$/)
  expect(where(shares, { 'the screen': Buffer.from(told) })).toEqual([])
})
