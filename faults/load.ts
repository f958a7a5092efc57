/**
 * Everybody who means well, all the time, also while nobody answers: exchanges in both generations, tokens that are used again, owners who put
 * people in and take them out and take credentials back, hosts that tell of writes, services that are registered anew. Everything is written
 * down with what came of it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dice } from '../test/kit/dice.ts'
import { BINDINGS } from '../test/kit/exchange.ts'
import type { Deed } from '../test/kit/history.ts'
import type { Somebody } from '../test/kit/people.ts'
import { type Held, presentationOf } from '../test/kit/presentation.ts'
import { freshJti, makeKey } from '../test/kit/tokens.ts'
import { freshRev, writeOf } from '../test/kit/writers.ts'
import { isUndecided } from './record.ts'
import { type Asked, callBy, clock, type Outcome, type Shown, type Stage, show, tokenOf } from './stage.ts'

const REGISTER = 'com.atproto.space.registerNotify'
const MINTERS = 6
const CHANGERS = 3
const WRITERS = 2
/** Of exchanges, one in so many is made again with the same token. */
const REUSED_ONE_IN = 5
/** Of changes, one in so many takes a credential back. */
const TAKEN_BACK_ONE_IN = 6
const PAUSES_MS = { mint: 30, change: 80, write: 250, register: 1_500 }
/** Whoever was told to come again comes again after so long, and whoever found nobody there a little later. */
const AGAIN_MS = 60
const NOBODY_THERE_MS = 250
/** After its end: until every change that nobody knows about was asked for again. */
const SETTLING_MAX_MS = 60_000

/** What is acknowledged, by its kind. */
export interface Acknowledged {
  mints: number
  changes: number
  writes: number
}

export class Load {
  readonly #stage: Stage
  readonly #dice: Dice
  readonly #inYardOrHall = new Map<string, boolean>()
  readonly #busy = new Set<string>()
  /** Shown once or oftener; any may be shown again. */
  readonly #shown: Asked[] = []
  readonly #issued: string[] = []
  readonly #working: Promise<void>[] = []
  readonly acknowledged: Acknowledged = { mints: 0, changes: 0, writes: 0 }
  #isOver = false
  #overMs = 0

  /** `inside`: who of those who come and go stands where already. */
  constructor(stage: Stage, dice: Dice, inside: readonly { readonly space: string; readonly did: string }[] = []) {
    this.#stage = stage
    this.#dice = dice
    for (const { space, did } of inside) this.#inYardOrHall.set(`${space} ${did}`, true)
  }

