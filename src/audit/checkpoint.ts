/**
 * A checkpoint: where every chain of this instance stood at one moment, as a text that is kept apart from the database.
 *
 * Pure. It tells a database that was put back to an older state, or whose chains were written anew, from the one that was there before. It is
 * neither signed nor sealed: whoever can write where it lies can also take it away, and a key that the service keeps beside its database would
 * only vouch that the operator made it. Whoever wants to hold that operator to it keeps a copy of their own (`reeve audit verify --checkpoint`).
 * A line tells how much is done in a community, so the files are for the service alone.
 */

/** Where a chain stood: the number of its last entry, from 1, and that entry's hash in hexadecimal. */
export interface Head {
  readonly community: string
  readonly seq: number
  readonly hash: string
}

export interface Checkpoint {
  /** The id of the database that it is about. */
  readonly instance: string
  /** When the heads were read, in milliseconds since 1970. */
  readonly atMs: number
  /** When an operator last accepted a database that was behind its checkpoints; null when that never was. */
  readonly acceptedAtMs: number | null
  /** In the order of their names, each once. */
  readonly heads: readonly Head[]
}

const FORMAT = 1

/** The longest text that is read: of more chains than any service has. */
export const CHECKPOINT_MAX_BYTES = 256 * 1024 * 1024

/** A text is no checkpoint. `why` is for the operator, and quotes nothing of it. */
export class NoCheckpoint extends Error {
  override readonly name = 'NoCheckpoint'
  readonly why: string

  constructor(why: string) {
    super(`this is no checkpoint: ${why}`)
    this.why = why
  }
}

/** JSON with a line for each chain. The same checkpoint always has the same text. */
export function textOfCheckpoint({ instance, atMs, acceptedAtMs, heads }: Checkpoint): string {
  const about = { format: FORMAT, instance, atMs, acceptedAtMs }
  // As JSON has it: in none of these is a letter that it would write otherwise.
  const lines = heads.map(({ community, seq, hash }) => `["${community}",${seq},"${hash}"]`)
  return `${JSON.stringify(about).slice(0, -1)},"heads":[\n${lines.join(',\n')}\n]}\n`
}

/** Reads what `textOfCheckpoint` wrote, to the letter: a text that was cut, added to or edited by hand is none. @throws NoCheckpoint */
export function parseCheckpoint(text: string): Checkpoint {
  const { format, instance, atMs, acceptedAtMs, heads } = fieldsOf(text)
  if (format !== FORMAT) {
    throw new NoCheckpoint(Number.isSafeInteger(format) ? 'it is of another version of Reeve' : 'it says no version')
  }
  const isAccepted = acceptedAtMs === null || isMoment(acceptedAtMs)
  if (!isInstance(instance) || !isMoment(atMs) || !isAccepted) throw new NoCheckpoint('its beginning is not sound')
  if (!Array.isArray(heads)) throw new NoCheckpoint('it has no chains')
  const checkpoint = { instance, atMs, acceptedAtMs, heads: heads.map(headOf) }
  const names = checkpoint.heads.map(({ community }) => community)
  if (names.some((name, at) => at > 0 && name <= (names[at - 1] ?? ''))) {
    throw new NoCheckpoint('its chains are not in order')
  }
  if (textOfCheckpoint(checkpoint) !== text) throw new NoCheckpoint('it is not as it was written')
  return checkpoint
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new NoCheckpoint('it is not whole')
  }
  if (typeof value !== 'object' || value === null) throw new NoCheckpoint('it is not whole')
  return value as Record<string, unknown>
}

function headOf(line: unknown): Head {
  const [community, seq, hash, ...others]: readonly unknown[] = Array.isArray(line) ? line : []
  const isSound =
    typeof community === 'string' &&
    /^did:[a-z0-9]+:[\w.:%-]+$/.test(community) &&
    typeof seq === 'number' &&
    Number.isSafeInteger(seq) &&
    seq >= 1 &&
    typeof hash === 'string' &&
    /^[0-9a-f]{64}$/.test(hash) &&
    others.length === 0
  if (!isSound) throw new NoCheckpoint('one of its chains is not sound')
  return { community, seq, hash }
}

const isInstance = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value)
const isMoment = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** How many entries stand in all chains of a checkpoint together. */
export const entriesIn = ({ heads }: Pick<Checkpoint, 'heads'>): number => heads.reduce((sum, { seq }) => sum + seq, 0)

/**
 * A checkpoint is written at the latest for so many entries, and at the latest when the last one is so old and something came since. Where one is long,
 * since there are thousands of communities, for more of them: writing it holds up everybody for a moment.
 */
export const ENTRIES_MAX = 256
const BYTES_PER_ENTRY = 1_000
export const AGE_MAX_MS = 10 * 60_000
/** Sooner where it is cheap: who was removed a moment before a disk died is to be missed as well. No more than so many bytes a second. */
const AGE_MIN_MS = 5_000
const BYTES_PER_MS = 20

/** Whether it is time for another one, by what came since the last: how many entries, how long ago, and how long that one was. */
export function isDue(since: { readonly entries: number; readonly ageMs: number; readonly bytes: number }): boolean {
  if (since.entries === 0) return false
  // A clock that was set back must not keep it from being written.
  const ageMs = Math.abs(since.ageMs)
  const pauseMs = Math.min(AGE_MAX_MS, Math.max(AGE_MIN_MS, since.bytes / BYTES_PER_MS))
  return Math.abs(since.entries) >= Math.max(ENTRIES_MAX, since.bytes / BYTES_PER_ENTRY) || ageMs >= pauseMs
}
