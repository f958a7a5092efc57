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
import type { Did, DidKey } from '../names.ts'
import { toBase64Url, utf8 } from '../platform/bytes.ts'
import type { Clock } from '../platform/clock.ts'
import { type Curve, JWS_ALG } from '../platform/ecdsa.ts'
import { Secret } from '../platform/secret.ts'
import type { Sizes } from '../platform/sizes.ts'
import { Unavailable } from '../refusals.ts'
import { sealTo } from './age.ts'
import { type ArrivalStatement, makeArrival } from './arrival.ts'
import { type CeremonyStatement, encodeStatement, statementWords } from './ceremony-statements.ts'
import { assertionInput, type ClientAssertionUse, sealClientKey } from './client-assertion.ts'
import { type DekDeps, Deks, wiping } from './deks.ts'
import { type FoundedPurpose, type KeyPurpose, open, type Place, seal } from './envelope.ts'
import { exportText, type KeyExportUse } from './exporting.ts'
import { type FoundedKeys, foundKeys, type GenesisOperation, type PublicHalves } from './founding.ts'
import { importPrivateKey, type KeyPair, signCompact } from './private-keys.ts'
import { assertRekeying, CURVE_OF_FOUNDED, type KeyedOperation, makeSuccessors, type RekeyingUse } from './rekeying.ts'
import { assertRenaming, type LaterOperation, type RenamingUse } from './renaming.ts'
import { type ServiceAuthUse, serviceAuthInput } from './service-auth.ts'
import { assertClaims, credentialInput, type SpaceCredentialUse } from './space-credential.ts'
import { type HeldKey, type KeyUse, listKeys, loadActiveKey, loadDek, type SealedKey, saveActiveKey } from './store.ts'
import type { SuccessorRows } from './successor-store.ts'

/** Keys alive at once, and for how long each. */
export const LIVE_KEYS_MAX = 256
export const LIVE_KEY_MS = 5 * 60_000

const CURVE_OF: Record<KeyPurpose, Curve> = { ...CURVE_OF_FOUNDED, client: 'p256' }

/** The place of something sealed that is no key of ours, as its row names it. */
export interface BlobPlace {
  readonly community: Did
  readonly purpose: 'oauth' | 'ceremony'
  /** The row: what is sealed for one opens in no other. */
  readonly name: string
}

/** What was sealed, and under which DEK of its community. */
export interface SealedBlob {
  readonly sealed: Uint8Array
  readonly dekVersion: number
}

export interface VaultDeps extends DekDeps {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly sizes?: Sizes
}

/** A key pair alive here, and what it is for. */
type LiveKey = KeyPair & { readonly purpose: KeyPurpose }

/** Opens the vault. Nothing is read before the first signature. */
export const openVault = (deps: VaultDeps): Vault => new Vault(deps)

export class Vault {
  readonly #deps: VaultDeps
  readonly #deks: Deks
  readonly #live: LRUCache<string, LiveKey>
  #loading = new Map<string, Promise<LiveKey>>()
  /** Communities that are served elsewhere. */
  readonly #forgotten = new Set<Did>()

