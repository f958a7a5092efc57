/** What a repo host tells the host of a space when somebody wrote there, in the words of either generation. */
import { createHash } from 'node:crypto'
import type { Clock } from '../../src/platform/clock.ts'
import { tidOf } from '../../src/platform/tid.ts'
import { type Changes, freshJti, makeServiceJwt } from './tokens.ts'
import { type Binding, spaceOf } from './wire-requests.ts'
import type { Answer, Person, RawRequest, World } from './world.ts'

export const NOTIFY_WRITE = 'com.atproto.space.notifyWrite'

/** The hash of a repo's state, as anybody would make one: 32 bytes that differ. */
export const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest()

/** As the reference writes bytes: standard base64 without padding. */
export const bytesJson = (bytes: Uint8Array): { $bytes: string } => ({
  $bytes: Buffer.from(bytes).toString('base64').replace(/=+$/, ''),
})

let lastMicros = 0

/** Nobody made as many revisions in advance: the ones before are by the clock of a world that was moved on, and is over. */
const ANOTHER_CLOCKS_MICROS = 30_000_000

/** A revision later than every one before it in this world. */
export function freshRev(nowMs: number): string {
  const isOfThisWorld = lastMicros < nowMs * 1000 + ANOTHER_CLOCKS_MICROS
  lastMicros = Math.max(nowMs * 1000, isOfThisWorld ? lastMicros + 1 : 0)
  return tidOf(lastMicros, 7)
}

export interface Write {
  readonly writer: Pick<Person, 'did' | 'key'>
  readonly space: string
  readonly generation?: Binding
  readonly rev?: string
  readonly hash?: unknown
  readonly aud?: string
  readonly jti?: string
  readonly changes?: Changes
  /** Fields of the body in place of those that belong there, or besides; undefined leaves one out. */
  readonly body?: Readonly<Record<string, unknown>>
}

/** The request; what is left out is as it should be. */
export function writeOf(world: { readonly clock: Pick<Clock, 'nowMs' | 'nowSec'> }, write: Write): RawRequest {
  const { writer, space, generation = 'october', jti = freshJti(), changes } = write
  const rev = write.rev ?? freshRev(world.clock.nowMs())
  const aud = write.aud ?? spaceOf(space).authority
  const nowSec = world.clock.nowSec()
  const token = makeServiceJwt({ key: writer.key, iss: writer.did, aud, lxm: NOTIFY_WRITE, nowSec, jti, ...changes })
  const revision = generation === 'october' ? { repoRev: rev } : { rev }
  const hash = write.hash ?? bytesJson(hashOf(rev))
  return {
    method: 'POST',
    path: `/xrpc/${NOTIFY_WRITE}`,
    headers: [
      ['authorization', `Bearer ${token}`],
      ['content-type', 'application/json'],
    ],
    body: JSON.stringify({ space, repo: writer.did, ...revision, hash, ...write.body }),
  }
}

export const write = (world: Pick<World, 'clock' | 'send'>, about: Write): Promise<Answer> =>
  world.send(writeOf(world, about))
