/**
 * What the tool prints, and what it is told: the only place that writes to the screen or reads from the keyboard.
 *
 * Most of what is shown comes from strangers, and a terminal obeys what it is shown: it changes colours, clears lines that were just read,
 * fills the clipboard, turns the order of letters. So everything but plain printable characters is written as its number.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { isatty, ReadStream } from 'node:tty'
import { sleep } from '../platform/clock.ts'

const NOT_PLAIN = /[^ -~]/gu

/** The text with everything escaped that isn't a plain printable character of ASCII; a line feed too. */
export const escaped = (text: string): string =>
  text.replace(NOT_PLAIN, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`)

/** Writes lines, each of them escaped. */
export const say = (...lines: readonly string[]): void =>
  void process.stdout.write(lines.map((line) => `${escaped(line)}\n`).join(''))

/** The same beside what a command writes: to be read by a person, and no part of what is handed on. */
export const sayAside = (...lines: readonly string[]): void =>
  void process.stderr.write(lines.map((line) => `${escaped(line)}\n`).join(''))

/** The same, for what went wrong: one line behind the name of the tool. */
export const complain = (line: string): void => void process.stderr.write(`reeve: ${escaped(line)}\n`)

const STDIN = 0
const TYPED_MAX_BYTES = 1_024
const LINE_FEED = 0x0a
const LOOK_AGAIN_MS = 50

/**
 * One line, as a person types it: from the standard input, or, where that brings something else, from the terminal itself. Null when there is
 * nobody to ask, nothing more comes, or the line has no end. `ask` puts the question; what was typed at a terminal before it is thrown away,
 * since nobody answers what they haven't read.
 */
export async function typedLine(from: 'stdin' | 'terminal', ask: () => void): Promise<string | null> {
  if (from === 'terminal' || isatty(STDIN)) forgetTyped()
  ask()
  if (from === 'stdin') return lineOf(STDIN)
  const terminal = openTerminal(constants.O_RDONLY)
  if (terminal === null) return null
  try {
    return await lineOf(terminal)
  } finally {
    closeSync(terminal)
  }
}

/** What a person types in answer to a question. Null as `typedLine`. */
export function asked(question: string): Promise<string | null> {
  return typedLine('stdin', () => void process.stdout.write(escaped(question)))
}

function openTerminal(how: number): number | null {
  try {
    return openSync('/dev/tty', how)
  } catch {
    return null
  }
}

/** Reads away what was typed until now. For that moment the terminal is raw: else it keeps a line that has no end yet, and its end comes later. */
function forgetTyped(): void {
  const file = openTerminal(constants.O_RDONLY | constants.O_NONBLOCK)
  if (file === null) return
  const terminal = new ReadStream(file)
  const typed = Buffer.alloc(1)
  try {
    terminal.setRawMode(true)
    for (let count: number | 'nothing yet' = 1; count === 1; ) count = readByte(file, typed, 0)
  } finally {
    terminal.setRawMode(false)
    terminal.destroy()
  }
}

/** Byte by byte, so that nothing behind the line is taken from whoever reads next. */
async function lineOf(file: number): Promise<string | null> {
  const typed = Buffer.alloc(TYPED_MAX_BYTES)
  for (let length = 0; length < typed.length; ) {
    const count = readByte(file, typed, length)
    if (count === 'nothing yet') await sleep(LOOK_AGAIN_MS)
    else if (count === 0) return null
    else if (typed[length] === LINE_FEED) return typed.toString('utf8', 0, length).trim()
    else length += 1
  }
  return null
}

function readByte(file: number, into: Uint8Array, at: number): number | 'nothing yet' {
  try {
    return readSync(file, into, at, 1, null)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return 'nothing yet'
    if (error instanceof Error && 'code' in error && error.code === 'EOF') return 0
    throw error
  }
}
