/** The shares that were given to a ceremony, opened one by one at whoever combines: each bad one by the name of its keeper, and the others go on. */
import * as z from 'zod'
import { givenHashOf, isActBy, type Seat } from '../keys/ceremony-statements.ts'
import type { Opener } from '../keys/opener-key.ts'
import { isShareFor, type Share } from '../keys/shares.ts'
import { type Did, parseDid } from '../names.ts'
import type { CeremonyFile } from './ceremony-file.ts'
import { NoJson, readJsonFile } from './files.ts'

const given = z.looseObject({
  statementHash: z.string(),
  sealed: z.string().max(512),
  act: z.object({ at: z.string().max(64), sig: z.string().max(128) }),
  did: z.custom<Did>((value) => parseDid(value) !== null).optional(),
})
type Given = Readonly<z.infer<typeof given>>

const GIVEN_MAX_BYTES = 16 * 1024

/** One share as somebody gave it, sealed; null where it is plainly for another ceremony. */
interface Offer {
  readonly seat: Seat
  readonly sealed: string | null
  /** Whether the keeper of the seat signed that they gave this: whoever carries it can write any name on it. */
  readonly isTheirs: boolean
}

/** Open shares, which the caller wipes, who gave a bad one and why, and in whose name something lies there that they didn't sign. */
export interface GatheredShares {
  readonly good: readonly { readonly did: Did; readonly share: Share }[]
  readonly bad: readonly { readonly did: Did; readonly why: string }[]
  readonly unsigned: readonly Did[]
}

/** What was found in files that `reeve keeper give` wrote. @throws Error in words for one that is none, or of nobody who has a seat */
export const offersIn = (paths: readonly string[], found: CeremonyFile): readonly Offer[] =>
  paths.map((path) => offerOf(readGiven(path), found))

function readGiven(path: string): Given {
  try {
    const share = given.safeParse(readJsonFile(path, GIVEN_MAX_BYTES)).data
    if (share) return share
  } catch (error) {
    if (!(error instanceof NoJson)) throw error
  }
  throw new Error('a file of --share is none that reeve keeper give wrote')
}

/** Whose it is: whom it names, or else by whose key it is signed. */
function offerOf({ statementHash, sealed, act: { at, sig }, did }: Given, { said, hashHex }: CeremonyFile): Offer {
  const subject = givenHashOf(sealed)
  const isBy = ({ signKey }: Seat) => isActBy({ statementHash, act: 'submit', subject, at }, signKey, sig)
  const seat = said.seats.find((one) => (did === undefined ? isBy(one) : one.did === did))
  if (!seat) throw new Error('a file of --share is of nobody who has a seat in this ceremony, or it was changed')
  return { seat, sealed: statementHash === hashHex ? sealed : null, isTheirs: isBy(seat) }
}

/** The shares that the service passes on. One that was given again stands in the place of the one before. */
export const offersOf = ({ said, hashHex, deeds }: CeremonyFile): readonly Offer[] =>
  deeds.flatMap(({ did, act, at, sealed, sig }) => {
    const seat = said.seats.find((one) => one.did === did)
    if (act !== 'submit' || sealed === undefined || !seat) return []
    const claim = { statementHash: hashHex, act, subject: givenHashOf(sealed), at } as const
    return [{ seat, sealed, isTheirs: sig !== undefined && isActBy(claim, seat.signKey, sig) }]
  })

/** Opens what was offered and signed. Of somebody who gave several, a good one counts. `own`: an open share of whoever combines, by its seat's DID. */
export async function gather(
  { said, statementHash }: Pick<CeremonyFile, 'said' | 'statementHash'>,
  opener: Opener,
  offers: readonly Offer[],
  own: { readonly did: Did; readonly share: Share } | null,
): Promise<GatheredShares> {
  const good = new Map<Did, Share>(own ? [[own.did, own.share]] : [])
  const bad = new Map<Did, string>()
  const unsigned = new Set(offers.filter(({ isTheirs }) => !isTheirs).map(({ seat }) => seat.did))
  for (const { seat, sealed } of offers.filter(({ isTheirs }) => isTheirs)) {
    if (good.has(seat.did)) continue
    const { x, commitment } = seat
    const share = sealed === null || x === null ? null : await opener.open(sealed, { statementHash, x })
    const dealtBy = new Uint8Array(Buffer.from(said.quorum.dealtBy ?? '', 'hex'))
    if (share && x !== null && commitment !== null && isShareFor(share, { x, commitment }, dealtBy))
      good.set(seat.did, share)
    else {
      share?.y.fill(0)
      bad.set(seat.did, share ? WRONG : sealed === null ? ELSEWHERE : CLOSED)
    }
  }
  return {
    good: [...good].map(([did, share]) => ({ did, share })),
    bad: [...bad].filter(([did]) => !good.has(did)).map(([did, why]) => ({ did, why })),
    unsigned: [...unsigned].filter((did) => !good.has(did)),
  }
}

const CLOSED = 'what they gave was not sealed for this ceremony, or it was changed on its way'
const WRONG = 'it is another share than the one that was dealt to them'
const ELSEWHERE = 'what they gave is for another ceremony'
