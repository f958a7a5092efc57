/**
 * One small scene for everything that is said about the exchange: a community with a forum, bob in it, carol not, a directory
 * that counts what it is asked. And the parts of a request, so that a test can spoil one of them and leave the rest alone.
 */
import { sql } from 'kysely'
import type { Did, SpaceName } from '../../src/names.ts'
import type { TestDatabase } from './databases.ts'
import { type FakePlc, startFakePlc } from './fake-plc.ts'
import {
  type Changes,
  freshJti,
  makeDelegation,
  makeDpopProof,
  makeKey,
  makeSpaceSignature,
  type TestKey,
} from './tokens.ts'
import {
  type Answer,
  type Binding,
  EXCHANGE_PATH,
  openWorld,
  type Person,
  type RawRequest,
  spaceOf,
  type World,
  type WorldOptions,
} from './world.ts'

export const BINDINGS = ['october', 'august'] as const satisfies readonly Binding[]

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

type Lines = readonly (readonly [string, string])[]

/** The parts of one exchange; what is left out is as it should be. */
export interface Parts {
  readonly person?: { readonly did: Did; readonly key: TestKey }
  readonly binding?: Binding
  /** The space in the token, and in the body unless that is given. */
  readonly space?: string | SpaceName
  readonly token?: string
  readonly jti?: string
  readonly changes?: Changes
  readonly holder?: TestKey
  readonly proof?: Changes & { readonly jti?: string; readonly url?: string }
  /** Header lines in place of the token's, or of the proof's. */
  readonly authorization?: Lines
  readonly proofLines?: Lines
  readonly more?: Lines
  readonly body?: object | string
}

/** The raw request. */
export function exchangeOf(
  scene: { world: Pick<World, 'url' | 'clock'>; forum: string; bob: { did: Did; key: TestKey } },
  parts: Parts = {},
): RawRequest {
  const { world, forum, bob } = scene
  const { person = bob, binding = 'october', holder = makeKey('p256'), jti = freshJti() } = parts
  const space = typeof parts.space === 'object' ? parts.space : spaceOf(parts.space ?? forum)
  const nowSec = world.clock.nowSec()
  const token =
    parts.token ?? makeDelegation({ key: person.key, iss: person.did, space, nowSec, jti, ...parts.changes })
  const authorization = `Bearer ${token}`
  const ownProof = (): Lines => {
    if (binding === 'august') {
      const url = world.url + EXCHANGE_PATH
      return [['dpop', makeDpopProof({ key: holder, method: 'POST', url, nowSec, ...parts.proof })]]
    }
    const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization })
    return [
      ['signature-input', signatureInput],
      ['signature', signature],
    ]
  }
  const body = parts.body ?? { space: space.uri }
  return {
    method: 'POST',
    path: EXCHANGE_PATH,
    headers: [
      ...(parts.authorization ?? [['authorization', authorization] as const]),
      ['content-type', 'application/json'],
      ...(parts.proofLines ?? ownProof()),
      ...(parts.more ?? []),
    ],
    body: typeof body === 'string' ? body : JSON.stringify(body),
  }
}

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
