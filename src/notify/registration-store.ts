/** The tables of registrations: who asked to hear of writes in a space, by whose access, and until when. */
import type { Generated } from 'kysely'

declare module '../platform/database.ts' {
  interface Tables {
    registration: {
      id: Generated<number>
      space: string
      community: string
      service: string
      host: string
      registered_at_ms: number
      expires_at_ms: number
      proved_at_ms: number | null
      paused_at_ms: number | null
      paused_by: string | null
      ended_at_ms: number | null
      wanted_rev: number
      delivered_rev: number
      look_at_ms: Generated<number>
      turn: Generated<number>
      checked_revision: number
      checked_at_ms: number
      delivered_at_ms: number | null
      gaps: Generated<number>
      failures: Generated<number>
      failing_since_ms: number | null
      last_error: string | null
    }
    registration_sponsor: { registration: number; did: string; client_id: string; since_ms: number }
  }
}
