/** Who takes part in a soak, and where: a community with a hall that everybody is in and a yard where people come and go, and an account. */
import { type Did, rosterOf } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { exchangeOf, type Parts } from '../test/kit/exchange.ts'
import { addressOf, makeSomebody, requestAs, type Somebody } from '../test/kit/people.ts'
import { type Held, presentationOf } from '../test/kit/presentation.ts'
import type { RawRequest } from '../test/kit/raw-request.ts'
import { freshJti, makeKey } from '../test/kit/tokens.ts'
import type { Client, Outcome } from './client.ts'
import { Stand } from './stand.ts'
import type { Place, World } from './words.ts'

export const clock = { ...systemClock, moveSec() {} }
export const R = 'community.reeve'
const FORUM = 'com.atmoboards.forum'
const REGISTER = 'com.atproto.space.registerNotify'
const OWNERS = 4
const STABLE = 100
const MOVERS = 24
const OF_PERSON = 3

/** Somebody who comes and goes: in the yard, or among those about whom the account's PDS asks. */
export interface Mover extends Somebody {
  readonly space: string
  readonly stand: Stand
  isBusy: boolean
  step: number
}

export interface Cast {
  readonly place: Place
  readonly world: World
  readonly yard: string
  readonly owners: readonly Somebody[]
  readonly stable: readonly Somebody[]
  readonly movers: readonly Mover[]
  readonly account: Somebody
  /** Held by those who had a service registered. */
  readonly sponsors: readonly { readonly person: Somebody; readonly held: Held; readonly service: string }[]
}

/** A call of a method of ours as its raw request, by service auth that the person signs. */
export const callOf = (place: Place, person: Somebody, method: string, input: object, isQuery = false): RawRequest =>
  requestAs(person, { ...place, nowSec: clock.nowSec() }, method, input, isQuery ? 'query' : 'procedure')

export const exchangeIn = (place: Place, person: Somebody, space: string, parts: Parts = {}): RawRequest =>
  exchangeOf({ world: { url: place.url, clock }, forum: space, bob: person }, parts)

export const registrationOf = (place: Place, held: Held, service: string): RawRequest =>
  presentationOf({ url: place.url, clock }, held, {
    procedure: { nsid: REGISTER, body: { space: held.space, service } },
  })

/** Makes everybody and everything. @throws Error when anything is refused */
export async function furnish(place: Place, client: Client): Promise<Cast> {
  const must = async (what: string, person: Somebody, raw: RawRequest): Promise<Outcome['body']> => {
    const { status, error, body } = await client.send(raw, addressOf(person.did))
    if (status !== 200) throw new Error(`${what}: ${status} ${error} ${JSON.stringify(body)}`)
    return body
  }
  const call = (person: Somebody, method: string, input: object) =>
    must(method, person, callOf(place, person, `${R}.${method}`, { ...input, idempotencyKey: freshJti() }))
  const crowd = async (count: number) => {
    const people: Somebody[] = []
    for (let at = 0; at < count; at++) people.push(await makeSomebody(place.plcUrl))
    return people
  }

  const owners = await crowd(OWNERS)
  const [founder, ...others] = owners
  if (!founder) throw new Error('nobody')
  const [account] = await crowd(1)
  if (!account) throw new Error('no account')
  const custody = { $type: `${R}.community.mint#custodial` }
  const { did: community } = await call(founder, 'community.mint', { name: 'Gardeners', custody })
  await call(account, 'community.adopt', { name: 'Allotments', owner: founder.did })
  for (const { did } of others) {
    await call(founder, 'member.put', { space: rosterOf(community).uri, did, role: 'owner' })
    await call(founder, 'member.put', { space: rosterOf(account.did).uri, did, role: 'owner' })
  }
  const make = async (of: Did, skey: string, more: object = {}): Promise<string> =>
    (await call(founder, 'space.create', { community: of, spaceType: FORUM, skey, ...more })).uri
  const [hall, yard] = [await make(community, 'hall'), await make(community, 'yard')]
  const board = await make(account.did, 'board', { host: 'pds' })

  const stable = await crowd(STABLE)
  for (const [at, { did }] of stable.entries()) {
    const owner = owners[at % owners.length] ?? founder
    for (const space of [hall, board]) await call(owner, 'member.put', { space, did, role: 'member' })
  }
  const movers: Mover[] = (await crowd(MOVERS)).map((person, at) => {
    return { ...person, space: at % 2 === 0 ? yard : board, stand: new Stand('out'), isBusy: false, step: 0 }
  })

  const sponsors: Cast['sponsors'][number][] = []
  for (const [at, port] of place.syncers.entries()) {
    const person = stable[Math.floor(at / OF_PERSON)] ?? founder
    const holder = makeKey('p256')
    const got = await must('exchange', person, exchangeIn(place, person, hall, { holder }))
    const held: Held = { credential: String(got.credential), holder, binding: 'october', space: hall }
    const service = `did:web:localhost%3A${port}#sync`
    await must('registerNotify', person, registrationOf(place, held, service))
    sponsors.push({ person, held, service })
  }
  const victim = stable[0]?.did ?? founder.did
  const world: World = { hall, community, account: account.did, board, victim }
  return { place, world, yard, owners, stable, movers, account, sponsors }
}
