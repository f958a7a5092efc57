/**
 * PostgreSQL that fails over by itself, on loopback: etcd, three nodes under Patroni, HAProxy in front of them and of Reeve. All of it is configured
 * by what operators are given, `ops/patroni.yml` and `ops/haproxy.cfg`; only names, addresses, folders and passwords are put in.
 */
import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { parse, stringify } from 'yaml'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { freePort } from '../../test/kit/ports.ts'
import { eventually } from '../../test/kit/waiting.ts'
import { childrenOf, Daemon, signalAll, unprivileged } from './daemon.ts'

const PROGRAMS = { etcd: '/usr/bin/etcd', patroni: '/usr/bin/patroni', haproxy: '/usr/sbin/haproxy' }
const SERVERS = '/usr/lib/postgresql'
export const NODES = 3
/** However slow the machine is: what takes longer doesn't come any more. */
const START_MAX_MS = 300_000
/** The same for what was away: what hasn't come back by then doesn't come back by itself. */
export const BACK_MAX_MS = 240_000
/** A node that stands still says nothing. */
const ANSWER_MAX_MS = 2_000
const HANDING_OVER_MAX_MS = 60_000
/** Where standbys may be behind, so many bytes don't keep one from taking over. */
const LAG_MAX_BYTES = 1024 ** 3

/** Why there can't be a cluster here; null when there can. */
export function missingPrograms(): string | null {
  if (process.platform !== 'linux') return 'it looks after processes as Linux shows them'
  const missing = Object.entries(PROGRAMS).filter(([, path]) => !existsSync(path))
  if (!existsSync(SERVERS)) missing.push(['postgresql', SERVERS])
  return missing.length === 0 ? null : `${missing.map(([name]) => name).join(', ')} not installed`
}

/** What a node says of itself (`GET /patroni`). */
interface Standing {
  readonly state: string
  readonly role: string
  readonly replication?: readonly { readonly state: string; readonly sync_state: string }[]
}

export class Node {
  readonly name: string
  readonly port: number
  readonly restPort: number
  readonly #data: string
  readonly #patroni: Daemon
  #still: readonly number[] = []

  constructor(about: { name: string; port: number; restPort: number; data: string; patroni: Daemon }) {
    this.name = about.name
    this.port = about.port
    this.restPort = about.restPort
    this.#data = about.data
    this.#patroni = about.patroni
  }

  start(): void {
    this.#patroni.start()
  }

  /** What it says of itself, or null when it says nothing. */
  async standing(): Promise<Standing | null> {
    return (await askNode(this.restPort, '/patroni'))?.body ?? null
  }

  /** Whether whoever asks for the primary is led here. */
  async isPrimary(): Promise<boolean> {
    return (await askNode(this.restPort, '/primary'))?.status === 200
  }

  async isKeeper(): Promise<boolean> {
    return (await askNode(this.restPort, '/sync'))?.status === 200
  }

  get isRunning(): boolean {
    return this.#patroni.pid !== null
  }

  /** The machine goes dark: nothing of it runs any more, and nothing says goodbye. */
  async die(): Promise<void> {
    const all = await this.#processes()
    signalAll(all, 'SIGKILL')
    await this.#patroni.end('SIGKILL')
    await eventually('a killed node ends', async () => all.every((pid) => !existsSync(`/proc/${pid}`)))
  }

