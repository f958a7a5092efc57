/**
 * `reeve keeper approve`: yes, no, or an end of a ceremony, by somebody who has seen what it comes to. What is shown is decoded here, from the
 * bytes that are signed, and held against a log that was read here.
 */
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import type { CeremonyAct } from '../keys/ceremony-statements.ts'
import { openKeeper } from '../keys/keeper-keys.ts'
import type { SharePacket } from '../keys/share-packet.ts'
import type { Did } from '../names.ts'
import { systemClock } from '../platform/clock.ts'
import { isMeant, LOG_HELP, LOG_OPTIONS, readCeremony, readLogOf, signAct } from './at-ceremony.ts'
import {
  type Asker,
  askerOf,
  assertOfPacket,
  assertVouched,
  bodyOf,
  type CeremonyFile,
  seatOfKeys,
  wrongKeysWords,
} from './ceremony-file.ts'
import { combinerLines, headLines, keyLines, ownersLines, packetLines, splitLines } from './ceremony-words.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { judgedLines, judgedOperation } from './operation-judged.ts'
import { publicPacketIn } from './packets.ts'
import { say } from './terminal.ts'

export const keeperApprove: Command = {
  words: ['keeper', 'approve'],
  takes: '<folder> <ceremony.json> [--packet <packet>] [--reject | --cancel] [options]',
  does: [
    'Look at what a ceremony is for, and write the body of community.reeve.key.approve (or, with --cancel, of key.cancel).',
    '  --packet <packet>            hold the statement against the packet that you keep',
    '  --reject, --cancel           say no; end the ceremony, as whoever began it or one of the owners',
    LOG_HELP,
  ],
  async run(args) {
    const declared = { ...LOG_OPTIONS, packet: 'text', reject: 'flag', cancel: 'flag' } as const
    const { plain, options } = readArguments(args, 2, declared)
    const [folder = '', path = ''] = plain
    if (options.reject && options.cancel) throw new WrongUsage('either --reject or --cancel')
    const act: CeremonyAct = options.cancel ? 'cancel' : options.reject ? 'reject' : 'approve'
    const found = readCeremony(path)
    const { said } = found
    const keeper = await openKeeper(folder)
    const packet = await publicPacketIn(keeper, options.packet)
    const log = await readLogOf(said.community, options)
    const asker = askerOf(found, log, packet, systemClock.nowMs())
    const seat = seatOfKeys(said, keeper)
    if (said.kind !== 'split' && act !== 'cancel' && !seat)
      throw new Error(
        wrongKeysWords(
          said,
          keeper,
          'none of the seats is for the keys in the folder: it is for its keepers to say yes or no',
        ),
      )
    const shown =
      act === 'approve' ? whatItIs(found, { log, asker, packet, mine: seat?.did ?? null }) : shortly(found, asker)
    if (!(await isMeant(said.community, WORDS[act], shown))) return EXIT_FAILED
    const body = bodyOf(found, signAct(keeper, found, act, null))
    say(JSON.stringify(act === 'reject' ? { ...body, reject: true } : body))
    return EXIT_FINE
  },
}

const WORDS = { approve: 'approve this', reject: 'reject this', cancel: 'end this' } as const

const shortly = ({ said, hashHex }: CeremonyFile, asker: Asker): readonly string[] => headLines(said, hashHex, asker)

/** How one looks at a ceremony. */
export interface Look {
  readonly log: VerifiedPlcLog
  readonly asker: Asker
  readonly packet: SharePacket | null
  readonly mine: Did | null
}

/** All that a ceremony comes to, in lines. @throws Error in words where nobody should say yes: another key than the packet's, an opener for which its combiner doesn't vouch, no operation, no place */
export function whatItIs({ said, hashHex }: CeremonyFile, { log, asker, packet, mine }: Look): readonly string[] {
  const head = headLines(said, hashHex, asker)
  const { pub } = said.quorum
  if (said.kind === 'split' || pub === null) return [...head, ...splitLines(said)]
  if (packet) assertOfPacket(packet, said)
  assertVouched(said, packet)
  const nowMs = systemClock.nowMs()
  const { operation, owners } = said
  const judged = operation && judgedOperation(operation.bytes, log, pub, nowMs)
  // Before any share is given or opened: no tool would send it.
  if (asker.kind === 'keeper' && judged?.operation.type === 'plc_tombstone')
    throw new Error(
      'STOP: a keeper asks to end the identity. This tool ends none, so nobody has to give a share to that',
    )
  return [
    ...head,
    ...keyLines(said, mine, log),
    ...packetLines(packet),
    ...(judged ? ['', ...judgedLines(judged, log, { pub, head: operation.head, nowMs })] : []),
    ...(owners ? ownersLines(owners, said.service) : []),
    ...combinerLines(said, { packet, mine }),
  ]
}
