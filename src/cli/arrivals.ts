/**
 * `reeve arrivals`: the communities that wait to come here, with the fingerprint of the statement that each was given. Changes nothing.
 *
 * Whoever moves a community puts the keys of the statement into its document, and has it only over a network. So the operator reads the
 * fingerprint out from here, over another way: keys that somebody put in their place on the way would have the community.
 */
import { listAllWaiting } from '../community/arrival-store.ts'
import { fingerprintOfNewHome } from '../identity/new-home.ts'
import { type Command, EXIT_FINE, readArguments } from './command.ts'
import { onDatabase } from './on-database.ts'
import { say } from './terminal.ts'

export const arrivals: Command = {
  words: ['arrivals'],
  takes: '',
  does: ['List the communities that wait to come here, who asked, and the fingerprint to compare with them.'],
  async run(args) {
    readArguments(args, 0, {})
    return onDatabase(async (db) => {
      for (const { did, caller, name, statement } of await listAllWaiting(db))
        say(
          `${did}  ${name}`,
          `  the key made for it  ${statement.rotationKey}`,
          `  the fingerprint to compare  ${fingerprintOfNewHome(statement)}`,
          `  asked for by ${caller}, who becomes its owner here; over on ${statement.expiresAt}`,
        )
      return EXIT_FINE
    })
  },
}
