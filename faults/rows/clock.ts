/** The machine's clock steps, as the process sees it: libfaketime stands between, where it is installed. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Row, recovers, underLoad, warm } from '../row.ts'
import { IS_QUICK, isEnough, times } from '../settings.ts'
import { type Asked, clock, type Stage, show, tokenOf } from '../stage.ts'

const LIBRARY = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
  .map((triple) => `/usr/lib/${triple}/faketime/libfaketime.so.1`)
  .find((path) => existsSync(path))
const HOUR_SEC = 3_600
const STEPS_SEC = [HOUR_SEC, -HOUR_SEC]
const HELD_MS = 1_500
/** Once, ahead: longer than from one sweep of used tokens to the next. */
const HELD_LONG_MS = 65_000
/** Tokens that are asked with while the clock is wrong. */
const AT_ONCE = 6

/** Everything is by the right clock, but for the process itself. */
export const steps: Row = {
  name: 'clock',
  does: 'the clock of the process steps an hour ahead and back again, and an hour back and ahead again (libfaketime)',
  holds:
    'while it is wrong nobody’s token is taken that was made by the right clock and is off by more than clocks may be, and those that were used before are not taken again; when it is right again everything goes on, and nothing is written twice',
  engines: ['embedded', 'postgres'],
  leftOut: () => (LIBRARY === undefined ? 'libfaketime is not installed (Debian: apt-get install faketime)' : null),
  run: async (tried) => {
    const folder = mkdtempSync(join(tmpdir(), 'reeve-clock-'))
    const file = join(folder, 'offset')
    const step = (seconds: number) => writeFileSync(file, `${seconds < 0 ? '' : '+'}${seconds}\n`)
    step(0)
    const environment = {
      ...{ LD_PRELOAD: LIBRARY ?? '', FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1' },
      ...{ FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1', FAKETIME_DONT_RESET: '1' },
    }
    try {
      return await underLoad(tried, { environment }, async (stage, load, notebook) => {
        const count = times(6, 2)
        let asked = 0
        for (; notebook.times < count && !isEnough(); notebook.times++) {
          await warm(load)
          const used = await useTokens(stage)
          const offset = STEPS_SEC[notebook.times % STEPS_SEC.length] ?? 0
          step(offset)
          await sleep(200)
          const says = `off by ${offset} s`
          // Made by the right clock, a moment ago or now.
          for (const one of [...used, ...preparedBy(stage)]) {
            const { status } = await show(stage, one)
            asked += 1
            notebook.expectThat(status !== 200, `${says}: a token of the right time was taken`)
            notebook.expectThat(status !== 500 && status !== 0, `${says}: a token was answered ${status}`)
          }
          await sleep(notebook.times === 0 && !IS_QUICK ? HELD_LONG_MS : HELD_MS)
          step(0)
          await recovers(load, notebook, 'after the clock was right again')
          for (const one of used) {
            const { status } = await show(stage, one)
            notebook.expectThat(status !== 200, `${says}, and right again: a used token was taken`)
          }
        }
        notebook.notes['tokens shown while it was wrong'] = asked
      })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

const preparedBy = (stage: Stage): readonly Asked[] =>
  Array.from({ length: AT_ONCE }, (_, nth) => {
    const person = stage.steady[nth % stage.steady.length] ?? stage.founder
    // As long as any may live.
    const nowSec = clock.nowSec()
    return tokenOf(stage, person, stage.hall, { changes: { payload: { iat: nowSec, exp: nowSec + 300 } } })
  })

/** Tokens that were good once. */
async function useTokens(stage: Stage): Promise<readonly Asked[]> {
  const used: Asked[] = []
  for (const one of preparedBy(stage)) if ((await show(stage, one)).status === 200) used.push(one)
  return used
}
