/**
 * Faults of a house that isn't as it should be, put between it and the world: each breaks one promise, and the judge has to find it. A judge that finds none of
 * them would let every seed pass.
 */
import type { Answer } from '../src/platform/sql-driver.ts'
import type { Dice } from '../test/kit/dice.ts'
import type { Called, Said } from './wires.ts'

type Carry = (text: string, values: readonly unknown[]) => Promise<Answer>

export interface Plant {
  /** In place of a statement of a house; null: it is carried out as it is. `inTransaction` are those of its transaction before it. */
  readonly statement?: (
    asked: { readonly text: string; readonly values: readonly unknown[]; readonly inTransaction: readonly string[] },
    carry: Carry,
    dice: Dice,
  ) => Promise<Answer> | null
  /** Now and then, behind everybody's back. */
  readonly often?: readonly string[]
  /** In place of what a host is told; null: it is told. */
  readonly told?: (host: string, called: Called, dice: Dice) => Said | null
}

const answered = (command: string): Promise<Answer> => Promise.resolve({ command, rows: [], changed: null })

export const PLANTS = {
  /** A table of used tokens that is emptied. */
  forgetsTokens: { often: ['delete from spent'] },
  /** A removal that is acknowledged, and undone. */
  losesRemovals: {
    statement: ({ text, inTransaction }, carry) => {
      const isRemoval = inTransaction.some((one) => /^delete from "person_edge"/.test(one))
      if (text !== 'commit' || !isRemoval) return null
      return carry('rollback', []).then(() => answered('COMMIT'))
    },
  },
  /** A receiver that says that it heard of a write, and didn't. */
  swallowsWrites: {
    told: (_host, { path }, dice) =>
      path === '/xrpc/com.atproto.space.notifyWrite' && dice.below(4) === 0 ? { status: 200, body: '{}' } : null,
  },
  /** A log in which somebody wrote afterwards. */
  changesLog: {
    often: [
      'alter table audit_entry disable trigger all',
      `update audit_entry set actor = 'did:plc:nobody' where id = (select max(id) from audit_entry where seq is not null)`,
      'alter table audit_entry enable trigger all',
    ],
  },
  /** A statement that fails for a reason of our own. */
  breaksStatements: {
    statement: ({ text }, _carry, dice) =>
      /^with|^insert/i.test(text) && dice.below(60) === 0
        ? Promise.reject(Object.assign(new Error('broken'), { code: '42601' }))
        : null,
  },
  /** What was taken back is noted as told, and nobody was. */
  tellsNobody: { often: [`update revocation_notice set state = 'told' where state = 'due'`] },
} as const satisfies Readonly<Record<string, Plant>>

export type PlantName = keyof typeof PLANTS
