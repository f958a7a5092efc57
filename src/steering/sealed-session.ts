/**
 * Tokens as they lie at rest, and what has to be known again when a browser comes back: sealed, each for its own row. Whoever reads the
 * database finds nothing in it by which they could act as a community's account.
 */
import type { BlobPlace, SealedBlob, Vault } from '../keys/vault.ts'
import type { Did } from '../names.ts'
import { utf8 } from '../platform/bytes.ts'
import type { Clock } from '../platform/clock.ts'
import type { Db } from '../platform/database.ts'
import { listSealedAttempts, listSealedConnections } from './connection-store.ts'
import type { Begun, Session } from './oauth-client.ts'

export interface SealingCtx {
  readonly vault: Pick<Vault, 'sealBlob' | 'openBlob'>
  readonly clock: Pick<Clock, 'nowMs'>
}

const placeOfConnection = (community: Did) => ({ community, purpose: 'oauth', name: 'connection' }) as const
const placeOfAttempt = (community: Did, id: string) => ({ community, purpose: 'oauth', name: `attempt ${id}` }) as const

/** @throws Unavailable */
export const sealSession = (ctx: SealingCtx, community: Did, session: Session): Promise<SealedBlob> =>
  sealJson(ctx, placeOfConnection(community), session)

/** @throws Unavailable */
export const openSession = async (ctx: SealingCtx, community: Did, blob: SealedBlob): Promise<Session> =>
  (await openJson(ctx, placeOfConnection(community), blob)) as Session

/** @throws Unavailable */
export const sealBegun = (ctx: SealingCtx, community: Did, id: string, begun: Begun): Promise<SealedBlob> =>
  sealJson(ctx, placeOfAttempt(community, id), begun)

/** @throws Unavailable */
export const openBegun = async (ctx: SealingCtx, community: Did, id: string, blob: SealedBlob): Promise<Begun> =>
  (await openJson(ctx, placeOfAttempt(community, id), blob)) as Begun

const PAGE = 100

/** Everything of this room that lies sealed, with its place, still closed: for whoever has to know that all of it opens. */
export async function* sealedThings(db: Db): AsyncGenerator<{ readonly place: BlobPlace; readonly blob: SealedBlob }> {
  for (let page = await listSealedConnections(db, '', PAGE); page.length > 0; ) {
    for (const { community, blob } of page) yield { place: placeOfConnection(community), blob }
    page = await listSealedConnections(db, page.at(-1)?.community ?? '', PAGE)
  }
  for (let page = await listSealedAttempts(db, '', PAGE); page.length > 0; ) {
    for (const { id, community, blob } of page) yield { place: placeOfAttempt(community, id), blob }
    page = await listSealedAttempts(db, page.at(-1)?.id ?? '', PAGE)
  }
}

type Place = ReturnType<typeof placeOfConnection> | ReturnType<typeof placeOfAttempt>

async function sealJson({ vault, clock }: SealingCtx, place: Place, value: object): Promise<SealedBlob> {
  const bytes = utf8(JSON.stringify(value))
  try {
    return await vault.sealBlob(place, bytes, clock.nowMs())
  } finally {
    bytes.fill(0)
  }
}

/** What opens for its place is what was sealed there, so it is read without another look. */
async function openJson({ vault }: SealingCtx, place: Place, blob: SealedBlob): Promise<unknown> {
  const bytes = await vault.openBlob(place, blob)
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } finally {
    bytes.fill(0)
  }
}
