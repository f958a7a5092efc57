/**
 * The vault: the one window of the room that holds private keys. It lends signatures, each for a purpose it understands; it
 * never lends a key and never signs bytes that somebody hands it.
 *
 * A key is opened when it is first needed, kept alive as a key object for five minutes at most, and forgotten. So a key that
 * stops being active here is still signed with for up to that long in another process: whoever replaces a key must keep the
 * old one in the DID document meanwhile. A key service that is down stops cold keys only; warm ones go on.
 */
import { encode } from '@ipld/dag-cbor'
import { LRUCache } from 'lru-cache'
import type { Did } from '../names.ts'
import { toBase64Url, utf8 } from '../platform/bytes.ts'
import type { Clock } from '../platform/clock.ts'
import type { Db } from '../platform/database.ts'
import { type Curve, JWS_ALG } from '../platform/ecdsa.ts'
import { errorName, type Log } from '../platform/log.ts'
import type { Random } from '../platform/random.ts'
import type { Grant } from '../policy/decide.ts'
import { Unavailable } from '../refusals.ts'
import { assertionInput, type ClientAssertionUse, sealClientKey } from './client-assertion.ts'
import { type KeyPurpose, open, type Place, seal } from './envelope.ts'
import {
  FIRST_DEK_VERSION,
  type FoundedKeys,
  foundKeys,
  freshDek,
  type GenesisOperation,
  type PublicHalves,
} from './founding.ts'
import type { Kek } from './kek.ts'
import { importPrivateKey, type KeyPair, signCompact } from './private-keys.ts'
import { assertRenaming, type LaterOperation, type RenamingUse } from './renaming.ts'
import { type ServiceAuthUse, serviceAuthInput } from './service-auth.ts'
import {
  type HeldKey,
  listKeys,
  loadActiveKey,
  loadDek,
  type SealedKey,
  saveActiveKey,
  saveDek,
  type WrappedDek,
} from './store.ts'

/** Keys alive at once, and for how long each. */
export const LIVE_KEYS_MAX = 256
export const LIVE_KEY_MS = 5 * 60_000

/** No holder of the October generation takes a credential that lives longer (0016 §Space credential). */
export const CREDENTIAL_LIFETIME_MAX_SEC = 3600
const JTI = /^[0-9a-f]{32}$/

const CURVE_OF: Record<KeyPurpose, Curve> = { rotation: 'k256', atproto: 'p256', space: 'p256', client: 'p256' }

/** What of a credential isn't already said by the grant. */
export interface CredentialClaims {
  /** The holder's key: the thumbprint of a DPoP key, or the did:key that signs its requests. */
  readonly cnf: { readonly jkt: string } | { readonly kid: string }
  readonly iatSec: number
  readonly expSec: number
  /** 32 lower-case hexadecimal characters. */
  readonly jti: string
}

/** A purpose that the vault signs for. */
export interface SpaceCredentialUse {
  readonly kind: 'space-credential'
  readonly grant: Grant
  readonly claims: CredentialClaims
}

/** The place of something sealed that is no key of ours, as its row names it. */
export interface BlobPlace {
  readonly community: Did
  readonly purpose: 'oauth'
  /** The row: what is sealed for one opens in no other. */
  readonly name: string
}

/** What was sealed, and under which DEK of its community. */
export interface SealedBlob {
  readonly sealed: Uint8Array
  readonly dekVersion: number
}

export interface VaultDeps {
  readonly db: Db
  /** Wraps every new DEK, and opens those that it wrapped. */
  readonly kek: Kek
  /** KEKs from before: they open what they wrapped, and wrap nothing any more. */
  readonly previousKeks?: readonly Kek[]
  /** The random name of this database. */
  readonly instanceId: string
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly random: Random
  readonly log: Pick<Log, 'error'>
}

/** Opens the vault. Nothing is read before the first signature. */
export const openVault = (deps: VaultDeps): Vault => new Vault(deps)

export class Vault {
  readonly #deps: VaultDeps
  readonly #keks: ReadonlyMap<string, Kek>
  readonly #live: LRUCache<string, KeyPair>
  #loading = new Map<string, Promise<KeyPair>>()

