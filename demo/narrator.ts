/**
 * The voice of the demo: numbered chapters, wrapped sentences, facts in a column, on standard output.
 *
 * It is handed public things only: names, DIDs, URIs, codes, hashes. No key and no token is ever passed to it.
 */
const WIDTH = 100
const INDENT = '    '
const LABEL_CHARS = 19

const isColourful = process.stdout.isTTY === true && process.env.NO_COLOR === undefined
const paint = (code: number) => (text: string) => (isColourful ? `\u001b[${code}m${text}\u001b[0m` : text)
const bold = paint(1)
const dim = paint(2)
const green = paint(32)
const red = paint(31)

let chapters = 0

const print = (line = ''): void => console.log(line)

/** Begins the next numbered part of the story. */
export function chapter(title: string): void {
  chapters += 1
  print()
  print(`${String(chapters).padStart(2)}  ${bold(title)}`)
}

export const title = (text: string): void => print(bold(text))

/** A sentence or more, wrapped. */
export function says(text: string): void {
  for (const line of wrapped(text, WIDTH - INDENT.length)) print(INDENT + line)
}

/** A name and what it is in this run. */
export const fact = (label: string, value: string): void => print(`${INDENT}${dim(label.padEnd(LABEL_CHARS))} ${value}`)

/** Something that was checked and holds. */
export const holds = (text: string): void => mark(green('✓'), text)

/** A request that was refused, as it should be. */
export const refused = (who: string, status: number, code: string, says: string): void =>
  mark(red('✗'), `${who} → ${status} ${code}: ${says}`)

/** Lines as they are, for text that somebody copies. */
export const verbatim = (text: string): void => print(text)

export const blank = (): void => print()

function mark(sign: string, text: string): void {
  const [first = '', ...rest] = wrapped(text, WIDTH - INDENT.length - 2)
  print(`${INDENT}${sign} ${first}`)
  for (const line of rest) print(`${INDENT}  ${line}`)
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}
