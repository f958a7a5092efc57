/**
 * Those who don't mean well, in a process of their own: names that nobody has, forged and used tokens, apps that nobody knows, bodies and headers
 * without end, connections that begin and say no more. A trickle all the time, floods now and then; half of it from addresses never seen before.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Did } from '../src/names.ts'
import { CHECK_ACCESS } from '../test/kit/asking-often.ts'
import { makeAppKey, makeAttestation } from '../test/kit/attestations.ts'
import { makeSomebody, type Somebody } from '../test/kit/people.ts'
import type { RawRequest } from '../test/kit/raw-request.ts'
import { freshJti, makeKey, makeServiceJwt } from '../test/kit/tokens.ts'
import { spaceOf } from '../test/kit/world.ts'
import { writeOf } from '../test/kit/writers.ts'
import { callOf, clock, exchangeIn, R, registrationOf } from './cast.ts'
import { openClient } from './client.ts'
import type { HostileCount, HostileReport, LoadOrder, Place, Plan, World } from './words.ts'

const CONNECTIONS = 200
const IN_FLIGHT_MAX = 1_000
const TICK_MS = 50
/** Connections that say half of a request, at the beginning of a flood and in each second of the trickle. */
const HALF_OPEN = { flood: 200, trickle: 1 }

const report = (message: HostileReport): void => {
  process.send?.(message)
}

let place: Place | null = null
/** With DIDs and keys of their own, and members of nothing. */
let strangers: readonly Somebody[] = []
let run: Run | null = null

// Whoever gives the orders is gone.
process.on('disconnect', () => process.exit(1))
process.on('message', (order: LoadOrder) => {
  if (order.kind === 'furnish') {
    place = order.place
    void furnish(order.place.plcUrl).then(() => report({ kind: 'furnished' }))
  }
  if (order.kind === 'go' && place) {
    run = new Run(place, order.world, order.plan)
    void run.whole().then(() => report({ kind: 'over' }))
  }
  if (order.kind === 'collect' && run) report({ kind: 'collected', count: run.collect() })
  if (order.kind === 'end') process.exit(0)
})

async function furnish(plcUrl: string): Promise<void> {
  strangers = await Promise.all(Array.from({ length: 4 }, () => makeSomebody(plcUrl)))
}

const SOME_SIGNATURE = Buffer.alloc(64, 0x11)
const nobody = (at: number): Did =>
  `did:plc:zx${[...String(at)]
    .map((digit) => 'abcdefghij'[Number(digit)])
    .join('')
    .padStart(22, 'z')}` as Did

interface Kind {
  readonly says: string
  /** Of a hundred. */
  readonly share: number
  readonly make: (at: number) => RawRequest
}

class Run {
  readonly #place: Place
  readonly #world: World
  readonly #plan: Plan
  readonly #client
  readonly #kinds: readonly Kind[]
  readonly #beganMs = performance.now()
  #answers: Record<string, Record<string, number>> = {}
  #faults: string[] = []
  #inFlight = 0
  #sent = 0
  #lastReplay: RawRequest | null = null
  #sockets = new Set<Socket>()

  constructor(where: Place, world: World, plan: Plan) {
    this.#place = where
    this.#world = world
    this.#plan = plan
    this.#client = openClient(where.url, CONNECTIONS)
    this.#kinds = this.#allKinds()
  }

