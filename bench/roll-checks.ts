/** The kinds of questions that the roll is asked, each of which knows its answer: nothing is measured that isn't true. */
import { loadReadFacts, mayRead } from '../src/access/may-read.ts'
import { type Did, parseSpaceUri, type SpaceUri } from '../src/names.ts'
import type { Operation } from './roll-costs.ts'
import {
  DEPTH,
  hubTarget,
  isInHub,
  isLeaf,
  isOnRoster,
  isUnderWide,
  LAYERS,
  nodeOf,
  parentOf,
  personOf,
  powerful,
  TREE,
  type World,
} from './roll-world.ts'

/** Asks whether somebody may read a space, and makes sure of the answer. */
async function check({ roll }: World, did: Did, space: SpaceUri, expected: boolean): Promise<void> {
  const name = parseSpaceUri(space)
  const read = name && (await loadReadFacts(roll, name, did))
  if (read?.space !== 'live') throw new Error(`${space} is not there`)
  const isAllowed = mayRead(read.facts, { did, clientId: null }).ok
  if (isAllowed !== expected) throw new Error(`${did} in ${space}: ${isAllowed}`)
}

/** The kinds of checks, each for as many persons as there are. */
export function checksIn(world: World) {
  const { space, people } = world
  const chosen = (isOne: (person: number) => boolean, most = 20_000): number[] => {
    const found: number[] = []
    // Steps over everybody, so that those who are chosen don't all stand on neighbouring pages.
    for (let step = 0; step < people && found.length < most; step++) {
      const person = 1 + ((step * 104_729) % people)
      if (isOne(person)) found.push(person)
    }
    return found
  }
  const one = (persons: readonly number[], at: number): number => persons[at % persons.length] ?? 0
  const inTree = chosen((person) => nodeOf(person) !== null)
  const atLeaves = inTree.filter((person) => isLeaf(nodeOf(person) ?? 0))
  const inHub = chosen(isInHub)
  const underWide = chosen(isUnderWide)
  const onRoster = chosen(isOnRoster)
  const outside = chosen((person) => nodeOf(person) === null && !isInHub(person))
  const deep: Operation = (at) => check(world, personOf(one(atLeaves, at)), space('t-0'), true)
  const hub: Operation = (at) => check(world, personOf(one(inHub, at)), space(hubTarget(at)), true)
  const wide: Operation = (at) => check(world, personOf(one(underWide, at)), space('wide'), true)
  const above: Operation = (at) => {
    const person = one(inTree, at)
    let node = nodeOf(person) ?? 0
    for (let up = at % DEPTH; up > 0 && node > 0; up--) node = parentOf(node)
    return check(world, personOf(person), space(`t-${node}`), true)
  }
  const plaza: Operation = (at) => check(world, personOf(1 + ((at * 104_729) % people)), space('plaza'), true)
  const roster: Operation = (at) => check(world, personOf(one(onRoster, at)), space('plaza'), true)
  const nowhere: Operation = (at) =>
    check(world, personOf(one(outside, at)), space(`t-${TREE - 1 - (at % 9_000)}`), false)
  const kinds = [above, nowhere, plaza, roster, above, hub, wide, nowhere]
  const mixed: Operation = (at) => (kinds[at % kinds.length] ?? above)(at)
  const power: Operation = (at) =>
    check(world, powerful(at), space(`t-${((at % 10) + 9 * ((at * 31) % 1_000)) % TREE}`), true)
  const powerAtRoot: Operation = (at) => check(world, powerful(at), space('t-0'), true)
  const diamonds: Operation = () => check(world, personOf('diamonds'), space(`d-${LAYERS}-0`), true)
  const chain: Operation = () => check(world, personOf('chain'), space(`c-${LAYERS}`), true)
  /** Of somebody at the very bottom of the tree, in the space so many levels above. */
  const nested =
    (depth: number): Operation =>
    (at) => {
      const person = one(atLeaves, at)
      let node = nodeOf(person) ?? 0
      for (let up = 0; up < depth; up++) node = parentOf(node)
      return check(world, personOf(person), space(`t-${node}`), true)
    }
  return { mixed, deep, hub, wide, roster, power, powerAtRoot, diamonds, chain, nested }
}
