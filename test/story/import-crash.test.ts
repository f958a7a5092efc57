/**
 * An import whose process is ended with SIGKILL in its middle, again and again. The next process goes on by itself, and in the end
 * each row was put exactly once, with one entry about each person in a chain that holds.
 *
 * The process is ended `REEVE_TEST_KILLS` times, two when that isn't set, among `REEVE_TEST_IMPORT_ROWS` rows (20,000; 6,000 on
 * the embedded engine).
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyChains } from '../../src/audit/verify.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Secret } from '../../src/platform/secret.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { type FakePlc, startFakePlc } from '../kit/fake-plc.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { freshDid } from '../kit/roll.ts'
import { eventually } from '../kit/waiting.ts'

const KILLS = Number(process.env['REEVE_TEST_KILLS'] ?? 2)
const rowsOn = (engine: string): number =>
  Number(process.env['REEVE_TEST_IMPORT_ROWS'] ?? (engine === 'embedded' ? 6_000 : 20_000))
const CHUNK = 10_000
const MEMBER = 'community.reeve.member'

describe.each(engines())('an import across SIGKILL (%s)', (engine) => {
  const count = rowsOn(engine)
  const timeout = 240_000 + KILLS * 60_000 + count * 20
  let plc: FakePlc
  let alice: Somebody
  let dataDir: string
  let onServer: Awaited<ReturnType<typeof createOnServer>> | null = null
  let place: ReevePlace
  let reeve: ReeveProcess

  beforeAll(async () => {
    plc = await startFakePlc()
    alice = await makeSomebody(plc.honestUrl)
    dataDir = await mkdtemp(join(tmpdir(), 'reeve-import-'))
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
  const call = async (method: string, input: object, type: 'procedure' | 'query' = 'procedure') => {
    const at = () => ({ ...reeve, nowSec: systemClock.nowSec() })
    let answer = await callAs(alice, at(), method, input, type)
    while (answer.status === 429) {
      await new Promise((resolve) => setTimeout(resolve, 200))
      answer = await callAs(alice, at(), method, input, type)
    }
    const { status, body } = answer
    if (status !== 200) throw new Error(`${method}: ${status} ${JSON.stringify(body)}`)
    return body
  }
  /** The counts of an import, each line in one of them. */
  const progress = async (id: string) => {
    const seen = await call(`${MEMBER}.getImport`, { import: id, limit: '100' }, 'query')
    expect(seen.put + seen.same + seen.refused + seen.left).toBe(seen.given)
    return seen
  }
  const open = () => {
    const url = onServer ? new Secret(onServer.url.reveal()) : null
    return openDatabase({ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock })
  }

  it(`of ${count} rows ends whole`, { timeout }, async () => {
    const custody = { $type: 'community.reeve.community.mint#custodial' }
    const { did: community } = await call('community.reeve.community.mint', { name: 'Gardeners', custody })
    const { uri: forum } = await call('community.reeve.space.create', { community, spaceType: 'com.atmoboards.forum' })
    const dids = Array.from({ length: count }, freshDid)
    let id: string | undefined
    for (let at = 0; at < count; at += CHUNK) {
      const lines = dids.slice(at, at + CHUNK).map((did) => JSON.stringify({ did, role: 'member' }))
      const more = id === undefined ? {} : { import: id }
      const input = { space: forum, lines: lines.join('\n'), firstLine: at + 1, idempotencyKey: `chunk ${at}`, ...more }
      id = (await call(`${MEMBER}.import`, input)).import as string
    }
    const one = id ?? ''
    await call(`${MEMBER}.applyImport`, { import: one })

    let before = 0
    for (let kill = 0; kill < KILLS; kill++) {
      // Early enough that there is much left to do, also when it is seen seconds later.
      const goal = Math.max(before, Math.floor((count * (kill + 1)) / (KILLS * 3)))
      await eventually('it is in its middle', async () => (await progress(one)).put > goal, timeout)
      await reeve.kill()
      reeve = await startReeve(place)
      const { put, state } = await progress(one)
      expect(put).toBeGreaterThan(before)
      expect([state, put < count]).toEqual(['running', true])
      before = put
    }
    await eventually('it is done', async () => (await progress(one)).state === 'done', timeout)
    expect(await progress(one)).toMatchObject({ given: count, put: count, same: 0, refused: 0, left: 0, faults: [] })
    expect(await reeve.stop()).toBe(0)

    const opened = await open()
    try {
      const roster = await opened.db.selectFrom('person_edge').select('did').where('into_space', '=', forum).execute()
      expect(roster.map(({ did }) => did).sort()).toEqual(dids.toSorted())
      const log = opened.db.selectFrom('audit_entry').where('community', '=', community)
      const puts = await log.select('subject').where('action', '=', 'member.put').execute()
      expect(puts.map(({ subject }) => subject).sort()).toEqual(dids.toSorted())
      for await (const { fault } of verifyChains(opened.db)) expect(fault).toBeNull()
    } finally {
      await opened.close()
    }
    reeve = await startReeve(place)
  })
})
