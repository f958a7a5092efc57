/**
 * A stage for the replacement of a community's keys under load: a real Reeve and a real directory, somebody who reads on and on at repo hosts of
 * every kind, and a thief who has copies of the keys of before and shows what they sign. One clock drives all of it, so hours pass in seconds.
 */
import { join } from 'node:path'
import { sql } from 'kysely'
import { type KeyPurpose, open, seal } from '../../src/keys/envelope.ts'
import { openKek } from '../../src/keys/kek.ts'
import { loadActiveKey, type SealedKey } from '../../src/keys/store.ts'
import type { Did } from '../../src/names.ts'
import { loadInstanceId } from '../../src/platform/instance.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { type CredentialHolder, openCredentialHolder } from './credential-holder.ts'
import type { TestDatabase } from './databases.ts'
import { BINDINGS, openScene, type Scene } from './exchange.ts'
import { CACHE_RULES } from './played-documents.ts'
import { playRepoHost, type Verdict } from './played-repo-host.ts'
import { forge, obtain, revocations } from './presentation.ts'
import { stopClock } from './stopped-clock.ts'
import { keyOfScalar, type TestKey } from './tokens.ts'
import { eventually } from './waiting.ts'
import type { World } from './world.ts'

/** Between one look at every host and the next. */
export const STEP_SEC = 60
const MINT_EVERY_SEC = 120
const CURVES = { rotation: 'k256', atproto: 'p256', space: 'p256', client: 'p256' } as const

/** What a thief showed at a host. */
export interface Shown {
  readonly purpose: 'space' | 'atproto'
  readonly cache: keyof typeof CACHE_RULES
  /** The host hears of nobody else. */
  readonly isAlone: boolean
  readonly atMs: number
  readonly verdict: Verdict
}

export interface RotationStage {
  readonly scene: Scene
  readonly holder: CredentialHolder
  /** Copies of the keys as they were in the beginning. */
  readonly stolen: Readonly<Record<'space' | 'atproto', TestKey>>
  /** Everything the thief showed. */
  readonly thefts: readonly Shown[]
  /** How long after `sinceMs`, and not in that instant, a host of a kind last took what the thief showed, in milliseconds; null: never. */
  lastTaken(of: Pick<Shown, 'purpose' | 'cache' | 'isAlone'>, sinceMs: number): number | null
  /** All living credentials are shown, and `STEP_SEC` pass; then the worker has done what was due by then. */
  step(): Promise<void>
  steps(seconds: number): Promise<void>
  /** The thief shows what a stolen key signed just now, at the hosts of others and at some that hear of nobody else. */
  steal(purpose: 'space' | 'atproto'): Promise<void>
  /** The keys in the document, as the directory has it. */
  published(): Promise<Readonly<Record<'atproto' | 'atproto_space', string | undefined>>>
  /** How far the replacement is; null: none was ever asked for. */
  rotation(): Promise<{ readonly step: string; readonly fault: string | null } | null>
  close(): Promise<void>
}

