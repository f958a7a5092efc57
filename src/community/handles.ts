/** Handles that a community may have: under the domains that this service answers for, and under domains of their own. */
import { type Handle, parseHandle } from '../names.ts'
import { isPublicHostName } from '../platform/addresses.ts'
import { Refusal } from '../refusals.ts'

/** Names that people would take for the service itself, or that mail and certificates treat as its owner. */
const RESERVED: ReadonlySet<string> = new Set(
  'www api admin administrator root reeve mail smtp imap ns ns1 ns2 webmaster hostmaster postmaster abuse security support about help status'.split(
    ' ',
  ),
)

/**
 * A handle that a community may have: one label directly under a served domain, not reserved, not the service's own host, and no
 * served domain itself, whose owner would pass for the owner of all handles under it.
 * @throws Refusal InvalidRequest for no handle, HandleNotAvailable
 */
export function requireServedHandle(text: string, domains: readonly string[], ownHost: string): Handle {
  const handle = parseHandle(text)
  if (!handle) throw new Refusal('InvalidRequest', 'handle is not a handle in lower case')
  const [label = ''] = handle.split('.', 1)
  const isServed = domains.includes(handle.slice(label.length + 1))
  if (!isServed || RESERVED.has(label) || label.length < 2 || handle === ownHost || domains.includes(handle)) {
    throw new Refusal('HandleNotAvailable', 'no such handle can be had here')
  }
  return handle
}

/** A handle that a community asks for, and whether it is ours to give. One that isn't has to be proven by its domain. */
export interface AskedHandle {
  readonly handle: Handle
  readonly isServed: boolean
}

/**
 * A handle under a served domain, or one under any other domain of the public internet: a name that only some network knows would be
 * a handle that nobody else can look up. @throws Refusal InvalidRequest for no handle, HandleNotAvailable
 */
export function requireHandle(text: string, domains: readonly string[], ownHost: string): AskedHandle {
  const isOurs = text === ownHost || isUnderServed(text, domains) || domains.includes(text)
  if (isOurs) return { handle: requireServedHandle(text, domains, ownHost), isServed: true }
  const handle = parseHandle(text)
  if (!handle) throw new Refusal('InvalidRequest', 'handle is not a handle in lower case')
  if (!isPublicHostName(handle)) throw new Refusal('HandleNotAvailable', 'no such handle can be had')
  return { handle, isServed: false }
}

/** Whether this service answers for everything at such a name. */
export const isUnderServed = (name: string, domains: readonly string[]): boolean =>
  domains.some((domain) => name.endsWith(`.${domain}`))
