/**
 * Keepers act with nobody's help: no service, only the directory and each other. One asks, others give, and what the shares signed is in force; or
 * the community leaves its home by them. And whoever finds a packet in years to come finds in it how to act, with the ordinary programs alone.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from '@ipld/dag-cbor'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UnsignedPlcOperation } from '../../src/identity/plc-operation.ts'
import {
  type CeremonyStatement,
  encodeStatement,
  hexOf,
  isSignedBy,
  openerWords,
  ownershipWords,
  statementHashOf,
} from '../../src/keys/ceremony-statements.ts'
import { openKeeper } from '../../src/keys/keeper-keys.ts'
import { openOpener } from '../../src/keys/opener-key.ts'
import type { Did } from '../../src/names.ts'
import { toBase64Url } from '../../src/platform/bytes.ts'
import { isoOf } from '../../src/platform/clock.ts'
import {
  type DealtKey,
  dealAt,
  identityOf,
  jsonIn,
  openerAt,
  openTable,
  placeAt,
  plainly,
  statementIn,
  type Table,
} from '../kit/ceremony-files.ts'
import { expectGolden } from '../kit/golden.ts'
import { openFile } from '../kit/keepers.ts'
import { happened, logAt } from '../kit/leaving.ts'
import { headOf } from '../kit/people.ts'
import { HOUR_MS } from '../kit/plc-stories.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { keyOfScalar } from '../kit/tokens.ts'

/** The ordinary program, of which this test needs nothing where it isn't. */
const HAS_AGE = !spawnSync('age', ['--version']).error

let table: Table
let dealt: DealtKey
let opener: { readonly path: string; readonly sealTo: string }

beforeAll(async () => {
  table = await openTable()
  dealt = await dealAt(table, 'first')
  await placeAt(table, dealt.pub)
  opener = openerAt(table, 'opener.key')
})
afterAll(() => table.close())

const named = (text: string) => plainly(table, text, { [dealt.pub]: '<key in shares>' })
const headNow = async () => (await logAt(table.plcUrl, table.community)).at(-1)

/** What the identity is to say next. */
async function next(changes: Partial<UnsignedPlcOperation>): Promise<UnsignedPlcOperation> {
  const { recovery, ours } = table.keys
  const prev = await headOf(table.plcUrl, table.community)
  return identityOf(table, [recovery.didKey, dealt.pub, ours.didKey], prev, changes)
}

let asked = 0
/** The second keeper asks. Answers the run and the path of the request. */
async function ask(args: readonly string[], typed?: string, at = 1) {
  asked += 1
  const out = join(table.folder, `request-${asked}.json`)
  const who = [table.keepers[at]?.folder ?? '', dealt.packets[at] ?? '']
  const run = await table.atPlc(['keeper', 'ask', ...who, '--opener', opener.path, '--out', out, ...args], typed)
  return { run, out }
}

/** A keeper gives to a request. Answers the run and the path of the sealed share. */
async function give(at: number, request: string) {
  const out = `${request}.share-${at}`
  const who = [table.keepers[at]?.folder ?? '', dealt.packets[at] ?? '']
  const run = await table.atPlc(['keeper', 'give', ...who, request, '--out', out])
  return { run, out }
}

const combine = (request: string, shares: readonly string[], args: readonly string[] = []) =>
  table.atPlc([
    ...['keeper', 'combine', table.keepers[1].folder, request, '--opener', opener.path, '--packet', dealt.packets[1]],
    ...shares.flatMap((path) => ['--share', path]),
    ...args,
  ])

