/**
 * Everybody who means well, in a process of its own: apps that exchange, a PDS that asks, hosts that tell of writes, admins who change things,
 * people who come and go. Each has keys and an address of their own and speaks over real sockets; what was answered is counted, and judged by
 * what is known of each person.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { atRate, pathOf, tokenFor } from '../test/kit/asking-often.ts'
import { Dice } from '../test/kit/dice.ts'
import { addressOf, type Somebody } from '../test/kit/people.ts'
import type { RawRequest } from '../test/kit/raw-request.ts'
import { freshJti, makeKey } from '../test/kit/tokens.ts'
import { writeOf } from '../test/kit/writers.ts'
import { type Cast, callOf, clock, exchangeIn, furnish, type Mover, R, registrationOf } from './cast.ts'
import { openClient } from './client.ts'
import { faultOf, type Look, type Side, type Stand } from './stand.ts'
import type { HonestCount, HonestReport, LoadOrder, Plan, Refused } from './words.ts'

const CONNECTIONS = 256
const RENEWED_EVERY_SEC = 60
/** Each space that is made lives so long. */
const SPACE_SEC = 20
const SPACES_EVERY_SEC = 10
const TRIES = 20

const isYes = (status: number): boolean => status === 200

const report = (message: HonestReport): void => {
  process.send?.(message)
}

let cast: Cast | null = null
let run: Run | null = null
// Whoever gives the orders is gone.
process.on('disconnect', () => process.exit(1))
process.on('message', (order: LoadOrder) => {
  if (order.kind === 'furnish') {
    const client = openClient(order.place.url, CONNECTIONS)
    void furnish(order.place, client).then((made) => {
      client.close()
      cast = made
      report({ kind: 'furnished', world: made.world })
    })
  }
  if (order.kind === 'go' && cast) {
    run = new Run(cast, order.plan)
    void run.whole().then(() => report({ kind: 'over' }))
  }
  if (order.kind === 'collect' && run) report({ kind: 'collected', count: run.collect() })
  if (order.kind === 'rotate' && run) void run.rotate().then(() => report({ kind: 'rotated' }))
  if (order.kind === 'end') process.exit(0)
})

class Run {
  readonly #cast: Cast
  readonly #plan: Plan
  readonly #client
  readonly #dice = new Dice(20_261_129)
  readonly #begunMs = performance.now()
  #count = emptyCount()

  constructor(given: Cast, plan: Plan) {
    this.#cast = given
    this.#plan = plan
    this.#client = openClient(given.place.url, CONNECTIONS)
  }

  collect(): HonestCount {
    const count = this.#count
    this.#count = emptyCount()
    return count
  }

