/**
 * Keepers act in ceremonies of a service that may lie: they look before they say yes, give shares that are worth nothing anywhere else, and one of
 * them puts these together. What is shown is what is signed, and whoever gives something wrong is named while the others go on.
 */
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from '@ipld/dag-cbor'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cidOf, parsePlcOperation, type UnsignedPlcOperation } from '../../src/identity/plc-operation.ts'
import {
  type CeremonyAct,
  type CeremonyStatement,
  givenHashOf,
  isActBy,
  isConcludedBy,
} from '../../src/keys/ceremony-statements.ts'
import { makeKeeperFiles, openKeeper } from '../../src/keys/keeper-keys.ts'
import { openOpener } from '../../src/keys/opener-key.ts'
import { parsePacket } from '../../src/keys/share-packet.ts'
import { sealShare } from '../../src/keys/share-seal.ts'
import { isShareFor, type Share } from '../../src/keys/shares.ts'
import type { Did } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import {
  ceremonyOf,
  combineOf,
  type DealtKey,
  dealAt,
  deedOf,
  fileOf,
  identityOf,
  jsonIn,
  openerAt,
  openTable,
  placeAt,
  plainly,
  signedAs,
  statementIn,
  type Table,
} from '../kit/ceremony-files.ts'
import { expectGolden } from '../kit/golden.ts'
import { logAt } from '../kit/leaving.ts'
import { HOUR_MS } from '../kit/plc-stories.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { makeKey } from '../kit/tokens.ts'

let table: Table
/** The key in force, and one that was dealt after it and isn't. */
let dealt: DealtKey
let later: DealtKey
/** One that was dealt when the key in force stood in the identity. */
let afterwards: DealtKey
/** The operation that put the key into the identity. */
let head: string
let opener: { readonly path: string; readonly sealTo: string }
let otherOpener: typeof opener

beforeAll(async () => {
  table = await openTable()
  dealt = await dealAt(table, 'first')
  later = await dealAt(table, 'second', {
    quorum: { key: 'quorum-2', pub: null, generation: 2, n: 3, k: 2, dealtBy: null },
  })
  head = await placeAt(table, dealt.pub)
  afterwards = await dealAt(table, 'third')
  opener = openerAt(table, 'opener.key')
  otherOpener = openerAt(table, 'other-opener.key')
})
afterAll(() => table.close())

let strangers = 0
/** The folder of somebody who keeps no share. */
async function strangersFolder(): Promise<string> {
  strangers += 1
  const folder = join(table.folder, `stranger-${strangers}`)
  await makeKeeperFiles(folder)
  return folder
}

const named = (text: string) => plainly(table, text, { [dealt.pub]: '<key in shares>', [later.pub]: '<later key>' })
const statementHash = (file: Record<string, unknown>) => String(file['statementHash'])

/** What the identity says now, with a change. */
const changed = (changes: Partial<UnsignedPlcOperation>, prev = head): UnsignedPlcOperation => {
  const { recovery, ours } = table.keys
  return identityOf(table, [recovery.didKey, dealt.pub, ours.didKey], prev, changes)
}

/** The answer of a service about a combine. */
const combineFile = (operation: UnsignedPlcOperation, changes: Partial<CeremonyStatement> = {}, more: object = {}) =>
  fileOf(table, ceremonyOf(table, dealt, { ...combineOf(operation, head), sealTo: opener.sealTo, ...changes }), more)
const drillFile = (changes: Partial<CeremonyStatement> = {}, more: object = {}) =>
  fileOf(table, ceremonyOf(table, dealt, { sealTo: opener.sealTo, ...changes }), more)

function isSignedAct(
  run: { out: string },
  at: number,
  file: Record<string, unknown>,
  act: CeremonyAct,
  subject: string | null,
) {
  const { act: signed } = JSON.parse(run.out)
  const { signKey } = table.keepers[at] ?? { signKey: '' }
  return isActBy({ statementHash: statementHash(file), act, subject, at: signed.at }, signKey, signed.sig)
}

