/**
 * Another key-encryption key under the same house: every DEK is opened with the KEK from before and wrapped again by the new one.
 *
 * The id of the KEK stands in the wrap's own data only, so nothing that is sealed under a DEK is touched, and no key changes. A DEK that
 * were lost on the way would take a community's keys with it. So a new wrap takes the place of the old one only after it was opened
 * again, one row in a transaction; and nobody is told that the old KEK can go before everything was opened without it.
 *
 * Whoever has copied the database *and* the KEK is not shut out by this: they have the keys themselves.
 */
import type { Did } from '../names.ts'
import { sha256 } from '../platform/bytes.ts'
import type { Db } from '../platform/database.ts'
import type { Random } from '../platform/random.ts'
import { type DekPlace, open, SYMMETRIC_KEY_BYTES } from './envelope.ts'
import { freshDek } from './founding.ts'
import type { Kek } from './kek.ts'
import { type DekRow, listDeksOf, listKeyRows, replaceWrap } from './rewrap-store.ts'
import { loadDek, type WrappedDek } from './store.ts'
import { type BlobPlace, openKey, type SealedBlob } from './vault.ts'

export interface RewrapDeps {
  readonly db: Db
  /** The KEK that wraps from now on. */
  readonly kek: Kek
  /** The random name of this database. */
  readonly instanceId: string
}

/** Something sealed that is no key of ours, as the room that keeps it hands it over to be looked at. */
export interface SealedThing {
  readonly place: BlobPlace
  readonly blob: SealedBlob
}

/** What could not be opened: whose it is, and which. */
export interface Unopened {
  readonly community: Did
  readonly what: string
}

/** What was opened with the new KEK alone, and what was not. */
export interface Verified {
  readonly deks: number
  readonly keys: number
  readonly blobs: number
  readonly unopened: readonly Unopened[]
}

const PAGE = 100

/**
 * Lets a KEK wrap something and open it again, before anything depends on it. Nothing is stored.
 * @throws Error with one clear line when it doesn't give back what it took
 */
export async function assertKekWorks(kek: Kek, owner: Did, instanceId: string, random: Random): Promise<void> {
  const dek = freshDek(random)
  const before = nameOf(dek)
  const place = { instanceId, community: owner, dekVersion: 1 }
  let wrapping: Promise<Uint8Array>
  try {
    wrapping = kek.wrap(dek, place)
  } finally {
    dek.fill(0)
  }
  const opened = await wrapping.then((wrapped) => nameWithin(kek, wrapped, place)).catch(() => null)
  if (opened !== before) throw new Error(`the key-encryption key ${kek.id} doesn't open what it wrapped`)
}

/**
 * Wraps every DEK again that `previous` wrapped, row by row, until none is left that can be; says after each page how many it has done.
 * Any number of processes may do this at once, beside a service that has both KEKs. Answers how many this call did, and which rows
 * `previous` doesn't open: those stay as they are.
 * @throws Error when the new KEK can't be had, or doesn't give back what it took; each row is then in one of its two good states
 */
export async function rewrapDeks(
  deps: RewrapDeps,
  previous: Kek,
  onProgress: (done: number) => void,
): Promise<{ rewrapped: number; unopened: readonly Unopened[] }> {
  let rewrapped = 0
  for (;;) {
    const before = rewrapped
    const unopened: Unopened[] = []
    let after: DekRow | null = null
    for (;;) {
      const page: readonly DekRow[] = await listDeksOf(deps.db, previous.id, after, PAGE)
      for (const row of page) {
        const outcome = await rewrapRow(deps, previous, row)
        if (outcome === 'done') rewrapped += 1
        if (outcome === 'unopened') unopened.push(unopenedDek(row))
      }
      after = page.at(-1) ?? null
      if (!after) break
      onProgress(rewrapped)
    }
    // A process that still seals under the old KEK may have founded behind our back: once more, until a walk finds nothing to do.
    if (rewrapped === before) return { rewrapped, unopened }
  }
}

async function rewrapRow(
  { db, kek, instanceId }: RewrapDeps,
  previous: Kek,
  row: DekRow,
): Promise<'done' | 'elsewhere' | 'unopened'> {
  const place: DekPlace = { instanceId, community: row.community, dekVersion: row.dekVersion }
  const dek = await previous.unwrap(row.wrapped, place)
  if (!dek) return 'unopened'
  let before: string
  let wrapping: Promise<Uint8Array>
  try {
    before = nameOf(dek)
    wrapping = kek.wrap(dek, place)
  } finally {
    dek.fill(0)
  }
  const wrapped = await wrapping
  if ((await nameWithin(kek, wrapped, place)) !== before)
    throw new Error(`the key-encryption key ${kek.id} doesn't open what it wrapped`)
  return (await replaceWrap(db, row, { wrapped, kekId: kek.id })) ? 'done' : 'elsewhere'
}

