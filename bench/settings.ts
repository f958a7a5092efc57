/**
 * What is measured and how much of it, as the environment says, and an empty database on the server for whoever needs one.
 *
 * `BENCH_QUICK=1` does everything small, so that a stranger sees within minutes what there is: its figures mean little.
 */
import pg from 'pg'

export const IS_QUICK = process.env['BENCH_QUICK'] === '1'
const POSTGRES = process.env['REEVE_TEST_POSTGRES'] ?? 'postgres://postgres@127.0.0.1:5432/postgres'

export const ENGINES = ['postgres', 'embedded'] as const
export type Engine = (typeof ENGINES)[number]
export const PARTS = ['exchange', 'hook', 'house', 'process', 'roll', 'fanout'] as const
export type Part = (typeof PARTS)[number]

/** A number of the environment, or else what is usual: in full, and in a quick run. */
export const amount = (name: string, full: number, quick: number): number =>
  Number(process.env[name] ?? (IS_QUICK ? quick : full))

// The parts that read the environment themselves are kept small by it as well.
if (IS_QUICK) {
  process.env['BENCH_ROUNDS'] ??= '1'
  process.env['BENCH_REQUESTS'] ??= '100'
  process.env['BENCH_MEMBERS'] ??= '10000'
}

export const ROUNDS = amount('BENCH_ROUNDS', 5, 1)
export const PER_ROUND = amount('BENCH_REQUESTS', 1_500, 100)

/** Numbers divided by commas, of the environment or else these. */
export function amounts(name: string, full: string, quick: string): readonly number[] {
  return (process.env[name] ?? (IS_QUICK ? quick : full)).split(',').map(Number)
}

/** Those of `known` that a variable names, in their order; all of them without it. @throws Error when it names another */
export function chosen<Name extends string>(variable: string, known: readonly Name[]): readonly Name[] {
  const asked = (process.env[variable] ?? known.join()).split(',')
  const strangers = asked.filter((name) => !known.some((one) => one === name))
  if (strangers.length > 0) throw new Error(`${variable}: there is no ${strangers.join()}; there is ${known.join()}`)
  return known.filter((name) => asked.includes(name))
}

export interface Database {
  readonly url: string
  drop(): Promise<void>
}

let made = 0

/** An empty database on the server. */
export async function createDatabase(what: string): Promise<Database> {
  const name = `reeve_bench_${process.pid}_${what}_${made++}`
  await onServer(`create database ${name} template template0 encoding 'UTF8'`)
  const url = new URL(POSTGRES)
  url.pathname = `/${name}`
  return {
    url: url.href,
    async drop() {
      await onServer(`drop database ${name} with (force)`)
    },
  }
}

/** The rows of one statement, over a connection of its own to the server. */
export async function onServer(text: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const client = new pg.Client({ connectionString: POSTGRES, connectionTimeoutMillis: 5_000 })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}
