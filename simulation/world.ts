/**
 * Everything around Reeve in a simulated world: a directory, three PDSes with their people, a syncer that keeps a copy, and the way in for all of them.
 */

import { Recorder } from '../faults/record.ts'
import type { Heard } from '../faults/verdicts.ts'
import { didOf } from '../src/identity/plc-operation.ts'
import type { Did } from '../src/names.ts'
import type { Random } from '../src/platform/random.ts'
import type { Dice } from '../test/kit/dice.ts'
import { addressOf, requestAs, type Somebody, signed } from '../test/kit/people.ts'
import type { RawRequest } from '../test/kit/raw-request.ts'
import { makeKey } from '../test/kit/tokens.ts'
import { openDirectory, PLC_HOST } from './directory.ts'
import { openFolder } from './folder.ts'
import { CONFIG, REEVE_HOST, SimulatedHouse } from './house.ts'
import type { Plant } from './plants.ts'
import { diceOf, type Scheduler, WORLD } from './scheduler.ts'
import type { Storage } from './storage.ts'
import type { Tally } from './tally.ts'
import { type Called, type Said, Wires } from './wires.ts'

export const R = 'community.reeve'
export const FORUM = 'com.atmoboards.forum'
export const SYNC_HOST = 'sync.example.com'
export const SYNCER = `did:web:${SYNC_HOST}#sync`
export const PDS_HOSTS = ['pds1.example.com', 'pds2.example.com', 'pds3.example.com'] as const
/** Whoever waits so long was not answered. */
const PATIENCE_MS = 8_000

export interface Outcome {
  readonly status: number
  /** `ok`, the status and the name of a refusal, or `0` and how the connection ended. */
  readonly says: string
  // biome-ignore lint/suspicious/noExplicitAny: whoever asked knows what it should be
  readonly body: any
  /** The network made a copy of it, which somebody may have answered first. */
  readonly isTwice: boolean
}

/** Credentials of which a PDS was told that they were taken back. */
export interface Taken {
  readonly host: string
  readonly space: string
  readonly jti: string
}

export interface WorldOptions {
  readonly seed: number
  readonly scheduler: Scheduler
  readonly storage: Storage
  readonly tally: Tally
  readonly random: Random
  readonly houses: number
  readonly plant: Plant
}

export class World {
  readonly scheduler: Scheduler
  readonly storage: Storage
  readonly tally: Tally
  readonly wires: Wires
  readonly recorder = new Recorder()
  readonly houses: readonly SimulatedHouse[]
  readonly clock: { nowMs(): number; nowSec(): number }
  readonly url = `https://${REEVE_HOST}`
  /** What the syncer was told, in the order in which it came. */
  readonly heard: Heard[] = []
  readonly taken: Taken[] = []
  /** By how much any clock was ever wrong, and ahead. */
  wrongMaxMs = 0
  aheadMaxMs = 0
  /** Lines of the houses' logs that tell of trouble of their own. */
  readonly errors: string[] = []
  readonly #dice: Dice
  readonly #directory: ReturnType<typeof openDirectory>

