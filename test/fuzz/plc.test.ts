/**
 * Audit logs and operations of did:plc, spoilt: at the entry, in the operation, with hashes mended, with signatures made anew by some
 * key, beside the published library.
 *
 * A log that is still believed is one that the library takes operation by operation; what Reeve alone refuses is a lie of the
 * directory's own making, which the library is never shown, or a second spelling.
 */

import * as plc from '@did-plc/lib'
import { encode } from '@ipld/dag-cbor'
import { describe, expect, it } from 'vitest'
import { verifyPlcLog } from '../../src/identity/plc-log.ts'
import {
  cidOf,
  didOf,
  encodeOperation,
  parsePlcOperation,
  verifyOperationSignature,
} from '../../src/identity/plc-operation.ts'
import type { Did } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { type Dice, fuzz, mutateJson, mutateText, respellBase64Url, SEED } from '../kit/mutate.ts'
import { signed } from '../kit/people.ts'
import { keyOfScalar, type TestKey } from '../kit/tokens.ts'
import { requireListed } from './divergences.ts'

const [cold, ours, next, stranger] = [3, 4, 5, 6].map((byte, at) =>
  keyOfScalar(at % 2 === 0 ? 'k256' : 'p256', new Uint8Array(32).fill(byte)),
) as [TestKey, TestKey, TestKey, TestKey]
const KEYS = [cold, ours, next, stranger]
const START_MS = Date.UTC(2026, 0, 1)
const HOUR_MS = 60 * 60 * 1000

type Operation = Record<string, unknown> & { sig: string }
interface Entry {
  did: string
  operation: Operation
  cid: string
  nullified: boolean
  createdAt: string
}

const operationOf = (name: string, keys: readonly TestKey[], prev: string | null) => ({
  type: 'plc_operation',
  rotationKeys: keys.map(({ didKey }) => didKey),
  verificationMethods: { atproto: ours.didKey, atproto_space: next.didKey },
  alsoKnownAs: [`at://${name}.example.com`],
  services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.example.com' } },
  prev,
})

const cidOfAny = (operation: unknown): string | null => {
  const parsed = parsePlcOperation(operation)
  return parsed && cidOf(parsed)
}

/** A birth, a change by each key, and a change that the first key undoes within the window. */
function goodLog(): { did: Did; log: Entry[] } {
  const log: Entry[] = []
  const append = (by: TestKey, operation: object, hours: number): string => {
    const whole = signed(by, operation) as unknown as Operation
    const cid = cidOfAny(whole) ?? ''
    log.push({ did: '', operation: whole, cid, nullified: false, createdAt: isoOf(START_MS + hours * HOUR_MS) })
    return cid
  }
  const first = append(ours, operationOf('one', [cold, ours], null), 0)
  const second = append(cold, operationOf('two', [cold, next, ours], first), 1)
  append(ours, operationOf('three', [ours], second), 2)
  append(next, operationOf('four', [cold, next], second), 3)
  const undone = log[2]
  if (undone) undone.nullified = true
  const genesis = parsePlcOperation(log[0]?.operation)
  if (genesis?.type !== 'plc_operation') throw new Error('a birth is an operation')
  const did = didOf(genesis)
  for (const entry of log) entry.did = did
  return { did, log }
}

