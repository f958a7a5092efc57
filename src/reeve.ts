/**
 * Assembles the house: opens the database, the vault and the ways to the network, hangs the doors, starts the work that goes on
 * by itself. Whoever starts Reeve, the demo and the tests alike, comes through here.
 */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import manifest from '../package.json' with { type: 'json' }
import { openHook } from './access/hook.ts'
import { ASKED_AT_ONCE, openManagingApps } from './access/managing-apps.ts'
import { openLooks } from './access/may-read.ts'
import { type CheckpointFolder, checkpointFolder } from './audit/checkpoint-folder.ts'
import { openCheckpoints } from './audit/checkpoints.ts'
import { openFence } from './community/fence.ts'
import { openLookups } from './credential/foreign-credentials.ts'
import { openIssuing } from './credential/store.ts'
import { CREDENTIAL } from './credential/token-classes.ts'
import type { House } from './doors/house.ts'
import { openLook } from './doors/house-look.ts'
import { Leaving } from './doors/leaving.ts'
import { METRICS_HOST, metricsApp } from './doors/metrics-app.ts'
import { type BucketName, type Rate, RateBuckets } from './doors/rate-buckets.ts'
import { closeServer, type Fetch, listen } from './doors/server.ts'
import { DOORS } from './doors/xrpc.ts'
import { xrpcApp } from './doors/xrpc-app.ts'
import { openAppMetadata } from './identity/app-metadata.ts'
import { openDidDocuments } from './identity/did-documents.ts'
import { openHandleProofs } from './identity/handle-proofs.ts'
import { openPlcDirectory } from './identity/plc-directory.ts'
import { VerifiedTokens } from './identity/verified-tokens.ts'
import { createDevelopmentKek, type Kek, openKek } from './keys/kek.ts'
import { assertKekWorks } from './keys/rewrap.ts'
import { countDeksByKek } from './keys/rewrap-store.ts'
import { openVault } from './keys/vault.ts'
import { Graphs } from './membership/graph.ts'
import { Hosted } from './membership/hosted.ts'
import { openPaces } from './membership/pace.ts'
import { openDispatcher } from './notify/dispatcher.ts'
import { RefusedWrites } from './notify/refused-writes.ts'
import { openSponsorWords } from './notify/sponsor-words.ts'
import { openIntake } from './notify/writer-store.ts'
import { type Clock, systemClock } from './platform/clock.ts'
import { type Config, readVariable } from './platform/config.ts'
import { type Db, type OpenDatabase, openDatabase } from './platform/database.ts'
import { es256kBackend } from './platform/ecdsa.ts'
import { openHostLookup, openTxtLookup } from './platform/host-lookup.ts'
import { loadInstanceId } from './platform/instance.ts'
import { heardLog, type Log, openLog } from './platform/log.ts'
import { type Meters, NO_METERS } from './platform/meters.ts'
import { migrate } from './platform/migrations.ts'
import { type Outbound, openOutbound } from './platform/outbound.ts'
import { drawnAhead, type Random, systemRandom } from './platform/random.ts'
import { SealedWords } from './platform/sealed-words.ts'
import { Sizes } from './platform/sizes.ts'
import { NO_TRACES, type Traces, tracedOutbound } from './platform/traces.ts'
import { loadAlarms } from './steering/alarms.ts'
import { siteOf } from './steering/client-metadata.ts'
import { openPdsSessions } from './steering/connection.ts'
import { openGrants } from './steering/grants.ts'
import type { Pds } from './steering/pds.ts'
import { openSigning } from './steering/signing.ts'
import { startWorkers } from './workers.ts'

export interface Reeve {
  readonly house: House
  readonly port: number
  /**
   * Finishes what is under way, then lets go of everything. Until `notice` is over all goes on as before, but for what tells callers and balancers
   * that it ends: whoever knows by then comes no more.
   */
  close(notice?: Promise<unknown>): Promise<void>
}

export interface Given {
  readonly clock?: Clock
  readonly random?: Random
  readonly log?: Log
  readonly rates?: Readonly<Record<BucketName, Rate>>
  /** A database that is open already, in place of the configured one. Closing Reeve closes it too. */
  readonly database?: OpenDatabase
  /** Name servers (`address:port`) for what strangers name, in place of the system's. */
  readonly nameServers?: readonly string[]
  /** The way to the PDSes of communities, in place of what their accounts have granted. */
  readonly pds?: Pds
}

