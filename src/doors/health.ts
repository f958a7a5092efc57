/** `GET /xrpc/_health`: whether this process can do its work now. Says no more than that to strangers. */
import { databaseAnswers } from '../platform/database.ts'
import type { Answer } from './answer.ts'
import type { House } from './house.ts'

/**
 * 200 with the version while the database answers, else 503, so that a balancer takes this process out. All who ask while a
 * question to the database is under way share it: anybody may ask, and nobody can keep the database busy by it.
 */
export function healthReader(house: Pick<House, 'db' | 'version'>): () => Promise<Answer> {
  let asking: Promise<boolean> | null = null
  return async () => {
    asking ??= databaseAnswers(house.db).finally(() => {
      asking = null
    })
    const isWell = await asking
    const { version } = house
    return isWell ? { status: 200, body: { version } } : { status: 503, body: { version, error: 'NotEnoughResources' } }
  }
}
