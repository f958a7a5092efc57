/** What is said about apps, on real databases: who may say it, what is refused, what is shown beforehand, and what is kept. */
import { sql } from 'kysely'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { appList } from '../../src/apps/appList.ts'
import { appPutRule } from '../../src/apps/appPutRule.ts'
import { appRemoveRule } from '../../src/apps/appRemoveRule.ts'
import { appSetAccess } from '../../src/apps/appSetAccess.ts'
import { noteSeenApp } from '../../src/apps/seen-store.ts'
import { type ClientId, type Did, rosterOf, type SpaceUri } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { spaceCreate } from '../../src/space/spaceCreate.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { spaceDescribe } from '../../src/space/spaceDescribe.ts'
import { spaceGet } from '../../src/space/spaceGet.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  everythingIn,
  FORUM,
  freshDid,
  keyed,
  makeForum,
  makeRoleSpace,
  once,
  openCommunity,
  put,
  type Roll,
  rollOn,
} from '../kit/roll.ts'
import { tracelessRefusalOf } from '../kit/verdicts.ts'

const HOST = 'app.example.com'
const APP = `https://${HOST}/client-metadata.json` as ClientId
const OTHER = 'https://other.example.com/c' as ClientId
const DEFS = 'com.atproto.simplespace.defs'

