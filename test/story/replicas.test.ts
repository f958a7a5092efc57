/**
 * Two Reeves on one PostgreSQL: whatever is changed through one while the other decides, no decision rests on what was already
 * past. First in one process, with everything of a replica twice, as fast as the database goes; then over the wire.
 *
 * What happens is chance. Every question, change and answer is written down, and `checkHistory` says what of it may not be.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { loadReadFacts, mayRead } from '../../src/access/may-read.ts'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { type Issuing, openIssuing } from '../../src/credential/store.ts'
import { federationOffer } from '../../src/federation/federationOffer.ts'
import { federationWithdraw } from '../../src/federation/federationWithdraw.ts'
import { basisOfWord } from '../../src/membership/basis.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { memberReach } from '../../src/membership/memberReach.ts'
import { memberRemove } from '../../src/membership/memberRemove.ts'
import { memberResolve } from '../../src/membership/memberResolve.ts'
import { memberUnban } from '../../src/membership/memberUnban.ts'
import { authorityOf, type Did, ROLE_SPACE_TYPE, rosterOf, type SpaceUri, spaceUriOf } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import type { ProcedureCall } from '../../src/platform/idempotency.ts'
import { loadInstanceId } from '../../src/platform/instance.ts'
import { silentLog } from '../../src/platform/log.ts'
import { claimId } from '../../src/platform/once.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { SealedWords } from '../../src/platform/sealed-words.ts'
import type { Action } from '../../src/policy/roles.ts'
import { Refusal, Unavailable } from '../../src/refusals.ts'
import { spaceCreate } from '../../src/space/spaceCreate.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { spaceUpdate } from '../../src/space/spaceUpdate.ts'
import { createOnServer, hasPostgres, openTestDatabase } from '../kit/databases.ts'
import { callOf, communityOf, type RosterMethod } from '../kit/deeds.ts'
import { Dice } from '../kit/dice.ts'
import { BINDINGS, exchangeOf, readCredential } from '../kit/exchange.ts'
import {
  type Basis,
  type Change,
  checkHistory,
  type Decision,
  type Findings,
  type Look,
  lineOf,
  listOf,
  type RollQuestion,
  type RosterDeed,
  type Row,
} from '../kit/history.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { FORUM, freshDid, keyed, openCommunity, type Roll, rollOn } from '../kit/roll.ts'
import { freshJti } from '../kit/tokens.ts'
import { sendRaw, spaceOf } from '../kit/world.ts'

const DECISIONS = Number(process.env['REPLICAS_DECISIONS'] ?? 10_000)
const DECISIONS_BY_WIRE = 400
/** Of the decisions, how many at least must have had a change beside them. */
const OVERLAPPING_MIN = 0.5
/** For each change, so many decisions; and so many under way at each replica. */
const DECISIONS_PER_CHANGE = 4
const [DECIDERS, CHANGERS] = [6, 2]
/** How often a change is asked for whose outcome nobody knows; the last time it is a fault. */
const TRIES = 5
const SEED = Number(process.env['REPLICAS_SEED'] ?? Number.parseInt(randomHex(systemRandom, 4), 16))

/** Two communities, of which the second may have spaces of the first on its rosters, and people who are owners of neither. */
class Cast {
  readonly giver: Did
  readonly taker: Did
  readonly people: readonly Did[]
  /** They are in one space at a time, so that some are nowhere and then somewhere. */
  readonly #guests: readonly Did[]
  readonly #visits = new Map<Did, SpaceUri>()
  /** Living spaces, the roster first. */
  readonly spaces: ReadonlyMap<Did, SpaceUri[]>
  #made = 0

  constructor(giver: Did, taker: Did, people: readonly Did[], guests: readonly Did[]) {
    this.giver = giver
    this.taker = taker
    this.people = people
    this.#guests = guests
    this.spaces = new Map([giver, taker].map((did) => [did, [rosterOf(did).uri]]))
  }

  spacesOf(did: Did): SpaceUri[] {
    return this.spaces.get(did) ?? []
  }

  newSpace(community: Did, type: typeof FORUM | typeof ROLE_SPACE_TYPE): SpaceUri {
    return spaceUriOf(community, type, `space${this.#made++}`).uri
  }

