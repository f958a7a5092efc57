/** What every keepers' command does: reads the ceremony and the log, asks whether it is meant, and signs the act. */
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import type { CeremonyAct } from '../keys/ceremony-statements.ts'
import type { OpenKeeper } from '../keys/keeper-keys.ts'
import type { Did } from '../names.ts'
import { isoOf, systemClock } from '../platform/clock.ts'
import { CEREMONY_MAX_BYTES, type CeremonyFile, parseCeremony, type SignedAct } from './ceremony-file.ts'
import { readJsonFile } from './files.ts'
import { plcDidOf, readLogAt, readLogFile, withDirectory } from './plc-reach.ts'
import { sayAside, typedLine } from './terminal.ts'

/** Where the log of the identity comes from. */
export const LOG_OPTIONS = { plc: 'text', log: 'text' } as const
export interface LogFrom {
  readonly plc?: string
  readonly log?: string
}

/** The lines of help about it. */
export const LOG_HELP =
  '  --plc <url>, --log <file>    the directory (https://plc.directory when left out), or a copy of the log and no directory'

/** The ceremony in a file. @throws Error in words */
export const readCeremony = (path: string): CeremonyFile => parseCeremony(readJsonFile(path, CEREMONY_MAX_BYTES))

/** The log of an identity, read and verified here. The DID comes from a file, so it is no wrong usage when it has none. @throws Error in words */
export async function readLogOf(did: Did, { plc, log }: LogFrom): Promise<VerifiedPlcLog> {
  if (!did.startsWith('did:plc:'))
    throw new Error(`the file is about ${did}: only a did:plc has a log, and keys in shares. Nothing was signed`)
  const plcDid = plcDidOf(did)
  if (log !== undefined) return readLogFile(log, plcDid)
  return withDirectory(plc, (directory) => readLogAt(directory, plcDid))
}

/** Whether the person typed the whole DID, behind what they were shown. All of it goes beside what the command writes. */
export async function isMeant(did: Did, to: string, shown: readonly string[]): Promise<boolean> {
  const question = `To ${to}, type the whole DID of the community. Anything else ends here, and nothing has happened.`
  const typed = await typedLine('stdin', () => sayAside(...shown, '', question))
  if (typed === did) return true
  sayAside('That is not the DID. Nothing was signed, and nothing was given.')
  return false
}

/** The signature of an act, as of now. */
export function signAct(
  keeper: OpenKeeper,
  { hashHex }: CeremonyFile,
  act: CeremonyAct,
  subject: string | null,
): SignedAct {
  const at = isoOf(systemClock.nowMs())
  return { at, sig: keeper.act({ statementHash: hashHex, act, subject, at }) }
}
