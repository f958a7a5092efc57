/**
 * A process that is ended with SIGKILL while it takes credentials back, again and again. The next one goes on by itself, and in the end
 * each was taken back exactly once, with a chain that holds.
 *
 * The process is ended `REEVE_TEST_KILLS` times, once when that isn't set.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyChains } from '../../src/audit/verify.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Secret } from '../../src/platform/secret.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { freshDid } from '../kit/roll.ts'
import { eventually } from '../kit/waiting.ts'

const KILLS = Number(process.env['REEVE_TEST_KILLS'] ?? 1)
/** So many that a process isn't through with them while somebody else stands still for some seconds. */
const COUNT = 2_000

describe.each(engines())('credentials taken back across SIGKILL (%s)', (engine) => {
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let alice: Somebody
  let dataDir: string
  let onServer: Awaited<ReturnType<typeof createOnServer>> | null = null
  let place: ReevePlace
  let reeve: ReeveProcess

  beforeAll(async () => {
    plc = await startPlcServer()
    alice = await makeSomebody(plc.url)
    dataDir = await mkdtemp(join(tmpdir(), 'reeve-ledger-'))
    onServer = engine === 'postgres' ? await createOnServer() : null
    const more = onServer ? { databaseUrl: onServer.url.reveal() } : {}
    place = await reevePlace({ plcUrl: plc.url, dataDir, ...more })
    reeve = await startReeve(place)
  })
  afterAll(async () => {
    await reeve.kill()
    await onServer?.drop()
    await plc.close()
    await rm(dataDir, { recursive: true, force: true })
  })

  /** One person asks more here than one person may at once, and waits when told to. */
  const call = async (method: string, input: object) => {
    const at = () => ({ ...reeve, nowSec: systemClock.nowSec() })
    let answer = await callAs(alice, at(), method, input)
    while (answer.status === 429) {
      await new Promise((resolve) => setTimeout(resolve, 200))
      answer = await callAs(alice, at(), method, input)
    }
    const { status, body } = answer
    if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(body)}`)
    return body
  }
  const open = () => {
    const url = onServer ? new Secret(onServer.url.reveal()) : null
    return openDatabase({ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock })
  }

  it(`of ${COUNT} ends with all of them, each once`, { timeout: 480_000 + KILLS * 60_000 }, async () => {
    const custody = { $type: 'community.reeve.community.mint#custodial' }
    const { did: community } = await call('community.reeve.community.mint', { name: 'Gardeners', custody })
    const { uri: forum } = await call('community.reeve.space.create', { community, spaceType: 'com.atmoboards.forum' })
    await reeve.stop()
    const before = await open()
    const nowSec = systemClock.nowSec()
    await sql`insert into issuance (jti, space, community, did, client_id, holder, issued_at_sec, expires_at_sec, revision)
      select 'credential ' || at, ${forum}, ${community}, did, null, 'key', ${nowSec}::bigint, ${nowSec + 3600}::bigint, 1
      from unnest(${Array.from({ length: COUNT }, freshDid)}::text[]) with ordinality as one (did, at)`.execute(
      before.db,
    )
    await before.close()
    reeve = await startReeve(place)
    /** How many are still good. */
    const left = async (): Promise<number> =>
      (await call('community.reeve.credential.revoke', { space: forum, dryRun: true })).revoked
    expect(await left()).toBe(COUNT)
    await call('community.reeve.community.freeze', { space: forum, isFrozen: true })

    let least = COUNT
    for (let kill = 0; kill < KILLS; kill++) {
      const goal = Math.floor((COUNT * (KILLS + 1 - kill)) / (KILLS + 2))
      await eventually('it is in its middle', async () => (await left()) < goal, 180_000)
      await reeve.kill()
      reeve = await startReeve(place)
      const now = await left()
      expect(now).toBeLessThan(least)
      expect(now).toBeGreaterThan(0)
      least = now
    }
    await eventually('all are taken back', async () => (await left()) === 0, 300_000)
    await eventually('it is done', async () => (await reeve.stop()) === 0)

    const opened = await open()
    try {
      const { rows } = await sql<{ jtis: number; revoked: number }>`select
        (select count(*)::int from issuance where revoked_because = 'UserNotAuthorized') as jtis,
        (select sum((because->>'revoked')::int)::int from audit_entry where action = 'credential.revoke') as revoked`.execute(
        opened.db,
      )
      expect(rows).toEqual([{ jtis: COUNT, revoked: COUNT }])
      for await (const { fault } of verifyChains(opened.db)) expect(fault).toBeNull()
    } finally {
      await opened.close()
    }
    reeve = await startReeve(place)
  })
})
