/** What somebody asks of Reeve, written down with what came of it: exchanges, changes until their outcome is known, writes, registrations, questions of a PDS. */
import type { Operation } from '../faults/record.ts'
import { isUndecided } from '../faults/record.ts'
import type { Did, SpaceUri } from '../src/names.ts'
import { tidOf } from '../src/platform/tid.ts'
import { askOf } from '../test/kit/asking-host.ts'
import { callOf, communityOf } from '../test/kit/deeds.ts'
import { type Decision, hookDecision, type RosterDeed } from '../test/kit/history.ts'
import type { Somebody } from '../test/kit/people.ts'
import type { RawRequest } from '../test/kit/raw-request.ts'
import { freshJti, makeKey, type TestKey, thumbprintOf } from '../test/kit/tokens.ts'
import { type Binding, exchangeOf, type Held, type Parts, presentationOf } from '../test/kit/wire-requests.ts'
import { writeOf } from '../test/kit/writers.ts'
import { CONFIG } from './house.ts'
import { type Outcome, SYNCER, type World } from './world.ts'

const REGISTER = 'com.atproto.space.registerNotify'
/** Whoever was told to come again comes again after so long; and nobody asks for a change for longer than this once everything is well. */
const AGAIN_MS = 400
const PATIENCE_MS = 240_000

/** One token, the key that it is shown with, and the request; it may be shown again, by whoever has it. */
export interface Token {
  readonly person: Pick<Somebody, 'did'>
  readonly space: SpaceUri
  readonly token: string
  readonly holder: string
  readonly key: TestKey
  readonly binding: Binding
  readonly raw: RawRequest
}

export class Asking {
  readonly world: World
  /** What was answered beside the operations: questions of a PDS, and credentials that were shown. */
  readonly decisions: Decision[] = []
  readonly issued: string[] = []
  /** Credentials that were taken at our own door, and when they were shown. */
  readonly presented: { readonly began: number; readonly jti: string }[] = []
  readonly held: (Held & { readonly did: Did; readonly jti: string })[] = []
  /** Calls of owners that were carried out, by their keys, which are each method's own. */
  readonly answered: { readonly owner: Somebody; readonly method: string; readonly key: string }[] = []
  /** Of the last revision of a repo. */
  #micros = 0

  constructor(world: World) {
    this.world = world
  }

  tokenOf(person: Somebody, space: SpaceUri, binding: Binding, parts: Parts = {}): Token {
    const { url, clock } = this.world
    const key = parts.holder ?? makeKey('p256')
    const token = parts.jti ?? freshJti()
    const raw = exchangeOf(
      { world: { url, clock }, forum: space, bob: person },
      { binding, ...parts, holder: key, jti: token },
    )
    const holder = binding === 'august' ? thumbprintOf(key) : key.didKey
    return { person, space, token, holder, key, binding, raw }
  }

  async exchange(asked: Token): Promise<Outcome> {
    const { recorder, tally } = this.world
    const { space, token, holder, person } = asked
    const began = recorder.begin()
    const outcome = await this.world.send(asked.raw, person.did)
    const credential = outcome.status === 200 ? String(outcome.body.credential) : null
    const issued = credential === null ? null : jtiIn(credential)
    const about = { op: 'exchange', space, did: person.did, token, holder } as const
    recorder.end(began, { ...about, says: outcome.says, issued })
    if (outcome.isTwice) recorder.end(began, { ...about, says: '0 COPY', issued: null })
    tally.ask(`exchange: ${outcome.says}`)
    if (credential !== null && issued !== null) {
      this.issued.push(issued)
      this.held.push({ credential, holder: asked.key, binding: asked.binding, space, did: person.did, jti: issued })
    }
    return outcome
  }

  /** A change by one of the owners. */
  change(owner: Somebody, deed: RosterDeed): Promise<Outcome> {
    const { method, input } = callOf(deed)
    const community = communityOf(deed)
    return this.untilKnown(owner, method, input, (known) => {
      const { key, earlier, outcome } = known
      const revision = outcome.status === 200 ? Number(outcome.body.revision) : null
      return { op: 'change', community, deed, key, earlier, says: outcome.says, revision }
    })
  }

  takeBack(owner: Somebody, community: Did, jti: string): Promise<Outcome> {
    return this.untilKnown(owner, 'credential.revoke', { community, jti }, ({ earlier, outcome }) => {
      const { says, status, body } = outcome
      const [revision, found] = status === 200 ? [Number(body.revision), Number(body.revoked)] : [null, 0]
      return { op: 'takeBack', community, jti, earlier, says, revision, found }
    })
  }

