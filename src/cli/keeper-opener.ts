/** `reeve keeper opener`: the key to which shares are sealed for one ceremony, at whoever combines them, and their word that it is theirs. */
import { openKeeper } from '../keys/keeper-keys.ts'
import { makeOpenerFile } from '../keys/opener-key.ts'
import { parseDid } from '../names.ts'
import { type Command, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { assertNewFile } from './files.ts'
import { say, sayAside } from './terminal.ts'

export const keeperOpener: Command = {
  words: ['keeper', 'opener'],
  takes: '<folder> <new file> --community <did>',
  does: [
    'Make the key to which shares are sealed for one ceremony, in a new file that only you can read, and say its sealTo, with your',
    'voucher: the signature by which the others know that it is yours, and not that of a service.',
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 2, { community: 'text' })
    const [folder = '', path = ''] = plain
    const community = parseDid(options.community)
    if (!community) throw new WrongUsage('--community <did> is needed: whose shares the opener is for')
    assertNewFile(path)
    const keeper = await openKeeper(folder)
    const sealTo = makeOpenerFile(path)
    say(JSON.stringify({ sealTo, voucher: keeper.vouch({ community, sealTo }) }))
    sayAside(
      'Put both into the body of community.reeve.key.propose, where the ceremony is begun; if an owner begins it for you, with your DID as combiner.',
      'Without a service, use the file with reeve keeper ask. It opens the shares of that one ceremony: make another for the next, and destroy it.',
    )
    return EXIT_FINE
  },
}
