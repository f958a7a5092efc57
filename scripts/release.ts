/**
 * `npm run -s release`: the archive of this very commit with the proof that goes with it, in the folder `release` or the one that is named.
 * Refuses when the tree isn't clean, or when the whole suite didn't pass on this commit. What each file says stands in `docs/releasing.md`.
 *
 * The same commit with the same results gives the same bytes: no time of day and nothing of this machine goes in.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { type Checkout, checkoutAt } from './checkout.ts'
import { type Promised, promisesOf } from './promises.ts'
import { brokenIn, type OtherRun, type Proof, proofOf, releaseFaults, type SuiteRun } from './release-proof.ts'

export interface Release {
  readonly version: string
  readonly commit: string
  /** Of the commit. */
  readonly date: string
  /** `tarSha256` is of the archive unpacked by gunzip, which is the same whoever compressed it. */
  readonly archive: { readonly name: string; readonly sha256: string; readonly tarSha256: string }
  readonly lockfileSha256: string
  /** Of `sha256sum` of every file under the folder, in the order of their names. */
  readonly lexiconsSha256: string
  readonly migrationsSha256: string
  readonly bill: { readonly name: string; readonly sha256: string; readonly components: number }
  readonly proof: Proof
}

/** Why there is no release. */
export class NotReleased extends Error {
  override readonly name = 'NotReleased'
}

const BYTES_MAX = 512 * 1024 * 1024

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex')

/** Writes the four files of a release of the checkout `from` into `folder`. @throws NotReleased */
export function release(from: string, folder: string): Release {
  const read = (path: string): string => readFileSync(join(from, path), 'utf8')
  const noted = <T>(path: string): T | null => (existsSync(join(from, path)) ? (JSON.parse(read(path)) as T) : null)
  const checkout = checkoutAt(from)
  const run = noted<SuiteRun>('test/last.json')
  const promises: readonly Promised[] = promisesOf(read('SECURITY.md'))
  const faults = releaseFaults(checkout, run, promises)
  if (faults.length > 0 || !checkout || !run) throw new NotReleased(faults.join('\n'))

  const proof = proofOf(checkout.commit, run, promises, otherRuns(noted))
  const broken = brokenIn(proof)
  if (broken.length > 0) throw new NotReleased(broken.join('\n'))

  const { name, version } = JSON.parse(read('package.json')) as { name: string; version: string }
  const tar = tarOf(from, checkout.commit, `${name}-${version}/`)
  const archive = gzipSync(tar, { level: 9 })
  const bill = billOf(from, name)
  const names = { archive: `${name}-${version}.tar.gz`, bill: `${name}-${version}.cdx.json` }
  const about: Release = {
    ...{ version, commit: checkout.commit, date: checkout.date },
    archive: { name: names.archive, sha256: sha256(archive), tarSha256: sha256(tar) },
    lockfileSha256: sha256(read('package-lock.json')),
    lexiconsSha256: folderSha256(from, 'lexicons'),
    migrationsSha256: folderSha256(from, 'migrations'),
    bill: { name: names.bill, sha256: sha256(bill.text), components: bill.components },
    proof,
  }
  const files: readonly (readonly [string, Uint8Array | string])[] = [
    [names.archive, archive],
    [names.bill, bill.text],
    ['release.json', `${JSON.stringify(about, null, 2)}\n`],
  ]
  mkdirSync(folder, { recursive: true })
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes)
  writeFileSync(join(folder, 'SHA256SUMS'), files.map(([name, bytes]) => `${sha256(bytes)}  ${name}\n`).join(''))
  return about
}

/** What is in the commit, whatever lies in the folder. The time of every file is that of the commit. */
function tarOf(from: string, commit: Checkout['commit'], prefix: string): Buffer {
  const asked = ['-c', 'tar.umask=0022', 'archive', '--format=tar', `--prefix=${prefix}`, commit]
  return execFileSync('git', asked, { cwd: from, maxBuffer: BYTES_MAX })
}

