/** Reads every chain from its first row and says whether it holds. What a checkpoint kept elsewhere adds is in `past.ts`. */
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import { type ChainFault, chainWalker, sameBytes } from './chain.ts'
import { listChain, listChained, loadHead } from './store.ts'

export interface ChainReport {
  readonly community: string
  readonly rows: number
  readonly head: Uint8Array
  readonly fault: ChainFault | { readonly seq: number; readonly fault: 'wrong-head' } | null
}

const PAGE = 1000

/**
 * Follows the chain of each community and compares its end with the recorded one; a chain cut short has a wrong head. Each is
 * read in one snapshot, so that what is written meanwhile never looks like a fault.
 */
export async function* verifyChains(db: Db): AsyncGenerator<ChainReport> {
  for (const community of await listChained(db)) {
    yield await withTransaction(db, (tx) => verifyChain(tx, community), { isolation: 'repeatable read' })
  }
}

async function verifyChain(tx: Tx, community: string): Promise<ChainReport> {
  const recorded = await loadHead(tx, community)
  const walker = chainWalker()
  let fault: ChainReport['fault'] = null
  // From below the first place there can be: a row that was slipped in before it must be seen.
  for (let rows = await listChain(tx, community, Number.MIN_SAFE_INTEGER, PAGE); rows.length > 0 && !fault; ) {
    for (const row of rows) fault ??= walker.check(row)
    rows = await listChain(tx, community, rows.at(-1)?.seq ?? 0, PAGE)
  }
  const end = walker.end()
  const isWhole = recorded !== null && end.seq === recorded.seq && sameBytes(end.hash, recorded.hash)
  if (!fault && !isWhole) fault = { seq: end.seq, fault: 'wrong-head' }
  return { community, rows: end.seq, head: end.hash, fault }
}
