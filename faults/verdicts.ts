/**
 * What of a row's record and of what stands in its database afterwards may not be. Pure.
 *
 * - Durable: each acknowledged change is there, or was undone by a later one that was acknowledged.
 * - Fresh: nobody got a credential whose removal was acknowledged before they asked.
 * - Once: of each token at most one use succeeded.
 * - Monotone: space revisions rise strictly, and revisions of a repo never fall.
 * - Chain: the log holds, and says the changes in the order in which they were made, and each credential once.
 * - Named: whatever wasn't done was refused by a name, and never as a failure of ours.
 */
import { authorityOf, type Did, type SpaceUri } from '../src/names.ts'
import { type Change as Changed, checkHistory, type Decision, type History } from '../test/kit/history.ts'
import { historyOf } from '../test/kit/told-history.ts'
import { type Exchange, isAcknowledged, isUndecided, type Operation } from './record.ts'

export const PROMISES = ['Durable', 'Fresh', 'Once', 'Monotone', 'Chain', 'Named'] as const
export type Promised = (typeof PROMISES)[number]

/** One notification of a write, as its receiver took it. */
export interface Heard {
  readonly method: string
  // biome-ignore lint/suspicious/noExplicitAny: as it came
  readonly body: any
}

/** What stands in the database when everything is over: of rows of credentials, those of the community that it was asked about. */
export interface Final {
  readonly revision: number
  /** Who stands directly in which of the spaces, with which role. */
  readonly people: readonly { readonly space: SpaceUri; readonly did: Did; readonly role: string }[]
  readonly issuances: readonly {
    readonly jti: string
    readonly did: Did
    readonly space: SpaceUri
    readonly holder: string
    readonly revision: number
    readonly isTakenBack: boolean
  }[]
  readonly writers: readonly { readonly space: SpaceUri; readonly repo: Did; readonly repoRev: string }[]
  readonly services: readonly { readonly space: SpaceUri; readonly service: string }[]
  /** Whose registrations ended, as the log says, since they never answered at their first calls: on a machine that has too little, ours don't. */
  readonly unheard: readonly { readonly space: SpaceUri; readonly service: string }[]
  readonly chains: readonly { readonly community: string; readonly fault: string | null }[]
  /** The community's log in its order; what isn't chained yet comes last, without a place. */
  readonly entries: readonly {
    readonly seq: number | null
    readonly actor: string
    readonly action: string
    readonly subject: string | null
    readonly revision: number | null
    readonly jti: string | null
  }[]
}

export interface Evidence {
  readonly community: Did
  readonly founder: Did
  readonly operations: readonly Operation[]
  /** Other communities whose spaces are on its rosters, or its own on theirs: what they did is among the operations. */
  readonly beside?: readonly { readonly did: Did; readonly founder: Did }[]
  /** What was answered besides: questions of a PDS, credentials that were shown. */
  readonly decisions?: readonly Decision[]
  /** By receiver, in the order in which it was told. */
  readonly heard: readonly (readonly Heard[])[]
  readonly final: Final
}

export interface Verdict {
  /** How many things were held against it. */
  readonly looked: number
  readonly faults: readonly string[]
}

export type Verdicts = Readonly<Record<Promised, Verdict>>

export function judge(evidence: Evidence): Verdicts {
  const { faults } = checkHistory(historyFor(evidence))
  const ofRules = (rules: RegExp) => faults.filter((fault) => rules.test(fault))
  const durable = durableVerdict(evidence)
  const exchanges = exchangesOf(evidence)
  return {
    Durable: { ...durable, faults: [...ofRules(/^(?:replay|order|row):/), ...durable.faults] },
    Fresh: {
      looked: exchanges.length,
      faults: [...ofRules(/^(?:stale|falling|early|answer|whole|written|lost|atLeast|late)\b/), ...letIn(evidence)],
    },
    Once: onceVerdict(evidence),
    Monotone: monotoneVerdict(evidence),
    Chain: chainVerdict(evidence),
    Named: namedVerdict(evidence),
  }
}

const exchangesOf = ({ community, operations }: Pick<Evidence, 'community' | 'operations'>): readonly Exchange[] =>
  operations.filter((one) => one.op === 'exchange').filter(({ space }) => authorityOf(space) === community)

// ── Durable and Fresh: the community's history, told again ──

const NOT_IN = '400 UserNotAuthorized'

