/**
 * What those who asked are told of a write: a closed list of fields, in the words of both generations side by side.
 *
 * Whoever wrote is named, because every reader of the space may know that; nobody else is, nor how they came to stand there.
 */
import type { Did, SpaceUri } from '../names.ts'
import { tidOf } from '../platform/tid.ts'

/** The newest that is known of one repo in a space. Space revisions are microseconds since 1970. */
export interface WriterRow {
  readonly repo: Did
  readonly repoRev: string
  /** 32 bytes; null: whoever told us said none. */
  readonly hash: Uint8Array | null
  readonly spaceRev: number
}

/** As it goes over the wire (0016 §Write notifications). `rev` is the older generation's word for `repoRev`. */
export interface Forward {
  readonly space: SpaceUri
  readonly repo: Did
  readonly repoRev: string
  readonly rev: string
  readonly hash: { readonly $bytes: string }
  readonly spaceRev: string
  /** Left out where the receiver was told nothing before. */
  readonly prevSpaceRev?: string
}

/** Readers of the older generation demand a hash. One that fits no repo has them read all of it, which is right where we know none. */
const NO_HASH = new Uint8Array(32)

/** `prevRev`: the space revision before this one in the receiver's own order; 0: there is none. */
export function forwardOf(space: SpaceUri, row: WriterRow, prevRev: number): Forward {
  const { repo, repoRev, hash, spaceRev } = row
  return {
    space,
    repo,
    repoRev,
    rev: repoRev,
    hash: { $bytes: unpadded(hash ?? NO_HASH) },
    spaceRev: tidOf(spaceRev),
    ...(prevRev > 0 ? { prevSpaceRev: tidOf(prevRev) } : {}),
  }
}

/** As the reference writes bytes in JSON: standard base64 without padding. */
const unpadded = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64').replace(/=+$/, '')
