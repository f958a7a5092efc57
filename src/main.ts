/** Starts Reeve: reads the environment, opens the house, and closes it again when it is told to. */
import { sleep } from './platform/clock.ts'
import { ConfigError, parseConfig, processEnvironment } from './platform/config.ts'
import { errorName } from './platform/log.ts'
import { openReeve, type Reeve } from './reeve.ts'

/** sysexits(3): what is wrong is in the configuration, and starting again won't mend it. */
const EXIT_CONFIG = 78
/** From the signal on, until nobody is let in any more: callers hear that their connections end, and balancers that this process does. */
const NOTICE_MS = 1_000

try {
  const reeve = await openReeve(parseConfig(processEnvironment()))
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end(reeve))
  // "Seal": an operator who suspects something has the live keys forgotten at once; they are opened again when needed.
  process.on('SIGUSR2', () => reeve.house.vault.drop())
} catch (error) {
  for (const line of linesOf(error)) process.stderr.write(`reeve: ${line}\n`)
  process.exitCode = error instanceof ConfigError ? EXIT_CONFIG : 1
}

async function end(reeve: Reeve): Promise<void> {
  await reeve.close(sleep(NOTICE_MS))
  process.exit(0)
}

/** Start-up errors of our own are clear lines without secrets; of anything else only the kind is told. */
function linesOf(error: unknown): readonly string[] {
  if (error instanceof ConfigError) return error.faults
  return error instanceof Error ? [error.message.split('\n', 1)[0] ?? errorName(error)] : [errorName(error)]
}
