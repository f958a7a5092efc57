/** The service that decides for a space is slow, lies, or fails. */
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SpaceUri } from '../../src/names.ts'
import { certificateFor } from '../../test/kit/certificates.ts'
import { type Answering, NO_ANSWER, startManagingApp } from '../../test/kit/managing-app.ts'
import { type Notebook, type Row, underLoad } from '../row.ts'
import { callBy, clock, exchangeBy, FORUM, noteChange, type Outcome, type Stage } from '../stage.ts'

const ANSWERED_MAX_MS = 15_000
const TRIES_MAX = 20
const CROWDED: ReadonlySet<string> = new Set(['503 NotEnoughResources', '504 UpstreamTimeout'])
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

/** By the name for which it was made, until when; and whether the process knows who made it. */
const CERTIFICATES = {
  'a good certificate': { ...certificateFor('localhost', { from: '20', to: '49' }), isKnown: true },
  'a certificate of another name': { ...certificateFor('forum.org', { from: '20', to: '49' }), isKnown: true },
  'a certificate that has expired': { ...certificateFor('localhost', { from: '20', to: '21' }), isKnown: true },
  'a certificate of nobody we know': { ...certificateFor('localhost', { from: '20', to: '49' }), isKnown: false },
}

/** The same service behind TLS, which has to be who it says it is before it hears anything. */
async function expectCertified(
  stage: Stage,
  says: string,
  identity: { readonly key: string | Buffer; readonly cert: string },
  notebook: Notebook,
): Promise<void> {
  const { founder, movers, steady } = stage
  const app = await startManagingApp({ plcUrl: stage.plc.honestUrl, clock })
  const heard: string[] = []
  const behind = createServer(identity, (incoming, outgoing) => {
    heard.push(incoming.url ?? '')
    outgoing.setHeader('content-type', 'application/json')
    outgoing.end('{"authorized":true}')
  })
  behind.listen(0, 'localhost')
  await once(behind, 'listening')
  try {
    app.publish(`https://localhost:${(behind.address() as AddressInfo).port}`)
    const space = await openDoor(stage, app.service, `tls${notebook.times}`)
    const person = movers[notebook.times % movers.length] ?? steady[0] ?? founder
    const { says: told } = await unlessCrowded(() => stage.send(exchangeBy(stage, person, space), person.did))
    const isGood = says === 'a good certificate'
    notebook.expectThat(told === (isGood ? 'ok' : '502 UpstreamFailure'), `${says}: told as ${told}`)
    notebook.expectThat(heard.length > 0 === isGood, `${says}: it heard ${heard.length} requests`)
    notebook.times += 1
  } finally {
    behind.close()
    behind.closeAllConnections()
    await app.close()
  }
}

/** What is told when it is neither that too many ask at once, nor that the machine has too little for the time an answer may take. */
async function unlessCrowded(ask: () => Promise<Outcome>): Promise<Outcome> {
  let answer = await ask()
  for (let tries = 1; tries < TRIES_MAX && CROWDED.has(answer.says); tries++) answer = await ask()
  return answer
}

/** A space for which that service decides. */
async function openDoor({ recorder, send, ...stage }: Stage, managingApp: string, skey: string): Promise<SpaceUri> {
  const { founder, community } = stage
  const readPolicy = { $type: 'com.atproto.simplespace.defs#managingAppPolicy', managingApp }
  const began = recorder.begin()
  const input = { community, spaceType: FORUM, skey, readPolicy }
  const { status, says, body } = await send(callBy(stage, founder, 'space.create', input), founder.did)
  if (status !== 200) throw new Error(`no space: ${says} ${JSON.stringify(body)}`)
  noteChange(recorder, began, { does: 'make', space: body.uri }, community, body.revision)
  return body.uri
}

export const managing: Row = {
  name: 'managing',
  does: 'the managing app of a space says nothing, drips, cuts its line, or answers what is neither yes nor no, each once; or is behind a certificate that isn’t its own',
  holds:
    'nobody is let in by it: who asks is told 502, 503 or 504 with its name, in bounded time; nobody else waits; a sound yes lets in afterwards, and a no doesn’t',
  engines: ['embedded', 'postgres'],
  run: async (tried) => {
    const folder = await mkdtemp(join(tmpdir(), 'reeve-managing-'))
    const authorities = join(folder, 'authorities.pem')
    const known = Object.values(CERTIFICATES).filter(({ isKnown }) => isKnown)
    await writeFile(authorities, known.map(({ cert }) => cert).join(''))
    return underLoad(tried, { environment: { NODE_EXTRA_CA_CERTS: authorities } }, async (stage, load, notebook) => {
      const app = await startManagingApp({ plcUrl: stage.plc.honestUrl, clock })
      try {
        const { founder, movers } = stage
        const space = await openDoor(stage, app.service, 'door')
        const ask = (nth: number) => {
          const person = movers[nth % movers.length] ?? founder
          return stage.send(exchangeBy(stage, person, space), person.did)
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
        for (const [says, identity] of Object.entries(CERTIFICATES))
          await expectCertified(stage, says, identity, notebook)
        app.misbehave(null)
        const no = await unlessCrowded(() => ask(0))
        notebook.expectThat(no.says === '400 UserNotAuthorized', `a no was told as ${no.says}`)
        app.lets.add(movers[1]?.did ?? '')
        const yes = await unlessCrowded(() => ask(1))
        notebook.expectThat(yes.status === 200, `a yes was told as ${yes.says}`)
        Object.assign(notebook.notes, { 'let in by what was no answer': letIn, 'longest ms': Math.round(longestMs) })
      } finally {
        await app.close()
      }
    }).finally(() => rm(folder, { recursive: true, force: true }))
  },
}
