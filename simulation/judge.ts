/** What of a simulated run may not be: the judge of the faults, asked about each community; and what still waits when trouble has long ended. */
import { sql } from 'kysely'
import { finalOf } from '../faults/final.ts'
import { judge, PROMISES } from '../faults/verdicts.ts'
import { authorityOf, type Did, type SpaceUri } from '../src/names.ts'
import type { Db } from '../src/platform/database.ts'
import type { Decision } from '../test/kit/history.ts'
import { historyOf } from '../test/kit/told-history.ts'
import type { Asking } from './asking.ts'
import type { Cast, Load, Town } from './load.ts'
import type { World } from './world.ts'

export const RULES = [...PROMISES, 'Live', 'Refused'] as const
export type Rule = (typeof RULES)[number]

export interface Judged {
  readonly faults: readonly string[]
  readonly looked: Readonly<Partial<Record<Rule, number>>>
}

export async function judged(world: World, asking: Asking, cast: Cast, load: Load): Promise<Judged> {
  const { db } = world.storage.bare()
  const looked = Object.fromEntries(RULES.map((rule) => [rule, 0])) as Record<Rule, number>
  const faults: string[] = []
  const towns = [cast.gardeners, cast.fishers, cast.meadow].filter((town) => town !== null)
  const named = (town: Town) => ({ did: town.community, founder: town.owners[0]?.did as Did })
  for (const town of towns) {
    const { community } = town
    const { founder } = named(town)
    const beside = town === cast.meadow ? [] : [cast.gardeners, cast.fishers].filter((one) => one !== town).map(named)
    const decisions = [...asking.decisions, ...(await stillLive(db, world))].filter(
      ({ question }) => 'space' in question && authorityOf(question.space) === community,
    )
    const { operations } = world.recorder
    // A row is one of the spaces of all; what is asked of one community is judged as its own.
    const own = operations.filter(
      (one) => !('space' in one) || one.op === 'exchange' || authorityOf(one.space) === community,
    )
    const final = await finalOf(db, community)
    const evidence = { community, founder, beside, decisions, operations: own, heard: [world.heard], final }
    const verdicts = judge(evidence)
    for (const promise of PROMISES) {
      looked[promise] += verdicts[promise].looked
      faults.push(
        ...verdicts[promise].faults.filter((fault) => !isByClock(world, fault)).map((fault) => `${promise}: ${fault}`),
      )
    }
  }
  faults.push(...shownAfterwards(world, asking).map((fault) => `Fresh: ${fault}`))
  const waits = await waiting(db, world)
  looked.Live += waits.looked
  faults.push(...waits.faults.map((fault) => `Live: ${fault}`))
  looked.Refused += load.enemy.tried
  faults.push(...load.enemy.won.map((won) => `Refused: ${won}`))
  for (const { body } of world.heard) {
    if (load.enemy.replayed.has(body?.repoRev)) faults.push(`Refused: replayed: the syncer was told of ${body.repoRev}`)
  }
  return { faults: [...new Set(faults)], looked }
}

/** Longer than a lane is a process's. */
const LEASE_MAX_MS = 15_000
/** As long as a credential lives. */
const LIFE_MS = 600_000

/**
 * Two processes whose clocks are further apart than a lane is held tell the same receiver beside each other, and it may hear what is older after what is
 * newer. That is a limit, and told as one in `docs/simulation.md`.
 */
const isByClock = ({ wrongMaxMs }: World, fault: string): boolean =>
  wrongMaxMs >= LEASE_MAX_MS && fault.startsWith('fall: receiver')

export const ruleOf = (fault: string): Rule | null => RULES.find((rule) => fault.startsWith(`${rule}: `)) ?? null

/**
 * Credentials that live and weren't taken back when everything has come to rest: whoever holds one may read.
 */
async function stillLive(db: Db, world: World): Promise<readonly Decision[]> {
  if (hasOutlived(world)) return []
  const { rows } = await sql<{ space: SpaceUri; did: Did }>`select distinct space, did from issuance
    where revoked_at_sec is null and expires_at_sec > ${world.clock.nowSec()} order by space, did`.execute(db)
  return rows.map(({ space, did }) => {
    const [began, ended] = [world.recorder.begin(), world.recorder.begin()]
    const question = { asks: 'may', space, did, action: 'read' } as const
    return { began, ended, question, answer: 'yes', basis: [], isWhole: false, atLeast: [], issued: null }
  })
}

