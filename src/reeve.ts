/**
 * Assembles the house: opens the database, the vault and the ways to the network, hangs the doors, starts the work that goes on
 * by itself. Whoever starts Reeve, the demo and the tests alike, comes through here.
 */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import manifest from '../package.json' with { type: 'json' }
import { openHook } from './access/hook.ts'
import { ASKED_AT_ONCE, openManagingApps } from './access/managing-apps.ts'
import { sealDue } from './audit/sealer.ts'
import { carryOutDue } from './community/acts.ts'
import { resumeMints } from './community/resume-mints.ts'
import { resumePlcWork } from './community/resume-plc-work.ts'
import { openLookups } from './credential/foreign-credentials.ts'
import { isStillHeld } from './credential/ledger-store.ts'
import { recheckDue } from './credential/recheck.ts'
import { forgetRevocations } from './credential/revocation-store.ts'
import { forgetIssued, openIssuing } from './credential/store.ts'
import { openHostTelling } from './credential/tell-hosts.ts'
import type { House } from './doors/house.ts'
import { type BucketName, type Rate, RateBuckets } from './doors/rate-buckets.ts'
import { DOORS } from './doors/xrpc.ts'
import { xrpcApp } from './doors/xrpc-app.ts'
import { openAppMetadata } from './identity/app-metadata.ts'
import { openDidDocuments } from './identity/did-documents.ts'
import { openHandleProofs } from './identity/handle-proofs.ts'
import { openPlcDirectory } from './identity/plc-directory.ts'
import { VerifiedTokens } from './identity/verified-tokens.ts'
import { createDevelopmentKek, type Kek, openKek } from './keys/kek.ts'
import { openVault } from './keys/vault.ts'
import { Graphs } from './membership/graph.ts'
import { Hosted } from './membership/hosted.ts'
import { forgetImports } from './membership/import-store.ts'
import { openPaces } from './membership/pace.ts'
import { resumeImports } from './membership/resume-imports.ts'
import { clearEndedRolls } from './membership/roll-end-store.ts'
import { clearEndedSpaces } from './membership/space-clearing.ts'
import type { SpaceUri } from './names.ts'
import { openDispatcher } from './notify/dispatcher.ts'
import { wakeLanes } from './notify/lane-store.ts'
import { RefusedWrites } from './notify/refused-writes.ts'
import { forgetExpired } from './notify/registration-store.ts'
import { followSpaceEnds } from './notify/space-ends.ts'
import { openSponsorWords } from './notify/sponsor-words.ts'
import { openIntake } from './notify/writer-store.ts'
import { type Clock, repeat, sleep, systemClock } from './platform/clock.ts'
import { type Config, readVariable } from './platform/config.ts'
import { type Db, type OpenDatabase, openDatabase, tidyTables } from './platform/database.ts'
import { es256kBackend } from './platform/ecdsa.ts'
import { openHostLookup, openTxtLookup } from './platform/host-lookup.ts'
import { forgetAnswers } from './platform/idempotency.ts'
import { loadInstanceId } from './platform/instance.ts'
import {
  CONNECTIONS_MAX,
  HEADERS_MAX_BYTES,
  HEADERS_MAX_COUNT,
  HEADERS_TIMEOUT_MS,
  KEPT_IDLE_MS,
  REQUEST_TIMEOUT_MS,
} from './platform/limits.ts'
import { errorName, type Log, openLog } from './platform/log.ts'
import { migrate } from './platform/migrations.ts'
import { forgetSpent } from './platform/once.ts'
import { type Outbound, openOutbound } from './platform/outbound.ts'
import { drawnAhead, type Random, systemRandom } from './platform/random.ts'
import { SealedWords } from './platform/sealed-words.ts'
import { loadAlarms } from './steering/alarms.ts'
import { siteOf } from './steering/client-metadata.ts'
import { openPdsSessions } from './steering/connection.ts'
import { forgetAttempts } from './steering/connection-store.ts'
import { openGrants } from './steering/grants.ts'
import type { Pds } from './steering/pds.ts'
import { openSteering } from './steering/projector.ts'
import { openSigning } from './steering/signing.ts'
import { forgetTurns } from './steering/turn-store.ts'

