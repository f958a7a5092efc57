/** Communities with real keys under a key-encryption key, by the hundred and without a network; and a look at who opens what of them. */
import { genesisOperation } from '../../src/community/plc-builder.ts'
import { didOf } from '../../src/identity/plc-operation.ts'
import type { PublicHalves } from '../../src/keys/founding.ts'
import { type Kek, openKek } from '../../src/keys/kek.ts'
import { makeKeyPair } from '../../src/keys/private-keys.ts'
import { activateFoundedKeys, saveFoundedKeys } from '../../src/keys/store.ts'
import { openVault, type Vault } from '../../src/keys/vault.ts'
import { type Did, type Nsid, spaceUriOf } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { loadInstanceId } from '../../src/platform/instance.ts'
import { type Log, silentLog } from '../../src/platform/log.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { decideRead } from '../../src/policy/decide.ts'
import { nobodyIn } from './facts.ts'

/** A KEK of 64 hexadecimal characters, or a new one. */
export function makeKek(hex = randomHex(systemRandom, 32)): { readonly hex: string; readonly kek: Kek } {
  const kek = openKek('env:KEK', { readEnv: () => hex, envIsPermitted: true, random: systemRandom })
  return { hex, kek }
}

/** A vault as a service has it, in the database's own instance. */
export async function vaultOn(db: Db, keks: { kek: Kek; previousKeks?: readonly Kek[] }, log: Log = silentLog) {
  const instanceId = await loadInstanceId(db, systemRandom, systemClock)
  return openVault({ db, ...keks, instanceId, clock: systemClock, random: systemRandom, log })
}

/** Founds communities whose keys are active. Nothing is sent to a directory. */
export async function foundSealed(db: Db, vault: Vault, count: number): Promise<readonly Did[]> {
  const recovery = makeKeyPair('k256').didKey
  const compose = (keys: PublicHalves) =>
    genesisOperation({
      ...{ recoveryKey: recovery, rotationKey: keys.rotation, atprotoKey: keys.atproto, spaceKey: keys.space },
      ...{ handle: null, publicUrl: 'https://reeve.example' },
    })
  const dids: Did[] = []
  for (let nth = 0; nth < count; nth++) {
    const founded = await vault.prepareFounding(compose, didOf)
    await withTransaction(db, async (tx) => {
      await saveFoundedKeys(tx, founded.rows, systemClock.nowMs())
      await activateFoundedKeys(tx, founded.did, systemClock.nowMs())
    })
    dids.push(founded.did)
  }
  return dids
}

/** A credential for a public space of a community, as a compact JWS. */
export function signCredential(vault: Vault, community: Did): Promise<string> {
  const space = spaceUriOf(community, 'com.atmoboards.forum' as Nsid, 'main')
  const facts = { space, readPolicy: 'public' as const, ...nobodyIn(community, systemClock.nowMs()) }
  const decision = decideRead(facts, { did: community, clientId: null })
  if (!decision.ok) throw new Error('a public space is open')
  const iatSec = systemClock.nowSec()
  const claims = { cnf: { jkt: 'A'.repeat(43) }, iatSec, expSec: iatSec + 600, jti: randomHex(systemRandom, 16) }
  return vault.sign({ kind: 'space-credential', grant: decision.value, claims })
}

/** How many DEKs each of these KEKs opens, by trying all of them on all rows; and of how many rows it is other than exactly the one that the row names. */
export async function whoOpens(db: Db, keks: readonly Kek[]) {
  const instanceId = await loadInstanceId(db, systemRandom, systemClock)
  const rows = await db.selectFrom('dek').selectAll().execute()
  const opened = new Map(keks.map(({ id }) => [id, 0]))
  let wrong = 0
  for (const row of rows) {
    const place = { instanceId, community: row.community, dekVersion: row.version }
    const openers: string[] = []
    for (const kek of keks) if (await kek.unwrap(row.wrapped, place)) openers.push(kek.id)
    for (const id of openers) opened.set(id, (opened.get(id) ?? 0) + 1)
    if (openers.length !== 1 || openers[0] !== row.kek_id) wrong += 1
  }
  return { rows: rows.length, opened, wrong }
}
