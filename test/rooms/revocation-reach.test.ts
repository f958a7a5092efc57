/**
 * A hundred hosts, ten of which are dead: what was taken back reaches the ninety, whatever the ten do, and the ten when they are back. How soon
 * is printed; how fast this machine is, is no promise.
 */
import { expect, it } from 'vitest'
import { describeOnEachEngine } from '../kit/databases.ts'
import { letIn, openScene } from '../kit/exchange.ts'
import { jtiOf, obtain } from '../kit/presentation.ts'
import { type RepoHost, startRepoHost } from '../kit/repo-host.ts'
import { wroteFrom } from '../kit/taken.ts'
import { eventually } from '../kit/waiting.ts'

const HOSTS = 100
/** Of a machine that has far too much to do: a hundred hosts are a hundred signatures, documents and calls. */
const PATIENCE_MS = 150_000
/** Ways of being dead. `gone`: nobody listens there any more. */
const DEAD = ['hangs', 'hangs', 'hangs', 'hangs', 'gone', 'gone', 'gone', 'busy', 'busy', 'busy'] as const
const R = 'community.reeve'

describeOnEachEngine('of a hundred hosts', (open) => {
  it('ninety hear of it while ten are dead, and those once they are back', { timeout: 4 * PATIENCE_MS }, async () => {
    const database = await open()
    const scene = await openScene(database)
    const { alice, bob, plc, world } = scene
    const about = { plcUrl: plc.url, clock: world.clock }
    const hosts: RepoHost[] = []
    const listening = new Set<RepoHost>()
    const start = async (port?: number): Promise<RepoHost> => {
      const host = await startRepoHost({ ...about, ...(port === undefined ? {} : { port }) })
      listening.add(host)
      return host
    }
    const end = async (host: RepoHost) => {
      listening.delete(host)
      await host.close()
    }
    try {
      const space = await world.makeSpace(alice, scene.community)
      for (let count = 0; count < HOSTS; count++) {
        const host = await start()
        const { did } = await world.person({ pds: host.url })
        host.accounts.add(did)
        await wroteFrom(database, { space, repo: did, host: host.url })
        hosts.push(host)
      }
      const dead = hosts.slice(0, DEAD.length)
      const alive = hosts.slice(DEAD.length)
      for (const [at, host] of dead.entries()) {
        const how = DEAD[at] ?? 'gone'
        if (how === 'gone') await end(host)
        else host.behave(how === 'busy' ? { answers: 503 } : how)
      }
      await letIn(alice, space, bob.did)
      const jti = jtiOf(await obtain(scene, { binding: 'october', person: bob, space }))
      const refusedBy = (some: readonly RepoHost[]) =>
        some.filter((host) => host.read(space, jti) === 'CredentialRevoked')
      expect(refusedBy(hosts)).toEqual([])

      expect(await alice.call(`${R}.member.remove`, { space, did: bob.did })).toMatchObject({ status: 200 })
      const removedMs = performance.now()
      const heardMs: number[] = []
      await eventually(
        'all that are alive have heard',
        async () => {
          const count = refusedBy(alive).length
          while (heardMs.length < count) heardMs.push(performance.now() - removedMs)
          return count === alive.length
        },
        PATIENCE_MS,
      )
      const afterMs = (share: number) => Math.round(heardMs[Math.ceil(share * alive.length) - 1] ?? 0)
      process.stdout.write(
        `${alive.length} of ${HOSTS} hosts heard: half after ${afterMs(0.5)} ms, 95 % after ${afterMs(0.95)} ms, all after ${afterMs(1)} ms\n`,
      )
      const hostsOf = async () => {
        const { credentials } = (await alice.ask(`${R}.credential.list`, { space })).body
        return credentials.find((one: { jti: string }) => one.jti === jti)?.hosts
      }
      expect(await hostsOf(), 'while the dead have not heard').toBe('telling')

      for (const [at, host] of dead.entries()) {
        if (DEAD[at] !== 'gone') host.behave(null)
        else {
          const again = await start(host.port)
          for (const did of host.accounts) again.accounts.add(did)
          dead[at] = again
        }
      }
      await eventually('the dead have heard', async () => refusedBy(dead).length === dead.length, PATIENCE_MS)
      await eventually('it is told everywhere', async () => (await hostsOf()) === 'told', PATIENCE_MS)
    } finally {
      await scene.close()
      await Promise.all([...listening].map((host) => host.close()))
    }
  })
})
