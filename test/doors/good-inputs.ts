/** What each door takes from alice, who may: so that only what a test does to it can be refused. */
import { sql } from 'kysely'
import { type Did, rosterOf } from '../../src/names.ts'
import { enrolmentOf, type KeeperKeys, makeKeeperKeys, stepUpOf } from '../kit/keepers.ts'
import { claimOf } from '../kit/ownership.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'
import { memberHeld, recoveryProven } from '../kit/world.ts'
import { type GoodCeremonies, makeCeremonies } from './good-ceremonies.ts'
import type { Stage } from './stage.ts'

/** How many calls of one file can use something up. */
const DOOMED = 60
/** Approved at two doors. */
const PROPOSED = 200

/** What is there to be used up: no other call can be made twice and be good both times. */
export interface Doomed {
  readonly spaces: string[]
  readonly proposals: string[]
  /** Accounts that were adopted, owned by alice and connected: as many can be disconnected, and a few attempts to connect be open of each. */
  readonly accounts: readonly string[]
  /** Spaces that are kept at a PDS, to be kept no longer; and others, each with a look to be applied. */
  readonly kept: readonly string[]
  readonly looked: readonly Looked[]
  /** Keys that alice enrolled long ago, people whose enrolment may end, and files that she may take. */
  readonly keys: KeeperKeys | null
  readonly keepers: Did[]
  readonly files: { readonly community: Did; readonly export: string }[]
  readonly claims?: Claims
  readonly ceremonies: GoodCeremonies
}

/** A community whose owners its own key may name, and one in which an owner has objected to that. */
interface Claims {
  readonly claimed: Did
  readonly key: TestKey
  readonly objected: Did
}

interface Looked {
  readonly space: string
  readonly look: string
}

/** Spaces to be deleted, and proposals of another owner to be approved or cancelled. */
export async function makeDoomed(stage: Stage): Promise<Doomed> {
  const spaces: string[] = []
  while (spaces.length < DOOMED) spaces.push(await stage.world.makeSpace(stage.alice, stage.community))
  const accounts = await makeConnected(stage, DOOMED)
  const [keeper] = await makeConnected(stage, 1)
  if (!keeper) throw new Error('nobody to keep spaces of')
  const proposals = await makeProposals(stage, PROPOSED)
  const kept = await makeKept(stage, keeper, 'kept')
  const looked = await makeLooked(stage, await makeKept(stage, keeper, 'looked'))
  const keys = await makeKeeperKeys()
  const keepers = await putKeepers(stage, keys)
  const files = await makeFiles(stage)
  const ceremonies = await makeCeremonies(stage, DOOMED)
  const claims = await makeClaims(stage)
  return { spaces, proposals, accounts, kept, looked, keys, keepers, files, claims, ceremonies }
}

async function makeClaims({ world, alice }: Stage): Promise<Claims> {
  const key = makeKey('k256')
  const custody = memberHeld(world, alice, key)
  const [claimed, objected] = [await world.found(alice, { custody }), await world.found(alice, { custody })]
  const said = { community: objected, owners: [alice.did], signed_by: key.didKey, said_at: '2026-01-01T00:00:00.000Z' }
  const nowMs = world.clock.nowMs()
  const objection = { state: 'objected' as const, objected_by: alice.did, objected_at_ms: nowMs }
  const times = { made_at_ms: nowMs, due_at_ms: nowMs + 86_400_000 }
  await world.database.db
    .insertInto('ownership_claim')
    .values({ id: 'claim', ...said, ...objection, ...times })
    .execute()
  return { claimed, key, objected }
}

/** The same owners again, and so the same claim. */
function goodClaim({ world, alice }: Stage, { claims }: Doomed): Input {
  return claims ? claimOf(world, { community: claims.claimed, owners: [alice.did], key: claims.key }) : {}
}

/** Enrolments as of long ago: alice's, and those of people whose enrolment may end. */
async function putKeepers({ world, alice, community }: Stage, keys: KeeperKeys): Promise<Did[]> {
  const others = Array.from({ length: DOOMED }, (_, nth) => `did:web:keeper${nth}.example.com` as Did)
  const enrolled = {
    community,
    seal_key: keys.sealKey,
    sign_key: keys.signKey.didKey,
    counts_from_ms: 0,
    enrolled_at_ms: 0,
  }
  const rows = [alice.did, ...others].map((did) => ({ id: `keeper of ${did}`, did, ...enrolled }))
  await world.database.db.insertInto('keeper').values(rows).execute()
  return others
}

