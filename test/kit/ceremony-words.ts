/** Statements of ceremonies as tests make them: of three keepers, two of whom act together, with every part open to change. */
import type { CeremonyKind, CeremonyStatement, Seat } from '../../src/keys/ceremony-statements.ts'
import type { Did, DidKey } from '../../src/names.ts'
import { keyOfScalar, type TestKey } from './tokens.ts'

const didOf = (name: string): Did => `did:web:${name}.example.com` as Did
const KEEPERS = ['alice', 'bob', 'carol'] as const
const XS = [7, 200, 31] as const

const scalarOf = (number: number): Buffer => Buffer.from(number.toString(16).padStart(64, '0'), 'hex')
/** The keepers' signing keys, and the quorum's, which everybody can find out. */
export const SIGN_KEYS: readonly TestKey[] = [1, 2, 3].map((number) => keyOfScalar('p256', scalarOf(number)))
export const QUORUM_KEY: TestKey = keyOfScalar('k256', scalarOf(1))
/** A map in DAG-CBOR, as the bytes of an operation are: `{"type": "plc_operation"}`. */
export const OPERATION = Buffer.from(`a164747970656d${Buffer.from('plc_operation').toString('hex')}`, 'hex')

const seatsOf = (isSplit: boolean): Seat[] =>
  KEEPERS.map((name, at) => ({
    did: didOf(name),
    keeper: `keeper-${name}`,
    sealKey: `age1${name}`,
    signKey: SIGN_KEYS[at]?.didKey ?? ('' as DidKey),
    x: isSplit ? null : (XS[at] ?? 0),
    commitment: isSplit ? null : `commitment-${name}`,
  }))

/** A good statement of a kind. */
export function statementOf(kind: CeremonyKind, changed: Partial<CeremonyStatement> = {}): CeremonyStatement {
  const isSplit = kind === 'split'
  return {
    v: 1,
    ceremony: 'ceremony-1',
    kind,
    community: `did:plc:${'g'.repeat(24)}` as Did,
    service: didOf('reeve'),
    quorum: {
      ...{ key: 'key-1', pub: isSplit ? null : QUORUM_KEY.didKey, generation: 1, n: 3, k: 2 },
      dealtBy: isSplit ? null : 'ab'.repeat(32),
    },
    seats: seatsOf(isSplit),
    ...{ strict: false, replaces: null },
    operation: kind === 'combine' ? { bytes: Uint8Array.from(OPERATION), head: 'bafyreihead' } : null,
    owners: kind === 'ownership' ? [didOf('dora'), didOf('carol')] : null,
    combiner: isSplit ? didOf('alice') : null,
    sealTo: isSplit ? null : 'seal-to',
    voucher: null,
    nonce: new Uint8Array(32).fill(9),
    createdBy: didOf('alice'),
    createdAt: '2026-11-29T10:00:00.000Z',
    expiresAt: '2026-11-30T10:00:00.000Z',
    ...changed,
  }
}
