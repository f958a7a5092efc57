/** Who holds a live credential, and by which app. The table is that of the exchange: here it is read, and never written. */
import { sql } from 'kysely'
import type { ClientId, Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { AppScope } from './scope.ts'

/** A credential that was issued, hasn't ended and wasn't taken back. */
export interface LiveCredential {
  readonly space: SpaceUri
  readonly did: Did
  readonly clientId: ClientId | null
}

/** Live credentials of a community, or of one of its spaces, person by person, `limit` at most. */
export async function listLiveCredentials(
  tx: Tx,
  { community, scope }: AppScope,
  nowSec: number,
  limit: number,
): Promise<readonly LiveCredential[]> {
  const inScope = scope === community ? sql`true` : sql`space = ${scope}`
  const { rows } = await sql<LiveCredential>`select space, did, client_id as "clientId" from issuance
    where community = ${community} and expires_at_sec > ${nowSec} and revoked_at_sec is null and ${inScope}
    order by did limit ${limit}`.execute(tx)
  return rows
}
