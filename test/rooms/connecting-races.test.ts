/** A way back from the PDS beside which something else happens: an owner ends it, or the house has trouble once the grant is kept. */
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { accepted, R } from '../kit/adopted.ts'
import {
  type ConnectScene,
  connectAccount,
  newLink,
  OwnerBrowser,
  openConnectScene,
  steeringOf,
  throughThePds,
} from '../kit/connecting.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type SpacesPds, startSpacesPds } from '../kit/spaces-pds.ts'

describeOnEachEngine('a way back from the PDS', (open) => {
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let pds: SpacesPds
  let scene: ConnectScene

  beforeAll(async () => {
    plc = await startPlcServer()
    pds = await startSpacesPds(plc.url, { generation: 'october' })
    const account = await pds.createAccount('orchard')
    scene = await openConnectScene(await open(), { plcUrl: plc.url, pds, account })
  })
  afterAll(async () => {
    await scene.close()
    await pds.close()
    await plc.close()
  })

  it('connects nothing after an owner disconnected while the PDS was asked', async () => {
    await connectAccount(scene)
    const browser = new OwnerBrowser(scene.world)
    const back = await throughThePds(scene, browser, await newLink(scene))
    const held = pds.hold('/oauth/token')
    const coming = browser.open(back)
    await held.arrived
    accepted(await scene.alice.call(`${R}.steering.disconnect`, { community: scene.account.did }))
    held.release()
    expect((await coming).status).toBe(400)
    expect((await steeringOf(scene)).connection).toBeUndefined()
    expect(await pds.oauth.endSessions(scene.account.did), 'the grant was given back').toBe(0)
  })

  it('leaves the grant as it is, whatever fails once it is kept', async () => {
    const { db } = scene.world.database
    const browser = new OwnerBrowser(scene.world)
    const back = await throughThePds(scene, browser, await newLink(scene))
    await sql`alter table held_turn rename to held_turn_away`.execute(db)
    const { status } = await browser.open(back)
    await sql`alter table held_turn_away rename to held_turn`.execute(db)
    expect(status).toBe(200)
    expect((await steeringOf(scene)).connection).toMatchObject({ state: 'connected' })
    expect(await pds.oauth.endSessions(scene.account.did)).toBe(1)
  })
})