/** Calls to those who are told of something, by one process: more than are ever made at once, so that none waits while its time runs. */
const DELIVERIES_AT_ONCE = 1_024
/** Opens everything and listens. Fails before a port is open when anything is missing; nothing is half open afterwards. */
export async function openReeve(config: Config, given: Given = {}): Promise<Reeve> {
  const { clock = systemClock, random = systemRandom } = given
  const metrics = config.metricsPort === null ? null : (await import('./doors/metrics.ts')).openMetrics()
  const written = given.log ?? openLog(config.logLevel)
  const log = metrics ? heardLog(written, metrics.happened) : written
  const sizes = new Sizes()
  const { meters, traces } = await openWatching(config, { meters: metrics ?? NO_METERS, clock, log, sizes })
  const { databaseUrl: url, dataDir, allowUnsafeDatabase: allowUnsafe } = config
  const opened = given.database ?? (await openDatabase({ url, dataDir, allowUnsafe, log, clock, traces }))
  let numbers: Server | null = null
  try {
    log.info('es256k', { backend: es256kBackend() })
    const { house, kekIds } = await furnish(config, opened.db, { ...given, clock, random, log, meters, traces, sizes })
    if (metrics && config.metricsPort !== null) {
      const look = openLook({ db: opened.db, clock, log, kekIds, hosted: house.hosted })
      metrics.watch({ version: house.version, opened, sizes: house.sizes, look })
      const at = { port: config.metricsPort, host: METRICS_HOST, setting: 'REEVE_METRICS_PORT' }
      numbers = await listen(metricsApp(metrics, log).fetch, config.publicUrl, at)
    }
    const { host } = config
    const at = { host, port: config.port, setting: 'REEVE_HOST, REEVE_PORT' }
    const server = await listen(followed(xrpcApp(house, DOORS).fetch, traces), config.publicUrl, at)
    const workers = startWorkers(house, opened)
    const port = (server.address() as AddressInfo).port
    const { publicUrl, metricsPort, serviceDid } = config
    log.info('listening', {
      url: publicUrl,
      port,
      database: opened.engine,
      did: serviceDid,
      metricsPort: metricsPort ?? undefined,
    })
    return {
      house,
      port,
      async close(notice) {
        house.leaving.begin()
        if (notice) log.info('closing')
        await notice
        // From here on they begin nothing: a call to a host that the door doesn't let out any more would count against what it takes.
        const stopped = Promise.all(workers.map((worker) => worker.stop()))
        // Beside the server: whoever is told takes no longer to hear of it than whoever asks to be answered.
        const told = house.dispatcher.stop()
        await closeServer(server, house.leaving)
        await told
        // Before the workers have ended: one of them may be waiting for a directory that doesn't answer.
        await Promise.all([house.outbound.close(), house.inquiries.close(), house.calls.close()])
        await stopped
        await house.checkpoints.close()
        house.vault.drop()
        if (numbers) await closeServer(numbers)
        await opened.close()
        await traces.close()
        log.info('closed')
      },
    }
  } catch (error) {
    if (numbers) await closeServer(numbers)
    await opened.close()
    await traces.close()
    throw error
  }
}

export interface Furniture
  extends Required<Pick<Given, 'clock' | 'random' | 'log'>>,
    Pick<Given, 'rates' | 'nameServers' | 'pds'> {
  readonly meters: Meters
  readonly traces: Traces
  readonly sizes: Sizes
  /** The doors to the network, in place of those that dial. */
  readonly openDoor?: typeof openOutbound
  /** Where checkpoints are, in place of the configured folder. */
  readonly folder?: CheckpointFolder
}

/** Traces, where they are wanted, and meters that tell them what came of each request. */
async function openWatching(
  { traces: wanted }: Config,
  { meters, ...given }: { meters: Meters; clock: Clock; log: Log; sizes: Sizes },
): Promise<{ meters: Meters; traces: Traces }> {
  if (wanted === null) return { meters, traces: NO_TRACES }
  const { openTraces } = await import('./platform/open-telemetry.ts')
  const counted = given.sizes.keptAs('spans of traces to be sent')
  const traces = openTraces({ ...wanted, ...given, meters, counted, version: manifest.version })
  const answered: Meters['answered'] = (method, outcome, ms) => {
    meters.answered(method, outcome, ms)
    traces.answered(method, outcome)
  }
  return { meters: { ...meters, answered }, traces }
}

/** Each request as something that stands for itself. What it is, is told when it is answered. */
const followed = (answer: Fetch, traces: Traces): Fetch =>
  traces === NO_TRACES ? answer : (request, env) => traces.begun('request', 'none', async () => answer(request, env))

