/**
 * A key in shares from its beginning to the day on which its keepers leave: five people with folders of their own and the tool as they run it, a
 * Reeve to which they send what it wrote, and a real directory. Nothing is played but the people.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { walkRotation } from '../../src/community/rotation-walk.ts'
import { type Did, parseDid, rosterOf } from '../../src/names.ts'
import { runCli } from '../kit/cli.ts'
import { logAt, NEW_OWNER, newHomeFor } from '../kit/leaving.ts'
import { headOf, signed, submitOperation } from '../kit/people.ts'
import { copyOfKey } from '../kit/rotation-stage.ts'
import type { TestKey } from '../kit/tokens.ts'
import { type Answer, openWorld, type Person, type World } from '../kit/world.ts'

const KEY = 'community.reeve.key'
const DAY_MS = 24 * 60 * 60 * 1000

interface Keeper {
  readonly person: Person
  readonly name: string
  /** Where their own keys are. */
  readonly folder: string
  /** Where their packets are, newest last. */
  readonly packets: string[]
}

// biome-ignore lint/suspicious/noExplicitAny: an answer, as it came over the wire.
type Shown = any

describe('a key in shares', () => {
  let world: World
  let folder: string
  let community: Did
  let keepers: Keeper[]
  const said: string[] = []
  beforeAll(async () => {
    world = await openWorld({})
    folder = mkdtempSync(join(tmpdir(), 'reeve-keepers-'))
    keepers = []
  })
  afterAll(async () => {
    await world.close()
    rmSync(folder, { recursive: true, force: true })
  })

  let files = 0
  function write(value: unknown): string {
    files += 1
    const path = join(folder, `file-${files}.json`)
    writeFileSync(path, JSON.stringify(value))
    return path
  }

  /** Runs the tool, with the community's DID typed where it asks. Answers what it wrote. */
  async function reeve(...args: readonly string[]): Promise<string> {
    const run = await runCli({ args, typed: `${community}\n`, cwd: folder })
    said.push(run.out, run.err)
    if (run.code !== 0) throw new Error(`reeve ${args[0]} ${args[1]} ended with ${run.code}: ${run.err} ${run.out}`)
    return run.out
  }
  const atPlc = (...args: readonly string[]) => reeve(...args, '--plc', world.plcUrl)

  async function must(asked: Promise<Answer>): Promise<Shown> {
    const { status, body } = await asked
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`)
    return body
  }

  const owner = (): Keeper => keeperOf(0)
  function keeperOf(at: number): Keeper {
    const keeper = keepers[at]
    if (!keeper) throw new Error('no such keeper')
    return keeper
  }

  /** Somebody makes keys with the tool, and enrols them. That they count already is the test's doing: a day would have to pass. */
  async function enrolled(person: Person, name: string): Promise<Keeper> {
    const home = join(folder, name)
    await reeve('keeper', 'init', home)
    const about = ['--community', community, '--caller', person.did, '--service', world.config.serviceDid]
    const body = JSON.parse(await reeve('keeper', 'enrol', home, ...about))
    await must(person.call(`${KEY}.enrolKeeper`, body))
    await sql`update keeper set enrolled_at_ms = enrolled_at_ms - ${2 * DAY_MS}, counts_from_ms = counts_from_ms - ${2 * DAY_MS}
      where community = ${community} and did = ${person.did}`.execute(world.database.db)
    return { person, name, folder: home, packets: [] }
  }

  async function proposed(input: object): Promise<Shown> {
    const { person, folder: home } = owner()
    const whole = { community, ...input }
    const about = ['--act', `${KEY}.propose`, '--input', write(whole), '--caller', person.did]
    const stepUp = JSON.parse(await reeve('keeper', 'step-up', home, ...about, '--service', world.config.serviceDid))
    return must(person.call(`${KEY}.propose`, { ...whole, stepUp }))
  }

  /** The ceremony as somebody is told of it, in a file for their tool. */
  async function seenBy({ person }: Keeper, { ceremony }: Shown): Promise<string> {
    return write(await must(person.ask(`${KEY}.get`, { community, ceremony })))
  }

  /** Splits among keepers, of whom three have to act; each takes their packet. */
  async function split(among: readonly Keeper[], more: object = {}): Promise<void> {
    const dids = among.map(({ person }) => person.did)
    const ceremony = await proposed({ kind: 'split', keepers: dids, threshold: 3, ...more })
    const deal = join(folder, `deal-${ceremony.ceremony}.json`)
    await atPlc('keeper', 'deal', owner().folder, await seenBy(owner(), ceremony), '--out', deal)
    await must(owner().person.call(`${KEY}.deal`, JSON.parse(readFileSync(deal, 'utf8'))))
    for (const keeper of among) {
      const places = ['one', 'two'].map((place) => join(folder, `${keeper.name}-${place}-${ceremony.ceremony}`))
      const kept = places.map((place) => {
        mkdirSync(place)
        return join(place, 'packet.age')
      })
      const keep = kept.flatMap((path) => ['--keep', path])
      const body = await atPlc('keeper', 'ack', keeper.folder, await seenBy(keeper, ceremony), ...keep)
      await must(keeper.person.call(`${KEY}.acknowledge`, JSON.parse(body)))
      keeper.packets.push(kept[1] ?? '')
    }
    expect(await must(owner().person.ask(`${KEY}.get`, { community, ceremony: ceremony.ceremony }))).toMatchObject({
      state: 'done',
    })
  }

  /** Keepers act together by the packets that they got in the nth split. */
  async function act(input: object, by: readonly Keeper[], nth: number): Promise<Shown> {
    files += 1
    const opener = join(folder, `opener-${files}.key`)
    const vouched = JSON.parse(await reeve('keeper', 'opener', owner().folder, opener, '--community', community))
    const ceremony = await proposed({ ...input, ...vouched })
    if (ceremony.kind !== 'drill') {
      for (const keeper of by) {
        const about = ['--packet', keeper.packets[nth] ?? '']
        const body = await atPlc('keeper', 'approve', keeper.folder, await seenBy(keeper, ceremony), ...about)
        await must(keeper.person.call(`${KEY}.approve`, JSON.parse(body)))
      }
    }
    for (const keeper of by) {
      const packet = keeper.packets[nth] ?? ''
      const body = await atPlc('keeper', 'give', keeper.folder, packet, await seenBy(keeper, ceremony))
      await must(keeper.person.call(`${KEY}.submitShare`, JSON.parse(body)))
    }
    const word = ceremony.kind === 'drill' ? 'drill' : 'combine'
    const seen = await seenBy(owner(), ceremony)
    const body = await atPlc('keeper', word, owner().folder, seen, '--opener', opener)
    const done = await must(owner().person.call(`${KEY}.conclude`, JSON.parse(body)))
    expect(done.state).toBe('done')
    return done
  }

  const rotationKeys = async (): Promise<readonly string[]> => {
    const last = (await logAt(world.plcUrl, community)).filter(({ nullified }) => !nullified).at(-1)
    return (last?.operation as { rotationKeys?: string[] } | undefined)?.rotationKeys ?? []
  }
  const listed = async (): Promise<Shown> => must(owner().person.ask(`${KEY}.list`, { community }))

  it('lives: split, drilled, placed; alone; rotated; a keeper leaves and it is replaced; and its keepers leave with it', async () => {
    const people = await Promise.all(Array.from({ length: 5 }, () => world.person()))
    const [alice, ...others] = people
    if (!alice) throw new Error('nobody')
    const custody = { $type: 'community.reeve.community.mint#quorum' }
    const minted = await must(alice.call('community.reeve.community.mint', { name: 'Gardeners', custody }))
    expect(minted.status).toBe('pendingQuorum')
    community = parseDid(minted.did) as Did
    for (const person of others) {
      await must(
        alice.call('community.reeve.member.put', { space: rosterOf(community).uri, did: person.did, role: 'member' }),
      )
    }
    for (const [at, person] of people.entries()) keepers.push(await enrolled(person, `keeper-${at}`))
    const [ours] = await rotationKeys()

    // Split, and a drill of three. Only then does the key stand in the identity.
    await split(keepers)
    expect(await rotationKeys()).toEqual([ours])
    await act({ kind: 'drill' }, [keeperOf(0), keeperOf(2), keeperOf(4)], 0)
    expect((await walkRotation(world.reeve.house, community))?.step).toBe('done')
    const first = (await listed()).quorum[0].didKey
    expect(await rotationKeys()).toEqual([first, ours])
    expect(await listed()).toMatchObject({ custody: 'quorum', tasks: [] })

    // The keepers take the service's key out, and let it have another one: none of the old one is left that could change anything.
    await act({ kind: 'combine', wish: 'strict' }, [keeperOf(1), keeperOf(2), keeperOf(3)], 0)
    expect(await rotationKeys()).toEqual([first])
    const alone = await listed()
    expect(alone).toMatchObject({
      custody: 'quorumStrict',
      document: { rotationKeys: [{ didKey: first, whose: 'keepers' }] },
    })
    const living = alone.keys.filter(({ purpose, state }: Shown) => purpose === 'rotation' && state === 'active')
    expect(living).toEqual([])
    await act({ kind: 'combine', wish: 'shared' }, [keeperOf(0), keeperOf(1), keeperOf(4)], 0)
    const [, service] = await rotationKeys()
    expect(service).not.toBe(ours)

    // One of them leaves. It stands in red until the others have another key.
    await must(keeperOf(4).person.call(`${KEY}.endKeeper`, { community, did: keeperOf(4).person.did }))
    expect((await listed()).tasks).toMatchObject([{ name: 'keeperRevoked' }])
    const staying = keepers.slice(0, 4)
    await split(staying)
    await act({ kind: 'drill' }, [keeperOf(0), keeperOf(1), keeperOf(2)], 1)
    expect(await rotationKeys()).toEqual([first, service])
    await act({ kind: 'combine', wish: 'rekey' }, [keeperOf(1), keeperOf(2), keeperOf(3)], 0)
    const second = (await listed()).quorum[0].didKey
    expect(await rotationKeys()).toEqual([second, service])
    const left = (await listed()).tasks.map(({ name }: Shown) => name)
    expect(left.filter((name: string) => name !== 'budgetHalfSpent')).toEqual([])

    // They leave: without the service, which has its key still and fights.
    const { statement } = newHomeFor(community)
    const opener = join(folder, 'opener-exit.key')
    await reeve('keeper', 'opener', keeperOf(1).folder, opener, '--community', community)
    const request = join(folder, 'request.json')
    const asker = keeperOf(1)
    const packet = asker.packets[1] ?? ''
    const about = ['--packet', packet, '--keeper', asker.folder, '--opener', opener, '--ask', request]
    await atPlc('exit', community, ...about, '--to', write(statement), '--for', NEW_OWNER, '--keep')
    const shares = []
    for (const keeper of [keeperOf(1), keeperOf(2), keeperOf(3)]) {
      const out = join(folder, `share-${keeper.name}.json`)
      await atPlc('keeper', 'give', keeper.folder, keeper.packets[1] ?? '', request, '--out', out)
      shares.push('--share', out)
    }
    const operation = join(folder, 'exit.json')
    await atPlc(
      'keeper',
      'combine',
      asker.folder,
      request,
      '--opener',
      opener,
      '--packet',
      packet,
      ...shares,
      '--out',
      operation,
    )
    expect(await rotationKeys()).toEqual([second, statement.rotationKey])
    await contest(await copyOfKey(world, community, 'rotation'))
    expect(await rotationKeys()).toEqual([second, statement.rotationKey])

    // What any of it wrote holds no share, and no key.
    expect(said.join('\n')).not.toMatch(/AGE-SECRET-KEY|PRIVATE KEY/)
  }, 300_000)

  /** The old home tries what it can: on top of the exit, and from before it. */
  async function contest(theirs: TestKey): Promise<void> {
    const rows = await logAt(world.plcUrl, community)
    const before = rows.at(-2)
    if (!before) throw new Error('no operation before')
    const { sig: _, ...said } = before.operation as { sig: string; prev: string }
    for (const prev of [await headOf(world.plcUrl, community), before.cid]) {
      await expect(submitOperation(world.plcUrl, community, signed(theirs, { ...said, prev }))).rejects.toThrow()
    }
  }
})
