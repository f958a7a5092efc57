/** One command of the tool: the words by which it is called, what is written about it, what it does; and the codes in which it ends. */
import { parseArgs } from 'node:util'

export interface Command {
  /** `['exit', 'send']` is called as `reeve exit send …`. Of two that fit, the longer one is meant. */
  readonly words: readonly string[]
  /** What follows the words, as `reeve help` writes it. */
  readonly takes: string
  /** What it does, in lines of at most a hundred characters. */
  readonly does: readonly string[]
  /** Answers the exit code. @throws WrongUsage; whatever else is thrown is told in one line */
  readonly run: (args: readonly string[]) => Promise<number>
}

/** Exit codes: those of sysexits(3), where it has one. */
export const EXIT_FINE = 0
export const EXIT_FAILED = 1
export const EXIT_USAGE = 64
/** A secret lay open, so nothing was done with it. */
export const EXIT_OPEN_SECRET = 77
export const EXIT_CONFIG = 78

/** The words fit no command. `says` is for whoever typed them, and repeats nothing of them. */
export class WrongUsage extends Error {
  override readonly name = 'WrongUsage'
}

/** How options are declared: `'text'` takes a value, `'texts'` may be given more than once, `'flag'` takes none. */
type OptionKind = 'text' | 'texts' | 'flag'

type ValueOf<Kind extends OptionKind> = Kind extends 'text' ? string : Kind extends 'texts' ? readonly string[] : true
export type Options<Declared extends Readonly<Record<string, OptionKind>>> = {
  readonly [Name in keyof Declared]?: ValueOf<Declared[Name]>
}

/**
 * Reads what was typed behind the words of a command: exactly `count` plain arguments, and the declared options in any order.
 * @throws WrongUsage for anything else, also an option given twice that isn't for that
 */
export function readArguments<Declared extends Readonly<Record<string, OptionKind>>>(
  args: readonly string[],
  count: number,
  declared: Declared,
): { readonly plain: readonly string[]; readonly options: Options<Declared> } {
  const options = Object.fromEntries(
    Object.entries(declared).map(([name, kind]) => [
      name,
      kind === 'flag' ? { type: 'boolean' as const, multiple: true } : { type: 'string' as const, multiple: true },
    ]),
  )
  const { values, positionals } = parsed(args, options)
  if (positionals.length !== count) throw new WrongUsage('these are not the arguments of this command')
  const single = Object.entries(values).map(([name, given]) => {
    if (!Array.isArray(given) || declared[name] === 'texts') return [name, given]
    if (given.length > 1) throw new WrongUsage('an option was given twice')
    return [name, given[0]]
  })
  return { plain: positionals, options: Object.fromEntries(single) as Options<Declared> }
}

function parsed(args: readonly string[], options: NonNullable<Parameters<typeof parseArgs>[0]>['options']) {
  try {
    return parseArgs({ args: [...args], options: options ?? {}, allowPositionals: true, strict: true })
  } catch {
    // Its words repeat what was typed, which may be anything.
    throw new WrongUsage('there is an option that this command does not have, or one without its value')
  }
}