/**
 * Opens with `kek` alone everything that it should open: each DEK, each sealed key, whose public half is computed anew and held against its
 * row, and each of `things`. Rows that another KEK wrapped are not looked at: whoever counts those knows of them. Changes nothing.
 */
export async function verifySealed(deps: RewrapDeps, things: AsyncIterable<SealedThing>): Promise<Verified> {
  const unopened: Unopened[] = []
  const deks = await verifyDeks(deps, unopened)
  const keys = await verifyKeys(deps, unopened)
  let blobs = 0
  for await (const { place, blob } of things) {
    const outcome = await openBlob(deps, place, blob)
    if (outcome === 'opened') blobs += 1
    if (outcome === 'unopened') unopened.push({ community: place.community, what: place.name })
  }
  return { deks, keys, blobs, unopened }
}

async function verifyDeks({ db, kek, instanceId }: RewrapDeps, unopened: Unopened[]): Promise<number> {
  let good = 0
  for (let page = await listDeksOf(db, kek.id, null, PAGE); page.length > 0; ) {
    for (const row of page) {
      const place = { instanceId, community: row.community, dekVersion: row.dekVersion }
      if ((await nameWithin(kek, row.wrapped, place)) !== null) good += 1
      else unopened.push(unopenedDek(row))
    }
    page = await listDeksOf(db, kek.id, page.at(-1) ?? null, PAGE)
  }
  return good
}

async function verifyKeys(deps: RewrapDeps, unopened: Unopened[]): Promise<number> {
  const { db, kek, instanceId } = deps
  let good = 0
  for (let page = await listKeyRows(db, '', PAGE); page.length > 0; ) {
    for (const row of page.filter(({ kekId }) => kekId === kek.id)) {
      const { community, purpose } = row
      const opened = await withDek(deps, community, row, (dek) => openKey(dek, row, { instanceId, community, purpose }))
      if (opened) good += 1
      else unopened.push({ community, what: row.id })
    }
    page = await listKeyRows(db, page.at(-1)?.id ?? '', PAGE)
  }
  return good
}

async function openBlob(
  deps: RewrapDeps,
  place: BlobPlace,
  { sealed, dekVersion }: SealedBlob,
): Promise<'opened' | 'unopened' | 'elsewhere'> {
  const { community, purpose, name } = place
  const row = await loadDek(deps.db, community, dekVersion)
  if (!row) return 'unopened'
  if (row.kekId !== deps.kek.id) return 'elsewhere'
  const whole = { instanceId: deps.instanceId, community, purpose, keyId: name, dekVersion, publicKey: null }
  const opened = await withDek(deps, community, row, (dek) => {
    const secret = open(dek, sealed, whole)
    secret?.fill(0)
    return secret !== null
  })
  return opened ? 'opened' : 'unopened'
}

/** Lends a row's DEK to `use`, which awaits nothing, and wipes it. Null: the KEK doesn't open it. */
async function withDek<T>(
  { kek, instanceId }: RewrapDeps,
  community: Did,
  row: WrappedDek,
  use: (dek: Uint8Array) => T,
): Promise<T | null> {
  const dek = await kek.unwrap(row.wrapped, { instanceId, community, dekVersion: row.dekVersion })
  if (!dek) return null
  try {
    return use(dek)
  } finally {
    dek.fill(0)
  }
}

/** A name for 32 random bytes, by which they are known again when they are gone: nothing can be told from it. */
const nameOf = (dek: Uint8Array): string => Buffer.from(sha256('reeve-dek-name-v1', dek)).toString('hex')

/** The name of the DEK within a wrap, or null when this KEK doesn't open it, or something else than a DEK is in it. */
async function nameWithin(kek: Kek, wrapped: Uint8Array, place: DekPlace): Promise<string | null> {
  const dek = await kek.unwrap(wrapped, place)
  if (!dek) return null
  try {
    return dek.length === SYMMETRIC_KEY_BYTES ? nameOf(dek) : null
  } finally {
    dek.fill(0)
  }
}

const unopenedDek = ({ community, dekVersion }: DekRow): Unopened => ({ community, what: `DEK ${dekVersion}` })
