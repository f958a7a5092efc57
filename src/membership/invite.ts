/** The word that an invite is: whoever has it may join, so it is shown once, and only its hash is kept. */
import { sha256, toBase64Url } from '../platform/bytes.ts'
import { freshTid, type Random, randomHex } from '../platform/random.ts'
import type { Invite, NewInvite } from './invite-store.ts'

const TOKEN_BYTES = 32
/** People and programs that look for secrets in texts know one by how it begins. */
const PREFIX = 'reeve-invite-'
const TOKEN = /^reeve-invite-[\w-]{43}$/

/** A new invite's id, by which it is listed in the order of making, and its word. */
export function freshInvite(nowMs: number, random: Random): { id: string; token: string } {
  return {
    id: `${freshTid(nowMs, random)}${randomHex(random, 4)}`,
    token: PREFIX + toBase64Url(random.bytes(TOKEN_BYTES)),
  }
}

/** What is kept of a word, or null for a text that is none. */
export const hashOfToken = (token: string): NewInvite['tokenHash'] | null => (TOKEN.test(token) ? sha256(token) : null)

export type InviteState = 'open' | 'usedUp' | 'expired' | 'revoked'

/** What has become of an invite, as far as it says so itself. */
export function stateOf(invite: Invite, nowMs: number): InviteState {
  if (invite.revokedAtMs !== null) return 'revoked'
  if (invite.usesLeft === 0) return 'usedUp'
  const endsAtMs = Math.min(invite.expiresAtMs, invite.untilMs ?? invite.expiresAtMs)
  return nowMs < endsAtMs ? 'open' : 'expired'
}
