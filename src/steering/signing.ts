/**
 * Signatures in the name of communities, whoever has the key: of one that was founded here our vault signs, of one that is an account its
 * PDS does, by the grant of the account (`com.atproto.server.getServiceAuth`).
 */
import type { ServiceAuthUse } from '../keys/service-auth.ts'
import type { Vault } from '../keys/vault.ts'
import type { Hosted } from '../membership/hosted.ts'
import type { Did } from '../names.ts'
import type { Db } from '../platform/database.ts'
import { Unavailable } from '../refusals.ts'
import type { PdsSessions } from './connection.ts'
import { loadUsableConnection } from './connection-store.ts'
import { missingOf, TAKING_BACK } from './scopes.ts'

interface SigningDeps {
  readonly db: Db
  readonly hosted: Pick<Hosted, 'isAccount'>
  readonly vault: Pick<Vault, 'signServiceAuth'>
  readonly sessions: Pick<PdsSessions, 'serviceAuth'>
}

export interface Signing {
  /** As the vault's own. @throws Unavailable('KeyUnavailable') also when the PDS of an account doesn't sign */
  signServiceAuth(use: ServiceAuthUse): Promise<string>
  /** Whether the grant of an account is there and covers notices about its credentials. */
  maySignNotices(community: Did): Promise<boolean>
}

export const openSigning = ({ db, hosted, vault, sessions }: SigningDeps): Signing => ({
  async signServiceAuth(use) {
    if (!(await hosted.isAccount(db, use.community))) return vault.signServiceAuth(use)
    const token = await sessions.serviceAuth(use.community, use.aud, use.lxm)
    if (token === null) throw new Unavailable('KeyUnavailable', 'account')
    return token
  },
  async maySignNotices(community) {
    const connection = await loadUsableConnection(db, community)
    return connection !== null && missingOf([TAKING_BACK], connection.granted, community).length === 0
  },
})