describe('keepers without a service', () => {
  it('ask, give, combine, and what they signed is in force', async () => {
    const operation = await next({ alsoKnownAs: ['at://beds.example.org'] })
    const { run: asking, out: request } = await ask(['--operation', table.write('operation.json', operation)])
    expect([asking.code, asking.out], asking.err).toEqual([0, ''])
    const { run: giving, out: share } = await give(2, request)
    expect([giving.code, giving.out], giving.err).toEqual([0, ''])
    expect(jsonIn(share)['did']).toBe(table.keepers[2].did)
    const out = join(table.folder, 'signed.json')
    const run = await combine(request, [share], ['--out', out])
    expect(run.code, run.err).toBe(0)
    const words = [asking.err, giving.err, run.err, run.out].map(named).join('\n----\n')
    expectGolden('keeper-offline.txt', words.replaceAll(/request-\d+/g, 'request'))
    expect((await headNow())?.operation).toEqual(jsonIn(out))
    expect((await headNow())?.operation).toMatchObject(operation)
  })

  it('leave the signed file where nothing is to be sent, and it can be sent by anybody', async () => {
    const operation = await next({ alsoKnownAs: ['at://sheds.example.org'] })
    const log = join(table.folder, 'log.json')
    writeFileSync(log, JSON.stringify(await logAt(table.plcUrl, table.community)))
    const { out: request } = await ask(['--operation', table.write('later.json', operation)])
    const { out: share } = await give(0, request)
    const out = join(table.folder, 'unsent.json')
    const who = ['keeper', 'combine', table.keepers[1].folder, request, '--opener', opener.path]
    const run = await table.reeve([...who, '--packet', dealt.packets[1], '--share', share, '--log', log, '--out', out])
    expect(run.code, run.err).toBe(0)
    expect(run.out).toContain(`Nothing was sent. Send it from anywhere:\n  reeve exit send ${table.community} ${out}\n`)
    expect((await headNow())?.operation).toMatchObject({ alsoKnownAs: ['at://beds.example.org'] })
    const sent = await table.atPlc(['exit', 'send', table.community, out])
    expect(sent.code, sent.out + sent.err).toBe(0)
    expect((await headNow())?.operation).toMatchObject({ alsoKnownAs: ['at://sheds.example.org'] })
  })

  it('sign nothing that no directory would take when it comes to it', async () => {
    const operation = await next({ alsoKnownAs: [] })
    const { out: request } = await ask(['--operation', table.write('late.json', operation)])
    const { out: share } = await give(0, request)
    // Meanwhile a mightier key signs something, which the key in shares can't undo.
    await happened(
      table.plcUrl,
      table.community,
      0,
      table.keys.recovery,
      await next({ alsoKnownAs: ['at://new.example.org'] }),
    )
    const before = await headNow()
    const run = await combine(request, [share])
    expect(run.code).toBe(1)
    expect(run.err).toContain('no directory would take the operation (no   behind')
    expect(await headNow()).toEqual(before)
  })

  it('drill', async () => {
    const { run: asking, out: request } = await ask(['--drill'])
    expect(asking.code, asking.err).toBe(0)
    const { out: share } = await give(0, request)
    const before = await headNow()
    const run = await combine(request, [share])
    expect([run.code, run.out], run.err).toEqual([
      0,
      'The keepers can act: their shares made the key. Nothing else was signed.\n',
    ])
    expect(await headNow()).toEqual(before)
  })

  it('name owners at a service', async () => {
    const owners = ['did:web:b.example.org' as Did, 'did:web:a.example.org' as Did]
    const named2 = owners.flatMap((did) => ['--owner', did])
    const { run: asking, out: request } = await ask([...named2, '--service', 'did:web:reeve.example.org'])
    expect(asking.code, asking.err).toBe(0)
    const { run: givingRun, out: share } = await give(0, request)
    const run = await combine(request, [share])
    expect(run.code, run.err).toBe(0)
    for (const { err } of [asking, givingRun, run]) {
      expect(err).toContain('at the service did:web:reeve.example.org, the community is owned by these')
      expect(err).not.toContain('NO SERVICE HAS A HAND IN THIS')
    }
    const { sig, ...claim } = JSON.parse(run.out)
    const { createdAt: at } = statementIn(jsonIn(request))
    expect(claim).toEqual({ community: table.community, owners, at })
    const words = ownershipWords({ service: 'did:web:reeve.example.org', community: table.community, owners, at })
    expect(isSignedBy(dealt.pub, words, sig)).toBe(true)
  })

  it('ask for nothing that can be said in two ways, and nothing without the DID', async () => {
    for (const args of [[], ['--drill', '--owner', 'did:web:a.example.org'], ['--owner', 'did:web:a.example.org']]) {
      const { run, out } = await ask(args)
      expect([run.code, existsSync(out)]).toEqual([64, false])
    }
    const { run, out } = await ask(['--drill'], 'no\n')
    expect([run.code, existsSync(out)]).toEqual([1, false])
  })

  it.each<[string, () => object | Promise<object>, string]>([
    ['no operation', () => ({ type: 'plc_operation' }), 'there is no unsigned operation of did:plc in the file'],
    ['an operation behind nothing', async () => next({ prev: `bafyrei${'a'.repeat(52)}` }), 'that is not in force'],
  ])('ask for %s', async (_what, operation, says) => {
    const { run, out } = await ask(['--operation', table.write('none.json', await operation())])
    expect([run.code, existsSync(out)]).toEqual([1, false])
    expect(run.err).toContain(says)
  })
})

