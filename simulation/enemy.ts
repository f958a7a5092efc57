/**
 * Somebody who means harm: with tokens that they captured, changed, or were given for something else, under other people's idempotency keys, and with claims
 * about repos that aren't theirs. What they get that nobody may get is written down as a fault.
 */
import { authorityOf } from '../src/names.ts'
import type { Dice } from '../test/kit/dice.ts'
import type { Somebody } from '../test/kit/people.ts'
import { freshJti, makeKey } from '../test/kit/tokens.ts'
import { exchangeOf } from '../test/kit/wire-requests.ts'
import { writeOf } from '../test/kit/writers.ts'
import type { Asking, Token } from './asking.ts'
import type { Cast } from './load.ts'
import { type Outcome, PDS_HOSTS, type World } from './world.ts'

export class Enemy {
  readonly #world: World
  readonly #asking: Asking
  readonly #cast: Cast
  readonly #dice: Dice
  #eve: Somebody | null = null
  /** What was got that nobody may get. */
  readonly won: string[] = []
  tried = 0
  /** Revisions that were told of by a token that was used before: nobody may ever hear of them. */
  readonly replayed = new Set<string>()

  constructor(world: World, asking: Asking, cast: Cast, dice: Dice) {
    this.#world = world
    this.#asking = asking
    this.#cast = cast
    this.#dice = dice
  }