  constructor(deps: VaultDeps) {
    this.#deps = deps
    this.#deks = new Deks(deps)
    this.#live = new LRUCache({
      max: LIVE_KEYS_MAX,
      ttl: LIVE_KEY_MS,
      ttlResolution: 0,
      // The cache takes a start at zero for "never expires", and a monotonic clock may well begin there.
      perf: { now: () => deps.clock.monotonicMs() + 1 },
    })
    deps.sizes?.kept('live keys', LIVE_KEYS_MAX, () => this.#live.size)
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

  /** As `prepareFounding`, for a community that is still elsewhere: give `rows` to `saveArrivalKeys`. @throws Unavailable('KekUnavailable') */
  async prepareArrival<S extends ArrivalStatement>(community: Did, nowMs: number, compose: (keys: PublicHalves) => S) {
    const dek = await this.#deks.newest(community, nowMs)
    const place = { instanceId: this.#deps.instanceId, community, dekVersion: dek.dekVersion }
    return this.#deks.lend(community, dek, (key) => makeArrival(key, place, compose, this.#deps.random))
  }

  /**
   * A space credential for a granted read, as a compact JWS by the authority's active `#atproto_space` key; by its `#atproto` key while
   * the other is being replaced, since verifiers take either and know this one (0016 §Space credential).
   * Not to be called inside a transaction: a cold key is read from the database, and the embedded one has a single connection.
   * @throws Unavailable('KeyUnavailable') when there is no active key, or its envelope isn't what its row says
   * @throws Unavailable('KekUnavailable') when its DEK can't be unwrapped
   * @throws Error when the claims are none that we may ever sign, which is our own mistake
   */
  async sign(use: SpaceCredentialUse): Promise<string> {
    assertClaims(use.claims)
    const pair = await this.#liveKey(use.grant.space.authority, 'credential')
    const kid = pair.purpose === 'atproto' ? '#atproto' : '#atproto_space'
    const signingInput = credentialInput(use, { alg: JWS_ALG[pair.curve], kid })
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
   * Makes keys that are to take over from a community's keys of these purposes, each of the same curve. `freshDek`: seals them under a DEK
   * made for them, since somebody may have those that are there; nothing else is stored, and nothing kept alive: give `rows` to `saveSuccessors` in the transaction that notes what they are for. Not to be called inside a transaction.
   * @throws Unavailable('KekUnavailable')
   */
  async prepareSuccessors(
    community: Did,
    purposes: readonly FoundedPurpose[],
    nowMs: number,
    { freshDek }: { readonly freshDek: boolean },
  ): Promise<{ readonly keys: Partial<Record<FoundedPurpose, DidKey>>; readonly rows: Secret<SuccessorRows> }> {
    const dek = await (freshDek ? this.#deks.fresh(community, nowMs) : this.#deks.newest(community, nowMs))
    const { instanceId, random } = this.#deps
    const about = { instanceId, community, dekVersion: dek.dekVersion }
    const rows = await this.#deks.lend(community, dek, (key) =>
      wiping(key, () => makeSuccessors(key, purposes, about, random)),
    )
    const keys = Object.fromEntries(rows.keys.map(({ purpose, didKey }) => [purpose, didKey]))
    return { keys, rows: new Secret(rows) }
  }

  /**
   * Signs an operation that puts keys in the place of others and changes nothing else, by the community's active rotation key. Those of ours
   * that it names have to be held here, and pending. Not to be called inside a transaction, as `sign`.
   * @throws Refusal('PlcRank') when it would change more, or our rotation key isn't the last
   * @throws Unavailable as `sign`; KeyUnavailable when a key that takes over isn't held here
   */
  async signRekeying<Op extends KeyedOperation>(use: RekeyingUse<Op>): Promise<Op & { readonly sig: string }> {
    const held = await listKeys(this.#deps.db, use.community)
    for (const [purpose, didKey] of Object.entries(use.successors)) {
      const isHeld = held.some((key) => key.purpose === purpose && key.didKey === didKey && key.state === 'pending')
      if (!isHeld) throw new Unavailable('KeyUnavailable', 'vault')
    }
    const pair = await this.#liveKey(use.community, 'rotation')
    assertRekeying(use, pair.didKey)
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
    const dek = await this.#deks.newest(service, nowMs)
    const { instanceId, random, db } = this.#deps
    const about = { instanceId, community: service, dekVersion: dek.dekVersion }
    const made = await this.#deks.lend(service, dek, (key) => sealClientKey(key, about, random))
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
    const dek = await this.#deks.newest(place.community, nowMs)
    const { dekVersion } = dek
    const sealed = await this.#deks.lend(place.community, dek, (key) =>
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
    const opened = await this.#deks.lend(place.community, dek, (key) =>
      wiping(key, () => open(key, sealed, this.#placeOf(place, dekVersion))),
    )
    if (opened) return opened
    this.#deps.log.error('envelope.mismatch', { community: place.community, keyId: place.name })
    throw new Unavailable('KeyUnavailable', 'vault')
  }

  /**
   * The file by which a community's active rotation key goes out to its owners, in the age format. The key is opened for it alone and
   * isn't kept alive. Not to be called inside a transaction, as `sign`.
   * @throws Unavailable as `sign`, also when the key is not the active one any more
   */
  async sealExport({ community, keyId, recipients, document }: KeyExportUse): Promise<Uint8Array> {
    const row = await loadActiveKey(this.#deps.db, community, 'rotation')
    if (row?.id !== keyId) throw new Unavailable('KeyUnavailable', 'vault')
    const pair = await this.#open(community, 'rotation', row)
    const text = exportText(pair, document)
    try {
      return await sealTo(recipients, text)
    } finally {
      text.fill(0)
    }
  }

  /**
   * Signs what a ceremony says, by the community's space key, so that every keeper's own tool can tell it from an impostor's. Not to be called
   * inside a transaction, as `sign`. @throws Unavailable as `sign`
   */
  async signCeremony(statement: CeremonyStatement): Promise<string> {
    const pair = await this.#liveKey(statement.community, 'space')
    return toBase64Url(signCompact(pair, statementWords(encodeStatement(statement))))
  }

  #placeOf({ community, purpose, name }: BlobPlace, dekVersion: number): Place {
    return { instanceId: this.#deps.instanceId, community, purpose, keyId: name, dekVersion, publicKey: null }
  }

  /**
   * Opens the key that would sign for this authority, so that a failure shows before a token is spent for it.
   * @throws Unavailable as `sign`
   */
  async ready(authority: Did): Promise<void> {
    await this.#liveKey(authority, 'credential')
  }

  /** The public halves of a community's keys, with purpose and state. */
  publicKeys(community: Did): Promise<readonly HeldKey[]> {
    return listKeys(this.#deps.db, community)
  }

  /** Lets go of the live keys of one community, also of those that are just being opened: others have taken their place. */
  letGo(community: Did): void {
    for (const use of ['credential', 'space', 'atproto', 'rotation'] as const) {
      const name = `${use} ${community}`
      this.#live.delete(name)
      this.#loading.delete(name)
    }
  }

  /** Forgets every live key at once, also those that are just being opened. */
  drop(): void {
    this.#live.clear()
    this.#loading = new Map()
  }

  /** Forgets the live keys of a community that is served elsewhere, and opens none of them until it is recalled. */
  forget(community: Did): void {
    this.#forgotten.add(community)
    this.letGo(community)
  }

  /** Takes back that a community was forgotten. */
  recall(community: Did): void {
    this.#forgotten.delete(community)
  }

  /** Forgets the keys whose time is over and whom nobody asked for since. For the roof to call now and then. */
  dropExpired(): void {
    this.#live.purgeStale()
  }

  /** The live key, or one flight to open it, however many wait. What was under way when `drop` was called isn't kept. */
  #liveKey(community: Did, use: KeyUse): Promise<LiveKey> {
    if (this.#forgotten.has(community)) return Promise.reject(new Unavailable('KeyUnavailable', 'vault'))
    const name = `${use} ${community}`
    const live = this.#live.get(name)
    if (live) return Promise.resolve(live)
    const loading = this.#loading
    const underWay = loading.get(name)
    if (underWay) return underWay
    const flight = this.#load(community, use)
      .then((pair) => {
        if (loading === this.#loading && loading.get(name) === flight) this.#live.set(name, pair)
        return pair
      })
      .finally(() => {
        if (loading.get(name) === flight) loading.delete(name)
      })
    loading.set(name, flight)
    return flight
  }

  async #load(community: Did, use: KeyUse): Promise<LiveKey> {
    this.dropExpired()
    const row = await loadActiveKey(this.#deps.db, community, use)
    if (!row) throw new Unavailable('KeyUnavailable', 'vault')
    return this.#open(community, row.purpose, row)
  }

  async #open(community: Did, purpose: KeyPurpose, row: SealedKey): Promise<LiveKey> {
    const about = { instanceId: this.#deps.instanceId, community, purpose }
    const pair = await this.#deks.lend(community, row, (dek) => openKey(dek, row, about))
    if (pair) return { ...pair, purpose }
    this.#deps.log.error('envelope.mismatch', { community, keyId: row.id })
    throw new Unavailable('KeyUnavailable', 'vault')
  }
}

/**
 * The key pair that a row claims to hold, or null. The public half is computed from what came out and compared with the row:
 * AES-GCM doesn't commit to its key, and this does. Synchronous, so that nothing runs between opening and wiping.
 */
export function openKey(
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