  /** The machine stands still, with everything in its sockets and in its memory; or Patroni alone does, and its PostgreSQL goes on. */
  async standStill(what: 'everything' | 'patroni'): Promise<void> {
    const all = await this.#processes()
    this.#still = what === 'everything' ? all : all.filter((pid) => pid === this.#patroni.pid)
    signalAll(this.#still, 'SIGSTOP')
  }

  goOn(): void {
    signalAll(this.#still, 'SIGCONT')
    this.#still = []
  }

  async stop(): Promise<void> {
    this.goOn()
    await this.#patroni.end('SIGTERM')
    signalAll(await this.#processes(), 'SIGKILL')
  }

  lastWords(): string {
    return this.#patroni.lastWords()
  }

  /** Patroni, the first process of PostgreSQL, and all of its children, if there are any. */
  async #processes(): Promise<readonly number[]> {
    const first = Number((await readFile(join(this.#data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n', 1)[0])
    const server = first > 0 && existsSync(`/proc/${first}`) ? [first, ...childrenOf(first)] : []
    return [this.#patroni.pid, ...server].filter((pid) => pid !== null)
  }
}

export interface Cluster {
  readonly nodes: readonly Node[]
  readonly etcd: Daemon
  readonly proxy: Daemon
  /** The database by way of the proxy, for Reeve. */
  readonly databaseUrl: string
  /** Where the world comes in, by way of the proxy. */
  readonly worldPort: number
  /** Ports for the processes of Reeve behind it. */
  readonly reevePorts: readonly number[]
  /** The node that may be written to. Waits for one. */
  primary(): Promise<Node>
  /** The standby without which nothing is acknowledged. Waits for one. */
  keeper(): Promise<Node>
  /** The server of a node, past the proxy, as its superuser. */
  urlOf(node: Node): string
  /** Waits until there is a primary, all others follow it, and one of them keeps what is acknowledged. */
  isWhole(): Promise<void>
  /** Hands the primary's part to a standby, as an operator does. @throws Error when it is refused */
  switchOver(): Promise<void>
  /** Changes what lies in etcd, as `patronictl edit-config` does, and waits until the primary does as it says. */
  keepTwice(isOn: boolean): Promise<void>
  close(): Promise<void>
}

/** Asks Patroni on a node, and answers null when it doesn't. */
async function askNode(port: number, path: string, body?: object, method = 'POST') {
  try {
    const asked = body && { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    const signal = AbortSignal.timeout(body ? HANDING_OVER_MAX_MS : ANSWER_MAX_MS)
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { ...asked, signal })
    const text = await answer.text()
    return { status: answer.status, text, body: text.startsWith('{') ? (JSON.parse(text) as Standing) : null }
  } catch {
    return null
  }
}

export async function openCluster({ reeves }: { reeves: number }): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'reeve-cluster-'))
  const account = unprivileged()
  const own = async (path: string) => {
    if (account) await chown(path, account.uid, account.gid)
  }
  await own(folder)
  const daemon = (name: string, program: string, args: readonly string[]) =>
    new Daemon({ program, args, account, cwd: folder, log: join(folder, `${name}.log`) })
  const etcdPort = await freePort()
  const etcd = daemon('etcd', PROGRAMS.etcd, etcdArguments(join(folder, 'etcd'), etcdPort, await freePort()))
  const passwords = passwordsOf(['SUPERUSER', 'REPLICATION', 'REWIND', 'REEVE'])
  const nodes: Node[] = []
  for (let nth = 1; nth <= NODES; nth++) {
    const [name, port, restPort] = [`node${nth}`, await freePort(), await freePort()]
    const data = join(folder, name)
    await mkdir(data, { mode: 0o700 })
    await own(data)
    const file = join(folder, `${name}.yml`)
    const bin = await newestServer()
    const filled = await patroniFile({ name, port, restPort, etcdPort, data, bin, passwords, sockets: folder })
    await writeFile(file, filled, { mode: 0o600 })
    await own(file)
    nodes.push(new Node({ name, port, restPort, data, patroni: daemon(name, PROGRAMS.patroni, [file]) }))
  }
  const [databasePort, worldPort] = [await freePort(), await freePort()]
  const reevePorts: number[] = []
  while (reevePorts.length < reeves) reevePorts.push(await freePort())
  const proxyFile = join(folder, 'haproxy.cfg')
  await writeFile(proxyFile, await proxyText({ databasePort, worldPort, nodes, reevePorts }))
  const proxy = daemon('haproxy', PROGRAMS.haproxy, ['-db', '-f', proxyFile])

  const all = [etcd, proxy]
  const cluster: Cluster = {
    ...{ nodes, etcd, proxy, worldPort, reevePorts },
    databaseUrl: `postgres://reeve:${passwords.REEVE}@127.0.0.1:${databasePort}/reeve`,
    primary: () =>
      eventually(
        'there is a primary',
        async () => {
          const found = await Promise.all(nodes.map((node) => node.isPrimary()))
          return found.filter(Boolean).length === 1 ? nodes[found.indexOf(true)] : null
        },
        START_MAX_MS,
      ),
    keeper: () =>
      eventually(
        'a standby keeps what is acknowledged',
        async () => {
          const found = await Promise.all(nodes.map((node) => node.isKeeper()))
          return nodes[found.indexOf(true)]
        },
        START_MAX_MS,
      ),
    urlOf: ({ port }) => `postgres://postgres:${passwords.SUPERUSER}@127.0.0.1:${port}/postgres`,
    async isWhole() {
      await eventually('every node has its part', () => isWhole(nodes), START_MAX_MS)
    },
    async switchOver() {
      const leader = await cluster.primary()
      const said = await askNode(leader.restPort, '/switchover', { leader: leader.name })
      if (said?.status !== 200) throw new Error(`the switchover was refused: ${said?.text ?? 'no answer'}`)
    },
    async keepTwice(isOn) {
      const leader = await cluster.primary()
      const wish = { synchronous_mode: isOn, synchronous_mode_strict: isOn, maximum_lag_on_failover: LAG_MAX_BYTES }
      const said = await askNode(leader.restPort, '/config', wish, 'PATCH')
      if (said?.status !== 200) throw new Error(`the settings were refused: ${said?.text ?? 'no answer'}`)
      const isSo = async () => {
        const { replication = [] } = (await leader.standing()) ?? {}
        return replication.length > 0 && replication.some(({ sync_state }) => sync_state === 'sync') === isOn
      }
      await eventually('the primary does as it is told', isSo, START_MAX_MS)
    },
    async close() {
      await Promise.all(nodes.map((node) => node.stop()))
      await Promise.all(all.map((one) => one.end('SIGKILL')))
      await rm(folder, { recursive: true, force: true })
    },
  }
  try {
    for (const one of all) one.start()
    for (const node of nodes) node.start()
    await cluster.isWhole()
    await makeDatabase(cluster.urlOf(await cluster.primary()), passwords)
    return cluster
  } catch (error) {
    const words = [...nodes, ...all].map((one) => one.lastWords()).join('\n')
    await cluster.close()
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${words}`)
  }
}

async function isWhole(nodes: readonly Node[]): Promise<boolean> {
  const standings = await Promise.all(nodes.map((node) => node.standing()))
  const followed = standings.flatMap((one) => one?.replication ?? []).filter(({ state }) => state === 'streaming')
  const primaries = await Promise.all(nodes.map((node) => node.isPrimary()))
  const isKeptTwice = followed.some(({ sync_state }) => sync_state === 'sync' || sync_state === 'quorum')
  return primaries.filter(Boolean).length === 1 && followed.length === nodes.length - 1 && isKeptTwice
}

type Passwords = Readonly<Record<'SUPERUSER' | 'REPLICATION' | 'REWIND' | 'REEVE', string>>

const passwordsOf = (names: readonly (keyof Passwords)[]): Passwords =>
  Object.fromEntries(names.map((name) => [name, randomHex(systemRandom, 24)])) as Passwords

/** The role and the database that an operator makes for Reeve (docs/running.md, "PostgreSQL"). */
async function makeDatabase(connectionString: string, { REEVE }: Passwords): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await client.query(`create role reeve login password '${REEVE}'`)
    await client.query(`create database reeve owner reeve encoding 'UTF8' template template0`)
  } finally {
    await client.end()
  }
}

function etcdArguments(data: string, port: number, peerPort: number): readonly string[] {
  const [here, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`]
  return [
    ...['--name', 'one', '--data-dir', data, '--logger', 'zap', '--enable-v2'],
    ...['--listen-client-urls', here, '--advertise-client-urls', here],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `one=${peer}`],
  ]
}

/** The newest server that is installed here. */
async function newestServer(): Promise<string> {
  const versions = (await readdir(SERVERS)).map(Number).filter(Number.isFinite)
  return join(SERVERS, String(Math.max(...versions)), 'bin')
}

interface Placed {
  readonly name: string
  readonly port: number
  readonly restPort: number
  readonly etcdPort: number
  readonly data: string
  readonly bin: string
  readonly passwords: Passwords
  readonly sockets: string
}

/** `ops/patroni.yml` with a node's own names and addresses in it. */
async function patroniFile({ name, port, restPort, etcdPort, data, bin, passwords, sockets }: Placed): Promise<string> {
  const given = parse(await readFile(new URL('../../ops/patroni.yml', import.meta.url), 'utf8'))
  const [rest, server] = [`127.0.0.1:${restPort}`, `127.0.0.1:${port}`]
  given.name = name
  Object.assign(given.restapi, { listen: rest, connect_address: rest })
  given.etcd.hosts = [`127.0.0.1:${etcdPort}`]
  const { postgresql } = given
  Object.assign(postgresql, { listen: server, connect_address: server, data_dir: data, bin_dir: bin })
  postgresql.pgpass = `${data}.pgpass`
  postgresql.pg_hba = postgresql.pg_hba.map((line: string) => line.replace('10.0.0.0/24', '127.0.0.1/32'))
  // Three servers on one machine have no place of the system's for their local sockets.
  postgresql.parameters = { unix_socket_directories: sockets }
  for (const one of Object.values<{ password: keyof Passwords }>(postgresql.authentication))
    Object.assign(one, { password: passwords[one.password] })
  return stringify(given)
}

interface Fronted {
  readonly databasePort: number
  readonly worldPort: number
  readonly nodes: readonly Node[]
  readonly reevePorts: readonly number[]
}

/** `ops/haproxy.cfg` with the addresses of here in it, and without a certificate. @throws Error when it isn't what this was written for */
async function proxyText({ databasePort, worldPort, nodes, reevePorts }: Fronted): Promise<string> {
  let text = await readFile(new URL('../../ops/haproxy.cfg', import.meta.url), 'utf8')
  const put = (from: RegExp, to: string) => {
    if (!from.test(text)) throw new Error(`ops/haproxy.cfg has nothing like ${from}`)
    text = text.replace(from, to)
  }
  put(/bind 127\.0\.0\.1:5000/, `bind 127.0.0.1:${databasePort}`)
  // Here it is nobody's service that could lay its privileges down.
  put(/\n *user haproxy\n *group haproxy/, '')
  put(/bind :443 ssl .*/, `bind 127.0.0.1:${worldPort}`)
  for (const { name, port, restPort } of nodes)
    put(new RegExp(`server ${name} .*`), `server ${name} 127.0.0.1:${port} check port ${restPort}`)
  for (let nth = 1; nth <= 3; nth++) {
    const port = reevePorts[nth - 1]
    const line = new RegExp(`\\n *server reeve${nth} .*`)
    put(line, port === undefined ? '' : `\n  server reeve${nth} 127.0.0.1:${port} check`)
  }
  return text
}
