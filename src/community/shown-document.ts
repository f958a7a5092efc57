/** Whether the document that everybody sees says what the operation in force says: nobody here acts on a log alone. */
import type { DidDocuments } from '../identity/did-documents.ts'
import type { PlcOperation } from '../identity/plc-operation.ts'
import type { Did } from '../names.ts'
import type { Log } from '../platform/log.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { Unavailable } from '../refusals.ts'

interface ShownCtx {
  readonly documents: DidDocuments
  readonly log: Log
}

/** Compares the names, and the keys and services by which communities are reached here, in the document as it is served now. @throws Unavailable when they differ, or it doesn't come */
export async function requireShown(
  ctx: ShownCtx,
  did: Did,
  { verificationMethods, services, alsoKnownAs }: PlcOperation,
): Promise<void> {
  ctx.documents.expire(did)
  const document = await ctx.documents.resolve(did, { fresh: true })
  const sameKey = (name: 'atproto' | 'atproto_space'): boolean => {
    const wanted = parseDidKey(verificationMethods[name])?.key.compressed
    const shown = document?.key(name)?.compressed
    return wanted && shown ? Buffer.from(wanted).equals(shown) : !wanted && !shown
  }
  const sameService = (name: 'atproto_space_host' | 'atproto_pds'): boolean => {
    const wanted = services[name]
    const shown = document?.service(name)
    if (!wanted || typeof shown !== 'object') return !wanted && shown === 'absent'
    return shown.type === wanted.type && shown.endpoint === wanted.endpoint
  }
  const sameKeys = sameKey('atproto') && sameKey('atproto_space')
  const sameHome = sameService('atproto_space_host') && sameService('atproto_pds')
  if (document?.alsoKnownAs.join('\n') === alsoKnownAs.join('\n') && sameKeys && sameHome) return
  ctx.log.error('plc.documentDiffers', { did })
  throw new Unavailable('UpstreamFailure', 'plc-directory')
}
