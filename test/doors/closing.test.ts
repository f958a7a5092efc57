/** Closing: what is under way is finished, what is idle is let go, and nobody new gets in. */
import { expect, it } from 'vitest'
import { makeServiceJwt } from '../kit/tokens.ts'
import { OPENS_A_WORLD } from '../kit/waiting.ts'
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
