/** Several processes of Reeve on one database, behind the proxy of a cluster: for whoever asks they are one. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { type ReevePlace, type ReeveProcess, reevePlace, startReeve } from '../../test/kit/reeve-process.ts'
import type { HouseGiven, HouseOpened } from '../stage.ts'
import { type Cluster, openCluster } from './cluster.ts'

export interface House extends HouseOpened {
  readonly cluster: Cluster
  /** Where all of them keep their checkpoints. */
  readonly checkpointDir: string
  /** Those that run now, in the order of their places. */
  readonly reeves: readonly ReeveProcess[]
  /** Starts the one at this place again. */
  startAgain(nth: number): Promise<void>
  /** Everything that was written by any, also by those that have ended. */
  output(): string
}

export async function openHouse(given: HouseGiven, { reeves: count }: { reeves: number }): Promise<House> {
  const cluster = await openCluster({ reeves: count })
  const url = `http://localhost:${cluster.worldPort}`
  const checkpointDir = join(given.dataDir, 'checkpoints')
  const kek = randomHex(systemRandom, 32)
  const places: ReevePlace[] = []
  const reeves: ReeveProcess[] = []
  const ended: string[] = []
  try {
    for (const [nth, port] of cluster.reevePorts.entries()) {
      const dataDir = join(given.dataDir, `reeve${nth + 1}`)
      await mkdir(dataDir)
      const environment = {
        ...given.environment,
        ...{ REEVE_PUBLIC_URL: url, REEVE_PORT: String(port), REEVE_CHECKPOINT_DIR: checkpointDir },
        // As in production: the cluster has to be one that keeps what it acknowledges.
        ...{ REEVE_ALLOW_UNSAFE_DATABASE: '0', REEVE_KEK: 'env:FAILOVER_KEK', FAILOVER_KEK: kek },
      }
      const { databaseUrl } = cluster
      places.push({ ...(await reevePlace({ plcUrl: given.plcUrl, dataDir, databaseUrl, environment })), port })
    }
    for (const place of places) reeves.push(await startReeve(place))
  } catch (error) {
    await Promise.all(reeves.map((one) => one.kill()))
    await cluster.close()
    throw error
  }
  const [place] = places
  if (!place) throw new Error('no place')

  /** What everybody else takes for one Reeve. */
  const front: ReeveProcess = {
    url,
    serviceDid: `did:web:localhost%3A${cluster.worldPort}`,
    pid: reeves[0]?.pid ?? 0,
    output: () => [...ended, ...reeves.map((one) => one.output())].join(''),
    hasEnded: () => reeves.every((one) => one.hasEnded()),
    async kill() {
      await Promise.all(reeves.map((one) => one.kill()))
    },
    async stop() {
      const codes = await Promise.all(reeves.map((one) => (one.hasEnded() ? null : one.stop())))
      return codes.every((code) => code === 0) ? 0 : 1
    },
  }
  return {
    ...{ cluster, place, reeve: front, databaseUrl: cluster.databaseUrl, checkpointDir, reeves },
    output: front.output,
    async startAgain(nth) {
      const [again, before] = [places[nth], reeves[nth]]
      if (!again || !before) throw new Error(`there is no place ${nth}`)
      ended.push(before.output())
      reeves[nth] = await startReeve(again)
    },
    async close() {
      await Promise.all(reeves.filter((one) => !one.hasEnded()).map((one) => one.kill()))
      await cluster.close()
    },
  }
}
