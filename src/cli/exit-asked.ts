/** `reeve exit` with a key in shares: the same plan, which goes to the other keepers as a request in place of being signed here. */
import type { NewHome } from '../identity/new-home.ts'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import { encodeOperation, type UnsignedPlcOperation } from '../identity/plc-operation.ts'
import { openKeeper } from '../keys/keeper-keys.ts'
import { openOpener } from '../keys/opener-key.ts'
import type { Did, DidKey } from '../names.ts'
import { systemClock } from '../platform/clock.ts'
import { systemRandom } from '../platform/random.ts'
import { askedLines, requestOf } from './ceremony-asked.ts'
import { EXIT_FINE, type Options, WrongUsage } from './command.ts'
import { assertNewFile, writeNewFile } from './files.ts'
import { assertPacketLog } from './packet-log.ts'
import { publicPacketIn } from './packets.ts'
import { say } from './terminal.ts'

export const ASK_OPTIONS = { packet: 'text', keeper: 'text', opener: 'text', ask: 'text' } as const

export const ASK_HELP: readonly string[] = [
  '  --packet <packet> --keeper <folder> --opener <file> --ask <new file>',
  '                               in place of --key: plan it for the key in shares, and write the request to its other keepers',
]

/** The key in shares, as one who can plan with it and ask for its signature. */
export interface AskedKeepers {
  readonly didKey: DidKey
  /** @throws Error in words for a log that doesn't go on from the one in the packet */
  assertOfPacket(log: VerifiedPlcLog): void
  /** Writes the request, and answers the exit code. `home`: by whose statement it was planned. */
  ask(log: VerifiedPlcLog, operation: UnsignedPlcOperation, home: NewHome | null): number
}

/** Those who are asked in place of a key that signs. @throws WrongUsage when something is missing; Error in words as opening the files does */
export async function askedKeepers(did: Did, options: Options<typeof ASK_OPTIONS>): Promise<AskedKeepers> {
  const { packet: path, keeper: folder, opener, ask: out } = options
  if (path === undefined || folder === undefined || opener === undefined || out === undefined)
    throw new WrongUsage('--packet, --keeper, --opener and --ask go together')
  assertNewFile(out)
  const { sealTo } = openOpener(opener)
  const keeper = await openKeeper(folder)
  const packet = await publicPacketIn(keeper, path)
  if (packet?.community !== did) throw new Error('the packet is of another community')
  return {
    didKey: packet.pub,
    assertOfPacket: (log) => assertPacketLog(packet, log),
    ask(log, operation, home) {
      const wanted = { kind: 'combine', bytes: encodeOperation(operation), head: log.head.cid } as const
      const asking = { keeper, packet, sealTo, nowMs: systemClock.nowMs(), random: systemRandom }
      writeNewFile(out, `${JSON.stringify(requestOf(wanted, asking))}\n`)
      say('', 'Nothing was signed yet, and nothing was sent.', ...askedLines(out, packet))
      if (home)
        say(
          `Before ${home.expiresAt}: then the statement of the new home is over, and the home throws these keys away.`,
        )
      return EXIT_FINE
    },
  }
}
