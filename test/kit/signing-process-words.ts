/** What the signing process and the test that commands it say to each other. */
import type { Did } from '../../src/names.ts'
import type { Needles } from './memory-scan.ts'

export const INSTANCE = 'instance-of-the-signing-process'

export type Order =
  | { readonly kind: 'found' }
  | { readonly kind: 'sign'; readonly times: number }
  | { readonly kind: 'drop' }
  | { readonly kind: 'plant'; readonly masked: string; readonly mask: number }
  | { readonly kind: 'unplant' }
  | { readonly kind: 'count'; readonly needles: Needles }
  | { readonly kind: 'end' }

/** Ciphertext, in hexadecimal, and what it is bound to. */
export interface Founded {
  readonly community: Did
  readonly wrapped: string
  readonly keys: readonly { id: string; purpose: 'rotation' | 'atproto' | 'space'; didKey: string; sealed: string }[]
}
