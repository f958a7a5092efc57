/**
 * The configuration: environment variables in, one typed value out, or a list of plain sentences about what is wrong.
 *
 * Defaults are safe ones. Outside development (a public URL on loopback) nothing is made up: a missing secret stops the start,
 * and so does a name that nobody knows, because a misspelt setting is a setting that silently doesn't hold.
 */
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { type Did, parseDid } from '../names.ts'
import type { LogLevel } from './log.ts'
import { Secret } from './secret.ts'

export interface Config {
  /** Origin that the world calls, without a slash at the end. */
  readonly publicUrl: string
  /** The public URL is on loopback: keys may be made up, anybody may found, other loopback services may be called. */
  readonly isDevelopment: boolean
  readonly host: string
  readonly port: number
  /** Null: the embedded database under `dataDir`. */
  readonly databaseUrl: Secret<string> | null
  readonly allowUnsafeDatabase: boolean
  readonly dataDir: string
  /** Where checkpoints of the audit chains are kept, apart from the database. */
  readonly checkpointDir: string
  /** `env:NAME` or `file:/path`; null in development: a file made under `dataDir`. */
  readonly kek: string | null
  readonly kekPrevious: string | null
  readonly allowEnvKek: boolean
  readonly plcUrl: string
  readonly serviceDid: Did
  readonly handleDomains: readonly string[]
  /** Null: anybody. */
  readonly founders: ReadonlySet<string> | null
  readonly allowLoopback: boolean
  readonly trustedProxies: readonly string[]
  readonly hostCaps: HostCaps
  /** Where the numbers of this process are read, on loopback; null: nowhere. */
  readonly metricsPort: number | null
  /** The collector to which traces are sent, and how many of all requests are followed; null: none. */
  readonly traces: { readonly url: string; readonly share: number } | null
  readonly logLevel: LogLevel | 'silent'
}

/** What a repo host takes: names of credentials that it keeps at once for one space, and calls in ten minutes. */
export interface HostCap {
  readonly live: number
  readonly calls: number
}

/** By host, with its port where it has one; `*` is for all others. */
export type HostCaps = ReadonlyMap<string, HostCap>

/** What is wrong with the environment, one sentence each. Never a value: it may be a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

/** Every setting. */
export const SETTINGS = [
  'REEVE_PUBLIC_URL',
  'REEVE_HOST',
  'REEVE_PORT',
  'REEVE_DATA_DIR',
  'REEVE_CHECKPOINT_DIR',
  'REEVE_KEK',
  'REEVE_KEK_PREVIOUS',
  'REEVE_ALLOW_ENV_KEK',
  'REEVE_ALLOW_UNSAFE_DATABASE',
  'REEVE_PLC_URL',
  'REEVE_SERVICE_DID',
  'REEVE_HANDLE_DOMAINS',
  'REEVE_FOUNDERS',
  'REEVE_ALLOW_LOOPBACK',
  'REEVE_TRUSTED_PROXIES',
  'REEVE_HOST_CAPS',
  'REEVE_LOG_LEVEL',
  'REEVE_METRICS_PORT',
  'REEVE_TRACES_URL',
  'REEVE_TRACES_SHARE',
] as const

const LOOPBACK_ADDRESSES: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1'])
const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]'])

/** One request in a hundred is followed. */
const TRACES_SHARE = 0.01

const flag = z
  .enum(['0', '1', ''])
  .default('')
  .transform((text) => text === '1')
const list = z
  .string()
  .default('')
  .transform((text) =>
    text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  )
const origin = z.string().refine(isOrigin, 'is not an origin such as https://reeve.example')
const domain = z.string().regex(/^(?:[a-z0-9-]+\.)+[a-z0-9-]+$/, 'holds something that is no domain in lower case')

