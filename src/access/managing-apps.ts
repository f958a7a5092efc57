/**
 * Asks the managing app of a space whether it lets somebody in (0016 §Managing app): the one question about a person that is put to
 * another service.
 *
 * It is asked about those only whom nothing else lets in or keeps out, so `policy/` says when. A yes is a yes and a no is a no; all else,
 * whatever went wrong and on whose side, lets nobody in, refuses nobody, and is told by a name of its own. No answer is remembered. A service that
 * is slow keeps those waiting who ask it, two seconds at most, and nobody of another community.
 */

import { LRUCache } from 'lru-cache'
import type { DidDocuments } from '../identity/did-documents.ts'
import { serviceOriginOf } from '../identity/service-endpoint.ts'
import type { Vault } from '../keys/vault.ts'
import { type ClientId, type Did, parseServiceId, type ServiceId, type SpaceName } from '../names.ts'
import { fromUtf8 } from '../platform/bytes.ts'
import { type Clock, patience, unlessAborted } from '../platform/clock.ts'
import { openFairTurns } from '../platform/fair-turns.ts'
import { JSON_MAX_DEPTH } from '../platform/limits.ts'
import type { Log } from '../platform/log.ts'
import { type Outbound, type OutboundAnswer, OutboundFailure } from '../platform/outbound.ts'
import { type Random, randomHex } from '../platform/random.ts'
import type { Sizes } from '../platform/sizes.ts'
import { parseStrictJson } from '../platform/strict-json.ts'
import type { Word } from '../policy/decide.ts'
import { Unavailable, type UnavailableCode } from '../refusals.ts'

/** May this person do this in this space? */
export interface Question {
  readonly app: ServiceId
  readonly space: SpaceName
  readonly did: Did
  readonly access: 'read' | 'write'
  /** The app that proved which one it is, and no other. */
  readonly clientId: ClientId | null
}

export interface ManagingApps {
  /**
   * What the managing app says. Whoever asks the same while it is being asked has the answer that comes.
   * @throws Unavailable UpstreamTimeout or UpstreamFailure when it says neither yes nor no, in whichever way; NotEnoughResources when too
   * many ask in this community; or as the vault
   */
  ask(question: Question): Promise<Word>
}

export interface ManagingAppsCtx {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly vault: Pick<Vault, 'signServiceAuth'>
  readonly documents: Pick<DidDocuments, 'resolve'>
  readonly outbound: Pick<Outbound, 'request'>
  readonly sizes?: Sizes
}

const METHOD = 'com.atproto.simplespace.checkUserAccess'
/** From the question to the last byte of the answer, the wait for a turn and the look for its address included: somebody waits. */
const ANSWER_MS = 2_000
/** With less time than this nothing is asked any more: the answer would find nobody. */
const WORTH_MS = 50
const ANSWER_MAX_BYTES = 4 * 1024
const MEDIA_TYPE = 'application/json'
const OK = 200
/** Questions at once: of one community, and of all. None has more than it leaves free, so that whoever comes next finds a place. */
const OF_COMMUNITY = 16
export const ASKED_AT_ONCE = 128
/** More than this wait for longer than they may. */
const WAITING_MAX = 1_024
const WAITING_OF_COMMUNITY = 256
/** How often the log says that an app of a community fails, and of how many it knows when it was said. */
const TOLD_PAUSE_MS = 60_000
const TOLD_MAX = 1_000

/** What a credential, once given by a managing app's word, is judged by as long as it lives. */
export const wordKept = (managedBy: ServiceId | null): Word | null =>
  managedBy === null ? null : { by: managedBy, authorized: true }

/** What a question is known by: two of one name are the same. */
export const nameOf = ({ app, space, did, access, clientId }: Question): string =>
  JSON.stringify([app, space.uri, did, access, clientId])

/** Why there is no answer. `because` is a word of ours: never an address, never what a stranger wrote. */
interface Fault {
  readonly code: UnavailableCode
  readonly because: string
}

const failed = (because: string): Fault => ({ code: 'UpstreamFailure', because })

