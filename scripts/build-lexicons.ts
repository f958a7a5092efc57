/** Writes `src/lexicons/` from `lexicons/`, the only contract. Run it after changing a lexicon; a house test notices when it wasn't. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))
const lex = `${root}node_modules/@atproto/lex/bin/lex`

/** Replaces everything under `out`, a path from the top folder or an absolute one. */
export function buildLexicons(out: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'reeve-lexicons-'))
  try {
    cpSync(`${root}lexicons`, folder, { recursive: true, filter: isForCode })
    const paths = ['--lexicons', folder, '--out', out, '--clear']
    const form = ['--import-ext', '.ts', '--index-file', '--no-pretty', '--lib', '@atproto/lex-schema']
    execFileSync(process.execPath, [lex, 'build', ...paths, ...form], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Declarations of space types are read by whoever asks for a person's consent, and by no code here; the generator doesn't know them yet.
 * Left out by their type, and not as whatever it calls invalid: a method that was misspelt would then be missing without a word.
 */
function isForCode(path: string): boolean {
  if (statSync(path).isDirectory()) return true
  const { defs } = JSON.parse(readFileSync(path, 'utf8')) as { defs: { main?: { type: string } } }
  return defs.main?.type !== 'space'
}

if (import.meta.main) buildLexicons('src/lexicons')
