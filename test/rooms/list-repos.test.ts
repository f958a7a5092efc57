/** The writer set as whoever holds a credential sees it, over real sockets and in both generations. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { microsOf, tidOf } from '../../src/platform/tid.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { BINDINGS, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { type Held, obtain } from '../kit/presentation.ts'
import { makeDpopProof, makeSpaceSignature } from '../kit/tokens.ts'
import type { Answer, Person } from '../kit/world.ts'
import { spaceOf } from '../kit/world.ts'
import { bytesJson, freshRev, hashOf, write } from '../kit/writers.ts'

const LIST_REPOS = '/xrpc/com.atproto.space.listRepos'
const ZEROS = bytesJson(Buffer.alloc(32))

/** A page, asked for with what somebody holds. */
function listRepos({ world }: Pick<Scene, 'world'>, held: Held, params: Record<string, string> = {}): Promise<Answer> {
  const { credential, holder, binding, space } = held
  const path = `${LIST_REPOS}?${new URLSearchParams({ space, ...params })}`
  if (binding === 'august') {
    const url = world.url + LIST_REPOS
    const proof = makeDpopProof({ key: holder, method: 'GET', url, nowSec: world.clock.nowSec(), credential })
    return world.send({
      path,
      headers: [
        ['authorization', `DPoP ${credential}`],
        ['dpop', proof],
      ],
    })
  }
  const authorization = `Atproto-Space ${credential}`
  const audience = spaceOf(space).authority
  const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization, audience })
  return world.send({
    path,
    headers: [
      ...[['authorization', authorization] as const, ['atproto-space-audience', audience] as const],
      ...[['signature-input', signatureInput] as const, ['signature', signature] as const],
    ],
  })
}