  /** Who makes the first spaces, and the first of everything that may be taken away later. */
  opening(): readonly RosterDeed[] {
    const { giver, taker, people } = this
    const make = (community: Did, type: typeof FORUM | typeof ROLE_SPACE_TYPE) => {
      const space = this.newSpace(community, type)
      this.spacesOf(community).push(space)
      return space
    }
    const [team, hall] = [make(giver, ROLE_SPACE_TYPE), make(giver, FORUM)]
    const [guests, board, cellar] = [make(taker, ROLE_SPACE_TYPE), make(taker, FORUM), make(taker, FORUM)]
    return [
      ...[team, hall, guests, board, cellar].map((space) => ({ does: 'make', space }) as const),
      ...people.map((did) => ({ does: 'put', space: team, did, role: 'member' }) as const),
      { does: 'nest', space: hall, from: team, role: 'writer', holding: null },
      { does: 'offer', space: team, to: taker },
      { does: 'offer', space: hall, to: taker },
      { does: 'nest', space: guests, from: team, role: 'reader', holding: 'read' },
      { does: 'nest', space: board, from: guests, role: 'writer', holding: null },
      { does: 'nest', space: cellar, from: hall, role: 'reader', holding: 'write' },
    ]
  }

  /** A guest goes where they are not, or from where they are. */
  #visit(dice: Dice): RosterDeed {
    const did = dice.pick(this.#guests)
    const there = this.#visits.get(did)
    this.#visits.delete(did)
    if (there) return { does: 'remove', space: there, did }
    const space = dice.pick(this.spacesOf(dice.pick([this.giver, this.taker])))
    this.#visits.set(did, space)
    return { does: 'put', space, did, role: 'writer' }
  }

  deed(dice: Dice): RosterDeed {
    if (dice.below(4) === 0) return this.#visit(dice)
    const community = dice.pick([this.giver, this.taker])
    const space = dice.pick(this.spacesOf(community))
    const did = dice.pick(this.people)
    const isWhole = space === rosterOf(community).uri
    const scope = isWhole ? community : space
    const given = dice.pick(this.spacesOf(this.giver))
    const from = community === this.taker && dice.below(2) === 0 ? given : dice.pick(this.spacesOf(community))
    const isForeign = authorityOf(from) !== community
    const role = dice.pick(isForeign ? ['reader', 'writer'] : ['reader', 'writer', 'member', 'moderator'])
    const holding = dice.pick<Action | null>([null, null, 'read', 'write', 'members.read'])
    const deeds = {
      put: { does: 'put', space, did, role: dice.pick(['reader', 'writer', 'member', 'moderator', 'admin']) },
      remove: { does: 'remove', space, did },
      nest: { does: 'nest', space, from, role, holding },
      unnest: { does: 'unnest', space, from },
      ban: { does: 'ban', scope, did },
      unban: { does: 'unban', scope, did },
      leave: { does: 'leave', space, did },
      offer: { does: 'offer', space: given, to: this.taker },
      withdraw: { does: 'withdraw', space: given, to: this.taker },
      open: { does: 'open', space },
      close: { does: 'close', space },
      delete: { does: 'delete', space },
    } as const satisfies Record<string, RosterDeed>
    const does = dice.weighed<keyof typeof deeds>([
      ...([
        [24, 'put'],
        [12, 'remove'],
        [16, 'nest'],
        [10, 'unnest'],
        [4, 'ban'],
        [8, 'unban'],
        [3, 'leave'],
      ] as const),
      ...([
        [8, 'offer'],
        [4, 'withdraw'],
        [1, 'open'],
        [2, 'close'],
        [1, 'delete'],
      ] as const),
    ])
    return deeds[does]
  }

