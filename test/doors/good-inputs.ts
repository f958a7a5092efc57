/** What each door takes from alice, who may: so that only what a test does to it can be refused. */
import { rosterOf } from '../../src/names.ts'
import type { Stage } from './stage.ts'

/** How many calls of one file can use something up. */
const DOOMED = 60
/** Approved at two doors. */
const PROPOSED = 200

/** What is there to be used up: no other call can be made twice and be good both times. */
export interface Doomed {
  readonly spaces: string[]
  readonly proposals: string[]
}

/** Spaces to be deleted, and proposals of another owner to be approved or cancelled. */
export async function makeDoomed(stage: Stage): Promise<Doomed> {
  const spaces: string[] = []
  while (spaces.length < DOOMED) spaces.push(await stage.world.makeSpace(stage.alice, stage.community))
  return { spaces, proposals: await makeProposals(stage, PROPOSED) }
}

/** Proposals to end alice's community, by a second owner of it. People can make one only on one thing. */
export async function makeProposals({ world, alice, community }: Stage, count: number): Promise<string[]> {
  const olga = await world.person()
  const roster = rosterOf(community).uri
  await alice.call('community.reeve.member.put', { space: roster, did: olga.did, role: 'owner' })
  const nowMs = world.clock.nowMs()
  const ids = Array.from({ length: count }, (_, nth) => `proposal${nth}`)
  const rows = ids.map((id) => ({
    ...{ id, community, act: 'community.delete', target: `nothing ${id}`, input: '{}', state: 'open' as const },
    ...{ proposed_by: olga.did, proposed_at_ms: nowMs, expires_at_ms: nowMs + 86_400_000 },
  }))
  const { db } = world.database
  await db.insertInto('proposal').values(rows).execute()
  // As if they had been owners for long.
  await db.updateTable('person_edge').set({ added_at_ms: 0 }).where('role', '=', 'owner').execute()
  return ids
}

/** A space with its ways in: eve waits for a decision, whoever has the token may join, and there is an invite to revoke. */
export interface Lobby {
  readonly space: string
  readonly token: string
  readonly invite: string
}

export async function openLobby({ world, alice, eve, community }: Stage): Promise<Lobby> {
  const space = await world.makeSpace(alice, community, { skey: 'lobby' })
  await alice.call('community.reeve.space.update', { space, joining: 'byRequest' })
  await eve.call('community.reeve.member.requestJoin', { space })
  const invite = async () => (await alice.call('community.reeve.member.createInvite', { space, role: 'member' })).body
  return { space, token: (await invite()).token, invite: (await invite()).invite }
}

type Input = Record<string, unknown>

