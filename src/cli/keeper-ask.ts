/** `reeve keeper ask`: a keeper asks the others to act with them, without any service: what is to be signed, and the key to seal their shares to. */

import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import { encodeOperation, parseUnsignedOperation } from '../identity/plc-operation.ts'
import { openKeeper } from '../keys/keeper-keys.ts'
import { openOpener } from '../keys/opener-key.ts'
import type { SharePacket } from '../keys/share-packet.ts'
import { type Did, parseDid } from '../names.ts'
import { systemClock } from '../platform/clock.ts'
import { systemRandom } from '../platform/random.ts'
import { isMeant, LOG_HELP, LOG_OPTIONS, readLogOf } from './at-ceremony.ts'
import { askedLines, requestOf, type Wanted } from './ceremony-asked.ts'
import { ownersLines, rankLine } from './ceremony-words.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, type Options, readArguments, WrongUsage } from './command.ts'
import { assertNewFile, readJsonFile, writeNewFile } from './files.ts'
import { judgedLines, judgedOperation } from './operation-judged.ts'
import { assertPacketLog } from './packet-log.ts'
import { withPacket } from './packets.ts'
import { sayAside } from './terminal.ts'

const OPTIONS = {
  ...LOG_OPTIONS,
  opener: 'text',
  operation: 'text',
  drill: 'flag',
  owner: 'texts',
  service: 'text',
  out: 'text',
} as const

const OPERATION_MAX_BYTES = 32 * 1024

export const keeperAsk: Command = {
  words: ['keeper', 'ask'],
  takes:
    '<folder> <packet> --opener <file> (--operation <file> | --drill | --owner <did> ...) --out <new file> [options]',
  does: [
    'Ask the other keepers to act with you, without any service. Writes the request that each of them looks at; good for a day.',
    '  --opener <file>              the key to which they seal their shares (reeve keeper opener)',
    '  --operation <file>           an unsigned operation of did:plc in JSON. To leave a home: reeve exit with --packet makes one',
    '  --drill                      nothing but to show that the key can be made',
    '  --owner <did>, --service <did>   who is to own the community at that service, where those that there were are lost',
    LOG_HELP,
  ],
  async run(args) {
    const { plain, options } = readArguments(args, 2, OPTIONS)
    const [folder = '', packetPath = ''] = plain
    const { out, opener } = options
    if (out === undefined || opener === undefined)
      throw new WrongUsage('--opener <file> and --out <new file> are needed')
    assertNewFile(out)
    const wish = wishOf(options)
    const { sealTo } = openOpener(opener)
    const keeper = await openKeeper(folder)
    return withPacket(keeper, packetPath, async ({ packet }) => {
      const log = await readLogOf(packet.community, options)
      assertPacketLog(packet, log)
      const { wanted, lines } = wantedBy(wish, packet, log)
      if (!(await isMeant(packet.community, 'ask the other keepers for this', lines))) return EXIT_FAILED
      const asking = { keeper, packet, sealTo, nowMs: systemClock.nowMs(), random: systemRandom }
      writeNewFile(out, `${JSON.stringify(requestOf(wanted, asking))}\n`)
      sayAside(...askedLines(out, packet))
      return EXIT_FINE
    })
  },
}

type Wish = Exclude<Wanted, { kind: 'combine' }> | { readonly kind: 'combine'; readonly path: string }

/** @throws WrongUsage */
function wishOf({ operation, drill, owner = [], service }: Options<typeof OPTIONS>): Wish {
  const chosen = [operation !== undefined, drill === true, owner.length > 0].filter((is) => is).length
  if (chosen !== 1) throw new WrongUsage('one of --operation, --drill and --owner is needed')
  if (operation !== undefined) return { kind: 'combine', path: operation }
  if (drill) return { kind: 'drill' }
  const owners = owner.flatMap((text) => parseDid(text) ?? [])
  const at = parseDid(service)
  if (owners.length !== owner.length || new Set<Did>(owners).size !== owners.length || !at)
    throw new WrongUsage('--owner and --service must be DIDs, and each owner another one')
  return { kind: 'ownership', owners, service: at }
}

/** What is asked for, and what it comes to. @throws Error in words for an operation that is none, or that the key may not sign here */
function wantedBy(
  wish: Wish,
  { pub }: SharePacket,
  log: VerifiedPlcLog,
): { readonly wanted: Wanted; readonly lines: readonly string[] } {
  if (wish.kind === 'drill')
    return {
      wanted: wish,
      lines: [
        'The key is made for a moment, whole, at your machine, and nothing else is signed with it.',
        `The key: ${pub}`,
        rankLine(pub, log),
      ],
    }
  if (wish.kind === 'ownership')
    return {
      wanted: wish,
      lines: [...ownersLines(wish.owners, wish.service), '', `The key: ${pub}`, rankLine(pub, log)],
    }
  const operation = parseUnsignedOperation(readJsonFile(wish.path, OPERATION_MAX_BYTES))
  if (!operation) throw new Error('there is no unsigned operation of did:plc in the file')
  const bytes = encodeOperation(operation)
  const [head, nowMs] = [log.head.cid, systemClock.nowMs()]
  const judged = judgedOperation(bytes, log, pub, nowMs)
  return { wanted: { kind: 'combine', bytes, head }, lines: judgedLines(judged, log, { pub, head, nowMs }) }
}