export interface Reeve {
  readonly house: House
  readonly port: number
  /** Finishes what is under way, then lets go of everything. */
  close(): Promise<void>
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

/** How long a request under way may take to finish once closing has begun. */
const CLOSING_MAX_MS = 5_000
const IDLE_LOOK_PAUSE_MS = 50
/** Calls to those who are told of something, by one process: more than are ever made at once, so that none waits while its time runs. */
const DELIVERIES_AT_ONCE = 1_024
const SEAL_PAUSE_MS = 1_000
const RESUME_PAUSE_MS = 15_000
const IMPORT_PAUSE_MS = 500
/** A host elsewhere goes on serving a credential until it is told of what was found in these turns. */
const RECHECK_PAUSE_MS = 500
/** Somebody may be waiting to be told, or to make a space of that name anew. */
const SPACE_ENDS_PAUSE_MS = 500
/** Whoever writes here is told of at once; this is for what other processes took in, and for whoever has to hear again. */
const DELIVERY_PAUSE_MS = 500
const TELL_HOSTS_PAUSE_MS = 500
/** Grants are looked after once a day; here is found whose day has come. */
const WATCH_PAUSE_MS = 60_000
/** Somebody who was removed reads on at a PDS that has a list of its own until the call is made. */
const STEERING_PAUSE_MS = 1_000
const SWEEP_PAUSE_MS = 60_000
const SWEEP_MAX = 5_000
/** How long a credential's row outlives it. That it was issued, to whom and why, stays in the audit. */
const ISSUED_KEPT_SEC = 24 * 60 * 60
/** How long what an import was given stays, after nobody has touched it any more. */
const IMPORTS_KEPT_MS = 7 * 24 * 60 * 60 * 1000
/** How long a turn that is over stays: clocks of two processes are never so far apart. */
const TURNS_KEPT_MS = 60 * 60 * 1000
/** About once an hour. */
const SWEEPS_PER_TIDYING = 60

/** Opens everything and listens. Fails before a port is open when anything is missing; nothing is half open afterwards. */
export async function openReeve(config: Config, given: Given = {}): Promise<Reeve> {
  const { clock = systemClock, random = systemRandom, log = openLog(config.logLevel) } = given
  const { databaseUrl: url, dataDir, allowUnsafeDatabase: allowUnsafe } = config
  const opened = given.database ?? (await openDatabase({ url, dataDir, allowUnsafe, log, clock }))
  try {
    log.info('es256k', { backend: es256kBackend() })
    const house = await furnish(config, opened.db, { ...given, clock, random, log })
    const server = await listen(config, house)
    const workers = startWorkers(house, opened)
    const port = (server.address() as AddressInfo).port
    log.info('listening', { url: config.publicUrl, port, database: opened.engine, did: config.serviceDid })
    return {
      house,
      port,
      async close() {
        // From here on they begin nothing: a call to a host that the door doesn't let out any more would count against what it takes.
        const stopped = Promise.all(workers.map((worker) => worker.stop()))
        // Beside the server: whoever is told takes no longer to hear of it than whoever asks to be answered.
        const told = house.dispatcher.stop()
        await closeServer(server)
        await told
        // Before the workers have ended: one of them may be waiting for a directory that doesn't answer.
        await Promise.all([house.outbound.close(), house.inquiries.close(), house.calls.close()])
        await stopped
        house.vault.drop()
        await opened.close()
        log.info('closed')
      },
    }
  } catch (error) {
    await opened.close()
    throw error
  }
}

type Furniture = Required<Pick<Given, 'clock' | 'random' | 'log'>> & Pick<Given, 'rates' | 'nameServers' | 'pds'>

async function furnish(config: Config, db: Db, { clock, random, log, rates, nameServers, pds }: Furniture) {
  await migrate(db, clock)
  const instanceId = await loadInstanceId(db, random, clock)
  const vault = openVault({ db, ...keksOf(config, random), instanceId, clock, random, log })
  const { plcUrl, allowLoopback } = config
  const ownHosts = [new URL(config.publicUrl).host]
  const lookup = openHostLookup(nameServers)
  const outbound = openOutbound({ allowLoopback, ownHosts, trustedOrigins: [plcUrl], lookup, clock })
  const deliveries = openOutbound({
    allowLoopback,
    ownHosts,
    trustedOrigins: [],
    lookup,
    clock,
    atOnce: DELIVERIES_AT_ONCE,
  })
  const inquiries = openOutbound({ allowLoopback, ownHosts, trustedOrigins: [], lookup, clock, atOnce: ASKED_AT_ONCE })
  const documents = openDidDocuments({ outbound, plcUrl, allowLoopback, clock, log })
  const calls = openOutbound({ allowLoopback, ownHosts, trustedOrigins: [], lookup, clock })
  const grants = openGrants({
    ...{ site: siteOf(config.publicUrl), serviceDid: config.serviceDid, allowLoopback },
    ...{ vault, documents, outbound: calls, random, clock },
  })
  const sessions = openPdsSessions({ db, clock, random, log, vault, grants, serviceDid: config.serviceDid })
  const managingApps = openManagingApps({ clock, random, log, vault, documents, outbound: inquiries })
  const sponsorWords = openSponsorWords(managingApps, clock)
  const graphs = new Graphs()
  const words = new SealedWords(instanceId)
  const hosted = new Hosted()
  return {
    db,
    clock,
    random,
    names: drawnAhead(random),
    log,
    vault,
    outbound,
    deliveries,
    inquiries,
    calls,
    grants,
    sessions,
    lookups: openLookups(),
    accountSigner: openSigning({ db, hosted, vault, sessions }),
    documents,
    managingApps,
    sponsorWords,
    dispatcher: openDispatcher({ db, clock, random, log, vault, documents, deliveries, graphs, words, sponsorWords }),
    apps: openAppMetadata({ outbound, allowLoopback, clock, log }),
    directory: openPlcDirectory({ plcUrl, outbound }),
    handleProofs: openHandleProofs({ outbound, lookupTxt: openTxtLookup(nameServers) }),
    graphs,
    paces: openPaces(),
    hosted,
    issuing: openIssuing(db),
    intake: openIntake(db),
    refusedWrites: new RefusedWrites(),
    hook: openHook(db),
    verifiedTokens: new VerifiedTokens(),
    words,
    buckets: new RateBuckets(clock, rates),
    version: manifest.version,
    founders: config.founders,
    serviceDid: config.serviceDid,
    publicUrl: config.publicUrl,
    handleDomains: config.handleDomains,
    hostCaps: config.hostCaps,
    trustedProxies: config.trustedProxies,
    pds: pds ?? sessions,
    alarmsOf: (community) => loadAlarms({ db, clock }, community),
  } satisfies House & { outbound: Outbound; inquiries: Outbound; calls: Outbound }
}

/** The KEK that seals, and one from before that still opens. In development a KEK is made where there is none. */
function keksOf(config: Config, random: Random): { kek: Kek; previousKeks: readonly Kek[] } {
  const deps = { readEnv: readVariable, envIsPermitted: config.allowEnvKek, random }
  const developmentPath = join(config.dataDir, 'development.kek')
  if (!config.kek) createDevelopmentKek(developmentPath, random)
  const kek = openKek(config.kek ?? `file:${developmentPath}`, deps)
  return { kek, previousKeks: config.kekPrevious ? [openKek(config.kekPrevious, deps)] : [] }
}

function listen(config: Config, house: House): Promise<Server> {
  const server = createAdaptorServer({
    fetch: xrpcApp(house, DOORS).fetch,
    // Nothing of a request's address is believed; this only keeps the framework from reading `Host`.
    hostname: new URL(config.publicUrl).hostname,
    serverOptions: {
      maxHeaderSize: HEADERS_MAX_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEPT_IDLE_MS,
      connectionsCheckingInterval: 2_000,
    },
  }) as Server
  server.maxHeadersCount = HEADERS_MAX_COUNT
  server.maxConnections = CONNECTIONS_MAX
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(config.port, config.host, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

/** Takes no more connections, lets requests under way finish, and after a while ends those that don't. */
async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // A connection whose last answer has just gone out is idle only now, and would be kept open for the next request.
  const idle = repeat(async () => server.closeIdleConnections(), IDLE_LOOK_PAUSE_MS)
  const patience = new AbortController()
  await Promise.race([closed, sleep(CLOSING_MAX_MS, patience.signal)])
  patience.abort()
  server.closeAllConnections()
  await idle.stop()
  await closed
}

/** Sweeps batch after batch, so that no amount that a minute brings in is more than a minute takes out. */
async function untilLessThan(full: number, sweep: () => Promise<number>): Promise<void> {
  while ((await sweep()) >= full);
}

/** The work that goes on by itself. A turn that fails is told and tried again; it never takes the process down. */
function startWorkers(house: House, opened: OpenDatabase) {
  const turn = (name: string, work: (signal: AbortSignal) => Promise<unknown>) => async (signal: AbortSignal) => {
    try {
      await work(signal)
    } catch (error) {
      house.log.warn('worker.failed', { name, error: errorName(error) })
    }
  }
  const { db, clock } = house
  const clearing = { ...house, isStillHeld: (space: SpaceUri) => isStillHeld(db, space, clock.nowSec()) }
  let sweeps = 0
  const telling = openHostTelling({ ...house, vault: house.accountSigner })
  const tellHosts = repeat(
    turn('tell-hosts', (signal) => telling.turn(signal)),
    TELL_HOSTS_PAUSE_MS,
  )
  const steering = openSteering(house)
  const steer = repeat(
    turn('steering', (signal) => steering.turn(signal)),
    STEERING_PAUSE_MS,
  )
  return [
    repeat(
      turn('seal', () => sealDue(db)),
      SEAL_PAUSE_MS,
    ),
    repeat(
      turn('resume-mints', () => resumeMints(house)),
      RESUME_PAUSE_MS,
    ),
    repeat(
      turn('proposals', () => carryOutDue(house)),
      RESUME_PAUSE_MS,
    ),
    repeat(
      turn('resume-plc-work', () => resumePlcWork(house)),
      RESUME_PAUSE_MS,
    ),
    repeat(
      turn('resume-imports', (signal) => resumeImports(house, signal)),
      IMPORT_PAUSE_MS,
    ),
    repeat(
      turn('recheck', (signal) => recheckDue(house, signal)),
      RECHECK_PAUSE_MS,
    ),
    {
      async stop() {
        await tellHosts.stop()
        await telling.settled()
      },
    },
    {
      async stop() {
        await steer.stop()
        await steering.settled()
      },
    },
    repeat(
      turn('space-ends', (signal) => followSpaceEnds(house, signal)),
      SPACE_ENDS_PAUSE_MS,
    ),
    repeat(
      turn('space-clearing', (signal) => clearEndedSpaces(clearing, signal)),
      SPACE_ENDS_PAUSE_MS,
    ),
    repeat(
      turn('deliveries', async () => house.dispatcher.rouse()),
      DELIVERY_PAUSE_MS,
    ),
    repeat(
      turn('grants', (signal) => house.sessions.watch(signal)),
      WATCH_PAUSE_MS,
    ),
    repeat(
      turn('sweep', async () => {
        await untilLessThan(SWEEP_MAX, () => forgetSpent(db, clock.nowSec(), SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetAnswers(db, clock.nowMs(), SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetIssued(db, clock.nowSec() - ISSUED_KEPT_SEC, SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetRevocations(db, clock.nowMs(), SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => clearEndedRolls(db, SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetImports(db, clock.nowMs() - IMPORTS_KEPT_MS, SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetAttempts(db, clock.nowMs(), SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetTurns(db, clock.nowMs() - TURNS_KEPT_MS, SWEEP_MAX))
        await untilLessThan(SWEEP_MAX, () => forgetExpired(db, clock.nowMs(), SWEEP_MAX))
        await wakeLanes(db, clock.nowMs())
        house.vault.dropExpired()
        sweeps += 1
        if (sweeps % SWEEPS_PER_TIDYING === 0) await tidyTables(opened)
      }),
      SWEEP_PAUSE_MS,
    ),
  ]
}
