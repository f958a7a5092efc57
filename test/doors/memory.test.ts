/** What bad bodies leave behind: nothing. Megabytes of each kind are sent at once, while others ask and are answered. */
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { heldBytes, LEFT_MAX_BYTES } from '../kit/held-bytes.ts'
import { makeServiceJwt } from '../kit/tokens.ts'
import { openWire, statusOf } from '../kit/wire.ts'
import type { RawRequest } from '../kit/world.ts'
import { holdings, openStage, type Stage } from './stage.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterAll(() => stage.close())

const CREATE = 'community.reeve.space.create'

/** A call by alice with a token of its own. */
function create(body: string | Uint8Array, more: readonly (readonly [string, string])[] = []): RawRequest {
  const { world, alice } = stage
  const aud = `${world.config.serviceDid}#reeve`
  const token = makeServiceJwt({ key: alice.key, iss: alice.did, aud, lxm: CREATE, nowSec: world.clock.nowSec() })
  const headers = [
    ['authorization', `Bearer ${token}`] as const,
    ['content-type', 'application/json'] as const,
    ...more,
  ]
  return { method: 'POST', path: `/xrpc/${CREATE}`, headers, body }
}

/** The largest body that this method reads, and one byte beyond. */
const FULL = 16 * 1024
const manyKeys = (count: number) =>
  JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, 1])))
const thousands = manyKeys(1_300)
const hundredThousand = manyKeys(100_000)
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))

const BODIES: readonly (readonly [row: number, says: string, make: () => RawRequest, verdict: string])[] = [
  [6, 'of a megabyte', () => create('x'.repeat(1024 * 1024)), '413 PayloadTooLarge'],
  [8, 'nested as deep as fits', () => create('['.repeat(FULL / 2) + ']'.repeat(FULL / 2)), '400 InvalidRequest'],
  [9, 'with thousands of names', () => create(thousands), '400 InvalidRequest'],
  [9, 'with a hundred thousand names', () => create(hundredThousand), '413 PayloadTooLarge'],
  [9, 'with one long text', () => create(JSON.stringify({ name: 'x'.repeat(FULL - 100) })), '400 InvalidRequest'],
  [13, 'that is a bomb', () => create(bomb, [['content-encoding', 'gzip']]), '415 UnsupportedMediaType'],
]

describe.each(BODIES)('row %i: a body %s', (_row, _says, make, verdict) => {
  it('is refused fifty times, holds nothing, changes nothing, and others are served', async () => {
    const before = await holdings(stage.world.database.db)
    // A refused body may be cut off while it is still being sent; then there is no answer to read.
    const send = () => Promise.all(Array.from({ length: 10 }, () => stage.world.send(make()).catch(() => null)))
    await send()
    const held = await heldBytes()
    for (let batch = 0; batch < 5; batch++) {
      const [answers, health] = await Promise.all([send(), stage.world.send({ path: '/xrpc/_health' })])
      for (const answer of answers) if (answer) expect(`${answer.status} ${answer.body.error}`).toBe(verdict)
      expect(health.status).toBe(200)
    }
    expect((await heldBytes()) - held).toBeLessThan(LEFT_MAX_BYTES)
    expect(await holdings(stage.world.database.db)).toEqual(before)
    expect((await stage.alice.ask('community.reeve.space.get', { space: stage.forum })).status).toBe(200)
  })
})

it('row 6: a body that never ends is cut off, not collected', async () => {
  const held = await heldBytes()
  const wires = await Promise.all(Array.from({ length: 10 }, () => openWire(stage.world.url)))
  const lines = (create('').headers ?? []).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`
  for (const wire of wires) {
    wire.write(`POST /xrpc/${CREATE} HTTP/1.1\r\nhost: localhost\r\n${lines}transfer-encoding: chunked\r\n\r\n`)
    for (let sent = 0; sent < 16; sent++) wire.write(chunk)
  }
  for (const wire of wires) expect([401, 413]).toContain(statusOf(await wire.until(/HTTP\/1\.1 4\d\d /)))
  for (const wire of wires) wire.socket.destroy()
  expect((await heldBytes()) - held).toBeLessThan(LEFT_MAX_BYTES)
})
