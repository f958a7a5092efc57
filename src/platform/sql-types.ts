/**
 * How a column becomes a JavaScript value, the same for both engines.
 *
 * A difference here would be a bug that shows up only for those who run the other engine. What isn't listed stays the text
 * that the database wrote; times are kept as numbers in bigint columns, so that no engine turns them into a `Date`.
 */

export type ColumnParser = (text: string) => unknown

/**
 * A bigint as a number. One that a number can't hold exactly is an error: rounded, two revisions would look like one.
 * @throws RangeError
 */
export function safeInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError('a bigint column holds more than a number can')
  return value
}

function bytesOfHex(text: string): Uint8Array {
  if (!text.startsWith('\\x')) throw new RangeError('bytea_output of this database must be "hex"')
  return new Uint8Array(Buffer.from(text.slice(2), 'hex'))
}

const asText: ColumnParser = (text) => text

/** By type number, as in `pg_type.oid`; these never change between versions of PostgreSQL. */
export const SCALAR_PARSERS: Readonly<Record<number, ColumnParser>> = {
  16: (text) => text === 't', // bool
  17: bytesOfHex, // bytea
  20: safeInteger, // int8
  21: Number, // int2
  23: Number, // int4
  26: Number, // oid
  114: (text) => JSON.parse(text), // json
  700: Number, // float4
  701: Number, // float8
  3802: (text) => JSON.parse(text), // jsonb
  1082: asText, // date
  1083: asText, // time
  1114: asText, // timestamp
  1184: asText, // timestamptz
}

/** Array types and the type of their items, as far as we use them. */
export const ARRAY_ITEMS: Readonly<Record<number, number>> = {
  199: 114, // json[]
  1000: 16, // bool[]
  1001: 17, // bytea[]
  1005: 21, // int2[]
  1007: 23, // int4[]
  1009: 25, // text[]
  1015: 1043, // varchar[]
  1016: 20, // int8[]
  3807: 3802, // jsonb[]
}

export const scalarParser = (oid: number): ColumnParser => SCALAR_PARSERS[oid] ?? asText
