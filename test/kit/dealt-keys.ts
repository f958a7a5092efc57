/** Keys in shares, dealt here, and ceremonies in which their keepers give them: with the secrets at hand, for a test to spoil or to look for. */
import {
  type CeremonyKind,
  type CeremonyStatement,
  encodeStatement,
  hexOf,
  statementHashOf,
} from '../../src/keys/ceremony-statements.ts'
import type { GivenShare, OpenCeremony } from '../../src/keys/combining.ts'
import { sealShare } from '../../src/keys/share-seal.ts'
import { commitmentOf, type DealtKey, dealKey, type Share } from '../../src/keys/shares.ts'
import type { Did } from '../../src/names.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { statementOf } from './ceremony-words.ts'
import { Dice } from './dice.ts'
import { makeKey } from './tokens.ts'

export interface Dealing extends DealtKey {
  readonly k: number
  /** The hash of the statement under which it was dealt. */
  readonly dealtBy: Uint8Array
}

const dice = new Dice(7)

export async function dealt(k: number, n: number): Promise<Dealing> {
  const key = await dealKey({ k, n }, (below) => dice.below(below))
  return { ...key, k, dealtBy: systemRandom.bytes(32) }
}

export interface DealtCeremony extends OpenCeremony {
  /** What a keeper gives: their own share, or another one, sealed for their seat; with every part of it open to change. */
  give(at: number, changed?: Partial<{ share: Share; sealTo: string; statementHash: Uint8Array }>): Promise<GivenShare>
}

/** A ceremony of the keepers of a key, for `sealTo`. */
export function ceremonyOf(
  { pair, shares, k, dealtBy }: Dealing,
  sealTo: string,
  kind: Exclude<CeremonyKind, 'split'> = 'combine',
  changed: Partial<CeremonyStatement> = {},
): DealtCeremony {
  const seats = shares.map((share, at) => ({
    ...{ did: `did:web:keeper${at}.example.com` as Did, keeper: `keeper-${at}`, sealKey: `age1keeper${at}` },
    ...{ signKey: makeKey('p256').didKey, x: share.x, commitment: commitmentOf(dealtBy, share) },
  }))
  const quorum = { key: 'key-1', pub: pair.didKey, generation: 1, n: shares.length, k, dealtBy: hexOf(dealtBy) }
  const nonce = systemRandom.bytes(32)
  const statement = statementOf(kind, { seats, quorum, sealTo, nonce, ...changed })
  const statementHash = statementHashOf(encodeStatement(statement))
  return {
    statement,
    statementHash,
    async give(at, other = {}) {
      const [seat, own] = [seats[at], shares[at]]
      if (!seat || !own) throw new Error('nobody keeps that share')
      const share = other.share ?? own
      const sealed = await sealShare(other.sealTo ?? sealTo, share, other.statementHash ?? statementHash)
      return { did: seat.did, sealed }
    },
  }
}
