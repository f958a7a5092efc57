/** The kinds of file: in the rooms that govern and serve there are three and no fourth, and nowhere is there a drawer. */

/** Rooms of the third and fourth floor. */
const ROOMS = 'membership|space|apps|community|federation|access|credential|notify|steering'
const IN_ROOM = new RegExp(`^src/(?:${ROOMS})/(.*)\\.ts$`)

const STORE = /^(?:[a-z0-9]+-)*store$/
const NOUN = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/
const METHOD = /^[a-z]+[A-Z][A-Za-z0-9]*$/
/** Names for things that were kept without knowing where. */
const DRAWERS = /(?:^|[/-])(?:utils?|helpers?|common|misc|shared|lib|stuff|tools|base)(?:[-/.]|$)/i

/**
 * File names by which a method may be known: its own (`getSpaceCredential`), and with its noun before it (`memberPut`), because
 * `put` alone would not say what of.
 */
const namesOf = (nsid: string): readonly string[] => {
  const [verb = '', noun = ''] = nsid.split('.').reverse()
  return nsid.startsWith('com.atproto.') ? [verb] : [noun + verb.charAt(0).toUpperCase() + verb.slice(1)]
}

/** What is wrong with the names of these files, one line each. */
export function kindFaults(paths: readonly string[], methods: readonly string[]): readonly string[] {
  const wire = new Set(methods.flatMap(namesOf))
  return paths
    .filter((path) => !path.startsWith('src/lexicons/'))
    .flatMap((path) => {
      if (DRAWERS.test(path)) return [`${path} is a drawer: name it after what is in it`]
      const name = IN_ROOM.exec(path)?.[1]
      if (name === undefined || STORE.test(name) || NOUN.test(name)) return []
      if (name.includes('/')) return [`${path} is a room within a room`]
      if (!METHOD.test(name)) return [`${path} is none of the three kinds: a wire method, a store, a noun`]
      return wire.has(name) ? [] : [`${path} is named like a method on the wire, and no lexicon has it`]
    })
}
