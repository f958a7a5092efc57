import { expect, it } from 'vitest'
import { forgetIssued } from '../../src/credential/store.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { openWorld } from '../kit/world.ts'

describeOnEachEngine('rows of credentials', (open) => {
  it('are forgotten once the credential is long over, and not before', async () => {
    const world = await openWorld({ database: await open() })
    try {
      const alice = await world.person()
      const community = await world.found(alice)
      const forum = await world.makeSpace(alice, community)
      for (let at = 0; at < 3; at++) expect((await alice.exchange(forum)).status).toBe(200)
      const { db } = world.database
      const endings = await db.selectFrom('issuance').select('expires_at_sec').execute()
      const last = Math.max(...endings.map((row) => row.expires_at_sec))
      expect(await forgetIssued(db, Math.min(...endings.map((row) => row.expires_at_sec)), 10)).toBe(0)
      expect(await forgetIssued(db, last + 1, 2)).toBe(2)
      expect(await forgetIssued(db, last + 1, 2)).toBe(1)
      expect(await db.selectFrom('issuance').select('jti').execute()).toEqual([])
    } finally {
      await world.close()
    }
  })
})