  question(dice: Dice): RollQuestion {
    const community = dice.pick([this.giver, this.taker, this.taker])
    const space = dice.pick(this.spacesOf(community))
    const did = dice.pick([...this.people, ...this.#guests])
    return dice.weighed<RollQuestion>([
      [12, { asks: 'may', space, did, action: 'read' }],
      [1, { asks: 'may', space, did, action: 'write' }],
      [2, { asks: 'who', space }],
      [1, { asks: 'where', community, did }],
    ])
  }
}

type Method = (roll: Roll, by: Did, input: never, call: ProcedureCall) => Promise<{ revision: number }>
const METHODS = {
  'space.create': spaceCreate,
  'space.delete': spaceDelete,
  'space.update': spaceUpdate,
  'member.put': memberPut,
  'member.remove': memberRemove,
  'member.leave': memberLeave,
  'member.ban': memberBan,
  'member.unban': memberUnban,
  'federation.offer': federationOffer,
  'federation.withdraw': federationWithdraw,
} as const satisfies Record<RosterMethod, Method>

/** An answer before it has its place in the history. */
type Said = Pick<Decision, 'answer' | 'basis' | 'isWhole' | 'issued'>
/** What a replica does, however it is reached. Null: it refused, or had no answer, and nobody was told anything. */
interface Replica {
  change(deed: RosterDeed): Promise<number | null>
  decide(question: RollQuestion, dice: Dice, atLeast: string | undefined): Promise<(Said & { at?: string }) | null>
  /** Which of the credentials that are being written now are there. */
  look(underWay: ReadonlySet<string>): Promise<ReadonlySet<string>>
}

/** Lets changers go on as decisions are made, so that neither waits for the other's end. */
class Pace {
  #due = CHANGERS
  #waiting: (() => void)[] = []

  decided(count: number): void {
    this.#due += count / DECISIONS_PER_CHANGE
    for (; this.#due >= 1 && this.#waiting.length > 0; this.#due--) this.#waiting.shift()?.()
  }

  async turn(): Promise<void> {
    if (this.#due >= 1) this.#due--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}

/** Everything that was asked of the replicas and answered. */
class Run {
  readonly changes: Change[] = []
  readonly decisions: Decision[] = []
  readonly looks: Look[] = []
  readonly underWay = new Set<string>()
  unanswered = 0
  refused = 0
  readonly #cast: Cast
  readonly #replicas: readonly Replica[]
  readonly #words: { word: string; basis: Basis }[] = []
  #moment = 0

  constructor(cast: Cast, replicas: readonly Replica[]) {
    this.#cast = cast
    this.#replicas = replicas
  }

  now = (): number => ++this.#moment

  #replica(at: number): Replica {
    const replica = this.#replicas[at % this.#replicas.length]
    if (!replica) throw new Error('no replica')
    return replica
  }

  async change(at: number, deed: RosterDeed): Promise<boolean> {
    const began = this.now()
    const revision = await this.#replica(at).change(deed)
    if (revision === null) this.refused++
    else this.changes.push({ began, ended: this.now(), community: communityOf(deed), deed, revision })
    return revision !== null
  }

  async #decide(at: number, dice: Dice): Promise<void> {
    const question = this.#cast.question(dice)
    const earlier = dice.below(3) === 0 ? this.#words.at(-1 - dice.below(4)) : undefined
    const began = this.now()
    const said = await this.#replica(at).decide(question, dice, earlier?.word)
    if (!said) {
      this.unanswered++
      return
    }
    const { at: word, ...answer } = said
    const isAsked = word !== undefined || said.answer === 'behind'
    this.decisions.push({
      began,
      ended: this.now(),
      question,
      atLeast: isAsked ? (earlier?.basis ?? []) : [],
      ...answer,
    })
    if (word !== undefined) this.#words.push({ word, basis: said.basis })
  }

  async #look(at: number): Promise<void> {
    const [began, underWay] = [this.now(), new Set(this.underWay)]
    if (underWay.size === 0) return
    const found = await this.#replica(at).look(underWay)
    this.looks.push({ began, ended: this.now(), underWay, found })
  }

  async #changeOnce(at: number, dice: Dice): Promise<void> {
    const deed = this.#cast.deed(dice)
    if (deed.does !== 'delete') {
      if (await this.change(at, deed)) await this.#look(at)
      return
    }
    const spaces = this.#cast.spacesOf(communityOf(deed))
    const { spaceType } = spaceOf(deed.space)
    const place = spaces.indexOf(deed.space)
    if (place < 1) return
    spaces.splice(place, 1)
    await this.change(at, deed)
    const space = this.#cast.newSpace(communityOf(deed), spaceType === FORUM ? FORUM : ROLE_SPACE_TYPE)
    await this.change(at + 1, { does: 'make', space })
    spaces.push(space)
  }

  /** Changes and decisions at every replica at once, until so many decisions are made. */
  async go(decisions: number): Promise<void> {
    for (const deed of this.#cast.opening()) await this.change(0, deed)
    const pace = new Pace()
    let isBroken = false
    const isOver = () => isBroken || this.decisions.length >= decisions
    const decider = async (at: number, worker: number): Promise<void> => {
      const dice = new Dice(SEED + 100 * worker + at)
      for (; !isOver(); pace.decided(1)) await this.#decide(at, dice)
    }
    const changer = async (at: number, worker: number): Promise<void> => {
      const dice = new Dice(SEED - 100 * worker - at)
      for (let turn = at; !isOver(); turn++) {
        await pace.turn()
        await this.#changeOnce(turn, dice)
      }
    }
    const workers = this.#replicas.flatMap((_replica, at) => [
      ...Array.from({ length: DECIDERS }, (_none, worker) => decider(at, worker)),
      ...Array.from({ length: CHANGERS }, (_none, worker) => changer(at, worker)),
    ])
    const ended = workers.map(async (worker) => {
      try {
        await worker
      } catch (error) {
        // The others would go on for ever with what is closed under them.
        isBroken = true
        throw error
      } finally {
        pace.decided(Number.POSITIVE_INFINITY)
      }
    })
    await Promise.allSettled(ended)
    await Promise.all(ended)
  }
}

/** Says how it went, whether it went well or not: a run in which nothing met shows nothing. */
function findings(name: string, run: Run, founders: ReadonlyMap<Did, Did>, rows: readonly Row[]): Findings {
  const communities = [...founders].map(([did, founder]) => ({ did, founder }))
  const { changes, looks } = run
  // A credential that came over the wire doesn't say on what it rests; its row says it of the space's own community.
  const revisions = new Map(rows.map(({ jti, revision }) => [jti, revision]))
  const decisions = run.decisions.map((decision) => {
    const { isWhole, issued, question } = decision
    const revision = revisions.get(issued?.jti ?? '')
    if (isWhole || revision === undefined || question.asks !== 'may') return decision
    return { ...decision, basis: [{ community: authorityOf(question.space), revision }] }
  })
  const found = checkHistory({ communities, changes, decisions, looks, rows })
  const counts = Object.entries({
    ...found.counts,
    looks: looks.length,
    refused: run.refused,
    unanswered: run.unanswered,
  })
  process.stdout.write(`${name}, seed ${SEED}: ${counts.map(([what, count]) => `${what} ${count}`).join(', ')}\n`)
  return found
}

/** No fault; and enough of everything, met by enough of the rest, for that to mean something. */
function expectFresh({ faults, counts }: Findings, decisions: number): void {
  // Of every rule that is broken, the shortest case.
  const byRule = Map.groupBy(faults, (fault) => fault.split(':')[0])
  const shortest = [...byRule.values()].map((some) =>
    some.reduce((one, other) => (other.length < one.length ? other : one)),
  )
  expect(shortest).toEqual([])
  expect(counts.decisions).toBeGreaterThanOrEqual(decisions)
  expect(counts.overlapping).toBeGreaterThan(decisions * OVERLAPPING_MIN)
  for (const answer of ['yes', 'no', 'credentials'] as const) expect(counts[answer]).toBeGreaterThan(decisions / 20)
}

const NOBODY_TOLD = { isWhole: false, issued: null } as const

type Answer = Said & { readonly at?: string }
/** Whoever can read what an answer rests on. */
interface Words {
  readonly words: SealedWords
}

const whole = (reader: Words, answer: string, at: string): Answer => ({
  ...{ answer, at, basis: basisOfWord(reader, at) },
  ...{ isWhole: true, issued: null },
})

/** A replica within this process: everything that a Reeve has for itself, and the actions as the doors call them. */
class RollReplica implements Replica {
  readonly #roll: Roll
  readonly #issuing: Issuing
  readonly #run: () => Run
  readonly #founders: ReadonlyMap<Did, Did>

