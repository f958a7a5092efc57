/** The OAuth client, opened when it is first needed: its library takes long to load, and a start shouldn't wait for what few communities use. */
import type { OAuthDeps, OAuthGrants } from './oauth-client.ts'

export type Grants = () => Promise<OAuthGrants>

export function openGrants(deps: OAuthDeps): Grants {
  let opening: Promise<OAuthGrants> | null = null
  return () => {
    opening ??= import('./oauth-client.ts').then(({ OAuthGrants }) => new OAuthGrants(deps))
    return opening
  }
}
