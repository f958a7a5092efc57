/**
 * Spaces that are kept at a played PDS: an account that is a community here, its grant, the worker, and the question whether its list and its
 * policies let in exactly whom the hook would.
 */
import { checkUserAccess, type HookCtx } from '../../src/access/checkUserAccess.ts'
import { openHook } from '../../src/access/hook.ts'
import { Hosted } from '../../src/membership/hosted.ts'
import { lockRevisions, raiseRevisions } from '../../src/membership/store.ts'
import { authorityOf, type Did, managingAppOf, type SpaceUri } from '../../src/names.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { type Log, silentLog } from '../../src/platform/log.ts'
import { Unavailable } from '../../src/refusals.ts'
import { spaceCreate } from '../../src/space/spaceCreate.ts'
import type { Pds, PdsAnswer } from '../../src/steering/pds.ts'
import { openSteering } from '../../src/steering/projector.ts'
import type { SteeringCtx, SteeringPace } from '../../src/steering/steering-ctx.ts'
import { steeringPut } from '../../src/steering/steeringPut.ts'
import type { Generation } from './asking-host.ts'
import { decidedInTime } from './decided.ts'
import { PlayedSimplespaces, type SpaceAnswer } from './played-simplespaces.ts'
import { type Community, FORUM, freshDid, once, openCommunity, type Roll, rollOn } from './roll.ts'

/** As fast as it goes, with small slices so that every test sees several. */
export const QUICK: SteeringPace = { atOnce: 4, perSec: Number.POSITIVE_INFINITY, slice: 50 }

export type Steered = Roll & SteeringCtx & HookCtx

/** One process's view: everything that the actions and the worker are given. */
export function steeringOn(db: Db, pds: Pds, more: { readonly log?: Log; readonly startMs?: number } = {}): Steered {
  const roll = rollOn(db, more.startMs)
  return { ...roll, log: more.log ?? silentLog, pds, hosted: new Hosted(), hook: openHook(db) }
}

/** The port to a PDS, as the grant of an account would make it: what came, in the words of the port. `nowMs` is what time it is there. */
export function playedPds(
  played: PlayedSimplespaces,
  scopes: () => readonly string[] | null = () => null,
  nowMs: () => number = Date.now,
): Pds {
  return {
    async call(account, { nsid, params, body }) {
      await new Promise((resolve) => setImmediate(resolve))
      const sent = body === undefined ? undefined : JSON.parse(JSON.stringify(body))
      const verb = body === undefined ? 'GET' : 'POST'
      return heard(
        played.handle({ account, scopes: scopes(), nsid, verb, params: new URLSearchParams(params), body: sent }),
        nowMs(),
      )
    },
  }
}

export function heard({ status, body, headers = {}, broken }: SpaceAnswer, nowMs: number = Date.now()): PdsAnswer {
  if (broken) return { is: 'failed', because: broken === 'hang' ? 'timeout' : 'network', pauseMs: null }
  if (status >= 200 && status < 300) {
    const callsLeft = headers['ratelimit-remaining']
    const resetSec = Number(headers['ratelimit-reset'])
    const resetsInMs = Math.max(0, resetSec * 1000 - nowMs)
    const room = callsLeft === undefined ? null : { callsLeft: Number(callsLeft), resetsInMs }
    return { is: 'answered', body: body === undefined ? null : JSON.parse(JSON.stringify(body)), room }
  }
  if (status === 429)
    return { is: 'failed', because: 'status 429', pauseMs: Number(headers['retry-after'] ?? 1) * 1000 }
  if (status === 401) return { is: 'unconnected' }
  if (status === 403) return { is: 'unscoped' }
  if (status >= 500 && status !== 501) return { is: 'failed', because: `status ${status}`, pauseMs: null }
  const { error } = (body ?? {}) as { readonly error?: string }
  return { is: 'refused', error: error ?? `status ${status}`, status }
}

/** An account that is a community here, owned by its founder. */
export async function openAccount(roll: Roll): Promise<Community> {
  const community = await openCommunity(roll)
  await roll.db
    .updateTable('community_revision')
    .set({ is_account: true })
    .where('community', '=', community.did)
    .execute()
  await connect(roll.db, community.did)
  return community
}

