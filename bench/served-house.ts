/** What the floor of the house costs in the measured process: the statement of an issuance alone, a select, a bare server beside it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sql } from 'kysely'
import { loadReadFacts, mayRead } from '../src/access/may-read.ts'
import { type Issue, issue, openIssuing } from '../src/credential/store.ts'
import { authorityOf, type Did, parseSpaceUri, type SpaceUri, spaceUriOf } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { type Db, withTransaction } from '../src/platform/database.ts'
import { claimId } from '../src/platform/once.ts'
import { randomHex, systemRandom } from '../src/platform/random.ts'
import type { Reeve } from '../src/reeve.ts'
import { FORUM } from '../test/kit/roll.ts'
import { quantile } from './load.ts'
import { settle } from './roll-world.ts'
import type { Order } from './served-orders.ts'

/** Latencies of some work, so much of it at once; sorted. */
async function inParallel(count: number, inFlight: number, one: (at: number) => Promise<void>) {
  const latenciesMs: number[] = []
  let next = 0
  const worker = async () => {
    for (let at = next++; at < count; at = next++) {
      const begun = performance.now()
      await one(at)
      latenciesMs.push(performance.now() - begun)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return latenciesMs.toSorted((a, b) => a - b)
}

/** What is written for one exchange of August, with a token and a proof that were never used. */
async function makeIssues({ house }: Reeve, space: SpaceUri, dids: readonly Did[], count: number): Promise<Issue[]> {
  const name = parseSpaceUri(space)
  if (!name) throw new Error('no space')
  const nowSec = systemClock.nowSec()
  const decided = await Promise.all(
    dids.map(async (did) => {
      const read = await loadReadFacts(house, name, did)
      if (read.space !== 'live') throw new Error('the space is not there')
      const verdict = mayRead(read.facts, { did, clientId: null })
      if (!verdict.ok) throw new Error(`${did} is not let in`)
      return { did, grant: verdict.value, basis: read.basis }
    }),
  )
  return Array.from({ length: count }, (_, at): Issue => {
    const one = decided[at % decided.length]
    if (!one) throw new Error('nobody')
    const jti = randomHex(systemRandom, 16)
    const keepUntilSec = nowSec + 600
    return {
      grant: one.grant,
      claims: [
        { kind: 'delegation', id: claimId('delegation', one.did, jti), keepUntilSec },
        { kind: 'dpop', id: claimId('dpop', jti, jti), keepUntilSec },
      ],
      issuance: { jti, holder: jti, issuedAtSec: nowSec, expiresAtSec: nowSec + 600, basis: one.basis },
      atMs: nowSec * 1_000,
    }
  })
}

/** Writes so many down, and says how long each waited. @throws Error when one is not issued */
export async function issueMany(reeve: Reeve, order: Extract<Order, { kind: 'issues' }>) {
  const { space, dids, count, inFlight, isGathered } = order
  const all = await makeIssues(reeve, space, dids, count)
  const gathered = openIssuing(reeve.house.db)
  const write = (one: Issue) => (isGathered ? gathered.ask(one) : issue(reeve.house.db, one))
  return () =>
    inParallel(count, inFlight, async (at) => {
      const one = all[at]
      const outcome = one && (await write(one))
      if (outcome !== 'issued') throw new Error(`not issued but ${JSON.stringify(outcome)}`)
    })
}

export async function selectMany({ house }: Reeve, { space, count }: Extract<Order, { kind: 'selects' }>) {
  const latenciesMs = await inParallel(count, 1, async () => {
    await sql`select state from space where uri = ${space}`.execute(house.db)
  })
  return { kind: 'selects', p50Ms: quantile(latenciesMs, 0.5) } as const
}

/** What an answer costs when there is nothing behind it: Node's own HTTP, and no more. A POST is read to its end first. */
export async function bareServer() {
  const server = createServer((incoming, outgoing) => {
    const answer = () => {
      outgoing.writeHead(200, { 'content-type': 'application/json' })
      outgoing.end('{"authorized":true}')
    }
    if (incoming.method === 'GET') return answer()
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', answer)
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  server.unref()
  return { kind: 'bare', port: (server.address() as AddressInfo).port } as const
}

/** Puts these people on a roster, past every verdict. */
export const enrol = (db: Db, space: SpaceUri, dids: readonly Did[]): Promise<void> =>
  withTransaction(db, async (tx) => {
    const community = authorityOf(space)
    await sql`insert into person_edge (into_space, did, community, role, added_by, added_at_ms)
      select ${space}, did, ${community}, 'member', ${community}, ${systemClock.nowMs()}::bigint
        from unnest(${dids}::text[]) as person (did)`.execute(tx)
    await sql`update community_revision set revision = revision + 1 where community = ${community}`.execute(tx)
  })

/** So many spaces, past every verdict: each nested in the one of half its number, and with the edge for owners that every space has. */
export async function makeSpaces(db: Db, community: Did, count: number): Promise<void> {
  const uri = (at: number) => spaceUriOf(community, FORUM, `made-${at}`).uri
  const uris = Array.from({ length: count }, (_, at) => uri(at))
  const nested = uris.slice(1).map((from, at) => ({ into: uri(at >> 1), from }))
  const nowMs = systemClock.nowMs()
  await withTransaction(
    db,
    async (tx) => {
      await sql`insert into space (uri, community, space_type, skey, state, created_by, created_at_ms)
        select uri, ${community}, ${FORUM}, 'made-' || (at - 1), 'live', ${community}, ${nowMs}::bigint
          from unnest(${uris}::text[]) with ordinality as made (uri, at)`.execute(tx)
      await sql`insert into space_settings (uri, read_policy, write_policy)
        select uri, 'memberList', 'memberList' from unnest(${uris}::text[]) as made (uri)`.execute(tx)
      await sql`insert into space_edge (into_space, from_space, role, community, holding, is_system, added_by, added_at_ms)
        select made.uri, space.uri, 'owner', ${community}, 'community.transfer', true, ${community}, ${nowMs}::bigint
          from unnest(${uris}::text[]) as made (uri), space
          where space.community = ${community} and space.space_type = 'community.reeve.roster'
        union all select into_space, from_space, 'reader', ${community}, null, false, ${community}, ${nowMs}::bigint
          from unnest(${nested.map(({ into }) => into)}::text[], ${nested.map(({ from }) => from)}::text[])
            as made (into_space, from_space)`.execute(tx)
      await sql`update community_revision set revision = revision + 1, graph_revision = graph_revision + 1
        where community = ${community}`.execute(tx)
    },
    { isPatient: true },
  )
  await settle({ db })
}
