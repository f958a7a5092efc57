/** Credentials that are issued together: one statement for many, and each stands or falls by itself. */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadReadFacts, mayRead } from '../../src/access/may-read.ts'
import { type Issue, type IssueOutcome, issueAgain, issueAll, openIssuing } from '../../src/credential/store.ts'
import type { Basis } from '../../src/membership/basis.ts'
import { lockRevisions, raiseRevisions } from '../../src/membership/store.ts'
import type { Did } from '../../src/names.ts'
import { withTransaction } from '../../src/platform/database.ts'
import { claimId } from '../../src/platform/once.ts'
import { Unavailable } from '../../src/refusals.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { auditRows, exchange, issuances, letIn, openScene, type Parts, type Scene } from '../kit/exchange.ts'
import { freshJti } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, spaceOf } from '../kit/world.ts'

describeOnEachEngine('issuing together', (open, engine) => {
  let database: TestDatabase
  let scene: Scene
  /** A second community with a space in which bob is a member too. */
  let other: { community: Did; forum: string }

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    const community = await scene.world.found(scene.carol)
    const forum = await scene.world.makeSpace(scene.carol, community)
    await letIn(scene.carol, forum, scene.bob.did)
    other = { community, forum }
  })
  afterAll(() => scene.close())

  const claim = (kind: 'delegation' | 'dpop', jti = freshJti()) => ({
    kind,
    id: claimId(kind, 'somebody', jti),
    keepUntilSec: scene.world.clock.nowSec() + 100,
  })
  /** A decision about bob as the exchange makes it, ready to be written down. */
  async function decided(more: Partial<Issue['issuance']> & Partial<Pick<Issue, 'claims'>> = {}, space = scene.forum) {
    const { claims = [claim('delegation'), claim('dpop')], ...issuance } = more
    const name = spaceOf(space)
    const read = await loadReadFacts(scene.world.reeve.house, name, scene.bob.did)
    if (read.space !== 'live') throw new Error('no space')
    const verdict = mayRead(read.facts, { did: scene.bob.did, clientId: null })
    if (!verdict.ok) throw new Error('not let in')
    const nowSec = scene.world.clock.nowSec()
    const basis: Basis = [{ community: name.authority, revision: read.revision }]
    const times = { issuedAtSec: nowSec, expiresAtSec: nowSec + 600 }
    return {
      grant: verdict.value,
      claims,
      issuance: { jti: freshJti(), holder: 'holder', ...times, basis, ...issuance },
      atMs: nowSec * 1000,
    } satisfies Issue
  }
  const several = (count: number) => Promise.all(Array.from({ length: count }, () => decided()))
  /** What is kept of each: its row, its audit rows, the claims of it that are spent. */
  async function keptOf(some: readonly Issue[]) {
    const rows = new Set((await issuances(database)).map(({ jti }) => jti))
    const audits = (await auditRows(database, 'credential.issue')).map(({ because }) => because['jti'])
    const spent = await database.db.selectFrom('spent').select('id').execute()
    const ids = new Set(spent.map(({ id }) => Buffer.from(id).toString('hex')))
    return some.map(({ issuance: { jti }, claims }) => {
      const used = claims.filter(({ id }) => ids.has(Buffer.from(id).toString('hex'))).length
      return `${rows.has(jti) ? 1 : 0} ${audits.filter((one) => one === jti).length} ${used}`
    })
  }
  const ALL = '1 1 2'
  const NOTHING = '0 0 0'
  const asOf = (basis: Basis, less: number): Basis =>
    basis.map(({ community, revision }) => ({ community, revision: revision - less }))

  describe('in one statement', () => {
    it('those whose community moved write and spend nothing, and the others all of theirs', async () => {
      const [first, moved, last] = await several(3)
      if (!first || !moved || !last) throw new Error('three')
      const { issuance } = moved
      const some = [first, { ...moved, issuance: { ...issuance, basis: asOf(issuance.basis, 1) } }, last]
      expect(await issueAll(database.db, some)).toEqual(['issued', 'moved', 'issued'])
      expect(await keptOf(some)).toEqual([ALL, NOTHING, ALL])
      expect(
        (await database.db.selectFrom('issuance').select('revision').execute()).map((row) => row.revision),
      ).toEqual(expect.arrayContaining([issuance.basis[0]?.revision]))
    })

    it('one whose token was spent before keeps its proof, and is told which of the two it was', async () => {
      const before = await decided()
      expect(await issueAll(database.db, [before])).toEqual(['issued'])
      const [token] = before.claims
      const again = await decided({ claims: [token ?? claim('delegation'), claim('dpop')] })
      const fresh = await decided()
      expect(await issueAll(database.db, [again, fresh])).toEqual([{ spent: [token] }, 'issued'])
      expect(await keptOf([again, fresh])).toEqual(['0 0 1', ALL])
    })

    it('a decision that rests on two communities needs both to stand, whichever comes first', async () => {
      const here = await decided()
      const there = await decided({}, other.forum)
      const both = [...here.issuance.basis, ...there.issuance.basis]
      const bases = [
        both,
        both.toReversed(),
        [...here.issuance.basis, ...asOf(there.issuance.basis, 1)],
        [...asOf(there.issuance.basis, -1), ...here.issuance.basis],
        [...here.issuance.basis, { community: 'did:plc:nobody' as Did, revision: 0 }],
      ]
      const some = await Promise.all(bases.map((basis) => decided({ basis })))
      // A community whose row can't be had is being changed, as far as anybody can see.
      expect(await issueAll(database.db, some)).toEqual(['issued', 'issued', 'moved', 'moved', 'busy'])
      expect(await keptOf(some)).toEqual([ALL, ALL, NOTHING, NOTHING, NOTHING])
      const row = (await issuances(database)).find(({ jti }) => jti === some[1]?.issuance.jti)
      expect(row?.revision).toBe(here.issuance.basis[0]?.revision)
    })

    it('a claim that two of them share, or a decision without its own community, is our own mistake', async () => {
      const shared = claim('dpop')
      const two = [await decided({ claims: [shared] }), await decided({ claims: [shared] })]
      await expect(issueAll(database.db, two)).rejects.toThrow(TypeError)
      await expect(issueAll(database.db, [await decided({ basis: [] })])).rejects.toThrow(TypeError)
      expect(await keptOf(two)).toEqual(['0 0 0', '0 0 0'])
    })
  })

  describe('asked again', () => {
    const again = (one: Issue) => issueAgain(database.db, one)
    const moveOn = () =>
      withTransaction(database.db, async (tx) => {
        await lockRevisions(tx, scene.community)
        await raiseRevisions(tx, scene.community, { graph: false })
      })

    it('one that was written is issued, also where its community moved on since', async () => {
      const one = await decided()
      expect(await issueAll(database.db, [one])).toEqual(['issued'])
      expect(await again(one)).toBe('issued')
      await moveOn()
      expect(await again(one)).toBe('issued')
      expect(await keptOf([one])).toEqual([ALL])
    })

    it('one that was not written is judged as at first', async () => {
      const [one, moved] = await several(2)
      if (!one || !moved) throw new Error('two')
      expect(await again(one)).toBe('issued')
      expect(await again(await decided({ claims: one.claims }))).toEqual({ spent: one.claims })
      await moveOn()
      expect(await again(moved)).toBe('moved')
      expect(await keptOf([one, moved])).toEqual([ALL, NOTHING])
    })
  })

  describe('at once', () => {
    const askAll = (some: readonly Issue[], db = database.db) => {
      const issuing = openIssuing(db)
      return Promise.all(some.map((one) => issuing.ask(one).catch((error: Error) => error)))
    }

    it('a hundred are issued, each with all that belongs to it', async () => {
      const some = await several(100)
      expect(new Set(await askAll(some))).toEqual(new Set(['issued']))
      expect(new Set(await keptOf(some))).toEqual(new Set([ALL]))
    })

    it('two that share a proof are one credential, and the later is told of the proof', async () => {
      const proof = claim('dpop')
      const some = await several(30)
      some[10] = await decided({ claims: [claim('delegation'), proof] })
      some[20] = await decided({ claims: [claim('delegation'), proof] })
      const answers = await askAll(some)
      expect(answers[20]).toEqual({ spent: [proof] })
      expect(answers.filter((answer) => answer === 'issued')).toHaveLength(29)
    })

    it('one that the database refuses fails by itself', async () => {
      const some = await several(30)
      some[10] = await decided({ holder: 'a\0b' })
      const answers = await askAll(some)
      expect(answers[10]).toMatchObject({ code: '22021' })
      expect(answers.filter((answer) => answer === 'issued')).toHaveLength(29)
      const kept = await keptOf(some)
      expect(kept[10]).toBe(NOTHING)
      expect(kept.filter((each) => each === ALL)).toHaveLength(29)
    })

    /** The database, but what it answers to the first statement for several is lost on the way. */
    function losingAnAnswer() {
      let lost = 0
      const db = database.db.withPlugin({
        transformQuery: ({ node }) => node,
        async transformResult({ result }) {
          if (lost === 0 && result.rows.length > 1 && 'isIssued' in (result.rows[0] ?? {})) {
            lost = result.rows.length
            throw new Unavailable('NotEnoughResources', 'database')
          }
          return result
        },
      })
      return { db, lost: () => lost }
    }

    it('those whose answer was lost after they were written are issued once, and nobody is called a replay', async () => {
      const some = await several(30)
      const { db, lost } = losingAnAnswer()
      expect(new Set(await askAll(some, db))).toEqual(new Set(['issued']))
      expect(lost()).toBeGreaterThan(3)
      expect(new Set(await keptOf(some))).toEqual(new Set([ALL]))
    })

    it('among those, one that had been spent before is still told so', async () => {
      const before = await decided()
      await issueAll(database.db, [before])
      const some = await several(30)
      some[10] = await decided({ claims: before.claims })
      const { db } = losingAnAnswer()
      const answers = await askAll(some, db)
      expect(answers[10]).toEqual({ spent: before.claims })
      expect(answers.filter((answer) => answer === 'issued')).toHaveLength(29)
    })

    // Nobody but a server can end a connection.
    if (engine === 'postgres') {
      it('those whose connection is ended are issued once all the same, or told of trouble', async () => {
        const some = await several(40)
        const issuing = openIssuing(database.db)
        const answers: (IssueOutcome | Error)[] = []
        const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
        const asked = begun.then(() =>
          Promise.all(some.map((one) => issuing.ask(one).catch((error: Error) => error))).then((all) => {
            answers.push(...all)
          }),
        )
        await withTransaction(database.db, async (tx) => {
          await sql`lock table issuance in exclusive mode`.execute(tx)
          begin()
          const ended = await eventually('several wait, and are ended', async () => {
            await sql`select pg_stat_clear_snapshot()`.execute(tx)
            const waiting = sql`datname = current_database() and wait_event_type = 'Lock'`
            const { rows } = await sql`select pid from pg_stat_activity where ${waiting}`.execute(tx)
            if (rows.length < 4) return null
            return (await sql`select pg_terminate_backend(pid) from pg_stat_activity where ${waiting}`.execute(tx)).rows
          })
          expect(ended.length).toBeGreaterThanOrEqual(4)
        })
        await asked
        const kept = await keptOf(some)
        for (const [at, answer] of answers.entries()) {
          if (answer === 'issued') expect(kept[at]).toBe(ALL)
          else expect([answer, kept[at]]).toEqual([expect.any(Unavailable), NOTHING])
        }
        // Three went alone, as ever; the others went together, and were asked again.
        expect(answers.filter((answer) => answer === 'issued').length).toBeGreaterThanOrEqual(37)
      })
    }
  })

  it('one token shown fifty times among two hundred others, in both generations, is one credential', async () => {
    const jti = freshJti()
    const before = (await issuances(database)).length
    // With so many at once a slow machine tells some to come again, and they do.
    const ask = async (parts: Parts): Promise<Answer> => {
      let answer = await exchange(scene, parts)
      for (let nth = 0; nth < 10 && answer.status === 503; nth++) answer = await exchange(scene, parts)
      return answer
    }
    const asked = Array.from({ length: 250 }, (_none, at) => {
      const binding = at % 2 === 0 ? 'october' : 'august'
      return ask(at % 5 === 0 ? { binding, jti } : { binding })
    })
    const answers = await Promise.all(asked)
    const shared = answers.filter((_answer, at) => at % 5 === 0)
    expect(shared.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(shared.filter(({ body }) => body.error === 'JwtReplayed')).toHaveLength(49)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(201)
    expect((await issuances(database)).length - before).toBe(201)
  })
})
