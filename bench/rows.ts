/**
 * What every part of the benchmark reports: one figure each, a ratio within its run wherever there is a target, with the absolutes and
 * the spread of its rounds beside it. The table that is printed and the file that is written are made of nothing else.
 */

/** At most or at least so much, and what would be better still. Null where nothing was promised. */
export type Aim =
  | { readonly atMost: number; readonly better: number | null }
  | { readonly atLeast: number; readonly better: number | null }
  | null

export interface Figure {
  /** Of the table of targets (docs/performance.md), or null for what stands beside it. */
  readonly row: number | null
  readonly engine: 'postgres' | 'embedded' | 'neither'
  /** What is compared with what, in words that make sense alone. */
  readonly what: string
  /** The median of the rounds. */
  readonly value: number
  /** `times` for a ratio. */
  readonly unit: 'times' | 'ms' | 'µs' | 'MiB' | 'per second' | 'count'
  /** The lowest and the highest of the rounds. */
  readonly spread: readonly [low: number, high: number]
  readonly rounds: number
  /** By name with its unit (`exchange µs`), the medians that the ratio was made of. */
  readonly absolutes: Readonly<Record<string, number>>
  readonly aim: Aim
}

export const isMet = ({ value, aim }: Figure): boolean | null =>
  aim === null ? null : 'atMost' in aim ? value <= aim.atMost : value >= aim.atLeast

/** The middle of the values; of an even number, the upper of the two. NaN of none. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** A figure of what each round measured. */
export function figureOf(
  about: Pick<Figure, 'row' | 'engine' | 'what' | 'unit' | 'aim'>,
  values: readonly number[],
  absolutes: Figure['absolutes'] = {},
): Figure {
  const spread = [Math.min(...values), Math.max(...values)] as const
  return { ...about, value: median(values), spread, rounds: values.length, absolutes }
}
