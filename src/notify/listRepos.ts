/** `com.atproto.space.listRepos`: the repos that were written in a space, for whoever holds a credential for it. */
import { type Holder, requireSpaceOf } from '../access/holder.ts'
import type { AccessCtx } from '../access/may-read.ts'
import type * as lexicon from '../lexicons/com/atproto/space/listRepos.ts'
import { microsOf, tidOf } from '../platform/tid.ts'
import { listWriters } from './writer-store.ts'

/** What stands for a hash that nobody told: whoever compares it takes the repo in full, and whoever requires it finds one. */
const NO_HASH = new Uint8Array(32)

/**
 * Both generations side by side: `rev` is what `repoRev` was called before. A repo that is written again moves to the end of the order, so
 * whoever goes on from a cursor, in a moment or in a year, is told every change at least once. Writers are listed, also those who may not
 * write any more; readers never.
 * Order of checks: that of the credential; the parameters (InvalidRequest); then InvalidCredential, SpaceNotFound. @throws Refusal
 */
export async function listRepos(
  ctx: Pick<AccessCtx, 'db'>,
  holder: Holder,
  { space: asked, cursor, limit }: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const { space } = requireSpaceOf(holder, asked)
  const after = cursor === undefined ? 0 : (microsOf(cursor) ?? 0)
  const writers = await listWriters(ctx.db, space.uri, after, limit)
  const repos = writers.map(({ repo, repoRev, hash, spaceRev }) => ({
    did: repo,
    rev: repoRev,
    repoRev,
    hash: hash ?? NO_HASH,
    spaceRev: tidOf(spaceRev),
  }))
  const last = repos.at(-1)
  return last ? { cursor: last.spaceRev, repos } : { repos }
}