/** Exports of another community of alice's, with files to be taken. */
async function makeFiles({ world, alice }: Stage): Promise<{ community: Did; export: string }[]> {
  const community = await world.found(alice)
  const nowMs = world.clock.nowMs()
  const ids = Array.from({ length: DOOMED }, (_, nth) => `file${nth}`)
  const { db } = world.database
  const proposed = { act: 'key.export', input: '{}', state: 'done' as const, proposed_by: alice.did }
  const times = { proposed_at_ms: nowMs, expires_at_ms: nowMs, ended_by: alice.did, ended_at_ms: nowMs }
  await db
    .insertInto('proposal')
    .values(ids.map((id) => ({ id, community, target: `nothing ${id}`, ...proposed, ...times })))
    .execute()
  await sql`insert into key_export (id, community, key_id, asked_by, recipients, state, sealed, due_at_ms, expires_at_ms)
    select file.id, key.community, key.id, ${alice.did}, '[]', 'ready', '\\x00', 0, ${nowMs + 86_400_000}::bigint
    from unnest(${ids}::text[]) as file (id), key where key.community = ${community} and key.purpose = 'rotation'`.execute(
    db,
  )
  return ids.map((id) => ({ community, export: id }))
}

/** Spaces that are kept at the PDS of an account, as far as rows say. */
async function makeKept({ world, alice }: Stage, community: Did, name: string): Promise<string[]> {
  const space = (nth: number) => world.makeSpace(alice, community, { skey: `${name}${nth}`, host: 'pds' })
  const spaces: string[] = []
  while (spaces.length < DOOMED) spaces.push(await space(spaces.length))
  await sql`insert into steered_space (space, community, bound_at_ms, mode, state, begun_by, begun_at_ms, reconcile_due_ms)
    select uri, community, bound_at_ms, 'projection', 'kept', ${alice.did}, 0, ${world.clock.nowMs() + 86_400_000}::bigint
    from space where uri = any(${spaces}::text[])`.execute(world.database.db)
  return spaces
}

/** A finished look at each. */
async function makeLooked({ world }: Stage, spaces: readonly string[]): Promise<Looked[]> {
  const looked = spaces.map((space, nth) => ({ space, look: `look${nth}` }))
  const ids = looked.map(({ look }) => look)
  await sql`insert into steered_look (id, space, state, began_at_ms, ended_at_ms)
    select id, space, 'shown', 0, 0 from unnest(${ids}::text[], ${[...spaces]}::text[]) as one (id, space)`.execute(
    world.database.db,
  )
  return looked
}