describeOnEachEngine('the repos of a space', (open) => {
  let database: TestDatabase
  let scene: Scene
  const writers: Person[] = []

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    while (writers.length < 5) writers.push(await scene.world.person())
    for (const { did } of writers) await letIn(scene.alice, scene.forum, did)
  })
  afterAll(() => scene.close())

  /** A space of its own, in which some have written one after the other. */
  async function written(skey: string, by: readonly Person[] = writers) {
    const space = await scene.world.makeSpace(scene.alice, scene.community, { skey })
    for (const { did } of [scene.bob, ...by]) await letIn(scene.alice, space, did)
    const revs: string[] = []
    for (const writer of by) {
      const rev = freshRev(scene.world.clock.nowMs())
      revs.push(rev)
      expect((await write(scene.world, { writer, space, rev })).status).toBe(200)
    }
    return { space, revs }
  }

  describe.each(BINDINGS)('asked for in %s', (binding) => {
    it('are those that wrote, in the order in which they did, in the words of both generations', async () => {
      const { space, revs } = await written(`all-${binding}`)
      const held = await obtain(scene, { binding, space })
      const { status, body, headers } = await listRepos(scene, held)
      expect([status, headers['content-type']]).toEqual([200, 'application/json'])
      expect(body.repos).toEqual(
        writers.map(({ did }, at) => ({
          ...{ did, rev: revs[at], repoRev: revs[at], hash: bytesJson(hashOf(revs[at] ?? '')) },
          spaceRev: expect.stringMatching(/^[2-7a-z]{13}$/),
        })),
      )
      const places = body.repos.map(({ spaceRev }: { spaceRev: string }) => spaceRev)
      expect(places).toEqual([...new Set(places)].sort())
      expect(body.cursor).toBe(places.at(-1))
    })

    it('come page by page, and a page without any has no cursor', async () => {
      const { space } = await written(`pages-${binding}`)
      const held = await obtain(scene, { binding, space })
      const seen: string[] = []
      let cursor = ''
      for (const size of [2, 2, 1]) {
        const { body } = await listRepos(scene, held, { limit: '2', ...(cursor && { cursor }) })
        expect(body.repos).toHaveLength(size)
        seen.push(...body.repos.map(({ did }: { did: string }) => did))
        cursor = body.cursor
      }
      expect(seen).toEqual(writers.map(({ did }) => did))
      expect((await listRepos(scene, held, { cursor })).body).toEqual({ repos: [] })
    })

    it('from a cursor that was kept are what changed since, and an empty page leaves it good', async () => {
      const { space } = await written(`since-${binding}`)
      const held = await obtain(scene, { binding, space })
      const { cursor } = (await listRepos(scene, held)).body
      expect((await listRepos(scene, held, { cursor })).body.repos).toEqual([])
      const [, second, third] = writers
      if (!second || !third) throw new Error('five')
      for (const writer of [third, second, third]) await write(scene.world, { writer, space })
      const { body } = await listRepos(scene, held, { cursor })
      expect(body.repos.map(({ did }: { did: string }) => did)).toEqual([second.did, third.did])
      expect((await listRepos(scene, held, { cursor, limit: '1' })).body.cursor).toBe(body.repos[0].spaceRev)
    })

    it('from a cursor of any clock are those after it', async () => {
      const { space } = await written(`clock-${binding}`, writers.slice(0, 2))
      const held = await obtain(scene, { binding, space })
      const [first, last] = (await listRepos(scene, held)).body.repos
      const at = microsOf(first.spaceRev) ?? 0
      const pageFrom = async (cursor: string) => (await listRepos(scene, held, { cursor })).body.repos
      expect(await pageFrom(tidOf(at, 1_023))).toEqual([last])
      expect(await pageFrom(tidOf(at - 1, 1_023))).toEqual([first, last])
      expect(await pageFrom('2222222222222')).toEqual([first, last])
    })

    it.each([
      ...['x', '3n2q4swd7dc2', 'zzzzzzzzzzzzz', `did:plc:${'q'.repeat(24)}`, "' or 1=1 --"].map((cursor) => ({
        cursor,
      })),
      ...['0', '-1', '1001', 'abc', '1.5'].map((limit) => ({ limit })),
    ])('with %o are not told', async (params) => {
      const held = await obtain(scene, { binding })
      expect(await listRepos(scene, held, params)).toMatchObject({ status: 400, body: { error: 'InvalidRequest' } })
    })

    it('may be a thousand at once, and since when doesn’t matter', async () => {
      const held = await obtain(scene, { binding })
      expect(await listRepos(scene, held, { limit: '1000', since: 'yesterday' })).toMatchObject({ status: 200 })
    })

    it('have 32 zero bytes for a hash that nobody told', async () => {
      const { space } = await written(`hash-${binding}`, [])
      await write(scene.world, { writer: scene.bob, space, body: { hash: undefined } })
      const held = await obtain(scene, { binding, space })
      expect((await listRepos(scene, held)).body.repos).toMatchObject([{ did: scene.bob.did, hash: ZEROS }])
    })

    it('are not those of the roster, and nobody is in a space where nobody wrote', async () => {
      const { space } = await written(`none-${binding}`, [])
      expect((await listRepos(scene, await obtain(scene, { binding, space }))).body).toEqual({ repos: [] })
    })

    it('stay when their people are removed, with what they wrote last', async () => {
      const { alice } = scene
      const { space, revs } = await written(`removed-${binding}`)
      const [first] = writers
      await alice.call('community.reeve.member.remove', { space, did: first?.did })
      expect((await write(scene.world, { writer: first as Person, space })).status).toBe(403)
      const { body } = await listRepos(scene, await obtain(scene, { binding, space }))
      expect(body.repos[0]).toMatchObject({ did: first?.did, repoRev: revs[0] })
    })

    it('of another space than the credential’s are not told', async () => {
      const { space } = await written(`other-${binding}`)
      const held = await obtain(scene, { binding })
      expect(await listRepos(scene, held, { space })).toMatchObject({
        status: 400,
        body: { error: 'InvalidCredential' },
      })
    })

    it('of a space that was deleted meanwhile are not there', async () => {
      const { space } = await written(`gone-${binding}`)
      const held = await obtain(scene, { binding, space })
      expect((await scene.alice.call('community.reeve.space.delete', { space })).status).toBe(200)
      expect(await listRepos(scene, held)).toMatchObject({ status: 400, body: { error: 'SpaceNotFound' } })
    })

    it('are not told to whoever was removed', async () => {
      const { alice, carol } = scene
      const { space } = await written(`mine-${binding}`)
      await letIn(alice, space, carol.did)
      const held = await obtain(scene, { binding, space, person: carol })
      expect((await listRepos(scene, held)).status).toBe(200)
      await alice.call('community.reeve.member.remove', { space, did: carol.did })
      expect(await listRepos(scene, held)).toMatchObject({ status: 401, body: { error: 'CredentialRevoked' } })
    })
  })
})
