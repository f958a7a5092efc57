/** What goes wrong in a simulated world besides single requests and statements: processes die, clocks are set, hosts are away, everything is slow. */
import type { Dice } from '../test/kit/dice.ts'
import type { SimulatedHouse } from './house.ts'
import type { Plant } from './plants.ts'
import { WORLD } from './scheduler.ts'
import type { World } from './world.ts'

/** Between two troubles of the larger kind. */
const PAUSE_MAX_MS = 3_000
const DOWN_MAX_MS = 2_500
const AWAY_MAX_MS = 6_000
const WRONG_MAX_MS = 5_000
/** By how much a clock is set, in milliseconds. */
const STEPS_MS = [-3_600_000, -90_000, -7_000, -1_000, 1_000, 7_000, 90_000, 3_600_000] as const

export type TroubleKind = 'kill' | 'away' | 'clock'

export class Trouble {
  readonly #world: World
  readonly #dice: Dice
  #isOver = true

  readonly #plant: Plant

  readonly #kinds: readonly TroubleKind[]

  constructor(world: World, dice: Dice, plant: Plant, kinds: readonly TroubleKind[]) {
    this.#kinds = kinds
    this.#plant = plant
    this.#world = world
    this.#dice = dice
  }

  begin(): void {
    this.#isOver = false
    const { wires, storage } = this.#world
    // Some worlds are calm, and some are not.
    wires.troubles = this.#dice.pick([2, 6, 15])
    storage.isTroubled = true
    this.#later()
    if (this.#plant.often) this.#spoil(this.#plant.often)
  }

  #spoil(statements: readonly string[]): void {
    const { scheduler, storage } = this.#world
    scheduler.after(500, WORLD, 'spoils', () => {
      if (storage.isFree) void storage.behind(statements)
      if (!this.#isOver) this.#spoil(statements)
    })
  }

  /** From here on everything goes well: who is away comes back, clocks are right, and whoever died is started. */
  end(): void {
    this.#isOver = true
    const { wires, storage, houses } = this.#world
    wires.troubles = 0
    storage.isTroubled = false
    wires.bringUp()
    for (const house of houses) house.offsetMs = 0
  }

  #later(): void {
    this.#world.scheduler.after(1 + this.#dice.below(PAUSE_MAX_MS), WORLD, 'trouble', () => {
      if (this.#isOver) return
      const does = {
        kill: () => this.#kill(),
        away: () => this.#away(),
        clock: () => this.#setClock(),
      }
      does[this.#dice.pick(this.#kinds)]()
      this.#later()
    })
  }

  #kill(): void {
    this.#killOne(this.#dice.pick(this.#world.houses))
  }

  #killOne(house: SimulatedHouse): void {
    if (!house.isAlive) return
    this.#world.tally.fault('house killed')
    house.kill()
    this.#world.scheduler.after(1 + this.#dice.below(DOWN_MAX_MS), WORLD, `start ${house.name}`, () => house.start())
  }

  #away(): void {
    const { wires } = this.#world
    wires.takeDown(this.#dice.pick(wires.hosts()), 200 + this.#dice.below(AWAY_MAX_MS))
  }

  #setClock(): void {
    const house = this.#dice.pick(this.#world.houses)
    this.#world.tally.fault('clock set')
    house.offsetMs = this.#dice.pick(STEPS_MS)
    const world = this.#world
    world.wrongMaxMs = Math.max(world.wrongMaxMs, Math.abs(house.offsetMs))
    world.aheadMaxMs = Math.max(world.aheadMaxMs, house.offsetMs)
    const isKilled = this.#dice.below(3) === 0
    this.#world.scheduler.after(1 + this.#dice.below(WRONG_MAX_MS), WORLD, `clock of ${house.name}`, () => {
      house.offsetMs = 0
      // Whoever finds such a clock may well start the process anew.
      if (isKilled && !this.#isOver) this.#killOne(house)
    })
  }
}
