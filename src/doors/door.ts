/**
 * What a door is, and the ways of knocking: with service auth, with a delegation token and a proof, with a credential of ours and a
 * proof, with a token about oneself, as the authority of a space elsewhere, or with nothing.
 */

import type { l } from '@atproto/lex-schema'
import type { Questioner } from '../access/checkUserAccess.ts'
import type { Holder } from '../access/holder.ts'
import { parseBearer } from '../credential/delegation.ts'
import type { Exchange, ExchangeCtx } from '../credential/getSpaceCredential.ts'
import { requireCredential } from '../credential/presented.ts'
import { parseServiceAuth } from '../identity/service-auth.ts'
import { type Did, managingAppOf, type SpaceUri } from '../names.ts'
import type { Announced } from '../notify/announced.ts'
import { type ProcedureCall, requestHashOf } from '../platform/idempotency.ts'
import { Refusal, type RefusalCode } from '../refusals.ts'
import {
  type AtTheirExpense,
  appKeysOfFor,
  atTheirExpense,
  authorityKeyOf,
  chargeMore,
  chargePerson,
  type Knocking,
  keyOfFor,
  requireServiceAuth,
  unlessForged,
  writerKeyOfFor,
} from './callers.ts'
import { type AnyMethod, type AnyProcedure, type AnyQuery, parseInput, parseParams, withBytes } from './contract.ts'
import type { House } from './house.ts'
import type { DoorBucket } from './rate-buckets.ts'
import { headerLines, readJsonBody, readQuery } from './request.ts'

export type Knock = 'serviceAuth' | 'delegation' | 'credential' | 'announcement' | 'authority' | 'anybody'

export interface Door {
  readonly method: AnyMethod
  readonly knock: Knock
  readonly bodyMaxBytes: number
  readonly bucket: DoorBucket
  /** Whether its answers hold bytes, which JSON has no word for. */
  readonly hasBytes?: boolean
  /** Judges the caller and the input, in this order, and has the action answer. */
  readonly enter: (house: House, knocking: Knocking, query: string) => Promise<unknown>
}

/**
 * Whether a door only shows what is stored, to those who govern or to anybody. All others change something, or let somebody in: also a
 * question that a PDS asks, and one by a credential, which may have been taken back since.
 */
export const isReading = ({ method, knock }: Pick<Door, 'method' | 'knock'>): boolean =>
  method.type === 'query' && (knock === 'serviceAuth' || knock === 'anybody')

type InputOf<M extends AnyProcedure> = l.InferMethodInputBody<M>
type ParamsOf<M extends AnyQuery> = l.InferMethodParams<M>
type OutputOf<M extends AnyMethod> = l.InferMethodOutputBody<M>

type Change<M extends AnyProcedure> = (
  house: House,
  caller: Did,
  input: InputOf<M>,
  call: ProcedureCall,
) => Promise<OutputOf<M>>

/** A change by somebody who proves who they are by service auth. The token is judged before the body is read. */
export const procedure = <M extends AnyProcedure>(
  method: M,
  bodyMaxBytes: number,
  bucket: DoorBucket,
  action: Change<M>,
  reading: { linesIn?: string } = {},
): Door => ({
  method,
  knock: 'serviceAuth',
  bodyMaxBytes,
  bucket,
  async enter(house, knocking, text) {
    const caller = await requireServiceAuth(house, knocking, { nsid: method.nsid, isProcedure: true, bucket })
    parseParams(method, readQuery(text))
    const body = await readJsonBody(knocking.incoming, bodyMaxBytes, reading)
    const input = parseInput(method, body) as InputOf<M>
    return action(house, caller, input, callOf(caller, method.nsid, body))
  },
})

/** The same with a text of several lines in `lines`. Everywhere else a line break is a way to forge a line of a log. */
export const procedureOfLines = <M extends AnyProcedure>(
  method: M,
  bodyMaxBytes: number,
  bucket: DoorBucket,
  action: Change<M>,
): Door => procedure(method, bodyMaxBytes, bucket, action, { linesIn: 'lines' })

/** A question by somebody who proves who they are by service auth. */
export const query = <M extends AnyQuery>(
  method: M,
  bucket: DoorBucket,
  action: (house: House, caller: Did, params: ParamsOf<M>) => Promise<OutputOf<M>>,
): Door => ({
  method,
  knock: 'serviceAuth',
  bodyMaxBytes: 0,
  bucket,
  async enter(house, knocking, text) {
    const caller = await requireServiceAuth(house, knocking, { nsid: method.nsid, isProcedure: false, bucket })
    return action(house, caller, parseParams(method, readQuery(text)) as ParamsOf<M>)
  },
})

