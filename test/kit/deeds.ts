/** Changes of a history as the calls by which they are asked for. */
import { authorityOf, type Did, type SpaceUri } from '../../src/names.ts'
import { renderPolicy } from '../../src/space/settings.ts'
import type { Deed, RestingDeed, RosterDeed } from './history.ts'
import { spaceOf } from './wire-requests.ts'

export type RosterMethod =
  | 'space.create'
  | 'space.delete'
  | 'space.update'
  | 'member.put'
  | 'member.remove'
  | 'member.leave'
  | 'member.ban'
  | 'member.unban'
  | 'federation.offer'
  | 'federation.withdraw'

export interface DeedCall {
  /** Who has to call; `owner` is anybody who owns the community. */
  readonly by: Did | 'owner'
  readonly method: RosterMethod
  readonly input: Record<string, unknown>
}

export const isResting = (deed: Deed): deed is RestingDeed =>
  ['freeze', 'thaw', 'release', 'consent', 'takeBack'].includes(deed.does)

export const communityOf = (deed: Deed): Did => {
  if ('community' in deed) return deed.community
  const where = 'scope' in deed ? deed.scope : deed.space
  return where.startsWith('at:') ? authorityOf(where as SpaceUri) : (where as Did)
}

/** A deed as a call. Owners do what people don't do themselves. */
export function callOf(deed: RosterDeed): DeedCall {
  const owner = (method: RosterMethod, input: Record<string, unknown>) => ({ by: 'owner', method, input }) as const
  switch (deed.does) {
    case 'make': {
      const { authority: community, spaceType, skey } = spaceOf(deed.space)
      return owner('space.create', { community, spaceType, skey })
    }
    case 'delete':
      return owner('space.delete', { space: deed.space })
    case 'open':
    case 'close': {
      const readPolicy = renderPolicy(deed.does === 'open' ? 'public' : 'memberList')
      return owner('space.update', { space: deed.space, readPolicy })
    }
    case 'put':
      return owner('member.put', { space: deed.space, did: deed.did, role: deed.role })
    case 'remove':
      return owner('member.remove', { space: deed.space, did: deed.did })
    case 'leave':
      return { by: deed.did, method: 'member.leave', input: { space: deed.space } }
    case 'nest': {
      const { space, from: memberSpace, role, holding } = deed
      return owner('member.put', { space, memberSpace, role, ...(holding === null ? {} : { holding }) })
    }
    case 'unnest':
      return owner('member.remove', { space: deed.space, memberSpace: deed.from })
    case 'ban':
    case 'unban': {
      const { scope, did } = deed
      return owner(`member.${deed.does}`, {
        ...(scope.startsWith('at:') ? { space: scope } : { community: scope }),
        did,
      })
    }
    case 'offer':
    case 'withdraw':
      return owner(`federation.${deed.does}`, { space: deed.space, to: deed.to })
  }
}
