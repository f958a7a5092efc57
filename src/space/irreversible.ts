/** What is done to a space and can't be taken back: its end, and letting the public in, which has seen what it has seen. */
import { type Changed, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import type { Act } from '../membership/proposals.ts'
import type { Facts } from '../membership/standing-facts.ts'
import { endSpace, loadSpaceState } from '../membership/store.ts'
import type { SpaceName } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import { decideDelete, decideOpening } from '../policy/decide-spaces.ts'
import { standingIn } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { loadSpace, type SpaceRow, type SpaceSettings, saveSettings } from './store.ts'

/** The end of a space, as it is kept while it waits. */
interface Ending {
  readonly space: string
}

async function judgeEnding(tx: Tx, actor: Facts, space: SpaceName) {
  const isLive = (await loadSpaceState(tx, space.uri)) === 'live'
  if (!isLive || !standingIn(actor, space.uri).has(space.uri)) throw notFound()
  if (space.uri === rosterUri(space.authority)) {
    throw new Refusal('InvalidRequest', 'the roster lasts as long as its community')
  }
  return required(decideDelete(actor, actor.did, space.uri))
}

export const ENDING: Act = {
  name: 'space.delete',
  graceMs: 0,
  judge: (_ctx, tx, actor, input) => judgeEnding(tx, actor, requireSpace((input as Ending).space)),
  async carryOut(_ctx, tx, actor, input) {
    const space = requireSpace((input as Ending).space)
    const permit = await judgeEnding(tx, actor, space)
    await endSpace(tx, permit, space)
    return { answer: {}, changed: 'graph', because: permit.because, touches: { spaces: [space.uri] } }
  },
}

/** New settings of a space, as they are kept while they wait. */
interface NewSettings {
  readonly space: string
  readonly given: Partial<SpaceSettings>
}

/** A space as it is, and as it shall be. @throws Refusal('NotFound') */
export async function settingsAfter(
  tx: Tx,
  space: SpaceName,
  given: Partial<SpaceSettings>,
): Promise<{ readonly before: SpaceSettings; readonly after: SpaceSettings }> {
  const before = await loadSpace(tx, space.uri)
  if (!before) throw notFound()
  return { before: settingsOf(before), after: { ...settingsOf(before), ...given } }
}

/** Whether strangers get in who were kept out. */
export const letsPublicIn = (before: SpaceSettings, after: SpaceSettings): boolean =>
  (after.readPolicy === 'public' && before.readPolicy !== 'public') ||
  (after.writePolicy === 'public' && before.writePolicy !== 'public')

async function judgeSettings(tx: Tx, actor: Facts, space: SpaceName, given: Partial<SpaceSettings>) {
  const { before, after } = await settingsAfter(tx, space, given)
  const isOpening = after.readPolicy !== before.readPolicy || after.writePolicy !== before.writePolicy
  return required(
    isOpening ? decideOpening(actor, actor.did, space.uri) : decideAct(actor, actor.did, 'space.configure', space.uri),
  )
}

/** Judges new settings and writes them. */
export async function changeSettings(
  tx: Tx,
  actor: Facts,
  space: SpaceName,
  given: Partial<SpaceSettings>,
): Promise<Changed<object>> {
  const permit = await judgeSettings(tx, actor, space, given)
  const { before, after } = await settingsAfter(tx, space, given)
  const isSame = JSON.stringify(before) === JSON.stringify(after)
  if (!isSame) await saveSettings(tx, permit, space.uri, after)
  const { readPolicy, writePolicy } = after
  const details = {
    readPolicy,
    writePolicy,
    readPolicyBefore: before.readPolicy,
    writePolicyBefore: before.writePolicy,
  }
  return { answer: {}, changed: isSame ? 'nothing' : 'roster', because: permit.because, details }
}

export const OPENING: Act = {
  name: 'space.open',
  graceMs: 0,
  judge: (_ctx, tx, actor, input) => {
    const { space, given } = input as NewSettings
    return judgeSettings(tx, actor, requireSpace(space), given)
  },
  carryOut: (_ctx, tx, actor, input) => {
    const { space, given } = input as NewSettings
    return changeSettings(tx, actor, requireSpace(space), given)
  },
}

const settingsOf = ({ name, description, readPolicy, writePolicy }: SpaceRow): SpaceSettings => ({
  name,
  description,
  readPolicy,
  writePolicy,
})