describe('a request counts only when it is by a keeper of the packet, in every way:', () => {
  /** A request with something else in it, signed by whose folder is named. */
  async function forged(changes: (said: CeremonyStatement) => Partial<CeremonyStatement>, by: string): Promise<string> {
    headCid = await headOf(table.plcUrl, table.community)
    const { out } = await ask(['--drill'])
    const file = jsonIn(out)
    const said = statementIn(file)
    const whole = { ...said, ...changes(said) }
    const bytes = encodeStatement({ ...whole, voucher: whole.combiner === null ? null : whole.voucher })
    const keeper = await openKeeper(by)
    const [statement, statementHash] = [toBase64Url(bytes), hexOf(statementHashOf(bytes))]
    return table.write(`forged-${asked}.json`, {
      ...file,
      kind: whole.kind,
      statement,
      statementHash,
      sig: keeper.begin(bytes),
    })
  }
  let headCid: string
  const folderOf = (at: number) => table.keepers[at]?.folder ?? ''

  it.each<[string, (said: CeremonyStatement) => Partial<CeremonyStatement>, number, string]>([
    ['signed by another keeper', () => ({}), 0, 'nor by a keeper of your packet'],
    [
      'for longer than a day',
      ({ createdAt }) => ({ expiresAt: isoOf(Date.parse(createdAt) + 25 * HOUR_MS) }),
      1,
      'for a day at most',
    ],
    ['with shares for somebody else', () => ({ combiner: table.keepers[0].did }), 1, 'nor by a keeper of your packet'],
    ['with shares for the service', () => ({ combiner: null }), 1, 'nor by a keeper of your packet'],
    [
      'of a time to come',
      () => ({ createdAt: isoOf(Date.now() + HOUR_MS), expiresAt: isoOf(Date.now() + 2 * HOUR_MS) }),
      1,
      'is of a time to come',
    ],
    [
      'for the end of the identity',
      () => ({
        kind: 'combine' as const,
        operation: { bytes: encode({ type: 'plc_tombstone', prev: headCid }), head: headCid },
      }),
      1,
      'a keeper asks to end the identity',
    ],
    [
      'with an opener that is not theirs',
      () => ({ sealTo: openerAt(table, 'another.key').sealTo }),
      1,
      'did not sign that the key to which they are sealed is theirs',
    ],
    ['in the name of somebody else', () => ({ createdBy: table.keepers[0].did }), 1, 'nor by a keeper of your packet'],
    [
      'with another threshold',
      ({ quorum }) => ({ quorum: { ...quorum, k: 3 } }),
      1,
      'is not about the key of your packet (how many keepers have to act)',
    ],
    [
      'whose time is over',
      () => ({ createdAt: isoOf(Date.now() - 2 * HOUR_MS), expiresAt: isoOf(Date.now() - HOUR_MS) }),
      1,
      'is over since',
    ],
  ])('not one %s', async (_what, changes, by, says) => {
    const path = await forged(changes, folderOf(by))
    const { run, out } = await give(2, path)
    expect([run.code, run.out, existsSync(out)]).toEqual([1, '', false])
    expect(run.err).toContain(says)
  })

  it('not one of somebody with keys of their own', async () => {
    const run = await table.reeve(['keeper', 'init', join(table.folder, 'stranger')])
    expect(run.code).toBe(0)
    const { run: giving } = await give(2, await forged(() => ({}), join(table.folder, 'stranger')))
    expect([giving.code, giving.out]).toEqual([1, ''])
    expect(giving.err).toContain('nor by a keeper of your packet')
  })

  it('and only where the packet is at hand; a good one can be approved', async () => {
    const { out } = await ask(['--drill'])
    const args = ['keeper', 'approve', folderOf(2), out]
    const without = await table.atPlc(args)
    expect(without.code).toBe(1)
    expect(without.err).toContain('A request of another keeper needs your packet: --packet')
    const run = await table.atPlc([...args, '--packet', dealt.packets[2]])
    expect(run.code, run.err).toBe(0)
    expect(run.err).toContain('NO SERVICE HAS A HAND IN THIS.')
  })
})

