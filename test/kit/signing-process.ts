/**
 * A process with a vault in it and nothing else that knows a key: it founds, signs and drops when it is told to, and says how
 * often something stands in its memory. What to look for is told by the test, masked; nothing here opens an envelope but the vault.
 */
import { genesisOperation } from '../../src/community/plc-builder.ts'
import { didOf } from '../../src/identity/plc-operation.ts'
import type { PublicHalves } from '../../src/keys/founding.ts'
import { openKek } from '../../src/keys/kek.ts'
import { makeKeyPair } from '../../src/keys/private-keys.ts'
import { activateFoundedKeys, saveFoundedKeys } from '../../src/keys/store.ts'
import { openVault } from '../../src/keys/vault.ts'
import { type Did, type Nsid, spaceUriOf } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase, withTransaction } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { migrate } from '../../src/platform/migrations.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { decideRead } from '../../src/policy/decide.ts'
import { nobodyIn } from './facts.ts'
import { countInOwnMemory } from './memory-scan.ts'
import { type Founded, INSTANCE, type Order } from './signing-process-words.ts'

const [, , dataDir = '', kekSetting = ''] = process.argv
const log = silentLog
const database = await openDatabase({ url: null, dataDir, allowUnsafe: true, log, clock: systemClock })
const { db } = database
await migrate(db, systemClock)
const kek = openKek(kekSetting, { readEnv: () => undefined, envIsPermitted: false, random: systemRandom })
const vault = openVault({ db, kek, instanceId: INSTANCE, clock: systemClock, random: systemRandom, log })
let community: Did | null = null
let planted: Uint8Array = new Uint8Array(0)

async function found(): Promise<Founded> {
  const recovery = makeKeyPair('k256')
  const compose = (keys: PublicHalves) =>
    genesisOperation({
      recoveryKey: recovery.didKey,
      rotationKey: keys.rotation,
      atprotoKey: keys.atproto,
      spaceKey: keys.space,
      handle: null,
      publicUrl: 'https://reeve.example',
    })
  const { did, rows } = await vault.prepareFounding(compose, didOf)
  await withTransaction(db, (tx) => saveFoundedKeys(tx, rows, systemClock.nowMs()))
  await withTransaction(db, (tx) => activateFoundedKeys(tx, did, systemClock.nowMs()))
  community = did
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const { dek, keys } = rows.reveal()
  return {
    community: did,
    wrapped: hex(dek.wrapped),
    keys: keys.map(({ id, purpose, didKey, sealed }) => ({ id, purpose, didKey, sealed: hex(sealed) })),
  }
}

async function sign(times: number): Promise<string> {
  if (!community) throw new Error('nothing is founded')
  const nowMs = systemClock.nowMs()
  const space = spaceUriOf(community, 'com.atmoboards.forum' as Nsid, 'main')
  const facts = { space, readPolicy: 'public' as const, ...nobodyIn(community, nowMs) }
  const decision = decideRead(facts, { did: community, clientId: null })
  if (!decision.ok) throw new Error('a public space is open')
  let credential = ''
  for (let time = 0; time < times; time++) {
    const iatSec = systemClock.nowSec()
    const claims = { cnf: { jkt: 'A'.repeat(43) }, iatSec, expSec: iatSec + 600, jti: randomHex(systemRandom, 16) }
    credential = await vault.sign({ kind: 'space-credential', grant: decision.value, claims })
  }
  return credential
}

/** Everything that nobody refers to any more is gone afterwards, also what is let go of in a later turn. */
async function collect(): Promise<void> {
  if (!globalThis.gc) throw new Error('start with --expose-gc')
  for (let turn = 0; turn < 5; turn++) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function carryOut(order: Order): Promise<unknown> {
  if (order.kind === 'found') return found()
  if (order.kind === 'sign') return sign(order.times)
  if (order.kind === 'drop') return vault.drop()
  if (order.kind === 'plant') {
    const bytes = Buffer.from(order.masked, 'hex')
    planted = new Uint8Array(new ArrayBuffer(4096), 0, bytes.length)
    for (const [at, byte] of bytes.entries()) planted[at] = byte ^ order.mask
    return undefined
  }
  if (order.kind === 'unplant') return planted.fill(0).length
  if (order.kind === 'end') return database.close()
  await collect()
  return countInOwnMemory(order.needles)
}

process.on('message', async (order: Order) => {
  const result = await carryOut(order)
  process.send?.({ result })
  if (order.kind === 'end') process.disconnect()
})
process.send?.({ result: 'ready' })
