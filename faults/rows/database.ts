/** PostgreSQL goes away in its various ways, and the connection to it in the middle of a commit; the process stays. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { hasOwnPostgres } from '../../test/kit/own-postgres.ts'
import { type Cutter, openCutter } from '../cutter.ts'
import { type Notebook, type Row, recovers, underLoad, warm } from '../row.ts'
import { amount, isEnough, times } from '../settings.ts'
import { callBy, type Outcome, type Stage, timeUntil } from '../stage.ts'

const noServer = () => (hasOwnPostgres ? null : 'no PostgreSQL server is installed here that could be stopped')

/** Over a connection of one's own, past whatever stands between Reeve and its server. */
async function onDatabase(stage: Stage, text: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const client = new pg.Client({ connectionString: stage.databaseUrl ?? '', connectionTimeoutMillis: 20_000 })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

const pidBefore = (stage: Stage) => stage.reeve.pid

function expectSameProcess(stage: Stage, pid: number, notebook: Notebook): void {
  const isSame = !stage.reeve.hasEnded() && stage.reeve.pid === pid
  notebook.expectThat(isSame, 'recovery: the process ended, and was to go on by itself')
}

export const backend: Row = {
  name: 'backend',
  does: 'every connection of the process to PostgreSQL is ended by the server (`pg_terminate_backend`)',
  holds: 'the process stays and goes on by itself',
  engines: ['postgres'],
  run: (tried) =>
    underLoad(tried, {}, async (stage, load, notebook) => {
      const pid = pidBefore(stage)
      const count = amount('FAULTS_BACKENDS', 60, 10)
      let ended = 0
      for (; notebook.times < count && !isEnough(); notebook.times++) {
        await sleep(tried.dice.below(400))
        const rows = await onDatabase(
          stage,
          `select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()`,
        )
        ended += rows.length
        await recovers(load, notebook, 'after its connections were ended')
      }
      notebook.notes['connections ended'] = ended
      expectSameProcess(stage, pid, notebook)
    }),
}

/** What is said while there is no database: exchanges and changes are put off by name, nothing is promised. */
async function expectPutOff(stage: Stage, notebook: Notebook): Promise<void> {
  const { founder } = stage
  const asked: Outcome[] = []
  for (let nth = 0; nth < 3; nth++) {
    const raw = callBy(stage, founder, 'member.put', { space: stage.yard, did: stage.founder.did, role: 'member' })
    asked.push(await stage.send(raw, founder.did))
  }
  const health = await stage.send({ path: '/xrpc/_health' }, founder.did)
  for (const { says } of [...asked, health])
    notebook.expectThat(says === '503 NotEnoughResources', `put off: said ${says} while there was no database`)
}

export const server: Row = {
  name: 'server',
  does: 'the first process of a PostgreSQL of its own gets SIGKILL, stays away for a second or two, and comes back; every other time it is restarted as an operator does',
  holds: '503 with its name while it is away, at `_health` too; the process stays and goes on by itself',
  engines: ['postgres'],
  leftOut: noServer,
  run: (tried) =>
    underLoad(tried, { ownServer: {} }, async (stage, load, notebook) => {
      const { own } = stage
      if (!own) throw new Error('no server of its own')
      const pid = pidBefore(stage)
      const count = times(12, 4)
      for (; notebook.times < count && !isEnough(); notebook.times++) {
        await warm(load)
        await sleep(tried.dice.below(500))
        if (notebook.times % 2 === 0) await own.kill()
        else await own.stop()
        const isAway = await timeUntil(() => isDown(stage), 20_000)
        if (isAway !== null) await expectPutOff(stage, notebook)
        await sleep(tried.dice.below(1_500))
        await own.start()
        await recovers(load, notebook, 'after the server was back')
        tried.says(`${notebook.times + 1} of ${count}`)
      }
      expectSameProcess(stage, pid, notebook)
    }),
}

const isDown = async (stage: Stage): Promise<boolean> =>
  (await stage.send({ path: '/xrpc/_health' }, stage.founder.did)).status === 503

export const commit: Row = {
  name: 'commit',
  does: 'the connection to PostgreSQL is cut when COMMIT has gone up: before the server sees it, or after it was kept and before its answer comes back',
  holds:
    'whoever changed something is told 503 with its name, and the same idempotencyKey tells the truth: there is one change',
  engines: ['postgres'],
  run: async (tried) => {
    let cutter: Cutter | null = null
    const through = async (url: string) => {
      cutter = await openCutter(url)
      return cutter.url
    }
    try {
      return await underLoad(tried, { through }, async (stage, load, notebook) => {
        const cut = cutter
        if (!cut) throw new Error('nothing stands between')
        const pid = pidBefore(stage)
        const count = amount('FAULTS_COMMITS', 200, 30)
        for (let kept = 0; notebook.times < count && !isEnough(); notebook.times++) {
          const before = cut.cuts()
          const isKept = tried.dice.below(4) !== 0
          cut.cutNext(isKept ? 'after' : 'before')
          if ((await timeUntil(() => cut.cuts() > before, 20_000)) === null) throw new Error('no COMMIT was seen')
          if (isKept) kept += 1
          notebook.notes['kept, and cut before the answer'] = kept
          await recovers(load, notebook, 'after the connection was cut')
        }
        const doubts = stage.recorder.operations.flatMap((one) => ('earlier' in one ? one.earlier : []))
        const isNamed = (says: string) => says === '503 NotEnoughResources'
        notebook.notes['changes told to come again'] = doubts.length
        notebook.expectThat(doubts.length > 0, 'unknown: no change was ever in doubt, so nothing was shown')
        for (const says of doubts) notebook.expectThat(isNamed(says), `unknown: a commit in doubt was told as ${says}`)
        expectSameProcess(stage, pid, notebook)
      })
    } finally {
      await (cutter as Cutter | null)?.close()
    }
  },
}
