/**
 * `reeve keeper deal`: an approved split, dealt at the machine of whoever began it. The key is whole for the moment in which it is split, and no
 * service ever has it.
 */

import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import { transcriptHashOf } from '../keys/ceremony-statements.ts'
import { dealShares, unsealableSeat } from '../keys/dealing.ts'
import { type OpenKeeper, openKeeper } from '../keys/keeper-keys.ts'
import { fingerprintOf } from '../keys/keeper-statements.ts'
import { utf8 } from '../platform/bytes.ts'
import { systemClock } from '../platform/clock.ts'
import { makeFile } from '../platform/kept-files.ts'
import { belowBy, systemRandom } from '../platform/random.ts'
import { isMeant, LOG_HELP, LOG_OPTIONS, readCeremony, readLogOf, signAct } from './at-ceremony.ts'
import { askerOf, assertNotOver, assertOwnSeat, bodyOf, type CeremonyFile } from './ceremony-file.ts'
import { FETCH_AGAIN, headLines, splitLines } from './ceremony-words.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { assertNewFile } from './files.ts'
import { isTooLongForPackets } from './packet-log.ts'
import { packetWords } from './packet-words.ts'
import { logText } from './plc-reach.ts'
import { sayAside } from './terminal.ts'

export const keeperDeal: Command = {
  words: ['keeper', 'deal'],
  takes: '<folder> <ceremony.json> --out <new file> [options]',
  does: [
    'Deal the key of a split that you began and that is approved: make it, split it, seal a share to each keeper, forget it.',
    'Shows who is to keep a share before. --out is the body of community.reeve.key.deal, which holds no secret in the clear.',
    LOG_HELP,
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 2, { ...LOG_OPTIONS, out: 'text' })
    const [folder = '', path = ''] = plain
    const { out } = options
    if (out === undefined) throw new WrongUsage('--out <new file> is needed: what is dealt goes there')
    assertNewFile(out)
    const found = readCeremony(path)
    const { said, hashHex } = found
    if (said.kind !== 'split') throw new Error('only a split is dealt: this is another ceremony')
    if (found.state !== 'approved')
      throw new Error(
        `the split is not waiting for its dealer: the file says that it is ${found.state}. ${FETCH_AGAIN}`,
      )
    const keeper = await openKeeper(folder)
    assertOwnSeat(said, said.combiner, keeper)
    const log = await readLogOf(said.community, options)
    const asker = askerOf(found, log, null, systemClock.nowMs())
    const deaf = await unsealableSeat(said)
    if (deaf) throw new Error(`nothing can be sealed to the key of ${deaf.did}: they have to enrol another`)
    const shown = [...headLines(said, hashHex, asker), ...splitLines(said)]
    if (!(await isMeant(said.community, 'deal this', shown))) return EXIT_FAILED
    assertNotOver(said, systemClock.nowMs())
    makeFile(out, utf8(`${JSON.stringify(await dealt(found, keeper, log))}\n`), { what: 'the deal', mode: 0o600 })
    sayAside(
      `Dealt, into ${out}. The key and the shares are kept nowhere; each packet opens for its keeper alone.`,
      'Send the file as the body of community.reeve.key.deal. Then each keeper takes theirs: reeve keeper ack.',
      'The key counts for nothing yet: all have to acknowledge, and as many as have to act have to show that they can (a drill).',
    )
    return EXIT_FINE
  },
}

async function dealt(found: CeremonyFile, keeper: OpenKeeper, log: VerifiedPlcLog): Promise<object> {
  const { said, statementHash } = found
  const isWithoutLog = isTooLongForPackets(log)
  if (isWithoutLog)
    sayAside('The log of the identity is too long to be put into the packets: they are made without it.')
  sayAside(`Making the key and ${said.quorum.n} shares, and trying that any ${said.quorum.k} of them bring it back ...`)
  const { transcript, proof, packets } = await dealShares({
    ...{ said, statementHash },
    wordsFor: ({ did }) => packetWords({ said, keeper: did, isWithoutLog }),
    plcLog: isWithoutLog ? [] : (JSON.parse(logText(log)) as unknown[]),
    pick: belowBy(systemRandom),
    onSeat: ({ did }) => sayAside(`Sealing the packet of ${did} ...`),
  })
  const hash = transcriptHashOf(transcript)
  sayAside(
    `The new key: ${transcript.pub}`,
    `Hash of what was dealt: ${hash}`,
    `Your fingerprint: ${fingerprintOf(keeper)}`,
    'Read both to every keeper, by voice, before they acknowledge: only so do they know that it is you who dealt.',
  )
  return {
    ...bodyOf(found, signAct(keeper, found, 'deal', hash)),
    ...{ transcript, proof },
    packets: packets.map((packet) => Buffer.from(packet).toString('base64')),
  }
}