  start(): void {
    const often = (count: number, one: (nth: number) => Promise<number>) => {
      for (let nth = 0; nth < count; nth++) this.#working.push(this.#keep(() => one(nth)))
    }
    often(MINTERS, () => this.#mint())
    often(CHANGERS, (nth) => this.#change(nth))
    often(WRITERS, (nth) => this.#write(nth))
    often(1, () => this.#register())
  }

  /** Nobody begins anything new; changes of which nobody knows are asked for until somebody does. */
  async stop(): Promise<void> {
    this.#isOver = true
    this.#overMs = performance.now()
    await Promise.all(this.#working)
  }

  /** How much was acknowledged. */
  total(): number {
    const { mints, changes, writes } = this.acknowledged
    return mints + changes + writes
  }

  async #keep(one: () => Promise<number>): Promise<void> {
    while (!this.#isOver) await sleep(await one())
  }

  async #mint(): Promise<number> {
    const isAgain = this.#shown.length > 0 && this.#dice.below(REUSED_ONE_IN) === 0
    const asked = isAgain ? this.#dice.pick(this.#shown) : this.#prepare()
    // Sometimes the same twice at once: of the two one may succeed.
    const isTwice = this.#dice.below(REUSED_ONE_IN * 2) === 0
    const outcomes = await Promise.all(isTwice ? [this.#ask(asked), this.#ask(asked)] : [this.#ask(asked)])
    return Math.max(...outcomes.map(pauseAfter), PAUSES_MS.mint)
  }

  #prepare(): Asked {
    const { steady, movers, hall, yard } = this.#stage
    const person = this.#dice.pick([...steady, ...movers])
    const [space, binding] = [this.#dice.pick([hall, yard]), this.#dice.pick(BINDINGS)]
    const asked = tokenOf(this.#stage, person, space, { binding })
    this.#shown.push(asked)
    if (this.#shown.length > 20) this.#shown.shift()
    return asked
  }

  async #ask(asked: Asked): Promise<Shown> {
    const shown = await show(this.#stage, asked)
    if (shown.issued === null) return shown
    this.acknowledged.mints += 1
    this.#issued.push(shown.issued)
    if (this.#issued.length > 50) this.#issued.shift()
    return shown
  }

  async #change(nth: number): Promise<number> {
    const { owners } = this.#stage
    const owner = owners[nth % owners.length]
    if (!owner) throw new Error('no owner')
    if (this.#issued.length > 0 && this.#dice.below(TAKEN_BACK_ONE_IN) === 0) return this.#takeBack(owner)
    const { movers, hall, yard } = this.#stage
    const { did } = this.#dice.pick(movers)
    const space = this.#dice.pick([hall, yard])
    const who = `${space} ${did}`
    if (this.#busy.has(who)) return PAUSES_MS.change
    this.#busy.add(who)
    const isIn = this.#inYardOrHall.get(who) ?? false
    const deed: Deed = isIn ? { does: 'remove', space, did } : { does: 'put', space, did, role: 'member' }
    const { outcome, earlier, began, key } = await this.#untilKnown(owner, isIn ? 'member.remove' : 'member.put', {
      ...{ space, did, ...(isIn ? {} : { role: 'member' }) },
    })
    const { says, body } = outcome
    const revision = outcome.status === 200 ? Number(body.revision) : null
    const { community, recorder } = this.#stage
    recorder.end(began, { op: 'change', community, deed, key, earlier, says, revision })
    if (outcome.status === 200) {
      this.#inYardOrHall.set(who, !isIn)
      this.acknowledged.changes += 1
    }
    this.#busy.delete(who)
    return PAUSES_MS.change
  }

  async #takeBack(owner: Somebody): Promise<number> {
    const { community, recorder } = this.#stage
    const jti = this.#dice.pick(this.#issued)
    const { outcome, earlier, began } = await this.#untilKnown(owner, 'credential.revoke', { community, jti })
    const { says, body, status } = outcome
    const [revision, found] = status === 200 ? [Number(body.revision), Number(body.revoked)] : [null, 0]
    recorder.end(began, { op: 'takeBack', community, jti, earlier, says, revision, found })
    if (status === 200) this.acknowledged.changes += 1
    return PAUSES_MS.change
  }

  /** The same call under the same key, until there is an answer that says what became of it. */
  async #untilKnown(owner: Somebody, method: string, input: object) {
    const key = freshJti()
    const began = this.#stage.recorder.begin()
    for (const earlier: string[] = []; ; ) {
      const raw = callBy(this.#stage, owner, method, { ...input, idempotencyKey: key })
      const outcome = await this.#stage.send(raw, owner.did)
      const isKnown = outcome.status !== 429 && outcome.status !== 401 && !isUndecided(outcome)
      const isLate = this.#isOver && performance.now() - this.#overMs > SETTLING_MAX_MS
      if (isKnown || isLate) return { outcome, earlier, began, key }
      earlier.push(outcome.says)
      await sleep(pauseAfter(outcome))
    }
  }

  async #write(nth: number): Promise<number> {
    const { steady, hall, yard, recorder } = this.#stage
    const writer = steady[nth % steady.length]
    if (!writer) throw new Error('no writer')
    const space = this.#dice.pick([hall, yard])
    // What wasn't taken is told again by the next, as a host does whose repo has moved on by then.
    const repoRev = freshRev(clock.nowMs())
    const began = recorder.begin()
    const outcome = await this.#stage.send(writeOf({ clock }, { writer, space, rev: repoRev }), writer.did)
    recorder.end(began, { op: 'write', space, repo: writer.did, repoRev, says: outcome.says })
    if (outcome.status !== 200) return pauseAfter(outcome)
    this.acknowledged.writes += 1
    return PAUSES_MS.write
  }

  async #register(): Promise<number> {
    const { steady, hall, yard, syncers, recorder } = this.#stage
    const [person, space, syncer] = [this.#dice.pick(steady), this.#dice.pick([hall, yard]), this.#dice.pick(syncers)]
    const key = makeKey('p256')
    const outcome = await this.#ask(tokenOf(this.#stage, person, space, { key }))
    if (outcome.status !== 200) return pauseAfter(outcome)
    const held: Held = { credential: String(outcome.body.credential), holder: key, binding: 'october', space }
    const { service } = syncer
    const procedure = { nsid: REGISTER, body: { space, service } }
    const began = recorder.begin()
    const raw = presentationOf({ url: this.#stage.reeve.url, clock }, held, { procedure })
    const { says } = await this.#stage.send(raw, person.did)
    recorder.end(began, { op: 'register', space, service, says })
    return PAUSES_MS.register
  }
}

/** Nothing for whoever was answered. */
function pauseAfter({ status }: Outcome): number {
  if (status === 0) return NOBODY_THERE_MS
  return status === 200 || status === 400 ? 0 : AGAIN_MS
}
