/**
 * The same roll, however it is asked: random worlds in which accounts are communities, with rules about apps, and for each person, space and app
 * what a PDS is answered held against what `member.check`, `explain`, `resolve` and `preview` say, and against a search that knows none of them.
 */
import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { checkUserAccess, type HookCtx } from '../../src/access/checkUserAccess.ts'
import { openHook } from '../../src/access/hook.ts'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { memberExplain } from '../../src/access/memberExplain.ts'
import { memberPreview } from '../../src/access/memberPreview.ts'
import { appPutRule } from '../../src/apps/appPutRule.ts'
import { Hosted } from '../../src/membership/hosted.ts'
import { memberResolve } from '../../src/membership/memberResolve.ts'
import { authorityOf, type Did, hostOf, parseClientId, rosterOf, type SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import type { AppMode, AppVerdict } from '../../src/policy/apps.ts'
import { OWNER, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import { Unavailable } from '../../src/refusals.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { decidedInTime } from '../kit/decided.ts'
import { anyDraft, communitiesOf, NOW, worldOf } from '../kit/graphs.ts'
import { mayBySearch, type SmallWorld } from '../kit/oracle.ts'
import { freshDid, makeForum, once, openCommunity, put, type Roll, rollOn } from '../kit/roll.ts'
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

const [APP, SIBLING, OTHER] = [
  'https://app.example.com/client.json',
  'https://app.example.com/second.json',
  'https://other.example.net/client.json',
]
/** Null: none was proven, or named. */
const APPS = [null, APP, SIBLING, OTHER] as const
type App = (typeof APPS)[number]

/** What a community, or one of its spaces, says about apps. */
interface Said {
  readonly scope: SpaceUri | Did
  readonly mode: AppMode
  readonly unattested: 'allow' | 'refuse' | null
  readonly rules: readonly { readonly name: string; readonly verdict: AppVerdict }[]
}

/** What is said in a world, each about the scope of that number. Half of them say nothing. */
const sayings = fc.sample(
  fc.array(
    fc.record({
      at: fc.nat(59),
      isWhole: fc.boolean(),
      mode: fc.constantFrom('open' as const, 'open' as const, 'allowList' as const, 'pinned' as const),
      unattested: fc.constantFrom('allow' as const, 'refuse' as const, null),
      rules: fc.uniqueArray(
        fc.record({
          name: fc.constantFrom(APP, SIBLING, OTHER, 'app.example.com'),
          verdict: fc.constantFrom('allow' as const, 'deny' as const, 'pending' as const),
        }),
        { minLength: 1, maxLength: 3, selector: ({ name }) => name },
      ),
    }),
    { maxLength: 4 },
  ),
  { seed: SEED, numRuns: WORLDS },
)

function saidIn(world: SmallWorld, nth: number): readonly Said[] {
  const spaces = world.spaces.map(({ uri }) => uri)
  const said = (sayings[nth] ?? []).map(({ at, isWhole, ...says }): Said => {
    const space = spaces[at % spaces.length] as SpaceUri
    return { scope: isWhole ? authorityOf(space) : space, ...says }
  })
  return [...new Map(said.map((one) => [one.scope, one])).values()]
}

/** May this app, by the words of its community and of the space? Written from what the rules are said to mean, and from nothing else. */
function isAppLet(said: readonly Said[], space: SpaceUri, app: App): boolean {
  return said
    .filter(({ scope }) => scope === space || scope === authorityOf(space))
    .every(({ mode, unattested, rules }) => {
      if (app === null) {
        const isByDefault = unattested === null && !rules.some(({ verdict }) => verdict === 'deny')
        return mode === 'open' && (unattested === 'allow' || isByDefault)
      }
      const client = parseClientId(app)
      const host = client && hostOf(client)
      const verdictOn = (named: string | null) => rules.find(({ name }) => name === named)?.verdict
      if (verdictOn(app) === 'deny' || verdictOn(host) === 'deny') return false
      if (mode === 'open' || verdictOn(app) === 'allow') return true
      return mode === 'allowList' && verdictOn(app) === undefined && verdictOn(host) === 'allow'
    })
}

async function writeSaid(db: Db, said: readonly Said[]): Promise<void> {
  for (const { scope, mode, unattested, rules } of said) {
    const community = scope.startsWith('at:') ? authorityOf(scope as SpaceUri) : scope
    await db.insertInto('app_access').values({ scope, community, mode, unattested }).execute()
    const by = { note: null, put_by: 'did:plc:nobody', put_at_ms: 0 }
    const rows = rules.map((rule) => ({ scope, community, ...rule, is_host: !rule.name.startsWith('https:'), ...by }))
    await db.insertInto('app_rule').values(rows).execute()
  }
}

interface Peopled {
  readonly world: SmallWorld
  readonly said: readonly Said[]
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
  const said = saidIn(world, nth)
  return { world: { ...world, people: [...world.people, ...owners] }, said, people, ownerOf, released }
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
  const named = (app: App) => (app === null ? {} : { clientId: app })
  const hookSays = async (space: SpaceUri, user: Did, access: 'read' | 'write' | null, app: App): Promise<boolean> => {
    const params = { space, user, ...(access === null ? {} : { access }), ...named(app) }
    const ask = () =>
      checkUserAccess(ctx, { iss: authorityOf(space), ...nothing }, params).catch((error: unknown) => {
        if (error instanceof Unavailable) return error
        throw error
      })
    const said = await decidedInTime(ask, (answer) => answer instanceof Unavailable)
    if (said instanceof Unavailable) throw said
    return said.authorized
  }

  it('gives one answer to everybody who asks', { timeout: 600_000 }, async () => {
    const met = { yes: 0, no: 0, guests: 0, unbound: 0, forTheApp: 0 }
    for (let nth = 0; nth < WORLDS; nth++) {
      const peopledWorld = peopled(nth)
      const { world, said: saidHere, people, ownerOf, released } = peopledWorld
      await writeWorlds(db, [world])
      await writeSaid(db, saidHere)
      await bindAll(db, peopledWorld)
      for (const { uri, live, policies } of world.spaces) {
        const community = authorityOf(uri)
        const owner = ownerOf.get(community) ?? community
        const where = `world ${nth} of seed ${SEED}: ${uri}`
        for (const did of people) {
          for (const access of ['read', 'write'] as const) {
            const isPersonLet = mayBySearch(world, did, uri, access)
            for (const app of APPS) {
              const said = await hookSays(uri, did, access, app)
              if (!live || isRoster(uri) || community === released) {
                expect(said, where).toBe(false)
                met.unbound++
                continue
              }
              // Of a write without a name nobody knows which app it was.
              const isAppAsked = access === 'read' || app !== null
              const isLet = isPersonLet && (!isAppAsked || isAppLet(saidHere, uri, app))
              expect(said, `${where} ${access} with ${app}`).toBe(isLet)
              met[said ? 'yes' : 'no']++
              if (isPersonLet && !said) met.forTheApp++
              if (access === 'read') {
                const wordless = app === null ? isPersonLet : said
                expect(await hookSays(uri, did, null, app), `${where} without a word, with ${app}`).toBe(wordless)
              }
              const about = { space: uri, did, action: access, ...named(app) }
              expect((await memberCheck(ctx, owner, about)).allowed, `${where} check with ${app}`).toBe(said)
              expect((await memberExplain(ctx, owner, about)).allowed, `${where} explain with ${app}`).toBe(said)
            }
            if (!live || isRoster(uri) || community === released) continue
            const isOnRoll = world.people.some((entry) => entry.did === did && authorityOf(entry.into) === community)
            if (isPersonLet && !isOnRoll && policies[access] === 'memberList') met.guests++
            if (policies[access] === 'public') continue
            const { members } = await memberResolve(ctx, owner, { space: uri, action: access, limit: 100 })
            expect(
              members.some((member) => member.did === did),
              `${where} resolve`,
            ).toBe(isPersonLet)
          }
        }
      }
      if (nth % 6 === 0) await requirePreviews(peopledWorld, nth)
    }
    // Each answer must have come up often, and guests too, or the comparison says little.
    expect(Math.min(met.yes, met.no, met.unbound, met.forTheApp)).toBeGreaterThan(WORLDS)
    expect(met.guests).toBeGreaterThan(WORLDS / 10)
  })

  /** What the owner sees with somebody's eyes is what their PDS would be told. */
  async function requirePreviews({ world, people, ownerOf, released }: Peopled, nth: number): Promise<void> {
    for (const [community, owner] of ownerOf) {
      if (community === released) continue
      const bound = world.spaces.filter(({ uri, live }) => live && authorityOf(uri) === community && !isRoster(uri))
      for (const did of people) {
        for (const app of APPS) {
          const { spaces } = await memberPreview(ctx, owner, { community, did, limit: 100, ...named(app) })
          for (const { uri } of bound) {
            const seen = spaces.find((space) => space.uri === uri)
            const said = [seen?.reads ?? false, seen?.writes ?? false]
            const asked = [await hookSays(uri, did, 'read', app), await hookSays(uri, did, 'write', app)]
            expect(said, `world ${nth} of seed ${SEED}: preview of ${uri} with ${app}`).toEqual(asked)
          }
        }
      }
    }
  }

  it('says of writing with an app what the PDS is told, and nothing of apps where nobody could be', async () => {
    const community = await openCommunity(ctx)
    const [space, here] = [await makeForum(ctx, community, 'there'), await makeForum(ctx, community, 'here')]
    await db
      .updateTable('community_revision')
      .set({ is_account: true })
      .where('community', '=', community.did)
      .execute()
    await db.updateTable('space').set({ bound_at_ms: 0 }).where('uri', '=', space).execute()
    const did = freshDid()
    for (const into of [space, here]) await put(ctx, community.founder, into, did, 'member')
    await appPutRule(ctx, community.founder, { community: community.did, clientId: APP, verdict: 'deny' }, once())
    const saidOf = async (uri: SpaceUri, app: App) => {
      const about = { space: uri, did, action: 'write', ...named(app) }
      const preview = { community: community.did, did, limit: 100, ...named(app) }
      const { spaces } = await memberPreview(ctx, community.founder, preview)
      return [
        (await memberCheck(ctx, community.founder, about)).allowed,
        (await memberExplain(ctx, community.founder, about)).allowed,
        spaces.find((one) => one.uri === uri)?.writes,
      ]
    }
    for (const app of APPS) {
      const said = await hookSays(space, did, 'write', app)
      expect(said, String(app)).toBe(app !== APP)
      expect(await saidOf(space, app), String(app)).toEqual([said, said, said])
      // Whoever tells of a write in a space that is here doesn't say with which app it was made.
      expect(await saidOf(here, app), String(app)).toEqual([true, true, true])
    }
    const asked = { space, did, action: 'write', clientId: APP }
    const { because } = await memberCheck(ctx, community.founder, asked)
    expect(because).toEqual([{ rule: 'appDenied', from: community.did }])
    expect((await memberExplain(ctx, community.founder, asked)).because).toEqual(because)
  })
})
