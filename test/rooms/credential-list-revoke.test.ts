/** `credential.list` and `credential.revoke`: who sees which credentials, who takes them back, and what that is worth. */
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { auditRows, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { type Held, jtiOf, obtain, present, revocations, rosterUri } from '../kit/presentation.ts'

const LIST = 'community.reeve.credential.list'
const REVOKE = 'community.reeve.credential.revoke'
const APP = 'https://boards.example.com/client.json'

describeOnEachEngine('credentials that are about', (open) => {
  let database: TestDatabase
  let scene: Scene
  let bobs: Held
  let alices: Held
  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
  })
  afterAll(() => scene.close())
  beforeEach(async () => {
    await sql`delete from issuance`.execute(database.db)
    bobs = await obtain(scene, { binding: 'october' })
    alices = await obtain(scene, { binding: 'august', person: scene.alice })
  })

  const jtisIn = ({ body }: { body: { credentials?: { jti: string }[] } }) =>
    (body.credentials ?? []).map(({ jti }) => jti).sort()
  const both = () => [jtiOf(bobs), jtiOf(alices)].sort()
  const errorOf = ({ status, body }: { status: number; body: { error?: string } }) => `${status} ${body.error}`

  it('are listed for those who may take them back, in the space and in the whole community', async () => {
    const { alice, bob, forum, community } = scene
    const list = await alice.ask(LIST, { space: forum, did: bob.did })
    expect(list).toMatchObject({
      status: 200,
      body: { credentials: [{ jti: jtiOf(bobs), did: bob.did, space: forum }] },
    })
    const [one] = list.body.credentials
    expect(Date.parse(one.expiresAt) - Date.parse(one.issuedAt)).toBe(600_000)
    expect(Object.keys(one).sort()).toEqual(['did', 'expiresAt', 'issuedAt', 'jti', 'space'])
    expect(jtisIn(await alice.ask(LIST, { space: forum }))).toEqual(both())
    expect(jtisIn(await alice.ask(LIST, { community }))).toEqual(both())
    expect(jtisIn(await alice.ask(LIST, { space: rosterUri(community) }))).toEqual([])
  })

  it('are listed by app', async () => {
    const { alice, community } = scene
    await sql`update issuance set client_id = ${APP} where jti = ${jtiOf(bobs)}`.execute(database.db)
    const list = await alice.ask(LIST, { community, clientId: APP })
    expect(list.body.credentials).toMatchObject([{ jti: jtiOf(bobs), clientId: APP }])
  })

  it('are listed page by page, each once', async () => {
    const { alice, community } = scene
    for (let more = 0; more < 3; more++) await obtain(scene, { binding: 'october' })
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await alice.ask(LIST, { community, limit: '2', ...(cursor === undefined ? {} : { cursor }) })
      seen.push(...jtisIn(page))
      cursor = page.body.cursor
    } while (cursor !== undefined)
    expect(seen).toHaveLength(5)
    expect(new Set(seen).size).toBe(5)
    for (const wrong of ['x', 'x 1 y', `${alice.did} 1e3 y`, `${alice.did} 1 y z`]) {
      expect(errorOf(await alice.ask(LIST, { community, cursor: wrong }))).toBe('400 InvalidRequest')
    }
  })

  it('that have ended are not listed', async () => {
    await sql`update issuance set expires_at_sec = 1 where jti = ${jtiOf(bobs)}`.execute(database.db)
    expect(jtisIn(await scene.alice.ask(LIST, { space: scene.forum }))).toEqual([jtiOf(alices)])
  })

  it('are everybody’s own to see, and nobody else’s without the power to take them back', async () => {
    const { alice, bob, carol, forum, community } = scene
    expect(jtisIn(await bob.ask(LIST, { space: forum, did: bob.did }))).toEqual([jtiOf(bobs)])
    expect(jtisIn(await bob.ask(LIST, { community, did: bob.did }))).toEqual([jtiOf(bobs)])
    expect(jtisIn(await carol.ask(LIST, { community, did: carol.did }))).toEqual([])
    expect(errorOf(await bob.ask(LIST, { space: forum }))).toBe('403 Forbidden')
    expect(errorOf(await bob.ask(LIST, { space: forum, did: alice.did }))).toBe('403 Forbidden')
    expect(errorOf(await bob.ask(LIST, { community }))).toBe('404 NotFound')
    expect(errorOf(await carol.ask(LIST, { space: forum }))).toBe('404 NotFound')
    expect(errorOf(await carol.ask(LIST, { space: `${forum}x`, did: carol.did }))).toBe('404 NotFound')
  })

  it('that were taken back are told with the reason, which a silent community keeps from their holder', async () => {
    const { alice, bob, forum, community } = scene
    await sql`update issuance set revoked_at_sec = 1, revoked_because = 'UserNotAuthorized' where jti = ${jtiOf(bobs)}`.execute(
      database.db,
    )
    const seenBy = async (person: typeof bob) =>
      (await person.ask(LIST, { space: forum, did: bob.did })).body.credentials[0].revokedBecause
    expect(await seenBy(bob)).toBe('UserNotAuthorized')
    const silence = (isSilent: boolean) =>
      sql`update community_revision set is_silent = ${isSilent}, graph_revision = graph_revision + 1
        where community = ${community}`.execute(database.db)
    await silence(true)
    expect(await seenBy(bob)).toBe('NotAuthorized')
    expect(await seenBy(alice)).toBe('UserNotAuthorized')
    await silence(false)
  })

  it('are refused from the moment in which they are taken back, and may be asked for again', async () => {
    const { alice, bob, forum } = scene
    expect((await present(scene, bobs)).status).toBe(200)
    const answer = await alice.call(REVOKE, { space: forum, did: bob.did })
    expect(answer).toMatchObject({
      status: 200,
      body: { revoked: 1, pending: 0, plan: { hosts: 'none', hostCount: 0 } },
    })
    expect(errorOf(await present(scene, bobs))).toBe('401 CredentialRevoked')
    expect((await present(scene, alices)).status).toBe(200)
    expect((await present(scene, await obtain(scene, { binding: 'october' }))).status).toBe(200)
    const list = await alice.ask(LIST, { space: forum, did: bob.did })
    expect(list.body.credentials.map((one: { revokedBecause?: string }) => one.revokedBecause)).toContain('Wished')
    expect((await revocations(database)).get(jtiOf(bobs))).toEqual({ because: 'Wished', by: alice.did })
  })

  it.each([
    ['one alone', () => ({ space: scene.forum, jti: jtiOf(bobs) }), 1],
    ['those of an app', () => ({ community: scene.community, clientId: APP }), 0],
    ['those of a person anywhere', () => ({ community: scene.community, did: scene.bob.did }), 1],
    ['all of a space', () => ({ space: scene.forum }), 2],
    ['all of a community', () => ({ community: scene.community }), 2],
    ['none of another space', () => ({ space: rosterUri(scene.community), jti: jtiOf(bobs) }), 0],
  ])('are taken back: %s', async (_what, input, revoked) => {
    const answer = await scene.alice.call(REVOKE, input())
    expect(answer).toMatchObject({ status: 200, body: { revoked, pending: 0 } })
    const marks = [...(await revocations(database)).values()].filter((mark) => mark !== null)
    expect(marks).toHaveLength(revoked)
  })

  it('are taken back once: what is left to do is what is counted, and recorded', async () => {
    const { alice, forum, community } = scene
    const before = (await auditRows(database, 'credential.revoke')).length
    const first = await alice.call(REVOKE, { space: forum })
    expect(first.body).toMatchObject({ revoked: 2, pending: 0 })
    const again = await alice.call(REVOKE, { space: forum })
    expect(again.body).toEqual({ revoked: 0, pending: 0, revision: first.body.revision })
    const rows = (await auditRows(database, 'credential.revoke')).slice(before)
    expect(rows).toMatchObject([{ actor: alice.did, target: forum, because: { revoked: 2 } }])
    expect((await alice.ask('community.reeve.community.get', { community })).body.revision).toBe(first.body.revision)
  })

  it('are counted by a dry run, which takes nothing back', async () => {
    const { alice, forum } = scene
    const answer = await alice.call(REVOKE, { space: forum, dryRun: true })
    expect(answer.body).toMatchObject({ revoked: 2, pending: 0, preview: { gaining: 0, losing: 0 } })
    expect([...(await revocations(database)).values()]).toEqual([null, null])
    expect((await present(scene, bobs)).status).toBe(200)
  })

  it('are taken back by nobody without that power', async () => {
    const { alice, bob, carol, forum, community } = scene
    expect(errorOf(await bob.call(REVOKE, { space: forum, did: bob.did }))).toBe('403 Forbidden')
    expect(errorOf(await bob.call(REVOKE, { community }))).toBe('404 NotFound')
    expect(errorOf(await carol.call(REVOKE, { space: forum }))).toBe('404 NotFound')
    expect(errorOf(await alice.call(REVOKE, {}))).toBe('400 InvalidRequest')
    expect(errorOf(await alice.call(REVOKE, { space: forum, community }))).toBe('400 InvalidRequest')
    expect(errorOf(await alice.call(REVOKE, { space: forum, clientId: 'http://x' }))).toBe('400 InvalidRequest')
    expect(errorOf(await alice.call(REVOKE, { space: `${forum}x` }))).toBe('404 NotFound')
    expect(errorOf(await alice.call(REVOKE, { space: forum, ifRevision: 1 }))).toBe('409 StaleRevision')
    expect([...(await revocations(database)).values()]).toEqual([null, null])
  })

  it('are a moderator’s to take back in their space, and not beyond it', async () => {
    const { alice, carol, forum, community, world } = scene
    const moderator = await world.person()
    await alice.call('community.reeve.member.put', { space: forum, did: moderator.did, role: 'moderator' })
    const other = await world.makeSpace(alice, community)
    await letIn(alice, other, carol.did)
    const carols = await obtain(scene, { binding: 'october', person: carol, space: other })
    expect(errorOf(await moderator.call(REVOKE, { community }))).toBe('404 NotFound')
    expect(errorOf(await moderator.call(REVOKE, { space: other }))).toBe('404 NotFound')
    expect((await moderator.call(REVOKE, { space: forum })).body.revoked).toBe(2)
    expect((await present(scene, carols)).status).toBe(200)
  })
})
