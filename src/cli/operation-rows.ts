/**
 * What an operation changes in an identity beside its rotation keys: who speaks for it, where it lives, what it is called. Pure. Each row that comes,
 * goes or becomes another one is a warning: of what is not warned of, keepers are told that it is nothing.
 */
import type { AnyPlcOperation, UnsignedPlcOperation } from '../identity/plc-operation.ts'
import { type KeyNames, named } from './plc-words.ts'

type Rows = Pick<UnsignedPlcOperation, 'verificationMethods' | 'services' | 'alsoKnownAs'>

const NOTHING: Rows = { verificationMethods: {}, services: {}, alsoKnownAs: [] }

/** What an operation of any age says. */
function rowsOf(operation: AnyPlcOperation): Rows {
  if (operation.type === 'plc_tombstone') return NOTHING
  if (operation.type === 'plc_operation') return operation
  const { signingKey, handle, service } = operation
  return {
    verificationMethods: { atproto: signingKey },
    services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: service } },
    alsoKnownAs: [`at://${handle}`],
  }
}

export function rowWarnings(operation: AnyPlcOperation, next: Rows, names: KeyNames): readonly string[] {
  const before = rowsOf(operation)
  return [
    ...serviceWarnings(before, next, names),
    ...methodWarnings(before, next, names),
    ...nameWarnings(before, next, names),
  ]
}

/** Each row by its name, before and after. A name may be one that every object has, so nothing is asked of the objects themselves. */
function pairsOf<T>(old: Readonly<Record<string, T>>, next: Readonly<Record<string, T>>) {
  const [was, is] = [new Map(Object.entries(old)), new Map(Object.entries(next))]
  return [...new Set([...was.keys(), ...is.keys()])].map((id) => ({ id, was: was.get(id), is: is.get(id) }))
}

/** What each of these keys is for, in the words of a warning. */
const MEANINGS: ReadonlyMap<string, string> = new Map([
  [
    'atproto_space',
    'another key signs for the spaces of the community from now on: whoever has it says who is a member',
  ],
  [
    'atproto',
    "ANOTHER KEY SPEAKS IN THE COMMUNITY'S NAME from now on (#atproto): whoever has it is the community to other services",
  ],
])

function methodWarnings(
  { verificationMethods: old }: Rows,
  { verificationMethods: next }: Rows,
  names: KeyNames,
): readonly string[] {
  return pairsOf(old, next).flatMap(({ id, was, is }) => {
    if (was === is) return []
    const what = `#${named(id, names)}`
    if (is === undefined)
      return [`a key leaves (${what}): ${named(was ?? '', names)} says nothing for the community any more`]
    const known = MEANINGS.get(id)
    if (known !== undefined) return [`${known}: ${named(is, names)}`]
    return [
      was === undefined
        ? `A KEY COMES IN THAT THIS TOOL DOES NOT KNOW: ${what} ${named(is, names)}`
        : `ANOTHER KEY STANDS AT ${what}: ${named(is, names)}`,
    ]
  })
}

/** Services that a community has by this program; others mean something to somebody, and this tool doesn't know what. */
const KNOWN_SERVICES: ReadonlySet<string> = new Set(['atproto_space_host', 'atproto_pds'])

function serviceWarnings({ services: old }: Rows, { services: next }: Rows, names: KeyNames): readonly string[] {
  return pairsOf(old, next).flatMap(({ id, was, is }) => {
    if (was?.type === is?.type && was?.endpoint === is?.endpoint) return []
    if (is === undefined)
      return [
        `A SERVICE LEAVES: #${named(id, names)} at ${named(was?.endpoint ?? '', names)}. Nobody finds it by this identity any more`,
      ]
    if (!KNOWN_SERVICES.has(id))
      return [`A SERVICE THAT THIS TOOL DOES NOT KNOW: #${named(id, names)} at ${named(is.endpoint, names)}`]
    return [`THE COMMUNITY MOVES: #${id} is at ${named(is.endpoint, names)} from now on (${named(is.type, names)})`]
  })
}

function nameWarnings({ alsoKnownAs: old }: Rows, { alsoKnownAs: next }: Rows, names: KeyNames): readonly string[] {
  const going = old.filter((name) => !next.includes(name))
  const coming = next.filter((name) => !old.includes(name))
  const isMoved =
    old.filter((name) => next.includes(name)).join('\n') !== next.filter((name) => old.includes(name)).join('\n')
  return [
    ...going.map((name) => `a name goes: ${named(name, names)}`),
    ...coming.map((name) => `a name comes: ${named(name, names)}`),
    ...(isMoved ? ['the names are in another order: the first handle is the one that is shown'] : []),
  ]
}
