/** What git says of a folder: which commit it is, and whether anything in it is not of that commit. */
import { execFileSync } from 'node:child_process'

export interface Checkout {
  readonly commit: string
  /** Of the commit, with its zone. */
  readonly date: string
  /** False with anything that was changed, added or left lying about, but for what `.gitignore` names. */
  readonly isClean: boolean
}

/** Null where the folder is no checkout, or there is no git. */
export function checkoutAt(folder: string): Checkout | null {
  try {
    const [commit = '', date = ''] = git(folder, 'show', '--no-patch', '--format=%H %cI', 'HEAD').trim().split(' ')
    return { commit, date, isClean: git(folder, 'status', '--porcelain').trim() === '' }
  } catch {
    return null
  }
}

const git = (folder: string, ...args: readonly string[]): string =>
  execFileSync('git', args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' })
