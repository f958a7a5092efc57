/** The tokens of a grant are renewed once, by whoever comes first; a grant that is no more is told, and trouble in between is not taken for its end. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openKek } from '../../src/keys/kek.ts'
import { openVault } from '../../src/keys/vault.ts'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase as openDatabaseAt } from '../../src/platform/database.ts'
import { loadInstanceId } from '../../src/platform/instance.ts'
import { openLog, silentLog } from '../../src/platform/log.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { openReeve } from '../../src/reeve.ts'
import { Unavailable } from '../../src/refusals.ts'
import { openPdsSessions, type PdsSessions } from '../../src/steering/connection.ts'
import type { Grants } from '../../src/steering/grants.ts'
import { takeTurn } from '../../src/steering/turn-store.ts'
import {
  auditOf,
  type ConnectScene,
  connectAccount,
  openConnectScene,
  SPACE_SCOPE,
  sessionOf,
  steeringOf,
} from '../kit/connecting.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase } from '../kit/databases.ts'
import { startPlcServer } from '../kit/plc.ts'
import { freePort } from '../kit/ports.ts'
import { type SpacesPds, startSpacesPds } from '../kit/spaces-pds.ts'
import { UNLIMITED } from '../kit/world.ts'

let plc: Awaited<ReturnType<typeof startPlcServer>>
let pds: SpacesPds
beforeAll(async () => {
  plc = await startPlcServer()
  pds = await startSpacesPds(plc.url, { generation: 'october' })
})
afterAll(async () => {
  await pds.close()
  await plc.close()
})

let named = 0
async function open(database: Parameters<typeof openConnectScene>[0], more: object = {}) {
  named += 1
  const account = await pds.createAccount(`plot${named}`)
  const scene = await openConnectScene(database, { plcUrl: plc.url, pds, account, ...more })
  await connectAccount(scene)
  return scene
}

const SESSION = { nsid: 'com.atproto.server.getSession' }
const sessionsOf = (scene: ConnectScene): PdsSessions => scene.world.reeve.house.sessions
const callOf = (scene: ConnectScene, by = sessionsOf(scene)) => by.call(scene.account.did as Did, SESSION)
const actionsOf = async (scene: ConnectScene) => (await auditOf(scene)).map(({ action }) => action)

describeOnEachEngine('tokens', (openDatabase) => {
  let scene: ConnectScene
  beforeAll(async () => {
    scene = await open(await openDatabase())
  })
  afterAll(() => scene.close())

  it('that end soon are renewed before a call, and other ones kept', async () => {
    const before = await sessionOf(scene)
    const count = pds.oauth.count('refresh_token')
    scene.world.clock.moveSec(3600)
    expect(await callOf(scene)).toMatchObject({ is: 'answered' })
    expect(pds.oauth.count('refresh_token')).toBe(count + 1)
    expect((await sessionOf(scene)).tokenSet.refresh_token).not.toBe(before.tokenSet.refresh_token)
    scene.world.clock.moveSec(-3600)
  })

  it('that end soon are good until then, when there are no others yet', async () => {
    const { tokenSet } = await sessionOf(scene)
    const { clock } = scene.world.reeve.house
    const leftSec = Math.floor((Date.parse(tokenSet.expires_at ?? '') - clock.nowMs()) / 1000)
    scene.world.clock.moveSec(leftSec - 30)
    pds.troubled({ path: '/oauth/token', how: 503 })
    expect(await callOf(scene)).toMatchObject({ is: 'answered' })
    scene.world.clock.moveSec(30 - leftSec)
  })

  it('that are refused are renewed, and the call is made again', async () => {
    const count = pds.oauth.count('refresh_token')
    pds.oauth.expireAccessTokens()
    expect(await callOf(scene)).toMatchObject({ is: 'answered', body: { did: scene.account.did } })
    expect(pds.oauth.count('refresh_token')).toBe(count + 1)
  })

  it('are renewed once for several processes that want them at once', async () => {
    const { house } = scene.world.reeve
    const processes = [sessionsOf(scene), openPdsSessions(house), openPdsSessions(house)]
    const count = pds.oauth.count('refresh_token')
    pds.oauth.expireAccessTokens()
    const held = pds.hold('/oauth/token')
    const calls = processes.flatMap((by) => [callOf(scene, by), callOf(scene, by)])
    await held.arrived
    held.release()
    for (const answer of await Promise.all(calls)) expect(answer).toMatchObject({ is: 'answered' })
    expect(pds.oauth.count('refresh_token')).toBe(count + 1)
    expect((await steeringOf(scene)).connection.state).toBe('connected')
  })

  it('wait for a process that renews, and for one that died no longer than its turn lasts', async () => {
    const { db, clock } = scene.world.reeve.house
    const nowMs = clock.nowMs()
    const turn = { name: `grant ${scene.account.did}`, holder: 'died', nowMs, untilMs: nowMs + 700 }
    expect(await takeTurn(db, turn)).toBe(true)
    expect(await takeTurn(db, { ...turn, holder: 'other' })).toBe(false)
    pds.oauth.expireAccessTokens()
    expect(await callOf(scene)).toMatchObject({ is: 'answered' })
    expect(clock.nowMs() - nowMs).toBeGreaterThanOrEqual(700)
  })

  it('are not lost when the PDS can not be asked for others', async () => {
    for (const how of [503, 'cut'] as const) {
      pds.oauth.expireAccessTokens()
      pds.troubled({ path: '/oauth/token', how, times: 2 })
      expect(await callOf(scene)).toMatchObject({ is: 'failed' })
      expect(await callOf(scene)).toMatchObject({ is: 'failed' })
      expect(await callOf(scene)).toMatchObject({ is: 'answered' })
    }
    expect(await actionsOf(scene)).not.toContain('steering.lost')
  })

  it('are not lost when they can not be opened or sealed', async () => {
    const { house } = scene.world.reeve
    const kek = openKek('env:K', { readEnv: () => 'ab'.repeat(32), envIsPermitted: true, random: systemRandom })
    const instanceId = await loadInstanceId(house.db, systemRandom, house.clock)
    const vault = openVault({ ...house, kek, instanceId, log: silentLog })
    const without = openPdsSessions({ ...house, vault })
    const outcome = await callOf(scene, without).catch((error: unknown) => error)
    expect(outcome).toBeInstanceOf(Unavailable)
    expect(outcome).toMatchObject({ code: 'KekUnavailable' })
    expect(await callOf(scene)).toMatchObject({ is: 'answered' })

    // Sealing fails once the PDS has answered: tried again, since nothing else holds the new tokens.
    let failures = 2
    const failing = {
      openBlob: house.vault.openBlob.bind(house.vault),
      sealBlob: (...given: Parameters<typeof house.vault.sealBlob>) => {
        failures -= 1
        if (failures >= 0) throw new Unavailable('KekUnavailable', 'vault')
        return house.vault.sealBlob(...given)
      },
    }
    pds.oauth.expireAccessTokens()
    expect(await callOf(scene, openPdsSessions({ ...house, vault: failing, log: silentLog }))).toMatchObject({
      is: 'answered',
    })
    expect(await callOf(scene)).toMatchObject({ is: 'answered' })
    expect((await steeringOf(scene)).connection.state).toBe('connected')
  })

  it('of less than before are an alarm, once, until they are of all again', async () => {
    const { house } = scene.world.reeve
    const narrowing = (scope: string): PdsSessions => {
      const grants = async () => {
        const real = await house.grants()
        return {
          faultOf: real.faultOf.bind(real),
          send: real.send.bind(real),
          refresh: async (...given: Parameters<typeof real.refresh>) => {
            const session = await real.refresh(...given)
            return { ...session, tokenSet: { ...session.tokenSet, scope } }
          },
        }
      }
      return openPdsSessions({ ...house, grants: grants as unknown as Grants, log: silentLog })
    }
    for (let at = 0; at < 2; at += 1) {
      pds.oauth.expireAccessTokens()
      expect(
        await callOf(scene, narrowing('atproto rpc:com.atproto.space.notifyCredentialRevoked?aud=*')),
      ).toMatchObject({ is: 'answered' })
    }
    const { connection, alarms } = await steeringOf(scene)
    expect(connection).toMatchObject({ state: 'narrowed', missing: [SPACE_SCOPE] })
    expect(alarms).toMatchObject([{ name: 'GrantNarrowed' }])
    expect((await actionsOf(scene)).filter((action) => action === 'steering.narrowed')).toHaveLength(1)
    pds.oauth.expireAccessTokens()
    await callOf(scene)
    expect(await steeringOf(scene)).toMatchObject({ connection: { state: 'connected' }, alarms: [] })
  })
})

describe('a grant', () => {
  let scene: ConnectScene
  const lines: string[] = []
  beforeEach(async () => {
    lines.length = 0
    const log = openLog('info', { write: (line) => void lines.push(line) })
    scene = await open(await openTestDatabase('embedded'), { log })
    return () => scene.close()
  })

  async function expectLost(because: string) {
    const { connection, alarms } = await steeringOf(scene)
    expect(connection).toMatchObject({ state: 'lost', because })
    expect(alarms).toMatchObject([{ name: 'GrantLost' }])
    const [last] = (await auditOf(scene)).slice(-1)
    expect(last).toMatchObject({ action: 'steering.lost', actor: scene.world.config.serviceDid, because: { because } })
    expect(lines.filter((line) => line.includes('steering.lost'))).toHaveLength(1)
    await expect(sessionOf(scene)).rejects.toThrow('no grant')
    expect(await callOf(scene)).toEqual({ is: 'unconnected' })
  }

  it('that the holder ended at their PDS is lost by the next call', async () => {
    await scene.account.browser().endGrants()
    expect(await callOf(scene)).toEqual({ is: 'unconnected' })
    await expectLost('TokenRefused')
    expect((await connectAccount(scene)).status).toBe(200)
    expect(await steeringOf(scene)).toMatchObject({ connection: { state: 'connected' }, alarms: [] })
    expect(await callOf(scene)).toMatchObject({ is: 'answered' })
  })

  it('that nobody uses is found lost within a day', async () => {
    await scene.account.browser().endGrants()
    const { signal } = new AbortController()
    await sessionsOf(scene).watch(signal)
    expect((await steeringOf(scene)).connection.state).toBe('connected')
    scene.world.clock.moveSec(24 * 60 * 60)
    await sessionsOf(scene).watch(signal)
    await expectLost('TokenRefused')
  })

  it('that works is looked after once a day, by one process, and sooner again when nobody could say', async () => {
    const { signal } = new AbortController()
    const { house } = scene.world.reeve
    const count = () => pds.oauth.count('refresh_token')
    const before = count()
    scene.world.clock.moveSec(24 * 60 * 60)
    await Promise.all([sessionsOf(scene).watch(signal), openPdsSessions(house).watch(signal)])
    expect(count()).toBe(before + 1)
    scene.world.clock.moveSec(21 * 60 * 60)
    await sessionsOf(scene).watch(signal)
    expect(count()).toBe(before + 1)
    scene.world.clock.moveSec(3 * 60 * 60)
    pds.troubled({ path: '/oauth/token', how: 503, times: 1 })
    await sessionsOf(scene).watch(signal)
    expect(count()).toBe(before + 1)
    scene.world.clock.moveSec(15 * 60)
    await sessionsOf(scene).watch(signal)
    expect(count()).toBe(before + 2)
    expect((await steeringOf(scene)).connection.state).toBe('connected')
  })

  it('whose new tokens never reached us is lost by the next renewal, and told', async () => {
    pds.oauth.expireAccessTokens()
    pds.troubled({ path: '/oauth/token', how: 'cut', isDone: true })
    expect(await callOf(scene)).toMatchObject({ is: 'failed' })
    expect((await steeringOf(scene)).connection.state).toBe('connected')
    expect(await callOf(scene)).toEqual({ is: 'unconnected' })
    await expectLost('TokenRefused')
  })

  it('is of no use while the account does not consent', async () => {
    const token = await scene.account.serviceAuth(
      `${scene.world.config.serviceDid}#reeve`,
      'community.reeve.community.release',
    )
    await scene.world.send({
      ...{ method: 'POST', path: '/xrpc/community.reeve.community.release', body: '{}' },
      headers: [
        ['authorization', `Bearer ${token}`],
        ['content-type', 'application/json'],
      ],
    })
    expect(await callOf(scene)).toEqual({ is: 'unconnected' })
    expect((await steeringOf(scene)).connection.state).toBe('connected')
  })

  it('that nobody could renew for two days is an alarm, and is not lost', async () => {
    const days = async (count: number) => {
      scene.world.clock.moveSec(count * 24 * 60 * 60)
      pds.troubled({ path: '/oauth/token', how: 503 })
      await sessionsOf(scene).watch(new AbortController().signal)
    }
    await days(1)
    expect((await steeringOf(scene)).alarms).toEqual([])
    await days(1.1)
    expect(await steeringOf(scene)).toMatchObject({
      connection: { state: 'connected' },
      alarms: [{ name: 'GrantUnseen' }],
    })
    expect(await callOf(scene)).toMatchObject({ is: 'answered' })
    expect((await steeringOf(scene)).alarms).toEqual([])
  })

  it('nears its end after two years, which is an alarm before', async () => {
    scene.world.clock.moveSec(701 * 24 * 60 * 60)
    expect(await callOf(scene)).toMatchObject({ is: 'answered' })
    expect((await steeringOf(scene)).alarms).toMatchObject([{ name: 'GrantAges' }])
  })

  it('of an account whose PDS is away fails, with nothing changed', async () => {
    const path = '/xrpc/com.atproto.server.getSession'
    pds.troubled({ path, how: 503 })
    expect(await callOf(scene)).toMatchObject({ is: 'failed', because: 'status 503' })
    pds.troubled({ path, how: 'cut' })
    expect(await callOf(scene)).toMatchObject({ is: 'failed', because: 'failed' })
    expect(await callOf(scene)).toMatchObject({ is: 'answered' })
  })
})

describe.runIf(hasPostgres)('two Reeves on one database', () => {
  it('renew the tokens of one grant once', async () => {
    const database = await openTestDatabase('postgres')
    const scene = await open(database)
    const url = database.url
    if (!url) throw new Error('no second time')
    const second = await openDatabaseAt({ url, dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock })
    const other = await openReeve(
      { ...scene.world.config, port: await freePort() },
      { clock: scene.world.clock, log: silentLog, database: second, rates: UNLIMITED },
    )
    const did = scene.account.did as Did
    expect(await other.house.sessions.call(did, SESSION)).toMatchObject({ is: 'answered' })
    for (let round = 0; round < 3; round += 1) {
      const count = pds.oauth.count('refresh_token')
      pds.oauth.expireAccessTokens()
      const calls = Array.from({ length: 8 }, (_, at) =>
        (at % 2 === 0 ? sessionsOf(scene) : other.house.sessions).call(did, SESSION),
      )
      for (const answer of await Promise.all(calls)) expect(answer).toMatchObject({ is: 'answered' })
      expect(pds.oauth.count('refresh_token')).toBe(count + 1)
    }
    await other.close()
    await scene.close()
  })
})
