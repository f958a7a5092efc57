import { expect, it } from 'vitest'
import { isoOf } from '../../src/platform/clock.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { openWorld } from '../kit/world.ts'

describeOnEachEngine('a credential on a membership with an end', (open) => {
  it('ends with it, and lives its full time where the membership lasts longer', async () => {
    const world = await openWorld({ database: await open() })
    try {
      const [alice, bob] = await Promise.all([world.person(), world.person()])
      const forum = await world.makeSpace(alice, await world.found(alice))
      const lifetimeOf = async (endsInSec: number | null) => {
        const until = endsInSec === null ? {} : { until: isoOf(world.clock.nowMs() + endsInSec * 1000) }
        await alice.call('community.reeve.member.put', { space: forum, did: bob.did, role: 'reader', ...until })
        const { body } = await bob.exchange(forum)
        const { iat, exp } = JSON.parse(Buffer.from(body.credential.split('.')[1], 'base64url').toString())
        return exp - iat
      }
      expect(await lifetimeOf(null)).toBe(600)
      expect(await lifetimeOf(3600)).toBe(600)
      const short = await lifetimeOf(60)
      expect(short).toBeLessThanOrEqual(60)
      expect(short).toBeGreaterThan(0)
      world.clock.moveSec(61)
      expect(await bob.exchange(forum)).toMatchObject({ status: 400, body: { error: 'UserNotAuthorized' } })
    } finally {
      await world.close()
    }
  })
})
