/** Somebody who has a recovery key and no owners any more, with `reeve recovery claim`: named, sent, and owners three days later. */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { runCli } from '../kit/cli.ts'
import { CLAIM } from '../kit/ownership.ts'
import { eventually } from '../kit/waiting.ts'
import { openWorld, type Person, type World } from '../kit/world.ts'

let folder: string
let file: string
let world: World
let alice: Person
let carol: Person
let community: Did
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reeve-claim-'))
  file = join(folder, 'recovery.key')
  world = await openWorld()
  ;[alice, carol] = [await world.person(), await world.person()]
  const recoveryKey = (await runCli({ args: ['recovery', 'new', file] })).out.split('\n')[0]
  const about = ['--caller', alice.did, '--service', world.config.serviceDid]
  const proof = (await runCli({ args: ['recovery', 'prove', file, ...about] })).out.trim()
  const custody = { $type: 'community.reeve.community.mint#memberHeld', recoveryKey, proof }
  community = await world.found(alice, { custody })
})
afterAll(async () => {
  await world.close()
  await rm(folder, { recursive: true, force: true })
})

const claim = (
  typed: string,
  { source = file, owners = [carol.did] as readonly string[], more = [] as string[] } = {},
) =>
  runCli({
    args: [
      ...['recovery', 'claim', source, '--community', community, '--service', world.config.serviceDid],
      ...owners.flatMap((owner) => ['--owner', owner]),
      ...more,
    ],
    typed,
  })

describe('reeve recovery claim', () => {
  it('says what follows, and writes a body that anybody may send; three days later they own it', async () => {
    const { code, out, err } = await claim(`${community}\n`)
    expect(code).toBe(0)
    for (const part of [carol.did, community, 'Three days', 'object', 'To those whom you name'])
      expect(err).toContain(part)
    const body = JSON.parse(out)
    expect(body).toEqual({ community, owners: [carol.did], at: expect.any(String), sig: expect.any(String) })
    expect(await alice.call(CLAIM, body)).toMatchObject({ status: 200, body: { state: 'waiting' } })
    world.clock.moveSec(3 * 86_400 + 60)
    const space = `at://${community}/space/community.reeve.roster/self`
    const members = await eventually(
      'the worker carries it out',
      async () => (await carol.ask('community.reeve.member.list', { space })).body.members,
      60_000,
    )
    expect(members).toMatchObject([{ did: carol.did, role: 'owner' }])
  })

  it('signs nothing for who types something else, or nothing', async () => {
    for (const typed of ['yes\n', `${community.slice(0, 20)}\n`, '']) {
      const { code, out, err } = await claim(typed)
      expect([code, out]).toEqual([1, ''])
      expect(err).toContain('Nothing was signed')
    }
  })

  it('knows beforehand what the service would refuse', async () => {
    for (const owners of [[], ['carol'], [carol.did, carol.did], [community]]) {
      const { code, out } = await claim(`${community}\n`, { owners })
      expect([code, out], owners.join()).toEqual([64, ''])
    }
    expect(await claim('', { more: ['--service', 'nobody'] })).toMatchObject({ code: 64, out: '' })
  })

  it('takes no key that others can read, and asks at a terminal when the key comes by a pipe', async () => {
    expect(await claim(`${community}\n`, { source: '-' })).toMatchObject({ code: 1, out: '' })
    await chmod(file, 0o644)
    expect(await claim(`${community}\n`)).toMatchObject({ code: 77, out: '' })
    await chmod(file, 0o600)
  })
})
