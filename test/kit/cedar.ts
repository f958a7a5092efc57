/** The page of rules in `policies/`, asked by Cedar's own engine; and the same page spoilt in every small way. */
import * as cedar from '@cedar-policy/cedar-wasm/nodejs'
import { ACTIONS, type Action } from '../../src/policy/roles.ts'
import type { RefusalCode } from '../../src/refusals.ts'
import { COMMUNITY } from './graphs.ts'
import { readText } from './source.ts'

export const PAGE_TEXT = readText('policies/default.cedar')
export const SCHEMA_TEXT = readText('policies/reeve.cedarschema')

type Json = cedar.CedarValueJson
export type Verdict = 'ok' | RefusalCode
type Told = Verdict | 'a no without a code'
export type Page = ReadonlyMap<string, cedar.PolicyJson>

/** A question as the page understands it. */
export interface Ask {
  readonly action: string
  readonly principal: string
  readonly isRoster: boolean
  readonly isFrozen: boolean
  readonly readPolicy: string
  readonly writePolicy: string
  readonly context: Readonly<Record<string, Json>>
}

/** The order in which a no is told, where several fit. */
const ORDER: readonly RefusalCode[] = [
  'AppNotAuthorized',
  'UserNotAuthorized',
  'NotFound',
  'Forbidden',
  'EscalationDenied',
  'OpenToAnybody',
  'LastOwner',
]

const requireSuccess = <T extends { type: string }>(answer: T): Extract<T, { type: 'success' }> => {
  if (answer.type !== 'success') throw new Error(JSON.stringify(answer))
  return answer as Extract<T, { type: 'success' }>
}

/** What the schema says of its actions and of its rights. */
const { actions: DECLARED = {}, entityTypes: TYPES = {} } =
  requireSuccess(cedar.schemaToJson(SCHEMA_TEXT)).json[''] ?? {}

/** The words that the schema has for something, by what they are for. */
const WORDS = new Map(
  Object.entries(TYPES).flatMap(([type, one]) => ('enum' in one ? [[type, one.enum] as const] : [])),
)

/** The rights that the schema knows. */
export const rightsOfSchema = (): readonly string[] => WORDS.get('Right') ?? []

/** What can be asked. */
export const ASKABLE: readonly string[] = Object.keys(DECLARED)

/** The page's rules by their `@id`. */
export function parsePage(text: string): Page {
  const { policies } = requireSuccess(cedar.policySetTextToParts(text))
  const rules = policies.map((policy) => requireSuccess(cedar.policyToJson(policy)).json)
  return new Map(rules.map((rule, nth) => [rule.annotations?.['id'] ?? `rule ${nth} without a name`, rule]))
}

export const PAGE: Page = parsePage(PAGE_TEXT)

/** What the validator has to say about a page, errors and warnings alike. */
export function complaintsAbout(page: Page): readonly string[] {
  const policies = { staticPolicies: Object.fromEntries(page) }
  const { validationErrors, validationWarnings, otherWarnings } = requireSuccess(
    cedar.validate({ schema: SCHEMA_TEXT, policies }),
  )
  return [...validationErrors, ...validationWarnings]
    .map(({ policyId, error }) => `${policyId}: ${error.message}`)
    .concat(otherWarnings.map(({ message }) => message))
}

/** The page as Cedar's formatter writes it. */
export const formatted = (text: string): string =>
  requireSuccess(cedar.formatPolicies({ policyText: text, lineWidth: 120, indentWidth: 2 })).formatted_policy

const uid = (type: string, id: string): cedar.TypeAndId => ({ type, id })
export const ref = (type: string, id: string): Json => ({ __entity: uid(type, id) })
export const person = (did: string): Json => ref('Person', did)

const REFS = new Map(ACTIONS.map((action) => [action, ref('Right', action)]))
export const right = (action: Action): Json => REFS.get(action) ?? null
export const rights = (actions: Iterable<Action>): Json => [...actions].map(right)

requireSuccess(cedar.preparseSchema('reeve', SCHEMA_TEXT))

const firstOf = (codes: readonly (string | null | undefined)[]): Told =>
  ORDER.find((one) => codes.includes(one)) ?? 'a no without a code'

/** A page that can be asked. Two of the same name are never asked in turns: the later takes the earlier one's place. */
export class Judge {
  readonly #name: string
  readonly #page: Page
  readonly #isStrict: boolean

  /** A strict one holds every question against the schema as well. */
  constructor(name: string, page: Page, { isStrict }: { readonly isStrict: boolean }) {
    this.#name = name
    this.#page = page
    this.#isStrict = isStrict
    const permits = [...page].filter(([, { effect }]) => effect === 'permit')
    for (const [set, rules] of [[name, page] as const, [`${name}, what it permits`, permits] as const]) {
      requireSuccess(cedar.preparsePolicySet(set, { staticPolicies: Object.fromEntries(rules) }))
    }
  }