describe('reeve keeper approve', () => {
  const approve = (value: object, args: readonly string[] = [], typed?: string, at = 2) =>
    table.atPlc(
      ['keeper', 'approve', table.keepers[at]?.folder ?? '', table.write('asked.json', value), ...args],
      typed,
    )

  it('shows the operation decoded, against the log that it read itself, and signs when the DID is typed', async () => {
    const file = combineFile(changed({ alsoKnownAs: ['at://beds.example.org'] }))
    const run = await approve(file, ['--packet', dealt.packets[2]])
    expect(run.code, run.err).toBe(0)
    expectGolden('keeper-approve.txt', named(run.err))
    const { act: _, ...body } = JSON.parse(run.out)
    expect(body).toEqual({ community: table.community, ceremony: file['ceremony'], statementHash: statementHash(file) })
    expect(isSignedAct(run, 2, file, 'approve', null)).toBe(true)
  })

  it.each<[CeremonyAct, string]>([
    ['reject', '--reject'],
    ['cancel', '--cancel'],
  ])('signs a %s as that, and not without the DID', async (act, flag) => {
    const file = combineFile(changed({}))
    const unsaid = await approve(file, [flag], 'no\n')
    expect([unsaid.code, unsaid.out]).toEqual([1, ''])
    const run = await approve(file, [flag])
    expect(run.code, run.err).toBe(0)
    expect(isSignedAct(run, 2, file, act, null)).toBe(true)
    expect(JSON.parse(run.out).reject).toBe(act === 'reject' ? true : undefined)
    expect((await approve(file, ['--reject', '--cancel'])).code).toBe(64)
  })

  it('shows a split to another owner, who need not be a keeper', async () => {
    const file = { ...fileOf(table, dealt.split), state: 'proposed' }
    const run = await approve(file)
    expect(run.code, run.err).toBe(0)
    expect(run.err).toContain('2 of 3 keepers will have to act together.')
    expect(isSignedAct(run, 2, file, 'approve', null)).toBe(true)
  })

  it('shows owners who are named, and whoever opens the shares', async () => {
    const owners = [table.keepers[0].did, 'did:web:new.example.org' as Did]
    const file = drillFile({ kind: 'ownership', owners, combiner: null })
    const run = await approve(file)
    expect(run.code, run.err).toBe(0)
    expect(run.err).toContain(`owned by these, and by nobody else:\n  ${owners[0]}\n  did:web:new.example.org\n`)
    expect(run.err).toContain('WARNING: THE SERVICE ITSELF OPENS THE SHARES: did:web:reeve.example.org.')
  })

  const keys = () => ({ recovery: table.keys.recovery.didKey, ours: table.keys.ours.didKey, pub: dealt.pub })
  const stranger = makeKey('k256').didKey
  it.each<[string, () => UnsignedPlcOperation, string]>([
    [
      "the service's key moves up",
      () => changed({ rotationKeys: [keys().recovery, keys().ours, keys().pub] }),
      "WARNING: A HOME'S KEY MOVES UP, above keys of the community: <the service's key> (a home's key).",
    ],
    [
      'the key in shares leaves',
      () => changed({ rotationKeys: [keys().recovery, keys().ours] }),
      'WARNING: THE KEY IN SHARES LEAVES',
    ],
    [
      "a member's key leaves",
      () => changed({ rotationKeys: [keys().pub, keys().ours] }),
      'WARNING: A KEY OF THE COMMUNITY LEAVES: <recovery key>.',
    ],
    [
      "the service's key leaves",
      () => changed({ rotationKeys: [keys().recovery, keys().pub] }),
      "WARNING: a home's key leaves: <the service's key> (a home's key).",
    ],
    [
      'a key comes in above the one in shares',
      () => changed({ rotationKeys: [stranger, ...changed({}).rotationKeys] }),
      'WARNING: A NEW KEY STANDS ABOVE THE KEY IN SHARES: <key>.',
    ],
    [
      'a service that nobody knows',
      () =>
        changed({
          services: { ...changed({}).services, evil: { type: 'Evil', endpoint: 'https://evil.example.org' } },
        }),
      'WARNING: A SERVICE THAT THIS TOOL DOES NOT KNOW: #evil at https://evil.example.org',
    ],
    [
      'another home',
      () =>
        changed({
          services: { atproto_space_host: { type: 'AtprotoSpaceHost', endpoint: 'https://evil.example.org' } },
        }),
      'WARNING: THE COMMUNITY MOVES: #atproto_space_host is at https://evil.example.org',
    ],
    [
      'another key for the name of the community',
      () => changed({ verificationMethods: { ...changed({}).verificationMethods, atproto: stranger } }),
      "WARNING: ANOTHER KEY SPEAKS IN THE COMMUNITY'S NAME from now on (#atproto)",
    ],
    [
      'a key for something that nobody knows',
      () => changed({ verificationMethods: { ...changed({}).verificationMethods, evil: stranger } }),
      'WARNING: A KEY COMES IN THAT THIS TOOL DOES NOT KNOW: #evil <key>',
    ],
    [
      'a key with a name that every object has',
      () => changed({ verificationMethods: { ...changed({}).verificationMethods, constructor: stranger } }),
      'WARNING: A KEY COMES IN THAT THIS TOOL DOES NOT KNOW: #constructor <key>',
    ],
    [
      'a key that goes',
      () => changed({ verificationMethods: { atproto_space: table.keys.space.didKey } }),
      'WARNING: a key leaves (#atproto): <space key>',
    ],
    [
      'a service that goes',
      () => changed({ services: {} }),
      'WARNING: A SERVICE LEAVES: #atproto_space_host at https://',
    ],
    [
      'another name',
      () => changed({ alsoKnownAs: ['at://evil.example.org'] }),
      'WARNING: a name comes: at://evil.example.org',
    ],
    [
      'keys in another order',
      () => changed({ rotationKeys: [keys().pub, keys().recovery, keys().ours] }),
      'WARNING: the rotation keys that stay are in another order',
    ],
    [
      'another key for the spaces',
      () => changed({ verificationMethods: { ...changed({}).verificationMethods, atproto_space: stranger } }),
      'WARNING: another key signs for the spaces of the community from now on',
    ],
    [
      'the end of the identity',
      () => ({ type: 'plc_tombstone', prev: head }) as unknown as UnsignedPlcOperation,
      'WARNING: IT ENDS THE IDENTITY.',
    ],
  ])('warns of what a service signed without saying so: %s', async (_what, operation, says) => {
    const run = await approve(combineFile(operation()), [], 'no\n')
    expect([run.code, run.out]).toEqual([1, ''])
    expect(named(run.err)).toContain(says)
    expect(run.err).not.toContain('Nothing in it is unusual')
  })

  it('warns where the identity has gone on since', async () => {
    const { operation } = combineOf(changed({}), head)
    const run = await approve(
      combineFile(changed({}), {
        operation: { ...operation, head: genesisCid(await logAt(table.plcUrl, table.community)) },
      }),
    )
    expect(run.err).toContain('WARNING: the identity has gone on since this was asked for')
  })

  it('says that nothing is unusual only of what the identity says now', async () => {
    const run = await approve(combineFile(changed({})), [], 'no\n')
    expect(run.err).toContain('Nothing in it is unusual: it says of the identity what it says now.')
    expect(run.err).not.toContain('WARNING')
  })

  it('takes no opener for which its combiner does not vouch, whoever signed the statement', async () => {
    const [ada, bea] = table.keepers
    const theirs = { community: table.community, sealTo: otherOpener.sealTo }
    const swapped: readonly Partial<CeremonyStatement>[] = [
      // The service puts its own opener there, under the voucher that it has; or under one by whomever else.
      { sealTo: otherOpener.sealTo, voucher: bea.hands.vouch({ ...theirs, sealTo: opener.sealTo }) },
      { sealTo: otherOpener.sealTo, voucher: ada.hands.vouch(theirs) },
      { voucher: bea.hands.vouch({ community: `did:plc:${'a'.repeat(24)}` as Did, sealTo: opener.sealTo }) },
    ]
    for (const changes of swapped) {
      for (const file of [drillFile(changes), combineFile(changed({}), changes)]) {
        const runs = [
          await approve(file),
          await approve(file, ['--packet', dealt.packets[2]]),
          (await giving(2, file)).run,
        ]
        for (const run of runs) {
          expect([run.code, run.out]).toEqual([1, ''])
          expect(run.err).toContain(`STOP: ${bea.did}, who is to open the shares, did not sign`)
        }
      }
    }
  })

  it('by the key of the packet where there is one, and says so where there is none', async () => {
    const stranger = await openKeeper(await strangersFolder())
    const said = ceremonyOf(table, dealt, { sealTo: opener.sealTo })
    const voucher = stranger.vouch({ community: table.community, sealTo: opener.sealTo })
    const seats = said.seats.map((seat, at) => (at === 1 ? { ...seat, signKey: stranger.signKey } : seat))
    const file = fileOf(table, { ...said, seats, voucher })
    const blind = await approve(file)
    expect(blind.code, blind.err).toBe(0)
    expect(blind.err).toContain('by the signing key of their seat IN THIS STATEMENT')
    for (const run of [await approve(file, ['--packet', dealt.packets[2]]), (await giving(2, file)).run]) {
      expect([run.code, run.out]).toEqual([1, ''])
      expect(named(run.err)).toContain('is not about the key of your packet (the signing key of <bea>)')
    }
  })

  it('says of a key that is not in the identity that it is not', async () => {
    const file = fileOf(table, ceremonyOf(table, later, { sealTo: opener.sealTo }))
    const run = await approve(file, ['--packet', later.packets[2]])
    expect(run.err).toContain('WARNING: it is NOT in the identity now: not placed yet, or replaced.')
    expect((await approve(drillFile())).err).toContain('In the identity now it is rotation key 2 of 3.')
  })

  it.each<[string, Partial<CeremonyStatement>, string]>([
    [
      'of a time to come',
      { createdAt: isoOf(Date.now() + HOUR_MS), expiresAt: isoOf(Date.now() + 2 * HOUR_MS) },
      'is of a time to come',
    ],
    ['that is open for a week', { expiresAt: isoOf(Date.now() + 7 * 24 * HOUR_MS) }, 'open for longer than any'],
  ])('takes no statement %s', async (_what, changes, says) => {
    const run = await approve(drillFile(changes))
    expect([run.code, run.out]).toEqual([1, ''])
    expect(run.err).toContain(says)
  })

  it('takes no log that does not go on from the one in the packet', async () => {
    const [genesis] = await logAt(table.plcUrl, table.community)
    const short = table.write('short-log.json', [genesis])
    const path = join(table.folder, 'short')
    const about = table.write(
      'about-later.json',
      fileOf(table, ceremonyOf(table, afterwards, { sealTo: opener.sealTo })),
    )
    const [, , cyd] = table.keepers
    const lines = [
      ['keeper', 'approve', cyd.folder, about, '--packet', afterwards.packets[2]],
      ['keeper', 'give', cyd.folder, afterwards.packets[2], about],
      ['keeper', 'combine', table.keepers[1].folder, about, '--opener', opener.path, '--packet', afterwards.packets[1]],
      [
        'keeper',
        'ask',
        cyd.folder,
        afterwards.packets[2],
        '--drill',
        '--opener',
        opener.path,
        '--out',
        `${path}.asked`,
      ],
    ]
    for (const args of lines) {
      const run = await table.reeve([...args, '--log', short])
      expect([run.code, run.out]).toEqual([1, ''])
      expect(run.err).toContain('the log is shorter than the one that you know')
    }
    const exit = [
      'exit',
      table.community,
      '--packet',
      afterwards.packets[2],
      '--keeper',
      cyd.folder,
      '--to-self',
      '--keep',
    ]
    const leaving = await table.reeve([
      ...exit,
      '--opener',
      opener.path,
      '--ask',
      `${path}.exit`,
      '--log',
      short,
      '--offline',
    ])
    expect(leaving.code).toBe(1)
    expect(leaving.err).toContain('the log is shorter than the one that you know')
  })

  const genesisCid = (log: Awaited<ReturnType<typeof logAt>>) => String(log[0]?.cid)

  it.each<[string, () => object | Promise<object>, string]>([
    [
      'bytes that were changed under the signature',
      () => {
        const file = combineFile(changed({}))
        const other = combineFile(changed({ rotationKeys: [table.keys.ours.didKey] }), {
          ceremony: String(file['ceremony']),
        })
        return { ...other, sig: file['sig'] }
      },
      'signed neither by the community',
    ],
    [
      'a statement of a key that only looks like it',
      () => ({ ...combineFile(changed({})), sig: fileOf(table, dealt.split, {}, makeKey('p256'))['sig'] }),
      'signed neither by the community',
    ],
    [
      'a hash that is another one',
      () => ({ ...combineFile(changed({})), statementHash: 'ab'.repeat(32) }),
      'says something else beside the statement',
    ],
    [
      'bytes that are no operation',
      () => combineFile(changed({}), { operation: { bytes: encode({ type: 'plc_operation' }), head } }),
      'is no operation of did:plc',
    ],
    [
      'an operation with a signature already',
      () => combineFile(changed({}), { operation: { bytes: encode({ ...changed({}), sig: 'x' }), head } }),
      'is no operation of did:plc',
    ],
    [
      'an operation behind nothing that is in force',
      () => combineFile(changed({}, cidOf(parsePlcOperation({ ...changed({}), sig: '' }) as never))),
      'follows something that is not in force',
    ],
    [
      'an operation behind the first, where the key did not stand yet',
      async () => combineFile(changed({}, genesisCid(await logAt(table.plcUrl, table.community)))),
      'no directory would take the operation',
    ],
  ])('refuses %s', async (_what, value, says) => {
    const run = await approve(await value())
    expect([run.code, run.out]).toEqual([1, ''])
    expect(run.err).toContain(says)
  })

  it.each<[string, (said: CeremonyStatement) => Partial<CeremonyStatement>, string]>([
    ['key', (said) => ({ quorum: { ...said.quorum, pub: later.pub } }), 'the key'],
    ['threshold', (said) => ({ quorum: { ...said.quorum, k: 3 } }), 'how many keepers have to act'],
    [
      'number',
      (said) => ({ quorum: { ...said.quorum, n: 2 }, seats: said.seats.slice(1) }),
      'how many keepers there are',
    ],
    ['generation', (said) => ({ quorum: { ...said.quorum, generation: 2 } }), 'the generation of the key'],
    [
      'deal',
      (said) => ({ quorum: { ...said.quorum, dealtBy: 'ab'.repeat(32) } }),
      'the statement by which it was dealt',
    ],
    [
      'places',
      // Places are drawn at random when a key is dealt: another place is one that nobody drew.
      ({ seats }) => {
        const free = [250, 251, 252, 253, 254].filter((x) => seats.every((seat) => seat.x !== x))
        return { seats: seats.map((seat, at) => (at === 2 ? seat : { ...seat, x: free[at] })) as typeof seats }
      },
      'the place of <ada>, the place of <bea>',
    ],
    [
      'commitments',
      ({ seats }) => ({ seats: seats.map((seat, at) => (at === 0 ? { ...seat, commitment: 'A'.repeat(43) } : seat)) }),
      'the commitment of <ada>',
    ],
  ])('refuses another %s than the packet has', async (_what, changesOf, says) => {
    const said = ceremonyOf(table, dealt, { sealTo: opener.sealTo })
    const run = await approve(fileOf(table, { ...said, ...changesOf(said) }), ['--packet', dealt.packets[2]])
    expect([run.code, run.out]).toEqual([1, ''])
    expect(named(run.err)).toContain('STOP: the statement is not about the key of your packet (')
    expect(named(run.err)).toContain(says)
  })

  it('is for keepers, by a directory that knows the community', async () => {
    const said = ceremonyOf(table, dealt, { sealTo: opener.sealTo, kind: 'ownership', owners: [table.keepers[0].did] })
    const seats = said.seats.map((seat, at) => (at === 2 ? { ...seat, signKey: makeKey('p256').didKey } : seat))
    const none = await approve(fileOf(table, { ...said, seats }))
    expect(none.err).toContain('and the sign.key is not: your packet still opens, and nothing that you sign counts')
    const web = await approve(fileOf(table, { ...said, community: 'did:web:c.example.org' as Did }))
    expect(web.err).toContain('only a did:plc has a log')
    expect([none.code, web.code]).toEqual([1, 1])
  })
})

