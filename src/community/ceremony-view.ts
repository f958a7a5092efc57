/** A ceremony as the tools of its people read it. */
import { encodeStatement } from '../keys/ceremony-statements.ts'
import type * as lexicon from '../lexicons/community/reeve/key/defs.ts'
import type { FactsCtx } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { toBase64Url } from '../platform/bytes.ts'
import { isoOf } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import { type Deed, listDeeds, loadPacket } from './ceremony-act-store.ts'
import { missingIn } from './ceremony-course.ts'
import { listCounted, mayCombine, stateBy } from './ceremony-seats.ts'
import { type Ceremony, loadCeremony } from './ceremony-store.ts'

/** What an act answers. Packets are large: who wants theirs asks for it. @throws Error when there is no such ceremony */
export async function shownCeremony(ctx: FactsCtx, db: Db | Tx, id: string, caller: Did): Promise<lexicon.Ceremony> {
  const ceremony = await loadCeremony(db, id)
  if (!ceremony) throw new Error('no such ceremony')
  return shown(ctx, db, ceremony, caller)
}

/** The same with the packet that is sealed to whoever asks. */
export async function shownWithPacket(
  ctx: FactsCtx,
  db: Db | Tx,
  ceremony: Ceremony,
  caller: Did,
): Promise<lexicon.Ceremony> {
  const packet = await loadPacket(db, ceremony.id, caller)
  const rest = await shown(ctx, db, ceremony, caller)
  return { ...rest, ...(packet ? { packet: Buffer.from(packet).toString('base64') } : {}) }
}

async function shown(ctx: FactsCtx, db: Db | Tx, written: Ceremony, caller: Did): Promise<lexicon.Ceremony> {
  const counted = await listCounted(db, written, ctx.clock.nowMs())
  const ceremony = { ...written, state: stateBy(written, counted) }
  const deeds = await listDeeds(db, written.id)
  const isForThem = caller === written.statement.combiner && (await mayCombine(ctx, db, written))
  const isSealedFor = (deed: Deed): boolean =>
    isForThem && counted.some(({ did, act }) => did === deed.did && act === deed.act)
  const { id, kind, state, fault, statement, statementHash, sig, dealt, signed, createdBy, expiresAtMs } = ceremony
  return {
    ...{ ceremony: id, kind, state, ...(fault === null ? {} : { fault }) },
    ...{ statement: toBase64Url(encodeStatement(statement)), statementHash, sig },
    ...(dealt ? { transcript: mutable(dealt.transcript), proof: dealt.proof } : {}),
    deeds: deeds.map((deed) => shownDeed(deed, isSealedFor(deed))),
    ...(signed === null ? {} : { signed }),
    ...{ expiresAt: isoOf(expiresAtMs), createdBy, missing: missingIn(ceremony, counted) },
  }
}

const mutable = ({ xs, commitments, packets, ...rest }: NonNullable<Ceremony['dealt']>['transcript']) => ({
  ...rest,
  ...{ xs: [...xs], commitments: [...commitments], packets: [...packets] },
})

/** Nobody but whoever combines, and may still, is shown a share, sealed as it is: nobody else has to do anything with it. */
const shownDeed = ({ did, act, at, sig, given }: Deed, isCombiner: boolean): lexicon.Deed => ({
  ...{ did, act, at, sig },
  ...(isCombiner && act === 'submit' && given !== null ? { sealed: given } : {}),
})