  /** The same call under the same key, until there is an answer that says what became of it. */
  async untilKnown(
    owner: Somebody,
    method: string,
    input: object,
    noted: (known: { key: string; earlier: readonly string[]; outcome: Outcome }) => Omit<Operation, 'began' | 'ended'>,
  ): Promise<Outcome> {
    const { recorder, scheduler, tally } = this.world
    const key = freshJti()
    const began = recorder.begin()
    const endMs = scheduler.nowMs + PATIENCE_MS
    const earlier: string[] = []
    for (;;) {
      const raw = this.world.callBy(owner, method, { ...input, idempotencyKey: key })
      const outcome = await this.world.send(raw, owner.did)
      tally.ask(`${method}: ${outcome.says}`)
      // A clock that is wrong takes no token of the right time: that passes as well.
      const isKnown = !isUndecided(outcome) && outcome.status !== 429 && outcome.status !== 401
      if (isKnown || scheduler.nowMs > endMs) {
        if (outcome.status === 200) this.answered.push({ owner, method, key })
        recorder.end(began, noted({ key, earlier, outcome }) as Parameters<typeof recorder.end>[1])
        return outcome
      }
      earlier.push(outcome.says)
      await scheduler.sleep(AGAIN_MS)
    }
  }

  /** A revision later than every one before it in this world. */
  freshRev(): string {
    this.#micros = Math.max(this.#micros + 1, this.world.clock.nowMs() * 1_000)
    return tidOf(this.#micros, 7)
  }

  async write(writer: Somebody, space: SpaceUri, jti = freshJti()): Promise<Outcome> {
    const { recorder, tally, clock } = this.world
    const repoRev = this.freshRev()
    const began = recorder.begin()
    const outcome = await this.world.send(writeOf({ clock }, { writer, space, rev: repoRev, jti }), writer.did)
    recorder.end(began, { op: 'write', space, repo: writer.did, repoRev, says: outcome.says })
    tally.ask(`write: ${outcome.says}`)
    return outcome
  }

  /** The syncer has somebody show a credential for it. */
  async register(person: Somebody, space: SpaceUri): Promise<Outcome> {
    const { recorder, tally, url, clock } = this.world
    const asked = this.tokenOf(person, space, 'october')
    const outcome = await this.exchange(asked)
    if (outcome.status !== 200) return outcome
    const held: Held = { credential: String(outcome.body.credential), holder: asked.key, binding: 'october', space }
    const raw = presentationOf({ url, clock }, held, {
      procedure: { nsid: REGISTER, body: { space, service: SYNCER } },
    })
    const began = recorder.begin()
    const { says, ...rest } = await this.world.send(raw, person.did)
    recorder.end(began, { op: 'register', space, service: SYNCER, says })
    tally.ask(`register: ${says}`)
    return { says, ...rest }
  }

  /** The PDS of an account asks about somebody. */
  async hook(
    by: Somebody,
    space: SpaceUri,
    did: Did,
    access: 'read' | 'write',
    isNoted = true,
  ): Promise<boolean | null> {
    const { recorder, tally, url, clock } = this.world
    const at = { url, managingApp: `${CONFIG.serviceDid}#reeve`, nowSec: clock.nowSec() }
    const began = recorder.begin()
    const { status, body, says } = await this.world.send(askOf(at, { by, space, user: did, access }), by.did)
    const ended = recorder.begin()
    tally.ask(`checkUserAccess: ${status === 200 ? body.authorized : says}`)
    if (status !== 200) return null
    if (!isNoted) return body.authorized === true
    const question = { asks: 'hook', space, did, access } as const
    this.decisions.push(hookDecision(question, { began, ended }, body.authorized ? 'yes' : 'no'))
    return body.authorized === true
  }

  /** A credential is shown at our own door: whom it lets in could read at that time. */
  async present(held: Held & { readonly jti: string }, did: Did): Promise<Outcome> {
    const { recorder, tally, url, clock } = this.world
    const began = recorder.begin()
    const outcome = await this.world.send(presentationOf({ url, clock }, held), did)
    const ended = recorder.begin()
    tally.ask(`present: ${outcome.says}`)
    const space = held.space as SpaceUri
    const question = { asks: 'may', space, did, action: 'read' } as const
    const basis = { basis: [], isWhole: false, atLeast: [], issued: null }
    if (outcome.status !== 200) return outcome
    this.decisions.push({ began, ended, question, answer: 'yes', ...basis })
    this.presented.push({ began, jti: held.jti })
    return outcome
  }
}

function jtiIn(credential: string): string {
  const { jti } = JSON.parse(Buffer.from(credential.split('.')[1] ?? '', 'base64url').toString())
  return String(jti)
}
