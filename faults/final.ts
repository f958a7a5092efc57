/** What stands in a database when everything is over, by a look past everything of ours that could remember. */
import { sql } from 'kysely'
import { verifyChains } from '../src/audit/verify.ts'
import { authorityOf, type Did, type SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { type Db, openDatabase } from '../src/platform/database.ts'
import { silentLog } from '../src/platform/log.ts'
import { Secret } from '../src/platform/secret.ts'
import type { Final } from './verdicts.ts'

/** Opens the database of a Reeve that has ended; the embedded one can't be had before. */
export async function readFinal(
  at: { readonly databaseUrl: string | null; readonly dataDir: string },
  community: Did,
): Promise<Final> {
  const url = at.databaseUrl === null ? null : new Secret(at.databaseUrl)
  const { dataDir } = at
  const { db, close } = await openDatabase({ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock })
  try {
    return await finalOf(db, community)
  } finally {
    await close()
  }
}

/** The same of a database that is open. */
export async function finalOf(db: Db, community: Did): Promise<Final> {
  const revisions = await sql<{ revision: number }>`select revision::int as revision from community_revision
    where community = ${community}`.execute(db)
  const people = await sql<{ space: SpaceUri; did: Did; role: string }>`select into_space as space, did, role
    from person_edge where community = ${community} order by into_space, did`.execute(db)
  const issuances = await sql<Final['issuances'][number]>`select jti, did, space, holder, revision::int as revision,
    revoked_at_sec is not null as "isTakenBack" from issuance order by jti`.execute(db)
  const writers = await sql<{ space: SpaceUri; repo: Did; repoRev: string }>`select space, repo, repo_rev as "repoRev"
    from writer order by space, repo`.execute(db)
  const services = await sql<{ space: SpaceUri; service: string }>`select space, service from registration
    where ended_at_ms is null order by space, service`.execute(db)
  const unheard = await sql<{
    space: SpaceUri
    service: string
  }>`select target as space, because ->> 'service' as service
    from audit_entry where community = ${community} and action = 'notify.end' and because ->> 'reason' = 'NeverAnswered'
    order by id`.execute(db)
  const entries = await sql<Final['entries'][number]>`select seq::int as seq, actor, action, subject,
    (because ->> 'revision')::int as revision, because ->> 'jti' as jti
    from audit_entry where community = ${community} order by audit_entry.seq nulls last, id`.execute(db)
  const chains: { community: string; fault: string | null }[] = []
  for await (const { community: of, fault } of verifyChains(db)) {
    chains.push({ community: of, fault: fault && `${fault.fault} at row ${fault.seq}` })
  }
  return {
    revision: revisions.rows[0]?.revision ?? 0,
    people: people.rows,
    issuances: issuances.rows.filter(({ space }) => authorityOf(space) === community),
    writers: writers.rows,
    services: services.rows,
    unheard: unheard.rows,
    entries: entries.rows,
    chains,
  }
}
