/**
 * An owner at their own machine, with `reeve keeper`: keys made, enrolled, an export confirmed, its file opened, and what came out used. And
 * what the tool does when a secret lies open: nothing.
 */
import { type ExecFileException, execFile } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../kit/databases.ts'
import { ENROL, EXPORT, makeKeeperKeys, openFile, TAKE } from '../kit/keepers.ts'
import { DAY_SEC, type ExportWorld, openExportWorld } from '../kit/key-exports.ts'
import { keyOfScalar } from '../kit/tokens.ts'
import type { Person } from '../kit/world.ts'

const CLI = new URL('../../src/cli.ts', import.meta.url).pathname

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs the tool as an owner does, with an environment of its own and perhaps something on its standard input. */
function reeve(
  args: readonly string[],
  { input, environment = {} }: { input?: string; environment?: Record<string, string> } = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    const env = { PATH: process.env['PATH'] ?? '', ...environment }
    const told = (error: ExecFileException | null, out: string, err: string) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err })
    const child = execFile(process.execPath, [CLI, 'keeper', ...args], { env }, told)
    child.stdin?.end(input ?? '')
  })
}

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reeve-keeper-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)

describe('reeve keeper init', () => {
  it('makes two files that only their owner can read, and says public halves alone', async () => {
    const keys = join(folder, 'keys')
    const { code, out, err } = await reeve(['init', keys])
    expect([code, err]).toEqual([0, ''])
    expect((await readdir(keys)).toSorted()).toEqual(['seal.key', 'sign.key'])
    expect([await modeOf(keys), await modeOf(join(keys, 'seal.key')), await modeOf(join(keys, 'sign.key'))]).toEqual([
      ...['700', '600', '600'],
    ])
    expect(out).toMatch(
      /^seal key: {4}age1[0-9a-z]{58}\nsign key: {4}did:key:zDn\S+\nfingerprint: (?:[0-9a-f]{4} ){4}[0-9a-f]{4}\n/,
    )
    expect(out).not.toMatch(/AGE-SECRET-KEY|PRIVATE KEY/)
    expect(await readFile(join(keys, 'seal.key'), 'latin1')).toMatch(
      /^# public key: age1\S+\nAGE-SECRET-KEY-1\S{58}\n$/,
    )
    expect(await readFile(join(keys, 'sign.key'), 'latin1')).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
    const shown = await reeve(['show', keys])
    expect(shown.code).toBe(0)
    expect(out.startsWith(shown.out)).toBe(true)
  })

  it('leaves what is there as it is', async () => {
    await writeFile(join(folder, 'sign.key'), 'mine')
    const { code, out } = await reeve(['init', folder])
    expect([code, out]).toEqual([1, ''])
    expect(await readdir(folder)).toEqual(['sign.key'])
    expect(await readFile(join(folder, 'sign.key'), 'latin1')).toBe('mine')
  })
})

describe('reeve keeper reads nothing, and ends with 77,', () => {
  const ENROLMENT = [...['--community', 'did:web:c.example.com'], ...['--caller', 'did:web:a.example.com']]
  const enrolFrom = (keys: string) => ['enrol', keys, ...ENROLMENT, '--service', 'did:web:s.example.com']

  it.each(['seal.key', 'sign.key'])('where others could read %s', async (name) => {
    await reeve(['init', folder])
    await chmod(join(folder, name), 0o644)
    const { code, out, err } = await reeve(enrolFrom(folder))
    expect([code, out]).toEqual([77, ''])
    expect(err).toContain('open to others')
    await chmod(join(folder, name), 0o600)
    expect((await reeve(enrolFrom(folder))).code).toBe(0)
  })

  it('also behind a link', async () => {
    await reeve(['init', folder])
    const keys = await mkdtemp(join(tmpdir(), 'reeve-keeper-'))
    await Promise.all(['seal.key', 'sign.key'].map((name) => symlink(join(folder, name), join(keys, name))))
    await chmod(join(folder, 'sign.key'), 0o644)
    expect((await reeve(enrolFrom(keys))).code).toBe(77)
    await rm(keys, { recursive: true })
  })

  it('where a key came as an argument or in the environment, and repeats none', async () => {
    const { identity } = await makeKeeperKeys()
    const hex = 'ab'.repeat(32)
    for (const args of [
      ['show', identity],
      ['init', folder, `--key=${hex}`],
      ['open', folder, hex],
    ]) {
      const { code, out, err } = await reeve(args)
      expect([code, out]).toEqual([77, ''])
      for (const secret of [identity, hex]) expect(err).not.toContain(secret)
    }
    const open: Record<string, string>[] = [{ ANYTHING: identity }, { REEVE_KEEPER: hex }]
    for (const environment of open) {
      const { code, out } = await reeve(['init', join(folder, 'keys')], { environment })
      expect([code, out]).toEqual([77, ''])
    }
    expect(await readdir(folder)).toEqual([])
  })
})

