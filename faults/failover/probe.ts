/**
 * Somebody who doesn't come by way of the proxy: it holds connections to a node and writes there whatever its part is, so that a node which takes
 * itself for the primary beside another is found out by what it acknowledges.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { eventually } from '../../test/kit/waiting.ts'
import { BACK_MAX_MS, type Cluster, type Node } from './cluster.ts'

const HELD = 4
const ANSWER_MAX_MS = 3_000

export interface Probe {
  /** Opens connections to a node that goes on, for later. */
  connect(node: Node): Promise<void>
  /** One write on each of them at once, which nobody waits for: into the sockets of a node that stands still. */
  write(): void
  /** Some more on each, and on new ones. */
  writeOn(): Promise<void>
  /** The same again and again until that is so; then its connections are closed. Fails when it never is. */
  writeUntil(what: string, isOver: () => Promise<boolean>): Promise<void>
  /** What was asked and acknowledged, and how much of that the primary of now doesn't have. */
  close(): Promise<{ asked: number; acknowledged: number; lost: number }>
}

export async function openProbe(cluster: Cluster): Promise<Probe> {
  const onPrimary = async <T>(work: (client: pg.Client) => Promise<T>): Promise<T> => {
    const client = await connected(cluster.urlOf(await cluster.primary()))
    try {
      return await work(client)
    } finally {
      await client.end()
    }
  }
  await onPrimary((client) => client.query('create table probe (id int primary key)'))
  let url = ''
  let held: pg.Client[] = []
  let asked = 0
  const acknowledged: number[] = []
  const waiting = new Set<pg.Client>()
  const writing: Promise<void>[] = []

  const insert = async (client: pg.Client): Promise<void> => {
    // Whoever hasn't been answered asks nothing more.
    if (waiting.has(client)) return
    waiting.add(client)
    asked += 1
    const id = asked
    await client.query('insert into probe values ($1)', [id]).then(
      () => acknowledged.push(id),
      // Refused, read-only, cut, or too late: it wasn't acknowledged.
      () => {},
    )
    waiting.delete(client)
  }
  const writeOn = async () => {
    const fresh = await connected(url).catch(() => null)
    const all = fresh ? [...held, fresh] : held
    await Promise.race([Promise.all(all.map(insert)), sleep(ANSWER_MAX_MS)])
    void fresh?.end().catch(() => {})
  }
  return {
    async connect(node) {
      url = cluster.urlOf(node)
      held = await Promise.all(Array.from({ length: HELD }, () => connected(url)))
    },
    write() {
      writing.push(...held.map(insert))
    },
    writeOn,
    async writeUntil(what, isOver) {
      const written = async () => {
        await writeOn()
        return isOver()
      }
      await eventually(what, written, BACK_MAX_MS)
      for (const client of held) void client.end().catch(() => {})
      held = []
    },
    async close() {
      await Promise.race([Promise.all(writing), sleep(ANSWER_MAX_MS)])
      const { rows } = await onPrimary((client) => client.query<{ id: number }>('select id from probe'))
      const there = new Set(rows.map(({ id }) => id))
      return { asked, acknowledged: acknowledged.length, lost: acknowledged.filter((id) => !there.has(id)).length }
    },
  }
}

async function connected(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: ANSWER_MAX_MS, application_name: 'probe' })
  // Whoever is cut off hears of it by the next write.
  client.on('error', () => {})
  await client.connect()
  return client
}
