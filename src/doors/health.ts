/** `GET /xrpc/_health`: whether this process can do its work now, and whether it stands on a database from the past. Says no more to strangers. */
import { databaseAnswers } from '../platform/database.ts'
import type { Answer } from './answer.ts'
import type { House } from './house.ts'

/**
 * 200 with the version while the database answers and is the one that was here before, and nobody told the process to end; else 503, so that a balancer takes this process out.
 * All who ask while a question to the database is under way share it: anybody may ask, and nobody can keep the database busy by it.
 */
export function healthReader(house: Pick<House, 'db' | 'version' | 'checkpoints' | 'leaving'>): () => Promise<Answer> {
  let asking: Promise<boolean> | null = null
  return async () => {
    asking ??= databaseAnswers(house.db).finally(() => {
      asking = null
    })
    const isWell = await asking
    const { version, checkpoints, leaving } = house
    if (leaving.hasBegun) return { status: 503, body: { version, error: 'Stopping' } }
    if (!isWell) return { status: 503, body: { version, error: 'NotEnoughResources' } }
    if (checkpoints.isFromPast) return { status: 503, body: { version, error: 'RestoredFromPast' } }
    return { status: 200, body: { version } }
  }
}
