/** Keys in shares as if their ceremonies had been: dealt for real, with the whole key in the test's hand, and their rows where a test needs them. */
import { sql } from 'kysely'
import {
  insertQuorumKey,
  loadQuorumKey,
  moveQuorumKey,
  noteDrill,
  type QuorumKey,
} from '../../src/community/quorum-store.ts'
import { type CeremonyStatement, encodeStatement, hexOf, statementHashOf } from '../../src/keys/ceremony-statements.ts'
import { type KeyPair, signCompact } from '../../src/keys/private-keys.ts'
import { commitmentOf, dealKey, type Share } from '../../src/keys/shares.ts'
import type { Did } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { withTransaction } from '../../src/platform/database.ts'
import { decideKeeper } from '../../src/policy/decide.ts'
import type { TestDatabase } from './databases.ts'
import { base64Url } from './tokens.ts'

export interface PlantedQuorum {
  readonly key: QuorumKey
  /** The whole key, as nobody has it outside of a test. */
  readonly pair: KeyPair
  readonly shares: readonly Share[]
}

let planted = 0

/** Plants a key in shares that its keepers have drilled. Nobody has enrolled. */
export async function plantQuorum(
  { db }: TestDatabase,
  community: Did,
  nowMs: number,
  { n = 3, k = 2, strict = false }: { n?: number; k?: number; strict?: boolean } = {},
): Promise<PlantedQuorum> {
  planted += 1
  const { pair, shares } = await dealKey({ n, k }, (below) => planted % below)
  const dealtBy = new Uint8Array(32).fill(planted)
  const id = `quorum-${planted}`
  const seats = shares.map((share, at) => ({
    ...{ did: `did:web:keeper${at}.example.com` as Did, keeper: `enrolment-${at}`, sealKey: `age1${at}` },
    ...{ signKey: pair.didKey, x: share.x, commitment: commitmentOf(dealtBy, share) },
  }))
  const dealt = { id, community, didKey: pair.didKey, generation: planted, n, k, seats }
  await withTransaction(db, async (tx) => {
    const permit = decideKeeper(community)
    await insertQuorumKey(tx, permit, { ...dealt, dealtBy: hexOf(dealtBy), wantsStrict: strict }, nowMs)
    await moveQuorumKey(tx, id, ['dealt'], 'drilled', nowMs)
    await noteDrill(tx, id, nowMs)
  })
  const key = await loadQuorumKey(db, id)
  if (!key) throw new Error('not planted')
  return { key, pair, shares }
}

/** The statement of a ceremony that signs an operation, with its row, as far as the end of it needs one. */
export async function plantCombine(
  { db }: TestDatabase,
  { key, pair }: PlantedQuorum,
  operation: { readonly bytes: Uint8Array; readonly head: string },
  nowMs: number,
): Promise<{ readonly ceremony: string; readonly statement: CeremonyStatement; readonly signature: string }> {
  planted += 1
  const ceremony = `ceremony-${planted}`
  const { id, community, didKey, generation, n, k, dealtBy } = key
  const statement: CeremonyStatement = {
    ...{ v: 1, ceremony, kind: 'combine', community, service: community },
    quorum: { key: id, pub: didKey, generation, n, k, dealtBy },
    ...{
      seats: [...key.seats],
      strict: false,
      replaces: null,
      operation,
      owners: null,
      combiner: key.seats[0]?.did ?? community,
    },
    ...{ sealTo: 'A', voucher: 'A', nonce: new Uint8Array(32).fill(planted), createdBy: community },
    ...{ createdAt: isoOf(nowMs), expiresAt: isoOf(nowMs + 86_400_000) },
  }
  const bytes = encodeStatement(statement)
  await sql`insert into ceremony (id, community, slot, kind, quorum_key, state, statement, statement_hash, sig, created_by,
      created_at_ms, expires_at_ms)
    values (${ceremony}, ${community}, ${`key ${id}`}, 'combine', ${id}, 'ready', ${bytes}, ${hexOf(statementHashOf(bytes))}, 'sig',
      ${community}, ${nowMs}, ${nowMs + 86_400_000})`.execute(db)
  return { ceremony, statement, signature: base64Url(signCompact(pair, operation.bytes)) }
}
