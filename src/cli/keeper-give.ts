/** `reeve keeper give`: a keeper gives their share to one ceremony, sealed to whoever combines and worth nothing anywhere else. */
import { givenHashOf } from '../keys/ceremony-statements.ts'
import { openKeeper } from '../keys/keeper-keys.ts'
import { sealShare } from '../keys/share-seal.ts'
import { systemClock } from '../platform/clock.ts'
import { isMeant, LOG_HELP, LOG_OPTIONS, readCeremony, readLogOf, signAct } from './at-ceremony.ts'
import { askerOf, assertNotOver, bodyOf, type CeremonyFile, seatOfKeys, wrongKeysWords } from './ceremony-file.ts'
import { FETCH_AGAIN } from './ceremony-words.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments } from './command.ts'
import { assertNewFile, writeNewFile } from './files.ts'
import { whatItIs } from './keeper-approve.ts'
import { withPacket } from './packets.ts'
import { say, sayAside } from './terminal.ts'

export const keeperGive: Command = {
  words: ['keeper', 'give'],
  takes: '<folder> <packet> <ceremony.json> [--out <new file>] [options]',
  does: [
    'Give your share to a ceremony: shows again what it is for, asks, and seals it to whoever combines, for this ceremony alone.',
    'Writes the body of community.reeve.key.submitShare; or, where a keeper asks without a service, what to hand to them.',
    LOG_HELP,
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 3, { ...LOG_OPTIONS, out: 'text' })
    const [folder = '', packetPath = '', path = ''] = plain
    const { out } = options
    if (out !== undefined) assertNewFile(out)
    const found = readCeremony(path)
    const { said, statementHash } = found
    const { sealTo } = said
    if (sealTo === null) throw new Error('no shares are given in a split: this is how a key is made')
    const keeper = await openKeeper(folder)
    return withPacket(keeper, packetPath, async ({ packet, share }) => {
      const log = await readLogOf(said.community, options)
      const asker = askerOf(found, log, packet, systemClock.nowMs())
      const seat = seatOfKeys(said, keeper)
      if (seat?.did !== packet.keeper)
        throw new Error(
          wrongKeysWords(said, keeper, 'your seat in the statement has other keys than those in the folder'),
        )
      assertAwaited(found)
      const shown = whatItIs(found, { log, asker, packet, mine: packet.keeper })
      if (!(await isMeant(said.community, 'give your share to this', shown))) return EXIT_FAILED
      assertNotOver(said, systemClock.nowMs())
      const sealed = await sealShare(sealTo, share, statementHash)
      const body = { ...bodyOf(found, signAct(keeper, found, 'submit', givenHashOf(sealed))), sealed }
      const isOffline = asker.kind === 'keeper'
      const text = JSON.stringify(isOffline ? { ...body, did: packet.keeper } : body)
      if (out === undefined) say(text)
      else writeNewFile(out, `${text}\n`)
      sayAside(
        isOffline
          ? `Hand this to ${asker.did} by any way: it opens with their opener alone, for this ceremony alone.`
          : 'Send this as the body of community.reeve.key.submitShare. It opens for whoever combines alone, for this ceremony alone.',
      )
      return EXIT_FINE
    })
  },
}

/** @throws Error in words where the service says that it takes no shares */
function assertAwaited({ state }: CeremonyFile): void {
  if (state === 'proposed')
    throw new Error(
      `the ceremony takes no shares yet: as many keepers as have to act must approve it before. ${FETCH_AGAIN}`,
    )
  if (state !== 'collecting' && state !== 'ready')
    throw new Error(`the ceremony takes no shares any more: it is ${state}. ${FETCH_AGAIN}`)
}
