/** Credentials as an app holds and shows them, in both generations, and the parts of a request, so that a test can spoil one of them. */
import { sql } from 'kysely'
import { type Did, rosterOf } from '../../src/names.ts'
import type { TestDatabase } from './databases.ts'
import { exchange, type Scene } from './exchange.ts'
import { type Changes, freshJti, makeJws, makeKey, type TestKey, thumbprintOf } from './tokens.ts'
import { type Held, presentationOf, type Shown } from './wire-requests.ts'
import { type Answer, type Binding, type Person, spaceOf } from './world.ts'

export { GET_SPACE, type Held, presentationOf, type Shown } from './wire-requests.ts'

export const jtiOf = ({ credential }: Held): string =>
  JSON.parse(Buffer.from(credential.split('.')[1] ?? '', 'base64url').toString()).jti

/** A credential from the exchange. */
export async function obtain(
  scene: Scene,
  asked: { binding: Binding; person?: Person; space?: string },
): Promise<Held> {
  const { binding, person = scene.bob, space = scene.forum } = asked
  const holder = makeKey('p256')
  const answer = await exchange(scene, { binding, person, space, holder })
  if (answer.status !== 200) throw new Error(`no credential: ${JSON.stringify(answer.body)}`)
  return { credential: String(answer.body.credential), holder, binding, space }
}

export const present = (scene: Scene, held: Held, shown: Shown = {}): Promise<Answer> =>
  scene.world.send(presentationOf(scene.world, held, shown))

/** Another key by which a community signs: one that was replaced, while what it signed still lives. */
export async function addOlderKey(database: TestDatabase, community: Did): Promise<TestKey> {
  const key = makeKey('p256')
  await sql`insert into key (id, community, purpose, did_key, state, dek_version, sealed, created_at_ms, state_since_ms)
    select ${freshJti()}, community, 'space', ${key.didKey}, 'retiring', dek_version, sealed, 0, 0 from key
    where community = ${community} and purpose = 'space' and state = 'active'`.execute(database.db)
  return key
}

/** A credential that was never issued, signed by `key` as the authority of the space. */
export function forge(
  scene: Scene,
  key: TestKey,
  made: { binding: Binding; space?: string; jti?: string; holder?: TestKey } & Changes,
): Held {
  const { binding, space = scene.forum, jti = freshJti(), holder = makeKey('p256'), header, payload, ...how } = made
  const nowSec = scene.world.clock.nowSec()
  const cnf = binding === 'august' ? { jkt: thumbprintOf(holder) } : { kid: holder.didKey }
  const claims = { iss: spaceOf(space).authority, sub: space, cnf, iat: nowSec, exp: nowSec + 600, jti }
  const typ = 'atproto-space-credential+jwt'
  const credential = makeJws({
    key,
    header: { typ, alg: key.alg, kid: '#atproto_space', ...(header as object) },
    payload: typeof payload === 'string' ? payload : { ...claims, ...payload },
    ...how,
  })
  return { credential, holder, binding, space }
}

/** The same claims as those of a good credential, signed by another key of the community, with some of them changed. */
export function resign(held: Held, key: TestKey, change: { header?: object; payload?: object }): Held {
  const [header, payload] = held.credential.split('.').map((part) => Buffer.from(part, 'base64url').toString())
  const credential = makeJws({
    key,
    header: { ...JSON.parse(header ?? ''), ...change.header },
    payload: { ...JSON.parse(payload ?? ''), ...change.payload },
  })
  return { ...held, credential }
}

export const rosterUri = (community: Did): string => rosterOf(community).uri

/** When and why credentials were taken back, by their names. */
export async function revocations(
  database: TestDatabase,
): Promise<ReadonlyMap<string, { because: string; by: string } | null>> {
  const { rows } = await sql<{
    jti: string
    at: number | null
    by: string
    because: string
  }>`select jti, revoked_at_sec as at, revoked_by as by, revoked_because as because from issuance`.execute(database.db)
  return new Map(rows.map(({ jti, at, by, because }) => [jti, at === null ? null : { because, by }]))
}