describe('reeve keeper explains itself', () => {
  it.each([
    ['nothing of the kind', ['mend']],
    ['no folder', ['init']],
    ['two folders', ['init', 'a', 'b']],
    ['a name that is no DID', ['enrol', 'a', '--community', 'x', '--caller', 'y', '--service', 'z']],
    [
      'no method',
      ['step-up', 'a', '--input', '-', '--caller', 'did:web:a.example.com', '--service', 'did:web:b.example.com'],
    ],
  ])('to whoever asks for %s', async (_what, args) => {
    const { code, out, err } = await reeve(args)
    expect([code, out]).toEqual([64, ''])
    expect(err).toContain('reeve keeper')
  })

  it('in one line where there are no keys, or the input is none', async () => {
    expect(await reeve(['show', join(folder, 'none')])).toMatchObject({ code: 1, out: '' })
    await reeve(['init', folder])
    const who = ['--caller', 'did:web:a.example.com', '--service', 'did:web:b.example.com', '--act', EXPORT]
    for (const [input, says] of [
      ['{', 'what should be JSON on the standard input is not'],
      ['[]', 'the input is no object'],
      ['{"community":"x"}', 'the input names no community: say by --community which one it is about'],
      ['{"proposal":"x"}', 'the input names no community: say by --community which one it is about'],
    ] as const) {
      const ran = await reeve(['step-up', folder, ...who, '--input', '-'], { input })
      expect(ran).toEqual({ code: 1, out: '', err: `reeve: ${says}\n` })
    }
    const nobody = await reeve(['step-up', folder, ...who, '--input', '-'], {
      input: '{"community":"did:web:c.example"}',
    })
    expect([nobody.code, nobody.out]).toEqual([64, ''])
    expect(nobody.err).toContain('there must be a terminal to type at')
  })

  it('before a step up: what follows, and nothing is signed for whoever does not type the DID', async () => {
    await reeve(['init', folder])
    const [community, other] = ['did:web:c.example.com', 'did:web:other.example.com']
    const path = join(folder, 'call.json')
    await writeFile(path, JSON.stringify({ community, recipients: [other, 'x y'], reason: 'so\u202e' }))
    const who = ['--caller', 'did:web:a.example.com', '--service', 'did:web:b.example.com', '--input', path]
    for (const input of ['', 'yes\n', `${other}\n`]) {
      const ran = await reeve(['step-up', folder, ...who, '--act', EXPORT], { input })
      expect([ran.code, ran.out]).toEqual([1, ''])
      expect(ran.err).toContain(`nobody can take it from them again:\n  ${other}\n  "x y"\n`)
      expect(ran.err).toContain('"reason": "so\\u{202e}"')
      expect(ran.err).toContain('Nothing was signed.')
    }
    const strange = await reeve(['step-up', folder, ...who, '--act', 'com.example.give'], { input: `${community}\n` })
    expect(strange.err).toContain('does not know what follows')
    expect(strange.code).toBe(0)
    expect(Object.keys(JSON.parse(strange.out))).toEqual(['at', 'sig'])
  })
})

