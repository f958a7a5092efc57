/**
 * Ceremonies with secrets that are known here, good ones and bad ones, and then a search for them in all that the service wrote, answered and
 * kept: the key in shares, every share, the key of each ceremony, and what keepers open their packets with. In every spelling.
 */
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openCeremonyKey } from '../../src/keys/combining.ts'
import { withScalar } from '../../src/keys/private-keys.ts'
import { dealKey, type Share } from '../../src/keys/shares.ts'
import { openLog } from '../../src/platform/log.ts'
import {
  acknowledge,
  type CeremonyWorld,
  type Circle,
  concludeBy,
  dealFor,
  giveDeal,
  look,
  makeTool,
  must,
  openCeremonyWorld,
  propose,
  proposed,
  proposeSplit,
  type Shown,
  sealed,
  statementOf,
  submit,
} from '../kit/ceremonies.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { withBitFlipped } from '../kit/verdicts.ts'
import type { Answer, Person } from '../kit/world.ts'

describeOnEachEngine('the secrets of ceremonies', (open) => {
  const lines: string[] = []
  const answers: Answer[] = []
  const secrets: Record<string, Buffer> = {}
  /** Identities are texts of their own. */
  const identities: Record<string, string> = {}
  /** What the database had in each moment at which something secret might have been in it. */
  const dumps: Record<string, Buffer> = {}
  /** Sealed shares. */
  const given: string[] = []
  let database: TestDatabase
  let hers: CeremonyWorld
  let circle: Circle

  const watched = (person: Person): Person => ({
    ...person,
    call: (...given) => noted(person.call(...given)),
    ask: (...given) => noted(person.ask(...given)),
  })
  async function noted(asked: Promise<Answer>): Promise<Answer> {
    const answer = await asked
    answers.push(answer)
    return answer
  }

  beforeAll(async () => {
    database = await open()
    const log = openLog('debug', { write: (line) => void lines.push(line) })
    hers = await openCeremonyWorld(database, log)
    const found = await hers.circle(3)
    const keepers = found.keepers.map((keeper) => ({ ...keeper, person: watched(keeper.person) }))
    circle = { ...found, person: watched(found.person), keepers }
    for (const [at, { keys }] of keepers.entries()) identities[`identity ${at}`] = keys.identity
    await live()
  })
  afterAll(() => hers.close())

  const nth = (at: number) => {
    const keeper = circle.keepers[at]
    if (!keeper) throw new Error('no such keeper')
    return keeper
  }

  async function live(): Promise<void> {
    const split = await proposeSplit(circle)
    const dealing = await dealFor(split)
    secrets['key'] = withScalar(dealing.pair, (scalar) => Buffer.from(scalar))
    for (const [at, { y }] of dealing.shares.entries()) secrets[`share ${at}`] = Buffer.from(y)
    // A deal that isn't proven, and then the one that is.
    await giveDeal(circle, circle, split, { ...dealing, proof: 'A'.repeat(86) })
    await must(giveDeal(circle, circle, split, dealing))
    await keepDump('dealt')
    for (const keeper of circle.keepers) await must(acknowledge(circle, keeper, split))
    await combineHere()
    await combineElsewhere()
    await keepDump('ended')
  }

  /** The service combines: bad shares of several kinds, somebody's share in the clear by mistake, and then those that are right. */
  async function combineHere(): Promise<void> {
    const drill = await proposed(circle, circle, { kind: 'drill', combineHere: true })
    await noteCeremonyKey(drill)
    const other = await dealKey({ k: 2, n: 3 }, (below) => below - 1)
    secrets['another key'] = withScalar(other.pair, (scalar) => Buffer.from(scalar))
    const own = shareOf(0)
    const spoilt = { ...own, y: withBitFlipped(own.y, 100) }
    secrets['spoilt share'] = Buffer.from(spoilt.y)
    expect((await submit(circle, nth(0), drill, { share: spoilt })).body.error).toBe('BadShare')
    expect(
      (await submit(circle, nth(1), drill, { sealed: Buffer.from(shareOf(1).y).toString('hex') })).body.error,
    ).toBe('BadShare')
    await keepDump('bad shares')
    await must(submit(circle, nth(0), drill))
    await keepDump('one share')
    await must(submit(circle, nth(1), drill))
    expect((await must(look(circle, circle, drill))).state).toBe('done')
  }

  /** The combiner's own tool does. */
  async function combineElsewhere(): Promise<void> {
    const tool = makeTool()
    secrets['key of a tool'] = withScalar(tool.pair, (scalar) => Buffer.from(scalar))
    const drill = await proposed(circle, circle, { kind: 'drill', sealTo: tool.sealTo })
    for (const at of [1, 2]) {
      const text = await sealed(nth(at), drill)
      given.push(text)
      await must(submit(circle, nth(at), drill, { sealed: text }))
    }
    await keepDump('shares for a tool')
    await must(concludeBy(circle, circle, drill, tool))
    await propose(circle, circle, { kind: 'drill' })
  }

  const shareOf = (at: number): Share => {
    const { share } = nth(at)
    if (!share) throw new Error('nobody dealt')
    return share
  }

  async function noteCeremonyKey(ceremony: Shown): Promise<void> {
    const { rows } = await sql<{ sealing: Uint8Array; sealing_dek: number }>`select sealing, sealing_dek from ceremony
      where id = ${ceremony.ceremony}`.execute(database.db)
    const [row] = rows
    if (!row) throw new Error('no such ceremony')
    const blob = { sealed: new Uint8Array(row.sealing), dekVersion: row.sealing_dek }
    const pair = await openCeremonyKey(hers.ctx.vault, statementOf(ceremony), blob)
    secrets['key of a ceremony'] = withScalar(pair, (scalar) => Buffer.from(scalar))
  }

  async function keepDump(moment: string): Promise<void> {
    const tables = await sql<{ name: string }>`select table_name as name from information_schema.tables
      where table_schema = current_schema()`.execute(database.db)
    for (const { name } of tables.rows) {
      const { rows } = await sql<{ line: string }>`select t::text as line from ${sql.table(name)} t`.execute(
        database.db,
      )
      dumps[`table ${name}, ${moment}`] = Buffer.from(rows.map(({ line }) => line).join('\n'))
    }
  }

  const everywhere = () => ({
    ...dumps,
    log: Buffer.from(lines.join('\n')),
    ...Object.fromEntries(answers.map((answer, at) => [`answer ${at}`, Buffer.from(JSON.stringify(answer))])),
  })

  it('were there', () => {
    expect(Object.keys(secrets)).toHaveLength(8)
    const codes = new Set(answers.map(({ status, body }) => body.error ?? status))
    for (const code of [200, 'BadShare', 'InvalidRequest']) expect(codes).toContain(code)
    expect(lines.length).toBeGreaterThan(5)
    expect(dumps['table audit_entry, ended']?.toString()).toContain('key.badShare')
    expect(dumps['table ceremony_act, one share']?.length).toBeGreaterThan(100)
  })

  it('are nowhere: no key, no share, in no spelling', () => {
    const spellings = Object.entries(secrets).map(([name, bytes]) => [name, spellingsOf(bytes)] as const)
    expect(where(Object.fromEntries(spellings), everywhere())).toEqual([])
  })

  it('nor is what packets are opened with', () => {
    const texts = Object.entries(identities).map(([name, text]) => [name, { text: Buffer.from(text) }] as const)
    expect(texts).toHaveLength(3)
    expect(where(Object.fromEntries(texts), everywhere())).toEqual([])
  })

  it('and no share is kept, sealed or not, once its ceremony is over', () => {
    expect(dumps['table share_packet, dealt']?.length).toBeGreaterThan(0)
    expect(dumps['table share_packet, ended']?.toString()).toBe('')
    expect(given).toHaveLength(2)
    const during = dumps['table ceremony_act, shares for a tool']?.toString()
    const after = Object.entries(dumps).filter(([name]) => name.endsWith(', ended'))
    for (const text of given) {
      expect(during).toContain(text)
      for (const [name, lines] of after) expect([name, lines.includes(text)]).toEqual([name, false])
    }
  })

  it('would be found', () => {
    const [share = Buffer.alloc(32)] = [secrets['share 0']]
    const planted = { log: Buffer.from(`${lines.join('\n')} ${share.toString('hex')}`) }
    expect(where({ share: spellingsOf(share) }, planted)).toEqual(['share as hex in log'])
  })
})
