/**
 * The second part of `npm run bench`: what the roll costs with a million people in one space, a thousand spaces around one, and
 * nesting eight deep, beside the targets; and how a check grows with people and with depth.
 *
 * Each engine is measured in a process of its own (`roll-measured.ts`). `BENCH_MEMBERS` says how many people; by itself 1,000,000, and
 * on the embedded engine a tenth of that. Each tenth of it down to 1,000 is measured beside it.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RollOrder } from './roll-measured.ts'
import type { Figure } from './rows.ts'

/** The embedded engine works in one thread with everything else: a tenth of the people keeps it to some minutes. */
const PEOPLE = { postgres: 1_000_000, embedded: 100_000 } as const
const FEWEST = 1_000
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5)

/** Measures one engine. `createDatabase` makes an empty database on the server. */
export async function measureRoll(
  engine: 'postgres' | 'embedded',
  createDatabase: (what: string) => Promise<{ url: string; drop(): Promise<void> }>,
): Promise<readonly Figure[]> {
  const sizes = sizesFrom(Number(process.env['BENCH_MEMBERS'] ?? PEOPLE[engine]))
  const folder = await mkdtemp(join(tmpdir(), 'reeve-bench-roll-'))
  const databases: Awaited<ReturnType<typeof createDatabase>>[] = []
  try {
    if (engine === 'postgres') for (const size of sizes) databases.push(await createDatabase(`roll_${size}`))
    const urls = databases.map(({ url }) => url)
    const order: RollOrder = { engine, folder, urls, sizes, rounds: ROUNDS }
    const child = fork(new URL('roll-measured.ts', import.meta.url), [JSON.stringify(order)], {
      execArgv: ['--expose-gc'],
      env: { PATH: process.env['PATH'] },
    })
    const ended = once(child, 'exit').then(([code]) => {
      if (code !== 0) throw new Error(`the measured process ended with ${code}`)
      return null
    })
    const answered = await Promise.race([once(child, 'message'), ended])
    if (answered === null) throw new Error('the measured process said nothing')
    await ended
    const { figures }: { figures: readonly Figure[] } = answered[0]
    return figures
  } finally {
    for (const database of databases) await database.drop()
    await rm(folder, { recursive: true, force: true })
  }
}

function sizesFrom(large: number): readonly number[] {
  const sizes = [large]
  for (let size = large / 10; size >= FEWEST; size /= 10) sizes.push(Math.ceil(size))
  return sizes
}