describe('an owner exports the key of their community', () => {
  let hers: ExportWorld
  let owner: Person

  beforeAll(async () => {
    hers = await openExportWorld(await openTestDatabase('embedded'))
    owner = await hers.world.person()
  })
  afterAll(() => hers.close())

  it('with this tool and their session, from making keys to reading the key', async () => {
    const { world } = hers
    const community = await world.found(owner)
    const service = world.config.serviceDid
    const who = ['--caller', owner.did, '--service', service]
    const made = await reeve(['init', folder])
    const enrolment = await reeve(['enrol', folder, '--community', community, ...who])
    expect(enrolment).toMatchObject({ code: 0, err: expect.stringContaining('copy the folder there') })
    const enrolled = await owner.call(ENROL, JSON.parse(enrolment.out))
    expect(enrolled.status).toBe(200)
    expect(made.out).toContain(`fingerprint: ${enrolled.body.fingerprint}\n`)
    // The tool has no clock but that of its machine, which the service must not run away from.
    await hers.database.db.updateTable('keeper').set({ enrolled_at_ms: 0, counts_from_ms: 0 }).execute()

    const call = { community, reason: 'Umzug nach Süden' }
    const input = `${community}\n`
    await writeFile(join(folder, 'call.json'), JSON.stringify({ community }))
    const stepUp = ['step-up', folder, ...who, '--act', EXPORT, '--input', join(folder, 'call.json')]
    const confirmed = await reeve(stepUp, { input })
    expect(confirmed.code).toBe(0)
    expect(confirmed.err).toContain(
      `You confirm ${EXPORT} at ${service}, as ${owner.did}, with:\n  "community": "${community}"\nThese people will have the key`,
    )
    expect(confirmed.err).toContain(`again:\n  ${owner.did}\n`)
    const another = await owner.call(EXPORT, { ...call, stepUp: JSON.parse(confirmed.out) })
    expect(another).toMatchObject({ status: 403, body: { error: 'KeeperSignatureRequired' } })

    await writeFile(join(folder, 'call.json'), JSON.stringify(call))
    const again = await reeve(stepUp, { input })
    expect(again.err).toContain('Umzug nach S\\u{fc}den')
    const asked = await owner.call(EXPORT, { ...call, stepUp: JSON.parse(again.out) })
    expect(asked).toMatchObject({ status: 200, body: { proposal: { state: 'approved' } } })

    world.clock.moveSec(DAY_SEC)
    await hers.turn()
    const taken = await owner.call(TAKE, { community, export: asked.body.proposal.id })
    expect(taken.status).toBe(200)
    const sealed = join(folder, 'key.age')
    await writeFile(sealed, Buffer.from(taken.body.file, 'base64'))
    const [opened, fromText] = [join(folder, 'key.txt'), join(folder, 'key2.txt')]
    expect(await reeve(['open', folder, sealed, '--out', opened])).toMatchObject({ code: 0, err: '' })
    expect(await modeOf(opened)).toBe('600')
    const text = await readFile(opened, 'utf8')
    const key = keyOfScalar('k256', Buffer.from(/^[0-9a-f]{64}$/m.exec(text)?.[0] ?? '', 'hex'))
    expect(text).toContain(`Public half:  ${key.didKey}\n`)

    await writeFile(sealed, taken.body.file)
    expect(await reeve(['open', folder, sealed, '--out', fromText])).toMatchObject({ code: 0 })
    expect(await readFile(fromText, 'utf8')).toBe(text)
    const over = await reeve(['open', folder, sealed, '--out', opened])
    expect([over.code, await readFile(opened, 'utf8')]).toEqual([1, text])
    const identity = /AGE-SECRET-KEY-1\S+/.exec(await readFile(join(folder, 'seal.key'), 'latin1'))?.[0] ?? ''
    expect(await openFile(identity, taken.body.file), 'and by any program that knows age').toBe(text)

    const other = join(folder, 'other')
    await reeve(['init', other])
    const denied = await reeve(['open', other, sealed, '--out', join(folder, 'none.txt')])
    expect(denied).toEqual({ code: 1, out: '', err: 'reeve: the file is not for these keys, or it was changed\n' })
    expect(await readdir(folder)).not.toContain('none.txt')
  })
})
