/** Keys of ceremonies in which this service combines, as they lie sealed: for whoever has to know that all of it opens. */
import type { BlobPlace, SealedBlob } from '../keys/vault.ts'
import type { Db } from '../platform/database.ts'
import { listSealings } from './ceremony-store.ts'

const PAGE = 100

/** Each with its place, still closed. Those of ceremonies that are over are gone. */
export async function* sealedCeremonies(
  db: Db,
): AsyncGenerator<{ readonly place: BlobPlace; readonly blob: SealedBlob }> {
  for (let page = await listSealings(db, '', PAGE); page.length > 0; ) {
    for (const { id, community, blob } of page) yield { place: { community, purpose: 'ceremony', name: id }, blob }
    page = await listSealings(db, page.at(-1)?.id ?? '', PAGE)
  }
}