/** What a keeper gives to a ceremony, by the tool. */
async function giving(at: number, file: Record<string, unknown>, packet = dealt.packets[at] ?? '') {
  const path = table.write(`given-to-${at}.json`, file)
  const run = await table.atPlc(['keeper', 'give', table.keepers[at]?.folder ?? '', packet, path])
  return { run, body: run.code === 0 ? (JSON.parse(run.out) as Record<string, unknown>) : {} }
}

/** The share in a packet, as its keeper could get at it. */
async function shareIn(at: number, path: string): Promise<Share> {
  const keeper = await openKeeper(table.keepers[at]?.folder ?? '')
  const opened = parsePacket((await keeper.open(new Uint8Array(readFileSync(path)))) ?? new Uint8Array())
  if (!opened) throw new Error('no packet')
  return opened.share
}

describe('reeve keeper give', () => {
  it('shows again what it is for, and seals the share to this ceremony', async () => {
    const file = combineFile(changed({ alsoKnownAs: [] }))
    const { run, body } = await giving(2, file)
    expect(run.code, run.err).toBe(0)
    expectGolden('keeper-give.txt', named(run.err))
    expect(isSignedAct(run, 2, file, 'submit', givenHashOf(String(body['sealed'])))).toBe(true)
    expect(body['did']).toBeUndefined()
    const { seats, quorum } = statementIn(file)
    const [x, commitment] = [seats[2]?.x ?? 0, seats[2]?.commitment ?? '']
    const hash = new Uint8Array(Buffer.from(statementHash(file), 'hex'))
    const open = openOpener(opener.path)
    const share = await open.open(String(body['sealed']), { statementHash: hash, x })
    const dealtBy = new Uint8Array(Buffer.from(quorum.dealtBy ?? '', 'hex'))
    expect(share && isShareFor(share, { x, commitment }, dealtBy)).toBe(true)
    // Neither for another ceremony, nor for another keeper's place, nor for another opener.
    const otherHash = new Uint8Array(hash.map((byte) => byte ^ 1))
    expect(await open.open(String(body['sealed']), { statementHash: otherHash, x })).toBeNull()
    expect(await open.open(String(body['sealed']), { statementHash: hash, x: seats[0]?.x ?? 0 })).toBeNull()
    expect(await openOpener(otherOpener.path).open(String(body['sealed']), { statementHash: hash, x })).toBeNull()
  })

  it('says in words that the service has the whole key where it combines, and gives nothing without the DID', async () => {
    const path = table.write('here.json', drillFile({ combiner: null }))
    const args = ['keeper', 'give', table.keepers[2].folder, dealt.packets[2], path]
    for (const typed of ['', 'yes\n', `${table.keepers[2].did}\n`]) {
      const run = await table.atPlc(args, typed)
      expect([run.code, run.out]).toEqual([1, ''])
      expect(run.err).toContain('WARNING: THE SERVICE ITSELF OPENS THE SHARES: did:web:reeve.example.org.')
      expect(run.err).toContain('For a moment it then has the whole key')
    }
    expect((await table.atPlc(args)).code).toBe(0)
  })

  it('writes it into a new file where one is named', async () => {
    const path = table.write('drill-out.json', drillFile())
    const out = join(table.folder, 'share-out.json')
    const args = ['keeper', 'give', table.keepers[2].folder, dealt.packets[2], path, '--out', out]
    const run = await table.atPlc(args)
    expect([run.code, run.out]).toEqual([0, ''])
    expect(Object.keys(jsonIn(out)).toSorted()).toEqual(['act', 'ceremony', 'community', 'sealed', 'statementHash'])
    expect((await table.atPlc(args)).code).toBe(1)
  })

  it('says what can still be done with one of two keys', async () => {
    const mixed = await strangersFolder()
    copyFileSync(join(table.keepers[2].folder, 'seal.key'), join(mixed, 'seal.key'))
    const run = await table.atPlc(['keeper', 'give', mixed, dealt.packets[2], table.write('mixed.json', drillFile())])
    expect([run.code, run.out]).toEqual([1, ''])
    expect(run.err).toContain('opens with the seal.key in the folder, but it names another sign.key than the one there')
    expect(run.err).toContain('Without the program the share is still good')
  })

  it.each<[string, () => Record<string, unknown>, (() => string) | null, string]>([
    [
      'of another generation',
      () => drillFile(),
      () => later.packets[2],
      'STOP: the statement is not about the key of your packet',
    ],
    ["of another keeper's", () => drillFile(), () => dealt.packets[0], 'the packet is not for these keys'],
    ['that is none', () => drillFile(), () => opener.path, 'the packet is not for these keys'],
    ['to a ceremony that nobody approved', () => drillFile({}, { state: 'proposed' }), null, 'takes no shares yet'],
    [
      'to a ceremony that is over',
      () => drillFile({}, { state: 'done' }),
      null,
      'takes no shares any more: it is done',
    ],
    ['to an impostor', () => ({ ...drillFile(), sig: drillFile()['sig'] }), null, 'signed neither by'],
    ['to a split', () => ({ ...fileOf(table, dealt.split) }), null, 'no shares are given in a split'],
    [
      'at a seat with other keys',
      () => {
        const said = ceremonyOf(table, dealt, { sealTo: opener.sealTo })
        const seats = said.seats.map((seat, at) => (at === 2 ? { ...seat, signKey: makeKey('p256').didKey } : seat))
        return fileOf(table, { ...said, seats })
      },
      null,
      'and the sign.key is not: your packet still opens',
    ],
  ])('gives no share %s', async (_what, file, packet, says) => {
    const { run } = await giving(2, file(), packet?.())
    expect([run.code, run.out]).toEqual([1, ''])
    expect(run.err).toContain(says)
  })
})

