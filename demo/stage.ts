/**
 * What surrounds the story: the network is set up, the story told, and everything taken down again, however it ends: well,
 * with a failure, or by Ctrl-C in the middle.
 */
import { parseArgs } from 'node:util'
import { says, verbatim } from './narrator.ts'
import { type Network, openNetwork, Unexpected } from './network.ts'
import { howToCall } from './stay.ts'

/** After a signal, as a shell counts it. */
const EXIT_INTERRUPTED = 130
/** sysexits(3). */
const EXIT_USAGE = 64

/** Tells `story` on a network of its own. Exit codes: 0 told to the end, 1 something was not as told, 130 interrupted. */
export async function play(story: (network: Network) => Promise<{ did: string; forum: string }>): Promise<void> {
  const options = readOptions()
  const cleanup = new AsyncDisposableStack()
  const opening = openNetwork(cleanup, { isVerbose: options.verbose })
  let isTold = false
  let ending: Promise<void> | null = null
  const end = (): Promise<void> => {
    // What is still starting is waited for, or it would outlive the cleaning.
    ending ??= Promise.allSettled([opening]).then(() => cleanup.disposeAsync())
    return ending
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => void end().finally(() => process.exit(isTold ? 0 : EXIT_INTERRUPTED)))
  }

  try {
    const network = await opening
    const community = await story(network)
    isTold = true
    if (options.stay) return verbatim(howToCall(network, community))
    await end()
    says('Nothing is left running. `npm run demo -- --stay` leaves it running and says how to call it.')
  } catch (error) {
    // A story that was interrupted breaks off somewhere in the middle; that is no failure to tell of.
    if (ending !== null) return
    process.exitCode = 1
    await tellFailure(error, opening)
    await end()
  }
}

function readOptions(): { stay: boolean; verbose: boolean } {
  try {
    const { values } = parseArgs({ options: { stay: { type: 'boolean' }, verbose: { type: 'boolean' } } })
    return { stay: values.stay === true, verbose: values.verbose === true }
  } catch {
    console.error('\nusage: npm run demo -- [--stay] [--verbose]')
    return process.exit(EXIT_USAGE)
  }
}

async function tellFailure(error: unknown, opening: Promise<Network>): Promise<void> {
  const network = await opening.catch(() => null)
  console.error(`\nThe demo stopped: ${error instanceof Error ? error.message : String(error)}`)
  if (!(error instanceof Unexpected) && error instanceof Error) console.error(error.stack)
  if (network) console.error(`\nThe last lines of Reeve’s log:\n${await network.reeve.lastWords()}`)
}
