/**
 * The page about leaving, walked as an owner walks it who has nothing else: its lines are run by a shell, in their order and as they stand.
 * A real Reeve founded the community, and is killed; a second one takes it in; the owner is an account of a real PDS. What is answered is
 * what the page says. `UPDATE_GOLDEN=1` writes the answers into the page.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { delegationToken, exchange } from '../../demo/reader-app.ts'
import { didOf } from '../../src/identity/plc-operation.ts'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { runCli } from '../kit/cli.ts'
import { atHome, happened, hoursAgo, keyFileIn, logAt, newHomeFor } from '../kit/leaving.ts'
import { type Account, startPds } from '../kit/pds.ts'
import { signed, submitOperation } from '../kit/people.ts'
import { playRepoHost } from '../kit/played-repo-host.ts'
import { startPlcServer } from '../kit/plc.ts'
import type { Held } from '../kit/presentation.ts'
import { type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { freshDid } from '../kit/roll.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { makeKey } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGE = join(ROOT, 'docs/leaving.md')
/** A block of lines for the shell, and the answer that the page shows below it. */
const BLOCK = /```sh\n(?<lines>[\s\S]*?)```\n(?:\n```text\n(?<answer>[\s\S]*?)```\n)?/g
const NEXT = '----- next -----'
const PROMPT = 'Anything else ends here, and nothing has happened.'
const REEVE = 'community.reeve'

interface Walked {
  /** What each block printed. */
  readonly printed: readonly string[]
  /** How long each took. */
  readonly ms: readonly number[]
}