/** As `find FOLDER -type f | LC_ALL=C sort | xargs sha256sum | sha256sum` has it. */
export function folderSha256(from: string, folder: string): string {
  const listed = execFileSync('git', ['ls-files', '-z', '--', folder], { cwd: from, encoding: 'utf8' })
  const paths = listed.split('\0').filter((path) => path !== '')
  return listSha256(paths, (path) => readFileSync(join(from, path)))
}

export const listSha256 = (paths: readonly string[], read: (path: string) => Uint8Array): string =>
  sha256(
    paths
      .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .map((path) => `${sha256(read(path))}  ${path}\n`)
      .join(''),
  )

interface Bill {
  readonly metadata: { readonly component: object }
  readonly components: readonly (Properties & { readonly 'bom-ref': string })[]
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[]
}

interface Properties {
  readonly properties: readonly { readonly name: string }[]
}

/** The bill of materials, from the lock file alone: what a service runs with, and the hash of each package. */
function billOf(from: string, name: string): { text: string; components: number } {
  const asked = ['sbom', '--package-lock-only', '--sbom-format=cyclonedx', '--offline']
  const written = execFileSync('npm', asked, { cwd: from, maxBuffer: BYTES_MAX, encoding: 'utf8' })
  // Its number and its time differ at each writing, and say nothing of what is released.
  const { serialNumber: _number, ...bill } = JSON.parse(written) as Bill & { serialNumber?: string }
  // Asked to omit what is for development, npm leaves out what both need as well.
  const locked = lockedFor(JSON.parse(readFileSync(join(from, 'package-lock.json'), 'utf8')))
  const components = bill.components
    .filter((component) => locked.has(component['bom-ref']))
    .map((component) => ({ ...component, properties: component.properties.filter(isOfService) }))
  const dependencies = bill.dependencies
    .filter(({ ref }) => locked.has(ref) || ref.startsWith(`${name}@`))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => locked.has(one)) }))
  // Called by npm after the folder that it lies in.
  const metadata = { component: { ...bill.metadata.component, name } }
  const text = `${JSON.stringify({ ...bill, metadata, components, dependencies }, null, 2)}\n`
  return { text, components: components.length }
}

/** Of a package that is there twice, once for development, npm says so of both. */
const isOfService = ({ name }: { readonly name: string }): boolean => name !== 'cdx:npm:package:development'

interface LockFile {
  readonly packages: Readonly<
    Record<string, { readonly name?: string; readonly version: string; readonly dev?: boolean }>
  >
}

/** What a service runs with, as `name@version`. */
function lockedFor({ packages }: LockFile): ReadonlySet<string> {
  const own = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true)
  return new Set(own.map(([path, { name, version }]) => `${name ?? path.split('node_modules/').at(-1)}@${version}`))
}

interface Noted {
  readonly date?: string
  readonly commit?: string | null
  readonly versions?: { readonly commit: string | null }
  readonly rows?: readonly { name: string; engine: string; leftOut?: string; found?: { faults: readonly string[] } }[]
}

/** What the longer runs left, each the last of its kind. */
function otherRuns(noted: <T>(path: string) => T | null): readonly OtherRun[] {
  return ['faults', 'soak', 'bench'].flatMap((name) => {
    const last = noted<Noted>(`${name}/last.json`)
    if (!last) return []
    const rows = (name === 'faults' ? (last.rows ?? []) : []).map(({ name: row, engine, found }) => {
      const outcome = found ? (found.faults.length === 0 ? 'held' : 'failed') : 'not tried'
      return { name: row, engine, outcome } as const
    })
    return [{ name, commit: last.versions?.commit ?? last.commit ?? null, date: last.date ?? null, rows }]
  })
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? 'release')
  try {
    const { archive, commit, proof } = release(fileURLToPath(new URL('..', import.meta.url)), folder)
    const { passed } = proof.suite.counts
    console.log(`${archive.name} of ${commit}: ${proof.promises.length} promises, ${passed} tests passed`)
    console.log(`in ${folder}, not signed`)
  } catch (error) {
    if (!(error instanceof NotReleased)) throw error
    console.error(`Not released:\n${error.message}`)
    process.exitCode = 1
  }
}
