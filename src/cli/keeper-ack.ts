/** `reeve keeper ack`: a keeper takes their share: looks at all that was dealt, keeps the sealed packet in two places, and says so. */
import { existsSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Seat, transcriptHashOf } from '../keys/ceremony-statements.ts'
import { type OpenKeeper, openKeeper } from '../keys/keeper-keys.ts'
import { systemClock } from '../platform/clock.ts'
import { makeFile, removeFile } from '../platform/kept-files.ts'
import { LOG_HELP, LOG_OPTIONS, type LogFrom, readCeremony, readLogOf, signAct } from './at-ceremony.ts'
import { askerOf, bodyOf, type CeremonyFile, seatOfKeys, wrongKeysWords } from './ceremony-file.ts'
import { dealerLines, headLines, splitLines, wrongDealWords } from './ceremony-words.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { type CheckedDeal, checkedDeal, faultOfPacket } from './deal-checked.ts'
import { readBytes } from './files.ts'
import { openPacket } from './packets.ts'
import { complain, say, sayAside } from './terminal.ts'

const PACKET_FILE = { what: 'the packet', mode: 0o600 }

export const keeperAck: Command = {
  words: ['keeper', 'ack'],
  takes: '<folder> <ceremony.json> --keep <file> --keep <file> [options]',
  does: [
    'Take your share of a key that was dealt: look at everything, keep your sealed packet in two places, each a folder of its own,',
    'and write the body of community.reeve.key.acknowledge. The ceremony is what community.reeve.key.get answers you.',
    LOG_HELP,
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 2, { ...LOG_OPTIONS, keep: 'texts' })
    const [folder = '', path = ''] = plain
    const places = twoPlaces(options.keep ?? [])
    const found = readCeremony(path)
    const { said } = found
    if (said.kind !== 'split') throw new Error('only a split is acknowledged: this is another ceremony')
    const keeper = await openKeeper(folder)
    const seat = seatOfKeys(said, keeper)
    if (!seat || seat.sealKey !== keeper.sealKey)
      throw new Error(
        wrongKeysWords(
          said,
          keeper,
          'none of the seats is for the keys in the folder: they were not named as you enrolled them',
        ),
      )
    const deal = await looked(found, { keeper, seat, options })
    if (deal === null) return EXIT_FAILED
    keepIn(places, deal.sealed)
    const hash = transcriptHashOf(deal.transcript)
    sayAside(
      ...splitLines(said),
      '',
      `Your share is the one that was dealt to you; that it fits the others, only a drill shows. Your packet is kept in ${places.join(' and in ')}. It opens with the keys in your folder alone: keep those apart from it.`,
      `The new key: ${deal.transcript.pub}`,
      `Hash of what was dealt: ${hash}`,
      ...dealerLines(said),
    )
    say(JSON.stringify(bodyOf(found, signAct(keeper, found, 'acknowledge', hash))))
    return EXIT_FINE
  },
}

/** Paths in two folders. @throws WrongUsage */
function twoPlaces(given: readonly string[]): readonly [string, string] {
  const [first, second, ...more] = given
  if (first === undefined || second === undefined || more.length > 0)
    throw new WrongUsage('--keep <file> is needed twice: two places for your packet')
  if (folderOf(first) === folderOf(second))
    throw new WrongUsage('the two places are one: what happens to the one happens to the other. Name two folders')
  return [first, second]
}

/** As the system knows it, so that a link is no second place. @throws Error in words */
function folderOf(path: string): string {
  try {
    return realpathSync(dirname(path))
  } catch {
    throw new Error('the folder of one of the two places is not there')
  }
}

/** Everything that was dealt, looked at; null when something is wrong, which was said. @throws Error in words */
async function looked(
  found: CeremonyFile,
  { keeper, seat, options }: { readonly keeper: OpenKeeper; readonly seat: Seat; readonly options: LogFrom },
): Promise<CheckedDeal | null> {
  const { said, hashHex } = found
  const log = await readLogOf(said.community, options)
  sayAside(...headLines(said, hashHex, askerOf(found, log, null, systemClock.nowMs())))
  const deal = checkedDeal(found, seat)
  if (typeof deal === 'string') return stopped(found, deal)
  const opened = await openPacket(keeper, deal.sealed)
  if (opened === 'sealed') return stopped(found, 'your packet does not open with the keys in the folder')
  if (opened === 'no-packet') return stopped(found, 'what is in your packet is no packet of a keeper')
  try {
    const fault = opened.packet.keeper === seat.did ? faultOfPacket(opened, found, deal.transcript, log) : OTHERS
    return fault === null ? deal : stopped(found, fault)
  } finally {
    opened.share.y.fill(0)
  }
}

const OTHERS = 'what you were given is the packet of another keeper'

function stopped({ said }: CeremonyFile, fault: string): null {
  for (const line of wrongDealWords(said, fault)) complain(line)
  return null
}

/** Keeps the sealed packet in both places and reads it back, or in neither. What is there already and is the same, stays. @throws Error in words */
function keepIn(places: readonly [string, string], sealed: Uint8Array): void {
  const made: string[] = []
  try {
    for (const path of places) {
      if (!existsSync(path)) {
        makeFile(path, sealed, PACKET_FILE)
        made.push(path)
      }
      if (!readBytes(path, sealed.length).equals(sealed)) throw new Error('a place reads back something else')
    }
  } catch (error) {
    for (const path of made) removeFile(path)
    throw error
  }
  const [one, two] = places.map((path) => statSync(join(realpathSync(dirname(path)), basename(path))))
  if (one?.dev === two?.dev)
    sayAside('Both places are on the same disk. Take one of the files to another machine, or on a stick.')
}
