/**
 * Which failures of the database are the world's (try again) and which are ours (a bug, or a constraint that held).
 *
 * No message of a database goes any further than the `cause` of an error: it can quote rows.
 */
import { Unavailable } from '../refusals.ts'

/** SQLSTATE classes: lost connection, out of resources, stopped by the operator or a timeout, failing disk. */
const TROUBLE_STATES = /^(?:08|53|57|58)/
/** Lock not to be had, idle transaction ended, suddenly read-only (a standby took over). */
const TROUBLE_CODES: ReadonlySet<string> = new Set([
  ...['55P03', '25P03', '25006'],
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH'],
  ...['ENETUNREACH', 'ENOENT', 'ENOSPC', 'EIO', 'EDQUOT', 'EROFS'],
])
/** What `pg` says without a code when a connection ends or cannot be had in time. */
const TROUBLE_MESSAGES: ReadonlySet<string> = new Set([
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'timeout exceeded when trying to connect',
  'timeout expired',
  'Query read timeout',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'Cannot use a pool after calling end on the pool',
  'driver has already been destroyed',
])
/** Two transactions could not both be had; nothing of this one was kept, and it may be tried again. */
const CONFLICT_STATES: ReadonlySet<string> = new Set(['40001', '40P01'])

/** The five characters (SQLSTATE) or the system's code of a failure, also through an `Unavailable`. */
export function databaseCodeOf(error: unknown): string | null {
  if (error instanceof Unavailable) return databaseCodeOf(error.cause)
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null
}

/** Whether a transaction lost against another (serialisation failure, deadlock): the only kind that is tried again here. */
export const isConflict = (error: unknown): boolean => CONFLICT_STATES.has(databaseCodeOf(error) ?? '')

/** Whether trying again later is right: connection lost, no room, stopped, timed out, or a conflict between transactions. */
export function isTransient(error: unknown): boolean {
  if (error instanceof Unavailable) return error.what === 'database'
  const code = databaseCodeOf(error)
  if (code !== null && (CONFLICT_STATES.has(code) || TROUBLE_CODES.has(code) || TROUBLE_STATES.test(code))) return true
  return error instanceof Error && TROUBLE_MESSAGES.has(error.message)
}

/** The failure as callers should see it: `Unavailable('NotEnoughResources', 'database')` for trouble, else unchanged. */
export const asUnavailable = (error: unknown): unknown =>
  !(error instanceof Unavailable) && isTransient(error)
    ? new Unavailable('NotEnoughResources', 'database', { cause: error })
    : error
