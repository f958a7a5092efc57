/**
 * Who is knocking. A door says which proof it takes; here that proof becomes a name, and the actions behind never see a token.
 */
import type { IncomingMessage } from 'node:http'
import { parseBearer } from '../credential/delegation.ts'
import { type AppKeysOf, appKeyLookup } from '../identity/app-metadata.ts'
import { keyLookup, type ResolvedDocument } from '../identity/did-documents.ts'
import type { KeyOf } from '../identity/did-signature.ts'
import { serviceAuthKeepUntilSec, verifyServiceAuth } from '../identity/service-auth.ts'
import { type Did, SERVICE_FRAGMENT } from '../names.ts'
import type { WriterKeyOf } from '../notify/announced.ts'
import { claimId, claimOnce } from '../platform/once.ts'
import { Refusal } from '../refusals.ts'
import type { House } from './house.ts'
import type { DoorBucket, PersonBucket } from './rate-buckets.ts'
import { headerLines } from './request.ts'

/** One request, and the address that pays for it. */
export interface Knocking {
  readonly incoming: IncomingMessage
  readonly address: string
}

/** What a proven person pays at a door, beside what their address paid. */
const PERSON_BUCKET: Readonly<Record<DoorBucket, PersonBucket>> = {
  public: 'governancePerson',
  governance: 'governancePerson',
  founding: 'foundingPerson',
  exchange: 'exchangePerson',
  notify: 'writer',
  hook: 'authority',
  connect: 'governancePerson',
}

/**
 * The keys of DIDs for the judging of one request. A DID whose document is remembered costs its caller nothing; each that has to
 * be fetched costs a drop, or one address could have us ask thousands of hosts of its choice.
 */
export const keyOfFor = (house: House, address: string): KeyOf =>
  keyLookup(house.documents, 'atproto', () => house.buckets.take('resolution', address))

/** The keys of apps in the same way: whoever brings an app that nobody brought before pays for the asking. */
export const appKeysOfFor = (house: House, address: string): AppKeysOf =>
  appKeyLookup(house.apps, () => house.buckets.take('resolution', address))

/** The keys of those who write. A host announces for all of its people, so an address may bring many that nobody brought before. */
export const writerKeyOfFor = (house: House, address: string): WriterKeyOf => {
  const pay = () => house.buckets.take('writerResolution', address)
  return {
    keyOf: keyLookup(house.documents, 'atproto', pay),
    documentOf: (did) => house.documents.resolve(did, { beforeFetch: pay }),
  }
}

/**
 * The keys of accounts that were adopted here. Nobody pays for those: they are as many as the operator let in, and whoever sends what isn't
 * theirs has each looked up once in a while. A PDS asks for all of its accounts, and has people waiting.
 */
export const authorityKeyOf = (house: House): KeyOf => keyLookup(house.documents, 'atproto')

/** What a caller has us look up for them, which they pay for. @throws Refusal('RateLimitExceeded') */
export interface AtTheirExpense {
  readonly documentOf: (did: Did) => Promise<ResolvedDocument | null>
}

export const atTheirExpense = (house: House, address: string): AtTheirExpense => ({
  documentOf: (did) => house.documents.resolve(did, { beforeFetch: () => house.buckets.take('resolution', address) }),
})

/** Charges a person whose signature was seen to hold, and nobody else. @throws Refusal('RateLimitExceeded') */
export const chargePerson = (house: House, bucket: DoorBucket, did: Did): void =>
  house.buckets.take(PERSON_BUCKET[bucket], did)

/**
 * The person behind an atproto service auth token for exactly this method (0014 §Service auth). A PDS that forwards a call drops
 * the fragment from `aud`, so the bare DID is taken as well. Once the token is proven, the person is charged. For a procedure the
 * token is then spent: one token, one change; who is told to wait may come back with the same one.
 * @throws Refusal InvalidToken, MissingJwt, BadJwt…, JwtExpired, RateLimitExceeded, JwtReplayed
 */
export async function requireServiceAuth(
  house: House,
  { incoming, address }: Knocking,
  method: { readonly nsid: string; readonly isProcedure: boolean; readonly bucket: DoorBucket },
): Promise<Did> {
  const auth = await verifyServiceAuth({
    token: parseBearer(headerLines(incoming, 'authorization')),
    nowSec: house.clock.nowSec(),
    audiences: [house.serviceDid, `${house.serviceDid}${SERVICE_FRAGMENT}`],
    lxm: method.nsid,
    keyOf: keyOfFor(house, address),
  })
  chargePerson(house, method.bucket, auth.iss)
  if (method.isProcedure) {
    const claim = { id: claimId('service-auth', auth.iss, auth.jti), keepUntilSec: serviceAuthKeepUntilSec(auth) }
    const [isFirst] = await claimOnce(house.db, [claim])
    if (!isFirst) throw new Refusal('JwtReplayed', 'the token was used before')
  }
  return auth.iss
}

/** Charges somebody who was charged already what it cost beyond that. Never refuses. */
export const chargeMore = (house: House, bucket: DoorBucket, did: Did, drops: number): void =>
  house.buckets.owe(PERSON_BUCKET[bucket], did, drops)

/**
 * Verifies a token in the name of an account, which an address may get wrong a few times: each is a signature to verify. Whoever asks from
 * elsewhere, or in another name, doesn't notice. @throws as `verify`; Refusal('RateLimitExceeded')
 */
export async function unlessForged(
  house: House,
  address: string,
  iss: Did,
  verify: () => Promise<void>,
): Promise<void> {
  const who = `${address} ${iss}`
  house.buckets.require('forged', who)
  try {
    await verify()
  } catch (error) {
    if (error instanceof Refusal) house.buckets.owe('forged', who, 1)
    throw error
  }
}
