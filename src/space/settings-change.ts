/** New settings of a space: judged, and written. What is left out stays as it is. */
import { openingOf } from '../membership/facts-store.ts'
import { type Changed, notFound, required } from '../membership/governance.ts'
import { type JoiningRule, saveJoining } from '../membership/joining-store.ts'
import type { Facts } from '../membership/standing-facts.ts'
import type { SpaceName } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { decideAct } from '../policy/decide.ts'
import { decideJoining } from '../policy/decide-joining.ts'
import { decideOpening } from '../policy/decide-spaces.ts'
import { Refusal } from '../refusals.ts'
import { requireOwnWord } from './settings.ts'
import { loadSpace, type SpaceRow, type SpaceSettings, saveSettings } from './store.ts'

/** What shall be otherwise. It can be kept as JSON while it waits for somebody to approve it. */
export interface Given {
  readonly settings: Partial<SpaceSettings>
  readonly joining: Partial<JoiningRule>
}

/** A space as it is, and the settings that it shall have. @throws Refusal('NotFound') */
async function settingsAfter(
  tx: Tx,
  space: SpaceName,
  { settings }: Given,
): Promise<{ readonly row: SpaceRow; readonly before: SpaceSettings; readonly after: SpaceSettings }> {
  const row = await loadSpace(tx, space.uri)
  if (!row) throw notFound()
  const before = settingsOf(row)
  const after = { ...before, ...settings }
  return { row, before, after }
}

/**
 * Whether people would get in whom no roster knows and who are kept out: everybody, or whom another service lets in. Who is in already
 * because everybody is, is not let in by a service. @throws Refusal('NotFound')
 */
export async function letsStrangersIn(tx: Tx, space: SpaceName, given: Given): Promise<boolean> {
  const { before, after } = await settingsAfter(tx, space, given)
  const opens = (policy: 'readPolicy' | 'writePolicy'): boolean =>
    after[policy] !== 'memberList' && after[policy] !== before[policy] && before[policy] !== 'public'
  return opens('readPolicy') || opens('writePolicy')
}

/**
 * Judges new settings. Order of checks: the space is there and the actor stands in it (NotFound); Forbidden; a space at a PDS asks nobody else
 * (UnsupportedPolicy), which is for those to know who stand there.
 */
export async function judgeSettings(tx: Tx, actor: Facts, space: SpaceName, given: Given) {
  const { row, before, after } = await settingsAfter(tx, space, given)
  const isOpening = after.readPolicy !== before.readPolicy || after.writePolicy !== before.writePolicy
  const permit = required(
    isOpening ? decideOpening(actor, actor.did, space.uri) : decideAct(actor, actor.did, 'space.configure', space.uri),
  )
  if (row.isBound) requireOwnWord(after.readPolicy, after.writePolicy)
  return permit
}

/**
 * Judges new settings and writes them. Order of checks: as `judgeSettings`; then, for the way of joining, the role that people get
 * who join is said where everybody may (InvalidRequest), exists (UnknownRole), and gives nobody any power (OpenToAnybody).
 */
export async function changeSettings(tx: Tx, actor: Facts, space: SpaceName, given: Given): Promise<Changed<object>> {
  const permit = await judgeSettings(tx, actor, space, given)
  const { row, before, after } = await settingsAfter(tx, space, given)
  const isSame = JSON.stringify(before) === JSON.stringify(after)
  if (!isSame) await saveSettings(tx, permit, space.uri, after)
  const joining = await changeJoining(tx, actor, row, given.joining)
  const { readPolicy, writePolicy } = after
  const details = {
    ...joining?.details,
    readPolicy,
    writePolicy,
    readPolicyBefore: before.readPolicy,
    writePolicyBefore: before.writePolicy,
  }
  const changed = joining ? 'graph' : isSame ? 'nothing' : 'roster'
  return { answer: {}, changed, because: permit.because, details }
}

/** Changes how a space is joined, where that is asked for, and answers what the audit keeps of it; null: it is as it was. */
async function changeJoining(
  tx: Tx,
  actor: Facts,
  before: SpaceName & JoiningRule,
  given: Partial<JoiningRule>,
): Promise<{ readonly details: Record<string, string | null> } | null> {
  const after = joiningAfter(before, given)
  const { joining, joiningRole } = after
  if (joining === before.joining && joiningRole === before.joiningRole) return null
  if (joiningRole !== null && !actor.roles.has(joiningRole)) {
    throw new Refusal('UnknownRole', 'the community has no such role')
  }
  const opening = joiningRole === null ? null : openingOf(before.uri, before.authority, joiningRole)
  await saveJoining(tx, required(decideJoining(actor, actor.did, before.uri, opening)), before.uri, after)
  return {
    details: { joining, joiningRole, joiningBefore: before.joining, joiningRoleBefore: before.joiningRole },
  }
}

function joiningAfter(before: JoiningRule, given: Partial<JoiningRule>): JoiningRule {
  const joining = given.joining ?? before.joining
  if (joining !== 'open') {
    if (given.joiningRole === undefined) return { joining, joiningRole: null }
    throw new Refusal('InvalidRequest', 'joiningRole is for a space that takes everybody')
  }
  const joiningRole = given.joiningRole ?? before.joiningRole
  if (joiningRole === null) throw new Refusal('InvalidRequest', 'say by joiningRole what they get who join')
  return { joining, joiningRole }
}

const settingsOf = ({ name, description, readPolicy, writePolicy }: SpaceSettings): SpaceSettings => ({
  name,
  description,
  readPolicy,
  writePolicy,
})
