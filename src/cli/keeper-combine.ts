/**
 * `reeve keeper drill` and `reeve keeper combine`: the shares that keepers gave, put together at one of them for one signature. The whole key is here
 * for that moment, and nowhere after it.
 */
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import type { PlcOperation } from '../identity/plc-operation.ts'
import { type CeremonyKind, givenHashOf, isConcludedBy, wordsToSign } from '../keys/ceremony-statements.ts'
import { signWithShares } from '../keys/combining.ts'
import { type OpenKeeper, openKeeper } from '../keys/keeper-keys.ts'
import { openOpener } from '../keys/opener-key.ts'
import { type Share, wipe } from '../keys/shares.ts'
import { systemClock } from '../platform/clock.ts'
import { isMeant, LOG_HELP, LOG_OPTIONS, readCeremony, readLogOf, signAct } from './at-ceremony.ts'
import { type Asker, askerOf, assertNotOver, assertOwnSeat, bodyOf, type CeremonyFile } from './ceremony-file.ts'
import { FETCH_AGAIN, gatheredLines } from './ceremony-words.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, type Options, readArguments, WrongUsage } from './command.ts'
import { assertNewFile, writeNewFile } from './files.ts'
import { whatItIs } from './keeper-approve.ts'
import { judgedOperation } from './operation-judged.ts'
import { type OpenPacket, withPacket } from './packets.ts'
import { withDirectory } from './plc-reach.ts'
import { gather, offersIn, offersOf } from './shares-gathered.ts'
import { isAsPlanned, keepOperation, sendAndTell, signedBy } from './signing.ts'
import { complain, say, sayAside } from './terminal.ts'

const OPTIONS = {
  ...LOG_OPTIONS,
  opener: 'text',
  share: 'texts',
  packet: 'text',
  out: 'text',
  offline: 'flag',
} as const

const TAKES =
  '<folder> <ceremony.json> --opener <file> [--packet <packet>] [--share <file> ...] [--out <new file>] [options]'
const SHARES_HELP = [
  '  --opener <file>              the key to which the shares are sealed (reeve keeper opener)',
  '  --packet <packet>            your own packet: your share need not be given first',
  '  --share <file>               a share that a keeper handed to you (reeve keeper give); those in the ceremony are taken anyhow',
]

export const keeperDrill: Command = {
  words: ['keeper', 'drill'],
  takes: TAKES,
  does: [
    'Show that the keepers can act: put the shares together that were given to a drill. A bad one is named, and the others go on.',
    'For a moment the whole key is at this machine, as in every ceremony: use one without a network, that is wiped afterwards.',
    'Writes the body of community.reeve.key.conclude. Nothing but that the key was there is signed.',
    ...SHARES_HELP,
    LOG_HELP,
  ],
  run: (args) => combined(args, ['drill']),
}

export const keeperCombine: Command = {
  words: ['keeper', 'combine'],
  takes: TAKES,
  does: [
    'Put the shares together that keepers gave, and sign what the ceremony is for. A bad one is named, and the others go on.',
    'Writes the body of community.reeve.key.conclude; or, where you asked without a service, keeps the operation and sends it.',
    ...SHARES_HELP,
    '  --offline                    send nothing, and leave the signed file: reeve exit send <did> <file> sends it',
    LOG_HELP,
  ],
  run: (args) => combined(args, ['combine', 'ownership', 'drill']),
}

/** What came together, and what it is for. */
interface Combining {
  readonly found: CeremonyFile
  readonly keeper: OpenKeeper
  readonly log: VerifiedPlcLog
  readonly asker: Asker
  readonly options: Options<typeof OPTIONS>
}

