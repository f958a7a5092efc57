/**
 * `node scripts/release-verify.ts <folder>`: whether the files of a release belong together, and whether what it says of itself is what lies in
 * its archive. Needs Node and `tar`, and nothing of the project but this folder. That it is from somebody you trust only a signature shows.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { promisesOf } from './promises.ts'
import { listSha256, type Release, sha256 } from './release.ts'
import { brokenIn, releaseFaults } from './release-proof.ts'

/** What doesn't fit, one sentence each; nothing when all of it does. */
export function verifyRelease(folder: string): readonly string[] {
  const read = (name: string): Buffer => readFileSync(join(folder, name))
  const sums = [
    ...read('SHA256SUMS')
      .toString()
      .matchAll(/^([0-9a-f]{64}) {2}([\w.-]+)$/gm),
  ]
  const differing = sums.filter(([, sum, name = '']) => sha256(read(name)) !== sum).map(([, , name]) => name)
  if (differing.length > 0) return differing.map((name) => `${name} is not what SHA256SUMS says`)
  const about = JSON.parse(read('release.json').toString()) as Release
  const { archive, bill, proof } = about
  const owed = [archive.name, bill.name, 'release.json'].filter((name) => !sums.some(([, , listed]) => listed === name))
  if (owed.length > 0) return owed.map((name) => `SHA256SUMS doesn't name ${name}`)
  const tar = gunzipSync(read(archive.name))
  const scratch = mkdtempSync(join(tmpdir(), 'reeve-release-'))
  try {
    execFileSync('tar', ['-x', '-C', scratch], { input: tar })
    const top = join(scratch, `reeve-${about.version}`)
    const inside = (path: string): Buffer => readFileSync(join(top, path))
    const promises = promisesOf(inside('SECURITY.md').toString())
    const told = proof.promises.map(({ id, promise, bound }) => ({ id, promise, bound }))
    const said = promises.map(({ id, text: promise, bound }) => ({ id, promise, bound }))
    const files = Object.fromEntries(
      proof.promises.flatMap(({ tests }) => tests.map(({ path, ...counts }) => [path, counts])),
    )
    const claims: readonly (readonly [string, boolean])[] = [
      ['the archive', sha256(read(archive.name)) === archive.sha256 && sha256(tar) === archive.tarSha256],
      ['the bill of materials', sha256(read(bill.name)) === bill.sha256],
      ['package-lock.json', sha256(inside('package-lock.json')) === about.lockfileSha256],
      ['lexicons', listSha256(filesUnder(top, 'lexicons'), inside) === about.lexiconsSha256],
      ['migrations', listSha256(filesUnder(top, 'migrations'), inside) === about.migrationsSha256],
      ['the version', JSON.parse(inside('package.json').toString()).version === about.version],
      ['the list of promises', JSON.stringify(told) === JSON.stringify(said)],
      ['the commit', commitOf(tar) === about.commit],
    ]
    return [
      ...claims.filter(([, holds]) => !holds).map(([what]) => `${what} is not what release.json says`),
      ...releaseFaults({ commit: about.commit, isClean: true }, { ...proof.suite, files }, promises),
      ...brokenIn(proof),
    ]
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Paths from `top`, with slashes. */
const filesUnder = (top: string, folder: string): readonly string[] =>
  readdirSync(join(top, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(top, join(entry.parentPath, entry.name)).split(sep).join('/'))

/** As git wrote it into the archive, in a header of its own. */
const commitOf = (tar: Buffer): string =>
  /\d+ comment=([0-9a-f]{40})\n/.exec(tar.toString('latin1', 0, 4_096))?.[1] ?? ''

if (import.meta.main) {
  const [folder = 'release'] = process.argv.slice(2)
  const faults = verifyRelease(folder)
  for (const fault of faults) console.error(fault)
  if (faults.length === 0)
    console.log('Everything in this release belongs together. Who made it, only a signature shows.')
  process.exitCode = faults.length === 0 ? 0 : 1
}
