/** The calls by which people join, as tests make them: every one by name, with whatever more the test wants to say. */
import { sql } from 'kysely'
import { memberAcceptInvite } from '../../src/membership/memberAcceptInvite.ts'
import { memberAcceptOwnership } from '../../src/membership/memberAcceptOwnership.ts'
import { memberCreateInvite } from '../../src/membership/memberCreateInvite.ts'
import { memberDecideRequest } from '../../src/membership/memberDecideRequest.ts'
import { memberListInvites } from '../../src/membership/memberListInvites.ts'
import { memberListRequests } from '../../src/membership/memberListRequests.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { memberRequestJoin } from '../../src/membership/memberRequestJoin.ts'
import { memberRevokeInvite } from '../../src/membership/memberRevokeInvite.ts'
import { memberTransferOwnership } from '../../src/membership/memberTransferOwnership.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { spaceUpdate } from '../../src/space/spaceUpdate.ts'
import { once, type Roll } from './roll.ts'

type Input<F extends (ctx: never, caller: Did, input: never, ...rest: never[]) => unknown> = Parameters<F>[2]

export const invite = (roll: Roll, actor: Did, space: SpaceUri, role: string, more: object = {}) =>
  memberCreateInvite(roll, actor, { space, role, ...more } as Input<typeof memberCreateInvite>, once())

/** The word of a new invite. */
export async function inviteWord(roll: Roll, actor: Did, space: SpaceUri, role: string, more: object = {}) {
  const { token } = await invite(roll, actor, space, role, more)
  if (token === undefined) throw new Error('an invite without its word')
  return token
}

export const accept = (roll: Roll, actor: Did, token: string, more: object = {}) =>
  memberAcceptInvite(roll, actor, { token, ...more }, once())

export const revoke = (roll: Roll, actor: Did, space: SpaceUri, id: string) =>
  memberRevokeInvite(roll, actor, { space, invite: id }, once())

export const invitesOf = (roll: Roll, actor: Did, space: SpaceUri, more: object = {}) =>
  memberListInvites(roll, actor, { space, limit: 100, ...more })

export const setJoining = (roll: Roll, actor: Did, space: SpaceUri, joining: string, joiningRole?: string) =>
  spaceUpdate(
    roll,
    actor,
    { space, joining, ...(joiningRole === undefined ? {} : { joiningRole }) } as Input<typeof spaceUpdate>,
    once(),
  )

export const ask = (roll: Roll, actor: Did, space: SpaceUri, more: object = {}) =>
  memberRequestJoin(roll, actor, { space, ...more }, once())

export const waiting = (roll: Roll, actor: Did, space: SpaceUri, more: object = {}) =>
  memberListRequests(roll, actor, { space, limit: 100, ...more })

export const decide = (
  roll: Roll,
  actor: Did,
  space: SpaceUri,
  did: Did,
  verdict: 'approve' | 'decline',
  more: object = {},
) => memberDecideRequest(roll, actor, { space, did, verdict, ...more } as Input<typeof memberDecideRequest>, once())

export const nestBy = (roll: Roll, actor: Did, into: SpaceUri, from: SpaceUri, role: string, more: object = {}) =>
  memberPut(roll, actor, { space: into, memberSpace: from, role, ...more } as Input<typeof memberPut>, once())

export const transfer = (roll: Roll, actor: Did, community: Did, more: object) =>
  memberTransferOwnership(roll, actor, { community, ...more } as Input<typeof memberTransferOwnership>, once())

export const takeOver = (roll: Roll, actor: Did, community: Did, more: object = {}) =>
  memberAcceptOwnership(roll, actor, { community, ...more } as Input<typeof memberAcceptOwnership>, once())

export interface Entry {
  readonly role: string
  readonly until_ms: number | null
  readonly added_by: string
}

/** A person's own entry on a roster, as it lies in the table. */
export const entryOf = async (db: Db, space: SpaceUri, did: Did): Promise<Entry | null> =>
  (await db
    .selectFrom('person_edge')
    .select(['role', 'until_ms', 'added_by'])
    .where('into_space', '=', space)
    .where('did', '=', did)
    .executeTakeFirst()) ?? null

/** The last thing that a community's log says was done, with what it keeps of it. */
export async function lastDone(db: Db, community: Did): Promise<Record<string, unknown> & { because: Because }> {
  const { rows } = await sql<Record<string, unknown> & { because: Because }>`
    select actor, action, target, subject, because from audit_entry
    where community = ${community} and hash is not null order by id desc limit 1`.execute(db)
  const [last] = rows
  if (!last) throw new Error('nothing in the log')
  return last
}

interface Because {
  readonly reasons: readonly Record<string, unknown>[]
  readonly [detail: string]: unknown
}

/** Every row of every table as text. */
export async function everyRow(db: Db): Promise<Record<string, Uint8Array>> {
  const tables = await sql<{ name: string }>`select table_name as name from information_schema.tables
    where table_schema = current_schema()`.execute(db)
  const found: Record<string, Uint8Array> = {}
  for (const { name } of tables.rows) {
    const { rows } = await sql<{ row: string }>`select t::text as row from ${sql.table(name)} t`.execute(db)
    found[name] = Buffer.from(rows.map(({ row }) => row).join('\n'))
  }
  return found
}
