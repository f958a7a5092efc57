/** How a space is kept at its PDS, as those who govern it are shown it. */
import type * as reeve from '../lexicons/community/reeve/defs.ts'
import type * as defs from '../lexicons/community/reeve/steering/defs.ts'
import { type Did, parseSpaceUri } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { RosterGraph } from '../policy/roster-graph.ts'
import { notEnforced } from '../space/not-enforced.ts'
import { listSpaces } from '../space/store.ts'
import type { Look } from './look-store.ts'
import { loadProgress, NO_PROGRESS, type Progress } from './outbox-store.ts'
import { listSteeredOf, listTroubled, type Steered } from './steered-store.ts'
import type { Flags } from './tables.ts'

/** What is known of a community besides its rows here. */
export interface Knowing {
  readonly graph: RosterGraph
}

/** What owners have to see to, of all spaces of a community: each with the name of its space. */
export async function alarmsOfSpaces(db: Db, community: Did, limit: number): Promise<reeve.Caveat[]> {
  const troubled = await listTroubled(db, community, limit)
  const progress = await loadProgress(
    db,
    troubled.map(({ space }) => space),
  )
  return troubled.flatMap((one) =>
    alarmsOf(one, progress.get(one.space) ?? NO_PROGRESS).map(({ name, says }) => ({
      name,
      says: `${one.space}: ${says}`,
    })),
  )
}

/** The steered spaces of a community in the order of their URIs, after `after`. */
export async function listSteered(
  db: Db | Tx,
  community: Did,
  { limit, after, ...knowing }: Knowing & { readonly limit: number; readonly after: string },
): Promise<defs.Steered[]> {
  return renderAll(db, await listSteeredOf(db, community, after, limit), knowing)
}

export async function renderSteered(db: Db | Tx, steered: Steered, knowing: Knowing): Promise<defs.Steered> {
  const [one] = await renderAll(db, [steered], knowing)
  if (!one) throw new TypeError('nothing of a space that is steered')
  return one
}

async function renderAll(db: Db | Tx, all: readonly Steered[], { graph }: Knowing): Promise<defs.Steered[]> {
  const uris = all.map(({ space }) => space)
  const progress = await loadProgress(db, uris)
  const rows = new Map((await listSpaces(db, uris, '', uris.length)).map((row) => [row.uri, row]))
  return all.map((steered) => {
    const row = rows.get(steered.space)
    const space = parseSpaceUri(steered.space)
    if (!space) throw new TypeError('a space without a name')
    const { readPolicy, writePolicy } = row ?? { readPolicy: 'memberList', writePolicy: 'memberList' }
    const caveats = notEnforced({ space, readPolicy, writePolicy, apps: graph.apps }, steered.mode, steered.speaks)
    return shown(steered, progress.get(steered.space) ?? NO_PROGRESS, caveats)
  })
}

function shown(steered: Steered, progress: Progress, caveats: readonly reeve.Caveat[]): defs.Steered {
  const { space, mode, state, speaks, begunBy, begunAtMs, reconciledAtMs, reconcileDueMs, isEnded } = steered
  return {
    ...{ space, mode, begunBy, begunAt: isoOf(begunAtMs) },
    state: isEnded ? 'ending' : state,
    speaks: speaks ?? 'unknown',
    ...(mode === 'projection' ? { progress } : {}),
    ...(reconciledAtMs === null ? {} : { reconciledAt: isoOf(reconciledAtMs) }),
    ...(state === 'kept' && !isEnded ? { nextLookAt: isoOf(reconcileDueMs) } : {}),
    alarms: alarmsOf(steered, progress),
    notEnforced: [...caveats],
  }
}

function alarmsOf({ fault }: Steered, { held, refused }: Progress): reeve.Caveat[] {
  return [
    ...(fault === null
      ? []
      : [{ name: fault, says: SAYS.get(fault) ?? 'The PDS does not take it, and calls it by this name.' }]),
    ...(held > 0
      ? [
          {
            name: 'RemovalsWait',
            says: 'People are on the list whom nobody here declared. They stay until an owner applies a look.',
          },
        ]
      : []),
    ...(refused > 0
      ? [
          {
            name: 'PeopleRefused',
            says: 'The PDS does not take some people. They are tried again: removals within the hour, others once a day.',
          },
        ]
      : []),
  ]
}

const SAYS: ReadonlyMap<string, string> = new Map([
  ['NotConnected', 'The account has given no grant, or it is lost: have an owner connect it.'],
  ['GrantTooNarrow', 'The grant of the account does not cover this space: have an owner connect it again.'],
  ['GoneAtPds', 'The space is not at the PDS any more. It is made anew when an owner puts it again.'],
  ['NotSpaceOwner', 'The PDS says that the space is of another account.'],
  ['Released', 'The account took its consent back, so nothing is done at its PDS.'],
  ['EmptyRoster', 'Nobody was met on the roster, so nobody is taken off the list.'],
  ['PdsUnreachable', 'The PDS has not answered for a while.'],
  ['UnreadableSpace', 'The PDS answers about the space in words that are not understood.'],
  ['UnreadableList', 'The list of the PDS could not be read to its end, so nothing follows from it.'],
  ['OtherSpace', 'The PDS made a space of another name.'],
  ['MethodNotImplemented', 'The PDS does not have the methods that keep a list.'],
  ['UnsupportedPolicy', 'The PDS does not take the policy.'],
  ['UnsupportedAppAccess', 'The PDS does not take the list of apps.'],
])

export function renderLook(look: Look): defs.Look {
  const { id: name, askedBy, state, because, beganAtMs, endedAtMs, read, missing, extra, differing, settings } = look
  const isFinished = state === 'shown' || state === 'applied'
  return {
    ...{ name, state, read, beganAt: isoOf(beganAtMs) },
    ...(askedBy === null ? {} : { askedBy }),
    ...(because === null ? {} : { because }),
    ...(endedAtMs === null ? {} : { endedAt: isoOf(endedAtMs) }),
    ...(isFinished ? { missing, extra, differing, settings: [...settings] } : {}),
  }
}

export const wordsOfFlags = (flags: Flags): string[] => [
  ...((flags & 1) === 0 ? [] : ['read']),
  ...((flags & 2) === 0 ? [] : ['write']),
]