/** Everything but the port and the work that goes on by itself: whoever has no use for a socket hands requests to the doors without one. */
export async function furnish(config: Config, db: Db, furniture: Furniture) {
  const { clock, random, log, rates, nameServers, pds, meters, traces, sizes, openDoor = openOutbound } = furniture
  await migrate(db, clock)
  const instanceId = await loadInstanceId(db, random, clock)
  const folder = furniture.folder ?? checkpointFolder(config.checkpointDir, random)
  const checkpoints = await openCheckpoints({ db, clock, log, folder, instance: instanceId })
  const keks = keksOf(config, random)
  for (const kek of [keks.kek, ...keks.previousKeks]) await assertKekWorks(kek, config.serviceDid, instanceId, random)
  await tellUnconfigured(db, keks, log)
  const linesOf = (name: string) => (kind: string) => sizes.line(`${name} to ${kind}`)
  openLooks(db, sizes)
  const vault = openVault({ db, ...keks, instanceId, clock, random, log, sizes })
  const { plcUrl, allowLoopback } = config
  const ownHosts = [new URL(config.publicUrl).host]
  const lookup = openHostLookup(nameServers)
  /** What leaves the house is counted and followed by the name of the way, never by where it leads. */
  const wayOut = (name: string, more: { trustedOrigins?: readonly string[]; atOnce?: number } = {}): Outbound => {
    const counted = linesOf(name)
    const opened = openDoor({ allowLoopback, ownHosts, trustedOrigins: [], lookup, clock, counted, ...more })
    return tracedOutbound(traces, name, opened)
  }
  const outbound = wayOut('fetches', { trustedOrigins: [plcUrl] })
  const deliveries = wayOut('deliveries', { atOnce: DELIVERIES_AT_ONCE })
  const inquiries = wayOut('inquiries', { atOnce: ASKED_AT_ONCE })
  const documents = openDidDocuments({ outbound, plcUrl, allowLoopback, clock, log, sizes })
  const calls = wayOut('calls')
  const grants = openGrants({
    ...{ site: siteOf(config.publicUrl), serviceDid: config.serviceDid, allowLoopback },
    ...{ vault, documents, outbound: calls, random, clock, sizes },
  })
  const sessions = openPdsSessions({ db, clock, random, log, vault, grants, serviceDid: config.serviceDid, sizes })
  const managingApps = openManagingApps({ clock, random, log, vault, documents, outbound: inquiries, sizes })
  const sponsorWords = openSponsorWords(managingApps, clock, sizes)
  const graphs = new Graphs(sizes)
  const words = new SealedWords(instanceId)
  const hosted = new Hosted(sizes)
  const directory = openPlcDirectory({ plcUrl, outbound })
  const { publicUrl } = config
  const fence = openFence({ db, clock, random, log, directory, documents, publicUrl, hosted, vault, sizes })
  // Before anybody is let in.
  await fence.follow()
  const house = {
    db,
    clock,
    random,
    checkpoints,
    leaving: new Leaving(),
    names: drawnAhead(random),
    log,
    vault,
    outbound,
    deliveries,
    inquiries,
    calls,
    grants,
    sessions,
    lookups: openLookups(sizes.line('lookups of communities')),
    accountSigner: openSigning({ db, hosted, vault, sessions }),
    documents,
    managingApps,
    sponsorWords,
    dispatcher: openDispatcher({
      ...{ db, clock, random, log, vault, documents, deliveries, graphs, words, sponsorWords, hosted, sizes },
    }),
    apps: openAppMetadata({ outbound, allowLoopback, clock, log, sizes }),
    directory,
    handleProofs: openHandleProofs({ outbound, lookupTxt: openTxtLookup(nameServers) }),
    graphs,
    paces: openPaces(sizes),
    hosted,
    fence,
    issuing: openIssuing(db, sizes.line('exchanges on their way to the ledger')),
    intake: openIntake(db, sizes.line('writes on their way to their spaces')),
    refusedWrites: new RefusedWrites(sizes),
    hook: openHook(db, sizes),
    verifiedTokens: new VerifiedTokens(sizes),
    words,
    buckets: new RateBuckets(clock, rates, sizes),
    version: manifest.version,
    founders: config.founders,
    serviceDid: config.serviceDid,
    publicUrl,
    handleDomains: config.handleDomains,
    credentialLifetimeSec: CREDENTIAL.lifetimeDefaultSec,
    hostCaps: config.hostCaps,
    trustedProxies: config.trustedProxies,
    pds: pds ?? sessions,
    sizes,
    meters,
    traces,
    alarmsOf: (community) => loadAlarms({ db, clock }, community),
  } satisfies House & { outbound: Outbound; inquiries: Outbound; calls: Outbound }
  return { house, kekIds: new Set([keks.kek, ...keks.previousKeks].map(({ id }) => id)) }
}

/**
 * Says aloud that there are data keys which no configured KEK opens: their communities can't be signed for. A process that ran on with old
 * settings while the KEK was replaced makes such, and nobody would hear of it before somebody is refused.
 */
async function tellUnconfigured(db: Db, { kek, previousKeks }: ReturnType<typeof keksOf>, log: Log): Promise<void> {
  const configured = new Set([kek, ...previousKeks].map(({ id }) => id))
  const strangers = [...(await countDeksByKek(db))].filter(([id]) => !configured.has(id))
  if (strangers.length === 0) return
  const dataKeys = strangers.reduce((sum, [, count]) => sum + count, 0)
  log.error('kek.notConfigured', { dataKeys, kekIds: strangers.map(([id]) => id).join(' ') })
}

/** The KEK that seals, and one from before that still opens. In development a KEK is made where there is none. */
function keksOf(config: Config, random: Random): { kek: Kek; previousKeks: readonly Kek[] } {
  const deps = { readEnv: readVariable, envIsPermitted: config.allowEnvKek, random }
  const developmentPath = join(config.dataDir, 'development.kek')
  if (!config.kek) createDevelopmentKek(developmentPath, random)
  const kek = openKek(config.kek ?? `file:${developmentPath}`, deps)
  return { kek, previousKeks: config.kekPrevious ? [openKek(config.kekPrevious, deps)] : [] }
}
