/** The lexicons as they stand in `lexicons/`, read without anything that is made from them. */
import { filesUnder, readText } from '../../kit/source.ts'

export interface LexiconMethod {
  readonly nsid: string
  readonly path: string
  readonly type: 'procedure' | 'query'
  readonly errors: readonly string[]
}

interface Lexicon {
  readonly id: string
  readonly defs: { readonly main?: { readonly type: string; readonly errors?: readonly { readonly name: string }[] } }
}

/** Every method that a lexicon describes. */
export const methodsOfLexicons = (): readonly LexiconMethod[] =>
  filesUnder('lexicons').flatMap((path) => {
    const { id, defs }: Lexicon = JSON.parse(readText(path))
    const { type, errors = [] } = defs.main ?? { type: 'none' }
    return type === 'procedure' || type === 'query'
      ? [{ nsid: id, path, type, errors: errors.map(({ name }) => name) }]
      : []
  })