/** Opens it. Nobody is asked before somebody wants to know. */
export function openManagingApps(ctx: ManagingAppsCtx): ManagingApps {
  const limits = {
    ...{ atOnce: ASKED_AT_ONCE, ofOne: OF_COMMUNITY },
    ...{ waitingOfOne: WAITING_OF_COMMUNITY, waitingMax: WAITING_MAX },
  }
  const turns = openFairTurns(limits, ctx.sizes?.line('questions to managing apps'))
  const toldAtMs = new LRUCache<string, number>({ max: TOLD_MAX })
  ctx.sizes?.kept('managing apps that failed', TOLD_MAX, () => toldAtMs.size)
  const flights = new Map<string, Promise<Word>>()

  function tell({ app, space }: Question, because: string): void {
    const community = space.authority
    const nowMs = ctx.clock.monotonicMs()
    const lastMs = toldAtMs.get(`${community} ${app}`)
    if (lastMs !== undefined && nowMs - lastMs < TOLD_PAUSE_MS) return
    toldAtMs.set(`${community} ${app}`, nowMs)
    ctx.log.warn('managingApp.failed', { community, app, because })
  }

  async function inTurn(community: Did, signal: AbortSignal, work: () => Promise<boolean | Fault>) {
    let end: () => void
    try {
      end = await turns.take(community, signal)
    } catch {
      return signal.aborted ? LATE : CROWDED
    }
    return work().finally(end)
  }

  async function askOnce(question: Question): Promise<Word> {
    const signal = patience(ANSWER_MS)
    const untilMs = ctx.clock.monotonicMs() + ANSWER_MS
    const said = await inTurn(question.space.authority, signal, () => hear(ctx, question, { signal, untilMs }))
    if (typeof said === 'boolean') return { by: question.app, authorized: said }
    tell(question, said.because)
    throw new Unavailable(said.code, 'managing-app')
  }

  return {
    ask(question) {
      const name = nameOf(question)
      const underWay = flights.get(name)
      if (underWay) return underWay
      const flight = askOnce(question).finally(() => flights.delete(name))
      flights.set(name, flight)
      return flight
    },
  }
}

const LATE: Fault = { code: 'UpstreamTimeout', because: 'time limit' }
const CROWDED: Fault = { code: 'NotEnoughResources', because: 'too many ask' }

/** One question, answered or not. @throws Unavailable as the vault: our own trouble */
async function hear(
  ctx: ManagingAppsCtx,
  question: Question,
  { signal, untilMs }: { readonly signal: AbortSignal; readonly untilMs: number },
): Promise<boolean | Fault> {
  try {
    return await unlessAborted(call(ctx, question, untilMs), signal)
  } catch (error) {
    if (signal.aborted) return LATE
    if (!(error instanceof OutboundFailure)) throw error
    return error.kind === 'timeout' ? LATE : failed(error.because)
  }
}

async function call(ctx: ManagingAppsCtx, question: Question, untilMs: number): Promise<boolean | Fault> {
  const leftMs = () => Math.ceil(untilMs - ctx.clock.monotonicMs())
  if (leftMs() < WORTH_MS) return LATE
  const origin = await originOf(ctx, question.app)
  if (typeof origin !== 'string') return origin
  const token = await tokenFor(ctx, question)
  if (leftMs() < WORTH_MS) return LATE
  const answer = await ctx.outbound.request({
    method: 'GET',
    url: `${origin}/xrpc/${METHOD}?${paramsOf(question)}`,
    headers: { authorization: `Bearer ${token}`, accept: MEDIA_TYPE },
    maxBytes: ANSWER_MAX_BYTES,
    timeoutMs: leftMs(),
    contentTypes: [MEDIA_TYPE],
  })
  return saidBy(answer)
}

/** Where the app is called now. A place that may not be called is for the outbound door to refuse. */
async function originOf({ documents }: ManagingAppsCtx, app: ServiceId): Promise<string | Fault> {
  const id = parseServiceId(app)
  if (!id) throw new TypeError('a managing app that is no service')
  try {
    const document = await documents.resolve(id.did)
    const origin = document && serviceOriginOf(document, id.fragment)
    return origin ?? failed(document ? 'no such service' : 'no such DID')
  } catch (error) {
    if (error instanceof Unavailable) return { code: error.code, because: error.what }
    throw error
  }
}

function paramsOf({ space, did, access, clientId }: Question): URLSearchParams {
  const params = new URLSearchParams({ space: space.uri, user: did, access })
  if (clientId !== null) params.set('clientId', clientId)
  return params
}

const tokenFor = ({ vault, clock, random }: ManagingAppsCtx, { app, space }: Question): Promise<string> =>
  vault.signServiceAuth({
    kind: 'service-auth',
    community: space.authority,
    aud: app,
    lxm: METHOD,
    iatSec: clock.nowSec(),
    jti: randomHex(random, 16),
  })

/** Only a well-formed answer says anything: whoever is in front of the app may refuse us too, and knows nothing of the person. */
function saidBy({ status, body }: OutboundAnswer): boolean | Fault {
  if (status !== OK) return failed(`status ${status}`)
  const text = fromUtf8(body)
  const said = text === null ? null : parseStrictJson(text, { maxDepth: JSON_MAX_DEPTH })?.['authorized']
  return typeof said === 'boolean' ? said : failed('answer')
}