/** A question that anybody may ask. */
export const open = <M extends AnyQuery>(
  method: M,
  bucket: DoorBucket,
  action: (house: House, params: ParamsOf<M>) => Promise<OutputOf<M>>,
): Door => ({
  method,
  knock: 'anybody',
  bodyMaxBytes: 0,
  bucket,
  enter: async (house, _knocking, text) => action(house, parseParams(method, readQuery(text)) as ParamsOf<M>),
})

/** The exchange: the raw header lines go in with the body, because the proofs are over exactly those. */
export const exchange = <M extends AnyProcedure>(
  method: M,
  bodyMaxBytes: number,
  bucket: DoorBucket,
  action: (ctx: ExchangeCtx, asked: Exchange, input: InputOf<M>) => Promise<OutputOf<M>>,
): Door => ({
  method,
  knock: 'delegation',
  bodyMaxBytes,
  bucket,
  async enter(house, { incoming, address }) {
    const body = await readJsonBody(incoming, bodyMaxBytes)
    const input = parseInput(method, body) as InputOf<M>
    const asked: Exchange = proofOf(house, incoming, method)
    const charged = {
      keyOf: keyOfFor(house, address),
      appKeysOf: appKeysOfFor(house, address),
      chargePerson: (did: Did) => chargePerson(house, bucket, did),
    }
    return action({ ...house, ...charged }, asked, input)
  },
})

/** A question by whoever holds a credential of ours. Who that is, is told by the ledger; the credential names nobody. */
export const presented = <M extends AnyQuery>(
  method: M,
  bucket: DoorBucket,
  action: (house: House, holder: Holder, params: ParamsOf<M>) => Promise<OutputOf<M>>,
): Door => ({
  method,
  knock: 'credential',
  bodyMaxBytes: 0,
  bucket,
  async enter(house, knocking, text) {
    const holder = await holderOf(house, knocking, method, bucket)
    return action(house, holder, parseParams(method, readQuery(text)) as ParamsOf<M>)
  },
})

/** The same, answered with bytes among the rest. */
export const presentedBytes = <M extends AnyQuery>(...door: Parameters<typeof presented<M>>): Door => ({
  ...presented(...door),
  hasBytes: true,
})

/** Something that whoever holds a credential asks us to do. The credential is judged before the body is read. */
export const presentedProcedure = <M extends AnyProcedure>(
  method: M,
  bodyMaxBytes: number,
  bucket: DoorBucket,
  action: (house: House, holder: Holder, input: InputOf<M>, asked: AtTheirExpense) => Promise<OutputOf<M>>,
): Door => ({
  method,
  knock: 'credential',
  bodyMaxBytes,
  bucket,
  async enter(house, knocking, text) {
    const holder = await holderOf(house, knocking, method, bucket)
    parseParams(method, readQuery(text))
    const input = parseInput(method, await readJsonBody(knocking.incoming, bodyMaxBytes)) as InputOf<M>
    return action(house, holder, input, atTheirExpense(house, knocking.address))
  },
})

const holderOf = (house: House, { incoming }: Knocking, method: AnyMethod, bucket: DoorBucket): Promise<Holder> =>
  requireCredential(
    { ...house, chargePerson: (did: Did) => chargePerson(house, bucket, did) },
    {
      ...proofOf(house, incoming, method),
      audience: headerLines(incoming, 'atproto-space-audience'),
      method: method.type === 'procedure' ? 'POST' : 'GET',
    },
  )

/** What a caller tells us about themself, signed by their own key: whom the token is meant for is judged by what the body is about. */
export const announced = <M extends AnyProcedure>(
  method: M,
  bodyMaxBytes: number,
  bucket: DoorBucket,
  action: (house: House, token: Announced, input: InputOf<M>) => Promise<OutputOf<M>>,
): Door => ({
  method,
  knock: 'announcement',
  bodyMaxBytes,
  bucket,
  async enter(house, { incoming, address }, text) {
    const token = parseServiceAuth(parseBearer(headerLines(incoming, 'authorization')), house.clock.nowSec())
    if (token.lxm !== method.nsid) throw new Refusal('BadJwtLexiconMethod', 'lxm names another method')
    parseParams(method, readQuery(text))
    const input = parseInput(method, withBytes(await readJsonBody(incoming, bodyMaxBytes))) as InputOf<M>
    const charge = () => chargePerson(house, bucket, token.iss)
    const chargeSpace = (space: SpaceUri) => house.buckets.take('spaceWrites', space)
    return action(house, { ...token, keyOf: writerKeyOfFor(house, address), charge, chargeSpace }, input)
  },
})

