/** What has to wait for a second owner is approved by one at once, for tests and stories that tell of what is done. */
import { proposalApprove } from '../../src/community/proposalApprove.ts'
import { type Did, rosterOf } from '../../src/names.ts'
import { once, type Roll } from './roll.ts'
import { verdictOf } from './verdicts.ts'

/** The answer, when everybody who had to be asked has agreed. Throws when nobody can. */
export async function agreed<T extends { readonly proposal?: { id: string; proposedBy: string } | undefined }>(
  roll: Roll,
  asked: Promise<T>,
): Promise<T> {
  const answer = await asked
  const { proposal } = answer
  if (!proposal) return answer
  const { community } = await roll.db
    .selectFrom('proposal')
    .select('community')
    .where('id', '=', proposal.id)
    .executeTakeFirstOrThrow()
  const owners = await roll.db
    .selectFrom('person_edge')
    .select('did')
    .where('into_space', '=', rosterOf(community as Did).uri)
    .where('role', '=', 'owner')
    .where('did', '<>', proposal.proposedBy)
    .execute()
  // As if they had been owners for long.
  await roll.db.updateTable('person_edge').set({ added_at_ms: 0 }).where('role', '=', 'owner').execute()
  for (const { did } of owners) {
    const approval = () => proposalApprove(roll, did as Did, { proposal: proposal.id }, once())
    if ((await verdictOf(approval)) === 'accepted') return answer
  }
  throw new Error('nobody could agree')
}
