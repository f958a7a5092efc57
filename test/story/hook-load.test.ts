/**
 * The PDS of an account asks on and on whom to let in, while who is in its spaces changes by the methods that admins call: people come and
 * go, are banned, role spaces are nested and taken out again, spaces rest and wake, the account takes back its consent. On PostgreSQL two
 * Reeves are asked and one of them is told.
 *
 * What happens is chance. Every question, change and answer is written down with its span, and `checkHistory` says what of it may not be:
 * a yes that began after the call which took it away had been answered, and a no likewise. How long the answers took is printed and not
 * judged, nor is how often a Reeve said that it was too busy to decide: a host takes that for a no, and nobody is told anything untrue. `HOOK_SECONDS` and `HOOK_PER_SECOND` say for how long and how much is asked.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { authorityOf, type Did, ROLE_SPACE_TYPE, rosterOf, type SpaceUri, spaceUriOf } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { type AskingHost, atRate, openAskingHost, pathOf, tokenFor } from '../kit/asking-often.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { callOf, communityOf, isResting } from '../kit/deeds.ts'
import { Dice } from '../kit/dice.ts'
import {
  type Change,
  checkHistory,
  type Decision,
  type Deed,
  type HookQuestion,
  hookDecision,
  type RosterDeed,
} from '../kit/history.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { FORUM, freshDid } from '../kit/roll.ts'
import { freshJti } from '../kit/tokens.ts'

const SECONDS = Number(process.env['HOOK_SECONDS'] ?? 6)
const PER_SECOND = Number(process.env['HOOK_PER_SECOND'] ?? 100)
const SEED = Number(process.env['HOOK_SEED'] ?? Number.parseInt(randomHex(systemRandom, 4), 16))
/** Each changes something, waits for the answer, and rests. */
const CHANGERS = 4
const REST_MS = 80
/** How often the account takes back its consent in a run: to give it is a founding, of which there may be few. */
const RELEASES = 2
const RELEASED_MS = 200
const IN_FLIGHT = 128
const TRIES = 5

/** Who there is, and what can happen to them. */
class Cast {
  readonly account: Did
  readonly giver: Did
  readonly owner: Did
  readonly #people: readonly Did[]
  /** Nobody ever puts these anywhere. */
  readonly #strangers = Array.from({ length: 3 }, freshDid)
  readonly forums: readonly SpaceUri[]
  readonly #roles: readonly SpaceUri[]
  /** Of the other community. */
  readonly #team: SpaceUri
  /** A name that is bound to nothing. */
  readonly #unbound: SpaceUri

  constructor(account: Did, giver: Did, owner: Did, people: readonly Did[]) {
    this.account = account
    this.giver = giver
    this.owner = owner
    this.#people = people
    this.forums = ['hall', 'board', 'cellar'].map((skey) => spaceUriOf(account, FORUM, skey).uri)
    this.#roles = ['helpers', 'crew'].map((skey) => spaceUriOf(account, ROLE_SPACE_TYPE, skey).uri)
    this.#team = spaceUriOf(giver, ROLE_SPACE_TYPE, 'team').uri
    this.#unbound = spaceUriOf(account, FORUM, 'elsewhere').uri
  }

