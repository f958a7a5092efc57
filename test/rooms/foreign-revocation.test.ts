/** A credential that the PDS of an account issued is taken back by its name: the account's own PDS signs, and the hosts of writers hear. */
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { sleep } from '../../src/platform/clock.ts'
import { FORUM_TYPE, putIn, R, takeOut } from '../kit/adopted.ts'
import { type ConnectScene, connectAccount, openConnectScene } from '../kit/connecting.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type RepoHost, startRepoHost } from '../kit/repo-host.ts'
import { freshDid } from '../kit/roll.ts'
import { type SpacesPds, startSpacesPds } from '../kit/spaces-pds.ts'
import { base64Url, freshJti } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import type { Person } from '../kit/world.ts'

const REVOKE = `${R}.credential.revoke`

describeOnEachEngine('a credential that a PDS issued', (open) => {
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let pds: SpacesPds
  let scene: ConnectScene
  let host: RepoHost
  let bob: Person
  let rita: Person
  let space: string

  beforeAll(async () => {
    plc = await startPlcServer()
    // One for each: it remembers the keys of apps for minutes, and each Reeve has its own under the same name.
    pds = await startSpacesPds(plc.url, { generation: 'october' })
    const account = await pds.createAccount('orchard')
    scene = await openConnectScene(await open(), { plcUrl: plc.url, pds, account })
    host = await startRepoHost({ plcUrl: plc.url, clock: scene.world.clock })
    bob = await scene.world.person({ pds: host.url })
    rita = await scene.world.person({ pds: host.url })
    host.accounts.add(bob.did)
    space = `at://${account.did}/space/${FORUM_TYPE}/main`
    await putIn(scene.alice, space, bob.did, 'writer')
    await putIn(scene.alice, space, rita.did, 'reader')
  })
  afterAll(async () => {
    await scene.close()
    await host.close()
    await pds.close()
    await plc.close()
  })

  const revoke = (by: Person, input: object) => by.call(REVOKE, input)

  it('isn’t taken back while the account lends no signature, nor by whoever may not', async () => {
    const jti = freshJti()
    expect(await revoke(scene.alice, { space, jti })).toMatchObject({ status: 409, body: { error: 'NotConnected' } })
    expect(await revoke(bob, { space, jti })).toMatchObject({ status: 403, body: { error: 'Forbidden' } })
    const stranger = await scene.world.person()
    expect(await revoke(stranger, { space, jti })).toMatchObject({ status: 404, body: { error: 'NotFound' } })
    expect(host.calls).toEqual([])
  })

  it('isn’t taken back by a grant that covers spaces and no notices', async () => {
    pds.grantsOnly((scopes) => scopes.filter((scope) => !scope.startsWith('rpc:')))
    await connectAccount(scene)
    pds.grantsOnly((scopes) => scopes)
    const refused = await revoke(scene.alice, { space, jti: freshJti() })
    expect(refused).toMatchObject({ status: 409, body: { error: 'NotConnected' } })
  })

  it('is said by its name, since no ledger here knows it', async () => {
    await connectAccount(scene)
    const wholes = [{ space }, { community: scene.account.did }, { community: scene.account.did, jti: freshJti() }]
    for (const input of wholes) {
      expect(await revoke(scene.alice, input)).toMatchObject({ status: 400, body: { error: 'InvalidRequest' } })
    }
  })

  it('is refused from then on where writers’ repos are, by the word of the account’s PDS', async () => {
    const jti = freshJti()
    expect(await revoke(scene.alice, { space, jti, dryRun: true })).toMatchObject({ body: { revoked: 1 } })
    expect(host.read(space, jti)).toBe('served')
    const { status, body } = await revoke(scene.alice, { space, jti })
    expect({ status, body }).toMatchObject({ status: 200, body: { revoked: 1, pending: 1 } })
    // The account's own PDS, bob's, and that of alice, who owns it and may write; rita only reads, and nobody's repo there is hers.
    expect(body.plan).toMatchObject({ hosts: 'tell', hostCount: 3, toldCount: 3 })
    await eventually('it is heard', async () => host.read(space, jti) === 'CredentialRevoked')
    expect(host.calls.filter(({ status }) => status === 200)).toEqual([
      { iss: scene.account.did, aud: bob.did, space, credentials: [jti], status: 200 },
    ])
    const again = await revoke(scene.alice, { space, jti })
    expect(again).toMatchObject({ status: 200, body: { revoked: 0 } })
    const { entries } = (await scene.alice.ask(`${R}.audit.list`, { community: scene.account.did })).body
    expect(entries.filter((entry: { because: { jti?: string } }) => entry.because.jti === jti)).toMatchObject([
      { actor: scene.alice.did, action: 'credential.revoke', target: space, because: { revoked: 1, hosts: 3 } },
    ])
  })

  it('shows hosts nothing that isn’t the token that was asked for', async () => {
    const path = '/xrpc/com.atproto.server.getServiceAuth'
    const token = (claims: object) => `${base64Url('{}')}.${base64Url(JSON.stringify(claims))}.${base64Url('signed')}`
    const asked = { iss: scene.account.did, aud: bob.did, lxm: 'com.atproto.space.notifyCredentialRevoked' }
    const ask = () => scene.world.reeve.house.sessions.serviceAuth(asked.iss as Did, asked.aud, asked.lxm)
    const answers = [
      ...['no token', 'two\nlines', token({ ...asked, pad: 'x'.repeat(5_000) })],
      ...[token({ ...asked, aud: rita.did }), token({ ...asked, iss: bob.did }), token({ ...asked, lxm: '*' })],
    ]
    for (const answer of answers) {
      pds.troubled({ path, how: { says: { token: answer } } })
      expect(await ask(), answer.slice(0, 40)).toBeNull()
    }
    pds.troubled({ path, how: { says: { token: token(asked) } } })
    expect(await ask()).toBe(token(asked))
  })

  it('isn’t said to be heard everywhere when a host can’t be told', async () => {
    const jti = freshJti()
    expect(await revoke(scene.alice, { space, jti })).toMatchObject({ body: { pending: 1 } })
    await eventually('it is heard', async () => host.read(space, jti) === 'CredentialRevoked')
    const { db } = scene.world.database
    const settle = (state: string) =>
      sql`update revocation_notice set state = ${state} where space = ${space} and jti = ${jti}`.execute(db)
    for (const [state, pending] of [
      ['cannot', 1],
      ['deaf', 1],
      ['told', 0],
      ['moved', 0],
      ['ended', 0],
    ] as const) {
      await settle(state)
      expect(await revoke(scene.alice, { space, jti }), state).toMatchObject({ body: { revoked: 0, pending } })
    }
  })

  it('has few people looked up at once, however often it is asked for', async () => {
    const { documents } = scene.world.reeve.house
    const slow = new Set<string>()
    for (let count = 0; count < 40; count++) {
      const did = freshDid()
      slow.add(did)
      await putIn(scene.alice, space, did, 'writer')
    }
    const { resolve } = documents
    let [now, most] = [0, 0]
    documents.resolve = async (did, ask) => {
      if (!slow.has(did)) return resolve(did, ask)
      now += 1
      most = Math.max(most, now)
      await sleep(50)
      now -= 1
      return null
    }
    const asked = Array.from({ length: 8 }, () => revoke(scene.alice, { space, jti: freshJti() }))
    const answers = await Promise.all(asked)
    documents.resolve = resolve
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(0)
    expect(most).toBeLessThanOrEqual(16)
    for (const did of slow) await takeOut(scene.alice, space, did)
  })

  it('is one of two hundred in an hour at most', async () => {
    const { db } = scene.world.database
    const nowSec = scene.world.clock.nowSec()
    await sql`insert into revocation_notice (space, jti, host, repo, ends_at_sec, planned_at_ms, look_at_ms, state)
      select ${space}, 'made up ' || nth, 'a.example', ${bob.did}, ${nowSec + 60}::bigint, 0, 0, 'told'
      from generate_series(1, 200) as nth`.execute(db)
    const refused = await revoke(scene.alice, { space, jti: freshJti() })
    expect(refused).toMatchObject({ status: 400, body: { error: 'LimitExceeded' } })
    await sql`delete from revocation_notice where jti like 'made up %'`.execute(db)
  })

  it('waits until its PDS signs again', async () => {
    const jti = freshJti()
    pds.troubled({ path: '/xrpc/com.atproto.server.getServiceAuth', how: 503, times: 1 })
    expect(await revoke(scene.alice, { space, jti })).toMatchObject({ status: 200, body: { pending: 1 } })
    await eventually('it is heard', async () => host.read(space, jti) === 'CredentialRevoked')
  })
})
