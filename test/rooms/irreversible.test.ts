/**
 * Every call that can't be taken back, in one table: whoever has enrolled keys confirms it by them, over this very call, a moment ago; their
 * session alone does nothing. Whoever never enrolled any acts by their session, and to stop something takes no keys.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Did, rosterOf } from '../../src/names.ts'
import { holdings } from '../doors/stage.ts'
import { openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { holdWorker } from '../kit/held-worker.ts'
import { enrol, type KeeperKeys, makeKeeperKeys, stepUpOf } from '../kit/keepers.ts'
import { CLAIM, claimOf, OBJECT } from '../kit/ownership.ts'
import { readSources } from '../kit/source.ts'
import { makeKey } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, memberHeld, openWorld, type Person, recoveryProven, type World } from '../kit/world.ts'

const R = 'community.reeve'
const PUBLIC = { $type: 'com.atproto.simplespace.defs#publicPolicy' }
const MEMBERS = { $type: 'com.atproto.simplespace.defs#memberListPolicy' }
const DAY_SEC = 86_400
const REQUIRED = { status: 403, body: { error: 'KeeperSignatureRequired' } }
const DONE = { status: 200 }

/** A call that somebody is about to make, and which community it is about. */
interface Call {
  readonly by: Person
  readonly community: Did
  readonly method: string
  readonly input: object
}

/** A community with an owner, one more where somebody has to approve, a forum, and bob, who has keys of his own. */
interface Scene {
  readonly alice: Person
  readonly bob: Person
  readonly community: Did
  readonly forum: string
}

let database: TestDatabase
let world: World

beforeAll(async () => {
  database = await openTestDatabase('embedded')
  world = await openWorld({ database: holdWorker(database) })
})
afterAll(() => world.close())
// What is left of a space that ended is cleared away by workers: not while the next test compares.
afterEach(() =>
  eventually('that nothing is left of what ended', async () => {
    const left = await database.db.selectFrom('space_end').select('space').executeTakeFirst()
    return left === undefined
  }),
)