it('whoever enrols is told what becomes of a share that they keep already', async () => {
  const who = [
    '--community',
    table.community,
    '--caller',
    table.keepers[0].did,
    '--service',
    'did:web:reeve.example.org',
  ]
  const run = await table.reeve(['keeper', 'enrol', table.keepers[0].folder, ...who])
  expect([run.code, Object.keys(JSON.parse(run.out))]).toEqual([0, ['community', 'sealKey', 'signKey', 'proof']])
  expect(run.err).toContain('do not enrol anew on a new machine: copy the folder there')
})

it('an opener comes with the word of its keeper that it is theirs, for one community', async () => {
  const [ada] = table.keepers
  const path = join(table.folder, 'vouched.key')
  const run = await table.reeve(['keeper', 'opener', ada.folder, path, '--community', table.community])
  expect(run.code, run.err).toBe(0)
  const { sealTo, voucher } = JSON.parse(run.out)
  expect(sealTo).toBe(openOpener(path).sealTo)
  expect(isSignedBy(ada.signKey, openerWords({ community: table.community, sealTo }), voucher)).toBe(true)
  const bare = await table.reeve(['keeper', 'opener', ada.folder, join(table.folder, 'bare.key')])
  expect([bare.code, existsSync(join(table.folder, 'bare.key'))]).toEqual([64, false])
})

describe('reeve exit with a packet', () => {
  const exit = (out: string, args: readonly string[], typed?: string) =>
    table.atPlc(
      [
        ...['exit', table.community, '--packet', dealt.packets[1], '--keeper', table.keepers[1].folder],
        ...['--opener', opener.path, '--ask', out, ...args],
      ],
      typed,
    )

  it('plans as with a key, asks the keepers, and with their shares the community has left', async () => {
    const request = join(table.folder, 'leave.json')
    const { recovery, ours } = table.keys
    const toSelf = ['--to-self', '--keep', '--rotation-key', recovery.didKey]
    const asking = await exit(request, toSelf)
    expect(asking.code, asking.out + asking.err).toBe(0)
    expectGolden('exit-asked.txt', named(asking.out))
    const before = await headNow()
    expect(before?.operation).toMatchObject({ rotationKeys: [recovery.didKey, dealt.pub, ours.didKey] })
    const { run: giving, out: share } = await give(0, request)
    expect(giving.code, giving.err).toBe(0)
    expect(named(giving.err)).toContain("WARNING: a home's key leaves: <the service's key> (a home's key).")
    const run = await combine(request, [share])
    expect(run.code, run.out + run.err).toBe(0)
    expect((await headNow())?.operation).toMatchObject({
      ...{ rotationKeys: [recovery.didKey, dealt.pub], services: {}, verificationMethods: {} },
      prev: before?.cid,
    })
  })

  it('needs all four, in place of the key, and no request that is there', async () => {
    const out = join(table.folder, 'never.json')
    const plain = ['exit', table.community, '--to-self', '--keep']
    for (const args of [
      [...plain, '--packet', dealt.packets[1], '--opener', opener.path],
      [...plain, '--packet', dealt.packets[1], '--key', opener.path],
      plain,
    ])
      expect((await table.atPlc(args)).code).toBe(64)
    const unsaid = await exit(out, ['--to-self', '--keep', '--although-undoable'], 'no\n')
    expect([unsaid.code, existsSync(out)], unsaid.out + unsaid.err).toEqual([1, false])
    writeFileSync(out, 'mine')
    expect((await exit(out, ['--to-self', '--keep'])).code).toBe(1)
    expect(readFileSync(out, 'utf8')).toBe('mine')
  })
})

