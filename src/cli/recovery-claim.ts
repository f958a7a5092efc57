/**
 * `reeve recovery claim`: the recovery key names who is to own its community at a service, because those who owned it are lost.
 *
 * Nothing of the identity changes, and nobody is asked: the body is written, for anybody to send in their own name within a day.
 */
import { openRecoveryKey } from '../keys/recovery-key.ts'
import { type Did, parseDid } from '../names.ts'
import { isoOf, systemClock } from '../platform/clock.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { say, sayAside, typedLine } from './terminal.ts'

/** What the service takes. */
const OWNERS_MAX = 32

export const recoveryClaim: Command = {
  words: ['recovery', 'claim'],
  takes: '<key file|-> --community <did> --service <did> --owner <did> ...',
  does: [
    'Name the owners of a community, alone, by its recovery key: for when those who owned it are lost. Says what follows, asks',
    'for the DID of the community, and writes the body of community.reeve.key.claimOwnership. Good for a day.',
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 1, { community: 'text', service: 'text', owner: 'texts' })
    const [community, service] = [parseDid(options.community), parseDid(options.service)]
    if (!community || !service) throw new WrongUsage('--community and --service must be DIDs')
    const owners = ownersOf(options.owner ?? [], community)
    const source = plain[0] ?? ''
    const key = openRecoveryKey(source)
    const typed = await typedLine(source === '-' ? 'terminal' : 'stdin', () =>
      sayAside(
        ...follows({ community, service, owners, didKey: key.didKey }),
        'To sign this, type the whole DID of the community. Anything else ends here, and nothing has happened.',
      ),
    )
    if (typed === null && source === '-')
      throw new WrongUsage(
        'with the key on the standard input there must be a terminal to type at: give the key as a file',
      )
    if (typed !== community) {
      sayAside('That is not the DID. Nothing was signed.')
      return EXIT_FAILED
    }
    const at = isoOf(systemClock.nowMs())
    say(JSON.stringify({ community, owners, at, sig: key.nameOwners({ service, community, owners, at }) }))
    return EXIT_FINE
  },
}

/** @throws WrongUsage for what the service would refuse */
function ownersOf(given: readonly string[], community: Did): readonly Did[] {
  const owners = given.map(parseDid)
  if (owners.length === 0 || owners.length > OWNERS_MAX || !owners.every((did) => did !== null))
    throw new WrongUsage(`--owner is a DID, given once for each owner, ${OWNERS_MAX} at most`)
  if (new Set(owners).size !== owners.length || owners.includes(community))
    throw new WrongUsage('each owner is named once, and the community is none of its own')
  return owners
}

interface Named {
  readonly community: Did
  readonly service: Did
  readonly owners: readonly Did[]
  readonly didKey: string
}

const follows = ({ community, service, owners, didKey }: Named): readonly string[] => [
  `You name the owners of ${community} at ${service}, by the key ${didKey}:`,
  ...owners.map((did) => `  ${did}`),
  'Three days after this was sent they own it, and nobody else: whoever owned it until then has nothing by it any more.',
  'Every owner of now is told, and any one of them can object until then. Then it takes this key once more, after that, for the',
  'same owners; and nobody can object to that. Where the key does not stand in the identity any more on that day, nothing happens.',
  'To those whom you name: an owner can do everything in the community and to everybody in it. Look at its roles, its bans and its log',
  'first, since whoever was given a role keeps it; and in your first three days you approve nothing that cannot be taken back.',
]
