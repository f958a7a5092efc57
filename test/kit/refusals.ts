/**
 * One bad exchange over the real socket, and everything that must not have come of it. The user's key is forgotten before, so that
 * "nobody was asked" is not only because everything was known already.
 */
import { sql } from 'kysely'
import { expect } from 'vitest'
import { besides, type DialRecorder } from './dialled.ts'
import { exchange, type Parts, type Scene } from './exchange.ts'
import { freshJti, makeDelegation } from './tokens.ts'
import { askedBesides } from './watched.ts'
import { type Answer, type Binding, spaceOf } from './world.ts'

/** Nothing but one bad thing in an otherwise good exchange by bob. */
export interface BadExchange {
  /** Its number in the list of known bad inputs. */
  readonly row: number
  readonly says: string
  readonly answers: string
  /** How often the directory is asked for the user's document: never, once, or once more past what is remembered. */
  readonly asks: 0 | 1 | 2
  readonly with: (scene: Scene, good: Good) => Parts | Promise<Parts>
}

/** A token of bob's that is fine, and its jti for whoever makes a bad one with the same. */
export interface Good {
  readonly jti: string
  readonly token: string
}

export const verdictOf = ({ status, body }: Answer): string => (status === 200 ? 'in' : `${status} ${body.error}`)

export function goodToken(scene: Scene): Good {
  const { bob, forum, world } = scene
  const jti = freshJti()
  const nowSec = world.clock.nowSec()
  return { jti, token: makeDelegation({ key: bob.key, iss: bob.did, space: spaceOf(forum), nowSec, jti }) }
}

/** Everything that an exchange may write: credentials, uses, the log, and the communities' revisions. */
async function written(scene: Scene): Promise<unknown> {
  const { rows } = await sql`
    select (select count(*)::int from issuance) as credentials, (select count(*)::int from spent) as spent,
      (select count(*)::int from audit_entry) as entries, (select sum(revision)::int from community_revision) as revisions
  `.execute(scene.world.database.db)
  return rows[0]
}

/**
 * Sends it: the answer is the one expected and says nothing back, nothing was written, nobody was asked who needn't be. Then the
 * good token with the same jti still gets its credential.
 */
export async function expectRefused(scene: Scene, dials: DialRecorder, bad: BadExchange, binding: Binding) {
  const { world, plc, bob } = scene
  const good = goodToken(scene)
  const parts = await bad.with(scene, good)
  const before = await written(scene)
  world.reeve.house.documents.expire(bob.did)
  plc.forget()
  dials.forget()

  const answer = await exchange(scene, { jti: good.jti, binding, ...parts })
  expect(verdictOf(answer)).toBe(bad.answers)
  expect(Object.keys(answer.body).toSorted()).toEqual(['error', 'message'])
  expect(JSON.stringify([answer.body, answer.headers])).not.toMatch(
    /eyJ|did:(?:plc|web|key:z)|at:\/\/|127\.0\.0\.1|\.ts\b/,
  )
  expect((await askedBesides(plc, world.database)).length, 'questions to the directory').toBe(bad.asks)
  expect(besides(dials.targets(), ...portsOf(world.url, plc.url))).toEqual([])
  expect(dials.lookups(), 'questions to name servers').toBe(0)
  expect(await written(scene)).toEqual(before)

  expect(verdictOf(await exchange(scene, { token: good.token, binding }))).toBe('in')
}

const portsOf = (...urls: readonly string[]): number[] => urls.map((url) => Number(new URL(url).port))
