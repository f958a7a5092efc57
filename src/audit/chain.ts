/**
 * The chain: each row of a community's log carries a hash over itself and the row before.
 *
 * Pure. The bytes are DAG-CBOR, which has one encoding for a value, behind a tag of our own, so that the hash can be computed
 * again by anybody from what `community.reeve.audit.list` shows.
 */
import { encode } from '@ipld/dag-cbor'
import { sha256, utf8 } from '../platform/bytes.ts'

/** What a row says, apart from its place. `because` is JSON: reasons and particulars, codes and identifiers only. */
export interface AuditFact {
  readonly community: string
  readonly atMs: number
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly subject: string | null
  readonly because: unknown
}

/** What stands before the first row of a chain. */
export const CHAIN_START = new Uint8Array(32)

/** The hash of the row at `seq` (from 1), 32 bytes. */
export function hashOf(fact: AuditFact, seq: number, prev: Uint8Array): Uint8Array {
  const { community, atMs, actor, action, target, subject, because } = fact
  return sha256(
    utf8('reeve-audit-v1\n'),
    encode({ v: 1, community, seq, atMs, actor, action, target, subject, because, prev }),
  )
}

export interface ChainedFact extends AuditFact {
  readonly seq: number
  readonly hash: Uint8Array
  readonly prev: Uint8Array
}

/** Where a chain is broken and how. */
export interface ChainFault {
  readonly seq: number
  readonly fault: 'missing-row' | 'wrong-prev' | 'wrong-hash'
}

/** Follows a chain row by row: `check` answers null while all is well, and otherwise the first fault. */
export function chainWalker(start: { seq: number; hash: Uint8Array } = { seq: 0, hash: CHAIN_START }) {
  let { seq, hash } = start
  return {
    check(row: ChainedFact): ChainFault | null {
      if (row.seq !== seq + 1) return { seq: seq + 1, fault: 'missing-row' }
      if (!sameBytes(row.prev, hash)) return { seq: row.seq, fault: 'wrong-prev' }
      if (!sameBytes(row.hash, hashOf(row, row.seq, row.prev))) return { seq: row.seq, fault: 'wrong-hash' }
      seq = row.seq
      hash = row.hash
      return null
    },
    end: () => ({ seq, hash }),
  }
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a).equals(b)
