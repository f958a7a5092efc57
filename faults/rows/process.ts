/** What happens to the process itself: it is told to end, a second one wants its directory, it stands still for a while, it has little memory. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ERRAND_TIMES } from '../../src/platform/jwt-claims.ts'
import { type Exchange, isAcknowledged } from '../record.ts'
import { type Row, recovers, underLoad, warm } from '../row.ts'
import { isEnough, times } from '../settings.ts'
import { clock, type Stage, show, tokenOf } from '../stage.ts'

const EXIT_MAX_MS = 10_000

/** Its connection was made, and cut before an answer. Whoever was not let in at all asks again, and who had no more patience was not cut. */
const isCut = ({ says }: { readonly says: string }) => /^0 (?!ECONNREFUSED|LATE)/.test(says)

export const sigterm: Row = {
  name: 'sigterm',
  does: 'SIGTERM under load, and a new process on the same database',
  holds:
    'it ends with 0 within ten seconds; whatever was sent before the signal is answered, or refused by name; what was cut in the moment in which the door closes has left nothing',
  engines: ['embedded', 'postgres'],
  run: (tried) =>
    underLoad(tried, {}, async (stage, load, notebook) => {
      const count = times(20, 5)
      const { recorder, sent } = stage
      const seen = { underWay: 0, meanwhile: 0, cut: 0 }
      const spans: { readonly from: number; readonly to: number }[] = []
      let longestMs = 0
      for (; notebook.times < count && !isEnough(); notebook.times++) {
        await warm(load)
        await sleep(tried.dice.below(500))
        const signalMs = performance.now()
        const from = recorder.begin()
        const code = await stage.reeve.stop()
        const endedMs = performance.now()
        spans.push({ from, to: recorder.begin() })
        longestMs = Math.max(longestMs, endedMs - signalMs)
        notebook.expectThat(code === 0, `end: it ended with ${code}`)
        await stage.restart()
        await recovers(load, notebook, 'after a start')
        for (const one of sent.filter((each) => each.endedMs > signalMs && each.begunMs < endedMs)) {
          const isBefore = one.begunMs < signalMs
          if (isBefore) seen.underWay += 1
          else if (!one.says.startsWith('0 ')) seen.meanwhile += 1
          if (!isCut(one)) continue
          seen.cut += 1
          notebook.expectThat(!isBefore, `end: what was sent before the signal was told ${one.says}`)
        }
      }
      notebook.expectThat(longestMs <= EXIT_MAX_MS, `end: it took ${Math.round(longestMs)} ms`)
      notebook.expectThat(seen.underWay > 0, 'end: nothing was ever under way, so nothing was shown')
      notebook.notes['exit ms, longest'] = Math.round(longestMs)
      notebook.notes['under way at the signal'] = seen.underWay
      notebook.notes['sent later, and answered'] = seen.meanwhile
      notebook.notes['sent later, and cut'] = seen.cut
      return ({ issuances }) => {
        const holders = new Set(issuances.map(({ holder }) => holder))
        const uses = recorder.operations.filter((one) => one.op === 'exchange')
        const given = new Set(uses.filter(isAcknowledged).map(({ token }) => token))
        const isWithin = ({ began, ended }: Exchange) => spans.some(({ from, to }) => ended > from && began < to)
        for (const one of uses.filter((each) => isCut(each) && isWithin(each)))
          if (holders.has(one.holder) && !given.has(one.token))
            notebook.faults.push(`in flight: ${one.token} was taken in, and not answered`)
        return undefined
      }
    }),
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** Starts another process on the directory, and answers how it ended and what it wrote. */
async function startSecond({ place }: Stage): Promise<{ code: number | null; text: string }> {
  const environment = { ...place.environment, REEVE_PORT: '0', PATH: process.env['PATH'] ?? '' }
  const child = spawn(process.execPath, [MAIN], { env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
  const heard: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => heard.push(chunk.toString()))
  const patience = setTimeout(() => child.kill('SIGKILL'), 60_000)
  const [code] = await once(child, 'exit')
  clearTimeout(patience)
  return { code, text: heard.join('') }
}

export const second: Row = {
  name: 'second',
  does: 'another process is started on the embedded directory that is in use; then the first is killed, which leaves its lock behind, and a new one is started',
  holds: 'the second refuses, with the number of the first, and harms nothing; a lock of the dead is taken over',
  engines: ['embedded'],
  run: (tried) =>
    underLoad(tried, {}, async (stage, load, notebook) => {
      const count = times(10, 3)
      const lock = join(stage.dataDir, 'lock')
      for (; notebook.times < count && !isEnough(); notebook.times++) {
        const { code, text } = await startSecond(stage)
        notebook.expectThat(code !== 0 && code !== null, `second: it ended with ${code}`)
        notebook.expectThat(text.includes(`process ${stage.reeve.pid},`), `second: it didn't name the first: ${text}`)
        await warm(load)
        await stage.reeve.kill()
        const left = existsSync(lock) ? JSON.parse(readFileSync(lock, 'utf8')).pid : null
        notebook.expectThat(left === stage.reeve.pid, `lock: of ${stage.reeve.pid}, and it names ${left}`)
        await stage.restart()
        await recovers(load, notebook, 'over the lock of the dead')
      }
    }),
}

const STALL_MS = 2_000
/** They are good when it begins to stand still, and late when it goes on. */
const LATE_AT_ONCE = 8

export const stall: Row = {
  name: 'stall',
  does: 'the process stands still for two seconds (SIGSTOP, SIGCONT) with requests in its sockets whose tokens end meanwhile',
  holds: 'no token is accepted that has ended by then; it goes on as if nothing had been',
  engines: ['embedded', 'postgres'],
  run: (tried) =>
    underLoad(tried, {}, async (stage, load, notebook) => {
      const count = times(20, 4)
      let late = 0
      for (; notebook.times < count && !isEnough(); notebook.times++) {
        await sleep(tried.dice.below(500))
        process.kill(stage.reeve.pid, 'SIGSTOP')
        const nowSec = clock.nowSec()
        // Good for one more second, with all that clocks may differ.
        const exp = nowSec - ERRAND_TIMES.skewSec + 1
        const asked = Array.from({ length: LATE_AT_ONCE }, (_, nth) => {
          const person = stage.steady[nth % stage.steady.length] ?? stage.founder
          const changes = { payload: { iat: exp - 60, exp } }
          return show(stage, tokenOf(stage, person, stage.hall, { changes }))
        })
        await sleep(STALL_MS + 100)
        process.kill(stage.reeve.pid, 'SIGCONT')
        for (const { says } of await Promise.all(asked)) {
          late += 1
          notebook.expectThat(/^(?:401|503|429) \w+/.test(says), `late: a token that had ended was answered ${says}`)
        }
        await recovers(load, notebook, 'after it stood still')
      }
      notebook.notes['tokens that ended meanwhile'] = late
    }),
}