const shape = z.object({
  REEVE_PUBLIC_URL: origin.default('http://localhost:3400'),
  REEVE_HOST: z.string().min(1).default('127.0.0.1'),
  REEVE_PORT: z.coerce.number().int().min(0).max(65535).default(3400),
  DATABASE_URL: z.string().default(''),
  REEVE_DATA_DIR: z.string().min(1).default('./data'),
  REEVE_CHECKPOINT_DIR: z.string().default(''),
  REEVE_KEK: z.string().default(''),
  REEVE_KEK_PREVIOUS: z.string().default(''),
  REEVE_ALLOW_ENV_KEK: flag,
  REEVE_ALLOW_UNSAFE_DATABASE: flag,
  REEVE_PLC_URL: origin.default('https://plc.directory'),
  REEVE_SERVICE_DID: z.string().default(''),
  REEVE_HANDLE_DOMAINS: list.pipe(z.array(domain)),
  REEVE_FOUNDERS: list,
  REEVE_ALLOW_LOOPBACK: flag,
  REEVE_TRUSTED_PROXIES: list.pipe(z.array(z.union([z.cidrv4(), z.cidrv6()], 'holds something that is no CIDR'))),
  REEVE_HOST_CAPS: list.transform(hostCapsOf),
  REEVE_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  REEVE_METRICS_PORT: z
    .union([z.literal('').transform(() => null), z.coerce.number().int().min(1).max(65535)])
    .default(null),
  REEVE_TRACES_URL: z
    .string()
    .refine(isCollector, 'is not an address such as http://127.0.0.1:4318/v1/traces')
    .default(''),
  REEVE_TRACES_SHARE: z
    .union([z.literal('').transform(() => TRACES_SHARE), z.coerce.number().min(0).max(1)])
    .default(TRACES_SHARE),
})

/** The process's own environment: the only place that reads it. */
export const processEnvironment = (): Readonly<Record<string, string | undefined>> => process.env

/** The value of one variable, for a secret that the configuration only names. */
export const readVariable = (name: string): string | undefined => process.env[name]

/** @throws ConfigError with everything that is wrong, not only the first */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const faults = Object.keys(environment)
    .filter((name) => name.startsWith('REEVE_') && !(SETTINGS as readonly string[]).includes(name))
    // Names that tests and the demo use for themselves say so.
    .filter((name) => !name.startsWith('REEVE_TEST_') && !name.startsWith('REEVE_REQUIRE_'))
    .map((name) => `${name} is not a setting of Reeve`)
  const parsed = shape.safeParse(environment)
  if (!parsed.success) {
    for (const issue of parsed.error.issues) faults.push(`${String(issue.path[0])} ${sentenceOf(issue.message)}`)
    throw new ConfigError(faults)
  }
  const config = configOf(parsed.data)
  faults.push(...contradictions(config, parsed.data))
  if (faults.length > 0) throw new ConfigError(faults)
  return config
}

function configOf(env: z.infer<typeof shape>): Config {
  const publicUrl = env.REEVE_PUBLIC_URL
  const isDevelopment = LOOPBACK_HOSTS.has(new URL(publicUrl).hostname)
  const founders = env.REEVE_FOUNDERS
  const everybody = founders.includes('*') || (isDevelopment && founders.length === 0)
  return {
    publicUrl,
    isDevelopment,
    host: env.REEVE_HOST,
    port: env.REEVE_PORT,
    databaseUrl: env.DATABASE_URL === '' ? null : new Secret(env.DATABASE_URL),
    allowUnsafeDatabase: env.REEVE_ALLOW_UNSAFE_DATABASE,
    dataDir: resolve(env.REEVE_DATA_DIR),
    checkpointDir: resolve(
      env.REEVE_CHECKPOINT_DIR === '' ? join(env.REEVE_DATA_DIR, 'checkpoints') : env.REEVE_CHECKPOINT_DIR,
    ),
    kek: env.REEVE_KEK === '' ? null : env.REEVE_KEK,
    kekPrevious: env.REEVE_KEK_PREVIOUS === '' ? null : env.REEVE_KEK_PREVIOUS,
    allowEnvKek: env.REEVE_ALLOW_ENV_KEK || isDevelopment,
    plcUrl: env.REEVE_PLC_URL,
    serviceDid: (env.REEVE_SERVICE_DID === '' ? didOfUrl(publicUrl) : env.REEVE_SERVICE_DID) as Did,
    handleDomains: env.REEVE_HANDLE_DOMAINS,
    founders: everybody ? null : new Set(founders),
    allowLoopback: env.REEVE_ALLOW_LOOPBACK,
    trustedProxies: env.REEVE_TRUSTED_PROXIES,
    hostCaps: env.REEVE_HOST_CAPS,
    metricsPort: env.REEVE_METRICS_PORT,
    traces: env.REEVE_TRACES_URL === '' ? null : { url: env.REEVE_TRACES_URL, share: env.REEVE_TRACES_SHARE },
    logLevel: env.REEVE_LOG_LEVEL,
  }
}

