/** The PLC directory fails in every way that a directory, or the network before it, can. */
import { setTimeout as sleep } from 'node:timers/promises'
import { json, type Misbehaviour } from '../../test/kit/fake-plc.ts'
import { makeSomebody } from '../../test/kit/people.ts'
import { type Row, underLoad, warm } from '../row.ts'
import { times } from '../settings.ts'
import { show, tokenOf } from '../stage.ts'

const HELD_MS = times(4_000, 1_500)
/** A fetch of a document takes three seconds at most, and there are two of them at most in a request. */
const ANSWERED_MAX_MS = 20_000

/** Says nothing until it is let go, then cuts the line. */
function silence(): { how: Misbehaviour; letGo: () => void } {
  const over = Promise.withResolvers<'cut'>()
  return { how: () => over.promise, letGo: () => over.resolve('cut') }
}

const WAYS: Readonly<Record<string, () => { readonly how: Misbehaviour; letGo?(): void }>> = {
  'cuts every line': () => ({ how: () => 'cut' }),
  'answers 500': () => ({ how: () => json(500, { message: 'broken' }) }),
  'answers 429': () => ({ how: () => json(429, { message: 'slow down' }) }),
  'says nothing': silence,
  'breaks off in the middle': () => ({
    how: async (_ask, forward) => {
      const answer = await forward()
      return { ...answer, body: answer.body.slice(0, Math.floor(answer.body.length / 2)) }
    },
  }),
  'shows a log without its end': () => ({
    how: async (ask, forward) => {
      const answer = await forward()
      if (ask.kind !== 'log' || answer.status !== 200) return answer
      return { ...answer, body: JSON.stringify(JSON.parse(answer.body).slice(0, -1)) }
    },
  }),
  'speaks of somebody else': () => ({
    how: async (ask, forward) => {
      const answer = await forward()
      return { ...answer, body: answer.body.replaceAll(ask.did, ask.did.split('').toReversed().join('')) }
    },
  }),
}

/** Where it gives no answer, whoever is new can't be judged. Where it gives a wrong one, they may be refused, and are never let in. */
const SHOWS_NOTHING: ReadonlySet<string> = new Set(['cuts every line', 'answers 500', 'answers 429', 'says nothing'])

export const directory: Row = {
  name: 'directory',
  does: `the PLC directory ${Object.keys(WAYS).join(', ')}, each for some seconds`,
  holds:
    'those who are known go on; somebody new is told 502, 503 or 504 with its name where it says nothing, and is refused where it says what can’t be true, in bounded time; afterwards they are answered',
  engines: ['embedded', 'postgres'],
  run: (tried) =>
    underLoad(tried, {}, async (stage, load, notebook) => {
      // Everybody is known before the directory fails for the first time.
      for (const person of [...stage.steady, ...stage.movers]) {
        await show(stage, tokenOf(stage, person, stage.hall))
      }
      for (const [says, way] of Object.entries(WAYS)) {
        await warm(load)
        const stranger = await makeSomebody(stage.plc.honestUrl)
        const { how, letGo } = way()
        const before = { ...load.acknowledged }
        stage.plc.misbehave(how)
        const asked = show(stage, tokenOf(stage, stranger, stage.hall))
        await sleep(HELD_MS)
        const told = SHOWS_NOTHING.has(says) ? /^50[234] \w+/ : /^(?:40[01]|50[234]) \w+/
        const answer = await asked
        notebook.expectThat(told.test(answer.says), `${says}: somebody new was told ${answer.says}`)
        notebook.expectThat(answer.tookMs < ANSWERED_MAX_MS, `${says}: it took ${Math.round(answer.tookMs)} ms`)
        const { mints, changes } = load.acknowledged
        notebook.expectThat(mints > before.mints && changes > before.changes, `${says}: those who are known waited`)
        stage.plc.misbehave(null)
        letGo?.()
        const later = await makeSomebody(stage.plc.honestUrl)
        const { says: end } = await show(stage, tokenOf(stage, later, stage.hall))
        notebook.expectThat(end === '400 UserNotAuthorized', `${says}: afterwards somebody new was told ${end}`)
        notebook.times += 1
        notebook.notes[`${says}, ms`] = Math.round(answer.tookMs)
      }
    }),
}
