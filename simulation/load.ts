/**
 * Everybody in a simulated world, all the time: apps with tokens, also the same twice; owners who put in and take out, nest, offer and ban; hosts that tell
 * of writes; a syncer that registers; a PDS that asks; and somebody who means harm with whatever they got hold of.
 */

import type { Nsid } from '../src/names.ts'
import { type Did, rosterOf, type SpaceUri, spaceUriOf } from '../src/names.ts'
import type { Dice } from '../test/kit/dice.ts'
import type { RosterDeed } from '../test/kit/history.ts'
import type { Somebody } from '../test/kit/people.ts'
import { BINDINGS } from '../test/kit/wire-requests.ts'
import type { Asking, Token } from './asking.ts'
import { Enemy } from './enemy.ts'
import { FORUM, PDS_HOSTS, R, type World } from './world.ts'

/** Who there is. */
export interface Cast {
  /** In the first two spaces of the gardeners all the time. */
  readonly steady: readonly Somebody[]
  /** Who come and go. */
  readonly movers: readonly Somebody[]
  readonly gardeners: Town
  readonly fishers: Town
  /** An account at the third PDS, whose space is decided about here. Null: there is none in this run. */
  readonly meadow: Town | null
  readonly account: Somebody
}

export interface Town {
  readonly community: Did
  readonly owners: readonly Somebody[]
  readonly spaces: readonly SpaceUri[]
}

const PAUSES_MS = { mint: 60, change: 150, write: 250, register: 1_500, hook: 250, present: 300, enemy: 200 }
const MINTERS = 4
/** Of exchanges, one in so many is made again with the same token, and one in so many twice at once. */
const REUSED_ONE_IN = 5
const TWICE_ONE_IN = 8
const REMEMBERED = 20

/** Founds everything while nothing is wrong. @throws Error when anything is refused */
export async function found(world: World, asking: Asking): Promise<Cast> {
  const crowd = async (count: number) => {
    const all: Somebody[] = []
    for (let nth = 0; nth < count; nth++) all.push(await world.somebody(PDS_HOSTS[nth % 3] ?? PDS_HOSTS[0]))
    return all
  }
  const [alice, anna, fred, fay, mona] = await crowd(5)
  const account = await world.somebody(PDS_HOSTS[2])
  if (!alice || !anna || !fred || !fay || !mona) throw new Error('nobody came')
  const steady = await crowd(3)
  const movers = await crowd(5)
  const must = async (person: Somebody, method: string, input: object) => {
    const outcome = await world.send(world.callBy(person, method, input), person.did)
    if (outcome.status !== 200) throw new Error(`${method}: ${outcome.says} ${JSON.stringify(outcome.body)}`)
    return outcome.body
  }
  const does = async (owner: Somebody, deed: RosterDeed) => {
    const outcome = await asking.change(owner, deed)
    if (outcome.status !== 200) throw new Error(`${deed.does}: ${outcome.says} ${JSON.stringify(outcome.body)}`)
  }
  const custody = { $type: `${R}.community.mint#custodial` }
  const town = async (owners: readonly [Somebody, Somebody], name: string, keys: readonly string[]): Promise<Town> => {
    const [first, second] = owners
    const { did: community } = await must(first, 'community.mint', { name, custody })
    await does(first, { does: 'put', space: rosterOf(community).uri, did: second.did, role: 'owner' })
    const spaces = keys.map((key) => spaceUriOf(community, FORUM as Nsid, key).uri)
    for (const space of spaces) await does(first, { does: 'make', space })
    return { community, owners, spaces }
  }
  const gardeners = await town([alice, anna], 'Gardeners', ['hall', 'yard', 'shed'])
  const fishers = await town([fred, fay], 'Fishers', ['pond', 'pier'])
  for (const { did } of steady) {
    for (const space of gardeners.spaces.slice(0, 2)) await does(alice, { does: 'put', space, did, role: 'member' })
  }
  await must(account, 'community.adopt', { name: 'Meadow', owner: mona.did })
  const { uri, revision } = await must(mona, 'space.create', {
    ...{ community: account.did, spaceType: FORUM, skey: 'meadow', host: 'pds' },
  })
  const began = world.recorder.begin()
  world.recorder.end(began, {
    ...{ op: 'change', community: account.did, deed: { does: 'make', space: uri }, key: 'meadow', earlier: [] },
    ...{ says: 'ok', revision },
  })
  const meadow: Town = { community: account.did, owners: [mona], spaces: [uri] }
  return { steady, movers, gardeners, fishers, meadow, account }
}

