/** Closing: what is under way is finished, what is idle is let go, and nobody new gets in. */
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { makeServiceJwt } from '../kit/tokens.ts'
import { eventually, OPENS_A_WORLD } from '../kit/waiting.ts'
import { openWire, statusOf } from '../kit/wire.ts'
import { openStage } from './stage.ts'

const PUT = 'community.reeve.member.put'

it('finishes the request under way, lets idle connections go, and takes no new ones', OPENS_A_WORLD, async () => {
  const stage = await openStage()
  const { world, alice, eve, forum } = stage
  const body = JSON.stringify({ space: forum, did: eve.did, role: 'reader' })
  const nowSec = world.clock.nowSec()
  const token = makeServiceJwt({ key: alice.key, iss: alice.did, aud: world.config.serviceDid, lxm: PUT, nowSec })
  const head = `POST /xrpc/${PUT} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`

  const idle = await openWire(world.url)
  idle.write('GET /xrpc/_health HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await idle.until(/version/)
  const busy = await openWire(world.url)
  busy.write(head)
  await busy.until(/100 Continue/)
  busy.write(body.slice(0, 10))

  const closing = stage.close()
  expect((await idle.closed()).match(/HTTP\/1\.1 /g)).toHaveLength(1)
  const late = await openWire(world.url)
  expect(await late.closed()).toBe('')

  busy.write(body.slice(10))
  const text = await busy.closed()
  expect(statusOf(text.slice(text.indexOf('\r\n\r\n') + 4))).toBe(200)
  expect(JSON.parse(text.slice(text.lastIndexOf('\r\n\r\n') + 4))).toEqual({ revision: 4 })
  await closing
})

it('does not wait for somebody who never ends their request', OPENS_A_WORLD, async () => {
  const stage = await openStage()
  const stuck = await openWire(stage.world.url)
  stuck.write(`POST /xrpc/${PUT} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n`)
  await stuck.until(/100 Continue/)
  await stage.close()
  await stuck.closed()
  expect(stuck.socket.destroyed).toBe(true)
})

const HEALTH = 'GET /xrpc/_health HTTP/1.1\r\nhost: localhost\r\n\r\n'

it('says for a while that it will end, and goes on meanwhile', OPENS_A_WORLD, async () => {
  const stage = await openStage()
  const { world, alice, eve, forum } = stage
  const kept = await openWire(world.url)
  kept.write(HEALTH)
  await kept.until(/version/)
  const over = Promise.withResolvers<void>()
  const closing = world.reeve.close(over.promise)

  const health = await world.send({ path: '/xrpc/_health' })
  expect(health).toMatchObject({ status: 503, body: { error: 'Stopping' }, headers: { connection: 'close' } })
  const put = await alice.call(PUT, { space: forum, did: eve.did, role: 'reader' })
  expect(put).toMatchObject({ status: 200, headers: { connection: 'close' } })
  kept.write('OPTIONS /xrpc/community.reeve.member.put HTTP/1.1\r\nhost: localhost\r\n\r\n')
  expect((await kept.closed()).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 204'])

  over.resolve()
  await closing
  expect(await (await openWire(world.url)).closed()).toBe('')
})

it('answers whoever came before, though nobody had opened yet', OPENS_A_WORLD, async () => {
  const { world } = await openStage()
  const { hostname, port } = new URL(world.url)
  const host = hostname === 'localhost' ? '127.0.0.1' : hostname
  const callers = Array.from({ length: 100 }, () => {
    const socket = connect({ host, port: Number(port) })
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    // Sent as soon as the other side has it; an error is shown by an answer that isn't there.
    socket.on('error', () => {})
    socket.write(HEALTH)
    return new Promise<string>((resolve) => socket.once('close', () => resolve(text)))
  })
  // Each has asked for its connection by now, and the server hasn't had its turn.
  await new Promise<void>((resolve) => process.nextTick(resolve))
  await world.reeve.close()
  expect((await Promise.all(callers)).map(statusOf)).toEqual(callers.map(() => 503))
})

it('tells whoever it can’t answer in time to come again', OPENS_A_WORLD, async () => {
  const { world, alice, eve, forum } = await openStage()
  const held = Promise.withResolvers<void>()
  const isHeld = Promise.withResolvers<void>()
  const holding = world.database.db.transaction().execute(async () => {
    isHeld.resolve()
    await held.promise
  })
  await isHeld.promise
  const waiting = alice.call(PUT, { space: forum, did: eve.did, role: 'reader' })
  await eventually('it waits for the database', async () => world.database.connections().waiting > 0)
  const closing = world.reeve.close()
  const answer = await waiting
  held.resolve()
  await Promise.all([holding, closing])
  expect(answer).toMatchObject({
    status: 503,
    body: { error: 'NotEnoughResources' },
    headers: { 'retry-after': '5', connection: 'close' },
  })
})
