/** The machine's clock steps, as the process sees it: libfaketime stands between, where it is installed. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Load } from '../load.ts'
import { type Notebook, type Row, recovers, underLoad, warm } from '../row.ts'
import { IS_QUICK, isEnough, times } from '../settings.ts'
import { type Asked, clock, type Stage, show, tokenOf } from '../stage.ts'

const LIBRARY = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
  .map((triple) => `/usr/lib/${triple}/faketime/libfaketime.so.1`)
  .find((path) => existsSync(path))
const HOUR_SEC = 3_600
const STEPS_SEC = [HOUR_SEC, -HOUR_SEC]
/** What clocks do every day: nobody notices. */
const SMALL_STEPS_SEC = [-1, 1]
/** Five hundred millionths: as fast as a clock is ever set right by slewing. */
const DRIFT = 'x1.0005'
const HELD_MS = 1_500
const DRIFT_MS = IS_QUICK ? 5_000 : 60_000
/** Once, ahead: longer than from one sweep of used tokens to the next. */
const HELD_LONG_MS = 65_000
/** Tokens that are asked with while the clock is wrong. */
const AT_ONCE = 6

/** Everything is by the right clock, but for the process itself. */
export const steps: Row = {
  name: 'clock',
  does: 'the clock of the process steps an hour ahead and back again, and an hour back and ahead again; then a second back and ahead, and goes too fast by 500 ppm (libfaketime)',
  holds:
    'while it is wrong nobody’s token is taken that was made by the right clock and is off by more than clocks may be, and those that were used before are not taken again; when it is right again everything goes on, and nothing is written twice; of a second, and of what clocks are slewed by, nobody hears',
  engines: ['embedded', 'postgres'],
  leftOut: () => (LIBRARY === undefined ? 'libfaketime is not installed (Debian: apt-get install faketime)' : null),
  run: async (tried) => {
    const folder = mkdtempSync(join(tmpdir(), 'reeve-clock-'))
    const file = join(folder, 'offset')
    const step = (seconds: number, drift = '') => writeFileSync(file, `${seconds < 0 ? '' : '+'}${seconds} ${drift}\n`)
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
        for (const seconds of SMALL_STEPS_SEC) {
          await expectUnnoticed(stage, load, notebook, `off by ${seconds} s`, async () => {
            step(seconds)
            await sleep(HELD_MS)
          })
        }
        await expectUnnoticed(stage, load, notebook, 'drifting', async () => {
          step(0, DRIFT)
          await sleep(DRIFT_MS)
        })
        step(0)
        await warm(load)
      })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

/** Everything goes on, nobody is refused for the time, and what was used is not taken again. */
async function expectUnnoticed(
  stage: Stage,
  load: Load,
  notebook: Notebook,
  says: string,
  change: () => Promise<void>,
): Promise<void> {
  const used = await useTokens(stage)
  await change()
  await warm(load)
  // Tokens of this moment, as the right clock has it.
  for (const one of preparedBy(stage)) {
    const { says: told } = await show(stage, one)
    notebook.expectThat(/^(?:ok|50\d .*)$/.test(told), `${says}: somebody was told ${told}`)
  }
  for (const one of used) {
    const { status } = await show(stage, one)
    notebook.expectThat(status !== 200, `${says}: a used token was taken`)
  }
  notebook.times += 1
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