async function combined(args: readonly string[], kinds: readonly CeremonyKind[]): Promise<number> {
  const { plain, options } = readArguments(args, 2, OPTIONS)
  const [folder = '', path = ''] = plain
  if (options.opener === undefined)
    throw new WrongUsage('--opener <file> is needed: the key to which the shares are sealed')
  if (options.out !== undefined) assertNewFile(options.out)
  const found = readCeremony(path)
  const { said } = found
  if (!kinds.includes(said.kind)) throw new Error(`this is no ${kinds[0]}, but another ceremony: ${said.kind}`)
  if (said.combiner === null)
    throw new Error('the service combines this one: give your share to it, or ask for another ceremony')
  const opener = openOpener(options.opener)
  if (opener.sealTo !== said.sealTo)
    throw new Error('the opener belongs to another ceremony: the shares of this one are sealed to another key')
  const keeper = await openKeeper(folder)
  assertOwnSeat(said, said.combiner, keeper)
  const work = async (own: OpenPacket | null): Promise<number> => {
    const packet = own?.packet ?? null
    const log = await readLogOf(said.community, options)
    const asker = askerOf(found, log, packet, systemClock.nowMs())
    const shown = whatItIs(found, { log, asker, packet, mine: said.combiner })
    const offers = [...offersIn(options.share ?? [], found), ...offersOf(found)]
    const mine = own && { did: own.packet.keeper, share: own.share }
    const { good, bad, unsigned } = await gather(found, opener, offers, mine)
    try {
      const lines = gatheredLines({ good: good.map(({ did }) => did), bad, unsigned }, said.seats, said.quorum.k)
      if (good.length < said.quorum.k) {
        sayAside(...lines, ...(asker.kind === 'service' ? [`${FETCH_AGAIN}.`] : []))
        return EXIT_FAILED
      }
      if (!(await isMeant(said.community, 'sign this with the key in shares', [...shown, '', ...lines])))
        return EXIT_FAILED
      const shares = good.map(({ share }) => share)
      return await concluded({ found, keeper, log, asker, options }, shares)
    } finally {
      wipe(good.map(({ share }) => share))
    }
  }
  return options.packet === undefined ? work(null) : withPacket(keeper, options.packet, work)
}

async function concluded(combining: Combining, shares: readonly Share[]): Promise<number> {
  const { found, log, asker, options } = combining
  const { said, hashHex } = found
  const isSent = asker.kind === 'keeper' && said.kind === 'combine'
  assertNotOver(said, systemClock.nowMs())
  if (isSent && !options.offline && options.log === undefined) {
    const isSame = await withDirectory(options.plc, (directory) => isAsPlanned(directory, log, false))
    if (!isSame) return EXIT_FAILED
  }
  const { k, pub } = said.quorum
  const words = wordsToSign(said, hashHex)
  const signature = words && pub && (await signWithShares(shares.slice(0, k), { k, didKey: pub }, words))
  if (!signature || !isConcludedBy(said, hashHex, signature)) {
    complain('STOP: each share is right by its commitment, and together they do not make the key. Nothing was signed.')
    complain('Whoever dealt it made a mistake or cheated: tell the owners, and do not rely on this key')
    return EXIT_FAILED
  }
  return asker.kind === 'service' ? written(combining, signature) : kept(combining, signature)
}

/** The body of `key.conclude`. */
function written({ found, keeper, options }: Combining, signature: string): number {
  const body = { ...bodyOf(found, signAct(keeper, found, 'conclude', givenHashOf(signature))), signature }
  handOut(JSON.stringify(body), options.out)
  sayAside('Signed. Send this as the body of community.reeve.key.conclude, and destroy the opener.')
  return EXIT_FINE
}

/** What keepers signed without a service: an operation is kept and sent, anything else is written. */
async function kept({ found, log, options }: Combining, signature: string): Promise<number> {
  const { said } = found
  const { operation, quorum, owners } = said
  if (operation && quorum.pub) {
    const { operation: unsigned } = judgedOperation(operation.bytes, log, quorum.pub, systemClock.nowMs())
    if (unsigned.type === 'plc_tombstone') throw new Error('this tool ends no identity')
    const whole = signedBy({ signOperation: () => signature }, log, unsigned, systemClock.nowMs())
    return sendOrLeave(said.community, whole, options)
  }
  if (owners) {
    const { community, createdAt: at } = said
    handOut(JSON.stringify({ community, owners, at, sig: signature }), options.out)
    sayAside(`Signed. Send this as the body of community.reeve.key.claimOwnership to ${said.service}, within a day.`)
  } else say('The keepers can act: their shares made the key. Nothing else was signed.')
  return EXIT_FINE
}

function handOut(text: string, out: string | undefined): void {
  if (out === undefined) say(text)
  else writeNewFile(out, `${text}\n`)
}

async function sendOrLeave(
  did: CeremonyFile['said']['community'],
  operation: PlcOperation,
  { out, offline, plc, log }: Options<typeof OPTIONS>,
): Promise<number> {
  const path = keepOperation(did, operation, out)
  if (!offline && log === undefined)
    return withDirectory(plc, (directory) => sendAndTell(directory, did, operation, path))
  say('Nothing was sent. Send it from anywhere:', `  reeve exit send ${did} ${path}`)
  return EXIT_FINE
}