  collect(): HostileCount {
    const count = { answers: this.#answers, faults: this.#faults }
    this.#answers = {}
    this.#faults = []
    return count
  }

  async whole(): Promise<void> {
    const { minutes, hostilePerSec, burstPerSec, bursts } = this.#plan
    let owed = 0
    let lastMs = this.#beganMs
    let wasFlood = false
    for (let nowSec = 0; nowSec < minutes * 60; ) {
      await sleep(TICK_MS)
      const nowMs = performance.now()
      nowSec = (nowMs - this.#beganMs) / 1_000
      const isFlood = bursts.some(({ fromSec, toSec }) => nowSec >= fromSec && nowSec < toSec)
      owed += ((nowMs - lastMs) / 1_000) * (isFlood ? burstPerSec : hostilePerSec)
      if (isFlood && !wasFlood) this.#openHalf(HALF_OPEN.flood)
      else if (Math.floor(nowSec) !== Math.floor((lastMs - this.#beganMs) / 1_000)) this.#openHalf(HALF_OPEN.trickle)
      for (; owed >= 1; owed--) if (this.#inFlight < IN_FLIGHT_MAX) void this.#send()
      lastMs = nowMs
      wasFlood = isFlood
    }
    while (this.#inFlight > 0) await sleep(TICK_MS)
    for (const socket of this.#sockets) socket.destroy()
    this.#client.close()
  }

  async #send(): Promise<void> {
    const at = this.#sent++
    const kind = this.#kindOf(at)
    // Half of them come from anywhere, the others from few places.
    const from = at % 2 === 0 ? `203.${(at >> 16) & 0xff}.${(at >> 8) & 0xff}.${at & 0xff}` : `192.0.2.${at % 8}`
    this.#inFlight += 1
    const { status, error } = await this.#client.send(kind.make(at), from)
    this.#inFlight -= 1
    const answers = this.#answers[kind.says] ?? {}
    const how = error === '' ? String(status) : `${status} ${error}`
    answers[how] = (answers[how] ?? 0) + 1
    this.#answers[kind.says] = answers
    if (status === 200) this.#faults.push(`${kind.says}: answered 200`)
    if (status === 500) this.#faults.push(`${kind.says}: answered 500`)
  }

  /** A request that begins and isn't ended, until the other side has had enough. */
  #openHalf(count: number): void {
    const { port } = new URL(this.#place.url)
    for (let nth = 0; nth < count; nth++) {
      const socket = connect(Number(port), '127.0.0.1')
      this.#sockets.add(socket)
      const isWithinBody = nth % 2 === 0
      const head = `POST /xrpc/${R}.member.put HTTP/1.1\r\nhost: localhost:${port}\r\ncontent-length: 100\r\n`
      socket.write(isWithinBody ? `${head}\r\n{"space":` : head)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
      socket.resume()
    }
  }

  #kindOf(at: number): Kind {
    let left = (at * 37) % 100
    for (const kind of this.#kinds) {
      left -= kind.share
      if (left < 0) return kind
    }
    throw new Error('the shares are no hundred')
  }

  #allKinds(): readonly Kind[] {
    const { hall, community, account, board, victim } = this.#world
    const at = this.#place
    const [holder, forger, unknown] = [makeKey('p256'), makeKey('k256'), makeAppKey('ES256')]
    const somebody = (nth: number): Somebody => {
      const one = strangers[nth % strangers.length]
      if (!one) throw new Error('nobody')
      return one
    }
    const forged = { did: victim, key: forger }
    const named = (iss: string) =>
      exchangeIn(at, forged, hall, { holder, changes: { payload: { iss }, signature: SOME_SIGNATURE } })
    const attested = (nth: number): RawRequest => {
      const clientId = `https://app${nth}.example.net/client-metadata.json`
      const nowSec = clock.nowSec()
      const clientAttestation = makeAttestation({ key: unknown, authority: spaceOf(hall).authority, nowSec, clientId })
      return exchangeIn(at, somebody(nth), hall, { holder, body: { space: hall, clientAttestation } })
    }
    const replayed = (nth: number): RawRequest => {
      if (nth % 8 === 0 || !this.#lastReplay) this.#lastReplay = exchangeIn(at, somebody(nth), hall, { holder })
      return this.#lastReplay
    }
    const asked = (token: string, user: string): RawRequest => {
      const path = `/xrpc/${CHECK_ACCESS}?${new URLSearchParams({ space: board, user, access: 'read' })}`
      return { path, headers: [['authorization', `Bearer ${token}`]] }
    }
    const ofPds = (person: Somebody, iss: Did) =>
      makeServiceJwt({ key: person.key, iss, aud: `${at.serviceDid}#reeve`, lxm: CHECK_ACCESS, nowSec: clock.nowSec() })
    const post = (path: string, body: string, headers: RawRequest['headers'] = []): RawRequest => {
      return { method: 'POST', path, headers: [...headers, ['content-type', 'application/json']], body }
    }
    const exchangePath = '/xrpc/com.atproto.space.getSpaceCredential'
    const garbage = (nth: number) => ['authorization', `Bearer eyJ${'x'.repeat((nth % 20) * 100)}.e30.AAAA`] as const
    const credential = (nth: number) => `${garbage(nth)[1].slice(7)}${freshJti()}`
    return [
      { says: 'DIDs of the directory that nobody has', share: 18, make: (nth) => named(nobody(nth)) },
      { says: 'DIDs of hosts that aren’t there', share: 10, make: (nth) => named(`did:web:h${nth}.example.net`) },
      { says: 'forged signatures', share: 14, make: () => exchangeIn(at, forged, hall, { holder }) },
      {
        says: 'proofs that don’t hold',
        share: 6,
        make: () => exchangeIn(at, forged, hall, { binding: 'august', holder, proof: { signature: SOME_SIGNATURE } }),
      },
      { says: 'tokens used before', share: 8, make: replayed },
      { says: 'apps that nobody knows', share: 4, make: attested },
      {
        says: 'people of nowhere, with good tokens',
        share: 8,
        make: (nth) => callOf(at, somebody(nth), `${R}.member.list`, { space: hall }, true),
      },
      {
        says: 'changes by people of nowhere',
        share: 4,
        make: (nth) =>
          callOf(at, somebody(nth), `${R}.app.putRule`, {
            community,
            clientId: `https://a${nth}.example.net/client-metadata.json`,
            verdict: 'allow',
            idempotencyKey: freshJti(),
          }),
      },
      {
        says: 'writes by people of nowhere',
        share: 5,
        make: (nth) => writeOf({ clock }, { writer: somebody(nth), space: hall }),
      },
      {
        says: 'PDSes that aren’t the account’s',
        share: 4,
        make: (nth) => asked(ofPds(somebody(nth), account), nobody(nth)),
      },
      {
        says: 'garbage for tokens',
        share: 5,
        make: (nth) => post(exchangePath, JSON.stringify({ space: hall }), [garbage(nth)]),
      },
      {
        says: 'credentials that were never issued',
        share: 3,
        make: (nth) =>
          registrationOf(
            at,
            { credential: credential(nth), holder, binding: 'october', space: hall },
            `did:web:s${nth}.example.net#sync`,
          ),
      },
      {
        says: 'bodies that are too long',
        share: 2,
        make: () => post(exchangePath, `{"space":"${'x'.repeat(70_000)}"}`),
      },
      {
        says: 'headers that are too long',
        share: 2,
        make: (nth) => post(exchangePath, '{}', [[`x-${nth}`, 'x'.repeat(20_000)]]),
      },
      { says: 'objects within objects', share: 2, make: () => post(exchangePath, '{"space":'.repeat(5_000)) },
      { says: 'methods that there aren’t', share: 5, make: (nth) => ({ path: `/xrpc/com.example.m${nth}` }) },
    ]
  }
}
