/**
 * The tool of operators and owners: `reeve <command>`. Here is the table of its commands, and how a failure becomes a line and a code.
 *
 * Some commands work on the service's database, by its environment. Those of owners need nothing of the service: a community must be able to
 * leave when there is no service any more.
 */
import { arrivals } from './cli/arrivals.ts'
import { auditVerify } from './cli/audit-verify.ts'
import {
  type Command,
  EXIT_CONFIG,
  EXIT_FAILED,
  EXIT_FINE,
  EXIT_OPEN_SECRET,
  EXIT_USAGE,
  WrongUsage,
} from './cli/command.ts'
import { exit } from './cli/exit.ts'
import { exitSend } from './cli/exit-send.ts'
import { exitWatch } from './cli/exit-watch.ts'
import { keeperEnrol, keeperInit, keeperOpen, keeperShow, keeperStepUp } from './cli/keeper.ts'
import { keeperAck } from './cli/keeper-ack.ts'
import { keeperApprove } from './cli/keeper-approve.ts'
import { keeperAsk } from './cli/keeper-ask.ts'
import { keeperCombine, keeperDrill } from './cli/keeper-combine.ts'
import { keeperDeal } from './cli/keeper-deal.ts'
import { keeperGive } from './cli/keeper-give.ts'
import { keeperOpener } from './cli/keeper-opener.ts'
import { kekRotate, kekStatus } from './cli/kek-rotate.ts'
import { keyInventory } from './cli/key-inventory.ts'
import { keyRotateAll } from './cli/key-rotate-all.ts'
import { recoveryNew, recoveryProve, recoveryShow } from './cli/recovery.ts'
import { recoveryClaim } from './cli/recovery-claim.ts'
import { recoveryReplace } from './cli/recovery-replace.ts'
import { restoredAccept, restoredStatus } from './cli/restored.ts'
import { rollExport } from './cli/roll-export.ts'
import { complain, say } from './cli/terminal.ts'
import { assertNoOpenSecret, OpenSecret } from './keys/recovery-key.ts'
import { ConfigError, processEnvironment } from './platform/config.ts'

const COMMANDS: readonly Command[] = [
  arrivals,
  auditVerify,
  restoredStatus,
  restoredAccept,
  rollExport,
  kekStatus,
  kekRotate,
  keyInventory,
  keyRotateAll,
  recoveryNew,
  recoveryShow,
  recoveryProve,
  recoveryReplace,
  recoveryClaim,
  exit,
  exitSend,
  exitWatch,
  keeperInit,
  keeperShow,
  keeperEnrol,
  keeperStepUp,
  keeperOpen,
  keeperOpener,
  keeperDeal,
  keeperAck,
  keeperApprove,
  keeperGive,
  keeperDrill,
  keeperCombine,
  keeperAsk,
]

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  if (args.length === 1 && ['help', '--help', '-h'].includes(args[0] ?? '')) {
    say(...usageOf(COMMANDS))
    return EXIT_FINE
  }
  try {
    assertNoOpenSecret(args, processEnvironment())
    const command = called(args)
    if (!command) throw new WrongUsage('there is no such command')
    return await command.run(args.slice(command.words.length))
  } catch (error) {
    return told(error, called(args))
  }
}

/** The command that was called: of those whose words stand first, the one with the most. */
function called(args: readonly string[]): Command | undefined {
  return COMMANDS.filter(({ words }) => words.every((word, at) => args[at] === word)).toSorted(
    (a, b) => b.words.length - a.words.length,
  )[0]
}

/** Turns a failure into lines and a code; never a stack, which could quote what is stored. */
function told(error: unknown, command: Command | undefined): number {
  if (error instanceof WrongUsage) {
    complain(error.message)
    process.stderr.write(`${usageOf(command ? [command] : COMMANDS).join('\n')}\n`)
    return EXIT_USAGE
  }
  const faults = error instanceof ConfigError ? error.faults : [error instanceof Error ? error.message : 'failed']
  for (const fault of faults) complain(fault.split('\n', 1)[0] ?? '')
  if (error instanceof OpenSecret) return EXIT_OPEN_SECRET
  return error instanceof ConfigError ? EXIT_CONFIG : EXIT_FAILED
}

function usageOf(commands: readonly Command[]): readonly string[] {
  const lines = commands.flatMap(({ words, takes, does }) => [
    `  reeve ${[...words, ...(takes === '' ? [] : [takes])].join(' ')}`,
    ...does.map((line) => `      ${line}`),
  ])
  return [
    'usage:',
    ...lines,
    '',
    'Exit codes: 0 all is well; 1 refused, failed, or something is wrong; 64 wrong usage; 77 a secret lay open; 78 wrong environment.',
  ]
}