/** Runs blocks in one shell. Before each, `before` may change the world; whenever the tool asks for the DID, `typed` is typed. */
async function walk(
  blocks: readonly string[],
  how: { env: Record<string, string>; typed: string; before: (nth: number) => Promise<unknown> },
): Promise<Walked> {
  const script = blocks.map((lines) => `read -r _\n${lines}\necho\necho '${NEXT}'\n`).join('')
  const PATH = `${ROOT}node_modules/.bin:${process.env['PATH']}`
  const shell = spawn('bash', ['--noprofile', '--norc', '-uo', 'pipefail', '-c', script], {
    cwd: ROOT,
    env: { PATH, ...how.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const ended = new Promise<void>((resolve) => shell.once('close', () => resolve()))
  const ms: number[] = []
  let told = ''
  let error = ''
  let answered = 0
  let begun = 0
  let sinceMs = 0
  let working: Promise<unknown> = Promise.resolve()
  const begin = () => {
    const nth = begun++
    if (nth > 0) ms.push(systemClock.monotonicMs() - sinceMs)
    if (nth >= blocks.length) return
    working = how.before(nth).then(
      () => {
        sinceMs = systemClock.monotonicMs()
        shell.stdin.write('\n')
      },
      (fault: unknown) => {
        shell.kill('SIGKILL')
        throw fault
      },
    )
    working.catch(() => {})
  }
  shell.stderr.on('data', (chunk: Buffer) => {
    error += chunk.toString('utf8')
  })
  shell.stdout.on('data', (chunk: Buffer) => {
    told += chunk.toString('utf8')
    for (; told.split(PROMPT).length - 1 > answered; answered += 1) shell.stdin.write(`${how.typed}\n`)
    while (told.split(`${NEXT}\n`).length - 1 >= begun && begun <= blocks.length) begin()
  })
  begin()
  await ended
  await working
  // Beside the proof, for whoever reads and not for who pipes.
  expect(error.replace(/This is the proof that [^\n]*\n[^\n]*\n[^\n]*\n\n?/, '')).toBe('')
  return { printed: told.split(`${NEXT}\n`).slice(0, -1), ms }
}

/**
 * What differs each time is written as `…`: keys and operations with a letter or a number in the order in which they are first seen, people
 * and homes by what they are called on the page.
 */
function readableBy(names: Readonly<Record<string, string>>): (answer: string) => string {
  const seen = new Map<string, string>()
  const told = (text: string, shown: string, mark: (nth: number) => string) => {
    const nth = [...seen.values()].filter((one) => one.startsWith(shown)).length
    const name = seen.get(text) ?? `${shown}…${mark(nth)}`
    seen.set(text, name)
    return name
  }
  const letter = (nth: number) => String.fromCharCode(0x41 + nth)
  // People one below the other are in the order of their DIDs, and so in another one each time.
  const inOrder = (text: string) =>
    text.replace(/(?:^did:plc:\w+…\n){2,}/gm, (people) => `${people.trimEnd().split('\n').toSorted().join('\n')}\n`)
  const plain = (answer: string) =>
    Object.entries(names)
      .reduce((text, [long, short]) => text.replaceAll(long, short), answer.trim())
      .replaceAll(/did:key:z[1-9A-HJ-NP-Za-km-z]+/g, (key) => told(key, 'did:key:z', letter))
      .replaceAll(/\bbafy[a-z2-7]{55}/g, (cid) => told(cid, 'bafyrei', (nth) => String(nth + 1)))
      .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z/g, '…')
      .replaceAll(/\b71 h 5\d min/g, '71 h 59 min')
      .replaceAll(/import: '[^']+'/g, "import: '…'")
      .replaceAll(/\b[0-9a-f]{4}(?: [0-9a-f]{4}){4}\b/g, '…')
      // How many steps an import of thousands takes depends on how busy the machine is.
      .replaceAll(/([rR]evision"?: ?)\d{2,}/g, '$1…')
      .replaceAll(/(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{86}(?![A-Za-z0-9_-])/g, '…')
  return (answer) => inOrder(plain(answer))
}

function withAnswers(page: string, answers: readonly string[]): string {
  let nth = 0
  return page.replace(BLOCK, (_block, lines: string) => {
    const answer = answers[nth++]
    return `\`\`\`sh\n${lines}\`\`\`\n${answer ? `\n\`\`\`text\n${answer}\n\`\`\`\n` : ''}`
  })
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every kind.
type Body = any

/** A change at a Reeve through the person's PDS; it must be taken. */
async function change(who: Account, at: ReeveProcess, method: string, body: object): Promise<Body> {
  const answer = await who.proxied(`${at.serviceDid}#reeve`, `${REEVE}.${method}`, body)
  const said = await answer.json()
  expect(answer.status, `${method}: ${JSON.stringify(said)}`).toBe(200)
  return said
}

async function ask(who: Account, at: ReeveProcess, method: string, params: Record<string, string>): Promise<Body> {
  const token = await who.serviceAuth(`${at.serviceDid}#reeve`, `${REEVE}.${method}`)
  const headers = { authorization: `Bearer ${token}` }
  const answer = await fetch(`${at.url}/xrpc/${REEVE}.${method}?${new URLSearchParams(params)}`, { headers })
  expect(answer.status).toBe(200)
  return answer.json()
}

/** A credential of October for a person, with the key that it is bound to; or the name of the error. */
async function credentialFor(who: Account, at: ReeveProcess, community: Did, space: string): Promise<Held | string> {
  const holder = makeKey('p256')
  const token = await delegationToken(who, community, space)
  const { status, body } = await exchange({ reeve: at }, { token, space, holder, generation: 'october' })
  return status === 200 ? { credential: body.credential, holder, binding: 'october', space } : body.error
}

/** More people than a page of the roll has lines, or a piece of an import. */
const READERS = 2_100

async function bringReaders(who: Account, at: ReeveProcess, space: string): Promise<void> {
  const lines = Array.from({ length: READERS }, () => `${JSON.stringify({ did: freshDid(), role: 'reader' })}\n`)
  const { import: id } = await change(who, at, 'member.import', { space, lines: lines.join('') })
  await change(who, at, 'member.applyImport', { import: id })
  const isDone = async () => (await ask(who, at, 'member.getImport', { import: id })).state === 'done'
  await eventually('everybody is on the roster', isDone, 120_000)
}

const keysIn = (operation: unknown): readonly string[] => JSON.stringify(operation).match(/did:key:z\w+/g) ?? []

/** The 32 bytes behind the mark of the private key in a PKCS#8 file. */
function scalarIn(pem: string): Uint8Array {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
  return der.subarray(der.indexOf(Buffer.from('0420', 'hex')) + 2).subarray(0, 32)
}

it('a community leaves a home that is dead for a second one, as the page says, and is whole there', async () => {
  await using cleanup = new AsyncDisposableStack()
  const folderOf = async (name: string) => {
    const folder = await mkdtemp(join(tmpdir(), name))
    cleanup.defer(() => rm(folder, { recursive: true, force: true }))
    return folder
  }
  const [folder, oldData, newData] = [await folderOf('reeve-guide-'), await folderOf('old-'), await folderOf('new-')]
  const plc = await startPlcServer()
  cleanup.defer(() => plc.close())
  const pds = await startPds(plc.url)
  cleanup.defer(() => pds.close())
  const alice = await pds.createAccount('alice')
  const bob = await pds.createAccount('bob')
  const carol = await pds.createAccount('carol')
  const dave = await pds.createAccount('dave')
  const erin = await pds.createAccount('erin')

  // A real Reeve founds the community with the key that the tool made, by the proof that the tool made.
  const old = await startReeve(await reevePlace({ plcUrl: plc.url, dataDir: oldData }))
  cleanup.defer(() => old.kill())
  const key = join(folder, 'recovery.key')
  expect((await runCli({ args: ['recovery', 'new', key] })).code).toBe(0)
  const recoveryKey = (await runCli({ args: ['recovery', 'show', key] })).out.trim()
  const claim = ['--caller', alice.did, '--service', old.serviceDid]
  const proof = (await runCli({ args: ['recovery', 'prove', key, ...claim] })).out.trim()
  const custody = { $type: `${REEVE}.community.mint#memberHeld`, recoveryKey, proof }
  const did: Did = (await change(alice, old, 'community.mint', { name: 'Gardeners', custody })).did
  const [genesis] = await logAt(plc.url, did)

  // What it has there: a role of its own, two spaces and one that is gone, people, another owner, a space on a roster, bans.
  const at = (type: string, skey: string) => `at://${did}/space/${type}/${skey}`
  const [forum, crew] = [at('com.atmoboards.forum', 'main'), at(`${REEVE}.role`, 'greeters')]
  const roster = at(`${REEVE}.roster`, 'self')
  const before = (method: string, body: object) => change(alice, old, method, body)
  const forumType = { community: did, spaceType: 'com.atmoboards.forum' }
  await before('role.put', {
    community: did,
    name: 'greeter',
    actions: ['read', 'invite'],
    description: 'Says "hello".',
  })
  await before('space.create', {
    ...forumType,
    skey: 'main',
    name: 'The allotments',
    description: 'About $beds & more',
  })
  await before('space.create', { ...forumType, skey: 'gone' })
  await before('space.create', { community: did, spaceType: `${REEVE}.role`, skey: 'greeters' })
  const readPolicy = { $type: 'com.atproto.simplespace.defs#publicPolicy' }
  await before('space.create', { ...forumType, skey: 'news', readPolicy })
  await before('space.update', { space: forum, joining: 'byRequest' })
  await before('member.put', { space: crew, did: bob.did, role: 'member' })
  await before('member.put', { space: forum, did: carol.did, role: 'greeter', until: '2999-01-01T00:00:00Z' })
  await before('member.put', { space: roster, did: carol.did, role: 'moderator' })
  await before('member.put', { space: forum, memberSpace: crew, role: 'member' })
  await before('member.ban', { space: forum, did: dave.did, reason: 'It’s "spam".' })
  await before('member.put', { space: forum, did: dave.did, role: 'reader' })
  await before('space.delete', { space: at('com.atmoboards.forum', 'gone') })
  await before('member.put', { space: roster, did: erin.did, role: 'owner' })
  await bringReaders(alice, old, forum)
  const heldBefore = await credentialFor(bob, old, did, forum)

  let home: ReeveProcess | null = null
  const place = await reevePlace({ plcUrl: plc.url, dataDir: newData })
  const openHome = async () => {
    home = await startReeve(place)
    cleanup.defer(() => home?.kill())
    return home
  }
  const heard: string[] = []
  const newHome = await openHome()

  const page = await readFile(PAGE, 'utf8')
  const blocks = [...page.matchAll(BLOCK)].map(({ groups }) => ({
    lines: groups?.lines ?? '',
    told: groups?.answer ?? '',
  }))
  const nthOf = (words: string) => {
    const nth = blocks.findIndex(({ lines }) => lines.includes(words))
    expect(nth, words).toBeGreaterThanOrEqual(0)
    return nth
  }
  const strike = nthOf('signed-2.json') - 1
  const compare = nthOf('read_json .fingerprint')
  const lines = blocks.map(({ lines }) => lines)
  // The key is there already; on the page it is made where it is first spoken of.
  const made = nthOf('recovery new')
  lines[made] = lines[made]?.replace('recovery.key', 'shown.key') ?? ''

  const day = await walk(lines.slice(0, strike), {
    env: {
      ...{ HOME: folder, HERE: folder, PLC: plc.url, COMMUNITY: did, CALLER: alice.did, SERVICE: old.serviceDid },
      ...{ PDS: pds.url, HANDLE: alice.handle, PASSWORD: alice.password, OWNER: erin.did },
      ...{ OLD_HOME: `${old.serviceDid}#reeve`, NEW_HOME: `${newHome.serviceDid}#reeve` },
    },
    typed: did,
    async before(nth) {
      if (nth === nthOf('NEW_HOME')) await old.kill()
      if (nth !== compare) return
      // The operator of the new home reads the key there, and says it by telephone.
      expect(await newHome.stop()).toBe(0)
      const told = await runCli({ args: ['arrivals'], environment: place.environment })
      const { fingerprint, statement } = JSON.parse(await readFile(join(folder, 'answer.json'), 'utf8'))
      expect(told.out.split('\n').slice(0, 4)).toEqual([
        `${did}  Gardeners`,
        `  the key made for it  ${statement.rotationKey}`,
        `  the fingerprint to compare  ${fingerprint}`,
        expect.stringMatching(`^  asked for by ${alice.did}, who becomes its owner here; over on `),
      ])
      heard.push(newHome.output(), told.out)
      await openHome()
    },
  })

  // Another community, whose new home strikes: it is played, since no Reeve does this.
  const second = await strickenWorld(plc.url, await folderOf('reeve-guide-'))
  const rest = await walk([lines[0] ?? '', ...lines.slice(strike)], {
    env: { HOME: second.folder, HERE: second.folder, PLC: plc.url, COMMUNITY: second.did, ME: second.owner },
    typed: second.did,
    before: async (nth) => (nth === 1 ? second.strike() : undefined),
  })

  const readable = readableBy({
    ...{ [folder]: '~/leaving', [did]: 'did:plc:gardeners…', [plc.url]: 'https://plc.directory' },
    ...{ [alice.did]: 'did:plc:alice…', [bob.did]: 'did:plc:bob…', [carol.did]: 'did:plc:carol…' },
    ...{ [dave.did]: 'did:plc:dave…', [erin.did]: 'did:plc:erin…' },
    ...{ [old.url]: 'https://old.example.org', [old.serviceDid]: 'did:web:old.example.org' },
    ...{ [newHome.url]: 'https://new.example.org', [newHome.serviceDid]: 'did:web:new.example.org' },
  })
  const readableThere = readableBy({
    ...{ [second.folder]: '~/leaving', [second.did]: 'did:plc:gardeners…', [plc.url]: 'https://plc.directory' },
    [second.owner]: 'did:plc:alice…',
  })
  // On the page it is the same community still, so its keys have the same letters.
  readableThere([keysIn(day.printed[made])[0], ...second.sofar].join(' '))
  const answers = [...day.printed.map(readable), ...rest.printed.slice(1).map(readableThere)]
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(PAGE, withAnswers(page, answers))
  process.stdout.write(
    timesOf(
      blocks.map(({ lines }) => lines),
      [...day.ms, ...rest.ms.slice(1)],
    ),
  )
  expect(answers).toEqual(blocks.map(({ told }) => told.trim()))

  // The document names the second home's keys and the community's own, and no other.
  const log = await logAt(plc.url, did)
  expect(log.map(({ nullified }) => nullified)).toEqual([false, false])
  const { statement } = JSON.parse(await readFile(join(folder, 'answer.json'), 'utf8'))
  expect(log[1]?.operation).toMatchObject({
    rotationKeys: [recoveryKey, statement.rotationKey],
    verificationMethods: statement.verificationMethods,
    services: { atproto_space_host: { endpoint: newHome.url }, atproto_pds: { endpoint: newHome.url } },
  })
  const itsKeys = [recoveryKey, statement.rotationKey, ...Object.values<string>(statement.verificationMethods)]
  expect(new Set(keysIn(log[1]?.operation))).toEqual(new Set(itsKeys))
  const formerKeys = keysIn(genesis?.operation).filter((one) => one !== recoveryKey)
  expect(formerKeys).toHaveLength(3)

  // The second home has the community, with its own keys only, and everybody on the roll.
  const got = await ask(alice, newHome, 'community.get', { community: did })
  expect(got).toMatchObject({ name: 'Gardeners', status: 'active', custody: 'memberHeld', recoveryKey })
  const keys = await ask(alice, newHome, 'key.list', { community: did })
  expect(keys.keys.map(({ didKey }: Body) => didKey).toSorted()).toEqual(itsKeys.slice(1).toSorted())
  // What the page has taken from it, page after page.
  const roll = await readFile(join(folder, 'roll-there.jsonl'), 'utf8')
  const there: Body[] = roll
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(there.filter(({ kind, role }) => kind === 'member' && role === 'reader')).toHaveLength(READERS + 1)
  for (const line of [
    { kind: 'role', name: 'greeter', actions: ['read', 'invite'], description: 'Says "hello".' },
    {
      kind: 'space',
      space: forum,
      state: 'live',
      name: 'The allotments',
      description: 'About $beds & more',
      joining: 'byRequest',
    },
    { kind: 'space', space: crew, state: 'live', readPolicy: 'memberList', joining: 'closed' },
    { kind: 'space', space: at('com.atmoboards.forum', 'news'), readPolicy: 'public', writePolicy: 'memberList' },
    { kind: 'memberSpace', space: forum, memberSpace: crew, role: 'member' },
    { kind: 'member', space: crew, did: bob.did, role: 'member' },
    { kind: 'member', space: forum, did: carol.did, role: 'greeter', until: '2999-01-01T00:00:00.000Z' },
    { kind: 'member', space: roster, did: carol.did, role: 'moderator' },
    { kind: 'member', space: roster, did: alice.did, role: 'owner' },
    { kind: 'member', space: roster, did: erin.did, role: 'owner' },
    { kind: 'ban', scope: forum, did: dave.did, reason: 'It’s "spam".' },
  ])
    expect(there).toContainEqual(expect.objectContaining(line))
  expect(there.some(({ space }) => space === at('com.atmoboards.forum', 'gone'))).toBe(false)
  expect(JSON.stringify([got, keys, there])).not.toMatch(new RegExp(formerKeys.join('|')))

  // Bob reads with what the second home gives him, wherever somebody looks at the document. The first home's word is worth nothing there.
  const host = playRepoHost({ plcUrl: plc.url, clock: systemClock, generation: 'october' })
  const held = await credentialFor(bob, newHome, did, forum)
  if (typeof held === 'string' || typeof heldBefore === 'string')
    throw new Error(`no credential: ${held} ${heldBefore}`)
  expect(await host.read(held)).toBe('200')
  expect(await host.read(heldBefore)).toBe('401 BadJwtSignature')
  expect(await credentialFor(dave, newHome, did, forum)).toBe('UserNotAuthorized')

  // The other community was struck, went to itself, went on, and has another key.
  const logThere = await logAt(plc.url, second.did)
  expect(logThere.map(({ nullified }) => nullified)).toEqual([false, false, true, false, false, false])

  // Nobody's secret stands in what was printed, logged, or kept, but for the key's own files.
  const places: Record<string, Uint8Array> = {
    page: Buffer.from([...day.printed, ...rest.printed].join('')),
    homes: Buffer.from([old.output(), ...heard, newHome.output()].join('')),
  }
  const secrets: Record<string, ReturnType<typeof spellingsOf>> = { password: { plain: Buffer.from(alice.password) } }
  for (const one of [folder, second.folder]) {
    // What npm keeps there too.
    for (const file of await readdir(one, { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue
      const path = join(file.parentPath, file.name)
      const text = await readFile(path)
      if (path.endsWith('.key')) secrets[path] = spellingsOf(scalarIn(text.toString('utf8')))
      else places[path] = text
    }
  }
  expect(Object.keys(secrets)).toHaveLength(5)
  expect(where(secrets, places)).toEqual([])
  // Sessions and service tokens begin like this.
  for (const text of Object.values(places)) expect(Buffer.from(text).toString('utf8')).not.toContain('eyJ')
}, 300_000)

const NEXT_ENDPOINT = 'https://next.example.org'
/** A home that the community has never been at. */
const NEXT_HOME = {
  service: 'did:web:next.example.org' as Did,
  services: {
    atproto_space_host: { type: 'AtprotoSpaceHost' as const, endpoint: NEXT_ENDPOINT },
    atproto_pds: { type: 'AtprotoPersonalDataServer' as const, endpoint: NEXT_ENDPOINT },
  },
}

/** A community that left for a new home some days ago, as far as the page has come by then, and what that home does to it. */
async function strickenWorld(plcUrl: string, folder: string) {
  const [recovery, ours] = [makeKey('k256'), makeKey('k256')]
  const genesis = signed(ours, { ...atHome([recovery, ours], null), alsoKnownAs: [] })
  const did = didOf(genesis)
  const home = newHomeFor(did)
  const { rotationKey, verificationMethods, services } = home.statement
  await hoursAgo(200, () => submitOperation(plcUrl, did, genesis))
  const plain = { type: 'plc_operation' as const, alsoKnownAs: [] }
  const left = { ...plain, rotationKeys: [recovery.didKey, rotationKey], verificationMethods, services }
  const prev = (await logAt(plcUrl, did)).at(-1)?.cid ?? ''
  const prevNow = await happened(plcUrl, did, 100, recovery, { ...left, prev })
  keyFileIn(folder, 'recovery.key', recovery)
  await writeFile(join(folder, 'log.json'), JSON.stringify(await logAt(plcUrl, did)))
  await writeFile(join(folder, 'next-home.json'), JSON.stringify(newHomeFor(did, NEXT_HOME).statement))
  const owner = home.statement.for
  const homeKeys = [rotationKey, verificationMethods.atproto, verificationMethods.atproto_space]
  const sofar = [recovery.didKey, ...homeKeys, ...keysIn(genesis).slice(1), prev, prevNow]
  const struck = { ...plain, rotationKeys: [rotationKey], verificationMethods: {}, services: {}, prev: prevNow }
  return { did, folder, owner, sofar, strike: () => happened(plcUrl, did, 0, home.key, struck) }
}

/** Machine time for each block, which says nothing about how long a person needs. */
function timesOf(blocks: readonly string[], ms: readonly number[]): string {
  const rows = blocks.map(
    (lines, nth) => `${String(Math.round(ms[nth] ?? 0)).padStart(7)} ms  ${lines.split('\n', 1)[0]}`,
  )
  return `docs/leaving.md, block by block:\n${rows.join('\n')}\n`
}
