/** What people with bad intentions, or clumsy fingers, send to those methods that govern: each is refused by name and changes nothing. */
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { rosterOf } from '../../src/names.ts'
import { holdings, openStage, type Stage } from '../doors/stage.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import type { Person } from '../kit/world.ts'

const R = 'community.reeve'
type Ask = readonly [row: string, by: 'alice' | 'admin' | 'bob', method: string, input: () => object, answers: string]

describeOnEachEngine('a change that must not be', (open) => {
  let stage: Stage
  let admin: Person
  let roster: string
  beforeAll(async () => {
    stage = await openStage({ database: await open() })
    admin = await stage.world.person()
    roster = rosterOf(stage.community).uri
    for (const space of [roster, stage.forum]) {
      await stage.alice.call(`${R}.member.put`, { space, did: admin.did, role: 'admin' })
    }
  })
  afterAll(() => stage.close())

  const who = (by: Ask[1]): Person => (by === 'admin' ? admin : stage[by])
  const community = () => stage.community
  const space = () => stage.forum
  const rows: readonly Ask[] = [
    [
      '208: a role above one’s own',
      'admin',
      'member.put',
      () => ({ space: roster, did: stage.bob.did, role: 'owner' }),
      'EscalationDenied',
    ],
    [
      '208: owners by way of a space',
      'alice',
      'member.put',
      () => ({ space: space(), memberSpace: roster, role: 'owner' }),
      'InvalidRequest',
    ],
    [
      '210: a space put on a roster by a plain member',
      'bob',
      'member.put',
      () => ({ space: space(), memberSpace: roster, role: 'reader' }),
      'Forbidden',
    ],
    [
      '211: another community’s space that nobody offered',
      'alice',
      'member.put',
      () => ({ space: space(), memberSpace: stage.elsewhereForum, role: 'reader' }),
      'NotFound',
    ],
    [
      '215: an owner banned by an admin',
      'admin',
      'member.ban',
      () => ({ community: community(), did: stage.alice.did }),
      'EscalationDenied',
    ],
    [
      '222: a DID in capitals',
      'alice',
      'member.put',
      () => ({ space: space(), did: stage.bob.did.toUpperCase(), role: 'member' }),
      'InvalidRequest',
    ],
    [
      '226: the public let in by an admin',
      'admin',
      'space.update',
      () => ({ space: space(), readPolicy: { $type: 'com.atproto.simplespace.defs#publicPolicy' } }),
      'Forbidden',
    ],
    [
      '230: oneself made an owner',
      'admin',
      'member.put',
      () => ({ space: roster, did: admin.did, role: 'owner' }),
      'EscalationDenied',
    ],
    [
      '231: the last owner demoted',
      'alice',
      'member.put',
      () => ({ space: roster, did: stage.alice.did, role: 'admin' }),
      'LastOwner',
    ],
    ['231: the last owner gone', 'alice', 'member.leave', () => ({ space: roster }), 'LastOwner'],
    [
      '234: a revision of yesterday',
      'alice',
      'member.put',
      () => ({ space: space(), did: stage.eve.did, role: 'reader', ifRevision: 1 }),
      'StaleRevision',
    ],
    [
      '237: a name that turns around',
      'alice',
      'community.update',
      () => ({ community: community(), name: 'x\u202e' }),
      'InvalidRequest',
    ],
    [
      '238: a rule for http',
      'alice',
      'app.putRule',
      () => ({ community: community(), clientId: 'http://app.org/c.json', verdict: 'deny' }),
      'InvalidRequest',
    ],
    [
      '238: a rule for everything',
      'alice',
      'app.putRule',
      () => ({ community: community(), host: '*', verdict: 'deny' }),
      'InvalidRequest',
    ],
    [
      '239: a policy that nobody knows',
      'alice',
      'space.update',
      () => ({ space: space(), readPolicy: { $type: 'com.example.defs#mine' } }),
      'UnsupportedPolicy',
    ],
  ]
  it.each(rows)('%s', async (_row, by, method, input, answers) => {
    const before = await holdings(stage.world.database.db)
    const { status, body } = await who(by).call(`${R}.${method}`, input())
    expect(status === 200 ? 'accepted' : body.error).toBe(answers)
    expect(await holdings(stage.world.database.db)).toEqual(before)
  })

  it('242: a change that can’t be recorded is no change, and is told as ours to mend', async () => {
    const { db } = stage.world.database
    await sql`create function no_audit() returns trigger language plpgsql as 'begin raise exception ''the disk is full''; end'`.execute(
      db,
    )
    await sql`create trigger no_audit before insert on audit_entry for each row execute function no_audit()`.execute(db)
    const before = await holdings(db)
    const answer = await stage.alice.call(`${R}.member.put`, { space: space(), did: stage.eve.did, role: 'reader' })
    await sql`drop trigger no_audit on audit_entry`.execute(db)
    expect(answer.status).toBeGreaterThanOrEqual(500)
    expect(await holdings(db)).toEqual(before)
  })
})
