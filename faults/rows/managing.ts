/** The service that decides for a space is slow, lies, or fails. */
import { type Answering, NO_ANSWER, startManagingApp } from '../../test/kit/managing-app.ts'
import { type Row, underLoad } from '../row.ts'
import { callBy, clock, exchangeBy, FORUM, noteChange } from '../stage.ts'

const ANSWERED_MAX_MS = 15_000
/** Says nothing, or a byte a second. */
const SLOW: Readonly<Record<string, Answering>> = {
  'says nothing': () => {},
  'a byte a second': (outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'application/json' })
    const text = '{"authorized":true}'
    let at = 0
    const timer = setInterval(() => outgoing.write(text[at++] ?? ' '), 1_000)
    outgoing.on('close', () => clearInterval(timer))
  },
}

export const managing: Row = {
  name: 'managing',
  does: 'the managing app of a space says nothing, drips, cuts its line, or answers what is neither yes nor no, each once',
  holds:
    'nobody is let in by it: who asks is told 502, 503 or 504 with its name, in bounded time; nobody else waits; a sound yes lets in afterwards, and a no doesn’t',
  engines: ['embedded', 'postgres'],
  run: (tried) =>
    underLoad(tried, {}, async (stage, load, notebook) => {
      const app = await startManagingApp({ plcUrl: stage.plc.honestUrl, clock })
      try {
        const { founder, community, movers, recorder } = stage
        const readPolicy = { $type: 'com.atproto.simplespace.defs#managingAppPolicy', managingApp: app.service }
        const began = recorder.begin()
        const input = { community, spaceType: FORUM, skey: 'door', readPolicy }
        const made = await stage.send(callBy(stage, founder, 'space.create', input), founder.did)
        if (made.status !== 200) throw new Error(`no space: ${made.says} ${JSON.stringify(made.body)}`)
        noteChange(recorder, began, { does: 'make', space: made.body.uri }, community, made.body.revision)
        const ask = (nth: number) => {
          const person = movers[nth % movers.length] ?? founder
          return stage.send(exchangeBy(stage, person, made.body.uri), person.did)
        }
        let letIn = 0
        let longestMs = 0
        for (const [says, how] of Object.entries({ ...SLOW, ...NO_ANSWER })) {
          const before = load.total()
          app.misbehave(how)
          const answer = await ask(notebook.times)
          if (answer.status === 200) letIn += 1
          longestMs = Math.max(longestMs, answer.tookMs)
          notebook.expectThat(/^50[234] \w+/.test(answer.says), `${says}: told as ${answer.says}`)
          if (answer.tookMs > 1_000) notebook.expectThat(load.total() > before, `${says}: everybody waited`)
          notebook.times += 1
        }
        notebook.expectThat(letIn === 0, `${letIn} were let in by what was no answer`)
        notebook.expectThat(longestMs < ANSWERED_MAX_MS, `it took ${Math.round(longestMs)} ms`)
        app.misbehave(null)
        const no = await ask(0)
        notebook.expectThat(no.says === '400 UserNotAuthorized', `a no was told as ${no.says}`)
        app.lets.add(movers[1]?.did ?? '')
        const yes = await ask(1)
        notebook.expectThat(yes.status === 200, `a yes was told as ${yes.says}`)
        Object.assign(notebook.notes, { 'let in by what was no answer': letIn, 'longest ms': Math.round(longestMs) })
      } finally {
        await app.close()
      }
    }),
}