describe('reeve keeper drill and combine', () => {
  const combine = (
    word: 'drill' | 'combine',
    file: Record<string, unknown>,
    args: readonly string[] = [],
    key = opener.path,
  ) =>
    table.atPlc([
      ...['keeper', word, table.keepers[1].folder, table.write('to-combine.json', file)],
      ...['--opener', key, ...args],
    ])

  /** A drill, and what the keepers gave to it. */
  async function drilled(...ats: readonly number[]) {
    const file = drillFile()
    const deeds = await Promise.all(
      ats.map(async (at) => deedOf(table.keepers[at]?.did as Did, (await giving(at, file)).body)),
    )
    return { file: { ...file, deeds }, deeds }
  }

  const isConcluded = (run: { out: string }, file: Record<string, unknown>): boolean => {
    const { signature } = JSON.parse(run.out)
    return (
      isConcludedBy(statementIn(file), statementHash(file), signature) &&
      isSignedAct(run, 1, file, 'conclude', givenHashOf(signature))
    )
  }

  it('two of three, given to the service', async () => {
    const { file } = await drilled(0, 2)
    const run = await combine('drill', file)
    expect(run.code, run.err).toBe(0)
    expectGolden('keeper-drill.txt', named(run.err))
    expect(isConcluded(run, file)).toBe(true)
  })

  it('one of them by file, and one from the own packet', async () => {
    const file = drillFile()
    const share = table.write('share-of-0.json', (await giving(0, file)).body)
    const run = await combine('drill', file, ['--share', share, '--packet', dealt.packets[1]])
    expect(run.code, run.err).toBe(0)
    expect(isConcluded(run, file)).toBe(true)
  })

  it('a changed share is named, and a third makes it good all the same', async () => {
    const { file, deeds } = await drilled(0, 2)
    const [first, second] = deeds
    const bytes = Buffer.from(String(first?.sealed), 'base64url')
    bytes[100] = (bytes[100] ?? 0) ^ 1
    // Somebody on the way changed it: that is nothing of hers. Or she did, and signed it.
    const sealed = bytes.toString('base64url')
    const framed = await combine('drill', { ...file, deeds: [{ ...first, sealed }, second] })
    expect([framed.code, framed.out]).toEqual([1, ''])
    expect(named(framed.err)).toContain('  UNSIGNED <ada>: what lies here in their name was not signed by them')
    expect(framed.err).not.toContain('BAD')
    const tampered = { did: table.keepers[0].did, ...signedShare(0, file, sealed) }
    const few = await combine('drill', { ...file, deeds: [tampered, second] })
    expect([few.code, few.out]).toEqual([1, ''])
    expect(named(few.err)).toBe(
      [
        '  good     <cyd>',
        '  BAD      <ada>: what they gave was not sealed for this ceremony, or it was changed on its way',
        '  missing  <bea>',
        '1 good share, and 2 are needed. Ask those who gave nothing, or a bad one, to give theirs: reeve keeper give.',
        'If the file is older than that, fetch the ceremony again (community.reeve.key.get), as yourself.',
        '',
      ].join('\n'),
    )
    const run = await combine('drill', { ...file, deeds: [tampered, second] }, ['--packet', dealt.packets[1]])
    expect(run.code, run.err).toBe(0)
    expect(named(run.err)).toContain('  BAD      <ada>: what they gave was not sealed for this ceremony')
    expect(isConcluded(run, file)).toBe(true)
    // Given again, it counts.
    const again = await combine('drill', { ...file, deeds: [tampered, second, first] })
    expect(again.code, again.err).toBe(0)
    expect(again.err).not.toContain('BAD')
  })

  /** Whatever somebody gives, signed by them. */
  const signedShare = (at: 0 | 1 | 2, to: Record<string, unknown>, sealed: string) => ({
    ...signedAs(table.keepers[at], 'submit', statementHash(to), givenHashOf(sealed)),
    sealed,
  })

  it.each<[string, () => Promise<unknown>, string]>([
    [
      'of another ceremony',
      async () => (await giving(0, drillFile())).body['sealed'],
      'what they gave was not sealed for this ceremony',
    ],
    [
      'of another generation',
      async () => shareSealed(await shareIn(0, later.packets[0])),
      'it is another share than the one that was dealt to them',
    ],
    [
      'of another keeper',
      async () => shareSealed(await shareIn(2, dealt.packets[2])),
      'it is another share than the one that was dealt to them',
    ],
    ['that is none', async () => 'AAAA', 'what they gave was not sealed for this ceremony'],
  ])('a share %s is named', async (_what, sealedFor, says) => {
    waiting = drillFile()
    const sealed = await sealedFor()
    const deeds = [{ did: table.keepers[0].did, ...signedShare(0, waiting, String(sealed)) }]
    const run = await combine('drill', { ...waiting, deeds }, ['--packet', dealt.packets[1]])
    expect([run.code, run.out]).toEqual([1, ''])
    expect(named(run.err)).toContain(`  BAD      <ada>: ${says}`)
    expect(named(run.err)).toContain('  missing  <cyd>')
  })

  let waiting: Record<string, unknown>
  /** Whatever share, sealed by the first keeper as if it were theirs. */
  const shareSealed = ({ y }: Share) => {
    const { seats } = statementIn(waiting)
    const hash = new Uint8Array(Buffer.from(statementHash(waiting), 'hex'))
    return sealShare(opener.sealTo, { x: seats[0]?.x ?? 0, y }, hash)
  }

  it('a share file of another ceremony is named, and one of nobody is none', async () => {
    const other = table.write('share-of-other.json', {
      ...(await giving(0, drillFile())).body,
      did: table.keepers[0].did,
    })
    const named0 = await combine('drill', drillFile(), ['--share', other, '--packet', dealt.packets[1]])
    expect([named0.code, named0.out]).toEqual([1, ''])
    expect(named(named0.err)).toContain('  BAD      <ada>: what they gave is for another ceremony')
    const file = drillFile()
    const nobody = table.write('share-of-nobody.json', {
      ...(await giving(0, file)).body,
      act: { at: '2026-01-01T00:00:00.000Z', sig: 'A'.repeat(86) },
    })
    // In the name of somebody else: nothing that they did.
    const framing = table.write('share-in-her-name.json', {
      ...(await giving(2, file)).body,
      did: table.keepers[0].did,
    })
    const framed = await combine('drill', file, ['--share', framing, '--packet', dealt.packets[1]])
    expect([framed.code, framed.out]).toEqual([1, ''])
    expect(named(framed.err)).toContain('  UNSIGNED <ada>: what lies here in their name was not signed by them')
    expect(framed.err).not.toContain('BAD')
    for (const path of [nobody, opener.path, table.write('no-share.json', {})]) {
      const run = await combine('drill', file, ['--share', path])
      expect([run.code, run.out]).toEqual([1, ''])
      expect(run.err).toMatch(/is of nobody who has a seat|is none that reeve keeper give wrote/)
    }
  })

  it.each<[string, () => Record<string, unknown>, string, string]>([
    [
      'with the opener of another ceremony',
      () => drillFile({ sealTo: otherOpener.sealTo }),
      'drill',
      'the opener belongs to another ceremony',
    ],
    ['that the service combines', () => drillFile({ combiner: null }), 'drill', 'the service combines this one'],
    ['of another kind', () => combineFile(changed({})), 'drill', 'this is no drill'],
    ['that nobody signed', () => ({ ...drillFile(), sig: drillFile()['sig'] }), 'drill', 'signed neither by'],
    [
      'by somebody with other keys than their seat',
      () => drillFile({ combiner: table.keepers[0].did }),
      'combine',
      'has other keys than those in the folder',
    ],
  ])('nothing %s', async (_what, file, word, says) => {
    const run = await combine(word as 'drill' | 'combine', file())
    expect([run.code, run.out]).toEqual([1, ''])
    expect(run.err).toContain(says)
  })

  it('an operation is signed for the service to send, byte for byte', async () => {
    const operation = changed({ alsoKnownAs: ['at://beds.example.org'] })
    const file = combineFile(operation)
    const deeds = [deedOf(table.keepers[0].did, (await giving(0, file)).body)]
    const out = join(table.folder, 'conclude.json')
    const run = await combine('combine', { ...file, deeds }, ['--packet', dealt.packets[1], '--out', out])
    expect([run.code, run.out]).toEqual([0, ''])
    const { signature } = jsonIn(out)
    expect(isConcludedBy(statementIn(file), statementHash(file), String(signature))).toBe(true)
    const { sig } = { sig: String(signature) }
    expect(parsePlcOperation({ ...operation, sig })).not.toBeNull()
    // The service sends it, and nobody else did.
    expect(await logAt(table.plcUrl, table.community)).toHaveLength(2)
    const unsaid = join(table.folder, 'unsaid.json')
    const path = table.write('unsaid-combine.json', { ...file, deeds })
    const args = [
      'keeper',
      'combine',
      table.keepers[1].folder,
      path,
      '--opener',
      opener.path,
      '--packet',
      dealt.packets[1],
    ]
    expect((await table.atPlc([...args, '--out', unsaid], 'no\n')).code).toBe(1)
    expect(existsSync(unsaid)).toBe(false)
  })
})

it('nothing that was ever written holds a share, or anything but plain characters', async () => {
  const shares = Object.fromEntries(
    await Promise.all(
      dealt.packets.map(async (path, at) => [`share ${at}`, spellingsOf(Buffer.from((await shareIn(at, path)).y))]),
    ),
  )
  const told = table.runs.map(({ out, err }) => out + err).join('\n')
  expect(table.runs.length).toBeGreaterThan(40)
  expect(told).toMatch(/^[\n -~]*$/)
  expect(where(shares, { 'the screen': Buffer.from(told) })).toEqual([])
})