it('a key in shares that stands last and alone is no home’s: its keepers leave by it all the same', async () => {
  const strict = await openTable()
  try {
    const key = await dealAt(strict, 'strict')
    const { recovery, ours } = strict.keys
    const prev = await headOf(strict.plcUrl, strict.community)
    const alone = identityOf(strict, [recovery.didKey, key.pub], prev)
    await happened(strict.plcUrl, strict.community, 100, ours, alone)
    const path = join(strict.folder, 'opener.key')
    openerAt(strict, 'opener.key')
    const out = join(strict.folder, 'leave.json')
    const run = await strict.atPlc([
      ...['exit', strict.community, '--packet', key.packets[1], '--keeper', strict.keepers[1].folder, '--opener', path],
      ...['--ask', out, '--to-self', '--keep', '--rotation-key', recovery.didKey],
    ])
    expect(run.code, run.out + run.err).toBe(0)
    expect(existsSync(out)).toBe(true)
    expect(run.out).not.toContain('The old home has a copy of your key')
  } finally {
    await strict.close()
  }
})

describe('a packet by itself', () => {
  /** What is in a packet, by the ordinary program where it is there. */
  async function opened(at: number): Promise<string> {
    const packet = dealt.packets[at] ?? ''
    if (!HAS_AGE) return openFile(identityOfKeeper(at), readFileSync(packet).toString('base64'))
    const key = join(table.keepers[at]?.folder ?? '', 'seal.key')
    return spawnSync('age', ['-d', '-i', key, packet], { encoding: 'utf8' }).stdout
  }

  it(`opens with ${HAS_AGE ? 'the ordinary age program' : 'the library, since no age program is here'}, and says what it is and how to act`, async () => {
    const text = await opened(1)
    const { share, howTo, keeper, pub, x } = JSON.parse(text)
    expect([keeper, pub, x]).toEqual([table.keepers[1].did, dealt.pub, dealt.transcript.xs[1]])
    expect(share).toMatch(/^[0-9a-f]{64}$/)
    expectGolden('packet-words.txt', `${named(howTo.join('\n'))}\n`)
  })

  /** As the packet says it, in the words of school: a field of 256 elements, and a line through k points. */
  const times = (a: number, b: number): number => {
    let [left, right, product] = [a, b, 0]
    while (right > 0) {
      if (right & 1) product ^= left
      left = left & 0x80 ? (left << 1) ^ 0x11b : left << 1
      right >>= 1
    }
    return product
  }
  const inverse = (a: number): number => Array.from({ length: 256 }, (_, b) => b).find((b) => times(a, b) === 1) ?? 0

  it('makes the key with as many others by what it says, without any code of this program', async () => {
    const packets = await Promise.all([0, 2].map(async (at) => JSON.parse(await opened(at))))
    const shares = packets.map(({ x, share }) => ({ x: Number(x), y: Buffer.from(share, 'hex') }))
    for (const [at, { x, y }] of shares.entries()) {
      const { dealtBy, keepers, keeper } = packets[at]
      const parts = ['reeve-share-v1', Buffer.of(0, 0x20), Buffer.from(dealtBy, 'hex'), Buffer.of(x), y]
      const hash = createHash('sha256')
      for (const part of parts) hash.update(part)
      const own = keepers.find(({ did }: { did: string }) => did === keeper)
      expect(hash.digest('base64url')).toBe(own.commitment)
    }
    const secret = Buffer.from(
      Array.from({ length: 32 }, (_, place) =>
        shares
          .map((one) =>
            shares
              .filter((other) => other !== one)
              .reduce((value, other) => times(value, times(other.x, inverse(other.x ^ one.x))), one.y[place] ?? 0),
          )
          .reduce((sum, value) => sum ^ value, 0),
      ),
    )
    expect(keyOfScalar('k256', secret).didKey).toBe(dealt.pub)
  })
})

it('nothing that was ever written holds a share, or anything but plain characters', async () => {
  const keepers = await Promise.all(
    [0, 1, 2].map((at) => openFile(identityOfKeeper(at), readFileSync(dealt.packets[at] ?? '').toString('base64'))),
  )
  const shares = Object.fromEntries(
    keepers.map((text, at) => [`share ${at}`, spellingsOf(Buffer.from(JSON.parse(text).share, 'hex'))]),
  )
  const told = table.runs.map(({ out, err }) => out + err).join('\n')
  expect(told).toMatch(/^[\n -~]*$/)
  expect(where(shares, { 'the screen': Buffer.from(told) })).toEqual([])
})

const identityOfKeeper = (at: number): string =>
  /^AGE-SECRET-KEY-1\S+$/m.exec(readFileSync(join(table.keepers[at]?.folder ?? '', 'seal.key'), 'utf8'))?.[0] ?? ''
