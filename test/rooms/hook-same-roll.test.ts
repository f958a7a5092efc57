/**
 * The same roll, however it is asked: random worlds in which accounts are communities, and for each person and space what a PDS is answered
 * held against what `member.check`, `explain`, `resolve` and `preview` say, and against a search that knows none of them.
 */
import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { checkUserAccess, type HookCtx } from '../../src/access/checkUserAccess.ts'
import { openHook } from '../../src/access/hook.ts'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { memberExplain } from '../../src/access/memberExplain.ts'
import { memberPreview } from '../../src/access/memberPreview.ts'
import { Hosted } from '../../src/membership/hosted.ts'
import { memberResolve } from '../../src/membership/memberResolve.ts'
import { authorityOf, type Did, rosterOf, type SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { OWNER, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { anyDraft, communitiesOf, NOW, worldOf } from '../kit/graphs.ts'
import { mayBySearch, type SmallWorld } from '../kit/oracle.ts'
import { freshDid, type Roll, rollOn } from '../kit/roll.ts'
import { writeWorlds } from '../kit/written-worlds.ts'

const SEED = 20_261_129
const WORLDS = 60

const drafts = fc.sample(
  anyDraft({
    roles: fc.constant(SHIPPED_ROLES),
    roleNames: ['admin', 'member', 'writer', 'reader', 'ghost'],
    holdings: ['read', 'write', 'members.read'],
    roomsMost: 3,
  }),
  { seed: SEED, numRuns: WORLDS },
)

interface Peopled {
  readonly world: SmallWorld
  readonly people: readonly Did[]
  readonly ownerOf: ReadonlyMap<Did, Did>
  /** An account of them that took its consent back. */
  readonly released: Did | null
}

function peopled(nth: number): Peopled {
  const draft = drafts[nth]
  if (!draft) throw new Error('no such draft')
  const people = [freshDid(), freshDid(), freshDid()]
  const world = worldOf(draft, { communities: [freshDid(), freshDid(), freshDid()], people })
  const communities = communitiesOf(world)
  const ownerOf = new Map(communities.map((community) => [community, freshDid()]))
  const owners = [...ownerOf].map(([community, did]) => ({
    ...{ into: rosterOf(community).uri, did, role: OWNER, sinceMs: null, untilMs: null },
  }))
  const released = nth % 10 === 0 ? (communities[0] ?? null) : null
  return { world: { ...world, people: [...world.people, ...owners] }, people, ownerOf, released }
}

const isRoster = (space: SpaceUri): boolean => space === rosterOf(authorityOf(space)).uri

/** As if each community were an account, and each space of it but its roster were bound. */
async function bindAll(db: Db, { world, released }: Peopled): Promise<void> {
  const communities = communitiesOf(world)
  const rosters = communities.map((community) => rosterOf(community).uri)
  await db.updateTable('community_revision').set({ is_account: true }).where('community', 'in', communities).execute()
  await db
    .updateTable('space')
    .set({ bound_at_ms: 0 })
    .where('community', 'in', communities)
    .where('uri', 'not in', rosters)
    .execute()
  if (!released) return
  await db.updateTable('community_revision').set({ released_at_ms: 1 }).where('community', '=', released).execute()
}

describeOnEachEngine(`one roll in ${WORLDS} random worlds of seed ${SEED}`, (open) => {
  let db: Db
  let ctx: HookCtx & Roll

  beforeAll(async () => {
    db = (await open()).db
    const roll = rollOn(db, NOW)
    ctx = { ...roll, log: silentLog, hosted: new Hosted(), hook: openHook(db) }
  })

  const nothing = { verify: async () => {}, charge: () => {}, owe: () => {} }
  const hookSays = async (space: SpaceUri, user: Did, access: 'read' | 'write' | undefined): Promise<boolean> => {
    const params = { space, user, ...(access === undefined ? {} : { access }) }
    return (await checkUserAccess(ctx, { iss: authorityOf(space), ...nothing }, params)).authorized
  }

  it('gives one answer to everybody who asks', { timeout: 600_000 }, async () => {
    const met = { yes: 0, no: 0, guests: 0, unbound: 0 }
    for (let nth = 0; nth < WORLDS; nth++) {
      const peopledWorld = peopled(nth)
      const { world, people, ownerOf, released } = peopledWorld
      await writeWorlds(db, [world])
      await bindAll(db, peopledWorld)
      for (const { uri, live, policies } of world.spaces) {
        const community = authorityOf(uri)
        const owner = ownerOf.get(community) ?? community
        const where = `world ${nth} of seed ${SEED}: ${uri}`
        for (const did of people) {
          for (const access of ['read', 'write'] as const) {
            const said = await hookSays(uri, did, access)
            if (access === 'read') expect(await hookSays(uri, did, undefined), `${where} without a word`).toBe(said)
            if (!live || isRoster(uri) || community === released) {
              expect(said, where).toBe(false)
              met.unbound++
              continue
            }
            expect(said, `${where} ${access}`).toBe(mayBySearch(world, did, uri, access))
            met[said ? 'yes' : 'no']++
            const isOnRoll = world.people.some((entry) => entry.did === did && authorityOf(entry.into) === community)
            if (said && !isOnRoll && policies[access] === 'memberList') met.guests++

            const about = { space: uri, did, action: access }
            expect((await memberCheck(ctx, owner, about)).allowed, `${where} check`).toBe(said)
            expect((await memberExplain(ctx, owner, about)).allowed, `${where} explain`).toBe(said)
            if (policies[access] === 'public') continue
            const { members } = await memberResolve(ctx, owner, { space: uri, action: access, limit: 100 })
            expect(
              members.some((member) => member.did === did),
              `${where} resolve`,
            ).toBe(said)
          }
        }
      }
      if (nth % 6 === 0) await requirePreviews(peopledWorld, nth)
    }
    // Each answer must have come up often, and guests too, or the comparison says little.
    expect(Math.min(met.yes, met.no, met.unbound)).toBeGreaterThan(WORLDS)
    expect(met.guests).toBeGreaterThan(WORLDS / 10)
  })

  /** What the owner sees with somebody's eyes is what their PDS would be told. */
  async function requirePreviews({ world, people, ownerOf, released }: Peopled, nth: number): Promise<void> {
    for (const [community, owner] of ownerOf) {
      if (community === released) continue
      const bound = world.spaces.filter(({ uri, live }) => live && authorityOf(uri) === community && !isRoster(uri))
      for (const did of people) {
        const { spaces } = await memberPreview(ctx, owner, { community, did, limit: 100 })
        for (const { uri } of bound) {
          const seen = spaces.find((space) => space.uri === uri)
          const said = [seen?.reads ?? false, seen?.writes ?? false]
          const asked = [await hookSays(uri, did, 'read'), await hookSays(uri, did, 'write')]
          expect(said, `world ${nth} of seed ${SEED}: preview of ${uri}`).toEqual(asked)
        }
      }
    }
  }
})
