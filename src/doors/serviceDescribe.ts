/** `community.reeve.service.describe`: what this service is and what it speaks. */
import { CREDENTIAL, DELEGATION } from '../credential/token-classes.ts'
import type * as lexicon from '../lexicons/community/reeve/service/describe.ts'
import { managingAppOf } from '../names.ts'
import { BODY_MAX_BYTES } from '../platform/limits.ts'
import type { House } from './house.ts'

export async function serviceDescribe(house: House): Promise<lexicon.$OutputBody> {
  return {
    did: house.serviceDid,
    version: house.version,
    managingApp: managingAppOf(house.serviceDid),
    profiles: ['august-dpop', 'october-http-signature'],
    limits: {
      credentialLifetimeSec: CREDENTIAL.lifetimeDefaultSec,
      delegationLifetimeMaxSec: DELEGATION.lifetimeMaxSec,
      bodyMaxBytes: BODY_MAX_BYTES,
      handleDomains: [...house.handleDomains],
    },
  }
}
