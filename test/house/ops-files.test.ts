/** What operators are given to run: every setting in it is one, and nothing is softer than it says. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { STATUS_OF_REFUSAL, STATUS_OF_UNAVAILABLE } from '../../src/doors/refusal-to-http.ts'
import { parseConfig, SETTINGS } from '../../src/platform/config.ts'
import { KEPT_IDLE_MS } from '../../src/platform/limits.ts'
import { durabilityFaults } from '../../src/platform/postgres.ts'
import { readText } from '../kit/source.ts'

const unit = readText('ops/reeve.service')
const valuesOf = (name: string): readonly string[] =>
  [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value)

describe('ops/reeve.service', () => {
  it('starts what npm start starts, and not again when a setting is wrong', () => {
    const { scripts } = JSON.parse(readText('package.json'))
    const [command = ''] = valuesOf('ExecStart')
    expect(command).toBe(`/opt/reeve/node_modules/.bin/${scripts.start}`)
    expect(readText('src/main.ts')).toContain('const EXIT_CONFIG = 78')
    expect([valuesOf('Restart'), valuesOf('RestartPreventExitStatus')]).toEqual([['always'], ['78']])
  })

  it('gives the service nothing that it doesn’t need', () => {
    const isOn = [
      'NoNewPrivileges',
      'ProtectHome',
      'PrivateTmp',
      'PrivateDevices',
      'RestrictNamespaces',
      'RestrictSUIDSGID',
    ]
    for (const name of isOn) expect(valuesOf(name), name).toEqual(['yes'])
    expect(valuesOf('ProtectSystem')).toEqual(['strict'])
    expect(valuesOf('CapabilityBoundingSet')).toEqual([''])
    expect(valuesOf('MemoryMax')).toEqual(['1536M'])
    expect(valuesOf('User')).toEqual(['reeve'])
    expect(valuesOf('LimitCORE')).toEqual(['0'])
  })

  it('waits longer for an orderly end than that may take', () => {
    expect(readText('src/doors/server.ts')).toContain('const CLOSING_MAX_MS = 5_000')
    expect(valuesOf('TimeoutStopSec')).toEqual(['30s'])
  })

  it('is a unit, where systemd is there to say so', () => {
    const program = '/usr/bin/systemd-analyze'
    if (!existsSync(program)) return expect(unit).toMatch(/^\[Unit\]\n[\s\S]*^\[Service\]\n[\s\S]*^\[Install\]\n/m)
    const folder = mkdtempSync(join(tmpdir(), 'reeve-unit-'))
    try {
      // Only the program's own path is another one here.
      const file = join(folder, 'reeve.service')
      writeFileSync(file, unit.replace('/opt/reeve/node_modules/.bin/node', process.execPath))
      const said = execFileSync(program, ['verify', '--man=no', file], { encoding: 'utf8', stdio: 'pipe' })
      expect(said).toBe('')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

interface Service {
  readonly [key: string]: unknown
  readonly environment: Readonly<Record<string, string>>
  readonly command: readonly string[]
  readonly tmpfs: readonly string[]
  readonly volumes: readonly string[]
}

describe('ops/compose.yml', () => {
  const { services, volumes, networks } = parse(readText('ops/compose.yml')) as {
    services: { reeve: Service; database: Service }
    volumes: object
    networks: object
  }

  it('sets nothing that isn’t a setting, and what it sets is taken', () => {
    const { environment } = services.reeve
    const ours = Object.keys(environment).filter((name) => name.startsWith('REEVE_'))
    expect(ours.filter((name) => !(SETTINGS as readonly string[]).includes(name))).toEqual([])
    const given: Readonly<Record<string, string>> = {
      PUBLIC_URL: 'https://reeve.example',
      POSTGRES_PASSWORD: 'password',
      FOUNDERS: 'did:plc:ewvi7nxzyoun6zhxrhs64oiz',
      TRUSTED_PROXIES: '172.16.0.0/12',
      KEK_PREVIOUS: '',
    }
    for (const some of [given, { ...given, FOUNDERS: '', TRUSTED_PROXIES: '' }]) {
      const filled = Object.entries(environment).map(([name, value]) => [
        name,
        value.replace(/\$\{(\w+)[^}]*\}/g, (_, asked: string) => some[asked] ?? `nobody gives ${asked}`),
      ])
      const config = parseConfig(Object.fromEntries(filled))
      expect(config).toMatchObject({
        publicUrl: 'https://reeve.example',
        metricsPort: 9400,
        kek: 'file:/etc/reeve/kek',
      })
      expect(new URL(config.databaseUrl?.reveal() ?? '').hostname).toBe('database')
    }
  })

  it('gives neither service anything that it doesn’t need', () => {
    for (const [name, service] of Object.entries(services)) {
      expect(service, name).toMatchObject({
        ...{ read_only: true, security_opt: ['no-new-privileges:true'], cap_drop: ['ALL'], restart: 'unless-stopped' },
        ...{ mem_limit: expect.any(String), pids_limit: expect.any(Number) },
      })
      expect(
        service.tmpfs.some((mount) => mount.startsWith('/tmp:')),
        name,
      ).toBe(true)
      for (const mount of service.volumes) {
        const [source = ''] = mount.split(':')
        expect(source.startsWith('.') ? mount.endsWith(':ro') : source in volumes, mount).toBe(true)
      }
    }
    expect(services.database['ports']).toBeUndefined()
    expect(services.database['networks']).toEqual(['inside'])
    expect(networks).toMatchObject({ inside: { internal: true } })
  })

  it('starts what the image starts, where the image keeps it', () => {
    const image = readText('Dockerfile')
    const command = JSON.parse(/^CMD (\[.*\])$/m.exec(image)?.[1] ?? '[]').join(' ')
    expect(services.reeve.command.join('\n')).toContain(`${command} & child=$$!`)
    expect(services.reeve.volumes).toContain('reeve-data:/data')
    expect(image).toContain('VOLUME /data')
  })
})

describe('ops/patroni.yml', () => {
  const node = parse(readText('ops/patroni.yml'))

  it('acknowledges nothing that one node alone has, on servers that Reeve takes', () => {
    const { dcs, initdb } = node.bootstrap
    expect(dcs).toMatchObject({ synchronous_mode: true, synchronous_mode_strict: true, synchronous_node_count: 1 })
    const { parameters } = dcs.postgresql
    const encoding = initdb.find((one: { encoding?: string }) => one.encoding)?.encoding
    const settings = { ...parameters, server_version_num: '150000', server_encoding: encoding }
    expect(durabilityFaults(settings)).toEqual([])
    // By version 3 of the protocol the Patroni of Debian 12 overwrites the lock of whoever took over.
    expect(Object.keys(node)).toContain('etcd')
    expect(dcs.loop_wait + 2 * dcs.retry_timeout).toBeLessThanOrEqual(dcs.ttl)
  })

  it('holds no password, and lets nobody in without one but its own account', () => {
    for (const { password } of Object.values<{ password: string }>(node.postgresql.authentication))
      expect(password).toMatch(/^[A-Z]+$/)
    const [own, ...others]: string[] = node.postgresql.pg_hba
    expect(own).toMatch(/^local all postgres peer$/)
    for (const line of others) expect(line).toMatch(/ scram-sha-256$/)
  })
})

describe('ops/haproxy.cfg', () => {
  const text = readText('ops/haproxy.cfg')

  it('leads to the nodes that the other file makes, to the primary alone', () => {
    const node = parse(readText('ops/patroni.yml'))
    expect(text).toContain(
      `server ${node.name} ${node.postgresql.connect_address} check port ${node.restapi.listen.split(':')[1]}`,
    )
    expect(text).toContain('option httpchk GET /primary')
    expect(text).toContain('on-marked-down shutdown-sessions')
  })

  it('asks for the health that there is, and gives an idle connection up before Reeve does', () => {
    expect(text).toContain('option httpchk GET /xrpc/_health')
    expect(readText('src/doors/xrpc-app.ts')).toContain(`'/xrpc/_health'`)
    const keptSec = Number(/timeout http-keep-alive (\d+)s/.exec(text)?.[1])
    expect(keptSec * 1_000).toBeLessThan(KEPT_IDLE_MS)
  })

  it('refuses by names that there are, and says whose refusal it is', () => {
    const refusals = [...text.matchAll(/^ *http-error status (\d+) .* string '(.*)' hdr/gm)]
    expect(refusals.map(([, status]) => status)).toEqual(['400', '408', '502', '503', '504'])
    const names = [...Object.keys(STATUS_OF_REFUSAL), ...Object.keys(STATUS_OF_UNAVAILABLE)]
    for (const [, , body = ''] of refusals) {
      const { error, message } = JSON.parse(body)
      expect(names).toContain(error)
      expect(message).toMatch(/^the proxy /)
    }
  })
})