  constructor({ seed, scheduler, storage, tally, random, houses, plant }: WorldOptions) {
    this.scheduler = scheduler
    this.storage = storage
    this.tally = tally
    this.#dice = diceOf(seed, 'way in')
    this.wires = new Wires(scheduler, diceOf(seed, 'network'), tally, plant)
    this.clock = { nowMs: () => scheduler.nowMs, nowSec: () => Math.floor(scheduler.nowMs / 1_000) }
    this.#directory = openDirectory(() => scheduler.nowMs)
    this.wires.listen(PLC_HOST, this.#directory)
    this.wires.listen(SYNC_HOST, (called) => this.#sync(called))
    for (const host of PDS_HOSTS) this.wires.listen(host, (called) => this.#pds(host, called))
    const folder = openFolder()
    this.houses = ['A', 'B', 'C'].slice(0, houses).map(
      (name) =>
        new SimulatedHouse({
          ...{ name, scheduler, wires: this.wires, folder, random },
          openDatabase: (life) => storage.open(life),
          dropDatabase: (life) => storage.drop(life),
          heard: (level, event, fields) => {
            scheduler.note(`${name} says ${event} ${JSON.stringify(fields)}`)
            // What the network or the database did to a turn is no trouble of its own, nor what a wrong clock made of a directory's log.
            const isOwn = event === 'worker.failed' && !String(fields['error']).startsWith('Unavailable')
            if ((level === 'error' && event !== 'identity.alarm') || isOwn)
              this.errors.push(`${name} ${event} ${JSON.stringify(fields)}`)
          },
        }),
    )
  }

  /** Somebody new, whose repo is at that host. */
  async somebody(host: string): Promise<Somebody> {
    const key = makeKey('k256')
    const operation = signed(key, {
      type: 'plc_operation' as const,
      rotationKeys: [key.didKey],
      verificationMethods: { atproto: key.didKey },
      alsoKnownAs: [],
      services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: `https://${host}` } },
      prev: null,
    })
    const did = didOf(operation)
    const path = `/${encodeURIComponent(did)}`
    await this.#directory({ method: 'POST', path, headers: {}, body: JSON.stringify(operation) })
    return { did, key }
  }

  /** A call of a method of ours, by service auth. */
  callBy(person: Somebody, method: string, input: object): RawRequest {
    return requestAs(person, { serviceDid: CONFIG.serviceDid, nowSec: this.clock.nowSec() }, `${R}.${method}`, input)
  }

  /** Sends a request to whichever house the way in chooses. A second copy of it, where the network makes one, is nobody's to hear of. */
  send(raw: RawRequest, from: Did): Promise<Outcome> {
    return new Promise((resolve) => {
      const end = (status: number, body: unknown, what?: string) => {
        late()
        const name = typeof body === 'object' && body !== null && 'error' in body ? String(body.error) : ''
        resolve({ status, body, isTwice: fate === 'twice', says: status === 200 ? 'ok' : `${status} ${what ?? name}` })
      }
      const late = this.scheduler.after(PATIENCE_MS, WORLD, 'gives up', () => end(0, {}, 'LATE'))
      const path = raw.path.split('?', 1)[0]
      const about = { to: REEVE_HOST, label: `${path} by ${from}`, life: WORLD, limitMs: PATIENCE_MS }
      const fate = this.wires.carry(about, () => this.#enter(raw, from), {
        // What has no JSON is a proxy's: nobody knows what became of it.
        answered: ({ status, body }) =>
          body === '' && status !== 200 ? end(0, {}, `PROXY ${status}`) : end(status, read(body)),
        closed: () => end(0, {}, 'CLOSED'),
      })
    })
  }

  #enter(raw: RawRequest, from: Did): Promise<Said> {
    const up = this.houses.filter((house) => house.isUp)
    if (up.length === 0) return Promise.reject(new Error('nobody there'))
    return this.#dice.pick(up).request(raw, addressOf(from))
  }

  #sync({ path, body }: Called): Said {
    if (path === '/.well-known/did.json') {
      const service = [{ id: '#sync', type: 'SpaceSyncer', serviceEndpoint: `https://${SYNC_HOST}` }]
      return said(200, { id: `did:web:${SYNC_HOST}`, verificationMethod: [], service })
    }
    this.heard.push({ method: path.replace('/xrpc/', ''), body: JSON.parse(body) })
    return said(200, {})
  }

  #pds(host: string, { path, body }: Called): Said {
    if (path !== '/xrpc/com.atproto.space.notifyCredentialRevoked') return said(404, {})
    const { space, credentials } = JSON.parse(body) as { space: string; credentials: readonly string[] }
    for (const jti of credentials) this.taken.push({ host, space, jti })
    return said(200, {})
  }
}

const said = (status: number, body: object): Said => ({ status, body: JSON.stringify(body) })

function read(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
