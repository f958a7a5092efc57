/** The key of a ceremony in which shares are combined here: sealed by the vault for that ceremony, and good for it alone. */
import { beforeAll, expect, it } from 'vitest'
import { hexOf, isConcludedBy } from '../../src/keys/ceremony-statements.ts'
import { combineGiven, makeCeremonyKey, openCeremonyKey } from '../../src/keys/combining.ts'
import { openKek } from '../../src/keys/kek.ts'
import { withScalar } from '../../src/keys/private-keys.ts'
import { isSealTo, sealToOf } from '../../src/keys/share-seal.ts'
import { openVault, type SealedBlob, type Vault } from '../../src/keys/vault.ts'
import type { Did } from '../../src/names.ts'
import { openLog } from '../../src/platform/log.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { Unavailable } from '../../src/refusals.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { ceremonyOf, dealt } from '../kit/dealt-keys.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { withBitFlipped } from '../kit/verdicts.ts'

const NOW_MS = 1_800_000_000_000
const did = (letter: string): Did => `did:plc:${letter.repeat(24)}` as Did
const about = { community: did('c'), ceremony: 'ceremony-1' }

describeOnEachEngine('the key of a ceremony', (openDb) => {
  const kekHex = randomHex(systemRandom, 32)
  const lines: string[] = []
  let database: TestDatabase
  let vault: Vault

  const vaultWith = (more: { kekHex?: string; instanceId?: string } = {}): Vault =>
    openVault({
      ...{
        db: database.db,
        instanceId: more.instanceId ?? 'instance-1',
        clock: { monotonicMs: () => 0 },
        random: systemRandom,
      },
      kek: openKek('env:KEK', { readEnv: () => more.kekHex ?? kekHex, envIsPermitted: true, random: systemRandom }),
      log: openLog('debug', { write: (line) => void lines.push(line) }),
    })

  beforeAll(async () => {
    database = await openDb()
    vault = vaultWith()
  })

  const make = (changed: object = {}) => makeCeremonyKey(vault, { ...about, nowMs: NOW_MS, ...changed })

  /** The code with which a key wasn't opened; fails when one was. */
  async function faultOf(opening: Promise<unknown>): Promise<string> {
    const outcome = await opening.catch((error: unknown) => error)
    if (!(outcome instanceof Unavailable)) throw new Error('expected Unavailable')
    return outcome.code
  }

  it('is made new each time, and opens as the one that shares are sealed to', async () => {
    const [one, other] = [await make(), await make()]
    expect(one.sealTo).not.toBe(other.sealTo)
    for (const { sealTo, blob } of [one, other]) {
      expect(isSealTo(sealTo)).toBe(true)
      const pair = await openCeremonyKey(vault, about, blob)
      expect(sealToOf(pair)).toBe(sealTo)
      const spellings = { 'the key': spellingsOf(withScalar(pair, (scalar) => Buffer.from(scalar))) }
      expect(where(spellings, { blob: blob.sealed })).toEqual([])
    }
  })

  it('takes k shares to the signature of what they are for', async () => {
    const { sealTo, blob } = await make()
    const one = ceremonyOf(await dealt(3, 5), sealTo, 'combine', { community: about.community })
    const given = await Promise.all([4, 0, 2].map((at) => one.give(at)))
    const combined = await combineGiven(await openCeremonyKey(vault, one.statement, blob), one, given)
    const signature = combined.kind === 'signed' ? combined.signature : combined.kind
    expect(isConcludedBy(one.statement, hexOf(one.statementHash), signature)).toBe(true)
  })

  it('opens for no other ceremony, community or service, and not when a byte of it is another', async () => {
    const { blob } = await make()
    await make({ community: did('d') })
    const spoilt = (sealed: Uint8Array): SealedBlob => ({ ...blob, sealed })
    const wrong: Record<string, () => Promise<unknown>> = {
      'another ceremony': () => openCeremonyKey(vault, { ...about, ceremony: 'ceremony-2' }, blob),
      'another community': () => openCeremonyKey(vault, { ...about, community: did('d') }, blob),
      'a community without keys': () => openCeremonyKey(vault, { ...about, community: did('e') }, blob),
      'another purpose': () =>
        vault.openBlob({ community: about.community, purpose: 'oauth', name: about.ceremony }, blob),
      'a DEK that is not there': () => openCeremonyKey(vault, about, { ...blob, dekVersion: 2 }),
      'a bit turned': () => openCeremonyKey(vault, about, spoilt(withBitFlipped(blob.sealed, 8 * 30))),
      'a shorter tag': () => openCeremonyKey(vault, about, spoilt(blob.sealed.slice(0, -4))),
      nothing: () => openCeremonyKey(vault, about, spoilt(new Uint8Array(0))),
    }
    for (const [what, opening] of Object.entries(wrong)) expect(await faultOf(opening()), what).toBe('KeyUnavailable')
    const elsewhere = vaultWith({ instanceId: 'instance-2' })
    expect(await faultOf(openCeremonyKey(elsewhere, about, blob))).toMatch(/^(?:Key|Kek)Unavailable$/)
    const strange = vaultWith({ kekHex: randomHex(systemRandom, 32) })
    expect(await faultOf(openCeremonyKey(strange, about, blob))).toBe('KekUnavailable')
    expect(sealToOf(await openCeremonyKey(vault, about, blob))).toBeTruthy()
  })

  it('is no key at all where what was sealed is none', async () => {
    const place = { community: about.community, purpose: 'ceremony' as const, name: about.ceremony }
    for (const bytes of [new Uint8Array(32), new Uint8Array(32).fill(255), systemRandom.bytes(31), new Uint8Array(0)]) {
      const blob = await vault.sealBlob(place, bytes, NOW_MS)
      expect(await faultOf(openCeremonyKey(vault, about, blob))).toBe('KeyUnavailable')
    }
  })

  it('stands in no line of the log', async () => {
    const { blob } = await make()
    const pair = await openCeremonyKey(vault, about, blob)
    const spellings = { 'the key': spellingsOf(withScalar(pair, (scalar) => Buffer.from(scalar))) }
    expect(lines.length).toBeGreaterThan(0)
    expect(where(spellings, { log: Buffer.from(lines.join('\n')) })).toEqual([])
  })
})
