/**
 * A community's spaces at a real PDS, kept from here through the grant that its account gave in a browser: made, filled, set right and ended; and what
 * owners hear when the account takes the grant back. A PDS answers methods that it doesn't know as the published one was seen to.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { accepted, FORUM_TYPE, R } from '../kit/adopted.ts'
import { type ConnectScene, connectAccount, openConnectScene } from '../kit/connecting.ts'
import { openTestDatabase } from '../kit/databases.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type SpacesPds, startSpacesPds } from '../kit/spaces-pds.ts'
import { eventually } from '../kit/waiting.ts'
import type { Person } from '../kit/world.ts'

const PUBLIC = { $type: 'com.atproto.simplespace.defs#publicPolicy' }
const MEMBER_LIST = { $type: 'com.atproto.simplespace.defs#memberListPolicy' }

describe.each([
  { generation: 'october', unknownMethod: 'no app view' },
  { generation: 'august', unknownMethod: 'app view' },
] as const)('spaces at a PDS of $generation', ({ generation, unknownMethod }) => {
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let pds: SpacesPds
  let scene: ConnectScene
  let space: string
  let bob: Person
  let carol: Person
  let dora: Person

  beforeAll(async () => {
    plc = await startPlcServer()
    pds = await startSpacesPds(plc.url, { generation, unknownMethod })
    const account = await pds.createAccount('garden')
    scene = await openConnectScene(await openTestDatabase('embedded'), { plcUrl: plc.url, pds, account })
    ;[bob, carol, dora] = await Promise.all([scene.world.person(), scene.world.person(), scene.world.person()])
    space = `at://${account.did}/space/${FORUM_TYPE}/main`
  })
  afterAll(async () => {
    await scene.close()
    await pds.close()
    await plc.close()
  })

  const call = async (method: string, input: object) => accepted(await scene.alice.call(`${R}.${method}`, input))
  const ask = async (method: string, params: Record<string, string>) =>
    accepted(await scene.alice.ask(`${R}.${method}`, params))
  const steered = async () => (await ask('steering.getSpace', { space })).steered
  const alarms = async (): Promise<string[]> =>
    ((await ask('community.get', { community: scene.account.did })).alarms ?? []).map(
      ({ name }: { name: string }) => name,
    )
  const listed = () => [...(pds.spaces.has(space) ? pds.spaces.members(space).keys() : [])].sort()
  const lists = (...people: readonly { readonly did: string }[]) =>
    eventually('the list is as declared', async () => {
      const wanted = [scene.alice, ...people].map(({ did }) => did).sort()
      return JSON.stringify(listed()) === JSON.stringify(wanted)
    })
  const policies = () => {
    const {
      policy,
      readPolicy = policy,
      writePolicy = policy,
    } = pds.spaces.config(space) as unknown as Record<string, object>
    return { readPolicy, writePolicy }
  }
  const comesTo = (readPolicy: object, writePolicy: object) =>
    eventually(
      'the policies are as declared',
      async () => JSON.stringify(policies()) === JSON.stringify({ readPolicy, writePolicy }),
    )

  it('aren’t kept without a grant', async () => {
    const refused = await scene.alice.call(`${R}.steering.put`, { space, mode: 'projection' })
    expect(refused).toMatchObject({ status: 409, body: { error: 'NotConnected' } })
  })

  it('are made there, and their list is the roster', async () => {
    expect((await connectAccount(scene)).status).toBe(200)
    await call('member.put', { space, did: bob.did, role: 'member' })
    await call('steering.put', { space, mode: 'projection' })
    await lists(bob)
    await comesTo(MEMBER_LIST, MEMBER_LIST)
    await eventually('it is kept', async () => (await steered()).state === 'kept')
    expect(await steered()).toMatchObject({ speaks: generation, alarms: [], progress: { declared: 2, done: 2 } })
    expect((await ask('space.get', { space })).host).toMatchObject({ keptAs: 'projection' })
    expect(await alarms()).toEqual([])
  })

  it('follow who comes and who is put out, through other spaces too', async () => {
    const role = { community: scene.account.did, spaceType: `${R}.role`, skey: 'weeders' }
    const { uri: memberSpace } = await call('space.create', role)
    await call('member.put', { space, memberSpace, role: 'member' })
    await call('member.put', { space: memberSpace, did: carol.did, role: 'member' })
    await lists(bob, carol)
    await call('member.ban', { space, did: bob.did })
    await lists(carol)
  })

  it('ask here about everybody while somebody is banned from what is open to the public', async () => {
    await call('space.update', { space, readPolicy: PUBLIC })
    const us = {
      $type: 'com.atproto.simplespace.defs#managingAppPolicy',
      managingApp: `${scene.world.config.serviceDid}#reeve`,
    }
    // With one policy for both, the narrower side speaks for the other.
    await comesTo(generation === 'october' ? us : MEMBER_LIST, MEMBER_LIST)
    await call('member.unban', { space, did: bob.did })
    await lists(bob, carol)
    await comesTo(generation === 'october' ? PUBLIC : MEMBER_LIST, MEMBER_LIST)
    await call('space.update', { space, readPolicy: MEMBER_LIST })
    await comesTo(MEMBER_LIST, MEMBER_LIST)
  })

  it('stay as they are when the account ends the grant, and owners are told', async () => {
    const browser = scene.account.browser()
    await browser.endGrants()
    await call('member.put', { space, did: dora.did, role: 'member' })
    await eventually('it is told', async () => (await alarms()).includes('GrantLost'))
    await eventually('it is told of the space', async () => (await alarms()).includes('NotConnected'))
    expect(listed()).toEqual([scene.alice, bob, carol].map(({ did }) => did).sort())
    const { entries } = await ask('audit.list', { community: scene.account.did, action: 'steering.lost' })
    expect(entries).toHaveLength(1)
  })

  it('catch up when it is given again', async () => {
    await connectAccount(scene)
    await lists(bob, carol, dora)
    await eventually('nothing is wrong any more', async () => (await alarms()).length === 0)
  })

  it('lose whom somebody put there by hand only when an owner says so', async () => {
    const strangers = await Promise.all([scene.world.person(), scene.world.person()])
    for (const { did } of strangers) pds.spaces.byHand.putMember(space, did)
    const { look } = await call('steering.look', { space })
    await eventually('it is read', async () => (await ask('steering.getSpace', { space })).look?.state === 'shown')
    expect((await ask('steering.getSpace', { space })).look).toMatchObject({ extra: 2, missing: 0, differing: 0 })
    const { differences } = await ask('steering.listDifferences', { space, look })
    expect(differences.map(({ did }: { did: string }) => did)).toEqual(strangers.map(({ did }) => did).sort())
    expect(listed()).toHaveLength(6)
    await call('steering.apply', { space, look })
    await lists(bob, carol, dora)
  })

  it('end there when they end here', async () => {
    await call('space.delete', { space })
    await eventually('it is gone', async () => !pds.spaces.has(space))
  })
})