/**
 * A question by the host of a space, in the name of its authority. It is meant for us by our full identifier only: our bare DID is what
 * tokens for other things are for. One token may bring several questions, so it isn't spent.
 */
export const askedByHost = <M extends AnyQuery>(
  method: M,
  bucket: DoorBucket,
  action: (house: House, from: Questioner, params: ParamsOf<M>) => Promise<OutputOf<M>>,
): Door => ({
  method,
  knock: 'authority',
  bodyMaxBytes: 0,
  bucket,
  async enter(house, { incoming, address }, text) {
    const token = parseBearer(headerLines(incoming, 'authorization'))
    const auth = parseServiceAuth(token, house.clock.nowSec())
    if (auth.aud !== managingAppOf(house.serviceDid)) throw new Refusal('BadJwtAudience', 'aud names somebody else')
    if (auth.lxm !== method.nsid) throw new Refusal('BadJwtLexiconMethod', 'lxm names another method')
    const params = parseParams(method, readQuery(text)) as ParamsOf<M>
    const holds = () => house.verifiedTokens.verify(token, auth, authorityKeyOf(house))
    const verify = () => unlessForged(house, address, auth.iss, holds)
    const charge = () => chargePerson(house, bucket, auth.iss)
    const owe = (questions: number) => chargeMore(house, bucket, auth.iss, questions)
    return action(house, { iss: auth.iss, verify, charge, owe }, params)
  },
})

/** The raw lines that carry a token and its proof, and the public address of the method. */
const proofOf = (house: House, incoming: Knocking['incoming'], method: AnyMethod) => ({
  authorization: headerLines(incoming, 'authorization'),
  dpop: headerLines(incoming, 'dpop'),
  signatureInput: headerLines(incoming, 'signature-input'),
  signature: headerLines(incoming, 'signature'),
  url: `${house.publicUrl}/xrpc/${method.nsid}`,
})

function callOf(actor: Did, method: string, body: Record<string, unknown>): ProcedureCall {
  const { idempotencyKey: key, ...rest } = body
  const requestHash = requestHashOf(rest)
  return { requestHash, idempotency: typeof key === 'string' ? { actor, method, key, requestHash } : null }
}

/** Codes of a request's form: every way in may give them. */
export const FORM: readonly RefusalCode[] = ['InvalidRequest', 'RateLimitExceeded']
/** A procedure has a body, and spends its token. */
const OF_PROCEDURE: readonly RefusalCode[] = ['PayloadTooLarge', 'UnsupportedMediaType', 'JwtReplayed']
const TOKEN: readonly RefusalCode[] = [
  'InvalidToken',
  'MissingJwt',
  'BadJwt',
  'BadJwtType',
  'BadJwtIss',
  'BadJwtSignature',
  'JwtExpired',
]
const PROOF: readonly RefusalCode[] = [
  'MissingDpopProof',
  'BadDpopProof',
  'BadDpopProofSignature',
  'DpopProofExpired',
  'BadSpaceSignature',
]
const REFUSALS_OF_KNOCK: Readonly<Record<Knock, readonly RefusalCode[]>> = {
  anybody: [],
  serviceAuth: [...TOKEN, 'BadJwtAudience', 'BadJwtLexiconMethod'],
  announcement: [...TOKEN, 'BadJwtAudience', 'BadJwtLexiconMethod'],
  authority: [...TOKEN, 'BadJwtAudience', 'BadJwtLexiconMethod'],
  delegation: [...TOKEN, 'BadJwtAudience', 'BadJwtSub', ...PROOF],
  credential: [
    ...TOKEN,
    'BadJwtSub',
    'BadJwtCnf',
    ...PROOF,
    'DpopKeyMismatch',
    'CredentialRevoked',
    'BadSpaceAudience',
    'SpaceNotFound',
  ],
}

/** The codes that may leave a door: those of form and of its way of knocking, and those its lexicon names. */
export const refusalsOf = (door: Door): ReadonlySet<string> =>
  new Set([
    ...FORM,
    ...(door.method.type === 'procedure' ? OF_PROCEDURE : []),
    ...REFUSALS_OF_KNOCK[door.knock],
    ...(door.method.errors ?? []),
  ])
