/**
 * Standing through the tables: random worlds written as rows, and every way of asking about them held against a search that
 * knows neither the tables nor the code. Check, list of people and list of spaces are three questions about one truth.
 */
import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { loadReadFacts } from '../../src/access/may-read.ts'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { Graphs } from '../../src/membership/graph.ts'
import { memberReach } from '../../src/membership/memberReach.ts'
import { memberResolve } from '../../src/membership/memberResolve.ts'
import { loadStandingFacts } from '../../src/membership/standing-facts.ts'
import { countOtherOwners } from '../../src/membership/store.ts'
import { authorityOf, type Did, parseSpaceUri, rosterOf, type SpaceUri } from '../../src/names.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { decidePerson } from '../../src/policy/decide.ts'
import { type Action, OWNER, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import { standingIn, standingOf } from '../../src/policy/standing.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { anyDraft, communitiesOf, NOW, worldOf } from '../kit/graphs.ts'
import { isBanned, mayBySearch, type SmallWorld, standingBySearch } from '../kit/oracle.ts'
import { freshDid, type Roll, rollOn } from '../kit/roll.ts'
import { verdictOf } from '../kit/verdicts.ts'
import { writeWorlds } from '../kit/written-worlds.ts'

const SEED = 20_261_204
const WORLDS = 2_000
/** Worlds that are written with one statement per table. */
const BATCH = 50
/** Of so many worlds one is also asked about as callers ask, which takes more statements. */
const ASKED_EACH = 10
const ASKED: readonly Action[] = ['read', 'write', 'members.read', 'members.ban']

interface Peopled {
  readonly world: SmallWorld
  /** Those who come and go. */
  readonly people: readonly Did[]
  /** The one owner of each community in whose name questions are asked. */
  readonly ownerOf: ReadonlyMap<Did, Did>
}

const drafts = fc.sample(
  anyDraft({
    roles: fc.constant(SHIPPED_ROLES),
    roleNames: ['admin', 'moderator', 'member', 'writer', 'reader', 'ghost'],
    holdings: ['read', 'write', 'members.read', 'members.add', 'space.delete'],
    roomsMost: 2,
  }),
  { seed: SEED, numRuns: WORLDS },
)

/** The worlds of the drafts, each of people and communities of its own. */
function peopled(nth: number): Peopled {
  const communities = [freshDid(), freshDid(), freshDid()]
  const people = [freshDid(), freshDid()]
  const draft = drafts[nth]
  if (!draft) throw new Error('no such draft')
  const world = worldOf(draft, { communities, people })
  const ownerOf = new Map(communitiesOf(world).map((community) => [community, freshDid()]))
  const owners = [...ownerOf].map(([community, did]) => ({
    ...{ into: rosterOf(community).uri, did, role: OWNER, sinceMs: null, untilMs: null },
  }))
  return { world: { ...world, people: [...world.people, ...owners] }, people, ownerOf }
}

const plain = (standing: Iterable<readonly [string, Iterable<string>]>): string =>
  [...standing]
    .map(([name, actions]) => [name, ...[...actions].sort()].join(' '))
    .sort()
    .join('\n')

/** Compared as text first, so that two hundred thousand answers don't take longer to compare than to get. */
function requireSame(nth: number, what: string, found: unknown, expected: unknown): void {
  const [one, other] = [found, expected].map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
  if (one !== other) expect(one, `world ${nth} of seed ${SEED}: ${what}`).toBe(other)
}

describeOnEachEngine(`standing in ${WORLDS} random worlds of seed ${SEED}, through the tables,`, (open, engine) => {
  let db: Db
  let roll: Roll

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db, NOW)
  })

  /** Answers over the graphs of one process that is long up, or of one that knows nothing yet. */
  const ctxOf = (isFresh: boolean) => ({ ...roll, graphs: isFresh ? new Graphs() : roll.graphs })

  it('is what a search finds, however it is asked for', { timeout: 600_000 }, async () => {
    const met = { standing: 0, guests: 0, asked: 0, yes: 0, no: 0 }
    for (let first = 0; first < WORLDS; first += BATCH) {
      const batch = Array.from({ length: BATCH }, (_, at) => peopled(first + at))
      await writeWorlds(
        db,
        batch.map(({ world }) => world),
      )
      const one = async (peopledWorld: Peopled, at: number) => {
        const nth = first + at
        await requireFacts(nth, peopledWorld, met)
        if (nth % ASKED_EACH !== 0) return
        await requireAnswers(nth, peopledWorld, met)
        await requireOwners(nth, peopledWorld)
        const changed = await change(db, peopledWorld.world, nth)
        await requireFacts(nth, { ...peopledWorld, world: changed }, met)
      }
      // PGlite has one connection, and nobody else to wait for.
      if (engine === 'embedded') for (const [at, world] of batch.entries()) await one(world, at)
      else
        for (let at = 0; at < BATCH; at += 5) await Promise.all(batch.slice(at, at + 5).map((w, by) => one(w, at + by)))
    }
    // Both answers must have come up often, and guests too, or the comparison says little.
    expect(met.standing).toBeGreaterThan(WORLDS)
    expect(met.guests).toBeGreaterThan(WORLDS / 20)
    expect(Math.min(met.yes, met.no)).toBeGreaterThan(WORLDS)
    expect(met.asked).toBeGreaterThan(WORLDS / 2)
  })

  /** The facts that the house loads, by whichever way, lead to what the search finds. */
  async function requireFacts(
    nth: number,
    { world, people }: Peopled,
    met: { standing: number; guests: number; yes: number; no: number },
  ): Promise<void> {
    for (const person of people) {
      for (const community of communitiesOf(world)) {
        const searched = standingBySearch(world, person, community)
        if (searched.size > 0) met.standing++
        if (!world.people.some(({ did, into }) => did === person && authorityOf(into) === community)) {
          met.guests += searched.size
        }
        for (const isFresh of nth % 8 === 0 ? [false, true] : [false]) {
          const facts = await loadStandingFacts(ctxOf(isFresh), db, community, person)
          const found = facts && [...standingOf(facts)].map(([uri, { actions }]) => [uri, actions] as const)
          requireSame(nth, `standing, fresh ${isFresh}`, found && plain(found), plain(searched))
        }
      }
      for (const [at, { uri, live }] of world.spaces.entries()) {
        const name = parseSpaceUri(uri)
        if (!name) throw new Error('no space')
        const read = await loadReadFacts(ctxOf((nth + at) % 16 === 0), name, person)
        requireSame(nth, `state of ${uri}`, read.space, live ? 'live' : 'deleted')
        if (read.space !== 'live') continue
        const here = standingIn(read.facts, uri).get(uri)?.actions ?? []
        const searched = standingBySearch(world, person, name.authority).get(uri) ?? []
        requireSame(nth, `actions in ${uri}`, [...here].sort(), [...searched].sort())
        for (const action of ['read', 'write'] as const) {
          const isLet = mayBySearch(world, person, uri, action)
          requireSame(nth, `${action} in ${uri}`, decidePerson(read.facts, person, action).ok, isLet)
          met[isLet ? 'yes' : 'no']++
        }
      }
    }
  }

  /** Check, list and list the other way round, asked by an owner. */
  async function requireAnswers(
    nth: number,
    { world, people, ownerOf }: Peopled,
    met: { asked: number },
  ): Promise<void> {
    const everybody = [...people, ...ownerOf.values()]
    for (const [community, owner] of ownerOf) {
      const standings = new Map(everybody.map((did) => [did, standingBySearch(world, did, community)]))
      for (const did of people) {
        const { spaces } = await memberReach(ctxOf(false), owner, { community, did, limit: 100 })
        const found = spaces.map(({ uri, actions }) => [uri, actions] as const)
        requireSame(nth, 'reach', plain(found), plain(standings.get(did) ?? []))
        met.asked++
      }
      for (const [at, { uri, live }] of world.spaces
        .filter((space) => authorityOf(space.uri) === community)
        .entries()) {
        const ctx = ctxOf((nth / ASKED_EACH + at) % 4 === 0)
        const action = ASKED[(nth / ASKED_EACH + at) % ASKED.length] as Action
        if (!live) {
          const verdicts = [
            await verdictOf(() => memberResolve(ctx, owner, { space: uri, limit: 100 })),
            await verdictOf(() => memberCheck(ctx, owner, { space: uri, did: people[0] as Did, action })),
          ]
          requireSame(nth, 'a deleted space', verdicts, ['NotFound', 'NotFound'])
          continue
        }
        const inIt = everybody.flatMap((did) => {
          const actions = standings.get(did)?.get(uri)
          return actions ? [[did as string, actions] as const] : []
        })
        const all = await resolve(ctx, owner, { space: uri })
        requireSame(nth, `resolve ${uri}`, plain(all), plain(inIt))
        const some = await resolve(ctx, owner, { space: uri, action })
        const able = inIt.filter(([, actions]) => actions.has(action))
        requireSame(nth, `resolve ${action} in ${uri}`, plain(some), plain(able))
        for (const did of people) {
          const { allowed } = await memberCheck(ctx, owner, { space: uri, did, action })
          const isLet =
            action === 'read' || action === 'write'
              ? mayBySearch(world, did, uri, action)
              : able.some(([who]) => who === did)
          requireSame(nth, `check ${action} in ${uri}`, allowed, isLet)
          met.asked++
        }
      }
    }
  }

  /** An owner who is banned is none to whom the community could be left. */
  async function requireOwners(nth: number, { world, ownerOf }: Peopled): Promise<void> {
    for (const [community, owner] of ownerOf) {
      const roster = rosterOf(community).uri
      const others = world.people.filter(
        ({ into, did, role }) => into === roster && role === OWNER && did !== owner && !isBanned(world, did, community),
      )
      const counted = await withTransaction(db, (tx) => countOtherOwners(tx, roster, owner, NOW))
      requireSame(nth, 'other owners', counted, others.length)
    }
  }
})

