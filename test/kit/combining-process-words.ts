/** What the process that combines and the test that commands it say to each other. No secret is among it: shares come sealed. */
import type { Combined, GivenShare } from '../../src/keys/combining.ts'
import type { Did } from '../../src/names.ts'

export const INSTANCE = 'instance-of-the-combining-process'
export const COMMUNITY = `did:plc:${'c'.repeat(24)}` as Did

export interface Ceremony {
  /** The statement in DAG-CBOR, in hexadecimal. */
  readonly statement: string
  readonly given: readonly GivenShare[]
}

/** `make` a ceremony's key; `combine` by one; `keep`: combine, and hold on to the shares and to the key, as nobody should; `collect` garbage. */
export type Order =
  | { readonly kind: 'make'; readonly ceremony: string }
  | ({ readonly kind: 'combine' | 'keep' } & Ceremony)
  | { readonly kind: 'collect' }
  | { readonly kind: 'end' }

/** The key of a ceremony, sealed, and the DEK under which it is: in hexadecimal. */
export interface Made {
  readonly sealTo: string
  readonly sealed: string
  readonly wrapped: string
}

export type Answer = Made | Combined | null
