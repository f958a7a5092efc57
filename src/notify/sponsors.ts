/**
 * Whether those by whose access a registration lives may still read: judged before anything is sent, by the facts and the verdict of the
 * exchange, for all lanes of a space in one look. About whom a managing app let in, it is asked again.
 */
import { type AccessCtx, loadReadersFacts, mayRead, type Readers } from '../access/may-read.ts'
import { type Did, parseSpaceUri, type ServiceId, type SpaceUri } from '../names.ts'
import { type AccessFacts, appToAsk } from '../policy/decide.ts'
import { type Lane, loadSponsors, type Sponsor } from './lane-store.ts'
import { REGISTERED_MS } from './registerNotify.ts'
import type { SponsorWords } from './sponsor-words.ts'

export interface JudgingCtx extends AccessCtx {
  readonly sponsorWords: SponsorWords
}

/**
 * What is to become of a lane. `rests`: nobody reads there for now, or a managing app doesn't say who does, or the space has ended and its
 * lanes are not put down to be told of it yet; none of the sponsors is to blame, so nothing ends by it.
 */
export type Standing =
  | { readonly is: 'goes'; readonly checkedRevision: number; readonly checkedAtMs: number }
  | { readonly is: 'rests' }
  | { readonly is: 'ends' }

/** A judgement is good while the community stands still, but no longer than this: others whose spaces are nested there move on their own. */
const CHECKED_MS = 60_000
/** People in one look. */
const PEOPLE_MAX = 500
/** Lanes about whose sponsors a managing app is asked beside each other, and for how long one question after another is put to it. */
const ASKED_BESIDE = 4
const ASKING_MS = 2_000

/** Whether a lane has to be judged before it is told anything. What is said to the last time, that a space ended, everybody may hear. */
export function isToBeJudged(lane: Lane, nowMs: number): boolean {
  if (lane.endedAtMs !== null) return false
  const ageMs = nowMs - lane.checkedAtMs
  return lane.revision !== lane.checkedRevision || ageMs > CHECKED_MS || ageMs < 0
}

/**
 * Judges lanes of one space, by their ids. Who is judged by what is known here waits for no managing app: of each lane that one is asked
 * about, the standing comes when it has answered. @throws Unavailable
 */
export async function judgeLanes(
  ctx: JudgingCtx,
  space: SpaceUri,
  lanes: readonly Lane[],
): Promise<ReadonlyMap<number, Promise<Standing>>> {
  const name = parseSpaceUri(space)
  if (!name) throw new TypeError('a lane of what is no space')
  const nowMs = ctx.clock.nowMs()
  const sponsors = await loadSponsors(
    ctx.db,
    lanes.map(({ id }) => id),
  )
  const looks = new Map<Did, Readers>()
  const people = [...new Set([...sponsors.values()].flat().map(({ did }) => did))]
  // One look at least, also where nobody is left: while the space rests nothing ends.
  for (let at = 0; at === 0 || at < people.length; at += PEOPLE_MAX) {
    const some = people.slice(at, at + PEOPLE_MAX)
    const look = await loadReadersFacts(ctx, name, some)
    if (look.space !== 'live' || look.isFrozen)
      return new Map(lanes.map(({ id }) => [id, Promise.resolve({ is: 'rests' })]))
    for (const did of some) looks.set(did, look)
  }
  const standings = new Map<number, Promise<Standing>>()
  const undecided: Undecided[] = []
  for (const lane of lanes) {
    const found = standingOf(sponsors.get(lane.id) ?? [], looks, nowMs)
    if (found.is === 'undecided') undecided.push({ lane, asks: found.asks })
    else standings.set(lane.id, Promise.resolve(found))
  }
  return new Map([...standings, ...askedAbout(ctx, undecided)])
}

interface Undecided {
  readonly lane: Lane
  readonly asks: readonly Ask[]
}

/** A few lanes beside each other, and the next when those are through. */
function askedAbout(ctx: JudgingCtx, undecided: readonly Undecided[]): ReadonlyMap<number, Promise<Standing>> {
  const untilMs = ctx.clock.monotonicMs() + ASKING_MS
  const standings = new Map<number, Promise<Standing>>()
  let before: Promise<unknown> = Promise.resolve()
  for (let at = 0; at < undecided.length; at += ASKED_BESIDE) {
    const after = before
    const some = undecided.slice(at, at + ASKED_BESIDE)
    const asked = some.map((one) => after.then(() => standingByWord(ctx, one, untilMs)))
    for (const [nth, { lane }] of some.entries()) standings.set(lane.id, asked[nth] ?? Promise.resolve({ is: 'rests' }))
    before = Promise.all(asked)
  }
  // Each is awaited by its lane, and all of them fail together.
  for (const one of [before, ...standings.values()]) one.catch(() => {})
  return standings
}

/** A sponsor about whom this managing app decides. */
interface Ask {
  readonly sponsor: Sponsor
  readonly app: ServiceId
  readonly facts: AccessFacts
  readonly revision: number
}

type ByRoll = Standing | { readonly is: 'undecided'; readonly asks: readonly Ask[] }

/** One who may read is enough. */
function standingOf(sponsors: readonly Sponsor[], looks: ReadonlyMap<Did, Readers>, nowMs: number): ByRoll {
  const asks: Ask[] = []
  for (const sponsor of sponsors) {
    const look = looks.get(sponsor.did)
    if (look?.space !== 'live') continue
    const { revision } = look
    const facts = look.factsOf(sponsor.did)
    const verdict = mayRead(facts, sponsor)
    if (verdict.ok) return { is: 'goes', checkedRevision: revision, checkedAtMs: nowMs }
    const app = appToAsk(facts.readPolicy, verdict)
    if (app) asks.push({ sponsor, app, facts, revision })
  }
  return asks.length > 0 ? { is: 'undecided', asks } : { is: 'ends' }
}

/**
 * One whom the managing app lets in is enough, and the judgement is as old as its word. Who wasn't asked about in time is asked about when
 * the lane is looked at again.
 */
async function standingByWord(ctx: JudgingCtx, { lane, asks }: Undecided, untilMs: number): Promise<Standing> {
  const registeredAtMs = lane.expiresAtMs - REGISTERED_MS
  let isSilent = false
  for (const { sponsor, app, facts, revision } of asks) {
    const question = { app, space: facts.space, access: 'read', ...sponsor } as const
    const told = await ctx.sponsorWords.of(question, { mayAsk: ctx.clock.monotonicMs() < untilMs, registeredAtMs })
    if (!told) isSilent = true
    else if (mayRead(facts, sponsor, told.word).ok) {
      return { is: 'goes', checkedRevision: revision, checkedAtMs: told.atMs }
    }
  }
  return { is: isSilent ? 'rests' : 'ends' }
}
