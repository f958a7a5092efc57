/** A release of a small checkout, as a maintainer makes it and a stranger checks it: refused, made twice alike, damaged, and signed. */
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkoutAt } from '../../scripts/checkout.ts'
import { promisesOf } from '../../scripts/promises.ts'
import { NotReleased, type Release, release, sha256 } from '../../scripts/release.ts'
import type { SuiteRun } from '../../scripts/release-proof.ts'
import { verifyRelease } from '../../scripts/release-verify.ts'
import { ROOT, readText } from '../kit/source.ts'

const PARTS = ['package.json', 'package-lock.json', '.gitignore', 'SECURITY.md', 'lexicons', 'migrations', 'scripts']
const ONE = { passed: 1, failed: 0, skipped: 0 }

const hasSshKeygen = (): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((place) => existsSync(join(place, 'ssh-keygen')))

describe('a release', () => {
  const folder = mkdtempSync(join(tmpdir(), 'reeve-releasing-'))
  const from = join(folder, 'checkout')
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.com', ...args], {
      cwd: from,
      encoding: 'utf8',
    })

  /** As if the whole suite had run there. */
  function note(more: Partial<SuiteRun> = {}): void {
    const files = Object.fromEntries(
      promisesOf(readText('SECURITY.md')).flatMap(({ tests }) => tests.map((path) => [path, ONE])),
    )
    const counts = { passed: Object.keys(files).length, failed: 0, skipped: 0 }
    const run: SuiteRun = {
      ...{
        commit: checkoutAt(from)?.commit ?? null,
        isClean: true,
        hasPostgres: true,
        date: '2026-11-30T00:00:00.000Z',
      },
      ...{ node: 'v24.21.0', seconds: 1, counts, projects: { rooms: counts }, files },
      ...more,
    }
    writeFileSync(join(from, 'test/last.json'), JSON.stringify(run))
  }
  const make = (name: string): Release => release(from, join(folder, name))
  /** The one that most tests look at. */
  const made = (): Release => JSON.parse(readFileSync(join(folder, 'one/release.json'), 'utf8'))
  const refused = (): string => {
    try {
      make('never')
      return 'released'
    } catch (error) {
      if (!(error instanceof NotReleased)) throw error
      return error.message
    }
  }

  beforeAll(() => {
    for (const part of PARTS) cpSync(join(ROOT, part), join(from, part), { recursive: true })
    mkdirSync(join(from, 'test'))
    execFileSync('git', ['init', '-q', from])
    git('add', '.')
    git('commit', '-q', '-m', 'all')
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('is none without results, on a tree that was changed, of another commit, or with a test that is missing', () => {
    expect(refused()).toMatch(/no results of the suite/)
    note()
    writeFileSync(join(from, 'stray.ts'), '')
    expect(refused()).toBe('the tree is not clean')
    rmSync(join(from, 'stray.ts'))
    note({ commit: 'ab'.repeat(20) })
    expect(refused()).toBe('the suite ran on another commit')
    mkdirSync(join(from, 'faults'))
    const failed = { name: 'kill', engine: 'postgres', found: { faults: ['a token was taken twice'] } }
    const last = { versions: { commit: checkoutAt(from)?.commit.slice(0, 12) }, rows: [failed] }
    writeFileSync(join(from, 'faults/last.json'), JSON.stringify(last))
    note()
    expect(refused()).toMatch(/^P7: kill of test:faults failed$/m)
    rmSync(join(from, 'faults'), { recursive: true })
    note({ files: {} })
    expect(refused()).toMatch(/^P1: test\/\S+ is not green in that run$/m)
    expect(existsSync(join(folder, 'never'))).toBe(false)
  })

  it('is the same bytes each time, whatever the hour, and says of what', () => {
    note()
    const [about] = [make('one'), make('two')]
    const names = readdirSync(join(folder, 'one'))
    expect(names.toSorted()).toEqual(['SHA256SUMS', 'release.json', about.archive.name, about.bill.name].toSorted())
    for (const name of names)
      expect(sha256(readFileSync(join(folder, 'one', name))), name).toBe(
        sha256(readFileSync(join(folder, 'two', name))),
      )
    const { commit, date } = checkoutAt(from) ?? {}
    expect(about).toMatchObject({ version: JSON.parse(readText('package.json')).version, commit, date })
    expect(about.proof.promises.length).toBe(promisesOf(readText('SECURITY.md')).length)
    const tar = gunzipSync(readFileSync(join(folder, 'one', about.archive.name)))
    const again = execFileSync(
      'git',
      ['-c', 'tar.umask=0022', 'archive', '--format=tar', `--prefix=reeve-${about.version}/`, about.commit],
      { cwd: from, maxBuffer: 2 ** 28 },
    )
    expect(sha256(again)).toBe(sha256(tar))
    const listed = execFileSync('sh', ['-c', 'find lexicons -type f | LC_ALL=C sort | xargs sha256sum | sha256sum'], {
      cwd: from,
      encoding: 'utf8',
    })
    expect(listed.slice(0, 64)).toBe(about.lexiconsSha256)
  })

  it('has a bill of every package that a service runs with, each with its hash, and of none for tests alone', () => {
    const { bill } = made()
    const { components } = JSON.parse(readFileSync(join(folder, 'one', bill.name), 'utf8'))
    const packages: Record<string, { name?: string; version: string; dev?: boolean }> = JSON.parse(
      readText('package-lock.json'),
    ).packages
    const locked = Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev)
    const nameOf = (path: string) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const owed = new Set(locked.map(([path, { name, version }]) => `${name ?? nameOf(path)}@${version}`))
    const refs: string[] = components.map((one: { 'bom-ref': string }) => one['bom-ref'])
    expect(refs.toSorted()).toEqual([...owed].toSorted())
    const names = refs.map((ref) => ref.slice(0, ref.lastIndexOf('@')))
    const { dependencies, devDependencies } = JSON.parse(readText('package.json'))
    expect(names).toEqual(expect.arrayContaining(Object.keys(dependencies)))
    for (const name of ['vitest', 'typescript', '@biomejs/biome']) {
      expect(Object.keys(devDependencies)).toContain(name)
      expect(names).not.toContain(name)
    }
    expect(components.filter(({ hashes }: { hashes?: object[] }) => !hashes?.length)).toEqual([])
    expect(components.length).toBe(bill.components)
  })

  it('fits together when it is checked, by sha256sum and by the script, from the archive itself as well', () => {
    const { archive, version } = made()
    const at = join(folder, 'one')
    expect(execFileSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: at, encoding: 'utf8' })).toMatch(/^(?:\S+: OK\n){3}$/)
    expect(verifyRelease(at)).toEqual([])
    execFileSync('tar', ['-xzf', join(at, archive.name), '-C', folder])
    const script = join(folder, `reeve-${version}`, 'scripts/release-verify.ts')
    expect(execFileSync(process.execPath, [script, at], { encoding: 'utf8' })).toContain('belongs together')
  })

  describe('that was changed is found out', () => {
    const spoilt = (spoil: (at: string, about: Release) => void, { isSummed = true } = {}): readonly string[] => {
      const at = join(folder, 'spoilt')
      cpSync(join(folder, 'one'), at, { recursive: true })
      const about: Release = JSON.parse(readFileSync(join(at, 'release.json'), 'utf8'))
      spoil(at, about)
      if (isSummed) {
        const names = [about.archive.name, about.bill.name, 'release.json']
        const sums = names.map((name) => `${sha256(readFileSync(join(at, name)))}  ${name}\n`)
        writeFileSync(join(at, 'SHA256SUMS'), sums.join(''))
      }
      return verifyRelease(at)
    }
    const rewrite = (at: string, change: (about: Release) => object) => {
      const path = join(at, 'release.json')
      const about: Release = JSON.parse(readFileSync(path, 'utf8'))
      writeFileSync(path, JSON.stringify({ ...about, ...change(about) }))
    }

    it('by its sums, and where they don’t name everything', () => {
      const append = (at: string, about: Release) => appendFileSync(join(at, about.bill.name), ' ')
      expect(spoilt(append, { isSummed: false })).toEqual([
        expect.stringMatching(/cdx\.json is not what SHA256SUMS says/),
      ])
      const empty = (at: string) => writeFileSync(join(at, 'SHA256SUMS'), '')
      expect(spoilt(empty, { isSummed: false })).toHaveLength(3)
    })

    it('by its archive, also when the sums were made anew', () => {
      const swap = (at: string, { archive }: Release) => {
        const tar = gunzipSync(readFileSync(join(at, archive.name)))
        const place = tar.indexOf('Nobody')
        tar.write('Anybod', place)
        writeFileSync(join(at, archive.name), gzipSync(tar))
      }
      expect(spoilt(swap)).toContain('the archive is not what release.json says')
    })

    it.each<[string, (about: Release) => object, string]>([
      ['another commit', () => ({ commit: 'ab'.repeat(20) }), 'the commit is not what release.json says'],
      [
        'another lock file',
        () => ({ lockfileSha256: 'ab'.repeat(32) }),
        'package-lock.json is not what release.json says',
      ],
      ['other lexicons', () => ({ lexiconsSha256: 'ab'.repeat(32) }), 'lexicons is not what release.json says'],
      ['other migrations', () => ({ migrationsSha256: 'ab'.repeat(32) }), 'migrations is not what release.json says'],
      [
        'a promise fewer',
        ({ proof }) => ({ proof: { ...proof, promises: proof.promises.slice(1) } }),
        'the list of promises is not what release.json says',
      ],
      [
        'a failure',
        ({ proof }) => ({ proof: { ...proof, suite: { ...proof.suite, counts: { ...ONE, failed: 1 } } } }),
        '1 failed',
      ],
    ])('by its own words: %s', (_says, change, fault) => {
      expect(spoilt((at) => rewrite(at, change))).toContain(fault)
    })
  })

  it('is signed and checked with a key of the maintainer’s as the page says, and not when it was changed', () => {
    const sign = ['-n', 'reeve-release', 'SHA256SUMS']
    expect(readText('docs/releasing.md')).toContain(`ssh-keygen -Y sign -f ~/.ssh/release ${sign.join(' ')}`)
    // It comes with every system that has ssh; where there is none, the page alone can be looked at.
    if (!hasSshKeygen()) return
    made()
    const at = join(folder, 'one')
    const key = join(folder, 'key')
    const quiet = { cwd: at, stdio: 'pipe', encoding: 'utf8' } as const
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key], quiet)
    execFileSync('ssh-keygen', ['-Y', 'sign', '-f', key, ...sign], quiet)
    writeFileSync(join(folder, 'allowed'), `maintainers ${readFileSync(`${key}.pub`, 'utf8')}`)
    const verify = () =>
      execFileSync(
        'ssh-keygen',
        [
          '-Y',
          'verify',
          '-f',
          join(folder, 'allowed'),
          '-I',
          'maintainers',
          '-n',
          'reeve-release',
          '-s',
          'SHA256SUMS.sig',
        ],
        { ...quiet, input: readFileSync(join(at, 'SHA256SUMS')) },
      )
    expect(verify()).toContain('Good "reeve-release" signature for maintainers')
    appendFileSync(join(at, 'SHA256SUMS'), '\n')
    expect(verify).toThrow()
  })
})