/** The record as the checker of histories reads it: changes by their revisions, credentials with that of their row. */
function historyFor(evidence: Evidence): History {
  const { community, founder, operations, beside = [], decisions: asked = [], final } = evidence
  const rows = new Map(final.issuances.map((row) => [row.jti, row]))
  const exchanged = exchangesOf(evidence).flatMap((one): Decision[] => {
    const { began, ended, space, did, issued, says } = one
    const about = { began, ended, question: { asks: 'may', space, did, action: 'read' } as const, atLeast: [] }
    if (says === NOT_IN) return [{ ...about, answer: 'no', basis: [], isWhole: false, issued: null }]
    const row = rows.get(issued ?? '')
    if (!isAcknowledged(one) || issued === null || !row) return []
    const basis = [{ community, revision: row.revision }]
    // A row names the revision of its own community; on which of the others it rests is left open.
    return [{ ...about, answer: 'yes', basis, isWhole: beside.length === 0, issued: { jti: issued, wroteAt: began } }]
  })
  const told = new Set(exchanged.flatMap(({ issued }) => (issued ? [issued.jti] : [])))
  const communities = [{ did: community, founder }, ...beside]
  return {
    communities,
    changes: communities.flatMap(({ did }) => changesOf({ community: did, operations })),
    decisions: [...exchanged, ...asked],
    looks: [],
    rows: final.issuances.filter(({ jti }) => told.has(jti)),
  }
}

function changesOf({ community, operations }: Pick<Evidence, 'community' | 'operations'>): readonly Changed[] {
  return operations.flatMap((one): Changed[] => {
    if (one.op !== 'change' && one.op !== 'takeBack' && one.op !== 'rest') return []
    const { began, ended, revision } = one
    if (one.community !== community || !isAcknowledged(one) || revision === null) return []
    if (one.op === 'change') return [{ began, ended, community, deed: one.deed, revision }]
    // To the roll both are the same: a revision at which nobody comes or goes.
    return one.op === 'takeBack' && one.found === 0
      ? []
      : [{ began, ended, community, deed: { does: 'takeBack', community }, revision }]
  })
}

/** What the last acknowledged word about each thing was, and whether that is how it stands. */
function durableVerdict({ community, operations, final }: Evidence): Verdict {
  const faults: string[] = []
  let looked = 0
  const expectThat = (isThere: boolean, says: string) => {
    looked += 1
    if (!isThere) faults.push(`lost: ${says}`)
  }
  const changes = changesOf({ community, operations }).toSorted((one, other) => one.revision - other.revision)
  const due = new Map<string, string | null>()
  for (const { deed } of changes) {
    if (deed.does === 'put') due.set(`${deed.space} ${deed.did}`, deed.role)
    if (deed.does === 'remove' || deed.does === 'leave') due.set(`${deed.space} ${deed.did}`, null)
  }
  const standing = new Map(final.people.map(({ space, did, role }) => [`${space} ${did}`, role]))
  for (const [who, role] of due) {
    const now = standing.get(who) ?? null
    expectThat(now === role, `${who} should be ${role ?? 'gone'}, and is ${now ?? 'gone'}`)
  }
  const last = changes.at(-1)?.revision ?? 1
  expectThat(final.revision === last, `the community is at ${final.revision}, and ${last} was answered last`)
  const rows = new Map(final.issuances.map((row) => [row.jti, row]))
  const writers = new Map(final.writers.map(({ space, repo, repoRev }) => [`${space} ${repo}`, repoRev]))
  const services = new Set([...final.services, ...final.unheard].map(({ space, service }) => `${space} ${service}`))
  for (const one of operations) {
    if (!isAcknowledged(one)) {
      const isLeft = (one.op === 'change' || one.op === 'takeBack') && isUndecided(one)
      if (isLeft) faults.push(`undecided: ${JSON.stringify(one)}`)
      continue
    }
    if (one.op === 'exchange' && authorityOf(one.space) === community)
      expectThat(rows.has(one.issued ?? ''), `the row of credential ${one.issued}`)
    if (one.op === 'takeBack' && one.community === community && one.found > 0)
      expectThat(rows.get(one.jti)?.isTakenBack === true, `that ${one.jti} was taken back`)
    if (one.op === 'write') {
      const { space, repo, repoRev } = one
      expectThat((writers.get(`${space} ${repo}`) ?? '') >= repoRev, `the write ${repoRev} of ${repo}`)
    }
    if (one.op === 'register')
      expectThat(services.has(`${one.space} ${one.service}`), `the registration of ${one.service}`)
  }
  return { looked, faults }
}

