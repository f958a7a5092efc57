/** What anybody may do with a community founded here, its people may do with one that is an account, unless it takes keys. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { describeOnEachEngine } from '../kit/databases.ts'
import { openWorld, type Person, type World } from '../kit/world.ts'

describeOnEachEngine('a community that is an account', (open) => {
  let world: World
  let account: Person
  let owner: Person

  beforeAll(async () => {
    world = await openWorld({ database: await open() })
    account = await world.person()
    owner = await world.person()
    const adopted = await account.call('community.reeve.community.adopt', { name: 'Meadow', owner: owner.did })
    expect(adopted).toMatchObject({ status: 200 })
  })
  afterAll(() => world.close())

  it('gets another name from those who run it', async () => {
    const named = { community: account.did, name: 'Orchard' }
    expect(await owner.call('community.reeve.community.update', named)).toMatchObject({ status: 200 })
    const shown = await owner.ask('community.reeve.community.get', { community: account.did })
    expect(shown).toMatchObject({ status: 200, body: { name: 'Orchard', custody: 'external' } })
  })
})
