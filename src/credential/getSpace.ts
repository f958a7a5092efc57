/** `com.atproto.simplespace.getSpace`: a space and its settings, for whoever holds a credential for it. */

import { type Holder, requireSpaceOf } from '../access/holder.ts'
import type * as lexicon from '../lexicons/com/atproto/simplespace/getSpace.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { standingIn } from '../policy/standing.ts'
import { renderAppAccess, renderPolicy } from '../space/settings.ts'

/**
 * Both generations at once: `policy` is what `readPolicy` was called before. Which apps are on a list is told where the person
 * behind the credential stands in the space, and not where it is only open to everybody.
 * Order of checks: that of the credential; then InvalidCredential, SpaceNotFound. @throws Refusal
 */
export async function getSpace(
  _ctx: GovernanceCtx,
  holder: Holder,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const facts = requireSpaceOf(holder, params.space)
  const { space, readPolicy, writePolicy, graph } = facts
  const isNamed = standingIn(facts, space.uri).has(space.uri)
  return {
    uri: space.uri,
    policy: renderPolicy(readPolicy),
    readPolicy: renderPolicy(readPolicy),
    writePolicy: renderPolicy(writePolicy),
    appAccess: renderAppAccess(graph.apps, space, isNamed),
  }
}
