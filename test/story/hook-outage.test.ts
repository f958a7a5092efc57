/**
 * Reeve is away while people write in a space that it decides about: their PDSes are told no, and nobody tries again. When it is back, those
 * writers are found as `docs/deciding-for-a-pds.md` says it, and nobody else.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { GENERATIONS, openAskingHost } from '../kit/asking-host.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { type PlayedWriterSet, playWriterSet } from '../kit/played-writer-set.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'

const R = 'community.reeve'
const FORUM = 'com.atmoboards.forum'
const timeout = 480_000

describe.each(engines())('an outage while people write (%s)', (engine) => {
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let place: ReevePlace
  let reeve: ReeveProcess
  let dataDir: string
  let dropDatabase: (() => Promise<void>) | null = null
  let account: Somebody
  let alice: Somebody

  beforeAll(async () => {
    plc = await startPlcServer()
    dataDir = await mkdtemp(join(tmpdir(), 'reeve-outage-'))
    const onServer = engine === 'postgres' ? await createOnServer() : null
    dropDatabase = onServer && (() => onServer.drop())
    const databaseUrl = onServer ? { databaseUrl: onServer.url.reveal() } : {}
    place = await reevePlace({ plcUrl: plc.url, dataDir, ...databaseUrl })
    reeve = await startReeve(place)
    account = await makeSomebody(plc.url)
    alice = await makeSomebody(plc.url)
    await call(account, 'community.adopt', { name: 'Allotments', owner: alice.did })
  }, timeout)
  afterAll(async () => {
    await reeve.kill()
    await dropDatabase?.()
    await plc.close()
    await rm(dataDir, { recursive: true, force: true })
  })

  async function call(by: Somebody, method: string, input: object, type: 'procedure' | 'query' = 'procedure') {
    const at = { url: reeve.url, serviceDid: reeve.serviceDid, nowSec: systemClock.nowSec() }
    const answer = await callAs(by, at, `${R}.${method}`, input, type)
    if (answer.status !== 200) throw new Error(`${method}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  /** As the page says: who may write, and is not on the list at the PDS with what their own PDS has of them there. */
  async function whoIsMissing(space: string, pds: PlayedWriterSet): Promise<readonly Did[]> {
    const mayWrite: Did[] = []
    let cursor: string | undefined
    do {
      const params = { space, action: 'write', limit: '2', ...(cursor === undefined ? {} : { cursor }) }
      const page = await call(alice, 'member.resolve', params, 'query')
      for (const { did } of page.members) mayWrite.push(did)
      cursor = page.cursor
    } while (cursor !== undefined)
    const listed = new Map(pds.listRepos().map(({ did, rev }) => [did, rev]))
    return mayWrite.filter((did) => {
      const rev = pds.getLatestCommit(did)
      return rev !== null && (listed.get(did) ?? '') < rev
    })
  }

  it.each(GENERATIONS)(
    'leaves out those who wrote meanwhile, who are found again (%s)',
    { timeout },
    async (generation) => {
      const { uri: space } = await call(alice, 'space.create', {
        ...{ community: account.did, spaceType: FORUM, skey: generation, host: 'pds' },
      })
      const names = ['late', 'early', 'both', 'silent', 'reader', 'stranger', 'removed'] as const
      const dids = await Promise.all(names.map(async () => (await makeSomebody(plc.url)).did))
      const who = Object.fromEntries(names.map((name, at) => [name, dids[at]])) as Record<(typeof names)[number], Did>
      for (const name of ['late', 'early', 'both', 'silent', 'removed'] as const) {
        await call(alice, 'member.put', { space, did: who[name], role: 'member' })
      }
      await call(alice, 'member.put', { space, did: who.reader, role: 'reader' })

      const host = openAskingHost({ managingApp: `${reeve.serviceDid}#reeve`, generation, clock: systemClock })
      const pds = playWriterSet({ host, account, space, clock: systemClock })
      const onList = () => new Set(pds.listRepos().map(({ did }) => did))
      for (const name of ['early', 'both', 'removed'] as const) expect(await pds.write(who[name]), name).toBe(200)
      expect(await pds.write(who.stranger), 'nobody let them in').toBe(403)
      await call(alice, 'member.remove', { space, did: who.removed })
      expect(await whoIsMissing(space, pds)).toEqual([])

      await reeve.kill()
      for (const name of ['late', 'both', 'removed', 'stranger'] as const) {
        expect(await pds.write(who[name]), `${name}, while nobody could be asked`).toBe(403)
      }
      expect(await pds.write(account.did), 'the account itself is never asked about').toBe(200)
      reeve = await startReeve(place)
      expect(onList().has(who.late), 'nobody tries again').toBe(false)

      expect(new Set(await whoIsMissing(space, pds))).toEqual(new Set([who.late, who.both]))
      // They save something once more, and that is all.
      for (const did of await whoIsMissing(space, pds)) expect(await pds.write(did)).toBe(200)
      expect(await whoIsMissing(space, pds)).toEqual([])
      expect(onList()).toEqual(new Set([who.early, who.both, who.removed, who.late, account.did]))
      expect(await pds.write(who.stranger)).toBe(403)
    },
  )
})