  async whole(): Promise<void> {
    const { minutes, exchangesPerSec, questionsPerSec, writesPerSec, changesPerSec, pagesPerSec } = this.#plan
    const seconds = minutes * 60
    const often = (perSec: number, one: (at: number) => Promise<void>) => atRate({ perSec, seconds, most: 512 }, one)
    await Promise.all([
      often(exchangesPerSec, (at) => this.#exchange(at)),
      often(questionsPerSec, (at) => this.#question(at)),
      often(writesPerSec, (at) => this.#write(at)),
      often(changesPerSec, () => this.#change()),
      often(pagesPerSec, (at) => this.#page(at)),
      often(1 / SPACES_EVERY_SEC, (at) => this.#spaceForAWhile(at)),
      often(1 / RENEWED_EVERY_SEC, (at) => this.#renew(at)),
      often(0.2, (at) => this.#configure(at)),
    ])
    this.#client.close()
  }

  /** The key by which the community signs credentials is replaced. */
  async rotate(): Promise<void> {
    const { world } = this.#cast
    await this.#call('key.rotate', this.#owner(0), {
      community: world.community,
      purposes: ['space'],
      reason: 'scheduled',
    })
  }

  readonly #nowSec = (): number => (performance.now() - this.#begunMs) / 1_000

  /** Sends, and notes how long it took. `isRight`: whether the answer is one that it may be; of the others each is written down. */
  async #send(what: string, person: Somebody, raw: RawRequest, isRight: (status: number) => boolean = isYes) {
    const beganSec = this.#nowSec()
    const outcome = await this.#client.send(raw, addressOf(person.did))
    const { status, error, tookMs } = outcome
    const times = this.#count.tookMs[what] ?? []
    times.push(tookMs)
    this.#count.tookMs[what] = times
    if (!isRight(status)) {
      const says = `${status} ${error}`
      this.#count.refused.push({ what, says, beganSec, endedSec: this.#nowSec() })
    }
    return outcome
  }

  readonly #owner = (at: number): Somebody => {
    const { owners } = this.#cast
    const owner = owners[at % owners.length]
    if (!owner) throw new Error('no owner')
    return owner
  }

  /** Told under one key until there is an answer. */
  async #call(method: string, person: Somebody, input: object, isQuery = false) {
    const keyed = isQuery ? input : { ...input, idempotencyKey: freshJti() }
    for (let attempt = 1; ; attempt++) {
      const raw = callOf(this.#cast.place, person, `${R}.${method}`, keyed, isQuery)
      const outcome = await this.#send(method, person, raw)
      if ((outcome.status !== 0 && outcome.status < 500) || attempt === TRIES) return outcome
      await sleep(500)
    }
  }

  #judge(stand: Stand, before: Look, answer: Side, says: string): void {
    const certain = stand.certain(before)
    this.#count.judged[certain] += 1
    const fault = faultOf(certain, answer)
    if (fault) this.#count.faults.push(`${says}: ${fault}`)
  }

  async #exchange(at: number): Promise<void> {
    const { stable, movers, place, world, yard } = this.#cast
    const binding = at % 2 === 0 ? 'october' : 'august'
    const ofYard = movers.filter(({ space }) => space === yard)
    if (at % 5 === 4) {
      const mover = this.#dice.pick(ofYard)
      const before = mover.stand.look()
      const raw = exchangeIn(place, mover, yard, { binding })
      const says = 'exchange of those who move'
      const { status, error } = await this.#send(says, mover, raw, (one) => one === 200 || one === 400)
      if (status !== 200 && error !== 'UserNotAuthorized') return
      this.#judge(
        mover.stand,
        before,
        status === 200 ? 'in' : 'out',
        `a credential for ${mover.did} (${status} ${error})`,
      )
      return
    }
    // Everybody in turn, so that all are known before the directory is silent for the first time.
    const person = stable[(at - Math.floor(at / 5)) % stable.length]
    if (person) await this.#send('exchange', person, exchangeIn(place, person, world.hall, { binding }))
  }

  async #question(at: number): Promise<void> {
    const { stable, movers, place, world, account } = this.#cast
    const mover = at % 3 === 0 ? this.#dice.pick(movers.filter(({ space }) => space === world.board)) : null
    const person = mover ?? this.#dice.pick(stable)
    const before = mover?.stand.look()
    const path = pathOf({ space: world.board, user: person.did, access: at % 2 === 0 ? 'read' : 'write' })
    const authorization = `Bearer ${tokenFor(account, place.serviceDid, clock.nowSec())}`
    const raw = { path, headers: [['authorization', authorization] as const] }
    const { status, body } = await this.#send('checkUserAccess', account, raw)
    if (status !== 200) return
    const side = body.authorized === true ? 'in' : 'out'
    if (mover && before) this.#judge(mover.stand, before, side, `a PDS about ${mover.did}`)
    else if (side === 'out') this.#count.faults.push(`a PDS about ${person.did}: turned away though they were in`)
  }