describeOnEachEngine('rules about apps', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  let owner: Did
  const [admin, bob] = [freshDid(), freshDid()]

  beforeAll(async () => {
    db = (await open()).db
  })
  beforeEach(async () => {
    roll = rollOn(db)
    community = await openCommunity(roll)
    owner = community.founder
    forum = await makeForum(roll, community, 'main')
    await put(roll, owner, rosterOf(community.did).uri, admin, 'admin')
    await put(roll, owner, forum, admin, 'admin')
    await put(roll, owner, forum, bob, 'member')
  })

  type In<F extends (roll: never, by: Did, input: never, ...rest: never[]) => unknown> = Parameters<F>[2]
  const everywhere = () => ({ community: community.did })
  const here = () => ({ space: forum })
  const set = (by: Did, input: object, call = once()) =>
    appSetAccess(roll, by, { ...everywhere(), mode: 'open', ...input } as In<typeof appSetAccess>, call)
  const rule = (by: Did, input: object, call = once()) =>
    appPutRule(roll, by, { ...everywhere(), verdict: 'allow', ...input } as In<typeof appPutRule>, call)
  const drop = (by: Did, input: object) =>
    appRemoveRule(roll, by, { ...everywhere(), ...input } as In<typeof appRemoveRule>, once())
  const list = (by: Did, input: object = everywhere()) =>
    appList(roll, by, { limit: 100, ...input } as In<typeof appList>)
  const inSpace = (input: object) => ({ community: undefined, space: forum, ...input })
  const mayRead = async (clientId?: string) =>
    (
      await memberCheck(roll, bob, { space: forum, did: bob, action: 'read', ...(clientId ? { clientId } : {}) } as In<
        typeof memberCheck
      >)
    ).allowed
  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)
  const seen = (clientId: ClientId, did = bob) =>
    noteSeenApp(db, { community: community.did, clientId, did, space: forum }, roll.clock.nowMs())
  const lastEntry = async () => {
    const found = await sql<{
      action: string
      target: string
      because: Record<string, unknown>
    }>`select action, target, because from audit_entry where community = ${community.did} order by id desc limit 1`.execute(
      db,
    )
    return found.rows[0]
  }

  describe('say', () => {
    it('nothing at first: every app is welcome, known or not', async () => {
      expect(await list(admin)).toMatchObject({
        ...{ mode: 'open', unattested: 'default', unattestedNow: 'allow', isSilent: false, apps: [] },
      })
      expect([await mayRead(), await mayRead(APP)]).toEqual([true, true])
    })

    it('who is on a list, by client id or by host, and by whom, when and why', async () => {
      await set(admin, { mode: 'allowList' })
      await rule(admin, { clientId: APP, note: 'Looked at in June.' })
      const { revision } = await rule(owner, { host: 'other.example.com' })
      expect(await list(admin)).toEqual({
        ...{ mode: 'allowList', unattested: 'default', unattestedNow: 'refuse', isSilent: false, revision },
        apps: [
          {
            ...{ clientId: APP, state: 'allowed', note: 'Looked at in June.' },
            ...{ putBy: admin, putAt: isoOf(roll.clock.nowMs()) },
          },
          { host: 'other.example.com', state: 'allowed', putBy: owner, putAt: isoOf(roll.clock.nowMs()) },
        ],
      })
      const third = 'https://third.example.com/c'
      expect([await mayRead(), await mayRead(APP), await mayRead(OTHER), await mayRead(third)]).toEqual([
        ...[false, true, true, false],
      ])
    })

    it('who is denied, and then those that prove nothing are turned away, unless it is said otherwise', async () => {
      await rule(admin, { clientId: APP, verdict: 'deny' })
      expect(await list(admin)).toMatchObject({ unattested: 'default', unattestedNow: 'refuse' })
      expect([await mayRead(), await mayRead(APP), await mayRead(OTHER)]).toEqual([false, false, true])
      await set(admin, { mode: 'open', unattested: 'allow' })
      expect(await list(admin)).toMatchObject({ unattested: 'allow', unattestedNow: 'allow' })
      expect(await mayRead()).toBe(true)
      await set(admin, { mode: 'open' })
      expect(await list(admin)).toMatchObject({ unattested: 'allow' })
      await set(admin, { mode: 'open', unattested: 'default' })
      expect(await mayRead()).toBe(false)
    })

    it('it of a space besides, which is narrower and never wider', async () => {
      await rule(admin, inSpace({ clientId: APP, verdict: 'deny' }))
      expect(await mayRead(APP)).toBe(false)
      expect((await list(admin)).apps).toEqual([])
      expect((await list(admin, here())).apps).toMatchObject([{ clientId: APP, state: 'denied' }])
      expect(await list(admin, here())).not.toHaveProperty('isSilent')
      await rule(admin, inSpace({ clientId: APP }))
      await rule(admin, { clientId: APP, verdict: 'deny' })
      expect(await mayRead(APP)).toBe(false)
    })

    it('it until it is taken back', async () => {
      await rule(admin, { clientId: APP, verdict: 'deny' })
      await drop(admin, { clientId: APP })
      expect([await mayRead(APP), (await list(admin)).apps]).toEqual([true, []])
    })

    it('it once: the same again, and what is taken back twice, changes nothing', async () => {
      const { revision } = await rule(admin, { clientId: APP, note: 'Fine.' })
      expect((await rule(owner, { clientId: APP, note: 'Fine.' })).revision).toBe(revision)
      expect((await list(admin)).apps).toMatchObject([{ putBy: admin }])
      expect((await set(admin, { mode: 'open' })).revision).toBe(revision)
      expect((await drop(admin, { clientId: OTHER })).revision).toBe(revision)
      expect((await rule(admin, { clientId: APP, note: 'Better.' })).revision).toBe(revision + 1)
    })

    it('it to the public in what a space is described by, without the names', async () => {
      await set(admin, inSpace({ mode: 'allowList' }))
      await rule(admin, inSpace({ clientId: APP }))
      expect(await spaceDescribe(roll, here() as In<typeof spaceGet>)).toMatchObject({
        ...{ mustAttest: true, appAccess: { $type: `${DEFS}#allowList`, allowed: [] } },
      })
      expect(await spaceGet(roll, bob, here() as In<typeof spaceGet>)).toMatchObject({
        appAccess: { $type: `${DEFS}#allowList`, allowed: [APP] },
      })
    })

    it('it under a key once, and answer alike', async () => {
      const input = { ...everywhere(), clientId: APP, verdict: 'deny' }
      const call = keyed(admin, 'community.reeve.app.putRule', 'one', input)
      const first = await rule(admin, input, call)
      await drop(admin, { clientId: APP })
      expect(await rule(admin, input, call)).toEqual(first)
      expect((await list(admin)).apps).toEqual([])
    })
  })

  describe('are put', () => {
    it('by those who judge apps there, and seen by nobody else', async () => {
      const calls = [
        (by: Did) => set(by, inSpace({ mode: 'allowList' })),
        (by: Did) => rule(by, inSpace({ clientId: APP })),
        (by: Did) => drop(by, inSpace({ clientId: APP })),
        (by: Did) => list(by, here()),
      ]
      for (const call of calls) {
        expect(await refusalOf(() => call(bob))).toBe('Forbidden')
        expect(await refusalOf(() => call(freshDid()))).toBe('NotFound')
      }
      // Whoever stands in the forum alone stands nowhere in the roster.
      for (const call of [() => rule(bob, { clientId: APP }), () => list(bob)])
        expect(await refusalOf(call)).toBe('NotFound')
      expect(await refusalOf(() => list(owner, { community: freshDid() }))).toBe('NotFound')
    })

    it('for the whole community by those who judge apps in the roster, and not in a space', async () => {
      const local = freshDid()
      await put(roll, owner, forum, local, 'admin')
      await put(roll, owner, rosterOf(community.did).uri, local, 'member')
      expect(await refusalOf(() => rule(local, { clientId: APP }))).toBe('Forbidden')
      await rule(local, inSpace({ clientId: APP }))
      expect((await list(local, here())).apps).toHaveLength(1)
    })

    it('by an owner alone, where whole hosts come in, a list is opened, or silence falls', async () => {
      expect(await refusalOf(() => rule(admin, { host: HOST }))).toBe('Forbidden')
      await rule(admin, { host: HOST, verdict: 'deny' })
      await rule(owner, { host: HOST })
      for (const scope of [{}, inSpace({})]) {
        await set(admin, { ...scope, mode: 'allowList' })
        expect(await refusalOf(() => set(admin, { ...scope, mode: 'open' }))).toBe('Forbidden')
        await set(owner, { ...scope, mode: 'open' })
      }
      expect(await refusalOf(() => set(admin, { mode: 'open', isSilent: true }))).toBe('Forbidden')
      await set(owner, { mode: 'open', isSilent: true })
      expect(await list(admin)).toMatchObject({ isSilent: true })
      // As it is already, it is nobody's to change.
      await set(admin, { mode: 'open', isSilent: true, unattested: 'refuse' })
    })

    it.each([
      ...[
        'http://app.example.com/c',
        'https://app.example.com:443/c',
        'https://App.example.com/c',
        '*',
        'https://*',
        '',
      ],
      ...[
        'https://*.example.com/c',
        '^https://.*$',
        'https://127.0.0.1/c',
        'https://app.example.com/c#x',
        'did:web:a.com',
      ],
    ])('about apps of one spelling, never “%s”', async (clientId) => {
      expect(await refusalOf(() => rule(owner, { clientId }))).toBe('InvalidRequest')
      expect(await refusalOf(() => drop(owner, { clientId }))).toBe('InvalidRequest')
    })

    it.each(['*.example.com', '10.0.0.1', 'App.example.com', 'app.example.com:443', 'https://app.example.com', 'com'])(
      'about hosts by one name, never “%s”',
      async (host) => {
        expect(await refusalOf(() => rule(owner, { host, verdict: 'deny' }))).toBe('InvalidRequest')
        expect(await refusalOf(() => drop(owner, { host }))).toBe('InvalidRequest')
      },
    )

    it.each([
      'github.io',
      'me.github.io',
      'x.pages.dev',
      'x.vercel.app',
      'b.s3.amazonaws.com',
      'x.blob.core.windows.net',
    ])('that deny %s and never allow it, not even by an owner', async (host) => {
      expect(await refusalOf(() => rule(owner, { host }))).toBe('InvalidRequest')
      await rule(admin, { host, verdict: 'deny' })
      expect((await list(admin)).apps).toMatchObject([{ host, state: 'denied' }])
    })

    it('about one thing in one place', async () => {
      const both = [
        () => rule(owner, { clientId: APP, host: HOST }),
        () => rule(owner, {}),
        () => drop(owner, {}),
        () => rule(owner, { clientId: APP, space: forum }),
        () => set(owner, { mode: 'open', community: undefined }),
        () => list(owner, {}),
        () => set(owner, inSpace({ mode: 'open', isSilent: true })),
        () => rule(owner, { clientId: APP, note: ' \u202e ' }),
      ]
      for (const call of both) expect(await refusalOf(call)).toBe('InvalidRequest')
    })

    it('in spaces where records are kept, while they live', async () => {
      const roleSpace = await makeRoleSpace(roll, community, 'crew')
      for (const space of [roleSpace, rosterOf(community.did).uri]) {
        for (const call of [
          () => rule(owner, inSpace({ space, clientId: APP })),
          () => set(owner, inSpace({ space, mode: 'allowList' })),
          () => drop(owner, inSpace({ space, clientId: APP })),
          () => list(owner, { space }),
        ]) {
          expect(await refusalOf(call)).toBe('InvalidRequest')
        }
      }
      await rule(admin, inSpace({ clientId: APP }))
      await set(admin, inSpace({ mode: 'allowList' }))
      await spaceDelete(roll, owner, here() as In<typeof spaceDelete>, once())
      for (const call of [() => rule(owner, inSpace({ clientId: APP })), () => list(owner, here())]) {
        expect(await refusalOf(call)).toBe('NotFound')
      }
      const { rows } = await sql`select scope from app_rule where scope = ${forum}
        union all select scope from app_access where scope = ${forum}`.execute(db)
      expect(rows).toEqual([])
    })

    it('up to a thousand in a community and its spaces', async () => {
      await sql`insert into app_rule (scope, name, community, is_host, verdict, put_by, put_at_ms)
        select ${community.did}, 'https://app' || n || '.example.com/c', ${community.did}, false, 'allow', ${owner}, 0
        from generate_series(1, 999) n`.execute(db)
      await rule(admin, inSpace({ clientId: APP }))
      expect(await refusalOf(() => rule(admin, { clientId: APP }))).toBe('LimitExceeded')
      expect(await refusalOf(() => rule(admin, inSpace({ clientId: OTHER })))).toBe('LimitExceeded')
      // What is there can be judged anew.
      await rule(admin, inSpace({ clientId: APP, verdict: 'deny' }))
      const appAccess = { $type: `${DEFS}#allowList`, allowed: [APP] }
      const input = { community: community.did, spaceType: FORUM, skey: 'more', appAccess }
      expect(await refusalOf(() => spaceCreate(roll, owner, input as In<typeof spaceCreate>, once()))).toBe(
        'LimitExceeded',
      )
    })

    it('and are told in the audit with what they were before, and without the note', async () => {
      await rule(admin, { clientId: APP, note: 'Secret remark.' })
      await rule(admin, { clientId: APP, verdict: 'deny', note: 'Secret remark.' })
      const entry = await lastEntry()
      expect(entry).toMatchObject({
        ...{ action: 'app.putRule', target: community.did },
        because: { clientId: APP, verdict: 'deny', verdictBefore: 'allow' },
      })
      expect(JSON.stringify(entry)).not.toContain('Secret')
      await drop(admin, { clientId: APP })
      expect(await lastEntry()).toMatchObject({
        ...{ action: 'app.removeRule', because: { clientId: APP, verdict: null, verdictBefore: 'deny' } },
      })
      await rule(admin, inSpace({ host: HOST, verdict: 'deny' }))
      expect(await lastEntry()).toMatchObject({ target: forum, because: { host: HOST, verdictBefore: null } })
      await set(owner, { mode: 'allowList', unattested: 'refuse', isSilent: true })
      expect(await lastEntry()).toMatchObject({
        action: 'app.setAccess',
        because: {
          ...{ mode: 'allowList', modeBefore: 'open', unattested: 'refuse', unattestedBefore: 'default' },
          ...{ silent: 'true', silentBefore: 'false' },
        },
      })
    })
  })

  describe('pin', () => {
    const pinned = { mode: 'pinned' }

    it('the one app that is allowed', async () => {
      expect(await refusalOf(() => set(admin, pinned))).toBe('InvalidRequest')
      await rule(admin, { clientId: APP })
      await set(admin, pinned)
      expect([await mayRead(APP), await mayRead(OTHER), await mayRead()]).toEqual([true, false, false])
    })

    it('neither two nor a host', async () => {
      await rule(admin, { clientId: APP })
      await rule(admin, { clientId: OTHER })
      expect(await refusalOf(() => set(admin, pinned))).toBe('InvalidRequest')
      await drop(admin, { clientId: OTHER })
      await rule(owner, { host: HOST })
      expect(await refusalOf(() => set(admin, pinned))).toBe('InvalidRequest')
      await drop(admin, { clientId: APP })
      expect(await refusalOf(() => set(admin, pinned))).toBe('InvalidRequest')
    })

    it('it until it is taken back, and then another one', async () => {
      await rule(admin, { clientId: APP })
      await set(admin, pinned)
      expect(await refusalOf(() => rule(admin, { clientId: OTHER }))).toBe('InvalidRequest')
      expect(await refusalOf(() => rule(owner, { host: HOST }))).toBe('InvalidRequest')
      await rule(admin, { clientId: APP, note: 'The same again.' })
      await rule(admin, { clientId: OTHER, verdict: 'deny' })
      await rule(admin, { clientId: APP, verdict: 'deny' })
      expect(await mayRead(APP)).toBe(false)
      await rule(admin, { clientId: OTHER })
      expect([await mayRead(APP), await mayRead(OTHER)]).toEqual([false, true])
    })
  })

  describe('show', () => {
    it('pages by name, and one state', async () => {
      for (const name of ['c', 'a', 'b']) await rule(admin, { clientId: `https://${name}.example.com/c` })
      await rule(admin, { host: HOST, verdict: 'deny' })
      await seen('https://d.example.com/c' as ClientId)
      await rule(admin, { clientId: 'https://e.example.com/c', verdict: 'pending' })
      const names: (string | undefined)[] = []
      let cursor: string | undefined
      do {
        const page = await list(admin, { ...everywhere(), limit: 2, ...(cursor === undefined ? {} : { cursor }) })
        names.push(...page.apps.map(({ clientId, host }) => clientId ?? host))
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(names).toEqual([HOST, ...['a', 'b', 'c', 'd', 'e'].map((name) => `https://${name}.example.com/c`)])
      const inState = async (state: string) =>
        (await list(admin, { ...everywhere(), state })).apps.map(({ clientId, host }) =>
          (clientId ?? host)?.slice(0, 9),
        )
      expect([await inState('allowed'), await inState('denied'), await inState('pending')]).toEqual([
        ...[['https://a', 'https://b', 'https://c'], ['app.examp'], ['https://d', 'https://e']],
      ])
    })

    it('apps that were turned away for lack of a rule, with who brought them last, until one is made', async () => {
      const firstAt = isoOf(roll.clock.nowMs())
      await seen(APP)
      roll.clock.moveMs(5_000)
      await seen(APP, admin)
      await seen(OTHER)
      const told = { firstAt, lastAt: isoOf(roll.clock.nowMs()), times: 2, lastBy: admin, lastSpace: forum }
      expect((await list(admin)).apps).toMatchObject([
        { clientId: APP, state: 'pending', seen: told },
        { clientId: OTHER, state: 'pending' },
      ])
      expect((await list(admin, here())).apps).toEqual([])
      await rule(admin, { clientId: APP })
      expect((await list(admin)).apps[0]).not.toHaveProperty('seen')
      await seen(APP)
      expect((await list(admin)).apps[0]).toMatchObject({ state: 'allowed', seen: { times: 1, lastBy: bob } })
      // What is said of a host is said of its apps; to put a host off is to say nothing.
      await rule(admin, { host: 'other.example.com', verdict: 'pending' })
      expect((await list(admin, { ...everywhere(), state: 'pending' })).apps).toHaveLength(2)
      await rule(admin, { host: 'other.example.com', verdict: 'deny' })
      expect((await list(admin)).apps.map(({ clientId }) => clientId)).not.toContain(OTHER)
    })
  })

  describe('are shown beforehand', () => {
    let issued = 0
    const issue = (
      did: Did,
      clientId: string | null,
      more: { space?: string; endsInSec?: number; revoked?: boolean } = {},
    ) => {
      const nowSec = roll.clock.nowSec()
      const { space = forum, endsInSec = 600, revoked = false } = more
      return sql`insert into issuance (jti, space, community, did, client_id, holder, issued_at_sec, expires_at_sec, revision, revoked_at_sec)
        values (${`jti ${community.did} ${issued++}`}, ${space}, ${community.did}, ${did}, ${clientId}, 'key', ${nowSec - 10},
          ${nowSec + endsInSec}, 1, ${revoked ? nowSec : null})`.execute(db)
    }
    const carol = freshDid()

    it('with whose apps would be turned away, by live credentials, and change nothing', async () => {
      await issue(bob, APP)
      await issue(bob, APP)
      await issue(carol, APP)
      await issue(bob, OTHER)
      await issue(carol, null)
      await issue(freshDid(), APP, { endsInSec: 0 })
      await issue(freshDid(), APP, { revoked: true })
      const before = await everythingIn(db)
      const { turnedAway, preview, revision } = await rule(admin, { clientId: APP, verdict: 'deny', dryRun: true })
      expect(await everythingIn(db)).toEqual(before)
      expect(revision).toBe((await list(admin)).revision)
      expect(preview).toEqual({ examined: 0, isComplete: true, gaining: 0, losing: 0, changes: [] })
      expect(turnedAway).toEqual({
        ...{ credentials: 4, people: 2, isComplete: true },
        apps: [{ clientId: APP, people: 2 }, { people: 1 }],
      })
      await set(admin, { mode: 'open', unattested: 'allow' })
      const kinder = await rule(admin, { clientId: APP, verdict: 'deny', dryRun: true })
      expect(kinder.turnedAway).toMatchObject({ credentials: 3, apps: [{ clientId: APP, people: 2 }] })
    })

    it('in a space alone, where it is said of a space', async () => {
      const other = await makeForum(roll, community, 'other')
      await issue(bob, APP)
      await issue(carol, OTHER, { space: other })
      const shown = await set(admin, inSpace({ mode: 'allowList', dryRun: true }))
      expect(shown.turnedAway).toMatchObject({ credentials: 1, apps: [{ clientId: APP, people: 1 }] })
      const everywhereShown = await set(admin, { mode: 'allowList', dryRun: true })
      expect(everywhereShown.turnedAway).toMatchObject({ credentials: 2, people: 2 })
    })

    it('without those who are turned away already, and when a rule is taken back', async () => {
      await set(admin, { mode: 'allowList' })
      await rule(admin, { clientId: APP })
      await issue(bob, APP)
      await issue(carol, OTHER)
      const { turnedAway } = await drop(admin, { clientId: APP, dryRun: true })
      expect(turnedAway).toEqual({
        ...{ credentials: 1, people: 1, apps: [{ clientId: APP, people: 1 }], isComplete: true },
      })
      expect((await drop(admin, { clientId: APP })) as object).not.toHaveProperty('turnedAway')
    })

    it('as far as ten thousand credentials and a hundred apps, and it is said that there are more', async () => {
      const nowSec = roll.clock.nowSec()
      // More in one statement take a slow machine longer than a statement of Reeve's own ever may.
      for (const [first, last] of Array.from({ length: 11 }, (_, at) => [
        at * 1_000,
        Math.min(10_000, at * 1_000 + 999),
      ])) {
        await sql`insert into issuance (jti, space, community, did, client_id, holder, issued_at_sec, expires_at_sec, revision)
          select ${community.did} || n, ${forum}, ${community.did}, 'did:plc:' || n, 'https://app' || n % 120 || '.example.com/c',
            'key', ${nowSec}::bigint, ${nowSec + 600}::bigint, 1 from generate_series(${first}::int, ${last}::int) n`.execute(
          db,
        )
      }
      const { turnedAway } = await set(admin, { mode: 'allowList', dryRun: true })
      expect(turnedAway).toMatchObject({ credentials: 10_000, people: 10_000, isComplete: false })
      expect(turnedAway?.apps).toHaveLength(100)
    })

    it('or refused as the change would be', async () => {
      expect(await refusalOf(() => rule(admin, { host: HOST, dryRun: true }))).toBe('Forbidden')
      expect(await refusalOf(() => set(admin, { mode: 'pinned', dryRun: true }))).toBe('InvalidRequest')
    })
  })

  describe('come with a new space', () => {
    const create = async (allowed: readonly string[], more: object = {}) => {
      const appAccess = { $type: `${DEFS}#allowList`, allowed }
      const input = { community: community.did, spaceType: FORUM, appAccess, ...more }
      return (await spaceCreate(roll, owner, input as In<typeof spaceCreate>, once())).uri as SpaceUri
    }

    it('as a list of which each has a rule', async () => {
      const space = await create([APP, OTHER, APP])
      expect(await list(owner, { space })).toMatchObject({
        ...{ mode: 'allowList', unattestedNow: 'refuse' },
        apps: [
          { clientId: APP, state: 'allowed', putBy: owner },
          { clientId: OTHER, state: 'allowed', putBy: owner },
        ],
      })
      expect(await spaceGet(roll, owner, { space } as In<typeof spaceGet>)).toMatchObject({
        appAccess: { $type: `${DEFS}#allowList`, allowed: [APP, OTHER] },
      })
      expect(await lastEntry()).toMatchObject({ because: { appMode: 'allowList', appsAllowed: `${APP} ${OTHER}` } })
      expect(await list(owner, { space: await create([]) })).toMatchObject({ mode: 'allowList', apps: [] })
    })

    it('of client ids, 64 at most', async () => {
      const apps = (count: number) => Array.from({ length: count }, (_none, at) => `https://app${at}.example.com/c`)
      expect(await refusalOf(() => create(['http://app.example.com/c']))).toBe('InvalidRequest')
      expect(await refusalOf(() => create([HOST]))).toBe('InvalidRequest')
      expect(await refusalOf(() => create(apps(65)))).toBe('LimitExceeded')
      expect((await list(owner, { space: await create(apps(64)) })).apps).toHaveLength(64)
    })
  })
})
