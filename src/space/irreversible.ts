/** What is done to a space and can't be taken back: its end, and letting strangers in, who have seen what they have seen. */
import { deleteAppRulesOf } from '../membership/app-rule-store.ts'
import { notFound, required, rosterUri } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import type { Act } from '../membership/proposals.ts'
import { endSpace } from '../membership/space-end-store.ts'
import type { Facts } from '../membership/standing-facts.ts'
import { loadSpaceState } from '../membership/store.ts'
import type { SpaceName } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { decideDelete } from '../policy/decide-spaces.ts'
import { standingIn } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { changeSettings, type Given, judgeSettings } from './settings-change.ts'

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
  async carryOut(_ctx, tx, actor, input, nowMs) {
    const space = requireSpace((input as Ending).space)
    const permit = await judgeEnding(tx, actor, space)
    await endSpace(tx, permit, space, nowMs)
    await deleteAppRulesOf(tx, permit, space.uri)
    return { answer: {}, changed: 'graph', because: permit.because, touches: { spaces: [space.uri] } }
  },
}

/** New settings of a space, as they are kept while they wait. */
interface Opening {
  readonly space: string
  readonly given: Given
}

export const OPENING: Act = {
  name: 'space.open',
  graceMs: 0,
  judge: (_ctx, tx, actor, input) => {
    const { space, given } = input as Opening
    return judgeSettings(tx, actor, requireSpace(space), given)
  },
  carryOut: (_ctx, tx, actor, input) => {
    const { space, given } = input as Opening
    return changeSettings(tx, actor, requireSpace(space), given)
  },
}
