/** Which instance this is: a random name in the database that no other database has, unless it is a copy of this one. */
import type { Clock } from './clock.ts'
import type { Db } from './database.ts'
import { type Random, randomHex } from './random.ts'

declare module './database.ts' {
  interface Tables {
    instance: { single: boolean; id: string; created_at_ms: number }
  }
}

/** The instance's id, 32 hexadecimal characters; made at the first call, the same for every process from then on. */
export async function loadInstanceId(db: Db, random: Random, clock: Clock): Promise<string> {
  await db
    .insertInto('instance')
    .values({ single: true, id: randomHex(random, 16), created_at_ms: clock.nowMs() })
    .onConflict((conflict) => conflict.column('single').doNothing())
    .execute()
  const { id } = await db.selectFrom('instance').select('id').executeTakeFirstOrThrow()
  return id
}
