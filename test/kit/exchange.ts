/**
 * One small scene for everything that is said about the exchange: a community with a forum, bob in it, carol not, a directory
 * that counts what it is asked.
 */
import { sql } from 'kysely'
import type { Did } from '../../src/names.ts'
import type { TestDatabase } from './databases.ts'
import { type FakePlc, startFakePlc } from './fake-plc.ts'
import { exchangeOf, type Parts } from './wire-requests.ts'
import { type Answer, openWorld, type Person, type World, type WorldOptions } from './world.ts'

export { BINDINGS, exchangeOf, type Parts } from './wire-requests.ts'

export interface Scene {
  readonly world: World
  readonly plc: FakePlc
  readonly community: Did
  readonly forum: string
  readonly alice: Person
  readonly bob: Person
  readonly carol: Person
  close(): Promise<void>
}

export async function openScene(
  database: TestDatabase,
  environment: Readonly<Record<string, string>> = {},
  more: Pick<WorldOptions, 'log'> = {},
): Promise<Scene> {
  const plc = await startFakePlc()
  const world = await openWorld({ database, plcUrl: plc.url, environment, ...more })
  const [alice, bob, carol] = await Promise.all([world.person(), world.person(), world.person()])
  const community = await world.found(alice)
  const forum = await world.makeSpace(alice, community, { skey: 'main' })
  await letIn(alice, forum, bob.did)
  return {
    world,
    plc,
    community,
    forum,
    alice,
    bob,
    carol,
    async close() {
      await world.close()
      await plc.close()
    },
  }
}

export async function letIn(owner: Person, space: string, did: Did): Promise<void> {
  const put = await owner.call('community.reeve.member.put', { space, did, role: 'member' })
  if (put.status !== 200) throw new Error(`not let in: ${JSON.stringify(put.body)}`)
}

/** Marks a space as deleted where it stands; nothing deletes spaces yet. */
export const deleteSpace = (database: TestDatabase, uri: string) =>
  sql`update space set state = 'deleted' where uri = ${uri}`.execute(database.db)

export const exchange = (scene: Scene, parts: Parts = {}): Promise<Answer> => scene.world.send(exchangeOf(scene, parts))

/** What a credential says, unverified. */
export function readCredential(answer: Answer): {
  header: Record<string, unknown>
  claims: Record<string, unknown> & { iat: number; exp: number; jti: string }
} {
  const [header = '', payload = ''] = String(answer.body.credential).split('.')
  const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
  return { header: read(header), claims: read(payload) }
}

export interface IssuanceRow {
  readonly jti: string
  readonly space: string
  readonly did: string
  readonly client_id: string | null
  readonly holder: string
  readonly issued_at_sec: number
  readonly expires_at_sec: number
  readonly revision: number
}

/** Every credential in the table, in no order. */
export async function issuances(database: TestDatabase): Promise<IssuanceRow[]> {
  return (await sql<IssuanceRow>`select * from issuance`.execute(database.db)).rows
}

export async function auditRows(
  database: TestDatabase,
  action: string,
): Promise<{ actor: string; target: string; because: Record<string, unknown> }[]> {
  const found = await sql<{
    actor: string
    target: string
    because: Record<string, unknown>
  }>`select actor, target, because from audit_entry where action = ${action} order by id`.execute(database.db)
  return found.rows
}