const done = (answer: Answer): Answer['body'] => {
  if (answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}
const put = async (by: Person, space: string, role: string) => {
  const person = await world.person()
  done(await by.call(`${R}.member.put`, { space, did: person.did, role }))
  return person
}

async function openScene(): Promise<Scene> {
  const alice = await world.person()
  const community = await world.found(alice)
  const forum = await world.makeSpace(alice, community)
  const bob = await put(alice, rosterOf(community).uri, 'member')
  await enrol(world, bob, community)
  return { alice, bob, community, forum }
}

/** Keys that count. */
async function enrolled(person: Person, community: Did): Promise<KeeperKeys> {
  const keys = await enrol(world, person, community)
  world.clock.moveSec(DAY_SEC)
  return keys
}

/** The acts that wait for a second owner, by the names of their declarations: which call begins them, with what. */
const ACTS: Readonly<Record<string, { method: string; inputOf: (of: Scene, by: Person) => object }>> = {
  ENDING: { method: `${R}.space.delete`, inputOf: ({ forum }) => ({ space: forum }) },
  OPENING: { method: `${R}.space.update`, inputOf: ({ forum }) => ({ space: forum, readPolicy: PUBLIC }) },
  TRANSFER: {
    method: `${R}.member.transferOwnership`,
    inputOf: ({ community, bob }) => ({ community, to: bob.did }),
  },
  DELETION: { method: `${R}.community.delete`, inputOf: ({ community }) => ({ community }) },
  RECOVERY_CHANGE: {
    method: `${R}.key.replaceRecovery`,
    inputOf: ({ community }, by) => ({ community, ...recoveryProven(world, by, makeKey('k256')) }),
  },
  EXPORTING: { method: `${R}.key.export`, inputOf: ({ community }) => ({ community }) },
}
/** Nobody without keys begins it, and it can't be looked at. */
const EXPORT = `${R}.key.export`

async function begun(name: string): Promise<Call> {
  const act = ACTS[name]
  if (!act) throw new Error('no such act')
  const scene = await openScene()
  const { alice: by, community } = scene
  return { by, community, method: act.method, input: act.inputOf(scene, by) }
}

/** Another owner has proposed the act, and alice has been one for long enough to approve it. */
async function proposed(name: string): Promise<Call> {
  const act = ACTS[name]
  if (!act) throw new Error('no such act')
  const scene = await openScene()
  const { alice: by, community } = scene
  const olga = await put(by, rosterOf(community).uri, 'owner')
  world.clock.moveSec(3 * DAY_SEC)
  const input = act.inputOf(scene, olga)
  const confirmed = act.method === EXPORT ? await confirm({ by: olga, community, method: EXPORT, input }) : input
  const { proposal } = done(await olga.call(act.method, confirmed))
  expect(proposal).toMatchObject({ state: 'open' })
  return { by, community, method: `${R}.proposal.approve`, input: { proposal: proposal.id } }
}

async function confirm(call: Call): Promise<object> {
  const keys = await enrolled(call.by, call.community)
  return { ...call.input, stepUp: sign(call, keys) }
}

const sign = (
  { by, community, method, input }: Call,
  { signKey }: KeeperKeys,
  changed: Parameters<typeof stepUpOf>[2] = {},
) => stepUpOf(world, { person: by, key: signKey, act: method, input }, { community, ...changed })

async function otherKeeper(): Promise<Call> {
  const { alice, bob, community } = await openScene()
  return { by: alice, community, method: `${R}.key.endKeeper`, input: { community, did: bob.did } }
}

/** A key of the community has named other owners, and alice, who owns it now, objects. */
async function claimed(): Promise<Call> {
  const [alice, other] = [await world.person(), await world.person()]
  const key = makeKey('k256')
  const community = await world.found(alice, { custody: memberHeld(world, alice, key) })
  done(await other.call(CLAIM, claimOf(world, { community, owners: [other.did], key })))
  return { by: alice, community, method: OBJECT, input: { community } }
}

async function released(): Promise<Call> {
  const [account, owner] = [await world.person(), await world.person()]
  done(await account.call(`${R}.community.adopt`, { name: 'Hedge', owner: owner.did }))
  return { by: account, community: account.did, method: `${R}.community.release`, input: {} }
}

/** An account has no place in its own roster, so it can enrol keys in no call: they are there as if it could. */
async function putKeys({ by, community }: Call): Promise<KeeperKeys> {
  const keys = await makeKeeperKeys()
  const named = {
    id: `keeper of ${by.did}`,
    community,
    did: by.did,
    seal_key: keys.sealKey,
    sign_key: keys.signKey.didKey,
  }
  const times = { enrolled_at_ms: world.clock.nowMs(), counts_from_ms: world.clock.nowMs() + DAY_SEC * 1000 }
  await database.db
    .insertInto('keeper')
    .values({ ...named, ...times, ended_at_ms: null })
    .execute()
  world.clock.moveSec(DAY_SEC)
  return keys
}

interface Row {
  readonly open: () => Promise<Call>
  readonly method: string
  readonly enrolFor: (call: Call) => Promise<KeeperKeys>
  /** Whether it can be looked at. */
  readonly isShown: boolean
}
const usual = { enrolFor: ({ by, community }: Call) => enrolled(by, community), isShown: true }
const ROWS: Readonly<Record<string, Row>> = {
  ...Object.fromEntries(
    Object.entries(ACTS).map(([name, { method }]) => [
      method,
      { ...usual, method, open: () => begun(name), isShown: method !== EXPORT },
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(ACTS).map(([name, { method }]) => [
      `${R}.proposal.approve of ${method}`,
      { ...usual, method: `${R}.proposal.approve`, open: () => proposed(name) },
    ]),
  ),
  [`${R}.key.endKeeper of somebody else`]: {
    ...{ ...usual, method: `${R}.key.endKeeper`, open: otherKeeper, isShown: false },
  },
  [OBJECT]: { ...usual, method: OBJECT, open: claimed, isShown: false },
  [`${R}.community.release`]: {
    ...{ method: `${R}.community.release`, open: released, enrolFor: putKeys, isShown: false },
  },
}

const expectTraceless = async (work: () => Promise<Answer>, expected: object) => {
  const before = await holdings(database.db)
  expect(await work()).toMatchObject(expected)
  expect(await holdings(database.db)).toEqual(before)
}
const expectDone = async (work: () => Promise<Answer>) => {
  const before = await holdings(database.db)
  expect(await work()).toMatchObject(DONE)
  expect(await holdings(database.db)).not.toEqual(before)
}

it('keys of somebody else that do not count yet are ended by the session of any owner: they may be a thief’s', async () => {
  const { alice, bob, community } = await openScene()
  const keys = await enrolled(alice, community)
  const before = await enrol(world, bob, community)
  expect(before).toBeTruthy()
  const input = { community, did: bob.did }
  await expectDone(() => alice.call(`${R}.key.endKeeper`, input))
  await enrol(world, bob, community)
  world.clock.moveSec(3 * DAY_SEC)
  await expectTraceless(() => alice.call(`${R}.key.endKeeper`, input), REQUIRED)
  const call = { by: alice, community, method: `${R}.key.endKeeper`, input }
  await expectDone(() => alice.call(call.method, { ...input, stepUp: sign(call, keys) }))
})

describe.each(Object.entries(ROWS))('%s', (_name, row) => {
  it('is done by the session of whoever never enrolled any keys, but for a key that goes out', async () => {
    const { by, method, input } = await row.open()
    const ask = () => by.call(method, input)
    await (method === EXPORT ? expectTraceless(ask, REQUIRED) : expectDone(ask))
  })

  it('is refused to a session alone, and by a signature over anything else, and nothing changes', async () => {
    const call = await row.open()
    const keys = await row.enrolFor(call)
    const { by, method, input } = call
    const ask = (stepUp?: object) => by.call(method, stepUp ? { ...input, stepUp } : input)
    await expectTraceless(() => ask(), REQUIRED)
    const nowMs = world.clock.nowMs()
    for (const changed of [
      { act: `${R}.key.liftSuspension` },
      { input: { ...input, more: 'than that' } },
      { community: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' },
      { service: 'did:web:elsewhere.example.com' },
      { atMs: nowMs - 300_001 },
    ]) {
      await expectTraceless(() => ask(sign(call, keys, changed)), REQUIRED)
    }
    const strange = await makeKeeperKeys()
    await expectTraceless(() => ask(sign(call, strange)), REQUIRED)
    if (row.isShown) await expectTraceless(() => by.call(method, { ...input, dryRun: true }), DONE)
    await expectDone(() => ask(sign(call, keys)))
  })

  it('is refused where the keys were ended a moment ago, and by others in their place that do not count yet', async () => {
    const call = await row.open()
    const keys = await row.enrolFor(call)
    const { by, community, method, input } = call
    const ask = (stepUp?: object) => by.call(method, stepUp ? { ...input, stepUp } : input)
    await database.db
      .updateTable('keeper')
      .set({ ended_at_ms: world.clock.nowMs() })
      .where('did', '=', by.did)
      .where('community', '=', community)
      .execute()
    await expectTraceless(() => ask(), REQUIRED)
    await expectTraceless(() => ask(sign(call, keys)), REQUIRED)
    await database.db
      .updateTable('keeper')
      .set({ ended_at_ms: null, counts_from_ms: world.clock.nowMs() + 1_000_000 })
      .where('did', '=', by.did)
      .where('community', '=', community)
      .execute()
    await expectTraceless(() => ask(sign(call, keys)), { status: 400, body: { error: 'InvalidRequest' } })
  })
})

describe('a step up for such a call', () => {
  it('is good once, also when what it confirmed was turned back meanwhile', async () => {
    const call = await begun('OPENING')
    const { by, community, method, input } = call
    const keys = await enrolled(by, community)
    const stepUp = sign(call, keys)
    await expectDone(() => by.call(method, { ...input, stepUp }))
    done(await by.call(method, { ...input, readPolicy: MEMBERS }))
    await expectTraceless(() => by.call(method, { ...input, stepUp }), REQUIRED)
  })

  it('is not spent by a call that is refused', async () => {
    const { alice, community } = await openScene()
    const eve = await world.person()
    const input = { community, did: eve.did }
    const call = { by: alice, community, method: `${R}.key.endKeeper`, input }
    const keys = await enrolled(alice, community)
    const stepUp = sign(call, keys)
    await expectTraceless(() => alice.call(call.method, { ...input, stepUp }), { status: 404 })
    done(await alice.call(`${R}.member.put`, { space: rosterOf(community).uri, did: eve.did, role: 'member' }))
    await enrol(world, eve, community)
    await expectDone(() => alice.call(call.method, { ...input, stepUp }))
  })

  it('is not asked of who may not do it at all', async () => {
    const { alice, bob, forum } = await openScene()
    done(await alice.call(`${R}.member.put`, { space: forum, did: bob.did, role: 'member' }))
    await expectTraceless(() => bob.call(`${R}.space.delete`, { space: forum }), {
      status: 403,
      body: { error: 'Forbidden' },
    })
  })
})

describe('without a step up, whoever has keys', () => {
  it('stops what was proposed, with theirs or another owner’s signature or without', async () => {
    const { by, community, input } = await proposed('DELETION')
    await enrolled(by, community)
    await expectDone(() => by.call(`${R}.proposal.cancel`, input))
  })

  it('has a space rest, and wakes it', async () => {
    const { alice, community, forum } = await openScene()
    await enrolled(alice, community)
    for (const isFrozen of [true, false]) {
      await expectDone(() => alice.call(`${R}.community.freeze`, { space: forum, isFrozen }))
    }
  })

  it('takes back an offer to hand the community over', async () => {
    const call = await begun('TRANSFER')
    const { by, community, method } = call
    done(await by.call(method, await confirm(call)))
    await expectDone(() => by.call(method, { community, cancel: true }))
  })

  it('changes what of a space lets nobody in, and shuts the public out', async () => {
    const call = await begun('OPENING')
    const { by, method, input } = call
    done(await by.call(method, await confirm(call)))
    await expectDone(() => by.call(method, { ...input, readPolicy: MEMBERS }))
    await expectDone(() => by.call(method, { space: Reflect.get(input, 'space'), name: 'Beds and sheds' }))
  })

  it('ends keys of their own', async () => {
    const { alice, community } = await openScene()
    await enrolled(alice, community)
    await expectDone(() => alice.call(`${R}.key.endKeeper`, { community, did: alice.did }))
  })
})

describe('the table', () => {
  const sources = readSources('src')

  it('has every act that is declared', () => {
    const declared = sources.flatMap(({ code }) =>
      [...code.matchAll(/export const (\w+): Act = /g)].map(([, name]) => name),
    )
    expect(declared.toSorted()).toEqual(Object.keys(ACTS).toSorted())
    const elsewhere = sources.filter(({ code }) => /(?<!export )const \w+: Act = /.test(code))
    expect(elsewhere.map(({ path }) => path)).toEqual([])
  })

  it('has every call that begins or approves one, or is confirmed as they are', () => {
    const calls = sources
      .filter(({ code }) => /(?<!function )\b(carryOutOrPropose|approve|confirmIfGuarded)\((ctx, )?tx, /.test(code))
      .flatMap(({ imports }) => imports.filter(({ names }) => names.includes('$nsid')))
      .map(({ path }) => (path ?? '').slice('src/lexicons/'.length, -'.ts'.length).replaceAll('/', '.'))
    expect(calls.toSorted()).toEqual([...new Set(Object.values(ROWS).map(({ method }) => method))].toSorted())
  })
})
