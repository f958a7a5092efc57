/**
 * The log: one JSON line per event, from a closed list of fields.
 *
 * Only what a caller of `log` writes down by name gets out. Requests, headers, bodies and error objects are never handed to
 * the logger, because each of them can carry a token.
 */
import { pino } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

/** A log on standard output, or into `destination` for tests. Text is kept on one line and free of control characters. */
export function openLog(level: LogLevel | 'silent', destination?: { write(line: string): void }): Log {
  const out = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'event' },
    destination ?? process.stdout,
  )
  const write =
    (at: LogLevel) =>
    (event: string, fields: LogFields = {}) => {
      // What isn't written isn't cleaned either: there is a line for every request.
      if (out.isLevelEnabled(at)) out[at](clean(fields), event)
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

/** The same log, of which somebody hears every event but those of `debug`, written or not, by its name alone. */
export function heardLog(log: Log, hear: (level: LogLevel, event: string) => void): Log {
  const heard = (level: LogLevel) => (event: string, fields?: LogFields) => {
    hear(level, event)
    log[level](event, fields)
  }
  return {
    debug: (event, fields) => log.debug(event, fields),
    ...{ info: heard('info'), warn: heard('warn'), error: heard('error') },
  }
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** Control characters, and marks that hide text or turn its direction: none may reach a terminal or fake a second line. */
const UNPRINTABLE = /\p{Cc}|\p{Cf}|\p{Zl}|\p{Zp}/gu

function clean(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      typeof value === 'string' ? value.slice(0, 500).replace(UNPRINTABLE, '\ufffd') : value,
    ]),
  )
}

/** The class and name of a failure, for a log line: never its message, which may quote what a stranger sent. */
export function errorName(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  const code = 'code' in error && typeof error.code === 'string' ? `:${error.code}` : ''
  return `${error.name}${code}`
}