  opening(owners: readonly Did[]): readonly RosterDeed[] {
    const [hall, board, cellar] = this.forums as [SpaceUri, SpaceUri, SpaceUri]
    const [helpers, crew] = this.#roles as [SpaceUri, SpaceUri]
    const team = this.#team
    return [
      ...owners.map((did) => ({ does: 'put', space: rosterOf(this.account).uri, did, role: 'owner' }) as const),
      ...[...this.forums, ...this.#roles, team].map((space) => ({ does: 'make', space }) as const),
      ...this.#people.map((did, at) => {
        const space = [hall, helpers, crew, team][at % 4] ?? hall
        return { does: 'put', space, did, role: 'member' } as const
      }),
      { does: 'nest', space: hall, from: helpers, role: 'writer', holding: null },
      { does: 'nest', space: helpers, from: crew, role: 'reader', holding: null },
      { does: 'nest', space: cellar, from: hall, role: 'reader', holding: 'write' },
      { does: 'offer', space: team, to: this.account },
      { does: 'nest', space: board, from: team, role: 'writer', holding: 'read' },
    ]
  }

  deed(dice: Dice): Deed {
    const did = dice.pick(this.#people)
    const forum = dice.pick(this.forums)
    const space = dice.pick([...this.forums, ...this.#roles, this.#team])
    const from = dice.pick([...this.#roles, ...this.forums, this.#team])
    const scope = dice.below(4) === 0 ? this.account : forum
    const isForeign = authorityOf(from) !== this.account
    const role = dice.pick(isForeign ? ['reader', 'writer'] : ['reader', 'writer', 'member'])
    const holding = dice.pick([null, null, 'read', 'write'] as const)
    const deeds = {
      put: { does: 'put', space, did, role: dice.pick(['reader', 'writer', 'member', 'moderator']) },
      remove: { does: 'remove', space, did },
      nest: { does: 'nest', space: forum, from, role, holding },
      unnest: { does: 'unnest', space: forum, from },
      ban: { does: 'ban', scope, did },
      unban: { does: 'unban', scope, did },
      freeze: { does: 'freeze', space },
      thaw: { does: 'thaw', space },
      offer: { does: 'offer', space: this.#team, to: this.account },
      withdraw: { does: 'withdraw', space: this.#team, to: this.account },
    } as const satisfies Record<string, Deed>
    const does = dice.weighed<keyof typeof deeds>([
      ...([
        [24, 'put'],
        [14, 'remove'],
        [12, 'nest'],
        [7, 'unnest'],
        [5, 'ban'],
        [9, 'unban'],
      ] as const),
      ...([
        [3, 'freeze'],
        [9, 'thaw'],
        [4, 'offer'],
        [2, 'withdraw'],
      ] as const),
    ])
    return deeds[does]
  }

  question(dice: Dice): HookQuestion {
    const isAboutNothing = dice.below(40) === 0
    const isAboutStranger = dice.below(20) === 0
    return {
      asks: 'hook',
      space: isAboutNothing ? this.#unbound : dice.pick(this.forums),
      did: dice.pick(isAboutStranger ? this.#strangers : this.#people),
      access: dice.pick(['read', 'write', null]),
    }
  }

  /** Every question there is about people and spaces. */
  everything(): readonly HookQuestion[] {
    return this.forums.flatMap((space) =>
      this.#people.flatMap((did) =>
        (['read', 'write', null] as const).map((access) => ({ asks: 'hook', space, did, access }) as const),
      ),
    )
  }
}

interface Stage {
  /** Whoever is asked; the first is told of changes as well. */
  readonly reeves: readonly ReeveProcess[]
  readonly hosts: readonly AskingHost[]
  readonly serviceDid: string
  readonly account: Somebody
  /** Each with an allowance of their own. */
  readonly owners: readonly Somebody[]
  readonly cast: Cast
}

/** A deed as the call of an owner, or of the account. */
function callsOf(deed: Deed, cast: Cast): { method: string; input: object; isByAccount: boolean } {
  if (isResting(deed)) {
    if ('space' in deed) {
      const input = { space: deed.space, isFrozen: deed.does === 'freeze' }
      return { method: 'community.freeze', input, isByAccount: false }
    }
    if (deed.does === 'release') return { method: 'community.release', input: {}, isByAccount: true }
    const input = { name: 'Gardeners', owner: cast.owner }
    return { method: 'community.adopt', input, isByAccount: true }
  }
  const { method, input } = callOf(deed)
  const isAtPds = deed.does === 'make' && cast.forums.includes(deed.space)
  return { method, input: isAtPds ? { ...input, host: 'pds' } : input, isByAccount: false }
}

/** Everything that was asked and told, and what came of it. */
class Run {
  readonly changes: Change[] = []
  readonly decisions: Decision[] = []
  readonly latenciesMs: number[] = []
  refused = 0
  /** Questions that nothing was decided about. */
  undecided = 0
  isOver = false
  readonly #stage: Stage
  #moment = 0

  constructor(stage: Stage) {
    this.#stage = stage
  }

  readonly #now = (): number => ++this.#moment

  async ask(process: number, question: HookQuestion): Promise<void> {
    const { hosts, account, serviceDid } = this.#stage
    const host = hosts[process % hosts.length]
    const { space, did, access } = question
    const path = pathOf({ space, user: did, access: access ?? undefined })
    const authorization = `Bearer ${tokenFor(account, serviceDid, systemClock.nowSec())}`
    const began = this.#now()
    const begunMs = performance.now()
    const answer = (await host?.ask({ path, authorization })) ?? 'lost'
    this.latenciesMs.push(performance.now() - begunMs)
    if (answer === 'undecided') this.undecided += 1
    else this.decisions.push(hookDecision(question, { began, ended: this.#now() }, answer))
  }

  /** Told under one key until there is an answer, so that nothing is done twice. */
  async change(by: number, deed: Deed): Promise<void> {
    const { reeves, account, owners, cast } = this.#stage
    const { method, input, isByAccount } = callsOf(deed, cast)
    const [reeve] = reeves
    const caller = isByAccount ? account : owners[by % owners.length]
    if (!reeve || !caller) throw new Error('nobody')
    const keyed = { ...input, idempotencyKey: freshJti() }
    const began = this.#now()
    for (let attempt = 1; ; attempt++) {
      const at = { url: reeve.url, serviceDid: this.#stage.serviceDid, nowSec: systemClock.nowSec() }
      const { status, headers, body } = await callAs(caller, at, `community.reeve.${method}`, keyed)
      if (status === 200) {
        const span = { began, ended: this.#now() }
        this.changes.push({ ...span, community: communityOf(deed), deed, revision: body.revision })
        return
      }
      if (status === 429) await sleep(Number(headers['retry-after'] ?? 1) * 1_000)
      else if (status < 500) {
        this.refused += 1
        return
      } else if (attempt === TRIES) throw new Error(`no answer to a change: ${JSON.stringify(body)}`)
    }
  }

  async keepChanging(by: number): Promise<void> {
    const dice = new Dice(SEED - by)
    while (!this.isOver) {
      await this.change(by, this.#stage.cast.deed(dice))
      await sleep(REST_MS)
    }
  }

  async releaseNowAndThen(): Promise<void> {
    const community = this.#stage.account.did
    for (let nth = 0; nth < RELEASES; nth++) {
      await sleep((SECONDS * 1_000) / (RELEASES + 1) - RELEASED_MS)
      await this.change(0, { does: 'release', community })
      await sleep(RELEASED_MS)
      await this.change(0, { does: 'consent', community })
    }
  }
}

async function found(reeve: ReeveProcess, caller: Somebody, method: string, input: object): Promise<Did> {
  const at = { ...reeve, nowSec: systemClock.nowSec() }
  const { status, body } = await callAs(caller, at, `community.reeve.community.${method}`, input)
  if (status !== 200 || body.status !== 'active') throw new Error(`${method}: ${status} ${JSON.stringify(body)}`)
  return body.did
}

/** A line of figures, for whoever reads the output. */
function tell(engine: string, run: Run, pace: { wallSec: number; latestMs: number }, counts: object): void {
  const sorted = run.latenciesMs.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(1)
  const perSec = ((SECONDS * PER_SECOND) / pace.wallSec).toFixed(0)
  process.stdout.write(
    `${engine}, seed ${SEED}: ${perSec} questions a second, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms, ` +
      `asked ${pace.latestMs.toFixed(0)} ms late at most; undecided ${run.undecided}, refused changes ${run.refused}, ` +
      `${Object.entries(counts)
        .map(([what, count]) => `${what} ${count}`)
        .join(', ')}\n`,
  )
}

describe.each(engines())('what a PDS is told while everything changes (%s)', (engine) => {
  it('was so at some moment between its question and the answer', { timeout: 180_000 + SECONDS * 2_000 }, async () => {
    const plc = await startPlcServer()
    const dataDir = await mkdtemp(join(tmpdir(), 'reeve-hook-'))
    const database = engine === 'postgres' ? await createOnServer() : null
    const about = { plcUrl: plc.url, dataDir, ...(database ? { databaseUrl: database.url.reveal() } : {}) }
    const environment = { REEVE_LOG_LEVEL: 'info' }
    const home = await reevePlace({ ...about, environment })
    const REEVE_PUBLIC_URL = home.environment['REEVE_PUBLIC_URL'] ?? ''
    const reeves = [await startReeve(home)]
    const troubles: string[] = []
    const hosts: AskingHost[] = []
    try {
      // Both answer for one address, as behind a balancer.
      if (database) {
        reeves.push(await startReeve(await reevePlace({ ...about, environment: { ...environment, REEVE_PUBLIC_URL } })))
      }
      const [reeve] = reeves as [ReeveProcess]
      const somebody = () => makeSomebody(plc.url)
      const account = await somebody()
      const owners = await Promise.all(Array.from({ length: CHANGERS }, somebody))
      const [owner] = owners as [Somebody, ...Somebody[]]
      const people = Array.from({ length: 12 }, freshDid)
      await found(reeve, account, 'adopt', { name: 'Gardeners', owner: owner.did })
      const custody = { $type: 'community.reeve.community.mint#custodial' }
      const giver = await found(reeve, owner, 'mint', { name: 'Readers', custody })
      const cast = new Cast(account.did, giver, owner.did, people)
      for (const { url } of reeves) hosts.push(openAskingHost(url, IN_FLIGHT, (says) => troubles.push(says)))
      const run = new Run({ reeves, hosts, serviceDid: reeve.serviceDid, account, owners, cast })
      for (const deed of cast.opening(owners.slice(1).map(({ did }) => did))) await run.change(0, deed)
      const opened = run.changes.length

      const changing = [...owners.map((_, by) => run.keepChanging(by)), run.releaseNowAndThen()]
      const dice = new Dice(SEED)
      const pace = await atRate({ perSec: PER_SECOND, seconds: SECONDS, most: IN_FLIGHT }, (at) =>
        run.ask(at, cast.question(dice)),
      )
      run.isOver = true
      await Promise.all(changing)
      const asked = run.decisions.length + run.undecided
      // And when all is quiet, every process answers as everything was left.
      for (const [process] of reeves.entries()) {
        for (const question of cast.everything()) await run.ask(process, question)
      }

      const communities = [account.did, giver].map((did) => ({ did, founder: owner.did }))
      const { changes, decisions } = run
      const { faults, counts } = checkHistory({ communities, changes, decisions, looks: [], rows: [] })
      tell(engine, run, pace, counts)
      expect(troubles.slice(0, 3)).toEqual([])
      expect(faults.slice(0, 3)).toEqual([])
      expect(asked).toBe(SECONDS * PER_SECOND)
      expect(changes.length).toBeGreaterThan(opened + SECONDS)
      for (const what of ['yes', 'no'] as const) expect(counts[what]).toBeGreaterThan(asked / 20)
      // How many changes fit beside the questions is a matter of the machine: a slow one has few, and one without any shows nothing.
      expect(counts.overlapping).toBeGreaterThan(asked / 100)
      for (const { output } of reeves) expect(output()).not.toMatch(/"event":"(failed|worker.failed)"/)
    } finally {
      await Promise.all(hosts.map((host) => host.close()))
      await Promise.all(reeves.map((one) => one.kill()))
      await database?.drop()
      await plc.close()
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})