async function resolve(
  ctx: Roll,
  owner: Did,
  params: { space: SpaceUri; action?: Action },
): Promise<[string, readonly string[]][]> {
  const { members, cursor } = await memberResolve(ctx, owner, { ...params, limit: 100 })
  if (cursor !== undefined) throw new Error('more people than there are')
  return members.map(({ did, actions }) => [did, actions])
}

/** Takes an edge or an offer away, as the methods do: with the number of the graph raised. */
async function change(db: Db, world: SmallWorld, nth: number): Promise<SmallWorld> {
  const edge = world.nestings.findLast(({ role }) => role !== OWNER)
  const offer = world.offers[0]
  const raise = (community: Did) =>
    db
      .updateTable('community_revision')
      .set((column) => ({ graph_revision: column('graph_revision', '+', 1), revision: column('revision', '+', 1) }))
      .where('community', '=', community)
      .execute()
  if (offer && nth % (2 * ASKED_EACH) === 0) {
    await db.deleteFrom('offer').where('space', '=', offer.space).where('to_community', '=', offer.to).execute()
    await raise(authorityOf(offer.space))
    return { ...world, offers: world.offers.filter((one) => one !== offer) }
  }
  if (!edge) return world
  const { into, from, role } = edge
  await db
    .deleteFrom('space_edge')
    .where('into_space', '=', into)
    .where('from_space', '=', from)
    .where('role', '=', role)
    .execute()
  await raise(authorityOf(into))
  return { ...world, nestings: world.nestings.filter((one) => one !== edge) }
}
