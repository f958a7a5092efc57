/** Whose apps a change would turn away: of those who hold a live credential, by the judgement before and after it. */
import type * as defs from '../lexicons/community/reeve/defs.ts'
import { loadGraph } from '../membership/facts-store.ts'
import type { Facts } from '../membership/standing-facts.ts'
import type { ClientId, Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { type AppRules, judgeApp } from '../policy/apps.ts'
import { type LiveCredential, listLiveCredentials } from './live-credential-store.ts'
import type { AppScope } from './scope.ts'

/** Credentials looked at for one preview. */
const CREDENTIALS_MAX = 10_000
/** Apps that are listed; the others are counted. */
const APPS_MAX = 100

/** What the answer of a dry run says, once the change is made in its transaction; a real change says nothing. */
export async function answerOf(
  tx: Tx,
  actor: Facts,
  at: AppScope,
  { isDryRun, nowMs }: { readonly isDryRun: boolean; readonly nowMs: number },
): Promise<{ readonly turnedAway?: defs.TurnedAway }> {
  if (!isDryRun) return {}
  const after = await loadGraph(tx, at.community)
  if (!after) throw new TypeError('a community that is held is there')
  const live = await listLiveCredentials(tx, at, Math.floor(nowMs / 1000), CREDENTIALS_MAX + 1)
  const looked = live.slice(0, CREDENTIALS_MAX)
  const gone = turnedAway(looked, at.community, { before: actor.graph.apps, after: after.graph.apps })
  return { turnedAway: { ...countsOf(gone), isComplete: looked.length === live.length } }
}

function turnedAway(
  live: readonly LiveCredential[],
  community: Did,
  { before, after }: { readonly before: AppRules; readonly after: AppRules },
): readonly LiveCredential[] {
  const may = (apps: AppRules, { space, clientId }: LiveCredential) => judgeApp(apps, community, space, clientId).ok
  return live.filter((one) => may(before, one) && !may(after, one))
}

function countsOf(gone: readonly LiveCredential[]): Omit<defs.TurnedAway, 'isComplete'> {
  const byApp = new Map<ClientId | null, Set<Did>>()
  for (const { clientId, did } of gone) byApp.set(clientId, (byApp.get(clientId) ?? new Set()).add(did))
  const apps = [...byApp]
    .map(([clientId, dids]) => ({ ...(clientId === null ? {} : { clientId }), people: dids.size }))
    .sort((a, b) => b.people - a.people || ((a.clientId ?? '') < (b.clientId ?? '') ? -1 : 1))
  return { credentials: gone.length, people: new Set(gone.map(({ did }) => did)).size, apps: apps.slice(0, APPS_MAX) }
}