export class Load {
  readonly #world: World
  readonly #asking: Asking
  readonly #cast: Cast
  readonly #dice: Dice
  readonly #enemy: Enemy
  readonly #shown: Token[] = []
  readonly #isIn = new Map<string, boolean>()
  readonly #busy = new Set<string>()
  readonly #working: Promise<void>[] = []
  /** What broke in the simulation itself. */
  readonly broken: string[] = []
  #isOver = false
  #left = 0

  constructor(world: World, asking: Asking, cast: Cast, dice: Dice) {
    this.#world = world
    this.#asking = asking
    this.#cast = cast
    this.#dice = dice
    this.#enemy = new Enemy(world, asking, cast, dice)
  }

  get enemy(): Enemy {
    return this.#enemy
  }

  get hasStopped(): boolean {
    return this.#isOver && this.#left === 0
  }

  start(): void {
    const often = (count: number, pauseMs: number, one: () => Promise<unknown>) => {
      for (let nth = 0; nth < count; nth++) this.#working.push(this.#keep(pauseMs, one))
    }
    const { gardeners, fishers, meadow } = this.#cast
    often(MINTERS, PAUSES_MS.mint, () => this.#mint())
    often(2, PAUSES_MS.change, () => this.#change(gardeners))
    often(1, PAUSES_MS.change, () => this.#change(fishers))
    if (meadow) {
      often(1, PAUSES_MS.change, () => this.#change(meadow))
      often(1, PAUSES_MS.hook, () => this.#hook(meadow))
    }
    often(1, PAUSES_MS.change, () => this.#share())
    often(2, PAUSES_MS.write, () => this.#write())
    often(1, PAUSES_MS.register, () => this.#register())
    often(1, PAUSES_MS.present, () => this.#present())
    often(1, PAUSES_MS.enemy, () => this.#enemy.tries(this.#shown))
  }

  /** Nobody begins anything new. */
  stop(): void {
    this.#isOver = true
  }

  async #keep(pauseMs: number, one: () => Promise<unknown>): Promise<void> {
    this.#left += 1
    try {
      while (!this.#isOver) {
        await one()
        await this.#world.scheduler.sleep(1 + this.#dice.below(pauseMs * 2))
      }
    } catch (error) {
      this.broken.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
    } finally {
      this.#left -= 1
    }
  }

  async #mint(): Promise<void> {
    const { steady, movers, gardeners, fishers } = this.#cast
    const isAgain = this.#shown.length > 0 && this.#dice.below(REUSED_ONE_IN) === 0
    const fresh = () => {
      const person = this.#dice.pick([...steady, ...movers])
      const space = this.#dice.pick(
        [...gardeners.spaces.slice(0, 2), fishers.spaces[0]].filter((one) => one !== undefined),
      )
      const asked = this.#asking.tokenOf(person, space, this.#dice.pick(BINDINGS))
      this.#shown.push(asked)
      if (this.#shown.length > REMEMBERED) this.#shown.shift()
      return asked
    }
    const asked = isAgain ? this.#dice.pick(this.#shown) : fresh()
    const isTwice = this.#dice.below(TWICE_ONE_IN) === 0
    await Promise.all(
      isTwice ? [this.#asking.exchange(asked), this.#asking.exchange(asked)] : [this.#asking.exchange(asked)],
    )
  }

  /** Somebody is put in where they are not, or out from where they are; or a credential is taken back. */
  async #change(town: Town): Promise<void> {
    const owner = this.#dice.pick(town.owners)
    const { issued } = this.#asking
    if (town === this.#cast.gardeners && issued.length > 0 && this.#dice.below(7) === 0) {
      await this.#asking.takeBack(owner, town.community, this.#dice.pick(issued.slice(-REMEMBERED)))
      return
    }
    const mover = this.#dice.pick(this.#cast.movers)
    const { did } = mover
    const space = this.#dice.pick(town.spaces.slice(0, 2))
    const leaves = this.#dice.below(5) === 0
    await this.#turn(`${space} ${did}`, (isIn) => {
      if (!isIn) return this.#asking.change(owner, { does: 'put', space, did, role: 'member' })
      return leaves
        ? this.#asking.change(mover, { does: 'leave', space, did })
        : this.#asking.change(owner, { does: 'remove', space, did })
    })
  }

  /** The one is done when the other was, and never two of them at once. */
  async #turn(what: string, does: (isIn: boolean) => Promise<{ status: number }>): Promise<void> {
    if (this.#busy.has(what)) return
    this.#busy.add(what)
    const isIn = this.#isIn.get(what) ?? false
    if ((await does(isIn)).status === 200) this.#isIn.set(what, !isIn)
    this.#busy.delete(what)
  }

  /** The communities offer each other spaces, take them onto rosters, and end that; and somebody is banned for a while. */
  async #share(): Promise<void> {
    const { gardeners, fishers, movers } = this.#cast
    const [hall, , shed] = gardeners.spaces
    const [pond, pier] = fishers.spaces
    if (!hall || !shed || !pond || !pier) return
    const offer = (from: Town, space: SpaceUri, to: Town) =>
      this.#turn(`offer ${space}`, (isOffered) =>
        this.#asking.change(this.#dice.pick(from.owners), {
          ...{ does: isOffered ? 'withdraw' : 'offer', space, to: to.community },
        }),
      )
    const nest = (town: Town, space: SpaceUri, from: SpaceUri) =>
      this.#turn(`nest ${space} ${from}`, (isNested) =>
        this.#asking.change(
          this.#dice.pick(town.owners),
          isNested
            ? { does: 'unnest', space, from }
            : { does: 'nest', space, from, role: this.#dice.pick(['reader', 'member']), holding: null },
        ),
      )
    const ban = () => {
      const { did } = this.#dice.pick(movers)
      const scope = this.#dice.pick([hall, gardeners.community])
      return this.#turn(`ban ${scope} ${did}`, (isBanned) =>
        this.#asking.change(this.#dice.pick(gardeners.owners), { does: isBanned ? 'unban' : 'ban', scope, did }),
      )
    }
    await this.#dice.pick([
      () => offer(fishers, pier, gardeners),
      () => nest(gardeners, hall, pier),
      () => offer(gardeners, shed, fishers),
      () => nest(fishers, pond, shed),
      ban,
    ])()
  }

  async #write(): Promise<void> {
    const { steady, gardeners } = this.#cast
    await this.#asking.write(this.#dice.pick(steady), this.#dice.pick(gardeners.spaces.slice(0, 2)))
  }

  async #register(): Promise<void> {
    const { steady, gardeners } = this.#cast
    await this.#asking.register(this.#dice.pick(steady), this.#dice.pick(gardeners.spaces.slice(0, 2)))
  }

  async #hook({ spaces }: Town): Promise<void> {
    const [space] = spaces
    const { movers, account } = this.#cast
    if (space) await this.#asking.hook(account, space, this.#dice.pick(movers).did, this.#dice.pick(['read', 'write']))
  }

  async #present(): Promise<void> {
    const held = this.#asking.held.slice(-REMEMBERED)
    if (held.length === 0) return
    const one = this.#dice.pick(held)
    await this.#asking.present(one, one.did)
  }
}
