/** What decisions cost in the measured process, once everything that they need was loaded. */
import { loadReadFacts } from '../src/access/may-read.ts'
import { type Did, parseSpaceUri, type SpaceUri } from '../src/names.ts'
import type { AccessFacts } from '../src/policy/decide.ts'
import { judgeHook } from '../src/policy/hook.ts'
import { type Edge, RosterGraph } from '../src/policy/roster-graph.ts'
import type { Reeve } from '../src/reeve.ts'
import { cpuSec, type Order, type Report } from './served-orders.ts'

async function factsAbout({ house }: Reeve, space: SpaceUri, dids: readonly Did[]): Promise<readonly AccessFacts[]> {
  const name = parseSpaceUri(space)
  const known: AccessFacts[] = []
  for (const did of name ? dids : []) {
    const read = name && (await loadReadFacts(house, name, did))
    if (read?.space === 'live') known.push(read.facts)
  }
  return known
}

/** Answers everything once, half of it about reading and half about writing. @throws Error when somebody isn't let in */
function decideAll(known: readonly AccessFacts[], dids: readonly Did[]): void {
  let yes = 0
  for (const [at, facts] of known.entries()) {
    const access = at % 2 === 0 ? 'read' : 'write'
    if (judgeHook(facts, { did: dids[at] as Did, access, clientId: null }).ok) yes += 1
  }
  if (yes !== dids.length) throw new Error('somebody was not let in')
}

/** The verdict on questions of a PDS alone: everything that has to be loaded for them is there. */
export async function decisionsOnly(
  reeve: Reeve,
  { space, dids, rounds }: Extract<Order, { kind: 'decisions' }>,
): Promise<Report> {
  const known = await factsAbout(reeve, space, dids)
  decideAll(known, dids)
  const before = cpuSec()
  for (let round = 0; round < rounds; round++) decideAll(known, dids)
  return { kind: 'crypto', cpuSec: cpuSec() - before, count: dids.length * rounds }
}

/**
 * The same where nothing was asked of the graph before, as after each change of it: each verdict has a graph of its own. `nested` further
 * spaces are nested in the one asked about. What making the graph of its rows takes is measured by itself.
 */
export async function coldDecisions(
  reeve: Reeve,
  { space, dids, nested }: Extract<Order, { kind: 'cold' }>,
): Promise<Report> {
  const known = await factsAbout(reeve, space, dids)
  const term = { holding: null, sinceMs: null, untilMs: null }
  const further = Array.from({ length: nested }, (_, nth): Edge => {
    return { into: space, from: `${space}-${nth}` as SpaceUri, role: 'member', ...term }
  })
  const edges = known.map(({ graph }) => [...graph.edges, ...further])
  const begun = cpuSec()
  const fresh = known.map((facts, at): AccessFacts => {
    const { community, offered, apps, openings, roles } = facts.graph
    return { ...facts, graph: new RosterGraph(community, edges[at] ?? [], offered, { apps, openings }, roles) }
  })
  const made = cpuSec()
  decideAll(fresh, dids)
  return { kind: 'cold', verdictSec: cpuSec() - made, graphSec: made - begun, count: dids.length }
}