  constructor(db: Db, startMs: number, founders: ReadonlyMap<Did, Did>, run: () => Run) {
    const far = answeringLate(db)
    this.#roll = rollOn(far, startMs)
    this.#issuing = openIssuing(far)
    this.#run = run
    this.#founders = founders
  }

  #owner(community: Did): Did {
    return this.#founders.get(community) ?? community
  }

  async change(deed: RosterDeed): Promise<number | null> {
    const { by, method, input } = callOf(deed)
    const action: Method = METHODS[method]
    const actor = by === 'owner' ? this.#owner(communityOf(deed)) : by
    const call = keyed(actor, method, freshJti(), input)
    for (let attempt = 1; ; attempt++) {
      try {
        return (await action(this.#roll, actor, input as never, call)).revision
      } catch (error) {
        if (error instanceof Refusal) return null
        // Under the same key, the next try tells what became of this one.
        if (!(error instanceof Unavailable) || attempt === TRIES) throw error
      }
    }
  }

  async decide(question: RollQuestion, dice: Dice, atLeast: string | undefined): Promise<Answer | null> {
    try {
      if (question.asks === 'may' && question.action === 'read' && dice.below(4) > 0) return await this.#mint(question)
      return await this.#ask(question, atLeast)
    } catch (error) {
      if (error instanceof Refusal && error.code === 'NotFound') return { answer: 'gone', basis: [], ...NOBODY_TOLD }
      if (!(error instanceof Unavailable)) throw error
      return error.what === 'revision' ? { answer: 'behind', basis: [], ...NOBODY_TOLD } : null
    }
  }

  async #ask(question: RollQuestion, atLeast: string | undefined): Promise<Answer> {
    const roll = this.#roll
    const least = atLeast === undefined ? {} : { atLeast }
    if (question.asks === 'may') {
      const { space, did, action } = question
      const { allowed, at } = await memberCheck(roll, did, { space, did, action, ...least })
      return whole(this.#roll, allowed ? 'yes' : 'no', at)
    }
    if (question.asks === 'who') {
      const { space } = question
      const { members, at } = await memberResolve(roll, this.#owner(authorityOf(space)), {
        space,
        limit: 1000,
        ...least,
      })
      return whole(this.#roll, listOf(members.map(({ did, actions }) => lineOf(did, actions))), at)
    }
    const { community, did } = question
    const { spaces, at } = await memberReach(roll, this.#owner(community), { community, did, limit: 1000, ...least })
    return whole(this.#roll, listOf(spaces.map(({ uri, actions }) => lineOf(uri, actions))), at)
  }

  /** As the exchange does it, without what comes before and after. Null: the communities moved on at every try. */
  async #mint({ space: uri, did }: { space: SpaceUri; did: Did }): Promise<Answer | null> {
    const nowSec = this.#roll.clock.nowSec()
    const space = spaceOf(uri)
    for (let attempt = 0; attempt < 4; attempt++) {
      const read = await loadReadFacts(this.#roll, space, did)
      if (read.space !== 'live') return { answer: 'gone', basis: [], ...NOBODY_TOLD }
      const { basis } = read
      const verdict = mayRead(read.facts, { did, clientId: null })
      if (!verdict.ok) return { answer: 'no', basis, isWhole: true, issued: null }
      const jti = freshJti()
      const wroteAt = this.#run().now()
      this.#run().underWay.add(jti)
      const outcome = await this.#issuing
        .ask({
          grant: verdict.value,
          claims: [{ kind: 'delegation', id: claimId('delegation', did, jti), keepUntilSec: nowSec + 100 }],
          issuance: { jti, holder: 'holder', issuedAtSec: nowSec, expiresAtSec: nowSec + 600, basis },
          atMs: nowSec * 1000,
        })
        .finally(() => this.#run().underWay.delete(jti))
      if (outcome === 'issued') return { answer: 'yes', basis, isWhole: true, issued: { jti, wroteAt } }
      if (outcome !== 'moved') throw new Error('a claim that nobody else can have made')
    }
    return null
  }

  async look(underWay: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    const rows = this.#roll.db
      .selectFrom('issuance')
      .select('jti')
      .where('jti', 'in', [...underWay])
    return new Set((await rows.execute()).map(({ jti }) => jti))
  }
}

/**
 * A database at some distance: here and there an answer is a few milliseconds on its way, a list of names more often, and much
 * may happen meanwhile.
 */
function answeringLate(db: Db): Db {
  const dice = new Dice(SEED)
  const isNames = (row: unknown) => typeof row === 'object' && row !== null && Object.keys(row).join() === 'did'
  return db.withPlugin({
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      const isLong = isNames(result.rows[0])
      if (isLong || dice.below(8) === 0) await sleep(1 + dice.below(isLong ? 8 : 3))
      return result
    },
  })
}

/** Every fourth row takes some milliseconds to write, which is where a change could slip in between. */
const writeSlowly = async (db: Db): Promise<void> => {
  await sql`create function write_slowly() returns trigger language plpgsql as $$ begin
    if ascii(right(new.jti, 1)) % 4 = 0 then perform pg_sleep(0.004); end if;
    return new;
  end $$`.execute(db)
  await sql`create trigger write_slowly before insert on issuance for each row execute function write_slowly()`.execute(
    db,
  )
}

describe.runIf(hasPostgres)('two replicas in one process', () => {
  it('never decide on what is past, while both change what they decide on', { timeout: 1_200_000 }, async () => {
    const database = await openTestDatabase('postgres')
    const second = await openDatabase({
      ...{ url: database.url, dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock },
    })
    try {
      await writeSlowly(database.db)
      const startMs = systemClock.nowMs()
      const opening = rollOn(database.db, startMs)
      const [giver, taker] = [await openCommunity(opening), await openCommunity(opening)]
      const founders = new Map([giver, taker].map(({ did, founder }) => [did, founder]))
      const [people, guests] = [Array.from({ length: 5 }, freshDid), Array.from({ length: 6 }, freshDid)]
      const cast = new Cast(giver.did, taker.did, people, guests)
      const replicas = [database.db, second.db].map((db) => new RollReplica(db, startMs, founders, () => run))
      const run: Run = new Run(cast, replicas)
      await run.go(DECISIONS)
      const rows = await database.db.selectFrom('issuance').select(['jti', 'did', 'space', 'revision']).execute()
      expectFresh(findings('In one process', run, founders, rows), DECISIONS)
    } finally {
      await second.close()
      await database.close()
    }
  })
})

/** A replica behind its door. */
class ReeveReplica implements Replica {
  readonly #at: Pick<ReeveProcess, 'url' | 'serviceDid'>
  readonly #publicUrl: string
  readonly #people: ReadonlyMap<Did, Somebody>
  readonly #owner: Somebody
  readonly #reader: Words
  readonly #run: () => Run

  constructor(
    reeve: ReeveProcess,
    known: Words & {
      publicUrl: string
      serviceDid: string
      people: readonly Somebody[]
      owner: Somebody
      run: () => Run
    },
  ) {
    this.#reader = known
    this.#at = { url: reeve.url, serviceDid: known.serviceDid }
    this.#publicUrl = known.publicUrl
    this.#people = new Map(known.people.map((person) => [person.did, person]))
    this.#owner = known.owner
    this.#run = known.run
  }

  #person(did: Did): Somebody {
    return this.#people.get(did) ?? this.#owner
  }

  #call(by: Somebody, method: string, input: object, type: 'procedure' | 'query') {
    return callAs(by, { ...this.#at, nowSec: systemClock.nowSec() }, `community.reeve.${method}`, input, type)
  }

  async change(deed: RosterDeed): Promise<number | null> {
    const { by, method, input } = callOf(deed)
    const keyedInput = { ...input, idempotencyKey: freshJti() }
    for (let attempt = 1; ; attempt++) {
      const actor = by === 'owner' ? this.#owner : this.#person(by)
      const { status, body } = await this.#call(actor, method, keyedInput, 'procedure')
      if (status === 200) return body.revision
      if (status !== 429 && status < 500) return null
      if (attempt === TRIES) throw new Error(`no answer to a change: ${JSON.stringify(body)}`)
    }
  }

  decide(question: RollQuestion, dice: Dice, atLeast: string | undefined): Promise<Answer | null> {
    if (question.asks === 'may' && question.action === 'read' && dice.below(4) > 0)
      return this.#exchange(question, dice)
    return this.#ask(question, atLeast)
  }

  async #ask(question: RollQuestion, atLeast: string | undefined): Promise<Answer | null> {
    const { asks, ...about } = question
    const method = { may: 'member.check', who: 'member.resolve', where: 'member.reach' }[asks]
    const by = question.asks === 'may' ? this.#person(question.did) : this.#owner
    const input = { ...about, ...(atLeast === undefined ? {} : { atLeast }) }
    const { status, body } = await this.#call(by, method, input, 'query')
    if (status === 404) return { answer: 'gone', basis: [], ...NOBODY_TOLD }
    if (status !== 200) return null
    if (question.asks === 'may') return whole(this.#reader, body.allowed ? 'yes' : 'no', body.at)
    const entries: { did?: string; uri?: string; actions: string[] }[] = body.members ?? body.spaces
    return whole(
      this.#reader,
      listOf(entries.map(({ did, uri, actions }) => lineOf(did ?? uri ?? '', actions))),
      body.at,
    )
  }

  async #exchange({ space, did }: { space: SpaceUri; did: Did }, dice: Dice): Promise<Answer | null> {
    const world = { url: this.#publicUrl, clock: { ...systemClock, moveSec() {} } }
    const request = exchangeOf({ world, forum: space, bob: this.#person(did) }, { binding: dice.pick(BINDINGS) })
    const wroteAt = this.#run().now()
    const answer = await sendRaw(this.#at.url, request)
    if (answer.status === 200) {
      const { jti } = readCredential(answer).claims
      return { answer: 'yes', basis: [], isWhole: false, issued: { jti, wroteAt } }
    }
    const said = { UserNotAuthorized: 'no', SpaceDeleted: 'gone' }[String(answer.body.error)]
    return said === undefined ? null : { answer: said, basis: [], ...NOBODY_TOLD }
  }

  look = async (): Promise<ReadonlySet<string>> => new Set()
}

describe.runIf(hasPostgres)('two processes', () => {
  it('never answer by what is past, while both are asked and told', { timeout: 1_200_000 }, async () => {
    const plc = await startPlcServer()
    const dataDir = await mkdtemp(join(tmpdir(), 'reeve-replicas-'))
    const { url, drop } = await createOnServer()
    const about = { plcUrl: plc.url, dataDir, databaseUrl: url.reveal() }
    const home = await reevePlace(about)
    const publicUrl = home.environment['REEVE_PUBLIC_URL'] ?? ''
    const reeves = [await startReeve(home)]
    try {
      // Both answer for one address, as behind a balancer.
      reeves.push(await startReeve(await reevePlace({ ...about, environment: { REEVE_PUBLIC_URL: publicUrl } })))
      const serviceDid = reeves[0]?.serviceDid ?? ''
      const [owner, ...people] = await Promise.all(Array.from({ length: 7 }, () => makeSomebody(plc.url)))
      if (!owner) throw new Error('nobody came')
      const found = async (): Promise<Did> => {
        const input = { name: 'Gardeners', custody: { $type: 'community.reeve.community.mint#custodial' } }
        const at = { url: publicUrl, serviceDid, nowSec: systemClock.nowSec() }
        const { body } = await callAs(owner, at, 'community.reeve.community.mint', input)
        if (body.status !== 'active') throw new Error(`not founded: ${JSON.stringify(body)}`)
        return body.did
      }
      const [giver, taker] = [await found(), await found()]
      const dids = people.map(({ did }) => did)
      const cast = new Cast(giver, taker, dids.slice(0, 4), dids.slice(4))
      const database = await openDatabase({ url, dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock })
      const words = new SealedWords(await loadInstanceId(database.db, systemRandom, systemClock))
      const known = { publicUrl, serviceDid, people, owner, words, run: () => run }
      const run: Run = new Run(
        cast,
        reeves.map((reeve) => new ReeveReplica(reeve, known)),
      )
      await run.go(DECISIONS_BY_WIRE)
      const rows = await database.db.selectFrom('issuance').select(['jti', 'did', 'space', 'revision']).execute()
      await database.close()
      const founders = new Map([giver, taker].map((did) => [did, owner.did]))
      expectFresh(findings('Over the wire', run, founders, rows), DECISIONS_BY_WIRE)
    } finally {
      await Promise.all(reeves.map((reeve) => reeve.kill()))
      await drop()
      await plc.close()
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})
