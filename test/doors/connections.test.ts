/** Connections that misbehave: slow ones, idle ones, ones that say two things at once, ones that go away in the middle. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CONNECTIONS_MAX } from '../../src/platform/limits.ts'
import { openLog } from '../../src/platform/log.ts'
import { makeServiceJwt } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { openWire, statusOf, type Wire } from '../kit/wire.ts'
import { holdings, openStage, type Stage } from './stage.ts'

const PUT = 'community.reeve.member.put'
const HEALTH = 'GET /xrpc/_health HTTP/1.1\r\nhost: localhost\r\n'

let stage: Stage
const logged: string[] = []
beforeAll(async () => {
  stage = await openStage({ log: openLog('debug', { write: (line) => void logged.push(line) }) })
})
afterAll(() => stage.close())

const wire = (): Promise<Wire> => openWire(stage.world.url)

/** Head of a procedure call by alice, without the lines that say how long the body is. */
function head(more: string): string {
  const { world, alice } = stage
  const nowSec = world.clock.nowSec()
  const token = makeServiceJwt({ key: alice.key, iss: alice.did, aud: world.config.serviceDid, lxm: PUT, nowSec })
  const lines = `host: localhost\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\n${more}`
  return `POST /xrpc/${PUT} HTTP/1.1\r\n${lines}\r\n`
}

const isServed = async (): Promise<boolean> => (await stage.world.send({ path: '/xrpc/_health' })).status === 200

describe('slow callers', () => {
  it.concurrent('are cut off while they still send headers, and others are served meanwhile', async ({ expect }) => {
    const slow = await wire()
    slow.write(HEALTH)
    const drip = setInterval(() => slow.write('x'), 1_000)
    expect(await isServed()).toBe(true)
    const text = await slow.closed()
    clearInterval(drip)
    expect([0, 408]).toContain(statusOf(text))
  })

  it.concurrent('are cut off while they still send the body', async ({ expect }) => {
    const slow = await wire()
    slow.write(head('content-length: 1000\r\n'))
    const drip = setInterval(() => slow.write(' '), 1_000)
    const text = await slow.closed()
    clearInterval(drip)
    expect([0, 408]).toContain(statusOf(text))
  })

  it.concurrent('are cut off when they say nothing at all', async ({ expect }) => {
    const silent = await wire()
    const text = await silent.closed()
    expect([0, 408]).toContain(statusOf(text))
  })
})

describe('callers who say two things', () => {
  const refusedBytes = async (bytes: string): Promise<string> => {
    const before = await holdings(stage.world.database.db)
    const caller = await wire()
    caller.write(bytes)
    const text = await caller.closed()
    expect(await holdings(stage.world.database.db)).toEqual(before)
    return text
  }

  it('about the length of a body are refused and cut off', async () => {
    const chunked = '4\r\n{}  \r\n0\r\n\r\n'
    for (const lines of [
      'content-length: 4\r\ntransfer-encoding: chunked\r\n',
      'transfer-encoding: chunked\r\ncontent-length: 4\r\n',
      'content-length: 4\r\ncontent-length: 5\r\n',
      'content-length: 4, 4\r\n',
      'content-length: +4\r\n',
      'content-length: -1\r\n',
    ]) {
      expect(statusOf(await refusedBytes(head(lines) + chunked)), lines).toBe(400)
    }
  })

  it('by breaking lines elsewhere than HTTP does are refused and cut off', async () => {
    for (const bytes of [
      `${HEALTH}x: a\n\r\n\r\n`.replace('HTTP/1.1\r\n', 'HTTP/1.1\n'),
      `${HEALTH} folded: x\r\n\r\n`.replace('host', ' host'),
      `${HEALTH}x y: a\r\n\r\n`,
      `${HEALTH}x: a\0b\r\n\r\n`,
      'GET /xrpc/_health HTTP/1.1\r\n\r\n',
      'NOTHING\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01',
    ]) {
      expect(statusOf(await refusedBytes(bytes)), JSON.stringify(bytes)).toBe(400)
    }
  })

  it('are not let into another protocol', async () => {
    const upgrading = await wire()
    upgrading.write(`${HEALTH}connection: upgrade\r\nupgrade: websocket\r\n\r\n`)
    expect(statusOf(await upgrading.until(/version/))).toBe(200)
    upgrading.socket.destroy()
    const tunnelling = await wire()
    tunnelling.write('CONNECT internal.example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n')
    expect(await tunnelling.closed()).toBe('')
    expect(await isServed()).toBe(true)
  })
})

describe('connections that are kept', () => {
  const answered = async (url: string): Promise<string> => {
    const caller = await openWire(url)
    caller.write(`${HEALTH}\r\n`)
    const text = await caller.until(/"version"/)
    caller.socket.destroy()
    return text
  }

  it('wait a short while for the next request', async () => {
    expect(await answered(stage.world.url)).toMatch(/keep-alive: timeout=5\r\n/i)
  })
})

describe('callers who go away', () => {
  it('in the middle of a body change nothing, and are no trouble of the database', async () => {
    const before = await holdings(stage.world.database.db)
    logged.length = 0
    const caller = await wire()
    caller.write(`${head('content-length: 1000\r\nexpect: 100-continue\r\n')}`)
    await caller.until(/100 Continue/)
    caller.write('{"space":')
    caller.socket.destroy()
    await eventually('the door notices', async () => logged.join('').includes('InvalidRequest'))
    expect(logged.join('')).not.toContain('database')
    expect(logged.filter((line) => JSON.parse(line).level >= 40)).toEqual([])
    expect(await holdings(stage.world.database.db)).toEqual(before)
  })

  it('or stay after a refusal: the connection serves the next request', async () => {
    const caller = await wire()
    caller.write(`POST /xrpc/${PUT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n${' '.repeat(100)}`)
    await caller.until(/MissingJwt/)
    caller.write(`${HEALTH}connection: close\r\n\r\n`)
    expect(await caller.closed()).toContain('"version"')
  })

  it('and requests in one piece are answered in their order', async () => {
    const caller = await wire()
    const nowhere = 'GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n'
    caller.write(`${HEALTH}\r\n${nowhere}${HEALTH}connection: close\r\n\r\n`)
    const text = await caller.closed()
    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 404', 'HTTP/1.1 200'])
  })
})

describe('very many callers', () => {
  it('get no more connections than there may be, and those who have one are served', async () => {
    const early = await wire()
    let asked = 0
    const askEarly = async () => {
      early.write(`${HEALTH}\r\n`)
      await early.until(new RegExp(`(?:"version"[^]*){${++asked}}`))
    }
    await askEarly()
    let idle: Wire[] = []
    // On a slow machine this takes longer than a connection is kept for somebody who asks nothing: others come in their place.
    const fill = async () => {
      for (;;) {
        idle = idle.filter(({ socket }) => !socket.closed)
        const more = Math.min(200, CONNECTIONS_MAX - 1 - idle.length)
        if (more === 0) return
        idle.push(...(await Promise.all(Array.from({ length: more }, wire))))
        await askEarly()
      }
    }
    await eventually('nobody else is let in', async () => {
      await fill()
      const late = await wire()
      late.write(`${HEALTH}connection: close\r\n\r\n`)
      return (await late.closed()) === ''
    })

    early.write(`${HEALTH}connection: close\r\n\r\n`)
    expect((await early.closed()).match(/"version"/g)).toHaveLength(asked + 1)
    for (const one of idle) one.socket.destroy()
    // Until the door has noticed that they are gone it cuts off whoever comes.
    await eventually('there is room again', () => isServed().catch(() => false))
  })
})
