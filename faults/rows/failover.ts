/** A replicated PostgreSQL loses its nodes one way or the other, and takes over by itself; processes of Reeve behind a proxy live on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../../test/kit/waiting.ts'
import { BACK_MAX_MS, missingPrograms, type Node } from '../failover/cluster.ts'
import { openProbe } from '../failover/probe.ts'
import { isBack, onCluster, type Scene, watchGaps } from '../failover/row.ts'
import { type Row, type Tried, warm } from '../row.ts'
import { isEnough, times } from '../settings.ts'

const alike = { engines: ['postgres'], leftOut: missingPrograms } as const

/** The fault again and again, each time on a whole cluster under load, `count` times. */
async function again(tried: Tried, scene: Scene, count: number, once: (nth: number) => Promise<void>): Promise<void> {
  const { load, notebook, house } = scene
  for (; notebook.times < count && !isEnough(); notebook.times++) {
    await house.cluster.isWhole()
    await warm(load)
    await sleep(tried.dice.below(1_000))
    await once(notebook.times)
    const last = notebook.recoveriesMs.at(-1)
    tried.says(`${notebook.times + 1} of ${count}: ${last === undefined ? '' : `${Math.round(last)} ms`}`)
  }
}

/** Somebody else than `former` has taken over, and what is asked for is acknowledged. Answers for how long nothing was, from before the fault on. */
async function takenOver({ house, load, notebook }: Scene, former: Node, fault: () => Promise<void>): Promise<void> {
  const gaps = watchGaps(load)
  try {
    await fault()
    const isOther = async () => (await house.cluster.primary()) !== former
    await eventually('another node takes over', isOther, BACK_MAX_MS)
    await isBack(load)
  } finally {
    notebook.recoveriesMs.push(gaps.stop())
  }
}

export const primary: Row = {
  ...alike,
  name: 'primary',
  does: 'the machine of the primary goes dark: SIGKILL for everything of PostgreSQL and Patroni on it; later it comes back',
  holds: 'a standby takes over by itself, with everything that was acknowledged; the former primary follows it',
  run: (tried) =>
    onCluster(tried, async (scene) => {
      const { cluster } = scene.house
      await again(tried, scene, times(6, 2), async () => {
        const former = await cluster.primary()
        await takenOver(scene, former, () => former.die())
        former.start()
      })
    }),
}

/** How often somebody writes to a node that is a primary beside another. */
const WRITES_BESIDE = 3

export const hung: Row = {
  ...alike,
  name: 'hung',
  does: 'at the primary everything of PostgreSQL and Patroni stands still (SIGSTOP) until another has taken over, and goes on with what lay in its sockets; every other time Patroni alone does, so that there are two primaries meanwhile',
  holds: 'the former primary acknowledges nothing that the new one doesn’t have, and follows it',
  run: (tried) =>
    onCluster(tried, async (scene) => {
      const { cluster } = scene.house
      const probe = await openProbe(cluster)
      await again(tried, scene, times(6, 2), async (nth) => {
        const isWhole = nth % 2 === 0
        const former = await cluster.primary()
        await probe.connect(former)
        await takenOver(scene, former, async () => {
          await former.standStill(isWhole ? 'everything' : 'patroni')
          if (isWhole) probe.write()
        })
        for (let more = isWhole ? 0 : WRITES_BESIDE; more > 0; more--) await probe.writeOn()
        former.goOn()
        await probe.writeUntil('the former primary follows', async () => (await former.standing())?.role === 'replica')
      })
      await cluster.isWhole()
      const { asked, acknowledged, lost } = await probe.close()
      scene.notebook.notes['writes to former primaries, asked'] = asked
      scene.notebook.notes['of them acknowledged'] = acknowledged
      scene.notebook.expectThat(asked > 0, 'split: nobody wrote to a former primary, so nothing was shown')
      scene.notebook.expectThat(lost === 0, `split: ${lost} writes that a former primary acknowledged are nowhere`)
    }),
}

export const switchover: Row = {
  ...alike,
  name: 'switchover',
  does: 'the primary hands its part to a standby, as an operator has it do before an upgrade',
  holds: 'nothing is lost, and those who ask wait for some seconds',
  run: (tried) =>
    onCluster(tried, async (scene) => {
      const { cluster } = scene.house
      await again(tried, scene, times(6, 2), async () => {
        await takenOver(scene, await cluster.primary(), () => cluster.switchOver())
      })
    }),
}

export const reeve: Row = {
  ...alike,
  name: 'reeve',
  does: 'SIGKILL for one of three processes of Reeve, which is started again some seconds later',
  holds: 'the others go on; whoever had asked the one is told 502 by the proxy, and asks again',
  run: (tried) =>
    onCluster(tried, async (scene) => {
      const { house, load, notebook } = scene
      await again(tried, scene, times(8, 4), async () => {
        const nth = tried.dice.below(house.reeves.length)
        const gaps = watchGaps(load)
        await house.reeves[nth]?.kill()
        await isBack(load)
        notebook.recoveriesMs.push(gaps.stop())
        await sleep(tried.dice.below(3_000))
        await house.startAgain(nth)
      })
    }),
}

export const replicas: Row = {
  ...alike,
  name: 'replicas',
  does: 'the standby that keeps what is acknowledged goes dark; every other time both standbys do, and one comes back',
  holds:
    'with one left, it takes over that part, and changes wait until then; with none left, nothing is acknowledged until one is back',
  run: (tried) =>
    onCluster(tried, async (scene) => {
      const { house, load, notebook } = scene
      const { cluster } = house
      await again(tried, scene, times(6, 2), async (nth) => {
        const leader = await cluster.primary()
        const others = cluster.nodes.filter((node) => node !== leader)
        const keeper = await cluster.keeper()
        const dying = nth % 2 === 0 ? [keeper] : others
        const gaps = watchGaps(load)
        await Promise.all(dying.map((node) => node.die()))
        if (dying.length === others.length) {
          // What was on its way when they died may still be answered.
          await sleep(1_000)
          const before = load.total()
          await sleep(15_000)
          const after = load.total()
          notebook.expectThat(after === before, `alone: ${after - before} things were acknowledged that one node has`)
          others[0]?.start()
          const begunMs = performance.now()
          await isBack(load)
          notebook.recoveriesMs.push(performance.now() - begunMs)
          gaps.stop()
        } else {
          await isBack(load)
          notebook.recoveriesMs.push(gaps.stop())
        }
        for (const node of dying.filter((one) => !one.isRunning)) node.start()
      })
    }),
}

export const etcd: Row = {
  ...alike,
  name: 'etcd',
  does: 'etcd is stopped until the primary has laid its part down, and comes back',
  holds: '503 with its name meanwhile; somebody is primary again by itself',
  run: (tried) =>
    onCluster(tried, async (scene) => {
      const { house, load, stage, notebook } = scene
      const { cluster } = house
      await again(tried, scene, times(4, 2), async () => {
        await cluster.etcd.end('SIGTERM')
        const isDown = async () => (await stage.send({ path: '/xrpc/_health' }, stage.founder.did)).status === 503
        await eventually('the primary lays its part down', isDown, BACK_MAX_MS)
        await sleep(tried.dice.below(3_000))
        const begunMs = performance.now()
        cluster.etcd.start()
        await isBack(load)
        notebook.recoveriesMs.push(performance.now() - begunMs)
      })
    }),
}
