/** What the room asks of a community's PDS, and what may come of it. How a call is let in there is the connection's own affair. */
import type { Did } from '../names.ts'

/** One XRPC call as the account that a community is: a query has `params`, a procedure has a `body`. */
export interface PdsCall {
  readonly nsid: string
  readonly params?: Readonly<Record<string, string>>
  readonly body?: object
}

/**
 * `answered`: 2xx; the body is a stranger's, at most a megabyte of JSON, not looked at yet, and null where there is none.
 * `refused`: the PDS said no; `error` is its name for why where that looks like one, else a word with the status.
 * `unscoped`: the grant doesn't cover it (403). `unconnected`: there is no grant, or it is lost. `failed`: trying again later is right, and
 * not before `pauseMs` where the PDS said so. `because` is a word for logs and people: never an address, never a stranger's text.
 */
export type PdsAnswer =
  | { readonly is: 'answered'; readonly body: unknown; readonly room: Room | null }
  | { readonly is: 'refused'; readonly error: string; readonly status: number }
  | { readonly is: 'unscoped' }
  | { readonly is: 'unconnected' }
  | { readonly is: 'failed'; readonly because: string; readonly pauseMs: number | null }

/** What a PDS said of how many more calls it takes (`ratelimit-remaining`, `ratelimit-reset`). */
export interface Room {
  readonly callsLeft: number
  readonly resetsInMs: number
}

export interface Pds {
  /** Makes one call, renewing the grant's tokens where that is due. Never throws for what the PDS or the network does. @throws Unavailable */
  call(community: Did, call: PdsCall): Promise<PdsAnswer>
}
