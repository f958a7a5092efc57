/**
 * PDSes as far as a write goes, played in memory as the reference was seen to do it: a commit in the writer's own repo, one notification to
 * the host of the space, which asks the managing app, and a list of writers there. Whatever comes of the notification, the writer sees
 * nothing of it, and nobody tries again.
 */
import type { Did } from '../../src/names.ts'
import type { AskingHost, HostedAccount } from './asking-host.ts'
import { freshRev } from './writers.ts'

export interface PlayedWriterSet {
  /** Somebody saves something; saving it as it is makes a new revision, too. Answers how the notification ended, as the logs have it. */
  write(user: Did): Promise<200 | 403>
  /** `listRepos` at the PDS of the space. */
  listRepos(): readonly { readonly did: Did; readonly rev: string }[]
  /** `getLatestCommit` at the writer's PDS; null: they have no repo for this space. */
  getLatestCommit(user: Did): string | null
}

export function playWriterSet(about: {
  readonly host: AskingHost
  readonly account: HostedAccount
  readonly space: string
  readonly clock: { nowMs(): number }
}): PlayedWriterSet {
  const { host, account, space, clock } = about
  const repos = new Map<Did, string>()
  const listed = new Map<Did, string>()
  return {
    async write(user) {
      const rev = freshRev(clock.nowMs())
      repos.set(user, rev)
      if (!(await host.write(account, space, user))) return 403
      listed.set(user, rev)
      return 200
    },
    listRepos: () => [...listed].map(([did, rev]) => ({ did, rev })),
    getLatestCommit: (user) => repos.get(user) ?? null,
  }
}
