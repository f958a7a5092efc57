/** What every row about a database that takes over by itself has in common. */
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../../test/kit/cli.ts'
import { eventually } from '../../test/kit/waiting.ts'
import type { Load } from '../load.ts'
import { type Notebook, type Tried, underLoad } from '../row.ts'
import type { Stage } from '../stage.ts'
import { BACK_MAX_MS } from './cluster.ts'
import { type House, openHouse } from './house.ts'

const REEVES = 3

export interface Scene {
  readonly stage: Stage
  readonly house: House
  readonly load: Load
  readonly notebook: Notebook
}

/** Three processes on a database of three nodes, loaded; the fault; and what must hold afterwards whichever fault it was. */
export async function onCluster(tried: Tried, fault: (scene: Scene) => Promise<void>) {
  let opened: House | null = null
  const house = async (given: Parameters<typeof openHouse>[0]) => {
    opened = await openHouse(given, { reeves: REEVES })
    return opened
  }
  return underLoad(tried, { house }, async (stage, load, notebook) => {
    const here: House | null = opened
    if (!here) throw new Error('no house')
    const pids = here.reeves.map(({ pid }) => pid)
    const kept = await keepCheckpoint(here)
    try {
      await fault({ stage, house: here, load, notebook })
      await load.stop()
      await here.cluster.isWhole()
      const ended = here.reeves.filter((one, nth) => one.hasEnded() || one.pid !== pids[nth]).length
      notebook.notes['processes of Reeve that were started again'] = ended
      await expectSamePast(stage, here, kept.file, notebook)
    } finally {
      await kept.drop()
    }
  })
}

/** A checkpoint from before the first fault, kept elsewhere. */
async function keepCheckpoint({ checkpointDir }: House) {
  const folder = await mkdtemp(join(tmpdir(), 'reeve-kept-'))
  const file = join(folder, 'checkpoint.json')
  await eventually('a checkpoint can be kept', async () => {
    const [name] = (await readdir(checkpointDir).catch(() => [])).filter((one) => /^checkpoint-.*\.json$/.test(one))
    // It may be replaced by a newer one in this moment.
    return (
      name !== undefined &&
      copyFile(join(checkpointDir, name), file).then(
        () => true,
        () => false,
      )
    )
  })
  return { file, drop: () => rm(folder, { recursive: true, force: true }) }
}

/** The database that is there now is the one that was there before, by every checkpoint; nobody said anything else meanwhile. */
async function expectSamePast(stage: Stage, house: House, kept: string, notebook: Notebook): Promise<void> {
  const { environment } = house.place
  const { code, out, err } = await runCli({ args: ['audit', 'verify', '--checkpoint', kept], environment })
  const compared = /compared with (\d+) checkpoints, .*: 0 differ/.exec(out)
  const isHeld = code === 0 && Number(compared?.[1]) >= 2 && / 0 broken;/.test(out)
  notebook.expectThat(isHeld, `past: audit verify ended with ${code}: ${out.slice(-500)} ${err.slice(-500)}`)
  notebook.notes['audit verify'] = out.trim().split('\n').at(-1) ?? ''
  const health = await stage.send({ path: '/xrpc/_health' }, stage.founder.did)
  notebook.expectThat(health.says === 'ok', `past: health says ${health.says} when all is over`)
  const lines = house.output().split('\n')
  const count = (event: string) => lines.filter((line) => line.includes(`"event":"${event}"`)).length
  notebook.expectThat(count('restored.fromPast') === 0, 'past: it was taken for a database from the past')
  notebook.notes['connections that led to a standby'] = count('database-follows')
}

/**
 * The longest time in which exchanges or changes were not acknowledged, as those see it who ask, from now until `stop`: each kind by itself, the
 * longer counts.
 */
export function watchGaps({ acknowledged }: Load): { stop(): number } {
  const kinds = (['mints', 'changes'] as const).map((kind) => ({
    kind,
    count: acknowledged[kind],
    atMs: performance.now(),
    longest: 0,
  }))
  const look = () => {
    for (const one of kinds) {
      const nowMs = performance.now()
      one.longest = Math.max(one.longest, nowMs - one.atMs)
      if (acknowledged[one.kind] === one.count) continue
      Object.assign(one, { count: acknowledged[one.kind], atMs: nowMs })
    }
  }
  const timer = setInterval(look, 10)
  return {
    stop() {
      clearInterval(timer)
      look()
      return Math.max(...kinds.map(({ longest }) => longest))
    },
  }
}

/** Waits until something of each kind was acknowledged that may have been asked for only after this was called. */
export async function isBack({ acknowledged }: Load): Promise<void> {
  // Whoever had been answered by then counts for nothing, and neither do those whose answer was on its way.
  const { mints, changes } = acknowledged
  const more = async () => acknowledged.mints > mints + 12 && acknowledged.changes > changes + 6
  await eventually('exchanges and changes are acknowledged again', more, BACK_MAX_MS)
}