function contradictions(config: Config, env: z.infer<typeof shape>): string[] {
  const faults: string[] = []
  if (!parseDid(config.serviceDid)) {
    faults.push(
      env.REEVE_SERVICE_DID === ''
        ? 'REEVE_PUBLIC_URL gives no did:web: use a host name, or set REEVE_SERVICE_DID'
        : 'REEVE_SERVICE_DID is not a DID in its canonical form',
    )
  }
  for (const founder of config.founders ?? []) {
    if (!parseDid(founder))
      faults.push('REEVE_FOUNDERS holds something that is neither * nor a DID in its canonical form')
  }
  if (config.metricsPort !== null && config.metricsPort === config.port) {
    faults.push('REEVE_METRICS_PORT is the port of the service itself')
  }
  if (!config.isDevelopment && [...config.hostCaps.keys()].some(isLoopbackHost)) {
    faults.push('REEVE_HOST_CAPS names a host on loopback, which is for development')
  }
  if (config.isDevelopment) {
    // In development anybody may found and keys are made up: nobody else's machine may reach that.
    if (!LOOPBACK_ADDRESSES.has(config.host)) {
      faults.push(
        'REEVE_HOST listens beyond this machine, so REEVE_PUBLIC_URL must be the address that the world calls',
      )
    }
    return faults
  }
  if (!config.publicUrl.startsWith('https://')) faults.push('REEVE_PUBLIC_URL is not https, and not on loopback')
  if (!config.kek) faults.push('REEVE_KEK is missing: name the key that seals all other keys, as file:/path')
  if (config.allowLoopback) faults.push('REEVE_ALLOW_LOOPBACK is for development, where the public URL is on loopback')
  return faults
}

/** `did:web:` of an origin; a port is part of the name, percent-encoded (did:web §Method-specific identifier). */
const didOfUrl = (url: string): string => `did:web:${encodeURIComponent(new URL(url).host)}`

/** `pds.example.com=5000/60` */
const HOST_CAP =
  /^(?<host>\*|localhost(?::\d{1,5})?|(?:[a-z0-9-]+\.)+[a-z0-9-]*[a-z][a-z0-9-]*(?::\d{1,5})?)=(?<live>\d{1,6})\/(?<calls>\d{1,4})$/

const isLoopbackHost = (host: string): boolean => /^localhost(?::|$)/.test(host)

function hostCapsOf(items: readonly string[], context: z.RefinementCtx): HostCaps {
  const caps = new Map<string, HostCap>()
  for (const item of items) {
    const { host = '', live, calls } = HOST_CAP.exec(item)?.groups ?? {}
    if (host === '') context.addIssue('holds something that is not of the form pds.example.com=1000/10')
    else if (caps.has(host)) context.addIssue('holds the same host twice')
    caps.set(host, { live: Number(live), calls: Number(calls) })
  }
  return caps
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  return (url.protocol === 'https:' || url.protocol === 'http:') && url.origin === text
}

/** Nothing in it that would be a secret, or be read in two ways. */
function isCollector(text: string): boolean {
  if (text === '') return true
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  const isPlain = url.username === '' && url.password === '' && url.search === '' && !text.includes('#')
  return (url.protocol === 'https:' || url.protocol === 'http:') && isPlain && url.href === text
}

/** The library's own sentences may quote what was given; ours don't. */
const sentenceOf = (message: string): string =>
  message.startsWith('is ') || message.startsWith('holds ') ? message : 'is not a value that it can have'
