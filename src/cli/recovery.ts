/**
 * `reeve recovery new|show|prove`: the key by which a community can always leave, made and shown without any service.
 *
 * The private half is never printed: what has been on a screen is in scrollback, recordings and other people's eyes.
 */

import { makeRecoveryKeyFile, openRecoveryKey } from '../keys/recovery-key.ts'
import { parseDid } from '../names.ts'
import { type Command, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { assertNewFile } from './files.ts'
import { say, sayAside } from './terminal.ts'

export const recoveryNew: Command = {
  words: ['recovery', 'new'],
  takes: '<file>',
  does: ['Make a recovery key in a new file that only you can read, and say its public half.'],
  async run(args) {
    const [file = ''] = readArguments(args, 1, {}).plain
    assertNewFile(file)
    const didKey = makeRecoveryKeyFile(file)
    say(
      didKey,
      '',
      'This is the public half of your recovery key: show it to whoever asks. The private half is in the file, and nowhere else.',
      'Whoever has the file can take the community; whoever loses it has no way out. So, today:',
      '  1. copy the file to two places that do not burn or get lost together, such as two USB sticks with two people;',
      '  2. try one of the copies: reeve recovery show <copy> must say the same did:key;',
      '  3. take the file off every machine that is used for anything else.',
      'Found the community with it: reeve recovery prove <file> --caller <your DID> --service <the DID of the Reeve>',
    )
    return EXIT_FINE
  },
}

export const recoveryShow: Command = {
  words: ['recovery', 'show'],
  takes: '<file|->',
  does: ['Say the public half of a recovery key, and nothing else.'],
  async run(args) {
    const [source = ''] = readArguments(args, 1, {}).plain
    say(openRecoveryKey(source).didKey)
    return EXIT_FINE
  },
}

export const recoveryProve: Command = {
  words: ['recovery', 'prove'],
  takes: '<file|-> --caller <did> --service <did>',
  does: [
    'Write the proof that community.reeve.community.mint asks for: that you, the caller, hold this key, before this service.',
    'It is worth nothing to anybody else, or at another service.',
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 1, { caller: 'text', service: 'text' })
    const caller = parseDid(options.caller)
    const service = parseDid(options.service)
    if (!caller || !service) throw new WrongUsage('both --caller and --service must be DIDs')
    const key = openRecoveryKey(plain[0] ?? '')
    sayAside(
      `This is the proof that ${caller} holds the key ${key.didKey}, for the service ${service}.`,
      `With it, ${caller} can found communities there, or ask for this key to stand above a community: it can then always take it away.`,
      'Is one of these DIDs not yours, or not the one that you mean? Then give it to nobody.',
    )
    say(key.proofFor({ caller, service }))
    return EXIT_FINE
  },
}
