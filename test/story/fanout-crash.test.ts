/**
 * A process that is ended with SIGKILL while it tells those who asked of what is written, again and again. The next one goes on where that
 * one stood: in the end everybody has heard of the newest revision of every repo, and nobody was ever told of less than there was.
 *
 * The process is ended `REEVE_TEST_KILLS` times, six times when that isn't set. On PostgreSQL alone: what is written comes from here,
 * beside the process.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect, it } from 'vitest'
import { verifyChains } from '../../src/audit/verify.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { tidOf } from '../../src/platform/tid.ts'
import { createOnServer, hasPostgres } from '../kit/databases.ts'
import { addRegistration, noteWrite } from '../kit/lanes.ts'
import { callAs, makeSomebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { reevePlace, startReeve } from '../kit/reeve-process.ts'
import { freshDid } from '../kit/roll.ts'
import { type Syncer, startSyncer, type Told } from '../kit/syncer.ts'
import { historyOf } from '../kit/told-history.ts'
import { eventually } from '../kit/waiting.ts'

const KILLS = Number(process.env['REEVE_TEST_KILLS'] ?? 6)
const SPACES = 12
const REPOS = 5
const PAUSE_MS = 15

/** A receiver, and what of all that it was told it took. */
interface Receiver {
  readonly syncer: Syncer
  readonly taken: () => readonly Told[]
}

/** `fails`: which part of the calls it doesn't take, to be tried again. */
async function startReceiver({ fails, takesMs }: { fails: number; takesMs: number }): Promise<Receiver> {
  const syncer = await startSyncer()
  const failed = new Set<Told>()
  syncer.misbehave((outgoing, told) => {
    const isFailing = Math.random() < fails
    if (isFailing) failed.add(told)
    setTimeout(() => outgoing.writeHead(isFailing ? 503 : 200).end(), takesMs)
  })
  return { syncer, taken: () => syncer.told.filter((told) => !failed.has(told)) }
}

const longEnough = { timeout: 480_000 + KILLS * 60_000 }

