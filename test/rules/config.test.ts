import { describe, expect, it } from 'vitest'
import { ConfigError, parseConfig } from '../../src/platform/config.ts'

const PRODUCTION = {
  REEVE_PUBLIC_URL: 'https://reeve.example.com',
  REEVE_KEK: 'file:/etc/reeve/kek',
  REEVE_FOUNDERS: 'did:plc:ewvi7nxzyoun6zhxrhs64oiz',
}

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    parseConfig(environment)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

describe('the configuration', () => {
  it('starts in development with nothing set, and lets anybody found there', () => {
    const config = parseConfig({})
    expect(config).toMatchObject({
      publicUrl: 'http://localhost:3400',
      isDevelopment: true,
      host: '127.0.0.1',
      port: 3400,
      databaseUrl: null,
      kek: null,
      checkpointDir: expect.stringMatching(/\/data\/checkpoints$/),
      plcUrl: 'https://plc.directory',
      serviceDid: 'did:web:localhost%3A3400',
      founders: null,
      allowLoopback: false,
    })
  })

  it('in production lets nobody found until somebody is named', () => {
    const { REEVE_FOUNDERS, ...rest } = PRODUCTION
    expect(parseConfig(rest).founders).toEqual(new Set())
    expect(parseConfig(PRODUCTION).founders).toEqual(new Set([REEVE_FOUNDERS]))
    expect(parseConfig({ ...PRODUCTION, REEVE_FOUNDERS: '*' }).founders).toBeNull()
  })

  it('keeps checkpoints in the data directory, or where it is told', () => {
    expect(parseConfig({ REEVE_DATA_DIR: '/var/lib/reeve' }).checkpointDir).toBe('/var/lib/reeve/checkpoints')
    expect(parseConfig({ REEVE_DATA_DIR: '/var/lib/reeve', REEVE_CHECKPOINT_DIR: '/mnt-b/noted' }).checkpointDir).toBe(
      '/mnt-b/noted',
    )
  })

  it('derives the service DID from the public host', () => {
    expect(parseConfig(PRODUCTION).serviceDid).toBe('did:web:reeve.example.com')
  })

  it('shows its numbers to nobody unless it is told where', () => {
    expect(parseConfig({}).metricsPort).toBeNull()
    expect(parseConfig({ REEVE_METRICS_PORT: '' }).metricsPort).toBeNull()
    expect(parseConfig({ REEVE_METRICS_PORT: '9400' }).metricsPort).toBe(9400)
  })

  it('has nobody followed unless it is told where, and then one in a hundred unless it is told how many', () => {
    const REEVE_TRACES_URL = 'http://127.0.0.1:4318/v1/traces'
    for (const environment of [{}, { REEVE_TRACES_URL: '' }, { REEVE_TRACES_SHARE: '1' }]) {
      expect(parseConfig(environment as Record<string, string>).traces).toBeNull()
    }
    const shareOf = (REEVE_TRACES_SHARE?: string) =>
      parseConfig({
        ...PRODUCTION,
        REEVE_TRACES_URL,
        ...(REEVE_TRACES_SHARE === undefined ? {} : { REEVE_TRACES_SHARE }),
      }).traces
    expect(shareOf()).toEqual({ url: REEVE_TRACES_URL, share: 0.01 })
    expect([shareOf(''), shareOf('0'), shareOf('0.25'), shareOf('1')].map((traces) => traces?.share)).toEqual([
      0.01, 0, 0.25, 1,
    ])
  })

  it.each([
    'collector',
    'ftp://127.0.0.1/v1/traces',
    'http://user:canary@127.0.0.1:4318/v1/traces',
    'http://127.0.0.1:4318/v1/traces?key=canary',
    'http://127.0.0.1:4318/v1/traces#canary',
    'HTTP://127.0.0.1:4318/v1/traces',
    'http://127.0.0.1:4318/../v1/traces',
    'http://127.0.0.1:4318',
  ])('takes no collector that is written as %s', (REEVE_TRACES_URL) => {
    expect(faultsOf({ ...PRODUCTION, REEVE_TRACES_URL })).toEqual([
      'REEVE_TRACES_URL is not an address such as http://127.0.0.1:4318/v1/traces',
    ])
  })

  it('knows what hosts take, by name, with a port, and for all others', () => {
    expect(parseConfig({}).hostCaps).toEqual(new Map())
    const REEVE_HOST_CAPS = 'pds.example.com=5000/60, pds.example.com:8443=0/0, *=1000/10'
    expect(parseConfig({ ...PRODUCTION, REEVE_HOST_CAPS }).hostCaps).toEqual(
      new Map([
        ['pds.example.com', { live: 5000, calls: 60 }],
        ['pds.example.com:8443', { live: 0, calls: 0 }],
        ['*', { live: 1000, calls: 10 }],
      ]),
    )
    const onLoopback = { REEVE_HOST_CAPS: 'localhost:3000=1/2' }
    expect(parseConfig(onLoopback).hostCaps).toEqual(new Map([['localhost:3000', { live: 1, calls: 2 }]]))
    expect(faultsOf({ ...PRODUCTION, ...onLoopback })).toEqual([
      'REEVE_HOST_CAPS names a host on loopback, which is for development',
    ])
  })

  it.each([
    'pds.example.com',
    'pds.example.com=1000',
    'pds.example.com=1000/',
    'pds.example.com=-1/10',
    'pds.example.com=1e3/10',
    'pds.example.com=1000/10/1',
    'pds.example.com=1000000000/10',
    'PDS.example.com=1000/10',
    'https://pds.example.com=1000/10',
    'pds.example.com/=1000/10',
    'pds.example.com:=1000/10',
    '10.0.0.1=1000/10',
    'pds=1000/10',
    '**=1000/10',
    '=1000/10',
  ])('says what is wrong with a host that takes %s', (REEVE_HOST_CAPS) => {
    expect(faultsOf({ ...PRODUCTION, REEVE_HOST_CAPS })).toEqual([
      'REEVE_HOST_CAPS holds something that is not of the form pds.example.com=1000/10',
    ])
  })

  it('says when a host is named twice', () => {
    const REEVE_HOST_CAPS = 'pds.example.com=1/1,pds.example.com=2/2'
    expect(faultsOf({ ...PRODUCTION, REEVE_HOST_CAPS })).toEqual(['REEVE_HOST_CAPS holds the same host twice'])
  })

  it.each([
    ['a name nobody knows', { REEVE_PUBLIC_ULR: 'x' }, 'REEVE_PUBLIC_ULR is not a setting of Reeve'],
    [
      'a public URL with a path',
      { REEVE_PUBLIC_URL: 'https://reeve.example.com/x' },
      'REEVE_PUBLIC_URL is not an origin such as https://reeve.example',
    ],
    [
      'a public URL ending in a slash',
      { REEVE_PUBLIC_URL: 'https://reeve.example.com/' },
      'REEVE_PUBLIC_URL is not an origin such as https://reeve.example',
    ],
    [
      'plain http beyond loopback',
      { ...PRODUCTION, REEVE_PUBLIC_URL: 'http://reeve.example.com' },
      'REEVE_PUBLIC_URL is not https, and not on loopback',
    ],
    [
      'numbers on the port of the service',
      { ...PRODUCTION, REEVE_PORT: '3400', REEVE_METRICS_PORT: '3400' },
      'REEVE_METRICS_PORT is the port of the service itself',
    ],
    [
      'numbers on no port',
      { ...PRODUCTION, REEVE_METRICS_PORT: '0' },
      'REEVE_METRICS_PORT is not a value that it can have',
    ],
    [
      'more followed than all',
      { ...PRODUCTION, REEVE_TRACES_SHARE: '1.5' },
      'REEVE_TRACES_SHARE is not a value that it can have',
    ],
    [
      'a share of nobody knows what',
      { ...PRODUCTION, REEVE_TRACES_SHARE: 'some' },
      'REEVE_TRACES_SHARE is not a value that it can have',
    ],
    [
      'no key-encryption key in production',
      { ...PRODUCTION, REEVE_KEK: '' },
      'REEVE_KEK is missing: name the key that seals all other keys, as file:/path',
    ],
    [
      'loopback calls in production',
      { ...PRODUCTION, REEVE_ALLOW_LOOPBACK: '1' },
      'REEVE_ALLOW_LOOPBACK is for development, where the public URL is on loopback',
    ],
    [
      'development open to other machines',
      { REEVE_HOST: '0.0.0.0' },
      'REEVE_HOST listens beyond this machine, so REEVE_PUBLIC_URL must be the address that the world calls',
    ],
    [
      'a founder in another spelling',
      { ...PRODUCTION, REEVE_FOUNDERS: 'did:web:EVIL.com' },
      'REEVE_FOUNDERS holds something that is neither * nor a DID in its canonical form',
    ],
    [
      'a service DID that is none',
      { ...PRODUCTION, REEVE_SERVICE_DID: 'reeve' },
      'REEVE_SERVICE_DID is not a DID in its canonical form',
    ],
    [
      'a public address without a name',
      { REEVE_PUBLIC_URL: 'http://127.0.0.1:3400' },
      'REEVE_PUBLIC_URL gives no did:web: use a host name, or set REEVE_SERVICE_DID',
    ],
    ['a port that is none', { REEVE_PORT: '70000' }, 'REEVE_PORT is not a value that it can have'],
    [
      'a proxy that is no range',
      { REEVE_TRUSTED_PROXIES: '10.0.0.1' },
      'REEVE_TRUSTED_PROXIES holds something that is no CIDR',
    ],
    [
      'a handle domain in capitals',
      { REEVE_HANDLE_DOMAINS: 'Example.com' },
      'REEVE_HANDLE_DOMAINS holds something that is no domain in lower case',
    ],
    [
      'a flag that is neither yes nor no',
      { REEVE_ALLOW_LOOPBACK: 'yes' },
      'REEVE_ALLOW_LOOPBACK is not a value that it can have',
    ],
  ])('refuses %s, in one clear line', (_name, environment, fault) => {
    expect(faultsOf(environment as Record<string, string>)).toContain(fault)
  })

  it('tells everything that is wrong at once, and never a value', () => {
    const faults = faultsOf({ REEVE_PORT: 'canary-1', REEVE_LOG_LEVEL: 'canary-2', REEVE_CANARY: 'canary-3' })
    expect(faults).toHaveLength(3)
    expect(faults.join('\n')).not.toContain('canary-')
  })

  it('keeps the address of the database out of everything printable', () => {
    const config = parseConfig({ DATABASE_URL: 'postgres://reeve:canary@127.0.0.1/reeve' })
    expect(JSON.stringify(config)).not.toContain('canary')
    expect(`${config.databaseUrl}`).toBe('[redacted]')
    expect(config.databaseUrl?.reveal()).toContain('canary')
  })
})
