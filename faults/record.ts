/** What was asked and what came of it, one line for each: `began` and `ended` are numbers of one counter, so that they say what came before what. */
import { writeFileSync } from 'node:fs'
import type { Did, SpaceUri } from '../src/names.ts'
import type { Deed, Span } from '../test/kit/history.ts'

/** `ok`; the status and the name of a refusal, as `503 NotEnoughResources`; or how the connection ended: nobody knows what came of it. */
export type Says = string

export type Operation = Exchange | Change | TakingBack | Resting | Write | Registration

/** A token for a credential. The same token may be in several of them, and counts once. */
export interface Exchange extends Span {
  readonly op: 'exchange'
  readonly space: SpaceUri
  readonly did: Did
  readonly token: string
  /** The key, or its thumbprint, to which the credential would be bound. */
  readonly holder: string
  readonly says: Says
  /** The credential's name. */
  readonly issued: string | null
}

/** A change by an owner, told under one key until it was answered. */
export interface Change extends Span {
  readonly op: 'change'
  readonly community: Did
  readonly deed: Deed
  readonly key: string
  /** What was said each time before, after which it was asked for again. */
  readonly earlier: readonly Says[]
  readonly says: Says
  readonly revision: number | null
}

/** A credential that an owner took back by hand. `found`: how many there were to be taken back, which is one or none. */
export interface TakingBack extends Span {
  readonly op: 'takeBack'
  readonly community: Did
  readonly jti: string
  readonly earlier: readonly Says[]
  readonly says: Says
  readonly revision: number | null
  readonly found: number
}

/** A community that was put to sleep as a whole, or woken: it changes who gets something, and nobody's place. */
export interface Resting extends Span {
  readonly op: 'rest'
  readonly community: Did
  readonly isFrozen: boolean
  readonly says: Says
  readonly revision: number | null
}

export interface Write extends Span {
  readonly op: 'write'
  readonly space: SpaceUri
  readonly repo: Did
  readonly repoRev: string
  readonly says: Says
}

export interface Registration extends Span {
  readonly op: 'register'
  readonly space: SpaceUri
  readonly service: string
  readonly says: Says
}

type Noted<Of> = Of extends Operation ? Omit<Of, 'began' | 'ended'> : never

/** Everything that was asked in one row. */
export class Recorder {
  #now = 0
  readonly operations: Operation[] = []

  /** The moment before something is asked. */
  begin(): number {
    this.#now += 1
    return this.#now
  }

  /** Notes it with the moment after its answer. */
  end(began: number, noted: Noted<Operation>): void {
    this.#now += 1
    this.operations.push({ began, ended: this.#now, ...noted })
  }

  /** For whoever wants to see how a fault came about. */
  writeTo(file: URL): void {
    writeFileSync(file, `${this.operations.map((one) => JSON.stringify(one)).join('\n')}\n`)
  }
}

/** It was carried out, and whoever asked was told so. */
export const isAcknowledged = ({ says }: Pick<Operation, 'says'>): boolean => says === 'ok'

/** Nobody can know whether it was carried out: nothing came back, or that it is to be tried again. */
export const isUndecided = ({ says }: Pick<Operation, 'says'>): boolean => /^(?:0|50\d) /.test(says)
