/** What a role allows. The shipped roles are data in `policies/roles.json`, so that a change of power is a diff one can read. */
import shipped from '../../policies/roles.json' with { type: 'json' }

/** Everything that can be allowed, in the order in which a table of powers is read. */
export const ACTIONS = [
  'read',
  'write',
  'members.read',
  'members.add',
  'members.remove',
  'members.ban',
  'invite',
  'role.assign',
  'role.configure',
  'space.create',
  'space.configure',
  'space.delete',
  'space.nest',
  'apps.review',
  'credentials.revoke',
  'audit.read',
  'keys.view',
  'keys.ceremony',
  'community.configure',
  'community.export',
  'community.transfer',
] as const

export type Action = (typeof ACTIONS)[number]

const ORDINARY: ReadonlySet<Action> = new Set(['read', 'write', 'members.read'])

/** Whether an action is power over others. Whoever gives one away must hold it. */
export const isManaging = (action: Action): boolean => !ORDINARY.has(action)

/** The action by which an owner is told from everybody else: no other shipped role has it, and no role can be given it. */
export const OWNER_MARK = 'community.transfer' satisfies Action
export const OWNER = 'owner'

/** A community's roster; a role space, whose people get their power where it is nested; a space in which records are kept. */
export type SpaceKind = 'roster' | 'role' | 'content'

/**
 * In which kind of space somebody must hold an action to do what it allows. Held anywhere else it opens nothing by itself, though
 * an entry of a space may ask for it of those who come through (`holding`).
 *
 * What concerns the community as a whole is judged in its roster. Nobody keeps records in rosters and role spaces, so there is
 * nothing to read or write there, no app to let near it and no credential to take back; what a community says of apps, or takes
 * back everywhere at once, it says in its roster. And a roster can't be deleted.
 */
export const ASKED_IN: Readonly<Record<Action, readonly SpaceKind[]>> = {
  read: ['content'],
  write: ['content'],
  'members.read': ['roster', 'role', 'content'],
  'members.add': ['roster', 'role', 'content'],
  'members.remove': ['roster', 'role', 'content'],
  'members.ban': ['roster', 'role', 'content'],
  invite: ['roster', 'role', 'content'],
  'role.assign': ['roster', 'role', 'content'],
  'role.configure': ['roster'],
  'space.create': ['roster'],
  'space.configure': ['roster', 'role', 'content'],
  'space.delete': ['role', 'content'],
  'space.nest': ['roster', 'role', 'content'],
  'apps.review': ['roster', 'content'],
  'credentials.revoke': ['roster', 'content'],
  'audit.read': ['roster'],
  'keys.view': ['roster'],
  'keys.ceremony': ['roster'],
  'community.configure': ['roster'],
  'community.export': ['roster'],
  'community.transfer': ['roster'],
}

/** Role name → the actions it allows, as one community understands them. */
export type Roles = ReadonlyMap<string, ReadonlySet<Action>>

const isAction = (text: string): text is Action => (ACTIONS as readonly string[]).includes(text)

/** Text that names an action, or null. */
export const parseAction = (text: string): Action | null => (isAction(text) ? text : null)

/** The roles every community starts with. A word in the file that is no action stops the start: a typo must not weaken a role unseen. */
export const SHIPPED_ROLES: Roles = new Map(
  Object.entries(shipped).map(([name, role]) => {
    const actions = role.actions === 'all' ? ACTIONS : (role.actions as string[])
    for (const action of actions) if (!isAction(action)) throw new TypeError(`policies/roles.json: ${name}: ${action}`)
    return [name, new Set(actions as readonly Action[])]
  }),
)

/** What each shipped role is for, for people to read. */
export const SHIPPED_DESCRIPTIONS: ReadonlyMap<string, string> = new Map(
  Object.entries(shipped).map(([name, { description }]) => [name, description]),
)
