/**
 * Communities at a real directory, with a past: what was signed hours or days ago is dated so, since the directory runs in this process
 * and reads a clock that is set for the moment.
 */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { type NewHome, newHomeBytes, type UnsignedNewHome } from '../../src/identity/new-home.ts'
import { cidOf, didOf, parsePlcOperation } from '../../src/identity/plc-operation.ts'
import type { Did } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { signed, submitOperation } from './people.ts'
import { HOUR_MS, type LogRow } from './plc-stories.ts'
import { base64Url, makeKey, signBytes, type TestKey } from './tokens.ts'

/** What a community's identity says while it lives at the old home. */
export const atHome = (keys: readonly TestKey[], prev: string | null, handle = 'gardeners.example.org') => ({
  type: 'plc_operation' as const,
  rotationKeys: keys.map(({ didKey }) => didKey),
  verificationMethods: { atproto: OLD.atproto.didKey, atproto_space: OLD.space.didKey },
  alsoKnownAs: [`at://${handle}`],
  services: {
    atproto_space_host: { type: 'AtprotoSpaceHost', endpoint: 'https://old.example.org' },
    atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: 'https://old.example.org' },
  },
  prev,
})
const OLD = { atproto: makeKey('p256'), space: makeKey('p256') }

export interface Leaver {
  readonly did: Did
  readonly recovery: TestKey
  /** The old home's rotation key. */
  readonly ours: TestKey
  readonly genesisCid: string
  /** A folder of its own, with the key in it. */
  readonly folder: string
  readonly keyFile: string
}

/** Does something while the directory's clock stands so many hours before now. */
export async function hoursAgo<T>(hours: number, work: () => Promise<T>): Promise<T> {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - hours * HOUR_MS })
  try {
    return await work()
  } finally {
    vi.useRealTimers()
  }
}

/** A community that a Reeve founded some days ago, with a recovery key above its own; or with another list of keys. */
export async function foundLeaver(
  plcUrl: string,
  listOf = (recovery: TestKey, ours: TestKey): readonly TestKey[] => [recovery, ours],
): Promise<Leaver> {
  const recovery = makeKey('k256')
  const ours = makeKey('k256')
  const genesis = signed(ours, atHome(listOf(recovery, ours), null))
  const did = didOf(genesis)
  await hoursAgo(200, () => submitOperation(plcUrl, did, genesis))
  const folder = mkdtempSync(join(tmpdir(), 'reeve-leaving-'))
  return {
    did,
    recovery,
    ours,
    genesisCid: cidOf(genesis),
    folder,
    keyFile: keyFileIn(folder, 'recovery.key', recovery),
  }
}

export function keyFileIn(folder: string, name: string, key: TestKey, mode = 0o600): string {
  const path = join(folder, name)
  writeFileSync(path, key.privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode })
  return path
}

/** Signs an operation, sends it as of so many hours ago, and answers its CID. */
export async function happened(
  plcUrl: string,
  did: Did,
  hours: number,
  by: TestKey,
  operation: object,
): Promise<string> {
  const whole = signed(by, operation)
  await hoursAgo(hours, () => submitOperation(plcUrl, did, whole))
  const parsed = parsePlcOperation(whole)
  if (!parsed) throw new Error('no operation')
  return cidOf(parsed)
}

export const tombstoneOn = (prev: string) => ({ type: 'plc_tombstone' as const, prev })

/** The directory's log as it is. */
export async function logAt(plcUrl: string, did: Did): Promise<readonly LogRow[]> {
  return (await (await fetch(`${plcUrl}/${did}/log/audit`)).json()) as LogRow[]
}

/** Who asks a new home, and becomes the first owner there. */
export const NEW_OWNER = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' as Did

/** The statement of a new home about a community, and the key that signed it. */
export function newHomeFor(did: Did, changes: Partial<UnsignedNewHome> = {}): { key: TestKey; statement: NewHome } {
  const key = makeKey('k256')
  const endpoint = 'https://new.example.org'
  const unsigned: UnsignedNewHome = {
    ...{ format: 'reeve-new-home', version: 1, did, rotationKey: key.didKey },
    for: NEW_OWNER,
    service: 'did:web:new.example.org' as Did,
    verificationMethods: { atproto: makeKey('p256').didKey, atproto_space: makeKey('p256').didKey },
    services: {
      atproto_space_host: { type: 'AtprotoSpaceHost', endpoint },
      atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint },
    },
    issuedAt: isoOf(Date.now() - HOUR_MS),
    expiresAt: isoOf(Date.now() + HOUR_MS),
    ...changes,
  }
  return { key, statement: { ...unsigned, sig: base64Url(signBytes(key, newHomeBytes(unsigned))) } }
}

/** The same in a file in the leaver's folder. */
export function newHomeFile(leaver: Leaver, changes: Partial<UnsignedNewHome> = {}): { path: string; home: NewHome } {
  const { key, statement } = newHomeFor(leaver.did, changes)
  const path = join(leaver.folder, `new-home-${key.didKey.slice(-6)}.json`)
  writeFileSync(path, JSON.stringify(statement))
  return { path, home: statement }
}
