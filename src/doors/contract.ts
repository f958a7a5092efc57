/**
 * The contract at the door: what comes in and what goes out is what the method's lexicon says.
 *
 * The protocol's own methods ignore unknown fields, so that two generations can speak to each other. Our own refuse them: a
 * misspelt `untill` must not give somebody a role for ever.
 */
import { lexToJson, parseLexBytes } from '@atproto/lex-json'
import {
  IssueInvalidFormat,
  IssueRequiredKey,
  IssueTooBig,
  IssueTooSmall,
  LexValidationError,
  type l,
} from '@atproto/lex-schema'
import { Refusal } from '../refusals.ts'

export type AnyProcedure = l.Procedure
export type AnyQuery = l.Query
export type AnyMethod = AnyProcedure | AnyQuery

/** Whether a method is one of ours, and none of the protocol's. */
export const isOwn = (nsid: string): boolean => nsid.startsWith('community.reeve.')

/**
 * The library makes an error for each optional field that isn't there, and throws it away. Noting where each was made would cost more than
 * all the rest of the reading.
 */
function withoutStacks<T>(work: () => T): T {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return work()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** The input of a procedure as its lexicon types it. @throws Refusal('InvalidRequest') */
export function parseInput(method: AnyProcedure, body: Record<string, unknown>): unknown {
  const schema = method.input.schema
  if (!schema) throw new Refusal('InvalidRequest', 'the method takes no body')
  const parsed = withoutStacks(() => schema.safeParse(body))
  if (!parsed.success) throw new Refusal('InvalidRequest', saysOf(parsed.reason))
  const stranger = isOwn(method.nsid) ? unknownField(schema, body, '') : null
  if (stranger) throw new Refusal('InvalidRequest', `${shown(stranger)} is not a field of this method`)
  return parsed.value
}

/** The fields of a body as the lexicons' types know them: bytes travel as `{"$bytes": "<base64>"}`, with padding or without. */
export const withBytes = (body: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(body).map(([name, value]) => {
      const bytes = isShape(value) && !Array.isArray(value) ? parseLexBytes(value) : undefined
      return [name, bytes ?? value]
    }),
  )

/** An answer as JSON has it, for the methods that answer with bytes. */
export const asJson = (answer: unknown): unknown => lexToJson(answer as Parameters<typeof lexToJson>[0])

/** The parameters of a method as its lexicon types them; a procedure of ours has none. @throws Refusal('InvalidRequest') */
export function parseParams(method: AnyMethod, params: URLSearchParams): unknown {
  const shape: unknown = Reflect.get(method.parameters, 'shape')
  const isKnown = (name: string): boolean => isShape(shape) && Object.hasOwn(shape, name)
  const stranger = isOwn(method.nsid) ? [...params.keys()].find((name) => !isKnown(name)) : undefined
  if (stranger !== undefined) {
    throw new Refusal('InvalidRequest', `${shown(stranger)} is not a parameter of this method`)
  }
  // The library skips what is empty, and so would take `limit=&limit=5`, of which another reader may have taken the first.
  const doubled = [...params.keys()].find((name) => {
    const values = params.getAll(name)
    return values.length > 1 && values.includes('')
  })
  if (doubled !== undefined) throw new Refusal('InvalidRequest', `${shown(doubled)} is there twice`)
  try {
    return withoutStacks(() => method.parameters.fromURLSearchParams(params))
  } catch (error) {
    throw new Refusal('InvalidRequest', saysOf(error))
  }
}

/** The library's own sentences quote what was sent, which may be a token. These name the place and the rule alone. */
function saysOf(fault: unknown): string {
  const [issue] = fault instanceof LexValidationError ? fault.issues : []
  if (issue instanceof IssueRequiredKey) return `${[...issue.path, issue.key].join('/')} is missing`
  const where = issue?.path.join('/') || 'the input'
  if (issue instanceof IssueInvalidFormat) return `${where} is not a ${issue.format}`
  if (issue instanceof IssueTooBig) return `${where} is over its maximum of ${issue.maximum}`
  if (issue instanceof IssueTooSmall) return `${where} is under its minimum of ${issue.minimum}`
  return `${where} is not what this method takes`
}

/** A name that a caller made up, when it looks like a name. */
const shown = (name: string): string => (/^[\w/$.-]{1,64}$/.test(name) ? name : 'something in it')

/** What an action answered, as its lexicon has it. An answer of another shape is our own mistake and must not go out. */
export function checkedOutput(method: AnyMethod, answer: unknown): unknown {
  const schema = method.output.schema
  if (!schema) return undefined
  const parsed = withoutStacks(() => schema.safeValidate(answer))
  if (!parsed.success) throw new Error(`${method.nsid} answers against its lexicon: ${parsed.reason.message}`)
  return answer
}

/** The path of the first field that no part of the schema knows. Walks only what the schema has already accepted. */
function unknownField(schema: unknown, value: unknown, path: string): string | null {
  if (typeof schema !== 'object' || schema === null || typeof value !== 'object' || value === null) return null
  const inner = innerOf(schema, value)
  if (inner) return unknownField(inner, value, path)
  if (Array.isArray(value)) {
    const items: unknown = Reflect.get(schema, 'validator')
    for (const [at, item] of value.entries()) {
      const found = unknownField(items, item, `${path}/${at}`)
      if (found) return found
    }
    return null
  }
  const shape: unknown = Reflect.get(schema, 'shape')
  if (!isShape(shape)) return null
  for (const [key, item] of Object.entries(value)) {
    if (!Object.hasOwn(shape, key) && !(key === '$type' && typeof item === 'string')) return `${path}/${key}`
    const found = unknownField(shape[key], item, `${path}/${key}`)
    if (found) return found
  }
  return null
}

/** The schema inside a wrapper: a reference, an optional or nullable field, a default, a typed object, the member of a union. */
function innerOf(schema: object, value: object): unknown {
  const members: unknown = Reflect.get(schema, 'validatorsMap')
  if (Reflect.get(schema, 'type') === 'typedUnion' && members instanceof Map)
    return members.get(Reflect.get(value, '$type'))
  if (Reflect.get(schema, 'type') === 'typedObject') return Reflect.get(schema, 'schema')
  return Array.isArray(value) && Reflect.get(schema, 'type') === 'array' ? null : Reflect.get(schema, 'validator')
}

const isShape = (shape: unknown): shape is Record<string, unknown> => typeof shape === 'object' && shape !== null