  verdict(ask: Ask): Told {
    const answer = this.#answer(this.#name, ask)
    if (answer.decision === 'allow') return 'ok'
    const codes = answer.diagnostics.reason.map((id) => this.#page.get(id)?.annotations?.['code'])
    const forbidden = firstOf(codes)
    const unpermitted = firstOf([...codes, DECLARED[ask.action]?.annotations?.['otherwise']])
    if (forbidden === unpermitted) return forbidden
    // Whatever else forbids it as well, it must be known whether anything would have permitted it.
    const isPermitted = this.#answer(`${this.#name}, what it permits`, ask).decision === 'allow'
    return isPermitted ? forbidden : unpermitted
  }

  #answer(set: string, { action, principal, context, ...space }: Ask): cedar.Response {
    const resource = uid('Space', 'here')
    const attrs = {
      authority: person(COMMUNITY),
      isRoster: space.isRoster,
      isFrozen: space.isFrozen,
      readPolicy: ref('UserPolicy', space.readPolicy),
      writePolicy: ref('UserPolicy', space.writePolicy),
    }
    const answer = requireSuccess(
      cedar.statefulIsAuthorized({
        principal: uid('Person', principal),
        action: uid('Action', action),
        resource,
        context,
        entities: [{ uid: resource, attrs, parents: [] }],
        preparsedPolicySetId: set,
        ...(this.#isStrict ? { preparsedSchemaName: 'reeve', validateRequest: true } : {}),
      }),
    )
    const [error] = answer.response.diagnostics.errors
    if (error) throw new Error(`${error.policyId}: ${error.error.message}`)
    return answer.response
  }
}

// --- spoilt pages ---

/** A page with one fault. */
export interface Mutant {
  readonly fault: string
  readonly page: Page
  /** What it can be told by asking. */
  readonly actions: readonly string[]
}

type Condition = cedar.Expr

/** The actions in a rule's head. */
export function actionsOf({ action }: cedar.PolicyJson): readonly string[] {
  const idOf = (entity: cedar.EntityUidJson) => ('__entity' in entity ? entity.__entity.id : entity.id)
  if (action.op === '==' && 'entity' in action) return [idOf(action.entity)]
  if (action.op === 'in' && 'entities' in action) return action.entities.map(idOf)
  return ASKABLE
}

const withActions = (rule: cedar.PolicyJson, actions: readonly string[]): cedar.PolicyJson => ({
  ...rule,
  action: { op: 'in', entities: actions.map((id) => uid('Action', id)) },
})

const isPart = (value: unknown): value is Readonly<Record<string, Condition>> =>
  typeof value === 'object' && value !== null

/** A condition with one truth in it turned over, or one side of an "and" or "or" left out or exchanged for the other word. */
function spoiltConditions(condition: Condition): readonly { readonly how: string; readonly condition: Condition }[] {
  const turned = { how: 'negated', condition: { '!': { arg: condition } } as Condition }
  const spoilt = [turned]
  for (const [word, other] of [
    ['&&', '||'],
    ['||', '&&'],
  ] as const) {
    const parts: unknown = Reflect.get(condition, word)
    if (!isPart(parts)) continue
    const { left, right: second } = parts as { left: Condition; right: Condition }
    spoilt.push({ how: `without the right of ${word}`, condition: left })
    spoilt.push({ how: `without the left of ${word}`, condition: second })
    spoilt.push({ how: `${other} for ${word}`, condition: { [other]: { left, right: second } } as Condition })
    for (const side of ['left', 'right'] as const) {
      for (const { how, condition: part } of spoiltConditions(parts[side] as Condition)) {
        const whole = { [word]: { left, right: second, [side]: part } } as Condition
        spoilt.push({ how: `${side} of ${word} ${how}`, condition: whole })
      }
    }
  }
  return spoilt
}

/** The rule with another right, or another word of the schema, for one that is in it. */
function rewordings(rule: cedar.PolicyJson): readonly SpoiltRule[] {
  const text = JSON.stringify(rule)
  return [...WORDS].flatMap(([type, words]) => {
    const asText = (word: string): string => JSON.stringify(uid(type, word))
    return words
      .filter((word) => text.includes(asText(word)))
      .flatMap((word) =>
        words
          .filter((other) => other !== word)
          .map((other) => {
            const reworded: cedar.PolicyJson = JSON.parse(text.replaceAll(asText(word), asText(other)))
            return [`${other} for ${word}`, reworded] as const
          }),
      )
  })
}

type SpoiltRule = readonly [fault: string, rule: cedar.PolicyJson | null, about?: string]

function spoiltRules(rule: cedar.PolicyJson): readonly SpoiltRule[] {
  const { conditions, annotations, effect } = rule
  const actions = actionsOf(rule)
  const code = annotations?.['code']
  return [
    ['left out', null] as const,
    ['turned over', { ...rule, effect: effect === 'permit' ? 'forbid' : 'permit' } as const] as const,
    ...(actions.length < 2 ? [] : actions).map(
      (gone) => [`not for ${gone}`, withActions(rule, actions.toSpliced(actions.indexOf(gone), 1)), gone] as const,
    ),
    ...conditions.flatMap(({ kind, body }, nth) => [
      [`without its ${kind}`, { ...rule, conditions: conditions.toSpliced(nth, 1) }] as const,
      ...spoiltConditions(body).map(
        ({ how, condition }) =>
          [`${kind} ${how}`, { ...rule, conditions: conditions.toSpliced(nth, 1, { kind, body: condition }) }] as const,
      ),
    ]),
    ...rewordings(rule),
    ...ORDER.filter((other) => code !== undefined && other !== code).map(
      (other) => [`with ${other}`, { ...rule, annotations: { ...annotations, code: other } }] as const,
    ),
  ]
}

/** Every page that differs from this one by a rule left out, turned over, narrowed, or with a spoilt condition, another word or another code. */
export const mutantsOf = (page: Page): readonly Mutant[] =>
  [...page].flatMap(([id, rule]) =>
    spoiltRules(rule).map(([fault, spoilt, about]) => {
      const others = [...page].filter(([other]) => other !== id)
      const made: Page = new Map(spoilt === null ? others : [...others, [id, spoilt]])
      return { fault: `${id}: ${fault}`, page: made, actions: about ? [about] : actionsOf(rule) }
    }),
  )