/** What a connection is to whoever gives it back: a row. There are no tokens, so no PDS is told. */
async function makeConnected({ world, alice, bob }: Stage, count: number): Promise<Did[]> {
  const accounts = await Promise.all(Array.from({ length: count }, () => world.person()))
  for (const account of accounts) {
    await account.call('community.reeve.community.adopt', { name: 'Hedge', owner: bob.did })
    // Alice is an account that was adopted herself, and so no first owner.
    const roster = rosterOf(account.did).uri
    await bob.call('community.reeve.member.put', { space: roster, did: alice.did, role: 'owner' })
  }
  const rows = accounts.map(({ did }) => ({
    ...{ community: did, state: 'connected' as const, because: null, asked: '', granted: '', sealed: null },
    ...{
      connected_by: alice.did,
      connected_at_ms: 0,
      state_since_ms: 0,
      dek_version: null,
      version: 1,
      renewed_at_ms: 0,
    },
  }))
  await world.database.db.insertInto('pds_connection').values(rows).execute()
  return accounts.map(({ did }) => did)
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

/** The next of several, and the first again after the last. */
function inTurn<T>(all: () => readonly T[]): () => T | undefined {
  let nth = -1
  return () => {
    nth += 1
    return all()[nth % all().length]
  }
}

const ofAccount =
  (next: () => string | undefined, more: Input = {}): (() => Input) =>
  () => ({ community: next(), ...more })

const ofSpace =
  (next: () => string | undefined): (() => Input) =>
  () => ({ space: next() })

const ofLooked =
  (next: () => Looked | undefined): (() => Input) =>
  () => ({ ...next() })

let confirmed = 0

/** The input as alice confirms it, where she has enrolled. Each step up is good once, so each is of another millisecond. */
function confirmedBy({ world, alice, community }: Stage, { keys }: Doomed, method: string, input: Input): Input {
  if (!keys) return input
  confirmed += 1
  const about = { person: alice, key: keys.signKey, act: `community.reeve.${method}`, input }
  const atMs = world.clock.nowMs() - (confirmed % 60_000)
  return { ...input, stepUp: stepUpOf(world, about, { atMs, community }) }
}

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
  // Where bob's DID would have to lead. It never does, and she is told the same again.
  'community.reeve.community.takeIn': () => ({ did: stage().bob.did, name: 'Beekeepers' }),
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
  'community.reeve.key.list': () => ({ community: stage().community }),
  // New keys would be an operation at the directory each time.
  'community.reeve.key.rotate': () => ({ community: stage().community, purposes: ['atproto'], dryRun: true }),
  'community.reeve.key.replaceRecovery': () => ({
    community: stage().community,
    ...recoveryProven(stage().world, stage().alice, makeKey('k256')),
    dryRun: true,
  }),
  // Somewhere else than where she exports: keys that are enrolled anew don't count.
  'community.reeve.key.enrolKeeper': () => {
    const { accounts, keys } = doomed()
    const [community = ''] = accounts
    return keys ? enrolmentOf(stage().world, { community, caller: stage().alice.did, keys }) : {}
  },
  'community.reeve.key.endKeeper': () =>
    confirmedBy(stage(), doomed(), 'key.endKeeper', {
      ...{ community: stage().community, did: doomed().keepers.shift() ?? '' },
    }),
  'community.reeve.key.export': () => confirmedBy(stage(), doomed(), 'key.export', { community: stage().community }),
  'community.reeve.key.takeExport': () => ({ ...doomed().files.shift() }),
  'community.reeve.key.claimOwnership': () => goodClaim(stage(), doomed()),
  // One who objected may do so again.
  'community.reeve.key.objectOwnership': () => ({ community: doomed().claims?.objected }),
  'community.reeve.key.propose': () => doomed().ceremonies['propose']?.() ?? {},
  'community.reeve.key.approve': () => doomed().ceremonies['approve']?.() ?? {},
  'community.reeve.key.deal': () => doomed().ceremonies['deal']?.() ?? {},
  'community.reeve.key.acknowledge': () => doomed().ceremonies['acknowledge']?.() ?? {},
  'community.reeve.key.submitShare': () => doomed().ceremonies['submitShare']?.() ?? {},
  'community.reeve.key.conclude': () => doomed().ceremonies['conclude']?.() ?? {},
  'community.reeve.key.cancel': () => doomed().ceremonies['cancel']?.() ?? {},
  'community.reeve.key.get': () => doomed().ceremonies['get']?.() ?? {},
  'community.reeve.key.liftSuspension': () => doomed().ceremonies['liftSuspension']?.() ?? {},
  'community.reeve.proposal.approve': () =>
    confirmedBy(stage(), doomed(), 'proposal.approve', { proposal: doomed().proposals.shift() ?? '' }),
  'community.reeve.proposal.cancel': () => ({ proposal: doomed().proposals.shift() ?? '' }),
  'community.reeve.proposal.list': () => ({ community: stage().community }),
  'community.reeve.community.exportRoll': () => ({ community: stage().community }),
  'community.reeve.space.create': () => ({ community: stage().community, spaceType: 'com.atmoboards.forum' }),
  'community.reeve.space.update': () => ({ space: stage().forum, name: 'Forum' }),
  'community.reeve.space.delete': () =>
    confirmedBy(stage(), doomed(), 'space.delete', { space: doomed().spaces.shift() ?? '' }),
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
  'community.reeve.member.transferOwnership': () =>
    confirmedBy(stage(), doomed(), 'member.transferOwnership', {
      ...{ community: stage().community, to: stage().bob.did },
    }),
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
  'community.reeve.steering.connect': ofAccount(
    inTurn(() => doomed().accounts),
    { anyType: true },
  ),
  'community.reeve.steering.disconnect': ofAccount(inTurn(() => doomed().accounts)),
  'community.reeve.steering.get': () => ({ community: stage().community }),
  'community.reeve.steering.put': () => ({ space: doomed().looked[0]?.space, mode: 'hook' }),
  'community.reeve.steering.remove': ofSpace(inTurn(() => doomed().kept)),
  'community.reeve.steering.getSpace': () => ({ space: doomed().looked[0]?.space }),
  'community.reeve.steering.look': ofSpace(inTurn(() => doomed().looked.map(({ space }) => space))),
  'community.reeve.steering.listDifferences': () => ({ ...doomed().looked[0] }),
  'community.reeve.steering.apply': ofLooked(inTurn(() => doomed().looked)),
  'community.reeve.audit.list': () => ({ community: stage().community }),
  'community.reeve.service.describe': () => ({}),
})