const { did, log: good } = goodLog()
const pool = {
  names:
    'type rotationKeys verificationMethods alsoKnownAs services prev sig cid did nullified createdAt operation seq'.split(
      ' ',
    ),
  values: [
    ...[...good.map(({ cid }) => cid), ...good.map(({ operation }) => operation), ...KEYS.map(({ didKey }) => didKey)],
    ...[
      'plc_operation',
      'plc_tombstone',
      'create',
      did,
      isoOf(START_MS),
      isoOf(START_MS + 75 * HOUR_MS),
      '2026-01-01T00:00:00Z',
    ],
  ],
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Signs an operation anew with some key; what can't be written as DAG-CBOR stays as it is. */
function resigned(dice: Dice, operation: unknown): unknown {
  if (!isObject(operation)) return operation
  const { sig: _, ...unsigned } = operation
  try {
    encode(unsigned)
    return signed(dice.pick([ours, cold, next, stranger]), unsigned)
  } catch {
    return operation
  }
}

/** Entries whose CIDs fit their operations again, and whose flags and `prev` may be made to fit. */
function mended(dice: Dice, log: unknown): unknown {
  if (!Array.isArray(log) || dice.oneIn(4)) return log
  const at = dice.below(log.length)
  const entry: unknown = log[at]
  if (!isObject(entry)) return log
  if (dice.oneIn(2)) entry['operation'] = resigned(dice, entry['operation'])
  for (const one of log) if (isObject(one)) one['cid'] = cidOfAny(one['operation']) ?? one['cid']
  if (dice.oneIn(3)) {
    // Everything behind the change hangs on it again, signed anew.
    let prev: unknown = entry['cid']
    for (const later of log.slice(at + 1)) {
      if (!isObject(later) || !isObject(later['operation'])) continue
      later['operation'] = resigned(dice, { ...later['operation'], prev })
      later['cid'] = cidOfAny(later['operation']) ?? later['cid']
      later['nullified'] = false
      prev = later['cid']
    }
  }
  return log
}

function spoiltLog(dice: Dice): unknown {
  const log = structuredClone(good).slice(0, dice.pick([4, 4, 3, 2, 1]))
  if (log.length === 3 && log[2]) log[2].nullified = false
  const entry = dice.pick(log)
  switch (dice.below(5)) {
    case 0:
      return mutateJson(dice, log, pool)
    case 1:
      entry.operation.sig = respellBase64Url(dice, entry.operation.sig)
      return dice.oneIn(2) ? mended(dice, log) : log
    case 2:
      log.splice(dice.below(log.length), 1, dice.pick(log))
      return log
    case 3:
      return log
    default:
      Object.assign(entry, { operation: mutateJson(dice, entry.operation, pool) })
      return mended(dice, log)
  }
}

/** Whether the library takes a chain of operations from the first to the last. */
const libraryTakes = (operations: readonly unknown[]): Promise<boolean> =>
  plc.validateOperationLog(did, operations as plc.CompatibleOpOrTombstone[]).then(
    () => true,
    () => false,
  )

/** Faults in what the directory itself says about operations: the library is never shown it. */
const DIRECTORY_FAULTS = new Set(
  'not-a-log empty-log too-many-entries entry-shape time-format time-order other-did cid-mismatch nullified-flag recovery-late'.split(
    ' ',
  ),
)

describe('a spoilt log of did:plc', () => {
  it(`is believed only when the library takes every operation in force (seed ${SEED})`, async () => {
    const words = await fuzz('PLC audit log', 600, spoiltLog, async (json, ours) => {
      const before = JSON.stringify(json)
      const verdict = ours(() => verifyPlcLog(did, json))
      expect(JSON.stringify(json)).toBe(before)
      if (!verdict.ok) {
        if (DIRECTORY_FAULTS.has(verdict.fault)) return verdict.fault
        const chain = (json as Entry[]).slice(0, (verdict.at ?? 0) + 1)
        // A straight chain up to the entry that is refused; a recovery is told beside the library elsewhere.
        const isStraight = chain.every(({ operation }, at) => operation['prev'] === (chain[at - 1]?.cid ?? null))
        if (!isStraight || !(await libraryTakes(chain.map(({ operation }) => operation)))) return verdict.fault
        // Only another spelling of a good signature is refused by us alone.
        const sig = chain.at(-1)?.operation.sig ?? ''
        expect(Buffer.from(sig, 'base64url').toString('base64url'), verdict.fault).not.toBe(sig)
        return requireListed({ sig: 'base64url, JSON' }, 'sig')
      }
      const entries = json as Entry[]
      expect(verdict.ops.map(({ cid, operation }) => [cid, operation])).toEqual(
        entries.map(({ cid, operation }) => [cid, operation]),
      )
      // What was hashed is all that was sent: nothing was dropped on the way.
      for (const { operation, cid } of entries) {
        expect(Buffer.from(encode(operation))).toEqual(
          Buffer.from(encodeOperation(parsePlcOperation(operation) ?? never())),
        )
        expect((await plc.getLastOpWithCid([operation as unknown as plc.Operation])).cid.toString()).toBe(cid)
      }
      const inForce = entries.filter(({ nullified }) => !nullified).map(({ operation }) => operation)
      expect(await libraryTakes(inForce), 'believed by Reeve alone').toBe(true)
      return before.length === JSON.stringify(good).length ? 'believed' : 'believed, another log'
    })
    expect(words.get('believed')).toBeGreaterThan(50)
    expect(words.get('believed, another log')).toBeGreaterThan(50)
    for (const fault of ['bad-signature', 'cid-mismatch', 'entry-shape', 'unknown-prev', 'did-mismatch']) {
      expect(words.get(fault), fault).toBeGreaterThan(5)
    }
  })
})

describe('a spoilt operation of did:plc', () => {
  it(`is read whole, or not at all (seed ${SEED})`, async () => {
    const spoilt = (dice: Dice): unknown => {
      const { operation } = dice.pick(good)
      const legacy = {
        type: 'create',
        signingKey: ours.didKey,
        recoveryKey: cold.didKey,
        handle: 'a.example',
        service: 'https://x.example',
        prev: null,
        sig: operation.sig,
      }
      const kind = dice.pick([
        operation,
        operation,
        legacy,
        { type: 'plc_tombstone', prev: good[0]?.cid, sig: operation.sig },
      ])
      return mutateJson(dice, kind, pool)
    }
    const words = await fuzz('PLC operation', 10_000, spoilt, (json, ours) => {
      const before = JSON.stringify(json)
      const operation = ours(() => parsePlcOperation(json))
      expect(JSON.stringify(json)).toBe(before)
      if (operation === null) return 'none'
      // Names of members that vanish on the way would give a second operation the first one's CID.
      expect(JSON.stringify(operation)).toHaveLength(before.length)
      expect(Buffer.from(encodeOperation(operation))).toEqual(Buffer.from(encode(json)))
      return operation.type
    })
    for (const word of ['none', 'plc_operation', 'plc_tombstone', 'create'])
      expect(words.get(word), word).toBeGreaterThan(20)
  })

  it(`is signed by a key only when the library says so too (seed ${SEED})`, async () => {
    const spoilt = (dice: Dice) => {
      const by = dice.pick(KEYS)
      const operation = signed(by, operationOf(dice.pick(['a', 'b']), [cold], null))
      const sig = dice.pick([
        () => operation.sig,
        () => respellBase64Url(dice, operation.sig),
        () => mutateText(dice, operation.sig, ['=', '+']),
      ])()
      const keys = dice.pick([KEYS, [by], [stranger, by], [cold]]).map(({ didKey }) => didKey as string)
      if (dice.oneIn(5)) keys.splice(dice.below(keys.length), 0, mutateText(dice, by.didKey))
      return { operation: { ...operation, sig }, keys }
    }
    const words = await fuzz('PLC signature', 500, spoilt, async ({ operation, keys }, ours) => {
      const parsed = parsePlcOperation(operation)
      if (!parsed) return 'none'
      const signer = ours(() => verifyOperationSignature(parsed, keys))
      const theirs = await plc.assureValidSig(keys, operation as plc.CompatibleOpOrTombstone).catch(() => null)
      if (signer !== null || theirs === null) {
        expect(signer).toBe(theirs)
        return signer ? 'signed' : 'not signed'
      }
      expect(Buffer.from(operation.sig, 'base64url').toString('base64url')).not.toBe(operation.sig)
      return requireListed({ sig: 'base64url, JSON' }, 'sig')
    })
    expect(words.get('signed')).toBeGreaterThan(100)
    expect(words.get('not signed')).toBeGreaterThan(100)
  })
})

function never(): never {
  throw new Error('what was believed is an operation')
}
