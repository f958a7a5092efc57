/** Things that live in one room only: frameworks, SQL, private keys, the network, the clock, chance, the environment. */
import { describe, expect, it } from 'vitest'
import { filesUnder, readSources, readText, sourceOf } from '../kit/source.ts'
import { RULES, roomFaults } from './checks/one-room.ts'

it('each thing is in its room', () => {
  expect(roomFaults(readSources('src'))).toEqual([])
})

it('no place is kept for a thing that is not there', () => {
  // Rooms of later days, named already because the rule is about them.
  const LATER = ['src/federation/']
  const sources = readSources('src')
  for (const { thing, places, find } of RULES) {
    for (const place of places.filter((one) => !LATER.includes(one))) {
      const there = sources.filter(({ path }) => path === place || (place.endsWith('/') && path.startsWith(place)))
      expect(there, place).not.toHaveLength(0)
      const found = there.flatMap((file) => find(file))
      // The drivers dial by themselves.
      if (place !== 'src/platform/postgres.ts') expect(found, `${thing} in ${place}`).not.toHaveLength(0)
    }
  }
  expect(filesUnder('src').length).toBeGreaterThan(50)
})

it('what only some want is loaded only for them', () => {
  const roof = readText('src/reeve.ts')
  for (const file of ['platform/open-telemetry.ts', 'doors/metrics.ts']) {
    const [, name = ''] = file.split('/')
    const atOnce = new RegExp(`^(?:import|export) (?!type\\b)[^']* from '[^'\\n]*/${name}'`, 'm')
    const taken = readSources('src').filter(({ text }) => atOnce.test(text))
    expect(
      taken.map(({ path }) => path),
      file,
    ).toEqual([])
    expect(roof).toContain(`await import('./${file}')`)
    expect(`import { a } from './${file}'`).toMatch(atOnce)
  }
})

const WRONG = [
  ['the HTTP framework', 'src/space/a.ts', "import { Hono } from 'hono'"],
  ['the HTTP framework', 'src/reeve.ts', "import { Hono } from 'hono'"],
  ['the HTTP framework', 'src/space/a.ts', "import type { Context } from 'hono/tiny'"],
  ['the HTTP server', 'src/main.ts', "import { serve } from '@hono/node-server'"],
  ['helpers of the HTTP framework with a history of holes', 'src/doors/a.ts', "import { cors } from 'hono/cors'"],
  ['HTTP status numbers', 'src/space/a.ts', 'throw new Failure(404)'],
  ['HTTP status numbers', 'src/space/a.ts', 'if (answer.status === 200) return'],
  ['HTTP status numbers', 'src/space/a.ts', 'return { status: 500 }'],
  ['SQL', 'src/space/a.ts', "import { sql } from 'kysely'"],
  ['SQL', 'src/space/astore.ts', "import type { Selectable } from 'kysely'"],
  ['the database drivers', 'src/space/store.ts', "import pg from 'pg'"],
  ['files sealed to people', 'src/keys/vault.ts', "import { Encrypter } from 'age-encryption'"],
  ['the splitting of secrets', 'src/keys/combining.ts', "import { combine } from 'shamir-secret-sharing'"],
  ['the splitting of secrets', 'src/cli/a.ts', "import { split } from 'shamir-secret-sharing'"],
  ['the splitting of secrets', 'src/keys/vault.ts', "const { split } = await import('shamir-secret-sharing')"],
  ['the splitting of secrets', 'src/keys/a.ts', "import { getRandomBytes } from 'shamir-secret-sharing/csprng'"],
  ['the keeping of numbers by a library', 'src/access/a.ts', "import { Counter } from 'prom-client'"],
  ['the following of requests by a library', 'src/doors/a.ts', "import { trace } from '@opentelemetry/api'"],
  [
    'the following of requests by a library',
    'src/platform/traces.ts',
    "const { BatchSpanProcessor } = await import('@opentelemetry/sdk-trace')",
  ],
  ['the sealing of shares', 'src/keys/combining.ts', "import { CipherSuite } from '@hpke/core'"],
  ['the sealing of shares', 'src/cli/a.ts', "import * as hpke from '@hpke/core'"],
  ['the sealing of shares', 'src/keys/share-packet.ts', "import { KemId } from '@hpke/common'"],
  ['ciphers', 'src/credential/a.ts', "import { createCipheriv } from 'node:crypto'"],
  ['makers and signers of private keys', 'src/credential/a.ts', "import { sign } from 'node:crypto'"],
  ['makers and signers of private keys', 'src/platform/ecdsa.ts', "import { createPrivateKey } from 'crypto'"],
  ['makers and signers of private keys', 'src/credential/a.ts', "import * as crypto from 'node:crypto'"],
  ['makers and signers of private keys', 'src/credential/a.ts', "import crypto from 'node:crypto'"],
  ['makers and signers of private keys', 'src/credential/a.ts', "import { sign as draw } from 'node:crypto'"],
  ['verification of signatures by a library', 'src/credential/a.ts', "import { verify } from 'node:crypto'"],
  [
    'verification of signatures by a library',
    'src/credential/a.ts',
    "import { nativeEs256k } from '../platform/native-es256k.ts'",
  ],
  ['verification of signatures', 'src/doors/a.ts', "import { verify } from '../platform/ecdsa.ts'"],
  ['verification of signatures', 'src/doors/a.ts', "import * as ecdsa from '../platform/ecdsa.ts'"],
  ['verification of signatures', 'src/doors/a.ts', "import { verifyBy } from '../platform/ecdsa.ts'"],
  ['verification of signatures', 'src/apps/a.ts', "import { verifyByJwk } from '../platform/jwk.ts'"],
  ['libsecp256k1', 'src/platform/ecdsa.ts', "const native = require('secp256k1/bindings.js')"],
  ['libsecp256k1', 'src/keys/a.ts', "const native = await import('secp256k1/bindings.js')"],
  ['libsecp256k1', 'src/keys/a.ts', "import { createRequire } from 'node:module'"],
  [
    'libsecp256k1 by another way than its bindings',
    'src/platform/native-es256k.ts',
    "import secp256k1 from 'secp256k1'",
  ],
  [
    'libsecp256k1 by another way than its bindings',
    'src/platform/native-es256k.ts',
    "const slow = require('secp256k1/elliptic')",
  ],
  ['libsecp256k1 by another way than its bindings', 'src/platform/native-es256k.ts', "import elliptic from 'elliptic'"],
  ['the network', 'src/identity/a.ts', 'const answer = await fetch(url)'],
  ['the network', 'src/identity/a.ts', "import { request } from 'undici'"],
  ['the network', 'src/identity/a.ts', "import { request } from 'node:http'"],
  ['the network', 'src/identity/a.ts', "import { connect } from 'net'"],
  ['the network', 'src/identity/a.ts', "import { lookup } from 'node:dns/promises'"],
  ['the network', 'src/identity/a.ts', 'new WebSocket(url)'],
  ['the network', 'src/identity/a.ts', "globalThis['fetch'](url)"],
  ['the clock and timers', 'src/space/a.ts', 'const now = Date.now()'],
  ['the clock and timers', 'src/space/a.ts', 'const now = new Date()'],
  ['the clock and timers', 'src/space/a.ts', 'performance.now()'],
  ['the clock and timers', 'src/space/a.ts', 'setTimeout(work, 10)'],
  ['the clock and timers', 'src/space/a.ts', 'AbortSignal.timeout(10)'],
  ['the clock and timers', 'src/space/a.ts', "import { setTimeout } from 'node:timers/promises'"],
  ['chance', 'src/space/a.ts', 'Math.random()'],
  ['chance', 'src/platform/idempotency.ts', "import { randomUUID } from 'node:crypto'"],
  ['chance', 'src/space/a.ts', 'crypto.getRandomValues(bytes)'],
  ['the environment', 'src/space/a.ts', 'process.env.HOME'],
  ['the environment', 'src/space/a.ts', "process['env']"],
  ['the environment', 'src/main.ts', "import { env } from 'node:process'"],
  ['the making of grants and permits', 'src/access/a.ts', 'return facts as unknown as Grant'],
  ['the making of grants and permits', 'src/access/a.ts', "return facts as Permit<'members.add'>"],
  ['the making of grants and permits', 'src/space/a.ts', "import { permitFor } from '../policy/verdict.ts'"],
  ['printing', 'src/space/a.ts', "console.log('here')"],
  ['code from texts', 'src/space/a.ts', 'eval(text)'],
  ['code from texts', 'src/cli.ts', "import { exec } from 'node:child_process'"],
] as const