it.runIf(hasPostgres)(`writes are told of across ${KILLS} ends by SIGKILL`, longEnough, async () => {
  const plc = await startPlcServer()
  const alice = await makeSomebody(plc.url)
  const dataDir = await mkdtemp(join(tmpdir(), 'reeve-fanout-'))
  const onServer = await createOnServer()
  const place = await reevePlace({ plcUrl: plc.url, dataDir, databaseUrl: onServer.url.reveal() })
  let reeve = await startReeve(place)
  const { url, drop } = onServer
  const database = await openDatabase({ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock })
  const { db } = database
  const receivers = await Promise.all([
    startReceiver({ fails: 0, takesMs: 0 }),
    startReceiver({ fails: 0, takesMs: 40 }),
    startReceiver({ fails: 0.1, takesMs: 5 }),
    startReceiver({ fails: 0, takesMs: 5 }),
  ])
  const at = () => ({ db, nowMs: systemClock.nowMs() })
  const call = async (method: string, input: object) => {
    const { status, body } = await callAs(alice, { ...reeve, nowSec: systemClock.nowSec() }, method, input)
    if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(body)}`)
    return body
  }
  let isWriting = true
  try {
    const custody = { $type: 'community.reeve.community.mint#custodial' }
    const { did: community } = await call('community.reeve.community.mint', { name: 'Gardeners', custody })
    const spaces: string[] = []
    for (let count = 0; count < SPACES; count++) {
      const input = { community, spaceType: 'com.atmoboards.forum', skey: `forum-${count}` }
      spaces.push((await call('community.reeve.space.create', input)).uri)
    }
    for (const space of spaces) {
      for (const { syncer } of receivers) {
        await addRegistration(at(), { space, syncer, sponsors: [{ did: alice.did }], isProved: true })
      }
    }
    const repos = Array.from({ length: REPOS }, freshDid)
    let writes = 0
    const writing = (async () => {
      while (isWriting) {
        const any = (list: readonly string[]): string => list[Math.floor(Math.random() * list.length)] ?? ''
        await noteWrite(at(), any(spaces), any(repos))
        writes += 1
        await sleep(PAUSE_MS)
      }
    })()

    const heard = () => receivers.reduce((sum, { syncer }) => sum + syncer.told.length, 0)
    for (let kill = 0; kill < KILLS; kill++) {
      const before = heard()
      await eventually('it tells again', async () => heard() > before + 20, 60_000)
      await sleep(Math.random() * 400)
      await reeve.kill()
      reeve = await startReeve(place)
    }
    isWriting = false
    await writing
    expect(writes).toBeGreaterThan(KILLS)
    await eventually(
      'everybody is told of everything',
      async () => {
        const { rows } = await sql<{ behind: number; lanes: number }>`select count(*)::int as lanes,
            count(*) filter (where delivered_rev < last_rev)::int as behind
          from registration join writer_set using (space)`.execute(db)
        return rows[0]?.behind === 0 && rows[0].lanes > 0
      },
      240_000,
    )

    const { rows: written } = await sql<{ space: string; repo: string; repo_rev: string; space_rev: number }>`select
      space, repo, repo_rev, space_rev from writer`.execute(db)
    for (const { taken } of receivers) {
      const told = taken()
      for (const [space, rows] of Map.groupBy(written, (row) => row.space)) {
        const { newest, gaps, falls } = historyOf(told, space)
        const known = Object.fromEntries(rows.map((row) => [row.repo, [row.repo_rev, tidOf(row.space_rev)]]))
        expect(Object.fromEntries([...newest].map(([repo, one]) => [repo, [one.repoRev, one.spaceRev]]))).toEqual(known)
        expect({ gaps, falls }).toEqual({ gaps: 0, falls: 0 })
      }
    }
    const { rows: lanes } = await sql<{ lanes: number; gaps: number }>`select count(*)::int as lanes,
      sum(gaps)::int as gaps from registration`.execute(db)
    expect(lanes).toEqual([{ lanes: SPACES * receivers.length, gaps: 0 }])
    await eventually('it ends when asked', async () => (await reeve.stop()) === 0)
    for await (const { fault } of verifyChains(db)) expect(fault).toBeNull()
  } finally {
    isWriting = false
    await reeve.kill()
    await Promise.all(receivers.map(({ syncer }) => syncer.close()))
    await database.close()
    await drop()
    await plc.close()
    await rm(dataDir, { recursive: true, force: true })
  }
})

it.runIf(hasPostgres)('10,000 that wait when the process is killed are told by the next one', longEnough, async () => {
  const plc = await startPlcServer()
  const alice = await makeSomebody(plc.url)
  const dataDir = await mkdtemp(join(tmpdir(), 'reeve-fanout-'))
  const onServer = await createOnServer()
  const place = await reevePlace({ plcUrl: plc.url, dataDir, databaseUrl: onServer.url.reveal() })
  let reeve = await startReeve(place)
  const { url, drop } = onServer
  const database = await openDatabase({ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock })
  const { db } = database
  const syncers = await Promise.all(Array.from({ length: 20 }, () => startSyncer()))
  const repos = Array.from({ length: 500 }, freshDid)
  const call = async (method: string, input: object) => {
    const { status, body } = await callAs(alice, { ...reeve, nowSec: systemClock.nowSec() }, method, input)
    if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(body)}`)
    return body
  }
  const heard = () => syncers.reduce((sum, { told }) => sum + told.length, 0)
  try {
    const custody = { $type: 'community.reeve.community.mint#custodial' }
    const { did: community } = await call('community.reeve.community.mint', { name: 'Gardeners', custody })
    const { uri: space } = await call('community.reeve.space.create', { community, spaceType: 'com.atmoboards.forum' })
    const at = { db, nowMs: systemClock.nowMs() }
    for (const syncer of syncers) {
      await addRegistration(at, { space, syncer, sponsors: [{ did: alice.did }], isProved: true, after: 0 })
    }
    for (const repo of repos) await noteWrite(at, space, repo)
    await eventually('it tells', async () => heard() > 1_000, 180_000)
    await reeve.kill()
    const before = heard()
    expect(before).toBeLessThan(syncers.length * repos.length)
    reeve = await startReeve(place)
    await eventually(
      'everybody is told of everything',
      async () => syncers.every(({ told }) => historyOf(told, space).newest.size === repos.length),
      300_000,
    )
    for (const { told } of syncers) expect(historyOf(told, space)).toMatchObject({ gaps: 0, falls: 0 })
    const { repoRev } = await noteWrite({ db, nowMs: systemClock.nowMs() }, space, repos[0] ?? '')
    await eventually('and of what comes after', async () =>
      syncers.every(({ told }) => historyOf(told, space).newest.get(repos[0] ?? '')?.repoRev === repoRev),
    )
  } finally {
    await reeve.kill()
    await Promise.all(syncers.map((syncer) => syncer.close()))
    await database.close()
    await drop()
    await plc.close()
    await rm(dataDir, { recursive: true, force: true })
  }
})
