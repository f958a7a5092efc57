/**
 * A reader of one Dockerfile: ours. It knows the instructions and forms that stand there and stops at any other, because a
 * step that was passed over would look like a step that works.
 */

export interface Stage {
  readonly image: string
  readonly name: string | null
  readonly steps: readonly Step[]
}

export type Step =
  | { readonly kind: 'workdir' | 'user' | 'volume' | 'expose' | 'stopsignal'; readonly value: string }
  | { readonly kind: 'env'; readonly name: string; readonly value: string }
  | {
      readonly kind: 'copy'
      readonly from: string | null
      readonly owner: string | null
      readonly sources: readonly string[]
      readonly to: string
    }
  | { readonly kind: 'run'; readonly line: string }
  | { readonly kind: 'healthcheck' | 'cmd'; readonly argv: readonly string[] }

/** @throws Error naming the first line that it doesn't know */
export function parseDockerfile(text: string): Stage[] {
  const stages: { image: string; name: string | null; steps: Step[] }[] = []
  for (const line of text.replaceAll(/\\\n/g, ' ').split('\n')) {
    const [, word = '', rest = ''] = /^([A-Z]+)\s+(.+)$/.exec(line.trim()) ?? []
    if (line.trim() === '' || line.startsWith('#')) continue
    if (word === 'FROM') {
      const [image = '', , name = null] = rest.split(/\s+/)
      stages.push({ image, name, steps: [] })
      continue
    }
    const step = stepOf(word, rest)
    const stage = stages.at(-1)
    if (!step || !stage) throw new Error(`this line of the Dockerfile is not understood: ${line}`)
    stage.steps.push(step)
  }
  return stages
}

function stepOf(word: string, rest: string): Step | null {
  switch (word) {
    case 'WORKDIR':
    case 'USER':
    case 'VOLUME':
    case 'EXPOSE':
    case 'STOPSIGNAL':
      return { kind: word.toLowerCase() as 'workdir', value: rest }
    case 'ENV': {
      const [, name, value] = /^([A-Z_]+)=([^\s"'$]*)$/.exec(rest) ?? []
      return name === undefined || value === undefined ? null : { kind: 'env', name, value }
    }
    case 'COPY':
      return copyOf(rest.split(/\s+/))
    case 'RUN':
      return rest.startsWith('-') || rest.startsWith('[') ? null : { kind: 'run', line: rest }
    case 'HEALTHCHECK': {
      const [, command] = /^(?:--[a-z-]+=\S+\s+)*CMD\s+(\[.*\])$/.exec(rest) ?? []
      return command === undefined ? null : { kind: 'healthcheck', argv: argvOf(command) }
    }
    case 'CMD':
      return rest.startsWith('[') ? { kind: 'cmd', argv: argvOf(rest) } : null
    default:
      return null
  }
}

function copyOf(words: readonly string[]): Step | null {
  const flags = words.filter((word) => word.startsWith('--'))
  const sources = words.filter((word) => !word.startsWith('--'))
  const to = sources.pop()
  const flagOf = (name: string) => flags.find((flag) => flag.startsWith(`--${name}=`))?.slice(name.length + 3) ?? null
  if (to === undefined || flags.some((flag) => !/^--(?:from|chown)=/.test(flag))) return null
  return { kind: 'copy', from: flagOf('from'), owner: flagOf('chown'), sources, to }
}

function argvOf(json: string): string[] {
  const argv: unknown = JSON.parse(json)
  if (!Array.isArray(argv) || !argv.every((each) => typeof each === 'string')) throw new Error(`no command: ${json}`)
  return argv
}