describe('a thing in a wrong room is seen', () => {
  const faults = (path: string, line: string) => roomFaults([sourceOf(path, `/** A file. */\n${line}\n`)])

  it.each(WRONG)('%s in %s: %s', (thing, path, line) => {
    const found = faults(path, line)
    expect(found.map((fault) => fault.slice(0, fault.indexOf(' ')))).toContain(`${path}:2`)
    expect(found.join('\n')).toContain(`: ${thing}; `)
  })

  it.each([
    ['src/doors/a.ts', "import { Hono } from 'hono'"],
    ['src/space/store.ts', "import { sql } from 'kysely'"],
    ['src/space/roster-store.ts', "import { sql } from 'kysely'"],
    ['src/keys/a.ts', "import { sign } from 'node:crypto'"],
    ['src/audit/a.ts', "import { createHash } from 'node:crypto'"],
    ['src/identity/a.ts', "import { verify } from '../platform/ecdsa.ts'"],
    ['src/doors/a.ts', "import type { PublicKey } from '../platform/ecdsa.ts'"],
    ['src/platform/native-es256k.ts', "const native = require('secp256k1/bindings.js')"],
    ['src/reeve.ts', "import { es256kBackend } from '../platform/ecdsa.ts'"],
    ['src/doors/a.ts', "import type { IncomingMessage } from 'node:http'"],
    ['src/reeve.ts', "import type { AddressInfo } from 'node:net'"],
    ['src/cli.ts', "process[isHelp ? 'stdout' : 'stderr'].write(usage)"],
    ['src/doors/a.ts', 'createAdaptorServer({ fetch: app.fetch })'],
    ['src/platform/clock.ts', 'Date.now()'],
    ['src/space/a.ts', '// fetch(url), Date.now(), console.log, status === 404'],
    ['src/space/a.ts', "const says = 'Date.now() and fetch(url) are 404'"],
    ['src/space/a.ts', 'createdAtDate(row.updatedDate)'],
    ['src/space/a.ts', "import type { Grant } from '../policy/decide.ts'"],
    ['src/space/a.ts', "import { type Permit as P } from '../policy/decide.ts'"],
  ])('and one that is right is not: in %s, %s', (path, line) => {
    expect(faults(path, line)).toEqual([])
  })

  it('for every rule there is', () => {
    expect([...new Set<string>(WRONG.map(([thing]) => thing))].sort()).toEqual(RULES.map(({ thing }) => thing).sort())
  })
})
