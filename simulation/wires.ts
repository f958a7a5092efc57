/**
 * The network of a simulated world: who is reached by which host name, and what becomes of a request on its way.
 *
 * A request may be late, lost, refused, answered by a proxy, delivered twice, or carried out while its answer is lost; those that are late overtake each
 * other. Whoever asked never sees more of it than a caller does: an answer, a closed connection, or nothing until their time is over.
 */
import { targetOf } from '../src/platform/addresses.ts'
import { type Outbound, type OutboundAnswer, type OutboundAsk, OutboundFailure } from '../src/platform/outbound.ts'
import type { Dice } from '../test/kit/dice.ts'
import type { Plant } from './plants.ts'
import { type Life, type Scheduler, WORLD } from './scheduler.ts'
import type { Tally } from './tally.ts'

/** What is said across the network. */
export interface Said {
  readonly status: number
  readonly contentType?: string
  readonly body: string
}

export interface Called {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Whoever is behind a host name. Null: nobody answers, and the connection ends. */
export type Host = (called: Called) => Said | Promise<Said>

export type Fate = 'well' | 'late' | 'lost' | 'refused' | 'answerLost' | 'twice' | 'sick'

const LATE_MAX_MS = 7_000
const TRIP_MAX_MS = 25
const SICK = [500, 502, 503, 429] as const

type OpenDoor = (options: Parameters<typeof targetOf>[1]) => Outbound

export class Wires {
  readonly #scheduler: Scheduler
  readonly #dice: Dice
  readonly #tally: Tally
  readonly #hosts = new Map<string, Host>()
  readonly #downUntilMs = new Map<string, number>()
  /** Of a hundred requests, so many meet one of the fates. */
  troubles = 0

  readonly #plant: Plant

  constructor(scheduler: Scheduler, dice: Dice, tally: Tally, plant: Plant) {
    this.#plant = plant
    this.#scheduler = scheduler
    this.#dice = dice
    this.#tally = tally
  }

  listen(host: string, answers: Host): void {
    this.#hosts.set(host, answers)
  }

  hosts(): readonly string[] {
    return [...this.#hosts.keys()]
  }

  /** Nobody is there for a while. */
  takeDown(host: string, forMs: number): void {
    this.#tally.fault('host down')
    this.#downUntilMs.set(host, this.#scheduler.nowMs + forMs)
  }

  bringUp(): void {
    this.#downUntilMs.clear()
  }

  isDown(host: string): boolean {
    return (this.#downUntilMs.get(host) ?? 0) > this.#scheduler.nowMs
  }

  fate(): Fate {
    if (this.#dice.below(100) >= this.troubles) return 'well'
    const fate = this.#dice.pick(['late', 'lost', 'refused', 'answerLost', 'twice', 'sick'] as const)
    this.#tally.fault(`request ${fate}`)
    return fate
  }

  trip(): number {
    return 1 + this.#dice.below(TRIP_MAX_MS)
  }

  lateness(): number {
    return 200 + this.#dice.below(LATE_MAX_MS)
  }

  /** The way out of one life of a house. */
  doorOf(life: Life): OpenDoor {
    return (rules) => {
      let isClosed = false
      return {
        mayCall: (url) => targetOf(url, { ...rules, trustedOrigins: [] }) !== null,
        close: async () => {
          isClosed = true
        },
        request: async (ask) => {
          if (isClosed) throw new OutboundFailure('failed', 'closed')
          const target = targetOf(ask.url, ask.isOperators ? rules : { ...rules, trustedOrigins: [] })
          if (!target) throw new OutboundFailure('refused', 'url')
          return this.#ask(life, target.url, ask)
        },
      }
    }
  }

  #ask(life: Life, url: URL, ask: OutboundAsk): Promise<OutboundAnswer> {
    const { method, headers = {}, body = '' } = ask
    const called: Called = {
      method,
      path: `${url.pathname}${url.search}`,
      headers,
      body: typeof body === 'string' ? body : Buffer.from(body).toString('utf8'),
    }
    return new Promise((resolve, reject) => {
      const fail = (kind: 'timeout' | 'failed', because: string) => reject(new OutboundFailure(kind, because))
      const giveUp = this.#scheduler.after(ask.timeoutMs, life, `patience ${url.host}`, () =>
        fail('timeout', 'time limit'),
      )
      const end = (how: () => void) => {
        giveUp()
        how()
      }
      const about = { to: url.host, label: `${method} ${url.host}${url.pathname}`, life, limitMs: ask.timeoutMs }
      this.carry(about, () => this.#reach(url.host, called), {
        answered: (said) => end(() => settle(ask, said, resolve, reject)),
        closed: () => end(() => fail('failed', 'ECONNRESET')),
      })
    })
  }

  async #reach(host: string, called: Called): Promise<Said> {
    const answers = this.#hosts.get(host)
    if (!answers) throw new Error('nobody there')
    return this.#plant.told?.(host, called, this.#dice) ?? answers(called)
  }

  /**
   * Has a request reach somebody, and their answer come back, or what the seed has become of it instead. `life` is whose it is; what is on its way to
   * somebody dead is thrown away. What would come after `limitMs` doesn't come: whoever gave up has closed the connection.
   */
  carry(
    about: { readonly to: string; readonly label: string; readonly life: Life; readonly limitMs: number },
    reach: () => Promise<Said>,
    back: { readonly answered: (said: Said) => void; readonly closed: () => void },
  ): Fate {
    const { to, label, life, limitMs } = about
    const fate = this.fate()
    const thereMs = this.trip() + (fate === 'late' ? this.lateness() : 0)
    const later = (ms: number, what: string, go: () => void) => this.#scheduler.after(ms, WORLD, `${what} ${label}`, go)
    const home = (what: string, go: () => void) => this.#scheduler.after(this.trip(), life, `${what} ${label}`, go)
    if (fate === 'lost' || thereMs >= limitMs) return fate
    const arrive = (hears: boolean) => () => {
      if (this.isDown(to) || fate === 'refused') return void home('refused', back.closed)
      if (fate === 'sick') {
        const said = { status: this.#dice.pick(SICK), body: '' }
        return void home('sick', () => back.answered(said))
      }
      this.#scheduler.note(`arrives ${label}`)
      reach().then(
        (said) => {
          if (hears && fate !== 'answerLost') home(`${said.status}`, () => back.answered(said))
          else if (hears && this.#dice.below(2) === 0) home('cut', back.closed)
        },
        () => {
          if (hears) home('closed', back.closed)
        },
      )
    }
    later(thereMs, 'to', arrive(true))
    if (fate === 'twice') later(thereMs + this.#dice.below(400), 'again', arrive(false))
    return fate
  }
}

/** As the door judges an answer: by its status, its type and its size. */
function settle(
  ask: OutboundAsk,
  { status, contentType = 'application/json', body }: Said,
  resolve: (answer: OutboundAnswer) => void,
  reject: (error: OutboundFailure) => void,
): void {
  const bytes = new TextEncoder().encode(body)
  const isWrong = ask.contentTypes !== null && !ask.contentTypes.includes(contentType)
  const isLarge = bytes.length > ask.maxBytes
  if (!isWrong && !isLarge) resolve({ status, contentType, body: bytes })
  else if (status >= 400) resolve({ status, contentType, body: new Uint8Array() })
  else reject(new OutboundFailure(isWrong ? 'wrong-type' : 'too-large', isWrong ? 'type' : 'bytes'))
}
