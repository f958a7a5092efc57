/** The files of an empty embedded database: making them takes seconds, copying them a fraction of one, so they are kept beside the packages. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { openInMemory } from '../../src/platform/embedded.ts'
import { silentLog } from '../../src/platform/log.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'

let dump: Promise<Blob> | null = null

/** The same for everybody in this process. */
export function emptyDump(): Promise<Blob> {
  dump ??= loadOrMakeDump()
  return dump
}

async function loadOrMakeDump(): Promise<Blob> {
  const modules = new URL('../../node_modules/', import.meta.url)
  const { version } = JSON.parse(readFileSync(new URL('@electric-sql/pglite/package.json', modules), 'utf8'))
  const folder = new URL('.cache/reeve/', modules)
  const file = new URL(`pglite-${version}.tar`, folder)
  if (existsSync(file)) return new Blob([readFileSync(file)])
  const engine = await openInMemory(silentLog)
  const made = await engine.dump()
  await engine.close()
  mkdirSync(folder, { recursive: true })
  const draft = new URL(`draft-${randomHex(systemRandom, 6)}`, folder)
  writeFileSync(draft, new Uint8Array(await made.arrayBuffer()))
  renameSync(draft, file)
  return made
}
