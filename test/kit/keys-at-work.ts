/** A world in which keys of communities are replaced: what is in force, who signs, and what the database has of it. */
import { sql } from 'kysely'
import { walkRotation } from '../../src/community/rotation-walk.ts'
import type { Did } from '../../src/names.ts'
import type { TestDatabase } from './databases.ts'
import { readCredential } from './exchange.ts'
import { type HandleWorld, inForce, openHandleWorld } from './handles.ts'
import { makeKey, type TestKey } from './tokens.ts'
import { type Answer, memberHeld } from './world.ts'

export const ROTATE = 'community.reeve.key.rotate'
export const LIST = 'community.reeve.key.list'
/** Five minutes that a key lives in a process, ten that a credential does, one that clocks differ by. */
export const TURN_SEC = 300 + 600 + 60

export interface Community {
  readonly did: Did
  /** The community's own key. */
  readonly key: TestKey
  readonly forum: string
}

export interface KeyWorld extends HandleWorld {
  /** A community with a member-held key, founded by alice, and a forum in it. */
  community(): Promise<Community>
  rotate(community: Did, purposes: readonly string[], more?: object): Promise<Answer>
  /** Takes the worker's turn. */
  walk(community: Did): ReturnType<typeof walkRotation>
  /** The name of the key that signs a credential which alice is given now. */
  kid(forum: string): Promise<unknown>
  /** Public halves by purpose and state, such as `space active`. */
  keys(community: Did): Promise<Record<string, string>>
  rotation(community: Did): Promise<Record<string, unknown> | undefined>
  audited(community: Did, action: string): Promise<readonly Record<string, unknown>[]>
}

export async function openKeyWorld(database: TestDatabase): Promise<KeyWorld> {
  const hers = await openHandleWorld(database)
  const { world, alice } = hers
  const rows = async (query: ReturnType<typeof sql<Record<string, unknown>>>) => (await query.execute(database.db)).rows
  return {
    ...hers,
    async community() {
      const key = makeKey('k256')
      const did = await world.found(alice, { custody: memberHeld(world, alice, key) })
      return { did, key, forum: await world.makeSpace(alice, did) }
    },
    rotate: (community, purposes, more = {}) => alice.call(ROTATE, { community, purposes, ...more }),
    walk: (community) => walkRotation({ ...world.reeve.house, db: database.db }, community),
    async kid(forum) {
      const answer = await alice.exchange(forum)
      if (answer.status !== 200) throw new Error(`no credential: ${JSON.stringify(answer.body)}`)
      return readCredential(answer).header['kid']
    },
    async keys(community) {
      const held = await rows(
        sql`select purpose, state, did_key from key where community = ${community} and purpose <> 'client'`,
      )
      return Object.fromEntries(held.map((row) => [`${row['purpose']} ${row['state']}`, String(row['did_key'])]))
    },
    async rotation(community) {
      const [row] = await rows(sql`select step, fault, step_due_at_ms from key_rotation where community = ${community}`)
      return row
    },
    audited: async (community, action) =>
      (
        await rows(
          sql`select because from audit_entry where community = ${community} and action = ${action} order by id`,
        )
      ).map(({ because }) => because as Record<string, unknown>),
  }
}

/** What the operation in force at the directory says of keys. */
export async function keysInForce({ plc }: KeyWorld, community: Did) {
  const { rotationKeys, verificationMethods } = await inForce(plc, community)
  return { rotationKeys, atproto: verificationMethods['atproto'], space: verificationMethods['atproto_space'] }
}