/**
 * The same by nothing but who was removed when: no row, and no revision, is believed. It finds less than the history does, and in another
 * way.
 */
function letIn({ community, operations }: Evidence): readonly string[] {
  const changes = changesOf({ community, operations })
  // Whoever comes through another space needs no entry there.
  const nested = new Set(changes.flatMap(({ deed }) => (deed.does === 'nest' ? [deed.space] : [])))
  const aboutWhom = Map.groupBy(changes, ({ deed }) => ('did' in deed ? deed.did : ''))
  return exchangesOf({ community, operations }).flatMap((mint) => {
    if (!isAcknowledged(mint) || nested.has(mint.space)) return []
    const ofPerson = (aboutWhom.get(mint.did) ?? []).filter(({ deed }) => 'space' in deed && deed.space === mint.space)
    const removals = ofPerson.filter(({ deed, ended }) => deed.does === 'remove' && ended < mint.began)
    const removed = removals.toSorted((one, other) => other.ended - one.ended)[0]
    if (!removed) return []
    const isBack = ofPerson.some(
      ({ deed, began, ended }) => deed.does === 'put' && began < mint.ended && ended > removed.began,
    )
    return isBack ? [] : [`removed: ${mint.did} was let in by ${mint.issued} after revision ${removed.revision}`]
  })
}

// ── Once ──

function onceVerdict(evidence: Evidence): Verdict {
  const faults: string[] = []
  const exchanges = exchangesOf(evidence)
  const tokens = Map.groupBy(exchanges, ({ token }) => token)
  for (const [token, uses] of tokens) {
    const good = uses.filter(isAcknowledged)
    if (good.length > 1) faults.push(`twice: token ${token} gave ${good.map(({ issued }) => issued).join(' and ')}`)
  }
  // Each token is asked with by a key of its own, so its rows are known also where no answer came back.
  const rows = Map.groupBy(evidence.final.issuances, ({ holder }) => holder)
  const asked = Map.groupBy(exchanges, ({ holder }) => holder)
  const spaces = new Set(exchanges.map(({ space }) => space))
  for (const [holder, found] of rows) {
    if (!found.some(({ space }) => spaces.has(space))) continue
    if (found.length > 1) faults.push(`twice: ${holder} has ${found.length} rows`)
    const uses = asked.get(holder) ?? []
    if (!uses.some((one) => isAcknowledged(one) || isUndecided(one)))
      faults.push(`refused: ${holder} has a row, and nobody was let in by it`)
  }
  return { looked: tokens.size, faults }
}

// ── Monotone ──

function monotoneVerdict({ heard, operations }: Evidence): Verdict {
  const faults: string[] = []
  const spaces = [...new Set(operations.flatMap((one) => (one.op === 'write' ? [one.space] : [])))]
  const meanings = new Map<string, string>()
  let looked = 0
  for (const [nth, told] of heard.entries()) {
    for (const space of spaces) {
      const { gaps, falls } = historyOf(fromTheFirst(told, space), space)
      if (gaps > 0) faults.push(`gap: receiver ${nth} missed ${gaps} of ${space}`)
      if (falls > 0) faults.push(`fall: receiver ${nth} was told ${falls} times of what was older`)
    }
    for (const { body } of told) {
      if (typeof body?.spaceRev !== 'string') continue
      looked += 1
      const place = `${body.space} ${body.spaceRev}`
      const meaning = meanings.get(place) ?? `${body.repo} ${body.repoRev}`
      if (meaning !== `${body.repo} ${body.repoRev}`)
        faults.push(`shared: ${place} is ${meaning} and ${body.repo} ${body.repoRev}`)
      meanings.set(place, meaning)
    }
  }
  return { looked, faults }
}

/** Who asks to be told later than the first write hears first of what came after it: before that nothing is missing. */
function fromTheFirst(told: readonly Heard[], space: SpaceUri): readonly Heard[] {
  const first = told.findIndex(({ body }) => body?.space === space && typeof body.spaceRev === 'string')
  return told.map((one, nth) => (nth === first ? { ...one, body: { ...one.body, prevSpaceRev: undefined } } : one))
}

// ── Chain ──

