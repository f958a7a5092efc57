/** `community.reeve.space.describe`: what an app has to know before it asks for a credential, or to join. Anybody may ask. */
import type * as lexicon from '../lexicons/community/reeve/space/describe.ts'
import { requireSpace } from '../membership/input.ts'
import { loadSpaceState } from '../membership/store.ts'
import type { Db } from '../platform/database.ts'
import { Refusal } from '../refusals.ts'
import { isRecordless, renderAppAccess, renderPolicy } from './settings.ts'
import { loadSpace } from './store.ts'

/**
 * Says what the exchange would say anyway, how the space is joined, and nothing about people or names. Rosters and role spaces hold no records, and are
 * not described. @throws Refusal('SpaceNotFound'), Refusal('SpaceDeleted')
 */
export async function spaceDescribe(ctx: { readonly db: Db }, params: lexicon.$Params): Promise<lexicon.$OutputBody> {
  const name = requireSpace(params.space)
  const state = isRecordless(name) ? null : await loadSpaceState(ctx.db, name.uri)
  if (state === 'deleted') throw new Refusal('SpaceDeleted', 'the space was deleted')
  const space = state ? await loadSpace(ctx.db, name.uri) : null
  if (!space) throw new Refusal('SpaceNotFound', 'no such space here')
  return {
    uri: space.uri,
    spaceType: space.spaceType,
    readPolicy: renderPolicy(space.readPolicy),
    writePolicy: renderPolicy(space.writePolicy),
    appAccess: renderAppAccess(),
    mustAttest: false,
    joining: space.joining,
  }
}
