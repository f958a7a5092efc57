/**
 * A process that combines shares as a service does, and nothing else in it knows a key: it makes the key of a ceremony and keeps it sealed,
 * opens it when k shares are there, combines, signs. How often something stands in its memory is counted from outside.
 */
import { type CeremonyStatement, parseStatement, statementHashOf } from '../../src/keys/ceremony-statements.ts'
import { combineGiven, makeCeremonyKey, openCeremonyKey, openGiven } from '../../src/keys/combining.ts'
import { openKek } from '../../src/keys/kek.ts'
import { combineShares } from '../../src/keys/shares.ts'
import { loadDek } from '../../src/keys/store.ts'
import { openVault, type SealedBlob } from '../../src/keys/vault.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { migrate } from '../../src/platform/migrations.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { type Answer, type Ceremony, COMMUNITY, INSTANCE, type Order } from './combining-process-words.ts'

const [, , dataDir = '', kekSetting = ''] = process.argv
const log = silentLog
const database = await openDatabase({ url: null, dataDir, allowUnsafe: true, log, clock: systemClock })
const { db } = database
await migrate(db, systemClock)
const kek = openKek(kekSetting, { readEnv: () => undefined, envIsPermitted: false, random: systemRandom })
const vault = openVault({ db, kek, instanceId: INSTANCE, clock: systemClock, random: systemRandom, log })
const blobs = new Map<string, SealedBlob>()
/** What is held on to, as nobody should. */
const held: unknown[] = []

async function make(ceremony: string): Promise<Answer> {
  const about = { community: COMMUNITY, ceremony, nowMs: systemClock.nowMs() }
  const { sealTo, blob } = await makeCeremonyKey(vault, about)
  blobs.set(ceremony, blob)
  const dek = await loadDek(db, COMMUNITY, blob.dekVersion)
  const hex = (bytes: Uint8Array = new Uint8Array(0)) => Buffer.from(bytes).toString('hex')
  return { sealTo, sealed: hex(blob.sealed), wrapped: hex(dek?.wrapped) }
}

function opened({ statement }: Ceremony) {
  const bytes = new Uint8Array(Buffer.from(statement, 'hex'))
  const said = parseStatement(bytes)
  const blob = blobs.get(said?.ceremony ?? '')
  if (!said || !blob) throw new Error('no such ceremony')
  return { said, blob, about: { statement: said, statementHash: statementHashOf(bytes) } }
}

async function combine(order: Ceremony): Promise<Answer> {
  const { said, blob, about } = opened(order)
  return combineGiven(await openCeremonyKey(vault, said, blob), about, order.given)
}

async function keep(order: Ceremony): Promise<Answer> {
  const { said, blob, about } = opened(order)
  const pair = await openCeremonyKey(vault, said, blob)
  const shares = []
  for (const one of order.given) {
    const share = await openGiven(pair, about, one)
    if (share) shares.push(share)
  }
  const { k, pub } = said.quorum as { k: number; pub: NonNullable<CeremonyStatement['quorum']['pub']> }
  const key = await combineShares(shares, { k, didKey: pub })
  const spelt = shares.flatMap(({ y }) =>
    (['hex', 'base64', 'base64url'] as const).map((as) => Buffer.from(y).toString(as)),
  )
  held.push(pair, shares, key, spelt)
  return combineGiven(pair, about, order.given)
}

/** Everything that nobody refers to any more is gone afterwards. */
async function collect(): Promise<Answer> {
  if (!globalThis.gc) throw new Error('start with --expose-gc')
  for (let turn = 0; turn < 5; turn++) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return null
}

async function carryOut(order: Order): Promise<Answer> {
  if (order.kind === 'make') return make(order.ceremony)
  if (order.kind === 'combine') return combine(order)
  if (order.kind === 'keep') return keep(order)
  if (order.kind === 'collect') return collect()
  await database.close()
  return null
}

process.on('message', async (order: Order) => {
  const result = await carryOut(order)
  process.send?.({ result })
  if (order.kind === 'end') process.disconnect()
})
process.send?.({ result: 'ready' })
