/** Who holds a credential that was shown and would be given to them now: what the methods behind it are told of them. */
import type { ClientId, Did, ServiceId, SpaceName } from '../names.ts'
import type { AccessFacts } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'

export interface Holder {
  /** The space that the credential is for. */
  readonly space: SpaceName
  readonly did: Did
  /** The app that proved which one it is when the credential was asked for. */
  readonly clientId: ClientId | null
  /** The managing app by whose word the credential was given; null: by nobody's. */
  readonly managedBy: ServiceId | null
  /** Null: the space has come to its end. */
  readonly facts: AccessFacts | null
  /** The revision of the space's community at which they were judged. */
  readonly revision: number
  /** Whether they have an entry on any roster of the community. */
  readonly isOnRoll: boolean
}

/** Requires the credential to be for the space that is asked about, and that to be there. @throws Refusal InvalidCredential, SpaceNotFound */
export function requireSpaceOf({ space, facts }: Holder, asked: string): AccessFacts {
  if (space.uri !== asked) throw new Refusal('InvalidCredential', 'the credential is for another space')
  if (!facts) throw spaceNotFound()
  return facts
}

export const spaceNotFound = (): Refusal => new Refusal('SpaceNotFound', 'no such space here')