export async function openRotationStage(database: TestDatabase): Promise<RotationStage> {
  const scene = await openScene(database)
  const { world, community } = scene
  stopClock(world.clock)
  const { clock } = world
  const ofEveryKind = (isAlone: boolean) =>
    BINDINGS.flatMap((generation) =>
      (Object.keys(CACHE_RULES) as (keyof typeof CACHE_RULES)[]).map((cache) => ({
        ...{ cache, isAlone },
        host: playRepoHost({ plcUrl: scene.plc.honestUrl, clock, generation, cache }),
      })),
    )
  const visited = ofEveryKind(false)
  const alone = ofEveryKind(true)
  const mint = (binding: (typeof BINDINGS)[number]) => obtain(scene, { binding })
  const holder = openCredentialHolder({ clock, hosts: visited.map(({ host }) => host), everySec: MINT_EVERY_SEC, mint })
  const stolen = {
    space: await copyOfKey(world, community, 'space'),
    atproto: await copyOfKey(world, community, 'atproto'),
  }
  const thefts: Shown[] = []

  const rotation = async () => {
    const { rows } = await sql<{ step: string; fault: string | null; due: number }>`
      select step, fault, step_due_at_ms as due from key_rotation where community = ${community}`.execute(database.db)
    return rows[0] ?? null
  }
  const isIdle = async () => {
    const row = await rotation()
    return row === null || row.step === 'done' || row.step === 'refused' || Number(row.due) > clock.nowMs()
  }
  const step = async () => {
    for (const [jti, taken] of await revocations(database)) if (taken) holder.takenBack(jti)
    await holder.turn()
    clock.moveSec(STEP_SEC)
    await eventually('the worker does what is due', isIdle, 120_000)
  }

  return {
    ...{ scene, holder, stolen, thefts, step, rotation },
    async steps(seconds) {
      for (let passed = 0; passed < seconds; passed += STEP_SEC) await step()
    },
    async steal(purpose) {
      const kid = purpose === 'space' ? '#atproto_space' : '#atproto'
      for (const { host, cache, isAlone } of [...visited, ...alone]) {
        const held = forge(scene, stolen[purpose], { binding: host.generation, header: { kid } })
        const about = { purpose, cache, isAlone, atMs: clock.nowMs() }
        thefts.push({ ...about, verdict: await host.read(held) })
        await host.documents.settled()
      }
    },
    lastTaken({ purpose, cache, isAlone }, sinceMs) {
      const taken = thefts
        .filter((one) => one.purpose === purpose && one.cache === cache && one.isAlone === isAlone)
        .filter(({ verdict, atMs }) => verdict === '200' && atMs > sinceMs)
      return taken.length === 0 ? null : Math.max(...taken.map(({ atMs }) => atMs - sinceMs))
    },
    async published() {
      const data = (await (await fetch(`${scene.plc.honestUrl}/${community}/data`)).json()) as {
        verificationMethods: Record<'atproto' | 'atproto_space', string | undefined>
      }
      return data.verificationMethods
    },
    close: () => scene.close(),
  }
}

/** Opens something of a community's as nobody outside the keys room can: with the KEK of this world. */
async function openedBy<T>(
  { config, database }: World,
  community: Did,
  purpose: KeyPurpose,
  use: (dek: Uint8Array, row: SealedKey, instanceId: string) => T,
): Promise<T> {
  const deps = { readEnv: () => undefined, envIsPermitted: true, random: systemRandom }
  const kek = openKek(config.kek ?? `file:${join(config.dataDir, 'development.kek')}`, deps)
  const row = await loadActiveKey(database.db, community, purpose)
  const instanceId = await loadInstanceId(database.db, systemRandom, { nowMs: () => 0 } as never)
  const dek = row && (await kek.unwrap(row.wrapped, { instanceId, community, dekVersion: row.dekVersion }))
  if (!row || !dek) throw new Error(`no ${purpose} key`)
  return use(dek, row, instanceId)
}

/** A copy of a community's active key, as a thief would have it who came by the database and the KEK. */
export const copyOfKey = (world: World, community: Did, purpose: KeyPurpose): Promise<TestKey> =>
  openedBy(world, community, purpose, (dek, { id, didKey, sealed, dekVersion }, instanceId) => {
    const scalar = open(dek, sealed, { instanceId, community, purpose, keyId: id, dekVersion, publicKey: didKey })
    if (!scalar) throw new Error(`the ${purpose} key doesn't open`)
    return keyOfScalar(CURVES[purpose], scalar)
  })

/** Puts a key in place of the active one behind the back of everybody, as a replacement without any care would. */
export async function plantKey(world: World, community: Did, purpose: KeyPurpose, key: TestKey): Promise<void> {
  const planted = await openedBy(world, community, purpose, (dek, { id, dekVersion }, instanceId) => {
    const { d = '' } = key.privateKey.export({ format: 'jwk' })
    const place = { instanceId, community, purpose, keyId: id, dekVersion, publicKey: key.didKey }
    return { id, sealed: seal(dek, Buffer.from(d, 'base64url'), place, systemRandom) }
  })
  await world.database.db
    .updateTable('key')
    .set({ did_key: key.didKey, sealed: planted.sealed })
    .where('id', '=', planted.id)
    .execute()
  world.reeve.house.vault.drop()
}