  constructor(deps: VaultDeps) {
    this.#deps = deps
    this.#keks = new Map([...(deps.previousKeks ?? []), deps.kek].map((kek) => [kek.id, kek]))
    this.#live = new LRUCache({
      max: LIVE_KEYS_MAX,
      ttl: LIVE_KEY_MS,
      ttlResolution: 0,
      // The cache takes a start at zero for "never expires", and a monotonic clock may well begin there.
      perf: { now: () => deps.clock.monotonicMs() + 1 },
    })
  }

  /**
   * Makes the keys of a new community, lets `compose` write its first PLC operation around their public halves, signs that with
   * the rotation key and seals all three. `nameOf` says which DID the signed operation makes. Stores nothing and keeps nothing
   * alive: give `rows` to `saveFoundedKeys` in the transaction that keeps the operation.
   * @throws Refusal('PlcRank') when our rotation key isn't the last, or the operation names other signing keys than those made
   * @throws Unavailable('KekUnavailable')
   */
  prepareFounding<Op extends GenesisOperation>(
    compose: (keys: PublicHalves) => Op,
    nameOf: (signed: Op & { readonly sig: string }) => Did,
  ): Promise<FoundedKeys<Op>> {
    return foundKeys(this.#deps, compose, nameOf)
  }

  /**
   * A space credential for a granted read, as a compact JWS by the authority's active `#atproto_space` key.
   * Not to be called inside a transaction: a cold key is read from the database, and the embedded one has a single connection.
   * @throws Unavailable('KeyUnavailable') when there is no active key, or its envelope isn't what its row says
   * @throws Unavailable('KekUnavailable') when its DEK can't be unwrapped
   * @throws Error when the claims are none that we may ever sign, which is our own mistake
   */
  async sign(use: SpaceCredentialUse): Promise<string> {
    const { grant, claims } = use
    assertClaims(claims)
    const pair = await this.#liveKey(grant.space.authority, 'space')
    const header = { typ: 'atproto-space-credential+jwt', alg: JWS_ALG[pair.curve], kid: '#atproto_space' }
    const payload = {
      iss: grant.space.authority,
      sub: grant.space.uri,
      cnf: 'jkt' in claims.cnf ? { jkt: claims.cnf.jkt } : { kid: claims.cnf.kid },
      iat: claims.iatSec,
      exp: claims.expSec,
      jti: claims.jti,
    }
    const signingInput = `${toBase64Url(JSON.stringify(header))}.${toBase64Url(JSON.stringify(payload))}`
    return `${signingInput}.${toBase64Url(signCompact(pair, utf8(signingInput)))}`
  }

  /**
   * A service auth token in a community's name, by its active `#atproto` key. Not to be called inside a transaction, as `sign`.
   * @throws Unavailable as `sign`
   * @throws Error when it is for a method or a receiver that we may never sign for
   */
  async signServiceAuth(use: ServiceAuthUse): Promise<string> {
    const pair = await this.#liveKey(use.community, 'atproto')
    const signingInput = serviceAuthInput(use, JWS_ALG[pair.curve])
    return `${signingInput}.${toBase64Url(signCompact(pair, utf8(signingInput)))}`
  }

  /**
   * Signs an operation that gives a community's DID other names and changes nothing else of it, by its active rotation key. Not to
   * be called inside a transaction, as `sign`.
   * @throws Refusal('PlcRank') when it would change more, or our rotation key isn't the last
   * @throws Unavailable as `sign`
   */
  async signRenaming<Op extends LaterOperation>(use: RenamingUse<Op>): Promise<Op & { readonly sig: string }> {
    const pair = await this.#liveKey(use.community, 'rotation')
    assertRenaming(use, pair.didKey)
    return { ...use.operation, sig: toBase64Url(signCompact(pair, encode(use.operation))) }
  }

  /**
   * The public half of the key by which this service proves to a PDS which app it is; made when there is none yet, by whichever
   * process comes first. It is never replaced: a PDS takes no other key for the grants that were given under this one.
   * @throws Unavailable('KekUnavailable')
   */
  async clientKey(service: Did, nowMs: number): Promise<Pick<HeldKey, 'id' | 'didKey'>> {
    const held = await loadActiveKey(this.#deps.db, service, 'client')
    if (held) return { id: held.id, didKey: held.didKey }
    const dek = await this.#newestDek(service, nowMs)
    const { instanceId, random, db } = this.#deps
    const about = { instanceId, community: service, dekVersion: dek.dekVersion }
    const made = await this.#withDek(service, dek, (key) => sealClientKey(key, about, random))
    await saveActiveKey(db, service, { ...made, dekVersion: dek.dekVersion }, nowMs)
    const kept = await loadActiveKey(db, service, 'client')
    if (!kept) throw new Unavailable('KeyUnavailable', 'vault')
    return { id: kept.id, didKey: kept.didKey }
  }

  /**
   * Proof to an authorization server that the caller is this service (RFC 7523), by its active client key. Not to be called inside a
   * transaction, as `sign`.
   * @throws Unavailable as `sign`
   * @throws Error when it says something that we may never sign
   */
  async signClientAssertion(use: ClientAssertionUse): Promise<string> {
    const pair = await this.#liveKey(use.service, 'client')
    const signingInput = assertionInput(use, JWS_ALG[pair.curve])
    return `${signingInput}.${toBase64Url(signCompact(pair, utf8(signingInput)))}`
  }

  /**
   * Seals something that is no key of ours under the community's DEK, which is made when there is none yet. The caller wipes `plaintext`.
   * Not to be called inside a transaction, as `sign`. @throws Unavailable('KekUnavailable')
   */
  async sealBlob(place: BlobPlace, plaintext: Uint8Array, nowMs: number): Promise<SealedBlob> {
    const dek = await this.#newestDek(place.community, nowMs)
    const { dekVersion } = dek
    const sealed = await this.#withDek(place.community, dek, (key) =>
      wiping(key, () => seal(key, plaintext, this.#placeOf(place, dekVersion), this.#deps.random)),
    )
    return { sealed, dekVersion }
  }

  /**
   * What was sealed for this place. It is off the heap, and the caller wipes it. Not to be called inside a transaction, as `sign`.
   * @throws Unavailable('KekUnavailable'); Unavailable('KeyUnavailable') when it was sealed for another place, or isn't what it was
   */
  async openBlob(place: BlobPlace, { sealed, dekVersion }: SealedBlob): Promise<Uint8Array> {
    const dek = await loadDek(this.#deps.db, place.community, dekVersion)
    if (!dek) throw new Unavailable('KeyUnavailable', 'vault')
    const opened = await this.#withDek(place.community, dek, (key) =>
      wiping(key, () => open(key, sealed, this.#placeOf(place, dekVersion))),
    )
    if (opened) return opened
    this.#deps.log.error('envelope.mismatch', { community: place.community, keyId: place.name })
    throw new Unavailable('KeyUnavailable', 'vault')
  }

  #placeOf({ community, purpose, name }: BlobPlace, dekVersion: number): Place {
    return { instanceId: this.#deps.instanceId, community, purpose, keyId: name, dekVersion, publicKey: null }
  }

  /** The DEK to seal under. Two processes that both find none make one each, and the one that was kept first counts for both. */
  async #newestDek(community: Did, nowMs: number): Promise<WrappedDek> {
    const { db, kek, instanceId, random } = this.#deps
    const held = await loadDek(db, community, null)
    if (held) return held
    const dek = freshDek(random)
    const dekVersion = FIRST_DEK_VERSION
    let wrapped: Uint8Array
    try {
      wrapped = await wiping(dek, () => kek.wrap(dek, { instanceId, community, dekVersion }))
    } catch {
      throw new Unavailable('KekUnavailable', 'vault')
    }
    await saveDek(db, community, { dekVersion, wrapped, kekId: kek.id }, nowMs)
    const kept = await loadDek(db, community, null)
    if (!kept) throw new Unavailable('KeyUnavailable', 'vault')
    return kept
  }

  /**
   * Opens the key that would sign for this authority, so that a failure shows before a token is spent for it.
   * @throws Unavailable as `sign`
   */
  async ready(authority: Did): Promise<void> {
    await this.#liveKey(authority, 'space')
  }

  /** The public halves of a community's keys, with purpose and state. */
  publicKeys(community: Did): Promise<readonly HeldKey[]> {
    return listKeys(this.#deps.db, community)
  }

  /** Forgets every live key at once, also those that are just being opened. */
  drop(): void {
    this.#live.clear()
    this.#loading = new Map()
  }

  /** Forgets the keys whose time is over and whom nobody asked for since. For the roof to call now and then. */
  dropExpired(): void {
    this.#live.purgeStale()
  }

  /** The live key, or one flight to open it, however many wait. What was under way when `drop` was called isn't kept. */
  #liveKey(community: Did, purpose: KeyPurpose): Promise<KeyPair> {
    const name = `${purpose} ${community}`
    const live = this.#live.get(name)
    if (live) return Promise.resolve(live)
    const loading = this.#loading
    const underWay = loading.get(name)
    if (underWay) return underWay
    const flight = this.#load(community, purpose)
      .then((pair) => {
        if (loading === this.#loading) this.#live.set(name, pair)
        return pair
      })
      .finally(() => loading.delete(name))
    loading.set(name, flight)
    return flight
  }

  async #load(community: Did, purpose: KeyPurpose): Promise<KeyPair> {
    this.dropExpired()
    const row = await loadActiveKey(this.#deps.db, community, purpose)
    if (!row) throw new Unavailable('KeyUnavailable', 'vault')
    const about = { instanceId: this.#deps.instanceId, community, purpose }
    const pair = await this.#withDek(community, row, (dek) => openKey(dek, row, about))
    if (pair) return pair
    this.#deps.log.error('envelope.mismatch', { community, keyId: row.id })
    throw new Unavailable('KeyUnavailable', 'vault')
  }

  /** Lends the DEK of a row to `use`, which wipes it, and awaits nothing in between. */
  async #withDek<T>(community: Did, row: WrappedDek, use: (dek: Uint8Array) => T): Promise<T> {
    const { instanceId, log } = this.#deps
    const { dekVersion, kekId } = row
    const kek = this.#keks.get(kekId)
    if (!kek) {
      log.error('kek.unknown', { community, kekId })
      throw new Unavailable('KekUnavailable', 'vault')
    }
    let dek: Uint8Array | null = null
    let fault = 'refused'
    try {
      dek = await kek.unwrap(row.wrapped, { instanceId, community, dekVersion })
    } catch (error) {
      fault = errorName(error)
    }
    if (dek) return use(dek)
    log.error('kek.unwrapFailed', { community, kekId, dekVersion, fault })
    throw new Unavailable('KekUnavailable', 'vault')
  }
}

/**
 * The key pair that a row claims to hold, or null. The public half is computed from what came out and compared with the row:
 * AES-GCM doesn't commit to its key, and this does. Synchronous, so that nothing runs between opening and wiping.
 */
function openKey(
  dek: Uint8Array,
  row: SealedKey,
  about: { instanceId: string; community: Did; purpose: KeyPurpose },
): KeyPair | null {
  const place = { ...about, keyId: row.id, dekVersion: row.dekVersion, publicKey: row.didKey }
  let scalar: Uint8Array | null = null
  try {
    scalar = open(dek, row.sealed, place)
    const pair = scalar && importPrivateKey(CURVE_OF[about.purpose], scalar)
    return pair?.didKey === row.didKey ? pair : null
  } finally {
    dek.fill(0)
    scalar?.fill(0)
  }
}

/** What `use` comes to. The DEK is wiped when it returns: whatever it still awaits has taken in what it needs. */
function wiping<T>(dek: Uint8Array, use: () => T): T {
  try {
    return use()
  } finally {
    dek.fill(0)
  }
}

/** Whoever gets here with other claims has a bug: the caller sets them, no stranger does. */
function assertClaims(claims: CredentialClaims): void {
  const { iatSec, expSec, jti } = claims
  if (!Number.isSafeInteger(iatSec) || !Number.isSafeInteger(expSec)) throw new Error('a credential in broken seconds')
  const lifetimeSec = expSec - iatSec
  if (lifetimeSec <= 0 || lifetimeSec > CREDENTIAL_LIFETIME_MAX_SEC)
    throw new Error(`a credential of ${lifetimeSec} seconds`)
  if (!JTI.test(jti)) throw new Error('a credential whose jti is not 32 hexadecimal characters')
}
