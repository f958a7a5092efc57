/** The tables of the room, as its stores see them. What the columns mean is said in `migrations/0012-steering.sql`. */
import type { Did, SpaceUri } from '../names.ts'

export type SteeringMode = 'hook' | 'projection'
export type Generation = 'august' | 'october'
/** What somebody may do at a PDS: 1 reads, 2 writes, 3 both, 0 neither. */
export type Flags = 0 | 1 | 2 | 3

declare module '../platform/database.ts' {
  interface Tables {
    connect_attempt: {
      id: string
      community: Did
      begun_by: Did
      asked: string
      link_hash: string
      browser_hash: string | null
      state: string | null
      sealed: Uint8Array | null
      dek_version: number | null
      expires_at_ms: number
    }
    pds_connection: {
      community: Did
      state: 'connected' | 'lost'
      because: string | null
      asked: string
      granted: string
      connected_by: Did
      connected_at_ms: number
      state_since_ms: number
      sealed: Uint8Array | null
      dek_version: number | null
      version: number
      renewed_at_ms: number
    }
    held_turn: { name: string; holder: string; until_ms: number }
    steered_space: {
      space: SpaceUri
      community: Did
      bound_at_ms: number
      mode: SteeringMode
      state: 'making' | 'kept' | 'missing' | 'ending'
      speaks: Generation | null
      begun_by: Did
      begun_at_ms: number
      fault: string | null
      fault_since_ms: number | null
      again_at_ms: number
      failures: number
      plan_no: number
      planned_at_ms: number | null
      plan_after_ms: number
      plan_due_ms: number | null
      there: string | null
      settings_due: boolean
      reconciled_at_ms: number | null
      reconcile_due_ms: number
    }
    steered_basis: { space: SpaceUri; community: Did; revision: number; looked: number }
    steered_member: {
      space: SpaceUri
      did: Did
      wants: Flags
      has: Flags | null
      plan: number
      is_held: boolean
      refused: string | null
    }
    steered_look: {
      id: string
      space: SpaceUri
      asked_by: Did | null
      state: 'reading' | 'shown' | 'applied' | 'failed'
      because: string | null
      began_at_ms: number
      ended_at_ms: number | null
      read: number
      missing: number
      extra: number
      differing: number
      settings: string
    }
    steered_actual: { look: string; did: Did; has: Flags; wants: Flags | null }
  }
}