const CHAINED = new Map([
  ['put', 'member.put'],
  ['remove', 'member.remove'],
  ['leave', 'member.leave'],
  ['nest', 'member.put'],
  ['unnest', 'member.remove'],
  ['ban', 'member.ban'],
  ['unban', 'member.unban'],
  ['offer', 'federation.offer'],
  ['withdraw', 'federation.withdraw'],
  ['make', 'space.create'],
  ['takeBack', 'credential.revoke'],
])

const FREEZE = 'community.freeze'
const WAKE = 'community.unfreeze'

/** The chain holds; it has each change that was made, once, in order; and each credential, once. */
function chainVerdict(evidence: Evidence): Verdict {
  const { community, operations, final } = evidence
  const faults = final.chains.flatMap(({ community: of, fault }) => (fault === null ? [] : [`broken: ${of}: ${fault}`]))
  const { entries } = final
  // The first to be answered a revision made it; whoever found nothing to do was answered the same, and isn't in the log.
  const due = new Map<number, Set<string>>()
  for (const { deed, revision } of changesOf({ community, operations })) {
    const about = 'did' in deed ? deed.did : 'to' in deed ? deed.to : ''
    const line = `${CHAINED.get(deed.does)} ${about}`
    due.set(revision, (due.get(revision) ?? new Set()).add(line))
  }
  for (const one of operations) {
    if (one.op !== 'rest' || one.revision === null) continue
    due.set(one.revision, (due.get(one.revision) ?? new Set()).add(`${one.isFrozen ? FREEZE : WAKE} `))
  }
  const actions = new Set([...CHAINED.values(), FREEZE, WAKE])
  let before = 0
  const logged = new Set<number>()
  for (const { seq, actor, action, subject, revision } of entries) {
    // What the community itself takes back, because its people lost their access, changes no revision.
    if (!actions.has(action) || revision === null || actor === community) continue
    if (seq === null) faults.push(`unchained: ${action} of revision ${revision}`)
    if (logged.has(revision)) faults.push(`twice: revision ${revision} is in the log twice`)
    if (revision < before) faults.push(`order: ${action} of revision ${revision} comes after that of ${before}`)
    const line = `${action} ${subject ?? ''}`
    if (revision > 1 && !due.get(revision)?.has(line)) faults.push(`nobody's: ${line} at revision ${revision}`)
    logged.add(revision)
    before = Math.max(before, revision)
  }
  for (const revision of due.keys())
    if (revision > 1 && !logged.has(revision)) faults.push(`missing: revision ${revision} is not in the log`)
  const issued = Map.groupBy(
    entries.filter(({ action }) => action === 'credential.issue'),
    ({ jti }) => jti,
  )
  for (const { jti } of final.issuances) {
    const times = issued.get(jti)?.length ?? 0
    if (times !== 1) faults.push(`issue: ${jti} is in the log ${times} times`)
  }
  const rows = new Set(final.issuances.map(({ jti }) => jti))
  for (const jti of issued.keys()) if (!rows.has(jti ?? '')) faults.push(`issue: ${jti} has no row`)
  return { looked: entries.length, faults }
}

// ── Named ──

/** 500 is what nobody foresaw, and an answer without a name tells nobody anything. */
function namedVerdict({ operations }: Pick<Evidence, 'operations'>): Verdict {
  const isBad = (says: string) => /^500\b/.test(says) || /^[1-9]\d\d ?$/.test(says)
  const bad = operations.filter((one) => saidOf(one).some(isBad))
  return { looked: operations.length, faults: bad.map((one) => `unnamed: ${JSON.stringify(one)}`) }
}

/** Everything that was said about one thing, from the first time that it was asked for. */
const saidOf = (one: Operation): readonly string[] => ('earlier' in one ? [...one.earlier, one.says] : [one.says])

/** By what was said, how often; how many were acknowledged; and of how many nobody knew at first, or never. */
export function talliedOf(operations: readonly Operation[]) {
  const refused: Record<string, number> = {}
  let undecided = 0
  for (const one of operations) {
    const said = saidOf(one)
    for (const says of said) if (says !== 'ok') refused[says] = (refused[says] ?? 0) + 1
    if (said.some((says) => isUndecided({ says }))) undecided += 1
  }
  const acknowledged = operations.filter(isAcknowledged).length
  return { operations: operations.length, acknowledged, undecided, refused }
}
