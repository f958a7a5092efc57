/** What is on record of the questions of a PDS: nothing is missing from it that the log could take. */
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { makeServiceJwt } from '../kit/tokens.ts'
import { type Answer, openWorld, type Person, type World } from '../kit/world.ts'

const METHOD = 'com.atproto.simplespace.checkUserAccess'

describeOnEachEngine('the record of questions', (open) => {
  let database: TestDatabase
  let world: World
  let account: Person
  let owner: Person
  let bob: Person
  let space: string

  beforeAll(async () => {
    database = await open()
    world = await openWorld({ database })
  })
  afterAll(() => world.close())
  beforeEach(async () => {
    ;[account, owner, bob] = await Promise.all([world.person(), world.person(), world.person()])
    const adopted = await account.call('community.reeve.community.adopt', { name: 'Meadow', owner: owner.did })
    expect(adopted).toMatchObject({ status: 200 })
    space = await bind()
  })

  const bind = (): Promise<string> => world.makeSpace(owner, account.did, { skey: 'main', host: 'pds' })
  const letBobIn = () => owner.call('community.reeve.member.put', { space, did: bob.did, role: 'member' })

  function question(from: Person, more: Record<string, string> = {}, key = from.key): Promise<Answer> {
    const aud = `${world.config.serviceDid}#reeve`
    const about = { key, iss: from.did, aud, lxm: METHOD, nowSec: world.clock.nowSec() }
    const params = new URLSearchParams({ space, user: bob.did, access: 'read', ...more })
    const authorization = `Bearer ${makeServiceJwt(about)}`
    return world.send({ path: `/xrpc/${METHOD}?${params}`, headers: [['authorization', authorization]] })
  }

  const recorded = async (action: string): Promise<number> => {
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from audit_entry
      where community = ${account.did} and action = ${action}`.execute(database.db)
    return rows[0]?.n ?? 0
  }

  /** While `work` runs, the log takes nothing about questions. */
  async function withoutLog(work: () => Promise<void>): Promise<void> {
    await sql`alter table audit_entry add constraint shut check (action not like 'hook.%') not valid`.execute(
      database.db,
    )
    try {
      await work()
    } finally {
      await sql`alter table audit_entry drop constraint shut`.execute(database.db)
    }
  }

  it('has somebody who asked about another one’s space as soon as it can, when the log failed at first', async () => {
    await withoutLog(async () => {
      expect((await question(bob)).status).toBe(500)
      expect((await question(bob)).status).toBe(500)
    })
    expect(await recorded('hook.foreign')).toBe(0)
    for (let n = 0; n < 3; n++) expect(await question(bob)).toMatchObject({ status: 200, body: { authorized: false } })
    expect(await recorded('hook.foreign')).toBe(1)
  })

  it('has a few of the apps that a host names for somebody, and the others as one', async () => {
    await letBobIn()
    for (let n = 0; n < 40; n++) {
      const clientId = `https://app${n}.example.com/client-metadata.json`
      expect(await question(account, { clientId })).toMatchObject({ body: { authorized: true } })
    }
    expect(await recorded('access.allow')).toBe(17)
    const { rows } = await sql<{ because: object }>`select because from audit_entry
      where community = ${account.did} and action = 'access.allow' order by id desc limit 1`.execute(database.db)
    expect(rows[0]?.because).toMatchObject({ furtherApps: true })
    expect(rows[0]?.because).not.toHaveProperty('clientId')
  })

  it('has those who come in with everybody as one, and those on the roll by name', async () => {
    const publicPolicy = { $type: 'com.atproto.simplespace.defs#publicPolicy' }
    space = await world.makeSpace(owner, account.did, { skey: 'open', host: 'pds', readPolicy: publicPolicy })
    for (let n = 0; n < 5; n++) {
      const user = (await world.person()).did
      expect(await question(account, { user })).toMatchObject({ body: { authorized: true } })
    }
    expect(await recorded('access.allow')).toBe(1)
    await letBobIn()
    expect(await question(account)).toMatchObject({ body: { authorized: true } })
    expect(await recorded('access.allow')).toBe(2)
  })

  it('has the first yes about a space that has an earlier one’s name', async () => {
    await letBobIn()
    for (let n = 0; n < 2; n++) expect(await question(account)).toMatchObject({ body: { authorized: true } })
    expect(await recorded('access.allow')).toBe(1)
    await owner.call('community.reeve.space.delete', { space })
    await expect.poll(bind).toBe(space)
    await letBobIn()
    for (let n = 0; n < 2; n++) expect(await question(account)).toMatchObject({ body: { authorized: true } })
    expect(await recorded('access.allow')).toBe(2)
  })
})