  async #write(at: number): Promise<void> {
    const { stable, world } = this.#cast
    const writer = stable[at % 40]
    const generation = at % 2 === 0 ? 'october' : 'august'
    if (writer) await this.#send('notifyWrite', writer, writeOf({ clock }, { writer, space: world.hall, generation }))
  }

  async #change(): Promise<void> {
    const idle = this.#cast.movers.filter(({ isBusy }) => !isBusy)
    if (idle.length === 0) return
    const mover = this.#dice.pick(idle)
    mover.isBusy = true
    await this.#move(mover).finally(() => {
      mover.isBusy = false
    })
  }

  /** In, with another role, out; in, banned, let back, gone by themselves. */
  async #move(mover: Mover): Promise<void> {
    const { space, did, stand } = mover
    const owner = this.#owner(mover.step)
    const steps = [
      () => this.#call('member.put', owner, { space, did, role: 'member' }),
      () => this.#call('member.put', owner, { space, did, role: 'moderator' }),
      () => this.#call('member.remove', owner, { space, did }),
      () => this.#call('member.put', owner, { space, did, role: 'member' }),
      () => this.#call('member.ban', owner, { space, did }),
      () => this.#call('member.unban', owner, { space, did }),
      () => this.#call('member.leave', mover, { space }),
    ] as const
    const sides = ['in', 'in', 'out', 'in', 'out', 'in', 'out'] as const
    const at = mover.step % steps.length
    stand.begin()
    const { status } = (await steps[at]?.()) ?? { status: 0 }
    if (status !== 200) return
    stand.end(sides[at] ?? 'out')
    mover.step += 1
  }

  async #page(at: number): Promise<void> {
    const { world, stable } = this.#cast
    const { hall: space, community } = world
    const did = this.#dice.pick(stable).did
    const asked = [
      ['member.resolve', { space, action: 'read', limit: '20' }],
      ['member.list', { space, limit: '20' }],
      ['credential.list', { community, limit: '50' }],
      ['member.check', { space, did, action: 'read' }],
    ] as const
    const [method, input] = asked[at % asked.length] ?? asked[0]
    await this.#call(method, this.#owner(at), input, true)
  }

  async #spaceForAWhile(at: number): Promise<void> {
    const { world, stable, place } = this.#cast
    const owner = this.#owner(at)
    const about = { community: world.community, spaceType: 'com.atmoboards.forum', skey: `while-${at}` }
    const made = await this.#call('space.create', owner, about)
    if (made.status !== 200) return
    const space: string = made.body.uri
    const people = [this.#dice.pick(stable), this.#dice.pick(stable)]
    for (const { did } of people) await this.#call('member.put', owner, { space, did, role: 'member' })
    for (const person of people) await this.#send('exchange', person, exchangeIn(place, person, space))
    await sleep(SPACE_SEC * 1_000)
    await this.#call('space.delete', owner, { space })
  }

  async #renew(at: number): Promise<void> {
    const { place, sponsors, world } = this.#cast
    const sponsor = sponsors[at % sponsors.length]
    if (!sponsor) return
    const { person, service } = sponsor
    const holder = makeKey('p256')
    const got = await this.#send('exchange', person, exchangeIn(place, person, world.hall, { holder }))
    if (got.status !== 200) return
    const held = { credential: String(got.body.credential), holder, binding: 'october', space: world.hall } as const
    await this.#send('registerNotify', person, registrationOf(place, held, service))
  }

  async #configure(at: number): Promise<void> {
    const actions = at % 2 === 0 ? ['read', 'members.read'] : ['read']
    await this.#call('role.put', this.#owner(at), { community: this.#cast.world.community, name: 'visitor', actions })
  }
}

interface Counting {
  readonly tookMs: Record<string, number[]>
  readonly refused: Refused[]
  readonly faults: string[]
  readonly judged: { in: number; out: number; moving: number }
}

const emptyCount = (): Counting => ({ tookMs: {}, refused: [], faults: [], judged: { in: 0, out: 0, moving: 0 } })
