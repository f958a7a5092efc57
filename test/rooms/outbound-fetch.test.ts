/** The outbound door in the shape of `fetch`: it sends what it is given, shows what OAuth needs of an answer, and fails as the door does. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { OutboundFailure, openOutbound } from '../../src/platform/outbound.ts'
import { fetchBy } from '../../src/platform/outbound-fetch.ts'

let answer: (incoming: IncomingMessage, outgoing: ServerResponse) => void = (_incoming, outgoing) => outgoing.end()
const server = createServer((incoming, outgoing) => answer(incoming, outgoing))
const outbound = openOutbound({ allowLoopback: true, ownHosts: [], trustedOrigins: [], clock: systemClock })
const get = fetchBy(outbound, { maxBytes: 1_000, getTimeoutMs: 20_000, postTimeoutMs: 20_000 })
/** For whoever says nothing. */
const getBriefly = fetchBy(outbound, { maxBytes: 1_000, getTimeoutMs: 300, postTimeoutMs: 300 })
let url = ''

beforeAll(async () => {
  server.listen(0, 'localhost')
  await once(server, 'listening')
  url = `http://localhost:${(server.address() as AddressInfo).port}/a`
})
afterAll(async () => {
  await outbound.close()
  server.closeAllConnections()
  server.close()
})

describe('fetching by the door', () => {
  it('sends method, headers and body, and shows status, body and the headers of OAuth alone', async () => {
    const seen: unknown[] = []
    answer = (incoming, outgoing) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () => {
        seen.push(incoming.method, incoming.headers['dpop'], Buffer.concat(chunks).toString())
        const headers = {
          'dpop-nonce': 'n1',
          'www-authenticate': 'DPoP error="x"',
          'set-cookie': 'a=b',
          'content-type': 'application/json; charset=utf-8',
        }
        outgoing.writeHead(401, headers).end('{"a":1}')
      })
    }
    const response = await get(url, { method: 'POST', headers: { DPoP: 'proof' }, body: 'x=1' })
    expect(seen).toEqual(['POST', 'proof', 'x=1'])
    expect([response.status, await response.json()]).toEqual([401, { a: 1 }])
    expect(Object.fromEntries(response.headers)).toEqual({
      'content-type': 'application/json',
      'dpop-nonce': 'n1',
      'www-authenticate': 'DPoP error="x"',
    })
  })

  it('takes an answer without a body', async () => {
    answer = (_incoming, outgoing) => outgoing.writeHead(204).end()
    expect(await (await get(url)).text()).toBe('')
  })

  it('believes no header that was sent twice', async () => {
    answer = (_incoming, outgoing) =>
      outgoing
        .writeHead(200, [
          ['dpop-nonce', 'a'],
          ['dpop-nonce', 'b'],
        ] as never)
        .end('x')
    const nonce = (await get(url)).headers.get('dpop-nonce')
    expect(nonce === null || nonce === 'a, b').toBe(true)
  })

  it.each([
    [
      'a redirect',
      (outgoing: ServerResponse) => outgoing.writeHead(302, { location: 'http://127.0.0.1/' }).end(),
      'failed',
    ],
    ['too much', (outgoing: ServerResponse) => outgoing.writeHead(200).end('x'.repeat(1_001)), 'too-large'],
    [
      'something packed',
      (outgoing: ServerResponse) => outgoing.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
      'wrong-type',
    ],
    ['silence', () => {}, 'timeout'],
    ['a hang-up', (outgoing: ServerResponse) => outgoing.destroy(), 'failed'],
  ])('fails at %s as the door does, never with a TypeError', async (_, how, kind) => {
    answer = (_incoming, outgoing) => void how(outgoing)
    const error = await (kind === 'timeout' ? getBriefly : get)(url).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(OutboundFailure)
    expect(error).toMatchObject({ kind })
  })

  it('goes nowhere private', async () => {
    await expect(get('http://10.0.0.1/')).rejects.toMatchObject({ kind: 'refused' })
    await expect(get('https://169.254.169.254/')).rejects.toMatchObject({ kind: 'refused' })
  })
})
