/** The process is ended by SIGKILL at a moment that nobody chose, and started again where it was. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Row, recovers, underLoad, warm } from '../row.ts'
import { isEnough, KILLS } from '../settings.ts'

/** From something of each kind being acknowledged until the end, at most. */
const LIFE_MORE_MS = 700
const TOLD_EVERY = 20

export const kill: Row = {
  name: 'kill',
  does: `SIGKILL of the process up to ${LIFE_MORE_MS} ms after it acknowledged something, and a new one on the same database`,
  holds: 'it starts again by itself, also over the lock of the one that died, and goes on',
  engines: ['embedded', 'postgres'],
  run: (tried) =>
    underLoad(tried, {}, async (stage, load, notebook) => {
      const starts: number[] = []
      for (; notebook.times < KILLS && !isEnough(); notebook.times++) {
        await warm(load)
        await sleep(tried.dice.below(LIFE_MORE_MS))
        await stage.reeve.kill()
        starts.push(await stage.restart())
        await recovers(load, notebook, 'after a start')
        if (notebook.times % TOLD_EVERY === TOLD_EVERY - 1) tried.says(`${notebook.times + 1} of ${KILLS} kills`)
      }
      const sorted = starts.toSorted((one, other) => one - other)
      notebook.notes['start ms, middle'] = Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0)
      notebook.notes['start ms, longest'] = Math.round(sorted.at(-1) ?? 0)
    }),
}
