/**
 * The tables of what communities and spaces say about apps. They are read with the graph (`facts-store.ts`), since every decision
 * about reading needs them; written here, because a space may be made with a list, and by those who judge apps.
 */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { AppAccess, AppMode, AppVerdict } from '../policy/apps.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    app_access: { scope: string; community: string; mode: AppMode; unattested: AppAccess['unattested'] }
    app_rule: {
      scope: string
      name: string
      community: string
      is_host: boolean
      verdict: AppVerdict
      note: string | null
      put_by: string
      put_at_ms: number
    }
  }
}

/** Where something is said: a community, or one of its spaces. */
export interface AppScope {
  readonly community: Did
  readonly scope: SpaceUri | Did
}

type MayWrite = Permit<'apps.review'> | Permit<'space.create'>

/** Says how apps are judged in a scope. */
export async function saveAppAccess(
  tx: Tx,
  _permit: MayWrite,
  { community, scope }: AppScope,
  { mode, unattested }: Pick<AppAccess, 'mode' | 'unattested'>,
): Promise<void> {
  await tx
    .insertInto('app_access')
    .values({ scope, community, mode, unattested })
    .onConflict((conflict) => conflict.column('scope').doUpdateSet({ mode, unattested }))
    .execute()
}

/** Says whether a community tells if it was the app or the person that was turned away. */
export async function saveSilence(
  tx: Tx,
  _permit: Permit<'apps.review'>,
  community: Did,
  isSilent: boolean,
): Promise<void> {
  await tx.updateTable('community_revision').set({ is_silent: isSilent }).where('community', '=', community).execute()
}

/** A rule as it is put: by client id, or by host. */
export interface NewAppRule {
  readonly name: string
  readonly isHost: boolean
  readonly verdict: AppVerdict
  readonly note: string | null
}

/** Puts rules in a scope, each in place of the one of that name. */
export async function saveAppRules(
  tx: Tx,
  permit: MayWrite,
  { community, scope }: AppScope,
  rules: readonly NewAppRule[],
  nowMs: number,
): Promise<void> {
  if (rules.length === 0) return
  const put = { put_by: permit.actor, put_at_ms: nowMs }
  await tx
    .insertInto('app_rule')
    .values(
      rules.map(({ name, isHost, verdict, note }) => ({
        scope,
        name,
        community,
        is_host: isHost,
        verdict,
        note,
        ...put,
      })),
    )
    .onConflict((conflict) =>
      conflict.columns(['scope', 'name']).doUpdateSet({
        verdict: (row) => row.ref('excluded.verdict'),
        note: (row) => row.ref('excluded.note'),
        ...put,
      }),
    )
    .execute()
}

/** What is noted with a rule; null: nothing, or there is no such rule. */
export async function loadAppNote(tx: Tx, scope: SpaceUri | Did, name: string): Promise<string | null> {
  const row = await tx
    .selectFrom('app_rule')
    .select('note')
    .where('scope', '=', scope)
    .where('name', '=', name)
    .executeTakeFirst()
  return row?.note ?? null
}

/** Takes a rule back. */
export async function deleteAppRule(
  tx: Tx,
  _permit: Permit<'apps.review'>,
  scope: SpaceUri | Did,
  name: string,
): Promise<void> {
  await tx.deleteFrom('app_rule').where('scope', '=', scope).where('name', '=', name).execute()
}

/** Forgets all that a space says about apps: it has come to its end, and what it said counts for the community's limit no more. */
export async function deleteAppRulesOf(tx: Tx, _permit: Permit<'space.delete'>, space: SpaceUri): Promise<void> {
  await tx.deleteFrom('app_rule').where('scope', '=', space).execute()
  await tx.deleteFrom('app_access').where('scope', '=', space).execute()
}

/** How many rules a community and its spaces have together. */
export async function countAppRules(tx: Tx, community: Did): Promise<number> {
  const { rows } = await sql<{
    count: number
  }>`select count(*) as count from app_rule where community = ${community}`.execute(tx)
  return rows[0]?.count ?? 0
}
