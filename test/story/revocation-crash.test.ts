/**
 * A process that is ended with SIGKILL after it planned whom to tell, before anybody heard. The next one tells them, when the time that the
 * first had for it is over.
 *
 * The process is ended `REEVE_TEST_KILLS` times, once when that isn't set.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Secret } from '../../src/platform/secret.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { type RepoHost, startRepoHost } from '../kit/repo-host.ts'
import { addTaken, noticesOf, wroteFrom } from '../kit/taken.ts'
import { eventually } from '../kit/waiting.ts'

const KILLS = Number(process.env['REEVE_TEST_KILLS'] ?? 1)
const COUNT = 150

describe.each(engines())('hosts that are told across SIGKILL (%s)', (engine) => {
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let alice: Somebody
  let host: RepoHost
  let dataDir: string
  let onServer: Awaited<ReturnType<typeof createOnServer>> | null = null
  let place: ReevePlace
  let reeve: ReeveProcess

  beforeAll(async () => {
    plc = await startPlcServer()
    host = await startRepoHost({ plcUrl: plc.url, clock: systemClock })
    alice = await makeSomebody(plc.url, host.url)
    host.accounts.add(alice.did)
    dataDir = await mkdtemp(join(tmpdir(), 'reeve-revocation-'))
    onServer = engine === 'postgres' ? await createOnServer() : null
    const more = onServer ? { databaseUrl: onServer.url.reveal() } : {}
    place = await reevePlace({ plcUrl: plc.url, dataDir, ...more })
    reeve = await startReeve(place)
  })
  afterAll(async () => {
    await reeve.kill()
    await host.close()
    await onServer?.drop()
    await plc.close()
    await rm(dataDir, { recursive: true, force: true })
  })

  const call = async (method: string, input: object) => {
    const { status, body } = await callAs(alice, { ...reeve, nowSec: systemClock.nowSec() }, method, input)
    if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(body)}`)
    return body
  }
  const open = () => {
    const url = onServer ? new Secret(onServer.url.reveal()) : null
    return openDatabase({ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock })
  }

  it(`hear all of ${COUNT}, each kept once`, { timeout: 300_000 + KILLS * 120_000 }, async () => {
    const custody = { $type: 'community.reeve.community.mint#custodial' }
    const { did: community } = await call('community.reeve.community.mint', { name: 'Gardeners', custody })
    const { uri: space } = await call('community.reeve.space.create', { community, spaceType: 'com.atmoboards.forum' })
    await reeve.stop()
    const before = await open()
    await wroteFrom(before, { space, repo: alice.did, host: host.url })
    const jtis = await addTaken(before, { space, count: COUNT, nowSec: systemClock.nowSec() })
    await before.close()
    host.behave('hangs')
    reeve = await startReeve(place)
    for (let kill = 0; kill < KILLS; kill++) {
      const calls = host.calls.length
      await eventually('it is being told', async () => host.calls.length > calls, 60_000)
      await reeve.kill()
      reeve = await startReeve(place)
    }
    expect(host.kept(space)).toBe(0)
    host.behave(null)
    await eventually('all are heard', async () => host.kept(space) === COUNT, 120_000)
    await eventually('it is done', async () => (await reeve.stop()) === 0)

    const opened = await open()
    try {
      const { notices, plans } = await noticesOf(opened, space)
      expect(notices.map(({ jti }) => jti)).toEqual([...jtis].sort())
      expect(new Set(notices.map(({ state }) => state))).toEqual(new Set(['told']))
      expect(new Set(plans.values())).toEqual(new Set(['tell']))
    } finally {
      await opened.close()
    }
    reeve = await startReeve(place)
  })
})
