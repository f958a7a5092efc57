/** Writes `src/lexicons/` from `lexicons/`, the only contract. Run it after changing a lexicon; a house test notices when it wasn't. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))
const lex = `${root}node_modules/@atproto/lex/bin/lex`

/** Replaces everything under `out`, a path from the top folder or an absolute one. */
export function buildLexicons(out: string): void {
  const paths = ['--lexicons', 'lexicons', '--out', out, '--clear']
  const form = ['--import-ext', '.ts', '--index-file', '--no-pretty', '--lib', '@atproto/lex-schema']
  execFileSync(process.execPath, [lex, 'build', ...paths, ...form], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

if (import.meta.main) buildLexicons('src/lexicons')
