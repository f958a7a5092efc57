/** `com.atproto.space.unregisterNotify`: a service is told no more, as far as that is for whoever asks to say. */
import type { Holder } from '../access/holder.ts'
import { appendUnsealed } from '../audit/store.ts'
import type * as lexicon from '../lexicons/com/atproto/space/unregisterNotify.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { Refusal } from '../refusals.ts'
import type { RegisterCtx } from './registerNotify.ts'
import { deleteRegistration, deleteSponsors, holdSponsored, type Sponsor } from './registration-store.ts'

/**
 * An app that proved which one it is takes back what it said for anybody; a person with an app that proved nothing, their own word. With
 * the last word the registration ends; while there are others, they still want it told, and to have come to sponsor it is no leave to
 * speak for them. Whoever said nothing changes nothing, or anybody who may read could keep the service of somebody else from hearing;
 * the answer is the same, since who registered what is told to nobody here.
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
  const mine = sponsors.filter((one) => one.clientId === clientId && (clientId !== null || one.did === did))
  if (mine.length === 0) return 'nothing'
  if (mine.length === sponsors.length) {
    await deleteRegistration(tx, id)
    return 'ended'
  }
  await deleteSponsors(tx, id, mine)
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
