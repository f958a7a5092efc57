/**
 * A process that is ended with SIGKILL while it puts thousands of people on the list of a PDS. The next one goes on, with whoever came and went
 * meanwhile, and in the end what the PDS has is what is declared.
 *
 * The process is ended `REEVE_TEST_KILLS` times, once when that isn't set.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once as onceOf } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Did, SpaceUri } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type OpenDatabase, openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { migrate } from '../../src/platform/migrations.ts'
import { Secret } from '../../src/platform/secret.ts'
import { steeringGetSpace } from '../../src/steering/steeringGetSpace.ts'
import { steeringLook } from '../../src/steering/steeringLook.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { httpPds } from '../kit/http-pds.ts'
import type { Community } from '../kit/roll.ts'
import { type SimplespacePds, startSimplespacePds } from '../kit/simplespace-pds.ts'
import { bindForum, changePast, openAccount, people, type Steered, settle, steer, steeringOn } from '../kit/steered.ts'
import { eventually } from '../kit/waiting.ts'

const KILLS = Number(process.env['REEVE_TEST_KILLS'] ?? 1)
const COUNT = 5_000
const GOING = 500
const COMING = 100
const CHILD = fileURLToPath(new URL('../kit/steering-process.ts', import.meta.url))

describe.each(engines())('a list that is kept across SIGKILL (%s)', (engine) => {
  let pds: SimplespacePds
  let dataDir: string
  let onServer: Awaited<ReturnType<typeof createOnServer>> | null = null
  let child: ChildProcess | null = null

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'reeve-steering-'))
    onServer = engine === 'postgres' ? await createOnServer() : null
  })
  afterAll(async () => {
    child?.kill('SIGKILL')
    await pds.close()
    await onServer?.drop()
    await rm(dataDir, { recursive: true, force: true })
  })

  const databaseUrl = () => onServer?.url.reveal() ?? ''
  const opened = async <T>(work: (ctx: Steered) => Promise<T>): Promise<T> => {
    const url = onServer ? new Secret(databaseUrl()) : null
    const database: OpenDatabase = await openDatabase({
      ...{ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock },
    })
    try {
      await migrate(database.db, systemClock)
      return await work(steeringOn(database.db, pds === undefined ? NOWHERE : httpPds(pds)))
    } finally {
      await database.close()
    }
  }
  const NOWHERE = { call: async () => ({ is: 'unconnected' }) as const }
  const start = async () => {
    const { url, authorization } = pds
    const args = [CHILD, dataDir, databaseUrl(), url, authorization]
    child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    await onceOf(child.stdout as NonNullable<ChildProcess['stdout']>, 'data')
  }
  const end = async (signal: 'SIGKILL' | 'SIGTERM') => {
    const ended = onceOf(child as ChildProcess, 'exit')
    child?.kill(signal)
    await ended
    child = null
  }
  const enter = (ctx: Steered, { did, founder }: Community, space: SpaceUri, some: readonly Did[]) =>
    changePast(ctx, did, async (tx) => {
      for (let at = 0; at < some.length; at += 1_000) {
        const rows = some.slice(at, at + 1_000).map((person) => ({
          ...{ into_space: space, did: person, community: did, role: 'member' },
          ...{ since_ms: null, until_ms: null, added_by: founder, added_at_ms: 0 },
        }))
        await tx.insertInto('person_edge').values(rows).execute()
      }
    })

  it(`has ${COUNT} in the end, less who went and with who came`, { timeout: 480_000 + KILLS * 180_000 }, async () => {
    const folk = people(COUNT)
    const { community, space } = await opened(async (ctx) => {
      const community = await openAccount(ctx)
      const space = await bindForum(ctx, community)
      await enter(ctx, community, space, folk)
      await steer(ctx, community.founder, space, 'projection')
      return { community, space }
    })
    pds = await startSimplespacePds({ generation: 'october', account: community.did })
    const declared = new Set<Did>([community.founder, ...folk])
    await start()
    for (let kill = 0; kill < KILLS; kill++) {
      const calls = pds.spaces.count()
      await eventually('the list is being filled', async () => pds.spaces.count() > calls + 1_500, 180_000)
      await end('SIGKILL')
      await opened(async (ctx) => {
        const going = [...declared].filter((did) => pds.spaces.members(space).has(did) && did !== community.founder)
        const gone = going.slice(0, GOING)
        const come = people(COMING)
        await enter(ctx, community, space, come)
        await changePast(ctx, community.did, (tx) =>
          tx.deleteFrom('person_edge').where('into_space', '=', space).where('did', 'in', gone).execute(),
        )
        for (const did of gone) declared.delete(did)
        for (const did of come) declared.add(did)
      })
      await start()
    }
    const isSame = () => {
      const there = pds.spaces.members(space)
      return there.size === declared.size && [...declared].every((did) => there.has(did))
    }
    await eventually('the list is as declared', async () => isSame(), 300_000)
    await end('SIGTERM')

    await opened(async (ctx) => {
      await settle(ctx)
      const { look: name } = await steeringLook(ctx, community.founder, { space })
      await settle(ctx)
      const { look, steered } = await steeringGetSpace(ctx, community.founder, { space })
      const progress = { declared: declared.size, done: declared.size, waiting: 0, held: 0, refused: 0 }
      expect(look).toMatchObject({ name, state: 'shown', read: declared.size, missing: 0, extra: 0, differing: 0 })
      expect(steered).toMatchObject({ progress, alarms: [] })
    })
    // What was under way when it was ended was sent again, and no more than that.
    const calls = pds.spaces.count('putMember') + pds.spaces.count('removeMember')
    expect(calls).toBeLessThanOrEqual(COUNT + 1 + KILLS * (GOING + COMING + 200))
  })
})
