/**
 * Whole logs, judged: the rules of did:plc beside the published library, who wins when two keys disagree, and every way in
 * which a directory could serve something else.
 */
import { type Keypair, P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import * as plc from '@did-plc/lib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { datedAfter, type PlcLogFault, verifyPlcLog, verifyPlcLogWithRests } from '../../src/identity/plc-log.ts'
import { cidOf, didOf, encodeOperation, parsePlcOperation } from '../../src/identity/plc-operation.ts'
import { type Did, parseDid } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { otherSpellings } from '../kit/plc.ts'

const START_MS = Date.UTC(2026, 0, 1)
const HOUR = 60 * 60 * 1000

const [cold, quorum, ours, fresh, stranger] = [
  await Secp256k1Keypair.create(),
  await P256Keypair.create(),
  await P256Keypair.create(),
  await Secp256k1Keypair.create(),
  await P256Keypair.create(),
]
const community = cold

type AnyOperation = plc.CompatibleOpOrTombstone
interface Entry {
  did: string
  operation: AnyOperation
  cid: string
  nullified: boolean
  createdAt: string
}

/** One operation of a story: who signed it, on which earlier one (-1: the first), when, and who may sign after it. */
interface Move {
  by: Keypair
  on: number
  atMs: number
  keys: readonly Keypair[] | 'tombstone'
}

const cidOfTheirs = async (op: AnyOperation) => (await plc.getLastOpWithCid([op])).cid

async function operationOf(move: Move, prev: string | null, name: string): Promise<AnyOperation> {
  if (move.keys === 'tombstone') {
    if (prev === null) throw new Error('a story cannot begin with its end')
    return plc.addSignature({ type: 'plc_tombstone' as const, prev }, move.by)
  }
  const unsigned = {
    type: 'plc_operation' as const,
    rotationKeys: move.keys.map((key) => key.did()),
    verificationMethods: {},
    alsoKnownAs: [`at://${name}.example.com`],
    services: {},
    prev,
  }
  return plc.addSignature(unsigned, move.by)
}

/**
 * The audit log that a directory would have if it had taken every move, and where the published library says no (or null).
 * The flags are the library's too. Its clock is the wall's, so the wall is set to each move's time.
 */
async function played(moves: readonly Move[]): Promise<{ did: Did; log: Entry[]; libraryRefusesAt: number | null }> {
  const log: Entry[] = []
  const indexed: plc.IndexedOperation[] = []
  let libraryRefusesAt: number | null = null
  let did = ''
  for (const [at, move] of moves.entries()) {
    const operation = await operationOf(move, log[move.on]?.cid ?? null, `n${at}`)
    if (at === 0) did = await plc.didForCreateOp(operation as plc.CompatibleOp)
    const cid = await cidOfTheirs(operation)
    const createdAt = new Date(START_MS + move.atMs)
    vi.setSystemTime(createdAt)
    if (libraryRefusesAt === null) {
      try {
        const before = indexed.filter(({ nullified }) => !nullified)
        const { nullified } = await plc.assureValidNextOp(did, before, operation)
        for (const undone of indexed) if (nullified.some((c) => c.equals(undone.cid))) undone.nullified = true
      } catch {
        libraryRefusesAt = at
      }
    }
    indexed.push({ did, operation, cid, nullified: false, createdAt })
    log.push({ did, operation, cid: cid.toString(), nullified: false, createdAt: createdAt.toISOString() })
  }
  for (const [at, { nullified }] of indexed.entries()) Object.assign(log[at] ?? {}, { nullified })
  return { did: asDid(did), log, libraryRefusesAt }
}

function asDid(text: string): Did {
  const did = parseDid(text)
  if (!did) throw new Error('not a DID')
  return did
}

/** What our verifier says: `ok`, or the fault and the entry that shows it. */
function verdictOf(did: Did, log: unknown): 'ok' | `${PlcLogFault} at ${number | 'all'}` {
  const verdict = verifyPlcLog(did, log)
  return verdict.ok ? 'ok' : `${verdict.fault} at ${verdict.at ?? 'all'}`
}

/** Asserts our verdict on a story and that the published library agrees with it. Returns the log. */
async function expectStory(moves: readonly Move[], expected: ReturnType<typeof verdictOf>): Promise<Entry[]> {
  const { did, log, libraryRefusesAt } = await played(moves)
  expect(verdictOf(did, log)).toBe(expected)
  expect(libraryRefusesAt).toBe(expected === 'ok' ? null : Number(expected.split(' at ')[1]))
  return log
}

const move = (by: Keypair, on: number, atMs: number, keys: Move['keys']): Move => ({ by, on, atMs, keys })

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

describe('logs that the published rules hold valid', () => {
  const both = [community, ours]

  it('a first operation alone', async () => {
    await expectStory([move(ours, -1, 0, both)], 'ok')
  })

  it('a change of keys, after which the new key signs', async () => {
    const log = await expectStory(
      [move(ours, -1, 0, [ours]), move(ours, 0, HOUR, [fresh]), move(fresh, 1, 2 * HOUR, [fresh, ours])],
      'ok',
    )
    const did = asDid(log[0]?.did ?? '')
    const verdict = verifyPlcLog(did, log)
    if (!verdict.ok) throw new Error(verdict.fault)
    expect(verdict.head).toEqual({
      cid: log[2]?.cid,
      operation: log[2]?.operation,
      createdAt: '2026-01-01T02:00:00.000Z',
      createdAtMs: START_MS + 2 * HOUR,
      signer: fresh.did(),
      nullified: false,
    })
    expect(verdict.ops.map(({ cid }) => cid)).toEqual(log.map(({ cid }) => cid))
    expect(verdict.ops.map(({ signer }) => signer)).toEqual([ours.did(), ours.did(), fresh.did()])
  })

  it('a recovery, whose head is the recovering operation', async () => {
    const log = await expectStory(
      [move(ours, -1, 0, both), move(ours, 0, HOUR, [ours]), move(community, 0, 2 * HOUR, [community])],
      'ok',
    )
    expect(log.map(({ nullified }) => nullified)).toEqual([false, true, false])
    expect(verifyPlcLog(asDid(log[0]?.did ?? ''), log)).toMatchObject({ head: { cid: log[2]?.cid } })
  })

  it('a recovery on top of a recovery, each by a mightier key, and a third that undoes them all', async () => {
    const three = [cold, quorum, ours]
    const log = await expectStory(
      [
        move(ours, -1, 0, three),
        move(ours, 0, 1 * HOUR, three),
        move(ours, 1, 2 * HOUR, three),
        move(ours, 2, 3 * HOUR, three),
        move(quorum, 2, 4 * HOUR, three),
        move(ours, 4, 5 * HOUR, three),
        move(cold, 1, 6 * HOUR, three),
      ],
      'ok',
    )
    expect(log.map(({ nullified }) => nullified)).toEqual([false, false, true, true, true, true, false])
  })

  it('a tombstone at the end: the DID is dead, and the log says so', async () => {
    const log = await expectStory([move(ours, -1, 0, both), move(ours, 0, HOUR, 'tombstone')], 'ok')
    expect(verifyPlcLog(asDid(log[0]?.did ?? ''), log)).toMatchObject({
      head: { operation: { type: 'plc_tombstone' } },
    })
  })

  it('a first operation in the legacy form, undone by its recovery key', async () => {
    const genesis = await plc.deprecatedSignCreate(
      {
        type: 'create',
        signingKey: ours.did(),
        recoveryKey: community.did(),
        handle: 'old.example.com',
        service: 'https://pds.example.com',
        prev: null,
      },
      ours,
    )
    const did = asDid(await plc.didForCreateOp(genesis))
    const prev = cidOf(parsed(genesis))
    const log = [
      entry(did, genesis, 0),
      { ...entry(did, await operationOf(move(ours, 0, 0, [ours]), prev, 'a'), HOUR), nullified: true },
      entry(did, await operationOf(move(community, 0, 0, both), prev, 'b'), 2 * HOUR),
    ]
    expect(verdictOf(did, log)).toBe('ok')
    expect(await plc.validateOperationLog(did, [genesis, log[2]?.operation ?? genesis])).not.toBeNull()
  })

  // The published library refuses to take such operations; logs from before have them, and both published sets of rules read them.
  it('no rotation keys left, after which nobody can sign', async () => {
    const { did, log } = await played([move(ours, -1, 0, [ours]), move(ours, 0, HOUR, [])])
    expect(verdictOf(did, log)).toBe('ok')
    const next = entry(did, await operationOf(move(ours, 1, 0, [ours]), log[1]?.cid ?? null, 'c'), 2 * HOUR)
    expect(verdictOf(did, [...log, next])).toBe('bad-signature at 2')
  })

  it('the same rotation key twice, which gives it no rank above itself', async () => {
    const twice = [ours, ours]
    await expectStory([move(ours, -1, 0, twice), move(ours, 0, HOUR, twice)], 'ok')
    await expectStory(
      [move(ours, -1, 0, twice), move(ours, 0, HOUR, twice), move(ours, 0, 2 * HOUR, twice)],
      'recovery-rank at 2',
    )
  })

  it('two ordinary operations in one millisecond', async () => {
    await expectStory([move(ours, -1, 0, both), move(ours, 0, 0, both)], 'ok')
  })

  it('remarks of the directory beside an entry, which nobody signed', async () => {
    const { did, log } = await played([move(ours, -1, 0, both)])
    expect(
      verdictOf(
        did,
        log.map((one) => ({ ...one, seq: 7, type: 'sequenced_op' })),
      ),
    ).toBe('ok')
  })
})

describe('who wins when a community leaves a bad arbiter', () => {
  const right = [community, ours]
  const wrong = [ours, community]
  const three = [cold, quorum, ours]
  const seized = move(ours, 0, HOUR, [ours])
  const H72 = 72 * HOUR

  for (const [name, moves, expected] of [
    [
      'A: we seize, the community undoes it just inside 72 hours',
      [move(ours, -1, 0, right), seized, move(community, 0, HOUR + H72 - 60_000, [community])],
      'ok',
    ],
    [
      'A′: it does so at exactly 72 hours',
      [move(ours, -1, 0, right), seized, move(community, 0, HOUR + H72, [community])],
      'ok',
    ],
    [
      'A″: it is a millisecond late, and lost',
      [move(ours, -1, 0, right), seized, move(community, 0, HOUR + H72 + 1, [community])],
      'recovery-late at 2',
    ],
    [
      'B: with us on top, we undo its leaving',
      [move(ours, -1, 0, wrong), move(community, 0, HOUR, [community]), move(ours, 0, 11 * HOUR, [ours])],
      'ok',
    ],
    [
      'D: with one shared key, whoever moves first wins',
      [move(ours, -1, 0, [ours]), seized, move(ours, 0, 2 * HOUR, [community])],
      'recovery-rank at 2',
    ],
    [
      'E: we act twice, it undoes both within 72 hours of the first',
      [move(ours, -1, 0, right), seized, move(ours, 1, 70 * HOUR, [ours]), move(community, 0, 72 * HOUR, [community])],
      'ok',
    ],
    [
      'E′: the clock runs from the first of the two',
      [move(ours, -1, 0, right), seized, move(ours, 1, 70 * HOUR, [ours]), move(community, 0, 74 * HOUR, [community])],
      'recovery-late at 3',
    ],
    [
      'F: it leaves, we cannot undo it',
      [move(ours, -1, 0, right), move(community, 0, HOUR, [community]), move(ours, 0, 2 * HOUR, [ours])],
      'recovery-rank at 2',
    ],
    [
      'G: we end the DID, it brings it back',
      [move(ours, -1, 0, right), move(ours, 0, HOUR, 'tombstone'), move(community, 0, 48 * HOUR, [community])],
      'ok',
    ],
    [
      'I: the quorum leaves, we cannot undo it',
      [move(ours, -1, 0, three), move(quorum, 0, HOUR, [quorum]), move(ours, 0, 2 * HOUR, [ours])],
      'recovery-rank at 2',
    ],
    [
      'I: the quorum leaves, the cold key overrules it',
      [move(ours, -1, 0, three), move(quorum, 0, HOUR, [quorum]), move(cold, 0, 20 * HOUR, [cold])],
      'ok',
    ],
    [
      'J: we cannot undo that a community key was put above us',
      [move(ours, -1, 0, [ours]), move(ours, 0, HOUR, right), move(ours, 0, 2 * HOUR, [ours])],
      'recovery-rank at 2',
    ],
    [
      'M: the top key cannot undo its own operation',
      [move(ours, -1, 0, right), move(community, 0, HOUR, [community]), move(community, 0, 2 * HOUR, right)],
      'recovery-rank at 2',
    ],
  ] as const satisfies readonly (readonly [string, readonly Move[], string])[]) {
    it(name, async () => {
      await expectStory(moves, expected)
    })
  }

  describe('N: a removed key keeps its teeth', () => {
    const replaced = [cold, fresh, ours]
    const harmless = move(ours, 0, HOUR, three)
    const undoing = (atMs: number) => move(quorum, 0, atMs, [quorum])

    it('N1: it forks from before our young operation and undoes its own removal, though the cold key signed that', async () => {
      await expectStory(
        [move(ours, -1, 0, three), harmless, move(cold, 1, 2 * HOUR, replaced), undoing(3 * HOUR)],
        'ok',
      )
    })

    it('N2: the cold key undoes that in turn', async () => {
      await expectStory(
        [
          move(ours, -1, 0, three),
          harmless,
          move(cold, 1, 2 * HOUR, replaced),
          undoing(3 * HOUR),
          move(cold, 0, 75 * HOUR, replaced),
        ],
        'ok',
      )
    })

    it('N3: no less when the removed key had signed its own removal', async () => {
      await expectStory(
        [move(ours, -1, 0, three), harmless, move(quorum, 1, 2 * HOUR, replaced), undoing(3 * HOUR)],
        'ok',
      )
    })

    it('N4: not once our operation is older than 72 hours', async () => {
      await expectStory(
        [move(ours, -1, 0, three), harmless, move(quorum, 1, 2 * HOUR, replaced), undoing(HOUR + H72 + 1)],
        'recovery-late at 3',
      )
    })

    it('N5: not when the removal was itself built from before our operation', async () => {
      await expectStory(
        [move(ours, -1, 0, three), harmless, move(cold, 0, 2 * HOUR, replaced), undoing(3 * HOUR)],
        'recovery-rank at 3',
      )
      await expectStory(
        [move(ours, -1, 0, three), harmless, move(cold, 0, 2 * HOUR, replaced), move(quorum, 2, 3 * HOUR, [quorum])],
        'bad-signature at 3',
      )
    })
  })
})

describe('operations that no directory should have taken', () => {
  const both = [community, ours]
  const begun = move(ours, -1, 0, both)

  for (const [name, moves, expected] of [
    ['a first operation by a key that it does not list', [move(stranger, -1, 0, both)], 'bad-signature at 0'],
    ['a first operation that nobody may sign', [move(ours, -1, 0, [])], 'bad-signature at 0'],
    ['a second first operation', [begun, move(ours, -1, HOUR, both)], 'unknown-prev at 1'],
    ['a signature by a stranger', [begun, move(stranger, 0, HOUR, both)], 'bad-signature at 1'],
    [
      'a signature by a key that only the new operation lists',
      [begun, move(fresh, 0, HOUR, [fresh])],
      'bad-signature at 1',
    ],
    [
      'a signature by a removed key',
      [begun, move(community, 0, HOUR, [community]), move(ours, 1, 2 * HOUR, both)],
      'bad-signature at 2',
    ],
    [
      'a recovery by the key that signed what it undoes',
      [begun, move(ours, 0, HOUR, both), move(ours, 0, 2 * HOUR, both)],
      'recovery-rank at 2',
    ],
    [
      'a recovery by a lower key',
      [begun, move(community, 0, HOUR, both), move(ours, 0, 2 * HOUR, both)],
      'recovery-rank at 2',
    ],
    [
      'a recovery by a stranger',
      [begun, move(ours, 0, HOUR, both), move(stranger, 0, 2 * HOUR, both)],
      'bad-signature at 2',
    ],
    [
      'a second recovery by the same key from the same place',
      [begun, move(ours, 0, HOUR, both), move(community, 0, 2 * HOUR, both), move(community, 0, 3 * HOUR, both)],
      'recovery-rank at 3',
    ],
    [
      'an operation on one that was undone',
      [begun, move(ours, 0, HOUR, both), move(community, 0, 2 * HOUR, both), move(community, 1, 3 * HOUR, both)],
      'unknown-prev at 3',
    ],
    [
      'an operation on a tombstone',
      [begun, move(ours, 0, HOUR, 'tombstone'), move(community, 1, 2 * HOUR, both)],
      'after-tombstone at 2',
    ],
    [
      'a tombstone on a tombstone',
      [begun, move(ours, 0, HOUR, 'tombstone'), move(ours, 1, 2 * HOUR, 'tombstone')],
      'after-tombstone at 2',
    ],
  ] as const satisfies readonly (readonly [string, readonly Move[], string])[]) {
    it(`refuses ${name}`, async () => {
      await expectStory(moves, expected)
    })
  }

  it('refuses a log that begins with a tombstone, or in its middle', async () => {
    const { did, log } = await played([begun, move(ours, 0, HOUR, 'tombstone'), move(community, 0, 2 * HOUR, both)])
    expect(verdictOf(did, log.slice(1))).toBe('not-a-genesis at 0')
    expect(verdictOf(did, log.slice(2))).toBe('not-a-genesis at 0')
  })

  it('refuses a prev that is no operation of this log', async () => {
    const other = await played([move(ours, -1, 0, [ours])])
    const { did, log } = await played([begun])
    for (const prev of [other.log[0]?.cid ?? '', '', 'x', did]) {
      const next = entry(did, await operationOf(move(ours, 0, 0, both), prev, 'n'), HOUR)
      expect(verdictOf(did, [...log, next])).toBe('unknown-prev at 1')
    }
  })

  it('refuses the legacy form anywhere but at the start', async () => {
    const { did, log } = await played([begun])
    const late = await plc.deprecatedSignCreate(
      { type: 'create', signingKey: ours.did(), recoveryKey: ours.did(), handle: 'h', service: 's', prev: null },
      ours,
    )
    expect(verdictOf(did, [...log, entry(did, late, HOUR)])).toBe('unknown-prev at 1')
  })

  for (const [curve, signer] of [
    ['p256', ours],
    ['k256', community],
  ] as const) {
    it(`refuses a ${curve} signature in any other spelling, also when CID and DID were made from that spelling`, async () => {
      const { log } = await played([move(signer, -1, 0, both)])
      const genesis = log[0]?.operation
      if (genesis?.type !== 'plc_operation') throw new Error('no log')
      for (const [spelling, sig] of Object.entries(otherSpellings(curve, genesis.sig))) {
        const respelled = { ...genesis, sig }
        const did = didOf(respelled)
        expect(verdictOf(did, [entry(did, respelled, 0)]), spelling).toBe('bad-signature at 0')
      }
    })
  }
})

describe('logs that say something else than their operations', () => {
  const both = [community, ours]
  const story = [move(ours, -1, 0, both), move(ours, 0, HOUR, both), move(community, 0, 2 * HOUR, both)]

  /** The story's log with one entry changed. */
  async function told(at: number, change: (one: Entry) => object): Promise<ReturnType<typeof verdictOf>> {
    const { did, log } = await played(story)
    return verdictOf(
      did,
      log.map((one, index) => (index === at ? { ...one, ...change(one) } : one)),
    )
  }

  it('refuses a first operation that was changed, with its old CID or with a new one', async () => {
    const changed = (one: Entry) => ({ ...one.operation, alsoKnownAs: ['at://thief.example.com'] }) as AnyOperation
    expect(await told(0, (one) => ({ operation: changed(one) }))).toBe('cid-mismatch at 0')
    const rehashed = (one: Entry) => ({ operation: changed(one), cid: cidOf(parsed(changed(one))) })
    expect(await told(0, rehashed)).toBe('did-mismatch at 0')
    const { log } = await played(story)
    const first = log[0]
    if (!first) throw new Error('no log')
    const did = didOf(changed(first) as plc.Operation)
    expect(verdictOf(did, [{ ...first, ...rehashed(first), did }])).toBe('bad-signature at 0')
  })

  it('refuses a later operation that was changed', async () => {
    const changed = (one: Entry) => ({ ...one.operation, alsoKnownAs: [] }) as AnyOperation
    expect(await told(2, (one) => ({ operation: changed(one), cid: cidOf(parsed(changed(one))) }))).toBe(
      'bad-signature at 2',
    )
  })

  it('refuses a CID that is not the one of its operation, in value or in spelling', async () => {
    const { log } = await played(story)
    expect(await told(1, () => ({ cid: log[0]?.cid }))).toBe('cid-mismatch at 1')
    expect(await told(1, (one) => ({ cid: one.cid.toUpperCase() }))).toBe('cid-mismatch at 1')
    expect(await told(1, () => ({ cid: '' }))).toBe('cid-mismatch at 1')
  })

  it("refuses another DID's entries", async () => {
    const other = await played([move(ours, -1, 0, [ours])])
    expect(await told(0, () => ({ did: other.did }))).toBe('other-did at 0')
    expect(await told(2, () => ({ did: other.did }))).toBe('other-did at 2')
    const { log } = await played(story)
    expect(verdictOf(other.did, log)).toBe('other-did at 0')
    expect(
      verdictOf(
        other.did,
        log.map((one) => ({ ...one, did: other.did })),
      ),
    ).toBe('did-mismatch at 0')
  })

  it('refuses a flag that hides what was undone, or undoes what stands', async () => {
    expect(await told(1, () => ({ nullified: false }))).toBe('nullified-flag at 1')
    expect(await told(2, () => ({ nullified: true }))).toBe('nullified-flag at 2')
    expect(await told(0, () => ({ nullified: true }))).toBe('nullified-flag at 0')
  })

  it('refuses a log whose recovery was left out, by the flag that stayed', async () => {
    const { did, log } = await played(story)
    expect(verdictOf(did, log.slice(0, 2))).toBe('nullified-flag at 1')
  })

  it('refuses entries in another order, and the same entry twice', async () => {
    const { did, log } = await played([move(ours, -1, 0, both), move(ours, 0, 0, both), move(ours, 1, 0, both)])
    const [first, second, third] = log
    expect(verdictOf(did, [first, third, second])).toBe('unknown-prev at 1')
    expect(verdictOf(did, [second, first, third])).toBe('not-a-genesis at 0')
    expect(verdictOf(did, [first, first])).toBe('unknown-prev at 1')
    expect(verdictOf(did, [first, second, second])).toBe('time-order at 2')
  })

  it('refuses a time that runs backwards, and a recovery no later than what it undoes', async () => {
    expect(await told(1, () => ({ createdAt: isoOf(START_MS - 1) }))).toBe('time-order at 1')
    expect(await told(2, () => ({ createdAt: isoOf(START_MS + HOUR) }))).toBe('time-order at 2')
    expect(await told(2, () => ({ createdAt: isoOf(START_MS + HOUR + 1) }))).toBe('ok')
  })

  it('refuses a time in any other spelling', async () => {
    for (const createdAt of [
      '',
      'yesterday',
      '2026-01-01',
      '2026-01-01T00:00:00Z',
      '2026-01-01T01:00:00.000+01:00',
      '2026-01-01T00:00:00.000z',
      '2026-02-30T00:00:00.000Z',
      ' 2026-01-01T00:00:00.000Z',
    ]) {
      expect(await told(0, () => ({ createdAt })), createdAt).toBe('time-format at 0')
    }
  })

  it('refuses entries of another shape', async () => {
    for (const change of [
      { operation: null },
      { operation: {} },
      { nullified: 'false' },
      { createdAt: START_MS },
      { cid: null },
      { did: undefined },
    ]) {
      expect(await told(1, () => change)).toBe('entry-shape at 1')
    }
    expect(await told(0, (one) => ({ operation: { ...one.operation, note: 'x' } }))).toBe('entry-shape at 0')
  })

  it('refuses what is no log, or none of bearable size', async () => {
    const { did, log } = await played(story)
    for (const value of [null, undefined, 'log', { log }, { length: 1, 0: log[0] }]) {
      expect(verdictOf(did, value)).toBe('not-a-log at all')
    }
    expect(verdictOf(did, [])).toBe('empty-log at all')
    const tooMany = Array.from({ length: 1_001 }, () => log[0])
    expect(verdictOf(did, tooMany)).toBe('too-many-entries at all')
    expect(verdictOf(did, tooMany.slice(1))).toBe('unknown-prev at 1')
    // Whoever reads more can tell more.
    expect(verifyPlcLog(did, tooMany, Number.POSITIVE_INFINITY)).toMatchObject({ fault: 'unknown-prev', at: 1 })
  })

  it('reads an operation of 7 500 bytes and refuses one of 7 501', async () => {
    const genesisOf = (chars: number) =>
      plc.signOperation(
        {
          type: 'plc_operation',
          rotationKeys: [ours.did()],
          verificationMethods: {},
          alsoKnownAs: ['a'.repeat(chars)],
          services: {},
          prev: null,
        },
        ours,
      )
    const room = 7_500 - encodeOperation(await genesisOf(7_000)).length
    for (const [chars, bytes, expected] of [
      [7_000 + room, 7_500, 'ok'],
      [7_001 + room, 7_501, 'operation-too-large at 0'],
    ] as const) {
      const genesis = await genesisOf(chars)
      expect(encodeOperation(genesis)).toHaveLength(bytes)
      const did = didOf(genesis)
      expect(verdictOf(did, [entry(did, genesis, 0)])).toBe(expected)
    }
  })
})

describe('an entry dated later than a moment', () => {
  it('is the first that is, by a millisecond; none where no entry is', async () => {
    const { did, log } = await played([
      move(ours, -1, 0, [ours]),
      move(ours, 0, HOUR, [ours]),
      move(ours, 1, 2 * HOUR, [ours]),
    ])
    const verdict = verifyPlcLog(did, log)
    if (!verdict.ok) throw new Error(verdict.fault)
    const found = [-1, 0, HOUR - 1, HOUR, 2 * HOUR - 1, 2 * HOUR].map((ms) => datedAfter(verdict, START_MS + ms))
    expect(found).toEqual([0, 1, 1, 2, 2, null])
  })
})

describe('with rests in between', () => {
  const both = [community, ours]

  it('says the same of good and bad logs', async () => {
    for (const moves of [
      [move(ours, -1, 0, both), move(ours, 0, HOUR, both), move(community, 0, 2 * HOUR, both)],
      [move(ours, -1, 0, both), move(stranger, 0, HOUR, both)],
      [move(ours, -1, 0, both), move(ours, 0, HOUR, 'tombstone')],
    ] as const) {
      const { did, log } = await played(moves)
      for (const told of [log, [], null, log.map((one) => ({ ...one, nullified: true }))]) {
        expect(await verifyPlcLogWithRests(did, told, async () => {})).toEqual(verifyPlcLog(did, told))
      }
    }
  })

  it('never checks more signatures in one piece than one operation may ask for beyond the agreed number', async () => {
    // Ten keys, and the last of them signs: as much work as an operation can make.
    const many = [...(await Promise.all(Array.from({ length: 9 }, () => P256Keypair.create()))), ours]
    const moves = Array.from({ length: 40 }, (_none, at) => move(ours, at - 1, at, many))
    const { did, log } = await played(moves)
    let rests = 0
    const verdict = await verifyPlcLogWithRests(did, log, async () => void rests++)
    expect(verdict.ok).toBe(true)
    const checks = many.length * log.length
    expect(rests).toBeGreaterThanOrEqual(Math.floor(checks / (16 + many.length)))
  })

  it('rests after every sixteen signatures', async () => {
    for (const [entries, expected] of [
      [15, 0],
      [16, 1],
      [31, 1],
      [32, 2],
    ] as const) {
      const { did, log } = await played(Array.from({ length: entries }, (_none, at) => move(ours, at - 1, at, [ours])))
      let rests = 0
      await verifyPlcLogWithRests(did, log, async () => void rests++)
      expect([entries, rests]).toEqual([entries, expected])
    }
  })

  it('rests in no log of a few operations, which is every honest one', async () => {
    const { did, log } = await played([move(ours, -1, 0, both), move(ours, 0, HOUR, both)])
    let rests = 0
    await verifyPlcLogWithRests(did, log, async () => void rests++)
    expect(rests).toBe(0)
  })
})

it('agrees with the published library on stories that nobody wrote', async () => {
  const keys = [cold, quorum, ours]
  const steps = fc.array(
    fc.record({
      by: fc.constantFrom(...keys),
      back: fc.integer({ min: 1, max: 3 }),
      waitMs: fc.constantFrom(1, HOUR, 36 * HOUR, 72 * HOUR, 72 * HOUR + 1),
      keys: fc.oneof(
        { weight: 9, arbitrary: fc.shuffledSubarray(keys, { minLength: 1 }) },
        { weight: 1, arbitrary: fc.constant('tombstone' as const) },
      ),
    }),
    { maxLength: 6 },
  )
  let accepted = 0
  let refused = 0
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray(keys, { minLength: 1 }), steps, async (first, more) => {
      const moves: Move[] = [move(first[0] ?? ours, -1, 0, first)]
      let atMs = 0
      for (const step of more) {
        atMs += step.waitMs
        moves.push(move(step.by, Math.max(0, moves.length - step.back), atMs, step.keys))
      }
      const { did, log, libraryRefusesAt } = await played(moves)
      const verdict = verifyPlcLog(did, log)
      expect(verdict.ok ? null : verdict.at).toBe(libraryRefusesAt)
      if (verdict.ok) accepted++
      else refused++
    }),
    { numRuns: 150 },
  )
  // Both answers were put to the test, not one of them over and over.
  expect(accepted).toBeGreaterThan(0)
  expect(refused).toBeGreaterThan(0)
})

function parsed(operation: AnyOperation) {
  const ours = parsePlcOperation(operation)
  if (!ours) throw new Error('not an operation')
  return ours
}

function entry(did: Did, operation: AnyOperation, atMs: number): Entry {
  return { did, operation, cid: cidOf(parsed(operation)), nullified: false, createdAt: isoOf(START_MS + atMs) }
}
