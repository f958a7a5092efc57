/** `com.atproto.space.unregisterNotify`: a service is told no more, as far as that is for whoever asks to say. */
import type { Holder } from '../access/holder.ts'
import { appendUnsealed } from '../audit/store.ts'
import type * as lexicon from '../lexicons/com/atproto/space/unregisterNotify.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { Refusal } from '../refusals.ts'
import type { RegisterCtx } from './registerNotify.ts'
import { deleteRegistration, deleteSponsor, holdSponsored, type Sponsor } from './registration-store.ts'

/**
 * The same app, where it proved which one it is, ends what it registered for anybody; so does the last sponsor. Another sponsor takes
 * only their own word back: the others still want it told. Whoever is neither changes nothing, or anybody who may read could keep
 * the service of somebody else from hearing; the answer is the same, since who registered what is told to nobody here.
 *
 * A space that has ended is told of its end no more either. Order of checks: that of the credential; the credential is for this space
 * (InvalidCredential). @throws Refusal
 */
export async function unregisterNotify(
  ctx: Pick<RegisterCtx, 'db' | 'clock'>,
  holder: Holder,
  input: lexicon.$InputBody,
): Promise<undefined> {
  if (holder.space.uri !== input.space) throw new Refusal('InvalidCredential', 'the credential is for another space')
  const { service } = input
  const nowMs = ctx.clock.nowMs()
  await withTransaction(ctx.db, async (tx) => {
    for (const { id, sponsors } of await holdSponsored(tx, holder.space.uri, service)) {
      const done = await withdraw(tx, holder, id, sponsors)
      // Of strangers' tries nothing is kept, or they could fill the log.
      if (done !== 'nothing' || holder.isOnRoll) await record(tx, holder, { service, done, nowMs })
    }
  })
}

type Done = 'ended' | 'withdrawn' | 'nothing'

async function withdraw(tx: Tx, { did, clientId }: Holder, id: number, sponsors: readonly Sponsor[]): Promise<Done> {
  const isApp = clientId !== null && sponsors.some((sponsor) => sponsor.clientId === clientId)
  const isSponsor = sponsors.some((sponsor) => sponsor.did === did && sponsor.clientId === clientId)
  if (isApp || (isSponsor && sponsors.length === 1)) {
    await deleteRegistration(tx, id)
    return 'ended'
  }
  if (!isSponsor) return 'nothing'
  await deleteSponsor(tx, id, { did, clientId })
  return 'withdrawn'
}

function record(
  tx: Tx,
  { space, did, clientId, revision }: Holder,
  { service, done, nowMs }: { readonly service: string; readonly done: Done; readonly nowMs: number },
): Promise<void> {
  return appendUnsealed(tx, {
    community: space.authority,
    atMs: nowMs,
    actor: did,
    action: 'notify.unregister',
    target: space.uri,
    subject: null,
    because: { reasons: [], revision, done, service, clientId },
  })
}
