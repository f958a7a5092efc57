/** The control of all rows about a database that takes over by itself: one that takes over without what was acknowledged is found out. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../../test/kit/waiting.ts'
import { BACK_MAX_MS, missingPrograms } from '../failover/cluster.ts'
import { type House, openHouse } from '../failover/house.ts'
import { Load } from '../load.ts'
import { type Notebook, openNotebook, type Row, unjudged, warm } from '../row.ts'
import { openStage, type Stage, sendTo } from '../stage.ts'

export const behind: Row = {
  name: 'behind',
  does: 'as a control, synchronous replication is switched off, both standbys go dark, more is acknowledged, and the primary goes dark; the standbys come back without it',
  holds:
    'a standby takes over, and every process finds out that this is a database from the past: nobody is let in, nothing is changed',
  engines: ['postgres'],
  leftOut: missingPrograms,
  async run({ engine, dice }) {
    const opened: House[] = []
    const stage = await openStage({
      engine,
      house: async (given) => {
        const house = await openHouse(given, { reeves: 2 })
        opened.push(house)
        return house
      },
    })
    const load = new Load(stage, dice)
    const notebook = openNotebook()
    try {
      const [house] = opened
      if (!house) throw new Error('no house')
      load.start()
      await warm(load)
      await loseWhatIsAcknowledged(stage, house, load, notebook)
    } finally {
      await stage.reeve.kill()
      await load.stop()
      await stage.close()
    }
    return unjudged(stage, notebook)
  },
}

async function loseWhatIsAcknowledged(stage: Stage, house: House, load: Load, notebook: Notebook): Promise<void> {
  const { cluster } = house
  await cluster.keepTwice(false)
  const leader = await cluster.primary()
  const others = cluster.nodes.filter((node) => node !== leader)
  await Promise.all(others.map((node) => node.die()))
  const before = load.total()
  const sinceMs = Date.now()
  await warm(load)
  await eventually('a checkpoint sees it', () => hasLaterCheckpoint(house, sinceMs))
  await leader.die()
  notebook.notes['acknowledged and lost'] = load.total() - before
  for (const node of others) node.start()
  const begunMs = performance.now()
  for (const { url } of house.reeves) {
    const isFoundOut = async () =>
      (await sendTo(url, { path: '/xrpc/_health' }, stage.founder.did)).says === '503 RestoredFromPast'
    await eventually('it is found out', isFoundOut, BACK_MAX_MS)
  }
  notebook.recoveriesMs.push(performance.now() - begunMs)
  notebook.times += 1
  const then = load.total()
  await sleep(3_000)
  const more = load.total() - then
  notebook.expectThat(more === 0, `past: ${more} things were acknowledged on a database from the past`)
}

async function hasLaterCheckpoint({ checkpointDir }: House, sinceMs: number): Promise<boolean> {
  const names = (await readdir(checkpointDir)).filter((name) => /^checkpoint-.*\.json$/.test(name))
  const all = await Promise.all(names.map((name) => stat(join(checkpointDir, name)).catch(() => null)))
  return all.some((one) => one !== null && one.mtimeMs > sinceMs)
}