/** Credentials that were taken at our own door after it was acknowledged that they were taken back. */
function shownAfterwards({ recorder }: World, { presented }: Asking): readonly string[] {
  const takenBack = new Map<string, number>()
  for (const one of recorder.operations) {
    if (one.op === 'takeBack' && one.says === 'ok' && one.found > 0)
      takenBack.set(one.jti, Math.min(one.ended, takenBack.get(one.jti) ?? one.ended))
  }
  return presented
    .filter(({ began, jti }) => (takenBack.get(jti) ?? Number.POSITIVE_INFINITY) < began)
    .map(({ jti }) => `taken back: ${jti} was shown afterwards, and taken`)
}

const WAITING = {
  'entries of the log that are not chained': sql`select count(*)::int as count from audit_entry where seq is null`,
  'standings that moved and were not looked at': sql`select count(*)::int as count from standing_moved`,
  'spaces of which not everybody was told': sql`select count(*)::int as count from writer_set where last_rev > told_rev`,
  'registrations that are behind': sql`select count(*)::int as count from registration join writer_set using (space)
    where ended_at_ms is null and delivered_rev < last_rev`,
  'credentials taken back that nobody planned to tell of': sql`select count(*)::int as count from issuance
    where revoked_at_sec is not null and hosts_plan is null`,
} as const

/** How much waits, in all. */
export async function countWaiting(db: Db, nowSec: number): Promise<readonly (readonly [string, number])[]> {
  const found: [string, number][] = []
  for (const [what, question] of Object.entries(WAITING)) {
    const { rows } = await (question as ReturnType<typeof sql<{ count: number }>>).execute(db)
    found.push([what, rows[0]?.count ?? 0])
  }
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from revocation_notice
    where state = 'due' and ends_at_sec > ${nowSec}`.execute(db)
  found.push(['notices of what was taken back', rows[0]?.count ?? 0])
  return found
}

async function waiting(db: Db, world: World): Promise<{ looked: number; faults: readonly string[] }> {
  const faults: string[] = []
  let looked = 0
  for (const [what, count] of await countWaiting(db, world.clock.nowSec())) {
    looked += 1
    if (count > 0) faults.push(`waits: ${count} ${what}`)
  }
  const { operations } = world.recorder
  const writers = await sql<{
    space: SpaceUri
    repo: string
    repoRev: string
  }>`select space, repo, repo_rev as "repoRev"
    from writer`.execute(db)
  for (const { space, repo, repoRev } of writers.rows) {
    // Who registers hears of what is written from then on.
    const registered = operations.find((one) => one.op === 'register' && one.says === 'ok' && one.space === space)
    const isSince = operations.some(
      (one) =>
        one.op === 'write' &&
        one.says === 'ok' &&
        one.space === space &&
        one.repo === repo &&
        registered &&
        one.began > registered.ended,
    )
    if (!isSince) continue
    looked += 1
    const newest = historyOf(world.heard, space).newest.get(repo)?.repoRev ?? 'nothing'
    if (newest !== repoRev)
      faults.push(`behind: the syncer has ${newest} of ${repo} in ${space}, which is at ${repoRev}`)
  }
  const heard = new Set(world.taken.map(({ host, space, jti }) => `${host} ${space} ${jti}`))
  const notices = await sql<{ host: string; space: string; jti: string }>`select host, space, jti from revocation_notice
    where state = 'told'`.execute(db)
  for (const { host, space, jti } of notices.rows) {
    looked += 1
    if (!heard.has(`${host} ${space} ${jti}`)) faults.push(`untold: ${host} never heard that ${jti} was taken back`)
  }
  if (hasOutlived(world)) return { looked, faults }
  const givenUp = await sql<{ host: string; jti: string }>`select host, jti from revocation_notice
    where state = 'ended' and ends_at_sec > ${world.clock.nowSec() + WORTH_SEC}`.execute(db)
  for (const { host, jti } of givenUp.rows) faults.push(`given up: nobody tells ${host} of ${jti}, which lives on`)
  return { looked, faults }
}

/**
 * Whether there was a clock by which every credential had ended: what ends isn't taken back any more, nor told of. That is a limit as well.
 */
const hasOutlived = ({ aheadMaxMs }: World): boolean => aheadMaxMs >= LIFE_MS

/** What ends sooner isn't worth a call. */
const WORTH_SEC = 5
