/**
 * The table of issued credentials, and the one statement that spends a request's tokens and writes what is issued for them.
 *
 * The decision was made on facts of a certain revision. The statement holds that revision still while it writes: a change that
 * commits first makes it write nothing, and a change that comes later waits until the row is there. So no credential rests on
 * what was already taken back, on any number of processes.
 */
import { sql } from 'kysely'
import type { AuditFact } from '../audit/chain.ts'
import { appendUnsealed, unsealedInsert } from '../audit/store.ts'
import type { Db, Tables } from '../platform/database.ts'
import { claimInsert } from '../platform/once.ts'
import type { Grant } from '../policy/decide.ts'
import type { Claim } from './possession.ts'

declare module '../platform/database.ts' {
  interface Tables {
    issuance: {
      jti: string
      space: string
      community: string
      did: string
      client_id: string | null
      /** The key that the credential is bound to: a DPoP thumbprint, or a did:key. */
      holder: string
      issued_at_sec: number
      expires_at_sec: number
      /** The revision of the community on which the decision rests. */
      revision: number
    }
  }
}

/** The claims that somebody spent before; of several, perhaps not every one. */
export interface Spent {
  readonly spent: readonly Claim[]
}

/**
 * Spends claims by themselves, for a request that is refused. When one was spent before, the others are not spent with it, so
 * that a used proof beside a token doesn't use that up.
 */
export async function spend(db: Db, claims: readonly Claim[]): Promise<'claimed' | Spent> {
  const rows = await claimInsert(db, claims, noneSpent(claims)).execute()
  if (rows.length === claims.length) return 'claimed'
  const claimed = rows.map((row) => hex(row.id))
  return spentAmong(db, claims, claimed)
}

export interface Issue {
  readonly grant: Grant
  readonly claims: readonly Claim[]
  readonly issuance: {
    readonly jti: string
    readonly holder: string
    readonly issuedAtSec: number
    readonly expiresAtSec: number
    readonly revision: number
  }
  readonly atMs: number
}

/** `issued`; `moved`: the community changed since the decision and nothing was written; or the claims somebody spent before. */
export type IssueOutcome = 'issued' | 'moved' | Spent

/**
 * Spends the claims, writes the issuance and its audit row, all or nothing of the three, while the community stands at the
 * revision of the decision. Of two requests at once that share one claim, one wins; the other's remaining claim may be spent
 * with it, which costs nobody but the sender of both.
 */
export async function issue(db: Db, { grant, claims, issuance, atMs }: Issue): Promise<IssueOutcome> {
  const { space, did, clientId, because } = grant
  const { jti, holder, issuedAtSec, expiresAtSec, revision } = issuance
  const fact: AuditFact = {
    community: space.authority,
    atMs,
    actor: did,
    action: 'credential.issue',
    target: space.uri,
    subject: did,
    because: { reasons: because, jti, revision },
  }
  const mayClaim = sql<boolean>`exists (select from guard) and ${noneSpent(claims)}`
  const isAllClaimed = sql<boolean>`(select count(*) from claimed) = ${claims.length}::int`
  const outcome = await db
    .with('guard', (query) =>
      query
        .selectFrom('community_revision')
        .select('revision')
        .where('community', '=', space.authority)
        .where('revision', '=', revision)
        .forShare(),
    )
    .with('claimed', (query) => claimInsert(query, claims, mayClaim))
    .with('issued', (query) =>
      query
        .insertInto('issuance')
        .columns([
          'jti',
          'space',
          'community',
          'did',
          'client_id',
          'holder',
          'issued_at_sec',
          'expires_at_sec',
          'revision',
        ])
        .expression(
          sql<Tables['issuance']>`select ${jti}, ${space.uri}, ${space.authority}, ${did}, ${clientId}::text, ${holder},
            ${issuedAtSec}::bigint, ${expiresAtSec}::bigint, ${revision}::bigint where ${isAllClaimed}`,
        )
        .returning('jti'),
    )
    .with('journal', (query) => unsealedInsert(query, fact, sql`exists (select from issued)`))
    .selectNoFrom([
      sql<boolean>`exists (select from guard)`.as('stands'),
      sql<boolean>`exists (select from issued)`.as('isIssued'),
      sql<string[]>`array(select encode(id, 'hex') from claimed)`.as('claimed'),
    ])
    .executeTakeFirstOrThrow()
  if (!outcome.stands) return 'moved'
  if (outcome.isIssued) return 'issued'
  return spentAmong(db, claims, outcome.claimed)
}

const hex = (id: Uint8Array): string => Buffer.from(id).toString('hex')

const noneSpent = (claims: readonly Claim[]) =>
  sql<boolean>`not exists (select from spent where id = any(${claims.map((claim) => claim.id)}::bytea[]))`

/**
 * Which of the claims somebody spent before, after a statement that claimed not all of them. Where it claimed some, the others
 * are meant; where it claimed none, they stand in the table.
 */
async function spentAmong(db: Db, claims: readonly Claim[], claimed: readonly string[]): Promise<Spent> {
  if (claimed.length > 0) return { spent: claims.filter((claim) => !claimed.includes(hex(claim.id))) }
  const ids = claims.map((claim) => claim.id)
  const rows = await db.selectFrom('spent').select('id').where('id', 'in', ids).execute()
  const found = new Set(rows.map((row) => hex(row.id)))
  return { spent: claims.filter((claim) => found.has(hex(claim.id))) }
}

/** Deletes at most `max` rows of credentials that ended before `endedBeforeSec`, and answers how many. */
export async function forgetIssued(db: Db, endedBeforeSec: number, max: number): Promise<number> {
  const over = db
    .selectFrom('issuance')
    .select('jti')
    .where('expires_at_sec', '<', endedBeforeSec)
    .orderBy('expires_at_sec')
    .limit(max)
    .forUpdate()
    .skipLocked()
  const { numDeletedRows } = await db.deleteFrom('issuance').where('jti', 'in', over).executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}

/** Keeps a refused read in the log of its community. */
export const recordRefusedRead = (db: Db, fact: AuditFact): Promise<void> => appendUnsealed(db, fact)