/** Gives the grant of an account, or has it lost. */
export async function connect(db: Db, community: Did, state: 'connected' | 'lost' = 'connected'): Promise<void> {
  const because = state === 'lost' ? 'Revoked' : null
  await db
    .insertInto('pds_connection')
    .values({
      ...{ community, state, because, asked: '', granted: '', connected_by: community },
      ...{ connected_at_ms: 0, state_since_ms: 0, renewed_at_ms: 0, version: 1 },
      ...{ sealed: null, dek_version: null },
    })
    .onConflict((conflict) => conflict.column('community').doUpdateSet({ state, because }))
    .execute()
}

/** A space that is bound, with settings. */
export async function bindForum(
  roll: Roll,
  { did, founder }: Community,
  skey = 'main',
  more: object = {},
): Promise<SpaceUri> {
  const input = { community: did, spaceType: FORUM, skey, host: 'pds', ...more } as Parameters<typeof spaceCreate>[2]
  return (await spaceCreate(roll, founder, input, once())).uri as SpaceUri
}

export const steer = (roll: Roll, owner: Did, space: SpaceUri, mode: 'hook' | 'projection') =>
  steeringPut(roll, owner, { space, mode }, once())

/** Has the worker go round until nothing is due any more. */
export async function settle(ctx: Steered, pace: SteeringPace = QUICK, rounds = 6): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const steering = openSteering(ctx, pace)
    await steering.turn()
    await steering.settled()
  }
}

/** Whom a played PDS lets in: by policy and list, asking the hook where the policy names us, as the reference does. */
export async function letsIn(
  ctx: Steered,
  played: PlayedSimplespaces,
  space: SpaceUri,
  did: Did,
  access: 'read' | 'write',
): Promise<boolean> {
  const authority = authorityOf(space)
  if (did === authority) return true
  const { readPolicy, writePolicy } = played.config(space)
  const policy = access === 'read' ? readPolicy : writePolicy
  if (policy.$type.endsWith('#publicPolicy')) return true
  if (policy.$type.endsWith('#memberListPolicy')) return played.members(space).get(did)?.[access] ?? false
  if (policy['managingApp'] !== managingAppOf(ctx.serviceDid)) throw new Error('another managing app')
  return hookSays(ctx, space, did, played.generation === 'august' ? undefined : access)
}

const NOTHING = { verify: async () => {}, charge: () => {}, owe: () => {} }

/** What a PDS that asks is answered. */
export async function hookSays(ctx: HookCtx, space: SpaceUri, did: Did, access?: 'read' | 'write'): Promise<boolean> {
  const params = { space, user: did, ...(access === undefined ? {} : { access }) } as Parameters<
    typeof checkUserAccess
  >[2]
  const said = await decidedInTime(
    () => checkUserAccess(ctx, { iss: authorityOf(space), ...NOTHING }, params).catch(undecided),
    (answer) => answer instanceof Unavailable,
  )
  if (said instanceof Unavailable) throw said
  return said.authorized
}

const undecided = (error: unknown): Unavailable => {
  if (error instanceof Unavailable) return error
  throw error
}

/** The people for whom the PDS, by its own policies and list, says something else than the hook does, as lines to read. */
export async function otherwise(
  ctx: Steered,
  played: PlayedSimplespaces,
  space: SpaceUri,
  people: readonly Did[],
): Promise<string[]> {
  const lines: string[] = []
  for (const did of people) {
    for (const access of ['read', 'write'] as const) {
      const here = await hookSays(ctx, space, did, played.generation === 'august' ? 'read' : access)
      const there = await letsIn(ctx, played, space, did, access)
      if (here !== there) lines.push(`${did} ${access}: hook ${here}, PDS ${there}`)
    }
  }
  return lines
}

/** Changes a community past the verdicts, with its numbers raised as any change raises them. */
export const changePast = (
  roll: Roll,
  community: Did,
  work: (tx: Parameters<Parameters<typeof withTransaction>[1]>[0]) => Promise<unknown>,
) =>
  withTransaction(roll.db, async (tx) => {
    await lockRevisions(tx, community)
    await work(tx)
    await raiseRevisions(tx, community, { graph: true })
  })

export const people = (count: number): Did[] => Array.from({ length: count }, freshDid).sort()

export const playedOf = (generation: Generation, more: object = {}) => new PlayedSimplespaces({ generation, ...more })
