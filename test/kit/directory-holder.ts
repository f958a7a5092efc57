/**
 * A process that takes a data directory, tells how it went in one line (`held` or `refused <pid>`), and holds it until its
 * standard input ends. Run by tests: `directory-holder.ts lock|database <directory>`; with `go`, it starts at the first input.
 */
import { once } from 'node:events'
import { DirectoryHeld, lockDirectory } from '../../src/platform/directory-lock.ts'
import { silentLog } from '../../src/platform/log.ts'

const [what, directory = '', start] = process.argv.slice(2)
if (start === 'go') {
  process.stdout.write('ready\n')
  await once(process.stdin, 'data')
}

async function take(): Promise<() => unknown> {
  if (what === 'lock') {
    const lock = await lockDirectory(directory)
    return () => lock.release()
  }
  const { openEmbedded } = await import('../../src/platform/embedded.ts')
  const engine = await openEmbedded({ dataDir: directory, log: silentLog })
  return () => engine.close()
}

try {
  const giveBack = await take()
  process.stdout.write('held\n')
  process.stdin.resume()
  await once(process.stdin, 'end')
  await giveBack()
} catch (error) {
  if (!(error instanceof DirectoryHeld)) throw error
  process.stdout.write(`refused ${error.pid}\n`)
  process.stdin.destroy()
}