  async tries(captured: readonly Token[]): Promise<void> {
    this.#eve ??= await this.#world.somebody(PDS_HOSTS[1])
    const eve = this.#eve
    const token = captured.length > 0 ? this.#dice.pick(captured) : null
    this.tried += 1
    await this.#dice.pick([
      () => this.#stolen(token),
      () => this.#changed(token),
      () => this.#elsewhere(token),
      () => this.#asks(eve),
      () => this.#governs(eve),
      () => this.#contradicts(),
      () => this.#writesFor(eve),
      () => this.#writesTwice(),
      () => this.#asksAs(eve),
    ])()
  }

  #lost(kind: string, outcome: Outcome): void {
    this.#world.tally.ask(`enemy ${kind}: ${outcome.says}`)
    if (outcome.status === 200) this.won.push(`${kind}: ${JSON.stringify(outcome.body)}`)
    if (outcome.status === 500) this.won.push(`${kind}: ${outcome.says}`)
  }

  /** Somebody else's token with a key of one's own: it works once, for whoever is first, and is an exchange like any other. */
  async #stolen(token: Token | null): Promise<void> {
    if (!token) return
    const [, bearer = ''] = headerOf(token, 'authorization').split(' ')
    const holder = makeKey('p256')
    const { url, clock } = this.#world
    const { space, person } = token
    const parts = { binding: 'october', holder, token: bearer, space } as const
    const somebody = { did: person.did, key: holder }
    const raw = exchangeOf({ world: { url, clock }, forum: space, bob: somebody }, parts)
    await this.#asking.exchange({ ...token, holder: holder.didKey, key: holder, binding: 'october', raw })
  }

  /** A token of which one letter was changed. */
  async #changed(token: Token | null): Promise<void> {
    if (!token) return
    const bearer = headerOf(token, 'authorization').slice('Bearer '.length)
    const at = this.#dice.below(bearer.length)
    const letter = bearer[at] === 'A' ? 'B' : 'A'
    const spoilt = `${bearer.slice(0, at)}${letter}${bearer.slice(at + 1)}`
    if (spoilt === bearer) return
    const { url, clock } = this.#world
    const { space, person } = token
    const key = makeKey('p256')
    const raw = exchangeOf({ world: { url, clock }, forum: space, bob: { ...person, key } }, { token: spoilt })
    this.#lost('changed token', await this.#world.send(raw, person.did))
  }

  /** A token for one space at another, which the body names. */
  async #elsewhere(token: Token | null): Promise<void> {
    if (!token) return
    const { gardeners, fishers } = this.#cast
    const other = this.#dice.pick([...gardeners.spaces, ...fishers.spaces].filter((space) => space !== token.space))
    const bearer = headerOf(token, 'authorization').slice('Bearer '.length)
    const { url, clock } = this.#world
    const key = makeKey('p256')
    const raw = exchangeOf(
      { world: { url, clock }, forum: other, bob: { ...token.person, key } },
      { token: bearer, body: { space: other } },
    )
    this.#lost('token for another space', await this.#world.send(raw, token.person.did))
  }

  /** A stranger asks for a credential by an honest token of their own. */
  async #asks(eve: Somebody): Promise<void> {
    const { gardeners, fishers } = this.#cast
    await this.#asking.exchange(
      this.#asking.tokenOf(eve, this.#dice.pick([...gardeners.spaces, ...fishers.spaces]), 'october'),
    )
  }

  /** A stranger puts themself in, also under a key that an owner used. */
  async #governs(eve: Somebody): Promise<void> {
    const { gardeners } = this.#cast
    const space = this.#dice.pick(gardeners.spaces)
    const idempotencyKey = this.#usedKey() ?? freshJti()
    const raw = this.#world.callBy(eve, 'member.put', { space, did: eve.did, role: 'member', idempotencyKey })
    this.#lost('stranger governs', await this.#world.send(raw, eve.did))
  }

  /** What an owner asked for, and was answered, is asked for again under the same key with another body. */
  async #contradicts(): Promise<void> {
    const used = this.#asking.answered.filter(({ method }) => method === 'member.put').slice(-20)
    if (used.length === 0) return
    const { owner, key } = this.#dice.pick(used)
    const space = this.#cast.gardeners.spaces[2]
    const input = { space, did: this.#dice.pick(this.#cast.movers).did, role: 'reader', idempotencyKey: key }
    this.#lost('contradicts', await this.#world.send(this.#world.callBy(owner, 'member.put', input), owner.did))
  }

  #usedKey(): string | null {
    const keys = this.#world.recorder.operations.flatMap((one) => (one.op === 'change' ? [one.key] : []))
    return keys.length === 0 ? null : this.#dice.pick(keys.slice(-20))
  }

  /** Tells of a write in a repo that is somebody else's, by a token of one's own; and of one's own, where one may not write. */
  async #writesFor(eve: Somebody): Promise<void> {
    const { gardeners, steady } = this.#cast
    const [space] = gardeners.spaces
    if (!space) return
    const { clock } = this.#world
    const repo = this.#dice.pick([this.#dice.pick(steady).did, eve.did])
    const raw = writeOf({ clock }, { writer: eve, space, rev: '3zzzzzzzzzz2z', body: { repo } })
    this.#lost(repo === eve.did ? 'stranger writes' : 'write for somebody else', await this.#world.send(raw, eve.did))
  }

  /** The same token of a write twice, with another revision the second time. */
  async #writesTwice(): Promise<void> {
    const { gardeners, steady } = this.#cast
    const [, space] = gardeners.spaces
    if (!space) return
    const writer = this.#dice.pick(steady)
    const jti = freshJti()
    if ((await this.#asking.write(writer, space, jti)).status !== 200) return
    // Answered as if it were the first, and nothing came of it.
    const rev = this.#asking.freshRev()
    const { clock } = this.#world
    const outcome = await this.#world.send(writeOf({ clock }, { writer, space, rev, jti }), writer.did)
    this.#world.tally.ask(`enemy write replayed: ${outcome.says}`)
    this.replayed.add(rev)
  }

  /** Whoever isn't the account asks about its people. */
  async #asksAs(eve: Somebody): Promise<void> {
    const { meadow, movers } = this.#cast
    const [space] = meadow?.spaces ?? []
    if (!space) return
    const { did } = this.#dice.pick(movers)
    const isIn = await this.#asking.hook(
      { ...eve, did: this.#dice.pick([eve.did, authorityOf(space)]) },
      space,
      did,
      'read',
      false,
    )
    this.#world.tally.ask(`enemy asks: ${isIn}`)
    if (isIn === true) this.won.push('asks: a stranger was told that somebody is in')
  }
}

function headerOf(token: Token, name: string): string {
  return token.raw.headers?.find(([each]) => each === name)?.[1] ?? ''
}