/** By method. A new door without a row here fails the tests. */
export const goodInputs = (
  stage: () => Stage,
  doomed: () => Doomed,
  lobby: () => Lobby,
): Readonly<Record<string, () => Input>> => ({
  'com.atproto.space.getSpaceCredential': () => ({ space: stage().forum }),
  'com.atproto.simplespace.getSpace': () => ({ space: stage().forum }),
  'com.atproto.simplespace.checkUserAccess': () => ({ space: stage().meadow, user: stage().bob.did, access: 'read' }),
  // Whoever is named is not called: their document alone says that they could be.
  'com.atproto.space.registerNotify': () => ({ space: stage().elsewhereForum, service: stage().alice.did }),
  'com.atproto.space.unregisterNotify': () => ({ space: stage().elsewhereForum, service: stage().alice.did }),
  // A revision that is no newer than the one known is taken like any other.
  'com.atproto.space.notifyWrite': () => ({
    ...{ space: stage().forum, repo: stage().bob.did, repoRev: '3n2q4swd7dc2j' },
    hash: { $bytes: 'TaN7H+Ah4jPG8DRLYzuKEytYakhtu0mZaRvF+4Zxejw' },
  }),
  'com.atproto.space.listRepos': () => ({ space: stage().forum }),
  'community.reeve.credential.list': () => ({ space: stage().forum }),
  // Looked at, and not done: others of a file may hold them.
  'community.reeve.credential.revoke': () => ({ space: stage().forum, dryRun: true }),
  'community.reeve.community.mint': () => ({
    name: 'Beekeepers',
    custody: { $type: 'community.reeve.community.mint#custodial' },
  }),
  // Her own account is a community already, which she may say again, and take back as often.
  'community.reeve.community.adopt': () => ({ name: 'Meadow', owner: stage().bob.did }),
  'community.reeve.community.release': () => ({}),
  // Another handle would be an operation at the directory each time.
  'community.reeve.community.setHandle': () => ({ community: stage().community, remove: true }),
  'community.reeve.community.get': () => ({ community: stage().community }),
  'community.reeve.community.list': () => ({}),
  'community.reeve.community.update': () => ({ community: stage().community, name: 'Gardeners' }),
  'community.reeve.community.freeze': () => ({ space: stage().forum, isFrozen: false }),
  // Looked at, and not done: the others need the community.
  'community.reeve.community.delete': () => ({ community: stage().community, dryRun: true }),
  'community.reeve.proposal.approve': () => ({ proposal: doomed().proposals.shift() ?? '' }),
  'community.reeve.proposal.cancel': () => ({ proposal: doomed().proposals.shift() ?? '' }),
  'community.reeve.proposal.list': () => ({ community: stage().community }),
  'community.reeve.community.exportRoll': () => ({ community: stage().community }),
  'community.reeve.space.create': () => ({ community: stage().community, spaceType: 'com.atmoboards.forum' }),
  'community.reeve.space.update': () => ({ space: stage().forum, name: 'Forum' }),
  'community.reeve.space.delete': () => ({ space: doomed().spaces.shift() ?? '' }),
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
  'community.reeve.member.explain': () => ({ space: stage().forum, did: stage().bob.did, action: 'read' }),
  'community.reeve.member.preview': () => ({ community: stage().community, did: stage().bob.did }),
  'community.reeve.member.createInvite': () => ({ space: stage().forum, role: 'member' }),
  // Whoever came in by it may show it again.
  'community.reeve.member.acceptInvite': () => ({ token: lobby().token }),
  'community.reeve.member.listInvites': () => ({ space: lobby().space }),
  'community.reeve.member.revokeInvite': () => ({ space: lobby().space, invite: lobby().invite }),
  'community.reeve.member.requestJoin': () => ({ space: lobby().space }),
  'community.reeve.member.listRequests': () => ({ space: lobby().space }),
  'community.reeve.member.decideRequest': () => ({ space: lobby().space, did: stage().eve.did, verdict: 'decline' }),
  'community.reeve.member.transferOwnership': () => ({ community: stage().community, to: stage().bob.did }),
  // An owner has it already.
  'community.reeve.member.acceptOwnership': () => ({ community: stage().community }),
  'community.reeve.member.import': () => ({
    ...{ space: stage().forum, import: stage().openImport },
    lines: JSON.stringify({ did: stage().eve.did, role: 'member' }),
  }),
  'community.reeve.member.applyImport': () => ({ import: stage().openImport, dryRun: true }),
  'community.reeve.member.getImport': () => ({ import: stage().openImport }),
  'community.reeve.member.cancelImport': () => ({ import: stage().cancelledImport }),
  'community.reeve.role.put': () => ({ community: stage().community, name: 'gardener', actions: ['read'] }),
  'community.reeve.role.delete': () => ({ community: stage().community, name: 'reader' }),
  'community.reeve.role.list': () => ({ community: stage().community }),
  'community.reeve.app.setAccess': () => ({ community: stage().community, mode: 'open' }),
  'community.reeve.app.putRule': () => ({
    space: stage().forum,
    clientId: 'https://app.example.com/c',
    verdict: 'allow',
  }),
  'community.reeve.app.removeRule': () => ({ space: stage().forum, clientId: 'https://app.example.com/c' }),
  'community.reeve.app.list': () => ({ community: stage().community }),
  'community.reeve.federation.offer': () => ({ space: stage().forum, to: stage().elsewhere }),
  'community.reeve.federation.withdraw': () => ({ space: stage().forum, to: stage().elsewhere }),
  'community.reeve.federation.listOffers': () => ({ community: stage().community }),
  'community.reeve.notify.listRegistrations': () => ({ space: stage().forum }),
  'community.reeve.notify.pause': () => ({ space: stage().forum, service: stage().listener }),
  'community.reeve.notify.resume': () => ({ space: stage().forum, service: stage().listener }),
  'community.reeve.notify.replay': () => ({ space: stage().forum, service: stage().listener }),
  'community.reeve.audit.list': () => ({ community: stage().community }),
  'community.reeve.service.describe': () => ({}),
})
