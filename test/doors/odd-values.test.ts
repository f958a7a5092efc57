/** Values that are JSON and yet nothing that a method takes: refused by name, never by falling over. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeServiceJwt } from '../kit/tokens.ts'
import { openWorld, type Person, type World } from '../kit/world.ts'

describe('a body with odd values', () => {
  let world: World
  let alice: Person
  let forum: string

  beforeAll(async () => {
    world = await openWorld()
    alice = await world.person()
    forum = await world.makeSpace(alice, await world.found(alice))
  })
  afterAll(() => world.close())

  const send = (method: string, body: string) => {
    const aud = `${world.config.serviceDid}#reeve`
    const token = makeServiceJwt({ key: alice.key, iss: alice.did, aud, lxm: method, nowSec: world.clock.nowSec() })
    const headers = [
      ['authorization', `Bearer ${token}`],
      ['content-type', 'application/json'],
    ] as const
    return world.send({ method: 'POST', path: `/xrpc/${method}`, headers, body })
  }
  const put = (more: string) =>
    send('community.reeve.member.put', `{"space":"${forum}","did":"${alice.did}","role":"owner",${more}}`)
  const mint = (custody: string) => send('community.reeve.community.mint', `{"name":"Odd","custody":${custody}}`)

  it.each([
    ['a number beyond all bounds', () => put('"$type":1e999'), 'InvalidRequest'],
    ['a $type that is no text', () => put('"$type":{"/":"x","bytes":"x"}'), 'InvalidRequest'],
    ['a $type that is nothing', () => put('"$type":null'), 'InvalidRequest'],
    ['a union of a type that is no text', () => mint('{"$type":{"a":1}}'), 'InvalidRequest'],
    [
      'a union of an unknown type, with a link in it',
      () => mint('{"$type":"x.y.z#w","a":{"/":"x","bytes":"x"}}'),
      'UnsupportedCustody',
    ],
    ['a union of an unknown type, with half a number', () => mint('{"$type":"x.y.z#w","a":0.5}'), 'UnsupportedCustody'],
    ['a revision between two', () => put('"ifRevision":1.5'), 'InvalidRequest'],
  ])('%s is refused', async (_name, sent, error) => {
    expect(await sent()).toMatchObject({ status: 400, body: { error } })
  })
})
