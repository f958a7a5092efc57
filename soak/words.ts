/** What the processes of a soak say to each other: its plan, and what each of them counted since it was asked last. */
import type { Did } from '../src/names.ts'
import type { Size } from '../src/platform/sizes.ts'

/** From when to when, in seconds since the load began. */
export interface Stretch {
  readonly fromSec: number
  readonly toSec: number
}

export interface Plan {
  readonly minutes: number
  readonly exchangesPerSec: number
  readonly questionsPerSec: number
  readonly writesPerSec: number
  readonly changesPerSec: number
  readonly pagesPerSec: number
  readonly hostilePerSec: number
  readonly burstPerSec: number
  readonly stalls: readonly Stretch[]
  readonly bursts: readonly Stretch[]
  readonly rotationsAtSec: readonly number[]
}

/** Where everybody finds everything. */
export interface Place {
  readonly url: string
  readonly serviceDid: string
  /** The directory as people register at it: it never stalls. */
  readonly plcUrl: string
  /** Ports of services that want to be told, one after the other. */
  readonly syncers: readonly number[]
}

// ── the measured process ──

export type MeasuredOrder =
  | { readonly kind: 'fill'; readonly account: Did }
  | { readonly kind: 'sample'; readonly isCollected: boolean; readonly hasTables: boolean }
  | { readonly kind: 'end' }

export interface TableSize {
  readonly name: string
  readonly rows: number
  readonly dead: number
  /** Rows whose time ended before the last two sweeps. */
  readonly overdue: number
}

export interface MeasuredSample {
  readonly heapMiB: number
  /** Whether everything that nobody holds was collected just before. */
  readonly isCollected: boolean
  readonly rssMiB: number
  readonly externalMiB: number
  readonly buffersMiB: number
  readonly loopP99Ms: number
  readonly cpuSec: number
  /** How long it would have run, had there been a processor. */
  readonly starvedSec: number
  /** How many of each type keep the process busy. */
  readonly handles: Readonly<Record<string, number>>
  readonly sizes: readonly Size[]
  /** Since the last sample. */
  readonly requests: number
  readonly answers: Readonly<Record<string, number>>
  readonly tables: readonly TableSize[]
  readonly connections: { readonly all: number; readonly busy: number } | null
  /** Registrations with something that they weren't told of yet, and notes that nobody has looked at. */
  readonly lanesWaiting: number
  readonly notesWaiting: number
}

export type MeasuredReport =
  | { readonly kind: 'ready' | 'filled' }
  | { readonly kind: 'sample'; readonly sample: MeasuredSample }

// ── those who load it ──

export type LoadOrder =
  | { readonly kind: 'furnish'; readonly place: Place }
  | { readonly kind: 'go'; readonly plan: Plan; readonly world: World }
  | { readonly kind: 'collect' | 'rotate' | 'end' }

/** What the honest made, for those who aren't. */
export interface World {
  readonly hall: string
  readonly community: Did
  readonly account: Did
  readonly board: string
  readonly victim: Did
}

/** One that was not answered as it should have been. */
export interface Refused {
  readonly what: string
  readonly says: string
  /** Seconds since the load began. */
  readonly beganSec: number
  readonly endedSec: number
}

export interface HonestCount {
  /** Milliseconds of each request, by what was asked. */
  readonly tookMs: Readonly<Record<string, readonly number[]>>
  readonly refused: readonly Refused[]
  /** What may not be, by the history of each person. */
  readonly faults: readonly string[]
  /** Questions about people of whom it was certain whether they are in, and about those who were moving. */
  readonly judged: { readonly in: number; readonly out: number; readonly moving: number }
}

export interface HostileCount {
  /** How often each kind was answered how. */
  readonly answers: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly faults: readonly string[]
}

export type HonestReport =
  | { readonly kind: 'furnished'; readonly world: World }
  | { readonly kind: 'collected'; readonly count: HonestCount }
  | { readonly kind: 'over' | 'rotated' }

export type HostileReport =
  | { readonly kind: 'furnished' | 'over' }
  | { readonly kind: 'collected'; readonly count: HostileCount }
