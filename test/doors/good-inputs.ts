/** What each door takes from alice, who may: so that only what a test does to it can be refused. */
import type { Stage } from './stage.ts'

/** How many spaces can be deleted by the calls of one file. */
const DOOMED = 60

/** Spaces that are there to be deleted: no other call can be made twice and be good both times. */
export async function makeDoomed(stage: Stage): Promise<string[]> {
  const spaces: string[] = []
  while (spaces.length < DOOMED) spaces.push(await stage.world.makeSpace(stage.alice, stage.community))
  return spaces
}

type Input = Record<string, unknown>

/** By method. A new door without a row here fails the tests. */
export const goodInputs = (stage: () => Stage, doomed: () => string[]): Readonly<Record<string, () => Input>> => ({
  'com.atproto.space.getSpaceCredential': () => ({ space: stage().forum }),
  'community.reeve.community.mint': () => ({
    name: 'Beekeepers',
    custody: { $type: 'community.reeve.community.mint#custodial' },
  }),
  'community.reeve.community.get': () => ({ community: stage().community }),
  'community.reeve.community.list': () => ({}),
  'community.reeve.space.create': () => ({ community: stage().community, spaceType: 'com.atmoboards.forum' }),
  'community.reeve.space.update': () => ({ space: stage().forum, name: 'Forum' }),
  'community.reeve.space.delete': () => ({ space: doomed().shift() ?? '' }),
  'community.reeve.space.describe': () => ({ space: stage().forum }),
  'community.reeve.space.get': () => ({ space: stage().forum }),
  'community.reeve.space.list': () => ({ community: stage().community }),
  'community.reeve.member.put': () => ({ space: stage().forum, did: stage().bob.did, role: 'member' }),
  'community.reeve.member.remove': () => ({ space: stage().forum, did: stage().eve.did }),
  // An owner stands there after leaving too, and may leave again.
  'community.reeve.member.leave': () => ({ space: stage().forum }),
  'community.reeve.member.ban': () => ({ space: stage().forum, did: stage().eve.did }),
  'community.reeve.member.unban': () => ({ space: stage().forum, did: stage().eve.did }),
  'community.reeve.member.listBans': () => ({ space: stage().forum }),
  'community.reeve.member.list': () => ({ space: stage().forum }),
  'community.reeve.member.resolve': () => ({ space: stage().forum }),
  'community.reeve.member.reach': () => ({ community: stage().community, did: stage().bob.did }),
  'community.reeve.member.check': () => ({ space: stage().forum, did: stage().bob.did, action: 'read' }),
  'community.reeve.role.put': () => ({ community: stage().community, name: 'gardener', actions: ['read'] }),
  'community.reeve.role.delete': () => ({ community: stage().community, name: 'reader' }),
  'community.reeve.role.list': () => ({ community: stage().community }),
  'community.reeve.federation.offer': () => ({ space: stage().forum, to: stage().elsewhere }),
  'community.reeve.federation.withdraw': () => ({ space: stage().forum, to: stage().elsewhere }),
  'community.reeve.federation.listOffers': () => ({ community: stage().community }),
  'community.reeve.audit.list': () => ({ community: stage().community }),
  'community.reeve.service.describe': () => ({}),
})
